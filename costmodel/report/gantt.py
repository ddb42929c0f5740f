"""Simulation -> its timeline as lines of text: a row for each layer, time from left to right."""

from collections.abc import Mapping
from typing import Final

from costmodel.report.text import GAP, Line, Span, can_draw, plain, room
from costmodel.simulate import Simulation
from costmodel.timeline import timeline
from costmodel.units import human

USUAL: Final = 100
"""Characters of a line where there is no terminal."""

LEAST: Final = 20
"""Characters of the chart."""

NOTHING, FETCH, TRANSFER, COMPUTE, BOTH = range(5)

SIGNS: Final[Mapping[bool, str]] = {True: " ░▀▄█", False: " .-=#"}
"""What stands for each of these in a terminal that draws, and in one that does not."""

WORDS: Final = {"prefetch": FETCH, "read": TRANSFER, "write": TRANSFER, "compute": COMPUTE}


def gantt(simulation: Simulation) -> list[Line]:
    """When each layer's transfers and computations run; what is short has one character all the same."""
    signs = SIGNS[can_draw()]
    tasks = [task for task in timeline(simulation).tuples() if task[2] in WORDS]
    latency = max([task[4] for task in tasks], default=0.0)
    names = [layer for layer in dict.fromkeys(simulation.layers["layer"]) if any(task[0] == layer for task in tasks)]
    width = room() or USUAL
    longest = max(map(len, names), default=0)
    label = min(longest, max(width - LEAST - 2 * len(GAP) - 8, 8))
    chart = max(width - label - 2 * len(GAP) - 8, LEAST)
    by_layer: dict[str, list[tuple[float, float, int]]] = {name: [] for name in names}
    for layer, _, what, start, end, _ in tasks:
        by_layer[layer].append((start, end, WORDS[what]))
    lines = [_head(signs, label, chart, latency)]
    for name, spans in by_layer.items():
        row = [NOTHING] * chart
        for start, end, kind in spans:
            first = min(int(start / latency * chart), chart - 1)
            for cell in range(first, min(max(int(end / latency * chart), first + 1), chart)):
                row[cell] = BOTH if {row[cell], kind} >= {TRANSFER, COMPUTE} else max(row[cell], kind)
        begin = min(start for start, _, kind in spans if kind != FETCH or len(spans) == 1)
        shown = name if len(name) <= label else f"{name[: label - 1]}…" if can_draw() else name[:label]
        lines.append(
            (
                Span(f"{shown:{label}}{GAP}{human(begin, 's'):>8}{GAP}"),
                Span("".join([signs[kind] for kind in row]).rstrip(), "cyan"),
            )
        )
    return lines


def _head(signs: str, label: int, chart: int, latency: float) -> Line:
    words = ((signs[TRANSFER], "transfer"), (signs[COMPUTE], "compute"), (signs[BOTH], "both"), (signs[FETCH], "early"))
    legend = GAP.join([f"{sign} {word}" for sign, word in words])
    end = human(latency, "s")
    return plain(f"{'layer':{label}}{GAP}{'start':>8}{GAP}{legend:{max(chart - len(end), 0)}}{end}", "bold")
