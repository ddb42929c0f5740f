"""A YAML list of layers -> Graph: one line per layer, as in a paper's table; errors name file, line and key.

A layer is a name and an operator with its attributes, ``conv1: {op: Conv, filters: 64, kernel: 3}``, or the operator
alone, ``relu1: Relu``. It reads the layer before it unless ``inputs`` names others. A list of layers under a name is a
block, ``fire2: [...]``, whose layers are called ``fire2.NAME``; a layer of that name is in the block wherever it is
written. A block that repeats is ``stage1: {repeat: 3, input: x, layers: [...]}``: its layers are ``stage1.0.NAME``,
``stage1.1.NAME`` and so on, and call what comes in ``x``. A name is looked for in the block that it is written in, then
in the blocks around it; what is read stands above, so there are no cycles.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from costmodel import document
from costmodel.document import Item, record
from costmodel.errors import CostModelError, suggestion
from costmodel.graph import Graph, Node, Tensor
from costmodel.importers.plan import LIMIT, LONGEST, Block, Entry, File, Layer, within

NEIGHBOURS: Final = 300
"""How many names an error about an unknown name looks at, the nearest ones."""


def load(path: Path, **options: Any) -> Graph:
    """The network in a file; there are no options."""
    for name, value in options.items():
        raise CostModelError(f"{path}: a list of layers has no parameter {name!r} to set to {value!r}; edit the file")
    return read(document.load(path))


def read(root: Item) -> Graph:
    """A document -> the network that it describes."""
    found = root.mapping()
    if "engines" in found and "layers" not in found:
        root.fail("this file describes a machine, not the layers of a network; a machine is given with --hw")
    file = record(File, root)
    within(found["layers"], sum(entry.size for entry in file.layers))
    return _Network(file).graph(root)


def resolve(name: str, around: Sequence[str], values: Mapping[str, Any]) -> str | None:
    """A name as it is written -> the whole name that it stands for; None if it stands for nothing.

    ``around`` are the beginnings of names that the blocks around give, the nearest first and the empty one last.
    """
    for scope in around:
        if (full := f"{scope}{name}") in values:
            return full
    return None


def split(name: str, block: str | None) -> tuple[str, str]:
    """A layer's name as it is written and its block if it is stated -> its block and its own name."""
    if block is not None:
        return block, name
    before, _, own = name.rpartition(".")
    return before, own


class _Network:
    """A plan on its way to a graph."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.values: dict[str, Tensor] = {}  # by full name: layers, and what blocks call that which comes in
        self.lines: dict[str, int] = {}  # of layers only
        self.made: list[tuple[Node, Item]] = []
        self.unnamed: set[str] = set()
        self.previous: Tensor | None = None

    def graph(self, root: Item) -> Graph:
        """Make everything."""
        for given in self.file.inputs:
            self.layer(given, "", [""])
        if len(self.file.inputs) > 1:
            self.previous = None
        self.entries(self.file.layers, "", [""])
        outputs = [self.value(item, [""]) for item in self.file.outputs]
        if not outputs:
            if self.previous is None:
                root.fail("which of the inputs is the result? outputs names it")
            outputs = [self.previous]
        graph = Graph(outputs, self.file.name, dtype=self.file.dtype)
        used = set(graph.nodes.values())
        for node, item in self.made:
            if node not in used:
                item.fail(f"nothing reads {node.label!r}; name it in outputs, or leave it out")
        return graph

    def entries(self, entries: Sequence[Entry], block: str, around: Sequence[str]) -> None:
        """Make the layers of a block."""
        for entry in entries:
            if isinstance(entry, Layer):
                self.layer(entry, block, around)
                continue
            for name in entry.names:
                full = _joined(entry.item, block, name)
                self.block(entry, full, [f"{full}.", *around])

    def block(self, entry: Block, full: str, around: Sequence[str]) -> None:
        """Make a block's layers once."""
        alias, item = entry.keys.input, entry.item
        local = f"{full}.{alias}"
        if alias is not None:
            taken = resolve(alias, around, self.lines)
            if taken is not None:
                item.fail(
                    f"input: {alias!r} is the layer of line {self.lines[taken]} already; it must be a new name, which "
                    "stands for the result of the layer before the block"
                )
            if self.previous is None:
                item.fail("input: no layer stands before the block, and there are several inputs")
            self.values[local] = self.previous
        self.entries(entry.keys.layers, full, around)
        if alias is not None:
            del self.values[local]

    def layer(self, layer: Layer, block: str, around: Sequence[str]) -> None:
        """Make a layer."""
        item, own = layer.item, None
        if layer.name is None:
            self.unnamed.add(layer.op.kind.lower())
        else:
            block, own = self.place(layer, block)
        inputs = [self.value(name, around, layer.name) for name in layer.inputs or ()]
        if layer.inputs is None and layer.op.operands != 0:
            if self.previous is None:
                item.fail("it reads the layer before it; here is none, but several inputs: say which, as inputs: NAME")
            inputs = [self.previous]
        try:
            node = Node(layer.op, inputs, own, block, layer.weights)
        except CostModelError as error:
            item.fail(str(error))
        self.previous = node.outputs[0]
        self.made.append((node, item))
        if own is not None:
            self.values[node.label] = self.previous
            self.values |= {f"{node.label}:{tensor.index}": tensor for tensor in node.outputs[1:]}
            self.lines[node.label] = item.line

    def place(self, layer: Layer, block: str) -> tuple[str, str]:
        """The block and the name of a layer that has one, checked."""
        item, name = layer.item, layer.name or ""
        inner, own = split(name, layer.block)
        if not own or (layer.block is None and name.startswith(".")):
            item.fail(f"the name {name!r} must not begin or end with a dot")
        if inner:
            block = _joined(item, block, inner)
        full = _joined(item, block, own)
        if full in self.lines:
            item.fail(f"a layer is named {full!r} already, in line {self.lines[full]}")
        if full in self.values:
            item.fail(f"{name!r} is what the block calls that which comes in; a layer needs another name")
        return block, own

    def value(self, item: Item, around: Sequence[str], own: str | None = None) -> Tensor:
        """What a name stands for."""
        full = resolve(item.name(), around, self.values)
        if full is None:
            self.unknown(item, around, own)
        return self.values[full]

    def unknown(self, item: Item, around: Sequence[str], own: str | None) -> NoReturn:
        """Say why a name stands for nothing."""
        name, shown = item.name(), item.describe()
        if name == own:
            item.fail(f"the layer {shown} cannot read itself")
        if resolve(name, around, dict.fromkeys(itertools.islice(_names(self.file.layers, ""), LIMIT))) is not None:
            item.fail(f"{shown} stands further down; a layer reads what stands above it")
        if name.lower() in self.unnamed:
            item.fail(f"no layer is named {shown}; one without a name, such as '- Relu', is read by the next one only")
        nearest = list(itertools.islice(reversed(self.values), NEIGHBOURS))
        elsewhere = next((full for full in nearest if full.endswith(f".{name}")), None)
        if elsewhere is not None:
            item.fail(f"no layer {shown} in this block or around it; did you mean {elsewhere!r}?")
        near = {full.removeprefix(next(scope for scope in around if full.startswith(scope))) for full in nearest}
        item.fail(f"no layer {shown} above; {suggestion(name, near)}")


def _joined(item: Item, block: str, name: str) -> str:
    """A name inside a block, not too long."""
    full = f"{block}.{name}" if block else name
    if len(full) > LONGEST:
        item.fail(f"the name {full[: document.SHOWN]!r}... is longer than {LONGEST} characters")
    return full


def _names(entries: Sequence[Entry], block: str) -> Iterator[str]:
    """The full names of all layers."""
    for entry in entries:
        if isinstance(entry, Block):
            for name in entry.names:
                yield from _names(entry.keys.layers, f"{block}{name}.")
        elif entry.name is not None:
            yield f"{block}{'.'.join(filter(None, split(entry.name, entry.block)))}"
