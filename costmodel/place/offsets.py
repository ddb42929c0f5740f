"""Profile x Placement x a memory -> the address of each copy there, so that none overlap in time and space."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from costmodel.place.placement import Copy, Placement, live_bytes
from costmodel.profile import Profile

if TYPE_CHECKING:
    from costmodel.arena import Plan
    from costmodel.tile.plan import Plan as Runs
    from costmodel.tile.plan import Run


RESTS: Final = {"tiles": "tiles", "band": "weights", "whole": "maps and weights"}
"""By the kind of a run, what it takes besides the maps that are kept and the lines."""


class Part(NamedTuple):
    """What a run of layers takes besides whole tensors: the lines of a map, its tiles, or weights."""

    name: str
    bytes: int
    offset: int
    first: int
    """The first layer of the run."""
    last: int


class Layout(NamedTuple):
    """The copies in one memory with their addresses, and what they need."""

    copies: tuple[Copy, ...]
    offsets: tuple[int, ...]
    """Of each copy, in bytes from the start of the memory."""
    size: int
    """Bytes up to the last one that is used."""
    floor: int
    """The most bytes that are live at once: no addresses need less."""
    layer: int
    """The first layer that uses the last of these bytes."""
    parts: tuple[Part, ...] = ()

    @property
    def fragmentation(self) -> float:
        """Part of the bytes that lies between what is live, at the fullest layer."""
        return 1 - self.floor / self.size if self.size else 0.0


def layout(profile: Profile, placement: Placement, memory: int, enough: float = math.inf) -> Layout:
    """Addresses for what a memory holds, if they can be found below ``enough``; who overwrites has the same address."""
    from costmodel.arena import plan  # most commands ask for no addresses

    copies = [copy for copy in placement.copies if copy.memory == memory]
    if placement.plan:
        nearer = max(copy.memory for copy in placement.copies) - 2 - memory
        if nearer == -1:
            return _beside_work(profile, placement.plan, copies, enough)
        if nearer >= 0:  # one step after the other takes the memory from its start
            taken = placement.plan.levels[nearer].taken
            most = max(taken, default=0)
            return Layout((), (), most, most, [*taken, most].index(most))
    block, born, dies = _blocks(copies)
    sizes = profile.tensors["bytes"]
    needed = [sizes[copies[row].tensor] for row in born]
    planned = plan(needed, list(born.values()), list(dies.values()), alignment=1, enough=enough)
    address = dict(zip(born, planned.offsets, strict=True))
    offsets = tuple([address[row] for row in block])
    layer = _fullest(planned, needed, list(born.values()))
    return Layout(tuple(copies), offsets, planned.size, max(live_bytes(profile, copies), default=0), layer)


def homeless(profile: Profile, copies: Sequence[Copy], memory: int, size: float) -> list[Copy]:
    """The copies in a memory of that size for which no addresses were found there."""
    if size == math.inf:
        return []
    planned, sizes = layout(profile, Placement("", tuple(copies)), memory, size), profile.tensors["bytes"]
    pairs = zip(planned.copies, planned.offsets, strict=True)
    return [copy for copy, offset in pairs if offset + sizes[copy.tensor] > size]


def _blocks(copies: Sequence[Copy]) -> tuple[list[int], dict[int, int], dict[int, int]]:
    """For each copy the first of those that share its bytes; of these first ones the first layer and the last."""
    rows = {(copy.tensor, copy.last): row for row, copy in enumerate(copies)}
    block = list(range(len(copies)))
    for row, copy in sorted(enumerate(copies), key=lambda pair: pair[1].first):
        if copy.over is not None:
            block[row] = block[rows[copy.over, copy.first]]
    born = {row: max(copies[row].first, 0) for row in block}
    dies = dict.fromkeys(born, 0)
    for copy, row in zip(copies, block, strict=True):
        dies[row] = max(dies[row], copy.last)
    return block, born, dies


def _fullest(planned: "Plan", sizes: Sequence[int], born: Sequence[int]) -> int:
    """The first layer that uses the last byte."""
    ends = zip(born, map(int.__add__, planned.offsets, sizes), strict=True)
    return min([layer for layer, end in ends if end == planned.size], default=0)


def _beside_work(profile: Profile, runs: "Runs", copies: list[Copy], enough: float) -> Layout:
    """Addresses for the whole maps that runs keep, and in each run for its lines, and for its tiles or weights.

    Weights that stay from image to image are there in all runs.
    """
    from costmodel.arena import plan
    from costmodel.tile.nest import in_bytes

    last = {layer.row: number for number, run in enumerate(runs.runs) for layer in run.layers}
    block, firsts, lasts = _blocks(copies)
    sizes = [profile.tensors["bytes"][copies[row].tensor] for row in firsts]
    born = [last.get(layer, 0) for layer in firsts.values()]
    dies = [last.get(layer, len(runs.runs) - 1) for layer in lasts.values()]
    needs = [in_bytes(run.need) for run in runs.runs]
    parts: list[Part] = []
    for number, (run, need) in enumerate(zip(runs.runs, needs, strict=True)):
        whole = run.before | run.after
        free = need - sum(in_bytes(runs.maps[tensor].size) for tensor in whole.difference(run.over))
        lines = run.lines or {}
        work = {
            f"lines of {runs.maps[row].name}": in_bytes(runs.maps[row].row * line.buffer)
            for row, line in lines.items()
            if row not in whole
        }
        rows = [layer.row for layer in run.layers]
        work[_rest(run)] = free - sum(work.values())
        parts += [Part(name, size, 0, rows[0], rows[-1]) for name, size in work.items() if size > 0]
        sizes += [size for size in work.values() if size > 0]
        born += [number] * (len(sizes) - len(born))
        dies += [number] * (len(sizes) - len(dies))
    planned = plan(sizes, born, dies, alignment=1, enough=enough)
    layer = runs.runs[_fullest(planned, sizes, born)].layers[0].row if sizes else 0
    address = dict(zip(firsts, planned.offsets, strict=False))  # behind them is the work of the runs
    offsets = tuple([address[row] for row in block])
    placed = zip(parts, planned.offsets[len(firsts) :], strict=True)
    parts = [part._replace(offset=offset) for part, offset in placed]
    return Layout(tuple(copies), offsets, planned.size, max(runs.taken(), default=0), layer, tuple(parts))


def _rest(run: "Run") -> str:
    """What a run takes beside whole maps and lines."""
    names = run.layers[0].name + (f" to {run.layers[-1].name}" if len(run.layers) > 1 else "")
    return f"{RESTS[run.kind]} of {names}"
