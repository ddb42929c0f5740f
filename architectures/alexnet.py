"""AlexNet: ImageNet Classification with Deep Convolutional Neural Networks, 2012, figure 2 and section 3.

The first map of 55x55 needs an input of 227 and not the 224 of the text.
"""

from costmodel.graph import Tensor, block
from costmodel.ops import Conv, Dropout, Flatten, Input, Linear, Lrn, MaxPool, Relu, Softmax
from costmodel.zoo import architecture


@architecture(params="61.0 M", source="Krizhevsky et al. 2012, section 3; parameters: ONNX package, 60 M in the text")
def alexnet(size: int = 227, classes: int = 1000, groups: int = 2) -> Tensor:
    """AlexNet: five convolutions, three of them in two groups, and three dense layers; groups=1 is one tower."""
    x = Input((1, 3, size, size))()
    with block("stage1"):
        x = Relu()(Conv(96, kernel=11, stride=4)(x, name="conv"), name="relu")
        x = pool(Lrn()(x, name="norm"))
    with block("stage2"):
        x = Relu()(Conv(256, kernel=5, pads=2, groups=groups)(x, name="conv"), name="relu")
        x = pool(Lrn()(x, name="norm"))
    with block("stage3"):
        x = Relu()(Conv(384, kernel=3, pads=1)(x, name="conv"), name="relu")
    with block("stage4"):
        x = Relu()(Conv(384, kernel=3, pads=1, groups=groups)(x, name="conv"), name="relu")
    with block("stage5"):
        x = Relu()(Conv(256, kernel=3, pads=1, groups=groups)(x, name="conv"), name="relu")
        x = pool(x)
    with block("classifier"):
        x = Flatten()(x, name="flatten")
        for number in (6, 7):
            x = Relu()(Linear(4096)(x, name=f"fc{number}"), name=f"relu{number}")
            x = Dropout()(x, name=f"dropout{number}")
        return Softmax()(Linear(classes)(x, name="fc8"), name="softmax")


def pool(x: Tensor) -> Tensor:
    """Overlapping 3x3/2 max pool; a last window that overhangs counts, as in the released model."""
    return MaxPool(kernel=3, stride=2, ceil_mode=True)(x, name="max_pool")
