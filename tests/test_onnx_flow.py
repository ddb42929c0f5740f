"""Functions, branches, loops and sequences in ONNX files: onnx's own inliner, ONNX Runtime, and unrolled by hand."""

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser
from random_models import model, one, random_model

import costmodel
from costmodel import exporters
from costmodel.errors import CostModelError
from costmodel.execute import execute
from costmodel.graph import Op, Source
from costmodel.importers import onnx as importer
from costmodel.importers import sequences


def saved(folder, made, name="model.onnx"):
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return str(path)


def read(folder, made, **options):
    return costmodel.network(saved(folder, made), **options)


def ops(graph):
    return [repr(node.op) for node in graph.nodes.values() if node.inputs]


def refused(folder, made, message, **options):
    path = saved(folder, made)
    with pytest.raises(CostModelError, match=message) as caught:
        costmodel.network(path, **options)
    assert str(caught.value).startswith(path)
    assert str(caught.value).count(path) == 1


HEAD = '<ir_version: 10, opset_import: ["" : 18, "f" : 1]>\n'


def text(body, *functions):
    """A model in onnx's language; functions are of the domain f."""
    heads = ['<domain: "f", opset_import: ["" : 18, "f" : 1]>\n' + function for function in functions]
    return parser.parse_model(HEAD + body + "\n".join(heads))


# Functions

LINEAR = """
    linear <bias: float = 0.5, axes, unused> (x, w, b, more) => (y, z) {
        h = MatMul(x, w)
        s = Add(h, b)
        c = Constant<value_float: float = @bias>()
        t = Mul(s, c)
        n = Constant<value_ints: ints = @axes>()
        y = ReduceSum<keepdims: int = @unused>(t, n)
        z = Clip(y, c, more)
    }
"""
TWO = """
    two <again> (x, w, b) => (y, z) {
        [inner] y = f.linear<bias = 2.0, axes: ints = @again>(x, w, b)
        z = Relu(y)
    }
"""
NET = """
    net (float[2, 4] x) => (float[2, 1] z, float[2, 1] y) {
        [first] h = f.linear<bias = 0.5, axes = [1]>(x, w, b)
        [second] y, z = f.two<again = [1]>(x, w, b)
        more = Add(h, y)
        one = Constant<value_float = 1.0>()
        two, t = f.linear<bias = 1.0, axes = [0]>(x, w, b, one)
    }
"""


def functions(net=NET, *others):
    made = text(net, LINEAR, TWO, *others)
    made.graph.initializer.extend(
        [numpy_helper.from_array(np.full(shape, 0.25, np.float32), name) for name, shape in (("w", (4, 3)), ("b", 3))]
    )
    made.graph.node[1].name = "/second/call"
    return made


def test_a_function_is_the_layers_in_it_as_onnx_inlines_it(tmp_path):
    made = functions()
    made.graph.output.extend([onnx.ValueInfoProto(name=name) for name in ("more", "two", "t")])
    graph, inlined = (read(tmp_path, one) for one in (made, onnx.inliner.inline_local_functions(made)))
    assert ops(graph) == ops(inlined)
    assert "Clip(low=0.5, high=None)" not in ops(graph)  # nothing reads it
    assert "Clip(low=1.0, high=1.0)" in ops(graph)
    assert (graph.macs, graph.parameters) == (inlined.macs, inlined.parameters) == (3 * 24, 12 + 3)


def test_layers_of_a_function_are_in_a_block_of_the_call(tmp_path):
    graph = read(tmp_path, functions())
    assert list(graph.nodes) == ["x", "second.call.inner.h", "second.call.inner.s", "second.call.inner.t",
                                 "second.call.inner.y", "second.call.z"]  # fmt: skip
    assert graph.nodes["second.call.inner.h"].block == "second.call.inner"
    assert {graph.sources[name] for name in graph.nodes if name != "x"} == {Source("node", "/second/call")}


def test_attributes_without_a_value_have_their_default_or_are_left_out(tmp_path):
    bare = NET.replace("bias = 0.5, ", "").replace("=> (float[2, 1] z, float[2, 1] y)", "=> (float[2, 1] h)")
    (scaled,) = [op for op in ops(read(tmp_path, functions(bare))) if op.startswith("Reduce")]
    assert scaled == "ReduceSum(axes=(1,), keepdims=True)"  # of keepdims' own default: nothing gives ``unused``
    clipped = bare.replace("h = f.", "none, h = f.")
    assert "Clip(low=0.5, high=None)" in ops(read(tmp_path, functions(clipped)))


def test_overloads_and_versions_are_those_of_the_function(tmp_path):
    made = text("net (float[2, 4] x) => (y) { h = f.soft(x) \n y = f.soft(h) }", "soft (x) => (y) { y = Relu(x) }")
    other = helper.make_function("f", "soft", ["x"], ["y"], [one("Softmax")], [helper.make_opsetid("", 11)])
    other.overload = "old"
    made.functions.append(other)
    made.graph.node[1].overload = "old"
    made.graph.input[0].type.tensor_type.shape.dim.add(dim_value=3)
    assert ops(read(tmp_path, made)) == ["Relu()", "Reshape(to=(2, 12))", "Softmax(axis=1)", "Reshape(to=(2, 4, 3))"]


def test_a_weight_that_is_in_a_function_is_stored_once(tmp_path):
    layer = """layer (x) => (y) {
        w = Constant<value = float[2, 2] {1, 2, 3, 4}>()
        y = MatMul(x, w)
    }"""
    once = "net (float[3, 2] x) => (y) { y = f.layer(x) }"
    twice = "net (float[3, 2] x) => (y) { h = f.layer(x) \n y = f.layer(h) }"
    graphs = [read(tmp_path, text(net, layer)) for net in (once, twice)]
    assert [(graph.parameters, graph.macs) for graph in graphs] == [(4, 12), (4, 24)]
    assert graphs[0].nodes["y.y"].stored is None
    # A weight that comes in and is read twice inside, and one that each call brings.
    inside = "pair (x, w) => (y) { h = MatMul(x, w) \n y = MatMul(h, w) }"
    net = "net (float[3, 2] x) => (y) <float[2, 2] v = {1, 1, 1, 1}, float[2, 2] w = {1, 1, 1, 1}> "
    net += "{ h = f.pair(x, v) \n y = f.pair(h, w) }"
    assert read(tmp_path, text(net, inside)).parameters == 8


RELU = "g (x) => (y) { y = Relu(x) }"
WRONG = {
    "itself": (
        ("y = f.g(x)", "g (x) => (y) { y = f.g(x) }"),
        r"node 'y/y' \(f\.g\) of function 'f\.g': function 'f\.g' calls itself: 'f\.g' > 'f\.g'$",
    ),
    "in turn": (
        ("y = f.g(x)", "g (x) => (y) { y = f.h(x) }", "h (x) => (y) { y = f.g(x) }"),
        r"of function 'f\.h': function 'f\.g' calls itself: 'f\.g' > 'f\.h' > 'f\.g'$",
    ),
    "missing": (
        ("[n] y = f.hard(x)", "soft (x) => (y) { y = Relu(x) }"),
        r"node 'n' \(f\.hard\): operator 'hard' of domain 'f' is not known; known: soft",
    ),
    "inputs": (("y = f.g(x, x)", RELU), r"node 'y' \(f\.g\): function 'f\.g' takes 1 inputs, not 2"),
    "outputs": (("y, z = f.g(x)", RELU), "function 'f.g' makes 1 outputs, not 2"),
    "attribute": (
        ("y = f.g<b = 1>(x)", "g <a: int = 1> (x) => (y) { y = Relu(x) }"),
        "has no attribute 'b'; known: a",
    ),
    "input that is not given": (
        ("y = f.g(x)", "g (x, z) => (y) { y = Add(x, z) }"),
        r"node 'y/y' \(Add\) of function 'f\.g': .*2",
    ),
    "output that nothing makes": (
        ("y = f.g(x)", "g (x) => (y) { z = Relu(x) }"),
        "'y' is to come out of 'y/', where nothing makes it",
    ),
    "outer name": (
        ("w = Relu(x)\n y = f.g(x)", "g (x) => (y) { y = Add(x, w) }"),
        "reads 'w', which nothing before it makes",
    ),
    "cycle": (
        ("y = f.g(x)", "g (x) => (y) { y = Relu(a)\n a = Relu(y) }"),
        "reads 'a', which nothing before it makes",
    ),
    "made twice": (
        ("y = f.g(x)", "g (x) => (y) { y = Relu(x)\n y = Tanh(x) }"),
        r"node 'y/y' \(Tanh\) of function 'f.g': makes 'y', which is there already",
    ),
    "defined twice": (("y = f.g(x)", RELU, RELU), r"function 'f\.g' is in it twice"),
    "unknown inside": (
        ("[n] y = f.g(x)", "g (x) => (y) { y = Strange(x) }"),
        r"node 'n/y' \(Strange\) of function 'f\.g': operator 'Strange' is not",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_function_is_named_with_its_node_and_file(name, tmp_path):
    (body, *functions), message = WRONG[name]
    refused(tmp_path, text(f"net (float[2, 4] x) => (y) {{ {body} }}", *functions), message)


def test_names_that_are_not_text_are_refused(tmp_path):
    data = text("net (float[2] x) => (y) { y = f.g(x) }", "g (abc) => (y) { y = Relu(abc) }").SerializeToString()
    refused(tmp_path, onnx.ModelProto.FromString(data.replace(b"abc", b"ab\xff")), "names that are not text")


def bomb(levels, calls):
    functions = [f"g{n} (x) => (y) {{ y = f.g{n + 1}(x) }}" for n in range(levels)]
    made = text("net (float[2] x) => (y) { y = f.g0(x) }", *functions, f"g{levels} (x) => (y) {{ y = Relu(x) }}")
    for function in made.functions:
        node = function.node[0]
        del function.node[:]
        for number in range(calls):
            function.node.append(node)
            function.node[number].output[0] = f"y{number}" if number else "y"
    return made


def test_a_bomb_of_calls_is_refused_at_once(tmp_path):
    refused(tmp_path, bomb(12, 9), "there are more than 150000 nodes")
    refused(tmp_path, bomb(70, 1), "nested deeper than 64")
    assert len(read(tmp_path, bomb(3, 2)).nodes) == 2  # what nothing reads is not in the network


def test_what_is_not_known_in_a_function_is_left_out(tmp_path):
    made = text(
        "net (float[2] x) => (y, z) { y, z = f.g(x) }", "g (x) => (y, z) { y = Relu(x)\n a = Strange(y)\n z = Tanh(a) }"
    )
    graph = read(tmp_path, made, unknown="skip")
    assert ops(graph) == ["Relu()"]
    assert "Strange (1), and 1 behind them" in graph.notes[0]


def test_results_that_a_call_does_not_ask_for_are_read_by_nobody(tmp_path):
    names = ["scale", "shift", "mean", "variance"]
    norm = helper.make_node("BatchNormalization", ["x", *names], ["y", "m", "v"], training_mode=1)
    made = model(
        [one("norm", ["x", *names], domain="f")], {"x": (2, 3, 4)}, dict.fromkeys(names, (3,)), ["y"], opset=15
    )
    made.functions.append(
        helper.make_function("f", "norm", ["x", *names], ["y", "m", "v"], [norm], [helper.make_opsetid("", 15)])
    )
    assert [node.op.kind for node in read(tmp_path, made).nodes.values()] == ["Input", "TrainingBatchNorm"]
    made.graph.node[-1].output.extend(["m", "v"])
    made.graph.output.add(name="m")
    refused(tmp_path, made, "node 'y/y' .*its running statistics are used")


def as_function(made):
    """The same model, whose nodes are those of a function."""
    names = [value.name for value in (*made.graph.input, *made.graph.initializer)]
    ends = [value.name for value in made.graph.output]
    called = onnx.ModelProto()
    called.CopyFrom(made)
    kind = f"f{len(called.functions)}"
    called.functions.append(helper.make_function("f", kind, names, ends, made.graph.node, [*made.opset_import]))
    del called.graph.node[:]
    called.graph.node.append(helper.make_node(kind, names, [f"{end} again" for end in ends], "call", domain="f"))
    for value in called.graph.output:
        value.name += " again"
    return called


def as_branch(made):
    """The same model, whose nodes are those of a branch that is taken."""
    ends = [value.name for value in made.graph.output]
    branch = helper.make_graph(made.graph.node, "g", [], made.graph.output)
    other = helper.make_graph([one("Nothing", ["nowhere"], [end]) for end in ends], "g", [], made.graph.output)
    held = onnx.ModelProto()
    held.CopyFrom(made)
    del held.graph.node[:]
    results = [f"{end} again" for end in ends]
    taken = f"taken {len(held.graph.initializer)}"
    held.graph.initializer.append(numpy_helper.from_array(np.array(True), taken))
    held.graph.node.append(helper.make_node("If", [taken], results, "if", then_branch=branch, else_branch=other))
    for value in held.graph.output:
        value.name += " again"
    return held


@settings(max_examples=60, deadline=None)
@given(
    st.randoms(use_true_random=False).map(random_model),
    st.lists(st.sampled_from([as_function, as_branch]), min_size=1, max_size=3),
)
def test_a_model_in_functions_and_branches_is_the_model(tmp_path_factory, made, wraps):
    plain = read(tmp_path_factory.mktemp("plain"), made)
    wrapped = made
    for wrap in wraps:
        wrapped = wrap(wrapped)
    graph = read(tmp_path_factory.mktemp("wrapped"), wrapped)
    assert ops(graph) == ops(plain)
    assert [tensor.shape for tensor in graph.outputs] == [tensor.shape for tensor in plain.outputs]
    assert (graph.macs, graph.parameters) == (plain.macs, plain.parameters)


# What onnx says that an operator stands for


EXPLAINED = {
    "Celu": ({"alpha": 2.0}, ()),
    "Selu": ({}, ()),
    "Shrink": ({"lambd": 0.25}, ()),
    "ThresholdedRelu": ({"alpha": 0.5}, ()),
    "MeanVarianceNormalization": ({"axes": [0, 2]}, ()),
    "CenterCropPad": ({"axes": [1, 2]}, (np.array([2, 6]),)),
}


@pytest.mark.parametrize("kind", EXPLAINED)
def test_an_operator_that_only_onnx_knows_is_what_onnx_says(kind, tmp_path, monkeypatch):
    monkeypatch.delitem(Op.onnx_registry, kind, raising=False)
    attributes, constants = EXPLAINED[kind]
    given = {f"c{number}": array for number, array in enumerate(constants)}
    made = model([one(kind, ("x", *given), name="node", **attributes)], {"x": (2, 3, 4)}, given, ["y"], opset=18)
    graph = read(tmp_path, made)
    assert graph.notes == (f"read as the operators that onnx says they stand for: {kind} (1)",)
    assert {node.block for node in graph.nodes.values() if node.inputs} == {"node"}
    x = np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)
    (theirs,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})
    assert graph.outputs[0].shape == theirs.shape
    if not any(node.weights for node in graph.nodes.values()):
        np.testing.assert_allclose(execute(graph, [x])[0], theirs, rtol=1e-5)


# Branches


def test_a_constant_condition_takes_its_branch(tmp_path):
    body = """net (float[2, 3] x) => (y) {
        s = Shape(x)
        n = Size(x)
        six = Constant<value_int: int = SIZE>()
        c = Equal(n, six)
        w = Relu(x)
        [if] y = If (c) <
            then_branch = g () => (z) { [soft] z = Softmax(w) },
            else_branch = g () => (z) { h = Tanh(w)\n z = Sigmoid(h) }
        >
    }"""
    graphs = [read(tmp_path, text(body.replace("SIZE", size))) for size in ("6", "7")]
    assert [list(graph.nodes)[1:] for graph in graphs] == [["w", "if.then.soft"], ["w", "if.else.h", "if.else.z"]]
    assert graphs[0].sources["if.then.soft"] == Source("node", "if")


DATA = """net (float[2, 3] x) => (y) {
    s = ReduceSum<keepdims = 0>(x)
    zero = Constant<value_float: float = 0.0>()
    c = Greater(s, zero)
    [if] y = If (c) <
        then_branch = g () => (z) <float[3, 5] w = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> { z = MatMul(x, w) },
        else_branch = g () => (z) { a = Concat<axis = 1>(x, x)\n z = Relu(OTHER) }
    >
}"""


def test_a_condition_that_depends_on_data_is_refused_with_what_the_branches_cost(tmp_path):
    refused(
        tmp_path,
        text(DATA.replace("OTHER", "a")),
        r"node 'if' \(If\): its condition is not known from the file, so that either branch may run; "
        r"then_branch holds MatMul \(1 layers, 15 parameters, 30 MACs\); "
        r"else_branch holds Concat, Relu \(2 layers, 0 parameters, 0 MACs\); --unknown skip leaves it out",
    )
    refused(tmp_path, text(DATA.replace("OTHER", "b")), "; else_branch holds Concat, Relu; --unknown")
    graph = read(tmp_path, text(DATA.replace("OTHER", "a")), unknown="skip")
    assert ops(graph)[-1] == "Greater(held=((), None)" or "Greater" in ops(graph)[-1]
    assert "If (1)" in graph.notes[0]


# Loops


def looped(trips, body, outputs="y, all", inputs="n, go, x", start=1):
    """A loop of a body that takes i, c and h and makes d, k and more; w is a matrix of 4x4, and x of 2x4."""
    quarters = ", ".join(["0.25"] * 16)
    made = text(f"""net (float[2, 4] x) => ({outputs}) <float[4, 4] w = {{{quarters}}}> {{
        n = Constant<value_int: int = {trips}>()
        four = Constant<value_int: int = 4>()
        one = Constant<value_ints: ints = [1]>()
        go = Constant<value = bool {{{start}}}>()
        [loop] {outputs} = Loop ({inputs}) <body = {body}>
    }}""")
    for output in made.graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    return made


DENSE = """g (int64 i, bool c, h) => (d, k, m) {
    d = Identity(c)
    a = MatMul(h, w)
    k = Relu(a)
    m = ReduceMax<keepdims = 0>(k, one)
}"""


def same_as_onnx_runtime(graph, made):
    """Run both, where every weight is 0.25."""
    inputs = [np.arange(given.elements, dtype=np.float32).reshape(given.shape) / 8 for given in graph.inputs]
    weights = {
        name: {weight.name: np.full(weight.shape, 0.25, np.float32) for weight in node.weights}
        for name, node in graph.nodes.items()
    }
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    results = session.run(None, dict(zip(names, inputs, strict=True)))
    for ours, theirs in zip(execute(graph, inputs, weights), results, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_loop_is_a_block_for_each_trip(tmp_path):
    made = looped(3, DENSE)
    graph = read(tmp_path, made)
    assert graph.macs == 3 * 2 * 4 * 4
    assert graph.parameters == 16  # all trips read one matrix
    assert [name for name, node in graph.nodes.items() if node.op.kind == "Linear"] == [f"loop.{n}.a" for n in range(3)]
    same_as_onnx_runtime(graph, made)


@pytest.mark.parametrize("suffix", [".yaml", ".onnx"])
def test_what_was_unrolled_goes_around(suffix, tmp_path):
    called = functions()
    called.graph.output.extend([onnx.ValueInfoProto(name=name) for name in ("more", "two", "t")])
    for made in (looped(3, DENSE), called):
        graph = read(tmp_path, made)
        path = tmp_path / f"again{suffix}"
        path.write_bytes(exporters.format_of(path).encode(graph))
        assert costmodel.network(str(path)) == graph


def test_nodes_of_one_name_hold_weights_of_their_own(tmp_path):
    held = "<body = g (int64 i, bool c, h) => (c, k) <float[2, 2] w = {1, 2, 3, 4}> { k = MatMul(h, w) }>"
    made = text(f"""net (float[2, 2] x) => (y) {{
        go = Constant<value = bool {{1}}>()
        n = Constant<value_int: int = 3>()
        [n] a = Loop (n, go, x) {held}
        [n] y = Loop (n, go, a) {held}
    }}""")
    graph = read(tmp_path, made)
    assert (graph.parameters, graph.macs) == (2 * 4, 2 * 3 * 8)
    assert len(graph.nodes) == 7


def test_a_function_that_two_branches_call_holds_its_weight_once(tmp_path):
    made = text(
        """net (float[2, 2] x) => (y) {
            t = Constant<value = bool {1}>()
            a = If (t) <then_branch = g () => (u) { u = f.d(x) }, else_branch = g () => (u) { u = Relu(x) }>
            y = If (t) <then_branch = g () => (u) { u = f.d(a) }, else_branch = g () => (u) { u = Relu(x) }>
        }""",
        "d (x) => (y) { w = Constant<value = float[2, 2] {1, 2, 3, 4}>()\n y = MatMul(x, w) }",
    )
    graph = read(tmp_path, made)
    assert (graph.parameters, graph.macs) == (4, 2 * 8)


def test_one_trip_and_none(tmp_path):
    assert "loop.0.a" in read(tmp_path, looped(1, DENSE)).nodes
    for never in (looped(0, DENSE), looped(5, DENSE, start=0)):
        refused(tmp_path, never, r"node 'loop' \(Loop\): would make an empty map as 'all'")
        del never.graph.output[1]
        assert read(tmp_path, never).outputs[0].node.op.kind == "Input"


def test_a_condition_that_follows_from_the_trip_ends_a_loop(tmp_path):
    made = looped(2**63 - 1, DENSE.replace("Identity(c)", "Less(i, four)"))
    graph = read(tmp_path, made)
    assert graph.macs == 5 * 2 * 16  # trips 0 to 4, after which 4 < 4 is no longer true
    same_as_onnx_runtime(graph, made)


def test_shapes_may_change_from_trip_to_trip(tmp_path):
    grown = "g (int64 i, bool c, h) => (d, k) { d = Identity(c)\n k = Concat<axis = 1>(h, x) }"
    made = looped(3, grown, outputs="y")
    graph = read(tmp_path, made)
    assert graph.outputs[0].shape == (2, 16)
    same_as_onnx_runtime(graph, made)
    refused(
        tmp_path,
        looped(3, "g (int64 i, bool c, h) => (d, k, k) { d = Identity(c)\n k = Concat<axis = 1>(h, x) }"),
        r"node 'loop' \(Loop\): cannot stack maps of different shapes: 2x8 and 2x12",
    )


def test_loops_in_branches_in_loops_see_what_is_around_them(tmp_path):
    inner = "g (int64 j, bool e, q) => (e2, r) { e2 = Identity(e)\n p = Mul(q, h)\n r = Add(p, x) }"
    body = f"""g (int64 i, bool c, h) => (d, k) {{
        d = Identity(c)
        less = Less(i, one)
        k = If (less) <
            then_branch = g () => (u) {{ [inner] u = Loop (n, go, h) <body = {inner}> }},
            else_branch = g () => (u) {{ u = Tanh(h) }}
        >
    }}"""
    made = looped(2, body, outputs="y")
    graph = read(tmp_path, made)
    assert list(graph.nodes)[1:] == ["loop.0.k.then.inner.0.p", "loop.0.k.then.inner.0.r", "loop.0.k.then.inner.1.p",
                                     "loop.0.k.then.inner.1.r", "loop.1.k.else.u"]  # fmt: skip
    same_as_onnx_runtime(graph, made)


def without_trips(made):
    made.graph.node[-1].input[0] = ""
    return made


def with_trips_that_flow(made):
    made.graph.input.append(helper.make_tensor_value_info("flows", TensorProto.INT64, [1]))
    made.graph.node[-1].input[0] = "flows"
    return made


REFUSED = {
    "trips that flow": (
        with_trips_that_flow(looped(3, DENSE)),
        "the number of its trips is not known from the file; its body holds Identity, MatMul, ReduceMax, Relu;",
    ),
    "a condition that flows": (
        looped(
            3, "g (int64 i, bool c, h) => (d, k, m) { k = Relu(h)\n m = ReduceMax<keepdims = 0>(k)\n d = Less(m, m) }"
        ),
        "whether trip 1 runs is not known from the file; its body holds Less, ReduceMax, Relu",
    ),
    "too many": (looped(10**12, DENSE), "with what 'Loop' stands for there are more than 150000 nodes"),
    "no end": (without_trips(looped(3, DENSE)), "never ends: it has no number of trips"),
    "values": (
        looped(3, DENSE, inputs="n, go"),
        "carries 0 values and has 2 outputs, where its body has 3 inputs and 3 outputs",
    ),
    "unknown": (
        looped(3, DENSE.replace("Relu", "Strange")),
        r"node 'loop/0/k' \(Strange\): operator 'Strange' is not known",
    ),
    "misfit": (looped(3, DENSE.replace("(h, w)", "(w, x)")), r"node 'loop/0/a' \(MatMul\): .*: "),
    "no body": (looped(3, DENSE.replace("g (int64 i", "g (a, int64 i")), "carries 1 values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loop_that_cannot_be_costed_says_why(name, tmp_path):
    refused(tmp_path, *REFUSED[name])


def test_a_loop_of_which_nobody_knows_the_end_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(importer, "NODE_LIMIT", 900)
    refused(tmp_path, looped(10**12, DENSE.replace("Identity(c)", "Less(i, n)")), "there are more than 900 nodes")
    refused(tmp_path, without_trips(looped(10**12, DENSE.replace("Identity(c)", "Less(i, n)"))), "more than 900 nodes")


def test_a_loop_that_is_not_known_is_left_out(tmp_path):
    graph = read(tmp_path, after_relu(with_trips_that_flow(looped(3, DENSE))), unknown="skip")
    assert ops(graph) == ["Relu()"]
    assert "Loop (1)" in graph.notes[0]


def after_relu(made):
    made.graph.node.insert(0, one("Relu", ["x"], ["x2"]))
    made.graph.node[-1].input[2] = "x2"
    return made


# Scans


def scanned(opset=16, shape=(3, 2, 4), **attributes):
    """An accumulated product h = relu(h * w + x), and its maximum, over the first axis of x."""
    quarter = numpy_helper.from_array(np.full((4, 4), 0.25, np.float32), "w")
    body = helper.make_graph(
        [one("MatMul", ["h", "w"], ["p"]), one("Add", ["p", "part"], ["s"]), one("Relu", ["s"], ["k"]),
         one("Concat", ["k", "part"], ["both"], axis=-1)],
        "body", [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 4)) for name in ("h", "part")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, size)) for name, size in (("k", 4), ("both", 8))],
    )  # fmt: skip
    node = one("Scan", ["h0", "x"], ["y", "all"], "scan", body=body, num_scan_inputs=1, **attributes)
    if opset == 8:
        node.input.insert(0, "")
    made = model([node], {"x": shape, "h0": (*shape[:-3], 2, 4)}, {}, ["y", "all"], opset=opset)
    made.graph.initializer.append(quarter)
    return made


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((3, 2, 4), {}),
        ((1, 2, 4), {}),
        ((2, 3, 4), {"scan_input_axes": [1]}),
        ((2, 4, 3), {"scan_input_axes": [-1], "scan_input_directions": [1], "scan_output_axes": [-1]}),
        ((3, 2, 4), {"scan_output_directions": [1], "scan_output_axes": [1]}),
        ((5, 3, 2, 4), {"opset": 8}),
        ((1, 3, 2, 4), {"opset": 8, "directions": [1]}),
    ],
)
def test_a_scan_is_a_block_for_each_place_of_an_axis(shape, attributes, tmp_path):
    made = scanned(shape=shape, **attributes)
    graph = read(tmp_path, made)
    trips = 3 if 3 in shape else 1
    images = shape[0] if "opset" in attributes else 1
    assert (graph.macs, graph.parameters) == (images * trips * 2 * 4 * 4, 16)
    same_as_onnx_runtime(graph, made)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"scan_input_axes": [3]}, "has axis 3, where there are 3"),
        ({"scan_input_axes": [0, 1]}, r"scan_input_axes must be 1 numbers, not \[0, 1\]"),
        ({"scan_input_directions": 1}, "scan_input_directions must be a list of whole numbers, not 1"),
        ({"scan_output_axes": [4]}, "has axis 4, where there are 3"),
        ({"shape": (10**6, 2, 4)}, "more than 150000 nodes"),
    ],
)
def test_a_scan_that_does_not_fit_is_refused(attributes, message, tmp_path):
    refused(tmp_path, scanned(**attributes), rf"node 'scan' \(Scan\): .*{message}")


def test_a_scan_needs_something_to_scan(tmp_path):
    made = scanned()
    made.graph.node[-1].attribute[1].i = 0
    refused(tmp_path, made, "carries 2 values, scans 0 and has 2 outputs")


# Sequences and optional values


def test_a_sequence_leaves_only_its_splits_and_joins(tmp_path):
    made = text("""net (float[2, 6] x) => (y, z) {
        parts = SplitToSequence<axis = 1>(x, three)
        h = Relu(x)
        more = SequenceInsert(parts, h)
        front = SequenceInsert(more, h, zero)
        less = SequenceErase(front, two)
        n = SequenceLength(less)
        last = Sub(n, one)
        a = SequenceAt(less, last)
        b = SequenceAt(less, minus)
        y = Add(a, b)
        z = ConcatFromSequence<axis = -1>(less)
    }""")
    values = {"three": 3, "zero": 0, "two": 2, "one": 1, "minus": -3}
    made.graph.initializer.extend([numpy_helper.from_array(np.array(value), name) for name, value in values.items()])
    graph = read(tmp_path, made)
    assert [node.op.kind for node in graph.nodes.values()][1:] == ["Slice", "Relu", "Add", "Concat"]
    assert [tensor.shape for tensor in graph.outputs] == [(2, 6), (2, 6 + 3 + 6)]
    same_as_onnx_runtime(graph, made)


@pytest.mark.parametrize(
    ("attributes", "split", "shapes"),
    [
        ({}, None, [(1, 6), (1, 6)]),
        ({"keepdims": 0}, None, [(6,), (6,)]),
        ({"axis": -1}, np.array(4), [(2, 4), (2, 2)]),
        ({"axis": 1}, np.array([1, 5]), [(2, 1), (2, 5)]),
        ({"axis": 1}, np.array(9), [(2, 6)]),
    ],
)
def test_parts_of_a_map_are_a_sequence(attributes, split, shapes, tmp_path):
    given = {} if split is None else {"split": split}
    nodes = [one("SplitToSequence", ["x", *given], ["s"], **attributes)]
    nodes += [one("SequenceAt", ["s", f"p{n}"], [f"y{n}"]) for n in range(len(shapes))]
    places = {f"p{n}": np.array(n) for n in range(len(shapes))}
    made = model(nodes, {"x": (2, 6)}, given | places, [f"y{n}" for n in range(len(shapes))])
    graph = read(tmp_path, made)
    assert [tensor.shape for tensor in graph.outputs] == shapes
    if len(shapes) > 1:
        same_as_onnx_runtime(graph, made)


def test_a_function_of_each_of_a_sequence(tmp_path):
    made = text("""net (float[2, 6] x) => (y) {
        h = Tanh(x)
        pair = SequenceConstruct(x, h)
        each = SequenceMap(pair) <body = g (float[2, 6] q) => (float[2, 6] r) { r = Add(q, h) }>
        y = ConcatFromSequence<axis = 0, new_axis = 1>(each)
    }""")
    graph = read(tmp_path, made)
    assert [node.op.kind for node in graph.nodes.values()].count("Add") == 2
    assert graph.outputs[0].shape == (2, 2, 6)
    assert "SequenceMap (1)" in graph.notes[0]


def test_an_optional_value_is_the_value(tmp_path):
    body = """net (float[2, 6] x) => (y) {
        o = Optional(x)
        has = OptionalHasElement(o)
        y = If (has) <
            then_branch = g () => (z) { e = OptionalGetElement(o)\n z = Relu(e) },
            else_branch = g () => (z) { z = Tanh(x) }
        >
    }"""
    assert ops(read(tmp_path, text(body))) == ["Relu()"]
    empty = text(body)
    del empty.graph.node[0].input[:]
    assert ops(read(tmp_path, empty)) == ["Tanh()"]
    empty.graph.node[1].op_type = "OptionalGetElement"
    refused(tmp_path, empty, r"node 'has' \(OptionalGetElement\): takes the element of an optional value that has none")


SEQUENCE = {
    "place": ("y = SequenceAt(s, five)", r"has the place 5 of a sequence of 2"),
    "place that flows": ("n = Size(x)\n y = SequenceAt(s, x)", "the place in the sequence is not known from the file"),
    "map": ("y = SequenceAt(x, five)", "its input 0 is not a sequence"),
    "sequence": ("y = Relu(s)", "reads a sequence in the place of a map"),
    "sequences": ("e = SequenceEmpty()\n y = SequenceErase(e)", "cannot erase anything of an empty sequence"),
    "nothing": ("e = SequenceEmpty()\n y = ConcatFromSequence<axis = 0>(e)", "would make an empty map"),
    "nested": (
        "e = SequenceConstruct(s)\n y = ConcatFromSequence<axis = 0>(e)",
        "reads a sequence or nothing in the place",
    ),
    "axis": ("y = ConcatFromSequence<axis = 7>(s)", "has axis 7, where there are 2"),
    "parts": ("y = SplitToSequence<axis = 1>(x, parts)", r"cannot split 6 into parts of \[5, 5\]"),
    "too many": ("w = Expand(h, much)\n y = SplitToSequence<axis = 0, keepdims = 0>(w)", "more than 150000 nodes"),
    "far too many": ("w = Expand(h, more)\n y = SplitToSequence<axis = 0>(w)", "more than 150000 nodes"),
    "size": ("y = SplitToSequence<axis = 1>(x, none)", "cannot split 6 into parts of 0"),
    "grows": (
        "".join(
            [
                f"{name} = SequenceInsert({'s' if name == 'q0' else f'q{number - 1}'}, x)\n "
                for number in range(4)
                for name in [f"q{number}"]
            ]
        )
        + "y = ConcatFromSequence<axis = 0>(q3)",
        r"node 'q3' \(SequenceInsert\): changes a sequence of 5; at most 4",
    ),
}


@pytest.mark.parametrize("name", SEQUENCE)
def test_a_wrong_sequence_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "LONGEST", 4)
    nodes, message = SEQUENCE[name]
    made = text(f"net (float[2, 6] x) => (y) {{ h = Relu(x)\n s = SequenceConstruct(x, h)\n {nodes} }}")
    values = {"five": 5, "none": 0, "parts": [5, 5], "much": [10**6, 2, 6], "more": [10**12, 2, 6]}
    made.graph.initializer.extend([numpy_helper.from_array(np.array(value), name) for name, value in values.items()])
    refused(tmp_path, made, message)
