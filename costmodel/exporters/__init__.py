"""Graph -> a network's file: each format in its own module, imported when a file of it is asked for."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Graph

FORMATS: Final[Mapping[str, str]] = {
    ".onnx": "costmodel.exporters.onnx",
    ".yaml": "costmodel.exporters.layers",
    ".yml": "costmodel.exporters.layers",
}
"""Suffix -> the module that writes such files."""

STREAM: Final = ".yaml"
"""What standard output gets."""


class Format(Protocol):
    """A module that writes a kind of files."""

    def encode(self, graph: Graph, **options: Any) -> bytes:
        """A file's content, from which the same graph can be read; an error if the format cannot hold it.

        ``options`` are the format's own.
        """


def format_of(path: Path) -> Format:
    """The format that a path's suffix tells; ``-`` is standard output."""
    suffix = STREAM if str(path) == "-" else path.suffix.lower()
    if suffix not in FORMATS:
        raise CostModelError(f"{path}: a network's file ends in one of these; {suggestion(suffix, FORMATS)}")
    format_: Format = importlib.import_module(FORMATS[suffix])
    return format_
