"""Graph x weights -> Program: the network compiled to a list of kernels on one arena, for repeated fast runs.

All kernels are compiled by numba. Convolutions are matrix products on maps as they lie or on columns of patches; batch
norms are folded into the convolution before them, clamps and sums into the product, while it is still in registers.
Operators without a fast kernel run their reference.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from time import perf_counter
from typing import Final, NamedTuple

from costmodel.errors import CostModelError

try:
    import numba
    from threadpoolctl import ThreadpoolController
except ModuleNotFoundError as missing:
    raise CostModelError(f"fast kernels need {missing.name}: pip install 'costmodel[exec]'") from missing

from costmodel.arena import aligned, plan
from costmodel.arrays import Array, np
from costmodel.execute import Weights, check_runs, check_weights, checked_inputs, weights_of
from costmodel.execute.fast.instructions import KERNELS
from costmodel.execute.fast.steps import Scratch, build, columns_needed, plane_size
from costmodel.execute.fast.vectors import BYTES
from costmodel.execute.fast.workers import Workers
from costmodel.fuse import Pattern, fuse
from costmodel.graph import Graph, Tensor
from costmodel.profile import MAPS, profile

CLAMPED: Final[tuple[list[str], ...]] = ([], ["Relu"], ["Relu6"])

PATTERNS: Final[tuple[Pattern, ...]] = (
    *[["Conv", "BatchNorm", *tail] for tail in (*CLAMPED, ["Add"], ["Add", "Relu"], ["Relu", "ChannelShuffle"])],
    *[[head, *tail] for head in ("Conv", "Linear", "BatchNorm", "Add", "Concat") for tail in CLAMPED[1:]],
)
"""What this executor runs as one pass, unless a machine's patterns are asked for."""

HUGE: Final = 1 << 21
"""Bytes; a huge page, on which NumPy asks the system to put arrays of at least two."""


class Step(NamedTuple):
    """What a kernel does: a range of the program's instructions, and whether one of them is the reference's Python."""

    workers: Workers
    start: int
    stop: int
    reference: bool

    def __call__(self) -> None:
        """Do it, on the caller's thread alone."""
        self.workers.alone(self.start, self.stop)

    @property
    def compiled(self) -> bool | None:
        """Whether compiled code does all of it; None where there is nothing to do, as for a view."""
        return not self.reference if self.stop > self.start else None


class Program:
    """A network ready to run: its kernels' names in order, its arena, and a step for each kernel."""

    def __init__(
        self,
        graph: Graph,
        weights: Weights | None = None,
        *,
        patterns: Sequence[Pattern] = PATTERNS,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        check_runs(graph)
        types = {tensor.dtype or graph.dtype for node in graph.nodes.values() for tensor in node.outputs}
        for name, node in graph.nodes.items():
            if len(node.outputs) != 1:
                raise CostModelError(f"{graph.name}: {name!r} has several outputs, which the fast kernels have not")
        if types != {"float32"}:
            raise CostModelError(f"{graph.name}: the fast kernels are for float32; execute() runs other types")
        if type(threads) is not int or not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
            raise CostModelError(f"threads must be from 1 to {numba.config.NUMBA_NUM_THREADS}, not {threads!r}")
        self.graph: Final = graph
        self.threads: Final = threads
        kernels = fuse(graph, patterns)
        self.names: Final = [kernel.name for kernel in kernels]
        self.profile: Final = profile(graph, patterns=patterns)
        check_weights(graph, weights)
        constants = {
            node: weights_of(name, node, weights, seed, graph.dtype)
            for name, node in graph.nodes.items()
            if node.inputs
        }
        self._seed = seed
        self._names = {node: name for name, node in graph.nodes.items()}
        self._views: dict[str, Array] = {}
        self.arena: Final = self._allocate()
        planes, columns = (max(map(needed, kernels), default=0) for needed in (plane_size, columns_needed))
        self._scratch = Scratch(
            threads,
            memory(threads * 2 * planes).reshape(threads, 2, planes),
            memory(threads * columns).reshape(threads, columns),
        )
        made = [build(kernel, constants, self.buffer, self._scratch) for kernel in kernels]
        self._workers = Workers([instruction for each in made for instruction in each], threads)
        ends = [0, *accumulate(map(len, made))]
        self._length: Final = ends[-1]
        self.steps: Final = [
            Step(self._workers, start, stop, any(one.kernel not in KERNELS for one in each))
            for each, start, stop in zip(made, ends, ends[1:], strict=False)
        ]
        self._blas = ThreadpoolController()

    def _allocate(self) -> Array:
        tensors = self.profile.tensors
        rows = [row for row, kind in enumerate(tensors["kind"]) if kind in MAPS]
        sizes, born, dies = ([tensors[name][row] for row in rows] for name in ("bytes", "born", "dies"))
        placed = plan(sizes, born, dies)
        arena = memory(aligned(placed.size) // BYTES)
        for row, offset in zip(rows, placed.offsets, strict=True):
            values = arena[offset // BYTES : offset // BYTES + tensors["elements"][row]]
            self._views[tensors["tensor"][row]] = values
        return arena

    def buffer(self, tensor: Tensor) -> Array:
        """Where a tensor lies in the arena; a view lies where its operand does."""
        root = tensor
        while root.node.op.view:
            root = root.node.inputs[0]
        return self._views[self._names[root.node]].reshape(tensor.shape)

    def run(self, inputs: Sequence[Array] | None = None) -> tuple[Array, ...]:
        """Run the network once -> copies of its outputs; inputs that are not given follow from the seed."""
        self._load(inputs)
        with self._blas.limit(limits=1, user_api="blas"), self._workers:
            self._workers.run(0, self._length)
        return tuple(self.buffer(tensor).copy() for tensor in self.graph.outputs)

    def times(
        self, repeat: int, inputs: Sequence[Array] | None = None, tick: Callable[[], None] = lambda: None
    ) -> list[list[float]]:
        """Run the network several times -> for each kernel, its seconds in each run; ``tick`` is called after a run."""
        inputs = list(checked_inputs(self.graph, inputs, self._seed).values())
        self.run(inputs)  # compiles what is not compiled yet, and touches all memory
        taken: list[list[float]] = [[] for _ in self.steps]
        with self._blas.limit(limits=1, user_api="blas"):
            for _ in range(repeat):
                self._load(inputs)
                with self._workers:
                    before = perf_counter()
                    for step, times in zip(self.steps, taken, strict=True):
                        self._workers.run(step.start, step.stop)
                        now = perf_counter()
                        times.append(now - before)
                        before = now
                tick()
        return taken

    def _load(self, inputs: Sequence[Array] | None) -> None:
        """Inputs are written again for each run, since their memory is used again once they are read."""
        for tensor, array in checked_inputs(self.graph, inputs, self._seed).items():
            np.copyto(self.buffer(tensor), array)


def memory(values: int) -> Array:
    """Values not set yet, from the start of a huge page on: walks down columns would else look up a page each step."""
    room = np.empty(max(values, HUGE // BYTES) + HUGE // BYTES, np.float32)
    start = -room.ctypes.data % HUGE // BYTES
    return room[start : start + values]
