"""Whole networks run for real, against ONNX Runtime and against float64; batch norms; what ``execute`` is given."""

import math
import tracemalloc
import weakref
import zlib
from dataclasses import replace

import numpy as np
import pytest
from equations import OFF, U, assert_same, onnx_runtime, per_channel, wide
from hypothesis import given, settings
from hypothesis import strategies as st

import costmodel
from costmodel.errors import CostModelError
from costmodel.execute import checked_inputs, execute, walk
from costmodel.execute.weights import CHUNK, seeded_input, seeded_weights, uniform
from costmodel.exporters.onnx import assembled, model
from costmodel.graph import Graph, Node, Op
from costmodel.ops import (
    Add,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Input,
    Linear,
    MatMul,
    Mul,
    PRelu,
    Relu,
    Reshape,
    Sigmoid,
    TrainingBatchNorm,
)

# At sizes that keep them quick; 97 leaves GoogLeNet maps on which a pool's last window overhangs.
NETWORKS = [
    ("lenet5", {}),
    ("alexnet", {"size": 67, "classes": 10}),
    ("squeezenet", {"size": 97}),
    ("googlenet", {"size": 97}),
    ("resnet18", {"size": 49, "classes": 10}),
    ("densenet121", {"size": 64}),
    ("mobilenet_v2", {"size": 96}),
    ("shufflenet", {"size": 96}),
    ("shufflenet", {"size": 64, "squeeze_excite": True}),
    ("nasnet_a_mobile", {"size": 65}),
    ("hairnet", {"size": 96}),
]


def weights_of(graph, seed=0):
    return {name: seeded_weights(name, node, seed) for name, node in graph.nodes.items()}


def maps(graph, inputs, weights):
    """Node name -> what the node makes."""
    return {name: made for name, _, (made,) in walk(graph, inputs, weights)}


def rounding(graph, x, weights):
    """What a network's maps are in float64, and how far they move if each one is rounded to float32.

    That is the least that float32 can do, with all that the network makes of it. An operator that sums n products
    rounds n times where this rounds once. Errors of either sign add up to no more than 4 * sqrt(n) of them, but for one
    case in a thousand (Higham and Mary, A new approach to probabilistic rounding error analysis, 2019), where n is that
    of the longest sum so far; a whole map's errors, taken together, do not come near. A softmax moves no more than its
    operand does, and the few values that it is left with have no chance to average.
    """
    exact = graph.replay(dtype="float64")
    constants = {layer: wide(given) for layer, given in weights.items()}
    right, rounded, bounds, longest = {}, {}, {}, 1
    for layer, node in exact.nodes.items():
        operands = node.inputs
        for made in (right, rounded):
            if node.inputs:
                made[node.outputs[0]] = node.op.run(*(made[tensor] for tensor in operands), **constants[layer])
            else:
                made[node.outputs[0]] = x.astype("float64")
        (y,) = node.outputs
        rounded[y] = rounded[y].astype("float32").astype("float64")
        pooled = math.prod(operands[0].shape[2:]) if node.op.kind == "GlobalAveragePool" else 1
        longest = max(longest, node.op.loops(*node.input_shapes).reduction, pooled)
        bounds[y] = 4 * math.sqrt(longest) * np.linalg.norm(rounded[y] - right[y])
        if node.op.kind == "Softmax":
            own = OFF["Softmax"](node.op, U["float32"], right[y], [right[operands[0]]], {})
            bounds[y] = bounds[operands[0]] + np.linalg.norm(own)
    return {layer: (right[node.outputs[0]], bounds[node.outputs[0]]) for layer, node in exact.nodes.items()}


@pytest.mark.parametrize(
    ("network", "parameters"), NETWORKS, ids=["-".join([name, *chosen]) for name, chosen in NETWORKS]
)
def test_a_network_is_that_of_onnx_runtime(network, parameters):
    graph = costmodel.network(network, **parameters)
    weights, x = weights_of(graph), seeded_input(graph.inputs[0], 0, 0)
    names = {node: layer for layer, node in graph.nodes.items()}
    layers = [node for node in names if node.inputs]
    made = model(Graph([node.outputs[0] for node in layers], graph.name), weights)
    theirs = dict(zip(names.values(), [x, *onnx_runtime(made, [x], plain=True)], strict=True))

    # Each layer makes of ONNX Runtime's maps what that makes of them.
    for node in layers:
        layer, inputs = names[node], [theirs[names[tensor.node]] for tensor in node.inputs]
        with np.errstate(over="ignore"):
            y = node.op.run(*inputs, **weights[layer])
        assert_same(node.op, y, theirs[layer], inputs, weights[layer])

    # Both networks are off by rounding alone, in every map.
    right = rounding(graph, x, weights)
    for side in (maps(graph, [x], weights), theirs):
        for layer, (exact, bound) in right.items():
            assert np.linalg.norm(side[layer] - exact) <= bound, layer

    # So is ONNX Runtime's as it would run, with batch norms folded and activations fused, up to the softmax.
    last = next(node for node in reversed(layers) if node.op.kind != "Softmax")
    (fused,) = onnx_runtime(assembled(Graph(last.outputs), weights), [x])
    exact, bound = right[names[last]]
    assert np.linalg.norm(fused - exact) <= bound < 0.01 * np.linalg.norm(exact)


# Batch norms.

dtypes = st.sampled_from(["float32", "float64"])
shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 7), st.integers(1, 7))
quick = settings(max_examples=60, deadline=None)


@quick
@given(shapes, st.integers(0, 2**32 - 1), dtypes)
def test_a_batch_norm_in_training_has_mean_beta_and_variance_gamma_squared(shape, seed, dtype):
    """Up to epsilon: the variance is gamma^2 * v / (v + epsilon), where v is that of the channel."""
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(), 2, shape).astype(dtype)
    gamma, beta = (rng.normal(size=shape[1]).astype(dtype) for _ in range(2))
    op = TrainingBatchNorm(0.01)
    y = op.run(x, gamma, beta)
    assert y.dtype == dtype
    over = (0, 2, 3)
    exact = x.astype("float64")
    center, variance = exact.mean(axis=over), exact.var(axis=over)
    # Sums of n values, twice (the mean, and the squares about it), and ten operations on each; in a channel of one
    # value x - mean is nothing but what rounding leaves, and epsilon keeps it from growing.
    n = exact[:, 0].size
    largest = (abs(exact).max(axis=over) + abs(center)) / np.sqrt(variance + op.epsilon) * abs(gamma) + abs(beta)
    off = (2 * n + 10) * U[dtype] * largest
    assert (abs(y.mean(axis=over, dtype="float64") - beta) <= off).all()
    spread = np.sqrt(variance / (variance + op.epsilon)) * abs(gamma)
    assert (abs(y.std(axis=over, dtype="float64") - spread) <= off).all()
    # At inference, with the statistics of the batch, it makes the same.
    fed = BatchNorm(op.epsilon).run(x, gamma, beta, center.astype(dtype), variance.astype(dtype))
    assert (abs(fed.astype("float64") - y) <= 2 * per_channel(off, x)).all()


def folded(graph, weights):
    """The network without batch norms: gamma / sigma times the kernel before one, and beta - mean * gamma / sigma."""
    made, constants, names = {}, {}, {}
    for layer, node in graph.nodes.items():
        if isinstance(node.op, BatchNorm):
            (before,) = node.inputs
            made[node.outputs[0]] = made[before]
            kernel, norm = constants[names[before.node]], weights[layer]
            gain = norm["gamma"] / np.sqrt(norm["variance"] + node.op.epsilon)
            kernel["weight"] = kernel["weight"] * gain.reshape(-1, 1, 1, 1)
            kernel["bias"] = (kernel["bias"] - norm["mean"]) * gain + norm["beta"]
            continue
        op, constants[layer], names[node] = node.op, dict(weights[layer]), layer
        if isinstance(op, Conv):
            op = replace(op, bias=True)
            constants[layer].setdefault("bias", np.zeros(op.filters, weights[layer]["weight"].dtype))
        copy = Node(op, [made[tensor] for tensor in node.inputs], node.name, node.block)
        made |= zip(node.outputs, copy.outputs, strict=True)
    return Graph([made[tensor] for tensor in graph.outputs], graph.name, dtype=graph.dtype), constants


def same_when_folded(graph):
    """In float64, where what was worked out for float32 is smaller by 2^29: u is 2^-53 and not 2^-24."""
    weights = weights_of(graph)
    x = seeded_input(graph.inputs[0], 0, 0)
    *_, (exact, bound) = rounding(graph, x, weights).values()
    wider, constants = folded(graph.replay(dtype="float64"), {layer: wide(given) for layer, given in weights.items()})
    assert not any(isinstance(node.op, BatchNorm) for node in wider.nodes.values())
    (y,) = execute(wider, wide([x]), constants)
    return np.linalg.norm(y - exact) <= bound * 2.0**-29


@quick
@given(st.integers(1, 3), st.sampled_from([1, 1, 2, 3]), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_a_batch_norm_folds_into_the_convolution_before_it(kernel, groups, each, filters, bias):
    x = Input((2, groups * each, 7, 6))()
    y = Conv(groups * filters, kernel, stride=2, pads=1, groups=groups, bias=bias)(x, name="conv")
    assert same_when_folded(Graph(BatchNorm()(y, name="bn")))


def test_a_whole_network_is_the_same_with_its_batch_norms_folded():
    assert same_when_folded(costmodel.network("hairnet", size=32, width=0.25, classes=10))


# What is given, and what comes out.


def small():
    """Two inputs, weights of both kinds, and a map that two layers read."""
    a, b = Input((1, 2, 4, 4))(), Input((1, 2, 1, 1))()
    x = Conv(2, 3, pads=1)(Add()(a, b, name="add"), name="conv")
    x = Mul()(BatchNorm()(x, name="bn"), Sigmoid()(x, name="gate"), name="mul")
    return Graph(Linear(3)(Flatten()(x, name="flatten"), name="fc"), "small")


def given_to(graph):
    return [seeded_input(tensor, number, 0) for number, tensor in enumerate(graph.inputs)], weights_of(graph)


def test_what_follows_from_a_seed_is_the_same_when_it_is_given():
    graph = small()
    inputs, weights = given_to(graph)
    named = {layer: given for layer, given in weights.items() if given}
    (y,) = execute(graph)
    for again in (execute(graph), execute(graph, inputs), execute(graph, inputs, weights), execute(graph, None, named)):
        np.testing.assert_array_equal(again[0], y)
    assert abs(execute(graph, seed=1)[0] - y).min() > 0


def test_the_inputs_are_in_the_order_of_the_graph():
    a, b = Input((1, 2))(), Input((2, 3))()
    x, y = np.array([[1, 2]], "float32"), np.array([[1, 0, 1], [0, 1, 1]], "float32")
    np.testing.assert_array_equal(execute(Graph(MatMul()(a, b)), [x, y])[0], [[1, 2, 3]])


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


def changed(weights, layer, key, value):
    return weights | {layer: weights[layer] | {key: value}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "bn"), "small: no weights for 'bn'; .*known: "),
        (lambda w: w | {"bn": {}}, "small: no weights for 'bn'"),
        (
            lambda w: without(w, "conv") | {"Conv": w["conv"]},
            "small: 'Conv' is no layer with weights; did you mean 'conv'",
        ),
        (lambda w: w | {"cnv": w["conv"]}, "small: 'cnv' is no layer with weights; did you mean 'conv'"),
        (lambda w: w | {"mul": w["conv"]}, "small: 'mul' is no layer with weights; .*known: bn, conv, fc"),
        (lambda w: w | {"fc": without(w["fc"], "bias")}, "small: 'fc' has no 'bias'; .*known: weight"),
        (lambda w: changed(w, "fc", "scale", w["fc"]["bias"]), "small: 'fc' takes no 'scale'; .*known: bias, weight"),
        (
            lambda w: changed(w, "fc", "bias", np.zeros(4, "float32")),
            "'fc': 'bias' must be float32 of 3, not float32 of 4",
        ),
        (lambda w: changed(w, "fc", "bias", np.zeros(3)), "small: 'fc': 'bias' must be float32 of 3, not float64 of 3"),
        (lambda w: changed(w, "fc", "bias", [0.0] * 3), "small: 'fc': 'bias' must be float32 of 3, not list of 3"),
        (
            lambda w: changed(w, "fc", "bias", np.full(3, np.nan, "float32")),
            "'fc': 'bias' has values that are not finite",
        ),
        (
            lambda w: changed(w, "bn", "mean", np.full(2, np.inf, "float32")),
            "'bn': 'mean' has values that are not finite",
        ),
    ],
)
def test_weights_that_do_not_fit(change, message):
    graph = small()
    inputs, weights = given_to(graph)
    with pytest.raises(CostModelError, match=message):
        next(walk(graph, inputs, change({layer: given for layer, given in weights.items() if given})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:1], "small: takes 2 inputs, not 1"),
        (lambda x: [*x, x[0]], "small: takes 2 inputs, not 3"),
        (lambda x: x[::-1], "small: input 0 must be float32 of 1x2x4x4, not float32 of 1x2x1x1"),
        (lambda x: [x[0], x[1].astype("float64")], "small: input 1 must be float32 of 1x2x1x1, not float64 of 1x2x1x1"),
        (lambda x: [x[0], x[1].tolist()], "small: input 1 must be float32 of 1x2x1x1, not list of 1x2x1x1"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    graph = small()
    with pytest.raises(CostModelError, match=message):
        execute(graph, change(given_to(graph)[0]))


@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float8"])
@pytest.mark.parametrize("inputs", [None, [np.zeros((1, 4))]])
def test_networks_run_in_float_types_only(dtype, inputs):
    with pytest.raises(CostModelError, match=f"networks run in float32, float64, float16, not in {dtype}"):
        execute(Graph(Relu()(Input((1, 4))()), dtype=dtype), inputs)


def test_whole_numbers_run_in_their_own_type():
    x = np.array([[-3, 0, 2, 7]], "int8")
    (y,) = execute(Graph(Relu()(Input((1, 4), "int8")())), [x])
    assert (y.dtype, y.tolist()) == ("int8", [[0, 0, 2, 7]])
    with pytest.raises(CostModelError, match="sigmoid: Sigmoid does not run in int8: it makes float16"):
        execute(Graph(Sigmoid()(Input((1, 4), "int8")())), [x])
    with pytest.raises(CostModelError, match="networks run in float32, float64, float16, not in bfloat16"):
        execute(Graph(Relu()(Input((1, 4), "bfloat16")())))


class Ends(Op, abstract=True):
    """The first row, and the last."""

    operands = 1

    def shapes(self, x):
        return (x[1:], x[1:])

    def run(self, x):
        return x[0], x[-1]


def test_an_operator_may_have_several_outputs():
    x = np.arange(6, dtype="float32").reshape(3, 2)
    first, last = Ends().apply(Input((3, 2))())
    assert [y.tolist() for y in execute(Graph([last, first]), [x])] == [[4, 5], [0, 1]]
    assert [y.tolist() for y in execute(Graph(Relu()(last)), [x])] == [[4, 5]]


@pytest.mark.parametrize("dtype", ["int8", "int64", "bool"])
def test_seeded_whole_numbers(dtype):
    (x,) = checked_inputs(Graph(Relu()(Input((1, 400), dtype)())), None, 0).values()
    assert x.dtype == dtype
    assert {"int8": (-127, 127), "int64": (0, 1), "bool": (0, 1)}[dtype] == (x.min(), x.max())


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "0"])
def test_a_seed_is_a_whole_number_of_64_bits(seed):
    with pytest.raises(CostModelError, match="a seed is an integer from 0 to 2\\^64 - 1, not"):
        execute(small(), seed=seed)


@pytest.mark.parametrize("dtype", U)
def test_a_network_runs_in_the_type_of_its_input(dtype):
    graph = small().replay(dtype=dtype)
    assert {made.dtype.name for made in maps(graph, None, None).values()} == {dtype}


def test_an_output_may_be_read_further_and_named_twice():
    a = Input((1, 3))()
    b = Relu()(a)
    c = Add()(b, a)
    x = np.array([[1, -2, 3]], "float32")
    made = execute(Graph([c, b, a, b]), [x])
    for array, values in zip(made, ([2, -2, 6], [1, 0, 3], [1, -2, 3], [1, 0, 3]), strict=True):
        np.testing.assert_array_equal(array, [values])
    np.testing.assert_array_equal(execute(Graph(Mul()(b, b)), [x])[0], [[1, 0, 9]])


@pytest.mark.parametrize("view", [Flatten(), Reshape((0, -1)), Dropout()], ids=lambda op: op.kind)
def test_views_come_first_last_and_alone(view):
    x = np.arange(-6, 6, dtype="float32").reshape(1, 3, 2, 2)
    shape = view.shape(x.shape)
    alone, last = view(a := Input(x.shape)()), view(Relu()(a))
    np.testing.assert_array_equal(execute(Graph(alone), [x])[0], x.reshape(shape))
    both = execute(Graph([Relu()(alone), last]), [x])
    for y in both:
        np.testing.assert_array_equal(y, x.clip(0).reshape(shape))


def test_what_is_given_stays_as_it_is():
    graph = costmodel.network("shufflenet", size=32, squeeze_excite=True)
    inputs, weights = given_to(graph)
    for array in (*inputs, *(array for arrays in weights.values() for array in arrays.values())):
        array.setflags(write=False)
    execute(graph, inputs, weights)


# Memory.


def test_a_map_goes_after_its_last_use():
    """What is there when a layer's result is: the result, what is read later, and what is an output."""
    a = Input((1, 4))()
    b = Relu()(a, name="b")
    c = Sigmoid()(b, name="c")
    d = Relu()(c, name="d")
    e = Add()(b, d, name="e")
    f = Relu()(e, name="f")
    there = {
        "input": {"input"},
        "b": {"b"},
        "c": {"b", "c"},
        "d": {"b", "c", "d"},
        "e": {"c", "e"},
        "f": {"c", "f"},
    }
    seen, found = {}, {}
    for name, _, arrays in walk(Graph([c, f])):
        seen[name] = weakref.ref(arrays[0])
        found[name] = {other for other, array in seen.items() if array() is not None}
    assert found == there


@pytest.mark.parametrize("rows", [1, 1024])
def test_a_deep_network_takes_the_memory_of_two_maps_and_one_layers_weights(rows):
    width, layers = 1024, 4
    x = Input((rows, width))()
    for _ in range(layers):
        x = Linear(width, bias=False)(x)
    graph = Graph(x)
    execute(graph)  # what is made once and kept is not a layer's
    tracemalloc.start()
    try:
        execute(graph)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    needed = 4 * (2 * rows * width + width * width)
    assert needed <= peak < 1.3 * needed


# Weights from a seed.


def philox(key, counter):
    """Philox4x64-10: four numbers of 64 bits (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011)."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = second >> 64 ^ c1 ^ k0, second % 2**64, first >> 64 ^ c3 ^ k1, first % 2**64
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % 2**64, (k1 + 0xBB67AE8584CAA73B) % 2**64
    return c0, c1, c2, c3


def fraction(key, seed, index):
    """Number ``index`` of what a key and a seed make, between 0 and 1: counters are from 1 on, and give four each."""
    number = philox((seed, zlib.crc32(key.encode())), (index // 4 + 1, 0, 0, 0))[index % 4]
    return (number >> 11) / 2**53


def test_philox_is_that_of_its_authors():
    """Two of the known answers that come with Random123."""
    assert philox((0, 0), (0, 0, 0, 0)) == (
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    )  # fmt: skip
    ones = 2**64 - 1
    assert philox((ones, ones), (ones, ones, ones, ones)) == (
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", U)
def test_values_are_those_of_philox(dtype):
    for key, seed, low, high in [
        ("stem.conv.weight", 0, -1.0, 1.0),
        ("input 0", 7, 0.5, 1.5),
        ("x", 2**64 - 1, 0.0, 3.0),
    ]:
        made = uniform(key, seed, (2 * CHUNK + 7,), low, high, dtype)
        assert made.dtype == dtype
        for index in (0, 1, 2, 3, 4, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 6):
            assert made[index] == np.dtype(dtype).type(low + (high - low) * fraction(key, seed, index))


def test_values_as_they_were_when_first_written_down():
    """As ``philox`` above gives them, so that both cannot change together."""
    assert uniform("stem.conv.weight", 0, (3,), -1, 1, "float64").tolist() == [
        0.5546491589228157, -0.270595051086042, 0.2691764531168832,
    ]  # fmt: skip
    assert uniform("input 0", 7, (3,), -1, 1, "float64").tolist() == [
        0.08597645540243448, -0.7157089224505655, -0.32006249481937976,
    ]  # fmt: skip


def test_a_layers_weights_follow_from_its_name_its_weights_name_and_the_seed():
    one, other = (Conv(2, 3)(Input((1, 4, 8, 8))(), name=name).node for name in ("one", "other"))
    first, again, second = (
        seeded_weights("one", one, 0),
        seeded_weights("one", other, 0),
        seeded_weights("other", one, 0),
    )
    np.testing.assert_array_equal(first["weight"], again["weight"])
    for different in (second["weight"], seeded_weights("one", one, 1)["weight"]):
        assert (first["weight"] != different).all()
    assert first["bias"][0] != first["weight"].flat[0]


def test_seeded_weights_are_in_range_and_keep_the_variance():
    """A kernel's variance is 2 over what goes into one output; uniform values have a third of their bound squared."""
    node = Conv(64, 3, groups=2)(Input((1, 64, 8, 8))()).node
    given = seeded_weights("conv", node, 0)
    bound = math.sqrt(6 / (32 * 9))
    assert 0.99 * bound < abs(given["weight"]).max() <= np.float32(bound)
    # 18,432 squares of standard deviation 2/sqrt(45) * bound^2; four of their mean's are 2.6 percent of bound^2 / 3
    assert given["weight"].var() == pytest.approx(2 / (32 * 9), rel=0.027)
    norm = seeded_weights("bn", BatchNorm()(Input((1, 500, 8, 8))()).node, 0)
    for name, low, high in [("gamma", 0.5, 1.5), ("variance", 0.5, 1.5), ("beta", -0.2, 0.2), ("mean", -0.2, 0.2)]:
        assert low <= norm[name].min() < norm[name].max() <= high
    slope = seeded_weights("prelu", PRelu()(Input((1, 500))()).node, 0)["slope"]
    assert 0.1 <= slope.min() < slope.max() <= np.float32(0.4)
