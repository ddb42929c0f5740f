"""``costmodel export``: a network as a file, to change it, to run it elsewhere, or to look at its costs in a viewer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import costmodel
from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    DtypeOption,
    NetworkArgument,
    ParamOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
    complete_machine,
)
from costmodel.cli.requests import distinct, graph_of
from costmodel.errors import CostModelError

if TYPE_CHECKING:
    from costmodel.graph import Graph


def export(
    network: NetworkArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .yaml or .onnx file to write; without it YAML on standard output."),
    ] = None,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32, help="Of an .onnx file's weights, as 'verify' makes them; without it, none."),
    ] = None,
    external: Annotated[
        bool, typer.Option("--external", help="Write an .onnx file's weights into a file of their own, FILE.onnx.data.")
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Write what each node costs as a .json file, for the viewer Netron.")
    ] = None,
    hw: Annotated[
        str | None,
        typer.Option("--hw", help="A machine, whose times --metrics adds.", autocompletion=complete_machine),
    ] = None,
    settings: SettingOption = None,
) -> None:
    """Write a network as a file, to read and to change, or to run elsewhere.

    A .yaml file is a list of layers, one per line; an .onnx file has a node for each layer. Reading it back gives the
    same network. Netron shows the numbers of --metrics when that file is dropped onto the open .onnx file: the one that
    is written, or else the one that the network comes from.
    """
    from costmodel import exporters
    from costmodel.report import files

    if hw is None and settings:
        raise CostModelError("--set needs a machine: --hw")
    if hw is not None and metrics is None:
        raise CostModelError("--hw is for --metrics")
    if external and (output is None or seed is None):
        raise CostModelError("--external needs an .onnx file to write, --output, and weights, --seed")
    wanted = output or (Path("-") if metrics is None else None)
    data = output.with_name(f"{output.name}.data") if external and output else None
    distinct({"--output": wanted, "--external": data, "--metrics": metrics}, [network, hw or ""])
    format_ = exporters.format_of(wanted) if wanted else None
    graph = graph_of(
        network, batch, dtype, param=param, size=size, classes=classes, width=width, shape=shape, unknown=unknown
    )
    if format_ and wanted:
        options = {"seed": seed, "external": data.name if data else None}
        content = format_.encode(graph, **{name: value for name, value in options.items() if value is not None})
        if data and seed is not None:
            from costmodel.exporters.onnx import encode_weights

            files.write(data, encode_weights(graph, seed))
        files.write(wanted, content)
    if metrics:
        in_onnx = output is not None and output.suffix.lower() == ".onnx"
        files.write(metrics, _metrics(graph, hw, settings or [], written=in_onnx))


def _metrics(graph: "Graph", hw: str | None, settings: list[str], *, written: bool) -> str:
    from costmodel.profile import profile
    from costmodel.report.netron import attachment

    if hw is None:
        return attachment(graph, profile(graph), (), written=written)
    machine = costmodel.machine(hw, settings)
    return attachment(graph, costmodel.cost(graph, machine), machine.fuse, written=written)
