"""The documents' printed tables, their errata as named rules -> every table rebuilt, every figure judged."""

import importlib
from typing import Final, NamedTuple, Protocol

from costmodel.errors import CostModelError, suggestion
from costmodel.papers.ledger import Entry, changes
from costmodel.papers.prints import Report


class Paper(Protocol):
    """A module that rebuilds a document's tables."""

    def rebuild(self) -> tuple[list[Report], list[Entry]]:
        """Every table of the document, and a line of the ledger for every figure that it prints."""


class Document(NamedTuple):
    """A document that can be rebuilt."""

    title: str
    module: str


class Reproduction(NamedTuple):
    """What rebuilding a document gave: its tables, its lines of the ledger, and the verdicts that are not on record."""

    title: str
    reports: list[Report]
    entries: list[Entry]
    changes: tuple[str, ...]


PAPERS: Final = {
    "hairnet": Document("HairNet: The Thinned Convolutional Network, 2020", "costmodel.papers.hairnet_figures"),
    "mobilenetv2-report": Document("MobileNetV2: The Same but Better, a report", "costmodel.papers.mobilenetv2_report"),
    "deck": Document("Compact architectures, a lecture deck", "costmodel.papers.deck"),
}
"""The documents by name."""


def reproduce(name: str) -> Reproduction:
    """Rebuild the tables of a document and judge its figures."""
    if name not in PAPERS:
        raise CostModelError(f"no document {name!r}; {suggestion(name, PAPERS)}")
    document = PAPERS[name]
    paper: Paper = importlib.import_module(document.module)
    reports, entries = paper.rebuild()
    return Reproduction(document.title, reports, entries, changes(name, entries))
