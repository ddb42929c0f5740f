"""Activations: one value in, one value out; x and y have the same shape."""

from dataclasses import dataclass
from math import erf, pi, prod, sqrt
from typing import ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Shape, Tensor, Weight, Work, dims
from costmodel.ops.elementwise import Add
from costmodel.ops.onnx import OnnxForm, OnnxNode
from costmodel.ops.patches import along_channels

LARGEST: Final = 3.4e38
"""Bounds beyond this are no bounds: the default ones of ONNX are the largest numbers of 32 bits."""


class Activation(Op, abstract=True):
    """The shape of every activation."""

    in_place: ClassVar[bool] = True

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x


class Relu(Activation):
    """y = max(x, 0)."""

    onnx: ClassVar[tuple[str, ...]] = ("Relu",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with 0"

    def run(self, x: Array) -> Array:
        """max(x, 0)."""
        return np.maximum(x, 0)


class Relu6(Activation):
    """y = min(max(x, 0), 6); source: MobileNetV2's reference implementation."""

    each: ClassVar[Work] = Work(compare=2)
    why: ClassVar[str] = "compare with 0 and with 6"

    def run(self, x: Array) -> Array:
        """min(max(x, 0), 6)."""
        return np.minimum(np.maximum(x, 0), 6)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """A Clip with both bounds."""
        return form.apply("Clip", *form.operands, 0.0, 6.0)


@dataclass(frozen=True)
class Clip(Activation):
    """y = min(max(x, low), high); None stands for no bound, and is not compared with."""

    low: float | None = None
    high: float | None = None

    onnx: ClassVar[tuple[str, ...]] = ("Clip",)
    each: ClassVar[Work] = Work(compare=1)
    unit: ClassVar[str] = "output element and bound"
    why: ClassVar[str] = "compare with each bound"

    def units(self, x: Shape) -> int:
        """Elements times bounds."""
        return prod(x) * ((self.low is not None) + (self.high is not None))

    def run(self, x: Array) -> Array:
        """min(max(x, low), high)."""
        low, high = -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high
        return np.minimum(np.maximum(x, np.asarray(low, x.dtype)), np.asarray(high, x.dtype))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Bounds are attributes before operator set 11; 0 alone is a ReLU, and 0 with 6 a ReLU6."""
        low, high = node.number(1, "min"), node.number(2, "max")
        low = None if low is None or low < -LARGEST else low
        high = None if high is None or high > LARGEST else high
        known: dict[tuple[float | None, float | None], Op] = {(0.0, None): Relu(), (0.0, 6.0): Relu6()}
        return node.apply(known.get((low, high)) or cls(low, high))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the bounds that there are."""
        return form.apply("Clip", *form.operands, self.low, self.high)


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x if x > 0 else slope * x."""

    slope: float = 0.01

    onnx: ClassVar[tuple[str, ...]] = ("LeakyRelu",)
    each: ClassVar[Work] = Work(compare=1, multiply=1)
    why: ClassVar[str] = "compare with 0, multiply by the slope"

    def run(self, x: Array) -> Array:
        """X where positive, else slope * x."""
        return np.where(x > 0, x, self.slope * x)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The slope is ``alpha``."""
        return node.apply(cls(float(node.get("alpha", 0.01))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The slope is ``alpha``."""
        return form.apply("LeakyRelu", alpha=self.slope)


@dataclass(frozen=True)
class PRelu(Activation):
    """y[n,c,p] = x if x > 0 else slope[c] * x; slope: C, learned; or 1, ``shared`` by all channels."""

    shared: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("PRelu",)
    each: ClassVar[Work] = Work(compare=1, multiply=1)
    why: ClassVar[str] = "compare with 0, multiply by the slope"

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs batch x channels, not {dims(x)}")
        return x

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """slope: C, or 1."""
        _, c, *_ = x
        return (Weight("slope", (1,) if self.shared else (c,)),)

    def run(self, x: Array, slope: Array) -> Array:
        """X where positive, else slope * x."""
        return np.where(x > 0, x, (slope if self.shared else along_channels(slope, x)) * x)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A slope for each channel, or one for all; it stretches to the operand from the end."""
        slope, x = node.weight(1), node.tensor()
        beside = (1,) * (len(x.shape) - len(slope.shape)) + slope.shape
        if slope.elements != 1 and (len(beside) < 2 or beside[1] != slope.elements or x.shape[1] != slope.elements):
            raise UnsupportedError(f"slopes of {dims(slope.shape)} are not one for each channel of {dims(x.shape)}")
        return node.apply(cls(shared=slope.elements == 1))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The slopes beside a map, where it has axes behind the channels."""
        ((_, _, *rest),) = form.shapes
        if self.shared or not rest:
            return form.apply("PRelu")
        beside = form.then("Reshape", *form.weights, (-1, *[1 for _ in rest]))
        return form.apply("PRelu", *form.operands, beside)


@dataclass(frozen=True)
class Elu(Activation):
    """y = x if x > 0 else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    onnx: ClassVar[tuple[str, ...]] = ("Elu",)
    each: ClassVar[Work] = Work(compare=1, special=1, add=1, multiply=1)
    why: ClassVar[str] = "compare with 0, exp, subtract 1, multiply by alpha"

    def run(self, x: Array) -> Array:
        """X where positive, else alpha * (exp(x) - 1)."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``alpha``."""
        return node.apply(cls(float(node.get("alpha", 1.0))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its ``alpha``."""
        return form.apply("Elu", alpha=self.alpha)


@dataclass(frozen=True)
class Selu(Activation):
    """y = gamma * x if x > 0 else gamma * alpha * (exp(x) - 1). Source: Klambauer et al. 2017, equation 2."""

    alpha: float = 1.6732632
    gamma: float = 1.050701

    onnx: ClassVar[tuple[str, ...]] = ("Selu",)
    each: ClassVar[Work] = Work(compare=1, special=1, add=1, multiply=2)
    why: ClassVar[str] = "compare with 0, exp, subtract 1, multiply by alpha, multiply by gamma"

    def run(self, x: Array) -> Array:
        """Gamma times x where positive, else times alpha * (exp(x) - 1)."""
        return self.gamma * np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With both factors."""
        return node.apply(cls(float(node.get("alpha", 1.6732632)), float(node.get("gamma", 1.050701))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With both factors."""
        return form.apply("Selu", alpha=self.alpha, gamma=self.gamma)


@dataclass(frozen=True)
class Celu(Activation):
    """y = x if x > 0 else alpha * (exp(x / alpha) - 1). Source: Barron 2017, equation 2."""

    alpha: float = 1.0

    onnx: ClassVar[tuple[str, ...]] = ("Celu",)
    each: ClassVar[Work] = Work(compare=1, special=1, add=1, multiply=2)
    why: ClassVar[str] = "compare with 0, multiply by 1/alpha, exp, subtract 1, multiply by alpha"

    def __post_init__(self) -> None:
        if not self.alpha:
            raise WiringError(f"Celu: alpha must not be 0, not {self.alpha!r}")

    def run(self, x: Array) -> Array:
        """X where positive, else alpha * (exp(x / alpha) - 1)."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0) * (1 / self.alpha)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``alpha``."""
        return node.apply(cls(float(node.get("alpha", 1.0))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its ``alpha``."""
        return form.apply("Celu", alpha=self.alpha)


@dataclass(frozen=True)
class ThresholdedRelu(Activation):
    """y = x if x > alpha else 0."""

    alpha: float = 1.0

    onnx: ClassVar[tuple[str, ...]] = ("ThresholdedRelu",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with alpha"

    def run(self, x: Array) -> Array:
        """X where it is above alpha."""
        return np.where(x > self.alpha, x, np.zeros_like(x))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``alpha``."""
        return node.apply(cls(float(node.get("alpha", 1.0))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its ``alpha``."""
        return form.apply("ThresholdedRelu", alpha=self.alpha)


@dataclass(frozen=True)
class Shrink(Activation):
    """y = x + bias if x < -limit, x - bias if x > limit, else 0."""

    bias: float = 0.0
    limit: float = 0.5

    onnx: ClassVar[tuple[str, ...]] = ("Shrink",)
    each: ClassVar[Work] = Work(compare=2, add=1)
    why: ClassVar[str] = "compare with both limits, add or subtract the bias"

    def run(self, x: Array) -> Array:
        """Nearer to 0 by the bias where it is beyond the limit."""
        return np.where(x < -self.limit, x + self.bias, np.where(x > self.limit, x - self.bias, np.zeros_like(x)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The limit is ``lambd``."""
        return node.apply(cls(float(node.get("bias", 0.0)), float(node.get("lambd", 0.5))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The limit is ``lambd``."""
        return form.apply("Shrink", bias=self.bias, lambd=self.limit)


class Softsign(Activation):
    """y = x / (1 + |x|)."""

    onnx: ClassVar[tuple[str, ...]] = ("Softsign",)
    each: ClassVar[Work] = Work(compare=1, add=1, divide=1)
    why: ClassVar[str] = "compare with 0, add 1, divide x by it"

    def run(self, x: Array) -> Array:
        """X / (1 + |x|)."""
        return x / (1 + np.abs(x))


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    onnx: ClassVar[tuple[str, ...]] = ("Sigmoid",)
    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide"

    def run(self, x: Array) -> Array:
        """1 / (1 + exp(-x))."""
        return 1 / (1 + np.exp(-x))


class Tanh(Activation):
    """y = tanh(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Tanh",)
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "tanh"

    def run(self, x: Array) -> Array:
        """tanh(x)."""
        return np.tanh(x)


class Silu(Activation):
    """y = x / (1 + exp(-x)), also known as swish."""

    onnx: ClassVar[tuple[str, ...]] = ("Swish",)
    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide x by it"

    def run(self, x: Array) -> Array:
        """X / (1 + exp(-x))."""
        return x / (1 + np.exp(-x))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With an ``alpha`` of 1."""
        if node.get("alpha", 1.0) != 1.0:
            raise UnsupportedError(f"alpha {node.get('alpha')} is not supported; known: 1")
        return node.apply(cls())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """By its equation: Swish is newer than most that read such files."""
        (x,) = form.operands
        return form.apply("Mul", x, form.then("Sigmoid", x))


@dataclass(frozen=True)
class SwiGlu(Op):
    """y = a / (1 + exp(-alpha * a)) * b; a, b and y have the same shape. Source: Shazeer 2020, equation 6."""

    alpha: float = 1.0

    onnx: ClassVar[tuple[str, ...]] = ("SwiGLU",)
    in_place: ClassVar[bool] = True
    each: ClassVar[Work] = Work(special=1, add=1, divide=1, multiply=1)
    why: ClassVar[str] = "exp, add 1, divide a by it, multiply by b; multiply by an alpha that is not 1"

    def __post_init__(self) -> None:
        if self.alpha != 1:
            object.__setattr__(self, "each", self.each.plus(Work(multiply=1)))

    def shape(self, a: Shape, b: Shape) -> Shape:
        """Two equal shapes -> the same."""
        if a != b:
            raise WiringError(f"takes a gate and values of one shape, not {dims(a)} and {dims(b)}")
        return a

    def run(self, a: Array, b: Array) -> Array:
        """A / (1 + exp(-alpha * a)) * b."""
        return a / (1 + np.exp(-self.alpha * a)) * b

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``alpha``."""
        return node.apply(cls(float(node.get("alpha", 1.0))), node.tensor(0), node.tensor(1))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """By its equation: SwiGLU is newer than most that read such files."""
        a, b = form.operands
        gate = a if self.alpha == 1 else form.then("Mul", a, self.alpha)
        return form.apply("Mul", form.then("Mul", a, form.then("Sigmoid", gate)), b)


class Gelu(Activation):
    """y = x/2 * (1 + erf(x / sqrt(2)))."""

    onnx: ClassVar[tuple[str, ...]] = ("Gelu", "com.microsoft.Gelu")
    each: ClassVar[Work] = Work(multiply=3, special=1, add=1)
    why: ClassVar[str] = "multiply by 1/sqrt(2), erf, add 1, multiply by x, multiply by 1/2"

    def run(self, x: Array) -> Array:
        """x/2 * (1 + erf(x / sqrt(2)))."""
        return x / 2 * (1 + np.vectorize(erf, otypes=[x.dtype])(x / sqrt(2)))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The exact one, by erf, or the approximation by tanh."""
        known: dict[str, Op] = {"none": cls(), "tanh": TanhGelu()}
        if node.get("approximate", "none") not in known:
            raise UnsupportedError(f"approximation {node.get('approximate')!r} is not supported; known: none, tanh")
        return node.apply(known[node.get("approximate", "none")])

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The exact one."""
        return form.apply("Gelu")


class TanhGelu(Activation):
    """y = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))), which approximates :class:`Gelu`.

    Source: Hendrycks and Gimpel 2016, section 2.
    """

    onnx: ClassVar[tuple[str, ...]] = ("com.microsoft.FastGelu",)
    each: ClassVar[Work] = Work(multiply=6, special=1, add=2)
    why: ClassVar[str] = "square, by 0.044715, add 1, by x, by sqrt(2/pi), tanh, add 1, by x, by 1/2"

    def run(self, x: Array) -> Array:
        """x/2 * (1 + tanh(sqrt(2/pi) * x * (1 + 0.044715 * x^2)))."""
        return (
            x / 2 * (1 + np.tanh(np.asarray(sqrt(2 / pi), x.dtype) * x * (1 + np.asarray(0.044715, x.dtype) * x * x)))
        )

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of a map, perhaps with a bias."""
        x = node.tensor()
        if node.operand(1) is not None:
            x = node.then(Add(node.weight(1).shape), x, part="bias")
        return node.apply(cls(), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """ONNX's approximate one."""
        return form.apply("Gelu", approximate="tanh")


class Mish(Activation):
    """y = x * tanh(log(1 + exp(x))). Source: Misra 2019, equation 1."""

    onnx: ClassVar[tuple[str, ...]] = ("Mish",)
    each: ClassVar[Work] = Work(special=3, add=1, multiply=1)
    why: ClassVar[str] = "exp, add 1, log, tanh, multiply by x"

    def run(self, x: Array) -> Array:
        """X * tanh(log(1 + exp(x)))."""
        return x * np.tanh(np.logaddexp(x, 0))


class Softplus(Activation):
    """y = log(1 + exp(x))."""

    onnx: ClassVar[tuple[str, ...]] = ("Softplus",)
    each: ClassVar[Work] = Work(special=2, add=1)
    why: ClassVar[str] = "exp, add 1, log"

    def run(self, x: Array) -> Array:
        """log(1 + exp(x))."""
        return np.logaddexp(x, 0)


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """y = min(max(alpha * x + beta, 0), 1)."""

    alpha: float = 1 / 6
    beta: float = 0.5

    onnx: ClassVar[tuple[str, ...]] = ("HardSigmoid",)
    each: ClassVar[Work] = Work(multiply=1, add=1, compare=2)
    why: ClassVar[str] = "multiply by alpha (1/6), add beta (1/2), compare with 0 and with 1"

    def run(self, x: Array) -> Array:
        """min(max(alpha * x + beta, 0), 1)."""
        return np.clip(self.alpha * x + self.beta, 0, 1)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """ONNX's usual ``alpha`` is 1/5."""
        return node.apply(cls(float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With both factors."""
        return form.apply("HardSigmoid", alpha=self.alpha, beta=self.beta)


class HardSwish(Activation):
    """y = x * min(max(x/6 + 1/2, 0), 1)."""

    onnx: ClassVar[tuple[str, ...]] = ("HardSwish",)
    each: ClassVar[Work] = Work(multiply=2, add=1, compare=2)
    why: ClassVar[str] = "multiply by 1/6, add 1/2, compare with 0 and with 1, multiply by x"

    def run(self, x: Array) -> Array:
        """X * min(max(x/6 + 1/2, 0), 1)."""
        return x * np.clip(x / 6 + 0.5, 0, 1)
