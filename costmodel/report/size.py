"""A curve of memory sizes or bandwidths -> a page: the points, and the one that was asked for."""

import math
from typing import Final

from costmodel.hardware import Hardware
from costmodel.report.cells import Cells
from costmodel.report.show import paragraph
from costmodel.report.text import plain, room, show
from costmodel.report.text import table as layout
from costmodel.sizing import VARIED, Curve, Point
from costmodel.units import exact, human

NOTHING_FITS: Final = "the checker refuses all of them; --place liveness puts nothing where it does not fit"

SHOWN: Final = 24
"""Points of a page, besides the one that was found; the CSV has all."""


def show_curve(curve: Curve, network: str, machine: Hardware) -> None:
    """Print some of the points, evenly spread, and what suffices."""
    unit = VARIED[curve.varied]
    runs = [point for point in curve.grid if math.isfinite(point.seconds)]
    chosen = sorted({*runs[:: max(1, math.ceil(len(runs) / SHOWN))], *([curve.found] if curve.found else [])})
    rows = [
        (human(one.value, unit), human(one.traffic, "B"), human(one.seconds, "s"), _verdict(one, curve))
        for one in chosen
    ]
    heads = (curve.varied, "external\ntraffic", "total", "")
    table = Cells(("value", "traffic", "seconds", "verdict"), heads, (True, True, True, False), rows, ())
    lines, _ = layout(table, drop={}, available=room())
    what = f"the {curve.varied} of {curve.memory!r}"
    show(
        [
            plain(f"{network} on {machine.title}, placement {curve.policy}: {what} for a {curve.target}", "bold"),
            *lines,
            *paragraph("found", _found(curve)),
        ]
    )


def _verdict(point: Point, curve: Curve) -> str:
    if not point.accepted:
        return "does not fit"
    if point == curve.found:
        return "reached, the smallest"
    return "reached" if point.reaches(curve.target) else ""


def _found(curve: Curve) -> str:
    unit = VARIED[curve.varied]
    if curve.found is None:
        fitting = [point for point in curve.grid if point.accepted]
        best = min(fitting, key=lambda point: (point.seconds, point.traffic), default=None)
        reached = f"the best is {human(best.seconds, 's')} and {human(best.traffic, 'B')}" if best else NOTHING_FITS
        return f"no {curve.varied} reaches it; {reached}"
    exactly = exact(curve.found.value, unit) if curve.varied == "size" else human(curve.found.value, unit)
    reached = f"{human(curve.found.seconds, 's')}, {human(curve.found.traffic, 'B')} of external traffic"
    return f"{exactly} suffices: {reached}; no smaller {curve.varied} of {len(curve.points)} that were tried does"
