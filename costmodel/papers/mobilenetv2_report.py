"""The report "MobileNetV2: The Same but Better": its tables and appendices rebuilt from its two networks.

Its own rules: A1 counts maps at the resolution of a layer's input, also where the stride is 2; A2 counts every
convolution as dense and at that resolution. The reduced network of table 3 is what both appendices list, one block per
row of the table.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, Final, NamedTuple

from costmodel.graph import Node
from costmodel.memory import Training, memory
from costmodel.papers.counts import macs, network, node_row, nodes, stored, times, weights
from costmodel.papers.ledger import MEASURED, Entry, Figure, Row, Sheet, entry
from costmodel.papers.prints import Report

DOCUMENT: Final = "mobilenetv2-report"
MILLION: Final = 10**6

REDUCED: Final = "mobilenet_v2_reduced"
STANDARD: Final = "mobilenet_v2_report"
ORIGINAL: Final = "mobilenet_v2"


class Convolution(NamedTuple):
    """A row of the appendices: a convolution of a network, and the resolution that the print counts it at."""

    network: str
    node: Node
    resolution: int

    @property
    def channels(self) -> int:
        """Ni."""
        channels: int = self.node.input_shapes[0][1]
        return channels

    @property
    def filters(self) -> int:
        """No."""
        return self.node.outputs[0].shape[1]

    @property
    def dense(self) -> int:
        """Fr Fc Ni No."""
        kernel = self.node.weights[0].shape
        return self.channels * self.filters * kernel[-1] * kernel[-2]

    @property
    def depthwise(self) -> bool:
        """Whether each filter reads one channel only."""
        return self.node.op.loops(*self.node.input_shapes).groups > 1


@cache
def _convolutions(name: str) -> list[Convolution]:
    """The convolutions of a network, of each row of its table only the first block, as the appendices list them.

    The print's one slip of resolution is here: the last convolution of a block of stride 2 stays at the input's.
    """
    rows = []
    for node in nodes(network(name), "Conv"):
        if node.block[-1].isdigit() and not node.block.endswith("0"):
            continue
        resolution = node.input_shapes[0][2]
        slipped = node.name == "project" and "downsample" in node.block
        rows.append(Convolution(name, node, 2 * resolution if slipped else resolution))
    return rows


STRIDE: Final = "the output has half the resolution of the input"
SLIPPED: Final = "the stride before it has halved the map"
DENSE: Final = "each filter of a depthwise convolution reads one channel, not all"


def _why(row: Convolution, *, strided: bool = False, dense: bool = False) -> str:
    """The reasons that a cell of the appendices is off, of those that can apply to its column."""
    height = row.node.input_shapes[0][2]
    found = [SLIPPED] if row.resolution != height else []
    found += [STRIDE] if strided and row.node.outputs[0].shape[2] != height else []
    found += [DENSE] if dense and row.depthwise else []
    return " and ".join(found)


def _resolution(number: int, _: Row) -> Figure:
    row = _convolutions(REDUCED)[number]
    return Figure(row.resolution, "resolution of the input", row.node.input_shapes[0][2], erratum=_why(row))


def _plain(value: Callable[[Convolution], int | str]) -> Any:
    return lambda number, _: Figure(value(_convolutions(REDUCED)[number]), "as the network has it")


def _map_size(number: int, printed_row: Row) -> Figure:
    row = _convolutions(REDUCED)[number]
    height = row.node.input_shapes[0][2]
    shape, true_shape = ((side, side, row.channels) for side in (row.resolution, height))
    if "=" not in printed_row["A1_size_printed"]:
        return Figure(times(*shape), "Lr Lc Ni", times(*true_shape), erratum=_why(row))
    size = row.resolution**2 * row.channels
    return Figure(size, "Lr Lc Ni", height**2 * row.channels, erratum=_why(row), form=f"{times(*shape)} = {{}}")


def _map_memory(number: int, _: Row) -> Figure:
    row = _convolutions(REDUCED)[number]
    true = row.node.inputs[0].elements + row.node.outputs[0].elements
    form = f"({row.channels}+{row.filters})*{row.resolution}*{row.resolution} = {{}}"
    own = (row.channels + row.filters) * row.resolution**2
    return Figure(own, "(Ni + No) Lr Lc", true, erratum=_why(row, strided=True), form=form)


def _filter(number: int, printed_row: Row) -> Figure:
    row = _convolutions(REDUCED)[number]
    true = row.node.weights[0].elements
    why = _why(row, dense=True) if row.depthwise else ""
    if "8294," in printed_row["A2_filter_printed"]:
        why += "; a comma is missing"
    return Figure(row.dense, "Fr Fc Ni No", true, erratum=why)


def _macs(number: int, _: Row) -> Figure:
    row = _convolutions(REDUCED)[number]
    true = row.node.op.loops(*row.node.input_shapes).macs
    return Figure(row.dense * row.resolution**2, "Fr Fc Ni No Lr Lc", true, erratum=_why(row, strided=True, dense=True))


APPENDICES: Final = Sheet(
    DOCUMENT,
    "appendices A1 and A2",
    "mnv2_appendix_rows.csv",
    "mobilenetv2-report-appendices.csv",
    {
        "stride": _plain(lambda row: node_row(row.node)["stride"]),
        "Lr": _resolution,
        "Lc": _resolution,
        "Ni": _plain(lambda row: row.channels),
        "No": _plain(lambda row: row.filters),
        "Fr": _plain(lambda row: node_row(row.node)["ksize"].partition("x")[0]),
        "Fc": _plain(lambda row: node_row(row.node)["ksize"].partition("x")[2]),
        "A1_size_printed": _map_size,
        "A1_memory_printed": _map_memory,
        "A2_filter_printed": _filter,
        "A2_macs_printed": _macs,
    },
)


@cache
def _table(name: str) -> list[dict[str, str]]:
    """A network's rows as tables 2 and 3 write them: t, c, n and s are read off the convolutions."""
    graph = network(name)
    blocks: dict[str, list[Node]] = {}
    for node in nodes(graph, "Conv"):
        blocks.setdefault(node.block.rstrip("0123456789") if "." in node.block else node.block, []).append(node)
    rows = []
    for convolutions in blocks.values():
        first, last = convolutions[0], convolutions[-1]
        _, channels, height, _ = first.input_shapes[0]
        row = {"input": f"{height}^2x{channels}", "c": str(last.outputs[0].shape[1]), "t": "-", "n": "1"}
        depthwise = [node for node in convolutions if node.name == "dw"]
        if depthwise:
            stride = node_row(depthwise[0])["stride"]
            kept = channels == last.outputs[0].shape[1]
            row |= {"operator": "downsample" if stride == "2" else "identity" if kept else "special", "s": stride}
            row |= {"t": str(depthwise[0].input_shapes[0][1] // channels), "n": str(len(depthwise))}
        else:
            kernel = node_row(first)["ksize"]
            row |= {"operator": "conv2D" if kernel == "3x3" else f"conv2D {kernel}", "s": node_row(first)["stride"]}
        rows.append(row)
    pool, dense = graph.nodes["head.pool"], graph.nodes["head.fc"]
    _, channels, height, _ = pool.input_shapes[0]
    rows.append({"input": f"{height}^2x{channels}", "operator": "global avg pool", "c": str(channels), "n": "1"})
    return [*rows, {"input": f"1^2x{dense.input_shapes[0][1]}", "operator": "softmax", "c": "k", "n": "1"}]


HEAD: Final = "the convolution before it has 1280 channels, and pooling keeps them"


def _structure(name: str, column: str) -> Any:
    def figure(number: int, row: Row) -> Figure:
        own = _table(name)[number][column]
        if name == STANDARD and row["operator"] in {"global avg pool", "softmax"} and "256" in row[column]:
            return Figure(None, "", own, erratum=HEAD)
        if name == STANDARD and (row["level"], row["operator"], column) == ("3", "identity", "n"):
            stage = {node.block for node in nodes(network(ORIGINAL)) if node.block.startswith("stage3.")}
            why = "the original network and the text have 17 blocks, this makes it 18"
            return Figure(own, "as the network of table 2 has it", str(len(stage) - 1), erratum=why)
        return Figure(own, "as the network has it")

    return figure


def _structure_sheet(number: int, kind: str, name: str) -> Sheet:
    return Sheet(
        DOCUMENT,
        f"table {number}",
        f"mnv2_table{number}_{kind}.csv",
        f"mobilenetv2-report-table{number}.csv",
        {column: _structure(name, column) for column in ("input", "operator", "t", "c", "n", "s")},
    )


TABLE_10: Final = Sheet(
    DOCUMENT,
    "table 10",
    "mnv2_table10_accuracy.csv",
    "mobilenetv2-report-table10.csv",
    {"accuracy_pct": lambda _n, _row: MEASURED},
)


def _table_11(_: int, row: Row) -> Figure:
    if row["network"] == "MobileNetV2":
        most = max(_convolutions(REDUCED), key=lambda row: row.dense * row.resolution**2)
        own = Fraction(most.dense * most.resolution**2, MILLION)
        true = Fraction(network(STANDARD).macs, MILLION)
        why = "one layer of the reduced network, a depthwise one counted dense, stands for the standard network"
        return Figure(own, "the largest entry of appendix A2", true, erratum=why)
    if row["network"] == "ResNet-18":
        true = Fraction(network("resnet18").macs, MILLION)
        return Figure(None, "", true, underivable="no definition was found that gives it")
    if row["network"] == "AlexNet":
        own = Fraction(network("alexnet", size=224).macs, MILLION)
        return Figure(own, "MACs at 224 without padding (54x54 first map), grouped, pools that round up")
    graph = network("vgg16")
    own = Fraction(macs(graph, "Conv"), MILLION)
    return Figure(own, "MACs of the convolutions only, to three digits", Fraction(graph.macs, MILLION), digits=3)


TABLE_11: Final = Sheet(
    DOCUMENT,
    "table 11",
    "mnv2_table11_macs.csv",
    "mobilenetv2-report-table11.csv",
    {"macs_M": _table_11},
)


@cache
def _terms(name: str, *, by_report: bool = False) -> Training:
    """The terms of the memory formula."""
    kept = memory(network(name))
    return kept.training_by_report if by_report else kept.training


def _version(row: Row) -> str:
    return {"reduced": REDUCED, "standard": STANDARD}[row["version"]]


BORROWED: Final = "the largest map and the filter term are those of the reduced network"


def _parameters(_: int, row: Row) -> Figure:
    graph = network(_version(row))
    least, most = weights(graph, "Conv"), stored(graph)
    why = f"weights of the convolutions alone are {least:,}; with everything that is stored it is {most:,}"
    return Figure(None, "", graph.parameters, underivable=why)


def _largest_map(_: int, row: Row) -> Figure:
    own, true = _terms(REDUCED, by_report=True).largest_map, _terms(_version(row)).largest_map
    return Figure(own, "the largest entry of appendix A1", true, erratum=BORROWED if own != true else "")


def _largest_filter(_: int, row: Row) -> Figure:
    level_3 = next(c.dense for c in _convolutions(REDUCED) if c.depthwise and c.channels == 576)
    largest = _terms(REDUCED, by_report=True).largest_filter
    why = f"a misprint of {level_3:,}, which is not the largest entry of appendix A2: that is {largest:,}"
    true = _terms(_version(row)).largest_filter
    return Figure(None, "", true, erratum=f"{why}; both count a depthwise layer as dense")


def _result(_: int, row: Row) -> Figure:
    terms = [int(row[name]) for name in ("params", "param_gradients", "feature_map", "filter_map")]
    own = sum(terms) * int(row["bytes_per"])
    why = "no rule gives its parameters, and its filter is a misprint"
    why += f"; {BORROWED}" if row["version"] == "standard" else ""
    return Figure(own, "the sum of the printed terms * 4 B", _terms(_version(row)).bytes, erratum=why)


def _claimed(_: int, row: Row) -> Figure:
    printed_bytes = int(row["printed_result"])
    true = Fraction(_terms(_version(row)).bytes, MILLION)
    if row["version"] == "reduced":
        values = Fraction(printed_bytes, int(row["bytes_per"]) * MILLION)
        return Figure(values, "values, in millions", true, erratum="a count of values; times 4 B is missing")
    return Figure(Fraction(printed_bytes, MILLION), "the printed result in MB", true, erratum=BORROWED)


FORMULA: Final = Sheet(
    DOCUMENT,
    "memory formula",
    "mnv2_memory_formula.csv",
    "mobilenetv2-report-memory-formula.csv",
    {
        "params": _parameters,
        "param_gradients": _parameters,
        "feature_map": _largest_map,
        "filter_map": _largest_filter,
        "bytes_per": lambda _, row: Figure(_terms(_version(row)).bits // 8, "float32"),
        "printed_result": _result,
        "text_claim": _claimed,
    },
)


def _busiest(name: str, *, dense: bool) -> Convolution:
    """The convolution with the most MACs, by the print's rule or in truth."""

    def amount(row: Convolution) -> int:
        return row.dense * row.resolution**2 if dense else row.node.op.loops(*row.node.input_shapes).macs

    return max(_convolutions(name), key=amount)


def _kind(row: Convolution) -> str:
    kernel = node_row(row.node)["ksize"]
    return "depthwise" if row.depthwise else f"{kernel} of {row.node.block}"


def _level(row: Convolution) -> str:
    level = row.node.block.partition(".")[0]
    last = max(other.node.block.partition(".")[0] for other in _convolutions(row.network) if "." in other.node.block)
    return "last level" if level == last else level.replace("level", "level ")


COUNTED_DENSE: Final = "counted dense, a depthwise convolution has as many times its MACs as it has channels"


def _claims() -> list[Entry]:
    """What the text says besides."""
    blocks = {node.block for node in nodes(network(ORIGINAL)) if node.block.startswith("stage")}
    found = [("number of blocks", "17", Figure(len(blocks), "blocks of the original network; table 2 has 18"))]
    for which, name in (("reduced", REDUCED), ("standard", STANDARD)):
        dense, true = _busiest(name, dense=True), _busiest(name, dense=False)
        found += [
            (f"most MACs, {which}: where", "depthwise", _busiest_figure("depthwise", _kind(dense), _kind(true))),
            (f"most MACs, {which}: level", "last level", _busiest_figure("last level", *map(_level, (dense, true)))),
        ]
    convolutions = len(list(nodes(network("alexnet"), "Conv")))
    epoch = "that is the time of an epoch, not of a forward pass"
    found.append(("convolutions of AlexNet", "4", Figure(None, "", convolutions, erratum="AlexNet has five")))
    found.append(("time of a forward pass", "467 s", Figure(None, "", erratum=epoch)))
    return [entry(DOCUMENT, "text", item, text, figure) for item, text, figure in found]


def _busiest_figure(claim: str, own: str, true: str) -> Figure:
    """The claim about the layer with the most MACs, by the rules of appendix A2 and in truth."""
    definition = "the largest entry of the network under the rules of appendix A2"
    if own != claim:
        return Figure(None, "", true, erratum=f"not even by the rules of appendix A2, which give {own}")
    return Figure(own, definition, true, erratum=COUNTED_DENSE if own != true else "")


SHEETS: Final = (
    APPENDICES,
    _structure_sheet(2, "standard", STANDARD),
    _structure_sheet(3, "reduced", REDUCED),
    FORMULA,
    TABLE_10,
    TABLE_11,
)


def rebuild() -> tuple[list[Report], list[Entry]]:
    """Every table of the report, and what its text claims."""
    built = [sheet.rebuild() for sheet in SHEETS]
    return [report for report, _ in built], [made for _, entries in built for made in entries] + _claims()
