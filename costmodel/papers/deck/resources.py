"""The deck's resource table: parameter memory and "FLOPs" of eleven networks.

Its first rows follow the public table convnet-burden: memory in MiB of every stored value, and one FLOP per MAC with
extras. The rows of the mobile networks are 4 B * the rounded parameter count, in MB.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from costmodel.graph import Graph
from costmodel.papers.counts import counted, macs, network, stored, weights
from costmodel.papers.ledger import Figure, Row, Sheet

MIB: Final = 2**20


class Line(NamedTuple):
    """What a row of the table is counted on; ``stored`` are the parameters of the network whose values are stored."""

    name: str
    parameters: Mapping[str, Any] = {}
    mobile: bool = False
    stored: Mapping[str, Any] | None = None


LINES: Final = {
    "AlexNet": Line("alexnet"),
    "VGG-16": Line("vgg16"),
    "VGG-19": Line("vgg19"),
    "GoogLeNet": Line("googlenet", stored={"auxiliary_heads": True}),
    "ResNet-18": Line("resnet18"),
    "ResNet-34": Line("resnet34"),
    "DenseNet-121": Line("densenet121"),
    "SqueezeNet": Line("squeezenet", mobile=True),
    "MobileNet": Line("mobilenet_v1", mobile=True),
    "ShuffleNet": Line("shufflenet", {"scale": 1.5}, mobile=True),
    "MobileNet-V2": Line("mobilenet_v2", mobile=True),
}


def _graph(line: Line) -> Graph:
    return network(line.name, **line.parameters)


def memory(_: int, row: Row) -> Figure:
    """Parameter memory."""
    line = LINES[row["architecture"]]
    graph = _graph(line)
    true = Fraction(4 * graph.parameters, 10**6)
    if line.mobile:
        learned = weights(graph, "Conv", "Linear") if line.name != "squeezenet" else graph.parameters
        tenths = learned // 10**5 if line.name == "mobilenet_v2" else round(Fraction(learned, 10**5))
        how = "truncated" if line.name == "mobilenet_v2" else "rounded"
        return Figure(Fraction(4 * tenths, 10), f"4 B * {learned} weights {how} to 0.1 M, in MB", true)
    heads = ", auxiliary heads included" if line.stored else ""
    values = stored(network(line.name, **line.stored) if line.stored else graph)
    return Figure(Fraction(4 * values, MIB), f"4 B * {values} stored values{heads}, in MiB", true)


def operations(_: int, row: Row) -> Figure:
    """The column headed FLOPs."""
    line = LINES[row["architecture"]]
    graph = _graph(line)
    unit = 10**9 if row["macs_printed"].endswith("G") else 10**6
    true = Fraction(graph.macs, unit)
    if line.name == "squeezenet":
        copied = counted(_graph(LINES["AlexNet"]), "convnet-burden")
        why = "the cell is a copy of AlexNet's"
        return Figure(Fraction(copied, unit), "convnet-burden's count of AlexNet", true, erratum=why)
    if line.name == "mobilenet_v1":
        return Figure(true, "MACs, classifier included", true, underivable="MACs are 569 M under every rule tried")
    if line.mobile:
        return Figure(Fraction(macs(graph), unit), "MACs, classifier included", true)
    return Figure(Fraction(counted(graph, "convnet-burden"), unit), "MACs and extras as convnet-burden counts", true)


TABLE: Final = Sheet(
    "deck",
    "resource table",
    "deck_resource_table.csv",
    "deck-resource-table.csv",
    {"param_memory_printed": memory, "macs_printed": operations},
)
