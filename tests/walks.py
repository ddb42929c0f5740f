"""What a scratchpad of the stated size really moves: tiles and bands walked element by element, row by row.

Nothing here knows how the model counts. A walk is told the sizes of tiles, the order of loops and the rows per band,
keeps what is in the memory in sets of places, fetches what is not there, and fails where a value is missing or the
memory is too small.
"""

from collections import Counter
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np

WIDTH = 32
"""Bits of every value."""


def bytes_of(tensor):
    """Its bytes."""
    return tensor.elements * WIDTH // 8


def ranges(places, tile):
    return [places[start : start + tile] for start in range(0, len(places), tile)]


def under(position, window, spatial):
    """Tap and place of each value that the window at a position lies on; none of them is padding."""
    axes = []
    for place, size, kernel, stride, dilation, (before, _) in zip(position, spatial, *window, strict=True):
        values = [(tap, place * stride + tap * dilation - before) for tap in range(kernel)]
        axes.append([(tap, value) for tap, value in values if 0 <= value < size])
    return [tuple(zip(*pairs, strict=True)) for pairs in product(*axes)]


def reaching(position, window, spatial):
    """Tap and place of each value that a transposed convolution spreads over a position."""
    axes = []
    for at, size, kernel, stride, dilation, (before, _) in zip(position, spatial, *window, strict=True):
        each = product(range(kernel), range(size))
        axes.append([(tap, value) for tap, value in each if value * stride + tap * dilation - before == at])
    return [tuple(zip(*pairs, strict=True)) for pairs in product(*axes)]


def taken(place, op, spatial, axis=0):
    """Tap and place of each value that an operator with a window takes along an axis for a result."""
    window = [part[axis : axis + 1] for part in op.window or op.spreads]
    found = (under if op.window else reaching)((place,), window, spatial[axis : axis + 1])
    return [(tap, value) for (tap,), (value,) in found]


def all_taken(op, positions, spatial):
    """The same of each axis, for all results."""
    return [[taken(place, op, spatial, axis) for place in range(count)] for axis, count in enumerate(positions)]


def sliding(kernel):
    """The operator of a kernel that has a window."""
    return next((node.op for node in kernel.nodes if node.op.window or node.op.spreads), None)


def from_first(values):
    """The places that each result takes, from the first of all on."""
    first = min([place for places in values for place in places], default=0)
    return [sorted([place - first for place in places]) for places in values]


def seen(axis):
    """The places that each result of an axis takes."""
    found = []
    for result in range(axis.out):
        places = [result * axis.stride + tap * axis.dilation - axis.before for tap in range(axis.kernel)]
        inside = [place for place in places if place in range(0, axis.size * axis.apart, axis.apart)]
        found.append([place // axis.apart for place in inside])
    return from_first(found)


class Box(NamedTuple):
    """A convolution, or as much of it as one step does."""

    groups: range
    places: list[range]
    """Images, then positions."""
    filters: range
    channels: range
    begun: bool = False
    """Whether its results are partial sums already."""
    ends: bool = True
    """Whether they are finished then."""


class Convolution:
    """A convolution in tiles: x of N x C x spatial, w of M x C/groups x kernel, and what each result takes by axis."""

    def __init__(self, x, w, along, groups):
        self.x, self.w, self.groups, self.along = x, w, groups, along
        self.filters, self.channels = len(w) // groups, w.shape[1]
        positions = [len(places) for places in along]
        self.extents = (len(x), *positions)
        self.taps = {
            position: [tuple(zip(*pairs, strict=True)) for pairs in product(*map(list.__getitem__, along, position))]
            for position in product(*map(range, positions))
        }
        self.y = np.zeros((len(x), len(w), *positions), int)
        self.whole = Box(range(groups), [*map(range, self.extents)], range(self.filters), range(self.channels))

    def axes(self, box):
        """Of the images and of each axis, the places of the operand that each result of the box takes."""
        images, *positions = box.places
        found = [from_first([[image] for image in images])]
        for along, places in zip(self.along, positions, strict=True):
            found.append(from_first([[value for _, value in along[place]] for place in places]))
        return found

    def walk(self, sizes, filters, channels, order, *, compute=True, box=None):
        """Elements moved, by what they are, and at each step the elements held of operand, kernel and results.

        What each step does is in ``steps``, and how many filters the tiles of results have together in ``finished``.
        """
        box = box or self.whole
        moved = dict.fromkeys(("input", "kernel", "back", "written"), 0)
        tiles = {
            "pixels": list(product(*map(ranges, box.places, sizes))),
            "filters": ranges(box.filters, filters),
            "channels": ranges(box.channels, channels),
        }
        held, seen, visited = [], set(), set()
        self.steps, self.finished = [], 0
        operand = kernel = results = ()
        there = [None] * 3
        for step in product(box.groups, *(range(len(tiles[name])) for name in order)):
            at = dict(zip(("group", *order), step, strict=True))
            (images, *places), ms, cs = (tiles[name][at[name]] for name in ("pixels", "filters", "channels"))
            first_m, first_c = at["group"] * self.filters, at["group"] * self.channels
            outputs = list(product(*places))
            wanted = [
                (at["group"], at[a], at[b])
                for a, b in (("pixels", "channels"), ("filters", "channels"), ("pixels", "filters"))
            ]
            if wanted[0] != there[0]:
                each = product(images, cs, outputs)
                operand = {(n, first_c + c, *place) for n, c, p in each for _, place in self.taps[p]}
                moved["input"] += len(operand)
            if wanted[1] != there[1]:
                kernel = {(first_m + m, c, *tap) for m, c, tap in product(ms, cs, np.ndindex(self.w.shape[2:]))}
                moved["kernel"] += len(kernel)
            if wanted[2] != there[2]:
                moved["written"] += len(results)
                results = [(n, first_m + m, *p) for n, m, p in product(images, ms, outputs)]
                moved["back"] += len(results) * (wanted[2] in seen or box.begun)
                self.finished += len(ms) * (wanted[2] not in seen and box.ends)
                seen.add(wanted[2])
            there = wanted
            begun, ends = box.begun or wanted[2] in visited, box.ends and cs[-1] == box.channels[-1]
            self.steps.append(Box(range(at["group"], at["group"] + 1), [images, *places], ms, cs, begun, ends))
            visited.add(wanted[2])
            held.append((len(operand), len(kernel), len(results)))
            for n, m, *p in results if compute else ():
                for c, (tap, place) in product(cs, self.taps[tuple(p)]):
                    source, weight = (n, first_c + c, *place), (m, c, *tap)
                    assert source in operand
                    assert weight in kernel
                    self.y[(n, m, *p)] += self.x[source] * self.w[weight]
        moved["written"] += len(results)
        return moved, held


class Attending:
    """Attention in blocks: q of N x H x L x E, k of N x G x S x E, v of N x G x S x V, and a mask of any shape."""

    def __init__(self, q, k, v, mask, whole=()):
        """What is ``whole`` on chip neither moves nor needs more room."""
        self.q, self.k, self.v, self.mask, self.whole = q, k, v, mask, whole
        self.there, self.moved, self.peak = {}, dict.fromkeys(("query", "key", "value", "mask", "result"), 0), 0
        self.y = np.zeros((*q.shape[:3], v.shape[3]))

    def fetch(self, part, places):
        """Bring in values that are not there yet."""
        if part not in self.whole:
            new = set(places) - self.there.get(part, set())
            self.moved[part] += len(new)
            self.hold(part, new)

    def hold(self, part, places, width=WIDTH):
        self.there.setdefault(part, set()).update(places)
        widths = {part: self.mask.itemsize * 8 if part == "mask" else width for part in self.there}
        held = {part: len(places) * widths[part] for part, places in self.there.items() if part not in self.whole}
        self.peak = max(self.peak, sum(held.values()))

    def drop(self, part):
        self.there.pop(part, None)

    def write(self, places):
        self.moved["result"] += len(places) * ("result" not in self.whole)
        self.drop("result")

    def walk(self, blocks):
        images, groups, keys, size = self.k.shape
        heads, queries = self.q.shape[1] // groups, self.q.shape[2]
        if blocks.mask and self.mask is not None:
            self.fetch("mask", np.ndindex(self.mask.shape))
        for n, g in product(range(images), range(groups)):
            if blocks.key:
                self.fetch("key", [(n, g, s, e) for s, e in product(range(keys), range(size))])
            if blocks.value:
                self.fetch("value", [(n, g, s, j) for s, j in product(range(keys), range(self.v.shape[3]))])
            for hs, ls in product(ranges(range(heads), blocks.heads), ranges(range(queries), blocks.queries)):
                self.block([(n, g * heads + h, place) for h, place in product(hs, ls)], (n, g), blocks)
            self.drop("key")
            self.drop("value")
        self.drop("mask")
        return self.moved, self.peak

    def block(self, rows, group, blocks):
        """All scores of some queries, then their shares of the values."""
        keys, size = self.k.shape[2:]
        scores = dict.fromkeys(product(rows, range(keys)), 0.0)
        self.hold("score", scores)
        for e, some in product(range(size), [[row] for row in rows] if blocks.key else [rows]):
            self.fetch("query", [(*row, e) for row in some])
            for s in range(keys):
                self.fetch("key", [(*group, s, e)])
                for row in some:
                    scores[row, s] += self.q[(*row, e)] * self.k[(*group, s, e)]
                if not blocks.key:
                    self.drop("key")
            self.drop("query")
        self.scale(scores, size, blocks)
        for row in rows:
            self.hold("sum", [row])
            most = max(scores[row, s] for s in range(keys))
            powers = [np.exp(scores[row, s] - most) for s in range(keys)]
            scores |= {(row, s): power / sum(powers) for s, power in enumerate(powers)}
            self.drop("sum")
        for some, j in product([[row] for row in rows] if blocks.value else [rows], range(self.v.shape[3])):
            results = [(*row, j) for row in some]
            self.hold("result", results)
            for s in range(keys):
                self.fetch("value", [(*group, s, j)])
                for row in some:
                    self.y[(*row, j)] += scores[row, s] * self.v[(*group, s, j)]
                if not blocks.value:
                    self.drop("value")
            self.write(results)
        self.drop("score")

    def scale(self, scores, size, blocks):
        """Every value of the mask is added wherever it belongs while it is there."""
        wanted = {}
        for row, s in scores:
            scores[row, s] /= np.sqrt(size)
            if self.mask is not None:
                place = [
                    0 if one == 1 else at for one, at in zip(self.mask.shape, (*row, s)[-self.mask.ndim :], strict=True)
                ]
                wanted.setdefault(tuple(place), []).append((row, s))
        for place, uses in wanted.items():
            self.fetch("mask", [place])
            value = self.mask[place]
            for use in uses:
                scores[use] += value if self.mask.dtype != bool else 0 if value else -np.inf
            if not blocks.mask:
                self.drop("mask")


class Rows:
    """The rows of one image's maps that are on chip while a chain runs in bands."""

    def __init__(self, kernels, whole, written):
        """Nodes of each kernel; maps that are whole on chip; maps that every made row of is written out."""
        self.kernels, self.whole, self.written = kernels, whole, written
        self.there, self.done, self.most, self.fetched = {}, {}, {}, {}

    def needs(self, kernel, row):
        """Operand -> its rows that a row of the result needs; None for all of them."""
        result = kernel.outputs[0]
        op = sliding(kernel)
        found = {}
        for number, tensor in enumerate(kernel.inputs):
            if tensor.shape[2] != result.shape[2] and not (op and number == 0):
                found[tensor] = None
            elif op and number == 0:
                found[tensor] = [place for _, place in taken(row, op, tensor.shape[2:])]
            else:
                found[tensor] = [row]
        return found

    def step(self, kernel, end):
        """Make the rows of a kernel's result up to ``end``; how many are new."""
        result = kernel.outputs[0]
        begin = self.done.get(result, 0)
        for row in range(begin, end):
            for tensor, rows in self.needs(kernel, row).items():
                if tensor in self.whole or rows is None:
                    continue
                for place in rows:
                    if tensor in self.made():
                        assert place in self.there[tensor], "a row was dropped too early, or is not there yet"
                    elif place not in self.fetched.setdefault(tensor, set()):
                        self.fetched[tensor].add(place)
                        self.hold(tensor, place)
                    else:
                        assert place in self.there[tensor], "a row would have to be read twice"
            if result not in self.whole:
                self.hold(result, row)
        self.done[result] = max(begin, end)
        return max(0, end - begin)

    def made(self):
        return {kernel.outputs[0] for kernel in self.kernels}

    def hold(self, tensor, row):
        held = self.there.setdefault(tensor, set())
        held.add(row)
        self.most[tensor] = max(self.most.get(tensor, 0), len(held))

    def drop(self):
        """Forget what no row that is still to be made needs."""
        for tensor in self.there:
            wanted = set()
            for kernel in self.kernels:
                if tensor in kernel.inputs:
                    result = kernel.outputs[0]
                    for row in range(self.done.get(result, 0), result.shape[2]):
                        wanted.update(self.needs(kernel, row).get(tensor) or ())
            self.there[tensor] &= wanted


class Network:
    """A plan carried out: which maps are on chip and which outside, and what crosses for which layer."""

    def __init__(self, graph, kernels, plan, sizes=()):
        self.kernels, self.plan, self.sizes = kernels, plan, sizes
        names = {node: name for name, node in graph.nodes.items()}
        rows = {name: row for row, name in enumerate(plan.profile.tensors["tensor"])}
        self.view = {}
        for node in graph.nodes.values():
            if node.op.view:
                self.view |= dict.fromkeys(node.outputs, self.view.get(node.inputs[0], node.inputs[0]))
        every = {tensor for node in graph.nodes.values() for tensor in node.outputs} - self.view.keys()
        self.row = {t: rows[names[t.node]] for t in every if names[t.node] in rows}
        self.reads = [self.roots(kernel.inputs) for kernel in kernels]
        self.outputs = set(self.roots(graph.outputs))
        self.outside = set(graph.inputs)
        self.chip = set()
        self.names = names
        self.moved = [[0] * len(kernels) for _ in range(2)]
        self.deeper = [Counter() for _ in plan.levels]
        """For each nearer memory, of ``sizes``, the bytes that a layer reads (False) and writes (True)."""
        self.pinned = {plan.profile.tensors["tensor"][row] for row in plan.pinned}

    def roots(self, tensors):
        return list(dict.fromkeys(self.view.get(tensor, tensor) for tensor in tensors))

    def of(self, rows):
        return {tensor for tensor, row in self.row.items() if row in rows}

    def cross(self, layer, size, *, written=False):
        self.moved[written][layer] += size

    def walk(self):
        """Bytes read and written, by layer."""
        for run in self.plan.runs:
            numbers = [layer.row for layer in run.layers]
            before, after = self.of(run.before), self.of(run.after)
            assert before == self.chip
            need = {"tiles": self.tiles, "whole": self.maps, "band": self.band}[run.kind](run, numbers, before | after)
            for result, operand in run.over.items():
                need -= self.over(numbers, *self.of({result}), *self.of({operand}), before - after)
            stay = {name: bits for kernel in self.kernels for name, bits in self.named(kernel) if name in self.pinned}
            assert need <= run.need <= 8 * self.plan.size - sum(stay.values())
            made = {t for number in numbers for t in self.kernels[number].outputs}
            last = numbers[-1]
            later = {t for reads in self.reads[last + 1 :] for t in reads}
            for tensor in (before & later) - after - self.outside:
                self.cross(numbers[0], bytes_of(tensor), written=True)
                self.outside.add(tensor)
            read = {t for number in numbers for t in self.reads[number]}
            for tensor in after - before - made - read:
                assert tensor in self.outside
                self.cross(numbers[0], bytes_of(tensor))
            for number in numbers:
                for tensor in self.kernels[number].outputs:
                    if run.tiling and tensor not in after:
                        continue
                    if tensor in self.outputs or (tensor in later and tensor not in after):
                        self.cross(number, bytes_of(tensor), written=True)
            self.outside |= {t for t in made if t in self.outputs or (t in later and t not in after)}
            self.chip = after
            assert later <= self.chip | self.outside | {
                t for kernel in self.kernels[last + 1 :] for t in kernel.outputs
            }
        return self.moved

    def weights(self, number):
        return [bits for name, bits in self.named(self.kernels[number]) if name not in self.pinned]

    def grain(self, number):
        """Bits of weights that must be there at once: a window on one channel, or a value where the kernel stays."""
        kernel = self.kernels[number]
        streams = any(name.endswith(".weight") and name not in self.pinned for name, _ in self.named(kernel))
        op = sliding(kernel)
        return WIDTH * (prod(op.kernel) if op and streams else 1)

    def named(self, kernel):
        """The weights of a kernel by name, and their bits."""
        for node in kernel.nodes:
            for weight in node.op.weights(*node.input_shapes):
                yield f"{self.names[node]}.{weight.name}", WIDTH * weight.elements

    def over(self, numbers, result, operand, going):
        """The bits of a result that is written over an operand, value by value; nobody else needs that any more."""
        (kernel,) = (self.kernels[number] for number in numbers)
        assert all(node.op.in_place for node in kernel.nodes)
        assert operand in going & set(self.roots(kernel.inputs))
        assert operand.elements == result.elements
        return 8 * bytes_of(result)

    def constants(self, number):
        kernel = self.kernels[number]
        return [np.empty(w.shape) for node in kernel.nodes for w in node.op.weights(*node.input_shapes)]

    def needed(self, number, tensor):
        """Bytes of an operand that any result needs."""
        kernel = self.kernels[number]
        op = sliding(kernel)
        if op is None or tensor is not kernel.inputs[0]:
            return bytes_of(tensor)
        along = all_taken(op, kernel.outputs[0].shape[2:], tensor.shape[2:])
        places = prod(len({place for each in axis for _, place in each}) for axis in along)
        return places * tensor.shape[0] * tensor.shape[1] * WIDTH // 8

    def convolution(self, run, number):
        """A layer that has a nest, as what is walked."""
        nest = next(layer for layer in run.layers if layer.row == number).nest
        kernel, x = self.kernels[number], self.reads[number][0]
        op = sliding(kernel)
        if op is None:
            rows = nest.outputs // nest.filters
            shape, along, window = (1, nest.channels, rows), [[[(0, row)] for row in range(rows)]], (1,)
        else:
            shape, along, window = x.shape, all_taken(op, kernel.outputs[0].shape[2:], x.shape[2:]), op.kernel
        weight = np.zeros((nest.groups * nest.filters, nest.channels, *window))
        return Convolution(np.zeros(shape), weight, along, nest.groups)

    def second(self, run, number):
        """Whether the kernel of a layer is a map."""
        nest = next(layer for layer in run.layers if layer.row == number).nest
        kernel = nest.groups * nest.weights
        return bool(kernel) and not any(w.size == kernel for w in self.constants(number))

    def small(self, run, number, walk):
        """Bytes of the weights beside the kernel of the layers that run as one: those that come in filters, others."""
        shares, whole = Counter(), Counter()
        for each in [number] if run.lines else [layer.row for layer in run.layers]:
            small = [bits for _, bits in self.named(self.kernels[each])]
            if each == number and WIDTH * walk.w.size in small:
                small.remove(WIDTH * walk.w.size)
            for bits in small:
                (whole if bits // WIDTH % len(walk.w) else shares)[each] += bits // 8
            shares[each] += 0
        return shares, whole

    def inner(self, run, number, boxes, kept=frozenset()):
        """Steps of a layer go through the nearer memories, one after the other, in the tiles of the plan."""
        walk, visits = self.convolution(run, number), len(boxes) if run.lines else 1
        named, result = dict(self.named(self.kernels[number])), self.kernels[number].outputs[0]
        passing = (run.kind == "whole" or number in run.streamed) and bool({*named} - self.pinned)
        shares, whole = self.small(run, number, walk)
        beside = self.reads[number][1 + self.second(run, number) :]
        stretched = [tensor for tensor in beside if tensor.elements != result.elements]
        held = 8 * (sum(whole.values()) + sum(map(bytes_of, stretched))) + WIDTH * (len(beside) - len(stretched))
        for depth, level in enumerate(self.plan.levels):
            crossed, nearer = self.deeper[depth], []
            assert level.taken[number] <= self.sizes[depth]
            for box in boxes:
                each = 8 * sum(shares.values()) // len(walk.w) if box.ends else 0
                nearer += self.step(walk, box, crossed, level, (number, max(shares)), passing, held, each)
                for other in shares:
                    if not (passing and other == number):
                        crossed[other, False] += walk.finished * shares[other] // len(walk.w)
            for other in whole:
                if not (passing and other == number):
                    crossed[other, False] += (visits if other == number else 1) * whole[other]
            crossed[number, False] += visits * sum(map(bytes_of, stretched))
            if passing:
                crossed[number, False] += visits * sum(named[name] for name in {*named} & self.pinned) // 8
            near = [tensor for tensor in beside if tensor not in stretched and (tensor in kept or not run.tiling)]
            crossed[number, False] += sum(map(bytes_of, near)) * (depth == 0)
            boxes, passing = nearer, False

    def step(self, walk, box, crossed, level, rows, passing, held, each):
        """One step in its tiles: what it moves, and the steps that these are for the next nearer memory."""
        number, last = rows
        has_kernel, axes = any(part.step.nest.kernel for part in level.parts[number]), walk.axes(box)
        tiling = next(
            part.tiling
            for part in level.parts[number]
            if (part.step.passing, part.step.begun) == (passing, box.begun)
            and part.step.nest[2:4] == (len(box.filters), len(box.channels))
            and (part.step.nest.groups, part.step.nest.each) == (len(box.groups), each)
            and list(map(seen, part.step.nest.axes)) == axes
        )
        moved, most = walk.walk(*tiling[1:5], compute=False, box=box)
        operand, kernel, results = (max(column) for column in zip(*most, strict=True))
        need = WIDTH * (operand + kernel * has_kernel + results)
        assert need + held + each * tiling.filters == tiling.need <= 8 * level.taken[number]
        crossed[number, False] += 4 * (moved["input"] + moved["back"])
        if passing:
            assert moved["kernel"] == walk.w[: len(box.groups) * len(box.filters), box.channels].size
        elif has_kernel:
            crossed[number, False] += 4 * moved["kernel"]
        final = 0 if box.begun else len(box.groups) * len(box.filters) * int(np.prod([*map(len, box.places)]))
        crossed[number, True] += 4 * (moved["written"] - final)
        crossed[last, True] += 4 * final
        return walk.steps

    def enter(self, run_reads, kept_before, after):
        """What is not on chip comes from outside once: all of it if it stays or several layers read it."""
        seen = {}
        for number, tensor in run_reads:
            seen.setdefault(tensor, []).append(number)
        for tensor, numbers in seen.items():
            if tensor not in kept_before:
                assert tensor in self.outside
                whole = tensor in after or len(numbers) > 1
                self.cross(numbers[0], bytes_of(tensor) if whole else self.needed(numbers[0], tensor))

    def maps(self, run, numbers, kept):
        number, *others = numbers
        self.finishing(numbers)
        self.enter([(number, t) for t in self.reads[number]], self.of(run.before), self.of(run.after))
        for each in numbers:
            self.cross(each, sum(self.weights(each)) // 8)
        if run.kind == "whole" and run.layers[0].nest and "Attention" not in self.kernels[number].operator:
            self.inner(run, number, [self.convolution(run, number).whole])
        touched = kept | {*self.reads[number]} | {*self.kernels[numbers[-1]].outputs}
        return 8 * sum(bytes_of(tensor) for tensor in touched) + sum(sum(self.weights(other)) for other in others)

    def finishing(self, numbers):
        """What layers behind the first do to a value of its result needs no other and no map beside."""
        for before, other in pairwise(numbers):
            assert self.reads[other] == [*self.kernels[before].outputs]
            assert all(node.op.in_place for node in self.kernels[other].nodes)
            assert sum(self.reads[other][0] in reads for reads in self.reads) == 1

    def tiles(self, run, numbers, kept):
        """The first layer in tiles, but for maps that are kept; the others need only their weights for a value."""
        number, *others = numbers
        kernel, result = self.kernels[number], self.kernels[numbers[-1]].outputs[0]
        if run.tiling is None:
            assert not others
            self.maps(run, numbers, set())
            return 8 * sum(bytes_of(tensor) for tensor in kept)
        self.finishing(numbers)
        if "Attention" in kernel.operator:
            return self.blocks(run, numbers, kept)
        nest, tiling = run.layers[0].nest, run.tiling
        x, *beside = self.reads[number]
        self.enter([(number, t) for t in self.reads[number] if t in kept], self.of(run.before), self.of(run.after))
        assert {*self.reads[number]} - kept <= self.outside
        walk = self.convolution(run, number)
        weight, second = walk.w, self.second(run, number)
        moved, held = walk.walk(tiling.sizes, tiling.filters, tiling.channels, tiling.order, compute=False)
        self.inner(run, number, walk.steps, kept)
        stays = {bits for name, bits in self.named(kernel) if name in self.pinned and name.endswith(".weight")}
        width, has_kernel = WIDTH // 8, bool(nest.kernel) and WIDTH * weight.size not in stays
        passing = [x not in kept, has_kernel and not (second and beside.pop(0) in kept), result not in kept]
        small = sum(sum(self.weights(n)) for n in numbers) // 8
        small -= weight.size * width * (has_kernel and not second)
        self.cross(number, width * (moved["input"] * passing[0] + moved["back"] * passing[2]))
        self.cross(number, width * moved["kernel"] * passing[1])
        self.cross(number, small - sum(sum(self.weights(n)) for n in others) // 8)
        for other in others:
            self.cross(other, sum(self.weights(other)) // 8)
        final = result.elements
        self.cross(number, width * (moved["written"] - final) * passing[2], written=True)
        self.cross(numbers[-1], width * final * passing[2], written=True)
        at_hand = 0
        for tensor in beside:
            if tensor not in kept:
                self.cross(number, bytes_of(tensor))
                at_hand += width if tensor.elements == result.elements else bytes_of(tensor)
        tiles = sum(max(column) * one for column, one in zip(zip(*held, strict=True), passing, strict=True))
        return 8 * (width * tiles + small + at_hand + sum(bytes_of(t) for t in kept))

    def blocks(self, run, numbers, kept):
        """Attention in blocks of queries, but for maps that are kept."""
        number, *others = numbers
        kernel, result = self.kernels[number], self.kernels[numbers[-1]].outputs[0]
        (node,) = kernel.nodes
        read, op = self.reads[number], node.op
        assert len(read) == op.operands
        self.enter([(number, t) for t in read if t in kept], self.of(run.before), self.of(run.after))
        assert {*read} - kept <= self.outside
        n, h, g, length, s, e, size = op.sizes(*node.input_shapes[:3])
        shapes = [
            (n, h, length, e),
            (n, g, s, e),
            (n, g, s, size),
            *node.input_shapes[3:],
            *([op.held] if op.held else []),
        ]
        operands = [np.zeros(shape, np.float32) for shape in shapes]
        names = dict(zip(("query", "key", "value", "mask"), read, strict=False)) | {"result": result}
        whole = [name for name, tensor in names.items() if tensor in kept]
        moved, peak = Attending(*operands[:3], operands[3] if len(operands) > 3 else None, whole).walk(run.tiling)
        self.cross(number, WIDTH // 8 * sum(moved[name] for name in ("query", "key", "value", "mask")))
        for other in others:
            self.cross(other, sum(self.weights(other)) // 8)
        self.cross(numbers[-1], WIDTH // 8 * moved["result"], written=True)
        return peak + sum(sum(self.weights(other)) for other in others) + 8 * sum(bytes_of(t) for t in kept)

    def band(self, run, numbers, kept):
        kernels = [self.kernels[number] for number in numbers]
        made = {kernel.outputs[0] for kernel in kernels}
        reads = [(number, t) for number in numbers for t in self.reads[number] if t not in made]
        self.enter(reads, self.of(run.before), self.of(run.after))
        lines = {tensor: run.lines[row] for tensor, row in self.row.items() if row in run.lines}
        images = kernels[0].outputs[0].shape[0]
        resident = 0
        for number in numbers:
            if number not in run.streamed:
                resident += sum(self.weights(number))
                self.cross(number, sum(self.weights(number)) // 8)
        stretched, boxes = set(), {layer.row: [] for layer in run.layers if layer.nest}
        for image in range(images):
            rows = Rows(kernels, kept, set())
            band = -sum(line.offset // line.rate + 2 for line in lines.values())
            while any(rows.done.get(kernel.outputs[0], 0) < kernel.outputs[0].shape[2] for kernel in kernels):
                for number, kernel in zip(numbers, kernels, strict=True):
                    result = kernel.outputs[0]
                    line = lines[result]
                    end = min(result.shape[2], max(0, line.rate * band + line.offset))
                    begin = rows.done.get(result, 0)
                    new = rows.step(kernel, end)
                    if new and number in run.streamed:
                        self.cross(number, sum(self.weights(number)) // 8)
                    if new and number in boxes:
                        whole = self.convolution(run, number).whole
                        places = [range(image, image + 1), range(begin, end), *whole.places[2:]]
                        boxes[number].append(whole._replace(places=places))
                    stretched |= {t for t, places in rows.needs(kernel, 0).items() if places is None}
                    rows.drop()
                band += 1
                assert band < 10_000
            for tensor, most in rows.most.items():
                assert most <= lines[tensor].buffer, "the buffer is too small"
        for number, steps in boxes.items():
            self.inner(run, number, steps)
        buffers = sum(lines[t].buffer * t.elements * WIDTH // (t.shape[0] * t.shape[2]) for t in lines.keys() - kept)
        grains = [self.grain(number) for number in numbers if number in run.streamed]
        whole = 8 * sum(bytes_of(t) for t in stretched | kept)
        return buffers + resident + whole + max(grains, default=0)
