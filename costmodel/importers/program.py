"""module.py:function -> Graph: runs the user's own code, which makes a torch module or a Graph.

The function returns a :class:`Graph`, a module, or (module, example inputs): one input, several in a tuple or a list,
or inputs by name in a dictionary. For a module alone their shapes must be given.
"""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Graph
from costmodel.importers.shapes import Shapes, given, titled

OWN: Final = Path(__file__).parents[1]
"""Where code is that is not the user's, beside torch's."""


def load(
    name: str, *, batch: int | None = None, shape: Shapes | None = None, unknown: str = "error", **parameters: Any
) -> Graph:
    """Run a function and read what it returns; ``parameters`` are its arguments.

    ``shape`` makes inputs, as {"input": (1, 3, 224, 224)} or "input=1x3x224x224"; a shape without a name is that of the
    first. A ``batch`` replaces how many images each input has.
    """
    shapes = given(name, shape)
    source, _, function = name.rpartition(":")
    with _beside(Path(source)):
        made = _returned(name, _member(name, _module(name, source), function), parameters)
    title = titled(f"{Path(source).name.removesuffix('.py')}:{function}", parameters, shapes, batch)
    if isinstance(made, Graph):
        if shapes or unknown != "error":
            raise CostModelError(f"{name}: it returns a Graph, to which --shape and --unknown do not apply")
        return made.replay(batch=batch, name=title)
    if isinstance(made, tuple) and len(made) != 2:
        raise CostModelError(
            f"{name}: expected a torch module or (module, example inputs), not a tuple of {len(made)}; "
            "several inputs are a tuple of their own: (module, (x, y))"
        )
    from costmodel.importers import torch

    module, inputs = made if isinstance(made, tuple) else (made, None)
    examples = torch.examples(name, module, inputs, shapes)
    return torch.read(title, module, *examples, unknown=unknown, batch=batch)


@contextlib.contextmanager
def _beside(source: Path) -> Iterator[None]:
    """A file's code finds the modules beside it, as if it was run, and prints where it does not mix with figures."""
    folder = str(source.parent.resolve())
    if source.suffix == ".py":
        sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if source.suffix == ".py" and folder in sys.path:
            sys.path.remove(folder)


@contextlib.contextmanager
def _users(what: str) -> Iterator[None]:
    """Whatever the user's code raises is answered with its line."""
    try:
        yield
    except CostModelError:
        raise
    except (Exception, SystemExit) as error:
        raise CostModelError(f"{what}: {reason(error)}") from None


def _module(name: str, source: str) -> ModuleType:
    """Run a file, or import a module that is installed."""
    file = Path(source)
    if file.suffix != ".py":
        with _users(f"{name}: cannot import {source}"):
            return importlib.import_module(source)
    if not file.is_file():
        raise CostModelError(f"{name}: cannot read {source}: there is no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None  # noqa: S101 - of a path that ends in .py there is one
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)  # where dataclasses look for it
    with _users(f"{name}: cannot run {source}"):
        spec.loader.exec_module(module)
    return module


def _member(name: str, module: ModuleType, function: str) -> Any:
    """The function, or whatever else has the name."""
    if not hasattr(module, function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise CostModelError(f"{name}: {module.__name__} has no {function!r}; {suggestion(function, known)}")
    return getattr(module, function)


def _returned(name: str, function: Any, parameters: Mapping[str, Any]) -> Any:
    """What a function returns; a module or a graph that stands in its place is taken as it is."""
    made = isinstance(function, Graph) or (hasattr(function, "forward") and not isinstance(function, type))
    if not (made or callable(function)):
        raise CostModelError(f"{name}: it is no function, but {type(function).__name__}")
    try:
        known = {} if made else inspect.signature(function).parameters
    except (TypeError, ValueError):
        known = {}
    for key in parameters:
        if key not in known:
            raise CostModelError(f"{name}: it has no parameter {key!r}; {suggestion(key, known)}")
    if made:
        return function
    with _users(f"{name}: the function cannot be run"):
        return function(**{key: _argument(value) for key, value in parameters.items()})


def _argument(value: Any) -> Any:
    """A word of the command line -> true or false, a number, or the word itself."""
    if not isinstance(value, str):
        return value
    for read in (lambda text: {"true": True, "false": False, "none": None}[text.lower()], int, float):
        with contextlib.suppress(KeyError, ValueError):
            return read(value)
    return value


def reason(error: BaseException) -> str:
    """An exception -> the first line of what it says, and the line of the user's code that it is from."""
    first, *_ = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    places = [(frame.filename, frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno, error.text))
    own = [(file, line, text) for file, line, text in places if not foreign(file)]
    place = f" ({own[-1][0]}, line {own[-1][1]}: {(own[-1][2] or '').strip()[:200]})" if own else ""
    return f"{type(error).__name__}: {first[:500]}{place}"


def foreign(file: str) -> bool:
    """Whether code in a file is not the user's, but this program's, torch's, or Python's own."""
    torch = sys.modules.get("torch")
    homes = (OWN, *map(Path, torch.__path__ if torch else ()))
    python = Path(contextlib.__file__).parent
    path = Path(file)
    own = path.is_relative_to(python) and not path.is_relative_to(python / "site-packages")
    return not file or file.startswith("<") or own or any(path.is_relative_to(home) for home in homes)
