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


def _summed_channels(node: Node) -> int:
    return node.input_shapes[0][1] + int(getattr(node.op, "size", 1)) - 1


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
UNSEEN: Final = NOTHING._replace(wrong="products of two maps are functions, not modules, and are not seen")


UNSEEN_LAYER: Final = NOTHING._replace(wrong="a recurrent layer is one function, whose products are not seen")
UNSEEN_MACS: Final = NOTHING._replace(wrong="of a recurrent layer it counts FLOPs and no MACs")
PATCHED_LRN: Final = Count(
    "3 inputs, and inputs with size - 1 further channels",  # three products, and a mean pool over padded channels
    lambda node: 3 * _inputs(node) + _inputs(node) // node.input_shapes[0][1] * _summed_channels(node),
)
UNSEEN_ATTENTION: Final = NOTHING._replace(wrong="fused attention is one function, whose products are not seen")


def _affine(count: int, bare: int) -> Count:
    """So many for each input of a norm with a gamma or a beta, fewer for one without."""
    return Count(
        f"{count} inputs, {bare} without gamma and beta",
        lambda node: (count if node.op.weights(*node.input_shapes) else bare) * _inputs(node),
    )


def _of_outputs(channels: bool) -> Count:
    """What a transposed convolution of so many outputs would be, were each of them the sum of a whole window."""

    def count(node: Node) -> int:
        (weight, *_) = node.op.weights(*node.input_shapes)
        inputs = weight.shape[0] // int(getattr(node.op, "groups", 1))
        return _outputs(node) * prod(weight.shape[2:]) * (inputs if channels else weight.shape[1]) + (
            0 if channels else _bias(node)
        )

    wrong = "a product for each output and weight of its channel, and not for each input"
    return Count("outputs * kernel * channels" if channels else "outputs * kernel * filters + outputs if bias", count,
                 wrong, at=lambda node: max(getattr(node.op, "stride", (1,))) > 1)  # fmt: skip


def _resized(**taps: int) -> Count:
    """So many for each output, by the mode of a resize."""
    words = ", ".join(f"{count} outputs if {mode}" for mode, count in taps.items())
    return Count(words, lambda node: taps[str(getattr(node.op, "mode", "nearest"))] * _outputs(node))


POSITIONS: Final = Count(
    "parameters * output positions",
    lambda node: node.parameters * _images(node) * prod(node.outputs[0].shape[2:]),
    "a transposed convolution's products are one for each input, not for each output",
    lambda node: max(getattr(node.op, "stride", (1,))) > 1,
)
STEPS: Final = Count(
    "parameters * steps * sequences",
    lambda node: node.parameters * prod(node.op.loops(*node.input_shapes)[0:3:2]),
)


def _states(node: Node) -> int:
    """Values of a recurrent layer's state, at every step, of one direction."""
    return node.op.units(*node.input_shapes) // _directions(node)


def _directions(node: Node) -> int:
    return node.op.loops(*node.input_shapes).groups


def _recurrent(per_mac: int, bare: int, biased: int) -> Count:
    """A multiple of the products, and so many for each value of each step's state."""
    macs = "MAC" if per_mac == 1 else f"{per_mac} MAC"
    return Count(
        f"{macs} + {biased} for each value of a step's state, {bare} without biases",
        lambda node: (
            per_mac * _macs(node)
            + (biased if getattr(node.op, "bias", False) else bare) * _directions(node) * _states(node)
        ),
    )


def _one_way(beside: int, biases: int) -> Count:
    """The products and the biases, and what is beside them as of one direction."""
    return Count(
        f"MAC + {biases} for each value of a step's state if bias + {beside} for each of one direction",
        lambda node: (
            _macs(node)
            + biases * bool(getattr(node.op, "bias", False)) * _directions(node) * _states(node)
            + beside * _states(node)
        ),
        "what is done beside the products is counted for one direction of two",
        lambda node: _directions(node) > 1,
    )


ON_META: Final = Count("2 MAC (on meta tensors; 0 on the CPU)", lambda node: 2 * _macs(node))
LSTM_ON_META: Final = ON_META._replace(
    remark="this is the number on meta tensors; on the CPU nn.LSTM, not nn.LSTMCell, is one function, which counts 0"
)
FUSED_ON_META: Final = ON_META._replace(
    remark="this is the number on meta tensors; on the CPU scaled_dot_product_attention counts 0, and in eval() also a "
    "whole nn.MultiheadAttention or nn.TransformerEncoderLayer that takes its fast path "
    "(torch.backends.mha.set_fastpath_enabled)"
)


def _each(count: int, of: str) -> Count:
    amount = {"inputs": _inputs, "outputs": _outputs}[of]
    return Count(of if count == 1 else f"{count} {of}", lambda node: count * amount(node))


MOVES: Final = (
    "Cast", "ChannelShuffle", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "Input", "Pad", "Reshape", "ScatterND", "Slice", "SpaceToDepth", "Tile", "Transpose", "Trilu",
)  # fmt: skip
ACTIVATIONS: Final = (
    "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Relu6", "Sigmoid", "Silu", "Softplus",
    "Tanh",
)  # fmt: skip
ELEMENTWISE: Final = ("Add", "Div", "Mul", "Sub")
TRUTHS: Final = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Xor")
REDUCTIONS: Final = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
FUNCTIONS: Final = (
    *TRUTHS, *REDUCTIONS, "Abs", "ArgMax", "ArgMin", "Ceil", "Cos", "CumSum", "Erf", "Exp", "Floor", "IsNaN", "Log",
    "LogSoftmax", "Max", "Min", "Mish", "Mod", "Neg", "Pow", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare", "Round", "Sign", "Sin", "Sqrt", "Where",
)  # fmt: skip
"""What the tools for PyTorch have no rule for, be it a function or a module: they count nothing, and most say so."""
POOLS: Final = ("AveragePool", "MaxPool")
RECURRENT: Final = ("GRU", "LSTM", "RNN")
NORMS: Final = ("GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm")


def _tool(
    name: str,
    number: str,
    meaning: str,
    zero: tuple[str, ...],
    per_mac: int = 1,
    stored: Literal["learned", "constants"] | None = "learned",
    alike: Mapping[tuple[str, ...], Count] = MappingProxyType({}),
    **counts: Count,
) -> Convention:
    same = {kind: count for kinds, count in alike.items() for kind in kinds}
    known = MappingProxyType(dict(sorted((dict.fromkeys((*MOVES, *zero), NOTHING) | same | counts).items())))
    return Convention(name, meaning, number=number, counts=known, per_mac=per_mac, stored=stored)


TOOLS: Final[tuple[Convention, ...]] = (
    _tool(
        "fvcore", "FLOPs (one per MAC)", "fvcore 0.1.5, FlopCountAnalysis",
        (*ACTIVATIONS, *FUNCTIONS, *POOLS, "Softmax", *ELEMENTWISE, "Lrn", "TanhGelu", "RMSNorm", "Embedding"),
        Conv=MAC, Linear=MAC, MatMul=MAC, BatchNorm=_each(2, "inputs"), GlobalAveragePool=_each(1, "inputs"),
        ConvTranspose=MAC, Einsum=MAC, Attention=UNSEEN_ATTENTION, LayerNorm=_affine(5, 4), GroupNorm=_affine(5, 4),
        InstanceNorm=_affine(5, 4), Resize=_resized(nearest=1, linear=4, cubic=0),
        alike={RECURRENT: UNSEEN_LAYER},
    ),
    _tool(
        "flop_counter", "FLOPs (two per MAC)", "torch.utils.flop_counter of torch 2.13",
        (*ACTIVATIONS, *FUNCTIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn", *NORMS,
         "TanhGelu", "Embedding", "Resize"),
        Conv=TWICE_MAC, Linear=TWICE_MAC, MatMul=TWICE_MAC, ConvTranspose=TWICE_MAC, Einsum=TWICE_MAC,
        Attention=FUSED_ON_META, LSTM=LSTM_ON_META, GRU=TWICE_MAC, RNN=TWICE_MAC, per_mac=2, stored=None,
    ),
    _tool(
        "torchinfo", "mult-adds", "torchinfo 1.8.0; a linear layer ignores its rows, a matrix product is not seen",
        (*ACTIVATIONS, *FUNCTIONS, *POOLS, "GlobalAveragePool", "Softmax", *ELEMENTWISE, "Lrn", "TanhGelu", "Resize"),
        Conv=MAC_AND_BIAS, Linear=ROWS_IGNORED, MatMul=UNSEEN, BatchNorm=PARAMETERS, PRelu=PARAMETERS,
        ConvTranspose=POSITIONS, Einsum=UNSEEN, Attention=UNSEEN_ATTENTION, Embedding=PARAMETERS,
        alike={NORMS: PARAMETERS, RECURRENT: STEPS},
    ),
    _tool(
        "ptflops", "MACs and extras", "ptflops 0.7.5; a product by the @ operator is not seen",
        ("HardSigmoid", "HardSwish", "Sigmoid", "Softplus", "Tanh", *ELEMENTWISE, *FUNCTIONS, "Embedding", "RMSNorm"),
        ConvTranspose=MAC_AND_BIAS, Einsum=UNSEEN, Attention=UNSEEN_ATTENTION, LayerNorm=_each(1, "inputs"),
        GroupNorm=_affine(2, 1), InstanceNorm=_affine(2, 1), TanhGelu=_each(2, "inputs"),
        Conv=MAC_AND_BIAS, Linear=MAC_AND_BIAS, MatMul=MAC, BatchNorm=_each(2, "inputs"), Relu=_each(2, "inputs"),
        Elu=_each(2, "inputs"), LeakyRelu=_each(1, "inputs"), PRelu=_each(2, "inputs"),
        Relu6=_each(1, "inputs"), Gelu=_each(2, "inputs"), Silu=_each(1, "inputs"), Softmax=_each(1, "inputs"),
        AveragePool=_each(2, "inputs"), MaxPool=_each(2, "inputs"), GlobalAveragePool=_each(2, "inputs"),
        LSTM=_recurrent(1, bare=10, biased=18), GRU=_recurrent(1, bare=7, biased=13),
        RNN=_recurrent(1, bare=1, biased=3),
        Lrn=PATCHED_LRN,
    ),
    _tool(
        "thop", "MACs and extras", "thop 0.1.1; matches exact module classes only",
        (*(name for name in ACTIVATIONS if name != "PRelu"), "MaxPool", *ELEMENTWISE, "Lrn", *FUNCTIONS, "TanhGelu",
         "GroupNorm", "RMSNorm", "Embedding"),
        ConvTranspose=_of_outputs(channels=True), Einsum=UNSEEN, Attention=UNSEEN_ATTENTION, LayerNorm=_affine(4, 2),
        InstanceNorm=_affine(4, 2), Resize=_resized(nearest=1, linear=11, cubic=259),
        Conv=MAC, MatMul=UNSEEN, PRelu=_each(1, "inputs"), Linear=MAC, BatchNorm=_each(4, "inputs"),
        AveragePool=_each(1, "outputs"),
        GlobalAveragePool=Count("inputs + outputs", lambda node: _inputs(node) + _outputs(node)),
        Softmax=Count("rows * (3 length - 1)", lambda node: _inputs(node) * 3 - _softmax_rows(node)),
        LSTM=_recurrent(1, bare=8, biased=16), GRU=_recurrent(1, bare=7, biased=13),
        RNN=_recurrent(1, bare=1, biased=3),
    ),
    _tool(
        "calflops", "FLOPs (two per MAC, and extras)", "calflops 0.3.2; a product by the @ operator is not seen",
        ("Relu6", "HardSigmoid", "HardSwish", "Sigmoid", "Softplus", "Tanh", *ELEMENTWISE, *FUNCTIONS, "Embedding",
         "RMSNorm"),
        Einsum=TWICE_MAC, Attention=UNSEEN_ATTENTION, LayerNorm=_affine(5, 4), GroupNorm=_affine(5, 4),
        InstanceNorm=_affine(5, 4), TanhGelu=_each(1, "inputs"), Resize=_each(1, "inputs"),
        Elu=_each(1, "inputs"), LeakyRelu=_each(1, "inputs"), PRelu=_each(1, "inputs"),
        Conv=TWICE_MAC_AND_BIAS, Linear=TWICE_MAC, MatMul=TWICE_MAC, BatchNorm=_each(2, "inputs"),
        Relu=_each(1, "inputs"), Gelu=_each(1, "inputs"), Silu=_each(1, "inputs"), Softmax=_each(1, "inputs"),
        AveragePool=_each(1, "inputs"), MaxPool=_each(1, "inputs"), GlobalAveragePool=_each(1, "inputs"),
        Lrn=PATCHED_LRN, LSTM=_recurrent(2, bare=2, biased=10), GRU=_recurrent(2, bare=1, biased=7),
        RNN=_recurrent(2, bare=-1, biased=1), per_mac=2,
    ),
    _tool(
        "calflops-macs", "MACs", "calflops 0.3.2, its second number; a product by the @ operator is not seen",
        (*ACTIVATIONS, *FUNCTIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn", *NORMS,
         "TanhGelu", "Embedding", "Resize", "Einsum"),
        Conv=MAC, Linear=MAC, MatMul=MAC, Attention=UNSEEN_ATTENTION, alike={RECURRENT: UNSEEN_MACS},
    ),
    _tool(
        "onnx-tool", "MACs and extras", "onnx-tool 1.0.1",
        ("ArgMax", "Embedding", "Erf", "Where"),
        alike={
            (*TRUTHS, "Abs", "Ceil", "Floor", "Max", "Min", "Neg", "Round", "Sign", "Sub"): _each(1, "outputs"),
            (*REDUCTIONS, "CumSum"): _each(1, "inputs"),
        },
        ReduceL2=_each(25, "inputs"),
        Div=_each(4, "outputs"), Reciprocal=_each(4, "outputs"), Sqrt=_each(24, "outputs"), Exp=_each(32, "outputs"),
        Pow=_each(32, "outputs"), Cos=_each(39, "outputs"), Sin=_each(39, "outputs"), Log=_each(43, "outputs"),
        LogSoftmax=_each(80, "outputs"), Einsum=MAC, InstanceNorm=_each(7, "inputs"),
        LayerNorm=Count(
            "7 inputs + 29 inputs / size of the first axis of the mean",
            lambda node: 7 * _inputs(node) + 29 * _inputs(node) // node.input_shapes[0][getattr(node.op, "axis", -1)],
        ),
        ConvTranspose=_of_outputs(channels=False), Resize=_resized(nearest=0, linear=4, cubic=8),
        Conv=MAC_AND_BIAS, Linear=MAC_AND_BIAS, MatMul=MAC, BatchNorm=_each(31, "outputs"), Relu=_each(1, "outputs"),
        Relu6=_each(2, "outputs"), Gelu=_each(34, "outputs"), Silu=_each(33, "outputs"), HardSwish=_each(5, "outputs"),
        Sigmoid=_each(32, "outputs"), HardSigmoid=_each(4, "outputs"), Softmax=_each(36, "outputs"),
        AveragePool=Count("outputs * window", lambda node: _outputs(node) * _window(node)),
        MaxPool=Count("outputs * window", lambda node: _outputs(node) * _window(node)),
        GlobalAveragePool=Count("inputs + 4 outputs", lambda node: _inputs(node) + 4 * _outputs(node)),
        Add=_each(1, "outputs"), Mul=_each(1, "outputs"), Clip=_each(2, "outputs"),
        LSTM=_one_way(180, biases=8), GRU=_one_way(110, biases=6),
        Lrn=Count("outputs * (37 + size)", lambda node: _outputs(node) * (37 + int(getattr(node.op, "size", 0)))),
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
        (*ACTIVATIONS, *FUNCTIONS, *POOLS, "GlobalAveragePool", "BatchNorm", "Softmax", *ELEMENTWISE, "Lrn", *NORMS,
         "TanhGelu", "Embedding", "Resize"),
        Conv=MAC, Linear=MAC, MatMul=MAC, ConvTranspose=MAC, Attention=MAC,
    ),
)  # fmt: skip

CONVENTIONS: Final[Mapping[str, Convention]] = {convention.name: convention for convention in (STANDARD, *TOOLS)}


def convention(name: str) -> Convention:
    """Look a convention up by name."""
    if name not in CONVENTIONS:
        raise CostModelError(f"no convention {name!r}; {suggestion(name, CONVENTIONS)}")
    return CONVENTIONS[name]
