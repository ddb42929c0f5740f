"""The lecture deck on compact architectures: its tables, quoted from six papers, rebuilt from the networks."""

from typing import Final

from costmodel.papers.deck import architectures, claims, mobile, resources, shufflenet, squeezenet
from costmodel.papers.ledger import Entry, Sheet
from costmodel.papers.prints import Report

SHEETS: Final[tuple[Sheet, ...]] = (
    resources.TABLE,
    squeezenet.COMPRESSION,
    squeezenet.FIRE,
    architectures.MOBILENET,
    mobile.SHARES,
    mobile.TABLE_4,
    mobile.TABLE_6,
    mobile.TABLE_7,
    shufflenet.ARCHITECTURE,
    shufflenet.RESULTS,
    shufflenet.LATENCY,
    architectures.MOBILENET_V2,
    mobile.RESULTS,
    claims.DEPTHWISE,
)


def rebuild() -> tuple[list[Report], list[Entry]]:
    """Every table, and the figures that the deck states outside its tables."""
    built = [sheet.rebuild() for sheet in SHEETS]
    entries = [entry for _, made in built for entry in made]
    return [report for report, _ in built], entries + claims.entries()
