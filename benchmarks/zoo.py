"""How long networks of the zoo take: warm against onnx-tool on the same network, and all of them in one process.

Run ``python benchmarks/zoo.py`` (needs ``pip install -e '.[bench]'``). Warm means: build and profile here; there, load
the ONNX file, infer its shapes, profile it. Ratios are medians over pairs timed in turn, ours over theirs.
"""

import argparse
import contextlib
import gc
import io
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from main_job import process, seconds

import costmodel
from costmodel.counting.tools import CONVENTIONS
from costmodel.profile import profile

try:
    import onnx
    import onnx_tool
except ModuleNotFoundError as missing:
    print(f"{Path(__file__).name} needs {missing.name}: pip install -e '.[bench]'", file=sys.stderr)
    raise SystemExit(2) from None

WARM_LIMITS = {"resnet50": 5e-3, "densenet121": 12e-3, "nasnet_a_mobile": 40e-3}  # seconds
PROCESS_LIMIT = 1.5  # seconds

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
JOB = ["compare", "all", "--hw", "paper-2012"]


def ours(name: str) -> None:
    """Build a network and profile it."""
    profile(costmodel.network(name))


def theirs(file: Path) -> Any:
    """Have onnx-tool read a model, infer its shapes and profile it; its graph."""
    with contextlib.redirect_stdout(io.StringIO()):
        graph = onnx_tool.Model(str(file)).graph
        graph.shape_infer()
        graph.profile()
    return graph


def seen_by_us(name: str) -> tuple[int, int, int]:
    """What our network's convolutions and matrices learn, onnx-tool's number for them by its rules, and for all."""
    layers = profile(costmodel.network(name), CONVENTIONS["onnx-tool"]).layers
    products = layers.take([row for row, kind in enumerate(layers["operator"]) if kind in ("Conv", "Linear")])
    return products.total("parameters"), products.total("counted"), layers.total("counted")


def seen_by_onnx_tool(graph: Any) -> tuple[int, int, int]:
    """The same of a graph that onnx-tool has profiled."""
    products = [node for node in graph.nodemap.values() if node.op_type in ("Conv", "Gemm")]
    shapes = [graph.tensormap[name].get_shape() for node in products for name in node.input[1:]]
    learned = sum(onnx_tool.tensor.volume(shape) for shape in shapes)
    return learned, int(sum(node.macs[0] for node in products)), int(graph.macs[0])


def in_turn(pairs: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[list[float], list[float]]:
    """The times of two runs, taken by turns after one of each that does not count."""
    times = [(first(), second()) for _ in range(pairs + 1)][1:]
    return [time for time, _ in times], [time for _, time in times]


def warm(run: Callable[[], object]) -> float:
    """Wall time of one call that starts without the other side's garbage."""
    gc.collect()
    return seconds(run)


def ratio(times: list[float], others: list[float]) -> float:
    """The median ratio over the pairs."""
    return statistics.median(own / other for own, other in zip(times, others, strict=True))


def shown(times: list[float]) -> str:
    """``median 5.2 ms, best 5.0 ms``."""
    return f"median {statistics.median(times) * 1e3:.1f} ms, best {min(times) * 1e3:.1f} ms"


def race(name: str, title: str, file: Path, pairs: int, *, whole: bool) -> None:
    """Check that both sides see the same network, ``whole`` or its products, time them, and print what came out."""
    here, there = seen_by_us(name), seen_by_onnx_tool(theirs(file))
    if here[:2] != there[:2] or (whole and here != there):
        raise SystemExit(f"{name}: {here} here and {there} in {title}; see seen_by_us")
    times, others = in_turn(pairs, partial(warm, partial(ours, name)), partial(warm, partial(theirs, file)))
    print(f"{name} against onnx-tool on {title}")
    print(f"    costmodel: {shown(times)} (limit {WARM_LIMITS[name] * 1e3:.0f} ms)")
    print(f"    onnx-tool: {shown(others)}; ratio {ratio(times, others):.2f}")
    print(f"    same network: {here[0]} parameters in convolutions and matrices, which onnx-tool counts as {here[1]}")
    print(f"    onnx-tool's number for all operators: {there[2]}; by its rules on ours: {here[2]}")


def main() -> None:
    """Time the networks warm, then the whole zoo as a process, and print both beside their limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=20, help="pairs of warm runs per network (default: 20)")
    parser.add_argument("--processes", type=int, default=10, help="pairs of processes (default: 10)")
    arguments = parser.parse_args()

    gc.freeze()  # what the imports made is nobody's garbage
    with tempfile.TemporaryDirectory() as folder:
        for name in WARM_LIMITS:
            file = Path(folder, f"{name}.onnx")
            onnx.save(costmodel.to_onnx(costmodel.network(name)), file)
            race(name, "the same graph as ONNX", file, arguments.pairs, whole=True)
            light = LIGHT / f"light_{name}.onnx"
            # Its products are ours, its other operators are not: ResNet's last pool is an AveragePool, DenseNet's gamma
            # and beta are a Mul and an Add behind each batch norm, and DenseNet has no softmax.
            if light.exists():
                race(name, f"{light.name} of the onnx package", light, arguments.pairs, whole=False)

    script = Path(sys.executable).with_name("costmodel")
    job, numpy = [str(script), *JOB], [sys.executable, "-c", "import numpy"]
    times, others = in_turn(arguments.processes, partial(process, *job), partial(process, *numpy))
    print(f"costmodel {' '.join(JOB)}, as a process")
    print(f"    costmodel: {shown(times)} (limit {PROCESS_LIMIT * 1e3:.0f} ms)")
    print(f"    python -c 'import numpy': {shown(others)}; ratio {ratio(times, others):.2f}")


if __name__ == "__main__":
    main()
