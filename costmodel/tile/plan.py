"""Runs of layers -> what they move and take: how a network goes through a small memory, as a table.

A run is one layer in tiles, which layers behind it may finish value by value; one layer on whole maps, which may be
finished so too; or a fused chain in bands of rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from costmodel.profile import MAPS, Profile
from costmodel.table import Column, Table
from costmodel.tile.attention import Blocks, Heads
from costmodel.tile.bands import Lines
from costmodel.tile.floors import pebbling
from costmodel.tile.layers import Layer, Map
from costmodel.tile.nest import Nest, Tiling, in_bytes

if TYPE_CHECKING:
    from costmodel.tile.nested import Level

TILES, WHOLE, BAND = "tiles", "whole", "band"

NONE: Final[frozenset[int]] = frozenset()

COLUMNS: Final = (
    Column("layer", str, "", "the kernel's name: block and node, fused nodes joined by +"),
    Column("run", int, "", "number of the run, from 1: layers with the same one run together"),
    Column("kind", str, "", "tiles: piece by piece; band: by rows, layer after layer; whole: on whole maps"),
    Column("tile_images", int, "", "images of a tile of results"),
    Column("tile_rows", int, "", "rows of a tile or band of results; 1 for what has no positions"),
    Column("tile_columns", int, "", "columns of a tile of results, all further axes of positions multiplied"),
    Column("tile_channels", int, "", "channels of a tile of the operand, of one group"),
    Column("tile_filters", int, "", "channels of a tile of results, of one group"),
    Column("order", str, "", "of a layer in tiles, the loops over them, outermost first"),
    Column("read_bytes", int, "B", "bytes read from the external memory", "sum"),
    Column("written_bytes", int, "B", "bytes written to the external memory", "sum"),
    Column("alone_bytes", int, "B", "the fewest bytes moved if its maps come from outside and go there", "sum"),
    Column("compulsory_bytes", int, "B", "floor of that: every byte that it needs or makes, once", "sum"),
    Column("pebbling_bytes", int, "B", "floor of that by the size of the memory, for any order of its products", "sum"),
    Column("refetch", float, "", "alone_bytes / compulsory_bytes"),
    Column("memory_bytes", int, "B", "bytes of the internal memory that are taken", "max"),
)


class Move(NamedTuple):
    """Bits that cross between the memories for a layer."""

    layer: int
    """Row of the profile."""
    tensor: int | None
    """Row of the map; None for weights."""
    bits: int
    written: bool


@dataclass(frozen=True)
class Run:
    """Consecutive layers that run together."""

    kind: str
    layers: tuple[Layer, ...]
    moves: tuple[Move, ...]
    need: int
    """Bits of the internal memory that are taken, beside weights that stay from image to image."""
    before: frozenset[int]
    """Maps that are in the internal memory from the run before; as all that is kept, whole until this run is over."""
    after: frozenset[int]
    """Maps that are kept for the run behind."""
    tiling: Tiling | Blocks | None = None
    lines: dict[int, Lines] | None = None
    streamed: frozenset[int] = NONE
    """Layers of a band whose weights are read again in every band."""

    @property
    def over(self) -> dict[int, int]:
        """The result that takes the place of an operand, both whole -> that operand."""
        return overwriting(self.layers, self.before, self.after)

    def places(self, layer: Layer, maps: Mapping[int, Map]) -> dict[int | None, int]:
        """Of each map that a layer reads, and of its weights under None, the bits that are there at once for it.

        What passes in pieces that several layers share the room for is left out.
        """
        found: dict[int | None, int] = {}
        whole = {*self.after}
        if self.lines is not None:
            found |= {tensor: maps[tensor].row * line.buffer for tensor, line in self.lines.items()}
            found[None] = 0 if layer.row in self.streamed else layer.weights
            whole |= {*layer.stretched}
        elif layer is not self.layers[0]:
            found[None] = layer.weights
        elif self.tiling:
            found |= dict(zip(layer.parts, self.tiling.places, strict=True))
        elif self.kind == WHOLE:
            whole |= {*layer.reads}
        return found | {tensor: maps[tensor].size for tensor in whole}


@dataclass(frozen=True)
class Plan:
    """How a network runs with ``size`` bytes of internal memory."""

    profile: Profile
    size: int
    maps: dict[int, Map]
    runs: tuple[Run, ...]
    alone: dict[int, int]
    """Row of each layer -> the fewest bits that it moves alone."""
    pinned: frozenset[int] = NONE
    """Rows of the weights that are in the internal memory all the time, from image to image."""
    levels: tuple["Level", ...] = ()
    """How its steps go through the memories that are nearer still, from the farthest of these on."""

    @cached_property
    def pinned_bytes(self) -> int:
        """Bytes of the weights that stay."""
        sizes = self.profile.tensors["bytes"]
        return sum([sizes[tensor] for tensor in self.pinned])

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """All that crosses."""
        return tuple([move for run in self.runs for move in run.moves])

    def traffic(self) -> tuple[list[int], list[int]]:
        """Bytes read from the external memory and written to it, by layer of the profile."""
        both = [[0] * len(self.profile.layers) for _ in range(2)]
        for layer, _, bits, written in self.moves:
            both[written][layer] += in_bytes(bits)
        return both[0], both[1]

    def taken(self) -> list[int]:
        """Bytes of the internal memory that are taken, by layer; a view has those of the layer before."""
        found = {layer.row: self.pinned_bytes + in_bytes(run.need) for run in self.runs for layer in run.layers}
        return with_views(found, len(self.profile.layers), self.pinned_bytes)

    def run_of(self, row: int) -> tuple[int, Run, Layer] | None:
        """A layer by its row of the profile, with its run and that one's number; None for a view."""
        for number, run in enumerate(self.runs, start=1):
            for layer in run.layers:
                if layer.row == row:
                    return number, run, layer
        return None

    @property
    def external_bytes(self) -> int:
        """All bytes read and written."""
        return sum(map(sum, self.traffic()))

    @property
    def compulsory_bytes(self) -> int:
        """What no plan can do without."""
        weights = weights_needed(self.profile)
        least = compulsory_bytes(self.profile, [layer for run in self.runs for layer in run.layers], self.maps)
        return least - sum([weights[tensor] for tensor in self.pinned])

    @cached_property
    def table(self) -> Table:
        """A row for each layer that touches a memory."""
        read, written = self.traffic()
        rows = []
        for number, run in enumerate(self.runs, start=1):
            for layer in run.layers:
                alone, floor = in_bytes(self.alone[layer.row]), compulsory(layer, self.maps)
                rows.append(
                    (
                        layer.name,
                        number,
                        run.kind,
                        *self._tile(run, layer),
                        ", ".join(run.tiling.order) if run.tiling else "",
                        read[layer.row],
                        written[layer.row],
                        alone,
                        floor,
                        pebbling(layer.nest, 8 * self.size) if isinstance(layer.nest, Nest) else 0,
                        alone / floor if floor else 1.0,
                        self.pinned_bytes + in_bytes(run.need),
                    )
                )
        return Table.of(COLUMNS, rows)

    def _tile(self, run: Run, layer: Layer) -> tuple[int, int, int, int, int]:
        """Images, rows, columns, channels and filters of a tile."""
        made = self.maps[layer.writes[0]]
        channels, filters = (layer.nest.channels, layer.nest.filters) if layer.nest else (made.channels, made.channels)
        if run.tiling:
            return run.tiling.block
        if run.lines:
            return 1, min(made.rows, run.lines[layer.writes[0]].rate), made.columns, channels, filters
        if run.kind == WHOLE:
            return made.images, made.rows, made.columns, channels, filters
        return 1, 1, 1, 1, 1


def with_views(found: Mapping[int, int], count: int, first: int = 0) -> list[int]:
    """Amounts by layer, also for views: those of the layer before, or the ``first``."""
    held = []
    for row in range(count):
        first = found.get(row, first)
        held.append(first)
    return held


def weights_needed(profile: Profile) -> dict[int, int]:
    """Row of each weight -> the bytes that are needed of it, once, whoever else reads it too."""
    needed: dict[int, int] = {}
    kinds = profile.tensors["kind"]
    for tensor, size in zip(profile.accesses["tensor"], profile.accesses["bytes"], strict=True):
        if kinds[tensor] not in MAPS:
            needed[tensor] = max(needed.get(tensor, 0), size)
    return needed


def compulsory_bytes(profile: Profile, layers: Iterable[Layer], maps: Mapping[int, Map]) -> int:
    """What a network cannot do without: what is needed of its inputs, the weights, the outputs; each once."""
    needed: dict[int, int] = {}
    total = sum(weights_needed(profile).values())
    for layer in layers:
        for tensor, bits in zip(layer.reads, layer.fetched, strict=True):
            needed[tensor] = max(needed.get(tensor, 0), bits)
        needed |= {tensor: maps[tensor].size for tensor in layer.writes}
    return total + sum([in_bytes(bits) for tensor, bits in needed.items() if maps[tensor].outside])


def compulsory(layer: Layer, maps: Mapping[int, Map]) -> int:
    """Bytes that a layer needs of its operands, its weights, and its results; each once."""
    return in_bytes(layer.weights) + sum(map(in_bytes, (*layer.fetched, *[maps[made].size for made in layer.writes])))


def overwriting(layers: Sequence[Layer], before: frozenset[int], after: frozenset[int]) -> dict[int, int]:
    """The result of a layer that is kept and takes the place of an operand that is not kept any longer."""
    layer = layers[0]
    if len(layers) > 1 or not layer.over or layer.writes[0] not in after:
        return {}
    free = [tensor for tensor in layer.over if tensor in before and tensor not in after]
    return dict(zip(layer.writes, free, strict=False))


def finished(layers: Sequence[Layer], kept: frozenset[int] = NONE) -> Nest | Heads:
    """The nest of the first of the layers, with the weights of the others at hand to finish its tiles.

    A map that is kept takes part where it is: it has no tiles.
    """
    layer, *others = layers
    nest = layer.nest
    assert nest is not None  # noqa: S101 - what is tiled has a nest
    parts = dict(zip(nest.bits._fields, (*layer.parts, layers[-1].writes[0]), strict=True))
    whole: Any = dict.fromkeys([name for name, part in parts.items() if part in kept], 0)
    bits: Any = nest.bits._replace(**whole)
    return nest._replace(bits=bits, held=layer.piece(kept) + sum([other.weights for other in others]))


def tiled(layers: Sequence[Layer], tiling: Tiling | Blocks, kept: frozenset[int] = NONE) -> list[Move]:
    """All that crosses for a layer in tiles and those that finish them, of all maps but those that are kept."""
    layer, *others = layers
    row, (result,) = layer.row, layers[-1].writes
    read = dict(zip(layer.reads, layer.fetched, strict=True))
    weights = layer.weights
    for part, (moved, once) in zip(layer.parts, tiling.amounts, strict=True):
        if part is None:
            weights += moved - once
        else:
            read[part] = moved
    moves = [Move(row, tensor, bits, written=False) for tensor, bits in read.items() if tensor not in kept]
    moves += [Move(row, None, weights, written=False)] * (weights > 0)
    moves += [Move(other.row, None, other.weights, written=False) for other in others if other.weights]
    if result in kept:
        return moves
    if tiling.visits > 1:
        again = tiling.results * (tiling.visits - 1)
        moves += [Move(row, layer.writes[0], again, written=way) for way in (True, False)]
    return [*moves, Move(layers[-1].row, result, tiling.results, written=True)]
