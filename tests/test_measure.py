"""Measured beside predicted: the arithmetic of the comparison, and the two commands on a small network."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

import costmodel
from costmodel import measure
from costmodel.hardware import Engine, Memory
from costmodel.place.reuse import reuse
from costmodel.profile import profile

pytest.importorskip("numba")
pytest.importorskip("threadpoolctl")

from typer.testing import CliRunner

from costmodel.cli import app
from costmodel.execute import calibrate

MACHINE = """
name: tiny
engines:
  pointwise: {peak: 10 GFLOPS, runs: [Conv pointwise, Linear, MatMul]}
  window: {peak: 8 GFLOPS, runs: [Conv]}
  depthwise: {peak: 2 GFLOPS, runs: [Conv depthwise]}
  rest: {peak: 1 GFLOPS, runs: rest}
memories:
  L2: {size: 1 MiB, bandwidth: 60 GB/s}
  memory: {size: inf, bandwidth: 10 GB/s}
fuse: [[Conv, BatchNorm, Relu6], [Conv, BatchNorm]]
overlap: layer
overhead: 2 us
placement: reuse
"""


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(MACHINE, encoding="utf-8")
    return str(path)


# The model: forms, overhead, reuse.


def test_each_form_of_a_convolution_runs_on_its_engine(machine):
    run = costmodel.cost("mobilenet_v2_reduced", machine)
    engines = dict(zip(run.layers["layer"], run.layers["engine"], strict=True))
    assert engines["tail.conv+conv_bn+conv_relu"] == "window+rest"
    assert engines["level1.special0.expand+expand_bn+expand_relu"] == "pointwise+rest"
    assert engines["level1.special0.dw+dw_bn+dw_relu"] == "depthwise+rest"
    assert engines["head.fc"] == "pointwise"


def test_a_layer_takes_the_overhead_besides_and_a_view_takes_nothing(machine):
    run = costmodel.cost("mobilenet_v2_reduced", machine)
    bare = costmodel.cost("mobilenet_v2_reduced", replace(run.hardware, overhead=0.0))
    for name, with_it, without in zip(
        run.layers["layer"], run.layers["total_seconds"], bare.layers["total_seconds"], strict=True
    ):
        assert math.isclose(with_it - without, 0 if name == "head.flatten" else 2e-6, abs_tol=1e-15), name


def test_reuse_finds_a_tensor_where_all_that_was_touched_since_fits(machine):
    hardware = costmodel.machine(machine)
    needs = profile(costmodel.network("mobilenet_v2_reduced"), patterns=hardware.fuse)
    homes = [copy.memory for copy in reuse(needs, hardware).copies]
    touched = [0] * len(needs.layers)
    for row in needs.accesses.rows():
        touched[row["layer"]] += row["bytes"]
    assert sum(touched) > 2**20  # so no weight is in the cache when the next run comes
    for row, home in zip(needs.tensors.rows(), homes, strict=True):
        if row["kind"] in {"parameter", "buffer"}:
            assert home == 1
        else:
            assert home == (sum(touched[row["born"] : row["dies"] + 1]) > 2**20)
    roomy = replace(hardware, memories=(Memory("L2", 10**9, 6e10), hardware.memories[1]))
    assert {copy.memory for copy in reuse(needs, roomy).copies} == {0}


def test_an_unknown_form_is_answered(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(MACHINE.replace("Conv depthwise", "Conv depthwize"), encoding="utf-8")
    with pytest.raises(costmodel.CostModelError, match="unknown operator 'Conv depthwize'; did you mean"):
        costmodel.machine(str(path))
    with pytest.raises(costmodel.CostModelError, match="no engine for operator 'Relu'"):
        replace(costmodel.machine("paper-2012"), engines=(Engine("conv", 1.0, ("Conv pointwise",)),)).engine_for("Relu")


# The comparison.


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), min_size=2, max_size=20))
def test_rank_correlation_is_that_of_the_ranks(pairs):
    first, second = zip(*pairs, strict=True)
    found = measure.rank_correlation(first, second)
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert math.isclose(found, measure.rank_correlation(second, first), abs_tol=1e-12)
    if len(set(first)) == len(first) and len(set(second)) == len(second):  # then 1 - 6 sum d^2 / (n (n^2 - 1))
        n = len(first)
        distances = [sorted(first).index(a) - sorted(second).index(b) for a, b in pairs]
        expected = 1 - 6 * sum(d * d for d in distances) / (n * (n * n - 1))
        assert math.isclose(found, expected, abs_tol=1e-9)


def test_verdict_by_hand(machine):
    run = costmodel.cost("lenet5", machine)
    said = run.layers["total_seconds"]
    times = [[1.5 * seconds, 2 * seconds, 9 * seconds] if seconds else [1e-9] for seconds in said]
    table = measure.compared(measure.measured(run.profile, times, [True for _ in times]), run)
    assert table["measured_seconds"] == tuple([2 * seconds if seconds else 1e-9 for seconds in said])
    assert table["best_seconds"] == tuple([1.5 * seconds if seconds else 1e-9 for seconds in said])
    assert all(math.isclose(ratio, 2) for ratio, seconds in zip(table["ratio"], said, strict=True) if seconds)
    verdict = measure.verdict(table)
    assert math.isclose(verdict.median_error, 0.5)
    assert math.isclose(verdict.total_error, -0.5)
    assert math.isclose(verdict.rank_correlation, 1.0)


def test_the_verdict_without_what_ran_in_numpy(machine):
    run = costmodel.cost("lenet5", machine)
    said, slow = run.layers["total_seconds"], ["Tanh" in kind for kind in run.layers["operator"]]
    times = [[(200 if numpy else 2) * seconds or 1e-9] for seconds, numpy in zip(said, slow, strict=True)]
    compiled = [not numpy if seconds else None for seconds, numpy in zip(said, slow, strict=True)]
    table = measure.compared(measure.measured(run.profile, times, compiled), run)
    others = measure.without_numpy(table)
    assert others["layer"] == tuple([name for name in table["layer"] if "tanh" not in name])
    assert math.isclose(measure.verdict(others).total_error, -0.5)
    inside = sum(seconds for seconds, numpy in zip(said, slow, strict=True) if numpy)
    assert math.isclose(
        measure.verdict(table).total_error, sum(said) / (2 * sum(said) + 198 * inside) - 1, rel_tol=1e-6
    )
    assert measure.verdict(table.take([])) is None


# The commands.


def invoke(*args):
    return CliRunner().invoke(app, list(args))


def test_run_measures_every_layer(machine, tmp_path):
    out = tmp_path / "run.csv"
    done = invoke("run", "lenet5", "--hw", machine, "--repeat", "3", "--csv", str(out))
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert {row["kernel"] for row in rows if row["operator"] == "Conv"} == {"compiled"}
    assert {row["kernel"] for row in rows if row["operator"] == "Tanh"} == {"NumPy"}
    assert {row["kernel"] for row in rows if row["operator"] == "Flatten"} == {""}
    printed = " ".join(done.output.split())
    assert "4 of 12 layers ran without a compiled kernel: features.tanh1, features.tanh3, " in printed
    assert re.search(r"compiled without these measured \S+ \S+ predicted .+, median error", printed)
    run = costmodel.cost("lenet5", machine)
    assert [row["layer"] for row in rows] == list(run.layers["layer"])
    assert [float(row["predicted_seconds"]) for row in rows] == list(run.layers["total_seconds"])
    assert all(float(row["measured_seconds"]) >= float(row["best_seconds"]) > 0 for row in rows)
    assert math.isclose(sum(float(row["measured_share"]) for row in rows), 1)
    assert "verdict" in done.output


def test_run_without_a_machine_only_measures():
    done = invoke("run", "lenet5", "--repeat", "2", "--json", "-")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["machine"] is None
    assert document["verdict"] is None
    assert math.isclose(
        document["totals"]["measured_seconds"], sum(row["measured_seconds"] for row in document["layers"])
    )
    compiled = [row for row in document["layers"] if row["kernel"] != "NumPy"]
    assert len(compiled) == 12 - 4  # all but tanh, which has no MACs
    assert document["compiled_totals"]["macs"] == document["totals"]["macs"]
    seconds = sum(row["measured_seconds"] for row in compiled)
    assert math.isclose(document["compiled_totals"]["measured_seconds"], seconds)
    assert document["compiled_verdict"] is None
    wrong = invoke("run", "lenet5", "--set", "overlap=none")
    assert "--set and --place need a machine" in str(wrong.exception)


def test_calibrate_writes_a_machine_that_can_be_used(monkeypatch, tmp_path):
    for name, few in {
        "POINTWISE": [(4, 6, 8)], "WINDOW": [(3, 8, 4, 3, 1)], "DEPTHWISE": [(4, 8, 1)], "POOLS": [(4, 8, 2, 2)],
        "VECTOR": [(4, 8)],
    }.items():  # fmt: skip
        monkeypatch.setattr(calibrate, name, few)
    monkeypatch.setattr(calibrate, "caches", lambda: {1: 1 << 14, 2: 1 << 16, 3: 1 << 18})
    told = []
    measured = calibrate.calibrate(1, told.append)
    assert told == ["overhead", "pointwise", "window", "depthwise", "pools", "vector", "L2", "L3", "memory"]
    text = calibrate.to_yaml("here", measured, date(2020, 2, 29))
    path = tmp_path / "here.yaml"
    path.write_text(text, encoding="utf-8")
    machine = costmodel.machine(str(path))
    assert "measured on 2020-02-29 on" in machine.source
    assert [memory.name for memory in machine.memories] == ["L2", "L3", "memory"]
    assert math.isclose(machine.memories[0].bandwidth, measured.levels[0].rates[2], rel_tol=0.01)
    assert math.isclose(machine.engine_for("Conv", "depthwise").peak, measured.peaks["depthwise"], rel_tol=0.01)
    assert machine.engine_for("Relu").name == "vector"
    run = costmodel.cost("mobilenet_v2", machine)
    assert 0 < run.seconds < math.inf
