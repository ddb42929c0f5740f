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
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from costmodel.hardware import Hardware
from costmodel.place.placement import Flow
from costmodel.profile import MAPS, Profile


class Early(NamedTuple):
    """Of one layer, the bytes that are fetched while the layer before it runs, by the memory that they come from."""

    streams: dict[int, int]
    """What an engine reads from there, through a buffer in the nearest memory."""
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


def prefetched(profile: Profile, hardware: Hardware, flow: Flow, live: Sequence[int]) -> list[Early]:
    """What of each layer is fetched early; ``live`` are the bytes in the nearest memory while each layer runs.

    A whole tensor that is moved there needs its bytes free while the layer before runs. What an engine reads from
    farther away needs a buffer while either runs; it may come in part.
    """
    size = hardware.memories[0].size
    found, buffered = [NOTHING_EARLY] * min(len(live), 1), 0
    for layer, (streams, moves) in enumerate(_ready(profile, flow)[1:], start=1):
        free = max(size - live[layer - 1] - buffered, 0)
        early, buffered = Early({}, {}), 0
        for source, target, moved in moves:
            needed = moved if target == 0 else 0
            if needed <= free:
                early.moves[source, target] = early.moves.get((source, target), 0) + moved
                free -= needed
        free = min(free, max(size - live[layer], 0))
        for source, wanted in streams.items():
            fetched = int(min(wanted, free - buffered))
            if fetched:
                early.streams[source] = fetched
                buffered += fetched
        found.append(early)
    return found


def _ready(profile: Profile, flow: Flow) -> list[tuple[dict[int, int], list[tuple[int, int, int]]]]:
    """Of what each layer takes from a farther memory, the bytes that are there already while the one before it runs.

    Those that engines read, by memory; and whole tensors that are moved: from where, to where, bytes.
    """
    born, kinds, sizes = (profile.tensors[name] for name in ("born", "kind", "bytes"))
    ready: list[tuple[dict[int, int], list[tuple[int, int, int]]]] = [({}, []) for _ in range(len(profile.layers))]

    def is_there(tensor: int, layer: int) -> bool:
        made = kinds[tensor] in MAPS and kinds[tensor] != "input"
        return not made or born[tensor] < layer - 1

    touched = (profile.accesses[name] for name in ("layer", "tensor", "mode", "bytes"))
    for layer, tensor, mode, size, memory in zip(*touched, flow.served, strict=True):
        if mode == "read" and memory > 0 and is_there(tensor, layer):
            streams, _ = ready[layer]
            streams[memory] = streams.get(memory, 0) + size
    for layer, tensor, source, target in flow.moves:
        if target < source and is_there(tensor, layer):
            ready[layer][1].append((source, target, sizes[tensor]))
    return ready


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
