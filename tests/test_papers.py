"""HairNet's printed tables, rebuilt; the oracle is the print, and a second computation that shares no code."""

import csv
import functools
import math
from pathlib import Path

import pytest

import costmodel
from costmodel import papers
from costmodel.errors import CostModelError
from costmodel.papers import hairnet, hairnet_tables, ledger
from costmodel.papers.page import page
from costmodel.papers.prints import general, printed

reproduce = functools.cache(papers.reproduce)


def rebuilt(name):
    return reproduce(name).reports


REPORTS = Path(__file__).parents[1] / "reports"
DATA = Path(hairnet.__file__).parent / "data"

# Table 1, transcribed here on its own: (blocks, filters) at 112, 56, 28, 14 and 7 pixels
STAGES = [(2, 64), (3, 128), (3, 256), (3, 512), (2, 1000)]


def seconds(*, host=1e10, dense=False, pools=1, last_pool=False, norm_values=4, image=False):
    """HairNet on the paper's machine by rules H1 to H8, written from the rules alone."""

    def row(read, written, weights, operations, rate, *, charge_input=True):
        external = [size for size in (read, written) if size > 1e6]
        if not charge_input:
            external = [size for size in external if size != read]
        return (sum(external) + weights) / 1e9 + operations / rate

    def norm(pixels, channels):
        size = 4 * pixels * channels
        return row(size, size, 4 * norm_values * channels, 5 * pixels * channels, host)

    total = 4 * 224 * 224 * 3 / 1e9 if image else 0.0
    total += row(4 * 224 * 224 * 3, 4 * 224 * 224 * 32, 4 * 27 * 32, 2 * 27 * 32 * 224 * 224, 1e12)
    total += norm(224 * 224, 32)
    total += row(4 * 224 * 224 * 32, 4 * 112 * 112 * 32, 0, 224 * 224 * 32, host)
    side, channels = 112, 32
    for stage, (blocks, filters) in enumerate(STAGES):
        pixels = side * side
        for _ in range(blocks):
            inside = 4 * pixels * channels
            depthwise = 2 * 9 * channels * pixels * (channels if dense else 1)
            total += row(inside, inside, 4 * 9 * channels, depthwise, 1e12) + norm(pixels, channels)
            pointwise = 2 * channels * filters * pixels
            total += row(inside, 4 * pixels * filters, 4 * channels * filters, pointwise, 1e12) + norm(pixels, filters)
            channels = filters
        elements = pixels * channels
        if stage < 4:
            total += pools * row(4 * elements, elements, 0, elements, host)
            side //= 2
        elif last_pool:
            total += row(4 * elements, elements, 0, elements, host)
    total += row(4 * 49 * 1000, 4000, 0, 49 * 1000, host) + row(4000, 4000, 0, 3000, host)
    return total


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.602112, "0.602112"), (6.422528, "6.422528"), (0.000256, "0.000256"), (4, "4"), (2.048, "2.048"),
        (86704128, "86704128"), (98000000, "98000000"), (231211008, "2.31E+08"), (924844032, "9.25E+08"),
        (8.6704128e-05, "8.67E-05"), (4.9e-05, "4.90E-05"), (2.304e-06, "2.30E-06"), (0.000100352, "0.0001"),
        (0.0060259, "0.006026"), (3e-06, "3.00E-06"), (0.17715789, "0.177158"),
    ],
)  # fmt: skip
def test_general_shows_numbers_as_the_spreadsheet_does(value, text):
    assert general(value) == text


def test_appendix_is_the_print_byte_for_byte():
    appendix = rebuilt("hairnet")[0]
    assert appendix.file == "hairnet-appendix.csv"
    assert appendix.differences == ()
    assert appendix.text() == (DATA / "hairnet_appendix.csv").read_text(encoding="utf-8").replace("\r\n", "\n")
    assert len(appendix.cells) == 1 + 66


def appendix_rows():
    with (DATA / "hairnet_appendix.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_headline_under_all_rules():
    everything = hairnet.run(hairnet.ERRATA)
    assert general(everything.seconds) == "0.177158"
    by_hand = seconds(host=1e9, dense=True, pools=2, last_pool=True, norm_values=2)
    assert math.isclose(everything.seconds, by_hand, rel_tol=1e-12)


def test_fourteen_printed_rows_hold_more_than_a_megabyte():
    rows = appendix_rows()
    both = [row for row in rows if row["in_map_loc"] == row["out_map_loc"] == "internal"]
    overfull = [row for row in both if float(row["in_map_mb"]) + float(row["out_map_mb"]) > 1]
    assert len(overfull) == 14
    assert len(hairnet.run(hairnet.ERRATA).overfull) == 14


def test_main_job_is_the_corrected_figure():
    by_hand = seconds()
    assert math.isclose(costmodel.cost("hairnet", "paper-2012").seconds, by_hand, rel_tol=1e-12)
    assert math.isclose(hairnet.run(hairnet.DEPARTURES).seconds, by_hand, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("host-at-1-gflops", {"host": 1e10}),
        ("dense-depthwise", {"dense": False}),
        ("repeated-pools", {"pools": 1}),
        ("pool-before-gap", {"last_pool": False}),
        ("batch-norm-statistics", {"norm_values": 4}),
        ("image-never-read", {"image": True}),
    ],
)
def test_each_erratum_alone_costs_what_its_own_formula_says(name, fixed):
    as_printed = {"host": 1e9, "dense": True, "pools": 2, "last_pool": True, "norm_values": 2}
    expected = seconds(**as_printed | fixed) - seconds(**as_printed)
    effects = {row[0]: float(row[4]) for row in errata() if row[4]}
    assert expected != 0
    assert math.isclose(effects[name], expected, rel_tol=1e-9)


def errata():
    report = rebuilt("hairnet")[3]
    assert report.file == "hairnet-errata.csv"
    return report.cells[1:]


def test_waterfall_falls_from_the_print_to_the_corrected_figure():
    steps = {row[0]: float(row[5]) for row in errata() if row[5]}
    host = {"host": 1e10}
    fixes = [
        ("as-printed", {}),
        ("host-at-1-gflops", host),
        ("dense-depthwise", host | {"dense": False}),
        ("repeated-pools", host | {"dense": False, "pools": 1}),
        ("pool-before-gap", host | {"dense": False, "pools": 1, "last_pool": False}),
        ("batch-norm-statistics", host | {"dense": False, "pools": 1, "last_pool": False, "norm_values": 4}),
        ("corrected", host | {"dense": False, "pools": 1, "last_pool": False, "norm_values": 4}),
    ]
    as_printed = {"host": 1e9, "dense": True, "pools": 2, "last_pool": True, "norm_values": 2}
    for name, fixed in fixes:
        assert math.isclose(steps[name], seconds(**as_printed | fixed), rel_tol=1e-12), name


def test_feasible_run_never_overfills_the_internal_memory():
    feasible = hairnet.run(())
    assert feasible.overfull == ()
    assert feasible.layers.total("live_bytes") <= 10**6
    assert feasible.layers["input_memory"][0] == "external"
    assert feasible.seconds > hairnet.run(hairnet.DEPARTURES).seconds


def test_every_erratum_is_listed_with_what_is_right():
    rows = {row[0]: row for row in errata()}
    for erratum in hairnet.ERRATA:
        assert rows[erratum.name][1:4] == [erratum.kind, erratum.prints, erratum.right]


def test_claims_are_answered_with_figures():
    found = {entry.item: entry for entry in reproduce("hairnet").entries if entry.table == "text"}
    assert found["maps called internal"].corrected.startswith("14 of 66 rows hold more at once")
    # 11*11*3*96 + 96, 5*5*96*256 + 256, ..., and 9216*4096 + 4096 + 4096*4096 + 4096 + 4096*1000 + 1000
    alexnet = found["parameters of AlexNet"]
    assert (alexnet.own_rule, alexnet.corrected) == ("62.378344", "60.965224")
    assert found["parameters of AlexNet's dense layers"].own_rule == "58.631144"
    assert float(found["parameters with a dense layer"].corrected) == pytest.approx(3_432_192 / 2_431_192, rel=1e-9)


def test_table_1_as_printed_and_corrected():
    report = rebuilt("hairnet")[1]
    assert [row[:4] for row in report.cells] == printed("hairnet_table1.csv")
    true = {row[0] + row[1]: int(row[4]) for row in report.cells[1:] if row[4]}
    # per block: depthwise 9*c + norm 2*c + pointwise c*f + norm 2*f
    first = 9 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert true["Conv DW block x264"] == first + 9 * 64 + 2 * 64 + 64 * 64 + 2 * 64
    last = 9 * 512 + 2 * 512 + 512 * 1000 + 2 * 1000
    assert true["Conv DW block x21000"] == last + 9 * 1000 + 2 * 1000 + 1000 * 1000 + 2 * 1000
    assert sum(true.values()) == costmodel.network("hairnet").parameters


def test_parameters_of_the_appendix_agree_with_the_network():
    assert (
        round(sum(float(row["param_mb"]) for row in appendix_rows()) * 1e6 / 4)
        == costmodel.network("hairnet").parameters
    )


def test_committed_reports_follow_from_the_code():
    made = {name: reproduce(name) for name in papers.PAPERS}
    texts = {report.file: report.text() for reproduction in made.values() for report in reproduction.reports}
    texts["ledger.csv"] = ledger.report([entry for one in made.values() for entry in one.entries]).text()
    texts["LEDGER.md"] = page(made)
    assert {path.name for path in REPORTS.iterdir()} == {"zoo.json", "placement.csv", *texts}
    for file, text in texts.items():
        assert (REPORTS / file).read_text(encoding="utf-8") == text, file


def test_a_differing_cell_is_named(monkeypatch):
    def changed(file):
        table = printed(file)
        if "appendix" in file:
            table[4][9] = "0.003213"
        return table

    monkeypatch.setattr(hairnet_tables, "printed", changed)
    (difference,) = papers.reproduce("hairnet").reports[0].differences
    assert difference == (
        "hairnet-appendix.csv: row 4 (4 dwise_conv0), transfer_time: built '0.003212', printed '0.003213'"
    )


def test_an_unknown_document_is_named_with_the_known_ones():
    with pytest.raises(CostModelError, match="no document 'hairnett'; did you mean 'hairnet'"):
        papers.reproduce("hairnett")
