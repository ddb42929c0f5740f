"""The paper's policy: a map is internal if it fits on its own, whatever else is there; weights stay outside."""

from costmodel.errors import CostModelError
from costmodel.hardware import Hardware
from costmodel.profile import MAPS, Profile
from costmodel.units import exact


def threshold(profile: Profile, hardware: Hardware) -> tuple[int, ...]:
    """Each map goes to the nearest memory that is no smaller than the map; weights go to the farthest.

    Every map is judged alone, so several may share a memory that cannot hold them together; the input counts as a map
    and costs nothing to bring in when it fits. Source: HairNet, 2020, appendix.
    """
    return tuple(
        [
            fitting(name, size, hardware) if kind in MAPS else len(hardware.memories) - 1
            for name, kind, size in zip(
                profile.tensors["tensor"], profile.tensors["kind"], profile.tensors["bytes"], strict=True
            )
        ]
    )


def fitting(tensor: str, size: int, hardware: Hardware) -> int:
    """The nearest memory that can hold a tensor on its own."""
    for number, memory in enumerate(hardware.memories):
        if size <= memory.size:
            return number
    largest = max(hardware.memories, key=lambda memory: memory.size)
    raise CostModelError(
        f"tensor {tensor!r} needs {exact(size, 'B')}, more than any memory of {hardware.name!r}; "
        f"the largest is {largest.name!r} with {exact(largest.size, 'B')}"
    )
