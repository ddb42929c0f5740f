"""A node of an ONNX file -> the same, checked against what onnx itself says of its operator: numbers, names and types.

Nodes that are alike in all of these are looked at once, so that a file of many nodes is read no slower.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from onnx import AttributeProto, NodeProto, defs

from costmodel.errors import WiringError, suggestion
from costmodel.importers.protos import values_of
from costmodel.importers.scopes import text

WORDS: Final[Mapping[int, str]] = {
    AttributeProto.FLOAT: "a number", AttributeProto.INT: "a whole number", AttributeProto.STRING: "a text",
    AttributeProto.TENSOR: "a tensor", AttributeProto.GRAPH: "a graph", AttributeProto.SPARSE_TENSOR: "a sparse tensor",
    AttributeProto.TYPE_PROTO: "a type", AttributeProto.FLOATS: "a list of numbers",
    AttributeProto.INTS: "a list of whole numbers", AttributeProto.STRINGS: "a list of texts",
    AttributeProto.TENSORS: "a list of tensors", AttributeProto.GRAPHS: "a list of graphs",
    AttributeProto.SPARSE_TENSORS: "a list of sparse tensors", AttributeProto.TYPE_PROTOS: "a list of types",
}  # fmt: skip
"""The types of attributes, in words."""

SWITCHES: Final = frozenset({
    "align_corners", "allowzero", "antialias", "broadcast", "ceil_mode", "center_point_box", "count_include_pad",
    "detect_negative", "detect_positive", "exclude_outside", "exclusive", "fmod", "input_forget", "interleaved",
    "inverse", "is_causal", "is_test", "keepdims", "largest", "layout", "linear_before_reset", "new_axis",
    "noop_with_empty_axes", "onesided", "output_sequence", "periodic", "reverse", "saturate", "select_last_index",
    "sorted", "spatial", "storage_order", "training_mode", "transA", "transB", "upper",
})  # fmt: skip
"""Whole numbers that are 0 or 1."""

LISTS: Final = frozenset({"directions", "scan_input_directions", "scan_output_directions"})
"""Lists of such numbers."""

ENDLESS: Final = 2**31 - 1
"""What onnx says of an operator that takes or makes any number."""

INTERNAL: Final = "__"
"""What the names of attributes begin with that are nobody else's; onnx does not look at them."""


PLAIN: Final = frozenset({
    AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.FLOATS, AttributeProto.INTS,
    AttributeProto.STRINGS,
})  # fmt: skip
"""Types whose values a message can show."""


class AttributeTypeError(Exception):
    """An attribute of another type than the one that is wanted."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(name, wanted)
        self.name: Final = name
        self.wanted: Final = wanted


def version_of(place: str, kind: str, opsets: Mapping[str, int]) -> int:
    """The version of the operator set that an operator is of, 1 for a domain that the file does not import."""
    if not place and place not in opsets:
        raise WiringError(
            f"the file imports no version of ONNX's own operators, of which {kind} is one; it imports "
            f"{', '.join(map(repr, opsets))}"
        )
    return opsets.get(place, 1)


def check(node: NodeProto, place: str, opsets: Mapping[str, int], items: Sequence[AttributeProto]) -> None:
    """Refuse a node that its operator, of a domain, does not allow; of operators that onnx does not know all pass."""
    inputs = node.input
    blank = tuple([number for number, name in enumerate(inputs) if not name]) if "" in inputs else ()
    attributes = tuple([(item.name, item.type) for item in items]) if items else ()
    version = opsets.get(place) or version_of(place, node.op_type, opsets)
    try:
        switches = _check(place, node.op_type, version, len(inputs), blank, len(node.output), attributes)
    except AttributeTypeError as error:
        given = next(item for item in items if item.name == error.name)
        shown = (
            f"{values_of([given], '')[error.name]!r:.60}"
            if given.type in PLAIN
            else WORDS.get(given.type, f"of type {given.type}")
        )
        raise WiringError(f"{error.name} must be {error.wanted}, not {shown}") from None
    for name in switches:
        _switched(name, items)


@lru_cache(maxsize=4096)
def _check(
    place: str,
    kind: str,
    version: int,
    inputs: int,
    blank: tuple[int, ...],
    outputs: int,
    attributes: tuple[tuple[str, int], ...],
) -> list[str]:
    """The same of all nodes that are alike -> the names of their switches."""
    if not defs.has(kind, version, place):
        return []
    schema: Any = defs.get_schema(kind, version, place)
    if schema.deprecated:
        return []
    _counted("takes", "input", inputs, schema.min_input, schema.max_input)
    _counted("makes", "output", outputs, schema.min_output, schema.max_output)
    for number in blank:
        told = schema.inputs[min(number, len(schema.inputs) - 1)]
        if told.option == defs.OpSchema.FormalParameterOption.Single:
            raise WiringError(f"its input {number} ({told.name}) is missing")
    _named(attributes, schema.attributes)
    return [name for name, _ in attributes if name in SWITCHES or name in LISTS]


def _named(attributes: tuple[tuple[str, int], ...], known: Mapping[str, Any]) -> None:
    text(*[name for name, _ in attributes])
    given = [(name, type_) for name, type_ in attributes if not name.startswith(INTERNAL)]
    names = [name for name, _ in given]
    for name, type_ in given:
        if name not in known:
            raise WiringError(f"has no attribute {name!r}; {suggestion(name, known)}")
        if names.count(name) > 1:
            raise WiringError(f"has the attribute {name!r} {names.count(name)} times")
        wanted = known[name].type.value
        if type_ != wanted:
            raise AttributeTypeError(name, WORDS[wanted])
    for name in sorted(known):
        if known[name].required and name not in names:
            raise WiringError(f"has no {name}, which must be {WORDS[known[name].type.value]}")


def _counted(does: str, what: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        bounds = str(least) if least == most else f"{least} or more" if most == ENDLESS else f"{least} to {most}"
        raise WiringError(f"{does} {bounds} {what}{'s' * (bounds != '1')}, not {count}")


def _switched(name: str, items: Iterable[AttributeProto]) -> None:
    for item in items:
        if item.name == name:
            for value in (*item.ints, *([item.i] if item.type == AttributeProto.INT else [])):
                if value not in (0, 1):
                    raise WiringError(f"{name} must be 0 or 1, not {value}")
