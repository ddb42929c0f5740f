"""The deck's small examples, and the figures that it states outside its tables."""

from fractions import Fraction
from typing import Final

from costmodel.graph import Graph
from costmodel.ops import Conv, Input
from costmodel.papers.counts import counted, network
from costmodel.papers.ledger import Entry, Figure, Row, Sheet, entry


def _depthwise(_: int, row: Row) -> Figure:
    """A 5x5 depthwise convolution on 12x12x3 that keeps the size."""
    x = Input((1, 3, 12, 12))()
    graph = Graph(Conv(3, kernel=5, pads=2, groups=3, bias=False)(x, name="depthwise"), "example")
    if row["quantity"] == "Parameters":
        return Figure(graph.parameters, "weights of a depthwise 5x5 convolution of 3 channels", form="3 x 5 x 5 = {}")
    definition = "its MACs on 12x12, padded so that the size stays"
    return Figure(graph.macs, definition, form="3 x 5 x 5 x 12 x 12 = {}")


DEPTHWISE: Final = Sheet(
    "deck",
    "depthwise example",
    "deck_depthwise_example.csv",
    "deck-depthwise-example.csv",
    {"printed": _depthwise},
)


def entries() -> list[Entry]:
    """The statements in the text."""
    two = Fraction(round(Fraction(counted(network("googlenet"), "convnet-burden"), 10**9)))
    scaled = two * Fraction(299, 224) ** 2
    at_299 = Fraction(network("googlenet", size=299).macs, 10**9)
    lenet = Fraction(network("lenet5").parameters, 10**3)
    return [
        entry(
            "deck", "text", "GoogLeNet at 299x299: FLOPs", "~3.6 G",
            Figure(scaled, "the table's rounded 2 G * (299 / 224)^2", at_299,
                   erratum="2 G is a rounded number of MACs with extras; scaled, its error is scaled as well"),
        ),
        entry(
            "deck", "text", "LeNet-5: parameters", "60 k",
            Figure(lenet, "learned values, third layer fully connected", digits=1),
        ),
    ]  # fmt: skip
