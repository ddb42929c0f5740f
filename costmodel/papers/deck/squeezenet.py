"""The deck's tables of SqueezeNet (Iandola et al. 2016): the compression of its weights, and its layers pruned."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from costmodel.graph import Graph, Node
from costmodel.memory import pruned
from costmodel.papers.counts import network, node_row, stored, times
from costmodel.papers.ledger import MEASURED, NUMBER, Figure, Row, Sheet, given
from costmodel.papers.prints import printed

MB: Final = 10**6
MIB: Final = 2**20

CODING: Final = "depends on trained weights and on how they are coded, which the document does not give"
KEPT: Final = given("which share of the weights is kept was chosen in training; it gives the parameters after pruning")
BITS: Final = given("the width of the weights was chosen in training")

BASELINES: Final = {"AlexNet": "alexnet", "SqueezeNet (ours)": "squeezenet"}


def _size(_: int, row: Row) -> Figure:
    if "->" in row["size_printed"]:
        return Figure(None, "", underivable=CODING)
    graph = network(BASELINES[row["architecture"]])
    true = Fraction(4 * graph.parameters, MB)
    if row["architecture"] == "AlexNet":
        return Figure(true, "4 B * parameters, to two digits", digits=2)
    return Figure(Fraction(4 * stored(graph), MIB), "4 B * parameters", unit="MiB")


def _reduction(_: int, row: Row) -> Figure:
    graph = network(BASELINES[row["architecture"]])
    if "->" in row["size_printed"]:
        (baseline,) = NUMBER.findall(printed(COMPRESSION.data)[1][3])
        after = NUMBER.findall(row["size_printed"])[-1]
        quotient = f"{baseline} MB / {after} MB = {float(Fraction(baseline) / Fraction(after)):.1f}"
        return Figure(None, quotient, underivable=CODING)
    ratio = Fraction(network("alexnet").parameters, graph.parameters)
    return Figure(ratio, "AlexNet's parameters / its own, to one digit", digits=1)


COMPRESSION: Final = Sheet(
    "deck",
    "SqueezeNet compression",
    "deck_squeezenet_compression.csv",
    "deck-squeezenet-compression.csv",
    {
        "size_printed": _size,
        "reduction_printed": _reduction,
        "top1": lambda _n, _row: MEASURED,
        "top5": lambda _n, _row: MEASURED,
    },
)

PARTS: Final = ("s1x1", "e1x1", "e3x3")

FIRE8_TRUE: Final = Fraction(30, 100)
"""The share of fire8's 3x3 weights with which its printed parameters after pruning come out."""


def _graph() -> Graph:
    return network("squeezenet")


def _last(name: str) -> Node:
    """The layer of the print -> the node that makes its output."""
    graph = _graph()
    nodes = {
        "input image": "input", "conv1": "conv1.conv", "conv10": "conv10.conv", "avgpool10": "conv10.avgpool10",
        "maxpool1": "conv1.max_pool", "maxpool4": "fire4.max_pool", "maxpool8": "fire8.max_pool",
    }  # fmt: skip
    return graph.nodes[nodes.get(name) or f"{name}.concat"]


def _convolutions(name: str) -> dict[str, Node]:
    """A layer of the print -> its convolutions by name."""
    return {node.name or "": node for node in _graph().nodes.values() if node.block == name and node.op.kind == "Conv"}


def _output(_: int, row: Row) -> Figure:
    _, channels, *size = _last(row["layer"]).outputs[0].shape
    true = times(*size, channels)
    wrong = {
        "input image": "a first map of 111x111 needs an input of 227x227",
        "maxpool8": "the map is square, and so is the 13x13 that fire9 reads",
    }
    if row["layer"] in wrong:
        return Figure(None, "", true, erratum=wrong[row["layer"]])
    return Figure(true, "as the network has it")


def _window(_: int, row: Row) -> Figure:
    node = _last(row["layer"])
    made = node_row(node)
    filters = f" (x{node.outputs[0].shape[1]})" if node.op.kind == "Conv" else ""
    return Figure(f"{made['ksize']}/{made['stride']}{filters}", "as the network has it")


def _depth(_: int, row: Row) -> Figure:
    """Convolutions one after another: the longest chain inside the layer."""
    inside = _convolutions(row["layer"]).values()

    def chain(nodes: Iterable[Node]) -> int:
        return max(
            (chain([t.node for t in n.inputs]) + (n in inside) for n in nodes if n.block == row["layer"]), default=0
        )

    made = 0 if "pool" in row["layer"] else chain([_last(row["layer"])])
    return Figure(made, "convolutions one after another")


def _filters(part: str) -> Any:
    return lambda _, row: Figure(_convolutions(row["layer"])[part].outputs[0].shape[1], "as the network has it")


def _kept(part: str) -> Any:
    def figure(_: int, row: Row) -> Figure:
        if row["layer"] == "fire8" and part == "e3x3":
            with_print = _parameters_after("fire8", _shares(row))
            why = (
                f"with 33 % fire8 keeps {with_print:,} parameters, with 30 % the printed {row['params_after_printed']}"
            )
            return Figure(None, "", f"{int(100 * FIRE8_TRUE)}%", erratum=why)
        if row["layer"] == "conv10":
            kernel = node_row(_last("conv10"))["ksize"]
            return Figure(None, "", f"20% ({kernel})", erratum=f"the layer is a {kernel} convolution")
        return KEPT

    return figure


def _shares(row: Row) -> dict[str, Fraction]:
    """The printed shares of a layer, by the names of its convolutions."""
    found = {}
    for name in _convolutions(row["layer"]):
        text = row[f"{name if name in PARTS else 's1x1'}_sparsity"]
        found[f"{row['layer']}.{name}"] = Fraction(int(text.partition("%")[0]), 100)
    return found


def _parameters_after(layer: str, shares: dict[str, Fraction]) -> int:
    counts = pruned(_graph(), shares)
    return sum(counts[f"{layer}.{name}"] for name in _convolutions(layer))


def _before(_: int, row: Row) -> Figure:
    if row["layer"] == "total":
        return Figure(_graph().parameters, "weights and biases", form="{} (total)")
    return Figure(sum(node.parameters for node in _convolutions(row["layer"]).values()), "weights and biases")


def _after(_: int, row: Row) -> Figure:
    header, *rows = printed("deck_squeezenet_fire.csv")
    layers = {cells[0]: dict(zip(header, cells, strict=True)) for cells in rows}
    wanted = [row["layer"]] if row["layer"] != "total" else [name for name in layers if _convolutions(name)]
    amount = 0
    for name in wanted:
        shares = _shares(layers[name])
        if name == "fire8":
            shares["fire8.e3x3"] = FIRE8_TRUE
        amount += _parameters_after(name, shares)
    form = "{} (total)" if row["layer"] == "total" else ""
    return Figure(amount, "sum of ceil(kept share * weights) over the convolutions + all biases", form=form)


FIRE: Final = Sheet(
    "deck",
    "SqueezeNet layers",
    "deck_squeezenet_fire.csv",
    "deck-squeezenet-layers.csv",
    {
        "output_size": _output,
        "filter_stride": _window,
        "depth": _depth,
        **{part: _filters(part) for part in PARTS},
        **{f"{part}_sparsity": _kept(part) for part in PARTS},
        "bits": lambda _n, _row: BITS,
        "params_before_printed": _before,
        "params_after_printed": _after,
    },
)
