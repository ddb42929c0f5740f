"""Operators that read a map at places that are computed, and that put windows together again.

A value between elements is their mean by distance: of two along each axis, outside of the map of zeros. The places and
the distances, which are the same for all channels, are not counted, as those of a resize are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import NO_WORK, Loops, Op, Shape, Tensor, Type, Varying, Window, Work, dims
from costmodel.ops.checks import channels_and_spatial, integers, positive
from costmodel.ops.convolution import Conv
from costmodel.ops.indexing import whole
from costmodel.ops.onnx import OnnxForm, OnnxNode
from costmodel.ops.windowed import Axes, Windowed


def between(x: Array, places: Sequence[Array]) -> Array:
    """x: N x C x spatial, and for each spatial axis places: N x any -> the values there: N x C x any."""
    images = np.arange(len(x)).reshape(-1, *(1 for _ in places[0].shape[1:]))
    values, y = np.moveaxis(x, 1, -1), np.zeros((), x.dtype)
    for taps in product((0, 1), repeat=len(places)):
        indices, share = [], np.ones((), x.dtype)
        for place, tap, size in zip(places, taps, x.shape[2:], strict=True):
            below = np.floor(place)
            near, index = 1 - abs(place - below - tap), below + tap
            share = share * np.where((index >= 0) & (index < size), near, 0)
            indices.append(np.clip(index, 0, size - 1).astype(np.int64))
        y = y + values[(images, *indices)] * share[..., None]
    return np.moveaxis(y, -1, 1).astype(x.dtype)


PADDINGS: Final = ("zeros", "border", "reflection")


@dataclass(frozen=True)
class GridSample(Op):
    """y[n,c,p] = x[n, c, at grid[n,p]], between elements by the ``mode``: linear or nearest.

    x: N x C x spatial; grid: N x positions x axes, from -1 to 1 and the last axis first; y: N x C x positions. Outside
    of x lie zeros, its border, or its reflection. With ``corners`` -1 and 1 are the centers of the outermost elements,
    else their outer edges. A linear value has two taps along each axis.
    """

    mode: str = "linear"
    padding: str = "zeros"
    corners: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("GridSample",)
    each: ClassVar[Work] = Work(multiply=1, add=1)
    unit: ClassVar[str] = "output element and tap"
    why: ClassVar[str] = "multiply by the tap's weight, add to the sum; the nearest one computes nothing"

    def __post_init__(self) -> None:
        if self.mode not in ("linear", "nearest"):
            raise WiringError(f"GridSample: mode must be linear or nearest, not {self.mode!r}")
        if self.padding not in PADDINGS:
            raise WiringError(f"GridSample: padding must be one of {', '.join(PADDINGS)}, not {self.padding!r}")
        if self.mode == "nearest":
            object.__setattr__(self, "each", NO_WORK)

    def shape(self, x: Shape, grid: Shape) -> Shape:
        """N x C x spatial, N x positions x axes -> N x C x positions."""
        n, c, spatial = channels_and_spatial(x)
        if len(grid) != len(x) or grid[0] != n or grid[-1] != len(spatial):
            raise WiringError(f"cannot sample {dims(x)} at {dims(grid)}: needs {len(spatial)} numbers per position")
        return (n, c, *grid[1:-1])

    def units(self, x: Shape, grid: Shape) -> int:
        """Two taps along each axis for each output."""
        return prod(self.shape(x, grid)) * self.taps(x)

    def taps(self, x: Shape) -> int:
        """How many elements of x make one output."""
        return 2 ** len(x[2:]) if self.mode == "linear" else 1

    def reads(self, x: Shape, grid: Shape) -> dict[int | str, int]:
        """The taps of x."""
        return {0: prod(self.shape(x, grid)) * self.taps(x)}

    def place(self, along: Array, size: int) -> Array:
        """Numbers from -1 to 1 -> places along an axis, moved into it as the padding says."""
        place = (along + 1) / 2 * (size - 1) if self.corners else ((along + 1) * size - 1) / 2
        if self.padding == "reflection":
            low, high = (0, size - 1) if self.corners else (-0.5, size - 0.5)
            span = max(high - low, 1)
            far = abs(place - low) % (2 * span)
            place = low + np.where(far > span, 2 * span - far, far)
        return place if self.padding == "zeros" else np.clip(place, 0, size - 1)

    def run(self, x: Array, grid: Array) -> Array:
        """The values at all positions."""
        spatial = x.shape[2:]
        places = [self.place(grid[..., len(spatial) - 1 - axis], size) for axis, size in enumerate(spatial)]
        return between(x, places if self.mode == "linear" else [np.rint(place) for place in places])

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """The linear mode has other names before operator set 20."""
        mode = node.get("mode", "linear")
        mode = "linear" if mode == "bilinear" else mode
        if mode not in ("linear", "nearest"):
            raise UnsupportedError(f"mode {mode!r} is not supported; known: linear, nearest")
        op = cls(mode, str(node.get("padding_mode", "zeros")), bool(node.get("align_corners", 0)))
        return node.apply(op, node.tensor(0), node.tensor(1))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """In the mode's newer name."""
        return form.apply("GridSample", mode=self.mode, padding_mode=self.padding, align_corners=int(self.corners))


@dataclass(frozen=True)
class AffineGrid(Op):
    """y[n,p] = theta[n] times the place p and a 1: theta: N x axes x (axes + 1); y: N x positions x axes.

    There are ``size`` positions along each axis, from -1 to 1 and the last axis first; with ``corners`` these are the
    outermost positions, else the outer edges of these.
    """

    size: tuple[int, ...]
    corners: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("AffineGrid",)

    def __post_init__(self) -> None:
        integers(self, "size", self.size, least=1)

    def shape(self, theta: Shape) -> Shape:
        """N x axes x (axes + 1) -> N x positions x axes."""
        rank = len(self.size)
        if theta[1:] != (rank, rank + 1):
            raise WiringError(f"needs batch x {rank} x {rank + 1} for {dims(self.size)} positions, not {dims(theta)}")
        return (theta[0], *self.size, rank)

    def loops(self, theta: Shape) -> Loops:
        """Per image: positions x (axes + 1) by axes."""
        n, rank, inner = theta
        return Loops(n, 1, prod(self.size), rank, inner)

    def run(self, theta: Array) -> Array:
        """All places at once."""
        ends = [1.0 if self.corners else 1 - 1 / size for size in self.size]
        along = [np.linspace(-end, end, size) for end, size in zip(ends, self.size, strict=True)]
        places = [*np.meshgrid(*along, indexing="ij")[::-1], np.ones(self.size)]
        return np.einsum("...k,nik->n...i", np.stack(places, axis=-1).astype(theta.dtype), theta)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Its size is that of a map, with images and channels."""
        theta, size = node.tensor(), node.integers(1)
        if size is None or len(size) < 3 or size[0] != theta.shape[0]:
            raise WiringError(f"has size {size} for {dims(theta.shape)}")
        return node.apply(cls(size[2:], bool(node.get("align_corners", 0))), theta)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """As for a map of one channel."""
        ((n, *_),) = form.shapes
        return form.apply("AffineGrid", *form.operands, (n, 1, *self.size), align_corners=int(self.corners))


@dataclass(frozen=True)
class RoiAlign(Op):
    """y[r,c,i,j] = mean of ``samples``^2 values of x[image[r], c] in part i, j of region r. Source: He et al. 2017.

    x: N x C x H x W; regions: R x (x1, y1, x2, y2), which ``scale`` makes elements; image: R; y: R x C x height x
    width. Each value is between four elements, and the mean is one sum of them all. ``half_pixel`` regions are moved by
    half an element, and may be empty.
    """

    height: int = 1
    width: int = 1
    samples: int = 2
    scale: float = 1.0
    half_pixel: bool = True

    onnx: ClassVar[tuple[str, ...]] = ("RoiAlign",)
    each: ClassVar[Work] = Work(multiply=1, add=1)
    unit: ClassVar[str] = "output element, sample and tap"
    why: ClassVar[str] = "multiply by the tap's weight, add to the sum"

    def __post_init__(self) -> None:
        positive(self, height=self.height, width=self.width, samples=self.samples)

    def shape(self, x: Shape, regions: Shape, image: Shape) -> Shape:
        """N x C x H x W, R x 4 and R -> R x C x height x width."""
        if len(x) != 4 or len(regions) != 2 or regions[1] != 4 or image != regions[:1]:
            raise WiringError(f"needs a map of four axes, regions x 4, and an image for each, not {dims(regions)}")
        return (regions[0], x[1], self.height, self.width)

    def types(self, x: Type, regions: Type, image: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """Map and regions have one type."""
        return super().types(x, regions)

    def units(self, x: Shape, regions: Shape, image: Shape) -> int:
        """Four taps for each sample of each output."""
        return prod(self.shape(x, regions, image)) * self.samples**2 * 4

    def reads(self, x: Shape, regions: Shape, image: Shape) -> dict[int | str, int]:
        """The taps of x."""
        return {0: self.units(x, regions, image)}

    def run(self, x: Array, regions: Array, image: Array) -> Array:
        """All samples of a region as one map."""
        offset = 0.5 if self.half_pixel else 0.0
        places, kept = [], []
        for axis, (count, size) in enumerate(zip((self.height, self.width), x.shape[2:], strict=True)):
            first, last = (regions[:, 1 - axis + end] * self.scale - offset for end in (0, 2))
            length = last - first if self.half_pixel else np.maximum(last - first, 1)
            steps = (np.arange(count * self.samples, dtype=x.dtype) + 0.5) / (count * self.samples)
            place = first[:, None] + steps * length[:, None]
            kept.append((place >= -1) & (place <= size))
            places.append(np.clip(place, 0, size - 1))
        down, across = np.broadcast_arrays(places[0][:, :, None], places[1][:, None, :])
        y = between(x[whole(image)], (down, across)) * (kept[0][:, None, :, None] & kept[1][:, None, None, :])
        y = y.reshape(*y.shape[:2], self.height, self.samples, self.width, self.samples)
        return y.mean(axis=(3, 5), dtype=x.dtype)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Of a stated number of samples; before operator set 16 regions are not moved."""
        samples, mode = int(node.get("sampling_ratio", 0)), node.get("mode", "avg")
        if mode != "avg":
            raise UnsupportedError(f"mode {mode!r} is not supported; known: avg")
        if not samples:
            raise UnsupportedError("how many samples it takes (sampling_ratio = 0) depends on values: on its regions")
        how = node.get("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "output_half_pixel")
        if how not in ("half_pixel", "output_half_pixel"):
            raise WiringError(f"has coordinates {how!r}; known: half_pixel, output_half_pixel")
        height, width = (int(node.get(name, 1)) for name in ("output_height", "output_width"))
        op = cls(height, width, samples, float(node.get("spatial_scale", 1.0)), how == "half_pixel")
        return node.apply(op, node.tensor(0), node.tensor(1), node.tensor(2))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all attributes."""
        how = "half_pixel" if self.half_pixel else "output_half_pixel"
        return form.apply(
            "RoiAlign", output_height=self.height, output_width=self.width, sampling_ratio=self.samples,
            spatial_scale=self.scale, coordinate_transformation_mode=how,
        )  # fmt: skip


@dataclass(frozen=True)
class DeformConv(Conv):
    """y = a convolution of x at p*stride + k*dilation - pad + offset[n,g,k,p], times mask[n,g,k,p]: beside its window.

    x: N x C x H x W; offset: N x (groups of offsets * kernel * 2) x positions; mask: N x (groups of offsets * kernel) x
    positions, where there is one; weights and y as of :class:`Conv`. Channels have the offsets of their group. Each
    element of a window is between four of x. Source: Dai et al. 2017, equation 2; Zhu et al. 2019, equation 1.
    """

    offset_groups: int = 1
    mask: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("DeformConv",)
    operands: ClassVar[int | None] = 2
    varying: ClassVar[tuple[Varying, ...]] = (Varying("mask", 1, (True,)),)
    formed: ClassVar[bool] = False
    each: ClassVar[Work] = Work(multiply=4, add=4)
    unit: ClassVar[str] = "element under the window"
    why: ClassVar[str] = "four taps times their weights, added up; by the mask, where there is one"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, offset_groups=self.offset_groups)
        self.count_operands()
        if self.mask:
            object.__setattr__(self, "each", Work(multiply=5, add=4))

    def shape(self, *inputs: Shape) -> Shape:
        """N x C x H x W, offsets and perhaps a mask -> N x M x positions."""
        x, *beside = inputs
        n, m, *positions = super().shape(x)
        if len(x) != 4 or x[1] % self.offset_groups:
            raise WiringError(f"needs a map of four axes, its channels in {self.offset_groups} groups, not {dims(x)}")
        taps = self.offset_groups * prod(self.window.kernel)
        wanted = [(n, each * taps, *positions) for each in (2, 1)]
        if beside != wanted[: len(beside)]:
            both = " and ".join(map(dims, wanted[: len(beside)]))
            raise WiringError(f"needs offsets{' and a mask' if self.mask else ''} of {both}")
        return (n, m, *positions)

    def reach(self, *inputs: Shape) -> Any:  # noqa: ARG002
        """Wherever the offsets say."""
        return "all"

    def weights(self, *inputs: Shape) -> Any:
        """As of a convolution."""
        return super().weights(inputs[0])

    def loops(self, *inputs: Shape) -> Loops:
        """As of a convolution."""
        return super().loops(inputs[0])

    def units(self, *inputs: Shape) -> int:
        """Elements under all windows."""
        n, c, *_ = inputs[0]
        _, _, *positions = self.shape(*inputs)
        return n * c * prod(self.window.kernel) * prod(positions)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Images and groups of offsets are one axis while windows are read."""
        x, offset, *mask = inputs
        (n, c, *_), groups = x.shape, self.offset_groups
        _, _, *positions = self.shape(*(operand.shape for operand in inputs))
        beside = offset.reshape(n * groups, -1, 2, *positions)
        places = []
        for axis, (stride, dilation, (before, _)) in enumerate(zip(*self.window[1:], strict=True)):
            taps = np.indices(self.window.kernel)[axis].reshape(-1, 1, 1) * dilation - before
            there = np.indices(tuple(positions))[axis] * stride + taps
            places.append(there.astype(x.dtype) + beside[:, :, axis])
        under = between(x.reshape(n * groups, c // groups, *x.shape[2:]), places)
        if mask:
            under = under * mask[0].reshape(n * groups, 1, -1, *positions)
        columns = under.reshape(n, self.groups, -1, prod(positions))
        weight = weights["weight"].reshape(self.groups, self.filters // self.groups, -1)
        y = (weight @ columns).reshape(n, self.filters, *positions)
        return y + weights["bias"].reshape(-1, 1, 1) if self.bias else y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Filters, channels and kernel are those of the weights."""
        weight, groups = node.weight(1), int(node.get("group", 1))
        if len(weight.shape) != 4:
            raise UnsupportedError(f"weights of {dims(weight.shape)} are not supported; known: two axes of positions")
        filters, inside, *kernel = weight.shape
        bias, mask = (node.operand(index) is not None for index in (3, 4))
        if bias:
            node.weight(3, filters)
        op = cls(
            filters, **node.window(tuple(kernel)), groups=groups, bias=bias, channels=inside * groups,
            offset_groups=int(node.get("offset_group", 1)), mask=mask,
        )  # fmt: skip
        return node.apply(op, node.tensor(0), node.tensor(2), *([node.tensor(4)] if mask else []))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With all pads stated."""
        (x, offset, *mask), (weight, *bias) = form.operands, form.weights
        given = (x, weight, offset, bias[0] if bias else None, *mask)
        told = {"group": self.groups, "offset_group": self.offset_groups}
        return form.apply("DeformConv", *given, **self.onnx_window(), **told)


@dataclass(frozen=True)
class Col2Im(Windowed):
    """y[n,c,q] = sum of x[n, c and k, p] over all k and p with p*stride + k*dilation - pad = q: windows put together.

    x: N x (C * kernel) x positions; y: N x C x ``image``. What lies in the pads is added too, and cut off.
    """

    image: tuple[int, ...]
    kernel: Axes
    stride: Axes = 1
    pads: Axes = 0
    dilation: Axes = 1

    onnx: ClassVar[tuple[str, ...]] = ("Col2Im",)
    each: ClassVar[Work] = Work(add=1)
    unit: ClassVar[str] = "input element"
    why: ClassVar[str] = "add to what is in its place"

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, "image", self.image, least=1)

    @property
    def window(self) -> Window | None:  # type: ignore[override]
        """None: it slides over the output."""
        return None

    def shape(self, x: Shape) -> Shape:
        """N x (C * kernel) x positions -> N x C x image."""
        taps, positions = prod(self._window.kernel), prod(self._window.output(self.image))
        if len(x) != 3 or x[1] % taps or x[2] != positions:
            raise WiringError(f"needs batch x a multiple of {taps} x {positions} for {dims(self.image)}, not {dims(x)}")
        return (x[0], x[1] // taps, *self.image)

    def units(self, x: Shape) -> int:
        """Input elements."""
        return prod(x)

    def run(self, x: Array) -> Array:
        """One element of the window after another, on a map with its pads."""
        window = self._window
        positions = window.output(self.image)
        columns = x.reshape(len(x), -1, *window.kernel, *positions)
        padded = [size + sum(pads) for size, pads in zip(self.image, window.pads, strict=True)]
        y = np.zeros((*columns.shape[:2], *padded), x.dtype)
        for tap in product(*map(range, window.kernel)):
            under = [
                slice(k * dilation, k * dilation + stride * (count - 1) + 1, stride)
                for k, stride, dilation, count in zip(tap, window.stride, window.dilation, positions, strict=True)
            ]
            y[:, :, *under] += columns[:, :, *tap]
        kept = [slice(before, before + size) for size, (before, _) in zip(self.image, window.pads, strict=True)]
        return y[:, :, *kept]

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Image and kernel are inputs."""
        image, kernel = node.integers(1), node.integers(2)
        if image is None or kernel is None:
            raise WiringError("needs the sizes of an image and of a block")
        rank = len(kernel)
        told = {name: tuple(node.get(of, (usual,) * count)) for name, of, usual, count in (
            ("stride", "strides", 1, rank), ("pads", "pads", 0, 2 * rank), ("dilation", "dilations", 1, rank)
        )}  # fmt: skip
        return node.apply(cls(image, kernel, **told), node.tensor())

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """Image and kernel are inputs."""
        told = self.onnx_window()
        return form.apply("Col2Im", *form.operands, self.image, told.pop("kernel_shape"), **told)


@dataclass(frozen=True)
class MaxUnpool(Op):
    """y = zeros, but x[p] at the place i[p] in all of y; x, i: N x C x positions, y: N x C x ``size``. Only places."""

    size: tuple[int, ...]

    onnx: ClassVar[tuple[str, ...]] = ("MaxUnpool",)

    def __post_init__(self) -> None:
        integers(self, "size", self.size, least=1)

    def shape(self, x: Shape, i: Shape) -> Shape:
        """N x C x positions, twice -> N x C x size."""
        n, c, positions = channels_and_spatial(x)
        if i != x or len(positions) != len(self.size):
            raise WiringError(f"cannot place {dims(x)} at {dims(i)} in maps of {dims(self.size)}")
        return (n, c, *self.size)

    def types(self, x: Type, i: Type) -> tuple[Type, ...]:  # noqa: ARG002
        """That of the values."""
        return (x,)

    def run(self, x: Array, i: Array) -> Array:
        """Each value at its place."""
        y = np.zeros(self.shape(x.shape, i.shape), x.dtype)
        y.reshape(-1)[whole(i).reshape(-1)] = x.reshape(-1)
        return y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """To the size that is stated, or that a pool with these attributes covers as a whole."""
        x, stated = node.tensor(0), node.integers(2)
        kernel = tuple(node.get("kernel_shape", ()))
        rank = len(kernel)
        strides, pads = node.get("strides", (1,) * rank), node.get("pads", (0,) * 2 * rank)
        sizes = zip(x.shape[2:], strides, kernel, pads[:rank], pads[rank:], strict=True)
        covered = tuple([(count - 1) * step + size - sum(pad) for count, step, size, *pad in sizes])
        return node.apply(cls(covered if stated is None else stated[2:]), x, node.tensor(1))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its size stated."""
        ((n, c, *positions), _) = form.shapes
        ones = tuple([1 for _ in positions])
        return form.apply("MaxUnpool", *form.operands, (n, c, *self.size), kernel_shape=ones)
