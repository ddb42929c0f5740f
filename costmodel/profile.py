"""Graph x convention x fuse patterns -> Profile: what each layer needs, as tables of integers.

From here on nothing knows operators: a trace or another tool's table can enter as a Profile just as well.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, Final, NamedTuple

from costmodel.counting import STANDARD, Convention
from costmodel.errors import WiringError
from costmodel.fuse import Kernel, Pattern, fuse
from costmodel.graph import BITS, NO_LOOPS, Graph, Loops, Node, Op, Shape, Tensor, Window, Work, dims, size_in_bytes
from costmodel.table import Column, Table
from costmodel.uncollected import uncollected

AXES: Final = ("depth", "height", "width")
WINDOW_COLUMNS: Final = tuple(
    Column(f"{part}_{axis}", int, "", f"window: {meaning} along the {axis} axis; 0 without a window")
    for part, meaning in (
        ("kernel", "size"),
        ("stride", "step"),
        ("dilation", "spacing"),
        ("pad_before", "padding before"),
        ("pad_after", "padding after"),
    )
    for axis in AXES
)
WINDOW_NAMES: Final = tuple(column.name for column in WINDOW_COLUMNS)
NO_WINDOW: Final = (0,) * len(WINDOW_COLUMNS)

LAYER_COLUMNS: Final = (
    Column("layer", str, "", "the kernel's name: block and node, fused nodes joined by +"),
    Column("block", str, "", "the block of the network that the layer belongs to"),
    Column("operator", str, "", "operators in the order they run, fused ones joined by +"),
    Column("input_shape", str, "", "shape of each operand map, batch first"),
    Column("output_shape", str, "", "shape of each result"),
    Column("input_bytes", int, "B", "maps read", "sum"),
    Column("output_bytes", int, "B", "maps written", "sum"),
    Column("weight_bytes", int, "B", "parameters and buffers read", "sum"),
    Column("parameters", int, "", "learned values", "sum"),
    Column("buffers", int, "", "stored values that are not learned, such as running statistics", "sum"),
    Column("macs", int, "MAC", "multiply-accumulates, products with padding included", "sum"),
    *(Column(kind, int, "OP", f"elementwise operations: {kind}", "sum") for kind in Work._fields[1:]),
    Column("elementwise", int, "OP", "elementwise operations of all kinds", "sum"),
    Column("counted", int, "", "what the convention counts: MACs, or a tool's own number", "sum"),
    Column("batch", int, "", "loop nest: images; 0 without a loop nest"),
    Column("groups", int, "", "loop nest: independent groups"),
    Column("pixels", int, "", "loop nest: output positions (M)"),
    Column("filters", int, "", "loop nest: filters per group (N)"),
    Column("reduction", int, "", "loop nest: products summed per output (K)"),
    *WINDOW_COLUMNS,
)

TENSOR_COLUMNS: Final = (
    Column("tensor", str, "", "the tensor's name: the node that makes it, or the node and the weight"),
    Column("kind", str, "", "input, map, output, parameter or buffer"),
    Column("shape", str, "", "sizes joined by x"),
    Column("elements", int, "", "values it holds", "sum"),
    Column("bits", int, "bit", "width of an element"),
    Column("bytes", int, "B", "its size: elements * bits / 8, rounded up", "sum"),
    Column("born", int, "", "row of the layer that makes it; 0 for what is there from the start"),
    Column("dies", int, "", "row of the last layer that needs it"),
)

ACCESS_COLUMNS: Final = (
    Column("layer", int, "", "row of the layer"),
    Column("tensor", int, "", "row of the tensor"),
    Column("mode", str, "", "read or write"),
    Column("bytes", int, "B", "bytes moved", "sum"),
    Column("in_place", bool, "", "whether the layer may write its result over what it reads, element by element"),
)

PART_COLUMNS: Final = (
    Column("layer", int, "", "row of the layer"),
    Column("operator", str, "", "one operator of the layer"),
    Column("form", str, "", "of a convolution: pointwise, depthwise, or window for all others; empty for the rest"),
    Column("macs", int, "MAC", "its multiply-accumulates", "sum"),
    Column("elementwise", int, "OP", "its elementwise operations", "sum"),
    Column(
        "reach",
        str,
        "",
        "what a result needs: a point, value, copy, pixel, window, channel or all of its operands, the "
        "values whose windows are spread over it, a row and a column, or a query and all keys and values of its head",
    ),
)

FORMS: Final = ("pointwise", "depthwise", "window")
"""The forms of convolutions, which a machine may run on different engines."""

MAPS: Final = frozenset({"input", "map", "output"})
"""The kinds of tensors that flow between layers; the other kinds are weights."""


_Data = dict[str, Sequence[Any]]
"""Columns on their way into a table."""

_Held = tuple[str, str, Shape, int, int, int]
"""A tensor's name, kind, shape, bits, and the layers of its birth and of its last use."""


class TensorRow(NamedTuple):
    """A row of :data:`TENSOR_COLUMNS`."""

    tensor: str
    kind: str
    shape: str
    elements: int
    bits: int
    bytes: int
    born: int
    dies: int


@dataclass(frozen=True)
class Profile:
    """What a network needs of any machine: its layers and their parts, its tensors, and who touches what."""

    network: str
    convention: str
    batch: int
    layers: Table
    tensors: Table
    accesses: Table
    parts: Table
    number: str = "MACs"
    """What the convention calls its number, the ``counted`` column."""
    uncounted: tuple[str, ...] = ()
    """Operators that the convention has no rule for: its number leaves them out."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures must know of the network."""

    def __post_init__(self) -> None:
        for table, columns in (
            (self.layers, LAYER_COLUMNS),
            (self.parts, PART_COLUMNS),
            (self.tensors, TENSOR_COLUMNS),
            (self.accesses, ACCESS_COLUMNS),
        ):
            if table.columns != columns:
                raise ValueError(f"a profile's table must have the columns {[column.name for column in columns]}")

    @property
    def peak_map_bytes(self) -> int:
        """The most bytes of maps that must be kept at once, wherever they live: at the worst layer."""
        return max(self.live_bytes([row for row, kind in enumerate(self.tensors["kind"]) if kind in MAPS]))

    def live_bytes(self, rows: Iterable[int]) -> list[int]:
        """Rows of tensors -> how many of their bytes each layer needs to be there, from birth to last use."""
        sizes, born, dies = self.tensors["bytes"], self.tensors["born"], self.tensors["dies"]
        changes = [0] * (len(self.layers) + 1)
        for row in rows:
            changes[born[row]] += sizes[row]
            changes[dies[row] + 1] -= sizes[row]
        return list(accumulate(changes))[:-1]


@uncollected()
def profile(graph: Graph, convention: Convention = STANDARD, patterns: Sequence[Pattern] = ()) -> Profile:
    """Count what every kernel of the graph needs, under a convention, fused as the patterns say."""
    kernels = fuse(graph, patterns)
    if not kernels:
        raise WiringError(f"{graph.name}: a network needs at least one layer")
    tensors, accesses = _memory(graph, kernels)
    moved = _moved(tensors, accesses, len(kernels))
    nodes = [node for kernel in kernels for node in kernel.nodes]
    layer_of = [layer for layer, kernel in enumerate(kernels) for _ in kernel.nodes]
    works = [convention.work(node) for node in nodes]
    elementwise = [work.elementwise for work in works]
    numbers = [convention.counted(node, work) for node, work in zip(nodes, works, strict=True)]
    kinds = [node.op.kind for node in nodes]
    amounts: dict[str, Sequence[int]] = {
        **dict(zip(Work._fields, zip(*works, strict=True), strict=True)),
        "elementwise": elementwise,
        "counted": [number or 0 for number in numbers],
    }
    forms = list(map(_form, nodes))
    parts: _Data = {
        "layer": layer_of,
        "operator": kinds,
        "form": forms,
        "macs": amounts["macs"],
        "elementwise": elementwise,
        "reach": [node.op.reach(*node.input_shapes) for node in nodes],
    }
    layers: _Data = {
        "layer": [kernel.name for kernel in kernels],
        "block": [kernel.nodes[0].block for kernel in kernels],
        "operator": [kernel.operator for kernel in kernels],
        "input_shape": [_shapes(kernel.inputs) for kernel in kernels],
        "output_shape": [_shapes(kernel.outputs) for kernel in kernels],
        "input_bytes": moved["read"],
        "output_bytes": moved["write"],
        "weight_bytes": moved["weight"],
        "parameters": moved["parameter"],
        "buffers": moved["buffer"],
        **{name: _per_layer(layer_of, values, len(kernels)) for name, values in amounts.items()},
        **dict(zip(Loops._fields, zip(*map(_nest, kernels), strict=True), strict=True)),
        **dict(zip(WINDOW_NAMES, zip(*map(_window, kernels), strict=True), strict=True)),
    }
    return Profile(
        graph.name,
        convention.name,
        graph.images,
        Table(LAYER_COLUMNS, layers),
        Table(TENSOR_COLUMNS, tensors),
        Table(ACCESS_COLUMNS, accesses),
        Table(PART_COLUMNS, parts),
        convention.number,
        tuple(sorted({kind for kind, number in zip(kinds, numbers, strict=True) if number is None})),
        graph.notes,
    )


def _memory(graph: Graph, kernels: Sequence[Kernel]) -> tuple[_Data, _Data]:
    """The columns of the tensors, maps before weights, and those of what each kernel reads and writes of them."""
    names = {node: name for name, node in graph.nodes.items()}
    rows, touched = _maps(graph, kernels, names)
    layer_of: list[int] = []
    tensor_of: list[int] = []
    modes: list[str] = []
    in_place: list[bool] = []
    common: dict[str, int] = {}  # the rows of weights that several layers share
    parts: list[tuple[int, int]] = []  # accesses that read a part, and of how many elements
    for layer, (kernel, (read, partly, written)) in enumerate(zip(kernels, touched, strict=True)):
        taken: dict[int, int | None] = {row: partly.get(row) for row in read}
        for node in kernel.nodes:
            partial = node.op.reads(*node.input_shapes) if type(node.op).reads is not Op.reads else {}
            for name, shape, kind, dtype, shared, whole in node.weights:
                row = common.setdefault(shared, len(rows)) if shared else len(rows)
                if row == len(rows):
                    title = shared or f"{names[node]}.{name}"
                    rows.append(
                        (title, kind, (whole,) if whole else shape, BITS[dtype or graph.dtype], 0, len(kernels) - 1)
                    )
                part = partial.get(name, prod(shape) if whole else None)
                taken[row] = _sum(part, taken[row]) if row in taken else part
        if written:  # a view touches nothing
            parts += [(len(tensor_of) + at, part) for at, part in enumerate(taken.values()) if part is not None]
            tensor_of += [*taken, *written]
            modes += ["read"] * len(taken) + ["write"] * len(written)
            layer_of += [layer] * (len(taken) + len(written))
            in_place += [*read.values(), *[False] * (len(taken) - len(read) + len(written))]
    tensors, kinds, shapes, bits, born, dies = zip(*rows, strict=True)
    elements = list(map(prod, shapes))
    sizes = list(map(size_in_bytes, elements, bits))
    columns: _Data = {
        "tensor": tensors,
        "kind": kinds,
        "shape": list(map(dims, shapes)),
        "elements": elements,
        "bits": bits,
        "bytes": sizes,
        "born": born,
        "dies": dies,
    }
    moved = [sizes[row] for row in tensor_of]
    for access, part in parts:
        moved[access] = min(moved[access], size_in_bytes(part, bits[tensor_of[access]]))
    accesses: _Data = {"layer": layer_of, "tensor": tensor_of, "mode": modes, "bytes": moved, "in_place": in_place}
    return columns, accesses


def _maps(
    graph: Graph, kernels: Sequence[Kernel], names: Mapping[Node, str]
) -> tuple[list[_Held], list[tuple[dict[int, bool], dict[int, int], list[int]]]]:
    """The maps, and for each kernel the rows that it reads and whether it may overwrite them, and those that it makes.

    Between these stands of which rows it reads a part only, and of how many elements.

    A view shares the row of the memory that it looks at, so that a kernel of views makes none.
    """
    memory: dict[Tensor, Tensor] = {}  # of each view
    for node in graph.nodes.values():
        if node.op.view:
            memory |= dict.fromkeys(node.outputs, memory.get(node.inputs[0], node.inputs[0]))
    row_of = {tensor: row for row, tensor in enumerate(graph.inputs)}
    born, dies = [0] * len(row_of), [0] * len(row_of)
    touched: list[tuple[dict[int, bool], dict[int, int], list[int]]] = []
    for layer, kernel in enumerate(kernels):
        read: dict[int, bool] = {}
        replaceable = _replaceable(kernel, graph.dtype)
        partial = _partial(kernel)
        parts: dict[int, int] = {}
        for tensor in kernel.inputs:
            row = row_of[memory.get(tensor, tensor)]
            part = partial.get(tensor)
            if part is not None and (row not in read or row in parts):
                parts[row] = max(part, parts.get(row, 0))
            else:
                parts.pop(row, None)
            read[row] = read.get(row, True) and tensor in replaceable
            dies[row] = layer
        written = []
        for tensor in kernel.outputs:
            root = memory.get(tensor, tensor)  # not the tensor itself where the kernel ends with a view
            if root not in row_of:
                row_of[root] = len(born)
                written.append(len(born))
                born.append(layer)
                dies.append(layer)
        touched.append((read, parts, written))
    outputs = {memory.get(tensor, tensor) for tensor in graph.outputs}
    rows = [
        (
            names[tensor.node] + (f":{tensor.index}" if tensor.index else ""),
            "input" if not tensor.node.inputs else "output" if tensor in outputs else "map",
            tensor.shape,
            BITS[tensor.dtype or graph.dtype],
            start,
            len(kernels) - 1 if tensor in outputs else end,
        )
        for tensor, start, end in zip(row_of, born, dies, strict=True)
    ]
    return rows, touched


def _replaceable(kernel: Kernel, dtype: str) -> set[Tensor]:
    """The operands that the result may overwrite: they enter behind all that needs more of them than one element."""
    last = kernel.nodes[-1].op
    if not (last.in_place or last.view):
        return set()

    def layout(tensor: Tensor) -> tuple[int, int]:
        return tensor.elements, BITS[tensor.dtype or dtype]

    result = layout(kernel.outputs[0])
    late: set[Tensor] = set()
    for place, node in reversed(list(enumerate(kernel.nodes))):
        if not (node.op.in_place or node.op.view):
            early = [tensor for before in kernel.nodes[: place + 1] for tensor in before.inputs]
            return late.difference(early)
        late.update([tensor for tensor in node.inputs if layout(tensor) == result])
    return late


def _partial(kernel: Kernel) -> dict[Tensor, int | None]:
    """The tensors that a kernel reads a part of -> how many elements, the most that any of its nodes reads."""
    if all(type(node.op).reads is Op.reads for node in kernel.nodes):
        return {}
    most: dict[Tensor, int | None] = {}
    for node in kernel.nodes:
        reads = node.op.reads(*node.input_shapes)
        for place, tensor in enumerate(node.inputs):
            most[tensor] = _most(reads.get(place), most[tensor]) if tensor in most else reads.get(place)
    return most


def _most(part: int | None, other: int | None) -> int | None:
    """The larger of two parts, of which None is all."""
    return None if part is None or other is None else max(part, other)


def _sum(part: int | None, other: int | None) -> int | None:
    """Two parts of which None is all; they may be the same values, but a part is read for its own sake."""
    return None if part is None or other is None else part + other


def _moved(tensors: _Data, accesses: _Data, count: int) -> dict[str, list[int]]:
    """Per layer, the bytes of maps read and written and of weights, and the elements of each kind of weight.

    What several layers share is of the first that reads it; all of them read its bytes.
    """
    kinds, elements = tensors["kind"], tensors["elements"]
    moved = {name: [0] * count for name in ("read", "write", "weight", "parameter", "buffer")}
    seen: set[int] = set()
    for layer, row, mode, size, _ in zip(*accesses.values(), strict=True):
        kind = kinds[row]
        if kind in MAPS:
            moved[mode][layer] += size
        else:
            moved["weight"][layer] += size
            if row not in seen:
                seen.add(row)
                moved[kind][layer] += elements[row]
    return moved


def _per_layer(layer_of: Sequence[int], amounts: Sequence[int], count: int) -> list[int]:
    """Amounts, and the layer of each -> their sum for each layer."""
    sums = [0] * count
    for layer, amount in zip(layer_of, amounts, strict=True):
        sums[layer] += amount
    return sums


def _shapes(tensors: Sequence[Tensor]) -> str:
    return ", ".join([dims(tensor.shape) for tensor in tensors])


def _form(node: Node) -> str:
    """Which of :data:`FORMS` a convolution has: they differ in how often a value that is read is used."""
    window = node.op.window
    if window is None or not node.op.formed:
        return ""
    loops = node.op.loops(*node.input_shapes)
    if loops.filters == 1 and loops.groups > 1:
        return "depthwise"
    return "pointwise" if max(window.kernel) == 1 else "window"


def _nest(kernel: Kernel) -> Loops:
    """The one loop nest that a kernel may hold; all zero without any."""
    nests = [nest for node in kernel.nodes if (nest := node.op.loops(*node.input_shapes)).batch]
    if len(nests) > 1:
        raise WiringError(f"{kernel.name}: a fused kernel can hold one loop nest, {kernel.operator} has {len(nests)}")
    return nests[0] if nests else NO_LOOPS


def _window(kernel: Kernel) -> tuple[int, ...]:
    """The first window of a kernel, as the values of :data:`WINDOW_COLUMNS`."""
    for node in kernel.nodes:
        window = node.op.window or node.op.spreads
        if window:
            return _window_row(window)
    return NO_WINDOW


@functools.lru_cache(maxsize=1024)
def _window_row(window: Window) -> tuple[int, ...]:
    absent = (0,) * (len(AXES) - len(window.kernel))
    before, after = zip(*window.pads, strict=True)
    parts = (window.kernel, window.stride, window.dilation, before, after)
    return tuple([number for part in parts for number in (*absent, *part)])
