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


PROGRAM: Final = "costmodel.importers.program"
"""The module that runs a user's function, as in ``model.py:build`` or ``package.module:build``."""


class Format(Protocol):
    """A module that reads a kind of files."""

    def load(self, path: Path, **options: Any) -> Graph:
        """The network in a file; ``options`` are the format's own."""


def is_program(name: str) -> bool:
    """Whether a network's name is that of a function, so that reading it runs code."""
    source, colon, function = name.rpartition(":")
    dotted = all(part.isidentifier() for part in source.split("."))
    return bool(colon) and function.isidentifier() and (dotted or source.endswith(".py"))


def is_file(name: str) -> bool:
    """Whether a network's name is not one of the zoo's, but says where it is: a file's path, or a function."""
    return name.lower().endswith(tuple(FORMATS)) or is_program(name)


def is_open(name: str) -> bool:
    """Whether a network's name is that of a file or a function whose sizes may depend on the batch."""
    return name.lower().endswith(tuple(OPEN)) or is_program(name)


def load(name: str, **options: Any) -> Graph:
    """Read a network from a file, by the format that its suffix tells, or run the function that makes it."""
    if is_program(name):
        program: Any = importlib.import_module(PROGRAM)
        made: Graph = program.load(name, **options)
        return made
    path = Path(name)
    if path.suffix.lower() not in FORMATS:
        raise CostModelError(f"{name}: a network's file ends in one of these; {suggestion(path.suffix, FORMATS)}")
    try:
        path.stat()  # before the format's module is asked for, which may need what is not installed
    except OSError as error:
        raise CostModelError(f"{path}: cannot read it: {error.strerror}") from None
    format_: Format = importlib.import_module(FORMATS[path.suffix.lower()])
    return format_.load(path, **options)
