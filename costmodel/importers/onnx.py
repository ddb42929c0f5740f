"""model.onnx -> Graph: each node through the operator that takes its name; weights are shapes and are not read.

The file's own shapes are those of its inputs only. All others come from our operators; a file's declarations of inner
shapes are used for nothing but operators that are left out on purpose.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, partial
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, Final

from costmodel import document
from costmodel.arrays import Array
from costmodel.errors import CostModelError, UnsupportedError, WiringError, suggestion
from costmodel.graph import FRACTIONS, Graph, Input, Op, Shape, Source, Tensor, Type, dims
from costmodel.importers import plan
from costmodel.importers.folding import ARRANGED, COMPUTED, LIMIT, SHAPED, SOURCES, attribute, fold, passes
from costmodel.importers.opaque import UNKNOWN, Opaque, left_out
from costmodel.importers.shapes import Shapes, given, titled
from costmodel.importers.structure import LARGE, without_values
from costmodel.ops.onnx import TYPES, Constant, OnnxNode, Operand, own

try:
    from google.protobuf.message import DecodeError
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
except ImportError:
    raise CostModelError("reading ONNX files needs the extra 'onnx': pip install 'costmodel[onnx]'") from None

FILE_LIMIT: Final = 2**31 - 1
"""Bytes; protobuf reads no more."""

NODE_LIMIT: Final = 250_000
"""How many nodes a file may have."""

DOMAINS: Final = ("", "ai.onnx")

OWN: Final = "costmodel"
"""The domain of our own operators, whose attributes are texts as in a list of layers."""

CONSTANTS: Final = frozenset((*COMPUTED, *SHAPED))
"""Operators that are known where their operands are constants."""

MADE: Final = frozenset({"Constant", "ConstantOfShape"})
"""Operators whose results are constants of their own."""

READABLE: Final[Mapping[int, int]] = dict.fromkeys((1, 6, 7, 9, 10, 11), LIMIT)
"""Element types whose values may tell a node what to do -> of how many elements at most."""

MALFORMED: Final = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What attributes and inputs of wrong types or numbers end in."""


def load(path: Path, *, batch: int = 1, shape: Shapes | None = None, unknown: str = "error", **others: Any) -> Graph:
    """Read a network; ``shape`` gives inputs theirs, as {"input": (1, 3, 224, 224)} or "input=1x3x224x224".

    A ``batch`` goes to the first dimension of every input that leaves it open, or of all inputs if none does. With
    ``unknown="skip"`` operators that are not known are left out, and the graph's notes say which.
    """
    if others:
        known = ("shape", "unknown", "batch")
        raise CostModelError(f"{path}: an ONNX file has no parameter {min(others)!r}; {suggestion(min(others), known)}")
    if unknown not in UNKNOWN:
        raise CostModelError(f"{path}: unknown must be one of {', '.join(UNKNOWN)}, not {unknown!r}")
    model = read(path)
    shapes = given(path, shape)
    reader = Reader(path, model, skip=unknown == "skip", fixed=not shapes and batch == 1)
    reader.inputs(shapes, batch)
    reader.nodes()
    return reader.graph(titled(path.stem, {}, shapes, batch))


def read(path: Path) -> ModelProto:
    """Parse a file; data in other files stays there."""
    try:
        with path.open("rb") as file:
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


class Reader:
    """A file on its way to a graph: what each name stands for so far, and what was left out."""

    def __init__(self, path: Path, model: ModelProto, *, skip: bool, fixed: bool) -> None:
        self.path: Final = path
        self.model: Final = model.graph
        self.skip: Final = skip
        self.opset: Final = max([entry.version for entry in model.opset_import if entry.domain in DOMAINS], default=1)
        self.dtype: Final = element_type(model)
        self.values: Final[dict[str, Operand]] = {}
        self.held: Final[set[str]] = set()
        """Names whose values were left out, so that what is behind them has no shape."""
        self.ends: Final[list[Tensor]] = []
        """Tensors that only what was left out reads."""
        self.taken: Final[dict[str, int]] = {}
        self.sources: Final[dict[str, Source]] = {}
        self.skipped: Final[Counter[str]] = Counter()
        self.behind = 0
        self.declared: Final[Mapping[str, tuple[Shape, Type]]] = self._declared() if skip and fixed else {}
        self.read: Final = Counter([name for node in self.model.node for name in node.input if name])
        self.read.update([output.name for output in self.model.output])
        try:
            self.values.update((tensor.name, constant(tensor, self.dtype)) for tensor in self.model.initializer)
        except WiringError as error:
            raise WiringError(f"{path}: {error}") from None
        self.common: Final = self._common()
        for sparse in self.model.sparse_initializer:
            self.values[sparse.values.name] = Constant(tuple(sparse.dims), name=sparse.values.name)

    def _common(self) -> frozenset[str]:
        """The constants that several nodes read, also in other arrangements."""
        readers = {name: self.read[name] for name in self.values}
        readers |= {name: self.read[name] for node in self.model.node if node.op_type in MADE for name in node.output}
        for node in self.model.node:
            if node.op_type in ARRANGED and node.output and node.input and node.input[0] in readers:
                readers[node.input[0]] += self.read[node.output[0]] - 1
        return frozenset([name for name, count in readers.items() if count > 1])

    def _declared(self) -> dict[str, tuple[Shape, Type]]:
        """The inner shapes that a file declares and that are whole, with the types."""
        shapes = {}
        for value in (*self.model.value_info, *self.model.output):
            sizes = tuple([dim.dim_value for dim in value.type.tensor_type.shape.dim])
            if value.type.tensor_type.HasField("shape") and min(sizes, default=1) > 0:
                shapes[value.name] = sizes, own(TYPES.get(value.type.tensor_type.elem_type, self.dtype), self.dtype)
        return shapes

    def inputs(self, given: Mapping[str, Shape], batch: int) -> None:
        """Make the inputs, with the shapes that were given and the batch where the file leaves it open."""
        inputs = [value for value in self.model.input if value.name not in self.values]
        names = [value.name for value in inputs]
        for name in names:
            if not (isinstance(name, str) and name.isprintable()):
                raise CostModelError(f"{self.path}: the name of input {name!r} is not plain text")
        if "" in given and len(names) == 1:
            given = {names[0]: given[""]}
        for name in given:
            if name not in names:
                raise CostModelError(f"{self.path}: it has no input {name!r}; {suggestion(name, names)}")
        sizes = {value.name: self._sizes(value, given) for value in inputs}
        unset = [name for name in names if sizes[name] and not isinstance(sizes[name][0], int)]
        for value in inputs:
            name = value.name
            if name in unset or (batch != 1 and not unset and sizes[name]):
                sizes[name][0] = batch
            apart = OnnxNode("Input", self.opset, {}, (), (True,), name, self.taken, named=False, sources=self.sources)
            (self.values[name],) = apart.apply(self._input(value, sizes[name]))

    def _input(self, value: Any, sizes: Sequence[int | str]) -> Input:
        """An input whose sizes must all be numbers by now."""
        name = value.name
        whole = [size for size in sizes if isinstance(size, int)]
        if len(whole) < len(sizes):
            shape = "x".join(str(size) if isinstance(size, int) else "?" for size in sizes)
            number, size = next((number, size) for number, size in enumerate(sizes) if not isinstance(size, int))
            raise CostModelError(
                f"{self.path}: input {name!r} leaves dimension {number} open ({size or 'without a name'}); set it with "
                f"--shape {name}={shape}"
            )
        dtype = TYPES.get(value.type.tensor_type.elem_type)
        if not dtype:
            raise CostModelError(f"{self.path}: input {name!r} has an element type that is not supported")
        if not whole:
            raise CostModelError(f"{self.path}: input {name!r} is a single number, which is not supported")
        return Input(tuple(whole), own(dtype, self.dtype))

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
        for node in self.model.node:
            try:
                self._node(node)
            except UnsupportedError as error:
                if not self.skip:
                    raise CostModelError(f"{self._where(node)}: {error}; --unknown skip leaves it out") from None
                self._leave_out(node)
            except WiringError as error:
                raise WiringError(f"{self._where(node)}: {error}") from None
            except MALFORMED as error:
                raise WiringError(f"{self._where(node)}: its attributes or inputs are malformed: {error}") from None

    def _where(self, node: NodeProto) -> str:
        kind = f"{node.domain}.{node.op_type}" if node.domain not in DOMAINS else f"{node.op_type}"
        made = node.name or next(filter(None, node.output), "")
        return f"{self.path}: node {made!r} ({kind if kind.isprintable() else repr(kind)})"

    def _node(self, node: NodeProto) -> None:
        kind, inputs, outputs = node.op_type, list(node.input), list(node.output)
        if {*map(type, (kind, node.domain, node.name, *inputs, *outputs))} != {str}:
            raise WiringError("it has names that are not text")
        if self.held and not self.held.isdisjoint(inputs):
            self.behind += 1
            raise UnsupportedError("what it reads was left out")
        if node.domain not in (*DOMAINS, OWN):
            kind = f"{node.domain}.{kind}"
        known = kind in Op.onnx_registry or kind in SOURCES or kind in CONSTANTS
        if not known and node.domain != OWN:
            where = f" of domain {node.domain!r}" if node.domain not in DOMAINS else ""
            names = {*Op.onnx_registry, *SOURCES, *CONSTANTS}
            raise UnsupportedError(f"operator {node.op_type!r}{where} is not known; {suggestion(node.op_type, names)}")
        for name in inputs:
            if name and name not in self.values:
                raise WiringError(f"reads {name!r}, which nothing before it makes")
        seen = OnnxNode(
            kind,
            self.opset,
            attributes_of(node, self.dtype),
            tuple([self.values[name] if name else None for name in inputs]),
            tuple([name in self.read for name in outputs]),
            node.name or next(filter(None, outputs), kind),
            self.taken,
            self.dtype,
            bool(node.name),
            self.sources,
            self.common,
        )
        made = _own(seen) if node.domain == OWN else _made(seen)
        for name, value in zip(outputs, made, strict=False):
            if name:
                self.values[name] = (
                    value._replace(name=name) if node.op_type in MADE and isinstance(value, Constant) else value
                )

    def _leave_out(self, node: NodeProto) -> None:
        """Go on behind a node that is not known, with the shapes that the file declares of what it makes, if any."""
        names = [name for name in node.output if name and name in self.read]
        declared = [self.declared.get(name) for name in names]
        inputs = [self.values.get(name) for name in node.input]
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        whole = [made for made in declared if made is not None]
        self.skipped[node.op_type] += self.held.isdisjoint(node.input)
        if not names or len(whole) != len(names) or not tensors:
            self.held.update(names)
            self.ends.extend(tensors)
            return
        self.behind -= not self.held.isdisjoint(node.input)
        name, sources = node.name or names[0], self.sources
        apart = OnnxNode(node.op_type, self.opset, {}, (), (), name, self.taken, named=bool(node.name), sources=sources)
        shapes, types = zip(*whole, strict=True)
        self.values.update(zip(names, apart.apply(Opaque(node.op_type, shapes, types), *tensors), strict=True))

    def graph(self, title: str) -> Graph:
        """The network that makes the file's outputs, and what only operators that were left out read."""
        outputs = [self.values.get(value.name) for value in self.model.output]
        wanted = [value for value in (*outputs, *self.ends) if isinstance(value, Tensor)]
        if not wanted:
            raise CostModelError(f"{self.path}: none of its outputs follows from its inputs")
        notes = left_out(self.skipped, self.behind)
        return Graph(list(dict.fromkeys(wanted)), title, dtype=self.dtype, notes=notes, sources=self.sources)


def _made(node: OnnxNode) -> Sequence[Operand]:
    """What a node of ONNX makes: constants, its operand under another name, or layers."""
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
    text = "".join([f"{name}: {value}\n" for name, value in node.attributes.items()]) or "{}"
    try:
        item = document.parse(text, "its attributes")
        op = plan.made(item, Op.registry[kind], item.mapping())
    except CostModelError as error:
        raise WiringError(str(error)) from None
    made = node.apply(op)
    given = [operand.shape for operand in node.inputs if isinstance(operand, Constant)]
    wanted = [weight.shape for weight in op.weights(*[tensor.shape for tensor in node.tensors])]
    if given != wanted:
        raise WiringError(f"takes weights of {', '.join(map(dims, wanted))}, not of {', '.join(map(dims, given))}")
    return made


def element_type(model: ModelProto) -> str:
    """The element type of a model: the fractions that most of its constants are, or else its inputs."""
    found: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        found[TYPES.get(tensor.data_type, "")] += abs(prod(tensor.dims))
    for node in model.graph.node:
        if node.op_type in ("Constant", "ConstantOfShape"):
            found.update({TYPES.get(item.t.data_type, ""): abs(prod(item.t.dims)) for item in node.attribute})
    for value in model.graph.input:
        found[TYPES.get(value.type.tensor_type.elem_type, "")] += 0
    return next((dtype for dtype, _ in found.most_common() if dtype in FRACTIONS), "float32")


def constant(tensor: TensorProto, network: str) -> Constant:
    """A tensor of a file: its declared shape, and its values only if it is small and in the file itself."""
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise WiringError(f"constant {tensor.name!r} has the shape {shape}")
    dtype = own(TYPES.get(tensor.data_type, network), network)
    return Constant(shape, cache(partial(_values, tensor)), tensor.name, dtype, dtype is None or dtype in FRACTIONS)


def _values(tensor: TensorProto) -> Array | None:
    if prod(tensor.dims) > READABLE.get(tensor.data_type, 0) or tensor.data_location == tensor.EXTERNAL:
        return None
    return numpy_helper.to_array(tensor)


def attributes_of(node: NodeProto, network: str) -> dict[str, Any]:
    """A node's attributes by name: tensors as constants, texts as texts, numbers as they were meant."""
    return {item.name: _attribute(item, network) for item in node.attribute}


def _attribute(item: Any, network: str) -> Any:
    if item.type == AttributeProto.TENSOR:
        return constant(item.t, network)
    if item.type == AttributeProto.FLOAT:
        return shortest(item.f)
    if item.type == AttributeProto.FLOATS:
        return tuple(map(shortest, item.floats))
    return attribute(helper.get_attribute_value(item))


def shortest(value: float) -> float:
    """A number of 32 bits -> the shortest decimal that stands for it: 0.1, not 0.10000000149."""
    narrow = struct.Struct("f")
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if narrow.pack(float(text)) == narrow.pack(value):
            return float(text)
    return value
