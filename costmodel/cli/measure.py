"""``costmodel run`` and ``calibrate``: a network run for real beside its prediction, and this computer's data sheet."""

from pathlib import Path
from typing import Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    CsvOption,
    NetworkArgument,
    ParamOption,
    PlaceOption,
    QuietOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
    complete_machine,
)
from costmodel.cli.requests import distinct, graph_of
from costmodel.errors import CostModelError

ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=1024, help="Threads to compute on.")]


def run(
    network: NetworkArgument,
    hw: Annotated[
        str | None,
        typer.Option(
            "--hw",
            help="A machine to predict for, as 'costmodel calibrate' writes it.",
            autocompletion=complete_machine,
        ),
    ] = None,
    threads: ThreadsOption = 1,
    repeat: Annotated[int, typer.Option(min=1, max=10**6, help="Timed runs.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="What weights and inputs are made from.")] = 0,
    batch: BatchOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
    place: PlaceOption = None,
    csv: CsvOption = None,
    json: Annotated[Path | None, typer.Option(help="Write rows and verdict as JSON; - is standard output.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Run a network here, layer by layer, beside its prediction.

    Each layer's median time, and with a machine the model's time for it, their ratio, what bounds the layer and how
    much of the roofline it reaches. Layers that no kernel is compiled for run in plain NumPy, far slower than a
    prediction; they are named, and the verdict is also without them. Needs the extra 'exec'.
    """
    from costmodel import measure
    from costmodel.execute.fast import PATTERNS, Program
    from costmodel.report import files, formats
    from costmodel.report import show as pages
    from costmodel.report.progress import progress

    if hw is None and (settings or place):
        raise CostModelError("--set and --place need a machine: --hw")
    distinct({"--csv": csv, "--json": json}, [hw or "", network])
    graph = graph_of(
        network, batch, "float32", param=param,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    simulation = None
    if hw is not None:
        simulation = costmodel.cost(graph, costmodel.machine(hw, settings or ()), placement=place)
    patterns = simulation.hardware.fuse if simulation else PATTERNS
    program = Program(graph, patterns=patterns, seed=seed, threads=threads)
    with progress(repeat) as tick:
        times = program.times(repeat, tick=lambda: tick("running"))
    table = measure.measured(program.profile, times, [step.compiled for step in program.steps])
    if simulation:
        table = measure.compared(table, simulation)
    if csv:
        files.write(csv, formats.to_csv(table))
    if json:
        files.write(json, formats.run_to_json(table, graph.name, threads, repeat, simulation))
    if not quiet and "-" not in {str(csv), str(json)}:
        pages.run_measured(table, graph.name, threads, repeat, simulation)


def calibrate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The machine file to write; - is standard output.")
    ] = Path("my-machine.yaml"),
    threads: ThreadsOption = 1,
) -> None:
    """Measure this computer and write a machine file for it.

    The peak of each class of kernels, the bandwidth of each cache and of the memory, and what a layer takes to start.
    Takes less than a minute. Needs the extra 'exec'.
    """
    from costmodel.execute.calibrate import STEPS, to_yaml
    from costmodel.execute.calibrate import calibrate as measure_all
    from costmodel.report import files
    from costmodel.report import show as pages
    from costmodel.report.progress import progress

    with progress(STEPS) as tick:
        measured = measure_all(threads, tick)
    name = output.stem if str(output) != "-" else "my-machine"
    files.write(output, to_yaml(name, measured))
    if str(output) != "-":
        pages.machine(costmodel.machine(str(output)))
        typer.echo(f"written to {output}: costmodel run mobilenet_v2 --hw {output} --threads {threads}")
