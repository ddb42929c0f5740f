"""Constants and shapes x a node of an ONNX model -> constants: the arithmetic with sizes that exporters write out.

Only small constants have values here. Weights are shapes; what is done to a weight makes a weight of another shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate
from math import prod
from typing import Any, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import FRACTIONS, Input, Op, Shape, Tensor, Type, dims
from costmodel.ops.checks import broadcast
from costmodel.ops.elementwise import Binary
from costmodel.ops.functions import Function
from costmodel.ops.indexing import Trilu
from costmodel.ops.layout import split_sizes
from costmodel.ops.onnx import NUMBERS, Constant, OnnxNode, checked_axes, own
from costmodel.ops.reduction import CumSum

LIMIT: Final = 4096
"""Constants of more elements have no values."""


LONGEST: Final = 100
"""Letters of the names of several constants together by which what is made of them is called."""

ARRANGED: Final = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that make the same values of a constant, in another arrangement."""

KEEPING: Final = ARRANGED | {"Abs", "Cast", "CastLike", "Ceil", "DequantizeLinear", "Floor", "Neg", "Sqrt"}
"""Operators that make of each value of a constant one of their own: what is stored is still that constant."""


def known(values: Array, network: str) -> Constant:
    """Values -> a constant, in a network of an element type."""
    return Constant(tuple(values.shape), lambda: values, dtype=own(values.dtype.name, network), learned=False)


def fold(node: OnnxNode) -> tuple[Constant, ...] | None:
    """What a node makes where that is constant; None for a layer."""
    if node.kind in SOURCES:
        return (SOURCES[node.kind](node),)
    if node.kind == "CastLike" and isinstance(node.operand(0), Constant):
        node = replace(
            node, kind="Cast", inputs=node.inputs[:1], attributes={"to": NUMBERS[_cast_to(node) or node.dtype]}
        )
    constants = [operand for operand in node.inputs if isinstance(operand, Constant)]
    if not constants or node.tensors:
        return None
    learned = {each.name: each.whole or each.elements for each in constants if each.learned and each.elements > 1}
    first = constants[0]
    stored = (first.stored or first.shape) if node.kind == "Expand" else None
    made = [made._replace(learned=bool(learned), stored=stored) for made in _folded(node, constants)]
    if node.kind in ARRANGED:
        made = [each._replace(lowest=first.lowest) for each in made]
    if node.kind == "DequantizeLinear" or not learned or "" in learned:
        return tuple(made)
    name = "+".join(learned)
    if len(learned) > 1 and len(name) > LONGEST:
        name = node.path
    return tuple([_formed(name, learned, each) for each in made])


def _formed(name: str, learned: Mapping[str, int], made: Constant) -> Constant:
    """What is made of learned constants, by name and stored values, is these in another form, a part or repeated."""
    stored = sum(learned.values())
    same = len(learned) == 1 and stored == made.elements
    return made._replace(name=name, whole=0 if same else stored)


def _folded(node: OnnxNode, constants: Sequence[Constant]) -> tuple[Constant, ...]:
    """What a node makes of constants."""
    if node.kind in COMPUTED and all(operand.elements <= LIMIT for operand in constants):
        arrays = [operand.read() for operand in constants]
        if None not in node.inputs and not any(array is None for array in arrays):
            try:
                with np.errstate(all="ignore"):
                    made = COMPUTED[node.kind](node, *arrays)
            except _TooManyError as many:
                return (Constant(many.shape, dtype=constants[-1].dtype),)
            parts = map(np.asarray, made if isinstance(made, list) else [made])
            return tuple([known(values, node.dtype)._replace(name=_name(node)) for values in parts])
    if node.kind == "DequantizeLinear":  # once, ahead of any image: what is kept and read is the whole numbers
        return (constants[0]._replace(read=lambda: None, scaled=True),)
    if node.kind in SHAPED:
        first = constants[0]
        dtype = _cast_to(node) if node.kind == "Cast" else first.dtype
        shape = SHAPED[node.kind](node, first.shape)
        return (Constant(shape, name=_name(node), dtype=dtype),)
    return _weights(node)


def _weights(node: OnnxNode) -> tuple[Constant, ...]:
    """What a layer would make of maps in the place of the weights: weights of those shapes."""
    if node.kind not in Op.onnx_registry:
        raise UnsupportedError("constants that it makes are not known")
    inputs = []
    for index, operand in enumerate(node.inputs):
        told = isinstance(operand, Constant) and operand.read() is not None and index > 0
        flows = isinstance(operand, Constant) and not told and operand.shape
        inputs.append(Input(operand.shape, operand.dtype)() if flows and operand else operand)
    apart = OnnxNode(node.kind, node.opset, node.attributes, tuple(inputs), node.outputs, node.path, dtype=node.dtype)
    made = Op.onnx_registry[node.kind].from_onnx(apart) if apart.tensors else ()
    tensors = [tensor for tensor in made if tensor is not None]
    if not made or len(tensors) < len(made):
        raise UnsupportedError("constants that it makes are not known")
    return tuple([Constant(tensor.shape, name=_name(node), dtype=tensor.dtype) for tensor in tensors])


def _name(node: OnnxNode) -> str:
    """The name of the constant of which a node makes another form."""
    first = node.operand(0)
    return first.name if isinstance(first, Constant) and node.kind in KEEPING else ""


def _shape(node: OnnxNode) -> Constant:
    """The sizes of a map, or of a part of its axes."""
    (operand,) = node.inputs
    if operand is None:
        raise WiringError("takes 1 input")
    rank = len(operand.shape)
    start, end = int(node.get("start", 0)), int(node.get("end", rank))
    return known(np.array(operand.shape[slice(start, end)], np.int64), node.dtype)


def _size(node: OnnxNode) -> Constant:
    (operand,) = node.inputs
    if operand is None:
        raise WiringError("takes 1 input")
    return known(np.array(prod(operand.shape), np.int64), node.dtype)


def _constant(node: OnnxNode) -> Constant:
    if len(node.attributes) > 1:
        raise WiringError(f"has {len(node.attributes)} values: {', '.join(node.attributes)}; one is accepted")
    if isinstance(node.get("value"), Constant):
        made: Constant = node.get("value")
        return made
    for name, dtype in (("value_int", "int64"), ("value_ints", "int64"), ("value_float", "float32"),
                        ("value_floats", "float32")):  # fmt: skip
        if name in node.attributes:
            return known(np.array(node.get(name), dtype), node.dtype)
    raise UnsupportedError(f"constants given as {', '.join(node.attributes) or 'nothing'} are not supported")


def _constant_of_shape(node: OnnxNode) -> Constant:
    """A weight, whose values are not those there, if its shape is in the file; else what follows from sizes."""
    shape = node.integers(0)
    if shape is None or min(shape, default=0) < 0:
        raise WiringError(f"cannot make a constant of shape {shape}")
    value = node.get("value")
    dtype = own("float32", node.dtype) if value is None else value.dtype
    (sizes,) = node.inputs
    learned = (dtype is None or dtype in FRACTIONS) and isinstance(sizes, Constant) and bool(sizes.name)
    return Constant(shape, lambda: None if learned else _full(shape, value), dtype=dtype, learned=learned)


def _full(shape: Shape, value: Constant | None) -> Array | None:
    if prod(shape) > LIMIT:
        return None
    one = np.zeros(1, np.float32) if value is None else value.read()
    return None if one is None else np.full(shape, one.reshape(-1)[0], one.dtype)


def _stated_type(node: OnnxNode, usual: Type) -> Type:
    """The element type that a node states, or a usual one; None for the network's."""
    return node.type(int(node.get("dtype"))) if "dtype" in node.attributes else usual


def _eye_like(node: OnnxNode) -> Constant:
    """Ones on a diagonal of a matrix of the operand's shape."""
    like = node.operand(0)
    if like is None or len(like.shape) != 2:
        raise WiringError("takes 1 input of two axes")
    dtype, k = _stated_type(node, like.dtype), int(node.get("k", 0))
    if prod(like.shape) > LIMIT or (dtype or node.dtype) not in np.sctypeDict:
        return Constant(like.shape, dtype=dtype, learned=False)
    return known(np.eye(*like.shape, k, dtype or node.dtype), node.dtype)


def _drawn(node: OnnxNode) -> Constant:
    """Numbers drawn at random, of a stated shape or like an operand: made elsewhere, and read."""
    if not node.kind.endswith("Like"):
        shape = tuple(node.get("shape", ()))
        if not all(type(size) is int and size > 0 for size in shape):
            raise WiringError(f"cannot make a constant of shape {shape}")
        return Constant(shape, dtype=_stated_type(node, own("float32", node.dtype)), learned=False)
    like = node.operand(0)
    if like is None:
        raise WiringError("takes 1 input")
    return Constant(like.shape, dtype=_stated_type(node, like.dtype), learned=False)


SOURCES: Final[Mapping[str, Callable[[OnnxNode], Constant]]] = {
    "Constant": _constant, "ConstantOfShape": _constant_of_shape, "EyeLike": _eye_like, "Shape": _shape,
    "Size": _size,
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _drawn),
}  # fmt: skip
"""What makes constants of nothing, or of a map's shape."""

BY_VALUES: Final = frozenset({"Compress", "MaxRoiPool", "NonMaxSuppression", "NonZero", "Range", "Unique"})
"""Operators of which it depends on values how much they make or do."""


class _TooManyError(Exception):
    """A result of more elements than have values; its shape is known."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.shape: Final = shape


def _bounded(shape: Sequence[int]) -> Shape:
    """A shape of few enough elements to have values."""
    whole = tuple(map(int, shape))
    if prod(whole) > LIMIT:
        raise _TooManyError(whole)
    return whole


def _elementwise(function: Callable[..., Array]) -> Callable[..., Array]:
    def computed(node: OnnxNode, *arrays: Array) -> Array:  # noqa: ARG001
        _bounded(np.broadcast_shapes(*[array.shape for array in arrays]))
        return function(*arrays) if len(arrays) == 1 else reduce(function, arrays)

    return computed


def _divide(a: Array, b: Array) -> Array:
    """Of whole numbers the quotient, rounded toward zero."""
    if not np.issubdtype(a.dtype, np.integer):
        return a / b
    if not b.all():
        raise WiringError("divides by zero")
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _modulo(a: Array, b: Array) -> Array:
    if not b.all():
        raise WiringError("divides by zero")
    return np.mod(a, b)


def _non_zero(node: OnnxNode, x: Array) -> Array:  # noqa: ARG001
    return np.array(np.nonzero(x), np.int64)


def _compress(node: OnnxNode, x: Array, condition: Array) -> Array:
    axis = node.get("axis")
    size = x.size if axis is None else x.shape[node.axis(0, x.ndim)]
    return np.compress(condition[:size], x, axis)


def _window(*factors: float) -> Callable[..., Array]:
    """A sum of cosines: a[0] - a[1] * cos(t) + a[2] * cos(2 t), with t from 0 to 2 pi."""

    def computed(node: OnnxNode, size: Array) -> Array:
        (count,) = _bounded(size.reshape(-1).tolist())
        turns = 2 * np.pi * np.arange(count) / max(count - (not node.get("periodic", 1)), 1)
        values: Array = sum((-1) ** k * factor * np.cos(k * turns) for k, factor in enumerate(factors))
        return np.asarray(values, node.type(int(node.get("output_datatype", 1))) or node.dtype)

    return computed


def _mel_weights(node: OnnxNode, bins: Array, length: Array, rate: Array, low: Array, high: Array) -> Array:
    """Triangles over the lines of a spectrum, whose corners are equally far apart on the mel scale.

    A corner is the line that its frequency falls into; a triangle without a rising side begins with its top.
    """
    count, lines = int(bins.item()), int(length.item()) // 2 + 1
    _bounded((lines, count))
    ends = [2595 * np.log10(1 + edge.item() / 700) for edge in (low, high)]
    steps = ends[0] + np.arange(count + 2) * ((ends[1] - ends[0]) / (count + 2))
    if not low.item() < high.item() <= rate.item() / 2 or low.item() < 0:
        raise WiringError(f"has frequencies from {low.item()} to {high.item()} of {rate.item()} samples per second")
    corners = ((int(length.item()) + 1) * (700 * (10 ** (steps / 2595) - 1)) // rate.item()).astype(np.int64)
    y = np.zeros((lines, count), node.type(int(node.get("output_datatype", 1))) or node.dtype)
    for column in range(count):
        begin, top, end = corners[column : column + 3].tolist()
        rising = np.arange(begin, top + 1)
        y[rising, column] = (rising - begin) / (top - begin) if top > begin else 1
        falling = np.arange(top, end)
        y[falling, column] = (end - falling) / max(end - top, 1)
    return y


def _where(node: OnnxNode, condition: Array, a: Array, b: Array) -> Array:  # noqa: ARG001
    _bounded(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return np.where(condition, a, b)


def _cast(node: OnnxNode, x: Array) -> Array:
    wanted = _cast_to(node) or node.dtype
    if wanted not in np.sctypeDict:
        raise UnsupportedError(f"arithmetic with {wanted} is not supported")
    return x.astype(wanted)


def _gather(node: OnnxNode, x: Array, indices: Array) -> Array:
    axis = node.axis(0, x.ndim)
    _bounded((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    return np.take(x, indices.astype(np.int64), axis=axis)


def _slice(node: OnnxNode, x: Array, *_: Array) -> Array:
    starts, ends = node.integers(1, "starts") or (), node.integers(2, "ends") or ()
    axes = checked_axes(node.integers(3, "axes") or range(len(starts)), x.ndim)
    steps = node.integers(4) or (1,) * len(starts)
    kept = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        # A stop before the first element of a backward slice has no number in NumPy.
        stop = None if step < 0 and end < -size else end
        kept[axis] = slice(start, stop, step)
    return x[tuple(kept)]


def _concat(node: OnnxNode, *arrays: Array) -> Array:
    return np.concatenate(arrays, axis=int(node.get("axis", 1)))


def _split(node: OnnxNode, x: Array, *_: Array) -> list[Array]:
    *places, _whole = accumulate(split_sizes(node, x.shape))
    return np.split(x, places, axis=node.axis(0, x.ndim))


def _reshape(node: OnnxNode, x: Array, *_: Array) -> Array:
    to = node.integers(1, "shape") or ()
    return x.reshape(
        [x.shape[axis] if size == 0 and not node.get("allowzero") else size for axis, size in enumerate(to)]
    )


def _squeeze(node: OnnxNode, x: Array, *_: Array) -> Array:
    return np.squeeze(x, axis=node.axes(1, x.ndim))


def _unsqueeze(node: OnnxNode, x: Array, *_: Array) -> Array:
    axes = node.integers(1, "axes") or ()
    return np.expand_dims(x, node.axes(1, x.ndim + len(axes)) or ())


def _range(node: OnnxNode, start: Array, limit: Array, delta: Array) -> Array:  # noqa: ARG001
    shapes = [array.shape for array in (start, limit, delta)]
    if any(prod(shape) != 1 for shape in shapes):
        raise WiringError(f"takes three single numbers, not {', '.join(map(dims, shapes))}")
    first, last, step = (array.reshape(-1)[0] for array in (start, limit, delta))
    if step == 0:
        raise WiringError("has steps of 0")
    _bounded((max(0, int(np.ceil((float(last) - float(first)) / float(step)))),))
    return np.arange(first, last, step, dtype=start.dtype)


def _expand(node: OnnxNode, x: Array, _: Array) -> Array:
    return np.broadcast_to(x, _bounded(_expanded(node, x.shape)))


def _tile(node: OnnxNode, x: Array, repeats: Array) -> Array:  # noqa: ARG001
    times = [int(number) for number in repeats.tolist()]
    if len(times) != x.ndim or min(times, default=0) < 0:
        raise WiringError(f"cannot repeat {times} times")
    _bounded([size * number for size, number in zip(x.shape, times, strict=True)])
    return np.tile(x, times)


def _transpose(node: OnnxNode, x: Array) -> Array:
    return np.transpose(x, node.get("perm"))


def _reduced(function: Callable[..., Array]) -> Callable[..., Array]:
    def computed(node: OnnxNode, x: Array, *_: Array) -> Array:
        return function(x, axis=node.axes(1, x.ndim), keepdims=bool(node.get("keepdims", 1)))

    return computed


def _cumsum(node: OnnxNode, x: Array, axis: Array) -> Array:
    op = CumSum(int(axis.reshape(-1)[0]), bool(node.get("exclusive", 0)), bool(node.get("reverse", 0)))
    return op.run(x)


def _trilu(node: OnnxNode, x: Array, *k: Array) -> Array:
    return Trilu(bool(node.get("upper", 1)), int(k[0].reshape(-1)[0]) if k else 0).run(x)


COMPUTED: Final[Mapping[str, Callable[..., Array]]] = {
    **{
        cls.onnx[0]: _elementwise(getattr(np, cls.function))
        for cls in Op.registry.values()
        if issubclass(cls, Binary | Function) and hasattr(cls, "function")
    },
    "Cast": _cast,
    "Concat": _concat,
    "BlackmanWindow": _window(0.42, 0.5, 0.08),
    "Compress": _compress,
    "CumSum": _cumsum,
    "Div": _elementwise(_divide),
    "Expand": _expand,
    "Gather": _gather,
    "HammingWindow": _window(25 / 46, 21 / 46),
    "HannWindow": _window(0.5, 0.5),
    "Identity": lambda _, x: x,
    "MelWeightMatrix": _mel_weights,
    "Mod": _elementwise(_modulo),
    "NonZero": _non_zero,
    "Range": _range,
    "ReduceMax": _reduced(np.max),
    "ReduceMean": _reduced(np.mean),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sum": _elementwise(np.add),
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""Operators on constants whose values are known."""


def _same(node: OnnxNode, x: Shape) -> Shape:  # noqa: ARG001
    return x


def _expanded(node: OnnxNode, x: Shape) -> Shape:
    to = node.integers(1) or ()
    if min(to, default=1) < 0:
        raise WiringError(f"cannot stretch {dims(x)} to {list(to)}; sizes of at least 0 are accepted")
    return broadcast(x, to)


SHAPED: Final[Mapping[str, Callable[[OnnxNode, Shape], Shape]]] = {
    **dict.fromkeys(("Abs", "Cast", "Ceil", "Floor", "Identity", "Neg", "Sqrt"), _same),
    "Expand": _expanded,
}
"""What operators that are no layers make of a weight."""


def _cast_to(node: OnnxNode) -> Type:
    """The type that a cast makes: of a number, or that of the second operand."""
    if node.kind == "Cast":
        return node.type(int(node.get("to", 0)))
    like = node.operand(1)
    if like is None:
        raise WiringError("takes 2 inputs")
    return like.dtype


def passes(node: OnnxNode) -> Tensor | None:
    """The operand that a node hands on as it is: no layer, under another name."""
    if node.kind == "Identity":
        return node.tensor()
    if node.kind in ("Cast", "CastLike") and node.tensors and _cast_to(node) == node.tensor().dtype:
        return node.tensor()
    return None


def attribute(value: Any) -> Any:
    """A value as a node holds it: texts instead of bytes, and lists as tuples."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return tuple(map(attribute, value)) if isinstance(value, list) else value
