"""Contractions of two tensors, written as Einstein wrote them."""

import re
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Loops, Shape, Tensor, dims
from costmodel.ops.held import Several, held_by
from costmodel.ops.layout import Transpose
from costmodel.ops.onnx import OnnxForm, OnnxNode
from costmodel.ops.reduction import ReduceSum

TERM: Final = r"[A-Za-z]*+(?:\.\.\.[A-Za-z]*+)?+"
LONGEST: Final = 1000
"""How many letters an equation may have."""

EQUATION: Final = re.compile(rf"({TERM}),({TERM})->({TERM})", re.ASCII)


class Axes(NamedTuple):
    """An equation for operands of known rank: the labels of each axis of a, b and y, and the size of each label."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    y: tuple[str, ...]
    sizes: dict[str, int]

    def elements(self, *, a: bool, b: bool, y: bool) -> int:
        """The product of the sizes of the labels that are in these and not in the others."""
        chosen = [name for name in self.sizes if (name in self.a, name in self.b, name in self.y) == (a, b, y)]
        return prod(self.sizes[name] for name in chosen)


@dataclass(frozen=True, repr=False)
class Einsum(Several):
    """y[i, j] = sum over k of a[i, k] * b[k, j], for whatever axes i, j and k the ``equation`` names: ``ik,kj->ij``.

    A letter that y does not have is summed over; three dots stand for axes that broadcast. The loop nest is as written:
    one product for every combination of the letters' values. A constant operand is a weight.
    """

    equation: str
    held: tuple[Shape | None, ...] = ()

    names: ClassVar[tuple[str, ...]] = ("first", "second")
    onnx: ClassVar[tuple[str, ...]] = ("Einsum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        terms = EQUATION.fullmatch(self.equation) if len(self.equation) <= LONGEST else None
        if not terms:
            raise WiringError(
                f"Einsum: equation must be such as 'ik,kj->ij', of at most {LONGEST} letters, not {self.equation!r:.60}"
            )
        made = terms[3].replace("...", "")
        if len({*made}) < len(made) or not {*made} <= {*(terms[1] + terms[2])}:
            raise WiringError(f"Einsum: equation {self.equation!r} makes axes twice or of nothing")

    def axes(self, *inputs: Shape) -> Axes:
        """Shapes of the operands that flow -> the labels of all axes, and their sizes."""
        terms = EQUATION.fullmatch(self.equation)
        shapes = self.all(inputs)
        sizes: dict[str, int] = {}
        labels = []
        for term, shape in zip(terms.groups() if terms else (), shapes, strict=False):
            before, dots, behind = term.partition("...")
            rest = len(shape) - len(before) - len(behind)
            if rest < 0 or (rest and not dots):
                raise WiringError(f"cannot read {dims(shape)} as {term!r} of {self.equation!r}")
            names = (*before, *[f"...{place}" for place in range(rest, 0, -1)], *behind)
            for name, size in zip(names, shape, strict=True):
                if sizes.get(name, size) != size and not (dots and name[0] == "." and 1 in (size, sizes[name])):
                    raise WiringError(f"has sizes {sizes[name]} and {size} for {name!r} of {self.equation!r}")
                sizes[name] = max(size, sizes.get(name, size))
            labels.append(names)
        spread = sorted((name for name in sizes if name[0] == "."), key=lambda name: -int(name[3:]))
        before, _, behind = (terms[3] if terms else "").partition("...")
        made = (*before, *spread, *behind)
        if spread and "..." not in (terms[3] if terms else ""):
            raise WiringError(f"equation {self.equation!r} must keep the axes that its three dots stand for")
        return Axes(labels[0], labels[1], made, sizes)

    def shape(self, *inputs: Shape) -> Shape:
        """Shapes of the two operands -> the sizes of the letters that are kept."""
        axes = self.axes(*inputs)
        return tuple([axes.sizes[name] for name in axes.y])

    def loops(self, *inputs: Shape) -> Loops:
        """Letters of all three: images; of a and y: pixels; of b and y: filters; of no y: products that are summed."""
        axes = self.axes(*inputs)
        batch, pixels, filters = (
            axes.elements(a=a, b=b, y=True) for a, b in ((True, True), (True, False), (False, True))
        )
        return Loops(batch, 1, pixels, filters, prod(axes.sizes.values()) // (batch * pixels * filters))

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The equation."""
        return np.einsum(self.equation, *self.all(inputs, weights))

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of two operands; of one it is a sum and a transposition."""
        equation = str(node.get("equation", "")).replace(" ", "")
        if len(equation) > LONGEST:
            raise WiringError(f"an equation of {len(equation)} letters is too long; at most {LONGEST}")
        terms, arrow, made = equation.partition("->")
        if not arrow:
            letters = sorted(terms.replace("...", "").replace(",", ""))
            made = "..." * ("..." in terms) + "".join(name for name in letters if letters.count(name) == 1)
        count = terms.count(",") + 1
        if count == 1:
            return _alone(node, terms, made)
        if count != 2 or len(node.inputs) != 2:
            raise UnsupportedError(f"an equation of {count} operands is not supported; known: 1 and 2")
        return node.apply(cls(f"{terms}->{made}", held_by(node, 2)))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the equation."""
        return form.apply("Einsum", *self.all_of(form), equation=self.equation)


def _alone(node: OnnxNode, term: str, made: str) -> tuple[Tensor, ...]:
    """The sum over the axes that are not kept, and the others in the order that is asked for."""
    x = node.tensor()
    if "." in term or len({*term}) < len(term) or len(term) != len(x.shape) or not {*made} <= {*term}:
        raise UnsupportedError(f"equation {term}->{made} of one operand is not supported; known: sum and transposition")
    gone = tuple([axis for axis, name in enumerate(term) if name not in made])
    kept = [name for name in term if name in made]
    order = tuple([kept.index(name) for name in made])
    if gone:
        x = node.then(ReduceSum(gone, keepdims=False), x)
    if order != tuple(range(len(order))):
        x = node.then(Transpose(order), x, part="transpose" if gone else "")
    return (x,)
