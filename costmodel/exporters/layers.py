"""Graph -> a YAML list of layers: one line per layer, blocks indented, and nothing said that follows by itself.

The text is read back and compared before it is handed out, so what is written is the graph or an error.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from costmodel import document
from costmodel.errors import CostModelError
from costmodel.graph import Graph, Input, Node, Op, Tensor
from costmodel.importers import layers
from costmodel.importers.attributes import Attribute, attributes, spelled

PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*", re.ASCII)
WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""Words that YAML 1.1 takes for something else."""


def encode(graph: Graph, **options: Any) -> bytes:
    """A file's content; there are no options."""
    for name in options:
        raise CostModelError(f"{name} is for .onnx files; a list of layers holds no weights")
    text = to_text(graph)
    try:
        same = layers.read(document.parse(text, "as written")) == graph
    except CostModelError as error:
        raise CostModelError(f"{graph.name}: a list of layers cannot hold this network: {error}") from None
    data = text.encode()
    if not same or len(data) > document.MAX_BYTES:
        why = f"{len(data)} bytes are too many" if same else "what is read back is another"
        raise CostModelError(f"{graph.name}: a list of layers cannot hold this network: {why}")
    return data


def to_text(graph: Graph) -> str:
    """The list of layers."""
    writer = _Writer(graph)
    return "\n".join(writer.lines()) + "\n"


def quoted(text: str) -> str:
    """A text as YAML reads it back, whatever is in it."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}"


def compact(op: Op) -> list[tuple[str, str]]:
    """An operator's attributes with their values in the shortest spelling that makes the same operator."""
    known = attributes(type(op))
    values: dict[str, Any] = {attribute.field: getattr(op, attribute.field) for attribute in known.values()}
    for attribute in known.values():
        rest = {name: value for name, value in values.items() if name != attribute.field}
        if not attribute.required and _makes(op, rest):
            values = rest
    for attribute in known.values():
        for shorter in _shorter(attribute, values.get(attribute.field)):
            if _makes(op, values | {attribute.field: shorter}):
                values[attribute.field] = shorter
                break
    return [
        (attribute.key, _spelled(values[attribute.field])) for attribute in known.values() if attribute.field in values
    ]


def _spelled(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else spelled(value)


def _makes(op: Op, values: dict[str, Any]) -> bool:
    try:
        return type(op)(**values) == op
    except CostModelError:
        return False


def _shorter(attribute: Attribute, value: Any) -> list[Any]:
    """One number for all axes, or one per axis for both of its ends, where the attribute takes that."""
    if not isinstance(value, tuple) or not value or {"type": "integer"} not in attribute.form.accepts.get("anyOf", ()):
        return []
    return [value[0], value[: len(value) // 2]]


class _Line(NamedTuple):
    """A layer, written alone and written inside its block; None where a name would not be found there."""

    block: str
    alone: str
    inside: str | None


class _Writer:
    """A graph on its way to text."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names = {node: name for name, node in graph.nodes.items()}
        self.ops: dict[Op, list[tuple[str, str]]] = {}
        self.before: dict[str, None] = {}  # the layers so far
        self.previous: Node | None = None

    def lines(self) -> list[str]:
        """The whole file."""
        nodes = list(self.graph.nodes.values())
        inputs = self.inputs(nodes)
        given = [f"{quoted(name)}: {text}" for name, text in inputs.items()]
        head = [f"name: {quoted(self.graph.name)}"]
        head += [f"dtype: {self.graph.dtype}"] if self.graph.dtype != "float32" else []
        head += [f"inputs: {{{given[0]}}}"] if len(given) == 1 else ["inputs:", *[f"  {line}" for line in given]]
        self.before = {self.names[node]: None for node in nodes[: len(inputs)]}
        self.previous = nodes[0] if len(inputs) == 1 else None
        rest = nodes[len(inputs) :]
        made = [self.line(node) for node in rest]
        body: list[str] = []
        for block, run in itertools.groupby(made, key=lambda line: line.block if line.inside else ""):
            lines = list(run)
            if not block or len(lines) == 1:
                body += [f"  - {line.alone}" for line in lines]
            else:
                body += [f"  - {quoted(block)}:", *[f"      - {line.inside}" for line in lines]]
        tail = []
        results = [self.title(tensor) for tensor in self.graph.outputs]
        if self.previous is None or results != [self.names[self.previous]]:
            tail = [f"outputs: {self.listed(results)}"]
        return [*head, *(["layers:", *body] if body else ["layers: []"]), *tail]

    def inputs(self, nodes: Sequence[Node]) -> dict[str, str]:
        """The inputs that come first; one that has the written name of another stays among the layers."""
        found: dict[str, str] = {}
        for node in nodes:
            name, block = self.alone(node)
            if not isinstance(node.op, Input) or name in found:
                break
            attributes_ = dict(compact(node.op)) | block
            found[name] = attributes_["shape"] if len(attributes_) == 1 else _braces(attributes_)
        return found

    def title(self, tensor: Tensor) -> str:
        """The name of a layer's result: the layer's, with a number behind it for those after the first."""
        return self.names[tensor.node] + (f":{tensor.index}" if tensor.index else "")

    def alone(self, node: Node) -> tuple[str, dict[str, str]]:
        """The name of a layer outside of any block, and what must be said of its block."""
        full = self.names[node]
        own = full[len(node.block) + 1 :] if node.block else full
        if layers.split(full, None) == (node.block, own) and not full.startswith("."):
            return full, {}
        return own, {"block": quoted(node.block)}

    def line(self, node: Node) -> _Line:
        """A layer's text; it counts as written from here on."""
        name, block = self.alone(node)
        outside = self.inputs_of(node, [""])
        stored = _stored(node)
        alone = self.entry(node, name, {**(outside or {}), **block, **stored})
        inside = None
        if node.block:
            own = self.names[node][len(node.block) + 1 :]
            within = self.inputs_of(node, [f"{node.block}.", ""])
            if within is not None:
                inside = self.entry(node, own, within | ({"block": '""'} if "." in own else {}) | stored)
        self.before |= {self.title(tensor): None for tensor in node.outputs}
        self.previous = node
        return _Line(node.block, alone, inside)

    def inputs_of(self, node: Node, around: Sequence[str]) -> dict[str, str] | None:
        """What must be said of a layer's inputs; None if a name cannot be said there."""
        if not node.inputs:
            return {}
        first = node.inputs[0]
        if type(node.op).operands == 1 and first.node is self.previous and not first.index:
            return {}
        said = [self.reference(self.title(tensor), around) for tensor in node.inputs]
        names = [name for name in said if name is not None]
        return {"inputs": self.listed(names)} if len(names) == len(said) else None

    def reference(self, full: str, around: Sequence[str]) -> str | None:
        """The shortest name that stands for a layer there."""
        for scope in around:
            short = full.removeprefix(scope)
            if full.startswith(scope) and short and layers.resolve(short, around, self.before) == full:
                return short
        return None

    def listed(self, names: Sequence[str]) -> str:
        """A name, or a list of names."""
        return quoted(names[0]) if len(names) == 1 else f"[{', '.join(map(quoted, names))}]"

    def entry(self, node: Node, name: str, said: dict[str, str]) -> str:
        """One layer."""
        op = node.op
        if op not in self.ops:
            self.ops[op] = compact(op)
        what = {"op": op.kind, **dict(self.ops[op]), **said}
        return f"{quoted(name)}: {op.kind if len(what) == 1 and name != 'op' else _braces(what)}"


def _stored(node: Node) -> dict[str, str]:
    """What must be said of how a layer's weights are stored."""
    said = {
        quoted(name): _braces(
            ({"dtype": how.dtype} if how.dtype else {})
            | ({"shared": quoted(how.shared)} if how.shared else {})
            | ({"whole": str(how.whole)} if how.whole else {})
        )
        for name, how in (node.stored or {}).items()
    }
    return {"weights": _braces(said)} if said else {}


def _braces(values: dict[str, str]) -> str:
    return f"{{{', '.join([f'{key}: {value}' for key, value in values.items()])}}}"
