"""Operators that move or rename values without computing: concatenation, transposition, and views."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final, Self

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Shape, Tensor, Type, dims, known_type
from costmodel.ops.checks import axis_of, integers, positive
from costmodel.ops.onnx import NUMBERS, OnnxForm, OnnxNode, checked_axis


@dataclass(frozen=True)
class Cast(Op):
    """y = x in another element type, ``dtype``, or the network's where none is stated. Copies; computes nothing.

    Fractions become whole numbers toward zero; what is not zero is true.
    """

    dtype: Type = None

    onnx: ClassVar[tuple[str, ...]] = ("Cast", "CastLike")

    def __post_init__(self) -> None:
        if self.dtype is not None:
            known_type(self.dtype)

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """The stated type."""
        return (self.dtype,)

    def run(self, x: Array) -> Array:
        """The same values; the network's type is the caller's to round to."""
        return x.astype(numpy_type(self.dtype or "float64"))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """To the type of a number, or of the second operand."""
        if node.kind == "Cast":
            return node.apply(cls(node.type(int(node.get("to", 0)))))
        like = node.operand(1)
        if like is None:
            raise WiringError("takes 2 inputs")
        return node.apply(cls(like.dtype), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """To the type's number."""
        return form.apply("Cast", to=NUMBERS[self.dtype or form.dtype])


@dataclass(frozen=True)
class Concat(Op):
    """y = the inputs one after another along ``axis``; all other axes must agree. Copies; computes nothing."""

    axis: int = 1

    onnx: ClassVar[tuple[str, ...]] = ("Concat",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes that agree but for one axis -> their concatenation."""
        if not inputs:
            raise WiringError("needs at least one input")
        first, *_ = inputs
        axis = axis_of(self.axis, first)
        before, after = first[:axis], first[axis + 1 :]
        for x in inputs:
            if len(x) != len(first) or (x[:axis], x[axis + 1 :]) != (before, after):
                raise WiringError(f"cannot join {dims(x)} to {dims(first)} along axis {self.axis}")
        return (*before, sum(x[axis] for x in inputs), *after)

    def run(self, *inputs: Array) -> Array:
        """The inputs one after another."""
        return np.concatenate(inputs, axis=self.axis)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of maps; the axis is 1 where it is not given, before operator set 4."""
        maps = [node.tensor(index) for index in range(len(node.inputs))]
        return node.apply(cls(int(node.get("axis", 1))), *maps)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        return form.apply("Concat", axis=self.axis)


@dataclass(frozen=True)
class Transpose(Op):
    """y[i permuted] = x[i]; ``axes[k]`` is the input axis that becomes axis k. Moves every value, computes nothing."""

    axes: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("Transpose",)

    def __post_init__(self) -> None:
        integers(self, "axes", self.axes)

    def shape(self, x: Shape) -> Shape:
        """Shape -> its sizes in the order of ``axes``."""
        if sorted(self.axes) != list(range(len(x))):
            raise WiringError(f"needs each axis of {dims(x)} once, not {self.axes}")
        return tuple(x[axis] for axis in self.axes)

    def run(self, x: Array) -> Array:
        """The axes in another order."""
        return x.transpose(self.axes)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """By ``perm``, or with the axes in reverse."""
        return node.apply(cls(tuple(node.get("perm", range(len(node.tensor().shape))[::-1]))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """By ``perm``."""
        return form.apply("Transpose", perm=self.axes)


LAST: Final = 2**63 - 1
"""The largest number that a stop can be."""

REST: Final = 2**31 - 1
"""A stop from here on keeps the rest, as exporters write it."""


@dataclass(frozen=True)
class Slice(Op):
    """y[i] = x[start + i * step] for start <= start + i * step < stop, per axis; copies what is kept, computes nothing.

    ``start`` and ``stop`` have one number per axis of x; a negative number counts from the axis's end, and a stop of
    None keeps the rest. ``step`` has one too, or is None for steps of 1.
    """

    start: tuple[int, ...]
    stop: tuple[int | None, ...]
    step: tuple[int, ...] | None = None

    onnx: ClassVar[tuple[str, ...]] = ("Slice", "Split", "Gather")

    def __post_init__(self) -> None:
        integers(self, "start", self.start)
        integers(self, "stop", self.stop, optional=True)
        if self.step is not None:
            integers(self, "step", self.step, least=1)

    def ranges(self, rank: int) -> tuple[slice, ...]:
        """The kept range of each axis."""
        return tuple(map(slice, self.start, self.stop, self.step or (1,) * rank))

    def shape(self, x: Shape) -> Shape:
        """Shape -> the sizes of the kept ranges."""
        if not len(self.start) == len(self.stop) == len(self.step or x) == len(x):
            raise WiringError(f"needs a start and a stop for each axis of {dims(x)}, not {self.start} and {self.stop}")
        return tuple([len(range(size)[kept]) for size, kept in zip(x, self.ranges(len(x)), strict=True)])

    def run(self, x: Array) -> Array:
        """The kept ranges."""
        return x[self.ranges(x.ndim)]

    @classmethod
    def along(cls, rank: int, axis: int, start: int, stop: int | None) -> Self:
        """A range of one axis, and all of the others."""
        starts, stops = [0] * rank, [None] * rank
        return cls((*starts[:axis], start, *starts[axis + 1 :]), (*stops[:axis], stop, *stops[axis + 1 :]))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A Slice; a Split as a slice for each output; a Gather of one index as a slice without the axis."""
        x = node.tensor()
        if node.kind == "Split":
            return cls._split(node, x)
        if node.kind == "Gather":
            return cls._gather(node, x)
        rank = len(x.shape)
        starts, stops = node.integers(1, "starts"), node.integers(2, "ends")
        if starts is None or stops is None:
            raise WiringError("has no starts or no ends")
        axes = node.integers(3, "axes") or tuple(range(len(starts)))
        steps = node.integers(4) or (1,) * len(starts)
        if not len(starts) == len(stops) == len(axes) == len(steps):
            raise WiringError(f"has {len(starts)} starts, {len(stops)} ends, {len(axes)} axes and {len(steps)} steps")
        if min(steps, default=1) < 1:
            raise UnsupportedError(f"steps of {steps} are not supported; known: 1 and more")
        kept = [slice(0, None, 1)] * rank
        for axis, first, last, each in zip(axes, starts, stops, steps, strict=True):
            kept[checked_axis(axis, rank)] = slice(first, None if last >= REST else last, each)
        step = tuple([part.step for part in kept])
        start, stop = tuple([part.start for part in kept]), tuple([part.stop for part in kept])
        return node.apply(cls(start, stop, None if max(step, default=1) == 1 else step), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """On all axes."""
        stop = tuple([LAST if stop is None else stop for stop in self.stop])
        told = [] if self.step is None else [tuple(range(len(stop))), self.step]
        return form.apply("Slice", *form.operands, self.start, stop, *told)

    @classmethod
    def _split(cls, node: OnnxNode, x: Tensor) -> tuple[Tensor, ...]:
        rank, count = len(x.shape), len(node.outputs)
        axis = node.axis(0, rank)
        sizes = node.integers(1, "split")
        if sizes is None:
            each = -(-x.shape[axis] // count)
            sizes = (*[each] * (count - 1), x.shape[axis] - each * (count - 1))
        if len(sizes) != count or sum(sizes) != x.shape[axis] or min(sizes) < 1:
            raise WiringError(f"cannot split {x.shape[axis]} into {count} parts of {sizes}")
        made, start = [], 0
        for number, size in enumerate(sizes):
            op = cls.along(rank, axis, start, start + size)
            made.append(node.then(op, x, part=str(number + 1) if number else ""))
            start += size
        return tuple(made)

    @classmethod
    def _gather(cls, node: OnnxNode, x: Tensor) -> tuple[Tensor, ...]:
        axis = node.axis(0, len(x.shape))
        if node.weight(1).shape:
            raise UnsupportedError("more than one index is not supported")
        index = int(node.number(1) or 0)
        if not -x.shape[axis] <= index < x.shape[axis]:
            raise WiringError(f"has index {index} of {x.shape[axis]}")
        place = index % x.shape[axis]
        taken = node.then(cls.along(len(x.shape), axis, place, place + 1), x)
        return node.apply(Reshape((*x.shape[:axis], *x.shape[axis + 1 :])), taken, part="reshape")


@dataclass(frozen=True)
class Pad(Op):
    """y = x with zeros around it, or another ``value``. Copies x; y has each axis of x longer by its two pads.

    ``pads`` is in ONNX's order: all the begins, then all the ends.
    """

    pads: tuple[int, ...]
    value: float = 0.0

    onnx: ClassVar[tuple[str, ...]] = ("Pad",)

    def __post_init__(self) -> None:
        integers(self, "pads", self.pads, least=0)

    def shape(self, x: Shape) -> Shape:
        """Shape -> the padded shape."""
        rank = len(x)
        if len(self.pads) != 2 * rank:
            raise WiringError(f"needs {2 * rank} pads for {dims(x)}, not {self.pads}")
        return tuple(sum(sizes) for sizes in zip(x, self.pads[:rank], self.pads[rank:], strict=True))

    def run(self, x: Array) -> Array:
        """Zeros around x."""
        around = list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True))
        return np.pad(x, around, constant_values=self.value)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Pads and value are attributes before operator set 11; the axes may be given."""
        if node.get("mode", "constant") != "constant":
            raise UnsupportedError(f"mode {node.get('mode')!r} is not supported; known: constant")
        x = node.tensor()
        rank = len(x.shape)
        pads = node.integers(1, "paddings" if "paddings" in node.attributes else "pads")
        chosen = node.integers(3)
        axes = range(rank) if chosen is None else [checked_axis(axis, rank) for axis in chosen]
        if pads is None or len(pads) != 2 * len(axes):
            raise WiringError(f"has pads {pads} for {len(axes)} axes")
        if min(pads, default=0) < 0:
            raise UnsupportedError(f"pads of {pads} are not supported; known: 0 and more")
        around = [0] * 2 * rank
        for number, axis in enumerate(axes):
            around[axis], around[axis + rank] = pads[number], pads[number + len(axes)]
        return node.apply(cls(tuple(around), node.number(2, "value") or 0.0), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """On all axes, with the value."""
        return form.apply("Pad", *form.operands, self.pads, self.value)


@dataclass(frozen=True)
class ChannelShuffle(Op):
    """y[n, i*groups + j, p] = x[n, j*C/groups + i, p]: every group's channels spread over all groups.

    x, y: N x C x any. Moves every value, computes nothing. Source: ShuffleNet, Zhang et al. 2018, section 3.1.
    """

    groups: int

    def __post_init__(self) -> None:
        positive(self, groups=self.groups)

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2 or x[1] % self.groups:
            raise WiringError(f"cannot deal the channels of {dims(x)} out to {self.groups} groups")
        return x

    def run(self, x: Array) -> Array:
        """Channels as a matrix of groups by channels per group, transposed."""
        n, c, *rest = x.shape
        return x.reshape(n, self.groups, c // self.groups, *rest).swapaxes(1, 2).reshape(x.shape)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Channels as a matrix, transposed."""
        ((n, c, *rest),) = form.shapes
        matrix = form.then("Reshape", *form.operands, (n, self.groups, c // self.groups, *rest))
        swapped = form.then("Transpose", matrix, perm=(0, 2, 1, *range(3, 3 + len(rest))))
        return form.apply("Reshape", swapped, (n, c, *rest))


class View(Op, abstract=True):
    """An operator whose output is its input's memory under another shape."""

    view: ClassVar[bool] = True

    def run(self, x: Array) -> Array:
        """The same values under the other shape."""
        return x.reshape(self.shape(x.shape))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """A Reshape to the other shape."""
        return form.apply("Reshape", *form.operands, self.shape(*form.shapes))


@dataclass(frozen=True)
class Flatten(View):
    """y = x with the axes from ``axis`` on merged into one; a view."""

    axis: int = 1

    onnx: ClassVar[tuple[str, ...]] = ("Flatten",)

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x (C * spatial)."""
        axis = axis_of(self.axis, x)
        return (*x[:axis], prod(x[axis:]))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """ONNX merges the axes before ``axis`` as well, into a matrix."""
        x = node.tensor().shape
        axis = int(node.get("axis", 1))
        if axis == 1 and len(x) > 1:
            return node.apply(cls())
        before = len(x) if axis == len(x) else checked_axis(axis, len(x))
        return node.apply(Reshape((prod(x[:before]), prod(x[before:]))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """ONNX merges the axes before ``axis`` as well."""
        return form.apply("Flatten") if self.axis == 1 else super().to_onnx(form)


@dataclass(frozen=True)
class Reshape(View):
    """y = x under the shape ``to``, where 0 keeps the input's axis and one -1 takes what is left; a view."""

    to: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("Reshape", "Squeeze", "Unsqueeze")

    def __post_init__(self) -> None:
        integers(self, "to", self.to)
        if self.to.count(-1) > 1 or min(self.to, default=0) < -1:
            raise WiringError(f"Reshape: sizes must be positive, 0 (keep) or one -1 (what is left), not {self.to}")

    def shape(self, x: Shape) -> Shape:
        """Shape -> another with as many elements."""
        if any(size == 0 and axis >= len(x) for axis, size in enumerate(self.to)):
            raise WiringError(f"keeps an axis that {dims(x)} does not have")
        kept = [x[axis] if size == 0 else size for axis, size in enumerate(self.to)]
        known = prod(size for size in kept if size != -1)
        shape = tuple(prod(x) // known if size == -1 else size for size in kept)
        if prod(shape) != prod(x):
            raise WiringError(f"cannot view {dims(x)} ({prod(x)} elements) as {dims(shape)} ({prod(shape)})")
        return shape

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A Reshape; a Squeeze or Unsqueeze as the view that it is."""
        x = node.tensor()
        if node.kind == "Reshape":
            to = node.integers(1, "shape")
            if to is None:
                raise WiringError("has no shape")
            if node.get("allowzero") and 0 in to:
                raise UnsupportedError("a map without elements is not supported")
            return node.apply(cls(to), x)
        shape = x.shape
        if node.kind == "Squeeze":
            axes = node.axes(1, len(shape))
            if axes is None:
                axes = tuple([axis for axis, size in enumerate(shape) if size == 1])
            if any(shape[axis] != 1 for axis in axes):
                raise WiringError(f"cannot leave out axes {axes} of {dims(shape)}")
            return node.apply(cls(tuple([size for axis, size in enumerate(shape) if axis not in axes])), x)
        axes = node.integers(1, "axes") or ()
        new = node.axes(1, len(shape) + len(axes)) or ()
        sizes = iter(shape)
        return node.apply(cls(tuple([1 if axis in new else next(sizes) for axis in range(len(shape) + len(new))])), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the sizes as they are stated."""
        return form.apply("Reshape", *form.operands, self.to)


class Dropout(View):
    """y = x: at inference nothing is dropped; a view."""

    onnx: ClassVar[tuple[str, ...]] = ("Dropout",)

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its inputs only the first is a map; the mask that it can make is all true and made by nothing."""
        if any(node.outputs[1:]):
            raise UnsupportedError("its mask is used, which is not supported")
        return node.apply(cls(), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Without a mask."""
        return form.apply("Dropout")
