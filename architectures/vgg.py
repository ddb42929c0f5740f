"""VGG: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import Conv, Flatten, Input, Linear, MaxPool, Relu, Softmax
from costmodel.zoo import architecture, scaled

# filters of the 3x3 convolutions of each stage; a 2x2 max pool ends every stage
D = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
E = [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4]


@architecture(params="138 M", source="Simonyan and Zisserman 2015, table 1 (configuration D) and table 2")
def vgg16(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """VGG-16: thirteen 3x3 convolutions in five stages, then three dense layers."""
    return vgg(D, size, classes, width)


@architecture(params="144 M", source="Simonyan and Zisserman 2015, table 1 (configuration E) and table 2")
def vgg19(size: int = 224, classes: int = 1000, width: float = 1.0) -> Tensor:
    """VGG-19: sixteen 3x3 convolutions in five stages, then three dense layers."""
    return vgg(E, size, classes, width)


def vgg(stages: list[list[int]], size: int, classes: int, width: float) -> Tensor:
    """The stages, then two dense layers of 4096 and one of the classes."""
    x = Input((1, 3, size, size))()
    for number, stage in enumerate(stages, start=1):
        with block(f"stage{number}"):
            for index, filters in enumerate(stage, start=1):
                x = Conv(scaled(filters, width), kernel=3, pads=1)(x, name=f"conv{index}")
                x = Relu()(x, name=f"relu{index}")
            x = MaxPool(kernel=2)(x, name="max_pool")
    with block("classifier"):
        x = Flatten()(x, name="flatten")
        for index in (1, 2):
            x = Linear(scaled(4096, width))(x, name=f"fc{index}")
            x = Relu()(x, name=f"relu{index}")
        x = Linear(classes)(x, name="fc3")
        return Softmax()(x, name="softmax")
