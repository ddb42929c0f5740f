"""Profile -> what tiling asks of each layer: its loop nest, its weights, and how its rows hang on those it reads."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from costmodel.profile import AXES, MAPS, Profile
from costmodel.tile.attention import Heads, Widths
from costmodel.tile.axis import Axis, taps
from costmodel.tile.nest import Bits, Nest

Shape = tuple[int, ...]


class Values(NamedTuple):
    """A weight."""

    elements: int
    bits: int
    size: int
    """Bits that are read of it."""
    shape: Shape


class Map(NamedTuple):
    """A tensor that flows between layers; its sizes are in bits."""

    name: str
    kind: str
    shape: Shape
    elements: int
    bits: int
    """Width of an element."""
    size: int
    images: int
    rows: int
    """Its extent along the first axis of positions; 1 without one."""
    row: int
    """A row of one image, as wide as the map and through all its channels."""

    @property
    def channels(self) -> int:
        """Its extent along the axis behind the images; 1 without one."""
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def columns(self) -> int:
        """Its extent along all axes behind the rows."""
        return prod(self.shape[3:])

    @property
    def outside(self) -> bool:
        """Whether the external memory has it anyway: it comes from there or goes there."""
        return self.kind != "map"


class Link(NamedTuple):
    """How rows of a result hang on those of an operand: row r needs rows r*stride - before to r*stride + ahead.

    Where rows are ``apart``, row q lies at q*apart.
    """

    tensor: int
    stride: int = 1
    before: int = 0
    ahead: int = 0
    apart: int = 1


@dataclass(frozen=True)
class Layer:
    """A layer that touches a memory."""

    row: int
    """Of the profile."""
    name: str
    reads: tuple[int, ...]
    """Rows of the maps read."""
    writes: tuple[int, ...]
    weights: int
    """Bits of all its weights."""
    grain: int
    """The least bits of weights that must be there at once, where they are not kept."""
    nest: Nest | Heads | None
    """Of a convolution, a product, a pool or attention; None for what is read and written in passing."""
    parts: tuple[int | None, ...]
    """The maps that the parts of the nest are of, in its order, but for the result; None for a weight."""
    small: int
    """Bits of weights that are there all the time while it runs piece by piece."""
    pieces: tuple[int, ...]
    """Of each map touched the bits that must be there at once; none where a tile of the nest is of that map."""
    fetched: tuple[int, ...]
    """Of each map read, the bits that any result needs."""
    pointwise: bool
    """Whether it makes of each value of its one operand one of its result."""
    links: tuple[Link, ...]
    """The operands of which a row of the result needs only the rows about it; empty where some are needed whole."""
    stretched: tuple[int, ...]
    """Beside these, maps that every row needs whole."""
    over: tuple[int, ...]
    """The operands whose places its one result may take, value by value."""

    @property
    def touched(self) -> tuple[int, ...]:
        """Maps read and written."""
        return (*self.reads, *self.writes)

    def piece(self, kept: Container[int]) -> int:
        """Bits that must be there at once, beside tiles, while some maps are there whole."""
        return self.small + sum(
            [bits for tensor, bits in zip(self.touched, self.pieces, strict=True) if tensor not in kept]
        )


def maps(profile: Profile) -> dict[int, Map]:
    """Row of each map -> what it is."""
    columns = (profile.tensors[name] for name in ("tensor", "kind", "shape", "elements", "bits"))
    found = {}
    for number, (name, kind, text, elements, bits) in enumerate(zip(*columns, strict=True)):
        if kind in MAPS:
            shape, size = _shape(text), elements * bits
            images, rows = shape[0] if shape else 1, shape[2] if len(shape) > 2 else 1
            found[number] = Map(name, kind, shape, elements, bits, size, images, rows, size // (images * rows))
    return found


def weights(profile: Profile, pinned: Container[int] = ()) -> list[list[Values]]:
    """The weights of each layer, by its row; those that are ``pinned`` have no bits."""
    kinds, elements, bits, shapes = (profile.tensors[name] for name in ("kind", "elements", "bits", "shape"))
    found: list[list[Values]] = [[] for _ in profile.layers["layer"]]
    for layer, tensor, _, size, _ in profile.accesses.tuples():
        if kinds[tensor] not in MAPS:
            width = 0 if tensor in pinned else bits[tensor]
            read = min(8 * size, elements[tensor] * width)
            found[layer].append(Values(elements[tensor], width, read, _shape(shapes[tensor])))
    return found


def layers(profile: Profile, known: dict[int, Map], pinned: Container[int] = ()) -> list[Layer]:
    """The layers in the order in which they run; views touch nothing and are left out.

    Of weights that are ``pinned`` no layer reads a bit, nor needs room for them.
    """
    reads: list[list[int]] = [[] for _ in profile.layers["layer"]]
    writes: list[list[int]] = [[] for _ in reads]
    moved: list[dict[int, int]] = [{} for _ in reads]
    over: list[list[int]] = [[] for _ in reads]
    for layer, tensor, mode, size, in_place in profile.accesses.tuples():
        if tensor not in known:
            continue
        if mode == "read":
            reads[layer].append(tensor)
            over[layer] += [tensor] * in_place
            moved[layer][tensor] = min(8 * size, known[tensor].size)
        else:
            writes[layer].append(tensor)
    reaches: list[list[str]] = [[] for _ in reads]
    for layer, reach in zip(profile.parts["layer"], profile.parts["reach"], strict=True):
        reaches[layer].append(reach)
    columns_of = zip(profile.layers.rows(), reads, writes, weights(profile, pinned), moved, reaches, over, strict=True)
    return [
        _layer(number, row, taken, made, constants, needed, needs, free, known)
        for number, (row, taken, made, constants, needed, needs, free) in enumerate(columns_of)
        if made
    ]


def _layer(
    number: int,
    row: dict[str, Any],
    reads: Sequence[int],
    writes: Sequence[int],
    weights: Sequence[Values],
    moved: Mapping[int, int],
    reaches: Sequence[str],
    over: Sequence[int],
    known: dict[int, Map],
) -> Layer:
    shapes = [_shape(text) for text in row["input_shape"].split(", ") if text]
    if len(reads) == 1 and len({*shapes}) == 1 and not ({"window", "spread", "all"} & {*reaches} or row["batch"]):
        shapes = shapes[:1]  # an operand that comes twice is the same place of itself
    seen = len(writes) == 1 and len(shapes) == len(reads)  # else an operand comes twice, or there are several results
    wide = [reach for reach in reaches if reach != "point"]
    ahead = "point" not in reaches[: reaches.index(wide[0])] or len(reads) == 1 if wide else False
    operands = [known[tensor] for tensor in reads]
    result = known[writes[0]]
    same = seen and _shape(row["output_shape"]) == result.shape and shapes == [operand.shape for operand in operands]
    sliding = wide in (["window"], ["spread"]) and ahead and same
    axes = _axes(row, operands[0], result, transposed="spread" in wide) if sliding else ()
    own = seen and ahead and len(wide) == 1
    constants = sum(values.size for values in weights)
    nest: Nest | Heads | None = None
    used = small = 0
    if own and (axes or wide == ["product"]):
        nest, used, small = _nest(row, operands, result, weights, axes) or (None, 0, 0)
    elif own and wide == ["heads"]:
        nest, used = _heads(row, operands, result, weights), len(operands)
    if nest:
        beside = [part.bits if part.elements == result.elements else part.size for part in operands[used:]]
        pieces = [*[0] * used, *beside, 0]
    elif seen:
        small, *pieces = _pieces(wide, operands, result, shapes, weights)
    else:
        small, pieces = constants, [known[tensor].size for tensor in (*reads, *writes)]
    local = (
        same
        and set(wide) <= {"value", "pixel", "window", "spread"}
        and len(result.shape) > 2
        and (bool(axes) or not {"window", "spread"} & {*wide})
    )
    stretched = []
    for tensor, operand in list(zip(reads, operands, strict=True))[1 if axes else 0 :]:
        if (operand.shape[0], *operand.shape[2:]) != (result.shape[0], *result.shape[2:]):
            stretched.append(tensor)
            local = local and operand.elements < result.elements
    fetched = [moved[tensor] for tensor in reads]
    if axes:
        fetched[0] = prod(taps(axis)[0] for axis in axes) * operands[0].shape[1] * operands[0].bits
    grain = max([values.bits for values in weights], default=0)
    if nest:
        grain = max(grain, nest.grain)
    return Layer(
        row=number,
        name=row["layer"],
        reads=tuple(reads),
        writes=tuple(writes),
        weights=constants,
        grain=grain if nest or local else constants,
        nest=nest,
        parts=(*reads[:used], *[None] * (len(nest.bits) - 1 - used)) if nest else (),
        small=small,
        pieces=tuple(pieces),
        fetched=tuple(fetched),
        pointwise=same and not wide and len(reads) == 1 and operands[0][3:5] == result[3:5],
        links=_links(reads, stretched, axes) if local else (),
        stretched=tuple(stretched),
        over=tuple([tensor for tensor in over if len(writes) == 1 and known[tensor].size == result.size and not nest]),
    )


def _links(reads: Sequence[int], stretched: Sequence[int], axes: Sequence[Axis]) -> tuple[Link, ...]:
    """The first operand lies under the window, if there is one; all others lie beside the result."""
    found = [Link(tensor) for tensor in reads if tensor not in stretched]
    if axes:
        _, rows, *_ = axes
        found[0] = Link(reads[0], rows.stride, rows.before, rows.extent - 1 - rows.before, rows.apart)
    return tuple(found)


def _axes(row: dict[str, Any], operand: Map, result: Map, *, transposed: bool) -> tuple[Axis, ...]:
    """The images, and the window along each axis; empty if the columns do not fit the maps."""
    parts = ("kernel", "stride", "dilation", "pad_before")
    windows = [tuple([row[f"{part}_{axis}"] for part in parts]) for axis in AXES if row[f"kernel_{axis}"]]
    if not len(operand.shape) == len(result.shape) == len(windows) + 2:
        return ()
    sizes = zip(operand.shape[2:], result.shape[2:], windows, strict=True)
    images, axis = operand.shape[0], Axis.transposed if transposed else Axis
    return (Axis(images, images), *(axis(size, out, *window) for size, out, window in sizes))


def _nest(
    row: dict[str, Any], operands: Sequence[Map], result: Map, weights: Sequence[Values], axes: tuple[Axis, ...]
) -> tuple[Nest, int, int] | None:
    """The loop nest of a layer, how many of its first operands belong to it, and the bits of its other weights."""
    first, *others = operands
    if axes and not row["batch"]:
        shape: _Shape | None = _Shape(first.channels, axes, 1, 1, 0)
    elif axes:
        groups, filters, reduction = row["groups"], row["filters"], row["reduction"]
        shape = _Shape(groups, axes, result.channels // groups, first.channels // groups, groups * filters * reduction)
    else:
        seconds = [*[values.elements for values in weights], *[other.elements for other in others[:1]]]
        shape = _product(row, first.elements, seconds) if row["groups"] == 1 else None
    if shape is None:
        return None
    used, width, small = 1, first.bits, list(weights)
    if shape.kernel:
        values = next((values for values in weights if values.elements == shape.kernel), None)
        if values:
            small.remove(values)
            width = values.bits
        elif axes or not others:
            return None
        else:
            used, width = 2, others[0].bits
    groups, axes, filters, channels, kernel = shape
    each = kernel // (groups * filters * channels)
    nest = Nest(groups, axes, filters, channels, each, Bits(first.bits, width, result.bits))
    if nest.groups * nest.outputs != result.elements:
        return None
    return nest, used, sum([values.size for values in small])


class _Shape(NamedTuple):
    """A nest on its way, with the elements of its whole kernel."""

    groups: int
    axes: tuple[Axis, ...]
    filters: int
    channels: int
    kernel: int


def _product(row: dict[str, Any], first: int, seconds: Sequence[int]) -> _Shape | None:
    """A product of matrices, from the elements of its first operand and of those that may be the second."""
    batch, pixels, filters, reduction = (row[name] for name in ("batch", "pixels", "filters", "reduction"))
    left, right = batch * pixels * reduction, batch * filters * reduction
    for second in seconds:
        if (first, second) == (left, filters * reduction):  # one matrix for all
            return _Shape(1, (_line(1), _line(batch * pixels)), filters, reduction, second)
        if (first, second) == (right, pixels * reduction):  # the same, turned
            return _Shape(1, (_line(1), _line(batch * filters)), pixels, reduction, second)
        if (first, second) == (left, right):  # a matrix for each
            return _Shape(batch, (_line(1), _line(pixels)), filters, reduction, second)
    return None


def _heads(row: dict[str, Any], operands: Sequence[Map], result: Map, weights: Sequence[Values]) -> Heads | None:
    """Attention: its sizes from the elements of its operands, of which the fourth, or a weight, is a mask."""
    images, heads, queries, keys, both = (row[name] for name in ("batch", "groups", "pixels", "filters", "reduction"))
    if len(operands) < 3 or not images * heads * queries * keys:
        return None
    query, key, value = operands[:3]
    masks: list[Map | Values] = [*operands[3:], *weights]
    rows = images * heads * queries
    channels, filters = query.elements // rows, result.elements // rows
    shared = key.elements // (images * keys * channels)
    counts = [rows * channels, *[images * shared * keys * size for size in (channels, filters)], rows * filters]
    if counts != [part.elements for part in (query, key, value, result)] or channels + filters != both:
        return None
    if heads % shared or len(masks) > 1:
        return None
    spans, values, width = (1, 1, 1), 0, 0
    for mask in masks:
        _, *spread = (*[1] * (4 - len(mask.shape)), *mask.shape)
        spans, values, width = (heads // shared if spread[0] > 1 else 1, spread[1], spread[2]), mask.elements, mask.bits
    bits = Widths(query.bits, key.bits, value.bits, width, result.bits)
    return Heads(
        images * shared,
        heads // shared,
        queries,
        keys,
        channels,
        filters,
        bits,
        max(query.bits, result.bits),
        spans,
        values,
    )


def _line(size: int) -> Axis:
    return Axis(size, size)


def _pieces(
    wide: Sequence[str], operands: Sequence[Map], result: Map, shapes: Sequence[Shape], weights: Sequence[Values]
) -> list[int]:
    """The bits that must be there at once to read and write everything once: of the weights, and of each map."""
    everything = [*operands, result]
    constants = sum(values.size for values in weights)
    reach = wide[0] if len(set(wide)) == 1 else "" if wide else "point"
    if reach in ("value", "copy"):
        return [sum([values.bits for values in weights]), *[part.bits for part in everything]]
    if reach == "point":  # channel by channel, and in it image by image
        passing = [part.elements in (result.elements, result.images * result.channels) for part in everything]
        at_hand = [values.elements in (result.elements, result.channels) for values in weights]
        small = sum([values.bits if one else values.size for values, one in zip(weights, at_hand, strict=True)])
        return [small, *[part.bits if one else part.size for part, one in zip(everything, passing, strict=True)]]
    parts = 1
    if reach in ("pixel", "channel") and all(len(shape) > 1 for shape in shapes):
        shared = {shape[:1] + (shape[2:] if reach == "pixel" else shape[1:2]) for shape in shapes}
        parts = prod(shared.pop()) if len(shared) == 1 else 1
    return [constants, *[part.size // parts for part in everything]]


@lru_cache(maxsize=4096)
def _shape(text: str) -> Shape:
    """``"1x3x224x224"`` -> its sizes."""
    return tuple([int(size) for size in text.split("x")]) if text != "scalar" else ()
