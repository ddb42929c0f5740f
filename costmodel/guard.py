"""Simulations -> a snapshot file; a snapshot file -> what has changed since: per layer and in total.

A snapshot holds what was run (network, parameters, machine) and what came out, one layer per line so that version
control shows a change where it is. Counts must be equal; times may differ by a relative tolerance.
"""

import json
import math
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import costmodel
from costmodel import importers, textfile, units
from costmodel.errors import CostModelError, suggestion
from costmodel.profile import LAYER_COLUMNS
from costmodel.simulate import COLUMNS, Simulation
from costmodel.table import INT64, Column, Table

FORMAT: Final = 1
MAX_BYTES: Final = 100_000_000

GUARDED: Final = (
    "layer", "operator", "input_shape", "output_shape", "parameters", "buffers", "macs", "elementwise", "input_bytes",
    "output_bytes", "weight_bytes", "input_memory", "output_memory", "live_bytes", "transfer_seconds",
    "compute_seconds", "total_seconds", "bound",
)  # fmt: skip
"""The columns that a snapshot holds and a check compares."""

DTYPES: Final = {column.name: column.dtype for column in (*LAYER_COLUMNS, *COLUMNS)}

TIMES: Final = tuple(name for name in GUARDED if name.endswith("_seconds"))
DEFAULT_RTOL: Final = 1e-9
"""Far above what another order of adding floats changes, far below what a person would call a change."""

CHANGE_COLUMNS: Final = (
    Column("network", str, "", "the network"),
    Column("layer", str, "", "the layer, or the total"),
    Column("change", str, "", "changed, added, removed, renamed, or over budget"),
    Column("column", str, "", "what changed, or the budget"),
    Column("before", str, "", "in the snapshot; for a budget its limit"),
    Column("after", str, "", "now"),
    Column("difference", str, "", "after - before, and relative to before"),
)

OVER: Final = "over budget"

BUDGETS: Final[Mapping[str, tuple[str, str]]] = {
    "latency": ("s", "time of one batch"),
    "params": ("", "learned values"),
    "macs": ("", "multiply-accumulates"),
    "peak_memory": ("B", "maps that must be kept at once, wherever they live"),
    "weights": ("B", "parameters and buffers"),
    "traffic": ("B", "bytes moved to or from a memory that takes time"),
}
"""What a budget can limit: name -> unit and meaning."""


@dataclass(frozen=True)
class Request:
    """What was run: enough to run it again."""

    network: str
    parameters: Mapping[str, Any]
    machine: str
    settings: Sequence[str] = ()
    batch: int | None = None
    dtype: str | None = None
    overlap: str | None = None
    placement: str | None = None

    def run(self, folder: Path = Path()) -> Simulation:
        """Build and simulate it with today's code; files are looked for from the folder on."""
        if importers.is_program(self.network):
            raise CostModelError(
                f"{self.network}: a snapshot is data and runs no code; write the network as a file first: "
                f"costmodel export {self.network} -o network.yaml"
            )
        network = str(folder / self.network) if importers.is_file(self.network) else self.network
        graph = costmodel.network(network, batch=self.batch, dtype=self.dtype, **self.parameters)
        name = str(folder / self.machine) if self.machine.endswith((".yaml", ".yml")) else self.machine
        machine = costmodel.machine(name, self.settings)
        return costmodel.cost(graph, machine, overlap=self.overlap, placement=self.placement)


REQUEST_KEYS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "network": (lambda value: isinstance(value, str), "a name"),
    "parameters": (lambda value: isinstance(value, dict), "names with values"),
    "machine": (lambda value: isinstance(value, str), "a name or a path"),
    "settings": (
        lambda value: isinstance(value, list) and all(isinstance(setting, str) for setting in value),
        "a list of KEY=VALUE",
    ),
    "batch": (lambda value: value is None or (type(value) is int and value > 0), "a positive integer or null"),
    "dtype": (lambda value: value is None or isinstance(value, str), "an element type or null"),
    "overlap": (lambda value: value is None or isinstance(value, str), "a name or null"),
    "placement": (lambda value: value is None or isinstance(value, str), "a name or null"),
}
"""What each key of a request in a file must be."""


class Snapshot(NamedTuple):
    """What was run, and the guarded rows that came out."""

    request: Request
    rows: Sequence[Mapping[str, Any]]


def take(request: Request, simulation: Simulation | None = None) -> Snapshot:
    """Keep the guarded columns of a request's run; it is run unless its simulation is given."""
    layers = (simulation or request.run()).layers
    return Snapshot(request, list(layers.select(GUARDED).rows()))


def seen_from(name: str, folder: Path) -> str:
    """The name of a machine or a network, or the path of its file as seen from the snapshot's folder: both can move."""
    is_file = name.endswith((".yaml", ".yml")) or importers.is_file(name)
    if not is_file or Path(name).is_absolute():
        return name
    return Path(os.path.relpath(name, folder)).as_posix()


def to_text(snapshots: Sequence[Snapshot]) -> str:
    """Snapshots -> JSON with one layer per line."""
    parts = []
    for snapshot in snapshots:
        request = json.dumps(vars(snapshot.request), ensure_ascii=False)
        rows = ",\n".join(f"    {json.dumps(list(row.values()), ensure_ascii=False)}" for row in snapshot.rows)
        parts.append(f'  {{"request": {request},\n   "layers": [\n{rows}\n   ]}}')
    head = f'{{"format": {FORMAT}, "columns": {json.dumps(list(GUARDED))}, "snapshots": [\n'
    return head + ",\n".join(parts) + "\n]}\n"


def read(path: Path) -> list[Snapshot]:
    """A snapshot file -> its snapshots; errors name the file and what is wrong with it."""

    def fail(problem: str) -> NoReturn:
        raise CostModelError(f"{path}: {problem}; 'costmodel snapshot' writes such files")

    text = textfile.read(path, MAX_BYTES)
    try:
        document = json.loads(text, parse_constant=lambda name: fail(f"{name} is no figure"))
    except (ValueError, RecursionError) as error:
        fail(f"not valid JSON: {error if isinstance(error, json.JSONDecodeError) else 'nested too deep'}")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        fail(f"not a snapshot of format {FORMAT}")
    if document.get("columns") != list(GUARDED):
        fail(f"its columns are {document.get('columns')}, this version guards {list(GUARDED)}")
    entries = document.get("snapshots")
    if not isinstance(entries, list) or not entries:
        fail("it holds no snapshots")
    return [_snapshot(entry, f"{path}: snapshot {number}") for number, entry in enumerate(entries, start=1)]


def _snapshot(entry: Any, place: str) -> Snapshot:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or set(request) != set(REQUEST_KEYS):
        raise CostModelError(f"{place}: its request must have the keys {', '.join(REQUEST_KEYS)}")
    for key, (fits, wanted) in REQUEST_KEYS.items():
        if not fits(request[key]):
            raise CostModelError(f"{place}: its {key} must be {wanted}, not {request[key]!r}")
    rows = entry.get("layers")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(GUARDED) for row in rows):
        raise CostModelError(f"{place}: its layers must be rows of {len(GUARDED)} values")
    for number, row in enumerate(rows, start=1):
        for name, value in zip(GUARDED, row, strict=True):
            if not _fits(value, DTYPES[name]):
                wanted = {int: "a 64-bit integer", float: "a number", str: "text"}[DTYPES[name]]
                raise CostModelError(f"{place}: its layer {number} has {name} {value!r:.40}, which must be {wanted}")
    asked = Request(**request | {"settings": tuple(request["settings"])})
    return Snapshot(asked, [dict(zip(GUARDED, row, strict=True)) for row in rows])


def _fits(value: Any, dtype: type) -> bool:
    if dtype is float and type(value) is float:
        return math.isfinite(value)
    return type(value) is dtype and (dtype is not int or value in INT64)


def tolerances(assignments: Sequence[str]) -> dict[str, float]:
    """``column=number`` pairs -> relative tolerance by column; ``time`` stands for every time."""
    chosen = dict.fromkeys(TIMES, DEFAULT_RTOL)
    known = [name for name in GUARDED if DTYPES[name] is not str] + ["time"]
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in known:
            raise CostModelError(f"--rtol {assignment!r}: no column {name!r}; {suggestion(name, known)}")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            raise CostModelError(f"--rtol {assignment!r}: expected a number of at least 0, such as time=1e-9")
        chosen |= dict.fromkeys(TIMES if name == "time" else (name,), value)
    return chosen


def compare(before: Snapshot, after: Snapshot, rtol: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Two snapshots of one request -> rows of :data:`CHANGE_COLUMNS`, none when nothing changed."""
    network = before.request.network
    old = {row["layer"]: row for row in before.rows}
    new = {row["layer"]: row for row in after.rows}
    renamed = _renamed(
        [row for name, row in old.items() if name not in new], [r for n, r in new.items() if n not in old]
    )
    found: list[tuple[str, ...]] = []
    for name, row in old.items():
        if name in renamed:
            found.append((network, name, "renamed", "layer", name, renamed[name], ""))
        elif name not in new:
            found.append((network, name, "removed", "layer", name, "", ""))
        else:
            found += _differences(network, name, row, new[name], rtol)
    come = {*new} - {*old} - {*renamed.values()}
    added = [name for name in new if name in come]
    found += [(network, name, "added", "layer", "", name, "") for name in added]
    if not found and list(old) != list(new):
        first = next(place for place, names in enumerate(zip(old, new, strict=True)) if len(set(names)) > 1)
        place = f"row {first + 1} and others"
        found.append((network, "order", "changed", place, list(old)[first], list(new)[first], ""))
    return found + _differences(network, "total", _totals(before.rows), _totals(after.rows), rtol)


def _renamed(gone: Sequence[Mapping[str, Any]], come: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Layers that went and layers that came with the same figures in the same order -> old name: new name."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(come):
        places.setdefault(_figures(row), []).append(place)
    names: dict[str, str] = {}
    start = 0
    for row in gone:
        same = places.get(_figures(row), ())
        following = bisect_left(same, start)
        if following < len(same):
            names[row["layer"]] = come[same[following]]["layer"]
            start = same[following] + 1
    return names


def _figures(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """All of a layer but its name."""
    return tuple([value for name, value in row.items() if name != "layer"])


def _totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summed = [name for name in GUARDED if rows and isinstance(rows[0][name], int | float) and name != "live_bytes"]
    totals: dict[str, Any] = {}
    for name in summed:
        values = [row[name] for row in rows]
        totals[name] = math.fsum(values) if name in TIMES else sum(values)
    return totals


def _differences(
    network: str, layer: str, old: Mapping[str, Any], new: Mapping[str, Any], rtol: Mapping[str, float]
) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, before in old.items():
        after = new.get(name)
        if before == after:
            continue
        numbers = isinstance(before, int | float) and isinstance(after, int | float)
        if numbers and math.isclose(before, after, rel_tol=rtol.get(name, 0.0), abs_tol=0.0):  # type: ignore[arg-type]
            continue
        found.append((network, layer, "changed", name, str(before), str(after), _difference(before, after)))
    return found


def _difference(before: Any, after: Any) -> str:
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return ""
    relative = f" ({(after - before) / before:+.3%})" if before else ""
    return f"{after - before:+}{relative}"


def budget(assignment: str) -> tuple[str, float]:
    """``latency=0.2s`` -> the name of a budget and its limit in the base unit."""
    name, equals, text = assignment.partition("=")
    if not equals or name not in BUDGETS:
        raise CostModelError(f"--max {assignment!r}: expected NAME=LIMIT; {suggestion(name, BUDGETS)}")
    try:
        limit = units.parse(text, BUDGETS[name][0])
    except CostModelError as error:
        raise CostModelError(f"--max {assignment!r}: {error}") from None
    if limit < 0:
        raise CostModelError(f"--max {assignment!r}: a limit cannot be negative")
    return name, limit


def _budgets(assignments: Sequence[str]) -> dict[str, float]:
    """Every budget, each given once."""
    found: dict[str, float] = {}
    for assignment in assignments:
        name, limit = budget(assignment)
        if name in found:
            raise CostModelError(f"--max {assignment!r}: {name} is limited twice")
        found[name] = limit
    return found


def spent(simulation: Simulation) -> dict[str, float]:
    """What a run takes of each thing that a budget can limit."""
    layers = simulation.layers
    return {
        "latency": simulation.seconds,
        "params": layers.total("parameters"),
        "macs": layers.total("macs"),
        "peak_memory": simulation.profile.peak_map_bytes,
        "weights": layers.total("weight_bytes"),
        "traffic": layers.total("transfer_bytes"),
    }


def check(path: Path, rtol: Sequence[str] = (), limits: Sequence[str] = ()) -> Table:
    """A snapshot file -> the changes since it was taken, and the budgets that are exceeded; an empty table if none."""
    allowed, budgets = tolerances(rtol), _budgets(limits)
    found: list[tuple[str, ...]] = []
    for number, before in enumerate(read(path), start=1):
        try:
            simulation = before.request.run(path.parent)
        except CostModelError as error:
            raise CostModelError(f"{path}: snapshot {number}: {before.request.network}: {error}") from None
        network = before.request.network
        found += compare(before, take(before.request, simulation), allowed)
        taken = spent(simulation)
        found += [
            (network, "total", OVER, name, f"at most {limit}", str(taken[name]), _difference(limit, taken[name]))
            for name, limit in budgets.items()
            if taken[name] > limit
        ]
    return Table.of(CHANGE_COLUMNS, found)
