"""The deck's tables of MobileNet (Howard et al. 2017, tables 4, 6 and 7, two shares) and of MobileNetV2's results."""

from fractions import Fraction
from typing import Any, Final

from costmodel.graph import Graph
from costmodel.papers.counts import macs, network, nodes, not_575, stored, weights
from costmodel.papers.ledger import MEASURED, Figure, Row, Sheet, given

MILLION: Final = 10**6

PHONE: Final = given("a time measured on a phone of which the document has no data sheet")


def _macs(graph: Graph, definition: str, *operators: str) -> Figure:
    return Figure(Fraction(macs(graph, *operators), MILLION), definition, Fraction(graph.macs, MILLION))


def _weights(graph: Graph, **how: Any) -> Figure:
    count = Fraction(weights(graph, "Conv", "Linear"), MILLION)
    return Figure(count, "weights of convolutions and dense layer; no batch norm, no bias", _learned(graph), **how)


def _learned(graph: Graph) -> Fraction:
    return Fraction(graph.parameters, MILLION)


def _variant(row: Row) -> Graph:
    """``0.75 MobileNet-224`` -> MobileNet of that width and resolution."""
    width, name = (row.get("width_multiplier") or row["resolution"]).split()
    return network("mobilenet_v1", width=float(width), size=int(name.rpartition("-")[2]))


def _share(_: int, row: Row) -> Figure:
    graph = network("mobilenet_v1")
    pointwise = [node for node in nodes(graph, "Conv") if node.op.window and node.op.window.kernel == (1, 1)]
    if row["quantity"].endswith("MACs"):
        part = sum(node.op.loops(*node.input_shapes).macs for node in pointwise)
        return Figure(100 * Fraction(part, graph.macs), "MACs of the 1x1 convolutions / all MACs")
    part = sum(node.weights[0].elements for node in pointwise)
    whole = weights(graph, "Conv", "Linear")
    true = 100 * Fraction(part, graph.parameters)
    return Figure(100 * Fraction(part, whole), "weights of the 1x1 convolutions / all weights; no batch norm, no bias",
                  true)  # fmt: skip


def _dense_or_separable(_: int, row: Row) -> Figure:
    if row["model"] == "Conv MobileNet":
        return _macs(network("conv_mobilenet"), "MACs of the convolutions; the classifier is left out", "Conv")
    return _macs(network("mobilenet_v1"), "MACs, classifier included")


SHARES: Final = Sheet(
    "deck", "MobileNet shares", "deck_mobilenet_shares.csv", "deck-mobilenet-shares.csv", {"printed": _share}
)

TABLE_4: Final = Sheet(
    "deck",
    "MobileNet table 4",
    "deck_mobilenet_table4.csv",
    "deck-mobilenet-table4.csv",
    {
        "accuracy": lambda _n, _row: MEASURED,
        "mult_adds_M_printed": _dense_or_separable,
        "params_M_printed": lambda _, row: _weights(
            network("conv_mobilenet" if row["model"] == "Conv MobileNet" else "mobilenet_v1")
        ),
    },
)

_SCALED: Final = {
    "accuracy": lambda _n, _row: MEASURED,
    "mult_adds_M_printed": lambda _, row: _macs(_variant(row), "MACs, classifier included"),
    "params_M_printed": lambda _, row: _weights(_variant(row)),
}

TABLE_6: Final = Sheet("deck", "MobileNet table 6", "deck_mobilenet_table6.csv", "deck-mobilenet-table6.csv", _SCALED)
TABLE_7: Final = Sheet("deck", "MobileNet table 7", "deck_mobilenet_table7.csv", "deck-mobilenet-table7.csv", _SCALED)

NETWORKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "MobileNetV1": ("mobilenet_v1", {}),
    "ShuffleNet (1.5)": ("shufflenet", {"scale": 1.5}),
    "ShuffleNet (x2)": ("shufflenet", {"scale": 2.0}),
    "NasNet-A": ("nasnet_a_mobile", {}),
    "MobileNetV2": ("mobilenet_v2", {}),
    "MobileNetV2 (1.4)": ("mobilenet_v2", {"width": 1.4}),
}


def _result_graph(row: Row) -> Graph:
    name, parameters = NETWORKS[row["network"]]
    return network(name, **parameters)


def _result_parameters(_: int, row: Row) -> Figure:
    graph = _result_graph(row)
    if row["network"] == "MobileNetV2 (1.4)":
        why = f"with all that is stored the network of width 1.4 has {stored(graph):,}"
        return Figure(None, "", _learned(graph), erratum=why)
    return _weights(graph)


def _result_macs(_: int, row: Row) -> Figure:
    graph = _result_graph(row)
    made = _macs(graph, "MACs, classifier included")
    if row["network"] == "MobileNetV1":
        return Figure(made.own, made.definition, made.true, underivable=not_575(graph))
    if row["network"] == "MobileNetV2 (1.4)":
        why = "width 1.4 with channels rounded to multiples of 8 has 582 M"
        return Figure(made.own, made.definition, made.true, underivable=why)
    return made


RESULTS: Final = Sheet(
    "deck",
    "MobileNetV2 results",
    "deck_mobilenetv2_results.csv",
    "deck-mobilenetv2-results.csv",
    {
        "top1": lambda _n, _row: MEASURED,
        "params_printed": _result_parameters,
        "madds_printed": _result_macs,
        "cpu_printed": lambda _n, _row: PHONE,
    },
)
