"""``costmodel verify``: a network run for real, and what the run counts beside what the model says."""

from collections.abc import Callable
from typing import Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    CsvOption,
    DtypeOption,
    NetworksArgument,
    ParamOption,
    QuietOption,
    SettingOption,
    ShapeOption,
    UnknownOption,
    WidthOption,
    complete_machine,
)
from costmodel.cli.requests import distinct, names_of, parameters_of
from costmodel.errors import CostModelError


def verify(
    networks: NetworksArgument,
    hw: Annotated[
        str | None,
        typer.Option("--hw", help="A machine: fuses what it runs as one pass.", autocompletion=complete_machine),
    ] = None,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            help="Height and width of the input image; by default the smallest from 32 on, or as a file has it.",
        ),
    ] = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32, help="What inputs and weights follow from.")] = 0,
    csv: CsvOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run a network, and compare it with the model.

    Loops that count each operation as they do it run every layer, at a small size. Shapes, multiply-accumulates,
    elementwise operations by kind, weights, bytes read and written, bytes alive and their peak must be those of the
    profile, and results those of plain NumPy. The exit code is 1 with a table of differences when not.
    """
    from costmodel import importers, zoo
    from costmodel.execute.verify import compiles, together
    from costmodel.execute.verify import verify as run
    from costmodel.report import files, formats
    from costmodel.report import show as pages
    from costmodel.report.progress import progress

    distinct({"--csv": csv}, [hw or "", *networks])
    if hw is None and settings:
        raise CostModelError("--set needs a machine: --hw")
    patterns = costmodel.machine(hw, settings or ()).fuse if hw else ()
    graphs = []
    for name in names_of(networks):
        parameters = parameters_of(param, size=size, classes=classes, width=width, shape=shape, unknown=unknown)
        as_it_is = "size" in parameters or importers.is_file(name)
        small = None if as_it_is else zoo.get(name).small(**parameters)
        if small is not None:
            parameters["size"] = small
        graphs.append(costmodel.network(name, batch=batch, dtype=dtype, **parameters))
    if not compiles():
        typer.echo(
            "warning: the counting loops run in Python, which takes minutes; numba makes it seconds: "
            "pip install 'costmodel[exec]'",
            err=True,
        )
    with progress() as tick:

        def named(network: str) -> Callable[[int, int, str], None]:
            return lambda done, count, layer: tick(f"{network}: {layer}", done, count)

        runs = together([run(graph, patterns, seed=seed, progress=named(graph.name)) for graph in graphs])
    if csv:
        files.write(csv, formats.to_csv(runs.layers))
    if not quiet and str(csv) != "-":
        pages.verified(runs.summary, runs.differences, hw)
    if len(runs.differences):
        raise typer.Exit(1)
