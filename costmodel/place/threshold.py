"""The paper's policy: a map is internal if it fits on its own, whatever else is there; weights stay outside."""

from costmodel.hardware import Hardware
from costmodel.place.limits import fitting
from costmodel.place.placement import USUAL, Options, Placement, static
from costmodel.profile import MAPS, Profile


def threshold(profile: Profile, hardware: Hardware, _: Options = USUAL) -> Placement:
    """Each map goes to the nearest memory that is no smaller than the map; weights go to the farthest.

    Every map is judged alone, so several may share a memory that cannot hold them together; the input counts as a map
    and costs nothing to bring in when it fits. Source: HairNet, 2020, appendix.
    """
    columns = (profile.tensors[name] for name in ("tensor", "kind", "bytes"))
    homes = [
        fitting(name, size, hardware) if kind in MAPS else len(hardware.memories) - 1
        for name, kind, size in zip(*columns, strict=True)
    ]
    return Placement("threshold", static(profile, homes))
