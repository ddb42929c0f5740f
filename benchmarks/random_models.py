"""Random numbers -> a small ONNX model over the vocabulary: branches that meet again, odd windows, sizes computed.

A model that onnx's own inference refuses is not made, nor one of large maps. Every weight is 0.25 everywhere, so that
it is known whatever becomes of it.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from random import Random
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
Made = tuple[list[NodeProto], Mapping[str, Any]]
"""Nodes, and their constants by name: arrays, or shapes of weights."""

LARGEST: Final = 20_000
"""How many elements a map has at most."""

DEEPEST: Final = 5
"""How many axes a map has at most."""


def random_model(rng: Random, most: int = 8) -> ModelProto:
    """A model of up to so many steps, all of whose results are outputs."""
    maker = _Maker(rng)
    for number in range(rng.randint(1, most)):
        maker.step(f"t{number}")
    if not maker.nodes:
        maker.add("t", [one("Relu", ["x"], ["t"])], {})
    return maker.model


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    constants: Mapping[str, Any],
    outputs: Sequence[str],
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    **more: Any,
) -> ModelProto:
    """A model; constants are arrays, or shapes that a ConstantOfShape makes weights of."""
    made, initializers = [], []
    for name, value in constants.items():
        if isinstance(value, tuple):
            initializers.append(numpy_helper.from_array(np.array(value, np.int64), f"{name}.shape"))
            quarter = numpy_helper.from_array(np.array([0.25], np.float32))
            made.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=quarter))
        else:
            initializers.append(numpy_helper.from_array(np.asarray(value), name))
    body = helper.make_graph(
        [*made, *nodes],
        "test",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        initializers,
        **more,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def one(
    kind: str, inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",), name: str = "", **how: Any
) -> NodeProto:
    """A node."""
    return helper.make_node(kind, list(inputs), list(outputs), name, **how)


def shapes_of(made: ModelProto) -> dict[str, Shape]:
    """The shape of every tensor, by onnx's own inference."""
    inferred = onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True, data_prop=True).graph
    return {
        tensor.name: tuple([size.dim_value for size in tensor.type.tensor_type.shape.dim])
        for tensor in (*inferred.input, *inferred.value_info, *inferred.output)
    }


class _Maker:
    """A model on its way."""

    def __init__(self, rng: Random) -> None:
        self.rng: Final = rng
        rank = rng.choice([4, 4, 4, 3, 2])
        shape = (rng.randint(1, 2), rng.choice([1, 2, 4, 6]), *[rng.randint(3, 9) for _ in range(rank - 2)])
        self.inputs: Final = dict.fromkeys(["x", "x2"][: rng.randint(1, 2)], shape)
        self.maps: dict[str, Shape] = {"x": shape}
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Any] = {}
        self.model: ModelProto
        if "x2" in self.inputs:
            self.add("first", [one("Add", ["x", "x2"], ["first"])], {})

    def step(self, y: str) -> None:
        """Add a random layer on one of the last maps."""
        x = self.rng.choice([*self.maps][-3:])
        kinds = [*ANY, *{3: (_conv, _norm), 4: FOUR, 2: (_linear, _linear)}.get(len(self.maps[x]), ())]
        self.add(y, *self.rng.choice(kinds)(self, x, self.maps[x], y))

    def add(self, y: str, nodes: list[NodeProto], more: Mapping[str, Any]) -> None:
        """Add nodes that make ``y``, if onnx takes them and what they make is small."""
        constants = {**self.constants, **more}
        trial = model([*self.nodes, *nodes], self.inputs, constants, [*[*self.maps][1:], y])
        try:
            shape = shapes_of(trial)[y]
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError):
            return
        if 0 not in shape and prod(shape) <= LARGEST and 1 <= len(shape) <= DEEPEST:
            self.model, self.constants = trial, constants
            self.nodes += nodes
            self.maps[y] = shape

    def yes(self) -> bool:
        """Heads or tails."""
        return self.rng.random() < 0.5

    def like(self, shape: Shape) -> str:
        """A map of that shape, which may be any that there is."""
        return self.rng.choice([name for name, other in self.maps.items() if other == shape])


Layer = Callable[[_Maker, str, Shape, str], Made]

CURVES: Final = (
    "Relu",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "Elu",
    "HardSigmoid",
    "HardSwish",
    "Softplus",
    "Dropout",
)


def _unary(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    return [one(m.rng.choice(CURVES), [x], [y])], {}


def _clip(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    low, high = m.rng.choice([(-0.5, 1.0), (0.0, 6.0), (0.0, None), (None, 0.5)])
    told = {f"{y}.{name}": np.float32(bound) for name, bound in (("low", low), ("high", high)) if bound is not None}
    return [one("Clip", [x, *[f"{y}.{name}" * (f"{y}.{name}" in told) for name in ("low", "high")]], [y])], told


def _with_constant(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    held = tuple([size if m.yes() else 1 for size in shape[m.rng.randint(0, len(shape)) :]])
    inputs = [x, f"{y}.w"]
    if m.yes():
        inputs.reverse()
    return [one(m.rng.choice(["Add", "Sub", "Mul"]), inputs, [y])], {f"{y}.w": held}


def _with_another(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    return [one(m.rng.choice(["Add", "Mul", "Sub", "Sum"]), [x, m.like(shape)], [y])], {}


def _concat(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    maps = [x, *[m.like(shape) for _ in range(m.rng.randint(0, 2))]]
    return [one("Concat", maps, [y], axis=m.rng.randint(-len(shape), len(shape) - 1))], {}


def _softmax(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    return [one("Softmax", [x], [y], axis=m.rng.randint(-len(shape), len(shape) - 1))], {}


def _transpose(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    return [one("Transpose", [x], [y], perm=m.rng.sample(range(len(shape)), len(shape)))], {}


def _product(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    """A product with the map itself, as attention has it; or with a weight of as many axes."""
    if len(shape) < 2:
        return _unary(m, x, shape, y)
    *outer, _, inner = shape
    if m.yes():
        held = (*[size if m.yes() else 1 for size in outer], inner, m.rng.randint(1, 4))
        return [one("MatMul", [x, f"{y}.w"], [y])], {f"{y}.w": held}
    perm = [*range(len(outer)), len(outer) + 1, len(outer)]
    return [one("Transpose", [x], [f"{y}.t"], perm=perm), one("MatMul", [x, f"{y}.t"], [y])], {}


def _slice(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    axis = m.rng.randrange(len(shape))
    start = m.rng.randint(-shape[axis], shape[axis] - 1)
    stop = start + m.rng.randint(1, 9) if start >= 0 else 2**40
    told = {"starts": start, "ends": stop, "axes": axis - len(shape), "steps": m.rng.randint(1, 3)}
    constants = {f"{y}.{name}": np.array([value]) for name, value in told.items()}
    return [one("Slice", [x, *constants], [y])], constants


def _pad(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    pads = np.array([m.rng.randint(0, 2) for _ in range(2 * len(shape))])
    return [one("Pad", [x, f"{y}.pads", f"{y}.value"], [y])], {f"{y}.pads": pads, f"{y}.value": np.float32(0.5)}


def _long_axis(m: _Maker, shape: Shape) -> int | None:
    """An axis of more than one element, if there is one."""
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    return m.rng.choice(axes) if axes else None


def _split(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    axis = _long_axis(m, shape)
    if axis is None:
        return _unary(m, x, shape, y)
    first = m.rng.randint(1, shape[axis] - 1)
    parts = [f"{y}.a", f"{y}.b"]
    nodes = [one("Split", [x, f"{y}.sizes"], parts, axis=axis), one("Concat", parts[::-1], [y], axis=axis)]
    return nodes, {f"{y}.sizes": np.array([first, shape[axis] - first])}


def _gather(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    axis = m.rng.randrange(len(shape))
    index = np.array(m.rng.randrange(-shape[axis], shape[axis]))
    return [one("Gather", [x, f"{y}.i"], [y], axis=axis)], {f"{y}.i": index}


def _first_axis_kept(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    """A Reshape to the first size and the rest, as PyTorch writes ``x.view(x.shape[0], -1)``."""
    nodes = [
        one("Shape", [x], [f"{y}.s"]),
        one("Gather", [f"{y}.s", f"{y}.zero"], [f"{y}.n"]),
        one("Unsqueeze", [f"{y}.n", f"{y}.first"], [f"{y}.m"]),
        one("Concat", [f"{y}.m", f"{y}.rest"], [f"{y}.to"], axis=0),
        one("Reshape", [x, f"{y}.to"], [y]),
    ]
    return nodes, {f"{y}.zero": np.array(0), f"{y}.first": np.array([0]), f"{y}.rest": np.array([-1])}


def _halves(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    """An axis split in two by arithmetic with its size, and joined again the other way round."""
    axis = _long_axis(m, shape)
    if axis is None:
        return _unary(m, x, shape, y)
    nodes = [
        one("Shape", [x], [f"{y}.s"]),
        one("Slice", [f"{y}.s", f"{y}.at", f"{y}.behind"], [f"{y}.n"]),
        one("Div", [f"{y}.n", f"{y}.two"], [f"{y}.half"]),
        one("Sub", [f"{y}.n", f"{y}.half"], [f"{y}.other"]),
        one("Slice", [x, f"{y}.other", f"{y}.n", f"{y}.at"], [f"{y}.back"]),
        one("Slice", [x, f"{y}.zero", f"{y}.other", f"{y}.at"], [f"{y}.front"]),
        one("Concat", [f"{y}.back", f"{y}.front"], [y], axis=axis),
    ]
    told = {"at": axis, "behind": axis + 1, "two": 2, "zero": 0}
    return nodes, {f"{y}.{name}": np.array([value]) for name, value in told.items()}


def _merged(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    """The last two axes as one, their product computed."""
    if len(shape) < 2:
        return _unary(m, x, shape, y)
    nodes = [
        one("Shape", [x], [f"{y}.s"]),
        one("Slice", [f"{y}.s", f"{y}.zero", f"{y}.two"], [f"{y}.outer"]),
        one("Slice", [f"{y}.s", f"{y}.two", f"{y}.end"], [f"{y}.inner"]),
        one("ReduceProd", [f"{y}.inner"], [f"{y}.product"], keepdims=1),
        one("Cast", [f"{y}.product"], [f"{y}.cast"], to=TensorProto.INT64),
        one("Concat", [f"{y}.outer", f"{y}.cast"], [f"{y}.to"], axis=0),
        one("Reshape", [x, f"{y}.to"], [y]),
    ]
    return nodes, {f"{y}.{name}": np.array([value]) for name, value in (("zero", 0), ("two", -2), ("end", 99))}


def _unsqueezed(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    axes = {f"{y}.axes": np.array([m.rng.randint(-len(shape) - 1, len(shape))])}
    if m.yes():
        return [one("Unsqueeze", [x, *axes], [y])], axes
    return [one("Unsqueeze", [x, *axes], [f"{y}.u"]), one("Squeeze", [f"{y}.u", *axes], [y])], axes


def _window(m: _Maker, spatial: Sequence[int]) -> dict[str, Any]:
    rank = len(spatial)
    how: dict[str, Any] = {
        "kernel_shape": [m.rng.randint(1, min(size, 3)) for size in spatial],
        "strides": [m.rng.randint(1, 3) for _ in range(rank)],
    }
    automatic = m.rng.choice(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if automatic == "NOTSET":
        how["pads"] = [m.rng.randint(0, how["kernel_shape"][side % rank] - 1) for side in range(2 * rank)]
    else:
        how["auto_pad"] = automatic
        how["strides"] = list(map(min, how["strides"], how["kernel_shape"]))  # beyond it ONNX Runtime takes no padding
    return how


def _conv(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    _, c, *spatial = shape
    how = _window(m, spatial)
    groups = m.rng.choice([number for number in range(1, c + 1) if c % number == 0])
    filters = groups * m.rng.randint(1, 3)
    if "auto_pad" not in how and m.yes():
        kernels = zip(how["kernel_shape"], spatial, strict=True)
        how["dilations"] = [m.rng.randint(1, 2) if 2 * kernel - 1 <= size else 1 for kernel, size in kernels]
    weights: dict[str, Shape] = {f"{y}.w": (filters, c // groups, *how["kernel_shape"])}
    if m.yes():
        weights[f"{y}.b"] = (filters,)
    return [one("Conv", [x, *weights], [y], group=groups, **how)], weights


def _pool(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    kind, how = m.rng.choice(["MaxPool", "AveragePool"]), _window(m, shape[2:])
    # Where a last window hangs over, opset 17 leaves open by how many elements a mean divides; and ONNX Runtime drops a
    # window that begins behind the map only when it runs, where its shapes have counted it.
    if kind == "AveragePool" and "auto_pad" not in how:
        how["count_include_pad"] = m.rng.randint(0, 1)
    if kind == "MaxPool" and "auto_pad" not in how and not any(_behind(how, shape[axis + 2], axis) for axis in (0, 1)):
        how["ceil_mode"] = m.rng.randint(0, 1)
    return [one(kind, [x], [y], **how)], {}


def _behind(how: Mapping[str, Any], size: int, axis: int) -> bool:
    before, after = how["pads"][axis], how["pads"][axis + 2]
    spare = size + before + after - how["kernel_shape"][axis]
    return bool(-(-spare // how["strides"][axis]) * how["strides"][axis] >= size + before)


def _norm(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    names = [f"{y}.{name}" for name in ("scale", "shift", "mean", "variance")]
    return [one("BatchNormalization", [x, *names], [y])], dict.fromkeys(names, (shape[1],))


def _of_map(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    kind = m.rng.choice(["GlobalAveragePool", "GlobalMaxPool", "LRN", "ReduceMean", "Flatten", "PRelu"])
    mean = {"axes": [2, 3], "keepdims": m.rng.randint(0, 1)}
    told: Mapping[str, dict[str, Any]] = {"LRN": {"size": 3}, "ReduceMean": mean}
    weights = {f"{y}.w": (shape[1], 1, 1)} if kind == "PRelu" else {}
    return [one(kind, [x, *weights], [y], **told.get(kind, {}))], weights


def _linear(m: _Maker, x: str, shape: Shape, y: str) -> Made:
    features = m.rng.randint(1, 5)
    if m.yes():
        return [one("MatMul", [x, f"{y}.w"], [y])], {f"{y}.w": (shape[1], features)}
    weights = {f"{y}.w": (features, shape[1]), f"{y}.b": (features,)}
    return [one("Gemm", [x, *weights], [y], transB=1)], weights


ANY: Final[Sequence[Layer]] = (
    _unary, _clip, _with_constant, _with_another, _with_another, _concat, _concat, _softmax, _transpose, _product,
    _slice, _pad, _split, _gather, _first_axis_kept, _halves, _merged, _unsqueezed,
)  # fmt: skip
"""Layers on maps of any number of axes."""

FOUR: Final[Sequence[Layer]] = (_conv, _conv, _conv, _pool, _pool, _norm, _of_map, _of_map)
"""Layers on maps of four."""
