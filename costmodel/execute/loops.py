"""Flat sequences of numbers -> an operator's arithmetic, one operation at a time, each counted beside it.

Plain scalar loops: numba compiles them as they stand, and without it Python runs them. ``counts`` holds the
multiply-accumulates and the elementwise operations by kind, of values and not of indices. ``offsets`` says for each
window position and tap where in a channel the element is, or -1 for padding.
"""

import math
from typing import Any, Final

Numbers = Any
"""Something with a length that is indexed from 0: an array, a memoryview or a list."""

MACS: Final = 0
ADD: Final = 1
MULTIPLY: Final = 2
COMPARE: Final = 3
DIVIDE: Final = 4
SPECIAL: Final = 5
KINDS: Final = 6
"""How many numbers ``counts`` has."""

LARGEST: Final = 709.0
"""exp of more overflows."""


def convolve(
    x: Numbers, w: Numbers, b: Numbers, y: Numbers, counts: Numbers, column: Numbers, offsets: Numbers,
    images: int, channels: int, size: int, groups: int, filters: int, positions: int, taps: int,
) -> None:  # fmt: skip
    """Each output is its bias and one product per tap and channel of its group, with zeros where the padding is."""
    inside = channels // groups
    share = filters // groups
    reduction = inside * taps
    for n in range(images):
        for g in range(groups):
            for p in range(positions):
                for c in range(inside):
                    base = (n * channels + g * inside + c) * size
                    for t in range(taps):
                        offset = offsets[p * taps + t]
                        column[c * taps + t] = x[base + offset] if offset >= 0 else 0.0
                for m in range(g * share, (g + 1) * share):
                    total = b[m]
                    row = m * reduction
                    for r in range(reduction):
                        total += column[r] * w[row + r]
                        counts[MACS] += 1
                    y[(n * filters + m) * positions + p] = total


def linear(
    x: Numbers, w: Numbers, b: Numbers, y: Numbers, counts: Numbers, rows: int, features: int, channels: int
) -> None:
    """Each output is its bias and one product per channel."""
    for n in range(rows):
        for m in range(features):
            total = b[m]
            for c in range(channels):
                total += x[n * channels + c] * w[m * channels + c]
                counts[MACS] += 1
            y[n * features + m] = total


def matmul(
    a: Numbers, b: Numbers, y: Numbers, counts: Numbers, products: int, height: int, width: int, inner: int
) -> None:
    """Each output is one product per inner index."""
    for n in range(products):
        for i in range(height):
            for j in range(width):
                total = 0.0
                for k in range(inner):
                    total += a[(n * height + i) * inner + k] * b[(n * inner + k) * width + j]
                    counts[MACS] += 1
                y[(n * height + i) * width + j] = total


def batch_norm(
    x: Numbers, mean: Numbers, scale: Numbers, gamma: Numbers, beta: Numbers, y: Numbers, counts: Numbers,
    images: int, channels: int, size: int,
) -> None:  # fmt: skip
    """Subtract the mean, multiply by 1/sigma, multiply by gamma, add beta; 1/sigma is there already."""
    for n in range(images):
        for c in range(channels):
            for p in range(size):
                place = (n * channels + c) * size + p
                value = x[place] - mean[c]
                counts[ADD] += 1
                value *= scale[c]
                counts[MULTIPLY] += 1
                value *= gamma[c]
                counts[MULTIPLY] += 1
                y[place] = value + beta[c]
                counts[ADD] += 1


def lrn(
    x: Numbers, y: Numbers, counts: Numbers, squares: Numbers,
    images: int, channels: int, size: int, around: int, share: float, beta: float, k: float,
) -> None:  # fmt: skip
    """One running sum: each square enters it once and leaves it ``around`` channels later.

    The sum is empty again when all channels of a position have left, and goes on to the next position.
    """
    behind = around - 1 - (around - 1) // 2
    total = 0.0
    for n in range(images):
        for p in range(size):
            for i in range(channels + around):
                if i < channels:
                    value = x[(n * channels + i) * size + p]
                    squares[i] = value * value
                    counts[MULTIPLY] += 1
                    total += squares[i]
                    counts[ADD] += 1
                if i >= around:
                    total -= squares[i - around]
                    counts[ADD] += 1
                if behind <= i < behind + channels:
                    place = (n * channels + i - behind) * size + p
                    scaled = share * total
                    counts[MULTIPLY] += 1
                    scaled += k
                    counts[ADD] += 1
                    scaled = scaled**beta
                    counts[SPECIAL] += 1
                    y[place] = x[place] / scaled
                    counts[DIVIDE] += 1


def softmax(x: Numbers, y: Numbers, counts: Numbers, outer: int, length: int, inner: int) -> None:
    """Exp, add to the sum, divide by the sum; the search for the largest value and its subtraction are free."""
    for n in range(outer):
        for p in range(inner):
            first = n * length * inner + p
            largest = x[first]
            for i in range(length):
                largest = max(largest, x[first + i * inner])
            total = 0.0
            for i in range(length):
                place = first + i * inner
                y[place] = math.exp(x[place] - largest)
                counts[SPECIAL] += 1
                total += y[place]
                counts[ADD] += 1
            for i in range(length):
                y[first + i * inner] /= total
                counts[DIVIDE] += 1


def max_pool(
    x: Numbers, y: Numbers, counts: Numbers, offsets: Numbers, maps: int, size: int, positions: int, taps: int
) -> None:
    """Compare each element under the window with the largest so far; padding is smaller than anything."""
    for c in range(maps):
        for p in range(positions):
            largest = -math.inf
            for t in range(taps):
                offset = offsets[p * taps + t]
                value = x[c * size + offset] if offset >= 0 else -math.inf
                if value > largest:
                    largest = value
                counts[COMPARE] += 1
            y[c * positions + p] = largest


def average_pool(
    x: Numbers, y: Numbers, counts: Numbers, offsets: Numbers, shares: Numbers,
    maps: int, size: int, positions: int, taps: int,
) -> None:  # fmt: skip
    """Take the first element under the window, add the others, padding included, multiply by one over their number."""
    for c in range(maps):
        for p in range(positions):
            offset = offsets[p * taps]
            total = x[c * size + offset] if offset >= 0 else 0.0
            for t in range(1, taps):
                offset = offsets[p * taps + t]
                total += x[c * size + offset] if offset >= 0 else 0.0
                counts[ADD] += 1
            y[c * positions + p] = total * shares[p]
            counts[MULTIPLY] += 1


def global_average_pool(x: Numbers, y: Numbers, counts: Numbers, maps: int, size: int, share: float) -> None:
    """Take a map's first element, add the others, multiply by one over their number."""
    for c in range(maps):
        total = x[c * size]
        for p in range(1, size):
            total += x[c * size + p]
            counts[ADD] += 1
        y[c] = total * share
        counts[MULTIPLY] += 1


def global_max_pool(x: Numbers, y: Numbers, counts: Numbers, maps: int, size: int) -> None:
    """Compare each element of a map with the largest so far."""
    for c in range(maps):
        largest = -math.inf
        for p in range(size):
            if x[c * size + p] > largest:
                largest = x[c * size + p]
            counts[COMPARE] += 1
        y[c] = largest


def add(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A + b."""
    for i in range(len(y)):
        y[i] = a[i] + b[i]
        counts[ADD] += 1


def subtract(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A - b."""
    for i in range(len(y)):
        y[i] = a[i] - b[i]
        counts[ADD] += 1


def divide(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A / b."""
    for i in range(len(y)):
        y[i] = a[i] / b[i]
        counts[DIVIDE] += 1


def multiply(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A * b."""
    for i in range(len(y)):
        y[i] = a[i] * b[i]
        counts[MULTIPLY] += 1


def relu(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0.0 else 0.0
        counts[COMPARE] += 1


def relu6(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0, compare with 6."""
    for i in range(len(x)):
        value = x[i] if x[i] > 0.0 else 0.0
        counts[COMPARE] += 1
        y[i] = value if value < 6.0 else 6.0
        counts[COMPARE] += 1


def clip_below(x: Numbers, y: Numbers, counts: Numbers, low: float) -> None:
    """Compare with the least."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] > low else low
        counts[COMPARE] += 1


def clip_above(x: Numbers, y: Numbers, counts: Numbers, high: float) -> None:
    """Compare with the largest."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] < high else high
        counts[COMPARE] += 1


def leaky_relu(x: Numbers, y: Numbers, counts: Numbers, slope: float) -> None:
    """Multiply by the slope, compare with 0, choose: as hardware does it, without a jump."""
    for i in range(len(x)):
        scaled = slope * x[i]
        counts[MULTIPLY] += 1
        y[i] = x[i] if x[i] > 0.0 else scaled
        counts[COMPARE] += 1


def prelu(x: Numbers, slope: Numbers, y: Numbers, counts: Numbers, images: int, channels: int, size: int) -> None:
    """Multiply by the channel's slope, compare with 0, choose."""
    for n in range(images):
        for c in range(channels):
            for p in range(size):
                place = (n * channels + c) * size + p
                scaled = slope[c] * x[place]
                counts[MULTIPLY] += 1
                y[place] = x[place] if x[place] > 0.0 else scaled
                counts[COMPARE] += 1


def elu(x: Numbers, y: Numbers, counts: Numbers, alpha: float) -> None:
    """Exp, subtract 1, multiply by alpha, compare with 0, choose."""
    for i in range(len(x)):
        value = math.exp(min(x[i], LARGEST))
        counts[SPECIAL] += 1
        value -= 1.0
        counts[ADD] += 1
        value *= alpha
        counts[MULTIPLY] += 1
        y[i] = x[i] if x[i] > 0.0 else value
        counts[COMPARE] += 1


def sigmoid(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Exp, add 1, divide 1 by it; the sign is free."""
    for i in range(len(x)):
        value = math.exp(min(-x[i], LARGEST))
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        y[i] = 1.0 / value
        counts[DIVIDE] += 1


def silu(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Exp, add 1, divide x by it; the sign is free."""
    for i in range(len(x)):
        value = math.exp(min(-x[i], LARGEST))
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        y[i] = x[i] / value
        counts[DIVIDE] += 1


def tanh(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Hyperbolic tangent."""
    for i in range(len(x)):
        y[i] = math.tanh(x[i])
        counts[SPECIAL] += 1


def gelu(x: Numbers, y: Numbers, counts: Numbers, root: float) -> None:
    """Multiply by 1/sqrt(2), which is ``root``; erf, add 1, multiply by x, multiply by 1/2."""
    for i in range(len(x)):
        value = x[i] * root
        counts[MULTIPLY] += 1
        value = math.erf(value)
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        value *= x[i]
        counts[MULTIPLY] += 1
        y[i] = value * 0.5
        counts[MULTIPLY] += 1


def softplus(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Exp, add 1, log."""
    for i in range(len(x)):
        value = math.exp(min(x[i], LARGEST))
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        y[i] = math.log(value)
        counts[SPECIAL] += 1


def hard_sigmoid(x: Numbers, y: Numbers, counts: Numbers, alpha: float, beta: float) -> None:
    """Multiply by alpha, add beta, compare with 0, compare with 1."""
    for i in range(len(x)):
        value = x[i] * alpha
        counts[MULTIPLY] += 1
        value += beta
        counts[ADD] += 1
        value = value if value > 0.0 else 0.0
        counts[COMPARE] += 1
        y[i] = value if value < 1.0 else 1.0
        counts[COMPARE] += 1


def hard_swish(x: Numbers, y: Numbers, counts: Numbers, sixth: float) -> None:
    """Multiply by 1/6, add 1/2, compare with 0, compare with 1, multiply by x."""
    for i in range(len(x)):
        value = x[i] * sixth
        counts[MULTIPLY] += 1
        value += 0.5
        counts[ADD] += 1
        value = value if value > 0.0 else 0.0
        counts[COMPARE] += 1
        value = value if value < 1.0 else 1.0
        counts[COMPARE] += 1
        y[i] = x[i] * value
        counts[MULTIPLY] += 1
