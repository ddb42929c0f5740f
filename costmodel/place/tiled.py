"""A policy that runs layers in tiles and chains of layers in bands of rows, for the fewest bytes from outside.

Copies are of whole maps: those that stay from run to run. Tiles and lines are parts of maps, which are no copies.
"""

import math
from typing import TYPE_CHECKING

from costmodel.hardware import Hardware
from costmodel.place.limits import check_farthest, fitting
from costmodel.place.placement import START, USUAL, Copy, Options, Placement, static
from costmodel.profile import MAPS, Profile

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan


def tiled(profile: Profile, hardware: Hardware, options: Options = USUAL) -> Placement:  # noqa: ARG001
    """The runs of layers with the least traffic between the two farthest memories; of one memory nothing is cut.

    Source: the bands are those of fused-layer accelerators, Alwani et al., MICRO 2016, with all rows reused.
    """
    from costmodel.tile.search import plan

    for name, kind, size in zip(*(profile.tensors[column] for column in ("tensor", "kind", "bytes")), strict=True):
        if kind != "map":  # a map may never be whole, but what comes from outside or goes there is
            fitting(name, size, hardware)
    if len(hardware.memories) == 1:
        copies = static(profile, [0] * len(profile.tensors))
        check_farthest(profile, hardware, copies)
        return Placement("tiled", copies)
    *_, near, _ = hardware.memories
    everything = sum(profile.tensors["bytes"])
    size = math.floor(min(near.size, max(1, 2 * everything)))  # of an infinite memory no more than could be used
    made = plan(profile, size, f"{near.name!r} of {hardware.name!r}")
    copies = (*_outside(profile, made, len(hardware.memories) - 1), *_kept(made, len(hardware.memories) - 2))
    check_farthest(profile, hardware, copies)
    return Placement("tiled", copies, plan=made)


def _outside(profile: Profile, plan: "Plan", farthest: int) -> list[Copy]:
    """Weights, inputs and what is written to the farthest memory, from then on to its last use."""
    tensors = profile.tensors
    end = len(profile.layers) - 1
    written: dict[int, int] = {}
    for layer, tensor, _, way in plan.moves:
        if way and tensor is not None:
            written.setdefault(tensor, layer)
    copies = []
    for tensor, (kind, dies) in enumerate(zip(tensors["kind"], tensors["dies"], strict=True)):
        if kind not in MAPS:
            copies.append(Copy(tensor, farthest, START, end))
        elif kind == "input" or tensor in written:
            copies.append(Copy(tensor, farthest, written.get(tensor, START), dies))
    return copies


def _kept(plan: "Plan", memory: int) -> list[Copy]:
    """Whole maps that stay from run to run."""
    open_: dict[int, tuple[int, int | None]] = {}
    copies = []
    for run in plan.runs:
        first, last = run.layers[0].row, run.layers[-1].row
        open_ |= {tensor: (first, run.over.get(tensor)) for tensor in run.after - run.before}
        for tensor in run.before - run.after:
            begin, over = open_.pop(tensor)
            copies.append(Copy(tensor, memory, begin, last, over))
    return copies
