"""Simulation -> a timeline: what each memory and each engine does when; and the same as a trace for a viewer."""

import json
from collections.abc import Iterator
from typing import Any, Final

from costmodel.schedule import Early
from costmodel.simulate import Simulation
from costmodel.table import Column, Table

COLUMNS: Final = (
    Column("layer", str, "", "for which layer"),
    Column("resource", str, "", "memory or engine; the machine where a layer starts"),
    Column("what", str, "", "start, prefetch, read, write or compute"),
    Column("start_seconds", float, "s", "from the start of the run"),
    Column("end_seconds", float, "s", "from the start of the run", "max"),
    Column("amount", int, "", "bytes moved or operations done", "sum"),
)

MICRO: Final = 1e6  # a trace counts in microseconds


def timeline(simulation: Simulation) -> Table:
    """A row for everything that takes time, in the order of the layers.

    The rows of a memory never overlap each other, nor do those of the engines; the last end is the latency.
    """
    layers = simulation.layers
    rows: list[tuple[Any, ...]] = []
    for number, span in enumerate(simulation.spans):
        name, overhead = layers["layer"][number], layers["overhead_seconds"][number]

        def lay(at: float, tasks: Iterator[tuple[str, str, float, int]], layer: str = name) -> float:
            for resource, what, seconds, amount in tasks:
                if seconds > 0:
                    rows.append((layer, resource, what, at, at + seconds, amount))
                at += seconds
            return at

        lay(span.early, _fetched(simulation, simulation.early[number]))
        began = lay(span.start, iter([(simulation.hardware.name, "start", overhead, 0)]))
        if simulation.overlap == "none":
            at = lay(began, _moved(simulation, number, "read"))
            at = lay(at, _computed(simulation, number))
            lay(at, _moved(simulation, number, "write"))
        else:
            at = lay(span.transfer, _moved(simulation, number, "read"))
            lay(at, _moved(simulation, number, "write"))
            lay(began, _computed(simulation, number))
    return Table.of(COLUMNS, rows)


def _fetched(simulation: Simulation, early: Early) -> Iterator[tuple[str, str, float, int]]:
    memories = simulation.hardware.memories
    for source, size in early.streams.items():
        yield memories[source].name, "prefetch", memories[source].seconds(size, 0), size
    for (source, target), size in early.moves.items():
        yield memories[source].name, "prefetch", memories[source].seconds(size, 0), size
        yield memories[target].name, "prefetch", memories[target].seconds(0, size), size


def _moved(simulation: Simulation, layer: int, what: str) -> Iterator[tuple[str, str, float, int]]:
    """The bytes that each memory delivers for a layer, or takes, without those that came early."""
    early = simulation.early[layer]
    for number, memory in enumerate(simulation.hardware.memories):
        if what == "read":
            sooner = early.streams.get(number, 0)
            sooner += sum([size for (source, _), size in early.moves.items() if source == number])
            size = simulation.traffic.read[number][layer] - sooner
            yield memory.name, what, memory.seconds(size, 0), size
        else:
            sooner = sum([size for (_, target), size in early.moves.items() if target == number])
            size = simulation.traffic.written[number][layer] - sooner
            yield memory.name, what, memory.seconds(0, size), size


def _computed(simulation: Simulation, layer: int) -> Iterator[tuple[str, str, float, int]]:
    for engine, operations in zip(simulation.hardware.engines, simulation.worked, strict=True):
        yield engine.name, "compute", operations[layer] / engine.peak, operations[layer]


def trace(simulation: Simulation) -> str:
    """The timeline as a file of Chrome's trace events, which Perfetto and chrome://tracing open.

    Source: "Trace Event Format", complete events (``ph: X``) in microseconds, one thread for each resource.
    """
    title = f"{simulation.profile.network} on {simulation.hardware.title}"
    names = [memory.name for memory in simulation.hardware.memories]
    names += [engine.name for engine in simulation.hardware.engines]
    threads = {name: number for number, name in enumerate([simulation.hardware.name, *names])}
    events: list[dict[str, Any]] = [{"name": "process_name", "ph": "M", "pid": 0, "args": {"name": title}}]
    for name, number in threads.items():
        events.append({"name": "thread_name", "ph": "M", "pid": 0, "tid": number, "args": {"name": name}})
        events.append({"name": "thread_sort_index", "ph": "M", "pid": 0, "tid": number, "args": {"sort_index": number}})
    for layer, resource, what, start, end, amount in timeline(simulation).tuples():
        unit = "operations" if what == "compute" else "bytes"
        events.append({
            "name": layer, "cat": what, "ph": "X", "pid": 0, "tid": threads[resource],
            "ts": start * MICRO, "dur": (end - start) * MICRO,
            "args": {"what": what} if what == "start" else {"what": what, unit: amount},
        })  # fmt: skip
    lines = ",\n".join([json.dumps(event) for event in events])
    return f'{{"displayTimeUnit": "ns", "traceEvents": [\n{lines}\n]}}\n'
