"""Plan x sizes of nearer memories -> how the steps of its runs go through these: tiles in tiles, memory by memory.

What a step of a run works on - a tile, a band of a layer, a layer on whole maps - lies in one memory, and the step is
itself a layer on as much less: its nest is cut to it, halos and all, and the same search finds its tiles for the next
nearer memory; so on inward. Steps that are cut alike are counted together. A step begins and ends with all it works on
in the farther memory: it reads partial sums back if another step has begun them. What belongs to the filters, such as
a bias, is there with a tile of them, and is read for each tile of results that is finished; what is stretched over the
results stays until the layer, or its band, is done.

What has no nest is read and written in passing: all nearer memories, from where it is, once. So is attention, whose
blocks of queries are of the plan's own memory alone; and so are operands with a value for each result, beside a product
in tiles, if they come from farther away. Weights that pass the farther memory are read once per layer, or per band: the
tiles of such a step are those that need no weight again. Maps that the plan's own memory keeps are read and written
there, like all that a step works on.

What an engine reads of the tiles in the nearest memory crosses no border, and is not counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

from costmodel.errors import CostModelError
from costmodel.tile import layers as reading
from costmodel.tile.axis import Axis
from costmodel.tile.bands import Lines
from costmodel.tile.layers import Layer, Values
from costmodel.tile.nest import Nest, Tiling, in_bytes
from costmodel.tile.plan import NONE, WHOLE, Move, Plan, Run, finished, with_views
from costmodel.units import exact

_search = lru_cache(maxsize=65536)(Nest.search)


class Step(NamedTuple):
    """A layer, or as much of it as a step of the farther memory does."""

    nest: Nest
    passing: bool = False
    """Whether its weights come from farther away, and pass once."""
    begun: bool = False
    """Whether its results are partial sums that are there already."""


class Part(NamedTuple):
    """Steps that are cut alike."""

    step: Step
    tiling: Tiling
    times: int
    """How many there are."""


class Level(NamedTuple):
    """How the layers that have a nest go from one memory to the next nearer one."""

    parts: dict[int, tuple[Part, ...]]
    """By the layer's row of the profile."""
    rows: frozenset[int]
    """Of these layers, and of those that finish their tiles."""
    moves: tuple[Move, ...]
    """Bits that cross: read from the farther memory, or written to it."""
    taken: tuple[int, ...]
    """Bytes of the nearer memory that are taken, by layer; a view has those of the layer before."""


class _Work(NamedTuple):
    """A layer with a nest, what finishes its tiles, and its steps."""

    layers: tuple[Layer, ...]
    steps: Counter[Step]
    small: tuple["_Small", ...]
    first: tuple[Move, ...]
    """What is read from the memory of the plan beside tiles: what stays until the layer, or its band, is done; weights
    that are pinned, once; operands that pass."""
    later: tuple[Move, ...]
    """What is read so from the nearer ones: what stays."""


def levels(plan: Plan, memories: Sequence[tuple[int, str]]) -> tuple[Level, ...]:
    """For each memory nearer than the plan's own, from the farthest of them on: its bytes, and what it is called."""
    if not memories:
        return ()
    real = {layer.row: layer for layer in reading.layers(plan.profile, plan.maps)}  # weights that stay are read, too
    weights = reading.weights(plan.profile)
    works = [work for run in plan.runs for work in _works(plan, run, real, weights)]
    rows = frozenset(layer.row for work in works for layer in work.layers)
    found: list[Level] = []
    for size, name in memories:
        parts = {work.layers[0].row: tuple(_parts(work, size, name)) for work in works}
        least = {row: finished([layer]).smallest if layer.nest else layer.piece(NONE) for row, layer in real.items()}
        need = {row: bits if bits <= 8 * size else 0 for row, bits in least.items()}
        moves: list[Move] = []
        for work in works:
            own = parts[work.layers[0].row]
            need |= dict.fromkeys([layer.row for layer in work.layers], max([part.tiling.need for part in own]))
            moves += [*(work.later if found else work.first), *_moves(work, own)]
        moves = [move for move in moves if move.bits]
        taken = with_views({row: in_bytes(bits) for row, bits in need.items()}, len(plan.profile.layers))
        found.append(Level(parts, rows, tuple(moves), tuple(taken)))
        works = [work._replace(steps=_inner(parts[work.layers[0].row])) for work in works]
    return tuple(found)


class _Small(NamedTuple):
    """Weights beside the kernel, in bits."""

    row: int
    share: int
    """For each filter of the nest."""
    whole: int
    """Of those that do not belong to the filters."""


def _works(plan: Plan, run: Run, real: Mapping[int, Layer], weights: Sequence[Sequence[Values]]) -> Iterator[_Work]:
    """The layers of a run that have a nest of windows or products; all that finish a tile of the first go with it."""
    for chosen in [run.layers] if run.lines is None else [(layer,) for layer in run.layers]:
        layers = tuple([real[layer.row] for layer in chosen])
        layer = layers[0]
        if not isinstance(layer.nest, Nest):
            continue
        _, second = layer.parts
        small = [_small(each, layer.nest, weights[each.row], own=each is layer and second is None) for each in layers]
        own, *others = small
        held = layer.piece(NONE) - layer.nest.groups * layer.nest.filters * own.share
        held += sum([each.whole for each in others])
        nest = layer.nest._replace(held=held, each=sum([each.share for each in small]))
        streamed = (
            chosen[0].weights if run.kind == WHOLE or layer.row in run.streamed else 0
        )  # pinned ones have no bits
        top = Step(nest, passing=streamed > 0)
        steps = Counter({top: 1})
        if isinstance(run.tiling, Tiling):
            steps = Counter(dict(_cut(top, run.tiling)))
        elif run.lines:
            steps = _bands(top, run.lines[layer.writes[0]])
        visits = steps.total() if run.lines else 1
        held_of = [Move(each.row, None, each.whole, written=False) for each in others]
        later = [Move(layer.row, None, visits * own.whole, written=False)]
        first = [Move(layer.row, None, visits * (layer.weights - streamed), written=False)] if streamed else [*later]
        for tensor, bits in zip(layer.reads[1:], layer.fetched[1:], strict=True):
            if tensor == second:
                continue
            if plan.maps[tensor].elements != plan.maps[layer.writes[0]].elements:
                held_of.append(Move(layer.row, tensor, visits * bits, written=False))
            elif not run.tiling or tensor in run.before | run.after:
                first.append(Move(layer.row, tensor, bits, written=False))
        yield _Work(layers, steps, tuple(small), (*held_of, *first), (*held_of, *later))


def _small(layer: Layer, nest: Nest, weights: Sequence[Values], *, own: bool) -> _Small:
    """Weights of a layer that come in filters of a nest, and all others, beside the kernel if that is its ``own``."""
    small, filters = list(weights), nest.groups * nest.filters
    if own and nest.kernel:
        small.remove(next(values for values in small if values.elements == nest.groups * nest.weights))
    share = sum([values.size for values in small if not values.elements % filters])
    return _Small(layer.row, share // filters, sum([values.size for values in small]) - share)


def _bands(step: Step, line: Lines) -> Counter[Step]:
    """The new rows of a layer's result, band by band and image by image."""
    images, rows, *others = step.nest.axes
    steps: Counter[Step] = Counter()
    first, band = 0, -(line.offset // line.rate)
    while first < rows.out:
        end = min(rows.out, line.rate * band + line.offset)
        if end > first:
            axes = (Axis(1, 1), cut(rows, first, end), *others)
            steps[step._replace(nest=step.nest._replace(axes=axes))] += images.out
            first = end
        band += 1
    return steps


@lru_cache(maxsize=65536)
def cut(axis: Axis, first: int, end: int) -> Axis:
    """The axis of some of its outputs alone, with the values that lie under their windows."""
    start = first * axis.stride - axis.before
    last = start + (end - 1 - first) * axis.stride + axis.extent - 1
    low, high = max(0, -(-start // axis.apart)), min(axis.size, last // axis.apart + 1)
    return axis._replace(size=max(0, high - low), out=end - first, before=low * axis.apart - start)


def _cut(step: Step, tiling: Tiling) -> Iterator[tuple[Step, int]]:
    """The steps that a tiling makes of a step, and how many are alike.

    The first channels begin the partial sums, and the last finish them with what belongs to the filters.
    """
    nest, passing, begun = step
    every = [_alike(axis, size) for axis, size in zip(nest.axes, tiling.sizes, strict=True)]
    cuts = list(enumerate(_sizes(nest.channels, tiling.channels), start=1))
    channels = Counter([(size, begun or n > 1, nest.each if n == len(cuts) else 0) for n, size in cuts])
    filters = Counter(_sizes(nest.filters, tiling.filters))
    for places in product(*every):
        alike = nest.groups * prod([count for _, count in places])
        axes = tuple([axis for axis, _ in places])
        for (many, times), ((few, again, each), repeated) in product(filters.items(), channels.items()):
            part = nest._replace(groups=1, axes=axes, filters=many, channels=few, each=each)
            yield Step(part, passing, again), alike * times * repeated


@lru_cache(maxsize=65536)
def _alike(axis: Axis, size: int) -> tuple[tuple[Axis, int], ...]:
    """The tiles of an axis, and how many there are of each kind."""
    if axis.plain:
        return tuple(
            [(axis._replace(size=out, out=out), count) for out, count in Counter(_sizes(axis.out, size)).items()]
        )
    tiles = [cut(axis, first, min(first + size, axis.out)) for first in range(0, axis.out, size)]
    return tuple(Counter(tiles).items())


def _sizes(extent: int, tile: int) -> list[int]:
    """The tiles of an extent."""
    return [min(tile, extent - first) for first in range(0, extent, tile)]


def _inner(parts: Sequence[Part]) -> Counter[Step]:
    """The steps of the next nearer memory; all weights are at hand there."""
    steps: Counter[Step] = Counter()
    for step, tiling, times in parts:
        for inner, count in _cut(step._replace(passing=False), tiling):
            steps[inner] += times * count
    return steps


def _parts(work: _Work, size: int, memory: str) -> Iterator[Part]:
    """The best tiles of each step."""
    for step, times in work.steps.items():
        tiling = _search(step.nest, 8 * size, once=step.passing)
        if tiling is None:
            least = in_bytes(max([each.nest.smallest for each in work.steps]))
            raise CostModelError(
                f"layer {work.layers[0].name!r} needs at least {exact(least, 'B')} of {memory} for its smallest tile, "
                f"and there are {exact(size, 'B')}"
            )
        yield Part(step, tiling, times)


def _moves(work: _Work, parts: Sequence[Part]) -> Iterator[Move]:
    """What crosses of operand, kernel and results, and of what belongs to the filters; the last writes the results."""
    layer, last = work.layers[0], work.layers[-1]
    _, second = layer.parts
    operand = kernel = back = partial = final = 0
    shares = dict.fromkeys([small.row for small in work.small], 0)
    for (nest, passing, begun), tiling, times in parts:
        results = times * tiling.results
        (under, _), (taken, _) = tiling.amounts
        operand += times * under
        if second is not None or not passing:
            kernel += times * taken
        back += (tiling.visits - 1 + begun) * results
        partial += tiling.visits * results
        final += 0 if begun else results
        if nest.each:
            tiles = times * prod([-(-axis.out // size) for axis, size in zip(nest.axes, tiling.sizes, strict=True)])
            for small in work.small:
                if not (passing and small.row == layer.row):
                    shares[small.row] += tiles * nest.groups * nest.filters * small.share
    yield Move(layer.row, layer.reads[0], operand, written=False)
    yield Move(layer.row, second, kernel, written=False)
    yield from [Move(row, None, bits, written=False) for row, bits in shares.items()]
    yield Move(layer.row, layer.writes[0], back, written=False)
    yield Move(layer.row, layer.writes[0], partial - final, written=True)
    yield Move(last.row, last.writes[0], final, written=True)
