"""This computer x threads -> a machine file: what its kernels and its memories reach, measured.

Each class of kernels is measured on layers of several shapes, taken from real networks, through the same
:class:`~costmodel.execute.fast.Program` that runs them; memories by reading, writing and copying blocks that fit into
each level. Of each the fastest run counts, and a class's peak is the median over its shapes.
"""

import platform
import re
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.execute.fast import PATTERNS, Program, instructions
from costmodel.execute.fast.instructions import Instruction
from costmodel.execute.fast.vectors import address
from costmodel.execute.fast.workers import Workers
from costmodel.graph import Graph, Input, Op, Tensor
from costmodel.ops import Add, BatchNorm, Conv, MaxPool, Relu
from costmodel.units import exact

REPEAT: Final = 15
"""Timed runs of each layer."""

# (channels, size, filters) of pointwise convolutions; (channels, size, filters, kernel, stride) of others
POINTWISE: Final = [
    (16, 112, 96),
    (24, 56, 144),
    (144, 56, 24),
    (192, 28, 32),
    (256, 28, 256),
    (64, 14, 384),
    (512, 14, 512),
    (320, 7, 1280),
]
WINDOW: Final = [
    (3, 224, 32, 3, 1),
    (3, 224, 64, 7, 2),
    (64, 56, 64, 3, 1),
    (128, 28, 128, 3, 1),
    (48, 27, 192, 3, 1),
    (512, 7, 512, 3, 1),
]
DEPTHWISE: Final = [(32, 112, 1), (96, 112, 2), (144, 56, 1), (192, 28, 1), (256, 28, 2), (384, 14, 1), (960, 7, 1)]
POOLS: Final = [(32, 224, 2, 2), (64, 112, 3, 2), (96, 111, 3, 2), (256, 27, 3, 2)]
VECTOR: Final = [(32, 112), (96, 56), (256, 28), (512, 14)]


class Level(NamedTuple):
    """A memory: its name, its size in bytes (None for the last), and bytes per second read, written and copied."""

    name: str
    size: int | None
    rates: tuple[float, float, float]


class Calibration(NamedTuple):
    """What was measured: operations per second by class, the memories, and the seconds of an empty layer."""

    peaks: dict[str, float]
    levels: list[Level]
    overhead: float
    threads: int


Tick = Callable[[str], None]


def calibrate(threads: int = 1, tick: Tick = lambda _: None) -> Calibration:
    """Measure this computer; ``tick`` is told what has just been measured, :data:`STEPS` times."""
    overhead = _overhead(threads)
    tick("overhead")
    peaks = {}
    for name, layers in _layers().items():
        rates = []
        for layer in layers:
            rates.append(_rate(layer, threads, overhead))
            tick(name)
        peaks[name] = median(rates)
    levels = []
    for name, size, block in _blocks(threads):
        levels.append(Level(name, size, _bandwidth(block, threads)))
        tick(name)
    return Calibration(peaks, levels, overhead, threads)


def _layers() -> dict[str, list[Graph]]:
    """The layers that stand for each class of kernels."""
    return {
        "pointwise": [_graph(c, s, Conv(f, 1, bias=False)) for c, s, f in POINTWISE],
        "window": [_graph(c, s, Conv(f, k, stride, k // 2, bias=False)) for c, s, f, k, stride in WINDOW],
        "depthwise": [_graph(c, s, Conv(c, 3, stride, 1, groups=c, bias=False)) for c, s, stride in DEPTHWISE],
        "pools": [_graph(c, s, MaxPool(k, stride)) for c, s, k, stride in POOLS],
        "vector": [_graph(c, s, BatchNorm(), Relu()) for c, s in VECTOR],
    }


STEPS: Final = 1 + len(POINTWISE) + len(WINDOW) + len(DEPTHWISE) + len(POOLS) + len(VECTOR) + 3
"""How often ``tick`` is called at most."""


def _graph(channels: int, size: int, *ops: Op) -> Graph:
    x: Tensor = Input((1, channels, size, size))()
    for op in ops:
        x = op(x)
    return Graph(x, "layer")


def _rate(graph: Graph, threads: int, overhead: float) -> float:
    """Operations per second of a network's only kernel, in its fastest run; at least half of that is its own work."""
    program = Program(graph, threads=threads)
    operations = 2 * program.profile.layers.total("macs") + program.profile.layers.total("elementwise")
    seconds = min(program.times(REPEAT)[0])
    return float(operations / max(seconds - overhead, seconds / 2))


def _overhead(threads: int) -> float:
    """The time of a layer that has next to nothing to do."""
    x = Input((1, 8, 2, 2))()
    y = x
    for _ in range(20):
        y = Add()(x, y)
    times = Program(Graph(y, "overhead"), threads=threads).times(REPEAT)
    return median(min(layer) for layer in times)


def _blocks(threads: int) -> Iterable[tuple[str, int | None, int]]:
    """The caches from the second level on and the memory behind them: name, size, and the block that measures it."""
    sizes = caches()
    for level, size in sorted(sizes.items()):
        if level > 1:
            shared = size * (threads if level == 2 else 1)
            yield f"L{level}", shared, shared // 2
    yield "memory", None, 8 * max([*sizes.values(), 1 << 24])


def caches() -> dict[int, int]:
    """Level -> bytes of the data caches that the first core sees; 1 MiB and 16 MiB where the system does not say."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        number = re.fullmatch(r"(\d+)K", size)
        if kind != "Instruction" and number:
            found[int(level)] = int(number.group(1)) * 1024
    return found or {2: 1 << 20, 3: 1 << 24}


def _bandwidth(block: int, threads: int) -> tuple[float, float, float]:
    """Bytes per second read, written and (both ways) copied within a block."""
    both = np.ones(2 * max(block // 8, 1024), np.float32)
    x, y = np.split(both, 2)
    sums = np.empty(threads, np.float32)
    rounds = max(1, (1 << 24) // both.nbytes)

    def best(kernel: Callable[..., None], array: Array, *others: Array) -> float:
        each = -(-array.size // threads)
        numbers = (address(array), array.size, *map(address, others), each)
        workers = Workers([Instruction(kernel, threads, numbers)] * rounds, threads)
        times = []
        for _ in range(5):
            before = perf_counter()
            with workers:
                workers.run(0, rounds)
            times.append((perf_counter() - before) / rounds)
        return both.nbytes / min(times)

    return (
        best(instructions.read, both, sums),
        best(instructions.write, both),
        best(instructions.copy, x, y),
    )


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


RUNS: Final = {
    "pointwise": "[Conv pointwise, Linear, MatMul]",
    "window": "[Conv]",
    "depthwise": "[Conv depthwise]",
    "pools": "[MaxPool, AveragePool, GlobalAveragePool]",
    "vector": "rest",
}


def to_yaml(name: str, measured: Calibration, today: date | None = None) -> str:
    """A machine file that says what was measured, when and on what."""
    threads = f"{measured.threads} thread" + ("s" if measured.threads > 1 else "")
    when = (today or date.today()).isoformat()  # noqa: DTZ011 - the user's day
    lines = [
        "# Written by costmodel calibrate: what the kernels of costmodel run reach on one computer.",
        f"name: {name}",
        f'source: "measured on {when} on {processor()}, {threads}"',
        "engines:",
    ]
    for kind, peak in measured.peaks.items():
        lines.append(f"  {kind}: {{peak: {_round(peak, 'OP/s')}, runs: {RUNS[kind]}}}")
    lines.append("memories: # nearest first; a rate is that of copying, both ways")
    for level in measured.levels:
        size = "inf" if level.size is None else exact(level.size, "B")
        read, written, copied = (_round(rate, "B/s") for rate in level.rates)
        lines.append(f'  {level.name}: {{size: {size}, bandwidth: {copied}, source: "read {read}, written {written}"}}')
    patterns = ", ".join(f"[{', '.join(pattern)}]" for pattern in PATTERNS)
    lines += [
        f"fuse: [{patterns}]",
        "overlap: layer # caches deliver while engines compute",
        f"overhead: {_round(measured.overhead, 's')} # to start a layer",
        "placement: reuse # a tensor is found in the nearest cache that held all that was touched since",
    ]
    return "\n".join(lines) + "\n"


def _round(value: float, unit: str) -> str:
    """Three digits: a measurement is no better."""
    return exact(float(f"{value:.3g}"), unit)
