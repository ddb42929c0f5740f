"""``costmodel list``, ``show``, ``schema`` and ``reproduce``: what there is, in full and as files."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

import costmodel
from costmodel.cli.options import (
    ClassesOption,
    ParamOption,
    SettingOption,
    ShapeOption,
    SizeOption,
    UnknownOption,
    WidthOption,
    complete_name,
    complete_paper,
    complete_words,
)
from costmodel.cli.requests import graph_of
from costmodel.errors import CostModelError, suggestion


def list_() -> None:
    """The networks, machines and conventions that can be named.

    Wherever a network or a machine is named, the path of a .yaml file of your own can stand instead;
    'costmodel export' and 'costmodel show' print examples, and 'costmodel schema' what such a file may hold.
    """
    from costmodel import hardware, zoo
    from costmodel.counting.tools import CONVENTIONS
    from costmodel.report import show as pages

    machines = [costmodel.machine(name) for name in hardware.profiles()]
    pages.catalogue([zoo.get(name) for name in zoo.names()], machines, CONVENTIONS.values())


KINDS: Final = ("network", "machine", "convention")


def show(
    name: Annotated[
        list[str],
        typer.Argument(
            help="A network or a machine (or the .yaml file of one) or a convention; its kind may stand before it.",
            autocompletion=complete_name,
            metavar="[network|machine|convention] NAME",
        ),
    ],
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    shape: ShapeOption = None,
    unknown: UnknownOption = None,
    settings: SettingOption = None,
) -> None:
    """A network, a machine or a convention, in full.

    A network's structure, a machine's data sheet with its sources, or what a counting convention counts.
    """
    from costmodel import importers, zoo
    from costmodel.counting import tools
    from costmodel.report import show as pages

    *before, wanted = name
    if len(before) > 1 or not set(before) <= set(KINDS):
        raise CostModelError(f"show takes one name, with or without its kind before it: {', '.join(KINDS)}")
    kind = before[0] if before else _kind(wanted)
    of_networks = {
        "--size": size,
        "--classes": classes,
        "--width": width,
        "--param": param,
        "--shape": shape,
        "--unknown": unknown,
    }
    if kind == "convention":
        _refuse(wanted, of_networks | {"--set": settings})
        pages.convention(tools.convention(wanted))
    elif kind == "machine":
        _refuse(wanted, of_networks)
        pages.machine(costmodel.machine(wanted, settings or ()))
    else:
        _refuse(wanted, {"--set": settings})
        graph = graph_of(
            wanted, None, None, param=param,
            size=size, classes=classes, width=width, shape=shape, unknown=unknown,
        )  # fmt: skip
        of_file = importers.is_file(wanted)
        pages.network(graph, [f"file: {wanted}"] if of_file else pages.about(zoo.get(wanted)))


def _kind(name: str) -> str:
    """What a name is the name of."""
    from costmodel import document, hardware, importers, zoo
    from costmodel.counting.tools import CONVENTIONS

    machines, networks = hardware.profiles(), zoo.names()
    if name in CONVENTIONS:
        return "convention"
    if name.endswith((".yaml", ".yml")):
        return "network" if "layers" in document.load(Path(name)).mapping() else "machine"
    if name in machines:
        return "machine"
    if name.replace("-", "_").lower() in networks or importers.is_file(name):
        return "network"
    raise CostModelError(f"nothing is called {name!r}; {suggestion(name, [*networks, *machines, *CONVENTIONS])}")


def schema(
    kind: Annotated[
        str,
        typer.Argument(help="network or hardware.", autocompletion=complete_words("network", "hardware")),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")] = Path(
        "-"
    ),
) -> None:
    """The JSON Schema of a network's or a machine's file.

    Editors complete and check such files with it. It follows from what the operators and the machines' keys declare.
    """
    from costmodel import schema as schemas
    from costmodel.report import files

    files.write(output, schemas.text(kind))


def reproduce(
    paper: Annotated[
        str | None,
        typer.Argument(help="A document, such as hairnet; all of them without a name.", autocompletion=complete_paper),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write the tables into.")] = Path(
        "reports"
    ),
) -> None:
    """Rebuild the documents' tables and judge every figure.

    The tables are computed from the networks, not from the print. Without a name, ledger.csv and LEDGER.md list every
    figure of all documents. The exit code is 1 where a cell differs or a verdict has changed.
    """
    from costmodel import papers
    from costmodel.papers import ledger
    from costmodel.papers.page import page
    from costmodel.report import files

    made = {name: papers.reproduce(name) for name in ([paper] if paper else papers.PAPERS)}
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CostModelError(f"{output}: cannot make the folder: {error.strerror}") from None
    wrong: list[str] = []
    for name, (_, reports, _, changes) in made.items():
        for report in reports:
            files.write(output / report.file, report.text())
            state = "differs" if report.differences else "ok" if report.compared else "written"
            typer.echo(f"{name}: {output / report.file}: {state}: {report.verdict}")
            wrong += report.differences
        wrong += changes
    if paper is None:
        whole = ledger.report([entry for reproduction in made.values() for entry in reproduction.entries])
        files.write(output / whole.file, whole.text())
        files.write(output / "LEDGER.md", page(made))
        typer.echo(f"all: {output / whole.file}, {output / 'LEDGER.md'}: {whole.verdict}")
    for difference in wrong:
        typer.echo(f"  {difference}", err=True)
    if wrong:
        typer.echo(
            f"{len(wrong)} difference{'s' * (len(wrong) > 1)} from the prints and from the verdicts on record", err=True
        )
        raise typer.Exit(1)


def _refuse(name: str, options: dict[str, Any]) -> None:
    """Options that would change nothing are mistakes."""
    for option, value in options.items():
        if value is not None:
            raise CostModelError(f"{option} does not apply to {name!r}")
