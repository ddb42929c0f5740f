"""The deck's tables of ShuffleNet (Zhang et al. 2018): its architecture, its results, its speed on a phone."""

from fractions import Fraction
from functools import cache
from typing import Any, Final

from costmodel.papers.counts import macs, network, node_row
from costmodel.papers.deck.mobile import MILLION, PHONE
from costmodel.papers.ledger import MEASURED, Figure, Row, Sheet

GROUPS: Final = {f"g{groups}": groups for groups in (1, 2, 3, 4, 8)}

NOMINAL: Final = "140, 38 and 13 MFLOPs are names of classes of complexity, not counts"


@cache
def _architecture() -> list[dict[str, str]]:
    """The rows of the table as the networks have them."""
    graphs = {column: network("shufflenet", groups=groups) for column, groups in GROUPS.items()}
    units = [node.block for node in graphs["g1"].nodes.values() if node.name == "dwconv"]

    def row(name: str, window: str = "", repeat: int | None = None) -> dict[str, str]:
        made = node_row(graphs["g1"].nodes[window or name])
        channels = {column: str(graph.nodes[name].outputs[0].shape[1]) for column, graph in graphs.items()}
        size = graphs["g1"].nodes[name].outputs[0].shape[2:]
        return {**made, "output_size": "x".join(map(str, size)), "repeat": str(repeat), **channels}

    rows = [row("input"), row("stem.conv1", repeat=1), row("stem.max_pool")]
    for stage in sorted({unit.partition(".")[0] for unit in units}):
        later = sum(unit.startswith(f"{stage}.") for unit in units) - 1
        rows += [
            row(f"{stage}.{index}.relu2", f"{stage}.{index}.dwconv", repeat) for index, repeat in ((0, 1), (1, later))
        ]
    return [*rows, row("head.pool"), row("head.fc")]


def _cell(column: str, number: int, row: Row) -> Figure:
    if row["layer"].startswith("Complexity"):
        graph = network("shufflenet", groups=GROUPS[column])
        definition = "MACs of the convolutions; the classifier is left out"
        return Figure(Fraction(macs(graph, "Conv"), MILLION), definition, Fraction(graph.macs, MILLION))
    return Figure(_architecture()[number][column], "as the network has it")


def _column(column: str) -> Any:
    return lambda number, row: _cell(column, number, row)


ARCHITECTURE: Final = Sheet(
    "deck",
    "ShuffleNet architecture",
    "deck_shufflenet_architecture.csv",
    "deck-shufflenet-architecture.csv",
    {column: _column(column) for column in ("output_size", "ksize", "stride", "repeat", *GROUPS)},
)

# the printed name -> the network, and whether its printed complexity is only the name of its class
VARIANTS: Final[dict[str, tuple[str, dict[str, Any], bool]]] = {
    "1.0 MobileNet-224": ("mobilenet_v1", {}, False),
    "0.75 MobileNet-224": ("mobilenet_v1", {"width": 0.75}, False),
    "0.5 MobileNet-224": ("mobilenet_v1", {"width": 0.5}, False),
    "0.25 MobileNet-224": ("mobilenet_v1", {"width": 0.25}, False),
    "ShuffleNet 2x (g = 3)": ("shufflenet", {"scale": 2.0}, False),
    "ShuffleNet 2x (with SE, g = 3)": ("shufflenet", {"scale": 2.0, "squeeze_excite": True}, False),
    "ShuffleNet 1.5x (g = 3)": ("shufflenet", {"scale": 1.5}, False),
    "ShuffleNet 1x (g = 3)": ("shufflenet", {}, True),
    "ShuffleNet 1x (g = 8)": ("shufflenet", {"groups": 8}, True),
    "ShuffleNet 0.5x (g = 3)": ("shufflenet", {"scale": 0.5}, False),
    "ShuffleNet 0.5x (g = 4)": ("shufflenet", {"scale": 0.5, "groups": 4}, True),
    "AlexNet": ("alexnet", {"size": 224}, False),
}


def _complexity(_: int, row: Row) -> Figure:
    name = row["model"].partition(" [")[0]
    if "shallow" in name:
        return Figure(None, "", underivable="the shallow network is not defined in the document")
    network_name, parameters, nominal = VARIANTS[name]
    graph = network(network_name, **parameters)
    size = ", at 224 without padding (54x54 first map), grouped, pools that round up" if name == "AlexNet" else ""
    return Figure(
        Fraction(graph.macs, MILLION),
        f"MACs, classifier included{size}",
        Fraction(graph.macs, MILLION),
        underivable=NOMINAL if nominal else "",
    )


RESULTS: Final = Sheet(
    "deck",
    "ShuffleNet results",
    "deck_shufflenet_results.csv",
    "deck-shufflenet-results.csv",
    {
        "complexity_mflops_printed": _complexity,
        "cls_err": lambda _n, _row: MEASURED,
        "delta_printed": lambda _n, _row: Figure(None, "", underivable="a difference of two measured errors"),
    },
)

LATENCY: Final = Sheet(
    "deck",
    "ShuffleNet latency",
    "deck_shufflenet_latency.csv",
    "deck-shufflenet-latency.csv",
    {
        "cls_err": lambda _n, _row: MEASURED,
        "flops_printed": _complexity,
        **dict.fromkeys(("ms_224x224", "ms_480x640", "ms_720x1280"), lambda _n, _row: PHONE),
    },
)
