"""Graph x convention x fuse patterns -> Profile: what each layer needs, as tables of integers.

From here on nothing knows operators: a trace or another tool's table can enter as a Profile just as well.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, Final, NamedTuple

from costmodel.counting import STANDARD, Convention
from costmodel.errors import WiringError
from costmodel.fuse import Kernel, Pattern, fuse
from costmodel.graph import NO_LOOPS, Graph, Tensor, Window, Work, dims, size_in_bytes
from costmodel.table import Column, Table

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
)

PART_COLUMNS: Final = (
    Column("layer", int, "", "row of the layer"),
    Column("operator", str, "", "one operator of the layer"),
    Column("macs", int, "MAC", "its multiply-accumulates", "sum"),
    Column("elementwise", int, "OP", "its elementwise operations", "sum"),
)

MAPS: Final = frozenset({"input", "map", "output"})
"""The kinds of tensors that flow between layers; the other kinds are weights."""


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


def profile(graph: Graph, convention: Convention = STANDARD, patterns: Sequence[Pattern] = ()) -> Profile:
    """Count what every kernel of the graph needs, under a convention, fused as the patterns say."""
    kernels = fuse(graph, patterns)
    if not kernels:
        raise WiringError(f"{graph.name}: a network needs at least one layer")
    tensors = _Tensors(graph, kernels)
    accesses: list[tuple[int, int, str, int]] = []
    layers = []
    parts = []
    uncounted: dict[str, None] = {}
    for row, kernel in enumerate(kernels):
        touched = tensors.accesses(row, kernel)
        accesses += touched
        works = [convention.work(node) for node in kernel.nodes]
        parts += [
            (row, node.op.kind, work.macs, work.elementwise) for node, work in zip(kernel.nodes, works, strict=True)
        ]
        counted = 0
        for node, work in zip(kernel.nodes, works, strict=True):
            number = convention.counted(node, work)
            if number is None:
                uncounted[node.op.kind] = None
            else:
                counted += number
        work = functools.reduce(Work.plus, works)
        layers.append(_layer(kernel, work, counted, [(tensors.rows[tensor], mode) for _, tensor, mode, _ in touched]))
    batch = next((size for tensor in graph.inputs for size in tensor.shape[:1]), 1)
    return Profile(
        graph.name,
        convention.name,
        batch,
        Table.of(LAYER_COLUMNS, layers),
        Table.of(TENSOR_COLUMNS, tensors.rows),
        Table.of(ACCESS_COLUMNS, accesses),
        Table.of(PART_COLUMNS, parts),
        convention.number,
        tuple(sorted(uncounted)),
    )


def _layer(kernel: Kernel, work: Work, counted: int, touched: Sequence[tuple[TensorRow, str]]) -> tuple[Any, ...]:
    """A kernel's row of :data:`LAYER_COLUMNS`."""
    nests = [nest for node in kernel.nodes if (nest := node.op.loops(*node.input_shapes)).batch]
    if len(nests) > 1:
        raise WiringError(f"{kernel.name}: a fused kernel can hold one loop nest, {kernel.operator} has {len(nests)}")
    moved = {"read": 0, "write": 0, "weight": 0}
    stored = {"parameter": 0, "buffer": 0}
    for tensor, mode in touched:
        moved[mode if tensor.kind in MAPS else "weight"] += tensor.bytes
        if tensor.kind in stored:
            stored[tensor.kind] += tensor.elements
    return (
        kernel.name,
        kernel.nodes[0].block,
        kernel.operator,
        ", ".join([dims(tensor.shape) for tensor in kernel.inputs]),
        ", ".join([dims(tensor.shape) for tensor in kernel.outputs]),
        *moved.values(),
        *stored.values(),
        *work,
        work.elementwise,
        counted,
        *(nests[0] if nests else NO_LOOPS),
        *_window_row(next(filter(None, [node.op.window for node in kernel.nodes]), None)),
    )


@functools.lru_cache(maxsize=1024)
def _window_row(window: Window | None) -> tuple[int, ...]:
    if window is None:
        return (0,) * len(WINDOW_COLUMNS)
    absent = (0,) * (len(AXES) - len(window.kernel))
    before, after = zip(*window.pads, strict=True)
    parts = (window.kernel, window.stride, window.dilation, before, after)
    return tuple([number for part in parts for number in (*absent, *part)])


class _Tensors:
    """The tensor rows of a graph under construction: views share the row of the memory they look at."""

    def __init__(self, graph: Graph, kernels: Sequence[Kernel]) -> None:
        self.rows: list[TensorRow] = []
        self._row_of: dict[Tensor, int] = {}
        self._weights: list[list[int]] = []
        names = {node: name for name, node in graph.nodes.items()}
        self._root: dict[Tensor, Tensor] = {}
        for node in graph.nodes.values():
            for tensor in node.outputs:
                self._root[tensor] = self._root[node.inputs[0]] if node.op.view else tensor
        born = dict.fromkeys(graph.inputs, 0)
        dies = dict.fromkeys(graph.inputs, 0)
        for row, kernel in enumerate(kernels):
            for tensor in kernel.inputs:
                dies[self._root[tensor]] = row
            for tensor in kernel.outputs:
                root = self._root[tensor]  # not the tensor itself where the kernel ends with a view
                if root not in born:
                    born[root] = dies[root] = row
        outputs = {self._root[tensor] for tensor in graph.outputs}
        last = len(kernels) - 1
        for tensor, start in born.items():
            kind = "output" if tensor in outputs else "input" if not tensor.node.inputs else "map"
            name = names[tensor.node] + (f":{tensor.index}" if tensor.index else "")
            end = last if tensor in outputs else dies[tensor]
            self._row_of[tensor] = self._add(name, kind, tensor.shape, tensor.bits, start, end)
        for kernel in kernels:
            self._weights.append(
                [
                    self._add(f"{names[node]}.{weight.name}", weight.kind, weight.shape, node.outputs[0].bits, 0, last)
                    for node in kernel.nodes
                    for weight in node.op.weights(*node.input_shapes)
                ]
            )

    def _add(self, name: str, kind: str, shape: tuple[int, ...], bits: int, born: int, dies: int) -> int:
        elements = prod(shape)
        self.rows.append(TensorRow(name, kind, dims(shape), elements, bits, size_in_bytes(elements, bits), born, dies))
        return len(self.rows) - 1

    def accesses(self, layer: int, kernel: Kernel) -> list[tuple[int, int, str, int]]:
        """What a kernel reads and writes; a view touches nothing, a map read twice by one kernel is read once."""
        if all(node.op.view for node in kernel.nodes):
            return []
        rows = self.rows
        read = dict.fromkeys([self._row_of[self._root[tensor]] for tensor in kernel.inputs])
        touched = [(layer, row, "read", rows[row].bytes) for row in (*read, *self._weights[layer])]
        written = [self._row_of[self._root[tensor]] for tensor in kernel.outputs]
        return touched + [(layer, row, "write", rows[row].bytes) for row in written]
