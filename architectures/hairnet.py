"""HairNet: The Thinned Convolutional Network, 2020, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import BatchNorm, Conv, Flatten, GlobalAveragePool, Input, Linear, MaxPool, Relu, Softmax
from costmodel.zoo import architecture, scaled

STEM = 32

# (blocks, filters): the "Conv DW block" rows of table 1; None stands for the number of classes
STAGES = [(2, 64), (3, 128), (3, 256), (3, 512), (2, None)]


@architecture(params="2.4 M", source="HairNet, 2020, table 1 and appendix")
def hairnet(size: int = 224, classes: int = 1000, width: float = 1.0, dense_head: bool = False) -> Tensor:
    """HairNet: depthwise-separable stages between max pools; a dense layer after the pooling with dense_head."""
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = Conv(scaled(STEM, width), kernel=3, pads=1, bias=False)(x, name="conv2D")
        x = BatchNorm()(x, name="bn")
        x = Relu()(x, name="relu")
        x = MaxPool(kernel=2)(x, name="max_pool")
    for number, (blocks, filters) in enumerate(STAGES, start=1):
        with block(f"stage{number}"):
            for index in range(blocks):
                with block(str(index)):
                    x = separable(x, scaled(filters, width) if filters else classes)
            if number < len(STAGES):
                x = MaxPool(kernel=2)(x, name="max_pool")
    with block("head"):
        x = GlobalAveragePool()(x, name="GAP")
        if dense_head:
            x = Linear(classes)(Flatten()(x, name="flatten"), name="dense")
        return Softmax()(x, name="softmax")


def separable(x: Tensor, filters: int) -> Tensor:
    """The "Conv DW block" of table 1: N x C x H x W -> N x filters x H x W."""
    _, channels, _, _ = x.shape
    x = Conv(channels, kernel=3, pads=1, groups=channels, bias=False)(x, name="dwise_conv")
    x = BatchNorm()(x, name="bn1")
    x = Relu()(x, name="relu1")
    x = Conv(filters, kernel=1, bias=False)(x, name="pointwise_conv")
    x = BatchNorm()(x, name="bn2")
    return Relu()(x, name="relu2")
