"""Graph -> the sums that the documents print: MACs or weights of some operators, stored values, another's count."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import costmodel
from costmodel.counting.tools import TOOLS, convention
from costmodel.graph import Graph, Node
from costmodel.profile import profile


@cache
def network(name: str, **parameters: Any) -> Graph:
    """A network of the zoo; the documents ask for the same ones again and again."""
    return costmodel.network(name, **parameters)


def nodes(graph: Graph, *operators: str) -> Iterator[Node]:
    """The nodes of the named operators, of all without a name."""
    return (node for node in graph.nodes.values() if not operators or node.op.kind in operators)


def macs(graph: Graph, *operators: str) -> int:
    """Multiply-accumulates of the named operators."""
    return sum(node.op.loops(*node.input_shapes).macs for node in nodes(graph, *operators))


def weights(graph: Graph, *operators: str) -> int:
    """Elements of the kernels and matrices of the named operators: no biases, no batch norm."""
    return sum(
        weight.elements for node in nodes(graph, *operators) for weight in node.weights if weight.name == "weight"
    )


def stored(graph: Graph) -> int:
    """All values that a model file holds: parameters and running statistics."""
    return sum(weight.elements for node in nodes(graph) for weight in node.weights)


def counted(graph: Graph, tool: str) -> int:
    """A tool's own number for a network."""
    number: int = profile(graph, convention(tool)).layers.total("counted")
    return number


def node_row(node: Node) -> dict[str, str]:
    """How architecture tables write a node's window: ``ksize`` and ``stride``; a global pool's window is its map."""
    if node.op.window:
        return {"ksize": times(*node.op.window.kernel), "stride": str(node.op.window.stride[0])}
    return {"ksize": times(*node.input_shapes[0][2:]) if node.op.kind == "GlobalAveragePool" else "", "stride": "1"}


def times(*sizes: int) -> str:
    """``(7, 7, 512) -> '7x7x512'``."""
    return "x".join(map(str, sizes))


def not_575(graph: Graph) -> str:
    """What the rules that were tried give for MobileNet, where a print has 575 M."""
    found = sorted({round(counted(graph, tool.name) / 1e6) for tool in TOOLS if "two" not in tool.number})
    return f"it has {round(graph.macs / 1e6)} M MACs, and other tools count {', '.join(map(str, found))} M"
