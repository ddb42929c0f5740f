"""Table -> cells as people read them: four digits and a prefix, a bar for shares, a footer that adds up."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from costmodel.table import Column, Table
from costmodel.units import human

BAR_WIDTH: Final = 10

WIDEST: Final = 100
"""Characters of a text in a cell, so that one layer of many inputs does not make every row as long."""


class Cells(NamedTuple):
    """A table as text: headings, which columns are right-aligned, rows, and a footer (empty without totals)."""

    names: Sequence[str]
    heads: Sequence[str]
    right: Sequence[bool]
    rows: Sequence[Sequence[str]]
    footer: Sequence[str]


def cells(
    table: Table, *, bar: str = "█", totals: Table | None = None, others: Table | None = None, label: str = "total"
) -> Cells:
    """Format a table; ``totals`` is what the footer adds up (by default the table itself).

    The footer's ``label`` says what it holds. ``others`` are rows that are not shown one by one but as one line,
    so that the column still adds up.
    """
    whole = totals or table
    columns = table.columns
    widest = max(table["share"], default=0.0) if any(column.name == "share" for column in columns) else 0.0
    texts = [map(_shower(column, widest, bar), table[column.name]) for column in columns]
    shown = list(map(list, zip(*texts, strict=True)))
    if others:
        shown.append(_sums(others, columns, f"({len(others)} others)", bar))
    summed = any(column.total for column in columns)
    footer = _sums(whole, columns, label, bar) if summed else []
    return Cells(
        [column.name for column in columns],
        [_head(column) for column in columns],
        [column.dtype in (int, float) and column.name != "share" for column in columns],
        shown,
        footer,
    )


def printable(text: str) -> str:
    """Text from outside -> the same without characters that would move the cursor or colour the terminal."""
    return text if text.isprintable() else "".join([c if c.isprintable() else "?" for c in text])


def shortened(text: str, most: int) -> str:
    """A long text without its middle."""
    if len(text) <= most:
        return text
    kept = most - len("...")
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def _sums(table: Table, columns: Sequence[Column], label: str, bar: str) -> list[str]:
    line = [_shower(column, 0.0, bar)(table.total(column.name)) if column.total else "" for column in columns]
    return line if columns[0].total else [label, *line[1:]]


def _head(column: Column) -> str:
    """``input_bytes`` -> ``input``: the cells carry the unit."""
    name = column.name.removesuffix("_bytes").removesuffix("_seconds")
    return name.replace("_", "\n")


def _shower(column: Column, widest: float, bar: str) -> Callable[[Any], str]:
    """A column -> what shows a value of it."""
    if column.name == "share":
        return lambda value: f"{value:6.1%} {bar * round(BAR_WIDTH * value / widest) if widest else ''}".rstrip()
    if column.dtype is str:
        return lambda value: printable(shortened(value, WIDEST))
    if column.dtype is bool:
        return lambda value: "yes" if value else ""
    unit = column.unit if column.unit in {"B", "s"} else ""
    if column.unit or column.total:
        return lambda value: human(value, unit)
    return lambda value: human(value, unit) if value else ""  # a layer without a window, a loop nest ...
