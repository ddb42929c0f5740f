"""Graph -> ONNX model without weights, for tools that read ONNX.

Weights are made by ConstantOfShape nodes, as in the light models of the onnx package: the file stays small, and a tool
that has no use for values reads none.
"""

from typing import Any, Final

import onnx
from onnx import ModelProto, TensorProto, helper

from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Op
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Pad,
    Relu,
    Slice,
    Softmax,
)

OPSET: Final = 19  # the first in which a mean pool has a dilation
LAST: Final = 2**63 - 1  # the stop of a slice that keeps the rest


def model(graph: Graph) -> ModelProto:
    """A network as an ONNX model under the same layer names, checked by onnx: its shapes are ours."""
    names = {node: name for name, node in graph.nodes.items()}
    nodes = []
    numbers: dict[tuple[int, ...], str] = {}  # whole numbers that nodes take as inputs -> the name of their tensor
    for name, node in graph.nodes.items():
        if isinstance(node.op, Input):
            continue
        operator, attributes, operands = converted(node.op)
        inputs = [names[tensor.node] for tensor in node.inputs]
        for weight in node.op.weights(*node.input_shapes):
            inputs.append(f"{name}.{weight.name}")
            shape = numbers.setdefault(weight.shape, f"numbers{len(numbers)}")
            nodes.append(helper.make_node("ConstantOfShape", [shape], inputs[-1:], inputs[-1]))
        inputs += [numbers.setdefault(operand, f"numbers{len(numbers)}") for operand in operands]
        nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
    constants = [helper.make_tensor(name, TensorProto.INT64, [len(values)], values) for values, name in numbers.items()]
    given, made = (
        [helper.make_tensor_value_info(names[tensor.node], TensorProto.FLOAT, tensor.shape) for tensor in tensors]
        for tensors in (graph.inputs, graph.outputs)
    )
    body = helper.make_graph(nodes, graph.name, given, made, constants)
    result = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)])
    onnx.checker.check_model(result, full_check=True)
    _check_shapes(graph, result)
    return result


def converted(op: Op) -> tuple[str, dict[str, Any], list[tuple[int, ...]]]:
    """An operator -> ONNX's name for it, its attributes, and the whole numbers that it takes as its last inputs."""
    match op:
        case Conv():
            return "Conv", _window(op) | {"group": op.groups}, []
        case MaxPool():
            return "MaxPool", _window(op) | {"ceil_mode": int(op.ceil_mode)}, []
        case AveragePool():
            modes = {"ceil_mode": int(op.ceil_mode), "count_include_pad": int(op.count_include_pad)}
            return "AveragePool", _window(op) | modes, []
        case Linear():
            return "Gemm", {"transB": 1}, []
        case BatchNorm():
            return "BatchNormalization", {"epsilon": op.epsilon}, []
        case Concat() | Flatten() | Softmax():
            return op.kind, {"axis": op.axis}, []
        case Add() | GlobalAveragePool() | Relu():
            return op.kind, {}, []
        case Pad():
            return "Pad", {}, [op.pads]
        case Slice():
            return "Slice", {}, [op.start, tuple(LAST if stop is None else stop for stop in op.stop)]
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
