"""Accounts -> a page that says why tools disagree about a network: a statement for each, which adds up, and JSON."""

import json
from collections.abc import Sequence
from typing import Final

from costmodel.counting import STANDARD
from costmodel.graph import Graph
from costmodel.parity import COLUMNS, Account
from costmodel.profile import profile
from costmodel.report.cells import Cells
from costmodel.report.formats import described
from costmodel.report.show import left_out, paragraph
from costmodel.report.text import Line, Span, plain, room, show
from costmodel.report.text import table as layout

UNITS: Final = {
    "MAC": "one multiplication and the addition of its product to a sum",
    "FLOP": "one floating-point operation, so a MAC is two of them; but some tools count one for each MAC and call "
    "that FLOPs. 'per MAC' says how many a tool counts; only numbers with the same can be compared",
    "rules": "inputs, outputs and parameters stand for the values that a layer reads, makes and has learned, window "
    "for the size of a pool's window",
}
"""What a reader must know of the figures."""

FILE: Final = (
    "the tools for torch see it only after a conversion to torch, where a softmax and a global mean are functions, "
    "which they do not see; their numbers here are those of the same network in modules"
)
"""What a reader must know of the figures of an ONNX file."""

NUMBERS: Final = {"parameters": 2, "called": 1}

STATEMENT: Final = {"layers": 2, "tool counts": 1}


def parity(graph: Graph, accounts: Sequence[Account]) -> None:
    """Print every convention's number, and how each follows from that of ``standard``."""
    layers = profile(graph).layers
    ours = f"{STANDARD.meaning}; here {layers.total('elementwise'):,} of these"
    table, hidden = layout(_numbers(accounts), drop=NUMBERS, available=room())
    lines: list[Line] = [
        plain(f"{graph.name}: {layers.total('macs'):,} MACs as standard counts, and what other tools count", "bold"),
        *_paragraphs([*UNITS.items(), *[("ONNX", FILE)] * bool(graph.sources), ("standard", ours)]),
        (),
        *table,
        *left_out(hidden),
    ]
    cells, wrong = _statements(accounts)
    if cells.rows:
        table, hidden = layout(cells, drop=STATEMENT, marked=wrong, available=room())
        lines += [(), *table, *left_out(hidden)]
    operators = {(term.operator, term.standard) for made in accounts for term in made.terms[1:] if term.operator}
    if operators:
        lines += [(), plain("what standard counts for these operators", "bold"), *_paragraphs(sorted(operators))]
    show([*lines, *_remarks(accounts), *_paragraphs([("warning:", note) for note in graph.notes], "yellow")])


def _paragraphs(pairs: Sequence[tuple[str, str]], style: str = "") -> list[Line]:
    """Headings and their sentences, under each other."""
    indent = max([len(heading) for heading, _ in pairs], default=0) + 2
    lines = [line for heading, sentence in pairs for line in paragraph(heading, sentence, indent=indent)]
    return [[Span(span.text, style) for span in line] for line in lines] if style else lines


def to_json(graph: Graph, accounts: Sequence[Account]) -> str:
    """Each convention with its number, unit and parameters, and the terms that add up to the number."""
    document = {
        "network": graph.name,
        "macs": graph.macs,
        "parameters": graph.parameters,
        "warnings": list(graph.notes),
        "columns": [described(column) for column in COLUMNS[2:]],
        "conventions": [
            {
                "name": account.convention.name,
                "meaning": account.convention.meaning,
                "unit": account.convention.number,
                "per_mac": account.convention.per_mac,
                "number": account.number,
                "parameters": account.parameters,
                "remarks": dict(account.remarks),
                "terms": [term._asdict() for term in account.terms],
            }
            for account in accounts
        ],
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _numbers(accounts: Sequence[Account]) -> Cells:
    """A row per convention: its number, what it calls it, and how far it is from ``standard`` in the same unit."""
    rows = [
        (
            account.convention.name,
            f"{account.number:,}",
            _beside(100 * (account.ratio - 1)),
            str(account.convention.per_mac),
            "" if account.parameters is None else f"{account.parameters:,}",
            account.convention.number,
        )
        for account in accounts
    ]
    names = ("convention", "number", "beside\nstandard", "per\nMAC", "parameters", "called")
    return Cells(names, names, (False, True, True, True, True, False), rows, ())


def _beside(percent: float) -> str:
    """A difference in percent; a small one is not shown as none."""
    return f"{percent:+.2f}%" if abs(percent) >= 0.01 else f"{percent:+.1g}%" if percent else ""


def _statements(accounts: Sequence[Account]) -> tuple[Cells, set[int]]:
    """Each convention that differs: from the MACs of ``standard`` to its number; and the rows that are errors."""
    rows: list[tuple[str, ...]] = []
    wrong = set()
    for account in accounts:
        if len(account.terms) == 1:
            continue
        if rows:
            rows.append(("",) * 5)
        for term in account.terms:
            if term.term == "error":
                wrong.add(len(rows))
            first = term.term == "standard"
            rows.append(
                (
                    account.convention.name if first else "",
                    {"standard": "standard's MACs", "unit": "2 FLOPs per MAC"}.get(term.term, term.operator),
                    str(term.layers or ""),
                    f"{term.amount:,}" if first else f"{term.amount:+,}",
                    "no rule known" if term.term == "no rule" else term.counts,
                )
            )
        rows.append(("", "its number", "", f"= {account.number:,}", ""))
    names = ("convention", "operator", "layers", "amount", "tool counts")
    return Cells(names, names, (False, False, True, True, False), rows, ()), wrong


def _remarks(accounts: Sequence[Account]) -> list[Line]:
    """Of the tools in this network: mistakes that show, operators without a rule, and where they count otherwise."""
    wrong, missing, others = [], [], []
    for account in accounts:
        name = account.convention.name
        wrong += [
            ("error:", f"{name} is wrong about {term.operator}: {term.error}; {term.amount:+,} in {term.layers} layers")
            for term in account.terms
            if term.term == "error"
        ]
        operators = [term.operator for term in account.terms if term.term == "no rule"]
        if operators:
            missing.append(("no rule:", f"{name}: none known for {', '.join(operators)}; its number leaves them out"))
        others += [("remark:", f"{name}, {operator}: {remark}") for operator, remark in account.remarks.items()]
    return [*_paragraphs(wrong, "red"), *_paragraphs(missing), *_paragraphs(others)]
