"""What operators are to make, by formulas that share no code with them and by ONNX Runtime, and how exactly.

How far two results may lie apart is worked out and not chosen. One operation is off by at most u, half the distance
from 1 to the next number, times its result; a sum of n products, in whatever order, by at most n * u times the sum of
their absolute values (Jeannerod and Rump, Improved error bounds for inner products in floating-point arithmetic, 2013).
"""

import functools
import itertools
import math

import numpy as np
import onnxruntime

U = {dtype: float(np.finfo(dtype).eps) / 2 for dtype in ("float32", "float64", "float16")}


def onnx_runtime(made, inputs, *, plain=False):
    """The outputs of an ONNX model; ``plain`` without fusing its nodes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((tensor.name for tensor in made.graph.input), inputs, strict=True)))


def wide(arrays):
    """The same values in float64."""
    if isinstance(arrays, dict):
        return {name: array.astype("float64") for name, array in arrays.items()}
    return [array.astype("float64") for array in arrays]


# The equations once more, as directly as they can be written; all in float64.


def begins(size, kernel, stride, dilation, pads, *, ceil=False):
    """Where the windows of one axis begin; with ``ceil`` also the one that overhangs, if it begins before the end."""
    before, after = pads
    last = size + after - dilation * (kernel - 1) - 1  # where the last window begins that does not overhang
    starts = itertools.count(-before, stride)
    return list(itertools.takewhile(lambda s: s <= last or (ceil and s - stride < last and s < size), starts))


def windows(op, spatial):
    """Per axis where the windows begin."""
    ceil = getattr(op, "ceil_mode", False)
    return [begins(size, *axis, ceil=ceil) for size, *axis in zip(spatial, *op.window, strict=True)]


def inputs_under(op, spatial, *, pads):
    """Per axis how many elements of x, or of x and its ``pads``, each window has."""
    for starts, size, kernel, dilation, (before, after) in zip(
        windows(op, spatial), spatial, op.window.kernel, op.window.dilation, op.window.pads, strict=True
    ):
        low, high = (-before, size + after) if pads else (0, size)
        yield [sum(low <= start + dilation * tap < high for tap in range(kernel)) for start in starts]


def taps(op, x, outside=0.0):
    """Each element of the window, and what lies under it at every position; beside the map lies ``outside``."""
    n, c, *spatial = x.shape
    starts = windows(op, spatial)
    for tap in itertools.product(*map(range, op.window.kernel)):
        places = [np.array(s) + t * d for s, t, d in zip(starts, tap, op.window.dilation, strict=True)]
        there = [(place >= 0) & (place < size) for place, size in zip(places, spatial, strict=True)]
        nearest = [place.clip(0, size - 1) for place, size in zip(places, spatial, strict=True)]
        under = x[np.ix_(range(n), range(c), *nearest)]
        yield tap, np.where(functools.reduce(np.logical_and.outer, there), under, outside)


def convolution(op, x, weight, bias=None):
    n, c, *_ = x.shape
    groups, positions, total = op.groups, (), 0.0
    for tap, under in taps(op, x):
        positions = under.shape[2:]
        matrices = weight[(..., *tap)].reshape(groups, op.filters // groups, c // groups)
        total = total + matrices @ under.reshape(n, groups, c // groups, -1)
    y = total.reshape(n, op.filters, *positions)
    return y if bias is None else y + bias.reshape(-1, *(1 for _ in positions))


def maximum(op, x):
    return functools.reduce(np.maximum, (under for _, under in taps(op, x, -math.inf)))


def mean(op, x):
    counts = functools.reduce(
        np.multiply.outer, map(np.array, inputs_under(op, x.shape[2:], pads=op.count_include_pad))
    )
    return sum(under for _, under in taps(op, x)) / counts


def linear(op, x, weight, bias=0.0):
    return np.einsum("...c,mc->...m", x, weight) + bias


def per_channel(values, x):
    return values.reshape(1, -1, *(1 for _ in x.shape[2:]))


def normalized(op, x, **weights):
    gain, shift, center, variance = (per_channel(weights[key], x) for key in ("gamma", "beta", "mean", "variance"))
    return gain * (x - center) / np.sqrt(variance + op.epsilon) + shift


def neighbours(op, x):
    """The sums of Lrn: (size - 1) // 2 channels before c, c itself, and size // 2 behind."""
    channels = range(x.shape[1])
    around = [[i for i in channels if -((op.size - 1) // 2) <= i - c <= op.size // 2] for c in channels]
    return np.stack([(x[:, near] ** 2).sum(axis=1) for near in around], axis=1)


def lrn(op, x):
    return x / (op.k + op.alpha / op.size * neighbours(op, x)) ** op.beta


def softmax(op, x):
    rows = np.moveaxis(x, op.axis, -1)
    powers = np.exp(rows - rows.max(axis=-1)[..., None])
    return np.moveaxis(powers / powers.sum(axis=-1)[..., None], -1, op.axis)


def shuffled(op, x):
    y = np.empty_like(x)
    each = x.shape[1] // op.groups
    for i, j in itertools.product(range(each), range(op.groups)):
        y[:, i * op.groups + j] = x[:, j * each + i]
    return y


def padded(op, x):
    y = np.full([size + sum(op.pads[axis :: x.ndim]) for axis, size in enumerate(x.shape)], op.value)
    y[tuple(slice(before, before + size) for before, size in zip(op.pads, x.shape, strict=False))] = x
    return y


def joined(op, *inputs):
    return np.stack([part for x in inputs for part in np.moveaxis(x, op.axis, 0)], axis=op.axis)


def permuted(op, x):
    y = np.empty([x.shape[axis] for axis in op.axes])
    for index in np.ndindex(*x.shape):
        y[tuple(index[axis] for axis in op.axes)] = x[index]
    return y


def cut(op, x):
    for axis, (start, stop, step) in enumerate(zip(op.start, op.stop, op.step or (1,) * x.ndim, strict=True)):
        x = np.stack(list(np.moveaxis(x, axis, 0))[start:stop:step], axis=axis)
    return x


def renamed(op, x):
    return np.array(x.ravel().tolist()).reshape(op.shape(x.shape))


def sigmoid(x):
    power = math.exp(-abs(x))
    return (1 if x >= 0 else power) / (1 + power)


def value_by_value(formula):
    return lambda op, x: np.vectorize(functools.partial(formula, op), otypes=[float])(x)


def bound(value, sign):
    return sign * math.inf if value is None else value


def of_two(formula):
    """On two operands, of which a weight may be one."""

    def equation(op, *inputs, **weights):
        operands = (*weights.values(), *inputs) if op.held_first else (*inputs, *weights.values())
        return formula(*operands)

    return equation


EXACT = {
    "Add": of_two(lambda a, b: a + b),
    "AveragePool": mean,
    "BatchNorm": normalized,
    "ChannelShuffle": shuffled,
    "Clip": value_by_value(lambda op, x: min(max(x, bound(op.low, -1)), bound(op.high, 1))),
    "Cast": lambda op, x: x,  # noqa: ARG005
    "Concat": joined,
    "Conv": convolution,
    "Div": of_two(lambda a, b: a / b),
    "Dropout": lambda _, x: x,
    "Elu": value_by_value(lambda op, x: x if x > 0 else op.alpha * math.expm1(x)),
    "Flatten": renamed,
    "Gelu": value_by_value(lambda _, x: x / 2 * math.erfc(-x / math.sqrt(2))),
    "GlobalAveragePool": lambda op, x: x.reshape(*x.shape[:2], -1).mean(axis=2).reshape(op.shape(x.shape)),
    "GlobalMaxPool": lambda op, x: x.reshape(*x.shape[:2], -1).max(axis=2).reshape(op.shape(x.shape)),
    "HardSigmoid": value_by_value(lambda op, x: min(max(op.alpha * x + op.beta, 0), 1)),
    "HardSwish": value_by_value(lambda _, x: x * min(max(x / 6 + 0.5, 0), 1)),
    "LeakyRelu": value_by_value(lambda op, x: x if x > 0 else op.slope * x),
    "Linear": linear,
    "Lrn": lrn,
    "MatMul": of_two(lambda a, b: np.einsum("...ik,...kj->...ij", a, b)),
    "MaxPool": maximum,
    "Mul": of_two(lambda a, b: a * b),
    "PRelu": lambda _, x, slope: np.maximum(x, 0) + per_channel(slope, x) * np.minimum(x, 0),
    "Pad": padded,
    "Relu": value_by_value(lambda _, x: max(x, 0)),
    "Relu6": value_by_value(lambda _, x: min(max(x, 0), 6)),
    "Reshape": renamed,
    "Sigmoid": value_by_value(lambda _, x: sigmoid(x)),
    "Silu": value_by_value(lambda _, x: x * sigmoid(x)),
    "Slice": cut,
    "Softmax": softmax,
    "Softplus": value_by_value(lambda _, x: max(x, 0) + math.log1p(math.exp(-abs(x)))),
    "Sub": of_two(lambda a, b: a - b),
    "Tanh": value_by_value(lambda _, x: math.tanh(x)),
    "Transpose": permuted,
}


# How far a result may be off: (op, u, y, inputs, weights) -> the largest error, everything exact and in float64.

FUNCTION = (
    8  # u; exp, expm1, log1p, tanh and power are good to 4 units in the last place, NumPy's promise for its fastest
)


def off_by_products(op, u, y, inputs, weights):
    """The bias is one more term. Loops counts the terms of a matrix product too."""
    terms = op.loops(*(x.shape for x in inputs)).reduction + 1
    sizes = {name: abs(weight) for name, weight in weights.items()}
    return terms * u * EXACT[op.kind](op, *map(abs, inputs), **sizes)


def off_by_mean(op, u, y, inputs, weights):
    """A sum, and the division."""
    (x,) = inputs
    terms = math.prod(op.window.kernel if op.window else x.shape[2:])
    return (terms + 1) * u * EXACT[op.kind](op, abs(x))


def off_by_norm(op, u, y, inputs, weights):
    """Seven operations, and one for what is of order u * u; x - mean may cancel, as may what beta is added to."""
    (x,) = inputs
    gain, shift, center, variance = (per_channel(weights[key], x) for key in ("gamma", "beta", "mean", "variance"))
    return 8 * u * ((abs(x) + abs(center)) / np.sqrt(variance + op.epsilon) * abs(gain) + abs(shift))


def off_by_lrn(op, u, y, inputs, weights):
    """The base of the power is squares, their sum, alpha/size, k; beta, rounded, is off by u * beta, for log(base).

    A running sum over the channels, as ONNX Runtime keeps it, is off by its terms' errors also when they have left it.
    """
    (x,) = inputs
    base = op.k + op.alpha / op.size * neighbours(op, x)
    everything = op.k + op.alpha / op.size * (x**2).sum(axis=1, keepdims=True)
    of_base = (2 * x.shape[1] + op.size + 4) * u * everything / base
    return abs(y) * (op.beta * of_base + u * (op.beta * abs(np.log(base)) + FUNCTION + 1))


def off_by_softmax(op, u, y, inputs, weights):
    """x - max is off by u times itself, which is a factor of the power; the sum has positive terms."""
    (x,) = inputs
    of_power = np.expm1(u * (abs(x - x.max(axis=op.axis, keepdims=True)) + FUNCTION))
    return y * (of_power + (y * of_power).sum(axis=op.axis, keepdims=True) + (x.shape[op.axis] + 1) * u)


def times(units):
    """So many roundings of the result, none of which cancels."""

    def off(op, u, y, inputs, weights):
        return units * u * abs(y)

    return off


def off_by_line(op, u, y, inputs, weights):
    """x/6 + 1/2 cancels around -3, and is cut off from 3 on; alpha and beta are rounded too."""
    if op.kind == "HardSigmoid":
        return 3 * u * (np.minimum(abs(inputs[0]), (1 - op.beta) / op.alpha + 1) * op.alpha + op.beta)
    return 2 * u * (np.minimum(abs(inputs[0]), 4) / 6 + 0.5) * (abs(inputs[0]) if op.kind == "HardSwish" else 1)


def off_by_flush(op, u, y, inputs, weights):
    """Where exp(-x) is infinite, 1 / (1 + exp(-x)) is 0: what is lost is smaller than 1 by the largest number."""
    largest = {U[dtype]: float(np.finfo(dtype).max) for dtype in U}[u]
    return (FUNCTION + 2) * u * abs(y) + abs(inputs[0] if op.kind == "Silu" else 1) / largest


def off_by_quotient(op, u, y, inputs, weights):
    """One rounding; a quotient may be larger than the largest number."""
    largest = {U[dtype]: float(np.finfo(dtype).max) for dtype in U}[u]
    return np.where(abs(y) * (1 + u) >= largest, math.inf, u * abs(y))


def off_by_gelu(op, u, y, inputs, weights):
    """1 + erf cancels for a negative x: it is off by erf, by the sum, and by two roundings of erf's argument."""
    return abs(inputs[0]) / 2 * 5 * u + 2 * u * abs(y)


MOVED = {
    "Cast",
    "Clip",
    "Concat",
    "ChannelShuffle",
    "Dropout",
    "Flatten",
    "GlobalMaxPool",
    "MaxPool",
    "Pad",
    "Relu",
    "Relu6",
    "Reshape",
    "Slice",
    "Transpose",
}
ROUNDED_ONCE = {"Add", "Div", "Mul", "Sub"}
OFF = {
    **dict.fromkeys(MOVED, times(0)),
    **dict.fromkeys(ROUNDED_ONCE, times(1)),
    **dict.fromkeys(["Conv", "Linear", "MatMul"], off_by_products),
    **dict.fromkeys(["AveragePool", "GlobalAveragePool"], off_by_mean),
    **dict.fromkeys(["HardSigmoid", "HardSwish"], off_by_line),
    **dict.fromkeys(["Sigmoid", "Silu"], off_by_flush),
    "BatchNorm": off_by_norm,
    "Div": off_by_quotient,
    "Elu": times(FUNCTION + 2),
    "Gelu": off_by_gelu,
    "LeakyRelu": times(2),
    "Lrn": off_by_lrn,
    "PRelu": times(1),
    "Softmax": off_by_softmax,
    "Softplus": times(2 * FUNCTION + 1),
    "Tanh": times(FUNCTION),
}


def assert_same(op, y, theirs, inputs, weights):
    """Two results in float32, both off by rounding if at all."""
    assert y.shape == theirs.shape
    if op.kind in MOVED | ROUNDED_ONCE:
        np.testing.assert_array_equal(y, theirs)
        return
    operands, constants = wide(inputs), wide(weights)
    exact = EXACT[op.kind](op, *operands, **constants)
    off = 2 * OFF[op.kind](op, U["float32"], exact, operands, constants) + np.finfo("float32").tiny
    if op.kind in (
        "Elu",
        "Sigmoid",
        "Silu",
        "Tanh",
    ):  # good to a few units in the last place of 1, not of y
        off = off + FUNCTION * U["float32"] * (abs(operands[0]) if op.kind == "Silu" else 1)
    assert (abs(y.astype("float64") - theirs) <= off).all()
