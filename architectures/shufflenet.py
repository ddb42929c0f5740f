"""ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices, 2018, table 1."""

from costmodel.errors import CostModelError
from costmodel.graph import Tensor, block
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    MaxPool,
    Mul,
    Relu,
    Sigmoid,
    Softmax,
)
from costmodel.zoo import architecture

# groups -> channels of stages 2, 3 and 4 at scale 1
CHANNELS = {1: (144, 288, 576), 2: (200, 400, 800), 3: (240, 480, 960), 4: (272, 544, 1088), 8: (384, 768, 1536)}

# scale -> filters of conv1; eight groups need a number they divide, 16 where it would be 12 (as released for 0.5x)
STEM = {0.25: 12, 0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}

REPEATS = (3, 7, 3)  # units of stride 1 after the one of stride 2
REDUCTION = 16  # of the squeeze-and-excitation


@architecture(
    params="1.9 M", macs="137 M", source="Zhang et al. 2018, table 1, g = 3; parameters worked out from its rows"
)
def shufflenet(
    size: int = 224, classes: int = 1000, groups: int = 3, scale: float = 1.0, squeeze_excite: bool = False
) -> Tensor:
    """ShuffleNet v1: grouped 1x1 convolutions with shuffled channels; groups 1, 2, 3, 4, 8, scale 0.25 to 2."""
    if groups not in CHANNELS:
        raise CostModelError(f"network 'shufflenet': groups must be one of 1, 2, 3, 4, 8, not {groups}")
    if scale not in STEM:
        raise CostModelError(f"network 'shufflenet': scale must be one of 0.25, 0.5, 1.0, 1.5, 2.0, not {scale}")
    x = Input((1, 3, size, size))()
    with block("stem"):
        filters = STEM[scale] if groups < 8 else max(16, STEM[scale])
        x = normalized(x, filters, "conv1", kernel=3, stride=2)
        x = MaxPool(kernel=3, stride=2, pads=1)(Relu()(x, name="relu"), name="max_pool")
    for stage, (channels, repeats) in enumerate(zip(CHANNELS[groups], REPEATS, strict=True), start=2):
        for index in range(repeats + 1):
            with block(f"stage{stage}.{index}"):
                first = 1 if (stage, index) == (2, 0) else groups  # too few input channels to group
                x = unit(x, int(channels * scale), 2 if index == 0 else 1, first, groups)
                x = excited(x) if squeeze_excite else x
    with block("head"):
        x = Flatten()(GlobalAveragePool()(x, name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def unit(x: Tensor, channels: int, stride: int, first_groups: int, groups: int) -> Tensor:
    """Figure 2 (b) and (c): a bottleneck beside a shortcut, added at stride 1 and joined to a mean pool at stride 2."""
    made = channels - x.shape[1] if stride == 2 else channels
    inner = -(-channels // 4 // groups) * groups  # a quarter, rounded up to what the groups divide
    y = Relu()(normalized(x, inner, "gconv1", kernel=1, groups=first_groups), name="relu1")
    y = ChannelShuffle(groups)(y, name="shuffle") if groups > 1 else y
    y = normalized(y, inner, "dwconv", kernel=3, stride=stride, groups=inner)
    y = normalized(y, made, "gconv2", kernel=1, groups=groups)
    if stride == 1:
        return Relu()(Add()(x, y, name="add"), name="relu2")
    x = AveragePool(kernel=3, stride=2, pads=1)(x, name="pool")
    return Relu()(Concat()(x, y, name="concat"), name="relu2")


def excited(x: Tensor) -> Tensor:
    """Squeeze and excitation: each channel times a weight worked out from the means of all."""
    channels = x.shape[1]
    y = GlobalAveragePool()(x, name="squeeze")
    y = Relu()(Conv(channels // REDUCTION, kernel=1)(y, name="se_reduce"), name="se_relu")
    y = Sigmoid()(Conv(channels, kernel=1)(y, name="se_expand"), name="se_sigmoid")
    return Mul()(x, y, name="excite")


def normalized(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution and batch norm."""
    x = Conv(filters, kernel, stride=stride, pads=kernel // 2, groups=groups, bias=False)(x, name=name)
    return BatchNorm()(x, name=f"{name}_bn")
