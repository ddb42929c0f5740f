"""The deck's architecture tables of MobileNet (Howard et al. 2017) and MobileNetV2 (Sandler et al. 2018)."""

from functools import cache
from typing import Any, Final

from costmodel.graph import Node
from costmodel.papers.counts import network, node_row, nodes, times
from costmodel.papers.ledger import Figure, Sheet

AS_BUILT: Final = "as the network has it"


def _mobilenet_row(node: Node) -> dict[str, str] | None:
    """``Conv dw / s1``, ``3x3x32 dw``, ``112x112x32``; None for what the table does not list."""
    _, channels, *size = node.input_shapes[0]
    made, stride = node_row(node), node_row(node)["stride"]
    loops = node.op.loops(*node.input_shapes)
    rows = {
        "Conv": (f"Conv / s{stride}", f"{made['ksize']}x{channels}x{loops.filters}"),
        "GlobalAveragePool": ("Avg Pool / s1", f"Pool {made['ksize']}"),
        "Linear": ("FC / s1", times(channels, loops.filters)),
        "Softmax": ("Softmax / s1", "Classifier"),
    }
    if node.op.kind not in rows:
        return None
    kind, shape = rows[node.op.kind]
    if loops.groups > 1:
        kind, shape = f"Conv dw / s{stride}", f"{made['ksize']}x{channels} dw"
    return {"type_stride": kind, "filter_shape": shape, "input_size": times(*(size or (1, 1)), channels)}


@cache
def _mobilenet() -> list[dict[str, str]]:
    """The rows as the network has them; a pair of rows that repeats stands once, with its number of repeats."""
    rows = [row for node in network("mobilenet_v1").nodes.values() if node.inputs and (row := _mobilenet_row(node))]
    folded: list[dict[str, str]] = []
    while rows:
        pair, repeats = rows[:2], 1
        while rows[2 * repeats : 2 * repeats + 2] == pair:
            repeats += 1
        if repeats > 1:
            folded += [{**row, "type_stride": f"{repeats}x {row['type_stride']}"} for row in pair]
            rows = rows[2 * repeats :]
        else:
            folded.append(rows.pop(0))
    return folded


LAST_STRIDE: Final = "its input and its output are both 7x7, so the stride is 1"


def _mobilenet_column(column: str) -> Any:
    def figure(number: int, row: Any) -> Figure:
        true = _mobilenet()[number][column]
        if column == "type_stride" and row["filter_shape"] == "3x3x1024 dw":
            return Figure(None, "", true, erratum=LAST_STRIDE)
        return Figure(true, AS_BUILT)

    return figure


MOBILENET: Final = Sheet(
    "deck",
    "MobileNet architecture",
    "deck_mobilenet_architecture.csv",
    "deck-mobilenet-architecture.csv",
    {column: _mobilenet_column(column) for column in ("type_stride", "filter_shape", "input_size")},
)


def bottlenecks(name: str) -> list[dict[str, str]]:
    """A MobileNetV2's rows: stem, each stage of blocks, head; t, c, n and s are read off the convolutions."""
    graph = network(name)
    stages: dict[str, list[Node]] = {}
    for node in nodes(graph, "Conv"):
        stages.setdefault(node.block.partition(".")[0], []).append(node)
    rows = []
    for stage, convolutions in stages.items():
        first, last = convolutions[0], convolutions[-1]
        _, channels, height, _ = first.input_shapes[0]
        depthwise = [node for node in convolutions if node.op.loops(*node.input_shapes).groups > 1]
        row = {"input": f"{height}^2x{channels}", "c": str(last.outputs[0].shape[1]), "t": "-"}
        if depthwise:
            expanded = depthwise[0].input_shapes[0][1]
            row |= {"operator": "bottleneck", "t": str(expanded // channels)}
            row |= {"n": str(len({node.block for node in convolutions})), "s": node_row(depthwise[0])["stride"]}
        else:
            kernel = node_row(first)["ksize"]
            row |= {"operator": "conv2d" if kernel == "3x3" else f"conv2d {kernel}", "n": "1"}
            row |= {"s": node_row(first)["stride"]}
        rows.append((stage, row))
    pool, dense = graph.nodes["head.pool"], graph.nodes["head.fc"]
    _, channels, height, width = pool.input_shapes[0]
    return [
        *(row for _, row in rows),
        {"input": f"{height}^2x{channels}", "operator": f"avgpool {height}x{width}", "n": "1"},
        {"input": f"1x1x{dense.input_shapes[0][1]}", "operator": "conv2d 1x1", "c": "k"},
    ]


@cache
def _mobilenet_v2() -> list[dict[str, str]]:
    return bottlenecks("mobilenet_v2")


def _mobilenet_v2_column(column: str) -> Any:
    return lambda number, _row: Figure(_mobilenet_v2()[number][column], AS_BUILT)


MOBILENET_V2: Final = Sheet(
    "deck",
    "MobileNetV2 architecture",
    "deck_mobilenetv2_architecture.csv",
    "deck-mobilenetv2-architecture.csv",
    {column: _mobilenet_v2_column(column) for column in ("input", "operator", "t", "c", "n", "s")},
)
