"""The parts of an ONNX file -> ours: tensors as constants, attributes as values, and a model's element type."""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from math import prod
from typing import Any, Final

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError, UnsupportedError, WiringError
from costmodel.graph import BITS, ELEMENTS, FRACTIONS, NARROW, size_in_bytes
from costmodel.importers.folding import LIMIT, attribute
from costmodel.ops.onnx import TYPES, Constant, own

try:
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
except ImportError:
    raise CostModelError("reading ONNX files needs the extra 'onnx': pip install 'costmodel[onnx]'") from None

EXTERNAL: Final = TensorProto.EXTERNAL

DTYPE: Final = "costmodel.dtype"
"""The metadata of a file that states the element type of its network, where that does not follow from what is in it."""

READABLE: Final[Mapping[int, int]] = dict.fromkeys((1, 6, 7, 9, 10, 11), LIMIT)
"""Element types whose values may tell a node what to do -> of how many elements at most."""


def element_type(model: ModelProto) -> str:
    """The element type of a model: the fractions that most of its constants are, or else its inputs.

    A narrow type counts only where there is no other: it is one to keep weights in. A file may state it as metadata.
    """
    for stated in model.metadata_props:
        if stated.key == DTYPE and stated.value in BITS:
            return str(stated.value)
    found: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        found[TYPES.get(tensor.data_type, "")] += abs(prod(tensor.dims))
    for node in model.graph.node:
        if node.op_type in ("Constant", "ConstantOfShape"):
            found.update({TYPES.get(item.t.data_type, ""): abs(prod(item.t.dims)) for item in node.attribute})
    for value in model.graph.input:
        found[TYPES.get(value.type.tensor_type.elem_type, "")] += 0
    fractions = [dtype for dtype, _ in found.most_common() if dtype in FRACTIONS]
    return next((dtype for dtype in fractions if dtype not in NARROW), next(iter(fractions), "float32"))


def untyped(number: int) -> str:
    """The number of an element type that is not known -> what is wrong with it."""
    names = {value: name for name, value in TensorProto.DataType.items()}
    named = f"{number} ({names[number].lower()})" if number in names else f"{number}"
    return f"element type {named}, which is not supported; known: {', '.join(sorted({*TYPES.values()}))}"


def constant(tensor: TensorProto, network: str) -> Constant:
    """A tensor of a file: its declared shape, and its values only if it is small and in the file itself."""
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise WiringError(f"constant {tensor.name!r} has the shape {shape}")
    known = TYPES.get(tensor.data_type)
    if known is None:
        raise UnsupportedError(f"its constant {tensor.name!r} is of {untyped(tensor.data_type)}")
    dtype, elements, file = own(known, network), prod(shape), ""
    if elements >= ELEMENTS:
        raise WiringError(f"constant {tensor.name!r} has 2^63 elements or more, which no 64-bit number counts")
    if tensor.data_location == EXTERNAL:
        file = next((item.value for item in tensor.external_data if item.key == "location"), "")
    elif size := len(tensor.raw_data):
        wanted = size_in_bytes(elements, BITS[known])
        if size != wanted:
            raise WiringError(f"constant {tensor.name!r} of shape {shape} has {size} bytes of values, not {wanted}")
    learned = dtype is None or dtype in FRACTIONS
    return Constant(shape, _Values(tensor), tensor.name, dtype, learned, lowest=partial(_lowest, tensor), file=file)


def _lowest(tensor: TensorProto) -> float | None:
    """The least value of a tensor whose values are in the file."""
    if tensor.data_location == EXTERNAL or not tensor.ByteSize() > prod(tensor.dims):
        return None
    return float(numpy_helper.to_array(tensor).min())


class _Values:
    """The values of a tensor, read when they are first asked for."""

    __slots__ = ("tensor", "values")

    def __init__(self, tensor: TensorProto) -> None:
        self.tensor: TensorProto | None = tensor
        self.values: Array | None = None

    def __call__(self) -> Array | None:
        if self.tensor is not None:
            self.values, self.tensor = _values(self.tensor), None
        return self.values


def _values(tensor: TensorProto) -> Array | None:
    if prod(tensor.dims) > READABLE.get(tensor.data_type, 0) or tensor.data_location == EXTERNAL:
        return None
    if tensor.data_type == TensorProto.INT64 and tensor.raw_data:  # most are sizes, and there are many
        return np.frombuffer(tensor.raw_data, "<i8").reshape(tensor.dims)
    return numpy_helper.to_array(tensor)


def attributes_of(node: NodeProto, network: str) -> dict[str, Any]:
    """A node's attributes by name."""
    return values_of(node.attribute, network)


def values_of(items: Iterable[AttributeProto], network: str) -> dict[str, Any]:
    """Attributes by name: tensors as constants, texts as texts, numbers as they were meant."""
    return {item.name: _attribute(item, network) for item in items}


def _attribute(item: AttributeProto, network: str) -> Any:
    if item.type == AttributeProto.INT:
        return item.i
    if item.type == AttributeProto.INTS:
        return tuple(item.ints)
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
