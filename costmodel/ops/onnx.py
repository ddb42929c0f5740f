"""A node of an ONNX model as operators see it: attributes, operands and constants -> the tensors that it makes.

And back: an operator -> the nodes that do the same. Nothing here needs the onnx package. A constant is a shape; its
values are known only where they are few and were asked for, such as the sizes that a Reshape takes.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError, WiringError
from costmodel.graph import Node, Op, Shape, Source, Stored, Tensor, Type, dims

SAME: Final = ("SAME_UPPER", "SAME_LOWER")

TYPES: Final[Mapping[int, str]] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8",
    21: "uint4", 22: "int4", 23: "float4", 24: "float8", 25: "uint2", 26: "int2",
}  # fmt: skip
"""ONNX's numbers of element types -> ours."""

NUMBERS: Final[Mapping[str, int]] = {dtype: number for number, dtype in [*TYPES.items()][::-1]}
"""Our element types -> ONNX's numbers, the first of several."""


MASKED: Final = -1e4
"""What is added to a score to leave it out of a softmax is minus infinity, or at most this, and is not learned."""


class Constant(NamedTuple):
    """An operand that does not flow: a weight, or numbers that a node is told by.

    ``read`` gives its values, or None where these are not known: they are many, or in another file. ``dtype`` is the
    element type that it is stored in, None for the network's. What follows from sizes, truths and whole numbers, such
    as a mask, is not ``learned``. ``stored`` is the shape that it had before it was stretched, if it was; ``whole``
    says how many values the constant of its name has, of which these are a part, if they are.
    """

    shape: Shape
    read: Callable[[], Array | None] = lambda: None
    name: str = ""
    dtype: Type = None
    learned: bool = True
    stored: Shape | None = None
    whole: int = 0
    scaled: bool = False
    """Whether it stands for fractions of the network's type, which a scale makes of what is stored."""
    lowest: Callable[[], float | None] = lambda: None
    """Its least value, None where that is not known; asked for only where it may be a mask."""
    file: str = ""
    """Where its values are, if that is another file, which is not read."""

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return prod(self.shape)

    @property
    def values_dtype(self) -> Type:
        """The element type of what it stands for, None for the network's."""
        return None if self.scaled else self.dtype

    @property
    def is_mask(self) -> bool:
        """Whether some of its values keep what they are added to out of a softmax."""
        lowest = self.lowest()
        return lowest is not None and lowest <= MASKED


Operand = Tensor | Constant | None
"""What a node takes: a tensor that flows, a constant, or nothing in the place of an optional input."""


NOWHERE: Final = Source("node", "")
"""What a layer of a node is that is in no file."""


@dataclass(slots=True, eq=False)  # not frozen, which takes as long as the rest of making one
class OnnxNode:
    """A node: ONNX's name of its operator, the operator set, attributes, operands, and how it becomes layers.

    The name of an operator of another domain is behind that: ``com.microsoft.FastGelu``.
    Attributes are numbers, texts and tuples of these; ``outputs`` says of each output whether anything reads it.
    """

    kind: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[bool, ...]
    path: str
    """Its name, as in the file."""
    taken: dict[str, int] = field(default_factory=dict)
    """The labels of layers so far, and how many layers wanted each."""
    dtype: str = "float32"
    """The network's element type."""
    source: Source = NOWHERE
    """What it is in the file: a node of the file's own graph, or a value, where that node has no name."""
    sources: dict[str, Source] = field(default_factory=dict)
    """The labels of layers so far, and what they are in the file."""
    common: AbstractSet[str] = frozenset()
    """The names of constants that several nodes read."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The operands that flow."""
        return tuple([operand for operand in self.inputs if isinstance(operand, Tensor)])

    @property
    def place(self) -> tuple[str, str]:
        """The block and the name of its layer."""
        return place(self.path, self.kind.rpartition(".")[2])

    def apply(self, op: Op, *operands: Tensor, part: str = "") -> tuple[Tensor, ...]:
        """Apply an operator, without ``operands`` to all that flow; ``part`` names what is not the node itself."""
        block, name = self.place
        wanted = f"{name}_{part}" if part else name
        tensors = operands or self.tensors
        node = Node(op, tensors, unique(wanted, block, self.taken), block, self._stored(op, tensors))
        self.sources[node.label] = self.source
        return node.outputs

    def _stored(self, op: Op, operands: tuple[Tensor, ...]) -> dict[str, Stored]:
        """How an operator's weights are stored: in the types of these constants, and shared as these are."""
        constants = [operand for operand in self.inputs if isinstance(operand, Constant)]
        typed = any(tensor.dtype for tensor in operands)
        if not typed and not any(each.dtype or each.whole or each.name in self.common for each in constants):
            return {}
        stored = {}
        try:
            weights = op.weights(*[tensor.shape for tensor in operands])
            usual, *_ = op.types(*[tensor.dtype for tensor in operands])
        except WiringError:
            return {}  # the node that it makes says so
        usual = (operands[0].dtype if usual == "bool" else usual) or self.dtype
        for weight in weights:
            for constant in constants:
                if sorted(constant.shape) == sorted(weight.shape):
                    constants.remove(constant)
                    whole = 0 if constant.whole == constant.elements else constant.whole
                    several = constant.whole or (constant.name in self.common and constant.elements > 1)
                    kept = constant.dtype or self.dtype
                    how = Stored(
                        None if kept == (weight.dtype or usual) else kept,
                        constant.name if several else "",
                        whole,
                    )
                    if any(how):
                        stored[weight.name] = how
                    break
        return stored

    def then(self, op: Op, operand: Tensor, part: str = "") -> Tensor:
        """Apply an operator that makes one tensor to one tensor."""
        return self.apply(op, operand, part=part)[0]

    def type(self, number: int) -> Type:
        """ONNX's number of an element type -> the type, None for the network's."""
        if number not in TYPES:
            raise UnsupportedError(f"element type {number} is not supported; known: {', '.join(sorted({*NUMBERS}))}")
        return own(TYPES[number], self.dtype)

    def get(self, name: str, usual: Any = None) -> Any:
        """An attribute, or what stands for it where the node has none."""
        return self.attributes.get(name, usual)

    def operand(self, index: int) -> Operand:
        """An input, None where there is none."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Tensor:
        """An input that must flow."""
        operand = self.operand(index)
        if isinstance(operand, Tensor):
            return operand
        raise UnsupportedError(f"its input {index} is {'missing' if operand is None else 'a constant, not a map'}")

    def weight(self, index: int, *shape: int | None) -> Constant:
        """An input that must be a constant; of the shape that is given, where None stands for any size."""
        operand = self.operand(index)
        if operand is None:
            raise WiringError(f"its input {index} is missing")
        if isinstance(operand, Tensor):
            raise UnsupportedError(f"its input {index} is computed, where a constant is supported")
        fits = len(shape) == len(operand.shape) and all(
            wanted in (None, size) for wanted, size in zip(shape, operand.shape, strict=True)
        )
        if shape and not fits:
            wanted = "x".join("?" if size is None else str(size) for size in shape)
            raise WiringError(f"its input {index} must be a constant of {wanted}, not {dims(operand.shape)}")
        return operand

    def values(self, index: int, attribute: str = "") -> Array | None:
        """The values of an attribute, or else of an input, which older and newer operator sets have; None for none."""
        if attribute in self.attributes:
            return np.asarray(self.attributes[attribute])
        operand = self.operand(index)
        if operand is None:
            return None
        values = None if isinstance(operand, Tensor) else operand.read()
        if values is None:
            other = operand.file if isinstance(operand, Constant) else ""
            where = f"in the file {other!r}, which is not read" if other else "not known from the file"
            raise UnsupportedError(f"the values of its input {index} are {where}")
        return values

    def integers(self, index: int, attribute: str = "") -> tuple[int, ...] | None:
        """The same as whole numbers."""
        values = self.values(index, attribute)
        if values is None:
            return None
        if values.ndim > 1 or (values.size and values.dtype.kind not in "iub"):
            place = attribute if attribute in self.attributes else f"input {index}"
            raise WiringError(f"its {place} must be a list of whole numbers, not {values.tolist()!r:.60}")
        return tuple([int(value) for value in values.reshape(-1).tolist()])

    def number(self, index: int, attribute: str = "") -> float | None:
        """The same as one number."""
        values = self.values(index, attribute)
        if values is None:
            return None
        if values.size != 1:
            raise WiringError(f"its input {index} must be one number, not {values.size}")
        return float(str(values.reshape(-1)[0]))  # 0.1 in 32 bits is 0.1, not 0.10000000149

    def whole(self, index: int, attribute: str = "") -> int | None:
        """The same as one whole number."""
        numbers = self.integers(index, attribute)
        if numbers is not None and len(numbers) != 1:
            raise WiringError(f"its input {index} must be one number, not {len(numbers)}")
        return None if numbers is None else numbers[0]

    def axis(self, usual: int, rank: int) -> int:
        """The attribute ``axis``, counted from the start."""
        return checked_axis(int(self.get("axis", usual)), rank)

    def axes(self, index: int, rank: int) -> tuple[int, ...] | None:
        """The attribute or input ``axes``, counted from the start and in order; None without any."""
        axes = self.integers(index, "axes")
        if axes is None:
            return None
        return tuple(sorted(checked_axes(axes, rank)))

    def window(self, kernel: Shape) -> dict[str, Any]:
        """The attributes of a sliding window, with the pads that ``auto_pad`` stands for."""
        _, _, *spatial = self.tensor().shape
        given = self.get("kernel_shape", kernel)
        if tuple(given) != tuple(kernel):
            raise WiringError(f"has a kernel of {dims(tuple(given))} and weights for {dims(tuple(kernel))}")
        if len(kernel) != len(spatial):
            raise WiringError(f"a {dims(tuple(kernel))} kernel needs {len(kernel)} spatial axes, not {len(spatial)}")
        ones = (1,) * len(kernel)
        stride, dilation = (tuple(self.get(name, ones)) for name in ("strides", "dilations"))
        if len(stride) != len(kernel) or len(dilation) != len(kernel) or min(stride) < 1:
            raise WiringError(f"has strides {stride} and dilations {dilation} for a {dims(tuple(kernel))} kernel")
        pads = tuple(self.get("pads", (0,) * 2 * len(kernel)))
        if len(pads) != 2 * len(kernel):
            raise WiringError(f"has {len(pads)} pads for a {dims(tuple(kernel))} kernel, which takes {2 * len(kernel)}")
        automatic = self.get("auto_pad", "NOTSET")
        if automatic in SAME:
            spare = [
                max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
                for size, k, s, d in zip(spatial, kernel, stride, dilation, strict=True)
            ]
            less, more = [total // 2 for total in spare], [-(-total // 2) for total in spare]
            pads = (*less, *more) if automatic == "SAME_UPPER" else (*more, *less)
        elif automatic == "VALID":
            pads = (0,) * 2 * len(kernel)
        elif automatic != "NOTSET":
            raise WiringError(f"has auto_pad {automatic!r}; known: NOTSET, SAME_LOWER, SAME_UPPER, VALID")
        return {"kernel": tuple(kernel), "stride": stride, "dilation": dilation, "pads": pads}


class Whole(int):
    """A whole number by itself, where another one is of the maps' type."""


Given = str | float | tuple[int, ...] | Whole | None
"""What a node to write takes: a name; a number of the maps' type; whole numbers; or None for no optional input."""


class Step(NamedTuple):
    """A node to write: ONNX's name of its operator, what it takes and makes, and its attributes.

    What it could make and does not is called ''.
    """

    kind: str
    inputs: tuple[Given, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class OnnxForm:
    """An operator as nodes of ONNX: its operands' shapes and names, the names of its weights, and the nodes so far."""

    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    weights: tuple[str, ...]
    dtype: str = "float32"
    """The network's element type."""
    steps: list[Step] = field(default_factory=list)

    def apply(self, kind: str, *inputs: Given, outputs: int | Sequence[bool] = 1, **attributes: Any) -> tuple[str, ...]:
        """Add a node, without ``inputs`` on all operands and then all weights -> the names of what it makes.

        ``outputs`` is how many results it makes, or says of each that it could make whether it does.
        """
        every = [True] * outputs if isinstance(outputs, int) else outputs
        made = tuple([f"step{len(self.steps)}.{number}" if there else "" for number, there in enumerate(every)])
        self.steps.append(Step(kind, inputs or (*self.operands, *self.weights), made, attributes))
        return tuple(filter(None, made))

    def then(self, kind: str, *inputs: Given, **attributes: Any) -> str:
        """Add a node that makes one tensor."""
        return self.apply(kind, *inputs, **attributes)[0]


def own(dtype: str, network: str) -> Type:
    """An element type -> the same, or None if it is the network's."""
    return None if dtype == network else dtype


def checked_axis(axis: int, rank: int) -> int:
    """An axis that may count from the end -> counted from the start."""
    if not -rank <= axis < rank:
        raise WiringError(f"has axis {axis}, where there are {rank}")
    return axis % rank


def checked_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Axes that may count from the end -> counted from the start, each once."""
    counted = [checked_axis(axis, rank) for axis in axes]
    if len({*counted}) < len(counted):
        raise WiringError(f"has an axis twice in {list(axes)}")
    return counted


def unique(name: str, block: str, taken: dict[str, int]) -> str:
    """A name that no layer of the block has yet: the one wanted, or with a number behind it."""
    wanted = label = f"{block}.{name}" if block else name
    while label in taken:
        taken[wanted] += 1
        label = f"{wanted}_{taken[wanted]}"
    taken[label] = 1
    return label[len(block) + 1 :] if block else label


def place(name: str, kind: str) -> tuple[str, str]:
    """A node's name -> block and layer: ``/layer1/layer1.0/conv/Conv`` is ``Conv`` in ``layer1.0.conv``.

    A path that repeats its parent, as exporters write it, is not repeated; a name of digits alone says nothing.
    """
    parts: list[str] = []
    for part in name.split("/"):
        text = "".join([letter if letter.isprintable() and letter not in " +" else "_" for letter in part])
        if parts and text.startswith(f"{parts[-1]}."):
            parts.pop()
        if text:
            parts.append(text)
    if not parts:
        return "", kind.lower()
    *blocks, last = parts
    return ".".join(blocks), f"{kind.lower()}_{last}" if last.isdigit() else last


def path(name: str, block: str) -> str:
    """The way back: a layer's whole name and its block -> a node's name."""
    return f"{block}/{name[len(block) + 1 :]}" if block else name
