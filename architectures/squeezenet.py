"""SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016, table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import Concat, Conv, Dropout, GlobalAveragePool, Input, MaxPool, Relu, Softmax
from costmodel.zoo import architecture

POOL = (0, 0, 0)

# (s1x1, e1x1, e3x3) of the fire modules, the first of which is fire2; POOL stands for a 3x3/2 max pool
V1_0 = [POOL, (16, 64, 64), (16, 64, 64), (32, 128, 128), POOL, (32, 128, 128), (48, 192, 192), (48, 192, 192),
        (64, 256, 256), POOL, (64, 256, 256)]  # fmt: skip
V1_1 = [POOL, (16, 64, 64), (16, 64, 64), POOL, (32, 128, 128), (32, 128, 128), POOL, (48, 192, 192), (48, 192, 192),
        (64, 256, 256), (64, 256, 256)]  # fmt: skip


@architecture(params="1248424", source="Iandola et al. 2016, table 1; its 111x111 first map needs an input of 227")
def squeezenet(size: int = 227, classes: int = 1000) -> Tensor:
    """SqueezeNet 1.0: eight fire modules, pools after conv1, fire4 and fire8."""
    return squeezed(96, 7, V1_0, size, classes)


@architecture(params="1235496", source="Iandola et al., release 1.1 of the authors' repository")
def squeezenet_v1_1(size: int = 227, classes: int = 1000) -> Tensor:
    """SqueezeNet 1.1: 2.4 times less computation than 1.0 by an earlier reduction."""
    return squeezed(64, 3, V1_1, size, classes)


def squeezed(filters: int, kernel: int, modules: list[tuple[int, int, int]], size: int, classes: int) -> Tensor:
    """Stem, fire modules and pools, a 1x1 convolution to the classes, global mean.

    A last window of a pool that overhangs counts, as in the released models.
    """
    x = Input((1, 3, size, size))()
    last = "conv1"
    with block(last):
        x = activated(x, filters, "conv", kernel=kernel, stride=2)
    fires = 1
    for squeeze, expand1, expand3 in modules:
        if not squeeze:
            with block(last):
                x = MaxPool(kernel=3, stride=2, ceil_mode=True)(x, name="max_pool")
            continue
        fires += 1
        last = f"fire{fires}"
        with block(last):
            x = activated(x, squeeze, "s1x1", kernel=1)
            both = activated(x, expand1, "e1x1", kernel=1), activated(x, expand3, "e3x3", kernel=3, pads=1)
            x = Concat()(*both, name="concat")
    with block("conv10"):
        x = Dropout()(x, name="dropout")
        x = activated(x, classes, "conv", kernel=1)
        x = GlobalAveragePool()(x, name="avgpool10")
        return Softmax()(x, name="softmax")


def activated(x: Tensor, filters: int, name: str, *, kernel: int, stride: int = 1, pads: int = 0) -> Tensor:
    """Convolution with bias, ReLU."""
    return Relu()(Conv(filters, kernel, stride=stride, pads=pads)(x, name=name), name=f"{name}_relu")
