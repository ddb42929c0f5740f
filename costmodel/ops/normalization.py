"""Normalisations."""

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Shape, Tensor, Weight, Work, dims
from costmodel.ops.checks import axis_of, positive, same_channels
from costmodel.ops.layout import Reshape
from costmodel.ops.onnx import OnnxForm, OnnxNode
from costmodel.ops.patches import along_channels


@dataclass(frozen=True)
class BatchNorm(Op):
    """y[n,c,p] = (x[n,c,p] - mean[c]) * (1 / sqrt(variance[c] + epsilon)) * gamma[c] + beta[c].

    x, y: N x C x any; gamma and beta are learned, mean and variance are running statistics (buffers).
    Source: Ioffe and Szegedy 2015, algorithms 1 and 2. ``channels`` may state C, which is then checked.
    """

    epsilon: float = 1e-5
    channels: int | None = field(default=None, compare=False)

    onnx: ClassVar[tuple[str, ...]] = ("BatchNormalization",)
    in_place: ClassVar[bool] = True
    each: ClassVar[Work] = Work(add=2, multiply=2)
    why: ClassVar[str] = "subtract mean, multiply by 1/sigma, multiply by gamma, add beta"

    def __post_init__(self) -> None:
        positive(self, channels=self.channels)

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs batch x channels, not {dims(x)}")
        _, c, *_ = x
        same_channels(self.channels, c)
        return x

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """Learned gamma and beta, running mean and variance: C each."""
        _, c, *_ = x
        return (
            Weight("gamma", (c,)),
            Weight("beta", (c,)),
            Weight("mean", (c,), "buffer"),
            Weight("variance", (c,), "buffer"),
        )

    def run(self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
        """With the running statistics, as at inference."""
        scale = 1 / np.sqrt(variance + self.epsilon)
        return (x - along_channels(mean, x)) * along_channels(scale, x) * along_channels(gamma, x) + along_channels(
            beta, x
        )

    def train(self, x: Array, gamma: Array, beta: Array) -> Array:
        """With the statistics of x itself, over the batch and the positions of each channel, as in training."""
        axes = (0, *range(2, x.ndim))
        return self.run(x, gamma, beta, x.mean(axis=axes), x.var(axis=axes))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """At inference: of its outputs only the first is made."""
        if node.get("training_mode") or any(node.outputs[1:]):
            raise UnsupportedError("training is not supported")
        if not node.get("spatial", 1):
            raise UnsupportedError("statistics for each position (spatial = 0) are not supported")
        (channels,) = node.weight(1, None).shape
        for index in (2, 3, 4):
            node.weight(index, channels)
        return node.apply(cls(float(node.get("epsilon", 1e-5)), channels), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its epsilon."""
        return form.apply("BatchNormalization", epsilon=self.epsilon)


@dataclass(frozen=True)
class Lrn(Op):
    """y[n,c,p] = x[n,c,p] / (k + alpha/size * sum over the size channels around c of x[n,i,p]^2) ^ beta.

    x, y: N x C x any. The sums are kept by adding the square that enters the channels around c and subtracting the one
    that leaves. Source: Krizhevsky et al. 2012, section 3.3.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    onnx: ClassVar[tuple[str, ...]] = ("LRN",)
    each: ClassVar[Work] = Work(add=3, multiply=2, divide=1, special=1)
    why: ClassVar[str] = "square, add the entering, subtract the leaving square, times alpha/size, add k, power, divide"

    def __post_init__(self) -> None:
        positive(self, size=self.size)

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs batch x channels, not {dims(x)}")
        return x

    def run(self, x: Array) -> Array:
        """The sum has (size - 1) // 2 channels before c, and the rest behind; outside there are none."""
        before = (self.size - 1) // 2
        around = [(before, self.size - 1 - before) if axis == 1 else (0, 0) for axis in range(x.ndim)]
        squares = np.pad(x * x, around)
        summed = np.lib.stride_tricks.sliding_window_view(squares, self.size, axis=1).sum(axis=-1)
        return x / (self.k + self.alpha / self.size * summed) ** self.beta

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """``k`` is called bias."""
        if "size" not in node.attributes:
            raise WiringError("has no size")
        alpha, beta, k = (
            float(node.get(name, usual)) for name, usual in [("alpha", 1e-4), ("beta", 0.75), ("bias", 1)]
        )
        return node.apply(cls(int(node.get("size")), alpha, beta, k))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """``k`` is called bias."""
        return form.apply("LRN", size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k)


@dataclass(frozen=True)
class Softmax(Op):
    """y[i] = exp(x[i]) / sum over j of exp(x[j]), along ``axis``; x and y have the same shape.

    The subtraction of the maximum, which only guards against overflow, is not counted.
    """

    axis: int = 1

    onnx: ClassVar[tuple[str, ...]] = ("Softmax",)
    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add to the sum, divide by the sum"

    def shape(self, x: Shape) -> Shape:
        """Any shape with that axis -> the same."""
        axis_of(self.axis, x)
        return x

    def run(self, x: Array) -> Array:
        """The largest value is subtracted first, so that no power overflows."""
        powers = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return powers / powers.sum(axis=self.axis, keepdims=True)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Before operator set 13 along all axes from ``axis`` on at once, as one of a matrix."""
        x = node.tensor()
        rank = len(x.shape)
        if node.opset >= 13:
            return node.apply(cls(int(node.get("axis", rank - 1))))
        axis = node.axis(1, rank) if rank > 1 else node.axis(0, rank)
        if prod(x.shape[axis + 1 :]) == 1:
            return node.apply(cls(axis))
        matrix = node.then(Reshape((prod(x.shape[:axis]), prod(x.shape[axis:]))), x, part="matrix")
        return node.apply(Reshape(x.shape), node.then(cls(1), matrix), part="reshape")

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Along the axis."""
        return form.apply("Softmax", axis=self.axis)
