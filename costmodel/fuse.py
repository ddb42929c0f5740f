"""Graph x a machine's patterns -> kernels: the groups of nodes that run as one pass over memory."""

from collections.abc import Sequence
from typing import NamedTuple

from costmodel.graph import Graph, Node, Tensor

Pattern = Sequence[str]


class Kernel(NamedTuple):
    """Nodes that run as one pass: what flows between them never reaches a memory."""

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def operator(self) -> str:
        """The operators in order, such as ``BatchNorm+Relu``."""
        return "+".join([node.op.kind for node in self.nodes])


def fuse(graph: Graph, patterns: Sequence[Pattern] = ()) -> tuple[Kernel, ...]:
    """Group each chain of nodes that matches a pattern; the longest pattern wins, earlier nodes choose first.

    A chain's inner results must have no other reader and must not be outputs of the network. Inputs are no kernels.
    """
    readers: dict[Tensor, list[Node]] = {tensor: [] for tensor in graph.outputs}
    for node in graph.nodes.values():
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    outputs = set(graph.outputs)
    names = {node: name for name, node in graph.nodes.items()}
    longest_first = sorted(patterns, key=len, reverse=True)
    kernels = []
    done: set[Node] = set()
    for node, name in names.items():
        if node in done or not node.inputs:
            continue
        chain = next(filter(None, [_match(node, pattern, readers, outputs) for pattern in longest_first]), None)
        if chain is None:
            kernels.append(Kernel(name, (node,), node.inputs, node.outputs))
            continue
        done.update(chain)
        tails = [names[other].rpartition(".")[2] for other in chain[1:]]
        inside = {tensor for other in chain[:-1] for tensor in other.outputs}
        inputs = tuple([tensor for other in chain for tensor in other.inputs if tensor not in inside])
        kernels.append(Kernel("+".join([name, *tails]), chain, inputs, chain[-1].outputs))
    return tuple(kernels)


def _match(
    node: Node, pattern: Pattern, readers: dict[Tensor, list[Node]], outputs: set[Tensor]
) -> tuple[Node, ...] | None:
    chain = [node]
    for position, kind in enumerate(pattern):
        if chain[-1].op.kind != kind:
            return None
        if position + 1 < len(pattern):
            result, *others = chain[-1].outputs
            if others or result in outputs or len(readers[result]) != 1:
                return None
            chain.append(readers[result][0])
    return tuple(chain)
