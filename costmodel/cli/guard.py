"""``costmodel snapshot`` and ``check``: per-layer figures kept, and compared later."""

from pathlib import Path
from typing import Annotated

import typer

from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    CsvOption,
    DtypeOption,
    MachineOption,
    NetworksArgument,
    OverlapOption,
    ParamOption,
    PlaceOption,
    QuietOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
)
from costmodel.cli.requests import distinct, names_of, parameters_of


def snapshot(
    networks: NetworksArgument,
    hw: MachineOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")],
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
) -> None:
    """Keep every layer's figures, to check later.

    The file holds what was run and what came out, one layer per line; 'costmodel check' runs it again.
    """
    from costmodel import guard
    from costmodel.report import files

    parameters = parameters_of(param, size=size, classes=classes, width=width, shape=shape, unknown=unknown)
    distinct({"--output": output}, [hw, *networks])
    folder = output.parent if str(output) != "-" else Path()
    machine, chosen = guard.seen_from(hw, folder), tuple(settings or ())
    requests = [
        guard.Request(_kept(name, folder), parameters, machine, chosen, batch, dtype, overlap, place)
        for name in names_of(networks)
    ]
    files.write(output, guard.to_text([guard.take(request, request.run(folder)) for request in requests]))


def _kept(network: str, folder: Path) -> str:
    """A network as a snapshot names it: in the zoo, or its file as seen from the snapshot."""
    from costmodel import guard, importers, zoo

    return guard.seen_from(network, folder) if importers.is_file(network) else zoo.get(network).name


def check(
    file: Annotated[Path, typer.Argument(help="A file that 'costmodel snapshot' wrote.")],
    rtol: Annotated[
        list[str] | None,
        typer.Option(
            help="Relative tolerance of a column, or of every time. May be repeated.", metavar="COLUMN=NUMBER"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--max",
            help="A budget: latency=0.2s, params=5M, macs, weights, traffic or peak_memory=1MB. May be repeated.",
            metavar="NAME=LIMIT",
        ),
    ] = None,
    csv: CsvOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare today's figures with a snapshot.

    Counts must be equal, and times within a relative tolerance of 1e-9 unless --rtol says otherwise. The exit code is 0
    when nothing changed and every budget holds, 1 with a table of what changed when not.
    """
    from costmodel import guard
    from costmodel.report import files, formats
    from costmodel.report import show as pages

    distinct({"--csv": csv}, [file])
    changes = guard.check(file, rtol or (), limit or ())
    if csv:
        files.write(csv, formats.to_csv(changes))
    if not quiet and str(csv) != "-":
        pages.changes(changes, str(file), budgets=bool(limit))
    if len(changes):
        raise typer.Exit(1)
