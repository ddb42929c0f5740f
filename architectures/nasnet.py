"""NASNet: Learning Transferable Architectures for Scalable Image Recognition, 2018, figure 4 and appendix A."""

from costmodel.errors import CostModelError
from costmodel.graph import Tensor, block
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAveragePool,
    Input,
    Linear,
    MaxPool,
    Pad,
    Relu,
    Slice,
    Softmax,
)
from costmodel.zoo import architecture

STEM = 32
CONCATENATED = 6  # maps that a normal cell joins
STEP = 4 * 4 * CONCATENATED  # two doublings to the last stage, and a stem cell with a quarter of the filters
REPEATS = 4  # N, normal cells per stage


@architecture(params="5.3 M", macs="564 M", source="Zoph et al. 2018, table 2, NASNet-A (4 @ 1056)")
def nasnet_a_mobile(size: int = 224, classes: int = 1000, penultimate: int = 1056) -> Tensor:
    """NASNet-A mobile, 4 @ 1056: two reduction cells as stem, then three stages of four normal cells."""
    if penultimate % STEP:
        raise CostModelError(f"network 'nasnet_a_mobile': penultimate must be a multiple of {STEP}, not {penultimate}")
    filters = penultimate // (4 * CONCATENATED)
    image = Input((1, 3, size, size))()
    with block("stem"):
        before = BatchNorm()(Conv(STEM, kernel=3, stride=2, bias=False)(image, name="conv"), name="bn")
    with block("stem_cell0"):
        x = reduction_cell(before, None, filters // 4)
    with block("stem_cell1"):
        before, x = x, reduction_cell(x, before, filters // 2)
    for stage in range(3):
        if stage:
            with block(f"reduction{stage}"):
                before, x = x, reduction_cell(x, before, filters << stage)
        for index in range(REPEATS):
            with block(f"stage{stage + 1}.{index}"):
                before, x = x, normal_cell(x, before, filters << stage)
    with block("head"):
        x = Flatten()(GlobalAveragePool()(Relu()(x, name="relu"), name="pool"), name="flatten")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def normal_cell(x: Tensor, before: Tensor, filters: int) -> Tensor:
    """Figure 4, left: five sums of two branches, joined with the previous cell's map."""
    left, right = fitted(before, x, filters), squeezed(x, filters, "right")
    with block("sum0"):
        sum0 = Add()(separable(right, filters, 5, "sep5"), separable(left, filters, 3, "sep3"), name="add")
    with block("sum1"):
        sum1 = Add()(separable(left, filters, 5, "sep5"), separable(left, filters, 3, "sep3"), name="add")
    with block("sum2"):
        sum2 = Add()(mean(right), left, name="add")
    with block("sum3"):
        sum3 = Add()(mean(left), mean(left, name="mean2"), name="add")
    with block("sum4"):
        sum4 = Add()(separable(right, filters, 3, "sep3"), right, name="add")
    return Concat()(left, sum0, sum1, sum2, sum3, sum4, name="concat")


def reduction_cell(x: Tensor, before: Tensor | None, filters: int) -> Tensor:
    """Figure 4, right: halves the map; the first stem cell has no previous map and reads its input unsqueezed."""
    right = squeezed(x, filters, "right")
    left = x if before is None else fitted(before, x, filters)
    with block("sum0"):
        sum0 = Add()(separable(right, filters, 5, "sep5", 2), separable(left, filters, 7, "sep7", 2), name="add")
    with block("sum1"):
        sum1 = Add()(largest(right), separable(left, filters, 7, "sep7", 2), name="add")
    with block("sum2"):
        sum2 = Add()(mean(right, stride=2), separable(left, filters, 5, "sep5", 2), name="add")
    with block("sum3"):
        sum3 = Add()(mean(sum0), sum1, name="add")
    with block("sum4"):
        sum4 = Add()(separable(sum0, filters, 3, "sep3"), largest(right), name="add")
    return Concat()(sum1, sum2, sum3, sum4, name="concat")


def fitted(before: Tensor, x: Tensor, filters: int) -> Tensor:
    """The previous cell's map with the filters and the size of x: where it is larger, halved by two shifted paths."""
    if before.shape[2:] == x.shape[2:]:
        return squeezed(before, filters, "left")
    y = Relu()(before, name="left_relu")
    _, _, height, width = y.shape
    with block("path1"):
        path1 = AveragePool(kernel=1, stride=2)(y, name="pool")
        path1 = Conv(filters // 2, kernel=1, bias=False)(path1, name="conv")
    with block("path2"):
        path2 = Pad((0, 0, 0, 0, 0, 0, 1, 1))(y, name="pad")
        path2 = Slice((0, 0, 1, 1), (None, None, height + 1, width + 1))(path2, name="shift")
        path2 = AveragePool(kernel=1, stride=2)(path2, name="pool")
        path2 = Conv(filters // 2, kernel=1, bias=False)(path2, name="conv")
    return BatchNorm()(Concat()(path1, path2, name="left_concat"), name="left_bn")


def squeezed(x: Tensor, filters: int, name: str) -> Tensor:
    """ReLU, 1x1 convolution, batch norm."""
    x = Conv(filters, kernel=1, bias=False)(Relu()(x, name=f"{name}_relu"), name=f"{name}_conv")
    return BatchNorm()(x, name=f"{name}_bn")


def separable(x: Tensor, filters: int, kernel: int, name: str, stride: int = 1) -> Tensor:
    """Twice ReLU, depthwise and 1x1 convolution, batch norm; the stride is in the first."""
    for number, step in ((1, stride), (2, 1)):
        channels = x.shape[1]
        with block(f"{name}.{number}"):
            x = Relu()(x, name="relu")
            x = Conv(channels, kernel, stride=step, pads=kernel // 2, groups=channels, bias=False)(x, name="dw")
            x = BatchNorm()(Conv(filters, kernel=1, bias=False)(x, name="pw"), name="bn")
    return x


def mean(x: Tensor, stride: int = 1, name: str = "mean") -> Tensor:
    """3x3 mean pool."""
    return AveragePool(kernel=3, stride=stride, pads=1)(x, name=name)


def largest(x: Tensor) -> Tensor:
    """3x3/2 max pool."""
    return MaxPool(kernel=3, stride=2, pads=1)(x, name="max")
