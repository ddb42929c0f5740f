"""MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018, table 2; and two variants of a later report.

The report, "MobileNetV2: The Same but Better", tells three kinds of blocks apart: ``downsample`` has stride 2,
``special`` keeps the size but changes the channels, ``identity`` keeps both and so has a shortcut.
"""

from costmodel.graph import Tensor, block
from costmodel.ops import Add, BatchNorm, Conv, Flatten, GlobalAveragePool, Input, Linear, Relu6, Softmax
from costmodel.zoo import architecture

Rows = list[tuple[int, str, int, int, int, int]]

STEM, HEAD = 32, 1280

# expansion t, channels c, repeats n, stride s of the first: the bottleneck rows of table 2; t of the first row stays 1
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]

# level, operator, expansion t, channels c, repeats n, stride s: the rows of the report's tables 2 and 3
TABLE_2: Rows = [
    (1, "special", 1, 16, 1, 1),
    (2, "downsample", 6, 24, 1, 2), (2, "identity", 6, 24, 1, 1),
    (3, "downsample", 6, 32, 1, 2), (3, "identity", 6, 32, 3, 1),
    (4, "downsample", 6, 64, 1, 2), (4, "identity", 6, 64, 3, 1),
    (5, "special", 6, 96, 1, 1), (5, "identity", 6, 96, 2, 1),
    (6, "downsample", 6, 160, 1, 2), (6, "identity", 6, 160, 2, 1),
    (7, "special", 6, 320, 1, 1),
]  # fmt: skip
TABLE_3: Rows = [
    (1, "special", 6, 64, 1, 1), (1, "identity", 6, 64, 3, 1),
    (2, "downsample", 6, 96, 1, 2), (2, "identity", 6, 96, 2, 1),
    (3, "special", 6, 160, 1, 1), (3, "identity", 6, 160, 2, 1),
]  # fmt: skip
REDUCED_HEAD = 256


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


@architecture(source="MobileNetV2: The Same but Better, table 2; its 4278048 parameters follow from no rule")
def mobilenet_v2_report(size: int = 224, classes: int = 1000) -> Tensor:
    """MobileNetV2 with the eighteen blocks of the report's table 2, one more in level 3 than the original."""
    return levels(TABLE_2, HEAD, size, classes)


@architecture(source="MobileNetV2: The Same but Better, table 3; its 709120 parameters follow from no rule")
def mobilenet_v2_reduced(size: int = 32, classes: int = 10) -> Tensor:
    """The report's reduced MobileNetV2 for the 32x32 images of CIFAR-10."""
    return levels(TABLE_3, REDUCED_HEAD, size, classes)


def levels(rows: Rows, head: int, size: int, classes: int) -> Tensor:
    """Tail, the rows' blocks, head."""
    x = Input((1, 3, size, size))()
    with block("tail"):
        x = activated(x, STEM, "conv", kernel=3, stride=2)
    for level, operator, expansion, channels, repeats, stride in rows:
        for index in range(repeats):
            with block(f"level{level}.{operator}{index}"):
                x = bottleneck(x, channels, expansion, stride)
    with block("head"):
        x = activated(x, head, "conv", kernel=1)
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
