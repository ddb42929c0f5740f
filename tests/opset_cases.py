"""One small node of each operator of ONNX, in each form that it had from operator set 7 on.

An operator's rows are tried at every version of it that lies in their range, so a form that went (an attribute that
became an input, an input that was added) needs a row with ``until`` and one with ``since``, and no other does. A tuple
is the shape of a map of 32-bit floats, :class:`Map` that of another type; arrays and numbers are constants, and None is
an input that is left out.
"""

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray


class Map(NamedTuple):
    shape: tuple
    dtype: str


class Row(NamedTuple):
    inputs: tuple
    attributes: dict[str, Any]
    since: int
    until: int
    outputs: int
    shapes: list | None


def row(*inputs, since=1, until=1000, outputs=1, shapes=None, **attributes):
    """A node; ``shapes`` are those of its outputs, worked out by hand, where onnx infers none."""
    return Row(inputs, attributes, since, until, outputs, shapes)


def numbers(*values):
    return np.array(values, np.int64)


def weights(*shape):
    return np.full(shape, 0.25, np.float32)


def one_byte(*shape):
    return np.full(shape, 3, np.uint8)


X = (2, 4, 6, 8)
BOOL, INT, BYTE = Map(X, "bool"), Map(X, "int64"), Map(X, "uint8")
SCALE, ZERO = np.float32(0.5), np.uint8(3)
TENSOR = numpy_helper.from_array(np.ones((2, 3), np.float32))


def graph(inputs, nodes, outputs):
    """A graph inside a node; inputs are names, or names with their shapes."""
    return helper.make_graph(
        [helper.make_node(*node) for node in nodes],
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs],
    )


BRANCH = {
    "then_branch": graph([], [("Relu", ["i1"], ["a"])], [("a", 1)]),
    "else_branch": graph([], [("Tanh", ["i1"], ["b"])], [("b", 1)]),
}
LOOPED = graph(
    [("trip", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("h", 1, X)],
    [("Identity", ["go"], ["on"]), ("Relu", ["h"], ["k"]), ("Tanh", ["k"], ["m"])],
    [("on", TensorProto.BOOL), ("k", 1), ("m", 1)],
)
SCANNED = graph(
    [("h", 1, (3,)), ("part", 1, (3,))],
    [("Add", ["h", "part"], ["k"]), ("Relu", ["k"], ["m"])],
    [("k", 1), ("m", 1)],
)

unary = [row(X), row((3,))]
binary = [row(X, X), row(X, (8,)), row((4, 1, 8), X), row(X, weights(4, 1, 1))]
arithmetic = [*binary, row(INT, INT)]
compared = [row(X, X), row(X, (8,))]
logical = [row(BOOL, BOOL), row(BOOL, Map((8,), "bool"))]
several = [row(X, X, (1, 4, 1, 8)), row(X), row(X, X)]
whole = [row(X), row((2, 4, 9))]
shares = [row(X), row((2, 5)), row(X, axis=2), row(X, axis=-1, since=11)]
found = [row(X), row(X, axis=2, keepdims=0), row(X, axis=-1, since=11)]


def reduced(axes_since):
    return [
        row(X),
        row(X, keepdims=0),
        row(X, axes=[1, 3], until=axes_since - 1),
        row(X, axes=[2], keepdims=0, until=axes_since - 1),
        row(X, axes=[-1], since=11, until=axes_since - 1),
        row(X, numbers(1, -1), since=axes_since),
        row(X, numbers(2), keepdims=0, since=axes_since),
        row(X, None, noop_with_empty_axes=0, since=axes_since),
    ]


window = [row(np.int64(10)), row(np.int64(7), periodic=0)]
pooled = [
    row(X, kernel_shape=[2, 3]),
    row(X, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 1]),
    row(X, kernel_shape=[3, 2], strides=[2, 1], auto_pad="SAME_LOWER"),
    row(X, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, since=10),
    row((2, 4, 9), kernel_shape=[3]),
    row((2, 4, 6, 7, 8), kernel_shape=[3, 3, 3], auto_pad="VALID"),
]

CASES: dict[str, list[Row]] = {
    **dict.fromkeys(
        ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Identity", "IsNaN", "Log", "Mish", "Neg",
         "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Swish", "Tanh"), unary),
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), arithmetic),
    **dict.fromkeys(("Greater", "Less", "GreaterOrEqual", "LessOrEqual"), compared),
    **dict.fromkeys(("And", "Or", "Xor"), logical),
    **dict.fromkeys(("Max", "Min", "Sum"), several),
    **dict.fromkeys(("ArgMax", "ArgMin"), found),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                     "ReduceProd", "ReduceSumSquare"), reduced(18)),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), whole),
    **dict.fromkeys(("LogSoftmax", "Softmax"), shares),
    "Attention": [
        row((1, 2, 5, 8), (1, 2, 6, 8), (1, 2, 6, 8)),
        row((1, 5, 16), (1, 6, 16), (1, 6, 16), q_num_heads=2, kv_num_heads=2),
    ],
    "AveragePool": [*pooled, row(X, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
                    row(X, kernel_shape=[2, 2], dilations=[2, 2], since=19)],
    "BatchNormalization": [
        row(X, weights(4), weights(4), weights(4), weights(4)),
        row(X, weights(4), weights(4), weights(4), weights(4), spatial=1, until=8),
        row((2, 4), weights(4), weights(4), weights(4), weights(4), epsilon=0.1, momentum=0.5),
        row(X, weights(4), weights(4), weights(4), weights(4), training_mode=0, since=14),
    ],
    "Cast": [row(X, to=TensorProto.FLOAT16), row(X, to=TensorProto.INT64), row(X, to=TensorProto.FLOAT),
             row(X, to=TensorProto.BFLOAT16, since=13), row(X, to=TensorProto.FLOAT8E4M3FN, saturate=0, since=19)],
    "CastLike": [row(X, INT), row(X, X)],
    "Clip": [row(X, min=0.0, max=6.0, until=10), row(X, max=3.0, until=10), row(X), row(X, np.float32(-1), since=11),
             row(X, None, np.float32(2), since=11)],
    "Concat": [row(X, X, axis=1), row(X, (2, 1, 6, 8), axis=1), row(X, X, axis=-1, since=11), row(X, axis=0)],
    "Constant": [row(value=TENSOR), row(value_float=1.0, since=12), row(value_floats=[1.0, 2.0], since=12),
                 row(value_int=3, since=12), row(value_ints=[1, 2, 3], since=12)],
    "ConstantOfShape": [row(numbers(2, 3)), row(numbers(4), value=numpy_helper.from_array(np.array([7])))],
    "Conv": [
        row(X, weights(6, 4, 3, 3), weights(6), pads=[1, 1, 1, 1]),
        row(X, weights(8, 1, 3, 2), group=4, strides=[2, 1], auto_pad="SAME_UPPER"),
        row((2, 4, 9), weights(3, 4, 3), dilations=[2]),
    ],
    "ConvInteger": [row(BYTE, one_byte(6, 4, 3, 3), ZERO, ZERO), row(BYTE, one_byte(6, 4, 3, 3), pads=[1, 1, 1, 1])],
    "ConvTranspose": [
        row(X, weights(4, 3, 3, 3), weights(3), strides=[2, 2]),
        row(X, weights(4, 2, 2, 2), group=2, pads=[1, 0, 0, 1], output_padding=[1, 0], strides=[2, 2]),
    ],
    "CumSum": [row(X, np.int64(1)), row(X, np.int64(-1), exclusive=1, reverse=1)],
    "DepthToSpace": [row(X, blocksize=2), row(X, blocksize=2, mode="CRD", since=11)],
    "DequantizeLinear": [row(BYTE, SCALE, ZERO), row(BYTE, SCALE),
                         row(BYTE, weights(4), one_byte(4), axis=1, since=13)],
    "Dropout": [row(X), row(X, ratio=0.3, until=11), row(X, np.float32(0.3), since=12),
                row(X, np.float32(0.3), np.bool_(False), since=12)],
    "DynamicQuantizeLinear": [row(X, outputs=3)],
    "Einsum": [row((2, 3), (3, 4), equation="ij,jk->ik"), row(X, equation="abcd->abdc")],
    "Elu": [*unary, row(X, alpha=0.5)],
    "Equal": [row(INT, INT), row(INT, np.int64(3)), row(BOOL, Map((8,), "bool")), row(X, X, since=11)],
    "Expand": [row((4, 1, 8), numbers(2, 4, 6, 8)), row((4, 1), numbers(3, 1, 5))],
    "Flatten": [row(X), row(X, axis=2), row(X, axis=0), row(X, axis=-1, since=11)],
    "Gather": [row(X, numbers(1, 0), axis=1), row(X, np.array([[0, 1], [2, 3]]), axis=2), row(X, np.int64(1)),
               row((9, 4), Map((2, 3), "int64")), row(X, numbers(-1), axis=-1, since=11)],
    "GatherElements": [row(X, Map((2, 2, 6, 8), "int64"), axis=1), row((3, 4), np.array([[0, 1]]), axis=0)],
    "GatherND": [row((3, 4, 5), Map((2, 2), "int64")),
                 row((3, 4, 5), np.array([[[1]], [[0]], [[2]]]), batch_dims=1, since=12)],
    "Gelu": [*unary, row(X, approximate="tanh")],
    "Gemm": [row((2, 5), weights(5, 7), weights(7)), row((5, 2), weights(7, 5), weights(1, 7), transA=1, transB=1),
             row((2, 5), (5, 7), (2, 7), alpha=0.5, beta=2.0), row((2, 5), weights(5, 7), since=11)],
    "GroupNormalization": [row(X, weights(2), weights(2), num_groups=2, until=20),
                           row(X, weights(4), weights(4), num_groups=2, since=21, shapes=[X])],
    "HardSigmoid": [*unary, row(X, alpha=0.3, beta=0.4)],
    "If": [row(np.array(True), X, **BRANCH), row(np.array(False), X, **BRANCH)],
    "InstanceNormalization": [row(X, weights(4), weights(4)), row((2, 4, 9), weights(4), weights(4), epsilon=0.1)],
    "LSTM": [
        row((5, 2, 3), weights(1, 16, 3), weights(1, 16, 4), weights(1, 32), outputs=3, hidden_size=4),
        row((5, 2, 3), weights(2, 16, 3), weights(2, 16, 4), None, Map((2,), "int32"), (2, 2, 4), (2, 2, 4),
            weights(2, 12), outputs=3, hidden_size=4, direction="bidirectional", input_forget=1),
        row((2, 5, 3), weights(1, 16, 3), weights(1, 16, 4), since=14, outputs=3, hidden_size=4, layout=1),
    ],
    "GRU": [
        row((5, 2, 3), weights(1, 12, 3), weights(1, 12, 4), weights(1, 24), outputs=2, hidden_size=4),
        row((2, 5, 3), weights(2, 12, 3), weights(2, 12, 4), since=14, outputs=2, hidden_size=4, layout=1,
            direction="bidirectional", linear_before_reset=1),
    ],
    "RNN": [
        row((5, 2, 3), weights(1, 4, 3), weights(1, 4, 4), weights(1, 8), outputs=2, hidden_size=4, clip=0.5),
        row((2, 5, 3), weights(1, 4, 3), weights(1, 4, 4), since=14, outputs=2, hidden_size=4, layout=1),
    ],
    "LRN": [row(X, size=3), row(X, size=5, alpha=0.1, beta=0.5, bias=2.0)],
    "LayerNormalization": [row(X, weights(8), weights(8)), row(X, weights(6, 8), axis=2), row(X, weights(8), axis=-1)],
    "LeakyRelu": [*unary, row(X, alpha=0.3)],
    "Loop": [row(np.int64(3), np.array(True), X, body=LOOPED, outputs=2, shapes=[X, (3, *X)]),
             row(np.int64(2), None, X, body=LOOPED, outputs=2, shapes=[X, (2, *X)])],
    "MatMul": [row((2, 5), weights(5, 7)), row((2, 3, 5), (5, 7)), row((2, 3, 4, 5), (3, 5, 4)),
               row((5,), weights(5, 7)), row((2, 3, 5), weights(5)),
               row((5,), (5,)), row((2, 3, 5), (5,)), row((3,), (4, 3, 2))],
    "MatMulInteger": [row(Map((2, 5), "uint8"), one_byte(5, 7)), row(Map((2, 5), "uint8"), one_byte(5, 7), ZERO, ZERO)],
    "MaxPool": [*pooled, row(X, kernel_shape=[2, 2], dilations=[2, 2], since=10)],
    "Mod": [row(INT, INT), row(X, X, fmod=1)],
    "Not": [row(BOOL)],
    "PRelu": [row(X, weights(4, 1, 1)), row(X, weights(1))],
    "Pad": [row(X, pads=[0, 0, 1, 2, 0, 0, 3, 4], until=10), row(X, pads=[0, 0, 1, 1] * 2, mode="reflect", until=10),
            row(X, pads=[0] * 7 + [1], value=0.5, until=10), row(X, numbers(0, 0, 1, 2, 0, 0, 3, 4), since=11),
            row(X, numbers(0, 0, 1, 2, 0, 0, 3, 4), np.float32(1), since=11),
            row(X, numbers(0, 0, 1, 2, 0, 0, 3, 4), mode="edge", since=11),
            row(X, numbers(1, 2), None, numbers(-1), since=18),
            row(X, numbers(1, 2), None, numbers(2), mode="wrap", since=19)],
    "Pow": [row(X, X), row(X, np.float32(2)), row(X, np.int64(2), since=12)],
    "QLinearConv": [row(BYTE, SCALE, ZERO, one_byte(6, 4, 3, 3), SCALE, ZERO, SCALE, ZERO)],
    "QLinearMatMul": [row(Map((2, 5), "uint8"), SCALE, ZERO, one_byte(5, 7), SCALE, ZERO, SCALE, ZERO)],
    "QuantizeLinear": [row(X, SCALE, ZERO), row(X, SCALE), row(X, weights(4), one_byte(4), axis=1, since=13)],
    "RMSNormalization": [row(X, weights(8)), row(X, weights(6, 8), axis=2)],
    "Range": [row(np.int64(1), np.int64(9), np.int64(3)), row(np.float32(5), np.float32(0), np.float32(-2))],
    "ReduceSum": reduced(13),
    "Reshape": [row(X, numbers(2, -1)), row(X, numbers(0, 0, 48)), row(X, numbers(2, 4, 48), allowzero=1, since=14)],
    "Resize": [
        row(X, np.float32([1, 1, 2, 0.5]), until=10), row(X, np.float32([1, 1, 2, 2]), mode="linear", until=10),
        row(X, np.float32([]), np.float32([1, 1, 2, 2]), mode="cubic", since=11),
        row(X, np.float32([]), np.float32([]), numbers(2, 4, 5, 7), since=11),
        row(X, None, None, numbers(2, 4, 5, 7), mode="linear", since=13),
        row(X, None, None, numbers(5, 7), axes=[2, 3], since=18),
        row(X, None, np.float32([0.6, 2]), axes=[-1, 2], mode="linear", since=18),
        row(X, None, None, numbers(12, 12), axes=[2, 3], keep_aspect_ratio_policy="not_larger", since=18),
    ],
    "RotaryEmbedding": [row((2, 3, 4, 8), weights(9, 4), weights(9, 4), Map((2, 4), "int64"))],
    "Scan": [row(None, (2, 3), (2, 5, 3), body=SCANNED, num_scan_inputs=1, outputs=2, until=8),
             row((3,), (5, 3), body=SCANNED, num_scan_inputs=1, outputs=2, since=9),
             row((3,), (3, 5), body=SCANNED, num_scan_inputs=1, outputs=2, scan_input_axes=[1], scan_output_axes=[1],
                 since=9)],
    "ScatterND": [row((5, 4), np.array([[1], [3]]), (2, 4)), row((5, 4), np.array([[1, 2]]), (1,))],
    "Shape": [row(X), row(X, start=1, end=-1, since=15)],
    "Size": [row(X)],
    "Slice": [row(X, starts=[1, 0], ends=[2, 3], until=9), row(X, starts=[1], ends=[2**31], axes=[3], until=9),
              row(X, numbers(1), numbers(2**62), since=10), row(X, numbers(-3), numbers(-1), numbers(2), since=10),
              row(X, numbers(1, 0), numbers(6, 8), numbers(2, -1), numbers(2, 3), since=10)],
    "SpaceToDepth": [row(X, blocksize=2)],
    "Split": [row(X, axis=1, split=[1, 3], outputs=2, until=12), row(X, axis=3, outputs=2, until=17),
              row(X, numbers(2, 4), axis=2, outputs=2, since=13), row(X, axis=-1, outputs=3, num_outputs=3, since=18)],
    "Squeeze": [row((1, 4, 1, 3)), row((1, 4, 1, 3), axes=[2], until=12), row((1, 4, 1), axes=[-1], since=11, until=12),
                row((1, 4, 1, 3), numbers(0, -2), since=13)],
    "Tile": [row(X, numbers(1, 2, 1, 3))],
    "Transpose": [row(X), row(X, perm=[0, 2, 3, 1])],
    "Trilu": [row(X), row(X, np.int64(-1), upper=0)],
    "Unsqueeze": [row(X, axes=[0, 3], until=12), row(X, axes=[-1], since=11, until=12),
                  row(X, numbers(1, -1), since=13)],
    "Upsample": [row(X, scales=[1.0, 1.0, 2.0, 3.0], until=8),
                 row(X, np.float32([1, 1, 2, 2]), mode="linear", since=9)],
    "Where": [row(BOOL, X, X), row(Map((8,), "bool"), X, weights(1))],
    # Operators that onnx explains by others
    **dict.fromkeys(("Celu", "Selu", "Shrink", "Softsign", "ThresholdedRelu"), unary),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), window),
    "AffineGrid": [row((2, 2, 3), numbers(2, 3, 5, 6)), row((2, 3, 4), numbers(2, 3, 5, 6, 7), align_corners=1)],
    "CausalConvWithState": [row((1, 4, 8), weights(4, 1, 3), outputs=2)],
    "CenterCropPad": [row(X, numbers(2, 10), axes=[2, 3]), row(X, numbers(1, 5, 6, 7))],
    "MeanVarianceNormalization": [row(X, until=12), row(X, axes=[1, 2, 3])],
    "NegativeLogLikelihoodLoss": [row((3, 5), Map((3,), "int64")),
                                  row((3, 5, 2), Map((3, 2), "int64"), weights(5), reduction="none")],
    "SoftmaxCrossEntropyLoss": [row((3, 5), Map((3,), "int64")),
                                row((3, 5, 2), Map((3, 2), "int64"), reduction="none", outputs=2)],
    "SwiGLU": [row(X, X)],
}  # fmt: skip
"""An operator's name -> its rows."""

PLACES_IN_X = Map((2, 2, 6, 8), "int64")
SCALARS = {"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan"}
CASES |= {
    **{name: [row(X)] for name in SCALARS},
    "Bernoulli": [row(X), row(X, dtype=TensorProto.INT32)],
    "BitShift": [row(BYTE, Map((6, 8), "uint8"), direction="LEFT")],
    **{name: [row(INT, Map((6, 1), "int64"))] for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "BitwiseNot": [row(INT)],
    "CausalConvWithState": [row((2, 3, 5), weights(3, 1, 4), outputs=2)],
    "Col2Im": [row((2, 12, 9), numbers(4, 4), numbers(2, 2))],
    "Compress": [row(np.float32([1, 2, 3]), np.array([True, False, True]), shapes=[(2,)])],
    "CumProd": [row(X, np.array(1))],
    "DeformConv": [row((2, 4, 6, 8), weights(3, 4, 3, 3), (2, 18, 4, 6))],
    "EyeLike": [row((3, 4)), row((3, 4), dtype=TensorProto.DOUBLE)],
    "GlobalLpPool": [row(X, p=1)],
    "GridSample": [row(X, (2, 5, 7, 2))],
    "Hardmax": [row(X, axis=2)],
    "IsInf": [row(X)],
    "LinearAttention": [
        row((2, 3, 8), (2, 3, 4), (2, 3, 5), q_num_heads=2, kv_num_heads=1, update_rule="linear", outputs=2)
    ],
    "LpNormalization": [row(X, axis=1, p=1)],
    "LpPool": [row(X, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])],
    "MaxUnpool": [row((1, 2, 2, 2), Map((1, 2, 2, 2), "int64"), kernel_shape=[2, 2], strides=[2, 2])],
    "Mean": [row(X, X, until=7), row(X, (6, 1), since=8)],
    "MelWeightMatrix": [row(np.array(8), np.array(64), np.array(8192), np.float32(100), np.float32(4000))],
    "NonZero": [row(np.float32([[1, 0, 3]]), shapes=[(2, 2)])],
    "OneHot": [row(Map((2, 3), "int64"), np.array(5), np.float32([0, 1]), axis=1)],
    **{name: [row(shape=[2, 3])] for name in ("RandomNormal", "RandomUniform")},
    **{name: [row(X)] for name in ("RandomNormalLike", "RandomUniformLike")},
    "ReverseSequence": [row((4, 3, 2), Map((3,), "int64"))],
    "RoiAlign": [row(X, (5, 4), Map((5,), "int64"), output_height=3, output_width=2, sampling_ratio=2)],
    "Scatter": [row(X, PLACES_IN_X, (2, 2, 6, 8), axis=1)],
    "ScatterElements": [row(X, PLACES_IN_X, (2, 2, 6, 8), axis=1)],
    "TensorScatter": [row(X, (2, 4, 3, 8), Map((2,), "int64"))],
    "TopK": [row(X, until=9, k=3, outputs=2), row(X, numbers(3), since=10, axis=1, outputs=2)],
}  # fmt: skip

UNCASED: frozenset[str] = frozenset(
    {
        # These make or take what is no tensor.
        "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct",
        "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence",
        # How much these make or do depends on values that flow.
        "MaxRoiPool", "NonMaxSuppression", "Unique",
    }
)  # fmt: skip
"""Operators that are known, or that onnx explains, and that have no row yet."""
