"""What other counting tools report, each as a small table operator -> formula.

The formulas were derived from the tools' own totals. They say what a tool prints, right or wrong: ``standard`` is ours.
"""

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Final, Literal

from costmodel.counting import STANDARD, Convention, Count
from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Node


def _macs(node: Node) -> int:
    return node.op.loops(*node.input_shapes).macs


def _inputs(node: Node) -> int:
    return node.inputs[0].elements


def _outputs(node: Node) -> int:
    return node.outputs[0].elements


def _bias(node: Node) -> int:
    return _outputs(node) if getattr(node.op, "bias", False) else 0


def _window(node: Node) -> int:
    return prod(node.op.window.kernel) if node.op.window else 0


def _stride(node: Node) -> int:
    return prod(node.op.window.stride) if node.op.window else 0


def _images(node: Node) -> int:
    return node.input_shapes[0][0]


def _softmax_rows(node: Node) -> int:
    return _inputs(node) // node.input_shapes[0][getattr(node.op, "axis", -1)]


NOTHING: Final = Count("0", lambda _: 0)
MAC: Final = Count("MAC", _macs)
TWICE_MAC: Final = Count("2 MAC", lambda node: 2 * _macs(node))
MAC_AND_BIAS: Final = Count("MAC + outputs if bias", lambda node: _macs(node) + _bias(node))
TWICE_MAC_AND_BIAS: Final = Count("2 MAC + outputs if bias", lambda node: 2 * _macs(node) + _bias(node))
PARAMETERS: Final = Count("images * parameters", lambda node: _images(node) * node.parameters)
ROWS_IGNORED: Final = PARAMETERS._replace(
    wrong="a linear layer is counted once per image, not once per row of its input",
    at=lambda node: len(node.input_shapes[0]) > 2,
)
FUSED: Final = NOTHING._replace(wrong="the two products of fused attention are not seen")
ON_META: Final = TWICE_MAC._replace(formula="2 MAC; 0 on a CPU")


def _spread_over_outputs(node: Node) -> int:
    """What a transposed convolution would do if it was one the other way: outputs by the weights of each."""
    groups = int(getattr(node.op, "groups", 1))
    _, channels, *_ = node.input_shapes[0]
    (weights,) = [weight for weight in node.op.weights(*node.input_shapes) if weight.name == "weight"]
    return _outputs(node) * (channels // groups) * prod(weights.shape[2:])


OVER_OUTPUTS: Final = Count(
    "outputs * channels / groups * kernel",
    _spread_over_outputs,
    wrong="a transposed convolution multiplies inputs, and not outputs, by its kernel",
)
PARAMETERS_OVER_OUTPUTS: Final = Count(
    "images * parameters * output positions",
    lambda node: _images(node) * node.parameters * prod(node.outputs[0].shape[2:]),
    wrong="a transposed convolution multiplies inputs, and not outputs, by its weights",
)


def _normed(with_weights: int, without: int) -> Count:
    """So many for each value of a norm, fewer without gamma and beta."""
    return Count(
        f"{with_weights} inputs ({without} without weights)",
        lambda node: _inputs(node) * (with_weights if node.parameters else without),
    )


UNSEEN: Final = NOTHING._replace(wrong="products of two maps are functions, not modules, and are not seen")


def _each(count: int, of: str) -> Count:
    amount = {"inputs": _inputs, "outputs": _outputs}[of]
    return Count(of if count == 1 else f"{count} {of}", lambda node: count * amount(node))


MOVES: Final = (
    "Cast",
    "ChannelShuffle",
    "Concat",
    "Dropout",
    "Flatten",
    "Input",
    "Pad",
    "Reshape",
    "Slice",
    "Transpose",
)
ACTIVATIONS: Final = (
    "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Relu6", "Sigmoid", "Silu", "Softplus",
    "Tanh",
)  # fmt: skip
ELEMENTWISE: Final = ("Add", "Div", "Mul", "Sub")
POOLS: Final = ("AveragePool", "MaxPool")


def _tool(
    name: str,
    number: str,
    meaning: str,
    zero: tuple[str, ...],
    per_mac: int = 1,
    stored: Literal["learned", "constants"] | None = "learned",
    **counts: Count,
) -> Convention:
    known = MappingProxyType(dict(sorted((dict.fromkeys((*MOVES, *zero), NOTHING) | counts).items())))
    return Convention(name, meaning, number=number, counts=known, per_mac=per_mac, stored=stored)


TOOLS: Final[tuple[Convention, ...]] = (
    _tool(
        "fvcore", "FLOPs (one per MAC)", "fvcore 0.1.5, FlopCountAnalysis",
        (*ACTIVATIONS, *POOLS, "Softmax", *ELEMENTWISE, "Lrn"),
        Conv=MAC, Linear=MAC, MatMul=MAC, BatchNorm=_each(2, "inputs"), GlobalAveragePool=_each(1, "inputs"),
        ConvTranspose=MAC, LayerNorm=_normed(5, 4), GroupNorm=_each(5, "inputs"), Attention=FUSED, ReduceMean=NOTHING,
    ),
    _tool(
        "flop_counter", "FLOPs (two per MAC)", "torch.utils.flop_counter of torch 2.13",
        (*ACTIVATIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn"),
        Conv=TWICE_MAC, Linear=TWICE_MAC, MatMul=TWICE_MAC, ConvTranspose=TWICE_MAC, LayerNorm=NOTHING,
        GroupNorm=NOTHING, Attention=ON_META, ReduceMean=NOTHING, per_mac=2, stored=None,
    ),
    _tool(
        "torchinfo", "mult-adds", "torchinfo 1.8.0; a linear layer ignores its rows, a matrix product is not seen",
        (*ACTIVATIONS, *POOLS, "GlobalAveragePool", "Softmax", *ELEMENTWISE, "Lrn"),
        Conv=MAC_AND_BIAS, Linear=ROWS_IGNORED, MatMul=UNSEEN, BatchNorm=PARAMETERS, PRelu=PARAMETERS,
        ConvTranspose=PARAMETERS_OVER_OUTPUTS, LayerNorm=PARAMETERS, GroupNorm=PARAMETERS, Attention=FUSED,
        ReduceMean=NOTHING,
    ),
    _tool(
        "ptflops", "MACs and extras", "ptflops 0.7.5; a product by the @ operator is not seen",
        ("HardSigmoid", "HardSwish", "Sigmoid", "Softplus", "Tanh", *ELEMENTWISE),
        Conv=MAC_AND_BIAS, Linear=MAC_AND_BIAS, MatMul=MAC, BatchNorm=_each(2, "inputs"), Relu=_each(2, "inputs"),
        Elu=_each(2, "inputs"), LeakyRelu=_each(1, "inputs"), PRelu=_each(2, "inputs"),
        Relu6=_each(1, "inputs"), Gelu=_each(2, "inputs"), Silu=_each(1, "inputs"), Softmax=_each(1, "inputs"),
        AveragePool=_each(2, "inputs"), MaxPool=_each(2, "inputs"), GlobalAveragePool=_each(2, "inputs"),
        ConvTranspose=MAC_AND_BIAS, LayerNorm=_each(1, "inputs"), GroupNorm=_each(2, "inputs"), Attention=FUSED,
        ReduceMean=NOTHING,
    ),
    _tool(
        "thop", "MACs and extras", "thop 0.1.1; matches exact module classes only",
        (*(name for name in ACTIVATIONS if name != "PRelu"), "MaxPool", *ELEMENTWISE, "Lrn"),
        Conv=MAC, MatMul=UNSEEN, PRelu=_each(1, "inputs"), Linear=MAC, BatchNorm=_each(4, "inputs"),
        AveragePool=_each(1, "outputs"),
        GlobalAveragePool=Count("inputs + outputs", lambda node: _inputs(node) + _outputs(node)),
        Softmax=Count("rows * (3 length - 1)", lambda node: _inputs(node) * 3 - _softmax_rows(node)),
        ConvTranspose=OVER_OUTPUTS, LayerNorm=_normed(4, 2), GroupNorm=NOTHING, Attention=FUSED, ReduceMean=NOTHING,
    ),
    _tool(
        "calflops", "FLOPs (two per MAC, and extras)", "calflops 0.3.2; a product by the @ operator is not seen",
        ("Relu6", "HardSigmoid", "HardSwish", "Sigmoid", "Softplus", "Tanh", *ELEMENTWISE),
        Elu=_each(1, "inputs"), LeakyRelu=_each(1, "inputs"), PRelu=_each(1, "inputs"),
        Conv=TWICE_MAC_AND_BIAS, Linear=TWICE_MAC, MatMul=TWICE_MAC, BatchNorm=_each(2, "inputs"),
        Relu=_each(1, "inputs"), Gelu=_each(1, "inputs"), Silu=_each(1, "inputs"), Softmax=_each(1, "inputs"),
        AveragePool=_each(1, "inputs"), MaxPool=_each(1, "inputs"), GlobalAveragePool=_each(1, "inputs"), per_mac=2,
        LayerNorm=_normed(5, 4), GroupNorm=_each(5, "inputs"), Attention=FUSED, ReduceMean=NOTHING,
    ),
    _tool(
        "calflops-macs", "MACs", "calflops 0.3.2, its second number; a product by the @ operator is not seen",
        (*ACTIVATIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn"),
        Conv=MAC, Linear=MAC, MatMul=MAC,
        LayerNorm=NOTHING, GroupNorm=NOTHING, Attention=FUSED, ReduceMean=NOTHING,
    ),
    _tool(
        "onnx-tool", "MACs and extras", "onnx-tool 1.0.1",
        (),
        Conv=MAC_AND_BIAS, Linear=MAC_AND_BIAS, MatMul=MAC, BatchNorm=_each(31, "outputs"), Relu=_each(1, "outputs"),
        Relu6=_each(2, "outputs"), Gelu=_each(34, "outputs"), Silu=_each(33, "outputs"), HardSwish=_each(5, "outputs"),
        Sigmoid=_each(32, "outputs"), HardSigmoid=_each(4, "outputs"), Softmax=_each(36, "outputs"),
        AveragePool=Count("outputs * window", lambda node: _outputs(node) * _window(node)),
        MaxPool=Count("outputs * window", lambda node: _outputs(node) * _window(node)),
        GlobalAveragePool=Count("inputs + 4 outputs", lambda node: _inputs(node) + 4 * _outputs(node)),
        Add=_each(1, "outputs"), Mul=_each(1, "outputs"), Clip=_each(2, "outputs"),
        Lrn=Count("outputs * (37 + size)", lambda node: _outputs(node) * (37 + int(getattr(node.op, "size", 0)))),
        ConvTranspose=OVER_OUTPUTS, ReduceMean=_each(1, "inputs"),
        stored="constants",
    ),
    _tool(
        "convnet-burden", "FLOPs (one per MAC, and extras)", "the public table convnet-burden",
        ("BatchNorm", "Softmax"),
        Conv=MAC_AND_BIAS, Linear=MAC_AND_BIAS, Relu=_each(2, "inputs"), GlobalAveragePool=_each(1, "inputs"),
        Add=_each(1, "outputs"),
        AveragePool=Count("2 stride^2 outputs", lambda node: 2 * _stride(node) * _outputs(node)),
        MaxPool=Count("2 stride^2 outputs", lambda node: 2 * _stride(node) * _outputs(node)),
        stored=None,
    ),
    _tool(
        "torchvision", "MACs", "torchvision's _ops: products of convolutions, linear layers and matrices",
        (*ACTIVATIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn"),
        Conv=MAC, Linear=MAC, MatMul=MAC,
    ),
)  # fmt: skip

CONVENTIONS: Final[Mapping[str, Convention]] = {convention.name: convention for convention in (STANDARD, *TOOLS)}


def convention(name: str) -> Convention:
    """Look a convention up by name."""
    if name not in CONVENTIONS:
        raise CostModelError(f"no convention {name!r}; {suggestion(name, CONVENTIONS)}")
    return CONVENTIONS[name]
