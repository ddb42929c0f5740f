"""Simulation and its layers' points -> a roofline plot: SVG, PNG or PDF.

Everything is laid out in typographic points, 1/72 inch, so that a picture is the same at any resolution; and from the
input alone, so that the same input gives the same bytes.
"""

import functools
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Affine2D, Transform

from costmodel.hardware import REST, Engine, Memory
from costmodel.report.cells import printable
from costmodel.report.labels import Board, Box, Place, Segment, spread
from costmodel.report.picture import DIM, DPI, GRID, INK, SHADE, WIDTH, render, style
from costmodel.roofline import Point
from costmodel.simulate import Simulation
from costmodel.units import exact, human

LOOKS: Final = {
    "convolution, pointwise": ("o", "#d55e00"),
    "convolution, window": ("s", "#0072b2"),
    "convolution, depthwise": ("^", "#f0c800"),
    "linear": ("D", "#303030"),
    "normalization": ("v", "#56b4e9"),
    "pooling": ("p", "#009e73"),
    "activation": ("h", "#cc79a7"),
    "elementwise": ("P", "#7b5aa6"),
    "other": ("X", "#b8b8b8"),
}
"""Each family's marker and colour, the same in every picture; their lightness differs as well."""

HEIGHT: Final = 290.0
"""Of the plot alone."""
LEFT, EDGE, STRIP = 66.0, 8.0, 34.0
"""Room for the axis at the left, around the picture, and for infinite intensities."""
LARGEST, SMALLEST = 220.0, 9.0
"""Areas of marks in square points: of the one with the largest share, and the least."""
NEAR: Final = 52.0
"""How far from its mark a name may stand."""
ALIKE: Final = 3.0
"""Layers of one family that would be nearer to one another are one mark."""


class Mark(NamedTuple):
    """The layers of one family at one place, which is that of the one with the largest share."""

    family: str
    x: float
    y: float
    share: float
    layers: tuple[str, ...]


class Label(NamedTuple):
    """A label and where it stands."""

    text: Text
    place: Place


@dataclass
class Drawing:
    """A picture and its parts."""

    figure: Figure
    axes: Axes
    marks: list[Mark] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    """Of the marks, the largest first, then of the measured ones."""
    lines: list[Segment] = field(default_factory=list)
    """The roofs, and the lines between what was modelled and measured."""
    labels: list[Label] = field(default_factory=list)
    roofs: list[Text] = field(default_factory=list)
    legends: list[Legend] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the plot cannot show, in words."""
    crowded: bool = False
    """Whether a mark's label found no room."""
    untold: list[Memory] = field(default_factory=list)
    """Memories whose label found no room."""

    def render(self, kind: str) -> bytes:
        """The picture's bytes; ``kind`` is a key of :data:`METADATA`."""
        return render(self.figure, kind)


def draw(simulation: Simulation, points: Sequence[Point], *, top: int = 8, measured: str = "") -> Drawing:
    """The plot; ``measured`` is the file of what was measured.

    The ``top`` marks that take the most time are named beside them; where it is too crowded, numbered and named below.
    """
    with style():
        named = _Plot(simulation, points, top, measured).draw()
        if not (named.crowded or named.untold):
            return named
        return _Plot(simulation, points, top, measured, numbered=named.crowded, below=named.untold).draw()


class _Plot:
    """The steps of a drawing, in order."""

    def __init__(
        self,
        simulation: Simulation,
        points: Sequence[Point],
        top: int,
        measured: str,
        *,
        numbered: bool = False,
        below: Sequence[Memory] = (),
    ) -> None:
        self.simulation, self.hardware = simulation, simulation.hardware
        self.points, self.top, self.measured, self.numbered = points, top, measured, numbered
        self.below = below
        self.shown = [point for point in points if point.operations]
        self.slow = [memory for memory in self.hardware.memories if memory.rate < math.inf]
        self.engines = self.hardware.engines
        self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=DPI)
        self.renderer: Any = FigureCanvasAgg(self.figure).get_renderer()  # type: ignore[no-untyped-call]
        self.axes = self.figure.add_subplot()
        self.in_points: Transform = Affine2D().scale(1 / 72) + self.figure.dpi_scale_trans
        self.drawing = Drawing(self.figure, self.axes)
        self.box_of: dict[Mark, Box] = {}
        self.slopes: list[tuple[Memory, Segment]] = []

    def draw(self) -> Drawing:
        self._limits()
        self._layout()
        self._axes()
        self._roofs()
        self._engines()
        self._points()
        self._labels()
        return self.drawing

    # Where everything is

    def _limits(self) -> None:
        """The logarithms between which both axes run: every point and every roof, and where roofs meet."""
        finite = [point.intensity for point in self.shown if point.intensity < math.inf]
        peaks = [engine.peak for engine in self.engines]
        ridges = [max(peaks) / memory.rate for memory in self.slow]
        right = max([*finite, *ridges], default=10.0)
        left = min([*finite, *(ridge / 10 for ridge in ridges)], default=right / 100)
        reached = [rate for point in self.shown for rate in (point.performance, point.measured) if rate]
        low, high = min([*reached, *peaks]), max([*reached, *peaks])
        margin = max(0.3, 0.05 * math.log10(high / low))
        beside = max(0.25, 0.04 * math.log10(right / left))
        self.x = (math.log10(left) - beside, math.log10(right) + max(0.35, beside))
        self.y = (math.log10(low) - margin, math.log10(high) + max(0.45, margin))
        self.endless = any(point.intensity == math.inf for point in self.shown)

    def _layout(self) -> None:
        """Title, plot, legends and remarks below one another, engines at the right; the picture is as high as that."""
        heads = [self._text(line, 10, weight="bold") for line in _wrapped(self._title(), 74)]
        heads += [self._text(line, 7, color=DIM) for line in _wrapped(self._subtitle(), 120)]
        self.names = [self._engine_label(engine) for engine in self.engines]
        margin = max(self._size(text)[0] for pair in self.names for text in pair) + 14 + EDGE
        self.width = WIDTH - LEFT - margin
        self._gather()
        legends = self._legends()
        self.drawing.remarks += [*self._remarks(), *self._remarks_on_measured()]
        small = [self._text(line, 6.5, color=DIM) for remark in self.drawing.remarks for line in _wrapped(remark, 132)]

        stack: list[tuple[list[Text | Legend], float]] = [([text], 14.0) for text in heads]
        stack.append(([], HEIGHT + 38.0))
        stack += [([legend], self._size(legend)[1] + 3) for legend in legends]
        stack += [(list(row), 9.5) for row in self._keys()]
        stack[-1] = (stack[-1][0], stack[-1][1] + 3)
        stack += [([text], 9.5) for text in small]
        total = sum(size for _, size in stack) + 2 * EDGE
        self.figure.set_size_inches(WIDTH / 72, total / 72)
        at = total - EDGE
        for items, size in stack:
            if not items:
                self.bottom = at - 4 - HEIGHT
                self.axes.set_position((LEFT / WIDTH, self.bottom / total, self.width / WIDTH, HEIGHT / total))
            for item, x in zip(items, (EDGE, WIDTH / 2), strict=False):
                if isinstance(item, Text):
                    item.set_position((x, at - 2))
                else:
                    item.set_bbox_to_anchor((x, at), transform=self.in_points)
            at -= size

    def _title(self) -> str:
        profile = self.simulation.profile
        images = f"{profile.batch} image" + ("s" if profile.batch > 1 else "")
        return f"{profile.network} on {self.hardware.title}: {human(self.simulation.seconds, 's')} for {images}"

    def _subtitle(self) -> str:
        found = f"{_layers(len(self.points))}, overlap {self.simulation.overlap}"
        found += f", placement {self.simulation.placement.policy}"
        if self.hardware.overhead:
            found += f", overhead {exact(self.hardware.overhead, 's')} per layer"
        return found

    def _engine_label(self, engine: Engine) -> tuple[Text, Text]:
        """Name and peak, and what runs there."""
        name = _wrapped(f"{engine.name}  {_rate(engine.peak, 'OP/s')}", 26)
        rest = "all operators" if len(self.engines) == 1 else "all other operators"
        runs = rest if engine.runs == (REST,) else ", ".join(engine.runs)
        return (
            self._text("\n".join(name), 6.5, va="bottom", linespacing=1.1),
            self._text("\n".join(_wrapped(runs, 28, most=2)), 6, va="top", linespacing=1.1, color=DIM),
        )

    def _text(self, text: str, size: float, **more: Any) -> Text:
        look: dict[str, Any] = {"va": "top", "ha": "left", "color": INK, "transform": self.in_points} | more
        lines = "\n".join(map(printable, text.split("\n")))
        return self.figure.text(0, 0, lines, fontsize=size, **look)

    def _size(self, thing: Text | Legend) -> tuple[float, float]:
        """Width and height."""
        box = thing.get_window_extent(self.renderer)
        return box.width * 72 / DPI, box.height * 72 / DPI

    def _gather(self) -> None:
        """Points -> marks, and the scale of their areas. A point joins the first mark of its family that is near."""
        self.x_end = self.x[0] + (self.x[1] - self.x[0]) * self.width / (self.width - STRIP * self.endless)
        found: list[tuple[float, float, list[Point]]] = []
        for point in sorted(self.shown, key=lambda point: -point.share):
            x, y = self._logs(point.intensity, point.performance)
            for atx, aty, same in found:
                near = math.hypot(*self._apart(x - atx, y - aty)) < ALIKE
                if near and same[0].family == point.family:
                    same.append(point)
                    break
            else:
                found.append((x, y, [point]))
        marks = [
            Mark(same[0].family, x, y, math.fsum(point.share for point in same), tuple(point.layer for point in same))
            for x, y, same in found
        ]
        self.drawing.marks += sorted(marks, key=lambda mark: -mark.share)
        shares = [mark.share for mark in marks] + [point.measured_share for point in self.shown]
        self.scale = LARGEST / (max(shares, default=0.0) or 1.0)

    def _logs(self, intensity: float, performance: float) -> tuple[float, float]:
        """A point's place on the axes, in logarithms; the strip behind the axis is for infinite intensities."""
        x = math.log10(intensity) if intensity < math.inf else (self.x[1] + self.x_end) / 2
        return x, math.log10(performance)

    def _apart(self, dx: float, dy: float) -> tuple[float, float]:
        """A difference of logarithms in typographic points."""
        return dx / (self.x_end - self.x[0]) * self.width, dy / (self.y[1] - self.y[0]) * HEIGHT

    def _at(self, x: float, y: float) -> tuple[float, float]:
        """Logarithms -> typographic points from the picture's corner."""
        across, up = self._apart(x - self.x[0], y - self.y[0])
        return LEFT + across, self.bottom + up

    # What stands below the plot

    def _legends(self) -> list[Legend]:
        """One of the families, one of what areas and hollow marks mean."""
        shares: dict[str, float] = {}
        for mark in self.drawing.marks:
            shares[mark.family] = shares.get(mark.family, 0.0) + mark.share
        names = sorted(shares, key=lambda name: -shares[name])
        families = [(_handle(*_look(name), 36.0), f"{name}  {_percent(shares[name])}") for name in names]
        areas = [(_handle("o", "#b8b8b8", area), text) for area, text in self._areas()]
        if self.measured and areas:
            areas.append((_handle("o", "none", 36.0), "hollow: measured, share of the measured time"))
        return [self._legend(entries) for entries in (families, areas) if entries]

    def _areas(self) -> list[tuple[float, str]]:
        """A few sizes of marks in words."""
        if not any(mark.share for mark in self.drawing.marks):
            return []
        least, most = SMALLEST / self.scale, LARGEST / self.scale
        nice = [digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)]
        fitting = [share for share in nice if least * 1.5 < share <= most * 1.0001]
        return [
            (SMALLEST, f"area: share of the time, {100 * least:.2g}% or less"),
            *((share * self.scale, f"{100 * share:g}%") for share in fitting[-3::2]),
        ]

    def _legend(self, entries: Sequence[tuple[Line2D, str]]) -> Legend:
        """Rows that are as long as fits."""
        largest = max(float(handle.get_markersize()) for handle, _ in entries)
        columns = len(entries)
        while True:
            by_column = [entry for start in range(columns) for entry in entries[start::columns]]  # as they are filled
            handles, names = zip(*by_column, strict=True)
            legend = self.figure.legend(
                handles, names, loc="upper left", bbox_to_anchor=(0, 0), ncols=columns, frameon=False, fontsize=7,
                borderpad=0, borderaxespad=0, handletextpad=0.4, columnspacing=1.6, labelspacing=0.5,
                handlelength=max(1.2, largest / 7), handleheight=max(0.7, largest / 7),
            )  # fmt: skip
            if columns == 1 or self._size(legend)[0] <= WIDTH - 2 * EDGE:
                self.drawing.legends.append(legend)
                return legend
            legend.remove()
            columns -= 1

    def _keys(self) -> list[list[Text]]:
        """What the numbers in the plot mean: rows of two, or of one where they are long."""
        if not self.numbered:
            return []
        told = [_told(mark) for mark in self._named()]
        texts = [self._text(f"{n}  {name}, {share}", 6.5) for n, (name, share) in enumerate(told, 1)]
        if any(self._size(text)[0] > WIDTH / 2 - 2 * EDGE for text in texts):
            return [[text] for text in texts]
        half = (len(texts) + 1) // 2
        return [texts[n::half] for n in range(half)]

    def _remarks(self) -> Iterator[str]:
        endless = [point for point in self.shown if point.intensity == math.inf]
        if endless:
            share = _percent(math.fsum(point.share for point in endless))
            yield f"∞: {_layers(len(endless))} without bytes from memories that take time, {share} of the time."
        idle = [point for point in self.points if not point.operations]
        timed = [point for point in idle if point.share]
        if timed:
            share = _percent(math.fsum(point.share for point in timed))
            yield f"Without operations, so not in the plot: {_kinds(timed)}; {share} of the time."
        if len(timed) < len(idle):
            timeless = [point for point in idle if not point.share]
            yield f"Without operations and time, so not in the plot: {_kinds(timeless)}."
        if self.below:
            order = sorted(self.below, key=lambda memory: -memory.rate)
            yield f"Slopes without a name in the plot, from the left: {', '.join(map(_slope, order))}."

    def _remarks_on_measured(self) -> Iterator[str]:
        if self.measured:
            missing = [point.layer for point in self.shown if point.measured is None]
            lacking = f", which lacks {len(missing)} of these layers: {listed(missing)}" if missing else ""
            yield f"Measured: {self.measured}{lacking}."

    # What is drawn

    def _axes(self) -> None:
        axes = self.axes
        axes.set_xlim(self.x[0], self.x_end)
        axes.set_ylim(*self.y)
        columns = {float(decade): _tick(decade).rstrip() for decade in _decades(*self.x)}
        if self.endless:
            columns[self._logs(math.inf, 1.0)[0]] = "∞"
            axes.axvline(self.x[1], color=DIM, linewidth=0.6, linestyle=(0, (1, 2)))
        rows = {float(decade): f"{_tick(decade)}FLOPS" for decade in _decades(*self.y)}
        for axis, names, (low, high) in ((axes.xaxis, columns, self.x), (axes.yaxis, rows, self.y)):
            axis.set_major_locator(FixedLocator(list(names)))
            axis.set_major_formatter(FuncFormatter(lambda value, _, names=names: names.get(value, "")))
            between = [n + math.log10(d) for n in range(math.floor(low), math.ceil(high)) for d in range(2, 10)]
            small = FixedLocator([at for at in between if low <= at <= high])
            axis.set_minor_locator(small if high - low <= 7 else NullLocator())
        axes.grid(which="major", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(which="major", length=3, width=0.6, labelsize=7)
        axes.tick_params(which="minor", length=1.5, width=0.4)
        axes.set_xlabel("operational intensity (operations per byte moved, OP/B)", fontsize=8, labelpad=3)
        axes.set_ylabel("performance (operations per second)", fontsize=8, labelpad=3)

    def _roofs(self) -> None:
        """Slopes up to the highest peak, peaks from the steepest slope on; the outermost of them are the roof."""
        left, right = self.x[0], self.x_end
        peak = math.log10(max(engine.peak for engine in self.engines))
        fastest = math.log10(max((memory.rate for memory in self.slow), default=math.inf))
        ridge = max(left, peak - fastest)
        self.axes.fill_between(
            [left, ridge, right],
            [min(peak, left + fastest), peak, peak],
            self.y[1],
            color=SHADE,
            linewidth=0,
            zorder=0.3,
        )
        for memory in self.slow:
            rate = math.log10(memory.rate)
            start, end = max(left, self.y[0] - rate), min(peak - rate, self.x[1])
            line = self._roof((start, start + rate), (end, end + rate), bold=rate == fastest)
            self.slopes.append((memory, line))
        for engine in self.engines:
            height = math.log10(engine.peak)
            self._roof((max(left, height - fastest), height), (right, height), bold=height == peak)

    def _roof(self, start: tuple[float, float], end: tuple[float, float], *, bold: bool) -> Segment:
        xs, ys = zip(start, end, strict=True)
        look: dict[str, Any] = {"color": INK, "linewidth": 1.5} if bold else {"color": DIM, "linewidth": 0.9}
        self.axes.plot(xs, ys, zorder=1.6 if bold else 1.5, **look)
        segment = Segment(*self._at(*start), *self._at(*end))
        self.drawing.lines.append(segment)
        return segment

    def _engines(self) -> None:
        """Each engine's name at the right end of its roof."""
        x = LEFT + self.width
        ends = [self._at(0, math.log10(engine.peak))[1] for engine in self.engines]
        sizes = [(self._size(runs)[1] + 2.5, self._size(name)[1] + 2.5) for name, runs in self.names]
        places = spread(ends, [sum(size) for size in sizes], self.bottom - 10, self.bottom + HEIGHT + 8)
        for end, place, (low, high), (name, runs) in zip(ends, places, sizes, self.names, strict=True):
            split = place + (low - high) / 2
            name.set_position((x + 14, split + 0.8))
            runs.set_position((x + 14, split - 0.8))
            self._stroke([(x, end), (x + 4, end), (x + 9, place), (x + 12, place)], 0.6)
            self.drawing.roofs += [name, runs]

    def _stroke(self, path: Sequence[tuple[float, float]], width: float, zorder: float = 2) -> None:
        xs, ys = zip(*path, strict=True)
        self.figure.add_artist(
            Line2D(xs, ys, color=DIM, linewidth=width, transform=self.in_points, zorder=zorder, clip_on=False)
        )

    def _points(self) -> None:
        """The marks, the largest first; measured ones hollow, above or below them."""
        for mark in self.drawing.marks:
            self.box_of[mark] = self._mark(mark.family, mark.x, mark.y, mark.share, hollow=False)
        for point in self.shown:
            if point.measured:
                x, y = self._logs(point.intensity, point.performance)
                real = math.log10(point.measured)
                self.axes.plot([x, x], [y, real], color=DIM, linewidth=0.4, zorder=2.5)
                self.drawing.lines.append(Segment(*self._at(x, y), *self._at(x, real)))
                self._mark(point.family, x, real, point.measured_share, hollow=True)

    def _mark(self, family: str, x: float, y: float, share: float, *, hollow: bool) -> Box:
        marker, color = _look(family)
        size = _side(marker, max(SMALLEST, share * self.scale))
        look: dict[str, Any] = {"mfc": color, "mec": INK, "mew": 0.5, "zorder": 3}
        if hollow:
            look = {"mfc": "none", "mec": _darker(color), "mew": 0.8, "zorder": 4}
        self.axes.plot([x], [y], marker=marker, markersize=size, clip_on=False, **look)
        wide = size * _outline(marker)[1]
        box = Box.around(*self._at(x, y), wide, wide)
        self.drawing.boxes.append(box)
        return box

    # Labels in the plot

    def _labels(self) -> None:
        room = Box(LEFT + 2, self.bottom + 2, LEFT + self.width - 2, self.bottom + HEIGHT - 1)
        lines = list(self.drawing.lines)
        if self.endless:
            x, y = self._at(self.x[1], self.y[0])
            lines.append(Segment(x, y, x, y + HEIGHT))
        board = Board(room, self.drawing.boxes, lines)
        for memory, line in self.slopes:
            self._slope_label(board, memory, line)
        texts = [self._label(number, mark) for number, mark in enumerate(self._named(), 1)]
        wanted = [(self.box_of[mark], *self._size(text)) for mark, text in zip(self._named(), texts, strict=True)]
        places = board.place_all(wanted, reach=math.inf if self.numbered else NEAR)
        for text, place in zip(texts, places, strict=True):
            if place is None:
                self.drawing.crowded = True
                text.remove()
                continue
            text.set_position((place.box.left, place.box.center[1]))
            if place.lead:
                self._stroke([place.lead[:2], place.lead[2:]], 0.5, zorder=4.5)
            self.drawing.labels.append(Label(text, place))

    def _slope_label(self, board: Board, memory: Memory, line: Segment) -> None:
        text = self._text(_slope(memory), 6.5, va="center", ha="center", zorder=5)
        width, height = self._size(text)
        place = board.place_along(line, width + 4, height, 1.5)
        if place is None:
            self.drawing.untold.append(memory)
            text.remove()
            return
        text.set_position(place)
        text.set(rotation=math.degrees(math.atan2(line.y1 - line.y0, line.x1 - line.x0)), rotation_mode="anchor")
        self.drawing.roofs.append(text)

    def _named(self) -> list[Mark]:
        return [mark for mark in self.drawing.marks[: self.top] if mark.share]

    def _label(self, number: int, mark: Mark) -> Text:
        if self.numbered:
            return self._text(str(number), 7, va="center", weight="bold", zorder=5)
        name, share = _told(mark)
        return self._text("\n".join([*_wrapped(name, 34), share]), 6.5, va="center", linespacing=1.1, zorder=5)


def _told(mark: Mark) -> tuple[str, str]:
    """The name of a mark's first layer, how many more there are, and their share."""
    first, *others = mark.layers
    return _short(first), f"and {len(others)} more, {_percent(mark.share)}" if others else _percent(mark.share)


def _look(family: str) -> tuple[str, str]:
    """A family's marker and colour."""
    return LOOKS.get(family, LOOKS["other"])


def _darker(color: str) -> str:
    """For a thin line on white paper."""
    return "#" + "".join([f"{int(color[n : n + 2], 16) * 3 // 4:02x}" for n in (1, 3, 5)])


def _handle(marker: str, color: str, area: float) -> Line2D:
    """A mark in a legend."""
    look: dict[str, Any] = {"mec": DIM, "mew": 0.8} if color == "none" else {"mec": INK, "mew": 0.5}
    return Line2D([], [], linestyle="none", marker=marker, markersize=_side(marker, area), mfc=color, **look)


@functools.cache
def _outline(marker: str) -> tuple[float, float]:
    """The area of a marker of size 1, and the diameter of the round that holds it."""
    style = MarkerStyle(marker)
    polygons: Any = style.get_path().transformed(style.get_transform()).to_polygons()
    (shape,) = polygons
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise([*shape, shape[0]])) / 2
    return abs(float(area)), 2 * float(max(math.hypot(x, y) for x, y in shape))


def _side(marker: str, area: float) -> float:
    """The size at which a marker has an area, so that different shapes can be compared."""
    return math.sqrt(area / _outline(marker)[0])


def _slope(memory: Memory) -> str:
    return f"{memory.name}  {_rate(memory.rate, 'B/s')}"


def _rate(value: float, unit: str) -> str:
    """Three digits."""
    return exact(float(f"{value:.3g}"), unit)


def _tick(decade: int) -> str:
    """A power of ten and a prefix: ``0.1 ``, ``10 k``."""
    return exact(float(f"1e{decade}"), "OP/s").removesuffix("FLOPS")


def _decades(low: float, high: float) -> range:
    """Whole logarithms in a range, about ten of them at most."""
    first, last = math.ceil(low), math.floor(high)
    return range(first, last + 1, 1 + (last - first) // 10)


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _kinds(points: Sequence[Point]) -> str:
    """How many there are of each operator."""
    kinds = [point.operator for point in points]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def _short(layer: str) -> str:
    """``stage1.expand+expand_bn`` -> ``stage1.expand+bn``."""
    first, *others = layer.split("+")
    stem = first.rpartition(".")[2] + "_"
    return "+".join([first, *[other.removeprefix(stem) for other in others]])


def _wrapped(text: str, width: int, most: int = 0) -> list[str]:
    """Lines of a text, broken behind spaces and the joints of names; ``most`` is how many at most."""
    lines = [""]
    for piece in re.findall(rf"[^\s.+_,]{{1,{width}}}[.+_,]*\s*|[.+_,]+\s*|\s+", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    lines = [line.rstrip() for line in lines]
    if most and len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1].rstrip(",") + " ..."]
    return lines
