"""The ledger: how a print is judged, that no printed figure is left out, and figures worked out by hand.

The networks are written down here once more, as sums over the rows of their papers' tables: nothing is asked of the
package's own networks.
"""

import csv
import functools
import importlib.resources
import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from costmodel import papers
from costmodel.cli import app
from costmodel.papers import hairnet, ledger
from costmodel.papers.ledger import (
    DIFFERS,
    ERRATUM,
    EXACT,
    KINDS,
    ROUNDED,
    TRUNCATED,
    UNDERIVABLE,
    Figure,
    Sheet,
    changes,
    compare,
    entry,
    judge,
    restate,
    spell,
)
from costmodel.papers.prints import printed

quick = settings(max_examples=100, deadline=None)

# Comparing a print with a value


def shows(written: Decimal, unit: Decimal, value: Decimal) -> str:
    """The same question to the decimal module: which of its roundings gives the print?"""
    if value == written:
        return EXACT
    if value.quantize(unit, ROUND_HALF_UP) == written:
        return ROUNDED
    return TRUNCATED if value.quantize(unit, ROUND_DOWN) == written else ""


PLACES = st.integers(0, 6)
STYLES = st.sampled_from(["{}", "{} M", "~{} G", "{}%", "240MB -> {}MB", "(3+32)*32*32 = {}", "{} (total)"])


@quick
@given(st.integers(0, 10**9), PLACES, st.integers(-20, 20), STYLES, st.booleans())
def test_a_print_is_compared_as_the_decimal_module_rounds(number, places, eighths, style, commas):
    unit = Decimal(1).scaleb(-places)
    written = (number * unit).quantize(unit)
    value = abs(written + eighths * unit / 8)
    text = style.format(f"{written:,f}" if commas else f"{written:f}")
    assert compare(text, Fraction(value)) == shows(written, unit, value)


@quick
@given(st.decimals(0, 10**9, places=4), PLACES, st.booleans())
def test_what_is_exhibitis_restated_as_it_is_printed(value, places, truncated):
    unit = Decimal(1).scaleb(-places)
    text = f"about {value.quantize(unit, ROUND_DOWN if truncated else ROUND_HALF_UP):,f} M"
    assert compare(text, Fraction(value)) in {EXACT, ROUNDED, TRUNCATED}
    assert restate(text, Figure(Fraction(value), "")) == text
    shown = restate(f"about {Decimal(0):.{places}f} M", Figure(Fraction(value), ""))
    if value.quantize(unit, ROUND_DOWN):  # otherwise the zero is the value, truncated
        assert shown == f"about {value.quantize(unit, ROUND_HALF_UP):f} M"


@quick
@given(st.decimals(1, 10**12, places=3), st.integers(1, 6), st.sampled_from([ROUND_HALF_UP, ROUND_DOWN]))
def test_digits_are_significant_digits(value, digits, rounding):
    short = Context(prec=digits, rounding=rounding).create_decimal(value)
    text = f"{short:f}"
    up = Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(value)
    expected = EXACT if short == value else ROUNDED if short == up else TRUNCATED
    assert compare(text, Fraction(value), digits=digits) == expected
    if "." not in text:
        assert restate(text, Figure(Fraction(value), "", digits=digits)) == text


@quick
@given(st.integers(0, 10**15), st.integers(0, 4))
def test_scientific_notation_shows_as_many_digits_as_it_has(value, places):
    short = Context(prec=places + 1, rounding=ROUND_HALF_UP).create_decimal(value)
    text = f"{float(short):.{places}E}"
    assert compare(text, value) == (EXACT if short == value else ROUNDED)
    assert restate(text, Figure(value, "")) == text


@pytest.mark.parametrize(
    ("text", "value", "how", "expected"),
    [
        ("2.31E+08", 231211008, {}, ROUNDED), ("2.31E+08", 231000000, {}, EXACT), ("2.30E-06", 2.304e-6, {}, ROUNDED),
        ("2.31E+08", 231999999, {}, TRUNCATED), ("2.31E+08", 229999999, {}, ""), ("0", 0, {}, EXACT),
        ("8294,400", 8294400, {}, EXACT), ("1,248,424 (total)", 1248424, {"form": "{} (total)"}, EXACT),
        ("1,248,424 (sum)", 1248424, {"form": "{} (total)"}, ""), ("3x3 = 9", 9, {"form": "3x4 = {}"}, ""),
        ("15300", 15346, {"digits": 3}, ROUNDED), ("15300", 15346, {}, ""), ("15300", 15351, {"digits": 3}, TRUNCATED),
        ("60 k", Fraction(61706, 1000), {"digits": 1}, ROUNDED), ("60 k", 65, {"digits": 1}, TRUNCATED),
        ("0.5", Fraction(1, 2), {}, EXACT), ("3", Fraction(5, 2), {}, ROUNDED), ("2", Fraction(5, 2), {}, TRUNCATED),
        ("13x13x512", "13x13x512", {}, EXACT), ("13x12x512", "13x13x512", {}, ""), ("4", "4.0", {}, ""),
        ("9", None, {}, ""), ("unknown", 9, {}, ""),
        ("unknown", 9, {"form": "{}"}, ""), ("unknown", 9, {"digits": 2}, ""),
    ],
)  # fmt: skip
def test_a_print_is_compared(text, value, how, expected):
    assert compare(text, value, **how) == expected


@pytest.mark.parametrize(
    ("text", "figure", "expected"),
    [
        ("240MB -> 27MB", Figure(26.4, ""), "240MB -> 26MB"), ("2.31E+08", Figure(2.3e8, ""), "2.30E+08"),
        ("9.99E+08", Figure(1_000_400_000, ""), "1.00E+09"), ("8294,400", Figure(8294400, ""), "8,294,400"),
        ("13x12", Figure("13x13", ""), "13x13"), ("7", Figure(None, ""), ""),
        ("15300", Figure(15351, "", digits=3), "15300"),
        ("15300", Figure(15451, "", digits=3), "15500"), ("1 (total)", Figure(2, "", form="{} (in all)"), "2 (in all)"),
        ("unknown", Figure(Fraction(1, 8), ""), "0.125"), ("94.86%", Figure(Fraction(94857, 1000), ""), "94.86%"),
    ],
)  # fmt: skip
def test_a_figure_is_restated(text, figure, expected):
    assert restate(text, figure) == expected


RIGHT, WHY = f"{DIFFERS}: the print is right", "a reason"


@pytest.mark.parametrize(
    ("text", "figure", "verdict"),
    [
        ("75", Figure(75, ""), EXACT),
        ("290", Figure(290.6, ""), TRUNCATED),
        ("291", Figure(290.6, ""), ROUNDED),
        ("292", Figure(290.6, ""), f"{DIFFERS}: the rule gives 290.6"),
        ("a", Figure("b", ""), f"{DIFFERS}: the rule gives b"),
        ("75", Figure(None, ""), f"{DIFFERS}: the rule gives "),
        ("75", Figure(75, "", 74, erratum=WHY), f"{ERRATUM}: {WHY}"),
        ("75", Figure(None, "", 74, erratum=WHY), f"{ERRATUM}: {WHY}"),
        ("75", Figure(None, "", erratum=WHY), f"{ERRATUM}: {WHY}"),
        ("75", Figure(75, "", "many", erratum=WHY), f"{ERRATUM}: {WHY}"),
        ("75", Figure(73, "", 74, erratum=WHY), f"{DIFFERS}: the rule gives 73"),
        # an erratum whose true value would be printed the same is none
        ("75", Figure(75, "", 75, erratum=WHY), RIGHT),
        ("75", Figure(75.4, "", 74.6, erratum=WHY), RIGHT),
        ("75", Figure(None, "", 75.4, erratum=WHY), RIGHT),
        ("75", Figure(75.9, "", 75.8, erratum=WHY), RIGHT),
        ("a", Figure("a", "", "a", erratum=WHY), RIGHT),
        # but a rounded print is wrong where the true value would have to be cut off
        ("75", Figure(75.4, "", 75.8, erratum=WHY), f"{ERRATUM}: {WHY}"),
        ("75", Figure(None, "", underivable=WHY), f"{UNDERIVABLE}: {WHY}"),
        ("75", Figure(74, "", underivable=WHY), f"{UNDERIVABLE}: {WHY}"),
        ("75", Figure(75, "", underivable=WHY), f"{DIFFERS}: it can be derived"),
        ("75", Figure(75.9, "", underivable=WHY), f"{DIFFERS}: it can be derived"),
    ],
)
def test_a_figure_is_judged(text, figure, verdict):
    assert judge(text, figure) == verdict


@quick
@given(st.fractions(0, 10**6, max_denominator=10**6))
def test_values_are_spelled_in_full(value):
    text = spell(value)
    terminates = 10**30 % value.denominator == 0
    if terminates and len(str(value.numerator * (10**30 // value.denominator)).rstrip("0")) <= 28:
        assert Fraction(text) == value
    else:
        assert abs(Fraction(text) - value) <= value * Fraction(6, 10**10)
        assert len(re.sub(r"e.*|\D", "", text).lstrip("0")) <= 10
    assert ("e" in text) == (0 < value < Fraction(1, 10**4))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("13x13", "13x13"), (0, "0"), (10**40, str(10**40)), (3.0, "3"), (Fraction(6, 3), "2"),
     (0.1, "0.1"), (1 / 3, "0.3333333333"), (Fraction(1, 3), "0.3333333333"), (4.9e-5, "4.9e-5")],
)  # fmt: skip
def test_a_value_is_spelled(value, text):
    assert spell(value) == text


@pytest.mark.parametrize(
    ("text", "true", "effect"),
    [("150", 100, "+50.00%"), ("99", 100, "-1.00%"), ("200", 100, "2x"), ("50", 100, "0.5x"), ("8", 100, "0.08x"),
     ("123,456", 1, "123,456x"), ("4.6MB", 12, "0.383x"), ("150", "many", ""), ("150", None, ""), ("150", 0, ""),
     ("none", 3, "")],
)  # fmt: skip
def test_an_erratum_has_an_effect(text, true, effect):
    made = entry("d", "t", "i", text, Figure(None, "", true, erratum=WHY))
    assert (made.effect, made.corrected) == (effect, spell(true))


def test_a_corrected_value_is_the_own_one_only_where_the_print_is_right():
    def corrected(**how):
        return entry("d", "t", "i", "5", Figure(5, "", **how)).corrected

    assert corrected() == "5"
    assert corrected(true=6) == "6"
    assert corrected(erratum=WHY) == corrected(underivable=WHY) == ""


# A sheet

GRID = [
    ["model", "size", "macs_printed", "note"],
    ["a", "s", "1,000", "x"],
    ["b", "s", "2.5 M", "-"],
    ["b", "s", "", "y"],
    ["", "", "7", "y"],
]
FIGURES = [Figure(1000, "r"), Figure(2.46, "r", 2.4, erratum=WHY), None, Figure(None, "", underivable=WHY)]
SHEET = Sheet("d", "t", "t.csv", "out.csv", {
    "macs_printed": lambda number, row: FIGURES[number] if row["macs_printed"] else pytest.fail("an empty cell"),
    "note": lambda _, row: Figure({"x": "x", "y": "z"}[row["note"]], "n"),
})  # fmt: skip


@pytest.fixture
def reading(monkeypatch):
    """Let the ledger read other tables."""

    def replaced(**tables):
        monkeypatch.setattr(ledger, "printed", lambda file: tables.get(file.partition(".")[0]) or printed(file))

    return replaced


def test_a_sheet_is_rebuilt_under_its_own_rule_and_corrected(reading):
    reading(t=GRID)
    report, entries = SHEET.rebuild()
    wrong = f"{DIFFERS}: the rule gives z"
    assert [(made.item, made.printed, made.verdict) for made in entries] == [
        ("a s: macs", "1,000", EXACT),
        ("a s: note", "x", EXACT),
        ("row 2 b s: macs", "2.5 M", f"{ERRATUM}: {WHY}"),
        ("row 3 b s: note", "y", wrong),
        ("row 4: macs", "7", f"{UNDERIVABLE}: {WHY}"),
        ("row 4: note", "y", wrong),
    ]
    assert report.cells == [
        [*GRID[0], "macs_corrected", "note_corrected"],
        ["a", "s", "1,000", "x", "1000", "x"],
        ["b", "s", "2.5 M", "-", "2.4", ""],
        ["b", "s", "", "z", "", "z"],
        ["", "", "", "z", "", "z"],
    ]
    assert report.compared == 6
    assert report.differences == tuple(
        f"out.csv: {item}: note: {wrong}, printed 'y'" for item in ("row 3 b s", "row 4")
    )
    assert report.verdict == f"2 {EXACT}, 1 {ERRATUM}, 1 {UNDERIVABLE}, 2 {DIFFERS}"


def test_verdicts_that_are_not_on_record_are_named(reading):
    entries = [entry("d", "t", item, "5", Figure(value, "")) for item, value in (("a", 5), ("b", 5.2), ("c", 5))]
    head = ["document", "table", "item", "verdict"]
    same = [["d", "t", "a", EXACT], ["d", "t", "b", ROUNDED], ["d", "t", "c", EXACT], ["e", "t", "z", EXACT]]
    reading(verdicts=[head, *same])
    assert changes("d", entries) == ()
    reading(verdicts=[head, ["d", "t", "a", TRUNCATED], ["d", "u", "b", ROUNDED], same[2]])
    text = "d, {}: the verdict is {!r}, on record is {!r}"
    assert changes("d", entries) == (
        text.format("t, a", EXACT, TRUNCATED),
        text.format("u, b", "gone", ROUNDED),
        text.format("t, b", ROUNDED, "nothing"),
    )
    with pytest.raises(ValueError, match="d: two figures of the ledger have the same name"):
        changes("d", [*entries, entries[0]._replace(verdict=TRUNCATED)])


# Completeness

APPENDIX_LABELS = ["row", "level", "block", "op"]
TABLES = {
    "hairnet_appendix": ("hairnet", "appendix", ["row", "layer_name"]),
    "hairnet_table1": ("hairnet", "table 1", []),
    "mnv2_appendix_rows": ("mobilenetv2-report", "appendices A1 and A2", APPENDIX_LABELS),
    "mnv2_memory_formula": ("mobilenetv2-report", "memory formula", ["version"]),
    "mnv2_table10_accuracy": ("mobilenetv2-report", "table 10", ["network"]),
    "mnv2_table11_macs": ("mobilenetv2-report", "table 11", ["network"]),
    "mnv2_table2_standard": ("mobilenetv2-report", "table 2", ["level"]),
    "mnv2_table3_reduced": ("mobilenetv2-report", "table 3", ["level"]),
    "deck_depthwise_example": ("deck", "depthwise example", ["quantity"]),
    "deck_mobilenet_architecture": ("deck", "MobileNet architecture", []),
    "deck_mobilenet_shares": ("deck", "MobileNet shares", ["quantity"]),
    "deck_mobilenet_table4": ("deck", "MobileNet table 4", ["model"]),
    "deck_mobilenet_table6": ("deck", "MobileNet table 6", ["width_multiplier"]),
    "deck_mobilenet_table7": ("deck", "MobileNet table 7", ["resolution"]),
    "deck_mobilenetv2_architecture": ("deck", "MobileNetV2 architecture", []),
    "deck_mobilenetv2_results": ("deck", "MobileNetV2 results", ["network"]),
    "deck_resource_table": ("deck", "resource table", ["architecture", "input_size"]),
    "deck_shufflenet_architecture": ("deck", "ShuffleNet architecture", ["layer"]),
    "deck_shufflenet_latency": ("deck", "ShuffleNet latency", ["model"]),
    "deck_shufflenet_results": ("deck", "ShuffleNet results", ["model"]),
    "deck_squeezenet_compression": ("deck", "SqueezeNet compression", ["architecture", "approach", "data_type"]),
    "deck_squeezenet_fire": ("deck", "SqueezeNet layers", ["layer"]),
}
"""Each printed table: where the ledger has it, and the columns that only name its rows."""


@functools.cache
def reproduction(name):
    return papers.reproduce(name)


@functools.cache
def found(document, table):
    """A table's lines by item."""
    return {made.item: made for made in reproduction(document).entries if made.table == table}


def lines(document, table, column=""):
    """A table's lines in the order of its cells, of one column if it is named."""
    return [made for item, made in found(document, table).items() if not column or item.endswith(f": {column}")]


def read(file):
    with (importlib.resources.files("costmodel.papers.data") / f"{file}.csv").open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_every_printed_table_is_listed_here():
    data = importlib.resources.files("costmodel.papers.data")
    assert {file.name for file in data.iterdir() if file.name.endswith(".csv")} == {
        "verdicts.csv", *(f"{name}.csv" for name in TABLES)
    }  # fmt: skip
    tables = {(made.document, made.table) for name in papers.PAPERS for made in reproduction(name).entries}
    assert tables == {(document, table) for document, table, _ in TABLES.values()} | {
        (document, "text") for document in papers.PAPERS
    }


@pytest.mark.parametrize("file", TABLES)
def test_every_printed_figure_has_one_line_verbatim(file):
    document, table, labels = TABLES[file]
    cells = [
        (column.removesuffix("_printed").replace("_", " "), text)
        for row in read(file)
        for column, text in row.items()
        if column not in labels and text not in {"", "-"}
    ]
    entries = [made for made in reproduction(document).entries if made.table == table]
    assert [(made.item.rpartition(": ")[2], made.printed) for made in entries] == cells
    assert len({made.item for made in entries}) == len(entries)


@pytest.mark.parametrize("name", papers.PAPERS)
def test_every_verdict_is_one_of_the_five_and_on_record(name):
    made = reproduction(name)
    assert {entry.kind for entry in made.entries} <= set(KINDS)
    assert all(": " in entry.verdict for entry in made.entries if entry.kind in {ERRATUM, UNDERIVABLE})
    assert made.changes == ()
    assert all(report.differences == () for report in made.reports)
    record = [(row["table"], row["item"], row["verdict"]) for row in read("verdicts") if row["document"] == name]
    assert record == [(entry.table, entry.item, entry.kind) for entry in made.entries]


# The networks once more, as sums over the rows of their tables


def million(number):
    return Fraction(number, 10**6)


class Sums:
    """What a network written as a list of convolutions adds up to."""

    def __init__(self):
        self.layers = []  # (MACs, weights, filters, output side) of each convolution and dense layer
        self.side = self.channels = 0

    def conv(self, filters, kernel, side=None, *, groups=1, channels=None):
        """A convolution to a map of the given side; the next one reads its result."""
        self.side = side or self.side
        count = kernel * kernel * (channels or self.channels) // groups * filters
        self.layers.append((count * self.side**2, count, filters, self.side))
        self.channels = filters
        return self

    @property
    def macs(self):
        return sum(macs for macs, *_ in self.layers)

    @property
    def weights(self):
        return sum(weights for _, weights, *_ in self.layers)

    @property
    def filters(self):
        return sum(filters for *_, filters, _ in self.layers)

    @property
    def outputs(self):
        return sum(filters * side**2 for *_, filters, side in self.layers)


def network(channels=3):
    made = Sums()
    made.channels = channels
    return made


def alexnet(*, groups=2, side=55):
    made = network().conv(96, 11, side).conv(256, 5, 27, groups=groups).conv(384, 3, 13)
    made.conv(384, 3, groups=groups).conv(256, 3, groups=groups)
    made.channels *= 6 * 6
    return made.conv(4096, 1, 1).conv(4096, 1).conv(1000, 1)


def vgg(*blocks):
    made = network()
    for number, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512, 512), strict=True)):
        for _ in range(count):
            made.conv(filters, 3, 224 >> number)
    made.channels *= 7 * 7
    return made.conv(4096, 1, 1).conv(4096, 1).conv(1000, 1)


def resnet(*blocks):
    """Of basic blocks."""
    made, sums = network().conv(64, 7, 112), 0
    for number, count in enumerate(blocks):
        for block in range(count):
            before, filters = made.channels, 64 << number
            made.conv(filters, 3, 56 >> number).conv(filters, 3)
            if block == 0 and number:
                made.conv(filters, 1, channels=before)
            sums += filters * made.side**2
    return made.conv(1000, 1, 1), sums


def densenet():
    """Densenet-121: growth 32; its batch norms stand before the convolutions."""
    made, channels, norms = network().conv(64, 7, 112), 64, 64
    for number, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            norms += channels + 128
            made.conv(128, 1, 56 >> number, channels=channels).conv(32, 3)
            channels += 32
        norms += channels  # of the transition, or the last one
        if number < 3:
            made.conv(channels // 2, 1, channels=channels)
            channels //= 2
    made.channels = channels
    return made.conv(1000, 1, 1), norms


INCEPTIONS = [
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
]  # fmt: skip
"""3a to 5b: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection."""


def googlenet(sides=(112, 56, 28, 14, 7)):
    first, second, *rest = sides
    made = network().conv(64, 7, first).conv(64, 1, second).conv(192, 3)
    for number, (one, reduce3, three, reduce5, five, projection) in enumerate(INCEPTIONS):
        before = made.channels
        made.conv(one, 1, rest[(number > 1) + (number > 6)])
        made.conv(reduce3, 1, channels=before).conv(three, 3)
        made.conv(reduce5, 1, channels=before).conv(five, 5).conv(projection, 1, channels=before)
        made.channels = one + three + five + projection
    return made.conv(1000, 1, 1)


def auxiliary_head(channels):
    """1x1 to 128, 2048 to 1024, 1024 to 1000, with biases."""
    return channels * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000


FIRES = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]


def squeezenet():
    made = network().conv(96, 7, 111)
    for number, (squeeze, expand) in enumerate(FIRES):
        made.conv(squeeze, 1, 55 if number < 3 else 27 if number < 7 else 13)
        made.conv(expand, 1).conv(expand, 3, channels=squeeze)
        made.channels = 2 * expand
    return made.conv(1000, 1, 13)


SEPARABLE = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet(width=1, size=224, *, dense=False):
    side = size // 2
    made = network().conv(int(32 * width), 3, side)
    for filters, stride in SEPARABLE:
        side //= stride
        if not dense:
            made.conv(made.channels, 3, side, groups=made.channels)
        made.conv(int(filters * width), 1 + 2 * dense, side)
    return made.conv(1000, 1, 1)


def shufflenet(groups=3, out=240, stem=24):
    made = network().conv(stem, 3, 112)
    for stage, (out_, units) in enumerate([(out, 4), (2 * out, 8), (4 * out, 4)]):
        side, before = 28 >> stage, made.channels
        for unit in range(units):
            first = unit == 0
            inner = ceil(Fraction(out_, 4 * groups)) * groups
            made.conv(inner, 1, side << first, groups=1 if first and stage == 0 else groups)
            made.conv(inner, 3, side, groups=inner).conv(out_ - before * first, 1, groups=groups)
            made.channels = out_
    return made.conv(1000, 1, 1)


BOTTLENECKS = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
EIGHTEEN = [(t, c, n + (c == 32), s) for t, c, n, s in BOTTLENECKS]
WIDER = [(1, 24, 1, 1), (6, 32, 2, 2), (6, 48, 3, 2), (6, 88, 4, 2), (6, 136, 3, 1), (6, 224, 3, 2), (6, 448, 1, 1)]
REDUCED = [(6, 64, 1, 1), (6, 64, 3, 1), (6, 96, 1, 2), (6, 96, 2, 1), (6, 160, 1, 1), (6, 160, 2, 1)]


def mobilenet_v2(rows, stem=32, head=1280, size=224, classes=1000):
    side = size // 2
    made = network().conv(stem, 3, side)
    for expansion, filters, repeats, stride in rows:
        for block in range(repeats):
            wide = expansion * made.channels
            if expansion > 1:
                made.conv(wide, 1, side)
            side //= 1 if block else stride
            made.conv(wide, 3, side, groups=wide).conv(filters, 1)
    return made.conv(head, 1).conv(classes, 1, 1)


def learned(made, classes=1000):
    """Weights, 2 values per channel of each batch norm, biases of the classifier."""
    return made.weights + 2 * (made.filters - classes) + classes


def stored(made, classes=1000):
    return learned(made, classes) + 2 * (made.filters - classes)


def with_biases(made):
    return made.weights + made.filters


def burden(made, pools):
    """Convnet-burden: MACs + a bias per output + 2 per ReLU + 2 * stride^2 per pooled value, all pools of stride 2."""
    return made.macs + made.outputs + 2 * (made.outputs - 1000) + 8 * pools


def test_the_sums_are_the_public_figures():
    assert [with_biases(made) for made in (alexnet(), alexnet(groups=1), vgg(2, 2, 3, 3, 3), squeezenet())] == [
        60_965_224, 62_378_344, 138_357_544, 1_248_424,
    ]  # fmt: skip
    assert [learned(made) for made in (mobilenet(), mobilenet_v2(BOTTLENECKS), resnet(2, 2, 2, 2)[0])] == [
        4_231_976, 3_504_872, 11_689_512,
    ]  # fmt: skip
    assert with_biases(googlenet()) + auxiliary_head(512) + auxiliary_head(528) == 13_378_280
    assert alexnet().macs == 724_406_816


RESNET_18, RESNET_34 = resnet(2, 2, 2, 2), resnet(3, 4, 6, 3)
DENSE, NORMS = densenet()


@pytest.mark.parametrize(
    ("name", "values", "parameters"),
    [
        ("AlexNet", 60_965_224, 60_965_224),
        ("VGG-16", 138_357_544, 138_357_544),
        ("VGG-19", 143_667_240, 143_667_240),
        ("GoogLeNet", 13_378_280, 6_998_552),
        ("ResNet-18", 11_689_512 + 2 * 4_800, 11_689_512),
        ("ResNet-34", 21_797_672 + 2 * 8_512, 21_797_672),
        ("DenseNet-121", 7_978_856 + 2 * 41_824, 7_978_856),
    ],
)
def test_resource_table_memory_is_mebibytes_of_what_is_stored(name, values, parameters):
    line = found("deck", "resource table")[f"{name} 224x224: param memory"]
    assert Fraction(4 * values, 2**20) == pytest.approx(Fraction(line.own_rule), rel=1e-9)
    assert line.corrected == spell(million(4 * parameters))
    assert f"{values} stored values" in line.definition
    assert line.kind == ROUNDED


@pytest.mark.parametrize(
    ("name", "count", "short", "parameters"),
    [
        ("SqueezeNet", 1_248_424, "1.2", 1_248_424),
        ("MobileNet", mobilenet().weights, "4.2", 4_231_976),
        ("ShuffleNet", shufflenet(out=360).weights, "3.4", learned(shufflenet(out=360))),
        ("MobileNet-V2", mobilenet_v2(BOTTLENECKS).weights, "3.4", 3_504_872),
    ],
)
def test_resource_table_memory_of_mobile_networks_is_four_bytes_of_a_short_count(name, count, short, parameters):
    line = found("deck", "resource table")[f"{name} 224x224: param memory"]
    assert (line.own_rule, line.kind) == (str(4 * Decimal(short)), EXACT)
    assert line.corrected == spell(million(4 * parameters))
    assert str(count) in line.definition


VGG_POOLS = sum(filters * (112 >> number) ** 2 for number, filters in enumerate((64, 128, 256, 512, 512)))
RESNET_EXTRAS = 8 * 64 * 56**2 + 512 * 49 + 1000  # the pool, the mean, the biases of the classifier


def resnet_burden(blocks):
    made, sums = resnet(*blocks)
    relus = 2 * 64 * 112**2 + sum(4 * n * (64 << i) * (56 >> i) ** 2 for i, n in enumerate(blocks))
    return made.macs + RESNET_EXTRAS + sums + relus


def densenet_burden():
    relus = 64 * 112**2
    channels, pools = 64, 8 * 64 * 56**2
    for number, count in enumerate((6, 12, 24, 16)):
        pixels = (56 >> number) ** 2
        relus += sum((channels + 32 * layer + 128) * pixels for layer in range(count))
        channels += 32 * count
        relus += channels * pixels
        channels //= 2 if number < 3 else 1
        pools += 8 * channels * pixels // 4 if number < 3 else 0
    return DENSE.macs + 2 * relus + pools + 1024 * 49 + 1000


@pytest.mark.parametrize(
    ("name", "own", "true", "kind"),
    [
        ("AlexNet", burden(alexnet(), 27**2 * 96 + 13**2 * 256 + 6**2 * 256), alexnet().macs, ROUNDED),
        ("VGG-16", burden(vgg(2, 2, 3, 3, 3), VGG_POOLS), vgg(2, 2, 3, 3, 3).macs, ROUNDED),
        ("VGG-19", burden(vgg(2, 2, 4, 4, 4), VGG_POOLS), vgg(2, 2, 4, 4, 4).macs, ROUNDED),
        ("ResNet-18", resnet_burden((2, 2, 2, 2)), RESNET_18[0].macs, ROUNDED),
        ("ResNet-34", resnet_burden((3, 4, 6, 3)), RESNET_34[0].macs, ROUNDED),
        ("DenseNet-121", densenet_burden(), DENSE.macs, ROUNDED),
        ("SqueezeNet", burden(alexnet(), 27**2 * 96 + 13**2 * 256 + 6**2 * 256), squeezenet().macs, ERRATUM),
        ("MobileNet", mobilenet().macs, mobilenet().macs, UNDERIVABLE),
        ("ShuffleNet", shufflenet(out=360).macs, shufflenet(out=360).macs, ROUNDED),
        ("MobileNet-V2", 300_774_272, 300_774_272, TRUNCATED),
    ],
)
def test_resource_table_operations(name, own, true, kind):
    line = found("deck", "resource table")[f"{name} 224x224: macs"]
    unit = {"M": 10**6, "G": 10**9}[line.printed[-1]]
    assert (line.own_rule, line.corrected) == (spell(Fraction(own, unit)), spell(Fraction(true, unit)))
    assert line.kind == kind


# The report on MobileNetV2

CONVOLUTIONS = [
    (32, 3, 32, 3, 2, False),
    (16, 32, 192, 1, 1, False), (16, 192, 192, 3, 1, True), (16, 192, 64, 1, 1, False),
    (16, 64, 384, 1, 1, False), (16, 384, 384, 3, 1, True), (16, 384, 64, 1, 1, False),
    (16, 64, 384, 1, 1, False), (16, 384, 384, 3, 2, True), (8, 384, 96, 1, 1, False),
    (8, 96, 576, 1, 1, False), (8, 576, 576, 3, 1, True), (8, 576, 96, 1, 1, False),
    (8, 96, 576, 1, 1, False), (8, 576, 576, 3, 1, True), (8, 576, 160, 1, 1, False),
    (8, 160, 960, 1, 1, False), (8, 960, 960, 3, 1, True), (8, 960, 160, 1, 1, False),
    (8, 160, 256, 1, 1, False),
]  # fmt: skip
"""Side of the input, channels, filters, kernel, stride, depthwise: one block per row of table 3."""

SLIPPED = 10  # the row that the print leaves at the resolution before the stride


@pytest.mark.parametrize("number", range(1, 21))
def test_appendices_of_the_report(number):
    side, channels, filters, kernel, stride, depthwise = CONVOLUTIONS[number - 1]
    output = side // stride
    shown = 2 * side if number == SLIPPED else side  # the side that the print counts with
    weights = kernel * kernel * (1 if depthwise else channels) * filters
    dense = kernel * kernel * channels * filters
    own = {
        "A1 size": shown**2 * channels, "A1 memory": (channels + filters) * shown**2,
        "A2 filter": dense, "A2 macs": dense * shown**2,
    }  # fmt: skip
    true = {
        "A1 size": side**2 * channels, "A1 memory": channels * side**2 + filters * output**2,
        "A2 filter": weights, "A2 macs": weights * output**2,
    }  # fmt: skip
    texts = {
        "A1 size": f"{shown}x{shown}x{channels} = {own['A1 size']:,}",
        "A1 memory": f"({channels}+{filters})*{shown}*{shown} = {own['A1 memory']:,}",
        "A2 filter": f"{dense:,}".replace("8,294,400", "8294,400"),
        "A2 macs": f"{own['A2 macs']:,}",
    }
    items = {item: made for item, made in found("mobilenetv2-report", TABLES["mnv2_appendix_rows"][1]).items()
             if item.startswith(f"{number} ")}  # fmt: skip
    plain = {"stride": stride, "Lr": shown, "Lc": shown, "Ni": channels, "No": filters, "Fr": kernel, "Fc": kernel}
    assert len(items) == len(plain) + len(texts)
    for item, made in items.items():
        column = item.rpartition(": ")[2]
        if column in plain:
            right = side if column in {"Lr", "Lc"} else plain[column]
            assert (made.printed, made.own_rule, made.corrected) == (*[str(plain[column])] * 2, str(right))
            assert made.kind == (EXACT if right == plain[column] else ERRATUM)
        elif made.printed == f"{shown}x{shown}x{channels}":  # the print multiplies only where the size is new
            assert (made.own_rule, made.corrected) == (made.printed, f"{side}x{side}x{channels}")
        else:
            assert (made.printed, made.own_rule, made.corrected) == (
                texts[column], str(own[column]), str(true[column]),
            )  # fmt: skip
            assert made.kind == (EXACT if own[column] == true[column] else ERRATUM)
            assert ("half the resolution" in made.verdict) == (stride == 2 and column in {"A1 memory", "A2 macs"})
            assert ("halved the map" in made.verdict) == (number == SLIPPED and column != "A2 filter")
            assert ("one channel" in made.verdict) == (depthwise and column.startswith("A2"))


def test_memory_formula_of_the_report():
    reduced, standard = mobilenet_v2(REDUCED, head=256, size=32, classes=10), mobilenet_v2(EIGHTEEN)
    lines_ = found("mobilenetv2-report", "memory formula")
    # 384 channels in and out of the 3x3 at 16x16, 160 x 960 of the last level; the normalised 96 channels at 112x112,
    # 1280 x 1000 of the classifier
    for version, made, classes, filter_, map_ in (
        ("reduced", reduced, 10, 160 * 960, 2 * 384 * 16 * 16),
        ("standard", standard, 1000, 1280 * 1000, 2 * 96 * 112 * 112),
    ):
        count = learned(made, classes)
        for name in ("params", "param gradients"):
            line = lines_[f"{version}: {name}"]
            assert (line.own_rule, line.corrected, line.kind) == ("", str(count), UNDERIVABLE)
            assert f"{made.weights - classes * made.layers[-2][2]:,};" in line.verdict
            assert line.verdict.endswith(f" {stored(made, classes):,}")
        assert (lines_[f"{version}: filter map"].corrected, lines_[f"{version}: feature map"].corrected) == (
            str(filter_), str(map_),
        )  # fmt: skip
        total = 4 * (2 * count + map_ + filter_)
        assert lines_[f"{version}: printed result"].corrected == str(total)
        assert lines_[f"{version}: text claim"].corrected == spell(million(total))
    assert lines_["reduced: feature map"].kind == EXACT
    assert lines_["standard: feature map"].kind == ERRATUM
    assert lines_["reduced: printed result"].own_rule == str(4 * (2 * 709_120 + 196_608 + 2_983_984)) == "18395328"
    assert lines_["standard: printed result"].own_rule == str(4 * (2 * 4_278_048 + 196_608 + 2_983_984)) == "46946752"
    assert (lines_["reduced: text claim"].own_rule, lines_["standard: text claim"].own_rule) == (
        "4.598832",
        "46.946752",
    )


def test_table_11_of_the_report():
    convolutions = sum(macs for macs, *_ in vgg(2, 2, 3, 3, 3).layers[:-3])
    loose = alexnet(side=54)
    expected = {
        "MobileNetV2": (million(9 * 960 * 960 * 64), million(mobilenet_v2(EIGHTEEN).macs), ERRATUM),
        "AlexNet": (million(loose.macs), million(loose.macs), TRUNCATED),
        "VGG-16": (million(convolutions), million(15_470_264_320), ROUNDED),
        "ResNet-18": (None, million(RESNET_18[0].macs), UNDERIVABLE),
    }
    made = {line.item.partition(":")[0]: (line.own_rule, line.corrected, line.kind)
            for line in lines("mobilenetv2-report", "table 11")}  # fmt: skip
    assert made == {name: (spell(own), spell(true), kind) for name, (own, true, kind) in expected.items()}


def test_the_layer_with_the_most_macs_is_a_pointwise_one():
    reduced, standard = mobilenet_v2(REDUCED, head=256, size=32, classes=10), mobilenet_v2(EIGHTEEN)
    # 160 to 960 and back at 8x8; 320 to 1280 at 7x7, just before 16 to 96 at 112x112
    assert max(reduced.layers)[0] == 160 * 960 * 64
    assert sorted(macs for macs, *_ in standard.layers)[-2:] == [16 * 96 * 112**2, 320 * 1280 * 49]
    text = found("mobilenetv2-report", "text")
    corrected = {item.partition(", ")[2]: line.corrected for item, line in text.items() if item.startswith("most MACs")}
    assert corrected == {
        "reduced: where": "1x1 of level3.identity0", "reduced: level": "last level",
        "standard: where": "1x1 of head", "standard: level": "head",
    }  # fmt: skip


# The lecture deck

SHARES = {"fire6": (1, 0.5, 0.33), "fire7": (0.5, 1, 0.33), "fire8": (1, 0.5, 0.30), "fire9": (0.5, 1, 0.30)}


def test_squeezenet_before_and_after_pruning():
    table = found("deck", "SqueezeNet layers")
    before = {"conv1": 7 * 7 * 3 * 96 + 96, "conv10": 512 * 1000 + 1000}
    after = {"conv1": before["conv1"], "conv10": ceil(Fraction(20, 100) * 512 * 1000) + 1000}
    channels = 96
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        name = f"fire{number}"
        weights = (channels * squeeze, squeeze * expand, 9 * squeeze * expand)
        kept = [Fraction(share).limit_denominator(100) for share in SHARES.get(name, (1, 1, 0.33))]
        biases = squeeze + 2 * expand
        before[name] = sum(weights) + biases
        after[name] = sum(ceil(share * count) for share, count in zip(kept, weights, strict=True)) + biases
        channels = 2 * expand
    for name in before:
        assert (
            table[f"{name}: params before"].own_rule == table[f"{name}: params before"].corrected == str(before[name])
        )
        assert table[f"{name}: params after"].own_rule == table[f"{name}: params after"].corrected == str(after[name])
    assert (table["total: params before"].own_rule, table["total: params after"].own_rule) == ("1248424", "421098")
    assert (sum(before.values()), sum(after.values())) == (1_248_424, 421_098)
    assert {line.kind for item, line in table.items() if "params" in item} == {EXACT}
    assert [item for item, line in table.items() if line.kind == ERRATUM] == [
        "input image: output size", "fire8: e3x3 sparsity", "maxpool8: output size", "conv10: s1x1 sparsity",
    ]  # fmt: skip


def test_squeezenet_on_disk():
    table = found("deck", "SqueezeNet compression")
    size, times = (table[f"SqueezeNet (ours) None 32 bit: {column}"] for column in ("size", "reduction"))
    assert Fraction(size.own_rule) == pytest.approx(Fraction(4 * 1_248_424, 2**20), rel=1e-9)
    assert size.corrected == "4.993696"
    assert Fraction(times.own_rule) == pytest.approx(Fraction(60_965_224, 1_248_424), rel=1e-9)
    quotients = [line.definition for line in table.values() if " / " in line.definition and "MB" in line.definition]
    assert quotients == [f"240 MB / {after} MB = {240 / after:.1f}" for after in (48, 27, 6.9)] + [
        f"240 MB / {after} MB = {240 / after:.1f}" for after in (0.66, 0.47)
    ]


def test_mobilenet_shares():
    made = mobilenet()
    stem = 27 * 32
    depthwise, pointwise = made.layers[1:-1:2], made.layers[2:-1:2]
    assert stem + sum(w for _, w, *_ in depthwise + pointwise) + 1024 * 1000 == made.weights == 4_209_088
    macs, weights = (sum(layer[column] for layer in pointwise) for column in (0, 1))
    share = found("deck", "MobileNet shares")
    for name, own, true in (
        ("MACs", Fraction(100 * macs, made.macs), Fraction(100 * macs, made.macs)),
        ("parameters", Fraction(100 * weights, 4_209_088), Fraction(100 * weights, 4_231_976)),
    ):
        line = share[f"Conv 1x1 share of {name}: printed"]
        assert (line.own_rule, line.corrected, line.kind) == (spell(own), spell(true), ROUNDED)


WIDTHS = {f"{width} MobileNet-224": mobilenet(width) for width in (1.0, 0.75, 0.5, 0.25)}
SIZES = {f"1.0 MobileNet-{size}": mobilenet(size=size) for size in (224, 192, 160, 128)}
CONV_MOBILENET = mobilenet(dense=True)


@pytest.mark.parametrize(
    ("table", "name", "made", "macs"),
    [
        *[("MobileNet table 6", name, made, made.macs) for name, made in WIDTHS.items()],
        *[("MobileNet table 7", name, made, made.macs) for name, made in SIZES.items()],
        ("MobileNet table 4", "MobileNet", mobilenet(), mobilenet().macs),
        ("MobileNet table 4", "Conv MobileNet", CONV_MOBILENET, CONV_MOBILENET.macs - 1024 * 1000),
    ],
)
def test_mobilenet_tables(table, name, made, macs):
    line = found("deck", table)[f"{name}: mult adds M"]
    assert (line.own_rule, line.corrected) == (spell(million(macs)), spell(million(made.macs)))
    assert line.kind == (TRUNCATED if "160" in name else ROUNDED)
    line = found("deck", table)[f"{name}: params M"]
    assert (line.own_rule, line.corrected) == (spell(million(made.weights)), spell(million(learned(made))))


COMPLEXITIES = {
    1: (144, 142_502_976, 143_078_976),
    2: (200, 140_036_512, 140_836_512),
    3: (240, 136_500_672, 137_460_672),
    4: (272, 133_251_776, 134_339_776),
    8: (384, 136_829_952, 138_365_952),
}
"""Groups -> channels of stage 2, MACs without and with the classifier."""


@pytest.mark.parametrize("groups", COMPLEXITIES)
def test_shufflenet_complexities(groups):
    out, convolutions, with_classifier = COMPLEXITIES[groups]
    made = shufflenet(groups, out)
    assert (made.macs - 4 * out * 1000, made.macs) == (convolutions, with_classifier)
    line = found("deck", "ShuffleNet architecture")[f"Complexity (printed): g{groups}"]
    assert (line.own_rule, line.corrected) == (spell(million(convolutions)), spell(million(with_classifier)))
    assert line.kind == ROUNDED


SQUEEZES = sum(units * 2 * out * out // 16 for units, out in ((4, 480), (8, 960), (4, 1920)))


@pytest.mark.parametrize(
    ("table", "item", "macs", "kind"),
    [
        ("results", "ShuffleNet 2x (g = 3): complexity mflops", shufflenet(3, 480, 48).macs, ROUNDED),
        (
            "results",
            "ShuffleNet 2x (with SE, g = 3): complexity mflops",
            shufflenet(3, 480, 48).macs + SQUEEZES,
            ROUNDED,
        ),
        ("results", "ShuffleNet 1.5x (g = 3): complexity mflops", shufflenet(3, 360, 24).macs, ROUNDED),
        ("results", "ShuffleNet 1x (g = 8): complexity mflops", 138_365_952, UNDERIVABLE),
        ("results", "ShuffleNet 0.5x (g = 4): complexity mflops", shufflenet(4, 136, 12).macs, UNDERIVABLE),
        ("results", "0.5 MobileNet-224: complexity mflops", mobilenet(0.5).macs, ROUNDED),
        ("latency", "ShuffleNet 0.5x (g = 3): flops", shufflenet(3, 120, 12).macs, ROUNDED),
        ("latency", "ShuffleNet 1x (g = 3): flops", 137_460_672, UNDERIVABLE),
        ("latency", "AlexNet [22]: flops", alexnet(side=54).macs, TRUNCATED),
    ],
)
def test_shufflenet_results(table, item, macs, kind):
    line = found("deck", f"ShuffleNet {table}")[item]
    assert (line.own_rule, line.corrected, line.kind) == (*[spell(million(macs))] * 2, kind)


SHUFFLES = [shufflenet(3, 360, 24), shufflenet(3, 480, 48)]
NASNET = 5_289_978  # learned values of the public model; its 36,738 running statistics are as many as gammas and betas


@pytest.mark.parametrize(
    ("name", "weights", "parameters", "macs", "kinds"),
    [
        ("MobileNetV1", 4_209_088, 4_231_976, mobilenet().macs, (ROUNDED, UNDERIVABLE)),
        ("ShuffleNet (1.5)", SHUFFLES[0].weights, learned(SHUFFLES[0]), SHUFFLES[0].macs, (ROUNDED, ROUNDED)),
        ("ShuffleNet (x2)", SHUFFLES[1].weights, learned(SHUFFLES[1]), SHUFFLES[1].macs, (ROUNDED, ROUNDED)),
        ("NasNet-A", NASNET - 36_738 - 1000, NASNET, None, (ROUNDED, ROUNDED)),
        ("MobileNetV2", mobilenet_v2(BOTTLENECKS).weights, 3_504_872, 300_774_272, (TRUNCATED, TRUNCATED)),
        ("MobileNetV2 (1.4)", None, 6_108_776, mobilenet_v2(WIDER, 48, 1792).macs, (ERRATUM, UNDERIVABLE)),
    ],
)
def test_mobilenet_v2_results(name, weights, parameters, macs, kinds):
    table = found("deck", "MobileNetV2 results")
    params, madds = table[f"{name}: params"], table[f"{name}: madds"]
    assert (params.own_rule, params.corrected) == (
        spell(weights and million(weights)), spell(million(parameters)),
    )  # fmt: skip
    if macs:
        assert madds.own_rule == madds.corrected == spell(million(macs))
    assert (params.kind, madds.kind) == kinds


def test_the_wider_mobilenet_v2_has_not_the_printed_parameters():
    made = mobilenet_v2(WIDER, 48, 1792)
    assert (learned(made), stored(made)) == (6_108_776, 6_156_712)
    verdict = found("deck", "MobileNetV2 results")["MobileNetV2 (1.4): params"].verdict
    assert verdict.endswith("6,156,712")


def test_statements_of_the_deck():
    # 299: 150, 75 after the first pool, 37, 18, 9, where a pool keeps a window that hangs over the edge
    text = found("deck", "text")
    line = text["GoogLeNet at 299x299: FLOPs"]
    assert line.own_rule == spell(2 * Fraction(299, 224) ** 2)
    assert line.corrected == spell(Fraction(googlenet((150, 75, 37, 18, 9)).macs, 10**9))
    lenet = (25 * 6 + 6) + (25 * 6 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
    assert text["LeNet-5: parameters"].own_rule == spell(Fraction(lenet, 1000)) == "61.706"
    example = found("deck", "depthwise example")
    assert [line.own_rule for line in example.values()] == [str(3 * 5 * 5), str(3 * 5 * 5 * 12 * 12)]


# HairNet: who is to blame for a cell

STAGES = [(2, 64), (3, 128), (3, 256), (3, 512), (2, 1000)]
COLUMNS = ["in map mb", "out map mb", "param mb", "ops", "in map loc", "out map loc", "param loc", "transfer time",
           "compute time", "total time"]  # fmt: skip


def general(value):
    """Rule H10."""
    if value == 0:
        return "0"
    text = f"{float(value):.2E}" if value < Fraction(1, 10**4) or value >= 10**8 else f"{float(value):.6f}"
    return text if "E" in text else text.rstrip("0").rstrip(".")


def appendix(*, host=10**9, dense=True, pools=2, last_pool=True, statistics=False):
    """The rows under rules H1 to H10, by kind and place: their ten texts; each of the errata can be mended."""
    rows = {}

    def row(place, read, written, values, operations, rate):
        sizes = [4 * read, 4 * written, 4 * values]
        outside = [size for size, map_ in zip(sizes, (True, True, False), strict=True) if not map_ or size > 10**6]
        transfer, compute = Fraction(sum(outside), 10**9), Fraction(operations, rate)
        homes = ["external" if size > 10**6 else "internal" for size in sizes[:2]]
        numbers = [general(million(size)) for size in sizes]
        times = [general(time) for time in (transfer, compute, transfer + compute)]
        rows[place] = [*numbers, general(operations), *homes, "external", *times]

    def norm(place, elements, channels):
        row(("norm", place), elements, elements, channels * (4 if statistics else 2), 5 * elements, host)

    def pool(place, elements):
        row(("pool", place), elements, Fraction(elements, 4), 0, elements, host)

    side, channels = 224, 32
    row(("conv", "stem"), 3 * side**2, 32 * side**2, 27 * 32, 2 * 27 * 32 * side**2, 10**12)
    norm("stem", 32 * side**2, 32)
    pool("stem", 32 * side**2)
    for stage, (blocks, filters) in enumerate(STAGES, start=1):
        side //= 2
        for block in range(blocks):
            place = (stage, block)
            elements, made = channels * side**2, filters * side**2
            row(("depthwise", place), elements, elements, 9 * channels,
                2 * 9 * elements * (channels if dense else 1), 10**12)  # fmt: skip
            norm((place, 1), elements, channels)
            row(("pointwise", place), elements, made, channels * filters, 2 * channels * made, 10**12)
            norm((place, 2), made, filters)
            channels = filters
        for again in range(pools if stage < 5 else int(last_pool)):
            pool((stage, again), channels * side**2)
    row(("mean", ""), 49_000, 1000, 0, 49_000, host)
    row(("softmax", ""), 1000, 1000, 0, 3000, host)
    return rows


MENDED = {
    "host-at-1-gflops": {"host": 10**10},
    "dense-depthwise": {"dense": False},
    "repeated-pools": {"pools": 1},
    "pool-before-gap": {"last_pool": False},
    "batch-norm-statistics": {"statistics": True},
}


@pytest.fixture(scope="module")
def blame():
    """Place and column -> line of the ledger, and the errata without which the text would be another."""
    own = appendix()
    others = {name: appendix(**how) for name, how in MENDED.items()}
    entries = iter(lines("hairnet", "appendix"))
    return {
        (*place, column): (
            next(entries), text,
            [name for name, other in others.items() if place not in other or other[place][number] != text],
        )
        for place, texts in own.items()
        for number, (column, text) in enumerate(zip(COLUMNS, texts, strict=True))
    }  # fmt: skip


def test_a_cell_is_blamed_on_what_would_change_it(blame):
    assert len(blame) == 660
    for (kind, place, column), (line, text, names) in blame.items():
        assert line.item.endswith(f": {column}"), (kind, place)
        assert line.printed == text, line.item
        assert line.verdict == f"{ERRATUM}: {', '.join(names)}" if names else line.kind in {EXACT, ROUNDED}, line.item


def test_errata_spoil_the_cells_that_they_must(blame):
    repeated = {place for kind, place, _ in blame if kind == "pool" and place != "stem" and place[1] == 1}
    assert repeated == {(stage, 1) for stage in (1, 2, 3, 4)}
    for (kind, place, column), (line, _, _) in blame.items():
        names = set(line.verdict.partition(": ")[2].split(", ")) - {""}
        host = kind in {"norm", "pool", "mean", "softmax"}
        assert ("host-at-1-gflops" in names) == (host and column in {"compute time", "total time"})
        assert ("dense-depthwise" in names) == (kind == "depthwise" and column in {"ops", "compute time", "total time"})
        assert ("repeated-pools" in names) == (kind == "pool" and place in repeated)
        assert ("pool-before-gap" in names) == (kind == "pool" and place == (5, 0))
        assert ("batch-norm-statistics" in names) <= (kind == "norm")
        if kind == "norm" and column == "param mb":
            assert names == {"batch-norm-statistics"}
        if names & {"repeated-pools", "pool-before-gap"}:
            assert line.corrected == ""  # there is no such row


def test_corrected_cells_are_those_of_the_true_network(blame):
    true = appendix(host=10**10, dense=False, pools=1, last_pool=False, statistics=True)
    for (kind, place, column), (line, _, _) in blame.items():
        if (kind, place) in true:
            text = true[kind, place][COLUMNS.index(column)]
            assert (line.corrected if column.endswith("loc") else general(Fraction(line.corrected))) == text, line.item


def test_table_1_blames_each_row_on_its_erratum():
    wrong = {item: (line.own_rule, line.corrected, line.verdict) for item, line in found("hairnet", "table 1").items()
             if line.kind != EXACT}  # fmt: skip
    expected, channels = {}, 32
    for number, (blocks, filters) in zip((3, 5, 7, 9, 11), STAGES, strict=True):

        def block(channels, filters):
            return 9 * channels + 2 * channels + channels * filters + 2 * filters

        true = block(channels, filters) + (blocks - 1) * block(filters, filters)
        own, why = true - 4 * filters, "batch-norm-missing"
        if filters == 1000:
            own, why = block(channels, 1024) + block(1024, 1024), "last-stage-of-1024"
        if blocks == 3 or filters == 1000:
            item = f"row {number} Conv DW block x{blocks}: total parameters"
            expected[item] = (str(own), str(true), f"{ERRATUM}: {why}")
        channels = filters
    assert wrong == expected


# The command


def reproduce(*args):
    return CliRunner().invoke(app, ["reproduce", *map(str, args)])


def test_reproduce_writes_every_table_the_ledger_and_the_page(tmp_path):
    done = reproduce("-o", tmp_path / "new")
    assert (done.exit_code, done.stderr) == (0, "")
    files = {file.name for file in (tmp_path / "new").iterdir()}
    made = [reproduction(name) for name in papers.PAPERS]
    assert files == {"ledger.csv", "LEDGER.md", *(report.file for one in made for report in one.reports)}
    assert len(done.stdout.splitlines()) == len(files) - 1
    with (tmp_path / "new" / "ledger.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    assert rows[0] == [column.name for column in ledger.COLUMNS] == list(ledger.Entry._fields)
    assert rows[1:] == [list(line) for one in made for line in one.entries]
    page = (tmp_path / "new" / "LEDGER.md").read_text(encoding="utf-8")
    reasons = {line.verdict.partition(": ")[2] for one in made for line in one.entries if line.kind == ERRATUM}
    assert len(reasons) > 30
    assert [why for why in reasons if why not in page] == []
    assert all(erratum.name in page and erratum.right in page for erratum in hairnet.ERRATA)


def test_a_document_alone_writes_no_ledger(tmp_path):
    done = reproduce("deck", "-o", tmp_path)
    assert done.exit_code == 0
    assert {file.name for file in tmp_path.iterdir()} == {report.file for report in reproduction("deck").reports}


def test_a_verdict_that_is_not_on_record_is_named_and_fails(tmp_path, reading):
    record = [list(row) for row in printed("verdicts.csv")]
    row = next(row for row in record if row[2] == "Conv MobileNet: params M")
    row[3] = EXACT
    reading(verdicts=record)
    done = reproduce("deck", "-o", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "  deck, MobileNet table 4, Conv MobileNet: params M: the verdict is 'rounds to', on record is 'exact'",
        "1 differences from the prints and from the verdicts on record",
    ]


@pytest.mark.parametrize(("text", "shown"), [("571", "568.740352"), ("unknown", "568.740352"), ("569.0", "568.740352")])
def test_a_printed_figure_that_differs_is_named_and_fails(tmp_path, reading, text, shown):
    table = printed("deck_mobilenet_table4.csv")
    table[2][2] = text
    reading(deck_mobilenet_table4=table)
    done = reproduce("deck", "-o", tmp_path)
    assert done.exit_code == 1
    difference, change, _ = done.stderr.splitlines()
    assert difference == (
        f"  deck-mobilenet-table4.csv: MobileNet: mult adds M: differs: the rule gives {shown}, printed {text!r}"
    )
    assert "the verdict is 'differs', on record is 'rounds to'" in change
    assert f"deck: {tmp_path / 'deck-mobilenet-table4.csv'}: differs: " in done.stdout
