"""Graph x weights -> Program: the network compiled to a list of kernels on one arena, for repeated fast runs.

Convolutions are matrix products (BLAS through NumPy) on maps as they lie or on columns of patches; depthwise ones,
pools and what is done element by element are compiled by numba. Batch norms are folded into the convolution before
them, clamps and sums into the pass that ends it. Operators without a fast kernel run their reference.
"""

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Final

import numba
from threadpoolctl import ThreadpoolController

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError
from costmodel.execute import Weights, check_weights, checked_inputs, weights_of
from costmodel.execute.fast.steps import COLUMN_BYTES, Scratch, Step, build, planes_needed
from costmodel.execute.plan import aligned, plan
from costmodel.fuse import Pattern, fuse
from costmodel.graph import Graph, Tensor
from costmodel.profile import MAPS, profile

CLAMPED: Final[tuple[list[str], ...]] = ([], ["Relu"], ["Relu6"])

PATTERNS: Final[tuple[Pattern, ...]] = (
    *[["Conv", "BatchNorm", *tail] for tail in (*CLAMPED, ["Add"], ["Add", "Relu"], ["Relu", "ChannelShuffle"])],
    *[[head, *tail] for head in ("Conv", "Linear", "BatchNorm", "Add", "Concat") for tail in CLAMPED[1:]],
)
"""What this executor runs as one pass, unless a machine's patterns are asked for."""

BYTES: Final = 4
"""Of a float32, the type that the fast kernels are for."""


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
        if any(tensor.bits != 8 * BYTES for node in graph.nodes.values() for tensor in node.outputs):
            raise CostModelError(f"{graph.name}: the fast kernels are for float32; execute() runs other types")
        if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
            raise CostModelError(f"threads must be from 1 to {numba.config.NUMBA_NUM_THREADS}, not {threads}")
        self.graph: Final = graph
        self.threads: Final = threads
        kernels = fuse(graph, patterns)
        self.names: Final = [kernel.name for kernel in kernels]
        self.profile: Final = profile(graph, patterns=patterns)
        check_weights(graph, weights)
        constants = {node: weights_of(name, node, weights, seed) for name, node in graph.nodes.items() if node.inputs}
        self._inputs, self._outputs = graph.inputs, graph.outputs
        self._seed = seed
        self._names = {node: name for name, node in graph.nodes.items()}
        self._views: dict[str, Array] = {}
        self.arena: Final = self._allocate()
        columns = max([1, *(self.profile.layers["reduction"])]) * max([1, *self._widths()])
        scratch = Scratch(
            np.zeros((threads, 2, max(map(planes_needed, kernels), default=0)), np.float32),
            np.empty(max(COLUMN_BYTES // BYTES, columns), np.float32),
        )
        self.steps: Final[list[Step]] = [build(kernel, constants, self.buffer, scratch, threads) for kernel in kernels]
        self._blas = ThreadpoolController()

    def _widths(self) -> Iterable[int]:
        for node in self.graph.nodes.values():
            if node.op.window and len(node.outputs[0].shape) == 4:
                yield node.outputs[0].shape[3]

    def _allocate(self) -> Array:
        tensors = self.profile.tensors
        rows = [row for row, kind in enumerate(tensors["kind"]) if kind in MAPS]
        sizes, born, dies = ([tensors[name][row] for row in rows] for name in ("bytes", "born", "dies"))
        placed = plan(sizes, born, dies)
        arena = np.empty(aligned(placed.size) // BYTES, np.float32)
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
        with self._limits():
            for step in self.steps:
                step()
        return tuple(self.buffer(tensor).copy() for tensor in self._outputs)

    def times(
        self, repeat: int, inputs: Sequence[Array] | None = None, tick: Callable[[], None] = lambda: None
    ) -> list[list[float]]:
        """Run the network several times -> for each kernel, its seconds in each run; ``tick`` is called after a run."""
        self.run(inputs)  # compiles what is not compiled yet, and touches all memory
        taken: list[list[float]] = [[] for _ in self.steps]
        with self._limits():
            for _ in range(repeat):
                self._load(inputs)
                before = perf_counter()
                for step, times in zip(self.steps, taken, strict=True):
                    step()
                    now = perf_counter()
                    times.append(now - before)
                    before = now
                tick()
        return taken

    def _load(self, inputs: Sequence[Array] | None) -> None:
        """Inputs are written again for each run, since their memory is used again once they are read."""
        for tensor, array in checked_inputs(self.graph, inputs, self._seed).items():
            np.copyto(self.buffer(tensor), array)

    def _limits(self) -> Any:
        numba.set_num_threads(self.threads)
        return self._blas.limit(limits=self.threads, user_api="blas")
