"""Program x Simulation -> what each layer took beside what the model predicted, and how good the prediction is."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from costmodel.simulate import Simulation
from costmodel.table import Column, Table

if TYPE_CHECKING:
    from costmodel.profile import Profile

MEASURED: Final = (
    Column("layer", str, "", "the kernel's name: block and node, fused nodes joined by +"),
    Column("operator", str, "", "operators in the order they run, fused ones joined by +"),
    Column("output_shape", str, "", "shape of each result"),
    Column("macs", int, "MAC", "multiply-accumulates", "sum"),
    Column("kernel", str, "", "compiled; or NumPy, where no kernel is compiled for it, and a prediction does not hold"),
    Column("measured_seconds", float, "s", "median of the runs", "sum"),
    Column("best_seconds", float, "s", "the fastest run", "sum"),
    Column("measured_share", float, "", "part of the network's measured time", "sum"),
)

PREDICTED: Final = (
    Column("predicted_seconds", float, "s", "what the model says for the machine", "sum"),
    Column("ratio", float, "", "measured / predicted"),
    Column("bound", str, "", "the resource that takes longest in the model"),
    Column("roofline", float, "", "share of the roofline reached: predicted without overhead / measured"),
)


COMPILED: Final = "compiled"
NUMPY: Final = "NumPy"
"""What a layer runs as: a compiled kernel, or in the operators' own NumPy. A view runs as neither."""


class Verdict(NamedTuple):
    """How good a prediction is, over the layers that the model gives any time."""

    median_error: float
    """Of a layer's time, relative to what was measured."""
    total_error: float
    """Of the network's time; positive if the prediction is too long."""
    rank_correlation: float
    """Spearman's: 1 if the layers come in the same order."""


def measured(profile: "Profile", times: Sequence[Sequence[float]], compiled: Sequence[bool | None]) -> Table:
    """The times of every layer in every run, and whether compiled code did it -> one row per layer."""
    middle = [median(runs) for runs in times]
    whole = sum(middle)
    layers = profile.layers
    return Table(
        MEASURED,
        {
            **{name: layers[name] for name in ("layer", "operator", "output_shape", "macs")},
            "kernel": [{True: COMPILED, False: NUMPY, None: ""}[each] for each in compiled],
            "measured_seconds": middle,
            "best_seconds": [min(runs) for runs in times],
            "measured_share": [seconds / whole for seconds in middle],
        },
    )


def compared(table: Table, simulation: Simulation) -> Table:
    """Measured layers beside the model's."""
    layers = simulation.layers
    pairs = list(zip(table["measured_seconds"], layers["total_seconds"], layers["overhead_seconds"], strict=True))
    return table.extend(
        PREDICTED,
        {
            "predicted_seconds": layers["total_seconds"],
            "ratio": [took / said if said else float("inf") for took, said, _ in pairs],
            "bound": layers["bound"],
            "roofline": [(said - start) / took for took, said, start in pairs],
        },
    )


def without_numpy(table: Table) -> Table:
    """The layers that did not run in NumPy."""
    return table.take([row for row, kernel in enumerate(table["kernel"]) if kernel != NUMPY])


def verdict(table: Table) -> Verdict | None:
    """How far the predictions are from what was measured; None if there is none of any time."""
    pairs = [
        (took, said)
        for took, said in zip(table["measured_seconds"], table["predicted_seconds"], strict=True)
        if said  # a view takes none
    ]
    if not pairs:
        return None
    took, said = (sum(column) for column in zip(*pairs, strict=True))
    return Verdict(
        median(abs(guess - real) / real for real, guess in pairs),
        said / took - 1,
        rank_correlation(*zip(*pairs, strict=True)),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation: that of the ranks, where equal values share their mean rank."""
    ranks = [_ranks(values) for values in (first, second)]
    mean = (len(first) - 1) / 2
    deviations = [[rank - mean for rank in each] for each in ranks]
    products = sum(a * b for a, b in zip(*deviations, strict=True))
    squares = [sum(value * value for value in each) for each in deviations]
    return products / (squares[0] * squares[1]) ** 0.5 if all(squares) else 1.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    places: dict[float, list[int]] = {}
    for place, value in enumerate(order):
        places.setdefault(value, []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]
