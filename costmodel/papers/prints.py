"""The printed tables as data, and how a cell is written -> a rebuilt table, compared with the print cell by cell."""

import csv
import importlib.resources
import io
from collections.abc import Sequence
from typing import NamedTuple

Grid = Sequence[Sequence[str]]


class Report(NamedTuple):
    """A rebuilt table: its file's name, its cells with the header first, and what comparing it with the print found."""

    file: str
    cells: Grid
    compared: int
    differences: tuple[str, ...]
    verdict: str

    def text(self) -> str:
        """The table as CSV."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(self.cells)
        return out.getvalue()


def printed(file: str) -> list[list[str]]:
    """A table as a document prints it, header first, every cell a string."""
    text = (importlib.resources.files("costmodel.papers.data") / file).read_text(encoding="utf-8")
    return list(csv.reader(io.StringIO(text)))


def differences(file: str, built: Grid, expected: Grid, columns: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Compare the named columns string for string -> the number of cells compared, and each difference in words."""
    found = []
    if len(built) != len(expected):
        found.append(f"{file}: {len(built) - 1} rows, the print has {len(expected) - 1}")
    places = [(column, built[0].index(column), expected[0].index(column)) for column in columns]
    rows = list(zip(built[1:], expected[1:], strict=False))
    for number, (ours, theirs) in enumerate(rows, start=1):
        for column, at_ours, at_theirs in places:
            if ours[at_ours] != theirs[at_theirs]:
                cell = f"row {number} ({' '.join(theirs[:2])}), {column}"
                found.append(f"{file}: {cell}: built {ours[at_ours]!r}, printed {theirs[at_theirs]!r}")
    return len(rows) * len(columns), tuple(found)


def general(value: float) -> str:
    """A number as a spreadsheet's General format shows it in eight characters.

    From 1e-4 up at most six decimals, below that and from nine digits on two-decimal scientific.
    """
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e8:
        return f"{value:.2E}"
    text = f"{value:.6f}"
    return text.rstrip("0").rstrip(".")
