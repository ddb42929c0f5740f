"""Graph -> ONNX model, for tools that read ONNX; with weights, for those that run it.

Weights that are not given are made by ConstantOfShape nodes, as in the light models of the onnx package: the file stays
small, and a tool that has no use for values reads none.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from costmodel.errors import CostModelError
from costmodel.execute import Weights
from costmodel.graph import Graph, Input, Node
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Linear,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Tanh,
    Transpose,
)

OPSET: Final = 19  # the first in which a mean pool has a dilation
IR_VERSION: Final = 9  # the one that came with it
LAST: Final = 2**63 - 1  # the stop of a slice that keeps the rest


class Call(NamedTuple):
    """One of ONNX's operators, its attributes, and the constants that it takes as its last inputs."""

    operator: str
    attributes: Mapping[str, Any]
    constants: tuple[tuple[int, ...] | float, ...] = ()


def model(graph: Graph, weights: Weights | None = None) -> ModelProto:
    """A network as an ONNX model under the same layer names, checked by onnx: its shapes are ours."""
    names = {node: name for name, node in graph.nodes.items()}
    nodes = []
    stored: list[TensorProto] = []
    numbers: dict[tuple[int, ...] | float, str] = {}  # constants that nodes take as inputs -> the name of their tensor
    for name, node in graph.nodes.items():
        if isinstance(node.op, Input):
            continue
        inputs = [names[tensor.node] for tensor in node.inputs]
        for weight in node.op.weights(*node.input_shapes):
            inputs.append(f"{name}.{weight.name}")
            if weights is None:
                shape = numbers.setdefault(weight.shape, f"numbers{len(numbers)}")
                nodes.append(helper.make_node("ConstantOfShape", [shape], inputs[-1:], inputs[-1]))
            else:
                stored.append(numpy_helper.from_array(weights[name][weight.name], inputs[-1]))
        calls = converted(node)
        for number, (operator, attributes, constants) in enumerate(calls, 1):
            made = name if number == len(calls) else f"{name}.{number}"
            inputs += [numbers.setdefault(values, f"numbers{len(numbers)}") for values in constants]
            nodes.append(helper.make_node(operator, inputs, [made], made, **attributes))
            inputs = [made]
    stored += [_tensor(name, values) for values, name in numbers.items()]
    given, taken = (
        [helper.make_tensor_value_info(names[tensor.node], TensorProto.FLOAT, tensor.shape) for tensor in tensors]
        for tensors in (graph.inputs, graph.outputs)
    )
    body = helper.make_graph(nodes, graph.name, given, taken, stored)
    opset = helper.make_opsetid("", OPSET)
    result = helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(result, full_check=True)
    _check_shapes(graph, result)
    return result


def _tensor(name: str, values: tuple[int, ...] | float) -> TensorProto:
    if isinstance(values, tuple):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
    return numpy_helper.from_array(np.array(values, np.float32), name)


def converted(node: Node) -> list[Call]:  # noqa: C901 - one case for each operator
    """A node -> ONNX's operators for it, each on what the one before makes."""
    op = node.op
    match op:
        case Conv():
            return [Call("Conv", _window(op) | {"group": op.groups})]
        case MaxPool():
            return [Call("MaxPool", _window(op) | {"ceil_mode": int(op.ceil_mode)})]
        case AveragePool():
            modes = {"ceil_mode": int(op.ceil_mode), "count_include_pad": int(op.count_include_pad)}
            return [Call("AveragePool", _window(op) | modes)]
        case Linear():
            return [Call("Gemm", {"transB": 1})]
        case BatchNorm():
            return [Call("BatchNormalization", {"epsilon": op.epsilon})]
        case Lrn():
            return [Call("LRN", {"size": op.size, "alpha": op.alpha, "beta": op.beta, "bias": op.k})]
        case Concat() | Flatten() | Softmax():
            return [Call(op.kind, {"axis": op.axis})]
        case Add() | GlobalAveragePool() | MatMul() | Mul() | Relu() | Sigmoid() | Tanh():
            return [Call(op.kind, {})]
        case Relu6():
            return [Call("Clip", {}, (0.0, 6.0))]
        case Dropout():
            return [Call("Identity", {})]
        case Reshape():
            return [Call("Reshape", {}, (node.outputs[0].shape,))]
        case Transpose():
            return [Call("Transpose", {"perm": op.axes})]
        case ChannelShuffle():
            n, c, *rest = node.input_shapes[0]
            dealt = (n, op.groups, c // op.groups, *rest)
            order = (0, 2, 1, *range(3, len(dealt)))
            return [
                Call("Reshape", {}, (dealt,)),
                Call("Transpose", {"perm": order}),
                Call("Reshape", {}, ((n, c, *rest),)),
            ]
        case Pad():
            return [Call("Pad", {}, (op.pads,))]
        case Slice():
            return [Call("Slice", {}, (op.start, tuple(LAST if stop is None else stop for stop in op.stop)))]
    raise CostModelError(f"{op.kind} has no conversion to ONNX")


def _window(op: Conv | MaxPool | AveragePool) -> dict[str, Any]:
    return {"kernel_shape": op.kernel, "strides": op.stride, "dilations": op.dilation, "pads": op.pads}


def _check_shapes(graph: Graph, made: ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True).graph
    shapes = {
        tensor.name: tuple(size.dim_value for size in tensor.type.tensor_type.shape.dim)
        for tensor in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    for name, node in graph.nodes.items():
        if shapes[name] != node.outputs[0].shape:
            raise CostModelError(f"{graph.name}: {name} is {node.outputs[0].shape} here and {shapes[name]} to onnx")
