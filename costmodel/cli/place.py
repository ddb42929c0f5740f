"""``costmodel place``: placement policies side by side, each checked by a walk through the run."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    CsvOption,
    DtypeOption,
    MachineOption,
    NetworksArgument,
    OverlapOption,
    QuietOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    SteadyOption,
    UnknownOption,
    complete_policy,
)
from costmodel.cli.requests import distinct, graph_of, names_of
from costmodel.errors import CostModelError, suggestion

if TYPE_CHECKING:
    from costmodel.placements import Run


def place(
    networks: NetworksArgument,
    hw: MachineOption,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    policies: Annotated[
        str | None,
        typer.Option(
            "--place", help="The policies; without it all.", metavar="A,B,...", autocompletion=complete_policy
        ),
    ] = None,
    steady_state: SteadyOption = False,
    limit: Annotated[
        float, typer.Option("--time-limit", min=0.001, max=86400, help="Seconds that 'optimal' may search.")
    ] = 60.0,
    csv: CsvOption = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows as JSON; - is standard output.")] = None,
    traffic: Annotated[
        Path | None, typer.Option(help="Write what each memory reads and writes for each layer as CSV.")
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="Write how 'tiled' runs each layer, beside two floors, as CSV.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Placement policies side by side: time, traffic, what must fit, and whether it does.

    The checker walks each run layer by layer and refuses what a memory cannot hold, also with an address for each
    tensor, or a layer would not find. The floor is every byte from or to outside once. 'optimal' needs the extra
    'solve'. Of one network under 'tiled' alone, the tiles or bands of each layer follow.
    """
    from costmodel import placements
    from costmodel.place.placement import Options
    from costmodel.profile import profile
    from costmodel.report import files, formats
    from costmodel.report import place as pages

    if math.isnan(limit):
        raise CostModelError("--time-limit nan: expected seconds from 0.001 to 86400")
    distinct({"--csv": csv, "--json": json, "--traffic": traffic, "--tiles": tiles}, [hw, *networks])
    chosen = _policies(policies)
    machine, options = costmodel.machine(hw, settings or ()), Options(steady_state, limit)
    runs: list[Run] = []
    for name in names_of(networks):
        try:
            graph = graph_of(name, batch, dtype, param=None, size=size, shape=shape, unknown=unknown)
            needs = profile(graph, patterns=machine.fuse)
            runs += [placements.run(needs, machine, policy, options, overlap) for policy in chosen]
        except CostModelError as error:
            raise CostModelError(f"{name}: {error}") from None
    table, remarks = placements.compare(runs, options), pages.remarks(runs)
    if csv:
        files.write(csv, formats.to_csv(table))
    if json:
        files.write(json, formats.table_to_json(table, machine, list(map(str, remarks))))
    if traffic:
        files.write(traffic, formats.to_csv(placements.traffic(runs)))
    if tiles:
        files.write(tiles, formats.to_csv(placements.tiles(runs)))
    if not quiet and "-" not in {str(csv), str(json), str(traffic), str(tiles)}:
        pages.show_placements(table, machine, remarks, steady_state=steady_state)
        if len(runs) == 1 and chosen == ["tiled"]:
            pages.show_tiles(placements.tiles(runs))


def _policies(asked: str | None) -> list[str]:
    """The policies that were asked for, or all for which the libraries are there."""
    from costmodel.place import POLICIES

    if asked is None:
        if find_spec("highspy"):
            return list(POLICIES)
        typer.echo("warning: 'optimal' is left out: it needs a solver, pip install 'costmodel[solve]'", err=True)
        return [name for name in POLICIES if name != "optimal"]
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name in names or [asked]:
        if name not in POLICIES:
            raise CostModelError(f"--place: no placement policy {name!r}; {suggestion(name, POLICIES)}")
    return list(dict.fromkeys(names))
