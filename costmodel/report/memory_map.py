"""Simulation -> a map of each memory but the farthest: time across, address up, every tensor where it lies.

A tensor is a box from its first layer to its last. Its shade says how it came there and its name stands inside; where
that finds no room a number does, and the names are listed below. All lengths are in typographic points.
"""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from costmodel.hardware import Memory
from costmodel.place.offsets import Layout
from costmodel.place.placement import START, live_bytes
from costmodel.placements import addresses
from costmodel.report.cells import printable
from costmodel.report.picture import DIM, DPI, GRID, INK, WIDTH, style
from costmodel.simulate import Simulation
from costmodel.units import exact, human

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "made there": {"facecolor": "#e6eff7"},
    "over its operand": {"facecolor": "#b3d6ba"},
    "brought in": {"facecolor": "#d98f35"},
    "there from the start": {"facecolor": "#ffffff", "hatch": "////"},
    "lines, tiles and the like": {"facecolor": "#d2d2d2"},
}
"""How a tensor came there -> its box; each prints as a grey of its own."""

PANEL: Final = 250.0
"""Height of one memory's map."""
LEFT, RIGHT, HEAD, BELOW, EDGE = 56.0, 12.0, 24.0, 62.0, 8.0
LARGEST, SMALLEST = 7.0, 3.2
"""Font sizes of a name."""
COLUMNS: Final = 3
LISTED: Final = 120
"""How the names that found no room are listed, and how many at most."""


class Box(NamedTuple):
    """A tensor on the map: from layer to layer, from byte to byte."""

    name: str
    look: str
    left: float
    right: float
    low: int
    high: int


def boxes(simulation: Simulation, planned: Layout) -> list[Box]:
    """The copies in a memory; where a result overwrites an operand they share the layer's width."""
    tensors = simulation.profile.tensors
    taken = {(copy.over, copy.first) for copy in planned.copies if copy.over is not None}
    found = []
    for copy, offset in zip(planned.copies, planned.offsets, strict=True):
        if copy.over is not None:
            look = "over its operand"
        elif copy.first == START:
            look = "there from the start"
        else:
            made = tensors["born"][copy.tensor] >= copy.first and tensors["kind"][copy.tensor] in {"map", "output"}
            look = "made there" if made else "brought in"
        left = copy.first + 0.5 if copy.over is not None else float(max(copy.first, 0))
        right = copy.last + (0.5 if (copy.tensor, copy.last) in taken else 1.0)
        name = printable(tensors["tensor"][copy.tensor])
        found.append(Box(name, look, left, right, offset, offset + tensors["bytes"][copy.tensor]))
    look = "lines, tiles and the like"
    for name, size, offset, first, last in planned.parts:
        found.append(Box(printable(name), look, float(first), last + 1.0, offset, offset + size))
    return found


def draw(simulation: Simulation) -> Figure:
    """One panel per memory, one above the other; the farthest, where everything else is, has none."""
    memories = simulation.hardware.memories[:-1]
    with style():
        figure = Figure(figsize=(WIDTH / 72, 1), dpi=DPI)
        panels = [_Panel(simulation, number, memory, figure) for number, memory in enumerate(memories)]
        heights = [HEAD + PANEL + BELOW + panel.listed * 6.5 for panel in panels]
        total = sum(heights) + 2 * EDGE + 14
        figure.set_size_inches(WIDTH / 72, total / 72)
        top = total - EDGE
        looks = [Patch(label=look, edgecolor=INK, linewidth=0.4, **how) for look, how in LOOKS.items()]
        figure.legend(
            handles=looks, loc="lower left", bbox_to_anchor=(EDGE / WIDTH, EDGE / 2 / total), ncols=5, fontsize=6.5,
            frameon=False, borderpad=0, handlelength=1.6,
        )  # fmt: skip
        for panel, height in zip(panels, heights, strict=True):
            panel.place(top, total)
            top -= height
    return figure


class _Panel:
    """The map of one memory."""

    def __init__(self, simulation: Simulation, number: int, memory: Memory, figure: Figure) -> None:
        self.simulation, self.memory, self.figure = simulation, memory, figure
        self.planned = addresses(simulation, number)
        self.boxes = boxes(simulation, self.planned)
        self.layers = len(simulation.profile.layers)
        finite = memory.size if memory.size < math.inf else 0
        self.top = max(finite, self.planned.size, 1) * 1.06
        self.named = list(self._labels())
        self.below = [f"{text} {box.name}" for box, text, _, _ in self.named if text != box.name]
        unnamed = len(self.boxes) - len(self.named) + len(self.below[LISTED:])
        self.rest = f"{unnamed} more, too small here: --addresses lists all" if unnamed else ""
        self.listed = math.ceil(min(len(self.below), LISTED) / COLUMNS) + bool(unnamed)

    def _labels(self) -> Iterator[tuple[Box, str, float, int]]:
        """For each box that has room its name or number, the font size and the angle."""
        numbers = 0
        for box in self.boxes:
            width = (box.right - box.left) / self.layers * (WIDTH - LEFT - RIGHT) - 1.5
            height = (box.high - box.low) / self.top * PANEL - 1.0
            size, angle = self._fit(box.name, width, height)
            if size:
                yield box, box.name, size, angle
                continue
            size, angle = self._fit(str(numbers + 1), width, height)
            if size:
                numbers += 1
                yield box, str(numbers), size, angle

    def _fit(self, text: str, width: float, height: float) -> tuple[float, int]:
        """The largest size at which a text fits a box, lying or standing; 0 if it does not."""
        long, high = len(text) * 0.62, 1.15  # of the font's size; DejaVu Sans is no wider on average
        lying, standing = min(LARGEST, width / long, height / high), min(LARGEST, height / long, width / high)
        size = max(lying, standing)
        return (size, 0 if lying == size else 90) if size >= SMALLEST else (0.0, 0)

    def place(self, top: float, total: float) -> None:
        """Draw it below a height of the picture."""
        bottom = top - HEAD - PANEL
        width = WIDTH - LEFT - RIGHT
        axes = self.figure.add_axes((LEFT / WIDTH, bottom / total, width / WIDTH, PANEL / total))
        self._title(top / total)
        self._axes(axes)
        for box in self.boxes:
            shape = (box.left, box.low), box.right - box.left, box.high - box.low
            axes.add_patch(Rectangle(*shape, edgecolor=INK, linewidth=0.4, **LOOKS[box.look]))
        for box, text, size, angle in self.named:
            middle = (box.left + box.right) / 2, (box.low + box.high) / 2
            written = axes.text(*middle, text, fontsize=size, rotation=angle, ha="center", va="center", color=INK)
            written.set_path_effects([withStroke(linewidth=1.2, foreground="white")])
        self._live(axes)
        self._list(bottom - BELOW, total)

    def _title(self, top: float) -> None:
        simulation, planned = self.simulation, self.planned
        what = f"{simulation.profile.network} on {simulation.hardware.title}, placement {simulation.placement.policy}"
        self.figure.text(EDGE / WIDTH, top, printable(what), fontsize=9, weight="bold", va="top")
        told = f"{self.memory.name}: {exact(self.memory.size, 'B')}; at most {human(planned.floor, 'B')} live at once"
        told += f"; addresses take {human(planned.size, 'B')}, {planned.fragmentation:.1%} of it fragmentation"
        height = self.figure.get_size_inches()[1] * 72
        self.figure.text(EDGE / WIDTH, top - 12 / height, printable(told), fontsize=7, color=DIM, va="top")

    def _axes(self, axes: Axes) -> None:
        axes.set_xlim(0, self.layers)
        axes.set_ylim(0, self.top)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: human(int(value), "B")))
        axes.tick_params(labelsize=6.5, width=0.5, length=2)
        axes.set_ylabel("address", fontsize=7)
        stages = [block.partition(".")[0] for block in self.simulation.profile.layers["block"]]
        starts, at = [], 0
        for stage, members in groupby(stages):
            starts.append((at, stage))
            at += len(list(members))
        axes.set_xticks([start for start, _ in starts])
        room = (WIDTH - LEFT - RIGHT) / self.layers
        shown, free = [], -math.inf
        for start, stage in starts:
            fits = start * room >= free
            shown.append(printable(stage) if fits else "")
            free = start * room + 7 if fits and stage else free
        axes.set_xticklabels(shown, rotation=90, fontsize=6)
        for start, _ in starts:
            axes.axvline(start, color=GRID, linewidth=0.5, zorder=0)
        if self.memory.size < math.inf:
            axes.axhline(self.memory.size, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))

    def _live(self, axes: Axes) -> None:
        """The bytes that are live at each layer: no addresses need less."""
        live = live_bytes(self.simulation.profile, self.planned.copies)
        if self.planned.parts and self.simulation.placement.plan:
            live = self.simulation.placement.plan.taken()
        axes.step(range(self.layers + 1), [*live, live[-1]], where="post", color="#a00000", linewidth=1.0)
        axes.text(
            1.0,
            1.01,
            "dashed: its size; heavy red: bytes live",
            fontsize=6,
            color=DIM,
            ha="right",
            transform=axes.transAxes,
        )

    def _list(self, top: float, total: float) -> None:
        """The numbered names, in columns."""
        shown = self.below[:LISTED]
        rows = math.ceil(len(shown) / COLUMNS)
        for place, text in enumerate(shown):
            column, row = divmod(place, max(rows, 1))
            x = LEFT + column * (WIDTH - LEFT) / COLUMNS
            self.figure.text(x / WIDTH, (top - row * 6.5) / total, text, fontsize=5.2, va="top")
        self.figure.text(LEFT / WIDTH, (top - rows * 6.5) / total, self.rest, fontsize=5.2, va="top", color=DIM)
