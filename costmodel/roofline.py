"""Simulation -> where each layer stands on the machine's roofline: operations per byte moved, and per second.

Intensity is operations / transfer_bytes: the bytes moved to or from memories that take time, all of them together; it
is infinite where no byte takes time. Performance is operations / total_seconds, the overhead included. So performance
is at most intensity * the bandwidth of the fastest of these memories, and at most the peak of the fastest engine. A
layer without operations is nowhere on such a plot and is named below it.

A layer's family is the kind of its part with the most operations, for convolutions with their form. What was measured
is a CSV file with the columns layer and measured_seconds, among others, as `costmodel run --csv` writes it.
"""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from costmodel import textfile
from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Op
from costmodel.simulate import Simulation

MAX_BYTES: Final = 10_000_000
MEASURED_COLUMNS: Final = ("layer", "measured_seconds")
"""What a file of measurements must have, among other columns."""


class Point(NamedTuple):
    """A layer on the roofline."""

    layer: str
    operator: str
    family: str
    """What its part with the most operations is: the family of the operator, and the form of a convolution."""
    operations: int
    intensity: float
    """Operations per byte; ``inf`` where no byte takes time, 0 without operations."""
    performance: float
    """Operations per second in the model; 0 without operations."""
    share: float
    """Part of the network's time."""
    measured: float | None
    """Operations per second as measured, if they were and there are any."""
    measured_share: float
    """Part of the measured time of the network; 0 if it was not measured."""


def points(simulation: Simulation, measured: Mapping[str, float] | None = None) -> list[Point]:
    """Every layer, in the order of the network, with what was measured of it."""
    layers, took = simulation.layers, measured or {}
    whole = math.fsum(took.values())
    found = []
    for row, family in zip(layers.rows(), _families(simulation), strict=True):
        operations, moved, seconds = row["operations"], row["transfer_bytes"], row["total_seconds"]
        real = took.get(row["layer"])
        found.append(
            Point(
                row["layer"],
                row["operator"],
                family,
                operations,
                (operations / moved if moved else math.inf) if operations else 0.0,
                operations / seconds if operations else 0.0,
                row["share"],
                operations / real if operations and real else None,
                real / whole if real else 0.0,
            )
        )
    return found


def _families(simulation: Simulation) -> list[str]:
    """For each layer what its part with the most operations is, the first of them where several have as many."""
    most = [-1] * len(simulation.layers)
    families = [""] * len(simulation.layers)
    for layer, operator, form, macs, elementwise, _ in simulation.profile.parts.tuples():
        if 2 * macs + elementwise > most[layer]:
            most[layer] = 2 * macs + elementwise
            families[layer] = f"{family(operator)}, {form}" if form else family(operator)
    return families


KINDRED: Final = {
    "attention": "linear", "einsum": "linear", "functions": "elementwise", "quantised": "elementwise",
    "indexing": "other", "recurrent": "linear", "reduction": "pooling", "resize": "pooling", "selection": "pooling",
    "state": "linear", "vision": "pooling",
}  # fmt: skip
"""Modules whose operators are drawn as those of another: what their arithmetic is most like."""


def family(operator: str) -> str:
    """An operator's module in :mod:`costmodel.ops`, such as ``pooling``; ``other`` for one that is not from there."""
    package, _, module = getattr(Op.registry.get(operator), "__module__", "").rpartition(".")
    return KINDRED.get(module, module) if package == "costmodel.ops" else "other"


def read_measured(file: Path, simulation: Simulation) -> dict[str, float]:
    """A CSV file as ``costmodel run --csv`` writes it -> the seconds of each layer that it has."""
    operations = dict(zip(simulation.layers["layer"], simulation.layers["operations"], strict=True))
    found: dict[str, float] = {}
    lines: dict[str, int] = {}
    for line, layer, text in _rows(file):
        place = f"{file}:{line}"
        if layer not in operations:
            raise CostModelError(
                f"{place}: {simulation.profile.network} on {simulation.hardware.name} has no layer {layer!r}: was it "
                f"run with a machine that fuses other operators? {suggestion(layer, operations)}"
            )
        if layer in found:
            raise CostModelError(f"{place}: layer {layer!r} is there twice, first in line {lines[layer]}")
        found[layer], lines[layer] = _seconds(text, place), line
        if operations[layer] and not found[layer]:
            raise CostModelError(f"{place}: layer {layer!r} has operations and cannot take 0 s")
    return found


def _rows(file: Path) -> list[tuple[int, str, str]]:
    """The two columns that matter, and the number of each line."""
    reader = csv.reader(io.StringIO(textfile.read(file, MAX_BYTES), newline=""), strict=True)
    expected = "expected a CSV file with the columns layer and measured_seconds, as 'costmodel run' writes it"
    found = []
    try:
        heads = next(reader, [])
        for name in MEASURED_COLUMNS:
            if heads.count(name) != 1:
                problem = f"column {name!r} is there twice" if name in heads else f"no column {name!r}"
                raise CostModelError(f"{file}:1: {problem}; {expected}")
        layer, seconds = (heads.index(name) for name in MEASURED_COLUMNS)
        for cells in reader:
            if cells and len(cells) != len(heads):
                raise CostModelError(f"{file}:{reader.line_num}: {len(cells)} cells under {len(heads)} columns")
            if cells:
                found.append((reader.line_num, cells[layer], cells[seconds]))
    except csv.Error as error:
        raise CostModelError(f"{file}:{max(reader.line_num, 1)}: not CSV: {error}") from None
    if not found:
        raise CostModelError(f"{file}: no layers; {expected}")
    return found


def _seconds(text: str, place: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CostModelError(f"{place}: measured_seconds: {text!r} is not a time in seconds, such as 0.00125")
    return seconds
