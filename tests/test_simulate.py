"""Times: sums that must add up, monotony in every rate, and placements checked by a second bookkeeping."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import costmodel
from costmodel.counting import Convention
from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Work
from costmodel.hardware import Engine, Hardware, Memory
from costmodel.ops import Add, BatchNorm, Concat, Conv, Flatten, Linear, MaxPool, Relu
from costmodel.place import POLICIES, place
from costmodel.profile import profile
from costmodel.simulate import simulate

rates = st.floats(1e3, 1e15)
overlaps = st.sampled_from(["none", "layer"])


def machine(peak=1e12, host=1e10, size=10**6, bandwidth=1e9, inner=math.inf, overlap="none"):
    return Hardware(
        name="test",
        engines=(Engine("matrix", peak, ("Conv", "Linear")), Engine("host", host, ("rest",))),
        memories=(Memory("internal", size, inner), Memory("external", math.inf, bandwidth)),
        fuse=(("BatchNorm", "Relu"),),
        overlap=overlap,
    )


def branching(channels=8, side=16):
    """A residual network with a concatenation and a view, so that lifetimes overlap."""
    x = Input((1, 3, side, side))()
    x = Conv(channels, 3, pads=1)(x, name="stem")
    y = Relu()(BatchNorm()(Conv(channels, 3, pads=1)(x, name="inner"), name="bn"), name="relu")
    z = Add()(x, y, name="sum")
    z = Concat()(z, x, name="join")
    z = MaxPool(2)(z, name="pool")
    return Graph(Linear(10)(Flatten()(z, name="flat"), name="dense"), "branching")


@given(
    peak=rates,
    host=rates,
    bandwidth=rates,
    inner=rates,
    size=st.integers(1, 10**7),
    overlap=st.sampled_from(["none", "layer"]),
)
@settings(max_examples=60, deadline=None)
def test_every_layer_and_the_total_add_up(peak, host, bandwidth, inner, size, overlap):
    run = costmodel.cost(branching(), machine(peak, host, size, bandwidth, inner, overlap))
    table = run.layers
    for row in table.rows():
        parts = row["transfer_seconds"], row["compute_seconds"]
        assert row["total_seconds"] == (max(parts) if overlap == "layer" else sum(parts))
        assert row["operations"] == 2 * row["macs"] + row["elementwise"]
    assert math.isclose(run.seconds, sum(table["total_seconds"]), rel_tol=1e-12)
    assert math.isclose(sum(table["share"]), 1, rel_tol=1e-9)
    memories = [row for row in run.resources.rows() if row["kind"] == "memory"]
    engines = [row for row in run.resources.rows() if row["kind"] == "engine"]
    moved = sum(table["input_bytes"]) + sum(table["output_bytes"]) + sum(table["weight_bytes"])
    assert sum(row["amount"] for row in memories) == moved
    assert sum(row["amount"] for row in engines) == sum(table["operations"])
    assert math.isclose(sum(row["seconds"] for row in memories), sum(table["transfer_seconds"]), rel_tol=1e-9)
    assert math.isclose(sum(row["seconds"] for row in engines), sum(table["compute_seconds"]), rel_tol=1e-9)


@given(
    overlap=st.sampled_from(["none", "layer"]),
    faster=st.floats(1.001, 1e6),
    which=st.sampled_from(["peak", "host", "bandwidth"]),
)
@settings(max_examples=60, deadline=None)
def test_time_never_rises_and_once_falls_when_a_rate_rises(overlap, faster, which):
    slow = {"peak": 1e9, "host": 1e8, "bandwidth": 1e7}
    graph = branching()
    before = costmodel.cost(graph, machine(**slow, size=100, overlap=overlap))
    after = costmodel.cost(graph, machine(**slow | {which: slow[which] * faster}, size=100, overlap=overlap))
    assert after.seconds <= before.seconds
    if overlap == "none":
        assert after.seconds < before.seconds


@given(peak=rates, host=rates, bandwidth=rates, size=st.integers(1, 10**7))
@settings(max_examples=60, deadline=None)
def test_overlap_is_never_slower_and_at_best_halves_the_time(peak, host, bandwidth, size):
    none = costmodel.cost(branching(), machine(peak, host, size, bandwidth), overlap="none").seconds
    layer = costmodel.cost(branching(), machine(peak, host, size, bandwidth), overlap="layer").seconds
    assert layer <= none
    assert layer >= none / 2 * (1 - 1e-12)


@given(size=st.integers(1, 60_000), channels=st.integers(1, 16), side=st.sampled_from([2, 8, 16]))
@settings(max_examples=100, deadline=None)
def test_liveness_fits_by_an_independent_count(size, channels, side):
    graph = branching(channels, side)
    needs = profile(graph, patterns=(("BatchNorm", "Relu"),))
    hardware = machine(size=size)
    placement = place(needs, hardware, "liveness")
    for layer in range(len(needs.layers)):
        # by the accesses alone: what was written or read up to here, and is read from here on
        seen = {a["tensor"] for a in needs.accesses.rows() if a["layer"] <= layer}
        later = {a["tensor"] for a in needs.accesses.rows() if a["layer"] >= layer}
        held = {copy.tensor: copy for copy in placement.copies if copy.memory == 0 and copy.first <= layer <= copy.last}
        shared = {copy.over for copy in held.values() if copy.first == layer}
        assert sum(needs.tensors["bytes"][t] for t in seen & later & held.keys() - shared) <= size
    assert simulate(needs, placement, hardware).overfull == ()


def test_liveness_uses_a_memory_that_is_large_enough_for_all():
    run = costmodel.cost(branching(), machine(size=10**9), placement="liveness")
    *others, last = run.layers["output_memory"]
    assert set(others) == {"internal", ""}  # the view writes nothing
    assert last == "external"  # the result goes outside


@given(size=st.integers(1, 20_000))
@settings(max_examples=60, deadline=None)
def test_threshold_judges_each_map_by_its_own_size(size):
    needs = profile(branching())
    placement = place(needs, machine(size=size), "threshold")
    for row, copy in zip(needs.tensors.rows(), placement.copies, strict=True):
        weight = row["kind"] in ("parameter", "buffer")
        assert copy.memory == (1 if weight or row["bytes"] > size else 0)


def test_a_map_exactly_as_large_as_the_memory_is_internal():
    stem = 8 * 16 * 16 * 4  # bytes of the first layer's map
    assert costmodel.cost(branching(), machine(size=stem)).layers["output_memory"][0] == "internal"
    assert costmodel.cost(branching(), machine(size=stem - 1)).layers["output_memory"][0] == "external"


def test_layers_whose_maps_do_not_fit_together_are_flagged():
    # stem alone: 3*16*16*4 B in, 8*16*16*4 B out
    run = costmodel.cost(branching(), machine(size=8 * 16 * 16 * 4))
    assert run.layers["live_bytes"][0] == 3 * 16 * 16 * 4 + 8 * 16 * 16 * 4
    assert run.layers["overfull"][0] == "internal"
    assert "stem" in run.overfull
    roomy = costmodel.cost(branching(), machine(size=10**9))
    assert roomy.overfull == ()


def test_a_residual_branch_is_live_until_it_is_added():
    run = costmodel.cost(branching(), machine(size=10**9))
    live = dict(zip(run.layers["layer"], run.layers["live_bytes"], strict=True))
    one = 8 * 16 * 16 * 4
    assert live["bn+relu"] == 3 * one  # stem's map waits for the sum while bn+relu reads one map and writes another


def test_a_bound_is_the_resource_that_takes_longest():
    starved = costmodel.cost(branching(), machine(bandwidth=1.0, size=1))
    slow = costmodel.cost(branching(), machine(peak=1e-3, host=1e-3))
    assert set(starved.layers["bound"]) == {"external", "nothing"}  # the view does nothing
    assert slow.layers["bound"][0] == "matrix"
    assert slow.layers["bound"][slow.layers["layer"].index("pool")] == "host"


def test_a_fused_layer_spends_each_operators_time_on_its_own_engine():
    fused = replace(machine(size=1), fuse=(("Conv", "BatchNorm", "Relu"),))
    graph = Graph(Relu()(BatchNorm()(Conv(8, 3, pads=1)(Input((1, 3, 16, 16))(), name="conv"), name="bn"), name="relu"))
    one = costmodel.cost(graph, fused)
    apart = costmodel.cost(graph, replace(machine(size=1), fuse=()))
    assert len(one.layers) == 1
    assert one.layers["engine"] == ("matrix+host",)
    assert one.layers.total("compute_seconds") == pytest.approx(apart.layers.total("compute_seconds"), rel=1e-12)
    assert one.layers.total("transfer_seconds") < apart.layers.total("transfer_seconds")


def test_liveness_refuses_what_no_memory_can_hold():
    finite = replace(machine(), memories=(Memory("internal", 3000), Memory("external", 50_000, 1e9)))
    with pytest.raises(CostModelError, match=r"layer '\w+' needs .* in 'external' of 'test', weights included"):
        costmodel.cost(branching(), finite, placement="liveness")


def test_three_memories_each_take_their_own_time():
    hardware = replace(
        machine(),
        memories=(Memory("near", 2000, 4e9), Memory("middle", 10**5, 2e9), Memory("far", math.inf, 1e9)),
    )
    graph = Graph(Relu()(Conv(8, 1, bias=False)(Input((1, 3, 16, 16))())))
    run = costmodel.cost(graph, hardware)
    read, written, weights = 3 * 256 * 4, 8 * 256 * 4, 3 * 8 * 4
    assert run.layers["transfer_seconds"][0] == pytest.approx((read + written) / 2e9 + weights / 1e9, rel=1e-12)
    assert run.layers["input_memory"][0] == "middle"
    assert run.layers["weight_memory"][0] == "far"


def test_a_tensor_larger_than_every_memory_is_an_error():
    finite = replace(machine(), memories=(Memory("internal", 100), Memory("external", 1000, 1e9)))
    for policy in POLICIES:
        with pytest.raises(
            CostModelError, match=r"tensor '\w+' needs .* more than any memory of 'test'.*'external' with 1 kB"
        ):
            costmodel.cost(branching(), finite, placement=policy)


def test_an_operator_without_an_engine_is_an_error():
    lacking = replace(machine(), engines=(Engine("matrix", 1e12, ("Conv", "Linear")),))
    with pytest.raises(CostModelError, match="no engine for operator 'BatchNorm': matrix runs Conv, Linear"):
        costmodel.cost(branching(), lacking)


def test_unknown_overlap_and_policy_are_named():
    with pytest.raises(CostModelError, match="overlap 'layers' is not accepted; did you mean 'layer'"):
        costmodel.cost(branching(), machine(), overlap="layers")
    with pytest.raises(CostModelError, match="no placement policy 'treshold'; did you mean 'threshold'"):
        costmodel.cost(branching(), machine(), placement="treshold")


def test_images_per_second_counts_the_batch():
    eight = costmodel.cost(branching().replay(batch=8), machine())
    assert eight.images_per_second == pytest.approx(8 / eight.seconds)


def test_a_convention_of_ones_own_counts_instead_of_standard():
    def double(node):
        return Work(macs=2 * node.op.work(*node.input_shapes).macs)

    twice = Convention("twice", "every product of a convolution counts double", {"Conv": double})
    ours, theirs = costmodel.cost(branching(), machine()), costmodel.cost(branching(), machine(), convention=twice)
    assert theirs.profile.convention == "twice"
    for row, other in zip(ours.layers.rows(), theirs.layers.rows(), strict=True):
        assert other["macs"] == row["macs"] * (2 if row["operator"] == "Conv" else 1)
        assert other["elementwise"] == row["elementwise"]


def test_frame_is_the_table():
    run = costmodel.cost(branching(), machine())
    assert list(run.frame.columns) == [column.name for column in run.layers.columns]
    assert run.frame["macs"].sum() == run.layers.total("macs")
    assert str(run.frame["macs"].dtype) == "int64"
