"""Recurrent layers: step by step along a sequence, each step with a state that the one before it left.

All of them take x: T x N x C, that is steps, sequences and channels, or N x T x C with ``batch_first``, and walk it
``forward``, in ``reverse``, or both ways at once (``bidirectional``), each of the D directions with weights of its own.
For each direction and G gates the weights are W: G*H x C, the recurrence R: G*H x H, and the bias, G*H for each of the
two; a gate's sums start with the biases, which are added up ahead of any step and are free. ``returns`` says which
results are made: Y is the state of every step, T x D x N x H or N x T x D x H; Y_h and Y_c are the last ones,
D x N x H or N x D x H. An initial state is "zero", "learned" for all sequences alike, a "constant" for each of them, or
an "operand".

One loop nest has all products, W's and R's, of every step: also of a state of zeros, as hardware does them. Weights are
read once for all steps. With ``lengths`` the number of steps of each sequence is an operand; behind it results are 0
and the state stays, while the cost is that of all T steps.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Final

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError, suggestion
from costmodel.graph import NO_WORK, Loops, Op, Shape, Tensor, Type, Varying, Weight, Work, dims
from costmodel.ops.activation import Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Tanh
from costmodel.ops.checks import positive
from costmodel.ops.onnx import Constant, OnnxForm, OnnxNode

DIRECTIONS: Final[Mapping[str, tuple[int, ...]]] = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}
"""A direction -> the steps of its walks."""

STATES: Final = ("zero", "learned", "constant", "operand")
"""Where an initial state is from."""

FUNCTIONS: Final[Mapping[str, tuple[type[Op], tuple[float, ...]]]] = {
    "Elu": (Elu, (1.0,)), "HardSigmoid": (HardSigmoid, (0.2, 0.5)), "LeakyRelu": (LeakyRelu, (0.01,)),
    "Relu": (Relu, ()), "Sigmoid": (Sigmoid, ()), "Softplus": (Softplus, ()), "Tanh": (Tanh, ()),
}  # fmt: skip
"""The activations that are known by ONNX's names, each with its usual alpha and beta, if it has these."""


MORE: Final = "; with clip 2 comparisons more for each activation"
"""What every recurrent layer may do besides, in words."""


def per_value(functions: Iterable[Op | type[Op]], uses: Sequence[int], beside: Work) -> Work:
    """What a direction does for a value of its state at one step: each activation so often, and what is beside it."""
    for function, times in zip(functions, uses, strict=True):
        for _ in range(times):
            beside = beside.plus(function.each)
    return beside


@dataclass(frozen=True)
class Recurrent(Op, abstract=True):
    """The shapes, weights and products of every recurrent layer, and its walk along the steps."""

    hidden: int
    direction: str = "forward"
    returns: tuple[str, ...] = ("Y",)
    bias: bool = True
    batch_first: bool = False
    lengths: bool = False
    initial_h: str = "zero"
    activations: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    clip: float | None = None

    gates: ClassVar[int] = 1
    """How many sums there are for each value of the state."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """What goes from step to step."""
    usual: ClassVar[tuple[str, ...]] = ("Tanh",)
    """The activations of a direction, where none are stated."""
    uses: ClassVar[tuple[int, ...]] = (1,)
    """How often each of these is taken for a value of the state."""
    beside: ClassVar[Work] = NO_WORK
    """What else is done for a value of the state."""
    unit: ClassVar[str] = "step's and direction's state value"
    row: ClassVar[str] = "step's state value"
    row_why: ClassVar[str] = "what the other direction's activations do more"
    operands: ClassVar[int | None] = 1
    varying: ClassVar[tuple[Varying, ...]] = (Varying("lengths", 1, (True,)), Varying("initial_h", 1, ("operand",)))

    def __post_init__(self) -> None:
        positive(self, hidden=self.hidden)
        if self.direction not in DIRECTIONS:
            raise WiringError(f"{self.kind}: direction must be one of {', '.join(DIRECTIONS)}, not {self.direction!r}")
        results = self.results
        if not self.returns or list(self.returns) != [name for name in results if name in self.returns]:
            raise WiringError(
                f"{self.kind}: returns must be some of {', '.join(results)} in this order, not {self.returns}"
            )
        for name, source in self.sources.items():
            if source not in STATES:
                raise WiringError(f"{self.kind}: {name} must be one of {', '.join(STATES)}, not {source!r}")
        if self.clip is not None and not self.clip > 0:
            raise WiringError(f"{self.kind}: clip must be above 0, not {self.clip!r}")
        if self.activations == self.usual * len(self.steps):
            object.__setattr__(self, "activations", ())
        uses, beside = self.tally()
        if self.clip is not None:
            beside = beside.plus(Work(compare=2 * sum(uses)))
        first, *others = [per_value(functions, uses, beside) for functions in self.functions]
        object.__setattr__(self, "each", first)
        for other in others:
            object.__setattr__(self, "per_row", Work(*map(operator.sub, other, first)))
        object.__setattr__(self, "steps_first", not self.batch_first)
        self.count_operands()

    @property
    def results(self) -> tuple[str, ...]:
        """ONNX's names of all results that there may be."""
        return ("Y", *[f"Y_{name}" for name in self.states])

    @property
    def sources(self) -> dict[str, str]:
        """Where each initial state is from."""
        return {name: getattr(self, name) for name in (f"initial_{state}" for state in self.states)}

    @property
    def steps(self) -> tuple[int, ...]:
        """For each direction the step of its walk."""
        return DIRECTIONS[self.direction]

    @property
    def products(self) -> int:
        """How many of the gates are sums of products."""
        return self.gates

    @cached_property
    def functions(self) -> tuple[tuple[Op, ...], ...]:
        """The activations of each direction."""
        names = self.activations or self.usual * len(self.steps)
        if len(names) != len(self.usual) * len(self.steps):
            raise WiringError(
                f"{self.kind}: activations must be {len(self.usual)} for each of {len(self.steps)} directions, "
                f"not {len(names)}"
            )
        alphas, betas = iter(self.alphas), iter(self.betas)
        made: list[Op] = []
        for name in names:
            if name not in FUNCTIONS:
                raise WiringError(f"{self.kind}: activations has {name!r}; {suggestion(name, FUNCTIONS)}")
            function, usual = FUNCTIONS[name]
            made.append(function(*[next(given, value) for given, value in zip((alphas, betas), usual, strict=False)]))
        for field, rest in (("alphas", alphas), ("betas", betas)):
            if list(rest):
                raise WiringError(f"{self.kind}: {field} has more numbers than there are activations that take one")
        count = len(self.usual)
        return tuple([tuple(made[start : start + count]) for start in range(0, len(made), count)])

    def tally(self) -> tuple[tuple[int, ...], Work]:
        """How often each activation is taken for a value of the state, and what else is done for it."""
        return self.uses, self.beside

    def sizes(self, x: Shape) -> tuple[int, int, int]:
        """The map -> (T, N, C), checked."""
        if len(x) != 3:
            raise WiringError(f"needs steps, sequences and channels, not {dims(x)}")
        first, second, c = x
        return (second, first, c) if self.batch_first else (first, second, c)

    def state(self, n: int) -> Shape:
        """The shape of a state of so many sequences."""
        d = len(self.steps)
        return (n, d, self.hidden) if self.batch_first else (d, n, self.hidden)

    def shape(self, *inputs: Shape) -> Shape:
        """The map, lengths and states -> the first result."""
        return self.shapes(*inputs)[0]

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """The map, lengths and states -> what is returned."""
        x, *given = inputs
        t, n, _ = self.sizes(x)
        state, d = self.state(n), len(self.steps)
        wanted = [(n,)] * self.lengths + [state for source in self.sources.values() if source == "operand"]
        if given != wanted:
            raise WiringError(f"takes beside the map {', '.join(map(dims, wanted))}, not {', '.join(map(dims, given))}")
        every = (n, t, d, self.hidden) if self.batch_first else (t, d, n, self.hidden)
        return tuple([every if name == "Y" else state for name in self.returns])

    def types(self, *inputs: Type) -> tuple[Type, ...]:
        """The map and the states have one type; lengths may have another."""
        x, *given = inputs
        return super().types(x, *given[self.lengths :])

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """W, R and the biases of each direction, and the initial states that are held, in ONNX's order."""
        x, *_ = inputs
        _, n, c = self.sizes(x)
        d, rows = len(self.steps), self.gates * self.hidden
        made = [Weight("weight", (d, rows, c)), Weight("recurrence", (d, rows, self.hidden))]
        if self.bias:
            made.append(Weight("bias", (d, 2 * rows)))
        for name, source in self.sources.items():
            if source == "learned":
                made.append(Weight(name, self.state(1)))
            elif source == "constant":
                made.append(Weight(name, self.state(n), "buffer"))
        return tuple(made)

    def loops(self, *inputs: Shape) -> Loops:
        """Per sequence, direction and step: the gates' values, each a sum over the channels and over the state."""
        x, *_ = inputs
        t, n, c = self.sizes(x)
        return Loops(n, len(self.steps), t, self.products * self.hidden, c + self.hidden)

    def units(self, *inputs: Shape) -> int:
        """Values of the state, at every step of every direction."""
        return self.rows(*inputs) * len(self.steps)

    def rows(self, *inputs: Shape) -> int:
        """Values of one direction's state, at every step."""
        x, *_ = inputs
        t, n, _ = self.sizes(x)
        return t * n * self.hidden

    def step(
        self,
        sums: Array,
        state: list[Array],
        matrix: Array,
        bias: Array,
        functions: Sequence[Op],
        **more: Array,
    ) -> list[Array]:
        """The sums of W and its bias: G x N x H, the state, R: G x H x H, and its bias: G x H -> the next state."""
        raise NotImplementedError(f"{self.kind} cannot run")

    def bounded(self, function: Op, x: Array) -> Array:
        """An activation of what was cut off at both ends."""
        y: Array = function.run(x if self.clip is None else np.clip(x, -self.clip, self.clip))
        return y

    def run(
        self, *inputs: Array, weight: Array, recurrence: Array, bias: Array | None = None, **held: Array
    ) -> Array | tuple[Array, ...]:
        """Step by step; behind the end of a sequence its state stays."""
        x, *given = inputs
        t, n, _ = self.sizes(x.shape)
        rows = x.swapaxes(0, 1) if self.batch_first else x
        lengths = given.pop(0) if self.lengths else np.full(n, t)
        g, h, d = self.gates, self.hidden, len(self.steps)
        last = [np.zeros((d, n, h), x.dtype) for _ in self.states]
        for array, (name, source) in zip(last, self.sources.items(), strict=True):
            if source != "zero":
                first = given.pop(0) if source == "operand" else held.pop(name)
                array[:] = first.swapaxes(0, 1) if self.batch_first else first
        y = np.zeros((t, d, n, h), x.dtype)
        both = np.zeros((d, 2, g, h), x.dtype) if bias is None else bias.reshape(d, 2, g, h)
        for number, (step, functions) in enumerate(zip(self.steps, self.functions, strict=True)):
            matrix = recurrence[number].reshape(g, h, h)
            sums = (rows @ weight[number].T).reshape(t, n, g, h).swapaxes(1, 2) + both[number, 0][:, None]
            more = {name: array[number] for name, array in held.items()}
            for place in range(t)[::step]:
                state = [array[number] for array in last]
                goes_on = (place < lengths)[:, None]
                for array, new in zip(last, self.step(sums[place], state, matrix, both[number, 1], functions, **more),
                                      strict=True):  # fmt: skip
                    array[number] = np.where(goes_on, new, array[number])
                y[place, number] = np.where(goes_on, last[0][number], 0)
        if self.batch_first:
            y, last = y.transpose(2, 0, 1, 3), [array.swapaxes(0, 1) for array in last]
        made = [result for name, result in zip(self.results, (y, *last), strict=True) if name in self.returns]
        return made[0] if len(made) == 1 else tuple(made)

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Tensor | None, ...]:
        """With the weights and the initial states that it has; of its results those that are read."""
        x, recurrence, lengths = node.tensor(), node.weight(2, None, None, None), node.operand(4)
        batch_first = bool(node.get("layout", 0))
        names = tuple(node.get("activations", ()))
        known = [len(FUNCTIONS[name][1]) for name in names if name in FUNCTIONS]
        if len(known) < len(names):
            wrong = next(name for name in names if name not in FUNCTIONS)
            raise UnsupportedError(f"activation {wrong!r} is not supported; {suggestion(wrong, FUNCTIONS)}")
        places = {f"initial_{state}": place for place, state in enumerate(cls.states, start=5)}
        op = cls(
            int(node.get("hidden_size", recurrence.shape[-1])),
            node.get("direction", "forward"),
            bias=node.operand(3) is not None,
            batch_first=batch_first,
            lengths=isinstance(lengths, Tensor),
            activations=names,
            alphas=node.get("activation_alpha", ())[: sum(count > 0 for count in known)],
            betas=node.get("activation_beta", ())[: sum(count > 1 for count in known)],
            clip=node.get("clip"),
            **cls.told(node) | {name: _source(node, place, 0 if batch_first else 1) for name, place in places.items()},
        )
        used = [name for name, read in zip(op.results, node.outputs, strict=False) if read]
        op = replace(op, returns=tuple(used) or op.returns)
        t, n, _ = op.sizes(x.shape)
        if isinstance(lengths, Constant) and any(length != t for length in node.integers(4) or ()):
            raise UnsupportedError(f"constant lengths of sequences other than {t}, which all have, are not supported")
        places |= {"weight": 1, "recurrence": 2, "bias": 3, "peephole": 7}
        for weight in op.weights(x.shape):
            node.weight(places[weight.name], *(op.state(n) if weight.name.startswith("initial") else weight.shape))
        given = [node.operand(place) for place in (4, 5, 6)]
        made = iter(node.apply(op, x, *[operand for operand in given if isinstance(operand, Tensor)]))
        return tuple([next(made) if name in op.returns else None for name in op.results])

    @classmethod
    def told(cls, node: OnnxNode) -> dict[str, Any]:  # noqa: ARG003
        """The fields of its own that a node's attributes and operands tell."""
        return {}

    def own(self) -> tuple[tuple[str | None, ...], dict[str, Any]]:
        """The operands of its own behind the initial states, and the attributes, of ONNX's node."""
        return (), {}

    def to_onnx(self, form: OnnxForm) -> tuple[str, ...]:
        """With what is there of its optional operands, attributes and results."""
        flows = iter(form.operands)
        operands: list[str | None] = [next(flows), "weight", "recurrence", "bias" if self.bias else None]
        operands.append(next(flows) if self.lengths else None)
        _, n, _ = self.sizes(form.shapes[0])
        for name, source in self.sources.items():
            match source:
                case "zero":
                    operands.append(None)
                case "operand":
                    operands.append(next(flows))
                case _:
                    stretched = source == "learned" and n > 1
                    operands.append(form.then("Expand", name, self.state(n)) if stretched else name)
        own, attributes = self.own()
        operands += own
        while operands[-1] is None:
            operands.pop()
        told = {
            "direction": self.direction, "activations": self.activations, "activation_alpha": self.alphas,
            "activation_beta": self.betas, "clip": self.clip, "layout": int(self.batch_first), **attributes,
        }  # fmt: skip
        there = [name in self.returns for name in self.results]
        return form.apply(
            self.onnx[0], *operands, outputs=there, hidden_size=self.hidden,
            **{name: value for name, value in told.items() if value},
        )  # fmt: skip


def _source(node: OnnxNode, place: int, axis: int) -> str:
    """Where a node's initial state is from: what is stored once for all sequences is learned."""
    operand = node.operand(place)
    if operand is None or isinstance(operand, Tensor):
        return "zero" if operand is None else "operand"
    constant = node.weight(place, None, None, None)
    values = constant.read()
    if values is not None and not values.any():
        return "zero"
    stored = constant.stored or constant.shape
    one = (*constant.shape[:axis], 1, *constant.shape[axis + 1 :])
    return "learned" if constant.learned and (1,) * (3 - len(stored)) + stored == one else "constant"


class RNN(Recurrent):
    """h[t] = f(W x[t] + R h[t-1] + both biases), along each direction.

    f is tanh. x, y and the states: see :mod:`costmodel.ops.recurrent`; y is h. Source: Elman 1990.
    """

    onnx: ClassVar[tuple[str, ...]] = ("RNN",)
    each: ClassVar[Work] = per_value([Tanh], (1,), NO_WORK)
    why: ClassVar[str] = f"tanh{MORE}"

    def step(
        self,
        sums: Array,
        state: list[Array],
        matrix: Array,
        bias: Array,
        functions: Sequence[Op],
        **more: Array,  # noqa: ARG002
    ) -> list[Array]:
        """One gate."""
        (h,), (f,) = state, functions
        return [self.bounded(f, (sums + h @ matrix.swapaxes(1, 2) + bias[:, None])[0])]


@dataclass(frozen=True)
class GRU(Recurrent):
    """h[t] = (1 - z) * g(W x[t] + R (r * h[t-1]) + both biases) + z * h[t-1], along each direction.

    The gates z and r are f(W x[t] + R h[t-1] + both biases), each with rows of its own; f is the sigmoid, g tanh. With
    ``linear_before_reset`` r multiplies the product instead: r * (R h[t-1] + its bias). x, y and the states: see
    :mod:`costmodel.ops.recurrent`; y is h. Source: Cho et al. 2014, equations 5 to 8.
    """

    linear_before_reset: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("GRU",)
    gates: ClassVar[int] = 3
    usual: ClassVar[tuple[str, ...]] = ("Sigmoid", "Tanh")
    uses: ClassVar[tuple[int, ...]] = (2, 1)
    beside: ClassVar[Work] = Work(add=2, multiply=3)
    each: ClassVar[Work] = per_value([Sigmoid, Tanh], uses, beside)
    why: ClassVar[str] = (
        "2 sigmoids, tanh, multiply by r, subtract z from 1, multiply by both, add; "
        f"with linear_before_reset an addition more{MORE}"
    )

    def tally(self) -> tuple[tuple[int, ...], Work]:
        """Behind the product the reset gate's own is added to what comes of x."""
        return self.uses, self.beside.plus(Work(add=int(self.linear_before_reset)))

    def step(
        self,
        sums: Array,
        state: list[Array],
        matrix: Array,
        bias: Array,
        functions: Sequence[Op],
        **more: Array,  # noqa: ARG002
    ) -> list[Array]:
        """The gates z and r, and what is new."""
        (h,), (f, g) = state, functions
        products = h @ matrix.swapaxes(1, 2) + bias[:, None]
        z, r = (self.bounded(f, sums[gate] + products[gate]) for gate in (0, 1))
        reset = r * products[2] if self.linear_before_reset else (r * h) @ matrix[2].T + bias[2]
        return [(1 - z) * self.bounded(g, sums[2] + reset) + z * h]

    @classmethod
    def told(cls, node: OnnxNode) -> dict[str, Any]:
        """Where the reset gate multiplies."""
        return {"linear_before_reset": bool(node.get("linear_before_reset", 0))}

    def own(self) -> tuple[tuple[str | None, ...], dict[str, Any]]:
        """Where the reset gate multiplies."""
        return (), {"linear_before_reset": int(self.linear_before_reset)}


@dataclass(frozen=True)
class LSTM(Recurrent):
    """c[t] = f * c[t-1] + i * g(W x[t] + R h[t-1] + both biases), h[t] = o * h(c[t]), along each direction.

    The gates i, o and f are sigmoids of W x[t] + R h[t-1] + both biases, each with rows of its own; g and h are tanh.
    With ``peepholes``, P: D x 3*H, P c[t-1] is added to the sums of i and f, and P c[t] to that of o, value by value.
    With ``input_forget`` f is 1 - i, and its rows of the weights are not read. x, y and the states: see
    :mod:`costmodel.ops.recurrent`; y is h. Source: Hochreiter and Schmidhuber 1997; Gers and Schmidhuber 2000 for
    forget gates and peepholes.
    """

    initial_c: str = "zero"
    peepholes: bool = False
    input_forget: bool = False

    onnx: ClassVar[tuple[str, ...]] = ("LSTM",)
    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    varying: ClassVar[tuple[Varying, ...]] = (*Recurrent.varying, Varying("initial_c", 1, ("operand",)))
    usual: ClassVar[tuple[str, ...]] = ("Sigmoid", "Tanh", "Tanh")
    uses: ClassVar[tuple[int, ...]] = (3, 1, 1)
    beside: ClassVar[Work] = Work(add=1, multiply=3)
    each: ClassVar[Work] = per_value([Sigmoid, Tanh, Tanh], uses, beside)
    why: ClassVar[str] = (
        "3 sigmoids, 2 tanh, multiply c by f and g by i, add, multiply by o; with peepholes a multiplication and an "
        f"addition more for each gate; with input_forget a subtraction in the place of a sigmoid{MORE}"
    )

    @property
    def products(self) -> int:
        """A forget gate that follows from the input gate has none."""
        return self.gates - self.input_forget

    def tally(self) -> tuple[tuple[int, ...], Work]:
        """A peephole is a product and a sum for each gate that has one."""
        gates = 3 - self.input_forget
        peeped = gates * self.peepholes
        more = Work(add=peeped + self.input_forget, multiply=peeped)
        return (gates, 1, 1), self.beside.plus(more)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """And the peepholes, if there are any."""
        made = super().weights(*inputs)
        return (*made, Weight("peephole", (len(self.steps), 3 * self.hidden))) if self.peepholes else made

    def reads(self, *inputs: Shape) -> Mapping[int | str, int]:
        """Without the forget gate, if it follows from the input gate."""
        if not self.input_forget:
            return {}
        parts = {"weight": 4, "recurrence": 4, "bias": 4, "peephole": 3}
        held = [weight for weight in self.weights(*inputs) if weight.name in parts]
        return {weight.name: weight.elements // parts[weight.name] * (parts[weight.name] - 1) for weight in held}

    def step(
        self,
        sums: Array,
        state: list[Array],
        matrix: Array,
        bias: Array,
        functions: Sequence[Op],
        **more: Array,
    ) -> list[Array]:
        """The gates i, o and f, and what is new."""
        (h, c), (f, g, last) = state, functions
        peeped_in, peeped_out, peeped_forget = more["peephole"].reshape(3, -1) if self.peepholes else (0, 0, 0)
        inward, outward, forget, new = sums + h @ matrix.swapaxes(1, 2) + bias[:, None]
        taken = self.bounded(f, inward + peeped_in * c)
        kept = 1 - taken if self.input_forget else self.bounded(f, forget + peeped_forget * c)
        c = kept * c + taken * self.bounded(g, new)
        return [self.bounded(f, outward + peeped_out * c) * self.bounded(last, c), c]

    @classmethod
    def told(cls, node: OnnxNode) -> dict[str, Any]:
        """Its forget gate and its peepholes."""
        return {"input_forget": bool(node.get("input_forget", 0)), "peepholes": node.operand(7) is not None}

    def own(self) -> tuple[tuple[str | None, ...], dict[str, Any]]:
        """Its forget gate and its peepholes."""
        return ("peephole" if self.peepholes else None,), {"input_forget": int(self.input_forget)}
