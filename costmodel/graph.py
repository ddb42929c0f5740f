"""The language of networks: operators applied to tensors -> a graph that remembers how it was made.

``y = Conv(filters=64, kernel=3)(x)`` makes a :class:`Node` that links ``x`` to ``y``; a :class:`Graph` is what can
be reached backwards from its outputs. Shapes are tuples of positive integers in ONNX's order (N, C, spatial ...).
"""

import functools
import itertools
import operator
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Self

from costmodel.errors import CostModelError, UnsupportedError, WiringError, suggestion

if TYPE_CHECKING:
    from costmodel.ops.onnx import OnnxForm, OnnxNode

Shape = tuple[int, ...]

VARIADIC: Final = 0x04
"""The flag of a code object that takes ``*args``; ``inspect.CO_VARARGS`` without importing ``inspect``."""

BITS: Final[Mapping[str, int]] = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "float4": 4,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2, "bool": 8,
}  # fmt: skip
"""Element type -> width in bits."""

FRACTIONS: Final = frozenset({"float64", "float32", "float16", "bfloat16", "float8", "float4"})
"""The element types of numbers that need not be whole."""

NARROW: Final = frozenset({"float8", "float4", "int8", "int4", "int2", "uint8", "uint4", "uint2"})
"""Those in which learned values are kept that are computed with in a wider one."""

ELEMENTS: Final = 2**63
"""More elements than a map may have."""

Type = str | None
"""An element type, a name in :data:`BITS`; None stands for that of the network."""


@functools.lru_cache(maxsize=4096)
def dims(shape: Shape) -> str:
    """``(1, 3, 224, 224) -> '1x3x224x224'``; a scalar's shape is ``'scalar'``."""
    return "x".join(map(str, shape)) if shape else "scalar"


def size_in_bytes(elements: int, bits: int) -> int:
    """Elements * bits / 8, rounded up."""
    return -(-elements * bits // 8)


def known_type(dtype: str) -> str:
    """An element type, checked."""
    if dtype not in BITS:
        raise CostModelError(f"element type {dtype!r} is unknown; {suggestion(dtype, BITS)}")
    return dtype


class Weight(NamedTuple):
    """A constant operand: a learned ``parameter``, or a ``buffer`` that is stored but not learned.

    Without an element type it has that of its layer's first result, or of its first operand where that is a truth.
    """

    name: str
    shape: Shape
    kind: Literal["parameter", "buffer"] = "parameter"
    dtype: Type = None
    shared: str = ""
    """The name of what several layers read as a weight of theirs, and that is stored once; '' for a layer's own."""
    whole: int = 0
    """How many values are stored under that name, where this layer reads a part of them; 0 where it reads all."""

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return prod(self.shape)

    @property
    def stored(self) -> int:
        """How many values are stored: its own, or those of which they are a part."""
        return self.whole or self.elements


class Stored(NamedTuple):
    """How one weight of a layer is stored, where that does not follow from its operator: see :class:`Weight`."""

    dtype: Type = None
    shared: str = ""
    whole: int = 0


class Loops(NamedTuple):
    """The loop nest of multiply-accumulates: ``groups`` products of (pixels x reduction) by (reduction x filters)."""

    batch: int = 0
    groups: int = 0
    pixels: int = 0
    filters: int = 0
    reduction: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the product of the extents."""
        return prod(self)


class Window(NamedTuple):
    """A sliding window, one number per spatial axis; pads are (before, after) pairs."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """Input elements that a window spans per axis: dilation * (kernel - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a window is a small value, not an object that is kept alive
    def output(self, spatial: Shape, *, ceil: bool = False) -> Shape:
        """Window positions per axis: floor((size + pads - extent) / stride) + 1.

        With ``ceil`` the division rounds up, but a window that would start in the padding behind the map is dropped.
        """
        if len(spatial) != len(self.kernel):
            raise WiringError(f"a {dims(self.kernel)} kernel needs {len(self.kernel)} spatial axes, not {len(spatial)}")
        sizes = []
        for size, kernel, stride, dilation, (before, after) in zip(spatial, *self, strict=True):
            spare = size + before + after - (dilation * (kernel - 1) + 1)
            if spare < 0:
                dilated = "" if self.extent == self.kernel else f" (dilated: {dims(self.extent)})"
                padded = tuple(size + sum(pads) for size, pads in zip(spatial, self.pads, strict=True))
                raise WiringError(f"kernel {dims(self.kernel)}{dilated} is larger than the padded map {dims(padded)}")
            positions = -(-spare // stride) + 1 if ceil else spare // stride + 1
            if ceil and (positions - 1) * stride >= size + before:
                positions -= 1
            sizes.append(positions)
        return tuple(sizes)


Reach = Literal["point", "value", "copy", "pixel", "window", "spread", "channel", "product", "heads", "all"]
"""How far an output value reaches into the operands: the same place of each (which may be stretched), one value at its
position (of whatever channel), one value anywhere, all channels at its position, the window at its position, the values
whose windows are spread over its position, all positions of its channel, a row and a column of two matrices, a query
and all keys and values of its head, or all there is."""


class Work(NamedTuple):
    """An amount of arithmetic; amounts add up and scale. ``special`` is exp, log, erf, tanh, sqrt and the like."""

    macs: int = 0
    add: int = 0
    multiply: int = 0
    compare: int = 0
    divide: int = 0
    special: int = 0

    @property
    def elementwise(self) -> int:
        """Everything that is not a multiply-accumulate, one operation each."""
        return sum(self) - self.macs

    def plus(self, other: "Work") -> "Work":
        """The sum, kind by kind."""
        return Work(*map(operator.add, self, other))


class Varying(NamedTuple):
    """An attribute that gives its operator ``more`` inputs where it has one of ``values``, or without these any."""

    attribute: str
    more: int
    values: tuple[Any, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether it does so with a value of the attribute."""
        return value in self.values if self.values else value is not None


NO_LOOPS: Final = Loops()
NO_WORK: Final = Work()


@dataclass(frozen=True)
class Op:
    """The contract of an operator: a frozen dataclass of attributes plus pure functions of the operand shapes.

    A subclass is registered under its own name. It overrides :meth:`shape` (or :meth:`shapes` with several outputs),
    and of the rest what differs from "no weights, no multiply-accumulates, no elementwise work".
    """

    registry: ClassVar[dict[str, type["Op"]]] = {}

    onnx: ClassVar[tuple[str, ...]] = ()
    """The names of the operators of ONNX that :meth:`from_onnx` takes."""

    onnx_registry: ClassVar[dict[str, type["Op"]]] = {}
    """A name of ONNX's -> the operator that takes it."""

    kind: ClassVar[str] = "Op"
    """The operator's registered name: that of its class."""

    operands: ClassVar[int | None] = None
    """How many inputs it takes, read off the signature of :meth:`shape` unless declared; None for any number."""

    varying: ClassVar[tuple[Varying, ...]] = ()
    """The attributes with which it takes more or fewer; :meth:`count_operands` adds them up."""

    view: ClassVar[bool] = False
    """True if the output is the input's memory under another shape: no work, no traffic."""

    in_place: ClassVar[bool] = False
    """True if each element of the output needs only the same element of the operands, so that it may overwrite one."""

    steps_first: ClassVar[bool] = False
    """True if the first axis of the operands is that of steps, and images are along the second."""

    permutes: ClassVar[bool] = False
    """True if the result has the axes of the operand in another order."""

    formed: ClassVar[bool] = False
    """True for a convolution, whose form may decide which engine runs it."""

    each: ClassVar[Work] = NO_WORK
    """Elementwise operations per unit of :meth:`units`, as the ``standard`` convention counts them."""

    per_row: ClassVar[Work] = NO_WORK
    """Once for each of :meth:`rows`, beside :attr:`each`; a number below 0 is what another kind takes the place of."""

    unit: ClassVar[str] = "output element"
    """What :meth:`units` counts, in words."""

    why: ClassVar[str] = ""
    """What the operations in :attr:`each` are, in words."""

    row: ClassVar[str] = "output element"
    """What :meth:`rows` counts, in words."""

    row_why: ClassVar[str] = ""
    """What the operations in :attr:`per_row` are, in words, where they are more than those whose place they take."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__name__
        if abstract:
            return
        signature = cls.shape.__code__
        if "operands" not in cls.__dict__ and not signature.co_flags & VARIADIC:
            cls.operands = signature.co_argcount - 1
        if cls.__name__ in Op.registry:
            raise TypeError(
                f"operator {cls.__name__!r} is registered already, by {Op.registry[cls.__name__].__module__}"
            )
        Op.registry[cls.__name__] = cls
        for name in cls.__dict__.get("onnx", ()):
            if name in Op.onnx_registry:
                raise TypeError(f"{cls.__name__}: ONNX's {name!r} is taken by {Op.onnx_registry[name].__name__}")
            Op.onnx_registry[name] = cls

    @classmethod
    def from_onnx(cls, node: "OnnxNode") -> "tuple[Tensor | None, ...]":
        """A node of an ONNX model -> what it makes; by default this operator, without attributes, on all operands.

        None stands for a result that nothing reads and that is not made.
        """
        return node.apply(cls())

    def to_onnx(self, form: "OnnxForm") -> tuple[str, ...]:
        """The nodes of ONNX that do the same -> what they make; by default the one that :meth:`from_onnx` takes."""
        if not self.onnx or type(self).from_onnx.__func__ is not Op.from_onnx.__func__:  # type: ignore[attr-defined]
            raise UnsupportedError(f"{self.kind} has no form in ONNX")
        return form.apply(self.onnx[0])

    def count_operands(self) -> None:
        """Set :attr:`operands` to what the attributes make of it."""
        more = sum([each.more for each in self.varying if each.holds(getattr(self, each.attribute))])
        object.__setattr__(self, "operands", (type(self).operands or 0) + more)

    @property
    def window(self) -> Window | None:
        """The sliding window, for operators that have one."""
        return None

    @property
    def spreads(self) -> Window | None:
        """The window of results that each value of the operand is spread over, for operators that do so."""
        return None

    def shape(self, *inputs: Any) -> Shape:
        """Operand shapes -> the output's shape; raises :class:`WiringError` when they do not fit."""
        raise NotImplementedError(f"{self.kind} has no shape rule")

    def shapes(self, *inputs: Any) -> tuple[Shape, ...]:
        """Operand shapes -> the shape of each output."""
        return (self.shape(*inputs),)

    def types(self, *inputs: Any) -> tuple[Type, ...]:
        """Operand element types -> that of all outputs, or of each; by default the one that all operands have."""
        if len(inputs) > 1 and any(dtype != inputs[0] for dtype in inputs):
            both = " and ".join(dict.fromkeys([dtype or "the network's" for dtype in inputs]))
            raise WiringError(f"takes operands of one element type, not of {both}")
        return inputs[:1] or (None,)

    def weights(self, *inputs: Any) -> tuple[Weight, ...]:  # noqa: ARG002
        """Operand shapes -> the constants the operator holds."""
        return ()

    def reads(self, *inputs: Any) -> Mapping[int | str, int]:  # noqa: ARG002
        """Operand shapes -> elements that are read of an operand, by its place, or of a weight, where not all are."""
        return {}

    def loops(self, *inputs: Any) -> Loops:  # noqa: ARG002
        """Operand shapes -> the loop nest of multiply-accumulates; all zero without any."""
        return NO_LOOPS

    def reach(self, *inputs: Any) -> Reach:  # noqa: ARG002
        """Operand shapes -> what an output value needs of the operands."""
        return "point" if self.in_place else "all"

    def units(self, *inputs: Any) -> int:
        """Operand shapes -> how often :attr:`each` is done; by default once per output element."""
        return prod(self.shape(*inputs))

    def rows(self, *inputs: Any) -> int:
        """Operand shapes -> how often :attr:`per_row` is done; by default once per output element."""
        return prod(self.shape(*inputs))

    def work(self, *inputs: Any) -> Work:
        """Operand shapes -> arithmetic: the loop nest's MACs, ``each * units`` and ``per_row * rows``.

        Derived, not overridden.
        """
        macs = self.loops(*inputs).macs
        if self.each is NO_WORK:
            return Work(macs)
        units = self.units(*inputs)
        _, add, multiply, compare, divide, special = self.each
        work = Work(macs, add * units, multiply * units, compare * units, divide * units, special * units)
        if self.per_row is NO_WORK:
            return work
        rows = self.rows(*inputs)
        return work.plus(Work(*[count * rows for count in self.per_row]))

    def run(self, *inputs: Any, **weights: Any) -> Any:
        """Operand arrays, and the weights by name -> the output array: the equation in plain NumPy."""
        raise NotImplementedError(f"{self.kind} cannot run")

    def __call__(self, *inputs: "Tensor", name: str | None = None) -> "Tensor":
        """Apply the operator; ``name`` is the layer's name inside the current block."""
        outputs = self.apply(*inputs, name=name)
        if len(outputs) != 1:
            raise TypeError(f"{self.kind} has {len(outputs)} outputs; use apply()")
        return outputs[0]

    def apply(
        self, *inputs: "Tensor", name: str | None = None, stored: Mapping[str, Stored] | None = None
    ) -> "tuple[Tensor, ...]":
        """Apply the operator and return all its outputs; ``stored`` says how weights are stored, by name."""
        return Node(self, inputs, name, _BLOCK.get(), stored).outputs


class Tensor:
    """A value that flows between layers: its shape, its element type, and the node that makes it."""

    __slots__ = ("dtype", "index", "node", "shape")

    def __init__(self, shape: Shape, dtype: Type, node: "Node", index: int) -> None:
        self.shape: Final = shape
        self.dtype: Final = dtype
        self.node: Final = node
        self.index: Final = index

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"Tensor({dims(self.shape)} from {self.node.label})"


class Node:
    """One operator at one place of a graph."""

    __slots__ = ("block", "input_shapes", "inputs", "label", "name", "op", "outputs", "serial", "stored")

    _serials: ClassVar = itertools.count()

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Tensor],
        name: str | None = None,
        block: str = "",
        stored: Mapping[str, Stored] | None = None,
    ) -> None:
        self.op: Final = op
        self.stored: Final = dict(stored) if stored else None
        for tensor in inputs:
            if not isinstance(tensor, Tensor):
                raise WiringError(f"{op.kind} takes tensors, such as Input(...)() makes, not {tensor!r}")
        self.inputs: Final = tuple(inputs)
        self.name: Final = name
        self.block: Final = block
        self.serial: Final = next(Node._serials)
        own = name or op.kind.lower()
        self.label: Final = f"{block}.{own}" if block else own  # for messages; a graph makes it unique
        self.input_shapes: Final = tuple([tensor.shape for tensor in self.inputs])
        if op.operands not in (None, len(self.inputs)):
            raise self._error(f"takes {op.operands} inputs, not {len(self.inputs)}")
        try:
            made = op.shapes(*self.input_shapes)
            types = op.types(*[tensor.dtype for tensor in self.inputs])
        except WiringError as error:
            raise self._error(str(error)) from None
        for shape in made:
            if 0 in shape:
                raise self._error(f"would make an empty map {dims(shape)}")
            if prod(shape) >= ELEMENTS:
                raise self._error("would make a map of 2^63 elements or more, which no 64-bit number counts")
        if len(types) < len(made):
            types *= len(made)
        if self.stored:
            self._check_stored(self.stored)
        self.outputs: Final = tuple(
            [Tensor(shape, dtype, self, index) for index, (shape, dtype) in enumerate(zip(made, types, strict=True))]
        )

    def _check_stored(self, stored: Mapping[str, Stored]) -> None:
        weights = {weight.name: weight for weight in self.op.weights(*self.input_shapes)}
        for name, how in stored.items():
            if name not in weights:
                raise self._error(f"has no weight {name!r}; {suggestion(name, weights)}")
            if how.whole and not how.shared:
                raise self._error(f"states 'whole' of its {name!r}, which needs a name as 'shared'")

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The constants that it holds, each with its element type and with whom it is shared."""
        weights = self.op.weights(*self.input_shapes)
        if weights and self.stored:
            given = [self.stored.get(weight.name, Stored()) for weight in weights]
            weights = tuple(
                [
                    weight._replace(dtype=how.dtype or weight.dtype, shared=how.shared, whole=how.whole)
                    for weight, how in zip(weights, given, strict=True)
                ]
            )
        dtype = self.outputs[0].dtype
        if dtype is None or not weights:
            return weights
        if dtype == "bool":
            dtype = self.inputs[0].dtype
        return tuple([weight._replace(dtype=weight.dtype or dtype) for weight in weights])

    @property
    def parameters(self) -> int:
        """Learned values: the elements of every weight that is not a buffer."""
        return sum(weight.elements for weight in self.weights if weight.kind == "parameter")

    def _error(self, problem: str) -> WiringError:
        shapes = ", ".join(map(dims, self.input_shapes)) or "none"
        return WiringError(f"{self.label}: {self.op} {problem}; input shapes: {shapes}")

    def __repr__(self) -> str:
        return f"Node({self.label}: {self.op})"


_BLOCK: ContextVar[str] = ContextVar("block", default="")


@contextmanager
def block(name: str) -> Iterator[None]:
    """Layers made inside belong to block ``name``; blocks nest: ``stage1`` inside ``body`` is ``body.stage1``."""
    outer = _BLOCK.get()
    token = _BLOCK.set(f"{outer}.{name}" if outer else name)
    try:
        yield
    finally:
        _BLOCK.reset(token)


@dataclass(frozen=True)
class Input(Op):
    """x: given from outside; no operands, no work.

    ``size`` is the full shape, batch first; () is that of a single number. ``dtype`` is its element type where that is
    not the network's, such as int64 for the numbers of words; what is made of it has that type too, unless an operator
    makes another.
    """

    size: Shape
    dtype: Type = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            known_type(self.dtype)
        sizes: object = self.size
        if not (isinstance(sizes, tuple) and all(type(size) is int and size > 0 for size in sizes)):
            raise CostModelError(f"an input's size is a tuple of positive integers, not {self.size}")

    def shape(self) -> Shape:
        """The declared size."""
        return self.size

    def types(self) -> tuple[Type, ...]:
        """The declared type."""
        return (self.dtype,)


class Source(NamedTuple):
    """What a layer is in a file: a ``node`` by its name, or a ``value`` by its name, where the node has none."""

    kind: Literal["node", "value"]
    name: str


class Graph:
    """A network: its nodes by unique name, inputs first used first, each after the nodes it reads from.

    ``dtype`` is the element type of the maps and weights that have none of their own.
    """

    __slots__ = ("dtype", "name", "nodes", "notes", "outputs", "sources", "steps_first")

    def __init__(
        self,
        outputs: Tensor | Sequence[Tensor],
        name: str = "network",
        *,
        dtype: str = "float32",
        notes: Sequence[str] = (),
        sources: "Mapping[str, Source] | None" = None,
        steps_first: Collection[Tensor] = (),
    ) -> None:
        self.name: Final = name
        self.dtype: Final = known_type(dtype)
        self.notes: Final = tuple(notes)
        """What a reader of its figures must know, such as operators that were left out."""
        self.sources: Final[Mapping[str, Source]] = sources or {}
        """A layer's name -> what it is in the file that the network comes from."""
        self.steps_first: Final = frozenset(steps_first)
        """Tensors whose first axis is that of steps, beside those of which an operator says so."""
        self.outputs: Final = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        if not self.outputs or not all(isinstance(tensor, Tensor) for tensor in self.outputs):
            raise WiringError(f"{name}: a graph is made from its output tensors, not from {outputs!r}")
        reached = {tensor.node for tensor in self.outputs}
        waiting = list(reached)
        while waiting:
            for tensor in waiting.pop().inputs:
                if tensor.node not in reached:
                    reached.add(tensor.node)
                    waiting.append(tensor.node)
        # A node can only read tensors that exist already, so the order of making is a topological order.
        self.nodes: Final[Mapping[str, Node]] = _named(sorted(reached, key=operator.attrgetter("serial")))
        _check_shared(self.nodes)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors given from outside."""
        return tuple(node.outputs[0] for node in self.nodes.values() if isinstance(node.op, Input))

    @property
    def images(self) -> int:
        """How many images run at once: those of the first input that has as many as go out, or else of the first."""
        return self._images(self.image_axes)

    def _images(self, axes: Mapping[Tensor, int | None]) -> int:
        sizes = [tensor.shape[axis or 0] for tensor, axis in axes.items()]
        out = {tensor.shape[place] for place in (0, 1) for tensor in self.outputs if len(tensor.shape) > place}
        first = {tensor.shape[0] for tensor in self.outputs if tensor.shape}
        return next(iter([size for known in (first, out, sizes) for size in sizes if size in known]), 1)

    @property
    def batch_axes(self) -> dict[Tensor, int]:
        """The axis of images of each input that has as many as run at once; :class:`CostModelError` if it is not known.

        It is the first, or where a layer takes steps first the one that leads to its second.
        """
        axes = self.image_axes
        images = self._images(axes)
        for tensor, axis in axes.items():
            if axis is None:
                raise CostModelError(
                    f"{self.name}: along which axis of input {tensor.node.label!r} ({dims(tensor.shape)}) images are "
                    "is not known; to change their number, change its shape"
                )
        return {tensor: axis for tensor, axis in axes.items() if axis is not None and tensor.shape[axis] == images}

    @property
    def image_axes(self) -> dict[Tensor, int | None]:
        """Each input's axis of images, None where it is not known; a single number has none."""
        inputs = [tensor for tensor in self.inputs if tensor.shape]
        if not self.steps_first and not any(node.op.steps_first for node in self.nodes.values()):
            return dict.fromkeys(inputs, 0)
        spots = {tensor: (tensor.shape[0], tensor.shape[1]) for tensor in self.steps_first}
        for node in reversed([*self.nodes.values()]):
            for tensor in node.inputs:
                if tensor in spots or not tensor.shape:
                    continue
                if node.op.steps_first:
                    *before, images = tensor.shape[:2]
                    spots[tensor] = (prod(before), images)
                    continue
                found = [_spot(node, tensor, made, *spots[made]) for made in node.outputs if made in spots]
                if any(found):
                    spots[tensor] = next(filter(None, found))
        return {tensor: _axis(tensor.shape, *spots[tensor]) if tensor in spots else None for tensor in inputs}

    @property
    def parameters(self) -> int:
        """Learned values of all nodes; what several share counts once."""
        learned = [
            (weight.shared or (name, weight.name), weight.stored)
            for name, node in self.nodes.items()
            for weight in node.weights
            if weight.kind == "parameter"
        ]
        return sum(dict(learned).values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates, products with padding included."""
        return sum(node.op.loops(*node.input_shapes).macs for node in self.nodes.values())

    def replay(self, *, batch: int | None = None, dtype: str | None = None, name: str | None = None) -> Self:
        """The same network for another batch size or element type, rebuilt node by node from its inputs.

        The element type becomes that of all that has none of its own, and of inputs that are fractions.
        """
        if dtype is not None:
            known_type(dtype)
        made: dict[Tensor, Tensor] = {}
        axes = {} if batch is None else self.batch_axes
        for node in self.nodes.values():
            op = node.op
            if isinstance(op, Input):
                own, sizes = None if dtype and op.dtype in FRACTIONS else op.dtype, list(op.size)
                if batch is not None and node.outputs[0] in axes:
                    sizes[axes[node.outputs[0]]] = batch
                op = Input(tuple(sizes), own)
            copy = Node(op, [made[tensor] for tensor in node.inputs], node.name, node.block, node.stored)
            made |= dict(zip(node.outputs, copy.outputs, strict=True))
        return type(self)(
            [made[tensor] for tensor in self.outputs],
            name or self.name,
            dtype=dtype or self.dtype,
            notes=self.notes,
            sources=self.sources,
            steps_first=[made[tensor] for tensor in self.steps_first],
        )

    def __eq__(self, other: object) -> bool:
        """Equal when the same operators with the same attributes are wired the same way under the same layer names."""
        if not isinstance(other, Graph):
            return NotImplemented
        mine, others = self.wiring(), other.wiring()
        return mine == others and [*mine] == [*others]

    __hash__ = None  # type: ignore[assignment]

    def wiring(self) -> dict[str, tuple[Any, ...]]:
        """What makes two networks equal: each layer by name, in order, and under '' what the whole is.

        That one weight alone is shared says nothing.
        """
        names = {node: name for name, node in self.nodes.items()}
        several = Counter([how.shared for node in names if node.stored for how in node.stored.values()])
        wires: dict[str, tuple[Any, ...]] = {}
        for name, node in self.nodes.items():
            stored = {
                weight: how if several[how.shared] > 1 or how.whole else how._replace(shared="")
                for weight, how in (node.stored or {}).items()
            }
            inputs = [(names[tensor.node], tensor.index) for tensor in node.inputs]
            wires[name] = node.block, node.op, inputs, {weight: how for weight, how in stored.items() if any(how)}
        return wires | {"": (self.dtype, [(names[tensor.node], tensor.index) for tensor in self.outputs])}

    def __repr__(self) -> str:
        return f"Graph({self.name}: {len(self.nodes)} nodes)"


def _axis(shape: Shape, before: int, images: int) -> int | None:
    """The axis of so many images, with so many values of the axes before it; None if it is a part of one."""
    axes = enumerate(shape)
    return next((axis for axis, size in axes if size == images and prod(shape[:axis]) == before), None)


def _spot(node: Node, tensor: Tensor, made: Tensor, before: int, images: int) -> tuple[int, int] | None:
    """Where images are in a result, as what is before them and their number -> where in an operand, if it is known."""
    shape, result = tensor.shape, made.shape
    axis = _axis(result, before, images)
    if node.op.view or (len(shape) != len(result) and prod(shape) == prod(result)):
        return before, images  # the same values in the same order
    if axis is None:
        kept = next((place for place in range(len(result)) if prod(result[: place + 1]) % (before * images) == 0), 0)
        return (before, images) if shape[: kept + 1] == result[: kept + 1] else None
    if node.op.permutes:
        places = [node.op.axes[axis]]  # type: ignore[attr-defined]
    elif len(shape) <= len(result):
        places = (
            [axis] if shape == result[: len(shape)] or len(shape) == len(result) else [axis - len(result) + len(shape)]
        )
    else:
        places = [axis + (axis >= gone) for gone in range(len(shape)) if (*shape[:gone], *shape[gone + 1 :]) == result]
    return next(((prod(shape[:at]), images) for at in places if 0 <= at < len(shape) and shape[at] == images), None)


def _check_shared(nodes: Mapping[str, Node]) -> None:
    """What several layers share is one constant, with as many values for each."""
    known: dict[str, tuple[str, int]] = {}
    for name, node in nodes.items():
        for weight in node.weights if node.stored else ():
            first, stored = known.setdefault(weight.shared, (name, weight.stored))
            if weight.shared and stored != weight.stored:
                raise WiringError(
                    f"{first!r} and {name!r} share {weight.shared!r}, which has {stored} values for the one and "
                    f"{weight.stored} for the other; 'whole' says of how many values a part is read"
                )


def _named(nodes: Sequence[Node]) -> dict[str, Node]:
    """Nodes -> unique names: given names must differ, the others are numbered when they repeat."""
    named = {node.label: node for node in nodes if node.name}
    for node in nodes:
        if node.name and named[node.label] is not node:
            raise WiringError(f"two layers are named {node.label!r}; names inside a block must differ")
    repeats: dict[str, int] = {}
    unnamed: dict[Node, str] = {}
    for node in nodes:
        if not node.name:
            label = node.label
            while label in named:
                repeats[node.label] = repeats.get(node.label, 1) + 1
                label = f"{node.label}_{repeats[node.label]}"
            named[label] = node
            unnamed[node] = label
    return {unnamed.get(node, node.label): node for node in nodes}
