"""Two maps in, one map out, element by element; shapes broadcast as in NumPy. One of the two may be a weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from math import prod
from typing import ClassVar, Final, Self, TypeVar

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Shape, Tensor, Type, Varying, Weight, Work
from costmodel.ops.checks import broadcast, integers, whole_numbers
from costmodel.ops.held import Several, held_by
from costmodel.ops.layout import Cast
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Pair(Op, abstract=True):
    """An operator on two maps, or on one and a weight of the shape ``held``.

    The weight is the second of the two, or the first if ``held_first``. One of several values is learned, unless it is
    said not to be, as a mask; a single number is a buffer.
    """

    held: Shape | None = None
    held_first: bool = False
    learned: bool = True

    weight: ClassVar[str] = "constant"
    """What the weight is called."""
    operands: ClassVar[int | None] = 2
    varying: ClassVar[tuple[Varying, ...]] = (Varying("held", -1),)

    def __post_init__(self) -> None:
        if self.held is not None:
            integers(self, "held", self.held, least=1)
        self.count_operands()

    def __repr__(self) -> str:
        values = [(field, getattr(self, field.name)) for field in fields(self)]
        stated = [f"{field.name}={value!r}" for field, value in values if value != field.default]
        return f"{self.kind}({', '.join(stated)})"

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
        return (Weight(self.weight, self.held, "parameter" if self.learned and prod(self.held) > 1 else "buffer"),)

    @classmethod
    def of(cls, a: Tensor | Constant, b: Tensor | Constant) -> Self:
        """The operator for two operands of an ONNX node, of which one may be a constant."""
        held = next((operand for operand in (a, b) if isinstance(operand, Constant)), None)
        if held is None:
            return cls()
        return cls(held.shape, held is a, held.elements == 1 or (held.learned and not held.is_mask))

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
    """The shape and the arithmetic of every operator that is done element by element."""

    function: ClassVar[str]
    """NumPy's name for it."""

    in_place: ClassVar[bool] = True

    def shape(self, *inputs: Shape) -> Shape:
        """Two shapes that broadcast -> their common shape."""
        a, b = self.both(inputs, self.held)
        return a if a == b else broadcast(a, b)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's function of that name."""
        a, b = self.both(inputs, weights.get(self.weight))
        return getattr(np, self.function)(a, b)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """On two operands; of several, which Sum, Max and Min take, one after another, and the constants come last."""
        if len(node.inputs) == 2:
            return super().from_onnx(node)
        total, *rest = node.tensors
        constants = [operand for operand in node.inputs if isinstance(operand, Constant)]
        parts = iter(["", *[str(number) for number in range(2, len(node.inputs))]])
        total = reduce(lambda a, b: node.apply(cls(), a, b, part=next(parts))[0], rest, total)
        total = reduce(lambda a, b: node.then(cls(b.shape), a, part=next(parts)), constants, total)
        return (total,)


class Add(Binary):
    """y = a + b."""

    onnx: ClassVar[tuple[str, ...]] = ("Add", "Sum")
    function: ClassVar[str] = "add"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add"


class Sub(Binary):
    """y = a - b."""

    onnx: ClassVar[tuple[str, ...]] = ("Sub",)
    function: ClassVar[str] = "subtract"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "subtract"


class Mul(Binary):
    """y = a * b."""

    onnx: ClassVar[tuple[str, ...]] = ("Mul",)
    weight: ClassVar[str] = "scale"
    function: ClassVar[str] = "multiply"
    each: ClassVar[Work] = Work(multiply=1)
    why: ClassVar[str] = "multiply"


class Div(Binary):
    """y = a / b."""

    onnx: ClassVar[tuple[str, ...]] = ("Div",)
    weight: ClassVar[str] = "scale"
    function: ClassVar[str] = "divide"
    each: ClassVar[Work] = Work(divide=1)
    why: ClassVar[str] = "divide"


@dataclass(frozen=True, repr=False)
class Mod(Binary):
    """y = a - b * floor(a / b), with the sign of b; ``truncated`` with that of a, and rounded toward zero instead."""

    truncated: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("Mod",)
    weight: ClassVar[str] = "scale"
    function: ClassVar[str] = "mod"
    each: ClassVar[Work] = Work(divide=1)
    why: ClassVar[str] = "divide; the remainder comes with the quotient"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy has both."""
        a, b = self.both(inputs, weights.get(self.weight))
        return (np.fmod if self.truncated else np.mod)(a, b)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """``fmod`` has the sign of the dividend; other fractions have no remainder."""
        a, b = operands(node)
        return node.apply(replace(cls.of(a, b), truncated=bool(node.get("fmod", 0))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """ONNX has the sign of the divisor for whole numbers only, so that is written out."""
        a, b = self.both(form.operands, *form.weights or (None,))
        if self.truncated:
            return form.apply("Mod", a, b, fmod=1)
        return form.apply("Sub", a, form.then("Mul", b, form.then("Floor", form.then("Div", a, b))))


class Max(Binary):
    """y = the larger of a and b."""

    onnx: ClassVar[tuple[str, ...]] = ("Max",)
    function: ClassVar[str] = "maximum"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class Min(Binary):
    """y = the smaller of a and b."""

    onnx: ClassVar[tuple[str, ...]] = ("Min",)
    function: ClassVar[str] = "minimum"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class Truth(Binary, abstract=True):
    """What is true or false of two values."""

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """Operands of one type -> truths."""
        super().types(*inputs)
        return ("bool",)


class Equal(Truth):
    """y = whether a = b."""

    onnx: ClassVar[tuple[str, ...]] = ("Equal",)
    function: ClassVar[str] = "equal"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class Less(Truth):
    """y = whether a < b."""

    onnx: ClassVar[tuple[str, ...]] = ("Less", "Bernoulli")
    function: ClassVar[str] = "less"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A Bernoulli is whether numbers that are drawn elsewhere, and held, are less than the probabilities."""
        if node.kind != "Bernoulli":
            return super().from_onnx(node)
        x = node.tensor()
        dtype = node.type(int(node.get("dtype"))) if "dtype" in node.attributes else x.dtype
        return node.apply(Cast(dtype), node.then(cls(x.shape, held_first=True, learned=False), x), part="cast")


class LessOrEqual(Truth):
    """y = whether a <= b."""

    onnx: ClassVar[tuple[str, ...]] = ("LessOrEqual",)
    function: ClassVar[str] = "less_equal"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class Greater(Truth):
    """y = whether a > b."""

    onnx: ClassVar[tuple[str, ...]] = ("Greater",)
    function: ClassVar[str] = "greater"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class GreaterOrEqual(Truth):
    """y = whether a >= b."""

    onnx: ClassVar[tuple[str, ...]] = ("GreaterOrEqual",)
    function: ClassVar[str] = "greater_equal"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare"


class And(Truth):
    """y = whether both a and b are true."""

    onnx: ClassVar[tuple[str, ...]] = ("And",)
    function: ClassVar[str] = "logical_and"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine two truths"


class Or(Truth):
    """y = whether a or b is true, or both."""

    onnx: ClassVar[tuple[str, ...]] = ("Or",)
    function: ClassVar[str] = "logical_or"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine two truths"


class Xor(Truth):
    """y = whether one of a and b is true and the other is not."""

    onnx: ClassVar[tuple[str, ...]] = ("Xor",)
    function: ClassVar[str] = "logical_xor"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine two truths"


class Bits(Binary, abstract=True):
    """What is done bit by bit, to whole numbers."""

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """Operands of one type -> the same."""
        return whole_numbers(*super().types(*inputs))


class BitwiseAnd(Bits):
    """y = the bits that both a and b have, of whole numbers."""

    onnx: ClassVar[tuple[str, ...]] = ("BitwiseAnd",)
    function: ClassVar[str] = "bitwise_and"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine the bits"


class BitwiseOr(Bits):
    """y = the bits that a or b has, or both, of whole numbers."""

    onnx: ClassVar[tuple[str, ...]] = ("BitwiseOr",)
    function: ClassVar[str] = "bitwise_or"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine the bits"


class BitwiseXor(Bits):
    """y = the bits that one of a and b has and the other has not, of whole numbers."""

    onnx: ClassVar[tuple[str, ...]] = ("BitwiseXor",)
    function: ClassVar[str] = "bitwise_xor"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "combine the bits"


@dataclass(frozen=True, repr=False)
class BitShift(Bits):
    """y = a * 2^b without the bits that a's element type has no place for; or the whole of a / 2^b, if ``right``."""

    right: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("BitShift",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "move the bits"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy has both."""
        a, b = self.both(inputs, weights.get(self.weight))
        return (np.right_shift if self.right else np.left_shift)(a, b)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """In its ``direction``."""
        direction = node.get("direction")
        if direction not in ("LEFT", "RIGHT"):
            raise WiringError(f"has direction {direction!r}; known: LEFT, RIGHT")
        return node.apply(replace(cls.of(*operands(node)), right=direction == "RIGHT"))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """In its ``direction``."""
        a, b = self.both(form.operands, *form.weights or (None,))
        return form.apply("BitShift", a, b, direction="RIGHT" if self.right else "LEFT")


@dataclass(frozen=True, repr=False)
class Mean(Several):
    """y = (a + b + ...) / n, of n operands; shapes broadcast as in NumPy."""

    held: tuple[Shape | None, ...] = ()

    onnx: ClassVar[tuple[str, ...]] = ("Mean",)
    in_place: ClassVar[bool] = True
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(add=-1, multiply=1)
    unit: ClassVar[str] = "output element and operand"
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/n takes the place of the first addition"

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes that broadcast -> their common shape."""
        if not inputs:
            raise WiringError("needs at least one input")
        return reduce(broadcast, self.all(inputs))

    def units(self, *inputs: Shape) -> int:
        """Output elements times operands."""
        return prod(self.shape(*inputs)) * len(self.all(inputs))

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The sum, by how many there are."""
        every = self.all(inputs, weights)
        return reduce(np.add, every) * np.asarray(1 / len(every), every[0].dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of its operands constants are weights."""
        return node.apply(cls(held_by(node, len(node.inputs))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Of its operands."""
        return form.apply("Mean", *self.all_of(form))


PRODUCTS: Final[Mapping[float, Work]] = {2.0: Work(multiply=1), 3.0: Work(multiply=2)}
"""Powers that are products, and their work."""


@dataclass(frozen=True, repr=False)
class Pow(Binary):
    """y = a^b, or a^exponent where an ``exponent`` is stated; a square and a cube are products."""

    exponent: float | None = None

    onnx: ClassVar[tuple[str, ...]] = ("Pow",)
    varying: ClassVar[tuple[Varying, ...]] = (*Binary.varying, Varying("exponent", -1))
    function: ClassVar[str] = "power"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "power; a square is one multiplication, a cube two"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exponent is None:
            return
        if self.held is not None:
            raise WiringError(f"{self.kind}: exponent {self.exponent} is stated, so that nothing can be held")
        object.__setattr__(self, "each", PRODUCTS.get(self.exponent, self.each))

    def shape(self, *inputs: Shape) -> Shape:
        """Two shapes that broadcast -> their common shape; one -> the same."""
        if self.exponent is None:
            return super().shape(*inputs)
        (x,) = inputs
        return x

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """The exponent may have another type."""
        return inputs[:1]

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """a^b."""
        if self.exponent is None:
            return super().run(*inputs, **weights)
        (x,) = inputs
        return x ** np.asarray(self.exponent, x.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """One number as the exponent is stated, where the file tells it."""
        base, exponent = node.operand(0), node.operand(1)
        if isinstance(base, Constant) and isinstance(exponent, Tensor) and base.values_dtype != exponent.dtype:
            raise UnsupportedError("a constant base of another element type than the exponent's is not supported")
        if isinstance(exponent, Constant) and exponent.elements == 1:
            values = exponent.read()
            if values is not None:
                return node.apply(cls(exponent=float(values.reshape(-1)[0])), node.tensor())
        return super().from_onnx(node)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the exponent as a number."""
        return super().to_onnx(form) if self.exponent is None else form.apply("Pow", *form.operands, self.exponent)
