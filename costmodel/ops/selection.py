"""Operators that choose by the sizes of values, or that place by numbers: the largest, classes, sequences, caches."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import FRACTIONS, Op, Reach, Shape, Tensor, Type, Varying, Work, dims, known_type
from costmodel.ops.checks import along, axis_of, positive
from costmodel.ops.held import Several, held_by
from costmodel.ops.indexing import whole
from costmodel.ops.onnx import NUMBERS, OnnxForm, OnnxNode


@dataclass(frozen=True)
class TopK(Op):
    """y[j], i[j] = the j-th largest of the n values x along ``axis``, and its place, for j < k; or the j-th smallest.

    x: any; y and i: any, with k in the place of n. Of equal values the first comes first. They are found by a
    tournament: n - 1 comparisons find the first, and ceil(log2 n) each further one, for which the games of the last
    are played again.
    """

    k: int
    axis: int = -1
    largest: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("TopK",)
    each: ClassVar[Work] = Work(compare=1)
    unit: ClassVar[str] = "tournament game"
    why: ClassVar[str] = "compare; n - 1 games find the first of n values, ceil(log2 n) each further one"

    def __post_init__(self) -> None:
        positive(self, k=self.k)

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """Shape -> the same with k along the axis, twice."""
        made = self.shape(x)
        return (made, made)

    def shape(self, x: Shape) -> Shape:
        """Shape -> the same with k along the axis."""
        axis = axis_of(self.axis, x)
        if self.k > x[axis]:
            raise WiringError(f"cannot find {self.k} along axis {self.axis} of {dims(x)}")
        return (*x[:axis], self.k, *x[axis + 1 :])

    def types(self, x: Type) -> tuple[Type, ...]:
        """Any -> the same, and places."""
        return (x, "int64")

    def reach(self, x: Shape) -> Reach:
        """All along the axis."""
        return along((axis_of(self.axis, x),))

    def units(self, x: Shape) -> int:
        """Games: of each row n - 1, and for all but the first of k so many as a tournament has rounds."""
        n = x[axis_of(self.axis, x)]
        rounds = (n - 1).bit_length()
        return prod(x) // n * (n - 1 + (self.k - 1) * rounds)

    def run(self, x: Array) -> tuple[Array, Array]:
        """By sorting."""
        if self.largest:  # from behind, so that of equal values the first comes first
            order = x.shape[self.axis] - 1 - np.flip(np.argsort(np.flip(x, self.axis), self.axis, "stable"), self.axis)
        else:
            order = np.argsort(x, self.axis, "stable")
        places = np.take(order, range(self.k), axis=self.axis)
        return np.take_along_axis(x, places, self.axis), places

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """How many is an attribute before operator set 10; where any order will do, this one does."""
        k = node.whole(1, "k")
        if k is None:
            raise WiringError("has no k")
        x = node.tensor()
        return node.apply(cls(k, node.axis(-1, len(x.shape)), bool(node.get("largest", 1))), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """How many is an input."""
        told = {"axis": self.axis, "largest": int(self.largest)}
        return form.apply("TopK", *form.operands, (self.k,), outputs=2, **told)


@dataclass(frozen=True)
class OneHot(Op):
    """y[..., j, ...] = ``on`` where j is x[...], else ``off``, for j < ``depth``, at ``axis``; computes nothing.

    x: any, numbers of which -1 is the last; y: any, with the depth between, in the element type ``dtype`` or the
    network's.
    """

    depth: int
    axis: int = -1
    off: float = 0.0
    on: float = 1.0
    dtype: Type = None

    onnx: ClassVar[tuple[str, ...]] = ("OneHot",)

    def __post_init__(self) -> None:
        positive(self, depth=self.depth)
        if self.dtype is not None:
            known_type(self.dtype)

    def shape(self, x: Shape) -> Shape:
        """Shape -> the same with the depth at the axis."""
        axis = axis_of(self.axis, (*x, self.depth))
        return (*x[:axis], self.depth, *x[axis:])

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """The stated type."""
        return (self.dtype,)

    def run(self, x: Array) -> Array:
        """On at each number."""
        places, axis = whole(x), axis_of(self.axis, (*x.shape, self.depth))
        places = np.expand_dims(np.where(places < 0, places + self.depth, places), axis)
        every = np.arange(self.depth).reshape([-1 if place == axis else 1 for place in range(x.ndim + 1)])
        return np.where(places == every, self.on, self.off).astype(numpy_type(self.dtype or "float64"))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Depth and both values are inputs."""
        depth, values = node.number(1), node.values(2)
        if depth is None or values is None or values.size != 2:
            raise WiringError("needs a depth and two values")
        x = node.tensor()
        off, on = (float(str(value)) for value in values.reshape(-1).tolist())
        held = node.weight(2)
        return node.apply(cls(int(depth), node.axis(-1, len(x.shape) + 1), off, on, held.dtype), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Whole numbers are made as such, fractions chosen."""
        x, to = form.operands[0], {"to": NUMBERS[self.dtype or form.dtype]}
        if self.dtype is None or self.dtype in FRACTIONS:
            hot = form.then("Cast", form.then("OneHot", x, (self.depth,), (0, 1), axis=self.axis), to=NUMBERS["bool"])
            made = form.apply("Where", hot, float(self.on), float(self.off))
            return made if self.dtype is None else form.apply("Cast", *made, **to)
        hot = form.then("OneHot", x, (self.depth,), (int(self.off), int(self.on)), axis=self.axis)
        return (hot,) if self.dtype == "int64" else form.apply("Cast", hot, **to)


@dataclass(frozen=True, repr=False)
class ReverseSequence(Several):
    """y[t, b] = x[lengths[b] - 1 - t, b] for t < lengths[b], else x[t, b], with t at ``time`` and b at ``batch``.

    x, y: any; lengths: one for each b. Copies; computes nothing.
    """

    batch: int = 1
    time: int = 0
    held: tuple[Shape | None, ...] = ()

    names: ClassVar[tuple[str, ...]] = ("data", "lengths")
    fixed: ClassVar[Mapping[str, str]] = {"lengths": "int64"}
    onnx: ClassVar[tuple[str, ...]] = ("ReverseSequence",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of data and lengths -> that of the data."""
        shapes: tuple[Shape, ...] = self.all(inputs)
        x, lengths = shapes
        batch, time = axis_of(self.batch, x), axis_of(self.time, x)
        if batch == time or lengths != (x[batch],):
            raise WiringError(f"cannot reverse {dims(x)} along axis {time} by {dims(lengths)} lengths of axis {batch}")
        return x

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One sequence after another."""
        x, lengths = self.all(inputs, weights)
        y = np.array(x)
        for sequence, made, length in zip(*(np.moveaxis(z, (self.batch, self.time), (0, 1)) for z in (x, y)),
                                          whole(lengths), strict=True):  # fmt: skip
            made[:length] = sequence[:length][::-1]
        return y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With both axes."""
        return node.apply(cls(int(node.get("batch_axis", 1)), int(node.get("time_axis", 0)), held_by(node, 2)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With both axes."""
        return form.apply("ReverseSequence", *self.all_of(form), batch_axis=self.batch, time_axis=self.time)


@dataclass(frozen=True)
class TensorScatter(Op):
    """y = past, but y[b, ..., first[b] + s, ...] = update[b, ..., s, ...], with s at ``axis``, as in a cache of keys.

    past, y: N x any; update: the same, shorter along the axis; first: N, where it is ``placed``, else 0. Copies past
    and places the update; computes nothing. ``circular`` goes on from the beginning.
    """

    axis: int = -2
    placed: bool = False
    circular: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("TensorScatter",)
    operands: ClassVar[int | None] = 2
    varying: ClassVar[tuple[Varying, ...]] = (Varying("placed", 1, (True,)),)

    def __post_init__(self) -> None:
        self.count_operands()

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of past, update and first -> that of past."""
        past, update, *first = inputs
        axis = axis_of(self.axis, past)
        shorter = len(update) == len(past) and update[axis] <= past[axis]
        beside = (*update[:axis], *past[axis : axis + 1], *update[axis + 1 :]) == past
        if not axis or not shorter or not beside or any(shape != past[:1] for shape in first):
            raise WiringError(f"cannot place {dims(update)} along axis {self.axis} of {dims(past)}, once per image")
        return past

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """Past and update have one type."""
        return super().types(*inputs[:2])

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, past: Array, update: Array, *first: Array) -> Array:
        """A copy with each image's update in its place."""
        y = np.array(past)
        begins = whole(first[0]) if first else np.zeros(len(past), np.int64)
        axis = self.axis % past.ndim
        for made, new, begin in zip(y, update, begins, strict=True):
            places = (begin + np.arange(update.shape[axis])) % past.shape[axis]
            np.moveaxis(made, axis - 1, 0)[places] = np.moveaxis(new, axis - 1, 0)
        return y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """In its ``mode``."""
        mode = node.get("mode", "linear")
        if mode not in ("linear", "circular"):
            raise UnsupportedError(f"mode {mode!r} is not supported; known: circular, linear")
        flows = [node.tensor(number) for number, operand in enumerate(node.inputs) if operand is not None]
        return node.apply(cls(int(node.get("axis", -2)), len(flows) == 3, mode == "circular"), *flows)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """In its ``mode``."""
        return form.apply("TensorScatter", axis=self.axis, mode="circular" if self.circular else "linear")
