"""HairNet's figures judged: every cell of its tables, blamed on the errata that made it, and what its text claims."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

import costmodel
from costmodel.papers.hairnet import APPENDIX, DEPARTURES, ERRATA, TABLE1, run
from costmodel.papers.hairnet_tables import appendix, corrected, errata, table1
from costmodel.papers.ledger import Entry, Figure, Value, entry
from costmodel.papers.prints import Report, general, printed
from costmodel.simulate import Simulation
from costmodel.units import SI, human

APPENDIX_RULES: Final[dict[str, tuple[str, Callable[[Mapping[str, Any]], Value]]]] = {
    "in_map_mb": ("bytes read / 10^6", lambda row: Fraction(row["input_bytes"], SI["M"])),
    "out_map_mb": ("bytes written / 10^6", lambda row: Fraction(row["output_bytes"], SI["M"])),
    "param_mb": ("bytes of parameters / 10^6", lambda row: Fraction(row["weight_bytes"], SI["M"])),
    "ops": ("2 per MAC, and elementwise operations", lambda row: int(row["operations"])),
    "in_map_loc": ("internal if at most 1 MB", lambda row: str(row["input_memory"])),
    "out_map_loc": ("internal if at most 1 MB", lambda row: str(row["output_memory"])),
    "param_loc": ("always external", lambda row: str(row["weight_memory"] or "external")),
    "transfer_time": ("external bytes / 1 GB/s", lambda row: float(row["transfer_seconds"])),
    "compute_time": ("operations / peak", lambda row: float(row["compute_seconds"])),
    "total_time": ("transfer + compute", lambda row: float(row["total_seconds"])),
}
"""Column of the appendix -> how it is made, in words and from a layer's row."""


def _appendix_rows(simulation: Simulation) -> dict[tuple[str, int], dict[str, Value]]:
    """The appendix's figures by layer and by which time it stands there."""
    found: dict[tuple[str, int], dict[str, Value]] = {}
    for row in simulation.layers.rows():
        again = sum(layer == row["layer"] for layer, _ in found)
        found[row["layer"], again] = {column: value(row) for column, (_, value) in APPENDIX_RULES.items()}
    return found


def _appendix_entries() -> list[Entry]:
    """The 660 cells; a cell is blamed on the errata without which it would not be what it is."""
    header, *rows = printed(APPENDIX)
    own, true = _appendix_rows(run(ERRATA)), _appendix_rows(run(DEPARTURES))
    without = {
        erratum.name: _appendix_rows(run(set(ERRATA) - {erratum})) for erratum in ERRATA if erratum.kind == "erratum"
    }
    entries = []
    for (key, figures), cells in zip(own.items(), rows, strict=True):
        for column, text in list(zip(header, cells, strict=True))[2:]:
            right = true.get(key, {}).get(column)
            blamed = [name for name, other in without.items() if _shown(other.get(key, {}).get(column)) != text]
            figure = Figure(figures[column], APPENDIX_RULES[column][0], right, erratum=", ".join(blamed))
            item = f"{cells[0]} {cells[1]}: {column.replace('_', ' ')}"
            entries.append(entry("hairnet", "appendix", item, text, figure))
    return entries


def _shown(value: Value | None) -> str:
    """A figure as the appendix writes it."""
    return value if isinstance(value, str) else "" if value is None else general(float(value))


def _table1_entries(table: Report) -> list[Entry]:
    header, *rows = printed(TABLE1)
    entries = []
    for number, (cells, built) in enumerate(zip(rows, table.cells[1:], strict=True), start=1):
        *_, corrected, errata = built
        for column, text, own in zip(header, cells, built, strict=False):
            counts = column == "total_parameters_printed"
            figure = (
                Figure(int(own), "learned values of the rows' layers", int(corrected), erratum=errata)
                if counts and text
                else Figure(own, "as the network has it")
            )
            if text:
                item = f"row {number} {cells[0]}: {column.removesuffix('_printed').replace('_', ' ')}"
                entries.append(entry("hairnet", "table 1", item, text, figure))
    return entries


def _claims() -> list[Entry]:
    """What the text says besides."""
    graph, one_tower, alexnet = (
        costmodel.network("hairnet"), costmodel.network("alexnet", groups=1), costmodel.network("alexnet"),
    )  # fmt: skip
    corrected = run(DEPARTURES)
    norms = [row for row in corrected.layers.rows() if row["operator"].startswith("BatchNorm")]
    transfer, compute = (math.fsum(row[f"{part}_seconds"] for row in norms) for part in ("transfer", "compute"))
    share = math.fsum(row["share"] for row in norms)
    dense_layers = sum(node.parameters for node in one_tower.nodes.values() if node.op.kind == "Linear")
    dense_true = sum(node.parameters for node in alexnet.nodes.values() if node.op.kind == "Linear")
    variant = Fraction(costmodel.network("hairnet", dense_head=True).parameters, graph.parameters)
    errata = ", ".join(erratum.name for erratum in ERRATA if erratum.kind == "erratum")
    spent = f"{human(transfer, 's')} moving maps, {human(compute, 's')} computing"
    as_printed = run(ERRATA)
    largest = human(as_printed.layers.total("live_bytes"), "B")
    held = f"{len(as_printed.overfull)} of {len(as_printed.layers)} rows hold more at once, the largest {largest}"
    million = SI["M"]
    alexnets = [Fraction(graph.parameters, million) for graph in (one_tower, alexnet)]
    claims = [
        ("time of an image", "0.177 secs / input image",
         Figure(as_printed.seconds, "the sum of the column total_time", corrected.seconds, erratum=errata)),
        ("maps called internal", "at most 1 MB of internal memory",
         Figure(None, "", held, erratum="each map is judged alone, see maps-judged-alone")),
        ("parameters", "2.4M", Figure(Fraction(graph.parameters, million), "learned values, as in the appendix")),
        ("parameters with a dense layer", "1.3x",
         Figure(None, "", variant, erratum="a dense layer of 1000 x 1000 and its bias add more")),
        ("parameters of AlexNet", "62 M",
         Figure(alexnets[0], "AlexNet without groups", alexnets[1])),
        ("parameters of AlexNet's dense layers", "58.63 M",
         Figure(Fraction(dense_layers, million), "learned values of the dense layers", Fraction(dense_true, million))),
        ("why it is slow", "the computation of batch norm",
         Figure(None, "", f"the transfer of its maps: {spent}",
                erratum=f"its layers take {share:.1%} of the corrected time, but not by computing")),
        ("Algorithm 1: x-hat", "(x - mean)^2 / sqrt(variance + epsilon)",
         Figure(None, "", "(x - mean) / sqrt(variance + epsilon)",
                erratum="with a squared numerator it has neither mean 0 nor variance 1")),
    ]  # fmt: skip
    return [entry("hairnet", "text", item, text, figure) for item, text, figure in claims]


def rebuild() -> tuple[list[Report], list[Entry]]:
    """The appendix as printed and corrected, table 1, the errata with their prices; and every figure judged."""
    grid = table1()
    reports = [appendix(), grid, corrected(), errata()]
    return reports, [*_appendix_entries(), *_table1_entries(grid), *_claims()]
