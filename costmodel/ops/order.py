"""Norms of order 1 and 2: (sum of |x|^p)^(1/p), and what they compute."""

from typing import Final

from costmodel.arrays import Array, np
from costmodel.errors import WiringError
from costmodel.graph import NO_WORK, Op, Work

SQUARES: Final = Work(multiply=1, add=1)
"""The work per value of a norm of order 2."""

ROOT: Final = Work(special=1)
"""The work per sum of a norm of order 2."""

WHY: Final = "square, or with p = 1 compare with 0, add to the sum"

ROOT_WHY: Final = "root; with p = 1 none"


def of_order(op: Op, p: int, beside: Work = NO_WORK) -> None:
    """Check the order of an operator's norm; of order 1 it has neither squares nor roots, but what is ``beside``."""
    if type(p) is not int or p not in (1, 2):
        raise WiringError(f"{op.kind}: p must be 1 or 2, not {p!r}")
    if p == 1:
        object.__setattr__(op, "each", Work(compare=1, add=1).plus(beside))
        object.__setattr__(op, "per_row", NO_WORK)


def norm(x: Array, p: int, axes: tuple[int, ...], *, keepdims: bool = False) -> Array:
    """(sum of |x|^p)^(1/p) over some axes."""
    if p == 1:
        return np.abs(x).sum(axis=axes, keepdims=keepdims)
    return np.sqrt((x * x).sum(axis=axes, keepdims=keepdims))
