"""YAML text -> a tree in which every value knows its file, line and key, so that errors can name them.

Only plain data is read: no tags, no anchors, no duplicate keys, bounded size and depth. Scalars stay text; what they
mean is decided by the field that reads them, so ``no`` is never a boolean and ``1e9`` never a string by accident.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

import yaml

from costmodel import textfile
from costmodel.errors import LONGEST, CostModelError, suggestion
from costmodel.uncollected import uncollected

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 20
DEEPER: Final = f"nested deeper than {MAX_DEPTH} levels"
MAX_VALUES: Final = 200_000
SHOWN: Final = 80
"""How much of a value a message shows."""
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})

T = TypeVar("T")


class Item(NamedTuple):
    """A value of a document: text, a list of items, or items by key; and where it stands."""

    value: "str | list[Item] | dict[str, Item]"
    file: str
    line: int
    key: str

    def fail(self, problem: str) -> NoReturn:
        """Raise an error that names file, line and key."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = self.key if self.key.isprintable() else repr(self.key)[1:-1]
        if len(key) > LONGEST:
            key = f"...{key[-LONGEST:]}"
        raise CostModelError(f"{place}: {key + ': ' if key else ''}{problem}")

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            self.fail(f"expected one value, not {self.describe()}")
        return self.value

    def name(self) -> str:
        """The value as text that is not empty."""
        if not self.text():
            self.fail("expected a name, not nothing")
        return self.text()

    def items(self) -> "list[Item]":
        """The value as a list."""
        if not isinstance(self.value, list):
            self.fail(f"expected a list such as [a, b], not {self.describe()}")
        return self.value

    def mapping(self) -> "dict[str, Item]":
        """The value as items by key."""
        if not isinstance(self.value, dict):
            self.fail(f"expected keys with values, not {self.describe()}")
        return self.value

    def describe(self) -> str:
        """The kind of value, for messages."""
        if isinstance(self.value, str):
            rest = "..." if len(self.value) > SHOWN else ""
            return f"{self.value[:SHOWN]!r}{rest}" if self.value else "nothing"
        return "a list" if isinstance(self.value, list) else "keys with values"


def load(path: Path) -> Item:
    """Read a file."""
    return parse(textfile.read(path, MAX_BYTES), str(path))


def parse(text: str, file: str, *, key: str = "", numbered: bool = True) -> Item:
    """Text -> its one document as a tree; ``file`` and ``key`` are what errors call the place."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(file, key, numbered=numbered)
    try:
        with uncollected():  # events and items make no cycles
            for event in yaml.parse(text, Loader=loader):
                builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark and numbered else 0
        problem = f"not valid YAML: {error.problem or error.context}"
        if "cannot start any token" in problem:
            problem += "; a tab? indent with spaces"
        if "maximum nesting depth" in problem:  # libyaml's own limit, met by looking ahead before any event
            problem = DEEPER
        Item("", file, line, key).fail(problem)
    except (yaml.YAMLError, ValueError) as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1 if numbered else 0
        reason = getattr(error, "reason", str(error)).splitlines()[0]
        Item("", file, line, key).fail(f"not valid YAML: {reason}")
    return builder.root or Item("", file, 1 if numbered else 0, key)


class _Builder:
    """Parser events -> items, without recursion."""

    def __init__(self, file: str, key: str, *, numbered: bool) -> None:
        self.file, self.key, self.numbered = file, key, numbered
        self.root: Item | None = None
        self.values = 0
        self.open: list[Item] = []
        self.pending: list[Item | None] = []  # for each open mapping, the key that waits for its value

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            if event.anchor or event.tag:
                self._marked(event)
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.anchor or event.tag:
                self._marked(event)
            if len(self.open) >= MAX_DEPTH:
                self._at(event).fail(DEEPER)
            self._place(event, {} if isinstance(event, yaml.MappingStartEvent) else [], opens=True)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
            self.pending.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._at(event).fail(f"aliases are not read; write the value out instead of *{event.anchor}")
        elif isinstance(event, yaml.DocumentStartEvent) and self.root:
            self._at(event).fail("a second document begins here; one per file is read")

    def _marked(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> NoReturn:
        mark = (
            f"anchors are not read; remove &{event.anchor}"
            if event.anchor
            else f"tags are not read; remove {event.tag}"
        )
        self._at(event).fail(mark)

    def _at(self, event: yaml.Event, value: Any = "") -> Item:
        line = _line(event) if self.numbered else 0
        if not self.open:
            return Item(value, self.file, line, self.key)
        parent, waiting = self.open[-1], self.pending[-1]
        own = f"[{len(parent.value)}]" if isinstance(parent.value, list) else waiting.text() if waiting else ""
        dot = "." if parent.key and own and not own.startswith("[") else ""
        return Item(value, self.file, line, f"{parent.key}{dot}{own}")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self.open and isinstance(self.open[-1].value, dict) and self.pending[-1] is None:
            if event.value in self.open[-1].value:
                first = self.open[-1].value[event.value].line
                self._at(event).fail(f"duplicate key {event.value!r}" + (f", first in line {first}" if first else ""))
            self.pending[-1] = Item(event.value, self.file, _line(event), "")
            return
        plain_null = event.implicit[0] and event.value in NULLS
        self._place(event, "" if plain_null else event.value, opens=False)

    def _place(self, event: yaml.Event, value: Any, *, opens: bool) -> None:
        if self.open and isinstance(self.open[-1].value, dict) and self.pending[-1] is None:
            self._at(event).fail("a key must be one word, not a collection")
        item = self._at(event, value)
        self.values += 1
        if self.values > MAX_VALUES:
            item.fail(f"more than {MAX_VALUES} values")
        if not self.open:
            self.root = item
        elif isinstance(parent := self.open[-1].value, list):
            parent.append(item)
        elif isinstance(parent, dict) and (waiting := self.pending[-1]):
            parent[waiting.text()] = item
            self.pending[-1] = None
        if opens:
            self.open.append(item)
            self.pending.append(None)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def override(root: Item, assignment: str) -> None:
    """Change the tree by ``dotted.key=value``; all but the last key must exist."""
    key, equals, text = assignment.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise CostModelError(f"--set {assignment!r}: expected KEY=VALUE, such as memories.external.bandwidth='2 GB/s'")
    at = root
    for depth, name in enumerate(names[:-1]):
        inner = _keys(at, assignment)
        if name not in inner:
            place = f" in {'.'.join(names[:depth])}" if depth else ""
            raise CostModelError(f"--set {assignment!r}: no key {name!r}{place}; {suggestion(name, inner)}")
        at = inner[name]
    _keys(at, assignment)[names[-1]] = parse(text, f"--set {assignment!r}", key=key.strip(), numbered=False)


def _keys(item: Item, assignment: str) -> dict[str, Item]:
    if not isinstance(item.value, dict):
        raise CostModelError(f"--set {assignment!r}: {item.key} is {item.describe()} and has no keys")
    return item.value


@dataclass(frozen=True)
class Reader(Generic[T]):
    """Item -> value, with what it accepts in the words of JSON Schema, or the record that each of its entries is."""

    read: Callable[[Item], T]
    accepts: Mapping[str, Any]
    entry: type | None = None

    def __call__(self, item: Item) -> T:
        """Read."""
        return self.read(item)


def accepts(**schema: Any) -> Callable[[Callable[[Item], T]], Reader[T]]:
    """Say of a function that reads an item what it accepts: keywords of JSON Schema."""
    return lambda read: Reader(read, schema)


TEXT: Final = accepts(type=["string", "number", "boolean", "null"])(Item.text)
"""Any text; a word that YAML takes for a number or for nothing is a text too."""

NAME: Final = accepts(type=["string", "number", "boolean"], minLength=1)(Item.name)
"""Any text but nothing."""


def key(read: Callable[[Item], Any], meaning: str, *, default: Any = MISSING) -> Any:
    """Declare a dataclass field that is read from the document's key of the same name."""
    return field(default=default, metadata={"read": read, "meaning": meaning})


def record(cls: type[T], item: Item, **given: Any) -> T:
    """Keys with values -> an instance of a dataclass whose fields were declared with :func:`key`; strict."""
    declared: Mapping[str, Any] = {f.name: f for f in fields(cls) if f.metadata}  # type: ignore[arg-type]
    found = item.mapping()
    for name, value in found.items():
        if name not in declared:
            value.fail(f"unknown key {name!r}; {suggestion(name, declared)}")
    for name, f in declared.items():
        if name not in found and f.default is MISSING:
            item.fail(f"key {name!r} is missing: {f.metadata['meaning']}")
    return cls(**given, **{name: declared[name].metadata["read"](value) for name, value in found.items()})


def one_of(choices: Iterable[str]) -> Reader[str]:
    """A reader for a word out of a few."""
    known = tuple(choices)

    @accepts(enum=list(known))
    def read(item: Item) -> str:
        word = item.text()
        if word not in known:
            item.fail(f"{item.describe()} is not accepted; {suggestion(word, known)}")
        return word

    return read


@dataclass(frozen=True)
class Named:
    """A record that carries the key it stood under as its name."""

    name: str


N = TypeVar("N", bound=Named)


def named(cls: type[N]) -> Reader[tuple[N, ...]]:
    """A reader for records by name: keys with values -> records in the order of the file."""

    def read(item: Item) -> tuple[N, ...]:
        found = item.mapping()
        if not found:
            item.fail("needs at least one entry")
        for name, inner in found.items():
            if not name or "." in name:
                inner.fail(f"{name!r} is no name: it must be a word without dots")
        return tuple(record(cls, inner, name=name) for name, inner in found.items())

    names = {"pattern": r"^[^.]+$"}
    return Reader(read, {"type": "object", "minProperties": 1, "propertyNames": names}, cls)
