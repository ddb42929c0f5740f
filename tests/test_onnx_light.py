"""The zoo against the weightless models inside the onnx package, operator by operator.

The files were exported from models that others released. Their maps come from onnx's own shape inference, their counts
from the formulas in ``in_file``. Where a file is a variant of our network, the test says which rule differs, and
with that rule changed every row has to agree.
"""

import functools
from math import prod
from pathlib import Path
from typing import NamedTuple

import onnx
import pytest

import costmodel
from costmodel.counting.tools import CONVENTIONS
from costmodel.profile import profile

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

# ONNX's operators that work on maps, and ours for them
OPERATORS = {
    "AveragePool": "AveragePool", "BatchNormalization": "BatchNorm", "Concat": "Concat", "Conv": "Conv",
    "Gemm": "Linear", "GlobalAveragePool": "GlobalAveragePool", "LRN": "Lrn", "MaxPool": "MaxPool", "Relu": "Relu",
    "Softmax": "Softmax", "Sum": "Add",
}  # fmt: skip

# What makes the weights, what only renames or moves values, and DenseNet's gamma and beta, which are nodes of their own
# behind a batch norm; and what of ours moves values.
LEFT_OUT = {"Add", "ConstantOfShape", "Dropout", "Mul", "Reshape", "Transpose", "Unsqueeze"}
OWN_LEFT_OUT = {"ChannelShuffle", "Dropout", "Flatten"}

HEIGHT = 2  # the axis of a map


class Row(NamedTuple):
    """One operator: its window, its groups, what it learns, its products, and the shape of what it makes."""

    operator: str
    kernel: tuple[int, ...]
    groups: int
    parameters: int
    macs: int
    output: tuple[int, ...]


@functools.cache
def in_file(name):
    """The rows of a file, in its order."""
    model = onnx.shape_inference.infer_shapes(
        onnx.load(LIGHT / f"light_{name}.onnx"), strict_mode=True, data_prop=True, check_type=True
    )
    tensors = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = {tensor.name: tuple(dim.dim_value for dim in tensor.type.tensor_type.shape.dim) for tensor in tensors}
    rows = []
    for node in model.graph.node:
        if node.op_type in LEFT_OUT:
            continue
        operator = OPERATORS[node.op_type]
        given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        x, *weights = [shapes[tensor] for tensor in node.input]
        output = shapes[node.output[0]]
        kernel, groups, parameters, macs = tuple(given.get("kernel_shape", (0, 0))), 0, 0, 0
        if operator in ("Conv", "Linear"):
            assert operator == "Conv" or given["transB"], "the filters come first in the weights"
            filters, *reduced = weights[0]
            assert output[1] == filters
            groups = given.get("group", 1)
            parameters = sum(map(prod, weights))
            macs = prod(output) * prod(reduced)
        elif operator == "BatchNorm":
            parameters = 2 * x[1]  # gamma and beta; mean and variance are not learned
        elif operator == "AveragePool" and output[HEIGHT:] == (1, 1):
            operator, kernel = "GlobalAveragePool", (0, 0)  # one window on the whole map
        rows.append(Row(operator, kernel, groups, parameters, macs, output))
    return rows


@functools.cache
def in_zoo(name, **chosen):
    """The same rows of our network, off its profile."""
    layers = profile(costmodel.network(name, **chosen)).layers
    columns = ("operator", "kernel_height", "kernel_width", "groups", "parameters", "macs", "output_shape")
    return [
        Row(operator, (height, width), groups, parameters, macs, tuple(map(int, output.split("x"))))
        for operator, height, width, groups, parameters, macs, output in layers.select(columns).tuples()
        if operator not in OWN_LEFT_OUT
    ]


def totals(rows):
    return sum(row.parameters for row in rows), sum(row.macs for row in rows)


# The formulas above against what counting tools print for the files: parameters by calflops 0.3.2, which sees no matrix
# behind a reshape, so for inception_v1 by onnx-tool 1.0.1; MACs as half the FLOPs of torch's flop_counter.
@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("bvlc_alexnet", 60_965_224, 1_309_120_768 // 2),
        ("densenet121", 7_978_856, 5_668_323_328 // 2),
        ("inception_v1", 6_998_552, 2_863_112_704 // 2),
        ("resnet50", 25_557_032, 8_178_368_512 // 2),
        ("shufflenet", 1_393_320, 249_329_056 // 2),
        ("squeezenet", 1_235_496, 698_303_872 // 2),
        ("vgg19", 143_667_240, 39_264_124_928 // 2),
    ],
)
def test_totals_of_the_files_are_those_of_counting_tools(name, parameters, macs):
    assert totals(in_file(name)) == (parameters, macs)


# The same network: every operator in order.


@pytest.mark.parametrize(
    ("name", "file", "chosen"),
    [("resnet50", "resnet50", {}), ("squeezenet_v1_1", "squeezenet", {"size": 224}), ("vgg19", "vgg19", {})],
)
def test_every_operator_is_that_of_the_file(name, file, chosen):
    assert in_zoo(name, **chosen) == in_file(file)


def test_densenet_is_its_file_but_for_the_form_of_the_last_layer():
    *body, last, softmax = in_zoo("densenet121")
    assert [*body, last._replace(operator="Conv", kernel=(1, 1), output=(1, 1000, 1, 1))] == in_file("densenet121")
    assert last == Row("Linear", (0, 0), 1, 1_025_000, 1_024_000, (1, 1000))
    assert softmax == Row("Softmax", (0, 0), 0, 0, 0, (1, 1000))  # the file ends with the logits


# The same layers on other maps: the pools of the files round down, where the authors' released models round up.

# Inputs that give operators of our networks the maps of the file. GoogLeNet: the first convolution and its activation
# have them from 224; from 221 the next map is odd, and so are those behind it, which round up and down alike. AlexNet:
# the first three operators have them from 224, the next four, up to the second norm, from 219, the rest from 211.
GOOGLENET = [(224, slice(2)), (221, slice(2, None))]
ALEXNET = [(224, slice(3)), (219, slice(3, 7)), (211, slice(7, None))]


def heights(ours, theirs):
    """The heights of our maps -> those of the file's."""
    pairs = {(a.output[HEIGHT], b.output[HEIGHT]) for a, b in zip(ours, theirs, strict=True) if len(a.output) > HEIGHT}
    return sorted(pairs, reverse=True)


def test_googlenet_is_its_file_on_the_maps_that_pools_leave_which_round_down():
    file, ours = in_file("inception_v1"), in_zoo("googlenet")
    assert heights(ours, file) == [(112, 112), (56, 55), (28, 27), (14, 13), (7, 6), (1, 1)]
    assert [row for size, part in GOOGLENET for row in in_zoo("googlenet", size=size)[part]] == file
    assert totals(ours) == (totals(file)[0], 1_582_671_872)


def test_alexnet_is_its_file_on_the_maps_that_pools_leave_which_round_down():
    file, ours = in_file("bvlc_alexnet"), in_zoo("alexnet")
    # The file takes an input of 224, not the 227 that a first map of 55 needs; its last pool is padded and makes the 6.
    assert heights(ours, file) == [(55, 54), (27, 26), (13, 12), (6, 6)]
    assert [row for size, part in ALEXNET for row in in_zoo("alexnet", size=size)[part]] == file
    assert totals(ours) == (totals(file)[0], 724_406_816)


# What onnx-tool 1.0.1 prints for the files, by its rules on our networks; ``beside`` is what operators of the file add.
@pytest.mark.parametrize(
    ("name", "parts", "beside", "printed"),
    [
        ("alexnet", ALEXNET, 0, 675_839_112),
        # a mean pool of 7x7 on a padded map of 6x6 in the place of a global one
        ("googlenet", GOOGLENET, (49 - 36 - 4) * 1024, 1_481_545_240),
        # a mean pool of 7x7 in the place of a global one
        ("resnet50", [(224, slice(None))], -4 * 2048, 4_450_789_512),
        # gamma and beta as operators on the 15,667,456 outputs of batch norms; no softmax
        ("densenet121", [(224, slice(None))], 2 * 15_667_456 - 36 * 1000, 3_369_419_240),
    ],
)
def test_onnx_tools_number_for_the_files(name, parts, beside, printed):
    whole = {size: profile(costmodel.network(name, size=size), CONVENTIONS["onnx-tool"]).layers for size, _ in parts}
    assert sum(sum(whole[size]["counted"][part]) for size, part in parts) + beside == printed


# Another network of the same family: both from the paper's table, by the rules that they differ in.


def shufflenet(stem, bias, first_groups, bottleneck):
    """Rows with weights of a ShuffleNet of four groups and half the channels, unit by unit.

    ``bottleneck`` takes the channels that a unit makes in all and those that its convolutions make of them.
    """

    def normalized(kernel, groups, channels, filters, side, bias=False):
        weights = filters * channels // groups * kernel**2
        output = (1, filters, side, side)
        yield Row("Conv", (kernel, kernel), groups, weights + bias * filters, weights * side**2, output)
        yield Row("BatchNorm", (0, 0), 0, 2 * filters, 0, output)

    rows = [*normalized(3, 1, 3, stem, 112, bias)]
    channels = stem
    for filters, units, side in [(136, 4, 28), (272, 8, 14), (544, 4, 7)]:
        for unit in range(units):
            made = filters if unit else filters - channels  # the first unit's shortcut is joined, not added
            inner = bottleneck(filters, made)
            rows += normalized(1, first_groups if channels == stem else 4, channels, inner, side if unit else 2 * side)
            rows += normalized(3, inner, inner, inner, side)
            rows += normalized(1, 4, inner, made, side)
            channels = filters
    return [*rows, Row("Linear", (0, 0), 1, 544 * 1000 + 1000, 544 * 1000, (1, 1000))]


def test_shufflenet_and_its_file_differ_in_four_rules():
    file, ours = in_file("shufflenet"), in_zoo("shufflenet", groups=4, scale=0.5)
    assert [row.operator for row in file] == [row.operator for row in ours]
    weighted = ([row for row in rows if row.parameters] for rows in (file, ours))
    # The file has the 24 filters of the whole network in front, with a bias; groups also in the very first 1x1
    # convolution; and no bottleneck, where the paper has a quarter of the unit's channels (here in whole groups).
    assert next(weighted) == shufflenet(24, bias=True, first_groups=4, bottleneck=lambda _, made: made)
    assert next(weighted) == shufflenet(
        12, bias=False, first_groups=1, bottleneck=lambda filters, _: 4 * -(-filters // 16)
    )
    assert totals(ours) == (778_040, 37_468_832)
