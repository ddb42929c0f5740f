"""How long the main job takes: as a process against ``import numpy``, and warm inside one process.

Run ``python benchmarks/main_job.py``; ratios are medians over pairs timed in turn, so that a machine whose speed drifts
slows both sides alike.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import costmodel

PROCESS_LIMIT = 2.5  # times "import numpy"
WARM_LIMIT = 3e-3  # seconds

JOB = ["profile", "hairnet", "--hw", "paper-2012"]


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def process(*command: str) -> float:
    """Wall time of one process from start to exit, its output read through a pipe."""
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    """Time both and print them beside their limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=20, help="pairs of processes (default: 20)")
    parser.add_argument("--runs", type=int, default=300, help="warm runs in one process (default: 300)")
    arguments = parser.parse_args()

    script = Path(sys.executable).with_name("costmodel")
    job, numpy = [str(script), *JOB], [sys.executable, "-c", "import numpy"]
    process(*job), process(*numpy)  # the first runs compile and fill the file cache
    pairs = [(process(*job), process(*numpy)) for _ in range(arguments.pairs)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"process: costmodel {' '.join(JOB)}: {ours * 1e3:.0f} ms; python -c 'import numpy': {theirs * 1e3:.0f} ms")
    print(f"         ratio {ratio:.2f} (limit {PROCESS_LIMIT})")

    machine = costmodel.machine("paper-2012")
    warm = [seconds(lambda: costmodel.cost("hairnet", machine)) for _ in range(arguments.runs)][10:]
    median, best = statistics.median(warm), min(warm)
    print(f"warm:    build + profile + place + simulate: median {median * 1e3:.2f} ms, best {best * 1e3:.2f} ms")
    print(f"         (limit {WARM_LIMIT * 1e3:.0f} ms)")


if __name__ == "__main__":
    main()
