"""model.onnx -> Graph: each node through the operator that takes its name; weights are shapes and are not read.

The file's own shapes are those of its inputs only. All others come from our operators; a file's declarations of inner
shapes are used for nothing but operators that are left out on purpose. A node that stands for others (the call of a
function, an If, a Loop, a Scan) becomes a block of the layers that these make.
"""

import re
from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from costmodel import document, textfile
from costmodel.errors import LISTED, CostModelError, UnsupportedError, WiringError, suggestion
from costmodel.graph import ELEMENTS, Graph, Input, Op, Shape, Source, Tensor, Type, dims
from costmodel.importers import plan
from costmodel.importers.folding import BY_VALUES, COMPUTED, SHAPED, SOURCES, fold, passes
from costmodel.importers.opaque import UNKNOWN, Opaque, left_out
from costmodel.importers.protos import element_type, untyped, values_of
from costmodel.importers.shapes import Shapes, agreed, given, titled
from costmodel.importers.structure import LARGE, without_values
from costmodel.ops.onnx import TYPES, Constant, OnnxNode, Operand, own

try:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, NodeProto
except ImportError:
    raise CostModelError("reading ONNX files needs the extra 'onnx': pip install 'costmodel[onnx]'") from None

from costmodel.importers.control import CONTROL
from costmodel.importers.functions import DEEPEST, Function, Functions, bound, domain
from costmodel.importers.schemas import check
from costmodel.importers.scopes import LEFT_OUT, MADE, Body, Call, Empty, Items, LeftOut, Scope, Untyped, Value, text
from costmodel.importers.sequences import SEQUENCES

FILE_LIMIT: Final = 2**31 - 1
"""Bytes; protobuf reads no more."""

NODE_LIMIT: Final = 150_000
"""How many nodes a file may have, and how many it may stand for once functions are called and loops have run."""

LONGEST: Final = 4096
"""How many letters the name of a node may have, with those of the nodes that it stands in."""

OWN: Final = "costmodel"
"""The domain of our own operators, whose attributes are texts as in a list of layers."""

CONSTANTS: Final = frozenset((*COMPUTED, *SHAPED, *BY_VALUES))
"""Operators that are known where their operands are constants, if at all."""

STEPS: Final = re.compile("LSTM|GRU|RNN|Sequence")
"""What is in the names of operators that go along steps."""

BATCH: Final = re.compile(r"batch|^(n|b|bs)$", re.IGNORECASE)
"""What files call the dimension of images, wherever it stands."""

OPSET: Final = 18
"""The operator set of nodes that stand in the place of others."""

MALFORMED: Final = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What attributes and inputs of wrong types or numbers end in."""


def load(
    path: Path, *, batch: int | None = None, shape: Shapes | None = None, unknown: str = "error", **others: Any
) -> Graph:
    """Read a network; ``shape`` gives inputs theirs, as {"input": (1, 3, 224, 224)} or "input=1x3x224x224".

    A ``batch`` goes to the dimension that an input leaves open under a name such as ``batch`` or ``N``, or else to an
    open first one, which without it are 1. Where no input leaves one open, it replaces how many images each has. With
    ``unknown="skip"`` operators that are not known are left out, and the graph's notes say which.
    """
    if others:
        known = ("shape", "unknown", "batch")
        raise CostModelError(f"{path}: an ONNX file has no parameter {min(others)!r}; {suggestion(min(others), known)}")
    if unknown not in UNKNOWN:
        raise CostModelError(f"{path}: unknown must be one of {', '.join(UNKNOWN)}, not {unknown!r}")
    model = read(path)
    shapes = given(path, shape)
    title = titled(path.stem, {}, shapes, batch)
    reader = Reader(path, model, skip=unknown == "skip")
    opened = reader.inputs(shapes, batch or 1, alike=batch is not None and not shapes and _has_no_steps(model))
    reader.nodes()
    graph = reader.graph(title)
    flowing, along = reader.flowing, graph.image_axes if opened else {}
    for name, axis in opened.items():
        if along.get(flowing[name]) not in (axis, None):
            sizes = ["?" if place == axis else str(size) for place, size in enumerate(reader.sizes[name])]
            raise CostModelError(
                f"{path}: input {name!r} leaves dimension {axis} open, which is one of steps, not of images, to what "
                f"reads it; set it with --shape {name}={'x'.join(sizes)}"
            )
    if opened or batch is None or batch == graph.images:
        return graph
    found = graph.batch_axes
    axes = {name: found[tensor] for name, tensor in flowing.items() if tensor in found}
    for name, shape_ in shapes.items():
        only = name or next(iter(reader.sizes))
        if only in axes:
            agreed(path, only, shape_[axes[only]], batch)
    reader = Reader(path, model, skip=unknown == "skip")
    reader.inputs(shapes, batch, axes)
    reader.nodes()
    return reader.graph(title)


def read(path: Path) -> ModelProto:
    """Parse a file; data in other files stays there."""
    try:
        with textfile.opened(path) as file:
            size = path.stat().st_size
            data = b"" if size > FILE_LIMIT else _data(file, size)
    except OSError as error:
        raise CostModelError(f"{path}: cannot read it: {error.strerror}") from None
    if size > FILE_LIMIT:
        raise CostModelError(
            f"{path}: larger than {FILE_LIMIT} bytes, more than the format allows; save its weights as external data"
        )
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise CostModelError(f"{path}: not an ONNX model") from None
    if not model.graph.node or not model.opset_import:
        raise CostModelError(f"{path}: not an ONNX model: it has no nodes, or names no operator set")
    if len(model.graph.node) > NODE_LIMIT:
        raise CostModelError(f"{path}: {len(model.graph.node)} nodes are too many; at most {NODE_LIMIT}")
    return model


def _data(file: BinaryIO, size: int) -> bytes:
    """A file's bytes; of a large file without the values of its weights."""
    if size <= LARGE:
        return file.read(size)
    with mmap(file.fileno(), size, access=ACCESS_READ) as mapped, memoryview(mapped) as whole:
        return without_values(whole)


class PlacedError(WiringError):
    """An error whose message has the node's place already."""


class Reader:
    """A file on its way to a graph: what each name stands for so far, and what was left out."""

    def __init__(self, path: Path, model: ModelProto, *, skip: bool = False) -> None:
        self.path: Final = path
        self.model: Final = model.graph
        self.skip = skip
        self.dtype: Final = element_type(model)
        self.ends: Final[list[Tensor]] = []
        """Tensors that only what was left out reads."""
        self.taken: dict[str, int] = {}
        self.sources: dict[str, Source] = {}
        self.skipped: Final[Counter[str]] = Counter()
        self.unfolded: Final[Counter[str]] = Counter()
        """Operators that onnx itself said what they stand for."""
        self.scales = 0
        """Scales and zero points of weights that are dequantized ahead of any image."""
        self.behind = 0
        self.nodes_so_far = len(model.graph.node)
        self.steps_first: list[Tensor] = []
        """Inputs of which the file calls the second dimension the batch."""
        self.sizes: dict[str, list[int | str]] = {}
        """Those of each input, where a text stands for a dimension that is open."""
        self.symbols: Final[dict[str, set[int]]] = {}
        """What stands for a dimension that is open -> its sizes; '' -> those that differ from what is declared."""
        try:
            self.functions: Final = Functions(model, self.dtype)
            body = Body(model.graph, self.dtype)
        except WiringError as error:
            raise WiringError(f"{path}: {error}") from None
        self.values: Final[dict[str, Value]] = dict(body.constants)
        self.main: Final = Scope(body, self.values, self.values, self.functions.opsets)
        self.common: set[str] = set(self.main.common())
        """The names of constants that several nodes read."""

    @cached_property
    def declared(self) -> Mapping[str, tuple[Shape, Type]]:
        """The inner shapes that a file declares for inputs like these and that are whole, with the types."""
        if "" in self.symbols:
            return {}
        known = {symbol: sizes.copy().pop() for symbol, sizes in self.symbols.items() if len(sizes) == 1}
        shapes = {}
        for value in (*self.model.value_info, *self.model.output):
            kind = value.type.tensor_type
            sizes = tuple([dim.dim_value or known.get(str(dim.dim_param), 0) for dim in kind.shape.dim])
            if kind.HasField("shape") and min(sizes, default=1) > 0:
                shapes[value.name] = sizes, own(TYPES.get(kind.elem_type, self.dtype), self.dtype)
        return shapes

    def inputs(
        self,
        given: Mapping[str, Shape],
        batch: int,
        axes: Mapping[str, int] = MappingProxyType({}),
        *,
        alike: bool = False,
    ) -> dict[str, int]:
        """Make the inputs, of the shapes that were given -> the dimensions that were open and are the batch now.

        ``axes`` are dimensions that are the batch although they are not open; with ``alike`` they are the first ones if
        all are as large and none is open.
        """
        inputs = [value for value in self.model.input if value.name not in self.values]
        names = self._named(inputs)
        if "" in given and len(names) == 1:
            given = {names[0]: given[""]}
        for name in given:
            if name not in names:
                raise CostModelError(f"{self.path}: it has no input {name!r}; {suggestion(name, names)}")
        for value in inputs:
            if value.name not in given and (empty := self._empty(value)):
                self.values[value.name] = empty
        inputs = [value for value in inputs if value.name not in self.values]
        self.sizes = sizes = {value.name: self._sizes(value, given) for value in inputs}
        opened = {name: axis for name in sizes if (axis := _batch_axis(sizes[name])) is not None}
        if alike and not opened and len({each[0] for each in sizes.values() if each}) == 1:
            axes = {name: 0 for name, each in sizes.items() if each}
        for value in inputs:
            name = value.name
            for axis in (each[name] for each in (opened, axes) if name in each):
                sizes[name][axis] = batch
            self._bind(value, sizes[name])
            source = Source("value", name)
            apart = OnnxNode(
                "Input",
                1,
                {},
                (),
                (True,),
                name,
                self.taken,
                source=source,
                sources=self.sources,
            )
            (tensor,) = apart.apply(self._input(value, sizes[name]))
            self.values[name] = tensor
            if _batch_axis([str(dim.dim_param) or 1 for dim in value.type.tensor_type.shape.dim]) == 1:
                self.steps_first.append(tensor)
        return opened

    @property
    def flowing(self) -> dict[str, Tensor]:
        """The inputs by name."""
        return {name: tensor for name in self.sizes if isinstance(tensor := self.values[name], Tensor)}

    def _bind(self, value: Any, sizes: Sequence[int | str]) -> None:
        """Remember what the open dimensions of an input are, and that others are not as declared."""
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes, strict=False):
            if isinstance(size, int) and size != dim.dim_value:
                self.symbols.setdefault("" if dim.dim_value else str(dim.dim_param), set()).add(size)

    def _named(self, inputs: Sequence[Any]) -> list[str]:
        """The names of inputs, checked."""
        names = [value.name for value in inputs]
        for name in names:
            if not (isinstance(name, str) and name.isprintable()):
                raise CostModelError(f"{self.path}: the name of input {name!r} is not plain text")
        for name, count in Counter(names).items():
            if count > 1:
                raise CostModelError(f"{self.path}: {count} inputs are named {name!r}")
        return names

    def _input(self, value: Any, sizes: Sequence[int | str]) -> Input:
        """An input whose sizes must all be numbers by now."""
        name, dtype = value.name, self._type(value)
        whole = [size for size in sizes if isinstance(size, int)]
        if len(whole) < len(sizes):
            number, size = next((number, size) for number, size in enumerate(sizes) if not isinstance(size, int))
            raise CostModelError(
                f"{self.path}: input {name!r} leaves dimension {number} open ({size or 'without a name'}); set it with "
                f"--shape {name}={'x'.join([str(size) if isinstance(size, int) else '?' for size in sizes])}"
            )
        if prod(whole) >= ELEMENTS:
            raise CostModelError(
                f"{self.path}: input {name!r} of {dims(tuple(whole))} has 2^63 elements or more, too many"
            )
        return Input(tuple(whole), dtype)

    def _type(self, value: Any) -> Type:
        """The element type of an input."""
        number = value.type.tensor_type.elem_type
        if number not in TYPES:
            raise CostModelError(f"{self.path}: input {value.name!r} is of {untyped(number)}")
        return own(TYPES[number], self.dtype)

    def _empty(self, value: Any) -> Empty | None:
        """An input that declares a size below 1; one that states none leaves it open."""
        dims_ = value.type.tensor_type.shape.dim
        for number, dim in enumerate(dims_):
            if dim.dim_value < 1 and dim.HasField("dim_value"):
                shape = "x".join([str(each.dim_value) if each.dim_value > 0 else "?" for each in dims_])
                problem = (
                    f"reads input {value.name!r}, whose size in dimension {number} is {dim.dim_value}; at least 1 is "
                    f"accepted, or --shape {value.name}={shape}"
                )
                return Empty(self._type(value), problem)
        return None

    def _sizes(self, value: Any, given: Mapping[str, Shape]) -> list[int | str]:
        """An input's sizes: as given, or as declared, where a text stands for a dimension that is open."""
        kind = value.type.tensor_type
        declared = [dim.dim_value if dim.dim_value > 0 else str(dim.dim_param) for dim in kind.shape.dim]
        if value.name in given:
            if kind.HasField("shape") and len(declared) != len(given[value.name]):
                raise CostModelError(
                    f"{self.path}: input {value.name!r} has {len(declared)} dimensions, not {len(given[value.name])}"
                )
            return list(given[value.name])
        if not kind.HasField("shape"):
            raise CostModelError(
                f"{self.path}: input {value.name!r} declares no shape; set it with --shape {value.name}=1x3x224x224"
            )
        return declared

    def nodes(self) -> None:
        """Read the nodes, in the file's order, which is one that they can run in."""
        self._read(self.main)

    def _read(self, scope: Scope) -> None:
        for node in scope.body.nodes:
            try:
                self._node(node, scope)
            except PlacedError:
                raise
            except UnsupportedError as error:
                if not self.skip:
                    raise CostModelError(f"{self._where(node, scope)}: {error}; --unknown skip leaves it out") from None
                self._leave_out(node, scope)
            except WiringError as error:
                raise PlacedError(f"{self._where(node, scope)}: {error}") from None
            except MALFORMED:
                given = ", ".join([str(item.name) for item in node.attribute]) or "none"
                raise PlacedError(
                    f"{self._where(node, scope)}: its attributes ({given}) or inputs are not such as it takes"
                ) from None

    def _where(self, node: NodeProto, scope: Scope) -> str:
        kind = f"{node.domain}.{node.op_type}" if domain(node.domain) else f"{node.op_type}"
        made = node.name or next(filter(None, node.output), "")
        inside = f" of function {scope.functions[-1]!r}" if scope.functions else ""
        return f"{self.path}: node {scope.path + str(made)!r} ({kind if kind.isprintable() else repr(kind)}){inside}"

    def _node(self, node: NodeProto, scope: Scope) -> None:
        outputs = list(node.output)
        operands = self._operands(node, scope)
        items = scope.items(node)
        place, kind = domain(node.domain), node.op_type
        known = place == OWN or kind in Op.onnx_registry or kind in SOURCES or kind in CONSTANTS
        if place not in ("", OWN):
            kind = f"{place}.{kind}"
            known = kind in Op.onnx_registry
        function = self.functions.of(node) if self.functions.protos and place != OWN else None
        if not function and place != OWN:
            check(node, place, scope.opsets, items)
        made: Sequence[Value]
        if function or not known:
            made = self._others(Call(self, scope, node, operands, {item.name: item for item in items}), function)
        elif kind == "Identity" and (isinstance(operands[0], Items) or (operands[0] is None and node.input[0])):
            made = operands
        else:
            path = scope.path + (node.name or next(filter(None, outputs), kind))
            source = scope.source or Source("node" if node.name else "value", path)
            attributes, read = values_of(items, self.dtype), tuple(map(scope.is_read, outputs))
            seen = OnnxNode(
                kind, scope.opset, attributes, plain(operands, kind), read, path, self.taken, self.dtype, source,
                self.sources, self.common,
            )  # fmt: skip
            made = _own(seen) if place == OWN else _made(seen)
            if made and isinstance(made[0], Constant):
                made = self._constants(seen, made, outputs, scope)
        for name, value in zip(outputs, made, strict=False):
            if name in scope.own:
                raise WiringError(f"makes {name!r}, which is there already")
            if name:
                scope.own[name] = value

    def _constants(
        self, node: OnnxNode, made: Sequence[Value], outputs: Sequence[str], scope: Scope
    ) -> Sequence[Value]:
        """The constants that a node makes, of which those that are no other's form have its names."""
        if node.kind == "DequantizeLinear":
            self.scales += sum([each.elements for each in node.inputs[1:] if isinstance(each, Constant)])
        return [
            scope.body.named(name, value) if isinstance(value, Constant) and _is_new(value, node.kind) else value
            for name, value in zip(outputs, made, strict=False)
        ]

    def _operands(self, node: NodeProto, scope: Scope) -> list[Value]:
        """What a node's inputs stand for."""
        if not scope.body.plain:
            text(node.op_type, node.domain, node.name, *node.input, *node.output)
        values = scope.values
        for name in node.input:
            if name and name not in values:
                raise WiringError(f"reads {name!r}, which nothing before it makes")
        operands = [values[name] if name else None for name in node.input]
        if self.skip and any(value is LEFT_OUT for value in operands):
            self.behind += 1
            raise UnsupportedError("what it reads was left out")
        return operands

    def _others(self, call: Call, function: Function | None) -> Sequence[Value]:
        """What a node makes that is no operator of ours: others in its place."""
        node = call.node
        place, kind = domain(node.domain), node.op_type
        if function is None and not place and kind in CONTROL:
            return CONTROL[kind](call)
        if function is None and not place and kind in SEQUENCES:
            return (SEQUENCES[kind](call),)
        if function is None:
            function = self.functions.of_schema(call)
            self.unfolded[kind] += function is not None
        if function is None:
            known = {*Op.onnx_registry, *SOURCES, *CONSTANTS, *CONTROL, *SEQUENCES}
            where = f" of domain {node.domain!r}" if place else ""
            if place:
                there = {name.removeprefix(f"{place}.") for name in known if name.startswith(f"{place}.")}
                known = {*there, *self.functions.near(node)}
            raise UnsupportedError(f"operator {kind!r}{where} is not known; {suggestion(kind, known)}")
        return self.called(call, function)

    def called(self, call: Call, function: Function) -> list[Value]:
        """Read a function in the place of its call -> what it makes."""
        outer = call.scope
        if function.name in outer.functions:
            chain = " > ".join(map(repr, [*outer.functions[outer.functions.index(function.name) :], function.name]))
            raise WiringError(f"function {function.name!r} calls itself: {chain}")
        own: dict[str, Value] = bound(function, call)
        attributes = {name: item for name, item in function.attributes.items() if item is not None}
        # What onnx writes for a node that holds a graph may read what that graph reads.
        values = ChainMap(own, outer.values) if function.schema else own
        repeated = self.functions.calls.get(self.functions.key(call.node), 1) > 1 or outer.repeated
        asked = dict(zip(function.body.outputs, call.node.output, strict=False))
        unread = {
            name
            for name in function.body.outputs
            if function.body.reads[name] == 1 and not outer.is_read(asked.get(name, ""))
        }
        inside = Scope(
            function.body, values, own, function.opsets, f"{call.path}/", call.source,
            (*outer.functions, function.name), attributes | call.items, outer.depth + 1, unread, repeated,
        )  # fmt: skip
        self.room(call, self.functions.size(function.body))
        return self._within(inside, len(call.node.output))

    def inside(
        self, call: Call, body: Body, given: Sequence[Value], part: str, *, repeated: bool = False
    ) -> list[Value]:
        """Read a graph that a node holds, on these values of its inputs -> what it makes."""
        outer, own = call.scope, dict[str, Value](zip(body.inputs, given, strict=True))
        inside = Scope(
            body, ChainMap(own, outer.values), own, outer.opsets, f"{call.path}/{part}/", call.source,
            outer.functions, outer.attributes, outer.depth + 1, repeated=repeated or outer.repeated,
        )  # fmt: skip
        self.room(call, body.size)
        return self._within(inside, len(body.outputs))

    def _within(self, scope: Scope, wanted: int) -> list[Value]:
        """Read what stands in the place of a node -> as many of its results as are wanted."""
        if scope.depth > DEEPEST:
            raise WiringError(f"functions and graphs are nested deeper than {DEEPEST}")
        if len(scope.path) > LONGEST:
            raise WiringError(f"its name, with those of the nodes around it, is longer than {LONGEST} letters")
        self.nodes_so_far += scope.body.size
        for name, value in scope.body.constants.items():
            scope.own.setdefault(name, value)
        self.common.update(scope.common())
        self._read(scope)
        for name in scope.body.outputs[:wanted]:
            if name not in scope.values:
                raise WiringError(f"{name!r} is to come out of {scope.path!r}, where nothing makes it")
        return [scope.values[name] for name in scope.body.outputs[:wanted]]

    def room(self, call: Call, nodes: int) -> None:
        """Refuse a node that stands for more nodes than a file may hold."""
        if self.nodes_so_far + nodes > NODE_LIMIT:
            raise WiringError(f"with what {call.node.op_type!r} stands for there are more than {NODE_LIMIT} nodes")

    def tried(self, call: Call, body: Body, part: str) -> list[Value]:
        """Read a graph that may not run, and go on as if that had not been."""
        before = self.taken, self.sources, self.common, self.skip
        self.taken, self.sources, self.common, self.skip = {}, {}, set(self.common), False
        try:
            return self.inside(call, body, (), part)
        finally:
            self.taken, self.sources, self.common, self.skip = before

    def make(
        self, call: Call, kind: str, operands: Sequence[Value], part: str, outputs: int, how: Mapping[str, Any]
    ) -> list[Value]:
        """What an operator of ONNX makes in the place of a node."""
        self.room(call, outputs)
        self.nodes_so_far += outputs
        path = f"{call.path}/{part}" if part else call.path
        node = OnnxNode(
            kind, OPSET, how, plain(operands), (True,) * outputs, path, self.taken, self.dtype, call.source,
            self.sources, self.common,
        )  # fmt: skip
        return [*_made(node)]

    def _leave_out(self, node: NodeProto, scope: Scope) -> None:
        """Go on behind a node that is not known, with the shapes that the file declares of what it makes, if any."""
        names = [name for name in node.output if scope.is_read(name)]
        declared = [self.declared.get(name) if scope is self.main else None for name in names]
        inputs = [scope.values.get(name) for name in node.input]
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        whole = [made for made in declared if made is not None]
        behind = any(value is LEFT_OUT for value in inputs)
        self.skipped[node.op_type] += not behind
        if not names or len(whole) != len(names) or not tensors:
            scope.own.update(dict.fromkeys(names, LEFT_OUT))
            self.ends.extend(tensors)
            return
        self.behind -= behind
        path = node.name or names[0]
        source = Source("node" if node.name else "value", path)
        apart = OnnxNode(
            node.op_type,
            1,
            {},
            (),
            (),
            path,
            self.taken,
            source=source,
            sources=self.sources,
        )
        shapes, types = zip(*whole, strict=True)
        scope.own.update(zip(names, apart.apply(Opaque(node.op_type, shapes, types), *tensors), strict=True))

    def graph(self, title: str) -> Graph:
        """The network that makes the file's outputs, and what only operators that were left out read."""
        for value in self.model.output:
            if value.name not in self.values:
                raise CostModelError(f"{self.path}: nothing makes its output {value.name!r}")
        outputs = [self.values[value.name] for value in self.model.output]
        wanted = [value for value in (*outputs, *self.ends) if isinstance(value, Tensor)]
        if not wanted:
            raise CostModelError(f"{self.path}: none of its outputs follows from its inputs")
        notes = [*left_out(self.skipped, self.behind), *unfolded(self.unfolded)]
        if self.scales:
            notes.append(f"not counted: {self.scales} scales and zero points of weights that are dequantized ahead")
        graph = self._made(wanted, title, notes)
        if len(graph.nodes) < len(self.sources) and (dead := self._dead(graph)):
            return self._made(wanted, title, [*notes, uncounted(dead)])
        return graph

    def _made(self, wanted: Sequence[Tensor], title: str, notes: Sequence[str]) -> Graph:
        return Graph(
            list(dict.fromkeys(wanted)), title,
            dtype=self.dtype, notes=notes, sources=self.sources, steps_first=self.steps_first,
        )  # fmt: skip

    def _dead(self, graph: Graph) -> list[str]:
        """The nodes that are layers of which no output follows, with their operators."""
        inputs = {Source("value", name) for name in self.sizes}
        reached = {self.sources.get(name) for name in graph.nodes}
        dead = [source for source in dict.fromkeys(self.sources.values()) if source not in reached | inputs]
        kinds = {name: node.op_type for node in self.model.node for name in (*node.output, node.name)}
        return [f"{source.name!r} ({kinds.get(source.name, 'unknown')})" for source in dead]


def _is_new(value: Constant, kind: str) -> bool:
    """Whether a constant that a node makes is one of its own, which several may read, and no other's form."""
    return kind in MADE or (not value.name and value.learned and value.elements > 1)


def _has_no_steps(model: ModelProto) -> bool:
    """Whether no node of a file can take steps first, so that images are along the first axis of every input."""
    kinds = {node.op_type for node in model.graph.node}
    return not model.functions and not any(kind in CONTROL or STEPS.search(str(kind)) for kind in kinds)


def _batch_axis(sizes: Sequence[int | str]) -> int | None:
    """The dimension of an input that is open for a batch: one called so, or else the first."""
    called = [axis for axis, size in enumerate(sizes) if isinstance(size, str) and BATCH.search(size)]
    return next(iter(called), 0 if sizes and isinstance(sizes[0], str) else None)


def unfolded(found: Mapping[str, int]) -> list[str]:
    """Operators that were read as what onnx says they stand for, by name -> a note, or none."""
    named = ", ".join(f"{kind} ({count})" for kind, count in sorted(found.items()) if count)
    return [f"read as the operators that onnx says they stand for: {named}"] if named else []


def uncounted(dead: Sequence[str]) -> str:
    """Nodes that are no layers of the network -> a note."""
    more = f" and {len(dead) - LISTED} more" if len(dead) > LISTED else ""
    them = "them" if len(dead) > 1 else "it"
    return f"not counted, since no output follows from {them}: {', '.join(dead[:LISTED])}{more}"


def plain(operands: Sequence[Value], kind: str = "") -> tuple[Operand, ...]:
    """Operands of an operator, of which none is a sequence or has no values."""
    made = tuple([value for value in operands if not isinstance(value, Items | LeftOut | Untyped | Empty)])
    if len(made) == len(operands):
        return made
    for index, value in enumerate(operands):
        if isinstance(value, Untyped):
            raise UnsupportedError(f"reads {value.name!r} of {untyped(value.number)}")
        if isinstance(value, Empty):
            if (kind, index) != ("CastLike", 1):
                raise UnsupportedError(value.problem)
            return (*made, Constant((), dtype=value.dtype, learned=False))
    raise WiringError("reads a sequence in the place of a map")


def _made(node: OnnxNode) -> Sequence[Operand]:
    """What a node of ONNX makes: constants, its operand under another name, or layers."""
    if node.kind in BY_VALUES and (node.tensors or node.kind not in COMPUTED):
        raise UnsupportedError("how much it makes or does depends on values that are computed")
    constants = fold(node)
    if constants is not None:
        return constants
    passed = passes(node)
    if passed:
        return (passed,)
    if node.kind not in Op.onnx_registry:
        raise UnsupportedError("it is known for constants only")
    return Op.onnx_registry[node.kind].from_onnx(node)


def _own(node: OnnxNode) -> tuple[Tensor, ...]:
    """What a call of our own operator makes, as the exporter writes it where ONNX has none."""
    kind = node.kind.partition("_")[0]
    if kind not in Op.registry:
        raise UnsupportedError(f"operator {kind!r} of domain {OWN!r} is not known; {suggestion(kind, Op.registry)}")
    told = "".join([f"{name}: {value}\n" for name, value in node.attributes.items()]) or "{}"
    try:
        item = document.parse(told, "its attributes")
        op = plan.made(item, Op.registry[kind], item.mapping())
    except CostModelError as error:
        raise WiringError(str(error)) from None
    made = node.apply(op)
    given = [operand.shape for operand in node.inputs if isinstance(operand, Constant)]
    wanted = [weight.shape for weight in op.weights(*[tensor.shape for tensor in node.tensors])]
    if given != wanted:
        raise WiringError(f"takes weights of {', '.join(map(dims, wanted))}, not of {', '.join(map(dims, given))}")
    return made
