"""Nodes of ONNX in every operator set that defines them: their shapes are ONNX's, their results ONNX Runtime's."""

import contextlib
import re

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from equations import onnx_runtime
from onnx import TensorProto, helper, numpy_helper

import costmodel
from costmodel import exporters
from costmodel.errors import CostModelError, WiringError
from costmodel.execute import execute
from costmodel.execute.verify import verify
from costmodel.graph import Input
from costmodel.ops import (
    AffineGrid,
    BitwiseAnd,
    BitwiseNot,
    CausalConv,
    Celu,
    Col2Im,
    DeformConv,
    GridSample,
    LinearAttention,
    LpNorm,
    LpPool,
    MaxUnpool,
    MeanVarianceNorm,
    OneHot,
    ReverseSequence,
    RoiAlign,
    ScatterElements,
    SwiGlu,
    TensorScatter,
    TopK,
)

RNG = np.random.default_rng(0)


def real(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype("float32")


def whole(*shape, low=0, high=8, dtype="int64"):
    return RNG.integers(low, high, shape, dtype)


IMAGE, ROWS = real(2, 3, 6, 7), real(3, 5)
BITS = {"x": whole(2, 5, dtype="uint8"), "b": whole(5, high=6, dtype="uint8")}
GRID = real(2, 4, 5, 2, low=-1.3, high=1.3)
REGIONS = np.float32([[0, 0, 5, 4], [1.3, 0.7, 4.2, 5.1], [-3, -2, 9, 12], [2, 3, 2.1, 3.2]])
FEATURES = {"x": real(2, 4, 6, 7), "o": real(2, 2 * 6 * 2, 5, 7, low=-1, high=1)}
PLACES = np.array([[0, 2, 1], [1, 0, 2]])
CASES = {
    **{kind: (kind, "x", {}, {"x": real(2, 5, low=-0.9, high=0.9)}, {}) for kind in (
        "Acos", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan", "Softsign", "Selu", "Celu",
        "ThresholdedRelu", "Shrink",
    )},
    "Acosh": ("Acosh", "x", {}, {"x": real(2, 5, low=1.1)}, {}),
    "selu by factors": ("Selu", "x", {"alpha": 0.7, "gamma": 1.5}, {"x": ROWS}, {}),
    "celu of another slope": ("Celu", "x", {"alpha": 2.5}, {"x": ROWS}, {}),
    "relu from there on": ("ThresholdedRelu", "x", {"alpha": 0.3}, {"x": ROWS}, {}),
    "shrink to another limit": ("Shrink", "x", {"lambd": 0.3, "bias": 0.2}, {"x": ROWS}, {}),
    "infinite": ("IsInf", "x", {}, {"x": np.float32([[1, np.inf, -np.inf, np.nan]])}, {}),
    "infinite above": ("IsInf", "x", {"detect_negative": 0}, {"x": np.float32([[1, np.inf, -np.inf]])}, {}),
    "bits of both": ("BitwiseAnd", "x b", {}, BITS, {}),
    "bits of either": ("BitwiseOr", "x b", {}, {"x": BITS["x"]}, {"b": BITS["b"]}),
    "bits of one": ("BitwiseXor", "x b", {}, {"b": BITS["b"]}, {"x": BITS["x"]}),
    "bits turned": ("BitwiseNot", "x", {}, {"x": whole(2, 3, low=-5)}, {}),
    "bits to the left": ("BitShift", "x b", {"direction": "LEFT"}, BITS, {}),
    "bits to the right": ("BitShift", "x b", {"direction": "RIGHT"}, {"x": BITS["x"]}, {"b": BITS["b"]}),
    "mean of three": ("Mean", "x b c", {}, {"x": ROWS, "c": real(5)}, {"b": real(3, 1)}),
    "mean of one": ("Mean", "x", {}, {"x": ROWS}, {}),
    "hardmax": ("Hardmax", "x", {}, {"x": IMAGE}, {}),
    "hardmax from an axis on": ("Hardmax", "x", {"axis": 2}, {"x": IMAGE}, {}),
    "norm of order 2": ("LpNormalization", "x", {}, {"x": IMAGE}, {}),
    "norm of order 1": ("LpNormalization", "x", {"axis": 1, "p": 1}, {"x": IMAGE}, {}),
    "norm of nothing": ("LpNormalization", "x", {}, {"x": np.float32([[0, 0], [0, 2]])}, {}),
    "mean and variance": ("MeanVarianceNormalization", "x", {}, {"x": IMAGE}, {}),
    "mean and variance of rows": ("MeanVarianceNormalization", "x", {"axes": [-1]}, {"x": ROWS}, {}),
    "running product": ("CumProd", "x axis", {"reverse": 1}, {"x": ROWS}, {"axis": np.array(1)}),
    "running product before": ("CumProd", "x axis", {"exclusive": 1}, {"x": ROWS}, {"axis": np.array(0)}),
    "gate": ("SwiGLU", "x b", {}, {"x": ROWS, "b": real(3, 5)}, {}),
    "gate by alpha": ("SwiGLU", "x b", {"alpha": 1.7}, {"x": ROWS, "b": real(3, 5)}, {}),
    "pool of order 2": ("LpPool", "x", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
                        {"x": IMAGE}, {}),
    "pool of order 1": ("LpPool", "x", {"kernel_shape": [2, 2], "p": 1, "auto_pad": "SAME_UPPER"}, {"x": IMAGE}, {}),
    "pool whose windows hang over": ("LpPool", "x", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
                                     {"x": IMAGE}, {}),
    "places of the largest": ("MaxPool", "x", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
                              {"x": IMAGE}, {}),
    "places of the largest, dilated": ("MaxPool", "x", {"kernel_shape": [2, 2], "dilations": [2, 1], "ceil_mode": 1},
                                       {"x": IMAGE}, {}),
    "back in their places": ("MaxUnpool", "x i", {"kernel_shape": [2, 2], "strides": [2, 2]},
                             {"x": real(1, 2, 2, 2), "i": np.array([0, 3, 9, 14, 17, 18, 27, 30]).reshape(1, 2, 2, 2)},
                             {}),
    "back in a larger map": ("MaxUnpool", "x i n", {"kernel_shape": [2], "strides": [2]},
                             {"x": real(1, 2, 2), "i": np.array([[[1, 4], [6, 9]]])}, {"n": np.array([1, 2, 5])}),
    "whole maps": ("GlobalLpPool", "x", {}, {"x": IMAGE}, {}),
    "whole maps, order 1": ("GlobalLpPool", "x", {"p": 1}, {"x": IMAGE}, {}),
    "the largest": ("TopK", "x k", {}, {"x": IMAGE}, {"k": np.array([3])}),
    "the smallest": ("TopK", "x k", {"axis": 1, "largest": 0}, {"x": IMAGE}, {"k": np.array([2])}),
    "the largest of whole numbers": ("TopK", "x k", {"axis": 0}, {"x": whole(9, 2)}, {"k": np.array([4])}),
    "one hot": ("OneHot", "x d v", {}, {"x": whole(2, 3, low=-7)}, {"d": np.array([5]), "v": np.float32([0, 1])}),
    "one hot of others": ("OneHot", "x d v", {"axis": 1}, {"x": whole(2, 3, high=4)},
                          {"d": np.array([4]), "v": np.float32([-0.5, 2.5])}),
    "one hot in whole numbers": ("OneHot", "x d v", {"axis": 0}, {"x": whole(4)},
                                 {"d": np.array([6]), "v": np.array([2, 3])}),
    "scattered": ("ScatterElements", "x i u", {"axis": 1}, {"x": ROWS, "u": real(2, 3)}, {"i": PLACES}),
    "scattered of old": ("Scatter", "x i u", {}, {"x": ROWS, "i": whole(1, 5, high=3), "u": real(1, 5)}, {}),
    "added in places": ("ScatterElements", "x i u", {"axis": -1, "reduction": "add"},
                        {"x": ROWS, "i": np.zeros((2, 3), "int64"), "u": real(2, 3)}, {}),
    "the larger in places": ("ScatterElements", "x i u", {"reduction": "max"},
                             {"x": ROWS, "i": PLACES, "u": real(2, 3)}, {}),
    "multiplied in rows": ("ScatterND", "x i u", {"reduction": "mul"},
                           {"x": ROWS, "i": np.array([[0], [0]]), "u": real(2, 5)}, {}),
    "sequences turned": ("ReverseSequence", "x n", {}, {"x": real(4, 3, 2), "n": np.array([1, 4, 3])}, {}),
    "sequences in rows turned": ("ReverseSequence", "x n", {"batch_axis": 0, "time_axis": 1}, {"x": ROWS},
                                 {"n": np.array([2, 5, 3])}),
    **{f"sampled, {mode}, {padding}, {corners}": (
        "GridSample", "x g", {"mode": mode, "padding_mode": padding, "align_corners": corners},
        {"x": IMAGE, "g": GRID}, {},
    ) for mode in ("linear", "nearest") for padding in ("zeros", "border", "reflection") for corners in (0, 1)},
    "sampled in three axes": ("GridSample", "x g", {"mode": "linear"},
                              {"x": real(2, 3, 4, 5, 3), "g": real(2, 2, 3, 4, 3, low=-1.2, high=1.2)}, {}),
    "affine": ("AffineGrid", "x n", {}, {"x": real(2, 2, 3)}, {"n": np.array([2, 3, 4, 5])}),
    "affine to corners": ("AffineGrid", "x n", {"align_corners": 1}, {"x": real(2, 2, 3)},
                          {"n": np.array([2, 3, 4, 5])}),
    "affine in three axes": ("AffineGrid", "x n", {}, {"x": real(1, 3, 4)}, {"n": np.array([1, 3, 2, 4, 3])}),
    "regions": ("RoiAlign", "x r i", {"output_height": 3, "output_width": 2, "sampling_ratio": 2},
                {"x": IMAGE, "r": REGIONS, "i": np.array([0, 1, 1, 0])}, {}),
    "regions of old": ("RoiAlign", "x r i", {
        "output_height": 2, "output_width": 3, "sampling_ratio": 3, "spatial_scale": 0.5,
        "coordinate_transformation_mode": "output_half_pixel",
    }, {"x": IMAGE, "r": REGIONS, "i": np.array([0, 1, 1, 0])}, {}),
    "deformed": ("DeformConv", "x w o", {"offset_group": 2, "group": 2, "pads": [0, 1, 1, 0]}, FEATURES,
                 {"w": real(4, 2, 3, 2)}),
    "deformed with a mask": ("DeformConv", "x w o b m", {"offset_group": 2, "strides": [1, 1], "dilations": [1, 2]}, {
        "x": FEATURES["x"], "o": real(2, 2 * 6 * 2, 4, 5, low=-1, high=1), "m": real(2, 2 * 6, 4, 5),
    }, {"w": real(3, 4, 3, 2), "b": real(3)}),
    "columns": ("Col2Im", "x n k", {"strides": [2, 1], "pads": [1, 0, 0, 1], "dilations": [1, 2]},
                {"x": real(2, 3 * 6, 3 * 2)}, {"n": np.array([5, 5]), "k": np.array([2, 3]) }),
    "columns of one axis": ("Col2Im", "x n k", {"strides": [2]}, {"x": real(1, 2 * 3, 3)},
                            {"n": np.array([7]), "k": np.array([3])}),
    "in the center": ("CenterCropPad", "x n", {}, {"x": IMAGE}, {"n": np.array([3, 2, 9, 4])}),
    "rows in the center": ("CenterCropPad", "x n", {"axes": [-1, 2]}, {"x": IMAGE}, {"n": np.array([4, 3])}),
    "causal": ("CausalConvWithState", "x w", {}, {"x": real(2, 3, 5)}, {"w": real(3, 1, 4)}),
    "causal, of a longer past": (
        "CausalConvWithState", "x w b p", {"activation": "silu"}, {"x": real(2, 3, 2), "p": real(2, 3, 3)},
        {"w": real(3, 1, 4), "b": real(3)},
    ),
    "causal, short": ("CausalConvWithState", "x w b", {}, {"x": real(1, 3, 1)}, {"w": real(3, 1, 4), "b": real(3)}),
    "linear attention": ("LinearAttention", "q k v", {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"},
                         {"q": real(2, 3, 8), "k": real(2, 3, 8), "v": real(2, 3, 6)}, {}),
    "gated attention": (
        "LinearAttention", "q k v p g",
        {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "gated", "scale": 0.25},
        {"q": real(2, 3, 16), "k": real(2, 3, 8), "v": real(2, 3, 6), "p": real(2, 2, 4, 3), "g": real(2, 3, 8)}, {},
    ),
    "attention to what is new": (
        "LinearAttention", "q k v _ _ b", {"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "delta"},
        {"q": real(1, 3, 8), "k": real(1, 3, 4), "v": real(1, 3, 5), "b": real(1, 3, 1)}, {},
    ),
    "gated attention to what is new": (
        "LinearAttention", "q k v p g b", {"q_num_heads": 2, "kv_num_heads": 2},
        {"q": real(2, 4, 8, high=1), "k": real(2, 4, 8, low=-1, high=1), "v": real(2, 4, 6), "p": real(2, 2, 4, 3),
         "g": real(2, 4, 2, high=0), "b": real(2, 4, 1, low=0, high=1)}, {},
    ),
    "cache": ("TensorScatter", "x u n", {}, {"x": real(2, 2, 7, 3), "u": real(2, 2, 3, 3), "n": np.array([1, 4])}, {}),
    "cache from the beginning": ("TensorScatter", "x u", {"axis": 1}, {"x": real(2, 7, 3), "u": real(2, 3, 3)}, {}),
    "cache in a circle": ("TensorScatter", "x u n", {"axis": 1, "mode": "circular"},
                          {"x": real(2, 5, 3), "u": real(2, 3, 3), "n": np.array([4, 9])}, {}),
}  # fmt: skip
BEFORE_INPUTS = {("TopK", "k"): 10}
"""What an input was before this operator set: an attribute."""


def versions(kind, attributes):
    """The operator sets that define a node anew, from the seventh on, and that know its attributes."""
    schemas = [onnx.defs.get_schema(kind, opset) for opset in range(7, 29) if onnx.defs.has(kind, opset)]
    fitting = [schema for schema in schemas if {*attributes} <= {*schema.attributes} and not schema.deprecated]
    return sorted({max(schema.since_version, 7) for schema in fitting})


def model(kind, inputs, attributes, flows, constants, opset):
    """A model of one node."""
    attributes, names = dict(attributes), inputs.split()
    for (of, name), first in BEFORE_INPUTS.items():
        if of == kind and opset < first:
            attributes[name] = int(constants[name].item())
            names.remove(name)
    outputs = [f"y{number}" for number, _ in enumerate(onnx.defs.get_schema(kind, opset).outputs)]
    body = helper.make_graph(
        [helper.make_node(kind, ["" if name == "_" else name for name in names], outputs, "node", **attributes)],
        "test",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in flows.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in names],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(body, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def read(folder, made, name="model.onnx", **options):
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return costmodel.network(str(path), **options)


def results(made, flows):
    """What ONNX Runtime makes, or onnx's own reference where that has not the operator; None if neither has it."""
    known = onnxruntime.capi.onnxruntime_pybind11_state
    with contextlib.suppress(known.InvalidGraph, known.NotImplemented, known.Fail):
        return onnx_runtime(made, flows)
    with contextlib.suppress(onnx.reference.op_run.RuntimeImplementationError):
        evaluator = onnx.reference.ReferenceEvaluator(made)
        return evaluator.run(None, dict(zip(evaluator.input_names, flows, strict=True)))
    return None


def shapes(made):
    """The shapes that onnx infers, None where it infers none."""
    inferred = onnx.shape_inference.infer_shapes(made, data_prop=True)
    kinds = [value.type.tensor_type for value in inferred.graph.output]
    return [tuple(dim.dim_value for dim in kind.shape.dim) if kind.HasField("shape") else None for kind in kinds]


def weights_of(graph, constants):
    """The constants of a node as the weights of its layers, by their shapes."""
    given, held = list(constants), {}
    for name, node in graph.nodes.items():
        for weight in node.weights:
            place = next(number for number, array in enumerate(given) if array.shape == weight.shape)
            held.setdefault(name, {})[weight.name] = given.pop(place)
    return held


def assert_close(ours, theirs):
    assert [(one.dtype, one.shape) for one in ours] == [(other.dtype, other.shape) for other in theirs]
    for one, other in zip(ours, theirs, strict=True):
        exact = one.dtype.kind != "f"
        largest = 1.0 if exact else max(1.0, float(np.nan_to_num(abs(other), posinf=0).max()))
        np.testing.assert_allclose(one, other, rtol=0 if exact else 2e-5, atol=0 if exact else 2e-6 * largest)


@pytest.mark.parametrize("case", CASES)
def test_a_node_is_that_of_onnx_in_every_operator_set(case, tmp_path):
    kind, inputs, attributes, flows, constants = CASES[case]
    theirs = inferred = None
    for opset in versions(kind, attributes):
        made = model(kind, inputs, attributes, flows, constants, opset)
        graph = read(tmp_path, made)
        weights = weights_of(graph, [np.asarray(constants[name]) for name in inputs.split() if name in constants])
        # what neither has in this operator set means what it did in the last
        theirs, inferred = results(made, list(flows.values())) or theirs, [*filter(None, shapes(made))] or inferred
        assert (inferred is None) == (case == "back in a larger map")  # whose stated size onnx does not look at
        assert [tensor.shape for tensor in graph.outputs] == (inferred or [(1, 2, 5)])
        assert_close(execute(graph, list(flows.values()), weights), theirs)


@pytest.mark.parametrize("case", CASES)
def test_files_hold_it_and_a_run_counts_it(case, tmp_path):
    kind, inputs, attributes, flows, constants = CASES[case]
    graph = read(tmp_path, model(kind, inputs, attributes, flows, constants, versions(kind, attributes)[-1]))
    assert [*verify(graph, compile_loops=False).differences.tuples()] == []
    for suffix in (".onnx", ".yaml"):
        path = tmp_path / f"again{suffix}"
        path.write_bytes(exporters.format_of(path).encode(graph))
        assert costmodel.network(str(path)) == graph
    written = costmodel.to_onnx(graph, seed=3)
    assert_close(execute(graph, list(flows.values()), seed=3), results(written, list(flows.values())))


# Constants


def test_what_is_drawn_and_what_follows_from_a_shape_is_constant(tmp_path):
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["a"]),
        helper.make_node("EyeLike", ["x"], ["eye"], k=1),
        helper.make_node("Mul", ["a", "eye"], ["b"]),
        helper.make_node("RandomUniform", [], ["more"], shape=[2, 3]),
        helper.make_node("MatMul", ["b", "more"], ["y"]),
    ]
    body = helper.make_graph(nodes, "test", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 2))],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 3))])  # fmt: skip
    graph = read(tmp_path, helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)]))
    assert [node.op.kind for node in graph.nodes.values()] == ["Input", "Add", "Mul", "Linear"]


def test_probabilities_are_compared_with_what_is_drawn(tmp_path):
    made = model("Bernoulli", "x", {"dtype": TensorProto.INT32}, {"x": ROWS}, {}, 15)
    graph = read(tmp_path, made)
    assert (graph.outputs[0].shape, graph.outputs[0].dtype) == ((3, 5), "int32")
    drawn = RNG.uniform(0, 1, (3, 5)).astype("float32")
    (y,) = execute(graph, [ROWS], {"node": {"constant": drawn}})
    np.testing.assert_array_equal(y, drawn < ROWS)
    assert [*verify(graph, compile_loops=False).differences.tuples()] == []
    assert read(tmp_path, costmodel.to_onnx(graph)) == graph
    assert_close(execute(graph, [ROWS], seed=1), onnx_runtime(costmodel.to_onnx(graph, seed=1), [ROWS]))


@pytest.mark.parametrize(
    ("kind", "inputs", "flows", "constants"),
    [
        ("NonZero", "x", {"x": ROWS}, {}),
        ("Unique", "x", {"x": ROWS}, {}),
        ("Compress", "x c", {"x": ROWS}, {"c": np.array([True, False, True])}),
        ("NonMaxSuppression", "x s n", {"x": real(1, 6, 4), "s": real(1, 2, 6)}, {"n": np.array([3])}),
        ("Range", "a x b", {"x": real(1)}, {"a": np.float32(0), "b": np.float32(1)}),
    ],
)
def test_what_depends_on_values_says_so_and_can_be_left_out(kind, inputs, flows, constants, tmp_path):
    made = model(kind, inputs, {}, flows, constants, 13)
    with pytest.raises(CostModelError, match=re.escape(
        f"node 'node' ({kind}): how much it makes or does depends on values that are computed; --unknown skip leaves"
    )):  # fmt: skip
        read(tmp_path, made)
    made.graph.node.append(helper.make_node("Relu", ["x"], ["z"]))
    made.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert f"{kind} (1)" in read(tmp_path, made, unknown="skip").notes[0]


@pytest.mark.parametrize(
    ("case", "changed", "message"),
    [
        ("regions", {"sampling_ratio": 0}, "how many samples it takes (sampling_ratio = 0) depends on values"),
        ("regions", {"mode": "max"}, "mode 'max' is not supported; known: avg"),
        ("regions", {"coordinate_transformation_mode": "half"}, "has coordinates 'half'; known: half_pixel"),
        ("sampled in three axes", {"mode": "cubic"}, "mode 'cubic' is not supported; known: linear, nearest"),
        ("cache", {"mode": "linearly"}, "mode 'linearly' is not supported; known: circular, linear"),
        ("causal", {"activation": "relu"}, "activation 'relu' is not supported; known: none, silu, swish"),
        ("bits to the left", {"direction": "UP"}, "has direction 'UP'; known: LEFT, RIGHT"),
        ("scattered", {"reduction": "sum"}, "reduction 'sum' is not supported; known: none, add, mul, max, min"),
        ("affine", {}, "has size (3, 3, 4, 5) for 2x2x3"),
        ("one hot", {}, "needs a depth and two values"),
    ],
)
def test_what_a_node_cannot_be_is_answered(case, changed, message, tmp_path):
    kind, inputs, attributes, flows, constants = CASES[case]
    wrong = {"affine": {"n": np.array([3, 3, 4, 5])}, "one hot": {"v": np.float32([0, 1, 2])}}.get(case, {})
    opset = versions(kind, attributes | changed)[-1]
    made = model(kind, inputs, attributes | changed, flows, constants | wrong, opset)
    with pytest.raises(CostModelError, match=re.escape(f"node 'node' ({kind}): {message}")):
        read(tmp_path, made)


# What does not fit


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (TopK(4), [(2, 3)], "cannot find 4 along axis -1 of 2x3"),
        (SwiGlu(), [(2, 3), (2, 1)], "takes a gate and values of one shape, not 2x3 and 2x1"),
        (BitwiseNot(), [(2, 3)], "takes whole numbers, such as int64, not the type of the network"),
        (BitwiseAnd(), [(2, 3), (3,)], "takes whole numbers, such as int64, not the type of the network"),
        (OneHot(3, axis=2), [(4,)], "has axis 2, which 4x3 does not have"),
        (ReverseSequence(), [(4, 3), (2,)], "cannot reverse 4x3 along axis 0 by 2 lengths of axis 1"),
        (TensorScatter(), [(2, 3, 4), (2, 5, 4)], "cannot place 2x5x4 along axis -2 of 2x3x4, once per image"),
        (TensorScatter(0), [(2, 3, 4), (2, 3, 4)], "cannot place 2x3x4 along axis 0 of 2x3x4, once per image"),
        (TensorScatter(placed=True), [(2, 3, 4), (2, 3, 4)], "takes 3 inputs, not 2"),
        (ScatterElements(), [(2, 3), (2, 4), (2, 4)], "cannot place 2x4 at 2x4 along axis 0 of 2x3"),
        (MaxUnpool((4,)), [(1, 2, 2), (1, 2, 3)], "cannot place 1x2x2 at 1x2x3 in maps of 4"),
        (CausalConv(3, past=True), [(1, 2, 4)], "takes 2 inputs, not 1"),
        (CausalConv(3, past=True), [(1, 2, 4), (1, 2, 3)], "needs batch x channels x length, and 2 of these before"),
        (LinearAttention(2, 1, 4, 3, "linear"), [(1, 5, 8), (1, 5, 4), (1, 5, 4)], "needs 1x5x3, not 1x5x4"),
        (LinearAttention(2, 1, 4, 3), [(1, 5, 8), (1, 5, 4), (1, 5, 3)], "takes 5 inputs, not 3"),
        (LinearAttention(2, 1, 4, 3, "gated"), [(5, 8), (5, 4), (5, 3), (5, 1)], "needs batch x length x (heads * 4)"),
        (GridSample(), [(1, 2, 3, 4), (1, 5, 6, 3)], "cannot sample 1x2x3x4 at 1x5x6x3: needs 2 numbers per position"),
        (AffineGrid((4, 5)), [(1, 3, 4)], "needs batch x 2 x 3 for 4x5 positions, not 1x3x4"),
        (RoiAlign(), [(1, 2, 3, 4), (5, 4), (6,)], "and an image for each, not 5x4"),
        (DeformConv(4, 3), [(1, 2, 5, 5), (1, 9, 3, 3)], "needs offsets of 1x18x3x3"),
        (DeformConv(4, 3, mask=True), [(1, 2, 5, 5), (1, 18, 3, 3)], "takes 3 inputs, not 2"),
        (DeformConv(4, 3, offset_groups=3), [(1, 2, 5, 5), (1, 54, 3, 3)], "its channels in 3 groups, not 1x2x5x5"),
        (Col2Im((4, 4), 2), [(1, 7, 9)], "needs batch x a multiple of 4 x 9 for 4x4, not 1x7x9"),
        (MeanVarianceNorm((1, -1)), [(2, 3)], "needs some axes of 2x3, each once, not (1, -1)"),
    ],
)
def test_what_does_not_fit_is_refused(op, inputs, message):
    with pytest.raises(WiringError, match=re.escape(message)):
        op.apply(*[Input(shape)() for shape in inputs])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: LpNorm(p=3), "LpNorm: p must be 1 or 2, not 3"),
        (lambda: LpPool(2, p=0), "LpPool: p must be 1 or 2, not 0"),
        (lambda: Celu(0.0), "Celu: alpha must not be 0"),
        (lambda: CausalConv(1), "CausalConv: kernel must be at least 2"),
        (lambda: LinearAttention(2, 2, 4, 4, "gate"), "rule must be one of linear, gated, delta, gated_delta"),
        (lambda: LinearAttention(3, 2, 4, 4), "2 key heads do not divide 3 heads"),
        (lambda: GridSample("cubic"), "mode must be linear or nearest, not 'cubic'"),
        (lambda: GridSample(padding="zero"), "padding must be one of zeros, border, reflection, not 'zero'"),
        (lambda: TopK(0), "TopK: k must be a positive integer, not 0"),
        (lambda: ScatterElements(reduction="sum"), "reduction must be one of none, add, mul, max, min, not 'sum'"),
    ],
)
def test_attributes_are_checked(made, message):
    with pytest.raises(WiringError, match=re.escape(message)):
        made()
