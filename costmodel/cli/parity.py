"""``costmodel parity``: the numbers of other tools for a network, and why they differ."""

from pathlib import Path
from typing import Annotated

import typer

from costmodel.cli.options import (
    BatchOption,
    ClassesOption,
    CsvOption,
    NetworkArgument,
    ParamOption,
    QuietOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
    complete_convention,
)
from costmodel.cli.requests import distinct, graph_of


def parity(
    network: NetworkArgument,
    tool: Annotated[
        list[str] | None,
        typer.Option("--tool", help="Only this tool's number. May be repeated.", autocompletion=complete_convention),
    ] = None,
    batch: BatchOption = None,
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    csv: CsvOption = None,
    json: Annotated[Path | None, typer.Option(help="Write numbers and terms as JSON; - is standard output.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Why tools disagree about a network.

    Every tool's number under its own name and unit, and operator by operator what it adds to the MACs of the standard
    convention or leaves out. The amounts add up to the number; known mistakes of a tool are named as errors.
    """
    from costmodel import parity as counted
    from costmodel.counting import STANDARD
    from costmodel.counting.tools import CONVENTIONS, convention
    from costmodel.report import files, formats
    from costmodel.report import parity as page

    wanted = [convention(name) for name in dict.fromkeys((STANDARD.name, *(tool or CONVENTIONS)))]
    distinct({"--csv": csv, "--json": json}, [network])
    graph = graph_of(
        network, batch, None, param=param, notes=quiet or "-" in {str(csv), str(json)},
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
    accounts = counted.accounts(graph, wanted)
    if csv:
        files.write(csv, formats.to_csv(counted.table(accounts)))
    if json:
        files.write(json, page.to_json(graph, accounts))
    if not quiet and "-" not in {str(csv), str(json)}:
        page.parity(graph, accounts)
