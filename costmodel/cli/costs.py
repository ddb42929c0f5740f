"""``costmodel compare``, ``explain`` and ``memory``: figures side by side, as formulas, and what is kept."""

from pathlib import Path
from typing import Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    CsvOption,
    DtypeOption,
    MachineOption,
    NetworkArgument,
    NetworksArgument,
    OverlapOption,
    ParamOption,
    PlaceOption,
    QuietOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    SteadyOption,
    UnknownOption,
    WidthOption,
    complete_machine,
)
from costmodel.cli.requests import distinct, graph_of, names_of, picture_format, warn
from costmodel.errors import CostModelError


def compare(
    networks: NetworksArgument,
    hw: Annotated[
        list[str],
        typer.Option("--hw", help="A machine; repeat it to compare machines.", autocompletion=complete_machine),
    ],
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
    csv: CsvOption = None,
    quiet: QuietOption = False,
) -> None:
    """Networks and machines side by side.

    One row per network and machine: parameters, MACs, memory, time, what bounds it, and the ratios to the first row.
    """
    from costmodel import importers
    from costmodel.compare import compare as side_by_side
    from costmodel.report import files, formats
    from costmodel.report import show as pages

    distinct({"--csv": csv}, [*hw, *networks])
    machines = [costmodel.machine(name, settings or ()) for name in hw]
    runs = []
    for name in names_of(networks):
        try:
            of_file = importers.is_file(name)
            graph = graph_of(
                name, batch, dtype, param=None,
                size=size, shape=shape if of_file else None, unknown=unknown if of_file else None,
            )  # fmt: skip
            runs += [costmodel.cost(graph, machine, overlap=overlap, placement=place) for machine in machines]
        except CostModelError as error:
            raise CostModelError(f"{name}: {error}".removeprefix(f"{name}: " * importers.is_file(name))) from None
    table = side_by_side(runs)
    if csv:
        files.write(csv, formats.to_csv(table))
    if not quiet and str(csv) != "-":
        pages.comparison(table)


def explain(
    network: NetworkArgument,
    hw: MachineOption,
    layer: Annotated[
        str,
        typer.Argument(
            help="A layer as 'costmodel profile' names it, or a node fused into one; without it, the total."
        ),
    ] = "total",
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
    """Each figure of a layer: formula, numbers, result."""
    from costmodel.report import explain as explaining
    from costmodel.report import show as pages

    graph = graph_of(
        network, batch, dtype, param=param,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    simulation = costmodel.cost(graph, costmodel.machine(hw, settings or ()), overlap=overlap, placement=place)
    if layer == "total":
        pages.explanation(simulation, None, explaining.explain_total(simulation))
        return
    row = explaining.find(simulation, graph, layer)
    pages.explanation(simulation, row, explaining.explain(simulation, graph, row))


def memory(
    network: NetworkArgument,
    hw: Annotated[
        str | None,
        typer.Option(
            "--hw", help="A machine: adds where each map lives and what is held there.", autocompletion=complete_machine
        ),
    ] = None,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    place: PlaceOption = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Prune: keep a share of a layer's weights, as in 'fire*.e3x3=33%'. May be repeated.",
            metavar="LAYER=SHARE",
        ),
    ] = None,
    csv: CsvOption = None,
    json: Annotated[Path | None, typer.Option(help="Write rows and sums as JSON; - is standard output.")] = None,
    steady_state: SteadyOption = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="With --hw: a map of each memory, time across and address up: .svg, .png or .pdf."),
    ] = None,
    addresses: Annotated[
        Path | None, typer.Option(help="With --hw: write where each tensor lies, and for how long, as CSV.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """What a network keeps: maps, filters, a training step, a file; and where it lies.

    One row per layer with its feature maps and filters; below it the memory of a training step by the formula
    (parameters + gradients + largest map + largest filter) * bytes, and the size on disk at several widths. --plot
    needs the extra 'plot'.
    """
    from costmodel import memory as keeping
    from costmodel.report import files, formats
    from costmodel.report import show as pages
    from costmodel.report.summary import warnings

    if hw is None and (settings or place or steady_state or plot or addresses):
        raise CostModelError("--set, --place, --steady-state, --plot and --addresses need a machine: --hw")
    distinct({"--csv": csv, "--json": json, "--plot": plot, "--addresses": addresses}, [hw or "", network])
    kind = picture_format("--plot", plot) if plot else ""
    graph = graph_of(
        network, batch, dtype, param=param, notes=hw is None,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    simulation = None
    if hw is not None:
        machine = costmodel.machine(hw, settings or ())
        simulation = costmodel.cost(graph, machine, placement=place, steady_state=steady_state)
    if simulation and plot:
        from costmodel.report import (
            memory_map,
            picture,  # says so if matplotlib is missing
        )

        files.write(plot, picture.render(memory_map.draw(simulation), kind))
    if simulation and addresses:
        from costmodel import placements

        files.write(addresses, formats.to_csv(placements.address_table(simulation)))
    patterns = simulation.hardware.fuse if simulation else ()
    needs = simulation.profile if simulation else None
    kept = keeping.memory(graph, patterns, keeping.shares(keep or ()), needs)
    table = pages.kept_table(kept, simulation)
    if csv:
        files.write(csv, formats.to_csv(table))
    if json:
        files.write(json, formats.memory_to_json(kept, table, simulation))
    if not quiet and "-" not in {str(csv), str(json), str(plot), str(addresses)}:
        pages.kept(kept, simulation, table)
        return
    for alert in warnings(simulation) if simulation else ():
        warn(alert)
