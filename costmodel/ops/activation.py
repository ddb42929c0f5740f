"""Activations: one value in, one value out; x and y have the same shape."""

from dataclasses import dataclass
from typing import ClassVar

from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, Weight, Work, dims


class Activation(Op, abstract=True):
    """The shape of every activation."""

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        return x


class Relu(Activation):
    """y = max(x, 0)."""

    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with 0"


class Relu6(Activation):
    """y = min(max(x, 0), 6); source: MobileNetV2's reference implementation."""

    each: ClassVar[Work] = Work(compare=2)
    why: ClassVar[str] = "compare with 0 and with 6"


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x if x > 0 else slope * x."""

    slope: float = 0.01

    each: ClassVar[Work] = Work(compare=1, multiply=1)
    why: ClassVar[str] = "compare with 0, multiply by the slope"


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


@dataclass(frozen=True)
class Elu(Activation):
    """y = x if x > 0 else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    each: ClassVar[Work] = Work(compare=1, special=1, add=1, multiply=1)
    why: ClassVar[str] = "compare with 0, exp, subtract 1, multiply by alpha"


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide"


class Tanh(Activation):
    """y = tanh(x)."""

    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "tanh"


class Silu(Activation):
    """y = x / (1 + exp(-x)), also known as swish."""

    each: ClassVar[Work] = Work(special=1, add=1, divide=1)
    why: ClassVar[str] = "exp, add 1, divide x by it"


class Gelu(Activation):
    """y = x/2 * (1 + erf(x / sqrt(2)))."""

    each: ClassVar[Work] = Work(multiply=3, special=1, add=1)
    why: ClassVar[str] = "multiply by 1/sqrt(2), erf, add 1, multiply by x, multiply by 1/2"


class Softplus(Activation):
    """y = log(1 + exp(x))."""

    each: ClassVar[Work] = Work(special=2, add=1)
    why: ClassVar[str] = "exp, add 1, log"


class HardSigmoid(Activation):
    """y = min(max(x/6 + 1/2, 0), 1)."""

    each: ClassVar[Work] = Work(multiply=1, add=1, compare=2)
    why: ClassVar[str] = "multiply by 1/6, add 1/2, compare with 0 and with 1"


class HardSwish(Activation):
    """y = x * min(max(x/6 + 1/2, 0), 1)."""

    each: ClassVar[Work] = Work(multiply=2, add=1, compare=2)
    why: ClassVar[str] = "multiply by 1/6, add 1/2, compare with 0 and with 1, multiply by x"
