"""Two maps in, one map out, element by element; shapes broadcast as in NumPy."""

from typing import ClassVar

from costmodel.arrays import Array
from costmodel.errors import WiringError
from costmodel.graph import Op, Shape, Work, dims


def broadcast(a: Shape, b: Shape) -> Shape:
    """Two shapes -> the shape that both stretch to, axes aligned at the end."""
    rank = max(len(a), len(b))
    pairs = list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise WiringError(f"cannot combine {dims(a)} with {dims(b)}: sizes must be equal or 1")
    return tuple(max(x, y) for x, y in pairs)


class Binary(Op, abstract=True):
    """The shape of every operator on two maps."""

    def shape(self, a: Shape, b: Shape) -> Shape:
        """Two shapes that broadcast -> their common shape."""
        return a if a == b else broadcast(a, b)


class Add(Binary):
    """y = a + b."""

    each: ClassVar[Work] = Work(add=1)
    why: ClassVar[str] = "add"

    def run(self, a: Array, b: Array) -> Array:
        """A + b."""
        return a + b


class Mul(Binary):
    """y = a * b."""

    each: ClassVar[Work] = Work(multiply=1)
    why: ClassVar[str] = "multiply"

    def run(self, a: Array, b: Array) -> Array:
        """A * b."""
        return a * b
