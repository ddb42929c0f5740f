"""Transformers, mixers, decoders and U-Nets, written node by node as exporters write them, without weights' values.

Shapes are onnx's own, multiply-accumulates and parameters follow from formulas of the papers.
"""

from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import costmodel
from costmodel.importers.onnx import Reader
from costmodel.profile import profile


class Net:
    """Nodes on their way to a model; constants that are shapes have no values anywhere."""

    def __init__(self, opset):
        self.nodes, self.constants, self.inputs, self.opset = [], [], [], opset

    def input(self, name, *shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def weight(self, *shape):
        tensor = TensorProto(name=f"w{len(self.constants)}", dims=shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        self.constants.append(tensor)
        return tensor.name

    def values(self, values, dtype=np.int64):
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        made = [f"{kind.lower()}{len(self.nodes)}.{number}" for number in range(outputs)]
        domain = "com.microsoft" if kind.startswith("Skip") else ""
        self.nodes.append(helper.make_node(kind, inputs, made, made[0], domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def linear(self, x, width, features, bias=True):
        y = self("MatMul", x, self.weight(width, features))
        return self("Add", self.weight(features), y) if bias else y

    def norm(self, x, width, fused):
        if fused:
            return self("LayerNormalization", x, self.weight(width), self.weight(width), axis=-1)
        centered = self("Sub", x, self("ReduceMean", x, axes=[-1]))
        variance = self("ReduceMean", self("Pow", centered, self.values(2, np.float32)), axes=[-1])
        deviation = self("Sqrt", self("Add", variance, self.values(1e-5, np.float32)))
        scaled = self("Mul", self("Div", centered, deviation), self.weight(width))
        return self("Add", scaled, self.weight(width))

    def rms_norm(self, x, width, fused):
        if fused:
            return self("RMSNormalization", x, self.weight(width), axis=-1)
        mean = self("ReduceMean", self("Pow", x, self.values(2, np.float32)), self.values([-1]))
        root = self("Sqrt", self("Add", mean, self.values(1e-6, np.float32)))
        return self("Mul", self.weight(width), self("Mul", x, self("Reciprocal", root)))

    def gelu(self, x):
        erf = self("Erf", self("Div", x, self.values(2**0.5, np.float32)))
        halved = self("Mul", x, self("Add", erf, self.values(1, np.float32)))
        return self("Mul", halved, self.values(0.5, np.float32))

    def heads(self, x, count, size):
        split = self("Reshape", x, self.values([0, 0, count, size]))
        return self("Transpose", split, perm=[0, 2, 1, 3])

    def merged(self, x, width):
        return self("Reshape", self("Transpose", x, perm=[0, 2, 1, 3]), self.values([0, 0, width]))

    def attention(self, q, k, v, size, mask=None):
        """As MatMul, Softmax and MatMul."""
        scores = self("MatMul", q, self("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self("Div", scores, self.values(size**0.5, np.float32))
        return self("MatMul", self("Softmax", self("Add", scores, mask) if mask else scores, axis=-1), v)

    def saved(self, path, *outputs):
        body = helper.make_graph(
            self.nodes, "net", self.inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], self.constants,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        path.write_bytes(helper.make_model(body, opset_imports=opsets, ir_version=9).SerializeToString())
        return path


def read(net, folder, output, **options):
    """The network of a file, after each of its shapes was compared with what onnx infers."""
    path = net.saved(folder / "net.onnx", output)
    model = onnx.load(path, load_external_data=False)
    reader = Reader(path, model)
    reader.inputs({}, 1)
    reader.nodes()
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
              for value in (*inferred.value_info, *inferred.output)}  # fmt: skip
    known = {name: shape for name, shape in shapes.items() if reader.values.get(name) and 0 not in shape}
    assert len(known) > len(net.nodes) * 0.9
    assert {name: reader.values[name].shape for name in known} == known
    return costmodel.network(str(path), **options)


def encoder(net, x, width, heads, hidden, *, fused):
    """A block of a vision transformer: attention and two layers, each behind a norm and beside a shortcut."""
    y = net.norm(x, width, fused)
    q, k, v = (net.heads(net.linear(y, width, width), heads, width // heads) for _ in "qkv")
    mixed = net("Attention", q, k, v) if fused and net.opset >= 23 else net.attention(q, k, v, width // heads)
    x = net("Add", x, net.linear(net.merged(mixed, width), width, width))
    y = net.linear(net.norm(x, width, fused), width, hidden)
    y = net("Gelu", y) if net.opset >= 20 else net.gelu(y)
    return net("Add", x, net.linear(y, hidden, width))


@pytest.mark.parametrize(("opset", "fused"), [(13, False), (17, True), (23, True)])
def test_vit_b_16(opset, fused, tmp_path):
    net = Net(opset)
    x = net("Conv", net.input("image", 1, 3, 224, 224), net.weight(768, 3, 16, 16), net.weight(768), strides=[16, 16])
    x = net("Transpose", net("Reshape", x, net.values([0, 768, -1])), perm=[0, 2, 1])
    token = net("Expand", net.weight(1, 1, 768), net.values([1, 1, 768]))
    x = net("Add", net("Concat", token, x, axis=1), net.weight(1, 197, 768))
    for _ in range(12):
        x = encoder(net, x, 768, 12, 3072, fused=fused)
    x = net("Gather", net.norm(x, 768, fused), net.values(0), axis=1)
    graph = read(net, tmp_path, net("Gemm", x, net.weight(1000, 768), net.weight(1000), transB=1))
    assert graph.parameters == 86_567_656  # torchvision's vit_b_16
    products = 197 * 768 * (4 * 768 + 2 * 3072) + 2 * 12 * 197 * 197 * 64
    assert graph.macs == 196 * 768 * 3 * 16 * 16 + 12 * products + 768 * 1000
    kinds = {node.op.kind for node in graph.nodes.values()}
    assert ("LayerNorm" in kinds, "Attention" in kinds, "Gelu" in kinds) == (fused, opset == 23, opset == 23)


def test_a_mixer(tmp_path):
    """MLP-Mixer S/16: 8 blocks, 196 patches of 512 channels; Tolstikhin et al. 2021, table 1: 18.5 M parameters."""
    patches, width, tokens, channels, net = 196, 512, 256, 2048, Net(17)
    kernel, image = net.weight(width, 3, 16, 16), net.input("image", 1, 3, 224, 224)
    x = net("Conv", image, kernel, net.weight(width), strides=[16, 16])
    x = net("Transpose", net("Reshape", x, net.values([0, 0, -1])), perm=[0, 2, 1])
    for _ in range(8):
        y = net("Transpose", net.norm(x, width, fused=True), perm=[0, 2, 1])
        y = net.linear(net.gelu(net.linear(y, patches, tokens)), tokens, patches)
        x = net("Add", x, net("Transpose", y, perm=[0, 2, 1]))
        y = net.linear(net.norm(x, width, fused=True), width, channels)
        x = net("Add", x, net.linear(net.gelu(y), channels, width))
    x = net("ReduceMean", net.norm(x, width, fused=True), axes=[1], keepdims=0)
    graph = read(net, tmp_path, net("Gemm", x, net.weight(1000, width), net.weight(1000), transB=1))
    assert round(graph.parameters / 1e6, 1) == 18.5
    mixing = width * 2 * patches * tokens + patches * 2 * width * channels
    assert graph.macs == patches * width * 768 + 8 * mixing + width * 1000


@pytest.mark.parametrize("folded", [True, False])
def test_gpt2(folded, tmp_path):
    """GPT-2 small; Radford et al. 2019, table 2 as published: 124 439 808 parameters, the table of words used twice."""
    words, places, width, length, net = 50257, 1024, 768, 1024, Net(17)
    ids = net.input("ids", 1, length, dtype=TensorProto.INT64)
    table = net.weight(words, width)
    numbers = net("Range", net.values(0), net.values(length), net.values(1))
    position = net("Gather", net.weight(places, width), numbers, axis=0)
    x = net("Add", net("Gather", table, ids), position)
    seen = net("LessOrEqual", net("Unsqueeze", numbers, net.values([0])), net("Unsqueeze", numbers, net.values([1])))
    zero, never = net.values(0, np.float32), net.values(-1e9, np.float32)
    for _ in range(12):
        y = net.linear(net.norm(x, width, fused=True), width, 3 * width)
        parts = net("Split", y, net.values([width] * 3), outputs=3, axis=-1)
        q, k, v = (net.heads(part, 12, 64) for part in parts)
        if folded:
            mixed = net.attention(q, k, v, 64, mask=net("Where", seen, zero, never))
        else:
            scores = net("Where", seen, net("MatMul", q, net("Transpose", k, perm=[0, 1, 3, 2])), never)
            mixed = net("MatMul", net("Softmax", scores, axis=-1), v)
        x = net("Add", x, net.linear(net.merged(mixed, width), width, width))
        y = net.linear(net.norm(x, width, fused=True), width, 4 * width)
        cubic = net("Mul", net("Pow", y, net.values(3, np.float32)), net.values(0.044715, np.float32))
        inner = net("Tanh", net("Mul", net("Add", y, cubic), net.values((2 / np.pi) ** 0.5, np.float32)))
        y = net("Mul", net("Mul", y, net.values(0.5, np.float32)), net("Add", inner, net.values(1, np.float32)))
        x = net("Add", x, net.linear(y, 4 * width, width))
    x = net.norm(x, width, fused=True)
    graph = read(net, tmp_path, x)
    assert graph.parameters == 124_439_808
    assert graph.macs == 12 * (length * 12 * width * width + 2 * 12 * length * length * 64)
    assert graph.inputs[0].dtype == "int64"
    assert [node.op.kind for node in graph.nodes.values()].count("Embedding") == 1


@pytest.mark.parametrize(("opset", "fused"), [(18, False), (23, True)])
def test_a_llama_like_block(opset, fused, tmp_path):
    """RMSNorm, rotated queries and keys, 2 key heads for 8 query heads, SwiGLU: Touvron et al. 2023."""
    width, heads, groups, size, hidden, length, net = 64, 8, 2, 8, 160, 12, Net(opset)
    x = net.input("x", 2, length, width)
    y = net.rms_norm(x, width, fused)
    q, k, v = (
        net.heads(net.linear(y, width, count * size, bias=False), count, size) for count in (heads, groups, groups)
    )
    if fused:
        cosines = [net.input(name, 2, length, size // 2) for name in ("cos", "sin")]
        q, k = (net("RotaryEmbedding", part, *cosines) for part in (q, k))
        mixed = net("Attention", q, k, v, is_causal=1)
    else:
        cosines = [net.input(name, 2, 1, length, size) for name in ("cos", "sin")]
        q, k = (rotated(net, part, *cosines, size) for part in (q, k))
        k, v = (repeated(net, part, groups, heads // groups, length, size) for part in (k, v))
        mixed = net.attention(q, k, v, size, mask=net("Trilu", net.weight(length, length), upper=1))
    x = net("Add", x, net.linear(net.merged(mixed, heads * size), heads * size, width, bias=False))
    y = net.rms_norm(x, width, fused)
    gate = net.linear(y, width, hidden, bias=False)
    gate = net("Swish", gate) if opset >= 24 else net("Mul", gate, net("Sigmoid", gate))
    y = net("Mul", gate, net.linear(y, width, hidden, bias=False))
    graph = read(net, tmp_path, net("Add", x, net.linear(y, hidden, width, bias=False)))
    matrices = width * (heads * size) * 2 + width * (groups * size) * 2 + 3 * width * hidden
    assert graph.macs == 2 * (length * matrices + heads * length * length * 2 * size)
    assert graph.parameters == matrices + 2 * width + (0 if fused else length * length)
    work = profile(graph).parts
    rotations = [row for row in work.rows() if row["operator"] == "RotaryEmbedding"]
    assert sum(row["elementwise"] for row in rotations) == (2 * 3 * (heads + groups) * length * size if fused else 0)


def rotated(net, x, cos, sin, size):
    """x * cos + (its halves swapped, one negative) * sin."""
    first, second = (net("Slice", x, *(net.values([number]) for number in (start, start + size // 2, 3)))
                     for start in (0, size // 2))  # fmt: skip
    swapped = net("Concat", net("Neg", second), first, axis=-1)
    return net("Add", net("Mul", x, cos), net("Mul", swapped, sin))


def repeated(net, x, groups, count, length, size):
    """Each key head as often as there are query heads for it."""
    stretched = net("Expand", net("Unsqueeze", x, net.values([2])), net.values([2, groups, count, length, size]))
    return net("Reshape", stretched, net.values([2, groups * count, length, size]))


@pytest.mark.parametrize("up", ["ConvTranspose", "Resize", "DepthToSpace"])
def test_a_unet(up, tmp_path):
    """Down twice and up twice, with what was there on the way down beside what comes up: Ronneberger et al. 2015."""
    net, size, kept, macs = Net(18), 32, [], 0
    x, channels = net.input("image", 1, 3, size, size), 3

    def convolved(x, before, after):
        y = net("Conv", x, net.weight(after, before, 3, 3), pads=[1, 1, 1, 1])
        split = net("Reshape", y, net.values([0, 4, -1]))
        split = net(
            "InstanceNormalization", split, net.values([1.0] * 4, np.float32), net.values([0.0] * 4, np.float32)
        )
        y = net("Reshape", split, net.values([1, after, size, size]))
        y = net("Add", net("Mul", y, net.weight(after, 1, 1)), net.weight(after, 1, 1))
        return net("Mul", y, net("Sigmoid", y)), 9 * before * after * size * size

    for width in (8, 16):
        x, more = convolved(x, channels, width)
        kept.append((x, width))
        x, size, channels, macs = net("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), size // 2, width, macs + more
    for other, width in reversed(kept):
        match up:
            case "ConvTranspose":
                x = net(up, x, net.weight(channels, channels, 2, 2), net.weight(channels), strides=[2, 2])
                macs += size * size * channels * channels * 4
            case "Resize":
                x = net(up, x, "", net.values([1, 1, 2, 2], np.float32), mode="linear")
            case _:
                x, channels = net(up, x, blocksize=2, mode="CRD"), channels // 4
        size *= 2
        x, more = convolved(net("Concat", x, other, axis=1), channels + width, width)
        channels, macs = width, macs + more
    graph = read(net, tmp_path, x)
    assert graph.macs == macs
    assert graph.parameters == sum(prod(tensor.dims) for tensor in net.constants if tensor.data_location)
    assert graph.outputs[0].shape == (1, 8, 32, 32)


def test_norms_of_onnx_runtime_hold_a_sum(tmp_path):
    net = Net(17)
    x = net(
        "SkipLayerNormalization", net.input("x", 1, 5, 16), net.input("y", 1, 5, 16), net.weight(16), net.weight(16)
    )
    y = net("SkipSimplifiedLayerNormalization", x, x, net.weight(16))
    path = net.saved(tmp_path / "net.onnx", y)
    graph = costmodel.network(str(path))
    assert [node.op.kind for node in graph.nodes.values() if node.inputs] == ["Add", "LayerNorm", "Add", "RMSNorm"]
    assert graph.parameters == 3 * 16


def test_files_of_weights_are_not_opened(tmp_path):
    """The file that these models name is not there."""
    assert not Path(tmp_path / "weights.bin").exists()
    net = Net(17)
    graph = read(net, tmp_path, net("Gemm", net.input("x", 1, 4), net.weight(4, 3)))
    assert graph.parameters == 12
