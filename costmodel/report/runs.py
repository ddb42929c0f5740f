"""A plan of runs x a layer -> how it runs in parts: the formulas of its tiles or lines, and what crosses for it."""

from collections.abc import Iterator
from typing import NamedTuple

from costmodel.profile import AXES
from costmodel.report.term import Term, constant, number, product, total
from costmodel.tile.layers import Layer
from costmodel.tile.nest import Nest, Tiling
from costmodel.tile.plan import BAND, TILES, Plan, Run
from costmodel.units import exact, human


class Part(NamedTuple):
    """A figure to explain: what it is, its formula, what the plan has for it, its unit, and a note."""

    quantity: str
    term: Term | None
    expected: int
    unit: str = "B"
    note: str = ""


def parts(plan: Plan, row: int) -> Iterator[Part]:
    """How a layer runs."""
    found = plan.run_of(row)
    if found is None:
        return
    index, run, layer = found
    others = [other.name for other in run.layers if other is not layer]
    with_others = f" with {', '.join(others)}" if others else " alone"
    yield Part("run", None, 0, "", f"{run.kind} {index}{with_others}")
    if run.tiling and layer is run.layers[0]:
        yield from _tiles(run.nest, run.tiling)
    if run.kind == BAND and run.lines:
        yield from _band(plan, run, layer)
    row_of = plan.table["layer"].index(layer.name)
    columns = ("alone_bytes", "compulsory_bytes", "pebbling_bytes")
    alone, least, pebbling = (plan.table[name][row_of] for name in columns)
    note = f"floors: {human(least, 'B')} to move every byte once, {human(pebbling, 'B')} for any order of its products"
    if least:
        ratio = number("alone bytes", alone) / number("compulsory bytes", least)
        yield Part("refetch", ratio, plan.table["refetch"][row_of], "", note)


def _bytes(amounts: list[Term], bits: int) -> Term:
    return (product(amounts) * number("bits", bits)).divided_up(constant(8))


def _names(nest: Nest) -> list[str]:
    return ["images", *AXES[len(AXES) + 1 - len(nest.axes) :]]


def _tiles(nest: Nest, tiling: Tiling) -> Iterator[Part]:
    """The three tiles, and what all of them read and write."""
    named = list(zip(_names(nest), tiling.sizes, tiling.spans, tiling.reads, strict=True))
    under = [number(f"{name} under it", span) for name, _, span, _ in named]
    sizes = [number(name, size) for name, size, _, _ in named]
    channels, filters = number("channels", tiling.channels), number("filters", tiling.filters)
    loops = "for each tile of " + ", then of ".join(tiling.order)
    tile = _bytes([*sizes, filters], nest.bits.output)
    yield Part("tile of results", tile, int(tile.value), "B", loops)
    tile = _bytes([*under, channels], nest.bits.input)
    yield Part("tile of the operand", tile, int(tile.value), "B", "with its halo, without padding")
    groups, all_channels = number("groups", nest.groups), number("channels", nest.channels)
    read = [number(f"{name} read", count) for name, _, _, count in named]
    times = number("times", tiling.input_times)
    moved = _bytes([*read, all_channels, groups, times], nest.bits.input)
    yield Part("operand read", moved, -(-tiling.input_read(nest) * nest.bits.input // 8), "B", "halos once per tile")
    if nest.kernel:
        taps = number("kernel", nest.kernel)
        tile = _bytes([taps, channels, filters], nest.bits.kernel)
        yield Part("tile of the kernel", tile, int(tile.value))
        amounts = [groups, number("filters", nest.filters), all_channels, taps, number("times", tiling.kernel_times)]
        expected = nest.groups * nest.weights * tiling.kernel_times * nest.bits.kernel
        yield Part("kernel read", _bytes(amounts, nest.bits.kernel), -(-expected // 8))
    results = number("results", nest.groups * nest.outputs)
    expected = nest.groups * nest.outputs * nest.bits.output
    if tiling.visits > 1:
        back = _bytes([results, number("visits", tiling.visits) - constant(1)], nest.bits.output)
        yield Part("partial sums read", back, -(-expected * (tiling.visits - 1) // 8), "B", "as wide as a result")
    written = _bytes([results, number("visits", tiling.visits)], nest.bits.output)
    yield Part("results written", written, -(-expected * tiling.visits // 8))


def _band(plan: Plan, run: Run, layer: Layer) -> Iterator[Part]:
    """The lines of what the layer touches, and how often its weights are read."""
    kept = run.before | run.after
    for tensor in layer.touched:
        line = (run.lines or {}).get(tensor)
        entry = plan.maps[tensor]
        if line is None or tensor in kept:
            yield Part(f"lines of {entry.name}", None, 0, "", "all of it is there")
            continue
        rows, bits = number("rows", line.buffer), number("bits of a row", entry.row)
        size = (rows * bits).divided_up(constant(8))
        note = f"{line.rate} more per band" + (", then they circle" if line.buffer < entry.rows else "")
        yield Part(f"lines of {entry.name}", size, -(-line.buffer * entry.row // 8), "B", note)
    if layer.weights:
        made = layer.writes[0]
        bands = plan.maps[made].images * (run.lines or {})[made].bands(plan.maps[made].rows)
        times = bands if layer.row in run.streamed else 1
        read = number("weights", layer.weights // 8) * number("times", times)
        why = "in each band" if times > 1 else "they stay while the bands run"
        yield Part("weights read", read, layer.weights // 8 * times, "B", why)


def crossing(plan: Plan, row: int) -> list[tuple[str, int, bool]]:
    """What crosses the border of the external memory for a layer: what it is, its bytes, and whether it is written."""
    found = plan.run_of(row)
    reads = found[2].reads if found else ()
    named = []
    for layer, tensor, bits, written in plan.moves:
        if layer == row:
            name = "weights" if tensor is None else plan.maps[tensor].name
            direct = tensor is None or (tensor in reads and not written)
            label = name if direct else f"{'write' if written else 'read'} of {name}"
            named.append((label, -(-bits // 8), written))
    return named


def where(plan: Plan, row: int, tensor: int) -> str:
    """How a map that a layer touches is there for it."""
    found = plan.run_of(row)
    if found and tensor in found[1].before | found[1].after:
        return "kept whole"
    crosses = any(move.layer == row and move.tensor == tensor for move in plan.moves)
    if found and found[1].kind == BAND:
        return "line by line, from or to outside" if crosses else "line by line"
    if found and found[1].kind == TILES:
        return "piece by piece, from or to outside" if crosses else "piece by piece"
    return "from or to outside" if crosses else "whole"


def taken(plan: Plan, row: int) -> tuple[Term, str]:
    """The bytes of the internal memory that are taken while a layer runs."""
    held = [(layer.row, run) for run in plan.runs for layer in run.layers if layer.row <= row]
    if not held:
        return constant(0), ""
    at, run = held[-1]
    kept = (run.before | run.after).difference(run.over)
    whole = [number(plan.maps[tensor].name, plan.maps[tensor].size) for tensor in sorted(kept)]
    work = run.need - sum(plan.maps[tensor].size for tensor in kept)
    terms = [
        *whole,
        number(
            {"band": "lines and weights", "tiles": "tiles and small weights", "whole": "other maps and one kernel"}[
                run.kind
            ],
            work,
        ),
    ]
    bits = total([term for term in terms if term.value])
    note = "in bits" + ("" if at == row else ", as for the layer before")
    return bits.divided_up(constant(8)), f"{note}; {exact(plan.size, 'B')} are there"
