"""A printed figure x what it is taken to be -> a verdict; all verdicts together are the ledger.

A figure comes with its value under the document's own rule and, where that differs, with the true value. The verdict
follows from comparing the numbers; that a print is wrong, or follows from nothing, must be said with the reason, and
must then be so.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from costmodel.papers.prints import Report, printed
from costmodel.table import Column

Number = int | float | Fraction
Value = Number | str
Row = Mapping[str, str]

EXACT: Final = "exact"
ROUNDED: Final = "rounds to"
TRUNCATED: Final = "truncated"
ERRATUM: Final = "erratum"
UNDERIVABLE: Final = "not derivable"
DIFFERS: Final = "differs"

KINDS: Final = (EXACT, ROUNDED, TRUNCATED, ERRATUM, UNDERIVABLE)

NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?(?:E[+-]?\d+)?")

VERDICTS: Final = "verdicts.csv"
"""The verdicts on record, one per figure: a change must be meant, and is made there by hand."""

COLUMNS: Final = (
    Column("document", str, "", "whose figure it is"),
    Column("table", str, "", "the table, or where else it is printed"),
    Column("item", str, "", "row and column"),
    Column("printed", str, "", "as printed"),
    Column(
        "own_rule", str, "", "the value under the document's own rule, in the printed unit; empty if no rule is known"
    ),
    Column(
        "corrected",
        str,
        "",
        "the true value of the quantity, in the printed unit; empty if there is none or it cannot be computed",
    ),
    Column("effect", str, "", "how far the print is from the true value, for an erratum that is a number"),
    Column("definition", str, "", "how the value under the document's own rule is made"),
    Column("verdict", str, "", "exact, rounds to, truncated, erratum: why, or not derivable: why"),
)


@dataclass(frozen=True)
class Figure:
    """What a printed figure is taken to be; numbers are in the printed unit, other facts are text.

    ``own`` is the value under the document's own rule, None where none is known; ``true`` the right one, None where it
    is the same or, for an erratum, where there is none. ``erratum`` says why the print is wrong, ``underivable`` why no
    value can be computed. ``form`` is the text around the number where that follows from the network too; ``digits``
    says how many digits of a number such as 15300 are meant.
    """

    own: Value | None
    definition: str
    true: Value | None = None
    erratum: str = ""
    underivable: str = ""
    form: str = ""
    digits: int = 0


class Entry(NamedTuple):
    """A line of the ledger; a row of :data:`COLUMNS`."""

    document: str
    table: str
    item: str
    printed: str
    own_rule: str
    corrected: str
    effect: str
    definition: str
    verdict: str

    @property
    def kind(self) -> str:
        """The verdict without its reason."""
        return self.verdict.partition(":")[0]


def given(why: str) -> Figure:
    """A figure that the document states and no network gives, such as a measured accuracy."""
    return Figure(None, "", underivable=why)


MEASURED: Final = given("an accuracy is measured on trained weights")


def compare(text: str, value: Value | None, *, form: str = "", digits: int = 0) -> str:
    """How a print shows a value: exactly, rounded half up, truncated, or (an empty answer) not at all."""
    if value is None:
        return ""
    if isinstance(value, str):
        return EXACT if text == value else ""
    if not NUMBER.search(text):
        return ""
    if form and form.format(NUMBER.findall(text)[-1]) != text:
        return ""
    number, unit = _number(text, digits)
    exact = Fraction(value)
    if exact == number:
        return EXACT
    if unit * ((exact / unit + Fraction(1, 2)) // 1) == number:
        return ROUNDED
    return TRUNCATED if unit * (exact / unit // 1) == number else ""


def _number(text: str, digits: int) -> tuple[Fraction, Fraction]:
    """The last number of a text, and what one unit of its last digit is worth."""
    number = Decimal(NUMBER.findall(text)[-1].replace(",", ""))
    exponent = number.adjusted() - digits + 1 if digits else number.as_tuple().exponent
    return Fraction(number), Fraction(10) ** int(exponent)


def judge(text: str, figure: Figure) -> str:
    """A printed text and what it is taken to be -> the verdict; what does not hold ``differs``."""
    shown = compare(text, figure.own, form=figure.form, digits=figure.digits)
    if figure.underivable:
        return f"{DIFFERS}: it can be derived" if shown else f"{UNDERIVABLE}: {figure.underivable}"
    if not shown and not (figure.erratum and figure.own is None):
        return f"{DIFFERS}: the rule gives {spell(figure.own)}"
    if not figure.erratum:
        return shown
    true_too = compare(text, figure.true, form=figure.form, digits=figure.digits)
    right = true_too in {EXACT, ROUNDED} or (true_too and true_too == shown)
    return f"{DIFFERS}: the print is right" if right else f"{ERRATUM}: {figure.erratum}"


def spell(value: Value | None) -> str:
    """A value in full: integers and terminating decimals exactly, others to ten digits."""
    if value is None or isinstance(value, str):
        return value or ""
    exact = Fraction(value)
    if exact.denominator == 1:
        return str(exact.numerator)
    number = Decimal(exact.numerator) / Decimal(exact.denominator)
    if Fraction(number) != exact or isinstance(value, float):
        number = Decimal(f"{float(exact):.10g}")
    return f"{number.normalize():f}" if abs(number) >= Decimal("1e-4") else f"{number.normalize():e}"


def _effect(text: str, figure: Figure) -> str:
    """The print in relation to the true value, as ``+12.3%`` or, from a factor of two on, as ``4x``."""
    if not figure.erratum or not isinstance(figure.true, Number) or not NUMBER.search(text) or not figure.true:
        return ""
    ratio = float(_number(text, 0)[0] / Fraction(figure.true))
    if 0.5 < ratio < 2:
        return f"{ratio - 1:+.2%}"
    return f"{ratio:.3g}x" if ratio < 100 else f"{ratio:,.0f}x"


def entry(document: str, table: str, item: str, text: str, figure: Figure) -> Entry:
    """Judge one printed figure."""
    same = figure.true is None and not figure.erratum and not figure.underivable
    true = figure.own if same else figure.true
    return Entry(
        document, table, item, text, spell(figure.own), spell(true), _effect(text, figure), figure.definition,
        judge(text, figure),
    )  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A printed table that is rebuilt: its data, its file in the reports, and what the figures of each column are.

    ``figures`` maps a column to a rule ``(number of the row, printed row) -> Figure``; the other columns name the row.
    """

    document: str
    title: str
    data: str
    file: str
    figures: Mapping[str, Callable[[int, Row], Figure]]

    def rebuild(self) -> "tuple[Report, list[Entry]]":
        """Every cell with a figure computed and judged -> the table under its own rule, and its lines of the ledger.

        A cell that no rule gives is empty in the rebuilt table. Behind the table stand the corrected values of every
        column of which one is known.
        """
        header, *rows = printed(self.data)
        entries: list[Entry] = []
        rebuilt: list[list[str]] = []
        corrected: dict[str, list[str]] = {name: [] for name in header if name in self.figures}
        names = [name for name in header if name not in self.figures]
        labels = self._labels(names, [dict(zip(header, cells, strict=True)) for cells in rows])
        for number, cells in enumerate(rows):
            row = dict(zip(header, cells, strict=True))
            label = labels[number]
            line = []
            for name, text in row.items():
                if name not in self.figures or text in {"", "-"}:
                    line.append(text)
                    if name in self.figures:
                        corrected[name].append("")
                    continue
                figure = self.figures[name](number, row)
                quantity = name.removesuffix("_printed").replace("_", " ")
                made = entry(self.document, self.title, f"{label}: {quantity}", text, figure)
                entries.append(made)
                line.append(restate(text, figure))
                corrected[name].append(made.corrected)
            rebuilt.append(line)
        known = {name: values for name, values in corrected.items() if any(values)}
        grid = [
            [*header, *(f"{name.removesuffix('_printed')}_corrected" for name in known)],
            *([*line, *extra] for line, *extra in zip(rebuilt, *known.values(), strict=True)),
        ]
        return self._report(grid, entries), entries

    def _labels(self, names: Sequence[str], rows: Sequence[Row]) -> list[str]:
        """What the rows are called: their cells without figures, and their number where that is not enough."""
        labels = [" ".join([row[name] for name in names if row[name]]) for row in rows]
        return [
            label
            if label and labels.count(label) == 1
            else f"row {number} {label or next(iter(row.values()))}".rstrip()
            for number, (label, row) in enumerate(zip(labels, rows, strict=True), start=1)
        ]

    def _report(self, grid: list[list[str]], entries: Sequence[Entry]) -> "Report":
        wrong = tuple(
            f"{self.file}: {e.item}: {e.verdict}, printed {e.printed!r}" for e in entries if e.kind == DIFFERS
        )
        return Report(self.file, grid, len(entries), wrong, tally(entries))


def restate(text: str, figure: Figure) -> str:
    """The value under the document's own rule, written in the style of a printed text; empty without a rule."""
    if figure.own is None:
        return ""
    if isinstance(figure.own, str) or not NUMBER.search(text):
        return spell(figure.own)
    _, unit = _number(text, figure.digits)
    half = Fraction(0) if compare(text, figure.own, digits=figure.digits) == TRUNCATED else Fraction(1, 2)
    value = unit * ((Fraction(figure.own) / unit + half) // 1)
    place = list(NUMBER.finditer(text))[-1]
    mantissa, scientific, _ = place.group().partition("E")
    decimals = len(mantissa.partition(".")[2])
    comma = "," if "," in mantissa else ""
    number = Decimal(value.numerator) / Decimal(value.denominator)
    shown = f"{float(number):.{decimals}E}" if scientific else f"{number:{comma}.{decimals}f}"
    return figure.form.format(shown) if figure.form else text[: place.start()] + shown + text[place.end() :]


def changes(document: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    """What is different from the verdicts that are on record: verdicts changed, figures gone, figures new."""
    known = {tuple(cells[1:3]): cells[3] for cells in printed(VERDICTS)[1:] if cells[0] == document}
    found = {(made.table, made.item): made.kind for made in entries}
    if len(found) != len(entries):
        raise ValueError(f"{document}: two figures of the ledger have the same name")
    return tuple(
        f"{document}, {table}, {item}: the verdict is {found.get((table, item), 'gone')!r}, on record is "
        f"{known.get((table, item), 'nothing')!r}"
        for table, item in dict.fromkeys([*known, *found])
        if known.get((table, item)) != found.get((table, item))
    )


def tally(entries: Iterable[Entry]) -> str:
    """How often each verdict stands, in words."""
    counts: dict[str, int] = {}
    for made in entries:
        counts[made.kind] = counts.get(made.kind, 0) + 1
    return ", ".join([f"{counts[kind]} {kind}" for kind in (*KINDS, DIFFERS) if kind in counts])


def report(entries: Sequence[Entry]) -> Report:
    """The ledger as one table."""
    return Report("ledger.csv", [[column.name for column in COLUMNS], *entries], 0, (), tally(entries))
