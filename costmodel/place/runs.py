"""Profile x Plan -> what a plan of runs is in the words of placements: who serves each access, and what crosses."""

from typing import TYPE_CHECKING

from costmodel.place.placement import Flow, Move, Traffic
from costmodel.profile import MAPS, Profile

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan


def flow(profile: Profile, plan: "Plan", memories: int) -> Flow:
    """An access is served by the farthest memory if some of it crosses for that layer, else from the nearer one.

    Weights cross, unless they stay from image to image.
    """
    crossing = {(move.layer, move.tensor, move.written) for move in plan.moves}
    kinds = profile.tensors["kind"]
    columns = (profile.accesses[name] for name in ("layer", "tensor", "mode"))

    def is_outside(layer: int, tensor: int, mode: str) -> bool:
        if kinds[tensor] in MAPS:
            return (layer, tensor, mode == "write") in crossing
        return tensor not in plan.pinned

    served = [memories - 2 + is_outside(*access) for access in zip(*columns, strict=True)]
    return Flow(served, _moves(profile, plan, memories))


def _moves(profile: Profile, plan: "Plan", memories: int) -> list[Move]:
    """Whole maps that are brought in or put out beside what the layer does; a partial sum is no such map."""
    columns = (profile.accesses[name] for name in ("layer", "tensor", "mode"))
    touched = set(zip(*columns, strict=True))
    far, near = memories - 1, memories - 2
    return [
        Move(layer, tensor, *((near, far) if written else (far, near)))
        for layer, tensor, _, written in plan.moves
        if tensor is not None
        and (layer, tensor, "write") not in touched
        and (written or (layer, tensor, "read") not in touched)
    ]


def traffic(profile: Profile, plan: "Plan", memories: int) -> Traffic:
    """What crosses the border of the farthest memory, and the accesses and moves that the nearer one serves.

    If there are nearer ones still, what crosses to them counts in place of the accesses of layers that go there.
    """
    from costmodel.tile.nest import in_bytes

    read, written = ([[0] * len(profile.layers) for _ in range(memories)] for _ in range(2))
    read[-1], written[-1] = plan.traffic()
    served, moves = flow(profile, plan, memories)
    columns = (profile.accesses[name] for name in ("layer", "mode", "bytes"))
    inner = plan.levels[0].rows if plan.levels else ()
    for layer, mode, size, memory in zip(*columns, served, strict=True):
        if memory < memories - 1 and layer not in inner:
            (read if mode == "read" else written)[memory][layer] += size
    for memory, level in zip(range(memories - 2, 0, -1), plan.levels, strict=True):
        for layer, _, bits, way in level.moves:
            (written if way else read)[memory][layer] += in_bytes(bits)
    sizes = profile.tensors["bytes"]
    for layer, tensor, source, target in moves:
        if source < memories - 1:
            read[source][layer] += sizes[tensor]
        else:
            written[target][layer] += sizes[tensor]
    return Traffic(read, written)
