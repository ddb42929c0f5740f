"""Networks read from ONNX files: what counting tools print for the same files, and what ONNX Runtime makes of them."""

import contextlib
import functools
import subprocess
import sys
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx.printer
import onnxruntime
import pytest
from command_line import run
from equations import onnx_runtime
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_models import random_model, shapes_of

import costmodel
from costmodel import exporters, zoo
from costmodel.counting.tools import CONVENTIONS
from costmodel.errors import CostModelError, UnsupportedError, WiringError
from costmodel.execute import execute, walk
from costmodel.execute.verify import verify
from costmodel.exporters.layers import encode
from costmodel.graph import Graph, Op
from costmodel.importers.folding import COMPUTED, SHAPED, SOURCES
from costmodel.importers.onnx import Reader
from costmodel.importers.structure import LARGE, without_values
from costmodel.ops.onnx import place
from costmodel.profile import profile

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def light(name):
    return LIGHT / f"light_{name}.onnx"


def saved(folder, model, name="model.onnx"):
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return str(path)


# What seven tools print for the weightless files inside the onnx package: calflops 0.3.2, flop_counter of torch 2.13,
# fvcore 0.1.5, onnx-tool 1.0.1, ptflops 0.7.5, thop 0.1.1, torchinfo 1.8.0.
TOOLS = ("calflops", "flop_counter", "fvcore", "onnx-tool", "ptflops", "thop", "torchinfo")
PRINTED = {
    "bvlc_alexnet": (1312652448, 1309120768, 654560384, 675839112, 659206152, 654560384, 655170024),
    "densenet121": (5716831976, 5668323328, 2865496576, 3369419240, 2899843048, 2897007104, 2834246312),
    "inception_v1": (2872904344, 2863112704, 1431556352, 1481545240, 1448076200, 1430532352, 1433545984),
    "inception_v2": (4051668768, 4037703680, 2026299840, 2157663112, 2039335016, 2034601856, 2018872744),
    "resnet50": (8211108352, 8178368512, 4111412224, 4450789512, 4132436968, 4133642240, 4089238376),
    "shufflenet": (259511648, 249329056, 131438288, 234546984, 137955896, 138271392, 124993416),
    "squeezenet": (704844944, 698303872, 349151936, 357511224, 359644728, 349151936, 351741288),
    "vgg19": (39299958784, 39264124928, 19632062464, 19667941512, 19688887272, 19632062464, 19646923752),
    "zfnet512": (2973129288, 2963454016, 1481727008, 1542366888, 1494309584, 1481727008, 1483254888),
}

# Parameters as onnx-tool prints them, which counts every constant, and of these the running statistics.
CONSTANTS = {
    "bvlc_alexnet": (60965224, 0),
    "densenet121": (8146152, 83648),
    "inception_v1": (6998552, 0),
    "inception_v2": (11234792, 19904),
    "resnet50": (25610152, 53120),
    "shufflenet": (1420152, 26832),
    "squeezenet": (1235496, 0),
    "vgg19": (143667240, 0),
    "zfnet512": (87250536, 0),
}

# What the torch tools print; of what they see less, the test says what it is.
PARAMETERS = {
    "bvlc_alexnet": 60965224, "densenet121": 7978856, "inception_v1": 5973552, "inception_v2": 11194984,
    "resnet50": 25557032, "shufflenet": 1393320, "squeezenet": 1235496, "vgg19": 143667240, "zfnet512": 87250536,
}  # fmt: skip

every_file = pytest.mark.parametrize("name", PRINTED)


def as_converted(node, tool, name):
    """What a torch tool prints for a node, which it sees after a conversion of the file to torch.

    Functions are not modules: no softmax is left, and a global mean is a mean over axes, which none counts. For ptflops
    and calflops a pool with pads that differ is a pool behind a pad, on a larger map. In inception_v1 the matrix is
    behind a reshape: a function, of which fvcore and flop_counter see the products; and its one mean pool was replaced
    by a global one.
    """
    kind = node.op.kind
    if kind in ("Softmax", "GlobalAveragePool") or (name == "inception_v1" and kind == "AveragePool"):
        return 0
    if name == "inception_v1" and kind == "Linear" and tool not in ("fvcore", "flop_counter"):
        return 0
    counted = CONVENTIONS[tool].counted(node, CONVENTIONS[tool].work(node)) or 0
    if (
        tool in ("ptflops", "calflops")
        and kind in ("MaxPool", "AveragePool")
        and any(before != after for before, after in node.op.window.pads)
    ):
        _, _, *spatial = node.input_shapes[0]
        padded = [size + sum(pads) for size, pads in zip(spatial, node.op.window.pads, strict=True)]
        return counted // prod(spatial) * prod(padded)
    return counted


@every_file
def test_every_tools_number(name):
    nodes = [node for node in costmodel.network(str(light(name))).nodes.values() if node.inputs]
    for tool, printed in zip(TOOLS, PRINTED[name], strict=True):
        if tool == "onnx-tool":  # reads the file itself
            whole = profile(costmodel.network(str(light(name))), CONVENTIONS[tool])
            assert whole.uncounted == ()
            assert whole.layers.total("counted") == printed
        else:
            assert sum(as_converted(node, tool, name) for node in nodes) == printed, tool


@every_file
def test_parameters_and_macs(name):
    layers = profile(costmodel.network(str(light(name)))).layers
    printed, buffers = CONSTANTS[name]
    assert (layers.total("parameters"), layers.total("buffers")) == (printed - buffers, buffers)
    flops = PRINTED[name][TOOLS.index("flop_counter")]
    assert layers.total("macs") * 2 == flops
    # The converter keeps gamma and beta that are a Mul and an Add as plain tensors, and a matrix behind a reshape too.
    unseen = sum(
        node.parameters
        for node in costmodel.network(str(light(name))).nodes.values()
        if node.op.kind in ("Mul", "Add") or (name == "inception_v1" and node.op.kind == "Linear")
    )
    assert layers.total("parameters") - unseen == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "own", "chosen"),
    [("resnet50", "resnet50", {}), ("vgg19", "vgg19", {}), ("squeezenet", "squeezenet_v1_1", {"size": 224})],
)
def test_totals_are_those_of_the_zoo(name, own, chosen):
    file, ours = (profile(graph).layers for graph in (costmodel.network(str(light(name))), zoo.get(own)(**chosen)))
    for column in ("parameters", "buffers", "weight_bytes", "macs"):
        assert file.total(column) == ours.total(column), column
    if name == "resnet50":  # the last pool is a window of 7x7 there, a global one here, with the same operations
        assert file.total("elementwise") == ours.total("elementwise")


def tensors_of(path, **options):
    """Name of a tensor -> its shape by our operators."""
    reader = Reader(Path(path), onnx.load(path, load_external_data=False))
    reader.inputs(options.get("shape", {}), options.get("batch", 1))
    reader.nodes()
    return {name: value.shape for name, value in reader.values.items() if value is not None}


@every_file
def test_every_shape_is_that_of_onnx(name):
    inferred = onnx.shape_inference.infer_shapes(onnx.load(light(name)), strict_mode=True, data_prop=True).graph
    ours = tensors_of(light(name))
    seen = 0
    for tensor in (*inferred.input, *inferred.value_info, *inferred.output):
        shape = tuple(dim.dim_value for dim in tensor.type.tensor_type.shape.dim)
        if tensor.name in ours:
            assert ours[tensor.name] == shape, tensor.name
            seen += 1
    assert seen >= len(inferred.node)


# Small models, one feature each


def model(nodes, shape=(1, 3, 8, 8), constants=None, opset=17, outputs=("y",), dtype=TensorProto.FLOAT, **more):
    """A model of one input x; constants are arrays, or shapes that a ConstantOfShape makes weights of."""
    made, initializers = [], []
    for name, value in (constants or {}).items():
        if isinstance(value, tuple):
            initializers.append(numpy_helper.from_array(np.array(value, np.int64), f"{name}.shape"))
            tensor = numpy_helper.from_array(np.array([0.25], np.float32))
            made.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=tensor))
        else:
            initializers.append(numpy_helper.from_array(np.asarray(value), name))
    body = helper.make_graph(
        [*made, *nodes],
        "test",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        initializers,
        **more,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def one(kind, inputs=("x",), outputs=("y",), name="", **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), name, **attributes)


def read(folder, *nodes, options=None, **more):
    return costmodel.network(saved(folder, model(nodes, **more)), **(options or {}))


def ops(graph):
    return [repr(node.op) for node in graph.nodes.values() if node.inputs]


CASES = {
    "relu6": ([one("Clip", min=0.0, max=6.0)], {"opset": 6}, ["Relu6()"]),
    "clip inputs": (
        [one("Clip", ("x", "low", "high"))],
        {"constants": {"low": np.float32(-1), "high": np.float32(2)}},
        ["Clip(low=-1.0, high=2.0)"],
    ),
    "clip above": (
        [one("Clip", ("x", "", "high"))],
        {"constants": {"high": np.float32(2)}},
        ["Clip(low=None, high=2.0)"],
    ),
    "clip to relu": ([one("Clip", ("x", "low"))], {"constants": {"low": np.float32(0)}}, ["Relu()"]),
    "softmax of old": (
        [one("Softmax", axis=1)],
        {"opset": 11, "shape": (2, 3, 4)},
        ["Reshape(to=(2, 12))", "Softmax(axis=1)", "Reshape(to=(2, 3, 4))"],
    ),
    "softmax of old on vectors": ([one("Softmax")], {"opset": 11, "shape": (2, 3)}, ["Softmax(axis=1)"]),
    "softmax of new": ([one("Softmax")], {"shape": (2, 3, 4)}, ["Softmax(axis=2)"]),
    "gemm": (
        [one("Gemm", ("x", "w", "b"), transB=1)],
        {"shape": (2, 5), "constants": {"w": (7, 5), "b": (7,)}},
        ["Linear(features=7, bias=True, channels=5)"],
    ),
    "gemm of factors": (
        [one("Gemm", ("x", "w", "b"), alpha=0.5, beta=2.0)],
        {"shape": (2, 5), "constants": {"w": (5, 7), "b": (1, 7)}},
        ["Linear(features=7, bias=True, channels=5)"],
    ),
    "gemm turned": (
        [one("Gemm", ("x", "w", "b"), transA=1)],
        {"shape": (5, 2), "constants": {"w": (5, 7), "b": (2, 1)}},
        ["Transpose(axes=(1, 0))", "Linear(features=7, bias=False, channels=5)", "Add(held=(2, 1))"],
    ),
    "gemm without sum": (
        [one("Gemm", ("x", "w", "b"), beta=0.0)],
        {"shape": (2, 5), "constants": {"w": (5, 7), "b": (7,)}},
        ["Linear(features=7, bias=False, channels=5)"],
    ),
    "gemm of maps": (
        [one("Gemm", ("x", "x", "x"), transB=1, alpha=0.5, beta=2.0)],
        {"shape": (3, 3)},
        ["Transpose(axes=(1, 0))", "MatMul()", "Mul(held=())", "Mul(held=())", "Add()"],
    ),
    "gemm of a constant first": (
        [one("Gemm", ("w", "x"), transA=1)],
        {"shape": (5, 2), "constants": {"w": (5, 7)}},
        ["MatMul(held=(7, 5), held_first=True)"],
    ),
    "matmul": (
        [one("MatMul", ("x", "w"))],
        {"shape": (2, 4, 5), "constants": {"w": (5, 7)}},
        ["Linear(features=7, bias=False, channels=5)"],
    ),
    "matmul of heads": (
        [one("MatMul", ("x", "w"))],
        {"shape": (2, 4, 5), "constants": {"w": (2, 5, 7)}},
        ["MatMul(held=(2, 5, 7))"],
    ),
    "matmul of a vector": (
        [one("MatMul", ("x", "v"), ("h",)), one("MatMul", ("h", "w"))],
        {"shape": (2, 5), "constants": {"v": (5,), "w": (2, 3)}},
        ["Linear(features=1, bias=False, channels=5)", "Reshape(to=(2,))", "Reshape(to=(1, 2))",
         "Linear(features=3, bias=False, channels=2)", "Reshape(to=(3,))"],
    ),
    "matmul of maps": ([one("MatMul", ("x", "x"))], {"shape": (2, 4, 4)}, ["MatMul()"]),
    "sum": (
        [one("Sum", ("x", "w", "x", "x"))],
        {"constants": {"w": (3, 1, 1)}},
        ["Add()", "Add()", "Add(held=(3, 1, 1))"],
    ),
    "numbers from the left": (
        [one("Sub", ("w", "x"), ("a",)), one("Div", ("w", "a"))],
        {"constants": {"w": (1,)}},
        ["Sub(held=(1,), held_first=True)", "Div(held=(1,), held_first=True)"],
    ),
    "broadcast of old": (
        [one("Mul", ("x", "w"), broadcast=1, axis=1)],
        {"opset": 6, "constants": {"w": np.full(3, 0.25, np.float32)}},
        ["Mul(held=(3, 1, 1))"],
    ),
    "split": (
        [one("Split", outputs=("a", "b"), axis=1, split=[1, 2]), one("Concat", ("b", "a"), axis=1)],
        {"opset": 11},
        [
            "Slice(start=(0, 0, 0, 0), stop=(None, 1, None, None), step=None)",
            "Slice(start=(0, 1, 0, 0), stop=(None, 3, None, None), step=None)",
            "Concat(axis=1)",
        ],
    ),
    "mean over the map": ([one("ReduceMean", axes=[2, 3])], {}, ["ReduceMean(axes=(2, 3), keepdims=True)"]),
    "mean over the map, squeezed": (
        [one("ReduceMean", axes=[-1, -2], keepdims=0)],
        {},
        ["ReduceMean(axes=(2, 3), keepdims=False)"],
    ),
    "hard sigmoid": ([one("HardSigmoid")], {}, ["HardSigmoid(alpha=0.2, beta=0.5)"]),
    "slopes": (
        [one("PRelu", ("x", "a"), ("z",)), one("PRelu", ("z", "b"))],
        {"constants": {"a": (3, 1, 1), "b": (1,)}},
        ["PRelu(shared=False)", "PRelu(shared=True)"],
    ),
    "no layers": (
        [one("Identity", outputs=("a",)), one("Dropout", ("a",), ("b",)), one("Cast", ("b",), ("c",), to=1),
         one("Relu", ("c",))],
        {},
        ["Dropout()", "Relu()"],
    ),
    "flatten": ([one("Flatten", axis=2)], {}, ["Reshape(to=(3, 64))"]),
    "same pads": (
        [one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
        {},
        ["MaxPool(kernel=(3, 3), stride=(2, 2), pads=(0, 0, 1, 1), dilation=(1, 1), ceil_mode=False)"],
    ),
    "weights that were turned": (
        [one("Transpose", ("w",), ("t",)), one("Unsqueeze", ("t", "one"), ("u",)), one("Mul", ("u", "s"), ("v",)),
         one("Conv", ("x", "v"))],
        {"shape": (1, 3, 8), "constants": {"w": (3, 200), "one": np.array([-1]), "s": (200, 3, 1)}},
        ["Conv(filters=200, kernel=(1,), stride=(1,), pads=(0, 0), dilation=(1,), groups=1, bias=False, channels=3)"],
    ),
    "sizes by arithmetic": (
        [one("Shape", outputs=("s",)), one("Gather", ("s", "zero"), ("n",)), one("Unsqueeze", ("n", "first"), ("m",)),
         one("Concat", ("m", "rest"), ("to",), axis=0), one("Reshape", ("x", "to"))],
        {"constants": {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])}},
        ["Reshape(to=(1, -1))"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_node_becomes(name, tmp_path):
    nodes, more, expected = CASES[name]
    assert ops(read(tmp_path, *nodes, **more)) == expected


@pytest.mark.parametrize("name", CASES)
def test_what_a_node_becomes_makes_what_onnx_runtime_makes(name, tmp_path):
    nodes, more, _ = CASES[name]
    if "factors" in name or "turned" in name:
        pytest.skip("the factors are in the weights' values")
    if more.get("opset", 17) < 7:
        pytest.skip("older than what ONNX Runtime is for")
    same_as_onnx_runtime(model(nodes, **more), tmp_path)


def same_as_onnx_runtime(made, folder):
    """Run a model there and its graph here, where every weight but indices is 0.25 everywhere."""
    path = saved(folder, made)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    graph = costmodel.network(path)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=given.shape).astype(np.float32) for given in graph.inputs]
    theirs = session.run(None, dict(zip(("x", "x2"), inputs, strict=False)))
    numbers = {"alpha": 0.5, "beta": 2.0}  # of a Gemm
    weights = {
        name: {
            weight.name: np.full(weight.shape, numbers.get(name.rpartition("_")[2], 0.25), np.float32)
            for weight in node.weights
        }
        for name, node in graph.nodes.items()
    }
    for tensor in made.graph.initializer:
        layer, _, what = tensor.name.rpartition(".")
        if what == "i" and "indices" in weights.get(layer, {}):
            weights[layer]["indices"] = numpy_helper.to_array(tensor)
    ours = execute(graph, inputs, weights)
    assert [array.shape for array in ours] == [array.shape for array in theirs]
    largest = max(1, *[abs(other).max() for other in theirs])  # of what may have cancelled
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=2e-4, atol=2e-4 * largest)


@st.composite
def models(draw):
    """A random chain of nodes, each on what the last one makes; its tensors' shapes are taken from our own reading."""
    shape = (draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 4, 6])), *(draw(st.integers(3, 9)) for _ in "hw"))
    nodes, constants, current, sizes = [], {}, "x", shape
    for number in range(draw(st.integers(1, 7))):
        made = f"t{number}"
        kinds = [*ANY, *(FOUR if len(sizes) == 4 else ()), *(TWO if len(sizes) == 2 else ())]
        new, more = draw(st.sampled_from(kinds))(draw, current, sizes, made)
        trial = model([*nodes, *new], shape, {**constants, **more}, outputs=(made,))
        reader = Reader(Path("model.onnx"), trial)
        try:
            reader.inputs({}, 1)
            reader.nodes()
        except WiringError:
            continue  # a window that does not fit
        if reader.values[made] is reader.values[current]:
            continue  # no layer, but another name
        nodes, constants = [*nodes, *new], {**constants, **more}
        current, sizes = made, reader.values[made].shape
    if not nodes:
        nodes = [one("Relu", outputs=("t0",))]
    return model(nodes, shape, constants, outputs=[name for node in nodes for name in node.output if "." not in name])


def _unary(draw, x, shape, y):
    kind = draw(
        st.sampled_from(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish", "Softplus"])
    )
    return [one(kind, (x,), (y,))], {}


def _with_constant(draw, x, shape, y):
    held = tuple(size if draw(st.booleans()) else 1 for size in shape[draw(st.integers(0, len(shape))) :])
    inputs = draw(st.permutations([x, f"{y}.w"]))
    return [one(draw(st.sampled_from(["Add", "Sub", "Mul"])), inputs, (y,))], {f"{y}.w": held}


def _with_itself(draw, x, shape, y):
    return [one(draw(st.sampled_from(["Add", "Mul", "Sub", "Sum"])), (x, x), (y,))], {}


def _concat(draw, x, shape, y):
    return [one("Concat", (x, x), (y,), axis=draw(st.integers(-len(shape), len(shape) - 1)))], {}


def _softmax(draw, x, shape, y):
    return [one("Softmax", (x,), (y,), axis=draw(st.integers(-len(shape), len(shape) - 1)))], {}


def _transpose(draw, x, shape, y):
    return [one("Transpose", (x,), (y,), perm=draw(st.permutations(range(len(shape)))))], {}


def _slice(draw, x, shape, y):
    axis = draw(st.integers(0, len(shape) - 1))
    start = draw(st.integers(-shape[axis], shape[axis] - 1))
    stop = start + draw(st.integers(1, 9)) if start >= 0 else 2**40
    told = {"starts": [start], "ends": [stop], "axes": [axis - len(shape)], "steps": [draw(st.integers(1, 3))]}
    names = [f"{y}.{name}" for name in told]
    return [one("Slice", (x, *names), (y,))], dict(zip(names, map(np.array, told.values()), strict=True))


def _pad(draw, x, shape, y):
    pads = np.array([draw(st.integers(0, 2)) for _ in range(2 * len(shape))])
    return [one("Pad", (x, f"{y}.pads", f"{y}.value"), (y,))], {f"{y}.pads": pads, f"{y}.value": np.float32(0.5)}


def _split(draw, x, shape, y):
    axis = draw(st.sampled_from([axis for axis, size in enumerate(shape) if size > 1] or [0]))
    if shape[axis] == 1:
        return _unary(draw, x, shape, y)
    first = draw(st.integers(1, shape[axis] - 1))
    sizes = {f"{y}.sizes": np.array([first, shape[axis] - first])}
    parts = (f"{y}.a", f"{y}.b")
    return [one("Split", (x, f"{y}.sizes"), parts, axis=axis), one("Concat", parts[::-1], (y,), axis=axis)], sizes


def _flatten_by_shape(draw, x, shape, y):
    nodes = [
        one("Shape", (x,), (f"{y}.s",)),
        one("Slice", (f"{y}.s", f"{y}.0", f"{y}.1"), (f"{y}.n",)),
        one("Concat", (f"{y}.n", f"{y}.-1"), (f"{y}.to",), axis=0),
        one("Reshape", (x, f"{y}.to"), (y,)),
    ]
    return nodes, {f"{y}.{number}": np.array([number]) for number in (0, 1, -1)}


def _unsqueezed(draw, x, shape, y):
    axes = {f"{y}.axes": np.array([draw(st.integers(-len(shape) - 1, len(shape)))])}
    if len(shape) > 4:
        return _unary(draw, x, shape, y)
    there = one("Unsqueeze", (x, f"{y}.axes"), (f"{y}.u",))
    return draw(st.sampled_from([
        ([there, one("Squeeze", (f"{y}.u", f"{y}.axes"), (y,))], axes),
        ([one("Unsqueeze", (x, f"{y}.axes"), (y,))], axes),
    ]))  # fmt: skip


def _window(draw, padded=True):
    how = {"kernel_shape": [draw(st.integers(1, 3)), draw(st.integers(1, 3))]}
    how["strides"] = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    automatic = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if automatic == "NOTSET":
        how["pads"] = [draw(st.integers(0, how["kernel_shape"][side % 2] - 1)) for side in range(4)]
    else:
        how["auto_pad"] = automatic
        how["strides"] = list(map(min, how["strides"], how["kernel_shape"]))  # beyond it ONNX Runtime takes no padding
    return how


def _conv(draw, x, shape, y):
    c = shape[1]
    groups = draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
    how = _window(draw)
    filters = groups * draw(st.integers(1, 3))
    if draw(st.booleans()) and "auto_pad" not in how:
        how["dilations"] = [2, 1]
    weights = {f"{y}.w": (filters, c // groups, *how["kernel_shape"])}
    if draw(st.booleans()):
        weights[f"{y}.b"] = (filters,)
    return [one("Conv", (x, *weights), (y,), group=groups, **how)], weights


def _pool(draw, x, shape, y):
    kind, how = draw(st.sampled_from(["MaxPool", "AveragePool"])), _window(draw)
    if kind == "AveragePool":
        how["count_include_pad"] = draw(st.integers(0, 1))
    # Where a last window hangs over, opset 17 leaves open by how many elements a mean divides; and ONNX Runtime drops a
    # window that begins behind the map only when it runs, where its shapes have counted it.
    if kind == "MaxPool" and "auto_pad" not in how and not any(_behind(how, shape[axis + 2], axis) for axis in (0, 1)):
        how["ceil_mode"] = draw(st.integers(0, 1))
    if "auto_pad" in how:
        how.pop("count_include_pad", None)
    return [one(kind, (x,), (y,), **how)], {}


def _behind(how, size, axis):
    before, after = how["pads"][axis], how["pads"][axis + 2]
    spare = size + before + after - how["kernel_shape"][axis]
    return -(-spare // how["strides"][axis]) * how["strides"][axis] >= size + before


def _norm(draw, x, shape, y):
    names = [f"{y}.{name}" for name in ("scale", "shift", "mean", "variance")]
    return [one("BatchNormalization", (x, *names), (y,))], dict.fromkeys(names, (shape[1],))


def _of_map(draw, x, shape, y):
    kind = draw(st.sampled_from(["GlobalAveragePool", "GlobalMaxPool", "LRN", "ReduceMean", "Flatten", "PRelu"]))
    how = {"LRN": {"size": 3}, "ReduceMean": {"axes": [2, 3], "keepdims": 0}}.get(kind, {})
    weights = {f"{y}.w": (shape[1], 1, 1)} if kind == "PRelu" else {}
    return [one(kind, (x, *weights), (y,), **how)], weights


def _linear(draw, x, shape, y):
    features = draw(st.integers(1, 5))
    if draw(st.booleans()):
        return [one("MatMul", (x, f"{y}.w"), (y,))], {f"{y}.w": (shape[1], features)}
    return [one("Gemm", (x, f"{y}.w", f"{y}.b"), (y,), transB=1)], {
        f"{y}.w": (features, shape[1]),
        f"{y}.b": (features,),
    }


def _function(draw, x, shape, y):
    kinds = ["Abs", "Neg", "Erf", "LogSoftmax"]
    if x == "x":  # where the arguments are the same, so that none is just beyond a step
        kinds = ["Sign", "Floor", "Ceil", "Round", "Sin", "Cos"]
    return [one(draw(st.sampled_from(kinds)), (x,), (y,))], {}


def _power(draw, x, shape, y):
    exponent = np.float32(draw(st.sampled_from([2, 3, 0.5, -1])))
    return [one("Abs", (x,), (f"{y}.a",)), one("Exp", (f"{y}.a",), (f"{y}.e",)),
            one("Pow", (f"{y}.e", f"{y}.n"), (f"{y}.p",)), one("Reciprocal", (f"{y}.p",), (f"{y}.r",)),
            one("Sqrt", (f"{y}.r",), (y,))], {f"{y}.n": exponent}  # fmt: skip


def _choice(draw, x, shape, y):
    """What two comparisons say of each value, of which none is close to what it is compared with."""
    if x != "x":
        return _function(draw, x, shape, y)
    kinds = ["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"]
    first, second = (draw(st.sampled_from(kinds)) for _ in "ab")
    nodes = [one(first, (x, f"{y}.1"), (f"{y}.a",)), one(second, (f"{y}.0", x), (f"{y}.b",)),
             one(draw(st.sampled_from(["And", "Or", "Xor"])), (f"{y}.a", f"{y}.b"), (f"{y}.c",)),
             one("Not", (f"{y}.c",), (f"{y}.d",)),
             one("Where", (f"{y}.d", *draw(st.permutations([x, f"{y}.w"]))), (y,))]  # fmt: skip
    return nodes, {f"{y}.0": np.float32(0.25), f"{y}.1": np.float32([0.25]), f"{y}.w": (shape[-1],)}


def _reduce(draw, x, shape, y):
    kind = draw(st.sampled_from(["Mean", "Sum", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp"]))
    axes = draw(st.lists(st.integers(-len(shape), -1), min_size=1, max_size=max(len(shape) - 1, 1), unique=True))
    how = {"keepdims": draw(st.integers(len(shape) == 1, 1))}
    if kind == "Sum":
        return [one("ReduceSum", (x, f"{y}.axes"), (y,), **how)], {f"{y}.axes": np.array(axes)}
    return [one(f"Reduce{kind}", (x,), (y,), axes=axes, **how)], {}


def _layer_norm(draw, x, shape, y):
    axis = draw(st.integers(-len(shape), -1))
    whole = draw(st.booleans())
    weights = {f"{y}.{name}": shape[axis:] if whole else shape[-1:] for name in ("gain", "shift")[: draw(small)]}
    return [one("LayerNormalization", (x, *weights), (y,), axis=axis)], weights


def _decomposed(draw, x, shape, y):
    """A norm as older exporters write it."""
    return [one("ReduceMean", (x,), (f"{y}.m",), axes=[-1]), one("Sub", (x, f"{y}.m"), (f"{y}.c",)),
            one("Pow", (f"{y}.c", f"{y}.2"), (f"{y}.p",)), one("ReduceMean", (f"{y}.p",), (f"{y}.v",), axes=[-1]),
            one("Add", (f"{y}.v", f"{y}.1"), (f"{y}.e",)), one("Sqrt", (f"{y}.e",), (f"{y}.s",)),
            one("Div", (f"{y}.c", f"{y}.s"), (f"{y}.n",)), one("Mul", (f"{y}.n", f"{y}.g"), (y,)),
            ], {f"{y}.2": np.float32(2), f"{y}.1": np.float32(0.25), f"{y}.g": (shape[-1],)}  # fmt: skip


def _stretch(draw, x, shape, y):
    times = [draw(st.sampled_from([1, 1, 2])) for _ in shape]
    if draw(st.booleans()):
        return [one("Tile", (x, f"{y}.n"), (y,))], {f"{y}.n": np.array(times)}
    to = [size if size > 1 else time for size, time in zip(shape, times, strict=True)]
    return [one("Expand", (x, f"{y}.n"), (y,))], {f"{y}.n": np.array([1, *to][draw(st.integers(0, 1)) :])}


def _take(draw, x, shape, y):
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    inside = st.integers(-shape[axis], shape[axis] - 1)
    indices = np.array(draw(st.one_of(inside, st.lists(inside, min_size=1, max_size=4))))
    if len(shape) == 1 and not indices.ndim:
        indices = indices[None]
    return [one("Gather", (x, f"{y}.i"), (y,), axis=axis)], {f"{y}.i": indices}


def _sums(draw, x, shape, y):
    how = {"exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}
    return [one("CumSum", (x, f"{y}.axis"), (y,), **how)], {f"{y}.axis": np.array(draw(st.integers(-len(shape), -1)))}


def _largest(draw, x, shape, y):
    if x != "x":
        return _function(draw, x, shape, y)
    how = {"axis": draw(st.integers(-len(shape), -1)), "keepdims": 1}
    return [one(draw(st.sampled_from(["ArgMax", "ArgMin"])), (x,), (f"{y}.i",), **how),
            one("Cast", (f"{y}.i",), (f"{y}.f",), to=1), one("Mul", (f"{y}.f", x), (y,))], {}  # fmt: skip


def _mirrored(draw, x, shape, y):
    mode = draw(st.sampled_from(["edge", "reflect"]))
    pads = np.array([draw(st.integers(-(size > 2), min(2, max(size - 2, 0)))) for _ in "ab" for size in shape])
    return [one("Pad", (x, f"{y}.pads"), (y,), mode=mode)], {f"{y}.pads": pads}


def _class_token(draw, x, shape, y):
    """A constant before a map, stretched to the batch as it is in vision transformers."""
    held = (1, *shape[1:-1], 2)
    nodes = [one("Expand", (f"{y}.w", f"{y}.n"), (f"{y}.e",)), one("Concat", (f"{y}.e", x), (y,), axis=-1)]
    return nodes, {f"{y}.w": held, f"{y}.n": np.array([*shape[:-1], 2])}


def _triangle(draw, x, shape, y):
    return [one("Trilu", (x, f"{y}.k"), (y,), upper=draw(st.integers(0, 1)))], {
        f"{y}.k": np.array(draw(st.integers(-3, 3)))
    }


def _contraction(draw, x, shape, y):
    letters = "abcde"[: len(shape)]
    if draw(st.booleans()):
        made = "".join(draw(st.permutations(letters)))[: draw(st.integers(1, len(shape)))]
        return [one("Einsum", (x,), (y,), equation=f"{letters} -> {made}")], {}
    return [one("Einsum", (x, f"{y}.w"), (y,), equation=f"...{letters[-1]}, z{letters[-1]} -> ...z")], {
        f"{y}.w": (3, shape[-1])
    }


def _spread(draw, x, shape, y):
    c, groups = shape[1], draw(st.sampled_from([g for g in (1, 2, 3) if shape[1] % g == 0]))
    kernel = [draw(st.integers(1, 3)) for _ in "hw"]
    how = {"strides": [draw(st.integers(1, 3)) for _ in "hw"], "group": groups}
    if draw(st.booleans()):
        how["dilations"] = [2, 1]
    match draw(st.sampled_from(["pads", "shape", "same"])):
        case "pads":
            how["pads"] = [draw(st.integers(0, min(kernel) - 1)) for _ in "abcd"]
            how["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in how["strides"]]
        case "shape":
            spans = zip(shape[2:], how["strides"], kernel, how.get("dilations", (1, 1)), strict=True)
            how["output_shape"] = [(n - 1) * s + (k - 1) * d + 1 - draw(st.integers(0, k - 1)) for n, s, k, d in spans]
        case "same":
            how["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
            how["strides"] = list(map(min, how["strides"], kernel))
    weights = {f"{y}.w": (c, draw(small), *kernel)}
    if draw(st.booleans()):
        weights[f"{y}.b"] = (weights[f"{y}.w"][1] * groups,)
    return [one("ConvTranspose", (x, *weights), (y,), **how)], weights


def _instances(draw, x, shape, y):
    names = [f"{y}.gain", f"{y}.shift"]
    return [one("InstanceNormalization", (x, *names), (y,))], dict.fromkeys(names, (shape[1],))


def _depth(draw, x, shape, y):
    if shape[1] % 4 == 0 and draw(st.booleans()):
        return [one("DepthToSpace", (x,), (y,), blocksize=2, mode=draw(st.sampled_from(["DCR", "CRD"])))], {}
    block = 2 if shape[2] % 2 == shape[3] % 2 == 0 else 1
    return [one("SpaceToDepth", (x,), (y,), blocksize=block)], {}


def _other_size(draw, x, shape, y):
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    how = {"mode": mode, "coordinate_transformation_mode": draw(st.sampled_from(
        ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    ))}  # fmt: skip
    if mode == "nearest":
        how["nearest_mode"] = draw(st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]))
    if mode == "cubic":
        how["cubic_coeff_a"] = draw(st.sampled_from([-0.5, -0.75]))
    if draw(st.booleans()):
        sizes = np.array([*shape[:2], *[draw(st.integers(1, 12)) for _ in "hw"]])
        return [one("Resize", (x, "", "", f"{y}.n"), (y,), **how)], {f"{y}.n": sizes}
    scales = np.array([1, 1, *[draw(st.sampled_from([0.5, 0.625, 1, 1.5, 2])) for _ in "hw"]], np.float32)
    return [one("Resize", (x, "", f"{y}.n"), (y,), **how)], {f"{y}.n": scales}


small = st.integers(1, 2)
ANY = (_function, _power, _choice, _reduce, _layer_norm, _decomposed, _stretch, _take, _sums, _largest, _mirrored,
       _class_token, _contraction,
       _unary, _with_constant, _with_itself, _concat, _softmax, _transpose, _slice, _pad, _split, _flatten_by_shape,
       _unsqueezed)  # fmt: skip
FOUR = (_conv, _conv, _pool, _norm, _of_map, _spread, _spread, _instances, _depth, _other_size, _other_size, _triangle)
TWO = (_linear, _triangle)


def of_random(check):
    """Run a test on random chains and on random models with branches, which a failure prints."""

    @settings(max_examples=80, deadline=None)
    @given(st.one_of(models(), st.randoms(use_true_random=False).map(random_model)))
    def run(folder, made):
        note(onnx.printer.to_text(made))
        check(made, folder)

    return lambda tmp_path_factory: run(tmp_path_factory.mktemp("random"))


test_random_models_make_what_onnx_runtime_makes = of_random(same_as_onnx_runtime)


@of_random
def test_random_models_have_the_shapes_that_onnx_infers(made, folder):
    reader = Reader(Path("random.onnx"), made)
    reader.inputs({}, 1)
    reader.nodes()
    inferred = shapes_of(made)
    assert {name: reader.values[name].shape for name in inferred} == inferred


@of_random
def test_random_models_do_what_the_executor_counts(made, folder):
    try:
        assert not len(verify(costmodel.network(saved(folder, made)), compile_loops=False).differences)
    except CostModelError as error:
        assume("is too large for float32" not in str(error))  # a power of an exponential
        raise


@of_random
def test_random_models_go_around(made, folder):
    graph = costmodel.network(saved(folder, made))
    for suffix in (".yaml", ".onnx"):
        path = folder / f"again{suffix}"
        with contextlib.suppress(UnsupportedError):  # such as the scales of a Resize that are no quotients
            path.write_bytes(exporters.format_of(path).encode(graph))
            assert costmodel.network(str(path)) == graph


# Large files


def with_weights(elements):
    """A model whose weights are in it, as bytes and as numbers, also in a branch and as an attribute."""
    raw = numpy_helper.from_array(np.ones((elements, 3, 1, 1), np.float32), "w")
    listed = helper.make_tensor("v", TensorProto.FLOAT, [1, elements, 1, 1], [0.5] * elements)
    nodes = [
        one("Conv", ("x", "w"), ("t",)),
        one("Constant", (), ("k",), value=numpy_helper.from_array(np.ones((elements, 1, 1), np.float32))),
        one("Mul", ("t", "k"), ("u",)),
        one("Conv", ("u", "v")),
    ]
    made = model(nodes)
    made.graph.initializer.extend([raw, listed])
    return made


def test_large_weights_are_not_in_memory(tmp_path):
    elements = 2_000_000
    path = saved(tmp_path, with_weights(elements))
    assert Path(path).stat().st_size > 5 * 4 * elements
    tracemalloc.start()
    try:
        graph = costmodel.network(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert graph.parameters == 5 * elements
    assert peak < 1_000_000


@pytest.mark.parametrize("elements", [10, LARGE])
def test_what_is_left_of_a_large_file_is_the_file_without_values(elements):
    made = with_weights(elements)
    left = onnx.ModelProto.FromString(without_values(memoryview(made.SerializeToString())))
    constant = made.graph.node[1].attribute[0].t
    for tensor in (*made.graph.initializer, constant) if elements >= LARGE else ():
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
    assert left == made


@functools.cache
def broken_later():
    return with_weights(LARGE).SerializeToString()


@given(st.integers(0, 2**16), st.binary(max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_large_file_that_is_broken_is_handed_on(place, noise):
    whole = broken_later()
    for data in (whole[:place] + noise + whole[place:], whole[: place * 7], whole[place:]):
        assert len(without_values(memoryview(data))) <= len(data)


# Arithmetic with constants

SEVEN, SOME = np.array([7, -7, 0, 5]), np.array([2, 2, 3, -3])
REAL = np.array([[1.5, -2.5, 0.25], [4.0, 9.0, -1.0]], np.float32)
TRUE = np.array([True, False, True, True])
FOLDED = [
    ("Cos", [REAL], {}), ("CumSum", [SEVEN, np.array(0)], {}), ("Exp", [REAL], {}), ("IsNaN", [REAL], {}),
    ("CumSum", [REAL, np.array(-1)], {"exclusive": 1, "reverse": 1}), ("Log", [REAL**2], {}), ("Pow", [REAL, REAL], {}),
    ("Pow", [SEVEN, np.array(2)], {}), ("Reciprocal", [REAL], {}), ("ReduceMean", [REAL], {"axes": [0]}),
    ("Round", [REAL], {}), ("Sign", [SEVEN], {}), ("Sin", [REAL], {}), ("Sum", [REAL, REAL, REAL], {}),
    ("Trilu", [REAL], {}), ("Trilu", [REAL, np.array(1)], {"upper": 0}), ("Xor", [TRUE, ~TRUE], {}),
    ("Abs", [SEVEN], {}), ("Add", [SEVEN, SOME], {}), ("And", [TRUE, ~TRUE], {}), ("Cast", [REAL], {"to": 7}),
    ("Cast", [SEVEN], {"to": 1}), ("Ceil", [REAL], {}), ("Concat", [SEVEN, SOME, SEVEN], {"axis": 0}),
    ("Div", [SEVEN, SOME], {}), ("Div", [REAL, REAL], {}), ("Equal", [SEVEN, SOME], {}),
    ("Expand", [SOME, np.array([2, 1, 4])], {}), ("Floor", [REAL], {}),
    ("Gather", [REAL, np.array([[1], [-1]])], {"axis": 1}),
    ("Gather", [SEVEN, np.array(2)], {}), ("Greater", [SEVEN, SOME], {}), ("GreaterOrEqual", [SEVEN, SOME], {}),
    ("Identity", [SEVEN], {}), ("Less", [SEVEN, SOME], {}), ("LessOrEqual", [SEVEN, SOME], {}),
    ("Max", [SEVEN, SOME, SOME + 9], {}), ("Min", [SEVEN, SOME], {}), ("Mod", [SEVEN, SOME], {}),
    ("Mul", [SEVEN, np.array(3)], {}), ("Neg", [SEVEN], {}), ("Not", [TRUE], {}), ("Or", [TRUE, ~TRUE], {}),
    ("Range", [np.array(1), np.array(10), np.array(4)], {}), ("Range", [np.array(3), np.array(-4), np.array(-2)], {}),
    ("ReduceMax", [REAL], {"axes": [1]}), ("ReduceMin", [REAL], {"axes": [0], "keepdims": 0}),
    ("ReduceProd", [REAL], {}),
    ("ReduceSum", [REAL, np.array([1])], {}), ("Reshape", [REAL, np.array([0, -1, 1])], {}),
    ("Slice", [SEVEN, np.array([1]), np.array([2**62])], {}),
    ("Slice", [REAL, np.array([0]), np.array([-1]), np.array([1])], {}),
    ("Slice", [SEVEN, np.array([-1]), np.array([-(2**62)]), np.array([0]), np.array([-1])], {}),
    ("Sqrt", [REAL**2], {}),
    ("Slice", [SEVEN, np.array([3]), np.array([0]), np.array([0]), np.array([-2])], {}),
    ("Split", [REAL, np.array([3])], {"axis": 1}),
    ("Squeeze", [REAL[None]], {}), ("Squeeze", [REAL[:, None], np.array([-2])], {}), ("Sub", [SEVEN, SOME], {}),
    ("Tile", [REAL, np.array([2, 3])], {}), ("Transpose", [REAL], {}), ("Transpose", [REAL[None]], {"perm": [2, 0, 1]}),
    ("Unsqueeze", [REAL, np.array([0, -1])], {}), ("Where", [TRUE, SEVEN, SOME], {}),
    *[(kind, [REAL / 9], {}) for kind in ("Acos", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan")],
    ("BlackmanWindow", [np.array(9)], {}), ("HammingWindow", [np.array(10)], {"periodic": 0}),
    ("HannWindow", [np.array(7)], {"periodic": 0}), ("NonZero", [SEVEN], {}), ("Compress", [REAL, TRUE], {}),
    ("Compress", [REAL, np.array([True, False])], {"axis": 0}),
    ("MelWeightMatrix", [np.array(8), np.array(64), np.array(8192), np.float32(100), np.float32(4000)], {}),
    ("Acosh", [REAL**2 + 1], {}), ("BitwiseAnd", [SEVEN, SOME], {}), ("BitwiseNot", [SEVEN], {}),
    ("BitwiseOr", [SEVEN, SOME], {}), ("BitwiseXor", [SEVEN, SOME], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "arrays", "attributes"), FOLDED, ids=lambda value: value if type(value) is str else ""
)
def test_constants_are_those_of_onnx_runtime(kind, arrays, attributes, tmp_path):
    constants = {f"c{number}": array for number, array in enumerate(arrays)}
    opset = next(opset for opset in range(17, 30) if onnx.defs.has(kind, opset))
    made = model([one(kind, constants, ("y",), **attributes)], constants=constants, opset=opset)
    reader = Reader(Path("model.onnx"), made)
    reader.nodes()
    ours = reader.values["y"].read()
    made.graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(ours.dtype)
    session = onnxruntime.InferenceSession(saved(tmp_path, made), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert (ours.dtype, ours.shape, reader.values["y"].shape) == (theirs.dtype, theirs.shape, theirs.shape)
    exact = ours.dtype != np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-7)


def test_a_constant_is_split_in_parts(tmp_path):
    parts = [one("Split", ("c",), ("a", "b", "y"), axis=1), one("Concat", ("y", "a", "b"), ("z",), axis=1)]
    made = model(parts, constants={"c": np.arange(10).reshape(2, 5)})
    reader = Reader(Path("model.onnx"), made)
    reader.nodes()
    np.testing.assert_array_equal(reader.values["z"].read(), [[4, 0, 1, 2, 3], [9, 5, 6, 7, 8]])


def test_all_arithmetic_is_compared():
    assert {kind for kind, *_ in FOLDED} == set(COMPUTED)


# Names


@pytest.mark.parametrize(
    ("name", "block", "layer"),
    [
        ("conv", "", "conv"),
        ("/features/0/Conv", "features.0", "Conv"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1", "Conv"),
        ("block.conv", "", "block.conv"),
        ("12", "", "conv_12"),
        ("", "", "conv"),
        ("///", "", "conv"),
        ("a b\n+c", "", "a_b__c"),
    ],
)
def test_names_become_blocks_and_layers(name, block, layer):
    assert place(name, "Conv") == (block, layer)


def test_layers_have_unique_names(tmp_path):
    graph = read(tmp_path, one("Relu", outputs=("a",), name="n"), one("Relu", ("a",), ("b",), name="n"),
                 one("Relu", ("b",), ("c",), name="n_2"), one("Tanh", ("c",), name="/deep/n"))  # fmt: skip
    assert list(graph.nodes) == ["x", "n", "n_2", "n_2_2", "deep.n"]
    assert graph.nodes["deep.n"].block == "deep"


# Constants in other forms, and of other types


def tied(dtype, *form, constants=()):
    """A table of 1000 x 64 in another form, of which rows are taken and which is the matrix of the last layer too."""
    nodes = [*form, one("Gather", ("form", "x"), ("h",)), one("Transpose", ("form",), ("t",), perm=[1, 0]),
             one("MatMul", ("h", "t"))]  # fmt: skip
    return model(nodes, (2, 7), {"w": np.ones((1000, 64), dtype), **dict(constants)}, dtype=TensorProto.INT64)


@pytest.mark.parametrize(
    ("made", "bits"),
    [
        (tied("f4", one("Identity", ("w",), ("form",))), 32),
        (tied("f2", one("Cast", ("w",), ("form",), to=TensorProto.FLOAT)), 32),
        (tied("f2", one("Cast", ("w",), ("c",), to=TensorProto.FLOAT), one("Neg", ("c",), ("form",))), 32),
        (tied("i1", one("DequantizeLinear", ("w", "s"), ("form",)), constants={"s": np.float32(0.1)}), 8),
        (tied("f4", one("Mul", ("w", "s"), ("form",)), constants={"s": np.float32(8)}), 32),
    ],
    ids=["identity", "cast", "negative of a cast", "scaled", "times a number"],
)  # fmt: skip
def test_what_several_read_in_another_form_counts_once(tmp_path, made, bits):
    layers = profile(costmodel.network(saved(tmp_path, made))).layers
    assert layers.total("parameters") == 1000 * 64
    assert layers["weight_bytes"][-1] == 1000 * 64 * bits // 8
    assert layers.total("output_bytes") == 2 * 7 * (64 + 1000) * 4


W, U = np.ones((6, 6), np.float32), np.ones((6, 6), np.float32)
LEARNED = {
    "stretched to the batch": ([one("Shape", outputs=("n",)), one("Expand", ("w", "n"), ("a",))], {"w": W[:1]}),
    "stretched for two": ([one("Expand", ("w", "n"), ("a",)), one("Expand", ("w", "n"), ("b",))],
                          {"w": W[:1], "n": np.array([6, 6])}),
    "repeated": ([one("Tile", ("w", "n"), ("a",))], {"w": W[:3], "n": np.array([2, 1])}),
    "a part of it": ([one("Slice", ("w", "i", "j"), ("a",))], {"w": W, "i": np.array([1]), "j": np.array([2])}),
    "a part that is stretched": (
        [one("Slice", ("w", "i", "j"), ("c",)), one("Expand", ("c", "n"), ("a",))],
        {"w": W, "i": np.array([1]), "j": np.array([2]), "n": np.array([6, 6])},
    ),
    "itself, and a function of it": ([one("Softmax", ("w",), ("a",)), one("Relu", ("w",), ("b",))], {"w": W}),
    "a function that two read": ([one("Mul", ("w", "k"), ("a",))], {"w": W, "k": np.float32(3)}),
    "twice itself": ([one("Concat", ("w", "w"), ("a",), axis=0)], {"w": W[:3]}),
    "with a margin": ([one("Pad", ("w", "n"), ("a",))], {"w": W[:5], "n": np.array([1, 0, 0, 0])}),
    "times another": ([one("Mul", ("w", "u"), ("a",))], {"w": W, "u": U[:1]}),
    "and another": ([one("Add", ("w", "u"), ("a",))], {"w": W, "u": U}),
    "a product of two": ([one("MatMul", ("w", "u"), ("a",))], {"w": W[:, :2], "u": U[:2]}),
    "two side by side": ([one("Concat", ("w", "u"), ("a",), axis=0)], {"w": W[:3], "u": U[:3]}),
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNED)
def test_what_is_made_of_weights_ahead_has_the_parameters_of_the_file(tmp_path, name):
    nodes, constants = LEARNED[name]
    second = "b" if any("b" in node.output for node in nodes) else "a"
    path = saved(
        tmp_path, model([*nodes, one("Add", ("x", "a"), ("h",)), one("Mul", ("h", second))], (6, 6), constants)
    )
    graph = costmodel.network(path)
    stored = sum(array.size for array in constants.values() if array.dtype == np.float32 and array.ndim)
    assert graph.parameters == profile(graph).layers.total("parameters") == stored
    assert not len(verify(graph, compile_loops=False).differences)
    (tmp_path / "again.yaml").write_bytes(encode(graph))
    assert costmodel.network(str(tmp_path / "again.yaml")) == graph


@pytest.mark.parametrize(
    ("number", "bits"), [(2, 8), (3, 8), (17, 8), (19, 8), (21, 4), (22, 4), (23, 4), (25, 2), (26, 2)]
)
def test_weights_are_kept_in_few_bits_until_they_are_scaled(tmp_path, number, bits):
    nodes = [one("DequantizeLinear", ("w", "s"), ("d",), axis=0, block_size=16), one("MatMul", ("x", "d"))]
    made = model(nodes, (2, 64), {"s": np.ones((4, 32), np.float32)}, opset=25)
    made.graph.initializer.add(name="w", data_type=number, dims=[64, 32], raw_data=bytes(64 * 32 * bits // 8))
    graph = costmodel.network(saved(tmp_path, made))
    layers = profile(graph).layers
    assert (graph.dtype, layers.total("weight_bytes")) == ("float32", 64 * 32 * bits // 8)
    assert layers.total("output_bytes") == 2 * 32 * 4
    assert graph.notes == ("not counted: 128 scales and zero points of weights that are dequantized ahead",)


@pytest.mark.parametrize(
    ("node", "operand", "held", "learned"),
    [
        (("Gather", ("a", "x")), (TensorProto.INT64, (200,)), {"a": np.ones(1000, np.int64)}, 0),
        (("Gather", ("a", "x")), (TensorProto.INT64, (200,)), {"a": np.ones((1000, 64), np.uint8)}, 64000),
        (("Gather", ("a", "x")), (TensorProto.INT64, (200,)), {"a": np.ones((1000, 64), np.float16)}, 64000),
        (("GatherND", ("a", "x")), (TensorProto.INT64, (200, 1)), {"a": np.ones(1000, np.int64)}, 0),
        (("GatherElements", ("a", "x")), (TensorProto.INT64, (200,)), {"a": np.ones(1000, np.int32)}, 0),
        (("Where", ("x", "a", "b")), (TensorProto.BOOL, (10,)), dict.fromkeys("ab", np.ones(10, np.int64)), 0),
    ],
)  # fmt: skip
def test_a_constant_gives_its_type_to_what_is_taken_of_it(tmp_path, node, operand, held, learned):
    kind, inputs = node
    dtype, sizes = operand
    made = model([one(kind, inputs)], sizes, {**held, "other": np.ones(10**6, np.float32)}, dtype=dtype)
    path = saved(tmp_path, made)
    graph = costmodel.network(path)
    assert graph.outputs[0].dtype == held["a"].dtype.name  # ONNX: the result has the type of the data
    assert graph.parameters == learned
    for suffix in (".yaml", ".onnx"):
        again = tmp_path / f"again{suffix}"
        again.write_bytes(exporters.format_of(again).encode(graph))
        assert profile(costmodel.network(str(again))).tensors == profile(graph).tensors


# Open dimensions


def test_the_batch_goes_to_open_first_dimensions(tmp_path):
    path = saved(tmp_path, model([one("Relu")], ("N", 3, 8, 8)))
    assert costmodel.network(path).inputs[0].shape == (1, 3, 8, 8)
    eight = costmodel.network(path, batch=8)
    assert (eight.inputs[0].shape, eight.name) == ((8, 3, 8, 8), "model(batch=8)")


def test_the_batch_replaces_fixed_first_dimensions(tmp_path):
    flatten = [one("Shape", outputs=("s",)), one("Gather", ("s", "0"), ("n",)),
               one("Concat", ("n", "-1"), ("to",), axis=0), one("Reshape", ("x", "to"))]  # fmt: skip
    path = saved(tmp_path, model(flatten, constants={"0": np.array([0]), "-1": np.array([-1])}))
    assert costmodel.network(path, batch=4).outputs[0].shape == (4, 192)


def along_steps(*sizes):
    """A layer that takes step after step along the first axis."""
    weights = {"w": np.ones((1, 16, 7), np.float32), "r": np.ones((1, 16, 4), np.float32)}
    ahead = one("Mul", ("x", "half"), ("h",))
    return model([ahead, one("LSTM", ("h", "w", "r"), hidden_size=4)], sizes, {**weights, "half": np.float32(0.5)})


def test_the_batch_is_the_second_dimension_where_steps_come_first(tmp_path):
    path = saved(tmp_path, along_steps(5, 2, 7))
    as_it_is, more = costmodel.network(path), costmodel.network(path, batch=3)
    assert (as_it_is.images, more.images, more.inputs[0].shape) == (2, 3, (5, 3, 7))
    assert more.macs == 3 * 5 * 4 * 4 * (7 + 4)  # sequences * steps * gates * hidden * (channels + hidden)
    assert more.replay(batch=6).inputs[0].shape == (5, 6, 7)
    assert costmodel.cost(more, "paper-2012").profile.batch == 3


def after(*nodes, to="h", **constants):
    """A layer that goes along the first axis of what these nodes make of x, which has 7 steps and 2 images."""
    weights = {"w": np.ones((1, 16, 4), np.float32), "r": np.ones((1, 16, 4), np.float32)}
    made = {name: np.array(value) for name, value in constants.items()}
    return model([*nodes, one("LSTM", (to, "w", "r"), hidden_size=4)], (7, 2, 4), {**weights, **made})


BEFORE = {
    "later steps": after(one("Slice", ("x", "i", "j"), ("h",)), i=[2], j=[7]),
    "steps side by side": after(one("Concat", ("x", "x"), ("h",), axis=0)),
    "images in front in between": after(
        one("Transpose", outputs=("t",), perm=[1, 2, 0]), one("Relu", ("t",), ("u",)),
        one("Transpose", ("u",), ("h",), perm=[2, 0, 1]),
    ),
    "steps and images as one": after(
        one("Reshape", ("x", "flat"), ("t",)), one("Relu", ("t",), ("u",)), one("Reshape", ("u", "back"), ("h",)),
        flat=[-1, 4], back=[7, -1, 4],
    ),
    "one step": after(one("Gather", ("x", "i"), ("t",), axis=0), one("Unsqueeze", ("t", "o"), ("h",)), i=3, o=[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", BEFORE)
def test_images_are_found_through_what_comes_before_the_steps(tmp_path, name):
    path = saved(tmp_path, BEFORE[name])
    two = costmodel.network(path)
    assert (two.images, costmodel.network(path, batch=2).macs) == (2, two.macs)
    assert (costmodel.network(path, batch=6).inputs[0].shape, costmodel.network(path, batch=6).macs) == (
        (7, 6, 4), 3 * two.macs,
    )  # fmt: skip


def test_what_has_another_number_than_images_is_not_theirs(tmp_path):
    made = model([one("MatMul", ("x", "q"))], (2, 7, 8))
    made.graph.input.insert(0, helper.make_tensor_value_info("q", TensorProto.FLOAT, (8, 5)))
    path = saved(tmp_path, made)
    assert costmodel.network(path).images == 2
    assert [tensor.shape for tensor in costmodel.network(path, batch=3).inputs] == [(8, 5), (3, 7, 8)]


def test_the_second_dimension_is_the_batch_if_the_file_calls_it_so(tmp_path):
    path = saved(tmp_path, model([one("Relu")], (7, "batch", 8)))
    assert costmodel.network(path, batch=4).inputs[0].shape == (7, 4, 8)
    assert costmodel.network(path, shape="x=7x3x8").images == 3


def test_where_images_are_not_found_their_number_is_not_changed(tmp_path):
    made = along_steps(5, 2, 7)
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (3, 4)))
    made.graph.node.append(one("Relu", ("z",), ("other",)))
    made.graph.output.add(name="other")
    with pytest.raises(CostModelError, match=r"along which axis of input 'z' \(3x4\) images are is not known"):
        costmodel.network(saved(tmp_path, made), batch=4)


def test_the_batch_goes_to_the_open_dimension_that_is_called_so(tmp_path):
    path = saved(tmp_path, along_steps(5, "batch_size", 7))
    assert costmodel.network(path).inputs[0].shape == (5, 1, 7)
    assert costmodel.network(path, batch=4).inputs[0].shape == (5, 4, 7)


def test_an_open_number_of_steps_is_no_batch(tmp_path):
    path = saved(tmp_path, along_steps("s0", 2, 7))
    with pytest.raises(CostModelError, match=r"dimension 0 open, .* steps, not of images, .* --shape x=\?x2x7"):
        costmodel.network(path, batch=4)
    assert costmodel.network(path, shape="x=5x2x7").images == 2


def test_a_shape_and_a_batch_must_agree(tmp_path):
    path = saved(tmp_path, model([one("Relu")]))
    with pytest.raises(CostModelError, match="--shape gives 'x' 2 images, and --batch says 5"):
        costmodel.network(path, shape="x=2x3x8x8", batch=5)
    assert costmodel.network(path, shape="x=1x3x8x8", batch=5).inputs[0].shape == (5, 3, 8, 8)


def test_an_input_may_be_a_single_number(tmp_path):
    made = model([one("Mul", ("x", "s"))])
    made.graph.input.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    graph = costmodel.network(saved(tmp_path, made), batch=2)
    assert [tensor.shape for tensor in (*graph.inputs, *graph.outputs)] == [(2, 3, 8, 8), (), (2, 3, 8, 8)]


def test_an_open_dimension_is_named_with_what_sets_it(tmp_path):
    path = saved(tmp_path, model([one("Relu")], ("N", 3, "height", None)))
    with pytest.raises(
        CostModelError, match=r"input 'x' leaves dimension 2 open \(height\); set it with --shape x=1x3x"
    ):
        costmodel.network(path)
    graph = costmodel.network(path, shape=["x=2x3x10x12"])
    assert (graph.outputs[0].shape, graph.name) == ((2, 3, 10, 12), "model(x=2x3x10x12)")
    assert costmodel.network(path, shape={"x": (2, 3, 10, 12)}).outputs[0].shape == (2, 3, 10, 12)
    assert costmodel.network(path, shape="2x3x10x12").outputs[0].shape == (2, 3, 10, 12)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (["z=1x3x8x8"], "no input 'z'; did you mean 'x'|no input 'z'; known: x"),
        (["x=1x3x8"], "input 'x' has 4 dimensions, not 3"),
        (["x=1x3xax8"], "must be sizes such as 1x3x224x224, not '1x3xax8'"),
        (["x=1x3x0x8"], "must be sizes such as"),
        (["x="], "must be sizes such as"),
        (["x=1x3x8x8", "x=1x3x8x8"], "given twice"),
        ({"x": 5}, "must be sizes such as"),
        ([7], "4 dimensions, not 1"),
    ],
)
def test_a_wrong_shape_is_answered(shape, message, tmp_path):
    path = saved(tmp_path, model([one("Relu")], ("N", 3, "height", None)))
    with pytest.raises(CostModelError, match=message):
        costmodel.network(path, shape=shape)


# Operators that are not known


def test_an_unknown_operator_is_named_with_its_node_domain_and_the_nearest(tmp_path):
    path = saved(tmp_path, model([helper.make_node("Softmaxx", ["x"], ["y"], "head")]))
    with pytest.raises(
        CostModelError, match=r"node 'head' \(Softmaxx\): operator 'Softmaxx' is not known; did you mean 'Softmax'"
    ):
        costmodel.network(path)
    path = saved(tmp_path, model([helper.make_node("Relu", ["x"], ["y"], "head", domain="mine")]))
    with pytest.raises(
        CostModelError, match=r"node 'head' \(mine\.Relu\): operator 'Relu' of domain 'mine' is not known"
    ):
        costmodel.network(path)


def skipping(declared):
    nodes = [
        one("Relu", outputs=("a",)),
        one("Strange", ("a",), ("b",)),
        one("Tanh", ("b",), ("c",)),
        one("Relu", ("c",)),
    ]
    inner = [helper.make_tensor_value_info("b", TensorProto.FLOAT, (1, 3, 4, 4))] if declared else []
    return model(nodes, value_info=inner)


def test_an_unknown_operator_is_left_out_on_request(tmp_path):
    graph = costmodel.network(saved(tmp_path, skipping(True)), unknown="skip")
    assert [node.op.kind for node in graph.nodes.values()] == ["Input", "Relu", "Opaque", "Tanh", "Relu"]
    assert graph.outputs[0].shape == (1, 3, 4, 4)
    assert graph.notes == ("left out 1 operator that is not known: Strange (1); all totals are lower bounds",)
    assert costmodel.cost(graph, "paper-2012").profile.notes == graph.notes
    assert graph.replay(dtype="int8").notes == graph.notes


@pytest.mark.parametrize(
    ("given", "behind"),
    [
        ({}, [(1, 3, 4, 4)]),
        ({"batch": 5}, [(5, 3, 4, 4)]),
        ({"shape": "x=2x3x8x8"}, [(2, 3, 4, 4)]),
        ({"shape": "x=2x3x9x9"}, []),
    ],
)
def test_declared_shapes_hold_for_the_sizes_that_open_dimensions_have(tmp_path, given, behind):
    nodes = [one("Relu", outputs=("a",)), one("Strange", ("a",), ("b",)), one("Relu", ("b",))]
    inner = [helper.make_tensor_value_info("b", TensorProto.FLOAT, ("N", 3, 4, 4))]
    graph = costmodel.network(saved(tmp_path, model(nodes, ("N", 3, 8, 8), value_info=inner)), unknown="skip", **given)
    assert [node.outputs[0].shape for node in graph.nodes.values() if node.op.kind == "Opaque"] == behind


def test_what_is_behind_an_unknown_shape_is_left_out_too(tmp_path):
    graph = costmodel.network(saved(tmp_path, skipping(False)), unknown="skip")
    assert [node.op.kind for node in graph.nodes.values()] == ["Input", "Relu"]
    assert "Strange (1), and 2 behind them whose shapes are not known; all totals are lower bounds" in graph.notes[0]


def test_every_operator_that_has_a_name_in_onnx_is_one_of_onnx():
    known = {schema.name for schema in onnx.defs.get_all_schemas()} | {"SimplifiedLayerNormalization"}
    ours = {*Op.onnx_registry, *SOURCES, *COMPUTED, *SHAPED}
    assert {name for name in ours if not name.startswith("com.microsoft.")} <= known


# Files that cannot be used


def bad(folder):
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("not a model\n" * 9, encoding="utf-8")
    (folder / "half.onnx").write_bytes(light("resnet50").read_bytes()[:20000])
    (folder / "folder.onnx").mkdir()
    saved(folder, onnx.ModelProto(), "nothing.onnx")
    saved(folder, model([one("Relu", ("z",))]), "unmade.onnx")
    saved(folder, model([one("Conv", ("x", "w"))], constants={"w": (4, 5, 3, 3)}), "channels.onnx")
    saved(folder, model([one("Conv", ("x", "w"), strides=[0, 0])], constants={"w": (4, 3, 3, 3)}), "strides.onnx")
    saved(folder, model([one("Conv", ("x", "w"), strides="many")], constants={"w": (4, 3, 3, 3)}), "types.onnx")
    saved(folder, model([one("Reshape", ("x", "to"))], constants={"to": np.array([-1, -1])}), "rests.onnx")
    saved(folder, model([one("Reshape", ("x", "to"))], constants={"to": (2**40,)}), "many.onnx")
    saved(folder, model([one("Range", ("a", "b", "c"), ("r",)), one("Reshape", ("x", "r"))],
                        constants={"a": np.array(0), "b": np.array(2**40), "c": np.array(1)}),
          "range.onnx")  # fmt: skip
    saved(folder, model([one("Div", ("a", "b"), ("r",)), one("Reshape", ("x", "r"))],
                        constants={"a": np.array([6]), "b": np.array([0])}), "zero.onnx")  # fmt: skip
    saved(folder, model([one("Constant", outputs=("y",), value_float=1.0)]), "constant.onnx")
    saved(folder, model([one("Relu")], dtype=TensorProto.STRING), "strings.onnx")
    wrong = model([one("Reshape", ("x", "to"))], constants={"to": np.array([1, 192])})
    wrong.graph.initializer[0].raw_data = b"123"
    saved(folder, wrong, "raw.onnx")
    for name, there in (("op", b"\x04Relu"), ("input", b"\x01x"), ("output", b"\x01y")):
        data = model([one("Relu", name="node")]).SerializeToString()
        (folder / f"bytes-{name}.onnx").write_bytes(data.replace(there, there[:-1] + b"\xff"))
        (folder / f"line-{name}.onnx").write_bytes(data.replace(there, there[:-1] + b"\n"))
    return sorted(folder.iterdir())


def test_bad_files_are_one_error_each(tmp_path):
    files = bad(tmp_path)
    assert len(files) >= 15
    files.remove(tmp_path / "line-output.onnx")  # is no error: nobody reads a name of an output
    for path in [*files, tmp_path / "missing.onnx"]:
        with pytest.raises(CostModelError) as caught:
            costmodel.network(str(path))
        assert str(caught.value).startswith(str(path)), path
        assert "\n" not in str(caught.value), path


@pytest.mark.parametrize("name", ["text.onnx", "half.onnx", "channels.onnx", "missing.onnx"])
def test_the_command_line_ends_with_exit_code_2(name, tmp_path):
    bad(tmp_path)
    done = run("profile", tmp_path / name, "--hw", "paper-2012")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(CostModelError, match="larger than 2147483647 bytes"):
        costmodel.network(str(path))


def test_data_in_other_files_is_never_opened(tmp_path):
    made = model([one("Conv", ("x", "w"))], constants={"w": np.zeros((4, 3, 3, 3), np.float32)})
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../nowhere")
    graph = costmodel.network(saved(tmp_path, made))
    assert (graph.parameters, graph.macs) == (108, 4 * 6 * 6 * 27)


def test_values_that_a_node_needs_and_another_file_has_are_named(tmp_path):
    scales = np.array([1, 1, 2, 2], np.float32)
    made = model([one("Resize", ("x", "", "s"), mode="nearest")], constants={"s": scales})
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(CostModelError, match=r"its input 2 are in the file 'weights\.bin', which is not read"):
        costmodel.network(saved(tmp_path, made))


def test_without_the_extra_it_is_named_unless_there_is_no_file(tmp_path):
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import costmodel\n"
        "for name in ('model.onnx', 'gone.onnx'):\n"
        "    try: costmodel.network(name)\n"
        "    except costmodel.CostModelError as error: print(error)"
    )
    (tmp_path / "model.onnx").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == (
        "reading ONNX files needs the extra 'onnx': pip install 'costmodel[onnx]'\n"
        "gone.onnx: cannot read it: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, "an ONNX file has no parameter 'size'"),
        ({"unknown": "maybe"}, "unknown must be one of error, skip"),
    ],
)
def test_options_that_a_file_does_not_take(options, message):
    with pytest.raises(CostModelError, match=message):
        costmodel.network(str(light("squeezenet")), **options)


# Commands


def test_commands_take_files(tmp_path):
    file = light("squeezenet")
    shown = run("profile", file, "--hw", "paper-2012", "--top", "1", "--convention", "onnx-tool")
    assert shown.returncode == 0, shown.stderr
    assert "light_squeezenet on paper-2012" in shown.stdout
    assert "counted    357511224 MACs and extras" in shown.stdout
    for command in (
        ["explain", file, "n0", "--hw", "paper-2012"],
        ["memory", file],
        ["compare", "squeezenet", file, "--hw", "paper-2012"],
        ["show", file],
        ["snapshot", file, "--hw", "paper-2012", "-o", tmp_path / "costs.json"],
        ["check", tmp_path / "costs.json"],
        ["verify", file, "--shape", "data_0=1x3x40x40"],
    ):
        done = run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_what_was_left_out_is_said_by_every_command(tmp_path):
    path = saved(tmp_path, skipping(True))
    for command in (["profile", path, "--hw", "paper-2012"], ["memory", path], ["show", path],
                    ["compare", path, "--hw", "paper-2012"]):  # fmt: skip
        refused = run(*command)
        assert (refused.returncode, refused.stdout) == (2, ""), command
        assert "--unknown skip leaves it out" in refused.stderr
        done = run(*command, "--unknown", "skip")
        assert done.returncode == 0, (command, done.stderr)
        assert "all totals are lower bounds" in " ".join((done.stdout + done.stderr).split()), command


def test_a_network_that_is_read_keeps_its_wiring():
    graph = costmodel.network(str(light("squeezenet")))
    assert isinstance(graph, Graph)
    assert graph == costmodel.network(str(light("squeezenet")))
    assert graph.replay() == graph


# Element types


def bytes_of(graph):
    layers = profile(graph).layers
    return [layers.total(name) for name in ("input_bytes", "weight_bytes", "output_bytes")]


def half(path):
    weights = {"w": np.zeros((16, 64, 3, 3), np.float16)}
    return saved(path, model([one("Conv", ("x", "w"))], (1, 64, 10, 10), weights, dtype=TensorProto.FLOAT16))


def test_a_model_of_two_bytes_per_value_stays_so_unless_asked(tmp_path):
    narrow, wide = (costmodel.network(half(tmp_path), dtype=dtype) for dtype in (None, "float32"))
    assert (narrow.dtype, narrow.name, wide.dtype, wide.name) == ("float16", "model", "float32", "model(dtype=float32)")
    assert bytes_of(narrow) == [2 * 6400, 2 * 9216, 2 * 1024]
    assert bytes_of(wide) == [4 * 6400, 4 * 9216, 4 * 1024]


def test_casts_change_the_width_and_back(tmp_path):
    island = [
        one("Cast", ("x",), ("wide",), to=TensorProto.FLOAT),
        one("Sigmoid", ("wide",), ("s",)),
        one("CastLike", ("s", "x"), ("same",)),
        one("Cast", ("same",), ("z",), to=TensorProto.FLOAT16),  # of no effect
        one("Conv", ("z", "w"), ("y",)),
    ]
    graph = read(tmp_path, *island, shape=(1, 2, 4, 4), constants={"w": np.zeros((3, 2, 1, 1), np.float16)},
                 dtype=TensorProto.FLOAT16)  # fmt: skip
    assert ops(graph)[:3] == ["Cast(dtype='float32')", "Sigmoid()", "Cast(dtype=None)"]
    moved = profile(graph).layers
    assert moved["input_bytes"] == (64, 128, 128, 64)
    assert moved["output_bytes"] == (128, 128, 64, 96)
    x = np.linspace(-4, 4, 32, dtype=np.float16).reshape(1, 2, 4, 4)
    (_, _, (cast,), (same,), _) = (made for _, _, made in walk(graph, [x]))
    assert (cast.dtype, same.dtype) == ("float32", "float16")


@pytest.mark.parametrize("to", ["int64", "int8", "uint8", "bool", "float16", "float64"])
def test_a_cast_is_that_of_onnx_runtime(to, tmp_path):
    made = model([one("Cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(to)))], (1, 9))
    made.graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    x = np.array([[0, -0.0, 0.4, 0.5, 1.5, 2.9, 100.25, 3, 7]], np.float32)
    (theirs,) = onnx_runtime(made, [x])
    (ours,) = execute(costmodel.network(saved(tmp_path, made)), [x])
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    verified = verify(costmodel.network(saved(tmp_path, made)), compile_loops=False)
    assert not len(verified.differences)


def test_inputs_of_whole_numbers_keep_their_type(tmp_path):
    path = saved(tmp_path, model([one("Cast", to=TensorProto.FLOAT)], (2, 3), dtype=TensorProto.INT64))
    assert bytes_of(costmodel.network(path)) == [48, 0, 24]
    assert bytes_of(costmodel.network(path, dtype="float16")) == [48, 0, 12]


# Weights that several nodes read


def test_a_weight_that_two_nodes_read_counts_once(tmp_path):
    table = {"table": np.zeros((12, 12), np.float32), "bias": np.zeros(12, np.float32)}
    tied = [
        one("MatMul", ("x", "table"), ("h",)),
        one("Transpose", ("table",), ("turned",), perm=[1, 0]),
        one("Gemm", ("h", "turned", "bias"), ("y",)),
    ]
    graph = read(tmp_path, *tied, shape=(2, 12), constants=table)
    layers = profile(graph).layers
    assert graph.parameters == layers.total("parameters") == 144 + 12
    assert layers["weight_bytes"] == (4 * 144, 4 * 156)
    again = [*tied[:2], one("Gemm", ("h", "turned"), ("g",)), one("MatMul", ("g", "turned"), ("y",))]
    assert read(tmp_path, *again, shape=(2, 12), constants=table).parameters == 144


def test_shared_weights_go_around(tmp_path):
    tied = [one("Gemm", ("x", "w"), ("h",), name="a", transB=1), one("Gemm", ("h", "w"), name="b", transB=1)]
    graph = read(tmp_path, *tied, shape=(2, 12), constants={"w": np.zeros((12, 12), np.float32)})
    for file in ("net.onnx", "net.yaml"):
        path = tmp_path / file
        path.write_bytes(costmodel.to_onnx(graph).SerializeToString() if file == "net.onnx" else encode(graph))
        assert costmodel.network(str(path)) == graph
    assert costmodel.network(str(tmp_path / "net.yaml")).parameters == 144


@pytest.mark.parametrize(
    ("outside", "learned"), [(-np.inf, 0), (np.finfo(np.float32).min, 0), (-1e4, 0), (-9.0, 100 * 100)]
)
def test_what_leaves_scores_out_of_a_softmax_is_not_learned(outside, learned, tmp_path):
    nodes = [
        one("Unsqueeze", ("mask", "axes"), ("whole",)),
        one("Add", ("x", "whole"), ("scores",)),
        one("Softmax", ("scores",)),
    ]
    mask = np.triu(np.full((100, 100), outside, np.float32), 1)
    graph = read(tmp_path, *nodes, shape=(1, 100, 100), constants={"mask": mask, "axes": np.array([0])})
    layers = profile(graph).layers
    assert (graph.parameters, layers.total("buffers")) == (learned, 100 * 100 - learned)


def test_what_only_one_layer_reads_for_a_result_is_its_own(tmp_path):
    nodes = [one("Gemm", ("x", "w"), name="used", transB=1), one("Gemm", ("x", "w"), ("nowhere",), transB=1)]
    graph = read(tmp_path, *nodes, shape=(2, 12), constants={"w": np.ones((12, 12), np.float32)})
    assert graph.nodes["used"].stored is None
    assert costmodel.to_onnx(graph).graph.node


def test_a_part_of_a_weight_is_read_and_the_whole_is_counted_once(tmp_path):
    nodes = [
        one("Gemm", ("x", "w"), ("h",), name="all", transB=1),
        one("Slice", ("w", "zero", "three", "zero"), ("rows",)),
        one("Gemm", ("h", "rows"), ("g",), name="some", transB=1),
        one("Gather", ("places", "one"), ("place",), axis=0),
        one("Add", ("g", "place"), name="place_of_three"),
    ]
    numbers = {name: np.array([value]) for name, value in (("zero", 0), ("three", 3), ("one", 1))}
    weights = {"w": np.ones((12, 12), np.float32), "places": np.ones((7, 3), np.float32)}
    graph = read(tmp_path, *nodes, shape=(2, 12), constants={**numbers, **weights})
    layers = profile(graph).layers
    assert graph.parameters == layers.total("parameters") == 12 * 12 + 7 * 3
    assert layers["weight_bytes"] == (4 * 144, 4 * 3 * 12, 4 * 3)
    assert list(verify(graph).differences.rows()) == []
    for file in ("net.onnx", "net.yaml"):
        path = tmp_path / file
        path.write_bytes(costmodel.to_onnx(graph).SerializeToString() if file == "net.onnx" else encode(graph))
        assert costmodel.network(str(path)) == graph
    session = onnxruntime.InferenceSession(costmodel.to_onnx(graph, seed=1).SerializeToString())
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 12)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], execute(graph, [x], seed=1)[0], rtol=1e-5, atol=1e-6)
