"""How long an ONNX file takes: warm to parse, make the graph and profile it, and as a process; beside onnx-tool.

Run ``python benchmarks/onnx_import.py`` (needs ``pip install -e '.[bench]'``). The files are the weightless models
inside the onnx package. Times are the processor's, the least of several runs, so that a busy machine shows less.
"""

import argparse
import contextlib
import gc
import io
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_tool

import costmodel
from costmodel.profile import profile

LIMITS = {"resnet50": 25e-3}  # seconds
PROCESS_LIMIT = 1.2  # seconds, of every file

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


def process(*command: str) -> float:
    """The processor time of one process from start to exit."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processes(file: Path, pairs: int) -> tuple[float, float]:
    """The least time of a process of ours and of one of theirs, run in turn."""
    script = Path(sys.executable).with_name("costmodel")
    own = [str(script), "profile", str(file), "--hw", "paper-2012"]
    other = [sys.executable, "-c", f"import onnx_tool; onnx_tool.model_profile({str(file)!r})"]
    times = [(process(*own), process(*other)) for _ in range(pairs)]
    ours_, theirs_ = zip(*times, strict=True)
    return min(ours_), min(theirs_)


def main() -> None:
    """Time every file; the exit code is 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10, help="runs per file (default: 10)")
    parser.add_argument("--processes", type=int, default=3, help="processes per file (default: 3)")
    arguments = parser.parse_args()
    gc.freeze()  # what the imports made is nobody's garbage
    late = False
    for file in sorted(LIGHT.glob("*.onnx")):
        own, other = (least(run, file, arguments.runs) for run in (ours, theirs))
        limit = LIMITS.get(file.stem.removeprefix("light_"), float("inf"))
        stated = f" (limit {limit * 1e3:.0f} ms)" if limit < float("inf") else ""
        print(f"{file.stem:20} {own * 1e3:6.1f} ms{stated}; onnx-tool {other * 1e3:6.1f} ms; ratio {own / other:.2f}")
        cold, other = processes(file, arguments.processes)
        print(f"{'':20} as a process {cold:.2f} s (limit {PROCESS_LIMIT} s); onnx-tool {other:.2f} s")
        late |= own > limit or cold > PROCESS_LIMIT
    raise SystemExit(late)


if __name__ == "__main__":
    main()
