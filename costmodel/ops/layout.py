"""Operators that move or rename values without computing: concatenation, transposition, and views."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, dims
from costmodel.ops.checks import axis_of, integers, positive


@dataclass(frozen=True)
class Concat(Op):
    """y = the inputs one after another along ``axis``; all other axes must agree. Copies; computes nothing."""

    axis: int = 1

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


@dataclass(frozen=True)
class Transpose(Op):
    """y[i permuted] = x[i]; ``axes[k]`` is the input axis that becomes axis k. Moves every value, computes nothing."""

    axes: tuple[int, ...]

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


@dataclass(frozen=True)
class Slice(Op):
    """y[i] = x[i + start] for start <= i + start < stop, per axis; copies the kept values, computes nothing.

    ``start`` and ``stop`` have one number per axis of x; a negative number counts from the axis's end, and a stop of
    None keeps the rest.
    """

    start: tuple[int, ...]
    stop: tuple[int | None, ...]

    def __post_init__(self) -> None:
        integers(self, "start", self.start)
        integers(self, "stop", self.stop, optional=True)

    def shape(self, x: Shape) -> Shape:
        """Shape -> the sizes of the kept ranges."""
        if not len(self.start) == len(self.stop) == len(x):
            raise WiringError(f"needs a start and a stop for each axis of {dims(x)}, not {self.start} and {self.stop}")
        ranges = [range(size)[slice(*ends)] for size, *ends in zip(x, self.start, self.stop, strict=True)]
        return tuple(map(len, ranges))

    def run(self, x: Array) -> Array:
        """The kept ranges."""
        return x[tuple(slice(*ends) for ends in zip(self.start, self.stop, strict=True))]


@dataclass(frozen=True)
class Pad(Op):
    """y = x with zeros around it; ``pads`` is in ONNX's order: all the begins, then all the ends. Copies x.

    y has each axis of x longer by its two pads.
    """

    pads: tuple[int, ...]

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
        return np.pad(x, list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True)))


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


class View(Op, abstract=True):
    """An operator whose output is its input's memory under another shape."""

    view: ClassVar[bool] = True

    def run(self, x: Array) -> Array:
        """The same values under the other shape."""
        return x.reshape(self.shape(x.shape))


@dataclass(frozen=True)
class Flatten(View):
    """y = x with the axes from ``axis`` on merged into one; a view."""

    axis: int = 1

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x (C * spatial)."""
        axis = axis_of(self.axis, x)
        return (*x[:axis], prod(x[axis:]))


@dataclass(frozen=True)
class Reshape(View):
    """y = x under the shape ``to``, where 0 keeps the input's axis and one -1 takes what is left; a view."""

    to: tuple[int, ...]

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


class Dropout(View):
    """y = x: at inference nothing is dropped; a view."""

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x
