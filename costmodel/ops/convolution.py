"""Convolutions of any rank, and their transposes: grouped, strided, dilated, padded per side."""

from dataclasses import dataclass, field
from math import gcd, prod
from typing import Any, ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import WiringError
from costmodel.graph import Loops, Reach, Shape, Tensor, Weight, Window, dims
from costmodel.ops.checks import channels_and_spatial, positive, same_channels
from costmodel.ops.onnx import SAME, OnnxForm, OnnxNode
from costmodel.ops.patches import along_channels, patches
from costmodel.ops.windowed import Axes, Windowed


@dataclass(frozen=True)
class Conv(Windowed):
    """y[n,m,p] = b[m] + sum over c,k of w[m,c,k] * x[n, c + first channel of m's group, p*stride + k*dilation - pad].

    x: N x C x spatial, w: M x C/groups x kernel, b: M; y: N x M x positions.
    Products with padding are counted, as hardware does them; the bias initialises the accumulator and costs nothing.
    ``channels`` may state C, which is then checked. Depthwise is ``groups=C``.
    """

    filters: int
    kernel: Axes
    stride: Axes = 1
    pads: Axes = 0
    dilation: Axes = 1
    groups: int = 1
    bias: bool = True
    channels: int | None = field(default=None, compare=False)

    onnx: ClassVar[tuple[str, ...]] = ("Conv",)
    formed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, filters=self.filters, groups=self.groups, channels=self.channels)
        super().__post_init__()

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x M x positions."""
        n, c, spatial = channels_and_spatial(x)
        same_channels(self.channels, c)
        if c % self.groups or self.filters % self.groups:
            common = gcd(c, self.filters)
            fitting = [str(groups) for groups in range(1, min(common, 1024) + 1) if common % groups == 0]
            raise WiringError(
                f"has {self.groups} groups, which do not divide {c} channels into {self.filters} filters; "
                f"groups that do: {', '.join(fitting)}"
            )
        return (n, self.filters, *self.window.output(spatial))

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The window at its position."""
        return "window"

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """w: M x C/groups x kernel, and b: M."""
        _, c, _ = channels_and_spatial(x)
        kernel = Weight("weight", (self.filters, c // self.groups, *self.window.kernel))
        return (kernel, Weight("bias", (self.filters,))) if self.bias else (kernel,)

    def loops(self, x: Shape) -> Loops:
        """Per image and group: (positions) x (kernel * C/groups) by M/groups."""
        n, c, spatial = channels_and_spatial(x)
        reduction = prod(self.window.kernel) * (c // self.groups)
        return Loops(n, self.groups, prod(self.window.output(spatial)), self.filters // self.groups, reduction)

    def run(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """Per image and group one product: filters x reduction by reduction x positions."""
        n, *_ = x.shape
        _, _, *positions = self.shape(x.shape)
        under = patches(x, self.window, tuple(positions))
        rank = len(positions)
        columns = np.moveaxis(under, range(2, 2 + rank), range(-rank, 0))  # n, c, k..., p...
        columns = columns.reshape(n, self.groups, -1, prod(positions))
        y = weight.reshape(self.groups, self.filters // self.groups, -1) @ columns
        y = y.reshape(n, self.filters, *positions)
        return y if bias is None else y + along_channels(bias, y)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Filters, channels and kernel are those of the weights."""
        weight, groups = node.weight(1), int(node.get("group", 1))
        if len(weight.shape) < 3:
            raise WiringError(f"its weights must be filters x channels x kernel, not {dims(weight.shape)}")
        filters, inside, *kernel = weight.shape
        bias = node.operand(2) is not None
        if bias:
            node.weight(2, filters)
        window = node.window(tuple(kernel))
        return node.apply(cls(filters, **window, groups=groups, bias=bias, channels=inside * groups), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all pads stated."""
        return form.apply("Conv", **self.onnx_window(), group=self.groups)


@dataclass(frozen=True)
class ConvTranspose(Windowed):
    """y[n,m,p] = b[m] + sum of w[c,m,k] * x[n,c,q] over all c, k and q with q*stride + k*dilation - pad = p.

    x: N x C x spatial, w: C x M/groups x kernel, b: M; y: N x M x positions, and an input channel reaches the filters
    of its group only. Each element of x is multiplied by each weight of its channel, and that is what is counted, also
    for products that the pads cut off; where a stride leaves gaps, nothing is multiplied. ``more`` adds positions
    behind the last window (ONNX's output_padding). The bias costs nothing.
    """

    filters: int
    kernel: Axes
    stride: Axes = 1
    pads: Axes = 0
    dilation: Axes = 1
    groups: int = 1
    bias: bool = True
    more: Axes = 0

    onnx: ClassVar[tuple[str, ...]] = ("ConvTranspose",)

    def __post_init__(self) -> None:
        positive(self, filters=self.filters, groups=self.groups)
        super().__post_init__()
        self._numbers("more", self.more, len(self._window.kernel), 0)

    @property
    def window(self) -> Window | None:  # type: ignore[override]
        """None: it slides over the output, at other positions than a convolution's window."""
        return None

    @property
    def spreads(self) -> Window:
        """The window that slides over the output."""
        return self._window

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """What is spread over its position."""
        return "spread"

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x M x positions."""
        n, c, spatial = channels_and_spatial(x)
        if c % self.groups or self.filters % self.groups:
            raise WiringError(f"has {self.groups} groups, which do not divide {c} channels into {self.filters} filters")
        if len(spatial) != len(self._window.kernel):
            raise WiringError(f"a {dims(self._window.kernel)} kernel needs as many spatial axes, not {len(spatial)}")
        window, more = self._window, self.more if isinstance(self.more, tuple) else ()
        sizes = [
            (size - 1) * stride + extent - sum(pads) + beyond
            for size, stride, extent, pads, beyond in zip(
                spatial, window.stride, window.extent, window.pads, more, strict=True
            )
        ]
        if min(sizes) < 1:
            raise WiringError(f"has pads {self.pads} that leave nothing of a map {dims(spatial)}")
        return (n, self.filters, *sizes)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """w: C x M/groups x kernel, and b: M."""
        _, c, _ = channels_and_spatial(x)
        kernel = Weight("weight", (c, self.filters // self.groups, *self._window.kernel))
        return (kernel, Weight("bias", (self.filters,))) if self.bias else (kernel,)

    def loops(self, x: Shape) -> Loops:
        """Per image and group: (elements of a channel) x C/groups by (M/groups * kernel)."""
        n, c, spatial = channels_and_spatial(x)
        outputs = self.filters // self.groups * prod(self._window.kernel)
        return Loops(n, self.groups, prod(spatial), outputs, c // self.groups)

    def run(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """One product per tap, added where its window begins; the pads are cut off."""
        n, c, *spatial = x.shape
        _, _, *positions = self.shape(x.shape)
        window = self._window
        inputs = x.reshape(n, self.groups, c // self.groups, -1)
        kernels = weight.reshape(self.groups, c // self.groups, self.filters // self.groups, *window.kernel)
        before = [pads[0] for pads in window.pads]
        spans = zip(spatial, window.stride, window.extent, positions, before, strict=True)
        around = [max((size - 1) * step + extent, cut + last) for size, step, extent, last, cut in spans]
        y = np.zeros((n, self.filters, *around), x.dtype)
        for tap in np.ndindex(*window.kernel):
            part = np.swapaxes(kernels[(..., *tap)], 1, 2) @ inputs
            places = [
                slice(t * dilation, t * dilation + (size - 1) * stride + 1, stride)
                for t, dilation, size, stride in zip(tap, window.dilation, spatial, window.stride, strict=True)
            ]
            y[(slice(None), slice(None), *places)] += part.reshape(n, self.filters, *spatial)
        kept = [slice(first, first + size) for first, size in zip(before, positions, strict=True)]
        y = y[(slice(None), slice(None), *kept)]
        return y if bias is None else y + along_channels(bias, y)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Channels, filters and kernel are those of the weights; an output's shape or ``auto_pad`` sets the pads."""
        weight, groups = node.weight(1), int(node.get("group", 1))
        if len(weight.shape) < 3:
            raise WiringError(f"its weights must be channels x filters x kernel, not {dims(weight.shape)}")
        channels, inside, *kernel = weight.shape
        x = node.tensor()
        if x.shape[1:2] != (channels,):
            raise WiringError(f"expects {channels} channels, its input is {dims(x.shape)}")
        bias = node.operand(2) is not None
        if bias:
            node.weight(2, inside * groups)
        more = tuple(node.get("output_padding", (0,) * len(kernel)))
        window, wanted, automatic = node.window(tuple(kernel)), node.get("output_shape"), node.get("auto_pad", "NOTSET")
        if wanted is not None or automatic in SAME:
            spatial, steps = x.shape[2:], window["stride"]
            sizes = wanted if wanted is not None else [size * step for size, step in zip(spatial, steps, strict=True)]
            extents = Window(window["kernel"], steps, window["dilation"], ()).extent
            spare = [
                (size - 1) * step + beyond + extent - whole
                for size, step, beyond, extent, whole in zip(spatial, steps, more, extents, sizes, strict=True)
            ]
            more = tuple([beyond + max(-total, 0) for beyond, total in zip(more, spare, strict=True)])
            cut = [max(total, 0) for total in spare]
            less, rest = [total // 2 for total in cut], [total - total // 2 for total in cut]
            window["pads"] = (*less, *rest) if automatic == "SAME_UPPER" else (*rest, *less)
        return node.apply(cls(inside * groups, **window, groups=groups, bias=bias, more=more), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all pads stated."""
        more: dict[str, Any] = {} if self.more == (0,) * len(self._window.kernel) else {"output_padding": self.more}
        return form.apply("ConvTranspose", **self.onnx_window(), group=self.groups, **more)
