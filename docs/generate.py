"""What the code declares -> docs/reference.md and the schemas beside it: columns, files, operators, what is counted.

Run ``python docs/generate.py`` after changing a declaration; a test fails when a file does not follow from the code.
"""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import costmodel.ops  # noqa: F401 - the operators register themselves
from costmodel import compare, guard, measure, memory, parity, placements, profile, roofline, schema, simulate, units
from costmodel.counting import standard_table
from costmodel.execute import verify
from costmodel.graph import Op
from costmodel.hardware import Engine, Hardware, Memory
from costmodel.importers import layers
from costmodel.importers.attributes import attributes
from costmodel.importers.meanings import MEANINGS, entry
from costmodel.importers.plan import LIMIT, LONGEST, BlockKeys, File, LayerKeys, StoredKeys
from costmodel.papers import ledger
from costmodel.place import POLICIES, check, lives, placement
from costmodel.table import Column

PAGE = Path(__file__).parent / "reference.md"

INTRODUCTION = """# Reference

Written by `python docs/generate.py` from the declarations in the code.
"""


def grid(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def columns(declared: tuple[Column, ...]) -> str:
    """A table's columns."""
    rows = [[f"`{c.name}`", c.dtype.__name__, c.unit, c.total or "", c.meaning] for c in declared]
    return grid(["column", "type", "unit", "total", "meaning"], rows)


def keys(cls: Any) -> str:
    """A data sheet's keys."""
    declared = [field for field in fields(cls) if field.metadata]
    rows = [
        [f"`{f.name}`", "required" if f.default is MISSING else _default(f.default), f.metadata["meaning"]]
        for f in declared
    ]
    return grid(["key", "", "meaning"], rows)


def _default(value: Any) -> str:
    return "optional" if value in (None, ()) else f"default: {value!r}"


def operators() -> str:
    """The vocabulary: each operator's attributes, its equation, and ONNX's operators that it is made of."""
    rows = []
    for name, cls in sorted(Op.registry.items()):
        given = ", ".join(f"`{attribute}`" for attribute in attributes(cls).values())
        rows.append(
            [f"`{name}`", given, (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n", " "), ", ".join(cls.onnx)]
        )
    return grid(["operator", "attributes", "equation", "from ONNX's"], rows)


def meanings() -> str:
    """What operators' attributes mean; those that mean the same in one row."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, cls in sorted(Op.registry.items()):
        for key in attributes(cls):
            found.setdefault(key, {}).setdefault(MEANINGS[entry(cls, key)], []).append(name)
    rows = [
        [f"`{key}`", meaning, ", ".join(names)]
        for key, several in sorted(found.items())
        for meaning, names in several.items()
    ]
    return grid(["attribute", "meaning", "of"], rows)


def counted() -> str:
    """The standard convention."""
    table = standard_table()
    rows = [[f"`{row['operator']}`", *[str(value) for value in list(row.values())[1:]]] for row in table.rows()]
    return grid([column.name for column in table.columns], rows)


def network_file() -> str:
    """What a network's file holds."""
    limits = f"At most {LIMIT} layers, repeats included, and {LONGEST} characters in a name with its blocks."
    return "\n\n".join([inspect.cleandoc(layers.__doc__ or "").partition("\n\n")[2], limits, keys(File)])


def prose(thing: Any) -> str:
    """A docstring without its first line."""
    return inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[2]


def policies() -> str:
    """The placement policies, from their docstrings."""
    return "\n\n".join(f"`{name}`: {inspect.cleandoc(policy.__doc__ or '')}" for name, policy in POLICIES.items())


def budgets() -> str:
    """What ``costmodel check --max`` can limit."""
    rows = [[f"`{name}`", units.EXAMPLES[unit], meaning] for name, (unit, meaning) in guard.BUDGETS.items()]
    return grid(["name", "a limit", "what it limits"], rows)


def page() -> str:
    """The whole page."""
    spelled = grid(
        ["example", "accepted units"],
        [
            [units.EXAMPLES[unit], ", ".join(f"`{name}`" for name in names if name)]
            for unit, names in units.UNITS.items()
        ],
    )
    sections = [
        ("Columns of a profile: layers", columns(profile.LAYER_COLUMNS)),
        ("Columns of a simulation: added to the layers", columns(simulate.COLUMNS)),
        ("Columns of a profile: tensors", columns(profile.TENSOR_COLUMNS)),
        ("Columns of a profile: accesses", columns(profile.ACCESS_COLUMNS)),
        ("Resources of a simulation", columns(simulate.RESOURCE_COLUMNS)),
        ("Columns of a comparison", columns(compare.COLUMNS)),
        ("Columns of parity", columns(parity.COLUMNS)),
        ("Columns of a verification", columns(verify.SUMMARY_COLUMNS)),
        ("Columns of a verification: layers", columns(verify.LAYER_COLUMNS)),
        ("Columns of placements", columns(placements.COLUMNS)),
        ("Columns of placements: traffic", columns(placements.TRAFFIC_COLUMNS)),
        ("Columns of placements: tiles", columns(placements.TILE_COLUMNS)),
        ("Columns of memory: addresses", columns(placements.ADDRESS_COLUMNS)),
        ("Columns of memory", columns((*memory.COLUMNS, memory.KEPT))),
        ("Columns of a measured run", columns((*measure.MEASURED, *measure.PREDICTED))),
        ("Columns of the ledger", columns(ledger.COLUMNS)),
        ("Columns of a check's changes", columns(guard.CHANGE_COLUMNS)),
        ("Budgets of a check", budgets()),
        ("How time is computed", prose(simulate)),
        ("Points of a roofline", prose(roofline)),
        ("How tensors are placed", prose(placement) + "\n\n" + prose(lives)),
        ("What the checker walks through", prose(check)),
        ("Placement policies", policies()),
        ("Network file", network_file()),
        ("Network file: each layer, beside its operator's attributes", keys(LayerKeys)),
        ("Network file: how a weight is stored", keys(StoredKeys)),
        ("Network file: each block", keys(BlockKeys)),
        ("Machine file", keys(Hardware)),
        ("Machine file: each entry of engines", keys(Engine)),
        ("Machine file: each entry of memories", keys(Memory)),
        ("Units", spelled),
        ("Operators", operators()),
        ("Operators: what their attributes mean", meanings()),
        ("What the standard convention counts", counted()),
    ]
    return INTRODUCTION + "".join(f"\n## {title}\n\n{body}\n" for title, body in sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for kind in schema.KINDS:
        PAGE.with_name(f"{kind}.schema.json").write_text(schema.text(kind), encoding="utf-8")
