"""Networks read from torch: torch's own counts and results. Without torch nothing is run: see CONTRIBUTING.md."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import costmodel  # noqa: E402
from costmodel.counting.tools import CONVENTIONS  # noqa: E402
from costmodel.errors import CostModelError  # noqa: E402
from costmodel.execute import execute  # noqa: E402
from costmodel.parity import accounts  # noqa: E402
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


class Chosen(nn.Module):
    """Functions of single values, places and choices."""

    def forward(self, x, theta):
        f = functional
        y = f.celu(x, 0.7) + f.selu(x) + f.threshold(x, 0.1, 0.0) + f.softshrink(x, 0.3)
        y = y + f.hardshrink(x) + x.tan() + x.atan() + x.tanh().asin() + x.sinh() + x.isinf() + x.isnan()
        largest, places = y.topk(3, dim=2)
        placed = y.tanh().scatter_add(2, places, largest) + y.scatter(2, places, largest)
        warped = f.grid_sample(placed, f.affine_grid(theta, [2, 3, 4, 6], align_corners=True), padding_mode="border")
        ordered, _ = warped.cumprod(1).sort(dim=1, descending=True)
        bits = f.one_hot(places, 8) | (places.unsqueeze(-1) ^ places[..., :1, None])
        folded = f.fold(y.reshape(2, 12, -1)[:, :, :10], (6, 3), kernel_size=2, stride=1)
        return ordered, bits, y.gather(2, places), folded, largest


def test_choices_and_functions_of_single_values_are_torchs():
    torch.manual_seed(0)
    x, theta = torch.rand(2, 3, 8, 7) * 3 - 1.5, torch.rand(2, 2, 3)
    graph = costmodel.from_torch(Chosen(), x, theta)
    for ours, theirs in zip(execute(graph, [x.numpy(), theta.numpy()]), Chosen()(x, theta), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# Recurrent layers: ONNX has torch's gates in another order, and the weights of all directions in one.
GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}
GATES |= {f"{kind}Cell": order for kind, order in GATES.items()}


def walked(graph, module, prefix=""):
    """The weights of a recurrent module for its layers, in order, whatever they are called."""
    order, made = GATES[type(module).__name__], {}
    layers = [name for name, node in graph.nodes.items() if node.op.kind in GATES and name.startswith(prefix)]
    ways = ["", "_reverse"][: 1 + getattr(module, "bidirectional", False)]

    def gates(part, suffix):
        value = getattr(module, f"{part}{suffix}").detach().numpy()
        return value.reshape(len(order), module.hidden_size, -1)[order].reshape(value.shape)

    for number, name in enumerate(layers):
        ends = [f"_l{number}{way}" if hasattr(module, "num_layers") else "" for way in ways]
        made[name] = {
            "weight": np.stack([gates("weight_ih", end) for end in ends]),
            "recurrence": np.stack([gates("weight_hh", end) for end in ends]),
        }
        if module.bias:
            made[name]["bias"] = np.stack(
                [np.concatenate([gates("bias_ih", end), gates("bias_hh", end)]) for end in ends]
            )
    return made


RECURRENT = [
    (nn.LSTM, {}), (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False}),
    (nn.GRU, {}), (nn.GRU, {"num_layers": 2, "batch_first": True}), (nn.GRU, {"bidirectional": True}),
    (nn.RNN, {}), (nn.RNN, {"nonlinearity": "relu", "bidirectional": True, "batch_first": True}),
]  # fmt: skip


@pytest.mark.parametrize("stated", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize(("cls", "told"), RECURRENT, ids=repr)
def test_recurrent_layers_have_torchs_parameters_products_and_results(cls, told, stated):
    torch.manual_seed(0)
    module, (length, n, size, h) = cls(3, 4, **told).eval(), (5, 2, 3, 4)
    x = torch.rand((n, length, size) if told.get("batch_first") else (length, n, size))
    ways, layers = 1 + told.get("bidirectional", False), told.get("num_layers", 1)
    states = [torch.rand(ways * layers, n, h) for _ in range(1 + (cls is nn.LSTM))] if stated else []
    given = (tuple(states) if cls is nn.LSTM else states[0],) if stated else ()
    graph = costmodel.from_torch(module, x, *given)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    gates = len(GATES[cls.__name__])
    products = [gates * h * ((size if layer == 0 else ways * h) + h) for layer in range(layers)]
    assert graph.macs == length * n * ways * sum(products)
    with torch.device("meta"):  # on the CPU the products of an LSTM are not seen
        twin = cls(3, 4, **told)
    assert 2 * graph.macs == flops(twin, x.to("meta"))
    ours = execute(graph, [x.numpy(), *[state.numpy() for state in states]], walked(graph, module))
    with torch.no_grad():
        y, last = module(x, *given)
    for own, other in zip(ours, (y, *(last if cls is nn.LSTM else [last])), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cls", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_are_one_step(cls):
    torch.manual_seed(0)
    module, x, h = cls(3, 4), torch.rand(2, 3), torch.rand(2, 4)
    graph = costmodel.from_torch(module, x, (h, 2 * h) if cls is nn.LSTMCell else h)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    states = [h.numpy(), 2 * h.numpy()][: 1 + (cls is nn.LSTMCell)]
    ours = execute(graph, [x.numpy(), *states], walked(graph, module))
    with torch.no_grad():
        made = module(x, (h, 2 * h) if cls is nn.LSTMCell else h)
    for own, other in zip(ours, made if cls is nn.LSTMCell else [made], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)


class Words(nn.Module):
    """Words, two layers that walk along them from a state of zeros, and what the last word comes to."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 6)
        self.walk = nn.LSTM(6, 8, 2, batch_first=True, dropout=0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, words):
        first = [torch.zeros(2, words.shape[0], 8).to(words.device) for _ in "hc"]
        return self.head(self.walk(self.table(words), first)[0][:, -1])


def test_a_recurrent_layer_in_a_larger_module():
    torch.manual_seed(0)
    module, words = Words().eval(), torch.randint(0, 50, (3, 7))
    graph = costmodel.from_torch(module, words)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert graph.macs == 3 * (7 * 4 * 8 * (6 + 8 + 8 + 8) + 8 * 5)
    walks = {name: node.op for name, node in graph.nodes.items() if node.op.kind == "LSTM"}
    assert list(walks) == ["walk", "walk_2"]
    assert {(op.returns, op.initial_h, op.initial_c) for op in walks.values()} == {(("Y",), "zero", "zero")}
    plain = {
        "table": {"weight": module.table.weight.detach().numpy()},
        "head": {"weight": module.head.weight.detach().numpy(), "bias": module.head.bias.detach().numpy()},
    }
    (ours,) = execute(graph, [words.numpy()], plain | walked(graph, module.walk))
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(words), rtol=1e-4, atol=1e-6)
    trained = costmodel.from_torch(module.train(), words)
    assert [node.op.size for node in trained.nodes.values() if node.op.kind == "Input"] == [(3, 7), (3, 7, 8)]
    assert (trained.parameters, trained.macs) == (graph.parameters, graph.macs)


class Again(nn.Module):
    """A layer that runs twice, from a learned state for all sequences, and a cell that runs three times."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(2, 1, 6))
        self.walk = nn.GRU(6, 6, 2)
        self.cell = nn.RNNCell(6, 6)

    def forward(self, x):
        y, state = self.walk(x, self.first.expand(-1, x.shape[1], -1).contiguous())
        y, _ = self.walk(y, state)
        h = y[0]
        for step in range(3):
            h = self.cell(y[step], h)
        return h


@pytest.mark.parametrize("sequences", [1, 3])
def test_recurrent_layers_that_run_again_have_their_weights_once(sequences):
    module = Again().eval()
    graph = costmodel.from_torch(module, torch.zeros(4, sequences, 6))
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert graph.parameters == profile(graph).layers.total("parameters")
    assert graph.macs == sequences * 12 * 6 * (4 * 2 * 2 * 3 + 3)


def test_what_flop_counter_counts_on_the_cpu_is_remarked():
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(True)
        encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
        for module, operator in ((nn.LSTM(3, 4), "LSTM"), (encoder, "Attention"), (nn.GRU(3, 4), None)):
            x = torch.zeros(2, 5, 16 if module is encoder else 3)
            graph = costmodel.from_torch(module, x)
            (made,) = accounts(graph, [CONVENTIONS["flop_counter"]])
            printed = flops(module, x), flops(module.to("meta"), x.to("meta"))
            assert made.number == printed[1]
            assert list(made.remarks) == [operator] * (printed[0] != printed[1])
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def test_projections_are_refused():
    with pytest.raises(CostModelError, match=r"LSTM: lstm \(aten.lstm.input\): projections \(proj_size\) are not"):
        costmodel.from_torch(nn.LSTM(3, 4, proj_size=2), torch.zeros(5, 2, 3))


def test_a_learned_state_for_each_sequence_is_refused():
    module = Again()
    module.first = nn.Parameter(torch.zeros(2, 3, 6))
    with pytest.raises(CostModelError, match=r"walk \(aten.gru.input; .*\): a learned state for each sequence is not"):
        costmodel.from_torch(module, torch.zeros(4, 3, 6))


# Maps without a batch, which torch takes wherever it takes batches.
SPATIAL = [
    lambda d: getattr(nn, f"Conv{d}d")(4, 6, 3, stride=2, padding=1, groups=2),
    lambda d: getattr(nn, f"Conv{d}d")(4, 6, 3, padding="same", bias=False),
    lambda d: getattr(nn, f"ConvTranspose{d}d")(4, 6, 3, stride=2, output_padding=1),
    lambda d: getattr(nn, f"MaxPool{d}d")(3, 2, ceil_mode=True),
    lambda d: getattr(nn, f"AvgPool{d}d")(2),
    lambda d: getattr(nn, f"AdaptiveAvgPool{d}d")(2),
    lambda d: getattr(nn, f"AdaptiveMaxPool{d}d")(1),
    lambda d: getattr(nn, f"InstanceNorm{d}d")(4),
]  # fmt: skip
UNBATCHED = [(make(d), (4, 8, 6, 4)[: d + 1]) for d in (1, 2, 3) for make in SPATIAL]
UNBATCHED += [
    (nn.Linear(5, 3), (5,)), (nn.Linear(5, 3, bias=False), (5,)), (nn.PReLU(), (5,)), (nn.Softmax(-1), (5,)),
    (nn.PixelShuffle(2), (8, 3, 4)), (nn.PixelUnshuffle(2), (2, 4, 6)), (nn.Unfold(2, stride=2), (3, 4, 6)),
    (nn.Fold((4, 5), 2), (8, 12)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shape"), UNBATCHED, ids=str)
def test_a_map_without_a_batch_costs_what_a_batch_of_one_does(module, shape):
    module, x = nn.Sequential(module).eval(), torch.rand(shape)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    (ours,) = execute(graph, [x.numpy()], weights(graph, module))
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(x), rtol=1e-4, atol=1e-5)

    def work(network):
        return [node.op.work(*node.input_shapes) for node in network.nodes.values() if not node.op.view]

    assert work(graph) == work(costmodel.from_torch(module, x[None]))


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("stated", [False, True], ids=["from zeros", "from a state"])
def test_a_recurrent_layer_without_a_batch(cls, stated):
    torch.manual_seed(0)
    module, x, state = cls(3, 4).eval(), torch.rand(5, 3), torch.rand(1, 4)
    states = [state, 2 * state][: 1 + (cls is nn.LSTM)] if stated else []
    given = (tuple(states) if cls is nn.LSTM else state,) if stated else ()
    graph = costmodel.from_torch(module, x, *given)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert graph.macs == costmodel.from_torch(module, x[:, None]).macs
    ours = execute(graph, [x.numpy(), *[part.numpy() for part in states]], walked(graph, module))
    with torch.no_grad():
        y, last = module(x, *given)
    for own, other in zip(ours, (y, *(last if cls is nn.LSTM else [last])), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)


def test_attention_without_a_batch():
    with torch.device("meta"):
        module, x = nn.MultiheadAttention(8, 2).eval(), torch.zeros(5, 8)
    graph = costmodel.from_torch(module, x, x, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x, x, x)
    assert {tensor.shape for tensor in graph.outputs} == {tuple(made.shape) for made in module(x, x, x)}


def held(graph, values):
    """The numbers that layers hold, which are no weights of a module, in the order of the layers."""
    given = iter(values)
    made = {
        name: {
            weight.name: np.reshape(next(given), weight.shape).astype(weight.dtype or "float32")
            for weight in node.op.weights(*node.input_shapes)
        }
        for name, node in graph.nodes.items()
    }
    assert next(given, None) is None
    return made


def patches(x):
    """With a kernel of 3x2, steps of 2 and 1, columns that are two apart, and a row of padding above and below."""
    return functional.unfold(x[:, None], (3, 2), dilation=(1, 2), padding=(1, 0), stride=(2, 1))


LOGS = {"log1p": 1, "log2": 1 / np.log(2), "log10": 1 / np.log(10)}
COMPOSED = [
    *[(lambda x, name=name: getattr(x.abs(), name)(), [number]) for name, number in LOGS.items()],
    (torch.expm1, [1]), (torch.exp2, [2]), (functional.logsigmoid, []),
    (lambda x: torch.addcmul(x, x, x, value=0.5), [0.5]), (lambda x: torch.addcdiv(x, x.square(), x.abs()), []),
    (lambda x: x.lerp(x.square(), 0.3), [0.3]), (lambda x: 3 * x // 2, [3, 2]),
    (lambda x: x.var(-1), [1 / 7]), (lambda x: x.std((0, 2), correction=0), [1 / 16]),
    (lambda x: torch.cat(torch.var_mean(x, (1, 2), keepdim=True)), [1 / 47]),
    (lambda x: functional.cosine_similarity(x, x.square(), dim=1), []),
    (lambda x: x.flip(1, 2), [range(6)[::-1], range(8)[::-1]]), (lambda x: x.repeat_interleave(2, dim=1), []),
    (lambda x: x.repeat_interleave(3), []), (lambda x: x.mT.exp().adjoint(), []), (lambda x: x.tile(2, 1), []),
    (lambda x: x.unfold(1, 4, 2), [[range(4), range(2, 6)]]), (lambda x: x.unfold(2, 4, 4), []),
    (lambda x: x.unfold(2, 3, 2), [[range(3), range(2, 5), range(4, 7)]]),
    (lambda x: x.clip(min=x.flatten()[0], max=x.mean(1, keepdim=True)), []),
    (lambda x: torch.cat(torch.tensor_split(x, 4, dim=1)[::-1], 1), []), (lambda x: torch.outer(x[0, 0], x[0, 1]), []),
    (lambda x: torch.mv(x[0], x[0, 0]), []), (lambda x: torch.dot(x[0, 0], x[0, 1]), []),
    (lambda x: torch.hstack([x, x]), []), (lambda x: torch.hstack([x[0, 0], x[0, 1]]), []),
    (lambda x: x.argsort(1), []),
    (lambda x: torch.stack(torch.broadcast_tensors(x, x[:1])), []), (lambda x: x.multiply(x).negative().absolute(), []),
    (patches, [[range(0, 6, 2), range(1, 7, 2), range(2, 8, 2)], [range(6), range(2, 8)]]),
    (lambda x: functional.unfold(x, 2, stride=2), []), (lambda x: functional.unfold(x[:, None], 2, stride=2), []),
    (lambda x: functional.interpolate(x, size=5, mode="nearest-exact"), []),
    (lambda x: functional.interpolate(x, size=13, mode="nearest-exact"), []),
    (lambda x: functional.pixel_unshuffle(x, 2), []),
    (lambda x: functional.pixel_shuffle(x.reshape(1, 2, 4, 3, 4), 2), []),
    (lambda x: functional.max_unpool1d(*functional.max_pool1d(x[:, :1], 2, return_indices=True), 2)[:1], []),
    (lambda x: functional.adaptive_max_pool1d(x, 4, return_indices=True)[0], []),
    (lambda x: functional.adaptive_avg_pool2d(x[:, :, :1, None], 3), []), (lambda x: x[0].T.exp(), []),
    (lambda x: functional.avg_pool2d(x, 2, divisor_override=3), [4 / 3]),
    (lambda x: functional.threshold(x, 0.5, 20), [0.5, 20]), (functional.rrelu, []),
    (lambda x: (x > x[:1]).any(-1), []), (lambda x: (x < x[:1] + x).all(1, keepdim=True), []), (lambda x: x.any(2), []),
    (lambda x: functional.pairwise_distance(x, x.square()), [1e-6]),
    (lambda x: functional.pairwise_distance(x, x.square(), p=1), [1e-6]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "numbers"), COMPOSED)
def test_functions_that_are_several_of_onnxs(function, numbers):
    class Alone(nn.Module):
        def forward(self, x):
            return function(x)

    x = torch.rand(2, 6, 8, generator=torch.manual_seed(0)) * 4 - 2
    graph = costmodel.from_torch(Alone(), x)
    (ours,) = execute(graph, [x.numpy()], held(graph, numbers))
    np.testing.assert_allclose(ours, function(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_norms_without_weights_and_by_running_statistics(training):
    torch.manual_seed(0)
    layers = [
        nn.BatchNorm2d(4, affine=False, eps=0.1), nn.InstanceNorm2d(4, track_running_stats=True),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    ]  # fmt: skip
    module, x = nn.Sequential(*layers).train(training), torch.rand(3, 4, 5, 6)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == 2 * 4
    scales = lambda norm: 1 / np.sqrt(norm.running_var.numpy() + norm.eps)  # noqa: E731
    made = {}
    for name, node in graph.nodes.items():
        own = module[int(name[0])] if node.op.weights(*node.input_shapes) else None
        by_kind = {"Sub": lambda norm: norm.running_mean.numpy(), "Mul": scales}
        made[name] = {
            weight.name: by_kind[node.op.kind](own).reshape(weight.shape)
            if node.op.kind in by_kind
            else {
                "gamma": own.weight, "beta": own.bias, "mean": own.running_mean, "variance": own.running_var,
            }[weight.name].detach().numpy()
            for weight in node.op.weights(*node.input_shapes)
        }  # fmt: skip
    (ours,) = execute(graph, [x.numpy()], made)
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_of_rows_of_a_table(mode):
    torch.manual_seed(0)
    module, words = nn.Sequential(nn.EmbeddingBag(20, 6, mode=mode)), torch.randint(0, 20, (2, 4))
    graph = costmodel.from_torch(module, words)
    assert graph.parameters == 20 * 6
    table = {node: {"weight": module[0].weight.detach().numpy()} for node in graph.nodes if graph.nodes[node].weights}
    (ours,) = execute(graph, [words.numpy()], table)
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(words), rtol=1e-5)
    with pytest.raises(CostModelError, match="bags by offsets have sizes that depend on values"):
        costmodel.from_torch(module[0], words.flatten(), torch.tensor([0, 3]))


def test_a_bilinear_layer_by_hand():
    module = nn.Bilinear(4, 5, 3)
    graph = costmodel.from_torch(module, torch.zeros(2, 7, 4), torch.zeros(2, 7, 5))
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert graph.macs == 14 * (4 * 3 * 5 + 3 * 5)
    assert [tensor.shape for tensor in graph.outputs] == [(2, 7, 3)]


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_weight_with_a_spectral_norm_is_a_weight(norm):
    module, x = norm(nn.Conv1d(4, 8, 3)).eval(), torch.zeros(2, 4, 9)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert [node.op.kind for node in graph.nodes.values()] == ["Input", "Conv"]
    assert graph.macs == 2 * 7 * 8 * 4 * 3


class Masked(nn.Module):
    """Weights of which a mask keeps a part, and a layer whose map is learned."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(6, 4, 3, 3))
        self.matrix = nn.Linear(6, 5)
        self.register_buffer("mask", torch.ones(6, 4, 3, 3))
        self.register_buffer("below", torch.ones(5, 6).tril())

    def forward(self, x):
        y = functional.conv2d(x, self.kernel * self.mask, padding=1).mean((2, 3))
        return functional.linear(y, self.matrix.weight * self.below, self.matrix.bias)


def test_weights_under_a_mask_are_weights():
    module, x = Masked().eval(), torch.zeros(2, 4, 5, 7)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    assert [node.op.kind for node in graph.nodes.values() if node.weights] == ["Conv", "Linear"]


class Queries(nn.Module):
    """A decoder that reads learned queries, the same for all images, as DETR and Perceiver do."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Embedding(4, 8)
        self.norm = nn.LayerNorm(8)
        layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 2)

    def forward(self, x):
        queries = self.norm(self.queries.weight)[None].repeat(len(x), 1, 1)
        return self.decoder(torch.zeros_like(queries) + queries, x)


class Table(nn.Module):
    """Learned queries that attention projects without anything before it."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(4, 8), requires_grad=False)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        queries = torch.zeros_like(self.queries)[None].repeat(len(x), 1, 1) + self.queries
        return queries + self.attention(self.queries[None].repeat(len(x), 1, 1), x, x, need_weights=False)[0]


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("kind", [Queries, Table])
def test_queries_that_are_learned_flow_and_count_once(kind, images):
    with torch.device("meta"):
        module, x = kind().eval(), torch.zeros(images, 6, 8)
    graph = costmodel.from_torch(module, x)
    assert graph.parameters == sum(weight.numel() for weight in module.parameters())
    assert 2 * graph.macs == flops(module, x)
    assert [tensor.shape for tensor in graph.outputs] == [tuple(module(x).shape)]


def test_a_parameter_of_one_value_is_noted():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones([]))
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.PReLU())

        def forward(self, x):
            return x + self.scale.exp() * self.layers(x)

    graph = costmodel.from_torch(Scaled(), torch.zeros(2, 4))
    assert graph.parameters == 4 * 4 + 4 + 1
    assert graph.notes == ("1 parameter is held as a buffer of one value and not counted, 1 values: scale",)


def test_several_factors_and_places_along_neighbouring_axes():
    class Chained(nn.Module):
        def forward(self, x, y, z):
            rows, columns = torch.tril_indices(4, 4, -1, device=x.device)
            pairs = torch.bmm(x, x.transpose(1, 2))[:, rows, columns]
            return torch.einsum("bij, bjk, bkl -> bil", x, y, z), pairs, x[0].T @ x[0]

    x, y, z = torch.rand(2, 4, 3), torch.rand(2, 3, 5), torch.rand(2, 5, 6)
    graph = costmodel.from_torch(Chained(), x, y, z)
    assert 2 * graph.macs == flops(Chained(), x, y, z)
    assert [tensor.shape for tensor in graph.outputs] == [tuple(made.shape) for made in Chained()(x, y, z)]


class Outer(nn.Module):
    """Equations that sum over nothing, of maps and of a weight, as selective scans have them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 5))

    def forward(self, x, y):
        return (
            torch.einsum("ba,bc->cab", x, y),
            torch.einsum("ba,ac->bac", x, self.weight),
            torch.einsum("ba,ba,bc->bac", x, x, y),
        )


def test_an_equation_without_a_sum_has_no_macs():
    torch.manual_seed(0)
    x, y = torch.rand(2, 3), torch.rand(2, 5)
    graph = costmodel.from_torch(Outer(), x, y)
    assert 2 * graph.macs == flops(Outer(), x, y) == 0
    assert graph.parameters == 15
    ours = execute(graph, [x.numpy(), y.numpy()], held(graph, [np.ones((3, 5))]))
    with torch.no_grad():
        for own, other in zip(ours, Outer()(x, y), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-5)


def test_keys_that_are_repeated_for_their_heads():
    class Grouped(nn.Module):
        def forward(self, q, kv):
            k, v = kv.repeat_interleave(2, dim=1).chunk(2, -1)
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    torch.manual_seed(0)
    q, kv = torch.rand(2, 4, 6, 8), torch.rand(2, 2, 6, 16)
    graph = costmodel.from_torch(Grouped(), q, kv)
    assert 2 * graph.macs == flops(Grouped(), q.to("meta"), kv.to("meta"))
    (ours,) = execute(graph, [q.numpy(), kv.numpy()])
    np.testing.assert_allclose(ours, Grouped()(q, kv), rtol=1e-4, atol=1e-6)


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
