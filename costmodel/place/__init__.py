"""Profile x Hardware -> Placement: which memory each tensor lives in; one function per policy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from costmodel.errors import CostModelError, suggestion
from costmodel.hardware import Hardware
from costmodel.place.liveness import liveness
from costmodel.place.reuse import reuse
from costmodel.place.threshold import threshold
from costmodel.profile import Profile

Policy = Callable[[Profile, Hardware], tuple[int, ...]]

POLICIES: Final[Mapping[str, Policy]] = {policy.__name__: policy for policy in (threshold, liveness, reuse)}


@dataclass(frozen=True)
class Placement:
    """For each row of the profile's tensors, the number of its memory in the machine, nearest first."""

    policy: str
    memory: tuple[int, ...]


def place(profile: Profile, hardware: Hardware, policy: str | None = None) -> Placement:
    """Place every tensor, by the machine's own policy unless another is named."""
    name = policy or hardware.placement
    if name not in POLICIES:
        raise CostModelError(f"no placement policy {name!r}; {suggestion(name, POLICIES)}")
    return Placement(name, POLICIES[name](profile, hardware))
