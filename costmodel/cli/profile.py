"""``costmodel profile``: what each layer of a network costs on a machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import costmodel
from costmodel.cli.options import (
    GROUPS,
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
    UnknownOption,
    WidthOption,
    complete_convention,
    complete_words,
)
from costmodel.cli.requests import distinct, graph_of, warn
from costmodel.errors import CostModelError, suggestion

if TYPE_CHECKING:
    from costmodel.report.cells import Cells
    from costmodel.simulate import Simulation
    from costmodel.table import Table

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


def profile(
    network: NetworkArgument,
    hw: MachineOption,
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
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Show when each layer's transfers and computations run, not the table.")
    ] = False,
    csv: CsvOption = None,
    json: Annotated[
        Path | None, typer.Option(help="Write rows, totals and columns as JSON; - is standard output.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write the timeline as a trace that Perfetto and chrome://tracing open; - is standard output."
        ),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown; - is standard output.")] = None,
    quiet: QuietOption = False,
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

    outputs = {"--csv": csv, "--json": json, "--markdown": markdown, "--trace": trace}
    distinct(outputs, [hw, network])
    if timeline and not any((csv, json, markdown)):
        chosen = {"--top": top, "--columns": columns, "--group-by": None if group_by == "layer" else group_by}
        for option in [option for option, value in chosen.items() if value is not None]:
            raise CostModelError(f"--timeline is shown in the place of the table that {option} is about")
    graph = graph_of(
        network, batch, dtype, param=param, notes=False,
        size=size, classes=classes, width=width, shape=shape, unknown=unknown,
    )  # fmt: skip
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
    if trace:
        from costmodel import timeline as times

        files.write(trace, times.trace(simulation))
    if quiet or "-" in set(map(str, outputs.values())):
        for alert in alerts:
            warn(alert)
        return
    from costmodel.report import show as pages

    overfull = shown["overfull"] if group_by == "layer" else ()
    marked = {row for row, memory in enumerate(overfull) if memory}
    pages.run(simulation, table, view, marked, timeline=timeline)


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
