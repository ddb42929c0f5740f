"""Graph x its profile -> the JSON that the viewer Netron shows beside an ONNX file: our numbers on its nodes.

Netron takes a file that is dropped onto an open model and has the signature ``netron:attachment``: two lists,
``metadata`` and ``metrics``, of a kind (model, node, value), the target's name, and a name with its value. Targets that
it does not find it passes over, so they have the file's own names. Source: Netron 9.2, ``source/metadata.js``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from costmodel.fuse import Pattern, fuse
from costmodel.graph import Graph, Input, Source
from costmodel.ops.onnx import path
from costmodel.profile import Profile
from costmodel.simulate import Simulation
from costmodel.table import Table

METRICS: Final = (
    "parameters", "macs", "elementwise", "weight_bytes", "input_bytes", "output_bytes", "transfer_seconds",
    "compute_seconds", "total_seconds", "share",
)  # fmt: skip
"""Columns that are shown of each layer, and in total, where there are any."""

WORDS: Final = ("layer", "operator", "bound", "input_memory", "output_memory")
"""The same of texts."""


def attachment(graph: Graph, found: Profile | Simulation, patterns: Sequence[Pattern], *, written: bool) -> str:
    """The file's content; a network that was ``written`` has the names that the export gives, else its own file's.

    What is fused into one layer has the numbers at its first node, and the layer's name at each.
    """
    sources = _written(graph) if written or not graph.sources else graph.sources
    names = {node: name for name, node in graph.nodes.items()}
    shown: dict[Source, dict[str, Any]] = {}
    for row, kernel in zip(found.layers.rows(), fuse(graph, patterns), strict=True):
        for number, node in enumerate(kernel.nodes):
            values = shown.setdefault(sources[names[node]], {})
            for column in WORDS:
                if row.get(column):
                    values[column] = ", ".join(dict.fromkeys([*filter(None, [values.get(column)]), row[column]]))
            for column in METRICS:
                if column in row and not number:
                    values[column] = values.get(column, 0) + row[column]
    items = [*_items("model", "", _totals(graph, found.layers))]
    for source, values in shown.items():
        items += _items(source.kind, source.name, values)
    document = {
        "metadata": [item for item in items if item["name"] not in METRICS],
        "metrics": [item for item in items if item["name"] in METRICS],
    }
    return json.dumps({"signature": "netron:attachment", **document}, indent=1, ensure_ascii=False) + "\n"


def _written(graph: Graph) -> Mapping[str, Source]:
    """The names of layers in the file that the export writes."""
    return {
        name: Source("value" if isinstance(node.op, Input) else "node", path(name, node.block))
        for name, node in graph.nodes.items()
    }


def _totals(graph: Graph, layers: Table) -> dict[str, Any]:
    summed = [column.name for column in layers.columns if column.name in METRICS]
    return {"network": graph.name, **{name: layers.total(name) for name in summed}}


def _items(kind: str, target: str, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in values.items():
        yield {"kind": kind, "target": target, "name": name, "value": value}
