"""How well the model predicts this computer: calibrated, then five networks measured layer by layer beside it.

Run ``python benchmarks/predictions.py`` (needs ``pip install -e '.[exec]'``); a limit that does not hold is said.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import costmodel
from costmodel import measure
from costmodel.execute.calibrate import calibrate, to_yaml
from costmodel.execute.fast import Program

NETWORKS = ("hairnet", "mobilenet_v2", "resnet18", "squeezenet", "shufflenet")

LAYER_LIMIT = 0.25  # median absolute error of a layer
TOTAL_LIMIT = 0.15  # absolute error of the total
RANK_LIMIT = 0.9  # rank correlation


def main() -> None:
    """Calibrate, measure, and print every network's verdict beside the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1, help="threads to compute on (default: 1)")
    parser.add_argument("--repeat", type=int, default=30, help="timed runs of each network (default: 30)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder, "here.yaml")
        sheet.write_text(to_yaml("here", calibrate(arguments.threads)), encoding="utf-8")
        print(sheet.read_text(encoding="utf-8"))
        machine = costmodel.machine(str(sheet))
    pairs: list[tuple[float, float]] = []
    for name in NETWORKS:
        graph = costmodel.network(name)
        simulation = costmodel.cost(graph, machine)
        program = Program(graph, patterns=machine.fuse, threads=arguments.threads)
        compiled = [step.compiled for step in program.steps]
        table = measure.measured(program.profile, program.times(arguments.repeat), compiled)
        table = measure.compared(table, simulation)
        both = zip(table["measured_seconds"], table["predicted_seconds"], strict=True)
        pairs += [(took, said) for took, said in both if said]
        verdict = measure.verdict(table)
        if verdict is None:
            continue
        holds = verdict.median_error <= LAYER_LIMIT and abs(verdict.total_error) <= TOTAL_LIMIT
        print(
            f"{name:13} measured {table.total('measured_seconds') * 1e3:7.2f} ms, "
            f"predicted {table.total('predicted_seconds') * 1e3:7.2f} ms ({verdict.total_error:+.0%}, "
            f"limit {TOTAL_LIMIT:.0%}); median error of a layer {verdict.median_error:.0%} (limit {LAYER_LIMIT:.0%}); "
            f"rank correlation {verdict.rank_correlation:.2f}: {'holds' if holds else 'does not hold'}"
        )
    rank = measure.rank_correlation(*zip(*pairs, strict=True))
    error = median(abs(said - took) / took for took, said in pairs)
    print(
        f"all {len(pairs)} layers: median error {error:.0%}, rank correlation {rank:.2f} "
        f"(limit {RANK_LIMIT}): {'holds' if rank >= RANK_LIMIT else 'does not hold'}"
    )


if __name__ == "__main__":
    main()
