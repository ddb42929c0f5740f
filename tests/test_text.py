"""Tables as people read them: four digits, columns under one another, and nothing lost."""

import io
import os
import sys

import pytest

from costmodel.report.cells import BAR_WIDTH, cells
from costmodel.report.formats import to_csv, to_markdown
from costmodel.report.text import Span, can_draw, room, show, table, width
from costmodel.table import Column, Table

COLUMNS = (
    Column("layer", str, "", "name"),
    Column("kernel_height", int, "", "no total"),
    Column("input_bytes", int, "B", "size", "sum"),
    Column("live_bytes", int, "B", "size", "max"),
    Column("macs", int, "", "count", "sum"),
    Column("total_seconds", float, "s", "time", "sum"),
    Column("bound", str, "", "resource"),
    Column("share", float, "", "part", "sum"),
)
ROWS = (
    ("conv", 3, 602112, 602112, 43352064, 0.006, "external", 0.5),
    ("relu", 0, 6422528, 12845056, 0, 0.003, "external", 0.25),
    ("fully_connected", 0, 999, 999, 1000, 3e-7, "host", 0.25),
    ("nothing", 0, 0, 0, 0, 0.0, "nothing", 0.0),
)
NAMES = [column.name for column in COLUMNS]


def rows(*chosen, columns=COLUMNS):
    return Table.of(columns, chosen or ROWS)


def text(line):
    return "".join(span.text for span in line)


def drawn(cut, *, drop=None, marked=(), available=None):
    """Lines of text, and the names of the columns left out."""
    lines, hidden = table(cut, drop=drop or {}, marked=marked, available=available)
    return [text(line) for line in lines], hidden


def full():
    """Places that the whole table needs."""
    return width(drawn(cells(rows()))[0][0])


def stdout(monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))


# Cells


def test_cells_have_four_digits_and_their_unit():
    assert cells(rows()).rows[0] == ["conv", "3", "602.1 kB", "602.1 kB", "43.35 M", "6.000 ms", "external",
                                     " 50.0% ██████████"]  # fmt: skip
    assert cells(rows()).rows[2][2:6] == ["999 B", "999 B", "1.000 k", "300.0 ns"]
    assert cells(rows()).rows[3][2:6] == ["0 B", "0 B", "0", "0 s"]


def test_a_long_text_is_shown_without_its_middle():
    columns = (Column("layer", str, "", "name"), Column("input_shape", str, "", "shapes"))
    table = Table.of(columns, [("concat", ", ".join(["1x3x8x8"] * 8000)), ("relu", "1x3x8x8")])
    (_, cell), short = cells(table).rows
    assert len(cell) == 100
    assert cell.startswith("1x3x8x8, 1x3x8x8, ")
    assert "..." in cell
    assert cell.endswith(", 1x3x8x8")
    assert short == ["relu", "1x3x8x8"]
    assert to_csv(table).count("1x3x8x8") == 8001


def test_heads_leave_the_unit_to_the_cells():
    assert cells(rows()).heads == ["layer", "kernel\nheight", "input", "live", "macs", "total", "bound", "share"]


def test_numbers_are_right_aligned_and_words_are_not():
    assert cells(rows()).right == [False, True, True, True, True, True, False, False]


def test_the_footer_sums_or_takes_the_largest_or_stays_empty():
    # 602112 + 6422528 + 999 = 7025639; the largest of live is 12845056; 43352064 + 1000 = 43353064
    expected = ["total", "", "7.026 MB", "12.85 MB", "43.35 M", "9.000 ms", "", "100.0%"]
    assert [cell.strip() for cell in cells(rows()).footer] == expected


def test_a_table_without_totals_has_no_footer():
    assert list(cells(rows().select(["layer", "kernel_height", "bound"])).footer) == []


def test_the_footer_adds_up_the_whole_and_not_what_is_shown():
    cut = cells(rows().take([1]), totals=rows(), others=rows().take([0, 2, 3]))
    assert [row[0] for row in cut.rows] == ["relu", "(3 others)"]
    assert cut.footer == cells(rows()).footer
    # 602112 + 999, the larger of 602112 and 999, 43352064 + 1000, 6 ms + 300 ns, 50 % + 25 %
    expected = ["(3 others)", "", "603.1 kB", "602.1 kB", "43.35 M", "6.000 ms", "", "75.0%"]
    assert [cell.strip() for cell in cut.rows[1]] == expected


def test_no_line_of_others_when_there_are_none():
    cut = cells(rows(), totals=rows(), others=rows().take([]))
    assert len(cut.rows) == len(ROWS)


# Share bars


def shares(*values, bar="█"):
    only = (Column("layer", str, "", "name"), Column("share", float, "", "part", "sum"))
    return [row[1] for row in cells(rows(*[("x", value) for value in values], columns=only), bar=bar).rows]


def test_the_largest_share_has_the_longest_bar_and_the_rest_in_proportion():
    bars = [cell.count("█") for cell in shares(0.4, 0.2, 0.1, 0.3)]
    assert bars == [BAR_WIDTH, BAR_WIDTH // 2, round(BAR_WIDTH / 4), round(BAR_WIDTH * 3 / 4)]


def test_shares_are_under_one_another():
    assert [cell[:6] for cell in shares(1.0, 0.25, 0.034)] == ["100.0%", " 25.0%", "  3.4%"]


def test_a_share_too_small_to_draw_has_no_bar():
    assert shares(0.99, 0.0001)[1] == "  0.0%"


def test_no_bars_when_nothing_takes_time():
    assert shares(0.0, 0.0) == ["  0.0%", "  0.0%"]


def test_bars_are_drawn_with_what_the_terminal_has():
    assert shares(0.5, 0.25, bar="#") == [" 50.0% ##########", " 25.0% #####"]


def test_sums_of_shares_have_no_bar():
    cut = cells(rows().take([0]), totals=rows(), others=rows().take([1, 2]))
    assert (cut.footer[-1], cut.rows[-1][-1].strip()) == ("100.0%", "50.0%")


# Layout


@pytest.mark.parametrize("marked", [(), {1, 2}])
def test_every_line_has_the_same_width(marked):
    lines, _ = drawn(cells(rows()), marked=marked)
    assert len({width(line) for line in lines}) == 1
    assert len(lines) == 2 + 1 + len(ROWS) + 1 + 1  # two lines of heads, a rule, the rows, a rule, the footer


def test_columns_are_two_blanks_apart_and_as_wide_as_their_widest_cell():
    two = (Column("layer", str, "", "name"), Column("macs", int, "", "count", "sum"), Column("bound", str, "", "name"))
    lines, _ = drawn(cells(rows(("a", 5, "x"), ("long_name", 1200, "host"), columns=two)))
    rule = lines[1]
    assert len(set(rule)) == 1
    assert [*lines[:1], *lines[2:4], *lines[5:]] == [
        "layer         macs  bound",
        "a                5  x    ",
        "long_name  1.200 k  host ",
        "total      1.205 k       ",
    ]
    assert lines[4] == rule
    assert len(rule) == len("layer         macs  bound")


def test_heads_of_two_lines_stand_at_the_bottom():
    lines, _ = drawn(cells(rows().select(["layer", "kernel_height"])))
    assert lines[:2] == ["                 kernel", "layer            height"]


def test_heads_take_no_more_lines_than_the_columns_shown_need():
    lines, hidden = drawn(cells(rows()), drop={"kernel_height": 1}, available=full() - 1)
    assert hidden == ["kernel_height"]
    assert lines[0].split()[0] == "layer"


def test_wide_characters_take_two_places():
    two = (Column("layer", str, "", "name"), Column("bound", str, "", "name"), Column("macs", int, "", "count", "sum"))
    cut = cells(rows(("卷積層", "外部", 1), ("conv", "host", 2000), ("ﾌﾟｰﾙ", "メモリ", 3), columns=two))
    lines, _ = drawn(cut)
    assert lines[2:5] == ["卷積層  外部          1", "conv    host    2.000 k", "ﾌﾟｰﾙ    メモリ        3"]
    assert {width(line) for line in lines} == {23}


@pytest.mark.parametrize(
    ("word", "places"),
    [("", 0), ("abc", 3), ("網路", 4), ("é", 1), ("\uff37", 2), ("ｱ", 1), ("β█─", 3), ("e\u0301", 1)],
)
def test_width_is_in_places_of_a_terminal(word, places):
    assert width(word) == places


def test_marks_stand_before_their_rows_only():
    plain, _ = drawn(cells(rows()))
    marked, _ = drawn(cells(rows()), marked={0, 2})
    body = slice(3, 3 + len(ROWS))
    assert [line[:2] for line in marked[body]] == ["! ", "  ", "! ", "  "]
    assert [line[2:] for line in marked[body]] == plain[body]
    assert all(line[:2] == "  " for line in (*marked[:2], marked[-1]))
    assert marked[-1][2:] == plain[-1]


def test_a_table_without_rows_has_heads_and_totals():
    lines, _ = drawn(cells(Table.of(COLUMNS, ())))
    assert len({width(line) for line in lines}) == 1
    assert lines[-1].split() == ["total", "0", "B", "0", "B", "0", "0", "s", "0.0%"]


@pytest.mark.parametrize("bad", ["two\nlines", "a\ttab", "\x1b[31mred", "back\rwards", "bell\x07"])
def test_control_characters_do_not_reach_the_terminal(bad):
    two = (Column("layer", str, "", "name"), Column("macs", int, "", "count", "sum"))
    cut = cells(rows((bad, 1), ("conv", 2), columns=two))
    for line in drawn(cut)[0]:
        assert line.isprintable(), line
    assert len(to_markdown(cut).split("\n")) == 2 + 2 + 1 + 1


# What is left out on a narrow terminal

RANKS = {"layer": 0, "kernel_height": 5, "live_bytes": 3, "macs": 2, "bound": 5, "share": 1}
ORDER = [{"kernel_height", "bound"}, {"live_bytes"}, {"macs"}, {"share"}]


def test_nothing_is_left_out_where_there_is_room():
    for available in (None, full(), full() + 1):
        lines, hidden = drawn(cells(rows()), drop=RANKS, available=available)
        assert hidden == []
        assert lines == drawn(cells(rows()))[0]


def test_the_highest_rank_goes_first_and_no_more_than_needed():
    last, seen = full(), []
    while True:
        lines, hidden = drawn(cells(rows()), drop=RANKS, available=last - 1)
        if width(lines[0]) >= last:
            break
        assert hidden[: len(seen)] == seen  # in the order in which they go
        assert len(hidden) == len(seen) + 1
        seen, last = hidden, width(lines[0])
    assert [set(seen[:2]), *[{name} for name in seen[2:]]] == ORDER


@pytest.mark.parametrize("available", [1, 10, 30, 40, 50, 60, 70, 80, 200])
@pytest.mark.parametrize("marked", [(), {0}])
def test_what_is_shown_fits_or_cannot_be_left_out(available, marked):
    lines, hidden = drawn(cells(rows()), drop=RANKS, available=available, marked=marked)
    kept = [name for name in NAMES if name not in hidden]
    assert len({width(line) for line in lines}) == 1
    assert width(lines[0]) <= available or kept == ["layer", "input_bytes", "total_seconds"]
    heads = {name: cells(rows()).heads[n].split("\n")[-1] for n, name in enumerate(NAMES)}
    above_the_rule = next(n for n, line in enumerate(lines) if set(line) == {line[0]} != {" "}) - 1
    assert lines[above_the_rule].split() == [heads[name] for name in kept]


def test_marks_need_two_places():
    assert drawn(cells(rows()), drop=RANKS, available=full() + 1, marked={0})[1] != []
    assert drawn(cells(rows()), drop=RANKS, available=full() + 2, marked={0})[1] == []


def test_a_column_that_may_not_go_stays_however_narrow():
    lines, hidden = drawn(cells(rows()), drop={"layer": 0, "macs": 1}, available=1)
    assert hidden == ["macs"]
    assert lines[3].startswith("conv ")


# The terminal


@pytest.mark.parametrize(
    ("encoding", "draws"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("cp1252", False)]
)
def test_lines_are_drawn_where_the_encoding_has_them(encoding, draws, monkeypatch):
    stdout(monkeypatch, encoding)
    assert can_draw() is draws
    assert drawn(cells(rows()))[0][2][0] == ("─" if draws else "-")


@pytest.mark.parametrize(("columns", "expected"), [("60", 60), ("", None), ("wide", None), ("-5", None), (None, None)])
def test_a_pipe_has_room_for_all_unless_columns_says_otherwise(columns, expected, monkeypatch):
    stdout(monkeypatch, "utf-8")
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert room() == expected


def test_a_terminal_has_the_room_it_says(monkeypatch):
    stdout(monkeypatch, "utf-8")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((73, 20)))
    assert room() == 73


def test_a_pipe_gets_plain_lines_without_blanks_at_the_end(capsys):
    show([(Span("a ", "bold"), Span("b  ", "red")), (), (Span("[bold]c[/bold]"),)])
    assert capsys.readouterr().out == "a b\n\n[bold]c[/bold]\n"


# Markdown


def test_markdown_has_a_ruler_and_one_line_per_row():
    lines = to_markdown(cells(rows().select(["layer", "kernel_height", "macs"]))).splitlines()
    assert lines[:3] == ["| layer | kernel height | macs |", "| :--- | ---: | ---: |", "| conv | 3 | 43.35 M |"]
    assert lines[-1] == "| total |  | 43.35 M |"
    assert len(lines) == 2 + len(ROWS) + 1


def test_markdown_escapes_pipes():
    two = (Column("layer", str, "", "name"), Column("bound", str, "", "name"))
    line = to_markdown(cells(rows(("a|b||c", "|"), columns=two))).splitlines()[2]
    assert line == r"| a\|b\|\|c | \| |"


# CSV


def test_csv_quotes_what_would_break_it():
    two = (Column("layer", str, "", "name"), Column("macs", int, "", "count", "sum"))
    assert to_csv(rows(('a,"b"', 1), ("c\nd", 2), columns=two)) == 'layer,macs\n"a,""b""",1\n"c\nd",2\n'


def test_csv_has_every_digit():
    one = (Column("total_seconds", float, "s", "time", "sum"), Column("macs", int, "", "count", "sum"))
    third, large = 1 / 3, 2**62 + 1
    assert to_csv(rows((third, large), (1e-300, 0), columns=one)) == (
        "total_seconds,macs\n0.3333333333333333,4611686018427387905\n1e-300,0\n"
    )
