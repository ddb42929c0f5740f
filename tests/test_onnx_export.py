"""Networks written as ONNX files: what onnx and ONNX Runtime make of them, and what is read back."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import run
from onnx import TensorProto

import costmodel
from costmodel import zoo
from costmodel.errors import CostModelError, UnsupportedError
from costmodel.execute import execute
from costmodel.execute.weights import seeded_input, seeded_weights
from costmodel.exporters import onnx as exporter
from costmodel.exporters.onnx import ALIGNMENT, LIMIT, _since, assembled, encode, encode_weights
from costmodel.graph import Graph, Input, Node, Op, Stored, block
from costmodel.importers.protos import shortest
from costmodel.ops import (
    Add,
    BatchNorm,
    ChannelShuffle,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gelu,
    HardSigmoid,
    Linear,
    PRelu,
    Relu,
    Relu6,
    Silu,
    Slice,
    Softmax,
)
from costmodel.profile import profile

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

NO_FORM = set()
"""Operators that cannot be written."""


def saved(folder, model, name="network.onnx"):
    path = folder / name
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def test_a_weight_that_is_shared_by_one_layer_alone_is_not_shared(tmp_path):
    layer = Conv(2, 3, bias=False)
    graph = Graph(Node(layer, [Input((1, 2, 4, 4))()], "one", "", {"weight": Stored(shared="w")}).outputs)
    assert graph == Graph(Node(layer, [Input((1, 2, 4, 4))()], "one", "").outputs)
    assert costmodel.network(str(saved(tmp_path, costmodel.to_onnx(graph)))) == graph


def test_what_is_shared_in_two_shapes_is_written_once(tmp_path):
    x, how = Input((1, 4, 6))(), {"weight": Stored(shared="w")}
    (y,) = Node(Conv(4, (1,), bias=False), [x], "conv", "", how).outputs
    (z,) = Node(Linear(4, bias=False), [Input((2, 4))()], "linear", "", how).outputs
    graph = Graph([y, z], "two")
    made = costmodel.to_onnx(graph, seed=0)
    assert [tensor.name for tensor in made.graph.initializer if tensor.data_type == TensorProto.FLOAT] == ["w"]
    assert costmodel.network(str(saved(tmp_path, made))).wiring() == graph.wiring()  # inputs come first in a file
    assert graph.parameters == 4 * 4


def test_no_more_nodes_are_written_than_are_read(monkeypatch):
    x = Input((1, 2, 4, 4))()
    graph = Graph(Conv(2, 3, pads=1)(Conv(2, 3, pads=1, bias=False)(x)), "two")
    monkeypatch.setattr(exporter, "NODE_LIMIT", 5)
    assert len(assembled(graph).graph.node) == 5
    monkeypatch.setattr(exporter, "NODE_LIMIT", 4)
    with pytest.raises(CostModelError, match=r"two: 5 layers and weights are too many .* at most 4"):
        assembled(graph)


def session(source):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_there(source, graph, seed=0):
    """What ONNX Runtime makes of the inputs that follow from a seed."""
    started = session(source)
    arrays = [seeded_input(tensor, number, seed, graph.dtype) for number, tensor in enumerate(graph.inputs)]
    return started.run(None, {given.name: array for given, array in zip(started.get_inputs(), arrays, strict=True)})


def assert_equal_results(graph, seed, rtol=1e-4):
    theirs, ours = (
        run_there(costmodel.to_onnx(graph, seed=seed).SerializeToString(), graph, seed),
        execute(graph, seed=seed),
    )
    assert [array.dtype for array in theirs] == [array.dtype for array in ours]
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(other, own, rtol=rtol, atol=rtol * float(abs(own).max()))


@pytest.mark.parametrize("name", zoo.names())
def test_round_trip_of_the_zoo(name, tmp_path):
    graph = zoo.get(name)()
    made = costmodel.to_onnx(graph)
    onnx.checker.check_model(made, full_check=True)
    again = costmodel.network(str(saved(tmp_path, made)))
    assert again == graph
    assert (again.parameters, again.macs) == (graph.parameters, graph.macs)
    assert profile(again).layers.tuples() == profile(graph).layers.tuples()


@pytest.mark.parametrize("name", ["googlenet", "hairnet", "lenet5", "mobilenet_v2", "nasnet_a_mobile", "shufflenet"])
def test_onnx_runtime_makes_what_we_make_with_the_same_seed(name):
    size = zoo.get(name).small()
    assert_equal_results(zoo.get(name)(**({"size": size} if size else {})), seed=3)


def test_batch_and_element_type_are_those_of_the_network(tmp_path):
    graph = costmodel.network("squeezenet", batch=3, dtype="float16", size=65)
    made = costmodel.to_onnx(graph)
    (x,), (y,) = made.graph.input, made.graph.output
    assert [dim.dim_value for dim in x.type.tensor_type.shape.dim] == [3, 3, 65, 65]
    assert x.type.tensor_type.elem_type == y.type.tensor_type.elem_type == TensorProto.FLOAT16
    assert costmodel.network(str(saved(tmp_path, made))) == graph
    assert_equal_results(graph, seed=1, rtol=2e-2)


# Operators that ONNX has not, or would read as others, are functions that do the same.


def graph_of(op, *shapes):
    with block("net"):
        return Graph(op(*[Input(shape)(name=f"x{number}") for number, shape in enumerate(shapes)], name="layer"), "one")


FUNCTIONS = {
    "channel shuffle": (ChannelShuffle(2), (2, 6, 3, 4)),
    "dense of rows": (Linear(5), (2, 3, 4)),
    "rest from an axis": (Flatten(2), (2, 3, 4, 5)),
    "slopes": (PRelu(), (2, 3, 4)),
    "swish": (Silu(), (2, 3)),
    "a number that 32 bits lack": (HardSigmoid(1 / 6), (2, 3)),
}
PLAIN = {
    "a number that 32 bits round": (BatchNorm(1e-3), (2, 3, 4)),
    "an axis from behind": (Softmax(-1), (2, 3, 4)),
    "axes from behind": (Concat(-2), (2, 3, 4), (2, 1, 4)),
    "bounds": (Clip(-0.1, 0.3), (2, 3)),
    "relu6": (Relu6(), (2, 3)),
    "gelu": (Gelu(), (2, 3)),
    "one bound": (Clip(high=0.3), (2, 3)),
    "no bound": (Clip(), (2, 3)),
    "constant first": (Add((2, 1, 3), held_first=True), (4, 3)),
    "slice": (Slice((-3, 1), (None, -1), (2, 1)), (5, 6)),
    "channels": (Conv(4, 3, groups=2, channels=6), (1, 6, 5, 5)),
}


@pytest.mark.parametrize("name", [*FUNCTIONS, *PLAIN])
def test_an_operator_is_one_node_under_its_name(name, tmp_path):
    op, *shapes = (FUNCTIONS | PLAIN)[name]
    graph = graph_of(op, *shapes)
    made = costmodel.to_onnx(graph)
    (node,) = [node for node in made.graph.node if node.op_type != "ConstantOfShape"]
    assert node.name == "net/layer"
    assert (node.domain, len(made.functions)) == (("costmodel", 1) if name in FUNCTIONS else ("", 0))
    again = costmodel.network(str(saved(tmp_path, made)))
    assert again == graph
    assert [layer.block for layer in again.nodes.values()] == ["net"] * len(graph.nodes)
    assert_equal_results(graph, seed=0)


def test_functions_are_there_once_for_each_kind_of_operands():
    x = Input((1, 4, 6, 6))()
    y = ChannelShuffle(2)(ChannelShuffle(2)(x))
    graph = Graph(ChannelShuffle(2)(Conv(4, 3)(ChannelShuffle(4)(y))))
    assert [function.name for function in costmodel.to_onnx(graph).functions] == [
        "ChannelShuffle",
        "ChannelShuffle_2",
        "ChannelShuffle_3",
    ]
    assert_equal_results(graph, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": "5"}, "cannot deal the channels of 1x4x3 out to 5 groups"),
        ({"groups": "two"}, "groups: expected a whole number, not 'two'"),
        ({"groups": "2", "other": "1"}, "ChannelShuffle has no attribute 'other'"),
        ({"groups": "2\nkernel: 3"}, "ChannelShuffle has no attribute 'kernel'"),
        ({}, "ChannelShuffle needs 'groups'"),
        ({"groups": "[" * 3000}, "its attributes:1: "),
    ],
)
def test_functions_of_ours_are_checked_when_read(change, message, tmp_path):
    made = costmodel.to_onnx(graph_of(ChannelShuffle(2), (1, 4, 3)))
    (node,) = made.graph.node
    del node.attribute[:]
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in change.items())
    path = saved(tmp_path, made)
    with pytest.raises(CostModelError) as caught:
        costmodel.network(str(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: node 'net/layer' (costmodel.ChannelShuffle): ")


def test_operators_without_a_form():
    kinds = {kind for kind, cls in Op.registry.items() if kind != "Input" and not has_form(cls)}
    assert kinds == NO_FORM


def has_form(cls):
    return cls.to_onnx is not Op.to_onnx or (cls.onnx and cls.from_onnx.__func__ is Op.from_onnx.__func__)


def test_an_operator_without_a_form_is_an_error_that_names_it():
    class Wavelet(Relu, abstract=True):
        onnx = ()

    with pytest.raises(UnsupportedError, match=r"one: 'net.layer' cannot be written as ONNX: Wavelet has no form"):
        costmodel.to_onnx(graph_of(Wavelet(), (1, 2)))


def test_an_operator_of_a_later_operator_set_raises_it():
    assert costmodel.to_onnx(graph_of(Relu(), (1, 2))).opset_import[0].version == 19
    assert costmodel.to_onnx(graph_of(Gelu(), (1, 2))).opset_import[0].version == 20
    with pytest.raises(UnsupportedError, match="has no operator Conv with wavelets"):
        _since("Conv", "wavelets")


# Weights


def test_given_weights_are_in_the_file():
    graph = graph_of(Linear(3, bias=False), (2, 4))
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    made = costmodel.to_onnx(graph, weights={"net.layer": {"weight": weight}})
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(made.graph.initializer[0]), weight)
    with pytest.raises(CostModelError, match=r"'weight' must be float32 of 3x4, not float32 of 4x3"):
        costmodel.to_onnx(graph, weights={"net.layer": {"weight": weight.T}})
    with pytest.raises(CostModelError, match="given or follow from a seed, not both"):
        costmodel.to_onnx(graph, weights={"net.layer": {"weight": weight}}, seed=1)


def test_weights_in_a_file_of_their_own(tmp_path):
    graph = zoo.get("mobilenet_v2")(size=32)
    path = saved(tmp_path, encode(graph, seed=5, external="net.data"), "net.onnx")
    (tmp_path / "net.data").write_bytes(b"".join(encode_weights(graph, 5)))
    assert path.stat().st_size < 200_000
    assert costmodel.network(str(path)) == graph
    onnx.checker.check_model(str(path))
    (theirs,) = run_there(str(path), graph, 5)
    (together,) = run_there(encode(graph, seed=5), graph, 5)
    np.testing.assert_array_equal(theirs, together)
    name, node = next((name, node) for name, node in graph.nodes.items() if node.op.weights(*node.input_shapes))
    (first, *_) = seeded_weights(name, node, 5).values()
    assert (tmp_path / "net.data").read_bytes()[: first.nbytes] == first.tobytes()
    offsets = [
        int(entry.value)
        for tensor in onnx.load(path, load_external_data=False).graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    ]
    assert all(offset % ALIGNMENT == 0 for offset in offsets)


def test_more_weights_than_a_file_holds():
    graph = graph_of(Linear(2**15, bias=False), (1, 2**14))
    assert graph.parameters * 4 > LIMIT
    assert len(encode(graph)) < 1000
    with pytest.raises(CostModelError, match=f"one: its weights are {2**31} bytes, .* --external"):
        assembled(graph, seed=0)
    assert len(encode(graph, seed=0, external="one.data")) < 1000


# What a file cannot hold


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (costmodel.network("lenet5", dtype="int8"), r"of float32, float64, float16, not of int8"),
        (Graph(Relu()(Input((1, 2))(), name="a b")), r"an ONNX file cannot hold layer 'a b': .* another"),
        (Graph(Relu()(Input((1, 2))(), name="1")), r"an ONNX file cannot hold layer '1'"),
    ],
)
def test_what_an_onnx_file_cannot_hold(graph, message):
    with pytest.raises(CostModelError, match=message):
        costmodel.to_onnx(graph)


def test_inputs_made_late_come_first_in_a_file(tmp_path):
    x = Relu()(Input((1, 2))(name="a"))
    graph = Graph(Add()(x, Input((1, 2))(name="b")))
    again = costmodel.network(str(saved(tmp_path, costmodel.to_onnx(graph))))
    assert [*graph.nodes] == ["a", "relu", "b", "add"]
    assert [*again.nodes] == ["a", "b", "relu", "add"]


@pytest.mark.parametrize("text", ["0.1", "1e-05", "0.16666667", "3.4028235e+38", "1", "0", "1e-40"])
def test_numbers_of_32_bits_are_read_as_they_were_written(text):
    assert shortest(float(np.float32(text))) == float(text)


# The command


def test_export(tmp_path):
    assert run("export", "lenet5", "-o", "net.onnx", cwd=tmp_path).returncode == 0
    assert (tmp_path / "net.onnx").stat().st_size < 5000
    assert costmodel.network(str(tmp_path / "net.onnx")) == zoo.get("lenet5")()
    assert run("export", "lenet5", "-o", "net.onnx", "--seed", "2", "--external", cwd=tmp_path).returncode == 0
    graph = costmodel.network(str(tmp_path / "net.onnx"))
    np.testing.assert_allclose(run_there(str(tmp_path / "net.onnx"), graph, 2)[0], execute(graph, seed=2)[0], rtol=1e-4)
    refused = run("export", "lenet5", "-o", "net.yaml", "--seed", "2", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == "error: seed is for .onnx files; a list of layers holds no weights\n"


# Numbers for a viewer


def as_netron_reads(text):
    """``metrics`` and ``metadata`` by kind and target, as in source/metadata.js of Netron."""
    document = json.loads(text)
    assert document["signature"] == "netron:attachment"
    found = {}
    for part in ("metadata", "metrics"):
        for item in document[part]:
            assert item["kind"] in ("model", "node", "value")
            assert "\n" not in item["target"]  # it looks for the first line of a name only
            entries = found.setdefault((item["kind"], item["target"]), {})
            assert item["name"] not in entries  # it keeps the last
            entries[item["name"]] = item["value"]
    return found


def assert_on_every_node(found, made, layers):
    """Every number is on something that the file has, and they add up to the totals."""
    there = {("node", node.name) for node in made.graph.node if node.name} | {("model", "")}
    there |= {("value", name) for node in made.graph.node for name in node.output}
    assert {*found} <= there
    totals = found.pop(("model", ""))
    for column in ("parameters", "macs", "elementwise", "weight_bytes", "output_bytes"):
        assert sum(values.get(column, 0) for values in found.values()) == totals[column] == layers.total(column)


@pytest.mark.parametrize("name", ["hairnet", "shufflenet"])
def test_metrics_are_on_the_nodes_of_the_file_that_is_written(name, tmp_path):
    run("export", name, "-o", "net.onnx", "--metrics", "net.json", "--hw", "paper-2012", cwd=tmp_path)
    simulation = costmodel.cost(name, "paper-2012")
    found = as_netron_reads((tmp_path / "net.json").read_text(encoding="utf-8"))
    assert found["model", ""]["total_seconds"] == pytest.approx(simulation.seconds)
    assert_on_every_node(found, onnx.load(tmp_path / "net.onnx"), simulation.layers)
    if name == "hairnet":  # batch norm and activation are one layer there
        norm, relu = found["node", "stem/bn"], found["node", "stem/relu"]
        assert norm["layer"] == relu["layer"] == "stem.bn+relu"
        assert (norm["parameters"], "parameters" in relu) == (64, False)


def test_metrics_of_a_file_are_on_its_own_nodes(tmp_path):
    source = LIGHT / "light_squeezenet.onnx"
    model = onnx.load(source)
    for number, node in enumerate(model.graph.node):
        node.name = f"/features/features.{number}/op" if number % 3 else ""
    saved(tmp_path, model, "named.onnx")
    for path in (source, tmp_path / "named.onnx"):
        assert run("export", str(path), "--metrics", "net.json", cwd=tmp_path).stdout == ""
        found = as_netron_reads((tmp_path / "net.json").read_text(encoding="utf-8"))
        assert_on_every_node(found, onnx.load(path), profile(costmodel.network(str(path))).layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hw", "paper-2012"), "--hw is for --metrics"),
        (("--set", "a=1", "--metrics", "net.json"), "--set needs a machine: --hw"),
        (("--external", "-o", "net.onnx"), "--external needs an .onnx file to write, --output, and weights, --seed"),
        (("-o", "net.onnx", "--metrics", "net.onnx"), "cannot share the file net.onnx"),
    ],
)
def test_options_that_do_not_fit(arguments, message, tmp_path):
    refused = run("export", "lenet5", *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not [*tmp_path.iterdir()]
