"""Operators that move or rename values without computing: concatenation, transposition, and views."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final, Self

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Reach, Shape, Tensor, Type, dims, known_type
from costmodel.ops.checks import axis_of, broadcast, integers, positive
from costmodel.ops.held import Several
from costmodel.ops.onnx import NUMBERS, Constant, OnnxForm, OnnxNode, Operand, checked_axes, checked_axis


@dataclass(frozen=True)
class Cast(Op):
    """y = x in another element type, ``dtype``, or the network's where none is stated. Copies; computes nothing.

    Fractions become whole numbers toward zero; what is not zero is true.
    """

    dtype: Type = None

    onnx: ClassVar[tuple[str, ...]] = ("Cast", "CastLike")
    in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.dtype is not None:
            known_type(self.dtype)

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The same place."""
        return "point"

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


@dataclass(frozen=True, repr=False)
class Concat(Several):
    """y = the inputs one after another along ``axis``; all other axes must agree. Copies; computes nothing.

    Where ``held`` has a shape, a weight stands in that place, such as a vision transformer's class token; it stretches
    along the axes that are 1 in it.
    """

    axis: int = 1
    held: tuple[Shape | None, ...] = ()

    onnx: ClassVar[tuple[str, ...]] = ("Concat",)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes that agree but for one axis -> their concatenation."""
        if not inputs:
            raise WiringError("needs at least one input")
        first, *_ = inputs
        axis = axis_of(self.axis, first)
        before, after = first[:axis], first[axis + 1 :]
        parts = tuple([self.stretched(part, first, axis) for part in self.all(inputs)]) if self.held else inputs
        for x in parts:
            if len(x) != len(first) or (x[:axis], x[axis + 1 :]) != (before, after):
                raise WiringError(f"cannot join {dims(x)} to {dims(first)} along axis {self.axis}")
        return (*before, sum(x[axis] for x in parts), *after)

    def reach(self, *inputs: Shape) -> Reach:
        """The value that is copied; of channels, one at the same position."""
        first, *_ = self.all(inputs) if self.held else inputs
        return "value" if axis_of(self.axis, first) == 1 else "copy"

    def stretched(self, part: Shape, beside: Shape, axis: int) -> Shape:
        """A part's shape with the sizes of another for all axes of 1 but the one that they are joined along."""
        if len(part) != len(beside):
            return part
        pairs = enumerate(zip(part, beside, strict=True))
        return tuple([other if size == 1 and place != axis else size for place, (size, other) in pairs])

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The inputs one after another."""
        first, *_ = inputs
        axis = self.axis % first.ndim
        parts = [
            np.broadcast_to(part, self.stretched(part.shape, first.shape, axis)) for part in self.all(inputs, weights)
        ]
        return np.concatenate(parts, axis=axis)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights; the axis is 1 where it is not given, before operator set 4."""
        axis = int(node.get("axis", 1))
        held = [_unstretched(operand, axis) for operand in node.inputs]
        return node.apply(cls(axis, tuple(held) if any(shape is not None for shape in held) else ()))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        first, *_ = form.shapes
        axis = self.axis % len(first)
        wanted = [part if part is None else self.stretched(part, first, axis) for part in self.held]
        names = [
            name if shape == part or shape is None else form.then("Expand", name, shape)
            for name, part, shape in zip(self.all_of(form), self.held, wanted, strict=False)
        ]
        return form.apply("Concat", *(names or form.operands), axis=self.axis)


def _unstretched(operand: Operand, axis: int) -> Shape | None:
    """A constant's shape, before it was stretched along other axes than the one that it is joined along."""
    if not isinstance(operand, Constant):
        return None
    stored = operand.stored
    if stored is None or len(stored) != len(operand.shape) or stored[axis] != operand.shape[axis]:
        return operand.shape
    return stored


@dataclass(frozen=True)
class Transpose(Op):
    """y[i permuted] = x[i]; ``axes[k]`` is the input axis that becomes axis k. Moves every value, computes nothing."""

    axes: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("Transpose",)
    permutes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        integers(self, "axes", self.axes)

    def shape(self, x: Shape) -> Shape:
        """Shape -> its sizes in the order of ``axes``."""
        if sorted(self.axes) != list(range(len(x))):
            raise WiringError(f"needs each axis of {dims(x)} once, not {self.axes}")
        return tuple(x[axis] for axis in self.axes)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

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

    onnx: ClassVar[tuple[str, ...]] = ("Slice", "Split")

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

    def reads(self, x: Shape) -> dict[int | str, int]:
        """As many elements as it keeps."""
        return {0: prod(self.shape(x))}

    def reach(self, x: Shape) -> Reach:
        """The value that is copied; of channels, one at the same position."""
        kept = [len(range(size)[part]) for size, part in zip(x, self.ranges(len(x)), strict=True)]
        return "value" if kept[:1] + kept[2:] == [*x[:1], *x[2:]] else "copy"

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
        """A Slice; a Split as a slice for each output."""
        x = node.tensor()
        if node.kind == "Split":
            return cls._split(node, x)
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
        for axis, first, last, each in zip(checked_axes(axes, rank), starts, stops, steps, strict=True):
            kept[axis] = slice(first, None if last >= REST else last, each)
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
        rank = len(x.shape)
        axis, sizes = node.axis(0, rank), split_sizes(node, x.shape)
        made, start = [], 0
        for number, size in enumerate(sizes):
            op = cls.along(rank, axis, start, start + size)
            made.append(node.then(op, x, part=str(number + 1) if number else ""))
            start += size
        return tuple(made)


COUNTED: Final = 18
"""The operator set from which a Split says how many parts it makes, if not of which sizes."""


def split_sizes(node: OnnxNode, x: Shape) -> tuple[int, ...]:
    """The sizes of the parts that a Split makes of a map: as it says, or all alike but for a smaller last one."""
    count, axis = len(node.outputs), node.axis(0, len(x))
    sizes, told = node.integers(1, "split"), node.get("num_outputs")
    if told not in (None, count):
        raise WiringError(f"has num_outputs {told} and {count} outputs")
    if node.opset >= COUNTED and (told is None) == (sizes is None):
        raise WiringError(f"takes either split or num_outputs, not {'neither' if told is None else 'both'}")
    if sizes is None:
        each = -(-x[axis] // count)
        sizes = (*[each] * (count - 1), x[axis] - each * (count - 1))
    if len(sizes) != count or sum(sizes) != x[axis] or min(sizes) < 1:
        raise WiringError(f"cannot split {x[axis]} into {count} parts of {sizes}")
    return sizes


PAD_MODES: Final = ("constant", "edge", "reflect", "wrap")
"""What a pad may be made of; NumPy has the same names."""


@dataclass(frozen=True)
class Pad(Op):
    """y = x with zeros around it, or another ``value``. Copies x; y has each axis of x longer by its two pads.

    ``pads`` is in ONNX's order: all the begins, then all the ends. In the ``mode`` edge the pads repeat the outermost
    elements, in reflect they mirror x without these, in wrap they go on from the other side.
    """

    pads: tuple[int, ...]
    value: float = 0.0
    mode: str = "constant"

    onnx: ClassVar[tuple[str, ...]] = ("Pad", "CenterCropPad")

    def __post_init__(self) -> None:
        integers(self, "pads", self.pads, least=0)
        if self.mode not in PAD_MODES:
            raise WiringError(f"Pad: mode must be one of {', '.join(PAD_MODES)}, not {self.mode!r}")

    def shape(self, x: Shape) -> Shape:
        """Shape -> the padded shape."""
        rank = len(x)
        if len(self.pads) != 2 * rank:
            both = f"{2 * rank} pads for {dims(x)}, the begin of every axis and then the end of every axis"
            raise WiringError(f"needs {both}, not {self.pads}")
        return tuple(sum(sizes) for sizes in zip(x, self.pads[:rank], self.pads[rank:], strict=True))

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, x: Array) -> Array:
        """Zeros, or what the mode says, around x."""
        around = list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True))
        if self.mode == "constant":
            return np.pad(x, around, constant_values=self.value)
        return np.pad(x, around, self.mode)  # type: ignore[call-overload] # the mode is one of NumPy's

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Pads and value are attributes before operator set 11; the axes may be given; pads below 0 cut off.

        A CenterCropPad is told the sizes: half of each difference is before the map, and the larger half behind.
        """
        mode = node.get("mode", "constant")
        if mode not in PAD_MODES:
            raise UnsupportedError(f"mode {mode!r} is not supported; known: {', '.join(PAD_MODES)}")
        x = node.tensor()
        rank = len(x.shape)
        centered = node.kind == "CenterCropPad"
        pads = node.integers(1, "paddings" if "paddings" in node.attributes else "pads")
        chosen = node.integers(3, "axes") if centered else node.integers(3)
        axes = range(rank) if chosen is None else checked_axes(chosen, rank)
        if centered and pads is not None and len(pads) == len(axes):
            more = [size - x.shape[axis] for size, axis in zip(pads, axes, strict=True)]
            half = [abs(size) // 2 * (1 if size > 0 else -1) for size in more]
            pads = (*half, *[size - part for size, part in zip(more, half, strict=True)])
        if pads is None or len(pads) != 2 * len(axes):
            raise WiringError(f"has pads {pads} for {len(axes)} axes")
        around = [0] * 2 * rank
        for number, axis in enumerate(axes):
            around[axis], around[axis + rank] = pads[number], pads[number + len(axes)]
        if min(around) < 0:
            before, behind = ([min(pad, 0) for pad in side] for side in (around[:rank], around[rank:]))
            kept = Slice(tuple([-pad for pad in before]), tuple([pad or None for pad in behind]))
            x = node.then(kept, x, part="" if max(around) <= 0 else "slice")
            around = [max(pad, 0) for pad in around]
            if not any(around):
                return (x,)
        value = (node.number(2, "value") or 0.0) if mode == "constant" else 0.0
        return node.apply(cls(tuple(around), value, mode), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """On all axes, with the value or the mode."""
        if self.mode == "constant":
            return form.apply("Pad", *form.operands, self.pads, self.value)
        return form.apply("Pad", *form.operands, self.pads, mode=self.mode)


@dataclass(frozen=True)
class Tile(Op):
    """y[i] = x[i mod size], per axis: x as often as ``repeats`` says, one number per axis. Copies; computes nothing."""

    repeats: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("Tile",)

    def __post_init__(self) -> None:
        integers(self, "repeats", self.repeats, least=1)

    def shape(self, x: Shape) -> Shape:
        """Shape -> each size times its repeats."""
        if len(self.repeats) != len(x):
            raise WiringError(f"needs {len(x)} repeats for {dims(x)}, not {self.repeats}")
        return tuple([size * count for size, count in zip(x, self.repeats, strict=True)])

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, x: Array) -> Array:
        """Copies of x beside each other."""
        return np.tile(x, self.repeats)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The repeats are an input."""
        repeats = node.integers(1)
        if repeats is None:
            raise WiringError("has no repeats")
        return node.apply(cls(repeats), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The repeats are an input."""
        return form.apply("Tile", *form.operands, self.repeats)


@dataclass(frozen=True)
class Expand(Op):
    """y = x stretched to the shape that x and ``to`` broadcast to. Copies; computes nothing."""

    to: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("Expand",)

    def __post_init__(self) -> None:
        integers(self, "to", self.to, least=1)

    def shape(self, x: Shape) -> Shape:
        """Shape -> what both stretch to."""
        return broadcast(x, self.to)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, x: Array) -> Array:
        """Copies of x where an axis of it is 1."""
        return np.array(np.broadcast_to(x, self.shape(x.shape)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The shape is an input; to the map's own it changes nothing."""
        to, x = node.integers(1), node.tensor()
        if to is None:
            raise WiringError("has no shape")
        if min(to, default=1) < 1:
            raise WiringError(f"cannot stretch {dims(x.shape)} to {list(to)}; sizes of at least 1 are accepted")
        return (x,) if broadcast(x.shape, to) == x.shape else node.apply(cls(to), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The shape is an input."""
        return form.apply("Expand", *form.operands, self.to)


@dataclass(frozen=True)
class DepthToSpace(Op):
    """y[n, c, h*factor + i, w*factor + j] = x[n, (i*factor + j)*C + c, h, w]; moves every value, computes nothing.

    x: N x C*factor^2 x H x W, y: N x C x H*factor x W*factor. With ``channels_first`` the channel of x is
    c*factor^2 + i*factor + j instead, as in PyTorch's PixelShuffle.
    """

    factor: int
    channels_first: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("DepthToSpace",)

    def __post_init__(self) -> None:
        positive(self, factor=self.factor)

    def shape(self, x: Shape) -> Shape:
        """N x C*factor^2 x H x W -> N x C x H*factor x W*factor."""
        if len(x) != 4 or x[1] % self.factor**2:
            raise WiringError(f"cannot deal the channels of {dims(x)} out to {self.factor}x{self.factor} places")
        n, c, h, w = x
        return (n, c // self.factor**2, h * self.factor, w * self.factor)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, x: Array) -> Array:
        """The channels of a place as a square."""
        n, c, h, w = x.shape
        b = self.factor
        if self.channels_first:
            apart = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        else:
            apart = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        return apart.reshape(self.shape(x.shape))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """DCR has the place in front of the channel, CRD behind it."""
        mode = node.get("mode", "DCR")
        if mode not in ("DCR", "CRD"):
            raise WiringError(f"has mode {mode!r}; known: CRD, DCR")
        return node.apply(cls(int(node.get("blocksize")), mode == "CRD"))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """In the mode that it is."""
        return form.apply("DepthToSpace", blocksize=self.factor, mode="CRD" if self.channels_first else "DCR")


@dataclass(frozen=True)
class SpaceToDepth(Op):
    """y[n, (i*factor + j)*C + c, h, w] = x[n, c, h*factor + i, w*factor + j]; moves every value, computes nothing.

    x: N x C x H*factor x W*factor, y: N x C*factor^2 x H x W.
    """

    factor: int

    onnx: ClassVar[tuple[str, ...]] = ("SpaceToDepth",)

    def __post_init__(self) -> None:
        positive(self, factor=self.factor)

    def shape(self, x: Shape) -> Shape:
        """N x C x H*factor x W*factor -> N x C*factor^2 x H x W."""
        if len(x) != 4 or x[2] % self.factor or x[3] % self.factor:
            raise WiringError(f"cannot cut {dims(x)} into squares of {self.factor}x{self.factor}")
        n, c, h, w = x
        return (n, c * self.factor**2, h // self.factor, w // self.factor)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The value that is copied."""
        return "copy"

    def run(self, x: Array) -> Array:
        """Each square as the channels of a place."""
        n, c, h, w = x.shape
        b = self.factor
        return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(self.shape(x.shape))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``blocksize``."""
        if node.get("mode", "DCR") != "DCR":
            raise UnsupportedError(f"mode {node.get('mode')!r} is not supported; known: DCR")
        return node.apply(cls(int(node.get("blocksize"))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its block."""
        return form.apply("SpaceToDepth", blocksize=self.factor)


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

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """A value at the same position."""
        return "value"

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

    def reach(self, *inputs: Shape) -> Reach:
        """The same value, which is at the same place where the shape stays."""
        return "point" if self.shapes(*inputs) == inputs else "copy"

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
