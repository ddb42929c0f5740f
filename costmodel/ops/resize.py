"""Maps in another size: each new value is one of the old ones, or a mixture of those around its place."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor, prod
from typing import Any, ClassVar, Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Op, Reach, Shape, Tensor, Work, dims
from costmodel.ops.checks import integers
from costmodel.ops.onnx import OnnxForm, OnnxNode, checked_axes

TAPS: Final[Mapping[str, int]] = {"nearest": 1, "linear": 2, "cubic": 4}
"""How many old values a new one is of, along each axis."""


class Axis(NamedTuple):
    """One axis: its old and its new size, and how many new elements one old element becomes."""

    old: int
    new: int
    scale: float


COORDINATES: Final[Mapping[str, Callable[[int, Axis], float]]] = {
    "half_pixel": lambda i, axis: (i + 0.5) / axis.scale - 0.5,
    "half_pixel_symmetric": lambda i, axis: (
        axis.old / 2 * (1 - axis.new / (axis.old * axis.scale)) + (i + 0.5) / axis.scale - 0.5
    ),
    "pytorch_half_pixel": lambda i, axis: (i + 0.5) / axis.scale - 0.5 if axis.new > 1 else 0.0,
    "align_corners": lambda i, axis: i * (axis.old - 1) / (axis.new - 1) if axis.new > 1 else 0.0,
    "asymmetric": lambda i, axis: i / axis.scale,
}
"""Where a new element lies among the old ones; source: ONNX, operator Resize."""

ROUNDINGS: Final[Mapping[str, Callable[[float], int]]] = {
    "round_prefer_floor": lambda x: ceil(x - 0.5),
    "round_prefer_ceil": lambda x: floor(x + 0.5),
    "floor": floor,
    "ceil": ceil,
}
"""Which of the two old elements around a place is the nearest."""


@dataclass(frozen=True)
class Resize(Op):
    """y[..., i] = sum over the taps t around the place of i in x of weight[i, t] * x[..., t], for every resized axis.

    x, y: any; ``sizes`` are y's. In the ``mode`` nearest there is one tap, which is copied; linear has 2 along each
    axis that is resized, cubic 4, and all of an element's taps are multiplied by their weights and added. Weights are
    functions of the sizes, made before any map. ``coordinates`` says where a new element lies among the old ones,
    ``rounding`` which of them is the nearest, ``cubic`` is the factor of the cubic weights; with ``inside`` taps beside
    x have no weight, else they are x's outermost. ``scales`` may state how many new elements an old one becomes, where
    that is not the quotient of the sizes.
    """

    sizes: tuple[int, ...]
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: float = -0.75
    inside: bool = False
    scales: tuple[float, ...] | None = None

    onnx: ClassVar[tuple[str, ...]] = ("Resize", "Upsample")
    each: ClassVar[Work] = Work(multiply=1, add=1)
    unit: ClassVar[str] = "tap of a mixture"
    why: ClassVar[str] = "multiply by the tap's weight, add to the sum; nothing in the mode nearest"

    def __post_init__(self) -> None:
        integers(self, "sizes", self.sizes, least=1)
        for name, known in (("mode", TAPS), ("coordinates", COORDINATES), ("rounding", ROUNDINGS)):
            if getattr(self, name) not in known:
                raise WiringError(f"Resize: {name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.scales is not None and (len(self.scales) != len(self.sizes) or min(self.scales) <= 0):
            raise WiringError(f"Resize: scales must be {len(self.sizes)} numbers above 0, not {self.scales}")

    def axes(self, x: Shape) -> tuple[Axis, ...]:
        """The old and the new size of each axis."""
        if len(x) != len(self.sizes):
            raise WiringError(f"needs {len(x)} sizes for {dims(x)}, not {self.sizes}")
        scales = self.scales or [new / old for old, new in zip(x, self.sizes, strict=True)]
        return tuple(map(Axis, x, self.sizes, scales))

    def shape(self, x: Shape) -> Shape:
        """Shape -> the sizes."""
        self.axes(x)
        return self.sizes

    def reach(self, x: Shape) -> Reach:
        """The old elements around, in the same channel where only positions are resized."""
        return "channel" if len(x) > 2 and x[:2] == self.sizes[:2] else "all"

    def units(self, x: Shape) -> int:
        """New elements times the old ones that each is a mixture of; none in the mode nearest."""
        resized = [axis for axis in self.axes(x) if axis.old != axis.new or axis.scale != 1]
        return prod(self.sizes) * TAPS[self.mode] ** len(resized) if self.mode != "nearest" and resized else 0

    def taps(self, axis: Axis) -> tuple[Array, Array]:
        """Along an axis, for each new element its old ones and their weights: new x taps."""
        if axis.old == axis.new and axis.scale == 1:
            return np.arange(axis.new)[:, None], np.ones((axis.new, 1))
        found = [self.around(COORDINATES[self.coordinates](i, axis)) for i in range(axis.new)]
        places, weights = (np.array(part) for part in zip(*found, strict=True))
        if self.inside:
            weights = np.where((places >= 0) & (places < axis.old), weights, 0.0)
            weights = weights / weights.sum(axis=1, keepdims=True)
        return places.clip(0, axis.old - 1), weights

    def around(self, place: float) -> tuple[list[int], list[float]]:
        """A place among the old elements -> those that count there, and their weights."""
        if self.mode == "nearest":
            return [ROUNDINGS[self.rounding](place)], [1.0]
        first = floor(place)
        t, a = place - first, self.cubic
        if self.mode == "linear":
            return [first, first + 1], [1 - t, t]
        near, far = ((a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)), (1 + t, 2 - t)
        outer = [a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a for d in far]
        return [first - 1, first, first + 1, first + 2], [outer[0], *near, outer[1]]

    def run(self, x: Array) -> Array:
        """For every combination of taps the old elements times the product of their weights."""
        every = [self.taps(axis) for axis in self.axes(x.shape)]
        y = np.zeros(self.sizes, x.dtype)
        for chosen in itertools.product(*[range(places.shape[1]) for places, _ in every]):
            part = x[np.ix_(*[places[:, tap] for (places, _), tap in zip(every, chosen, strict=True)])]
            for axis, ((_, weights), tap) in enumerate(zip(every, chosen, strict=True)):
                if weights.shape[1] > 1:
                    part = part * weights[:, tap].astype(x.dtype).reshape(-1, *(1 for _ in range(axis + 1, x.ndim)))
            y += part
        return y

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Sizes or scales, of all axes or of some; a size of a scale is rounded down."""
        x = node.tensor()
        if node.get("antialias", 0) or node.get("extrapolation_value", 0.0) != 0:
            raise UnsupportedError("antialias and an extrapolation value are not supported")
        old = node.kind == "Upsample" or node.opset < 11
        usual = "asymmetric" if old else "half_pixel"
        how = node.get("coordinate_transformation_mode", usual)
        if how not in COORDINATES:
            raise UnsupportedError(f"coordinates by {how!r} are not supported; known: {', '.join(COORDINATES)}")
        sizes, scales = _targets(node, x.shape, old=old)
        rounding = node.get("nearest_mode", "floor" if old else "round_prefer_floor")
        op = cls(
            sizes,
            {"bilinear": "linear"}.get(node.get("mode", "nearest"), node.get("mode", "nearest")),
            how,
            rounding,
            float(node.get("cubic_coeff_a", -0.75)),
            bool(node.get("exclude_outside", 0)),
            scales,
        )
        return node.apply(op, x)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With the sizes."""
        if self.scales is not None:
            raise UnsupportedError("scales that are not the quotients of the sizes have no form in ONNX")
        told: dict[str, Any] = {
            "mode": self.mode,
            "coordinate_transformation_mode": self.coordinates,
            "nearest_mode": self.rounding,
            "cubic_coeff_a": self.cubic,
            "exclude_outside": int(self.inside),
        }
        return form.apply("Resize", *form.operands, None, None, self.sizes, **told)


def _targets(node: OnnxNode, x: Shape, *, old: bool) -> tuple[Shape, tuple[float, ...] | None]:
    """The new sizes, and the scales where these are given and not the quotients of the sizes."""
    rank = len(x)
    axes = node.get("axes")
    chosen = range(rank) if axes is None else checked_axes(axes, rank)
    sizes = None if old else node.integers(3)
    place = 1 if old else 2
    given = node.values(place, "scales") if not sizes else None
    whole = list(x)
    scales = node.operand(2)
    if sizes and scales is not None and prod(scales.shape):
        raise WiringError("has both scales and sizes; one of them is accepted")
    if sizes:
        if len(sizes) != len(chosen):
            raise WiringError(f"has {len(sizes)} sizes for {len(chosen)} axes")
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            pick = {"not_larger": min, "not_smaller": max}[policy]
            scale = pick(size / x[axis] for axis, size in zip(chosen, sizes, strict=True))
            sizes = tuple([floor(scale * x[axis] + 0.5) for axis in chosen])
            factors = [1.0] * rank
            for axis, size in zip(chosen, sizes, strict=True):
                whole[axis], factors[axis] = size, scale
            return tuple(whole), tuple(factors)
        for axis, size in zip(chosen, sizes, strict=True):
            whole[axis] = size
        return tuple(whole), None
    if given is None or len(given.reshape(-1)) != len(chosen):
        raise WiringError(f"has neither sizes nor scales for {len(chosen)} axes")
    factors = [1.0] * rank
    for axis, scale in zip(chosen, given.reshape(-1).tolist(), strict=True):
        whole[axis], factors[axis] = floor(x[axis] * scale), float(scale)
    exact = all(size == old * scale for size, old, scale in zip(whole, x, factors, strict=True))
    return tuple(whole), None if exact else tuple(factors)
