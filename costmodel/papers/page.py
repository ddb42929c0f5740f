"""Entries -> LEDGER.md: what each document got right and wrong, as a page."""

from collections.abc import Mapping, Sequence
from typing import Final

from costmodel.papers import Reproduction
from costmodel.papers.ledger import ERRATUM, EXACT, KINDS, ROUNDED, TRUNCATED, UNDERIVABLE, Entry, tally
from costmodel.papers.prints import Report

LISTED: Final = 40
"""A table with more lines than this is summed up by verdict."""

INTRODUCTION: Final = f"""# Ledger

Every figure that three documents print, computed again from the networks and judged. Written by `costmodel
reproduce`, which fails when a verdict changes; `ledger.csv` has every line of it at full precision, and the other
tables here are the documents' own, rebuilt.

- **{EXACT}**: the value under the document's own rule is the print, digit for digit.
- **{ROUNDED}**, **{TRUNCATED}**: it is the print at the printed precision, rounded or cut off.
- **{ERRATUM}**: the print departs from the network that it describes, from the machine that it states or from itself.
  The value under its own rule shows how it came about, the corrected value what it should be, and the effect how far
  the print is from that.
- **{UNDERIVABLE}**: no rule gives it. Accuracies and times on telephones are measured, not computed; the other figures
  follow from nothing that was tried.

In the tables, *own rule* is the value that the document's own way of counting gives, as *how it is counted* says;
*corrected* is the quantity as this project counts it (learned values; multiply-accumulates with the classifier; the
network and the machine as they are stated), so the two may differ although the print is right by its own rule. The
*effect* is the print in relation to the corrected value: a percentage, or from a factor of two on `4x` for four times
too much. MB is 10^6 bytes and MiB is 2^20; the documents write MB for both.
"""


def page(documents: Mapping[str, Reproduction]) -> str:
    """The whole page, document by document."""
    parts = [INTRODUCTION, _summary(documents)]
    for name, (title, reports, entries, _) in documents.items():
        parts.append(f"## {title}\n\n`costmodel reproduce {name}`: {tally(entries)}.\n")
        prices = [_prices(report) for report in reports if report.file.endswith("errata.csv")]
        parts += prices or [_errata(entries)]
        tables = dict.fromkeys(entry.table for entry in entries)
        parts += [_table(table, [entry for entry in entries if entry.table == table]) for table in tables]
    return "\n".join(parts)


def _summary(documents: Mapping[str, Reproduction]) -> str:
    rows = []
    for title, _, entries, _ in documents.values():
        kinds = [entry.kind for entry in entries]
        rows.append([title, str(len(kinds)), *(str(kinds.count(kind)) for kind in KINDS)])
    totals = [str(sum(int(row[column]) for row in rows)) for column in range(1, len(KINDS) + 2)]
    return _grid(["document", "figures", *KINDS], [*rows, ["**all**", *totals]])


def _prices(report: Report) -> str:
    """The errata of a document that prices them, one after another on the way from its headline to the right one."""
    header, *rows = report.cells
    lines = []
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        alone, after = row["effect_alone_seconds"], row["headline_after_seconds"]
        what = f"{row['print']} → {row['right']}" if row["print"] and row["right"] else row["print"] or row["right"]
        parameters = f"{int(row['parameters_effect']):+d}" if row["parameters_effect"] != "0" else ""
        times = [f"{float(alone) * 1e3:+.3f}", f"{float(after) * 1e3:.3f}"] if alone else ["", ""]
        lines.append([row["name"], row["kind"], what, *times, parameters])
    heads = ["name", "kind", "the print → what is right", "ms, alone", "headline after, ms", "parameters"]
    note = "The errata priced: the effect of mending one alone, and the headline as one after another is mended.\n"
    return f"{note}\n{_grid(heads, lines)}"


def _errata(entries: Sequence[Entry]) -> str:
    """The reasons for errata: how many figures each has spoilt, and the first of them."""
    reasons: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == ERRATUM:
            reasons.setdefault(entry.verdict.partition(": ")[2], []).append(entry)
    rows = []
    for why, found in reasons.items():
        first = found[0]
        right = _short(first.corrected, first.unit)
        rows.append([why, str(len(found)), f"{first.table}, {first.item}", first.printed, right, first.effect])
    heads = ["what is wrong", "figures", "such as", "printed", "right", "effect"]
    return f"The errata, each with the first of the figures that it has spoilt.\n\n{_grid(heads, rows)}"


def _table(table: str, entries: Sequence[Entry]) -> str:
    """A table's verdicts; what is exact is only counted."""
    heading = f"### {table[:1].upper()}{table[1:]}\n\n{tally(entries)}.\n"
    listed = [entry for entry in entries if entry.kind in {ROUNDED, TRUNCATED, ERRATUM} or _own(entry)]
    reasons: dict[str, list[Entry]] = {}
    for entry in entries:
        if len(listed) > LISTED or entry not in listed:
            reasons.setdefault(entry.verdict, []).append(entry)
    counted = [
        f"- {len(found)} {verdict}, such as {found[0].item}: {found[0].printed}"
        for verdict, found in reasons.items()
        if found[0].kind != EXACT
    ]
    if len(listed) > LISTED:
        listed = []
    rows = [
        [e.item, e.printed, _short(e.own_rule, e.unit), _short(e.corrected, e.unit), e.effect, e.definition, e.verdict]
        for e in listed
    ]
    heads = ["figure", "printed", "own rule", "corrected", "effect", "how it is counted", "verdict"]
    parts = [heading, *([_grid(heads, rows)] if rows else []), *(["\n".join(counted) + "\n"] if counted else [])]
    return "\n".join(parts)


def _own(entry: Entry) -> bool:
    """Whether something can be said of a figure that follows from no rule."""
    return entry.kind == UNDERIVABLE and bool(entry.own_rule or entry.corrected)


def _short(value: str, unit: str) -> str:
    """A value at no more than seven digits, with its unit; the ledger's CSV has them all."""
    try:
        number = float(value)
    except ValueError:
        return value
    digits = value if len(value) <= 9 or number.is_integer() else f"{number:.7g}"
    return f"{digits} {unit}".rstrip()


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
