"""Simulation -> a few sentences in plain words, and the warnings that must not be missed."""

from typing import TYPE_CHECKING

from costmodel.hardware import NOTHING
from costmodel.place.placement import START
from costmodel.simulate import Simulation
from costmodel.units import exact, human

if TYPE_CHECKING:
    from costmodel.tile.plan import Plan

TOP = 5


def summary(simulation: Simulation) -> list[tuple[str, str]]:
    """Pairs of a heading and a sentence."""
    layers, seconds = simulation.layers, simulation.seconds
    images = f"{simulation.profile.batch} image" + ("s" if simulation.profile.batch > 1 else "")
    first = f"{human(seconds, 's')} for {images}, {human(simulation.images_per_second)} images/s"
    work = (
        f"{human(layers.total('macs'))} MACs, {human(layers.total('elementwise'))} elementwise operations, "
        f"{human(layers.total('parameters'))} parameters, {human(layers.total('weight_bytes'), 'B')} of weights"
    )
    total = layers.total("counted")
    counted = f"{total} {simulation.profile.number}, by the rules of {simulation.profile.convention}"
    expensive = most_expensive(simulation)
    return [
        ("latency", first),
        ("work", work),
        *([("counted", counted)] if simulation.profile.convention != "standard" else []),
        ("bound by", bound(simulation)),
        *([("in parts", in_parts(simulation.placement.plan))] if simulation.placement.plan else []),
        *(("" if number else "most time", sentence) for number, sentence in enumerate(expensive)),
        *(("assumed", sentence) for sentence in unread_inputs(simulation)),
    ]


def bound(simulation: Simulation) -> str:
    """What takes the time: each resource that is busy at all, the busiest first."""
    busy = sorted(
        (row for row in simulation.resources.rows() if row["seconds"]), key=lambda row: row["seconds"], reverse=True
    )
    if not busy:
        return NOTHING
    first, *others = (
        f"{row['resource']} {'memory' if row['kind'] == 'memory' else 'compute'} {human(row['seconds'], 's')}"
        for row in busy
    )
    layers = simulation.layers["bound"].count(busy[0]["resource"])
    rest = f"; then {', '.join(others)}" if others else ""
    return f"{first} ({layers} of {len(simulation.layers)} layers){rest}"


def in_parts(plan: "Plan") -> str:
    """How many layers run how, and what crosses for them."""
    ways = [(kind, [run for run in plan.runs if run.kind == kind]) for kind in ("band", "tiles", "whole")]
    counts = []
    for kind, runs in ways:
        count = sum(len(run.layers) for run in runs)
        bands = f"in {len(runs)} fused band{'s' * (len(runs) != 1)} of rows"
        words = {"band": bands, "tiles": "in tiles", "whole": "on whole maps"}
        counts += [f"{count} layer{'s' * (count != 1)} {words[kind]}"] if runs else []
    alone = human(sum(plan.table["alone_bytes"]), "B")
    crossing = f"{human(plan.external_bytes, 'B')} cross; {alone} if each layer ran alone"
    return f"{', '.join(counts)}; {crossing}; {human(plan.compulsory_bytes, 'B')} with every byte once"


def unread_inputs(simulation: Simulation) -> list[str]:
    """Inputs that the placement has inside from the start, and what bringing them in would cost."""
    tensors, farthest = simulation.profile.tensors, simulation.hardware.memories[-1]
    found = []
    nearer = [c for c in simulation.placement.copies if simulation.hardware.memories[c.memory] is not farthest]
    for tensor, memory, first, *_ in nearer:
        if tensors["kind"][tensor] == "input" and first == START:
            wait = human(farthest.seconds(tensors["bytes"][tensor], 0), "s")
            home = simulation.hardware.memories[memory].name
            where = f"{tensors['tensor'][tensor]!r} is in {home!r} from the start"
            found.append(f"{where}; to read it from {farthest.name!r} takes {wait}")
    return found


def most_expensive(simulation: Simulation, count: int = TOP) -> list[str]:
    """The layers that take the most time, with their shares."""
    rows = sorted(simulation.layers.rows(), key=lambda row: row["total_seconds"], reverse=True)[:count]
    return [f"{human(row['total_seconds'], 's'):>8} {row['share']:>6.1%}  {row['layer']}" for row in rows]


def warnings(simulation: Simulation, *, marked: bool = False) -> list[str]:
    """What holds on paper only; ``marked`` says that a table shows such layers with a mark."""
    found = [*simulation.profile.notes]
    count = len(simulation.overfull)
    if count:
        named = {name for names in simulation.layers["overfull"] for name in names.split("+")}
        kept = [memory for memory in simulation.hardware.memories if memory.name in named]
        sizes = ", ".join(f"the {exact(memory.size, 'B')} of {memory.name!r}" for memory in kept)
        found.append(
            f"{count} of {len(simulation.layers)} layers{' (marked !)' if marked else ''} need more than "
            f"{sizes} at once; "
            f"placement {simulation.placement.policy!r} judges each map alone, so their times are too good"
        )
    if simulation.profile.uncounted:
        names = ", ".join(simulation.profile.uncounted)
        found.append(f"{simulation.profile.convention} has no rule for {names}, which its number leaves out")
    return found
