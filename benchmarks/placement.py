"""How long placements take: ``liveness`` warm on NASNet-A mobile, ``tiled`` and ``optimal`` on the whole zoo.

Run ``python benchmarks/placement.py`` (needs ``pip install -e '.[solve]'``). Times are those of the policy alone, on a
profile that is there already; of ``optimal`` the solver's import is left out. It exits with 1 beyond a limit.
"""

import argparse
import sys
from functools import partial

from main_job import seconds

import costmodel
from costmodel import zoo
from costmodel.place import place
from costmodel.place.placement import Options
from costmodel.profile import profile

GREEDY, GREEDY_LIMIT = "nasnet_a_mobile", 0.05  # seconds
TILED_LIMIT = 2.0  # seconds
OPTIMAL_LIMIT = 60.0  # seconds


def main() -> int:
    """Time the policies and print them beside their limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=30, help="warm runs of liveness (default: 30)")
    arguments = parser.parse_args()
    machine = costmodel.machine("paper-2012")
    needs = {name: profile(costmodel.network(name), patterns=machine.fuse) for name in zoo.names()}

    greedy = min(seconds(partial(place, needs[GREEDY], machine, "liveness")) for _ in range(arguments.runs))
    print(f"liveness: {GREEDY}: best {greedy * 1e3:.1f} ms (limit {GREEDY_LIMIT * 1e3:.0f} ms)")
    place(needs["lenet5"], machine, "optimal")  # imports the solver
    late = greedy > GREEDY_LIMIT
    for name, of in needs.items():
        took = seconds(partial(place, of, machine, "tiled"))
        print(f"tiled: {name}: {took:.3f} s (limit {TILED_LIMIT:.0f} s)")
        late = late or took > TILED_LIMIT
    for steady in (False, True):
        for name, of in needs.items():
            options = Options(steady_state=steady, seconds=OPTIMAL_LIMIT)
            took = seconds(partial(place, of, machine, "optimal", options))
            how = ", image after image" if steady else ""
            print(f"optimal: {name}{how}: {took:.3f} s (limit {OPTIMAL_LIMIT:.0f} s)")
            late = late or took > OPTIMAL_LIMIT * 1.1
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
