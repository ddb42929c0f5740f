"""ViT: An Image Is Worth 16x16 Words, 2021, figure 1 and table 1."""

from costmodel.graph import Tensor, block
from costmodel.ops import (
    Add,
    Concat,
    Conv,
    Gelu,
    Input,
    LayerNorm,
    Linear,
    MatMul,
    Mul,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)
from costmodel.zoo import architecture

PATCH = 16

# width, hidden width of the two dense layers, heads: the row of table 1
BASE = (768, 3072, 12)


@architecture(params="86.6 M", macs="17.56 G", source="Dosovitskiy et al. 2021, table 1 (Base); figures: torchvision")
def vit_b_16(size: int = 224, classes: int = 1000, depth: int = 12) -> Tensor:
    """ViT-B/16: words of 16x16 pixels and a class token, then encoder blocks; depth is their number."""
    width, hidden, heads = BASE
    x = Input((1, 3, size, size))()
    with block("embedding"):
        x = Conv(width, PATCH, stride=PATCH)(x, name="patches")
        x = Reshape((0, 0, -1))(x, name="words")
        x = Transpose((0, 2, 1))(x, name="transpose")
        _, words, _ = x.shape
        x = Concat(1, held=((1, 1, width), None))(x, name="class_token")
        x = Add((1, words + 1, width))(x, name="positions")
    for index in range(depth):
        with block(f"encoder.{index}"):
            x = encoder(x, hidden, heads)
    with block("head"):
        x = LayerNorm(epsilon=1e-6)(x, name="norm")
        x = Slice((0, 0, 0), (None, 1, None))(x, name="class_token")
        x = Linear(classes)(Reshape((0, width))(x, name="vector"), name="fc")
        return Softmax()(x, name="softmax")


def encoder(x: Tensor, hidden: int, heads: int) -> Tensor:
    """Attention of all words to all, then two dense layers for each word; each behind a norm and beside a shortcut."""
    width = x.shape[-1]
    y = attention(LayerNorm(epsilon=1e-6)(x, name="norm1"), heads)
    x = Add()(x, Linear(width)(y, name="projection"), name="add1")
    y = Linear(hidden)(LayerNorm(epsilon=1e-6)(x, name="norm2"), name="fc1")
    y = Linear(width)(Gelu()(y, name="gelu"), name="fc2")
    return Add()(x, y, name="add2")


def attention(x: Tensor, heads: int) -> Tensor:
    """Softmax of query times key, times value, for each head; equation 1 of Vaswani et al. 2017."""
    width = x.shape[-1]
    turned = {"query": (0, 2, 1, 3), "key": (0, 2, 3, 1), "value": (0, 2, 1, 3)}
    apart = []
    for name, axes in turned.items():
        y = Reshape((0, 0, heads, -1))(Linear(width)(x, name=name), name=f"{name}_heads")
        apart.append(Transpose(axes)(y, name=f"{name}_transpose"))
    query, key, value = apart
    y = Mul(())(MatMul()(query, key, name="scores"), name="scale")
    y = MatMul()(Softmax(-1)(y, name="shares"), value, name="mixture")
    return Reshape((0, 0, width))(Transpose((0, 2, 1, 3))(y, name="transpose"), name="together")
