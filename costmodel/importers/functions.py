"""A call in an ONNX file -> the function that it calls: one of the file's own, or what onnx says it stands for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TypeProto, defs

from costmodel.errors import UnsupportedError, WiringError, suggestion
from costmodel.graph import Tensor
from costmodel.importers.scopes import Body, Call, Items, Value, nodes_in, text
from costmodel.ops.onnx import NUMBERS, Constant

DOMAINS: Final = ("", "ai.onnx")
"""The names of the domain of ONNX's own operators."""

Key = tuple[str, str, str]
"""A function's domain, name and overload."""


class Function(NamedTuple):
    """A function: its name for messages, its body, its attributes with their values where none are given, if any."""

    name: str
    body: Body
    attributes: Mapping[str, AttributeProto | None]
    opsets: Mapping[str, int]
    schema: bool = False
    """Whether onnx itself says so, and not the file."""


def domain(name: str) -> str:
    """A domain's name, '' for that of ONNX's own operators."""
    return "" if name in DOMAINS else name


def opsets(proto: ModelProto | FunctionProto) -> dict[str, int]:
    """The versions of operator sets by domain, checked."""
    found: dict[str, int] = {}
    for entry in proto.opset_import:
        place, version, whose = domain(entry.domain), entry.version, entry.domain or "ai.onnx"
        newest = 2**31 - 1 if place else defs.onnx_opset_version()
        if not 1 <= version <= newest:
            raise WiringError(f"imports version {version} of the operators of {whose!r}; 1 to {newest} are accepted")
        if found.setdefault(place, version) != version:
            raise WiringError(f"imports two versions of the operators of {whose!r}, {found[place]} and {version}")
    return found


class Functions:
    """The functions of a file, each made when it is first called."""

    def __init__(self, model: ModelProto, network: str) -> None:
        self.network: Final = network
        self.opsets: Final = opsets(model)
        self.protos: Final[dict[Key, FunctionProto]] = {}
        for proto in model.functions:
            text(proto.domain, proto.name, proto.overload)
            key = (domain(proto.domain), proto.name, proto.overload)
            if key in self.protos:
                raise WiringError(f"function {_named(key)!r} is in it twice")
            self.protos[key] = proto
        self.made: Final[dict[Key, Function]] = {}
        self.sizes: Final[dict[Key, int]] = {}
        self.calls: Final[dict[Key, int]] = {}
        """How often each is called in the file's text."""
        for part in (model.graph, *model.functions) if model.functions else ():
            for node in nodes_in(part):
                key = self.key(node)
                self.calls[key] = self.calls.get(key, 0) + 1

    def key(self, node: NodeProto) -> Key:
        """What a node calls."""
        return domain(node.domain), node.op_type, node.overload

    def of(self, node: NodeProto) -> Function | None:
        """The function of the file that a node calls, if it is one."""
        key = self.key(node)
        if key in self.protos and key not in self.made:
            proto = self.protos[key]
            text(*proto.attribute)
            for name, count in Counter(proto.input).items():
                if count > 1:
                    raise WiringError(f"function {_named(key)!r} has {count} inputs that are named {name!r}")
            attributes: dict[str, AttributeProto | None] = dict.fromkeys(proto.attribute)
            attributes.update({item.name: item for item in proto.attribute_proto})
            body = Body(proto, self.network, f"{':'.join(key)}/")
            self.made[key] = Function(_named(key), body, attributes, self.opsets | opsets(proto))
        return self.made.get(key)

    def near(self, node: NodeProto) -> list[str]:
        """The names of functions in the domain of a node that calls none."""
        return [name for place, name, _ in self.protos if place == domain(node.domain)]

    def size(self, body: Body, depth: int = 0) -> int:
        """How many nodes a body counts as at least, with what it calls."""
        total = body.size
        for node in body.nodes if self.protos and depth < DEEPEST else ():
            key = self.key(node)
            if key in self.protos and key not in self.sizes:
                self.sizes[key] = 0  # a function that calls itself is found where it is read
                function = self.of(node)
                self.sizes[key] = self.size(function.body, depth + 1) if function else 0
            total += self.sizes.get(key, 0)
        return total

    def of_schema(self, call: Call) -> Function | None:
        """What onnx itself says that a node stands for, in operators of the same domain, if it says so."""
        node, place = call.node, domain(call.node.domain)
        version = call.scope.opsets.get(place, 1)
        if not (0 < version < 2**31 and defs.has(node.op_type, version, place)):
            return None
        schema: Any = defs.get_schema(node.op_type, version, place)
        if schema.has_function:
            written = _nearest(schema.function_opset_versions, version)
            data = bytes(schema.get_function_with_opset_version(written))
        elif schema.has_context_dependent_function:
            written = _nearest(schema.context_dependent_function_opset_versions, version)
            data = self._in_context(call, schema, written)
        else:
            return None
        proto = FunctionProto.FromString(data)
        attributes: dict[str, AttributeProto | None] = {
            name: item.default_value if item.default_value.name else None for name, item in schema.attributes.items()
        }
        body = Body(proto, self.network, call.key)
        return Function(node.op_type, body, attributes, {**call.scope.opsets, **opsets(proto)}, schema=True)

    def _in_context(self, call: Call, schema: Any, version: int) -> bytes:
        """The function of a node where it depends on the node's attributes and on what it reads."""
        node = NodeProto()
        node.CopyFrom(call.node)
        del node.attribute[:]
        node.attribute.extend(call.items.values())
        types = [_type(value, self.network).SerializeToString() for value in call.operands]
        try:
            written = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError(f"onnx cannot say what it stands for: {str(error).splitlines()[0]}") from None
        return bytes(written)


def _nearest(versions: Sequence[int], version: int) -> int:
    """Of the operator sets that a function is written in the newest up to a version, or else the next."""
    return max([known for known in versions if known <= version], default=min(versions))


DEEPEST: Final = 64
"""How deep functions and graphs are nested at most."""


def bound(function: Function, call: Call) -> dict[str, Value]:
    """What the inputs of a function stand for in a call."""
    names, given = function.body.inputs, call.operands
    if len(given) > len(names):
        raise WiringError(f"function {function.name!r} takes {len(names)} inputs, not {len(given)}")
    if len(call.node.output) > len(function.body.outputs):
        raise WiringError(
            f"function {function.name!r} makes {len(function.body.outputs)} outputs, not {len(call.node.output)}"
        )
    for name in call.items:
        if name not in function.attributes:
            near = suggestion(name, function.attributes)
            raise WiringError(f"function {function.name!r} has no attribute {name!r}; {near}")
    return dict(zip(names, (*given, *[None] * (len(names) - len(given))), strict=True))


def _named(key: Key) -> str:
    return ".".join(filter(None, key[:2])) + (f":{key[2]}" if key[2] else "")


def _type(value: Value, network: str) -> TypeProto:
    """The type of what a node reads, as onnx has it."""
    made = TypeProto()
    if isinstance(value, Items):
        made.sequence_type.elem_type.CopyFrom(_type(value.operands[0] if value.operands else None, network))
    elif isinstance(value, Tensor | Constant):
        made.tensor_type.elem_type = NUMBERS[value.dtype or network]
        for size in value.shape:
            made.tensor_type.shape.dim.add(dim_value=size)
    return made
