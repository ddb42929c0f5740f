"""The language of placements: which memory holds a copy of which tensor, from which layer to which.

All else follows from the copies. A layer reads a tensor from the nearest memory that holds it, and writes its result
to the nearest memory that is to hold it. A copy that the layer itself does not write, and that was not there before
the run, is moved there: just before its first layer, or behind the layer that makes the tensor. What an engine reads
from a farther memory passes the nearer ones without staying there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from costmodel.profile import MAPS, Profile

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan

START: Final = -1
"""The first layer of a copy that is there before the run."""


class Copy(NamedTuple):
    """A tensor's bytes in one memory, from its first layer to its last, both included."""

    tensor: int
    """Row of the profile's tensors."""
    memory: int
    """Number of the machine's memory, nearest first."""
    first: int
    last: int
    over: int | None = None
    """The operand of the first layer whose bytes it takes, element by element, if it does."""


class Options(NamedTuple):
    """What a policy is asked for besides a network and a machine."""

    steady_state: bool = False
    """Whether image follows image, so that weights may stay."""
    seconds: float = 60.0
    """How long a policy may search."""


USUAL: Final = Options()


@dataclass(frozen=True)
class Placement:
    """What a policy decided."""

    policy: str
    copies: tuple[Copy, ...]
    bound: float | None = None
    """No placement under the policy's rules transfers in fewer seconds; None where the policy proves nothing."""
    proven: bool = False
    """Whether the policy proved that it reached the bound."""
    plan: "Plan | None" = None
    """How layers run in parts, where they do; the copies are of whole tensors only."""


class Move(NamedTuple):
    """A whole tensor that goes from one memory to another for the sake of a layer."""

    layer: int
    tensor: int
    source: int
    target: int


class Flow(NamedTuple):
    """What follows from a placement: the memory that serves each access of the profile, and the moves."""

    served: list[int]
    moves: list[Move]


class Traffic(NamedTuple):
    """Bytes read and written, by memory and layer."""

    read: list[list[int]]
    written: list[list[int]]


def static(profile: Profile, memory: Sequence[int]) -> tuple[Copy, ...]:
    """One memory for each tensor, for as long as it lives; what comes from outside is there before the run."""
    columns = (profile.tensors[name] for name in ("kind", "born", "dies"))
    made = {"map", "output"}
    return tuple(
        [
            Copy(tensor, memory[tensor], born if kind in made else START, dies)
            for tensor, (kind, born, dies) in enumerate(zip(*columns, strict=True))
        ]
    )


def flow(profile: Profile, placement: Placement) -> Flow:
    """Who serves each access, and what must be moved; every access must find its tensor."""
    layers, tensors = profile.accesses["layer"], profile.accesses["tensor"]
    homes = {copy.tensor: copy.memory for copy in placement.copies}
    if len(homes) == len(placement.copies):  # nothing ever moves
        return Flow([homes[tensor] for tensor in tensors], [])
    copies: list[tuple[Copy, ...]] = [()] * len(profile.tensors)
    for copy in placement.copies:
        copies[copy.tensor] += (copy,)
    served = [
        min([copy.memory for copy in copies[tensor] if copy.first <= layer <= copy.last])
        for layer, tensor in zip(layers, tensors, strict=True)
    ]
    born, kinds = profile.tensors["born"], profile.tensors["kind"]
    moves = []
    for tensor, held in enumerate(copies):
        made = kinds[tensor] in MAPS and kinds[tensor] != "input"
        for copy in held if len(held) > 1 else ():
            if copy.first == START:
                continue
            if made and copy.first == born[tensor]:
                source = min([other.memory for other in held if other.first == copy.first])
            else:
                source = min([other.memory for other in held if other.first < copy.first <= other.last + 1])
            if source != copy.memory:
                moves.append(Move(copy.first, tensor, source, copy.memory))
    return Flow(served, moves)


def traffic(profile: Profile, flowing: Flow, memories: int) -> Traffic:
    """The bytes that each memory delivers and takes for each layer: accesses, and both ends of every move."""
    read, written = ([[0] * len(profile.layers) for _ in range(memories)] for _ in range(2))
    columns = (profile.accesses[name] for name in ("layer", "mode", "bytes"))
    ways = {"read": read, "write": written}
    for layer, mode, size, memory in zip(*columns, flowing.served, strict=True):
        ways[mode][memory][layer] += size
    sizes = profile.tensors["bytes"]
    for layer, tensor, source, target in flowing.moves:
        read[source][layer] += sizes[tensor]
        written[target][layer] += sizes[tensor]
    return Traffic(read, written)


def live_bytes(profile: Profile, copies: Iterable[Copy]) -> list[int]:
    """Copies in one memory -> their bytes at each layer; one that overwrites another adds none at first."""
    sizes = profile.tensors["bytes"]
    changes = [0] * (len(profile.layers) + 1)
    for tensor, _, first, last, over in copies:
        changes[max(first, 0) if over is None else first + 1] += sizes[tensor]
        changes[last + 1] -= sizes[tensor]
    return list(accumulate(changes))[:-1]
