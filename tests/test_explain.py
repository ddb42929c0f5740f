"""Explanations: the numbers in each formula, worked out again by Python, give the figure that is shown."""

import math
import re
from dataclasses import replace

import pytest

import costmodel
from costmodel.counting import standard_table
from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input
from costmodel.ops import (
    LSTM,
    RNN,
    Add,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool,
    Relu,
    Softmax,
)
from costmodel.report.explain import explain, explain_total, find
from costmodel.report.term import Term, constant, number
from costmodel.table import Table
from costmodel.units import parse


def mixed():
    x = Input((2, 4, 9, 11), "int4")()
    x = Conv(8, (3, 2), stride=(2, 1), pads=(1, 0, 0, 1), dilation=(1, 2), groups=2)(x, name="conv")
    x = Relu()(BatchNorm()(x, name="bn"), name="relu")
    y = AveragePool(2, ceil_mode=True)(x, name="mean")
    x = Add()(MaxPool(2, ceil_mode=True)(x, name="max"), y, name="sum")
    x = Linear(5)(Flatten()(x, name="flat"), name="dense")
    return Graph(
        MatMul()(Softmax()(x, name="softmax"), Linear(3)(Input((1, 5, 7), "int4")(), name="other"), name="product")
    )


def recurrent():
    x = Input((5, 2, 4))()
    each = (LSTM(3, "bidirectional"), RNN(3, "bidirectional", activations=("Tanh", "HardSigmoid")), LayerNorm())
    return Graph([op(x) for op in each])


def worked_out(text):
    """``(128 B + 512 B) / 1 GB/s`` by plain Python."""

    def plain(match):
        unit = "B/s" if match[0].endswith("B/s") else "OP/s"
        return repr(float(parse(match[0], unit)))

    text = re.sub(r"[\d.]+ [kMGT]?(?:B/s|FLOPS)", plain, text)
    text = re.sub(r" (B|OP)\b", "", text)
    return eval(text, {"__builtins__": {}}, {"floor": math.floor, "ceil": math.ceil, "max": max})  # noqa: S307


@pytest.mark.parametrize("overlap", ["none", "layer"])
@pytest.mark.parametrize("build", [mixed, recurrent, lambda: costmodel.network("hairnet", dense_head=True)])
def test_each_figure_follows_from_its_numbers(build, overlap):
    graph = build()
    run = costmodel.cost(graph, "paper-2012", overlap=overlap)
    for row, layer in enumerate(run.layers["layer"]):
        figures = explain(run, graph, row)
        for figure in figures:
            if figure.term:
                assert math.isclose(worked_out(figure.term.numbers), figure.term.value, rel_tol=1e-12), (layer, figure)
                assert math.isclose(float(figure.result.split()[0]), figure.term.value, rel_tol=1e-12), (layer, figure)
        shown = {figure.quantity: figure for figure in figures}
        assert float(shown["total"].result.split()[0]) == run.layers["total_seconds"][row]
        assert shown["bound by"].result == run.layers["bound"][row]


def test_a_layer_of_both_directions_counts_for_each_what_the_reference_says():
    run = costmodel.cost(recurrent(), "paper-2012")
    reference = {row["operator"]: row for row in standard_table().rows()}
    shown = {figure.quantity: figure for figure in explain(run, recurrent(), find(run, recurrent(), "lstm"))}
    of_one, unit = reference["LSTM"]["operations"], reference["LSTM"]["per"]
    assert shown["elementwise"].term.symbols == f"LSTM per {unit} * {unit}s"
    assert shown["elementwise"].term.numbers == f"{of_one} * {5 * 2 * 3 * 2}"
    shown = {figure.quantity: figure for figure in explain(run, recurrent(), find(run, recurrent(), "layernorm"))}
    # 7 for each of 5 * 2 * 4 values, 3 for each of 5 * 2 rows of 4
    assert shown["elementwise"].term.numbers == "7 * 40 + 3 * 10"
    assert shown["elementwise"].note.endswith(f"; and 3 per {LayerNorm.row}: {LayerNorm.row_why}")
    assert shown["elementwise"].note == f"LayerNorm: {reference['LayerNorm']['why']}"


def test_a_weight_of_one_value_is_explained():
    simulation, graph = costmodel.cost("vit_b_16", "paper-2012"), costmodel.network("vit_b_16")
    row = simulation.layers["layer"].index("encoder.0.scale")
    shown = {figure.quantity: figure for figure in explain(simulation, graph, row)}
    held = next(shown[kind] for kind in ("parameters", "buffers") if kind in shown)
    assert held.result == "1"


@pytest.mark.parametrize("placement", ["liveness", "optimal"])
def test_moves_and_two_rates_are_explained(placement):
    near, far = costmodel.machine("paper-2012").memories
    memories = (
        replace(near, name="near", size=3e5, read=64e9, write=32e9),
        replace(near, name="middle", size=2e6, bandwidth=8e9),
        replace(far, name="far", read=2e9, write=1e9),
    )
    graph = costmodel.network("nasnet_a_mobile", size=64)
    run = costmodel.cost(graph, replace(costmodel.machine("paper-2012"), memories=memories), placement=placement)
    rows = sorted({move.layer for move in run.flow.moves})[:20]
    assert rows
    for row in rows:
        transfer = next(figure for figure in explain(run, graph, row) if figure.quantity == "transfer")
        assert "move of " in transfer.term.symbols
        assert math.isclose(worked_out(transfer.term.numbers), run.layers["transfer_seconds"][row], rel_tol=1e-12)


def test_totals_follow_from_their_numbers():
    run = costmodel.cost("hairnet", "paper-2012")
    figures = {figure.quantity: figure for figure in explain_total(run)}
    for figure in figures.values():
        if figure.term:
            assert math.isclose(worked_out(figure.term.numbers), figure.term.value, rel_tol=1e-12), figure
    assert figures["MACs"].result == "607172328 MAC (607.2 M)"
    assert float(figures["total"].result.split()[0]) == run.seconds
    assert figures["busy: host"].term.numbers == f"{run.layers.total('elementwise')} OP / 10 GFLOPS"
    assert figures["bound by"].result == "external"


def test_figures_of_a_convolution_by_hand():
    graph = costmodel.network("hairnet")
    run = costmodel.cost(graph, "paper-2012")
    figures = {f.quantity: f for f in explain(run, graph, find(run, graph, "stage2.0.dwise_conv"))}
    assert figures["MACs"].term.numbers == "1 * 64 * 3136 * 1 * 9"
    assert figures["MACs"].result == "1806336 MAC (1.806 M)"  # 64 channels * 56 * 56 pixels * 3 * 3
    assert figures["transfer"].term.numbers == "2304 B / 1 GB/s"  # both maps are internal
    assert figures["compute"].result == "3.612672e-06 s (3.613 us)"  # 2 * 1806336 / 1e12
    assert "more than it can hold" in figures["live bytes"].note


def test_a_model_that_disagrees_with_its_formula_is_not_explained():
    graph = costmodel.network("hairnet")
    run = costmodel.cost(graph, "paper-2012")
    assert explain(run, graph, 0)
    counts = run.layers.data()["macs"]
    tampered = Table(run.layers.columns, run.layers.data() | {"macs": (counts[0] + 1, *counts[1:])})
    with pytest.raises(AssertionError, match=r"MACs: batch \* groups .* = 43352064, but the model has 43352065"):
        explain(replace(run, layers=tampered), graph, 0)


def test_a_layer_is_found_by_its_own_name_and_by_a_fused_nodes():
    graph = costmodel.network("hairnet")
    run = costmodel.cost(graph, "paper-2012")
    row = run.layers["layer"].index("stage1.0.bn1+relu1")
    assert find(run, graph, "stage1.0.bn1+relu1") == find(run, graph, "stage1.0.relu1") == row
    with pytest.raises(CostModelError, match=r"no layer 'stage1.0.bn3'; did you mean 'stage1.0.bn"):
        find(run, graph, "stage1.0.bn3")


def test_terms_put_parentheses_where_they_are_needed():
    a, b, c = number("a", 7), number("b", 3), number("c", 2)
    assert ((a + b) * c).symbols == "(a + b) * c"
    assert (a + b * c).numbers == "7 + 3 * 2"
    assert (a - (b - c)).numbers == "7 - (3 - 2)"
    assert (a - (b - c)).value == 6
    assert (a / (b * c)).symbols == "a / (b * c)"
    assert ((a + b) // c + constant(1)).symbols == "floor((a + b) / c) + 1"
    assert (a.divided_up(c).numbers, a.divided_up(c).value) == ("ceil(7 / 2)", 4)
    assert a.larger(b) == Term("max(a, b)", 7, "max(7, 3)")
