"""A window along one axis x a tile size -> how many values of the operand the tiles read; padding is not read."""

import functools
from typing import Final, NamedTuple

from costmodel.arrays import Array, np

SIZES: Final = 512
"""Up to so many outputs along an axis every tile size is tried, beyond it those that cut it into equal parts."""


class Axis(NamedTuple):
    """``out`` windows that slide along ``size`` values: window p takes the values p*stride + k*dilation - before.

    Where values are ``apart``, they lie at its multiples, with gaps between them that a window takes nothing from: so a
    transposed convolution slides over what it spreads.
    """

    size: int
    out: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    apart: int = 1

    @classmethod
    def transposed(cls, size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> "Axis":
        """Value q is spread over the outputs q*stride + k*dilation - before: seen from an output, the taps turned."""
        return cls(size, out, kernel, 1, dilation, (kernel - 1) * dilation - before, stride)

    @property
    def extent(self) -> int:
        """Values that a window spans."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def plain(self) -> bool:
        """Whether each output needs its own value and no other."""
        return self.kernel == self.stride == self.apart == 1 and not self.before and self.size == self.out


class Cuts(NamedTuple):
    """Sizes of tiles of outputs, none worse than another in all: how many there are, and what they read."""

    size: Array
    count: Array
    read: Array
    """Values that all tiles read together: those under several tiles count for each."""
    most: Array
    """Values that the largest tile reads."""


@functools.lru_cache(maxsize=4096)
def taps(axis: Axis) -> tuple[int, int, int]:
    """Values that any window takes, products that are not with padding, and the most windows that share a value."""
    takes = _takes(axis)
    shared = np.bincount(takes[takes >= 0]) if (takes >= 0).any() else np.zeros(1, int)
    return int((shared > 0).sum()), int(shared.sum()), int(shared.max())


def _takes(axis: Axis) -> Array:
    """Windows x taps: which value each tap of each window takes; -1 for padding and gaps."""
    places = np.arange(axis.out)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.before
    values, gap = np.divmod(places, axis.apart)
    return np.where((gap == 0) & (values >= 0) & (values < axis.size), values, -1)


@functools.lru_cache(maxsize=4096)
def cuts(axis: Axis) -> Cuts:
    """Every size worth trying."""
    sizes = np.unique(-(-axis.out // np.arange(1, axis.out + 1))) if axis.out > SIZES or axis.plain else None
    if sizes is None:
        sizes = np.arange(1, axis.out + 1)
    count = -(-axis.out // sizes)
    if axis.plain:
        return Cuts(sizes, count, np.full_like(sizes, axis.size), sizes)
    values = _takes(axis)
    order = np.lexsort((np.repeat(np.arange(axis.out), axis.kernel), values.ravel()))
    value, window = values.ravel()[order], np.repeat(np.arange(axis.out), axis.kernel)[order]
    value, window = value[value >= 0], window[value >= 0]
    read, most = np.zeros_like(sizes), np.zeros_like(sizes)
    for number, size in enumerate(sizes.tolist()):
        tile = window // size
        fresh = np.ones(len(tile), bool)
        fresh[1:] = (tile[1:] != tile[:-1]) | (value[1:] != value[:-1])
        per_tile = np.bincount(tile[fresh]) if len(tile) else np.zeros(1, int)
        read[number], most[number] = per_tile.sum(), per_tile.max()
    return Cuts(*(column[front(sizes, count, read, most)] for column in (sizes, count, read, most)))


def front(*columns: Array) -> Array:
    """Rows, as numbers, that no other row undercuts in one column without exceeding it in another."""
    table = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
    rows, index = table[0].astype(float), table[1]
    kept = np.ones(len(rows), bool)
    for number in range(len(rows)):  # sorted, so that only an earlier row can undercut a later one
        if kept[number]:
            worse = (rows[number + 1 :] >= rows[number]).all(axis=1)
            kept[number + 1 :] &= ~worse
    return np.sort(index[kept])
