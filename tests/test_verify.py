"""The model against a run that counts: every network agrees, and a wrong model is caught, whatever is wrong in it."""

import csv
import io
import sys
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import test_cli
from equations import types_of
from hypothesis import given, settings
from test_ops import CASES
from test_run import DRAWN

import costmodel
from costmodel import zoo
from costmodel.errors import CostModelError
from costmodel.execute import counting, loops
from costmodel.execute import verify as module
from costmodel.execute.counting import IMPLEMENTATIONS, Counter, run
from costmodel.execute.verify import DIFFERENCE_COLUMNS, LAYER_COLUMNS, PAIRS, each, verify
from costmodel.graph import NO_WORK, Graph, Input, Loops, Op, Weight, Work
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Elu,
    Flatten,
    Gelu,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Linear,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Pad,
    PRelu,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Silu,
    Slice,
    Softmax,
    Softplus,
    Tanh,
    Transpose,
)
from costmodel.profile import profile
from costmodel.table import Table

FUSED = [["BatchNorm", "Relu"]]
NARROW = {
    "vit_b_16": {"depth": 1},
    "mixer_b_16": {"depth": 1},
    "vgg16": {"width": 0.25},
    "vgg19": {"width": 0.25},
    "conv_mobilenet": {"width": 0.5},
    "resnet18": {"width": 0.5},
    "resnet34": {"width": 0.5},
    "resnet50": {"width": 0.5},
}


def differences(verification):
    return [tuple(row.values())[1:] for row in verification.differences.rows()]


def agrees(graph, patterns=(), **options):
    verification = verify(graph, patterns, **options)
    assert differences(verification) == []
    return verification


def single(op, *shapes, **options):
    types = types_of(op, len(shapes))
    maps = [Input(shape, dtype)() for shape, dtype in zip(shapes, types, strict=True)]
    return agrees(Graph(op(*maps), "single"), **options)


# Every network, every operator


RUNS = [(name, ()) for name in zoo.names()]
RUNS += [(name, FUSED) for name in ("densenet121", "hairnet", "mobilenet_v1", "nasnet_a_mobile", "resnet18")]


@pytest.mark.parametrize(("name", "patterns"), RUNS, ids=lambda value: "fused" if value == FUSED else value or "apart")
def test_every_network_runs_as_modelled(name, patterns):
    architecture = zoo.get(name)
    parameters = NARROW.get(name, {})
    graph = architecture(size=architecture.small(**parameters), **parameters)
    verification = agrees(graph, patterns)
    (row,) = verification.summary.rows()
    assert row["layers"] == len(profile(graph, patterns=patterns).layers)
    assert row["macs"] == graph.macs > 10**5
    assert 0 < row["error"] < 1e-12


@pytest.mark.parametrize("kind", sorted({*DRAWN} - {"IsNaN"}))
def test_every_operator_runs_as_modelled(kind):
    @settings(max_examples=12, deadline=None)
    @given(DRAWN[kind])
    def check(drawn):
        op, shapes = drawn
        single(op, *shapes, compile_loops=False)

    check()


def test_every_operator_has_counting_loops():
    assert set(IMPLEMENTATIONS) == set(Op.registry) - {"Input"}


SMALL_CASES = [
    case for case in CASES
    if case.inputs and max(np.prod(shape) for shape in case.inputs) < 3000 and case.macs < 10**5
]  # fmt: skip


@pytest.mark.parametrize("case", [case for case in CASES if case.macs < 2 * 10**7], ids=lambda case: case.name)
def test_loops_count_what_a_person_works_out(case):
    """The oracles of tests/test_ops.py: not from the model, and not from the loops."""
    if isinstance(case.op, Input):
        return
    operands = [np.random.default_rng(n).uniform(-1, 1, shape) for n, shape in enumerate(case.inputs)]
    asked = {}

    def constant(name, shape):
        asked[name] = shape
        return np.full(shape, 0.5)

    counter = Counter(compile_loops=case not in SMALL_CASES)  # compiling takes longer than a small one
    result = run(case.op, operands, constant, counter)
    assert [made.shape for made in each(result)] == [case.output, *case.more]
    assert asked == case.weights | case.buffers
    assert counter.work() == Work(macs=case.macs, **case.work)


def test_python_and_compiled_loops_do_the_same():
    kinds = set()
    for case in SMALL_CASES:
        operands = [np.random.default_rng(n).uniform(-2, 2, shape) for n, shape in enumerate(case.inputs)]
        made = []
        for compile_loops in (False, True):
            counter = Counter(compile_loops=compile_loops)
            made.append((each(run(case.op, operands, lambda _, shape: np.full(shape, 0.3), counter)), counter.work()))
        (python, work), (compiled, compiled_work) = made
        assert work == compiled_work
        for one, other in zip(python, compiled, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)
        kinds.add(case.op.kind)
    assert len(kinds) > 25


def test_loops_compile_where_no_folder_can_be_written(monkeypatch):
    numba = counting.compiler()
    asked = []

    def njit(function=None, **options):
        asked.append(options)
        if options:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(numba, "njit", njit)
    assert counting.compiled.__wrapped__(loops.relu) is loops.relu
    assert asked == [{"cache": True}, {}]


quick = settings(max_examples=40, deadline=None)
sizes = st.integers(1, 5)


@st.composite
def windows(draw, *, pool):
    rank = draw(st.integers(1, 3 if pool else 2))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, stride, dilation = each(1, 3), each(1, 3), each(1, 2)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = tuple(draw(st.integers(0, extent - 1 if pool else 2)) for _ in range(2) for extent in extents)
    spatial = tuple(extent + draw(st.integers(0, 4)) for extent in extents)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "pads": pads}, spatial


@quick
@given(windows(pool=False), sizes, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), st.booleans())
def test_convolutions(window, images, groups, share, inside, bias):
    attributes, spatial = window
    op = Conv(groups * share, groups=groups, bias=bias, **attributes)
    single(op, (min(images, 2), groups * inside, *spatial), compile_loops=False)


@quick
@given(windows(pool=True), st.integers(1, 2), st.booleans(), st.booleans())
def test_pools(window, channels, ceil, include):
    attributes, spatial = window
    shape = (1, channels, *spatial)
    single(MaxPool(**attributes, ceil_mode=ceil), shape, compile_loops=False)
    single(AveragePool(**attributes, ceil_mode=ceil, count_include_pad=include), shape, compile_loops=False)
    single(GlobalAveragePool(), shape, compile_loops=False)


@quick
@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 3), st.floats(0.01, 2))
def test_norms(channels, around, images, alpha):
    shape = (images, channels, 2, 3)
    single(Lrn(size=around, alpha=alpha, k=2.0), shape, compile_loops=False)
    single(BatchNorm(epsilon=alpha), shape, compile_loops=False)
    single(Softmax(axis=images % 4), shape, compile_loops=False)
    single(PRelu(), shape, compile_loops=False)


@quick
@given(st.lists(sizes, min_size=1, max_size=3), sizes, sizes, sizes, st.booleans())
def test_products(outer, height, inner, width, stretched):
    other = [1 for _ in outer] if stretched else outer
    single(MatMul(), (*outer, height, inner), (*other, inner, width), compile_loops=False)
    single(Linear(width, bias=stretched), (*outer, height, inner), compile_loops=False)


ACTIVATIONS = [Relu(), Relu6(), LeakyRelu(0.2), Elu(0.7), Sigmoid(), Silu(), Tanh(), Gelu(), Softplus(), HardSigmoid(),
               HardSwish(), Dropout()]  # fmt: skip


@quick
@given(st.sampled_from(ACTIVATIONS), st.lists(sizes, min_size=1, max_size=4), st.integers(0, 9))
def test_activations(op, shape, seed):
    single(op, tuple(shape), compile_loops=False, seed=seed)


@quick
@given(st.lists(sizes, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 3))
def test_two_maps(shape, stretched, dropped):
    other = tuple(1 if one else size for size, one in zip(shape, stretched, strict=False))[
        min(dropped, len(shape) - 1) :
    ]
    for op in (Add(), Mul()):
        single(op, tuple(shape), other, compile_loops=False)
        single(op, other, tuple(shape), compile_loops=False)


@quick
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), sizes, st.permutations(range(4)), st.integers(-4, 3))
def test_moves(images, groups, inside, size, axes, axis):
    shape = (images, groups * inside, size, 3)
    single(ChannelShuffle(groups), shape)
    single(Transpose(tuple(axes)), shape)
    single(Concat(axis), shape, shape)
    single(Pad((0, 1, 0, 2, 1, 0, 0, size)), shape)
    single(Slice((0, 0, -1, 1), (None, 9, None, -1)), shape)
    single(Reshape((0, -1, size)), shape)
    single(Flatten(axis), shape)


# What is in memory


def block():
    """A block with a shortcut: 8 channels of 6 x 6 floats, 1152 bytes a map."""
    x = Input((1, 8, 6, 6))()
    y = Conv(8, kernel=3, pads=1, bias=False)(x, name="conv")
    y = Relu()(BatchNorm()(y, name="bn"), name="relu")
    y = Add()(y, x, name="add")
    y = GlobalAveragePool()(y, name="mean")
    return Graph(Linear(3)(Flatten()(y, name="flat"), name="dense"), "block")


def test_what_is_alive_by_hand():
    layers = {row["layer"]: row for row in agrees(block()).layers.rows()}
    maps = {"conv": 2, "bn": 3, "relu": 3, "add": 3}  # the input waits for the sum
    assert {name: layers[name]["live_bytes_run"] for name in maps} == {name: 1152 * n for name, n in maps.items()}
    assert layers["mean"]["live_bytes_run"] == 1152 + 8 * 4
    assert layers["flat"]["live_bytes_run"] == 8 * 4  # another look at the same memory
    assert layers["dense"]["live_bytes_run"] == 8 * 4 + 3 * 4
    assert layers["flat"]["input_bytes_run"] == layers["flat"]["output_bytes_run"] == 0
    assert layers["dense"]["weight_bytes_run"] == (3 * 8 + 3) * 4
    assert layers["bn"]["weights_run"] == 4 * 8
    (summary,) = agrees(block()).summary.rows()
    assert summary["peak_bytes"] == 3 * 1152


def test_a_fused_kernel_keeps_what_flows_inside():
    layers = {row["layer"]: row for row in agrees(block(), FUSED).layers.rows()}
    assert layers["bn+relu"]["output_bytes_run"] == 1152
    assert layers["bn+relu"]["live_bytes_run"] == 3 * 1152
    assert "relu" not in layers


def shapes_of_memory():
    x = Input((2, 4, 3, 3))()
    yield "operand-twice", Graph(Add()(x, x)), ()
    y = Relu()(x)
    yield "output-inside", Graph([y, Tanh()(y)]), [["Relu", "Tanh"]]
    yield "input-is-an-output", Graph([x, Relu()(x)]), ()
    yield "output-is-a-view", Graph(Flatten()(Relu()(x))), ()
    yield "kernel-ends-with-a-view", Graph(Linear(3)(Flatten()(Relu()(x)))), [["Relu", "Flatten"]]
    yield "kernel-begins-with-a-view", Graph(Linear(3)(Flatten()(Relu()(x)))), [["Flatten", "Linear"]]
    yield "only-views", Graph(Flatten()(Dropout()(x))), [["Dropout", "Flatten"]]
    y = Relu()(x)
    yield "two-looks", Graph(Add()(Flatten()(y), Reshape((2, 36))(y))), ()
    yield "two-looks-and-itself", Graph([Tanh()(y), Add()(Flatten()(y), Reshape((2, 36))(y))]), ()
    yield "two-inputs", Graph(Concat()(x, Input((2, 1, 3, 3))())), ()


@pytest.mark.parametrize(("graph", "patterns"), [pytest.param(g, p, id=n) for n, g, p in shapes_of_memory()])
def test_memory_of_every_wiring(graph, patterns):
    agrees(graph, patterns, compile_loops=False)


@pytest.mark.parametrize(("dtype", "width"), [("float16", 2), ("float32", 4), ("float64", 8)])
def test_element_types(dtype, width):
    (row,) = agrees(costmodel.network("lenet5", dtype=dtype, batch=2)).summary.rows()
    assert row["peak_bytes"] == 2 * 2 * 6 * 28 * 28 * width
    assert row["input_shape"] == "2x1x32x32"


def test_values_beyond_an_element_type_are_an_error():
    x = Input((1, 3), "float16")()
    for _ in range(14):
        x = Linear(512)(x)
        x = Mul()(x, x)
    with pytest.raises(CostModelError, match=r"too large for float16; use --dtype float32"):
        verify(Graph(x))


def test_integers_do_not_run():
    with pytest.raises(CostModelError, match="float32, float64, float16, not in int8"):
        verify(costmodel.network("lenet5", dtype="int8"))


def test_the_seed_changes_the_values_and_no_count():
    first, again, other = (verify(block(), seed=seed).layers for seed in (0, 0, 1))
    assert first == again
    assert first["error"] != other["error"]
    assert first["macs_run"] == other["macs_run"]


# A wrong model


def doctored(graph, table, column, row, change, **more):
    """The graph's profile with one value changed."""
    needs = profile(graph, **more)
    old = getattr(needs, table)
    values = list(old[column])
    values[row] = change(values[row])
    return replace(needs, **{table: Table(old.columns, old.data() | {column: values})}), old[column][row], values[row]


LAYERS = ["conv", "bn", "relu", "add", "mean", "flat", "dense"]
LAYER_CHANGES = {column.name: column.name for column in PAIRS if column.name not in {"weights", "live_bytes"}} | {
    "parameters": "weights",
    "buffers": "weights",
}


@pytest.mark.parametrize("layer", ["conv", "bn", "dense"])
@pytest.mark.parametrize(("column", "quantity"), LAYER_CHANGES.items(), ids=LAYER_CHANGES)
def test_every_quantity_of_a_layer_is_compared(column, quantity, layer):
    graph, row = block(), LAYERS.index(layer)
    needs, _, _ = doctored(graph, "layers", column, row, lambda v: v + (7 if type(v) is int else "x7"))
    honest = verify(graph).layers[f"{quantity}_run"][row]
    wrong = f"{honest + 7}" if type(honest) is int else f"{honest}x7"
    assert differences(verify(graph, needs=needs)) == [(layer, quantity, wrong, str(honest))]


def test_every_access_is_compared():
    graph = block()
    accesses = profile(graph).accesses
    for row in range(len(accesses)):
        needs, right, wrong = doctored(graph, "accesses", "bytes", row, lambda size: size + 1)
        ((layer, quantity, model, ran),) = differences(verify(graph, needs=needs))
        assert layer == LAYERS[accesses["layer"][row]]
        assert quantity.startswith(accesses["mode"][row])
        assert (model, ran) == (f"{wrong} B", f"{right} B")


def test_an_access_that_is_missing_or_too_many_is_found():
    graph = block()
    needs = profile(graph)
    fewer = replace(needs, accesses=needs.accesses.take(range(1, len(needs.accesses))))
    assert differences(verify(graph, needs=fewer)) == [("conv", "read input", "not at all", "1152 B")]
    other, _, _ = doctored(graph, "accesses", "tensor", 0, lambda _: 1)  # the wrong tensor, of the same size
    found = {(quantity, model, ran) for _, quantity, model, ran in differences(verify(graph, needs=other))}
    assert found == {("read input", "not at all", "1152 B"), ("read conv", "1152 B", "not at all")}


def test_a_wrong_life_is_found():
    graph = block()
    needs, _, _ = doctored(graph, "tensors", "dies", 0, lambda _: 0)  # the input is needed for the sum
    assert differences(verify(graph, needs=needs)) == [
        *[(layer, "live_bytes", str(2 * 1152), str(3 * 1152)) for layer in ("bn", "relu", "add")],
        ("total", "peak_map_bytes", str(2 * 1152), str(3 * 1152)),
    ]


def test_a_wrong_share_of_a_fused_kernel_is_found():
    graph = block()
    needs, _, _ = doctored(graph, "parts", "elementwise", 1, lambda work: work + 5, patterns=FUSED)
    norm, relu = 4 * 8 * 36, 8 * 36
    assert differences(verify(graph, FUSED, needs=needs)) == [
        ("bn+relu", "parts", f"BatchNorm: 0 MAC {norm + 5} OP, Relu: 0 MAC {relu} OP",
         f"BatchNorm: 0 MAC {norm} OP, Relu: 0 MAC {relu} OP"),
    ]  # fmt: skip


# A wrong operator


def found(graph):
    return {(layer, quantity): (model, ran) for layer, quantity, model, ran in differences(verify(graph))}


def test_a_nest_that_forgets_the_channels_is_found(monkeypatch):
    monkeypatch.setattr(Conv, "loops", lambda _, x: Loops(x[0], 1, 36, 8, 9))
    seen = found(block())
    assert seen == {("conv", "macs"): (str(36 * 8 * 9), str(36 * 8 * 9 * 8))}


@pytest.mark.parametrize("kind", Work._fields[1:])
def test_wrong_operations_of_each_kind_are_found(kind, monkeypatch):
    monkeypatch.setattr(BatchNorm, "each", Work(**({"add": 2, "multiply": 2} | {kind: 9})))
    right = {"add": 2, "multiply": 2}.get(kind, 0) * 8 * 36
    assert found(block())["bn", kind] == (str(9 * 8 * 36), str(right))


def test_a_mean_without_its_multiplication_is_found(monkeypatch):
    monkeypatch.setattr(GlobalAveragePool, "per_row", NO_WORK)
    assert found(block()) == {("mean", "add"): ("288", "280"), ("mean", "multiply"): ("0", "8")}


def test_weights_that_are_forgotten_are_found(monkeypatch):
    monkeypatch.setattr(BatchNorm, "weights", lambda _, x: (Weight("gamma", (x[1],)), Weight("beta", (x[1],))))
    seen = found(block())
    assert seen["bn", "weights"] == ("16", "32")
    assert seen["bn", "weight_bytes"] == ("64", "128")
    assert seen["bn", "read bn.mean"] == ("not at all", "32 B")


def test_a_wrong_shape_is_found_and_ends_the_run(monkeypatch):
    monkeypatch.setattr(Conv, "shape", lambda _, x: (x[0], 8, 6, 7))
    x = Input((1, 8, 6, 6))()
    verification = verify(Graph(Relu()(Conv(8, kernel=3, pads=1)(x, name="conv"), name="relu")))
    seen = {quantity: (model, ran) for _, quantity, model, ran in differences(verification)}
    assert seen["output_shape"] == ("1x8x6x7", "1x8x6x6")
    assert verification.layers["layer"] == ("conv",)


def test_a_view_that_is_taken_for_a_copy_is_found(monkeypatch):
    monkeypatch.setattr(Flatten, "view", False)
    seen = found(block())
    assert seen["flat", "output_bytes"] == ("32", "0")
    assert seen["flat", "live_bytes"] == ("64", "32")


def test_wrong_values_are_found(monkeypatch):
    monkeypatch.setattr(Relu, "run", lambda _, x: np.abs(x))
    seen = found(block())
    assert seen.keys() == {("relu", "results")}
    model, ran = seen["relu", "results"]
    assert model == "within 1e-09 of plain NumPy"
    assert 0.1 < float(ran) < 2


def test_a_weight_that_is_unknown_is_found(monkeypatch):
    monkeypatch.setattr(BatchNorm, "run", lambda _, x, gamma, beta: x * gamma + beta)
    assert found(block())["bn", "results"][1] == "inf"


def test_values_that_are_no_numbers_are_found(monkeypatch):
    monkeypatch.setattr(Relu, "run", lambda _, x: x * np.nan)
    assert found(block())["relu", "results"][1] == "inf"


def test_a_wrong_output_of_the_network_is_found(monkeypatch):
    """Each operator does what plain NumPy does, on operands that are not the network's."""
    look = module.Memory.look

    def loses_the_values(memory, tensor, storage, array):
        look(memory, tensor, storage, np.ones_like(array) if tensor.node.name == "relu" else array)

    monkeypatch.setattr(module.Memory, "look", loses_the_values)
    assert found(block()).keys() == {("dense", "network's output")}


def test_an_operator_of_a_derived_class_has_the_loops_of_its_base():
    class Careless(Conv, abstract=True):
        def loops(self, x):
            return super().loops(x)._replace(groups=1)

    x = Input((1, 4, 5, 5))()
    seen = found(Graph(Careless(4, kernel=3, groups=4)(x, name="careless")))
    assert seen["careless", "macs"] == (str(9 * 9), str(4 * 9 * 9))


def test_an_operator_without_loops_is_an_error():
    class Unheard(Op, abstract=True):
        operands = 1

        def shape(self, x):
            return x

        def run(self, x):
            return x

    with pytest.raises(CostModelError, match="no counting loops for operator 'Unheard'"):
        verify(Graph(Unheard()(Input((1, 2))())))


def test_progress_names_every_layer():
    seen = []
    verify(block(), progress=lambda *step: seen.append(step))
    assert seen == [*[(n, 7, name) for n, name in enumerate(LAYERS)], (7, 7, "")]


# The command


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    file = tmp_path_factory.mktemp("verify") / "layers.csv"
    return test_cli.ok("verify", "lenet5", "hairnet", "--hw", "paper-2012", "--csv", file), file.read_text("utf-8")


def test_the_command_says_what_was_compared(printed):
    lines = printed[0].splitlines()
    assert lines[0] == "run and compared with the model, layer by layer, fused as on paper-2012"
    rows = {line.split()[0]: test_cli.words(line) for line in lines if line.startswith(("lenet5", "hairnet"))}
    assert rows["hairnet(size=32)"][1:4] == ["1x3x32x32", "61", "12.39 M"]
    assert rows["lenet5"][1:4] == ["1x1x32x32", "12", "416.5 k"]
    assert {row[-1] for row in rows.values()} == {"0"}
    assert lines[-1].endswith("the run counts what the model says, and computes what plain NumPy computes")
    assert len(lines) < 20


def test_the_csv_has_both_numbers_of_every_layer(printed):
    rows = list(csv.DictReader(io.StringIO(printed[1])))
    assert list(rows[0]) == [column.name for column in LAYER_COLUMNS]
    assert len(rows) == 12 + 61
    assert all(row[column.name] == row[f"{column.name}_run"] for row in rows for column in PAIRS)
    assert sum(int(row["macs_run"]) for row in rows if row["network"] == "lenet5") == 416520


BROKEN = (
    "import sys; from costmodel.graph import Work; from costmodel.ops import BatchNorm; "
    "BatchNorm.each = Work(add=3, multiply=2); from costmodel.cli import main; main()"
)


def test_the_command_fails_where_the_model_is_wrong():
    done = test_cli.run("verify", "mobilenet_v1", program=(sys.executable, "-c", BROKEN))
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("mobilenet_v1") and "stem.conv_bn " in line
               and " add " in line]  # fmt: skip
    elements = 32 * 16 * 16
    assert test_cli.words(line)[-2:] == [str(3 * elements), str(2 * elements)]
    assert "differences in 27 places" in done.stdout  # one per batch norm
    assert all(column.name in done.stdout for column in DIFFERENCE_COLUMNS)


def test_sizes_are_chosen_or_small():
    assert zoo.get("alexnet").small() == 55
    assert zoo.get("lenet5").small() == 32
    assert zoo.get("hairnet").small(width="0.5") == 32
    assert "mobilenet_v2(size=40" in test_cli.ok("verify", "mobilenet_v2", "--size", "40", "--width", "0.25")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("lenet5", "--dtype", "int8"), "float16, not in int8"),
        (("lenet5", "--set", "name=x"), "--set needs a machine"),
        (("lenet6",), "no network 'lenet6'"),
        (("alexnet", "--size", "20"), "the smallest size that works is 55"),
        (("lenet5", "--width", "2"), "no parameter 'width'"),
        (("lenet5", "--seed", "-1"), "--seed"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_run_is_refused(args, said):
    assert said in test_cli.refused("verify", *args)


def test_without_numba_it_runs_in_python_and_says_so():
    program = "import sys; sys.modules['numba'] = None; from costmodel.cli import main; main()"
    done = test_cli.run("verify", "lenet5", "--csv", "-", program=(sys.executable, "-c", program))
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "pip install 'costmodel[exec]'" in done.stderr
    assert "counting loops run in Python" not in done.stdout
    assert sum(int(row["macs_run"]) for row in csv.DictReader(io.StringIO(done.stdout))) == 416520


def test_a_terminal_sees_progress_and_a_pipe_does_not():
    shown = test_cli.terminal("verify", "hairnet", columns=150)
    assert "hairnet(size=32): " in shown
    assert "the run counts what the model says" in shown
    piped = test_cli.run("verify", "hairnet", "--size", "32")
    assert piped.stderr == ""
    assert "hairnet(size=32): " not in piped.stdout
