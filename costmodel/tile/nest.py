"""A layer's loop nest x a memory size -> the tiles and the order of the loops that move the fewest bytes.

The nest is cut into tiles of outputs (images and positions), of filters and of channels. In the memory are one tile of
the operand with its halo, one of the kernel and one of the results, which are its partial sums while channels are left.
A tile stays while the next step needs the same one; otherwise it is read again, and partial sums are written and read
back. Groups share nothing, so they run one after another. Windows are not cut.
"""

import functools
from math import prod
from typing import Final, NamedTuple

from costmodel.arrays import Array, np
from costmodel.tile.axis import Axis, cuts, front, taps

PIXELS, FILTERS, CHANNELS = "pixels", "filters", "channels"
ORDERS: Final = (
    (PIXELS, FILTERS, CHANNELS),
    (FILTERS, PIXELS, CHANNELS),
    (PIXELS, CHANNELS, FILTERS),
    (CHANNELS, PIXELS, FILTERS),
    (FILTERS, CHANNELS, PIXELS),
    (CHANNELS, FILTERS, PIXELS),
)
"""The loops over tiles, outermost first."""

USES: Final = {"input": {PIXELS, CHANNELS}, "kernel": {FILTERS, CHANNELS}, "output": {PIXELS, FILTERS}}
"""The loops that change the tile of an operand."""


def in_bytes(bits: int) -> int:
    """Bits / 8, rounded up."""
    return -(-bits // 8)


class Bits(NamedTuple):
    """Element widths; 0 where the whole map is in the memory anyway, so that tiles of it neither move nor need room."""

    input: int
    kernel: int
    output: int


class Nest(NamedTuple):
    """``groups`` products of windows on ``channels`` maps by ``filters`` kernels; a pool has no kernel.

    The images are the first axis.
    """

    groups: int
    axes: tuple[Axis, ...]
    filters: int
    channels: int
    kernel: int
    """Values of the kernel per filter and channel; 0 without one."""
    bits: Bits
    held: int = 0
    """Bits that are there all the time beside the tiles: other weights, and what is read beside the operand."""
    each: int = 0
    """Bits that are there for each filter of a tile, and read once per tile of results, where those are not held."""

    @property
    def outputs(self) -> int:
        """Results of a group."""
        return prod(axis.out for axis in self.axes) * self.filters

    @property
    def inputs(self) -> int:
        """Values of the operand that any window of a group takes."""
        return prod(taps(axis)[0] for axis in self.axes) * self.channels

    @property
    def weights(self) -> int:
        """Values of the kernel of a group."""
        return self.kernel * self.filters * self.channels

    @property
    def products(self) -> int:
        """Multiply-accumulates of a group, those with padding left out."""
        return prod(taps(axis)[1] for axis in self.axes) * self.filters * self.channels

    @property
    def sharing(self) -> int:
        """The most windows that take the same value."""
        return prod(taps(axis)[2] for axis in self.axes)

    @property
    def compulsory(self) -> int:
        """Bytes of operand, kernel and results, each once."""
        amounts = (self.inputs, self.weights, self.outputs)
        return sum(in_bytes(self.groups * amount * bits) for amount, bits in zip(amounts, self.bits, strict=True))

    @property
    def grain(self) -> int:
        """Bits of a kernel of one filter and one channel."""
        return self.kernel * self.bits.kernel

    @property
    def smallest(self) -> int:
        """The bits that the smallest tile needs: of one result, one filter and one channel."""
        under = prod(int(cuts(axis).most[cuts(axis).size.tolist().index(1)]) for axis in self.axes)
        return int(self.need(under, 1, 1, 1))

    def need(self, under: Array, outputs: Array, filters: Array, channels: Array) -> Array:
        """The bits of a tile of the operand, of the kernel and of the results, beside what is held."""
        return (
            self.held
            + under * channels * self.bits.input
            + self.kernel * filters * channels * self.bits.kernel
            + filters * self.each
            + outputs * filters * self.bits.output
        )

    def search(self, room: int, *, once: bool = False) -> "Tiling | None":
        """The tiling that moves the fewest bytes with ``room`` bits of memory, then the one with the fewest tiles.

        Of all sizes only those are tried that can be best: per number of tiles the smallest size of filters; per tile
        of outputs and filters the most channels that fit, since traffic never grows with them; of outputs those that no
        other undercuts in size, number, values read and values held. None where no tile fits.

        With ``once`` no value of the kernel is read again, as where it passes and does not wait to be asked for.
        """
        chosen, outputs, tiles, read, under = _positions(self.axes)
        numbers = np.unique(-(-self.filters // np.arange(1, self.filters + 1)))
        at, filters = (grid.ravel() for grid in np.meshgrid(np.arange(len(outputs)), numbers, indexing="ij"))
        outputs, tiles, read, under = outputs[at], tiles[at], read[at], under[at]
        free = room - self.need(0, outputs, filters, 0)
        each = under * self.bits.input + self.kernel * filters * self.bits.kernel
        most = np.where(each > 0, free // np.maximum(each, 1), self.channels)
        channels = np.where(free >= 0, np.minimum(most, self.channels), 0)
        fits = channels >= 1
        if not fits.any():
            return None
        at, filters, channels, outputs, tiles, read, under = (
            column[fits] for column in (at, filters, channels, outputs, tiles, read, under)
        )
        counts = {
            PIXELS: tiles,
            FILTERS: np.ceil(self.filters / filters),
            CHANNELS: np.ceil(self.channels / channels),
        }
        best: tuple[float, ...] | None = None
        total: Array = tiles * counts[FILTERS] * counts[CHANNELS]
        for number, order in enumerate(ORDERS):
            times = [
                _times(order, USES["input"], counts, FILTERS),
                _times(order, USES["kernel"], counts, PIXELS),
                _times(order, USES["output"], counts, CHANNELS),
            ]
            moved = (
                read * self.channels * times[0] * self.bits.input
                + self.weights * times[1] * self.bits.kernel
                + self.outputs * (2 * times[2] - 1) * self.bits.output
            )
            moved = np.where(times[1] > 1, np.inf, moved) if once else moved + tiles * self.filters * self.each
            row = np.lexsort((total, moved))[0]
            found = (moved[row], total[row], number, row, *(int(time[row]) for time in times))
            if best is None or found < best:
                best = found
        assert best is not None  # noqa: S101 - there are orders
        _, _, number, row, input_times, kernel_times, visits = (int(value) for value in best)
        even = -(-self.channels // int(counts[CHANNELS][row]))
        every = [cuts(axis) for axis in self.axes]
        picks = chosen[at[row]].tolist()
        return Tiling(
            self,
            tuple(int(cut.size[pick]) for cut, pick in zip(every, picks, strict=True)),
            int(filters[row]),
            even,
            ORDERS[number],
            tuple(int(cut.most[pick]) for cut, pick in zip(every, picks, strict=True)),
            tuple(int(cut.read[pick]) for cut, pick in zip(every, picks, strict=True)),
            int(self.need(int(under[row]), int(outputs[row]), int(filters[row]), even)),
            input_times,
            kernel_times,
            visits,
        )


class Tiling(NamedTuple):
    """How a nest is cut, and what it moves. Counts are over all groups."""

    nest: Nest
    sizes: tuple[int, ...]
    """Outputs of a tile along each axis, images first."""
    filters: int
    channels: int
    order: tuple[str, ...]
    spans: tuple[int, ...]
    """Values of the operand under the largest tile, along each axis."""
    reads: tuple[int, ...]
    """Values of the operand that all tiles together read along each axis, halos included."""
    need: int
    """Bits of the memory that are taken."""
    input_times: int
    """How often each tile of the operand is read."""
    kernel_times: int
    """How often each value of the kernel is read."""
    visits: int
    """How often a result is written; all but the first time its partial sum is read back."""

    @property
    def block(self) -> tuple[int, int, int, int, int]:
        """Images, rows, columns, channels and filters of a tile."""
        images, rows, *columns = self.sizes
        return images, rows, prod(columns), self.channels, self.filters

    @property
    def places(self) -> tuple[int, int]:
        """Bits of a tile of the operand and of one of the kernel."""
        nest = self.nest
        kernel = nest.kernel * self.filters * self.channels * nest.bits.kernel
        return prod(self.spans) * self.channels * nest.bits.input, kernel

    @property
    def amounts(self) -> tuple[tuple[int, int], ...]:
        """Of the operand and the kernel, the bits that are read with all repetitions, and the bits there are."""
        nest = self.nest
        operand = nest.groups * nest.channels * prod(self.reads) * self.input_times * nest.bits.input
        kernel = nest.groups * nest.weights * nest.bits.kernel
        return (operand, nest.groups * nest.inputs * nest.bits.input), (self.kernel_times * kernel, kernel)

    @property
    def results(self) -> int:
        """Bits of the results, which are written :attr:`visits` times."""
        return self.nest.groups * self.nest.outputs * self.nest.bits.output

    @property
    def read(self) -> int:
        """Bytes read: operand, kernel and partial sums."""
        return sum(in_bytes(bits) for bits, _ in self.amounts) + in_bytes(self.results * (self.visits - 1))

    @property
    def written(self) -> int:
        """Bytes written: results and partial sums."""
        return in_bytes(self.results * self.visits)


@functools.lru_cache(maxsize=4096)
def _positions(axes: tuple[Axis, ...]) -> tuple[Array, ...]:
    """Tiles of outputs worth trying: rows of each axis' cuts; and outputs, tiles, values read, values of the largest.

    Axes are joined one by one, and what another combination undercuts in all is left out: memory and traffic grow with
    each of the four.
    """
    chosen = np.zeros((1, 0), int)
    columns = [np.ones(1) for _ in range(4)]
    for axis in axes:
        own = cuts(axis)
        columns = [
            np.multiply.outer(column, values).ravel()
            for column, values in zip(columns, (own.size, own.count, own.read, own.most), strict=True)
        ]
        rows = np.arange(len(own.size))
        chosen = np.hstack([np.repeat(chosen, len(rows), axis=0), np.tile(rows, len(chosen))[:, None]])
        kept = front(*columns)
        chosen, columns = chosen[kept], [column[kept] for column in columns]
    return (chosen, *columns)


def _times(order: tuple[str, ...], used: set[str], counts: dict[str, Array], repeated: str) -> Array:
    """How often a tile comes back: as often as the one loop that does not change it turns around loops that do."""
    inside = order[order.index(repeated) + 1 :]
    turning = np.zeros(1, bool)
    for loop in inside:
        if loop in used:
            turning = turning | (counts[loop] > 1)
    return np.where(turning, counts[repeated], 1)
