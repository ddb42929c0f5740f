"""The language of networks: what does not fit is refused with the place and the numbers; names, graphs, kernels."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodel.errors import CostModelError, WiringError
from costmodel.fuse import fuse
from costmodel.graph import BITS, Graph, Op, Shape, block, dims
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    Cast,
    ChannelShuffle,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    Lrn,
    MatMul,
    MaxPool,
    Pad,
    PRelu,
    Relu,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)
from costmodel.profile import profile


def given_map(*size, dtype=None):
    return Input(size, dtype)()


class Halves(Op, abstract=True):
    """Two outputs: the channels' halves."""

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        n, c, *rest = x
        return ((n, c // 2, *rest), (n, c - c // 2, *rest))


# Operators that do not fit their operands: operator, operand shapes, and what the message must say.
MISFITS = {
    "conv-channels": (Conv(8, 3, channels=4), [(1, 3, 8, 8)], "expects 4 channels, its input has 3"),
    "linear-channels": (Linear(8, channels=4), [(1, 3)], "expects 4 channels, its input has 3"),
    "batchnorm-channels": (BatchNorm(channels=4), [(1, 3, 8, 8)], "expects 4 channels, its input has 3"),
    "groups-channels": (
        Conv(8, 3, groups=4),
        [(1, 6, 8, 8)],
        "4 groups, which do not divide 6 channels into 8 filters",
    ),
    "groups-filters": (Conv(6, 3, groups=4), [(1, 8, 8, 8)], "4 groups, which do not divide 8 channels into 6 filters"),
    "kernel": (Conv(8, (3, 7), pads=1), [(1, 3, 5, 4)], "kernel 3x7 is larger than the padded map 7x6"),
    "kernel-dilated": (
        Conv(8, 3, dilation=(1, 4)),
        [(1, 3, 8, 8)],
        "kernel 3x3 (dilated: 3x9) is larger than the padded map 8x8",
    ),
    "pool-kernel": (MaxPool(2), [(1, 3, 4, 1)], "kernel 2x2 is larger than the padded map 4x1"),
    "pool-kernel-ceil": (
        MaxPool(3, ceil_mode=True),
        [(1, 3, 2, 2)],
        "kernel 3x3 is larger than the padded map 2x2",
    ),
    "kernel-rank": (Conv(8, (3,)), [(1, 3, 8, 8)], "a 3 kernel needs 1 spatial axes, not 2"),
    "pool-rank": (AveragePool((2, 2, 2)), [(1, 3, 8, 8)], "a 2x2x2 kernel needs 3 spatial axes, not 2"),
    "conv-vector": (Conv(8, 3), [(1, 3)], "needs a map of batch x channels x spatial axes, not 1x3"),
    "global-pool-vector": (GlobalAveragePool(), [(1, 3)], "needs a map of batch x channels x spatial axes, not 1x3"),
    "linear-vector": (Linear(8), [(3,)], "needs batch x features, not 3"),
    "batchnorm-vector": (BatchNorm(), [(3,)], "needs batch x channels, not 3"),
    "prelu-vector": (PRelu(), [(3,)], "needs batch x channels, not 3"),
    "one-operand-too-few": (Add(), [(1, 3)], "takes 2 inputs, not 1"),
    "one-operand-too-many": (Relu(), [(1, 3), (1, 3)], "takes 1 inputs, not 2"),
    "no-operand": (Conv(8, 3), [], "takes 1 inputs, not 0; input shapes: none"),
    "operand-for-an-input": (Input((1, 3)), [(1, 3)], "takes 0 inputs, not 1"),
    "add": (Add(), [(1, 8, 4, 4), (1, 8, 4, 5)], "cannot combine 1x8x4x4 with 1x8x4x5: sizes must be equal or 1"),
    "add-aligned-at-the-end": (Add(), [(8, 4), (8,)], "cannot combine 8x4 with 8"),
    "concat-none": (Concat(), [], "needs at least one input"),
    "concat-size": (Concat(), [(1, 8, 4, 4), (1, 8, 4, 5)], "cannot join 1x8x4x5 to 1x8x4x4 along axis 1"),
    "concat-batch": (Concat(), [(1, 8), (2, 8)], "cannot join 2x8 to 1x8 along axis 1"),
    "concat-rank": (Concat(), [(1, 8), (1, 8, 1)], "cannot join 1x8x1 to 1x8 along axis 1"),
    "concat-axis": (Concat(axis=2), [(1, 8), (1, 8)], "has axis 2, which 1x8 does not have"),
    "concat-axis-from-the-end": (Concat(axis=-3), [(1, 8), (1, 8)], "has axis -3, which 1x8 does not have"),
    "flatten-axis": (Flatten(axis=1), [(8,)], "has axis 1, which 8 does not have"),
    "softmax-axis": (Softmax(axis=2), [(1, 8)], "has axis 2, which 1x8 does not have"),
    "softmax-float": (Softmax(axis=0.5), [(1, 8)], "has axis 0.5, which 1x8 does not have"),
    "concat-float": (Concat(axis=1.0), [(1, 8)], "has axis 1.0, which 1x8 does not have"),
    "slice-axes": (
        Slice((0, 1), (None, None)),
        [(1, 8, 4)],
        "needs a start and a stop for each axis of 1x8x4, not (0, 1) and (None, None)",
    ),
    "slice-stops": (Slice((0, 1), (None,)), [(1, 8)], "needs a start and a stop for each axis of 1x8"),
    "slice-nothing": (Slice((0, 3), (None, 3)), [(1, 8)], "would make an empty map 1x0"),
    "pad-axes": (Pad((0, 1, 0, 1)), [(1, 8, 4)], "then the end of every axis, not (0, 1, 0, 1)"),
    "shuffle": (ChannelShuffle(3), [(1, 8, 4, 4)], "cannot deal the channels of 1x8x4x4 out to 3 groups"),
    "shuffle-vector": (ChannelShuffle(2), [(8,)], "cannot deal the channels of 8 out to 2 groups"),
    "lrn-vector": (Lrn(), [(3,)], "needs batch x channels, not 3"),
    "reshape": (Reshape((3, 5)), [(2, 8)], "cannot view 2x8 (16 elements) as 3x5 (15)"),
    "reshape-rest": (Reshape((3, -1)), [(2, 8)], "cannot view 2x8 (16 elements) as 3x5 (15)"),
    "reshape-nothing-left": (Reshape((32, -1)), [(2, 8)], "cannot view 2x8 (16 elements) as 32x0 (0)"),
    "reshape-keep": (Reshape((2, 8, 0)), [(2, 8)], "keeps an axis that 2x8 does not have"),
    "transpose-too-few": (Transpose((1, 0)), [(2, 3, 4)], "needs each axis of 2x3x4 once, not (1, 0)"),
    "transpose-twice": (Transpose((1, 1, 0)), [(2, 3, 4)], "needs each axis of 2x3x4 once, not (1, 1, 0)"),
    "matmul": (MatMul(), [(2, 3), (4, 5)], "cannot multiply 2x3 by 4x5: inner sizes 3 and 4 differ"),
    "matmul-vector": (MatMul(), [(3,), (3, 5)], "needs two operands of at least two axes"),
    "matmul-batch": (MatMul(), [(2, 3, 4), (5, 4, 3)], "cannot combine 2 with 5: sizes must be equal or 1"),
}


@pytest.mark.parametrize(("op", "shapes", "problem"), MISFITS.values(), ids=MISFITS)
def test_an_operator_that_does_not_fit_is_refused_with_place_and_shapes(op, shapes, problem):
    maps = [given_map(*shape) for shape in shapes]
    with pytest.raises(WiringError) as error, block("stage1"), block("0"):
        op(*maps, name="here")
    message = str(error.value)
    assert message.startswith(f"stage1.0.here: {op.kind}(")
    assert problem in message
    assert message.endswith("input shapes: " + (", ".join(map(dims, shapes)) or "none"))


def test_an_unnamed_layer_is_reported_by_its_operator():
    with pytest.raises(WiringError, match=r"^maxpool: MaxPool\("):
        MaxPool(9)(given_map(1, 3, 8, 8))


def test_an_empty_map_is_refused():
    with pytest.raises(WiringError, match=r"^halves: .* would make an empty map 1x0x4; input shapes: 1x1x4$"):
        Halves().apply(given_map(1, 1, 4))


def test_an_operator_with_two_outputs_is_applied():
    x = given_map(1, 5, 4)
    left, right = Halves().apply(x)
    assert (left.shape, right.shape) == ((1, 2, 4), (1, 3, 4))
    assert (left.index, right.index) == (0, 1)
    assert left.node is right.node
    with pytest.raises(TypeError, match=r"Halves has 2 outputs; use apply\(\)"):
        Halves()(x)


# Attributes that make no sense under any operand.
NONSENSE = {
    "filters-zero": (lambda: Conv(0, 3), "Conv: filters must be a positive integer, not 0"),
    "filters-bool": (lambda: Conv(True, 3), "Conv: filters must be a positive integer, not True"),
    "filters-float": (lambda: Conv(8.0, 3), "Conv: filters must be a positive integer, not 8.0"),
    "groups-zero": (lambda: Conv(8, 3, groups=0), "Conv: groups must be a positive integer, not 0"),
    "channels-negative": (lambda: Conv(8, 3, channels=-3), "Conv: channels must be a positive integer, not -3"),
    "features-zero": (lambda: Linear(0), "Linear: features must be a positive integer, not 0"),
    "features-text": (lambda: Linear("10"), "Linear: features must be a positive integer, not '10'"),
    "linear-channels": (lambda: Linear(8, channels=0), "Linear: channels must be a positive integer, not 0"),
    "batchnorm-channels": (lambda: BatchNorm(channels=0), "BatchNorm: channels must be a positive integer, not 0"),
    "kernel-zero": (lambda: Conv(8, 0), "Conv: kernel must be 2 integers of at least 1, not 0"),
    "kernel-bool": (lambda: Conv(8, True), "Conv: kernel must be 2 integers of at least 1, not True"),
    "kernel-float": (lambda: Conv(8, 3.0), "Conv: kernel must be"),
    "kernel-float-inside": (
        lambda: Conv(8, (3, 3.0)),
        "Conv: kernel must be 2 integers of at least 1, not (3, 3.0)",
    ),
    "kernel-bool-inside": (
        lambda: MaxPool((2, True)),
        "MaxPool: kernel must be 2 integers of at least 1, not (2, True)",
    ),
    "kernel-none": (lambda: Conv(8, None), "Conv: kernel must be"),
    "kernel-no-axes": (lambda: Conv(8, ()), "Conv: kernel must have 1 to 3 axes, not ()"),
    "kernel-four-axes": (lambda: Conv(8, (1, 1, 1, 1)), "Conv: kernel must have 1 to 3 axes, not (1, 1, 1, 1)"),
    "stride-zero": (lambda: Conv(8, 3, stride=0), "Conv: stride must be 2 integers of at least 1, not 0"),
    "stride-float": (lambda: Conv(8, 3, stride=2.0), "Conv: stride must be 2 integers of at least 1, not 2.0"),
    "stride-too-long": (
        lambda: MaxPool(2, stride=(2, 2, 2)),
        "MaxPool: stride must be 2 integers of at least 1, not (2, 2, 2)",
    ),
    "stride-too-short": (
        lambda: Conv(8, (3, 3, 3), stride=(2, 2)),
        "Conv: stride must be 3 integers of at least 1, not (2, 2)",
    ),
    "dilation-zero": (lambda: Conv(8, 3, dilation=0), "Conv: dilation must be 2 integers of at least 1, not 0"),
    "pads-negative": (lambda: Conv(8, 3, pads=-1), "Conv: pads must be 4 integers of at least 0, not -1"),
    "pads-negative-side": (
        lambda: MaxPool(2, pads=(0, 0, 0, -1)),
        "MaxPool: pads must be 4 integers of at least 0, not (0, 0, 0, -1)",
    ),
    "pads-float": (lambda: Conv(8, 3, pads=0.5), "Conv: pads must be 4 integers of at least 0, not 0.5"),
    "pads-length": (
        lambda: Conv(8, 3, pads=(1, 1, 1)),
        "Conv: pads must be 4 integers of at least 0, not (1, 1, 1)",
    ),
    "pool-pads": (lambda: MaxPool(2, pads=2), "MaxPool: pads (2, 2, 2, 2) leave windows without any input"),
    "pool-pads-one-side": (
        lambda: AveragePool((3, 2), pads=(0, 0, 0, 2)),
        "AveragePool: pads (0, 0, 0, 2) leave windows without any input; kernel: (3, 2)",
    ),
    "pad-negative": (lambda: Pad((0, -1)), "Pad: pads must be a tuple of integers of at least 0, not (0, -1)"),
    "pad-float": (lambda: Pad((0, 1.0)), "Pad: pads must be a tuple of integers of at least 0, not (0, 1.0)"),
    "pad-scalar": (lambda: Pad(1), "Pad: pads must be a tuple of integers of at least 0, not 1"),
    "slice-float": (lambda: Slice((0.0,), (1,)), "Slice: start must be a tuple of integers, not (0.0,)"),
    "slice-stop": (lambda: Slice((0,), (1.0,)), "Slice: stop must be a tuple of integers, not (1.0,)"),
    "transpose-float": (lambda: Transpose((0, 1.0)), "Transpose: axes must be a tuple of integers, not (0, 1.0)"),
    "reshape-scalar": (lambda: Reshape(5), "Reshape: to must be a tuple of integers, not 5"),
    "shuffle-zero": (lambda: ChannelShuffle(0), "ChannelShuffle: groups must be a positive integer, not 0"),
    "lrn-zero": (lambda: Lrn(size=0), "Lrn: size must be a positive integer, not 0"),
    "reshape-two-rests": (lambda: Reshape((-1, -1)), "not (-1, -1)"),
    "reshape-negative": (lambda: Reshape((2, -2)), "sizes must be positive, 0 (keep) or one -1 (what is left)"),
    "reshape-float": (lambda: Reshape((2, 4.0)), "not (2, 4.0)"),
}


@pytest.mark.parametrize(("make", "problem"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_attributes_are_refused(make, problem):
    with pytest.raises(WiringError) as error:
        make()
    assert problem in str(error.value)


def test_a_pool_may_be_padded_by_less_than_its_dilated_window():
    assert MaxPool((2,), stride=1, pads=2, dilation=2).shape((1, 1, 4)) == (1, 1, 6)  # 2 + 4 + 2 - 3 + 1


@pytest.mark.parametrize("size", [(0,), (1, -3), (1, 3.0), (1, True), (1, "3"), [1, 3], 3], ids=repr)
def test_an_input_of_no_size_is_refused(size):
    with pytest.raises(CostModelError) as error:
        Input(size)
    assert str(error.value) == f"an input's size is a tuple of positive integers, not {size}"


@pytest.mark.parametrize(
    ("dtype", "hint"), [("flaot32", "float32"), ("Float16", "float16"), ("bfloat", "bfloat16"), ("int9", "int")]
)
def test_an_unknown_element_type_is_refused_with_a_suggestion(dtype, hint):
    with pytest.raises(CostModelError, match=f"element type '{dtype}' is unknown; did you mean '{hint}") as error:
        Input((1, 3), dtype)
    assert "known: bfloat16, bool, float16, float32, float4, float64, float8, int16, int2, int32" in str(error.value)


def test_every_misfit_is_an_error_of_the_cost_model():
    assert issubclass(WiringError, CostModelError)


def test_a_shape_is_written_with_x():
    assert (dims((1, 3, 224, 224)), dims((7,)), dims(())) == ("1x3x224x224", "7", "scalar")


# Bytes of nine elements; nine halves of a byte take five, nine quarters three.
NINE = {
    **dict.fromkeys(["float64", "int64", "uint64"], 72),
    **dict.fromkeys(["float32", "int32", "uint32"], 36),
    **dict.fromkeys(["float16", "bfloat16", "int16", "uint16"], 18),
    **dict.fromkeys(["float8", "int8", "uint8", "bool"], 9),
    **dict.fromkeys(["float4", "int4", "uint4"], 5),
    **dict.fromkeys(["int2", "uint2"], 3),
}


@pytest.mark.parametrize("dtype", BITS)
def test_an_element_type_has_a_width(dtype):
    own, networks = given_map(1, 3, 3, dtype=dtype), given_map(1, 3, 3)
    for graph in (Graph(Relu()(own)), Graph(Relu()(networks), dtype=dtype)):
        assert profile(graph).tensors["bytes"] == (NINE[dtype], NINE[dtype])


def test_what_is_made_has_the_type_of_the_operands():
    ids = given_map(1, 3, dtype="int64")
    assert [Relu()(x).dtype for x in (ids, given_map(1, 3))] == ["int64", None]
    assert (Cast("bool")(ids).dtype, Cast()(ids).dtype) == ("bool", None)
    with pytest.raises(WiringError, match="operands of one element type, not of int64 and the network's"):
        Add()(ids, given_map(1, 3))


def test_weights_have_the_type_of_their_layers_results():
    maps = {"int8": given_map(1, 3, dtype="int8"), None: given_map(1, 3)}
    for dtype, x in maps.items():
        assert [weight.dtype for weight in Linear(2)(x).node.weights] == [dtype, dtype]


def test_an_operator_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Linear(8).features = 9


# Blocks and names.


def names(outputs):
    return list(Graph(outputs).nodes)


def test_blocks_nest_and_end():
    x = given_map(1, 3)
    with block("body"):
        x = Relu()(x, name="first")
        with block("stage1"), block("0"):
            x = Relu()(x, name="act")
        x = Relu()(x)
    x = Relu()(x, name="last")
    assert names(x) == ["input", "body.first", "body.stage1.0.act", "body.relu", "last"]
    assert [node.block for node in Graph(x).nodes.values()] == ["", "body", "body.stage1.0", "body", ""]


def leave_a_block_by_an_error():
    with block("broken"):
        raise LookupError


def test_a_block_ends_with_an_error_too():
    with pytest.raises(LookupError):
        leave_a_block_by_an_error()
    assert names(Relu()(given_map(1, 3))) == ["input", "relu"]


def test_given_names_must_differ():
    x = given_map(1, 3)
    with block("stage1"):
        x = Relu()(Relu()(x, name="act"), name="act")
    with pytest.raises(WiringError, match=r"two layers are named 'stage1\.act'; names inside a block must differ"):
        Graph(x)


def test_the_same_name_in_two_blocks_is_fine():
    x = given_map(1, 3)
    for number in range(2):
        with block(str(number)):
            x = Relu()(x, name="act")
    assert names(x) == ["input", "0.act", "1.act"]


def test_automatic_names_are_numbered_around_given_ones():
    x = Relu()(given_map(1, 3))
    x = Relu()(x)
    x = Relu()(x, name="relu_3")
    x = Relu()(x)
    x = Softmax()(x, name="relu_4")
    x = Relu()(x)
    assert names(x) == ["input", "relu", "relu_2", "relu_3", "relu_5", "relu_4", "relu_6"]


def test_a_given_name_beats_an_earlier_automatic_one():
    x = Relu()(given_map(1, 3))
    assert names(Softmax()(x, name="relu")) == ["input", "relu_2", "relu"]


# Graphs.


def residual(batch=1, dtype="float32", channels=8, name="act"):
    """Two outputs, a branch, a view, automatic and given names, blocks."""
    x = Input((batch, 3, 8, 8))()
    with block("stem"):
        x = Conv(channels, 3, pads=1)(x, name="conv")
        x = BatchNorm()(x)
    with block("body"):
        y = Relu()(x, name=name)
        y = Relu()(Conv(channels, 3, pads=1)(y))
        x = Add()(y, x)
    features = GlobalAveragePool()(x)
    return Graph([Linear(10)(Flatten()(features), name="classes"), features], "residual", dtype=dtype)


def test_a_graph_holds_what_its_outputs_need_in_order_of_making():
    x = given_map(1, 3)
    Relu()(x, name="unused")
    y = Relu()(x, name="a")
    z = Relu()(x, name="b")
    assert names(Add()(z, y)) == ["input", "a", "b", "add"]
    assert names(z) == ["input", "b"]


def test_a_graph_knows_its_inputs_parameters_and_macs():
    graph = residual()
    assert [tensor.shape for tensor in graph.inputs] == [(1, 3, 8, 8)]
    first, second, dense = 8 * 3 * 9 + 8, 8 * 8 * 9 + 8, 10 * 8 + 10  # weights + biases
    assert graph.parameters == first + 2 * 8 + second + dense  # and the norm's gamma and beta
    assert graph.macs == 8 * 8 * 8 * 27 + 8 * 8 * 8 * 72 + 10 * 8  # outputs * window * channels, twice; dense


def test_a_graph_needs_an_output():
    with pytest.raises(WiringError, match=r"nothing: a graph is made from its output tensors, not from \[\]"):
        Graph([], "nothing")


def test_equal_builders_make_equal_graphs():
    assert residual() == residual()


@pytest.mark.parametrize(
    "other",
    [residual(batch=2), residual(dtype="int8"), residual(channels=4), residual(name="other")],
    ids=["batch", "dtype", "attribute", "name"],
)
def test_a_difference_makes_graphs_differ(other):
    assert residual() != other


def test_wiring_block_and_layer_names_make_graphs_differ():
    def pair(*, swapped=False, inside="", title="network", both=False):
        x = given_map(1, 3)
        a, b = Relu()(x, name="a"), Softmax()(x, name="b")
        with block(inside):
            y = MatMul()(*((Transpose((1, 0))(b), a) if swapped else (Transpose((1, 0))(a), b)))
        return Graph([y, a] if both else y, title)

    assert pair() == pair()
    assert pair() != pair(swapped=True)
    assert pair() != pair(inside="block")
    assert pair() == pair(title="other")  # a title is not wiring
    assert pair() != pair(both=True)


def test_which_of_two_outputs_is_read_makes_graphs_differ():
    def half(index):
        return Graph(Relu()(Halves().apply(given_map(1, 4))[index]))

    assert half(0) == half(0)
    assert half(0) != half(1)


def test_a_graph_is_no_other_thing_and_no_key():
    assert residual() != "residual"
    with pytest.raises(TypeError, match="unhashable"):
        hash(residual())


def test_things_show_what_they_are():
    graph = residual()
    assert repr(graph) == "Graph(residual: 10 nodes)"
    assert repr(graph.nodes["body.add"]) == "Node(body.add: Add())"
    assert repr(graph.outputs[0]) == "Tensor(1x10 from classes)"


@pytest.mark.parametrize("batch", [2, 32])
def test_replay_for_another_batch_is_the_builders_own(batch):
    once = residual()
    many = once.replay(batch=batch)
    assert many == residual(batch=batch)
    assert many.macs == batch * once.macs
    assert many.parameters == once.parameters
    assert [tensor.shape for tensor in many.outputs] == [(batch, 10), (batch, 8, 1, 1)]
    assert once == residual()


def test_replay_for_another_element_type_changes_widths_only():
    once = residual()
    narrow = once.replay(dtype="int8")
    assert narrow == residual(dtype="int8")
    assert {*profile(narrow).tensors["bits"]} == {8}
    assert {*profile(once).tensors["bits"]} == {32}
    assert (narrow.macs, narrow.parameters) == (once.macs, once.parameters)


def test_replay_keeps_types_that_are_no_fractions():
    ids, mask, x = given_map(1, 3, dtype="int64"), given_map(1, 3, dtype="bool"), given_map(1, 3, dtype="float16")
    graph = Graph([Relu()(ids), Cast()(mask), Relu()(x), Cast("float64")(x)]).replay(dtype="int8")
    assert [tensor.dtype for tensor in (*graph.inputs, *graph.outputs)] == [
        "int64", "bool", None, "int64", None, None, "float64",
    ]  # fmt: skip


def test_replay_of_nothing_is_the_same_network():
    assert residual(batch=3, dtype="float16").replay() == residual(batch=3, dtype="float16")


def test_replay_follows_each_of_several_outputs():
    def halves(batch):
        left, right = Halves().apply(given_map(batch, 5, 4))
        return Graph([Relu()(right), left])

    assert halves(1).replay(batch=6) == halves(6)


@pytest.mark.parametrize("batch", [0, -1, 2.0, True])
def test_replay_for_no_batch_is_refused(batch):
    with pytest.raises(CostModelError, match="positive integers"):
        residual().replay(batch=batch)


@pytest.mark.parametrize("dtype", ["flaot32", ""])
def test_replay_for_an_unknown_element_type_is_refused(dtype):
    with pytest.raises(CostModelError, match=f"element type '{dtype}' is unknown"):
        residual().replay(dtype=dtype)


def test_replay_names_the_layer_that_holds_the_batch_fixed():
    graph = Graph(Reshape((1, 12))(given_map(1, 3, 4), name="fixed"))
    with pytest.raises(WiringError, match=r"^fixed: .*cannot view 5x3x4 \(60 elements\) as 1x12"):
        graph.replay(batch=5)


def test_a_chain_of_20000_layers_needs_no_recursion():
    def chain():
        x = given_map(1, 3)
        for _ in range(20_000):
            x = Relu()(x)
        return Graph(x)

    graph = chain()
    assert list(graph.nodes)[-1] == "relu_20000"
    assert graph == chain()
    assert graph.replay(batch=2).outputs[0].shape == (2, 3)
    assert len(fuse(graph, [["Relu", "Relu"]])) == 10_000
    assert profile(graph).layers.total("compare") == 20_000 * 3


# Kernels.


def kernels(outputs, patterns):
    return {kernel.name: kernel.operator for kernel in fuse(Graph(outputs), patterns)}


def sequence(*ops):
    x = given_map(1, 4, 6, 6)
    for op in ops:
        x = op(x)
    return x


def test_without_patterns_every_layer_is_a_kernel_and_inputs_are_none():
    assert kernels(sequence(BatchNorm(), Relu()), []) == {"batchnorm": "BatchNorm", "relu": "Relu"}


def test_a_kernel_is_named_by_its_nodes_and_operators():
    x = given_map(1, 4, 6, 6)
    with block("stage1"), block("0"):
        y = Relu()(BatchNorm()(x, name="bn"), name="act")
    (kernel,) = fuse(Graph(y), [["BatchNorm", "Relu"]])
    assert (kernel.name, kernel.operator) == ("stage1.0.bn+act", "BatchNorm+Relu")
    assert [node.name for node in kernel.nodes] == ["bn", "act"]
    assert (kernel.inputs, kernel.outputs) == ((x,), (y,))


def test_the_longest_pattern_wins():
    network = sequence(Conv(4, 1), BatchNorm(), Relu(), BatchNorm(), Relu())
    patterns = [["BatchNorm", "Relu"], ["Conv", "BatchNorm"], ["Conv", "BatchNorm", "Relu"], ["Conv"]]
    expected = {"conv+batchnorm+relu": "Conv+BatchNorm+Relu", "batchnorm_2+relu_2": "BatchNorm+Relu"}
    assert kernels(network, patterns) == expected
    assert kernels(network, patterns[::-1]) == expected


def test_of_overlapping_patterns_the_earlier_node_chooses():
    network = sequence(Conv(4, 1), BatchNorm(), Relu())
    assert list(kernels(network, [["BatchNorm", "Relu"], ["Conv", "BatchNorm"]])) == ["conv+batchnorm", "relu"]


def test_a_pattern_that_runs_past_the_end_does_not_match():
    assert list(kernels(sequence(Conv(4, 1), BatchNorm()), [["Conv", "BatchNorm", "Relu"]])) == ["conv", "batchnorm"]


def test_a_result_with_two_readers_is_not_swallowed():
    x = BatchNorm()(given_map(1, 4, 6, 6))
    network = Add()(Relu()(x), x)
    assert list(kernels(network, [["BatchNorm", "Relu"]])) == ["batchnorm", "relu", "add"]


def test_a_result_read_twice_by_one_layer_is_not_swallowed():
    x = Relu()(given_map(1, 4))
    assert list(kernels(Add()(x, x), [["Relu", "Add"]])) == ["relu", "add"]


def test_an_output_of_the_network_is_not_swallowed():
    x = BatchNorm()(given_map(1, 4, 6, 6))
    y = Relu()(x)
    assert list(kernels([y, x], [["BatchNorm", "Relu"]])) == ["batchnorm", "relu"]
    assert list(kernels([y], [["BatchNorm", "Relu"]])) == ["batchnorm+relu"]


def test_one_of_two_results_is_not_swallowed():
    left, right = Halves().apply(given_map(1, 4))
    assert list(kernels([Relu()(left), right], [["Halves", "Relu"]])) == ["halves", "relu"]


def test_a_fused_residual_reads_both_branches():
    x = Relu()(given_map(1, 4, 6, 6))
    y = BatchNorm()(x)
    z = Add()(y, x)
    first, second = fuse(Graph(z), [["BatchNorm", "Add"]])
    assert (first.name, second.name) == ("relu", "batchnorm+add")
    assert (second.inputs, second.outputs) == ((x, x), (z,))


def test_a_layer_runs_in_one_kernel_though_two_chains_end_in_it():
    x = given_map(1, 4, 6, 6)
    network = Add()(BatchNorm()(x, name="left"), BatchNorm()(x, name="right"))
    ran = [node.label for kernel in fuse(Graph(network), [["BatchNorm", "Add"]]) for node in kernel.nodes]
    assert sorted(ran) == ["add", "left", "right"]


def test_a_fused_kernel_runs_after_what_it_reads():
    x = given_map(1, 4, 6, 6)
    early = BatchNorm()(x, name="early")
    late = Relu()(x, name="late")
    order = [kernel.name for kernel in fuse(Graph(Add()(early, late)), [["BatchNorm", "Add"]])]
    assert order == ["late", "early+add"]


@st.composite
def networks(draw):
    """A random network of chains, branches and joins: what nobody has read yet is read first."""
    unread = [given_map(1, 2, 3)]
    read = list(unread)
    for _ in range(draw(st.integers(2, 10))):
        op = draw(st.sampled_from([BatchNorm(), Relu(), Add()]))
        operands = [draw(st.sampled_from(unread + read[-2:])) for _ in range(op.operands)]
        unread = [tensor for tensor in unread if tensor not in operands]
        read += operands
        unread.append(op(*operands))
    return Graph(unread)


PATTERNS = [["BatchNorm", "Relu"], ["BatchNorm", "Add"], ["Relu", "Add"], ["BatchNorm", "Add", "Relu"], ["Add", "Add"]]


@settings(max_examples=150, deadline=None)
@given(graph=networks(), patterns=st.lists(st.sampled_from(PATTERNS), unique_by=tuple))
def test_kernels_run_every_layer_once_and_only_on_what_is_there(graph, patterns):
    fused = fuse(graph, patterns)
    ran = [node for kernel in fused for node in kernel.nodes]
    assert len(ran) == len(set(ran))
    assert set(ran) == {node for node in graph.nodes.values() if node.inputs}
    there = set(graph.inputs)
    for kernel in fused:
        assert set(kernel.inputs) <= there
        there |= set(kernel.outputs)
    assert set(graph.outputs) <= there
