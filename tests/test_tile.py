"""Tiles and bands: what they are said to move is what a walk through a scratchpad of that size moves."""

import csv
from dataclasses import replace
from itertools import compress, count, product
from math import inf, prod
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from walks import Attending, Convolution, Network, all_taken

import costmodel
from costmodel import placements, zoo
from costmodel.errors import CostModelError
from costmodel.fuse import fuse
from costmodel.graph import Graph
from costmodel.hardware import Engine, Hardware, Memory
from costmodel.ops import (
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalAveragePool,
    Input,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool,
    Mul,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Transpose,
)
from costmodel.place import POLICIES, place
from costmodel.place.check import check
from costmodel.place.placement import Options
from costmodel.profile import MAPS, profile
from costmodel.report.explain import explain
from costmodel.simulate import simulate
from costmodel.tile.attention import Blocks
from costmodel.tile.floors import pebbling
from costmodel.tile.layers import layers, maps
from costmodel.tile.nest import ORDERS
from costmodel.tile.nested import levels
from costmodel.tile.pinning import steady
from costmodel.tile.plan import finished
from costmodel.tile.search import plan

WIDTH = 32

REPORT = Path(__file__).parents[1] / "reports" / "placement.csv"


def nest_of(graph):
    """The loop nest of a network of one layer."""
    needs = profile(graph)
    (layer,) = layers(needs, maps(needs))
    return finished([layer])


@st.composite
def convolutions(draw, most=6):
    """A small convolution, and what a walk needs to know of it."""
    axes = draw(st.integers(1, 2))
    each = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * axes))  # noqa: E731
    groups = draw(st.integers(1, 2))
    kind, more = draw(st.sampled_from([(Conv, {}), (ConvTranspose, {"more": each(0, 2)})]))
    op = kind(
        groups * draw(st.integers(1, 3)), each(1, 3), stride=each(1, 3), dilation=each(1, 2),
        pads=each(0, 2) + each(0, 2), groups=groups, bias=False, **more,
    )  # fmt: skip
    x = (draw(st.integers(1, 2)), groups * draw(st.integers(1, 3)), *each(1, most if kind is Conv else (most + 1) // 2))
    try:
        op.shape(x)
    except CostModelError:
        assume(False)
    return op, x


def walked(op, x):
    shape = op.shape(x)
    (weight,) = op.weights(x)
    values = np.random.default_rng(0)
    x, w = values.integers(-9, 9, x), values.integers(-9, 9, weight.shape)
    walk = Convolution(x, w if op.window else turned(w, op.groups), all_taken(op, shape[2:], x.shape[2:]), op.groups)
    return walk, op.run(x, w)


def turned(w, groups):
    """The weights of a transposed convolution, C x M/groups x kernel -> M x C/groups x kernel."""
    apart = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return apart.reshape(-1, *apart.shape[2:])


def traffic(moved):
    return sum(moved.values())


@given(convolutions(), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_a_tiling_moves_what_a_walk_through_its_tiles_moves(case, spare):
    op, x = case
    nest = nest_of(Graph(op(Input(x)()), "one"))
    room = nest.smallest + spare * WIDTH
    tiling = nest.search(room)
    walk, y = walked(op, x)
    moved, held = walk.walk(tiling.sizes, tiling.filters, tiling.channels, tiling.order)
    assert (walk.y == y).all()
    assert tiling.read == 4 * (moved["input"] + moved["kernel"] + moved["back"])
    assert tiling.written == 4 * moved["written"]
    assert tiling.need == WIDTH * sum(map(max, zip(*held, strict=True))) <= room
    compulsory = 4 * (len(set().union(*_used(walk))) + walk.w.size + walk.y.size)
    assert nest.compulsory == compulsory
    assert max(compulsory, pebbling(nest, room)) <= tiling.read + tiling.written


def _used(walk):
    """The values of the operand that any product takes."""
    images, channels = walk.x.shape[:2]
    for taps in walk.taps.values():
        yield {(n, c, *place) for n, c in product(range(images), range(channels)) for _, place in taps}


@given(convolutions(most=4), st.integers(0, 150))
@settings(max_examples=25, deadline=None)
def test_no_other_tiling_moves_less(case, spare):
    op, x = case
    nest = nest_of(Graph(op(Input(x)()), "one"))
    room = nest.smallest + spare * WIDTH
    walk, _ = walked(op, x)
    ends = (*walk.extents, walk.filters, walk.channels)
    shared = nest._replace(each=WIDTH)  # a value for each filter of a tile, read for each tile of results
    least, once, sharing = [], [], []
    for *sizes, filters, channels in product(*(range(1, end + 1) for end in ends)):
        for order in ORDERS:
            moved, held = walk.walk(sizes, filters, channels, order, compute=False)
            need = WIDTH * sum(map(max, zip(*held, strict=True)))
            if need <= room:
                least.append(traffic(moved))
                if moved["kernel"] == walk.w.size:
                    once.append(traffic(moved))
            if need + WIDTH * filters <= room + WIDTH:
                sharing.append(traffic(moved) + walk.finished)
    for own, more, passing, found in ((nest, 0, False, least), (nest, 0, True, once), (shared, WIDTH, False, sharing)):
        tiling = own.search(room + more, once=passing)
        moved = tiling.read + tiling.written
        if own.each:
            tiles = [-(-axis.out // size) for axis, size in zip(own.axes, tiling.sizes, strict=True)]
            moved += 4 * prod(tiles) * own.groups * own.filters
        assert moved == 4 * min(found)
        assert own.search(own.smallest - 1, once=passing) is None


def test_pools_products_and_linear_layers_have_nests():
    """Each is a convolution of some kind, and is walked as that one."""
    pool = AveragePool((3, 2), stride=(2, 1), pads=(1, 0, 1, 1))
    nest = nest_of(Graph(pool(Input((2, 3, 7, 5))()), "one"))
    ones = Conv(3, (3, 2), stride=(2, 1), pads=(1, 0, 1, 1), groups=3, bias=False)
    assert nest == nest_of(Graph(ones(Input((2, 3, 7, 5))()), "one"))._replace(kernel=0)
    nest = nest_of(Graph(Linear(6)(Input((4, 5, 7))()), "one"))
    rows = Conv(6, 1, bias=False, channels=7)
    assert (nest.outputs, nest.inputs, nest.weights, nest.products) == (20 * 6, 20 * 7, 42, 20 * 42)
    assert nest.held == 6 * WIDTH
    walk, _ = walked(rows, (1, 7, 1, 20))
    tiling = nest.search(nest.held + 40 * WIDTH)
    moved, _ = walk.walk((1, 1, tiling.sizes[1]), tiling.filters, tiling.channels, tiling.order)
    assert tiling.read + tiling.written == 4 * traffic(moved)
    left, right = Input((2, 3, 4, 5))(), Input((2, 3, 5, 6))()
    nest = nest_of(Graph(MatMul()(left, right), "one"))
    assert (nest.groups, nest.outputs, nest.inputs, nest.weights) == (6, 24, 20, 30)
    alone = nest_of(Graph(Linear(6, bias=False)(Input((4, 5))()), "one"))
    assert nest == alone._replace(groups=6)


@st.composite
def attentions(draw):
    """Attention with grouped heads, and perhaps a mask that is given or held, and what a walk needs to know of it."""
    n, groups, shared, length, keys, e, size = draw(
        st.tuples(*[st.integers(1, most) for most in (2, 2, 2, 3, 3, 2, 2)])
    )
    scores = (n, groups * shared, length, keys)
    mask = draw(st.none() | st.tuples(*[st.booleans()] * 4))
    mask = (
        mask
        and tuple(extent if full else 1 for extent, full in zip(scores, mask, strict=True))[draw(st.integers(0, 2)) :]
    )
    held, truths = mask is not None and draw(st.booleans()), draw(st.booleans())
    op = Attention(mask=mask is not None, held=mask if held else None)
    values = np.random.default_rng(0)
    shapes = [(n, groups * shared, length, e), (n, groups, keys, e), (n, groups, keys, size)]
    q, k, v = (values.normal(size=shape) for shape in shapes)
    given = None
    if mask is not None:
        given = values.normal(size=mask).astype(np.float32)
        given = (
            given
            if held or not truths
            else np.logical_or(given > 0, np.arange(keys) == 0)[..., : mask[-1]].reshape(mask)
        )
    inputs = [Input(shape)() for shape in shapes]
    if mask is not None and not held:
        inputs.append(Input(mask, **({"dtype": "bool"} if given.dtype == bool else {}))())
    y = op.run(q, k, v, **({"mask": given} if held else {})) if held or given is None else op.run(q, k, v, given)
    return Graph(op(*inputs), "one"), Attending(q, k, v, given), y


@given(attentions(), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_blocks_of_attention_move_what_a_walk_through_them_moves_and_no_others_less(case, spare):
    graph, walk, y = case
    nest = nest_of(graph)
    room = nest.smallest + spare * WIDTH // 2
    blocks = nest.search(room)
    moved, peak = walk.walk(blocks)
    np.testing.assert_allclose(walk.y, y, atol=1e-12)
    width = {name: WIDTH if name != "mask" or walk.mask is None else 8 * walk.mask.itemsize for name in moved}
    assert [bits for bits, _ in blocks.amounts] == [moved[name] * width[name] for name in moved if name != "result"]
    assert blocks.results == moved["result"] * WIDTH == WIDTH * y.size
    assert peak == blocks.need <= room
    assert nest.search(nest.smallest - 1) is None
    least = sum(moved[name] * width[name] for name in moved)
    for heads, queries, *stays in product(range(1, nest.heads + 1), range(1, nest.queries + 1), *[(False, True)] * 3):
        other = blocks._replace(heads=heads, queries=queries, key=stays[0], value=stays[1], mask=stays[2])
        moved, peak = Attending(walk.q, walk.k, walk.v, walk.mask).walk(other)
        assert peak > room or sum(moved[name] * width[name] for name in moved) >= least


def network(seed):
    """A random network: chains and branches of windows, strides, groups, pads on one side, sums, joins and means."""
    draw = Random(seed)  # noqa: S311 - hypothesis draws the seed
    x = Input((draw.choice([1, 1, 2, 4]), draw.choice([1, 2, 3]), draw.randint(4, 12), draw.randint(3, 8)))()
    made = [x]
    for _ in range(draw.randint(2, 9)):
        x = draw.choice(made[-3:])
        _, c, h, w = x.shape
        kind = draw.choice(["conv", "conv", "deep", "pool", "bn", "add", "join", "scale", "up"])
        kernel, stride = draw.randint(1, 3), draw.choice([1, 1, 2, 3])
        pads, dilation = tuple(draw.randint(0, kernel - 1) for _ in range(4)), draw.choice([1, 1, 2])
        if min(h, w) < dilation * (kernel - 1) + 1 or (kind == "pool" and dilation > 1):
            kind = "bn"
        if kind in ("conv", "deep"):
            groups = c if kind == "deep" else 1
            filters = c if kind == "deep" else draw.randint(1, 4)
            y = Conv(
                filters, kernel, stride=stride, pads=pads, dilation=dilation, groups=groups, bias=draw.random() < 0.5
            )(x)
        elif kind == "pool":
            y = MaxPool(kernel, stride=stride, pads=pads, ceil_mode=draw.random() < 0.3)(x)
        elif kind == "up":
            groups = draw.choice([1, c])
            more, pads = draw.choice([0, 0, 1]), tuple(draw.randint(0, (kernel - 1) * dilation // 2) for _ in range(4))
            up = ConvTranspose(
                groups * draw.randint(1, 3),
                kernel,
                stride=stride,
                pads=pads,
                dilation=dilation,
                groups=groups,
                more=more,
            )
            y = up(x) if h * w < 200 else x
        elif kind == "bn":
            y = Relu()(BatchNorm()(x))
        elif kind == "scale":
            y = Mul()(x, Sigmoid()(GlobalAveragePool()(x)))
        else:
            beside = [
                other for other in made if other.shape[2:] == x.shape[2:] and (kind == "join" or other.shape == x.shape)
            ]
            other = draw.choice(beside)
            y = Concat()(x, other) if kind == "join" else Add()(x, other)
        made.append(y)
    ends = [y]
    if draw.random() < 0.5:
        ends = [Linear(3)(Flatten()(y))]
    if draw.random() < 0.3:
        ends.append(draw.choice(made[1:]))
    return Graph(tuple(dict.fromkeys(ends)), "random")


def transformer(seed):
    """A random network of words: products with weights and with each other, attention as one operator or as several."""
    draw = Random(seed)  # noqa: S311 - hypothesis draws the seed
    heads, width = draw.choice([1, 2, 4]), 4 * draw.randint(1, 2)
    x = Input((draw.choice([1, 2, 4]), draw.randint(1, 6), width))()
    made = [x]
    for _ in range(draw.randint(2, 6)):
        x = draw.choice(made[-2:])
        kind = draw.choice(["dense", "norm", "relu", "add", "fused", "fused", "apart"])
        if kind == "dense":
            y = Linear(width)(Relu()(Linear(draw.randint(1, 9))(x)))
        elif kind in ("norm", "relu"):
            y = (LayerNorm() if kind == "norm" else Relu())(x)
        elif kind == "add":
            y = Add()(x, draw.choice(made))
        elif kind == "fused":
            groups = draw.choice([1, heads])
            key, value = (Linear(groups * width // heads)(draw.choice(made)) for _ in range(2))
            mask = draw.choice([None, (x.shape[1],), (heads, 1, x.shape[1])])
            held = {} if mask is None else {"mask": True, "held": mask}
            y = Attention(heads, groups, **held)(Linear(width)(x) if draw.random() < 0.5 else x, key, value)
        else:
            turned = [(0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)]
            parts = [Transpose(axes)(Reshape((0, 0, heads, -1))(Linear(width)(x))) for axes in turned]
            y = MatMul()(Softmax(-1)(Mul(())(MatMul()(*parts[:2]))), parts[2])
            y = Reshape((0, 0, width))(Transpose((0, 2, 1, 3))(y))
        made.append(y)
    return Graph(tuple(dict.fromkeys([y, *draw.sample(made[1:], draw.randint(0, 1))])), "random")


@given(st.sampled_from([network, network, transformer]), st.integers(0, 10**9), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_a_plan_moves_what_a_walk_through_it_moves(random, seed, part):
    """Memories from the smallest that will do to one that holds nearly everything."""
    graph = random(seed)
    patterns = (("BatchNorm", "Relu"),)
    needs = profile(graph, patterns=patterns)
    size = 40 + part * (needs.peak_map_bytes + needs.layers.total("weight_bytes")) // 60
    try:
        chosen = plan(needs, size)
    except CostModelError:
        return
    walk = Network(graph, fuse(graph, patterns), chosen)
    assert [*walk.walk()] == [*chosen.traffic()]


# Through nearer memories.


def nested(graph, sizes, patterns=(("BatchNorm", "Relu"),), make=plan, *, coarse=True):
    """The plan for memories of some sizes, farthest first, and a walk through all of them; None if one is too small."""
    needs = profile(graph, patterns=patterns)
    try:
        chosen = make(needs, sizes[0], coarse=coarse)
        chosen = replace(chosen, levels=levels(chosen, [(size, f"{size} B") for size in sizes[1:]]))
    except CostModelError:
        return None
    walk = Network(graph, fuse(graph, patterns), chosen, sizes[1:])
    walk.walk()
    return chosen, walk


@given(
    st.sampled_from([network, network, transformer]),
    st.integers(0, 10**9),
    st.integers(0, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_tiles_in_tiles_move_what_a_walk_through_them_moves(random, seed, first, second, third, stay, coarse):
    """A far memory and three nearer ones, the nearest down to a few values."""
    graph = random(seed)
    needs = profile(graph, patterns=(("BatchNorm", "Relu"),))
    whole = needs.peak_map_bytes + needs.layers.total("weight_bytes")
    size = 40 + first * whole // 40
    sizes = (size, 40 + second * size // 40, 40 + third * size // 60)
    made = nested(graph, sizes, make=steady if stay else plan, coarse=coarse)
    if made is None:
        return
    chosen, walk = made
    for level, walked in zip(chosen.levels, walk.deeper, strict=True):
        moved = dict.fromkeys(walked, 0)
        for layer, _, bits, written in level.moves:
            moved[layer, written] += bits // 8
        assert moved == walked


def chain_of(*sizes):
    """A machine of memories, nearest first, each half as fast as the one before; the farthest has no end."""
    memories = [Memory(f"m{n}", size, 64e9 / 2**n) for n, size in enumerate((*sizes, inf))]
    engine = Engine("all", 1e12, ("rest",))
    return Hardware(name="chain", engines=(engine,), memories=tuple(memories), fuse=(("BatchNorm", "Relu"),))


@given(
    st.sampled_from([network, network, transformer]),
    st.integers(0, 10**9),
    st.integers(200, 4000),
    st.integers(100, 2000),
    st.integers(0, 500),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_checker_accepts_tiles_in_tiles_but_not_a_byte_less_or_unpaid(random, seed, far, middle, spare, stay):
    needs = profile(random(seed))
    hardware = chain_of(300 + spare, middle + 500, far + 2000)
    try:
        run = placements.run(needs, hardware, "tiled", Options(steady_state=stay))
    except CostModelError:
        return
    simulation, verdict = run.simulation, run.verdict
    assert verdict.accepted, verdict.problems
    assert max(simulation.layers["live_bytes"]) == verdict.peaks[0] == run.layout.size <= 300 + spare
    plan = simulation.placement.plan
    for number, level in enumerate(plan.levels):
        memory = 1 - number
        if verdict.peaks[memory] > 1:
            sizes = [
                m.size - (n == memory) * (m.size - verdict.peaks[memory] + 1) for n, m in enumerate(hardware.memories)
            ]
            found = check(needs, chain_of(*sizes[:-1]), simulation.placement).problems
            assert {(problem.memory, problem.needed) for problem in found} == {(f"m{memory}", verdict.peaks[memory])}
        for row in level.rows:
            read = [list(amounts) for amounts in simulation.traffic.read]
            read[memory + 1][row] -= 1
            problems = check(needs, hardware, simulation.placement, simulation.traffic._replace(read=read)).problems
            assert [problem.text for problem in problems if f"for reads from 'm{memory + 1}'" in problem.text]
        for row, parts in level.parts.items():
            fewer = level._replace(parts=level.parts | {row: parts[1:]})
            lost = replace(plan, levels=tuple(fewer if other is level else other for other in plan.levels))
            assert not check(needs, hardware, replace(simulation.placement, plan=lost)).accepted


@pytest.mark.parametrize("name", ["lenet5", "hairnet", "resnet18", "squeezenet", "mobilenet_v2", "mixer_b_16"])
def test_networks_go_through_four_memories(name):
    hardware = chain_of(8_000, 100_000, 2 * 10**6)
    graph = costmodel.network(name)
    needs = profile(graph, patterns=hardware.fuse)
    run = placements.run(needs, hardware, "tiled", Options())
    assert run.verdict.accepted
    assert all(peak <= memory.size for peak, memory in zip(run.verdict.peaks, hardware.memories, strict=True))
    two = placements.run(needs, chain_of(2 * 10**6), "tiled", Options()).simulation
    traffic = run.simulation.traffic
    assert (traffic.read[-1], traffic.written[-1]) == (two.traffic.read[-1], two.traffic.written[-1])
    assert sum(map(sum, (traffic.read[0], traffic.written[0]))) == 0  # every step begins and ends farther away
    plan = run.simulation.placement.plan
    real = {layer.row: layer for step in plan.runs for layer in step.layers}
    for level, memory in zip(plan.levels, hardware.memories[-3::-1], strict=True):
        for row, parts in level.parts.items():
            products = sum(part.times * part.step.nest.groups * part.step.nest.products for part in parts)
            assert products == real[row].nest.groups * real[row].nest.products
            moved = sum(move.bits for move in level.moves if move.layer == row)
            if len(parts) == parts[0].times == 1 and not parts[0].step.passing:
                assert moved >= 8 * pebbling(parts[0].step.nest, 8 * memory.size)
    for row in [*plan.levels[0].parts][:4]:  # an explanation fails where its sums are not what was computed
        assert any(figure.quantity == "steps through m0" for figure in explain(run.simulation, graph, row))


@pytest.mark.parametrize("name", ["lenet5", "hairnet", "mobilenet_v2"])
def test_where_all_fits_every_border_is_crossed_once(name):
    """Weights pass from outside to the engines; of a layer on whole maps there is one step in one tile everywhere."""
    hardware = chain_of(10**9, 10**9, 10**9)
    needs = profile(costmodel.network(name), patterns=hardware.fuse)
    simulation = placements.run(needs, hardware, "tiled", Options()).simulation
    plan = simulation.placement.plan
    assert {run.kind for run in plan.runs} == {"whole"}
    for run in plan.runs:
        layer = run.layers[0]
        if layer.nest:
            maps = sum(layer.fetched) // 8 + sum(needs.tensors["bytes"][tensor] for tensor in run.layers[-1].writes)
            rows = [other.row for other in run.layers]
            crossed = [sum(ways[n][row] for ways in simulation.traffic for row in rows) for n in (1, 2)]
            passed = sum(other.weights for other in run.layers[1:]) // 8
            kernel = layer.weights // 8
            assert crossed == [maps + passed + kernel, maps + passed]


def test_what_a_step_rereads_is_counted_by_hand():
    """A product of 4 x 4 and 4 x 4 whole in the middle, with room for 2 x 2 and less in the nearest memory.

    Of 4 rows of the operand, 2 and 1 channel's weights for them at a time: each weight passes once, and the operand
    is read once for each tile of filters.
    """
    graph = Graph(Linear(4, bias=False)(Input((4, 4))(), name="dense"), "product")
    needs = profile(graph)
    hardware = chain_of(4 * (4 * 4 + 4 + 4), 10_000)  # all results, and a column and a row of the two matrices
    run = placements.run(needs, hardware, "tiled", Options()).simulation
    assert (run.traffic.read[2], run.traffic.written[2]) == ([4 * 32], [4 * 16])
    assert (run.traffic.read[1], run.traffic.written[1]) == ([4 * 16], [4 * 16])  # the weights pass
    hardware = chain_of(4 * (4 + 4 + 1), 10_000)  # a row of results at most: one weight, a column, a column of results
    run = placements.run(needs, hardware, "tiled", Options()).simulation
    assert run.traffic.read[2] == [4 * 32]
    assert run.traffic.read[1] == [4 * 16 * 4]  # for each filter


def test_a_nearer_memory_too_small_for_one_tile_says_what_it_needs():
    needs = profile(Graph(Conv(8, 3, pads=1, bias=False)(Input((1, 4, 9, 9))(), name="layer"), "one"))
    least = 4 * (9 + 9 + 1)  # a window on one channel, one kernel of one filter, one partial sum
    assert placements.run(needs, chain_of(least, 4000), "tiled", Options()).verdict.accepted
    with pytest.raises(CostModelError, match=rf"layer 'layer' needs at least {least} B of 'm0' of 'chain' for its"):
        placements.run(needs, chain_of(least - 1, 4000), "tiled", Options())


# Image after image.


def weights_of(needs):
    return [tensor for tensor, kind in enumerate(needs.tensors["kind"]) if kind not in MAPS]


@given(st.integers(0, 10**9), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_plan_with_weights_that_stay_moves_what_a_walk_through_it_moves(seed, part):
    graph = network(seed)
    needs = profile(graph, patterns=(("BatchNorm", "Relu"),))
    size = 40 + part * (needs.peak_map_bytes + needs.layers.total("weight_bytes")) // 60
    draw = Random(seed)  # noqa: S311
    some = frozenset(tensor for tensor in weights_of(needs) if draw.random() < 0.5)
    for make in (lambda: steady(needs, size), lambda: plan(needs, size, pinned=some)):
        try:
            chosen = make()
        except CostModelError:
            continue
        walk = Network(graph, fuse(graph, (("BatchNorm", "Relu"),)), chosen)
        assert [*walk.walk()] == [*chosen.traffic()]


@given(st.integers(0, 10**9), st.integers(10, 40))
@settings(max_examples=30, deadline=None)
def test_the_weights_that_stay_are_those_that_save_most(seed, part):
    """Against every set of weights: the best where there are few, and never worse than without."""
    needs = profile(network(seed))
    weights = [tensor for tensor in weights_of(needs) if needs.tensors["bytes"][tensor]]
    assume(1 <= len(weights) <= 5)
    size = part * (needs.peak_map_bytes + needs.layers.total("weight_bytes")) // 40
    try:
        none = plan(needs, size)
    except CostModelError:
        return
    found = []
    for chosen in product((False, True), repeat=len(weights)):
        try:
            found.append(plan(needs, size, pinned=frozenset(compress(weights, chosen))).external_bytes)
        except CostModelError:
            continue
    best = steady(needs, size)
    assert min(found) <= best.external_bytes <= none.external_bytes
    if len(weights) <= 4:
        assert best.external_bytes == min(found)


def test_weights_that_nobody_reads_in_do_not_stay_by_themselves():
    """The checker refuses a plan that does not charge weights, but for those whose bytes it has room for."""
    hardware = costmodel.machine("paper-2012")
    needs = needs_of("lenet5")
    run = placements.run(needs, hardware, "tiled", Options(steady_state=True))
    assert run.verdict.accepted
    assert run.simulation.layers["weight_memory"][0] == "internal"
    chosen = run.simulation.placement.plan
    assert chosen.pinned == {*weights_of(needs)}
    lost = replace(run.simulation.placement, plan=replace(chosen, pinned=frozenset()))
    problems = check(needs, hardware, lost).problems
    assert {problem.text for problem in problems} == {"it reads weights that are not brought in"}
    assert len(problems) == sum(bits > 0 for bits in needs.layers["weight_bytes"])
    hardware = costmodel.machine("paper-2012", ["memories.internal.size=20 kB"])
    assert not check(needs, hardware, run.simulation.placement).accepted


# The zoo on a real machine.


def needs_of(name):
    hardware = costmodel.machine("paper-2012")
    return profile(costmodel.network(name), patterns=hardware.fuse)


def test_hairnet_goes_through_a_megabyte_close_to_the_floor():
    hardware = costmodel.machine("paper-2012")
    needs = needs_of("hairnet")
    floor = placements.floor(needs, hardware, Options())
    assert floor == 4 * 3 * 224 * 224 + 4 * 1000 + needs.layers.total("weight_bytes")
    moved = {}
    for policy in POLICIES:
        run = placements.run(needs, hardware, policy, Options())
        moved[policy] = sum(sum(amounts[-1]) for amounts in run.simulation.traffic)
    assert max(run.simulation.layers["live_bytes"]) <= 10**6  # the last policy is the one in tiles
    assert run.verdict.accepted
    assert floor < moved["tiled"] < 1.5 * floor < min(moved[policy] for policy in POLICIES if policy != "tiled")


@pytest.mark.parametrize("name", zoo.names())
def test_no_plan_goes_below_its_floors(name):
    """Nor is it worse than what a layer alone needs, nor than whole maps placed with all the foresight there is."""
    needs = needs_of(name)
    for size in (30_000, 10**6):
        try:
            chosen = plan(needs, size)
        except CostModelError:  # some layers cannot run in less than their weights or a whole map
            assert size < 10**6
            continue
        table = chosen.table
        for alone, floors in zip(
            table["alone_bytes"], zip(table["compulsory_bytes"], table["pebbling_bytes"], strict=True), strict=True
        ):
            assert alone >= max(floors)
        assert chosen.compulsory_bytes <= chosen.external_bytes <= sum(table["alone_bytes"])
        assert table.total("memory_bytes") <= size
        assert table.total("read_bytes") + table.total("written_bytes") == chosen.external_bytes
    reported = [row for row in csv.DictReader(REPORT.read_text().splitlines()) if row["network"] == name]
    assert len(reported) == len(POLICIES)
    whole = [int(row["external_bytes"]) for row in reported if row["policy"] in ("liveness", "optimal")]
    assert chosen.external_bytes <= min(whole)


@given(st.sampled_from([network, transformer]), st.integers(0, 10**9), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_tiles_move_no_more_than_whole_maps_can(random, seed, part):
    """Beside what whole maps take at best, each layer needs room to read and write everything once."""
    needs = profile(random(seed), patterns=(("BatchNorm", "Relu"),))
    size = 40 + part * (needs.peak_map_bytes + needs.layers.total("weight_bytes")) // 60
    beside = next(room for room in (64 * 5**power // 4**power for power in count()) if moves_all_once(needs, room))
    hardware = costmodel.machine("paper-2012", [f"memories.internal.size={size} B"])
    whole = min(
        sum(map(sum, zip(*[amounts[-1] for amounts in placed.traffic], strict=True)))
        for policy in ("liveness", "optimal")
        for placed in [simulate(needs, place(needs, hardware, policy), hardware)]
    )
    assert plan(needs, size + beside).external_bytes <= whole


def moves_all_once(needs, room):
    """Whether each layer alone runs in a memory with no byte moved twice."""
    try:
        table = plan(needs, room).table
    except CostModelError:
        return False
    return table["alone_bytes"] == table["compulsory_bytes"]


def test_in_a_large_memory_everything_crosses_once():
    for name in ("hairnet", "squeezenet", "resnet18"):
        needs = needs_of(name)
        chosen = plan(needs, 10**9)
        assert chosen.external_bytes == chosen.compulsory_bytes


def test_the_pebbling_floor_of_a_square_product():
    """2 m n k / sqrt(S) - 2 S of Smith et al. 2019 for matrices of 1024 x 1024 and room for 4096 numbers."""
    nest = nest_of(Graph(Linear(1024, bias=False)(Input((1024, 1024))()), "product"))
    room = 4096 * WIDTH
    assert pebbling(nest, room) == 4 * (2 * 1024**3 // 64 - 2 * 4096)
    tiling = nest.search(room)
    assert pebbling(nest, room) < tiling.read + tiling.written < 1.1 * pebbling(nest, room)


@given(
    st.sampled_from([(64, 32, 1, 1), (64, 32, 3, 1), (32, 64, 3, 2), (16, 16, 5, 1), (96, 96, 3, 1)]),
    st.integers(8, 40),
    st.integers(200, 40_000),
)
@settings(max_examples=60, deadline=None)
def test_no_tiling_goes_below_the_pebbling_floor(shape, side, elements):
    channels, filters, kernel, stride = shape
    op = Conv(filters, kernel, stride=stride, pads=kernel // 2, bias=False)
    nest = nest_of(Graph(op(Input((1, channels, side, side))()), "one"))
    tiling = nest.search(elements * WIDTH)
    assert pebbling(nest, elements * WIDTH) <= tiling.read + tiling.written


def products_of(walk):
    """Of every product of a small convolution the operand, the kernel's value and the result, each by a number."""
    found = []
    for n, m, (at, taps) in product(range(walk.extents[0]), range(len(walk.w)), walk.taps.items()):
        for c, (tap, value) in product(range(walk.channels), taps):
            source = n, m // walk.filters * walk.channels + c, *value
            found.append((("x", *source), ("w", m, c, *tap), ("y", n, m, *at)))
    parts = [sorted({each[part] for each in found}) for part in range(3)]
    return parts, [[part.index(element) for part, element in zip(parts, each, strict=True)] for each in found]


TINY = [  # operators on one image so small that all there is to choose can be tried
    (Conv(2, 1, bias=False), (1, 2, 1, 2)),
    (Conv(1, (1, 2), bias=False), (1, 2, 1, 3)),
    (Conv(1, (1, 3), stride=2, pads=(0, 1, 0, 1), bias=False), (1, 1, 1, 5)),
    (Conv(2, (1, 2), dilation=(1, 2), groups=2, bias=False), (1, 2, 1, 4)),
    (ConvTranspose(2, (1, 2), stride=(1, 2), bias=False), (1, 2, 1, 2)),
    (ConvTranspose(1, (1, 3), bias=False), (1, 1, 1, 3)),
]


@pytest.mark.parametrize(("op", "x"), TINY)
def test_a_phase_does_no_more_products_than_the_pebbling_floor_says(op, x):
    """Of all sets of operands, kernel and results: no more than the root of their sizes and the sharing, multiplied."""
    nest = nest_of(Graph(op(Input(x)()), "one"))
    parts, each = products_of(walked(op, x)[0])
    assert len(each) == nest.groups * nest.products
    sets = [np.arange(2 ** len(part)) for part in parts]
    done = np.zeros([len(every) for every in sets], int)
    for numbers in each:
        x_in, w_in, y_in = (every >> number & 1 for every, number in zip(sets, numbers, strict=True))
        done += x_in[:, None, None] & w_in[:, None] & y_in
    sizes = [np.array([int(one).bit_count() for one in every]) for every in sets]
    most = nest.sharing * sizes[0][:, None, None] * sizes[1][:, None] * sizes[2]
    assert (done**2 <= most).all()


def test_a_memory_too_small_for_one_tile_says_what_it_needs():
    needs = profile(Graph(Conv(8, 3, pads=1, bias=False)(Input((1, 4, 9, 9))(), name="layer"), "one"))
    least = 4 * (9 + 9 + 1)  # a window on one channel, one kernel of one filter, one partial sum
    assert plan(needs, least).external_bytes > plan(needs, 4 * least).external_bytes
    with pytest.raises(CostModelError, match=rf"layer 'layer' needs at least {least} B of .* for its smallest tile"):
        plan(needs, least - 1)


def test_a_layer_in_tiles_and_a_layer_in_a_band_are_explained():
    """An explanation fails where its formula does not give what was computed."""
    hardware = costmodel.machine("paper-2012", ["memories.internal.size=300 kB"])
    graph = costmodel.network("squeezenet")
    simulation = costmodel.cost(graph, hardware, placement="tiled")
    kinds = {}
    for run in simulation.placement.plan.runs:
        for layer in run.layers:
            kinds.setdefault(run.kind, {}).update({f.quantity: f for f in explain(simulation, graph, layer.row)})
    assert {"tile of the operand", "operand read", "kernel read", "results written"} <= kinds["tiles"].keys()
    assert "weights read" in kinds["band"]
    assert any(quantity.startswith("lines of ") for quantity in kinds["band"])


@pytest.mark.parametrize("size", [260, 450, 700])
def test_attention_in_blocks_is_explained(size):
    """Its figures too, with what stays for all blocks and what comes again."""
    x = Input((2, 6, 8))()
    key, value = Linear(4)(x), Linear(4)(x)
    graph = Graph(Attention(2, 1, mask=True, held=(6, 6))(Linear(8)(x), key, value), "attention")
    hardware = costmodel.machine("paper-2012", [f"memories.internal.size={size} B"])
    simulation = costmodel.cost(graph, hardware, placement="tiled")
    (run,) = [run for run in simulation.placement.plan.runs if isinstance(run.tiling, Blocks)]
    found = {figure.quantity: figure for figure in explain(simulation, graph, run.layers[0].row)}
    assert {
        "scores of a block",
        "queries read",
        "keys read",
        "values read",
        "mask read",
        "results written",
    } <= found.keys()


def test_more_waiting_maps_than_can_be_looked_at_are_refused():
    made = [Input((1, 1, 2, 2))()]
    for _ in range(1100):
        made.append(Relu()(made[-1]))
    needs = profile(Graph(Concat()(*made), "collected"))
    with pytest.raises(CostModelError, match=r"collected: too many maps wait .* 'liveness' takes any number"):
        place(needs, costmodel.machine("paper-2012"), "tiled")
