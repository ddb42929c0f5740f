"""Graph x conventions -> Account: a tool's number as the MACs of ``standard`` and what the tool adds or leaves out.

Why two tools disagree about a network: for each convention, operator by operator, the terms that add up to its number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from costmodel.counting import STANDARD, Convention, stated
from costmodel.graph import Graph, Input, Node, Op, Shape
from costmodel.table import Column, Table

COLUMNS: Final = (
    Column("convention", str, "", "whose number it is"),
    Column("number", str, "", "what the convention calls its number"),
    Column(
        "term", str, "",
        "standard: the MACs that standard counts; unit: the same again, where a MAC is two operations; adds or leaves "
        "out: what differs for an operator; error: a difference that is a known mistake of the tool; no rule: an "
        "operator that the tool is not known to count or not to count, left out of its number",
    ),
    Column("operator", str, "", "the operator that the tool counts in another way"),
    Column("layers", int, "", "layers with that operator that differ"),
    Column("amount", int, "", "what is added; the amounts of a convention add up to its number"),
    Column("counts", str, "", "the tool's rule for the operator"),
    Column("standard", str, "", "what standard counts for it"),
    Column("error", str, "", "the tool's mistake, in words"),
)  # fmt: skip


class Form(NamedTuple):
    """One of several layers that do the same on maps of the same sizes, and so count the same."""

    node: Node
    layers: int
    macs: int


class Term(NamedTuple):
    """A part of a convention's number, as in :data:`COLUMNS`."""

    term: str
    operator: str
    layers: int
    amount: int
    counts: str = ""
    standard: str = ""
    error: str = ""


@dataclass(frozen=True)
class Account:
    """A convention's number for a network: the terms that add up to it, and the parameters that it counts.

    ``remarks`` says of operators of the network where the tool counts something else.
    """

    convention: Convention
    terms: tuple[Term, ...]
    parameters: int | None
    remarks: Mapping[str, str]

    @property
    def number(self) -> int:
        """What the convention counts in all."""
        return sum(term.amount for term in self.terms)

    @property
    def ratio(self) -> float:
        """The number beside that of ``standard`` in the same unit."""
        macs = self.terms[0].amount * self.convention.per_mac
        return self.number / macs if macs else 1.0 if not self.number else float("inf")


def accounts(graph: Graph, conventions: Iterable[Convention]) -> list[Account]:
    """Each convention's number for a network, in terms of ``standard``."""
    nodes = [node for node in graph.nodes.values() if not isinstance(node.op, Input)]
    alike: dict[tuple[Op, tuple[Shape, ...]], list[Node]] = {}
    for node in nodes:
        alike.setdefault((node.op, node.input_shapes), []).append(node)
    forms = [Form(node, len(each), STANDARD.work(node).macs) for each in alike.values() for node in each[:1]]
    weights = {weight.shared or (node, weight.name): weight for node in nodes for weight in node.weights}.values()
    learned = sum(weight.stored for weight in weights if weight.kind == "parameter")
    stored = {"learned": learned, "constants": sum(weight.stored for weight in weights), None: None}
    return [
        Account(convention, tuple(_terms(convention, forms)), stored[convention.stored], _remarks(convention, forms))
        for convention in conventions
    ]


def table(made: Sequence[Account]) -> Table:
    """The terms of all conventions, as rows."""
    rows = [(account.convention.name, account.convention.number, *term) for account in made for term in account.terms]
    return Table.of(COLUMNS, rows)


def _terms(convention: Convention, forms: Sequence[Form]) -> list[Term]:
    """The terms of a convention's number: MACs, unit, and the operators that differ, the largest difference first."""
    differing: dict[tuple[type[Op], str, str], list[tuple[int, int]]] = {}
    for node, layers, macs in forms:
        counted = convention.counted(node, convention.work(node))
        amount = (counted or 0) - convention.per_mac * macs
        if counted is None or amount:
            key = (type(node.op), *_reason(convention, node, counted))
            differing.setdefault(key, []).append((layers, layers * amount))
    rules = {kind: count.formula for kind, count in (convention.counts or {}).items()}
    found = []
    for (operator, reason, error), several in differing.items():
        layers, amount = map(sum, zip(*several, strict=True))
        term = reason or ("adds" if amount > 0 else "leaves out")
        rule = rules.get(operator.kind, "")
        found.append(Term(term, operator.kind, layers, amount, rule, stated(operator), error))
    found.sort(key=lambda term: (-abs(term.amount), term.operator))
    whole = sum(layers * macs for _, layers, macs in forms)
    unit = [Term("unit", "", 0, (convention.per_mac - 1) * whole)] if convention.per_mac > 1 else []
    return [Term("standard", "", 0, whole), *unit, *found]


def _remarks(convention: Convention, forms: Sequence[Form]) -> dict[str, str]:
    """What the convention remarks on the operators of the network."""
    there = sorted({form.node.op.kind for form in forms})
    counts = convention.counts or {}
    return {kind: counts[kind].remark for kind in there if kind in counts and counts[kind].remark}


def _reason(convention: Convention, node: Node, counted: int | None) -> tuple[str, str]:
    """Why a node's number differs, where by an error or for want of a rule; and the error."""
    count = (convention.counts or {}).get(node.op.kind)
    if counted is None or count is None:
        return "no rule", ""
    return ("error", count.wrong) if count.wrong and count.at(node) else ("", "")
