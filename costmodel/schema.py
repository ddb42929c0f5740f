"""What the code declares -> JSON Schema of a network's and of a machine's file, for editors that complete and check.

Operators and their attributes come from :class:`~costmodel.graph.Op`'s subclasses, keys and their meanings from the
fields declared with :func:`~costmodel.document.key`.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final

import costmodel
from costmodel.document import Reader, one_of
from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Input, Op, Varying
from costmodel.hardware import Hardware
from costmodel.importers.attributes import attributes
from costmodel.importers.meanings import MEANINGS, entry
from costmodel.importers.plan import BlockKeys, File, LayerKeys, StoredKeys
from costmodel.ops.held import Several
from costmodel.place import POLICIES

Schema = dict[str, Any]

TAKES: Final[Mapping[int | str, Schema]] = {
    0: {},
    1: {"properties": {"inputs": {"maxItems": 1}}},
    **{
        count: {
            "required": ["inputs"],
            "properties": {"inputs": {"type": "array", "minItems": count, "maxItems": count}},
        }
        for count in range(2, 7)
    },
    "several": {"required": ["inputs"], "properties": {"inputs": {"type": "array", "minItems": 2}}},
    "any": {"required": ["inputs"]},
}
"""How many inputs a layer takes -> what its keys must be; a single one need not be stated: it is the layer before."""

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def keys(cls: Any) -> Schema:
    """A record that was declared with ``key``."""
    declared = [field for field in fields(cls) if field.metadata]
    return {
        "type": "object",
        "required": [field.name for field in declared if field.default is MISSING],
        "properties": {field.name: _key(field) for field in declared},
        "additionalProperties": False,
    }


def _key(field: Any) -> Schema:
    reader: Reader[Any] = field.metadata["read"]
    schema = {"description": field.metadata["meaning"], **reader.accepts}
    return schema | {"additionalProperties": keys(reader.entry)} if reader.entry else schema


def operator(cls: type[Op]) -> Schema:
    """A layer of one operator: its attributes beside the keys of every layer."""
    known = attributes(cls)
    common: Schema = {field.name: {"$ref": f"#/$defs/layer_{field.name}"} for field in fields(LayerKeys)}
    if cls.operands == 0:
        del common["inputs"]
    own = {
        attribute.key: {
            "description": MEANINGS[entry(cls, attribute.key)],
            **attribute.form.accepts,
            **({} if attribute.required else {"default": attribute.default}),
        }
        for attribute in known.values()
    }
    return {
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "type": "object",
        "required": ["op", *(attribute.key for attribute in known.values() if attribute.required)],
        "properties": common | {"op": {"const": cls.kind}} | own,
        "additionalProperties": False,
        **_fed(cls),
    }


def _fed(cls: type[Op]) -> Schema:
    """How many inputs an operator takes, which may depend on its attributes."""
    if issubclass(cls, Several):
        return _flowing(len(cls.names))
    return _varied(cls, cls.varying, cls.operands)


def _takes(count: int | str) -> Schema:
    """So many inputs, an entry of :data:`TAKES`."""
    return {"$ref": f"#/$defs/takes_{count}"}


def _varied(cls: type[Op], varying: Sequence[Varying], count: int | None) -> Schema:
    """So many inputs, and what each attribute that varies them adds."""
    if not varying:
        return _takes("any" if count is None else count)
    first, *rest = varying
    name, more, values = first
    stated = {"enum": [*values]} if values else {"not": {"type": "null"}}
    usual = {} if first.holds(attributes(cls)[name].default) else {"required": [name]}
    return {
        "if": {"properties": {name: stated}} | usual,
        "then": _varied(cls, rest, (count or 0) + more),
        "else": _varied(cls, rest, count),
    }


def _flowing(places: int) -> Schema:
    """As many inputs as ``held`` leaves null, of so many places or, if 0, of any number."""
    null: Schema = {"contains": {"type": "null"}}
    cases: list[Schema] = [
        {"if": {"properties": {"held": null | {"maxContains": count, "minContains": count}}}, "then": _takes(count)}
        for count in range(1, (places or 1) + 1)
    ]
    if not places:
        cases[0]["else"] = _takes("several")
    length = {"minItems": places, "maxItems": places} if places else {}
    return {
        "if": {"properties": {"held": {"minItems": 1}}, "required": ["held"]},
        "then": {"properties": {"held": null | length}, "allOf": cases},
        "else": _takes(places or "any"),
    }


def _bare(cls: type[Op]) -> bool:
    """Whether an operator's name alone is a layer: without an attribute it takes the layer before it."""
    known = attributes(cls)
    if issubclass(cls, Several) or any(attribute.required for attribute in known.values()):
        return False
    more = sum(each.more for each in cls.varying if each.holds(known[each.attribute].default))
    return cls.operands is not None and cls.operands + more < 2


def network() -> Schema:
    """A network's file."""
    operators = {name: operator(cls) for name, cls in sorted(Op.registry.items())}
    bare = [name for name in operators if _bare(Op.registry[name])]
    layer = {
        "type": "object",
        "required": ["op"],
        "properties": {"op": {"$ref": "#/$defs/operator"}},
        "allOf": [
            {"if": {"properties": {"op": {"const": name}}, "required": ["op"]}, "then": {"$ref": f"#/$defs/{name}"}}
            for name in operators
        ],
    }
    given = operator(Input)
    shaped = {name: schema for name, schema in given["properties"].items() if name != "op"}
    definitions = {
        "entry": {
            "description": "a layer with a name, NAME: {op: ...}; without a name; or a block, NAME: [...]",
            "if": {"type": "string"},
            "then": {"$ref": "#/$defs/bare"},
            "else": {
                "type": "object",
                "if": {"required": ["op"], "properties": {"op": {"type": "string"}}},
                "then": {"$ref": "#/$defs/layer"},
                "else": {"minProperties": 1, "maxProperties": 1, "additionalProperties": {"$ref": "#/$defs/named"}},
            },
        },
        "named": {
            "type": ["string", "array", "object"],
            "allOf": [
                {"if": {"type": "string"}, "then": {"$ref": "#/$defs/bare"}},
                {"if": {"type": "array"}, "then": {"minItems": 1, "items": {"$ref": "#/$defs/entry"}}},
                {
                    "if": {"type": "object"},
                    "then": {
                        "if": {"required": ["layers"]},
                        "then": {"$ref": "#/$defs/block"},
                        "else": {"$ref": "#/$defs/layer"},
                    },
                },
            ],
        },
        "bare": {"description": "an operator that needs no attributes, behind the layer before it", "enum": bare},
        "block": keys(BlockKeys),
        "layer": layer,
        "input": {
            "anyOf": [
                given["properties"]["shape"],
                given | {"required": ["shape"], "properties": shaped},
            ]
        },
        "stored": keys(StoredKeys),
        "operator": {"description": "an operator", "enum": list(operators)},
        **{f"layer_{field.name}": _key(field) for field in fields(LayerKeys) if field.name != "op"},
        **{f"takes_{count}": schema for count, schema in TAKES.items()},
        **operators,
    }
    return keys(File) | {"$defs": definitions}


def hardware() -> Schema:
    """A machine's file."""
    operators = sorted(Op.registry)
    definitions = {
        "operator": {"enum": operators},
        "runs": {"enum": [*operators, *costmodel.forms()]},
        "policy": dict(one_of(POLICIES).accepts),
    }
    return keys(Hardware) | {"$defs": definitions}


KINDS: Final[Mapping[str, tuple[str, Callable[[], Schema]]]] = {
    "network": ("A network as a list of layers", network),
    "hardware": ("A machine's data sheet", hardware),
}
"""What there is a schema of: its title, and what makes it."""


def text(kind: str) -> str:
    """A schema as a file."""
    if kind not in KINDS:
        raise CostModelError(f"no schema of {kind!r}; {suggestion(kind, KINDS)}")
    title, made = KINDS[kind]
    return json.dumps({"$schema": DRAFT, "title": title} | made(), indent=2, ensure_ascii=False) + "\n"
