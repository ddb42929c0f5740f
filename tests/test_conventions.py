"""Other tools' numbers under their own rules; the oracles are the totals that the tools themselves printed."""

import pytest
from command_line import run

import costmodel
from costmodel import zoo
from costmodel.counting.tools import CONVENTIONS, TOOLS, convention
from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Op
from costmodel.ops import (
    GRU,
    LSTM,
    RNN,
    Attention,
    Conv,
    ConvTranspose,
    Einsum,
    Embedding,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    Log,
    LogSoftmax,
    Lrn,
    Mish,
    Pow,
    ReduceL2,
    ReduceMean,
    Resize,
    RMSNorm,
    Softmax,
    Sqrt,
    Tanh,
    TanhGelu,
)
from costmodel.profile import profile


def total(graph, name):
    return profile(graph, CONVENTIONS[name]).layers.total("counted")


def without_softmax(graph):
    (result,) = graph.outputs
    assert isinstance(result.node.op, Softmax)
    return Graph(result.node.inputs[0], graph.name)


# Totals of the tools on the weightless models shipped in the onnx package, which the torch tools read without softmax.
@pytest.mark.parametrize(
    ("name", "tool", "printed"),
    [
        ("vgg19", "fvcore", 19_632_062_464),
        ("vgg19", "flop_counter", 39_264_124_928),
        ("vgg19", "torchinfo", 19_646_923_752),
        ("vgg19", "ptflops", 19_688_887_272),
        ("vgg19", "thop", 19_632_062_464),
        ("vgg19", "calflops", 39_299_958_784),
        ("resnet50", "flop_counter", 8_178_368_512),
        ("resnet50", "torchinfo", 4_089_238_376),
        ("resnet50", "calflops", 8_211_108_352),
        ("densenet121", "flop_counter", 5_668_323_328),
        ("densenet121", "torchinfo", 2_834_246_312),
        ("squeezenet_v1_1", "flop_counter", 698_303_872),
        ("squeezenet_v1_1", "torchinfo", 351_741_288),
    ],
)
def test_totals_of_torch_tools(name, tool, printed):
    assert total(without_softmax(zoo.get(name)(size=224)), tool) == printed


@pytest.mark.parametrize(("name", "printed"), [("vgg19", 19_667_941_512), ("squeezenet_v1_1", 357_511_224)])
def test_totals_of_onnx_tool(name, printed):
    assert total(zoo.get(name)(size=224), "onnx-tool") == printed


# The FLOPs column of the table, as a lecture on compact networks quotes it.
@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("alexnet", "727 M"),
        ("vgg16", "16 G"),
        ("vgg19", "20 G"),
        ("resnet18", "2 G"),
        ("resnet34", "4 G"),
        ("densenet121", "3 G"),
        ("googlenet", "2 G"),
    ],
)
def test_convnet_burden_in_the_digits_that_it_is_quoted_with(name, quoted):
    digits, unit = quoted.split()
    assert round(total(zoo.get(name)(), "convnet-burden") / {"M": 1e6, "G": 1e9}[unit]) == int(digits)


def test_torchvision_counts_what_standard_calls_macs():
    for name in ("resnet50", "mobilenet_v2", "googlenet"):
        assert total(zoo.get(name)(), "torchvision") == total(zoo.get(name)(), "standard") == zoo.get(name)().macs


def test_batch_norm_of_fvcore_is_two_per_input():
    graph = zoo.get("resnet50")()
    norms = sum(node.inputs[0].elements for node in graph.nodes.values() if node.op.kind == "BatchNorm")
    pool = 2048 * 7 * 7
    assert total(graph, "fvcore") == graph.macs + 2 * norms + pool


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_knows_operators_that_there_are(tool):
    assert set(tool.counts) <= set(Op.registry)
    assert {"Conv", "Linear", "BatchNorm", "Relu", "MaxPool"} <= set(tool.counts)
    assert tool.number
    assert tool.meaning
    assert all(count.formula for count in tool.counts.values())


def unknown():
    x = Conv(4, 3)(Input((1, 3, 8, 8))(), name="conv")
    return Graph(Tanh()(Lrn()(x, name="norm"), name="tanh"), "unknown")


def test_an_operator_without_a_rule_is_named_and_not_silently_zero():
    needs = profile(unknown(), CONVENTIONS["convnet-burden"])
    assert needs.uncounted == ("Lrn", "Tanh")
    assert profile(unknown(), CONVENTIONS["fvcore"]).uncounted == ()
    assert profile(unknown()).uncounted == ()
    run = costmodel.cost(unknown(), "paper-2012", convention=CONVENTIONS["convnet-burden"])
    assert run.profile.number == "FLOPs (one per MAC, and extras)"


# What the tools print for one operator on 2 x 8 x 10 x 10, that is 1600 values, measured with torch 2.13.
MAP = (2, 8, 10, 10)
MEASURED = {
    "Elu": {"fvcore": 0, "torchinfo": 0, "ptflops": 3200, "thop": 0, "calflops": 1600},
    "LeakyRelu": {"fvcore": 0, "torchinfo": 0, "ptflops": 1600, "thop": 0, "calflops": 1600},
    "PRelu": {"fvcore": 0, "torchinfo": 16, "ptflops": 3200, "thop": 1600, "calflops": 1600},
    "HardSigmoid": {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0},
    "Softplus": {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0},
    "Tanh": {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0},
    "Relu": {"fvcore": 0, "torchinfo": 0, "ptflops": 3200, "thop": 0, "calflops": 1600},
    "Gelu": {"fvcore": 0, "torchinfo": 0, "ptflops": 3200, "thop": 0, "calflops": 1600},
    "Silu": {"torchinfo": 0, "ptflops": 1600, "thop": 0, "calflops": 1600},
    "Relu6": {"torchinfo": 0, "ptflops": 1600, "thop": 0, "calflops": 0},
    "HardSwish": {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0},
    "Sigmoid": {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0},
    "Softmax": {"fvcore": 0, "torchinfo": 0, "ptflops": 1600, "thop": 4600, "calflops": 1600},
}


@pytest.mark.parametrize(
    ("operator", "tool", "printed"),
    [(operator, tool, number) for operator, numbers in MEASURED.items() for tool, number in numbers.items()],
)
def test_single_operators_as_the_tools_print_them(operator, tool, printed):
    x = Input((2, 8, 10, 10))()
    assert total(Graph(Op.registry[operator]()(x)), tool) == printed


# The same of other shapes: 2 x 10 x 16 for the norm of rows, 2 x 8 x 10 x 10 for the others; onnx-tool 1.0.1.
KERNEL = {"kernel": 3, "stride": 2}
TRANSFORMERS = [
    (LayerNorm(), (2, 10, 16), {"fvcore": 1600, "flop_counter": 0, "torchinfo": 64, "ptflops": 320, "thop": 1280,
                                "calflops": 1600, "calflops-macs": 0}),
    (LayerNorm(scale=False, bias=False), (2, 10, 16), {"fvcore": 1280, "torchinfo": 0, "ptflops": 320, "thop": 640,
                                                       "calflops": 1280}),
    (LayerNorm(), (2, 8, 10, 10), {"onnx-tool": 15840}),
    (RMSNorm(), (2, 10, 16), {"fvcore": 0, "torchinfo": 32, "ptflops": 0, "thop": 0, "calflops": 0}),
    (GroupNorm(2), MAP, {"fvcore": 8000, "torchinfo": 32, "ptflops": 3200, "thop": 0, "calflops": 8000}),
    (GroupNorm(2, scale=False, bias=False), MAP, {"fvcore": 6400, "ptflops": 1600, "calflops": 6400}),
    (InstanceNorm(), MAP, {"fvcore": 8000, "torchinfo": 32, "ptflops": 3200, "thop": 6400, "calflops": 8000,
                           "onnx-tool": 11200}),
    (InstanceNorm(scale=False, bias=False), MAP, {"fvcore": 6400, "ptflops": 1600, "thop": 3200, "calflops": 6400}),
    (ConvTranspose(6, **KERNEL), MAP, {"fvcore": 86400, "flop_counter": 172800, "torchinfo": 386316, "ptflops": 91692,
                                       "thop": 381024, "onnx-tool": 291060}),
    (ConvTranspose(6, **KERNEL, groups=2, bias=False), MAP, {
        "fvcore": 43200, "flop_counter": 86400, "torchinfo": 190512, "ptflops": 43200, "thop": 190512,
        "onnx-tool": 142884}),
    (Resize((2, 8, 20, 20)), MAP, {"fvcore": 6400, "torchinfo": 0, "thop": 6400, "calflops": 1600, "onnx-tool": 0}),
    (Resize((2, 8, 20, 20), "linear"), MAP, {"fvcore": 25600, "thop": 70400, "calflops": 1600, "onnx-tool": 25600}),
    (Resize((2, 8, 20, 20), "cubic"), MAP, {"fvcore": 0, "thop": 1657600, "calflops": 1600, "onnx-tool": 51200}),
    (TanhGelu(), MAP, {"fvcore": 0, "torchinfo": 0, "ptflops": 3200, "thop": 0, "calflops": 1600}),
    (Mish(), MAP, {"fvcore": 0, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 0}),
    (LogSoftmax(), MAP, {"fvcore": 0, "ptflops": 0, "thop": 0, "calflops": 0, "onnx-tool": 128000}),
    (ReduceMean((2, 3)), MAP, {"fvcore": 0, "ptflops": 0, "thop": 0, "calflops": 0, "onnx-tool": 1600}),
    (ReduceL2((1,)), MAP, {"fvcore": 0, "calflops": 0, "onnx-tool": 40000}),
    (Pow(exponent=2.0), MAP, {"fvcore": 0, "calflops": 0, "onnx-tool": 51200}),
    (Log(), MAP, {"onnx-tool": 68800}),
    (Sqrt(), MAP, {"fvcore": 0, "calflops": 0, "onnx-tool": 38400}),
    (Embedding(50, 16), (2, 10), {"fvcore": 0, "torchinfo": 1600, "ptflops": 0, "thop": 0, "calflops": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "printed"), TRANSFORMERS, ids=repr)
def test_operators_of_transformers_as_the_tools_print_them(op, shape, printed):
    graph = Graph(op(Input(shape)()))
    assert {tool: total(graph, tool) for tool in printed} == printed
    assert not {tool for tool in printed if profile(graph, CONVENTIONS[tool]).uncounted}


def test_products_of_two_maps_as_the_tools_print_them():
    heads = [Input((2, 4, 10, 8))() for _ in "qkv"]
    products = Graph(Einsum("bhqd,bhkd->bhqk")(*heads[:2]))
    printed = {"fvcore": 6400, "flop_counter": 12800, "torchinfo": 0, "ptflops": 0, "thop": 0, "calflops": 12800,
               "calflops-macs": 0, "onnx-tool": 6400}  # fmt: skip
    assert {tool: total(products, tool) for tool in printed} == printed
    attention = Graph(Attention()(*heads))
    unseen = ("fvcore", "torchinfo", "ptflops", "thop", "calflops")
    assert {total(attention, tool) for tool in unseen} == {0}
    assert total(attention, "flop_counter") == 2 * 2 * 2 * 4 * 10 * 10 * 8  # two products; on meta tensors
    assert profile(attention, CONVENTIONS["onnx-tool"]).uncounted == ("Attention",)


# Recurrent layers of 4 units on 5 steps of 2 sequences of 3 channels; fvcore 0.1.5, flop_counter of torch 2.13 on meta
# tensors, torchinfo 1.8.0, thop 0.1.1, ptflops 0.7.5 (which prints a fifth of it, an average over the first axis),
# calflops 0.3.2, onnx-tool 1.0.1. On the CPU flop_counter prints 0 for an LSTM, and the same for the others.
RECURRENT = [
    (LSTM(4), {"fvcore": 0, "flop_counter": 2240, "torchinfo": 1440, "thop": 1760, "ptflops": 5 * 368,
               "calflops": 2640, "calflops-macs": 0, "onnx-tool": 8640}),
    (LSTM(4, bias=False), {"fvcore": 0, "flop_counter": 2240, "torchinfo": 1120, "thop": 1440, "ptflops": 5 * 304,
                           "calflops": 2320, "calflops-macs": 0}),
    (LSTM(4, "bidirectional"), {"fvcore": 0, "flop_counter": 4480, "torchinfo": 2880, "thop": 3520,
                                "ptflops": 5 * 736, "calflops": 5280, "calflops-macs": 0, "onnx-tool": 10080}),
    (GRU(4), {"fvcore": 0, "flop_counter": 1680, "torchinfo": 1080, "thop": 1360, "ptflops": 5 * 272,
              "calflops": 1960, "calflops-macs": 0, "onnx-tool": 5480}),
    (GRU(4, bias=False), {"fvcore": 0, "flop_counter": 1680, "torchinfo": 840, "thop": 1120, "ptflops": 5 * 224,
                          "calflops": 1720, "calflops-macs": 0}),
    (GRU(4, "bidirectional"), {"fvcore": 0, "flop_counter": 3360, "torchinfo": 2160, "thop": 2720,
                               "ptflops": 5 * 544, "calflops": 3920, "calflops-macs": 0, "onnx-tool": 6560}),
    (RNN(4), {"fvcore": 0, "flop_counter": 560, "torchinfo": 360, "thop": 400, "ptflops": 5 * 80, "calflops": 600,
              "calflops-macs": 0}),
    (RNN(4, bias=False), {"fvcore": 0, "flop_counter": 560, "torchinfo": 280, "thop": 320, "ptflops": 5 * 64,
                          "calflops": 520, "calflops-macs": 0}),
    (RNN(4, "bidirectional"), {"fvcore": 0, "flop_counter": 1120, "torchinfo": 720, "thop": 800, "ptflops": 5 * 160,
                               "calflops": 1200, "calflops-macs": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "printed"), RECURRENT, ids=repr)
def test_recurrent_layers_as_the_tools_print_them(op, printed):
    graph = Graph(op(Input((5, 2, 3))()))
    assert {tool: total(graph, tool) for tool in printed} == printed
    uncounted = {tool.name for tool in TOOLS if profile(graph, tool).uncounted}
    assert uncounted == {"convnet-burden", "torchvision"} | ({"onnx-tool"} if op.kind == "RNN" else set())


# The same on 2 x 8 x 5 x 7, that is 560 values: transposed convolutions with 3x3 kernels and stride 2 to 6 channels,
# norms, and a linear layer of 5 rows of 7.
BLOCKS = {
    "transposed": (
        ConvTranspose(6, 3, stride=2), (2, 8, 5, 7),
        {"fvcore": 30240, "flop_counter": 60480, "torchinfo": 144540, "ptflops": 32220, "thop": 142560},
    ),
    "grouped": (
        ConvTranspose(6, 3, stride=2, groups=2, bias=False), (2, 8, 5, 7),
        {"fvcore": 15120, "flop_counter": 30240, "torchinfo": 71280, "ptflops": 15120, "thop": 71280},
    ),
    "layer norm": (
        LayerNorm(), (2, 8, 5, 7),
        {"fvcore": 2800, "flop_counter": 0, "torchinfo": 28, "ptflops": 560, "thop": 2240, "calflops": 2800,
         "calflops-macs": 0},
    ),
    "group norm": (
        GroupNorm(4), (2, 8, 5, 7),
        {"fvcore": 2800, "flop_counter": 0, "torchinfo": 32, "ptflops": 1120, "thop": 0, "calflops": 2800,
         "calflops-macs": 0},
    ),
    "linear": (
        Linear(3), (2, 5, 7),
        {"fvcore": 210, "flop_counter": 420, "torchinfo": 48, "ptflops": 240, "thop": 210, "calflops": 420,
         "calflops-macs": 210},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_layers_as_the_tools_print_them(name):
    op, shape, printed = BLOCKS[name]
    graph = Graph(op(Input(shape)()))
    assert {tool: total(graph, tool) for tool in printed} == printed


def test_a_convention_changes_no_time():
    for tool in TOOLS:
        assert costmodel.cost("squeezenet", "paper-2012", convention=tool).seconds == (
            costmodel.cost("squeezenet", "paper-2012").seconds
        )


def test_an_unknown_convention_is_answered():
    with pytest.raises(CostModelError, match="no convention 'fvcor'; did you mean 'fvcore'"):
        convention("fvcor")


def test_the_command_line_shows_whose_number_it_is():
    done = run("profile", "alexnet", "--hw", "paper-2012", "--convention", "convnet-burden", "--top", "1")
    assert done.returncode == 0, done.stderr
    number = total(zoo.get("alexnet")(), "convnet-burden")
    assert f"counted    {number} FLOPs (one per MAC, and extras), by the rules of" in done.stdout
    assert "warning: convnet-burden has no rule for Lrn, which its number leaves out" in done.stdout
    assert "counted" not in run("profile", "lenet5", "--hw", "paper-2012").stdout
    shown = run("show", "onnx-tool").stdout
    assert "31 outputs" in shown
    assert "onnx-tool: MACs and extras" in shown
    wrong = run("profile", "lenet5", "--hw", "paper-2012", "--convention", "fvcor")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'fvcore'" in wrong.stderr
    for tool in TOOLS:
        assert tool.name in run("list").stdout


def test_a_local_norm_is_three_products_and_a_pool_over_padded_channels():
    graph = Graph(Lrn(size=5)(Input((2, 6, 4, 3))()), "norm")
    for name in ("ptflops", "calflops"):
        assert total(graph, name) == 3 * (2 * 6 * 4 * 3) + 2 * (6 + 5 - 1) * 4 * 3
