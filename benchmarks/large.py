"""How long large networks take per node, and whether that grows with their size: from the graph to the last report.

Run ``python benchmarks/large.py`` (needs ``pip install -e '.[bench]'``). The networks are a chain of 100,000 layers;
5,000 layers with skip connections, some of them long; and one whose every layer is read again at its end. Times are the
processor's, for each node; beside them is how they compare with a network of a quarter of the size: 1 is linear.
"""

import argparse
import contextlib
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import costmodel
from costmodel import guard
from costmodel.errors import CostModelError
from costmodel.exporters.onnx import assembled
from costmodel.graph import Graph, Tensor
from costmodel.memory import memory
from costmodel.ops import Add, BatchNorm, Concat, Conv, Input, Relu
from costmodel.place import POLICIES, place
from costmodel.place.check import check
from costmodel.profile import profile
from costmodel.report import formats, netron
from costmodel.report.summary import summary, warnings
from costmodel.simulate import simulate

LIMIT: Final = 60e-6
"""Seconds for each node that the graph and its profile may take together."""

GROWTH: Final = 2.0
"""How many times longer than in a network of a quarter of the size a node may take; quadratic is 4."""


def chain(layers: int) -> Tensor:
    """One layer after another."""
    x = Input((1, 8, 8, 8))()
    for number in range(layers):
        x = (Relu() if number % 2 else Conv(8, 1, bias=False))(x)
    return x


def residual(layers: int) -> Tensor:
    """Blocks of four layers and an addition; each seventh is read again at the end."""
    x, far = Input((1, 8, 8, 8))(), []
    for number in range(layers * 7 // 36):
        inner = Relu()(BatchNorm()(Conv(8, 3, pads=1)(x)))
        x = Add()(x, Conv(8, 1)(inner))
        if number % 7 == 0:
            far.append(x)
    for early in far:
        x = Add()(x, early)
    return x


def collected(layers: int) -> Tensor:
    """A chain whose every layer lives to the end, where one layer reads them all."""
    made = [Input((1, 8, 8, 8))()]
    for _ in range(layers):
        made.append(Relu()(made[-1]))
    return Concat()(*made)


NETWORKS: Final[dict[str, tuple[Callable[[int], Tensor], int]]] = {
    "chain": (chain, 100_000),
    "residual": (residual, 5_000),
    "collected": (collected, 20_000),
}


def stages(make: Callable[[int], Tensor], layers: int) -> Iterator[tuple[str, float]]:
    """The name of each stage and its seconds for each node."""
    last, nodes = time.process_time(), 1

    def taken(stage: str) -> tuple[str, float]:
        nonlocal last
        now = time.process_time()
        seconds = (now - last) / nodes
        gc.collect()
        last = time.process_time()
        return stage, seconds

    machine = costmodel.machine("paper-2012")
    graph = Graph(make(layers), "large")
    nodes = len(graph.nodes)
    yield taken("graph")
    needs = profile(graph)
    yield taken("profile")
    needs = profile(graph, patterns=machine.fuse)
    yield taken("profile, fused")
    placements = {}
    for policy in sorted({*POLICIES} - {"optimal"}):  # a proof takes the time that it takes
        with contextlib.suppress(CostModelError):  # tiles are not searched for where all maps wait to the end
            placements[policy] = place(needs, machine, policy)
        yield taken(f"place by {policy}")
    for policy, placement in placements.items():
        check(needs, machine, placement)
        yield taken(f"check {policy}")
    run = simulate(needs, place(needs, machine), machine)
    yield taken("simulate")
    request = guard.Request("large", {}, "paper-2012")
    before = guard.take(request, run)
    guard.to_text([before])
    yield taken("snapshot")
    moved = [{**row, "layer": f"new.{row['layer']}", "macs": row["macs"] + 1} for row in before.rows]
    guard.compare(before, guard.Snapshot(request, moved), guard.tolerances([]))
    yield taken("check, all renamed")
    formats.to_csv(run.layers)
    formats.to_json(run, run.layers, warnings(run))
    summary(run)
    yield taken("CSV, JSON, summary")
    memory(graph, machine.fuse)
    yield taken("memory")
    netron.attachment(graph, run, machine.fuse, written=True)
    yield taken("metrics")
    graph.replay(batch=2)
    yield taken("replay")
    model = assembled(graph)
    yield taken("to ONNX")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.onnx")
        file.write_bytes(model.SerializeToString())
        taken("")
        costmodel.network(str(file))
        yield taken("from ONNX")


def main() -> None:
    """Time every stage of every network; the exit code is 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", type=float, default=1.0, help="make the networks smaller by this factor (default: 1)")
    arguments = parser.parse_args()
    late = []
    for name, (make, layers) in NETWORKS.items():
        size = int(layers * arguments.part)
        small, large = (dict(stages(make, count)) for count in (size // 4, size))
        print(f"{name} of {size} layers")
        for stage, seconds in large.items():
            growth = seconds / small[stage]
            print(f"    {stage:20} {seconds * 1e6:7.2f} us per node; {growth:4.1f} times that of a quarter of the size")
            if growth > GROWTH and seconds > LIMIT / 10:
                late.append(f"{name}: {stage} grows {growth:.1f} times")
        both = large["graph"] + large["profile"]
        print(f"    graph and profile    {both * 1e6:7.2f} us per node (limit {LIMIT * 1e6:.0f} us)")
        if both > LIMIT:
            late.append(f"{name}: graph and profile take {both * 1e6:.0f} us per node")
    for line in late:
        print(line, file=sys.stderr)
    raise SystemExit(bool(late))


if __name__ == "__main__":
    main()
