"""What no policy can place: a tensor larger than every memory, and more at once than the farthest memory holds."""

from costmodel.errors import CostModelError
from costmodel.hardware import Hardware
from costmodel.place.offsets import homeless, layout
from costmodel.place.placement import Copy, Placement, live_bytes
from costmodel.profile import Profile
from costmodel.units import exact


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


def check_farthest(profile: Profile, hardware: Hardware, copies: tuple[Copy, ...]) -> None:
    """What does not fit in the nearer memories must fit in the farthest, with an address for everything."""
    number, farthest = len(hardware.memories) - 1, hardware.memories[-1]
    live = live_bytes(profile, [copy for copy in copies if copy.memory == number])
    for layer, needed in zip(profile.layers["layer"], live, strict=True):
        if needed > farthest.size:
            raise CostModelError(
                f"layer {layer!r} needs {exact(needed, 'B')} in {farthest.name!r} of {hardware.name!r}, "
                f"weights included, which has {exact(farthest.size, 'B')}"
            )
    if homeless(profile, copies, number, farthest.size):
        planned = layout(profile, Placement("", copies), number, farthest.size)
        raise CostModelError(
            f"layer {profile.layers['layer'][planned.layer]!r} has addresses up to {exact(planned.size, 'B')} in "
            f"{farthest.name!r} of {hardware.name!r}, weights included, which has {exact(farthest.size, 'B')}; "
            f"{planned.fragmentation:.1%} of them lie between what is live"
        )
