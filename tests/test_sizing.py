"""The smallest memory that suffices: against formulas, against one byte less, and what a user can get wrong."""

import csv
import io
import math
from dataclasses import replace

import pytest
import test_cli

import costmodel
from costmodel.place.placement import USUAL
from costmodel.placements import run
from costmodel.profile import profile
from costmodel.sizing import EXACT, Target, sized

PAPER = costmodel.machine("paper-2012")


def needs(name):
    return profile(costmodel.network(name), patterns=PAPER.fuse)


@pytest.mark.parametrize("policy", ["threshold", "liveness"])
@pytest.mark.parametrize(("name", "target"), [("hairnet", "latency=100 ms"), ("squeezenet", "traffic=10 MB")])
def test_what_is_found_suffices_and_a_byte_less_does_not(name, target, policy):
    wanted, network = Target.parse(target), needs(name)
    found = sized(network, PAPER, wanted, policy=policy).found

    def figures(size):
        memories = (replace(PAPER.memories[0], size=size), *PAPER.memories[1:])
        simulation, verdict, _ = run(network, replace(PAPER, memories=memories), policy, USUAL)
        moved = simulation.resources["amount"][1]
        return verdict.accepted, simulation.seconds if wanted.kind == "latency" else moved

    accepted, amount = figures(int(found.value))
    assert accepted
    assert amount <= wanted.most
    accepted, amount = figures(int(found.value) - 1)
    assert not accepted or amount > wanted.most


def test_a_bandwidth_is_that_of_the_formula():
    """Without overlap and with the same placement: latency = bytes / bandwidth + compute."""
    simulation = costmodel.cost("hairnet", PAPER, placement="liveness")
    moved = simulation.layers.total("transfer_bytes")
    compute = math.fsum(simulation.layers["compute_seconds"])
    for latency in (0.5, 0.05, 0.01):
        curve = sized(needs("hairnet"), PAPER, Target("latency", latency), varied="bandwidth", policy="liveness")
        assert math.isclose(curve.found.value, moved / (latency - compute), rel_tol=2 * EXACT)
        assert curve.memory == "external"


def test_the_curve_is_in_order_and_says_what_is_reached():
    target = Target.parse("traffic=20 MB")
    curve = sized(needs("hairnet"), PAPER, target, policy="liveness")
    values = [point.value for point in curve.points]
    assert values == sorted(set(values))
    assert values[0] == min(size for size in needs("hairnet").tensors["bytes"] if size)
    for point, reached in zip(curve.points, curve.table["reached"], strict=True):
        assert reached == (point.accepted and point.traffic <= target.most)
    assert curve.found.value == min(point.value for point in curve.points if point.reaches(target))
    seconds = [point.seconds for point in curve.grid if point.accepted]
    assert seconds == sorted(seconds, reverse=True)  # of this network and policy


def test_what_no_size_reaches():
    curve = sized(needs("lenet5"), PAPER, Target("latency", 1e-9))
    assert curve.found is None
    done = test_cli.run("size", "lenet5", "--hw", "paper-2012", "--target", "latency=1 ns")
    assert done.returncode == 1
    assert "no size reaches it; the best is" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "speed=3"], "target 'speed=3' is not accepted"),
        (["--target", "latency"], "target 'latency' is not accepted; known: latency, traffic, as in"),
        (["--target", "latency=-1 ms"], "target 'latency=-1 ms' is not accepted; it must be at least 0"),
        (["--target", "latency=3"], "has no unit"),
        (["--target", "latency=3 MB"], "MB"),
        (["--target", "traffic=1 MB", "--memory", "internl"], "has no memory 'internl'; did you mean 'internal'?"),
        (["--target", "traffic=1 MB", "--vary", "sise"], "cannot vary 'sise' of a memory; did you mean 'size'?"),
        (["--target", "latency=1 s", "--vary", "bandwidth", "--memory", "internal"], "takes no time"),
        (["--target", "latency=1 s", "--place", "livenes"], "no placement policy 'livenes'"),
        (["--target", "latency=1 s", "--plot", "x.bmp"], "x.bmp"),
    ],
)
def test_what_a_user_can_get_wrong(options, message):
    done = test_cli.run("size", "lenet5", "--hw", "paper-2012", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_curve_as_csv_and_as_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curve.svg"
    words = ["--place", "liveness", "--target", "traffic=1 MB", "--csv", "-", "--plot", str(path)]
    done = test_cli.run("size", "lenet5", "--hw", "paper-2012", *words)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0
    assert {row["memory"] for row in rows} == {"internal"}
    assert "size of internal" in path.read_text(encoding="utf-8")
