"""Sizes x lifetimes -> offsets in one arena: what lives at the same time never overlaps."""

import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

ALIGNMENT: Final = 64
"""Bytes; a cache line."""


MOST_CHANGES: Final = 1000
WORK: Final = 20_000_000
"""How often an order is changed at most, and that times the square of how many blocks there are."""


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


def plan(
    sizes: Sequence[int],
    born: Sequence[int],
    dies: Sequence[int],
    *,
    alignment: int = ALIGNMENT,
    enough: float = math.inf,
) -> Plan:
    """One after the other, each at the lowest offset that is free from its birth to its last use.

    What lives throughout lies at the bottom, and stretches of time that share nothing else are planned apart. Each is
    done in three orders: the largest first, the largest bytes * life first, and the longest life first. If none gets by
    with ``enough`` bytes, small changes of the best order are tried, always the same ones.
    """
    blocks = sorted(map(Block, range(len(sizes)), sizes, born, dies), key=lambda block: block.born)
    first, last = min(born, default=0), max(dies, default=0)
    offsets, bottom = [0] * len(blocks), 0
    for block in blocks:
        if (block.born, block.dies) == (first, last):
            offsets[block.row] = bottom
            bottom = aligned(bottom + block.size, alignment)
    rest = [block for block in blocks if (block.born, block.dies) != (first, last)]
    for stretch in _stretches(rest):
        for block, offset in _stretch(stretch, alignment, enough - bottom).items():
            offsets[block.row] = bottom + offset
    return Plan(tuple(offsets), max(map(int.__add__, offsets, sizes), default=0))


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """The next multiple of the alignment."""
    return -(-size // alignment) * alignment


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


def _stretch(blocks: Sequence[Block], alignment: int, enough: float) -> dict[Block, int]:
    """The best offsets that were found."""

    def life(block: Block) -> int:
        return block.dies + 1 - block.born

    orders: tuple[Callable[[Block], tuple[int, ...]], ...] = (
        lambda block: (-block.size, block.born),
        lambda block: (-block.size * life(block), block.born),
        lambda block: (-life(block), -block.size),
    )
    best = min((_in_order(sorted(blocks, key=order), alignment) for order in orders), key=_height)
    height = _height(best)
    draw = Random(0)  # noqa: S311 - a search, not a secret
    for _ in range(min(MOST_CHANGES, WORK // len(blocks) ** 2)):
        if height <= enough:
            break
        changed = _in_order(_changed(best, draw), alignment, height)
        if changed:
            best, height = changed, _height(changed)
    return best


def _changed(offsets: Mapping[Block, int], draw: Random) -> list[Block]:
    """Another order: the block that lies highest comes earlier, or two blocks that live at the same time swap."""
    order = list(offsets)
    if draw.random() < 0.5:
        highest = max(order, key=lambda block: offsets[block] + block.size)
        place = order.index(highest)
        order.insert(draw.randrange(place + 1), order.pop(place))
    else:
        one = draw.randrange(len(order))
        there = [n for n, block in enumerate(order) if block.born <= order[one].dies and order[one].born <= block.dies]
        other = draw.choice(there)
        order[one], order[other] = order[other], order[one]
    return order


def _height(offsets: Mapping[Block, int]) -> int:
    return max(offset + block.size for block, offset in offsets.items())


def _in_order(blocks: Sequence[Block], alignment: int, most: float = math.inf) -> dict[Block, int]:
    """Blocks in an order -> the offset of each, in that order; none if they take more than ``most`` bytes."""
    taken: list[tuple[int, int, int, int]] = []
    """What lies there, by address: from, to, and the first and the last time."""
    offsets = {}
    for block in blocks:
        _, size, born, dies = block
        offset = 0
        for low, high, first, last in taken:
            if first <= dies and born <= last:
                if offset + size <= low:
                    break
                offset = max(offset, aligned(high, alignment))
        if offset + size > most:
            return {}
        offsets[block] = offset
        insort(taken, (offset, offset + size, born, dies))
    return offsets
