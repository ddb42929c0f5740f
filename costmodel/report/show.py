"""Pages for people: a machine's data sheet, a network's structure, a convention, an explanation."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from costmodel.counting import Convention, standard_table
from costmodel.graph import Graph
from costmodel.guard import OVER
from costmodel.hardware import Hardware
from costmodel.hardware import Memory as Store
from costmodel.measure import NUMPY, verdict, without_numpy
from costmodel.memory import Memory, Training
from costmodel.profile import profile
from costmodel.report.cells import Cells, cells
from costmodel.report.explain import Figure
from costmodel.report.summary import summary, warnings
from costmodel.report.text import Line, Span, plain, room, show
from costmodel.report.text import table as layout
from costmodel.simulate import Simulation
from costmodel.table import Column, Table
from costmodel.units import exact, human
from costmodel.zoo import Architecture

SHEET_COLUMNS: Final = (
    Column("name", str, "", "engine or memory"),
    Column("kind", str, "", "engine or memory"),
    Column("size", str, "", "capacity"),
    Column("rate", str, "", "peak operations or bytes per second"),
    Column("runs", str, "", "operators that run on it"),
    Column("source", str, "", "where the figures are from"),
)

STRUCTURE: Final = {
    "layer": 0, "operator": 2, "input_shape": 5, "output_shape": 3, "kernel_height": 8, "stride_height": 8,
    "groups": 7, "parameters": 1, "buffers": 9, "macs": 1, "elementwise": 6,
}  # fmt: skip

COMPARISON: Final = {
    "machine": 2, "parameters": 3, "macs": 4, "weight_bytes": 8, "peak_map_bytes": 7, "transfer_bytes": 6,
    "images_per_second": 11, "bound": 1, "overfull_layers": 10, "parameters_ratio": 9, "macs_ratio": 9, "time_ratio": 1,
}  # fmt: skip

COUNT_COLUMNS: Final = (
    Column("operator", str, "", "operator"),
    Column("counts", str, "", "what the tool counts for it"),
)

KEPT: Final = {
    "operator": 3, "map_size": 4, "map_memory": 2, "map_bytes": 6, "report_map_memory": 5, "parameters": 1,
    "filter_size": 2, "filter_bytes": 7, "report_filter_size": 5, "kept": 0, "input_memory": 8, "output_memory": 8,
    "live_bytes": 1,
}  # fmt: skip

VERIFIED: Final = {
    "input_shape": 3, "layers": 1, "macs": 0, "elementwise": 2, "weights": 5, "read_bytes": 6, "written_bytes": 7,
    "peak_bytes": 4, "error": 8,
}  # fmt: skip

COMPARED: Final = (
    "of every layer the shape of its result; multiply-accumulates, additions, multiplications, comparisons, divisions "
    "and special functions, each counted where the loops do it; elements of weights; each tensor read or written, and "
    "its bytes; bytes of maps that are there at once; its results with plain NumPy's. Of the whole the most bytes of "
    "maps, and the outputs"
)

NAMED: Final = 4
"""How many layers a sentence names."""

MEASURED: Final = {
    "kernel": 8, "operator": 4, "output_shape": 6, "macs": 5, "measured_seconds": 0, "best_seconds": 7,
    "measured_share": 3, "predicted_seconds": 1, "ratio": 1, "bound": 2, "roofline": 3,
}  # fmt: skip

CONVENTION: Final = {"why": 9, "per": 2, "special": 8, "divide": 7, "compare": 6, "multiply": 5, "add": 4, "macs": 3}


def machine(hardware: Hardware) -> None:
    """Print a data sheet."""
    rows = [
        (engine.name, "engine", "", exact(engine.peak, "OP/s"), ", ".join(engine.runs), engine.source)
        for engine in hardware.engines
    ]
    rows += [
        (memory.name, "memory", exact(memory.size, "B"), rates(memory), "", memory.source)
        for memory in hardware.memories
    ]
    overhead = f"; overhead: {exact(hardware.overhead, 's')} for each layer" if hardware.overhead else ""
    fused = ", ".join(" + ".join(pattern) for pattern in hardware.fuse) or "nothing"
    show(
        [
            plain(hardware.name, "bold"),
            plain(f"source: {hardware.source or 'not stated'}"),
            *page(Table.of(SHEET_COLUMNS, rows), {"source": 2, "runs": 1}),
            plain(f"runs as one pass: {fused}"),
            plain(f"overlap: {hardware.overlap}; placement: {hardware.placement}{overhead}"),
        ]
    )


def rates(memory: Store) -> str:
    """A memory's bandwidth, or its two rates."""
    reads, writes = memory.rates
    return exact(reads, "B/s") if reads == writes else f"read {exact(reads, 'B/s')}, write {exact(writes, 'B/s')}"


def network(graph: Graph, about: Sequence[str]) -> None:
    """Print what there is to say about a network, and its layers."""
    layers = profile(graph).layers.select(list(STRUCTURE))
    show([plain(graph.name, "bold"), *map(plain, about), *page(layers, STRUCTURE)])


def about(architecture: Architecture) -> list[str]:
    """What a network of the zoo is, where it is from, and the parameters it takes."""
    declared = [
        f"{value} {name}" for name, value in (("parameters", architecture.params), ("MACs", architecture.macs)) if value
    ]
    return [
        architecture.summary,
        f"source: {architecture.source}{': ' if declared else ''}{', '.join(declared)}",
        f"takes: {architecture.takes}",
    ]


def convention(counting: Convention) -> None:
    """Print what a convention counts."""
    if counting.counts is None:
        table = standard_table()
    else:
        table = Table.of(COUNT_COLUMNS, [(name, count.formula) for name, count in counting.counts.items()])
    title = f"{counting.name}: {counting.number}"
    show([plain(title, "bold"), *paragraph("", counting.meaning, indent=0), *page(table, CONVENTION)])


def explanation(simulation: Simulation, row: int | None, figures: Sequence[Figure]) -> None:
    """Print each figure of a layer, or of the whole network, as its formula, the numbers in it, and the result."""
    layers = simulation.layers
    place = f"{simulation.profile.network} on {simulation.hardware.title}"
    if row is None:
        lines: list[Line] = [(Span("total", "bold"), Span(f": {len(layers)} layers; {place}"))]
    else:
        shapes = f"{layers['input_shape'][row]} -> {layers['output_shape'][row]}"
        lines = [(Span(layers["layer"][row], "bold"), Span(f": {layers['operator'][row]}, {shapes}; {place}"))]
    for figure in figures:
        steps = [figure.term.symbols, figure.term.numbers, figure.result] if figure.term else [figure.result]
        first, *rest = dict.fromkeys(steps)
        lines += [(), (Span(f"{figure.quantity:<15} = ", "bold"), Span(first))]
        lines += [plain(f"{'':15} = {step}") for step in rest]
        if figure.note:
            lines.append(plain(f"{'':15}   {figure.note}", "dim"))
    show(lines)


def paragraph(heading: str, sentence: str, *, indent: int = 11) -> list[Line]:
    """A heading and a sentence, wrapped to the terminal under itself."""
    width = room()
    parts = [sentence]
    if width and len(sentence) > width - indent:
        import textwrap  # only a narrow terminal needs it

        parts = textwrap.wrap(sentence, max(20, width - indent), break_long_words=False, break_on_hyphens=False)
    return [(Span(f"{'' if n else heading:<{indent}}", "bold"), Span(part)) for n, part in enumerate(parts)]


def page(table: Table, drop: Mapping[str, int]) -> list[Line]:
    """A table as lines, and what was left out of it for width."""
    lines, hidden = layout(cells(table), drop=drop, available=room())
    return [*lines, *left_out(hidden)]


def left_out(hidden: Sequence[str]) -> list[Line]:
    """A sentence that names the columns which did not fit; none if all did."""
    heading = "left out for width: "
    lines = paragraph(heading, ", ".join(hidden), indent=len(heading)) if hidden else []
    return [[Span(span.text, "dim") for span in line] for line in lines]


def run(
    simulation: Simulation, table: Cells, drop: Mapping[str, int], marked: Collection[int], *, timeline: bool = False
) -> None:
    """Print a network's cost on a machine: the table, or what runs when; the summary, the warnings."""
    how = f"overlap {simulation.overlap}, placement {simulation.placement.policy}"
    title = f"{simulation.profile.network} on {simulation.hardware.title}, {how}"
    if timeline:
        from costmodel.report.gantt import gantt

        lines, marked = gantt(simulation), ()
        hidden: list[str] = []
    else:
        lines, hidden = layout(table, drop=drop, marked=marked, available=room())
    show(
        [
            plain(title, "bold"),
            *lines,
            *left_out(hidden),
            *[line for heading, sentence in summary(simulation) for line in paragraph(heading, sentence)],
            *[
                [Span(span.text, "yellow") for span in line]
                for alert in warnings(simulation, marked=bool(marked))
                for line in paragraph("warning:", alert, indent=9)
            ],
        ]
    )


def comparison(table: Table) -> None:
    """Print runs side by side; a row with overfull layers is marked."""
    lines, hidden = layout(
        cells(table),
        drop=COMPARISON,
        marked={row for row, count in enumerate(table["overfull_layers"]) if count},
        available=room(),
    )
    show([*lines, *left_out(hidden)])


def changes(table: Table, file: str, *, budgets: bool) -> None:
    """Print what a check found."""
    if not len(table):
        show([plain(f"{file}: nothing has changed{', and every budget holds' if budgets else ''}")])
        return
    over = table["change"].count(OVER)
    found = [f"{len(table) - over} changes"] if len(table) > over else []
    found += [f"{over} budget{'s' if over > 1 else ''} exceeded"] if over else []
    show([plain(f"{file}: {', '.join(found)}", "bold"), *page(table, {"network": 1, "difference": 2})])


def verified(summary: Table, differences: Table, machine: str | None) -> None:
    """Print what ran and what was compared, and where the run is not what the model says."""
    fused = f", fused as on {machine}" if machine else ""
    lines, hidden = layout(cells(summary, label="sum or largest"), drop=VERIFIED, available=room())
    if len(differences):
        places = len({(row["network"], row["layer"]) for row in differences.rows()})
        verdict = f"{len(differences)} differences in {places} places"
    else:
        verdict = "the run counts what the model says, and computes what plain NumPy computes"
    show(
        [
            plain(f"run and compared with the model, layer by layer{fused}", "bold"),
            *lines,
            *left_out(hidden),
            *paragraph("compared", COMPARED),
            *paragraph("result", verdict),
            *(page(differences, {"network": 1}) if len(differences) else []),
        ]
    )


def kept_table(memory: Memory, simulation: Simulation | None) -> Table:
    """What each layer keeps; with a machine also where its maps live, and what must be held there at once."""
    if simulation is None:
        return memory.layers
    names = ("input_memory", "output_memory", "weight_memory", "live_bytes", "overfull")
    homes = simulation.layers.select(names)
    return memory.layers.extend(homes.columns, homes.data())


def kept(memory: Memory, simulation: Simulation | None, table: Table) -> None:
    """Print what a network keeps: the layers, the formula with its numbers, the sizes on disk."""
    machine = f" on {simulation.hardware.title}, placement {simulation.placement.policy}" if simulation else ""
    shown = [column.name for column in table.columns if column.name not in {"weight_memory", "overfull"}]
    marked = {row for row, home in enumerate(table["overfull"]) if home} if simulation else set()
    lines, hidden = layout(
        cells(table.select(shown), label="sum or largest"), drop=KEPT, marked=marked, available=room()
    )
    sentences = [
        ("training", _formula(memory.training)),
        ("by report", _formula(memory.training_by_report)),
        ("maps", f"{human(memory.profile.peak_map_bytes, 'B')} at most must be kept at once in a forward pass"),
        ("on disk", ", ".join([f"{human(size, 'B')} at {bits} bit" for bits, size in memory.disk.items()])),
    ]
    if memory.kept is not None:
        share = f"{memory.kept} of {memory.stored} stored values are kept, {memory.kept / memory.stored:.2%}"
        sentences.insert(3, ("pruned", f"{share}; on disk without the index that says which"))
    show(
        [
            plain(f"{memory.profile.network}{machine}", "bold"),
            *lines,
            *left_out(hidden),
            *[line for heading, sentence in sentences for line in paragraph(heading, sentence)],
            *[
                [Span(span.text, "yellow") for span in line]
                for alert in (warnings(simulation, marked=bool(marked)) if simulation else ())
                for line in paragraph("warning:", alert, indent=9)
            ],
        ]
    )


def run_measured(table: Table, network: str, threads: int, repeat: int, simulation: Simulation | None) -> None:
    """Print what each layer took, beside its prediction if there is one, and how good that is; also without NumPy."""
    workers = f"{threads} thread" + ("s" if threads > 1 else "")
    total = table.total("measured_seconds")
    sentences = [
        ("measured", f"{human(total, 's')}, the sum of the layers' medians over {repeat} runs on {workers}"),
        ("rate", f"{human(2 * table.total('macs') / total)}OP/s in multiply-accumulates"),
    ]
    if simulation:
        predicted = human(table.total("predicted_seconds"), "s")
        sentences += [("predicted", f"{predicted} for {simulation.hardware.title}"), ("verdict", _verdict(table))]
    slow = {row for row, kernel in enumerate(table["kernel"]) if kernel == NUMPY}
    if slow:
        names = [table["layer"][row] for row in sorted(slow)]
        named = ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
        others = without_numpy(table)
        without = [f"measured {human(others.total('measured_seconds'), 's')}"]
        if simulation:
            without += [f"predicted {human(others.total('predicted_seconds'), 's')}", _verdict(others)]
        sentences += [
            ("NumPy", f"{len(slow)} of {len(table)} layers ran without a compiled kernel: {named}"),
            ("compiled", f"without these {', '.join(without)}"),
        ]
    lines, hidden = layout(cells(table), drop=MEASURED, marked=slow, available=room())
    show(
        [
            plain(f"{network} measured here", "bold"),
            *lines,
            *left_out(hidden),
            *[line for heading, sentence in sentences for line in paragraph(heading, sentence)],
        ]
    )


def _verdict(table: Table) -> str:
    """How good a prediction is, in words."""
    made = verdict(table)
    if made is None:
        return "nothing is predicted"
    errors = f"median error of a layer {made.median_error:.0%}, of the total {made.total_error:+.0%}"
    return f"{errors}, rank correlation {made.rank_correlation:.2f}"


def _formula(terms: Training) -> str:
    """The memory formula with its numbers."""
    names = "parameters + gradients + largest map + largest filter"
    numbers = " + ".join(map(str, terms[:4]))
    return f"({names}) * {terms.bits} / 8 = ({numbers}) * {terms.bits} / 8 = {human(terms.bytes, 'B')}"


def catalogue(
    networks: Sequence[Architecture], machines: Sequence[Hardware], conventions: Iterable[Convention]
) -> None:
    """Print what can be named."""
    lines: list[Line] = [plain("networks", "bold")]
    for architecture in networks:
        lines += [
            plain(f"  {architecture.name:<22}{architecture.summary}"),
            plain(f"{'':24}{architecture.takes}", "dim"),
        ]
    lines.append(plain("machines", "bold"))
    lines += [plain(f"  {machine.name:<22}{machine.source}") for machine in machines]
    lines.append(plain("conventions", "bold"))
    lines += [plain(f"  {convention.name:<22}{convention.number}: {convention.meaning}") for convention in conventions]
    show(lines)
