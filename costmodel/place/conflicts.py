"""Maps held in a memory -> sets of a few that no addresses could hold together, whatever else is there; each proven.

A map that a result may overwrite and the result lie at one address, or apart. Where there are not the bytes for both,
it is one block for both lives; else the result is counted from the next layer on, which is true either way.
"""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, NamedTuple

from costmodel.place.lives import replaceable
from costmodel.profile import Profile

STEPS: Final = 100_000
"""Of the search for the addresses of a few maps."""


class Held(NamedTuple):
    """A map that is in a memory over these layers, at one address."""

    tensor: int
    first: int
    last: int


class Conflict(NamedTuple):
    """Maps that no addresses hold together in less than so many bytes."""

    held: list[Held]
    needed: int


def conflicts(profile: Profile, held: Sequence[Held], room: int, until: float) -> list[Conflict]:
    """The conflicts that are found within the fewest layers, if there are any before time is up."""
    search, layers, length = _Search(profile, room), len(profile.layers), 1
    while length < layers:
        length *= 2
        found = {
            tuple(search.least(part))
            for start in range(0, layers, length // 2)
            if monotonic() < until and search.conflict(part := list(_within(held, start, start + length - 1)))
        }
        if found:
            return [Conflict(list(part), search.needed(part)) for part in sorted(found)]
    return []


def _within(held: Sequence[Held], first: int, last: int) -> Iterator[Held]:
    """What is held of some layers."""
    for one in held:
        if one.first <= last and first <= one.last:
            yield Held(one.tensor, max(one.first, first), min(one.last, last))


class _Search:
    """Proofs for one network and one memory."""

    def __init__(self, profile: Profile, room: int) -> None:
        self.room, self.sizes = room, profile.tensors["bytes"]
        self.operands = replaceable(profile)

    def conflict(self, held: Sequence[Held], room: int | None = None) -> bool:
        """Whether maps are proven to find no addresses."""
        from costmodel.arena import fits

        blocks = self._blocks(held, self.room if room is None else room)
        sizes = [self.sizes[block.tensor] for block in blocks]
        first, last = [block.first for block in blocks], [block.last for block in blocks]
        return fits(sizes, first, last, self.room if room is None else room, STEPS) is False

    def least(self, held: Sequence[Held]) -> list[Held]:
        """A conflict without what it does not need."""
        for one in held:
            others = [other for other in held if other != one]
            if self.conflict(others):
                held = others
        return list(held)

    def needed(self, held: Sequence[Held]) -> int:
        """The fewest bytes that are not proven to be too few."""
        low, high = self.room, sum([self.sizes[one.tensor] for one in held])
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.conflict(held, middle) else (low, middle)
        return low + 1

    def _blocks(self, held: Sequence[Held], room: int) -> list[Held]:
        """What is held at one address each, of the two ways to overwrite whatever both have in common."""
        live: dict[int, int] = {}
        """Layer where something may be overwritten -> bytes that are there at least."""
        over = [one for one in held if (one.first, one.tensor) in self.operands]
        for layer in {one.first for one in over}:
            there = sum([self.sizes[one.tensor] for one in held if one.first <= layer <= one.last])
            live[layer] = there - sum([self.sizes[one.tensor] for one in over if one.first == layer])
        blocks: list[Held] = []
        part_of: dict[int, int] = {}
        """Map -> number of its block."""
        for one in sorted(held, key=lambda one: (one.first, one in over)):
            operands = self.operands.get((one.first, one.tensor), [])
            together = len(operands) == 1 and live[one.first] + self.sizes[one.tensor] > room
            block = part_of.get(operands[0]) if together else None
            if block is not None and blocks[block].last >= one.first:
                part_of[one.tensor] = block
                blocks[block] = blocks[block]._replace(last=max(blocks[block].last, one.last))
            elif one.first < one.last or not operands:
                part_of[one.tensor] = len(blocks)
                blocks.append(one._replace(first=one.first + bool(operands)))
        return blocks
