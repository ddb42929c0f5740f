"""Networks read from torch: torch's own counts and results. Without torch nothing is run: see CONTRIBUTING.md."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import costmodel  # noqa: E402
from costmodel.errors import CostModelError  # noqa: E402
from costmodel.execute import execute  # noqa: E402
from costmodel.profile import profile  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def flops(module, *inputs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()


class Block(nn.Module):
    """A convolution, a norm and an activation in place, with a shortcut."""

    def __init__(self, channels, activation):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=2, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = activation

    def forward(self, x):
        y = self.act(self.bn(self.conv(x)))
        y += x
        return self.act(y)


ACTIVATIONS = [
    nn.ReLU(inplace=True), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.LeakyReLU(0.1),
    nn.ELU(0.5), nn.PReLU(8), nn.Sigmoid(), nn.Tanh(), nn.Hardtanh(-1, 2),
]  # fmt: skip


def small(activation):
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, (3, 5), stride=(1, 2), padding="valid", dilation=(2, 1)), Block(8, activation)]
    body += [
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.AdaptiveAvgPool2d((2, 1)),
    ]
    return nn.Sequential(*body, nn.Flatten(), nn.Dropout(), nn.Linear(16, 5), nn.Softmax(-1)).eval()


def weights(graph, module):
    """A module's own weights by the names of the layers, which are its paths."""
    named = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var", "slope": "weight"}
    made = {}
    for name, node in graph.nodes.items():
        own = module.get_submodule(re.sub(r"(?<=act)_2$", "", name)) if node.op.weights(*node.input_shapes) else None
        made[name] = {
            weight.name: getattr(own, named.get(weight.name, weight.name)).detach().numpy()
            for weight in node.op.weights(*node.input_shapes)
        }
    return made


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda module: type(module).__name__)
def test_results_parameters_and_products_are_torchs(activation):
    module, x = small(activation), torch.rand(2, 3, 16, 21)
    with torch.no_grad():
        for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
            norm.running_mean.uniform_()
            norm.running_var.uniform_(0.5, 2)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    (ours,) = execute(graph, [x.numpy()], weights(graph, module))
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(x), rtol=1e-4, atol=1e-6)


class Several(nn.Module):
    """Several inputs, one by keyword, and results of all kinds; a parameter that nothing reads."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.second = nn.Linear(6, 4, bias=False)
        self.unread = nn.Linear(3, 3)

    def forward(self, a, pair, *, scale):
        b, c = pair
        made = self.first(a) * scale
        return {"sum": made + self.second(b), "others": [torch.cat([made, c], dim=-1), None, 3], "again": made}


def test_inputs_and_results_of_all_kinds():
    a, b, c, scale = torch.zeros(2, 6), torch.zeros(2, 6), torch.zeros(2, 3), torch.ones(4)
    graph = costmodel.from_torch(Several(), a, (b, c), scale=scale)
    assert [tensor.shape for tensor in graph.inputs] == [(2, 6), (2, 6), (2, 3), (4,)]
    assert sorted(tensor.shape for tensor in graph.outputs) == [(2, 4), (2, 4), (2, 7)]
    assert list(graph.nodes) == ["a", "pair_0", "pair_1", "scale", "first", "mul", "second", "add", "cat"]
    assert graph.parameters == 6 * 4 + 4 + 6 * 4
    assert graph.notes == ("2 parameters are not used and not counted, 12 values: unread.weight, unread.bias",)


def test_paths_are_blocks_and_a_module_that_runs_again_is_numbered():
    graph = costmodel.from_torch(small(nn.ReLU()), torch.zeros(1, 3, 16, 21))
    names = ["input", "0", "1.conv", "1.bn", "1.act", "1.add", "1.act_2", "2", "3", "4", "5", "6", "7", "8"]
    assert list(graph.nodes) == names
    assert graph.nodes["1.conv"].block == "1"
    assert graph.name == "Sequential"


def test_weights_are_not_needed_and_nothing_is_computed():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(10**6, 10**6), nn.ReLU(), nn.Linear(10**6, 7))
    graph = costmodel.from_torch(module, torch.zeros(1, 10**6))
    assert graph.macs == 10**12 + 7 * 10**6
    assert graph.parameters == 10**12 + 10**6 + 7 * 10**6 + 7


class Tied(nn.Module):
    """A layer that runs three times, and a table that is read by its rows and as a matrix."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 6)
        self.layer = nn.Linear(6, 6)
        self.head = nn.Linear(6, 50, bias=False)
        self.head.weight = self.table.weight

    def forward(self, words):
        x = self.table(words)
        for _ in range(3):
            x = self.layer(x)
        return self.head(x)


def test_shared_weights_count_once():
    graph = costmodel.from_torch(Tied(), torch.zeros(1, 4, dtype=torch.long))
    assert graph.parameters == 50 * 6 + 6 * 6 + 6 == profile(graph).layers.total("parameters")
    assert graph.macs == 4 * (3 * 6 * 6 + 6 * 50)
    assert graph.notes == ()


class Parts(nn.Module):
    """Of a table of 50 places the first 4 are read, and of a table of words all and the first."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 6)
        self.places = nn.Parameter(torch.zeros(1, 50, 6))
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))

    def forward(self, words):
        return self.normed(self.words(words) + self.places[:, :4] + self.words.weight[0])


def test_a_parameter_that_is_read_in_part_counts_whole():
    graph = costmodel.from_torch(Parts().eval(), torch.zeros(1, 4, dtype=torch.long))
    layers = profile(graph).layers
    assert graph.parameters == layers.total("parameters") == 9 * 6 + 50 * 6 + 6 * 5 + 5
    assert layers.total("weight_bytes") == 4 * (4 * 6 + 4 * 6 + 6 + 6 * 5 + 5)
    (note,) = graph.notes  # a length for each row of the normed matrix
    assert note.startswith("1 parameter is merged into others before any image and not counted, 5 values: normed.")


class Tokens(nn.Module):
    """Words and their places, a mask, a class token, and two layers of an encoder."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.places = nn.Embedding(9, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(16)
        self.register_buffer("shift", torch.ones(16))

    def forward(self, words):
        n, length = words.shape
        x = self.words(words) + self.places(torch.arange(length, device=words.device)) + self.shift
        x = torch.cat([self.token.expand(n, -1, -1), x], dim=1)
        mask = torch.ones(length + 1, length + 1, device=words.device).tril() == 0
        return self.norm(self.encoder(x, mask=mask, is_causal=False))[:, 0]


@pytest.mark.parametrize("images", [1, 3])
def test_a_transformer_has_torchs_parameters_and_products(images):
    with torch.device("meta"):
        module, words = Tokens().eval(), torch.zeros(images, 8, dtype=torch.long)
    graph = costmodel.from_torch(module, words)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    torch.backends.mha.set_fastpath_enabled(False)
    assert 2 * graph.macs == flops(module, words)
    assert [node.op.kind for node in graph.nodes.values()].count("Attention") == 2
    assert graph.nodes["norm"].op.kind == "LayerNorm"


def test_in_training_statistics_are_the_batchs_and_masks_are_drawn_outside():
    torch.manual_seed(0)
    module, x = small(nn.ReLU()).train(), torch.rand(3, 3, 16, 21)
    module[6].p = 0.25
    graph = costmodel.from_torch(module, x)
    kinds = {name: node.op.kind for name, node in graph.nodes.items()}
    assert (kinds["1.bn"], kinds["6"], kinds["6_mask"]) == ("TrainingBatchNorm", "Mul", "Input")
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    kept = np.where(np.random.default_rng(0).random((3, 16)) > 0.25, 1 / 0.75, 0).astype("float32")
    (ours,) = execute(graph, [x.numpy(), kept], weights(graph, module))
    with torch.no_grad():
        dropped = functional.softmax(module[7](module[:6](x) * torch.from_numpy(kept)), -1)
    np.testing.assert_allclose(ours, dropped, rtol=1e-4, atol=1e-6)


def test_attention_in_training_drops_shares():
    with torch.device("meta"):
        module, words = Tokens().train(), torch.zeros(2, 8, dtype=torch.long)
    graph = costmodel.from_torch(module, words)
    eval_ = costmodel.from_torch(module.eval(), words)
    assert (graph.parameters, graph.macs) == (eval_.parameters, eval_.macs)
    assert "Attention" not in {node.op.kind for node in graph.nodes.values()}


class Decoder(nn.Module):
    """Maps made larger, normalised in groups, shuffled, rolled, padded and reduced."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.norm = nn.GroupNorm(3, 6)
        self.each = nn.InstanceNorm2d(6)

    def forward(self, x):
        y = self.each(self.norm(self.up(x))).roll((1, -2), (2, 3))
        y = functional.interpolate(y, scale_factor=2, mode="bilinear") + functional.interpolate(y, scale_factor=2)
        y = functional.pixel_shuffle(functional.pad(y, (1, 1, 0, 2), mode="reflect").repeat(1, 2, 1, 1), 2)
        turned = y.roll(1, 3)
        y = torch.where(y > turned, y, turned.square().clamp(1, 2)).exp().sqrt().sum(dim=1, keepdim=True)
        return torch.stack(y.flatten(2).transpose(1, 2).softmax(1).split(40, dim=1)[:2]), y.amax((2, 3))


def test_maps_of_a_decoder_have_torchs_shapes_and_values():
    torch.manual_seed(0)
    module, x = Decoder().eval(), torch.rand(2, 8, 5, 7)
    graph = costmodel.from_torch(module, x)
    assert 2 * graph.macs == flops(module, x)
    results = execute(graph, [x.numpy()], weights(graph, module))
    with torch.no_grad():
        for ours, theirs in zip(results, module(x), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-5)


def written_part(x):
    x = x + 1
    x[:, 0] = x[:, 1]
    return x


def unknown_function(x):
    return torch.special.i0(x) + 1


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x if x.sum() > 0 else -x, ["cannot trace it", "data-dependent", "test_torch.py, line"]),
        (lambda x: x @ x.flatten(), ["cannot trace it: RuntimeError", "test_torch.py, line"]),
        (unknown_function, ["Function: special_i0 (aten.special_i0.default; ", "test_torch.py, line", "is not known"]),
        (written_part, ["writes into a part of a map", "unknown='skip' leaves it out"]),
        (lambda x: x.nonzero(), ["nonzero"]),
        (lambda _: 3, ["none of its outputs follows from its inputs"]),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(function, said):
    with pytest.raises(CostModelError) as error:
        costmodel.from_torch(Function(function), torch.zeros(1, 3, 4, 4))
    assert all(part in str(error.value) for part in said), error.value


def test_what_is_not_known_can_be_left_out():
    graph = costmodel.from_torch(Function(unknown_function), torch.zeros(1, 3, 4, 4), unknown="skip")
    assert list(graph.nodes) == ["x", "conv", "special_i0", "add"]
    assert graph.notes == ("left out 1 operator that is not known: special_i0 (1); all totals are lower bounds",)
    assert graph.macs == 9 * 16


def test_only_modules_are_read():
    with pytest.raises(CostModelError, match="expected a torch module, such as"):
        costmodel.from_torch(3)
    with pytest.raises(CostModelError, match="unknown must be one of error, skip, not 'ignore'"):
        costmodel.from_torch(nn.ReLU(), torch.zeros(3), unknown="ignore")


def test_a_half_is_half_as_wide():
    module = nn.Linear(4, 4).half()
    graph = costmodel.from_torch(module, torch.zeros(1, 4, dtype=torch.float16))
    assert {row["bits"] for row in profile(graph).tensors.rows()} == {16}


# Two ways in: the zoo's networks, and torchvision's of the same names.
PAIRS = {
    "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50", "densenet121": "densenet121",
    "densenet169": "densenet169", "densenet201": "densenet201", "squeezenet": "squeezenet1_0",
    "squeezenet_v1_1": "squeezenet1_1", "vgg16": "vgg16", "vgg19": "vgg19", "mobilenet_v2": "mobilenet_v2",
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_zoo_is_torchvision_layer_by_layer(name):
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed", exc_type=Exception)
    with torch.device("meta"):
        module = models.get_model(PAIRS[name]).eval()
        graph = costmodel.from_torch(module, torch.zeros(1, 3, 224, 224))

    def rows(network):
        nodes = [node for node in network.nodes.values() if node.parameters]
        return [(node.op.kind, node.parameters, node.op.work(*node.input_shapes).macs) for node in nodes]

    assert sorted(rows(graph)) == sorted(rows(costmodel.network(name, size=224)))
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
