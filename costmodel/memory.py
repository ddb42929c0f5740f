"""Graph -> what a network keeps: maps and filters layer by layer, the memory of a training step, the size on disk.

The terms are those of the report "MobileNetV2: The Same but Better", appendices A1 and A2, each as it really is and,
beside it, by the report's own rule. What a pruning leaves is counted as SqueezeNet's table 1 does it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from costmodel.errors import CostModelError, suggestion
from costmodel.fuse import Kernel, Pattern, fuse
from costmodel.graph import BITS, Graph, Type, size_in_bytes
from costmodel.profile import MAPS, Profile, profile
from costmodel.table import Column, Table

COLUMNS: Final = (
    Column("layer", str, "", "the kernel's name: block and node, fused nodes joined by +"),
    Column("operator", str, "", "operators in the order they run, fused ones joined by +"),
    Column("map_size", int, "", "values read: Lr * Lc * Ni for one map", "max"),
    Column("map_memory", int, "", "values read and written: (Ni + No) * Lr * Lc where the size stays", "max"),
    Column("map_bytes", int, "B", "bytes of the maps read and written", "max"),
    Column("report_map_memory", int, "", "by the report's rule: (Ni + No) * Lr * Lc of the input, always", "max"),
    Column("parameters", int, "", "learned values", "sum"),
    Column("filter_size", int, "", "coefficients of the filters: kernel * Ni / groups * No", "max"),
    Column("filter_bytes", int, "B", "bytes of the coefficients", "max"),
    Column("report_filter_size", int, "", "by the report's rule: kernel * Ni * No, grouped or not", "max"),
)

KEPT: Final = Column("kept", int, "", "parameters left after pruning: ceil(share * weights) + all others", "sum")

DISK_BITS: Final = (32, 16, 8, 6)
"""The widths that the size on disk is given for."""

SHARE: Final = re.compile(r"((?:\d{1,20}\.?|\d{0,20}\.\d{1,20})(?:[eE][+-]?\d{1,2})?)\s*(%?)", re.ASCII)
"""A number, with or without a percent sign; short enough that its exact value is worked out at once."""


class Training(NamedTuple):
    """The terms of the report's formula for a training step: their sum, in values, times the width of a value."""

    parameters: int
    gradients: int
    largest_map: int
    largest_filter: int
    bits: int

    @property
    def bytes(self) -> int:
        """(parameters + gradients + largest map + largest filter) * bits / 8."""
        return size_in_bytes(sum(self[:4]), self.bits)


@dataclass(frozen=True)
class Memory:
    """What a network keeps."""

    profile: Profile
    layers: Table
    """One row per layer, under :data:`COLUMNS`, with :data:`KEPT` where something was pruned."""
    training: Training
    training_by_report: Training
    stored: int
    """Parameters and buffers: what a model file holds."""
    kept: int | None
    """Of these, what a pruning leaves."""

    @property
    def disk(self) -> dict[int, int]:
        """The bytes of a model file at each width, pruned if something was; no headers, no index, no compression."""
        values = self.stored if self.kept is None else self.kept
        return {bits: size_in_bytes(values, bits) for bits in DISK_BITS}


def memory(
    graph: Graph,
    patterns: Sequence[Pattern] = (),
    shares: Mapping[str, Fraction] | None = None,
    needs: Profile | None = None,
) -> Memory:
    """Measure a network fused as the patterns say, pruned to the shares (see :func:`pruned`).

    ``needs`` is its profile with these patterns, where there is one already.
    """
    needs = needs or profile(graph, patterns=patterns)
    kernels = fuse(graph, patterns)
    layers = _layers(needs, kernels, graph)
    stored = needs.layers.total("parameters") + needs.layers.total("buffers")
    kept = None
    if shares:
        left = pruned(graph, shares)
        names = {node: name for name, node in graph.nodes.items()}
        column = [sum(left[names[node]] for node in kernel.nodes) for kernel in kernels]
        layers = layers.extend((KEPT,), {"kept": column})
        kept = sum(column) + needs.layers.total("buffers")
    bits = BITS[graph.dtype]
    return Memory(needs, layers, _training(layers, "", bits), _training(layers, "report_", bits), stored, kept)


def _training(layers: Table, prefix: str, bits: int) -> Training:
    parameters = layers.total("parameters")
    largest = (layers.total(f"{prefix}map_memory"), layers.total(f"{prefix}filter_size"))
    return Training(parameters, parameters, *largest, bits)


def _layers(needs: Profile, kernels: Sequence[Kernel], graph: Graph) -> Table:
    read, moved = ([0] * len(needs.layers) for _ in range(2))
    kinds, sizes, bits = (needs.tensors[name] for name in ("kind", "elements", "bits"))
    for layer, tensor, mode, size, _ in needs.accesses.tuples():
        if kinds[tensor] in MAPS:
            values = min(sizes[tensor], size * 8 // bits[tensor])
            moved[layer] += values
            read[layer] += values if mode == "read" else 0
    rows = []
    for row, kernel, taken, both in zip(needs.layers.rows(), kernels, read, moved, strict=True):
        by_report, coefficients, dense, dtype = _filters(kernel)
        rows.append(
            (
                row["layer"],
                row["operator"],
                taken,
                both,
                row["input_bytes"] + row["output_bytes"],
                by_report,
                row["parameters"],
                coefficients,
                size_in_bytes(coefficients, BITS[dtype or graph.dtype]),
                dense,
            )
        )
    return Table.of(COLUMNS, rows)


def _filters(kernel: Kernel) -> tuple[int, int, int, Type]:
    """The one product with a learned matrix: its maps by the report's rule, coefficients, dense ones, their type."""
    for node in kernel.nodes:
        for weight in node.weights:
            if weight.name == "weight":
                groups = node.op.loops(*node.input_shapes).groups
                filters, reads, *_ = weight.shape
                channels = groups * reads
                maps = node.inputs[0].elements // channels * (channels + filters)
                return maps, weight.elements, groups * weight.elements, weight.dtype
    return 0, 0, 0, None


def pruned(graph: Graph, shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Node name, or pattern such as ``fire*.e3x3`` -> share of its weights that is kept; -> every node's parameters.

    ceil(share * weights) are kept of a node's weights, and all its other parameters, such as biases. Of the patterns
    that fit a node the last one holds; a node that none fits keeps all. A pattern that fits no node with weights is an
    error.
    """
    counts = {}
    unused = dict.fromkeys(shares)
    prunable = []
    for name, node in graph.nodes.items():
        share = Fraction(1)
        weights = node.weights
        if any(weight.name == "weight" for weight in weights):
            prunable.append(name)
            for pattern, wanted in shares.items():
                if fnmatchcase(name, pattern):
                    share = wanted
                    unused.pop(pattern, None)
        counts[name] = sum(
            ceil(share * weight.elements) if weight.name == "weight" else weight.elements
            for weight in weights
            if weight.kind == "parameter"
        )
    for pattern in unused:  # the first of them
        raise CostModelError(f"no layer with weights is called {pattern!r}; {suggestion(pattern, prunable)}")
    return counts


def shares(assignments: Sequence[str]) -> dict[str, Fraction]:
    """``["fire*.e3x3=33%"]`` -> the share of each pattern; a share is a percentage or a number from 0 to 1."""
    found: dict[str, Fraction] = {}
    for assignment in assignments:
        pattern, _, text = [part.strip() for part in assignment.rpartition("=")]
        match = SHARE.fullmatch(text)
        share = Fraction(match[1]) / (100 if match[2] else 1) if match else None
        if not pattern or share is None or share > 1:
            raise CostModelError(
                f"--keep {assignment!r}: expected LAYER=SHARE with a share from 0 to 1 or 0 % to 100 %, "
                "such as 'fire*.e3x3=33%'"
            )
        found.pop(pattern, None)  # given again, it comes after what was given in between
        found[pattern] = share
    return found
