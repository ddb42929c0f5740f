"""A graph or a function of an ONNX file -> its nodes, and what each name in it stands for while these are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

from costmodel.arrays import np
from costmodel.errors import LISTED, UnsupportedError, WiringError
from costmodel.graph import Shape, Source, Tensor, Type, dims
from costmodel.importers.folding import known
from costmodel.importers.protos import constant
from costmodel.ops.onnx import TYPES, Constant, Operand

if TYPE_CHECKING:
    from costmodel.importers.onnx import Reader

MADE: Final = frozenset({"Constant", "ConstantOfShape"})
"""Operators whose results are constants of their own."""

HOLDERS: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators that hold graphs."""

BYTES: Final = 1000
"""A node that stands in a function or a graph inside a node counts once for each so many bytes of it."""


@dataclass(frozen=True)
class Items:
    """A sequence of operands."""

    operands: tuple["Value", ...]


@dataclass(frozen=True)
class LeftOut:
    """What an operator would make that was left out, so that what is behind it has no shape."""


@dataclass(frozen=True)
class Untyped:
    """A constant of an element type that is not known, by its number."""

    name: str
    number: int


@dataclass(frozen=True)
class Empty:
    """An input that declares a size below 1, so that only its element type can be read; and what is wrong with it."""

    dtype: Type
    problem: str


Value = Operand | Items | LeftOut | Untyped | Empty
"""What a name stands for."""

LEFT_OUT: Final = LeftOut()


class Body:
    """A graph or a function as it stands in the file, whatever reads it and how often."""

    def __init__(self, proto: GraphProto | FunctionProto, network: str, key: str = "") -> None:
        self.key: Final = key
        """What stands before the names of its constants."""
        self.nodes: Final[Sequence[NodeProto]] = list(proto.node)
        graph = isinstance(proto, GraphProto)
        self.inputs: Final[list[str]] = [value.name if graph else value for value in proto.input]
        self.outputs: Final[list[str]] = [value.name if graph else value for value in proto.output]
        tensors = proto.initializer if graph else ()
        sparse = proto.sparse_initializer if graph else ()
        self.constants: Final[dict[str, Value]] = {
            tensor.name: constant(tensor, network)
            if tensor.data_type in TYPES
            else Untyped(tensor.name, tensor.data_type)
            for tensor in tensors
        }
        self.constants.update((part.values.name, Constant(tuple(part.dims), name=part.values.name)) for part in sparse)
        if len(self.constants) < len(tensors) + len(sparse):
            names = Counter([*[tensor.name for tensor in tensors], *[part.values.name for part in sparse]])
            name, count = names.most_common(1)[0]
            raise WiringError(f"{count} initializers are named {name!r}")
        if key:
            text(*self.inputs, *self.outputs, *self.constants)
            for name, value in self.constants.items():
                self.constants[name] = self.named(name, value) if isinstance(value, Constant) else value
        reads = list(map(read, self.nodes))
        self.reads: Final = Counter(chain.from_iterable(reads))
        self.reads.update(self.outputs)
        self.reads.pop("", None)
        self.uses: Final = Counter(used(self.nodes, reads, self.outputs))
        """How often each name is read for some result."""
        own = {name for node in self.nodes for name in (node.op_type, node.domain, node.name, *node.output)}
        self.plain: Final = {*map(type, own), *map(type, self.reads)} <= {str}
        """Whether the names in it are text."""
        self.inner: Final[dict[tuple[int, str], Body]] = {}

    def named(self, name: str, value: Constant) -> Constant:
        """A constant that is made here, by a name that no other body has."""
        return value._replace(name=f"{self.key}{name}")

    @cached_property
    def size(self) -> int:
        """How many nodes it counts as; more than there are, where these are long."""
        return 1 + sum(map(_size, self.nodes))

    @property
    def operators(self) -> str:
        """The operators that it holds, in words."""
        names = sorted({node.op_type if node.op_type.isprintable() else repr(node.op_type) for node in self.nodes})
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"{', '.join(names[:LISTED]) or 'nothing'}{more}"


def _size(node: NodeProto) -> int:
    parts: list[int] = [item.ByteSize() for item in node.attribute if not (item.HasField("t") or item.HasField("g"))]
    names = [len(name) for name in (node.name, *node.input, *node.output)]
    return 1 + (sum(parts) + sum(names)) // BYTES


def used(nodes: Sequence[NodeProto], reads: Sequence[Sequence[str]], outputs: Iterable[str]) -> Iterator[str]:
    """What the nodes read that some result follows from; all that a node reads is made before it."""
    needed = {*outputs}
    for node, names in zip(reversed(nodes), reversed(reads), strict=True):
        if not needed.isdisjoint(node.output):
            needed.update(names)
            yield from names


def read(node: NodeProto) -> list[str]:
    """The names that a node reads, also in the graphs inside it."""
    names = list(node.input)
    if node.op_type in HOLDERS:
        names += {name for graph in graphs(node) for name in captured(graph)}
    return names


def nodes_in(proto: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """All nodes, with those of the graphs inside them."""
    for node in proto.node:
        yield node
        if node.op_type in HOLDERS:
            for graph in graphs(node):
                yield from nodes_in(graph)


def graphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node."""
    return (item.g for item in node.attribute if item.type == AttributeProto.GRAPH)


def captured(graph: GraphProto) -> set[str]:
    """The names that a graph inside a node reads of what is around it."""
    found = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    made = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
    inner = [captured(part) for node in graph.node if node.op_type in HOLDERS for part in graphs(node)]
    return found.union(*inner) - made - {tensor.name for tensor in graph.initializer}


def text(*names: object) -> None:
    """Refuse names that are not text."""
    if not {*map(type, names)} <= {str}:
        raise WiringError("it has names that are not text")


@dataclass
class Scope:
    """A body that is read, once: what its names stand for, and where that is."""

    body: Body
    values: MutableMapping[str, Value]
    own: dict[str, Value]
    """Those of its own, without what is around it."""
    opsets: Mapping[str, int]
    path: str = ""
    """What stands before the names of its nodes: that of the node it is read for, and which trip it is."""
    source: Source | None = None
    """The node of the file's own graph that it is read for."""
    functions: tuple[str, ...] = ()
    """The functions that it is in, the outermost first."""
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    """Those of the function's call."""
    depth: int = 0
    unread: AbstractSet[str] = frozenset()
    """Results that the call of the function does not ask for."""
    repeated: bool = False
    """Whether it is one of several times that the body is read."""

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("", 1)

    def is_read(self, name: str) -> bool:
        """Whether anything reads what a node makes."""
        return name in self.body.reads and name not in self.unread

    def items(self, node: NodeProto) -> Sequence[AttributeProto]:
        """A node's attributes; those that refer to one of the function's call are that, or are left out with it."""
        given: Sequence[AttributeProto] = node.attribute
        if not [item for item in given if item.ref_attr_name]:
            return given
        if not self.functions:
            raise WiringError("refers to an attribute of a function, and is in none")
        return [item for item in map(self._resolved, given) if item is not None]

    def _resolved(self, item: AttributeProto) -> AttributeProto | None:
        if not item.ref_attr_name:
            return item
        given = self.attributes.get(item.ref_attr_name)
        if given is None:
            return None
        if given.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise UnsupportedError("graphs that are attributes of a function's call are not supported")
        made = AttributeProto()
        made.CopyFrom(given)
        made.name = item.name
        return made

    def common(self) -> Iterator[str]:
        """The names of constants that several nodes read, also in other forms; among them those of maps."""
        reads = self.body.uses
        readers = dict(reads)
        roots = {name: {name} for name, value in self.values.items() if isinstance(value, Constant)}
        for node in self.body.nodes:
            if node.op_type in MADE:
                roots.update((name, {name}) for name in node.output)
            elif node.input and node.input[0] in roots and all(not name or name in roots for name in node.input):
                found = set().union(*[roots[name] for name in node.input if name])
                roots.update((name, found) for name in node.output)
                for root in found & readers.keys():
                    readers[root] += sum([reads[name] for name in node.output]) - 1
        for name, count in readers.items():
            if count > 1 or self.repeated:
                value = self.values.get(name)
                yield value.name if isinstance(value, Constant) else f"{self.body.key}{name}"


@dataclass
class Call:
    """A node that stands for others: one that holds graphs, one on sequences, or the call of a function."""

    reader: "Reader"
    scope: Scope
    node: NodeProto
    operands: Sequence[Value]
    items: dict[str, AttributeProto]

    @property
    def path(self) -> str:
        """Its name, with those of the nodes around it."""
        return self.scope.path + own_name(self.node)

    @property
    def key(self) -> str:
        """What stands before the names of constants inside it; no other node makes the same."""
        return f"{self.scope.body.key}{next(filter(None, self.node.output), '')}/"

    def get(self, name: str, usual: Any = None) -> Any:
        """A whole number or a list of them among its attributes."""
        item = self.items.get(name)
        if item is None:
            return usual
        if item.type not in (AttributeProto.INT, AttributeProto.INTS):
            raise WiringError(f"{name} must be of whole numbers")
        return list(item.ints) if item.type == AttributeProto.INTS else item.i

    def operand(self, index: int) -> Value:
        """An input, None where there is none."""
        return self.operands[index] if index < len(self.operands) else None

    @property
    def source(self) -> Source:
        """The node of the file's own graph that it is, or that it is read for."""
        named = Source("node" if self.node.name else "value", own_name(self.node))
        return self.scope.source or named

    def number(self, value: Value, what: str) -> int | None:
        """A whole number or a truth that must be known; None where there is none."""
        if value is None:
            return None
        numbers = self.numbers(value, what)
        if len(numbers) != 1:
            raise WiringError(f"{what} must be one number, not {len(numbers)}")
        return numbers[0]

    def numbers(self, value: Value, what: str) -> list[int]:
        """Whole numbers or truths that must be known."""
        values = value.read() if isinstance(value, Constant) else None
        if values is None:
            raise UnsupportedError(f"{what} is not known from the file")
        if values.dtype.kind not in "iub":
            raise WiringError(f"{what} must be a whole number or a truth, not of {values.dtype}")
        return [int(number) for number in values.reshape(-1).tolist()]

    def body(self, name: str) -> Body:
        """A graph that it holds."""
        item = self.items.get(name)
        if item is None or item.type != AttributeProto.GRAPH:
            raise WiringError(f"holds no graph {name!r}")
        outer = self.scope.body
        key = (id(self.node), name)
        if key not in outer.inner:
            outer.inner[key] = Body(item.g, self.reader.dtype, f"{self.key}{name}/")
        return outer.inner[key]

    def run(self, body: Body, values: Sequence[Value], part: str, *, repeated: bool = False) -> list[Value]:
        """Read a graph that it holds on these values -> what the graph makes; ``part`` is its name in the node's."""
        return self.reader.inside(self, body, values, part, repeated=repeated)

    def make(
        self, kind: str, *operands: Value | list[int], name: str = "", outputs: int = 1, **how: int
    ) -> list[Value]:
        """What an operator of ONNX makes of these operands, of which lists are constants."""
        given = [known_numbers(operand) if isinstance(operand, list) else operand for operand in operands]
        return self.reader.make(self, kind, given, name, outputs, how)

    def taken(self, value: Value, axis: int, place: int, name: str) -> Value:
        """One place of an axis, without it."""
        shape = self.shape(value)
        made = value
        if shape[axis] > 1:
            (made,) = self.make("Slice", value, [place], [place + 1], [axis], name=name)
        (made,) = self.make("Squeeze", made, [axis], name=f"{name}_squeeze")
        return made

    def stacked(self, values: Sequence[Value], axis: int, name: str, *, new: bool = True) -> Value:
        """All of them one after another, along an axis that is ``new`` or that they have."""
        if not values:
            raise UnsupportedError(f"would make an empty map as {name!r}")
        if any(value is LEFT_OUT for value in values):
            return LEFT_OUT
        first, *others = dict.fromkeys(map(self.shape, values))
        if new and others:
            raise WiringError(f"cannot stack maps of different shapes: {dims(first)} and {dims(others[0])}")
        parts = values
        if new:
            parts = [
                self.make("Unsqueeze", value, [axis], name=f"{name}_{number}")[0] for number, value in enumerate(values)
            ]
        made: Value = parts[0]
        if len(parts) > 1:
            (made,) = self.make("Concat", *parts, name=name, axis=axis)
        return made

    def shape(self, value: Value) -> Shape:
        """The shape of a map or a constant."""
        if isinstance(value, Tensor | Constant):
            return value.shape
        raise WiringError("reads a sequence or nothing in the place of a map")


def known_numbers(values: Iterable[int]) -> Constant:
    """Whole numbers -> a constant."""
    return known(np.array(list(values), np.int64), "")


def own_name(node: NodeProto) -> str:
    """A node's name, or else that of what it makes."""
    return node.name or next(filter(None, node.output), "") or str(node.op_type)
