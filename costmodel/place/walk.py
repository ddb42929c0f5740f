"""Profile x Hardware x Plan -> a proof that a machine can run layers in parts so, or what is wrong with it.

The runs are walked in order with the whole maps that the memory keeps and those that are outside, and the bands of a
chain row by row: a row must be there when a layer needs it, be read from outside no more than once, and find room in
the buffer of its map. What crosses the border is added up on the way.
"""

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING

from costmodel.hardware import Hardware
from costmodel.place.nearer import nearer
from costmodel.place.placement import Traffic
from costmodel.place.verdict import Problem, Verdict
from costmodel.profile import MAPS, Profile
from costmodel.tile.attention import Blocks
from costmodel.tile.nest import Tiling, in_bytes
from costmodel.units import exact

if TYPE_CHECKING:
    from costmodel.tile.layers import Layer
    from costmodel.tile.plan import Plan, Run


def walk(profile: Profile, hardware: Hardware, plan: "Plan", claimed: Traffic | None = None) -> Verdict:
    """Walk the runs; ``claimed`` is the traffic that a simulation charged to the farthest memory."""
    walker = _Walk(profile, hardware, plan)
    for run in plan.runs:
        walker.run(run)
    if claimed:
        walker.compare(claimed)
    for layer, text, memory, needed in nearer(hardware, plan, claimed):
        walker.problems.append(Problem(walker.names[layer], memory, needed, text))
    peaks = [0] * len(hardware.memories)
    peaks[-2] = in_bytes(walker.peak + walker.pinned)
    for number, level in enumerate(plan.levels, start=3):
        peaks[-number] = max(level.taken, default=0)
    nothing = [[0] * len(profile.layers) for _ in hardware.memories[:-1]]
    return Verdict(tuple(walker.problems), tuple(peaks), Traffic([*nothing, walker.read], [*nothing, walker.written]))


class _Walk:
    """What is kept, what is outside, and what has gone wrong so far."""

    def __init__(self, profile: Profile, hardware: Hardware, plan: "Plan") -> None:
        self.profile, self.plan, self.maps = profile, plan, plan.maps
        *_, self.memory, self.farthest = hardware.memories
        self.names = profile.layers["layer"]
        self.kept: frozenset[int] = frozenset()
        self.outside = {tensor for tensor, entry in plan.maps.items() if entry.kind == "input"}
        self.last = {tensor: layer.row for run in plan.runs for layer in run.layers for tensor in layer.reads}
        columns = (profile.accesses[name] for name in ("layer", "tensor", "in_place"))
        self.free = {(layer, tensor) for layer, tensor, in_place in zip(*columns, strict=True) if in_place}
        self.read, self.written = ([0] * len(profile.layers) for _ in range(2))
        self.problems: list[Problem] = []
        self.peak = 0
        sizes, kinds = profile.tensors["bytes"], profile.tensors["kind"]
        self.pinned = 8 * sum([sizes[tensor] for tensor in plan.pinned])
        self.weights = [0] * len(profile.layers)
        """Bytes of the weights of each layer that do not stay."""
        for layer, tensor, _, size, _ in profile.accesses.tuples():
            if kinds[tensor] not in MAPS and tensor not in plan.pinned:
                self.weights[layer] += size
        ran = [layer.row for run in plan.runs for layer in run.layers]
        touching = sorted({*profile.accesses["layer"]})
        if ran != touching:
            self._fail(touching[0], "the runs are not all layers in their order")

    def run(self, run: "Run") -> None:
        """What it reads must be somewhere, and what it leaves must be where the next runs look for it."""
        first, end = run.layers[0].row, run.layers[-1].row
        if run.before != self.kept:
            self._fail(first, "it counts on other maps than those that were kept")
        moved: dict[tuple[int, bool], int] = {}
        for at, tensor, bits, written in run.moves:
            (self.written if written else self.read)[at] += in_bytes(bits)
            if tensor is not None:
                moved[tensor, written] = moved.get((tensor, written), 0) + bits
        made = {tensor for layer in run.layers for tensor in layer.writes}
        self._enter(run, made, moved)
        self.outside |= {tensor for tensor, written in moved if written}
        self._leave(run, made, end)
        for result, operand in run.over.items():
            if (first, operand) not in self.free or self.maps[result].size != self.maps[operand].size:
                self._fail(first, f"{self.maps[result].name!r} cannot take the place of {self.maps[operand].name!r}")
        taken = self._size((run.before | run.after).difference(run.over)) + self._work(run)
        self.peak = max(self.peak, taken)
        if taken > run.need or taken + self.pinned > 8 * self.memory.size:
            needed = in_bytes(taken + self.pinned)
            text = f"{exact(needed, 'B')} must be in {self.memory.name!r}, which has {exact(self.memory.size, 'B')}"
            self._fail(first, text, needed)
        self.kept = run.after

    def _enter(self, run: "Run", made: set[int], moved: dict[tuple[int, bool], int]) -> None:
        """What is neither there nor made is brought in, as far as it is needed; all of it where it stays."""
        for layer in run.layers:
            brought = sum([bits for at, tensor, bits, _ in run.moves if at == layer.row and tensor is None])
            if in_bytes(brought) < self.weights[layer.row] or layer.weights > 8 * self.weights[layer.row]:
                self._fail(layer.row, "it reads weights that are not brought in")
            for tensor, bits in zip(layer.reads, layer.fetched, strict=True):
                known = tensor in made or tensor in run.before
                if not known and (tensor not in self.outside or moved.get((tensor, False), 0) < bits):
                    self._fail(layer.row, f"it reads {self.maps[tensor].name!r}, which is not brought in")
        for tensor in run.after - run.before - made:
            if tensor not in self.outside or moved.get((tensor, False), 0) < self.maps[tensor].size:
                self._fail(run.layers[0].row, f"{self.maps[tensor].name!r} is to be kept and is not brought in")

    def _leave(self, run: "Run", made: set[int], end: int) -> None:
        """What is needed later stays or is outside, and so are the network's results."""
        for tensor in made | run.before:
            lost = self.last.get(tensor, end) > end and tensor not in run.after | self.outside
            if lost or (self.maps[tensor].kind == "output" and tensor not in self.outside):
                self._fail(end, f"{self.maps[tensor].name!r} is needed later and nowhere")

    def _work(self, run: "Run") -> int:
        """Bits taken beside the whole maps that are kept."""
        kept = run.before | run.after
        layer = run.layers[0]
        if run.lines is not None:
            self._bands(run)
            whole = {tensor for layer in run.layers for tensor in layer.stretched}
            lines = [
                self.maps[tensor].row * line.buffer for tensor, line in run.lines.items() if tensor not in kept | whole
            ]
            resident = sum(layer.weights for layer in run.layers if layer.row not in run.streamed)
            grains = [layer.grain for layer in run.layers if layer.row in run.streamed]
            return sum(lines) + self._size(whole - kept) + resident + max(grains, default=0)
        if run.tiling:
            return _tile(run.tiling)
        if run.kind == "whole":
            touched = {*layer.reads, *run.layers[-1].writes}
            return self._size(touched - kept) + layer.grain + sum(other.weights for other in run.layers[1:])
        return layer.piece(kept)

    def _bands(self, run: "Run") -> None:
        """Each band, layer by layer: the rows that a layer needs are there, and no buffer holds more than it can."""
        lines = run.lines or {}
        made = {layer.writes[0] for layer in run.layers}
        there = dict.fromkeys(lines, 0)  # rows made or read so far
        band = min(-(line.offset // line.rate) for line in lines.values()) - 1
        while any(there[tensor] < self.maps[tensor].rows for tensor in made):
            for layer in run.layers:
                (result,) = layer.writes
                line = lines[result]
                begin, end = there[result], min(self.maps[result].rows, line.rate * band + line.offset)
                if end <= begin:
                    continue
                there[result] = end
                for tensor, stride, _, ahead, apart in layer.links:
                    needed = min(self.maps[tensor].rows, ((end - 1) * stride + ahead) // apart + 1)
                    if tensor not in made:
                        there[tensor] = max(there[tensor], needed)
                    elif there[tensor] < needed:
                        self._fail(layer.row, f"row {needed - 1} of {self.maps[tensor].name!r} is not there in time")
                    self._buffer(run, layer, tensor, there, begin)
                self._buffer(run, layer, result, there, begin)
            band += 1

    def _buffer(self, run: "Run", layer: "Layer", tensor: int, there: dict[int, int], begin: int) -> None:
        """From the first row that some layer still needs to the last that is there, all must have room."""
        if run.lines is None or tensor in run.before | run.after:
            return
        first = [
            max(
                0,
                -((link.before - (begin if reader is layer else there[reader.writes[0]]) * link.stride) // link.apart),
            )
            for reader in run.layers
            for link in reader.links
            if link.tensor == tensor
        ]
        held = there[tensor] - min(first, default=begin if tensor in layer.writes else there[tensor])
        if tensor in layer.writes:
            held = max(held, there[tensor] - begin)
        if held > run.lines[tensor].buffer:
            self._fail(layer.row, f"{held} rows of {self.maps[tensor].name!r} must be in a buffer of fewer")

    def compare(self, claimed: Traffic) -> None:
        """Every byte is charged where it crossed the border."""
        for way, walked, charged in zip(("reads from", "writes to"), (self.read, self.written), claimed, strict=True):
            for layer, (moved, paid) in enumerate(zip(walked, charged[-1], strict=True)):
                if moved != paid:
                    self._fail(layer, f"{paid} B are charged for {way} {self.farthest.name!r}, where {moved} B go")

    def _size(self, tensors: Iterable[int]) -> int:
        return sum(self.maps[tensor].size for tensor in tensors)

    def _fail(self, layer: int, text: str, needed: int = 0) -> None:
        self.problems.append(Problem(self.names[layer], self.memory.name if needed else "", needed, text))


def _tile(tiling: Tiling | Blocks) -> int:
    """Bits of the largest tiles, and of what is there beside them."""
    if isinstance(tiling, Blocks):
        return tiling.nest.need(tiling.rows, key=tiling.key, value=tiling.value, mask=tiling.mask)
    nest = tiling.nest
    operand = prod(tiling.spans) * tiling.channels * nest.bits.input
    kernel = nest.kernel * tiling.filters * tiling.channels * nest.bits.kernel
    return nest.held + operand + kernel + prod(tiling.sizes) * tiling.filters * nest.bits.output
