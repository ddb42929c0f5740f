"""Profile -> what policies decide on: the maps, span by span between the layers that touch them; and back to copies.

A map changes its memory only where a layer touches it. What comes from outside is in the farthest memory before the
run, what goes outside is there after it. A map that some span leaves in the farthest memory is written there as soon
as it is made.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from math import inf
from typing import NamedTuple

from costmodel.hardware import Hardware, Memory
from costmodel.place.placement import START, Copy
from costmodel.profile import MAPS, Profile


class Life(NamedTuple):
    """A map that flows between layers."""

    tensor: int
    bytes: int
    kind: str
    uses: tuple[int, ...]
    """The layers that touch it, in order: first the one that makes it, unless it is an input."""
    dies: int
    """The last layer that needs it."""

    @property
    def made(self) -> bool:
        """Whether a layer makes it; an input comes from outside."""
        return self.kind != "input"

    @property
    def spans(self) -> list[tuple[int, int]]:
        """From each use to the next; a map that is made and never read has a span of one layer."""
        return list(pairwise(self.uses)) or [(self.uses[0], self.uses[0])] * (self.kind == "map")


class Rates(NamedTuple):
    """Seconds per byte to read and to write a memory."""

    read: float
    write: float

    @classmethod
    def of(cls, memory: Memory) -> "Rates":
        """The inverse of a memory's rates."""
        read, write = memory.rates
        return cls(1 / read, 1 / write)


def lives(profile: Profile) -> list[Life]:
    """Every map that some layer touches."""
    uses: dict[int, list[int]] = {}
    for layer, tensor in zip(profile.accesses["layer"], profile.accesses["tensor"], strict=True):
        known = uses.setdefault(tensor, [])
        if not known or known[-1] != layer:
            known.append(layer)
    columns = (profile.tensors[name] for name in ("kind", "bytes", "dies"))
    return [
        Life(tensor, size, kind, tuple(uses[tensor]), dies)
        for tensor, (kind, size, dies) in enumerate(zip(*columns, strict=True))
        if kind in MAPS and tensor in uses
    ]


def rivals(profile: Profile) -> list[tuple[int, int, int]]:
    """(layer, operand, result): the layer may write the result over the operand, element by element."""
    columns = (profile.accesses[name] for name in ("layer", "tensor", "mode", "in_place"))
    operands: dict[int, list[int]] = {}
    found = []
    for layer, tensor, mode, in_place in zip(*columns, strict=True):
        if in_place:
            operands.setdefault(layer, []).append(tensor)
        elif mode == "write":
            found += [(layer, operand, tensor) for operand in operands.get(layer, ())]
    return found


def replaceable(profile: Profile) -> dict[tuple[int, int], list[int]]:
    """(layer, result) -> the operands that the layer may write the result over."""
    found: dict[tuple[int, int], list[int]] = {}
    for layer, operand, result in rivals(profile):
        found.setdefault((layer, result), []).append(operand)
    return found


def assemble(
    profile: Profile,
    hardware: Hardware,
    known: Sequence[Life],
    near: Mapping[int, Sequence[int]],
    pinned: Mapping[int, int],
) -> tuple[Copy, ...]:
    """The memory of each map in each of its spans, and of the weights that stay nearer -> copies.

    Of two spans that meet, the layer between them finds the map in the nearer of their memories.
    """
    farthest, end = len(hardware.memories) - 1, len(profile.layers) - 1
    copies = []
    for life in known:
        chosen = near[life.tensor]
        far = not life.made or life.kind == "output" or farthest in chosen
        if far:
            last = life.dies if life.kind == "output" else life.uses[-1]
            copies.append(Copy(life.tensor, farthest, life.uses[0] if life.made else START, last))
        if chosen and chosen.count(chosen[0]) == len(chosen):  # nearly all stay in one memory
            if chosen[0] < farthest:
                copies.append(Copy(life.tensor, chosen[0], life.uses[0], life.uses[-1]))
            continue
        spans = zip(chosen, life.spans, strict=True)
        runs = [(memory, [span for _, span in run]) for memory, run in groupby(spans, key=lambda pair: pair[0])]
        memories = [farthest + 1, *(memory for memory, _ in runs), farthest + 1]
        for place, (memory, run) in enumerate(runs, start=1):
            first = run[0][0] + (memories[place - 1] < memory)
            last = run[-1][1] - (memories[place + 1] < memory)
            if memory < farthest:
                copies.append(Copy(life.tensor, memory, first, last))
    for tensor, kind in enumerate(profile.tensors["kind"]):
        if kind not in MAPS:
            copies.append(Copy(tensor, farthest, START, end))
            if tensor in pinned:
                copies.append(Copy(tensor, pinned[tensor], START, end))
    return _overwriting(profile, hardware, copies)


def _overwriting(profile: Profile, hardware: Hardware, copies: Sequence[Copy]) -> tuple[Copy, ...]:
    """Each result takes the bytes of an operand that ends where it begins, if its layer allows that."""
    candidates = replaceable(profile)
    ends = {(copy.tensor, copy.memory, copy.last) for copy in copies}
    placed = []
    for copy in copies:
        over = None
        if hardware.memories[copy.memory].size < inf:
            operands = candidates.get((copy.first, copy.tensor), ())
            over = next((operand for operand in operands if (operand, copy.memory, copy.first) in ends), None)
        placed.append(copy._replace(over=over))
    return tuple(placed)
