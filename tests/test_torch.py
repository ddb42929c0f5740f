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
from costmodel.ops import BatchNorm, Conv, Linear, Reshape  # noqa: E402

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
    assert graph.parameters == sum(weight.numel() for weight in module.parameters()) + 8 * isinstance(
        activation, nn.PReLU
    )
    assert 2 * graph.macs == flops(module, x)
    (ours,) = execute(graph, [x.numpy()], weights(graph, module))
    with torch.no_grad():
        np.testing.assert_allclose(ours, module(x), rtol=1e-4, atol=1e-6)
