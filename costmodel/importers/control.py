"""If, Loop and Scan of ONNX -> the layers of the branch that is taken, and of each trip, where the file tells which.

What is read once per trip is there once per trip, in a block of its own, so that shapes may change on the way. Weights
are shared by all trips. A map that a trip reads or makes a part of is cut up and joined as any other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from costmodel.arrays import np
from costmodel.errors import CostModelError, UnsupportedError, WiringError
from costmodel.graph import Node, Tensor
from costmodel.importers.folding import known
from costmodel.importers.scopes import Body, Call, Value
from costmodel.ops.onnx import Constant, checked_axis


def _if(call: Call) -> list[Value]:
    """The branch that a constant chooses."""
    if call.operand(0) is None:
        raise WiringError("has no condition")
    try:
        chosen = "then_branch" if call.number(call.operand(0), "its condition") else "else_branch"
    except UnsupportedError as error:
        branches = [_told(call, name) for name in ("then_branch", "else_branch")]
        raise UnsupportedError(f"{error}, so that either branch may run; {'; '.join(branches)}") from None
    body = call.body(chosen)
    if body.inputs:
        raise WiringError(f"its {chosen} takes inputs; a branch reads what is around it")
    if len(body.outputs) < len(call.node.output):
        raise WiringError(f"has {len(call.node.output)} outputs, and its {chosen} makes {len(body.outputs)}")
    return call.run(body, (), chosen.removesuffix("_branch"))


def _told(call: Call, name: str) -> str:
    """What a branch that may run holds, and what it would cost, if that is known."""
    body = call.body(name)
    before = {value.node for value in call.scope.values.values() if isinstance(value, Tensor)}
    try:
        made = call.reader.tried(call, body, name)
    except CostModelError:
        return f"{name} holds {body.operators}"
    nodes = list(_behind([value for value in made if isinstance(value, Tensor)], before))
    macs = sum(node.op.loops(*node.input_shapes).macs for node in nodes)
    weights = sum(node.parameters for node in nodes)
    return f"{name} holds {body.operators} ({len(nodes)} layers, {weights} parameters, {macs} MACs)"


def _behind(outputs: Sequence[Tensor], before: set[Node]) -> Iterator[Node]:
    """The nodes that make some tensors of what was there before."""
    seen = set(before)
    waiting = [tensor.node for tensor in outputs]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            waiting.extend([tensor.node for tensor in node.inputs])


def _loop(call: Call) -> list[Value]:
    """As many trips as a constant says, while a condition that is constant in each trip holds."""
    body, carried = call.body("body"), list(call.operands[2:])
    results = len(body.outputs) - 1 - len(carried)
    if len(body.inputs) != 2 + len(carried) or results < 0 or len(call.node.output) > len(body.outputs) - 1:
        raise WiringError(
            f"carries {len(carried)} values and has {len(call.node.output)} outputs, where its body has "
            f"{len(body.inputs)} inputs and {len(body.outputs)} outputs"
        )
    stacks: list[list[Value]] = [[] for _ in range(results)]
    try:
        limit = call.number(call.operand(0), "the number of its trips")
        going = call.number(call.operand(1), "whether it runs")
        steady = _steady(body)
        if going != 0 and steady and limit is None:
            raise WiringError("never ends: it has no number of trips, and its condition stays true")
        for trip in count():
            if going == 0 or (limit is not None and trip >= limit):
                break
            call.reader.room(call, call.reader.functions.size(body) * (limit - trip if steady and limit else 1))
            given = [known(np.array(trip), ""), known(np.array(True), ""), *carried]
            going_on, *made = call.run(body, given, str(trip), repeated=limit is None or limit > 1)
            going = call.number(going_on, f"whether trip {trip + 1} runs")
            carried = made[: len(carried)]
            for stack, value in zip(stacks, made[len(carried) :], strict=True):
                stack.append(value)
    except UnsupportedError as error:
        raise UnsupportedError(f"{error}; its body holds {body.operators}") from None
    names = call.node.output[len(carried) :]
    return [*carried, *[_stacked(call, stack, name) for stack, name in zip(stacks, names, strict=False)]]


def _stacked(call: Call, stack: Sequence[Value], name: str, axis: int = 0) -> Value:
    """The values of all trips along a new axis, if anything reads them."""
    if not call.scope.is_read(name):
        return None
    if stack and not isinstance(stack[0], Tensor | Constant):
        return call.stacked(stack, 0, name)
    return call.stacked(stack, checked_axis(axis, len(call.shape(stack[0])) + 1) if stack else 0, name)


def _steady(body: Body) -> bool:
    """Whether a loop's body hands on the condition that it was given, or makes it of nothing that may change."""
    makers = {name: node for node in body.nodes for name in node.output}
    name = body.outputs[0]
    while name in makers and makers[name].op_type == "Identity" and makers[name].input:
        name = makers.pop(name).input[0]
    if name in makers:
        return makers[name].op_type == "Constant"
    return name == body.inputs[1] or name not in body.inputs


def _scan(call: Call) -> list[Value]:
    """A trip for each place of an axis of what is scanned."""
    scanned = call.get("num_scan_inputs", 0)
    if call.scope.opset < 9:
        return _scan_of_batch(call, scanned)
    states = len(call.operands) - scanned
    return _scan_of(call, call.operands[:states], call.operands[states:], "")


def _scan_of_batch(call: Call, scanned: int) -> list[Value]:
    """Operator set 8 scans each image of a batch by itself."""
    lengths, *operands = call.operands
    if lengths is not None:
        raise UnsupportedError("lengths of sequences are not supported")
    images = {call.shape(operand)[0] for operand in operands}
    if len(images) != 1:
        raise WiringError("reads batches of different sizes")
    made = []
    for image in range(*images):
        call.reader.room(call, 1)
        of_image = [
            call.taken(value, 0, image, f"{image}/{name}")
            for name, value in zip(call.body("body").inputs, operands, strict=False)
        ]
        states = len(of_image) - scanned
        made.append(_scan_of(call, of_image[:states], of_image[states:], f"{image}/"))
    return [_stacked(call, stack, name) for stack, name in zip(zip(*made, strict=True), call.node.output, strict=False)]


def _scan_of(call: Call, states: Sequence[Value], scanned: Sequence[Value], part: str) -> list[Value]:
    body, carried = call.body("body"), list(states)
    results = len(body.outputs) - len(states)
    if (
        not scanned
        or len(body.inputs) != len(states) + len(scanned)
        or results < 0
        or len(call.node.output) > len(body.outputs)
    ):
        raise WiringError(
            f"carries {len(states)} values, scans {len(scanned)} and has {len(call.node.output)} outputs, where its "
            f"body has {len(body.inputs)} inputs and {len(body.outputs)} outputs"
        )
    shapes = [call.shape(value) for value in scanned]
    axes = [checked_axis(axis, len(shape)) for axis, shape in zip(_each(call, "scan_input_axes", scanned), shapes,
                                                                  strict=True)]  # fmt: skip
    names = body.inputs[len(states) :]
    old = call.scope.opset < 9
    backward = _each(call, "directions" if old else "scan_input_directions", scanned)
    trips = {shape[axis] for axis, shape in zip(axes, shapes, strict=True)}
    if len(trips) != 1:
        raise WiringError(f"scans axes of different sizes: {sorted(trips)}")
    stacks: list[list[Value]] = [[] for _ in range(results)]
    (last,) = trips
    for trip in range(last):
        call.reader.room(call, call.reader.functions.size(body) * (last - trip))
        given = [
            call.taken(value, axis, last - 1 - trip if back else trip, f"{part}{trip}/{name}")
            for value, axis, back, name in zip(scanned, axes, backward, names, strict=True)
        ]
        made = call.run(body, [*carried, *given], f"{part}{trip}", repeated=last > 1)
        carried = made[: len(states)]
        for stack, value in zip(stacks, made[len(states) :], strict=True):
            stack.append(value)
    turned = [
        stack[::-1] if back else stack
        for stack, back in zip(stacks, _each(call, "scan_output_directions", stacks), strict=True)
    ]
    outputs = zip(turned, call.node.output[len(states) :], _each(call, "scan_output_axes", stacks), strict=False)
    return [*carried, *[_stacked(call, stack, name, axis) for stack, name, axis in outputs]]


def _each(call: Call, name: str, values: Sequence[object]) -> list[int]:
    """An attribute of one number for each of some values, 0 where there is none."""
    given = call.get(name, [0] * len(values))
    if not isinstance(given, list) or len(given) != len(values):
        raise WiringError(f"{name} must be {len(values)} numbers, not {given}")
    return given


CONTROL: Final[Mapping[str, Callable[[Call], list[Value]]]] = {"If": _if, "Loop": _loop, "Scan": _scan}
"""Operators that hold graphs."""
