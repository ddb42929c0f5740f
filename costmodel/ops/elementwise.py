"""Two maps in, one map out, element by element; shapes broadcast as in NumPy. One of the two may be a weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import ClassVar, Self, TypeVar

from costmodel.arrays import Array
from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, Tensor, Weight, Work, dims
from costmodel.ops.checks import integers
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode

T = TypeVar("T")


def broadcast(a: Shape, b: Shape) -> Shape:
    """Two shapes -> the shape that both stretch to, axes aligned at the end."""
    rank = max(len(a), len(b))
    pairs = list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise WiringError(f"cannot combine {dims(a)} with {dims(b)}: sizes must be equal or 1")
    return tuple(max(x, y) for x, y in pairs)


@dataclass(frozen=True, repr=False)
class Pair(Op, abstract=True):
    """An operator on two maps, or on one and a weight of the shape ``held``.

    The weight is the second of the two, or the first if ``held_first``. One of several values is learned; a single
    number is a buffer.
    """

    held: Shape | None = None
    held_first: bool = False

    weight: ClassVar[str] = "constant"
    """What the weight is called."""

    def __post_init__(self) -> None:
        if self.held is not None:
            integers(self, "held", self.held, least=1)
        object.__setattr__(self, "operands", 2 if self.held is None else 1)

    def __repr__(self) -> str:
        if self.held is None:
            return f"{self.kind}()"
        return f"{self.kind}(held={self.held}{', held_first=True' if self.held_first else ''})"

    def both(self, inputs: Sequence[T], held: T | None) -> tuple[T, T]:
        """The operands that were given, and the weight in its place."""
        wanted = 2 if held is None else 1
        if len(inputs) != wanted:
            raise WiringError(f"takes {wanted} inputs, not {len(inputs)}")
        first, *rest = inputs
        if held is None:
            return first, rest[0]
        return (held, first) if self.held_first else (first, held)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """The weight, if there is one."""
        if self.held is None:
            return ()
        return (Weight(self.weight, self.held, "parameter" if prod(self.held) > 1 else "buffer"),)

    @classmethod
    def of(cls, a: Tensor | Constant, b: Tensor | Constant) -> Self:
        """The operator for two operands of an ONNX node, of which one may be a constant."""
        if isinstance(a, Constant):
            return cls(a.shape, held_first=True)
        return cls(b.shape) if isinstance(b, Constant) else cls()

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """On two operands, of which a constant is a weight."""
        a, b = operands(node)
        return node.apply(cls.of(a, b))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """On both operands, the weight in its place."""
        return form.apply(self.onnx[0], *self.both(form.operands, *form.weights or (None,)))


def operands(node: OnnxNode) -> tuple[Tensor | Constant, Tensor | Constant]:
    """The two operands of a node; before operator set 7 the second is aligned by ``axis`` with the first."""
    if len(node.inputs) != 2 or None in node.inputs:
        raise WiringError(f"takes 2 inputs, not {len(node.inputs)}")
    a, b = node.inputs
    assert a is not None  # noqa: S101 - for the type checker
    assert b is not None  # noqa: S101
    if node.get("broadcast") and "axis" in node.attributes and isinstance(b, Constant):
        behind = len(a.shape) - node.axis(0, len(a.shape)) - len(b.shape)
        b = b._replace(shape=(*b.shape, *(1,) * behind))
    return a, b


class Binary(Pair, abstract=True):
    """The shape of every operator that is done element by element."""

    in_place: ClassVar[bool] = True

    def shape(self, *inputs: Shape) -> Shape:
        """Two shapes that broadcast -> their common shape."""
        a, b = self.both(inputs, self.held)
        return a if a == b else broadcast(a, b)


class Add(Binary):
    """y = a + b."""

    onnx: ClassVar[tuple[str, ...]] = ("Add", "Sum")
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add"

    def run(self, *inputs: Array, constant: Array | None = None) -> Array:
        """A + b."""
        a, b = self.both(inputs, constant)
        return a + b

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A Sum is one addition after another; its constants come last."""
        if node.kind == "Add":
            return super().from_onnx(node)
        total, *rest = node.tensors
        constants = [operand for operand in node.inputs if isinstance(operand, Constant)]
        parts = iter(["", *[str(number) for number in range(2, len(node.inputs))]])
        total = reduce(lambda a, b: node.apply(cls(), a, b, part=next(parts))[0], rest, total)
        total = reduce(lambda a, b: node.then(cls(b.shape), a, part=next(parts)), constants, total)
        return (total,)


class Sub(Binary):
    """y = a - b."""

    onnx: ClassVar[tuple[str, ...]] = ("Sub",)
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "subtract"

    def run(self, *inputs: Array, constant: Array | None = None) -> Array:
        """A - b."""
        a, b = self.both(inputs, constant)
        return a - b


class Mul(Binary):
    """y = a * b."""

    onnx: ClassVar[tuple[str, ...]] = ("Mul",)
    weight: ClassVar[str] = "scale"
    each: ClassVar[Work] = Work(multiply=1)
    why: ClassVar[str] = "multiply"

    def run(self, *inputs: Array, scale: Array | None = None) -> Array:
        """A * b."""
        a, b = self.both(inputs, scale)
        return a * b


class Div(Binary):
    """y = a / b."""

    onnx: ClassVar[tuple[str, ...]] = ("Div",)
    weight: ClassVar[str] = "scale"
    each: ClassVar[Work] = Work(divide=1)
    why: ClassVar[str] = "divide"

    def run(self, *inputs: Array, scale: Array | None = None) -> Array:
        """A / b."""
        a, b = self.both(inputs, scale)
        return a / b
