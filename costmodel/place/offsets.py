"""Profile x Placement x a memory -> the address of each copy there, so that none overlap in time and space."""

import math
from typing import TYPE_CHECKING, NamedTuple

from costmodel.arena import plan
from costmodel.place.placement import Copy, Placement, live_bytes
from costmodel.profile import Profile
from costmodel.tile.nest import in_bytes

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan


class Layout(NamedTuple):
    """The copies in one memory with their addresses, and what they need."""

    copies: tuple[Copy, ...]
    offsets: tuple[int, ...]
    """Of each copy, in bytes from the start of the memory."""
    size: int
    """Bytes up to the last one that is used."""
    floor: int
    """The most bytes that are live at once: no addresses need less."""

    @property
    def fragmentation(self) -> float:
        """Part of the bytes that lies between what is live, at the fullest layer."""
        return 1 - self.floor / self.size if self.size else 0.0


def layout(profile: Profile, placement: Placement, memory: int, enough: float = math.inf) -> Layout:
    """Addresses for what a memory holds, if they can be found below ``enough``; who overwrites has the same address."""
    copies = [copy for copy in placement.copies if copy.memory == memory]
    if placement.plan and memory == max(copy.memory for copy in placement.copies) - 1:
        return _beside_work(profile, placement.plan, copies, enough)
    block = _blocks(copies)
    born = {row: max(copies[row].first, 0) for row in block}
    dies = {row: max(copies[part].last for part, first in enumerate(block) if first == row) for row in born}
    sizes = profile.tensors["bytes"]
    needed = [sizes[copies[row].tensor] for row in born]
    planned = plan(needed, list(born.values()), list(dies.values()), alignment=1, enough=enough)
    address = dict(zip(born, planned.offsets, strict=True))
    offsets = tuple([address[row] for row in block])
    return Layout(tuple(copies), offsets, planned.size, max(live_bytes(profile, copies), default=0))


def _blocks(copies: list[Copy]) -> list[int]:
    """For each copy the first of those that share its bytes."""
    rows = {(copy.tensor, copy.last): row for row, copy in enumerate(copies)}
    block = list(range(len(copies)))
    for row, copy in sorted(enumerate(copies), key=lambda pair: pair[1].first):
        if copy.over is not None:
            block[row] = block[rows[copy.over, copy.first]]
    return block


def _beside_work(profile: Profile, runs: "Plan", copies: list[Copy], enough: float) -> Layout:
    """Addresses for the whole maps that runs keep, and in each run for its lines, and for its tiles or weights."""
    last = {layer.row: number for number, run in enumerate(runs.runs) for layer in run.layers}
    block = _blocks(copies)
    owners = sorted({*block})
    sizes = [profile.tensors["bytes"][copies[row].tensor] for row in owners]
    born = [last[copies[row].first] for row in owners]
    dies = [max(last[copies[part].last] for part, first in enumerate(block) if first == row) for row in owners]
    needs = [in_bytes(run.need) for run in runs.runs]
    for number, (run, need) in enumerate(zip(runs.runs, needs, strict=True)):
        whole = run.before | run.after
        free = need - sum(in_bytes(runs.maps[tensor].size) for tensor in whole.difference(run.over))
        lines = run.lines or {}
        buffers = [in_bytes(runs.maps[row].row * line.buffer) for row, line in lines.items() if row not in whole]
        work = [size for size in (*buffers, free - sum(buffers)) if size > 0]
        sizes += work
        born += [number] * len(work)
        dies += [number] * len(work)
    planned = plan(sizes, born, dies, alignment=1, enough=enough)
    address = dict(zip(owners, planned.offsets, strict=False))  # behind them is the work of the runs
    offsets = tuple([address[row] for row in block])
    return Layout(tuple(copies), offsets, planned.size, max(needs))
