"""What a network keeps: every figure worked out by hand on small graphs, and the command that prints it."""

import csv
import functools
import io
import json
import re
from fractions import Fraction
from math import ceil

import command_line
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import costmodel
from costmodel import zoo
from costmodel.cli import app
from costmodel.errors import CostModelError, WiringError
from costmodel.graph import Graph, Input, block
from costmodel.memory import COLUMNS, DISK_BITS, KEPT, Training, memory, pruned, shares
from costmodel.ops import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MatMul,
    MaxPool,
    PRelu,
    Relu,
    Transpose,
)

quick = settings(max_examples=100, deadline=None)

FIGURES = [column.name for column in COLUMNS[2:]]


def rows(graph, *patterns, **more):
    """Layer -> its figures, in the order of the columns."""
    layers = memory(graph, patterns, **more).layers
    return {row["layer"]: tuple(row[name] for name in FIGURES) for row in layers.rows()}


def image(*shape):
    return Input(shape or (1, 8, 10, 12))()


def alone(op, *tensors):
    return Graph(op(*(tensors or (image(),)), name="it"))


def pair():
    """Two maps of 2 x 3 x 4 x 5."""
    return image(2, 3, 4, 5), image(2, 3, 4, 5)


# On 8 x 10 x 12 = 960 values. Read; read + written; its bytes; the report's; parameters; filter; its bytes; if dense.
LAYERS = {
    "plain": (alone(Conv(16, kernel=3, pads=1)), (960, 960 + 1920, 11520, 24 * 120, 1168, 1152, 4608, 1152)),
    "no-bias": (alone(Conv(16, kernel=1, bias=False)), (960, 2880, 11520, 24 * 120, 128, 128, 512, 128)),
    "strided": (alone(Conv(16, kernel=3, pads=1, stride=2)), (960, 960 + 480, 5760, 24 * 120, 1168, 1152, 4608, 1152)),
    "unpadded": (alone(Conv(5, kernel=(3, 1))), (960, 960 + 5 * 96, 5760, 13 * 120, 125, 120, 480, 120)),
    "grouped": (alone(Conv(16, kernel=3, pads=1, groups=4)), (960, 2880, 11520, 24 * 120, 304, 288, 1152, 1152)),
    "depthwise": (
        alone(Conv(8, kernel=3, pads=1, groups=8, bias=False)),
        (960, 1920, 7680, 16 * 120, 72, 72, 288, 576),
    ),
    "multiplied": (alone(Conv(16, kernel=3, pads=1, groups=8)), (960, 2880, 11520, 24 * 120, 160, 144, 576, 1152)),
    "one-axis": (alone(Conv(4, kernel=(5,)), image(1, 3, 20)), (60, 60 + 64, 496, 7 * 20, 64, 60, 240, 60)),
    "three-axes": (
        alone(Conv(4, kernel=(2, 2, 2), groups=2), image(1, 2, 3, 3, 3)),
        (54, 54 + 32, 344, 6 * 27, 36, 32, 128, 64),
    ),
    "linear": (alone(Linear(7), image(1, 30)), (30, 37, 148, 37, 217, 210, 840, 210)),
    "sequence": (alone(Linear(7, bias=False), image(2, 5, 30)), (300, 370, 1480, 10 * 37, 210, 210, 840, 210)),
    "batch": (alone(Conv(16, kernel=1), image(3, 8, 10, 12)), (2880, 8640, 34560, 24 * 360, 144, 128, 512, 128)),
    "pool": (alone(MaxPool(2, stride=2)), (960, 960 + 240, 4800, 0, 0, 0, 0, 0)),
    "mean": (alone(GlobalAveragePool()), (960, 968, 3872, 0, 0, 0, 0, 0)),
    "norm": (alone(BatchNorm()), (960, 1920, 7680, 0, 16, 0, 0, 0)),
    "slopes": (alone(PRelu()), (960, 1920, 7680, 0, 8, 0, 0, 0)),
    "add": (alone(Add(), *pair()), (240, 360, 1440, 0, 0, 0, 0, 0)),
    "concat": (alone(Concat(), *pair()), (240, 480, 1920, 0, 0, 0, 0, 0)),
    "maps": (alone(MatMul(), image(1, 4, 6), image(1, 6, 5)), (24 + 30, 74, 296, 0, 0, 0, 0, 0)),
    "view": (alone(Flatten()), (0, 0, 0, 0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_what_its_equation_says(name):
    graph, figures = LAYERS[name]
    assert rows(graph) == {"it": figures}


def test_a_map_that_is_read_twice_is_kept_once():
    x = image()
    assert rows(Graph(Add()(x, x, name="it")))["it"][:3] == (960, 1920, 7680)


@pytest.mark.parametrize(("dtype", "bits"), [("float64", 64), ("float16", 16), ("int8", 8), ("int4", 4)])
def test_bytes_follow_the_width_and_counts_do_not(dtype, bits):
    kept = memory(alone(Conv(5, kernel=3, groups=1), image(1, 1, 5, 5)).replay(dtype=dtype))
    (row,) = kept.layers.rows()
    assert (row["map_size"], row["map_memory"], row["filter_size"]) == (25, 25 + 45, 45)
    assert (row["map_bytes"], row["filter_bytes"]) == (ceil(25 * bits / 8) + ceil(45 * bits / 8), ceil(45 * bits / 8))
    assert kept.training == Training(50, 50, 70, 45, bits)
    assert kept.training.bytes == ceil((50 + 50 + 70 + 45) * bits / 8)


def stacked():
    """Two convolutions with batch norm and ReLU, the second strided and depthwise, then a classifier."""
    y = image(1, 3, 8, 8)
    for name, op in (
        ("wide", Conv(16, kernel=3, pads=1, bias=False)),
        ("deep", Conv(16, kernel=3, pads=1, stride=2, groups=16, bias=False)),
    ):
        with block(name):
            y = Relu()(BatchNorm()(op(y, name="conv"), name="bn"), name="relu")
    y = Flatten()(GlobalAveragePool()(y, name="mean"), name="flatten")
    return Graph(Linear(10)(y, name="fc"), "stacked")


# parameters: 432 + 32, 144 + 32, 160 + 10; statistics: 32 and 32
PARAMETERS, STORED = 810, 810 + 64


def test_terms_of_a_training_step():
    kept = memory(stacked())
    # the largest map is that of a batch norm or ReLU at 8x8, the largest filter 3*3*3*16; by the report's rule the
    # strided layer keeps the size, (16 + 16) * 64, and is dense, 9 * 16 * 16
    assert kept.training == Training(PARAMETERS, PARAMETERS, 2 * 16 * 64, 432, 32)
    assert kept.training_by_report == Training(PARAMETERS, PARAMETERS, 32 * 64, 9 * 16 * 16, 32)
    assert kept.training.bytes == 4 * (2 * 810 + 2048 + 432)
    assert kept.training_by_report.bytes == 4 * (2 * 810 + 2048 + 2304)


def test_what_is_fused_keeps_nothing_in_between():
    fused = memory(stacked(), [("Conv", "BatchNorm", "Relu")])
    assert fused.training == Training(PARAMETERS, PARAMETERS, (16 + 16 // 4) * 64, 432, 32)
    assert fused.training_by_report == memory(stacked()).training_by_report
    table = rows(stacked(), ("Conv", "BatchNorm", "Relu"))
    assert table["wide.conv+bn+relu"] == (192, 192 + 1024, 4864, 19 * 64, 464, 432, 1728, 432)
    assert table["deep.conv+bn+relu"] == (1024, 1024 + 256, 5120, 32 * 64, 176, 144, 576, 2304)
    assert fused.stored == STORED


def test_the_rule_of_the_report_looks_at_the_convolution_in_a_fused_layer():
    x = image()
    y, z = Conv(16, kernel=3, pads=1)(x, name="a"), Conv(16, kernel=1)(x, name="b")
    shortcut = rows(Graph(Add()(z, y, name="add")), ("Conv", "Add"))
    # the sum reads the other branch beside the convolution's own input
    assert shortcut["a+add"] == (960 + 1920, 960 + 2 * 1920, 19200, 24 * 120, 1168, 1152, 4608, 1152)
    pooled = rows(Graph(Conv(6, kernel=3)(MaxPool(2, stride=2)(x, name="pool"), name="conv")), ("MaxPool", "Conv"))
    # on 8 x 5 x 6 the convolution makes 6 x 3 x 4
    assert pooled["pool+conv"] == (960, 960 + 72, 4128, 14 * 30, 438, 432, 1728, 432)


def test_several_inputs():
    a, b = image(2, 3, 4, 5), image(2, 5, 4, 5)
    y = Conv(4, kernel=1)(Concat()(a, b, name="both"), name="conv")
    kept = memory(Graph([y, Relu()(a, name="again")]))
    assert kept.profile.batch == 2
    table = {row["layer"]: (row["map_size"], row["map_memory"]) for row in kept.layers.rows()}
    assert table == {"both": (320, 640), "conv": (320, 480), "again": (120, 240)}


def test_a_product_of_maps_has_no_filter_but_its_memory_counts():
    x = image(1, 6, 4)
    kept = memory(Graph(MatMul()(x, Transpose((0, 2, 1))(x, name="turn"), name="product")))
    assert kept.training == Training(0, 0, 24 + 24 + 36, 0, 32)
    assert kept.training_by_report == Training(0, 0, 0, 0, 32)


def test_a_network_without_layers_is_refused():
    with pytest.raises(WiringError, match="a network needs at least one layer"):
        memory(Graph(image()))


@pytest.mark.parametrize("values", [1, 2, 3, 4, 5, 61706])
def test_the_size_on_disk_is_rounded_up_to_whole_bytes(values):
    kept = memory(alone(Linear(1, bias=False), image(1, values)))
    assert kept.stored == values
    assert DISK_BITS == (32, 16, 8, 6)
    assert kept.disk == {32: 4 * values, 16: 2 * values, 8: values, 6: ceil(Fraction(6 * values, 8))}


def test_statistics_are_stored_but_not_learned():
    kept = memory(stacked())
    assert (kept.stored, kept.kept, kept.layers.total("parameters")) == (STORED, None, PARAMETERS)
    assert kept.disk[6] == ceil(STORED * 6 / 8)


# Pruning

SIZES = {"wide.conv": 432, "deep.conv": 144, "fc": 160}


@quick
@given(st.dictionaries(st.sampled_from([*SIZES, "*", "*.conv"]), st.fractions(0, 1, max_denominator=1000)))
def test_pruning_keeps_the_share_rounded_up_and_everything_else(wanted):
    def share(name):
        last = Fraction(1)
        for pattern, value in wanted.items():
            if pattern in {name, "*"} or (pattern == "*.conv" and name.endswith(".conv")):
                last = value
        return last

    left = pruned(stacked(), wanted)
    expected = {name: ceil(share(name) * size) + 10 * (name == "fc") for name, size in SIZES.items()}
    expected |= {"wide.bn": 32, "deep.bn": 32}
    assert {name: count for name, count in left.items() if count} == {
        name: count for name, count in expected.items() if count
    }
    assert set(left) == set(stacked().nodes)
    kept = memory(stacked(), shares=wanted)
    if wanted:
        assert kept.kept == sum(expected.values()) + 64
        assert kept.disk[8] == kept.kept
        assert sum(kept.layers["kept"]) == kept.kept - 64
    else:
        assert kept.kept is None
        assert KEPT not in kept.layers.columns


def test_pruned_layers_that_are_fused_are_added_up():
    kept = memory(stacked(), [("Conv", "BatchNorm", "Relu")], {"*.conv": Fraction(1, 5)})
    left = dict(zip(kept.layers["layer"], kept.layers["kept"], strict=True))
    assert left == {"wide.conv+bn+relu": 87 + 32, "deep.conv+bn+relu": 29 + 32, "mean": 0, "flatten": 0, "fc": 170}
    assert kept.training == memory(stacked(), [("Conv", "BatchNorm", "Relu")]).training  # trained before it is pruned


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("fcs", "did you mean 'fc'? known: deep.conv, fc, wide.conv"), ("wide.bn", "did you mean 'wide.conv'?"),
     ("conv?", "known: deep.conv, fc, wide.conv"), ("FC", "did you mean 'fc'?"), ("", "known: deep.conv")],
)  # fmt: skip
def test_a_pattern_that_fits_nothing_is_named(pattern, hint):
    with pytest.raises(CostModelError, match=re.escape(f"no layer with weights is called {pattern!r}; {hint}")):
        pruned(stacked(), {"fc": Fraction(1), pattern: Fraction(1, 2)})


def test_of_several_patterns_that_fit_nothing_the_first_is_named():
    with pytest.raises(CostModelError, match="called 'z1'"):
        pruned(stacked(), {f"z{number}": Fraction(1) for number in range(1, 9)})


@pytest.mark.parametrize(
    ("text", "share"),
    [("33%", Fraction(33, 100)), ("33 %", Fraction(33, 100)), ("0.33", Fraction(33, 100)), (".5", Fraction(1, 2)),
     ("1", 1), ("1.", 1), ("0", 0), ("0%", 0), ("100%", 1), ("12.5%", Fraction(1, 8)), ("1e-2", Fraction(1, 100)),
     ("1E2 %", 1), (" 50% ", Fraction(1, 2)), ("0.1", Fraction(1, 10))],
)  # fmt: skip
def test_a_share_is_exact(text, share):
    assert shares([f"a={text}"]) == {"a": share}


BAD = [
    "a=1.5", "a=-1", "a=-0.5%", "a=101%", "a=nan", "a=inf", "a=1e400", "a=1e99", "a=", "a=%", "a=1/3", "a=1%%",
    "a=1e-999999999", "a=1e999999999", "a=1e-100", "a=0.5 5", "a=1_0%", "a=\u0665%", "a=0x1", "a=half", "a=.", "a=1,5%",
    "a", "", "=", "=50%", " =50%", "50%", "a=" + "9" * 10_000, "a=0." + "0" * 10_000 + "1", "a=\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=[repr(text)[:24] for text in BAD])
def test_what_is_no_share_is_refused_at_once(text):
    with pytest.raises(CostModelError) as error:
        shares(["a=50%", text])
    assert str(error.value) == (
        f"--keep {text!r}: expected LAYER=SHARE with a share from 0 to 1 or 0 % to 100 %, such as 'fire*.e3x3=33%'"
    )


@quick
@given(st.text("0123456789.eE+-%/_ infa=", max_size=30))
def test_any_text_is_a_share_or_refused(text):
    try:
        ((_, share),) = shares([f"a={text}"]).items()
    except CostModelError:
        return
    assert 0 <= share <= 1


def test_the_last_share_given_for_a_pattern_comes_last():
    assert list(shares(["*=10%", "a=20%", " * = 30%"]).items()) == [("a", Fraction(1, 5)), ("*", Fraction(3, 10))]
    assert shares(["a=b=1"]) == {"a=b": 1}
    assert shares([]) == {}


# The networks of the zoo: sums that must agree


@pytest.mark.parametrize("name", zoo.names())
def test_sums_agree_with_the_network(name):
    graph = costmodel.network(name)
    kept = memory(graph, costmodel.machine("paper-2012").fuse)
    assert kept.layers.total("parameters") == kept.training.parameters == graph.parameters
    assert kept.layers["map_bytes"] == tuple(
        sum(pair) for pair in zip(kept.profile.layers["input_bytes"], kept.profile.layers["output_bytes"], strict=True)
    )
    assert all(
        size == 4 * count for size, count in zip(kept.layers["map_bytes"], kept.layers["map_memory"], strict=True)
    )
    weights = [w for n in graph.nodes.values() for w in n.op.weights(*n.input_shapes) if w.name == "weight"]
    assert sorted(size for size in kept.layers["filter_size"] if size) == sorted(weight.elements for weight in weights)
    assert kept.training.largest_filter == max(weight.elements for weight in weights)
    dense = sum(
        size > true for size, true in zip(kept.layers["report_filter_size"], kept.layers["filter_size"], strict=True)
    )
    assert dense == sum(node.op.loops(*node.input_shapes).groups > 1 for node in graph.nodes.values())


# The command


def run(*args, columns=200):
    return CliRunner().invoke(app, ["memory", *map(str, args)], env={"COLUMNS": str(columns), "NO_COLOR": "1"})


def ok(*args, **more):
    done = run(*args, **more)
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    return done.stdout


def sentences(text):
    """What stands below the table, by its first words."""
    found = {}
    heading = ""
    for line in text[text.rindex("\u2500") :].splitlines()[1:]:
        if line[:1].strip() and (match := re.match(r"(\S+(?: \S+)?)  +(.*)", line)):
            heading, rest = match.groups()
            found[heading] = rest
        elif heading and line.startswith(" " * 11):
            found[heading] += f" {line.strip()}"
    return found


@functools.cache
def lenet():
    """LeNet-5: 150 + 6, 2400 + 16, 48000 + 120, 10080 + 84, 840 + 10."""
    return ok("lenet5")


def test_the_command_prints_layers_formula_and_sizes():
    lines = sentences(lenet())
    assert lenet().splitlines()[0] == "lenet5"
    # the tanh after C1 keeps 6x28x28 twice; C5 has 400 x 120 filters; C1 alone, on (1 + 6) * 32 * 32, is the report's
    formula = "(parameters + gradients + largest map + largest filter) * 32 / 8 = "
    assert lines["training"] == formula + "(61706 + 61706 + 9408 + 48000) * 32 / 8 = 723.3 kB"
    assert lines["by report"] == formula + "(61706 + 61706 + 7168 + 48000) * 32 / 8 = 714.3 kB"
    assert lines["on disk"] == "246.8 kB at 32 bit, 123.4 kB at 16 bit, 61.71 kB at 8 bit, 46.28 kB at 6 bit"
    assert lines["maps"].startswith("37.63 kB at most")  # 2 * 4 B * 6 * 28 * 28
    assert "pruned" not in lines


def test_a_narrow_terminal_loses_columns_and_no_words():
    narrow = ok("lenet5", columns=60)
    assert [line for line in narrow.splitlines() if len(line) > 60] == []
    assert "left out for width: filter_bytes, map_bytes" in narrow
    assert sentences(narrow)["training"] == sentences(lenet())["training"]
    assert "left out" not in lenet()


def test_the_command_writes_the_same_as_csv_and_json(tmp_path):
    text = ok("lenet5", "--csv", tmp_path / "m.csv", "--json", tmp_path / "m.json")
    assert text == lenet()
    rows_ = list(csv.DictReader(io.StringIO((tmp_path / "m.csv").read_text(encoding="utf-8"))))
    document = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert [{key: str(value) for key, value in row.items()} for row in document["layers"]] == rows_
    assert [column["name"] for column in document["columns"]] == list(rows_[0]) == [column.name for column in COLUMNS]
    assert document["training"] == {
        "parameters": 61706, "gradients": 61706, "largest_map": 9408, "largest_filter": 48000, "bits": 32,
        "bytes": 4 * (2 * 61706 + 9408 + 48000),
    }  # fmt: skip
    assert document["training_by_report"]["bytes"] == 4 * (2 * 61706 + 7168 + 48000)
    assert (document["network"], document["batch"], document["kept"], document["stored"]) == ("lenet5", 1, None, 61706)
    assert document["disk_bytes"] == {"32": 246824, "16": 123412, "8": 61706, "6": 46280}
    assert document["peak_map_bytes"] == 37632
    assert [row["layer"] for row in csv.DictReader(io.StringIO(ok("lenet5", "--csv", "-")))] == [
        r["layer"] for r in rows_
    ]
    assert json.loads(ok("lenet5", "--json", "-")) == document


def test_with_a_machine_the_homes_of_the_maps_are_those_of_the_profile(tmp_path):
    ok("hairnet", "--hw", "paper-2012", "--csv", tmp_path / "m.csv")
    profile = ["profile", "hairnet", "--hw", "paper-2012", "--quiet", "--csv", str(tmp_path / "p.csv")]
    assert CliRunner().invoke(app, profile).exit_code == 0
    kept, profiled = (
        list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text(encoding="utf-8")))) for name in "mp"
    )
    shared = ["layer", "operator", "parameters", "input_memory", "output_memory", "weight_memory", "live_bytes"]
    assert [[row[name] for name in shared] for row in kept] == [[row[name] for name in shared] for row in profiled]
    for row, other in zip(kept, profiled, strict=True):
        assert int(row["map_bytes"]) == int(other["input_bytes"]) + int(other["output_bytes"])
    text = ok("hairnet", "--hw", "paper-2012")
    assert text.splitlines()[0] == "hairnet on paper-2012, placement threshold"
    assert "warning: 13 of 61 layers (marked !) need more than the 1 MB" in text
    assert sum("!" in line for line in text.splitlines()) == 13 + 1
    liveness = ok("hairnet", "--hw", "paper-2012", "--place", "liveness", "--set", "memories.internal.size=2 MB")
    assert "placement liveness" in liveness
    assert "warning" not in liveness


NEEDS_A_MACHINE = "--set, --place, --steady-state, --plot and --addresses need a machine: --hw"


def test_pruning_on_the_command_line():
    text = ok("lenet5", "--keep", "classifier.*=25%", "--keep", "classifier.output=1", "--keep", "features.C3=0")
    left = 156 + 16 + (12000 + 120) + (2520 + 84) + 850
    assert sentences(text)["pruned"].startswith(f"{left} of 61706 stored values are kept, {left / 61706:.2%}")
    document = json.loads(ok("lenet5", "--keep", "*=25%", "--keep", "*=50%", "--json", "-"))
    assert document["kept"] == 61706 - (150 + 2400 + 48000 + 10080 + 840) // 2
    assert [row["kept"] for row in document["layers"] if row["kept"]] == [81, 1216, 24120, 5124, 430]
    assert document["disk_bytes"]["6"] == ceil(document["kept"] * 6 / 8)


def test_options_change_the_network():
    document = json.loads(ok("lenet5", "--batch", 4, "--dtype", "float16", "--classes", 5, "--json", "-"))
    parameters = 61706 - 5 * 85
    assert document["batch"] == 4
    assert document["training"] == {
        "parameters": parameters, "gradients": parameters, "largest_map": 4 * 9408, "largest_filter": 48000, "bits": 16,
        "bytes": 2 * (2 * parameters + 4 * 9408 + 48000),
    }  # fmt: skip
    assert document["disk_bytes"]["8"] == parameters
    text = ok("mobilenet_v1", "--width", 0.25, "--size", 128)
    assert "left out" not in text
    assert "470072 + 470072" in sentences(text)["training"]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (
            ["lenet5", "--set", "memories.internal.size=2 MB"],
            NEEDS_A_MACHINE,
        ),
        (
            ["lenet5", "--place", "liveness"],
            NEEDS_A_MACHINE,
        ),
        (["lenet5", "--keep", "conv9=50%"], "no layer with weights is called 'conv9'"),
        (["lenet5", "--keep", "features.C1=150%"], "--keep 'features.C1=150%': expected LAYER=SHARE"),
        (["lenet5", "--hw", "paper-2021"], "did you mean 'paper-2012'"),
        (["lenet5", "--csv", "-", "--json", "-"], "--csv, --json, --plot and --addresses cannot share standard output"),
        (["lenet5", "--csv", "m", "--json", "./m"], "--csv, --json, --plot and --addresses cannot share the file m"),
        (["lenet6"], "did you mean 'lenet5'"),
        (["lenet5", "--csv", "nowhere/m.csv"], "nowhere/m.csv"),
    ],
)
def test_a_mistake_is_named(args, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert isinstance(done.exception, CostModelError)
    assert problem in str(done.exception)
    assert done.stdout == ""


def test_a_mistake_ends_with_exit_code_2_and_one_line():
    done = command_line.run("memory", "lenet5", "--keep", "*=1e-999999999")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
