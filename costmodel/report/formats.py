"""Table -> CSV, JSON or Markdown text: every column asked for, full precision, stable order."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from costmodel.hardware import Hardware
from costmodel.measure import verdict, without_numpy
from costmodel.memory import Memory
from costmodel.report.cells import Cells
from costmodel.report.summary import unread_inputs, warnings
from costmodel.simulate import Simulation
from costmodel.table import Column, Table


def to_csv(table: Table) -> str:
    """Header and rows; integers whole, floats in the shortest form that reads back the same."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(row.values() for row in table.rows())
    return out.getvalue()


def to_json(simulation: Simulation, table: Table, warnings: Sequence[str]) -> str:
    """The run, what the columns mean, the rows of ``table``, the totals of the whole network, and the resources."""
    from importlib.metadata import version  # slow to import, and only JSON needs it

    whole = simulation.layers
    document = {
        "costmodel": version("costmodel"),
        "network": simulation.profile.network,
        "machine": simulation.hardware.name,
        "settings": list(simulation.hardware.settings),
        "convention": simulation.profile.convention,
        "batch": simulation.profile.batch,
        "overlap": simulation.overlap,
        "placement": simulation.placement.policy,
        "seconds": simulation.seconds,
        "images_per_second": _finite(simulation.images_per_second),
        "warnings": list(warnings),
        "assumptions": unread_inputs(simulation),
        "columns": [described(column) for column in table.columns],
        "layers": list(table.rows()),
        "totals": {column.name: whole.total(column.name) for column in whole.columns if column.total},
        "resources": [{name: _finite(value) for name, value in row.items()} for row in simulation.resources.rows()],
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def memory_to_json(memory: Memory, table: Table, simulation: Simulation | None = None) -> str:
    """What a network keeps: the rows of ``table``, the terms of the formula, and the sizes on disk by width in bits."""
    document = {
        "network": memory.profile.network,
        "machine": simulation.hardware.name if simulation else None,
        "settings": list(simulation.hardware.settings) if simulation else [],
        "placement": simulation.placement.policy if simulation else None,
        "warnings": warnings(simulation) if simulation else [],
        "batch": memory.profile.batch,
        "training": {**memory.training._asdict(), "bytes": memory.training.bytes},
        "training_by_report": {**memory.training_by_report._asdict(), "bytes": memory.training_by_report.bytes},
        "peak_map_bytes": memory.profile.peak_map_bytes,
        "stored": memory.stored,
        "kept": memory.kept,
        "disk_bytes": {str(bits): size for bits, size in memory.disk.items()},
        "columns": [described(column) for column in table.columns],
        "layers": list(table.rows()),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def run_to_json(table: Table, network: str, threads: int, repeat: int, simulation: Simulation | None) -> str:
    """A measured run: how it was run, the rows, their sums, how good the prediction is, and both without NumPy."""
    parts = {"": table, "compiled_": without_numpy(table)}
    verdicts = {name: verdict(part) if simulation else None for name, part in parts.items()}
    document = {
        "network": network,
        "threads": threads,
        "repeat": repeat,
        "machine": simulation.hardware.name if simulation else None,
        "settings": list(simulation.hardware.settings) if simulation else [],
        **{f"{name}verdict": made and made._asdict() for name, made in verdicts.items()},
        "columns": [described(column) for column in table.columns],
        "layers": [{name: _finite(value) for name, value in row.items()} for row in table.rows()],
        **{
            f"{name}totals": {column.name: part.total(column.name) for column in part.columns if column.total}
            for name, part in parts.items()
        },
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def table_to_json(table: Table, machine: Hardware, remarks: Sequence[str]) -> str:
    """The rows of a table for a machine, what its columns mean, and what there is to say."""
    document = {
        "machine": machine.name,
        "settings": list(machine.settings),
        "remarks": list(remarks),
        "columns": [described(column) for column in table.columns],
        "rows": list(table.rows()),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_markdown(cells: Cells) -> str:
    """A table as people read it, in Markdown: the same cells as on the terminal, all columns."""
    heads = [head.replace("\n", " ") for head in cells.heads]
    ruler = ["---:" if right else ":---" for right in cells.right]
    lines = [heads, ruler, *cells.rows, *([cells.footer] if cells.footer else [])]
    return "".join("| " + " | ".join([cell.replace("|", "\\|") for cell in line]) + " |\n" for line in lines)


def described(column: Column) -> dict[str, Any]:
    """A column as JSON says it."""
    return {"name": column.name, "unit": column.unit, "meaning": column.meaning, "total": column.total}


def _finite(value: Any) -> Any:
    """JSON has no infinity; an unlimited rate is null."""
    return None if isinstance(value, float) and math.isinf(value) else value
