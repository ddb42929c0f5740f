"""What a scratchpad of the stated size really moves: tiles and bands walked element by element, row by row.

Nothing here knows how the model counts. A walk is told the sizes of tiles, the order of loops and the rows per band,
keeps what is in the memory in sets of places, fetches what is not there, and fails where a value is missing or the
memory is too small.
"""

from itertools import pairwise, product
from math import prod

import numpy as np

WIDTH = 32
"""Bits of every value."""


def bytes_of(tensor):
    """Its bytes."""
    return tensor.elements * WIDTH // 8


def ranges(size, tile):
    return [range(start, min(start + tile, size)) for start in range(0, size, tile)]


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


def taken(position, op, spatial):
    """Tap and place of each value that an operator with a window takes for a result, along its first axes."""
    window = [part[: len(position)] for part in op.window or op.spreads]
    return (under if op.window else reaching)(position, window, spatial)


def all_taken(op, positions, spatial):
    """The same of all positions."""
    return {position: taken(position, op, spatial) for position in product(*map(range, positions))}


def sliding(kernel):
    """The operator of a kernel that has a window."""
    return next((node.op for node in kernel.nodes if node.op.window or node.op.spreads), None)


class Convolution:
    """A convolution in tiles: x of N x C x spatial, w of M x C/groups x kernel, and what each position takes."""

    def __init__(self, x, w, taps, groups):
        self.x, self.w, self.groups = x, w, groups
        self.filters, self.channels = len(w) // groups, w.shape[1]
        positions = [size + 1 for size in max(taps)]
        self.extents = (len(x), *positions)
        self.taps = taps
        self.y = np.zeros((len(x), len(w), *positions), int)

    def walk(self, sizes, filters, channels, order, *, compute=True):
        """Elements moved, by what they are, and at each step the elements held of operand, kernel and results."""
        moved = dict.fromkeys(("input", "kernel", "back", "written"), 0)
        tiles = {
            "pixels": list(product(*map(ranges, self.extents, sizes))),
            "filters": ranges(self.filters, filters),
            "channels": ranges(self.channels, channels),
        }
        held, seen = [], set()
        operand = kernel = results = ()
        there = [None] * 3
        for step in product(range(self.groups), *(range(len(tiles[name])) for name in order)):
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
                moved["back"] += len(results) * (wanted[2] in seen)
                seen.add(wanted[2])
            there = wanted
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
            for hs, ls in product(ranges(heads, blocks.heads), ranges(queries, blocks.queries)):
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
                found[tensor] = [place for _, (place,) in taken((row,), op, tensor.shape[2:3])]
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

    def __init__(self, graph, kernels, plan):
        self.kernels, self.plan = kernels, plan
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
            assert need <= run.need <= 8 * self.plan.size
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
        kernel = self.kernels[number]
        return [WIDTH * w.elements for node in kernel.nodes for w in node.op.weights(*node.input_shapes)]

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
        taps = all_taken(op, kernel.outputs[0].shape[2:], tensor.shape[2:])
        places = {place for each in taps.values() for _, place in each}
        return len(places) * tensor.shape[0] * tensor.shape[1] * WIDTH // 8

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
        op = sliding(kernel)
        if op is None:
            rows = nest.outputs // nest.filters
            shape, taps, window = (1, nest.channels, rows), {(row,): [((0,), (row,))] for row in range(rows)}, (1,)
        else:
            shape, taps, window = x.shape, all_taken(op, result.shape[2:], x.shape[2:]), op.kernel
        weight = np.zeros((nest.groups * nest.filters, nest.channels, *window))
        walk = Convolution(np.zeros(shape), weight, taps, nest.groups)
        moved, held = walk.walk(tiling.sizes, tiling.filters, tiling.channels, tiling.order, compute=False)
        width, second = WIDTH // 8, bool(nest.kernel) and not any(w.size == weight.size for w in self.constants(number))
        passing = [x not in kept, bool(nest.kernel) and not (second and beside.pop(0) in kept), result not in kept]
        small = sum(sum(self.weights(n)) for n in numbers) // 8
        small -= 0 if second or not nest.kernel else weight.size * width
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
        stretched = set()
        for _ in range(images):
            rows = Rows(kernels, kept, set())
            band = -sum(line.offset // line.rate + 2 for line in lines.values())
            while any(rows.done.get(kernel.outputs[0], 0) < kernel.outputs[0].shape[2] for kernel in kernels):
                for number, kernel in zip(numbers, kernels, strict=True):
                    result = kernel.outputs[0]
                    line = lines[result]
                    end = min(result.shape[2], max(0, line.rate * band + line.offset))
                    if rows.step(kernel, end) and number in run.streamed:
                        self.cross(number, sum(self.weights(number)) // 8)
                    stretched |= {t for t, places in rows.needs(kernel, 0).items() if places is None}
                    rows.drop()
                band += 1
                assert band < 10_000
            for tensor, most in rows.most.items():
                assert most <= lines[tensor].buffer, "the buffer is too small"
        buffers = sum(lines[t].buffer * t.elements * WIDTH // (t.shape[0] * t.shape[2]) for t in lines.keys() - kept)
        grains = [max([prod_kernel(self.kernels[n]) * WIDTH], default=0) for n in numbers if n in run.streamed]
        whole = 8 * sum(bytes_of(t) for t in stretched | kept)
        return buffers + resident + whole + max(grains, default=0)


def prod_kernel(kernel):
    """Values of a window of one channel."""
    op = sliding(kernel)
    return prod(op.kernel) if op else 1
