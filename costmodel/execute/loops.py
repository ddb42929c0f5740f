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

WIDTH: Final = 53
"""Bits of a whole number that 64-bit floats hold, where its own element type is not known."""


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


def log_softmax(x: Numbers, y: Numbers, counts: Numbers, outer: int, length: int, inner: int) -> None:
    """Exp, add to the sum; its log, subtract that; finding and subtracting the largest value are free."""
    for n in range(outer):
        for p in range(inner):
            first = n * length * inner + p
            largest = x[first]
            for i in range(length):
                largest = max(largest, x[first + i * inner])
            total = 0.0
            for i in range(length):
                value = math.exp(x[first + i * inner] - largest)
                counts[SPECIAL] += 1
                total += value
                counts[ADD] += 1
            total = math.log(total)
            counts[SPECIAL] += 1
            for i in range(length):
                y[first + i * inner] = x[first + i * inner] - largest - total
                counts[ADD] += 1


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


def placed_max_pool(
    x: Numbers, y: Numbers, counts: Numbers, offsets: Numbers, maps: int, size: int, positions: int, taps: int
) -> None:
    """The same, and behind all of the values the places of the first largest ones."""
    for c in range(maps):
        for p in range(positions):
            largest, place = -math.inf, -1
            for t in range(taps):
                offset = offsets[p * taps + t]
                value = x[c * size + offset] if offset >= 0 else -math.inf
                if value > largest:
                    largest, place = value, c * size + offset
                counts[COMPARE] += 1
            y[c * positions + p] = largest
            y[(maps + c) * positions + p] = place


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


def remainder(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """What is left of a after so many whole b as fit; the sign is that of b."""
    for i in range(len(y)):
        y[i] = a[i] % b[i]
        counts[DIVIDE] += 1


def truncated_remainder(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """What is left of a after so many whole b as fit; the sign is that of a."""
    for i in range(len(y)):
        rest = abs(a[i]) % abs(b[i])
        counts[DIVIDE] += 1
        y[i] = rest if a[i] > 0.0 else -rest


def multiply(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A * b."""
    for i in range(len(y)):
        y[i] = a[i] * b[i]
        counts[MULTIPLY] += 1


def power(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """A^b; of a negative a and a fraction it is not a number."""
    for i in range(len(y)):
        y[i] = a[i] ** b[i] if a[i] > 0.0 or b[i] == math.floor(b[i]) else math.nan
        counts[SPECIAL] += 1


def square(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Multiply by itself."""
    for i in range(len(x)):
        y[i] = x[i] * x[i]
        counts[MULTIPLY] += 1


def cube(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Multiply by itself twice."""
    for i in range(len(x)):
        value = x[i] * x[i]
        counts[MULTIPLY] += 1
        y[i] = value * x[i]
        counts[MULTIPLY] += 1


def larger(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare, choose."""
    for i in range(len(y)):
        y[i] = a[i] if a[i] > b[i] else b[i]
        counts[COMPARE] += 1


def smaller(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare, choose."""
    for i in range(len(y)):
        y[i] = a[i] if a[i] < b[i] else b[i]
        counts[COMPARE] += 1


def is_equal(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare."""
    for i in range(len(y)):
        y[i] = 1.0 if a[i] == b[i] else 0.0
        counts[COMPARE] += 1


def is_less(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare."""
    for i in range(len(y)):
        y[i] = 1.0 if a[i] < b[i] else 0.0
        counts[COMPARE] += 1


def is_not_more(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare."""
    for i in range(len(y)):
        y[i] = 1.0 if a[i] <= b[i] else 0.0
        counts[COMPARE] += 1


def both(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine two truths."""
    for i in range(len(y)):
        y[i] = 1.0 if a[i] != 0.0 and b[i] != 0.0 else 0.0
        counts[COMPARE] += 1


def either(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine two truths."""
    for i in range(len(y)):
        y[i] = 1.0 if a[i] != 0.0 or b[i] != 0.0 else 0.0
        counts[COMPARE] += 1


def one_of_two(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine two truths."""
    for i in range(len(y)):
        y[i] = 1.0 if (a[i] != 0.0) != (b[i] != 0.0) else 0.0
        counts[COMPARE] += 1


def choose(condition: Numbers, a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare the condition with 0."""
    for i in range(len(y)):
        y[i] = a[i] if condition[i] != 0.0 else b[i]
        counts[COMPARE] += 1


def absolute(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0; the sign is free."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0.0 else -x[i]
        counts[COMPARE] += 1


def negative(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Subtract from 0."""
    for i in range(len(x)):
        y[i] = 0.0 - x[i]
        counts[ADD] += 1


def sign(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0 from both sides."""
    for i in range(len(x)):
        value = 1.0 if x[i] > 0.0 else 0.0
        counts[COMPARE] += 1
        y[i] = -1.0 if x[i] < 0.0 else value
        counts[COMPARE] += 1


def floor(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Round."""
    for i in range(len(x)):
        y[i] = math.floor(x[i])
        counts[ADD] += 1


def ceil(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Round."""
    for i in range(len(x)):
        y[i] = math.ceil(x[i])
        counts[ADD] += 1


def nearest(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Round."""
    for i in range(len(x)):
        y[i] = round(x[i])
        counts[ADD] += 1


def reciprocal(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Divide 1 by it."""
    for i in range(len(x)):
        y[i] = 1.0 / x[i]
        counts[DIVIDE] += 1


def root(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Square root."""
    for i in range(len(x)):
        y[i] = math.sqrt(x[i]) if x[i] >= 0.0 else math.nan
        counts[SPECIAL] += 1


def exponential(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Exp."""
    for i in range(len(x)):
        y[i] = math.exp(min(x[i], LARGEST))
        counts[SPECIAL] += 1


def logarithm(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Log."""
    for i in range(len(x)):
        y[i] = math.log(x[i]) if x[i] > 0.0 else (-math.inf if x[i] == 0.0 else math.nan)
        counts[SPECIAL] += 1


def sine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Sine."""
    for i in range(len(x)):
        y[i] = math.sin(x[i])
        counts[SPECIAL] += 1


def cosine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Cosine."""
    for i in range(len(x)):
        y[i] = math.cos(x[i])
        counts[SPECIAL] += 1


def error_function(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Erf."""
    for i in range(len(x)):
        y[i] = math.erf(x[i])
        counts[SPECIAL] += 1


def is_zero(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0."""
    for i in range(len(x)):
        y[i] = 1.0 if x[i] == 0.0 else 0.0
        counts[COMPARE] += 1


def tangent(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Tangent."""
    for i in range(len(x)):
        y[i] = math.tan(x[i])
        counts[SPECIAL] += 1


def arc_sine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Arc sine."""
    for i in range(len(x)):
        y[i] = math.asin(x[i]) if abs(x[i]) <= 1.0 else math.nan
        counts[SPECIAL] += 1


def arc_cosine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Arc cosine."""
    for i in range(len(x)):
        y[i] = math.acos(x[i]) if abs(x[i]) <= 1.0 else math.nan
        counts[SPECIAL] += 1


def arc_tangent(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Arc tangent."""
    for i in range(len(x)):
        y[i] = math.atan(x[i])
        counts[SPECIAL] += 1


def hyperbolic_sine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Hyperbolic sine."""
    for i in range(len(x)):
        y[i] = math.sinh(x[i])
        counts[SPECIAL] += 1


def hyperbolic_cosine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Hyperbolic cosine."""
    for i in range(len(x)):
        y[i] = math.cosh(x[i])
        counts[SPECIAL] += 1


def area_sine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Inverse hyperbolic sine."""
    for i in range(len(x)):
        y[i] = math.asinh(x[i])
        counts[SPECIAL] += 1


def area_cosine(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Inverse hyperbolic cosine."""
    for i in range(len(x)):
        y[i] = math.acosh(x[i]) if x[i] >= 1.0 else math.nan
        counts[SPECIAL] += 1


def area_tangent(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Inverse hyperbolic tangent; infinite at 1 and -1."""
    for i in range(len(x)):
        y[i] = math.atanh(x[i]) if abs(x[i]) < 1.0 else x[i] * math.inf if abs(x[i]) == 1.0 else math.nan
        counts[SPECIAL] += 1


def turned_bits(x: Numbers, y: Numbers, counts: Numbers, values: float) -> None:
    """Turn the bits: of numbers without sign, whose element type has so many values, or of those with one, with 0."""
    for i in range(len(x)):
        y[i] = values - 1.0 - x[i]
        counts[COMPARE] += 1


def is_infinite(x: Numbers, y: Numbers, counts: Numbers, negative: float, positive: float) -> None:
    """Compare with infinity."""
    for i in range(len(x)):
        y[i] = 1.0 if (x[i] == math.inf and positive) or (x[i] == -math.inf and negative) else 0.0
        counts[COMPARE] += 1


def bits_of_both(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine the bits."""
    for i in range(len(y)):
        y[i] = float(int(a[i]) & int(b[i]))
        counts[COMPARE] += 1


def bits_of_either(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine the bits."""
    for i in range(len(y)):
        y[i] = float(int(a[i]) | int(b[i]))
        counts[COMPARE] += 1


def bits_of_one(a: Numbers, b: Numbers, y: Numbers, counts: Numbers) -> None:
    """Combine the bits."""
    for i in range(len(y)):
        y[i] = float(int(a[i]) ^ int(b[i]))
        counts[COMPARE] += 1


def shifted(a: Numbers, b: Numbers, y: Numbers, counts: Numbers, width: int, right: int) -> None:
    """Move the bits of a to the right, or to the left, where those that go beyond the width are lost."""
    for i in range(len(y)):
        far = int(b[i])
        kept = int(a[i]) >> min(far, width) if right else int(a[i]) & (2 ** max(width - far, 0) - 1)
        y[i] = float(kept if right else kept * 2 ** min(far, width))
        counts[COMPARE] += 1


def is_no_number(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with itself."""
    for i in range(len(x)):
        y[i] = 0.0 if x[i] == x[i] else 1.0
        counts[COMPARE] += 1


def running_sum(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Add each value to the sum of those before it in its row."""
    for n in range(rows):
        total = 0.0
        for i in range(n * length, (n + 1) * length):
            total += x[i]
            counts[ADD] += 1
            y[i] = total


def running_product(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Multiply each value by the product of those before it in its row."""
    for n in range(rows):
        total = 1.0
        for i in range(n * length, (n + 1) * length):
            total *= x[i]
            counts[MULTIPLY] += 1
            y[i] = total


def add_up(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Add each value to its row's sum."""
    for n in range(rows):
        sum_ = 0.0
        for i in range(n * length, (n + 1) * length):
            sum_ += x[i]
            counts[ADD] += 1
        y[n] = sum_


def multiply_up(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Multiply each value by its row's product."""
    for n in range(rows):
        value = 1.0
        for i in range(n * length, (n + 1) * length):
            value *= x[i]
            counts[MULTIPLY] += 1
        y[n] = value


def find_largest(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Compare each value with the largest so far of its row."""
    for n in range(rows):
        value = -math.inf
        for i in range(n * length, (n + 1) * length):
            if x[i] > value:
                value = x[i]
            counts[COMPARE] += 1
        y[n] = value


def find_smallest(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Compare each value with the smallest so far of its row."""
    for n in range(rows):
        value = math.inf
        for i in range(n * length, (n + 1) * length):
            if x[i] < value:
                value = x[i]
            counts[COMPARE] += 1
        y[n] = value


def find_place(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int, direction: float) -> None:
    """Compare each value with the largest so far of its row, or with the smallest for a negative direction."""
    for n in range(rows):
        value, place = -math.inf, 0
        for i in range(length):
            if x[n * length + i] * direction > value:
                value, place = x[n * length + i] * direction, i
            counts[COMPARE] += 1
        y[n] = place


def tournament(
    x: Numbers, y: Numbers, counts: Numbers, tree: Numbers, rows: int, length: int, kept: int, direction: float
) -> None:
    """The largest values of each row, or for a negative direction the smallest, and behind all of them their places.

    Places climb a tree whose leaves are a row; then those of the winner's games are played again, without it.
    """
    leaves = len(tree) // 2
    for n in range(rows):
        first = n * length
        for i in range(leaves):
            tree[leaves + i] = i if i < length else -1
        for i in range(leaves - 1, 0, -1):
            a, b = tree[2 * i], tree[2 * i + 1]
            tree[i] = a
            if b >= 0:
                counts[COMPARE] += 1
                if x[first + b] * direction > x[first + a] * direction:
                    tree[i] = b
        for j in range(kept):
            best = tree[1]
            y[n * kept + j] = x[first + best]
            y[(rows + n) * kept + j] = best
            tree[leaves + best] = -1
            i = (leaves + best) // 2 if j + 1 < kept else 0
            while i:
                a, b = tree[2 * i], tree[2 * i + 1]
                counts[COMPARE] += 1
                tree[i] = a
                if a < 0 or (b >= 0 and x[first + b] * direction > x[first + a] * direction):
                    tree[i] = b
                i //= 2


def put(x: Numbers, y: Numbers, counts: Numbers, places: Numbers, how: int) -> None:
    """Place x in y: 0 as it is, 1 added, 2 multiplied, 3 the larger, 4 the smaller of it and of what is there."""
    for i in range(len(x)):
        place = places[i]
        if how == 0:
            y[place] = x[i]
        elif how == 1:
            y[place] += x[i]
            counts[ADD] += 1
        elif how == 2:
            y[place] *= x[i]
            counts[MULTIPLY] += 1
        else:
            larger = x[i] > y[place]
            counts[COMPARE] += 1
            y[place] = x[i] if larger == (how == 3) else y[place]


def average(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int, share: float) -> None:
    """Take a row's first value, add the others, multiply by one over their number."""
    for n in range(rows):
        value = x[n * length]
        for i in range(n * length + 1, (n + 1) * length):
            value += x[i]
            counts[ADD] += 1
        y[n] = value * share
        counts[MULTIPLY] += 1


def layer_norm(
    x: Numbers, gamma: Numbers, beta: Numbers, y: Numbers, counts: Numbers,
    rows: int, length: int, share: float, epsilon: float, groups: int, size: int,
    behind: bool = False,
) -> None:  # fmt: skip
    """Each row less its mean, by its deviation, by gamma, and beta added, where there are such.

    Epsilon is added to the variance, or ``behind`` its root.

    Value i of row n has the gamma number (n mod groups) * (length / size) + i / size.
    """
    for n in range(rows):
        first = n * length
        center = x[first]
        for i in range(1, length):
            center += x[first + i]
            counts[ADD] += 1
        center *= share
        counts[MULTIPLY] += 1
        squares = 0.0
        for i in range(length):
            y[first + i] = x[first + i] - center
            counts[ADD] += 1
            value = y[first + i] * y[first + i]
            counts[MULTIPLY] += 1
            squares = squares + value if i else value
            counts[ADD] += 1 if i else 0
        squares *= share
        counts[MULTIPLY] += 1
        if not behind:
            squares += epsilon
            counts[ADD] += 1
        deviation = math.sqrt(squares)
        counts[SPECIAL] += 1
        if behind:
            deviation += epsilon
            counts[ADD] += 1
        scale = 1.0 / deviation
        counts[DIVIDE] += 1
        for i in range(length):
            place = (n % groups) * (length // size) + i // size
            value = y[first + i] * scale
            counts[MULTIPLY] += 1
            if len(gamma):
                value *= gamma[place]
                counts[MULTIPLY] += 1
            if len(beta):
                value += beta[place]
                counts[ADD] += 1
            y[first + i] = value


def over_size(x: Numbers, sizes: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Divide each value by the size of its row; where that is 0 all values are."""
    for n in range(rows):
        for i in range(n * length, (n + 1) * length):
            y[i] = x[i] / sizes[n] if sizes[n] > 0.0 else 0.0
            counts[DIVIDE] += 1


def mark_largest(x: Numbers, y: Numbers, counts: Numbers, rows: int, length: int) -> None:
    """Compare each value with the largest so far of its row; a 1 at the first largest, else 0."""
    for n in range(rows):
        place = n * length
        for i in range(n * length, (n + 1) * length):
            if x[i] > x[place]:
                place = i
            counts[COMPARE] += 1
            y[i] = 0.0
        y[place] = 1.0


def pool_sizes(
    x: Numbers, y: Numbers, counts: Numbers, offsets: Numbers, maps: int, size: int, positions: int, taps: int, p: int
) -> None:
    """Add the squares, or with p = 1 the sizes, of what is under the window, padding included; of squares the root."""
    for c in range(maps):
        for q in range(positions):
            total = 0.0
            for t in range(taps):
                offset = offsets[q * taps + t]
                value = x[c * size + offset] if offset >= 0 else 0.0
                if p == 1:
                    value = abs(value)
                    counts[COMPARE] += 1
                else:
                    value *= value
                    counts[MULTIPLY] += 1
                total += value
                counts[ADD] += 1
            if p == 2:
                total = math.sqrt(total)
                counts[SPECIAL] += 1
            y[c * positions + q] = total


def rms_norm(
    x: Numbers, gamma: Numbers, y: Numbers, counts: Numbers, rows: int, length: int, share: float, epsilon: float
) -> None:
    """Each row by the root of its mean square, and by gamma, where there is one."""
    for n in range(rows):
        first = n * length
        squares = x[first] * x[first]
        counts[MULTIPLY] += 1
        for i in range(1, length):
            value = x[first + i] * x[first + i]
            counts[MULTIPLY] += 1
            squares += value
            counts[ADD] += 1
        squares *= share
        counts[MULTIPLY] += 1
        squares += epsilon
        counts[ADD] += 1
        mean_root = math.sqrt(squares)
        counts[SPECIAL] += 1
        scale = 1.0 / mean_root
        counts[DIVIDE] += 1
        for i in range(length):
            value = x[first + i] * scale
            counts[MULTIPLY] += 1
            if len(gamma):
                value *= gamma[i]
                counts[MULTIPLY] += 1
            y[first + i] = value


def attend(
    q: Numbers, k: Numbers, v: Numbers, mask: Numbers, y: Numbers, counts: Numbers, scores: Numbers,
    products: int, share: int, length: int, keys: int, inner: int, size: int, scale: float, masked: bool, last: int,
) -> None:  # fmt: skip
    """One query after another: a score for each key, their softmax, and the mixture of the values.

    Query head h reads key head h / share. Keys behind query l + last are out of its sight; so are their products here,
    which the score of minus infinity replaces.
    """
    for h in range(products):
        g = h // share
        for i in range(length):
            largest_ = -math.inf
            for s in range(keys):
                value = 0.0
                for e in range(inner):
                    value += q[(h * length + i) * inner + e] * k[(g * keys + s) * inner + e]
                    counts[MACS] += 1
                value *= scale
                counts[MULTIPLY] += 1
                if masked:
                    value += mask[(h * length + i) * keys + s]
                    counts[ADD] += 1
                scores[s] = value if s <= i + last else -math.inf
                largest_ = max(largest_, scores[s])
            sum_ = 0.0
            for s in range(keys):
                scores[s] = math.exp(scores[s] - largest_)
                counts[SPECIAL] += 1
                sum_ += scores[s]
                counts[ADD] += 1
            for s in range(keys):
                scores[s] /= sum_
                counts[DIVIDE] += 1
            for e in range(size):
                value = 0.0
                for s in range(keys):
                    value += scores[s] * v[(g * keys + s) * size + e]
                    counts[MACS] += 1
                y[(h * length + i) * size + e] = value


def rotate(first: Numbers, second: Numbers, cos: Numbers, sin: Numbers, y: Numbers, counts: Numbers) -> None:
    """Turn pairs, of which all the first come before all the second: four products and two sums for each."""
    pairs = len(first)
    for i in range(pairs):
        y[i] = first[i] * cos[i] - second[i] * sin[i]
        counts[MULTIPLY] += 2
        counts[ADD] += 1
        y[pairs + i] = first[i] * sin[i] + second[i] * cos[i]
        counts[MULTIPLY] += 2
        counts[ADD] += 1


def contract(
    a: Numbers, b: Numbers, y: Numbers, counts: Numbers,
    places_a: Numbers, places_b: Numbers, sums_a: Numbers, sums_b: Numbers,
) -> None:  # fmt: skip
    """Each output is one product per combination of the letters that are summed over.

    ``places`` say where an output's operands begin, ``sums`` how far from there each product's lie.
    """
    for i in range(len(places_a)):
        value = 0.0
        for r in range(len(sums_a)):
            value += a[places_a[i] + sums_a[r]] * b[places_b[i] + sums_b[r]]
            counts[MACS] += 1
        y[i] = value


def spread(
    x: Numbers, w: Numbers, b: Numbers, y: Numbers, counts: Numbers, offsets: Numbers,
    images: int, channels: int, size: int, groups: int, filters: int, positions: int, taps: int,
) -> None:  # fmt: skip
    """Each element of each channel times each weight of the channel, added where the tap lies, if that is on the map.

    ``offsets`` say for each element and tap where on the output map that is, or -1 beside it.
    """
    inside, share = channels // groups, filters // groups
    for n in range(images):
        for m in range(filters):
            for p in range(positions):
                y[(n * filters + m) * positions + p] = b[m]
        for c in range(channels):
            for m in range(share):
                base = (n * filters + c // inside * share + m) * positions
                for i in range(size):
                    for t in range(taps):
                        value = x[(n * channels + c) * size + i] * w[(c * share + m) * taps + t]
                        counts[MACS] += 1
                        if offsets[i * taps + t] >= 0:
                            y[base + offsets[i * taps + t]] += value


def mix(x: Numbers, y: Numbers, counts: Numbers, places: Numbers, weights: Numbers, maps: int, size: int) -> None:
    """Each output is the sum of its taps times their weights; ``places`` and ``weights`` are outputs x taps."""
    outputs = len(y) // maps
    taps = len(places) // outputs
    for c in range(maps):
        for i in range(outputs):
            value = 0.0
            for t in range(i * taps, (i + 1) * taps):
                value += x[c * size + places[t]] * weights[t]
                counts[MULTIPLY] += 1
                counts[ADD] += 1
            y[c * outputs + i] = value


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


def selu(x: Numbers, y: Numbers, counts: Numbers, alpha: float, gamma: float) -> None:
    """Exp, subtract 1, multiply by alpha, compare with 0, choose, multiply by gamma."""
    for i in range(len(x)):
        value = math.exp(min(x[i], LARGEST))
        counts[SPECIAL] += 1
        value -= 1.0
        counts[ADD] += 1
        value *= alpha
        counts[MULTIPLY] += 1
        value = x[i] if x[i] > 0.0 else value
        counts[COMPARE] += 1
        y[i] = gamma * value
        counts[MULTIPLY] += 1


def celu(x: Numbers, y: Numbers, counts: Numbers, alpha: float) -> None:
    """Multiply by 1/alpha, exp, subtract 1, multiply by alpha, compare with 0, choose."""
    share = 1.0 / alpha
    for i in range(len(x)):
        value = x[i] * share
        counts[MULTIPLY] += 1
        value = math.exp(min(value, LARGEST))
        counts[SPECIAL] += 1
        value -= 1.0
        counts[ADD] += 1
        value *= alpha
        counts[MULTIPLY] += 1
        y[i] = x[i] if x[i] > 0.0 else value
        counts[COMPARE] += 1


def thresholded_relu(x: Numbers, y: Numbers, counts: Numbers, alpha: float) -> None:
    """Compare with alpha."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] > alpha else 0.0
        counts[COMPARE] += 1


def shrink(x: Numbers, y: Numbers, counts: Numbers, bias: float, limit: float) -> None:
    """Compare with both limits, add the bias with the sign of that which x is beyond."""
    for i in range(len(x)):
        below = x[i] < -limit
        counts[COMPARE] += 1
        above = x[i] > limit
        counts[COMPARE] += 1
        moved = x[i] + (bias if below else -bias)
        counts[ADD] += 1
        y[i] = moved if below or above else 0.0


def softsign(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Compare with 0, add 1 to the size, divide by it."""
    for i in range(len(x)):
        size = x[i] if x[i] > 0.0 else -x[i]
        counts[COMPARE] += 1
        size += 1.0
        counts[ADD] += 1
        y[i] = x[i] / size
        counts[DIVIDE] += 1


def swiglu(a: Numbers, b: Numbers, y: Numbers, counts: Numbers, alpha: float) -> None:
    """Multiply by an alpha that is not 1, exp, add 1, divide a by it, multiply by b; the sign is free."""
    for i in range(len(y)):
        value = a[i]
        if alpha != 1.0:
            value *= alpha
            counts[MULTIPLY] += 1
        value = math.exp(min(-value, LARGEST))
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        value = a[i] / value
        counts[DIVIDE] += 1
        y[i] = value * b[i]
        counts[MULTIPLY] += 1


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


def tanh_gelu(x: Numbers, y: Numbers, counts: Numbers, factor: float, root: float) -> None:
    """Square, by ``factor``, add 1, by x, by sqrt(2/pi), which is ``root``; tanh, add 1, by x, by 1/2."""
    for i in range(len(x)):
        value = x[i] * x[i]
        counts[MULTIPLY] += 1
        value *= factor
        counts[MULTIPLY] += 1
        value += 1.0
        counts[ADD] += 1
        value *= x[i]
        counts[MULTIPLY] += 1
        value *= root
        counts[MULTIPLY] += 1
        value = math.tanh(value)
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        value *= x[i]
        counts[MULTIPLY] += 1
        y[i] = value * 0.5
        counts[MULTIPLY] += 1


def mish(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """Exp, add 1, log, tanh, multiply by x."""
    for i in range(len(x)):
        value = math.exp(min(x[i], LARGEST))
        counts[SPECIAL] += 1
        value += 1.0
        counts[ADD] += 1
        value = math.log(value)
        counts[SPECIAL] += 1
        value = math.tanh(value)
        counts[SPECIAL] += 1
        y[i] = x[i] * value
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


def shift(x: Numbers, y: Numbers, counts: Numbers, zero: float) -> None:
    """Subtract a number."""
    for i in range(len(x)):
        y[i] = x[i] - zero
        counts[ADD] += 1


def requantise(
    q: Numbers, factors: Numbers, y: Numbers, counts: Numbers, outer: int, inner: int, zero: float, low: float,
    high: float,
) -> None:  # fmt: skip
    """Multiply by a factor for each channel, round, add the zero point, compare with both ends."""
    for n in range(outer):
        for c in range(len(factors)):
            for p in range(inner):
                place = (n * len(factors) + c) * inner + p
                value = q[place] * factors[c]
                counts[MULTIPLY] += 1
                value = round(value)
                counts[ADD] += 1
                value = value + zero
                counts[ADD] += 1
                value = max(value, low)
                counts[COMPARE] += 1
                y[place] = min(value, high)
                counts[COMPARE] += 1


def quantise(
    x: Numbers, scales: Numbers, zeros: Numbers, y: Numbers, counts: Numbers, shifted: int, low: float, high: float
) -> None:
    """Divide by the scale, round, add the zero point if there is one, compare with both ends."""
    for i in range(len(x)):
        value = round(x[i] / scales[i])
        counts[DIVIDE] += 1
        counts[ADD] += 1
        if shifted:
            value = value + zeros[i]
            counts[ADD] += 1
        value = max(value, low)
        counts[COMPARE] += 1
        y[i] = min(value, high)
        counts[COMPARE] += 1


def dequantise(x: Numbers, scales: Numbers, zeros: Numbers, y: Numbers, counts: Numbers, shifted: int) -> None:
    """Subtract the zero point if there is one, multiply by the scale."""
    for i in range(len(x)):
        value = x[i]
        if shifted:
            value -= zeros[i]
            counts[ADD] += 1
        y[i] = value * scales[i]
        counts[MULTIPLY] += 1


def dynamic_range(x: Numbers, y: Numbers, counts: Numbers) -> None:
    """The scale and the zero point for the smallest and the largest number, which are at most and at least 0."""
    low = 0.0
    high = 0.0
    for i in range(len(x)):
        low = min(low, x[i])
        counts[COMPARE] += 1
        high = max(high, x[i])
        counts[COMPARE] += 1
    span = high - low
    counts[ADD] += 1
    scale = span / 255.0
    counts[DIVIDE] += 1
    if scale == 0.0:
        scale = 1.0
    zero = round(-low / scale)
    counts[DIVIDE] += 1
    counts[ADD] += 1
    y[0] = scale
    y[1] = min(max(zero, 0.0), 255.0)
    counts[COMPARE] += 2


def quantised_sum(
    a: Numbers, b: Numbers, y: Numbers, counts: Numbers, zero_a: float, scale_a: float, zero_b: float, scale_b: float,
    scale: float, zero: float, low: float, high: float,
) -> None:  # fmt: skip
    """Both as fractions, added, and back."""
    for i in range(len(y)):
        left = a[i] - zero_a
        counts[ADD] += 1
        left *= scale_a
        counts[MULTIPLY] += 1
        right = b[i] - zero_b
        counts[ADD] += 1
        right *= scale_b
        counts[MULTIPLY] += 1
        value = left + right
        counts[ADD] += 1
        value = round(value / scale)
        counts[DIVIDE] += 1
        counts[ADD] += 1
        value = value + zero
        counts[ADD] += 1
        value = max(value, low)
        counts[COMPARE] += 1
        y[i] = min(value, high)
        counts[COMPARE] += 1


def quantised_product(
    a: Numbers, b: Numbers, y: Numbers, counts: Numbers, zero_a: float, scale_a: float, zero_b: float, scale_b: float,
    scale: float, zero: float, low: float, high: float,
) -> None:  # fmt: skip
    """Both as fractions, multiplied, and back."""
    for i in range(len(y)):
        left = a[i] - zero_a
        counts[ADD] += 1
        left *= scale_a
        counts[MULTIPLY] += 1
        right = b[i] - zero_b
        counts[ADD] += 1
        right *= scale_b
        counts[MULTIPLY] += 1
        value = left * right
        counts[MULTIPLY] += 1
        value = round(value / scale)
        counts[DIVIDE] += 1
        counts[ADD] += 1
        value = value + zero
        counts[ADD] += 1
        value = max(value, low)
        counts[COMPARE] += 1
        y[i] = min(value, high)
        counts[COMPARE] += 1


def quantised_mean(
    x: Numbers, y: Numbers, counts: Numbers, maps: int, size: int, sum_of_zeros: float, factor: float, zero: float,
    low: float, high: float,
) -> None:  # fmt: skip
    """Add up, subtract the zero points, multiply by the factor, round, add the zero point, compare with both ends."""
    for n in range(maps):
        total = x[n * size]
        for p in range(1, size):
            total += x[n * size + p]
            counts[ADD] += 1
        total -= sum_of_zeros
        counts[ADD] += 1
        value = round(total * factor)
        counts[MULTIPLY] += 1
        counts[ADD] += 1
        value = value + zero
        counts[ADD] += 1
        value = max(value, low)
        counts[COMPARE] += 1
        y[n] = min(value, high)
        counts[COMPARE] += 1
