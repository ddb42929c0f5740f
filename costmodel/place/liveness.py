"""A policy that never overfills: a map is internal if it fits beside everything else that is live there."""

from collections.abc import Sequence

from costmodel.errors import CostModelError
from costmodel.hardware import Hardware
from costmodel.place.threshold import fitting
from costmodel.profile import MAPS, Profile
from costmodel.units import exact


def liveness(profile: Profile, hardware: Hardware) -> tuple[int, ...]:
    """In order of birth, each map goes to the nearest memory with room for it from its birth to its last use.

    The input comes from outside and stays in the farthest memory, as do the weights, so reading it is charged.
    """
    tensors = profile.tensors
    farthest = len(hardware.memories) - 1
    chosen = [farthest] * len(tensors)
    held = [[0] * len(profile.layers) for _ in hardware.memories]  # live bytes per memory and layer
    maps = [row for row, kind in enumerate(tensors["kind"]) if kind in MAPS and kind != "input"]
    for row in sorted(maps, key=lambda row: tensors["born"][row]):
        size, life = tensors["bytes"][row], range(tensors["born"][row], tensors["dies"][row] + 1)
        number = fitting(tensors["tensor"][row], size, hardware)
        while number < farthest and max(held[number][layer] for layer in life) + size > hardware.memories[number].size:
            number += 1
        chosen[row] = number
        for layer in life:
            held[number][layer] += size
    check_farthest(profile, hardware, chosen)
    return tuple(chosen)


def check_farthest(profile: Profile, hardware: Hardware, chosen: Sequence[int]) -> None:
    """What does not fit in the nearer memories must fit in the farthest."""
    number, farthest = len(hardware.memories) - 1, hardware.memories[-1]
    live = profile.live_bytes([row for row, home in enumerate(chosen) if home == number])
    for layer, needed in zip(profile.layers["layer"], live, strict=True):
        if needed > farthest.size:
            raise CostModelError(
                f"layer {layer!r} needs {exact(needed, 'B')} in {farthest.name!r} of {hardware.name!r}, "
                f"weights included, which has {exact(farthest.size, 'B')}"
            )
