"""A call of torch -> the node of ONNX that does the same, and what that makes: one table, by the names of aten.

Nothing here needs torch. A tensor is an operand as ONNX has it: one that flows, or a constant of a known shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import log, prod
from typing import Any, Final, Self

from costmodel.arrays import Array, np
from costmodel.errors import UnsupportedError
from costmodel.graph import Input, Op, Shape, Tensor, dims
from costmodel.ops import (
    Cast,
    ChannelShuffle,
    Concat,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    OneHot,
    PRelu,
    Reshape,
    RMSNorm,
    Slice,
    TrainingBatchNorm,
    Transpose,
)
from costmodel.ops.checks import broadcast
from costmodel.ops.onnx import Constant, OnnxNode, Operand

Made = Operand | tuple[Operand, ...]
"""What a call makes: a tensor, or several."""


OPSET: Final = 24
"""The operator set of ONNX whose rules the nodes follow."""


@dataclass(frozen=True)
class Call:
    """A call: its arguments by the names that torch's schema gives them, and the shapes that torch says it makes."""

    arguments: Mapping[str, Any]
    plain: tuple[str, ...]
    """The names of the arguments that have no default."""
    shapes: tuple[Shape, ...]
    node: OnnxNode
    """A node at its place in the module, to be made one of ONNX."""
    used: tuple[bool, ...] = (True,)
    """Of each result whether anything reads it."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def first(self) -> Any:
        """The first argument, which schemas call self or input."""
        return self[self.plain[0]]

    @property
    def shape(self) -> Shape:
        """The shape of the first of what it makes."""
        return self.shapes[0]

    def several(self, name: str, count: int) -> tuple[int, ...]:
        """A number for all of ``count`` axes, or one for each."""
        given = self[name]
        numbers = tuple(given) if isinstance(given, list | tuple) else (given,)
        return numbers * count if len(numbers) == 1 else numbers

    def axis(self, name: str, rank: int) -> int:
        """An axis that may count from the end -> counted from the start."""
        return int(self[name]) % rank if rank else 0

    def onnx(
        self, kind: str, *inputs: Operand, outputs: Sequence[bool] = (True,), **attributes: Any
    ) -> tuple[Tensor, ...]:
        """What ONNX's operator makes of the operands, of its ``outputs`` those that are read."""
        if kind not in Op.onnx_registry:
            raise UnsupportedError(f"ONNX's {kind} is not known")
        given = {name: value for name, value in attributes.items() if value is not None}
        node = replace(self.node, kind=kind, attributes=given, inputs=inputs, outputs=tuple(outputs))
        return tuple([made for made in Op.onnx_registry[kind].from_onnx(node) if made is not None])

    def one(self, kind: str, *inputs: Operand, **attributes: Any) -> Tensor:
        """The first of what ONNX's operator makes."""
        return self.onnx(kind, *inputs, **attributes)[0]

    def reshaped(self, x: Operand, shape: Shape) -> Operand:
        """A view; the number of images stays open where it is the first axis of both."""
        if x is None or x.shape == shape:
            return x
        to = (0, *shape[1:]) if shape and x.shape and shape[0] == x.shape[0] else shape
        return self.one("Reshape", x, numbers(to))


@dataclass(slots=True, eq=False)
class TorchNode(OnnxNode):
    """A node of ONNX in the place of a call: its layer has the call's path."""

    @classmethod
    def at(
        cls,
        path: str,
        taken: dict[str, int],
        dtype: str,
        constants: tuple[Constant, ...] = (),
        common: frozenset[str] = frozenset(),
    ) -> Self:
        """A node at a place, with its constants and nothing else yet."""
        return cls("", OPSET, {}, constants, (True,), path, taken, dtype, common=common)

    @property
    def place(self) -> tuple[str, str]:
        """The module and the last part of the path."""
        block, _, name = self.path.rpartition(".")
        return block, name


Rule = Callable[[Call], Made]


def numbers(values: Sequence[float] | float) -> Constant:
    """Numbers that a node is told by."""
    array = np.asarray(values)
    return Constant(array.shape, lambda: array)


def _operand(value: Any) -> Operand:
    """An argument as an operand; a plain number is a constant."""
    return numbers(value) if isinstance(value, bool | int | float) else value


def _plain(kind: str) -> Rule:
    """ONNX's operator on the arguments that have no default."""
    return lambda call: call.one(kind, *[_operand(call[name]) for name in call.plain])


def _of_images(rank: int, rule: Rule) -> Rule:
    """A rule for maps of so many axes, the batch first: a map without a batch is viewed as a batch of one."""

    def batched(call: Call) -> Made:
        x = call.first
        if len(x.shape) != rank - 1:
            return rule(call)
        shapes = tuple([(1, *shape) for shape in call.shapes])
        made = rule(replace(call, arguments={**call.arguments, call.plain[0]: _one_step(call, x)}, shapes=shapes))
        several = made if isinstance(made, tuple) else (made,)
        viewed = [
            y if y is None else _viewed(call, y, shape)  # type: ignore[arg-type]
            for y, shape in zip(several, call.shapes, strict=True)
        ]
        return tuple(viewed) if isinstance(made, tuple) else viewed[0]

    return batched


def _with(kind: str, **renamed: str) -> Rule:
    """ONNX's operator on the first argument, with attributes that torch calls otherwise."""
    return lambda call: call.one(kind, call.first, **{onnx: float(call[torch]) for onnx, torch in renamed.items()})


def _same(call: Call) -> Made:
    """The operand itself, in another place, order or type of the same width."""
    x: Operand = call.first
    return x


def _view(call: Call) -> Made:
    return call.reshaped(call.first, call.shape)


def _scaled(kind: str) -> Rule:
    """A sum or difference, whose second operand torch may scale."""

    def rule(call: Call) -> Made:
        other = call["other"]
        if call.arguments.get("alpha", 1) != 1:
            other = call.one("Mul", other, numbers(call["alpha"]))
        return call.one(kind, call.first, _operand(other))

    return rule


def _divide(call: Call) -> Made:
    y = call.one("Div", _operand(call.first), _operand(call["other"]))
    mode = call.arguments.get("rounding_mode")
    if mode not in (None, "floor"):
        raise UnsupportedError(f"rounding_mode {mode!r} is not supported; known: None, floor")
    return call.one("Floor", y) if mode else y


def _floor_divide(call: Call) -> Made:
    return call.one("Floor", call.one("Div", _operand(call.first), _operand(call["other"])))


def _convolution(call: Call) -> Made:
    x, weight = call.first, call["weight"]
    rank = len(weight.shape) - 2
    dilation, pads = call.several("dilation", rank), call["padding"]
    if isinstance(pads, str):
        whole = [0 if pads == "valid" else d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        pads = [*[size // 2 for size in whole], *[-(-size // 2) for size in whole]]
    else:
        pads = call.several("padding", rank) * 2
    if not isinstance(weight, Constant):
        raise UnsupportedError("its weights are computed from what comes in, where weights of the module are supported")
    return call.one(
        "Conv", x, weight, call["bias"], strides=call.several("stride", rank), pads=tuple(pads), dilations=dilation,
        group=call["groups"],
    )  # fmt: skip


NORMED: Final = ("weight", "bias", "running_mean", "running_var")
"""What a norm by running statistics has beside its map, by the names of torch's arguments."""


def _batch_norm(call: Call) -> Made:
    if call["training"] or call["running_mean"] is None:
        return call.node.then(TrainingBatchNorm(call["eps"], **_learned(call)), call.first)
    return _running_norm(call)


def _running_norm(call: Call) -> Made:
    """A norm by running statistics; without weight and bias it is a difference and a product."""
    x, weight, bias, mean, variance = (call[name] for name in (call.plain[0], *NORMED))
    if weight is not None and bias is not None:
        return call.one("BatchNormalization", x, weight, bias, mean, variance, epsilon=call["eps"])
    if weight is not None or bias is not None:
        raise UnsupportedError("a norm by running statistics with only one of weight and bias is not supported")
    rest = (1,) * (len(x.shape) - 2)
    mean, scale = (each._replace(shape=(each.elements, *rest)) for each in (mean, variance))
    return call.one("Mul", call.one("Sub", x, mean), scale)


def _pool(kind: str) -> Rule:
    def rule(call: Call) -> Made:
        x: Tensor = call.first
        rank = len(x.shape) - 2
        divisor = call.arguments.get("divisor_override")
        further: dict[str, Any] = {}
        if "dilation" in call.arguments:
            further["dilations"] = call.several("dilation", rank)
        if "count_include_pad" in call.arguments:
            further["count_include_pad"] = int(call["count_include_pad"] or divisor is not None)
        made = call.onnx(
            kind, x, outputs=(True, *call.used[1:]), kernel_shape=call.several("kernel_size", rank),
            pads=call.several("padding", rank) * 2,
            strides=call.several("stride" if call["stride"] else "kernel_size", rank),
            ceil_mode=int(call["ceil_mode"]), **further,
        )  # fmt: skip
        if divisor is not None:
            return call.one("Mul", made[0], numbers(prod(call.several("kernel_size", rank)) / divisor))
        return _with_places(call, made)

    return rule


def _with_places(call: Call, made: Sequence[Tensor]) -> Made:
    """What a pool makes, and where the largest values were, if the call makes both and these are used."""
    return (*made, *[None for _ in call.shapes[len(made) :]]) if len(call.shapes) > 1 else made[0]


def _adaptive(kind: str) -> Rule:
    """A pool to a given size: of the whole map, or with windows of one size that do not overlap."""

    def rule(call: Call) -> Made:
        x: Tensor = call.first
        spatial, wanted = x.shape[2:], call.shape[2:]
        placed = any(call.used[1:])
        if spatial == wanted and not placed:
            return _with_places(call, (x,))
        if set(wanted) == {1} and not placed:
            return _with_places(call, call.onnx(f"Global{kind}", x))
        if set(spatial) == {1} and not placed:
            return _with_places(call, (call.one("Expand", x, numbers(call.shape)),))
        if any(size % parts for size, parts in zip(spatial, wanted, strict=True)):
            raise UnsupportedError(f"a pool of {dims(spatial)} to {dims(wanted)} has windows of several sizes")
        kernel = tuple(size // parts for size, parts in zip(spatial, wanted, strict=True))
        outputs = (True, *call.used[1:])
        return _with_places(call, call.onnx(kind, x, outputs=outputs, kernel_shape=kernel, strides=kernel))

    return rule


def _unpool(call: Call) -> Made:
    ones = (1,) * (len(call.shape) - 2)  # the size is stated, so the kernel does not matter
    return call.one("MaxUnpool", call.first, call["indices"], numbers(call.shape), kernel_shape=ones)


def _linear(call: Call) -> Made:
    x, weight, bias = call.first, call["weight"], call["bias"]
    if isinstance(x, Tensor) and isinstance(weight, Constant) and not isinstance(bias, Tensor):
        features, channels = weight.shape
        return call.node.then(Linear(features, bias=bias is not None, channels=channels), x)
    turned = call.one("Transpose", weight, perm=(1, 0)) if isinstance(weight, Tensor) else Constant(weight.shape[::-1])
    y = call.one("MatMul", x, turned)
    return y if bias is None else call.one("Add", y, bias)


def _addmm(call: Call) -> Made:
    return call.one(
        "Gemm", call["mat1"], call["mat2"], call["self"], alpha=float(call["alpha"]), beta=float(call["beta"])
    )


def _dropout(call: Call) -> Made:
    return _dropped(call, call.first) if call["train"] and call["p"] else call.one("Dropout", call.first)


def _dropped(call: Call, x: Tensor) -> Tensor:
    """In training a product with a mask that is drawn outside, of 0 and 1/(1 - p)."""
    (mask,) = call.node.apply(Input(x.shape), part="mask")
    return call.one("Mul", x, mask)


def _clamp(low: str, high: str) -> Rule:
    def rule(call: Call) -> Made:
        bounds = {"min": call.arguments.get(low), "max": call.arguments.get(high)}
        if any(isinstance(bound, Tensor | Constant) for bound in bounds.values()):
            y: Operand = call.first
            for kind, bound in (("Max", bounds["min"]), ("Min", bounds["max"])):
                y = y if bound is None else call.one(kind, y, _operand(bound))
            return y
        return call.one("Clip", call.first, **{name: float(b) for name, b in bounds.items() if b is not None})

    return rule


def _prelu(call: Call) -> Made:
    slope = call["weight"]
    if not isinstance(slope, Constant):
        raise UnsupportedError("its slopes are computed, where weights of the module are supported")
    return call.node.then(PRelu(shared=slope.elements == 1), call.first)


def _elu(call: Call) -> Made:
    if (call["scale"], call["input_scale"]) != (1, 1):
        raise UnsupportedError("an ELU with other scales than 1 is not supported")
    return call.one("Elu", call.first, alpha=float(call["alpha"]))


def _softmax(kind: str) -> Rule:
    return lambda call: call.one(kind, call.first, axis=call.axis("dim", len(call.shape)))


def _gelu(call: Call) -> Made:
    return call.one("Gelu", call.first, approximate=call["approximate"])


def _turn(call: Call) -> Made:
    """The axes in another order, as the call's own arguments say it."""
    x: Tensor = call.first
    rank = len(x.shape)
    axes = list(range(rank))
    if "dims" in call.arguments:
        axes = [axis % rank for axis in call["dims"]]
    elif "source" in call.arguments:
        moved = dict(zip(call.several("destination", 1), call.several("source", 1), strict=True))
        moved = {to % rank: axis % rank for to, axis in moved.items()}
        others = iter([axis for axis in axes if axis not in moved.values()])
        axes = [moved[axis] if axis in moved else next(others) for axis in axes]
    else:
        one, two = [call.axis(name, rank) for name in call.plain[1:]] or (-2 % rank, -1 % rank)
        axes[one], axes[two] = axes[two], axes[one]
    return x if axes == sorted(axes) else call.one("Transpose", x, perm=tuple(axes))


def _backwards(call: Call) -> Made:
    """The axes in reverse."""
    rank = len(call.first.shape)
    return call.one("Transpose", call.first, perm=tuple(range(rank)[::-1])) if rank > 1 else call.first


def _slice(call: Call) -> Made:
    x: Tensor = call.first
    axis = call.axis("dim", len(x.shape))
    start, stop, step = slice(call["start"], call["end"], call["step"]).indices(x.shape[axis])
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    return call.one("Slice", x, *map(numbers, ([start], [stop], [axis], [step])))


def _select(call: Call) -> Made:
    x: Tensor = call.first
    return call.one("Gather", x, numbers(int(call["index"])), axis=call.axis("dim", len(x.shape)))


def _split(call: Call) -> Made:
    x: Tensor = call.first
    axis = call.axis("dim", len(x.shape))
    sizes = [shape[axis] for shape in call.shapes]
    return (x,) if len(sizes) == 1 else call.onnx("Split", x, numbers(sizes), outputs=[True for _ in sizes], axis=axis)


def _unbind(call: Call) -> Made:
    x: Tensor = call.first
    axis = call.axis("dim", len(x.shape))
    return tuple([call.one("Gather", x, numbers(index), axis=axis) for index in range(x.shape[axis])])


def _flatten(call: Call) -> Made:
    x: Tensor = call.first
    behind = call.axis("end_dim", len(x.shape)) == len(x.shape) - 1
    return call.one("Flatten", x) if call["start_dim"] == 1 and behind else _view(call)


def _concat(call: Call) -> Made:
    parts = [part for part in call["tensors"] if part.elements]
    return call.one("Concat", *parts, axis=call.axis("dim", len(call.shape)))


def _stack(call: Call) -> Made:
    axis = call.axis("dim", len(call.shape))
    apart = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    return call.one("Concat", *[call.reshaped(part, apart) for part in call["tensors"]], axis=axis)


def _reduce(kind: str) -> Rule:
    """Over the axes ``dim``, or over all of them."""

    def rule(call: Call) -> Made:
        x: Tensor = call.first
        given = call.arguments.get("dim")
        axes = [given] if isinstance(given, int) else list(given or range(len(x.shape)))
        kept = int(bool(call.arguments.get("keepdim")))
        return call.one(kind, x, axes=tuple(axis % len(x.shape) for axis in axes), keepdims=kept)

    return rule


def _truth(kind: str) -> Rule:
    """The largest or smallest of what is true or false."""

    def rule(call: Call) -> Made:
        x: Tensor = call.first
        truths = x if x.dtype == "bool" else call.node.then(Cast("bool"), x, part="cast")
        return _reduce(kind)(replace(call, arguments={**call.arguments, call.plain[0]: truths}))

    return rule


def _pad(call: Call) -> Made:
    x: Tensor = call.first
    pads = list(call["pad"])
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    rank = len(x.shape)
    before, after = [0] * rank, [0] * rank
    for number, (less, more) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        before[rank - 1 - number], after[rank - 1 - number] = less, more
    if not any(pads):
        return x
    value = numbers(float(call.arguments.get("value") or 0))
    return call.one("Pad", x, numbers([*before, *after]), value, mode=modes[call.arguments.get("mode", "constant")])


def _expand(call: Call) -> Made:
    x: Tensor = call.first
    return x if x.shape == call.shape else call.one("Expand", x, numbers(call.shape))


def _narrow(call: Call) -> Made:
    x: Tensor = call.first
    start = call["start"] % x.shape[call.axis("dim", len(x.shape))]
    return call.one("Slice", x, *map(numbers, ([start], [start + call["length"]], [call["dim"]])))


def _norm(call: Call) -> Made:
    order = call.arguments.get("ord", call.arguments.get("p"))
    if order not in (1, 2):
        raise UnsupportedError(f"a norm of order {order} is not supported; known: 1, 2")
    return _reduce(f"ReduceL{int(order)}")(call)


def _repeat(call: Call) -> Made:
    x, times = call.first, tuple(call["repeats" if "repeats" in call.arguments else "dims"])
    times = (1,) * (len(x.shape) - len(times)) + times
    apart = call.reshaped(x, (1,) * (len(times) - len(x.shape)) + x.shape)
    return apart if set(times) == {1} else call.one("Tile", apart, numbers(times))


def _repeat_each(call: Call) -> Made:
    """Each value along an axis so many times, one copy beside the other."""
    x: Operand = call.first
    axis = 0
    if call["dim"] is None:
        x = call.reshaped(x, (call.first.elements,))
    else:
        axis = call.axis("dim", len(call.shape))
    before, size, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]  # type: ignore[union-attr]
    apart = call.reshaped(x, (*before, size, 1, *behind))
    times = (*before, size, call["repeats"], *behind)
    return call.reshaped(call.one("Expand", apart, numbers(times)), call.shape)


def _flip(call: Call) -> Made:
    """Along each axis the last first."""
    x: Tensor = call.first
    for dim in call["dims"]:
        x = _taken(call, x, np.arange(x.shape[dim])[::-1], dim % len(x.shape))
    return x


def _taken(call: Call, x: Operand, places: Array, axis: int) -> Tensor:
    """What stands at known places along an axis."""
    return call.one("Gather", x, Constant(places.shape, lambda: places, dtype="int64", learned=False), axis=axis)


def _windows(call: Call) -> Made:
    """Along an axis the windows of a size, whose values become the last axis."""
    x: Tensor = call.first
    axis = call.axis("dimension", len(x.shape))
    count, size, step = call.shape[axis], call["size"], call["step"]
    if (count - 1) * step + size == x.shape[axis] and step == size:
        y = call.reshaped(x, (*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
    else:
        y = _taken(call, x, np.arange(count)[:, None] * step + np.arange(size), axis)
    order = [place for place in range(len(x.shape) + 1) if place != axis + 1]
    return y if axis == len(x.shape) - 1 else call.one("Transpose", y, perm=(*order, axis + 1))


def _patches(call: Call) -> Made:
    """The values under each place of a kernel as one column: a padded map, of which rows and columns are taken."""
    x: Tensor = call.first
    kernel, stride, dilation, pads = (
        call.several(name, 2) for name in ("kernel_size", "stride", "dilation", "padding")
    )
    if any(pads):
        x = call.one("Pad", x, numbers([0, 0, *pads] * 2))
    n, c, height, width = x.shape
    rows, columns = (
        (size - reach * (taps - 1) - 1) // step + 1
        for size, reach, taps, step in zip((height, width), dilation, kernel, stride, strict=True)
    )
    if stride == kernel and dilation == (1, 1) and (rows * kernel[0], columns * kernel[1]) == (height, width):
        y = call.reshaped(x, (n, c, rows, kernel[0], columns, kernel[1]))
        y = call.one("Transpose", y, perm=(0, 1, 3, 5, 2, 4))
    else:
        for axis, count, reach, taps, step in zip((2, 4), (rows, columns), dilation, kernel, stride, strict=True):
            x = _taken(call, x, np.arange(taps)[:, None] * reach + np.arange(count) * step, axis)
        y = call.one("Transpose", x, perm=(0, 1, 2, 4, 3, 5))
    return call.reshaped(y, call.shape)


def _roll(call: Call) -> Made:
    """Along each axis its end before its beginning."""
    x: Tensor = call.first
    for shift, dim in zip(call["shifts"], call["dims"], strict=True):
        size = x.shape[dim]
        cut, axis = (-shift) % size, numbers([dim])
        if cut:
            parts = [call.one("Slice", x, *map(numbers, ends), axis) for ends in (([cut], [size]), ([0], [cut]))]
            x = call.one("Concat", *parts, axis=dim)
    return x


def _index(call: Call) -> Made:
    """Places along one axis, or along the first ones at once."""
    given = [(axis, indices) for axis, indices in enumerate(call["indices"]) if indices is not None]
    if len(given) == 1:
        ((axis, indices),) = given
        return call.one("Gather", call.first, indices, axis=axis)
    start = given[0][0]
    if any(axis != start + number for number, (axis, _) in enumerate(given)):
        raise UnsupportedError("indices along several axes that are apart are not supported")
    if start:
        return _index_behind(call, given)
    places = reduce(broadcast, [indices.shape for _, indices in given])
    parts = []
    for _, indices in given:
        flows = indices
        if isinstance(indices, Constant):
            (flows,) = call.node.apply(Input(indices.shape or (1,), indices.dtype), part="indices")
        whole = flows if flows.shape == places else call.one("Expand", flows, numbers(places))
        parts.append(call.reshaped(whole, (*places, 1)))
    return call.one("GatherND", call.first, call.one("Concat", *parts, axis=len(places)))


def _index_behind(call: Call, given: Sequence[tuple[int, Any]]) -> Made:
    """Places along neighbouring axes behind others, which are viewed as one axis."""
    x, start, stop = call.first, given[0][0], given[-1][0] + 1
    flat = given[0][1]
    for axis, indices in given[1:]:
        flat = call.one("Add", call.one("Mul", flat, numbers(x.shape[axis])), indices)
    whole = call.reshaped(x, (*x.shape[:start], prod(x.shape[start:stop]), *x.shape[stop:]))
    return call.one("Gather", whole, flat, axis=start)


def _embedding(call: Call) -> Made:
    return call.one("Gather", call["weight"], call["indices"], axis=0)


def _embedding_bag(call: Call) -> Made:
    """Rows of a table, and the sum, mean or largest value of those of each bag, which are as many in all bags."""
    indices, offsets, factors = call["indices"], call["offsets"], call["per_sample_weights"]
    bags, _ = call.shape
    if not isinstance(offsets, Constant) or indices.elements % bags:
        raise UnsupportedError("bags by offsets have sizes that depend on values; known: a row of indices for each bag")
    rows = call.one("Gather", call["weight"], call.reshaped(indices, (bags, indices.elements // bags)), axis=0)
    if factors is not None:
        rows = call.one("Mul", rows, call.reshaped(factors, (*rows.shape[:2], 1)))
    kind = ("ReduceSum", "ReduceMean", "ReduceMax")[call["mode"]]
    return (call.one(kind, rows, axes=(1,), keepdims=0), *[None for _ in call.shapes[1:]])


def _bilinear(call: Call) -> Made:
    """The first map by all matrices of the weight, and what comes of it by the second map."""
    first, second, weight = call["input1"], call["input2"], call["weight"]
    n = prod(first.shape[:-1])
    rows = [call.reshaped(x, (n, x.shape[-1])) for x in (first, second)]
    y = call.one("Einsum", rows[0], weight, equation="ni,kij->nkj")
    y = call.one("Einsum", y, rows[1], equation="nkj,nj->nk")
    y = y if call["bias"] is None else call.one("Add", y, call["bias"])
    return call.reshaped(y, call.shape)


def _index_select(call: Call) -> Made:
    return call.one("Gather", call.first, call["index"], axis=call.axis("dim", len(call.shape)))


def _learned(call: Call) -> dict[str, bool]:
    """Whether a norm has a gamma and a beta, which must be weights of the module."""
    weights = {"scale": call["weight"], "bias": call.arguments.get("bias")}
    if any(isinstance(weight, Tensor) for weight in weights.values()):
        raise UnsupportedError("its weight or bias is computed, where weights of the module are supported")
    return {name: weight is not None for name, weight in weights.items()}


def _layer_norm(call: Call) -> Made:
    return call.node.then(LayerNorm(-len(call["normalized_shape"]), call["eps"], **_learned(call)), call.first)


def _rms_norm(call: Call) -> Made:
    epsilon = 2**-23 if call["eps"] is None else call["eps"]  # torch's usual one is that of 32 bits
    return call.node.then(RMSNorm(-len(call["normalized_shape"]), epsilon, scale=_learned(call)["scale"]), call.first)


def _group_norm(call: Call) -> Made:
    return call.node.then(GroupNorm(call["num_groups"], call["eps"], **_learned(call)), call.first)


def _instance_norm(call: Call) -> Made:
    if not call["use_input_stats"]:
        return _running_norm(call)
    return call.node.then(InstanceNorm(call["eps"], **_learned(call)), call.first)


def _attention(call: Call) -> Made:
    """Heads before the length, and before them the images, of which torch has any number of axes."""
    parts: list[Tensor] = [call["query"], call["key"], call["value"]]
    if any(not isinstance(part, Tensor) for part in parts):
        raise UnsupportedError("queries, keys or values that are constants are not supported")
    query, key, value = (_with_heads(call, part) for part in parts)
    mask = (call["attn_mask"],) if call["attn_mask"] is not None else ()
    if call["dropout_p"]:
        y = _attention_in_training(call, query, key, value, *mask)
    else:
        y = call.one("Attention", query, key, value, *mask, is_causal=int(call["is_causal"]), scale=call["scale"])
    return call.reshaped(y, call.shape)


def _with_heads(call: Call, x: Tensor) -> Any:
    *images, heads = x.shape[:-2] if len(x.shape) > 3 else (*x.shape[:-2], 1)
    return call.reshaped(x, (prod(images), heads, *x.shape[-2:]))


def _attention_in_training(call: Call, query: Tensor, key: Tensor, value: Tensor, *mask: Tensor) -> Tensor:
    """Step by step, because shares are dropped between the two products."""
    if query.shape[1] != key.shape[1]:
        raise UnsupportedError("dropout in attention with grouped heads is not supported; call eval() on the module")
    turned = call.one("Transpose", key, perm=(0, 1, 3, 2))
    scores = call.one("Mul", call.one("MatMul", query, turned), numbers(1.0))
    if call["is_causal"]:
        mask = call.node.apply(Input(scores.shape[2:]), part="causal")
    for each in mask:
        scores = call.one("Add", scores, each)
    return call.one("MatMul", _dropped(call, call.one("Softmax", scores, axis=3)), value)


def _transposed_convolution(call: Call) -> Made:
    x, weight = call.first, call["weight"]
    rank = len(weight.shape) - 2
    return call.one(
        "ConvTranspose", x, weight, call["bias"], strides=call.several("stride", rank),
        pads=call.several("padding", rank) * 2, output_padding=call.several("output_padding", rank),
        dilations=call.several("dilation", rank), group=call["groups"],
    )  # fmt: skip


def _resize(mode: str, *, exact: bool = False) -> Rule:
    """To the size that torch says it makes."""

    def rule(call: Call) -> Made:
        if exact:
            how = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
        elif mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        else:
            aligned = call["align_corners"]
            how = {"coordinate_transformation_mode": "align_corners" if aligned else "pytorch_half_pixel"}
        return call.one("Resize", call.first, None, None, numbers(call.shape), mode=mode, **how)

    return rule


def _pixel_shuffle(call: Call) -> Made:
    x: Tensor = call.first
    images = call.reshaped(x, (prod(x.shape[:-3]), *x.shape[-3:]))
    return call.reshaped(call.one("DepthToSpace", images, blocksize=call["upscale_factor"], mode="CRD"), call.shape)


def _pixel_unshuffle(call: Call) -> Made:
    """Each square as the channels of a place, those of a channel in a row."""
    x: Tensor = call.first
    (*images, c, height, width), side = x.shape, call["downscale_factor"]
    n = prod(images)
    y = call.reshaped(x, (n, c, height // side, side, width // side, side))
    return call.reshaped(call.one("Transpose", y, perm=(0, 1, 3, 5, 2, 4)), call.shape)


def _channel_shuffle(call: Call) -> Made:
    return call.node.then(ChannelShuffle(call["groups"]), call.first)


def _where(call: Call) -> Made:
    return call.one("Where", _operand(call["condition"]), _operand(call["self"]), _operand(call["other"]))


def _masked_fill(call: Call) -> Made:
    return call.one("Where", call["mask"], _operand(call["value"]), call["self"])


def _chain(*kinds: str) -> Rule:
    """One of ONNX's operators behind the other."""

    def rule(call: Call) -> Made:
        y: Made = call.first
        for kind in kinds:
            y = call.one(kind, y)  # type: ignore[arg-type]
        return y

    return rule


def _less_self(call: Call) -> Made:
    if call["alpha"] != 1:
        raise UnsupportedError("a factor of what is subtracted is not supported")
    return call.one("Sub", _operand(call["other"]), call["self"])


def _with_number(kind: str, number: float, then: str | None = None) -> Rule:
    """ONNX's operator on the first argument and a number, and another one on what it makes."""

    def rule(call: Call) -> Made:
        y = call.one(kind, call.first, numbers(number))
        return call.one(then, y) if then else y

    return rule


def _then_number(first: str, kind: str, number: float) -> Rule:
    """ONNX's operator on the first argument, and another one on what it makes and a number."""
    return lambda call: call.one(kind, call.one(first, call.first), numbers(number))


def _power_of(number: float) -> Rule:
    return lambda call: call.one("Pow", numbers(number), call.first)


def _added(kind: str) -> Rule:
    """What is added is a product or a ratio, and may be scaled."""

    def rule(call: Call) -> Made:
        y = call.one(kind, call["tensor1"], call["tensor2"])
        return call.one("Add", call.first, y if call["value"] == 1 else call.one("Mul", y, numbers(call["value"])))

    return rule


def _between(call: Call) -> Made:
    part = call.one("Mul", call.one("Sub", call["end"], call.first), _operand(call["weight"]))
    return call.one("Add", call.first, part)


def _outer(call: Call) -> Made:
    rows, columns = call.first, call[call.plain[1]]
    return call.one("Mul", call.reshaped(rows, (*rows.shape, 1)), call.reshaped(columns, (1, *columns.shape)))


def _distance(call: Call) -> Made:
    if call["p"] not in (1, 2):
        raise UnsupportedError(f"a distance of order {call['p']} is not supported; known: 1, 2")
    away = call.one("Add", call.one("Sub", call["x1"], call["x2"]), numbers(call["eps"]))
    return call.one(f"ReduceL{int(call['p'])}", away, axes=(len(away.shape) - 1,), keepdims=int(call["keepdim"]))


def _random_slope(call: Call) -> Made:
    if call["training"]:
        raise UnsupportedError("slopes that are drawn at random are not supported; call eval() on the module")
    return call.one("LeakyRelu", call.first, alpha=(float(call["lower"]) + float(call["upper"])) / 2)


def _cosine(call: Call) -> Made:
    pair = call["x1"], call["x2"]
    axes = (call.axis("dim", len(pair[0].shape)),)
    product = call.one("ReduceSum", call.one("Mul", *pair), axes=axes, keepdims=0)
    lengths = [call.one("Clip", call.one("ReduceL2", x, axes=axes, keepdims=0), min=call["eps"]) for x in pair]
    return call.one("Div", product, call.one("Mul", *lengths))


def _variance(*further: str) -> Rule:
    """The mean of squared differences from the mean, of one value less unless it is told otherwise; its root."""

    def rule(call: Call) -> Made:
        x: Tensor = call.first
        given, less = call.arguments.get("dim"), call.arguments.get("correction")
        axes = tuple([axis % len(x.shape) for axis in given or range(len(x.shape))])
        if less is None:
            less = int(call.arguments.get("unbiased", True))
        mean = call.one("ReduceMean", x, axes=axes, keepdims=1)
        away = call.one("Sub", x, mean)
        total = call.one("ReduceSum", call.one("Mul", away, away), axes=axes,
                         keepdims=int(bool(call.arguments.get("keepdim"))))  # fmt: skip
        y = call.one("Mul", total, numbers(1 / max(prod([x.shape[axis] for axis in axes]) - less, 1)))
        for kind in further:
            y = call.one(kind, y)
        return (y, call.reshaped(mean, call.shapes[1])) if len(call.shapes) > 1 else y

    return rule


def _to_one_shape(call: Call) -> Made:
    return tuple([
        x if x.shape == shape else call.one("Expand", x, numbers(shape))
        for x, shape in zip(call["tensors"], call.shapes, strict=True)
    ])  # fmt: skip


def _side_by_side(call: Call) -> Made:
    return call.one("Concat", *call["tensors"], axis=min(1, len(call.shape) - 1))


def _square(call: Call) -> Made:
    return call.one("Mul", call.first, call.first)


def _extreme(value: str, place: str) -> Rule:
    """The largest or smallest of all, of two maps, or along an axis with its place."""

    def rule(call: Call) -> Made:
        if "other" in call.arguments:
            return call.one(value.removeprefix("Reduce"), call.first, call["other"])
        if "dim" not in call.arguments:
            return _reduce(value)(call)
        axis, kept = call.axis("dim", len(call.first.shape)), int(call["keepdim"])
        largest = call.one(value, call.first, axes=(axis,), keepdims=kept)
        return (largest, call.one(place, call.first, axis=axis, keepdims=kept))

    return rule


def _place(kind: str) -> Rule:
    def rule(call: Call) -> Made:
        if call["dim"] is None:
            raise UnsupportedError("a place among all values is not supported; known: along an axis")
        return call.one(kind, call.first, axis=call.axis("dim", len(call.first.shape)), keepdims=int(call["keepdim"]))

    return rule


def _logical(kind: str) -> Rule:
    """What is done bit by bit, or to what is true or false."""

    def rule(call: Call) -> Made:
        bits = "" if getattr(call.first, "dtype", None) == "bool" else "Bitwise"
        return call.one(f"{bits}{kind}", *[_operand(call[name]) for name in call.plain])

    return rule


def _cumulate(kind: str) -> Rule:
    return lambda call: call.one(kind, call.first, numbers(call.axis("dim", len(call.shape))))


def _shrink(*, soft: bool) -> Rule:
    return lambda call: call.one(
        "Shrink", call.first, lambd=float(call["lambd"]), bias=float(call["lambd"]) if soft else 0.0
    )


def _threshold(call: Call) -> Made:
    if call["value"]:
        above = call.one("Greater", call.first, numbers(call["threshold"]))
        return call.one("Where", above, call.first, numbers(call["value"]))
    return call.one("ThresholdedRelu", call.first, alpha=float(call["threshold"]))


def _first_ones(call: Call) -> Made:
    """The largest values and their places, or all of them in order."""
    x: Tensor = call.first
    axis = call.axis("dim", len(x.shape))
    largest = call["largest"] if "largest" in call.arguments else call["descending"]
    if len(call.shapes) == 1:  # only the places
        return call.onnx("TopK", x, numbers([call.shape[axis]]), outputs=(True, True), axis=axis,
                         largest=int(largest))[1]  # fmt: skip
    return call.onnx("TopK", x, numbers([call.shape[axis]]), outputs=(True, True), axis=axis, largest=int(largest))


def _one_hot(call: Call) -> Made:
    return call.node.then(OneHot(call.shape[-1], dtype="int64"), call.first)


def _gather(call: Call) -> Made:
    return call.one("GatherElements", call.first, call["index"], axis=call.axis("dim", len(call.shape)))


def _scatter(reduction: str) -> Rule:
    def rule(call: Call) -> Made:
        index, updates = call["index"], call.arguments.get("src")
        if updates is None or call.arguments.get("reduce") or updates.shape != index.shape:
            raise UnsupportedError("known are updates that are a tensor with a place for each of its values")
        axis = call.axis("dim", len(call.shape))
        return call.one("ScatterElements", call.first, index, updates, axis=axis, reduction=reduction)

    return rule


def _grid_sample(call: Call) -> Made:
    mode, padding = call["interpolation_mode"], call["padding_mode"]
    return call.one(
        "GridSample", call["input"], call["grid"], mode=("linear", "nearest", "cubic")[mode],
        padding_mode=("zeros", "border", "reflection")[padding], align_corners=int(call["align_corners"]),
    )  # fmt: skip


def _affine_grid(call: Call) -> Made:
    corners = int(call["align_corners"])
    return call.one("AffineGrid", call["theta"], numbers(tuple(call["size"])), align_corners=corners)


def _fold(call: Call) -> Made:
    image, kernel, stride, dilation, pads = (
        call.several(name, 2) for name in ("output_size", "kernel_size", "stride", "dilation", "padding")
    )
    sizes = (numbers(image), numbers(kernel))
    return call.one("Col2Im", call.first, *sizes, strides=stride, dilations=dilation, pads=pads * 2)


def _triangle(*, upper: bool) -> Rule:
    return lambda call: call.one("Trilu", call.first, numbers(int(call["diagonal"])), upper=int(upper))


def _einsum(call: Call) -> Made:
    """Several operands one after the other, with the axes that are still needed between."""
    terms, _, made = call["equation"].replace(" ", "").partition("->")
    parts, tensors = terms.split(","), list(call["tensors"])
    if len(parts) > 2 and "." in terms:
        raise UnsupportedError("an ellipsis in an equation of more than 2 operands is not supported")
    while len(parts) > 2:
        first, second, *others = parts
        left = "".join(dict.fromkeys([name for name in first + second if name in "".join(others) + made]))
        tensors[:2] = [_product(call, tensors[:2], (first, second), left)]
        parts = [left, *others]
    if "->" not in call["equation"]:
        return call.one("Einsum", *tensors, equation=",".join(parts))
    return _product(call, tensors, parts, made)


def _product(call: Call, tensors: Sequence[Operand], terms: Sequence[str], made: str) -> Tensor:
    """An equation that sums over nothing is values times values, as torch does it, and no matrix product."""
    summed = {*"".join(terms)} - {*made}
    if len(terms) != 2 or summed or "." in made or any(len({*term}) < len(term) for term in terms):
        return call.one("Einsum", *tensors, equation=f"{','.join(terms)}->{made}")
    return call.one("Mul", *[_aligned(call, x, term, made) for x, term in zip(tensors, terms, strict=True)])


def _aligned(call: Call, x: Any, term: str, made: str) -> Operand:
    """An operand with its axes in the order of the result's, and 1 for those that it has not."""
    order = sorted(range(len(term)), key=lambda axis: made.index(term[axis]))
    shape = tuple([x.shape[term.index(name)] if name in term else 1 for name in made])
    if isinstance(x, Constant):
        return x._replace(shape=shape)
    turned = x if order == sorted(order) else call.one("Transpose", x, perm=tuple(order))
    return call.reshaped(turned, shape)


def _added_product(call: Call) -> Made:
    y = call.one("MatMul", call["batch1"], call["batch2"])
    if call["alpha"] != 1:
        y = call.one("Mul", y, numbers(call["alpha"]))
    if not call["beta"]:
        return y
    x = call["self"] if call["beta"] == 1 else call.one("Mul", call["self"], numbers(call["beta"]))
    return call.one("Add", y, x)


def _gated(call: Call) -> Made:
    x: Tensor = call.first
    axis = call.axis("dim", len(x.shape))
    values, gates = call.onnx("Split", x, numbers([x.shape[axis] // 2] * 2), outputs=(True, True), axis=axis)
    return call.one("Mul", values, call.one("Sigmoid", gates))


def _recurrent(kind: str, **told: Any) -> Rule:
    """ONNX's layers one behind the other, each on what all directions of the one before it made."""

    def rule(call: Call) -> Made:
        x, hx = call["input"], call["hx"]
        ways, layers = 1 + call["bidirectional"], call["num_layers"]
        each = 4 if call["has_biases"] else 2
        if len(call["params"]) != ways * layers * each:
            raise UnsupportedError("projections (proj_size) are not supported")
        params = iter(call["params"])
        finals: list[list[Tensor | None]] = []
        for layer in range(layers):
            weights = [[next(params) for _ in range(each)] for _ in range(ways)]
            first = [_of_layer(call, state, layer, ways) for state in (hx if isinstance(hx, list) else [hx])]
            read = (layer < layers - 1 or call.used[0], *call.used[1:])
            made = iter(_layer(call, kind, x, weights, first, read, layout=int(call["batch_first"]), **told))
            y, *last = [next(made) if there else None for there in read]
            finals.append([state if state is None else _turned(call, state) for state in last])
            if y is not None:
                x = _beside(call, y)
            if layer < layers - 1 and call["train"] and call["dropout"]:
                x = _dropped(call, x)
        return (x if call.used[0] else None, *[_on_top(call, states) for states in zip(*finals, strict=True)])

    return rule


def _cell(kind: str, **told: Any) -> Rule:
    """ONNX's layer on a sequence of one step."""

    def rule(call: Call) -> Made:
        hx = call["hx"]
        x, *first = [_one_step(call, part) for part in (call["input"], *(hx if isinstance(hx, list) else [hx]))]
        weights = [call[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if call[name] is not None]
        made = iter(_layer(call, kind, x, [weights], first, (False, *call.used), **told))
        shapes = zip(call.used, call.shapes, strict=True)
        results = tuple([_viewed(call, next(made), shape) if there else None for there, shape in shapes])
        return results if len(results) > 1 else results[0]

    return rule


def _layer(
    call: Call, kind: str, x: Operand, weights: Sequence[Sequence[Operand]], first: Sequence[Operand],
    read: Sequence[bool], activations: tuple[str, ...] = (), **told: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    """ONNX's layer with torch's weights of each direction: of the map, of the state, and the bias of each."""
    matrices = [_joined(call, [way[number : number + 1] for way in weights]) for number in (0, 1)]
    bias = _joined(call, [way[2:] for way in weights]) if len(weights[0]) > 2 else None
    direction = "bidirectional" if len(weights) > 1 else "forward"
    return call.onnx(
        kind, x, *matrices, bias, None, *first, outputs=read, direction=direction,
        activations=activations * len(weights), **told,
    )  # fmt: skip


def _joined(call: Call, parts: Sequence[Sequence[Operand]]) -> Constant:
    """Constants of each direction as one, which is shared if all of them are."""
    every = [constant for part in parts for constant in part if isinstance(constant, Constant)]
    if len(every) < sum(map(len, parts)):
        raise UnsupportedError("its weights are computed from what comes in, where weights of the module are supported")
    first, *others = every
    if not others:
        return first._replace(shape=(1, *first.shape))
    rows = sum([constant.shape[0] for constant in every]) // len(parts)
    name = first.name if all(constant.name in call.node.common for constant in every) else ""
    return Constant((len(parts), rows, *first.shape[1:]), name=name, dtype=first.dtype)


def _of_layer(call: Call, state: Tensor | Constant, layer: int, ways: int) -> Operand:
    """A layer's part of an initial state of all layers, as ONNX has it."""
    whole, n, size = state.shape
    if isinstance(state, Constant):
        if state.learned and n > 1:
            raise UnsupportedError("a learned state for each sequence is not supported; known: one for all of them")
        shape = (n, ways, size) if call["batch_first"] else (ways, n, size)
        return state._replace(shape=shape, whole=state.whole or (state.elements if whole > ways else 0))
    if whole > ways:
        part = Slice((layer * ways, 0, 0), ((layer + 1) * ways, None, None))
        state = call.node.then(part, state, part="slice")
    return _turned(call, state)


def _one_step(call: Call, x: Tensor | Constant) -> Operand:
    """A map as that of one step, a state as that of one direction."""
    return x._replace(shape=(1, *x.shape)) if isinstance(x, Constant) else _viewed(call, x, (1, *x.shape))


def _viewed(call: Call, x: Tensor, shape: Shape) -> Tensor:
    """The same memory under another shape."""
    to = (0, *shape[1:]) if x.shape[0] == shape[0] else shape
    return x if x.shape == shape else call.node.then(Reshape(to), x, part="view")


def _turned(call: Call, state: Tensor) -> Tensor:
    """A state with its directions first, which ONNX has behind the sequences if these come first; or back."""
    a, b, size = state.shape
    if not call["batch_first"]:
        return state
    if min(a, b) == 1:
        return _viewed(call, state, (b, a, size))
    return call.node.then(Transpose((1, 0, 2)), state, part="transpose")


def _beside(call: Call, y: Tensor) -> Tensor:
    """What the directions made of a step, one beside the other."""
    if not call["batch_first"]:
        length, ways, n, size = y.shape
        turned = call.node.then(Transpose((0, 2, 1, 3)), y, part="transpose") if min(ways, n) > 1 else y
        return _viewed(call, turned, (length, n, ways * size))
    n, length, ways, size = y.shape
    return _viewed(call, y, (n, length, ways * size))


def _on_top(call: Call, states: Sequence[Tensor | None]) -> Tensor | None:
    """The states of all layers, one on top of the other."""
    made = [state for state in states if state is not None]
    return call.node.apply(Concat(0), *made, part="concat")[0] if len(made) > 1 else next(iter(made), None)


def _unequal(call: Call) -> Made:
    return call.one("Not", call.one("Equal", call.first, _operand(call["other"])))


RECURRENT: Final[Mapping[str, Rule]] = {
    "lstm": _recurrent("LSTM"), "lstm_cell": _cell("LSTM"),
    "gru": _recurrent("GRU", linear_before_reset=1), "gru_cell": _cell("GRU", linear_before_reset=1),
    "rnn_tanh": _recurrent("RNN"), "rnn_tanh_cell": _cell("RNN"),
    "rnn_relu": _recurrent("RNN", activations=("Relu",)), "rnn_relu_cell": _cell("RNN", activations=("Relu",)),
}  # fmt: skip
"""Those that walk along a sequence, or one step of it."""

CALLS: Final[Mapping[str, Rule]] = {
    **RECURRENT,
    **dict.fromkeys(
        ("_to_copy", "alias", "clone", "contiguous", "detach", "lift_fresh_copy", "positive", "to", "type_as"), _same
    ),
    **dict.fromkeys(
        ("_unsafe_view", "ravel", "reshape", "reshape_as", "squeeze", "unflatten", "unsqueeze", "view",
         "view_as"), _view,
    ),
    **dict.fromkeys(
        ("adjoint", "mH", "mT", "moveaxis", "movedim", "permute", "swapaxes", "swapdims", "t", "transpose"),
        _turn,
    ),
    "numpy_T": _backwards,
    **{name.format(axes): _of_images(2 + axes, rule) for axes in (1, 2, 3) for name, rule in {
        "conv{}d": _convolution, "conv_transpose{}d": _transposed_convolution,
        "avg_pool{}d": _pool("AveragePool"), "max_pool{}d": _pool("MaxPool"),
        "max_pool{}d_with_indices": _pool("MaxPool"), "max_unpool{}d": _unpool,
        "adaptive_avg_pool{}d": _adaptive("AveragePool"), "adaptive_max_pool{}d": _adaptive("MaxPool"),
    }.items()},
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout),
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), _split),
    **dict.fromkeys(("bmm", "dot", "matmul", "mm", "mv", "vdot"), _plain("MatMul")),
    **{name: _plain(kind) for name, kind in {
        "abs": "Abs", "ceil": "Ceil", "cos": "Cos", "erf": "Erf", "exp": "Exp", "floor": "Floor", "log": "Log",
        "logical_not": "Not", "mish": "Mish", "neg": "Neg", "reciprocal": "Reciprocal", "round": "Round",
        "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater",
        "le": "LessOrEqual", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "lt": "Less",
        "maximum": "Max", "minimum": "Min", "pow": "Pow", "remainder": "Mod", "isinf": "IsInf", "isnan": "IsNaN",
        "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
        "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "selu": "Selu",
    }.items()},
    **dict.fromkeys(("__and__", "bitwise_and"), _logical("And")), "bitwise_not": _logical("Not"),
    **dict.fromkeys(("__or__", "bitwise_or"), _logical("Or")),
    **dict.fromkeys(("__xor__", "bitwise_xor"), _logical("Xor")),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), _grid_sample),
    **dict.fromkeys(("argsort", "sort", "topk"), _first_ones),
    "affine_grid_generator": _affine_grid, "celu": _with("Celu", alpha="alpha"), "col2im": _of_images(3, _fold),
    "cumprod": _cumulate("CumProd"), "gather": _gather, "hardshrink": _shrink(soft=False), "one_hot": _one_hot,
    "scatter": _scatter("none"), "scatter_add": _scatter("add"), "softshrink": _shrink(soft=True),
    "threshold": _threshold,
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"), _resize("nearest")),
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), _resize("linear")),
    **dict.fromkeys(
        ("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
        _resize("nearest", exact=True),
    ),
    "upsample_bicubic2d": _resize("cubic"),
    "ne": _unequal, "rsqrt": _chain("Sqrt", "Reciprocal"), "rsub": _less_self, "square": _square,
    "layer_norm": _layer_norm, "rms_norm": _rms_norm, "group_norm": _group_norm, "instance_norm": _instance_norm,
    "scaled_dot_product_attention": _attention, "embedding": _embedding, "index": _index,
    "index_select": _index_select, "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle, "channel_shuffle": _channel_shuffle,
    "where": _where, "masked_fill": _masked_fill, "repeat": _repeat, "tile": _repeat,
    "repeat_interleave": _repeat_each, "flip": _flip, "unfold": _windows, "im2col": _of_images(4, _patches),
    "roll": _roll, "einsum": _einsum,
    "baddbmm": _added_product, "glu": _gated, "cumsum": _cumulate("CumSum"), "tril": _triangle(upper=False),
    "triu": _triangle(upper=True), "argmax": _place("ArgMax"), "argmin": _place("ArgMin"),
    "max": _extreme("ReduceMax", "ArgMax"), "min": _extreme("ReduceMin", "ArgMin"), "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"), "sum": _reduce("ReduceSum"), "prod": _reduce("ReduceProd"),
    "logsumexp": _reduce("ReduceLogSumExp"), "log_softmax": _softmax("LogSoftmax"),
    "relu": _plain("Relu"), "sigmoid": _plain("Sigmoid"), "tanh": _plain("Tanh"), "silu": _plain("Swish"),
    "hardswish": _plain("HardSwish"), "softplus": _with("Softplus"), "mul": _plain("Mul"),
    "add": _scaled("Add"), "sub": _scaled("Sub"), "div": _divide,
    "relu6": lambda call: call.one("Clip", call.first, min=0.0, max=6.0),
    "hardsigmoid": lambda call: call.one("HardSigmoid", call.first, alpha=1 / 6, beta=0.5),
    "leaky_relu": _with("LeakyRelu", alpha="negative_slope"),
    "hardtanh": _clamp("min_val", "max_val"), "clamp": _clamp("min", "max"), "clamp_min": _clamp("min", ""),
    "clamp_max": _clamp("", "max"), "prelu": _of_images(2, _prelu), "elu": _elu, "gelu": _gelu,
    "log1p": _with_number("Add", 1.0, "Log"), "expm1": _then_number("Exp", "Sub", 1.0), "exp2": _power_of(2.0),
    "log2": _then_number("Log", "Mul", 1 / log(2)), "log10": _then_number("Log", "Mul", 1 / log(10)),
    "log_sigmoid": _chain("Neg", "Softplus", "Neg"), "addcmul": _added("Mul"), "addcdiv": _added("Div"),
    "lerp": _between, "outer": _outer, "cosine_similarity": _cosine,
    "pairwise_distance": _distance, "rrelu": _random_slope, "bilinear": _bilinear,
    "embedding_bag": _embedding_bag, "var": _variance(), "std": _variance("Sqrt"), "var_mean": _variance(),
    "floor_divide": _floor_divide,
    "softmax": _softmax("Softmax"), "batch_norm": _batch_norm, "linear": _of_images(2, _linear), "addmm": _addmm,
    "cat": _concat, "concat": _concat, "stack": _stack, "slice": _slice, "select": _select, "unbind": _unbind,
    "hstack": _side_by_side, "broadcast_tensors": _to_one_shape,
    "broadcast_to": _expand, "expand": _expand, "expand_as": _expand, "flatten": _flatten, "pad": _pad,
    "constant_pad_nd": _pad, "narrow": _narrow,
    "any": _truth("ReduceMax"), "all": _truth("ReduceMin"),
    "linalg_vector_norm": _norm, "norm": _norm, "mean": _reduce("ReduceMean"),
}  # fmt: skip
"""aten's name of a function, which its form in place shares -> how it is read."""

UNCHANGED: Final = frozenset({_same, _view})
"""Rules that make no layer of their own, or only another view."""

ALIASES: Final[Mapping[str, str]] = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "clip": "clamp", "concatenate": "cat",
    "divide": "div", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "multiply": "mul",
    "negative": "neg", "not_equal": "ne", "subtract": "sub", "true_divide": "div",
}  # fmt: skip
"""aten's other names of functions."""

OF_VECTORS: Final = frozenset({"dot", "mv", "vdot"})
"""Products of vectors, by which a parametrization such as a spectral norm makes one weight of another."""

OF_MAPS: Final = frozenset({"layer_norm", "linear"})
"""Layers, which compute on their map also where that is learned."""

CONSTANT: Final = frozenset(
    {
        "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like", "rand_like",
        "randn_like", "zeros_like",
    }
)  # fmt: skip
"""Functions that take only a shape and a type from a map: what they make does not flow."""

ZEROS: Final = frozenset({"new_zeros", "zeros", "zeros_like"})
"""Functions that make constants of zeros, such as an initial state."""

COMPARING: Final = frozenset({"eq", "ge", "gt", "le", "lt", "ne"})
"""Functions whose operands are brought to one element type, while what they make is true or false."""

PROMOTING: Final = COMPARING | {
    "add", "addcdiv", "addcmul", "cat", "concat", "div", "floor_divide", "lerp", "masked_fill", "maximum", "minimum",
    "mul", "pow", "remainder", "rsub", "stack", "sub", "where",
}  # fmt: skip
"""Functions whose operands are brought to one element type."""

CHOOSING: Final = frozenset({"condition", "mask"})
"""Arguments that are true or false, and choose."""

KEEPS_BUFFERS: Final = (
    frozenset({"batch_norm", "embedding_bag", "instance_norm", "scaled_dot_product_attention"})
    | (PROMOTING - {"cat", "concat", "masked_fill", "stack", "where"})
    | {*RECURRENT}
)
"""Functions that hold what is not learned as buffers; for all others it is a map from outside."""
