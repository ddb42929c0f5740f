"""MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018, table 2."""

from costmodel.graph import Tensor, block
from costmodel.ops import Add, BatchNorm, Conv, Flatten, GlobalAveragePool, Input, Linear, Relu6, Softmax
from costmodel.zoo import architecture

STEM, HEAD = 32, 1280

# expansion t, channels c, repeats n, stride s of the first: the bottleneck rows of table 2; t of the first row stays 1
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


@architecture(params="3.5 M", macs="301 M", source="Sandler et al. 2018, table 2; figures: torchvision")
def mobilenet_v2(size: int = 224, classes: int = 1000, width: float = 1.0, expansion: int = 6) -> Tensor:
    """MobileNetV2: seventeen inverted residual blocks; expansion is the t of all but the first."""
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = activated(x, divisible(STEM * width), "conv", kernel=3, stride=2)
    for stage, (t, channels, repeats, stride) in enumerate(STAGES, start=1):
        for index in range(repeats):
            with block(f"stage{stage}.{index}"):
                x = bottleneck(x, divisible(channels * width), expansion if t > 1 else t, stride if index == 0 else 1)
    with block("head"):
        x = activated(x, divisible(HEAD * max(1.0, width)), "conv", kernel=1)
        x = Flatten()(GlobalAveragePool()(x, name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def bottleneck(x: Tensor, filters: int, expansion: int, stride: int) -> Tensor:
    """Expand by t, filter each channel, project without activation; a shortcut where the shape stays."""
    channels = x.shape[1]
    y = activated(x, expansion * channels, "expand", kernel=1) if expansion > 1 else x
    y = activated(y, expansion * channels, "dw", kernel=3, stride=stride, groups=expansion * channels)
    y = normalized(y, filters, "project", kernel=1)
    return Add()(x, y, name="add") if x.shape == y.shape else y


def normalized(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution and batch norm."""
    x = Conv(filters, kernel, stride=stride, pads=kernel // 2, groups=groups, bias=False)(x, name=name)
    return BatchNorm()(x, name=f"{name}_bn")


def activated(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution, batch norm, ReLU6."""
    x = normalized(x, filters, name, kernel=kernel, stride=stride, groups=groups)
    return Relu6()(x, name=f"{name}_relu")


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, but never more than 10 % less; source: the authors' released code."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
