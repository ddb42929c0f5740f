"""The command line: one command per arrow of the data flow, and no arithmetic."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import costmodel
from costmodel.cli.options import (
    GROUPS,
    BatchOption,
    ClassesOption,
    DtypeOption,
    MachineOption,
    NetworkArgument,
    OverlapOption,
    ParamOption,
    PlaceOption,
    SettingOption,
    SizeOption,
    WidthOption,
    complete_convention,
    complete_machine,
    complete_name,
    complete_network,
    complete_paper,
    complete_words,
)
from costmodel.errors import CostModelError, suggestion

if TYPE_CHECKING:
    from costmodel.graph import Graph
    from costmodel.report.cells import Cells
    from costmodel.simulate import Simulation
    from costmodel.table import Table

app = typer.Typer(
    name="costmodel",
    help="What every layer of a neural network costs on a machine: parameters, MACs, memory, traffic, time, and why.",
    epilog="Example: costmodel profile hairnet --hw paper-2012",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

LAYER_VIEW: Final = {
    # column: which to leave out first on a narrow terminal (0: never)
    "layer": 0, "operator": 8, "input_shape": 12, "output_shape": 10, "input_bytes": 9, "output_bytes": 9,
    "weight_bytes": 11, "parameters": 6, "macs": 3, "input_memory": 7, "output_memory": 7, "transfer_seconds": 4,
    "compute_seconds": 5, "total_seconds": 0, "bound": 2, "share": 1,
}  # fmt: skip
"""The columns of the per-layer table."""

GROUP_VIEW: Final = {
    "layers": 2, "input_bytes": 9, "output_bytes": 9, "weight_bytes": 8, "parameters": 6, "macs": 3, "elementwise": 7,
    "transfer_seconds": 4, "compute_seconds": 5, "total_seconds": 0, "share": 1,
}  # fmt: skip
"""The columns of a grouped table, after the group's own."""


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"costmodel {version('costmodel')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: costmodel profile hairnet --hw paper-2012 --top 10 --csv layers.csv")
def profile(
    network: NetworkArgument,
    hw: MachineOption,
    batch: BatchOption = 1,
    dtype: DtypeOption = "float32",
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
    convention: Annotated[
        str,
        typer.Option(help="Whose number to show: standard, fvcore, thop ...", autocompletion=complete_convention),
    ] = "standard",
    top: Annotated[int | None, typer.Option(min=1, help="Show only the N rows that take the most time.")] = None,
    group_by: Annotated[
        str, typer.Option(help="One row per layer, block or operator.", autocompletion=complete_words(*GROUPS))
    ] = "layer",
    columns: Annotated[
        str | None, typer.Option(help="Columns to show, separated by commas; 'all' for every one.", metavar="A,B,...")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows as CSV; - is standard output.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write rows, totals and columns as JSON; - is standard output.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown; - is standard output.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table and no summary, only warnings.")] = False,
) -> None:
    """What each layer of a network costs on a machine.

    One row per layer, totals that add up, and a summary: latency, work, what bounds the network, where the time goes.
    """
    from costmodel.report import files, formats
    from costmodel.report.summary import warnings

    counting = None
    if convention != "standard":
        from costmodel.counting import tools

        counting = tools.convention(convention)

    outputs = [path for path in (csv, json, markdown) if path is not None]
    places = [os.path.abspath(path) for path in outputs]  # noqa: PTH100 - "." and ".." go, links stay
    for path, place_ in zip(outputs, places, strict=True):
        if places.count(place_) > 1:
            where = "standard output" if str(path) == "-" else f"the file {path}"
            raise CostModelError(f"--csv, --json and --markdown cannot share {where}")
    graph = _graph(network, batch, dtype, size=size, classes=classes, width=width, param=param)
    machine = costmodel.machine(hw, settings or ())
    simulation = costmodel.cost(graph, machine, overlap=overlap, placement=place, convention=counting)
    whole = _grouped(simulation, group_by)
    shown, rest = _rows(whole, top)
    view = _view(whole, group_by, columns, counted=counting is not None)
    table = _cells(whole, shown, rest, list(view))
    machine_view = shown.select(list(view)) if columns else shown
    alerts = warnings(simulation)
    if csv:
        files.write(csv, formats.to_csv(machine_view))
    if json:
        files.write(json, formats.to_json(simulation, machine_view, alerts))
    if markdown:
        files.write(markdown, formats.to_markdown(table))
    if quiet or any(str(path) == "-" for path in outputs):
        for alert in alerts:
            typer.echo(f"warning: {alert}", err=True)
        return
    from costmodel.report import show as pages

    overfull = shown["overfull"] if group_by == "layer" else ()
    marked = {row for row, memory in enumerate(overfull) if memory}
    pages.run(simulation, table, view, marked)


@app.command(epilog="Example: costmodel compare mobilenet_v1 mobilenet_v2 hairnet --hw paper-2012")
def compare(
    networks: Annotated[
        list[str], typer.Argument(help="Networks of the zoo, or 'all'.", autocompletion=complete_network)
    ],
    hw: Annotated[
        list[str],
        typer.Option("--hw", help="A machine; repeat it to compare machines.", autocompletion=complete_machine),
    ],
    batch: BatchOption = 1,
    dtype: DtypeOption = "float32",
    size: SizeOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows as CSV; - is standard output.")] = None,
) -> None:
    """Networks and machines side by side.

    One row per network and machine: parameters, MACs, memory, time, what bounds it, and the ratios to the first row.
    """
    from costmodel.compare import compare as side_by_side
    from costmodel.report import files, formats
    from costmodel.report import show as pages

    graphs = [_graph(name, batch, dtype, size=size, param=None) for name in _names(networks)]
    machines = [costmodel.machine(name, settings or ()) for name in hw]
    runs = [
        costmodel.cost(graph, machine, overlap=overlap, placement=place) for graph in graphs for machine in machines
    ]
    table = side_by_side(runs)
    if csv:
        files.write(csv, formats.to_csv(table))
    if str(csv) != "-":
        pages.comparison(table)


@app.command(epilog="Example: costmodel snapshot hairnet mobilenet_v2 --hw paper-2012 -o costs.json")
def snapshot(
    networks: Annotated[
        list[str], typer.Argument(help="Networks of the zoo, or 'all'.", autocompletion=complete_network)
    ],
    hw: MachineOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")],
    batch: BatchOption = 1,
    dtype: DtypeOption = "float32",
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
) -> None:
    """Keep every layer's figures, to check later.

    The file holds what was run and what came out, one layer per line; 'costmodel check' runs it again.
    """
    from costmodel import guard, zoo
    from costmodel.report import files

    parameters = _parameters(param, size=size, classes=classes, width=width)
    requests = [
        guard.Request(zoo.get(name).name, parameters, hw, tuple(settings or ()), batch, dtype, overlap, place)
        for name in _names(networks)
    ]
    files.write(output, guard.to_text([guard.take(request) for request in requests]))


@app.command(epilog="Example: costmodel check costs.json --rtol time=1e-6 --max latency=0.2s --max params=5M")
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
            "--max", help="A budget: latency=0.2s, params=5M, peak_memory=1MB. May be repeated.", metavar="NAME=LIMIT"
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the changes as CSV; - is standard output.")] = None,
) -> None:
    """Compare today's figures with a snapshot.

    The exit code is 0 when nothing changed and every budget holds, 1 with a table of what changed when not.
    """
    from costmodel import guard
    from costmodel.report import files, formats
    from costmodel.report import show as pages

    changes = guard.check(file, rtol or (), limit or ())
    if csv:
        files.write(csv, formats.to_csv(changes))
    if str(csv) != "-":
        pages.changes(changes, str(file))
    if len(changes):
        raise typer.Exit(1)


@app.command("list", epilog="Example: costmodel list")
def list_() -> None:
    """The networks and the machines that can be named."""
    from costmodel import hardware, zoo
    from costmodel.counting.tools import CONVENTIONS
    from costmodel.report import show as pages

    machines = [costmodel.machine(name) for name in hardware.profiles()]
    pages.catalogue([zoo.get(name) for name in zoo.names()], machines, CONVENTIONS.values())


@app.command(epilog="Example: costmodel show paper-2012")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A network, a machine (or its .yaml file), or a counting convention.", autocompletion=complete_name
        ),
    ],
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    settings: SettingOption = None,
) -> None:
    """A network, a machine or a convention, in full.

    A network's structure, a machine's data sheet with its sources, or what a counting convention counts.
    """
    from costmodel import hardware, zoo
    from costmodel.counting.tools import CONVENTIONS
    from costmodel.report import show as pages

    known = [*zoo.names(), *hardware.profiles(), *CONVENTIONS]
    of_networks = {"--size": size, "--classes": classes, "--width": width, "--param": param}
    if name in CONVENTIONS:
        _refuse(name, of_networks | {"--set": settings})
        pages.convention(CONVENTIONS[name])
    elif name in hardware.profiles() or name.endswith((".yaml", ".yml")):
        _refuse(name, of_networks)
        pages.machine(costmodel.machine(name, settings or ()))
    elif name.replace("-", "_").lower() in zoo.names():
        _refuse(name, {"--set": settings})
        graph = _graph(name, 1, "float32", size=size, classes=classes, width=width, param=param)
        pages.network(zoo.get(name), graph)
    else:
        raise CostModelError(f"nothing is called {name!r}; {suggestion(name, known)}")


@app.command(epilog="Example: costmodel explain hairnet stage1.0.dwise_conv --hw paper-2012")
def explain(
    network: NetworkArgument,
    hw: MachineOption,
    layer: Annotated[
        str,
        typer.Argument(
            help="A layer as 'costmodel profile' names it, or a node fused into one; without it, the total."
        ),
    ] = "total",
    batch: BatchOption = 1,
    dtype: DtypeOption = "float32",
    size: SizeOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    param: ParamOption = None,
    settings: SettingOption = None,
    overlap: OverlapOption = None,
    place: PlaceOption = None,
) -> None:
    """Each figure of a layer: formula, numbers, result."""
    from costmodel.report import explain as explaining
    from costmodel.report import show as pages

    graph = _graph(network, batch, dtype, size=size, classes=classes, width=width, param=param)
    simulation = costmodel.cost(graph, costmodel.machine(hw, settings or ()), overlap=overlap, placement=place)
    if layer == "total":
        pages.explanation(simulation, None, explaining.explain_total(simulation))
        return
    row = explaining.find(simulation, graph, layer)
    pages.explanation(simulation, row, explaining.explain(simulation, graph, row))


@app.command(epilog="Example: costmodel reproduce hairnet --output reports")
def reproduce(
    paper: Annotated[
        str | None,
        typer.Argument(help="A document, such as hairnet; all of them without a name.", autocompletion=complete_paper),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write the tables into.")] = Path(
        "reports"
    ),
) -> None:
    """Rebuild a document's tables and check every cell.

    The tables are computed from the networks, not from the print; the exit code is 1 where a cell differs.
    """
    from costmodel import papers
    from costmodel.report import files

    differing = 0
    names = [paper] if paper else list(papers.PAPERS)
    built = [(name, report) for name in names for report in papers.reproduce(name)]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CostModelError(f"{output}: cannot make the folder: {error.strerror}") from None
    for name, report in built:
        files.write(output / report.file, report.text())
        state = "differs" if report.differences else "ok" if report.compared else "written"
        typer.echo(f"{name}: {output / report.file}: {state}: {report.verdict}")
        for difference in report.differences:
            typer.echo(f"  {difference}", err=True)
        differing += len(report.differences)
    if differing:
        typer.echo(f"{differing} cells differ from the print", err=True)
        raise typer.Exit(1)


def _refuse(name: str, options: dict[str, Any]) -> None:
    """Options that would change nothing are mistakes."""
    for option, value in options.items():
        if value is not None:
            raise CostModelError(f"{option} does not apply to {name!r}")


def _names(networks: list[str]) -> list[str]:
    """The networks that were named; ``all`` is the whole zoo."""
    from costmodel import zoo

    return zoo.names() if networks == ["all"] else networks


def _graph(network: str, batch: int, dtype: str, *, param: Sequence[str] | None, **chosen: Any) -> "Graph":
    return costmodel.network(network, batch=batch, dtype=dtype, **_parameters(param, **chosen))


def _parameters(param: Sequence[str] | None, **chosen: Any) -> dict[str, Any]:
    """The network's parameters out of the options that were given, and of NAME=VALUE pairs."""
    parameters = {name: value for name, value in chosen.items() if value is not None}
    for assignment in param or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CostModelError(f"--param {assignment!r}: expected NAME=VALUE, such as dense_head=true")
        key = name.strip().replace("-", "_")
        if key in parameters:
            raise CostModelError(f"--param {assignment!r}: {key} is given twice")
        parameters[key] = value.strip()
    return parameters


def _grouped(simulation: "Simulation", group_by: str) -> "Table":
    """A row per layer, or per group of layers."""
    if group_by not in GROUPS:
        raise CostModelError(f"--group-by {group_by!r} is not accepted; {suggestion(group_by, GROUPS)}")
    return simulation.layers if group_by == "layer" else simulation.layers.group(group_by)


def _rows(table: "Table", top: int | None) -> "tuple[Table, Table | None]":
    """The rows to show one by one, and those to show as one."""
    if top is None or top >= len(table):
        return table, None
    times = table["total_seconds"]
    order = sorted(range(len(table)), key=lambda row: -times[row])
    return table.take(order[:top]), table.take(order[top:])


def _view(table: "Table", group_by: str, columns: str | None, *, counted: bool) -> dict[str, int]:
    """The columns to show, and which of them to leave out first when they do not fit."""
    names = [column.name for column in table.columns]
    if columns is None:
        view = LAYER_VIEW if group_by == "layer" else {group_by: 0, **GROUP_VIEW}
        return _after(view, "macs", "counted") if counted else view
    if columns == "all":
        return dict.fromkeys(names, 0)
    wanted = [name.strip() for name in columns.split(",") if name.strip()]
    for name in wanted or [columns]:
        if name not in names:
            raise CostModelError(f"--columns: no column {name!r}; {suggestion(name, names)}")
    return dict.fromkeys(wanted, 0)


def _after(view: dict[str, int], name: str, added: str) -> dict[str, int]:
    """A view with a column more, behind another."""
    return {key: rank for old, kept in view.items() for key, rank in ([(old, kept)] + [(added, 1)] * (old == name))}


def _cells(whole: "Table", shown: "Table", rest: "Table | None", names: Sequence[str]) -> "Cells":
    """The rows as people read them, the rest as one line, and the totals of the whole."""
    from costmodel.report.cells import cells
    from costmodel.report.text import can_draw

    bar = "█" if can_draw() else "#"
    return cells(shown.select(names), bar=bar, totals=whole.select(names), others=rest.select(names) if rest else None)


def main() -> None:
    """Run the command line: exit code 2 and one line on stderr for what the user got wrong, no traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end like any filter when the reader has gone ("| head")
    sys.stdout = sys.stdout or _nowhere()  # None when the shell closed it, as in "costmodel ... >&-"
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal's encoding lacks is no reason to stop
    try:
        app()
    except CostModelError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        # Files report their own errors, so this is a full disk behind standard output. What is still in its buffer must
        # not raise again at exit.
        sys.stdout = _nowhere()
        typer.echo(f"error: standard output: {error.strerror}", err=True)
        raise SystemExit(2) from None


def _nowhere() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")
