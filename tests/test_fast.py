"""Fast programs against the operators' own NumPy: every kernel within a bound derived from its sums; plans; errors."""

import gc
import os
import subprocess
import sys
import textwrap
import time
import tracemalloc
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

pytest.importorskip("numba")
pytest.importorskip("threadpoolctl")

from costmodel import zoo
from costmodel.arena import ALIGNMENT, plan
from costmodel.errors import CostModelError, WiringError
from costmodel.execute import execute
from costmodel.execute.fast import PATTERNS, Program
from costmodel.execute.weights import seeded_input, seeded_weights
from costmodel.fuse import fuse
from costmodel.graph import Graph, Op
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePool,
    Input,
    LayerNorm,
    LeakyRelu,
    Linear,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Pad,
    ReduceMean,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Transpose,
)
from costmodel.profile import MAPS, profile

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
"""Kernels as plain Python, which checks every index."""

THREADS = st.just(1) if INTERPRETED else st.sampled_from([1, 1, 2])


def examples(count):
    return settings(max_examples=count // 3 if INTERPRETED else count, deadline=None, print_blob=True)


# The oracle: an operator's reference in float64, and how far float32 may be from it. A sum of K products in any order
# is off by at most K * eps * (the sum of the products' magnitudes); every other operation by eps times its result; and
# what an operand is off by goes through the operator as its magnitude does.

EPS = float(np.finfo(np.float32).eps)  # two unit roundoffs: the reference's bound, doubled for folded weights


def judged(op, operands, errors, weights):  # noqa: C901 - a case for each operator
    """Operands, how far each may be off, and weights -> the exact result, and how far a float32 result may be off."""
    exact = op.run(*operands, **weights)
    sizes = [np.abs(x) for x in operands]
    of_weights = {name: np.abs(values) for name, values in weights.items()}
    none = {name: np.zeros_like(values) for name, values in weights.items()}
    match op:
        case Conv() | Linear():
            terms = prod(of_weights["weight"].shape[1:]) + 2
            spread = op.run(*errors, weight=of_weights["weight"])
            return exact, spread + terms * EPS * op.run(*sizes, **of_weights)
        case MatMul():
            return exact, operands[0].shape[-1] * EPS * op.run(*sizes)
        case BatchNorm():
            along = (-1, *[1] * (exact.ndim - 2))
            scale = (of_weights["gamma"] / np.sqrt(weights["variance"] + op.epsilon)).reshape(along)
            mean, beta = (of_weights[name].reshape(along) for name in ("mean", "beta"))
            return exact, scale * errors[0] + 8 * EPS * (scale * (sizes[0] + mean) + beta)
        case Add():
            return exact, op.run(*errors, **none) + EPS * op.run(*sizes, **of_weights)
        case ReduceMean():
            return exact, op.run(*errors) + (sizes[0].size // exact.size + 2) * EPS * op.run(*sizes)
        case AveragePool() | GlobalAveragePool():
            taps = prod(op.window.kernel if op.window else operands[0].shape[2:])
            return exact, op.run(*errors) + (taps + 2) * EPS * op.run(*sizes)
        case Gelu():  # 1 + erf(x) is a difference where x is negative
            assert not errors[0].any()
            return exact, 32 * EPS * sizes[0]
        case LayerNorm():  # what is near zero is a difference of larger values
            assert not errors[0].any()
            return exact, 64 * EPS * (np.abs(exact) + np.abs(exact).max(axis=-1, keepdims=True))
        case Softmax():
            x, off = operands[0], errors[0].max(axis=op.axis, keepdims=True)
            below = x.max(axis=op.axis, keepdims=True) - x
            return exact, exact * (2 * off + EPS * (below + below.max() + x.shape[op.axis] + 8))
        case MaxPool() | Relu() | Relu6() | Concat() | ChannelShuffle() | Transpose() | Slice() | Pad():
            return exact, op.run(*errors, **none)  # results differ by no more than operands do
    if op.view:
        return exact, op.run(*errors)
    assert not any(error.any() for error in errors), f"{op}: no bound for operands that may be off"
    return exact, 32 * EPS * np.abs(exact)


def given_inputs(graph, seed=0):
    return [seeded_input(tensor, number, seed) for number, tensor in enumerate(graph.inputs)]


def audited(program, inputs, weights=None, patterns=PATTERNS):
    """Run a program step by step, and judge what each step makes of what the steps before it have made.

    A kernel's operands are copies from when they were made, so that a step that reads what another has overwritten is
    found. Returns the copies.
    """
    graph = program.graph
    names = {node: name for name, node in graph.nodes.items()}
    made = {}

    def copy(tensor):
        return program.buffer(tensor).astype(np.float64)

    for tensor, array in zip(graph.inputs, inputs, strict=True):
        np.copyto(program.buffer(tensor), array)
        made[tensor] = copy(tensor)
    kernels = fuse(graph, patterns)
    for kernel, step in zip(kernels, program.steps, strict=True):
        step()
        exact = {tensor: made[tensor] for tensor in kernel.inputs}
        off = {tensor: np.zeros_like(made[tensor]) for tensor in kernel.inputs}
        for node in kernel.nodes:
            constants = (weights or {}).get(names[node]) or seeded_weights(names[node], node, 0)
            constants = {name: values.astype(np.float64) for name, values in constants.items()}
            with np.errstate(over="ignore", under="ignore"):
                exact[node.outputs[0]], off[node.outputs[0]] = judged(
                    node.op, [exact[x] for x in node.inputs], [off[x] for x in node.inputs], constants
                )
        for tensor in kernel.outputs:
            made[tensor] = copy(tensor)
            wrong = ~(np.abs(made[tensor] - exact[tensor]) <= off[tensor] + 1e-37)  # also where it is not a number
            where = tuple(axis[0] for axis in np.nonzero(wrong)) if wrong.any() else ()
            assert not wrong.any(), (
                f"{kernel.name} {[str(node.op) for node in kernel.nodes]} of {kernel.nodes[0].input_shapes}: "
                f"{wrong.sum()} of {wrong.size} wrong, first at {where}: "
                f"{made[tensor][where]}, not {exact[tensor][where]} +- {off[tensor][where]}"
            )
    for tensor in graph.outputs:
        root = tensor
        while root.node.op.view:
            root = root.node.inputs[0]
        np.testing.assert_array_equal(copy(tensor), made[root].reshape(tensor.shape))
    return made


def check(outputs, *, threads=1, patterns=PATTERNS, fast=None, run_before=True):
    """Compile a network; run it on large values first, which stay behind wherever they can; then audit it."""
    graph = Graph(outputs)
    program = Program(graph, patterns=patterns, threads=threads)
    if fast is not None:
        assert [not falls_back(step) for step in program.steps] == [fast] * len(program.steps)
    inputs = given_inputs(graph)
    if run_before:
        with np.errstate(all="ignore"):
            program.run([np.full(array.shape, 1e30, np.float32) for array in inputs])
    made = audited(program, inputs, patterns=patterns)
    for tensor, array in zip(graph.outputs, program.run(inputs), strict=True):
        assert array.dtype == np.float32
        assert array.shape == tensor.shape
        if tensor in made:
            np.testing.assert_array_equal(array, made[tensor].astype(np.float32))
    return program


def falls_back(step):
    return step.reference


def maps_of(*shapes):
    return [Input(shape)() for shape in shapes]


# Windows of all kinds.


@st.composite
def spans(draw, *, pool=False, kernel=None, stride=None, dilation=None):
    """One axis: size, kernel, stride, dilation, pads before and after; pads reach beyond what the kernel needs."""
    kernel = kernel or draw(st.integers(1, 5))
    stride = stride or draw(st.integers(1, 3))
    dilation = dilation or draw(st.sampled_from([1, 1, 1, 2, 3]))
    extent = dilation * (kernel - 1) + 1
    most = min(4, extent - 1) if pool else 6
    before, after = draw(st.integers(0, most)), draw(st.integers(0, most))
    if draw(st.booleans()):
        before = after = 0
    smallest = max(1, extent - before - after, extent - dilation + 1 if pool and dilation > 1 else 1)
    return draw(st.integers(smallest, smallest + 6)), kernel, stride, dilation, before, after


def windowed(axes):
    """Axes -> a map's sizes, and an operator's attributes."""
    sizes, kernel, stride, dilation, before, after = zip(*axes, strict=True)
    return sizes, {"kernel": kernel, "stride": stride, "dilation": dilation, "pads": (*before, *after)}


@st.composite
def convolutions(draw):
    """A convolution of one of the forms, and the shape of its operand."""
    form = draw(st.sampled_from(["pointwise", "window", "grouped", "depthwise", "depthwise 3x3"]))
    if form == "pointwise":
        sizes = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
        attributes = {"kernel": (1, 1), "dilation": draw(st.integers(1, 2))}
    elif form == "depthwise 3x3":
        stride = draw(st.integers(1, 3))
        sizes, attributes = windowed([draw(spans(kernel=3, stride=stride, dilation=1)) for _ in range(2)])
    else:
        sizes, attributes = windowed([draw(spans()), draw(spans())])
    groups = 1 if form == "window" else draw(st.integers(1, 5))
    each = 1 if form.startswith("depthwise") else draw(st.integers(1, 5))
    multiple = 1 if form == "depthwise 3x3" else draw(st.integers(1, 4))
    op = Conv(groups * multiple, groups=groups, bias=draw(st.booleans()), **attributes)
    return op, (draw(st.integers(1, 3)), groups * each, *sizes)


TAILS = [tuple(pattern[1:]) for pattern in PATTERNS if pattern[0] == "Conv"]


@st.composite
def followed(draw, x, kinds):
    """A chain of operators behind a tensor; a sum's other operand is another input, and may stand first."""
    for kind in kinds:
        if kind == "Add":
            other = Input(x.shape)()
            x = Add()(x, other) if draw(st.booleans()) else Add()(other, x)
        elif kind == "ChannelShuffle":
            divisors = [groups for groups in range(1, 7) if x.shape[1] % groups == 0]
            x = ChannelShuffle(draw(st.sampled_from(divisors)))(x)
        else:
            x = {"BatchNorm": BatchNorm, "Relu": Relu, "Relu6": Relu6}[kind]()(x)
    return x


@examples(120)
@given(data=st.data(), case=convolutions(), tail=st.sampled_from([(), *TAILS]), threads=THREADS)
def test_convolutions_and_what_ends_them(data, case, tail, threads):
    op, shape = case
    y = data.draw(followed(op(Input(shape)()), tail))
    program = check(y, threads=threads)
    assert len(program.steps) == 1
    shuffle = y.node.op
    if not isinstance(shuffle, ChannelShuffle) or shuffle.groups in {1, op.groups} or op.groups == 1:
        assert not falls_back(program.steps[0])


@pytest.mark.parametrize("pattern", PATTERNS, ids="+".join)
@pytest.mark.parametrize("other_first", [False, True])
def test_every_pattern_is_one_fast_kernel(pattern, other_first):
    x, other = Input((2, 6, 5, 5))(), Input((2, 6, 5, 5))()
    tensor = x
    for kind in pattern:
        made = {
            "Conv": Conv(6, 3, pads=1),
            "BatchNorm": BatchNorm(),
            "Relu": Relu(),
            "Relu6": Relu6(),
            "ChannelShuffle": ChannelShuffle(3),
            "Add": lambda x: Add()(other, x) if other_first else Add()(x, other),
            "Concat": lambda x: Concat()(other, x) if other_first else Concat()(x, other),
            "Linear": lambda x: Linear(5)(Reshape((2, 150))(x)),
        }[kind]
        tensor = made(tensor)
    program = check(tensor)
    assert not falls_back(program.steps[-1])


@pytest.mark.parametrize("dealt", [1, 2, 3, 6])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("kernel", [1, 3])
def test_channels_shuffled_behind_a_convolution(kernel, groups, dealt):
    y = Relu()(BatchNorm()(Conv(12, kernel, groups=groups)(Input((2, 6, 4, 4))())))
    (step,) = check(ChannelShuffle(dealt)(y)).steps
    assert falls_back(step) == (groups > 1 and dealt not in {1, groups})


@pytest.mark.parametrize("size", [(8, 45, 100), (40, 3, 400)], ids=["several rows", "less than a row"])
@pytest.mark.parametrize("threads", [1, 2])
def test_columns_of_patches_that_do_not_fit_at_once(size, threads):
    check(Conv(3, 3, pads=1)(Input((1, *size))()), threads=threads, fast=True)


FOLLOWERS = ["BatchNorm", "Relu", "Relu6", "Add", "ChannelShuffle"]
FIRST = {
    "Conv": Conv(6, 3, pads=1, groups=2),
    "Linear": Linear(6),
    "BatchNorm": BatchNorm(),
    "Add": Add(),
    "Concat": Concat(),
    "MaxPool": MaxPool(2),
    "Relu": Relu(),
}


@pytest.mark.parametrize("first", FIRST)
@examples(60)
@given(data=st.data())
def test_any_chain_that_a_machine_may_fuse(first, data):
    """Patterns are given by machines, too: a chain that no kernel is for is run by the reference."""
    followers = data.draw(st.lists(st.sampled_from(FOLLOWERS), min_size=1, max_size=4))
    if first == "Conv":
        followers = data.draw(st.sampled_from([followers, sorted(followers, key=FOLLOWERS.index)]))
    operands = maps_of(*[(2, 6, 3, 4)] * (2 if first in {"Add", "Concat"} else 1))
    y = data.draw(followed(FIRST[first](*operands), followers))
    program = check(y, patterns=[[first, *followers]])
    assert len(program.steps) == 1


@pytest.mark.parametrize("shapes", [((1, 3, 1, 1), (1, 3, 4, 5)), ((1, 3, 4, 5), (2, 3, 4, 5)), ((2, 1, 4, 1), (4, 5))])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_sum_that_stretches_a_convolutions_map_is_no_end_of_it(shapes, kernel):
    x, other = (Input(shape)() for shape in shapes)
    y = BatchNorm()(Conv(x.shape[1], kernel, pads=kernel // 2)(x))
    check(Relu()(Add()(y, other)))


@examples(60)
@given(
    axes=st.tuples(spans(pool=True), spans(pool=True)),
    batch=st.integers(1, 3),
    channels=st.integers(1, 5),
    ceil_mode=st.booleans(),
    kind=st.sampled_from([MaxPool, AveragePool]),
    count_include_pad=st.booleans(),
    threads=THREADS,
)
def test_pools(axes, batch, channels, ceil_mode, kind, count_include_pad, threads):
    sizes, attributes = windowed(axes)
    if kind is AveragePool:
        attributes["count_include_pad"] = count_include_pad
    op = kind(**attributes, ceil_mode=ceil_mode)
    try:
        op.shape((1, 1, *sizes))
    except WiringError:  # a window without any input, which a pool refuses
        reject()
    check(op(Input((batch, channels, *sizes))()), threads=threads, fast=True)


# Everything else, in networks.


def shaped(draw, x):
    """An operator that takes one 4D map, drawn."""
    n, c, h, w = x.shape
    divisors = [groups for groups in range(1, c + 1) if c % groups == 0]
    kernel = draw(st.integers(1, 3))
    return draw(
        st.sampled_from(
            [
                Conv(draw(st.integers(1, 6)), kernel, draw(st.integers(1, 2)), draw(st.integers(0, 2))),
                Conv(
                    c * draw(st.integers(1, 2)), 3, draw(st.integers(1, 2)), 1, groups=draw(st.sampled_from(divisors))
                ),
                Conv(c, kernel, pads=kernel // 2, groups=c),
                MaxPool(kernel, draw(st.integers(1, 3)), kernel // 2),
                AveragePool(kernel, draw(st.integers(1, 3)), kernel // 2, ceil_mode=True),
                BatchNorm(),
                Relu(),
                Relu6(),
                ChannelShuffle(draw(st.sampled_from(divisors))),
                GlobalAveragePool(),
                Softmax(draw(st.integers(-4, 3))),
                Pad((0, 0, 1, 0, 0, 0, 0, 1)),
                Slice((0, 0, 0, -1), (None, 1, None, None)),
                Transpose((0, 1, 3, 2)),
                Dropout(),
                LeakyRelu(),
                Lrn(),
                Linear(draw(st.integers(1, 4))),
                Reshape((n, c, w, h)),
            ]
        )
    )


@st.composite
def networks(draw):
    """Outputs of a small network of 4D maps, in which maps are read several times, joined, added and viewed."""
    maps = [Input((draw(st.integers(1, 2)), *(draw(st.integers(1, 6)) for _ in range(3))))()]
    read = set()
    for _ in range(draw(st.integers(1, 7))):
        x = maps[-draw(st.integers(1, min(3, len(maps))))]
        how = draw(st.sampled_from(["one", "one", "one", "add", "concat"]))
        other = draw(st.sampled_from(maps)) if how != "one" else x
        op = shaped(draw, x) if how == "one" else Add() if how == "add" else Concat(draw(st.integers(-3, 3)))
        operands = [x] if how == "one" else [x, other] if draw(st.booleans()) else [other, x]
        try:
            y = op(*operands)
        except WiringError:
            continue
        if y.elements < 2000:
            read.update(operands)
            maps.append(y)
    assume(len(maps) > 1)
    ends = [tensor for tensor in maps if tensor not in read] + draw(st.lists(st.sampled_from(maps), max_size=2))
    head = draw(st.sampled_from([None, Flatten(), Flatten(2), Flatten(0)]))
    if head:
        flat = head(ends[0])
        ends.append(flat if len(flat.shape) < 2 else draw(st.sampled_from([Relu(), Softmax(-1), Linear(3)]))(flat))
    return draw(st.permutations(ends))


@examples(150)
@given(ends=networks(), threads=THREADS)
def test_networks_of_all_that_there_is(ends, threads):
    graph = Graph(ends)
    assume(any(node.inputs for node in graph.nodes.values()))
    check(ends, threads=threads, run_before=False)


FALLING_BACK = {
    "conv 1d": lambda: Relu()(BatchNorm()(Conv(4, (3,), stride=2, pads=1)(*maps_of((2, 3, 9))))),
    "conv 3d": lambda: Conv(4, (3, 1, 2), groups=2)(*maps_of((2, 4, 5, 4, 3))),
    "max pool 1d": lambda: MaxPool((2,))(*maps_of((2, 3, 9))),
    "average pool 3d": lambda: AveragePool((2, 2, 2), pads=1)(*maps_of((1, 3, 4, 5, 6))),
    "global average pool 3d": lambda: GlobalAveragePool()(*maps_of((2, 3, 4, 5, 6))),
    "norm 2d": lambda: Relu()(BatchNorm()(*maps_of((4, 5)))),
    "sum 3d": lambda: Relu()(Add()(*maps_of((2, 3, 4), (2, 3, 4)))),
    "sum that stretches both": lambda: Relu6()(Add()(*maps_of((2, 3, 1, 5), (1, 3, 4, 1)))),
    "sum with a vector": lambda: Add()(*maps_of((2, 3, 4, 5), (5,))),
    "linear of many rows": lambda: Relu()(Linear(7)(*maps_of((17, 5)))),
    "softmax along width": lambda: Softmax(3)(*maps_of((2, 3, 4, 5))),
    "softmax along channels": lambda: Softmax()(*maps_of((2, 3, 4, 5))),
    "clamp 1d": lambda: Relu6()(Input((7,))()),
    "clamp 5d": lambda: Relu()(*maps_of((2, 3, 1, 2, 2))),
    "concat along batch": lambda: Relu()(Concat(0)(*maps_of((2, 3, 4, 5), (1, 3, 4, 5)))),
    "concat along width": lambda: Concat(-1)(*maps_of((2, 3, 4, 5), (2, 3, 4, 1))),
    "concat 2d": lambda: Concat()(*maps_of((2, 3), (2, 4))),
    "product": lambda: Mul()(*maps_of((2, 3, 4, 4), (2, 3, 1, 1))),
    "matrix product": lambda: MatMul()(*maps_of((2, 3, 4), (4, 5))),
    "sigmoid": lambda: Sigmoid()(*maps_of((2, 3, 4, 5))),
}


@pytest.mark.parametrize("name", FALLING_BACK)
def test_what_has_no_fast_kernel_runs_its_reference(name):
    check(FALLING_BACK[name](), fast=False)


FAST = {
    "sum": lambda: Relu()(Add()(*maps_of((2, 3, 4, 5), (2, 3, 4, 5)))),
    "sum with itself": lambda: (lambda x: Add()(x, x))(Input((2, 3, 4, 5))()),
    "concat": lambda: Relu6()(Concat()(*maps_of((2, 3, 4, 5), (2, 1, 4, 5), (2, 7, 4, 5)))),
    "concat from behind": lambda: Concat(-3)(*maps_of((2, 3, 4, 5), (2, 1, 4, 5))),
    "norm": lambda: Relu6()(BatchNorm()(*maps_of((3, 5, 3, 1)))),
    "norm alone": lambda: BatchNorm(epsilon=0.1)(*maps_of((3, 5, 3, 1))),
    "global average pool": lambda: GlobalAveragePool()(*maps_of((3, 5, 7, 3))),
    "linear": lambda: Relu()(Linear(7)(*maps_of((3, 5)))),
    "linear without bias": lambda: Relu6()(Linear(7, bias=False)(*maps_of((3, 5)))),
    "linear 3d": lambda: Relu()(Linear(7)(*maps_of((3, 2, 5)))),
    "linear 4d": lambda: Linear(7)(*maps_of((3, 2, 2, 5))),
    "softmax": lambda: Softmax()(*maps_of((3, 50))),
    "softmax of a map": lambda: Softmax()(*maps_of((3, 50, 1, 1))),
    "softmax of one": lambda: Softmax()(*maps_of((3, 1))),
    "clamp": lambda: Relu6()(*maps_of((3, 1, 4, 4))),
}


@pytest.mark.parametrize("name", FAST)
def test_what_has_a_fast_kernel_runs_it(name):
    check(FAST[name](), fast=True)


def test_a_softmax_of_large_values_does_not_overflow():
    graph = Graph(Softmax()(Input((1, 3))()))
    (y,) = Program(graph).run([np.array([[1e30, -1e30, 1e30]], np.float32)])
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5]])


# Whole networks.

SMALL = {
    "alexnet": {"size": 67},
    "conv_mobilenet": {"width": 0.25},
    "googlenet": {"size": 80, "auxiliary_heads": True},
    "hairnet": {"size": 32},
    "mixer_b_16": {"depth": 2},
    "nasnet_a_mobile": {"penultimate": 96},
    "resnet50": {"width": 0.25},
    "shufflenet": {"squeeze_excite": True},
    "squeezenet": {"size": 48},
    "vgg16": {"size": 32, "width": 0.125},
    "vgg19": {"size": 32, "width": 0.125},
    "vit_b_16": {"depth": 2},
}

NO_KERNEL = {"Lrn", "Tanh", "Sigmoid", "Mul", "Pad", "Slice", "Transpose", "Attention", "MatMul", "Softmax"}
"""The zoo's operators that run their reference on 4D maps; convolutions, norms, pools and sums have fast kernels."""


def small(name):
    network = zoo.get(name)
    chosen = {"size": 37, "classes": 7, "width": 0.5} | SMALL.get(name, {})
    return network(**{key: value for key, value in chosen.items() if key in network.defaults})


def weights_for(graph):
    """Weights such as follow from a seed, made faster: kernels keep a map's variance."""
    numbers = np.random.default_rng(0)
    ranges = {"gamma": (0.5, 1.5), "variance": (0.5, 1.5)}
    made = {}
    for name, node in graph.nodes.items():
        made[name] = {}
        for weight in node.weights:
            bound = (6 / prod(weight.shape[1:])) ** 0.5 if weight.name == "weight" else 0.2
            low, high = ranges.get(weight.name, (-bound, bound))
            made[name][weight.name] = low + (high - low) * numbers.random(weight.shape, np.float32)
    return made


def left_behind(program, inputs):
    """A run's outputs, and all that it leaves in the arena."""
    program.arena[:] = 0
    return [*program.run(inputs), program.arena.copy()]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_zoo(name):
    graph = small(name)
    inputs, weights = given_inputs(graph), weights_for(graph)
    program = Program(graph, weights, threads=2)
    assert_same(left_behind(program, inputs), left_behind(program, inputs))
    made = audited(program, inputs, weights)
    for kernel, step in zip(fuse(graph, PATTERNS), program.steps, strict=True):
        if falls_back(step) and len(kernel.outputs[0].shape) == 4:
            assert {node.op.kind for node in kernel.nodes} <= NO_KERNEL, kernel.name
    # No kernel is wrong. The whole network is as exact as the reference, too, before softmax flattens it.
    last = [tensor.node.inputs[0] if tensor.node.op.kind == "Softmax" else tensor for tensor in graph.outputs]
    cut = Graph(last)
    plain = execute(cut, inputs, weights)
    double = {name: {key: array.astype(np.float64) for key, array in of.items()} for name, of in weights.items()}
    exact = execute(cut.replay(dtype="float64"), [array.astype(np.float64) for array in inputs], double)
    for tensor, y, true in zip(last, plain, exact, strict=True):
        assert true.std() > 0
        largest = np.abs(true).max()
        assert np.abs(y - true).max() <= 1e-3 * largest
        assert np.abs(made[tensor] - true).max() <= 10 * np.abs(y - true).max() + 1e-6 * largest


def composed():
    """All kernels that are compiled here, and none that is a matrix product."""
    x = Input((2, 5, 13, 11))()
    y = Relu()(BatchNorm()(Conv(5, 3, pads=1, groups=5)(x)))
    y = Add()(Conv(5, 3, 2, 1, groups=5)(y), MaxPool(3, 2, 1)(y))
    z = Conv(5, (5, 4), (1, 2), 2, groups=5)(y)
    w = Relu6()(Concat()(AveragePool(3, 1, 1)(z), Relu()(BatchNorm()(z)), Relu()(z)))
    return Softmax()(Flatten()(GlobalAveragePool()(w))), w, y


def test_kernels_make_the_same_on_any_number_of_threads():
    """Each thread has channels of its own. BLAS shares sums out otherwise, and rounds them otherwise."""
    graph = Graph(composed())
    inputs = given_inputs(graph)
    alone, shared = (Program(graph, threads=threads) for threads in (1, 2))
    assert not any(map(falls_back, alone.steps))
    assert_same(left_behind(alone, inputs), left_behind(shared, inputs))


def test_programs_do_not_disturb_one_another():
    graphs = [Graph(composed()), small("mobilenet_v2_reduced"), small("squeezenet")]
    inputs = [given_inputs(graph) for graph in graphs]
    alone = [Program(graph, threads=2).run(given) for graph, given in zip(graphs, inputs, strict=True)]
    programs = [Program(graph, threads=1 + number % 2) for number, graph in enumerate(graphs)]
    programs += [Program(graph, threads=2) for graph in graphs]
    for _ in range(2):
        for number in (0, 4, 2, 1, 3, 5):
            made = programs[number].run(inputs[number % 3])
            for a, b in zip(made, alone[number % 3], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for step in zip(*(program.steps for program in programs[:3]), strict=False):  # in turn, layer by layer
        for one in step:
            one()


def test_a_run_does_not_depend_on_the_run_before():
    graph = Graph(composed())
    program = Program(graph)
    given_ones = [given_inputs(graph, seed) for seed in (1, 2)]
    first, second = (left_behind(program, inputs) for inputs in given_ones)
    assert not np.array_equal(first[0], second[0])
    kept = [array.copy() for array in first]
    assert_same(first, left_behind(program, given_ones[0]))
    assert_same(first, kept)  # what a run returns is not the arena's memory


def test_what_is_not_given_follows_from_the_seed():
    graph = Graph(composed())
    for seed in (0, 3):
        fast, plain = Program(graph, seed=seed).run(), execute(graph, seed=seed)
        for a, b in zip(fast, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_steps_make_no_arrays():
    """The arena is all the memory for maps: what a step makes beside it is Python's own small objects.

    These are views, numbers and argument tuples, about a hundred bytes each and gone with the step, whereas the
    smallest map here has 2 kB.
    """
    graph = small("mobilenet_v2")
    program = Program(graph)
    assert not any(map(falls_back, program.steps))
    for _ in range(2):
        program.run()
    gc.collect()
    tracemalloc.start()
    try:
        for step in program.steps:
            step()
        before, _ = tracemalloc.get_traced_memory()
        for step in program.steps:
            tracemalloc.reset_peak()
            step()
            after, peak = tracemalloc.get_traced_memory()
            assert peak - before < 2000
            assert after - before < 2000
    finally:
        tracemalloc.stop()


def test_a_hundred_runs_leave_nothing():
    graph = Graph(composed())
    program, inputs = Program(graph, threads=2), given_inputs(graph)

    def runs(count):
        for _ in range(count):
            program.run(inputs)
        gc.collect()
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)

    program.run(inputs)  # what numba imports for its first run stays
    tracemalloc.start()
    try:
        runs(1)
        assert runs(100) == 0
    finally:
        tracemalloc.stop()


def test_times_has_one_time_per_kernel_and_run():
    ticks = []
    program = Program(Graph(composed()))
    times = program.times(3, tick=lambda: ticks.append(1))
    assert [len(each) for each in times] == [3] * len(program.names) == [3] * len(program.steps)
    assert len(ticks) == 3
    assert all(seconds > 0 for each in times for seconds in each)


# The plan of the arena.


def live_peak(sizes, born, dies):
    return max((sum(s for s, b, d in zip(sizes, born, dies, strict=True) if b <= t <= d) for t in {*born}), default=0)


def assert_sound(sizes, born, dies, placed):
    lives = list(zip(placed.offsets, sizes, born, dies, strict=True))
    for number, (offset, size, start, end) in enumerate(lives):
        assert offset % ALIGNMENT == 0
        assert 0 <= offset <= offset + size <= placed.size
        for other, other_size, other_start, other_end in lives[:number]:
            together = start <= other_end and other_start <= end
            assert not together or offset + size <= other or other + other_size <= offset
    assert live_peak(sizes, born, dies) <= placed.size
    assert placed.size <= sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)


@settings(max_examples=200, deadline=None)
@given(lives=st.lists(st.tuples(st.integers(1, 500), st.integers(0, 12), st.integers(0, 12)), max_size=25))
def test_tensors_that_live_together_lie_apart(lives):
    sizes, born, ages = zip(*lives, strict=True) if lives else ((), (), ())
    dies = [start + age for start, age in zip(born, ages, strict=True)]
    assert_sound(sizes, born, dies, plan(sizes, born, dies))


def test_a_chain_needs_two_maps():
    assert plan([64] * 4, [0, 0, 1, 2], [0, 1, 2, 3]) == ((0, 64, 0, 64), 128)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", zoo.names())
def test_the_arena_of_a_network_is_little_more_than_its_peak(name, batch):
    needs = profile(zoo.get(name)().replay(batch=batch), patterns=PATTERNS)
    rows = [row for row, kind in enumerate(needs.tensors["kind"]) if kind in MAPS]
    sizes, born, dies = ([needs.tensors[column][row] for row in rows] for column in ("bytes", "born", "dies"))
    placed = plan(sizes, born, dies)
    assert_sound(sizes, born, dies, placed)
    assert live_peak(sizes, born, dies) == needs.peak_map_bytes <= placed.size <= 1.3 * needs.peak_map_bytes


def test_a_programs_arena_is_the_plans():
    graph = Graph(composed())
    program = Program(graph)
    assert program.profile.peak_map_bytes <= program.arena.nbytes <= 1.3 * program.profile.peak_map_bytes
    assert program.arena.ctypes.data % ALIGNMENT == 0
    for node in graph.nodes.values():
        if node.outputs[0] in {*graph.inputs, *graph.outputs}:
            assert program.buffer(node.outputs[0]).ctypes.data % ALIGNMENT == 0
            assert np.shares_memory(program.buffer(node.outputs[0]), program.arena)


# What a user can get wrong.


def simple(dtype="float32"):
    x = Input((1, 4, 5, 5))()
    return Graph(Relu()(Conv(4, 3)(x, name="conv")), "net", dtype=dtype)


GOOD = {"conv": {"weight": np.ones((4, 4, 3, 3), np.float32), "bias": np.zeros(4, np.float32)}}
RUNNERS = {"fast": lambda graph, inputs=None, weights=None: Program(graph, weights).run(inputs), "plain": execute}
both = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)


@both
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros((1, 4, 5, 5))], "net: input 0 must be float32 of 1x4x5x5, not float64 of 1x4x5x5"),
        ([np.zeros((1, 4, 5), np.float32)], "net: input 0 must be float32 of 1x4x5x5, not float32 of 1x4x5"),
        ([np.zeros((1, 4, 5, 5), np.int32)], "not int32 of 1x4x5x5"),
        ([[0.0]], "not list of 1"),
        ([None], "not NoneType of scalar"),
        ([], "net: takes 1 inputs, not 0"),
        ([np.zeros((1, 4, 5, 5), np.float32)] * 2, "net: takes 1 inputs, not 2"),
    ],
)
def test_wrong_inputs(run, inputs, message):
    with pytest.raises(CostModelError) as error:
        run(simple(), inputs, GOOD)
    assert message in str(error.value)


def with_conv(**changed):
    return {"conv": GOOD["conv"] | changed}


@both
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "net: no weights for 'conv'; known: none"),
        ({"cnov": GOOD["conv"]}, "net: 'cnov' is no layer with weights; did you mean 'conv'?"),
        ({"conv": {"weight": GOOD["conv"]["weight"]}}, "net: 'conv' has no 'bias'; known: weight"),
        (with_conv(bias=np.zeros(3, np.float32)), "net: 'conv': 'bias' must be float32 of 4, not float32 of 3"),
        (with_conv(bias=np.zeros(4)), "net: 'conv': 'bias' must be float32 of 4, not float64 of 4"),
        (with_conv(bias=[0, 0, 0, 0]), "net: 'conv': 'bias' must be float32 of 4, not list of 4"),
        (with_conv(bias=np.full(4, np.nan, np.float32)), "net: 'conv': 'bias' has values that are not finite"),
        (with_conv(bias=np.full(4, np.inf, np.float32)), "net: 'conv': 'bias' has values that are not finite"),
    ],
)
def test_wrong_weights(run, weights, message):
    with pytest.raises(CostModelError) as error:
        run(simple(), None, weights)
    assert message in str(error.value)


@both
def test_good_weights_and_inputs_run(run):
    x = np.asfortranarray(seeded_input(simple().inputs[0], 0, 0))  # neither order nor writability matters
    x.flags.writeable = False
    for array in GOOD["conv"].values():
        array.flags.writeable = False
    (y,) = run(simple(), [x], GOOD | {"unknown": {}})
    np.testing.assert_allclose(y, execute(simple(), [x], GOOD)[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_fast_kernels_are_for_float32(dtype):
    with pytest.raises(CostModelError, match=r"^net: the fast kernels are for float32; execute\(\) runs other types$"):
        Program(simple(dtype))


@both
@pytest.mark.parametrize("dtype", ["int32", "int8", "bfloat16"])
def test_other_element_types_do_not_run(run, dtype):
    with pytest.raises(CostModelError, match=rf"^net: networks run in float32, float64, float16, not in {dtype}$"):
        run(simple(dtype))


@pytest.mark.parametrize("threads", [0, -1, 10**9, 1.0, 1.5, "2", None])
def test_threads_out_of_range(threads):
    with pytest.raises(CostModelError, match=rf"^threads must be from 1 to \d+, not {threads!r}$"):
        Program(simple(), threads=threads)


class Unwritten(Op, abstract=True):
    """An operator that says what it makes, but not how."""

    def shape(self, x):
        return x


class Moody(Op, abstract=True):
    """y = x, or an error where x is negative."""

    operands = 1

    def shape(self, x):
        return x

    def run(self, x):
        if x.min() < 0:
            raise ArithmeticError("not today")
        return x


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_fails_in_the_middle_leaves_a_program_that_runs(threads):
    x = Input((1, 8, 40, 40))()
    y = Conv(8, 3, pads=1)(Moody()(MaxPool(3, 1, 1)(x)))
    program = Program(Graph(y), threads=threads)
    good = np.ones((1, 8, 40, 40), np.float32)
    (first,) = program.run([good])
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="not today"):
            program.run([-good])
        (again,) = program.run([good])
        np.testing.assert_array_equal(first, again)


def test_of_a_run_that_fails_nothing_more_is_done():
    """Else a thread would write to memory that the next run has begun to use, or that is no longer the program's."""

    class Late(Op, abstract=True):
        operands = 1

        def shape(self, x):
            return x

        def run(self, x):
            time.sleep(0.03)  # until the other thread has come to wait for this
            program.buffer(y)[:] = 7
            raise ArithmeticError(f"not today {x.shape}")

    y = Conv(8, 3, pads=1)(Late()(Input((1, 8, 40, 40))()))
    program = Program(Graph(y), threads=2)
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="not today"):
            program.run()
        time.sleep(0.03)
        assert (program.buffer(y) == 7).all()


class Halves(Op, abstract=True):
    """Two outputs."""

    operands = 1

    def shapes(self, x):
        return (x, x)

    def run(self, x):
        return x, x


@both
def test_an_operator_that_cannot_run_is_named_with_its_layer(run):
    x = Input((1, 4))()
    with pytest.raises(CostModelError, match=r"^net: 'mine' cannot run: Unwritten defines no run\(\)$"):
        run(Graph(Relu()(Unwritten()(x, name="mine")), "net"))


def test_the_fast_kernels_have_one_output():
    x = Input((1, 4))()
    with pytest.raises(CostModelError, match=r"^net: 'two' has several outputs, which the fast kernels have not$"):
        Program(Graph(Halves().apply(x, name="two"), "net"))


@pytest.mark.parametrize("missing", ["numba", "threadpoolctl"])
def test_without_the_extra_the_message_names_it_and_the_reference_runs(missing):
    script = f"""
        import sys
        sys.modules[{missing!r}] = None
        from costmodel.errors import CostModelError, WiringError
        from costmodel.execute import execute
        import costmodel
        print(execute(costmodel.network("lenet5"))[0].shape)
        try:
            import costmodel.execute.fast
        except CostModelError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["(1, 10)", f"fast kernels need {missing}: pip install 'costmodel[exec]'"]


@pytest.mark.skipif(INTERPRETED, reason="is that other process")
def test_no_kernel_reads_or_writes_past_an_end():
    """The kernels once more as plain Python, in which an index past an array's end is an error."""
    chosen = "convolutions_and or every_pattern or pools or networks_of_all or has_a_fast_kernel"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", chosen, "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0, done.stdout
