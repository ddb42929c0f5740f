"""Functions of one value: what exporters write where a framework has one operator for several of them."""

from dataclasses import dataclass
from math import erf
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.graph import Tensor, Type, Work
from costmodel.ops.activation import Activation
from costmodel.ops.checks import whole_numbers
from costmodel.ops.onnx import OnnxForm, OnnxNode


class Function(Activation, abstract=True):
    """What NumPy has under a name of its own."""

    function: ClassVar[str]
    """NumPy's name for it."""

    def run(self, x: Array) -> Array:
        """NumPy's function of that name."""
        return getattr(np, self.function)(x)


class Truth(Function, abstract=True):
    """What is true or false of a value."""

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Any -> truths."""
        return ("bool",)


class Abs(Function):
    """y = x if x > 0 else -x."""

    onnx: ClassVar[tuple[str, ...]] = ("Abs",)
    function: ClassVar[str] = "abs"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with 0; the sign is free"


class Neg(Function):
    """y = -x."""

    onnx: ClassVar[tuple[str, ...]] = ("Neg",)
    function: ClassVar[str] = "negative"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "subtract from 0"


class Sign(Function):
    """y = 1 if x > 0, -1 if x < 0, else 0."""

    onnx: ClassVar[tuple[str, ...]] = ("Sign",)
    function: ClassVar[str] = "sign"
    each: ClassVar[Work] = Work(compare=2)
    why: ClassVar[str] = "compare with 0 from both sides"


class Floor(Function):
    """y = the largest whole number that is not above x."""

    onnx: ClassVar[tuple[str, ...]] = ("Floor",)
    function: ClassVar[str] = "floor"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "round, as an adder does"


class Ceil(Function):
    """y = the smallest whole number that is not below x."""

    onnx: ClassVar[tuple[str, ...]] = ("Ceil",)
    function: ClassVar[str] = "ceil"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "round, as an adder does"


class Round(Function):
    """y = the whole number nearest to x, the even one of two."""

    onnx: ClassVar[tuple[str, ...]] = ("Round",)
    function: ClassVar[str] = "rint"
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "round, as an adder does"


class Reciprocal(Function):
    """y = 1 / x."""

    onnx: ClassVar[tuple[str, ...]] = ("Reciprocal",)
    function: ClassVar[str] = "reciprocal"
    each: ClassVar[Work] = Work(divide=1)
    why: ClassVar[str] = "divide 1 by it"


class Sqrt(Function):
    """y = the square root of x; of a number below 0 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Sqrt",)
    function: ClassVar[str] = "sqrt"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "square root"


class Exp(Function):
    """y = exp(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Exp",)
    function: ClassVar[str] = "exp"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "exp"


class Log(Function):
    """y = log(x); of a number below 0 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Log",)
    function: ClassVar[str] = "log"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "log"


class Sin(Function):
    """y = sin(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Sin",)
    function: ClassVar[str] = "sin"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "sine"


class Cos(Function):
    """y = cos(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Cos",)
    function: ClassVar[str] = "cos"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "cosine"


class Tan(Function):
    """y = tan(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Tan",)
    function: ClassVar[str] = "tan"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "tangent"


class Asin(Function):
    """y = the angle of which x is the sine; of a number beyond 1 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Asin",)
    function: ClassVar[str] = "arcsin"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "arc sine"


class Acos(Function):
    """y = the angle of which x is the cosine; of a number beyond 1 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Acos",)
    function: ClassVar[str] = "arccos"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "arc cosine"


class Atan(Function):
    """y = the angle of which x is the tangent."""

    onnx: ClassVar[tuple[str, ...]] = ("Atan",)
    function: ClassVar[str] = "arctan"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "arc tangent"


class Sinh(Function):
    """y = (exp(x) - exp(-x)) / 2."""

    onnx: ClassVar[tuple[str, ...]] = ("Sinh",)
    function: ClassVar[str] = "sinh"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "hyperbolic sine"


class Cosh(Function):
    """y = (exp(x) + exp(-x)) / 2."""

    onnx: ClassVar[tuple[str, ...]] = ("Cosh",)
    function: ClassVar[str] = "cosh"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "hyperbolic cosine"


class Asinh(Function):
    """y = the number of which x is the hyperbolic sine."""

    onnx: ClassVar[tuple[str, ...]] = ("Asinh",)
    function: ClassVar[str] = "arcsinh"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "inverse hyperbolic sine"


class Acosh(Function):
    """y = the number of which x is the hyperbolic cosine; below 1 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Acosh",)
    function: ClassVar[str] = "arccosh"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "inverse hyperbolic cosine"


class Atanh(Function):
    """y = the number of which x is tanh; of a number beyond 1 it is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("Atanh",)
    function: ClassVar[str] = "arctanh"
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "inverse of tanh"


class Erf(Activation):
    """y = erf(x)."""

    onnx: ClassVar[tuple[str, ...]] = ("Erf",)
    each: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "erf"

    def run(self, x: Array) -> Array:
        """erf(x), which NumPy does not have."""
        return np.vectorize(erf, otypes=[x.dtype])(x)


class Not(Truth):
    """y = whether x is not true."""

    onnx: ClassVar[tuple[str, ...]] = ("Not",)
    function: ClassVar[str] = "logical_not"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with 0"


class IsNaN(Truth):
    """y = whether x is not a number."""

    onnx: ClassVar[tuple[str, ...]] = ("IsNaN",)
    function: ClassVar[str] = "isnan"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with itself"


@dataclass(frozen=True)
class IsInf(Activation):
    """y = whether x is infinite, below 0 if ``negative`` and above 0 if ``positive``."""

    negative: bool = True
    positive: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("IsInf",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with infinity; the sign is free"

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Any -> truths."""
        return ("bool",)

    def run(self, x: Array) -> Array:
        """By the sign, too."""
        return np.isinf(x) & np.where(x < 0, self.negative, self.positive)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of both signs, where it does not say otherwise."""
        return node.apply(cls(bool(node.get("detect_negative", 1)), bool(node.get("detect_positive", 1))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With both signs."""
        return form.apply("IsInf", detect_negative=int(self.negative), detect_positive=int(self.positive))


class BitwiseNot(Function):
    """y = x with each bit turned, of whole numbers."""

    onnx: ClassVar[tuple[str, ...]] = ("BitwiseNot",)
    function: ClassVar[str] = "invert"
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "turn the bits"

    def types(self, x: Type) -> tuple[Type, ...]:
        """Whole numbers -> the same."""
        return whole_numbers(x)
