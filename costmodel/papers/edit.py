"""Profile x an edit -> Profile: what a printed table does that no graph can, such as a row that stands twice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from costmodel.profile import ACCESS_COLUMNS, LAYER_COLUMNS, MAPS, PART_COLUMNS, TENSOR_COLUMNS, Profile, TensorRow
from costmodel.table import Table


def insert(
    profile: Profile,
    position: int,
    layer: Mapping[str, Any],
    parts: Sequence[tuple[str, str, int, int, str]],
    touched: Sequence[tuple[int, str]],
    new: Sequence[TensorRow] = (),
) -> Profile:
    """Put a layer row at a position; its parts are (operator, form, MACs, elementwise operations, reach).

    It touches (tensor row, mode), where new tensors come after the old ones.
    """

    def shifted(row: int) -> int:
        return row + 1 if row >= position else row

    tensors = [row._replace(born=shifted(row.born), dies=shifted(row.dies)) for row in _tensors(profile)]
    for tensor, _ in touched:
        if tensor < len(tensors):
            tensors[tensor] = tensors[tensor]._replace(dies=max(position, tensors[tensor].dies))
    tensors += new
    accesses = [(shifted(layer_row), *rest) for layer_row, *rest in profile.accesses.tuples()]
    accesses += [(position, tensor, mode, tensors[tensor].bytes, False) for tensor, mode in touched]
    all_parts = [(shifted(layer_row), *rest) for layer_row, *rest in profile.parts.tuples()]
    all_parts += [(position, *part) for part in parts]
    rows = profile.layers.tuples()
    rows.insert(position, tuple(layer.values()))
    return replace(
        profile,
        layers=Table.of(LAYER_COLUMNS, rows),
        tensors=Table.of(TENSOR_COLUMNS, tensors),
        accesses=Table.of(ACCESS_COLUMNS, sorted(accesses, key=lambda access: access[0])),
        parts=Table.of(PART_COLUMNS, sorted(all_parts, key=lambda part: part[0])),
    )


def repeat(profile: Profile, layer: str) -> Profile:
    """Let a layer run twice in a row, on the same operands and with the same result."""
    row = profile.layers["layer"].index(layer)
    touched = [(tensor, mode) for at, tensor, mode, *_ in profile.accesses.tuples() if at == row]
    parts = [
        (kind, form, macs, other, reach) for at, kind, form, macs, other, reach in profile.parts.tuples() if at == row
    ]
    return insert(profile, row + 1, list(profile.layers.rows())[row], parts, touched)


def without_accesses(profile: Profile, kind: str) -> Profile:
    """Let no layer touch tensors of a kind."""
    kinds = profile.tensors["kind"]
    kept = [access for access in profile.accesses.tuples() if kinds[access[1]] != kind]
    weights = [0] * len(profile.layers)
    for layer, tensor, _, size, _ in kept:
        weights[layer] += size if kinds[tensor] not in MAPS else 0
    return replace(
        profile,
        layers=Table(LAYER_COLUMNS, profile.layers.data() | {"weight_bytes": weights}),
        accesses=Table.of(ACCESS_COLUMNS, kept),
    )


def _tensors(profile: Profile) -> list[TensorRow]:
    return [TensorRow(*row) for row in profile.tensors.tuples()]
