"""Kernel x buffers x weights -> a step: a function without arguments that does the kernel's work on its buffers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.execute.fast import kernels as compiled
from costmodel.execute.fast.workers import Job, Workers
from costmodel.fuse import Kernel
from costmodel.graph import Node, Tensor
from costmodel.ops import Add, AveragePool, BatchNorm, ChannelShuffle, Concat, Conv, Linear, MaxPool, Softmax

Step = Callable[[], None]

UNCLAMPED: Final = (np.float32(-np.inf), np.float32(np.inf))
CLAMPS: Final = {"Relu": (np.float32(0), np.float32(np.inf)), "Relu6": (np.float32(0), np.float32(6))}
"""Activations that a kernel can end with: the least and the largest result."""

ENDS: Final = {"BatchNorm": 0, "Add": 1, **dict.fromkeys(CLAMPS, 2), "ChannelShuffle": 3}
"""What a convolution's last pass can do, in this order."""

COLUMNS: Final = 1 << 18
"""Values of the columns of patches that are made at once: about a second-level cache."""

FEW: Final = 512
"""Positions of a map that is small: its products are divided by filters, those of others by positions."""

SMALL: Final = 1 << 20
"""Products that are not worth dividing, as it would take longer to wake another thread."""

MOVED: Final = 1 << 16
"""Values that are not worth dividing, likewise."""


@dataclass(frozen=True)
class Tail:
    """What a fused kernel does after its first operator: y = clamp(scale * y + shift + other), channels shuffled."""

    scale: Array
    shift: Array
    other: Tensor | None
    low: np.float32
    high: np.float32
    groups: int


class Scratch(NamedTuple):
    """The threads, and memory that all steps share: two padded planes and columns of patches for each thread."""

    workers: Workers
    planes: Array
    columns: Array

    def parts(self, amount: int, least: int) -> int:
        """How many parts to divide a kernel into, that does so much: two for each thread, if it does enough."""
        return 2 * self.workers.threads if self.workers.threads > 1 and amount >= least else 1


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
    (weight, *_) = node.op.weights(*node.input_shapes)
    return prod(weight.shape[1:])


def _rows_at_once(node: Node) -> int:
    """The rows of a map whose columns of patches are made at once: all of a small map's, else an even share."""
    *_, height, width = node.outputs[0].shape
    if height * width < FEW:
        return height
    blocks = -(-height // max(1, COLUMNS // (_reduction(node) * width)))
    return -(-height // (-(-blocks // 4) * 4))


def _shares(total: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """A range divided into at most so many, each but the last a multiple long."""
    size = max(1, -(-total // (max(1, parts) * multiple))) * multiple
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def build(
    kernel: Kernel, weights: Mapping[Node, Mapping[str, Array]], buffer: Callable[[Tensor], Array], scratch: Scratch,
) -> Step:  # fmt: skip
    """The step of a fused kernel; an operator that has no fast form runs its reference."""
    first, *rest = kernel.nodes
    makers = {
        "Conv": _convolution, "Linear": _linear, "BatchNorm": _affine, "Add": _add, "MaxPool": _pool,
        "AveragePool": _pool, "GlobalAveragePool": _means, "Concat": _concat, "Relu": _clamp, "Relu6": _clamp,
        "Softmax": _softmax,
    }  # fmt: skip
    if all(node.op.view for node in kernel.nodes):
        return lambda: None
    maker = makers.get(first.op.kind)
    if maker is None or not _fits(first, rest):
        return _reference(kernel, weights, buffer)
    tail = _tail(first, rest, weights)
    return maker(first, tail, weights.get(first, {}), buffer, kernel.outputs[0], scratch)


def _fits(first: Node, rest: Sequence[Node]) -> bool:
    """Whether a kernel's shapes and attributes, and what it ends with, are those that its fast form is for."""
    op, x = first.op, first.input_shapes[0]
    ends = [node.op.kind for node in rest]
    clamped = not ends or (len(ends) == 1 and ends[0] in CLAMPS)
    if isinstance(op, Add) and op.held is not None:
        return False
    if isinstance(op, Linear):
        return clamped
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
    tail = Tail(np.ones(channels, np.float32), np.zeros(channels, np.float32), None, *UNCLAMPED, 1)
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
            low, high = CLAMPS[node.op.kind]
            tail = replace(tail, low=low, high=high)
    return tail


def _norm(op: BatchNorm, weights: Mapping[str, Array]) -> tuple[Array, Array]:
    """A batch norm as y = scale * x + shift; source: HairNet, algorithm 2, step 10."""
    scale = weights["gamma"] / np.sqrt(weights["variance"] + op.epsilon)
    return scale.astype(np.float32), (weights["beta"] - weights["mean"] * scale).astype(np.float32)


def _convolution(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    op, (x_shape,) = node.op, node.input_shapes
    assert isinstance(op, Conv) and op.window  # noqa: S101, PT018 - for the type checker
    n, channels, *_ = x_shape
    filters = op.filters
    folded = weights["weight"].reshape(filters, -1) * tail.scale[:, None]
    bias = tail.shift + tail.scale * weights.get("bias", np.float32(0))
    x, y = buffer(node.inputs[0]), buffer(result)
    if op.groups == channels == filters and tail.other is None and tail.groups == 1:
        return _depthwise(node, folded, bias, tail, x, y, scratch)
    filters_each = filters // op.groups
    if tail.groups > 1 and op.groups == 1:  # a shuffle is another order of the filters
        order = np.arange(filters).reshape(tail.groups, -1).T.reshape(-1)
        folded, bias = folded[order], bias[order]
    rows = [slice(g * filters_each, (g + 1) * filters_each, 1) for g in range(op.groups)]
    if tail.groups > 1 and op.groups > 1:  # or each group's results go to every groups-th channel
        rows = [slice(g, filters, op.groups) for g in range(op.groups)]
        bias = np.ascontiguousarray(bias.reshape(op.groups, -1).T).reshape(-1)
    matrices = np.ascontiguousarray(folded.reshape(op.groups, filters_each, -1))
    each = channels // op.groups
    flat = y.reshape(n, filters, -1)
    ends = [_finisher(*maps, bias, tail) for maps in zip(flat, _beside(tail, buffer, flat), strict=True)]
    calls = [
        _Product(matrices[g], x[image, g * each : (g + 1) * each], flat[image], rows[g], ends[image])
        for image in range(n)
        for g in range(op.groups)
    ]
    if max(op.window.kernel) == max(op.window.stride) == 1 and not any(map(sum, op.window.pads)):
        jobs = [job for call in calls for job in call.divided(call.x.reshape(each, -1), scratch)]
        return lambda: scratch.workers.run(jobs)
    return _patched(node, calls, scratch)


End = Callable[[slice, int, int], None]
"""Ends a product in the given rows, from one position to another: bias, sum and clamp."""


class _Product(NamedTuple):
    """A matrix times what lies under the windows of some channels of a map, into some rows of another, ended."""

    matrix: Array
    x: Array
    y: Array
    rows: slice
    end: End

    def divided(self, columns: Array, scratch: Scratch) -> list[Job]:
        """The product by positions, or on a small map by filters: each part is ended by the thread that made it."""
        (filters, reduction), positions = self.matrix.shape, columns.shape[1]
        parts = scratch.parts(filters * reduction * positions, SMALL)
        if positions < FEW:
            return [self.part(columns, *share, 0, positions) for share in _shares(filters, parts, 8)]
        return [self.part(columns[:, slice(*share)], 0, filters, *share) for share in _shares(positions, parts, 16)]

    def part(self, columns: Array, start: int, stop: int, first: int, last: int) -> Job:
        """The product's rows from start to stop, on the columns of the positions from first to last."""
        rows = range(self.rows.start, self.rows.stop, self.rows.step)[start:stop]
        these = slice(rows.start, rows.stop, rows.step)
        matrix, into = self.matrix[start:stop], self.y[these, first:last]

        def part(_: int) -> None:
            np.matmul(matrix, columns, out=into)
            self.end(these, first, last)

        return part


def _patched(node: Node, calls: Sequence[_Product], scratch: Scratch) -> Step:
    """A convolution as products with columns of patches, some output rows at a time so that the columns stay cached.

    Of a large map each thread makes its own columns; those of a small one are made together, then multiplied.
    """
    window = node.op.window
    assert window is not None  # noqa: S101 - for the type checker
    *_, height, width = node.outputs[0].shape
    kernel, stride, dilation = (np.array(sizes) for sizes in window[:3])
    (top, _), (left, _) = window.pads
    _, pitch = _padded(node)
    reduction, at_once, workers = _reduction(node), _rows_at_once(node), scratch.workers
    planes = scratch.planes[:, 0]

    def columns(x: Array, first: int, last: int, worker: int, out: Array, start: int, stop: int) -> None:
        compiled.columns(
            x, kernel, stride, dilation, top, left, pitch, width, first, last, planes[worker], out, start, stop
        )

    def block(call: _Product, first: int, last: int) -> Job:
        size = (last - first) * width
        own = [memory[: reduction * size].reshape(reduction, size) for memory in scratch.columns]
        products = [call.part(out, 0, len(call.matrix), first * width, last * width) for out in own]

        def block(worker: int) -> None:
            columns(call.x, first, last, worker, own[worker], 0, len(call.x))
            products[worker](worker)

        return block

    if at_once < height:
        blocks = [block(call, *rows) for call in calls for rows in _shares(height, -(-height // at_once))]
        return lambda: workers.run(blocks)

    shared = scratch.columns[0, : reduction * height * width].reshape(reduction, -1)

    def share(call: _Product, start: int, stop: int) -> Job:
        return lambda worker: columns(call.x, 0, height, worker, shared, start, stop)

    stages = []
    for call in calls:
        channels = _shares(len(call.x), scratch.parts(shared.size, MOVED))
        stages += [[share(call, *part) for part in channels], call.divided(shared, scratch)]

    def together() -> None:
        for jobs in stages:
            workers.run(jobs)

    return together


def _beside(tail: Tail, buffer: Callable[[Tensor], Array], y: Array) -> Iterable[Array | None]:
    """For each image the map that is added, if any."""
    return [None] * len(y) if tail.other is None else buffer(tail.other).reshape(y.shape)


def _finisher(y: Array, other: Array | None, bias: Array, tail: Tail) -> End:
    low, high = tail.low, tail.high
    if other is not None:
        return lambda rows, first, last: compiled.finish_sum(
            y, bias, other, low, high, rows.start, rows.stop, rows.step, first, last
        )
    if not bias.any() and np.isinf(low) and np.isinf(high):
        return lambda rows, first, last: None  # noqa: ARG005
    return lambda rows, first, last: compiled.finish(y, bias, low, high, rows.start, rows.stop, rows.step, first, last)


def _divided(kernel: Callable[[int, int, int], None], channels: int, values: int, scratch: Scratch) -> Step:
    """The step of a kernel that takes a thread and a range of channels, and moves so many values in all."""

    def job(start: int, stop: int) -> Job:
        return lambda worker: kernel(worker, start, stop)

    jobs = [job(*share) for share in _shares(channels, scratch.parts(values, MOVED))]
    return lambda: scratch.workers.run(jobs)


def _each(steps: Sequence[Step]) -> Step:
    """Steps one after another, as for the images of a batch."""
    if len(steps) == 1:
        return steps[0]

    def each() -> None:
        for step in steps:
            step()

    return each


def _depthwise(node: Node, folded: Array, bias: Array, tail: Tail, x: Array, y: Array, scratch: Scratch) -> Step:
    window = node.op.window
    assert window is not None  # noqa: S101 - for the type checker
    (top, _), (left, _) = window.pads
    rows, pitch = _padded(node)
    kernel, stride, dilation = (np.array(sizes) for sizes in window[:3])
    low, high, planes = tail.low, tail.high, scratch.planes
    three = window.kernel == (3, 3) and window.dilation == (1, 1) and window.stride in {(1, 1), (2, 2)}
    step, used = window.stride[0], (rows + 2) * (pitch + 2)

    def of_image(source: Array, target: Array) -> Step:
        def depthwise(worker: int, start: int, stop: int) -> None:
            plane, acc = planes[worker]
            plane[:used] = 0
            if three:
                compiled.depthwise3(
                    source, folded, bias, low, high, step, top, left, pitch, plane, acc, target, start, stop
                )
            else:
                compiled.depthwise(
                    source, folded, bias, low, high, kernel, stride, dilation, top, left, pitch, plane, acc, target,
                    start, stop,
                )  # fmt: skip

        return _divided(depthwise, len(target), source.size, scratch)

    return _each([of_image(*maps) for maps in zip(x, y, strict=True)])


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


def _linear(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    x, y = buffer(node.inputs[0]), buffer(result)
    matrix = weights["weight"].T
    bias = weights.get("bias", np.zeros(matrix.shape[1], np.float32))

    def share(start: int, stop: int) -> Job:
        part, shift, into = matrix[:, start:stop], bias[start:stop], y[..., start:stop]

        def linear(_: int) -> None:
            np.matmul(x, part, out=into)
            np.add(into, shift, out=into)
            if tail.high < np.inf or tail.low > -np.inf:
                np.clip(into, tail.low, tail.high, out=into)

        return linear

    jobs = [share(*part) for part in _shares(matrix.shape[1], scratch.parts(matrix.size, MOVED), 16)]
    return lambda: scratch.workers.run(jobs)


def _affine(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    assert isinstance(node.op, BatchNorm)  # noqa: S101 - for the type checker
    scale, shift = _norm(node.op, weights)
    n, channels, *_ = result.shape
    x, y = (buffer(tensor).reshape(n, channels, -1) for tensor in (node.inputs[0], result))
    return _each([_mapped(source, target, scale, shift, tail, scratch) for source, target in zip(x, y, strict=True)])


def _mapped(x: Array, y: Array, scale: Array, shift: Array, tail: Tail, scratch: Scratch) -> Step:
    """y[c] = clamp(scale[c] * x[c] + shift[c]); x, y: C x P."""

    def mapped(_: int, start: int, stop: int) -> None:
        compiled.affine(x, scale, shift, tail.low, tail.high, y, start, stop)

    return _divided(mapped, len(y), y.size, scratch)


def _add(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del weights
    n, channels, *_ = result.shape
    if node.input_shapes[0] != node.input_shapes[1]:
        left, right, into = (buffer(tensor) for tensor in (*node.inputs, result))

        def broadcast() -> None:
            np.add(left, right, out=into)
            np.clip(into, tail.low, tail.high, out=into)

        return broadcast
    a, b, y = (buffer(tensor).reshape(n * channels, -1) for tensor in (*node.inputs, result))

    def add(_: int, start: int, stop: int) -> None:
        compiled.add(a, b, tail.low, tail.high, y, start, stop)

    return _divided(add, len(y), y.size, scratch)


def _pool(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del tail, weights
    op, window = node.op, node.op.window
    assert isinstance(op, MaxPool | AveragePool) and window  # noqa: S101, PT018 - for the type checker
    largest = isinstance(op, MaxPool)
    (top, _), (left, _) = window.pads
    rows, pitch = _padded(node)
    kernel, stride, dilation = (np.array(sizes) for sizes in window[:3])
    x, y, planes, used = buffer(node.inputs[0]), buffer(result), scratch.planes, (rows + 2) * (pitch + 2)
    factors = np.ones(y.shape[2:], np.float32)
    if isinstance(op, AveragePool):
        factors = np.ascontiguousarray(1 / op.divisors(x)[0, 0])
    outside = np.float32(-np.inf if largest else 0)

    def of_image(source: Array, target: Array) -> Step:
        def pool(worker: int, start: int, stop: int) -> None:
            plane, line = planes[worker]
            plane[:used] = outside
            compiled.pool(
                source, kernel, stride, dilation, top, left, pitch, largest, factors, plane, line, target, start, stop
            )

        return _divided(pool, len(target), source.size, scratch)

    return _each([of_image(*maps) for maps in zip(x, y, strict=True)])


def _means(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del tail, weights, scratch
    n, channels, *_ = node.input_shapes[0]
    x, y = buffer(node.inputs[0]).reshape(n * channels, -1), buffer(result).reshape(-1)
    return lambda: compiled.means(x, y, 0, len(y))


def _concat(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del weights
    y = buffer(result)
    ends = list(accumulate([tensor.shape[1] for tensor in node.inputs], initial=0))
    moves = [
        (image.reshape(len(image), -1), y[n, start:stop].reshape(stop - start, -1))
        for tensor, start, stop in zip(node.inputs, ends, ends[1:], strict=False)
        for n, image in enumerate(buffer(tensor))
    ]
    return _clamped(moves, tail, scratch)


def _clamp(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del weights
    low, high = CLAMPS[node.op.kind]
    n, channels, *_ = result.shape
    x, y = (buffer(tensor).reshape(n * channels, -1) for tensor in (node.inputs[0], result))
    return _clamped([(x, y)], replace(tail, low=low, high=high), scratch)


def _clamped(moves: Sequence[tuple[Array, Array]], tail: Tail, scratch: Scratch) -> Step:
    """Copies between the tail's clamps; each pair is of channels x positions."""
    ones, zeros = (np.full(max(len(x) for x, _ in moves), value, np.float32) for value in (1, 0))
    return _each([_mapped(x, y, ones, zeros, tail, scratch) for x, y in moves])


def _softmax(
    node: Node, tail: Tail, weights: Mapping[str, Array], buffer: Callable[[Tensor], Array], result: Tensor,
    scratch: Scratch,
) -> Step:  # fmt: skip
    del tail, weights, scratch
    x, y = (buffer(tensor).reshape(result.shape[:2]) for tensor in (node.inputs[0], result))
    return lambda: compiled.softmax(x, y, 0, len(y))


def _reference(kernel: Kernel, weights: Mapping[Node, Mapping[str, Array]], buffer: Callable[[Tensor], Array]) -> Step:
    """The operators' own NumPy, one after another."""
    steps = [(node, weights.get(node, {})) for node in kernel.nodes]

    def reference() -> None:
        made: dict[Tensor, Array] = {}
        for node, constants in steps:
            operands = [made[tensor] if tensor in made else buffer(tensor) for tensor in node.inputs]
            with np.errstate(over="ignore", under="ignore"):
                made[node.outputs[0]] = node.op.run(*operands, **constants)
        for tensor in kernel.outputs:
            np.copyto(buffer(tensor), made[tensor])

    return reference
