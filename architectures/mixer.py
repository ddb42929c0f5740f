"""MLP-Mixer: An all-MLP Architecture for Vision, 2021, figure 1 and table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import Add, Conv, Gelu, Input, LayerNorm, Linear, ReduceMean, Reshape, Softmax, Transpose
from costmodel.zoo import architecture

PATCH = 16

# width, hidden width across the patches, hidden width across the channels: the column of table 1
BASE = (768, 384, 3072)


@architecture(params="59.9 M", macs="12.6 G", source="Tolstikhin et al. 2021, table 1 (B/16); figures: timm")
def mixer_b_16(size: int = 224, classes: int = 1000, depth: int = 12) -> Tensor:
    """MLP-Mixer B/16: patches of 16x16 pixels, mixed across patches and across channels; depth is how often."""
    width, tokens, channels = BASE
    x = Input((1, 3, size, size))()
    with block("stem"):
        x = Conv(width, PATCH, stride=PATCH)(x, name="patches")
        x = Reshape((0, 0, -1))(x, name="flat")
        x = Transpose((0, 2, 1))(x, name="transpose")
    for index in range(depth):
        with block(f"mixer.{index}"):
            y = Transpose((0, 2, 1))(LayerNorm(epsilon=1e-6)(x, name="norm1"), name="transpose1")
            y = Transpose((0, 2, 1))(dense(y, tokens, "tokens"), name="transpose2")
            x = Add()(x, y, name="add1")
            y = dense(LayerNorm(epsilon=1e-6)(x, name="norm2"), channels, "channels")
            x = Add()(x, y, name="add2")
    with block("head"):
        x = ReduceMean((1,), keepdims=False)(LayerNorm(epsilon=1e-6)(x, name="norm"), name="mean")
        return Softmax()(Linear(classes)(x, name="fc"), name="softmax")


def dense(x: Tensor, hidden: int, name: str) -> Tensor:
    """Two layers along the last axis, with a GELU between them."""
    y = Gelu()(Linear(hidden)(x, name=f"{name}1"), name=f"{name}_gelu")
    return Linear(x.shape[-1])(y, name=f"{name}2")
