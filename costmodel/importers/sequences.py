"""Sequences and optional values of ONNX -> the operands in them; of layers only what is cut up or joined.

A sequence is known as a whole while a file is read, so that none of it is left in the network.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from costmodel.arrays import np
from costmodel.errors import WiringError
from costmodel.importers.folding import known
from costmodel.importers.scopes import Call, Items, Value
from costmodel.ops.onnx import checked_axis

LONGEST: Final = 4096
"""Of how many a sequence may be that grows or shrinks one by one, since each time is another sequence."""


def _items(call: Call) -> tuple[Value, ...]:
    sequence = call.operand(0)
    if not isinstance(sequence, Items):
        raise WiringError("its input 0 is not a sequence")
    return sequence.operands


def _changeable(items: Sequence[Value]) -> None:
    if len(items) > LONGEST:
        raise WiringError(f"changes a sequence of {len(items)}; at most {LONGEST}")


def _place(call: Call, index: int, count: int, usual: int) -> int:
    """A place in a sequence of so many, which may count from the end."""
    place = call.number(call.operand(index), "the place in the sequence")
    if place is None:
        return usual
    if not -count <= place < count:
        raise WiringError(f"has the place {place} of a sequence of {count}")
    return place % count


def _at(call: Call) -> Value:
    items = _items(call)
    return items[_place(call, 1, len(items), 0)]


def _insert(call: Call) -> Value:
    items = _items(call)
    place = _place(call, 2, len(items) + 1, len(items))
    _changeable(items)
    return Items((*items[:place], call.operand(1), *items[place:]))


def _erase(call: Call) -> Value:
    items = _items(call)
    place = _place(call, 1, len(items), len(items) - 1)
    if not items:
        raise WiringError("cannot erase anything of an empty sequence")
    _changeable(items)
    return Items((*items[:place], *items[place + 1 :]))


def _split(call: Call) -> Value:
    """In parts of the sizes that are given, or of one size, the last smaller; or each place without its axis."""
    x, told = call.operand(0), call.operand(1)
    shape = call.shape(x)
    axis = checked_axis(call.get("axis", 0), len(shape))
    size = shape[axis]
    if told is not None and call.shape(told):
        sizes = call.numbers(told, "how it is split")
        if sum(sizes) != size or min(sizes, default=0) < 1:
            raise WiringError(f"cannot split {size} into parts of {sizes}")
        return _parts(call, x, axis, sizes)
    each = 1 if told is None else call.number(told, "how it is split") or 0
    if each < 1:
        raise WiringError(f"cannot split {size} into parts of {each}")
    call.reader.room(call, size // each)
    if told is None and not call.get("keepdims", 1):
        return Items(tuple([call.taken(x, axis, place, str(place)) for place in range(size)]))
    return _parts(call, x, axis, [min(each, size - start) for start in range(0, size, each)])


def _parts(call: Call, x: Value, axis: int, sizes: Sequence[int]) -> Items:
    if len(sizes) == 1:
        return Items((x,))
    return Items(tuple(call.make("Split", x, list(sizes), outputs=len(sizes), axis=axis)))


def _joined(call: Call) -> Value:
    items, new = _items(call), bool(call.get("new_axis", 0))
    rank = len(call.shape(items[0])) + new if items else 1
    return call.stacked(items, checked_axis(call.get("axis", 0), rank), "", new=new)


def _optional(call: Call) -> Value:
    return call.operand(0)


def _element(call: Call) -> Value:
    if call.operand(0) is None:
        raise WiringError("takes the element of an optional value that has none")
    return call.operand(0)


SEQUENCES: Final[Mapping[str, Callable[[Call], Value]]] = {
    "ConcatFromSequence": _joined,
    "Optional": _optional,
    "OptionalGetElement": _element,
    "OptionalHasElement": lambda call: known(np.array(call.operand(0) is not None), ""),
    "SequenceAt": _at,
    "SequenceConstruct": lambda call: Items(tuple(call.operands)),
    "SequenceEmpty": lambda _: Items(()),
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": lambda call: known(np.array(len(_items(call)), np.int64), ""),
    "SplitToSequence": _split,
}
"""Operators on sequences and optional values."""
