"""Instruction: a kernel, the addresses and sizes that it works on, and its parts; compiled code carries it out.

A kernel's operands are whole numbers, an address or a size each, in the order of its parameters. Behind them stand the
clamp of its results, the thread that it runs on, which has its own scratch memory, and the part that it is to do.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from costmodel.execute.fast import kernels
from costmodel.execute.fast.kernels import compiled, inlined
from costmodel.execute.fast.vectors import BYTES, INTERPRETED, LANES, ROWS, column, floats, tile1, tile2, tile3

Array = Any

UNCLAMPED: Final = (-np.inf, np.inf)

NONE: Final = np.int64(0)
"""A number like any other: for a literal, what it is given to is compiled once more."""

Sizes = tuple[int, ...]


class Frame(NamedTuple):
    """A sliding window on a map: the map's sizes, the window's, the padded plane's, and those of what is made."""

    channels: int
    height: int
    width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    top: int
    left: int
    pitch: int
    made_h: int
    made_w: int


def _plain_first(numbers: Array, count: int) -> tuple[int, ...]:
    return tuple(numbers[:count].tolist())


_first: Any = _plain_first if INTERPRETED else to_fixed_tuple
"""So many numbers of an array as a tuple."""


class Instruction(NamedTuple):
    """A kernel with its operands, in so many parts; or a function of Python's, in one."""

    kernel: Callable[..., None]
    parts: int
    operands: tuple[int, ...] = ()
    clamp: tuple[float, float] = UNCLAMPED


@compiled
def _share(total: int, size: int, part: int) -> tuple[int, int]:
    """Where a part of a range starts and stops."""
    return part * size, min((part + 1) * size, total)


@compiled
def _maps(address: int, channels: int, height: int, width: int) -> Array:
    return floats(address, channels * height * width).reshape((channels, height, width))


@compiled
def _matrix(address: int, rows: int, columns: int) -> Array:
    return floats(address, rows * columns).reshape((rows, columns))


@compiled
def _multiply(
    weight: int, depth: int, bias: int, x: int, x_pitch: int, y: int, y_pitch: int, other: int, low: float, high: float,
    start: int, stop: int, first: int, last: int,
) -> None:  # fmt: skip
    """The filters from start to stop, at the positions from first to last; x's first position is ``first``."""
    at = first
    while at < last:
        wide = (last - at) // LANES
        for m in range(start, stop, ROWS):
            w, b, rows = weight + BYTES * m * depth, bias + BYTES * m, stop - m
            into = BYTES * (m * y_pitch + at)
            beside = other + into if other else 0
            a, c = x + BYTES * (at - first), y + into
            if wide >= 3:
                tile3(w, a, x_pitch, depth, c, y_pitch, b, beside, rows, low, high)
            elif wide == 2:
                tile2(w, a, x_pitch, depth, c, y_pitch, b, beside, rows, low, high)
            elif wide == 1:
                tile1(w, a, x_pitch, depth, c, y_pitch, b, beside, rows, low, high)
            else:
                for p in range(last - at):
                    step = BYTES * p
                    beneath = beside + step if other else 0
                    column(w, a + step, x_pitch, depth, c + step, y_pitch, b, beneath, rows, low, high)
        at += min(wide, 3) * LANES if wide else last - at


@compiled
def product(
    weight: int, depth: int, bias: int, x: int, positions: int, y: int, y_pitch: int, other: int, filters: int,
    filters_each: int, positions_each: int, low: float, high: float, worker: int, part: int,
) -> None:  # fmt: skip
    """A matrix in panels of ROWS filters times a map of depth x positions; divided by filters and by positions."""
    across = -(-positions // positions_each)
    start, stop = _share(filters, filters_each, part // across)
    first, last = _share(positions, positions_each, part % across)
    at = x + BYTES * first
    _multiply(weight, depth, bias, at, positions, y, y_pitch, other, low, high, start, stop, first, last)


@compiled
def patches(
    frame: Sizes, x: int, planes: int, plane_size: int, out: int, each: int, low: float, high: float, worker: int,
    part: int,
) -> None:  # fmt: skip
    """What lies under all windows as columns; divided by channels."""
    channels, kernel_h, kernel_w, made_h, made_w = frame[0], frame[3], frame[4], frame[12], frame[13]
    start, stop = _share(channels, each, part)
    plane = floats(planes + 2 * BYTES * worker * plane_size, plane_size)
    into = _matrix(out, channels * kernel_h * kernel_w, made_h * made_w)
    _columns(frame, x, NONE, made_h, plane, into, start, stop)


@compiled
def convolution(
    frame: Sizes, x: int, planes: int, plane_size: int, columns: int, columns_size: int, weight: int, bias: int, y: int,
    y_pitch: int, other: int, filters: int, each: int, low: float, high: float, worker: int, part: int,
) -> None:  # fmt: skip
    """A convolution, some output rows at a time so that their columns of patches stay cached; divided by rows."""
    channels, kernel_h, kernel_w, made_h, made_w = frame[0], frame[3], frame[4], frame[12], frame[13]
    first, last = _share(made_h, each, part)
    depth, positions = channels * kernel_h * kernel_w, (last - first) * made_w
    plane = floats(planes + 2 * BYTES * worker * plane_size, plane_size)
    out = columns + BYTES * worker * columns_size
    _columns(frame, x, first, last, plane, _matrix(out, depth, positions), NONE, channels)
    _multiply(
        weight, depth, bias, out, positions, y, y_pitch, other, low, high, NONE, filters, first * made_w, last * made_w
    )


@compiled
def _columns(
    frame: Sizes, x: int, first: int, last: int, plane: Array, into: Array, start: int, stop: int
) -> None:  # fmt: skip
    """The patches of output rows first to last as columns, of the channels from start to stop."""
    channels, height, width = frame[:3]
    top, left, pitch, _, made_w = frame[9:]
    kernels.columns(
        _maps(x, channels, height, width), frame[3:5], frame[5:7], frame[7:9], top, left, pitch, made_w, first, last,
        plane, into, start, stop,
    )  # fmt: skip


@compiled
def depthwise(
    frame: Sizes, x: int, planes: int, plane_size: int, used: int, weight: int, bias: int, y: int, each: int,
    low: float, high: float, worker: int, part: int,
) -> None:  # fmt: skip
    """A depthwise convolution; divided by channels."""
    channels, height, width = frame[:3]
    top, left, pitch, made_h, made_w = frame[9:]
    kernel, stride, dilation = frame[3:5], frame[5:7], frame[7:9]
    start, stop = _share(channels, each, part)
    plane = floats(planes + 2 * BYTES * worker * plane_size, plane_size)
    acc = floats(planes + (2 * worker + 1) * BYTES * plane_size, plane_size)
    plane[:used] = 0
    source, made = _maps(x, channels, height, width), _maps(y, channels, made_h, made_w)
    w, b = _matrix(weight, channels, kernel[0] * kernel[1]), floats(bias, channels)
    if kernel == (3, 3) and dilation == (1, 1) and (stride == (1, 1) or stride == (2, 2)):
        kernels.depthwise3(source, w, b, low, high, stride[0], top, left, pitch, plane, acc, made, start, stop)
    else:
        kernels.depthwise(
            source, w, b, low, high, kernel, stride, dilation, top, left, pitch, plane, acc, made, start, stop
        )


@compiled
def pool(
    frame: Sizes, x: int, planes: int, plane_size: int, largest: int, factors: int, y: int, each: int, low: float,
    high: float, worker: int, part: int,
) -> None:  # fmt: skip
    """The largest value or the mean under each window; divided by channels."""
    channels, height, width = frame[:3]
    top, left, pitch, made_h, made_w = frame[9:]
    start, stop = _share(channels, each, part)
    line = floats(planes + 2 * BYTES * worker * plane_size, pitch)
    kernels.pool(
        _maps(x, channels, height, width), frame[3:5], frame[5:7], frame[7:9], top, left, largest != 0,
        _matrix(factors, made_h, made_w), line, _maps(y, channels, made_h, made_w), start, stop,
    )  # fmt: skip


@compiled
def means(
    x: int, channels: int, positions: int, y: int, each: int, low: float, high: float, worker: int, part: int
) -> None:  # fmt: skip
    """The mean of each channel; divided by channels."""
    start, stop = _share(channels, each, part)
    kernels.means(_matrix(x, channels, positions), floats(y, channels), start, stop)


@compiled
def affine(
    x: int, channels: int, positions: int, scale: int, shift: int, y: int, each: int, low: float, high: float,
    worker: int, part: int,
) -> None:  # fmt: skip
    """y[c] = scale[c] * x[c] + shift[c]; divided by channels."""
    start, stop = _share(channels, each, part)
    source, made = _matrix(x, channels, positions), _matrix(y, channels, positions)
    kernels.affine(source, floats(scale, channels), floats(shift, channels), low, high, made, start, stop)


@compiled
def add(
    a: int, b: int, values: int, y: int, each: int, low: float, high: float, worker: int, part: int
) -> None:  # fmt: skip
    """Y = a + b; divided by values."""
    start, stop = _share(values, each, part)
    kernels.add(floats(a, values)[start:stop], floats(b, values)[start:stop], low, high, floats(y, values)[start:stop])


@compiled
def softmax(
    x: int, rows: int, columns: int, y: int, each: int, low: float, high: float, worker: int, part: int
) -> None:  # fmt: skip
    """Softmax along each row; divided by rows."""
    start, stop = _share(rows, each, part)
    kernels.softmax(_matrix(x, rows, columns), _matrix(y, rows, columns), start, stop)


@compiled
def linear(
    weight: int, features: int, depth: int, bias: int, x: int, rows: int, y: int, each: int, low: float, high: float,
    worker: int, part: int,
) -> None:  # fmt: skip
    """Y = x @ weight.T + bias for few rows; divided by features."""
    start, stop = _share(features, each, part)
    w, b = _matrix(weight, features, depth), floats(bias, features)
    kernels.linear(_matrix(x, rows, depth), w, b, low, high, _matrix(y, rows, features), start, stop)


@compiled
def read(x: int, values: int, total: int, each: int, low: float, high: float, worker: int, part: int) -> None:
    """The sum of x, of each part; divided by values."""
    start, stop = _share(values, each, part)
    kernels.read(floats(x, values)[start:stop], floats(total + BYTES * part, 1))


@compiled
def write(y: int, values: int, each: int, low: float, high: float, worker: int, part: int) -> None:
    """Y = 1; divided by values."""
    start, stop = _share(values, each, part)
    kernels.written(floats(y, values)[start:stop], np.float32(1))


@compiled
def copy(x: int, values: int, y: int, each: int, low: float, high: float, worker: int, part: int) -> None:
    """Y = x; divided by values."""
    start, stop = _share(values, each, part)
    kernels.copied(floats(x, values)[start:stop], floats(y, values)[start:stop])


KERNELS: Final = (
    product, patches, convolution, depthwise, pool, means, affine, add, softmax, linear, read, write, copy,
)  # fmt: skip
"""In the order of their numbers."""

KERNEL, PARTS, OPERANDS = range(3)
"""The columns of an instruction in the table: the kernel's number, -1 for a function of Python's, parts, operands."""

PYTHON: Final = -1
COLUMNS: Final = 32
FRAME: Final = len(Frame._fields)


def table(instructions: Sequence[Instruction]) -> tuple[Array, Array]:
    """Instructions as compiled code reads them: whole numbers, and clamps."""
    numbers = np.zeros((len(instructions), COLUMNS), np.int64)
    clamps = np.empty((len(instructions), 2), np.float32)
    for row, (kernel, parts, operands, clamp) in enumerate(instructions):
        numbers[row, KERNEL] = KERNELS.index(kernel) if kernel in KERNELS else PYTHON
        numbers[row, PARTS] = parts
        numbers[row, OPERANDS : OPERANDS + len(operands)] = operands
        clamps[row] = clamp
    return numbers, clamps


@inlined
def perform(numbers: Array, clamp: Array, worker: int, part: int) -> None:  # noqa: C901 - a case for each kernel
    """One part of an instruction."""
    kernel, o, low, high = numbers[KERNEL], numbers[OPERANDS:], clamp[0], clamp[1]
    frame, rest = _first(o, FRAME), o[FRAME:]
    if kernel == 0:
        product(*_first(o, 11), low, high, worker, part)
    elif kernel == 1:
        patches(frame, *_first(rest, 5), low, high, worker, part)
    elif kernel == 2:
        convolution(frame, *_first(rest, 12), low, high, worker, part)
    elif kernel == 3:
        depthwise(frame, *_first(rest, 8), low, high, worker, part)
    elif kernel == 4:
        pool(frame, *_first(rest, 7), low, high, worker, part)
    elif kernel == 5:
        means(*_first(o, 5), low, high, worker, part)
    elif kernel == 6:
        affine(*_first(o, 7), low, high, worker, part)
    elif kernel == 7:
        add(*_first(o, 5), low, high, worker, part)
    elif kernel == 8:
        softmax(*_first(o, 5), low, high, worker, part)
    elif kernel == 9:
        linear(*_first(o, 8), low, high, worker, part)
    elif kernel == 10:
        read(*_first(o, 4), low, high, worker, part)
    elif kernel == 11:
        write(*_first(o, 3), low, high, worker, part)
    elif kernel == 12:
        copy(*_first(o, 4), low, high, worker, part)
