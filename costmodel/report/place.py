"""Runs under several placement policies -> a page: the table, and in words what a machine could not do or is proven."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from costmodel.hardware import Hardware
from costmodel.placements import Run
from costmodel.report.cells import cells
from costmodel.report.show import left_out, paragraph
from costmodel.report.summary import unread_inputs
from costmodel.report.text import plain, room, show
from costmodel.report.text import table as layout
from costmodel.table import Table
from costmodel.units import human

VIEW: Final = {
    "network": 5, "policy": 0, "total_seconds": 0, "transfer_seconds": 4, "external_bytes": 2, "floor_bytes": 6,
    "floor_ratio": 2, "peak_bytes": 3, "arena_bytes": 7, "accepted": 1, "layer": 5, "needed_bytes": 6,
    "bound_seconds": 8, "gap": 8,
}  # fmt: skip
"""The columns, and which to leave out first on a narrow terminal (0: never)."""

TILES: Final = {
    "layer": 0, "run": 0, "kind": 0, "tile_images": 9, "tile_rows": 1, "tile_columns": 1, "tile_channels": 2,
    "tile_filters": 2, "order": 8, "read_bytes": 1, "written_bytes": 1, "alone_bytes": 5, "compulsory_bytes": 4,
    "pebbling_bytes": 6, "refetch": 3, "memory_bytes": 3,
}  # fmt: skip
"""The columns of how layers run."""


class Remark(NamedTuple):
    """What there is to say of a run."""

    network: str
    policy: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.network}, {self.policy}: {self.sentence}"


def remarks(runs: Sequence[Run]) -> list[Remark]:
    """For each run what is assumed, refused or proven."""
    return [
        Remark(run.simulation.profile.network, run.simulation.placement.policy, sentence)
        for run in runs
        for sentence in (*_assumed(run), *_refused(run), *_proof(run))
    ]


def _assumed(run: Run) -> list[str]:
    """What is nearer than outside before the run."""
    return [f"assumed: {sentence}" for sentence in unread_inputs(run.simulation)]


def _refused(run: Run) -> list[str]:
    """What a machine could not do."""
    first, *more = run.verdict.problems or [None]
    return [f"refused: {first}" + (f", and {len(more)} more" if more else "")] if first else []


def _proof(run: Run) -> list[str]:
    """What a policy proved."""
    placement, layers = run.simulation.placement, run.simulation.layers
    if placement.bound is None:
        return []
    if placement.proven:
        return ["proven: no placement under its rules transfers in less"]
    took = layers.total("transfer_seconds")
    found = f"the best found transfers in {human(took, 's')}, and none in less than {human(placement.bound, 's')}"
    return [f"not proven: {found}, a gap of {1 - placement.bound / took:.1%}"]


def show_placements(table: Table, machine: Hardware, found: Sequence[Remark], *, steady_state: bool) -> None:
    """Print the table, a row that is refused marked, and the remarks; what holds for several networks is said once."""
    refused = {row for row, accepted in enumerate(table["accepted"]) if not accepted}
    lines, hidden = layout(cells(table), drop=VIEW, marked=refused, available=room())
    said: dict[tuple[str, str], list[str]] = {}
    for network, policy, sentence in found:
        said.setdefault((policy, sentence), []).append(network)
    alone = len(set(table["network"])) == 1
    stream = ", image after image" if steady_state else ""
    sentences = []
    for (policy, sentence), networks in said.items():
        who = networks[0] if len(networks) == 1 else f"{len(networks)} networks"
        sentences.append(f"{policy}: {sentence}" if alone else f"{policy}, {who}: {sentence}")
    show(
        [
            plain(f"placements on {machine.title}{stream}", "bold"),
            *lines,
            *left_out(hidden),
            *[line for sentence in sentences for line in paragraph("", sentence, indent=0)],
        ]
    )


def show_tiles(table: Table) -> None:
    """Print how each layer runs."""
    lines, hidden = layout(cells(table.select(list(TILES))), drop=TILES, available=room())
    show([plain(""), *lines, *left_out(hidden)])
