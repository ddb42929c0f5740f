"""Operators on whole numbers that stand for fractions: ONNX Runtime's results, bytes, and networks of them."""

import numpy as np
import pytest
from equations import onnx_runtime
from onnx import TensorProto, helper, numpy_helper

import costmodel
from costmodel.errors import CostModelError, WiringError
from costmodel.execute import checked_inputs, execute
from costmodel.execute.verify import verify
from costmodel.exporters.layers import encode
from costmodel.graph import Graph, Input
from costmodel.ops import Add, Conv, DequantizeLinear, QLinearConv, QuantizeLinear, Relu
from costmodel.profile import profile

RNG = np.random.default_rng(7)
FLOATS = RNG.normal(size=(2, 4, 6, 5)).astype("float32")
BYTES, OTHER = (RNG.integers(0, 256, (2, 4, 6, 5)).astype("uint8") for _ in range(2))
SIGNED = RNG.integers(-128, 128, (2, 4, 6, 5)).astype("int8")
FILTERS = RNG.integers(-127, 128, (6, 2, 3, 3)).astype("int8")
ROWS = RNG.integers(0, 256, (3, 7, 8)).astype("uint8")
MATRIX = RNG.integers(-64, 64, (8, 5)).astype("int8")  # more saturates in matrix products without VNNI
CHANNELS = np.array([0.02, 0.03, 0.01, 0.05], "float32")
f, u, i = np.float32, np.uint8, np.int8

CONV = "x xs xz w ws wz ys yz b"
CONSTANTS = {"xs": f(0.02), "xz": u(128), "w": FILTERS, "ys": f(0.05), "yz": u(100)}
PRODUCT = "x as az b bs bz ys yz"
PAIR = {"as": f(0.01), "az": u(128), "bs": f(0.02), "bz": u(3), "ys": f(0.05), "yz": u(100)}

# Operator, its inputs, attributes, what flows, constants.
CASES = {
    "quantize": ("QuantizeLinear", "x s z", {}, {"x": FLOATS}, {"s": f(0.02), "z": u(120)}),
    "quantize channels": (
        "QuantizeLinear", "x s z", {"axis": 1}, {"x": FLOATS}, {"s": CHANNELS, "z": np.array([1, -2, 3, 0], "int8")},
    ),
    "quantize blocks": (
        "QuantizeLinear", "x s", {"axis": 1, "block_size": 2, "output_dtype": TensorProto.INT8},
        {"x": FLOATS}, {"s": RNG.uniform(0.01, 0.05, (2, 2, 6, 5)).astype("float32")},
    ),
    "dequantize": ("DequantizeLinear", "x s", {}, {"x": SIGNED}, {"s": f(0.02)}),
    "dequantize channels": (
        "DequantizeLinear", "x s z", {"axis": 1}, {"x": BYTES}, {"s": CHANNELS, "z": np.array([1, 2, 3, 0], "uint8")},
    ),
    "dynamic": ("DynamicQuantizeLinear", "x", {}, {"x": FLOATS}, {}),
    "dynamic of positive": ("DynamicQuantizeLinear", "x", {}, {"x": abs(FLOATS)}, {}),
    "conv": (
        "QLinearConv", CONV, {"group": 2, "pads": [1, 1, 1, 1]}, {"x": BYTES},
        CONSTANTS | {"ws": f(0.003), "wz": i(5), "b": RNG.integers(-500, 500, 6).astype("int32")},
    ),
    "conv by filter": (
        "QLinearConv", CONV[:-2], {"group": 2, "strides": [2, 1]}, {"x": BYTES},
        CONSTANTS | {"ws": RNG.uniform(0.001, 0.01, 6).astype("float32"), "wz": np.zeros(6, "int8")},
    ),
    "conv integer": (
        "ConvInteger", "x w xz", {"group": 2, "pads": [1, 1, 1, 1]}, {"x": BYTES}, {"w": FILTERS, "xz": u(77)},
    ),
    "matmul integer": ("MatMulInteger", "x b az bz", {}, {"x": ROWS}, {"b": MATRIX, "az": u(12), "bz": i(3)}),
    "matmul integer of two": (
        "MatMulInteger", "x b az bz", {}, {"x": ROWS, "b": MATRIX}, {"az": u(12), "bz": i(3)},
    ),
    "matmul": ("QLinearMatMul", PRODUCT, {}, {"x": ROWS}, PAIR | {"b": MATRIX, "bz": i(0)}),
    "matmul by column": (
        "QLinearMatMul", PRODUCT, {}, {"x": ROWS},
        PAIR | {"b": MATRIX, "bs": RNG.uniform(0.01, 0.03, 5).astype("float32"), "bz": np.zeros(5, "int8")},
    ),
    "add": ("com.microsoft.QLinearAdd", PRODUCT, {}, {"x": BYTES, "b": OTHER}, PAIR),
    "mul": ("com.microsoft.QLinearMul", PRODUCT, {}, {"x": BYTES, "b": OTHER}, PAIR),
    "mean": (
        "com.microsoft.QLinearGlobalAveragePool", "x as az ys yz", {}, {"x": BYTES},
        {"as": f(0.01), "az": u(128), "ys": f(0.005), "yz": u(100)},
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)


def model(nodes, flows, constants, outputs):
    """A model whose outputs have whatever types they have."""
    body = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in flows.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=10)


def of_case(case):
    kind, inputs, attributes, flows, constants = CASES[case]
    domain, _, name = kind.rpartition(".")
    outputs = ["y", "scale", "zero"] if kind == "DynamicQuantizeLinear" else ["y"]
    node = helper.make_node(name, inputs.split(), outputs, domain=domain, **attributes)
    return model([node], flows, constants, outputs), list(flows.values()), [
        np.asarray(constants[name]) for name in inputs.split() if name in constants
    ]  # fmt: skip


def read(folder, made, name="model.onnx"):
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return costmodel.network(str(path))


@every_case
def test_an_operator_is_that_of_onnx_runtime(case, tmp_path):
    made, flows, constants = of_case(case)
    graph = read(tmp_path, made)
    (layer,) = (name for name, node in graph.nodes.items() if node.inputs)
    weights = {weight.name: array for weight, array in zip(graph.nodes[layer].weights, constants, strict=True)}
    ours = execute(graph, flows, {layer: weights})
    for own, other in zip(ours, onnx_runtime(made, flows), strict=True):
        assert own.dtype == other.dtype
        apart = abs(own.astype("float64") - other)
        if case == "mul":  # multiplies the scales first there, which moves what is in the middle of two numbers
            assert np.count_nonzero(apart) <= 2
            assert apart.max() <= 1
        else:
            assert not apart.any()
    assert not len(verify(graph, compile_loops=False).differences)


@every_case
def test_files_hold_quantised_networks(case, tmp_path):
    graph = read(tmp_path, of_case(case)[0])
    again = costmodel.to_onnx(graph, seed=3)
    assert read(tmp_path, again, "again.onnx") == graph
    (tmp_path / "net.yaml").write_bytes(encode(graph))
    assert costmodel.network(str(tmp_path / "net.yaml")) == graph
    inputs = [array // 2 if array.dtype == "int8" else array for array in checked_inputs(graph, None, 3).values()]
    for own, other in zip(execute(graph, inputs, seed=3), onnx_runtime(again, inputs), strict=True):
        assert own.dtype == other.dtype
        np.testing.assert_allclose(own.astype("float64"), other.astype("float64"), rtol=1e-6, atol=1)


# Bytes, counts, forms


def test_maps_and_weights_take_a_byte_and_macs_are_those_of_fractions():
    attributes = {"kernel": 3, "pads": 1, "groups": 2}
    whole = Graph(QLinearConv(8, **attributes, per_filter=True)(Input((1, 4, 9, 9), "uint8")()))
    plain = Graph(Conv(8, **attributes)(Input((1, 4, 9, 9))()))
    (quantised,), (fractions,) = (profile(graph).layers.rows() for graph in (whole, plain))
    assert (quantised["macs"], quantised["parameters"]) == (fractions["macs"], fractions["parameters"])
    assert (quantised["input_bytes"], quantised["output_bytes"]) == (4 * 81, 8 * 81)
    # weights, biases of 32 bits, and of x, w and y the scales of 32 bits and the zero points
    assert quantised["weight_bytes"] == 8 * 2 * 9 + 4 * 8 + (4 + 1) + 8 * (4 + 1) + (4 + 1)
    assert quantised["buffers"] == 2 + 16 + 2


def test_four_bits_are_half_a_byte():
    whole = QuantizeLinear("int4", zero_point=False)(Input((1, 4, 9, 9))())
    graph = Graph(DequantizeLinear(zero_point=False, from_dtype="int4")(whole))
    assert profile(graph).layers["output_bytes"] == (162, 4 * 324)
    (y,) = execute(graph)
    assert len(np.unique(y)) <= 16
    assert not len(verify(graph, compile_loops=False).differences)


def qdq(folder):
    """A convolution as quantisers write it: between DequantizeLinear and QuantizeLinear, its weights behind one too."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
        helper.make_node("Conv", ["d", "wd", "bd"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    each = RNG.uniform(0.01, 0.02, 8).astype("float32")
    constants = {
        "s": f(0.02), "z": u(128), "w": RNG.integers(-127, 128, (8, 4, 3, 3)).astype("int8"), "ws": each,
        "b": RNG.integers(-99, 99, 8).astype("int32"), "bs": each,
    }  # fmt: skip
    return read(folder, model(nodes, {"x": FLOATS}, constants, ["y"]))


def test_what_stands_between_quantisers_moves_bytes(tmp_path):
    graph = qdq(tmp_path)
    kinds = [node.op.kind for node in graph.nodes.values() if node.inputs]
    assert kinds == ["QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "QuantizeLinear"]
    fused = profile(graph, patterns=[["DequantizeLinear", "Conv", "Relu", "QuantizeLinear"]]).layers
    assert fused["input_bytes"] == (4 * 240, 240)
    assert fused["output_bytes"] == (240, 2 * 8 * 12)
    scales = 2 * (4 + 1)  # of the two quantisers; a weight is taken as it is stored
    assert fused["weight_bytes"][1] == 8 * 4 * 9 + 4 * 8 + scales
    assert fused["macs"][1] == 2 * 8 * 12 * 36


# What does not fit


@pytest.mark.parametrize(
    ("op", "x", "message"),
    [
        (lambda: QuantizeLinear("float8"), (1,), "dtype must be one of int4, int8"),
        (lambda: QuantizeLinear(block_size=2), (1,), "block_size must be a number of elements along an axis, not 2"),
        (lambda: QuantizeLinear(axis=3), (1, 2, 3), "has axis 3, which 1x2x3 does not have"),
        (DequantizeLinear, (1, 2, 3), "takes numbers of uint8, not of the network"),
        (lambda: QLinearConv(2, 1), (1, 2, 3, 4), "takes numbers of uint8, not of the network"),
    ],
)
def test_what_does_not_fit_is_refused(op, x, message):
    with pytest.raises(WiringError, match=message):
        op()(Input(x)())


def test_whole_numbers_and_fractions_are_not_added():
    whole = QuantizeLinear()(Input((1, 4))())
    with pytest.raises(WiringError, match="operands of one element type, not of uint8 and the network's"):
        Add()(whole, Input((1, 4))())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (("QuantizeLinear", ["x", "x"]), "its input 1 is computed, where a constant is"),
        (("QuantizeLinear", ["x", "w"]), "has scales of 3 for axis 1 of 2x4x6x5"),
        (("DequantizeLinear", ["x", "s"]), "whole numbers of the element type float32"),
        (("com.microsoft.QLinearAdd", ["x"]), "8 inputs only"),
    ],
)
def test_what_a_node_cannot_be_is_answered(node, message, tmp_path):
    kind, inputs = node
    domain, _, name = kind.rpartition(".")
    made = helper.make_node(name, inputs, ["y"], domain=domain)
    with pytest.raises(CostModelError, match=message):
        read(tmp_path, model([made], {"x": FLOATS}, {"s": f(0.1), "w": np.ones(3, "float32")}, ["y"]))


def test_a_network_of_bytes_stays_one_under_another_element_type():
    graph = Graph(Relu()(DequantizeLinear()(Input((1, 8), "uint8")()))).replay(dtype="float16")
    assert profile(graph).layers["input_bytes"] == (8, 16)
