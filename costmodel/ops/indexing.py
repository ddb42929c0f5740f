"""Operators that take, place or choose values by the values of others. They move, and compute nothing but the choice.

An index counts modulo the size of its axis, as -1 does for the last; ONNX has none that lie further out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import NO_WORK, Op, Reach, Shape, Tensor, Type, Weight, Work, dims, known_type
from costmodel.ops.checks import axis_of, broadcast, positive
from costmodel.ops.held import Several, held_by, learnable, values_dtype
from costmodel.ops.layout import Reshape, Slice
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode


def whole(indices: Array) -> Array:
    """Indices in any element type -> such that index an array."""
    return indices.astype(np.int64)


@dataclass(frozen=True)
class Embedding(Op):
    """y[..., m] = w[x[...], m]; x: any, numbers of rows, w: rows x M; y: any x M.

    Reads the rows that it takes, one for each index, and not the whole table, unless that is smaller.
    """

    count: int
    features: int
    dtype: Type = None

    def __post_init__(self) -> None:
        positive(self, count=self.count, features=self.features)
        if self.dtype is not None:
            known_type(self.dtype)

    def shape(self, x: Shape) -> Shape:
        """Any -> any x M."""
        return (*x, self.features)

    def reads(self, x: Shape) -> dict[int | str, int]:
        """A row of the table for each index."""
        return {"weight": prod(self.shape(x))}

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Numbers of rows -> the table's type."""
        return (self.dtype,)

    def weights(self, x: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """w: rows x M."""
        return (Weight("weight", (self.count, self.features), "parameter" if learnable(self.dtype) else "buffer"),)

    def run(self, x: Array, weight: Array) -> Array:
        """The rows by their numbers."""
        return np.take(weight, whole(x), axis=0, mode="wrap")

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """A Gather of rows."""
        return form.apply("Gather", *form.weights, *form.operands)


@dataclass(frozen=True, repr=False)
class Gather(Several):
    """y[before, i..., behind] = x[before, indices[i...], behind], at ``axis``; x: any, indices: any.

    Reads as many elements of x as it takes, and not the whole, unless that is smaller.
    """

    axis: int = 0
    held: tuple[Shape | None, ...] = ()
    dtype: Type = None

    names: ClassVar[tuple[str, ...]] = ("data", "indices")
    fixed: ClassVar[Mapping[str, str]] = {"indices": "int64"}
    onnx: ClassVar[tuple[str, ...]] = ("Gather",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data and indices -> that of the data with the indices' in the place of the axis."""
        x, indices = self.all(inputs)
        axis = axis_of(self.axis, x)
        return (*x[:axis], *indices, *x[axis + 1 :])

    def reads(self, *inputs: Shape) -> dict[int | str, int]:
        """Of the data as many elements as it takes."""
        return {self.key(0): prod(self.shape(*inputs))}

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """What the indices say, along the axis."""
        x, indices = self.all(inputs, weights)
        return np.take(x, whole(indices), axis=self.axis, mode="wrap")

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Rows of a table are an embedding; known indices in a row a slice, and one a slice without the axis."""
        x, indices = node.operand(0), node.operand(1)
        if x is None or indices is None:
            raise WiringError("takes 2 inputs")
        axis = node.axis(0, len(x.shape))
        if isinstance(x, Constant) and isinstance(indices, Tensor) and len(x.shape) == 2 and axis == 0:
            return node.apply(Embedding(*x.shape, x.values_dtype), indices)
        known = indices.read() if isinstance(indices, Constant) else None
        if isinstance(x, Tensor) and known is not None:
            places = [int(place) for place in known.reshape(-1)]
            if any(not -x.shape[axis] <= place < x.shape[axis] for place in places):
                raise WiringError(f"has indices {places} of {x.shape[axis]}")
            first = places[0] % x.shape[axis] if places else 0
            if [place % x.shape[axis] for place in places] == [*range(first, first + len(places))] and known.ndim < 2:
                taken = node.then(Slice.along(len(x.shape), axis, first, first + len(places)), x)
                if known.ndim:
                    return (taken,)
                return node.apply(Reshape((*x.shape[:axis], *x.shape[axis + 1 :])), taken, part="reshape")
        return node.apply(cls(int(node.get("axis", 0)), held_by(node, 2), values_dtype(node, 0)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        return form.apply("Gather", *self.all_of(form), axis=self.axis)


@dataclass(frozen=True, repr=False)
class GatherElements(Several):
    """y[i...] = x[i..., indices[i...], ...], at ``axis``; x: any, indices: any that is not larger beside the axis.

    Reads as many elements of x as it takes.
    """

    axis: int = 0
    held: tuple[Shape | None, ...] = ()
    dtype: Type = None

    names: ClassVar[tuple[str, ...]] = ("data", "indices")
    fixed: ClassVar[Mapping[str, str]] = {"indices": "int64"}
    onnx: ClassVar[tuple[str, ...]] = ("GatherElements",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data and indices -> that of the indices."""
        shapes: tuple[Shape, ...] = self.all(inputs)
        x, indices = shapes
        place = axis_of(self.axis, x)
        sizes = enumerate(zip(indices, x, strict=False))
        if len(indices) != len(x) or any(size > limit for axis, (size, limit) in sizes if axis != place):
            raise WiringError(f"cannot find places {dims(indices)} along axis {self.axis} of {dims(x)}")
        return indices

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One value for each index."""
        x, indices = self.all(inputs, weights)
        place = self.axis % x.ndim
        part = x[tuple([slice(None if axis == place else size) for axis, size in enumerate(indices.shape)])]
        return np.take_along_axis(part, whole(indices) % x.shape[place], axis=place)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights."""
        return node.apply(cls(int(node.get("axis", 0)), held_by(node, 2), values_dtype(node, 0)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        return form.apply("GatherElements", *self.all_of(form), axis=self.axis)


@dataclass(frozen=True, repr=False)
class GatherND(Several):
    """y[b, i..., behind] = x[b, indices[b, i..., :], behind]: the last axis of the indices is a place in x.

    x: batch x any, indices: batch x any x D, with ``batch`` axes in front that both share. Reads as many elements of x
    as it takes.
    """

    batch: int = 0
    held: tuple[Shape | None, ...] = ()
    dtype: Type = None

    names: ClassVar[tuple[str, ...]] = ("data", "indices")
    fixed: ClassVar[Mapping[str, str]] = {"indices": "int64"}
    onnx: ClassVar[tuple[str, ...]] = ("GatherND",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data and indices -> the indices' without the last axis, and the data's axes behind the place."""
        x, indices = self.all(inputs)
        *_, depth = indices or (0,)
        place = self.batch + depth
        if not 0 <= self.batch < len(indices) or x[: self.batch] != indices[: self.batch] or not 0 < place <= len(x):
            raise WiringError(f"cannot find places {dims(indices)} in {dims(x)}")
        return (*indices[:-1], *x[place:])

    def reads(self, *inputs: Shape) -> dict[int | str, int]:
        """Of the data as many elements as it takes."""
        return {self.key(0): prod(self.shape(*inputs))}

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One batch entry after another."""
        x, indices = self.all(inputs, weights)
        count = prod(x.shape[: self.batch])
        apart = x.reshape(count, *x.shape[self.batch :])
        places = whole(indices).reshape(count, -1, indices.shape[-1])
        taken = [part[wrapped(place, part)] for part, place in zip(apart, places, strict=True)]
        return np.stack(taken).reshape(self.shape(*(operand.shape for operand in inputs)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``batch_dims``."""
        return node.apply(cls(int(node.get("batch_dims", 0)), held_by(node, 2), values_dtype(node, 0)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the batch's axes."""
        return form.apply("GatherND", *self.all_of(form), batch_dims=self.batch)


def wrapped(places: Array, x: Array) -> tuple[Array, ...]:
    """Places, the last axis of which counts axes of x -> an index for each of these axes."""
    return tuple(np.mod(place, size) for place, size in zip(np.moveaxis(places, -1, 0), x.shape, strict=False))


REDUCTIONS: Final[Mapping[str, tuple[Work, str]]] = {
    "none": (NO_WORK, ""),
    "add": (Work(add=1), "add"),
    "mul": (Work(multiply=1), "multiply"),
    "max": (Work(compare=1), "maximum"),
    "min": (Work(compare=1), "minimum"),
}
"""What an update does to what is in its place -> its work, and NumPy's name for it."""


class Scatter(Several, abstract=True):
    """A copy with updates in their places, in any order; with a ``reduction`` they are combined with what is there."""

    reduction: str

    names: ClassVar[tuple[str, ...]] = ("data", "indices", "updates")
    fixed: ClassVar[Mapping[str, str]] = {"indices": "int64"}
    unit: ClassVar[str] = "update element"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction not in REDUCTIONS:
            raise WiringError(f"{self.kind}: reduction must be one of {', '.join(REDUCTIONS)}, not {self.reduction!r}")
        each, _ = REDUCTIONS[self.reduction]
        if each is not NO_WORK:
            object.__setattr__(self, "each", each)
            object.__setattr__(self, "why", "combine the update with what is in its place")

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied, or all that come to its place."""
        return "copy" if self.reduction == "none" else "all"

    def units(self, *inputs: Shape) -> int:
        """Elements of the updates."""
        _, _, updates = self.all(inputs)
        return prod(updates)

    def put(self, x: Array, places: tuple[Array, ...], updates: Array) -> Array:
        """A copy with the updates in their places."""
        y = np.array(x)
        if self.reduction == "none":
            y[places] = updates
        else:
            getattr(np, REDUCTIONS[self.reduction][1]).at(y, places, updates)
        return y


def reduction_of(node: OnnxNode) -> str:
    """What a node does with what is in the place of an update."""
    reduction = str(node.get("reduction", "none"))
    if reduction not in REDUCTIONS:
        raise UnsupportedError(f"reduction {reduction!r} is not supported; known: {', '.join(REDUCTIONS)}")
    return reduction


@dataclass(frozen=True, repr=False)
class ScatterND(Scatter):
    """y = x, but y[indices[i..., :], behind] = updates[i..., behind]; x, y: any, indices: any x D, updates: any.

    Copies x and places the updates, of equal places in any order; by a ``reduction`` they are combined with what is
    there: add, mul, max or min.
    """

    held: tuple[Shape | None, ...] = ()
    reduction: str = "none"

    onnx: ClassVar[tuple[str, ...]] = ("ScatterND",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data, indices and updates -> that of the data."""
        shapes: tuple[Shape, ...] = self.all(inputs)
        x, indices, updates = shapes
        *outer, depth = indices or (0,)
        if not 0 < depth <= len(x) or updates != (*outer, *x[depth:]):
            raise WiringError(f"cannot place {dims(updates)} at {dims(indices)} in {dims(x)}")
        return x

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy with the updates in their places."""
        x, indices, updates = self.all(inputs, weights)
        return self.put(x, wrapped(whole(indices), x), updates)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights."""
        return node.apply(cls(held_by(node, 3), reduction_of(node)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Of its operands."""
        return form.apply("ScatterND", *self.all_of(form), reduction=self.reduction)


@dataclass(frozen=True, repr=False)
class ScatterElements(Scatter):
    """y = x, but y[i..., indices[i...], ...] = updates[i...], at ``axis``; x, y: any.

    indices, updates: as many axes as x, not longer beside that one. Copies x and places the updates, of equal places
    in any order; by a ``reduction`` they are combined with what is there: add, mul, max or min.
    """

    axis: int = 0
    held: tuple[Shape | None, ...] = ()
    reduction: str = "none"

    onnx: ClassVar[tuple[str, ...]] = ("ScatterElements", "Scatter")

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data, indices and updates -> that of the data."""
        shapes: tuple[Shape, ...] = self.all(inputs)
        x, indices, updates = shapes
        place = axis_of(self.axis, x)
        sizes = enumerate(zip(indices, x, strict=False))
        larger = any(size > limit for axis, (size, limit) in sizes if axis != place)
        if indices != updates or len(indices) != len(x) or larger:
            raise WiringError(f"cannot place {dims(updates)} at {dims(indices)} along axis {self.axis} of {dims(x)}")
        return x

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy with the updates in their places."""
        x, indices, updates = self.all(inputs, weights)
        axis = self.axis % x.ndim
        places = list(np.ogrid[tuple(map(slice, indices.shape))])
        places[axis] = whole(indices) % x.shape[axis]
        return self.put(x, tuple(places), updates)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights; Scatter is its older name."""
        return node.apply(cls(int(node.get("axis", 0)), held_by(node, 3), reduction_of(node)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        return form.apply("ScatterElements", *self.all_of(form), axis=self.axis, reduction=self.reduction)


@dataclass(frozen=True, repr=False)
class Where(Several):
    """y = a where the condition is not 0, else b; the three shapes broadcast."""

    held: tuple[Shape | None, ...] = ()
    dtype: Type = None

    names: ClassVar[tuple[str, ...]] = ("condition", "chosen", "other")
    fixed: ClassVar[Mapping[str, str]] = {"condition": "bool"}
    onnx: ClassVar[tuple[str, ...]] = ("Where",)
    in_place: ClassVar[bool] = True
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare the condition with 0"

    def shape(self, *inputs: Shape) -> Shape:
        """Three shapes that broadcast -> their common shape."""
        condition, a, b = self.all(inputs)
        return broadcast(broadcast(a, b), condition)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The same place."""
        return "point"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One of the two."""
        condition, a, b = self.all(inputs, weights)
        return np.where(condition, a, b)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights."""
        return node.apply(cls(held_by(node, 3), values_dtype(node, 1, 2)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Of its operands."""
        return form.apply("Where", *self.all_of(form))


@dataclass(frozen=True)
class Trilu(Op):
    """y[..., i, j] = x[..., i, j] where j >= i + k, or j <= i + k if not ``upper``, else 0; copies."""

    upper: bool = True
    k: int = 0

    onnx: ClassVar[tuple[str, ...]] = ("Trilu",)

    def shape(self, x: Shape) -> Shape:
        """... x I x J -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs at least two axes, not {dims(x)}")
        return x

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The same place."""
        return "point"

    def run(self, x: Array) -> Array:
        """A triangle of each matrix."""
        return np.triu(x, self.k) if self.upper else np.tril(x, self.k)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The diagonal is an input."""
        return node.apply(cls(bool(node.get("upper", 1)), node.whole(1) or 0), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the diagonal as a whole number."""
        return form.apply("Trilu", *form.operands, (self.k,), upper=int(self.upper))
