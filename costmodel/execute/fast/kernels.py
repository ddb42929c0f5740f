"""Compiled kernels on float32 maps, one image at a time: each works on a range of channels or rows.

Rows are taken as slices, so that the innermost loops run over contiguous values and become vector instructions. All
results are clamped between ``low`` and ``high``: (0, inf) is a ReLU, (-inf, inf) leaves them as they are.
"""

from typing import Any, Final

import numba
import numpy as np

Array = Any

FAST_MATH: Final = {"contract", "nsz", "arcp", "nnan"}
"""Products and sums may be contracted; what is not finite is treated as it comes."""

compiled: Any = numba.njit(nogil=True, cache=True, fastmath=FAST_MATH)
threaded: Any = numba.njit(nogil=True, cache=True, fastmath=FAST_MATH, parallel=True)


@compiled
def finish(y: Array, bias: Array, low: float, high: float, start: int, stop: int) -> None:
    """y[m] = clamp(y[m] + bias[m]); y: M x P."""
    for m in range(start, stop):
        row, shift = y[m], bias[m]
        for p in range(row.size):
            row[p] = min(max(row[p] + shift, low), high)


@compiled
def finish_sum(y: Array, bias: Array, other: Array, low: float, high: float, start: int, stop: int) -> None:
    """y[m] = clamp(y[m] + bias[m] + other[m]); y, other: M x P."""
    for m in range(start, stop):
        row, beside, shift = y[m], other[m], bias[m]
        for p in range(row.size):
            row[p] = min(max(row[p] + shift + beside[p], low), high)


@compiled
def affine(x: Array, scale: Array, shift: Array, low: float, high: float, y: Array, start: int, stop: int) -> None:
    """y[c] = clamp(scale[c] * x[c] + shift[c]); x, y: C x P."""
    for c in range(start, stop):
        row, out, factor, term = x[c], y[c], scale[c], shift[c]
        for p in range(row.size):
            out[p] = min(max(row[p] * factor + term, low), high)


@compiled
def add(a: Array, b: Array, low: float, high: float, y: Array, start: int, stop: int) -> None:
    """Y = clamp(a + b); a, b, y: C x P."""
    for c in range(start, stop):
        left, right, out = a[c], b[c], y[c]
        for p in range(out.size):
            out[p] = min(max(left[p] + right[p], low), high)


@compiled
def into_plane(x: Array, top: int, left: int, pitch: int, plane: Array) -> None:
    """A map's channel into the middle of a padded plane of that pitch, kept flat; the padding is left as it is."""
    width = x.shape[1]
    for h in range(x.shape[0]):
        row = x[h]
        at = (h + top) * pitch + left
        into = plane[at : at + width]
        for w in range(width):
            into[w] = row[w]


@compiled
def nine(plane: Array, pitch: int, w: Array, shift: float, low: float, high: float, out: Array) -> None:
    """out[i] = clamp(shift + the products of a 3x3 window) at consecutive positions of a flat plane."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    a0, a1, a2 = plane, plane[1:], plane[2:]
    b0, b1, b2 = plane[pitch:], plane[pitch + 1 :], plane[pitch + 2 :]
    d0, d1, d2 = plane[2 * pitch :], plane[2 * pitch + 1 :], plane[2 * pitch + 2 :]
    for i in range(out.size):
        v = shift + w0 * a0[i] + w1 * a1[i] + w2 * a2[i] + w3 * b0[i] + w4 * b1[i] + w5 * b2[i]
        out[i] = min(max(v + w6 * d0[i] + w7 * d1[i] + w8 * d2[i], low), high)


@compiled
def depthwise3(
    x: Array, weight: Array, bias: Array, low: float, high: float, stride: int, top: int, left: int, pitch: int,
    planes: Array, y: Array, worker: int, start: int, stop: int,
) -> None:  # fmt: skip
    """A 3x3 depthwise convolution; x: C x H x W, weight: C x 9, y: C x OH x OW.

    It runs over every position of the flat padded plane, row by row where the stride leaves rows out, and takes those
    that the stride asks for.
    """
    plane, acc = planes[worker, 0], planes[worker, 1]
    height, width = y.shape[1], y.shape[2]
    for c in range(start, stop):
        into_plane(x[c], top, left, pitch, plane)
        if stride == 1:
            nine(plane, pitch, weight[c], bias[c], low, high, acc[: (height - 1) * pitch + width])
            for h in range(height):
                out, made = y[c, h], acc[h * pitch : h * pitch + width]
                for i in range(width):
                    out[i] = made[i]
        else:
            row = acc[: (width - 1) * stride + 1]
            for h in range(height):
                nine(plane[h * stride * pitch :], pitch, weight[c], bias[c], low, high, row)
                out = y[c, h]
                for i in range(width):
                    out[i] = row[i * stride]


@compiled
def depthwise(
    x: Array, weight: Array, bias: Array, low: float, high: float, kernel: Array, stride: Array, dilation: Array,
    top: int, left: int, pitch: int, planes: Array, y: Array, worker: int, start: int, stop: int,
) -> None:  # fmt: skip
    """A depthwise convolution of any window, tap by tap; x: C x H x W, weight: C x taps, y: C x OH x OW."""
    plane, acc = planes[worker, 0], planes[worker, 1]
    height, width = y.shape[1], y.shape[2]
    step = stride[1]
    count = (width - 1) * step + 1
    row = acc[:count]
    for c in range(start, stop):
        into_plane(x[c], top, left, pitch, plane)
        for h in range(height):
            for i in range(count):
                row[i] = bias[c]
            for kh in range(kernel[0]):
                for kw in range(kernel[1]):
                    factor = weight[c, kh * kernel[1] + kw]
                    at = (h * stride[0] + kh * dilation[0]) * pitch + kw * dilation[1]
                    under = plane[at : at + count]
                    for i in range(count):
                        row[i] += factor * under[i]
            out = y[c, h]
            for i in range(width):
                out[i] = min(max(row[i * step], low), high)


@compiled
def columns(
    x: Array, kernel: Array, stride: Array, dilation: Array, top: int, left: int, pitch: int, width: int, first: int,
    last: int, planes: Array, out: Array, worker: int, start: int, stop: int,
) -> None:  # fmt: skip
    """The patches of output rows first to last as columns; x: C x H x W, out: (C * taps) x ((last - first) * width)."""
    plane = planes[worker, 0]
    taps, step = kernel[0] * kernel[1], stride[1]
    for c in range(start, stop):
        into_plane(x[c], top, left, pitch, plane)
        for tap in range(taps):
            kh, kw = tap // kernel[1], tap % kernel[1]
            row = out[c * taps + tap]
            for oh in range(first, last):
                under = plane[(oh * stride[0] + kh * dilation[0]) * pitch + kw * dilation[1] :]
                into = row[(oh - first) * width : (oh - first + 1) * width]
                if step == 1:
                    for w in range(width):
                        into[w] = under[w]
                else:
                    for w in range(width):
                        into[w] = under[w * step]


@compiled
def pool(
    x: Array, kernel: Array, stride: Array, dilation: Array, top: int, left: int, pitch: int, largest: bool,
    factors: Array, planes: Array, y: Array, worker: int, start: int, stop: int,
) -> None:  # fmt: skip
    """The largest value, or the sum times a factor per position, under each window; x: C x H x W, y: C x OH x OW.

    First the rows under a window become one, then its taps along that row. A map that needs no padding is read in
    place, others from a padded plane.
    """
    plane, line = planes[worker, 0], planes[worker, 1][:pitch]
    height = y.shape[1]
    needed = (height - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
    inside = top == 0 and left == 0 and pitch == x.shape[2] and needed <= x.shape[1]
    for c in range(start, stop):
        source = x[c].reshape(-1) if inside else plane
        if not inside:
            into_plane(x[c], top, left, pitch, plane)
        for h in range(height):
            rows_together(source[h * stride[0] * pitch :], kernel[0], dilation[0] * pitch, largest, line)
            if largest:
                largest_along(line, kernel[1], stride[1], dilation[1], y[c, h])
            else:
                sum_along(line, kernel[1], stride[1], dilation[1], factors[h], y[c, h])


@compiled
def rows_together(source: Array, count: int, apart: int, largest: bool, line: Array) -> None:
    """The largest value or the sum of rows that lie apart, column by column."""
    for i in range(line.size):
        line[i] = source[i]
    for kh in range(1, count):
        beside = source[kh * apart : kh * apart + line.size]
        if largest:
            for i in range(line.size):
                line[i] = max(line[i], beside[i])
        else:
            for i in range(line.size):
                line[i] += beside[i]


@compiled
def largest_along(line: Array, taps: int, step: int, apart: int, out: Array) -> None:
    """The largest value under each window along a row; the usual windows are spelled out to become vectors."""
    if step == 2 and taps == 2 and apart == 1:
        for w in range(out.size):
            out[w] = max(line[2 * w], line[2 * w + 1])
    elif step == 2 and taps == 3 and apart == 1:
        for w in range(out.size):
            out[w] = max(line[2 * w], line[2 * w + 1], line[2 * w + 2])
    else:
        for w in range(out.size):
            v = line[w * step]
            for kw in range(1, taps):
                v = max(v, line[w * step + kw * apart])
            out[w] = v


@compiled
def sum_along(line: Array, taps: int, step: int, apart: int, factor: Array, out: Array) -> None:
    """The sum under each window along a row, times the position's factor."""
    if step == 2 and taps == 3 and apart == 1:
        for w in range(out.size):
            out[w] = (line[2 * w] + line[2 * w + 1] + line[2 * w + 2]) * factor[w]
        return
    for w in range(out.size):
        v = line[w * step]
        for kw in range(1, taps):
            v += line[w * step + kw * apart]
        out[w] = v * factor[w]


@numba.njit(nogil=True, cache=True, fastmath=True)
def means(x: Array, y: Array, start: int, stop: int) -> None:
    """y[c] = mean of x[c], summed in the order that is fastest; x: C x P, y: C."""
    for c in range(start, stop):
        row = x[c]
        total = np.float32(0)
        for p in range(row.size):
            total += row[p]
        y[c] = total / np.float32(row.size)


@compiled
def softmax(x: Array, y: Array, start: int, stop: int) -> None:
    """y[n] = exp(x[n] - max) / their sum; x, y: N x C."""
    for n in range(start, stop):
        row, out = x[n], y[n]
        largest = row[0]
        for i in range(row.size):
            largest = max(largest, row[i])
        total = np.float32(0)
        for i in range(row.size):
            out[i] = np.exp(row[i] - largest)
            total += out[i]
        for i in range(row.size):
            out[i] /= total


# The same kernels on several threads: each works on its share of the channels or rows.


@threaded
def finish_threaded(y: Array, bias: Array, low: float, high: float, workers: int) -> None:
    """:func:`finish` on several threads."""
    for worker in numba.prange(workers):
        finish(y, bias, low, high, y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers)


@threaded
def finish_sum_threaded(y: Array, bias: Array, other: Array, low: float, high: float, workers: int) -> None:
    """:func:`finish_sum` on several threads."""
    for worker in numba.prange(workers):
        finish_sum(y, bias, other, low, high, y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers)


@threaded
def affine_threaded(x: Array, scale: Array, shift: Array, low: float, high: float, y: Array, workers: int) -> None:
    """:func:`affine` on several threads."""
    for worker in numba.prange(workers):
        affine(x, scale, shift, low, high, y, y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers)


@threaded
def add_threaded(a: Array, b: Array, low: float, high: float, y: Array, workers: int) -> None:
    """:func:`add` on several threads."""
    for worker in numba.prange(workers):
        add(a, b, low, high, y, y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers)


@threaded
def depthwise3_threaded(
    x: Array, weight: Array, bias: Array, low: float, high: float, stride: int, top: int, left: int, pitch: int,
    planes: Array, y: Array, workers: int,
) -> None:  # fmt: skip
    """:func:`depthwise3` on several threads, each with its own planes."""
    for worker in numba.prange(workers):
        start, stop = y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers
        depthwise3(x, weight, bias, low, high, stride, top, left, pitch, planes, y, worker, start, stop)


@threaded
def depthwise_threaded(
    x: Array, weight: Array, bias: Array, low: float, high: float, kernel: Array, stride: Array, dilation: Array,
    top: int, left: int, pitch: int, planes: Array, y: Array, workers: int,
) -> None:  # fmt: skip
    """:func:`depthwise` on several threads, each with its own planes."""
    for worker in numba.prange(workers):
        start, stop = y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers
        depthwise(x, weight, bias, low, high, kernel, stride, dilation, top, left, pitch, planes, y, worker, start,
                  stop)  # fmt: skip


@threaded
def columns_threaded(
    x: Array, kernel: Array, stride: Array, dilation: Array, top: int, left: int, pitch: int, width: int, first: int,
    last: int, planes: Array, out: Array, workers: int,
) -> None:  # fmt: skip
    """:func:`columns` on several threads, each with its own planes."""
    for worker in numba.prange(workers):
        start, stop = x.shape[0] * worker // workers, x.shape[0] * (worker + 1) // workers
        columns(x, kernel, stride, dilation, top, left, pitch, width, first, last, planes, out, worker, start, stop)


@threaded
def pool_threaded(
    x: Array, kernel: Array, stride: Array, dilation: Array, top: int, left: int, pitch: int, largest: bool,
    factors: Array, planes: Array, y: Array, workers: int,
) -> None:  # fmt: skip
    """:func:`pool` on several threads, each with its own planes."""
    for worker in numba.prange(workers):
        start, stop = y.shape[0] * worker // workers, y.shape[0] * (worker + 1) // workers
        pool(x, kernel, stride, dilation, top, left, pitch, largest, factors, planes, y, worker, start, stop)


# What memory delivers and takes: each thread works on its own part.


@threaded
def copied(x: Array, y: Array, workers: int) -> None:
    """Y = x."""
    for worker in numba.prange(workers):
        source, into = (
            x[x.size * worker // workers : x.size * (worker + 1) // workers],
            y[x.size * worker // workers : x.size * (worker + 1) // workers],
        )
        for i in range(source.size):
            into[i] = source[i]


@threaded
def written(y: Array, value: float, workers: int) -> None:
    """Y = value."""
    for worker in numba.prange(workers):
        into = y[y.size * worker // workers : y.size * (worker + 1) // workers]
        for i in range(into.size):
            into[i] = value


@numba.njit(nogil=True, cache=True, fastmath=True, parallel=True)
def read(x: Array, sums: Array, workers: int) -> None:
    """The sum of each thread's part of x."""
    for worker in numba.prange(workers):
        source = x[x.size * worker // workers : x.size * (worker + 1) // workers]
        total = np.float32(0)
        for i in range(source.size):
            total += source[i]
        sums[worker] = total
