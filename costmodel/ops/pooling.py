"""Pools: the largest or the mean value of each window, and of each whole map."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, Work
from costmodel.ops.checks import channels_and_spatial
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
        return (n, c, *self.window.output(spatial, ceil=self.ceil_mode))

    def units(self, x: Shape) -> int:
        """Window elements: the kernel's size times the outputs."""
        return prod(self.window.kernel) * prod(self.shape(x))


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

    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"


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

    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/(K*K) takes the place of the first addition"


@dataclass(frozen=True)
class GlobalAveragePool(Op):
    """y[n,c] = mean over p of x[n,c,p]; x: N x C x spatial, y: N x C x 1 per spatial axis."""

    each: ClassVar[Work] = Work(add=1)
    unit: ClassVar[str] = "input element"
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/size takes the place of the first addition"

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x C x 1 ..."""
        n, c, spatial = channels_and_spatial(x)
        return (n, c, *(1 for _ in spatial))

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)
