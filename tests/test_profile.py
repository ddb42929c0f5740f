"""Profile tables of small networks against rows worked out by hand; the tables themselves."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from costmodel import zoo
from costmodel.counting import Convention
from costmodel.errors import CostModelError, WiringError
from costmodel.execute.verify import verify
from costmodel.execute.weights import seeded_weights
from costmodel.graph import Graph, Op, Shape, Stored, Work, block
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    MaxPool,
    Relu,
    Reshape,
    Slice,
    Softmax,
)
from costmodel.profile import ACCESS_COLUMNS, LAYER_COLUMNS, TENSOR_COLUMNS, Profile, profile
from costmodel.table import Column, Table


def row(table, number):
    return list(table.rows())[number]


def layer(of, name):
    """The row of the layer of that name."""
    return next(row for row in of.layers.rows() if row["layer"] == name)


def tensor(of, name):
    """The row of the tensor of that name."""
    return next(row for row in of.tensors.rows() if row["tensor"] == name)


def lives(of):
    """Tensor name -> kind, born, dies."""
    return {row["tensor"]: (row["kind"], row["born"], row["dies"]) for row in of.tensors.rows()}


def touched(of):
    """Accesses with rows replaced by names."""
    return [
        (of.layers["layer"][row["layer"]], row["mode"], of.tensors["tensor"][row["tensor"]], row["bytes"])
        for row in of.accesses.rows()
    ]


def residual(batch=1, dtype="float32"):
    """A stem, then a branch of two layers that is added to it."""
    x = Input((batch, 3, 8, 8))()
    stem = Conv(4, 3, pads=1, bias=False)(x, name="stem")
    with block("body"):
        y = Relu()(stem, name="act")
        y = Conv(4, 1)(y, name="conv")
    return Graph(Add()(y, stem, name="join"), "residual", dtype=dtype)


WINDOW_PARTS = ("kernel", "stride", "dilation", "pad_before", "pad_after")

# Layers.


def test_a_layers_row_holds_all_that_a_machine_asks():
    assert (
        row(profile(residual()).layers, 0)
        == {
            "layer": "stem",
            "block": "",
            "operator": "Conv",
            "input_shape": "1x3x8x8",
            "output_shape": "1x4x8x8",
            "input_bytes": 3 * 8 * 8 * 4,
            "output_bytes": 4 * 8 * 8 * 4,
            "weight_bytes": 4 * 3 * 3 * 3 * 4,
            "parameters": 4 * 3 * 3 * 3,
            "buffers": 0,
            "macs": 4 * 8 * 8 * 3 * 3 * 3,
            "counted": 4 * 8 * 8 * 3 * 3 * 3,  # standard counts MACs
            **dict.fromkeys(["add", "multiply", "compare", "divide", "special", "elementwise"], 0),
            "batch": 1,
            "groups": 1,
            "pixels": 64,
            "filters": 4,
            "reduction": 27,
            **dict.fromkeys([f"{part}_depth" for part in WINDOW_PARTS], 0),
            **dict.fromkeys(["kernel_height", "kernel_width"], 3),
            **dict.fromkeys([f"{part}_{axis}" for part in WINDOW_PARTS[1:] for axis in ("height", "width")], 1),
        }
    )


def test_a_layer_on_two_maps_reads_both():
    join = layer(profile(residual()), "join")
    assert (join["operator"], join["block"], join["input_shape"]) == ("Add", "", "1x4x8x8, 1x4x8x8")
    assert (join["input_bytes"], join["output_bytes"], join["weight_bytes"]) == (2 * 256 * 4, 256 * 4, 0)
    assert (join["macs"], join["add"], join["elementwise"], join["batch"], join["kernel_width"]) == (0, 256, 256, 0, 0)


def test_layers_carry_their_block():
    assert profile(residual()).layers["block"] == ("", "body", "body", "")
    assert profile(residual()).layers["layer"] == ("stem", "body.act", "body.conv", "join")


def test_batchnorm_stores_parameters_and_buffers():
    (norm,) = profile(Graph(BatchNorm()(Input((2, 6, 5, 5))()))).layers.rows()
    assert (norm["parameters"], norm["buffers"], norm["weight_bytes"]) == (2 * 6, 2 * 6, 4 * 6 * 4)
    assert (norm["add"], norm["multiply"], norm["elementwise"]) == (2 * 300, 2 * 300, 4 * 300)


# Depth, height, width of: kernel, stride, dilation, pad before, pad after.
WINDOWS = {
    "1-D": (
        Conv(1, kernel=(5,), stride=2, dilation=3, pads=(6, 7)),
        (1, 1, 20),
        [(0, 0, 5), (0, 0, 2), (0, 0, 3), (0, 0, 6), (0, 0, 7)],
    ),
    "2-D": (
        Conv(1, kernel=(3, 5), stride=(1, 2), dilation=(2, 1), pads=(1, 2, 3, 4)),
        (1, 1, 9, 9),
        [(0, 3, 5), (0, 1, 2), (0, 2, 1), (0, 1, 2), (0, 3, 4)],
    ),
    "3-D": (
        MaxPool(kernel=(1, 2, 3), stride=(3, 2, 1), pads=(0, 1, 2, 0, 0, 1)),
        (1, 1, 9, 9, 9),
        [(1, 2, 3), (3, 2, 1), (1, 1, 1), (0, 1, 2), (0, 0, 1)],
    ),
    "none": (GlobalAveragePool(), (1, 1, 9, 9), [(0, 0, 0)] * 5),
}


@pytest.mark.parametrize(("op", "shape", "window"), WINDOWS.values(), ids=WINDOWS)
def test_window_columns(op, shape, window):
    (made,) = profile(Graph(op(Input(shape)()))).layers.rows()
    axes = ("depth", "height", "width")
    assert [tuple(made[f"{part}_{axis}"] for axis in axes) for part in WINDOW_PARTS] == window


def test_the_loop_nest_of_every_layer_of_hairnet_multiplies_to_its_macs():
    rows = list(profile(zoo.get("hairnet")(dense_head=True)).layers.rows())
    for row in rows:
        nest = row["batch"] * row["groups"] * row["pixels"] * row["filters"] * row["reduction"]
        assert nest == row["macs"], row["layer"]
    # A stem, two products in each of 13 blocks, a dense head.
    assert sum(row["macs"] > 0 for row in rows) == 1 + 2 * 13 + 1


def test_a_convention_changes_only_what_it_departs_in():
    silent = Convention("silent", "free activations", {"Relu": lambda _: Work(macs=7)})
    ours, theirs = profile(residual()), profile(residual(), silent)
    assert (ours.convention, theirs.convention) == ("standard", "silent")
    act = layer(theirs, "body.act")
    assert (act["macs"], act["compare"], act["elementwise"]) == (7, 0, 0)
    assert layer(ours, "body.act")["compare"] == 256
    assert [layer(ours, name) == layer(theirs, name) for name in ours.layers["layer"]] == [True, False, True, True]
    assert (ours.tensors, ours.accesses) == (theirs.tensors, theirs.accesses)


def test_a_network_without_layers_is_refused():
    with pytest.raises(WiringError, match="empty: a network needs at least one layer"):
        profile(Graph(Input((1, 3))(), "empty"))


# Tensors and accesses.


def test_a_residual_branch_lives_until_its_add():
    assert lives(profile(residual())) == {
        "input": ("input", 0, 0),
        "stem": ("map", 0, 3),
        "body.act": ("map", 1, 2),
        "body.conv": ("map", 2, 3),
        "join": ("output", 3, 3),
        "stem.weight": ("parameter", 0, 3),
        "body.conv.weight": ("parameter", 0, 3),
        "body.conv.bias": ("parameter", 0, 3),
    }


def test_each_layer_reads_its_maps_and_weights_and_writes_its_result():
    assert touched(profile(residual())) == [
        ("stem", "read", "input", 192 * 4),
        ("stem", "read", "stem.weight", 108 * 4),
        ("stem", "write", "stem", 256 * 4),
        ("body.act", "read", "stem", 256 * 4),
        ("body.act", "write", "body.act", 256 * 4),
        ("body.conv", "read", "body.act", 256 * 4),
        ("body.conv", "read", "body.conv.weight", 16 * 4),
        ("body.conv", "read", "body.conv.bias", 4 * 4),
        ("body.conv", "write", "body.conv", 256 * 4),
        ("join", "read", "body.conv", 256 * 4),
        ("join", "read", "stem", 256 * 4),
        ("join", "write", "join", 256 * 4),
    ]


def test_a_tensors_row_holds_shape_and_size():
    assert tensor(profile(residual(dtype="float16")), "stem.weight") == {
        "tensor": "stem.weight",
        "kind": "parameter",
        "shape": "4x3x3x3",
        "elements": 108,
        "bits": 16,
        "bytes": 216,
        "born": 0,
        "dies": 3,
    }


def test_buffers_are_read_too():
    made = profile(Graph(BatchNorm()(Input((1, 6))(), name="bn")))
    assert [tensor(made, f"bn.{name}")["kind"] for name in ("gamma", "beta", "mean", "variance")] == [
        "parameter",
        "parameter",
        "buffer",
        "buffer",
    ]
    assert [name for _, mode, name, _ in touched(made) if mode == "read"] == [
        "input",
        "bn.gamma",
        "bn.beta",
        "bn.mean",
        "bn.variance",
    ]


def test_an_early_output_lives_to_the_end():
    first = Relu()(Input((1, 3))(), name="first")
    second = Softmax()(first, name="second")
    third = Relu()(second, name="third")
    assert lives(profile(Graph([first, third]))) == {
        "input": ("input", 0, 0),
        "first": ("output", 0, 2),
        "second": ("map", 1, 2),
        "third": ("output", 2, 2),
    }


def test_an_input_lives_until_its_last_reader():
    x = Input((1, 3))()
    made = profile(Graph(Add()(Relu()(Relu()(x)), x)))
    assert lives(made)["input"] == ("input", 0, 2)


def test_several_inputs_are_there_from_the_start():
    a, b = Input((1, 3))(name="a"), Input((1, 3))(name="b")
    made = profile(Graph(Add()(Relu()(a), b)))
    assert lives(made) == {
        "a": ("input", 0, 0),
        "b": ("input", 0, 1),
        "relu": ("map", 0, 1),
        "add": ("output", 1, 1),
    }


def test_a_map_read_twice_by_one_layer_moves_once():
    x = Input((1, 3))()
    for twice in (Add()(x, x), Add()(x, Dropout()(x))):
        made = profile(Graph(twice))
        assert [access for access in touched(made) if access[0] == "add"] == [
            ("add", "read", "input", 12),
            ("add", "write", "add", 12),
        ]
        assert (layer(made, "add")["input_bytes"], layer(made, "add")["add"]) == (12, 3)


class Halves(Op, abstract=True):
    """Two outputs: the halves of a vector."""

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        n, c = x
        return ((n, c // 2), (n, c - c // 2))


def test_each_of_two_results_is_a_tensor():
    _, right = Halves().apply(Input((1, 5))(), name="cut")
    made = profile(Graph(Relu()(right), "cutting"))
    assert layer(made, "cut")["output_shape"] == "1x2, 1x3"
    assert lives(made) == {
        "input": ("input", 0, 0),
        "cut": ("map", 0, 0),
        "cut:1": ("map", 0, 1),
        "relu": ("output", 1, 1),
    }
    assert touched(made)[:3] == [
        ("cut", "read", "input", 20),
        ("cut", "write", "cut", 8),
        ("cut", "write", "cut:1", 12),
    ]


# Views.


def test_a_view_keeps_a_row_and_costs_nothing():
    x = Relu()(Input((2, 3, 4, 5))(), name="act")
    for op in (Flatten(), Reshape((0, -1)), Dropout()):
        made = profile(Graph(Softmax()(op(x, name="view"), name="end")))
        view = layer(made, "view")
        zero = [name for name, value in view.items() if value == 0]
        shown = ["layer", "block", "operator", "input_shape", "output_shape"]
        assert list(view) == shown + zero
        assert view["input_shape"] == "2x3x4x5"
        assert [access for access in touched(made) if access[0] == "view"] == []


def test_views_share_the_memory_they_look_at():
    x = Relu()(Input((1, 3, 4))(), name="act")
    y = Softmax()(Dropout()(Flatten()(x)), name="end")
    made = profile(Graph(Add()(y, Reshape((1, 12))(x), name="join")))
    # act, flatten, dropout, end, reshape, join: through the last view the first result is needed to the end.
    assert lives(made) == {
        "input": ("input", 0, 0),
        "act": ("map", 0, 5),
        "end": ("map", 3, 5),
        "join": ("output", 5, 5),
    }
    assert [access for access in touched(made) if access[0] == "join"] == [
        ("join", "read", "end", 48),
        ("join", "read", "act", 48),
        ("join", "write", "join", 48),
    ]


def test_a_view_as_output_makes_its_operand_the_output():
    x = Relu()(Input((1, 3, 4))(), name="act")
    y = Flatten()(x)
    z = Relu()(x, name="side")
    assert lives(profile(Graph([y, z]))) == {
        "input": ("input", 0, 0),
        "act": ("output", 0, 2),
        "side": ("output", 2, 2),
    }


# Fused kernels.


def test_a_fused_kernel_moves_only_what_enters_and_leaves():
    x = Input((1, 3, 8, 8))()
    x = Conv(4, 3, pads=1, bias=False)(x, name="conv")
    x = BatchNorm()(x, name="bn")
    made = profile(Graph(Relu()(x, name="act")), patterns=[["Conv", "BatchNorm", "Relu"]])
    (only,) = made.layers.rows()
    assert (only["layer"], only["operator"]) == ("conv+bn+act", "Conv+BatchNorm+Relu")
    assert (only["input_bytes"], only["output_bytes"]) == (192 * 4, 256 * 4)
    assert (only["weight_bytes"], only["parameters"], only["buffers"]) == ((108 + 16) * 4, 108 + 8, 8)
    assert (only["macs"], only["batch"], only["reduction"], only["kernel_width"]) == (256 * 27, 1, 27, 3)
    assert (only["add"], only["multiply"], only["compare"], only["elementwise"]) == (512, 512, 256, 1280)
    assert [name for name, (kind, *_) in lives(made).items() if kind in {"input", "map", "output"}] == ["input", "act"]


def test_a_fused_residual_reads_the_other_branch():
    made = profile(residual(), patterns=[["Conv", "Add"]])
    fused = layer(made, "body.conv+join")
    assert (fused["input_bytes"], fused["output_bytes"], fused["weight_bytes"]) == (2 * 256 * 4, 256 * 4, 20 * 4)
    assert lives(made)["stem"] == ("map", 0, 2)


@pytest.mark.parametrize(
    "patterns", [[["Relu", "Dropout"]], [["Dropout", "Softmax"]], [["Relu", "Dropout", "Softmax"]]]
)
def test_a_view_may_be_part_of_a_fused_kernel(patterns):
    x = Dropout()(Relu()(Input((1, 3))(), name="act"), name="drop")
    made = profile(Graph(Softmax()(x, name="end")), patterns=patterns)
    assert (made.layers.total("compare"), made.layers.total("special")) == (3, 3)
    inside = len(patterns[0]) == 3  # then what is between relu and softmax never reaches a memory
    assert made.accesses.total("bytes") == (2 if inside else 4) * 12


def test_every_layer_reads_what_has_been_made():
    x = Input((1, 4))()
    early = BatchNorm()(x, name="early")
    late = Relu()(x, name="late")
    made = profile(Graph(Add()(early, late)), patterns=[["BatchNorm", "Add"]])
    for access in made.accesses.rows():
        born, dies = (made.tensors[column][access["tensor"]] for column in ("born", "dies"))
        assert born <= access["layer"] <= dies, made.tensors["tensor"][access["tensor"]]


def test_a_kernel_with_two_loop_nests_is_refused():
    x = Conv(4, 1)(Conv(4, 1)(Input((1, 3, 8, 8))()))
    with pytest.raises(WiringError, match=r"^conv\+conv_2: .* one loop nest, Conv\+Conv has 2"):
        profile(Graph(x), patterns=[["Conv", "Conv"]])


# Element types and batches.


@pytest.mark.parametrize(
    ("dtype", "map_bytes", "weight_bytes"),
    [
        ("float64", 75 * 8, 27 * 8),
        ("float32", 75 * 4, 27 * 4),
        ("float16", 75 * 2, 27 * 2),
        ("bfloat16", 75 * 2, 27 * 2),
        ("int8", 75, 27),
        ("float8", 75, 27),
        ("int4", 38, 14),  # 37.5 and 13.5, rounded up
    ],
)
def test_an_element_type_sets_the_width_of_maps_and_weights(dtype, map_bytes, weight_bytes):
    x = Conv(1, 3, bias=False)(Input((1, 3, 5, 5), dtype)())
    (made,) = profile(Graph(x)).layers.rows()
    assert (made["input_bytes"], made["weight_bytes"]) == (map_bytes, weight_bytes)
    assert (made["parameters"], made["macs"]) == (27, 9 * 27)


def test_a_slice_reads_what_it_keeps():
    x = Input((1, 8, 6))()
    kept = Slice((0, 2, 0), (None, 5, None))(x, name="kept")
    both = Add()(kept, Slice((0, 0, 0), (None, 3, None))(x, name="first"), name="sum")
    moved = profile(Graph(both)).layers
    assert moved["input_bytes"] == (4 * 18, 4 * 18, 2 * 4 * 18)
    (whole,) = profile(Graph(Relu()(Slice((0, 2, 0), (None, 5, None))(x))), patterns=[["Slice", "Relu"]]).layers.rows()
    assert (whole["input_bytes"], whole["output_bytes"]) == (4 * 18, 4 * 18)
    assert not len(verify(Graph(both)).differences)


def test_what_layers_share_is_stored_once_and_read_by_each():
    x = Input((2, 8))()
    tied = {"weight": Stored(shared="table")}
    (y,) = Linear(8).apply(x, name="first", stored=tied)
    (y,) = Linear(8, bias=False).apply(y, name="second", stored=tied)
    graph = Graph(y)
    made = profile(graph)
    assert graph.parameters == made.layers.total("parameters") == 64 + 8
    assert made.layers["weight_bytes"] == (4 * 72, 4 * 64)
    assert list(made.tensors["tensor"]).count("table") == 1
    assert graph == graph.replay() != Graph(Linear(8, bias=False)(Linear(8)(x, name="first"), name="second"))
    assert not len(verify(graph).differences)
    (first, second) = [
        weights["weight"] for weights in (seeded_weights(n, graph.nodes[n], 0) for n in graph.nodes) if weights
    ]
    np.testing.assert_array_equal(first, second)


def test_a_weight_may_be_narrower_than_its_layer():
    (y,) = Linear(8).apply(Input((2, 8))(), stored={"weight": Stored("int8")})
    (row,) = profile(Graph(y)).layers.rows()
    assert row["weight_bytes"] == 64 + 4 * 8


def test_a_batch_scales_maps_and_work_but_no_weights():
    one, five = profile(residual()), profile(residual(batch=5))
    assert (one.batch, five.batch) == (1, 5)
    for column in ("input_bytes", "output_bytes", "macs", "add", "compare", "elementwise"):
        assert five.layers.total(column) == 5 * one.layers.total(column) > 0
    for column in ("weight_bytes", "parameters", "buffers"):
        assert five.layers[column] == one.layers[column]
    assert five.layers["batch"] == (5, 0, 5, 0)
    assert five.layers["pixels"] == one.layers["pixels"] == (64, 0, 64, 0)


# Totals.


def test_columns_that_add_up_do():
    graph = zoo.get("hairnet")(dense_head=True)
    made = profile(graph, patterns=[["BatchNorm", "Relu"]])
    rows = list(made.layers.rows())
    sums = [column.name for column in LAYER_COLUMNS if column.total == "sum"]
    assert {"input_bytes", "output_bytes", "weight_bytes", "parameters", "macs", "elementwise"} <= set(sums)
    for name in sums:
        assert made.layers.total(name) == sum(row[name] for row in rows)
    for row in rows:
        assert row["elementwise"] == row["add"] + row["multiply"] + row["compare"] + row["divide"] + row["special"]
    assert made.layers.total("parameters") == graph.parameters
    assert made.layers.total("macs") == graph.macs


def test_a_layers_bytes_are_the_sum_of_its_accesses():
    made = profile(zoo.get("hairnet")(size=64), patterns=[["BatchNorm", "Relu"]])
    for number, row in enumerate(made.layers.rows()):
        moved = {"read": 0, "write": 0, "weight": 0}
        for access in made.accesses.rows():
            if access["layer"] == number:
                weight = made.tensors["kind"][access["tensor"]] in {"parameter", "buffer"}
                moved["weight" if weight else access["mode"]] += access["bytes"]
        assert moved == {"read": row["input_bytes"], "write": row["output_bytes"], "weight": row["weight_bytes"]}


# Large numbers.


def test_counts_beyond_a_floats_precision_are_exact():
    size = 1_000_003
    x = Conv(101, kernel=7, pads=3, bias=False)(Input((1, 3, size, size))())
    made = profile(Graph(x))
    macs = size * size * 101 * 7 * 7 * 3
    assert int(float(macs)) != macs  # a float would have lost it
    assert made.layers["macs"] == (macs,)
    assert made.layers["output_bytes"] == (size * size * 101 * 4,)
    assert made.layers.array("macs").dtype == np.int64
    assert int(made.layers.array("macs")[0]) == macs
    assert int(made.layers.frame["macs"][0]) == macs


def test_many_channels_are_exact():
    c = 100_003
    x = Conv(c, kernel=3, pads=1, bias=False)(Input((1, c, 333, 333))())
    made = profile(Graph(x))
    assert made.layers["parameters"] == (c * c * 9,)
    assert made.layers["macs"] == (333 * 333 * c * c * 9,)
    assert made.layers["weight_bytes"] == (4 * c * c * 9,)


def products(*filters):
    """Convolutions of one map, 2**50 multiply-accumulates per filter each."""
    x = Input((1, 1, 2**20, 2**20))()
    return Graph([Conv(f, 32, pads=(15, 15, 16, 16), bias=False)(x, name=f"big{f}") for f in filters])


def test_a_layer_beyond_64_bits_is_refused_by_name_and_column():
    assert profile(products(2**12)).layers["macs"] == (2**62,)
    with pytest.raises(CostModelError, match=f"^macs = {2**63} in 'big8192' does not fit a 64-bit integer$"):
        profile(products(2**13, 1))


def test_a_sum_beyond_64_bits_is_refused_too():
    with pytest.raises(CostModelError, match=f"^macs = {2**62 + 2**62 + 2**50} in total does not fit"):
        profile(products(2**12, 2**12 + 1))


# Tables.

COLUMNS = (
    Column("name", str, "", "what it is"),
    Column("part", str, "", "what it belongs to"),
    Column("count", int, "", "how many", "sum"),
    Column("time", float, "s", "how long", "sum"),
    Column("peak", int, "B", "how large at most", "max"),
    Column("fits", bool, "", "whether it fits"),
)
ROWS = [
    ("a", "x", 1, 0.1, 7, True),
    ("b", "y", 20, 0.2, 9, False),
    ("c", "x", 300, 0.3, 5, True),
]


def small():
    return Table.of(COLUMNS, ROWS)


def test_a_table_gives_columns_rows_and_totals():
    table = small()
    assert len(table) == 3
    assert table["count"] == (1, 20, 300)
    assert [tuple(row.values()) for row in table.rows()] == ROWS
    assert list(next(table.rows())) == ["name", "part", "count", "time", "peak", "fits"]
    assert (table.total("count"), table.total("peak"), table.total("fits"), table.total("name")) == (321, 9, None, None)
    assert table.label(1) == "b"
    assert repr(table) == "Table(3 rows: name, part, count, time, peak, fits)"


def test_floats_add_up_without_drift():
    tenths = Table([COLUMNS[3]], {"time": [0.1] * 10})
    assert tenths.total("time") == 1.0


def test_an_empty_table_has_totals():
    table = Table.of(COLUMNS, [])
    assert len(table) == 0
    assert (table.total("count"), table.total("time"), table.total("peak")) == (0, 0, 0)
    assert list(table.rows()) == []
    assert table.array("count").dtype == np.int64


def test_a_table_without_columns_is_empty():
    assert len(Table((), {})) == 0


def test_a_column_can_be_looked_up():
    assert small().column("peak") == COLUMNS[4]


def test_group_adds_up_by_value():
    groups = small().group("part")
    assert [column.name for column in groups.columns] == ["part", "layers", "count", "time", "peak"]
    assert groups["part"] == ("x", "y")
    assert (groups["layers"], groups["count"], groups["peak"]) == ((2, 1), (301, 20), (7, 9))
    assert groups["time"] == (0.4, 0.2)
    assert groups.total("layers") == 3


def test_groups_of_a_profile_add_up_to_its_totals():
    layers = profile(zoo.get("hairnet")(size=64)).layers
    groups = layers.group("block")
    assert len(groups) == 1 + 13 + 4 + 1  # stem, the blocks of the stages, a pool behind each stage but the last, head
    for column in groups.columns[2:]:
        assert groups.total(column.name) == layers.total(column.name)


def test_take_and_select_keep_the_given_order():
    table = small()
    assert table.take([2, 0])["name"] == ("c", "a")
    assert len(table.take([])) == 0
    chosen = table.select(["count", "name"])
    assert [column.name for column in chosen.columns] == ["count", "name"]
    assert list(chosen.rows()) == [{"count": 1, "name": "a"}, {"count": 20, "name": "b"}, {"count": 300, "name": "c"}]


def test_extend_puts_columns_on_the_right():
    size = Column("size", int, "B", "its size", "sum")
    wider = small().extend([size], {"size": [4, 5, 6]})
    assert wider.columns == (*COLUMNS, size)
    assert (wider["size"], wider["count"], wider.total("size")) == ((4, 5, 6), (1, 20, 300), 15)
    assert wider != small()
    assert small().columns == COLUMNS


def test_data_builds_the_same_table_again():
    table = small()
    data = table.data()
    assert Table(COLUMNS, data) == table
    data["count"] = (0, 0, 0)
    assert table["count"] == (1, 20, 300)
    assert Table(COLUMNS, data) != table


def test_tables_compare_to_tables_only():
    assert small() != ROWS
    with pytest.raises(TypeError, match="unhashable"):
        hash(small())


def test_arrays_and_frames_have_the_columns_types():
    table = small()
    types = [np.object_, np.object_, np.int64, np.float64, np.int64, np.bool_]
    assert [table.array(column.name).dtype for column in COLUMNS] == types
    assert table.array("fits").tolist() == [True, False, True]
    frame = table.frame
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert frame["count"].sum() == 321
    assert frame["name"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda table: table["cuont"],
        lambda table: table.total("cuont"),
        lambda table: table.select(["name", "cuont"]),
        lambda table: table.group("cuont"),
        lambda table: table.array("cuont"),
        lambda table: table.column("cuont"),
    ],
    ids=["item", "total", "select", "group", "array", "column"],
)
def test_an_unknown_column_is_refused_with_a_suggestion(ask):
    with pytest.raises(CostModelError, match="no column 'cuont'; did you mean 'count'"):
        ask(small())


@pytest.mark.parametrize(
    ("column", "values", "wrong"),
    [
        (COLUMNS[2], [1, 2.0, 3], "column 'count' holds int, not 2.0"),
        (COLUMNS[2], [1, True, 3], "column 'count' holds int, not True"),
        (COLUMNS[2], [1, np.int64(2), 3], "column 'count' holds int, not"),
        (COLUMNS[3], [0.1, 1, 0.3], "column 'time' holds float, not 1"),
        (COLUMNS[0], ["a", None, "c"], "column 'name' holds str, not None"),
        (COLUMNS[5], [True, 0, True], "column 'fits' holds bool, not 0"),
    ],
)
def test_a_value_of_another_type_is_refused(column, values, wrong):
    with pytest.raises(TypeError, match=wrong):
        Table([column], {column.name: values})


def test_integers_fill_64_bits_and_no_more():
    column = Column("count", int, "", "how many")
    edges = [-(2**63), 2**63 - 1]
    assert Table([column], {"count": edges}).array("count").tolist() == edges
    for value in (2**63, -(2**63) - 1):
        with pytest.raises(CostModelError, match=f"count = {value} in '{value}' does not fit a 64-bit integer"):
            Table([column], {"count": [0, value]})


def test_ragged_columns_are_refused():
    with pytest.raises(ValueError, match="column 'count' has 2 values, not 1"):
        Table([COLUMNS[0], COLUMNS[2]], {"name": ["a"], "count": [1, 2]})


@pytest.mark.parametrize("row", [("a", 1), ("a", 1, 2, 3)], ids=["short", "long"])
def test_ragged_rows_are_refused(row):
    with pytest.raises(ValueError, match="zip"):
        Table.of(COLUMNS[:3], [("a", "x", 1), row])


@pytest.mark.parametrize(
    ("columns", "data"),
    [
        (COLUMNS[:1], {"name": ["a"], "count": [1]}),
        (COLUMNS[:2], {"name": ["a"]}),
        ((COLUMNS[0], COLUMNS[0]), {"name": ["a"]}),
    ],
    ids=["too-many", "too-few", "twice"],
)
def test_data_must_match_the_columns(columns, data):
    with pytest.raises(ValueError, match="do not match the data's"):
        Table(columns, data)


def test_extending_by_another_length_or_the_same_column_is_refused():
    with pytest.raises(ValueError, match="cannot put"):
        small().extend([Column("size", int, "B", "")], {"size": [1]})
    with pytest.raises(ValueError, match="cannot put"):
        small().extend([COLUMNS[2]], {"count": [1, 2, 3]})


def test_a_profile_of_other_columns_is_refused():
    made = profile(residual())
    tables = {"layers": made.layers, "tensors": made.tensors, "accesses": made.accesses, "parts": made.parts}
    assert Profile("residual", "standard", 1, **tables) == made
    for name, columns in (("layers", LAYER_COLUMNS), ("tensors", TENSOR_COLUMNS), ("accesses", ACCESS_COLUMNS)):
        fewer = tables[name].select([column.name for column in columns[:-1]])
        with pytest.raises(ValueError, match=f"a profile's table must have the columns .*'{columns[-1].name}'"):
            Profile("residual", "standard", 1, **(tables | {name: fewer}))


def test_a_profile_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        profile(residual()).batch = 2


def test_a_pool_has_a_window_but_no_loop_nest():
    (pool,) = profile(Graph(AveragePool(2)(Input((1, 3, 8, 8))()))).layers.rows()
    assert (pool["kernel_height"], pool["stride_width"]) == (2, 2)
    assert [pool[name] for name in ("batch", "groups", "pixels", "filters", "reduction", "macs")] == [0] * 6


def test_linear_layers_have_a_loop_nest_but_no_window():
    (dense,) = profile(Graph(Linear(5)(Input((2, 7, 3))()))).layers.rows()
    assert [dense[name] for name in ("batch", "groups", "pixels", "filters", "reduction")] == [2, 1, 7, 5, 3]
    assert (dense["kernel_width"], dense["macs"]) == (0, 2 * 7 * 5 * 3)


def tied(whole):
    """A table of 10 words, of which a layer behind it reads the first 3 rows, and the last layer all."""
    words = Input((1, 5), "int64")()
    (x,) = Embedding(10, 4).apply(words, name="table", stored={"weight": Stored(shared="w")})
    (x,) = Linear(3, bias=False).apply(x, name="some", stored={"weight": Stored(shared="w", whole=whole)})
    x = Linear(4, bias=False)(x, name="own")
    (x,) = Linear(10, bias=False).apply(x, name="all", stored={"weight": Stored(shared="w")})
    return Graph(x, "tied")


def test_a_part_of_what_is_stored_is_read_and_the_whole_is_counted_once():
    needs = profile(tied(40))
    assert tied(40).parameters == needs.layers.total("parameters") == 10 * 4 + 4 * 3
    assert needs.layers["weight_bytes"] == (5 * 4 * 4, 3 * 4 * 4, 4 * 3 * 4, 10 * 4 * 4)
    assert needs.tensors["elements"][needs.tensors["tensor"].index("w")] == 40
    assert list(verify(tied(40)).differences.rows()) == []


@pytest.mark.parametrize(
    ("whole", "problem"),
    [
        (0, "'table' and 'some' share 'w', which has 40 values for the one and 12 for the other"),
        (41, "'table' and 'some' share 'w', which has 40 values for the one and 41 for the other"),
        (11, "'table' and 'some' share 'w', which has 40 values for the one and 11 for the other"),
    ],
)
def test_what_is_shared_is_one_constant(whole, problem):
    with pytest.raises(WiringError, match=problem):
        tied(whole)


def test_only_a_weight_that_a_layer_has_can_be_stored():
    with pytest.raises(WiringError, match="has no weight 'wait'; did you mean 'weight'"):
        Linear(3).apply(Input((1, 4))(), stored={"wait": Stored("int8")})
