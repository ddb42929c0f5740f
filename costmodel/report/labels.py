"""Boxes of text x what is on a picture already -> places for the texts where nothing overlaps. Geometry only.

A label goes to the nearest free place around its mark, the most important first; a line leads to it when it is not
beside it. All lengths are in typographic points.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self

TURNS: Final = (0, 12, 6, 18, 3, 9, 15, 21, 2, 10, 14, 22, 1, 11, 13, 23, 4, 8, 16, 20, 5, 7, 17, 19)
DIRECTIONS: Final = tuple((math.cos(math.tau * turn / 24), math.sin(math.tau * turn / 24)) for turn in TURNS)
"""Where a label may stand, seen from its mark: beside it first, then above and below, then the rest."""

DISTANCES: Final = (0, 3, 7, 12, 18, 25, 33, 42, 52, 64, 78, 94)
"""Between a mark and its label."""
LEAD: Final = 3
"""From this distance on a line leads from the label to the mark."""
INTO: Final = 0.8
"""How far into the round that holds a mark its lead ends: few marks are round."""
CLEAR: Final = 1.5
"""What stays free around a label."""
TRIES: Final = 20
"""In how many orders labels are placed until all find room."""


class Segment(NamedTuple):
    """A straight line between two points."""

    x0: float
    y0: float
    x1: float
    y1: float

    def crosses(self, other: "Segment") -> bool:
        """Whether the two meet; those that only lie along one another do not."""
        dx, dy, ox, oy = self.x1 - self.x0, self.y1 - self.y0, other.x1 - other.x0, other.y1 - other.y0
        turn = dx * oy - dy * ox
        if turn == 0:
            return False
        fromx, fromy = other.x0 - self.x0, other.y0 - self.y0
        return 0 <= (fromx * oy - fromy * ox) / turn <= 1 and 0 <= (fromx * dy - fromy * dx) / turn <= 1

    def seen_from(self, x: float, y: float, direction: tuple[float, float]) -> "Segment":
        """The line in coordinates that begin at a point and run in a direction."""
        dx, dy = direction
        ends = ((self.x0 - x, self.y0 - y), (self.x1 - x, self.y1 - y))
        (x0, y0), (x1, y1) = ((a * dx + b * dy, b * dx - a * dy) for a, b in ends)
        return Segment(x0, y0, x1, y1)


class Box(NamedTuple):
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Self:
        """The box with its centre at a point."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def center(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def grown(self, by: float) -> "Box":
        """The box with a margin."""
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def inside(self, other: "Box") -> bool:
        """Whether all of it is in the other."""
        across = self.left >= other.left and self.right <= other.right
        return across and self.bottom >= other.bottom and self.top <= other.top

    def meets(self, line: Segment) -> bool:
        """Whether a line has a point in it: what the four edges leave of the line (Liang and Barsky)."""
        dx, dy = line.x1 - line.x0, line.y1 - line.y0
        first, last = 0.0, 1.0
        for step, room in (
            (-dx, line.x0 - self.left),
            (dx, self.right - line.x0),
            (-dy, line.y0 - self.bottom),
            (dy, self.top - line.y0),
        ):
            if step == 0 and room < 0:
                return False
            if step < 0:
                first = max(first, room / step)
            elif step > 0:
                last = min(last, room / step)
        return first <= last

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point in it that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


class Place(NamedTuple):
    """Where a label stands, and the line that leads from it to its mark, if any."""

    box: Box
    lead: Segment | None


class Board:
    """A picture's room, and what is in it."""

    def __init__(self, room: Box, marks: Iterable[Box] = (), lines: Iterable[Segment] = ()) -> None:
        self.room = room
        self.marks = list(marks)
        self.lines = list(lines)
        self.texts: list[Box] = []
        self.leads: list[Segment] = []

    def place_along(self, line: Segment, width: float, height: float, gap: float) -> tuple[float, float] | None:
        """The middle of a text that stands along a line, above or below it: from its first point on, where it fits."""
        length = math.hypot(line.x1 - line.x0, line.y1 - line.y0)
        if length < width:
            return None
        dx, dy = direction = (line.x1 - line.x0) / length, (line.y1 - line.y0) / length
        own = Box.around(0, 0, width, height).grown(gap / 2)
        steps = max(1, int((length - width) / 4))
        for side in (1, -1):
            aside = side * (gap + height / 2)
            for step in range(steps + 1):
                at = width / 2 + (length - width) * step / steps
                x, y = line.x0 + dx * at - dy * aside, line.y0 + dy * at + dx * aside
                boxes = tilted(x, y, width, height, direction)
                if all(self._vacant(box, box) for box in boxes) and not any(
                    own.meets(other.seen_from(x, y, direction)) for other in self.lines
                ):
                    self.texts += boxes
                    return x, y
        return None

    def place_all(self, wanted: Sequence[tuple[Box, float, float]], *, reach: float = math.inf) -> list[Place | None]:
        """Places for labels of marks, each with its width and height, the most important first; None without room.

        With a ``reach`` no place is farther from its mark and no lead crosses another mark. Those that found no room
        most often come first in the next try; the try in which most find room counts.
        """
        texts, leads = list(self.texts), list(self.leads)
        choices = [_choices(self, *label, reach) for label in wanted]
        order = list(range(len(wanted)))
        losses = [0] * len(wanted)
        best: list[Place | None] = [None] * len(wanted)
        for _ in range(TRIES):
            self.texts, self.leads = list(texts), list(leads)
            found = dict(sorted({n: self._take(next(filter(self.open, choices[n]), None)) for n in order}.items()))
            lost = [n for n in order if found[n] is None]
            if len(lost) < best.count(None):
                best = list(found.values())
            if not lost:
                break
            for n in lost:
                losses[n] += 1
            order.sort(key=lambda n: (-losses[n], n))
        self.texts, self.leads = texts, leads
        return [self._take(place) for place in best]

    def empty(self, box: Box) -> bool:
        """Whether a box is in the room and there is neither a mark nor a line in it, whatever the labels."""
        wide = box.grown(CLEAR)
        return box.inside(self.room) and not (
            any(wide.overlaps(mark) for mark in self.marks) or any(wide.meets(line) for line in self.lines)
        )

    def open(self, place: Place) -> bool:
        """Whether neither the label nor its lead meets another label or its lead."""
        wide, lead = place.box.grown(CLEAR), place.lead
        if any(wide.overlaps(text) for text in self.texts) or any(wide.meets(other) for other in self.leads):
            return False
        return lead is None or not (
            any(text.meets(lead) for text in self.texts) or any(lead.crosses(other) for other in self.leads)
        )

    def _vacant(self, box: Box, wide: Box) -> bool:
        return box.inside(self.room) and not any(wide.overlaps(other) for other in (*self.texts, *self.marks))

    def _take(self, place: Place | None) -> Place | None:
        """The place, from now on not free."""
        if place:
            self.texts.append(place.box)
            self.leads += [place.lead] if place.lead else []
        return place


def _choices(board: Board, mark: Box, width: float, height: float, reach: float) -> list[Place]:
    """Where a label could stand if there were no others, the best place first.

    First those whose lead crosses nothing, then those whose lead crosses lines, then without a ``reach`` other marks.
    """
    x, y = mark.center
    radius = (mark.right - mark.left) / 2
    others = [other for other in board.marks if other.nearest(x, y) != (x, y)]  # one around it cannot but be crossed
    found: tuple[list[Place], ...] = ([], [], [])
    for distance in (distance for distance in DISTANCES if distance <= reach):
        for dx, dy in DIRECTIONS:
            away = radius + distance + CLEAR
            across, up = (max(-1.0, min(1.0, 1.6 * part)) / 2 for part in (dx, dy))
            box = Box.around(x + dx * away + across * width, y + dy * away + up * height, width, height)
            if not board.empty(box):
                continue
            if distance < LEAD:
                found[0].append(Place(box, None))
                continue
            for lead in _leads(mark, box):
                lines = any(lead.crosses(line) for line in board.lines)
                marks = any(other.meets(lead) for other in others)
                found[2 if marks else 1 if lines else 0].append(Place(box, lead))
    return [place for places in found[: 3 if reach == math.inf else 2] for place in places]


def _leads(mark: Box, box: Box) -> Iterator[Segment]:
    """From a label to the edge of the round mark: the shortest way, then from the middle of each side."""
    (x, y), (midx, midy) = mark.center, box.center
    radius = (mark.right - mark.left) / 2 * INTO
    for start in (box.nearest(x, y), (midx, box.bottom), (midx, box.top), (box.left, midy), (box.right, midy)):
        length = math.dist(start, (x, y))
        if length > radius:
            lead = Segment(*start, x + (start[0] - x) * radius / length, y + (start[1] - y) * radius / length)
            if not box.grown(-0.1).meets(lead):
                yield lead


def tilted(x: float, y: float, width: float, height: float, direction: tuple[float, float]) -> list[Box]:
    """Small upright boxes that together cover a tilted one."""
    dx, dy = direction
    count = max(1, math.ceil(width / height * 4))
    piece = width / count
    wide, high = piece * abs(dx) + height * abs(dy), piece * abs(dy) + height * abs(dx)
    offsets = [(n + 0.5) * piece - width / 2 for n in range(count)]
    return [Box.around(x + dx * at, y + dy * at, wide, high) for at in offsets]


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Middles of things in one dimension -> the nearest ones, in the same order, at which they do not overlap.

    Things that would overlap are stacked, on average where they want to be; all are squeezed if they do not fit.
    """
    squeeze = min(1.0, (high - low) / (sum(sizes) or 1.0))
    lengths = [size * squeeze for size in sizes]

    def start(members: Sequence[int]) -> float:
        before, starts = 0.0, []
        for n in members:
            starts.append(wanted[n] - lengths[n] / 2 - before)
            before += lengths[n]
        return max(low, min(sum(starts) / len(starts), high - before))

    stacks: list[list[int]] = []
    for n in sorted(range(len(wanted)), key=lambda n: wanted[n]):
        members = [n]
        while stacks and start(stacks[-1]) + sum(lengths[m] for m in stacks[-1]) > start(members):
            members = stacks.pop() + members
        stacks.append(members)
    places = [0.0] * len(wanted)
    for members in stacks:
        at = start(members)
        for n in members:
            places[n] = at + lengths[n] / 2
            at += lengths[n]
    return places
