"""Profile x Hardware x target -> the smallest memory, or the slowest one, with which a network still reaches it.

One figure of one memory is varied: its size, or its bandwidth. On a grid of values the network is placed, simulated and
checked anew; only what the checker accepts counts. The smallest value of the grid that reaches the target is then
narrowed down against the one below it, which does not. Below the grid's steps a policy need not be monotonic, so what
is found is a value that suffices while no smaller one of the grid does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from costmodel.errors import CostModelError, suggestion
from costmodel.hardware import Hardware, Memory
from costmodel.place.placement import USUAL, Options
from costmodel.placements import run
from costmodel.profile import Profile
from costmodel.table import Column, Table
from costmodel.units import exact, human, parse

VARIED: Final = {"size": "B", "bandwidth": "B/s"}
"""What of a memory can be varied, and its unit."""

TARGETS: Final = {"latency": "s", "traffic": "B"}
"""What can be asked for: the time of a batch, or the bytes to and from the farthest memory; and its unit."""

PER_DOUBLING: Final = 4
"""Values of the grid from one to twice as much."""

EXACT: Final = 1e-3
"""How far a bandwidth is narrowed down, as a share of it; a size is found to the byte."""

NARROWEST, WIDEST = 2.0**-10, 2.0**10
"""The grid of a bandwidth, as multiples of the machine's."""

COLUMNS: Final = (
    Column("memory", str, "", "the memory that is varied"),
    Column("varied", str, "", "size or bandwidth"),
    Column("value", float, "", "bytes, or bytes per second"),
    Column("traffic_bytes", int, "B", "bytes read from or written to the farthest memory"),
    Column("total_seconds", float, "s", "time of one batch"),
    Column("accepted", bool, "", "whether the machine can run it so"),
    Column("reached", bool, "", "whether the target is reached"),
)


class Target(NamedTuple):
    """What is to be reached: at most so much."""

    kind: str
    most: float

    @classmethod
    def parse(cls, text: str) -> "Target":
        """``latency=10 ms`` or ``traffic=5 MB``."""
        kind, equals, amount = text.partition("=")
        if not equals or kind.strip() not in TARGETS:
            raise CostModelError(
                f"target {text!r} is not accepted; {suggestion(kind.strip(), TARGETS)}, as in 'latency=10 ms'"
            )
        most = parse(amount, TARGETS[kind.strip()])
        if most < 0:
            raise CostModelError(f"target {text!r} is not accepted; it must be at least 0, as in 'latency=10 ms'")
        return cls(kind.strip(), most)

    def __str__(self) -> str:
        return f"{self.kind} of at most {exact(self.most, TARGETS[self.kind])}"


class Point(NamedTuple):
    """A value of what is varied, and what follows."""

    value: float
    traffic: int
    seconds: float
    accepted: bool

    def reaches(self, target: Target) -> bool:
        """Whether the machine can run it so, and well enough."""
        return self.accepted and (self.seconds if target.kind == "latency" else self.traffic) <= target.most


class Curve(NamedTuple):
    """The points of the grid, those of the search, and the smallest that reaches the target, if any."""

    memory: str
    varied: str
    policy: str
    target: Target
    grid: list[Point]
    searched: list[Point]
    found: Point | None

    @property
    def points(self) -> list[Point]:
        """All of them, in order."""
        return sorted({*self.grid, *self.searched})

    @property
    def table(self) -> Table:
        """A row per point."""
        return Table.of(
            COLUMNS,
            [
                (self.memory, self.varied, float(point.value), *point[1:], point.reaches(self.target))
                for point in self.points
            ],
        )


Tick = Callable[[str], None]


def sized(
    profile: Profile,
    hardware: Hardware,
    target: Target,
    *,
    memory: str | None = None,
    varied: str = "size",
    policy: str | None = None,
    options: Options = USUAL,
    overlap: str | None = None,
    tick: Tick = lambda _: None,
) -> Curve:
    """Vary a memory, the nearest unless named (the farthest for a bandwidth), and find what reaches the target."""
    if varied not in VARIED:
        raise CostModelError(f"cannot vary {varied!r} of a memory; {suggestion(varied, VARIED)}")
    names = [one.name for one in hardware.memories]
    name = memory or names[0 if varied == "size" else -1]
    if name not in names:
        raise CostModelError(f"{hardware.name!r} has no memory {name!r}; {suggestion(name, names)}")
    number = names.index(name)
    policy = policy or hardware.placement

    refusals: list[CostModelError] = []

    def point(value: float) -> Point:
        machine = _with(hardware, number, varied, value)
        tick(human(value, VARIED[varied]))
        try:
            simulation, verdict, _ = run(profile, machine, policy, options, overlap)
        except CostModelError as error:  # not even one layer fits, or nothing will do
            refusals.append(error)
            return Point(value, 0, math.inf, accepted=False)
        moved = sum(sum(amounts[-1]) for amounts in simulation.traffic)
        return Point(value, moved, simulation.seconds, verdict.accepted)

    points = [point(value) for value in grid(profile, hardware, number, varied)]
    if len(refusals) == len(points):
        raise refusals[-1]
    found = next((place for place, one in enumerate(points) if one.reaches(target)), None)
    if found is None:
        return Curve(name, varied, policy, target, points, [], None)
    best = points[found]
    searched = _narrowed(points[found - 1], best, varied, target, point) if found else []
    best = min([best, *(one for one in searched if one.reaches(target))])
    return Curve(name, varied, policy, target, points, searched, best)


def _narrowed(low: Point, high: Point, varied: str, target: Target, point: Callable[[float], Point]) -> list[Point]:
    """Halve the way from a point that does not reach the target to one that does, until they meet."""
    found = []
    while high.value - low.value > (1 if varied == "size" else EXACT * high.value):
        middle = point(float((low.value + high.value) // 2) if varied == "size" else math.sqrt(low.value * high.value))
        found.append(middle)
        low, high = (low, middle) if middle.reaches(target) else (middle, high)
    return found


def grid(profile: Profile, hardware: Hardware, number: int, varied: str) -> Sequence[float]:
    """Values to try: sizes from the smallest tensor's to all tensors' together, or bandwidths around the machine's."""
    if varied == "bandwidth":
        usual = hardware.memories[number].rate
        if math.isinf(usual):
            raise CostModelError(
                f"{hardware.memories[number].name!r} of {hardware.name!r} takes no time, so its bandwidth sets nothing"
            )
        low, high = usual * NARROWEST, usual * WIDEST
    else:
        sizes = [size for size in profile.tensors["bytes"] if size]
        low, high = float(min(sizes, default=1)), float(sum(sizes) or 1)
    steps = math.ceil(math.log2(high / low) * PER_DOUBLING)
    values = [low * 2 ** (step / PER_DOUBLING) for step in range(steps)] + [high]
    return values if varied == "bandwidth" else sorted({float(math.ceil(value)) for value in values})


def _with(hardware: Hardware, number: int, varied: str, value: float) -> Hardware:
    """The machine with another memory in the place of one of its own."""
    memories = list(hardware.memories)
    old: Memory = memories[number]
    if varied == "size":
        memories[number] = replace(old, size=int(value))
    else:
        factor = value / old.rate
        reads, writes = (None if rate is None else rate * factor for rate in (old.read, old.write))
        memories[number] = replace(old, bandwidth=old.bandwidth * factor, read=reads, write=writes)
    return replace(hardware, memories=tuple(memories))
