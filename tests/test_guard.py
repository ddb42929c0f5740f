"""The guard: equal when nothing changed; what changed is named, with both figures, and nothing else is."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run

import costmodel
from costmodel import guard, hardware, zoo
from costmodel.errors import CostModelError
from costmodel.guard import GUARDED, Request, Snapshot, budget, compare, read, spent, take, to_text, tolerances

REQUEST = Request("lenet5", {}, "paper-2012")
REPORTS = Path(__file__).parents[1] / "reports"


@pytest.fixture(scope="module")
def taken():
    return take(REQUEST)


def edited(snapshot, name, **changes):
    rows = [{**row, **changes} if row["layer"] == name else row for row in snapshot.rows]
    return Snapshot(snapshot.request, rows)


def changes(before, after, *rtol):
    return compare(before, after, tolerances(rtol))


def test_nothing_changes_by_itself(taken):
    assert changes(taken, take(REQUEST)) == []


def test_a_snapshot_reads_back_the_same(taken, tmp_path):
    file = tmp_path / "costs.json"
    other = take(replace(REQUEST, network="hairnet", parameters={"size": 64}, batch=2, dtype="int8", overlap="layer"))
    file.write_text(to_text([taken, other]), encoding="utf-8")
    assert read(file) == [taken, other]
    assert json.loads(to_text([taken]))["snapshots"][0]["layers"][0][0] == "features.C1"


def test_a_layer_is_a_line(taken):
    lines = to_text([taken]).splitlines()
    assert sum("features.C1" in line for line in lines) == 1
    assert len(lines) == len(taken.rows) + 5  # what opens and closes the file and the network


def test_a_changed_count_is_named_with_both_figures_and_in_the_total(taken):
    before = edited(taken, "classifier.C5", macs=48_001)
    assert changes(before, taken) == [
        ("lenet5", "classifier.C5", "changed", "macs", "48001", "48000", "-1 (-0.002%)"),
        ("lenet5", "total", "changed", "macs", "416521", "416520", "-1 (-0.000%)"),
    ]


def test_times_have_a_tolerance_and_counts_have_none(taken):
    row = next(row for row in taken.rows if row["layer"] == "classifier.C5")
    nearly = edited(taken, "classifier.C5", compute_seconds=row["compute_seconds"] * (1 + 1e-12))
    off = edited(taken, "classifier.C5", compute_seconds=row["compute_seconds"] * 1.01)
    assert changes(nearly, taken) == []
    assert [change[3] for change in changes(off, taken)] == ["compute_seconds", "compute_seconds"]  # layer and total
    assert changes(off, taken, "time=0.02") == []
    assert changes(off, taken, "compute_seconds=0.02") == []
    assert len(changes(off, taken, "total_seconds=0.02")) == 2
    assert changes(edited(taken, "classifier.C5", macs=48_001), taken, "time=1") != []
    assert changes(edited(taken, "classifier.C5", macs=48_001), taken, "macs=0.001") == []


def test_added_removed_and_renamed_layers_are_told_apart(taken):
    rows = list(taken.rows)
    fewer = Snapshot(REQUEST, rows[1:])
    assert changes(fewer, taken)[0][:3] == ("lenet5", rows[0]["layer"], "added")
    assert changes(taken, fewer)[0][:3] == ("lenet5", rows[0]["layer"], "removed")
    renamed = edited(taken, "classifier.C5", layer="classifier.fc1")
    assert changes(renamed, taken) == [
        ("lenet5", "classifier.fc1", "renamed", "layer", "classifier.fc1", "classifier.C5", "")
    ]
    both = edited(renamed, "classifier.fc1", parameters=1)
    assert {change[2] for change in changes(both, taken)} == {"removed", "added", "changed"}


def test_another_order_is_a_change(taken):
    swapped = Snapshot(REQUEST, [taken.rows[1], taken.rows[0], *taken.rows[2:]])
    ((_, layer, change, *_),) = changes(swapped, taken)
    assert (layer, change) == ("order", "changed")


def test_words_are_compared_too(taken):
    moved = edited(taken, "classifier.C5", output_memory="external")
    assert changes(moved, taken) == [
        ("lenet5", "classifier.C5", "changed", "output_memory", "external", "internal", "")
    ]


def test_what_is_spent_is_worked_out_from_the_run():
    run = costmodel.cost("hairnet", "paper-2012")
    amounts = spent(run)
    assert amounts["params"] == 2_431_192
    assert amounts["macs"] == 607_172_328
    assert amounts["peak_memory"] == 2 * 6_422_528  # batch norm reads and writes the largest map
    assert amounts["latency"] == run.seconds
    assert amounts["weights"] == 4 * (2_431_192 + run.layers.total("buffers"))


def test_budgets_are_read_with_their_units():
    assert budget("latency=0.2s") == ("latency", 0.2)
    assert budget("latency=200 ms") == ("latency", 0.2)
    assert budget("params=5M") == ("params", 5_000_000)
    assert budget("params=1234") == ("params", 1234)
    assert budget("peak_memory=1 MiB") == ("peak_memory", 2**20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latncy=1s", "did you mean 'latency'"),
        ("latency", "expected NAME=LIMIT; known: latency"),
        ("latency=5", "'5' has no unit"),
        ("latency=5MB", "has unit 'MB'"),
        ("params=5MB", "has unit 'MB'"),
        ("params=1.5", "is not a whole number"),
    ],
)
def test_a_wrong_budget_is_answered(text, message):
    with pytest.raises(CostModelError, match=message):
        budget(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tim=1e-9", "did you mean 'time'"),
        ("time=-1", "expected a number of at least 0"),
        ("time=x", "expected a number of at least 0"),
        ("time=inf", "expected a number of at least 0"),
        ("time=nan", "expected a number of at least 0"),
        ("layer=1", "no column 'layer'"),
    ],
)
def test_a_wrong_tolerance_is_answered(text, message):
    with pytest.raises(CostModelError, match=message):
        tolerances([text])


HEAD = f'{{"format": 1, "columns": {json.dumps(list(GUARDED))}, "snapshots": '
ASKED = '{"network": "lenet5", "parameters": {}, "machine": "paper-2012", "settings": [], "batch": 1,'
ASKED += ' "dtype": null, "overlap": null, "placement": null}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a snapshot of format 1"),
        ('{"format": 2}', "not a snapshot of format 1"),
        ('{"format": 1, "columns": ["layer"]}', r"its columns are \['layer'\]"),
        (HEAD + "[]}", "it holds no snapshots"),
        (HEAD + "7}", "it holds no snapshots"),
        (HEAD + "[7]}", "snapshot 1: its request must have the keys network"),
        (HEAD + '[{"request": {"network": "lenet5"}, "layers": []}]}', "its request must have the keys network"),
        (HEAD + f'[{{"request": {ASKED}, "layers": [[1]]}}]}}', "snapshot 1: its layers must be rows of 18 values"),
        (HEAD + f'[{{"request": {ASKED}, "layers": 5}}]}}', "snapshot 1: its layers must be rows of 18 values"),
    ],
)
def test_a_file_that_is_no_snapshot_is_answered(tmp_path, text, message):
    file = tmp_path / "costs.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CostModelError, match=rf"costs\.json: .*{message}|costs\.json: {message}"):
        read(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lenet5"', '"lenet6"', "did you mean 'lenet5'"),
        ('"paper-2012"', '"paper-2013"', "did you mean 'paper-2012'"),
        ('"parameters": {}', '"parameters": {"sise": 3}', "did you mean 'size'"),
        ('"batch": null', '"batch": "many"', "its batch must be a positive integer or null, not 'many'"),
        ('"batch": null', '"batch": 0', "its batch must be a positive integer or null, not 0"),
        ('"dtype": null', '"dtype": 5', "element type"),
        ('"dtype": null', '"dtype": "float33"', "did you mean 'float32'"),
        ('"network": "lenet5"', '"network": 5', "network"),
        ('"machine": "paper-2012"', '"machine": []', "machine"),
        ('"settings": []', '"settings": [5]', "settings"),
        ('"overlap": null', '"overlap": 7', "overlap"),
    ],
)
def test_a_request_that_cannot_be_run_is_answered(tmp_path, taken, old, new, message):
    file = tmp_path / "costs.json"
    text = to_text([taken])
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    done = run("check", str(file))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_a_file_without_an_end_is_answered(monkeypatch):
    monkeypatch.setattr(guard, "MAX_BYTES", 1000)
    with pytest.raises(CostModelError, match="/dev/zero: larger than 1000 bytes"):
        read(Path("/dev/zero"))


def test_the_command_line_from_end_to_end(tmp_path):
    assert (
        run("snapshot", "lenet5", "--hw", "paper-2012", "--param", "classes=7", "-o", "c.json", cwd=tmp_path).returncode
        == 0
    )
    same = run("check", "c.json", cwd=tmp_path)
    assert (same.returncode, same.stdout) == (0, "c.json: nothing has changed\n")
    file = tmp_path / "c.json"
    file.write_text(file.read_text(encoding="utf-8").replace("48000", "48001"), encoding="utf-8")
    other = run("check", "c.json", "--max", "latency=1us", "--csv", "out.csv", cwd=tmp_path)
    assert other.returncode == 1
    assert "classifier.C5" in other.stdout
    assert "over budget" in other.stdout
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    assert {row["change"] for row in rows} == {"changed", "over budget"}
    assert run("check", "missing.json", cwd=tmp_path).returncode == 2


def test_the_fixture_fails_with_a_table(check_costs, tmp_path, taken):
    file = tmp_path / "costs.json"
    file.write_text(to_text([taken]), encoding="utf-8")
    check_costs(file, limits=["latency=1s"])
    file.write_text(to_text([edited(taken, "classifier.C5", macs=1)]), encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match=r"classifier\.C5 +changed +macs +1 +48000"):
        check_costs(file)


def test_no_network_of_the_zoo_has_changed(check_costs):
    check_costs(REPORTS / "zoo.json")


def test_every_network_is_guarded():
    assert [snapshot.request.network for snapshot in read(REPORTS / "zoo.json")] == zoo.names()
    assert {snapshot.request.machine for snapshot in read(REPORTS / "zoo.json")} == {"paper-2012"}
    assert guard.FORMAT == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [("macs", '"361"'), ("macs", "null"), ("macs", "[[]]"), ("macs", "1" + "0" * 400), ("macs", "true"),
     ("macs", "1.5"), ("total_seconds", "NaN"), ("total_seconds", "true"), ("layer", "7")],
)  # fmt: skip
def test_a_figure_of_another_type_is_answered(tmp_path, taken, column, value):
    text = to_text([taken])
    row = next(line for line in text.splitlines() if line.startswith("    ["))
    cells = json.loads(row.strip().rstrip(","))
    cells[guard.GUARDED.index(column)] = "@"
    file = tmp_path / "costs.json"
    file.write_text(text.replace(row.strip().rstrip(","), json.dumps(cells).replace('"@"', value)), encoding="utf-8")
    done = run("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr
    assert column in done.stderr or value in done.stderr


def test_what_a_command_reads_is_not_overwritten(tmp_path):
    sheet = Path(hardware.profiles()["paper-2012"]).read_text(encoding="utf-8")
    (tmp_path / "m.yaml").write_text(sheet, encoding="utf-8")
    assert run("snapshot", "lenet5", "--hw", "m.yaml", "-o", "c.json", cwd=tmp_path).returncode == 0
    for command in (
        ["check", "c.json", "--csv", "./c.json"], ["snapshot", "lenet5", "--hw", "m.yaml", "-o", "m.yaml"],
        ["profile", "lenet5", "--hw", "m.yaml", "--csv", "m.yaml"],
        ["compare", "lenet5", "--hw", "m.yaml", "--csv", "m.yaml"],
        ["memory", "lenet5", "--hw", "m.yaml", "--json", "m.yaml"],
    ):  # fmt: skip
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 2, command
        assert "would be overwritten" in done.stderr
    assert (tmp_path / "m.yaml").read_text(encoding="utf-8") == sheet


def test_a_machine_file_is_found_from_the_snapshot(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    sheet = Path(hardware.profiles()["paper-2012"]).read_text(encoding="utf-8")
    (tmp_path / "a" / "m.yaml").write_text(sheet, encoding="utf-8")
    made = run("snapshot", "lenet5", "--hw", "a/m.yaml", "-o", "b/c.json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    for folder, file in ((tmp_path, "b/c.json"), (tmp_path / "a", "../b/c.json"), (tmp_path / "b", "c.json")):
        assert run("check", file, cwd=folder).returncode == 0
    (tmp_path / "a" / "m.yaml").unlink()
    lost = run("check", "b/c.json", cwd=tmp_path)
    assert lost.returncode == 2
    assert "b/c.json: snapshot 1: lenet5: b/../a/m.yaml: cannot read it" in lost.stderr.replace("\\", "/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max", "latency=-1s"], "cannot be negative"),
        (["--max", "params=5M", "--max", "params=1M"], "limited twice"),
        (["--rtol", "operator=1"], "no column 'operator'"),
    ],
)
def test_limits_that_mean_nothing_are_refused(tmp_path, taken, arguments, message):
    file = tmp_path / "costs.json"
    file.write_text(to_text([taken]), encoding="utf-8")
    done = run("check", str(file), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
