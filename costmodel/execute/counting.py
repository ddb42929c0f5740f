"""Operator x operand arrays -> its result, and how many operations making it took, counted while it was made.

An implementation of every operator beside :meth:`Op.run` and beside the model: shapes come from sliding the windows
over the maps, constants are asked for in the shape that the loops need, and the arithmetic is the scalar loops of
:mod:`costmodel.execute.loops`. numba compiles these where it is installed (the extra ``exec``); otherwise Python runs
them, which takes far longer.
"""

import functools
from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any, Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError, suggestion
from costmodel.execute import loops
from costmodel.graph import FRACTIONS, Op, Shape, Window, Work

Constant = Callable[[str, Shape], Array]
"""A constant's name and the shape that the loops need -> its array."""

Loop = Callable[..., None]


@functools.cache
def compiler() -> Any:
    """The numba module; None where it is not installed or does not work."""
    try:
        import numba
    except ImportError:
        return None
    return numba


@functools.cache
def compiled(loop: Loop) -> Loop:
    """A loop compiled, and kept on disk for the next process where numba finds a folder for that."""
    numba = compiler()
    try:
        kept: Loop = numba.njit(cache=True)(loop)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        kept = numba.njit(loop)
    return kept


class Counter:
    """Runs loops and holds what they count."""

    def __init__(self, *, compile_loops: bool | None = None) -> None:
        self.compiles: Final = compiler() is not None if compile_loops is None else compile_loops
        self.counts: Final[Any] = np.zeros(loops.KINDS, np.int64) if self.compiles else [0] * loops.KINDS

    def run(self, loop: Loop, *arguments: Any) -> None:
        """Run a loop; arrays are handed over flat."""
        if self.compiles:
            compiled(loop)(*[_flat(value) for value in arguments])
        else:
            # A memoryview's elements are Python's own numbers, which are faster here than NumPy's.
            loop(*[memoryview(_flat(value)) if isinstance(value, np.ndarray) else value for value in arguments])

    def work(self) -> Work:
        """What was counted so far."""
        return Work(*map(int, self.counts))


def _flat(value: Any) -> Any:
    return value.reshape(-1) if isinstance(value, np.ndarray) else value


class Run(NamedTuple):
    """What an operator's implementation gets beside its operands."""

    constant: Constant
    counter: Counter

    def loop(self, loop: Loop, operands: Sequence[Array], shape: Shape, *more: Any) -> Array:
        """Run a loop that takes operands, the result, the counts, and more -> the result."""
        y = np.empty(shape, np.float64)
        self.counter.run(loop, *map(numbers, operands), y, self.counter.counts, *more)
        return y


def numbers(x: Array) -> Array:
    """An array as the loops take it: 64-bit floats, one after another."""
    return np.ascontiguousarray(x, np.float64)


Implementation = Callable[..., Array]
IMPLEMENTATIONS: Final[dict[str, Implementation]] = {}


def implements(kind: str) -> Callable[[Implementation], Implementation]:
    """Register the implementation of an operator."""

    def register(implementation: Implementation) -> Implementation:
        IMPLEMENTATIONS[kind] = implementation
        return implementation

    return register


def run(op: Op, operands: Sequence[Array], constant: Constant, counter: Counter) -> Array:
    """Make an operator's result; a subclass without an implementation of its own has that of its base.

    The result is a new array of 64-bit floats, or the operand's own memory where nothing is made.
    """
    for base in type(op).__mro__:
        implementation = IMPLEMENTATIONS.get(base.__name__)
        if implementation:
            return implementation(op, Run(constant, counter), *operands)
    raise CostModelError(f"no counting loops for operator {op.kind!r}; {suggestion(op.kind, IMPLEMENTATIONS)}")


class Slid(NamedTuple):
    """A window slid over a map: positions per axis, and for each position and tap an offset and what is there."""

    positions: Shape
    offsets: Array
    inside: Array
    """Per position, how many taps lie on the map."""
    padded: Array
    """Per position, how many taps lie on the map or its padding."""


def slide(spatial: Shape, window: Window, *, ceil: bool = False) -> Slid:
    """Slide a window over the spatial axes of a map, one axis after another."""
    offsets = np.zeros((1, 1), np.int64)
    inside = padded = np.ones(1, np.int64)
    positions = []
    for size, kernel, stride, dilation, (before, after) in zip(spatial, *window, strict=True):
        starts = _starts(size, (kernel - 1) * dilation + 1, stride, before, after, ceil=ceil)
        places = np.array([[start + tap * dilation for tap in range(kernel)] for start in starts], np.int64)
        here = (places >= 0) & (places < size)
        there = (places >= -before) & (places < size + after)
        along = np.where(here, places, -1)
        both = offsets[:, None, :, None] * size + along[None, :, None, :]
        outside = (offsets[:, None, :, None] < 0) | (along[None, :, None, :] < 0)
        offsets = np.where(outside, -1, both).reshape(offsets.shape[0] * len(starts), offsets.shape[1] * kernel)
        inside = np.outer(inside, here.sum(axis=1)).reshape(-1)
        padded = np.outer(padded, there.sum(axis=1)).reshape(-1)
        positions.append(len(starts))
    return Slid(tuple(positions), offsets, inside, padded)


def _starts(size: int, extent: int, stride: int, before: int, after: int, *, ceil: bool) -> list[int]:
    """Where windows begin along an axis: as long as they fit, and with ``ceil`` until one reaches the end.

    A window that hangs over must begin on the map or in the padding before it.
    """
    starts: list[int] = []
    start = -before
    while start + extent <= size + after or (
        ceil and start < size and (not starts or starts[-1] + extent < size + after)
    ):
        starts.append(start)
        start += stride
    return starts


def _per_channel(x: Array) -> tuple[int, int, int]:
    """Images, channels, and elements of a channel's map."""
    images, channels, *spatial = x.shape
    return images, channels, prod(spatial)


@implements("Conv")
def _conv(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    window = op.window
    slid = slide(x.shape[2:], window)
    inside, taps = channels // op.groups, prod(window.kernel)
    weight = numbers(run.constant("weight", (op.filters, inside, *window.kernel)))
    bias = numbers(run.constant("bias", (op.filters,))) if op.bias else np.zeros(op.filters)
    column = np.empty(inside * taps) if run.counter.compiles else [0.0] * (inside * taps)
    return run.loop(
        loops.convolve, (x, weight, bias), (images, op.filters, *slid.positions), column, slid.offsets,
        images, channels, size, op.groups, op.filters, prod(slid.positions), taps,
    )  # fmt: skip


@implements("Linear")
def _linear(op: Any, run: Run, x: Array) -> Array:
    *rows, channels = x.shape
    weight = run.constant("weight", (op.features, channels))
    bias = run.constant("bias", (op.features,)) if op.bias else np.zeros(op.features)
    return run.loop(loops.linear, (x, weight, bias), (*rows, op.features), prod(rows), op.features, channels)


def _pair(op: Any, run: Run, operands: Sequence[Array]) -> tuple[Array, Array]:
    """The two operands of an operator that may hold one of them."""
    if op.held is None:
        first, second = operands
        return first, second
    (x,) = operands
    held = run.constant(op.weight, op.held)
    return (held, x) if op.held_first else (x, held)


@implements("MatMul")
def _matmul(op: Any, run: Run, *operands: Array) -> Array:
    a, b = _pair(op, run, operands)
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    height, inner, width = a.shape[-2], a.shape[-1], b.shape[-1]
    left, right = np.broadcast_to(a, (*outer, height, inner)), np.broadcast_to(b, (*outer, inner, width))
    return run.loop(loops.matmul, (left, right), (*outer, height, width), prod(outer), height, width, inner)


@implements("BatchNorm")
def _batch_norm(op: Any, run: Run, x: Array) -> Array:
    per_channel = _per_channel(x)
    gamma, beta, mean, variance = (
        numbers(run.constant(name, (per_channel[1],))) for name in ("gamma", "beta", "mean", "variance")
    )
    scale = 1 / np.sqrt(variance + op.epsilon)  # once per channel, before any image
    return run.loop(loops.batch_norm, (x, mean, scale, gamma, beta), x.shape, *per_channel)


@implements("Lrn")
def _lrn(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    share = op.alpha / op.size
    squares = np.zeros(channels)
    return run.loop(
        loops.lrn, (x,), x.shape, squares, images, channels, size, op.size, share, float(op.beta), float(op.k)
    )


@implements("Softmax")
def _softmax(op: Any, run: Run, x: Array) -> Array:
    axis = op.axis % x.ndim
    return run.loop(loops.softmax, (x,), x.shape, prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))


@implements("MaxPool")
def _max_pool(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window, ceil=op.ceil_mode)
    shape = (images, channels, *slid.positions)
    return run.loop(loops.max_pool, (x,), shape, slid.offsets, images * channels, size, *slid.offsets.shape)


@implements("AveragePool")
def _average_pool(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window, ceil=op.ceil_mode)
    shape = (images, channels, *slid.positions)
    shares = 1 / numbers(slid.padded if op.count_include_pad else slid.inside)  # once per position, before any image
    return run.loop(loops.average_pool, (x,), shape, slid.offsets, shares, images * channels, size, *slid.offsets.shape)


@implements("GlobalAveragePool")
def _global_average_pool(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    images, channels, size = _per_channel(x)
    shape = (images, channels, *[1 for _ in x.shape[2:]])
    return run.loop(loops.global_average_pool, (x,), shape, images * channels, size, 1 / size)


@implements("GlobalMaxPool")
def _global_max_pool(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    images, channels, size = _per_channel(x)
    return run.loop(loops.global_max_pool, (x,), (images, channels, *[1 for _ in x.shape[2:]]), images * channels, size)


def _of_two(loop: Loop) -> Implementation:
    def implementation(op: Any, run: Run, *operands: Array) -> Array:
        stretched = np.broadcast_arrays(*_pair(op, run, operands))
        return run.loop(loop, stretched, stretched[0].shape)

    return implementation


def _of_one(loop: Loop, *attributes: str | float) -> Implementation:
    """An activation; the loop's further arguments are constants, or the operator's attributes by name."""

    def implementation(op: Any, run: Run, x: Array) -> Array:
        more = [float(getattr(op, value) if isinstance(value, str) else value) for value in attributes]
        return run.loop(loop, (x,), x.shape, *more)

    return implementation


IMPLEMENTATIONS.update(
    Add=_of_two(loops.add),
    Sub=_of_two(loops.subtract),
    Mul=_of_two(loops.multiply),
    Div=_of_two(loops.divide),
    Relu=_of_one(loops.relu),
    Relu6=_of_one(loops.relu6),
    LeakyRelu=_of_one(loops.leaky_relu, "slope"),
    Elu=_of_one(loops.elu, "alpha"),
    Sigmoid=_of_one(loops.sigmoid),
    Silu=_of_one(loops.silu),
    Tanh=_of_one(loops.tanh),
    Gelu=_of_one(loops.gelu, 1 / sqrt(2)),
    Softplus=_of_one(loops.softplus),
    HardSigmoid=_of_one(loops.hard_sigmoid, "alpha", "beta"),
    HardSwish=_of_one(loops.hard_swish, 1 / 6),
)


@implements("PRelu")
def _prelu(op: Any, run: Run, x: Array) -> Array:
    per_channel = _per_channel(x)
    slope = np.broadcast_to(run.constant("slope", (1,) if op.shared else (per_channel[1],)), per_channel[1])
    return run.loop(loops.prelu, (x, slope), x.shape, *per_channel)


@implements("Clip")
def _clip(op: Any, run: Run, x: Array) -> Array:
    y = x if op.low is None else run.loop(loops.clip_below, (x,), x.shape, float(op.low))
    if op.high is not None:
        return run.loop(loops.clip_above, (y,), x.shape, float(op.high))
    return y if y is not x else np.array(x, np.float64)


# What moves values computes nothing, so it needs no loops; what only renames them makes no array.


@implements("Cast")
def _cast(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    if op.dtype == "bool":
        return np.array(x != 0, np.float64)
    if op.dtype is None or op.dtype in FRACTIONS:
        return np.array(np.array(x, op.dtype), np.float64)
    return np.array(np.trunc(x), np.float64)


@implements("Concat")
def _concat(op: Any, run: Run, *operands: Array) -> Array:  # noqa: ARG001
    axis = op.axis % operands[0].ndim
    shape = [*operands[0].shape]
    shape[axis] = sum(x.shape[axis] for x in operands)
    y = np.empty(shape, np.float64)
    start = 0
    for x in operands:
        y[(slice(None),) * axis + (slice(start, start + x.shape[axis]),)] = x
        start += x.shape[axis]
    return y


@implements("Transpose")
def _transpose(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    return np.array(np.moveaxis(x, op.axes, range(x.ndim)), np.float64, order="C")


@implements("Slice")
def _slice(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    kept = x
    steps = op.step or (1,) * x.ndim
    for axis, (start, stop, step) in enumerate(zip(op.start, op.stop, steps, strict=True)):
        size = x.shape[axis]
        first = start + size if start < 0 else start
        last = size if stop is None else stop + size if stop < 0 else stop
        places = [place for place in range(size) if first <= place < last and (place - first) % step == 0]
        kept = np.take(kept, places, axis=axis)
    return np.array(kept, np.float64, order="C")


@implements("Pad")
def _pad(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    before, after = op.pads[: x.ndim], op.pads[x.ndim :]
    y = np.full([a + size + b for a, size, b in zip(before, x.shape, after, strict=True)], op.value, np.float64)
    y[tuple(slice(a, a + size) for a, size in zip(before, x.shape, strict=True))] = x
    return y


@implements("ChannelShuffle")
def _channel_shuffle(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    y = np.empty(x.shape, np.float64)
    inside = x.shape[1] // op.groups
    for i in range(inside):
        for j in range(op.groups):
            y[:, i * op.groups + j] = x[:, j * inside + i]
    return y


@implements("Flatten")
def _flatten(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    axis = op.axis % x.ndim
    return x.reshape(*x.shape[:axis], prod(x.shape[axis:]))


@implements("Reshape")
def _reshape(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(op.to)])


@implements("Dropout")
def _dropout(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    return x.view()
