"""A policy that transfers for the least time there is, by a mixed-integer programme that a solver proves optimal.

Each map takes a path through the memories: for every span between two uses the one that holds it, and for every use in
between the step from one to the next, which is what costs time. Paths meet in the sizes of the memories, layer by
layer. All rules are those of :mod:`costmodel.place.lives`, so :func:`liveness` is one of the placements searched.

With M memories nearest first, r and w seconds per byte to read and to write, F = M - 1, b bytes of a map, of which a
layer may read a part only:

    x[span, m] = 1   if memory m holds the map over the span;  sum over m of x = 1
    step[p, q] = 1   if p held it before a use and q holds it behind;  sums over q and p are x before and behind
    e >= x[span, F]  written to F when it is made;  1 for an output
    s[a, b, m] = 1   if result b takes the bytes of operand a in m;  at most the end of a and the beginning of b
    sum of b * (held at the layer) - sum of b * s <= size[m]   for each memory and layer

minimise the sum over uses of the time of the step: what the layer reads, and b * (r + w) where a map is moved.
"""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import fsum, gcd, inf
from typing import Any, Final

from costmodel.errors import CostModelError
from costmodel.hardware import Hardware, Memory
from costmodel.place.limits import check_farthest
from costmodel.place.liveness import Choice, choose
from costmodel.place.lives import Life, Rates, assemble, rivals
from costmodel.place.placement import USUAL, Copy, Options, Placement, flow, traffic
from costmodel.profile import MAPS, Profile

OPTIONS: Final[Mapping[str, Any]] = {
    "output_flag": False,
    "mip_rel_gap": 0.0,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
}
"""Nothing is proven before nothing is left; a decision is whole, so that no byte is lost."""

ROUNDING: Final = 1e-9
"""A bound counts as reached up to so much of it."""

Expression = dict[int, float]
"""Variable -> coefficient."""


def optimal(profile: Profile, hardware: Hardware, options: Options = USUAL) -> Placement:
    """The least transfer time, or when time is up the least that was found and a bound on the least there is."""
    start = choose(profile, hardware, options)
    found, bound = _Program(profile, hardware, start.known, options).solve(start, options.seconds)
    tried = [assemble(profile, hardware, *choice) for choice in (found, start)]
    seconds, copies = min([(_seconds(profile, hardware, copies), copies) for copies in tried], key=lambda pair: pair[0])
    check_farthest(profile, hardware, copies)
    return Placement("optimal", copies, bound, proven=seconds <= bound * (1 + ROUNDING))


def _seconds(profile: Profile, hardware: Hardware, copies: tuple[Copy, ...]) -> float:
    """What all transfers take."""
    moved = traffic(profile, flow(profile, Placement("", copies)), len(hardware.memories))
    return fsum(map(Memory.seconds, hardware.memories, map(sum, moved.read), map(sum, moved.written)))


class _Program:
    """The variables with their costs, and the rows; a cost is in seconds times :attr:`scale`."""

    def __init__(self, profile: Profile, hardware: Hardware, known: Sequence[Life], options: Options) -> None:
        self.profile, self.hardware = profile, hardware
        self.farthest = len(hardware.memories) - 1
        self.rates = [Rates.of(memory) for memory in hardware.memories]
        self.scale = 1 / (max(map(max, self.rates)) or 1.0)
        self.read: Counter[tuple[int, int]] = Counter()
        """(layer, tensor) -> bytes that the layer reads of it."""
        for layer, tensor, mode, size, _ in profile.accesses.tuples():
            self.read[layer, tensor] += size if mode == "read" else 0
        self.costs: list[float] = []
        self.most: list[float] = []
        self.whole: list[bool] = []
        self.rows: list[tuple[float, float, Expression]] = []
        self.one = self._variable(0.0)
        """Always 1: what is fixed is a multiple of it."""
        self._row({self.one: 1.0}, 1.0, 1.0)
        self.near: dict[tuple[int, int, int], int] = {}
        """(map, span, memory) -> its variable x."""
        self.pins: dict[tuple[int, int], int] = {}
        """(weight, memory) -> whether it stays there from image to image."""
        self.begins: dict[tuple[int, int, int], Expression] = {}
        """(layer, map, memory) -> whether the layer writes a copy that begins there."""
        self.ends: dict[tuple[int, int, int], Expression] = {}
        """(layer, map, memory) -> whether a copy ends there that was there before."""
        self.held = [[Expression() for _ in range(len(profile.layers))] for _ in hardware.memories]
        """Of each memory and layer the bytes that are held."""
        for life in known:
            self._map(life)
        self._weights(steady_state=options.steady_state)
        self._overwriting()
        self._sizes()

    def _variable(self, seconds: float, *, whole: bool = False, most: float = 1.0) -> int:
        """A number from 0 to 1, or to another."""
        self.costs.append(seconds * self.scale)
        self.whole.append(whole)
        self.most.append(most)
        return len(self.costs) - 1

    def _row(self, terms: Expression, low: float, high: float) -> None:
        self.rows.append((low, high, terms))

    def _hold(self, memory: int, layers: Iterable[int], size: int, terms: Expression) -> None:
        if self.hardware.memories[memory].size == inf:
            return
        for layer in layers:
            held = self.held[memory][layer]
            for variable, factor in terms.items():
                held[variable] = held.get(variable, 0.0) + size * factor

    def _map(self, life: Life) -> None:
        """The path of a map through the memories."""
        size, uses, spans, far = life.bytes, life.uses, life.spans, self.farthest
        fits = [m for m, memory in enumerate(self.hardware.memories) if size <= memory.size or m == far]
        whole = self._written(life)
        choices: list[dict[int, int]] = []
        for place, (first, last) in enumerate(spans):
            chosen = {m: self._variable(0.0, whole=True) for m in fits}
            self._row(dict.fromkeys(chosen.values(), 1.0), 1.0, 1.0)
            self._row({whole: 1.0, chosen[far]: -1.0}, 0.0, inf)
            self.near |= {(life.tensor, place, m): variable for m, variable in chosen.items()}
            for m in fits[:-1]:
                self._hold(m, range(first + 1, last), size, {chosen[m]: 1.0})
            choices.append(chosen)
        if not spans:
            if not life.made:
                self.costs[self.one] += self.read[uses[0], life.tensor] * self.rates[far].read * self.scale
            return
        self._first(life, choices[0], whole)
        for use, before, behind in zip(uses[1:], choices, choices[1:], strict=False):
            self._use(life, use, before, behind)
        if len(uses) > 1:
            for m, variable in choices[-1].items():
                self.costs[variable] += self.read[uses[-1], life.tensor] * self.rates[m].read * self.scale
                self._end(life, uses[-1], m, {variable: 1.0})
                if m < far:
                    self._hold(m, [uses[-1]], size, {variable: 1.0})

    def _written(self, life: Life) -> int:
        """The variable e: whether the farthest memory has a copy, from the start of the map to its end."""
        size, far, rates = life.bytes, self.farthest, self.rates[self.farthest]
        always = life.kind != "map"
        copied = self.one if always else self._variable(0.0)
        if life.made:
            self.costs[copied] += size * rates.write * self.scale
            self.begins[life.uses[0], life.tensor, far] = {copied: 1.0}
        last = life.dies if life.kind == "output" else life.uses[-1]
        self._hold(far, range(life.uses[0] if life.made else 0, last + 1), size, {copied: 1.0})
        if life.kind != "output":
            self.ends[last, life.tensor, far] = {copied: 1.0}
        return copied

    def _first(self, life: Life, behind: Mapping[int, int], copied: int) -> None:
        """The first use: the layer writes the map near, from where it is copied if it must; or it is brought near."""
        size, first, far = life.bytes, life.uses[0], self.rates[self.farthest]
        for m, variable in behind.items():
            if not life.made:
                moved = 0.0 if m == self.farthest else far.read + self.rates[m].write
                seconds = size * moved + self.read[first, life.tensor] * self.rates[m].read
                self.costs[variable] += seconds * self.scale
            elif m < self.farthest:
                self.costs[variable] += size * self.rates[m].write * self.scale
                both = self._variable(size * self.rates[m].read)
                self._row({both: 1.0, variable: -1.0, copied: -1.0}, -1.0, inf)
                self.begins[first, life.tensor, m] = {variable: 1.0}
            if m < self.farthest:
                self._hold(m, [first], size, {variable: 1.0})

    def _use(self, life: Life, use: int, before: Mapping[int, int], behind: Mapping[int, int]) -> None:
        """A use between two spans: the steps from each memory to each."""
        steps = {}
        for p in before:
            for q in behind:
                moved = q < p or p < q < self.farthest
                seconds = life.bytes * moved * (self.rates[p].read + self.rates[q].write)
                seconds += self.read[use, life.tensor] * self.rates[min(p, q)].read
                steps[p, q] = step = self._variable(seconds)
                if min(p, q) < self.farthest:
                    self._hold(min(p, q), [use], life.bytes, {step: 1.0})
        for p, variable in before.items():
            self._row({variable: -1.0} | {step: 1.0 for (q, _), step in steps.items() if q == p}, 0.0, 0.0)
            self._end(life, use, p, {step: 1.0 for (q, behind), step in steps.items() if q == p < behind})
        for p, variable in behind.items():
            self._row({variable: -1.0} | {step: 1.0 for (_, q), step in steps.items() if q == p}, 0.0, 0.0)

    def _end(self, life: Life, use: int, memory: int, terms: Expression) -> None:
        """A copy that ends at a use; that in the farthest memory ends with the map."""
        if memory < self.farthest and terms:
            self.ends[use, life.tensor, memory] = terms

    def _weights(self, *, steady_state: bool) -> None:
        """Each is read from the farthest memory, or stays in a nearer one from image to image."""
        kinds, sizes = self.profile.tensors["kind"], self.profile.tensors["bytes"]
        reads: Counter[int] = Counter()
        """Bytes that all layers together read of a tensor."""
        for (_, tensor), size in self.read.items():
            reads[tensor] += size
        near = self.hardware.memories[:-1] if steady_state else ()
        always = range(len(self.profile.layers))
        weights = [tensor for tensor, kind in enumerate(kinds) if kind not in MAPS]
        streamed = sum(reads[tensor] for tensor in weights)
        self.costs[self.one] += streamed * self.rates[-1].read * self.scale
        self._hold(self.farthest, always, sum(sizes[tensor] for tensor in weights), {self.one: 1.0})
        unit = gcd(*(sizes[tensor] for tensor in weights)) or 1
        for m, memory in enumerate(near):
            kept = {
                self._pin(tensor, m, reads[tensor]): float(sizes[tensor] // unit)
                for tensor in weights
                if sizes[tensor] <= memory.size and reads[tensor]
            }
            together = self._variable(0.0, most=max(1.0, sum(kept.values())))
            self._row(kept | {together: -1.0}, 0.0, 0.0)  # so that each layer's row need not name every weight
            self._hold(m, always, unit, {together: 1.0})
        for tensor in weights if len(near) > 1 else ():
            kept = {self.pins[tensor, m]: 1.0 for m in range(len(near)) if (tensor, m) in self.pins}
            self._row(kept, 0.0, 1.0)

    def _pin(self, tensor: int, memory: int, reads: int) -> int:
        """Whether a weight stays in a memory."""
        saved = (self.rates[-1].read - self.rates[memory].read) * reads
        self.pins[tensor, memory] = self._variable(-saved, whole=True)
        return self.pins[tensor, memory]

    def _overwriting(self) -> None:
        """A result takes the bytes of at most one operand, which ends there; so do their sizes, which are the same."""
        sizes = self.profile.tensors["bytes"]
        takes: dict[tuple[int, int, int], Expression] = {}
        taken: dict[tuple[int, int, int], Expression] = {}
        for layer, operand, result in rivals(self.profile):
            for m, memory in enumerate(self.hardware.memories):
                begin, end = (layer, result, m), (layer, operand, m)
                if memory.size < inf and begin in self.begins and end in self.ends:
                    shared = self._variable(0.0)
                    takes.setdefault(begin, {})[shared] = 1.0
                    taken.setdefault(end, {})[shared] = 1.0
                    self._hold(m, [layer], -sizes[result], {shared: 1.0})
        for sums, limits in ((takes, self.begins), (taken, self.ends)):
            for place, terms in sums.items():
                self._row(terms | {variable: -factor for variable, factor in limits[place].items()}, -inf, 0.0)

    def _sizes(self) -> None:
        """What is held fits; a row that says the same as another, or nothing, is left out."""
        rows = set()
        for memory, layers in zip(self.hardware.memories, self.held, strict=True):
            for held in layers:
                most = sum(factor * self.most[variable] for variable, factor in held.items() if factor > 0)
                if memory.size < most:
                    rows.add((memory.size, frozenset(held.items())))
        for size, items in rows:
            common = gcd(*(int(factor) for _, factor in items)) or 1
            self._row({variable: factor / common for variable, factor in sorted(items)}, -inf, size // common)

    def solve(self, start: Choice, seconds: float) -> tuple[Choice, float]:
        """The best decisions that were found, or else a known answer; and the bound in seconds.

        The search does not begin with the known answer: HiGHS 1.16 then hands it back as the best, whatever it found.
        """
        highs = _solver()
        with _silent():
            solver = highs.Highs()
        for option, value in OPTIONS.items():
            solver.setOptionValue(option, value)
        solver.setOptionValue("time_limit", float(seconds))
        count = len(self.costs)
        solver.addVars(count, [0.0] * count, self.most)
        solver.changeColsCost(count, range(count), self.costs)
        whole = [variable for variable in range(count) if self.whole[variable]]
        solver.changeColsIntegrality(len(whole), whole, [highs.HighsVarType.kInteger] * len(whole))
        for low, high, terms in self.rows:
            solver.addRow(
                max(low, -highs.kHighsInf), min(high, highs.kHighsInf), len(terms), list(terms), list(terms.values())
            )
        solver.run()
        info, values = solver.getInfo(), solver.getSolution().col_value
        least = self.costs[self.one] + sum(min(0.0, cost) for cost in self.costs)  # if time was up before any bound
        bound = max(info.mip_dual_bound, least) / self.scale
        if info.primal_solution_status != highs.SolutionStatus.kSolutionStatusFeasible:
            return start, bound
        near = {tensor: list(chosen) for tensor, chosen in start.near.items()}
        for (tensor, span, m), variable in self.near.items():
            if values[variable] > 0.5:
                near[tensor][span] = m
        pinned = {tensor: m for (tensor, m), variable in self.pins.items() if values[variable] > 0.5}
        return Choice(start.known, near, pinned), bound


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what a library writes past Python: HiGHS 1.16 prints its name, which belongs in no output of ours."""
    sys.stdout.flush()
    out, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(out, 1)
        os.close(out)
        os.close(nowhere)


def _solver() -> Any:
    """The solver's library, which takes longer to import than most networks to place."""
    try:
        import highspy
    except ImportError as error:
        raise CostModelError(
            f"placement 'optimal' needs a solver, the extra 'solve': pip install 'costmodel[solve]' ({error})"
        ) from None
    return highspy
