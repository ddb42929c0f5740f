"""Node x convention -> Work: what a tool or a paper counts for an operator.

``standard`` is ours and counts what each operator's class declares; another convention is a small table
``operator -> rule`` of its departures from that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple

from costmodel.graph import Node, Op, Work
from costmodel.table import Column, Table

Rule = Callable[[Node], Work]


class Count(NamedTuple):
    """What a tool counts for an operator: a formula in words, and as a function of a node.

    A tool's known mistake is ``wrong``, in words, for the nodes ``at`` which it shows. ``remark`` says where the tool
    counts something else.
    """

    formula: str
    of: Callable[[Node], int]
    wrong: str = ""
    at: Callable[[Node], bool] = lambda _: True
    remark: str = ""


@dataclass(frozen=True)
class Convention:
    """A named way of counting.

    ``rules`` holds, by operator, only what differs from the operator's own work. A tool has one number besides, called
    ``number``, and ``counts`` with a formula for every operator that it knows; without ``counts`` it is the MACs.
    A multiply-accumulate is ``per_mac`` of that number. ``stored`` says which values it counts as parameters: what is
    learned, or all constants; None if it counts none.
    """

    name: str
    meaning: str
    rules: Mapping[str, Rule] = field(default_factory=dict)
    number: str = "MACs"
    counts: Mapping[str, Count] | None = None
    per_mac: int = 1
    stored: Literal["learned", "constants"] | None = "learned"

    def work(self, node: Node) -> Work:
        """The arithmetic that this convention counts for a node."""
        rule = self.rules.get(node.op.kind)
        return rule(node) if rule else node.op.work(*node.input_shapes)

    def counted(self, node: Node, work: Work) -> int | None:
        """The convention's number for a node whose work is known; None for an operator that it has no rule for."""
        if self.counts is None:
            return work.macs
        count = self.counts.get(node.op.kind)
        return count.of(node) if count else None


STANDARD: Final = Convention(
    "standard",
    "MACs of convolutions and matrix products with padding included and biases free, and apart from them every "
    "elementwise operation that an operator does",
)

COLUMNS: Final = (
    Column("operator", str, "", "operator"),
    Column("macs", str, "MAC", "multiply-accumulates: the operator's loop nest, or none"),
    Column("operations", int, "OP", "elementwise operations per unit", None),
    *(Column(kind, int, "OP", f"of these, {kind} operations") for kind in Work._fields[1:]),
    Column(
        "per", str, "", "the unit that the operations are counted per; a KxK pool has K*K window elements per output"
    ),
    Column("why", str, "", "what the operations are"),
)


def standard_table() -> Table:
    """The ``standard`` convention as one table, read off the operators' own declarations."""
    operators = [Op.registry[name] for name in sorted(Op.registry)]
    data: dict[str, list[object]] = {
        "operator": [op.__name__ for op in operators],
        "macs": ["batch*groups*pixels*filters*reduction" if op.loops is not Op.loops else "" for op in operators],
        "operations": [op.each.elementwise for op in operators],
        "per": [op.unit if op.each.elementwise else "" for op in operators],
        "why": [reason(op) for op in operators],
    }
    for kind in Work._fields[1:]:
        data[kind] = [getattr(op.each, kind) for op in operators]
    return Table(COLUMNS, data)


def reason(op: type[Op] | Op) -> str:
    """What the elementwise operations of an operator are, and how many come once per row beside them."""
    count = op.per_row.elementwise
    return f"{op.why}; and {count} per {op.row}: {op.row_why}" if count else op.why


def stated(op: type[Op]) -> str:
    """What ``standard`` counts for an operator, in words, read off its own declaration."""
    words = ["its MACs" if op.loops is not Op.loops else "no MACs"]
    if op.loops is not Op.loops and "bias" in {field.name for field in fields(op)}:
        words.append("a bias starts the sum and is free")
    if op.each.elementwise:
        several = "s" * (op.each.elementwise > 1)
        words.append(f"beside MACs {op.each.elementwise} operation{several} per {op.unit}: {reason(op)}")
    return "; ".join(words)
