"""Graph x arrays x weights -> arrays: a network run for real, operator by operator, in plain NumPy.

Weights that are not given are made from a seed, the same on every machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError, suggestion
from costmodel.execute.weights import SPANS, seeded_input, seeded_weights, stored_type
from costmodel.graph import Graph, Input, Node, Op, Shape, Tensor, dims

DTYPES: Final = ("float32", "float64", "float16")
"""Element types that networks run in; a map or weight may have one of its own, and that may be whole numbers."""

Weights = Mapping[str, Mapping[str, Array]]
"""Node name -> weight name -> array."""


def execute(
    graph: Graph, inputs: Sequence[Array] | None = None, weights: Weights | None = None, *, seed: int = 0
) -> tuple[Array, ...]:
    """Run a network; inputs and weights that are not given follow from the seed."""
    made: dict[Tensor, Array] = {}
    for _, node, arrays in walk(graph, inputs, weights, seed=seed):
        made |= {tensor: array for tensor, array in zip(node.outputs, arrays, strict=True) if tensor in graph.outputs}
    return tuple(made[tensor] for tensor in graph.outputs)


def walk(
    graph: Graph, inputs: Sequence[Array] | None = None, weights: Weights | None = None, *, seed: int = 0
) -> Iterator[tuple[str, Node, tuple[Array, ...]]]:
    """Run a network node by node -> each node's name, the node, and what it makes; arrays go after their last use."""
    check_runs(graph)
    given = checked_inputs(graph, inputs, seed)
    check_weights(graph, weights)
    readers: dict[Tensor, int] = dict.fromkeys(graph.outputs, 1)
    for node in graph.nodes.values():
        for tensor in node.inputs:
            readers[tensor] = readers.get(tensor, 0) + 1
    alive: dict[Tensor, Array] = {}
    for name, node in graph.nodes.items():
        if isinstance(node.op, Input):
            results = (given.pop(node.outputs[0]),)
        else:
            constants = weights_of(name, node, weights, seed, graph.dtype)
            with np.errstate(all="ignore"):  # exp(-x) of a very negative x is meant to be infinite, log(-1) no number
                made = node.op.run(*(alive[tensor] for tensor in node.inputs), **constants)
            results = (made,) if len(node.outputs) == 1 else tuple(made)
            del constants
        results = checked_results(name, node, results, graph.dtype)
        alive |= {tensor: array for tensor, array in zip(node.outputs, results, strict=True) if tensor in readers}
        for tensor in node.inputs:
            readers[tensor] -= 1
            if not readers[tensor]:
                del alive[tensor]
        yield name, node, results


def check_runs(graph: Graph) -> None:
    """A network's element type must be one that runs; each operator must say how it runs, and make one result."""
    own = [tensor.dtype for node in graph.nodes.values() for tensor in node.outputs if tensor.dtype not in SPANS]
    for dtype in own:
        if (dtype or graph.dtype) not in DTYPES:
            raise CostModelError(f"{graph.name}: networks run in {', '.join(DTYPES)}, not in {dtype or graph.dtype}")
    for name, node in graph.nodes.items():
        if not isinstance(node.op, Input) and type(node.op).run is Op.run:
            raise CostModelError(f"{graph.name}: {name!r} cannot run: {node.op.kind} defines no run()")


def checked_inputs(graph: Graph, inputs: Sequence[Array] | None, seed: int) -> dict[Tensor, Array]:
    """The arrays for a network's inputs: those given, with the declared shapes and types, or made from the seed."""
    tensors = graph.inputs
    if inputs is None:
        return {tensor: seeded_input(tensor, number, seed, graph.dtype) for number, tensor in enumerate(tensors)}
    if len(inputs) != len(tensors):
        raise CostModelError(f"{graph.name}: takes {len(tensors)} inputs, not {len(inputs)}")
    for number, (tensor, array) in enumerate(zip(tensors, inputs, strict=True)):
        check_array(f"{graph.name}: input {number}", array, tensor.shape, stored_type(tensor.dtype, graph.dtype))
    return dict(zip(tensors, inputs, strict=True))


def weights_of(name: str, node: Node, weights: Weights | None, seed: int, network: str) -> Mapping[str, Array]:
    """A node's constants: those given, or made from the seed."""
    return seeded_weights(name, node, seed, network) if weights is None else weights.get(name, {})


def check_weights(graph: Graph, weights: Weights | None) -> None:
    """Given weights must be those that the network declares, no fewer and no more."""
    if weights is None:
        return
    nodes = {name: node for name, node in graph.nodes.items() if node.weights}
    for name, given in weights.items():
        if given and name not in nodes:
            raise CostModelError(f"{graph.name}: {name!r} is no layer with weights; {suggestion(name, nodes)}")
    for name, node in nodes.items():
        if not weights.get(name):
            raise CostModelError(f"{graph.name}: no weights for {name!r}; {suggestion(name, weights)}")
        check_constants(f"{graph.name}: {name!r}", node, weights[name], graph.dtype)


def check_constants(what: str, node: Node, given: Mapping[str, Array], network: str) -> None:
    """A node's given weights must be those that it declares, and finite."""
    shapes = {weight.name: (weight.shape, stored_type(weight.dtype, network)) for weight in node.weights}
    for key in given:
        if key not in shapes:
            raise CostModelError(f"{what} takes no {key!r}; {suggestion(key, shapes)}")
    for key, (shape, dtype) in shapes.items():
        if key not in given:
            raise CostModelError(f"{what} has no {key!r}; {suggestion(key, given)}")
        check_array(f"{what}: {key!r}", given[key], shape, dtype)
        if not np.isfinite(given[key]).all():
            raise CostModelError(f"{what}: {key!r} has values that are not finite")


def check_array(what: str, array: Array, shape: Shape, dtype: str) -> None:
    """An array that is given must have the declared shape and type."""
    is_shape, is_dtype = tuple(np.shape(array)), getattr(getattr(array, "dtype", None), "name", type(array).__name__)
    if (is_shape, is_dtype) != (shape, dtype):
        raise CostModelError(f"{what} must be {dtype} of {dims(shape)}, not {is_dtype} of {dims(is_shape)}")


def checked_results(name: str, node: Node, results: Sequence[Array], network: str) -> tuple[Array, ...]:
    """What an operator makes, in the declared types, checked: its shapes, and whole numbers where it declares these."""
    made = []
    for tensor, array in zip(node.outputs, results, strict=True):
        if array.shape != tensor.shape:
            raise AssertionError(f"{name}: {node.op} made {dims(array.shape)}, declared {dims(tensor.shape)}")
        dtype = stored_type(tensor.dtype, network)
        if tensor.dtype in SPANS and array.dtype != dtype:
            raise CostModelError(f"{name}: {node.op.kind} does not run in {tensor.dtype}: it makes {array.dtype}")
        made.append(array.astype(dtype, copy=False))
    return tuple(made)
