"""Sizes x lifetimes -> offsets in one arena: tensors that live at the same time never overlap."""

from collections.abc import Sequence
from typing import Final, NamedTuple

ALIGNMENT: Final = 64
"""Bytes; a cache line."""


class Plan(NamedTuple):
    """Where each tensor lies, in bytes from the start of the arena, and how large the arena is."""

    offsets: tuple[int, ...]
    size: int


def plan(sizes: Sequence[int], born: Sequence[int], dies: Sequence[int]) -> Plan:
    """The largest tensor first, each at the lowest offset that is free from its birth to its last use."""
    order = sorted(range(len(sizes)), key=lambda row: (-sizes[row], born[row]))
    offsets = [0] * len(sizes)
    placed: list[int] = []
    for row in order:
        neighbours = sorted(
            (offsets[other], sizes[other]) for other in placed if born[other] <= dies[row] and born[row] <= dies[other]
        )
        offset = 0
        for start, size in neighbours:
            if offset + sizes[row] <= start:
                break
            offset = max(offset, aligned(start + size))
        offsets[row] = offset
        placed.append(row)
    return Plan(tuple(offsets), max((offsets[row] + sizes[row] for row in placed), default=0))


def aligned(size: int) -> int:
    """The next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT
