"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import BatchNorm, Conv, Flatten, GlobalAveragePool, Input, Linear, Relu, Softmax
from costmodel.zoo import architecture, scaled

STEM = 32

# (filters, stride) of the separable layers; the last is printed as stride 2, which its output size contradicts
LAYERS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


@architecture(params="4.2 M", macs="569 M", source="Howard et al. 2017, tables 1 and 4")
def mobilenet_v1(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """MobileNet: a convolution and thirteen depthwise-separable layers; width is the paper's alpha."""
    return mobilenet(size, classes, width, separable=True)


@architecture(params="29.3 M", source="Howard et al. 2017, table 4; its 4866 M MACs leave the classifier out")
def conv_mobilenet(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """Conv MobileNet: MobileNet with dense 3x3 convolutions in the place of separable ones."""
    return mobilenet(size, classes, width, separable=False)


def mobilenet(size: int, classes: int, width: float, *, separable: bool) -> Tensor:
    """Stem, thirteen layers, global mean, one dense layer."""
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = convolution(x, scaled(STEM, width), "conv", kernel=3, stride=2)
    for number, (filters, stride) in enumerate(LAYERS, start=1):
        with block(f"layer{number}"):
            if separable:
                channels = x.shape[1]
                x = convolution(x, channels, "dw", kernel=3, stride=stride, groups=channels)
                x = convolution(x, scaled(filters, width), "pw", kernel=1)
            else:
                x = convolution(x, scaled(filters, width), "conv", kernel=3, stride=stride)
    with block("head"):
        x = Flatten()(GlobalAveragePool()(x, name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def convolution(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution, batch norm, ReLU."""
    x = Conv(filters, kernel, stride=stride, pads=kernel // 2, groups=groups, bias=False)(x, name=name)
    return Relu()(BatchNorm()(x, name=f"{name}_bn"), name=f"{name}_relu")
