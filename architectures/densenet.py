"""DenseNet: Densely Connected Convolutional Networks, 2017, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import (
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    MaxPool,
    Relu,
    Softmax,
)
from costmodel.zoo import architecture

GROWTH = 32  # k, the channels that every layer adds
SQUEEZE = 4  # a layer's 1x1 convolution has 4k filters

# layers of the four dense blocks
REPEATS = {121: [6, 12, 24, 16], 169: [6, 12, 32, 32], 201: [6, 12, 48, 32]}


@architecture(params="8.0 M", macs="2.8 G", source="Huang et al. 2017, table 1; figures: torchvision")
def densenet121(size: int = 224, classes: int = 1000) -> Tensor:
    """DenseNet-121: dense blocks of 6, 12, 24 and 16 layers."""
    return densenet(REPEATS[121], size, classes)


@architecture(params="14.1 M", macs="3.4 G", source="Huang et al. 2017, table 1; figures: torchvision")
def densenet169(size: int = 224, classes: int = 1000) -> Tensor:
    """DenseNet-169: dense blocks of 6, 12, 32 and 32 layers."""
    return densenet(REPEATS[169], size, classes)


@architecture(params="20.0 M", macs="4.3 G", source="Huang et al. 2017, table 1; figures: torchvision")
def densenet201(size: int = 224, classes: int = 1000) -> Tensor:
    """DenseNet-201: dense blocks of 6, 12, 48 and 32 layers."""
    return densenet(REPEATS[201], size, classes)


def densenet(repeats: list[int], size: int, classes: int) -> Tensor:
    """Stem, dense blocks with halving transitions between them, global mean, one dense layer."""
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = Conv(2 * GROWTH, kernel=7, stride=2, pads=3, bias=False)(x, name="conv")
        x = Relu()(BatchNorm()(x, name="bn"), name="relu")
        x = MaxPool(kernel=3, stride=2, pads=1)(x, name="max_pool")
    for number, repeat in enumerate(repeats, start=1):
        for index in range(1, repeat + 1):
            with block(f"dense{number}.{index}"):
                y = preactivated(x, SQUEEZE * GROWTH, "1", kernel=1)
                y = preactivated(y, GROWTH, "2", kernel=3)
                x = Concat()(x, y, name="concat")
        if number < len(repeats):
            with block(f"transition{number}"):
                x = preactivated(x, x.shape[1] // 2, "", kernel=1)
                x = AveragePool(kernel=2)(x, name="pool")
    with block("head"):
        x = Relu()(BatchNorm()(x, name="bn"), name="relu")
        x = Flatten()(GlobalAveragePool()(x, name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def preactivated(x: Tensor, filters: int, suffix: str, *, kernel: int) -> Tensor:
    """Batch norm, ReLU, convolution."""
    x = Relu()(BatchNorm()(x, name=f"bn{suffix}"), name=f"relu{suffix}")
    return Conv(filters, kernel, pads=kernel // 2, bias=False)(x, name=f"conv{suffix}")
