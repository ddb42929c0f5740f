"""An operator's fields -> the attributes that a file has for it: what is accepted follows from the fields' types."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

from costmodel import document
from costmodel.document import Item
from costmodel.graph import BITS, Op

NUMBERS: Final = 64
"""How many numbers an attribute may have."""

RENAMED: Final[Mapping[tuple[str, str], str]] = {("Input", "size"): "shape"}
"""Attributes that a file calls by another name: operator and field -> key."""

CHOICES: Final[Mapping[str, Sequence[str]]] = {"dtype": list(BITS)}
"""Words that are out of a few: the last part of a field's name -> what is accepted."""

INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
REAL: Final = re.compile(r"-?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class Form(NamedTuple):
    """A type as a file writes it: in words, as a reader, and as JSON Schema says it."""

    words: str
    read: Callable[[Item], Any]
    accepts: Mapping[str, Any]


class Attribute(NamedTuple):
    """A field of an operator: its key in a file, its name, its form, and its default, if it has one."""

    key: str
    field: str
    form: Form
    default: Any

    @property
    def required(self) -> bool:
        """Whether the operator needs it."""
        return self.default is MISSING

    def __str__(self) -> str:
        return self.key if self.required else f"{self.key}={spelled(self.default)}"


_KNOWN: Final[dict[type[Op], Mapping[str, Attribute]]] = {}


def attributes(cls: type[Op]) -> Mapping[str, Attribute]:
    """An operator's attributes by their keys."""
    if cls in _KNOWN:
        return _KNOWN[cls]
    found: dict[str, Attribute] = {}
    for field in fields(cls):
        last = field.name.rpartition("_")[2]
        made = _chosen(CHOICES[last], field.default) if last in CHOICES else form(field.type)
        key = RENAMED.get((cls.kind, field.name), field.name)
        found[key] = Attribute(key, field.name, made, field.default)
    return _KNOWN.setdefault(cls, found)


def whole(item: Item, least: int | None = None) -> int:
    """A whole number."""
    text = item.value
    if not isinstance(text, str) or not INTEGER.fullmatch(text):
        long = isinstance(text, str) and len(text) > 18 and text.isdecimal()
        item.fail(f"expected a whole number{' of at most 18 digits' if long else ''}, not {item.describe()}")
    if least is not None and int(text) < least:
        item.fail(f"expected a whole number of at least {least}, not {text}")
    return int(text)


def _real(item: Item) -> float:
    if not isinstance(item.value, str) or not REAL.fullmatch(item.value) or math.isinf(float(item.value)):
        item.fail(f"expected a number, not {item.describe()}")
    return float(item.value)


def _switch(item: Item) -> bool:
    if item.value not in ("true", "false"):
        item.fail(f"expected true or false, not {item.describe()}")
    return item.value == "true"


def _nothing(item: Item) -> None:
    if item.value != "":
        item.fail(f"expected null, not {item.describe()}")


PLAIN: Final[Mapping[Any, Form]] = {
    bool: Form("true or false", _switch, {"type": "boolean"}),
    int: Form("a whole number", whole, {"type": "integer"}),
    float: Form("a number", _real, {"type": "number"}),
    str: Form("a word", document.TEXT, {"type": "string"}),
    NoneType: Form("null", _nothing, {"type": "null"}),
}
"""Types of one value."""


def form(kind: Any) -> Form:
    """A field's type -> how a file writes it."""
    if kind in PLAIN:
        return PLAIN[kind]
    if get_origin(kind) is tuple:
        return _several(form(get_args(kind)[0]))
    if get_origin(kind) in (Union, UnionType):
        return _either([form(choice) for choice in get_args(kind)])
    raise TypeError(f"no file can hold an attribute of type {kind}")


def _chosen(words: Sequence[str], default: Any) -> Form:
    """A word out of a few, or null where that is what stands for none."""
    read = document.one_of(words)
    chosen = Form("a word", read, read.accepts)
    return _either([chosen, PLAIN[NoneType]]) if default is None else chosen


def _several(inner: Form) -> Form:
    words = f"a list, each {inner.words}"

    def read(item: Item) -> tuple[Any, ...]:
        if not isinstance(item.value, list):
            item.fail(f"expected {words}, such as [1, 2], not {item.describe()}")
        if len(item.value) > NUMBERS:
            item.fail(f"a list of {len(item.value)} is too long; at most {NUMBERS}")
        return tuple([inner.read(number) for number in item.value])

    return Form(words, read, {"type": "array", "items": inner.accepts, "maxItems": NUMBERS})


def _either(forms: Sequence[Form]) -> Form:
    words = " or ".join(choice.words for choice in forms)
    lists = [choice for choice in forms if choice.accepts.get("type") == "array"]
    null = [choice for choice in forms if choice.accepts.get("type") == "null"]
    plain = [choice for choice in forms if choice not in (*lists, *null)]

    def read(item: Item) -> Any:
        fitting = lists if isinstance(item.value, list) else null if item.value == "" else plain
        if not fitting or isinstance(item.value, dict):
            item.fail(f"expected {words}, not {item.describe()}")
        return fitting[0].read(item)

    return Form(words, read, {"anyOf": [choice.accepts for choice in forms]})


def spelled(value: Any) -> str:
    """A value as a file writes it: ``(1, None) -> '[1, null]'``."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(spelled, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for a word; with a dot it is a number everywhere.
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa}{'.0' * bool(exponent and '.' not in mantissa)}{exponent}{power}"
    return str(value)
