"""Attention: every query looks at every key and takes a share of every value; and the rotation of both by place."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Loops, Op, Reach, Shape, Tensor, Type, Varying, Weight, Work, dims
from costmodel.ops.checks import broadcast, positive
from costmodel.ops.layout import Concat, Reshape, Transpose
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode


def heads_apart(x: Shape, heads: int | None) -> tuple[int, int, int, int]:
    """N x length x (heads * size), or N x heads x length x size -> the latter's sizes."""
    if len(x) == 4:
        n, h, length, size = x
        if heads not in (None, h):
            raise WiringError(f"expects {heads} heads, its input {dims(x)} has {h}")
        return n, h, length, size
    if len(x) != 3 or not heads or x[2] % heads:
        raise WiringError(f"cannot deal the width of {dims(x)} out to {heads or 'an unknown number of'} heads")
    n, length, width = x
    return n, heads, length, width // heads


def split_heads(x: Array, heads: int) -> Array:
    """N x length x (heads * size), or N x heads x length x size -> the latter."""
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


@dataclass(frozen=True)
class Attention(Op):
    """y[n,h,l] = sum over s of softmax over s of (q[n,h,l] . k[n,g,s] * scale + mask[n,h,l,s]) * v[n,g,s].

    q: N x H x L x E, k: N x G x S x E, v: N x G x S x V; y: N x H x L x V, and each of the G key heads g serves as many
    query heads. Each operand may be N x length x (heads * size) instead, with ``heads`` and ``key_heads`` stated; y is
    laid out as q. ``mask`` says that a fourth operand is added to the scores, or a weight of the shape ``held``;
    ``causal`` that a query sees no key behind its own place, which is behind the ``past`` first keys. The scale is
    1/sqrt(E) unless one is stated. All H * L * S scores are counted, also where a mask or causality makes the share 0:
    E products for each, and V for its share of the value; both as one loop nest.
    Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 for shared key heads.
    """

    heads: int | None = None
    key_heads: int | None = None
    causal: bool = False
    past: int = 0
    mask: bool = False
    held: Shape | None = None
    scale: float | None = None

    onnx: ClassVar[tuple[str, ...]] = ("Attention", "com.microsoft.MultiHeadAttention")
    operands: ClassVar[int | None] = 3
    varying: ClassVar[tuple[Varying, ...]] = (Varying("mask", 1, (True,)), Varying("held", -1))
    each: ClassVar[Work] = Work(multiply=1, special=1, add=1, divide=1)
    unit: ClassVar[str] = "score"
    why: ClassVar[str] = "by the scale; exp, add to the sum, divide by the sum; with a mask, add it"

    def __post_init__(self) -> None:
        positive(self, heads=self.heads, key_heads=self.key_heads)
        if self.held is not None and not self.mask:
            raise WiringError(f"{self.kind}: held {self.held} is the shape of a mask, but there is none")
        self.count_operands()
        if self.mask:
            object.__setattr__(self, "each", self.each.plus(Work(add=1)))

    def sizes(self, q: Shape, k: Shape, v: Shape) -> tuple[int, int, int, int, int, int, int]:
        """Operand shapes -> (N, H, G, L, S, E, V), checked."""
        groups = self.key_heads or self.heads
        n, h, length, e = heads_apart(q, self.heads)
        n_k, g, s, e_k = heads_apart(k, groups if len(k) == 3 else self.key_heads)
        n_v, g_v, s_v, size = heads_apart(v, groups if len(v) == 3 else self.key_heads)
        if (n, n, e) != (n_k, n_v, e_k) or (g, s) != (g_v, s_v) or h % g:
            raise WiringError(f"cannot attend with queries {dims(q)} to keys {dims(k)} with values {dims(v)}")
        return n, h, g, length, s, e, size

    def shape(self, q: Shape, k: Shape, v: Shape, *mask: Shape) -> Shape:
        """Query, key and value, and the mask -> the mixed values, laid out as the query."""
        n, h, _, length, s, _, size = self.sizes(q, k, v)
        for given in mask if self.held is None else (self.held,):
            if broadcast(given, (n, h, length, s)) != (n, h, length, s):
                raise WiringError(f"cannot add a mask {dims(given)} to scores {dims((n, h, length, s))}")
        return (n, h, length, size) if len(q) == 4 else (n, length, h * size)

    def reach(self, *inputs: Shape) -> Reach:  # noqa: ARG002
        """A query, and all keys and values of its head."""
        return "heads"

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """Query, key and value have one type; a mask may be of truths."""
        return super().types(*inputs[:3])

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """The mask, if it is held."""
        return () if self.held is None else (Weight("mask", self.held, "buffer"),)

    def units(self, *inputs: Shape) -> int:
        """Scores."""
        n, h, _, length, s, _, _ = self.sizes(*inputs[:3])
        return n * h * length * s

    def loops(self, *inputs: Shape) -> Loops:
        """Per image, head, query and key: E products for the score, and V for the share of the value."""
        n, h, _, length, s, e, size = self.sizes(*inputs[:3])
        return Loops(n, h, length, s, e + size)

    def run(self, q: Array, k: Array, v: Array, *masks: Array, mask: Array | None = None) -> Array:
        """Scores, softmax, mixture; a mask of truths chooses instead of being added."""
        n, h, g, length, s, e, size = self.sizes(q.shape, k.shape, v.shape)
        key, value = (np.repeat(split_heads(x, g), h // g, axis=1) for x in (k, v))
        scale = 1 / sqrt(e) if self.scale is None else self.scale
        scores = split_heads(q, h) @ key.swapaxes(2, 3) * np.asarray(scale, q.dtype)
        for added in masks if mask is None else (mask,):
            scores = scores + (np.where(added, 0, -np.inf).astype(q.dtype) if added.dtype == bool else added)
        if self.causal:
            scores = np.where(np.tri(length, s, self.past, dtype=bool), scores, -np.inf)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y = (powers / powers.sum(axis=-1, keepdims=True)) @ value
        return y if q.ndim == 4 else y.swapaxes(1, 2).reshape(n, length, h * size)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With the keys and values of the past in front of the new ones; they are the present, its further results."""
        runtime = node.kind == "com.microsoft.MultiHeadAttention"
        named = RUNTIME if runtime else STANDARD
        for name, usual in NEUTRAL.items():
            if node.get(name, usual) != usual:
                raise UnsupportedError(f"{name} {node.get(name)} is not supported; known: {usual}")
        if any(node.outputs[3:]) or any(node.operand(place) is not None for place in named["other"]):
            raise UnsupportedError("only query, key, value, a mask and the past are supported")
        heads = node.get("num_heads" if runtime else "q_num_heads")
        groups = None if runtime else node.get("kv_num_heads")
        q, *fresh = (node.tensor(index) for index in range(3))
        present, past = fresh, 0
        if node.operand(named["past"][0]) is not None:
            older = [node.tensor(place) for place in named["past"]]
            past = older[0].shape[2]
            present = [
                _behind(node, x, y, groups or heads, part) for x, y, part in zip(older, fresh, "kv", strict=True)
            ]
        (place,) = named["mask"]
        mask = node.operand(place)
        held = mask.shape if isinstance(mask, Constant) else None
        causal = bool(node.get("unidirectional" if runtime else "is_causal", 0))
        scale = node.get("scale")
        op = cls(heads, groups, causal, past if causal else 0, mask is not None, held, scale or None)
        more = (mask,) if isinstance(mask, Tensor) else ()
        return (*node.apply(op, q, *present, *more), *present)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """ONNX's attention, on operands without a past of their own."""
        if self.causal and self.past:
            raise UnsupportedError("a past in front of the queries is supported as operands of their own only")
        if len({len(shape) for shape in form.shapes[:3]}) > 1:
            raise UnsupportedError("query, key and value must have as many axes")
        told: dict[str, Any] = {"is_causal": int(self.causal)}
        if len(form.shapes[0]) == 3:
            told |= {"q_num_heads": self.heads, "kv_num_heads": self.key_heads or self.heads}
        if self.scale is not None:
            told["scale"] = self.scale
        return form.apply("Attention", **told)


STANDARD = {"mask": (3,), "past": (4, 5), "other": (6,)}
RUNTIME = {"mask": (5,), "past": (6, 7), "other": (3, 4, 8, 9)}
"""Which operands of ONNX's attention, and of ONNX Runtime's, mean what."""

NEUTRAL = {"softcap": 0.0, "left_window_size": -1, "right_window_size": -1}
"""Attributes that are supported with these values only."""


def _behind(node: OnnxNode, past: Tensor, x: Tensor, heads: int | None, part: str) -> Tensor:
    """The keys or values of the past and behind them the new ones, by heads."""
    if len(x.shape) == 3:
        n, h, length, size = heads_apart(x.shape, heads)
        x = node.then(Reshape((n, length, h, size)), x, part=f"{part}_heads")
        x = node.then(Transpose((0, 2, 1, 3)), x, part=f"{part}_transpose")
    return node.apply(Concat(2), past, x, part=f"{part}_present")[0]


@dataclass(frozen=True)
class RotaryEmbedding(Op):
    """y[i] = cos * x[i] - sin * x[j], y[j] = sin * x[i] + cos * x[j], for pairs (i, j) of each head's first R values.

    x, y: N x H x L x E, or N x L x (H * E) with ``heads`` stated; R is E unless ``rotated`` is stated. The pairs are
    (r, r + R/2), or (2r, 2r + 1) if ``interleaved``. cos, sin: N x L x R/2, two more operands; or with ``positions``,
    N x L, as the last operand, P x R/2, of which each position takes its row. Cosines and sines of the shape ``held``
    are weights. Source: Su et al. 2021, equation 34.
    """

    heads: int | None = None
    rotated: int | None = None
    interleaved: bool = False
    positions: bool = False
    held: Shape | None = None

    onnx: ClassVar[tuple[str, ...]] = ("RotaryEmbedding",)
    operands: ClassVar[int | None] = 3
    varying: ClassVar[tuple[Varying, ...]] = (Varying("held", -2), Varying("positions", 1, (True,)))
    each: ClassVar[Work] = Work(multiply=2, add=1)
    unit: ClassVar[str] = "rotated element"
    why: ClassVar[str] = "multiply by the cosine, the other of the pair by the sine, add both"

    def __post_init__(self) -> None:
        positive(self, heads=self.heads, rotated=self.rotated)
        self.count_operands()

    def sizes(self, x: Shape) -> tuple[int, int, int, int, int]:
        """Shape -> (N, H, L, E, R), checked."""
        n, h, length, size = heads_apart(x, self.heads)
        rotated = self.rotated or size
        if rotated % 2 or rotated > size:
            raise WiringError(f"cannot rotate pairs of {rotated} out of {size} values")
        return n, h, length, size, rotated

    def given(self, inputs: Sequence[Any], cos: Any, sin: Any) -> tuple[Any, ...]:
        """The cosines, sines and positions, wherever they come from."""
        more = list(inputs[1:])
        return (cos, sin, *more) if self.held is not None else tuple(more)

    def shape(self, *inputs: Shape) -> Shape:
        """The map, cosines, sines and positions -> the map's shape."""
        x, *_ = inputs
        n, _, length, _, rotated = self.sizes(x)
        cos, sin, *positions = self.given(inputs, self.held, self.held)
        fits = cos[1:] == (rotated // 2,) if self.positions else cos == (n, length, rotated // 2)
        if cos != sin or not fits or any(given not in {(n, length), (1, length)} for given in positions):
            raise WiringError(f"cannot rotate {dims(x)} by cosines {dims(cos)} and sines {dims(sin)}")
        return x

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """Positions may have another type."""
        return super().types(*inputs[: -1 if self.positions else None])

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:  # noqa: ARG002
        """Cosines and sines, if they are held."""
        return () if self.held is None else tuple(Weight(name, self.held, "buffer") for name in ("cos", "sin"))

    def units(self, *inputs: Shape) -> int:
        """The first R values of each head."""
        x, *_ = inputs
        n, h, length, _, rotated = self.sizes(x)
        return n * h * length * rotated

    def run(self, *inputs: Array, cos: Array | None = None, sin: Array | None = None) -> Array:
        """Each pair turned; a position counts modulo the rows that there are."""
        x, *_ = inputs
        n, h, length, size, rotated = self.sizes(x.shape)
        cos, sin, *positions = self.given(inputs, cos, sin)
        for places in positions:
            cos, sin = (np.take(rows, places.astype(np.int64), axis=0, mode="wrap") for rows in (cos, sin))
        y = np.array(split_heads(x, h))
        pairs = (
            (slice(0, rotated, 2), slice(1, rotated, 2)) if self.interleaved
            else (slice(0, rotated // 2), slice(rotated // 2, rotated))
        )  # fmt: skip
        first, second = (y[..., part].copy() for part in pairs)
        cos, sin = cos[:, None], sin[:, None]
        y[..., pairs[0]], y[..., pairs[1]] = cos * first - sin * second, sin * first + cos * second
        return y if x.ndim == 4 else y.swapaxes(1, 2).reshape(n, length, h * size)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Cosines and sines are both constants, or both computed."""
        x, cos, sin, positions = node.tensor(), node.operand(1), node.operand(2), node.operand(3)
        held = cos.shape if isinstance(cos, Constant) and isinstance(sin, Constant) else None
        more = tuple([part for part in (cos, sin, positions) if isinstance(part, Tensor)])
        op = cls(
            node.get("num_heads") if len(x.shape) == 3 else None,
            node.get("rotary_embedding_dim") or None,
            bool(node.get("interleaved", 0)),
            positions is not None,
            held,
        )
        if op.operands != 1 + len(more):
            raise UnsupportedError("positions and one of cosines and sines are constants, which is not supported")
        return node.apply(op, x, *more)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With its cosines and sines before the positions."""
        x, *given = form.operands
        cos, sin, *positions = (*form.weights, *given)
        heads = {"num_heads": self.heads} if self.heads and len(form.shapes[0]) == 3 else {}
        told = {"rotary_embedding_dim": self.rotated or 0, "interleaved": int(self.interleaved)}
        return form.apply("RotaryEmbedding", x, cos, sin, *positions, **heads, **told)
