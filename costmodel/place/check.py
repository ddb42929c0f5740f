"""Profile x Hardware x Placement -> a proof that a machine can run it so, or what is wrong with it.

The run is walked layer by layer with what each memory holds, by nothing but the copies; no other module of a policy or
of the simulation is asked. Before each layer the copies that nobody needs go, then tensors move, outward before
inward, one after the other; then the layer finds what it reads and writes what it makes. A memory never holds more
bytes than its size, also not in between, and addresses lie within it and apart.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from costmodel.hardware import Hardware
from costmodel.place.offsets import Layout
from costmodel.place.placement import START, Copy, Placement, Traffic
from costmodel.place.verdict import Problem, Verdict
from costmodel.place.walk import walk as walk_runs
from costmodel.profile import MAPS, Profile
from costmodel.units import exact

NO_LAYOUTS: Final[Mapping[int, Layout]] = MappingProxyType({})


def check(
    profile: Profile,
    hardware: Hardware,
    placement: Placement,
    claimed: Traffic | None = None,
    layouts: Mapping[int, Layout] = NO_LAYOUTS,
) -> Verdict:
    """Walk the run; ``claimed`` is the traffic that a simulation charged, and must be what crosses the borders.

    ``layouts`` are the addresses in memories, by number.
    """
    if placement.plan:
        verdict = walk_runs(profile, hardware, placement.plan, claimed)
    else:
        verdict = _walked(profile, hardware, placement, claimed)
    found = [problem for number in layouts for problem in _misplaced(profile, hardware, number, layouts[number])]
    rows = {name: row for row, name in enumerate(profile.layers["layer"])}
    problems = sorted([*verdict.problems, *found], key=lambda problem: rows[problem.layer])
    return verdict._replace(problems=tuple(problems))


def _walked(profile: Profile, hardware: Hardware, placement: Placement, claimed: Traffic | None) -> Verdict:
    """What a walk layer by layer finds."""
    walk = _Walk(profile, hardware, placement.copies)
    for layer in range(len(profile.layers)):
        walk.before(layer)
        walk.run(layer)
    walk.after()
    if claimed:
        walk.compare(claimed)
    walk.problems.sort(key=lambda problem: problem[0])
    return Verdict(tuple([problem for _, problem in walk.problems]), tuple(walk.peaks), walk.traffic)


def _misplaced(profile: Profile, hardware: Hardware, number: int, planned: Layout) -> Iterator[Problem]:
    """Addresses lie within the memory if what is live does, and no two copies share a byte and a layer."""
    names, memory, sizes = profile.layers["layer"], hardware.memories[number], profile.tensors["bytes"]
    if planned.floor <= memory.size < planned.size:
        text = f"it uses addresses up to {exact(planned.size, 'B')} in {memory.name!r}, which has "
        text += f"{exact(memory.size, 'B')}: {planned.fragmentation:.1%} of them lie between what is live"
        yield Problem(names[planned.layer], memory.name, planned.size, text)
    held: list[tuple[int, int, int, int]] = []
    """First byte, end, last layer and tensor of each copy, by address."""
    for copy, offset in sorted(zip(planned.copies, planned.offsets, strict=True), key=lambda pair: pair[0].first):
        low, high = offset, offset + sizes[copy.tensor]
        taken = low, high, copy.first, copy.over
        held = [other for other in held if other[2] >= copy.first and other != taken]
        place = bisect_left(held, (low,))
        for start, end, _, tensor in held[max(place - 1, 0) : place + 1]:
            if start < high and low < end:
                both = f"{profile.tensors['tensor'][copy.tensor]!r} and {profile.tensors['tensor'][tensor]!r}"
                yield Problem(names[max(copy.first, 0)], "", 0, f"{both} share addresses in {memory.name!r}")
        held.insert(place, (low, high, copy.last, copy.tensor))


class _Walk:
    """What each memory holds, and what has gone wrong so far."""

    def __init__(self, profile: Profile, hardware: Hardware, copies: Iterable[Copy]) -> None:
        self.profile, self.memories = profile, hardware.memories
        self.names, self.kinds = profile.tensors["tensor"], profile.tensors["kind"]
        self.sizes, self.born = profile.tensors["bytes"], profile.tensors["born"]
        count = len(profile.layers)
        self.problems: list[tuple[int, Problem]] = []
        self.held: list[dict[int, Copy]] = [{} for _ in self.memories]
        self.ends: list[list[Copy]] = [[] for _ in range(count + 1)]
        """Copies that are held, or were, by the layer before which they go."""
        self.bytes, self.peaks = [0] * len(self.memories), [0] * len(self.memories)
        self.traffic = Traffic(*([[0] * count for _ in self.memories] for _ in range(2)))
        self.touches: list[list[tuple[int, str, int, bool]]] = [[] for _ in range(count)]
        for layer, tensor, mode, size, in_place in profile.accesses.tuples():
            self.touches[layer].append((tensor, mode, size, in_place))
        self.moved: list[list[Copy]] = [[] for _ in range(count)]
        self.made: list[list[Copy]] = [[] for _ in range(count)]
        for copy in copies:
            known = 0 <= copy.memory < len(self.memories) and START <= copy.first <= copy.last < count
            if not known:
                self._fail(0, f"a copy of {self.names[copy.tensor]!r} is in no memory or at no layer: {tuple(copy)}")
            elif copy.first == START:
                self._start(copy)
            elif self._is_made(copy.tensor) and self.born[copy.tensor] == copy.first:
                self.made[copy.first].append(copy)
            else:
                self.moved[copy.first].append(copy)

    def before(self, layer: int) -> None:
        """What nobody needs goes, what is needed elsewhere moves: outward from the farthest on, then inward."""
        gone = {copy for copy in self.ends[layer] if self.held[copy.memory].get(copy.tensor) == copy}
        moves = [(self._nearest(copy.tensor), copy) for copy in self.moved[layer]]
        moves.sort(key=lambda move: (move[0] is None or move[0] > move[1].memory, -move[1].memory))
        for place in range(len(moves) + 1):
            awaited = {(source, copy.tensor) for source, copy in moves[place:]}
            for copy in [copy for copy in gone if (copy.memory, copy.tensor) not in awaited]:
                gone.remove(copy)
                self._drop(copy)
            if place < len(moves):
                self._move(layer, *moves[place])

    def run(self, layer: int) -> None:
        """The layer finds what it reads, and its results have a place, their own or that of an operand."""
        self._serve(layer, "read", self.traffic.read, "which is in no memory")
        for copy in self.made[layer]:
            shared = copy.over is not None and self._overwrites(layer, copy)
            self._add(layer, copy, shared=shared)
        self._serve(layer, "write", self.traffic.written, "which has no place in any memory")
        for copy in self.made[layer]:
            nearest = self._nearest(copy.tensor)
            if nearest is not None and nearest != copy.memory:
                self._crosses(layer, copy.tensor, nearest, copy.memory)
        for memory in range(len(self.memories)):
            self._fits(layer, memory)

    def after(self) -> None:
        """The results of the network are somewhere."""
        for tensor, kind in enumerate(self.kinds):
            if kind == "output" and self._nearest(tensor) is None:
                self._fail(len(self.touches) - 1, f"the output {self.names[tensor]!r} is in no memory at the end")

    def compare(self, claimed: Traffic) -> None:
        """Every byte is charged where it crossed a border."""
        for way, walked, charged in zip(("reads from", "writes to"), self.traffic, claimed, strict=True):
            for memory, *amounts in zip(self.memories, walked, charged, strict=True):
                for layer, (moved, paid) in enumerate(zip(*amounts, strict=True)):
                    if moved != paid:
                        self._fail(layer, f"{paid} B are charged for {way} {memory.name!r}, where {moved} B go")

    def _start(self, copy: Copy) -> None:
        """A copy that is there before the run: of what comes from outside, and of a weight only if it stays."""
        if self._is_made(copy.tensor):
            self._fail(0, f"{self._called(copy)} is there before the layer that makes it")
        weight = self.kinds[copy.tensor] not in MAPS
        if weight and copy.memory < len(self.memories) - 1 and copy.last < len(self.touches) - 1:
            self._fail(copy.last, f"{self._called(copy)} is there before the run, but not for the next one")
        self._add(0, copy)

    def _overwrites(self, layer: int, copy: Copy) -> bool:
        """A result may take the bytes of an operand that is not needed there any more, if its layer allows it."""
        allowed = [tensor for tensor, _, _, in_place in self.touches[layer] if in_place]
        for operand in allowed:
            old = self.held[copy.memory].get(operand)
            if old and operand == copy.over and old.last == layer and self.sizes[operand] == self.sizes[copy.tensor]:
                del self.held[copy.memory][operand]  # its bytes stay, and are those of the result now
                return True
        self._fail(layer, f"{self._called(copy)} cannot take the place of another tensor")
        return False

    def _serve(self, layer: int, mode: str, traffic: list[list[int]], without: str) -> None:
        """The nearest memory delivers or takes what a layer touches."""
        for tensor, way, size, _ in self.touches[layer]:
            if way == mode:
                memory = self._nearest(tensor)
                if memory is None:
                    self._fail(layer, f"it {mode}s {self.names[tensor]!r}, {without}")
                else:
                    traffic[memory][layer] += size

    def _move(self, layer: int, source: int | None, copy: Copy) -> None:
        """A tensor comes from where it is."""
        if source is None:
            self._fail(layer, f"{self._called(copy)} should come from another memory, and is in none")
        else:
            self._crosses(layer, copy.tensor, source, copy.memory)
        if copy.over is not None:
            self._fail(layer, f"{self._called(copy)} is moved there and cannot take the place of another tensor")
        self._add(layer, copy)
        self._fits(layer, copy.memory)

    def _is_made(self, tensor: int) -> bool:
        return self.kinds[tensor] in MAPS and self.kinds[tensor] != "input"

    def _nearest(self, tensor: int) -> int | None:
        return next((memory for memory, held in enumerate(self.held) if tensor in held), None)

    def _crosses(self, layer: int, tensor: int, source: int, target: int) -> None:
        self.traffic.read[source][layer] += self.sizes[tensor]
        self.traffic.written[target][layer] += self.sizes[tensor]

    def _add(self, layer: int, copy: Copy, *, shared: bool = False) -> None:
        if copy.tensor in self.held[copy.memory]:
            self._fail(layer, f"{self._called(copy)} is there twice")
            return
        self.held[copy.memory][copy.tensor] = copy
        self.ends[copy.last + 1].append(copy)
        self.bytes[copy.memory] += 0 if shared else self.sizes[copy.tensor]

    def _drop(self, copy: Copy) -> None:
        del self.held[copy.memory][copy.tensor]
        self.bytes[copy.memory] -= self.sizes[copy.tensor]

    def _fits(self, layer: int, memory: int) -> None:
        """A memory holds no more than its size."""
        needed, place = self.bytes[memory], self.memories[memory]
        self.peaks[memory] = max(self.peaks[memory], needed)
        if needed > place.size:
            text = f"{exact(needed, 'B')} must be in {place.name!r}, which has {exact(place.size, 'B')}"
            self._fail(layer, text, place.name, needed)

    def _called(self, copy: Copy) -> str:
        return f"{self.names[copy.tensor]!r} in {self.memories[copy.memory].name!r}"

    def _fail(self, layer: int, text: str, memory: str = "", needed: int = 0) -> None:
        problem = Problem(self.profile.layers["layer"][layer], memory, needed, text)
        if problem not in [known for at, known in self.problems[-1:] if at == layer]:
            self.problems.append((layer, problem))
