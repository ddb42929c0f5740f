"""Every operator's own arithmetic against its equation in float64, on random operands, and against ONNX Runtime."""

import functools
import math
from dataclasses import replace

import numpy as np
import onnx.reference
import pytest
from equations import EXACT, MOVED, OFF, U, assert_same, inputs_under, onnx_runtime, types_of, wide
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from costmodel.errors import WiringError
from costmodel.execute import execute
from costmodel.exporters.onnx import assembled
from costmodel.graph import Graph, Op
from costmodel.ops import (
    Abs,
    Acos,
    Acosh,
    Add,
    And,
    ArgMax,
    ArgMin,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Attention,
    AveragePool,
    BatchNorm,
    BitShift,
    BitwiseAnd,
    BitwiseNot,
    BitwiseOr,
    BitwiseXor,
    Cast,
    Ceil,
    Celu,
    ChannelShuffle,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Cos,
    Cosh,
    CumProd,
    CumSum,
    DepthToSpace,
    Div,
    Dropout,
    Einsum,
    Elu,
    Embedding,
    Equal,
    Erf,
    Exp,
    Expand,
    Flatten,
    Floor,
    Gather,
    GatherElements,
    GatherND,
    Gelu,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    Greater,
    GreaterOrEqual,
    GroupNorm,
    Hardmax,
    HardSigmoid,
    HardSwish,
    Input,
    InstanceNorm,
    IsInf,
    IsNaN,
    LayerNorm,
    LeakyRelu,
    Less,
    LessOrEqual,
    Linear,
    Log,
    LogSoftmax,
    LpNorm,
    LpPool,
    Lrn,
    MatMul,
    Max,
    MaxPool,
    Mean,
    MeanVarianceNorm,
    Min,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    Or,
    Pad,
    Pow,
    PRelu,
    Reciprocal,
    ReduceL1,
    ReduceL2,
    ReduceLogSum,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
    Relu,
    Relu6,
    Reshape,
    Resize,
    RMSNorm,
    RotaryEmbedding,
    Round,
    ScatterElements,
    ScatterND,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    Sinh,
    Slice,
    Softmax,
    Softplus,
    Softsign,
    SpaceToDepth,
    Sqrt,
    Sub,
    SwiGlu,
    Tan,
    Tanh,
    TanhGelu,
    ThresholdedRelu,
    Tile,
    TrainingBatchNorm,
    Transpose,
    Trilu,
    Where,
    Xor,
)
from costmodel.ops.resize import COORDINATES, ROUNDINGS

quick = settings(max_examples=30, deadline=None)
thorough = settings(max_examples=120, deadline=None)


def number_type(arrays):
    """The element type of the numbers among arrays, beside which there may be truths and places."""
    return next(array.dtype.name for array in arrays if array.dtype.kind == "f")


def single(op, inputs, weights=()):
    """One operator as a network of its own."""
    own = [None if x.dtype.kind == "f" else x.dtype.name for x in inputs]
    made = op(*(Input(x.shape, dtype)() for x, dtype in zip(inputs, own, strict=True)), name="op")
    everything = [*inputs, *(weights.values() if weights else ()), np.zeros(0, np.float32)]
    return Graph(made, dtype=number_type(everything))


def ours(op, inputs, weights):
    """What it makes, in the type that it declares; its shape is checked by ``execute``."""
    graph = single(op, inputs, weights)
    (y,) = execute(graph, inputs, {"op": weights})
    assert y.dtype == (graph.outputs[0].dtype or graph.dtype)
    return y


def compared(op, inputs, weights):
    """Our result, the exact one, and how far it may be off; what is smaller than all normal numbers may be lost."""
    dtype = number_type([*inputs, *weights.values(), np.zeros(0, np.float32)])
    operands, constants = wide(inputs), wide(weights)
    exact = EXACT[op.kind](op, *operands, **constants)
    # the exact result is itself one in float64
    off = sum(OFF[op.kind](op, u, exact, operands, constants) for u in (U[dtype], U["float64"]))
    return ours(op, inputs, weights), exact, off + np.finfo(dtype).tiny * (op.kind not in MOVED)


# Operators with attributes and operand shapes, drawn.

small = st.integers(1, 4)
sizes = st.integers(1, 6)
channel_counts = st.one_of(small, st.sampled_from([5, 7, 17, 33]))


@st.composite
def axis(draw, most, *, pool):
    """A window of at most so many elements on one axis, and a size that it fits in."""
    kernel, stride, dilation = (
        draw(st.integers(1, most)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from([1, 1, 1, 2, 3])),
    )
    extent = dilation * (kernel - 1) + 1
    before, after = (draw(st.integers(0, min(4, extent - 1) if pool else 4)) for _ in range(2))
    smallest = max(1, extent - before - after)
    return draw(st.integers(smallest, smallest + most + 1)), kernel, stride, dilation, before, after


@st.composite
def windowed(draw, *, pool):
    """The attributes of a window of one to three axes, and the sizes of the map."""
    axes, most = draw(st.sampled_from([(1, 5), (2, 4), (2, 4), (3, 2)]))
    size, kernel, stride, dilation, before, after = zip(
        *(draw(axis(most, pool=pool)) for _ in range(axes)), strict=True
    )
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "pads": before + after}, size


@st.composite
def convolutions(draw):
    """Dense, grouped, depthwise, and with several filters per channel."""
    window, spatial = draw(windowed(pool=False))
    if draw(st.booleans()):
        groups, each, filters = 1, draw(channel_counts), draw(channel_counts)
    else:
        groups, each, filters = draw(st.integers(2, 5)), draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 3))
    op = Conv(groups * filters, groups=groups, bias=draw(st.booleans()), **window)
    return op, [(draw(st.integers(1, 3)), groups * each, *spatial)]


@st.composite
def pools(draw, kind):
    window, spatial = draw(windowed(pool=True))
    modes = {"count_include_pad": draw(st.booleans())} if kind is AveragePool else {}
    op = kind(ceil_mode=draw(st.booleans()), **window, **modes)
    shape = (draw(st.integers(1, 3)), draw(channel_counts), *spatial)
    try:
        op.shape(shape)
    except WiringError:
        reject()  # see test_a_pool_refuses_a_map_that_its_window_steps_over
    return op, [shape]


@st.composite
def maps(draw, least=3, most=5):
    rest = draw(st.lists(sizes, min_size=least - 2, max_size=most - 2))
    return draw(st.integers(1, 3)), draw(channel_counts), *rest


@st.composite
def pairs(draw, kind):
    """Two shapes that broadcast: one with missing axes and with axes of 1, or each of them with some."""
    whole = draw(st.lists(sizes, min_size=1, max_size=4))
    a, b = (tuple(draw(st.sampled_from([size, size, 1])) for size in whole) for _ in range(2))
    first, second = draw(st.permutations([a, b[draw(st.integers(0, len(b) - 1)) :]]))
    return draw(holding(kind, first, second))


@st.composite
def holding(draw, kind, a, b):
    """An operator on two operands, or on one of them, where it holds the other."""
    if draw(st.booleans()):
        return kind(), [a, b]
    return (kind(a, held_first=True), [b]) if draw(st.booleans()) else (kind(b), [a])


@st.composite
def matrix_products(draw):
    i, k, j = (draw(channel_counts) for _ in range(3))
    whole = draw(st.lists(sizes, min_size=1, max_size=3))
    a, b = (tuple(draw(st.sampled_from([size, size, 1])) for size in whole) for _ in range(2))
    cut_a, cut_b = draw(st.integers(0, len(a))), draw(st.integers(0, len(b)))
    return draw(holding(MatMul, (*a[cut_a:], i, k), (*b[cut_b:], k, j)))


@st.composite
def matrices(draw):
    shape = (*draw(st.lists(sizes, min_size=1, max_size=3)), draw(channel_counts))
    return Linear(draw(channel_counts), bias=draw(st.booleans())), [shape]


@st.composite
def shapes_with_axis(draw):
    shape = draw(maps(least=2))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


@st.composite
def concatenations(draw):
    shape, along = draw(shapes_with_axis())
    lengths = draw(st.lists(sizes, min_size=1, max_size=4))
    whole = along % len(shape)
    return Concat(along), [(*shape[:whole], length, *shape[whole + 1 :]) for length in lengths]


@st.composite
def slices(draw):
    """Ends inside, beyond and counted from behind, but none that keeps nothing."""
    shape = draw(maps(least=2))
    start, stop = [], []
    for size in shape:
        first = draw(st.integers(-size - 2, size - 1))
        kept = size - range(size)[first:].start
        last = draw(st.sampled_from([None, size, size + 3, -1, -size + 1]) | st.integers(1 - size, size))
        enough = len(range(size)[first:last]) > 0 and kept > 0
        start.append(first)
        stop.append(last if enough else None)
    steps = tuple(draw(small) for _ in shape)
    return Slice(tuple(start), tuple(stop), draw(st.sampled_from([None, steps]))), [shape]


@st.composite
def pads(draw):
    shape = draw(maps(least=2))
    return Pad(tuple(draw(st.integers(0, 3)) for _ in range(2 * len(shape))), draw(st.sampled_from([0.0, -0.5]))), [
        shape
    ]


@st.composite
def shuffles(draw):
    groups, each = draw(small), draw(channel_counts)
    n, _, *rest = draw(maps(least=2))
    return ChannelShuffle(groups), [(n, groups * each, *rest)]


@st.composite
def reshapes(draw):
    n, c, *rest = draw(maps(least=2))
    shape = (n, c, *rest)
    to = draw(st.sampled_from([(-1,), (0, -1), (0, 0, -1, 1), (c, n, -1), (1, -1, n), (math.prod(shape),), (0, c, -1)]))
    return Reshape(to), [shape]


@st.composite
def axes_of(draw, kind, *, least=1):
    shape = draw(maps(least=2))
    count = draw(st.integers(least, len(shape)))
    chosen = draw(st.permutations(range(-len(shape), 0)).map(lambda axes: tuple(axes[:count])))
    return kind(chosen, keepdims=draw(st.booleans())), [shape]


@st.composite
def transposed(draw):
    window, spatial = draw(windowed(pool=False))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    spatial = tuple(min(size, 4) for size in spatial)
    extents = [d * (k - 1) + 1 for d, k in zip(window["dilation"], window["kernel"], strict=True)]
    lengths = [(n - 1) * s + e for n, s, e in zip(spatial, window["stride"], extents, strict=True)]
    window["pads"] = tuple(draw(st.integers(0, (length - 1) // 2)) for _ in "ab" for length in lengths)
    more = tuple(draw(st.integers(0, stride - 1)) for stride in window["stride"])
    op = ConvTranspose(groups * draw(small), groups=groups, bias=draw(st.booleans()), more=more, **window)
    return op, [(draw(st.integers(1, 2)), groups * draw(small), *spatial)]


@st.composite
def last_axes(draw, kind, **flags):
    shape = draw(maps(least=2))
    chosen = {name: draw(st.booleans()) for name in flags}
    return kind(draw(st.integers(-len(shape), len(shape) - 1)), draw(st.sampled_from([1e-5, 0.1])), **chosen), [shape]


@st.composite
def attentions(draw):
    n, groups, share, length, keys, inner, size = (draw(small) for _ in range(7))
    heads, laid_out = groups * share, draw(st.booleans())
    key_heads = draw(st.sampled_from([groups, None])) if share == 1 else groups
    stated = {} if laid_out else {"heads": heads, "key_heads": key_heads}
    shapes = [
        (n, h, s, e) if laid_out else (n, s, h * e)
        for h, s, e in ((heads, length, inner), (groups, keys, inner), (groups, keys, size))
    ]
    mask = tuple(draw(st.sampled_from([n, 1])) for n in (n, heads, length, keys))[draw(st.integers(0, 3)) :]
    masked = draw(st.sampled_from([{}, {"mask": True}, {"mask": True, "held": mask}]))
    op = Attention(
        **stated, **masked, causal=draw(st.booleans()), past=draw(small), scale=draw(st.sampled_from([None, 0.3]))
    )
    return op, [*shapes, mask] if masked == {"mask": True} else shapes


@st.composite
def rotations(draw):
    n, h, length, half, rest, rows = (draw(small) for _ in range(6))
    size = 2 * half + draw(st.sampled_from([0, rest]))
    laid_out, positions, held = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    cache = (rows, half) if positions else (n, length, half)
    op = RotaryEmbedding(
        None if laid_out else h, 2 * half, draw(st.booleans()), positions, held=cache if held else None
    )
    shapes = [(n, h, length, size) if laid_out else (n, length, h * size)]
    return op, [*shapes, *([] if held else [cache, cache]), *([(n, length)] if positions else [])]


@st.composite
def contractions(draw):
    equation = draw(st.sampled_from([
        "ik,kj->ij", "bhqd,bhkd->bhqk", "...ab,...bc->...ac", "bij,jk->bki", "i,i->", "i,j->ij", "a...b,b->...a",
        "iij,j->i", "ab,cd->a", "...i,...i->...",
    ]))  # fmt: skip
    lengths = {letter: draw(small) for letter in "abcdhijkq"}
    spread = tuple(draw(st.lists(small, min_size=0, max_size=2)))
    shapes = []
    for term in equation.partition("->")[0].split(","):
        before, dots, behind = term.partition("...")
        free = tuple(draw(st.sampled_from([size, size, 1])) for size in spread)[draw(st.integers(0, len(spread))) :]
        shapes.append((*[lengths[i] for i in before], *(free if dots else ()), *[lengths[i] for i in behind]))
    kept = draw(st.sampled_from([(), (None, shapes[1]), (shapes[0], None)]))
    return Einsum(equation, kept), [shape for shape, held in zip(shapes, kept or (None, None), strict=True) if not held]


@st.composite
def several(draw, kind, shapes, *args):
    """Some of the operands are held, but not all."""
    held = tuple(draw(st.sampled_from([None, shape])) for shape in shapes)
    held = held if None in held else (*held[:-1], None)
    flows = [shape for shape, own in zip(shapes, held, strict=True) if own is None]
    return kind(*args, held) if len(flows) < len(shapes) else kind(*args), flows


@st.composite
def gathers(draw):
    shape, along = draw(shapes_with_axis())
    return draw(several(Gather, [shape, tuple(draw(st.lists(small, min_size=1, max_size=2)))], along))


@st.composite
def places(draw):
    batch, shape = draw(st.integers(0, 1)), draw(maps(least=3, most=4))
    depth = draw(st.integers(1, len(shape) - batch))
    indices = (*shape[:batch], *draw(st.lists(small, max_size=2)), depth)
    return draw(several(GatherND, [shape, indices], batch))


@st.composite
def scatters(draw):
    shape = draw(maps(least=2, most=4))
    depth = draw(st.integers(1, len(shape)))
    how = draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    count = 1 if how == "none" else draw(small)  # of several in one place the last may be any
    op, flows = draw(several(ScatterND, [shape, (count, depth), (count, *shape[depth:])]))
    return replace(op, reduction=how), flows


@st.composite
def placings(draw):
    shape, along = draw(shapes_with_axis())
    how = draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    count = 1 if how == "none" else draw(small)
    axis = along % len(shape)
    indices = tuple(count if place == axis else draw(st.integers(1, size)) for place, size in enumerate(shape))
    op, flows = draw(several(ScatterElements, [shape, indices, indices], along))
    return replace(op, reduction=how), flows


@st.composite
def choices(draw):
    whole = draw(st.lists(sizes, min_size=1, max_size=3))
    parts = [tuple(draw(st.sampled_from([size, size, 1])) for size in whole) for _ in "cab"]
    return draw(several(Where, [part[draw(st.integers(0, len(whole) - 1)) :] for part in parts]))


@st.composite
def means(draw):
    whole = draw(st.lists(sizes, min_size=1, max_size=3))
    parts = [tuple(draw(st.sampled_from([size, size, 1])) for size in whole) for _ in range(draw(small))]
    return draw(several(Mean, [part[draw(st.integers(0, len(whole) - 1)) :] for part in parts]))


@st.composite
def joins(draw):
    op, shapes = draw(concatenations())
    op, flows = draw(several(Concat, shapes, op.axis))
    axis = op.axis % len(shapes[0])
    held = [shape and tuple(draw(st.sampled_from([n, n, 1])) if at != axis else n for at, n in enumerate(shape))
            for shape in op.held]  # fmt: skip
    return Concat(op.axis, tuple(held)), flows


@st.composite
def resizes(draw):
    old = tuple(draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 3))))
    new = tuple(draw(st.sampled_from([size, *range(1, 8)])) for size in old)
    # What an element of a wide window weighs outside may be more than 0 only where some of it lies inside.
    op = Resize(
        new, draw(st.sampled_from(["nearest", "linear", "cubic"])), draw(st.sampled_from(sorted(COORDINATES))),
        draw(st.sampled_from(sorted(ROUNDINGS))), draw(st.sampled_from([-0.75, -0.5])),
    )  # fmt: skip
    return op, [old]


@st.composite
def fields_with(draw, kind, *attributes):
    shape = draw(maps(least=2, most=4))
    return kind(*[draw(attribute) for attribute in attributes]), [shape]


@st.composite
def depths(draw, kind):
    n, c, h, w, block = (draw(small) for _ in range(5))
    if kind is DepthToSpace:
        return kind(block, draw(st.booleans())), [(n, c * block**2, h, w)]
    return kind(block), [(n, c, h * block, w * block)]


@st.composite
def mirrored(draw):
    shape = draw(maps(least=2, most=4))
    mode = draw(st.sampled_from(["edge", "reflect", "wrap"]))
    return Pad(tuple(draw(st.integers(0, size - 1 + (mode == "edge"))) for _ in "ab" for size in shape), mode=mode), [
        shape
    ]


@st.composite
def powers(draw):
    op, shapes = draw(pairs(Pow))
    exponent = draw(st.sampled_from([2.0, 3.0, 0.5, -1.0, 2.5]))
    return draw(st.sampled_from([(op, shapes), (Pow(exponent=exponent), shapes[:1])]))


@st.composite
def stretches(draw):
    _, shapes = draw(pairs(Add).filter(lambda drawn: len(drawn[1]) == 2))
    return Expand(shapes[1]), shapes[:1]


@st.composite
def groups_of_channels(draw):
    n, each, groups, *rest = (draw(small) for _ in range(5))
    flags = [draw(st.booleans()) for _ in "gb"]
    return GroupNorm(groups, draw(st.sampled_from([1e-5, 0.1])), *flags), [(n, each * groups, *rest)]


def with_axis(kind):
    return shapes_with_axis().map(lambda drawn: (kind(drawn[1]), [drawn[0]]))


def running(kind):
    return shapes_with_axis().flatmap(
        lambda drawn: st.builds(kind, st.just(drawn[1]), st.booleans(), st.booleans()).map(lambda op: (op, [drawn[0]]))
    )


def alone(*ops, least=2):
    return st.tuples(st.sampled_from(ops), maps(least=least).map(lambda shape: [shape]))


LRN = [st.integers(1, 8), *map(st.sampled_from, ([1e-4, 0.5], [0.75, 0.5], [1.0, 2.0]))]
DRAWN = {
    "Add": pairs(Add),
    "AveragePool": pools(AveragePool),
    "BatchNorm": alone(BatchNorm(), BatchNorm(epsilon=0.1)),
    "ChannelShuffle": shuffles(),
    "Cast": alone(Cast()),
    "Clip": alone(Clip(-0.5, 1.0), Clip(low=0.25), Clip(high=0.25), Clip()),
    "Concat": joins(),
    "Conv": convolutions(),
    "Div": pairs(Div),
    "Dropout": alone(Dropout()),
    "Elu": alone(Elu(), Elu(alpha=0.3)),
    "Flatten": with_axis(Flatten),
    "Gelu": alone(Gelu()),
    "GlobalAveragePool": alone(GlobalAveragePool(), least=3),
    "GlobalMaxPool": alone(GlobalMaxPool(), least=3),
    "HardSigmoid": alone(HardSigmoid(), HardSigmoid(0.2, 0.4)),
    "HardSwish": alone(HardSwish()),
    "LeakyRelu": alone(LeakyRelu(), LeakyRelu(slope=0.3)),
    "Linear": matrices(),
    "Lrn": st.builds(Lrn, *LRN).flatmap(alone),
    "MatMul": matrix_products(),
    "MaxPool": pools(MaxPool),
    "Mul": pairs(Mul),
    "PRelu": alone(PRelu(), PRelu(shared=True)),
    "Pad": st.one_of(pads(), mirrored()),
    "Relu": alone(Relu()),
    "Relu6": alone(Relu6()),
    "Reshape": reshapes(),
    "Sigmoid": alone(Sigmoid()),
    "Silu": alone(Silu()),
    "Slice": slices(),
    "Softmax": with_axis(Softmax),
    "Softplus": alone(Softplus()),
    "Sub": pairs(Sub),
    "Tanh": alone(Tanh()),
    "Transpose": maps(least=2).flatmap(
        lambda shape: st.permutations(range(len(shape))).map(lambda axes: (Transpose(tuple(axes)), [shape]))
    ),
}
BINARY = [Mod, Max, Min, Equal, Less, LessOrEqual, Greater, GreaterOrEqual, And, Or, Xor]
BINARY += [BitwiseAnd, BitwiseOr, BitwiseXor]
UNARY = [Abs, Neg, Sign, Floor, Ceil, Round, Reciprocal, Sqrt, Exp, Log, Sin, Cos, Erf, Not, IsNaN, TanhGelu, Mish,
         Tan, Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh, BitwiseNot, Softsign]  # fmt: skip
REDUCE = [ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum,
          ReduceLogSumExp]  # fmt: skip
DRAWN |= {
    **{kind.kind: pairs(kind) for kind in BINARY},
    **{kind.kind: alone(kind(), least=2) for kind in UNARY},
    **{kind.kind: axes_of(kind) for kind in REDUCE},
    **{kind.kind: with_axis(kind) for kind in (ArgMax, ArgMin)},
    "Attention": attentions(),
    "ConvTranspose": transposed(),
    "CumSum": running(CumSum),
    "DepthToSpace": depths(DepthToSpace),
    "Einsum": contractions(),
    "Embedding": fields_with(Embedding, sizes, channel_counts),
    "Expand": stretches(),
    "Gather": gathers(),
    "GatherElements": shapes_with_axis().flatmap(
        lambda drawn: small.flatmap(
            lambda count: several(
                GatherElements,
                [drawn[0], tuple(count if axis == drawn[1] % len(drawn[0]) else n for axis, n in enumerate(drawn[0]))],
                drawn[1],
            )
        )
    ),
    "GatherND": places(),
    "GroupNorm": groups_of_channels(),
    "InstanceNorm": st.builds(InstanceNorm, st.just(0.1), st.booleans(), st.booleans()).flatmap(
        lambda op: maps(least=3).map(lambda shape: (op, [shape]))
    ),
    "LayerNorm": last_axes(LayerNorm, scale=True, bias=True),
    "TrainingBatchNorm": st.builds(TrainingBatchNorm, st.just(0.1), st.booleans(), st.booleans()).flatmap(
        lambda op: maps(least=2).map(lambda shape: (op, [shape]))
    ),
    "LogSoftmax": with_axis(LogSoftmax),
    "Pow": powers(),
    "RMSNorm": last_axes(RMSNorm, scale=True),
    "Resize": resizes(),
    "RotaryEmbedding": rotations(),
    "ScatterElements": placings(),
    "ScatterND": scatters(),
    "SpaceToDepth": depths(SpaceToDepth),
    "Tile": maps(least=2, most=4).flatmap(
        lambda shape: st.tuples(*[st.integers(1, 3) for _ in shape]).map(lambda repeats: (Tile(repeats), [shape]))
    ),
    "BitShift": st.one_of(pairs(BitShift), pairs(functools.partial(BitShift, right=True))),
    "Celu": alone(Celu(), Celu(0.3)),
    "CumProd": running(CumProd),
    "GlobalLpPool": alone(GlobalLpPool(), GlobalLpPool(1), least=3),
    "Hardmax": with_axis(Hardmax),
    "IsInf": alone(IsInf(), IsInf(negative=False), IsInf(positive=False)),
    "LpNorm": shapes_with_axis().flatmap(
        lambda drawn: st.sampled_from([1, 2]).map(lambda p: (LpNorm(drawn[1], p), [drawn[0]]))
    ),
    "LpPool": st.tuples(pools(LpPool), st.sampled_from([1, 2])).map(
        lambda drawn: (replace(drawn[0][0], p=drawn[1]), drawn[0][1])
    ),
    "Mean": means(),
    "MeanVarianceNorm": axes_of(lambda axes, keepdims: MeanVarianceNorm(axes)),  # noqa: ARG005
    "Selu": alone(Selu(), Selu(0.7, 1.5)),
    "Shrink": alone(Shrink(), Shrink(0.25, 0.75)),
    "SwiGlu": st.tuples(st.sampled_from([SwiGlu(), SwiGlu(1.7)]), maps(least=2).map(lambda shape: [shape, shape])),
    "ThresholdedRelu": alone(ThresholdedRelu(), ThresholdedRelu(0.25)),
    "Trilu": fields_with(Trilu, st.booleans(), st.integers(-7, 7)),
    "Where": choices(),
}
ELSEWHERE = {"quantised", "recurrent", "selection", "state", "vision"}  # modules that are tested on their own
ALL = sorted(
    kind
    for kind, cls in Op.registry.items()
    if cls.__module__.rpartition(".")[2] not in {"graph", *ELSEWHERE} and cls.shapes is Op.shapes
)
WINDOWED = {"Conv", "MaxPool", "AveragePool", "LpPool"}
SLOPES = {"LeakyRelu": LeakyRelu(), "HardSigmoid": HardSigmoid(), "HardSwish": HardSwish()}
ACTIVATIONS = [Relu(), Relu6(), Elu(), Sigmoid(), Tanh(), Silu(), Gelu(), Softplus(), *SLOPES.values()]


def fits_runtime(drawn):
    """Pads are smaller than the kernel there, however dilated that is."""
    window = drawn[0].window
    return all(max(pads) < kernel for pads, kernel in zip(window.pads, window.kernel, strict=True))


def fits_attention(drawn):
    """A past is there only as operands of its own, and a mask has its two last axes whole."""
    op, (q, k, _, *mask) = drawn
    masks = [*mask, *([op.held] if op.held else [])]
    return not (op.causal and op.past) and all(given[-2:] == (q[-2], k[-2]) for given in masks)


@st.composite
def resized_maps(draw):
    """Maps of which height and width change, in the modes that there are."""
    size = (draw(small), draw(small), draw(sizes), draw(sizes))
    how = draw(st.sampled_from([("nearest", rounding) for rounding in sorted(ROUNDINGS)] + [("linear",), ("cubic",)]))
    coordinates = draw(st.sampled_from(sorted({*COORDINATES} - {"half_pixel_symmetric"})))
    return Resize((*size[:2], draw(sizes), draw(sizes)), how[0], coordinates, *how[1:]), [size]


def fits_contraction(drawn):
    """What stands for three dots has one shape: onnx infers none where it stretches."""
    op, flowing = drawn
    rest = iter(flowing)
    shapes = [held or next(rest) for held in op.held or (None, None)]
    dots = []
    for term, shape in zip(op.equation.partition("->")[0].split(","), shapes, strict=True):
        before, found, behind = term.partition("...")
        if found:
            dots.append(shape[len(before) : len(shape) - len(behind)])
    return len({*dots}) <= 1


DRAWN_FOR_RUNTIME = DRAWN | {
    "Attention": DRAWN["Attention"].filter(fits_attention),
    "Einsum": DRAWN["Einsum"].filter(fits_contraction),
    "Mod": pairs(functools.partial(Mod, truncated=True)),
    "MeanVarianceNorm": DRAWN["MeanVarianceNorm"].filter(
        lambda drawn: drawn[0].rows(*drawn[1]) < math.prod(*drawn[1])  # a variance of one value may be below 0 there
    ),
    "Resize": resized_maps(),
    "AveragePool": DRAWN["AveragePool"].filter(fits_runtime),
    "MaxPool": DRAWN["MaxPool"].filter(fits_runtime),
    "LpPool": DRAWN["LpPool"].filter(fits_runtime),
    "Lrn": st.tuples(
        st.builds(Lrn, st.sampled_from([1, 3, 5, 7]), st.sampled_from([1e-4, 0.5])), st.just([(2, 9, 3, 2)])
    ),
}
seeds = st.integers(0, 2**32 - 1)


def values(rng, shape, dtype, name=""):
    """Normal values; variances are positive."""
    array = rng.uniform(0.5, 1.5, shape) if name == "variance" else rng.normal(size=shape)
    return array.astype(dtype)


def above_zero(rng, shape, dtype, name=""):
    return rng.uniform(0.5, 2, shape).astype(dtype)


def whole(rng, shape, dtype, name=""):
    return rng.integers(-2, 3, shape).astype(dtype)


def truths_apart(rng, shape, dtype, name=""):
    return np.where(rng.random(shape) < 0.5, np.nan, 1).astype(dtype)


def below_one(rng, shape, dtype, name=""):
    return rng.uniform(-0.9, 0.9, shape).astype(dtype)


def above_one(rng, shape, dtype, name=""):
    return rng.uniform(1.1, 3, shape).astype(dtype)


def partly_infinite(rng, shape, dtype, name=""):
    return rng.choice([-np.inf, np.inf, 1], shape).astype(dtype)


FILLS = {
    **dict.fromkeys(["Acos", "Asin", "Atanh"], below_one),
    "Acosh": above_one,
    "IsInf": partly_infinite,
    **dict.fromkeys(["Log", "Sqrt", "Pow", "ReduceLogSum", "Mod"], above_zero),
    "Equal": whole,
    "IsNaN": truths_apart,
}
"""Values that an operator's answers are not all the same for, or that it has one for."""


OWN = {
    "bool": lambda rng, shape: rng.integers(0, 2, shape).astype(bool),
    "int64": lambda rng, shape: rng.integers(-1, 1, shape),  # places that every axis has
    "uint8": lambda rng, shape: rng.integers(0, 8, shape, "uint8"),  # bits that can be shifted by each other
}


def filled(drawn, seed, dtype, fill=None):
    """An operator and operand shapes -> the operator, its operands and its weights."""
    op, shapes = drawn
    fill = fill or FILLS.get(op.kind, values)
    rng = np.random.default_rng(seed)

    def array(shape, own, name=""):
        return OWN[own](rng, shape) if own else fill(rng, shape, dtype, name)

    types = types_of(op, len(shapes))
    inputs = [array(shape, own) for shape, own in zip(shapes, types, strict=True)]
    truth = types[0] if types[0] in ("bool", "uint8") and not getattr(op, "fixed", {}) else None  # the other operand's
    weights = op.weights(*shapes)
    return op, inputs, {weight.name: array(weight.shape, weight.dtype or truth, weight.name) for weight in weights}


# The operators themselves.


def test_every_operator_has_an_equation_here():
    assert sorted(EXACT) == sorted(OFF) == sorted(DRAWN) == ALL


@pytest.mark.parametrize("kind", ALL)
def test_an_operator_is_its_equation(kind):
    @(thorough if kind in WINDOWED else quick)
    @given(DRAWN[kind], seeds, st.sampled_from(sorted(U)))
    def check(drawn, seed, dtype):
        y, exact, off = compared(*filled(drawn, seed, dtype))
        assert (abs(y - exact) <= off).all()

    check()


@pytest.mark.parametrize("kind", [kind for kind in ALL if Op.registry[kind].in_place])
def test_what_may_overwrite_an_operand_needs_one_element_of_it_for_each_result(kind):
    @quick
    @given(DRAWN[kind], seeds)
    def check(drawn, seed):
        op, inputs, weights = filled(drawn, seed, "float32")

        def results(*operands):
            with np.errstate(all="ignore"):
                return op.run(*operands, **weights).reshape(-1)

        y = results(*inputs)
        for n, x in enumerate(inputs):
            if x.size == y.size:
                changed, place = x.copy(), seed % x.size
                changed.reshape(-1)[place] = changed.reshape(-1)[place] == 0
                again = results(*inputs[:n], changed, *inputs[n + 1 :])
                np.testing.assert_array_equal(np.delete(y, place), np.delete(again, place))

    check()


def reached(op, shapes, operand, place, y):
    """The results that may hang on a value of an operand, by what the operator says; None for any of them."""
    shape, reach = shapes[operand], op.reach(*shapes)
    everywhere = [range(size) for size in y]
    if reach in ("all", "copy", "product"):
        return None
    if reach == "point":
        aligned = (len(y) - len(shape)) * (None,) + tuple(place)
        sizes = (len(y) - len(shape)) * (1,) + tuple(shape)
        return [whole if size == 1 < len(whole) or at is None else [at]
                for whole, size, at in zip(everywhere, sizes, aligned, strict=True)]  # fmt: skip
    if reach == "window":
        under = []
        for at, (kernel, stride, dilation, (before, _)), whole in zip(
            place[2:], zip(*op.window, strict=True), everywhere[2:], strict=True
        ):
            under.append([p for p in whole if any(p * stride + k * dilation - before == at for k in range(kernel))])
        return [[place[0]], filters_of(op, shape, place, y), *under]
    if reach == "spread":
        over = [
            [at * stride + k * dilation - before for k in range(kernel)]
            for at, (kernel, stride, dilation, (before, _)) in zip(
                place[2:], zip(*op.spreads, strict=True), strict=True
            )
        ]
        inside = [[p for p in places if p in whole] for places, whole in zip(over, everywhere[2:], strict=True)]
        return [[place[0]], filters_of(op, shape, place, y), *inside]
    if reach == "heads":  # a query its own row, a key or a value all rows of the heads that share it; a mask any
        if operand > 2:
            return None
        heads = len(y) == 4
        of = [[h for h in everywhere[1] if h // (y[1] // shape[1]) == place[1]]] if heads else []
        return [[place[0]], *of, [place[-2]] if operand == 0 else everywhere[-2], everywhere[-1]]
    if reach == "channel":
        return [[place[0]], [place[1]], *everywhere[2:]]
    gone = len(y) < len(shape)  # a reduction along the channels without keepdims
    return [[place[0]], *([] if gone else everywhere[1:2]), *([at] for at in place[2:])]


def filters_of(op, shape, place, y):
    """The channels of the result that are made of the group that a channel of the operand is in."""
    groups = getattr(op, "groups", shape[1])
    return [m for m in range(y[1]) if m // (y[1] // groups) == place[1] // (shape[1] // groups)]


TAKING = {
    "Embedding",
    "Gather",
    "GatherElements",
    "GatherND",
    "ScatterElements",
    "ScatterND",
}  # whose operands are places as well


@pytest.mark.parametrize("kind", sorted({*ALL} - TAKING))
def test_a_result_reaches_no_further_than_its_operator_says(kind):
    @quick
    @given(DRAWN[kind], seeds)
    def check(drawn, seed):
        op, inputs, weights = filled(drawn, seed, "float32")
        rng, shapes = np.random.default_rng(seed), [x.shape for x in inputs]
        operand = int(rng.integers(len(inputs)))
        place = tuple(int(rng.integers(size)) for size in shapes[operand])
        others = [x.copy() for x in inputs]
        others[operand][place] = inputs[operand][place] * 1.7 + 0.3
        with np.errstate(all="ignore"):
            before, behind = (op.run(*operands, **weights) for operands in (inputs, others))
        changed = (before != behind) & ((before == before) | (behind == behind))
        allowed = reached(op, shapes, operand, place, before.shape)
        if allowed is not None:
            changed[np.ix_(*map(list, allowed))] = False
            assert not changed.any()

    check()


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "Einsum", "Linear", "MatMul"])
def test_sums_of_small_whole_numbers_are_exact_in_any_order(kind):
    @thorough
    @given(DRAWN[kind], seeds, st.sampled_from(sorted(U)))
    def check(drawn, seed, dtype):
        op, inputs, weights = filled(drawn, seed, dtype, whole)
        if 4 * op.loops(*(x.shape for x in inputs)).reduction + 2 > 2048:
            reject()  # so far float16 has every whole number
        np.testing.assert_array_equal(ours(op, inputs, weights), EXACT[kind](op, *wide(inputs), **wide(weights)))

    check()


REFERENCE = ["CumProd", "RotaryEmbedding"]  # beside whose operands ONNX Runtime reads, or that it has not


@pytest.mark.parametrize("kind", sorted({*ALL} - {*REFERENCE}))
def test_an_operator_is_that_of_onnx_runtime(kind):
    @(thorough if kind in WINDOWED else quick)
    @given(DRAWN_FOR_RUNTIME[kind], seeds)
    def check(drawn, seed):
        op, inputs, weights = filled(drawn, seed, "float32")
        (theirs,) = onnx_runtime(assembled(single(op, inputs, weights), {"op": weights}), inputs)
        assert_same(op, ours(op, inputs, weights), theirs, inputs, weights)

    check()


@pytest.mark.parametrize("kind", REFERENCE)
def test_an_operator_is_that_of_onnx(kind):
    @quick
    @given(DRAWN[kind], seeds)
    def check(drawn, seed):
        op, inputs, weights = filled(drawn, seed, "float32")
        made = onnx.reference.ReferenceEvaluator(assembled(single(op, inputs, weights), {"op": weights}))
        (theirs,) = made.run(None, dict(zip(made.input_names, inputs, strict=True)))
        assert_same(op, ours(op, inputs, weights), theirs, inputs, weights)

    check()


@quick
@given(st.builds(Lrn, *LRN), seeds)
def test_lrn_of_an_even_size_is_that_of_onnx(op, seed):
    # ONNX Runtime has odd sizes only; the loop over channels of onnx's reference runs over as many as there are images
    op, (x,), _ = filled((op, [(9, 9, 3, 2)]), seed, "float32")
    (theirs,) = onnx.reference.ReferenceEvaluator(assembled(single(op, [x]))).run(None, {"input": x})
    assert_same(op, ours(op, [x], {}), theirs, [x], {})


@thorough
@given(windowed(pool=True), st.sampled_from([MaxPool, AveragePool]), st.booleans())
def test_a_pool_refuses_a_map_that_its_window_steps_over(drawn, kind, ceil_mode):
    window, spatial = drawn
    op = kind(ceil_mode=ceil_mode, **window)
    if all(min(counts) > 0 for counts in inputs_under(op, spatial, pads=False)):
        assert np.isfinite(ours(op, [np.ones((1, 1, *spatial))], {})).all()
    else:
        with pytest.raises(WiringError, match="windows without any input; dilation"):
            op.shape((1, 1, *spatial))


# Large values: no warning, nothing that is not finite.

BITS = {"float16": 16, "float32": 32, "float64": 64}


@pytest.mark.parametrize("dtype", U)
@pytest.mark.parametrize("op", ACTIVATIONS, ids=lambda op: op.kind)
def test_an_activation_is_its_equation_from_minus_to_plus_ten_thousand(op, dtype):
    @quick
    @given(st.lists(st.floats(-1e4, 1e4, width=BITS[dtype]), min_size=1, max_size=30))
    def check(drawn):
        y, exact, off = compared(op, [np.array([drawn], dtype)], {})
        assert np.isfinite(y).all()
        assert (abs(y - exact) <= off).all()

    check()


@quick
@given(st.lists(st.floats(-1e4, 1e4, width=16), min_size=1, max_size=30), st.sampled_from(sorted(U)))
def test_softmax_of_large_values(drawn, dtype):
    y, exact, off = compared(Softmax(), [np.array([drawn], dtype)], {})
    assert (abs(y - exact) <= off).all()
    assert abs(y.sum(dtype="float64") - 1) <= off.sum()
    # Moved by a number that leaves every difference as it is, the values have the same powers.
    moved = np.array([drawn], "float64") + 2.0**20
    np.testing.assert_array_equal(ours(Softmax(), [moved], {}), ours(Softmax(), [moved - 2.0**20], {}))


def test_the_largest_numbers_overflow_no_softmax():
    x = np.array([[3e38, -3e38, 3e38, 0.0]], "float32")
    np.testing.assert_array_equal(ours(Softmax(), [x], {}), [[0.5, 0, 0.5, 0]])


def test_what_is_not_a_number_stays_in_its_image():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype("float32")
    clean = x.copy()
    x[1, 2, 3, 3] = np.nan
    for op in (Conv(4, 3, pads=1, groups=2), MaxPool(3, 2), AveragePool(3, 2), BatchNorm(), Lrn(), Softmax(), Relu()):
        _, _, weights = filled((op, [x.shape]), 0, "float32")
        dirty, y = ours(op, [x], weights), ours(op, [clean], weights)
        np.testing.assert_array_equal(dirty[0], y[0])
        assert np.isnan(dirty[1]).any(), op
