"""Placements: a checker that is itself put to the test, policies that pass it, and the least by brute force."""

import csv
import importlib
import io
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arena import CROWDED
from typer.testing import CliRunner

import costmodel
from costmodel import placements, zoo
from costmodel.cli import app
from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Stored
from costmodel.hardware import Engine, Hardware, Memory
from costmodel.ops import Add, BatchNorm, Concat, Conv, Embedding, Flatten, Linear, MaxPool, Not, Relu, Sigmoid, Slice
from costmodel.place import POLICIES, place
from costmodel.place.check import check
from costmodel.place.lives import assemble, lives
from costmodel.place.offsets import layout
from costmodel.place.placement import START, Copy, Options, Placement, Traffic, flow, static
from costmodel.profile import MAPS, profile
from costmodel.simulate import simulate

REPORT = Path(__file__).parents[1] / "reports" / "placement.csv"
FAITHFUL = [name for name in POLICIES if name != "threshold"]
WHOLE = [name for name in FAITHFUL if name != "tiled"]  # all that is in a memory is whole tensors


def machine(*memories):
    return Hardware(name="test", engines=(Engine("all", 1e12, ("rest",)),), memories=memories)


def two(size, near=math.inf, far=1e9):
    return machine(Memory("internal", size, near), Memory("external", math.inf, far))


def asymmetric(size):
    near = Memory("internal", size, read=8e9, write=4e9)
    return machine(near, Memory("external", math.inf, read=2e9, write=1e9))


def residual(channels=8, side=16):
    """A branch that waits for a sum, a concatenation and a view."""
    x = Input((1, 3, side, side))()
    x = Conv(channels, 3, pads=1)(x, name="stem")
    y = Relu()(BatchNorm()(Conv(channels, 3, pads=1)(x, name="inner"), name="bn"), name="relu")
    z = Concat()(Add()(x, y, name="sum"), x, name="join")
    return Graph(Linear(10)(Flatten()(MaxPool(2)(z, name="pool"), name="flat"), name="dense"), "residual")


@st.composite
def graphs(draw, most=5):
    """Small networks of every shape: maps of different sizes, some read late and often, some results never read."""
    x = Input((1, draw(st.integers(1, 3)), 4, 4))()
    maps = [x]
    for _ in range(draw(st.integers(2, most))):
        a = draw(st.sampled_from(maps[-3:]))
        kind = draw(st.sampled_from(["conv", "relu", "add", "concat", "pool", "sigmoid", "slice"]))
        if kind == "add":
            same = [other for other in maps if other.shape == a.shape]
            made = Add()(a, draw(st.sampled_from(same)))
        elif kind == "concat":
            made = Concat()(a, draw(st.sampled_from([other for other in maps if other.shape[2:] == a.shape[2:]])))
        elif kind == "slice":  # reads a part of a map that may have to be moved whole
            made = Slice((0,) * 4, (None, draw(st.integers(1, a.shape[1])), None, None))(a)
        else:
            operator = {"conv": Conv(draw(st.integers(1, 4)), 1), "relu": Relu(), "sigmoid": Sigmoid()}.get(kind)
            made = (operator or MaxPool(3, stride=1, pads=1))(a)
        maps.append(made)
    unread = [tensor for tensor in maps if not any(tensor in later.node.inputs for later in maps)]
    return Graph(unread if draw(st.booleans()) else maps[-1], "random")


sizes = st.integers(1, 14).map(lambda sixteenths: sixteenths * 16 * 4 * 2)


def transferred(needs, hardware, placement):
    return float(simulate(needs, placement, hardware).layers.total("transfer_seconds"))


def accepted(needs, hardware, placement):
    simulation = simulate(needs, placement, hardware)
    finite = [number for number, memory in enumerate(hardware.memories) if memory.size < math.inf]
    layouts = {number: placements.addresses(simulation, number) for number in finite}
    return check(needs, hardware, placement, simulation.traffic, layouts)


# The checker.


def test_threshold_is_refuted_on_hairnet_with_the_layer_and_the_bytes():
    hardware = costmodel.machine("paper-2012")
    needs = profile(costmodel.network("hairnet"), patterns=hardware.fuse)
    verdict = check(needs, hardware, place(needs, hardware, "threshold"))
    assert not verdict.accepted
    first = verdict.problems[0]
    both = 2 * 64 * 56 * 56 * 4  # what the layer reads and what it writes
    assert (first.layer, first.memory, first.needed) == ("stage2.0.dwise_conv", "internal", both)
    assert str(first) == "layer 'stage2.0.dwise_conv': 1.605632 MB must be in 'internal', which has 1 MB"


@given(graph=graphs(), size=sizes, policy=st.sampled_from(FAITHFUL), steady=st.booleans())
@settings(max_examples=80, deadline=None)
def test_every_policy_is_accepted_and_a_byte_less_or_a_byte_unpaid_is_not(graph, size, policy, steady):
    needs, hardware = profile(graph), two(size)
    placement = place(needs, hardware, policy, Options(steady))
    verdict = accepted(needs, hardware, placement)
    assert verdict.accepted, verdict.problems
    peak = verdict.peaks[0]
    if peak > 1:
        smaller = check(needs, two(peak - 1), placement)
        assert {problem.needed for problem in smaller.problems} == {peak}
        assert {problem.memory for problem in smaller.problems} == {"internal"}
    read, written = simulate(needs, placement, hardware).traffic
    unpaid = Traffic(read, [*written[:-1], [written[-1][0] + 1, *written[-1][1:]]])
    (problem,) = check(needs, hardware, placement, unpaid).problems
    assert "are charged for writes to 'external'" in problem.text


@given(graph=graphs(), size=sizes, data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_copy_that_is_used_cannot_be_taken_away(graph, size, data):
    needs, hardware = profile(graph), two(size)
    placement = place(needs, hardware, "liveness")
    served = dict.fromkeys(zip(needs.accesses["tensor"], flow(needs, placement).served, strict=True))
    gone = data.draw(st.sampled_from([copy for copy in placement.copies if copy[:2] in served]))
    rest = Placement("wrong", tuple(copy for copy in placement.copies if copy != gone))
    alone = not any(copy.tensor == gone.tensor for copy in rest.copies)
    if alone:
        assert not check(needs, hardware, rest).accepted
    else:  # another copy may serve, but then other bytes move
        claimed = simulate(needs, placement, hardware).traffic
        assert not check(needs, hardware, rest, claimed).accepted


STEM, INNER, DENSE = 1, 3, 12


def chain():
    """Three maps of one size: conv makes the first, relu could overwrite it, and the sum reads both."""
    x = Conv(4, 1, bias=False)(Input((1, 4, 2, 2))(), name="conv")
    y = Relu()(x, name="relu")
    return profile(Graph(Add()(x, y, name="sum"), "chain"))


def copies(needs, **memory):
    """Every tensor outside for all its life, but those that are given."""
    names = needs.tensors["tensor"]
    outside = [copy for copy in static(needs, [1] * len(needs.tensors)) if names[copy.tensor] not in memory]
    rows = {name: names.index(name) for name in memory}
    return (*outside, *(Copy(rows[name], *place) for name, given in memory.items() for place in given))


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        ({"relu": [(0, 1, 1)]}, "it reads 'relu', which is in no memory"),
        ({"relu": []}, "it writes 'relu', which has no place in any memory"),
        ({"relu": [(1, 2, 2)]}, "'relu' in 'external' should come from another memory, and is in none"),
        ({"relu": [(0, START, 2)]}, "'relu' in 'internal' is there before the layer that makes it"),
        ({"relu": [(0, 1, 2), (0, 1, 2)]}, "'relu' in 'internal' is there twice"),
        ({"relu": [(2, 1, 2)]}, "a copy of 'relu' is in no memory or at no layer"),
        ({"relu": [(0, 1, 3)]}, "a copy of 'relu' is in no memory or at no layer"),
        ({"conv": [(0, 0, 2)], "relu": [(0, 1, 2, 1)]}, "'relu' in 'internal' cannot take the place of another"),
        ({"conv": [(1, 0, 2)], "relu": [(0, 1, 2, 1)]}, "'relu' in 'internal' cannot take the place of another"),
        ({"conv": [(1, 0, 1), (0, 1, 2, 0)]}, "is moved there and cannot take the place of another tensor"),
        ({"conv": [(0, 0, 0)]}, "it reads 'conv', which is in no memory"),
        ({"conv.weight": [(1, START, 2), (0, START, 1)]}, "is there before the run, but not for the next one"),
    ],
)  # fmt: skip
def test_what_a_machine_could_not_do_is_named(memory, problem):
    needs = chain()
    found = check(needs, two(10**6), Placement("wrong", copies(needs, **memory))).problems
    assert any(problem in str(one) for one in found), found


def test_an_output_must_be_somewhere_at_the_end():
    x = Relu()(Input((1, 1, 2, 2))(), name="first")
    needs = profile(Graph([x, Relu()(x, name="second")], "two outputs"))
    placement = Placement("wrong", copies(needs, first=[(0, 0, 1)], second=[(0, 1, 1)]))
    assert check(needs, two(100), placement).accepted
    lost = Placement("wrong", copies(needs, first=[(0, 0, 0), (1, 0, 0)], second=[(0, 1, 1)]))
    assert "the output 'first' is in no memory at the end" in str(check(needs, two(100), lost).problems[-1])


def test_tensors_move_one_after_the_other():
    """Two maps that change places need room for one more in the farther memory: outward comes first."""
    needs = chain()
    size = 4 * 2 * 2 * 4  # of every map, and of the weights
    places = copies(needs, conv=[(0, 0, 1), (1, 2, 2)], relu=[(1, 1, 1), (0, 2, 2)], sum=[(0, 2, 2)])

    def problems(external):
        hardware = machine(Memory("internal", 2 * size), Memory("external", external, 1e9))
        return [(p.layer, p.memory, p.needed) for p in check(needs, hardware, Placement("swap", places)).problems]

    assert problems(3 * size) == []
    assert problems(3 * size - 1) == [("sum", "external", 3 * size)]
    assert problems(2 * size) == [("sum", "external", 3 * size)]  # no layer needs more than two at once


# What may be overwritten.


def replaceable(graph, *patterns):
    needs = profile(graph, patterns=patterns)
    names = needs.tensors["tensor"]
    return {
        (needs.layers["layer"][layer], names[tensor])
        for layer, tensor, _, _, in_place in needs.accesses.tuples()
        if in_place
    }


def test_only_what_is_needed_element_by_element_may_be_overwritten():
    assert replaceable(residual()) == {("bn", "inner"), ("relu", "bn"), ("sum", "stem"), ("sum", "relu")}
    fused = replaceable(residual(), ("Conv", "BatchNorm", "Relu", "Add"))
    assert fused == set()  # the convolution reads the stem's map all around an element that the sum would overwrite
    x = Conv(3, 3, pads=1)(Input((1, 3, 4, 4))(), name="a")
    shortcut = Conv(3, 3, pads=1)(x, name="b")
    apart = Graph(Add()(Conv(3, 3, pads=1)(x, name="c"), shortcut, name="d"), "apart")
    assert replaceable(apart, ("Conv", "Add")) == {("b+d", "c")}  # the earlier convolution takes the sum


def test_an_operand_that_broadcasts_is_not_overwritten():
    x = Input((1, 4, 2, 2))()
    y = MaxPool(2)(x, name="small")
    assert replaceable(Graph(Add()(Relu()(x, name="large"), y, name="sum"), "b")) == {
        ("large", "input"),
        ("sum", "large"),
    }


def test_a_narrower_result_takes_no_place():
    x = Relu()(Input((1, 4, 2, 2))(), name="numbers")
    assert replaceable(Graph(Not()(x, name="truths"), "t")) == {("numbers", "input")}


def test_a_result_takes_the_place_of_its_operand():
    x = Conv(4, 1, bias=False)(Input((1, 4, 2, 2))(), name="conv")
    needs = profile(Graph(Conv(4, 1, bias=False)(Relu()(x, name="relu"), name="last"), "chain"))
    size = 4 * 2 * 2 * 4  # room for one map
    for policy in ("liveness", "optimal"):
        run = simulate(needs, place(needs, two(size), policy), two(size))
        assert run.layers["output_memory"] == ("internal", "internal", "external")
        assert run.layers["live_bytes"] == (size, size, size)
        assert sum(sum(amounts[1]) for amounts in run.traffic) == 2 * size + 2 * 4 * 4 * 4  # in, out and the weights


# The least transfer.


def least(needs, hardware):
    """Brute force: every way to hold, evict, fetch and overwrite maps, layer by layer, between two memories."""
    kinds = needs.tensors["kind"]
    outputs = frozenset(tensor for tensor, kind in enumerate(kinds) if kind == "output")
    touched = [[a for a in needs.accesses.tuples() if a[0] == layer] for layer in range(len(needs.layers))]
    states = {(frozenset(), frozenset(t for t, kind in enumerate(kinds) if kind == "input")): 0.0}  # inside, outside
    for layer, accesses in enumerate(touched):
        needed = {a[1] for step in touched[layer + 1 :] for a in step}
        reached = {}
        for (inside, outside), cost in states.items():
            for held, out, paid in moved(needs, hardware, inside, outside):
                for new_in, new_out, took in ran(needs, hardware, accesses, held, out):
                    state = new_in & needed, new_out & (needed | outputs)
                    reached[state] = min(reached.get(state, math.inf), cost + paid + took)
        states = reached
    return min(cost for (_, outside), cost in states.items() if outputs <= outside)


def moved(needs, hardware, inside, outside):
    """What may be inside and outside after moves before a layer, and the seconds they take."""
    sizes = needs.tensors["bytes"]
    (near_read, near_write), (far_read, far_write) = ([1 / rate for rate in m.rates] for m in hardware.memories)
    for evicted in subsets(inside - outside):
        for fetched in subsets(outside - inside):
            paid = sum(sizes[t] for t in evicted) * (near_read + far_write)
            paid += sum(sizes[t] for t in fetched) * (far_read + near_write)
            for held in subsets(inside | fetched):
                yield held, outside | evicted, paid


def ran(needs, hardware, accesses, held, out):
    """What may be inside and outside after a layer, and the seconds of its accesses."""
    sizes, kinds = needs.tensors["bytes"], needs.tensors["kind"]
    (near_read, near_write), (far_read, far_write) = ([1 / rate for rate in m.rates] for m in hardware.memories)
    reads = [a[1] for a in accesses if a[2] == "read"]
    results = [a[1] for a in accesses if a[2] == "write"]
    if not {t for t in reads if kinds[t] in MAPS} <= held | out:
        return
    paid = sum(a[3] * (near_read if a[1] in held else far_read) for a in accesses if a[2] == "read")
    for ways in itertools.product((1, 2, 3), repeat=len(results)):
        new_in = frozenset(t for t, way in zip(results, ways, strict=True) if way & 1)
        new_out = frozenset(t for t, way in zip(results, ways, strict=True) if way & 2)
        took = sum(sizes[t] * near_write for t in new_in) + sum(sizes[t] * far_write for t in new_out)
        took += sum(sizes[t] * near_read for t in new_in & new_out)
        over = {a[1] for a in accesses if a[4]} & held if new_in else ()
        for lost in [(), *([t] for t in over)]:
            if sum(sizes[t] for t in held | new_in) - sum(sizes[t] for t in lost) <= hardware.memories[0].size:
                yield (held - set(lost)) | new_in, out | new_out, paid + took


def subsets(items):
    items = tuple(items)
    return [frozenset(c) for count in range(len(items) + 1) for c in itertools.combinations(items, count)]


@given(graph=graphs(), size=sizes, make=st.sampled_from([two, asymmetric]))
@settings(max_examples=60, deadline=None)
def test_optimal_is_the_least_of_all_placements_and_evictions(graph, size, make):
    needs, hardware = profile(graph), make(size)
    placement = place(needs, hardware, "optimal")
    assert placement.proven
    found = transferred(needs, hardware, placement)
    assert found == pytest.approx(least(needs, hardware), rel=1e-9)
    assert placement.bound == pytest.approx(found, rel=1e-9)
    assert found <= transferred(needs, hardware, place(needs, hardware, "liveness")) * (1 + 1e-12)


@pytest.mark.parametrize("halves", range(1, 8))
def test_an_operand_that_is_read_again_keeps_its_bytes(halves):
    needs, hardware = chain(), two(halves * 2 * 2 * 4 * 2)  # in halves of a map
    placement = place(needs, hardware, "optimal")
    assert accepted(needs, hardware, placement).accepted
    assert transferred(needs, hardware, placement) == pytest.approx(least(needs, hardware), rel=1e-9)


def test_a_map_is_evicted_and_fetched_back():
    x = Conv(4, 1, bias=False)(Input((1, 1, 4, 4))(), name="early")
    y = Conv(8, 1, bias=False)(MaxPool(3, stride=1, pads=1)(x, name="pool"), name="wide")
    y = Conv(4, 1, bias=False)(MaxPool(3, stride=1, pads=1)(y, name="widest"), name="narrow")
    y = MaxPool(3, stride=1, pads=1)(Add()(y, x, name="first"), name="between")
    needs = profile(Graph(Add()(y, x, name="second"), "late"))
    channel = 4 * 4 * 4
    hardware = two(16 * channel)
    moves = flow(needs, place(needs, hardware, "optimal")).moves
    names, layers = needs.tensors["tensor"], needs.layers["layer"]
    assert [(names[move.tensor], layers[move.layer], move.target) for move in moves] == [
        ("early", "early", 1), ("early", "first", 0),
    ]  # fmt: skip


def test_the_solver_prints_nothing():
    command = [sys.executable, "-m", "costmodel", "place", "lenet5", "--hw", "paper-2012", "--place", "optimal"]
    done = subprocess.run([*command, "--csv", "-"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("network,policy,")
    assert not done.stderr


@given(graph=graphs(3), sizes=st.tuples(sizes, sizes), far=st.sampled_from([1e9, 5e8]))
@settings(max_examples=20, deadline=None)
def test_optimal_is_the_least_of_all_paths_through_three_memories(graph, sizes, far):
    needs = profile(graph)
    hardware = machine(
        Memory("near", sizes[0], read=16e9, write=8e9),
        Memory("middle", sizes[1] * 2, 4e9),
        Memory("far", math.inf, read=far, write=far / 2),
    )
    known = lives(needs)
    paths = [list(itertools.product(range(3), repeat=len(life.spans))) for life in known]
    found = math.inf
    for chosen in itertools.product(*paths):
        near = {life.tensor: list(path) for life, path in zip(known, chosen, strict=True)}
        placement = Placement("one of all", assemble(needs, hardware, known, near, {}))
        if any(copy.first > copy.last for copy in placement.copies):
            continue  # there and back between two layers
        if accepted(needs, hardware, placement).accepted:
            found = min(found, transferred(needs, hardware, placement))
    best = place(needs, hardware, "optimal")
    assert best.proven
    assert accepted(needs, hardware, best).accepted
    assert transferred(needs, hardware, best) == pytest.approx(found, rel=1e-9)
    greedy = place(needs, hardware, "liveness")
    assert accepted(needs, hardware, greedy).accepted
    assert transferred(needs, hardware, greedy) >= found * (1 - 1e-12)


def test_when_time_is_up_the_best_found_comes_with_its_bound():
    hardware = costmodel.machine("paper-2012")
    needs = profile(costmodel.network("nasnet_a_mobile"), patterns=hardware.fuse)
    run = placements.run(needs, hardware, "optimal", Options(seconds=0.001))
    placement = run.simulation.placement
    assert run.verdict.accepted
    assert not placement.proven
    greedy = transferred(needs, hardware, place(needs, hardware, "liveness"))
    assert 0 < placement.bound < transferred(needs, hardware, placement) <= greedy
    assert placement.bound < transferred(needs, hardware, place(needs, hardware, "optimal"))


# Image after image.


@given(graph=graphs(), size=sizes)
@settings(max_examples=40, deadline=None)
def test_weights_stay_where_that_saves_traffic(graph, size):
    needs, hardware = profile(graph), two(size)
    for policy in ("liveness", "optimal", "tiled"):
        once, stream = (place(needs, hardware, policy, Options(steady)) for steady in (False, True))
        assert accepted(needs, hardware, stream).accepted
        assert transferred(needs, hardware, stream) <= transferred(needs, hardware, once) * (1 + 1e-12)
        moved = simulate(needs, stream, hardware).traffic
        assert not list(overlaps(layout(needs, stream, 0, size), needs.tensors["bytes"]))
        floor = placements.floor(needs, hardware, Options(steady_state=True))
        assert sum(sum(amounts[1]) for amounts in moved) >= floor


@given(graph=graphs(4), size=sizes)
@settings(max_examples=25, deadline=None)
def test_the_weights_that_stay_are_the_best_of_all(graph, size):
    needs = profile(graph)
    read = {}
    for _, tensor, _, amount, _ in needs.accesses.tuples():
        if needs.tensors["kind"][tensor] not in MAPS:
            read[tensor] = read.get(tensor, 0) + amount
    found = math.inf
    for kept in subsets(read):
        left = size - sum(needs.tensors["bytes"][tensor] for tensor in kept)
        if left >= 0:
            found = min(found, least(needs, two(left)) - sum(read[tensor] for tensor in kept) / 1e9)
    best = place(needs, two(size), "optimal", Options(steady_state=True))
    assert best.proven
    assert transferred(needs, two(size), best) == pytest.approx(found, rel=1e-9)


def test_the_floor_has_what_is_shared_or_read_in_part_once():
    words = Input((1, 2), "int64")()
    (x,) = Embedding(100, 4).apply(words, name="table", stored={"weight": Stored(shared="tied")})
    (x,) = Linear(100, bias=False).apply(x, name="head", stored={"weight": Stored(shared="tied")})
    needs = profile(Graph(Linear(3, bias=False)(x, name="last"), "tied"))
    tied, last, outside = 100 * 4 * 4, 100 * 3 * 4, 2 * 8 + 2 * 3 * 4  # the table is read in part, then all of it
    for policy in FAITHFUL:
        for steady in (False, True):
            moved = placements.run(needs, two(2000), policy, Options(steady)).simulation.traffic
            least = placements.floor(needs, two(2000), Options(steady))
            assert least == outside + (max(tied + last - 2000, 0) if steady else tied + last)
            assert sum(sum(amounts[1]) for amounts in moved) >= least


def test_a_network_that_fits_moves_only_its_images():
    hardware = costmodel.machine("paper-2012")
    needs = profile(costmodel.network("lenet5"), patterns=hardware.fuse)
    for policy in ("liveness", "optimal", "tiled"):
        run = placements.run(needs, hardware, policy, Options(steady_state=True))
        assert run.simulation.layers.total("transfer_bytes") == 32 * 32 * 4 + 10 * 4
        assert placements.compare([run], Options(steady_state=True))["floor_ratio"] == (1.0,)


# Addresses.


def overlaps(planned, sizes):
    """Pairs of copies that share a byte and a layer, but for a result and the operand that it overwrites."""
    boxes = list(zip(planned.copies, planned.offsets, strict=True))
    for (one, start), (other, begin) in itertools.combinations(boxes, 2):
        in_time = one.first <= other.last and other.first <= one.last
        in_space = start < begin + sizes[other.tensor] and begin < start + sizes[one.tensor]
        handed = (one.over, one.first) == (other.tensor, other.last) or (other.over, other.first) == (
            one.tensor,
            one.last,
        )
        if in_time and in_space and not handed:
            yield one, other


@given(graph=graphs(8), size=sizes, steady=st.booleans(), policy=st.sampled_from(WHOLE))
@settings(max_examples=60, deadline=None)
def test_addresses_never_overlap(graph, size, steady, policy):
    needs, hardware = profile(graph), two(size)
    placement = place(needs, hardware, policy, Options(steady))
    planned, sizes = layout(needs, placement, 0, size), needs.tensors["bytes"]
    assert not list(overlaps(planned, sizes))
    for copy, offset in zip(planned.copies, planned.offsets, strict=True):
        for other, start in zip(planned.copies, planned.offsets, strict=True):
            if copy.over is not None and (other.tensor, other.last) == (copy.over, copy.first):
                assert offset == start
    ends = [offset + sizes[copy.tensor] for copy, offset in zip(planned.copies, planned.offsets, strict=True)]
    assert planned.size == max(ends, default=0) >= planned.floor
    assert planned.floor == check(needs, hardware, placement).peaks[0]


def crowded():
    """Nine maps, each made by a layer and read by one: 6 units live at most, and no addresses within 6."""
    sizes, born, dies = CROWDED
    made = []
    for layer in range(max(dies) + 1):
        read = [x for x, last in zip(made, dies, strict=False) if last == layer] or [Input((1, 1, 4, 4))()]
        x = Concat()(*read) if len(read) > 1 else read[0]
        made.append(Conv(sizes[layer] if layer in born else 1, 1, bias=False)(x, name=f"map{layer}"))
    return profile(Graph(made[-1], "crowded"), patterns=(("Concat", "Conv"),))


UNIT = 4 * 4 * 4  # bytes of a channel


def near_and_far(size):
    return two(size)


def nothing_near(size):
    return machine(Memory("nearest", 1), Memory("middle", size), Memory("far", math.inf, 1e9))


@pytest.mark.parametrize("make", [near_and_far, nothing_near])
@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("room", [6 * UNIT, 6 * UNIT + 40])
def test_optimal_is_the_least_of_all_placements_that_have_addresses(make, steady, room):
    needs, hardware = crowded(), make(room)
    near, known = len(hardware.memories) - 2, lives(needs)
    weights = [
        size for size, kind in zip(needs.tensors["bytes"], needs.tensors["kind"], strict=True) if kind not in MAPS
    ]
    stay = {0}  # all the bytes that weights may take together
    for size in weights if steady else ():
        stay |= {taken + size for taken in stay}
    best = by_bytes = math.inf
    for chosen in itertools.product((near, near + 1), repeat=sum(len(life.spans) for life in known)):
        homes = iter(chosen)
        held = {life.tensor: [next(homes) for _ in life.spans] for life in known}
        placement = Placement("one of all", assemble(needs, hardware, known, held, {}))
        if not check(needs, hardware, placement).accepted:
            continue
        seconds, planned = transferred(needs, hardware, placement), layout(needs, placement, near)
        for taken, least in ((planned.floor, "bytes"), (planned.size, "addresses")):
            saved = max((size for size in stay if size <= room - taken), default=-math.inf) / 1e9
            if least == "bytes":
                by_bytes = min(by_bytes, seconds - saved)
            else:
                best = min(best, seconds - saved)
    found = place(needs, hardware, "optimal", Options(steady))
    assert by_bytes < best  # so that the addresses do decide
    assert found.proven
    assert transferred(needs, hardware, found) == pytest.approx(best, rel=1e-9)
    for policy in ("optimal", "liveness", "reuse"):
        assert accepted(needs, hardware, place(needs, hardware, policy, Options(steady))).accepted


def test_what_has_the_bytes_and_no_addresses_is_refused():
    needs, hardware = crowded(), two(6 * UNIT)
    held = {life.tensor: [0] * len(life.spans) for life in lives(needs)}
    placement = Placement("all near", assemble(needs, hardware, lives(needs), held, {}))
    assert check(needs, hardware, placement).accepted
    (problem,) = accepted(needs, hardware, placement).problems
    assert (problem.memory, problem.needed) == ("internal", 7 * UNIT)
    planned, sizes = layout(needs, placement, 0), needs.tensors["bytes"]
    pairs = zip(planned.copies, planned.offsets, strict=True)
    highest = {copy.first for copy, offset in pairs if offset + sizes[copy.tensor] == 7 * UNIT}
    assert needs.layers["layer"].index(problem.layer) in highest
    assert "it uses addresses up to 448 B in 'internal', which has 384 B: 14.3% of them lie between" in str(problem)


def test_two_copies_at_one_address_are_refused():
    needs, hardware = profile(residual()), two(10**6)
    placement, names = place(needs, hardware, "optimal"), needs.tensors["tensor"]
    planned = layout(needs, placement, 0)
    assert check(needs, hardware, placement, layouts={0: planned}).accepted
    bottom = planned._replace(offsets=(0,) * len(planned.offsets))
    problems = check(needs, hardware, placement, layouts={0: bottom}).problems
    named = {pair for problem in problems for pair in re.findall("'([^']*)' and '([^']*)' share", str(problem))}
    shared = {(names[one.tensor], names[other.tensor]) for one, other in overlaps(bottom, needs.tensors["bytes"])}
    assert named
    assert {frozenset(pair) for pair in named} <= {frozenset(pair) for pair in shared}


def test_tiled_plans_with_less_until_there_are_addresses(monkeypatch):
    needs, hardware, asked = profile(residual()), two(20_000), []

    def fragmented(*args):
        """As if gaps took 3000 B more the first time."""
        planned = layout(*args)
        asked.append(planned.floor)
        return planned._replace(size=hardware.memories[0].size + 3000) if len(asked) == 1 else planned

    monkeypatch.setattr(importlib.import_module("costmodel.place.tiled"), "layout", fragmented)
    placement = place(needs, hardware, "tiled")
    assert len(asked) == 2
    assert asked[1] <= 17_000 < asked[0]
    assert placement.plan.size == 20_000
    assert accepted(needs, hardware, placement).accepted


# The whole zoo.


@pytest.fixture(scope="module")
def committed():
    """``costmodel place all --hw paper-2012 --csv reports/placement.csv``."""
    return list(csv.DictReader(io.StringIO(REPORT.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("network", zoo.names())
def test_on_the_zoo_only_threshold_is_refused_and_every_optimum_is_proven(network, committed):
    hardware = costmodel.machine("paper-2012")
    needs = profile(costmodel.network(network), patterns=hardware.fuse)
    runs = {policy: placements.run(needs, hardware, policy, Options()) for policy in POLICIES}
    for policy, (simulation, verdict, planned) in runs.items():
        live = max(simulation.layers["live_bytes"])
        assert live == verdict.peaks[0] == planned.floor
        assert verdict.accepted == (live <= 10**6) == (planned.size <= 10**6)
        assert verdict.accepted or policy == "threshold"
        assert simulation.placement.proven == (policy == "optimal")
        assert not list(itertools.islice(overlaps(planned, needs.tensors["bytes"]), 1))
    table = placements.compare(list(runs.values()), Options())
    by_policy = {row["policy"]: row for row in table.rows()}
    assert by_policy["liveness"]["transfer_seconds"] >= by_policy["optimal"]["transfer_seconds"]
    assert by_policy["optimal"]["floor_ratio"] >= 1
    bound = runs["optimal"].simulation.placement.bound
    assert by_policy["optimal"]["transfer_seconds"] == pytest.approx(bound, rel=1e-9)
    reported = [row for row in committed if row["network"] == network]
    assert [row["policy"] for row in reported] == list(POLICIES)
    for row in reported:
        for name, value in by_policy[row["policy"]].items():
            if isinstance(value, float):
                assert float(row[name]) == pytest.approx(value, rel=1e-9, abs=1e-15)
            elif row["policy"] != "optimal" or name not in {"peak_bytes", "arena_bytes"}:
                assert row[name] == str(value)  # several placements may take the least time, and differ in these two


def test_the_committed_placements_are_those_of_the_zoo(committed):
    assert [row["network"] for row in committed] == [name for name in zoo.names() for _ in POLICIES]


# What cannot be placed.


def test_a_memory_that_cannot_hold_one_layer_says_what_it_needs():
    needs = profile(residual())
    tiny = machine(Memory("internal", 1000), Memory("external", 20_000, 1e9))
    for policy in ("liveness", "optimal"):
        with pytest.raises(
            CostModelError, match=r"layer 'stem' needs .* in 'external' of 'test', weights included, which has 20 kB"
        ):
            place(needs, tiny, policy)


def test_what_has_no_addresses_in_the_farthest_memory_is_an_error():
    needs = crowded()
    live = check(
        needs, machine(Memory("dram", math.inf, 1e9)), place(needs, machine(Memory("dram", 10**6, 1e9)), "liveness")
    ).peaks[0]
    for policy in FAITHFUL:
        with pytest.raises(
            CostModelError, match=r"layer 'map.' has addresses up to .* in 'dram' of 'test', .* lie between"
        ):
            place(needs, machine(Memory("dram", live, 1e9)), policy)
        enough = machine(Memory("dram", live + UNIT, 1e9))
        assert accepted(needs, enough, place(needs, enough, policy)).accepted


def test_one_memory_is_enough():
    needs = profile(residual())
    for policy in POLICIES:
        run = simulate(
            needs, place(needs, machine(Memory("dram", 10**9, 1e9)), policy), machine(Memory("dram", 10**9, 1e9))
        )
        assert set(run.layers["output_memory"]) == {"dram", ""}


def test_without_a_solver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(CostModelError, match=r"placement 'optimal' needs a solver, the extra 'solve': pip install"):
        place(profile(residual()), two(1000), "optimal")


# The command line.


def run(*args):
    return CliRunner().invoke(app, list(map(str, args)), env={"COLUMNS": ""})


def ok(*args):
    done = run(*args)
    assert done.exit_code == 0, done.exception
    return done.stdout


def refused(*args):
    done = run(*args)
    assert isinstance(done.exception, CostModelError)
    return str(done.exception)


def test_place_sets_policies_side_by_side(tmp_path):
    files = {name: tmp_path / name for name in ("rows.csv", "rows.json", "traffic.csv")}
    text = ok("place", "hairnet", "--hw", "paper-2012", "--place", "threshold,optimal", "--csv", files["rows.csv"],
              "--json", files["rows.json"], "--traffic", files["traffic.csv"])  # fmt: skip
    assert "threshold: refused: layer 'stage2.0.dwise_conv': 1.605632 MB must be in 'internal', which has 1 MB" in text
    assert "threshold: assumed: 'input' is in 'internal' from the start" in text
    assert "optimal: proven: no placement under its rules transfers in less" in text
    assert [line[0] for line in text.splitlines() if " threshold " in line or " optimal " in line] == ["!", " "]
    rows = list(csv.DictReader(io.StringIO(files["rows.csv"].read_text(encoding="utf-8"))))
    assert [(row["policy"], row["accepted"]) for row in rows] == [("threshold", "False"), ("optimal", "True")]
    document = json.loads(files["rows.json"].read_text(encoding="utf-8"))
    assert [row["total_seconds"] for row in document["rows"]] == [float(row["total_seconds"]) for row in rows]
    assert "hairnet, optimal: proven: no placement under its rules transfers in less" in document["remarks"]
    moved = list(csv.DictReader(io.StringIO(files["traffic.csv"].read_text(encoding="utf-8"))))
    for row in rows:
        external = [line for line in moved if (line["policy"], line["memory"]) == (row["policy"], "external")]
        assert sum(int(line["read_bytes"]) + int(line["written_bytes"]) for line in external) == int(
            row["external_bytes"]
        )
        assert sum(float(line["seconds"]) for line in external) == pytest.approx(float(row["transfer_seconds"]))


def test_place_says_once_what_holds_for_several_networks():
    text = ok("place", "vgg16", "vgg19", "--hw", "paper-2012", "--place", "optimal", "--steady-state")
    assert "placements on paper-2012, image after image" in text
    assert "optimal, 2 networks: proven: no placement under its rules transfers in less" in text


def test_place_says_plainly_when_time_was_up():
    text = ok("place", "nasnet_a_mobile", "--hw", "paper-2012", "--place", "optimal", "--time-limit", "0.001")
    assert "optimal: not proven: the best found transfers in " in text
    assert "and none in less than " in text


def test_place_without_a_solver_leaves_optimal_out(monkeypatch, capsys):
    from costmodel.cli import place as command

    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert command._policies(None) == ["threshold", "liveness", "reuse", "tiled"]  # noqa: SLF001
    assert "'optimal' is left out: it needs a solver, pip install 'costmodel[solve]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--place", "livenes"], "--place: no placement policy 'livenes'; did you mean 'liveness'?"),
        (["--place", ","], "--place: no placement policy ','"),
        (["--set", "memories.external.bandwidth=0 GB/s"], "'0 GB/s' must be greater than zero"),
        (
            ["--set", "memories.external.size=2 MB", "--place", "liveness"],
            "hairnet: tensor 'stem.conv2D' needs 6.422528 MB, more than any memory of 'paper-2012'; the largest is ",
        ),
        (
            ["--set", "memories.external.size=9 MB", "--place", "liveness"],
            "hairnet: layer 'stem.conv2D' needs 16.818976 MB in 'external' of 'paper-2012', weights included",
        ),
    ],
)  # fmt: skip
def test_what_place_refuses(args, problem):
    assert problem in refused("place", "hairnet", "--hw", "paper-2012", *args)


def test_the_map_of_a_memory_names_every_tensor(tmp_path):
    picture, again, addresses = tmp_path / "map.svg", tmp_path / "again.svg", tmp_path / "addresses.csv"
    for file in (picture, again):
        ok("memory", "lenet5", "--hw", "paper-2012", "--place", "optimal", "--steady-state", "--plot", file,
           "--addresses", addresses)  # fmt: skip
    assert picture.read_bytes() == again.read_bytes()
    rows = list(csv.DictReader(io.StringIO(addresses.read_text(encoding="utf-8"))))
    assert {"features.C1", "features.C1.weight"} <= {row["tensor"] for row in rows}
    hardware = costmodel.machine("paper-2012")
    simulation = costmodel.cost("lenet5", hardware, placement="optimal", steady_state=True)
    memory_map = pytest.importorskip("costmodel.report.memory_map")
    figure = memory_map.draw(simulation)
    written = {text.get_text() for axes in figure.axes for text in axes.texts} | {
        text.get_text() for text in figure.texts
    }
    named = {re.sub(r"^\d+ ", "", text) for text in written} & {row["tensor"] for row in rows}
    more = [text for text in written if "more, too small here" in text]
    assert len(named) + sum(int(text.split()[0]) for text in more) == len(rows)


def test_boxes_on_the_map_never_overlap():
    memory_map = pytest.importorskip("costmodel.report.memory_map")
    simulation = costmodel.cost("nasnet_a_mobile", "paper-2012", placement="optimal")
    boxes = memory_map.boxes(simulation, placements.addresses(simulation, 0))
    assert {box.look for box in boxes} == {"made there", "over its operand", "brought in"}
    for one, other in itertools.combinations(boxes, 2):
        apart = one.right <= other.left or other.right <= one.left or one.high <= other.low or other.high <= one.low
        assert apart, (one, other)


def test_the_map_of_layers_in_parts_has_all_that_is_taken():
    """Whole maps, lines, tiles and weights: together the bytes that the runs take, and never one over another."""
    memory_map = pytest.importorskip("costmodel.report.memory_map")
    hardware = costmodel.machine("paper-2012")
    needs = profile(costmodel.network("hairnet"), patterns=hardware.fuse)
    simulation = placements.run(needs, hardware, "tiled", Options()).simulation
    planned = placements.addresses(simulation, 0)
    taken = simulation.placement.plan.taken()
    shapes = memory_map.boxes(simulation, planned)
    for layer, expected in enumerate(taken):
        here = sorted((box.low, box.high) for box in shapes if box.left <= layer + 0.25 < box.right)
        assert all(high <= low for (_, high), (low, _) in itertools.pairwise(here))
        assert sum(high - low for low, high in here) <= expected + len(here)
    fullest = taken.index(max(taken))
    assert sum(box.high - box.low for box in shapes if box.left <= fullest + 0.25 < box.right) == max(taken)
    assert {box.look for box in shapes} == {"made there", "over its operand", "lines, tiles and the like"}
    assert any(box.name.startswith("lines of ") for box in shapes)
