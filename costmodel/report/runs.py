"""A plan of runs x a layer -> how it runs in parts: the formulas of its tiles or lines, and what crosses for it."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from costmodel.profile import AXES
from costmodel.report.term import Term, constant, number, product, total
from costmodel.tile.attention import Blocks
from costmodel.tile.layers import Layer
from costmodel.tile.nest import Nest, Tiling
from costmodel.tile.nested import Level
from costmodel.tile.plan import BAND, TILES, Move, Plan, Run
from costmodel.units import exact, human

MOST: Final = 3
"""Kinds of steps that are shown."""

WHOLE: Final = "all of it is there"


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
        yield from _blocks(run.tiling) if isinstance(run.tiling, Blocks) else _tiles(run.tiling)
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


def _tiles(tiling: Tiling) -> Iterator[Part]:
    """The three tiles, and what all of them read and write; none of a map that is kept whole."""
    nest, ((operand_bits, _), (kernel_bits, _)) = tiling.nest, tiling.amounts
    named = list(zip(_names(nest), tiling.sizes, tiling.spans, tiling.reads, strict=True))
    under = [number(f"{name} under it", span) for name, _, span, _ in named]
    sizes = [number(name, size) for name, size, _, _ in named]
    channels, filters = number("channels", tiling.channels), number("filters", tiling.filters)
    loops = "for each tile of " + ", then of ".join(tiling.order)
    if nest.bits.output:
        tile = _bytes([*sizes, filters], nest.bits.output)
        yield Part("tile of results", tile, int(tile.value), "B", loops)
    else:
        yield Part("tile of results", None, 0, "", f"{WHOLE}; {loops}")
    groups, all_channels = number("groups", nest.groups), number("channels", nest.channels)
    if nest.bits.input:
        tile = _bytes([*under, channels], nest.bits.input)
        yield Part("tile of the operand", tile, int(tile.value), "B", "with its halo, without padding")
        read = [number(f"{name} read", count) for name, _, _, count in named]
        times = number("times", tiling.input_times)
        moved = _bytes([*read, all_channels, groups, times], nest.bits.input)
        yield Part("operand read", moved, -(-operand_bits // 8), "B", "halos once per tile")
    else:
        yield Part("tile of the operand", None, 0, "", WHOLE)
    if nest.kernel and nest.bits.kernel:
        taps = number("kernel", nest.kernel)
        tile = _bytes([taps, channels, filters], nest.bits.kernel)
        yield Part("tile of the kernel", tile, int(tile.value))
        amounts = [groups, number("filters", nest.filters), all_channels, taps, number("times", tiling.kernel_times)]
        yield Part("kernel read", _bytes(amounts, nest.bits.kernel), -(-kernel_bits // 8))
    if not nest.bits.output:
        return
    results = number("results", nest.groups * nest.outputs)
    if tiling.visits > 1:
        back = _bytes([results, number("visits", tiling.visits) - constant(1)], nest.bits.output)
        yield Part("partial sums read", back, -(-tiling.results * (tiling.visits - 1) // 8), "B", "as wide as a result")
    written = _bytes([results, number("visits", tiling.visits)], nest.bits.output)
    yield Part("results written", written, -(-tiling.results * tiling.visits // 8))


def _blocks(tiling: Blocks) -> Iterator[Part]:
    """The scores of a block of queries, and what all blocks read and write; nothing of a map that is kept whole."""
    nest, bits = tiling.nest, tiling.nest.bits
    keys, groups = number("keys", nest.keys), number("groups", nest.groups)
    scores = _bytes([number("heads", tiling.heads), number("queries", tiling.queries), keys], nest.score)
    yield Part("scores of a block", scores, int(scores.value), "B", "all of its queries' with all keys of their head")
    blocks = [
        number(f"parts of the {name}", count) for name, count in zip(("heads", "queries"), tiling.cuts, strict=True)
    ]
    all_queries = [groups, number("heads", nest.heads), number("queries", nest.queries)]
    (query, _), (key, _), (value, _), (mask, _) = tiling.amounts
    channels, filters = number("channels", nest.channels), number("filters", nest.filters)
    amounts = [
        ("queries read", [*all_queries, channels], bits.query, query, ""),
        ("keys read", [groups, keys, channels, *(() if tiling.key else blocks)], bits.key, key, _stays(tiling.key)),
        (
            "values read",
            [groups, keys, filters, *(() if tiling.value else blocks)],
            bits.value,
            value,
            _stays(tiling.value),
        ),
    ]
    if nest.mask:
        read = [number("mask", nest.mask)]
        if not tiling.mask:
            *spans, last = nest.spans
            rows = [
                number(f"{name} told apart", span) if span > 1 else part
                for name, span, part in zip(("heads", "queries"), spans, blocks, strict=True)
            ]
            read = [groups, *rows, number("keys told apart", last)]
        amounts.append(("mask read", read, bits.mask, mask, _stays(tiling.mask)))
    amounts.append(("results written", [*all_queries, filters], bits.result, tiling.results, ""))
    for quantity, factors, width, moved, note in amounts:
        if width:
            yield Part(quantity, _bytes(factors, width), -(-moved // 8), "B", note)
        else:
            yield Part(quantity, None, 0, "", WHOLE)


def _stays(stays: bool) -> str:
    """What a reader should know of keys, values or a mask."""
    return "once, for all blocks" if stays else "again for each block"


def _band(plan: Plan, run: Run, layer: Layer) -> Iterator[Part]:
    """The lines of what the layer touches, and how often its weights are read."""
    kept = run.before | run.after
    for tensor in layer.touched:
        line = (run.lines or {}).get(tensor)
        entry = plan.maps[tensor]
        if line is None or tensor in kept:
            yield Part(f"lines of {entry.name}", None, 0, "", WHOLE)
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


def crossing(plan: Plan, row: int, moves: Iterable[Move]) -> list[tuple[str, int, bool]]:
    """What crosses the border of a memory for a layer: what it is, its bytes, and whether it is written."""
    found = plan.run_of(row)
    reads = found[2].reads if found else ()
    named = []
    for layer, tensor, bits, written in moves:
        if layer == row:
            name = "weights" if tensor is None else plan.maps[tensor].name
            direct = tensor is None or (tensor in reads and not written)
            label = name if direct else f"{'write' if written else 'read'} of {name}"
            named.append((label, -(-bits // 8), written))
    return named


def steps(level: Level, row: int) -> list[str]:
    """How the steps of a layer go through a nearer memory: how many there are of each kind, and their tiles."""
    parts = sorted(level.parts.get(row, ()), key=lambda part: -part.times)
    shown = [
        f"{part.times} of {'x'.join(str(axis.out) for axis in part.step.nest.axes)} results, {part.step.nest.filters} "
        f"filters and {part.step.nest.channels} channels, in tiles of {'x'.join(map(str, part.tiling.sizes))}, "
        f"{part.tiling.filters} and {part.tiling.channels}, for each of {', then of '.join(part.tiling.order)}"
        for part in parts[:MOST]
    ]
    return shown if len(parts) <= MOST else [*shown, f"{len(parts) - MOST} more kinds of steps, at edges and ends"]


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
    whole += [number("weights that stay", 8 * plan.pinned_bytes)]
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
