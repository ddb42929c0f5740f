"""Options as given -> the networks and parameters that they ask for; and outputs that do not collide."""

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

import costmodel
from costmodel.errors import CostModelError, printable

if TYPE_CHECKING:
    from costmodel.graph import Graph

PICTURES: Final = ("svg", "png", "pdf")


def names_of(networks: list[str]) -> list[str]:
    """The networks that were named; ``all`` is the whole zoo."""
    from costmodel import zoo

    if "all" in networks and networks != ["all"]:
        raise CostModelError("'all' is every network and stands alone")
    return zoo.names() if networks == ["all"] else networks


_FILE: Final[ContextVar[str]] = ContextVar("file", default="")
"""The file that the command's network comes from."""


def message(error: CostModelError) -> str:
    """What an error says, with the network's file in front if it is not named: some come up long after it was read."""
    file = _FILE.get()
    return str(error) if file in str(error) or str(Path(file)) in str(error) else f"{file}: {error}"


def warn(text: str) -> None:
    """Print a warning."""
    typer.echo(printable(f"warning: {text}"), err=True)


def graph_of(
    network: str,
    batch: int | None,
    dtype: str | None,
    *,
    param: Sequence[str] | None,
    notes: bool = True,
    **chosen: Any,
) -> "Graph":
    """The network that was named, with the parameters that were given; its ``notes`` are warnings."""
    from costmodel import importers

    _FILE.set(network if importers.is_file(network) else "")
    graph = costmodel.network(network, batch=batch, dtype=dtype, **parameters_of(param, **chosen))
    if len(graph.nodes) == len(graph.inputs):
        raise CostModelError(f"{network}: a network needs at least one layer")
    for note in graph.notes if notes else ():
        warn(note)
    return graph


def parameters_of(param: Sequence[str] | None, **chosen: Any) -> dict[str, Any]:
    """The network's parameters out of the options that were given, and of NAME=VALUE pairs."""
    parameters = {name: value for name, value in chosen.items() if value is not None}
    for assignment in param or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CostModelError(f"--param {assignment!r}: expected NAME=VALUE, such as dense_head=true")
        key = name.strip().replace("-", "_")
        if key in parameters:
            raise CostModelError(f"--param {assignment!r}: {key} is given twice")
        parameters[key] = value.strip()
    return parameters


def _file(source: Path | str) -> str | None:
    """The file that an input is, or whose code it runs; None for the name of something shipped."""
    from costmodel import importers

    path = source.rpartition(":")[0] if isinstance(source, str) and importers.is_program(source) else str(source)
    named = isinstance(source, Path) or path.lower().endswith((".yaml", ".yml", ".py", *importers.FORMATS))
    return path if named and os.path.exists(path) else None  # noqa: PTH110 - never raises


def distinct(outputs: Mapping[str, Path | None], inputs: Sequence[Path | str] = ()) -> None:
    """Refuse two outputs in one place, and an output in the place of an input."""
    given = [path for path in outputs.values() if path is not None]
    places = [os.path.abspath(path) for path in given]  # noqa: PTH100 - "." and ".." go, links stay
    read = {os.path.realpath(file) for source in inputs if (file := _file(source))}
    for path, place in zip(given, places, strict=True):
        if str(path) != "-" and os.path.realpath(path) in read:
            raise CostModelError(f"{path}: it is what this command reads, and would be overwritten")
        if places.count(place) > 1:
            where = "standard output" if str(path) == "-" else f"the file {path}"
            *others, last = outputs
            raise CostModelError(f"{', '.join(others)} and {last} cannot share {where}")


def picture_format(option: str, output: Path) -> str:
    """The format that a picture's name asks for."""
    if str(output) == "-":
        return "svg"
    kind = output.suffix.lower().removeprefix(".")
    if kind not in PICTURES:
        raise CostModelError(f"{option} {output}: the name must end in .svg, .png or .pdf, or be - for SVG")
    return kind
