"""Profile x Hardware x policies -> one row each: what a policy costs, whether the machine can run it, and the floor.

The floor is the compulsory traffic: every byte of the inputs, weights and outputs crosses the border of the farthest
memory once, and no other does. Where image follows image, the nearer memories may keep as many bytes of the weights as
they hold.
"""

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from costmodel.hardware import Hardware
from costmodel.place import place
from costmodel.place.check import check
from costmodel.place.offsets import Layout, layout
from costmodel.place.placement import Options
from costmodel.place.verdict import Verdict
from costmodel.profile import Profile
from costmodel.simulate import Simulation, simulate
from costmodel.table import Column, Table
from costmodel.tile.layers import layers, maps
from costmodel.tile.plan import COLUMNS as PLAN_COLUMNS
from costmodel.tile.plan import compulsory_bytes, weights_needed

COLUMNS: Final = (
    Column("network", str, "", "the network, with the parameters that differ from its defaults"),
    Column("policy", str, "", "the placement policy"),
    Column("total_seconds", float, "s", "time of one batch"),
    Column("transfer_seconds", float, "s", "of that, or beside it, what all memories take"),
    Column("external_bytes", int, "B", "bytes read from or written to the farthest memory"),
    Column("floor_bytes", int, "B", "compulsory traffic: weights, outputs and what is needed of the inputs, once"),
    Column("floor_ratio", float, "", "external_bytes / floor_bytes"),
    Column("peak_bytes", int, "B", "the most bytes that the nearest memory has to hold at once"),
    Column("arena_bytes", int, "B", "the same with an address for each tensor"),
    Column("accepted", bool, "", "whether the checker accepts it"),
    Column("layer", str, "", "the first layer that the machine could not run so"),
    Column("needed_bytes", int, "B", "what a memory would have to hold there"),
    Column("bound_seconds", float, "s", "no placement under these rules transfers in less; 0 if nothing is proven"),
    Column("gap", float, "", "1 - bound_seconds / transfer_seconds; 0 if it is proven to be the least"),
)

TRAFFIC_COLUMNS: Final = (
    Column("network", str, "", "the network"),
    Column("policy", str, "", "the placement policy"),
    Column("layer", str, "", "the layer"),
    Column("memory", str, "", "the memory"),
    Column("read_bytes", int, "B", "bytes that it delivers for the layer", "sum"),
    Column("written_bytes", int, "B", "bytes that it takes for the layer", "sum"),
    Column("seconds", float, "s", "how long that takes", "sum"),
)

TILE_COLUMNS: Final = (Column("network", str, "", "the network"), *PLAN_COLUMNS)

ADDRESS_COLUMNS: Final = (
    Column("memory", str, "", "the memory"),
    Column("tensor", str, "", "the tensor, or the lines, tiles or weights of layers that run in parts"),
    Column("offset", int, "B", "its first byte, from the start of the memory"),
    Column("bytes", int, "B", "its size"),
    Column("first", str, "", "the first layer that finds it there"),
    Column("last", str, "", "the last layer that needs it there"),
)


class Run(NamedTuple):
    """A policy's placement, what it takes, and what the checker says of it."""

    simulation: Simulation
    verdict: Verdict
    layout: Layout
    """The addresses in the nearest memory."""


def run(profile: Profile, hardware: Hardware, policy: str, options: Options, overlap: str | None = None) -> Run:
    """Place, simulate, give addresses, and check it all by a walk of its own."""
    simulation = simulate(profile, place(profile, hardware, policy, options), hardware, overlap)
    finite = [number for number, memory in enumerate(hardware.memories) if memory.size < inf]
    layouts = {number: addresses(simulation, number) for number in {0, *finite}}
    verdict = check(profile, hardware, simulation.placement, simulation.traffic, layouts)
    return Run(simulation, verdict, layouts[0])


def addresses(simulation: Simulation, memory: int) -> Layout:
    """The addresses in a memory, by number."""
    return layout(simulation.profile, simulation.placement, memory, simulation.hardware.memories[memory].size)


def floor(profile: Profile, hardware: Hardware, options: Options) -> int:
    """The bytes that every placement moves: weights, outputs, and of the inputs what any result needs."""
    known = maps(profile)
    least = compulsory_bytes(profile, layers(profile, known), known)
    if options.steady_state:
        sizes, needed = profile.tensors["bytes"], weights_needed(profile)
        room = sum(memory.size for memory in hardware.memories[:-1])
        for tensor in sorted(needed, key=lambda tensor: -needed[tensor] / sizes[tensor]):
            kept = int(min(room, sizes[tensor]))
            room -= kept
            least -= -(-kept * needed[tensor] // sizes[tensor])
    return least


def compare(runs: Sequence[Run], options: Options) -> Table:
    """One row per run, in the given order."""
    rows = []
    for simulation, verdict, planned in runs:
        least = floor(simulation.profile, simulation.hardware, options)
        moved = sum(sum(amounts[-1]) for amounts in simulation.traffic)
        transfer = float(simulation.layers.total("transfer_seconds"))
        placement = simulation.placement
        first = next(iter(verdict.problems), None)
        bound = transfer if placement.proven else min(placement.bound or 0.0, transfer)
        rows.append(
            (
                simulation.profile.network,
                placement.policy,
                simulation.seconds,
                transfer,
                moved,
                least,
                moved / least if least else 1.0,
                verdict.peaks[0],
                planned.size,
                verdict.accepted,
                first.layer if first else "",
                first.needed if first else 0,
                bound,
                1 - bound / transfer if bound else 0.0,
            )
        )
    return Table.of(COLUMNS, rows)


def traffic(runs: Sequence[Run]) -> Table:
    """What crosses the border of each memory for each layer."""
    rows = []
    for simulation, _, _ in runs:
        names, policy = simulation.profile.layers["layer"], simulation.placement.policy
        for layer, name in enumerate(names):
            for memory, read, written in zip(simulation.hardware.memories, *simulation.traffic, strict=True):
                moved = read[layer], written[layer]
                rows.append((simulation.profile.network, policy, name, memory.name, *moved, memory.seconds(*moved)))
    return Table.of(TRAFFIC_COLUMNS, rows)


def tiles(runs: Sequence[Run]) -> Table:
    """How each layer runs, for the runs whose policy cuts layers."""
    rows = [
        (simulation.profile.network, *row)
        for simulation, _, _ in runs
        if simulation.placement.plan
        for row in simulation.placement.plan.table.tuples()
    ]
    return Table.of(TILE_COLUMNS, rows)


def address_table(simulation: Simulation) -> Table:
    """All that is in every memory but the farthest, where it lies and for how long."""
    layers, tensors = simulation.profile.layers["layer"], simulation.profile.tensors
    rows = []
    for number, memory in enumerate(simulation.hardware.memories[:-1]):
        planned = addresses(simulation, number)
        for copy, offset in sorted(zip(planned.copies, planned.offsets, strict=True), key=lambda pair: pair[0].first):
            name, size = tensors["tensor"][copy.tensor], tensors["bytes"][copy.tensor]
            rows.append((memory.name, name, offset, size, layers[max(copy.first, 0)], layers[copy.last]))
        rows += [
            (memory.name, name, offset, size, layers[first], layers[last])
            for name, size, offset, first, last in planned.parts
        ]
    return Table.of(ADDRESS_COLUMNS, rows)
