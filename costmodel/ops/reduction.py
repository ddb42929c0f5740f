"""Reductions: many values along some axes become one; and running sums."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Reach, Shape, Tensor, Type, Work
from costmodel.ops.checks import along, axes_of, axis_of, integers
from costmodel.ops.onnx import OnnxForm, OnnxNode, Whole

SAME_WITHOUT_AXES: Final = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
"""What makes of each value alone that value."""


@dataclass(frozen=True)
class Reduce(Op, abstract=True):
    """The shape of every reduction: the ``axes`` get the size 1, or go without ``keepdims``."""

    axes: tuple[int, ...]
    keepdims: bool = True

    unit: ClassVar[str] = "input element"

    def __post_init__(self) -> None:
        integers(self, "axes", self.axes)

    def places(self, x: Shape) -> tuple[int, ...]:
        """The axes counted from the start."""
        return axes_of(self.axes, x)

    def shape(self, x: Shape) -> Shape:
        """Shape -> the same with 1 for the axes, or without them."""
        places = self.places(x)
        kept = [1 if axis in places else size for axis, size in enumerate(x) if self.keepdims or axis not in places]
        return tuple(kept)

    def reach(self, x: Shape) -> Reach:
        """All along the axes."""
        return along(self.places(x))

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)

    def run(self, x: Array) -> Array:
        """The values along the axes, reduced."""
        return self.reduced(x, self.places(x.shape), keepdims=self.keepdims)

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The equation."""
        raise NotImplementedError

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Axes are an attribute or an input; without any all axes are meant, or none with ``noop_with_empty_axes``."""
        x = node.tensor()
        axes = node.integers(1, "axes")
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                if node.kind not in SAME_WITHOUT_AXES:
                    raise UnsupportedError("no axes (noop_with_empty_axes) are not supported")
                return (x,)
            axes = tuple(range(len(x.shape)))
        if not axes:
            return (x,)
        places = tuple(sorted(axis_of(axis, x.shape) for axis in axes))
        return node.apply(cls(places, bool(node.get("keepdims", 1))), x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The axes are an input."""
        return form.apply(self.onnx[0], *form.operands, self.axes, keepdims=int(self.keepdims))


class ReduceSum(Reduce):
    """y = sum over the axes of x."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceSum",)
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add to the sum"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The sum."""
        return x.sum(axis=axis, keepdims=keepdims)


class ReduceMean(Reduce):
    """y = mean over the axes of x."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceMean",)
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(add=-1, multiply=1)
    why: ClassVar[str] = "add to the sum; the one multiplication by 1/size takes the place of the first addition"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The mean."""
        return x.mean(axis=axis, keepdims=keepdims)


class ReduceMax(Reduce):
    """y = max over the axes of x."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceMax",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the largest so far"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The largest."""
        return x.max(axis=axis, keepdims=keepdims)


class ReduceMin(Reduce):
    """y = min over the axes of x."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceMin",)
    each: ClassVar[Work] = Work(compare=1)
    why: ClassVar[str] = "compare with the smallest so far"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The smallest."""
        return x.min(axis=axis, keepdims=keepdims)


class ReduceProd(Reduce):
    """y = product over the axes of x."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceProd",)
    each: ClassVar[Work] = Work(multiply=1)
    why: ClassVar[str] = "multiply by it"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The product."""
        return x.prod(axis=axis, keepdims=keepdims)


class ReduceL1(Reduce):
    """y = sum over the axes of |x|."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceL1",)
    each: ClassVar[Work] = Work(compare=1, add=1)
    why: ClassVar[str] = "compare with 0, add to the sum"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The sum of absolute values."""
        return np.abs(x).sum(axis=axis, keepdims=keepdims)


class ReduceL2(Reduce):
    """y = the square root of the sum over the axes of x^2."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceL2",)
    each: ClassVar[Work] = Work(multiply=1, add=1)
    per_row: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "square, add to the sum"
    row_why: ClassVar[str] = "root"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The root of the sum of squares."""
        return np.sqrt((x * x).sum(axis=axis, keepdims=keepdims))


class ReduceSumSquare(Reduce):
    """y = sum over the axes of x^2."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceSumSquare",)
    each: ClassVar[Work] = Work(multiply=1, add=1)
    why: ClassVar[str] = "square, add to the sum"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The sum of squares."""
        return (x * x).sum(axis=axis, keepdims=keepdims)


class ReduceLogSum(Reduce):
    """y = log(sum over the axes of x)."""

    onnx: ClassVar[tuple[str, ...]] = ("ReduceLogSum",)
    each: ClassVar[Work] = Work(add=1)
    per_row: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "add to the sum"
    row_why: ClassVar[str] = "log"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The log of the sum."""
        return np.log(x.sum(axis=axis, keepdims=keepdims))


class ReduceLogSumExp(Reduce):
    """y = log(sum over the axes of exp(x)).

    The subtraction of the maximum, which only guards against overflow, is not counted.
    """

    onnx: ClassVar[tuple[str, ...]] = ("ReduceLogSumExp",)
    each: ClassVar[Work] = Work(special=1, add=1)
    per_row: ClassVar[Work] = Work(special=1)
    why: ClassVar[str] = "exp, add to the sum"
    row_why: ClassVar[str] = "log"

    def reduced(self, x: Array, axis: tuple[int, ...], *, keepdims: bool) -> Array:
        """The largest value is subtracted first, so that no power overflows."""
        largest = x.max(axis=axis, keepdims=True)
        y = np.log(np.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
        return y if keepdims else y.squeeze(axis)


@dataclass(frozen=True)
class Arg(Op, abstract=True):
    """The shape of an operator that finds where along an ``axis`` something is."""

    axis: int = 0
    keepdims: bool = True

    each: ClassVar[Work] = Work(compare=1)
    unit: ClassVar[str] = "input element"

    def shape(self, x: Shape) -> Shape:
        """Shape -> the same with 1 for the axis, or without it."""
        axis = axis_of(self.axis, x)
        return (*x[:axis], *((1,) if self.keepdims else ()), *x[axis + 1 :])

    def reach(self, x: Shape) -> Reach:
        """All along the axis."""
        return along((axis_of(self.axis, x),))

    def types(self, x: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Any -> places."""
        return ("int64",)

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The first of equal ones."""
        if node.get("select_last_index", 0):
            raise UnsupportedError("the last of equal values (select_last_index) is not supported")
        return node.apply(cls(int(node.get("axis", 0)), bool(node.get("keepdims", 1))))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the axis."""
        return form.apply(self.onnx[0], axis=self.axis, keepdims=int(self.keepdims))


class ArgMax(Arg):
    """y = the first place along ``axis`` of the largest x."""

    onnx: ClassVar[tuple[str, ...]] = ("ArgMax",)
    why: ClassVar[str] = "compare with the largest so far"

    def run(self, x: Array) -> Array:
        """Places count from 0."""
        return np.argmax(x, axis=self.axis, keepdims=self.keepdims)


class ArgMin(Arg):
    """y = the first place along ``axis`` of the smallest x."""

    onnx: ClassVar[tuple[str, ...]] = ("ArgMin",)
    why: ClassVar[str] = "compare with the smallest so far"

    def run(self, x: Array) -> Array:
        """Places count from 0."""
        return np.argmin(x, axis=self.axis, keepdims=self.keepdims)


@dataclass(frozen=True)
class Running(Op, abstract=True):
    """What running sums and products share."""

    axis: int = 0
    exclusive: bool = False
    reverse: bool = False

    function: ClassVar[str]
    """NumPy's name for it."""
    neutral: ClassVar[int]
    """What stands where there is nothing yet."""

    def shape(self, x: Shape) -> Shape:
        """Any shape with that axis -> the same."""
        axis_of(self.axis, x)
        return x

    def reach(self, x: Shape) -> Reach:
        """All along the axis."""
        return along((axis_of(self.axis, x),))

    def run(self, x: Array) -> Array:
        """NumPy's function of that name, one place later if exclusive."""
        x = np.flip(x, self.axis) if self.reverse else x
        y = getattr(np, self.function)(x, self.axis, dtype=x.dtype)
        if self.exclusive:
            y = np.roll(y, 1, self.axis)
            np.moveaxis(y, self.axis, 0)[0] = self.neutral
        return np.flip(y, self.axis) if self.reverse else y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The axis is an input."""
        axis = node.whole(1)
        if axis is None:
            raise WiringError("has no axis")
        op = cls(axis, bool(node.get("exclusive", 0)), bool(node.get("reverse", 0)))
        return node.apply(op, node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The axis is an input."""
        told = {"exclusive": int(self.exclusive), "reverse": int(self.reverse)}
        return form.apply(self.onnx[0], *form.operands, Whole(self.axis), **told)


class CumSum(Running):
    """y[i] = sum over j <= i of x[j], along ``axis``; ``exclusive`` without x[i], ``reverse`` from the end."""

    onnx: ClassVar[tuple[str, ...]] = ("CumSum",)
    function: ClassVar[str] = "cumsum"
    neutral: ClassVar[int] = 0
    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add to the sum so far"


class CumProd(Running):
    """y[i] = product over j <= i of x[j], along ``axis``; ``exclusive`` without x[i], ``reverse`` from the end."""

    onnx: ClassVar[tuple[str, ...]] = ("CumProd",)
    function: ClassVar[str] = "cumprod"
    neutral: ClassVar[int] = 1
    each: ClassVar[Work] = Work(multiply=1)
    why: ClassVar[str] = "multiply by the product so far"
