"""Graph x Simulation x layer -> each of the layer's figures: the formula, the numbers in it, the result.

A figure that its own formula does not give is an error, so what is explained is what was computed.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from costmodel.counting import reason
from costmodel.errors import CostModelError, suggestion
from costmodel.fuse import Kernel, fuse
from costmodel.graph import Graph, Loops, Node, Window
from costmodel.hardware import Engine
from costmodel.profile import AXES, MAPS
from costmodel.report import runs
from costmodel.report.term import PRODUCT, Term, constant, number, product, total
from costmodel.simulate import Simulation
from costmodel.units import exact, human

LOOP_MEANINGS: Final = {
    "batch": "images, or independent products",
    "groups": "independent groups",
    "pixels": "output positions",
    "filters": "filters per group",
    "reduction": "products per output",
}


TOTALS: Final = {
    "parameters": "parameters",
    "weight bytes": "weight_bytes",
    "MACs": "macs",
    "elementwise": "elementwise",
    "transfer": "transfer_seconds",
    "compute": "compute_seconds",
    "total": "total_seconds",
}
"""What the explanation of a whole network adds up: quantity -> column."""


class Figure(NamedTuple):
    """An explained quantity; ``term`` is None for what is a fact and no computation."""

    quantity: str
    term: Term | None
    result: str
    note: str = ""


def find(simulation: Simulation, graph: Graph, wanted: str) -> int:
    """A layer's name, or that of a node fused into it -> its row."""
    layers = simulation.layers["layer"]
    if wanted in layers:
        return layers.index(wanted)
    nodes = {node: name for name, node in graph.nodes.items()}
    members = {
        nodes[node]: row for row, kernel in enumerate(fuse(graph, simulation.hardware.fuse)) for node in kernel.nodes
    }
    if wanted in members:
        return members[wanted]
    raise CostModelError(f"network {graph.name!r} has no layer {wanted!r}; {suggestion(wanted, {*layers, *members})}")


def explain_total(simulation: Simulation) -> list[Figure]:
    """Every total of the network, as the sum over its kinds of layers."""
    groups = simulation.layers.group("operator")
    figures = []
    for quantity, column in TOTALS.items():
        parts = [
            number(operator, value) for operator, value in zip(groups["operator"], groups[column], strict=True) if value
        ]
        declared = simulation.layers.column(column)
        figures.append(
            _checked(quantity, total(parts), simulation.layers.total(column), declared.unit, declared.meaning)
        )
    batch, latency = number("images", simulation.profile.batch), number("total", simulation.seconds)
    if simulation.seconds:
        rate = batch / latency
        figures.append(Figure("images/s", rate, f"{simulation.images_per_second!r}"))
    busy = zip(*[simulation.resources[name] for name in ("resource", "kind", "amount", "rate", "seconds")], strict=True)
    for resource, kind, amount, rate_of, seconds in busy:
        unit, rate_unit = ("B", "B/s") if kind == "memory" else ("OP", "OP/s")
        speed = Term(f"rate({resource})", rate_of, exact(rate_of, rate_unit))
        if seconds:
            wait = Term("amount", amount, f"{amount} {unit}") / speed
            figures.append(_checked(f"busy: {resource}", wait, seconds, "s"))
    figures.append(Figure("bound by", None, simulation.bound, "the resource that is busy longest"))
    return figures


def explain(simulation: Simulation, graph: Graph, row: int) -> list[Figure]:
    """Every figure of a layer, in the order in which they build on one another."""
    kernel = fuse(graph, simulation.hardware.fuse)[row]
    return [
        *_shapes(kernel),
        *_weights(simulation, kernel, row),
        *_maps(simulation, row),
        *_parts(simulation, row),
        *_work(simulation, kernel, row),
        *_times(simulation, row),
    ]


def _took(simulation: Simulation, row: int) -> Term:
    """A layer's time out of its parts, as the overlap has it."""
    layers, names = simulation.layers, ("transfer", "compute", "overhead")
    transfer, compute, overhead = (number(name, layers[f"{name}_seconds"][row]) for name in names)
    if simulation.overlap == "prefetch":  # the layer's own transfers may begin late, behind what was fetched early
        span, early = simulation.spans[row], number("early", simulation.early[row].seconds(simulation.hardware))
        begin = number("begin", span.transfer - span.start)
        return (begin + (transfer - early)).larger(overhead + compute if overhead.value else compute)
    took = transfer.larger(compute) if simulation.overlap == "layer" else transfer + compute
    return took + overhead if overhead.value else took


def _checked(quantity: str, term: Term, expected: float, unit: str, note: str = "") -> Figure:
    if not math.isclose(term.value, expected, rel_tol=1e-12, abs_tol=0.0):
        raise AssertionError(
            f"{quantity}: {term.symbols} = {term.numbers} = {term.value}, but the model has {expected}"
        )
    if isinstance(expected, int):
        result = f"{expected} {unit}"
        rounded = human(expected, unit if unit == "B" else "") if expected >= 10_000 else result.strip()
    else:
        result, rounded = f"{expected!r} {unit}", human(expected, unit) if unit == "s" else f"{expected:.2%}"
    result = result.strip()
    return Figure(quantity, term, result if rounded == result else f"{result} ({rounded})", note)


def _shapes(kernel: Kernel) -> Iterator[Figure]:
    for node in kernel.nodes:
        window = node.op.window
        if window:
            yield from _positions(node, window)


def _positions(node: Node, window: Window) -> Iterator[Figure]:
    rank = len(window.kernel)
    ceil = getattr(node.op, "ceil_mode", False)
    one = constant(1)
    for n, axis in enumerate(AXES[-rank:]):
        size, out = node.input_shapes[0][2 + n], node.outputs[0].shape[2 + n]
        before, after = window.pads[n]
        span = number("dilation", window.dilation[n]) * (number("kernel", window.kernel[n]) - one) + one
        spare = number("size", size) + number("before", before) + number("after", after) - span
        step = number("stride", window.stride[n])
        if not ceil:
            yield _checked(f"output {axis}", spare // step + one, out, "")
        else:
            yield Figure(f"output {axis}", None, str(out), f"ceil(({spare.numbers}) / {step.numbers}) + 1, less a "
                         "window that would start in the padding behind the map")  # fmt: skip


def _weights(simulation: Simulation, kernel: Kernel, row: int) -> Iterator[Figure]:
    layers = simulation.layers
    for kind, expected in (("parameter", layers["parameters"][row]), ("buffer", layers["buffers"][row])):
        sizes = [
            product(
                [
                    number(f"{weight.name}[{axis}]", size)
                    for axis, size in enumerate((weight.whole,) if weight.whole else weight.shape)
                ]
                or [number(weight.name, 1)]
            )
            for node in kernel.nodes
            for weight in node.weights
            if weight.kind == kind and _first(simulation, weight.shared, row)
        ]
        if sizes:
            yield _checked(f"{kind}s", total(sizes), expected, "", {"buffer": "stored, not learned"}.get(kind, ""))
    if layers["weight_bytes"][row]:
        parts = _accessed(simulation, row, {"parameter", "buffer"}, "read")
        yield _checked("weight bytes", total([size for _, size in parts]), layers["weight_bytes"][row], "B")


def _first(simulation: Simulation, shared: str, row: int) -> bool:
    """Whether a layer is the first that reads what several share; its own weights have no name."""
    tensors, accesses = simulation.profile.tensors, simulation.profile.accesses
    return not shared or row == min(
        layer
        for layer, tensor in zip(accesses["layer"], accesses["tensor"], strict=True)
        if tensors["tensor"][tensor] == shared
    )


def _maps(simulation: Simulation, row: int) -> Iterator[Figure]:
    for quantity, mode, column in (("input bytes", "read", "input_bytes"), ("output bytes", "write", "output_bytes")):
        parts = _accessed(simulation, row, MAPS, mode)
        homes = ", ".join(_home(simulation, row, tensor) for tensor, _ in parts)
        yield _checked(quantity, total([size for _, size in parts]), simulation.layers[column][row], "B", homes)
    held = simulation.layers["live_bytes"][row]
    plan = simulation.placement.plan
    if plan and len(simulation.hardware.memories) == 2:
        yield _checked("live bytes", (explained := runs.taken(plan, row))[0], held, "B", explained[1])
        return
    nearest = simulation.hardware.memories[0]
    if plan and plan.levels:
        what = "tiles" if row in plan.levels[-1].rows else "what passes in pieces"
        note = f"in {nearest.name!r}, which has {exact(nearest.size, 'B')}"
        yield _checked("live bytes", total([number(what, plan.levels[-1].taken[row])]), held, "B", note)
        return
    over = "; more than it can hold!" if held > nearest.size else ""
    names, sizes = simulation.profile.tensors["tensor"], simulation.profile.tensors["bytes"]
    here = [copy for copy in simulation.placement.copies if copy.memory == 0 and copy.first <= row <= copy.last]
    taken = [copy for copy in here if copy.over is not None and copy.first == row]
    live = [number(names[copy.tensor], sizes[copy.tensor]) for copy in here if copy not in taken]
    place = "".join(f"; {names[copy.tensor]} takes the place of {names[copy.over or 0]}" for copy in taken)
    note = f"in {nearest.name!r}, which has {exact(nearest.size, 'B')}{over}{place}"
    yield _checked("live bytes", total(live), held, "B", note)


def _parts(simulation: Simulation, row: int) -> Iterator[Figure]:
    """How a layer runs in tiles or bands, if it does."""
    for quantity, term, expected, unit, note in (
        runs.parts(simulation.placement.plan, row) if simulation.placement.plan else ()
    ):
        yield Figure(quantity, None, note) if term is None else _checked(quantity, term, expected, unit, note)
    plan = simulation.placement.plan
    for memory, level in zip(simulation.hardware.memories[-3::-1], plan.levels if plan else (), strict=False):
        for step in runs.steps(level, row):
            yield Figure(f"steps through {memory.name}", None, step)


def _accessed(simulation: Simulation, row: int, kinds: frozenset[str] | set[str], mode: str) -> list[tuple[int, Term]]:
    """The tensors of some kinds that a layer touches, and the size of each as elements * bits / 8."""
    tensors = simulation.profile.tensors
    parts = []
    for layer, tensor, how, moved, _ in simulation.profile.accesses.tuples():
        if layer == row and how == mode and tensors["kind"][tensor] in kinds:
            sizes = [int(size) for size in tensors["shape"][tensor].split("x") if size != "scalar"]
            elements = Term(
                f"elements({tensors['tensor'][tensor]})", math.prod(sizes), " * ".join(map(str, sizes)), PRODUCT
            )
            if moved != tensors["bytes"][tensor]:
                elements = number(f"read({tensors['tensor'][tensor]})", moved * 8 // tensors["bits"][tensor])
            size = elements * number("bits", tensors["bits"][tensor])
            parts.append((tensor, size.divided_up(constant(8))))
    return parts


def _home(simulation: Simulation, row: int, tensor: int) -> str:
    """Where a layer finds a tensor or puts it, and why."""
    name, size = simulation.profile.tensors["tensor"][tensor], simulation.profile.tensors["bytes"][tensor]
    accesses = zip(simulation.profile.accesses.tuples(), simulation.flow.served, strict=True)
    memory = simulation.hardware.memories[{known: m for (layer, known, *_), m in accesses if layer == row}[tensor]]
    nearest = simulation.hardware.memories[0]
    if simulation.placement.plan:
        return f"{name}: {runs.where(simulation.placement.plan, row, tensor)}, {memory.name!r}"
    if memory is nearest:
        why = f"{human(size, 'B')} <= {exact(nearest.size, 'B')}"
    elif size > nearest.size:
        why = f"{human(size, 'B')} > {exact(nearest.size, 'B')} of {nearest.name!r}"
    elif simulation.profile.tensors["kind"][tensor] == "input":
        why = "it comes from outside"
    else:
        why = f"no room in {nearest.name!r} beside what else is held"
    return f"{name} lives in {memory.name!r} ({simulation.placement.policy}: {why})"


def _work(simulation: Simulation, kernel: Kernel, row: int) -> Iterator[Figure]:
    layers = simulation.layers
    nest = {name: layers[name][row] for name in Loops._fields}
    if nest["batch"]:
        for node in kernel.nodes:
            yield from _extents(node)
        meaning = "; ".join(f"{name}: {LOOP_MEANINGS[name]}" for name in nest)
        yield _checked("MACs", product([number(*item) for item in nest.items()]), layers["macs"][row], "MAC", meaning)
    parts = []
    notes = []
    for node in kernel.nodes:
        each = node.op.each.elementwise
        if each:
            units = node.op.units(*node.input_shapes)
            parts.append(number(f"{node.op.kind} per {node.op.unit}", each) * number(f"{node.op.unit}s", units))
            notes.append(f"{node.op.kind}: {reason(node.op)}")
        beside = node.op.per_row.elementwise
        if beside:
            rows = node.op.rows(*node.input_shapes)
            parts.append(number(f"{node.op.kind} per {node.op.row}", beside) * number(f"{node.op.row}s", rows))
    if parts:
        yield _checked("elementwise", total(parts), layers["elementwise"][row], "OP", "; ".join(notes))
    amount = constant(2) * number("MACs", layers["macs"][row]) + number("elementwise", layers["elementwise"][row])
    yield _checked("operations", amount, layers["operations"][row], "OP", "one MAC is two operations")


def _extents(node: Node) -> Iterator[Figure]:
    """A convolution's output positions and products per output, from its shapes."""
    loops, window = node.op.loops(*node.input_shapes), node.op.window
    if window is None or not loops.batch:
        return
    axes = AXES[-len(window.kernel) :]
    sizes = node.outputs[0].shape[2:]
    pixels = product([number(f"output {axis}", size) for axis, size in zip(axes, sizes, strict=True)])
    yield _checked("pixels", pixels, loops.pixels, "")
    taps = [number(f"kernel {axis}", size) for axis, size in zip(axes, window.kernel, strict=True)]
    channels = number("input channels", node.input_shapes[0][1]) / number("groups", loops.groups)
    yield _checked("reduction", product([*taps, channels]), loops.reduction, "")


def _moved(simulation: Simulation, row: int) -> dict[tuple[int, str], list[Term]]:
    """What crosses the border of each memory for a layer; reads and writes apart where their rates differ."""
    tensors, accesses = simulation.profile.tensors, simulation.profile.accesses
    moved: dict[tuple[int, str], list[Term]] = {}

    def crosses(memory: int, mode: str, label: str, size: int) -> None:
        reads, writes = simulation.hardware.memories[memory].rates
        moved.setdefault((memory, mode if reads != writes else ""), []).append(Term(label, size, f"{size} B"))

    plan, far = simulation.placement.plan, len(simulation.hardware.memories) - 1
    borders = [plan.moves, *[level.moves for level in plan.levels]] if plan else []
    for border, moves in enumerate(borders):
        for name, size, written in runs.crossing(plan, row, moves) if plan else ():
            crosses(far - border, "write" if written else "read", name, size)
    inner = plan.levels[0].rows if plan and plan.levels else ()
    names = {"read": "input", "write": "output"}
    for (layer, tensor, mode, size, _), memory in zip(accesses.tuples(), simulation.flow.served, strict=True):
        if layer == row and not (plan and memory == far) and row not in inner:
            name = tensors["tensor"][tensor]
            label = names[mode] if tensors["kind"][tensor] in MAPS else name.rpartition(".")[2]
            crosses(memory, mode, label, size)
    for layer, tensor, source, target in simulation.flow.moves:
        if layer == row:
            for memory, mode in ((source, "read"), (target, "write")):
                if not (plan and memory == far):
                    crosses(memory, mode, f"move of {tensors['tensor'][tensor]}", tensors["bytes"][tensor])
    return dict(sorted(moved.items()))


def _times(simulation: Simulation, row: int) -> Iterator[Figure]:
    layers, hardware = simulation.layers, simulation.hardware
    moved = _moved(simulation, row)
    waits = []
    for (n, mode), sizes in moved.items():
        memory = hardware.memories[n]
        rate = dict(zip(("read", "write"), memory.rates, strict=True)).get(mode, memory.rate)
        if rate < math.inf:
            name = {"": "bandwidth"}.get(mode, mode)
            waits.append(total(sizes) / Term(f"{name}({memory.name})", rate, exact(rate, "B/s")))
    timeless = [n for n, memory in enumerate(hardware.memories) if min(memory.rates) == math.inf and (n, "") in moved]
    free = [hardware.memories[n].name for n in timeless]
    note = f"what lives in {', '.join(map(repr, free))} costs no time" if free else ""
    yield _checked("transfer", total(waits), layers["transfer_seconds"][row], "s", note)
    done: dict[Engine, list[str]] = {}
    amounts: dict[Engine, int] = {}
    for layer, operator, form, macs, other, _ in simulation.profile.parts.tuples():
        if layer == row:
            engine = hardware.engine_for(operator, form)
            done.setdefault(engine, []).append(operator)
            amounts[engine] = amounts.get(engine, 0) + 2 * macs + other
    shares = [
        Term("operations" if len(amounts) == 1 else f"operations({engine.name})", amount, f"{amount} OP")
        / Term(f"peak({engine.name})", engine.peak, exact(engine.peak, "OP/s"))
        for engine, amount in amounts.items()
    ]
    runs = "; ".join(f"{engine.name!r} runs {', '.join(operators)}" for engine, operators in done.items())
    yield _checked("compute", total(shares), layers["compute_seconds"][row], "s", f"engine {runs}")
    took = _took(simulation, row)
    yield _checked("total", took, layers["total_seconds"][row], "s", f"overlap: {simulation.overlap}")
    if simulation.seconds:
        share = number("total", layers["total_seconds"][row]) / number("network", simulation.seconds)
        yield _checked("share", share, layers["share"][row], "", "of the network's total time")
    yield Figure("bound by", None, layers["bound"][row], "the resource that takes longest")
