"""A policy that never overfills: a map is held near if there is room beside everything else that is held there."""

import math
from collections.abc import Container, Iterable, Iterator
from typing import Final, NamedTuple

from costmodel.hardware import Hardware
from costmodel.place.limits import check_farthest, fitting
from costmodel.place.lives import Life, Rates, assemble, lives, replaceable, rivals
from costmodel.place.offsets import homeless, layout
from costmodel.place.placement import USUAL, Options, Placement
from costmodel.profile import MAPS, Profile

BLOCK: Final = 256
"""Layers."""

Near = dict[int, list[int]]
"""Map -> the memory that holds it over each of its spans."""

Pinned = dict[int, int]
"""Weight -> the memory that keeps it from image to image."""


class Choice(NamedTuple):
    """What a policy decides."""

    known: list[Life]
    near: Near
    pinned: Pinned


def liveness(profile: Profile, hardware: Hardware, options: Options = USUAL) -> Placement:
    """Memory by memory from the nearest: maps for their whole lives, then what is left from use to use.

    What saves the most transfer time per byte and layer goes first. A result takes the place of an operand that nothing
    needs any more if its layer works element by element. Where image follows image, the room that no layer needs keeps
    weights, the largest first; all others are streamed.
    """
    copies = assemble(profile, hardware, *choose(profile, hardware, options))
    check_farthest(profile, hardware, copies)
    return Placement("liveness", copies)


def choose(profile: Profile, hardware: Hardware, options: Options = USUAL) -> Choice:
    """Memory by memory, what gains most for its bytes and layers first."""
    memories, farthest = hardware.memories, len(hardware.memories) - 1
    known = lives(profile)
    for life in known:
        fitting(profile.tensors["tensor"][life.tensor], life.bytes, hardware)
    near = {life.tensor: [farthest] * len(life.spans) for life in known}
    far, pinned = Rates.of(memories[-1]), Pinned()
    for number, memory in enumerate(memories[:-1]):
        room, rates = _Room(profile, memory.size), Rates.of(memory)
        left = [life for life in known if {*near[life.tensor]} == {farthest} and life.bytes <= memory.size]
        gains = [(_gain(life, rates, far) / (life.uses[-1] + 1 - life.uses[0]), life) for life in left]
        for gain, life in sorted(gains, key=lambda pair: (-pair[0], pair[1].uses)):
            if gain > 0 and room.hold(life, life.uses[0], life.uses[-1]):
                near[life.tensor] = [number] * len(life.spans)
        if far.read > rates.write + 2 * rates.read:  # to bring it near, or to write it out as well, pays
            spans = [(life, place, *span) for life in left for place, span in enumerate(life.spans)]
            for life, place, first, last in sorted(spans, key=lambda span: (span[3] - span[2], -span[0].bytes)):
                if near[life.tensor][place] == farthest and room.hold(life, first, last):
                    near[life.tensor][place] = number
        settle(profile, hardware, Choice(known, near, {}), number)
        if options.steady_state and rates.read < far.read:
            taken = layout(profile, Placement("", assemble(profile, hardware, known, near, {})), number).size
            pinned |= dict.fromkeys(_fill(profile, pinned, memory.size - taken), number)
            settle(profile, hardware, Choice(known, near, pinned), number)
    return Choice(known, near, pinned)


def _gain(life: Life, near: Rates, far: Rates) -> float:
    """Seconds per byte saved by holding a map near from its first use to its last."""
    reads = len(life.uses) - 1
    saved = reads * (far.read - near.read)
    if life.kind == "map":
        return saved + far.write - near.write
    return saved - near.write - near.read  # an output is written out as well, an input brought in


class _Free:
    """The bytes that are free layer by layer, by blocks of layers, so that a map of a long life takes no long time."""

    def __init__(self, size: float, layers: int) -> None:
        blocks = -(-layers // BLOCK)
        self.free = [size] * layers
        self.lowest = [size] * blocks
        """The least in each block, less what the whole block has lost."""
        self.lost = [0] * blocks
        """What all layers of a block have lost and ``free`` does not say."""

    def least(self, start: int, stop: int) -> float:
        """The least that is free in any of the layers."""
        found = math.inf
        for block, low, high in _blocks(start, stop):
            lowest = self.lowest[block] if high - low == BLOCK else min(self.free[low:high]) - self.lost[block]
            found = min(found, lowest)
        return found

    def take(self, start: int, stop: int, size: int) -> None:
        """Take bytes of all the layers."""
        for block, low, high in _blocks(start, stop):
            if high - low == BLOCK:
                self.lost[block] += size
                self.lowest[block] -= size
            else:
                self.free[low:high] = [free - size for free in self.free[low:high]]
                first = block * BLOCK
                self.lowest[block] = min(self.free[first : first + BLOCK]) - self.lost[block]


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """The blocks that a range of layers touches, and the layers of it in each."""
    for block in range(start // BLOCK, (stop - 1) // BLOCK + 1):
        yield block, max(start, block * BLOCK), min(stop, (block + 1) * BLOCK)


class _Room:
    """The bytes that are free in a memory, layer by layer, and the maps that begin and end there."""

    def __init__(self, profile: Profile, size: float) -> None:
        self.free = _Free(size, len(profile.layers))
        self.operands = replaceable(profile)
        self.results: dict[tuple[int, int], list[int]] = {}
        """(layer, operand) -> what the layer may write over it."""
        for layer, operand, result in rivals(profile):
            self.results.setdefault((layer, operand), []).append(result)
        self.begins: set[tuple[int, int]] = set()
        """(layer, map) where a map that is held begins, and overwrites nothing."""
        self.ends: set[tuple[int, int]] = set()
        """(layer, map) where a map that is held ends, and nothing overwrites it."""

    def hold(self, life: Life, first: int, last: int) -> bool:
        """Hold a map from one layer to another if there is room; where it meets something it may share its bytes."""
        begin, end = (first, life.tensor), (last, life.tensor)
        before = _met(first, (life.tensor, *self.operands.get(begin, ())), self.ends)
        behind = _met(last, (life.tensor, *self.results.get(end, ())), self.begins)
        start, stop = first + (before is not None), last + 1 - (behind is not None)
        if start < stop:
            if self.free.least(start, stop) < life.bytes:
                return False
            self.free.take(start, stop, life.bytes)
        if before:
            self.ends.remove(before)
        else:
            self.begins.add(begin)
        if behind:
            self.begins.remove(behind)
        else:
            self.ends.add(end)
        return True


def settle(profile: Profile, hardware: Hardware, choice: Choice, memory: int) -> None:
    """What a memory has the bytes for but no address, all else considered, is left in the farthest."""
    farthest = len(hardware.memories) - 1
    spans = {life.tensor: life.spans for life in choice.known}
    while gone := homeless(profile, assemble(profile, hardware, *choice), memory, hardware.memories[memory].size):
        for copy in gone:
            choice.pinned.pop(copy.tensor, None)
            held = choice.near.get(copy.tensor, [])
            for place, (first, last) in enumerate(spans.get(copy.tensor, [])):
                if held[place] == memory and first <= copy.last and copy.first <= last:
                    held[place] = farthest


def _fill(profile: Profile, pinned: Container[int], free: float) -> list[int]:
    """The weights that fit in what is free at every layer, the largest first."""
    kept = []
    sizes, kinds = profile.tensors["bytes"], profile.tensors["kind"]
    weights = [tensor for tensor, kind in enumerate(kinds) if kind not in MAPS and tensor not in pinned]
    for tensor in sorted(weights, key=lambda tensor: -sizes[tensor]):
        if sizes[tensor] <= free:
            free -= sizes[tensor]
            kept.append(tensor)
    return kept


def _met(layer: int, maps: Iterable[int], at: Container[tuple[int, int]]) -> tuple[int, int] | None:
    """The first of the maps that begins or ends at a layer."""
    return next(((layer, tensor) for tensor in maps if (layer, tensor) in at), None)
