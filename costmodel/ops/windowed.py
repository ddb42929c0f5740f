"""What convolutions and pools share: friendly scalars at the border -> full per-axis tuples -> a :class:`Window`."""

from functools import lru_cache
from typing import Any, Final

from costmodel.errors import WiringError
from costmodel.graph import Op, Window

Axes = int | tuple[int, ...]

SEVERAL: Final = (tuple, list)


class Windowed(Op, abstract=True):
    """An operator that slides a window over the spatial axes of an N x C x spatial map.

    ``kernel``, ``stride`` and ``dilation`` are one number for all axes or one per axis; a scalar kernel means two axes.
    ``pads`` is one number, one per axis, or ONNX's order: all the begins, then all the ends.
    """

    kernel: Axes
    stride: Axes
    dilation: Axes
    pads: Axes
    _window: Window

    def __post_init__(self) -> None:
        rank = len(self.kernel) if isinstance(self.kernel, SEVERAL) else 2
        if not 1 <= rank <= 3:
            raise WiringError(f"{self.kind}: kernel must have 1 to 3 axes, not {self.kernel!r}")
        numbers = [
            self._numbers("kernel", self.kernel, rank, 1),
            self._numbers("stride", self.stride, rank, 1),
            self._numbers("dilation", self.dilation, rank, 1),
            self._numbers("pads", self.pads, 2 * rank, 0),
        ]
        object.__setattr__(self, "_window", _window(*numbers))

    def _numbers(self, name: str, value: Axes, count: int, least: int) -> tuple[int, ...]:
        """Replace an attribute by as many numbers as it stands for, checked."""
        if type(value) is int and value >= least:
            numbers = (value,) * count
        else:
            numbers = tuple(value) if isinstance(value, SEVERAL) else ()
            if name == "pads" and 2 * len(numbers) == count:
                numbers *= 2
            if len(numbers) != count or {*map(type, numbers)} != {int} or min(numbers) < least:
                raise WiringError(f"{self.kind}: {name} must be {count} integers of at least {least}, not {value!r}")
        object.__setattr__(self, name, numbers)
        return numbers

    @property
    def window(self) -> Window:
        """The window in per-axis form."""
        return self._window

    def onnx_window(self) -> dict[str, Any]:
        """The window as attributes of an ONNX node."""
        return {"kernel_shape": self.kernel, "strides": self.stride, "dilations": self.dilation, "pads": self.pads}


@lru_cache(maxsize=1024)
def _window(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], pads: tuple[int, ...]
) -> Window:
    axes = len(kernel)
    return Window(kernel, stride, dilation, tuple(zip(pads[:axes], pads[axes:], strict=True)))
