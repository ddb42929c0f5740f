"""A curve of memory sizes or bandwidths -> a picture: latency and traffic against the value, and what suffices."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from costmodel.hardware import Hardware
from costmodel.report.cells import printable
from costmodel.report.picture import DIM, DPI, GRID, INK, WIDTH, style
from costmodel.sizing import VARIED, Curve
from costmodel.units import human

HEIGHT = 300.0
PANELS = {"latency": ("time of a batch", "s"), "traffic": ("external traffic", "B")}


def draw(curve: Curve, network: str, machine: Hardware) -> Figure:
    """Two panels, one above the other; what the machine cannot run is hollow, the value that was found a square."""
    unit = VARIED[curve.varied]
    points = [point for point in curve.points if math.isfinite(point.seconds)]
    with style():
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=DPI, layout="constrained")
        axes = figure.subplots(2, 1, sharex=True)
        title = f"{network} on {machine.title}, placement {curve.policy}"
        figure.suptitle(printable(title), x=0.01, ha="left", fontsize=9)
        for axis, (kind, (label, measure)) in zip(axes, PANELS.items(), strict=True):
            values = [point.seconds if kind == "latency" else point.traffic for point in points]
            _panel(axis, curve, [point.value for point in points], values, kind)
            axis.set_ylabel(label)
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _, measure=measure: human(value, measure)))
        axes[-1].set_xlabel(f"{curve.varied} of {curve.memory}")
        axes[-1].xaxis.set_major_locator(LogLocator(2, numticks=10))
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: human(value, unit)))
        axes[-1].xaxis.set_minor_formatter(NullFormatter())
    return figure


def _panel(axis: Axes, curve: Curve, xs: list[float], ys: list[float], kind: str) -> None:
    fits = [point.accepted for point in curve.points if math.isfinite(point.seconds)]
    axis.set_xscale("log", base=2)
    axis.grid(color=GRID, linewidth=0.5)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    steps = "steps-post" if curve.varied == "size" else "default"
    axis.plot(xs, ys, color=DIM, linewidth=0.8, drawstyle=steps, zorder=2)
    for full in (True, False):
        chosen = [(x, y) for x, y, fit in zip(xs, ys, fits, strict=True) if fit == full]
        if chosen:
            axis.plot(
                *zip(*chosen, strict=True), linestyle="", marker="o", markersize=2.5, markeredgewidth=0.6,
                markeredgecolor=INK, markerfacecolor=INK if full else "white", zorder=3,
            )  # fmt: skip
    axis.set_ylim(0, max(ys, default=1.0) * 1.08)
    if kind == curve.target.kind:
        axis.axhline(curve.target.most, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        axis.annotate(
            "target", (1, curve.target.most), xycoords=("axes fraction", "data"), xytext=(-2, 2),
            textcoords="offset points", ha="right", va="bottom", fontsize=7,
        )  # fmt: skip
    if curve.found:
        y = curve.found.seconds if kind == "latency" else curve.found.traffic
        axis.plot([curve.found.value], [y], marker="s", markersize=6, color=INK, zorder=4)
        axis.annotate(
            human(curve.found.value, VARIED[curve.varied]), (curve.found.value, y), xytext=(7, 5),
            textcoords="offset points", fontsize=7, weight="bold",
        )  # fmt: skip
