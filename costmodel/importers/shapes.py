"""Shapes of inputs as a user gives them -> by name; and the name of a network that they are shown in."""

from collections.abc import Mapping, Sequence
from typing import Any

from costmodel.errors import CostModelError
from costmodel.graph import Shape, dims

Shapes = Mapping[str, Shape] | Sequence[str] | str


def given(network: object, shape: Shapes | None) -> dict[str, Shape]:
    """Shapes of inputs as they were given -> by name; a shape without a name has the name ''."""
    if shape is None:
        return {}
    if isinstance(shape, Mapping):
        return {str(name): _checked(network, str(name), sizes, sizes) for name, sizes in shape.items()}
    found: dict[str, Shape] = {}
    for text in [shape] if isinstance(shape, str) else shape:
        name, _, sizes = str(text).rpartition("=")
        if name in found:
            raise CostModelError(f"{network}: the shape of {name!r} is given twice")
        numbers = [int(size) if size.isdecimal() else 0 for size in sizes[:200].split("x")]
        found[name] = _checked(network, name, numbers, sizes)
    return found


def _checked(network: object, name: str, sizes: Any, shape: Any) -> Shape:
    if isinstance(sizes, list | tuple) and sizes and all(type(size) is int and size > 0 for size in sizes):
        return tuple(sizes)
    raise CostModelError(f"{network}: the shape of {name!r} must be sizes such as 1x3x224x224, not {shape!r:.40}")


def agreed(network: object, name: str, size: int, batch: int) -> None:
    """Refuse a batch beside a shape that says another; 1 says none."""
    if size not in (1, batch):
        raise CostModelError(f"{network}: --shape gives {name!r} {size} images, and --batch says {batch}")


def titled(name: str, parameters: Mapping[str, Any], shapes: Mapping[str, Shape], batch: int | None) -> str:
    """A network's name with all that was chosen: ``model(input=1x3x96x96, batch=8)``."""
    chosen = [f"{key}={value}" for key, value in parameters.items()]
    chosen += [f"{key or 'input'}={dims(shape)}" for key, shape in shapes.items()]
    chosen += [f"batch={batch}"] * (batch is not None)
    return f"{name}({', '.join(chosen)})" if chosen else name
