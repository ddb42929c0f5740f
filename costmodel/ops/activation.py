"""Activations: one value in, one value out; x and y have the same shape."""

from dataclasses import dataclass
from math import erf, sqrt
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, Weight, Work, dims
from costmodel.ops.patches import along_channels


class Activation(Op, abstract=True):
    """The shape of every activation."""

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x


class Relu(Activation):
    """y = max(x, 0)."""

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


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x if x > 0 else slope * x."""

    slope: float = 0.01

    each: ClassVar[Work] = Work(compare=1, multiply=1)
    why: ClassVar[str] = "compare with 0, multiply by the slope"

    def run(self, x: Array) -> Array:
        """X where positive, else slope * x."""
        return np.where(x > 0, x, self.slope * x)


class PRelu(Activation):
    """y[n,c,p] = x if x > 0 else slope[c] * x; slope: C, learned."""

    each: ClassVar[Work] = Work(compare=1, multiply=1)
    why: ClassVar[str] = "compare with 0, multiply by the slope"

    def shape(self, x: Shape) -> Shape:
        """N x C x any -> the same."""
        if len(x) < 2:
            raise WiringError(f"needs batch x channels, not {dims(x)}")
        return x

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """slope: C."""
        _, c, *_ = x
        return (Weight("slope", (c,)),)

    def run(self, x: Array, slope: Array) -> Array:
        """X where positive, else slope * x."""
        return np.where(x > 0, x, along_channels(slope, x) * x)


@dataclass(frozen=True)
class Elu(Activation):
    """y = x if x > 0 else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    each: ClassVar[Work] = Work(compare=1, special=1, add=1, multiply=1)
    why: ClassVar[str] = "compare with 0, exp, subtract 1, multiply by alpha"

    def run(self, x: Array) -> Array:
        """X where positive, else alpha * (exp(x) - 1)."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide"

    def run(self, x: Array) -> Array:
        """1 / (1 + exp(-x))."""
        return 1 / (1 + np.exp(-x))


class Tanh(Activation):
    """y = tanh(x)."""

    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "tanh"

    def run(self, x: Array) -> Array:
        """tanh(x)."""
        return np.tanh(x)


class Silu(Activation):
    """y = x / (1 + exp(-x)), also known as swish."""

    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide x by it"

    def run(self, x: Array) -> Array:
        """X / (1 + exp(-x))."""
        return x / (1 + np.exp(-x))


class Gelu(Activation):
    """y = x/2 * (1 + erf(x / sqrt(2)))."""

    each: ClassVar[Work] = Work(multiply=3, special=1, add=1)
    why: ClassVar[str] = "multiply by 1/sqrt(2), erf, add 1, multiply by x, multiply by 1/2"

    def run(self, x: Array) -> Array:
        """x/2 * (1 + erf(x / sqrt(2)))."""
        return x / 2 * (1 + np.vectorize(erf, otypes=[x.dtype])(x / sqrt(2)))


class Softplus(Activation):
    """y = log(1 + exp(x))."""

    each: ClassVar[Work] = Work(special=2, add=1)
    why: ClassVar[str] = "exp, add 1, log"

    def run(self, x: Array) -> Array:
        """log(1 + exp(x))."""
        return np.logaddexp(x, 0)


class HardSigmoid(Activation):
    """y = min(max(x/6 + 1/2, 0), 1)."""

    each: ClassVar[Work] = Work(multiply=1, add=1, compare=2)
    why: ClassVar[str] = "multiply by 1/6, add 1/2, compare with 0 and with 1"

    def run(self, x: Array) -> Array:
        """min(max(x/6 + 1/2, 0), 1)."""
        return np.clip(x / 6 + 0.5, 0, 1)


class HardSwish(Activation):
    """y = x * min(max(x/6 + 1/2, 0), 1)."""

    each: ClassVar[Work] = Work(multiply=2, add=1, compare=2)
    why: ClassVar[str] = "multiply by 1/6, add 1/2, compare with 0 and with 1, multiply by x"

    def run(self, x: Array) -> Array:
        """X * min(max(x/6 + 1/2, 0), 1)."""
        return x * np.clip(x / 6 + 0.5, 0, 1)
