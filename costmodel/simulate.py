"""Profile x Placement x Hardware -> Simulation: per layer the transfer, the compute, the total, and what bounds it.

Every resource of the machine takes amount / rate: a memory its bytes over its bandwidth, an engine its operations over
its peak. Each operator of a fused layer runs on its own engine. Within a layer, transfers follow one another, and so do
engines and, with ``overlap: none``, transfer and compute; with ``overlap: layer`` the longer of the two counts; with
``overlap: prefetch`` part of the next layer's transfers goes on besides (:mod:`costmodel.schedule`). Every layer that
touches a memory takes the machine's ``overhead`` besides.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from costmodel.errors import CostModelError, suggestion
from costmodel.hardware import NOTHING, OVERLAPS, Hardware, Memory
from costmodel.place import runs
from costmodel.place.placement import Flow, Placement, Traffic, flow, live_bytes, traffic
from costmodel.profile import MAPS, Profile
from costmodel.schedule import NOTHING_EARLY, Early, Span, prefetched, ready, ready_in_runs, spans
from costmodel.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    Column("input_memory", str, "", "where the operand maps live"),
    Column("output_memory", str, "", "where the results live"),
    Column("weight_memory", str, "", "where the weights live"),
    Column("live_bytes", int, "B", "bytes live in the nearest memory while the layer runs", "max"),
    Column("overfull", str, "", "the memory that would have to hold more than its size; empty if none"),
    Column("operations", int, "OP", "2 * macs + elementwise", "sum"),
    Column("engine", str, "", "the engines that compute the layer's parts"),
    Column("transfer_bytes", int, "B", "bytes moved to or from a memory that takes time", "sum"),
    Column("transfer_seconds", float, "s", "sum over memories of bytes / bandwidth", "sum"),
    Column("compute_seconds", float, "s", "sum over engines of operations / peak", "sum"),
    Column("overhead_seconds", float, "s", "what the machine takes for any layer besides; a view is no layer", "sum"),
    Column("total_seconds", float, "s", "transfer + compute, or with overlap the larger; + overhead", "sum"),
    Column("bound", str, "", "the resource that takes longest: a memory, an engine, or nothing"),
    Column("share", float, "", "part of the network's total time", "sum"),
)

RESOURCE_COLUMNS: Final = (
    Column("resource", str, "", "memory or engine"),
    Column("kind", str, "", "memory or engine"),
    Column("amount", int, "", "bytes moved or operations done", "sum"),
    Column("rate", float, "", "bytes or operations per second; of a memory with two rates that of the mix"),
    Column("seconds", float, "s", "amount / rate", "sum"),
)


@dataclass(frozen=True, repr=False)
class Simulation:
    """A network on a machine: the profile's layers with their placement and times, and what each resource did."""

    profile: Profile
    hardware: Hardware
    placement: Placement
    overlap: str
    flow: Flow
    traffic: Traffic
    early: tuple[Early, ...]
    worked: list[list[int]]
    """Operations by engine and layer."""
    layers: Table
    resources: Table

    @property
    def seconds(self) -> float:
        """Latency of one batch."""
        return float(self.layers.total("total_seconds"))

    @property
    def images_per_second(self) -> float:
        """Batches per second times images per batch."""
        return self.profile.batch / self.seconds if self.seconds else math.inf

    @property
    def bound(self) -> str:
        """The resource that is busy longest, over all layers; ``nothing`` if none is."""
        return _longest(self.resources["resource"], self.resources["seconds"])

    @cached_property
    def spans(self) -> list[Span]:
        """When each layer begins and ends."""
        transfer, compute, overhead = (self.layers[f"{what}_seconds"] for what in ("transfer", "compute", "overhead"))
        early = [some.seconds(self.hardware) for some in self.early]
        return spans(transfer, compute, overhead, early, self.overlap)

    @cached_property
    def overfull(self) -> tuple[str, ...]:
        """Layers whose live maps exceed a memory that the placement puts them in."""
        pairs = zip(self.layers["layer"], self.layers["overfull"], strict=True)
        return tuple(layer for layer, memory in pairs if memory)

    def __repr__(self) -> str:
        return f"Simulation({self.profile.network} on {self.hardware.title}: {self.seconds} s)"

    @property
    def frame(self) -> "pd.DataFrame":
        """The layers as a pandas DataFrame."""
        return self.layers.frame


def simulate(profile: Profile, placement: Placement, hardware: Hardware, overlap: str | None = None) -> Simulation:
    """Time every layer; ``overlap`` replaces the machine's own."""
    overlap = overlap or hardware.overlap
    if overlap not in OVERLAPS:
        raise CostModelError(f"overlap {overlap!r} is not accepted; {suggestion(overlap, OVERLAPS)}")
    layers, memories = profile.layers, hardware.memories
    names = [memory.name for memory in memories]
    count = len(layers)

    plan = placement.plan
    flowing = runs.flow(profile, plan, len(memories)) if plan else flow(profile, placement)
    moves = runs.traffic(profile, plan, len(memories)) if plan else traffic(profile, flowing, len(memories))
    homes: dict[str, list[dict[str, None]]] = {mode: [{} for _ in range(count)] for mode in ("read", "write", "weight")}
    kinds = profile.tensors["kind"]
    touched = (profile.accesses[name] for name in ("layer", "tensor", "mode"))
    for layer, tensor, mode, memory in zip(*touched, flowing.served, strict=True):
        homes[mode if kinds[tensor] in MAPS else "weight"][layer][names[memory]] = None

    engines = hardware.engines
    kinds_and_forms = dict.fromkeys(zip(profile.parts["operator"], profile.parts["form"], strict=True))
    engine_of = {pair: engines.index(hardware.engine_for(*pair)) for pair in kinds_and_forms}
    worked = [[0] * count for _ in engines]
    runs_on: list[dict[str, None]] = [{} for _ in range(count)]
    for layer, kind, form, macs, other, _ in profile.parts.tuples():
        engine = engine_of[kind, form]
        worked[engine][layer] += 2 * macs + other
        runs_on[layer][engines[engine].name] = None
    operations = [sum(amounts) for amounts in zip(*worked, strict=True)]
    works = [[amount / engine.peak for amount in worked[n]] for n, engine in enumerate(engines)]
    compute = [math.fsum(times) for times in zip(*works, strict=True)]
    waits = [list(map(memory.seconds, *amounts)) for memory, *amounts in zip(memories, *moves, strict=True)]
    moved = [[sum(both) for both in zip(*amounts, strict=True)] for amounts in zip(*moves, strict=True)]
    transfer = [math.fsum(times) for times in zip(*waits, strict=True)]
    starts = [
        hardware.overhead if read or written else 0.0
        for read, written in zip(homes["read"], homes["write"], strict=True)
    ]
    live = [live_bytes(profile, [copy for copy in placement.copies if copy.memory == n]) for n in range(len(memories))]
    filled = 0
    if plan:
        filled = len(memories) - 2
        live[: filled + 1] = [*[[*level.taken] for level in reversed(plan.levels)], plan.taken()]
    early = [NOTHING_EARLY] * count
    if overlap == "prefetch":
        there = ready_in_runs(plan, flowing, filled) if plan else ready(profile, flowing)
        early = prefetched(hardware, filled, there, live[filled])
        sooner = [some.seconds(hardware) for some in early]
        when = spans(transfer, compute, starts, sooner, overlap)
        parts = zip(when, transfer, sooner, compute, starts, strict=True)
        total = [
            max(s.transfer - s.start + (moving - early), working + begins)
            for s, moving, early, working, begins in parts
        ]
    else:
        combine = max if overlap == "layer" else operator.add
        busy = [combine(*times) for times in zip(transfer, compute, strict=True)]
        total = [seconds + start for seconds, start in zip(busy, starts, strict=True)]
    latency = math.fsum(total)
    full = [[memory.name if held > memory.size else "" for held in live[n]] for n, memory in enumerate(memories)]
    timed = [moved[n] if min(memory.rates) < math.inf else [0] * count for n, memory in enumerate(memories)]
    resource_names = [*names, *(engine.name for engine in engines)]
    columns: dict[str, Sequence[object]] = {
        "input_memory": ["+".join(home) for home in homes["read"]],
        "output_memory": ["+".join(home) for home in homes["write"]],
        "weight_memory": ["+".join(home) for home in homes["weight"]],
        "live_bytes": live[0],
        "overfull": ["+".join(filter(None, overfull)) for overfull in zip(*full, strict=True)],
        "operations": operations,
        "engine": ["+".join(home) for home in runs_on],
        "transfer_bytes": [sum(sizes) for sizes in zip(*timed, strict=True)],
        "transfer_seconds": transfer,
        "compute_seconds": compute,
        "overhead_seconds": starts,
        "total_seconds": total,
        "bound": [_longest(resource_names, spent) for spent in zip(*waits, *works, strict=True)],
        "share": [seconds / latency if latency else 0.0 for seconds in total],
    }
    resources = [
        *(_used(memory, sum(read), sum(written)) for memory, read, written in zip(memories, *moves, strict=True)),
        *((e.name, "engine", sum(worked[n]), e.peak, sum(worked[n]) / e.peak) for n, e in enumerate(engines)),
    ]
    return Simulation(
        profile, hardware, placement, overlap, flowing, moves, tuple(early), worked,
        layers.extend(COLUMNS, columns), Table.of(RESOURCE_COLUMNS, resources),
    )  # fmt: skip


def _used(memory: Memory, read: int, written: int) -> tuple[str, str, int, float, float]:
    """A memory as a row of :data:`RESOURCE_COLUMNS`."""
    reads, writes = memory.rates
    seconds = memory.seconds(read, written)
    rate = reads if reads == writes or not seconds else (read + written) / seconds
    return memory.name, "memory", read + written, rate, seconds


def _longest(names: Sequence[str], seconds: Sequence[float]) -> str:
    longest = max(seconds)
    return names[seconds.index(longest)] if longest else NOTHING
