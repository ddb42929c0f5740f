"""Operators that are not known -> layers without figures, where they are left out on purpose, and a note of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from costmodel.graph import Op, Shape, Type

UNKNOWN: Final = ("error", "skip")
"""What to do with an operator that is not known."""


@dataclass(frozen=True)
class Opaque(Op, abstract=True):
    """y = an operator that is not known, with the shapes that are declared; its arithmetic and weights are not."""

    operator: str
    made: tuple[Shape, ...]
    made_types: tuple[Type, ...]

    def types(self, *inputs: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """The declared types."""
        return self.made_types

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:  # noqa: ARG002
        """The declared shapes."""
        return self.made

    def shape(self, *inputs: Shape) -> Shape:  # noqa: ARG002
        """The first of them."""
        return self.made[0]


def left_out(skipped: Mapping[str, int], behind: int = 0) -> list[str]:
    """Operators that were left out, by name, and how many behind them -> a note, or none."""
    if not skipped:
        return []
    total = sum(skipped.values())
    named = ", ".join(f"{kind} ({count})" for kind, count in sorted(skipped.items()) if count)
    hidden = f", and {behind} behind them whose shapes are not known" if behind else ""
    several = "s that are" if total > 1 else " that is"
    return [f"left out {total} operator{several} not known: {named}{hidden}; all totals are lower bounds"]
