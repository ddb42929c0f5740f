"""Why tools disagree: the terms of every tool's number, which add up, on the page and in files."""

import csv
import io
import json
import re

import pytest
from command_line import run
from test_onnx_import import CONSTANTS, PRINTED, TOOLS, as_converted, every_file, light

import costmodel
from costmodel import zoo
from costmodel.counting.tools import CONVENTIONS
from costmodel.graph import Graph, Input
from costmodel.ops import (
    LSTM,
    Attention,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    Lrn,
    MatMul,
    Relu,
    Reshape,
)
from costmodel.parity import accounts
from costmodel.profile import profile


def account(graph, name):
    (made,) = accounts(graph, [CONVENTIONS[name]])
    return made


def terms(graph, name):
    return [(term.term, term.operator, term.layers, term.amount) for term in account(graph, name).terms]


@pytest.mark.parametrize("name", zoo.names())
def test_standard_and_differences_are_the_number_that_a_profile_counts(name):
    graph = zoo.get(name)()
    for made in accounts(graph, CONVENTIONS.values()):
        first, *others = made.terms
        assert (first.term, first.amount) == ("standard", graph.macs)
        assert made.number == profile(graph, made.convention).layers.total("counted")
        assert all(term.amount or term.term == "no rule" for term in others)


# What calflops 0.3.2 prints as MACs for the files inside the onnx package; the other numbers are in test_onnx_import.
CALFLOPS_MACS = {
    "bvlc_alexnet": 654560384, "densenet121": 2834161664, "inception_v1": 1430532352, "inception_v2": 2018851840,
    "resnet50": 4089184256, "shufflenet": 124664528, "squeezenet": 349151936, "vgg19": 19632062464,
    "zfnet512": 1481727008,
}  # fmt: skip


@every_file
def test_the_numbers_that_tools_print_for_files(name):
    graph = costmodel.network(str(light(name)))
    nodes = [node for node in graph.nodes.values() if node.inputs]
    printed = dict(zip(TOOLS, PRINTED[name], strict=True)) | {"calflops-macs": CALFLOPS_MACS[name]}
    for tool, number in printed.items():
        made = account(graph, tool)
        counted = [CONVENTIONS[tool].counted(node, CONVENTIONS[tool].work(node)) or 0 for node in nodes]
        # onnx-tool reads the file; the others see it after a conversion, in which some layers are other ones
        seen = counted if tool == "onnx-tool" else [as_converted(node, tool, name) for node in nodes]
        assert made.number - (sum(counted) - sum(seen)) == number, tool
    constants, buffers = CONSTANTS[name]
    assert account(graph, "onnx-tool").parameters == constants
    assert account(graph, "fvcore").parameters == constants - buffers
    assert account(graph, "flop_counter").parameters is None


def network():
    """4 filters of 3x3 on 3 channels of 8x8, padded; normalised, averaged, and 10 features of them with a bias."""
    x = Relu()(BatchNorm()(Conv(4, 3, pads=1)(Input((2, 3, 8, 8))())))
    return Graph(Linear(10)(Flatten()(GlobalAveragePool()(x))), "small")


MAP = 2 * 4 * 8 * 8  # values of each map
MACS = MAP * 3 * 9 + 2 * 4 * 10


def test_terms_by_hand_the_largest_first():
    assert terms(network(), "fvcore") == [
        ("standard", "", 0, MACS), ("adds", "BatchNorm", 1, 2 * MAP), ("adds", "GlobalAveragePool", 1, MAP),
    ]  # fmt: skip
    assert terms(network(), "calflops") == [
        ("standard", "", 0, MACS), ("unit", "", 0, MACS), ("adds", "BatchNorm", 1, 2 * MAP), ("adds", "Conv", 1, MAP),
        ("adds", "GlobalAveragePool", 1, MAP), ("adds", "Relu", 1, MAP),
    ]  # fmt: skip
    # two images: weights, gamma and beta of four channels
    assert terms(network(), "torchinfo") == [
        ("standard", "", 0, MACS), ("adds", "Conv", 1, MAP), ("adds", "Linear", 1, 2 * 10),
        ("adds", "BatchNorm", 1, 2 * 2 * 4),
    ]  # fmt: skip


def tokens():
    """Attention-like: 10 tokens of 6 values, a linear layer on each, and the products of all pairs."""
    x = Input((1, 10, 6))()
    keys = Reshape((1, 6, 10))(Linear(6, bias=False)(x))
    return Graph(Lrn()(MatMul()(x, keys)), "tokens")


def test_mistakes_of_tools_are_errors_and_what_they_have_no_rule_for_is_named():
    linear, pairs = 10 * 6 * 6, 10 * 6 * 10
    assert terms(tokens(), "torchinfo") == [
        ("standard", "", 0, linear + pairs), ("error", "MatMul", 1, -pairs), ("error", "Linear", 1, -9 * 36),
    ]  # fmt: skip
    assert account(tokens(), "torchinfo").terms[2].error.startswith("a linear layer is counted once per image")
    assert ("no rule", "Lrn", 1, 0) in terms(tokens(), "convnet-burden")
    assert ("no rule", "MatMul", 1, -pairs) in terms(tokens(), "convnet-burden")
    assert "error" not in {term.term for term in account(network(), "torchinfo").terms}


def whole(text):
    return int(text.replace(",", ""))


@pytest.mark.parametrize("columns", [80, 160])
def test_the_page_adds_up_and_fits(columns):
    done = run("parity", "alexnet", env={"COLUMNS": str(columns)})
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= columns
    numbers = {name: whole(number) for name, number in re.findall(r"^(\S+) +([\d,]+)  ", done.stdout, re.MULTILINE)}
    assert numbers.keys() >= CONVENTIONS.keys()
    statements = re.findall(r"^(\S+) +standard's MACs(.*?)its number +=(.*?)$", done.stdout, re.DOTALL | re.MULTILINE)
    assert len(statements) == len(CONVENTIONS) - 4  # standard, fvcore, torchvision and calflops-macs agree
    for name, text, number in statements:
        macs, *differences = re.findall(r" ([+-]?\d[\d,]{3,})", text)
        assert whole(number) == numbers[name] == whole(macs) + sum(map(whole, differences))
    assert "no rule:  convnet-burden: none known for Lrn" in done.stdout


def test_no_heading_stands_without_what_it_is_of(tmp_path):
    (tmp_path / "net.yaml").write_text(
        "name: net\ninputs: {x: [1, 3, 8, 8]}\nlayers:\n  - {op: Conv, filters: 4, kernel: 3, bias: false}\n"
    )
    page = run("parity", "net.yaml", "--tool", "flop_counter", cwd=tmp_path).stdout
    assert "2 FLOPs per MAC" in page  # a statement, but none about an operator
    assert "what standard counts for these operators" not in page
    assert "what standard counts for these operators" in run("parity", "lenet5", "--tool", "ptflops").stdout


def test_rows_add_up_in_files(tmp_path):
    done = run(
        "parity",
        "squeezenet",
        "--tool",
        "onnx-tool",
        "--tool",
        "thop",
        "--csv",
        "-",
        "--json",
        str(tmp_path / "p.json"),
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    document = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in document["conventions"]] == ["standard", "onnx-tool", "thop"]
    for each in document["conventions"]:
        needs = profile(zoo.get("squeezenet")(), CONVENTIONS[each["name"]])
        amounts = [int(row["amount"]) for row in rows if row["convention"] == each["name"]]
        assert sum(amounts) == each["number"] == needs.layers.total("counted")
        assert [term["amount"] for term in each["terms"]] == amounts
        assert each["parameters"] == needs.layers.total("parameters")


def recurrent():
    """Words that an LSTM walks along, and attention among its states."""
    x = LSTM(8)(Input((2, 5, 6))())
    return Graph(Attention()(*(Reshape((2, 1, 5, 8))(x) for _ in range(3))), "recurrent")


def test_where_a_tool_counts_otherwise_is_remarked_also_where_it_agrees_with_standard(tmp_path, monkeypatch):
    made = account(recurrent(), "flop_counter")
    assert [term.term for term in made.terms] == ["standard", "unit"]
    assert list(made.remarks) == ["Attention", "LSTM"]
    assert account(recurrent(), "fvcore").remarks == account(network(), "flop_counter").remarks == {}
    monkeypatch.chdir(tmp_path)
    lines = "name: small\ninputs: {x: [5, 2, 6]}\nlayers:\n  - walk: {op: LSTM, hidden: 8}\n"
    (tmp_path / "small.yaml").write_text(lines, encoding="utf-8")
    done = run("parity", "./small.yaml", "--json", "small.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "remark:  flop_counter, LSTM: this is the number on meta tensors; on the CPU" in done.stdout
    document = json.loads((tmp_path / "small.json").read_text(encoding="utf-8"))
    remarks = {each["name"]: each["remarks"] for each in document["conventions"] if each["remarks"]}
    assert remarks == {"flop_counter": {"LSTM": CONVENTIONS["flop_counter"].counts["LSTM"].remark}}


def test_files_of_networks_and_mistakes_of_users(tmp_path):
    done = run("parity", str(light("shufflenet")), "--tool", "onnx-tool")
    assert f"onnx-tool   {PRINTED['shufflenet'][TOOLS.index('onnx-tool')]:,}" in done.stdout
    wrong = run("parity", "lenet5", "--tool", "fvcor")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'fvcore'" in wrong.stderr
    assert run("parity", "lenet5", "--csv", "-", "--json", "-").returncode == 2
