"""``costmodel roofline``: the layers of a network as points under the roofs of a machine."""

from pathlib import Path
from typing import Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    DtypeOption,
    MachineOption,
    NetworkArgument,
    OverlapOption,
    ParamOption,
    PlaceOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
)
from costmodel.cli.requests import distinct, graph_of, picture_format, warn


def roofline(
    network: NetworkArgument,
    hw: MachineOption,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write: .svg, .png or .pdf; - is standard output, as SVG."),
    ],
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
    measured: Annotated[
        Path | None,
        typer.Option(help="Also what was measured: a file that 'costmodel run --csv' wrote.", metavar="FILE.csv"),
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=30, help="Name the N marks that take the most time.")] = 8,
) -> None:
    """A network's layers on a machine's roofline, as a picture.

    Operations per byte moved against operations per second, under the peak of each engine and the bandwidth of each
    memory. Area is share of the time; layers of one kind at one place are one mark. Needs the extra 'plot'.
    """
    from costmodel import roofline as points
    from costmodel.report import files
    from costmodel.report.summary import warnings

    kind = picture_format("--output", output)
    distinct({"--output": output}, [network, hw, measured or ""])
    graph = graph_of(
        network, batch, dtype, param=param, notes=False,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    simulation = costmodel.cost(graph, costmodel.machine(hw, settings or ()), overlap=overlap, placement=place)
    took = points.read_measured(measured, simulation) if measured else None
    from costmodel.report import picture  # noqa: F401 - says so if matplotlib is missing
    from costmodel.report import roofline as pictures  # takes longer than all the rest

    placed = points.points(simulation, took)
    drawing = pictures.draw(simulation, placed, top=top, measured=measured.name if measured else "")
    files.write(output, drawing.render(kind))
    alerts = warnings(simulation)
    missing = [point.layer for point in placed if point.operations and not point.measured] if measured else []
    if missing:
        alerts.append(f"{measured} lacks {len(missing)} of {len(placed)} layers: {pictures.listed(missing)}")
    for alert in alerts:
        warn(alert)
