"""A policy for caches: a tensor is found where it still is after all that was touched since."""

from itertools import accumulate

from costmodel.hardware import Hardware
from costmodel.place.limits import check_farthest, fitting
from costmodel.place.offsets import homeless
from costmodel.place.placement import USUAL, Options, Placement, static
from costmodel.profile import MAPS, Profile


def reuse(profile: Profile, hardware: Hardware, _: Options = USUAL) -> Placement:
    """Each tensor goes to the nearest memory that holds all bytes touched from its birth to its last use.

    That is the reuse distance of a least-recently-used cache. The network is run again and again, so a weight comes
    back after all bytes of a run. What fits in none, or finds no address there, goes to the farthest memory.
    """
    touched = [0] * len(profile.layers)
    for layer, size in zip(profile.accesses["layer"], profile.accesses["bytes"], strict=True):
        touched[layer] += size
    before = [0, *accumulate(touched)]
    farthest = len(hardware.memories) - 1

    chosen = []
    columns = (profile.tensors[name] for name in ("tensor", "kind", "bytes", "born", "dies"))
    for name, kind, size, born, dies in zip(*columns, strict=True):
        fitting(name, size, hardware)
        distance = before[dies + 1] - before[born] if kind in MAPS else before[-1]
        holding = (number for number, memory in enumerate(hardware.memories) if distance <= memory.size)
        chosen.append(next(holding, farthest))
    copies = static(profile, chosen)
    for number, memory in enumerate(hardware.memories[:-1]):
        while gone := homeless(profile, copies, number, memory.size):
            for copy in gone:
                chosen[copy.tensor] = farthest
            copies = static(profile, chosen)
    check_farthest(profile, hardware, copies)
    return Placement("reuse", copies)
