"""Simulations -> one row each, side by side, with ratios to the first."""

from collections.abc import Sequence
from typing import Final

from costmodel.simulate import Simulation
from costmodel.table import Column, Table

COLUMNS: Final = (
    Column("network", str, "", "the network, with the parameters that differ from its defaults"),
    Column("machine", str, "", "the machine"),
    Column("parameters", int, "", "learned values"),
    Column("macs", int, "MAC", "multiply-accumulates of one batch"),
    Column("weight_bytes", int, "B", "parameters and buffers"),
    Column("peak_map_bytes", int, "B", "maps that must be kept at once, wherever they live, at the worst layer"),
    Column("transfer_bytes", int, "B", "bytes moved to or from a memory that takes time"),
    Column("total_seconds", float, "s", "time of one batch"),
    Column("images_per_second", float, "", "images per batch / time of one batch"),
    Column("bound", str, "", "the resource that is busy longest"),
    Column("overfull_layers", int, "", "layers that need more of a memory than it has"),
    Column("parameters_ratio", float, "", "parameters / those of the first row"),
    Column("macs_ratio", float, "", "macs / those of the first row"),
    Column("time_ratio", float, "", "time / that of the first row"),
)


def compare(simulations: Sequence[Simulation]) -> Table:
    """One row per simulation, in the given order."""
    rows = []
    first = simulations[0]
    for run in simulations:
        layers = run.layers
        rows.append(
            (
                run.profile.network,
                run.hardware.name,
                layers.total("parameters"),
                layers.total("macs"),
                layers.total("weight_bytes"),
                run.profile.peak_map_bytes,
                layers.total("transfer_bytes"),
                run.seconds,
                run.images_per_second,
                run.bound,
                len(run.overfull),
                _ratio(layers.total("parameters"), first.layers.total("parameters")),
                _ratio(layers.total("macs"), first.layers.total("macs")),
                _ratio(run.seconds, first.seconds),
            )
        )
    return Table.of(COLUMNS, rows)


def _ratio(value: float, of: float) -> float:
    """A ratio to nothing is 1 for nothing, and infinite for anything else."""
    return value / of if of else 1.0 if not value else float("inf")
