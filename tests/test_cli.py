"""The command line as a user meets it: exit codes, what is printed where, and processes with pipes and terminals."""

import contextlib
import csv
import fcntl
import inspect
import io
import json
import math
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import sysconfig
import termios
from importlib import metadata, resources
from pathlib import Path

import pytest
from command_line import NEUTRAL, process, run

import costmodel
from costmodel.cli import COMMANDS

MAIN = ("profile", "hairnet", "--hw", "paper-2012")
EXPENSIVE = ["stem.bn+relu", "stem.max_pool", "stage1.0.bn2+relu2", "stage1.1.bn1+relu1", "stage1.1.bn2+relu2"]
TRACES = ("Traceback", "Exception ignored")


def ok(*args, **more):
    """Standard output of a command that works and says nothing on the other stream but warnings."""
    done = run(*args, **more)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), done.stderr
    return done.stdout


def refused(*args, **more):
    """Standard error of a command that the user got wrong: exit code 2, short, nothing on standard output."""
    done = run(*args, **more)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert 0 < len(done.stderr) < 1000, done.stderr
    assert sum("error" in line.lower() for line in done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def result(*args):
    """A profile as JSON, read strictly."""

    def forbidden(word):
        raise AssertionError(f"JSON has no {word}")

    return json.loads(ok(*MAIN, *args, "--json", "-"), parse_constant=forbidden)


def parts(text):
    """What a profile prints: title, heads, rows, the footer, and the rest."""
    title, *lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if line and set(line) <= {"─", "-"}]
    assert len(rules) == 2
    first, second = rules
    return title, lines[:first], lines[first + 1 : second], lines[second + 1], lines[second + 2 :]


def words(line):
    return re.split(r" {2,}", line.strip())


def section(rest, heading):
    """The lines of one entry of the summary."""
    start = next(number for number, line in enumerate(rest) if line.startswith(heading))
    end = next((n for n in range(start + 1, len(rest)) if not rest[n].startswith(" ")), len(rest))
    return "\n".join(rest[start:end])


def records(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    """The main job once, with every output: text, CSV, JSON, Markdown."""
    folder = tmp_path_factory.mktemp("main")
    names = ("layers.csv", "layers.json", "layers.md")
    flags = [word for name in names for word in (f"--{name.partition('.')[2].replace('md', 'markdown')}", name)]
    done = run(*MAIN, *flags, cwd=folder, env={"PYTHONHASHSEED": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)
    return [done.stdout, *((folder / name).read_bytes().decode() for name in names)]


@pytest.fixture(scope="module")
def text(main):
    return main[0]


@pytest.fixture(scope="module")
def layers(main):
    return records(main[1])


@pytest.fixture(scope="module")
def document(main):
    return json.loads(main[2])


# The main job


def test_the_title_names_network_machine_and_rules(text):
    assert parts(text)[0] == "hairnet on paper-2012, overlap none, placement threshold"


def test_every_layer_is_a_row(text, layers):
    # 3 in the stem, 4 in each of 13 blocks, 4 pools between the stages, 2 in the head
    rows = parts(text)[2]
    assert len(rows) == 3 + 4 * (2 + 3 + 3 + 3 + 2) + 4 + 2 == 61
    assert [words(row[2:])[0] for row in rows] == [layer["layer"] for layer in layers]


def test_the_totals_are_those_of_the_network_by_hand(text, document):
    filters = [64] * 2 + [128] * 3 + [256] * 3 + [512] * 3 + [1000] * 2
    sizes = [112] * 2 + [56] * 3 + [28] * 3 + [14] * 3 + [7] * 2
    parameters, macs, channels = 27 * 32 + 2 * 32, 27 * 32 * 224**2, 32
    for out, size in zip(filters, sizes, strict=True):
        parameters += 9 * channels + 2 * channels + channels * out + 2 * out
        macs += (9 * channels + channels * out) * size**2
        channels = out
    assert (document["totals"]["parameters"], document["totals"]["macs"]) == (parameters, macs)
    footer = words(parts(text)[3])
    assert footer[0] == "total"
    assert {"2.431 M", "607.2 M", "100.0%"} <= set(footer)
    assert (f"{parameters / 1e6:.3f} M", f"{macs / 1e6:.1f} M") == ("2.431 M", "607.2 M")


def test_the_summary_has_the_five_most_expensive_layers(text, layers):
    shown = section(parts(text)[4], "most time")
    places = [shown.find(name) for name in EXPENSIVE]
    assert -1 not in places
    assert places == sorted(places)
    assert [layer["layer"] for layer in layers if layer["layer"] in shown] == EXPENSIVE
    # by hand: batch norm and relu read and write 32*224*224 floats and 4*32 more; 5 operations per element
    seconds = (2 * 32 * 224**2 * 4 + 4 * 32 * 4) / 1e9 + 5 * 32 * 224**2 / 1e10
    assert f"{1000 * seconds:.2f} ms" in shown


def test_the_summary_says_latency_work_and_bound(text):
    rest = parts(text)[4]
    assert "121.5 ms for 1 image, 8.229 images/s" in section(rest, "latency")
    assert "607.2 M MACs" in section(rest, "work")
    assert section(rest, "bound by").index("external") < section(rest, "bound by").index("host")


def test_one_warning_counts_the_marked_layers(text, layers, document):
    alerts = [line for line in text.splitlines() if line.startswith("warning")]
    assert len(alerts) == 1
    assert "13 of 61 layers (marked !)" in alerts[0]
    assert "1 MB of 'internal'" in alerts[0]
    assert document["warnings"] == [alerts[0].removeprefix("warning: ").replace(" (marked !)", "")]
    # HairNet is a chain: what lives inside together is a layer's operand and its result
    full = [
        layer["layer"]
        for layer in layers
        if sum(int(layer[f"{x}_bytes"]) for x in ("input", "output") if layer[f"{x}_memory"] == "internal") > 10**6
    ]
    marked = [words(row[2:])[0] for row in parts(text)[2] if row.startswith("! ")]
    assert marked == full
    assert len(marked) == 13
    assert [layer["layer"] for layer in layers if layer["overfull"]] == full


# Which rows, which columns


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    file = tmp_path_factory.mktemp("top") / "top.json"
    return ok(*MAIN, "--top", "5", "--json", file), json.loads(file.read_text(encoding="utf-8"))


def test_top_shows_the_longest_and_adds_up_the_others(top, text):
    rows, footer = parts(top[0])[2], parts(top[0])[3]
    assert [words(row)[0] for row in rows] == [*EXPENSIVE, "(56 others)"]
    assert words(footer) == words(parts(text)[3])
    # 13.65 + 8.189 + 3 * 6.825 = 42.31 of 121.5
    assert words(rows[-1])[-2:] == ["79.21 ms", "65.2%"]


def test_top_leaves_totals_summary_and_warning_as_they_are(top, text, document):
    rest = [[line.replace(" (marked !)", "") for line in parts(shown)[4]] for shown in (top[0], text)]
    assert rest[0] == rest[1]
    shown = top[1]
    assert [layer["layer"] for layer in shown["layers"]] == EXPENSIVE
    assert {**shown, "layers": 0} == {**document, "layers": 0}


@pytest.mark.parametrize(
    "args", [("--top", "61"), ("--top", "1000"), ("--size", "224", "--batch", "1", "--dtype", "float32")], ids=" ".join
)
def test_what_holds_anyway_can_be_said(args, text):
    assert ok(*MAIN, *args) == text


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("operator", ["Conv", "BatchNorm+Relu", "MaxPool", "GlobalAveragePool", "Softmax"]),
        ("block", ["stem", "stage1.0", "stage1.1", "stage1", "stage2.0", "stage2.1", "stage2.2", "stage2"]),
    ],
)
def test_groups_add_up_to_the_same_totals(by, names, layers, text, tmp_path):
    shown = ok(*MAIN, "--group-by", by, "--csv", tmp_path / "groups.csv")
    groups = records((tmp_path / "groups.csv").read_text(encoding="utf-8"))
    assert [group[by] for group in groups][: len(names)] == names
    for group in groups:
        members = [layer for layer in layers if layer[by] == group[by]]
        assert int(group["layers"]) == len(members)
        for column in ("macs", "parameters", "input_bytes", "operations"):
            assert int(group[column]) == sum(int(layer[column]) for layer in members)
        assert float(group["total_seconds"]) == math.fsum(float(layer["total_seconds"]) for layer in members)
    assert sum(int(group["layers"]) for group in groups) == 61
    _, _, rows, footer, rest = parts(shown)
    assert len(rows) == len(groups)
    # a grouped table has two more columns that add up: the layers and the elementwise operations
    assert [word for word in words(footer) if word not in {"61", "45.42 M"}] == words(parts(text)[3])
    assert rest[:-1] == parts(text)[4][:-1]


def test_a_warning_speaks_of_marks_only_where_there_are_some():
    shown = ok(*MAIN, "--group-by", "operator")
    assert "13 of 61 layers need" in shown
    assert "!" not in shown


def test_columns_are_shown_in_the_order_asked_for(tmp_path):
    shown = ok(*MAIN, "--columns", "layer, macs,total_seconds", "--csv", tmp_path / "a.csv", "--markdown", "b.md",
               cwd=tmp_path)  # fmt: skip
    assert words(parts(shown)[1][-1]) == ["layer", "macs", "total"]
    assert words(parts(shown)[3]) == ["total", "607.2 M", "121.5 ms"]
    assert (
        (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("layer,macs,total_seconds\nstem.conv2D,43352064,")
    )
    assert (tmp_path / "b.md").read_text(encoding="utf-8").startswith("| layer | macs | total |\n")


@pytest.mark.parametrize("columns", ["macs,total_seconds", "total_seconds,macs"])
def test_no_total_is_lost_whatever_column_is_first(columns):
    """The words before the sums must not take the place of one."""
    *_, others = (rows := parts(ok(*MAIN, "--columns", columns, "--top", "2")))[2]
    # the first two layers take 13.65 and 8.189 of 121.5 ms and have no MACs
    assert "607.2 M" in others
    assert "99.69 ms" in others
    assert "607.2 M" in rows[3]
    assert "121.5 ms" in rows[3]


def test_all_columns_can_be_shown(layers):
    heads, ruler, *rows = ok(*MAIN, "--columns", "all", "--markdown", "-").splitlines()
    assert heads.count("|") == ruler.count("|") == len(layers[0]) + 1
    assert len(rows) == 61 + 1


# CSV, JSON and Markdown


def test_csv_on_standard_output_is_the_file_and_the_warning_goes_elsewhere(main):
    done = run(*MAIN, "--csv", "-", env={"PYTHONHASHSEED": "2"})
    assert done.returncode == 0
    assert done.stdout == main[1]  # byte for byte, in another process
    assert re.fullmatch(r"warning: 13 of 61 layers .*\n", done.stderr)


def test_json_on_standard_output_is_the_file_and_the_warning_goes_elsewhere(main):
    done = run(*MAIN, "--json", "-", env={"PYTHONHASHSEED": "2"})
    assert (done.returncode, done.stdout) == (0, main[2])
    assert re.fullmatch(r"warning: 13 of 61 layers .*\n", done.stderr)


def test_markdown_on_standard_output_is_the_file(main):
    assert ok(*MAIN, "--markdown", "-") == main[3]


def test_csv_has_every_digit(layers):
    table = costmodel.cost("hairnet", "paper-2012").layers
    assert list(layers[0]) == [column.name for column in table.columns]
    for column in table.columns:
        assert tuple(column.dtype(layer[column.name]) for layer in layers) == table[column.name], column.name


def test_csv_and_json_have_the_same_rows_and_add_up_to_the_same_totals(layers, document):
    assert [[str(cell) for cell in layer.values()] for layer in document["layers"]] == [
        list(layer.values()) for layer in layers
    ]
    kinds = {column["name"]: column["total"] for column in document["columns"]}
    assert {name for name, kind in kinds.items() if kind} == set(document["totals"])
    for name, total in document["totals"].items():
        if kinds[name] == "max":
            assert total == max(int(layer[name]) for layer in layers)
        elif isinstance(total, int):
            assert total == sum(int(layer[name]) for layer in layers)
        else:
            assert total == math.fsum(float(layer[name]) for layer in layers)
    assert document["seconds"] == document["totals"]["total_seconds"]


def test_json_says_what_was_run_and_what_columns_mean(document):
    run_with = {name: document[name] for name in ("network", "machine", "batch", "overlap", "placement")}
    assert run_with == {"network": "hairnet", "machine": "paper-2012", "batch": 1, "overlap": "none",
                        "placement": "threshold"}  # fmt: skip
    assert all(column["meaning"] for column in document["columns"])


def test_json_has_no_infinity():
    document = result()
    internal = next(row for row in document["resources"] if row["resource"] == "internal")
    assert internal["rate"] is None  # inf in the data sheet
    free = result("--set", "memories.external.bandwidth=inf")
    assert free["totals"]["transfer_seconds"] == 0


def test_markdown_is_one_table_with_the_totals(main):
    heads, ruler, *rows = main[3].splitlines()
    assert set(ruler) == set("|:- ")
    assert {line.count("|") for line in (heads, ruler, *rows)} == {ruler.count("|")}
    assert len(rows) == 61 + 1
    assert rows[-1].startswith("| total |")


def test_one_format_only_can_go_to_standard_output():
    assert "--csv, --json, --markdown and --trace" in refused(*MAIN, "--csv", "-", "--json", "-")


def test_two_formats_cannot_go_to_one_file(tmp_path):
    assert "a.txt" in refused(*MAIN, "--csv", "a.txt", "--json", "b/../a.txt", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--quiet", "-q"])
def test_quiet_prints_warnings_only(flag):
    done = run(*MAIN, flag)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"warning: 13 of 61 layers .*\n", done.stderr)


@pytest.mark.parametrize("data", ["--json", "--csv"])
def test_data_on_standard_output_is_utf_8_whatever_the_terminal(data):
    """A replacement character would change the data without a word."""
    done = run(*MAIN, "--set", "memories.external.source=x", "--set", "name=Prüfstand", "--set",
               "engines.host={peak: 1 GFLOPS, runs: rest}", "--set", "engines.größe={peak: 1 GFLOPS, runs: [MaxPool]}",
               data, "-", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})  # fmt: skip
    assert done.returncode == 0
    if data == "--json":
        document = json.loads(done.stdout)
        assert document["machine"] == "Prüfstand"
        assert "größe" in {layer["engine"] for layer in document["layers"]}
    else:
        assert "größe" in {layer["engine"] for layer in records(done.stdout)}


# What the options do


@pytest.mark.parametrize("command", [command for command, _ in COMMANDS], ids=lambda command: command.__name__)
def test_networks_are_given_alike_everywhere_and_stay_what_they_are(command):
    options = inspect.signature(command).parameters
    if {"network", "networks"} & {*options}:
        assert {"shape", "unknown", "batch"} <= {*options}
        assert [options[name].default for name in ("batch", "dtype") if name in options] in ([None], [None, None])


def test_a_files_own_batch_and_type_stay(tmp_path):
    layers = "  - {op: Conv, filters: 8, kernel: 3, bias: false}\n"
    text = f"name: two\ndtype: float16\ninputs: {{x: [2, 3, 8, 8]}}\nlayers:\n{layers}"
    (tmp_path / "two.yaml").write_text(text, encoding="utf-8")
    rows = ok("place", "two.yaml", "--hw", "paper-2012", "--place", "liveness", "--csv", "-", cwd=tmp_path)
    (row,) = csv.DictReader(io.StringIO(rows))
    assert int(row["external_bytes"]) == 2 * (8 * 3 * 9 + 2 * 3 * 64 + 2 * 8 * 36)  # weights and two images
    assert ok("export", "two.yaml", cwd=tmp_path).startswith("name: two\ndtype: float16\ninputs: {x: [2, 3, 8, 8]}")
    assert "x: [1, 3, 8, 8]" in ok("export", "two.yaml", "--batch", "1", cwd=tmp_path)


def test_a_batch_multiplies_the_work_and_not_the_weights(document):
    batch = result("--batch", "8")
    assert batch["batch"] == 8
    assert batch["totals"]["macs"] == 8 * document["totals"]["macs"]
    assert batch["totals"]["elementwise"] == 8 * document["totals"]["elementwise"]
    assert batch["totals"]["output_bytes"] == 8 * document["totals"]["output_bytes"]
    assert batch["totals"]["weight_bytes"] == document["totals"]["weight_bytes"]
    assert batch["seconds"] > 7 * document["seconds"]
    assert batch["images_per_second"] == pytest.approx(8 / batch["seconds"])


def test_a_narrower_type_moves_fewer_bytes(document):
    narrow = result("--dtype", "int8")
    for column in ("input_bytes", "output_bytes", "weight_bytes"):
        assert 4 * narrow["totals"][column] == document["totals"][column]
    assert narrow["totals"]["macs"] == document["totals"]["macs"]
    assert narrow["totals"]["compute_seconds"] == document["totals"]["compute_seconds"]
    assert narrow["totals"]["transfer_seconds"] < document["totals"]["transfer_seconds"] / 4


def test_size_classes_width_and_the_dense_head_change_the_network(document):
    def stem(found):
        return found["layers"][0]

    small = result("--size", "112")
    assert small["network"] == "hairnet(size=112)"
    assert 4 * stem(small)["macs"] == stem(document)["macs"]
    assert small["totals"]["parameters"] == document["totals"]["parameters"]
    few = result("--classes", "10")
    assert few["layers"][-1]["output_shape"] == "1x10x1x1"
    assert few["totals"]["parameters"] < document["totals"]["parameters"]
    thin = result("--width", "0.5")
    assert stem(thin)["output_shape"] == "1x16x224x224"
    assert stem(thin)["macs"] * 2 == stem(document)["macs"]
    dense = result("--param", "dense_head=true")
    assert dense["totals"]["parameters"] == document["totals"]["parameters"] + 1000 * 1000 + 1000
    assert "head.dense" in {layer["layer"] for layer in dense["layers"]}


def test_a_setting_changes_the_machine(document):
    fast = result("--set", "memories.external.bandwidth=2 GB/s", "--set", "engines.host.peak=5 GFLOPS")
    for ours, theirs in zip(fast["layers"], document["layers"], strict=True):
        assert 2 * ours["transfer_seconds"] == theirs["transfer_seconds"]
        slower = 2 if ours["engine"] == "host" else 1
        assert ours["compute_seconds"] == slower * theirs["compute_seconds"]


def test_overlap_takes_the_larger(document):
    both = result("--overlap", "layer")
    assert both["overlap"] == "layer"
    for ours, theirs in zip(both["layers"], document["layers"], strict=True):
        assert ours["total_seconds"] == max(theirs["transfer_seconds"], theirs["compute_seconds"])
    assert both["seconds"] < document["seconds"]


def test_liveness_fits_and_takes_longer(document):
    fits = result("--place", "liveness")
    assert fits["placement"] == "liveness"
    assert fits["warnings"] == []
    assert fits["totals"]["live_bytes"] <= 10**6 < document["totals"]["live_bytes"]
    assert fits["seconds"] > document["seconds"]


def test_a_machine_may_be_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nengines: {all: {peak: 1 GFLOPS, runs: rest}}\nmemories: {dram: {size: inf, bandwidth: 1 GB/s}}\n",
        encoding="utf-8",
    )
    shown = ok("profile", "hairnet", "--hw", "./mine.yaml", "--top", "1", cwd=tmp_path)
    assert parts(shown)[0].startswith("hairnet on mine, ")
    # 2 * 607.2 M + 75.5 M operations (batch norm and relu apart) at 1 GFLOPS
    assert "all compute 1.26 s" in shown or "all compute 1.260 s" in shown
    sheet = ok("show", tmp_path / "mine.yaml")
    assert sheet.startswith("mine\nsource: not stated\n")
    assert "1 GFLOPS" in sheet


# What a user can get wrong


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("profile", "hairnt", "--hw", "paper-2012"), "hairnet"),
        (("profile", "hairnet", "--hw", "paper-2013"), "paper-2012"),
        (("profil", "hairnet", "--hw", "paper-2012"), "profile"),
        ((*MAIN, "--clases", "10"), "--classes"),
        ((*MAIN, "--columns", "layer,mac"), "macs"),
        ((*MAIN, "--group-by", "blok"), "block"),
        ((*MAIN, "--overlap", "layr"), "layer"),
        ((*MAIN, "--place", "livenes"), "liveness"),
        ((*MAIN, "--dtype", "flot32"), "float32"),
        ((*MAIN, "--param", "dense_hed=true"), "dense_head"),
        ((*MAIN, "--set", "memories.extrenal.size=1 B"), "external"),
        ((*MAIN, "--set", "engines.host.peek=1 GFLOPS"), "peak"),
        (("explain", "hairnet", "stage2.0.dwise_con", "--hw", "paper-2012"), "stage2.0.dwise_conv"),
        (("explain", "hairnet", "stage2.0.rel1", "--hw", "paper-2012"), "stage2.0.relu1"),
        (("show", "standrd"), "standard"),
        (("show", "hairne"), "hairnet"),
        (("reproduce", "hairnett", "-o", "nowhere"), "hairnet"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(args, meant, tmp_path):
    message = refused(*args, cwd=tmp_path)
    assert re.search(f"(did you mean|possible options:) '?{re.escape(meant)}\\b", message, re.IGNORECASE), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("--batch", "0"), ["--batch", "0"]),
        (("--batch", "two"), ["--batch", "two"]),
        (("--size", "-1"), ["size", "-1", "positive integer"]),
        (("--size", "0"), ["size", "0", "positive integer"]),
        (("--size", "abc"), ["--size", "abc"]),
        (("--size", "8"), ["max_pool", "1x"]),
        (("--size", str(10**12)), ["2^63 elements"]),
        (("--classes", "0"), ["classes", "0", "positive integer"]),
        (("--width", "nan"), ["width", "nan", "positive number"]),
        (("--width", "-0.5"), ["width", "-0.5", "positive number"]),
        (("--width", "1e308"), []),
        (("--top", "0"), ["--top", "0"]),
        (("--param", "dense_head"), ["dense_head", "NAME=VALUE"]),
        (("--param", "dense_head=maybe"), ["dense_head", "maybe", "true or false"]),
        (("--set", "overlap"), ["overlap", "KEY=VALUE"]),
        (("--set", "engines.host.peak=1"), ["engines.host.peak", "no unit"]),
        (("--columns", ","), ["--columns", "','"]),
        (("--hw", "missing.yaml"), ["missing.yaml", "No such file"]),
        (("--set", "memories={a: {size: 1 kB, bandwidth: 1 GB/s}}"), ["588 KiB", "'a'", "1 kB"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_bad_value_is_named(args, parts, tmp_path):
    message = refused(*MAIN, *args, "--csv", tmp_path / "a.csv")
    assert all(part in message for part in parts), message
    assert list(tmp_path.iterdir()) == []


def test_a_time_limit_is_a_number():
    message = refused("place", "lenet5", "--hw", "paper-2012", "--place", "liveness", "--time-limit", "nan")
    assert "--time-limit nan: expected seconds from 0.001 to 86400" in message


def test_a_missing_machine_is_asked_for():
    assert "--hw" in refused("profile", "hairnet")


def test_a_wrong_file_is_named_with_its_line(tmp_path):
    lines = ["name: mine", "engines: {a: {peak: 1, runs: rest}}", "memories: {b: {size: inf}}", ""]
    (tmp_path / "mine.yaml").write_text("\n".join(lines), encoding="utf-8")
    message = refused("profile", "hairnet", "--hw", "mine.yaml", cwd=tmp_path)
    assert message.startswith("error: mine.yaml:2: engines.a.peak: '1' has no unit; ")
    assert message.endswith("such as '10 GFLOPS'\n")


@pytest.mark.parametrize(
    "args",
    [
        ("profile", "lenet5", "--top", "2", "--hw", "paper-2012", "--timeline"),
        ("profile", "lenet5", "--columns", "layer", "--hw", "paper-2012", "--timeline"),
        ("profile", "lenet5", "--group-by", "block", "--hw", "paper-2012", "--timeline"),
        ("show", "paper-2012", "--size", "64"),
        ("show", "hairnet", "--set", "name=x"),
        ("show", "standard", "--width", "2"),
    ],
)
def test_an_option_that_changes_nothing_is_refused(args):
    assert args[2] in refused(*args)


# Files that cannot be written


@pytest.mark.parametrize("flag", ["--csv", "--json", "--markdown"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/a.csv", "No such file"), ("folder", "directory"), ("old.csv/a.csv", "Not a directory")],
)
def test_a_file_that_cannot_be_written_is_named(flag, name, reason, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.csv").write_text("old", encoding="utf-8")
    message = refused(*MAIN, flag, name, cwd=tmp_path)
    assert name in message
    assert reason in message
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")) == ["folder", "old.csv"]
    assert (tmp_path / "old.csv").read_text(encoding="utf-8") == "old"


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    """The process may write files of 1000 bytes at most; the table needs more."""
    (tmp_path / "layers.csv").write_text("old", encoding="utf-8")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from costmodel.cli import main; main()"
    )
    message = refused(*MAIN, "--csv", "layers.csv", cwd=tmp_path, program=(sys.executable, "-B", "-c", limited))
    assert "layers.csv: cannot write it: " in message
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("layers.csv", "old")]


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


@needs_full
def test_a_full_device_is_named():
    message = refused(*MAIN, "--csv", "/dev/full")
    assert "/dev/full" in message
    assert "No space left" in message


@needs_full
@pytest.mark.parametrize("args", [MAIN, (*MAIN, "--csv", "-"), ("list",)], ids=["table", "csv", "list"])
def test_standard_output_that_is_full_is_an_error_in_one_line(args):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "costmodel", *args], env=NEUTRAL, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)  # fmt: skip
    assert done.returncode not in (0, 120)
    assert not any(trace in done.stderr for trace in TRACES), done.stderr
    assert "No space left" in done.stderr


@needs_full
def test_standard_error_that_is_full_is_still_an_error():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "costmodel", "profile", "hairnt", "--hw", "paper-2012"],
                              env=NEUTRAL, stdout=subprocess.PIPE, stderr=full, timeout=60)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")


def test_interrupted_at_the_start_it_ends_quietly():
    finder = (
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'costmodel.cli':\n"
        "            raise KeyboardInterrupt\n"
    )
    program = f"import sys\n{finder}sys.meta_path.insert(0, Interrupted())\nfrom costmodel.__main__ import run\nrun()"
    done = run(program=(sys.executable, "-c", program))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("pipe.onnx", ("profile", "pipe.onnx", "--hw", "paper-2012")),
        ("pipe.yaml", ("profile", "./pipe.yaml", "--hw", "paper-2012")),
        ("pipe.yaml", ("profile", "lenet5", "--hw", "./pipe.yaml")),
        ("pipe.json", ("check", "pipe.json")),
        ("pipe.csv", ("roofline", "lenet5", "--hw", "paper-2012", "-o", "a.svg", "--measured", "pipe.csv")),
    ],
)
def test_a_named_pipe_is_not_waited_for(name, args, tmp_path):
    os.mkfifo(tmp_path / name)
    assert f"{name}: cannot read it: a named pipe" in refused(*args, cwd=tmp_path)


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no standard input by name")
def test_a_pipe_of_a_shell_is_read():
    file = shlex.quote(str(Path(costmodel.__file__).parents[1] / "hardware" / "paper-2012.yaml"))
    command = (
        f"cat {shlex.quote(str(file))} | {shlex.quote(sys.executable)} -m costmodel profile lenet5 --hw /dev/stdin"
    )
    assert run(program=("/bin/sh", "-c", command)).returncode == 0


def test_standard_output_that_is_closed_is_no_crash():
    command = f"{shlex.quote(sys.executable)} -m costmodel {shlex.join(MAIN)} >&-"
    done = run(program=("/bin/sh", "-c", command))
    assert not any(trace in done.stderr for trace in TRACES), done.stderr


# Pipes and terminals


def test_head_takes_one_line_and_nobody_complains():
    command = f"{shlex.quote(sys.executable)} -m costmodel {shlex.join(MAIN)} | head -1"
    done = run(program=("/bin/sh", "-c", command))
    assert done.stdout == "hairnet on paper-2012, overlap none, placement threshold\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "args", [MAIN, (*MAIN, "--columns", "all"), ("list",), ("explain", "hairnet", "head.GAP", "--hw", "paper-2012")]
)
def test_a_reader_that_has_gone_is_no_crash(args):
    reading, writing = os.pipe()
    os.close(reading)  # before the first line, however late this process is
    started = subprocess.Popen([sys.executable, "-m", "costmodel", *args], env=NEUTRAL, text=True,
                               stdout=writing, stderr=subprocess.PIPE)  # fmt: skip
    os.close(writing)
    with started:
        assert started.stderr.read() == ""
    assert started.returncode != 0


def test_csv_to_a_reader_that_has_gone_is_no_crash():
    started = subprocess.Popen([sys.executable, "-m", "costmodel", *MAIN, "--csv", "-"], env=NEUTRAL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    with started:
        started.stdout.close()
        assert not any(trace in started.stderr.read() for trace in TRACES)


def terminal(*args, columns=120, env=None):
    """What a command prints on a terminal of some width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "costmodel", *args]
    with subprocess.Popen(command, env=NEUTRAL | (env or {}), stdin=theirs, stdout=theirs, stderr=theirs) as started:
        os.close(theirs)
        chunks = []
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        os.close(ours)
    assert started.returncode == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


def colours(text):
    """Numbers of the escape sequences that set a colour; bold and dim are none."""
    codes = [int(code or 0) for sequence in re.findall(r"\x1b\[([\d;]*)m", text) for code in sequence.split(";")]
    return {code for code in codes if code in {*range(30, 50), *range(90, 108)}}


def bare(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_terminal_gets_colours_and_the_same_words(text):
    shown = terminal(*MAIN, columns=300)
    assert colours(shown)
    assert [line.rstrip() for line in bare(shown).splitlines()] == text.splitlines()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_that_wants_no_colours_gets_none(env):
    shown = terminal(*MAIN, columns=300, env=env)
    assert "warning: 13 of 61" in shown
    assert not colours(shown)
    assert "TERM" not in env or "\x1b" not in shown


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "COLORTERM": "truecolor"}])
def test_a_pipe_never_gets_colours(env):
    done = run(*MAIN, "--top", "1", env=env)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x1b" not in run(*MAIN, "-q", env=env).stderr


def test_a_narrow_terminal_gets_the_columns_that_fit(text):
    shown = terminal(*MAIN, columns=60)
    _, heads, rows, footer, rest = parts(bare(shown))
    assert all(len(line) <= 60 for line in (*heads, *rows, footer))
    assert len(rows) == 61
    assert rest[0].startswith("left out for width: ")


@pytest.mark.parametrize("columns", [60, 100])
def test_columns_of_the_environment_hold_in_a_pipe(columns, text):
    title, heads, rows, footer, rest = parts(ok(*MAIN, env={"COLUMNS": str(columns)}))
    assert title == parts(text)[0]
    assert all(len(line) <= columns for line in (*heads, *rows, footer))
    assert len(rows) == 61
    assert all(len(line) <= columns for line in rest)
    listed = next(number for number, line in enumerate(rest) if line.startswith("latency"))
    hidden = " ".join(line.strip() for line in rest[:listed]).removeprefix("left out for width: ").split(", ")
    assert len(hidden) > 2
    shown = words(heads[-1])
    assert {"layer", "total"} <= set(shown)
    # every column is either shown or named as left out
    assert len(shown) + len(hidden) == len(words(parts(text)[1][-1]))
    assert " ".join(rest[listed:]).split() == " ".join(parts(text)[4]).split()  # the same words, wrapped
    assert words(footer)[-1] == "100.0%"


def test_one_layer_and_one_band_are_said_in_the_singular(tmp_path):
    (tmp_path / "net.yaml").write_text(
        "name: net\ninputs: {x: [1, 64, 128, 128]}\nlayers:\n  - {op: Conv, filters: 64, kernel: 3, pads: 1}\n"
    )
    shown = ok("profile", str(tmp_path / "net.yaml"), "--hw", "paper-2012", "--place", "tiled")
    assert "1 layer in 1 fused band of rows;" in shown


@pytest.mark.parametrize(
    ("args", "rows"),
    [
        (("compare", "lenet5", "--hw", "paper-2012"), "--csv"),
        (("memory", "lenet5"), "--json"),
        (("memory", "lenet5", "--hw", "paper-2012"), "--csv"),
        (("place", "lenet5", "--hw", "paper-2012", "--place", "reuse"), "--json"),
        (("parity", "lenet5"), "--json"),
        (("profile", "lenet5", "--hw", "paper-2012"), "--csv"),
        (("size", "lenet5", "--hw", "paper-2012", "--target", "latency=1 s"), "--csv"),
    ],
)
def test_a_quiet_command_writes_its_file_and_prints_no_page(args, rows, tmp_path):
    assert ok(*args, rows, str(tmp_path / "loud"))
    for quiet in ("-q", "--quiet"):
        assert ok(*args, quiet, rows, str(tmp_path / "quiet")) == ""
        assert (tmp_path / "quiet").read_bytes() == (tmp_path / "loud").read_bytes()


@pytest.mark.parametrize("name", ["paper-2012", "standard", "hairnet"])
def test_other_tables_fit_a_narrow_terminal_too(name):
    lines = ok("show", name, env={"COLUMNS": "60"}).splitlines()
    rule = next(number for number, line in enumerate(lines) if line and set(line) == {"─"})
    end = next(number for number, line in enumerate(lines) if line.startswith("left out for width: "))
    assert all(len(line) <= 60 for line in lines[rule - 1 : end])


@pytest.mark.parametrize(
    "args",
    [
        MAIN,
        ("list",),
        ("show", "hairnet"),
        ("show", "standard"),
        ("explain", "hairnet", "head.GAP", "--hw", "paper-2012"),
        ("profile", "--help"),
    ],
    ids=" ".join,
)
def test_an_ascii_terminal_gets_ascii(args):
    done = run(*args, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


def test_errors_can_be_said_in_ascii():
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    assert refused("profile", "hairnet", "--hw", "prüfstand", env=env).isascii()
    assert refused("profil", env=env).isascii()


# The other commands


@pytest.mark.parametrize(
    "command",
    [(), ("profile",), ("list",), ("show",), ("explain",), ("verify",), ("reproduce",), ("export",), ("schema",)],
)
def test_help_ends_with_an_example(command):
    shown = ok(*command, "--help")
    assert "Usage:" in shown
    assert re.search(rf"Example: costmodel {' '.join(command)}", shown)


def test_version_is_that_of_the_package():
    assert ok("--version") == f"costmodel {metadata.version('costmodel')}\n"


def test_list_names_networks_machines_and_conventions():
    shown = ok("list")
    for name in ("hairnet", "paper-2012", "paper-2012-appendix", "standard"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE), name
    assert "size=224, classes=1000, width=1.0, dense_head=False" in shown


def test_show_a_network():
    lines = ok("show", "hairnet", "--width", "0.5", "--param", "dense_head=true").splitlines()
    assert lines[0] == "hairnet(width=0.5, dense_head=True)"
    assert any(line.startswith("source: HairNet") for line in lines)
    nodes = [line.split()[0] for line in lines if re.match(r"(stem|stage\d|head)\.", line)]
    # with batch norm and relu apart: 4 in the stem, 6 in each block, 4 pools, 2 in the head and 2 of the dense layer
    assert len(nodes) == 4 + 6 * 13 + 4 + 2 + 2
    assert {"stem.bn", "stem.relu", "head.dense"} <= set(nodes)


def test_show_a_machine_with_its_sources():
    shown = ok("show", "paper-2012", "--set", "engines.host.peak=20 GFLOPS")
    assert shown.splitlines()[:2] == [
        "paper-2012",
        "source: HairNet: The Thinned Convolutional Network, 2020, section 5",
    ]
    for word in ("1 TFLOPS", "20 GFLOPS", "1 MB", "1 GB/s", "inf", "Conv, Linear, MatMul", "BatchNorm + Relu",
                 "stated: 1 TFLOPS matrix compute", "overlap: none", "placement: threshold"):  # fmt: skip
        assert word in shown, word


def test_show_a_convention():
    lines = ok("show", "standard").splitlines()
    norm = next(line for line in lines if line.startswith("BatchNorm "))
    assert words(norm)[1:6] == ["4", "2", "2", "0", "0"]  # subtract, multiply, multiply, add
    assert any(line.startswith("Conv ") and "batch*groups*pixels*filters*reduction" in line for line in lines)


@pytest.fixture(scope="module")
def explained():
    """Each figure of a layer as its lines."""

    def figures(layer):
        title, *blocks = ok("explain", "hairnet", layer, "--hw", "paper-2012").split("\n\n")
        return title, {block.partition("=")[0].strip(): block.splitlines() for block in blocks}

    return figures


def test_explain_gives_formula_numbers_and_result(explained):
    title, figures = explained("stage2.0.dwise_conv")
    assert title.startswith("stage2.0.dwise_conv: Conv, 1x64x56x56 -> 1x64x56x56")
    formula, numbers, shown, *_ = figures["MACs"]
    assert re.search(r"groups \* pixels", formula)
    assert math.prod(map(int, re.findall(r"\d+", numbers))) == 64 * 56 * 56 * 3 * 3 == 1806336
    assert "= 1806336 MAC" in shown
    # only the 64 filters of 3 x 3 floats come from outside
    formula, numbers, shown, *rest = figures["transfer"]
    assert "bandwidth(external)" in formula
    assert "2304 B / 1 GB/s" in numbers
    assert float(shown.partition("=")[2].split()[0]) == 64 * 9 * 4 / 1e9 == 2.304e-06
    assert "internal" in rest[0]
    assert "= 3.612672e-06 s" in figures["compute"][2]  # 2 * 1806336 / 1e12


def test_explain_a_layer_between_outer_memories(explained):
    _, figures = explained("stem.bn+relu")
    moved = 2 * 32 * 224 * 224 * 4 + 4 * 32 * 4
    assert float(figures["transfer"][2].partition("=")[2].split()[0]) == pytest.approx(moved / 1e9, rel=1e-12)


def test_explain_finds_a_fused_node(explained):
    assert explained("stage2.0.relu1") == explained("stage2.0.bn1+relu1")
    assert explained("stage2.0.bn1")[0].startswith("stage2.0.bn1+relu1: BatchNorm+Relu")


def test_explain_follows_the_options():
    args = ("explain", "hairnet", "stem.conv2D", "--hw", "paper-2012", "--batch", "2", "--dtype", "int8", "--overlap",
            "layer", "--set", "memories.external.bandwidth=4 GB/s")  # fmt: skip
    shown = ok(*args)
    assert f"= {2 * 27 * 32 * 224**2} MAC" in shown
    assert "4 GB/s" in shown
    assert "max(transfer, compute)" in shown


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced") / "new" / "reports"
    return ok("reproduce", "hairnet", "-o", folder), folder


def test_reproduce_writes_four_tables_and_the_first_is_the_print(reproduced):
    shown, folder = reproduced
    files = {file.name: file.read_bytes().decode() for file in folder.iterdir()}
    assert set(files) == {
        "hairnet-appendix.csv", "hairnet-table1.csv", "hairnet-appendix-corrected.csv", "hairnet-errata.csv",
    }  # fmt: skip
    printed = (resources.files("costmodel.papers.data") / "hairnet_appendix.csv").read_bytes().decode()
    assert list(csv.reader(io.StringIO(files["hairnet-appendix.csv"]))) == list(csv.reader(io.StringIO(printed)))
    assert [line.split(": ")[2] for line in shown.splitlines()] == ["ok", "ok", "written", "written"]
    assert "660 of 660" in shown


def test_reproduce_into_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("old", encoding="utf-8")
    for name in ("file", "file/below"):
        assert str(tmp_path / name) in refused("reproduce", "hairnet", "-o", tmp_path / name)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


# The program itself


def test_the_module_and_the_script_agree(tmp_path):
    script = (str(Path(sysconfig.get_path("scripts")) / "costmodel"),)
    for args in ((*MAIN, "--top", "3"), ("profile", "hairnt", "--hw", "paper-2012")):
        module, installed = process(*args, cwd=tmp_path), process(*args, cwd=tmp_path, program=script)
        assert (module.returncode, module.stdout, module.stderr) == (
            installed.returncode, installed.stdout, installed.stderr,
        )  # fmt: skip


@pytest.mark.parametrize("args", [MAIN, (*MAIN, "--csv", "-"), ("list",)], ids=["table", "csv", "list"])
def test_the_main_job_loads_nothing_heavy(args):
    program = (
        "import sys\n"
        "from costmodel.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = run(*args, program=(sys.executable, "-c", program))
    assert done.returncode == 0
    loaded = set(done.stderr.splitlines()[-1].split())
    assert {"costmodel", "typer", "yaml"} <= loaded
    assert not loaded & {"pandas", "numpy", "pydantic", "rich", "numba", "onnx", "torch", "matplotlib"}


def test_an_argument_of_any_length_is_answered_in_a_line():
    message = refused(*MAIN, "--batch", "9" * 5000)
    assert message == f"error: {'9' * 40}...: 5000 characters are too many; at most 4096\n"
