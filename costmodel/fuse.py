"""Graph x a machine's patterns -> kernels: the groups of nodes that run as one pass over memory."""

from collections.abc import Collection, Mapping, Sequence
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

    A chain's inner results must have no other reader and must not be outputs of the network. A kernel stands where its
    last node stood, so that all it reads is there. Inputs are no kernels.
    """
    readers: dict[Tensor, list[Node]] = {}
    for node in graph.nodes.values():
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    inner = {tensor: nodes[0] for tensor, nodes in readers.items() if len(nodes) == 1}
    for tensor in graph.outputs:
        inner.pop(tensor, None)
    longest_first = sorted(patterns, key=len, reverse=True)
    chains: dict[Node, tuple[Node, ...]] = {}  # by last node
    done: set[Node] = set()
    for node in graph.nodes.values():
        if node.inputs and node not in done:
            matches = [_match(node, pattern, inner, done) for pattern in longest_first]
            chain = next(filter(None, matches), (node,))
            chains[chain[-1]] = chain
            done.update(chain)
    names = {node: name for name, node in graph.nodes.items()}
    return tuple([_kernel(chains[node], names) for node in names if node in chains])


def _match(
    node: Node, pattern: Pattern, inner: Mapping[Tensor, Node], done: Collection[Node]
) -> tuple[Node, ...] | None:
    """The chain of a pattern's operators that begins at a node, through results that only the next node reads."""
    if node.op.kind != pattern[0]:
        return None
    chain = [node]
    for kind in pattern[1:]:
        result, *others = chain[-1].outputs
        following = inner.get(result)
        if others or following is None or following.op.kind != kind or following in done:
            return None
        chain.append(following)
    return tuple(chain)


def _kernel(chain: tuple[Node, ...], names: Mapping[Node, str]) -> Kernel:
    first, *others = chain
    if not others:
        return Kernel(names[first], chain, first.inputs, first.outputs)
    name = "+".join([names[first], *[names[node].rpartition(".")[2] for node in others]])
    inside = {tensor for node in chain[:-1] for tensor in node.outputs}
    inputs = tuple([tensor for node in chain for tensor in node.inputs if tensor not in inside])
    return Kernel(name, chain, inputs, chain[-1].outputs)
