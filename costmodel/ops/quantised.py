"""Operators on whole numbers that stand for fractions: a number q stands for scale * (q - zero point).

A product costs what it costs with fractions. A zero point is taken off each element that flows, one subtraction, and
off a weight's elements ahead of any image. Scales and zero points are buffers, scales of 32 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Final

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Loops, Op, Shape, Tensor, Type, Varying, Weight, Work, dims
from costmodel.ops.checks import axis_of, broadcast, channels_and_spatial
from costmodel.ops.convolution import Conv
from costmodel.ops.linear import MatMul
from costmodel.ops.onnx import NUMBERS, Constant, OnnxForm, OnnxNode
from costmodel.ops.patches import along_channels

ENDS: Final[dict[str, tuple[int, int]]] = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "u")
    for bits in (4, 8, 16, 32)
}
"""The smallest and the largest number of each element type."""

REQUANTISE: Final = Work(multiply=1, add=2, compare=2)
"""Per result: times the quotient of the scales, rounded, plus the zero point, cut off at both ends."""

WHY: Final = "multiply by the quotient of the scales, round, add the zero point, compare with both ends"


def _whole(op: Op, **types: str | None) -> None:
    """Check element types, which must be of whole numbers."""
    for name, dtype in types.items():
        if dtype not in ENDS:
            raise WiringError(f"{op.kind}: {name} must be one of {', '.join(ENDS)}, not {dtype!r}")


def _of(wanted: str, dtype: Type) -> None:
    """Check an operand's element type."""
    if dtype != wanted:
        raise WiringError(f"takes numbers of {wanted}, not of {dtype or 'the network'}")


def _scale(name: str = "scale", shape: Shape = ()) -> Weight:
    return Weight(name, shape, "buffer", "float32")


def _zero(name: str, shape: Shape, dtype: str) -> Weight:
    return Weight(name, shape, "buffer", dtype)


def cut(values: Array, dtype: str) -> Array:
    """Fractions -> the nearest whole numbers that an element type has, of two the even one."""
    return np.clip(np.rint(values), *ENDS[dtype]).astype(numpy_type(dtype))


def _type(operand: Tensor | Constant, node: OnnxNode) -> str:
    return operand.dtype or node.dtype


def _zero_type(node: OnnxNode, index: int) -> str | None:
    """The element type of a zero point; None without one."""
    operand = node.operand(index)
    return None if operand is None else _type(operand, node)


@dataclass(frozen=True)
class Scaled(Op, abstract=True):
    """Fractions and whole numbers that stand for them: one scale for all, one for each place of an axis, or more.

    Without an ``axis`` there is one scale; with a ``block_size`` one for each so many elements along the axis.
    """

    dtype: str | None
    axis: int | None
    block_size: int
    zero_point: bool

    def __post_init__(self) -> None:
        if type(self.block_size) is not int or self.block_size < 0 or (self.block_size and self.axis is None):
            raise WiringError(
                f"{self.kind}: block_size must be a number of elements along an axis, not {self.block_size!r}"
            )

    def shape(self, x: Shape) -> Shape:
        """Any shape -> the same."""
        self.scales(x)
        return x

    def scales(self, x: Shape) -> Shape:
        """Operand shape -> that of the scales."""
        if self.axis is None:
            return ()
        axis = axis_of(self.axis, x)
        return (*x[:axis], -(-x[axis] // self.block_size), *x[axis + 1 :]) if self.block_size else (x[axis],)

    def spread(self, values: Array, shape: Shape) -> Array:
        """Scales or zero points -> beside a map of a shape."""
        if self.axis is None:
            return values
        axis = axis_of(self.axis, shape)
        if self.block_size:
            whole = np.repeat(values, self.block_size, axis=axis)
            return np.take(whole, range(shape[axis]), axis=axis)
        return values.reshape([-1 if place == axis else 1 for place in range(len(shape))])

    @classmethod
    def layout(cls, node: OnnxNode, x: Shape) -> dict[str, Any]:
        """The attributes that say what scales there are."""
        scale = node.weight(1)
        block = int(node.get("block_size", 0))
        if block and scale.shape != x:
            return {"axis": int(node.get("axis", 1)), "block_size": block}
        if scale.elements == 1 and len(scale.shape) < 2:
            return {"axis": None}
        axis = int(node.get("axis", 1))
        if scale.shape != (x[axis_of(axis, x)],):
            raise WiringError(f"has scales of {dims(scale.shape)} for axis {axis} of {dims(x)}")
        return {"axis": axis}

    def told(self) -> dict[str, int]:
        """The attributes that ONNX has for what scales there are."""
        block = {"block_size": self.block_size} if self.block_size else {}
        return block if self.axis is None else {"axis": self.axis, **block}


@dataclass(frozen=True)
class QuantizeLinear(Scaled):
    """y = min(max(round(x / scale) + zero point, smallest), largest) of the element type ``dtype``; x, y: any."""

    dtype: str = "uint8"
    axis: int | None = None
    block_size: int = 0
    zero_point: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("QuantizeLinear",)
    each: ClassVar[Work] = Work(divide=1, add=2, compare=2)
    why: ClassVar[str] = "divide by the scale, round, add the zero point, compare with both ends"

    def __post_init__(self) -> None:
        _whole(self, dtype=self.dtype)
        super().__post_init__()
        if not self.zero_point:
            object.__setattr__(self, "each", Work(divide=1, add=1, compare=2))

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Fractions -> the stated type."""
        return (self.dtype,)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """Scales, and as many zero points."""
        scale = _scale(shape=self.scales(x))
        return (scale, _zero("zero_point", scale.shape, self.dtype)) if self.zero_point else (scale,)

    def run(self, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
        """The whole numbers."""
        zero = 0 if zero_point is None else self.spread(zero_point.astype(np.float64), x.shape)
        return cut(np.rint(x / self.spread(scale, x.shape)) + zero, self.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The zero point, or else an attribute, has the element type."""
        x = node.tensor()
        stated = int(node.get("output_dtype", 0))
        dtype = _zero_type(node, 2) or (node.type(stated) if stated else "uint8")
        if dtype not in ENDS:
            raise UnsupportedError(f"whole numbers of the element type {dtype or node.dtype} are not supported")
        zero = node.operand(2) is not None
        if zero:
            node.weight(2)
        return node.apply(cls(dtype, **cls.layout(node, x.shape), zero_point=zero), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Without a zero point the element type is an attribute."""
        stated = {} if self.zero_point else {"output_dtype": NUMBERS[self.dtype]}
        return form.apply("QuantizeLinear", **self.told(), **stated)


@dataclass(frozen=True)
class DequantizeLinear(Scaled):
    """y = scale * (x - zero point), of the element type ``dtype`` or the network's; x, y: any, x of ``from_dtype``."""

    dtype: Type = None
    axis: int | None = None
    block_size: int = 0
    zero_point: bool = True
    from_dtype: str = "uint8"

    onnx: ClassVar[tuple[str, ...]] = ("DequantizeLinear",)
    each: ClassVar[Work] = Work(add=1, multiply=1)
    why: ClassVar[str] = "subtract the zero point, multiply by the scale"

    def __post_init__(self) -> None:
        _whole(self, from_dtype=self.from_dtype)
        super().__post_init__()
        if not self.zero_point:
            object.__setattr__(self, "each", Work(multiply=1))

    def types(self, x: Type) -> tuple[Type, ...]:
        """Whole numbers -> the stated type."""
        _of(self.from_dtype, x)
        return (self.dtype,)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """Scales, and as many zero points."""
        scale = _scale(shape=self.scales(x))
        return (scale, _zero("zero_point", scale.shape, self.from_dtype)) if self.zero_point else (scale,)

    def run(self, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
        """The fractions."""
        zero = 0 if zero_point is None else self.spread(zero_point.astype(np.float64), x.shape)
        return (x.astype(np.float64) - zero) * self.spread(scale, x.shape)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The result has the element type that is stated, or that of the scales."""
        x, scale = node.tensor(), node.weight(1)
        if x.dtype not in ENDS:
            raise UnsupportedError(f"whole numbers of the element type {_type(x, node)} are not supported")
        stated = int(node.get("output_dtype", 0))
        dtype = node.type(stated) if stated else scale.dtype
        zero = node.operand(2) is not None
        if zero:
            node.weight(2)
        return node.apply(cls(dtype, **cls.layout(node, x.shape), zero_point=zero, from_dtype=x.dtype), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The scales are of 32 bits; another type is an attribute."""
        dtype = self.dtype or form.dtype
        stated = {} if dtype == "float32" else {"output_dtype": NUMBERS[dtype]}
        return form.apply("DequantizeLinear", **self.told(), **stated)


class DynamicQuantizeLinear(Op):
    """y, scale, zero point: scale = (largest - smallest) / 255, zero point = round(-smallest / scale), y of both.

    Of x and 0 together the largest and the smallest; x: any, y: the same of uint8, scale and zero point: one number.
    """

    onnx: ClassVar[tuple[str, ...]] = ("DynamicQuantizeLinear",)
    each: ClassVar[Work] = Work(compare=4, divide=1, add=2)
    per_row: ClassVar[Work] = Work(add=2, divide=2, compare=2)
    unit: ClassVar[str] = "element"
    why: ClassVar[str] = (
        "compare with the smallest and the largest so far; divide by the scale, round, add the zero point, compare "
        "with both ends"
    )
    row: ClassVar[str] = "map"
    row_why: ClassVar[str] = "the range, divided by 255; the smallest by the scale, rounded, compared with both ends"

    def shape(self, x: Shape) -> Shape:
        """Any -> the same."""
        return x

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """Any -> the same, and two single numbers."""
        return (x, (), ())

    def types(self, x: Type) -> tuple[Type, ...]:
        """Fractions -> whole numbers, their scale, their zero point."""
        return ("uint8", x, "uint8")

    def rows(self, x: Shape) -> int:  # noqa: ARG002
        """Once."""
        return 1

    def run(self, x: Array) -> tuple[Array, ...]:
        """The whole numbers, their scale, their zero point."""
        low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
        scale = np.asarray((high - low) / 255 or 1.0, x.dtype)
        zero = cut(-low / scale, "uint8")
        return cut(np.rint(x / scale) + zero.astype(np.float64), "uint8"), scale, zero

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """All three results."""
        return node.apply(cls(), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its three results."""
        return form.apply("DynamicQuantizeLinear", outputs=3)


@dataclass(frozen=True)
class QLinearConv(Conv):
    """y = the whole numbers for b[m] + sum of w * x as in Conv, where x, w, y and b stand for fractions.

    y = min(max(round(q * x scale * w scale / y scale) + y zero point, smallest), largest), q = b + sum of (w - w zero
    point) * (x - x zero point); padding is the zero point. x: N x C x spatial of ``x_dtype``, w: M x C/groups x kernel
    of ``weight_dtype``, b: M of int32; y: N x M x positions of ``dtype``. w has one scale and zero point, or, with
    ``per_filter``, one for each of M.
    """

    dtype: str = "uint8"
    x_dtype: str = "uint8"
    weight_dtype: str = "int8"
    per_filter: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("QLinearConv",)
    each: ClassVar[Work] = REQUANTISE
    per_row: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = WHY
    row: ClassVar[str] = "input element"
    row_why: ClassVar[str] = "subtract the zero point"

    def __post_init__(self) -> None:
        _whole(self, dtype=self.dtype, x_dtype=self.x_dtype, weight_dtype=self.weight_dtype)
        super().__post_init__()

    def types(self, x: Type) -> tuple[Type, ...]:
        """Whole numbers -> whole numbers of the stated type."""
        _of(self.x_dtype, x)
        return (self.dtype,)

    def rows(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)

    def weights(self, x: Shape) -> tuple[Weight, ...]:
        """In ONNX's order: of x the scale and zero point, w and its own, those of y, b."""
        weight, *bias = super().weights(x)
        of_filters = (self.filters,) if self.per_filter else ()
        return (
            _scale("x_scale"), _zero("x_zero_point", (), self.x_dtype), weight._replace(dtype=self.weight_dtype),
            _scale("weight_scale", of_filters), _zero("weight_zero_point", of_filters, self.weight_dtype),
            _scale("y_scale"), _zero("y_zero_point", (), self.dtype),
            *[part._replace(dtype="int32") for part in bias],
        )  # fmt: skip

    def run(  # type: ignore[override]
        self, x: Array, *, x_scale: Array, x_zero_point: Array, weight: Array, weight_scale: Array,
        weight_zero_point: Array, y_scale: Array, y_zero_point: Array, bias: Array | None = None,
    ) -> Array:  # fmt: skip
        """The products of whole numbers, then the scales."""
        zero = weight_zero_point.astype(np.float64)
        shifted = weight.astype(np.float64) - zero.reshape(-1, *[1 for _ in weight.shape[1:]])
        q = super().run(x.astype(np.float64) - float(x_zero_point), shifted, bias)
        factor = x_scale * weight_scale / y_scale
        scaled = q * (along_channels(factor, q) if self.per_filter else factor)
        return cut(np.rint(scaled) + float(y_zero_point), self.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A zero point has the element type of what it is of."""
        x, weight, made = node.tensor(), node.weight(3), node.weight(7)
        for index in (1, 2, 6, 7):
            if node.weight(index).elements != 1:
                raise WiringError(f"its input {index} must be one number, not {dims(node.weight(index).shape)}")
        if len(weight.shape) < 3:
            raise WiringError(f"its weights must be filters x channels x kernel, not {dims(weight.shape)}")
        filters, inside, *kernel = weight.shape
        if any(node.weight(index).elements not in (1, filters) for index in (4, 5)):
            raise WiringError(f"its scales and zero points of the weights must be one or {filters}")
        groups = int(node.get("group", 1))
        op = cls(
            filters, **node.window(tuple(kernel)), groups=groups, bias=node.operand(8) is not None,
            channels=inside * groups, dtype=_type(made, node), x_dtype=_type(x, node), weight_dtype=_type(weight, node),
            per_filter=bool(node.weight(4).shape) and filters > 1,
        )  # fmt: skip
        return node.apply(op, x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all pads stated."""
        return form.apply("QLinearConv", **self.onnx_window(), group=self.groups)


ZEROS: Final = ("none", "constant", "operand")
"""Where a zero point is from: there is none, it is a buffer, or it flows, as one that DynamicQuantizeLinear makes."""


def _zero_from(node: OnnxNode, index: int) -> str:
    operand = node.operand(index)
    if operand is not None and prod(operand.shape) != 1:
        raise UnsupportedError(f"several zero points, in input {index}, are not supported")
    return "none" if operand is None else "constant" if isinstance(operand, Constant) else "operand"


@dataclass(frozen=True)
class ConvInteger(Conv):
    """y[n,m,p] = sum of (w - w zero point) * (x - x zero point) as in Conv, of int32; padding is the zero point.

    x: N x C x spatial of ``x_dtype``, w: M x C/groups x kernel of ``weight_dtype``; y: N x M x positions. The zero
    point of x is "none", "constant", or "operand", a second input that flows; that of w is a constant, if there is one.
    """

    bias: bool = False
    x_dtype: str = "uint8"
    weight_dtype: str = "int8"
    x_zero_point: str = "none"
    weight_zero_point: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("ConvInteger",)
    operands: ClassVar[int | None] = 1
    varying: ClassVar[tuple[Varying, ...]] = (Varying("x_zero_point", 1, ("operand",)),)
    each: ClassVar[Work] = Work(add=1)
    unit: ClassVar[str] = "input element"
    why: ClassVar[str] = "subtract the zero point, if there is one"

    def __post_init__(self) -> None:
        _whole(self, x_dtype=self.x_dtype, weight_dtype=self.weight_dtype)
        if self.x_zero_point not in ZEROS or self.bias:
            wrong = "it has no bias" if self.bias else f"x_zero_point must be one of {', '.join(ZEROS)}"
            raise WiringError(f"{self.kind}: {wrong}")
        super().__post_init__()
        self.count_operands()

    def types(self, x: Type, zero: Type = None) -> tuple[Type, ...]:  # noqa: ARG002
        """Whole numbers -> their sums."""
        _of(self.x_dtype, x)
        return ("int32",)

    def shape(self, x: Shape, zero: Shape = ()) -> Shape:  # noqa: ARG002
        """N x C x spatial -> N x M x positions."""
        return super().shape(x)

    def loops(self, x: Shape, zero: Shape = ()) -> Loops:  # noqa: ARG002
        """As in Conv."""
        return super().loops(x)

    def units(self, x: Shape, zero: Shape = ()) -> int:  # noqa: ARG002
        """Input elements, if they have a zero point."""
        return 0 if self.x_zero_point == "none" else prod(x)

    def weights(self, x: Shape, zero: Shape = ()) -> tuple[Weight, ...]:  # noqa: ARG002
        """w, and the zero points that are constants."""
        (weight,) = super().weights(x)
        made = [weight._replace(dtype=self.weight_dtype)]
        if self.x_zero_point == "constant":
            made.append(_zero("x_zero_point", (), self.x_dtype))
        if self.weight_zero_point:
            made.append(_zero("weight_zero_point", (), self.weight_dtype))
        return tuple(made)

    def run(  # type: ignore[override]
        self, x: Array, zero: Array | None = None, *, weight: Array, x_zero_point: Array | None = None,
        weight_zero_point: Array | None = None,
    ) -> Array:  # fmt: skip
        """The products of whole numbers."""
        first = zero if zero is not None else x_zero_point
        shifted = [
            values.astype(np.float64) - (0.0 if of is None else of.astype(np.float64))
            for values, of in ((x, first), (weight, weight_zero_point))
        ]
        return super().run(*shifted).astype(np.int32)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With the zero points that it has."""
        x, weight = node.tensor(), node.weight(1)
        if len(weight.shape) < 3:
            raise WiringError(f"its weights must be filters x channels x kernel, not {dims(weight.shape)}")
        filters, inside, *kernel = weight.shape
        zero, of_weight = _zero_from(node, 2), _zero_from(node, 3)
        if of_weight == "operand":
            node.weight(3)
        groups = int(node.get("group", 1))
        op = cls(
            filters, **node.window(tuple(kernel)), groups=groups, channels=inside * groups,
            x_dtype=_type(x, node), weight_dtype=_type(weight, node), x_zero_point=zero,
            weight_zero_point=of_weight == "constant",
        )  # fmt: skip
        return node.apply(op, *([x, node.tensor(2)] if zero == "operand" else [x]))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all pads stated."""
        zero = {"none": None, "constant": "x_zero_point", "operand": form.operands[-1]}[self.x_zero_point]
        of_weight = ["weight_zero_point"] if self.weight_zero_point else []
        zeros = [zero, *of_weight] if zero or of_weight else []
        return form.apply("ConvInteger", form.operands[0], "weight", *zeros, **self.onnx_window(), group=self.groups)


@dataclass(frozen=True, repr=False)
class MatMulInteger(MatMul):
    """y[..., i, j] = sum over k of (a - a zero point) * (b - b zero point), of int32; the leading axes broadcast.

    a: ... x I x K of ``a_dtype``, b: ... x K x J of ``b_dtype``; y: ... x I x J. One of the two may be a weight of the
    shape ``held``. The zero point of a is "none", "constant", or "operand", a last input that flows; that of b is a
    constant, if there is one.
    """

    a_dtype: str = "uint8"
    b_dtype: str = "int8"
    a_zero_point: str = "none"
    b_zero_point: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("MatMulInteger",)
    varying: ClassVar[tuple[Varying, ...]] = (*MatMul.varying, Varying("a_zero_point", 1, ("operand",)))
    each: ClassVar[Work] = Work(add=1)
    unit: ClassVar[str] = "element that flows and has a zero point"
    why: ClassVar[str] = "subtract the zero point"

    def __post_init__(self) -> None:
        _whole(self, a_dtype=self.a_dtype, b_dtype=self.b_dtype)
        if self.a_zero_point not in ZEROS:
            raise WiringError(f"{self.kind}: a_zero_point must be one of {', '.join(ZEROS)}, not {self.a_zero_point!r}")
        super().__post_init__()

    def maps(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The operands without the zero point that flows."""
        return inputs[:-1] if self.a_zero_point == "operand" else inputs

    def types(self, *inputs: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Whole numbers -> their sums."""
        return ("int32",)

    def shape(self, *inputs: Shape) -> Shape:
        """... x I x K by ... x K x J -> ... x I x J."""
        return super().shape(*self.maps(inputs))

    def loops(self, *inputs: Shape) -> Loops:
        """As in MatMul."""
        return MatMul(self.held, self.held_first).loops(*self.maps(inputs))

    def units(self, *inputs: Shape) -> int:
        """The elements that flow and have a zero point."""
        a, b = self.both(self.maps(inputs), self.held)
        first = self.a_zero_point != "none" and not (self.held is not None and self.held_first)
        second = self.b_zero_point and (self.held is None or self.held_first)
        return int(prod(a) * first + prod(b) * second)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """The weight, if there is one, and the zero points that are constants."""
        dtype = self.a_dtype if self.held_first else self.b_dtype
        made = [weight._replace(dtype=dtype) for weight in super().weights(*inputs)]
        if self.a_zero_point == "constant":
            made.append(_zero("a_zero_point", (), self.a_dtype))
        if self.b_zero_point:
            made.append(_zero("b_zero_point", (), self.b_dtype))
        return tuple(made)

    def run(
        self, *inputs: Array, constant: Array | None = None, a_zero_point: Array | None = None,
        b_zero_point: Array | None = None,
    ) -> Array:  # fmt: skip
        """The products of whole numbers."""
        a, b = self.both(self.maps(inputs), constant)
        zero = inputs[-1] if self.a_zero_point == "operand" else a_zero_point
        left, right = (
            values.astype(np.float64) - (0.0 if of is None else of.astype(np.float64))
            for values, of in ((a, zero), (b, b_zero_point))
        )
        return (left @ right).astype(np.int32)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With the zero points that it has."""
        a, b = node.operand(0), node.operand(1)
        if a is None or b is None:
            raise WiringError("takes at least 2 inputs")
        zero, of_b = _zero_from(node, 2), _zero_from(node, 3)
        if of_b == "operand":
            node.weight(3)
        held = a if isinstance(a, Constant) else b if isinstance(b, Constant) else None
        op = cls(
            held.shape if held else None, isinstance(a, Constant), a_dtype=_type(a, node), b_dtype=_type(b, node),
            a_zero_point=zero, b_zero_point=of_b == "constant",
        )  # fmt: skip
        return node.apply(op, *[operand for operand in (a, b, node.operand(2)) if isinstance(operand, Tensor)])

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The zero points last."""
        a, b = self.both(self.maps(form.operands), "constant" if self.held else None)
        zero = {"none": None, "constant": "a_zero_point", "operand": form.operands[-1]}[self.a_zero_point]
        of_b = ["b_zero_point"] if self.b_zero_point else []
        return form.apply("MatMulInteger", a, b, *([zero, *of_b] if zero or of_b else []))


@dataclass(frozen=True, repr=False)
class QLinearMatMul(MatMul):
    """y = the whole numbers for the product of a and b as in MatMul, where a, b and y stand for fractions.

    y = min(max(round(q * a scale * b scale / y scale) + y zero point, smallest), largest), q = sum over k of
    (a - a zero point) * (b - b zero point). a: ... x I x K, b: ... x K x J; y: ... x I x J of ``dtype``. One of the two
    may be a weight of the shape ``held``; b has one scale and zero point, or, with ``per_column``, one for each of J.
    """

    dtype: str = "uint8"
    a_dtype: str = "uint8"
    b_dtype: str = "int8"
    per_column: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("QLinearMatMul",)
    each: ClassVar[Work] = REQUANTISE
    per_row: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = WHY
    row: ClassVar[str] = "flowing element"
    row_why: ClassVar[str] = "subtract the zero point"

    def __post_init__(self) -> None:
        _whole(self, dtype=self.dtype, a_dtype=self.a_dtype, b_dtype=self.b_dtype)
        super().__post_init__()

    def types(self, *inputs: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Whole numbers -> whole numbers of the stated type."""
        return (self.dtype,)

    def rows(self, *inputs: Shape) -> int:
        """The elements that flow."""
        return sum(map(prod, inputs))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Of a the scale and zero point, of b, of y; and the weight, if there is one, before its own."""
        _, b = self.both(inputs, self.held)
        of_b = (b[-1],) if self.per_column else ()
        held = super().weights(*inputs)
        first, second = (
            [weight._replace(dtype=dtype) for weight in held if here]
            for dtype, here in ((self.a_dtype, self.held_first), (self.b_dtype, not self.held_first))
        )
        return (
            *first, _scale("a_scale"), _zero("a_zero_point", (), self.a_dtype),
            *second, _scale("b_scale", of_b), _zero("b_zero_point", of_b, self.b_dtype),
            _scale("y_scale"), _zero("y_zero_point", (), self.dtype),
        )  # fmt: skip

    def run(  # type: ignore[override]
        self, *inputs: Array, a_scale: Array, a_zero_point: Array, b_scale: Array, b_zero_point: Array, y_scale: Array,
        y_zero_point: Array, constant: Array | None = None,
    ) -> Array:  # fmt: skip
        """The products of whole numbers, then the scales."""
        a, b = self.both(inputs, constant)
        q = (a.astype(np.float64) - float(a_zero_point)) @ (b.astype(np.float64) - b_zero_point.astype(np.float64))
        return cut(np.rint(q * (a_scale * b_scale / y_scale)) + float(y_zero_point), self.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """A zero point has the element type of what it is of."""
        a, b, made = node.operand(0), node.operand(3), node.weight(7)
        if a is None or b is None:
            raise WiringError("takes 8 inputs")
        if any(node.weight(index).elements != 1 for index in (1, 2, 6, 7)):
            raise UnsupportedError("several scales of its first operand or of its result are not supported")
        columns = node.weight(4).elements
        if columns not in (1, b.shape[-1]) or node.weight(5).elements != columns:
            raise UnsupportedError(f"scales of {dims(node.weight(4).shape)} for {dims(b.shape)} are not supported")
        held = a if isinstance(a, Constant) else b if isinstance(b, Constant) else None
        op = cls(
            held.shape if held else None, isinstance(a, Constant), dtype=_type(made, node), a_dtype=_type(a, node),
            b_dtype=_type(b, node), per_column=columns > 1,
        )  # fmt: skip
        return node.apply(op)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Each operand before its scale and zero point."""
        a, b = self.both(form.operands, "constant" if self.held else None)
        return form.apply(
            "QLinearMatMul", a, "a_scale", "a_zero_point", b, "b_scale", "b_zero_point", "y_scale", "y_zero_point"
        )


@dataclass(frozen=True)
class QLinearBinary(Op, abstract=True):
    """Two maps of whole numbers that stand for fractions -> one, of ``dtype``; shapes broadcast."""

    dtype: str = "uint8"

    def __post_init__(self) -> None:
        _whole(self, dtype=self.dtype)

    def shape(self, a: Shape, b: Shape) -> Shape:
        """Two shapes that broadcast -> their common shape."""
        return broadcast(a, b)

    def types(self, a: Type, b: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Whole numbers -> whole numbers of the stated type."""
        return (self.dtype,)

    def weights(self, a: Shape, b: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """The scale and zero point of a, of b, and of y."""
        return tuple(
            [made for name in "aby" for made in (_scale(f"{name}_scale"), _zero(f"{name}_zero_point", (), self.dtype))]
        )

    fractions: ClassVar[str]
    """ONNX's name of the operator on fractions."""

    def of(self, a: Array, b: Array) -> Array:
        """Two fractions -> the result's."""
        raise NotImplementedError

    def run(
        self, a: Array, b: Array, *, a_scale: Array, a_zero_point: Array, b_scale: Array, b_zero_point: Array,
        y_scale: Array, y_zero_point: Array,
    ) -> Array:  # fmt: skip
        """As fractions, and back."""
        left = (a.astype(np.float64) - float(a_zero_point)) * a_scale
        right = (b.astype(np.float64) - float(b_zero_point)) * b_scale
        return cut(np.rint(self.of(left, right) / y_scale) + float(y_zero_point), self.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of com.microsoft: each operand before its scale and zero point, those of the result last."""
        if len(node.inputs) != 8:
            raise UnsupportedError("it is supported with 8 inputs only: all the zero points")
        if any(node.weight(index).elements != 1 for index in (1, 2, 4, 5, 6, 7)):
            raise WiringError("its scales and zero points must be one number each")
        return node.apply(cls(_type(node.weight(7), node)), node.tensor(0), node.tensor(3))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """As fractions, and back."""
        a, b = (
            form.then("DequantizeLinear", operand, f"{of}_scale", f"{of}_zero_point")
            for of, operand in zip("ab", form.operands, strict=True)
        )
        return form.apply("QuantizeLinear", form.then(self.fractions, a, b), "y_scale", "y_zero_point")


@dataclass(frozen=True)
class QLinearAdd(QLinearBinary):
    """y = the whole numbers for a + b, where a, b and y stand for fractions; of the element type ``dtype``."""

    onnx: ClassVar[tuple[str, ...]] = ("com.microsoft.QLinearAdd",)
    fractions: ClassVar[str] = "Add"
    each: ClassVar[Work] = Work(add=5, multiply=2, divide=1, compare=2)
    why: ClassVar[str] = (
        "subtract both zero points, multiply by both scales, add; divide by the scale, round, add the zero point, "
        "compare with both ends"
    )

    def of(self, a: Array, b: Array) -> Array:
        """A + b."""
        return a + b


@dataclass(frozen=True)
class QLinearMul(QLinearBinary):
    """y = the whole numbers for a * b, where a, b and y stand for fractions; of the element type ``dtype``."""

    onnx: ClassVar[tuple[str, ...]] = ("com.microsoft.QLinearMul",)
    fractions: ClassVar[str] = "Mul"
    each: ClassVar[Work] = Work(add=4, multiply=3, divide=1, compare=2)
    why: ClassVar[str] = (
        "subtract both zero points, multiply by both scales, multiply; divide by the scale, round, add the zero point, "
        "compare with both ends"
    )

    def of(self, a: Array, b: Array) -> Array:
        """A * b."""
        return a * b


@dataclass(frozen=True)
class QLinearGlobalAveragePool(Op):
    """y[n,c] = the whole number for the mean over p of x[n,c,p], where x and y stand for fractions.

    x: N x C x spatial, y: N x C x 1 per spatial axis, of the same element type ``dtype``.
    """

    dtype: str = "uint8"

    onnx: ClassVar[tuple[str, ...]] = ("com.microsoft.QLinearGlobalAveragePool",)
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(add=2, multiply=1, compare=2)
    unit: ClassVar[str] = "input element"
    why: ClassVar[str] = "add to the sum"
    row_why: ClassVar[str] = (
        "in the place of the first addition: subtract the zero point, multiply by the quotient of the scales and the "
        "size, round, add the zero point, compare with both ends"
    )

    def __post_init__(self) -> None:
        _whole(self, dtype=self.dtype)

    def shape(self, x: Shape) -> Shape:
        """N x C x spatial -> N x C x 1 ..."""
        n, c, spatial = channels_and_spatial(x)
        return (n, c, *(1 for _ in spatial))

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """The stated type."""
        return (self.dtype,)

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)

    def weights(self, x: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """The scale and zero point of x, and of y."""
        return tuple(
            [made for name in "xy" for made in (_scale(f"{name}_scale"), _zero(f"{name}_zero_point", (), self.dtype))]
        )

    def run(self, x: Array, *, x_scale: Array, x_zero_point: Array, y_scale: Array, y_zero_point: Array) -> Array:
        """The sum over the spatial axes, less the zero points, times the scales."""
        size = prod(x.shape[2:])
        total = x.astype(np.float64).sum(axis=tuple(range(2, x.ndim)), keepdims=True) - size * float(x_zero_point)
        return cut(np.rint(total * (x_scale / (y_scale * size))) + float(y_zero_point), self.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of com.microsoft, with the channels in front."""
        if node.get("channels_last", 0):
            raise UnsupportedError("channels behind the map are not supported")
        for index in (1, 2, 3, 4):
            node.weight(index)
        return node.apply(cls(_type(node.tensor(), node)), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """As fractions, and back."""
        x = form.then("DequantizeLinear", *form.operands, "x_scale", "x_zero_point")
        return form.apply("QuantizeLinear", form.then("GlobalAveragePool", x), "y_scale", "y_zero_point")
