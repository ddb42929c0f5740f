"""Matrix products: with a learned matrix, and of two tensors."""

from dataclasses import dataclass
from math import prod

from costmodel.arrays import Array
from costmodel.errors import WiringError
from costmodel.graph import Loops, Op, Shape, Weight, dims
from costmodel.ops.checks import positive, same_channels
from costmodel.ops.elementwise import broadcast


@dataclass(frozen=True)
class Linear(Op):
    """y[..., m] = b[m] + sum over c of w[m,c] * x[..., c].

    x: ... x C, w: M x C, b: M; y: ... x M. The bias initialises the accumulator and costs nothing.
    ``channels`` may state C, which is then checked.
    """

    features: int
    bias: bool = True
    channels: int | None = None

    def __post_init__(self) -> None:
        positive(self, features=self.features, channels=self.channels)

    def shape(self, x: Shape) -> Shape:
        """... x C -> ... x M."""
        if len(x) < 2:
            raise WiringError(f"needs batch x features, not {dims(x)}")
        *outer, c = x
        same_channels(self.channels, c)
        return (*outer, self.features)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """w: M x C, and b: M."""
        *_, c = x
        matrix = Weight("weight", (self.features, c))
        return (matrix, Weight("bias", (self.features,))) if self.bias else (matrix,)

    def loops(self, x: Shape) -> Loops:
        """(rows of x) x C by M."""
        n, *rows, c = x
        return Loops(n, 1, prod(rows), self.features, c)

    def run(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """Rows of x times the matrix, plus b."""
        y = x @ weight.T
        return y if bias is None else y + bias


@dataclass(frozen=True)
class MatMul(Op):
    """y[..., i, j] = sum over k of a[..., i, k] * b[..., k, j]; the leading axes broadcast.

    a: ... x I x K, b: ... x K x J; y: ... x I x J.
    """

    def shape(self, a: Shape, b: Shape) -> Shape:
        """... x I x K by ... x K x J -> ... x I x J."""
        if len(a) < 2 or len(b) < 2:
            raise WiringError("needs two operands of at least two axes")
        *outer_a, i, k = a
        *outer_b, k_b, j = b
        if k != k_b:
            raise WiringError(f"cannot multiply {dims(a)} by {dims(b)}: inner sizes {k} and {k_b} differ")
        return (*broadcast(tuple(outer_a), tuple(outer_b)), i, j)

    def loops(self, a: Shape, b: Shape) -> Loops:
        """One I x K by K x J product per leading index."""
        *outer, i, j = self.shape(a, b)
        *_, k = a
        return Loops(prod(outer), 1, i, j, k)

    def run(self, a: Array, b: Array) -> Array:
        """The product of the last two axes."""
        return a @ b
