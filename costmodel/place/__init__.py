"""Profile x Hardware -> Placement: which memory holds which tensor, and when; one function per policy."""

from collections.abc import Callable, Mapping
from typing import Final

from costmodel.errors import CostModelError, suggestion
from costmodel.hardware import Hardware
from costmodel.place.liveness import liveness
from costmodel.place.optimal import optimal
from costmodel.place.placement import USUAL, Options, Placement
from costmodel.place.reuse import reuse
from costmodel.place.threshold import threshold
from costmodel.place.tiled import tiled
from costmodel.profile import Profile

Policy = Callable[[Profile, Hardware, Options], Placement]

POLICIES: Final[Mapping[str, Policy]] = {
    policy.__name__: policy for policy in (threshold, liveness, reuse, optimal, tiled)
}


def place(profile: Profile, hardware: Hardware, policy: str | None = None, options: Options = USUAL) -> Placement:
    """Place every tensor, by the machine's own policy unless another is named."""
    name = policy or hardware.placement
    if name not in POLICIES:
        raise CostModelError(f"no placement policy {name!r}; {suggestion(name, POLICIES)}")
    return POLICIES[name](profile, hardware, options)
