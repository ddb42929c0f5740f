"""The deck's resource table: parameter memory and "FLOPs" of eleven networks.

Its first rows follow the public table convnet-burden: memory in MiB of every stored value, and one FLOP per MAC with
extras. The rows of the mobile networks are 4 B * the rounded parameter count, in MB.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from costmodel.graph import Graph
from costmodel.papers.counts import counted, macs, network, not_575, stored, times, weights
from costmodel.papers.ledger import Figure, Row, Sheet

MIB: Final = 2**20


class Line(NamedTuple):
    """What a row of the table is counted on; ``stored`` are the parameters of the network whose values are stored."""

    name: str
    parameters: Mapping[str, Any] = {}
    mobile: bool = False
    stored: Mapping[str, Any] | None = None


LINES: Final = {
    "AlexNet": Line("alexnet", {"size": 227}),
    "VGG-16": Line("vgg16"),
    "VGG-19": Line("vgg19"),
    "GoogLeNet": Line("googlenet", stored={"auxiliary_heads": True}),
    "ResNet-18": Line("resnet18"),
    "ResNet-34": Line("resnet34"),
    "DenseNet-121": Line("densenet121"),
    "SqueezeNet": Line("squeezenet", {"size": 224}, mobile=True),
    "MobileNet": Line("mobilenet_v1", mobile=True),
    "ShuffleNet": Line("shufflenet", {"scale": 1.5}, mobile=True),
    "MobileNet-V2": Line("mobilenet_v2", mobile=True),
}


def _graph(line: Line) -> Graph:
    return network(line.name, **line.parameters)


def _title(line: Line) -> str:
    """The network that a row is counted on, where its name does not say all."""
    chosen = ", ".join(f"{name}={value}" for name, value in line.parameters.items())
    return f" of {line.name}({chosen})" if chosen else ""


def size(_: int, row: Row) -> Figure:
    """The input that the row's FLOPs are for."""
    _, _, *sides = _graph(LINES[row["architecture"]]).inputs[0].shape
    true = times(*sides)
    if row["architecture"] == "AlexNet":
        return Figure(None, "", true, erratum="the 727 M of this row are those of an input of 227x227")
    return Figure(true, "the input that the row's FLOPs are for")


def memory(_: int, row: Row) -> Figure:
    """Parameter memory."""
    line = LINES[row["architecture"]]
    graph = _graph(line)
    if line.mobile:
        learned = weights(graph, "Conv", "Linear") if line.name != "squeezenet" else graph.parameters
        tenths = learned // 10**5 if line.name == "mobilenet_v2" else round(Fraction(learned, 10**5))
        how = "truncated" if line.name == "mobilenet_v2" else "rounded"
        definition = f"4 B * {learned:,} weights{_title(line)} {how} to 0.1 M"
        return Figure(Fraction(4 * tenths, 10), definition, Fraction(4 * graph.parameters, 10**6))
    heads = ", auxiliary heads included" if line.stored else ""
    values = stored(network(line.name, **line.stored) if line.stored else graph)
    definition = f"4 B * {values:,} stored values{heads}"
    return Figure(Fraction(4 * values, MIB), definition, Fraction(4 * graph.parameters, MIB), unit="MiB")


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
        return Figure(true, "MACs, classifier included", true, underivable=not_575(graph))
    if line.mobile:
        return Figure(Fraction(macs(graph), unit), f"MACs, classifier included,{_title(line)}".rstrip(","), true)
    definition = f"MACs and extras{_title(line)} as convnet-burden counts"
    return Figure(Fraction(counted(graph, "convnet-burden"), unit), definition, true)


TABLE: Final = Sheet(
    "deck",
    "resource table",
    "deck_resource_table.csv",
    "deck-resource-table.csv",
    {"input_size": size, "param_memory_printed": memory, "macs_printed": operations},
)
