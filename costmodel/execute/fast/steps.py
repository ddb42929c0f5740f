"""Kernel x buffers x weights -> a step: the instructions that do the kernel's work on its buffers, or Python's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import ceil, prod
from typing import Final

from costmodel.arrays import Array, np
from costmodel.execute.fast import instructions
from costmodel.execute.fast.instructions import UNCLAMPED, Frame, Instruction
from costmodel.execute.fast.vectors import ROWS, WIDTH, address
from costmodel.fuse import Kernel
from costmodel.graph import Node, Tensor
from costmodel.ops import Add, AveragePool, BatchNorm, ChannelShuffle, Concat, Conv, Linear, MaxPool, Softmax

CLAMPS: Final = {"Relu": (0.0, np.inf), "Relu6": (0.0, 6.0)}
"""Activations that a kernel can end with: the least and the largest result."""

ENDS: Final = {"BatchNorm": 0, "Add": 1, **dict.fromkeys(CLAMPS, 2), "ChannelShuffle": 3}
"""What a convolution's last pass can do, in this order."""

COLUMNS: Final = 1 << 17
"""Values of the columns of patches that are made at once: half a second-level cache."""

FEW: Final = 512
"""Positions of a map that is small: its columns of patches are made all at once."""

FEW_ROWS: Final = 16
"""Rows of a linear layer's operand that are too few for a matrix product: each is multiplied by the matrix alone."""

WORTH: Final = {"products": 1 << 19, "values": 1 << 14}
"""How much a part of a kernel does at least, that it is worth being shared with another thread."""


@dataclass(frozen=True)
class Tail:
    """What a fused kernel does after its first operator: y = clamp(scale * y + shift + other), channels shuffled."""

    scale: Array
    shift: Array
    other: Tensor | None
    clamp: tuple[float, float]
    groups: int


@dataclass(frozen=True)
class Scratch:
    """How many threads there are, and memory that all kernels share: two padded planes and columns for each thread.

    ``kept`` are the arrays whose addresses are in instructions.
    """

    threads: int
    planes: Array
    columns: Array
    kept: list[Array] = field(default_factory=list)

    def parts(self, amount: int, unit: str) -> int:
        """How many parts to divide a kernel into that does so much: up to four for each thread."""
        return max(1, min(4 * self.threads, amount // WORTH[unit])) if self.threads > 1 else 1

    def at(self, array: Array) -> int:
        """The address of an array, which is kept."""
        self.kept.append(array)
        return address(array)

    @property
    def windows(self) -> tuple[int, int]:
        """Where the padded planes are, and how large."""
        return self.at(self.planes), self.planes.shape[-1]


def plane_size(kernel: Kernel) -> int:
    """Values of one padded plane, for kernels that copy channels into it."""
    node = kernel.nodes[0]
    if node.op.window is None or len(node.input_shapes[0]) != 4:
        return 0
    height, pitch = _padded(node)
    return (height + 2) * (pitch + 2)


def columns_needed(kernel: Kernel) -> int:
    """Values of the columns of patches that a thread makes at once."""
    node = kernel.nodes[0]
    if not isinstance(node.op, Conv) or len(node.input_shapes[0]) != 4:
        return 0
    return _reduction(node) * _rows_at_once(node) * node.outputs[0].shape[3]


def _reduction(node: Node) -> int:
    (weight, *_) = node.weights
    return prod(weight.shape[1:])


def _rows_at_once(node: Node) -> int:
    """The rows of a map whose columns of patches are made at once: all of a small map's, else an even share."""
    *_, height, width = node.outputs[0].shape
    if height * width < FEW:
        return height
    blocks = -(-height // max(1, COLUMNS // (_reduction(node) * width)))
    return -(-height // (-(-blocks // 4) * 4))


def build(
    kernel: Kernel, weights: Mapping[Node, Mapping[str, Array]], buffer: Callable[[Tensor], Array], scratch: Scratch,
) -> list[Instruction]:  # fmt: skip
    """The instructions of a fused kernel; an operator that has no fast form runs its reference."""
    first, *rest = kernel.nodes
    makers = {
        "Conv": _convolution, "Linear": _linear, "BatchNorm": _affine, "Add": _add, "MaxPool": _pool,
        "AveragePool": _pool, "GlobalAveragePool": _means, "Concat": _concat, "Relu": _clamp, "Relu6": _clamp,
        "Softmax": _softmax,
    }  # fmt: skip
    if all(node.op.view for node in kernel.nodes):
        return []
    maker = makers.get(first.op.kind)
    if maker is None or not _fits(first, rest):
        return [Instruction(_reference(kernel, weights, buffer), 1)]
    tail = _tail(first, rest, weights)
    operands = [buffer(tensor) for tensor in first.inputs]
    other = None if tail.other is None else buffer(tail.other)
    task = Task(first, operands, buffer(kernel.outputs[0]), other, weights.get(first, {}), tail, scratch)
    return list(maker(task))


@dataclass(frozen=True)
class Task:
    """What a kernel works on: its first operator, its operands, what it makes, what is added to that, and the rest."""

    node: Node
    operands: list[Array]
    y: Array
    other: Array | None
    weights: Mapping[str, Array]
    tail: Tail
    scratch: Scratch

    @property
    def x(self) -> Array:
        """The first operand."""
        return self.operands[0]


def _fits(first: Node, rest: Sequence[Node]) -> bool:
    """Whether a kernel's shapes and attributes, and what it ends with, are those that its fast form is for."""
    op, x = first.op, first.input_shapes[0]
    ends = [node.op.kind for node in rest]
    clamped = not ends or (len(ends) == 1 and ends[0] in CLAMPS)
    if isinstance(op, Add) and (op.held is not None or first.input_shapes[0] != first.input_shapes[1]):
        return False
    if isinstance(op, Linear):
        return clamped and prod(x[:-1]) <= FEW_ROWS
    if isinstance(op, Softmax):
        return not ends and op.axis % len(x) == 1 and prod(x[2:]) == 1
    if len(first.outputs[0].shape) != 4:
        return False
    if isinstance(op, Conv):
        return _ends(op, first.outputs[0], rest)
    if isinstance(op, Concat):
        return clamped and op.axis % 4 == 1
    return clamped if isinstance(op, BatchNorm | Add) else not ends


def _ends(op: Conv, made: Tensor, rest: Sequence[Node]) -> bool:
    """Whether what follows a convolution is what its last pass can do: each at most once, in the order of ENDS."""
    order = [ENDS.get(node.op.kind, -1) for node in rest]
    if order != sorted({*order} - {-1}):
        return False
    for node in rest:
        if isinstance(node.op, Add) and (
            node.op.held is not None or any(shape != made.shape for shape in node.input_shapes)
        ):
            return False
        if isinstance(node.op, ChannelShuffle) and (
            ENDS["Add"] in order or not (op.groups == 1 or node.op.groups in {1, op.groups})
        ):
            return False
    return True


def _tail(first: Node, rest: Sequence[Node], weights: Mapping[Node, Mapping[str, Array]]) -> Tail:
    """The nodes behind the first, which fit, as one affine map, sum, clamp and shuffle in that order."""
    channels = first.outputs[0].shape[1]
    tail = Tail(np.ones(channels, np.float32), np.zeros(channels, np.float32), None, UNCLAMPED, 1)
    made = {node.outputs[0] for node in (first, *rest)}
    for node in rest:
        if isinstance(node.op, BatchNorm):
            scale, shift = _norm(node.op, weights[node])
            tail = replace(tail, scale=scale, shift=shift)
        elif isinstance(node.op, Add):
            (other,) = {*node.inputs} - made
            tail = replace(tail, other=other)
        elif isinstance(node.op, ChannelShuffle):
            tail = replace(tail, groups=node.op.groups)
        else:
            tail = replace(tail, clamp=CLAMPS[node.op.kind])
    return tail


def _norm(op: BatchNorm, weights: Mapping[str, Array]) -> tuple[Array, Array]:
    """A batch norm as y = scale * x + shift; source: HairNet, algorithm 2, step 10."""
    scale = weights["gamma"] / np.sqrt(weights["variance"] + op.epsilon)
    return scale.astype(np.float32), (weights["beta"] - weights["mean"] * scale).astype(np.float32)


def _convolution(task: Task) -> Iterator[Instruction]:
    op, tail, scratch = task.node.op, task.tail, task.scratch
    assert isinstance(op, Conv) and op.window  # noqa: S101, PT018 - for the type checker
    filters, groups = op.filters, op.groups
    folded = task.weights["weight"].reshape(filters, -1) * tail.scale[:, None]
    bias = tail.shift + tail.scale * task.weights.get("bias", np.float32(0))
    if groups == task.x.shape[1] == filters and task.other is None and tail.groups == 1:
        yield from _depthwise(task, folded, bias)
        return
    each, depth = filters // groups, folded.shape[1]
    if tail.groups > 1 and groups == 1:  # a shuffle is another order of the filters
        order = np.arange(filters).reshape(tail.groups, -1).T.reshape(-1)
        folded, bias = folded[order], bias[order]
    spread = groups if tail.groups > 1 else 1  # or each group's results go to every groups-th channel
    matrices = [_panels(folded[g * each : (g + 1) * each]) for g in range(groups)]
    biases = [_panels(bias[g * each : (g + 1) * each, None]) for g in range(groups)]
    size, read = prod(task.y.shape[2:]), task.x.shape[1] // groups
    plain = max(op.window.kernel) == max(op.window.stride) == 1 and not any(map(sum, op.window.pads))
    for image in range(len(task.y)):
        for g in range(groups):
            start = g if spread > 1 else g * each
            x, y = task.x[image, g * read : (g + 1) * read], task.y[image, start:]
            other = None if task.other is None else task.other[image, start:]
            product = Product(matrices[g], depth, biases[g], y, size * spread, other, each, tail.clamp)
            if plain:
                yield product.of(x, size, scratch)
            else:
                yield from _patched(task, x, product)


@dataclass(frozen=True)
class Product:
    """A matrix in panels, to be multiplied by a map, and where its results go: y = clamp(matrix * x + bias + other)."""

    panels: Array
    depth: int
    bias: Array
    y: Array
    pitch: int
    other: Array | None
    filters: int
    clamp: tuple[float, float]

    def made(self, scratch: Scratch) -> tuple[int, int, int]:
        """Where results go, how far rows lie apart, and what is added to them."""
        return scratch.at(self.y), self.pitch, 0 if self.other is None else scratch.at(self.other)

    def of(self, x: Array, positions: int, scratch: Scratch) -> Instruction:
        """The product with a map of depth x positions, divided by positions, or on a small map by filters."""
        parts = scratch.parts(self.filters * self.depth * positions, "products")
        across = max(1, min(parts, positions // (2 * WIDTH)))
        positions_each = _each(positions, across, WIDTH)
        filters_each = _each(self.filters, ceil(parts / across), ROWS)
        count = ceil(self.filters / filters_each) * ceil(positions / positions_each)
        at = scratch.at
        operands = (at(self.panels), self.depth, at(self.bias), at(x), positions, *self.made(scratch), self.filters)
        return Instruction(instructions.product, count, (*operands, filters_each, positions_each), self.clamp)


def _panels(matrix: Array) -> Array:
    """M x K -> panels of ROWS filters, each K x ROWS, the last filled up with zeros."""
    filters, depth = matrix.shape
    padded = np.zeros((ceil(filters / ROWS) * ROWS, depth), np.float32)
    padded[:filters] = matrix
    return np.ascontiguousarray(padded.reshape(-1, ROWS, depth).transpose(0, 2, 1))


def _each(total: int, parts: int, multiple: int = 1) -> int:
    """The size of a part of a range, a multiple."""
    return max(1, ceil(total / (parts * multiple))) * multiple


def _patched(task: Task, x: Array, product: Product) -> Iterator[Instruction]:
    """A convolution as products with columns of patches, some output rows at a time so that the columns stay cached.

    Of a large map each thread makes its own columns; those of a small one are made together, then multiplied.
    """
    scratch, at = task.scratch, task.scratch.at
    frame = _frame(task.node)._replace(channels=len(x))
    rows = _rows_at_once(task.node)
    source = (*frame, at(x), *scratch.windows)
    if rows < frame.made_h:
        columns = (at(scratch.columns), scratch.columns.shape[1])
        operands = (
            *source,
            *columns,
            at(product.panels),
            at(product.bias),
            *product.made(scratch),
            product.filters,
            rows,
        )
        yield Instruction(instructions.convolution, ceil(frame.made_h / rows), operands, product.clamp)
        return
    positions = frame.made_h * frame.made_w
    each = _each(len(x), scratch.parts(product.depth * positions, "values"))
    yield Instruction(instructions.patches, ceil(len(x) / each), (*source, at(scratch.columns), each))
    yield product.of(scratch.columns.reshape(-1)[: product.depth * positions], positions, scratch)


def _frame(node: Node) -> Frame:
    """A node's window, its map, and the padded plane that holds every element under a window."""
    window = node.op.window
    assert window is not None  # noqa: S101 - for the type checker
    _, channels, height, width = node.input_shapes[0]
    (top, _), (left, _) = window.pads
    _, pitch = _padded(node)
    made = node.outputs[0].shape[2:]
    steps = (*window.kernel, *window.stride, *window.dilation)
    return Frame._make((channels, height, width, *steps, top, left, pitch, *made))


def _depthwise(task: Task, folded: Array, bias: Array) -> Iterator[Instruction]:
    at, frame = task.scratch.at, _frame(task.node)
    rows, pitch = _padded(task.node)
    for x, y in zip(task.x, task.y, strict=True):
        each = _each(len(x), task.scratch.parts(x.size, "values"))
        constants = (at(np.ascontiguousarray(folded)), at(np.ascontiguousarray(bias)))
        operands = (*frame, at(x), *task.scratch.windows, (rows + 2) * (pitch + 2), *constants, at(y), each)
        yield Instruction(instructions.depthwise, ceil(len(x) / each), operands, task.tail.clamp)


def _padded(node: Node) -> tuple[int, int]:
    """Rows and pitch of the padded plane that holds every element under a window."""
    window = node.op.window
    assert window is not None  # noqa: S101 - for the type checker
    sizes = []
    for size, (before, _), made, stride, extent in zip(
        node.input_shapes[0][2:], window.pads, node.outputs[0].shape[2:], window.stride, window.extent, strict=True
    ):
        sizes.append(max(before + size, (made - 1) * stride + extent))
    height, pitch = sizes
    return height, pitch


def _linear(task: Task) -> Iterator[Instruction]:
    at, weight = task.scratch.at, np.ascontiguousarray(task.weights["weight"])
    features, depth = weight.shape
    bias = task.weights.get("bias", np.zeros(features, np.float32))
    each = _each(features, task.scratch.parts(weight.size, "values"))
    rows = task.x.size // depth
    operands = (at(weight), features, depth, at(np.ascontiguousarray(bias)), at(task.x), rows, at(task.y), each)
    yield Instruction(instructions.linear, ceil(features / each), operands, task.tail.clamp)


def _affine(task: Task) -> Iterator[Instruction]:
    assert isinstance(task.node.op, BatchNorm)  # noqa: S101 - for the type checker
    scale, shift = _norm(task.node.op, task.weights)
    for x, y in zip(task.x, task.y, strict=True):
        yield _mapped(task, x, y, scale, shift)


def _mapped(task: Task, x: Array, y: Array, scale: Array, shift: Array) -> Instruction:
    """y[c] = clamp(scale[c] * x[c] + shift[c]); x, y: C x ..."""
    at, channels = task.scratch.at, len(x)
    each = _each(channels, task.scratch.parts(x.size, "values"))
    operands = (at(x), channels, x.size // channels, at(scale), at(shift), at(y), each)
    return Instruction(instructions.affine, ceil(channels / each), operands, task.tail.clamp)


def _copied(task: Task, x: Array, y: Array) -> Instruction:
    """Y = clamp(x); x, y: C x ..."""
    ones, zeros = (np.full(len(x), value, np.float32) for value in (1, 0))
    return _mapped(task, x, y, ones, zeros)


def _clamp(task: Task) -> Iterator[Instruction]:
    clamped = replace(task, tail=replace(task.tail, clamp=CLAMPS[task.node.op.kind]))
    for x, y in zip(task.x, task.y, strict=True):
        yield _copied(clamped, x, y)


def _concat(task: Task) -> Iterator[Instruction]:
    ends = list(accumulate([operand.shape[1] for operand in task.operands], initial=0))
    for operand, start, stop in zip(task.operands, ends, ends[1:], strict=False):
        for x, y in zip(operand, task.y, strict=True):
            yield _copied(task, x, y[start:stop])


def _add(task: Task) -> Iterator[Instruction]:
    at, (a, b), y = task.scratch.at, task.operands, task.y
    each = _each(y.size, task.scratch.parts(y.size, "values"), WIDTH)
    yield Instruction(instructions.add, ceil(y.size / each), (at(a), at(b), y.size, at(y), each), task.tail.clamp)


def _pool(task: Task) -> Iterator[Instruction]:
    op, at = task.node.op, task.scratch.at
    assert isinstance(op, MaxPool | AveragePool)  # noqa: S101 - for the type checker
    factors = np.ones(task.y.shape[2:], np.float32)
    if isinstance(op, AveragePool):
        factors = np.ascontiguousarray(1 / op.divisors(task.x)[0, 0], np.float32)
    for x, y in zip(task.x, task.y, strict=True):
        each = _each(len(x), task.scratch.parts(x.size, "values"))
        largest = int(isinstance(op, MaxPool))
        operands = (*_frame(task.node), at(x), *task.scratch.windows, largest, at(factors), at(y), each)
        yield Instruction(instructions.pool, ceil(len(x) / each), operands)


def _means(task: Task) -> Iterator[Instruction]:
    at, x = task.scratch.at, task.x
    channels = x.shape[0] * x.shape[1]
    each = _each(channels, task.scratch.parts(x.size, "values"))
    operands = (at(x), channels, x.size // channels, at(task.y), each)
    yield Instruction(instructions.means, ceil(channels / each), operands)


def _softmax(task: Task) -> Iterator[Instruction]:
    at, (rows, columns) = task.scratch.at, task.y.shape[:2]
    yield Instruction(instructions.softmax, 1, (at(task.x), rows, columns, at(task.y), rows))


def _reference(
    kernel: Kernel, weights: Mapping[Node, Mapping[str, Array]], buffer: Callable[[Tensor], Array]
) -> Callable[[], None]:
    """The operators' own NumPy, one after another."""
    steps = [(node, weights.get(node, {})) for node in kernel.nodes]

    def reference() -> None:
        made: dict[Tensor, Array] = {}
        for node, constants in steps:
            operands = [made[tensor] if tensor in made else buffer(tensor) for tensor in node.inputs]
            with np.errstate(all="ignore"):
                made[node.outputs[0]] = node.op.run(*operands, **constants)
        for tensor in kernel.outputs:
            np.copyto(buffer(tensor), made[tensor])

    return reference
