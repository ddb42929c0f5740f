"""Operators of decoders that hand a state from one step to the next."""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Loops, Op, Shape, Tensor, Varying, Weight, Work, dims
from costmodel.ops.activation import Silu
from costmodel.ops.checks import positive
from costmodel.ops.onnx import OnnxForm, OnnxNode


@dataclass(frozen=True)
class CausalConv(Op):
    """y[n,c,t] = b[c] + sum over k of w[c,k] * z[n,c,t+k], with z = past and x one after the other; state: its end.

    x, y: N x C x T; past, which is zeros unless it is an operand, and state: N x C x (kernel - 1); w: C x 1 x kernel,
    b: C. With ``silu`` y becomes y / (1 + exp(-y)).
    """

    kernel: int
    bias: bool = True
    past: bool = False
    silu: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("CausalConvWithState",)
    operands: ClassVar[int | None] = 1
    varying: ClassVar[tuple[Varying, ...]] = (Varying("past", 1, (True,)),)

    def __post_init__(self) -> None:
        positive(self, kernel=self.kernel)
        self.count_operands()
        if self.kernel == 1:
            raise WiringError("CausalConv: kernel must be at least 2, else there is no state")
        if self.silu:
            object.__setattr__(self, "each", Silu.each)
            object.__setattr__(self, "why", "exp, add 1, divide y by it")

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """N x C x T, and perhaps N x C x (kernel - 1) -> the same, and N x C x (kernel - 1)."""
        y = self.shape(*inputs)
        return (y, (*y[:2], self.kernel - 1))

    def shape(self, *inputs: Shape) -> Shape:
        """N x C x T, and perhaps N x C x (kernel - 1) -> N x C x T."""
        x, *past = inputs
        if len(x) != 3 or any(shape != (*x[:2], self.kernel - 1) for shape in past):
            raise WiringError(f"needs batch x channels x length, and {self.kernel - 1} of these before, not {dims(x)}")
        return x

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """w: C x 1 x kernel, and b: C."""
        _, c, _ = inputs[0]
        kernel = Weight("weight", (c, 1, self.kernel))
        return (kernel, Weight("bias", (c,))) if self.bias else (kernel,)

    def loops(self, *inputs: Shape) -> Loops:
        """A product for each element and tap, also with the zeros before it."""
        n, c, length = inputs[0]
        return Loops(n, c, length, 1, self.kernel)

    def run(self, *inputs: Array, **weights: Array) -> tuple[Array, Array]:
        """All windows at once."""
        x, *past = inputs
        before = past[0] if past else np.zeros((*x.shape[:2], self.kernel - 1), x.dtype)
        whole = np.concatenate([before, x], axis=2)
        y = (np.lib.stride_tricks.sliding_window_view(whole, self.kernel, axis=2) * weights["weight"]).sum(axis=-1)
        y = y + weights["bias"][:, None] if self.bias else y
        return y / (1 + np.exp(-y)) if self.silu else y, whole[:, :, x.shape[2] :]

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """With its ``activation``."""
        x, activation = node.tensor(), node.get("activation", "none")
        if activation not in ("none", "silu", "swish"):
            raise UnsupportedError(f"activation {activation!r} is not supported; known: none, silu, swish")
        _, _, kernel = node.weight(1, x.shape[1], 1, None).shape
        bias, past = (node.operand(index) is not None for index in (2, 3))
        if bias:
            node.weight(2, x.shape[1])
        return node.apply(cls(kernel, bias, past, activation != "none"), x, *([node.tensor(3)] if past else []))

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """By its equation: CausalConvWithState is newer than most that read such files."""
        (x, *past), ((_, c, length), *_), before = form.operands, form.shapes, self.kernel - 1
        pads = (0, 0, before, 0, 0, 0)
        whole = form.then("Concat", *past, x, axis=2) if past else form.then("Pad", x, pads, 0.0)
        y = form.then("Conv", whole, *form.weights, group=c)
        y = form.then("Mul", y, form.then("Sigmoid", y)) if self.silu else y
        return (y, form.then("Slice", whole, (length,), (length + before,), (2,)))


RULES: Final = ("linear", "gated", "delta", "gated_delta")


@dataclass(frozen=True)
class LinearAttention(Op):
    """S' = exp(g[t]) * S; S = S' + k[t] (b[t] * (v[t] - S'^T k[t]))^T; y[t] = scale * S^T q[t], one t after another.

    q: N x T x (heads * inner), k: N x T x (key_heads * inner), v: N x T x (key_heads * size), y: N x T x (heads *
    size); S, one for each key head, inner x size: zeros at first, or a ``past`` operand; the last one is a result.
    Behind it come g: N x T x key_heads, or one for ``each_key`` of the inner, where the ``rule`` is gated; and
    b: N x T x key_heads, or 1, where it is a delta. Without a gate S' = S; without a delta S = S' + k[t] v[t]^T.
    The ``scale`` is 1/sqrt(inner) unless stated.
    """

    heads: int
    key_heads: int
    inner: int
    size: int
    rule: str = "gated_delta"
    scale: float | None = None
    past: bool = False
    each_key: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("LinearAttention",)
    operands: ClassVar[int | None] = 3
    varying: ClassVar[tuple[Varying, ...]] = (
        Varying("past", 1, (True,)),
        Varying("rule", 1, ("gated", "gated_delta")),
        Varying("rule", 1, ("delta", "gated_delta")),
    )
    each: ClassVar[Work] = Work(multiply=1)
    unit: ClassVar[str] = "token and key head"
    why: ClassVar[str] = (
        "each output value by the scale; gated: exp, each value of the state by it; a delta: subtract, by its rate"
    )

    def __post_init__(self) -> None:
        positive(self, heads=self.heads, key_heads=self.key_heads, inner=self.inner, size=self.size)
        if self.rule not in RULES:
            raise WiringError(f"LinearAttention: rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        if self.heads % self.key_heads:
            raise WiringError(f"LinearAttention: {self.key_heads} key heads do not divide {self.heads} heads")
        self.count_operands()
        work = Work(multiply=self.heads // self.key_heads * self.size)
        if self.gated:
            work = work.plus(Work(special=self.inner if self.each_key else 1, multiply=self.inner * self.size))
        if self.delta:
            work = work.plus(Work(add=self.size, multiply=self.size))
        object.__setattr__(self, "each", work)

    @property
    def gated(self) -> bool:
        """Whether the state decays."""
        return self.rule.startswith("gated")

    @property
    def delta(self) -> bool:
        """Whether what the state knows already is subtracted."""
        return self.rule.endswith("delta")

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """Shapes of the operands -> that of the output and of the state."""
        q, k, v, *more = inputs
        if len(q) != 3:
            raise WiringError(f"needs batch x length x (heads * {self.inner}), not {dims(q)}")
        n, length, _ = q
        given = iter(more)
        state, decays = (n, self.key_heads, self.inner, self.size), self.inner if self.each_key else 1
        expected: list[tuple[Shape, set[Shape]]] = [
            (q, {(n, length, self.heads * self.inner)}),
            (k, {(n, length, self.key_heads * self.inner)}),
            (v, {(n, length, self.key_heads * self.size)}),
        ]
        if self.past:
            expected.append((next(given), {state}))
        if self.gated:
            expected.append((next(given), {(n, length, self.key_heads * decays)}))
        if self.delta:
            expected.append((next(given), {(n, length, self.key_heads), (n, length, 1)}))
        for shape, fitting in expected:
            if shape not in fitting:
                raise WiringError(f"needs {' or '.join(map(dims, sorted(fitting)))}, not {dims(shape)}")
        return ((n, length, self.heads * self.size), state)

    def shape(self, *inputs: Shape) -> Shape:
        """The output's."""
        return self.shapes(*inputs)[0]

    def units(self, *inputs: Shape) -> int:
        """Tokens times key heads."""
        n, length, _ = inputs[0]
        return n * length * self.key_heads

    def loops(self, *inputs: Shape) -> Loops:
        """Of each token k v^T, with a delta S^T k, and S^T q for each of the heads that share a state."""
        n, length, _ = inputs[0]
        products = 1 + self.delta + self.heads // self.key_heads
        return Loops(n, self.key_heads, length, self.size, self.inner * products)

    def run(self, *inputs: Array) -> tuple[Array, Array]:
        """One token after another."""
        n, length, _ = inputs[0].shape
        q = inputs[0].reshape(n, length, self.key_heads, -1, self.inner)
        k, v = (x.reshape(n, length, self.key_heads, -1) for x in inputs[1:3])
        more = list(inputs[3:])
        state = more.pop(0) if self.past else np.zeros((n, self.key_heads, self.inner, self.size), k.dtype)
        decay = np.exp(more.pop(0).reshape(n, length, self.key_heads, -1)) if self.gated else None
        scale = np.asarray(1 / sqrt(self.inner) if self.scale is None else self.scale, k.dtype)
        y = []
        for t in range(length):
            state = state if decay is None else decay[:, t, :, :, None] * state
            new = v[:, t]
            if self.delta:
                new = more[-1][:, t, :, None] * (new - np.einsum("nhis,nhi->nhs", state, k[:, t]))
            state = state + k[:, t, :, :, None] * new[:, :, None, :]
            y.append(scale * np.einsum("nhis,nhgi->nhgs", state, q[:, t]))
        return np.stack(y, axis=1).reshape(n, length, -1), state

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor, ...]:
        """Sizes are those of its operands; which there must be follows from the rule."""
        heads, key_heads = int(node.get("q_num_heads", 1)), int(node.get("kv_num_heads", 1))
        rule, scale = str(node.get("update_rule", "gated_delta")), float(node.get("scale", 0.0))
        q, k, v = (node.tensor(index) for index in range(3))
        past = node.operand(3) is not None
        taken = [3] * past + [4] * rule.startswith("gated") + [5] * rule.endswith("delta")
        more = [node.tensor(index) for index in taken]
        inner, size = k.shape[-1] // max(key_heads, 1), v.shape[-1] // max(key_heads, 1)
        wide = 4 in taken and more[past].shape[-1] != key_heads
        op = cls(heads, key_heads, inner, size, rule, scale or None, past, wide)
        return node.apply(op, q, k, v, *more)

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """The operands in ONNX's places."""
        q, k, v, *more = form.operands
        given = iter(more)
        places = [next(given) if there else None for there in (self.past, self.gated, self.delta)]
        while places and places[-1] is None:
            places.pop()
        told = {"q_num_heads": self.heads, "kv_num_heads": self.key_heads, "update_rule": self.rule}
        scaled = {} if self.scale is None else {"scale": self.scale}
        return form.apply("LinearAttention", q, k, v, *places, outputs=2, **told, **scaled)
