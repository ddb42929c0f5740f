"""Graph x its Profile -> what a run of it counts, beside what the model says, and where the two differ.

The network runs kernel by kernel. A map is an array from the kernel that makes it until nothing needs it any more,
unless the kernel only looks at another map's memory; a weight is an array of the shape that the loops ask for. What is
touched, alive and computed is taken from these arrays and from the counters in the loops, and from nothing that the
model has counted. What flows inside a fused kernel is the kernel's own and in no memory.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from costmodel.arrays import STORED, Array, np
from costmodel.errors import CostModelError
from costmodel.execute import check_runs, checked_inputs
from costmodel.execute.counting import Counter, compiler, run
from costmodel.execute.weights import SPANS, seeded_weight, seeded_weights, stored_type
from costmodel.fuse import Kernel, Pattern, fuse
from costmodel.graph import BITS, Graph, Node, Shape, Tensor, Type, Weight, Work, dims, size_in_bytes
from costmodel.profile import MAPS, Profile, profile
from costmodel.table import Column, Table

LIMIT: Final = 1e-9
"""How far a result may be from plain NumPy's on the same operands, relative to the largest value; both in 64 bits."""

PAIRS: Final = (
    Column("output_shape", str, "", "shape of each result"),
    Column("macs", int, "MAC", "multiply-accumulates", "sum"),
    *(Column(kind, int, "OP", f"elementwise operations: {kind}", "sum") for kind in Work._fields[1:]),
    Column("elementwise", int, "OP", "elementwise operations of all kinds", "sum"),
    Column("weights", int, "", "elements of parameters and buffers", "sum"),
    Column("input_bytes", int, "B", "maps read", "sum"),
    Column("weight_bytes", int, "B", "parameters and buffers read", "sum"),
    Column("output_bytes", int, "B", "maps written", "sum"),
    Column("live_bytes", int, "B", "maps that are there while the layer runs", "max"),
)
"""What is compared of every layer: as modelled, and behind it as run."""

LAYER_COLUMNS: Final = (
    Column("network", str, "", "the network"),
    Column("layer", str, "", "the kernel's name"),
    Column("operator", str, "", "operators in the order they run"),
    *(
        Column(*of)
        for pair in PAIRS
        for of in (pair, (f"{pair.name}_run", pair.dtype, pair.unit, f"{pair.meaning}, as run", pair.total))
    ),
    Column("error", float, "", "largest difference from plain NumPy, relative to the largest value", "max"),
)

DIFFERENCE_COLUMNS: Final = (
    Column("network", str, "", "the network"),
    Column("layer", str, "", "the layer"),
    Column("quantity", str, "", "what differs"),
    Column("model", str, "", "what the model says"),
    Column("run", str, "", "what the run counted"),
)

SUMMARY_COLUMNS: Final = (
    Column("network", str, "", "the network"),
    Column("input_shape", str, "", "shape of each input"),
    Column("layers", int, "", "layers that ran", "sum"),
    Column("macs", int, "MAC", "multiply-accumulates counted", "sum"),
    Column("elementwise", int, "OP", "elementwise operations counted", "sum"),
    Column("weights", int, "", "elements of weights allocated", "sum"),
    Column("read_bytes", int, "B", "bytes of maps and weights read", "sum"),
    Column("written_bytes", int, "B", "bytes of maps written", "sum"),
    Column("peak_bytes", int, "B", "the most bytes of maps that were there at once", "max"),
    Column("error", float, "", "largest difference from plain NumPy, relative to the largest value", "max"),
    Column("differences", int, "", "quantities that differ", "sum"),
)

Progress = Callable[[int, int, str], None]
"""Is told how many layers are done, how many there are, and the one that comes."""


class Verification(NamedTuple):
    """Networks as modelled and as run."""

    layers: Table
    differences: Table
    summary: Table


@dataclass
class Storage:
    """One block of memory: the map it was made for, and the tensors that look at it."""

    name: str
    size: int
    tensors: set[Tensor] = field(default_factory=set)


@dataclass
class Memory:
    """The maps of a run: what is there, and how much that is."""

    uses: dict[Tensor, int]
    """How many kernels still read a tensor; the one who asked for the network's output is one more."""
    arrays: dict[Tensor, Array] = field(default_factory=dict)
    homes: dict[Tensor, Storage] = field(default_factory=dict)
    live: int = 0
    peak: int = 0

    def allocate(self, tensor: Tensor, name: str, array: Array) -> Storage:
        """Keep an array that was made for a tensor."""
        storage = Storage(name, nbytes(array, tensor.dtype))
        self.live += storage.size
        self.peak = max(self.peak, self.live)
        self.look(tensor, storage, array)
        return storage

    def look(self, tensor: Tensor, storage: Storage, array: Array) -> None:
        """Keep a tensor that is another look at memory that is there."""
        storage.tensors.add(tensor)
        self.homes[tensor], self.arrays[tensor] = storage, array

    def used(self, tensors: Sequence[Tensor]) -> None:
        """One kernel fewer needs these tensors; memory that nothing needs is freed."""
        for tensor in dict.fromkeys(tensors):
            self.uses[tensor] = self.uses.get(tensor, 0) - 1
            self.drop_if_unused(tensor)

    def drop_if_unused(self, tensor: Tensor) -> None:
        """Free a tensor that nothing reads, and its memory with the last tensor that looks at it."""
        if self.uses.get(tensor, 0) <= 0:
            storage = self.homes.pop(tensor)
            del self.arrays[tensor]
            storage.tensors.remove(tensor)
            if not storage.tensors:
                self.live -= storage.size


@dataclass
class Layer:
    """What one kernel did."""

    read: dict[str, int] = field(default_factory=dict)
    """Bytes of each map."""
    weights: dict[str, int] = field(default_factory=dict)
    """Bytes of each weight."""
    written: dict[str, int] = field(default_factory=dict)
    elements: int = 0
    works: list[Work] = field(default_factory=list)
    """Of each operator."""
    shapes: list[Shape] = field(default_factory=list)
    live: int = 0
    error: float = 0.0

    def values(self) -> tuple[Any, ...]:
        """The quantities of :data:`PAIRS`."""
        total = Work()
        for work in self.works:
            total = total.plus(work)
        moved = [sum(part.values()) for part in (self.read, self.weights, self.written)]
        return (", ".join(map(dims, self.shapes)), *total, total.elementwise, self.elements, *moved, self.live)


def verify(
    graph: Graph,
    patterns: Sequence[Pattern] = (),
    *,
    seed: int = 0,
    needs: Profile | None = None,
    progress: Progress | None = None,
    compile_loops: bool | None = None,
) -> Verification:
    """Run a network, fused as the patterns say, and compare what it does with its profile.

    ``needs`` is the profile to compare with, by default the one that :func:`costmodel.profile.profile` makes now.
    Without ``compile_loops`` the loops are compiled if numba is there.
    """
    check_runs(graph)
    needs = profile(graph, patterns=patterns) if needs is None else needs
    model = _Model(needs)
    running = _Running(graph, fuse(graph, patterns), seed, Counter(compile_loops=compile_loops))
    rows: list[tuple[Any, ...]] = []
    found: list[tuple[str, ...]] = []
    for row, kernel in enumerate(running.kernels):
        if progress:
            progress(row, len(running.kernels), kernel.name)
        did = running.kernel(kernel)
        both = zip(model.values[row], did.values(), strict=True)
        rows.append((kernel.name, kernel.operator, *itertools.chain.from_iterable(both), did.error))
        found += [(kernel.name, *difference) for difference in model.differences(row, kernel, did)]
        if did.shapes != [tensor.shape for tensor in kernel.outputs]:
            break  # what follows is wired for another shape
    if progress:
        progress(len(running.kernels), len(running.kernels), "")
    peak = running.memory.peak
    if peak != needs.peak_map_bytes:
        found.append(("total", "peak_map_bytes", str(needs.peak_map_bytes), str(peak)))
    if not found:
        found += _outputs(graph, running, seed)
    return _verification(graph, needs.network, rows, found, peak)


def together(verifications: Sequence[Verification]) -> Verification:
    """Several networks in one."""
    tables = zip(*verifications, strict=True)
    return Verification(*[Table.of(first.columns, _rows(first, *rest)) for first, *rest in tables])


def _rows(*tables: Table) -> list[tuple[Any, ...]]:
    return [row for table in tables for row in table.tuples()]


def compiles() -> bool:
    """Whether the loops are compiled."""
    return compiler() is not None


class _Running:
    """A network on its way through the kernels."""

    def __init__(self, graph: Graph, kernels: Sequence[Kernel], seed: int, counter: Counter) -> None:
        self.kernels: Final = kernels
        self.names: Final = {node: name for name, node in graph.nodes.items()}
        self.seed: Final = seed
        self.counter: Final = counter
        self.dtype: Final = graph.dtype
        self.shared: Final[set[str]] = set()
        """The weights so far that several layers share."""
        uses: dict[Tensor, int] = dict.fromkeys(graph.outputs, 1)
        for kernel in kernels:
            for tensor in dict.fromkeys(kernel.inputs):
                uses[tensor] = uses.get(tensor, 0) + 1
        self.memory: Final = Memory(uses)
        for tensor, array in checked_inputs(graph, None, seed).items():
            self.memory.allocate(tensor, self.names[tensor.node], array)

    def kernel(self, kernel: Kernel) -> Layer:
        """Run a kernel's operators one after another; only its operands, weights and results are in a memory."""
        did = Layer()
        arrays = {tensor: self.memory.arrays[tensor] for tensor in kernel.inputs}
        homes: dict[Tensor, Storage | Tensor] = {tensor: self.memory.homes[tensor] for tensor in kernel.inputs}
        for node in kernel.nodes:
            read: dict[int | str, int] = {}
            arrays |= zip(node.outputs, self._node(node, [arrays[t] for t in node.inputs], did, read), strict=True)
            looked_at = [t for t in node.inputs if np.may_share_memory(arrays[node.outputs[0]], arrays[t])]
            if looked_at:
                homes |= dict.fromkeys(node.outputs, homes[looked_at[0]])
                continue
            homes |= {result: result for result in node.outputs}
            for place, tensor in enumerate(node.inputs):
                home = homes[tensor]
                if isinstance(home, Storage):
                    part = home.size * min(read.get(place, tensor.elements), tensor.elements) // tensor.elements
                    did.read[home.name] = max(did.read.get(home.name, 0), part)
        for tensor in kernel.outputs:
            home = homes[tensor]
            array = arrays[tensor]
            did.shapes.append(array.shape)
            if isinstance(home, Storage):
                self.memory.look(tensor, home, array)
            else:
                values = stored(array, tensor, self.dtype, kernel.name)
                title = self.names[home.node] + (f":{home.index}" if home.index else "")
                storage = self.memory.allocate(tensor, title, values)
                did.written[storage.name] = storage.size
        did.live = self.memory.live
        self.memory.used(kernel.inputs)
        for tensor in kernel.outputs:
            self.memory.drop_if_unused(tensor)
        return did

    def _node(self, node: Node, operands: Sequence[Array], did: Layer, read: dict[int | str, int]) -> tuple[Array, ...]:
        """Run one operator, and plain NumPy on the same operands."""
        name = self.names[node]
        constants: dict[str, Array] = {}
        known = {weight.name: weight for weight in node.weights}

        def constant(wanted: str, shape: Shape) -> Array:
            weight = known[wanted]._replace(shape=shape) if wanted in known else Weight(wanted, shape)
            array = seeded_weight(name, weight, self.seed, self.dtype)
            constants[wanted] = wide(array, weight.dtype)
            if weight.shared not in self.shared:
                did.elements += weight.stored
            if weight.shared:
                self.shared.add(weight.shared)
            key = weight.shared or f"{name}.{wanted}"
            moved = nbytes(array, weight.dtype)
            if weight.whole:  # parts add up to no more than all of it
                moved = min(moved + did.weights.get(key, 0), nbytes(np.empty(weight.whole, array.dtype), weight.dtype))
            did.weights[key] = moved
            return array

        before = self.counter.work()
        results = each(run(node.op, operands, constant, self.counter, read))
        for weight in node.weights:
            if weight.name in read:
                whole = did.weights[weight.shared or f"{name}.{weight.name}"]
                part = whole * min(read[weight.name], weight.elements) // weight.elements
                did.weights[weight.shared or f"{name}.{weight.name}"] = part
        did.works.append(Work(*[now - then for now, then in zip(self.counter.work(), before, strict=True)]))
        try:
            with np.errstate(all="ignore"):
                given = [wide(array, tensor.dtype) for array, tensor in zip(operands, node.inputs, strict=True)]
                plain = each(node.op.run(*given, **constants))
        except (IndexError, TypeError, ValueError):  # a wrong shape, or a weight that it does not know
            did.error = float("inf")
        else:
            did.error = max([did.error, *map(error, results, plain)])
        return results


def each(made: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    """The results of an operator, of which there may be one."""
    return made if isinstance(made, tuple) else (made,)


def error(result: Array, plain: Array) -> float:
    """The largest difference between two arrays, relative to the largest value; infinite if they cannot be compared.

    What is not a finite number in both, such as the root of a number below 0, is no difference.
    """
    if result.shape != np.shape(plain):
        return float("inf")
    odd = ~np.isfinite(plain)
    if odd.any():
        if not np.array_equal(result[odd], plain[odd], equal_nan=True):
            return float("inf")
        result, plain = np.where(odd, 0, result), np.where(odd, 0, plain)
    with np.errstate(invalid="ignore"):  # what is not finite is no difference to speak of, and infinite in the end
        largest = float(np.max(np.abs(plain))) or 1.0
        apart = float(np.max(np.abs(result - plain))) / largest
    return apart if np.isfinite(apart) else float("inf")


def wide(array: Array, dtype: Type) -> Array:
    """Values in 64 bits, or in their own type if that is whole numbers."""
    return array.astype(stored_type(dtype, "float64") if dtype in SPANS else np.float64)


def nbytes(array: Array, dtype: Type) -> int:
    """The bytes of an array; values narrower than NumPy's are packed."""
    return size_in_bytes(array.size, BITS[dtype]) if dtype and dtype in STORED else int(array.nbytes)


def stored(array: Array, tensor: Tensor, network: str, name: str) -> Array:
    """Values rounded to a tensor's element type, which must have room for them."""
    dtype = stored_type(tensor.dtype, network)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = array.astype(dtype)
    if tensor.dtype in SPANS:
        if (rounded != array).any():
            raise CostModelError(f"{name}: its results do not fit {tensor.dtype}")
    elif np.isinf(rounded).any() and not np.isinf(array).any():
        raise CostModelError(f"{name}: {np.max(np.abs(array)):.3g} is too large for {dtype}; use --dtype float32")
    return rounded


class _Model:
    """A profile, layer by layer."""

    def __init__(self, needs: Profile) -> None:
        maps = [row for row, kind in enumerate(needs.tensors["kind"]) if kind in MAPS]
        stored = [sum(pair) for pair in zip(needs.layers["parameters"], needs.layers["buffers"], strict=True)]
        columns = needs.layers.data() | {"weights": tuple(stored), "live_bytes": tuple(needs.live_bytes(maps))}
        self.values: Final = list(zip(*[columns[column.name] for column in PAIRS], strict=True))
        """The quantities of :data:`PAIRS`."""
        self.work: Final = list(zip(needs.layers["macs"], needs.layers["elementwise"], strict=True))
        self.moved: Final[list[dict[tuple[str, str], int]]] = [{} for _ in self.values]
        """Bytes by mode and tensor."""
        for layer, tensor, mode, size, _ in needs.accesses.tuples():
            key = (mode, needs.tensors["tensor"][tensor])
            self.moved[layer][key] = self.moved[layer].get(key, 0) + size
        self.parts: Final[list[list[tuple[str, int, int]]]] = [[] for _ in self.values]
        """Operator, multiply-accumulates and elementwise operations."""
        for part in needs.parts.rows():
            self.parts[part["layer"]].append((part["operator"], part["macs"], part["elementwise"]))

    def differences(self, row: int, kernel: Kernel, did: Layer) -> Iterator[tuple[str, str, str]]:
        """Quantity, the model's value and the run's, where they are not the same."""
        for column, said, ran in zip(PAIRS, self.values[row], did.values(), strict=True):
            if said != ran:
                yield column.name, str(said), str(ran)
        moved = {("read", name): size for name, size in (did.read | did.weights).items()}
        moved |= {("write", name): size for name, size in did.written.items()}
        for key in dict.fromkeys([*self.moved[row], *moved]):
            if self.moved[row].get(key) != moved.get(key):
                yield " ".join(key), _amount(self.moved[row].get(key)), _amount(moved.get(key))
        kinds = [node.op.kind for node in kernel.nodes]
        parts = [(kind, work.macs, work.elementwise) for kind, work in zip(kinds, did.works, strict=True)]
        alone = [(*kinds, *self.work[row])]  # the only part of its layer, which has been compared above
        if self.parts[row] not in (parts, alone):
            yield "parts", _joined(self.parts[row]), _joined(parts)
        if not did.error <= LIMIT:
            yield "results", f"within {LIMIT:g} of plain NumPy", f"{did.error:.3g}"


def _amount(size: int | None) -> str:
    return "not at all" if size is None else f"{size} B"


def _joined(parts: Sequence[tuple[str, int, int]]) -> str:
    return ", ".join([f"{operator}: {macs} MAC {elementwise} OP" for operator, macs, elementwise in parts])


def _outputs(graph: Graph, running: _Running, seed: int) -> list[tuple[str, ...]]:
    """The network's outputs, where they are not what plain NumPy makes of the same inputs from beginning to end.

    Both round where a kernel ends. A result that is rounded the other way may grow until the end, so only half the
    digits of the element type must agree.
    """
    rounded = {tensor for kernel in running.kernels for tensor in kernel.outputs}
    last = {tensor: node for node in graph.nodes.values() for tensor in node.inputs}
    arrays = checked_inputs(graph, None, seed)
    for name, node in graph.nodes.items():
        if not node.inputs:
            continue
        constants = seeded_weights(name, node, seed, graph.dtype)
        weights = {weight.name: wide(constants[weight.name], weight.dtype) for weight in node.weights}
        with np.errstate(all="ignore"):
            made = each(node.op.run(*[wide(arrays[tensor], tensor.dtype) for tensor in node.inputs], **weights))
        for result, array in zip(node.outputs, made, strict=True):
            arrays[result] = stored(array, result, graph.dtype, name) if result in rounded else array
        for tensor in {*node.inputs} - {*graph.outputs}:
            if last[tensor] is node:
                del arrays[tensor]
    found: list[tuple[str, ...]] = []
    for tensor in graph.outputs:
        ran, plain = (made[tensor].astype(np.float64) for made in (running.memory.arrays, arrays))
        step = 1 / max(float(np.max(np.abs(plain))), 1)  # of whole numbers, which may be rounded the other way
        limit = step if tensor.dtype in SPANS else float(np.sqrt(np.finfo(tensor.dtype or graph.dtype).eps))
        apart = error(ran, plain)
        if not apart <= limit:
            what = f"within {limit:.3g} of plain NumPy"
            found.append((running.names[tensor.node], "network's output", what, f"{apart:.3g}"))
    return found


def _verification(
    graph: Graph,
    name: str,
    rows: Sequence[tuple[Any, ...]],
    found: Sequence[tuple[str, ...]],
    peak: int,
) -> Verification:
    layers = Table.of(LAYER_COLUMNS, [(name, *row) for row in rows])
    differences = Table.of(DIFFERENCE_COLUMNS, [(name, *difference) for difference in found])
    summary = (
        name,
        ", ".join([dims(tensor.shape) for tensor in graph.inputs]),
        len(layers),
        layers.total("macs_run"),
        layers.total("elementwise_run"),
        layers.total("weights_run"),
        layers.total("input_bytes_run") + layers.total("weight_bytes_run"),
        layers.total("output_bytes_run"),
        peak,
        layers.total("error"),
        len(differences),
    )
    return Verification(layers, differences, Table.of(SUMMARY_COLUMNS, [summary]))
