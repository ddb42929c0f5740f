"""A YAML data sheet -> Hardware: strict, frozen, every number with a unit; errors name file, line and key."""

import math
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from costmodel import document, resources, units
from costmodel.document import NAME, TEXT, Item, Named, Reader, accepts, key, named, one_of, record
from costmodel.errors import CostModelError, suggestion

PACKAGE: Final = "costmodel.hardware_profiles"
OVERLAPS: Final = ("none", "layer", "prefetch")
REST: Final = "rest"

NOTHING: Final = "nothing"
"""What bounds a layer that takes no time; no memory and no engine has this name."""

TAKEN: Final = "it is what bounds a layer that takes no time"


def quantity(unit: str, *, infinite: bool = False) -> Reader[int | float]:
    """A reader for a positive number with a unit."""

    @accepts(type="string", pattern=units.pattern(unit, infinite=infinite))
    def read(item: Item) -> int | float:
        text = item.text()
        try:
            value = units.parse(text, unit)
        except CostModelError as error:
            item.fail(str(error))
        if value <= 0:
            item.fail(f"{text!r} must be greater than zero")
        if math.isinf(value) and not infinite:
            item.fail(f"{text!r} must be finite, such as {units.EXAMPLES[unit]!r}")
        return value

    return read


@accepts(type="array", items={"$ref": "#/$defs/operator"})
def _words(item: Item) -> tuple[str, ...]:
    return tuple([word.text() for word in item.items()])


@accepts(anyOf=[{"const": REST}, {"type": "array", "items": {"$ref": "#/$defs/runs"}}])
def _runs(item: Item) -> tuple[str, ...]:
    if item.value == REST:
        return (REST,)
    if isinstance(item.value, str):
        item.fail(f"expected a list of operators such as [Conv, Linear], or {REST!r}, not {item.value!r}")
    return _words(item)


@accepts(type="array", items={"type": "array", "items": {"$ref": "#/$defs/operator"}, "minItems": 2})
def _patterns(item: Item) -> tuple[tuple[str, ...], ...]:
    for pattern in item.items():
        if len(pattern.items()) < 2:
            pattern.fail("a fuse pattern is a list of at least two operators, such as [BatchNorm, Relu]")
    return tuple([_words(pattern) for pattern in item.items()])


@accepts(**{"$ref": "#/$defs/policy"})
def _policy(item: Item) -> str:
    return item.text()


@dataclass(frozen=True)
class Engine(Named):
    """Something that computes: a rate, and the operators that run on it (or all the ``rest``)."""

    peak: float = key(quantity("OP/s"), "operations per second; one MAC is two operations")
    runs: tuple[str, ...] = key(
        _runs,
        f"list of operators, such as Conv, or of forms, such as Conv depthwise; or {REST!r} for all that no other runs",
    )
    source: str = key(TEXT, "where the figures are from", default="")


@dataclass(frozen=True)
class Memory(Named):
    """Something that stores: a size, and the rate at which it delivers and takes bytes."""

    size: float = key(quantity("B", infinite=True), "capacity; inf is accepted")
    bandwidth: float = key(
        quantity("B/s", infinite=True), "bytes per second, read or written; inf (the default) costs no time",
        default=math.inf,
    )  # fmt: skip
    read: float | None = key(
        quantity("B/s", infinite=True), "bytes per second read, where writing has another rate", default=None
    )
    write: float | None = key(
        quantity("B/s", infinite=True), "bytes per second written, where reading has another rate", default=None
    )
    source: str = key(TEXT, "where the figures are from", default="")

    @property
    def rates(self) -> tuple[float, float]:
        """Bytes per second read, and written."""
        both = self.bandwidth
        return both if self.read is None else self.read, both if self.write is None else self.write

    @property
    def rate(self) -> float:
        """Bytes per second in the faster direction: no mix of reads and writes is faster."""
        return max(self.rates)

    def seconds(self, read: int, written: int) -> float:
        """How long bytes read and written take, one after the other."""
        reads, writes = self.rates
        return (read + written) / reads if reads == writes else read / reads + written / writes


@dataclass(frozen=True)
class Hardware:
    """A machine: engines, memories from the nearest to the farthest, and how it runs a network."""

    name: str = key(NAME, "the machine's name")
    engines: tuple[Engine, ...] = key(named(Engine), "what computes, by name")
    memories: tuple[Memory, ...] = key(named(Memory), "what stores, by name, nearest first")
    source: str = key(TEXT, "where the figures are from", default="")
    fuse: tuple[tuple[str, ...], ...] = key(_patterns, "operators that run as one pass", default=())
    overlap: str = key(
        one_of(OVERLAPS),
        "none: transfer and compute add up; layer: each layer takes the larger of the two; prefetch: and what the next "
        "layer reads is fetched meanwhile, where there is room",
        default="none",
    )
    overhead: float = key(quantity("s"), "what each layer takes besides, such as 5 us to start it", default=0.0)
    placement: str = key(_policy, "the policy that decides which memory a tensor lives in", default="threshold")
    settings: tuple[str, ...] = ()
    """What was changed after the file was read, as ``key=value``."""
    file: str = field(default="", compare=False)
    """Its path, for messages; empty for a shipped one."""

    @property
    def title(self) -> str:
        """The name, and what was changed."""
        return f"{self.name} with {', '.join(self.settings)}" if self.settings else self.name

    def engine_for(self, operator: str, form: str = "") -> Engine:
        """The engine that runs an operator: the one for its form before the one for all its forms."""
        for wanted in (f"{operator} {form}", operator, REST):
            for engine in self.engines:
                if wanted in engine.runs:
                    return engine
        lists = "; ".join(f"{engine.name} runs {', '.join(engine.runs)}" for engine in self.engines)
        place = f"{self.file}: " if self.file else ""
        raise CostModelError(f"{place}machine {self.name!r} has no engine for operator {operator!r}: {lists}")


def load(
    name: str, *, operators: Collection[str], forms: Collection[str], policies: Collection[str],
    settings: Sequence[str] = (),
) -> Hardware:  # fmt: skip
    """Read a shipped machine by name or a file by path, apply ``key=value`` settings, and check it.

    ``operators``, ``forms`` of them and ``policies`` are the known names that ``runs``, ``fuse`` and ``placement`` use.
    """
    shipped = profiles()
    looks_like_path = name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name
    if not looks_like_path and name not in shipped:
        there = os.path.exists(f"{name}.yaml")  # noqa: PTH110 - never raises
        hint = f"; a file's path must end in .yaml: {name}.yaml" if there else ""
        raise CostModelError(f"no machine {name!r}; {suggestion(name, shipped)}, or the path of a .yaml file{hint}")
    root = document.load(Path(name) if looks_like_path else shipped[name])
    if "layers" in root.mapping() and "engines" not in root.mapping():
        root.fail("this file lists the layers of a network, not what a machine has; a machine has engines and memories")
    for assignment in settings:
        document.override(root, assignment)
    machine = record(Hardware, root, settings=tuple(settings), file=name if looks_like_path else "")
    _check_memories(root.mapping()["memories"], machine)
    _check_engines(root.mapping()["engines"], machine.engines, {*operators, *forms})
    if machine.fuse:
        for pattern in root.mapping()["fuse"].items():
            _check_names(pattern.items(), operators, "operator")
    if "placement" in root.mapping():
        _check_names([root.mapping()["placement"]], policies, "placement policy")
    return machine


def profiles() -> dict[str, Path]:
    """The shipped machines: name -> file."""
    (folder,) = resources.package(PACKAGE).__path__
    return {file.stem: file for file in sorted(Path(folder).glob("*.yaml"))}


def _check_memories(item: Item, machine: Hardware) -> None:
    engines = {engine.name for engine in machine.engines}
    for name, memory in item.mapping().items():
        if name == NOTHING:
            memory.fail(f"{name!r} is no name: {TAKEN}")
        if name in engines:
            memory.fail(f"{name!r} is the name of an engine already")
        keys = memory.mapping()
        if "bandwidth" in keys and ("read" in keys or "write" in keys):
            memory.fail("a memory has one bandwidth, or a rate to read and a rate to write, but not both")
        if ("read" in keys) != ("write" in keys):
            given, other = ("read", "write") if "read" in keys else ("write", "read")
            memory.fail(f"beside {given!r} it needs {other!r}; one rate for both is a bandwidth")
    if not {"bandwidth", "read"} & memory.mapping().keys():
        memory.fail("the farthest memory needs a bandwidth; inf is accepted and costs no time")


def _check_engines(item: Item, engines: Iterable[Engine], operators: Collection[str]) -> None:
    owner: dict[str, str] = {}
    for engine in engines:
        if engine.name == NOTHING:
            item.mapping()[engine.name].fail(f"{NOTHING!r} is no name: {TAKEN}")
        runs: Any = item.mapping()[engine.name].mapping()["runs"]
        if engine.runs != (REST,):
            _check_names(runs.items(), operators, "operator")
        for name in engine.runs:
            if name in owner:
                what = f"{REST!r}" if name == REST else f"operator {name!r}"
                runs.fail(f"{what} runs on engine {owner[name]!r} already")
            owner[name] = engine.name


def _check_names(items: Iterable[Item], known: Collection[str], what: str) -> None:
    for item in items:
        if item.text() not in known:
            item.fail(f"unknown {what} {item.text()!r}; {suggestion(item.text(), known)}")
