"""Attributes and operand shapes -> the same, checked; what does not fit is a :class:`WiringError`."""

from math import inf

from costmodel.errors import WiringError
from costmodel.graph import FRACTIONS, Op, Reach, Shape, Type, dims


def channels_and_spatial(x: Shape) -> tuple[int, int, Shape]:
    """N x C x spatial -> (N, C, spatial), or an error for a shape without spatial axes."""
    if len(x) < 3:
        raise WiringError(f"needs a map of batch x channels x spatial axes, not {dims(x)}")
    n, c = x[:2]
    return n, c, x[2:]


def positive(op: Op, **values: int | None) -> None:
    """Check attributes that must be whole numbers of at least one; None means "not stated" and passes."""
    for name, value in values.items():
        if value is not None and (type(value) is not int or value < 1):
            raise WiringError(f"{op.kind}: {name} must be a positive integer, not {value!r}")


def not_negative(op: Op, **values: float) -> None:
    """Check attributes that must be finite numbers of at least zero."""
    for name, value in values.items():
        if not 0 <= value < inf:
            raise WiringError(f"{op.kind}: {name} must be a number of at least 0, not {value}")


def same_channels(stated: int | None, c: int) -> None:
    """Check a stated channel count against the operand's."""
    if stated is not None and stated != c:
        raise WiringError(f"expects {stated} channels, its input has {c}")


def integers(op: Op, name: str, values: object, *, least: int | None = None, optional: bool = False) -> None:
    """Check an attribute that must be a tuple of whole numbers, of at least ``least`` or, if ``optional``, None."""
    fits = isinstance(values, tuple) and all(
        (optional and value is None) or (type(value) is int and (least is None or value >= least)) for value in values
    )
    if not fits:
        bound = "" if least is None else f" of at least {least}"
        raise WiringError(f"{op.kind}: {name} must be a tuple of integers{bound}, not {values!r}")


def axis_of(axis: object, x: Shape) -> int:
    """An axis that may count from the end -> counted from the start, checked."""
    if type(axis) is not int or not -len(x) <= axis < len(x):
        raise WiringError(f"has axis {axis}, which {dims(x)} does not have")
    return axis % len(x)


def axes_of(axes: tuple[int, ...], x: Shape) -> tuple[int, ...]:
    """Axes that may count from the end -> counted from the start and in order, checked: some, each once."""
    places = tuple(sorted(axis_of(axis, x) for axis in axes))
    if not places or len({*places}) < len(places):
        raise WiringError(f"needs some axes of {dims(x)}, each once, not {axes}")
    return places


def broadcast(a: Shape, b: Shape) -> Shape:
    """Two shapes -> the shape that both stretch to, axes aligned at the end."""
    rank = max(len(a), len(b))
    pairs = list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise WiringError(f"cannot combine {dims(a)} with {dims(b)}: sizes must be equal or 1")
    return tuple(max(x, y) for x, y in pairs)


def along(axes: tuple[int, ...]) -> Reach:
    """Axes that an output value needs all along -> its reach: the channels are axis 1, the positions lie behind."""
    if axes == (1,):
        return "pixel"
    return "channel" if min(axes) > 1 else "all"


def whole_numbers(dtype: Type) -> tuple[Type, ...]:
    """The element type of operands that must be whole numbers, checked; a network's own is that of fractions."""
    if dtype is None or dtype in FRACTIONS or dtype == "bool":
        raise WiringError(f"takes whole numbers, such as int64, not {dtype or 'the type of the network'}")
    return (dtype,)
