"""Hardware x Plan -> a proof that its steps go so through the memories nearer than its own, or what is wrong with it.

Of each layer the tiles must make up all of it, step by step and memory by memory. What a tile takes is added up from
the values under its windows, and how often it is read from the loops around it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from costmodel.hardware import Hardware
from costmodel.place.placement import Traffic
from costmodel.tile.nest import Nest, in_bytes
from costmodel.units import exact

if TYPE_CHECKING:
    from costmodel.tile.axis import Axis
    from costmodel.tile.layers import Layer
    from costmodel.tile.nest import Tiling
    from costmodel.tile.nested import Level, Part
    from costmodel.tile.plan import Plan

Charged = dict[tuple[int, int | None, bool], int]
"""Layer, map or None for weights, and whether it is written -> bits."""

Found = tuple[int, str, str, int]
"""The layer, what is wrong with it, and where bytes are missing the memory and the bytes that are needed."""


def nearer(hardware: Hardware, plan: "Plan", claimed: Traffic | None = None) -> Iterator[Found]:
    """All that is wrong; ``claimed`` is the traffic that a simulation charged."""
    real = {layer.row: layer for run in plan.runs for layer in run.layers}
    last = {layer.row: layer if run.lines else run.layers[-1] for run in plan.runs for layer in run.layers}
    numbers = range(len(hardware.memories) - 3, -1, -1)
    if len(numbers) != len(plan.levels):
        yield 0, f"the plan is for {len(plan.levels)} memories nearer than its own, and there are {len(numbers)}", "", 0
        return
    for number, level in zip(numbers, plan.levels, strict=True):
        memory, charged = hardware.memories[number], Charged()
        for layer, tensor, bits, written in level.moves:
            charged[layer, tensor, written] = charged.get((layer, tensor, written), 0) + bits
        for row, parts in level.parts.items():
            yield from _parts(real[row], last[row], parts, level, charged)
        for row, taken in enumerate(level.taken):
            if taken > memory.size:
                text = f"{exact(taken, 'B')} must be in {memory.name!r}, which has {exact(memory.size, 'B')}"
                yield row, text, memory.name, taken
        if claimed:
            paid = {way: amounts[number + 1] for way, amounts in zip((False, True), claimed, strict=True)}
            yield from _compare(plan, level, real, paid, hardware.memories[number + 1].name)


def _compare(
    plan: "Plan", level: "Level", real: Mapping[int, "Layer"], paid: Mapping[bool, Sequence[int]], memory: str
) -> Iterator[Found]:
    """What a layer with tiles reads from the farther memory of a level and writes there, whole maps that move too."""
    moved = {(row, way): 0 for row in level.rows for way in (False, True)}
    for layer, _, bits, written in level.moves:
        moved[layer, written] += in_bytes(bits)
    for layer, tensor, _, written in plan.moves if level is plan.levels[0] else ():
        own = real[layer].writes if written else real[layer].touched
        if layer in level.rows and tensor is not None and tensor not in own:
            moved[layer, not written] += in_bytes(plan.maps[tensor].size)
    for (row, written), size in moved.items():
        if paid[written][row] != size:
            way = "writes to" if written else "reads from"
            yield row, f"{paid[written][row]} B are charged for {way} {memory!r}, where {size} B go", "", 0


def _parts(
    layer: "Layer", last: "Layer", parts: tuple["Part", ...], level: "Level", charged: Charged
) -> Iterator[Found]:
    """The tiles of a layer: whether they make up all of it, take no more than is said, and move what is charged."""
    nest, row = layer.nest, layer.row
    assert isinstance(nest, Nest)  # noqa: S101 - other layers have no tiles
    _, second = layer.parts
    work, operand, kernel, back, written = [0, 0], 0, 0, 0, 0
    for (own, passing, begun), tiling, times in parts:
        work[0] += times * own.groups * own.outputs * own.channels
        work[1] += times * own.groups * own.products
        under, weights, results, need = _tile(own, tiling)
        operand += times * under
        kernel += 0 if passing and second is None else times * weights
        back += times * (results - (0 if begun else own.groups * own.outputs * own.bits.output))
        written += times * results
        if need > 8 * level.taken[row]:
            yield row, f"{in_bytes(need)} B are taken by tiles that are said to take {level.taken[row]} B", "", 0
        if passing and weights > own.groups * own.weights * own.bits.kernel:
            yield row, "weights that pass are needed again", "", 0
    if work != [nest.groups * nest.outputs * nest.channels, nest.groups * nest.products]:
        yield row, "its tiles do not make up all of it", "", 0
    final = charged.get((last.row, last.writes[0], True), 0) if last is not layer else 0
    for what, moved, paid in (
        ("its operand are read", operand, charged.get((row, layer.reads[0], False), 0)),
        ("its kernel are read", kernel, charged.get((row, second, False), 0)),
        ("partial sums are read", back, charged.get((row, layer.writes[0], False), 0)),
        ("its results are written", written, charged.get((row, layer.writes[0], True), 0) + final),
    ):
        if paid < moved:
            yield row, f"{in_bytes(moved)} B of {what}, and {in_bytes(paid)} B are charged", "", 0


def _tile(nest: Nest, tiling: "Tiling") -> tuple[int, int, int, int]:
    """Bits read of operand and kernel, bits of results written, and bits taken."""
    under = [_under(axis, size) for axis, size in zip(nest.axes, tiling.sizes, strict=True)]
    counts = {
        "pixels": prod([-(-axis.out // size) for axis, size in zip(nest.axes, tiling.sizes, strict=True)]),
        "filters": -(-nest.filters // tiling.filters),
        "channels": -(-nest.channels // tiling.channels),
    }

    def again(*used: str) -> int:
        """How often all tiles of an operand are there: the loops that do not change it, around one that does."""
        turning = [n for n, loop in enumerate(tiling.order) if loop in used and counts[loop] > 1]
        around = tiling.order[: max(turning, default=0)]
        return prod([counts[loop] for loop in around if loop not in used])

    operand = nest.groups * nest.channels * prod([read for read, _ in under]) * nest.bits.input
    kernel = nest.groups * nest.weights * nest.bits.kernel
    results = nest.groups * nest.outputs * nest.bits.output
    need = (
        nest.held + tiling.filters * nest.each + prod([most for _, most in under]) * tiling.channels * nest.bits.input
    )
    need += nest.kernel * tiling.filters * tiling.channels * nest.bits.kernel
    need += prod(tiling.sizes) * tiling.filters * nest.bits.output
    return (
        operand * again("pixels", "channels"), kernel * again("filters", "channels"),
        results * again("pixels", "filters"), need,
    )  # fmt: skip


@lru_cache(maxsize=65536)
def _under(axis: "Axis", size: int) -> tuple[int, int]:
    """Values under the windows of each tile of so many, in all and the most."""
    if axis.plain:
        return axis.size, size
    read, most, taps = 0, 0, range(axis.kernel)
    for first in range(0, axis.out, size):
        windows = range(first, min(first + size, axis.out))
        places = {window * axis.stride + tap * axis.dilation - axis.before for window in windows for tap in taps}
        inside = sum([not place % axis.apart and 0 <= place // axis.apart < axis.size for place in places])
        read, most = read + inside, max(most, inside)
    return read, most
