"""Pools: the largest or the mean value of each window, and of each whole map."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Reach, Shape, Tensor, Type, Work
from costmodel.ops.checks import channels_and_spatial
from costmodel.ops.onnx import OnnxForm, OnnxNode
from costmodel.ops.order import ROOT, ROOT_WHY, SQUARES, WHY, norm, of_order
from costmodel.ops.patches import patches
from costmodel.ops.windowed import Axes, Windowed


class Pool(Windowed, abstract=True):
    """The shape of every pool; a step is one element of one window, padding included."""

    ceil_mode: bool

    unit: ClassVar[str] = "window element"

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel)
        super().__post_init__()
        if any(max(pads) >= size for pads, size in zip(self.window.pads, self.window.extent, strict=True)):
            raise WiringError(f"{self.kind}: pads {self.pads} leave windows without any input; kernel: {self.kernel}")

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x C x positions."""
        n, c, spatial = channels_and_spatial(x)
        window = self.window
        positions = window.output(spatial, ceil=self.ceil_mode)
        if window.extent != window.kernel:  # only a dilated window can step over a whole map
            for size, count, stride, dilation, (before, _) in zip(spatial, positions, *window[1:], strict=True):
                if any(start % dilation >= size for start in range(-before, 0, stride)[:count]):
                    raise WiringError(f"pads {self.pads} leave windows without any input; dilation: {self.dilation}")
        return (n, c, *positions)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The window at its position."""
        return "window"

    def units(self, x: Shape) -> int:
        """Window elements: the kernel's size times the outputs."""
        return prod(self.window.kernel) * prod(self.shape(x))

    def _taps(self, x: Array) -> tuple[int, ...]:
        """The axes of a map's patches that lie under the window."""
        return tuple(range(x.ndim, x.ndim + len(self.window.kernel)))


@dataclass(frozen=True)
class MaxPool(Pool):
    """y[n,c,p] = max over k of x[n, c, p*stride + k*dilation - pad]; x: N x C x spatial, y: N x C x positions.

    Without a ``stride`` windows do not overlap. ``ceil_mode`` rounds the number of positions up.
    """

    kernel: Axes
    stride: Axes | None = None  # type: ignore[assignment]
    pads: Axes = 0
    dilation: Axes = 1
    ceil_mode: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("MaxPool",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"

    def run(self, x: Array) -> Array:
        """The largest under each window; padding is smaller than anything."""
        _, _, *positions = self.shape(x.shape)
        return patches(x, self.window, tuple(positions), outside=-np.inf).max(axis=self._taps(x))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Where the places of the largest values are used, it is another operator."""
        if not any(node.outputs[1:]):
            return node.apply(cls(**kernel_of(node)))
        if node.get("storage_order", 0):
            raise UnsupportedError("places column by column (storage_order = 1) are not supported")
        return node.apply(PlacedMaxPool(**kernel_of(node)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the same attributes."""
        return form.apply("MaxPool", **self.onnx_window(), ceil_mode=int(self.ceil_mode))


@dataclass(frozen=True)
class PlacedMaxPool(Pool):
    """y, i = the values of :class:`MaxPool`, and where in all of x the first such value is; i: N x C x positions."""

    kernel: Axes
    stride: Axes | None = None  # type: ignore[assignment]
    pads: Axes = 0
    dilation: Axes = 1
    ceil_mode: bool = False

    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """N x C x spatial -> N x C x positions, twice."""
        y = self.shape(x)
        return (y, y)

    def types(self, x: Type) -> tuple[Type, ...]:
        """Any -> the same, and places."""
        return (x, "int64")

    def run(self, x: Array) -> tuple[Array, Array]:
        """The largest under each window, and its place."""
        shape = self.shape(x.shape)
        under = patches(x, self.window, shape[2:], outside=-np.inf).reshape(*shape, -1)
        places = patches(np.arange(x.size).reshape(x.shape), self.window, shape[2:]).reshape(*shape, -1)
        largest = np.argmax(under, axis=-1, keepdims=True)
        y, i = (np.take_along_axis(values, largest, axis=-1) for values in (under, places))
        return y[..., 0], i[..., 0]

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """A MaxPool with both outputs."""
        return form.apply("MaxPool", outputs=2, **self.onnx_window(), ceil_mode=int(self.ceil_mode))


@dataclass(frozen=True)
class AveragePool(Pool):
    """y[n,c,p] = mean over k of x[n, c, p*stride + k*dilation - pad]; x: N x C x spatial, y: N x C x positions.

    Without a ``stride`` windows do not overlap. ``ceil_mode`` rounds the number of positions up;
    ``count_include_pad`` divides by the kernel's size also where the window covers padding (it changes no count).
    """

    kernel: Axes
    stride: Axes | None = None  # type: ignore[assignment]
    pads: Axes = 0
    dilation: Axes = 1
    ceil_mode: bool = False
    count_include_pad: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("AveragePool",)
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(add=-1, multiply=1)
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/(K*K) takes the place of the first addition"

    def run(self, x: Array) -> Array:
        """The sum under each window by how many elements of x, or of x and its padding, are there."""
        _, _, *positions = self.shape(x.shape)
        return patches(x, self.window, tuple(positions)).sum(axis=self._taps(x)) / self.divisors(x)

    def divisors(self, x: Array) -> Array:
        """How many elements the mean at each position is of; 1 x 1 x positions."""
        _, _, *positions = self.shape(x.shape)
        there, window = np.ones((1, 1, *x.shape[2:]), x.dtype), self.window
        if self.count_include_pad:
            there = np.pad(there, [(0, 0), (0, 0), *window.pads], constant_values=1)
            window = window._replace(pads=((0, 0),) * len(positions))
        return patches(there, window, tuple(positions)).sum(axis=self._taps(x))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With what its divisor counts."""
        return node.apply(cls(**kernel_of(node), count_include_pad=bool(node.get("count_include_pad", 0))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the same attributes."""
        modes = {"ceil_mode": int(self.ceil_mode), "count_include_pad": int(self.count_include_pad)}
        return form.apply("AveragePool", **self.onnx_window(), **modes)


@dataclass(frozen=True)
class LpPool(Pool):
    """y[n,c,q] = (sum over k of |x[n, c, q*stride + k*dilation - pad]|^p)^(1/p), of the order ``p`` 1 or 2.

    x: N x C x spatial, y: N x C x positions. Without a ``stride`` windows do not overlap. ``ceil_mode`` rounds the
    number of positions up.
    """

    kernel: Axes
    stride: Axes | None = None  # type: ignore[assignment]
    pads: Axes = 0
    dilation: Axes = 1
    ceil_mode: bool = False
    p: int = 2

    onnx: ClassVar[tuple[str, ...]] = ("LpPool",)
    each: ClassVar[Work] = SQUARES
    per_row: ClassVar[Work] = ROOT
    why: ClassVar[str] = WHY
    row_why: ClassVar[str] = ROOT_WHY

    def __post_init__(self) -> None:
        super().__post_init__()
        of_order(self, self.p)

    def run(self, x: Array) -> Array:
        """The norm of what is under each window."""
        _, _, *positions = self.shape(x.shape)
        return norm(patches(x, self.window, tuple(positions)), self.p, self._taps(x))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its order."""
        return node.apply(cls(**kernel_of(node), p=int(node.get("p", 2))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the same attributes."""
        return form.apply("LpPool", **self.onnx_window(), ceil_mode=int(self.ceil_mode), p=self.p)


def kernel_of(node: OnnxNode) -> dict[str, Any]:
    """The attributes that pools of ONNX share."""
    if "kernel_shape" not in node.attributes:
        raise WiringError("has no kernel_shape")
    return node.window(tuple(node.get("kernel_shape"))) | {"ceil_mode": bool(node.get("ceil_mode", 0))}


class Global(Op, abstract=True):
    """The shape of every pool of whole maps."""

    unit: ClassVar[str] = "input element"

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x C x 1 ..."""
        n, c, spatial = channels_and_spatial(x)
        return (n, c, *(1 for _ in spatial))

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The whole map of the channel."""
        return "channel"

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)


class GlobalAveragePool(Global):
    """y[n,c] = mean over p of x[n,c,p]; x: N x C x spatial, y: N x C x 1 per spatial axis."""

    onnx: ClassVar[tuple[str, ...]] = ("GlobalAveragePool",)
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(add=-1, multiply=1)
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/size takes the place of the first addition"

    def run(self, x: Array) -> Array:
        """The mean over the spatial axes, which stay with size 1."""
        return x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)


class GlobalMaxPool(Global):
    """y[n,c] = max over p of x[n,c,p]; x: N x C x spatial, y: N x C x 1 per spatial axis."""

    onnx: ClassVar[tuple[str, ...]] = ("GlobalMaxPool",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"

    def run(self, x: Array) -> Array:
        """The largest over the spatial axes, which stay with size 1."""
        return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


@dataclass(frozen=True)
class GlobalLpPool(Global):
    """y[n,c] = (sum over q of |x[n,c,q]|^p)^(1/p), of the order ``p`` 1 or 2; x: N x C x spatial.

    y: N x C x 1 per spatial axis.
    """

    p: int = 2

    onnx: ClassVar[tuple[str, ...]] = ("GlobalLpPool",)
    each: ClassVar[Work] = SQUARES
    per_row: ClassVar[Work] = ROOT
    why: ClassVar[str] = WHY
    row_why: ClassVar[str] = ROOT_WHY

    def __post_init__(self) -> None:
        of_order(self, self.p)

    def run(self, x: Array) -> Array:
        """The norm over the spatial axes, which stay with size 1."""
        return norm(x, self.p, tuple(range(2, x.ndim)), keepdims=True)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its order."""
        return node.apply(cls(int(node.get("p", 2))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its order."""
        return form.apply("GlobalLpPool", p=self.p)
