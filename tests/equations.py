"""What operators are to make, by formulas that share no code with them and by ONNX Runtime, and how exactly.

How far two results may lie apart is worked out and not chosen. One operation is off by at most u, half the distance
from 1 to the next number, times its result; a sum of n products, in whatever order, by at most n * u times the sum of
their absolute values (Jeannerod and Rump, Improved error bounds for inner products in floating-point arithmetic, 2013).
"""

import functools
import itertools
import math
import operator
import types

import numpy as np
import onnxruntime

U = {dtype: float(np.finfo(dtype).eps) / 2 for dtype in ("float32", "float64", "float16")}


def onnx_runtime(made, inputs, *, plain=False):
    """The outputs of an ONNX model; ``plain`` without fusing its nodes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")  # processors without VNNI saturate sums of bytes
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((tensor.name for tensor in made.graph.input), inputs, strict=True)))


def types_of(op, count):
    """The element types of an operator's operands, None for that of the numbers that it works on."""
    if op.kind in ("And", "Or", "Xor", "Not"):
        return ["bool"] * count
    if op.kind.startswith("Bit"):
        return ["uint8"] * count
    if op.kind == "Embedding" or getattr(op, "positions", False):
        return [None] * (count - 1) + ["int64"]
    names = getattr(op, "names", ())
    held = getattr(op, "held", ()) if names else ()
    flowing = [name for name, shape in zip(names, held or [None] * len(names), strict=True) if shape is None]
    return [getattr(op, "fixed", {}).get(name) for name in flowing] or [None] * count


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


# Operators of transformers and decoders.


def placed(op, inputs, weights):
    """All operands, those that are held in their places."""
    given, held = iter(inputs), iter(weights.values())
    return [next(given if shape is None else held) for shape in op.held or [None] * len(inputs)]


def of_rows(formula, axes):
    """A formula on the values along some axes at once, one row after another."""

    def equation(op, x, **weights):
        over = [axis % x.ndim for axis in axes(op, x)]
        kept = [axis for axis in range(x.ndim) if axis not in over]
        y = np.empty_like(x)
        for place in np.ndindex(*[x.shape[axis] for axis in kept]):
            index = [slice(None)] * x.ndim
            for axis, number in zip(kept, place, strict=True):
                index[axis] = number
            y[tuple(index)] = formula(op, x[tuple(index)])
        return y

    return equation


def centered(op, row):
    return (row - row.sum() / row.size) / math.sqrt(((row - row.sum() / row.size) ** 2).sum() / row.size + op.epsilon)


def by_root(op, row):
    return row / math.sqrt((row * row).sum() / row.size + op.epsilon)


def affine(equation, *, channels):
    def whole(op, x, gamma=None, beta=None):
        y = equation(op, x)
        gain, shift = (
            per_channel(values, x) if channels and values is not None else values for values in (gamma, beta)
        )
        return (y if gain is None else y * gain) + (0 if shift is None else shift)

    return whole


def of_groups(op, x):
    n, c, *rest = x.shape
    whole = of_rows(centered, lambda _, x: range(2, x.ndim))
    return whole(op, x.reshape(n, op.groups, c // op.groups, *rest)).reshape(x.shape)


def last_axes(op, x):
    return range(op.axis % x.ndim, x.ndim)


LAYER_NORM = affine(of_rows(centered, last_axes), channels=False)
RMS_NORM = affine(of_rows(by_root, last_axes), channels=False)
GROUP_NORM = affine(of_groups, channels=True)
INSTANCE_NORM = affine(of_rows(centered, lambda _, x: range(2, x.ndim)), channels=True)

TRAINING_BATCH_NORM = affine(of_rows(centered, lambda _, x: (0, *range(2, x.ndim))), channels=True)


def hypotenuse(p, values):
    """The size of what has these values as its sides, or their sum."""
    return math.hypot(*values) if p == 2 else math.fsum(map(abs, values))


LP_NORM = of_rows(
    lambda op, row: np.array([x and x / hypotenuse(op.p, row.ravel()) for x in row.ravel()]).reshape(row.shape),
    lambda op, _: [op.axis],
)
MEAN_VARIANCE_NORM = of_rows(
    lambda _, row: (row - row.mean()) / (math.sqrt(((row - row.mean()) ** 2).mean()) + 1e-9), lambda op, _: op.axes
)
HARDMAX = of_rows(
    lambda _, row: np.array([float(i == row.tolist().index(max(row.tolist()))) for i in range(len(row))]),
    lambda op, _: [op.axis],
)


def sizes_under(op, x):
    under = np.stack([value for _, value in taps(op, x)], axis=-1)
    return np.apply_along_axis(lambda values: hypotenuse(op.p, values), -1, under)


def sizes_of_maps(op, x):
    n, c, *rest = x.shape
    return np.apply_along_axis(lambda values: hypotenuse(op.p, values), -1, x.reshape(n, c, -1)).reshape(
        n, c, *(1 for _ in rest)
    )


def mean_of_all(op, *inputs, **weights):
    every = np.broadcast_arrays(*placed(op, inputs, weights))
    return np.mean(np.stack(every), axis=0)


def reduced(formula):
    """A formula on the list of values that become one."""

    def equation(op, x):
        axes = {axis % x.ndim for axis in op.axes}
        shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        found = {}
        for place in np.ndindex(*x.shape):
            key = tuple(0 if axis in axes else number for axis, number in enumerate(place))
            found.setdefault(key, []).append(x[place])
        y = np.array([formula(found[key]) for key in np.ndindex(*shape)])
        return y.reshape(op.shape(x.shape))

    return equation


def log_sum_exp(values):
    return max(values) + math.log(math.fsum(math.exp(value - max(values)) for value in values))


def place_of(best):
    def equation(op, x):
        rows = np.moveaxis(x, op.axis, -1)
        y = np.array([row.tolist().index(best(row)) for row in rows.reshape(-1, x.shape[op.axis])])
        return y.reshape(op.shape(x.shape))

    return equation


def running_sum(op, x):
    rows = np.moveaxis(x, op.axis, -1)
    rows = rows[..., ::-1] if op.reverse else rows
    y = np.stack([rows[..., : i + (not op.exclusive)].sum(axis=-1) for i in range(rows.shape[-1])], axis=-1)
    return np.moveaxis(y[..., ::-1] if op.reverse else y, -1, op.axis)


def running_product(op, x):
    rows = np.moveaxis(x, op.axis, -1)
    rows = rows[..., ::-1] if op.reverse else rows
    y = np.stack([rows[..., : i + (not op.exclusive)].prod(axis=-1) for i in range(rows.shape[-1])], axis=-1)
    return np.moveaxis(y[..., ::-1] if op.reverse else y, -1, op.axis)


def by_heads(op, q, k, v):
    heads = op.heads or q.shape[1]
    groups = k.shape[1] if k.ndim == 4 else op.key_heads or heads
    apart = [
        x if x.ndim == 4 else np.stack(np.split(x, count, axis=2), axis=1)
        for x, count in ((q, heads), (k, groups), (v, groups))
    ]
    return heads, groups, apart


def scores(op, q, k, v, *masks, **held):
    heads, groups, (q, k, _) = by_heads(op, q, k, v)
    scale = 1 / math.sqrt(q.shape[3]) if op.scale is None else op.scale
    y = np.stack([q[:, h] @ np.swapaxes(k[:, h * groups // heads], 1, 2) * scale for h in range(heads)], axis=1)
    for mask in (*masks, *held.values()):
        y = y + mask
    for i, j in np.ndindex(*y.shape[2:]):
        if op.causal and j > i + op.past:
            y[..., i, j] = -np.inf
    return y


def mixed(op, shares, q, v):
    heads, groups, (_, _, v) = by_heads(op, q, v, v)
    y = np.stack([shares[:, h] @ v[:, h * groups // heads] for h in range(heads)], axis=1)
    return y if q.ndim == 4 else np.concatenate([y[:, h] for h in range(heads)], axis=2)


def shares(score):
    powers = np.exp(score - score.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(op, q, k, v, *masks, **held):
    return mixed(op, shares(scores(op, q, k, v, *masks, **held)), q, v)


def rotated(op, x, *more, signs=(-1, 1), **held):
    """By complex numbers, but for the signs of the sines, which an estimate has all positive."""
    cos, sin, *positions = (*held.values(), *more)
    if positions:
        places = [[int(place) % len(cos) for place in line] for line in positions[0]]
        cos, sin = (np.stack([rows[line] for line in places]) for rows in (cos, sin))
    heads = np.stack(np.split(x, op.heads, axis=2), axis=1) if x.ndim == 3 else x
    size = op.rotated or heads.shape[-1]
    y = heads.copy()
    for r in range(size // 2):
        i, j = (2 * r, 2 * r + 1) if op.interleaved else (r, r + size // 2)
        c, s = cos[:, None, :, r], sin[:, None, :, r]
        y[..., i] = c * heads[..., i] + signs[0] * s * heads[..., j]
        y[..., j] = c * heads[..., j] + signs[1] * s * heads[..., i]
    return np.concatenate([y[:, h] for h in range(y.shape[1])], axis=2) if x.ndim == 3 else y


def contraction(op, *inputs, **weights):
    """One letter after another as an axis of a product of all; three dots are letters too."""
    a, b = placed(op, inputs, weights)
    terms, _, made = op.equation.partition("->")
    spread = max(x.ndim - len(term.replace("...", "")) for term, x in zip(terms.split(","), (a, b), strict=True))
    dots = "ZYXW"[:spread] if "..." in terms else ""
    letters = sorted({*terms.replace("...", "").replace(",", "")}) + list(dots)
    factors = []
    for term, operand in zip(terms.split(","), (a, b), strict=True):
        own = operand.ndim - len(term.replace("...", ""))
        names, factor = term.replace("...", dots[len(dots) - own :] if own else ""), operand
        for name in {name for name in names if names.count(name) > 1}:
            first, last = names.index(name), names.rindex(name)
            factor = np.diagonal(factor, axis1=first, axis2=last)
            names = names[:first] + names[first + 1 : last] + names[last + 1 :] + name
        there = [name for name in letters if name in names]
        factor = factor.transpose([names.index(name) for name in there])
        factors.append(factor[tuple(slice(None) if name in names else None for name in letters)])
    y = factors[0] * factors[1]
    kept = made.replace("...", dots)
    y = y.sum(axis=tuple(axis for axis, name in enumerate(letters) if name not in kept), keepdims=True)
    y = y.transpose([*[letters.index(name) for name in kept], *[i for i, n in enumerate(letters) if n not in kept]])
    return y.reshape(y.shape[: len(kept)])


def spread(op, x, weight, bias=None):
    """Every product at its place on a map that is large enough, of which the pads are cut off."""
    n, c, *spatial = x.shape
    rank, each = len(spatial), op.filters // op.groups
    whole = [(size - 1) * s + d * (k - 1) + 1 + m for size, s, d, k, m in
             zip(spatial, op.stride, op.dilation, op.kernel, op.more, strict=True)]  # fmt: skip
    y = np.zeros((n, op.filters, *whole))
    for channel in range(c):
        group = channel // (c // op.groups)
        for place in np.ndindex(*spatial):
            for tap in np.ndindex(*op.kernel):
                at = tuple(p * s + t * d for p, s, t, d in zip(place, op.stride, tap, op.dilation, strict=True))
                y[(slice(None), slice(group * each, (group + 1) * each), *at)] += np.multiply.outer(
                    x[(slice(None), channel, *place)], weight[(channel, slice(None), *tap)]
                )
    kept = [slice(op.pads[axis], size - op.pads[axis + rank]) for axis, size in enumerate(whole)]
    y = y[(slice(None), slice(None), *kept)]
    return y if bias is None else y + bias.reshape(-1, *(1 for _ in range(rank)))


def cubic(distance, a):
    """Keys 1981, equation 15, with a free factor."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def resize_weights(op, old, new, scale):
    """How much of each old element is in each new one: new x old."""
    matrix = np.zeros((new, old))
    for i in range(new):
        place = {
            "half_pixel": (i + 0.5) / scale - 0.5,
            "half_pixel_symmetric": old / 2 - new / scale / 2 + (i + 0.5) / scale - 0.5,
            "pytorch_half_pixel": (i + 0.5) / scale - 0.5 if new > 1 else 0,
            "align_corners": i * (old - 1) / max(new - 1, 1),
            "asymmetric": i / scale,
        }[op.coordinates]
        if op.mode == "nearest":
            below, above = math.floor(place), math.ceil(place)
            half = place - below
            nearest = {"floor": below, "ceil": above, "round_prefer_floor": below if half <= 0.5 else above,
                       "round_prefer_ceil": below if half < 0.5 else above}[op.rounding]  # fmt: skip
            matrix[i, min(max(nearest, 0), old - 1)] = 1
            continue
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            weight = max(0, 1 - abs(place - j)) if op.mode == "linear" else cubic(place - j, op.cubic)
            if not op.inside or 0 <= j < old:
                matrix[i, min(max(j, 0), old - 1)] += weight
        matrix[i] /= matrix[i].sum() if op.inside else 1
    return matrix


def resized(op, x, size=lambda matrix: matrix):
    for axis, (old, new) in enumerate(zip(x.shape, op.sizes, strict=True)):
        scale = new / old if op.scales is None else op.scales[axis]
        if old != new or scale != 1:
            x = np.moveaxis(np.tensordot(size(resize_weights(op, old, new, scale)), x, (1, axis)), 0, axis)
    return x


def taken(op, *inputs, **weights):
    x, indices = placed(op, inputs, weights)
    parts = np.moveaxis(x, op.axis, 0)
    y = np.array([parts[int(index) % len(parts)] for index in indices.ravel()])
    y = y.reshape(*indices.shape, *parts.shape[1:])
    return np.moveaxis(y, range(indices.ndim), range(op.axis % x.ndim, op.axis % x.ndim + indices.ndim))


def taken_places(op, *inputs, **weights):
    x, indices = placed(op, inputs, weights)
    y = np.empty(op.shape(*(operand.shape for operand in inputs)))
    for place in np.ndindex(*indices.shape[:-1]):
        at = zip(indices[place], x.shape[op.batch :], strict=False)
        y[place] = x[(*place[: op.batch], *(int(index) % size for index, size in at))]
    return y


def taken_one_by_one(op, *inputs, **weights):
    x, indices = placed(op, inputs, weights)
    y = np.empty(indices.shape)
    for place in np.ndindex(*indices.shape):
        at = list(place)
        at[op.axis] = int(indices[place]) % x.shape[op.axis]
        y[place] = x[tuple(at)]
    return y


COMBINED = {
    "none": lambda old, new: new,  # noqa: ARG005
    "add": operator.add,
    "mul": operator.mul,
    "max": np.maximum,
    "min": np.minimum,
}


def put(op, *inputs, **weights):
    x, indices, updates = placed(op, inputs, weights)
    y = x.copy()
    for place in np.ndindex(*indices.shape[:-1]):
        at = tuple(int(index) % size for index, size in zip(indices[place], x.shape, strict=False))
        y[at] = COMBINED[op.reduction](y[at], updates[place])
    return y


def put_one_by_one(op, *inputs, **weights):
    x, indices, updates = placed(op, inputs, weights)
    y = x.copy()
    for place in np.ndindex(*indices.shape):
        at = list(place)
        at[op.axis] = int(indices[place]) % x.shape[op.axis]
        y[tuple(at)] = COMBINED[op.reduction](y[tuple(at)], updates[place])
    return y


def off_by_combining(op, u, y, inputs, weights):
    """So many roundings as there are updates, of sizes that add up; all that does not compute is exact."""
    if op.reduction not in ("add", "mul"):
        return 0 * y
    sized = [x if own else abs(x) for x, own in zip(inputs, types_of(op, len(inputs)), strict=True)]
    held = {name: w if name in op.fixed else abs(w) for name, w in weights.items()}
    return placed(op, inputs, weights)[1].size * u * EXACT[op.kind](op, *sized, **held)


def chosen(op, *inputs, **weights):
    condition, a, b = np.broadcast_arrays(*placed(op, inputs, weights))
    return np.vectorize(lambda c, x, y: x if c else y, otypes=[float])(condition, a, b)


def triangle(op, x):
    rows, columns = np.indices(x.shape[-2:])
    return x * ((columns - rows >= op.k) if op.upper else (columns - rows <= op.k))


def repeated(op, x):
    return np.array([x[tuple(i % size for i, size in zip(place, x.shape, strict=True))]
                     for place in np.ndindex(*op.shape(x.shape))]).reshape(op.shape(x.shape))  # fmt: skip


def stretched(op, x):
    return x + np.zeros(op.to)


def interleaved(op, x):
    shape, b = op.shape(x.shape), op.factor
    y = np.empty(shape)
    for n, c, h, w in np.ndindex(*shape):
        tap = h % b * b + w % b
        y[n, c, h, w] = x[n, c * b * b + tap if op.channels_first else tap * shape[1] + c, h // b, w // b]
    return y


def gathered_squares(op, x):
    shape, b, channels = op.shape(x.shape), op.factor, x.shape[1]
    y = np.empty(shape)
    for n, c, h, w in np.ndindex(*shape):
        y[n, c, h, w] = x[n, c % channels, h * b + c // channels // b, w * b + c // channels % b]
    return y


def padded_with(op, x):
    """Zeros, or the element of x that a place beside it stands for."""
    if op.mode == "constant":
        return padded(op, x)

    def of(place, size):
        if op.mode == "wrap":
            return place % size
        while op.mode == "reflect" and size > 1 and not 0 <= place < size:
            place = -place if place < 0 else 2 * (size - 1) - place
        return min(max(place, 0), size - 1)

    shape = op.shape(x.shape)
    y = [x[tuple(of(p - before, size) for p, before, size in zip(place, op.pads, x.shape, strict=False))]
         for place in np.ndindex(*shape)]  # fmt: skip
    return np.array(y).reshape(shape)


def joined_with(op, *inputs, **weights):
    whole = [size if axis != op.axis % inputs[0].ndim else 1 for axis, size in enumerate(inputs[0].shape)]
    return joined(op, *[part * np.ones(whole) for part in placed(op, inputs, weights)])


def value_pairs(formula):
    return of_two(np.vectorize(formula, otypes=[float]))


def raised(op, *inputs, **weights):
    if op.exponent is None:
        return value_pairs(math.pow)(op, *inputs, **weights)
    return np.vectorize(lambda x: math.pow(x, op.exponent), otypes=[float])(*inputs)


EXACT = {
    "Add": of_two(lambda a, b: a + b),
    "AveragePool": mean,
    "BatchNorm": normalized,
    "ChannelShuffle": shuffled,
    "Clip": value_by_value(lambda op, x: min(max(x, bound(op.low, -1)), bound(op.high, 1))),
    "Cast": lambda op, x: x,  # noqa: ARG005
    "Concat": joined_with,
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
    "Pad": padded_with,
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
    "TrainingBatchNorm": TRAINING_BATCH_NORM,
    "Transpose": permuted,
    "Abs": value_by_value(lambda _, x: math.fabs(x)),
    "And": value_pairs(lambda a, b: a != 0 and b != 0),
    "ArgMax": place_of(max),
    "ArgMin": place_of(min),
    "Attention": attention,
    "Ceil": value_by_value(lambda _, x: math.ceil(x)),
    "ConvTranspose": spread,
    "Cos": value_by_value(lambda _, x: math.cos(x)),
    "CumSum": running_sum,
    "DepthToSpace": interleaved,
    "Einsum": contraction,
    "Embedding": lambda op, x, weight: np.vectorize(lambda i: weight[int(i) % op.count], signature="()->(m)")(x),
    "Equal": value_pairs(lambda a, b: a == b),
    "Erf": value_by_value(lambda _, x: math.erf(x)),
    "Exp": value_by_value(lambda _, x: math.exp(x)),
    "Expand": stretched,
    "Floor": value_by_value(lambda _, x: math.floor(x)),
    "Gather": taken,
    "GatherElements": taken_one_by_one,
    "GatherND": taken_places,
    "Greater": value_pairs(lambda a, b: a > b),
    "GreaterOrEqual": value_pairs(lambda a, b: a >= b),
    "GroupNorm": GROUP_NORM,
    "InstanceNorm": INSTANCE_NORM,
    "IsNaN": value_by_value(lambda _, x: math.isnan(x)),
    "LayerNorm": LAYER_NORM,
    "Less": value_pairs(lambda a, b: a < b),
    "LessOrEqual": value_pairs(lambda a, b: a <= b),
    "Log": value_by_value(lambda _, x: math.log(x)),
    "LogSoftmax": lambda op, x: np.log(softmax(op, x)),
    "Max": value_pairs(max),
    "Min": value_pairs(min),
    "Mish": value_by_value(lambda _, x: x * math.tanh(max(x, 0) + math.log1p(math.exp(-abs(x))))),
    "Mod": lambda op, *inputs, **weights: value_pairs(math.fmod if op.truncated else operator.mod)(
        op, *inputs, **weights
    ),
    "Neg": value_by_value(lambda _, x: -x),
    "Not": value_by_value(lambda _, x: x == 0),
    "Or": value_pairs(lambda a, b: a != 0 or b != 0),
    "Pow": raised,
    "RMSNorm": RMS_NORM,
    "Reciprocal": value_by_value(lambda _, x: 1 / x),
    "ReduceL1": reduced(lambda values: math.fsum(map(abs, values))),
    "ReduceL2": reduced(lambda values: math.hypot(*values)),
    "ReduceLogSum": reduced(lambda values: math.log(math.fsum(values))),
    "ReduceLogSumExp": reduced(log_sum_exp),
    "ReduceMax": reduced(max),
    "ReduceMean": reduced(lambda values: math.fsum(values) / len(values)),
    "ReduceMin": reduced(min),
    "ReduceProd": reduced(math.prod),
    "ReduceSum": reduced(math.fsum),
    "ReduceSumSquare": reduced(lambda values: math.fsum(value * value for value in values)),
    "Resize": resized,
    "RotaryEmbedding": rotated,
    "Round": value_by_value(lambda _, x: round(x)),
    "ScatterElements": put_one_by_one,
    "ScatterND": put,
    "Sign": value_by_value(lambda _, x: (x > 0) - (x < 0)),
    "Sin": value_by_value(lambda _, x: math.sin(x)),
    "SpaceToDepth": gathered_squares,
    "Sqrt": value_by_value(lambda _, x: math.sqrt(x)),
    "TanhGelu": value_by_value(lambda _, x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "Tile": repeated,
    "Trilu": triangle,
    "Where": chosen,
    "Xor": value_pairs(lambda a, b: (a != 0) != (b != 0)),
    "Acos": value_by_value(lambda _, x: math.acos(x)),
    "Acosh": value_by_value(lambda _, x: math.acosh(x)),
    "Asin": value_by_value(lambda _, x: math.asin(x)),
    "Asinh": value_by_value(lambda _, x: math.asinh(x)),
    "Atan": value_by_value(lambda _, x: math.atan(x)),
    "Atanh": value_by_value(lambda _, x: math.atanh(x)),
    "BitShift": lambda op, *inputs, **weights: value_pairs(
        lambda a, b: int(a) // 2 ** int(b) if op.right else int(a) * 2 ** int(b) % 256
    )(op, *inputs, **weights),
    "BitwiseAnd": value_pairs(lambda a, b: int(a) & int(b)),
    "BitwiseNot": value_by_value(lambda _, x: 255 - x),
    "BitwiseOr": value_pairs(lambda a, b: int(a) | int(b)),
    "BitwiseXor": value_pairs(lambda a, b: int(a) ^ int(b)),
    "Celu": value_by_value(lambda op, x: x if x > 0 else op.alpha * math.expm1(x / op.alpha)),
    "Cosh": value_by_value(lambda _, x: math.cosh(x)),
    "CumProd": running_product,
    "GlobalLpPool": sizes_of_maps,
    "Hardmax": HARDMAX,
    "IsInf": value_by_value(lambda op, x: math.isinf(x) and (op.positive if x > 0 else op.negative)),
    "LpNorm": LP_NORM,
    "LpPool": sizes_under,
    "Mean": mean_of_all,
    "MeanVarianceNorm": MEAN_VARIANCE_NORM,
    "Selu": value_by_value(lambda op, x: op.gamma * (x if x > 0 else op.alpha * math.expm1(x))),
    "Shrink": value_by_value(lambda op, x: x - math.copysign(op.bias, x) if abs(x) > op.limit else 0),
    "Sinh": value_by_value(lambda _, x: math.sinh(x)),
    "Softsign": value_by_value(lambda _, x: x / (1 + abs(x))),
    "SwiGlu": lambda op, a, b: np.vectorize(lambda x, y: x * sigmoid(op.alpha * x) * y, otypes=[float])(a, b),
    "Tan": value_by_value(lambda _, x: math.tan(x)),
    "ThresholdedRelu": value_by_value(lambda op, x: x if x > op.alpha else 0),
}


# How far a result may be off: (op, u, y, inputs, weights) -> the largest error, everything exact and in float64.

FUNCTION = (
    8  # u; exp, expm1, log1p, tanh and power are good to 4 units in the last place, NumPy's promise for its fastest
)


def recurrent(op, x, *given, weight, recurrence, bias=None, peephole=None, **held):
    """Each sequence alone and no longer than it is; backwards is forwards on what is turned around."""
    given, names = list(given), ["h", "c"] if op.kind == "LSTM" else ["h"]

    def turned(values):
        return values.swapaxes(0, 1) if op.batch_first else values

    x = turned(x)
    (length, n, _), (d, rows, h) = x.shape, recurrence.shape
    lengths = given.pop(0) if op.lengths else [length] * n
    bias = np.zeros((d, 2 * rows)) if bias is None else bias
    peepholes = np.zeros((d, 3 * h)) if peephole is None else peephole
    last = []
    for name in names:
        first = given.pop(0) if getattr(op, f"initial_{name}") == "operand" else held.get(f"initial_{name}")
        last.append(np.zeros((d, n, h)) if first is None else np.broadcast_to(turned(first), (d, n, h)).copy())
    y = np.zeros((length, d, n, h))
    every = activations(op, d)
    for way, sequence in itertools.product(range(d), range(n)):
        places = list(range(length))[: max(lengths[sequence], 0)]
        places = places[::-1] if way == 1 or op.direction == "reverse" else places
        w, r, (wb, rb) = weight[way], recurrence[way], bias[way].reshape(2, rows)
        cut = [(lambda v, f=f: f(v if op.clip is None else np.clip(v, -op.clip, op.clip))) for f in every[way]]
        state = [part[way, sequence] for part in last]
        for place in places:
            of_x, of_h = w @ x[place, sequence] + wb, r @ state[0] + rb
            if op.kind == "RNN":
                state = [cut[0](of_x + of_h)]
            elif op.kind == "GRU":
                z, reset = (cut[0]((of_x + of_h)[part * h :][:h]) for part in (0, 1))
                inner = (
                    reset * of_h[2 * h :] if op.linear_before_reset else r[2 * h :] @ (reset * state[0]) + rb[2 * h :]
                )
                state = [(1 - z) * cut[1](of_x[2 * h :] + inner) + z * state[0]]
            else:
                (i, o, f, g), (_, c) = np.split(of_x + of_h, 4), state
                peep_i, peep_o, peep_f = np.split(peepholes[way], 3)
                i = cut[0](i + peep_i * c)
                c = (1 - i if op.input_forget else cut[0](f + peep_f * c)) * c + i * cut[1](g)
                state = [cut[0](o + peep_o * c) * cut[2](c), c]
            y[place, way, sequence] = state[0]
        for part, final in zip(last, state, strict=True):
            part[way, sequence] = final
    results = {"Y": y.transpose(2, 0, 1, 3) if op.batch_first else y}
    results |= {f"Y_{name}": turned(part) for name, part in zip(names, last, strict=True)}
    return tuple(results[name] for name in op.returns)


def activations(op, directions):
    """A recurrent layer's activations, for each of its directions."""
    usual = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[op.kind]
    names, alphas, betas, made = list(op.activations) or usual * directions, [*op.alphas], [*op.betas], []
    for name in names:
        alpha, beta = {"LeakyRelu": (0.01, 0), "Elu": (1, 0), "HardSigmoid": (0.2, 0.5)}.get(name, (0, 0))
        alpha = alphas.pop(0) if alpha and alphas else alpha
        beta = betas.pop(0) if beta and betas else beta
        made.append({
            "Tanh": np.tanh, "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Relu": lambda x: x.clip(0),
            "Softplus": lambda x: np.log1p(np.exp(x)), "LeakyRelu": lambda x, a=alpha: np.where(x > 0, x, a * x),
            "Elu": lambda x, a=alpha: np.where(x > 0, x, a * (np.exp(x) - 1)),
            "HardSigmoid": lambda x, a=alpha, b=beta: (a * x + b).clip(0, 1),
        }[name])  # fmt: skip
    return [made[way * len(usual) :][: len(usual)] for way in range(directions)]


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


def off_by_reduction(*, first=0, terms=True):
    """A sum of absolute values, each ``first`` roundings off, and one rounding behind."""

    def off(op, u, y, inputs, weights):
        (x,) = inputs
        length = x.size // max(y.size, 1)
        sized = "ReduceL1" if op.kind in ("ReduceSum", "ReduceL1") else op.kind
        sums = EXACT[sized](op, abs(x))
        return (length * terms + first + 1) * u * abs(sums)

    return off


def off_by_log(op, u, y, inputs, weights):
    """A relative error of the sum is an absolute one of its log; that of a power is one of its argument."""
    (x,) = inputs
    length, spread = x.size // y.size, 0.0 if op.kind == "ReduceLogSum" else x.max() - x.min()
    return (length + spread + 2 * FUNCTION) * u + FUNCTION * u * (abs(y) + math.log(length) + abs(x).max())


def off_by_running_sum(op, u, y, inputs, weights):
    (x,) = inputs
    return x.shape[op.axis] * u * EXACT[op.kind](op, abs(x))


def off_by_statistics(op, u, y, inputs, weights):
    """The mean is off by its sum, the variance by that of each difference; nothing is said where that is most of it."""
    (x,) = inputs
    gamma = {**weights}.pop("gamma", None)
    n, c, *_ = x.shape
    groups = {"GroupNorm": getattr(op, "groups", 1), "InstanceNorm": c}.get(op.kind)
    rows = x.reshape(n * groups, -1) if groups else x.reshape(-1, math.prod(x.shape[op.axis :]))
    length = rows.shape[1]
    center, size = rows.mean(axis=1, keepdims=True), abs(rows).mean(axis=1, keepdims=True)
    apart = abs(rows - center)
    each = (length + 1) * u * size + u * apart
    variance = (apart**2).mean(axis=1, keepdims=True) + op.epsilon
    squares = (length + 3) * u * (1 + center**2 / variance)  # as the mean square less the square of the mean, too
    wrong = (2 * apart * each + each**2).mean(axis=1, keepdims=True) / variance + squares
    relative = np.where(wrong < 0.5, wrong + 6 * u, 1e9)
    off = ((each + apart * relative) / np.sqrt(variance)).reshape(x.shape)
    if gamma is not None:
        off = off * (per_channel(abs(gamma), x) if groups else abs(gamma))
    return off * 1.5 + 4 * u * (abs(y) + abs(weights.get("beta", np.zeros(1))).max())


def off_by_statistics_of_batch(op, u, y, inputs, weights):
    """As one image with the positions of all of them."""
    x, y = (np.moveaxis(values, 1, 0) for values in (inputs[0], y))
    alike = types.SimpleNamespace(kind="InstanceNorm", epsilon=op.epsilon)
    one = off_by_statistics(alike, u, y.reshape(1, len(x), -1), [x.reshape(1, len(x), -1)], weights)
    return np.moveaxis(one.reshape(x.shape), 0, 1)


def off_by_statistics_along(op, u, y, inputs, weights):
    """As of a matrix whose rows are what one mean is of."""
    (x,) = inputs
    axes = sorted(axis % x.ndim for axis in op.axes)
    length = math.prod(x.shape[axis] for axis in axes)
    order = [*[axis for axis in range(x.ndim) if axis not in axes], *axes]
    rows, made = (np.transpose(values, order).reshape(-1, length) for values in (x, y))
    alike = types.SimpleNamespace(kind="LayerNorm", epsilon=1e-18, axis=1)
    off = off_by_statistics(alike, u, made, [rows], weights).reshape([x.shape[axis] for axis in order])
    return np.transpose(off, np.argsort(order))


def off_by_terms(op, u, y, inputs, weights):
    """All terms of a sum or all factors of a product, of which none cancels, and a root and a quotient behind.

    A square is no closer than the smallest number that there is.
    """
    (x,) = inputs
    off = (x.size + 10) * u * abs(y)
    if getattr(op, "p", 1) != 2:
        return off
    least = {U[dtype]: float(np.finfo(dtype).smallest_subnormal) for dtype in U}[u]
    size = np.divide(x, y, out=np.ones_like(y), where=y != 0) if op.kind == "LpNorm" else y
    return off + x.size * least * abs(y) / np.maximum(size**2, least)


def off_by_mean_of_all(op, u, y, inputs, weights):
    every = placed(op, inputs, weights)
    return (len(every) + 2) * u * mean_of_all(op, *map(abs, inputs), **{name: abs(w) for name, w in weights.items()})


def off_by_gate(op, u, y, inputs, weights):
    """As of Silu; alpha * a is rounded, which is a factor of the power."""
    largest = {U[dtype]: float(np.finfo(dtype).max) for dtype in U}[u]
    a, b = inputs
    return (FUNCTION + 5 + 2 * abs(op.alpha * a)) * u * abs(y) + abs(a * b) / largest


def off_by_squares(op, u, y, inputs, weights):
    """All terms are positive: their sum is off by a factor, and nothing cancels."""
    (x,) = inputs
    return (math.prod(x.shape[op.axis :]) + 10) * u * abs(y)


def off_by_log_softmax(op, u, y, inputs, weights):
    (x,) = inputs
    lower = abs(x - x.max(axis=op.axis, keepdims=True)).max()
    length = x.shape[op.axis]
    return (lower + FUNCTION + length + 2) * u + u * (lower + (FUNCTION + 1) * math.log(length) + 2 * abs(y))


def off_by_attention(op, u, y, inputs, weights):
    """What a score is off by is a factor of its share; a share's error is one of the mixture of absolute values."""
    q, k, v, *masks = inputs
    score = scores(op, *inputs, **weights)
    spread = np.where(np.isinf(score), 0, score.max(axis=-1, keepdims=True) - score).max()
    added = sum(abs(mask).max() for mask in (*masks, *weights.values()))
    inner, keys = q.shape[-1], score.shape[-1]
    largest = abs(q).max() * abs(k).max() * inner * (op.scale or 1)
    relative = np.expm1(2 * u * ((inner + 4) * largest + 2 * added + spread + FUNCTION)) + (2 * keys + 4) * u
    return relative * mixed(op, shares(score), q, abs(v))


def off_by_rotation(op, u, y, inputs, weights):
    cos = [*weights.values(), *inputs[1:]]
    sized = [abs(array) for array in cos[:2]]
    held = dict(zip(weights, sized, strict=False))
    return 3 * u * rotated(op, abs(inputs[0]), *([] if held else sized), *cos[2:], signs=(1, 1), **held)


def off_by_spreading(op, u, y, inputs, weights):
    terms = inputs[0].shape[1] // op.groups * math.prod(op.kernel) + 1
    return terms * u * spread(op, abs(inputs[0]), **{name: abs(weight) for name, weight in weights.items()})


def off_by_resizing(op, u, y, inputs, weights):
    """Each weight is rounded, and multiplied into the product of all axes; a sum has all combinations of taps."""
    if op.mode == "nearest":
        return 0 * y
    rank = len(op.sizes)
    return (4**rank + 2 * rank + 2) * u * resized(op, abs(inputs[0]), size=abs)


def off_by_tanh_gelu(op, u, y, inputs, weights):
    """1 + tanh cancels for a negative x; tanh' * argument is below 1/2."""
    return abs(inputs[0]) / 2 * (FUNCTION + 6) * u + 3 * u * abs(y)


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
    *("Abs", "And", "ArgMax", "ArgMin", "Ceil", "DepthToSpace", "Embedding", "Equal", "Expand", "Floor", "Gather"),
    *(
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Neg",
        "Not",
        "Or",
    ),
    *("ReduceMax", "ReduceMin", "Round", "Sign", "SpaceToDepth", "Tile", "Trilu", "Where", "Xor"),
    *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Hardmax", "IsInf", "ThresholdedRelu"),
}
ROUNDED_ONCE = {"Add", "Div", "Mul", "Shrink", "Sub"}
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
    **dict.fromkeys(["Cos", "Erf", "Exp", "Log", "Sin", "Sqrt", "Pow"], times(FUNCTION)),
    **dict.fromkeys(["ReduceLogSum", "ReduceLogSumExp"], off_by_log),
    **dict.fromkeys(["GroupNorm", "InstanceNorm", "LayerNorm"], off_by_statistics),
    **dict.fromkeys(["ReduceL1", "ReduceMean", "ReduceSum"], off_by_reduction()),
    **dict.fromkeys(["ReduceL2", "ReduceProd", "ReduceSumSquare"], off_by_reduction(first=2)),
    "TrainingBatchNorm": off_by_statistics_of_batch,
    "Attention": off_by_attention,
    "ConvTranspose": off_by_spreading,
    "CumSum": off_by_running_sum,
    "Einsum": off_by_products,
    "LogSoftmax": off_by_log_softmax,
    "Mish": times(3 * FUNCTION + 2),
    "Mod": times(1),
    "RMSNorm": off_by_squares,
    "Reciprocal": off_by_quotient,
    "Resize": off_by_resizing,
    "RotaryEmbedding": off_by_rotation,
    "TanhGelu": off_by_tanh_gelu,
    **dict.fromkeys(["ScatterElements", "ScatterND"], off_by_combining),
    **dict.fromkeys(["Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan"], times(FUNCTION)),
    **dict.fromkeys(["CumProd", "GlobalLpPool", "LpNorm", "LpPool"], off_by_terms),
    "Celu": times(FUNCTION + 5),
    "Mean": off_by_mean_of_all,
    "MeanVarianceNorm": off_by_statistics_along,
    "Selu": times(FUNCTION + 5),
    "Softsign": times(3),
    "SwiGlu": off_by_gate,
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
        "Celu",
        "Elu",
        "Selu",
        "Sigmoid",
        "Silu",
        "SwiGlu",
        "Tanh",
    ):  # good to a few units in the last place of 1, not of y
        sizes = {"Silu": abs(operands[0]), "SwiGlu": abs(operands[0] * operands[-1]), "Selu": 2}
        off = off + FUNCTION * U["float32"] * sizes.get(op.kind, 1)
    assert (abs(y.astype("float64") - theirs) <= off).all()
