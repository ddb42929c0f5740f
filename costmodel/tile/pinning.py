"""Profile x memory size -> the weights that stay from image to image, and how the layers run beside them.

A weight that stays is never read again, and takes its bytes from the room that tiles, lines and maps have. The more of
them stay the less crosses, up to where the runs suffer from it; that point is looked for by halving.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

from costmodel.errors import CostModelError
from costmodel.profile import MAPS, Profile
from costmodel.tile.plan import NONE, Plan
from costmodel.tile.search import plan

SETS: Final = 16
"""Up to so many sets of weights all are tried."""

HALVINGS: Final = 7
"""Beyond it, how often what they have of the memory is halved."""


class _Best:
    """The best plan so far."""

    def __init__(self, profile: Profile, size: int, memory: str, *, coarse: bool) -> None:
        self.given, self.coarse = (profile, size, memory), coarse
        self.plan = plan(*self.given, coarse=coarse)
        self.tried = {NONE}

    def better(self, pinned: Iterable[int]) -> bool:
        """Whether less than ever crosses if these weights stay."""
        chosen = frozenset(pinned)
        if chosen in self.tried:
            return False
        self.tried.add(chosen)
        try:
            found = plan(*self.given, chosen, coarse=self.coarse)
        except CostModelError:
            return False  # no room for the smallest tile is left
        if found.external_bytes < self.plan.external_bytes:
            self.plan = found
        return found is self.plan


def steady(profile: Profile, size: int, memory: str = "the internal memory", *, coarse: bool = False) -> Plan:
    """The plan with the least traffic; none of the weights stays where that is best."""
    best = _Best(profile, size, memory, coarse=coarse)
    sizes, saved = profile.tensors["bytes"], _saved(best.plan)
    order = sorted(saved, key=lambda tensor: (-saved[tensor] / sizes[tensor], -sizes[tensor], tensor))
    if 2 ** len(order) <= SETS:
        for count in range(1, len(order) + 1):
            for chosen in combinations(order, count):
                best.better(chosen)
        return best.plan
    least, most = 0, min(size, sum([sizes[tensor] for tensor in order]))
    part = most
    for _ in range(HALVINGS):
        if best.better(_fill(order, sizes, part)):
            least = part
        else:
            most = part
        part = (least + most) // 2
    found = True
    while found:  # what is left beside every run is for weights, too
        left = size - max(best.plan.taken(), default=0)
        others = [tensor for tensor in order if tensor not in best.plan.pinned]
        found = best.better([*best.plan.pinned, *_fill(others, sizes, left)])
    return best.plan


def _saved(made: Plan) -> dict[int, float]:
    """Bytes that are charged for each weight: its part of all that its layers read of theirs, again and again."""
    charged: dict[int, int] = {}
    for layer, tensor, bits, _ in made.moves:
        if tensor is None:
            charged[layer] = charged.get(layer, 0) + bits
    layers = [layer for run in made.runs for layer in run.layers if layer.weights]
    times = {layer.row: charged[layer.row] / layer.weights for layer in layers}
    kinds, found = made.profile.tensors["kind"], dict[int, float]()
    for layer, tensor, size in made.profile.accesses.select(["layer", "tensor", "bytes"]).tuples():
        if kinds[tensor] not in MAPS and size:
            found[tensor] = found.get(tensor, 0) + size * times[layer]
    return found


def _fill(order: Iterable[int], sizes: Sequence[int], room: int) -> Iterator[int]:
    """The first that fit, one after the other."""
    for tensor in order:
        if sizes[tensor] <= room:
            room -= sizes[tensor]
            yield tensor
