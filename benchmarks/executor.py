"""How fast networks run: the compiled program against ONNX Runtime, onnx.reference and the machine's own limits.

Run ``python benchmarks/executor.py`` (needs ``pip install -e '.[exec,bench]'``). All sides run the same weights on the
same input, by turns, each time after a run of their own that does not count; their outputs are compared. A time is the
best of all runs, beside it the median: give a busy machine more ``--seconds``, and read its best times.
"""

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, Final, NamedTuple

from main_job import seconds

import costmodel
from costmodel.graph import Graph, Input

try:
    import numpy as np
    import onnxruntime
    from onnx.reference import ReferenceEvaluator
    from threadpoolctl import threadpool_limits

    from costmodel.execute.fast import Program
    from costmodel.execute.weights import seeded_input, seeded_weights
    from costmodel.exporters.onnx import model
except ModuleNotFoundError as missing:
    print(f"{Path(__file__).name} needs {missing.name}: pip install -e '.[exec,bench]'", file=sys.stderr)
    raise SystemExit(2) from None

NETWORKS: Final = {"hairnet": 1.5, "mobilenet_v2": 1.5, "shufflenet": 1.5, "resnet18": 2.0, "squeezenet": 2.0}
"""Network -> at most this many times ONNX Runtime's time."""

NAIVE: Final = "mobilenet_v2"
NAIVE_RATIO: Final = 20.0  # times faster than onnx.reference
MATRIX_SHARE: Final = 0.8  # of the matrix peak, in pointwise convolutions
COPY_SHARE: Final = 0.5  # of the copy bandwidth, in depthwise convolutions and pools that memory bounds
LARGE: Final = 1 << 21  # bytes of the maps of a layer that memory bounds: more than a second-level cache holds
LARGEST: Final = "vgg16"
MEMORY_RATIO: Final = 1.3  # times weights and arena
TOLERANCE: Final = 1e-4  # of the largest output

BOUT: Final = 4  # timed runs of one side before it is the other's turn
REST: Final = 0.05  # seconds before a turn: the other side's threads go on looking for work for a while
CLASSES: Final = ("pointwise", "window", "depthwise", "pool", "elementwise", "linear", "other")
MATRIX: Final = 1024  # rows and columns of the product that measures the matrix peak
BLOCK: Final = 1 << 27  # bytes of the copy that measures the memory
ELEMENTWISE: Final = ("BatchNorm", "Add", "Mul", "Relu", "Relu6", "Sigmoid")


class Row(NamedTuple):
    """One measured thing; a limit is the largest value that is good, or the smallest where ``least`` is set."""

    threads: int
    network: str
    what: str
    best: float = 0.0  # seconds
    median: float = 0.0
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the value is within the limit."""
        if self.limit is None or self.value is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit


class Machine(NamedTuple):
    """What the computer reaches at most: operations and bytes per second."""

    peak: float
    copy: float


def classes(program: Program) -> list[str]:
    """The class of each of a program's kernels."""
    layers = program.profile.layers
    found = []
    for row, operators in enumerate(layers["operator"]):
        kind = operators.partition("+")[0]
        if kind == "Conv" and layers["kernel_height"][row] == layers["kernel_width"][row] == 1:
            found.append("pointwise")
        elif kind == "Conv":
            found.append("depthwise" if layers["filters"][row] == 1 < layers["groups"][row] else "window")
        elif kind.endswith("Pool"):
            found.append("pool")
        else:
            found.append("elementwise" if kind in ELEMENTWISE else "linear" if kind == "Linear" else "other")
    return found


def limits_of(threads: int) -> dict[str, Callable[[], float]]:
    """One run each, in seconds, of the product and of the copy that show what the machine reaches.

    The threads share the work without waiting for each other, so that only the machine can slow them.
    """
    a, b, c = (np.ones((threads, MATRIX, MATRIX), np.float32) for _ in range(3))
    x, y = (np.ones((threads, BLOCK // 8 // threads), np.float32) for _ in range(2))
    pool = ThreadPoolExecutor(threads)

    def product() -> float:
        with threadpool_limits(1, user_api="blas"):
            return seconds(lambda: list(pool.map(np.matmul, a, b, c)))

    return {"product": product, "copy": lambda: seconds(lambda: list(pool.map(np.copyto, y, x)))}


def session(graph: Graph, weights: Any, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime's form of a network."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(
        model(graph, weights).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def agree(name: str, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """Stop if two sides do not compute the same."""
    for mine, other in zip(ours, theirs, strict=True):
        off = float(np.abs(mine - other).max() / np.abs(other).max())
        if not off <= TOLERANCE:
            raise SystemExit(f"{name}: outputs are {off:.2g} of their largest value apart")


def inputs_of(graph: Graph) -> dict[str, Any]:
    """A network's seeded inputs by name."""
    names = [name for name, node in graph.nodes.items() if isinstance(node.op, Input)]
    return {name: seeded_input(tensor, n, 0) for n, (name, tensor) in enumerate(zip(names, graph.inputs, strict=True))}


class Race:
    """One network on some threads: the program, its peer, and the machine itself, run by turns."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads, self.graph = name, threads, costmodel.network(name)
        self.weights = {key: seeded_weights(key, node, 0) for key, node in self.graph.nodes.items() if node.inputs}
        self.inputs = inputs_of(self.graph)
        self.program = Program(self.graph, self.weights, threads=threads)
        self.session = session(self.graph, self.weights, threads)
        agree(name, self.ours(), self.theirs())
        self._compare_before_softmax()

    def _compare_before_softmax(self) -> None:
        """A softmax may hide what differs: compare what goes into it."""
        last = self.graph.outputs[0].node
        while last.op.kind in ("Softmax", "Flatten"):
            last = last.inputs[0].node
        graph = Graph(last.outputs[0], self.name)
        ours = Program(graph, self.weights, threads=self.threads).run(list(self.inputs.values()))
        agree(self.name, ours, session(graph, self.weights, self.threads).run(None, self.inputs))

    def ours(self) -> Any:
        """The program's outputs."""
        return self.program.run(list(self.inputs.values()))

    def theirs(self) -> Any:
        """ONNX Runtime's outputs."""
        return self.session.run(None, self.inputs)

    def run(self, lasting: float, machine: dict[str, Callable[[], float]], best: dict[str, float]) -> list[Row]:
        """All rows of the race but those of its classes; ``best`` keeps the machine's best times."""
        ours: list[float] = []
        theirs: list[float] = []
        layers: list[tuple[float, ...]] = []
        gc.collect()
        end = perf_counter() + lasting
        while not ours or perf_counter() < end:
            for run, times in ((self.theirs, theirs), (self.ours, ours)):
                sleep(REST)
                run()
                times += [seconds(run) for _ in range(BOUT)]
            layers += zip(*self.program.times(BOUT, list(self.inputs.values())), strict=True)
            for what, measure in machine.items():
                best[what] = min(best[what], measure())
        ratio = min(ours) / min(theirs)
        rows = [
            Row(self.threads, self.name, "costmodel", min(ours), median(ours)),
            Row(self.threads, self.name, "onnxruntime", min(theirs), median(theirs)),
            Row(self.threads, self.name, "costmodel / onnxruntime", value=ratio, unit="x", limit=NETWORKS[self.name]),
        ]
        if self.name == NAIVE and self.threads == 1:
            rows += self._naive(min(ours))
        self.layers = list(zip(*layers, strict=True))
        return rows

    def _naive(self, ours: float) -> list[Row]:
        evaluator = ReferenceEvaluator(model(self.graph, self.weights))
        outputs: list[Any] = []
        taken = seconds(lambda: outputs.extend(evaluator.run(None, self.inputs)))
        agree(self.name, self.ours(), outputs)
        row = Row(self.threads, self.name, "onnx.reference / costmodel", value=taken / ours, unit="x")
        return [
            Row(self.threads, self.name, "onnx.reference", taken, taken),
            row._replace(limit=NAIVE_RATIO, least=True),
        ]

    def by_class(self, machine: Machine) -> list[Row]:
        """The layers' times by class, and what they reach of the machine's limits."""
        table, kinds, rows = self.program.profile.layers, classes(self.program), []
        for kind in CLASSES:
            here = [row for row, other in enumerate(kinds) if other == kind]
            if not here:
                continue
            rounds = [sum(times) for times in zip(*(self.layers[row] for row in here), strict=True)]
            row = Row(self.threads, self.name, f"  {kind} ({len(here)})", min(rounds), median(rounds))
            work = 2 * sum(table["macs"][row] for row in here)
            if kind in ("pointwise", "window"):
                share = work / min(rounds) / machine.peak
                least = MATRIX_SHARE if kind == "pointwise" else None
                row = row._replace(value=100 * share, unit="% of matrix peak", limit=least and 100 * least, least=True)
            rows.append(row)
            if kind in ("depthwise", "pool"):
                moved = {n: table["input_bytes"][n] + table["output_bytes"][n] for n in here}
                large = [n for n in here if moved[n] > LARGE]
                if large:
                    times = sum(min(self.layers[n]) for n in large)
                    share = sum(moved[n] for n in large) / times / machine.copy
                    what = f"    of them bound by memory ({len(large)})"
                    row = Row(self.threads, self.name, what, times, sum(median(self.layers[n]) for n in large))
                    rows.append(row._replace(value=100 * share, unit="% of copy", limit=100 * COPY_SHARE, least=True))
        return rows


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hold(name: str, runs: int) -> None:
    """In a process of its own: print what a program makes the process grow by, at first and by running on."""
    graph = costmodel.network(name)
    Program(costmodel.network("lenet5")).run()
    gc.collect()
    before = resident()
    program = Program(graph)
    program.run()
    gc.collect()
    after = resident()
    for _ in range(runs):
        program.run()
    gc.collect()
    needed = program.profile.layers.total("weight_bytes") + program.arena.nbytes
    print(json.dumps({"grown": after - before, "needed": needed, "later": resident() - after}))


def memory(runs: int) -> list[Row]:
    """What the largest network keeps in memory."""
    command = [sys.executable, __file__, "--hold", LARGEST, "--runs", str(runs)]
    held = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ratio = held["grown"] / held["needed"]
    grown = f"grown / weights + arena ({held['grown'] / 1e6:.0f} / {held['needed'] / 1e6:.0f} MB)"
    return [
        Row(1, LARGEST, grown, value=ratio, unit="x", limit=MEMORY_RATIO),
        Row(1, LARGEST, f"grown in {runs} runs more", value=held["later"] / 1e6, unit="MB", limit=1.0),
    ]


def show(row: Row) -> None:
    """One line of the table."""
    times = " ".join(f"{time * 1e3:10.2f}" if time else " " * 10 for time in (row.best, row.median))
    value = "" if row.value is None else f"{row.value:8.2f} {row.unit}"
    limit = "" if row.limit is None else f"{'at least' if row.least else 'at most'} {row.limit:g}"
    verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[row.holds]
    print(
        f"{row.threads:7} {row.network:14} {row.what:36} {times} {value:26} {limit:13} {verdict}".rstrip(), flush=True
    )


def main() -> None:
    """Run all races and print what came out beside the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", default=[*NETWORKS], help=f"of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each network races (default: 10)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--runs", type=int, default=100, help=f"runs of {LARGEST} that must not grow; 0: skip it")
    parser.add_argument("--csv", type=Path, help="write the table to this file")
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hold:
        hold(arguments.hold, arguments.runs)
        return
    if unknown := set(arguments.networks) - {*NETWORKS}:
        parser.error(f"no limits for {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")

    print(f"{'threads':>7} {'network':14} {'what':36} {'best ms':>10} {'median ms':>10}    value")
    rows: list[Row] = []
    for threads in arguments.threads:
        machine_runs = limits_of(threads)
        best = dict.fromkeys(machine_runs, float("inf"))
        races = [Race(name, threads) for name in arguments.networks]
        results = [race.run(arguments.seconds, machine_runs, best) for race in races]
        machine = Machine(2 * threads * MATRIX**3 / best["product"], BLOCK / best["copy"])
        found = [
            Row(threads, "-", "matrix peak", best["product"], value=machine.peak / 1e9, unit="GFLOP/s"),
            Row(threads, "-", "copy, read and written", best["copy"], value=machine.copy / 1e9, unit="GB/s"),
        ]
        for race, made in zip(races, results, strict=True):
            found += [*made, *race.by_class(machine)]
        for row in found:
            show(row)
        rows += found
    if arguments.runs:
        found = memory(arguments.runs)
        for row in found:
            show(row)
        rows += found
    broken = [row for row in rows if row.holds is False]
    print(f"{sum(row.holds is True for row in rows)} limits hold, {len(broken)} do not")
    if arguments.csv:
        with arguments.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*Row._fields, "holds"])
            writer.writerows([[*row._replace(what=row.what.strip()), row.holds] for row in rows])


if __name__ == "__main__":
    main()
