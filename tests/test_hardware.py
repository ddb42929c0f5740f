"""Machines: the shipped ones say what their sources say, and a wrong file is refused with its place."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest

import costmodel
from costmodel import hardware
from costmodel.errors import CostModelError

TOY = """\
name: toy
source: "a data sheet"
engines:
  matrix: {peak: 2 TFLOPS, runs: [Conv, Linear], source: "page 1"}
  host: {peak: 10 GFLOPS, runs: rest}
memories:
  near: {size: 64 KiB}
  far: {size: inf, bandwidth: 8 GB/s}
fuse: [[BatchNorm, Relu], [Conv, BatchNorm, Relu]]
overlap: layer
placement: liveness
"""


@pytest.fixture
def toy(tmp_path):
    """A file with parts of TOY replaced, which must be there."""

    def written(*changes):
        text = TOY
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file = tmp_path / "toy.yaml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return written


# The shipped machines


def test_the_shipped_machines():
    assert {"paper-2012", "paper-2012-appendix"} <= set(hardware.profiles())


@pytest.mark.parametrize("name", hardware.profiles())
def test_a_shipped_machine_loads_and_states_its_sources(name):
    machine = costmodel.machine(name)
    assert machine.name == name
    assert machine.source.strip()
    for part in (*machine.engines, *machine.memories):
        assert part.source.strip(), part.name


def test_paper_2012_is_the_machine_of_the_text():
    machine = costmodel.machine("paper-2012")
    assert [(engine.name, engine.peak, engine.runs) for engine in machine.engines] == [
        ("matrix", 1e12, ("Conv", "Linear", "MatMul")),
        ("host", 1e10, ("rest",)),
    ]
    assert [(memory.name, memory.size, memory.bandwidth) for memory in machine.memories] == [
        ("internal", 10**6, math.inf),
        ("external", math.inf, 1e9),
    ]
    assert (machine.fuse, machine.overlap, machine.placement) == ((("BatchNorm", "Relu"),), "none", "threshold")


def test_the_appendix_machine_differs_in_the_host_only():
    def unnamed(machine):
        return replace(
            machine,
            name="",
            source="",
            engines=tuple(replace(engine, source="") for engine in machine.engines),
            memories=tuple(replace(memory, source="") for memory in machine.memories),
        )

    paper, appendix = (unnamed(costmodel.machine(name)) for name in ("paper-2012", "paper-2012-appendix"))
    matrix, host = paper.engines
    assert appendix == replace(paper, engines=(matrix, replace(host, peak=1e9)))
    assert appendix != paper


# A user's machine


def test_a_file_is_read_whole(toy):
    machine = costmodel.machine(toy())
    assert machine == hardware.Hardware(
        name="toy",
        source="a data sheet",
        engines=(
            hardware.Engine("matrix", 2e12, ("Conv", "Linear"), "page 1"),
            hardware.Engine("host", 1e10, ("rest",), ""),
        ),
        memories=(hardware.Memory("near", 65536, math.inf), hardware.Memory("far", math.inf, 8e9)),
        fuse=(("BatchNorm", "Relu"), ("Conv", "BatchNorm", "Relu")),
        overlap="layer",
        placement="liveness",
    )
    assert isinstance(machine.memories[0].size, int)


def test_what_is_left_out_has_a_default(toy):
    gone = [('source: "a data sheet"\n', ""), ("fuse: [[BatchNorm, Relu], [Conv, BatchNorm, Relu]]\n", "")]
    machine = costmodel.machine(toy(*gone, ("overlap: layer\n", ""), ("placement: liveness\n", "")))
    assert (machine.source, machine.fuse, machine.overlap, machine.placement) == ("", (), "none", "threshold")


@pytest.mark.parametrize("path", ["toy.yaml", "./toy.yaml", "sub/../toy.yaml", "toy.yml"])
def test_a_file_is_found_by_its_path(path, toy, tmp_path, monkeypatch):
    toy()
    (tmp_path / "sub").mkdir()
    (tmp_path / "toy.yml").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert costmodel.machine(path).name == "toy"


def test_a_file_without_its_ending_is_hinted_at(toy, tmp_path, monkeypatch):
    toy()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CostModelError, match=r"no machine 'toy'.*paper-2012.*toy\.yaml"):
        costmodel.machine("toy")


def test_a_shipped_name_is_never_shadowed_by_a_file(tmp_path, monkeypatch):
    (tmp_path / "paper-2012").mkdir()
    (tmp_path / "paper-2012.yaml").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert costmodel.machine("paper-2012").name == "paper-2012"
    assert costmodel.machine("paper-2012.yaml").name == "toy"


@pytest.mark.parametrize("path", ["missing.yaml", "folder.yaml", "missing/toy.yaml"])
def test_a_file_that_cannot_be_read_is_named(path, tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(str(tmp_path / path))
    assert str(caught.value).startswith(f"{tmp_path / path}: cannot read it: ")


@pytest.mark.parametrize("name", ["paper-2013", "Paper-2012", "paper2012"])
def test_an_unknown_name_is_met_with_the_known_ones(name):
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(name)
    assert f"no machine {name!r}; did you mean 'paper-2012'? known: " in str(caught.value)
    assert "paper-2012-appendix" in str(caught.value)


def test_a_loaded_machine_is_frozen():
    machine = costmodel.machine("paper-2012")
    for part, field in ((machine, "name"), (machine.engines[0], "peak"), (machine.memories[0], "size")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, field, 1)
    assert hash(machine) == hash(costmodel.machine("paper-2012"))  # so nothing inside can change either


# Strictness: file, line, key, value, and what is accepted


@pytest.mark.parametrize(
    ("old", "new", "place", "parts"),
    [
        ("overlap: layer", "overlp: layer", "10: overlp: ", ["unknown key 'overlp'", "did you mean 'overlap'?"]),
        ("near: {size", "near: {sise", "7: memories.near.sise: ", ["'sise'", "did you mean 'size'?", "bandwidth"]),
        ("host: {peak: 10 GFLOPS, ", "host: {", "5: engines.host: ", ["'peak' is missing", "operations per second"]),
        ("near: {size: 64 KiB}", "near: {}", "7: memories.near: ", ["'size' is missing", "capacity"]),
        (", runs: rest", "", "5: engines.host: ", ["'runs' is missing", "operators"]),
        ("name: toy\n", "", "1: ", ["'name' is missing"]),
        ("peak: 10 GFLOPS", "peak: 10", "5: engines.host.peak: ", ["'10' has no unit", "'10 GFLOPS'"]),
        ("peak: 10 GFLOPS", "peak: fast", "5: engines.host.peak: ", ["'fast'", "'10 GFLOPS'"]),
        ("peak: 10 GFLOPS", "peak: .inf", "5: engines.host.peak: ", ["'.inf'", "'10 GFLOPS'"]),
        ("peak: 10 GFLOPS", "peak: nan", "5: engines.host.peak: ", ["'nan'", "'10 GFLOPS'"]),
        ("peak: 10 GFLOPS", "peak: 10 GFLOP", "5: engines.host.peak: ", ["'GFLOP'", "GFLOPS"]),
        ("peak: 10 GFLOPS", "peak: ", "5: engines.host.peak: ", ["'10 GFLOPS'"]),
        ("peak: 10 GFLOPS", "peak: [10 GFLOPS]", "5: engines.host.peak: ", ["expected one value, not a list"]),
        ("bandwidth: 8 GB/s", "bandwidth: 8 GB", "8: memories.far.bandwidth: ", ["'8 GB'", "'GB'", "'GB/s'"]),
        (
            "bandwidth: 8 GB/s",
            "bandwidth: 8 Gb/s",
            "8: memories.far.bandwidth: ",
            ["'8 Gb/s'", "is in bits; divide by 8"],
        ),
        ("size: 64 KiB", "size: 64 KB", "7: memories.near.size: ", ["'64 KB'", "did you mean 'kB'?", "KiB"]),
        ("size: 64 KiB", "size: 64 kB/s", "7: memories.near.size: ", ["'64 kB/s'", "'kB'"]),
        ("size: 64 KiB", "size: 0.0001 kB", "7: memories.near.size: ", ["'0.0001 kB'", "whole number of bytes"]),
        ("size: 64 KiB", "size: 0 B", "7: memories.near.size: ", ["'0 B'", "greater than zero"]),
        ("size: 64 KiB", "size: -64 KiB", "7: memories.near.size: ", ["'-64 KiB'", "greater than zero"]),
        ("bandwidth: 8 GB/s", "read: 8 GB/s", "8: memories.far: ", ["beside 'read' it needs 'write'", "bandwidth"]),
        ("bandwidth: 8 GB/s", "write: 8 GB/s", "8: memories.far: ", ["beside 'write' it needs 'read'"]),
        ("bandwidth: 8 GB/s", "bandwidth: 8 GB/s, read: 9 GB/s", "8: memories.far: ", ["but not both"]),
        ("size: inf", "size: -inf", "8: memories.far.size: ", ["'-inf'", "greater than zero"]),
        ("bandwidth: 8 GB/s", "bandwidth: 0 GB/s", "8: memories.far.bandwidth: ", ["'0 GB/s'", "greater than zero"]),
        ("peak: 10 GFLOPS", "peak: -1 GFLOPS", "5: engines.host.peak: ", ["'-1 GFLOPS'", "greater than zero"]),
        ("peak: 10 GFLOPS", "peak: inf", "5: engines.host.peak: ", ["'inf'", "finite", "'10 GFLOPS'"]),
        ("[Conv, Linear]", "[Conv, Liner]", "4: engines.matrix.runs[1]: ", ["'Liner'", "did you mean 'Linear'?"]),
        ("[Conv, Linear]", "[Conv, rest]", "4: engines.matrix.runs[1]: ", ["unknown operator 'rest'"]),
        ("[Conv, Linear]", "[conv]", "4: engines.matrix.runs[0]: ", ["'conv'", "did you mean 'Conv'?"]),
        ("[Conv, Linear]", "Conv", "4: engines.matrix.runs: ", ["list of operators", "'rest'", "'Conv'"]),
        ("[Conv, Linear]", "[[Conv]]", "4: engines.matrix.runs[0]: ", ["expected one value, not a list"]),
        ("[[BatchNorm, Relu]", "[[BatchNorm, Rellu]", "9: fuse[0][1]: ", ["'Rellu'", "did you mean 'Relu'?"]),
        ("[[BatchNorm, Relu]", "[[Relu]", "9: fuse[0]: ", ["at least two operators", "[BatchNorm, Relu]"]),
        ("[[BatchNorm, Relu]", "[[]", "9: fuse[0]: ", ["at least two operators"]),
        ("[[BatchNorm, Relu]", "[Relu", "9: fuse[0]: ", ["expected a list", "'Relu'"]),
        ("runs: rest", "runs: [Conv]", "5: engines.host.runs: ", ["operator 'Conv' runs on engine 'matrix' already"]),
        ("[Conv, Linear]", "[Conv, Conv]", "4: engines.matrix.runs: ", ["operator 'Conv'", "already"]),
        ("[Conv, Linear]", "rest", "5: engines.host.runs: ", ["'rest' runs on engine 'matrix' already"]),
        ("overlap: layer", "overlap: layr", "10: overlap: ", ["'layr'", "did you mean 'layer'?", "layer, none"]),
        ("placement: liveness", "placement: livenes", "11: placement: ", ["'livenes'", "did you mean 'liveness'?"]),
        ("host: {peak: 10 GFLOPS, runs: rest}", "host: fast", "5: engines.host: ", ["keys with values", "'fast'"]),
        ("overlap: layer", "name: toy2", "10: ", ["duplicate key 'name'", "line 1"]),
        ("name: toy\n", "name:\n", "1: name: ", ["nothing"]),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(old, new, place, parts, toy):
    file = toy((old, new))
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(file)
    message = str(caught.value)
    assert message.startswith(f"{file}:{place}"), message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(("part", "line"), [("engines", 3), ("memories", 6)])
@pytest.mark.parametrize(("new", "problem"), [("{}", "at least one"), ("[]", "a list"), ("", "nothing")])
def test_a_machine_needs_engines_and_memories(part, line, new, problem, tmp_path):
    lines = TOY.splitlines()
    lines[line - 1 : line + 2] = [f"{part}: {new}"]
    file = tmp_path / "toy.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(str(file))
    assert str(caught.value).startswith(f"{file}:{line}: {part}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "toy"])
def test_a_file_without_keys_is_refused(text, tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(str(file), ["name=x"])
    assert str(caught.value).startswith(f"{file}:1: expected keys with values")


def test_an_operator_without_an_engine_is_named_with_what_each_engine_runs(toy):
    machine = costmodel.machine(toy(("runs: rest", "runs: [Softmax, MaxPool]")))
    with pytest.raises(CostModelError) as caught:
        costmodel.cost("hairnet", machine)
    message = str(caught.value)
    for part in ("'toy'", "'BatchNorm'", "matrix runs Conv, Linear", "host runs Softmax, MaxPool"):
        assert part in message


def test_each_operator_of_a_fused_layer_runs_on_its_own_engine(toy):
    machine = costmodel.machine(toy())
    assert [machine.engine_for(name).name for name in ("Conv", "BatchNorm", "Relu")] == ["matrix", "host", "host"]
    layers = costmodel.cost("hairnet", machine).layers
    assert (layers["operator"][0], layers["engine"][0]) == ("Conv+BatchNorm+Relu", "matrix+host")
    matrix, host = (engine.peak for engine in machine.engines)
    macs, elementwise = 27 * 32 * 224 * 224, (4 + 1) * 32 * 224 * 224
    assert layers["compute_seconds"][0] == pytest.approx(2 * macs / matrix + elementwise / host, rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (", bandwidth: 8 GB/s", "", ["memories.far", "the farthest memory needs a bandwidth; inf is accepted"]),
        ("  far:", "  host:", ["memories.host", "'host' is the name of an engine already"]),
        ("  far:", "  nothing:", ["memories.nothing", "'nothing' is no name"]),
        ("  far:", "  l.3:", ["memories.l.3", "'l.3' is no name: it must be a word without dots"]),
    ],
)
def test_what_would_mislead_is_refused(toy, old, new, parts):
    with pytest.raises(CostModelError) as caught:
        costmodel.machine(toy((old, new)))
    for part in parts:
        assert part in str(caught.value)


def test_a_users_machine_times_a_network(toy):
    simulation = costmodel.cost("hairnet", toy())
    assert simulation.hardware.name == "toy"
    assert simulation.layers["layer"][0] == "stem.conv2D+bn+relu"  # the longer pattern
    assert set(simulation.layers["input_memory"]) <= {"near", "far"}


# Settings


def test_settings_change_what_they_name_only():
    paper = costmodel.machine("paper-2012")
    changed = costmodel.machine("paper-2012", ["memories.external.bandwidth=2 GB/s", "overlap=layer"])
    near, far = paper.memories
    settings = ("memories.external.bandwidth=2 GB/s", "overlap=layer")
    memories = (near, replace(far, bandwidth=2e9))
    assert changed == replace(paper, memories=memories, overlap="layer", settings=settings)
    assert changed.title == "paper-2012 with memories.external.bandwidth=2 GB/s, overlap=layer"
    assert costmodel.machine("paper-2012") == paper  # the shipped one is as before


def test_the_last_of_two_settings_holds():
    machine = costmodel.machine("paper-2012", ["engines.host.peak=1 GFLOPS", "engines.host.peak=3 GFLOPS"])
    assert machine.engines[1].peak == 3e9


def test_a_setting_may_add_and_replace_parts():
    machine = costmodel.machine("paper-2012", ["engines.pool={peak: 1 GOP/s, runs: [MaxPool]}", "fuse=[]"])
    assert [engine.name for engine in machine.engines] == ["matrix", "host", "pool"]
    assert (machine.engine_for("MaxPool").name, machine.engine_for("Relu").name) == ("pool", "host")
    assert machine.fuse == ()


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("engines.host.peak=3", ["engines.host.peak: ", "'3' has no unit"]),
        ("engines.host.peek=3 GFLOPS", ["engines.host.peek: ", "did you mean 'peak'?"]),
        ("engines.matrix.runs=[Conv, Cnov]", ["engines.matrix.runs[1]: ", "did you mean 'Conv'?"]),
        ("fuse=[[Conv, Rel]]", ["fuse[0][1]: ", "did you mean 'Relu'?"]),
        ("placement=treshold", ["placement: ", "did you mean 'threshold'?"]),
        ("engines.host={runs: rest}", ["engines.host: ", "'peak' is missing"]),
        ("memories={}", ["memories: ", "at least one"]),
        ("name=", ["name: ", "nothing"]),
    ],
)
def test_a_wrong_setting_is_named_and_not_the_file(setting, parts):
    with pytest.raises(CostModelError) as caught:
        costmodel.machine("paper-2012", [setting])
    message = str(caught.value)
    assert message.startswith(f"--set {setting!r}: ")
    assert all(part in message for part in parts), message


def test_a_memory_may_read_and_write_at_different_rates(toy):
    machine = costmodel.machine(toy(("bandwidth: 8 GB/s", "read: 8 GB/s, write: 2 GB/s")))
    near, far = machine.memories
    assert near.rates == (math.inf, math.inf)
    assert far.rates == (8e9, 2e9)
    assert far.rate == 8e9
    assert far.seconds(16, 6) == 16 / 8e9 + 6 / 2e9
    assert near.seconds(16, 6) == 0
    run = costmodel.cost("lenet5", machine)
    (row,) = [row for row in run.resources.rows() if row["resource"] == "far"]
    inputs, outputs = 32 * 32 * 4, 10 * 4
    weights = run.layers.total("weight_bytes")
    assert row["amount"] == inputs + weights + outputs
    assert row["seconds"] == pytest.approx((inputs + weights) / 8e9 + outputs / 2e9)
    assert row["rate"] == pytest.approx(row["amount"] / row["seconds"])
    assert run.layers.total("transfer_seconds") == pytest.approx(row["seconds"])
