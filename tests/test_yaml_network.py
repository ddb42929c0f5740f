"""Networks as YAML files: what a person writes, what the program writes, what is refused, and the schema of both."""

import json
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from test_cli import ok, records, refused
from test_ops import CASES

import costmodel
from costmodel import document, exporters, hardware, importers, schema, zoo
from costmodel.errors import CostModelError
from costmodel.exporters.layers import compact, encode
from costmodel.graph import BITS, Graph, Input, Node, Op, Tensor, block
from costmodel.importers import layers
from costmodel.importers.attributes import NUMBERS, attributes, form
from costmodel.importers.meanings import MEANINGS, entry
from costmodel.importers.plan import KEYS, LIMIT, LONGEST, File
from costmodel.ops import (
    Add,
    AveragePool,
    BatchNorm,
    Cast,
    ChannelShuffle,
    Concat,
    Conv,
    Elu,
    Flatten,
    LeakyRelu,
    Linear,
    Lrn,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)

ROOT = Path(__file__).parents[1]
HEAD = "name: net\ninputs: {image: [1, 3, 8, 8]}\nlayers:\n"


def read(text, file="net.yaml"):
    return layers.read(document.parse(text, file))


def error(text):
    """The message, which is one line, printable and short, and names the file."""
    with pytest.raises(CostModelError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("net.yaml:")
    assert message.isprintable()
    assert len(message) < 1200
    return message


def written(graph):
    return encode(graph).decode()


# What a person writes


FIRE = """\
name: fire2
inputs: {maps: [1, 96, 55, 55]}
layers:
  - fire2:
      - squeeze: {op: Conv, filters: 16, kernel: 1}
      - squeeze_relu: Relu
      - left: {op: Conv, filters: 64, kernel: 1}
      - left_relu: Relu
      - right: {op: Conv, filters: 64, kernel: 3, pads: 1, inputs: squeeze_relu}
      - right_relu: Relu
      - {op: Concat, inputs: [left_relu, right_relu]}
"""


def test_a_fire_module_has_the_counts_of_its_paper():
    graph = read(FIRE)
    # SqueezeNet, table 1: 11,920 parameters before pruning; 3025 positions of 96*16 + 16*64 + 9*16*64 products
    assert graph.parameters == 11_920
    assert graph.macs == 55 * 55 * (96 * 16 + 16 * 64 + 9 * 16 * 64) == 35_622_400
    assert graph.outputs[0].shape == (1, 128, 55, 55)
    assert list(graph.nodes)[:2] == ["maps", "fire2.squeeze"]
    assert graph.nodes["fire2.concat"].inputs == tuple(
        graph.nodes[f"fire2.{side}_relu"].outputs[0] for side in ("left", "right")
    )


# Table 2 of the paper: t, c, n, s of each row, with the channels that come in
TABLE = [(1, 32, 16, 1, 1), (6, 16, 24, 2, 2), (6, 24, 32, 3, 2), (6, 32, 64, 4, 2), (6, 64, 96, 3, 1),
         (6, 96, 160, 3, 2), (6, 160, 320, 1, 1)]  # fmt: skip


def bottleneck(indent, t, wide, c, stride, shortcut):
    lines = []
    if t > 1:
        lines += [f"expand: {{op: Conv, filters: {wide}, kernel: 1, bias: false}}", "expand_bn: BatchNorm",
                  "expand_relu: Relu6"]  # fmt: skip
    step = f", stride: {stride}" if stride > 1 else ""
    lines += [f"dw: {{op: Conv, filters: {wide}, kernel: 3{step}, pads: 1, groups: {wide}, bias: false}}",
              "dw_bn: BatchNorm", "dw_relu: Relu6",
              f"project: {{op: Conv, filters: {c}, kernel: 1, bias: false}}", "project_bn: BatchNorm"]  # fmt: skip
    lines += ["add: {op: Add, inputs: [x, project_bn]}"] * shortcut
    return "".join(f"{' ' * indent}- {line}\n" for line in lines)


def mobilenet_v2():
    """The table as a file with a repeated block for each row that repeats."""
    text = (
        "name: mobilenet_v2\ninputs: {input: [1, 3, 224, 224]}\nlayers:\n  - stem:\n"
        "      - conv: {op: Conv, filters: 32, kernel: 3, stride: 2, pads: 1, bias: false}\n"
        "      - conv_bn: BatchNorm\n      - conv_relu: Relu6\n"
    )
    for stage, (t, before, c, n, s) in enumerate(TABLE, start=1):
        text += f"  - stage{stage}.0:\n" + bottleneck(6, t, t * before, c, s, shortcut=False)
        if n > 1:
            text += f"  - stage{stage}:\n      repeat: {n - 1}\n      start: 1\n      input: x\n      layers:\n"
            text += bottleneck(8, t, t * c, c, 1, shortcut=True)
    return text + (
        "  - head:\n      - conv: {op: Conv, filters: 1280, kernel: 1, bias: false}\n      - conv_bn: BatchNorm\n"
        "      - conv_relu: Relu6\n      - pool: GlobalAveragePool\n      - flatten: Flatten\n"
        "      - fc: {op: Linear, features: 1000}\n      - softmax: Softmax\n"
    )


def test_mobilenet_v2_written_as_its_table_is_that_of_the_zoo():
    graph = read(mobilenet_v2())
    assert (graph.parameters, graph.macs) == (3_504_872, 300_774_272)  # torchvision's, and public counts
    assert graph == zoo.get("mobilenet_v2")()


def test_a_residual_block_repeats_with_numbered_names():
    graph = read(
        "name: net\ninputs: {image: [2, 8, 6, 6]}\nlayers:\n"
        "  - res:\n      repeat: 3\n      input: x\n      layers:\n"
        "        - conv: {op: Conv, filters: 8, kernel: 3, pads: 1}\n"
        "        - Relu\n"
        "        - inner: {repeat: 2, start: 5, layers: [Relu6]}\n"
        "        - project: {op: Conv, filters: 8, kernel: 1}\n"
        "        - add: {op: Add, inputs: [x, project]}\n"
    )
    assert graph.macs == 3 * 2 * 36 * (8 * 8 * 9 + 8 * 8)
    kinds = ["conv", "relu", "inner.5.relu6", "inner.6.relu6", "project", "add"]
    assert list(graph.nodes) == ["image", *[f"res.{number}.{kind}" for number in range(3) for kind in kinds]]
    assert graph.nodes["res.0.add"].inputs[0].node.label == "image"
    assert graph.nodes["res.2.add"].inputs[0].node.label == "res.1.add"
    assert graph.nodes["res.2.conv"].inputs[0].node.label == "res.1.add"
    assert graph.nodes["res.1.inner.6.relu6"].block == "res.1.inner.6"


def test_blocks_may_be_nested_or_named_with_dots():
    nested = read(
        HEAD + "  - a:\n    - b:\n      - c: Relu\n      - d: Relu\n  - e: {op: Add, inputs: [a.b.c, a.b.d]}\n"
    )
    dots = read(HEAD + "  - a.b.c: Relu\n  - a.b.d: Relu\n  - e: {op: Add, inputs: [a.b.c, a.b.d]}\n")
    mixed = read(
        HEAD + "  - a:\n    - b.c: Relu\n  - a.b:\n    - d: Relu\n    - e: {op: Add, block: '', inputs: [c, d]}\n"
    )
    assert nested == dots
    assert nested.nodes["a.b.c"].block == "a.b"
    assert list(mixed.nodes) == ["image", "a.b.c", "a.b.d", "a.b.e"]


def test_names_are_looked_for_from_the_inside_out():
    graph = read(HEAD + "  - x: Relu\n  - a:\n    - y: {op: Add, inputs: [x, image]}\n    - x: Relu6\n"
                 "    - b:\n      - z: {op: Add, inputs: [x, y]}\n"
                 "  - out: {op: Add, inputs: [x, a.b.z]}\n")  # fmt: skip

    def reads(name):
        return [tensor.node.label for tensor in graph.nodes[name].inputs]

    assert reads("a.y") == ["x", "image"]
    assert reads("a.b.z") == ["a.x", "a.y"]
    assert reads("out") == ["x", "a.b.z"]


def test_block_style_and_one_line_are_the_same():
    one = read(HEAD + "  - c: {op: Conv, filters: 4, kernel: [3, 1], pads: [1, 0], bias: false}\n")
    long = read(
        HEAD + "  - c:\n      op: Conv\n      filters: 4\n      kernel:\n        - 3\n        - 1\n"
        "      pads: [1, 0, 1, 0]\n      bias: false\n      channels: 3\n      stride: [1, 1]\n"
    )
    assert one.nodes["c"].op == replace(long.nodes["c"].op, channels=None) == Conv(4, (3, 1), pads=(1, 0), bias=False)


def test_several_inputs_outputs_and_types():
    graph = read(
        "name: two\ninputs:\n  left: {shape: [1, 8], dtype: int8}\n  right: {shape: [1, 8], dtype: int8}\n"
        "layers:\n  - sum: {op: Add, inputs: [left, right]}\n  - Relu\n  - late: {op: Input, shape: [4], dtype: int8}\n"
        "outputs: [late, sum, left]\n".replace("  - Relu\n", "")
    )
    assert [tensor.node.label for tensor in graph.outputs] == ["late", "sum", "left"]
    assert [tensor.dtype for tensor in graph.inputs] == ["int8", "int8", "int8"]
    assert (graph.dtype, read(f"dtype: float16\n{HEAD}  - Relu\n").dtype) == ("float32", "float16")


def test_an_input_alone_is_a_network():
    graph = read("name: net\ninputs: {image: [1]}\nlayers: []\n")
    assert graph == Graph(Input((1,))(name="image"))


def test_layers_without_names_are_numbered():
    graph = read(HEAD + "  - Relu\n  - {op: Conv, filters: 2, kernel: 1}\n  - Relu\n")
    assert list(graph.nodes) == ["image", "relu", "conv", "relu_2"]


def test_words_that_yaml_takes_for_other_things_are_names():
    text = "name: 2012\ninputs: {1: [1, 3]}\nlayers:\n  - true: Relu\n  - 3x3: Relu\n  - op: {op: Relu}\n  - no: Relu\n"
    graph = read(text)
    assert (graph.name, list(graph.nodes)) == ("2012", ["1", "true", "3x3", "op", "no"])
    assert read(written(graph)) == graph


# What is refused: place, key, value, what is accepted


@pytest.mark.parametrize(
    ("text", "place", "parts"),
    [
        ("  - c: {op: Conv, filter: 4, kernel: 3}", "4: layers[0].c.filter: ", ["'filter'", "did you mean 'filters'?"]),
        ("  - c: {op: Conv, filters: 4}", "4: layers[0].c: ", ["Conv needs 'kernel'", "stride=1"]),
        ("  - c: Conv", "4: layers[0].c: ", ["Conv needs 'filters' and 'kernel'"]),
        ("  - c: conv", "4: layers[0].c: ", ["unknown operator 'conv'", "did you mean 'Conv'?"]),
        ("  - a: Relu\n  - Rleu", "5: layers[1]: ", ["unknown operator 'Rleu'", "did you mean 'Relu'?"]),
        ("  - c: {op: [Conv]}", "4: layers[0].c.op: ", ["expected an operator, such as Relu, not a list"]),
        ("  - c:", "4: layers[0].c: ", ["expected an operator, such as Relu, not nothing"]),
        ("  - c: {op: Conv, filters: 4x, kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not '4x'"]),
        ("  - c: {op: Conv, filters: 4.0, kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not '4.0'"]),
        ("  - c: {op: Conv, filters: 2*2, kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not '2*2'"]),
        ("  - c: {op: Conv, filters: 010, kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not '010'"]),
        ("  - c: {op: Conv, filters: 1_0, kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not '1_0'"]),
        ("  - c: {op: Conv, filters: [4], kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not a list"]),
        ("  - c: {op: Conv, filters: , kernel: 3}", "4: layers[0].c.filters: ", ["a whole number, not nothing"]),
        ("  - c: {op: Conv, filters: -4, kernel: 3}", "4: layers[0].c.filters: ", ["a positive integer, not -4"]),
        ("  - c: {op: Conv, filters: 4, kernel: [3, x]}", "4: layers[0].c.kernel[1]: ", ["a whole number, not 'x'"]),
        ("  - c: {op: Conv, filters: 4, kernel: {h: 3}}", "4: layers[0].c.kernel: ", ["a whole number or a list"]),
        ("  - c:\n      op: Conv\n      filters: 4\n      kernel: 3\n      pads: [1, 2, 3]", "8: layers[0].c.pads: ",
         ["4 integers of at least 0, not (1, 2, 3)"]),
        ("  - c: {op: Conv, filters: 4, kernel: 3, bias: no}", "4: layers[0].c.bias: ", ["true or false, not 'no'"]),
        ("  - c: {op: Elu, alpha: a}", "4: layers[0].c.alpha: ", ["expected a number, not 'a'"]),
        ("  - c: {op: Elu, alpha: .inf}", "4: layers[0].c.alpha: ", ["expected a number, not '.inf'"]),
        ("  - c: {op: Elu, alpha: 1e999}", "4: layers[0].c.alpha: ", ["expected a number, not '1e999'"]),
        ("  - c: {op: Transpose, axes: 3}", "4: layers[0].c.axes: ", ["a list, each a whole number, such as [1, 2]"]),
        ("  - c: {op: Conv, filters: 4, kernel: 9}", "4: layers[0].c: ", ["kernel 9x9 is larger", "1x3x8x8"]),
        ("  - c: {op: Conv, filters: 4, kernel: 3, groups: 2}", "4: layers[0].c: ", ["groups that do: 1"]),
        ("  - a: Relu\n  - c: {op: Linear, features: 4, channels: 3}", "5: layers[1].c: ", ["its input has 8"]),
        ("  - c: {op: Relu, inputs: c}", "4: layers[0].c.inputs: ", ["'c' cannot read itself"]),
        ("  - c: {op: Relu, inputs: d}\n  - d: Relu", "4: layers[0].c.inputs: ", ["'d' stands further down"]),
        ("  - b:\n    - c: {op: Add, inputs: [image, e]}\n    - d: {repeat: 9, layers: [Relu]}\n    - e: Relu",
         "5: layers[0].b[0].c.inputs[1]: ", ["'e' stands further down"]),
        ("  - c: {op: Relu, inputs: imgae}", "4: layers[0].c.inputs: ", ["no layer 'imgae'", "did you mean 'image'?"]),
        ("  - b: [c: Relu]\n  - d: {op: Relu, inputs: c}", "5: layers[1].d.inputs: ", ["did you mean 'b.c'?"]),
        ("  - Relu\n  - d: {op: Relu, inputs: relu}", "5: layers[1].d.inputs: ", ["one without a name"]),
        ("  - c: {op: Add, inputs: [image]}", "4: layers[0].c: ", ["Add takes 2 inputs, not 1"]),
        ("  - c: {op: Relu, inputs: [image, image]}", "4: layers[0].c: ", ["Relu takes 1 input, not 2"]),
        ("  - c: Add", "4: layers[0].c: ", ["Add takes 2 inputs", "inputs: [a, b]"]),
        ("  - Concat", "4: layers[0]: ", ["Concat takes any number of inputs"]),
        ("  - c: {op: Relu, inputs: []}", "4: layers[0].c.inputs: ", ["a name or a list of names, not an empty list"]),
        ("  - c: {op: Relu, inputs: {a: b}}", "4: layers[0].c.inputs: ", ["expected one value"]),
        ("  - c: Relu\n  - c: Relu", "5: layers[1].c: ", ["a layer is named 'c' already, in line 4"]),
        ("  - b: [c: Relu]\n  - b.c: Relu", "5: layers[1].b.c: ", ["a layer is named 'b.c' already, in line 4"]),
        ("  - image: Relu", "4: layers[0].image: ", ["a layer is named 'image' already, in line 2"]),
        ("  - c.: Relu", "4: layers[0].c.: ", ["must not begin or end with a dot"]),
        ("  - .c: Relu", "4: layers[0]..c: ", ["must not begin or end with a dot"]),
        ("  - ? ''\n    : Relu", "4: layers[0]: ", ["a name is missing"]),
        ("  - c: Relu\n    d: Relu", "4: layers[0]: ", ["'c', 'd'", "each layer begins with '- '"]),
        ("  - c: Conv\n    filters: 3", "4: layers[0]: ", ["'c', 'filters'"]),
        ("  - {}", "4: layers[0]: ", ["one layer has one name"]),
        ("  - [Relu]", "4: layers[0]: ", ["expected a layer, such as conv1: {op: Conv", "not a list"]),
        ("  - c: {filters: 3}", "4: layers[0].c: ", ["the key 'op'", "the key 'layers'"]),
        ("  - c: {Conv: {filters: 3}}", "4: layers[0].c: ", ["did you mean {op: Conv, ...}?"]),
        ("  - Conv: {filters: 3}", "4: layers[0].Conv: ", ["did you mean {op: Conv, ...}?"]),
        ("  - {op: Relu, block: a}", "4: layers[0].block: ", ["only a layer with a name"]),
        ("  - b: []", "4: layers[0].b: ", ["a block needs at least one layer"]),
        ("  - b: {layers: []}", "4: layers[0].b: ", ["a block needs at least one layer"]),
        ("  - b: {layers: Relu}", "4: layers[0].b.layers: ", ["expected a list"]),
        ("  - b: {repeat: 0, layers: [Relu]}", "4: layers[0].b.repeat: ", ["of at least 1, not 0"]),
        ("  - b: {repeat: two, layers: [Relu]}", "4: layers[0].b.repeat: ", ["a whole number, not 'two'"]),
        ("  - b: {start: 1, layers: [Relu]}", "4: layers[0].b: ", ["'start'", "needs 'repeat'"]),
        ("  - b: {repeat: 2, start: -1, layers: [Relu]}", "4: layers[0].b.start: ", ["of at least 0, not -1"]),
        ("  - b: {repeats: 2, layers: [Relu]}", "4: layers[0].b.repeats: ", ["did you mean 'repeat'?"]),
        ("  - b: {input: image, layers: [Relu]}", "4: layers[0].b: ", ["'image' is the layer of line 2", "new name"]),
        ("  - b: {input: x, layers: [x: Relu]}", "4: layers[0].b.layers[0].x: ", ["what the block calls"]),
        ("  - b: {input: x, layers: [Relu]}\n  - c: {op: Relu, inputs: x}", "5: layers[1].c.inputs: ",
         ["no layer 'x'"]),
        ("  - c: Relu\n  - d: {op: Relu, inputs: image}", "4: layers[0].c: ", ["nothing reads 'c'"]),
        ("  - c: {op: Input, shape: [1]}", "2: inputs.image: ", ["nothing reads 'image'"]),
        ("  - c: {op: Input, size: [1]}", "4: layers[0].c.size: ", ["known: block, dtype, inputs, op, shape"]),
        ("  - c: {op: Input, shape: [1], inputs: image}", "4: layers[0].c: ", ["Input takes 0 inputs, not 1"]),
        ("  - c: Relu\noutputs: [c, d]", "5: outputs[1]: ", ["no layer 'd'", "known: c, image"]),
        ("  - c: Relu\noutputs: []", "5: outputs: ", ["a name or a list of names"]),
        ("  - c: Relu\noutput: c", "5: output: ", ["did you mean 'outputs'?"]),
        ("  - c: &a Relu\n  - d: *a", "4: layers[0].c: ", ["anchors are not read"]),
        ("  - c: !!python/name:os.system Relu", "4: layers[0].c: ", ["tags are not read"]),
        ("  - c: Relu\n  - c: {op: Relu, op: Relu}", "5: layers[1].c: ", ["duplicate key 'op'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text, place, parts):
    message = error(f"{HEAD}{text}\n")
    assert message.startswith(f"net.yaml:{place}"), message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("text", "place", "part"),
    [
        ("inputs: {a: [1]}\nlayers: [Relu]", "1: ", "key 'name' is missing"),
        ("name: n\nlayers: [Relu]", "1: ", "key 'inputs' is missing"),
        ("name: n\ninputs: {a: [1]}", "1: ", "key 'layers' is missing"),
        ("name:\ninputs: {a: [1]}\nlayers: [Relu]", "1: name: ", "expected a name, not nothing"),
        ("name: n\ninputs: {}\nlayers: [Relu]", "2: inputs: ", "needs at least one input"),
        ("name: n\ninputs: [1, 3]\nlayers: [Relu]", "2: inputs: ", "expected keys with values, not a list"),
        ("name: n\ninputs: {a: 1x3x8x8}\nlayers: [Relu]", "2: inputs.a: ", "a shape, such as [1, 3, 224, 224]"),
        ("name: n\ninputs: {a: [1, 0]}\nlayers: [Relu]", "2: inputs.a: ", "positive integers, not (1, 0)"),
        ("name: n\ninputs: {a: [1, b]}\nlayers: [Relu]", "2: inputs.a[1]: ", "a whole number, not 'b'"),
        ("name: n\ninputs: {a: {dtype: int8}}\nlayers: [Relu]", "2: inputs.a: ", "Input needs 'shape'"),
        ("name: n\ninputs: {a: {shape: [1], dtype: in8}}\nlayers: [Relu]", "2: inputs.a.dtype: ", "mean 'int8'?"),
        ("name: n\ninputs: {a: {shape: [1], type: int8}}\nlayers: [Relu]", "2: inputs.a.type: ", "'dtype'?"),
        ("name: n\ninputs: {a: [1], b: [1]}\nlayers: [Relu]", "3: layers[0]: ", "several inputs"),
        ("name: n\ninputs: {a: [1], b: [1]}\nlayers: []", "1: ", "outputs names it"),
        ("name: n\ninputs: {a: [1], b: [1]}\nlayers: [c: {input: x, layers: [Relu]}]", "3: layers[0].c: ", "several"),
        ("name: n\ninputs: {a: [1, 2], b: {shape: [1, 2], dtype: int8}}\nlayers: [{op: Add, inputs: [a, b]}]",
         "3: layers[0]: ", "one element type"),
        ("name: n\nengines: {}\nmemories: {}", "1: ", "describes a machine"),
        ("- Relu", "1: ", "expected keys with values, not a list"),
        ("", "1: ", "expected keys with values, not nothing"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_head_is_named_with_its_place(text, place, part):
    message = error(text)
    assert message.startswith(f"net.yaml:{place}"), message
    assert part in message, message


# Attacks


def nested(levels, times):
    text = "Relu"
    for level in range(levels):
        text = f"{{b{level}: {{repeat: {times}, layers: [{text}]}}}}"
    return f"  - {text}\n"


SQUARES = (
    "  - b:\n      repeat: 100\n      input: x\n      layers:\n        - column: {op: Reshape, to: [-1, 1]}\n"
    "        - row: {op: Transpose, axes: [1, 0]}\n        - square: {op: Mul, inputs: [column, row]}\n"
)
"""Each time as many values as the square of those before."""


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("  - Relu\n" * (LIMIT + 1), f"{LIMIT + 1} layers are too many; at most {LIMIT}"),
        ("  - R\n" * 160_000, "160000 layers are too many"),
        (nested(1, LIMIT + 1), f"stands for {LIMIT + 1} layers; at most {LIMIT}"),
        (nested(5, 1000), "stands for 1000000 layers"),
        (nested(5, 49_999), "stands for 2499900001 layers"),
        (nested(1, 999_999_999_999_999_999), "stands for 999999999999999999 layers"),
        (nested(1, "9" * 5000), "of at most 18 digits"),
        (nested(12, 2), "nested deeper"),
        ("".join(f"  - b{n}: {{repeat: 30000, layers: [Relu]}}\n" for n in range(2)), "stands for 60000 layers"),
        (f"  - b: {{repeat: 9, layers: [{{op: Concat, inputs: [{'image, ' * 20_000}]}}]}}\n", "for 180000 layers"),
        (f"  - c: {{op: Reshape, to: [{'1, ' * 150_000}]}}\n", f"a list of 150000 is too long; at most {NUMBERS}"),
        (f"  - c: {{op: Reshape, to: [{'1,' * 300_000}]}}\n", "more than 200000 values"),
        (f"  - c: {{op: Conv, filters: {'9' * 500_000}, kernel: 3}}\n", "at most 18 digits"),
        (f"  - c: {{op: Elu, alpha: {'9' * 500_000}}}\n", "expected a number"),
        (f"  - ? {'a' * 100_000}\n    : Relu\n", f"at most {LONGEST} printable"),
        (f"  - {'a.' * 60}b: [{'c.' * 60}d: Relu]\n", f"longer than {LONGEST} characters"),
        (f"  - c: {'a' * 500_000}\n", "unknown operator"),
        (f"  - c: {{op: Relu, inputs: {'a' * 500_000}}}\n", "no layer"),
        (f"  - c: {{op: Relu, {'a' * 1000}: 1}}\n", "Relu has no attribute"),
        ('  - "a\\e[31mb": Relu\n', "printable"),
        ('  - c: "\\e[31m"\n', "unknown operator '\\x1b[31m'"),
        ("  - " + "[" * 100_000, "nested deeper"),
        (SQUARES, "2^63 elements"),
    ],
)  # fmt: skip
def test_attacks_are_refused_at_once(body, part):
    start = time.process_time()
    message = error(HEAD + body)
    taken = time.process_time() - start
    assert part in message
    assert taken < 10


def test_a_file_too_large_is_not_read(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text(HEAD + "  - Relu\n" * 200_000, encoding="utf-8")
    with pytest.raises(CostModelError, match="larger than 1000000 bytes"):
        costmodel.network(str(file))


VALID = FIRE + "  - more:\n      repeat: 2\n      input: x\n      layers:\n        - add: {op: Add, inputs: [x, x]}\n"


@settings(max_examples=250, deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(VALID) - 1),
            st.integers(0, 12),
            st.one_of(
                st.text(max_size=4),
                st.sampled_from([*"{}[]:,-&*!|>'\"%@`#\t\n ", "- ", ": ", "null", "op: ", "layers: ", "repeat: 99999"]),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_is_a_network_or_an_error_with_a_place(edits):
    text = VALID
    for at, cut, put in edits:
        text = text[:at] + put + text[at + cut :]
    try:
        made = read(text)
    except CostModelError as caught:
        made = str(caught)
    assert isinstance(made, Graph) or (made.startswith("net.yaml:") and len(made) < 1500)


# What the program writes


VARIANTS = [(name, {}) for name in zoo.names()] + [
    ("hairnet", {"size": 64, "classes": 7, "width": 0.37}), ("hairnet", {"dense_head": True}),
    ("alexnet", {"groups": 1}),
    ("googlenet", {"auxiliary_heads": True}), ("mobilenet_v1", {"width": 0.25}), ("mobilenet_v2", {"expansion": 1}),
    ("mobilenet_v2", {"width": 1.4, "size": 96}), ("nasnet_a_mobile", {"penultimate": 192, "size": 96}),
    ("lenet5", {"classes": 2}), ("resnet50", {"width": 0.5, "size": 65}), ("vgg16", {"width": 0.1}),
    *[("shufflenet", {"groups": groups, "squeeze_excite": groups % 2 == 0}) for groups in (1, 2, 4, 8)],
    ("shufflenet", {"scale": 0.25}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "chosen"), VARIANTS, ids=str)
def test_every_network_of_the_zoo_reads_back_equal(name, chosen):
    graph = zoo.get(name)(**chosen)
    text = written(graph)
    back = read(text)
    assert back == graph
    assert (back.name, back.parameters, back.macs) == (graph.name, graph.parameters, graph.macs)
    assert written(back) == text
    heads = sum(line.endswith(":") for line in text.splitlines())
    assert len(text.splitlines()) - heads == len(graph.nodes) + 1  # a line for each layer, and the name's


@pytest.mark.parametrize(("batch", "dtype"), [(8, "float32"), (1, "int8"), (3, "bfloat16")])
def test_a_batch_and_an_element_type_are_kept(batch, dtype, tmp_path):
    file = tmp_path / "net.yaml"
    graph = costmodel.network("resnet18", batch=batch, dtype=dtype)
    file.write_bytes(encode(graph))
    assert costmodel.network(str(file)) == graph
    assert costmodel.network(str(file), batch=5) == costmodel.network("resnet18", batch=5, dtype=dtype)
    assert costmodel.network(str(file), dtype="int4") == costmodel.network("resnet18", batch=batch, dtype="int4")


def test_what_is_written_reads_like_a_table():
    assert written(zoo.get("squeezenet")(size=64)) .startswith("""\
name: "squeezenet(size=64)"
inputs: {input: [1, 3, 64, 64]}
layers:
  - conv1:
      - conv: {op: Conv, filters: 96, kernel: 7, stride: 2}
      - conv_relu: Relu
      - max_pool: {op: MaxPool, kernel: 3, stride: 2, ceil_mode: true}
  - fire2:
      - s1x1: {op: Conv, filters: 16, kernel: 1}
      - s1x1_relu: Relu
      - e1x1: {op: Conv, filters: 64, kernel: 1}
      - e1x1_relu: Relu
      - e3x3: {op: Conv, filters: 64, kernel: 3, pads: 1, inputs: s1x1_relu}
      - e3x3_relu: Relu
      - concat: {op: Concat, inputs: [e1x1_relu, e3x3_relu]}
  - fire3:
""")  # fmt: skip


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (Conv(4, 3), "filters: 4, kernel: 3"),
        (Conv(4, (3, 1), pads=(1, 0)), "filters: 4, kernel: [3, 1], pads: [1, 0]"),
        (Conv(4, 3, pads=(0, 1, 2, 3)), "filters: 4, kernel: 3, pads: [0, 1, 2, 3]"),
        (Conv(4, (3,), stride=2), "filters: 4, kernel: [3], stride: 2"),
        (Conv(4, (3, 3, 3), dilation=(2, 2, 2)), "filters: 4, kernel: [3, 3, 3], dilation: 2"),
        (MaxPool(3), "kernel: 3"),
        (MaxPool(3, stride=(3, 3)), "kernel: 3"),
        (MaxPool(3, stride=1), "kernel: 3, stride: 1"),
        (BatchNorm(), ""),
        (BatchNorm(epsilon=1e-3), "epsilon: 0.001"),
        (BatchNorm(epsilon=1e-12), "epsilon: 1.0e-12"),
        (Slice((0, 1), (None, 3)), "start: [0, 1], stop: [null, 3]"),
        (Input((1, 2), "int8"), "shape: [1, 2], dtype: int8"),
        (Cast("bool"), "dtype: bool"),
        (Cast(), ""),
        (Linear(3, bias=False), "features: 3, bias: false"),
    ],
)
def test_nothing_is_said_that_follows_by_itself(op, said):
    assert ", ".join(f"{key}: {value}" for key, value in compact(op)) == said


def test_a_name_that_is_hidden_in_a_block_is_written_outside_of_it():
    x = Input((1, 3))()
    with block("x"):
        y = Relu()(x, name="y")
    with block("a"):
        first = Relu()(y, name="first")
        with block("x"):
            hiding = Relu()(first, name="y")
        graph = Graph(Add()(y, hiding, name="add"), "hidden")
    assert "\n  - a.add: {op: Add, inputs: [x.y, a.x.y]}\n" in written(graph)
    assert read(written(graph)) == graph


@pytest.mark.parametrize(
    ("name", "problem"), [("a\x1b[m", "printable"), ("a" * (LONGEST + 1), "at most"), ("\ud800", "cannot hold")]
)
def test_what_cannot_be_written_is_an_error(name, problem):
    graph = Graph(Relu()(Input((1, 2))(), name=name), "net")
    with pytest.raises(CostModelError, match="a list of layers cannot hold this network") as caught:
        encode(graph)
    assert problem in str(caught.value)


def test_infinite_attributes_cannot_be_written():
    with pytest.raises(CostModelError, match="expected a number, not 'inf'"):
        encode(Graph(Elu(alpha=float("inf"))(Input((1, 2))())))


# Random graphs over the whole vocabulary

PLAIN_NAMES = st.sampled_from(["a", "b", "conv", "relu", "x", "input"])
ODD_NAMES = st.sampled_from(
    ["op", "layers", "inputs", "true", "null", "~", "0", "1e3", "a.b", ".a", "a.", "..", "- x", "x: y", "#", "'", '"',
     "\\", "é", "名前", "in put", "[a]", "{", "}", "&a", "*a", "!t", "?", "|", ">", "%", "@", "a,b", " a", "a ", "a #b"]
) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).filter(str.isprintable)  # fmt: skip
NAMES = PLAIN_NAMES | ODD_NAMES
BLOCKS = st.just("") | PLAIN_NAMES | st.lists(NAMES, min_size=1, max_size=3).map(".".join)
WHOLE = st.integers(1, 4)
REAL = st.floats(allow_nan=False, allow_infinity=False)
OPERATORS = sorted(set(Op.registry) - {"Input"})


@st.composite
def windowed(draw, rank, *, below=False):
    kernel = draw(st.lists(st.sampled_from([1, 2, 2, 3]), min_size=rank, max_size=rank).map(tuple))
    pads = st.integers(0, 2)
    several = st.lists(WHOLE, min_size=rank, max_size=rank).map(tuple)
    found = {
        "kernel": kernel,
        "stride": draw(WHOLE | several),
        "dilation": draw(st.sampled_from([1, 1, 1, 2]) | several),
    }
    ends = st.lists(pads, min_size=2 * rank, max_size=2 * rank).map(tuple)
    return found | {"pads": 0 if below else draw(pads | ends)}


@st.composite
def operator(draw, kind, shape):
    """An operator with attributes drawn for a shape; it may not fit."""
    rank = max(1, min(3, len(shape) - 2))
    axis = st.integers(-len(shape), len(shape) - 1)
    given = {
        "Conv": lambda: Conv(
            2 * draw(WHOLE), **draw(windowed(rank)), groups=draw(st.sampled_from([1, 1, 2])), bias=draw(st.booleans()),
            channels=draw(st.sampled_from([None, shape[min(1, len(shape) - 1)]])),
        ),
        "MaxPool": lambda: MaxPool(**draw(windowed(rank, below=True)), ceil_mode=draw(st.booleans())),
        "AveragePool": lambda: AveragePool(
            **draw(windowed(rank, below=True)) | draw(st.sampled_from([{}, {"stride": None}])),
            count_include_pad=draw(st.booleans()),
        ),
        "Linear": lambda: Linear(draw(WHOLE), draw(st.booleans()), draw(st.sampled_from([None, shape[-1]]))),
        "BatchNorm": lambda: BatchNorm(abs(draw(REAL))),
        "Lrn": lambda: Lrn(draw(WHOLE), draw(REAL), draw(REAL), draw(REAL)),
        "Softmax": lambda: Softmax(draw(axis)),
        "Cast": lambda: Cast(draw(st.sampled_from([None, "bool", "int8"]))),
        "Concat": lambda: Concat(draw(axis)),
        "Flatten": lambda: Flatten(draw(axis)),
        "Transpose": lambda: Transpose(tuple(draw(st.permutations(range(len(shape)))))),
        "Slice": lambda: Slice(
            tuple(draw(st.integers(-1, 0)) for _ in shape),
            tuple(draw(st.sampled_from([None, size, size + 5])) for size in shape),
        ),
        "Pad": lambda: Pad(tuple(draw(st.integers(0, 1)) for _ in range(2 * len(shape)))),
        "Reshape": lambda: Reshape(draw(st.sampled_from([(0, -1), (-1,), tuple(shape), (1, *shape)]))),
        "ChannelShuffle": lambda: ChannelShuffle(draw(st.sampled_from([1, 2]))),
        "LeakyRelu": lambda: LeakyRelu(draw(REAL)),
        "Elu": lambda: Elu(draw(REAL)),
    }  # fmt: skip
    return (
        given[kind]() if kind in given else draw(st.sampled_from([case.op for case in CASES if case.op.kind == kind]))
    )


@st.composite
def graphs(draw):
    dtype = draw(st.sampled_from([None, None, "int8", "float16"]))
    shapes = st.sampled_from([(1, 4, 6, 6), (2, 2, 5), (1, 2, 4, 4, 4), (3, 4), (6,), (4, 4)])
    tensors: list[Tensor] = []
    labels: set[str] = set()
    read_by: set[Tensor] = set()
    homes = [""]

    def make(op, inputs):
        name = draw(st.none() | NAMES)
        if draw(st.integers(0, 2)) == 0:
            homes.append(draw(BLOCKS))
        home = homes[-1]
        label = f"{home}.{name or op.kind.lower()}" if home else name or op.kind.lower()
        if name and label in labels:
            return
        try:
            node = Node(op, inputs, name, home)
        except CostModelError:
            return
        if node.outputs[0].elements < 2**20:
            labels.update({label} if name else ())
            tensors.extend(node.outputs)
            read_by.update(inputs)

    while not tensors:
        make(Input(draw(shapes), dtype), [])
    for _ in range(draw(st.integers(0, 20))):
        kind = draw(st.sampled_from(["Input", "Conv", "MaxPool", "Concat", *OPERATORS]))
        if kind == "Input":
            make(Input(draw(shapes), dtype), [])
            continue
        source = draw(st.sampled_from([tensors[-1]] * 3 + tensors))
        if not source.shape:
            continue
        same = [tensor for tensor in tensors if tensor.shape == source.shape]
        op = draw(operator(kind, source.shape))
        others = [draw(st.sampled_from(same)) for _ in range(draw(WHOLE) if op.operands is None else op.operands - 1)]
        make(op, [source, *others])
    ends = draw(st.permutations([tensor for tensor in tensors if tensor not in read_by]))
    return Graph(
        [*ends, *draw(st.lists(st.sampled_from(tensors), max_size=1))],
        draw(NAMES),
        dtype=draw(st.sampled_from(["float32", "int8"])),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(graph=graphs())
def test_any_graph_reads_back_equal(graph):
    text = written(graph)
    back = read(text)
    assert back == graph
    assert back.name == graph.name
    assert [tensor.dtype for tensor in back.outputs] == [tensor.dtype for tensor in graph.outputs]
    assert broken(NETWORK, plain(text)) == []


def test_every_operator_has_been_worked_out_and_can_be_written():
    kinds = set()
    for case in CASES:
        if isinstance(case.op, Input):
            continue
        kinds.add(case.op.kind)
        operands = [Input(shape, dtype)() for shape, dtype in zip(case.inputs, case.types, strict=True) if shape]
        if len(operands) < len(case.inputs):
            continue  # no input is a single number
        graph = Graph(case.op.apply(*operands), case.name)
        back = read(written(graph))
        assert back == graph
        assert back.outputs[0].shape == case.output
    assert kinds == set(OPERATORS)


def test_no_attribute_has_the_name_of_a_key():
    for cls in Op.registry.values():
        assert not set(attributes(cls)) & {*KEYS, "layers"}


def test_types_that_no_file_can_hold_are_a_mistake_of_the_programmer():
    with pytest.raises(TypeError, match="no file can hold"):
        form(dict)


# The schema

NETWORK = Draft202012Validator(schema.network())
HARDWARE = Draft202012Validator(schema.hardware())


def plain(text):
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def broken(validator, value):
    return [problem.message for problem in validator.iter_errors(value)]


@pytest.mark.parametrize("kind", schema.KINDS)
def test_the_committed_schema_follows_from_the_declarations(kind):
    # in a process of its own: tests register operators
    program = f"import sys; from costmodel import schema; sys.stdout.buffer.write(schema.text({kind!r}).encode())"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert made == (ROOT / "docs" / f"{kind}.schema.json").read_bytes()
    Draft202012Validator.check_schema(json.loads(made))


@pytest.mark.parametrize("name", hardware.profiles())
def test_every_shipped_machine_is_valid(name):
    assert broken(HARDWARE, plain(hardware.profiles()[name].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", zoo.names())
def test_every_exported_network_is_valid(name):
    assert broken(NETWORK, plain(written(zoo.get(name)()))) == []


@pytest.mark.parametrize("text", [FIRE, VALID, mobilenet_v2()], ids=["fire", "more", "mobilenet_v2"])
def test_a_network_written_by_hand_is_valid(text):
    assert broken(NETWORK, plain(text)) == []


@pytest.mark.parametrize(
    "body",
    [
        "  - c: {op: Conv, filter: 4, kernel: 3}", "  - c: {op: Conv, filters: 4}", "  - c: Conv", "  - c: conv",
        "  - Rleu", "  - c: {op: Conv, filters: four, kernel: 3}", "  - c: {op: Conv, filters: 4.5, kernel: 3}",
        "  - c: {op: Conv, filters: 4, kernel: [3, x]}", "  - c: {op: Conv, filters: 4, kernel: 3, bias: maybe}",
        "  - c: {op: Add}", "  - c: Add", "  - Concat", "  - c: {op: Relu, inputs: []}", "  - c: {op: Relu, slope: 1}",
        "  - c: Relu\n    d: Relu", "  - {}", "  - [Relu]", "  - c: {filters: 3}", "  - b: []",
        "  - b: {repeat: 0, layers: [Relu]}", "  - b: {repeats: 2, layers: [Relu]}", "  - b: {layers: Relu}",
        "  - b: {repeat: 2, layers: [{c: {op: Elu, alpha: [1]}}]}", "  - b: [c: Relu, d: [Conv]]",
        "  - c: Relu\noutput: c", "  - c: {op: Input, size: [1]}", "  - {op: Relu, inplace: true}",
    ],
)  # fmt: skip
def test_a_broken_network_is_neither_valid_nor_read(body):
    assert broken(NETWORK, plain(f"{HEAD}{body}\n"))
    error(f"{HEAD}{body}\n")


STATED = {case.op: compact(case.op) for case in CASES if not isinstance(case.op, Input)}
"""Operators with the attributes that each states."""


def planned(entry):
    """Whether the reader takes an entry as it stands there; whether it fits what it reads comes later."""
    text = f"name: net\ninputs: {{x: [1]}}\nlayers:\n  - {entry}\n"
    try:
        document.record(File, document.parse(text, "net.yaml"))
    except CostModelError:
        return False
    return True


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_schema_takes_as_many_inputs_as_the_reader(kind):
    layer = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": NETWORK.schema["$defs"]})
    bare = Draft202012Validator(NETWORK.schema["$defs"]["bare"])
    assert planned(kind) == (broken(bare, kind) == [])
    for own in [own for op, own in STATED.items() if op.kind == kind]:
        for names in ("", "x", "[x]", *[f"[{', '.join('x' * count)}]" for count in range(2, 8)]):
            pairs = [("op", kind), *own, *([("inputs", names)] if names else [])]
            entry = f"{{{', '.join(f'{name}: {value}' for name, value in pairs)}}}"
            assert planned(entry) == (broken(layer, plain(entry)) == []), entry


@pytest.mark.parametrize(
    "entry",
    [
        "{op: LSTM, hidden: 4}", "{op: LSTM, hidden: 4, lengths: true}", "{op: GRU, hidden: 4, initial_h: operand}",
        "{op: LSTM, hidden: 4, initial_h: operand, initial_c: operand, inputs: [a, b, c]}",
        "{op: Einsum, equation: 'ij,jk->ik', held: [null, [2, 3]]}",
        "{op: Einsum, equation: 'ij,jk->ik', held: [null]}",
        "{op: Einsum, equation: 'ij,jk->ik', held: []}",
        "{op: Einsum, equation: 'ij,jk->ik', held: [], inputs: [a, b]}",
        "{op: Concat, held: [[1, 2], null]}", "{op: Concat, held: [null, null]}", "{op: Concat, held: [[1, 2]]}",
        "{op: Concat, held: [null, null], inputs: [a, b]}", "{op: Concat, held: []}", "{op: Concat, inputs: a}",
        "{op: Gather, held: [[4, 2]]}", "{op: Gather, held: [[4, 2], null]}", "{op: Where}", "Where", "Gather", "Pow",
        "{op: Where, held: [[2], null, null], inputs: [a, b]}", "{op: Where, held: [[2], null, null]}",
        "{op: Pow, exponent: 2}", "{op: Pow, held: null}", "{op: Pow, exponent: 2, inputs: [a, b]}",
        "{op: Add, held: []}",
        "{op: Attention, mask: true, inputs: [a, b, c]}", "{op: Attention, mask: true, held: [1], inputs: [a, b, c]}",
        "{op: LinearAttention, heads: 1, key_heads: 1, inner: 1, size: 1, rule: linear, inputs: [a, b, c]}",
        "{op: LinearAttention, heads: 1, key_heads: 1, inner: 1, size: 1, inputs: [a, b, c]}", "AffineGrid", "LSTM",
        "{op: CausalConv, kernel: 2, past: true}", "{op: CausalConv, kernel: 2}",
        "{op: CausalConv, kernel: 2, past: null}",
    ],
)  # fmt: skip
def test_how_many_inputs_a_layer_takes_may_depend_on_its_attributes(entry):
    entries = Draft202012Validator({"$ref": "#/$defs/entry", "$defs": NETWORK.schema["$defs"]})
    assert planned(entry) == (broken(entries, plain(entry)) == [])


def test_what_an_attribute_means_is_said_where_its_value_is_refused():
    message = error(f"{HEAD}  - {{op: Pad, pads: 1}}\n")
    assert "expected a list" in message
    assert message.endswith(f"; pads: {MEANINGS['Pad.pads']}")


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        ("Attention", "takes 3 inputs; name them, such as {op: Attention, inputs: [a, b, c]}"),
        ("Where", "takes 3 inputs; name them, such as {op: Where, inputs: [a, b, c]}"),
        ("Concat", "takes any number of inputs; name them, such as {op: Concat, inputs: [a, b]}"),
        ("{op: CausalConv, kernel: 2, past: true}", "CausalConv takes 2 inputs; name them"),
        ("{op: CausalConv, kernel: 2, inputs: [image, image]}", "CausalConv takes 1 input, not 2"),
        ("{op: LinearAttention, heads: 1, key_heads: 1, inner: 1, size: 1}", "takes 5 inputs"),
        ("TensorScatter", "takes 2 inputs"),
        ("{op: DeformConv, filters: 1, kernel: 1, mask: true}", "takes 3 inputs"),
    ],
)
def test_a_layer_without_its_inputs_is_told_how_many_it_takes(kind, example):
    assert example in error(f"{HEAD}  - {kind}\n")


MACHINE = """\
name: toy
engines:
  matrix: {peak: 2 TFLOPS, runs: [Conv, Conv depthwise]}
  host: {peak: 10 GFLOPS, runs: rest}
memories:
  near: {size: 64 KiB}
  far: {size: inf, bandwidth: 8 GB/s}
fuse: [[BatchNorm, Relu]]
overlap: layer
placement: liveness
overhead: 5 us
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: toy\n", ""), ("2 TFLOPS", "2"), ("2 TFLOPS", "2 GB/s"), ("10 GFLOPS", "-1 GFLOPS"),
        ("peak: 2", "peek: 2"),
        ("[Conv, Conv depthwise]", "[Conv, Conv deepwise]"), ("runs: rest", "runs: others"), ("64 KiB", "inf TB/s"),
        ("size: inf, ", ""), ("[[BatchNorm, Relu]]", "[[BatchNorm]]"), ("[[BatchNorm, Relu]]", "[[BatchNorm, ReLU]]"),
        ("overlap: layer", "overlap: all"), ("liveness", "live"), ("5 us", "5"), ("name: toy", "nam: toy"),
        ("near:", "ne.ar:"), ("8 GB/s", "8 GB"),
    ],
)  # fmt: skip
def test_a_broken_machine_is_neither_valid_nor_read(old, new, tmp_path):
    assert MACHINE.count(old) == 1
    assert broken(HARDWARE, plain(MACHINE)) == []
    file = tmp_path / "toy.yaml"
    file.write_text(MACHINE, encoding="utf-8")
    assert costmodel.machine(str(file)).name == "toy"
    text = MACHINE.replace(old, new)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CostModelError):
        costmodel.machine(str(file))
    assert broken(HARDWARE, plain(text))


def test_the_schema_says_what_each_key_means():
    properties = schema.hardware()["properties"]
    for field in fields(hardware.Hardware):
        if field.metadata:
            assert properties[field.name]["description"] == field.metadata["meaning"]
    convolution = schema.network()["$defs"]["Conv"]
    assert convolution["description"].startswith("y[n,m,p] = b[m] + sum over c,k")
    assert convolution["required"] == ["op", "filters", "kernel"]
    assert convolution["properties"]["stride"]["default"] == 1
    assert schema.network()["$defs"]["Input"]["properties"]["dtype"]["anyOf"][0]["enum"] == list(BITS)


def test_every_attribute_of_every_operator_has_a_meaning_and_every_meaning_an_attribute():
    used = {entry(cls, key) for cls in map(Op.registry.get, [*OPERATORS, "Input"]) for key in attributes(cls)}
    assert used == set(MEANINGS)


# The command line


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.yaml").write_text(mobilenet_v2(), encoding="utf-8")
    (tmp_path / "small.yml").write_text(FIRE, encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(MACHINE, encoding="utf-8")
    return tmp_path


def test_a_file_is_profiled_as_the_network_that_it_is(files):
    wanted = records(ok("profile", "mobilenet_v2", "--hw", "paper-2012", "--csv", "-"))
    assert records(ok("profile", "./net.yaml", "--hw", "toy.yaml", "--csv", "-", cwd=files)) != wanted
    assert records(ok("profile", "./net.yaml", "--hw", "paper-2012", "--csv", "-", cwd=files)) == wanted
    wanted = records(
        ok("profile", "mobilenet_v2", "--hw", "paper-2012", "--csv", "-", "--batch", "2", "--dtype", "int8")
    )
    args = ("profile", "net.yaml", "--hw", "paper-2012", "--csv", "-", "--batch", "2", "--dtype", "int8")
    assert records(ok(*args, cwd=files)) == wanted


def test_every_command_takes_a_file(files):
    machine = ("--hw", "toy.yaml")
    assert "mobilenet_v2" in ok("compare", "net.yaml", "small.yml", "hairnet", *machine, cwd=files)
    assert "35622400 MAC" in ok("explain", "small.yml", *machine, cwd=files)
    assert "fire2.squeeze" in ok("memory", "small.yml", cwd=files)
    assert "fire2.squeeze" in ok("show", "small.yml", cwd=files)
    assert "fire2.squeeze" in ok("show", "network", "small.yml", cwd=files)
    assert "matrix" in ok("show", "toy.yaml", cwd=files)
    assert "the run counts what the model says" in ok("verify", "small.yml", cwd=files)
    assert ok("roofline", "small.yml", *machine, "-o", "-", cwd=files).lstrip().startswith("<")
    assert "measured" in ok("run", "small.yml", "--repeat", "1", cwd=files)
    assert ok("export", "small.yml", cwd=files).startswith("name: fire2\ninputs: {maps: [1, 96, 55, 55]}\n")


def test_a_snapshot_finds_its_network_from_its_own_folder(files):
    (files / "sub").mkdir()
    ok("snapshot", "small.yml", "lenet5", "--hw", "toy.yaml", "-o", "sub/costs.json", cwd=files)
    assert json.loads((files / "sub/costs.json").read_text())["snapshots"][0]["request"]["network"] == "../small.yml"
    assert "nothing has changed" in ok("check", "sub/costs.json", cwd=files)
    assert "nothing has changed" in ok("check", "costs.json", cwd=files / "sub")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("profile", "toy.yaml", "--hw", "toy.yaml"), ["toy.yaml:1: ", "describes a machine", "--hw"]),
        (("profile", "net.yaml", "--hw", "net.yaml"), ["net.yaml:1: ", "layers of a network", "engines and memories"]),
        (("profile", "gone.yaml", "--hw", "toy.yaml"), ["gone.yaml: cannot read it: No such file"]),
        (("profile", "net", "--hw", "toy.yaml"), ["no network 'net'", "must end in .yaml: net.yaml"]),
        (("profile", "nett", "--hw", "toy.yaml"), ["no network 'nett'", "or the path of a .yaml file"]),
        (("profile", "net.yaml", "--hw", "toy.yaml", "--size", "64"), ["net.yaml: ", "no parameter 'size'"]),
        (("profile", "net.yaml", "--hw", "toy.yaml", "--csv", "net.yaml"), ["would be overwritten"]),
        (("memory", "net.yaml", "--csv", "./net.yaml"), ["would be overwritten"]),
        (("verify", "net.yaml", "--csv", "net.yaml"), ["would be overwritten"]),
        (("snapshot", "net.yaml", "--hw", "toy.yaml", "-o", "net.yaml"), ["would be overwritten"]),
        (("export", "net.yaml", "-o", "net.yaml"), ["would be overwritten"]),
        (("export", "lenet5", "-o", "net.json"), ["net.json: ", "known: .onnx, .yaml, .yml"]),
        (("export", "lenet5", "-o", "net"), ["net: ", "known: .onnx, .yaml, .yml"]),
        (("export", "lenet5", "-o", "no/net.yaml"), ["no/net.yaml: cannot write it"]),
        (("export", "lenet"), ["no network 'lenet'", "did you mean 'lenet5'?"]),
        (("schema", "machine"), ["no schema of 'machine'", "known: hardware, network"]),
    ],
)  # fmt: skip
def test_a_wrong_command_is_named(args, parts, files):
    before = {file.name: file.read_bytes() for file in files.iterdir()}
    message = refused(*args, cwd=files)
    assert all(part in message for part in parts), message
    assert {file.name: file.read_bytes() for file in files.iterdir()} == before


def test_an_error_in_a_compared_file_is_said_once(files):
    (files / "bad.yaml").write_text(HEAD + "  - Rleu\n", encoding="utf-8")
    message = refused("compare", "bad.yaml", "lenet5", "--hw", "toy.yaml", cwd=files)
    assert message.startswith("error: bad.yaml:4: layers[0]: unknown operator 'Rleu'")


def test_export_writes_what_it_prints(files):
    printed = ok("export", "resnet18", "--size", "64", "--batch", "2", cwd=files)
    assert ok("export", "resnet18", "--size", "64", "--batch", "2", "-o", "out.YAML", cwd=files) == ""
    assert (files / "out.YAML").read_text(encoding="utf-8") == printed
    assert read(printed) == costmodel.network("resnet18", size=64, batch=2)
    assert costmodel.network(str(files / "out.YAML")) == read(printed)
    assert not list(files.glob("*.part"))


@pytest.mark.parametrize("kind", schema.KINDS)
def test_schema_prints_and_writes_what_is_committed(kind, tmp_path):
    committed = (ROOT / "docs" / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert ok("schema", kind) == committed
    assert ok("schema", kind, "-o", "a.json", cwd=tmp_path) == ""
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == committed


def test_what_can_be_written_can_be_read():
    assert set(exporters.FORMATS) <= set(importers.FORMATS)


# Speed


def test_densenet_is_read_in_half_a_second():
    data = encode(zoo.get("densenet201")()).decode()
    start = time.process_time()
    read(data)
    assert time.process_time() - start < 0.5
