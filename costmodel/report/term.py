"""Named numbers x arithmetic -> the same expression in symbols, in numbers, and as a value.

``Term("bytes", 100, "100 B") / Term("bandwidth", 1e9, "1 GB/s")`` is written once and can be read three ways, so an
explanation cannot drift from what it explains.
"""

from typing import NamedTuple

ATOM, PRODUCT, SUM = 2, 1, 0


class Term(NamedTuple):
    """An expression: its symbols, its value, its numbers as text, and how tightly it binds."""

    symbols: str
    value: float
    numbers: str
    level: int = ATOM

    def __add__(self, other: "Term") -> "Term":  # type: ignore[override]
        return self._join(" + ", other, self.value + other.value, SUM)

    def __sub__(self, other: "Term") -> "Term":
        return self._join(" - ", other, self.value - other.value, SUM, tight=True)

    def __mul__(self, other: "Term") -> "Term":  # type: ignore[override]
        return self._join(" * ", other, self.value * other.value, PRODUCT)

    def __truediv__(self, other: "Term") -> "Term":
        return self._join(" / ", other, self.value / other.value, PRODUCT, tight=True)

    def __floordiv__(self, other: "Term") -> "Term":
        inner = self._join(" / ", other, self.value // other.value, PRODUCT, tight=True)
        return Term(f"floor({inner.symbols})", inner.value, f"floor({inner.numbers})")

    def divided_up(self, other: "Term") -> "Term":
        """The quotient rounded up, written as a plain division where nothing is left over."""
        plain = self._join(" / ", other, -(-self.value // other.value), PRODUCT, tight=True)
        if self.value % other.value == 0:
            return plain
        return Term(f"ceil({plain.symbols})", plain.value, f"ceil({plain.numbers})")

    def larger(self, other: "Term") -> "Term":
        """The larger of the two."""
        both = (f"max({a}, {b})" for a, b in ((self.symbols, other.symbols), (self.numbers, other.numbers)))
        return Term(next(both), max(self.value, other.value), next(both))

    def _join(self, sign: str, other: "Term", value: float, level: int, *, tight: bool = False) -> "Term":
        def side(term: "Term", text: str, least: int) -> str:
            return text if term.level >= least else f"({text})"

        right = level + 1 if tight else level
        symbols = side(self, self.symbols, level) + sign + side(other, other.symbols, right)
        numbers = side(self, self.numbers, level) + sign + side(other, other.numbers, right)
        return Term(symbols, value, numbers, level)


def number(symbol: str, value: float) -> Term:
    """A named number."""
    return Term(symbol, value, repr(value))


def constant(value: int) -> Term:
    """A number that stands for itself."""
    return Term(str(value), value, str(value))


def product(terms: list[Term]) -> Term:
    """The product of one or more terms."""
    first, *rest = terms
    for term in rest:
        first = first * term
    return first


def total(terms: list[Term]) -> Term:
    """The sum of the terms; zero without any."""
    if not terms:
        return constant(0)
    first, *rest = terms
    for term in rest:
        first = first + term
    return first
