"""Transfers and computations of each layer x overlap -> when each layer starts and ends.

There is one line of transfers and one of computations; each does one thing at a time, in the order of the layers.

``none``
    a layer's transfers, then its computations; then the next layer.
``layer``
    a layer's transfers and computations begin together; the next layer begins when both are done.
``prefetch``
    besides, what the next layer reads from a farther memory and what is there already - its weights, and maps made
    before the layer that runs now - is fetched as soon as this layer's own transfers are done, as far as there is room
    in the nearest memory beside all that is live there: two buffers, one in use while the other is filled.

Of layers in tiles or bands that memory is the one that the parts lie in. Their first tiles, their lines and the weights
that stay have a place there as soon as their run begins; what comes early beside these waits in a buffer. To memories
that are nearer still nothing comes early.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from costmodel.hardware import Hardware
from costmodel.place.placement import START, Flow
from costmodel.profile import MAPS, Profile
from costmodel.tile.nest import in_bytes

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan


class Early(NamedTuple):
    """Of one layer, the bytes that are fetched while the layer before it runs, by the memory that they come from."""

    streams: dict[int, int]
    """What an engine reads from there, through a buffer in a nearer memory."""
    moves: dict[tuple[int, int], int]
    """Whole tensors, also by the memory that they go to."""

    def seconds(self, hardware: Hardware) -> float:
        """How long that takes."""
        memories = hardware.memories
        streamed = math.fsum([memories[source].seconds(size, 0) for source, size in self.streams.items()])
        return streamed + math.fsum(
            [
                memories[source].seconds(size, 0) + memories[target].seconds(0, size)
                for (source, target), size in self.moves.items()
            ]
        )


class Span(NamedTuple):
    """A layer in time: when its prefetch begins, when the layer begins, when its own transfers do, and its end."""

    early: float
    start: float
    transfer: float
    end: float


NOTHING_EARLY: Final = Early({}, {})


class Ready(NamedTuple):
    """Of what a layer takes from a farther memory, the bytes that are there already while the one before it runs."""

    streams: dict[int, int]
    """What engines read, by memory."""
    moves: list[tuple[int, int, int]]
    """Whole tensors: from where, to where, bytes."""
    placed: int = 0
    """Of the streams, the bytes that need no buffer: there is a place for them while the layer runs."""
    joined: bool = False
    """Whether that place is there for the layer before as well: both are of one run."""


def prefetched(hardware: Hardware, memory: int, ready: Sequence[Ready], live: Sequence[int]) -> list[Early]:
    """What of each layer is fetched early into a memory; ``live`` are the bytes there while each layer runs.

    A whole tensor that is moved there needs its bytes free while the layer before runs, and so does what has a place
    only then. What else an engine reads from farther away needs a buffer while either runs. All but whole tensors may
    come in part.
    """
    size = hardware.memories[memory].size
    found, buffered = [NOTHING_EARLY] * min(len(live), 1), 0
    for layer, (streams, moves, placed, joined) in enumerate(ready[1:], start=1):
        free = max(size - live[layer - 1] - buffered, 0)
        early, buffered = Early({}, {}), 0
        for source, target, moved in moves:
            needed = moved if target == memory else 0
            if needed <= free:
                early.moves[source, target] = early.moves.get((source, target), 0) + moved
                free -= needed
        settled = placed if joined else int(min(placed, free))
        free -= 0 if joined else settled
        free = min(free, max(size - live[layer], 0))
        for source, wanted in streams.items():
            directly = min(wanted, settled)
            waiting = int(min(wanted - directly, free - buffered))
            settled -= directly
            buffered += waiting
            if directly + waiting:
                early.streams[source] = directly + waiting
        found.append(early)
    return found


def ready(profile: Profile, flow: Flow) -> list[Ready]:
    """By layer, for whole tensors in memories."""
    born, kinds, sizes = (profile.tensors[name] for name in ("born", "kind", "bytes"))
    found = [Ready({}, []) for _ in range(len(profile.layers))]

    def is_there(tensor: int, layer: int) -> bool:
        made = kinds[tensor] in MAPS and kinds[tensor] != "input"
        return not made or born[tensor] < layer - 1

    touched = (profile.accesses[name] for name in ("layer", "tensor", "mode", "bytes"))
    for layer, tensor, mode, size, memory in zip(*touched, flow.served, strict=True):
        if mode == "read" and memory > 0 and is_there(tensor, layer):
            streams = found[layer].streams
            streams[memory] = streams.get(memory, 0) + size
    for layer, tensor, source, target in flow.moves:
        if target < source and is_there(tensor, layer):
            found[layer].moves.append((source, target, sizes[tensor]))
    return found


def ready_in_runs(plan: "Plan", flow: Flow, memory: int) -> list[Ready]:
    """By layer, for the parts that runs read into a memory; a map is there when the run that writes it is over."""
    found = [Ready({}, []) for _ in range(len(plan.profile.layers))]
    brought = {(move.layer, move.tensor) for move in flow.moves if move.target == memory}
    outside: dict[int | None, int] = {}
    for run in plan.runs:
        first, last = run.layers[0].row, run.layers[-1].row
        places = {layer.row: run.places(layer, plan.maps) for layer in run.layers}
        for layer, tensor, bits, written in run.moves:
            if written:
                outside.setdefault(tensor, last)
            elif outside.get(tensor, START) < layer - 1:
                size, here = in_bytes(bits), found[layer]
                if (layer, tensor) in brought:
                    here.moves.append((memory + 1, memory, size))
                    continue
                here.streams[memory + 1] = here.streams.get(memory + 1, 0) + size
                placed = here.placed + min(size, places[layer].get(tensor, 0) // 8)
                found[layer] = here._replace(placed=placed, joined=layer > first)
    return found


def spans(
    transfer: Sequence[float], compute: Sequence[float], overhead: Sequence[float], early: Sequence[float], overlap: str
) -> list[Span]:
    """When each layer begins and ends; of each ``transfer``, ``early`` seconds may pass while the layer before it runs.

    Both lines are never idle together but for the overhead, so the end is at least the longer line and at most the sum
    of both.
    """
    found: list[Span] = []
    free = start = before = 0.0  # when the line of transfers is free; when this layer begins, and the one before it
    for moving, computing, begins, sooner in zip(transfer, compute, overhead, early, strict=True):
        first = max(free, before)
        ready = start + begins
        own = ready if overlap != "prefetch" else max(first + sooner, ready)
        free = own + moving - (sooner if overlap == "prefetch" else 0.0)
        end = free + computing if overlap == "none" else max(free, ready + computing)
        found.append(Span(first, start, own, end))
        before, start = start, end
    return found
