"""Every operator against numbers worked out by hand: shape, weights, loop nest, MACs and elementwise work."""

from typing import NamedTuple

import pytest

from costmodel.counting import standard_table, stated
from costmodel.graph import Op, Shape, Work
from costmodel.ops import (
    GRU,
    LSTM,
    RNN,
    Abs,
    Acos,
    Acosh,
    Add,
    AffineGrid,
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
    CausalConv,
    Ceil,
    Celu,
    ChannelShuffle,
    Clip,
    Col2Im,
    Concat,
    Conv,
    ConvInteger,
    ConvTranspose,
    Cos,
    Cosh,
    CumProd,
    CumSum,
    DeformConv,
    DepthToSpace,
    DequantizeLinear,
    Div,
    Dropout,
    DynamicQuantizeLinear,
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
    GridSample,
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
    LinearAttention,
    Log,
    LogSoftmax,
    LpNorm,
    LpPool,
    Lrn,
    MatMul,
    MatMulInteger,
    Max,
    MaxPool,
    MaxUnpool,
    Mean,
    MeanVarianceNorm,
    Min,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    OneHot,
    Or,
    Pad,
    PlacedMaxPool,
    Pow,
    PRelu,
    QLinearAdd,
    QLinearConv,
    QLinearGlobalAveragePool,
    QLinearMatMul,
    QLinearMul,
    QuantizeLinear,
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
    ReverseSequence,
    RMSNorm,
    RoiAlign,
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
    TensorScatter,
    ThresholdedRelu,
    Tile,
    TopK,
    TrainingBatchNorm,
    Transpose,
    Trilu,
    Where,
    Xor,
)


class Case(NamedTuple):
    """An operator on operands of given shapes, and what a person computes for it on paper."""

    name: str
    op: Op
    inputs: tuple[Shape, ...]
    output: Shape
    weights: dict[str, Shape]
    buffers: dict[str, Shape]
    loops: tuple[int, int, int, int, int]
    macs: int
    work: dict[str, int]
    more: tuple[Shape, ...]
    types: tuple[str | None, ...]


CASES: list[Case] = []
MAP = (2, 3, 4, 5)


def case(
    name: str,
    op: Op,
    inputs: list[Shape],
    output: Shape,
    *,
    weights: dict[str, Shape] | None = None,
    buffers: dict[str, Shape] | None = None,
    loops: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0),
    macs: int = 0,
    more: tuple[Shape, ...] = (),
    types: tuple[str | None, ...] | None = None,
    **work: int,
) -> None:
    """``more`` are further results, ``types`` the operands' element types."""
    of = (None,) * len(inputs) if types is None else types
    CASES.append(Case(name, op, tuple(inputs), output, weights or {}, buffers or {}, loops, macs, work, more, of))


case("input", Input((2, 3, 8, 8)), [], (2, 3, 8, 8))
case("input-int8", Input((7,), "int8"), [], (7,))

# Convolutions. Loop nest: batch, groups, positions, filters per group, window * channels per group.
case(
    "conv-same",
    Conv(64, kernel=3, pads=1),
    [(1, 3, 224, 224)],
    (1, 64, 224, 224),
    weights={"weight": (64, 3, 3, 3), "bias": (64,)},
    loops=(1, 1, 50176, 64, 27),
    macs=1 * 64 * 224 * 224 * 3 * 3 * 3,  # outputs * window * channels; the bias is free
)
case(
    "conv-strided-batch",
    Conv(64, kernel=7, stride=2, pads=3, bias=False),
    [(2, 3, 224, 224)],
    (2, 64, 112, 112),  # (224 + 3 + 3 - 7) // 2 + 1
    weights={"weight": (64, 3, 7, 7)},
    loops=(2, 1, 12544, 64, 147),
    macs=2 * 64 * 112 * 112 * 7 * 7 * 3,  # outputs * window * channels
)
case(
    "conv-pointwise",
    Conv(128, kernel=1, bias=False, channels=64),
    [(1, 64, 56, 56)],
    (1, 128, 56, 56),
    weights={"weight": (128, 64, 1, 1)},
    loops=(1, 1, 3136, 128, 64),
    macs=128 * 56 * 56 * 64,  # outputs * channels
)
case(
    "conv-stride-beyond-kernel",
    Conv(8, kernel=1, stride=2),
    [(1, 16, 7, 7)],
    (1, 8, 4, 4),  # columns 0, 2, 4, 6
    weights={"weight": (8, 16, 1, 1), "bias": (8,)},
    loops=(1, 1, 16, 8, 16),
    macs=8 * 4 * 4 * 16,  # outputs * channels
)
case(
    "conv-whole-map",
    Conv(4096, kernel=7),
    [(1, 512, 7, 7)],
    (1, 4096, 1, 1),
    weights={"weight": (4096, 512, 7, 7), "bias": (4096,)},
    loops=(1, 1, 1, 4096, 25088),
    macs=4096 * 7 * 7 * 512,  # a dense layer in disguise
)
case(
    "conv-grouped",
    Conv(256, kernel=5, pads=2, groups=2),
    [(1, 96, 27, 27)],
    (1, 256, 27, 27),
    weights={"weight": (256, 48, 5, 5), "bias": (256,)},
    loops=(1, 2, 729, 128, 1200),
    macs=256 * 27 * 27 * 5 * 5 * 48,  # outputs * window * channels of one group: AlexNet's second layer
)
case(
    "conv-depthwise",
    Conv(32, kernel=3, pads=1, groups=32, bias=False),
    [(1, 32, 112, 112)],
    (1, 32, 112, 112),
    weights={"weight": (32, 1, 3, 3)},
    loops=(1, 32, 12544, 1, 9),
    macs=32 * 112 * 112 * 3 * 3,  # outputs * window; each filter sees one channel
)
case(
    "conv-depthwise-two-filters-a-channel",
    Conv(64, kernel=3, pads=1, groups=32, bias=False),
    [(1, 32, 10, 10)],
    (1, 64, 10, 10),
    weights={"weight": (64, 1, 3, 3)},
    loops=(1, 32, 100, 2, 9),
    macs=64 * 10 * 10 * 3 * 3,  # outputs * window
)
case(
    "conv-oblong",
    Conv(6, kernel=(3, 5), stride=(2, 1)),
    [(2, 4, 9, 11)],
    (2, 6, 4, 7),  # (9 - 3) // 2 + 1, 11 - 5 + 1
    weights={"weight": (6, 4, 3, 5), "bias": (6,)},
    loops=(2, 1, 28, 6, 60),
    macs=2 * 6 * 4 * 7 * 3 * 5 * 4,  # outputs * window * channels
)
case(
    "conv-dilated",
    Conv(8, kernel=3, dilation=2, bias=False),
    [(1, 8, 10, 10)],
    (1, 8, 6, 6),  # three taps two apart span 5
    weights={"weight": (8, 8, 3, 3)},
    loops=(1, 1, 36, 8, 72),
    macs=8 * 6 * 6 * 3 * 3 * 8,  # outputs * window * channels
)
case(
    "conv-pads-at-the-end",
    Conv(32, kernel=3, stride=2, pads=(0, 0, 1, 1), bias=False),
    [(1, 3, 224, 224)],
    (1, 32, 112, 112),  # (224 + 1 - 3) // 2 + 1
    weights={"weight": (32, 3, 3, 3)},
    loops=(1, 1, 12544, 32, 27),
    macs=32 * 112 * 112 * 3 * 3 * 3,  # outputs * window * channels
)
case(
    "conv-four-different-pads",
    Conv(1, kernel=2, pads=(1, 0, 2, 3), bias=False),
    [(1, 2, 5, 6)],
    (1, 1, 7, 8),  # 1 + 5 + 2 - 1 rows, 0 + 6 + 3 - 1 columns
    weights={"weight": (1, 2, 2, 2)},
    loops=(1, 1, 56, 1, 8),
    macs=7 * 8 * 2 * 2 * 2,  # outputs * window * channels
)
case(
    "conv-pads-per-axis",
    Conv(1, kernel=(5, 3), pads=(2, 1), bias=False),
    [(1, 1, 8, 9)],
    (1, 1, 8, 9),
    weights={"weight": (1, 1, 5, 3)},
    loops=(1, 1, 72, 1, 15),
    macs=8 * 9 * 5 * 3,  # outputs * window
)
case(
    "conv-1d",
    Conv(16, kernel=(25,), stride=4, pads=11),
    [(3, 1, 16384)],
    (3, 16, 4096),  # (16384 + 22 - 25) // 4 + 1
    weights={"weight": (16, 1, 25), "bias": (16,)},
    loops=(3, 1, 4096, 16, 25),
    macs=3 * 16 * 4096 * 25,  # outputs * window
)
case(
    "conv-3d",
    Conv(64, kernel=(3, 3, 3), pads=1),
    [(1, 3, 16, 112, 112)],
    (1, 64, 16, 112, 112),
    weights={"weight": (64, 3, 3, 3, 3), "bias": (64,)},
    loops=(1, 1, 200704, 64, 81),
    macs=64 * 16 * 112 * 112 * 3 * 3 * 3 * 3,  # outputs * window * channels
)
case(
    "conv-3d-pads-and-strides-per-axis",
    Conv(2, kernel=(1, 2, 3), stride=(1, 2, 3), pads=(0, 1, 2, 1, 0, 1), bias=False),
    [(1, 4, 3, 5, 8)],
    (1, 2, 4, 3, 3),  # 3 + 1 - 1 + 1; (1 + 5 - 2) // 2 + 1; (2 + 8 + 1 - 3) // 3 + 1
    weights={"weight": (2, 4, 1, 2, 3)},
    loops=(1, 1, 36, 2, 24),
    macs=2 * 4 * 3 * 3 * 1 * 2 * 3 * 4,  # outputs * window * channels
)
case(
    "conv-all-at-once",
    Conv(6, kernel=(3, 2), stride=(2, 3), dilation=(2, 4), pads=(1, 2, 0, 3), groups=3),
    [(2, 9, 10, 12)],
    (2, 6, 4, 5),  # (1 + 10 + 0 - 5) // 2 + 1, (2 + 12 + 3 - 5) // 3 + 1
    weights={"weight": (6, 3, 3, 2), "bias": (6,)},
    loops=(2, 3, 20, 2, 18),
    macs=2 * 6 * 4 * 5 * 3 * 2 * 3,  # outputs * window * channels of one group
)

# Pools: one operation per element of each window.
case("maxpool", MaxPool(kernel=2), [(1, 64, 112, 112)], (1, 64, 56, 56), compare=64 * 56 * 56 * 2 * 2)
case(
    "maxpool-overlapping-padded",
    MaxPool(kernel=3, stride=2, pads=1),
    [(2, 64, 112, 112)],
    (2, 64, 56, 56),  # (112 + 2 - 3) // 2 + 1
    compare=2 * 64 * 56 * 56 * 3 * 3,
)
case(
    "maxpool-floor",
    MaxPool(kernel=3, stride=2),
    [(1, 64, 112, 112)],
    (1, 64, 55, 55),  # 109 // 2 + 1
    compare=64 * 55 * 55 * 3 * 3,
)
case(
    "maxpool-ceil",
    MaxPool(kernel=3, stride=2, ceil_mode=True),
    [(1, 64, 112, 112)],
    (1, 64, 56, 56),  # ceil(109 / 2) + 1: the last window starts at 110 and hangs over
    compare=64 * 56 * 56 * 3 * 3,
)
case(
    "maxpool-ceil-divides",
    MaxPool(kernel=3, stride=2, ceil_mode=True),
    [(1, 96, 111, 111)],
    (1, 96, 55, 55),  # 108 / 2 + 1: nothing to round
    compare=96 * 55 * 55 * 3 * 3,
)
case(
    "maxpool-ceil-drops-the-window-in-the-padding",
    MaxPool(kernel=2, stride=2, pads=1, ceil_mode=True),
    [(1, 1, 3, 4)],
    # Rows: windows would start at -1, 1, 3, and 3 is behind the map. Columns: -1, 1, 3, and 3 is its last column.
    (1, 1, 2, 3),
    compare=2 * 3 * 2 * 2,
)
case(
    "maxpool-ceil-drops-the-window-behind-the-map",
    MaxPool(kernel=1, stride=3, ceil_mode=True),
    [(1, 1, 6, 7)],
    (1, 1, 2, 3),  # rows 0, 3 (6 is behind the map), columns 0, 3, 6
    compare=2 * 3,
)
case(
    "maxpool-dilated",
    MaxPool(kernel=3, stride=1, dilation=2),
    [(1, 5, 7, 9)],
    (1, 5, 3, 5),  # three taps two apart span 5
    compare=5 * 3 * 5 * 3 * 3,
)
case("maxpool-1d", MaxPool(kernel=(4,)), [(2, 3, 21)], (2, 3, 5), compare=2 * 3 * 5 * 4)
case(
    "maxpool-3d",
    MaxPool(kernel=(1, 2, 2)),
    [(1, 64, 16, 112, 112)],
    (1, 64, 16, 56, 56),
    compare=64 * 16 * 56 * 56 * 1 * 2 * 2,
)
# The first of K*K elements is taken, the others are added, and the sum is multiplied once.
case("avgpool", AveragePool(kernel=7), [(1, 1024, 7, 7)], (1, 1024, 1, 1), add=1024 * (7 * 7 - 1), multiply=1024)
case("avgpool-one", AveragePool(kernel=1), [(1, 8, 3, 3)], (1, 8, 3, 3), multiply=8 * 3 * 3)  # nothing to add
case(
    "avgpool-padding-excluded",
    AveragePool(kernel=3, stride=1, pads=1),
    [(1, 192, 35, 35)],
    (1, 192, 35, 35),
    add=192 * 35 * 35 * (3 * 3 - 1),
    multiply=192 * 35 * 35,
)
case(
    "avgpool-padding-included",
    AveragePool(kernel=3, stride=1, pads=1, count_include_pad=True),
    [(1, 192, 35, 35)],
    (1, 192, 35, 35),
    add=192 * 35 * 35 * (3 * 3 - 1),  # another divisor, as many additions
    multiply=192 * 35 * 35,
)
case(
    "avgpool-pads-per-side-and-ceil",
    AveragePool(kernel=(3, 2), stride=2, pads=(1, 0, 0, 1), ceil_mode=True),
    [(1, 2, 7, 6)],
    # Rows start at -1, 1, 3 and, hanging over, 5. Columns start at 0, 2, 4; a window from 6 on is behind the map.
    (1, 2, 4, 3),
    add=2 * 4 * 3 * (3 * 2 - 1),
    multiply=2 * 4 * 3,
)
case(
    "global-avgpool",
    GlobalAveragePool(),
    [(2, 1280, 7, 7)],
    (2, 1280, 1, 1),
    add=2 * 1280 * (7 * 7 - 1),
    multiply=2 * 1280,
)
case("global-avgpool-1d", GlobalAveragePool(), [(4, 10, 50)], (4, 10, 1), add=4 * 10 * 49, multiply=4 * 10)
case("global-avgpool-3d", GlobalAveragePool(), [(1, 6, 2, 3, 4)], (1, 6, 1, 1, 1), add=6 * 23, multiply=6)
case("global-maxpool", GlobalMaxPool(), [(2, 6, 3, 5)], (2, 6, 1, 1), compare=2 * 6 * 3 * 5)

# Matrix products.
case(
    "linear",
    Linear(1000),
    [(1, 2048)],
    (1, 1000),
    weights={"weight": (1000, 2048), "bias": (1000,)},
    loops=(1, 1, 1, 1000, 2048),
    macs=1000 * 2048,  # the bias is free
)
case(
    "linear-batch-no-bias",
    Linear(10, bias=False, channels=84),
    [(32, 84)],
    (32, 10),
    weights={"weight": (10, 84)},
    loops=(32, 1, 1, 10, 84),
    macs=32 * 10 * 84,
)
case(
    "linear-tokens",
    Linear(3072),
    [(2, 197, 768)],
    (2, 197, 3072),
    weights={"weight": (3072, 768), "bias": (3072,)},
    loops=(2, 1, 197, 3072, 768),
    macs=2 * 197 * 3072 * 768,  # outputs * features in
)
case(
    "linear-two-leading-axes",
    Linear(4, bias=False),
    [(2, 3, 5, 6)],
    (2, 3, 5, 4),
    weights={"weight": (4, 6)},
    loops=(2, 1, 15, 4, 6),
    macs=2 * 3 * 5 * 4 * 6,
)
case("matmul", MatMul(), [(64, 32), (32, 16)], (64, 16), loops=(1, 1, 64, 16, 32), macs=64 * 16 * 32)
case(
    "matmul-heads",
    MatMul(),
    [(2, 12, 197, 64), (2, 12, 64, 50)],
    (2, 12, 197, 50),
    loops=(24, 1, 197, 50, 64),
    macs=2 * 12 * 197 * 50 * 64,  # outputs * inner size
)
case(
    "matmul-both-stretch",
    MatMul(),
    [(2, 1, 4, 5), (3, 5, 6)],
    (2, 3, 4, 6),
    loops=(6, 1, 4, 6, 5),
    macs=2 * 3 * 4 * 6 * 5,
)
case("matmul-one-batch", MatMul(), [(3, 5), (7, 5, 2)], (7, 3, 2), loops=(7, 1, 3, 2, 5), macs=7 * 3 * 2 * 5)

# Transposed convolutions: each element of x by each weight of its channel, also where the pads cut the product off.
case(
    "convtranspose-doubles",
    ConvTranspose(64, kernel=2, stride=2),
    [(1, 128, 28, 28)],
    (1, 64, 56, 56),  # (28 - 1) * 2 + 2
    weights={"weight": (128, 64, 2, 2), "bias": (64,)},
    loops=(1, 1, 784, 64 * 2 * 2, 128),
    macs=128 * 28 * 28 * 64 * 2 * 2,
)
case(
    "convtranspose-all-attributes",
    ConvTranspose(6, (3, 2), stride=(2, 3), pads=(1, 0, 0, 1), dilation=(2, 1), groups=2, bias=False, more=(1, 0)),
    [(2, 4, 5, 7)],
    (2, 6, 4 * 2 + 5 - 1 + 1, 6 * 3 + 2 - 1),
    weights={"weight": (4, 3, 3, 2)},
    loops=(2, 2, 35, 3 * 3 * 2, 2),
    macs=2 * 4 * 5 * 7 * 3 * 3 * 2,  # images * elements of x * filters of its group * kernel
)
case(
    "convtranspose-1d",
    ConvTranspose(5, (4,), stride=3),
    [(1, 2, 6)],
    (1, 5, 5 * 3 + 4),
    weights={"weight": (2, 5, 4), "bias": (5,)},
    loops=(1, 1, 6, 20, 2),
    macs=2 * 6 * 5 * 4,
)

# Norms with the statistics of the map. A row of n elements: n - 1 additions and one multiplication for the mean, n
# subtractions, n squares, n - 1 additions and one multiplication for their mean, epsilon, root, 1/root; then n products
# with that, n with gamma, n sums with beta.
case(
    "layernorm",
    LayerNorm(),
    [(2, 197, 768)],
    (2, 197, 768),
    weights={"gamma": (768,), "beta": (768,)},
    add=2 * 197 * (767 + 768 + 767 + 1 + 768),
    multiply=2 * 197 * (1 + 768 + 1 + 768 + 768),
    special=2 * 197,
    divide=2 * 197,
)
case(
    "layernorm-two-axes-bare",
    LayerNorm(axis=1, scale=False, bias=False),
    [(3, 4, 5)],
    (3, 4, 5),
    add=3 * (19 + 20 + 19 + 1),
    multiply=3 * (1 + 20 + 1 + 20),
    special=3,
    divide=3,
)
case(
    "layernorm-no-bias",
    LayerNorm(bias=False),
    [(4, 6)],
    (4, 6),
    weights={"gamma": (6,)},
    add=4 * (5 + 6 + 5 + 1),
    multiply=4 * (1 + 6 + 1 + 6 + 6),
    special=4,
    divide=4,
)
case(
    "rmsnorm",
    RMSNorm(),
    [(1, 128, 4096)],
    (1, 128, 4096),
    weights={"gamma": (4096,)},
    add=128 * (4095 + 1),
    multiply=128 * (4096 + 1 + 4096 + 4096),
    special=128,
    divide=128,
)
case("rmsnorm-bare", RMSNorm(scale=False), [(2, 5)], (2, 5), add=2 * 5, multiply=2 * 11, special=2, divide=2)
case(
    "groupnorm",
    GroupNorm(groups=8),
    [(2, 32, 6, 7)],
    (2, 32, 6, 7),
    weights={"gamma": (32,), "beta": (32,)},
    add=2 * 8 * (167 + 168 + 167 + 1 + 168),  # 4 channels of 42
    multiply=2 * 8 * (1 + 168 + 1 + 168 + 168),
    special=2 * 8,
    divide=2 * 8,
)
case(
    "instancenorm",
    InstanceNorm(),
    [(2, 3, 5, 5)],
    (2, 3, 5, 5),
    weights={"gamma": (3,), "beta": (3,)},
    add=6 * (24 + 25 + 24 + 1 + 25),
    multiply=6 * (1 + 25 + 1 + 25 + 25),
    special=6,
    divide=6,
)
case(
    "trainingbatchnorm",
    TrainingBatchNorm(),
    [(2, 3, 5, 5)],
    (2, 3, 5, 5),
    weights={"gamma": (3,), "beta": (3,)},
    add=3 * (49 + 50 + 49 + 1 + 50),  # 2 maps of 25
    multiply=3 * (1 + 50 + 1 + 50 + 50),
    special=3,
    divide=3,
)
case("logsoftmax", LogSoftmax(), [(2, 10)], (2, 10), special=2 * 10 + 2, add=2 * 10 + 2 * 10)
case("logsoftmax-in-the-middle", LogSoftmax(-2), [(2, 3, 4)], (2, 3, 4), special=24 + 8, add=48)

# Reductions.
case("reduce-sum", ReduceSum((1,)), [(2, 3, 4)], (2, 1, 4), add=24)
case("reduce-sum-all", ReduceSum((0, 1, 2), keepdims=False), [(2, 3, 4)], (), add=24)
case("reduce-mean", ReduceMean((-1,)), [(1, 197, 768)], (1, 197, 1), add=197 * 767, multiply=197)
case("reduce-mean-two", ReduceMean((2, 3), keepdims=False), [(1, 8, 7, 7)], (1, 8), add=8 * 48, multiply=8)
case("reduce-max", ReduceMax((0, 2)), [(2, 3, 4)], (1, 3, 1), compare=24)
case("reduce-min", ReduceMin((-3,), keepdims=False), [(2, 3, 4)], (3, 4), compare=24)
case("reduce-prod", ReduceProd((1,)), [(2, 3)], (2, 1), multiply=6)
case("reduce-l1", ReduceL1((1,)), [(2, 3)], (2, 1), compare=6, add=6)
case("reduce-l2", ReduceL2((1,)), [(2, 3)], (2, 1), multiply=6, add=6, special=2)
case("reduce-sum-square", ReduceSumSquare((0,)), [(2, 3)], (1, 3), multiply=6, add=6)
case("reduce-log-sum", ReduceLogSum((1,)), [(2, 3)], (2, 1), add=6, special=2)
case("reduce-log-sum-exp", ReduceLogSumExp((1,)), [(2, 3)], (2, 1), special=6 + 2, add=6)
case("argmax", ArgMax(axis=-1, keepdims=False), [(2, 1000)], (2,), compare=2000)
case("argmin", ArgMin(axis=1), [(2, 3, 4)], (2, 1, 4), compare=24)
case("cumsum", CumSum(axis=1), [(2, 3, 4)], (2, 3, 4), add=24)
case("cumsum-back", CumSum(axis=-1, exclusive=True, reverse=True), [(2, 3)], (2, 3), add=6)

# Attention: ViT-B has 12 heads of 64; Llama 2 70B has 64 query heads on 8 key heads of 128.
case(
    "attention",
    Attention(),
    [(2, 12, 197, 64), (2, 12, 197, 64), (2, 12, 197, 64)],
    (2, 12, 197, 64),
    loops=(2, 12, 197, 197, 128),
    macs=2 * 12 * 197 * 197 * 64 + 2 * 12 * 197 * 197 * 64,  # QK^T, AV
    multiply=2 * 12 * 197 * 197,
    special=2 * 12 * 197 * 197,
    add=2 * 12 * 197 * 197,
    divide=2 * 12 * 197 * 197,
)
case(
    "attention-shared-key-heads",
    Attention(heads=8, key_heads=2, causal=True),
    [(1, 5, 8 * 4), (1, 7, 2 * 4), (1, 7, 2 * 6)],
    (1, 5, 8 * 6),
    loops=(1, 8, 5, 7, 4 + 6),
    macs=8 * 5 * 7 * 4 + 8 * 5 * 7 * 6,
    multiply=8 * 5 * 7,
    special=8 * 5 * 7,
    add=8 * 5 * 7,
    divide=8 * 5 * 7,
)
case(
    "attention-mask",
    Attention(mask=True),
    [(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4), (3, 5)],
    (1, 2, 3, 4),
    loops=(1, 2, 3, 5, 8),
    macs=2 * 3 * 5 * 8,
    multiply=30,
    special=30,
    add=30 + 30,
    divide=30,
)
case(
    "attention-held-mask",
    Attention(mask=True, held=(1, 1, 3, 3), scale=0.5),
    [(1, 2, 3, 4)] * 3,
    (1, 2, 3, 4),
    buffers={"mask": (1, 1, 3, 3)},
    loops=(1, 2, 3, 3, 8),
    macs=2 * 3 * 3 * 8,
    multiply=18,
    special=18,
    add=18 + 18,
    divide=18,
)
case(
    "rotary",
    RotaryEmbedding(),
    [(1, 2, 3, 8), (1, 3, 4), (1, 3, 4)],
    (1, 2, 3, 8),
    multiply=2 * 3 * 4 * 4,  # 4 products and 2 sums per pair
    add=2 * 3 * 4 * 2,
)
case(
    "rotary-by-position",
    RotaryEmbedding(heads=2, rotated=4, positions=True, held=(16, 2), interleaved=True),
    [(1, 3, 2 * 6), (1, 3)],
    (1, 3, 12),
    buffers={"cos": (16, 2), "sin": (16, 2)},
    multiply=2 * 3 * 2 * 4,
    add=2 * 3 * 2 * 2,
)
# Recurrent layers: Zaremba et al. 2014 have 2 layers of 650 units, 35 steps and batches of 20.
UNITS = 35 * 20 * 650
case(
    "lstm-of-zaremba",
    LSTM(650),
    [(35, 20, 650)],
    (35, 1, 20, 650),
    weights={"weight": (1, 2600, 650), "recurrence": (1, 2600, 650), "bias": (1, 5200)},
    loops=(20, 1, 35, 2600, 1300),
    macs=20 * 35 * 4 * 650 * (650 + 650),  # four gates, each of the map and of the state
    special=5 * UNITS,  # three sigmoids, two tanh
    divide=3 * UNITS,
    add=(3 + 1) * UNITS,  # of the sigmoids; f * c + i * g
    multiply=3 * UNITS,  # f * c, i * g, o * h(c)
)
case(
    "lstm-both-ways",
    LSTM(3, "bidirectional", ("Y", "Y_h", "Y_c"), lengths=True, initial_h="operand", clip=1.0, initial_c="learned",
         peepholes=True),
    [(4, 2, 5), (2,), (2, 2, 3)],
    (4, 2, 2, 3),
    more=((2, 2, 3), (2, 2, 3)),
    types=(None, "int32", None),
    weights={"weight": (2, 12, 5), "recurrence": (2, 12, 3), "bias": (2, 24), "initial_c": (2, 1, 3),
             "peephole": (2, 9)},
    loops=(2, 2, 4, 12, 8),
    macs=2 * 2 * 4 * 4 * 3 * (5 + 3),
    special=5 * 48,  # for each of 2 * 4 * 2 * 3 values
    divide=3 * 48,
    add=(4 + 3) * 48,  # and three peepholes
    multiply=(3 + 3) * 48,
    compare=5 * 2 * 48,  # five activations, each behind two bounds
)  # fmt: skip
case(
    "lstm-input-forget",
    LSTM(2, "reverse", ("Y_h",), bias=False, batch_first=True, initial_h="constant", input_forget=True),
    [(3, 4, 5)],
    (3, 1, 2),
    weights={"weight": (1, 8, 5), "recurrence": (1, 8, 2)},
    buffers={"initial_h": (3, 1, 2)},
    loops=(3, 1, 4, 6, 7),
    macs=3 * 4 * 3 * 2 * (5 + 2),  # three gates, the fourth is 1 - i
    special=4 * 24,
    divide=2 * 24,
    add=(2 + 1 + 1) * 24,  # of two sigmoids; 1 - i; f * c + i * g
    multiply=3 * 24,
)
case(
    "gru",
    GRU(3),
    [(6, 2, 4)],
    (6, 1, 2, 3),
    weights={"weight": (1, 9, 4), "recurrence": (1, 9, 3), "bias": (1, 18)},
    loops=(2, 1, 6, 9, 7),
    macs=2 * 6 * 3 * 3 * (4 + 3),
    special=3 * 36,  # two sigmoids, tanh
    divide=2 * 36,
    add=(2 + 1 + 1) * 36,  # of the sigmoids; 1 - z; the sum of both shares
    multiply=(1 + 2) * 36,  # r * h; both shares
)
case(
    "gru-linear-before-reset",
    GRU(3, "bidirectional", ("Y", "Y_h"), linear_before_reset=True),
    [(6, 2, 4)],
    (6, 2, 2, 3),
    more=((2, 2, 3),),
    weights={"weight": (2, 9, 4), "recurrence": (2, 9, 3), "bias": (2, 18)},
    loops=(2, 2, 6, 9, 7),
    macs=2 * 2 * 6 * 3 * 3 * (4 + 3),
    special=3 * 72,
    divide=2 * 72,
    add=(4 + 1) * 72,  # and the product of the state to that of the map
    multiply=3 * 72,
)
case(
    "rnn",
    RNN(3, "bidirectional", activations=("Tanh", "HardSigmoid")),
    [(6, 2, 4)],
    (6, 2, 2, 3),
    weights={"weight": (2, 3, 4), "recurrence": (2, 3, 3), "bias": (2, 6)},
    loops=(2, 2, 6, 3, 7),
    macs=2 * 2 * 6 * 3 * (4 + 3),
    special=36,  # forwards
    multiply=36,  # backwards
    add=36,
    compare=2 * 36,
)
case(
    "einsum-heads",
    Einsum("bhqd,bhkd->bhqk"),
    [(2, 12, 7, 64), (2, 12, 9, 64)],
    (2, 12, 7, 9),
    loops=(24, 1, 7, 9, 64),
    macs=24 * 7 * 9 * 64,
)
case(
    "einsum-held",
    Einsum("...c,chd->...hd", held=(None, (8, 3, 5))),
    [(2, 4, 8)],
    (2, 4, 3, 5),
    weights={"second": (8, 3, 5)},
    loops=(1, 1, 8, 15, 8),
    macs=8 * 15 * 8,
)
case("einsum-diagonal", Einsum("iij,k->ji"), [(3, 3, 2), (4,)], (2, 3), loops=(1, 1, 6, 1, 4), macs=2 * 3 * 4)

# What moves by the values of others.
case("embedding", Embedding(50257, 768), [(1, 1024)], (1, 1024, 768), weights={"weight": (50257, 768)})
case("gather", Gather(axis=1), [(2, 5, 3), (4, 6)], (2, 4, 6, 3))
case("gather-held", Gather(0, (None, (7,))), [(5, 3)], (7, 3), buffers={"indices": (7,)})
case("gather-from-held", Gather(-1, ((2, 9), None)), [(4,)], (2, 4), weights={"data": (2, 9)})
case("gather-elements", GatherElements(1), [(2, 3), (2, 5)], (2, 5))
case("add-mask", Add((4, 4), learned=False), [(2, 4, 4)], (2, 4, 4), buffers={"constant": (4, 4)}, add=32)
case("gather-nd", GatherND(), [(2, 3, 4), (6, 2)], (6, 4))
case("gather-nd-batch", GatherND(batch=1), [(2, 3, 4), (2, 5, 1)], (2, 5, 4))
case("scatter-nd", ScatterND(), [(4, 5), (3, 1), (3, 5)], (4, 5))
case("scatter-nd-held", ScatterND((None, (2, 2), None)), [(4, 5), (2,)], (4, 5), buffers={"indices": (2, 2)})
case("scatter-nd-add", ScatterND(reduction="add"), [(4, 5), (3, 1), (3, 5)], (4, 5), add=15)
case("scatter-elements", ScatterElements(1), [(4, 5), (4, 2), (4, 2)], (4, 5))
case(
    "scatter-elements-max",
    ScatterElements(-1, (None, (4, 7), None), "max"),
    [(4, 5), (4, 7)],
    (4, 5),
    buffers={"indices": (4, 7)},
    compare=28,
)
# A tournament of 1000 in each of 2 rows: 999 games, and for 4 more 10 each. Of 6: 5 games, and 3 for the second.
case("topk", TopK(5), [(2, 1000)], (2, 5), more=((2, 5),), compare=2 * (999 + 4 * 10))
case("topk-in-the-middle", TopK(2, 1, largest=False), [(2, 6, 3)], (2, 2, 3), more=((2, 2, 3),), compare=6 * (5 + 3))
case("top-1-of-1", TopK(1, 0), [(1, 4)], (1, 4), more=((1, 4),))
case("one-hot", OneHot(10), [(2, 3)], (2, 3, 10))
case("one-hot-first", OneHot(10, axis=0, dtype="int32"), [(2, 3)], (10, 2, 3))
case("reverse-sequence", ReverseSequence(), [(7, 2, 3), (2,)], (7, 2, 3))
case("reverse-held", ReverseSequence(0, 1, (None, (2,))), [(2, 7)], (2, 7), buffers={"lengths": (2,)})
case(
    "causal-conv",
    CausalConv(4, past=True, silu=True),
    [(2, 6, 5), (2, 6, 3)],
    (2, 6, 5),
    more=((2, 6, 3),),
    weights={"weight": (6, 1, 4), "bias": (6,)},
    loops=(2, 6, 5, 1, 4),
    macs=2 * 6 * 5 * 4,
    special=60,
    add=60,
    divide=60,
)
case("causal-conv-bare", CausalConv(2, bias=False), [(1, 3, 7)], (1, 3, 7), more=((1, 3, 1),),
     weights={"weight": (3, 1, 2)}, loops=(1, 3, 7, 1, 2), macs=42)  # fmt: skip
case(
    "linear-attention",  # 4 heads on 2 key heads; states of 8 x 5
    LinearAttention(4, 2, 8, 5, "linear"),
    [(3, 7, 32), (3, 7, 16), (3, 7, 10)],
    (3, 7, 20),
    more=((3, 2, 8, 5),),
    loops=(3, 2, 7, 5, 8 * (1 + 2)),
    macs=3 * 7 * (2 * 8 * 5 + 4 * 8 * 5),  # k v^T of each key head, S^T q of each head
    multiply=3 * 7 * 4 * 5,  # by the scale
)
case(
    "gated-delta-attention",
    LinearAttention(4, 2, 8, 5, past=True, each_key=True),
    [(3, 7, 32), (3, 7, 16), (3, 7, 10), (3, 2, 8, 5), (3, 7, 16), (3, 7, 2)],
    (3, 7, 20),
    more=((3, 2, 8, 5),),
    loops=(3, 2, 7, 5, 8 * (2 + 2)),
    macs=3 * 7 * (2 * 2 * 8 * 5 + 4 * 8 * 5),  # and S^T k of each key head
    special=3 * 7 * 2 * 8,  # exp of each decay
    add=3 * 7 * 2 * 5,  # v less what is known
    multiply=3 * 7 * (4 * 5 + 2 * 8 * 5 + 2 * 5),  # the scale, the decay of the state, the rate
)
case(
    "grid-sample",
    GridSample(),
    [(2, 3, 8, 9), (2, 4, 5, 2)],
    (2, 3, 4, 5),
    multiply=2 * 3 * 20 * 4,  # four taps of each output
    add=2 * 3 * 20 * 4,
)
case("grid-sample-3d", GridSample(), [(1, 3, 4, 5, 6), (1, 2, 2, 2, 3)], (1, 3, 2, 2, 2), multiply=24 * 8, add=24 * 8)
case("grid-sample-nearest", GridSample("nearest"), [(2, 3, 8, 9), (2, 4, 5, 2)], (2, 3, 4, 5))
case("affine-grid", AffineGrid((4, 5)), [(2, 2, 3)], (2, 4, 5, 2), loops=(2, 1, 20, 2, 3), macs=2 * 20 * 2 * 3)
case(
    "roi-align",
    RoiAlign(7, 7),
    [(1, 16, 20, 30), (5, 4), (5,)],
    (5, 16, 7, 7),
    types=(None, None, "int64"),
    multiply=5 * 16 * 49 * 4 * 4,  # four samples of four taps
    add=5 * 16 * 49 * 4 * 4,
)
case(
    "deform-conv",
    DeformConv(8, 3, pads=1, mask=True, offset_groups=2),
    [(2, 4, 5, 6), (2, 36, 5, 6), (2, 18, 5, 6)],
    (2, 8, 5, 6),
    weights={"weight": (8, 4, 3, 3), "bias": (8,)},
    loops=(2, 1, 30, 8, 36),
    macs=2 * 8 * 30 * 36,
    multiply=2 * 4 * 9 * 30 * 5,  # each element under a window: four taps and the mask
    add=2 * 4 * 9 * 30 * 4,
)
case("placed-max-pool", PlacedMaxPool(2), [(2, 3, 6, 8)], (2, 3, 3, 4), more=((2, 3, 3, 4),), compare=2 * 3 * 12 * 4)
case("max-unpool", MaxUnpool((6, 8)), [(2, 3, 3, 4), (2, 3, 3, 4)], (2, 3, 6, 8))
case("col2im", Col2Im((5, 6), 3, pads=1), [(2, 4 * 9, 30)], (2, 4, 5, 6), add=2 * 36 * 30)
case("cache", TensorScatter(), [(2, 4, 9, 8), (2, 4, 3, 8)], (2, 4, 9, 8))
case("cache-placed", TensorScatter(1, placed=True, circular=True), [(2, 9, 8), (2, 3, 8), (2,)], (2, 9, 8))
case("where", Where(), [(3, 1), (2, 1, 4), (4,)], (2, 3, 4), compare=24)
case(
    "where-held",
    Where(((1, 1, 4, 4), None, ())),
    [(2, 8, 4, 4)],
    (2, 8, 4, 4),
    buffers={"condition": (1, 1, 4, 4), "other": ()},
    compare=2 * 8 * 4 * 4,
)
case("trilu", Trilu(upper=False, k=-1), [(2, 3, 4)], (2, 3, 4))
case("tile", Tile((1, 3, 2)), [(2, 3, 4)], (2, 9, 8))
case("expand", Expand((2, 1, 4)), [(3, 1)], (2, 3, 4))
case("depth-to-space", DepthToSpace(2), [(1, 12, 3, 4)], (1, 3, 6, 8))
case("pixel-shuffle", DepthToSpace(3, channels_first=True), [(1, 18, 2, 2)], (1, 2, 6, 6))
case("space-to-depth", SpaceToDepth(2), [(1, 3, 6, 8)], (1, 12, 3, 4))
case("concat-held", Concat(1, ((1, 1, 768), None)), [(1, 196, 768)], (1, 197, 768), weights={"part1": (1, 1, 768)})
case("concat-held-stretched", Concat(-1, (None, (1, 4, 2))), [(3, 4, 5)], (3, 4, 7), weights={"part2": (1, 4, 2)})
case("pad-reflect", Pad((0, 1, 0, 2), mode="reflect"), [(2, 5)], (2, 8))
case("resize-nearest", Resize((1, 3, 8, 8)), [(1, 3, 4, 4)], (1, 3, 8, 8))
case(
    "resize-linear",
    Resize((1, 3, 8, 10), mode="linear"),
    [(1, 3, 4, 5)],
    (1, 3, 8, 10),
    multiply=3 * 8 * 10 * 2 * 2,  # taps along two axes
    add=3 * 8 * 10 * 2 * 2,
)
case("resize-cubic", Resize((2, 9), mode="cubic"), [(2, 4)], (2, 9), multiply=2 * 9 * 4, add=2 * 9 * 4)

# Powers, choices and truths.
case("pow", Pow(), [(2, 3), (3,)], (2, 3), special=6)
case("pow-square", Pow(exponent=2.0), [(2, 3)], (2, 3), multiply=6)
case("pow-cube", Pow(exponent=3.0), [(2, 3)], (2, 3), multiply=12)
case("pow-root", Pow(exponent=0.5), [(2, 3)], (2, 3), special=6)
case("pow-of-held", Pow((1,), held_first=True), [(2, 3)], (2, 3), buffers={"constant": (1,)}, special=6)
for of_two in (Max, Min, Equal, Less, LessOrEqual, Greater, GreaterOrEqual, And, Or, Xor):
    case(of_two.kind.lower(), of_two(), [(2, 3), (1, 3)], (2, 3), compare=6)
case("mod", Mod(), [(2, 3), (2, 1)], (2, 3), divide=6)
case("mod-truncated", Mod((1,), truncated=True), [(2, 3)], (2, 3), buffers={"scale": (1,)}, divide=6)

# Two maps in, one out.
case("add", Add(), [(1, 64, 56, 56), (1, 64, 56, 56)], (1, 64, 56, 56), add=64 * 56 * 56)
case("add-per-channel", Add(), [(2, 64, 7, 7), (1, 64, 1, 1)], (2, 64, 7, 7), add=2 * 64 * 7 * 7)
case("add-both-stretch", Add(), [(3, 1), (1, 4)], (3, 4), add=3 * 4)
case("add-shorter-left", Add(), [(4,), (2, 3, 4)], (2, 3, 4), add=2 * 3 * 4)
case("add-held", Add((64, 1, 1)), [(2, 64, 7, 7)], (2, 64, 7, 7), weights={"constant": (64, 1, 1)}, add=2 * 64 * 7 * 7)
case("add-number", Add(()), [(2, 3)], (2, 3), buffers={"constant": ()}, add=6)  # one number is not learned
case("add-held-is-larger", Add((4, 1, 3)), [(5, 3)], (4, 5, 3), weights={"constant": (4, 1, 3)}, add=4 * 5 * 3)
case("sub", Sub(), [(2, 3, 4), (4,)], (2, 3, 4), add=2 * 3 * 4)
case("sub-held", Sub((3, 1)), [(2, 3, 4)], (2, 3, 4), weights={"constant": (3, 1)}, add=24)
case("sub-from-held", Sub((1, 4), held_first=True), [(3, 1)], (3, 4), weights={"constant": (1, 4)}, add=12)
case("mul-held", Mul((8, 1, 1)), [(2, 8, 5, 5)], (2, 8, 5, 5), weights={"scale": (8, 1, 1)}, multiply=2 * 8 * 25)
case("div", Div(), [(2, 3), (2, 1)], (2, 3), divide=6)
case("div-number", Div((1,)), [(2, 3)], (2, 3), buffers={"scale": (1,)}, divide=6)
case("div-into-held", Div((3,), held_first=True), [(2, 3)], (2, 3), weights={"scale": (3,)}, divide=6)
case(
    "matmul-held-left",
    MatMul((5, 4), held_first=True),
    [(2, 4, 3)],
    (2, 5, 3),
    weights={"constant": (5, 4)},
    loops=(2, 1, 5, 3, 4),
    macs=2 * 5 * 3 * 4,
)
case(
    "matmul-held-heads",
    MatMul((12, 64, 50)),
    [(2, 12, 7, 64)],
    (2, 12, 7, 50),
    weights={"constant": (12, 64, 50)},
    loops=(24, 1, 7, 50, 64),
    macs=2 * 12 * 7 * 50 * 64,
)
case("mul", Mul(), [(1, 5, 6), (1, 5, 6)], (1, 5, 6), multiply=5 * 6)
case("mul-gate", Mul(), [(1, 96, 1, 1), (1, 96, 28, 28)], (1, 96, 28, 28), multiply=96 * 28 * 28)

# Per value: its square, one square into and one out of the sum, alpha/size, k, the power, the division.
lrn = 2 * 96 * 55 * 55
case(
    "lrn",
    Lrn(),
    [(2, 96, 55, 55)],
    (2, 96, 55, 55),
    multiply=(1 + 1) * lrn,
    add=(1 + 1 + 1) * lrn,
    special=lrn,
    divide=lrn,
)
case("lrn-wider", Lrn(size=9), [(1, 7)], (1, 7), multiply=2 * 7, add=3 * 7, special=7, divide=7)  # as a narrow one

# Moves and views compute nothing.
case("cast", Cast("float16"), [(2, 3, 4)], (2, 3, 4))
case("concat", Concat(), [(1, 64, 28, 28), (1, 128, 28, 28), (1, 32, 28, 28), (1, 32, 28, 28)], (1, 256, 28, 28))
case("concat-last-axis", Concat(axis=-1), [(2, 3, 4), (2, 3, 5)], (2, 3, 9))
case("concat-first-axis", Concat(axis=0), [(2, 3), (1, 3), (4, 3)], (7, 3))
case("concat-one", Concat(), [(2, 3)], (2, 3))
case("transpose", Transpose((0, 2, 1)), [(2, 3, 4)], (2, 4, 3))
case("transpose-cycle", Transpose((0, 2, 3, 1)), [(1, 3, 8, 9)], (1, 8, 9, 3))  # not its own inverse
case("slice-beyond-the-end", Slice((0, 3), (9, 9)), [(2, 5)], (2, 2))  # 3 and 4 of 5
case("slice", Slice((0, 0, 1, 1), (None, None, 9, -1)), [(1, 8, 9, 9)], (1, 8, 8, 7))  # rows 1 to 8, columns 1 to 7
case("slice-from-the-end", Slice((0, -3), (None, None)), [(2, 10)], (2, 3))
case("slice-steps", Slice((0, 1), (None, 9), (1, 3)), [(2, 10)], (2, 3))  # 1, 4, 7
case("slice-steps-from-the-end", Slice((0, -5), (None, None), (2, 2)), [(4, 10)], (2, 3))  # 0, 2; 5, 7, 9
case("pad-value", Pad((0, 1, 0, 2), value=-1.5), [(2, 5)], (2, 8))
case("pad", Pad((0, 0, 0, 0, 0, 0, 1, 2)), [(1, 8, 9, 9)], (1, 8, 10, 11))
case("pad-both-sides", Pad((0, 1, 2, 0, 3, 4)), [(2, 5, 6)], (2, 5 + 1 + 3, 6 + 2 + 4))
case("shuffle", ChannelShuffle(3), [(1, 240, 28, 28)], (1, 240, 28, 28))
case("flatten", Flatten(), [(2, 512, 7, 7)], (2, 25088))
case("flatten-tail", Flatten(axis=2), [(2, 3, 4, 5)], (2, 3, 20))
case("flatten-all", Flatten(axis=0), [(2, 3, 4)], (24,))
case("flatten-from-the-end", Flatten(axis=-2), [(2, 3, 4, 5)], (2, 3, 20))
case("reshape", Reshape((4, 6)), [(2, 3, 4)], (4, 6))
case("reshape-rest", Reshape((2, -1, 2)), [(2, 3, 4)], (2, 6, 2))
case("reshape-keep-and-rest", Reshape((0, 0, -1)), [(2, 768, 14, 14)], (2, 768, 196))
case("reshape-heads", Reshape((0, 12, 64, -1)), [(2, 768, 5)], (2, 12, 64, 5))
case("dropout", Dropout(), [(2, 4096)], (2, 4096))

# Normalisations.
case(
    "batchnorm",
    BatchNorm(),
    [(2, 32, 112, 112)],
    (2, 32, 112, 112),
    weights={"gamma": (32,), "beta": (32,)},
    buffers={"mean": (32,), "variance": (32,)},
    add=2 * (2 * 32 * 112 * 112),  # subtract mean, add beta
    multiply=2 * (2 * 32 * 112 * 112),  # by 1/sigma, by gamma
)
case(
    "batchnorm-vectors",
    BatchNorm(channels=100),
    [(8, 100)],
    (8, 100),
    weights={"gamma": (100,), "beta": (100,)},
    buffers={"mean": (100,), "variance": (100,)},
    add=2 * 8 * 100,
    multiply=2 * 8 * 100,
)
case("softmax", Softmax(), [(2, 1000)], (2, 1000), special=2 * 1000, add=2 * 1000, divide=2 * 1000)
case("softmax-first-axis", Softmax(axis=-2), [(3, 4)], (3, 4), special=3 * 4, add=3 * 4, divide=3 * 4)
case(
    "softmax-last-axis",
    Softmax(axis=-1),
    [(1, 12, 64, 64)],
    (1, 12, 64, 64),
    special=12 * 64 * 64,
    add=12 * 64 * 64,
    divide=12 * 64 * 64,
)

# Activations on 2 * 3 * 4 * 5 = 120 values.
case("relu", Relu(), [MAP], MAP, compare=120)
case("relu-any-rank", Relu(), [(7,)], (7,), compare=7)
case("relu6", Relu6(), [MAP], MAP, compare=2 * 120)  # with 0, with 6
case("leaky-relu", LeakyRelu(), [MAP], MAP, compare=120, multiply=120)  # with 0; by the slope
case("prelu", PRelu(), [MAP], MAP, weights={"slope": (3,)}, compare=120, multiply=120)  # one slope a channel
case("prelu-vectors", PRelu(), [(2, 7)], (2, 7), weights={"slope": (7,)}, compare=14, multiply=14)
case("prelu-shared", PRelu(shared=True), [MAP], MAP, weights={"slope": (1,)}, compare=120, multiply=120)
case("clip", Clip(-1.0, 2.5), [MAP], MAP, compare=2 * 120)
case("clip-below", Clip(-1.0), [MAP], MAP, compare=120)
case("clip-above", Clip(high=0.5), [(7,)], (7,), compare=7)
case("clip-not-at-all", Clip(), [(7,)], (7,))
case("elu", Elu(), [MAP], MAP, compare=120, special=120, add=120, multiply=120)  # with 0; exp; -1; by alpha
case("sigmoid", Sigmoid(), [MAP], MAP, special=120, add=120, divide=120)  # exp; +1; 1/
case("tanh", Tanh(), [MAP], MAP, special=120)
case("silu", Silu(), [MAP], MAP, special=120, add=120, divide=120)  # exp; +1; x/
case("gelu", Gelu(), [MAP], MAP, multiply=3 * 120, special=120, add=120)  # by 1/sqrt(2), x, 1/2; erf; +1
case("softplus", Softplus(), [MAP], MAP, special=2 * 120, add=120)  # exp, log; +1
case("hard-sigmoid", HardSigmoid(), [MAP], MAP, multiply=120, add=120, compare=2 * 120)  # by 1/6; +1/2; 0, 1
case("hard-sigmoid-onnx", HardSigmoid(0.2, 0.4), [MAP], MAP, multiply=120, add=120, compare=2 * 120)
case("hard-swish", HardSwish(), [MAP], MAP, multiply=2 * 120, add=120, compare=2 * 120)  # as that, and by x

case("tanh-gelu", TanhGelu(), [MAP], MAP, multiply=6 * 120, special=120, add=2 * 120)
case("mish", Mish(), [MAP], MAP, special=3 * 120, add=120, multiply=120)  # exp, log, tanh; +1; by x
case("selu", Selu(), [MAP], MAP, compare=120, special=120, add=120, multiply=2 * 120)  # 0; exp; -1; alpha, gamma
case("celu", Celu(0.5), [MAP], MAP, compare=120, special=120, add=120, multiply=2 * 120)  # 0; exp; -1; 1/alpha, alpha
case("thresholded-relu", ThresholdedRelu(), [MAP], MAP, compare=120)
case("shrink", Shrink(0.1), [MAP], MAP, compare=2 * 120, add=120)  # both limits; the bias
case("softsign", Softsign(), [MAP], MAP, compare=120, add=120, divide=120)  # |x|; +1; x/
case("swiglu", SwiGlu(), [MAP, MAP], MAP, special=120, add=120, divide=120, multiply=120)  # exp; +1; a/; by b
case("swiglu-alpha", SwiGlu(1.7), [MAP, MAP], MAP, special=120, add=120, divide=120, multiply=2 * 120)  # and by alpha
case("is-inf", IsInf(positive=False), [MAP], MAP, compare=120)
case("bitwise-not", BitwiseNot(), [MAP], MAP, types=("int32",), compare=120)
for of_two in (BitwiseAnd, BitwiseOr, BitwiseXor):
    case(of_two.kind.lower(), of_two(), [(2, 3), (1, 3)], (2, 3), types=("int32", "int32"), compare=6)
case("bit-shift", BitShift((), right=True), [(2, 3)], (2, 3), types=("uint8",), buffers={"constant": ()}, compare=6)
case("mean", Mean(), [(2, 3), (3,), (2, 1)], (2, 3), add=2 * 6, multiply=6)
case("mean-held", Mean((None, (3,))), [(2, 3)], (2, 3), weights={"part2": (3,)}, add=6, multiply=6)
case("hardmax", Hardmax(-1), [(2, 10)], (2, 10), compare=20)
case("lp-norm", LpNorm(1), [(2, 3, 4)], (2, 3, 4), multiply=24, add=24, special=8, divide=24)  # squares; sums; roots
case("l1-norm", LpNorm(-1, 1), [(2, 3, 4)], (2, 3, 4), compare=24, add=24, divide=24)
case(
    "mean-variance-norm",
    MeanVarianceNorm(),
    [(2, 3, 5, 5)],
    (2, 3, 5, 5),
    add=3 * (49 + 50 + 49 + 1),  # 2 maps of 25: as of a norm without gamma and beta
    multiply=3 * (1 + 50 + 1 + 50),
    special=3,
    divide=3,
)
case("cumprod", CumProd(axis=1), [(2, 3, 4)], (2, 3, 4), multiply=24)
case(
    "lp-pool",
    LpPool(3, 2, pads=1),
    [(2, 4, 7, 7)],
    (2, 4, 4, 4),
    multiply=2 * 4 * 16 * 9,
    add=2 * 4 * 16 * 9,
    special=2 * 4 * 16,
)
case("l1-pool", LpPool((2,), p=1), [(1, 3, 8)], (1, 3, 4), compare=3 * 4 * 2, add=3 * 4 * 2)
case("global-lp-pool", GlobalLpPool(), [(2, 6, 3, 5)], (2, 6, 1, 1), multiply=180, add=180, special=12)
case("global-l1-pool", GlobalLpPool(1), [(2, 6, 3)], (2, 6, 1), compare=36, add=36)
for function in (Tan, Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh):
    case(function.kind.lower(), function(), [MAP], MAP, special=120)
for function, work in {
    Abs: {"compare": 120}, Neg: {"add": 120}, Sign: {"compare": 240}, Floor: {"add": 120}, Ceil: {"add": 120},
    Round: {"add": 120}, Reciprocal: {"divide": 120}, Sqrt: {"special": 120}, Exp: {"special": 120},
    Log: {"special": 120}, Sin: {"special": 120}, Cos: {"special": 120}, Erf: {"special": 120},
    Not: {"compare": 120}, IsNaN: {"compare": 120},
}.items():  # fmt: skip
    case(function.kind.lower(), function(), [MAP], MAP, **work)

# Whole numbers that stand for fractions. 120 elements; a zero point is off each element that flows.
SCALES = {"scale": (), "zero_point": ()}
OF_THREE = {f"{of}_{name}": () for of in "aby" for name in ("scale", "zero_point")}
case("quantize", QuantizeLinear(), [MAP], MAP, buffers=SCALES, divide=120, add=2 * 120, compare=2 * 120)
case(
    "quantize-blocks",
    QuantizeLinear("int4", axis=1, block_size=2, zero_point=False),
    [(2, 5, 3)],
    (2, 5, 3),
    buffers={"scale": (2, 3, 3)},  # blocks of 2, 2 and 1 elements
    divide=30,
    add=30,  # round
    compare=60,
)
case("dequantize", DequantizeLinear(), [MAP], MAP, types=("uint8",), buffers=SCALES, add=120, multiply=120)
case(
    "dequantize-channels",
    DequantizeLinear(axis=-2, zero_point=False, from_dtype="int8"),
    [(2, 5, 3)],
    (2, 5, 3),
    types=("int8",),
    buffers={"scale": (5,)},
    multiply=30,
)
case(
    "quantize-dynamic",
    DynamicQuantizeLinear(),
    [MAP],
    MAP,
    more=((), ()),
    compare=4 * 120 + 2,  # smallest, largest, both ends; both ends of the zero point
    divide=120 + 2,  # x / scale; range / 255, smallest / scale
    add=2 * 120 + 2,  # round, zero point; range, round
)
case(
    "qlinear-conv",
    QLinearConv(8, 3, pads=1, groups=2, per_filter=True),
    [(2, 4, 5, 6)],
    (2, 8, 5, 6),
    types=("uint8",),
    weights={"weight": (8, 2, 3, 3), "bias": (8,)},
    buffers={
        "x_scale": (), "x_zero_point": (), "weight_scale": (8,), "weight_zero_point": (8,), "y_scale": (),
        "y_zero_point": (),
    },
    loops=(2, 2, 30, 4, 18),
    macs=2 * 8 * 30 * 18,
    multiply=480,
    add=2 * 480 + 240,  # round, zero point of y; zero point of x
    compare=2 * 480,
)  # fmt: skip
case(
    "conv-integer",
    ConvInteger(8, 3, x_zero_point="constant"),
    [(1, 4, 5, 6)],
    (1, 8, 3, 4),
    types=("uint8",),
    weights={"weight": (8, 4, 3, 3)},
    buffers={"x_zero_point": ()},
    loops=(1, 1, 12, 8, 36),
    macs=8 * 12 * 36,
    add=120,
)
case(
    "matmul-integer",
    MatMulInteger((6, 7), a_zero_point="operand", b_zero_point=True),
    [(2, 5, 6), ()],
    (2, 5, 7),
    types=("uint8", "uint8"),
    weights={"constant": (6, 7)},
    buffers={"b_zero_point": ()},
    loops=(2, 1, 5, 7, 6),
    macs=2 * 5 * 7 * 6,
    add=60,
)
case(
    "matmul-integer-of-two",
    MatMulInteger(b_zero_point=True),
    [(5, 6), (6, 7)],
    (5, 7),
    types=("uint8", "int8"),
    buffers={"b_zero_point": ()},
    loops=(1, 1, 5, 7, 6),
    macs=5 * 7 * 6,
    add=42,
)
case(
    "qlinear-matmul",
    QLinearMatMul((6, 7), per_column=True),
    [(2, 5, 6)],
    (2, 5, 7),
    types=("uint8",),
    weights={"constant": (6, 7)},
    buffers=OF_THREE | {"b_scale": (7,), "b_zero_point": (7,)},
    loops=(2, 1, 5, 7, 6),
    macs=2 * 5 * 7 * 6,
    multiply=70,
    add=2 * 70 + 60,
    compare=2 * 70,
)
case("qlinear-add", QLinearAdd(), [MAP, MAP], MAP, types=("uint8",) * 2, buffers=OF_THREE, add=5 * 120,
     multiply=2 * 120, divide=120, compare=2 * 120)  # fmt: skip
case("qlinear-mul", QLinearMul(), [MAP, MAP], MAP, types=("uint8",) * 2, buffers=OF_THREE, add=4 * 120,
     multiply=3 * 120, divide=120, compare=2 * 120)  # fmt: skip
case(
    "qlinear-mean",
    QLinearGlobalAveragePool(),
    [(2, 3, 4, 5)],
    (2, 3, 1, 1),
    types=("uint8",),
    buffers={f"{of}_{name}": () for of in "xy" for name in ("scale", "zero_point")},
    add=6 * (19 + 3),  # the sum; the zero points, round, the zero point of y
    multiply=6,
    compare=12,
)

every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def test_every_operator_has_a_case():
    missing = set(Op.registry) - {case.op.kind for case in CASES}
    assert not missing, f"operators without a hand-computed case: {sorted(missing)}"


def test_case_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


@every_case
def test_output_shape(case):
    assert case.op.shapes(*case.inputs) == (case.output, *case.more)


@every_case
def test_weights(case):
    weights = case.op.weights(*case.inputs)
    assert {w.name: w.shape for w in weights if w.kind == "parameter"} == case.weights
    assert {w.name: w.shape for w in weights if w.kind == "buffer"} == case.buffers
    assert len(weights) == len(case.weights) + len(case.buffers)


@every_case
def test_loop_nest(case):
    assert tuple(case.op.loops(*case.inputs)) == case.loops


@every_case
def test_work(case):
    assert case.op.work(*case.inputs) == Work(macs=case.macs, **case.work)


@every_case
def test_elementwise_is_all_but_macs(case):
    assert case.op.work(*case.inputs).elementwise == sum(case.work.values())


def test_only_views_share_memory():
    assert {name for name, op in Op.registry.items() if op.view} == {"Dropout", "Flatten", "Reshape"}


@pytest.mark.parametrize(
    ("op", "window"),
    [
        (Conv(1, kernel=3), ((3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)))),
        (Conv(1, kernel=(3, 5), stride=2, dilation=(1, 2)), ((3, 5), (2, 2), (1, 2), ((0, 0), (0, 0)))),
        (Conv(1, kernel=3, pads=(2, 1)), ((3, 3), (1, 1), (1, 1), ((2, 2), (1, 1)))),
        (Conv(1, kernel=3, pads=(1, 2, 3, 4)), ((3, 3), (1, 1), (1, 1), ((1, 3), (2, 4)))),
        (Conv(1, kernel=[3, 3], pads=[1, 2]), ((3, 3), (1, 1), (1, 1), ((1, 1), (2, 2)))),
        (Conv(1, kernel=(3,), pads=(1, 2)), ((3,), (1,), (1,), ((1, 2),))),
        (MaxPool(kernel=2), ((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)))),
        (MaxPool(kernel=(3, 2), stride=1), ((3, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))),
        (AveragePool(kernel=(1, 2, 3)), ((1, 2, 3), (1, 2, 3), (1, 1, 1), ((0, 0), (0, 0), (0, 0)))),
    ],
    ids=repr,
)
def test_friendly_attributes_become_one_number_per_axis(op, window):
    assert tuple(op.window) == window


@pytest.mark.parametrize(
    ("kernel", "dilation", "extent"), [((3, 3), (1, 1), (3, 3)), ((3, 2), (2, 5), (5, 6)), ((1,), (9,), (1,))]
)
def test_extent_is_what_a_dilated_window_spans(kernel, dilation, extent):
    assert Conv(1, kernel=kernel, dilation=dilation).window.extent == extent


def test_operators_without_window_have_none():
    windowed = {case.op.kind for case in CASES if case.op.window is not None}
    assert windowed == {
        "AveragePool",
        "Conv",
        "ConvInteger",
        "DeformConv",
        "LpPool",
        "MaxPool",
        "PlacedMaxPool",
        "QLinearConv",
    }


def test_operators_of_equal_attributes_are_equal():
    assert Conv(8, kernel=3, pads=1) == Conv(8, kernel=(3, 3), pads=(1, 1, 1, 1))
    assert Conv(8, kernel=3) != Conv(8, kernel=3, bias=False)
    assert Relu() == Relu()
    assert Relu() != Tanh()


def test_defaults_are_those_of_onnx():
    assert (BatchNorm().epsilon, LeakyRelu().slope, Elu().alpha) == (1e-5, 0.01, 1.0)
    assert (Lrn().alpha, Lrn().beta, Lrn().k) == (1e-4, 0.75, 1.0)
    assert AveragePool(2).count_include_pad is MaxPool(2).ceil_mode is False


def test_work_adds_up_kind_by_kind():
    one = Work(macs=1, add=2, multiply=3, compare=4, divide=5, special=6)
    assert one.plus(Work(macs=10, special=20)) == Work(11, 2, 3, 4, 5, 26)
    assert one.elementwise == 2 + 3 + 4 + 5 + 6


def test_the_table_of_the_standard_convention():
    rows = {row["operator"]: row for row in standard_table().rows()}
    assert rows.keys() == Op.registry.keys()
    assert [name for name, row in rows.items() if row["macs"]] == [
        "AffineGrid", "Attention", "CausalConv", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU",
        "LSTM", "Linear", "LinearAttention", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN",
    ]  # fmt: skip
    per_unit = {"BatchNorm": 4, "Softmax": 3, "Relu": 1, "Relu6": 2, "Gelu": 5, "MaxPool": 1, "Concat": 0, "Conv": 0}
    assert {name: rows[name]["operations"] for name in per_unit} == per_unit
    assert rows["MaxPool"]["per"] == "window element"
    assert rows["GlobalAveragePool"]["per"] == "input element"
    assert (rows["BatchNorm"]["add"], rows["BatchNorm"]["multiply"], rows["BatchNorm"]["per"]) == (
        2,
        2,
        "output element",
    )


def test_operators_that_compute_say_what():
    assert not [name for name, op in Op.registry.items() if bool(op.each.elementwise) != bool(op.why)]
    assert not [name for name, op in Op.registry.items() if op.per_row.elementwise and not op.row_why]


def test_a_bias_is_free_where_it_starts_a_sum_of_products_and_not_where_beta_is_added():
    free = {name for name, op in Op.registry.items() if "bias starts the sum" in stated(op)}
    assert {"Conv", "Linear", "CausalConv", "LSTM"} <= free
    assert not free & {"LayerNorm", "GroupNorm", "InstanceNorm", "TrainingBatchNorm", "Shrink", "MatMul"}


def test_a_mean_has_as_many_operations_as_values():
    means = ("AveragePool", "GlobalAveragePool", "Mean", "ReduceMean")
    assert all(sum(Op.registry[name].per_row) == 0 != any(Op.registry[name].per_row) for name in means)


def test_a_second_operator_of_the_same_name_is_refused():
    with pytest.raises(TypeError, match=r"'Relu' is registered already, by costmodel\.ops\.activation"):
        type("Relu", (Op,), {})
    assert Op.registry["Relu"] is Relu


def test_an_abstract_operator_is_not_registered():
    type("Unfinished", (Op,), {}, abstract=True)
    assert "Unfinished" not in Op.registry


def test_an_operator_without_shape_rule_says_so():
    unfinished = type("Unfinished", (Op,), {}, abstract=True)
    with pytest.raises(NotImplementedError, match="Unfinished has no shape rule"):
        unfinished().shape((1, 2))
