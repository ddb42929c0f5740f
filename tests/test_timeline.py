"""When transfers and computations run: bounds that any schedule keeps, sums that add up, files that viewers open."""

import json
import math
from itertools import pairwise, product

import pytest
import test_cli
import test_tile
from hypothesis import given, settings
from hypothesis import strategies as st

import costmodel
from costmodel import zoo
from costmodel.errors import CostModelError
from costmodel.graph import Graph
from costmodel.hardware import Engine, Hardware, Memory
from costmodel.ops import Input, Linear
from costmodel.profile import profile
from costmodel.schedule import spans
from costmodel.timeline import timeline, trace

TIMES = st.floats(0, 1, allow_subnormal=False)
LAYERS = st.lists(st.tuples(TIMES, TIMES, st.floats(0, 0.1), st.floats(0, 1)), min_size=1, max_size=12)
OVERLAPS = ("none", "layer", "prefetch")
MACHINE = """
name: three
source: made up for a test
engines:
  matrix: {peak: 100 GFLOPS, runs: [Conv, Linear, MatMul]}
  host: {peak: 10 GFLOPS, runs: rest}
memories:
  near: {size: 400 kB, bandwidth: 50 GB/s}
  middle: {size: 2 MB, bandwidth: 8 GB/s}
  far: {size: inf, bandwidth: 2 GB/s}
overlap: prefetch
overhead: 3 us
placement: liveness
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    path = tmp_path_factory.mktemp("machines") / "three.yaml"
    path.write_text(MACHINE, encoding="utf-8")
    return str(path)


@given(LAYERS)
def test_no_schedule_is_faster_than_its_busiest_line_or_slower_than_none(layers):
    moving, working, overhead, shares = zip(*layers, strict=True)
    early = [0.0, *(move * share for move, share in zip(moving[1:], shares[1:], strict=True))]
    ends = {overlap: spans(moving, working, overhead, early, overlap)[-1].end for overlap in OVERLAPS}
    near = 1 + 1e-12
    assert math.isclose(ends["none"], math.fsum([*moving, *working, *overhead]), abs_tol=1e-12)
    assert math.isclose(
        ends["layer"], math.fsum([max(m, w) + o for m, w, o, _ in layers]), rel_tol=1e-12, abs_tol=1e-12
    )
    assert ends["prefetch"] <= ends["layer"] * near + 1e-12 <= ends["none"] * near + 2e-12
    assert ends["prefetch"] * near + 1e-12 >= max(math.fsum(moving), math.fsum(working) + math.fsum(overhead))


def test_two_layers_by_hand():
    """The second layer's 3 s of weights come while the first computes for 5 s after 2 s of transfers."""
    (_, *_), (early, start, transfer, end) = spans([2, 4], [5, 6], [0, 0], [0, 3], "prefetch")
    assert (early, start, transfer, end) == (2, 5, 5, 11)
    assert spans([2, 4], [5, 0.5], [0, 0], [0, 3], "prefetch")[1].end == 6
    assert spans([2, 4], [1, 1], [0, 0], [0, 3], "prefetch")[1] == (2, 2, 5, 6)  # early ones may take longer, too


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize(
    ("name", "policy"),
    [*product(["hairnet", "resnet18", "nasnet_a_mobile"], ["threshold", "liveness"]),
     ("hairnet", "tiled"), ("resnet18", "tiled")],
)  # fmt: skip
def test_a_timeline_does_what_the_simulation_charges(name, overlap, policy, three):
    for machine in ("paper-2012", three):
        simulation = costmodel.cost(name, machine, overlap=overlap, placement=policy)
        rows = timeline(simulation)
        assert math.isclose(max(rows["end_seconds"]), simulation.seconds, rel_tol=1e-9)
        memories = {memory.name for memory in simulation.hardware.memories}
        amounts = dict.fromkeys(simulation.resources["resource"], 0)
        lines = {True: [], False: []}  # of transfers, and of computations
        for _, resource, what, start, end, amount in rows.tuples():
            assert 0 <= start < end
            if what != "start":
                amounts[resource] += amount
                lines[resource in memories].append((start, end))
        for resource, amount, rate in zip(
            *(simulation.resources[column] for column in ("resource", "amount", "rate")), strict=True
        ):
            assert amounts[resource] == (amount if rate < math.inf else 0)
        for line in lines.values():
            assert all(after[0] >= before[1] - 1e-12 for before, after in pairwise(sorted(line)))


@pytest.mark.parametrize("name", zoo.names())
def test_what_is_fetched_early_has_room_and_is_there(name, three):
    simulation = costmodel.cost(name, three)
    needs, live = simulation.profile, simulation.layers["live_bytes"]
    size, kinds = simulation.hardware.memories[0].size, needs.tensors["kind"]
    assert any(early.streams for early in simulation.early)
    held = 0
    for layer, early in enumerate(simulation.early):
        streamed = sum(early.streams.values())
        moved = sum(moved for (_, target), moved in early.moves.items() if target == 0)
        if streamed or moved:
            assert live[layer - 1] + held + streamed + moved <= size
            assert live[layer] + streamed <= size
        held = streamed
        there = 0  # what is no result of the layer before
        for at, tensor, mode, amount in needs.accesses.select(["layer", "tensor", "mode", "bytes"]).tuples():
            is_new = kinds[tensor] in {"map", "output"} and needs.tensors["born"][tensor] >= layer - 1
            if at == layer and mode == "read" and not is_new:
                there += amount
        assert streamed + sum(early.moves.values()) <= 2 * there
        assert early.seconds(simulation.hardware) <= simulation.layers["transfer_seconds"][layer] * (1 + 1e-12)


def check_early_parts(simulation):
    """Beside what the run before takes there is room for what comes early, and all of it is there by then."""
    plan, hardware = simulation.placement.plan, simulation.hardware
    size, taken = hardware.memories[-2].size, plan.taken()
    run_of = {layer.row: number for number, run in enumerate(plan.runs) for layer in run.layers}
    is_outside = {}  # map -> the run that writes it
    for number, run in enumerate(plan.runs):
        for move in run.moves:
            if move.written:
                is_outside.setdefault(move.tensor, number)
    waiting = 0  # what is certainly in a buffer, beside what has a place in its run
    for row, early in enumerate(simulation.early):
        fetched = sum(early.streams.values()) + sum(early.moves.values())
        before = run_of.get(row - 1, -1)
        if not fetched:
            waiting = 0
            continue
        run = plan.runs[run_of[row]]
        layer = next(layer for layer in run.layers if layer.row == row)
        there = sum(
            -(-move.bits // 8)
            for move in run.moves
            if move.layer == row and not move.written and is_outside.get(move.tensor, -1) < min(before, run_of[row])
        )
        view = row - 1 not in run_of  # while it is there, for no time, the last run is over
        assert fetched <= there or view
        kept = sum(plan.maps[tensor].size for tensor in run.before) // 8
        assert fetched <= size - kept
        if before != run_of[row]:
            assert taken[row - 1] + waiting + fetched <= size
        waiting = max(0, fetched - (taken[row] - kept))
        if run.kind == "whole" and layer is run.layers[0] and not early.moves:  # weights pass, only maps have a place
            maps = sum(plan.maps[tensor].size for tensor in {*layer.reads} - run.before) // 8
            waiting = max(0, fetched - maps)
        assert taken[row] + waiting <= size
    for row, early in enumerate(simulation.early):
        assert early.seconds(hardware) <= simulation.layers["transfer_seconds"][row] * (1 + 1e-12)


@pytest.mark.parametrize("name", ["lenet5", "hairnet", "squeezenet", "resnet18", "mobilenet_v2", "shufflenet"])
def test_parts_of_the_next_run_come_early_where_there_is_room(name, three):
    for machine in ("paper-2012", three):
        prefetch, layer = (costmodel.cost(name, machine, overlap=o, placement="tiled") for o in ("prefetch", "layer"))
        check_early_parts(prefetch)
        assert any(early.streams for early in prefetch.early)
        assert busiest(prefetch) * (1 - 1e-9) <= prefetch.seconds < layer.seconds


@given(st.integers(0, 10**9), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_parts_of_random_networks_come_early_where_there_is_room(seed, part):
    graph = test_tile.network(seed)
    whole = profile(graph)
    size = 100 + part * (whole.peak_map_bytes + whole.layers.total("weight_bytes")) // 40
    hardware = Hardware(
        name="test",
        engines=(Engine("all", 1e9, ("rest",)),),
        memories=(Memory("near", size, 5e9), Memory("far", math.inf, 1e9)),
    )
    try:
        none, layer, prefetch = (
            costmodel.cost(graph, hardware, overlap=overlap, placement="tiled") for overlap in OVERLAPS
        )
    except CostModelError:
        return
    check_early_parts(prefetch)
    assert prefetch.seconds <= layer.seconds * (1 + 1e-9) <= none.seconds * (1 + 2e-9)
    assert prefetch.seconds >= busiest(prefetch) * (1 - 1e-9)


def test_the_first_weights_of_the_next_layer_come_early_by_hand():
    """Two products of 4 x 4 numbers on one image of 4: all of the second's weights wait beside the first's work."""
    graph = Graph(Linear(4, bias=False)(Linear(4, bias=False)(Input((1, 4))(), name="a"), name="b"), "two")
    weights, image = 4 * 4 * 4, 4 * 4

    def early(size):
        memories = (Memory("near", size), Memory("far", math.inf, 1e9))
        hardware = Hardware(name="test", engines=(Engine("all", 1e6, ("rest",)),), memories=memories)
        simulation = costmodel.cost(graph, hardware, overlap="prefetch", placement="tiled")
        assert [run.kind for run in simulation.placement.plan.runs] == ["whole", "whole"]
        return [early.streams.get(1, 0) for early in simulation.early]

    taken = 2 * image + 4  # of either layer: its operand, its result and one weight
    assert early(taken) == [0, 0]
    assert early(taken + 20) == [0, 20]
    assert early(taken + weights) == early(10 * weights) == [0, weights]


def busiest(simulation):
    """The longer of the two lines."""
    layers = simulation.layers
    return max(
        math.fsum(layers["transfer_seconds"]), math.fsum([*layers["compute_seconds"], *layers["overhead_seconds"]])
    )


@pytest.mark.parametrize("name", zoo.names())
def test_more_overlap_is_never_slower(name, three):
    for machine in ("paper-2012", three):
        none, layer, prefetch = (costmodel.cost(name, machine, overlap=overlap) for overlap in OVERLAPS)
        assert prefetch.seconds <= layer.seconds * (1 + 1e-9) <= none.seconds * (1 + 2e-9)
        assert prefetch.seconds >= busiest(prefetch) * (1 - 1e-9)


def test_a_trace_is_complete_events_in_microseconds(three):
    simulation = costmodel.cost("lenet5", three)
    events = json.loads(trace(simulation))["traceEvents"]
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert set(threads.values()) == {"three", "near", "middle", "far", "matrix", "host"}
    tasks = [event for event in events if event["ph"] == "X"]
    assert len(tasks) == len(timeline(simulation))
    assert {event["cat"] for event in tasks} == {"start", "prefetch", "read", "write", "compute"}
    assert math.isclose(max(event["ts"] + event["dur"] for event in tasks), simulation.seconds * 1e6, rel_tol=1e-9)


def test_the_command_line_draws_and_writes(tmp_path, three):
    path = tmp_path / "trace.json"
    done = test_cli.run("profile", "lenet5", "--hw", three, "--timeline", "--trace", str(path))
    assert done.returncode == 0
    rows = done.stdout.splitlines()
    assert rows[0] == "lenet5 on three, overlap prefetch, placement liveness"
    assert "transfer" in rows[1]
    drawn = [row.split()[0] for row in rows[2:] if row[:1].strip()]
    shown = [layer for layer in costmodel.cost("lenet5", three).layers["layer"] if layer in drawn]
    assert drawn[: len(shown)] == shown
    assert len(shown) >= 8
    assert json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    assert json.loads(test_cli.run("profile", "lenet5", "--hw", three, "--trace", "-").stdout)


def test_the_explanation_adds_up(three):
    for layer in costmodel.cost("resnet18", three).layers["layer"][:12]:
        done = test_cli.run("explain", "resnet18", layer, "--hw", three)
        assert done.returncode == 0, done.stderr
        assert "early" in done.stdout
