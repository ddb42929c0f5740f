"""Functions of one value: what exporters write where a framework has one operator for several of them."""

from math import erf
from typing import ClassVar

from costmodel.arrays import Array, np
from costmodel.graph import Type, Work
from costmodel.ops.activation import Activation


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
