"""Matrix products: with a learned matrix, and of two tensors."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar

from costmodel.arrays import Array
from costmodel.errors import WiringError
from costmodel.graph import Loops, Op, Reach, Shape, Tensor, Weight, dims
from costmodel.ops.checks import broadcast, positive, same_channels
from costmodel.ops.elementwise import Add, Mul, Pair, operands
from costmodel.ops.layout import Reshape, Transpose
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode


@dataclass(frozen=True)
class Linear(Op):
    """y[..., m] = b[m] + sum over c of w[m,c] * x[..., c].

    x: ... x C, w: M x C, b: M; y: ... x M. The bias initialises the accumulator and costs nothing.
    ``channels`` may state C, which is then checked.
    """

    features: int
    bias: bool = True
    channels: int | None = field(default=None, compare=False)

    onnx: ClassVar[tuple[str, ...]] = ("Gemm",)

    def __post_init__(self) -> None:
        positive(self, features=self.features, channels=self.channels)

    def shape(self, x: Shape) -> Shape:
        """... x C -> ... x M."""
        if len(x) < 2:
            raise WiringError(f"needs batch x features, not {dims(x)}")
        *outer, c = x
        same_channels(self.channels, c)
        return (*outer, self.features)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """A row of x and one of w."""
        return "product"

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

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A product with a constant matrix, and a constant with a value per feature as its bias.

        ONNX has alpha * A * B + beta * C. What else is not constant is a layer of its own; factors of constants are in
        their values.
        """
        a, b, c = node.operand(0), node.operand(1), node.operand(2)
        if a is None or b is None:
            raise WiringError("takes at least 2 inputs")
        beta = float(node.get("beta", 1.0))
        if beta == 0:
            c = None
        turned = [bool(node.get(name, 0)) for name in ("transA", "transB")]
        if any(len(operand.shape) != 2 for operand in (a, b)):
            raise WiringError(f"takes matrices, not {dims(a.shape)} and {dims(b.shape)}")
        sizes = [operand.shape[::-1] if turn else operand.shape for operand, turn in zip((a, b), turned, strict=True)]
        (_, inner), (rows, features) = sizes
        if inner != rows:
            raise WiringError(f"cannot multiply {dims(sizes[0])} by {dims(sizes[1])}")
        made = (sizes[0][0], features)
        if c is not None and broadcast(made, c.shape) != made:
            raise WiringError(f"cannot add {dims(c.shape)} to {dims(made)}")
        if isinstance(a, Tensor) and turned[0]:
            a = node.then(Transpose((1, 0)), a, part="transpose_a")
        if isinstance(a, Tensor) and isinstance(b, Constant):
            bias = isinstance(c, Constant) and c.shape in {(features,), (1, features)}
            y = node.then(cls(features, bias=bias, channels=inner), a)
            return (y,) if bias or c is None else _sum(node, y, c, beta)
        if isinstance(b, Tensor) and turned[1]:
            b = node.then(Transpose((1, 0)), b, part="transpose_b")
        held = a._replace(shape=sizes[0]) if isinstance(a, Constant) else a
        (y,) = node.apply(MatMul.of(held, b), *[operand for operand in (a, b) if isinstance(operand, Tensor)])
        if float(node.get("alpha", 1.0)) != 1:
            y = node.then(Mul(()), y, part="alpha")
        return (y,) if c is None else _sum(node, y, c, beta)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """A Gemm of a matrix; of more axes a Gemm of all their rows."""
        ((*outer, c),) = form.shapes
        if len(outer) == 1:
            return form.apply("Gemm", transB=1)
        rows = form.then("Reshape", *form.operands, (-1, c))
        return form.apply("Reshape", form.then("Gemm", rows, *form.weights, transB=1), (*outer, self.features))


def _sum(node: OnnxNode, y: Tensor, c: Tensor | Constant, beta: float) -> tuple[Tensor, ...]:
    """What a Gemm adds, as a layer of its own; the factor is in the values of a constant."""
    if isinstance(c, Constant):
        return node.apply(Add(c.shape), y, part="add")
    return node.apply(Add(), y, c if beta == 1 else node.then(Mul(()), c, part="beta"), part="add")


class MatMul(Pair):
    """y[..., i, j] = sum over k of a[..., i, k] * b[..., k, j]; the leading axes broadcast.

    a: ... x I x K, b: ... x K x J; y: ... x I x J. One of the two may be a weight of the shape ``held``.
    """

    onnx: ClassVar[tuple[str, ...]] = ("MatMul",)

    def shape(self, *inputs: Shape) -> Shape:
        """... x I x K by ... x K x J -> ... x I x J."""
        a, b = self.both(inputs, self.held)
        if len(a) < 2 or len(b) < 2:
            raise WiringError("needs two operands of at least two axes")
        *outer_a, i, k = a
        *outer_b, k_b, j = b
        if k != k_b:
            raise WiringError(f"cannot multiply {dims(a)} by {dims(b)}: inner sizes {k} and {k_b} differ")
        return (*broadcast(tuple(outer_a), tuple(outer_b)), i, j)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """A row of a and a column of b."""
        return "product"

    def loops(self, *inputs: Shape) -> Loops:
        """One I x K by K x J product per leading index."""
        *outer, i, j = self.shape(*inputs)
        *_, k = self.both(inputs, self.held)[0]
        return Loops(prod(outer), 1, i, j, k)

    def run(self, *inputs: Array, constant: Array | None = None) -> Array:
        """The product of the last two axes."""
        a, b = self.both(inputs, constant)
        return a @ b

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A constant matrix on the right makes it a linear layer without bias; a vector is a matrix of one row."""
        a, b = operands(node)
        if 1 in (len(a.shape), len(b.shape)):
            return cls._of_vectors(node, a, b)
        if isinstance(a, Tensor) and isinstance(b, Constant) and len(b.shape) == 2 and len(a.shape) > 1:
            channels, features = b.shape
            return node.apply(Linear(features, bias=False, channels=channels))
        return node.apply(cls.of(a, b))

    @classmethod
    def _of_vectors(cls, node: OnnxNode, a: Tensor | Constant, b: Tensor | Constant) -> tuple[Tensor, ...]:
        """A vector on the left is one row, on the right one column; the product has no axis for it."""
        row, column = len(a.shape) == 1, len(b.shape) == 1
        left = _under((1, *a.shape), a, node, "row") if row else a
        right = _under((*b.shape, 1), b, node, "column") if column else b
        (made,) = cls.from_onnx(replace(node, inputs=(left, right)))
        *outer, i, j = made.shape
        return (node.then(Reshape((*outer, *[i] * (not row), *[j] * (not column))), made, part="vector"),)


def _under(shape: Shape, operand: Tensor | Constant, node: OnnxNode, part: str) -> Tensor | Constant:
    """An operand under another shape."""
    if isinstance(operand, Constant):
        return operand._replace(shape=shape)
    return node.then(Reshape(shape), operand, part=part)
