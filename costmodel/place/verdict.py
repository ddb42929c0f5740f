"""What a checker says of a placement: that a machine can run it so, or what is wrong with it."""

from typing import NamedTuple

from costmodel.place.placement import Traffic


class Problem(NamedTuple):
    """One thing that a machine could not do."""

    layer: str
    memory: str
    needed: int
    """Bytes, where a memory would have to hold more than its size; else 0."""
    text: str

    def __str__(self) -> str:
        return f"layer {self.layer!r}: {self.text}"


class Verdict(NamedTuple):
    """What a walk found."""

    problems: tuple[Problem, ...]
    """In the order of the layers."""
    peaks: tuple[int, ...]
    """The most bytes that each memory held."""
    traffic: Traffic
    """Every byte that went over a memory's border."""

    @property
    def accepted(self) -> bool:
        """Whether the machine can run it."""
        return not self.problems
