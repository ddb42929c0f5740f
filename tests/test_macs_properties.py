"""Shapes and counts against naive loops that really walk over outputs, windows and channels, and against NumPy."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodel.errors import WiringError
from costmodel.graph import Work
from costmodel.ops import Add, AveragePool, Concat, Conv, Linear, MatMul, MaxPool, Pad, Reshape, Slice, Transpose

quick = settings(max_examples=150, deadline=None)


class Axis(NamedTuple):
    """One spatial axis of a map and the window that slides along it."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int


@st.composite
def axes(draw, *, pads_below_window=False):
    kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
    extent = dilation * (kernel - 1) + 1
    before, after = (draw(st.integers(0, min(3, extent - 1) if pads_below_window else 3)) for _ in range(2))
    smallest = max(1, extent - before - after)
    return Axis(draw(st.integers(smallest, smallest + 4)), kernel, stride, dilation, before, after)


def attributes(spatial):
    """Axes -> the attributes of an operator, pads in ONNX's order."""
    return {
        "kernel": tuple(axis.kernel for axis in spatial),
        "stride": tuple(axis.stride for axis in spatial),
        "dilation": tuple(axis.dilation for axis in spatial),
        "pads": (*(axis.before for axis in spatial), *(axis.after for axis in spatial)),
    }


def windows(axis):
    """Every window of one axis, as the coordinates it reads on the padded map."""
    padded = [None] * axis.before + list(range(axis.size)) + [None] * axis.after
    found = []
    for start in range(0, len(padded), axis.stride):
        read = [start + tap * axis.dilation for tap in range(axis.kernel)]
        if read[-1] < len(padded):
            found.append(read)
    return found


def pool_windows(axis, ceil):
    """How many windows one axis has, walked from the leading padding on: none starts behind the map.

    Each fits into the padded map; with ``ceil`` one more may hang over the end, unless the end is reached already.
    """
    extent = axis.dilation * (axis.kernel - 1) + 1
    start, reached, end = -axis.before, -axis.before, axis.size + axis.after
    count = 0
    while start < axis.size and reached < end and (ceil or start + extent <= end):
        reached = start + extent
        start += axis.stride
        count += 1
    return count


def steps_over(axis, count):
    """Whether one of so many windows has no element of the map: its taps lie in the padding on both sides of it."""
    starts = range(-axis.before, count * axis.stride - axis.before, axis.stride)
    return any(
        not {start + tap * axis.dilation for tap in range(axis.kernel)} & {*range(axis.size)} for start in starts
    )


@quick
@given(
    spatial=st.lists(axes(), min_size=1, max_size=2),
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    channels_per_group=st.integers(1, 2),
    filters_per_group=st.integers(1, 2),
)
def test_convolution(spatial, batch, groups, channels_per_group, filters_per_group):
    channels, filters = groups * channels_per_group, groups * filters_per_group
    positions = [windows(axis) for axis in spatial]
    outputs, multiplications = set(), 0
    for image in range(batch):
        for number in range(filters):
            group = number // filters_per_group
            for place in itertools.product(*[range(len(walk)) for walk in positions]):
                outputs.add((image, number, *place))
                for channel in range(channels):
                    if channel // channels_per_group != group:
                        continue
                    for _ in itertools.product(*[walk[at] for walk, at in zip(positions, place, strict=True)]):
                        multiplications += 1
    x = (batch, channels, *(axis.size for axis in spatial))
    conv = Conv(filters, **attributes(spatial), groups=groups)
    assert conv.shape(x) == tuple(last + 1 for last in max(outputs))
    assert conv.work(x) == Work(macs=multiplications)


@quick
@given(
    spatial=st.lists(axes(pads_below_window=True), min_size=1, max_size=3),
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
    ceil=st.booleans(),
)
def test_pools(spatial, batch, channels, ceil):
    positions = tuple(pool_windows(axis, ceil) for axis in spatial)
    operations = 0
    for _ in itertools.product(range(batch), range(channels), *map(range, positions)):
        for _ in itertools.product(*[range(axis.kernel) for axis in spatial]):
            operations += 1
    x = (batch, channels, *(axis.size for axis in spatial))
    largest = MaxPool(**attributes(spatial), ceil_mode=ceil)
    mean = AveragePool(**attributes(spatial), ceil_mode=ceil)
    if any(itertools.starmap(steps_over, zip(spatial, positions, strict=True))):
        for pool in (largest, mean):
            with pytest.raises(WiringError, match="windows without any input"):
                pool.shape(x)
        return
    assert largest.shape(x) == mean.shape(x) == (batch, channels, *positions)
    assert largest.work(x) == Work(compare=operations)
    # the first element of each window is taken and not added, and the sum is multiplied once
    outputs = batch * channels * math.prod(positions)
    assert mean.work(x) == Work(add=operations - outputs, multiply=outputs)


@quick
@given(spatial=st.lists(axes(), min_size=1, max_size=2), channels=st.integers(1, 2))
def test_a_convolution_reads_what_a_numpy_view_reads(spatial, channels):
    padded = np.zeros((channels, *(axis.before + axis.size + axis.after for axis in spatial)))
    extents = tuple(axis.dilation * (axis.kernel - 1) + 1 for axis in spatial)
    view = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=tuple(range(1, len(spatial) + 1)))
    strides = (slice(None), *(slice(None, None, axis.stride) for axis in spatial))
    taps = tuple(slice(None, None, axis.dilation) for axis in spatial)
    read = view[(*strides, *taps)]
    conv = Conv(1, **attributes(spatial))
    x = (1, channels, *(axis.size for axis in spatial))
    assert conv.shape(x) == (1, 1, *read.shape[1 : 1 + len(spatial)])
    assert conv.loops(x).macs == read.size


@quick
@given(leading=st.lists(st.integers(1, 4), min_size=1, max_size=3), c=st.integers(1, 6), features=st.integers(1, 6))
def test_linear(leading, c, features):
    multiplications = 0
    for _ in itertools.product(*map(range, leading)):
        for _ in range(features):
            for _ in range(c):
                multiplications += 1
    x = (*leading, c)
    assert Linear(features).shape(x) == (np.zeros(x) @ np.zeros((features, c)).T).shape
    assert Linear(features).work(x) == Work(macs=multiplications)


@st.composite
def stretching(draw, most=3):
    """Two shapes that broadcast: each may leave out leading axes and hold 1 anywhere."""
    common = draw(st.lists(st.integers(1, 3), max_size=most))
    pair = []
    for _ in range(2):
        kept = common[draw(st.integers(0, len(common))) :]
        pair.append(tuple(1 if draw(st.booleans()) else size for size in kept))
    return tuple(pair)


@quick
@given(leading=stretching(), i=st.integers(1, 4), k=st.integers(1, 4), j=st.integers(1, 4))
def test_matmul(leading, i, k, j):
    a, b = (*leading[0], i, k), (*leading[1], k, j)
    product = np.zeros(a) @ np.zeros(b)
    multiplications = 0
    for _ in np.ndindex(product.shape):
        for _ in range(k):
            multiplications += 1
    assert MatMul().shape(a, b) == product.shape
    assert MatMul().work(a, b) == Work(macs=multiplications)


@quick
@given(pair=stretching(most=4))
def test_add_stretches_as_numpy_does(pair):
    total = np.zeros(pair[0]) + np.zeros(pair[1])
    assert Add().shape(*pair) == total.shape
    assert Add().work(*pair) == Work(add=total.size)


@quick
@given(x=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), data=st.data())
def test_moves_and_views_have_the_shapes_of_numpy(x, data):
    array = np.zeros(x)
    axes = tuple(data.draw(st.permutations(range(len(x)))))
    assert Transpose(axes).shape(x) == array.transpose(axes).shape
    axis = data.draw(st.integers(-len(x), len(x) - 1))
    assert Concat(axis).shape(x, x, x) == np.concatenate([array] * 3, axis).shape
    pads = [data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in x]
    begins, ends = zip(*pads, strict=True)
    assert Pad((*begins, *ends)).shape(x) == np.pad(array, pads).shape
    starts = tuple(data.draw(st.integers(-size, size - 1)) for size in x)
    stops = tuple(data.draw(st.none() | st.integers(-size, size + 1)) for size in x)
    assert Slice(starts, stops).shape(x) == array[tuple(map(slice, starts, stops))].shape
    cut = data.draw(st.integers(0, len(x)))
    kept = tuple(data.draw(st.sampled_from([0, size])) for size in x[:cut])  # 0 stands for the input's axis
    assert Reshape((*kept, -1)).shape(x) == array.reshape((*x[:cut], -1)).shape
