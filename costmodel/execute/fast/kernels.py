"""Compiled kernels on float32 maps, one image at a time: each works on a range of channels or rows.

Rows are taken as slices, so that the innermost loops run over contiguous values and become vector instructions. All
results are clamped between ``low`` and ``high``: (0, inf) is a ReLU, (-inf, inf) leaves them as they are.
"""

from typing import Any, Final

import numba
import numpy as np

Array = Any
Pair = tuple[int, int]

FAST_MATH: Final = {"contract", "nsz", "arcp", "nnan"}
"""Products and sums may be contracted; what is not finite is treated as it comes."""

compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST_MATH)
inlined: Any = numba.njit(nogil=True, error_model="numpy", fastmath=FAST_MATH, inline="always")
reordered: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={*FAST_MATH, "reassoc"})
"""Its sums are added up in the order that is fastest."""


@compiled
def affine(x: Array, scale: Array, shift: Array, low: float, high: float, y: Array, start: int, stop: int) -> None:
    """y[c] = clamp(scale[c] * x[c] + shift[c]); x, y: C x P."""
    for c in range(start, stop):
        row, out, factor, term = x[c], y[c], scale[c], shift[c]
        for p in range(row.size):
            out[p] = min(max(row[p] * factor + term, low), high)


@compiled
def add(a: Array, b: Array, low: float, high: float, y: Array) -> None:
    """Y = clamp(a + b)."""
    for i in range(y.size):
        y[i] = min(max(a[i] + b[i], low), high)


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
def into_quarters(x: Array, top: int, left: int, pitch: int, size: int, quarters: Array, height: int) -> None:
    """A map's channel into a padded plane of which even and odd rows, and even and odd columns, lie apart.

    A quarter has ``size`` values, kept flat with that pitch; what no window of stride 2 reaches is left out.
    """
    odd = left % 2
    at, beside = left // 2, (left + 1) // 2  # where the first column goes, and the second
    pairs = min(x.shape[1] // 2, pitch - 1 - at)
    for h in range(min(x.shape[0], 2 * height + 1 - top)):
        row, r = x[h], h + top
        start = 2 * (r % 2) * size + r // 2 * pitch
        first = quarters[start + odd * size + at :]
        second = quarters[start + (1 - odd) * size + beside :]
        for i in range(pairs):
            first[i] = row[2 * i]
            second[i] = row[2 * i + 1]
        if 2 * pairs < row.size and at + pairs < pitch - odd:
            first[pairs] = row[2 * pairs]


@compiled
def nine_of_quarters(
    quarters: Array, pitch: int, size: int, w: Array, shift: float, low: float, high: float, out: Array
) -> None:
    """:func:`nine` at every second position of every second row, from a plane in quarters."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    a0, a1, a2 = quarters, quarters[size:], quarters[1:]
    b0, b1, b2 = quarters[2 * size :], quarters[3 * size :], quarters[2 * size + 1 :]
    d0, d1, d2 = quarters[pitch:], quarters[size + pitch :], quarters[pitch + 1 :]
    for i in range(out.size):
        v = shift + w0 * a0[i] + w1 * a1[i] + w2 * a2[i] + w3 * b0[i] + w4 * b1[i] + w5 * b2[i]
        out[i] = min(max(v + w6 * d0[i] + w7 * d1[i] + w8 * d2[i], low), high)


@compiled
def depthwise3(
    x: Array, weight: Array, bias: Array, low: float, high: float, stride: int, top: int, left: int, pitch: int,
    plane: Array, acc: Array, y: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """A 3x3 depthwise convolution of stride 1 or 2; x: C x H x W, weight: C x 9, y: C x OH x OW.

    It runs over every position of a flat padded plane, and leaves out those that are in the padding.
    """
    height, width = y.shape[1], y.shape[2]
    if stride == 2:
        pitch = width + 1
    size = (height + 1) * pitch
    flat = acc[: (height - 1) * pitch + width]
    for c in range(start, stop):
        if stride == 2:
            into_quarters(x[c], top, left, pitch, size, plane, height)
            nine_of_quarters(plane, pitch, size, weight[c], bias[c], low, high, flat)
        else:
            into_plane(x[c], top, left, pitch, plane)
            nine(plane, pitch, weight[c], bias[c], low, high, flat)
        for h in range(height):
            out, made = y[c, h], flat[h * pitch : h * pitch + width]
            for i in range(width):
                out[i] = made[i]


@compiled
def depthwise(
    x: Array, weight: Array, bias: Array, low: float, high: float, kernel: Pair, stride: Pair, dilation: Pair,
    top: int, left: int, pitch: int, plane: Array, acc: Array, y: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """A depthwise convolution of any window, tap by tap; x: C x H x W, weight: C x taps, y: C x OH x OW."""
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
def every(x: Array, stride: Pair, width: int, rows: int, out: Array, start: int, stop: int) -> None:
    """Every so many rows' every so many values; x: C x H x W, out: C x (rows * width)."""
    for c in range(start, stop):
        for h in range(rows):
            row, into = x[c, h * stride[0]], out[c][h * width : (h + 1) * width]
            for w in range(width):
                into[w] = row[w * stride[1]]


@compiled
def columns(
    x: Array, kernel: Pair, stride: Pair, dilation: Pair, top: int, left: int, pitch: int, width: int, first: int,
    last: int, plane: Array, out: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """The patches of output rows first to last as columns; x: C x H x W, out: (C * taps) x ((last - first) * width).

    Of each channel from start to stop, the rows that lie under the windows are copied into a padded plane.
    """
    taps, step = kernel[0] * kernel[1], stride[1]
    if taps == 1 and top == left == 0 and pitch <= x.shape[2] and (last - 1) * stride[0] < x.shape[1]:
        every(x[:, first * stride[0] :], stride, width, last - first, out, start, stop)
        return
    above = first * stride[0] - top  # the plane's first row, as one of x
    under = (last - 1 - first) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
    begin, end = max(above, 0), min(above + under, x.shape[1])
    plane[: under * pitch + kernel[1]] = 0
    for c in range(start, stop):
        into_plane(x[c, begin:end], begin - above, left, pitch, plane)
        for tap in range(taps):
            kh, kw = tap // kernel[1], tap % kernel[1]
            row = out[c * taps + tap]
            for oh in range(last - first):
                source = plane[(oh * stride[0] + kh * dilation[0]) * pitch + kw * dilation[1] :]
                into = row[oh * width : (oh + 1) * width]
                if step == 1:
                    for w in range(width):
                        into[w] = source[w]
                else:
                    for w in range(width):
                        into[w] = source[w * step]


@compiled
def pool(
    x: Array, kernel: Pair, stride: Pair, dilation: Pair, top: int, left: int, largest: bool, factors: Array,
    line: Array, y: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """The largest value, or the sum times a factor per position, under each window; x: C x H x W, y: C x OH x OW.

    First the rows under a window become one, padded line, then the taps along it.
    """
    outside = -np.inf if largest else 0.0
    for i in range(line.size):
        line[i] = outside
    width = min(x.shape[2], line.size - left)
    inner = line[left : left + width]
    for c in range(start, stop):
        for h in range(y.shape[1]):
            above = h * stride[0] - top
            first = max(-(above // dilation[0]), 0)  # rows of the window outside the map are left out
            last = min(kernel[0], (x.shape[1] - 1 - above) // dilation[0] + 1)
            for i in range(width):
                inner[i] = x[c, above + first * dilation[0], i] if first < last else outside
            for kh in range(first + 1, last):
                row = x[c, above + kh * dilation[0]][:width]
                if largest:
                    for i in range(width):
                        inner[i] = max(inner[i], row[i])
                else:
                    for i in range(width):
                        inner[i] += row[i]
            if largest:
                largest_along(line, kernel[1], stride[1], dilation[1], y[c, h])
            else:
                sum_along(line, kernel[1], stride[1], dilation[1], factors[h], y[c, h])


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


@reordered
def means(x: Array, y: Array, start: int, stop: int) -> None:
    """y[c] = mean of x[c], summed in the order that is fastest; x: C x P, y: C."""
    for c in range(start, stop):
        row = x[c]
        total = np.float32(0)
        for p in range(row.size):
            total += row[p]
        y[c] = total / np.float32(row.size)


@reordered
def linear(x: Array, weight: Array, bias: Array, low: float, high: float, y: Array, start: int, stop: int) -> None:
    """y[n, m] = clamp(weight[m] . x[n] + bias[m]), summed in the order that is fastest; x: N x K, y: N x M."""
    for m in range(start, stop):
        row = weight[m]
        for n in range(len(x)):
            one = x[n]
            total = np.float32(0)
            for k in range(row.size):
                total += row[k] * one[k]
            y[n, m] = min(max(total + bias[m], low), high)


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


# What memory delivers and takes.


@compiled
def copied(x: Array, y: Array) -> None:
    """Y = x."""
    for i in range(x.size):
        y[i] = x[i]


@compiled
def written(y: Array, value: float) -> None:
    """Y = value."""
    for i in range(y.size):
        y[i] = value


@reordered
def read(x: Array, total: Array) -> None:
    """The sum of x."""
    added = np.float32(0)
    for i in range(x.size):
        added += x[i]
    total[0] = added
