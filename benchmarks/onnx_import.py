"""How long an ONNX file takes, warm: parse, make the graph, profile it; beside onnx-tool on the same file.

Run ``python benchmarks/onnx_import.py`` (needs ``pip install -e '.[bench]'``). The files are the weightless models
inside the onnx package. Times are the processor's, the least of several runs, so that a busy machine shows less.
"""

import argparse
import contextlib
import gc
import io
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_tool

import costmodel
from costmodel.profile import profile

LIMITS = {"resnet50": 25e-3}  # seconds

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def ours(file: Path) -> None:
    """Read and profile a file."""
    profile(costmodel.network(str(file)))


def theirs(file: Path) -> None:
    """Have onnx-tool do the same."""
    with contextlib.redirect_stdout(io.StringIO()):
        graph = onnx_tool.Model(str(file)).graph
        graph.shape_infer()
        graph.profile()


def least(run: Callable[[Path], None], file: Path, runs: int) -> float:
    """The least processor time of several runs, after one that does not count."""
    times = []
    for _ in range(runs + 1):
        gc.collect()
        start = time.process_time()
        run(file)
        times.append(time.process_time() - start)
    return min(times[1:])


def main() -> None:
    """Time every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10, help="runs per file (default: 10)")
    arguments = parser.parse_args()
    gc.freeze()  # what the imports made is nobody's garbage
    for file in sorted(LIGHT.glob("*.onnx")):
        own, other = (least(run, file, arguments.runs) for run in (ours, theirs))
        limit = LIMITS.get(file.stem.removeprefix("light_"))
        stated = f" (limit {limit * 1e3:.0f} ms)" if limit else ""
        print(f"{file.stem:20} {own * 1e3:6.1f} ms{stated}; onnx-tool {other * 1e3:6.1f} ms; ratio {own / other:.2f}")


if __name__ == "__main__":
    main()
