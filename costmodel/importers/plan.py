"""A YAML list of layers -> a plan: operators with their attributes, blocks and repeats, checked but not wired.

A plan is as large as the text; how many layers it stands for is known and limited before one is made.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Union

import costmodel.ops  # noqa: F401 - the operators register themselves
from costmodel.document import SHOWN, Item, accepts, key, one_of, record
from costmodel.errors import CostModelError, suggestion
from costmodel.graph import BITS, Input, Op, Stored
from costmodel.importers.attributes import Attribute, attributes, whole

LIMIT: Final = 50_000
"""How many layers a file may stand for, repeats included; a layer of several inputs counts as many times."""

LONGEST: Final = 200
"""How many characters a layer's name may have, its blocks included."""

EXAMPLE: Final = "conv1: {op: Conv, filters: 64, kernel: 3}"

WORD: Final = ["string", "number", "boolean"]
"""What YAML may take a name for."""


class Layer(NamedTuple):
    """A layer as it is written."""

    item: Item
    name: str | None
    op: Op
    inputs: tuple[Item, ...] | None = None
    block: str | None = None
    weights: Mapping[str, Stored] | None = None

    @property
    def size(self) -> int:
        """What it counts for :data:`LIMIT`."""
        return max(1, len(self.inputs or ()))


Entry = Union[Layer, "Block"]


# Readers of the keys


def named(item: Item, name: str) -> str:
    """Check a name that a file gives to a layer or to a block."""
    if not name:
        item.fail("a name is missing before the colon")
    if not name.isprintable() or len(name) > LONGEST:
        item.fail(f"the name {name[:SHOWN]!r} must be at most {LONGEST} printable characters")
    return name


@accepts(type=WORD, minLength=1, maxLength=LONGEST)
def _title(item: Item) -> str:
    return named(item, item.name())


@accepts(type=WORD, maxLength=LONGEST)
def _home(item: Item) -> str:
    return named(item, item.text()) if item.text() else ""


@accepts(
    anyOf=[
        {"type": WORD, "minLength": 1},
        {"type": "array", "items": {"type": WORD, "minLength": 1}, "minItems": 1},
    ]
)
def _names(item: Item) -> tuple[Item, ...]:
    several = item.items() if isinstance(item.value, list) else [item]
    if not several:
        item.fail("expected a name or a list of names, not an empty list")
    for each in several:
        each.name()
    return tuple(several)


@accepts(**{"$ref": "#/$defs/operator"})
def _operator(item: Item) -> type[Op]:
    if not isinstance(item.value, str) or not item.value:
        item.fail(f"expected an operator, such as Relu, not {item.describe()}")
    if item.value not in Op.registry:
        item.fail(f"unknown operator {item.describe()}; {suggestion(item.value, Op.registry)}")
    return Op.registry[item.value]


@accepts(type="integer", minimum=1)
def _elements(item: Item) -> int:
    return whole(item, 1)


@dataclass(frozen=True)
class StoredKeys:
    """How a weight is stored, where that does not follow from its operator."""

    dtype: str | None = key(one_of(BITS), "its element type; by default that of the layer's result", default=None)
    shared: str = key(_title, "the name of what several layers share as a weight, which is stored once", default="")
    whole: int = key(
        _elements,
        "how many values are stored, where the layer reads a part of them or repeats them",
        default=0,
    )


@accepts(type="object", additionalProperties={"$ref": "#/$defs/stored"})
def _weights(item: Item) -> dict[str, Stored]:
    return {
        named(value, name): Stored(*vars(record(StoredKeys, value)).values()) for name, value in item.mapping().items()
    }


@accepts(type="integer", minimum=1, maximum=LIMIT)
def _count(item: Item) -> int:
    return whole(item, 1)


@accepts(type="integer", minimum=0)
def _index(item: Item) -> int:
    return whole(item, 0)


@accepts(type="object", minProperties=1, additionalProperties={"$ref": "#/$defs/input"})
def _inputs(item: Item) -> tuple[Layer, ...]:
    if not item.mapping():
        item.fail("needs at least one input, such as {image: [1, 3, 224, 224]}")
    return tuple([_input(value, name) for name, value in item.mapping().items()])


@accepts(type="array", items={"$ref": "#/$defs/entry"})
def _layers(item: Item) -> tuple[Entry, ...]:
    if len(item.items()) > LIMIT:
        item.fail(f"{len(item.items())} layers are too many; at most {LIMIT}")
    return tuple([_entry(entry) for entry in item.items()])


# The keys


@dataclass(frozen=True)
class File:
    """A network's file."""

    name: str = key(_title, "the network's name")
    inputs: tuple[Layer, ...] = key(
        _inputs, "what is given from outside, by name: a shape, batch first, or {shape: ..., dtype: ...}"
    )
    layers: tuple[Entry, ...] = key(_layers, "the layers and blocks in the order they run")
    outputs: tuple[Item, ...] = key(
        _names, "the results: a name or a list of names; by default the last layer", default=()
    )
    dtype: str = key(one_of(BITS), "the element type of the maps and weights that state none", default="float32")


@dataclass(frozen=True)
class LayerKeys:
    """What a layer has besides its operator's attributes."""

    op: type[Op] = key(_operator, "the operator")  # noqa: RUF009 - frozen, as is a type
    inputs: tuple[Item, ...] | None = key(
        _names, "what it reads: a name or a list of names; by default the layer before it", default=None
    )
    block: str | None = key(
        _home, "its block, where that is not what stands before the last dot of its name", default=None
    )
    weights: Mapping[str, Stored] | None = key(
        _weights,
        "its weights by name, where they are shared or of another element type: {weight: {dtype: int8}}",
        default=None,
    )


@dataclass(frozen=True)
class BlockKeys:
    """What a block has; of a block that comes once the list of layers is enough."""

    layers: tuple[Entry, ...] = key(_layers, "its layers and blocks in the order they run")
    repeat: int | None = key(
        _count, "how many times it comes, one after another, named NAME.0, NAME.1 and so on", default=None
    )
    start: int | None = key(_index, "the number of the first time; 0 by default", default=None)
    input: str | None = key(
        _title, "what its layers call that which comes in: the result of the layer before the block", default=None
    )


KEYS: Final = tuple(field.name for field in fields(LayerKeys))


class Block(NamedTuple):
    """A block as it is written."""

    item: Item
    name: str
    keys: BlockKeys
    size: int

    @property
    def names(self) -> Iterator[str]:
        """Its name each time it comes."""
        if self.keys.repeat is None:
            return iter([self.name])
        return (f"{self.name}.{(self.keys.start or 0) + number}" for number in range(self.keys.repeat))


# Entries


def _entry(item: Item) -> Entry:
    """A layer with or without a name, or a block."""
    if isinstance(item.value, str):
        return _fed(Layer(item, None, made(item, _operator(item), {})))
    if isinstance(item.value, list):
        item.fail(f"expected a layer, such as {EXAMPLE}, not a list")
    found = item.mapping()
    if "op" in found and isinstance(found["op"].value, str):
        return _layer(item, None)
    if len(found) != 1:
        given = ", ".join(map(repr, itertools.islice(found, 3))) or "none"
        item.fail(
            f"one layer has one name, and here is {given}; what a layer or a block has stands in braces or indented "
            "behind its name, and each layer begins with '- '"
        )
    ((name, value),) = found.items()
    value = value._replace(line=item.line)  # a collection in block style begins on the line below its name
    named(value, name)
    if isinstance(value.value, str):
        return _fed(Layer(value, name, made(value, _operator(value), {})))
    if isinstance(value.value, list):
        return _block(value, name, BlockKeys(_layers(value)))
    if "layers" in value.value:
        return _block(value, name, record(BlockKeys, value))
    if "op" not in value.value:
        slip = next((word for word in (name, *value.value) if word in Op.registry), None)
        hint = f"; did you mean {{op: {slip}, ...}}?" if slip else ""
        value.fail(f"expected a layer with the key 'op', or a block with the key 'layers'{hint}")
    return _layer(value, name)


def _block(item: Item, name: str, keys: BlockKeys) -> Block:
    if not keys.layers:
        item.fail("a block needs at least one layer")
    if keys.repeat is None and keys.start is not None:
        item.fail("'start' is the number of the first of several; it needs 'repeat'")
    size = sum(entry.size for entry in keys.layers) * (keys.repeat or 1)
    within(item, size)
    return Block(item, name, keys, size)


def within(item: Item, size: int) -> None:
    """Check how many layers an item stands for."""
    if size > LIMIT:
        item.fail(f"stands for {size if size < 10**18 else 'more than 10^18'} layers; at most {LIMIT}")


def _layer(item: Item, name: str | None) -> Layer:
    found = item.mapping()
    keys = record(LayerKeys, item._replace(value={word: found[word] for word in KEYS if word in found}))
    if name is None and keys.block is not None:
        found["block"].fail("only a layer with a name of its own can say which block it is in")
    op = made(item, keys.op, {word: value for word, value in found.items() if word not in KEYS})
    return _fed(Layer(item, name, op, keys.inputs, keys.block, keys.weights))


def _fed(layer: Layer) -> Layer:
    """Check how many inputs a layer has, which are the layer before it if none are stated."""
    item, kind, takes, inputs = layer.item, layer.op.kind, layer.op.operands, len(layer.inputs or ())
    if not inputs and takes not in (0, 1):
        several = "any number of" if takes is None else takes
        example = ", ".join("abcdefgh"[: takes or 2])
        item.fail(f"{kind} takes {several} inputs; name them, such as {{op: {kind}, inputs: [{example}]}}")
    if inputs and takes not in (None, inputs):
        item.fail(f"{kind} takes {takes} input{'s' * (takes != 1)}, not {inputs}")
    return layer


def _input(item: Item, name: str) -> Layer:
    named(item, name)
    if isinstance(item.value, str):
        item.fail(f"expected a shape, such as [1, 3, 224, 224], or {{shape: ..., dtype: ...}}, not {item.describe()}")
    given = dict(item.value) if isinstance(item.value, dict) else {"shape": item}
    home = given.pop("block", None)
    return Layer(item, name, made(item, Input, given, ["block"]), (), _home(home) if home else None)


def _read(cls: type[Op], attribute: Attribute, item: Item) -> Any:
    """The value of an attribute; an error says what it means."""
    try:
        return attribute.form.read(item)
    except CostModelError as error:
        from costmodel.importers.meanings import MEANINGS, entry

        meaning = MEANINGS.get(entry(cls, attribute.key), "")
        raise CostModelError(f"{error}{f'; {attribute.key}: ' if meaning else ''}{meaning}") from None


def made(item: Item, cls: type[Op], given: Mapping[str, Item], others: Sequence[str] = KEYS) -> Op:
    """The operator of a layer, from its attributes."""
    known = attributes(cls)
    for word, value in given.items():
        if word not in known:
            value.fail(f"{cls.kind} has no attribute {word[:SHOWN]!r}; {suggestion(word, [*known, *others])}")
    missing = [attribute.key for attribute in known.values() if attribute.required and attribute.key not in given]
    if missing:
        item.fail(f"{cls.kind} needs {' and '.join(map(repr, missing))}; it has {', '.join(map(str, known.values()))}")
    values: dict[str, Any] = {known[word].field: _read(cls, known[word], value) for word, value in given.items()}
    try:
        return cls(**values)
    except CostModelError as error:
        about = re.match(rf"{cls.kind}: (\w+) ", str(error))
        (given.get(about[1], item) if about else item).fail(str(error))
