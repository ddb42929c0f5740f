"""Attention's loop nest x a memory size -> the blocks of queries that move the fewest bytes.

All scores of a query must be there before the first is divided by the sum, so a block of queries has its scores with
every key in the memory, which are never written out; in a first pass all keys meet its queries, in a second its shares
all values. Where the keys of a group, or its values, stay for all its blocks, they are read once, one query and one
result at a time; else they pass by value by value, once for each block, and a value of each of its queries, or of each
of its results, is there. Groups share nothing but a mask, and run one after another.

Source: the blocks are those of Kao et al., "FLAT", ASPLOS 2023, arXiv:2107.06419, at the granularity of rows. There is
no running maximum and sum, as in Dao et al. 2022: that takes products and divisions that the operator does not count.
"""

import functools
from itertools import product
from math import prod
from typing import Final, NamedTuple

ORDER: Final = ("groups", "heads", "queries")


class Widths(NamedTuple):
    """Element widths; 0 where the whole map is in the memory anyway, and of a mask where there is none."""

    query: int
    key: int
    value: int
    mask: int
    result: int


class Heads(NamedTuple):
    """``groups`` of keys and values, each for the ``queries`` of several ``heads``."""

    groups: int
    heads: int
    queries: int
    keys: int
    channels: int
    """Values of a query and of a key."""
    filters: int
    """Values of a value, and of a result."""
    bits: Widths
    score: int
    """Width of a score."""
    spans: tuple[int, int, int] = (1, 1, 1)
    """Heads of a group, queries and keys among which the mask differs; 1 where it is the same for all."""
    mask: int = 0
    """Values of the mask."""
    held: int = 0
    """Bits that are there all the time beside the blocks."""

    @property
    def grain(self) -> int:
        """Bits beside whole maps: the scores of a query and their sum, and a value of the mask."""
        return (self.keys + 1) * self.score + self.bits.mask

    @property
    def smallest(self) -> int:
        """The bits that a block of one query needs if nothing stays."""
        return self.need(1, key=False, value=False, mask=False)

    def need(self, rows: int, *, key: bool, value: bool, mask: bool) -> int:
        """The bits of so many rows of scores, of what stays, and of what passes by in the worst of the passes."""
        bits = self.bits
        stays = key * self.channels * self.keys * bits.key + value * self.filters * self.keys * bits.value
        scoring = bits.query if key else rows * bits.query + bits.key
        mixing = bits.result if value else rows * bits.result + bits.value
        scaling = max(self.score, 0 if mask else bits.mask)  # a row's maximum, later its sum
        worst = max(scoring, scaling, mixing)
        return self.held + rows * self.keys * self.score + stays + mask * self.mask * bits.mask + worst

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a nest is a small value, not an object that is kept alive
    def search(self, room: int) -> "Blocks | None":
        """The blocks that move the fewest bytes with ``room`` bits of memory, of these the fewest, then the least."""
        found = []
        for heads, queries in product(_sizes(self.heads), _sizes(self.queries)):
            rows = heads * queries
            if rows * self.keys * self.score > room:
                break
            for key, value, mask in product((False, True), repeat=3):
                need = self.need(rows, key=key, value=value, mask=mask)
                if need <= room:
                    found.append(Blocks(self, heads, queries, key, value, mask, need))
        return min(
            found, key=lambda blocks: (sum(read for read, _ in blocks.amounts), -blocks.rows, blocks.need), default=None
        )


class Blocks(NamedTuple):
    """How attention is cut. A block is of the queries of one group."""

    nest: Heads
    heads: int
    queries: int
    """Of each of its heads."""
    key: bool
    """Whether the keys of a group stay for all its blocks."""
    value: bool
    mask: bool
    """Whether all of the mask stays from the first block to the last."""
    need: int
    """Bits of the memory that are taken."""
    visits: int = 1
    order: tuple[str, ...] = ORDER

    @property
    def rows(self) -> int:
        """Queries of a block."""
        return self.heads * self.queries

    @property
    def block(self) -> tuple[int, int, int, int, int]:
        """Images, rows, columns, channels and filters of a block."""
        return 1, self.rows, 1, self.nest.channels, self.nest.filters

    @property
    def cuts(self) -> tuple[int, int]:
        """Into how many parts the heads of a group and their queries are cut."""
        return -(-self.nest.heads // self.heads), -(-self.nest.queries // self.queries)

    @property
    def places(self) -> tuple[int, int, int, int]:
        """Bits that are there at once of queries, keys, values and mask, before the first pass is over."""
        nest, bits = self.nest, self.nest.bits
        return (
            (1 if self.key else self.rows) * bits.query,
            (nest.channels * nest.keys if self.key else 1) * bits.key,
            self.value * nest.filters * nest.keys * bits.value,
            self.mask * nest.mask * bits.mask,
        )

    @property
    def amounts(self) -> tuple[tuple[int, int], ...]:
        """Of queries, keys, values and mask the bits that are read with all repetitions, and the bits there are."""
        nest, bits, times = self.nest, self.nest.bits, prod(self.cuts)
        query = nest.groups * nest.heads * nest.queries * nest.channels * bits.query
        key, value = (nest.groups * nest.keys * size for size in (nest.channels * bits.key, nest.filters * bits.value))
        *rows, keys = nest.spans
        differ = prod(span if span > 1 else count for span, count in zip(rows, self.cuts, strict=True))
        mask = nest.mask if self.mask else nest.groups * differ * keys
        return (
            (query, query),
            (key if self.key else key * times, key),
            (value if self.value else value * times, value),
            (mask * bits.mask, nest.mask * bits.mask),
        )

    @property
    def results(self) -> int:
        """Bits of the results."""
        return self.nest.groups * self.nest.heads * self.nest.queries * self.nest.filters * self.nest.bits.result


def _sizes(size: int) -> list[int]:
    """The smallest size for each number of equal parts, in rising order."""
    return sorted({-(-size // parts) for parts in range(1, size + 1)})
