"""Name x keyword parameters -> Graph: the registry of architectures, loaded when one is asked for."""

import functools
import importlib
import math
import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from costmodel import resources
from costmodel.errors import CostModelError, WiringError, suggestion
from costmodel.graph import Graph, Tensor

PACKAGE: Final = "costmodel.architectures"

SMALL: Final = 32
"""Below this size most windows of most networks lie in the padding."""

DEEPEST: Final = 1024
"""How many blocks a network may be built of where that is a parameter."""

_REGISTRY: Final[dict[str, "Architecture"]] = {}


@dataclass(frozen=True)
class Architecture:
    """A registered builder, what its source declares of it, and the parameters it takes.

    ``params`` and ``macs`` are the source's own figures at the source's precision (``"3.5 M"``); None if it has none.
    """

    name: str
    builder: Callable[..., Tensor]
    params: str | None
    macs: str | None
    source: str

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (self.builder.__doc__ or "").strip().split("\n", 1)[0]

    @functools.cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The parameters with their default values."""
        code = self.builder.__code__
        missing = (None,) * code.co_argcount
        values = (missing + (self.builder.__defaults__ or ()))[-code.co_argcount :] if code.co_argcount else ()
        return dict(zip(code.co_varnames[: code.co_argcount], values, strict=True))

    @property
    def takes(self) -> str:
        """The parameters with their default values, for people."""
        return ", ".join(f"{name}={value}" for name, value in self.defaults.items())

    def __call__(self, **parameters: Any) -> Graph:
        """Build the network; a parameter may be given as text and is read as its default's type."""
        chosen = {name: self._value(name, value) for name, value in parameters.items()}
        changed = ", ".join(f"{name}={value}" for name, value in chosen.items() if value != self.defaults[name])
        try:
            output = self.builder(**chosen)
        except WiringError as error:
            raise WiringError(f"{error}{self._hint(chosen)}") from None
        return Graph(output, f"{self.name}({changed})" if changed else self.name)

    def small(self, **parameters: Any) -> int | None:
        """The smallest size from :data:`SMALL` on that works, at most the usual one; None for a network without."""
        usual = self.defaults.get("size")
        if usual is None:
            return None
        chosen = {name: self._value(name, value) for name, value in parameters.items()}
        sizes = range(min(SMALL, usual), usual)
        return next((size for size in sizes if self._works({**chosen, "size": size})), usual)

    def _hint(self, chosen: Mapping[str, Any]) -> str:
        """The smallest size that works where the chosen one does not, if that is what is wrong."""
        usual = self.defaults.get("size")
        if usual is None or chosen.get("size", usual) >= usual or not self._works({**chosen, "size": usual}):
            return ""
        too_small, works = chosen["size"], usual
        while works - too_small > 1:
            middle = (too_small + works) // 2
            if self._works({**chosen, "size": middle}):
                works = middle
            else:
                too_small = middle
        return f"; the smallest size that works is {works}"

    def _works(self, chosen: Mapping[str, Any]) -> bool:
        try:
            self.builder(**chosen)
        except CostModelError:
            return False
        return True

    def _value(self, name: str, value: Any) -> Any:
        if name not in self.defaults:
            raise CostModelError(f"network {self.name!r} has no parameter {name!r}; {suggestion(name, self.defaults)}")
        wanted = type(self.defaults[name])
        try:
            read = _READERS[wanted](value)
        except (ValueError, KeyError, OverflowError):
            read = None
        if read is None or (wanted is not bool and not 0 < read < math.inf):
            kind = {int: "a positive integer", float: "a positive number", bool: "true or false"}[wanted]
            raise CostModelError(f"network {self.name!r}: {name} must be {kind}, not {value!r}")
        if name == "depth" and read > DEEPEST:
            raise CostModelError(f"network {self.name!r}: {name} must be at most {DEEPEST}, not {value!r}")
        return read


def _whole(value: Any) -> int:
    if isinstance(value, str) and len(value) <= 18:
        return int(value)
    if type(value) is int:
        return value
    raise ValueError(value)


def _real(value: Any) -> float:
    if isinstance(value, str | int | float) and type(value) is not bool:
        return float(value)
    raise ValueError(value)


_READERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    int: _whole,
    float: _real,
    bool: lambda value: {"true": True, "false": False}[str(value).lower()],
}


def architecture(
    *, source: str, params: str | None = None, macs: str | None = None
) -> Callable[[Callable[..., Tensor]], Architecture]:
    """Register a builder under its own name, with the figures its source declares."""

    def register(builder: Callable[..., Tensor]) -> Architecture:
        name = builder.__name__
        if name in _REGISTRY:
            raise TypeError(f"architecture {name!r} is registered already, by {_REGISTRY[name].builder.__module__}")
        made = Architecture(name, builder, params, macs, source)
        wrong = [key for key, value in made.defaults.items() if type(value) not in _READERS]
        if wrong or builder.__kwdefaults__:
            raise TypeError(f"architecture {name!r}: every parameter needs a default that is an int, a float or a bool")
        return _REGISTRY.setdefault(name, made)

    return register


def scaled(channels: int, width: float) -> int:
    """Channels x width multiplier -> the nearest whole number of channels, at least one."""
    if math.isinf(channels * width):
        raise CostModelError(f"{channels} channels times a width of {width} is not a number of channels")
    return max(1, round(channels * width))


def get(name: str) -> Architecture:
    """Name -> architecture; ``-`` and ``_`` are the same. Loads no more modules than needed."""
    key = name.replace("-", "_").lower()
    if key not in _REGISTRY:
        modules = _modules()
        for module in [key] if key in modules else modules:
            importlib.import_module(f"{PACKAGE}.{module}")
    if key not in _REGISTRY:
        raise CostModelError(f"no network {name!r}; {suggestion(name, names())}{_file(name)}")
    return _REGISTRY[key]


def _file(name: str) -> str:
    """The file that may be meant."""
    there = os.path.exists(f"{name}.yaml")  # noqa: PTH110 - never raises
    return f"; a file's path must end in .yaml: {name}.yaml" if there else ", or the path of a .yaml file"


def names() -> list[str]:
    """Every registered network, in alphabetical order."""
    for module in _modules():
        importlib.import_module(f"{PACKAGE}.{module}")
    return sorted(_REGISTRY)


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(resources.package(PACKAGE).__path__)]
