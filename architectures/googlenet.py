"""GoogLeNet: Going Deeper with Convolutions, 2015, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import (
    AveragePool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    Lrn,
    MaxPool,
    Relu,
    Softmax,
)
from costmodel.zoo import architecture

# #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj: the inception rows of table 1
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOL_AFTER = {"3b", "4e"}
HEAD_AFTER = {"4a", "4d"}  # the auxiliary classifiers


@architecture(params="7.0 M", source="Szegedy et al. 2015, table 1; parameters as in the model of the ONNX package")
def googlenet(size: int = 224, classes: int = 1000, auxiliary_heads: bool = False) -> Tensor:
    """GoogLeNet: nine inception modules; auxiliary_heads adds the two classifiers of the training."""
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = activated(x, 64, "conv1", kernel=7, stride=2)
        x = Lrn()(pool(x, "pool1"), name="norm1")
        x = activated(x, 64, "conv2_reduce", kernel=1)
        x = activated(x, 192, "conv2", kernel=3)
        x = pool(Lrn()(x, name="norm2"), "pool2")
    outputs = []
    for name, filters in INCEPTION.items():
        with block(name):
            x = inception(x, *filters)
            if auxiliary_heads and name in HEAD_AFTER:
                with block("auxiliary"):
                    outputs.append(auxiliary(x, classes))
            if name in POOL_AFTER:
                x = pool(x, "max_pool")
    with block("head"):
        x = Dropout()(GlobalAveragePool()(x, name="pool"), name="dropout")
        x = Linear(classes)(Flatten()(x, name="flatten"), name="fc")
        x = Softmax()(x, name="softmax")
        return Concat()(x, *outputs, name="all_classifiers") if outputs else x


def inception(x: Tensor, one: int, reduce3: int, three: int, reduce5: int, five: int, project: int) -> Tensor:
    """1x1, 3x3, 5x5 and pooled branches, joined."""
    branches = [
        activated(x, one, "1x1", kernel=1),
        activated(activated(x, reduce3, "3x3_reduce", kernel=1), three, "3x3", kernel=3),
        activated(activated(x, reduce5, "5x5_reduce", kernel=1), five, "5x5", kernel=5),
        activated(MaxPool(kernel=3, stride=1, pads=1)(x, name="pool"), project, "pool_proj", kernel=1),
    ]
    return Concat()(*branches, name="concat")


def auxiliary(x: Tensor, classes: int) -> Tensor:
    """Mean pool, 1x1 convolution, two dense layers, softmax."""
    x = activated(AveragePool(kernel=5, stride=3)(x, name="pool"), 128, "conv", kernel=1)
    x = Relu()(Linear(1024)(Flatten()(x, name="flatten"), name="fc1"), name="fc1_relu")
    return Softmax()(Linear(classes)(Dropout()(x, name="dropout"), name="fc2"), name="softmax")


def pool(x: Tensor, name: str) -> Tensor:
    """Overlapping 3x3/2 max pool; a last window that overhangs counts."""
    return MaxPool(kernel=3, stride=2, ceil_mode=True)(x, name=name)


def activated(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1) -> Tensor:
    """Convolution with bias, ReLU."""
    return Relu()(Conv(filters, kernel, stride=stride, pads=kernel // 2)(x, name=name), name=f"{name}_relu")
