"""What convolutions and pools share: friendly scalars at the border -> full per-axis tuples -> a :class:`Window`."""

from functools import cached_property

from costmodel.errors import WiringError
from costmodel.graph import Op, Window

Axes = int | tuple[int, ...]


class Windowed(Op, abstract=True):
    """An operator that slides a window over the spatial axes of an N x C x spatial map.

    ``kernel``, ``stride`` and ``dilation`` are one number for all axes or one per axis; a scalar kernel means two axes.
    ``pads`` is one number, one per axis, or ONNX's order: all the begins, then all the ends.
    """

    kernel: Axes
    stride: Axes
    dilation: Axes
    pads: Axes

    def __post_init__(self) -> None:
        rank = len(self.kernel) if isinstance(self.kernel, tuple | list) else 2
        if not 1 <= rank <= 3:
            raise WiringError(f"{self.kind}: kernel must have 1 to 3 axes, not {self.kernel!r}")
        for name, count, least in (
            ("kernel", rank, 1),
            ("stride", rank, 1),
            ("dilation", rank, 1),
            ("pads", 2 * rank, 0),
        ):
            value: Axes = getattr(self, name)
            numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * count
            if name == "pads" and len(numbers) == rank:
                numbers *= 2
            if len(numbers) != count or {*map(type, numbers)} != {int} or min(numbers) < least:
                raise WiringError(f"{self.kind}: {name} must be {count} integers of at least {least}, not {value!r}")
            object.__setattr__(self, name, numbers)

    @cached_property
    def window(self) -> Window:
        """The window in per-axis form."""
        kernel, stride, dilation, pads = self.kernel, self.stride, self.dilation, self.pads
        assert isinstance(kernel, tuple) and isinstance(stride, tuple)  # noqa: S101, PT018 - for the type checker
        assert isinstance(dilation, tuple) and isinstance(pads, tuple)  # noqa: S101, PT018
        return Window(kernel, stride, dilation, tuple(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)))
