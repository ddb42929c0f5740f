"""Operators on several operands, of which some may be weights, each in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import prod
from typing import Any, ClassVar

from costmodel.errors import WiringError
from costmodel.graph import FRACTIONS, NARROW, Op, Shape, Type, Weight, known_type
from costmodel.ops.checks import integers
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode


class Several(Op, abstract=True):
    """An operator on several operands; ``held`` has the shape of each that is a weight, and None for one that flows.

    Without ``held`` all of them flow. A weight of several values is learned, unless it is in ``fixed``; a single number
    is a buffer. Where no operand of its type flows, the result has the ``dtype`` that some operators state of a weight.
    """

    held: tuple[Shape | None, ...]

    names: ClassVar[tuple[str, ...]] = ()
    """What the operands are called, where there are always as many."""
    fixed: ClassVar[Mapping[str, str]] = {}
    """Of these, the ones of an element type of their own, which are never learned: conditions and indices."""

    def __post_init__(self) -> None:
        if (dtype := getattr(self, "dtype", None)) is not None:
            known_type(dtype)
        for shape in self.held:
            if shape is not None:
                integers(self, "held", shape, least=1)
        if self.names and self.held and len(self.held) != len(self.names):
            raise WiringError(f"{self.kind}: held must have {len(self.names)} entries, not {len(self.held)}")
        if self.held or self.names:
            object.__setattr__(self, "operands", self.held.count(None) if self.held else len(self.names))
        if self.held and None not in self.held:
            raise WiringError(f"{self.kind}: held must leave an operand that flows, not {self.held}")

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = [f"{name}={value!r}" for name, value in values.items() if name != "held" or value]
        return f"{self.kind}({', '.join(shown)})"

    def name(self, place: int) -> str:
        """What the weight in a place is called."""
        return self.names[place] if self.names else f"part{place + 1}"

    def key(self, place: int) -> int | str:
        """What stands in a place: the weight's name, or the number of the operand that flows there."""
        if self.held and self.held[place] is not None:
            return self.name(place)
        return self.held[:place].count(None) if self.held else place

    def all(self, inputs: Sequence[Any], weights: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """The operands that were given and the weights, or without these their shapes, each in its place."""
        if self.operands not in (None, len(inputs)):
            raise WiringError(f"takes {self.operands} inputs, not {len(inputs)}")
        given = iter(inputs)
        held = self.held or (None,) * len(inputs)
        return tuple(
            [
                next(given) if shape is None else shape if weights is None else weights[self.name(place)]
                for place, shape in enumerate(held)
            ]
        )

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """The operands have one type, but those of a type of their own."""
        if not self.fixed:
            return super().types(*inputs)
        flowing = [
            name
            for name, shape in zip(self.names, self.held or (None,) * len(self.names), strict=True)
            if shape is None
        ]
        alike = [dtype for name, dtype in zip(flowing, inputs, strict=True) if name not in self.fixed]
        return super().types(*alike) if alike else (getattr(self, "dtype", None),)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """The weights, in the order of their places."""
        dtype = getattr(self, "dtype", None)
        return tuple(
            [
                Weight(
                    name,
                    shape,
                    "parameter" if prod(shape) > 1 and name not in self.fixed and learnable(dtype) else "buffer",
                    self.fixed.get(name),
                )
                for place, shape in enumerate(self.held)
                if shape is not None and (name := self.name(place))
            ]
        )

    def all_of(self, form: OnnxForm) -> tuple[str, ...]:
        """The names of the operands and the weights in ONNX, each in its place."""
        given, weights = iter(form.operands), iter(form.weights)
        return tuple([next(given if shape is None else weights) for shape in self.held or [None] * len(form.operands)])


def learnable(dtype: Type) -> bool:
    """Whether several values of an element type may be learned: fractions, and what stands for them in fewer bits."""
    return dtype is None or dtype in FRACTIONS or dtype in NARROW


def values_dtype(node: OnnxNode, *places: int) -> Type:
    """The element type of what constants in these places stand for, None for the network's or where none is."""
    held = [operand for place in places if isinstance(operand := node.operand(place), Constant)]
    return held[0].values_dtype if held else None


def held_by(node: OnnxNode, count: int | None = None) -> tuple[Shape | None, ...]:
    """Which of a node's first operands are constants, as :attr:`Several.held` has it."""
    given = node.inputs[:count]
    if None in given:
        raise WiringError(f"its input {given.index(None)} is missing")
    if len(given) < (count or 1):
        raise WiringError(f"takes {count or 'at least 1'} inputs, not {len(given)}")
    held = tuple([operand.shape if isinstance(operand, Constant) else None for operand in given if operand is not None])
    return held if any(shape is not None for shape in held) else ()
