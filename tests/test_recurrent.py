"""Recurrent layers: against their equations in float64, ONNX Runtime and onnx's reference; as files and as loops."""

from dataclasses import replace

import numpy as np
import onnx.reference
import pytest
from equations import onnx_runtime, recurrent
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import costmodel
from costmodel.errors import CostModelError, WiringError
from costmodel.execute import execute
from costmodel.execute.fast import Program
from costmodel.execute.verify import verify
from costmodel.exporters.layers import encode
from costmodel.exporters.onnx import assembled, model
from costmodel.graph import Graph, Input
from costmodel.importers.onnx import Reader
from costmodel.ops import GRU, LSTM, RNN
from costmodel.profile import profile

quick = settings(max_examples=25, deadline=None)
small = st.integers(1, 4)
FUNCTIONS = {"Elu": 1, "HardSigmoid": 2, "LeakyRelu": 1, "Relu": 0, "Sigmoid": 0, "Softplus": 0, "Tanh": 0}
SOURCES = ("zero", "learned", "constant", "operand")


@st.composite
def layers(draw):
    """A layer with any of its attributes, and the sizes of what it walks along: steps, sequences, channels."""
    cls, usual, results = draw(st.sampled_from([
        (RNN, 1, ("Y", "Y_h")), (GRU, 2, ("Y", "Y_h")), (LSTM, 3, ("Y", "Y_h", "Y_c")),
    ]))  # fmt: skip
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    told = {
        "returns": tuple(sorted(draw(st.sets(st.sampled_from(results), min_size=1)), key=results.index)),
        "clip": draw(st.sampled_from([None, None, 0.5])),
        "initial_h": draw(st.sampled_from(SOURCES)),
        **{name: draw(st.booleans()) for name in ("bias", "batch_first", "lengths")},
    }
    if draw(st.booleans()):
        count = usual * (2 if direction == "bidirectional" else 1)
        told["activations"] = names = draw(st.tuples(*[st.sampled_from(sorted(FUNCTIONS)) for _ in range(count)]))
        for field, least in (("alphas", 1), ("betas", 2)):
            most = sum(FUNCTIONS[name] >= least for name in names)
            told[field] = tuple(draw(st.lists(st.sampled_from([0.1, 0.25, 0.5]), max_size=most)))
    if cls is GRU:
        told["linear_before_reset"] = draw(st.booleans())
    if cls is LSTM:
        told |= {"initial_c": draw(st.sampled_from(SOURCES))}
        told |= {name: draw(st.booleans()) for name in ("peepholes", "input_forget")}
    return cls(draw(small), direction, **told), (draw(small), draw(st.integers(1, 3)), draw(small))


def network(op, sizes, dtype="float32"):
    """A layer and everything that flows into it."""
    length, n, channels = sizes
    d = 2 if op.direction == "bidirectional" else 1
    maps = [Input((n, length, channels) if op.batch_first else sizes)(name="x")]
    maps += [Input((n,), "int32")(name="lengths")] if op.lengths else []
    for name in ("h", "c") if op.kind == "LSTM" else ("h",):
        if getattr(op, f"initial_{name}") == "operand":
            maps.append(Input((n, d, op.hidden) if op.batch_first else (d, n, op.hidden))(name=name))
    return Graph(list(op.apply(*maps, name="layer")), "one", dtype=dtype)


def filled(graph, seed):
    """Arrays for a layer's operands and its weights, which let no state grow; a sequence has at least one step."""
    rng = np.random.default_rng(seed)
    node = graph.nodes["layer"]
    length = node.input_shapes[0][1 if node.op.batch_first else 0]
    inputs = [
        rng.integers(1, length + 1, tensor.shape).astype("int32") if tensor.dtype
        else rng.uniform(-1, 1, tensor.shape).astype(graph.dtype) for tensor in graph.inputs
    ]  # fmt: skip
    return inputs, {weight.name: rng.uniform(-0.4, 0.4, weight.shape).astype(graph.dtype) for weight in node.weights}


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(layers(), seeds)
def test_a_layer_is_its_equation(drawn, seed):
    graph = network(*drawn, "float64")
    inputs, weights = filled(graph, seed)
    exact = recurrent(drawn[0], *inputs, **weights)
    for own, other in zip(execute(graph, inputs, {"layer": weights}), exact, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(layers(), seeds)
def test_a_layer_is_that_of_onnx_runtime(drawn, seed):
    """Which has no sequences first, and does not cut off what an LSTM's last activation takes."""
    op, sizes = drawn
    op = replace(op, batch_first=False, clip=None if op.kind == "LSTM" else op.clip)
    graph = network(op, sizes)
    inputs, weights = filled(graph, seed)
    theirs = onnx_runtime(assembled(graph, {"layer": weights}), inputs)
    for own, other in zip(execute(graph, inputs, {"layer": weights}), theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


@quick
@given(st.sampled_from([RNN, GRU, LSTM]), st.sampled_from(["forward", "reverse", "bidirectional"]), small, seeds)
def test_sequences_may_come_first_as_in_onnx(cls, direction, length, seed):
    op = cls(3, direction, returns=("Y", "Y_h"), batch_first=True, initial_h="operand")
    graph = network(op, (length, 2, 4))
    inputs, weights = filled(graph, seed)
    made = onnx.reference.ReferenceEvaluator(assembled(graph, {"layer": weights}))
    theirs = made.run(None, dict(zip(made.input_names, inputs, strict=True)))
    for own, other in zip(execute(graph, inputs, {"layer": weights}), theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(layers())
def test_a_layer_is_verified_and_read_back_from_both_kinds_of_files(drawn):
    graph = network(*drawn)
    assert not len(verify(graph, compile_loops=False).differences)
    made = model(graph)  # whose shapes onnx infers and compares, and which is read back and compared
    encode(graph)  # is read back and compared
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True).graph.output
    shapes = [tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in inferred]
    assert shapes == [tensor.shape for tensor in graph.outputs]


def test_a_result_that_nothing_reads_is_still_made_behind_a_file(tmp_path):
    y, _ = GRU(3, returns=("Y", "Y_h")).apply(Input((4, 2, 3))(name="x"), name="layer")
    graph = Graph(y, "one")
    (tmp_path / "one.onnx").write_bytes(model(graph, seed=1).SerializeToString())
    assert costmodel.network(str(tmp_path / "one.onnx")) == graph


def test_products_and_parameters_are_those_of_the_papers_formula():
    """An LSTM has 4 * (C + H + 2) * H parameters with both biases; Zaremba's medium network has two of them."""
    x = Input((35, 20, 650))()
    for name in ("first", "second"):
        (y,) = LSTM(650).apply(x, name=name)
        x = costmodel.ops.Reshape((35, 20, 650))(y)
    graph = Graph(x)
    assert graph.parameters == 2 * 4 * 650 * (650 + 650 + 2)
    assert graph.macs == 35 * 20 * 2 * 4 * 650 * (650 + 650)
    (first, *_) = [row for row in profile(graph).layers.rows() if row["operator"] == "LSTM"]
    assert first["weight_bytes"] == 4 * 4 * 650 * (650 + 650 + 2)  # once for all steps
    assert (first["input_bytes"], first["output_bytes"]) == (4 * 35 * 20 * 650,) * 2


def test_two_directions_cost_twice_as_much():
    one, two = (network(GRU(5, direction), (7, 2, 3)) for direction in ("reverse", "bidirectional"))
    work = [graph.nodes["layer"].op.work((7, 2, 3)) for graph in (one, two)]
    assert work[1] == work[0].plus(work[0])
    assert two.parameters == 2 * one.parameters


def test_the_fast_program_runs_a_layers_own_numpy():
    graph = network(LSTM(3, initial_h="learned"), (4, 2, 3))
    (fast,), (plain,) = Program(graph, seed=1).run(), execute(graph, seed=1)
    np.testing.assert_array_equal(fast, plain)


# What a node of a file may have, and what not.

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 2, 3])
ZEROS, ONES, APART = np.zeros((1, 2, 4), "f"), np.ones((1, 1, 4), "f"), np.ones((1, 2, 4), "f")
WEIGHTS = {"w": np.ones((1, 16, 3), "f"), "r": np.ones((1, 16, 4), "f"), "b": np.ones((1, 32), "f")}


def read(kind, inputs, outputs, constants=WEIGHTS, *before, results=("y",), opset=14, **attributes):
    node = helper.make_node(kind, inputs.split(" "), outputs.split(" "), "layer", **attributes)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    body = helper.make_graph([*before, node], "net", [X], ends, held)
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])
    reader = Reader("net.onnx", made)
    reader.inputs({}, 1)
    reader.nodes()
    return reader.graph("net")


def layer(*arguments, **told):
    return read("LSTM", *arguments, hidden_size=4, **told).nodes["layer"].op


@pytest.mark.parametrize("opset", [7, 14, 22, 28])
def test_every_operator_set_from_7_on(opset):
    assert layer("x w r b", "y", opset=opset) == LSTM(4)
    stated = {"activations": ["Sigmoid", "Tanh", "Tanh"], "direction": "forward"}
    assert layer("x w r", "y", opset=opset, **stated) == LSTM(4, bias=False)


def test_only_results_that_are_read_are_made():
    assert layer("x w r b", "y h c") == LSTM(4)
    assert layer("x w r b", "y h c", results=("c", "y")) == LSTM(4, returns=("Y", "Y_c"))
    graph = read("LSTM", "x w r b  ", " y", hidden_size=4)
    assert graph.outputs[0].shape == (1, 2, 4)


@pytest.mark.parametrize(
    ("state", "source"),
    [
        (ZEROS, "zero"),
        (np.zeros((1, 2, 400), "f"), "zero"),
        (APART, "constant"),
        (np.ones((1, 2, 400), "f"), "constant"),
    ],
)
def test_a_constant_initial_state_of_zeros_is_none(state, source):
    h = state.shape[-1]
    constants = {"w": np.ones((1, 4 * h, 3), "f"), "r": np.ones((1, 4 * h, h), "f"), "h": state}
    graph = read("LSTM", "x w r   h", "y", constants, hidden_size=h)
    assert graph.nodes["layer"].op == LSTM(h, bias=False, initial_h=source)
    assert graph.parameters == 4 * h * (3 + h)


@pytest.mark.parametrize("first", [ONES, ONES[0, 0]])
def test_a_state_that_is_stretched_over_the_sequences_is_learned_once(first):
    stretched = helper.make_node("Expand", ["first", "sizes"], ["h"])
    constants = WEIGHTS | {"first": first, "sizes": np.array([1, 2, 4])}
    graph = read("LSTM", "x w r b  h", "y", constants, stretched, hidden_size=4)
    assert graph.nodes["layer"].op == LSTM(4, initial_h="learned")
    assert graph.parameters == 16 * (3 + 4 + 2) + 4


def test_constant_lengths_of_all_steps_say_nothing():
    whole = WEIGHTS | {"n": np.array([5, 5], "int32")}
    assert layer("x w r b n", "y", whole) == LSTM(4)


@pytest.mark.parametrize(
    ("arguments", "told", "message"),
    [
        (
            ("x w r b n", "y", WEIGHTS | {"n": np.array([5, 3], "int32")}),
            {},
            "constant lengths of sequences other than 5",
        ),
        (("x w r b", "y"), {"activations": ["Sigmoid", "Affine", "Tanh"]}, "activation 'Affine' is not supported"),
        (("x w r b", "y"), {"activations": ["Sigmoid", "Tanh"]}, "must be 3 for each of 1 directions, not 2"),
        (("x w r b", "y"), {"direction": "bidirectional"}, "must be a constant of 2x16x3, not 1x16x3"),
        (("x w r b", "y"), {"direction": "backwards"}, "direction must be one of forward, reverse, bidirectional"),
        (("x w r b", "y"), {"clip": 0.0}, "clip must be above 0"),
        (("x w r w", "y"), {}, "its input 3 must be a constant of 1x32, not 1x16x3"),
        (("x x r b", "y"), {}, "its input 1 is computed, where a constant is supported"),
        (("x w", "y"), {}, "takes 3 to 8 inputs, not 2"),
        (("x w r b  h", "y", WEIGHTS | {"h": np.ones((1, 3, 4), "f")}), {}, "must be a constant of 1x2x4, not 1x3x4"),
        (("x w r b  x", "y"), {}, "takes beside the map 1x2x4, not 5x2x3"),
    ],
)
def test_what_a_node_cannot_have_is_named(arguments, told, message):
    with pytest.raises(CostModelError, match=r"^net.onnx: node 'layer' \(LSTM\)") as error:
        layer(*arguments, **told)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: GRU(0), "GRU: hidden must be a positive integer, not 0"),
        (lambda: GRU(4, returns=("Y_h", "Y")), r"GRU: returns must be some of Y, Y_h in this order"),
        (lambda: GRU(4, returns=()), r"GRU: returns must be some of Y, Y_h in this order"),
        (
            lambda: LSTM(4, initial_c="held"),
            "LSTM: initial_c must be one of zero, learned, constant, operand, not 'held'",
        ),
        (lambda: RNN(4, activations=("tanh",)), "RNN: activations has 'tanh'; did you mean 'Tanh'"),
        (lambda: RNN(4, alphas=(0.1,)), "RNN: alphas has more numbers than there are activations that take one"),
        (lambda: RNN(4)(Input((3, 4))()), "needs steps, sequences and channels, not 3x4"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(made, message):
    with pytest.raises(WiringError, match=message):
        made()
