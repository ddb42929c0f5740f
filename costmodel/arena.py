"""Sizes x lifetimes -> offsets in one arena: what lives at the same time never overlaps.

What lives throughout a stretch of time lies at the bottom, and what shares no time with the rest is planned apart. Most
plans are found by placing one block after the other at the lowest offset that is free; where that takes more bytes than
are live at once, by a search.

The search places blocks by rising offset, each as low as what it overlaps allows: any plan can be pushed down to one
that is made so. It turns back where what is placed and what must still come above it takes more than there is. What is
left to place may split into stretches that share no more time; if there is no plan for one of them, another is tried
for the choice that split them, and for nothing since. It ends with a plan, with the proof that there is none, or when
its steps are used up. Source: the plans searched are the canonical ones of Moffitt, MiniMalloc, ASPLOS 2023.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from typing import Final, NamedTuple

ALIGNMENT: Final = 64
"""Bytes; a cache line."""

QUICK: Final = 600_000
"""Steps of a search for the fewest bytes that there can be; a step looks at one block."""

LONG: Final = 2_000_000
"""Steps of a search for what is enough."""

FIRST: Final = 40
"""Steps for each block that an order gets at first."""

GROWTH: Final = 6
"""How many times more it gets when those do not do."""

PAIRS: Final = 1_000_000
"""Of more pairs of blocks that live at the same time, nothing is searched."""


class Plan(NamedTuple):
    """Where each tensor lies, in bytes from the start of the arena, and how large the arena is."""

    offsets: tuple[int, ...]
    size: int


class Block(NamedTuple):
    """A tensor to be placed."""

    row: int
    size: int
    born: int
    dies: int


Order = Callable[[Block], tuple[int, ...]]

ORDERS: Final[tuple[Order, ...]] = (
    lambda block: (block.born - block.dies, -block.size),
    lambda block: (-block.size, block.born),
    lambda block: (-block.size * (block.dies + 1 - block.born), block.born),
)
"""The longest life first, the largest, the largest bytes * life."""

SEARCHED: Final[tuple[Order, ...]] = (ORDERS[0], ORDERS[2], lambda block: (block.born, -block.dies))
"""Of blocks that may lie at the lowest offset the longest life first, the largest bytes * life, or the earliest."""


def plan(
    sizes: Sequence[int],
    born: Sequence[int],
    dies: Sequence[int],
    *,
    alignment: int = ALIGNMENT,
    enough: float = math.inf,
) -> Plan:
    """As few bytes as are quickly found; if ``enough`` is less, though no less than is live at once, a long search."""
    blocks = _blocks([aligned(size, alignment) for size in sizes], born, dies)
    least, offsets = _live(blocks), [0] * len(sizes)
    for bottom, part in _parts(blocks):
        for block, offset in zip(part, _planned(part, least - bottom, enough - bottom), strict=True):
            offsets[block.row] = bottom + offset
    return Plan(tuple(offsets), max(map(int.__add__, offsets, sizes), default=0))


def fits(sizes: Sequence[int], born: Sequence[int], dies: Sequence[int], room: int, steps: int = LONG) -> bool | None:
    """Whether there are offsets within so much room; None if so many steps did not tell."""
    blocks = _blocks(sizes, born, dies)
    if _live(blocks) > room:
        return False
    answers = set()
    for bottom, part in _parts(blocks):
        if _height(part, _as_born(part)) > room - bottom:
            near = _neighbours(part)
            answers.add(_search(part, near, room - bottom, steps)[1] if near else None)
    return False if False in answers else None if None in answers else True


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """The next multiple of the alignment."""
    return -(-size // alignment) * alignment


def _blocks(sizes: Sequence[int], born: Sequence[int], dies: Sequence[int]) -> list[Block]:
    """What takes any bytes, by birth."""
    blocks = map(Block, range(len(sizes)), sizes, born, dies)
    return sorted([block for block in blocks if block.size], key=lambda block: block.born)


def _live(blocks: Sequence[Block]) -> int:
    """The most bytes that are live at once."""
    changes = sorted([(b.born, 1, b.size) for b in blocks] + [(b.dies + 1, 0, -b.size) for b in blocks])
    return max(accumulate([size for *_, size in changes]), default=0)


def _parts(blocks: Sequence[Block]) -> Iterator[tuple[int, list[Block]]]:
    """Blocks that are planned apart, and the bytes below them."""
    for stretch in _stretches(blocks):
        last, bottom = max([block.dies for block in stretch]), 0
        rest = []
        for block in stretch:
            if (block.born, block.dies) == (stretch[0].born, last):
                yield bottom, [block]
                bottom += block.size
            else:
                rest.append(block)
        for part in _stretches(rest):
            yield bottom, part


def _stretches(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks by birth -> groups none of which lives at the same time as another."""
    found: list[list[Block]] = []
    end = -1
    for block in blocks:
        if block.born > end:
            found.append([])
        found[-1].append(block)
        end = max(end, block.dies)
    return found


def _planned(part: Sequence[Block], least: int, enough: float) -> Sequence[int]:
    """The offset of each block: within ``least`` if that is quickly found, or within ``enough`` if it is at all."""
    best = _as_born(part)
    near = _neighbours(part) if _height(part, best) > least else None
    if near is None:
        return best
    for order in ORDERS:
        tried = _in_order(part, near, sorted(range(len(part)), key=lambda k: order(part[k])))
        best = min(best, tried, key=lambda offsets: _height(part, offsets))
        if _height(part, best) <= least:
            return best
    found, _ = _search(part, near, least, QUICK)
    if not found and least < enough < _height(part, best):
        found, _ = _search(part, near, math.floor(enough), LONG)
    return found or best


def _height(part: Sequence[Block], offsets: Sequence[int]) -> int:
    return max([offset + block.size for block, offset in zip(part, offsets, strict=True)])


def _as_born(part: Sequence[Block]) -> list[int]:
    """Each block at the lowest offset that is free at its birth."""
    offsets = []
    gaps: list[tuple[int, float]] = [(0, math.inf)]
    """From, to, by offset; no two of them touch."""
    live: list[tuple[int, int, int]] = []
    """A heap of when, from where and up to where blocks die."""
    for _, size, born, dies in part:
        while live and live[0][0] < born:
            _, low, high = heappop(live)
            _free(gaps, low, high)
        place = next(place for place, (low, high) in enumerate(gaps) if high - low >= size)
        low, end = gaps[place]
        gaps[place : place + 1] = [(low + size, end)] if low + size < end else []
        offsets.append(low)
        heappush(live, (dies, low, low + size))
    return offsets


def _free(gaps: list[tuple[int, float]], low: int, high: float) -> None:
    """Give back what lies between two offsets; it becomes one with the gaps beside it."""
    place = bisect_left(gaps, (low, high))
    first, last = place, place
    if place < len(gaps) and gaps[place][0] == high:
        high, last = gaps[place][1], place + 1
    if place and gaps[place - 1][1] == low:
        low, first = gaps[place - 1][0], place - 1
    gaps[first:last] = [(low, high)]


def _neighbours(part: Sequence[Block]) -> list[list[int]] | None:
    """For each block those that live at the same time; None if they are too many."""
    near: list[list[int]] = [[] for _ in part]
    live: list[int] = []
    pairs = 0
    for k, block in enumerate(part):
        live = [other for other in live if part[other].dies >= block.born]
        pairs += len(live)
        if pairs > PAIRS:
            return None
        near[k] += live
        for other in live:
            near[other].append(k)
        live.append(k)
    return near


def _in_order(part: Sequence[Block], near: Sequence[Sequence[int]], order: Sequence[int]) -> list[int]:
    """One block after the other, each at the lowest offset that is free throughout its life."""
    offsets = [-1] * len(part)
    for k in order:
        offset, size = 0, part[k].size
        for low, high in sorted([(offsets[m], offsets[m] + part[m].size) for m in near[k] if offsets[m] >= 0]):
            if offset + size <= low:
                break
            offset = max(offset, high)
        offsets[k] = offset
    return offsets


def _search(
    part: Sequence[Block], near: Sequence[Sequence[int]], room: int, steps: int
) -> tuple[list[int] | None, bool | None]:
    """Offsets within the room, or whether there are any: None if the steps did not tell.

    Each order gets few steps at first: what one of them finds at once may take another forever.
    """
    share = FIRST * len(part)
    while steps > 0:
        for order in SEARCHED:
            search = _Search(part, near, room, order)
            answer = search.run(min(share, steps))
            if answer is not None:
                return (search.offsets if answer else None), answer
            steps -= share
        share *= GROWTH
    return None, None


class _Pending(NamedTuple):
    """Blocks that share their time with each other and are still to be placed, and what is to be placed besides."""

    blocks: list[int]
    parent: int
    """The choice that split them off."""
    others: "_Pending | None"


class _Choice:
    """Which of some blocks is placed next."""

    def __init__(self, pending: _Pending, untried: Iterator[int], mark: int) -> None:
        self.blocks, self.parent, self.others = pending
        self.untried, self.mark = untried, mark
        """``mark`` changes were made before."""
        self.block = -1


class _Search:
    """One search, depth first."""

    def __init__(self, part: Sequence[Block], near: Sequence[Sequence[int]], room: int, order: Order) -> None:
        self.part, self.near, self.room = part, near, room
        self.sizes = [block.size for block in part]
        times = sorted({block.born for block in part})
        self.first = [bisect_left(times, block.born) for block in part]
        self.last = [bisect_right(times, block.dies) - 1 for block in part]
        self.rank = [0] * len(part)
        for rank, k in enumerate(sorted(range(len(part)), key=lambda k: order(part[k]))):
            self.rank[k] = rank
        self.low, self.offsets = [0] * len(part), [-1] * len(part)
        """The lowest offset that what is placed allows, and the chosen one."""
        self.high, self.left = [0] * len(times), [0] * len(times)
        """At each time how high blocks lie, and how much is not placed yet."""
        for k, size in enumerate(self.sizes):
            for time in range(self.first[k], self.last[k] + 1):
                self.left[time] += size
        self.changes: list[tuple[list[int], int, int]] = []
        """Each list, index and value before."""

    def run(self, steps: int) -> bool | None:
        """Whether all can be placed; None when the steps are used up."""
        choices: list[_Choice] = []
        pending: _Pending | None = _Pending(list(range(len(self.part))), -1, None)
        while pending:
            offset, rank = 0, -1
            if pending.parent >= 0:
                before = choices[pending.parent].block
                offset, rank = self.offsets[before], self.rank[before]
            choices.append(_Choice(pending, self._next(pending.blocks, offset, rank), len(self.changes)))
            while True:
                choice = choices[-1]
                self._undo(choice.mark)
                choice.block = next(choice.untried, -1)
                steps -= len(choice.blocks)
                if steps < 0:
                    return None
                if choice.block < 0:
                    if choice.parent < 0:
                        return False
                    del choices[choice.parent + 1 :]
                elif self._place(choice.block, choice.blocks):
                    break
            pending = choice.others
            for blocks in self._split([k for k in choice.blocks if k != choice.block]):
                pending = _Pending(blocks, len(choices) - 1, pending)
        return True

    def _next(self, blocks: Sequence[int], offset: int, rank: int) -> Iterator[int]:
        """What may come next, above the last or beside it, and not above where another still fits below it.

        What lies lower already would have come sooner, or waits for what will come below it.
        """
        low, sizes = self.low, self.sizes
        below = min([(low[k] if low[k] > offset else offset) + sizes[k] for k in blocks])
        found = [k for k in blocks if offset <= low[k] < below and (low[k] > offset or self.rank[k] > rank)]
        found.sort(key=lambda k: (low[k], self.rank[k]))
        alike: dict[tuple[int, ...], int] = {}
        for k in found:
            alike.setdefault((low[k], sizes[k], self.first[k], self.last[k]), k)
        return iter(alike.values())

    def _place(self, block: int, blocks: Sequence[int]) -> bool:
        """Place a block; whether there may still be room for the others, which come no lower."""
        low, left, high, offset = self.low, self.left, self.high, self.low[block]
        top = offset + self.sizes[block]
        self._set(self.offsets, block, offset)
        for time in range(self.first[block], self.last[block] + 1):
            self._set(left, time, left[time] - self.sizes[block])
            self._set(high, time, top)
        for k in self.near[block]:
            if low[k] < top and self.offsets[k] < 0:
                self._set(low, k, top)
        times = slice(self.first[blocks[0]], max([self.last[k] for k in blocks]) + 1)
        room = self.room
        for there, more in zip(high[times], left[times], strict=True):
            if more and (there if there > offset else offset) + more > room:
                return False
        return True

    def _split(self, blocks: Sequence[int]) -> list[list[int]]:
        """Blocks by birth -> groups that share no time."""
        first, last = self.first, self.last
        found: list[list[int]] = []
        group: list[int] = []
        end = -1
        for k in blocks:
            if first[k] > end:
                group = []
                found.append(group)
            group.append(k)
            if last[k] > end:
                end = last[k]
        return found

    def _set(self, values: list[int], index: int, value: int) -> None:
        self.changes.append((values, index, values[index]))
        values[index] = value

    def _undo(self, mark: int) -> None:
        while len(self.changes) > mark:
            values, index, value = self.changes.pop()
            values[index] = value
