"""Operator x operand arrays -> its result, and how many operations making it took, counted while it was made.

An implementation of every operator beside :meth:`Op.run` and beside the model: shapes come from sliding the windows
over the maps, constants are asked for in the shape that the loops need, and the arithmetic is the scalar loops of
:mod:`costmodel.execute.loops`. numba compiles these where it is installed (the extra ``exec``); otherwise Python runs
them, which takes far longer.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from math import pi, prod, sqrt
from typing import Any, Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError, suggestion
from costmodel.execute import loops
from costmodel.graph import BITS, FRACTIONS, Op, Shape, Window, Work

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
    read: dict[int | str, int]
    """How many elements were read of an operand, by its place, or of a weight, where that is not all of them."""

    def loop(self, loop: Loop, operands: Sequence[Array], shape: Shape, *more: Any) -> Array:
        """Run a loop that takes operands, the result, the counts, and more -> the result."""
        y = np.empty(shape, np.float64)
        self.counter.run(loop, *map(numbers, operands), y, self.counter.counts, *more)
        return y


def numbers(x: Array) -> Array:
    """An array as the loops take it: 64-bit floats, one after another."""
    return np.ascontiguousarray(x, np.float64)


Implementation = Callable[..., Array | tuple[Array, ...]]
IMPLEMENTATIONS: Final[dict[str, Implementation]] = {}


def implements(kind: str) -> Callable[[Implementation], Implementation]:
    """Register the implementation of an operator."""

    def register(implementation: Implementation) -> Implementation:
        IMPLEMENTATIONS[kind] = implementation
        return implementation

    return register


def run(
    op: Op, operands: Sequence[Array], constant: Constant, counter: Counter, read: dict[int | str, int] | None = None
) -> Array | tuple[Array, ...]:
    """Make an operator's result, or results; a subclass without an implementation of its own has that of its base.

    A result is a new array of 64-bit floats, or the operand's own memory where nothing is made. ``read`` is told
    of what operand or weight how many elements were read, where that is not all.
    """
    for base in type(op).__mro__:
        implementation = IMPLEMENTATIONS.get(base.__name__)
        if implementation:
            return implementation(op, Run(constant, counter, {} if read is None else read), *operands)
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
    weight = numbers(run.constant("weight", (op.filters, x.shape[1] // op.groups, *op.window.kernel)))
    bias = numbers(run.constant("bias", (op.filters,))) if op.bias else np.zeros(op.filters)
    return _convolved(op, run, x, weight, bias)


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
    return _multiplied(run, *_pair(op, run, operands))


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


@implements("LogSoftmax")
def _log_softmax(op: Any, run: Run, x: Array) -> Array:
    axis = op.axis % x.ndim
    return run.loop(loops.log_softmax, (x,), x.shape, prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))


def _affine(op: Any, run: Run, shape: Shape) -> tuple[Array, Array]:
    """Gamma and beta, each empty where there is none."""
    named = (("gamma", op.scale), ("beta", getattr(op, "bias", False)))
    gamma, beta = (numbers(run.constant(name, shape)) if has else np.zeros(0) for name, has in named)
    return gamma, beta


@implements("LayerNorm")
def _layer_norm(op: Any, run: Run, x: Array) -> Array:
    over = x.shape[op.axis % x.ndim :]
    length = prod(over)
    affine = _affine(op, run, over)
    return run.loop(loops.layer_norm, (x, *affine), x.shape, x.size // length, length, 1 / length, op.epsilon, 1, 1)


@implements("RMSNorm")
def _rms_norm(op: Any, run: Run, x: Array) -> Array:
    over = x.shape[op.axis % x.ndim :]
    gamma, _ = _affine(op, run, over)
    length = prod(over)
    return run.loop(loops.rms_norm, (x, gamma), x.shape, x.size // length, length, 1 / length, op.epsilon)


@implements("GroupNorm")
def _group_norm(op: Any, run: Run, x: Array) -> Array:
    return _norm_of_groups(op, run, x, op.groups)


@implements("InstanceNorm")
def _instance_norm(op: Any, run: Run, x: Array) -> Array:
    return _norm_of_groups(op, run, x, x.shape[1])


@implements("TrainingBatchNorm")
def _training_batch_norm(op: Any, run: Run, x: Array) -> Array:
    channels, length = x.shape[1], x.size // x.shape[1]
    turned = np.ascontiguousarray(np.moveaxis(x, 1, 0))
    affine = _affine(op, run, (channels,))
    sizes = (channels, length, 1 / length, op.epsilon, channels, length)
    return np.moveaxis(run.loop(loops.layer_norm, (turned, *affine), turned.shape, *sizes), 0, 1)


def _norm_of_groups(op: Any, run: Run, x: Array, groups: int) -> Array:
    images, channels, size = _per_channel(x)
    rows, length = images * groups, channels // groups * size
    affine = _affine(op, run, (channels,))
    return run.loop(loops.layer_norm, (x, *affine), x.shape, rows, length, 1 / length, op.epsilon, groups, size)


@implements("MeanVarianceNorm")
def _mean_variance_norm(op: Any, run: Run, x: Array) -> Array:
    axes = sorted(axis % x.ndim for axis in op.axes)
    order = [*[axis for axis in range(x.ndim) if axis not in axes], *axes]
    turned = np.transpose(x, order)
    length = prod(x.shape[axis] for axis in axes)
    sizes = (x.size // length, length, 1 / length, 1e-9, 1, 1)
    y = run.loop(loops.layer_norm, (turned, np.zeros(0), np.zeros(0)), turned.shape, *sizes, True)
    return numbers(np.transpose(y, np.argsort(order)))


@implements("LpNorm")
def _lp_norm(op: Any, run: Run, x: Array) -> Array:
    rows = np.moveaxis(x, op.axis, -1)
    count, length = x.size // rows.shape[-1], rows.shape[-1]
    sized = run.loop(loops.absolute if op.p == 1 else loops.square, (rows,), rows.shape)
    sizes = run.loop(loops.add_up, (sized,), (count,), count, length)
    if op.p == 2:
        sizes = run.loop(loops.root, (sizes,), (count,))
    return numbers(np.moveaxis(run.loop(loops.over_size, (rows, sizes), rows.shape, count, length), -1, op.axis))


@implements("Hardmax")
def _hardmax(op: Any, run: Run, x: Array) -> Array:
    rows = np.moveaxis(x, op.axis, -1)
    y = run.loop(loops.mark_largest, (rows,), rows.shape, x.size // rows.shape[-1], rows.shape[-1])
    return numbers(np.moveaxis(y, -1, op.axis))


def _reduced(*chain: Loop, before: Loop | None = None, shares: bool = False) -> Implementation:
    """A reduction: a loop on every value, one that makes one value of a row, and those on what comes out."""
    reduce_, *after = chain

    def implementation(op: Any, run: Run, x: Array) -> Array:
        axes = {axis % x.ndim for axis in op.axes}
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows, length = prod(x.shape[axis] for axis in kept), prod(x.shape[axis] for axis in axes)
        shape = [1 if axis in axes else size for axis, size in enumerate(x.shape) if op.keepdims or axis not in axes]
        x = np.transpose(x, (*kept, *sorted(axes)))
        if before:
            x = run.loop(before, (x,), x.shape)
        y = run.loop(reduce_, (x,), tuple(shape), rows, length, *((1 / length,) if shares else ()))
        for loop in after:
            y = run.loop(loop, (y,), y.shape)
        return y

    return implementation


IMPLEMENTATIONS.update(
    ReduceSum=_reduced(loops.add_up),
    ReduceMean=_reduced(loops.average, shares=True),
    ReduceMax=_reduced(loops.find_largest),
    ReduceMin=_reduced(loops.find_smallest),
    ReduceProd=_reduced(loops.multiply_up),
    ReduceL1=_reduced(loops.add_up, before=loops.absolute),
    ReduceL2=_reduced(loops.add_up, loops.root, before=loops.square),
    ReduceSumSquare=_reduced(loops.add_up, before=loops.square),
    ReduceLogSum=_reduced(loops.add_up, loops.logarithm),
    ReduceLogSumExp=_reduced(loops.add_up, loops.logarithm, before=loops.exponential),
)


def _found(direction: float) -> Implementation:
    def implementation(op: Any, run: Run, x: Array) -> Array:
        axis = op.axis % x.ndim
        shape = (*x.shape[:axis], *((1,) if op.keepdims else ()), *x.shape[axis + 1 :])
        rows = np.moveaxis(x, axis, -1)
        return run.loop(loops.find_place, (rows,), shape, x.size // x.shape[axis], x.shape[axis], direction)

    return implementation


IMPLEMENTATIONS.update(ArgMax=_found(1.0), ArgMin=_found(-1.0))


def _running(loop: Loop, neutral: float) -> Implementation:
    def implementation(op: Any, run: Run, x: Array) -> Array:
        rows = np.moveaxis(x, op.axis, -1)
        rows = rows[..., ::-1] if op.reverse else rows
        y = run.loop(loop, (rows,), rows.shape, x.size // rows.shape[-1], rows.shape[-1])
        if op.exclusive:
            y = np.concatenate([np.full((*y.shape[:-1], 1), neutral), y[..., :-1]], axis=-1)
        return numbers(np.moveaxis(y[..., ::-1] if op.reverse else y, -1, op.axis))

    return implementation


IMPLEMENTATIONS.update(CumSum=_running(loops.running_sum, 0.0), CumProd=_running(loops.running_product, 1.0))


@implements("Attention")
def _attention(op: Any, run: Run, q: Array, k: Array, v: Array, *more: Array) -> Array:
    heads = op.heads or q.shape[1]
    groups = k.shape[1] if k.ndim == 4 else op.key_heads or heads
    query, key, value = (
        x if x.ndim == 4 else np.moveaxis(x.reshape(*x.shape[:2], count, -1), 2, 1)
        for x, count in ((q, heads), (k, groups), (v, groups))
    )
    n, _, length, inner = query.shape
    keys, size = value.shape[2:]
    mask = np.zeros(0)
    if op.mask:
        (added,) = more or (run.constant("mask", op.held),)
        added = np.where(added, 0.0, -np.inf) if added.dtype == bool else added
        mask = numbers(np.broadcast_to(added, (n, heads, length, keys)))
    scale = 1 / sqrt(inner) if op.scale is None else op.scale
    scores = np.zeros(keys) if run.counter.compiles else [0.0] * keys
    y = run.loop(
        loops.attend, (query, key, value, mask), (n, heads, length, size), scores,
        n * heads, heads // groups, length, keys, inner, size, scale, op.mask, op.past if op.causal else keys,
    )  # fmt: skip
    return y if q.ndim == 4 else numbers(np.moveaxis(y, 1, 2)).reshape(n, length, heads * size)


@implements("CausalConv")
def _causal_conv(op: Any, run: Run, x: Array, *past: Array) -> tuple[Array, ...]:
    n, c, length = x.shape
    whole = np.zeros((n, c, length + op.kernel - 1))
    whole[:, :, op.kernel - 1 :] = x
    if past:
        whole[:, :, : op.kernel - 1] = past[0]
    weight = run.constant("weight", (c, 1, op.kernel))
    bias = run.constant("bias", (c,)) if op.bias else np.zeros(c)
    slid = slide(whole.shape[2:], Window((op.kernel,), (1,), (1,), ((0, 0),)))
    column = np.empty(op.kernel) if run.counter.compiles else [0.0] * op.kernel
    sizes = (n, c, whole.shape[2], c, c, length, op.kernel)
    y = run.loop(loops.convolve, (whole, weight, bias), x.shape, column, slid.offsets, *sizes)
    return run.loop(loops.silu, (y,), y.shape) if op.silu else y, whole[:, :, length:]


@implements("LinearAttention")
def _linear_attention(op: Any, run: Run, q: Array, k: Array, v: Array, *more: Array) -> tuple[Array, ...]:
    """Token by token; what a product adds to the states is the second half of its multiply-accumulates."""
    n, length, _ = q.shape
    given, count = list(more), n * op.key_heads
    state = numbers(given.pop(0) if op.past else np.zeros((n, op.key_heads, op.inner, op.size)))
    decay = given.pop(0).reshape(n, length, op.key_heads, -1, 1) if op.rule.startswith("gated") else None
    rates = np.broadcast_to(given[0], (n, length, op.key_heads)) if op.rule.endswith("delta") else None
    scale = np.full((), 1 / sqrt(op.inner) if op.scale is None else op.scale)
    share = op.heads // op.key_heads
    made = []
    for t in range(length):
        key, new = (x[:, t].reshape(n, op.key_heads, 1, -1) for x in (k, v))
        if decay is not None:
            kept = run.loop(loops.exponential, (decay[:, t],), decay[:, t].shape)
            state = run.loop(loops.multiply, np.broadcast_arrays(state, kept), state.shape)
        if rates is not None:
            known = run.loop(loops.matmul, (key, state), new.shape, count, 1, op.size, op.inner)
            unknown = run.loop(loops.subtract, (new, known), new.shape)
            every = np.broadcast_to(rates[:, t, :, None, None], new.shape)
            new = run.loop(loops.multiply, (unknown, every), new.shape)
        state = state + run.loop(loops.matmul, (key, new), state.shape, count, op.inner, op.size, 1)
        found = (n, op.key_heads, share, op.size)
        y = run.loop(loops.matmul, (q[:, t], state), found, count, share, op.size, op.inner)
        made.append(run.loop(loops.multiply, np.broadcast_arrays(y, scale), found).reshape(n, -1))
    return np.stack(made, axis=1), state


class Gates(NamedTuple):
    """A direction's weights by gates: of the map, of the state, and the biases of each."""

    of_x: Array
    of_h: Array
    biases: Array

    def only(self, *gates: int) -> tuple[Array, Array]:
        """Some gates' rows of both matrices beside each other, and where their sums start."""
        matrix = np.concatenate([self.of_x, self.of_h], axis=2)
        return matrix[list(gates)], self.biases.sum(axis=0)[list(gates)]


def _walk(op: Any, run: Run, step: Callable[..., list[Array]], x: Array, given: list[Array], **more: Array) -> Any:
    """Step by step along a sequence, each way with weights of its own: every step for every sequence."""

    def turned(state: Array) -> Array:
        return np.moveaxis(state, 0, 1) if op.batch_first else state

    rows = turned(x)
    length, n, c = rows.shape
    ways = {"forward": [1], "reverse": [-1], "bidirectional": [1, -1]}[op.direction]
    d, size, gates = len(ways), op.hidden, {"RNN": 1, "GRU": 3, "LSTM": 4}[op.kind]
    of_x = numbers(run.constant("weight", (d, gates * size, c))).reshape(d, gates, size, c)
    of_h = numbers(run.constant("recurrence", (d, gates * size, size))).reshape(d, gates, size, size)
    biases = np.zeros((d, 2 * gates * size))
    if op.bias:
        biases[:] = run.constant("bias", biases.shape)
    lengths = given.pop(0) if op.lengths else np.full(n, length)
    states = []
    for name in ("h", "c") if op.kind == "LSTM" else ("h",):
        state, source = np.zeros((d, n, size)), getattr(op, f"initial_{name}")
        if source != "zero":
            shape = turned(state[:, :1] if source == "learned" else state).shape
            state[:] = turned(given.pop(0) if source == "operand" else run.constant(f"initial_{name}", shape))
        states.append(state)
    y = np.zeros((length, d, n, size))
    for way, direction in enumerate(ways):
        held = Gates(of_x[way], of_h[way], biases[way].reshape(2, gates, size))
        beside = {name: part[way] for name, part in more.items()}
        for place in range(length)[::direction]:
            before = [state[way] for state in states]
            there = np.reshape(lengths, (n, 1)) > place
            after = step(op, run, op.functions[way], rows[place], before, held, **beside)
            for state, made in zip(states, after, strict=True):
                state[way] = np.where(there, made, state[way])
            y[place, way] = np.where(there, states[0][way], 0)
    every = np.transpose(y, (2, 0, 1, 3)) if op.batch_first else y
    results = dict(zip(("Y", "Y_h", "Y_c"), [every, *map(turned, states)], strict=False))
    made = tuple([numbers(results[name]) for name in op.returns])
    return made if len(made) > 1 else made[0]


def _gate(op: Any, run: Run, function: Op, x: Array) -> Array:
    """An activation, behind both bounds if there are any."""
    if op.clip is not None:
        x = run.loop(loops.clip_below, (x,), x.shape, -op.clip)
        x = run.loop(loops.clip_above, (x,), x.shape, op.clip)
    y = IMPLEMENTATIONS[function.kind](function, run, x)
    return y if isinstance(y, np.ndarray) else y[0]


def _two(run: Run, loop: Loop, a: Array, b: Array) -> Array:
    return run.loop(loop, np.broadcast_arrays(a, b), np.broadcast_shapes(a.shape, b.shape))


def _sums(run: Run, x: Array, matrix: Array, bias: Array) -> list[Array]:
    """Gates x rows x columns, and for each row where its sum starts -> the sums of each gate."""
    gates, size, columns = matrix.shape
    flat = (x, matrix, bias)
    y = run.loop(loops.linear, flat, (len(x), gates * size), len(x), gates * size, columns)
    return np.split(y, gates, axis=1)


def _rnn_step(op: Any, run: Run, functions: Sequence[Op], x: Array, state: list[Array], held: Gates) -> list[Array]:
    (total,) = _sums(run, np.hstack([x, *state]), *held.only(0))
    return [_gate(op, run, functions[0], total)]


def _gru_step(op: Any, run: Run, functions: Sequence[Op], x: Array, state: list[Array], held: Gates) -> list[Array]:
    (h,) = state
    update, reset = [_gate(op, run, functions[0], total) for total in _sums(run, np.hstack([x, h]), *held.only(0, 1))]
    if op.linear_before_reset:
        (of_x,) = _sums(run, x, held.of_x[2:], held.biases[0, 2:])
        (of_h,) = _sums(run, h, held.of_h[2:], held.biases[1, 2:])
        total = _two(run, loops.add, of_x, _two(run, loops.multiply, reset, of_h))
    else:
        (total,) = _sums(run, np.hstack([x, _two(run, loops.multiply, reset, h)]), *held.only(2))
    rest = _two(run, loops.subtract, np.ones(1), update)
    fresh = _two(run, loops.multiply, rest, _gate(op, run, functions[1], total))
    return [_two(run, loops.add, fresh, _two(run, loops.multiply, update, h))]


def _lstm_step(
    op: Any, run: Run, functions: Sequence[Op], x: Array, state: list[Array], held: Gates, peephole: Array | None = None
) -> list[Array]:
    h, c = state

    def opened(gate: int, total: Array, cell: Array) -> Array:
        if peephole is not None:
            seen = _two(run, loops.multiply, peephole.reshape(3, -1)[gate], cell)
            total = _two(run, loops.add, total, seen)
        return _gate(op, run, functions[0], total)

    if op.input_forget:
        inward, outward, new = _sums(run, np.hstack([x, h]), *held.only(0, 1, 3))
        taken = opened(0, inward, c)
        kept = _two(run, loops.subtract, np.ones(1), taken)
    else:
        inward, outward, forget, new = _sums(run, np.hstack([x, h]), *held.only(0, 1, 2, 3))
        taken, kept = opened(0, inward, c), opened(2, forget, c)
    fresh = _two(run, loops.multiply, taken, _gate(op, run, functions[1], new))
    c = _two(run, loops.add, _two(run, loops.multiply, kept, c), fresh)
    return [_two(run, loops.multiply, opened(1, outward, c), _gate(op, run, functions[2], c)), c]


@implements("RNN")
def _rnn(op: Any, run: Run, x: Array, *given: Array) -> Any:
    return _walk(op, run, _rnn_step, x, list(given))


@implements("GRU")
def _gru(op: Any, run: Run, x: Array, *given: Array) -> Any:
    return _walk(op, run, _gru_step, x, list(given))


@implements("LSTM")
def _lstm(op: Any, run: Run, x: Array, *given: Array) -> Any:
    d = 2 if op.direction == "bidirectional" else 1
    more = {"peephole": run.constant("peephole", (d, 3 * op.hidden))} if op.peepholes else {}
    if op.input_forget:  # a quarter of the rows are those of a gate that is not read, a third of the peepholes
        gate, c = d * op.hidden, x.shape[-1]
        run.read.update(weight=3 * gate * c, recurrence=3 * gate * op.hidden, bias=6 * gate, peephole=2 * gate)
    return _walk(op, run, _lstm_step, x, list(given), **more)


@implements("RotaryEmbedding")
def _rotary_embedding(op: Any, run: Run, x: Array, *more: Array) -> Array:
    apart = x if x.ndim == 4 else np.moveaxis(x.reshape(*x.shape[:2], op.heads, -1), 2, 1)
    n, heads, length, size = apart.shape
    half = (op.rotated or size) // 2
    given = [*([run.constant(name, op.held) for name in ("cos", "sin")] if op.held else []), *more]
    if op.positions:
        *given, places = given
        given = [rows[places.astype(np.int64) % len(rows)] for rows in given]
    cos, sin = (np.broadcast_to(rows[:, None], (n, heads, length, half)) for rows in given)
    one, other = (
        (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if op.interleaved else (slice(half), slice(half, 2 * half))
    )
    turned = run.loop(loops.rotate, (apart[..., one], apart[..., other], cos, sin), (2, *cos.shape))
    y = np.array(apart, np.float64)
    y[..., one], y[..., other] = turned
    return y if x.ndim == 4 else numbers(np.moveaxis(y, 1, 2)).reshape(x.shape)


@implements("Einsum")
def _einsum(op: Any, run: Run, *operands: Array) -> Array:
    arrays = [numbers(x) for x in _placed(op, run, operands)]
    terms, _, made = op.equation.partition("->")
    labels = []
    for term, x in zip(terms.split(","), arrays, strict=True):
        before, dots, behind = term.partition("...")
        spread = x.ndim - len(before) - len(behind) if dots else 0
        labels.append([*before, *range(-spread, 0), *behind])
    sizes: dict[Any, int] = {}
    for names, x in zip(labels, arrays, strict=True):
        for name, size in zip(names, x.shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    before, _, behind = made.partition("...")
    kept = [*before, *sorted(name for name in sizes if isinstance(name, int)), *behind]
    summed = [name for name in sizes if name not in kept]

    def offsets(names: Sequence[Any], x: Array, along: Sequence[Any]) -> Array:
        """How far from its begin an operand is read, for every combination of some letters' values."""
        far = np.zeros([sizes[name] for name in along], np.int64)
        for name, size, stride in zip(names, x.shape, x.strides, strict=True):
            if name in along and size > 1:
                steps = np.arange(size) * (stride // x.itemsize)
                far = far + steps.reshape([-1 if other == name else 1 for other in along])
        return far

    places = [offsets(names, x, kept) for names, x in zip(labels, arrays, strict=True)]
    sums = [offsets(names, x, summed) for names, x in zip(labels, arrays, strict=True)]
    return run.loop(loops.contract, arrays, tuple(sizes[name] for name in kept), *places, *sums)


@implements("ConvTranspose")
def _conv_transpose(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    window = Window(op.kernel, op.stride, op.dilation, ())
    taps, share = prod(window.kernel), op.filters // op.groups
    rank = len(window.kernel)
    weight = numbers(run.constant("weight", (channels, share, *window.kernel)))
    bias = numbers(run.constant("bias", (op.filters,))) if op.bias else np.zeros(op.filters)
    offsets = np.zeros((1, 1), np.int64)
    positions = []
    for axis, (length, kernel, stride, dilation) in enumerate(zip(x.shape[2:], *window[:3], strict=True)):
        before, after = op.pads[axis], op.pads[axis + rank]
        whole = (length - 1) * stride + (kernel - 1) * dilation + 1 - before - after + op.more[axis]
        places = np.array([[p * stride + tap * dilation - before for tap in range(kernel)] for p in range(length)])
        there = (places >= 0) & (places < whole)
        reached = offsets[:, None, :, None] * whole + places[None, :, None, :]
        beside = (offsets[:, None, :, None] < 0) | ~there[None, :, None, :]
        offsets = np.where(beside, -1, reached).reshape(offsets.shape[0] * length, offsets.shape[1] * kernel)
        positions.append(whole)
    return run.loop(
        loops.spread, (x, weight, bias), (images, op.filters, *positions), offsets,
        images, channels, size, op.groups, op.filters, prod(positions), taps,
    )  # fmt: skip


@implements("Resize")
def _resize(op: Any, run: Run, x: Array) -> Array:
    """Only the axes that change their size have taps; the coordinates are worked out before the loops."""
    every = [op.taps(axis) for axis in op.axes(x.shape)]
    places, weights = np.zeros((1, 1), np.int64), np.ones((1, 1))
    for size, (along, shares) in zip(x.shape, every, strict=True):
        places = (places[:, None, :, None] * size + along[None, :, None, :]).reshape(
            len(places) * len(along), places.shape[1] * along.shape[1]
        )
        weights = (weights[:, None, :, None] * shares[None, :, None, :]).reshape(places.shape)
    if op.mode == "nearest" or places.shape[1] == 1:
        return numbers(x.reshape(-1)[places[:, 0]]).reshape(op.sizes)
    return run.loop(loops.mix, (x,), op.sizes, places, weights, 1, x.size)


def _taps(places: Sequence[float], spatial: Shape) -> list[tuple[int, float]]:
    """A place in a map -> its elements around that, as they lie, and their weights; 0 for what lies outside."""
    found = [(0, 1.0)]
    for place, size in zip(places, spatial, strict=True):
        below = int(np.floor(place))
        along = [(below, below + 1 - place), (below + 1, place - below)]
        found = [
            (far * size + min(max(index, 0), size - 1), share * (part if 0 <= index < size else 0.0))
            for far, share in found
            for index, part in along
        ]
    return found


def _mixed(run: Run, x: Array, taps: Sequence[Sequence[tuple[int, float]]], maps: int) -> Array:
    """Maps of one size, one after another -> for each the sums of taps times their weights."""
    places, weights = (np.array(part) for part in zip(*[tap for each in taps for tap in each], strict=True))
    size = x.size // maps
    return run.loop(loops.mix, (x,), (maps, len(taps)), places.astype(np.int64), weights, maps, size)


@implements("GridSample")
def _grid_sample(op: Any, run: Run, x: Array, grid: Array) -> Array:
    images, channels, *spatial = x.shape
    positions = grid.shape[1:-1]
    run.read[0] = images * channels * prod(positions) * (2 ** len(spatial) if op.mode == "linear" else 1)
    made = []
    for image, at in zip(x, grid.reshape(images, -1, len(spatial)), strict=True):
        places = [
            [_sampled(float(along), size, op) for along, size in zip(place[::-1], spatial, strict=True)] for place in at
        ]
        if op.mode == "linear":
            made.append(_mixed(run, image, [_taps(place, tuple(spatial)) for place in places], channels))
            continue
        near = [tuple(int(np.rint(along)) for along in place) for place in places]
        kept = [all(0 <= i < size for i, size in zip(place, spatial, strict=True)) for place in near]
        columns = [
            image[(slice(None), *place)] if inside else np.zeros(channels)
            for place, inside in zip(near, kept, strict=True)
        ]
        made.append(np.stack(columns, axis=1))
    return numbers(made).reshape(images, channels, *positions)


def _sampled(along: float, size: int, op: Any) -> float:
    """From -1 to 1 -> a place along an axis."""
    place = (along + 1) / 2 * (size - 1) if op.corners else (along + 1) / 2 * size - 0.5
    if op.padding == "reflection":
        low, high = (0.0, size - 1.0) if op.corners else (-0.5, size - 0.5)
        while high > low and not low <= place <= high:
            place = 2 * low - place if place < low else 2 * high - place
    return place if op.padding == "zeros" else min(max(place, 0.0), size - 1.0)


@implements("AffineGrid")
def _affine_grid(op: Any, run: Run, theta: Array) -> Array:
    along = []
    for size in op.size:
        half = (size - 1) / 2
        step = (1 / half if half else 2.0) if op.corners else 2 / size
        along.append([-1.0] if op.corners and size == 1 else [(place - half) * step for place in range(size)])
    places = np.array([[*[axis[i] for axis, i in zip(along, at, strict=True)][::-1], 1] for at in np.ndindex(*op.size)])
    count, rank = len(theta), len(op.size)
    left = np.broadcast_to(places, (count, *places.shape))
    sizes = (count, len(places), rank, rank + 1)
    return run.loop(loops.matmul, (left, np.swapaxes(theta, 1, 2)), (count, *op.size, rank), *sizes)


@implements("RoiAlign")
def _roi_align(op: Any, run: Run, x: Array, regions: Array, image: Array) -> Array:
    _, channels, *spatial = x.shape
    made = []
    for (left, top, right, bottom), index in zip(numbers(regions) * op.scale - 0.5 * op.half_pixel, image, strict=True):
        lines = []
        for first, last, count in ((top, bottom, op.height), (left, right, op.width)):
            part = (last - first if op.half_pixel else max(last - first, 1.0)) / count
            lines.append([
                [first + i * part + (s + 0.5) * part / op.samples for s in range(op.samples)] for i in range(count)
            ])  # fmt: skip
        taps = []
        for down, across in itertools.product(*lines):
            found = []
            for place in itertools.product(down, across):
                inside = all(-1 <= at <= size for at, size in zip(place, spatial, strict=True))
                kept = [min(max(at, 0.0), size - 1.0) for at, size in zip(place, spatial, strict=True)]
                found += [(far, share * inside / op.samples**2) for far, share in _taps(kept, tuple(spatial))]
            taps.append(found)
        made.append(_mixed(run, x[int(index)], taps, channels))
    y = numbers(made).reshape(len(regions), channels, op.height, op.width)
    run.read[0] = y.size * 4 * op.samples**2
    return y


@implements("DeformConv")
def _deform_conv(op: Any, run: Run, x: Array, offset: Array, *mask: Array) -> Array:
    images, channels, *spatial = x.shape
    positions = offset.shape[2:]
    taps, inside, share = prod(op.kernel), channels // op.offset_groups, op.filters // op.groups
    weight = numbers(run.constant("weight", (op.filters, channels // op.groups, *op.kernel)))
    bias = run.constant("bias", (op.filters,)) if op.bias else np.zeros(op.filters)
    beside = numbers(offset).reshape(images, op.offset_groups, taps, 2, *positions)
    columns = np.empty((images, channels, taps, *positions))
    for n, g in np.ndindex(images, op.offset_groups):
        found = []
        for k, (i, j) in enumerate(np.ndindex(*op.kernel)):
            for p, q in np.ndindex(*positions):
                down = p * op.stride[0] + i * op.dilation[0] - op.pads[0] + beside[n, g, k, 0, p, q]
                across = q * op.stride[1] + j * op.dilation[1] - op.pads[1] + beside[n, g, k, 1, p, q]
                found.append(_taps((down, across), tuple(spatial)))
        part = slice(g * inside, (g + 1) * inside)
        columns[n, part] = _mixed(run, x[n, part], found, inside).reshape(inside, taps, *positions)
    if mask:
        shape = (images, op.offset_groups, 1, taps, *positions)
        every = np.broadcast_to(mask[0].reshape(shape), (images, op.offset_groups, inside, taps, *positions))
        columns = run.loop(loops.multiply, (columns, every), columns.shape)
    inner = channels // op.groups * taps
    right = columns.reshape(images * op.groups, inner, -1)
    left = np.broadcast_to(weight.reshape(op.groups, share, inner), (images, op.groups, share, inner))
    sizes = (images * op.groups, share, prod(positions), inner)
    y = run.loop(loops.matmul, (left, right), (images, op.filters, *positions), *sizes)
    return y + bias.reshape(-1, 1, 1)  # where the sum begins, which is free


@implements("Col2Im")
def _col2im(op: Any, run: Run, x: Array) -> Array:
    rank, images = len(op.image), len(x)
    padded = [size + op.pads[axis] + op.pads[axis + rank] for axis, size in enumerate(op.image)]
    extents = [dilation * (size - 1) + 1 for size, dilation in zip(op.kernel, op.dilation, strict=True)]
    counts = [(size - extent) // step + 1 for size, extent, step in zip(padded, extents, op.stride, strict=True)]
    numbered = np.arange(prod(padded)).reshape(padded)
    under = [
        numbered[tuple(p * s + k * d for p, s, k, d in zip(place, op.stride, tap, op.dilation, strict=True))]
        for tap in np.ndindex(*op.kernel)
        for place in np.ndindex(*counts)
    ]
    maps = x.size // len(under)
    places = (np.arange(maps)[:, None] * numbered.size + np.array(under)).reshape(-1).astype(np.int64)
    y = np.zeros(maps * numbered.size)
    run.counter.run(loops.put, numbers(x), y, run.counter.counts, places, 1)
    kept = tuple(slice(op.pads[axis], op.pads[axis] + size) for axis, size in enumerate(op.image))
    return numbers(y.reshape(images, -1, *padded)[:, :, *kept])


@implements("MaxPool")
def _max_pool(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window, ceil=op.ceil_mode)
    shape = (images, channels, *slid.positions)
    return run.loop(loops.max_pool, (x,), shape, slid.offsets, images * channels, size, *slid.offsets.shape)


@implements("PlacedMaxPool")
def _placed_max_pool(op: Any, run: Run, x: Array) -> tuple[Array, ...]:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window, ceil=op.ceil_mode)
    shape = (2, images, channels, *slid.positions)
    sizes = (images * channels, size, *slid.offsets.shape)
    values, places = run.loop(loops.placed_max_pool, (x,), shape, slid.offsets, *sizes)
    return values, places


@implements("MaxUnpool")
def _max_unpool(op: Any, run: Run, x: Array, i: Array) -> Array:  # noqa: ARG001
    y = np.zeros(prod(x.shape[:2]) * prod(op.size))
    for value, place in zip(x.reshape(-1), i.reshape(-1), strict=True):
        y[int(place)] = value
    return y.reshape(*x.shape[:2], *op.size)


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


@implements("LpPool")
def _lp_pool(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window, ceil=op.ceil_mode)
    shape = (images, channels, *slid.positions)
    return run.loop(loops.pool_sizes, (x,), shape, slid.offsets, images * channels, size, *slid.offsets.shape, op.p)


@implements("GlobalLpPool")
def _global_lp_pool(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    shape = (images, channels, *[1 for _ in x.shape[2:]])
    return run.loop(loops.pool_sizes, (x,), shape, np.arange(size), images * channels, size, 1, size, op.p)


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


def _turned(loop: Loop) -> Implementation:
    """A loop on the two operands in the other order."""
    of_two = _of_two(loop)

    def implementation(op: Any, run: Run, *operands: Array) -> Array:
        a, b = _pair(op, run, operands)
        return of_two(_Free(), run, b, a)

    return implementation


class _Free:
    """An operator that holds nothing."""

    held = None


IMPLEMENTATIONS.update(
    Add=_of_two(loops.add),
    Sub=_of_two(loops.subtract),
    Mul=_of_two(loops.multiply),
    Div=_of_two(loops.divide),
    Max=_of_two(loops.larger),
    Min=_of_two(loops.smaller),
    Equal=_of_two(loops.is_equal),
    Less=_of_two(loops.is_less),
    LessOrEqual=_of_two(loops.is_not_more),
    Greater=_turned(loops.is_less),
    GreaterOrEqual=_turned(loops.is_not_more),
    And=_of_two(loops.both),
    Or=_of_two(loops.either),
    Xor=_of_two(loops.one_of_two),
    Abs=_of_one(loops.absolute),
    Neg=_of_one(loops.negative),
    Sign=_of_one(loops.sign),
    Floor=_of_one(loops.floor),
    Ceil=_of_one(loops.ceil),
    Round=_of_one(loops.nearest),
    Reciprocal=_of_one(loops.reciprocal),
    Sqrt=_of_one(loops.root),
    Exp=_of_one(loops.exponential),
    Log=_of_one(loops.logarithm),
    Sin=_of_one(loops.sine),
    Cos=_of_one(loops.cosine),
    Tan=_of_one(loops.tangent),
    Asin=_of_one(loops.arc_sine),
    Acos=_of_one(loops.arc_cosine),
    Atan=_of_one(loops.arc_tangent),
    Sinh=_of_one(loops.hyperbolic_sine),
    Cosh=_of_one(loops.hyperbolic_cosine),
    Asinh=_of_one(loops.area_sine),
    Acosh=_of_one(loops.area_cosine),
    Atanh=_of_one(loops.area_tangent),
    IsInf=_of_one(loops.is_infinite, "negative", "positive"),
    BitwiseAnd=_of_two(loops.bits_of_both),
    BitwiseOr=_of_two(loops.bits_of_either),
    BitwiseXor=_of_two(loops.bits_of_one),
    Selu=_of_one(loops.selu, "alpha", "gamma"),
    Celu=_of_one(loops.celu, "alpha"),
    ThresholdedRelu=_of_one(loops.thresholded_relu, "alpha"),
    Shrink=_of_one(loops.shrink, "bias", "limit"),
    Softsign=_of_one(loops.softsign),
    Erf=_of_one(loops.error_function),
    Not=_of_one(loops.is_zero),
    IsNaN=_of_one(loops.is_no_number),
    TanhGelu=_of_one(loops.tanh_gelu, 0.044715, sqrt(2 / pi)),
    Mish=_of_one(loops.mish),
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


@implements("BitwiseNot")
def _bitwise_not(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    values = 2.0 ** (8 * x.itemsize) if x.dtype.kind == "u" else 0.0
    return run.loop(loops.turned_bits, (x,), x.shape, values)


@implements("BitShift")
def _bit_shift(op: Any, run: Run, *operands: Array) -> Array:
    a, b = _pair(op, run, operands)
    shape = np.broadcast_shapes(a.shape, b.shape)
    width = 8 * a.itemsize if a.dtype.kind in "iu" else loops.WIDTH
    stretched = np.broadcast_arrays(a, b)
    return run.loop(loops.shifted, stretched, shape, width, int(op.right))


@implements("Mean")
def _mean(op: Any, run: Run, *operands: Array) -> Array:
    stretched = np.broadcast_arrays(*_placed(op, run, operands))
    rows = np.stack(stretched, axis=-1)
    return run.loop(loops.average, (rows,), rows.shape[:-1], rows.size // len(stretched), len(stretched),
                    1 / len(stretched))  # fmt: skip


@implements("SwiGlu")
def _swiglu(op: Any, run: Run, a: Array, b: Array) -> Array:
    return run.loop(loops.swiglu, (a, b), a.shape, float(op.alpha))


@implements("Mod")
def _mod(op: Any, run: Run, *operands: Array) -> Array:
    return _of_two(loops.truncated_remainder if op.truncated else loops.remainder)(op, run, *operands)


@implements("Pow")
def _pow(op: Any, run: Run, *operands: Array) -> Array:
    if op.exponent is None:
        return _of_two(loops.power)(op, run, *operands)
    (x,) = operands
    if op.exponent in (2, 3):
        return run.loop(loops.square if op.exponent == 2 else loops.cube, (x,), x.shape)
    return run.loop(loops.power, (x, np.full(x.shape, op.exponent)), x.shape)


@implements("Where")
def _where(op: Any, run: Run, *operands: Array) -> Array:
    stretched = np.broadcast_arrays(*_placed(op, run, operands))
    return run.loop(loops.choose, stretched, stretched[0].shape)


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


def _placed(op: Any, run: Run, operands: Sequence[Array]) -> list[Array]:
    """The operands of an operator that may hold some of them, each in its place."""
    given = iter(operands)
    held = op.held or [None] * len(operands)
    return [next(given) if shape is None else run.constant(op.name(place), shape) for place, shape in enumerate(held)]


@implements("Concat")
def _concat(op: Any, run: Run, *operands: Array) -> Array:
    parts = _placed(op, run, operands)
    axis = op.axis % operands[0].ndim
    shape = [*operands[0].shape]
    shape[axis] = sum(x.shape[axis] for x in parts)
    y = np.empty(shape, np.float64)
    start = 0
    for x in parts:
        y[(slice(None),) * axis + (slice(start, start + x.shape[axis]),)] = x
        start += x.shape[axis]
    return y


@implements("Embedding")
def _embedding(op: Any, run: Run, x: Array) -> Array:
    table = run.constant("weight", (op.count, op.features))
    run.read["weight"] = x.size * op.features
    return numbers([table[int(row) % op.count] for row in x.reshape(-1)]).reshape((*x.shape, op.features))


@implements("Gather")
def _gather(op: Any, run: Run, *operands: Array) -> Array:
    x, indices = _placed(op, run, operands)
    axis = op.axis % x.ndim
    parts = [np.moveaxis(x, axis, 0)[int(index) % x.shape[axis]] for index in indices.reshape(-1)]
    rest = np.stack(parts).reshape(*indices.shape, *x.shape[:axis], *x.shape[axis + 1 :])
    order = [*range(indices.ndim, indices.ndim + axis), *range(indices.ndim), *range(indices.ndim + axis, rest.ndim)]
    run.read[op.key(0)] = rest.size
    return numbers(rest.transpose(order))


@implements("GatherElements")
def _gather_elements(op: Any, run: Run, *operands: Array) -> Array:
    x, indices = _placed(op, run, operands)
    axis = op.axis % x.ndim
    y = np.empty(indices.shape)
    for place in np.ndindex(*indices.shape):
        y[place] = x[(*place[:axis], int(indices[place]) % x.shape[axis], *place[axis + 1 :])]
    return y


@implements("GatherND")
def _gather_nd(op: Any, run: Run, *operands: Array) -> Array:
    x, indices = _placed(op, run, operands)
    parts = []
    for place in np.ndindex(*indices.shape[:-1]):
        part = x[place[: op.batch]]
        for index in indices[place]:
            part = part[int(index) % len(part)]
        parts.append(part)
    run.read[op.key(0)] = sum(part.size for part in parts)
    return numbers(parts).reshape((*indices.shape[:-1], *x.shape[op.batch + indices.shape[-1] :]))


def _put(op: Any, run: Run, x: Array, places: Array, updates: Array) -> Array:
    """A copy of x with updates in their places, which count the elements of x as they lie."""
    y = np.array(x, np.float64, order="C").reshape(-1)
    how = ("none", "add", "mul", "max", "min").index(op.reduction)
    run.counter.run(loops.put, numbers(updates), y, run.counter.counts, places, how)
    return y.reshape(x.shape)


@implements("ScatterND")
def _scatter_nd(op: Any, run: Run, *operands: Array) -> Array:
    x, indices, updates = _placed(op, run, operands)
    numbered = np.arange(x.size).reshape(x.shape)
    places = np.empty(updates.shape, np.int64)
    for place in np.ndindex(*indices.shape[:-1]):
        places[place] = numbered[tuple(int(i) % size for i, size in zip(indices[place], x.shape, strict=False))]
    return _put(op, run, x, places, updates)


@implements("ScatterElements")
def _scatter_elements(op: Any, run: Run, *operands: Array) -> Array:
    x, indices, updates = _placed(op, run, operands)
    numbered = np.arange(x.size).reshape(x.shape)
    places = np.empty(updates.shape, np.int64)
    for place in np.ndindex(*indices.shape):
        at = list(place)
        at[op.axis] = int(indices[place]) % x.shape[op.axis]
        places[place] = numbered[tuple(at)]
    return _put(op, run, x, places, updates)


@implements("TopK")
def _top_k(op: Any, run: Run, x: Array) -> tuple[Array, ...]:
    rows = np.moveaxis(x, op.axis, -1)
    length = rows.shape[-1]
    tree = np.zeros(2 ** ((length - 1).bit_length() + 1), np.int64)
    sizes = (x.size // length, length, op.k, 1.0 if op.largest else -1.0)
    both = run.loop(loops.tournament, (rows,), (2, *rows.shape[:-1], op.k), tree, *sizes)
    values, places = (numbers(np.moveaxis(part, -1, op.axis)) for part in both)
    return values, places


@implements("OneHot")
def _one_hot(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    y = np.full((*x.shape, op.depth), op.off, np.float64)
    for place in np.ndindex(*x.shape):
        if -op.depth <= x[place] < op.depth:
            y[(*place, int(x[place]))] = op.on
    return numbers(np.moveaxis(y, -1, op.axis))


@implements("ReverseSequence")
def _reverse_sequence(op: Any, run: Run, *operands: Array) -> Array:
    x, lengths = _placed(op, run, operands)
    turned = np.moveaxis(x, (op.batch, op.time), (0, 1))
    y = np.array(turned, np.float64)
    for b, length in enumerate(lengths):
        for t in range(int(length)):
            y[b, t] = turned[b, int(length) - 1 - t]
    return numbers(np.moveaxis(y, (0, 1), (op.batch, op.time)))


@implements("TensorScatter")
def _tensor_scatter(op: Any, run: Run, past: Array, update: Array, *first: Array) -> Array:  # noqa: ARG001
    y = np.moveaxis(np.array(past, np.float64), op.axis, 1)
    new = np.moveaxis(update, op.axis, 1)
    for b in range(len(past)):
        begin = int(first[0][b]) if first else 0
        for s in range(new.shape[1]):
            y[b, (begin + s) % y.shape[1]] = new[b, s]
    return numbers(np.moveaxis(y, 1, op.axis))


@implements("Trilu")
def _trilu(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    y = np.array(x, np.float64)
    for i in range(x.shape[-2]):
        diagonal = i + op.k
        outside = slice(0, max(diagonal, 0)) if op.upper else slice(max(diagonal + 1, 0), None)
        y[..., i, outside] = 0
    return y


@implements("Tile")
def _tile(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    for axis, count in enumerate(op.repeats):
        x = np.concatenate([x] * count, axis=axis)
    return np.array(x, np.float64)


@implements("Expand")
def _expand(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    y = x.reshape((1,) * (len(op.to) - x.ndim) + x.shape)
    for axis, size in enumerate(op.to, start=y.ndim - len(op.to)):
        y = np.repeat(y, size if y.shape[axis] == 1 else 1, axis=axis)
    return np.array(y, np.float64)


@implements("DepthToSpace")
def _depth_to_space(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    n, c, h, w = x.shape
    each = c // op.factor**2
    y = np.empty((n, each, h * op.factor, w * op.factor))
    for channel in range(each):
        for i, j in np.ndindex(op.factor, op.factor):
            place = i * op.factor + j
            of = channel * op.factor**2 + place if op.channels_first else place * each + channel
            y[:, channel, i :: op.factor, j :: op.factor] = x[:, of]
    return y


@implements("SpaceToDepth")
def _space_to_depth(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    parts = [x[:, :, i :: op.factor, j :: op.factor] for i, j in np.ndindex(op.factor, op.factor)]
    return numbers(np.concatenate(parts, axis=1))


@implements("Transpose")
def _transpose(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    return np.array(np.moveaxis(x, op.axes, range(x.ndim)), np.float64, order="C")


@implements("Slice")
def _slice(op: Any, run: Run, x: Array) -> Array:
    kept = x
    steps = op.step or (1,) * x.ndim
    for axis, (start, stop, step) in enumerate(zip(op.start, op.stop, steps, strict=True)):
        size = x.shape[axis]
        first = max(start + size, 0) if start < 0 else start
        last = size if stop is None else stop + size if stop < 0 else stop
        places = [place for place in range(size) if first <= place < last and (place - first) % step == 0]
        kept = np.take(kept, places, axis=axis)
    run.read[0] = kept.size
    return np.array(kept, np.float64, order="C")


@implements("Pad")
def _pad(op: Any, run: Run, x: Array) -> Array:  # noqa: ARG001
    before, after = op.pads[: x.ndim], op.pads[x.ndim :]
    if op.mode != "constant":
        for axis, size in enumerate(x.shape):
            places = [_mirrored(place, size, op.mode) for place in range(-before[axis], size + after[axis])]
            x = np.take(x, places, axis=axis)
        return np.array(x, np.float64)
    y = np.full([a + size + b for a, size, b in zip(before, x.shape, after, strict=True)], op.value, np.float64)
    y[tuple(slice(a, a + size) for a, size in zip(before, x.shape, strict=True))] = x
    return y


def _mirrored(place: int, size: int, mode: str) -> int:
    """A place beside an axis -> the one on it that it repeats."""
    if mode == "wrap":
        return place % size
    if mode == "edge" or size == 1:
        return min(max(place, 0), size - 1)
    place %= 2 * (size - 1)
    return min(place, 2 * (size - 1) - place)


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


# Whole numbers that stand for fractions. A weight's zero point is off it, and scales are one factor, before any image.


def _ends(dtype: str) -> tuple[float, float]:
    """The smallest and the largest number of an element type."""
    bits = BITS[dtype]
    return (0.0, 2.0**bits - 1) if dtype.startswith("u") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def _number(run: Run, name: str) -> float:
    return float(run.constant(name, ()))


def _flowing(run: Run, x: Array, zero: float | None) -> Array:
    """What flows, less its zero point if there is one."""
    return numbers(x) if zero is None else run.loop(loops.shift, (x,), x.shape, zero)


def _requantised(run: Run, q: Array, factors: Array, dtype: str, outer: int, inner: int) -> Array:
    zero = _number(run, "y_zero_point")
    return run.loop(loops.requantise, (q, factors), q.shape, outer, inner, zero, *_ends(dtype))


def _convolved(op: Any, run: Run, x: Array, weight: Array, bias: Array) -> Array:
    images, channels, size = _per_channel(x)
    slid = slide(x.shape[2:], op.window)
    inside, taps = channels // op.groups, prod(op.window.kernel)
    column = np.empty(inside * taps) if run.counter.compiles else [0.0] * (inside * taps)
    return run.loop(
        loops.convolve, (x, weight, bias), (images, op.filters, *slid.positions), column, slid.offsets,
        images, channels, size, op.groups, op.filters, prod(slid.positions), taps,
    )  # fmt: skip


@implements("QLinearConv")
def _qlinear_conv(op: Any, run: Run, x: Array) -> Array:
    scale_x, zero_x = _number(run, "x_scale"), _number(run, "x_zero_point")
    weight = numbers(run.constant("weight", (op.filters, x.shape[1] // op.groups, *op.window.kernel)))
    each = (op.filters,) if op.per_filter else ()
    scale, zero = (numbers(run.constant(f"weight_{name}", each)) for name in ("scale", "zero_point"))
    weight = weight - zero.reshape(-1, *[1 for _ in weight.shape[1:]])
    factors = np.broadcast_to(scale_x * scale / _number(run, "y_scale"), op.filters)
    bias = numbers(run.constant("bias", (op.filters,))) if op.bias else np.zeros(op.filters)
    q = _convolved(op, run, _flowing(run, x, zero_x), weight, bias)
    return _requantised(run, q, factors, op.dtype, q.shape[0], prod(q.shape[2:]))


@implements("ConvInteger")
def _conv_integer(op: Any, run: Run, x: Array, zero: Array | None = None) -> Array:
    weight = numbers(run.constant("weight", (op.filters, x.shape[1] // op.groups, *op.window.kernel)))
    first = float(zero) if zero is not None else _number(run, "x_zero_point") if op.x_zero_point == "constant" else None
    shifted = _flowing(run, x, first)
    if op.weight_zero_point:
        weight = weight - _number(run, "weight_zero_point")
    return _convolved(op, run, shifted, weight, np.zeros(op.filters))


def _multiplied(run: Run, a: Array, b: Array) -> Array:
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    height, inner, width = a.shape[-2], a.shape[-1], b.shape[-1]
    left, right = np.broadcast_to(a, (*outer, height, inner)), np.broadcast_to(b, (*outer, inner, width))
    return run.loop(loops.matmul, (left, right), (*outer, height, width), prod(outer), height, width, inner)


@implements("MatMulInteger")
def _matmul_integer(op: Any, run: Run, *operands: Array) -> Array:
    flows = operands[:-1] if op.a_zero_point == "operand" else operands
    pair = list(_pair(op, run, flows))
    zeros: list[float | None] = [None, None]
    if op.a_zero_point != "none":
        zeros[0] = float(operands[-1]) if op.a_zero_point == "operand" else _number(run, "a_zero_point")
    if op.b_zero_point:
        zeros[1] = _number(run, "b_zero_point")
    held = None if op.held is None else 0 if op.held_first else 1
    a, b = (
        numbers(values) - (zero or 0) if place == held else _flowing(run, values, zero)
        for place, (values, zero) in enumerate(zip(pair, zeros, strict=True))
    )
    return _multiplied(run, a, b)


@implements("QLinearMatMul")
def _qlinear_matmul(op: Any, run: Run, *operands: Array) -> Array:
    pair = _pair(op, run, operands)
    held = None if op.held is None else 0 if op.held_first else 1
    columns = pair[1].shape[-1]
    each = (columns,) if op.per_column else ()
    zeros = [numbers(run.constant("a_zero_point", ())), numbers(run.constant("b_zero_point", each))]
    scales = [numbers(run.constant("a_scale", ())), numbers(run.constant("b_scale", each))]
    if op.per_column and held != 1:
        flat = [_flowing(run, pair[1][..., j], float(zeros[1][j])) for j in range(columns)]
        right = np.stack(flat, axis=-1)
    else:
        right = numbers(pair[1]) - zeros[1] if held == 1 else _flowing(run, pair[1], float(zeros[1].reshape(-1)[0]))
    left = numbers(pair[0]) - zeros[0] if held == 0 else _flowing(run, pair[0], float(zeros[0].reshape(-1)[0]))
    q = _multiplied(run, left, right)
    factors = np.broadcast_to(scales[0] * scales[1] / _number(run, "y_scale"), columns)
    return _requantised(run, q, factors, op.dtype, q.size // columns, 1)


def _scales(op: Any, run: Run, x: Array) -> tuple[Array, Array]:
    """The scale and the zero point of each element."""
    shape = op.scales(x.shape)
    scale = run.constant("scale", shape)
    zero = run.constant("zero_point", shape) if op.zero_point else np.zeros(shape)
    if op.axis is None:
        return np.broadcast_to(scale, x.shape), np.broadcast_to(zero, x.shape)
    axis = op.axis % x.ndim
    places = [place // (op.block_size or 1) for place in range(x.shape[axis])]
    taken = [np.take(values, places, axis=axis if op.block_size else 0) for values in (scale, zero)]
    beside = [1 if place != axis else -1 for place in range(x.ndim)]
    a, b = taken if op.block_size else [values.reshape(beside) for values in taken]
    return np.broadcast_to(a, x.shape), np.broadcast_to(b, x.shape)


@implements("QuantizeLinear")
def _quantize(op: Any, run: Run, x: Array) -> Array:
    return run.loop(loops.quantise, (x, *_scales(op, run, x)), x.shape, int(op.zero_point), *_ends(op.dtype))


@implements("DequantizeLinear")
def _dequantize(op: Any, run: Run, x: Array) -> Array:
    return run.loop(loops.dequantise, (x, *_scales(op, run, x)), x.shape, int(op.zero_point))


@implements("DynamicQuantizeLinear")
def _dynamic_quantize(op: Any, run: Run, x: Array) -> tuple[Array, ...]:  # noqa: ARG001
    scale, zero = run.loop(loops.dynamic_range, (x,), (2,))
    every = [np.broadcast_to(value, x.shape) for value in (scale, zero)]
    y = run.loop(loops.quantise, (x, *every), x.shape, 1, *_ends("uint8"))
    return y, np.array(scale), np.array(zero)


def _of_two_quantised(loop: Loop) -> Implementation:
    def implementation(op: Any, run: Run, a: Array, b: Array) -> Array:
        told = [_number(run, f"{of}_{name}") for of in "aby" for name in ("zero_point", "scale")]
        zero, scale = told[4:]
        left, right = np.broadcast_arrays(a, b)
        return run.loop(loop, (left, right), left.shape, *told[:4], scale, zero, *_ends(op.dtype))

    return implementation


IMPLEMENTATIONS.update(
    QLinearAdd=_of_two_quantised(loops.quantised_sum), QLinearMul=_of_two_quantised(loops.quantised_product)
)


@implements("QLinearGlobalAveragePool")
def _qlinear_mean(op: Any, run: Run, x: Array) -> Array:
    images, channels, size = _per_channel(x)
    told = {f"{of}_{name}": _number(run, f"{of}_{name}") for of in "xy" for name in ("scale", "zero_point")}
    factor = told["x_scale"] / (told["y_scale"] * size)
    shape = (images, channels, *[1 for _ in x.shape[2:]])
    return run.loop(
        loops.quantised_mean, (x,), shape, images * channels, size, size * told["x_zero_point"], factor,
        told["y_zero_point"], *_ends(op.dtype),
    )  # fmt: skip
