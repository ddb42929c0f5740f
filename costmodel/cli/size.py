"""``costmodel size``: how large or how fast a memory must be for a network to reach a target."""

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
    complete_words,
)
from costmodel.cli.requests import distinct, graph_of, picture_format


def size_(
    network: NetworkArgument,
    hw: MachineOption,
    target: Annotated[
        str, typer.Option(help="What to reach: 'latency=10 ms' or 'traffic=5 MB'.", metavar="latency=...|traffic=...")
    ],
    memory: Annotated[
        str | None,
        typer.Option(help="The memory to vary; without it the nearest, or for its bandwidth the farthest."),
    ] = None,
    vary: Annotated[
        str, typer.Option(help="What of it: size or bandwidth.", autocompletion=complete_words("size", "bandwidth"))
    ] = "size",
    place: PlaceOption = None,
    overlap: OverlapOption = None,
    steady_state: SteadyOption = False,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    csv: CsvOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curve: a .svg, .png or .pdf file. Needs the extra 'plot'.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """The smallest memory, or the slowest, with which a network reaches a target, and the curve.

    On a grid of values the network is placed, simulated and checked anew; only what the checker accepts counts. The
    exit code is 1 when no value reaches the target.
    """
    from costmodel import sizing
    from costmodel.place.placement import Options
    from costmodel.profile import profile
    from costmodel.report import files, formats
    from costmodel.report import size as pages
    from costmodel.report.progress import progress

    distinct({"--csv": csv, "--plot": plot}, [hw, network])
    kind = picture_format("--plot", plot) if plot else ""
    wanted, machine = sizing.Target.parse(target), costmodel.machine(hw, settings or ())
    graph = graph_of(
        network, batch, dtype, param=param,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    needs = profile(graph, patterns=machine.fuse)
    with progress() as tick:
        curve = sizing.sized(
            needs, machine, wanted, memory=memory, varied=vary, policy=place, options=Options(steady_state),
            overlap=overlap, tick=tick,
        )  # fmt: skip
    if csv:
        files.write(csv, formats.to_csv(curve.table))
    if plot:
        from costmodel.report import picture, size_curve

        files.write(plot, picture.render(size_curve.draw(curve, needs.network, machine), kind))
    if not quiet and "-" not in {str(csv), str(plot)}:
        pages.show_curve(curve, needs.network, machine)
    if curve.found is None:
        raise typer.Exit(1)
