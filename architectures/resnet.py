"""ResNet: Deep Residual Learning for Image Recognition, 2016, table 1."""

from collections.abc import Callable

from costmodel.graph import Tensor, block
from costmodel.ops import Add, BatchNorm, Conv, Flatten, GlobalAveragePool, Input, Linear, MaxPool, Relu, Softmax
from costmodel.zoo import architecture, scaled

# channels of conv2_x to conv5_x
CHANNELS = [64, 128, 256, 512]

Block = Callable[[Tensor, int, int], Tensor]


@architecture(params="11.7 M", macs="1.8 G", source="He et al. 2016, table 1, with option B; parameters: torchvision")
def resnet18(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """ResNet-18: stages of 2, 2, 2, 2 basic blocks."""
    return resnet(basic, [2, 2, 2, 2], size, classes, width)


@architecture(params="21.8 M", source="He et al. 2016, table 1, with option B; parameters: torchvision")
def resnet34(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """ResNet-34: stages of 3, 4, 6, 3 basic blocks."""
    return resnet(basic, [3, 4, 6, 3], size, classes, width)


@architecture(params="25.6 M", macs="4.1 G", source="He et al. 2016, table 1; stride in the 3x3; figures: torchvision")
def resnet50(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """ResNet-50: stages of 3, 4, 6, 3 bottleneck blocks."""
    return resnet(bottleneck, [3, 4, 6, 3], size, classes, width)


def resnet(unit: Block, repeats: list[int], size: int, classes: int, width: float) -> Tensor:
    """Stem, four stages, global mean, one dense layer."""
    x = Input((1, 3, size, size))()
    with block("conv1"):
        x = convolution(x, scaled(64, width), kernel=7, stride=2, name="conv")
        x = Relu()(x, name="relu")
        x = MaxPool(kernel=3, stride=2, pads=1)(x, name="max_pool")
    for stage, (repeat, channels) in enumerate(zip(repeats, CHANNELS, strict=True), start=2):
        for index in range(repeat):
            with block(f"conv{stage}_{index + 1}"):
                x = unit(x, scaled(channels, width), 2 if index == 0 and stage > 2 else 1)
    with block("head"):
        x = Flatten()(GlobalAveragePool()(x, name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def basic(x: Tensor, channels: int, stride: int) -> Tensor:
    """Two 3x3 convolutions beside a shortcut."""
    y = Relu()(convolution(x, channels, kernel=3, stride=stride, name="conv1"), name="relu1")
    y = convolution(y, channels, kernel=3, name="conv2")
    return residual(x, y, stride)


def bottleneck(x: Tensor, channels: int, stride: int) -> Tensor:
    """1x1, 3x3 and 1x1 convolutions, the last with four times the channels, beside a shortcut."""
    y = Relu()(convolution(x, channels, kernel=1, name="conv1"), name="relu1")
    y = Relu()(convolution(y, channels, kernel=3, stride=stride, name="conv2"), name="relu2")
    y = convolution(y, 4 * channels, kernel=1, name="conv3")
    return residual(x, y, stride)


def residual(x: Tensor, y: Tensor, stride: int) -> Tensor:
    """relu(x + y), with x projected where its shape is another."""
    if x.shape != y.shape:
        x = convolution(x, y.shape[1], kernel=1, stride=stride, name="shortcut")
    return Relu()(Add()(x, y, name="add"), name="relu")


def convolution(x: Tensor, filters: int, *, kernel: int, name: str, stride: int = 1) -> Tensor:
    """A convolution that keeps the size up to its stride, and its batch norm."""
    x = Conv(filters, kernel, stride=stride, pads=kernel // 2, bias=False)(x, name=name)
    return BatchNorm()(x, name=f"{name}_bn")
