"""Convolutions of any rank, grouped, strided, dilated, padded per side."""

from dataclasses import dataclass, field
from math import gcd, prod
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import WiringError
from costmodel.graph import Loops, Shape, Tensor, Weight, dims
from costmodel.ops.checks import channels_and_spatial, positive, same_channels
from costmodel.ops.onnx import OnnxForm, OnnxNode
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
