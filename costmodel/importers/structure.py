"""The bytes of an ONNX file -> the same without the values of large tensors, so that none of them is in memory.

Protobuf reads a file as a whole. Here only the way to the tensors is walked, and only through parts that are large;
what is not understood is handed on as it is, for protobuf to judge.
"""

from collections.abc import Iterator, Mapping
from typing import Final

LARGE: Final = 2**16
"""Bytes; smaller parts are handed on unread. No values that are needed are as large."""

DEEPEST: Final = 50
"""How deep parts are walked; protobuf itself reads none that are nested twice as deep."""

PARTS: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""The messages of onnx.proto: their parts that can hold tensors, by field number."""

VALUES: Final = frozenset({4, 5, 6, 7, 9, 10, 11})
"""A tensor's fields of values."""

FIXED: Final[Mapping[int, int]] = {1: 8, 5: 4}
"""Wire types of fixed size, in bytes."""


def without_values(data: memoryview, kind: str = "model", depth: int = 0) -> bytes:
    """A message without the large fields of values in it."""
    kept = bytearray()
    copied = 0
    for number, begin, start, end in _fields(data):
        if end - start <= LARGE or depth > DEEPEST:
            continue
        if kind == "tensor" and number in VALUES:
            inner = None
        elif number in PARTS[kind]:
            inner = without_values(data[start:end], PARTS[kind][number], depth + 1)
        else:
            continue
        kept += data[copied:begin]
        if inner is not None:
            kept += _varint(number << 3 | 2) + _varint(len(inner)) + inner
        copied = end
    kept += data[copied:]
    return bytes(kept)


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The fields that have a length: number, where the field begins, and where its content starts and ends."""
    place = 0
    try:
        while place < len(data):
            begin = place
            key, place = _number(data, place)
            if key & 7 == 0:
                _, place = _number(data, place)
            elif key & 7 in FIXED:
                place += FIXED[key & 7]
            elif key & 7 == 2:
                size, start = _number(data, place)
                place = start + size
                if place > len(data):
                    return
                yield key >> 3, begin, start, place
            else:
                return
    except IndexError:  # cut off
        return


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            return value, place


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
