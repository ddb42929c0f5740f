"""Profile x memory size -> how each layer runs so that the fewest bytes cross to the external memory and back.

The layers are cut, in their order, into runs. At each cut the maps that are needed later are in the external memory, or
some of them stay in the internal one. The cuts with the least traffic are found by dynamic programming over the order.
Behind a layer alone any of the maps that it touches may stay, beside those that were there; so every placement of whole
maps is among what is searched, as long as few of them cross a cut. Around chains only some sets of maps are tried: all,
the newest, or those that are needed soonest.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import inf, lcm
from typing import Final, NamedTuple

from costmodel.errors import CostModelError
from costmodel.profile import Profile
from costmodel.tile import layers as reading
from costmodel.tile.attention import Blocks, Heads
from costmodel.tile.bands import Lines, levels, lines
from costmodel.tile.layers import Layer, Map
from costmodel.tile.nest import Nest, Tiling, in_bytes
from costmodel.tile.plan import BAND, NONE, TILES, WHOLE, Move, Plan, Run, finished, overwriting, tiled
from costmodel.units import exact

LONGEST: Final = 32
"""The most layers that are tried as one chain."""

MARGIN: Final = 3
"""A chain is tried with so many layers before and behind those whose maps do not fit."""

MOST_WAITING: Final = 500_000
"""Pairs of a cut and a map that waits there, beyond which nothing is searched: each cut looks at all of its maps."""

STATES: Final = 8
"""From so many states at a cut the search goes on, beside the usual ones."""

FEW: Final = 2
"""From so many of them also in chains that run in bands."""

MOST: Final = 4
"""Of so many maps that a layer touches and that are needed later any may be kept, of more only the usual ones."""

PARTS: Final = (1, 2, 4, 8, 16)
"""The numbers of bands that are tried for a chain whose weights do not all fit."""


def plan(
    profile: Profile,
    size: int,
    memory: str = "the internal memory",
    pinned: frozenset[int] = NONE,
    *,
    coarse: bool = False,
) -> Plan:
    """The runs with the least traffic beside weights that are ``pinned``: in the memory from image to image.

    Of ways that move the same the one that takes the least memory, or if ``coarse`` the one with the largest steps, for
    the sake of memories that are nearer still. An error where the smallest tile of a layer does not fit.
    """
    sizes = profile.tensors["bytes"]
    room = size - sum([sizes[tensor] for tensor in pinned])
    search_ = _Search(profile, 8 * room, pinned, coarse=coarse)
    runs = search_.runs()
    if not runs:
        for layer in search_.layers:
            least = in_bytes(search_.least(layer))
            if least > room:
                raise CostModelError(
                    f"layer {layer.name!r} needs at least {exact(least, 'B')} of {memory} for its smallest tile, "
                    f"and there are {exact(room, 'B')}"
                )
    alone = {layer.row: search_.alone(number) for number, layer in enumerate(search_.layers)}
    return Plan(profile, size, search_.maps, runs, alone, pinned)


class _Buffers(NamedTuple):
    """The lines of a chain, and the bits of their buffers."""

    lines: dict[int, Lines]
    each: dict[int, int]
    bits: int


class _Chain:
    """Consecutive layers, and what enters and leaves them."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.layers: list[Layer] = []
        self.entering: dict[int, tuple[int, int]] = {}
        """Maps from before: row of the layer that reads it first, and the bits that are needed of it."""
        self.made: dict[int, int] = {}
        """Maps made: row of the layer."""
        self.weights = 0
        self.lowest = 1
        """The height of the lowest bands, in rows of the finest map."""
        self.stretched: set[int] = set()
        self.banded, self.finished = True, True
        """Whether bands can run it, and whether its first layer can run in tiles that the others finish."""
        self.bands: dict[int, _Buffers] = {}
        """By the number of bands."""

    def add(self, layer: Layer, maps: dict[int, Map], level: dict[int, int]) -> None:
        """One layer more at the end."""
        self.lowest = lcm(self.lowest, level[layer.writes[0]], *[level[link.tensor] for link in layer.links])
        self.layers.append(layer)
        self.weights += layer.weights
        for tensor, bits in zip(layer.reads, layer.fetched, strict=True):
            if tensor in self.made:
                continue
            if tensor in self.entering:
                self.entering[tensor] = (self.entering[tensor][0], maps[tensor].size)
            else:
                self.entering[tensor] = (layer.row, bits)
        for tensor in layer.writes:
            self.made[tensor] = layer.row
        self.stretched.update(layer.stretched)


class _Choice(NamedTuple):
    """A way to run a chain: the bits that cross because of it, beside those of its maps, and the memory it takes."""

    kind: str
    extra: int
    need: int
    tiling: Tiling | Blocks | None = None
    lines: dict[int, Lines] | None = None
    streamed: frozenset[int] = NONE


class _Stop(NamedTuple):
    """The best way to a cut with certain maps kept."""

    cost: int
    stored: frozenset[int]
    """Of the maps kept, those that were brought back, so that they are in the external memory as well."""
    cut: int
    kept: frozenset[int]
    """Where it comes from."""
    choice: _Choice | None


_Stops = dict[frozenset[int], _Stop]
"""Of a cut, by the maps that are kept."""


class _Start(NamedTuple):
    """Where a chain may begin: what is kept, how one comes there, and the bits that are taken."""

    kept: frozenset[int]
    stop: _Stop
    size: int


class _Search:
    """The dynamic programme over cuts and what is kept across them."""

    def __init__(self, profile: Profile, room: int, pinned: frozenset[int], *, coarse: bool) -> None:
        self.room, self.coarse = room, coarse
        self.maps: dict[int, Map] = reading.maps(profile)
        self.layers = reading.layers(profile, self.maps, pinned)
        self.level, self.local = levels(self.layers, self.maps)
        self.tilings: dict[tuple[Nest | Heads, int], Tiling | Blocks | None] = {}
        self.readers: dict[int, list[int]] = {}
        for number, layer in enumerate(self.layers):
            for tensor in layer.reads:
                self.readers.setdefault(tensor, []).append(number)
        changes: list[set[int]] = [set() for _ in range(len(self.layers) + 1)]
        maker = {tensor: number for number, layer in enumerate(self.layers) for tensor in layer.writes}
        lives = {tensor: range(maker.get(tensor, -1) + 1, numbers[-1] + 1) for tensor, numbers in self.readers.items()}
        if sum(map(len, lives.values())) > MOST_WAITING:
            raise CostModelError(
                f"{profile.network}: too many maps wait at once for later layers: placement 'tiled' looks at "
                f"{MOST_WAITING} pairs of a layer and a map that waits there; 'liveness' takes any number"
            )
        for tensor, life in lives.items():
            for cut in life:
                changes[cut].add(tensor)
        self.crossing = list(map(frozenset, changes))
        self.states = [self._states(cut) for cut in range(len(self.layers) + 1)]
        self.easy = [
            self._size(self.crossing[n] | self.crossing[n + 1] | {*layer.touched}) + layer.grain <= room
            for n, layer in enumerate(self.layers)
        ]

    def _size(self, tensors: Iterable[int]) -> int:
        return sum([self.maps[tensor].size for tensor in tensors])

    def _states(self, cut: int) -> list[frozenset[int]]:
        """What may stay across a cut."""
        everything = self.crossing[cut]
        if not everything or not cut:
            return [NONE]
        newest = everything & {*self.layers[cut - 1].writes}
        states = dict.fromkeys((NONE, everything, newest, self._soonest(cut)))
        return [state for state in states if self._size(state) <= self.room]

    def _soonest(self, cut: int) -> frozenset[int]:
        """Of the maps that cross, those that are needed first, as many as fit beside what the next layer touches."""
        touched = {*self.layers[cut].touched}
        room = self.room - self._size(touched) - self.layers[cut].grain
        found = set()
        for tensor in sorted(self.crossing[cut], key=lambda tensor: (self._next(tensor, cut), tensor)):
            room -= 0 if tensor in touched else self.maps[tensor].size
            if room < 0:
                break
            found.add(tensor)
        return frozenset(found)

    def _next(self, tensor: int, cut: int) -> int:
        """The first layer from a cut on that reads a map."""
        return next(number for number in self.readers[tensor] if number >= cut)

    def runs(self) -> tuple[Run, ...]:
        """The best runs from the first layer to the last; none if some layer fits in no way."""
        count = len(self.layers)
        best: list[_Stops] = [{} for _ in self.states]
        best[0][NONE] = _Stop(0, NONE, 0, NONE, None)
        for longest in (1, LONGEST):  # layers alone first, so that few chains can still be better
            for first in range(count):
                few, many = self._promising(best[first], first)
                for chain in self._chains(first, longest) if few else ():
                    starts = many if chain.finished and longest > 1 else few
                    self._extend(best[first + len(chain.layers)], starts, chain)
        if not best[count]:
            return ()
        found = []
        cut, kept = count, NONE
        while cut:
            stop = best[cut][kept]
            found.append(self._run(stop, best[stop.cut][stop.kept].stored, cut, kept))
            cut, kept = stop.cut, stop.kept
        return tuple(reversed(found))

    def _promising(self, known: _Stops, cut: int) -> tuple[list[_Start], list[_Start]]:
        """From where to try chains in bands, and layers alone: the states that promise the least traffic.

        For bands also the usual ones.
        """
        starts = {kept: _Start(kept, stop, self._size(kept)) for kept, stop in known.items()}
        chosen = sorted(starts.values(), key=lambda start: start.stop.cost - start.size)
        usual = [starts[kept] for kept in self.states[cut] if kept in starts and starts[kept] not in chosen[:FEW]]
        return chosen[:FEW] + usual, chosen[:STATES]

    def _extend(self, found: _Stops, starts: Sequence[_Start], chain: _Chain) -> None:
        """Try a chain from states at its first cut to those at its last."""
        leaving = self._leaving(chain)
        everything = chain.weights + sum([size for _, _, size, _ in leaving])
        saved = {tensor: size for _, tensor, size, out in leaving if not out}
        gains: dict[frozenset[int], int] = {}
        for before, stop, held in starts:
            least = stop.cost + everything
            least += sum([bits for tensor, (_, bits) in chain.entering.items() if tensor not in before])
            for after in self._afters(chain, before):
                gain = gains.get(after)
                if gain is None:
                    gain = gains[after] = sum([saved[tensor] for tensor in after if tensor in saved])
                known = found.get(after)
                if known and known.cost <= least - gain:
                    continue
                fresh = after - before
                room = self.room - held - self._size(fresh.difference(overwriting(chain.layers, before, after)))
                if room < 0:
                    continue
                cost = least - gain - chain.weights + self._passed(chain, before, stop.stored, after)
                choice = self._choice(chain, before | after, room, known.cost - cost if known else inf)
                if choice:
                    stored = (stop.stored & after) | (fresh - chain.made.keys())
                    found[after] = _Stop(cost + choice.extra, stored, chain.first, before, choice)

    def _passed(self, chain: _Chain, before: frozenset[int], stored: frozenset[int], after: frozenset[int]) -> int:
        """Of what :meth:`_flow` says, the bits of maps that are brought in to be kept, or put out."""
        bits = 0
        for tensor in after - before:
            if tensor not in chain.made:
                bits += self.maps[tensor].size - chain.entering.get(tensor, (0, 0))[1]
        later = self.crossing[chain.first + len(chain.layers)]
        for tensor in before - after:
            if tensor in later and tensor not in stored and not self.maps[tensor].outside:
                bits += self.maps[tensor].size
        return bits

    def _afters(self, chain: _Chain, before: frozenset[int]) -> Iterable[frozenset[int]]:
        """What may be kept behind a chain: the usual; of a layer alone what was there, and any of what it touches."""
        cut = chain.first + len(chain.layers)
        if not chain.finished:
            return self.states[cut]
        crossing = self.crossing[cut]
        touched = [tensor for tensor in (*chain.entering, *chain.made) if tensor in crossing]
        if len(touched) > MOST:
            return self.states[cut]
        found = [(before & crossing).difference(touched)]
        for tensor in touched:
            found += [kept | {tensor} for kept in found]
        return found

    def alone(self, number: int) -> int:
        """The fewest bits that a layer moves if all its maps come from outside and go there."""
        chain = next(self._chains(number, 1))
        choice = self._choice(chain, NONE, self.room, inf)
        assert choice is not None  # noqa: S101 - else there were no runs
        layer = chain.layers[0]
        return choice.extra + sum(layer.fetched) + self._size(layer.writes)

    def least(self, layer: Layer) -> int:
        """The bits that a layer needs alone, however it runs."""
        needs = [
            self._size({*layer.touched}) + layer.grain,
            finished([layer]).smallest if layer.nest else layer.piece(NONE),
        ]
        if layer.row in self.local:
            chain = _Chain(0)
            chain.add(layer, self.maps, self.level)
            needs.append(self._need(chain, 0, NONE) + self._size(chain.stretched) + layer.grain)
        return min(needs)

    def _chains(self, first: int, longest: int) -> Iterator[_Chain]:
        """The chains worth trying from a layer on."""
        chain = _Chain(first)
        for number in range(first, min(first + longest, len(self.layers))):
            layer = self.layers[number]
            banded = chain.banded and layer.row in self.local and not chain.made.keys() & {*layer.stretched}
            finished = number == first or (chain.finished and self._finishes(layer, number))
            if not (banded or finished):
                return
            chain.add(layer, self.maps, self.level)
            chain.banded, chain.finished, chain.bands = banded, finished, {}
            if number > first:
                if not banded or self._lines(chain, 0).bits > self.room:
                    chain.banded = False
                    if not finished:
                        return
                ends = self.easy[first : first + MARGIN + 1], self.easy[max(first, number - MARGIN) : number + 1]
                if any(map(all, ends)):
                    return
            yield chain

    def _finishes(self, layer: Layer, number: int) -> bool:
        """Whether nobody but a layer reads the result of the one before, and value by value: a tile may be finished."""
        before = self.layers[number - 1]
        return (
            layer.pointwise
            and layer.reads == before.writes
            and len(self.readers[layer.reads[0]]) == 1
            and not self.maps[layer.reads[0]].outside
        )

    def _height(self, chain: _Chain, parts: int) -> int:
        """Of so many bands, or with 0 of the lowest there are, in rows of the finest map."""
        if not parts:
            return chain.lowest
        made = max([layer.writes[0] for layer in chain.layers], key=self.level.__getitem__)
        return chain.lowest * -(-self.maps[made].rows * self.level[made] // (chain.lowest * parts))

    def _new_rows(self, chain: _Chain, parts: int, kept: frozenset[int]) -> int:
        """Bits of the rows that one of so many bands makes, but for maps that are whole in the memory."""
        height, bits = self._height(chain, parts), 0
        for tensor in chain.made:
            if tensor not in kept:
                entry = self.maps[tensor]
                bits += entry.row * min(entry.rows, height // self.level[tensor])
        return bits

    def _lines(self, chain: _Chain, parts: int) -> _Buffers:
        """The buffers of a chain in so many bands, or with 0 in the lowest there are."""
        if parts not in chain.bands:
            found = lines(chain.layers, self.maps, self.level, self._height(chain, parts))
            each = {tensor: self.maps[tensor].row * buffer for tensor, (_, _, buffer) in found.items()}
            chain.bands[parts] = _Buffers(found, each, sum(each.values()))
        return chain.bands[parts]

    def _choice(self, chain: _Chain, kept: frozenset[int], room: int, limit: float) -> _Choice | None:
        """The best way to run a chain in the room beside what is kept: the least traffic below a limit, then memory.

        Or else the largest steps: on whole maps the weights pass, and are not read again from where the maps are.
        """
        if chain.weights >= limit:
            return None
        found = list(self._whole(chain, kept, room)) if chain.finished else []
        if chain.finished and not found:
            found += self._tiles(chain, kept, room)
        if chain.banded:
            low = self._lines(chain, 0)
            room -= self._size(chain.stretched - kept)
            need = self._need(chain, 0, kept)
            if need + chain.weights <= room:
                for parts in PARTS if self.coarse else ():
                    higher = self._need(chain, parts, kept)
                    if higher + chain.weights <= room:
                        need, low = higher, self._lines(chain, parts)
                        break
                taken = self.room - room + need + chain.weights
                found.append(_Choice(BAND, chain.weights, taken, lines=low.lines))
            elif need <= room:
                found += self._streaming(chain, kept, room, min([limit, *[choice.extra for choice in found]]))
        found = [choice for choice in found if choice.extra < limit]
        if self.coarse:
            return min(found, key=lambda choice: (choice.extra, choice.kind != WHOLE, -choice.need), default=None)
        return min(found, key=lambda choice: (choice.extra, choice.need), default=None)

    def _whole(self, chain: _Chain, kept: frozenset[int], room: int) -> Iterator[_Choice]:
        """One layer on whole maps with its weights in passing, each value finished by the layers behind it."""
        layer, *others = chain.layers
        touched = {*layer.reads, *chain.layers[-1].writes}
        need = self._size(touched - kept) + layer.grain + sum([other.weights for other in others])
        if need <= room:
            yield _Choice(WHOLE, chain.weights, self.room - room + need)

    def _tiles(self, chain: _Chain, kept: frozenset[int], room: int) -> Iterator[_Choice]:
        """One layer in tiles, each finished by the layers behind it."""
        taken = self.room - room
        layer, *others = chain.layers
        if layer.nest is None:
            piece = layer.piece(kept)
            if piece <= room and not others:
                yield _Choice(TILES, layer.weights, taken + piece)
            return
        nest = finished(chain.layers, kept)
        key = nest, room
        if key not in self.tilings:
            self.tilings[key] = nest.search(room)
        tiling = self.tilings[key]
        if tiling:
            once = dict(zip(layer.reads, layer.fetched, strict=True)) | {
                tensor: self.maps[tensor].size for tensor in chain.layers[-1].writes
            }
            extra = sum([move.bits for move in tiled(chain.layers, tiling, kept)])
            extra -= sum([bits for tensor, bits in once.items() if tensor not in kept])
            yield _Choice(TILES, extra, taken + tiling.need, tiling=tiling)

    def _streaming(self, chain: _Chain, kept: frozenset[int], room: int, limit: float) -> Iterator[_Choice]:
        """A chain in bands so high that few of the weights, those that do not fit, are read in each band."""
        grain = max([layer.grain for layer in chain.layers])
        for parts in PARTS:
            over = max(0, chain.weights + (grain if parts == 1 else self._need(chain, 0, kept)) - room)
            if chain.weights + (parts - 1) * over >= limit:
                return  # not even with the buffers of the lowest bands
            if parts not in chain.bands and self._new_rows(chain, parts, kept) > room - grain:
                continue  # the buffers hold these and more
            left = room - grain - self._need(chain, parts, kept)
            if left < 0:
                continue
            band = self._lines(chain, parts)
            streamed, extra = set(), chain.weights
            times = {layer.row: self._times(layer, band.lines) for layer in chain.layers}
            for layer in sorted(chain.layers, key=lambda layer: (-times[layer.row], -layer.weights)):
                if layer.weights <= left:
                    left -= layer.weights
                elif layer.weights:
                    streamed.add(layer.row)
                    extra += (times[layer.row] - 1) * layer.weights
            if extra < limit:
                limit = extra
                most = max([layer.grain for layer in chain.layers if layer.row in streamed], default=0)
                taken = self.room - left - grain + most
                yield _Choice(BAND, extra, taken, lines=band.lines, streamed=frozenset(streamed))

    def _need(self, chain: _Chain, parts: int, kept: frozenset[int]) -> int:
        """Bits of the buffers of so many bands, see :meth:`_lines`, but for maps that are whole in the memory."""
        band = self._lines(chain, parts)
        return band.bits - sum([band.each[tensor] for tensor in kept if tensor in band.each])

    def _times(self, layer: Layer, band: dict[int, Lines]) -> int:
        """How often the weights of a layer are read if no band finds them there."""
        entry = self.maps[layer.writes[0]]
        return entry.images * band[layer.writes[0]].bands(entry.rows)

    def _leaving(self, chain: _Chain) -> list[tuple[int, int, int, bool]]:
        """Of what a chain makes, what is needed behind it: row of the layer, map, size, and whether it must go out."""
        later = self.crossing[chain.first + len(chain.layers)]
        found = []
        for tensor, row in chain.made.items():
            out = self.maps[tensor].outside or tensor not in self.readers
            if out or tensor in later:
                found.append((row, tensor, self.maps[tensor].size, out))
        return found

    def _flow(
        self,
        chain: _Chain,
        leaving: Iterable[tuple[int, int, int, bool]],
        before: frozenset[int],
        stored: frozenset[int],
        after: frozenset[int],
    ) -> list[tuple[int, int | None, int, bool]]:
        """What crosses of the maps around a chain, each once, as the fields of a :class:`Move`."""
        first, later = chain.layers[0].row, self.crossing[chain.first + len(chain.layers)]
        found: list[tuple[int, int | None, int, bool]] = [
            (row, tensor, self.maps[tensor].size if tensor in after else bits, False)
            for tensor, (row, bits) in chain.entering.items()
            if tensor not in before
        ]
        found += [
            (first, tensor, self.maps[tensor].size, False)
            for tensor in after - before
            if tensor not in chain.entering and tensor not in chain.made
        ]
        found += [
            (first, tensor, self.maps[tensor].size, True)
            for tensor in before - after
            if tensor in later and tensor not in stored and not self.maps[tensor].outside
        ]
        return found + [(row, tensor, size, True) for row, tensor, size, out in leaving if out or tensor not in after]

    def _run(self, stop: _Stop, stored: frozenset[int], cut: int, after: frozenset[int]) -> Run:
        choice = stop.choice
        assert choice is not None  # noqa: S101 - only the first cut has none
        chain = _Chain(stop.cut)
        for layer in self.layers[stop.cut : cut]:
            chain.add(layer, self.maps, self.level)
        moves = [Move(*fields) for fields in self._flow(chain, self._leaving(chain), stop.kept, stored, after)]
        if choice.tiling:
            kept = stop.kept | after
            touched = {tensor for layer in chain.layers for tensor in layer.touched} - kept
            moves = [move for move in moves if move.tensor not in touched]
            moves += tiled(chain.layers, choice.tiling, kept)
        else:
            times = {layer.row: self._times(layer, choice.lines) for layer in chain.layers} if choice.lines else {}
            moves += [
                Move(layer.row, None, layer.weights * (times[layer.row] if layer.row in choice.streamed else 1), False)
                for layer in chain.layers
                if layer.weights
            ]
        return Run(
            choice.kind, tuple(chain.layers), tuple(moves), choice.need, stop.kept, after,
            choice.tiling, choice.lines, choice.streamed,
        )  # fmt: skip
