"""Graph -> ONNX model, with or without the values of its weights.

Without values, weights are made by ConstantOfShape nodes, as in the light models of the onnx package: the file stays
small, and a tool that has no use for values reads none.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Node, Shape
from costmodel.ops import Slice

Array = NDArray[Any]
Weights = Mapping[str, Mapping[str, Array]]
"""Node name -> weight name -> array."""

OPSET: Final = 19  # the first in which a mean pool has a dilation
IR_VERSION: Final = 9  # of that opset
LAST: Final = 2**63 - 1  # the stop of a slice that keeps the rest
TYPES: Final = {bits: np.dtype(f"float{bits}") for bits in (16, 32, 64)}
MOVES: Final = {"Reshape", "Transpose"}  # the steps beside the one that takes a node's weights


class Step(NamedTuple):
    """An ONNX node: its operator, its attributes, and the constants that it takes as its last inputs."""

    operator: str
    attributes: Mapping[str, Any] = {}
    constants: tuple[Array, ...] = ()


def model(graph: Graph, weights: Weights | None = None) -> ModelProto:
    """A network as an ONNX model under the same layer names, checked by onnx: its shapes are ours."""
    made = unchecked(graph, weights)
    onnx.checker.check_model(made, full_check=True)
    _check_shapes(graph, made)
    return made


def unchecked(graph: Graph, weights: Weights | None = None) -> ModelProto:
    """The same, not checked: onnx keeps a pool's last window that starts behind the map, and has another shape then."""
    names = {tensor: name for name, node in graph.nodes.items() for tensor in node.outputs}
    nodes = []
    stored: dict[tuple[str, tuple[int, ...], bytes], str] = {}  # constants, once each -> their name
    tensors = []

    def constant(array: Array) -> str:
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in stored:
            stored[key] = f"constant{len(stored)}"
            tensors.append(numpy_helper.from_array(array, stored[key]))
        return stored[key]

    for name, node in graph.nodes.items():
        if isinstance(node.op, Input):
            continue
        constants = []
        for weight in node.op.weights(*node.input_shapes):
            constants.append(f"{name}.{weight.name}")
            if weights is not None:
                tensors.append(numpy_helper.from_array(weights[name][weight.name], constants[-1]))
                continue
            shape = constant(np.array(weight.shape, np.int64))
            nodes.append(helper.make_node("ConstantOfShape", [shape], constants[-1:], constants[-1]))
        steps = converted(node)
        inputs = [names[tensor] for tensor in node.inputs]
        for number, step in enumerate(steps, start=1 - len(steps)):
            if step.operator not in MOVES:
                inputs = constants + inputs if getattr(node.op, "held_first", False) else inputs + constants
            inputs += map(constant, step.constants)
            made = f"{name}.{number}" if number else name
            nodes.append(helper.make_node(step.operator, inputs, [made], made, **step.attributes))
            inputs = [made]
    given, results = (
        [
            helper.make_tensor_value_info(
                names[tensor], helper.np_dtype_to_tensor_dtype(TYPES[tensor.bits]), tensor.shape
            )
            for tensor in ends
        ]
        for ends in (graph.inputs, graph.outputs)
    )
    body = helper.make_graph(nodes, graph.name, given, results, tensors)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def converted(node: Node) -> list[Step]:
    """A node -> the ONNX nodes that do the same, one after the other."""
    kind = node.op.kind
    if kind in SAME:
        return [Step(SAME[kind])]
    if kind in ONE:
        return [ONE[kind](node.op)]
    if kind in SEVERAL:
        return SEVERAL[kind](node)
    raise CostModelError(f"{kind} has no conversion to ONNX")


def _window(op: Any) -> dict[str, Any]:
    return {"kernel_shape": op.kernel, "strides": op.stride, "dilations": op.dilation, "pads": op.pads}


def _pool(op: Any) -> dict[str, Any]:
    return _window(op) | {"ceil_mode": int(op.ceil_mode)}


def _slice(op: Slice) -> Step:
    stop = [LAST if stop is None else stop for stop in op.stop]
    rest = () if op.step is None else (np.arange(len(stop)), np.array(op.step, np.int64))
    return Step("Slice", {}, (np.array(op.start, np.int64), np.array(stop, np.int64), *rest))


def _reshape(to: Shape) -> Step:
    return Step("Reshape", {}, (np.array(to, np.int64),))


def _linear(node: Node) -> list[Step]:
    (x,) = node.input_shapes
    gemm = Step("Gemm", {"transB": 1})
    return [gemm] if len(x) == 2 else [_reshape((-1, x[-1])), gemm, _reshape(node.outputs[0].shape)]


def _flatten(node: Node) -> list[Step]:
    """ONNX also merges the axes before ``axis``."""
    (y,) = node.outputs
    return [Step("Flatten")] if len(y.shape) == 2 else [_reshape(y.shape)]


def _shuffle(node: Node) -> list[Step]:
    op: Any = node.op
    ((n, c, *rest),) = node.input_shapes
    swap = Step("Transpose", {"perm": (0, 2, 1, *range(3, 3 + len(rest)))})
    return [_reshape((n, op.groups, c // op.groups, *rest)), swap, _reshape(node.outputs[0].shape)]


def _relu6(node: Node) -> list[Step]:
    low, high = np.array([0, 6], TYPES[node.outputs[0].bits])
    return [Step("Clip", {}, (np.array(low), np.array(high)))]


def _clip(node: Node) -> list[Step]:
    op: Any = node.op
    bounds = (-np.inf if op.low is None else op.low, np.inf if op.high is None else op.high)
    return [Step("Clip", {}, tuple([np.array(bound, TYPES[node.outputs[0].bits]) for bound in bounds]))]


def _pad(node: Node) -> list[Step]:
    op: Any = node.op
    return [Step("Pad", {}, (np.array(op.pads, np.int64), np.array(op.value, TYPES[node.outputs[0].bits])))]


# Operators that ONNX has without attributes, with attributes and constants, and with what depends on the shape or type.
SAME: Final = {
    **{
        kind: kind
        for kind in (
            "Add",
            "Div",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "MatMul",
            "Mul",
            "Relu",
            "Sigmoid",
            "Sub",
            "Tanh",
        )
    },
    "Dropout": "Identity",
}
ONE: Final[Mapping[str, Callable[[Any], Step]]] = {
    "AveragePool": lambda op: Step("AveragePool", _pool(op) | {"count_include_pad": int(op.count_include_pad)}),
    "BatchNorm": lambda op: Step("BatchNormalization", {"epsilon": op.epsilon}),
    "Concat": lambda op: Step("Concat", {"axis": op.axis}),
    "Conv": lambda op: Step("Conv", _window(op) | {"group": op.groups}),
    "Lrn": lambda op: Step("LRN", {"size": op.size, "alpha": op.alpha, "beta": op.beta, "bias": op.k}),
    "MaxPool": lambda op: Step("MaxPool", _pool(op)),
    "Reshape": lambda op: _reshape(op.to),
    "Slice": _slice,
    "Softmax": lambda op: Step("Softmax", {"axis": op.axis}),
    "Transpose": lambda op: Step("Transpose", {"perm": op.axes}),
}
SEVERAL: Final[Mapping[str, Callable[[Node], list[Step]]]] = {
    "ChannelShuffle": _shuffle,
    "Flatten": _flatten,
    "Clip": _clip,
    "Linear": _linear,
    "Pad": _pad,
    "Relu6": _relu6,
}


def _check_shapes(graph: Graph, made: ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True).graph
    shapes = {
        tensor.name: tuple(size.dim_value for size in tensor.type.tensor_type.shape.dim)
        for tensor in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    for name, node in graph.nodes.items():
        if shapes[name] != node.outputs[0].shape:
            raise CostModelError(f"{graph.name}: {name} is {node.outputs[0].shape} here and {shapes[name]} to onnx")
