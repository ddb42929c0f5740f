"""Consecutive layers x rows per band -> line buffers: fused execution in bands of rows, and the memory that it takes.

Band after band, each layer in turn makes the rows that the layers behind it need next. A map between two layers is
never whole: of it there are the rows that some layer still needs, in a buffer of fixed size; a branch around other
layers waits in such lines as well. By the end of band t rows 0 to rate*t + offset of a map are there, as far as it has
them: all rates follow from the strides, and every offset from the windows behind the map.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from costmodel.tile.layers import Layer, Map


class Lines(NamedTuple):
    """Of a map, while bands run."""

    rate: int
    """Rows made or read per band."""
    offset: int
    """Rows that are there after band 0."""
    buffer: int
    """Rows that its buffer has room for."""

    def bands(self, rows: int) -> int:
        """In how many bands some of its rows are made."""
        begun = self.offset % self.rate
        return (begun > 0) + max(0, -(-(rows - begun) // self.rate))


def levels(layers: Sequence[Layer], known: Mapping[int, Map]) -> tuple[dict[int, int], set[int]]:
    """The strides from the finest map to each, multiplied; and the layers, by row, that bands can run.

    These are the layers whose rows need only the rows about theirs, of operands that advance at the same rate.
    """
    found = {row: Fraction(1) for row, entry in known.items() if entry.kind == "input"}
    local = set()
    for layer in layers:
        rates = {found[link.tensor] * link.stride / link.apart for link in layer.links}
        if len(rates) == 1:
            local.add(layer.row)
            found |= dict.fromkeys(layer.writes, *rates)
        else:  # whatever it does to the rows, what follows is finer or coarser by as much as it is higher or lower
            for made in layer.writes:
                rows, level = (known[layer.reads[0]].rows, found[layer.reads[0]]) if layer.reads else (1, Fraction(1))
                new = known[made].rows
                found[made] = level * round(rows / new) if rows >= new else level / round(new / rows)
    finest = lcm(*[level.denominator for level in found.values()])
    return {tensor: int(level * finest) for tensor, level in found.items()}, local


def lines(layers: Sequence[Layer], known: Mapping[int, Map], level: Mapping[int, int], height: int) -> dict[int, Lines]:
    """The lines of each map that layers of bands read or make; a band is as high as ``height`` rows of the finest map.

    That is a whole number of rows of each of these maps.
    """
    offsets: dict[int, int] = {}
    firsts: dict[int, int] = {}  # the first row that some layer needs in band 1
    for layer in reversed(layers):
        made = layer.writes[0]
        offset = offsets.get(made)
        if offset is None:
            offset = offsets[made] = firsts[made] = height // level[made]
        for tensor, stride, before, ahead, apart in layer.links:
            first = -((before - offset * stride) // apart)
            wanted = ((offset - 1) * stride + ahead) // apart + 1
            if tensor not in offsets:
                offsets[tensor], firsts[tensor] = wanted, first
                continue
            if wanted > offsets[tensor]:
                offsets[tensor] = wanted
            if first < firsts[tensor]:
                firsts[tensor] = first
    found = {}
    for tensor, offset in offsets.items():
        rate, ahead, most = height // level[tensor], offset - firsts[tensor], known[tensor].rows
        rows = rate + ahead if ahead > 0 else rate
        found[tensor] = Lines(rate, offset, rows if rows < most else most)
    return found
