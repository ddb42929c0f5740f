"""Lines of styled text -> a terminal, in colour; or a pipe, plain. The only module that knows rich.

Tables are laid out here and not by rich, which needs longer for 60 rows than everything else together, and cannot leave
out columns by rank when a terminal is narrow.
"""

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from costmodel.report.cells import Cells, printable

GAP: Final = "  "
MARK: Final = "!"


class Span(NamedTuple):
    """A piece of text in one of rich's styles."""

    text: str
    style: str = ""


Line = Sequence[Span]


def plain(text: str, style: str = "") -> Line:
    """A line in one style."""
    return (Span(text, style),)


def can_draw() -> bool:
    """Whether standard output's encoding has block and line characters."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def room() -> int | None:
    """Characters per line: a terminal's width, or COLUMNS; None for as many as it takes, in a pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def show(lines: Iterable[Line]) -> None:
    """Print the lines, coloured on a terminal that takes colours."""
    if not sys.stdout.isatty():
        sys.stdout.writelines(printable("".join([span.text for span in line])).rstrip() + "\n" for line in lines)
        sys.stdout.flush()
        return
    from rich.console import Console
    from rich.text import Text

    text = Text("\n").join([Text.assemble(*[(printable(span.text), span.style) for span in line]) for line in lines])
    Console(highlight=False).print(text, soft_wrap=True)


def width(text: str) -> int:
    """Terminal cells that a text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    visible = [character for character in text if unicodedata.category(character) not in {"Mn", "Me", "Cf"}]
    return len(visible) + sum(unicodedata.east_asian_width(character) in "WF" for character in visible)


def table(
    cells: Cells, *, drop: Mapping[str, int], marked: Collection[int] = (), available: int | None = None
) -> tuple[list[Line], list[str]]:
    """Lay out a table -> its lines, and the names of the columns that did not fit.

    ``drop`` gives the columns that may be left out, the largest number first; ``marked`` rows begin with ``!``.
    """
    stacks = [head.split("\n") for head in cells.heads]
    body = [*cells.rows, *([cells.footer] if cells.footer else [])]
    widths = [max(width(text) for text in (*stack, *(row[n] for row in body))) for n, stack in enumerate(stacks)]
    chosen, hidden = _fit(cells.names, widths, drop, (available or 10**9) - (2 if marked else 0))
    deep = max(len(stacks[n]) for n in chosen)
    heads = list(zip(*[[""] * (deep - len(stack)) + stack[-deep:] for stack in stacks], strict=True))
    rule = "─" if can_draw() else "-"

    def line(row: Sequence[str], style: str = "", *, mark: bool = False) -> Line:
        padded = [_pad(row[n], widths[n], right=cells.right[n]) for n in chosen]
        margin = [Span(f"{MARK if mark else ' '} ", "bold yellow")] if marked else []
        return [*margin, Span(GAP.join(padded), style)]

    separator = plain(rule * (sum(widths[n] + len(GAP) for n in chosen) - len(GAP) + (2 if marked else 0)), "dim")
    drawn = [line(head, "bold") for head in heads]
    drawn.append(separator)
    drawn += [line(row, mark=number in marked) for number, row in enumerate(cells.rows)]
    if cells.footer:
        drawn += [separator, line(cells.footer, "bold")]
    return drawn, hidden


def _fit(
    names: Sequence[str], widths: Sequence[int], drop: Mapping[str, int], available: int
) -> tuple[list[int], list[str]]:
    """Leave out columns, the highest rank first, until the rest fits."""
    chosen, hidden = list(range(len(names))), []
    for name in sorted((name for name in names if drop.get(name)), key=lambda name: -drop[name]):
        if sum(widths[n] + len(GAP) for n in chosen) - len(GAP) <= available:
            break
        chosen.remove(names.index(name))
        hidden.append(name)
    return chosen, hidden


def _pad(text: str, size: int, *, right: bool) -> str:
    blank = " " * (size - width(text))
    return blank + text if right else text + blank
