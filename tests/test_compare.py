"""Networks and machines side by side: each row is its own run, and the ratios are to the first."""

import csv
import io

import pytest
from command_line import run

import costmodel
from costmodel.compare import COLUMNS, compare
from costmodel.graph import Graph, Input
from costmodel.ops import Add, Conv, Flatten, Relu
from costmodel.profile import profile


def test_rows_are_the_runs():
    runs = [costmodel.cost(name, "paper-2012") for name in ("hairnet", "squeezenet")]
    table = compare(runs)
    assert table["network"] == ("hairnet", "squeezenet")
    assert table["total_seconds"] == tuple(run.seconds for run in runs)
    assert table["parameters"] == (2_431_192, 1_248_424)
    assert table["overfull_layers"] == (13, len(runs[1].overfull))
    assert table["time_ratio"] == (1.0, runs[1].seconds / runs[0].seconds)
    assert table["parameters_ratio"] == (1.0, 1_248_424 / 2_431_192)
    assert table["bound"] == ("external", "external")


def test_peak_of_maps_is_worked_out_from_lifetimes():
    x = Input((1, 2, 4, 4))()  # 128 B
    a = Conv(4, 1, bias=False)(x, name="a")  # 256 B
    b = Relu()(a, name="b")  # 256 B
    c = Conv(4, 1, bias=False)(b, name="c")  # 256 B
    d = Add()(a, c, name="d")  # 256 B; a has waited
    needs = profile(Graph(Flatten()(d, name="view")))
    # x a | a b | a b c | a c d: the view keeps d's memory
    assert needs.peak_map_bytes == 3 * 256


def test_nothing_to_compare_with_is_no_crash():
    x = Input((1, 1, 2, 2))()
    empty = costmodel.cost(Graph(Flatten()(x, name="view"), "empty"), "paper-2012")
    table = compare([empty, costmodel.cost("lenet5", "paper-2012")])
    assert table["time_ratio"] == (1.0, float("inf"))
    assert table["bound"] == ("nothing", "external")


def test_every_network_with_every_machine_in_order():
    done = run("compare", "lenet5", "hairnet", "--hw", "paper-2012", "--hw", "paper-2012-appendix", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0, done.stderr
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert [(row["network"], row["machine"]) for row in rows] == [
        (network, machine) for network in ("lenet5", "hairnet") for machine in ("paper-2012", "paper-2012-appendix")
    ]
    assert float(rows[2]["total_seconds"]) == costmodel.cost("hairnet", "paper-2012").seconds


def test_all_compares_the_whole_zoo():
    done = run("compare", "all", "--hw", "paper-2012")
    assert done.returncode == 0, done.stderr
    assert {"hairnet", "vgg16", "nasnet_a_mobile"} <= set(done.stdout.replace("!", " ").split())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("hairnett", "--hw", "paper-2012"), "did you mean 'hairnet'"),
        (("hairnet", "--hw", "paper-2013"), "did you mean 'paper-2012'"),
        (("hairnet",), "--hw"),
        (("--hw", "paper-2012"), "networks"),
        (("vgg16", "--hw", "paper-2012", "--size", "16"), "stage5.max_pool"),
    ],
)
def test_mistakes_are_answered(args, words):
    done = run("compare", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert words.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
