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
    inner: dict[Tensor, Node | None] = {}  # the one reader of each tensor that has one
    for node in graph.nodes.values():
        for tensor in node.inputs:
            inner[tensor] = None if tensor in inner else node
    for tensor in graph.outputs:
        inner[tensor] = None
    starts: dict[str, list[Pattern]] = {}  # by first operator
    for pattern in sorted(patterns, key=len, reverse=True):
        starts.setdefault(pattern[0], []).append(pattern)
    chains: dict[Node, tuple[Node, ...]] = {}  # by last node
    done: set[Node] = set()
    for node in graph.nodes.values():
        if node.inputs and node not in done:
            matches = [_match(node, pattern, inner, done) for pattern in starts.get(node.op.kind, ())]
            chain = next(filter(None, matches), (node,))
            chains[chain[-1]] = chain
            done.update(chain)
    names = {node: name for name, node in graph.nodes.items()}
    return tuple([_kernel(chains[node], names) for node in names if node in chains])


def _match(
    first: Node, pattern: Pattern, inner: Mapping[Tensor, Node | None], done: Collection[Node]
) -> tuple[Node, ...] | None:
    """The chain that continues a pattern's first operator, through results that only the next node reads."""
    chain = [first]
    for kind in pattern[1:]:
        result, *others = chain[-1].outputs
        following = inner.get(result)
        if others or following is None or following.op.kind != kind or following in done:
            return None
        chain.append(following)
    return tuple(chain)


def _kernel(chain: tuple[Node, ...], names: Mapping[Node, str]) -> Kernel:
    first = before = chain[0]
    name, inputs = names[first], first.inputs
    for node in chain[1:]:
        name += "+" + names[node].rpartition(".")[2]
        inputs += tuple([tensor for tensor in node.inputs if tensor not in before.outputs])
        before = node
    return Kernel(name, chain, inputs, before.outputs)
