"""HairNet's tables: the appendix as printed and corrected, table 1, and the errata with their prices."""

from typing import Final

import costmodel
from costmodel.fuse import fuse
from costmodel.papers.hairnet import APPENDIX, DEPARTURES, ERRATA, TABLE1, block_parameters, run
from costmodel.papers.prints import Report, differences, general, printed
from costmodel.units import SI


def appendix() -> Report:
    """The appendix under all the rules of the print, compared cell by cell."""
    file, expected = "hairnet-appendix.csv", printed(APPENDIX)
    as_printed = run(ERRATA)
    megabyte = SI["M"]
    cells = [
        [
            str(number),
            _label(number, row["layer"]),
            general(row["input_bytes"] / megabyte),
            general(row["output_bytes"] / megabyte),
            general(row["weight_bytes"] / megabyte),
            general(row["operations"]),
            row["input_memory"],
            row["output_memory"],
            row["weight_memory"] or "external",  # the print names a place also where there are no parameters
            general(row["transfer_seconds"]),
            general(row["compute_seconds"]),
            general(row["total_seconds"]),
        ]
        for number, row in enumerate(as_printed.layers.rows(), start=1)
    ]
    built = [expected[0], *cells]
    count, found = differences(file, built, expected, expected[0][2:])
    labels, wrong = differences(file, built, expected, expected[0][:2])
    headline = general(as_printed.seconds)
    if headline != HEADLINE:
        wrong = (*wrong, f"{file}: the total_time column sums to {headline}, not to {HEADLINE}")
    same = count - len(found)
    verdict = f"{same} of {count} cells and {labels - len(wrong)} of {labels} labels as printed, total {headline} s"
    return Report(file, built, count + labels, found + wrong, verdict)


HEADLINE: Final = "0.177158"
"""What the appendix's total_time adds up to before rounding its cells; the headline is "0.177 secs / input image"."""

STRAY_UNDERSCORES: Final = frozenset({25, 29, 31, 33, 35, 37, 39, 43, 45, 47})
"""Rows in which the print writes BN_RELU_0 for BN_RELU0."""


def _label(number: int, layer: str) -> str:
    """Our layer's name -> the print's."""
    block, _, name = layer.rpartition(".")
    index = block.partition(".")[2]
    stray = "_" if number in STRAY_UNDERSCORES else ""
    labels = {
        "bn+relu": "BN_RELU",
        "bn1+relu1": f"BN_RELU{stray}{index}",
        "bn2+relu2": f"BN_RELU{stray}{index}_2",
        "dwise_conv": f"dwise_conv{index}",
        "pointwise_conv": f"pointwise_conv{index}",
        "softmax": "SoftMax",
    }
    return labels.get(name, name)


def table1() -> Report:
    """Table 1 as printed, with the corrected parameters and the errata beside them."""
    file, expected = "hairnet-table1.csv", printed(TABLE1)
    graph = costmodel.network("hairnet")
    true = block_parameters(graph)
    print_rule = true
    for erratum in ERRATA:
        print_rule = erratum.parameters(print_rule, graph)
    header = [*expected[0], "total_parameters_corrected", "errata"]
    rows: list[list[str]] = []
    seen: set[str] = set()
    for kernel in fuse(graph):
        node = kernel.nodes[0]
        stage, kind = node.block.partition(".")[0], node.op.kind
        size = " x ".join(map(str, (*node.inputs[0].shape[2:], node.inputs[0].shape[1])))
        if kind == "MaxPool":
            rows.append(["Max Pool x 1", "", size, "", "", ""])
        elif kind == "GlobalAveragePool":
            rows.append(["Global Avg Pool", "", size, "", "", ""])
        elif kind == "Softmax":
            rows.append(["SoftMax", "", f"1 x 1 x {node.inputs[0].shape[1]}", "", "", ""])
        elif stage not in seen:
            seen.add(stage)
            blocks = {other.block for other in graph.nodes.values() if other.block.startswith(f"{stage}.")}
            convolutions = [n for n in graph.nodes.values() if n.block.startswith(stage) and n.op.kind == "Conv"]
            name = f"Conv DW block x{len(blocks)}" if blocks else "Conv-BN-ReLU x 1"
            why = "; ".join(erratum.name for erratum in ERRATA if erratum.parameters(true, graph)[stage] != true[stage])
            filters = str(convolutions[-1].outputs[0].shape[1])
            rows.append([name, filters, size, str(print_rule[stage]), str(true[stage]), why])
    cells = [header, *rows]
    count, found = differences(file, cells, expected, expected[0])
    return Report(file, cells, count, found, f"{count - len(found)} of {count} cells as printed")


def corrected() -> Report:
    """The true network on the stated machine, placed as the paper does, at full precision."""
    simulation = run(DEPARTURES)
    names = [
        "layer", "operator", "input_shape", "output_shape", "input_bytes", "output_bytes", "weight_bytes", "parameters",
        "macs", "operations", "input_memory", "output_memory", "weight_memory", "live_bytes", "overfull",
        "transfer_seconds", "compute_seconds", "total_seconds", "bound",
    ]  # fmt: skip
    table = simulation.layers.select(names)
    cells = [names, *[[str(value) for value in row.values()] for row in table.rows()]]
    verdict = f"{len(table)} layers, {simulation.seconds!r} s, {len(simulation.overfull)} layers overfull"
    return Report("hairnet-appendix-corrected.csv", cells, 0, (), verdict)


def errata() -> Report:
    """The waterfall: from the print, one rule after another switched off, to what the machine can do."""
    header = ["name", "kind", "print", "right", "effect_alone_seconds", "headline_after_seconds", "parameters_effect"]
    graph = costmodel.network("hairnet")
    true = block_parameters(graph)
    as_printed = run(ERRATA).seconds
    rows = [["as-printed", "headline", "0.177 secs / input image", "", "0.0", repr(as_printed), "0"]]
    left, total = set(ERRATA), as_printed
    for position, erratum in enumerate(ERRATA):
        if erratum.kind != "table 1":
            left.discard(erratum)
            total = run(left).seconds
        alone = run(set(ERRATA) - {erratum}).seconds - as_printed
        times = ["", ""] if erratum.kind == "table 1" else [repr(alone), repr(total)]
        parameters = sum(true.values()) - sum(erratum.parameters(true, graph).values())
        rows.append([erratum.name, erratum.kind, erratum.prints, erratum.right, *times, str(parameters)])
        following = ERRATA[position + 1].kind if position + 1 < len(ERRATA) else ""
        if erratum.kind == "erratum" and following != "erratum":
            right = "the true network on the stated machine, placed as the paper does"
            rows.append(["corrected", "headline", "", right, repr(total - as_printed), repr(total), "0"])
        if erratum.kind == "departure" and following != "departure":
            right = "the true network as the stated machine can really run it"
            rows.append(["feasible", "headline", "", right, repr(total - as_printed), repr(total), "0"])
    corrected = run(DEPARTURES).seconds
    verdict = f"{as_printed:.6f} s as printed -> {corrected:.6f} s corrected -> {total:.6f} s feasible"
    return Report("hairnet-errata.csv", [header, *rows], 0, (), verdict)
