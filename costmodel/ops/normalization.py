"""Normalisations."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Reach, Shape, Tensor, Weight, Work, dims
from costmodel.ops.checks import (
    along,
    axes_of,
    axis_of,
    channels_and_spatial,
    integers,
    not_negative,
    positive,
    same_channels,
)
from costmodel.ops.elementwise import Add, Mul
from costmodel.ops.layout import Reshape
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode
from costmodel.ops.order import ROOT, ROOT_WHY, SQUARES, WHY, norm, of_order
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
        not_negative(self, epsilon=self.epsilon)

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

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its outputs only the first is made; in training it is another operator."""
        if any(node.outputs[1:]):
            raise UnsupportedError("its running statistics are used, which is not supported")
        if not node.get("spatial", 1):
            raise UnsupportedError("statistics for each position (spatial = 0) are not supported")
        (channels,) = node.weight(1, None).shape
        for index in (2, 3, 4):
            node.weight(index, channels)
        epsilon = float(node.get("epsilon", 1e-5))
        op = TrainingBatchNorm(epsilon) if node.get("training_mode") else cls(epsilon, channels)
        return node.apply(op, node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its epsilon."""
        return form.apply("BatchNormalization", epsilon=self.epsilon)


class Norm(Op, abstract=True):
    """A norm with the statistics of the map itself; ``scale`` and ``bias`` say whether it has a gamma and a beta.

    A row is what one mean is of: each of its two sums has a multiplication by 1/size in the place of the first
    addition, and adding epsilon and taking 1/root are three operations more.
    """

    scale: bool

    each: ClassVar[Work] = Work(add=4, multiply=3)
    per_row: ClassVar[Work] = Work(add=-1, multiply=2, divide=1, special=1)
    why: ClassVar[str] = "add to the sum, subtract mean, square, add to the sum, by 1/sigma, by gamma, add beta"
    row_why: ClassVar[str] = (
        "add epsilon, root, 1 by it; for both sums a multiplication by 1/size takes the place of the first addition"
    )

    def __post_init__(self) -> None:
        not_negative(self, epsilon=getattr(self, "epsilon", 0.0))
        lacking = Work(multiply=-int(not self.scale), add=-int(not getattr(self, "bias", True)))
        if any(lacking):
            object.__setattr__(self, "each", self.each.plus(lacking))

    def beside(self, x: Shape) -> Shape:
        """The shape of gamma and beta: the channels."""
        _, c, *_ = x
        return (c,)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """Gamma and beta, where there are such."""
        there = {"gamma": self.scale, "beta": getattr(self, "bias", False)}
        return tuple([Weight(name, self.beside(x)) for name, has in there.items() if has])

    def stated(self, form: OnnxForm) -> tuple[str, ...]:
        """The operands of ONNX's norm: where there is no gamma or beta, one that changes nothing."""
        (x,) = form.shapes
        given, neutral = iter(form.weights), {"scale": 1.0, "bias": 0.0}
        return (
            *form.operands,
            *[
                next(given) if getattr(self, name) else form.then("Expand", value, self.beside(x))
                for name, value in neutral.items()
                if hasattr(self, name)
            ],
        )


def standard(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """Less the mean, by the standard deviation."""
    centered = x - x.mean(axis=axes, keepdims=True)
    return centered * (1 / np.sqrt((centered * centered).mean(axis=axes, keepdims=True) + epsilon))


class OfLastAxes(Norm, abstract=True):
    """A norm over the axes from ``axis`` on, of which gamma and beta have the shape."""

    axis: int

    row: ClassVar[str] = "normalised row"

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        axis_of(self.axis, x)
        return x

    def reach(self, x: Shape) -> Reach:
        """All along the last axes."""
        return along(tuple(range(axis_of(self.axis, x), len(x))))

    def rows(self, x: Shape) -> int:
        """Means."""
        return prod(x[: axis_of(self.axis, x)])

    def beside(self, x: Shape) -> Shape:
        """The axes from ``axis`` on."""
        return x[axis_of(self.axis, x) :]

    def along(self, x: Array) -> tuple[int, ...]:
        """The axes that a mean is over."""
        return tuple(range(self.axis % x.ndim, x.ndim))


@dataclass(frozen=True)
class LayerNorm(OfLastAxes):
    """y = (x - mean) * (1 / sqrt(variance + epsilon)) * gamma + beta, with the statistics over the last axes of x.

    x, y: any; the axes are those from ``axis`` on, and gamma and beta have their shape.
    Source: Ba et al. 2016, equation 4.
    """

    axis: int = -1
    epsilon: float = 1e-5
    scale: bool = True
    bias: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("LayerNormalization", "com.microsoft.SkipLayerNormalization")

    def run(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        """With the statistics of each row."""
        y = standard(x, self.along(x), self.epsilon)
        y = y if gamma is None else y * gamma
        return y if beta is None else y + beta

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of a map, or of ONNX Runtime's sum of two."""
        if any(node.outputs[1:3]):
            raise UnsupportedError("its mean or its deviation is used, which is not supported")
        if node.kind != "LayerNormalization":
            return skipped(node, cls(epsilon=float(node.get("epsilon", 1e-12)), bias=node.operand(3) is not None), 4)
        op = cls(int(node.get("axis", -1)), float(node.get("epsilon", 1e-5)), bias=node.operand(2) is not None)
        return learned(node, op, replace(op, scale=False, bias=False))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With a gamma of ones, where there is none."""
        return form.apply("LayerNormalization", *self.stated(form), axis=self.axis, epsilon=self.epsilon)


@dataclass(frozen=True)
class RMSNorm(OfLastAxes):
    """y = x * (1 / sqrt(mean of x^2 + epsilon)) * gamma, with the mean over the last axes of x.

    x, y: any; the axes are those from ``axis`` on, and gamma has their shape.
    Source: Zhang and Sennrich 2019, equation 4.
    """

    axis: int = -1
    epsilon: float = 1e-5
    scale: bool = True

    onnx: ClassVar[tuple[str, ...]] = (
        "RMSNormalization",
        "SimplifiedLayerNormalization",
        "com.microsoft.SkipSimplifiedLayerNormalization",
    )
    each: ClassVar[Work] = Work(add=1, multiply=3)
    per_row: ClassVar[Work] = Work(multiply=1, divide=1, special=1)
    why: ClassVar[str] = "square, add to the sum, by 1/root, by gamma"
    row_why: ClassVar[str] = (
        "add epsilon, root, 1 by it; a multiplication by 1/size takes the place of the first addition"
    )

    def run(self, x: Array, gamma: Array | None = None) -> Array:
        """With the root of each row's mean square."""
        y = x * (1 / np.sqrt((x * x).mean(axis=self.along(x), keepdims=True) + self.epsilon))
        return y if gamma is None else y * gamma

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of a map, or of ONNX Runtime's sum of two."""
        if any(node.outputs[1:3]):
            raise UnsupportedError("its mean or its deviation is used, which is not supported")
        if node.kind.startswith("com.microsoft."):
            return skipped(node, cls(epsilon=float(node.get("epsilon", 1e-12))), 3)
        op = cls(int(node.get("axis", -1)), float(node.get("epsilon", 1e-5)))
        return learned(node, op, replace(op, scale=False))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With a gamma of ones, where there is none."""
        return form.apply("RMSNormalization", *self.stated(form), axis=self.axis, epsilon=self.epsilon)


@dataclass(frozen=True)
class MeanVarianceNorm(Op):
    """y = (x - mean) * (1 / (sqrt(variance) + 1e-9)), with the statistics over the ``axes`` of x; x, y: any."""

    axes: tuple[int, ...] = (0, 2, 3)

    onnx: ClassVar[tuple[str, ...]] = ("MeanVarianceNormalization",)
    each: ClassVar[Work] = Work(add=3, multiply=2)
    per_row: ClassVar[Work] = Norm.per_row
    why: ClassVar[str] = "add to the sum, subtract mean, square, add to the sum, by 1/sigma"
    row: ClassVar[str] = "normalised row"
    row_why: ClassVar[str] = Norm.row_why

    def __post_init__(self) -> None:
        integers(self, "axes", self.axes)

    def places(self, x: Shape) -> tuple[int, ...]:
        """The axes counted from the start."""
        return axes_of(self.axes, x)

    def shape(self, x: Shape) -> Shape:
        """Any shape with these axes -> the same."""
        self.places(x)
        return x

    def reach(self, x: Shape) -> Reach:
        """All along the axes."""
        return along(self.places(x))

    def rows(self, x: Shape) -> int:
        """Means."""
        return prod(x) // prod(x[axis] for axis in self.places(x))

    def run(self, x: Array) -> Array:
        """With the statistics of each row."""
        axes = self.places(x.shape)
        centered = x - x.mean(axis=axes, keepdims=True)
        deviation = np.sqrt((centered * centered).mean(axis=axes, keepdims=True))
        return centered * (1 / (deviation + np.float32(1e-9)))  # which 16 bits round to 0

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Over its ``axes``."""
        return node.apply(cls(tuple(node.get("axes", (0, 2, 3)))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Over its ``axes``."""
        return form.apply("MeanVarianceNormalization", axes=self.axes)


@dataclass(frozen=True)
class LpNorm(Op):
    """y = x / (sum over ``axis`` of |x|^p)^(1/p), of the order ``p`` 1 or 2, and 0 where the sum is; x, y: any."""

    axis: int = -1
    p: int = 2

    onnx: ClassVar[tuple[str, ...]] = ("LpNormalization",)
    each: ClassVar[Work] = SQUARES.plus(Work(divide=1))
    per_row: ClassVar[Work] = ROOT
    why: ClassVar[str] = f"divide by the norm; for it {WHY}"
    row: ClassVar[str] = "sum"
    row_why: ClassVar[str] = ROOT_WHY

    def __post_init__(self) -> None:
        of_order(self, self.p, Work(divide=1))

    def shape(self, x: Shape) -> Shape:
        """Any shape with that axis -> the same."""
        axis_of(self.axis, x)
        return x

    def reach(self, x: Shape) -> Reach:
        """All along the axis."""
        return along((axis_of(self.axis, x),))

    def rows(self, x: Shape) -> int:
        """Sums."""
        return prod(x) // x[self.axis]

    def run(self, x: Array) -> Array:
        """By the norm of each row."""
        size = norm(x, self.p, (self.axis,), keepdims=True)
        return np.divide(x, size, out=np.zeros_like(x), where=size != 0)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its order."""
        return node.apply(cls(int(node.get("axis", -1)), int(node.get("p", 2))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its order."""
        return form.apply("LpNormalization", axis=self.axis, p=self.p)


@dataclass(frozen=True)
class GroupNorm(Norm):
    """y = (x - mean) * (1 / sqrt(variance + epsilon)) * gamma[c] + beta[c], with the statistics of C/groups channels.

    x, y: N x C x any; gamma and beta: C. Source: Wu and He 2018, section 3.1.
    """

    groups: int
    epsilon: float = 1e-5
    scale: bool = True
    bias: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("GroupNormalization",)
    row: ClassVar[str] = "image's group"

    def __post_init__(self) -> None:
        positive(self, groups=self.groups)
        super().__post_init__()

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2 or x[1] % self.groups:
            raise WiringError(f"cannot deal the channels of {dims(x)} out to {self.groups} groups")
        return x

    def rows(self, x: Shape) -> int:
        """Means."""
        n, *_ = x
        return n * self.groups

    def run(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        """With the statistics of each image's group."""
        n, *_ = x.shape
        y = standard(x.reshape(n, self.groups, -1), (2,), self.epsilon).reshape(x.shape)
        y = y if gamma is None else y * along_channels(gamma, x)
        return y if beta is None else y + along_channels(beta, x)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With a gamma and a beta for each channel, as from operator set 21 on."""
        _, channels, *_ = node.tensor().shape
        node.weight(1, channels)
        node.weight(2, channels)
        return node.apply(cls(int(node.get("num_groups", 1)), float(node.get("epsilon", 1e-5))), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With a gamma of ones and a beta of zeros, where there are none."""
        told: dict[str, Any] = {"num_groups": self.groups, "epsilon": self.epsilon, "stash_type": 1}
        return form.apply("GroupNormalization", *self.stated(form), **told)


@dataclass(frozen=True)
class InstanceNorm(Norm):
    """y = (x - mean) * (1 / sqrt(variance + epsilon)) * gamma[c] + beta[c], with the statistics of each channel.

    x, y: N x C x spatial; gamma and beta: C. Source: Ulyanov et al. 2016, equation 4.
    """

    epsilon: float = 1e-5
    scale: bool = True
    bias: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("InstanceNormalization",)
    row: ClassVar[str] = "image's channel"

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> the same."""
        channels_and_spatial(x)
        return x

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The whole map of the channel."""
        return "channel"

    def rows(self, x: Shape) -> int:
        """Means."""
        n, c, *_ = x
        return n * c

    def run(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        """With the statistics of each image's channel."""
        y = standard(x, tuple(range(2, x.ndim)), self.epsilon)
        y = y if gamma is None else y * along_channels(gamma, x)
        return y if beta is None else y + along_channels(beta, x)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With a gamma and a beta for each channel, unless these are known to change nothing, as behind a GroupNorm."""
        _, channels, *_ = node.tensor().shape
        gamma, beta = (node.weight(index, channels).read() for index in (1, 2))
        neutral = gamma is not None and beta is not None and bool((gamma == 1).all() and (beta == 0).all())
        op = cls(float(node.get("epsilon", 1e-5)), scale=not neutral, bias=not neutral)
        return node.apply(op, node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With a gamma of ones and a beta of zeros, where there are none."""
        return form.apply("InstanceNormalization", *self.stated(form), epsilon=self.epsilon)


@dataclass(frozen=True)
class TrainingBatchNorm(Norm):
    """y = (x - mean) * (1 / sqrt(variance + epsilon)) * gamma[c] + beta[c], with the statistics of the whole batch.

    x, y: N x C x any; gamma and beta: C. A batch norm in training; the running statistics, which are brought up to date
    beside it, are no part of y and are not counted. Source: Ioffe and Szegedy 2015, algorithm 1.
    """

    epsilon: float = 1e-5
    scale: bool = True
    bias: bool = True

    row: ClassVar[str] = "channel"

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs batch x channels, not {dims(x)}")
        return x

    def rows(self, x: Shape) -> int:
        """Means."""
        _, c, *_ = x
        return c

    def run(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Array:
        """With the statistics of each channel."""
        y = standard(x, (0, *range(2, x.ndim)), self.epsilon)
        y = y if gamma is None else y * along_channels(gamma, x)
        return y if beta is None else y + along_channels(beta, x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """As the norm of one image's channels, which have the values of all images."""
        (shape,) = form.shapes
        n, c, *rest = shape
        swapped = (1, 0, *range(2, len(shape)))
        _, *affine = self.stated(form)
        turned = form.then("Transpose", *form.operands, perm=swapped)
        whole = form.then("Reshape", turned, (1, c, -1))
        y = form.then("InstanceNormalization", whole, *affine, epsilon=self.epsilon)
        return form.apply("Transpose", form.then("Reshape", y, (c, n, *rest)), perm=swapped)


def learned(node: OnnxNode, op: OfLastAxes, bare: OfLastAxes) -> tuple[Tensor, ...]:
    """A norm with the gamma and beta of a node; ``bare`` and layers where these are not weights of its shape."""
    x = node.tensor()
    given = [operand for operand in (node.operand(1), node.operand(2)) if operand is not None]
    if all(isinstance(operand, Constant) and operand.shape == op.beside(x.shape) for operand in given):
        return node.apply(op, x)
    y = node.then(bare, x)
    for kind, operand in zip((Mul, Add), given, strict=False):
        flows = (operand,) if isinstance(operand, Tensor) else ()
        (y,) = node.apply(kind.of(y, operand), y, *flows, part=kind.kind.lower())
    return (y,)


def skipped(node: OnnxNode, op: OfLastAxes, extra: int) -> tuple[Tensor, ...]:
    """ONNX Runtime's sum of two maps, perhaps with a bias, and its norm; the sum is the fourth output."""
    (total,) = node.apply(Add(), node.tensor(0), node.tensor(1), part="add")
    if node.operand(extra) is not None:
        total = node.then(Add(node.weight(extra).shape), total, part="bias")
    node.weight(2, *op.beside(total.shape))
    y = node.then(op, total)
    return (y, y, y, total)


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

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """The channels around."""
        return "pixel"

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
class Distribution(Op, abstract=True):
    """What softmax and its log share: the ``axis`` along which the values are shares."""

    axis: int = 1

    def shape(self, x: Shape) -> Shape:
        """Any shape with that axis -> the same."""
        axis_of(self.axis, x)
        return x

    def reach(self, x: Shape) -> Reach:
        """All along the axis."""
        return along((axis_of(self.axis, x),))

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
        return form.apply(self.onnx[0], axis=self.axis)


class Softmax(Distribution):
    """y[i] = exp(x[i]) / sum over j of exp(x[j]), along ``axis``; x and y have the same shape.

    The subtraction of the maximum, which only guards against overflow, is not counted.
    """

    onnx: ClassVar[tuple[str, ...]] = ("Softmax",)
    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add to the sum, divide by the sum"

    def run(self, x: Array) -> Array:
        """The largest value is subtracted first, so that no power overflows."""
        powers = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return powers / powers.sum(axis=self.axis, keepdims=True)


class LogSoftmax(Distribution):
    """y[i] = x[i] - log(sum over j of exp(x[j])), along ``axis``; x and y have the same shape.

    The subtraction of the maximum, which only guards against overflow, is not counted.
    """

    onnx: ClassVar[tuple[str, ...]] = ("LogSoftmax",)
    each: ClassVar[Work] = Work(special=1, add=2)
    per_row: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "exp, add to the sum, subtract its log"
    row: ClassVar[str] = "sum"
    row_why: ClassVar[str] = "log"

    def rows(self, x: Shape) -> int:
        """Sums."""
        return prod(x) // x[self.axis]

    def run(self, x: Array) -> Array:
        """The largest value is subtracted first, so that no power overflows."""
        lower = x - x.max(axis=self.axis, keepdims=True)
        return lower - np.log(np.exp(lower).sum(axis=self.axis, keepdims=True))


class Hardmax(Distribution):
    """y[i] = 1 at the first place along ``axis`` of the largest x, else 0; x and y have the same shape."""

    onnx: ClassVar[tuple[str, ...]] = ("Hardmax",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"

    def run(self, x: Array) -> Array:
        """A 1 at each largest value."""
        y = np.zeros_like(x)
        np.put_along_axis(y, np.argmax(x, axis=self.axis, keepdims=True), 1, axis=self.axis)
        return y
