"""A network's file -> Graph: each format in its own module, imported when a file of it is asked for."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Graph

FORMATS: Final[Mapping[str, str]] = {
    ".onnx": "costmodel.importers.onnx",
    ".yaml": "costmodel.importers.layers",
    ".yml": "costmodel.importers.layers",
}
"""Suffix -> the module that reads such files."""

OPEN: Final = frozenset({".onnx"})
"""Suffixes of formats that may leave sizes open, so that the batch is one of their options."""


class Format(Protocol):
    """A module that reads a kind of files."""

    def load(self, path: Path, **options: Any) -> Graph:
        """The network in a file; ``options`` are the format's own."""


def is_file(name: str) -> bool:
    """Whether a network's name is the path of a file."""
    return name.lower().endswith(tuple(FORMATS))


def is_open(name: str) -> bool:
    """Whether a network's name is the path of a file whose sizes may depend on the batch."""
    return name.lower().endswith(tuple(OPEN))


def load(name: str, **options: Any) -> Graph:
    """Read a network from a file, by the format that its suffix tells."""
    path = Path(name)
    if path.suffix.lower() not in FORMATS:
        raise CostModelError(f"{name}: a network's file ends in one of these; {suggestion(path.suffix, FORMATS)}")
    format_: Format = importlib.import_module(FORMATS[path.suffix.lower()])
    return format_.load(path, **options)
