"""A policy that runs layers in tiles and chains of layers in bands of rows, for the fewest bytes from outside.

Copies are of whole maps: those that stay from run to run. Tiles and lines are parts of maps, which are no copies.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from costmodel.hardware import Hardware
from costmodel.place.limits import check_farthest, fitting
from costmodel.place.offsets import layout
from costmodel.place.placement import START, USUAL, Copy, Options, Placement, static
from costmodel.profile import MAPS, Profile

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan


def tiled(profile: Profile, hardware: Hardware, options: Options = USUAL) -> Placement:
    """The runs of layers with the least traffic between the two farthest memories; of one memory nothing is cut.

    What a step of a run works on goes through nearer memories in the tiles that are best for these, memory by memory.
    Where image follows image, some weights stay in the nearer of the two: those with which the least crosses in all.

    Source: the bands are those of fused-layer accelerators, Alwani et al., MICRO 2016, with all rows reused.
    """
    from costmodel.tile.nested import levels
    from costmodel.tile.pinning import steady
    from costmodel.tile.search import plan

    for tensor, kind, needed in zip(*(profile.tensors[column] for column in ("tensor", "kind", "bytes")), strict=True):
        if kind != "map":  # a map may never be whole, but what comes from outside or goes there is
            fitting(tensor, needed, hardware)
    if len(hardware.memories) == 1:
        copies = static(profile, [0] * len(profile.tensors))
        check_farthest(profile, hardware, copies)
        return Placement("tiled", copies)
    everything = sum(profile.tensors["bytes"])
    (size, name), *nearer = [  # of an infinite memory no more than could be used
        (math.floor(min(memory.size, max(1, 2 * everything))), f"{memory.name!r} of {hardware.name!r}")
        for memory in hardware.memories[-2::-1]
    ]
    near, room = len(hardware.memories) - 2, size
    while True:
        made = (steady if options.steady_state else plan)(profile, room, name, coarse=bool(nearer))
        made = replace(made, levels=levels(made, nearer), size=size)
        placement = Placement("tiled", (*_outside(profile, made, near + 1), *_kept(made, near)), plan=made)
        taken = layout(profile, placement, near, hardware.memories[near].size).size
        if taken <= hardware.memories[near].size:
            check_farthest(profile, hardware, placement.copies)
            return placement
        room -= taken - size  # what is kept in so much less has addresses in all of it, or is planned with less again


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
    """Whole maps that stay from run to run, and weights that stay from image to image."""
    open_: dict[int, tuple[int, int | None]] = {}
    copies = [Copy(tensor, memory, START, len(plan.profile.layers) - 1) for tensor in sorted(plan.pinned)]
    for run in plan.runs:
        first, last = run.layers[0].row, run.layers[-1].row
        open_ |= {tensor: (first, run.over.get(tensor)) for tensor in run.after - run.before}
        for tensor in run.before - run.after:
            begin, over = open_.pop(tensor)
            copies.append(Copy(tensor, memory, begin, last, over))
    return copies
