"""HairNet, 2020: its appendix and table 1 rebuilt from the network and the machine, and every erratum priced.

The print is the true network on a machine that could really hold it, plus named rules; each rule is one
:class:`Erratum` that changes one step of the usual way from the network to its time. With all rules on, the 66 rows
come out as printed; with some off, the same code gives the corrected figures.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import costmodel
from costmodel.counting import STANDARD, Convention
from costmodel.fuse import fuse
from costmodel.graph import Graph, Node, Work
from costmodel.hardware import Hardware
from costmodel.papers.edit import insert, repeat, without_accesses
from costmodel.papers.ledger import Entry, Figure, Value, entry
from costmodel.papers.prints import Report, differences, general, printed
from costmodel.place import Placement
from costmodel.place.liveness import liveness
from costmodel.place.threshold import threshold
from costmodel.profile import Profile, TensorRow, profile
from costmodel.simulate import Simulation, simulate
from costmodel.units import SI, human

APPENDIX: Final = "hairnet_appendix.csv"
TABLE1: Final = "hairnet_table1.csv"
MACHINE: Final = "paper-2012"

Memories = tuple[int, ...]
Parameters = dict[str, int]


@dataclass(frozen=True)
class Erratum:
    """A rule of the print that departs from the network, from the stated machine or from itself.

    ``kind`` is ``erratum`` (the figure is wrong), ``departure`` (the machine could not do it) or ``table 1`` (it
    changes that table's parameters only). A hook changes one step; those left out change nothing.
    """

    name: str
    kind: str
    prints: str
    right: str
    hardware: Callable[[Hardware], Hardware] = lambda machine: machine
    convention: Callable[[Convention], Convention] = lambda convention: convention
    profile: Callable[[Profile], Profile] = lambda profile: profile
    placement: Callable[[Profile, Hardware, Memories], Memories] = lambda _profile, _machine, memories: memories
    parameters: Callable[[Parameters, Graph], Parameters] = lambda parameters, _graph: parameters


def _slow_host(machine: Hardware) -> Hardware:
    slow = costmodel.machine("paper-2012-appendix")
    return replace(machine, engines=slow.engines)


def _dense(node: Node) -> Work:
    loops = node.op.loops(*node.input_shapes)
    return Work(macs=loops.macs * loops.groups)


def _repeated_pools(needs: Profile) -> Profile:
    for layer, operator in zip(needs.layers["layer"], needs.layers["operator"], strict=True):
        if operator == "MaxPool" and layer.startswith("stage") and layer != "stage5.max_pool":
            needs = repeat(needs, layer)
    return needs


def _pool_before_gap(needs: Profile) -> Profile:
    position = needs.layers["layer"].index("head.GAP")
    read = next(
        tensor
        for layer, tensor, mode in zip(*(needs.accesses[name] for name in ("layer", "tensor", "mode")), strict=True)
        if layer == position and mode == "read"
    )
    elements, size = needs.tensors["elements"][read], needs.tensors["bytes"][read]
    bits = needs.tensors["bits"][read]
    gap = list(needs.layers.rows())[position]
    pool = gap | {
        "layer": "stage5.max_pool",
        "block": "stage5",
        "operator": "MaxPool",
        "output_shape": "1x1000x3.5x3.5",
        "output_bytes": size // 4,
        "add": 0,
        "compare": elements,
        "elementwise": elements,
    }
    result = TensorRow("stage5.max_pool", "map", "1x1000x3.5x3.5", elements // 4, bits, size // 4, position, position)
    touched = [(read, "read"), (len(needs.tensors), "write")]
    return insert(needs, position, pool, [("MaxPool", "", 0, elements)], touched, [result])


def _judged_alone(*, inputs: bool) -> Callable[[Profile, Hardware, Memories], Memories]:
    """The print's rule for where a map lives, applied to the inputs or to all the other tensors."""

    def place(needs: Profile, machine: Hardware, memories: Memories) -> Memories:
        homes = zip(needs.tensors["kind"], threshold(needs, machine), memories, strict=True)
        return tuple(alone if (kind == "input") == inputs else mine for kind, alone, mine in homes)

    return place


def _last_stage_1024(parameters: Parameters, _: Graph) -> Parameters:
    return parameters | {"stage5": _block_parameters(costmodel.network("hairnet", classes=1024))["stage5"]}


def _one_batch_norm_missing(parameters: Parameters, graph: Graph) -> Parameters:
    """Stages of three blocks lose the batch norms of their last block."""
    missing = {
        node.block.partition(".")[0]: sum(
            2 * other.outputs[0].shape[1]
            for other in graph.nodes.values()
            if other.block == node.block and other.op.kind == "BatchNorm"
        )
        for node in graph.nodes.values()
        if node.block.endswith(".2")
    }
    return {stage: count - missing.get(stage, 0) for stage, count in parameters.items()}


ERRATA: Final = (
    Erratum(
        "host-at-1-gflops",
        "erratum",
        "host operations (batch norm, pools, softmax) take 1e-9 s each",
        "the stated host computes at 10 GFLOPS: 1e-10 s each",
        hardware=_slow_host,
    ),
    Erratum(
        "dense-depthwise",
        "erratum",
        "depthwise convolutions cost 2*K*K*C*C*H*W operations, as if every filter read every channel",
        "each filter reads one channel: 2*K*K*C*H*W, as the param column has it",
        convention=lambda convention: replace(convention, rules={**convention.rules, "Conv": _dense}),
    ),
    Erratum(
        "repeated-pools",
        "erratum",
        "the max_pool row after each of stages 1 to 4 stands twice",
        "there is one pool between two stages",
        profile=_repeated_pools,
    ),
    Erratum(
        "pool-before-gap",
        "erratum",
        "a max_pool row follows stage 5, with a result of 3.5 x 3.5 x 1000 that nothing reads",
        "stage 5 feeds the global average pool directly",
        profile=_pool_before_gap,
    ),
    Erratum(
        "batch-norm-statistics",
        "erratum",
        "a batch norm reads 2 values per channel",
        "its 4 operations per element need 4: gamma, beta, and the running mean and variance",
        profile=lambda needs: without_accesses(needs, "buffer"),
    ),
    Erratum(
        "maps-judged-alone",
        "departure",
        "a map is internal if its own size is at most 1 MB, though a row's maps may need more together",
        "maps share the internal memory; one that does not fit beside the others goes outside",
        placement=_judged_alone(inputs=False),
    ),
    Erratum(
        "image-never-read",
        "departure",
        "the input image is internal from the start and costs no transfer",
        "the image comes from outside and is read once",
        placement=_judged_alone(inputs=True),
    ),
    Erratum(
        "last-stage-of-1024",
        "table 1",
        "the last stage's parameters are computed with 1024 filters",
        "the row itself, and the appendix, have 1000 filters",
        parameters=_last_stage_1024,
    ),
    Erratum(
        "batch-norm-missing",
        "table 1",
        "each stage of three blocks leaves out the batch norms of one block",
        "every convolution is followed by a batch norm",
        parameters=_one_batch_norm_missing,
    ),
)

DEPARTURES: Final = frozenset(erratum for erratum in ERRATA if erratum.kind == "departure")


def run(rules: Collection[Erratum]) -> Simulation:
    """HairNet under the given rules; none gives what the stated machine can really do."""
    machine, convention = costmodel.machine(MACHINE), STANDARD
    active = [erratum for erratum in ERRATA if erratum in rules]
    for erratum in active:
        machine, convention = erratum.hardware(machine), erratum.convention(convention)
    needs = profile(costmodel.network("hairnet"), convention, machine.fuse)
    for erratum in active:
        needs = erratum.profile(needs)
    memories = liveness(needs, machine)
    for erratum in active:
        memories = erratum.placement(needs, machine, memories)
    return simulate(needs, Placement("+".join(e.name for e in active) or "liveness", memories), machine)


def rebuild() -> tuple[list[Report], list[Entry]]:
    """The appendix as printed and corrected, table 1, the errata with their prices; and every figure judged."""
    grid = _table1()
    reports = [_appendix(), grid, _corrected(), _errata()]
    return reports, [*_appendix_entries(), *_table1_entries(grid), *_claims()]


def _appendix() -> Report:
    file, expected = "hairnet-appendix.csv", printed(APPENDIX)
    as_printed = run(ERRATA)
    megabyte = SI["M"]
    cells = [
        [
            str(number),
            _label(number, row["layer"]),
            general(row["input_bytes"] / megabyte),
            general(row["output_bytes"] / megabyte),
            general(row["weight_bytes"] / megabyte),
            general(row["operations"]),
            row["input_memory"],
            row["output_memory"],
            row["weight_memory"] or "external",  # the print names a place also where there are no parameters
            general(row["transfer_seconds"]),
            general(row["compute_seconds"]),
            general(row["total_seconds"]),
        ]
        for number, row in enumerate(as_printed.layers.rows(), start=1)
    ]
    built = [expected[0], *cells]
    count, found = differences(file, built, expected, expected[0][2:])
    labels, wrong = differences(file, built, expected, expected[0][:2])
    headline = general(as_printed.seconds)
    if headline != HEADLINE:
        wrong = (*wrong, f"{file}: the total_time column sums to {headline}, not to {HEADLINE}")
    same = count - len(found)
    verdict = f"{same} of {count} cells and {labels - len(wrong)} of {labels} labels as printed, total {headline} s"
    return Report(file, built, count + labels, found + wrong, verdict)


HEADLINE: Final = "0.177158"
"""What the appendix's total_time adds up to before rounding its cells; the headline is "0.177 secs / input image"."""

STRAY_UNDERSCORES: Final = frozenset({25, 29, 31, 33, 35, 37, 39, 43, 45, 47})
"""Rows in which the print writes BN_RELU_0 for BN_RELU0."""


def _label(number: int, layer: str) -> str:
    """Our layer's name -> the print's."""
    block, _, name = layer.rpartition(".")
    index = block.partition(".")[2]
    stray = "_" if number in STRAY_UNDERSCORES else ""
    labels = {
        "bn+relu": "BN_RELU",
        "bn1+relu1": f"BN_RELU{stray}{index}",
        "bn2+relu2": f"BN_RELU{stray}{index}_2",
        "dwise_conv": f"dwise_conv{index}",
        "pointwise_conv": f"pointwise_conv{index}",
        "softmax": "SoftMax",
    }
    return labels.get(name, name)


def _block_parameters(graph: Graph) -> Parameters:
    """Learned values by top-level block, max pools apart."""
    counts: Parameters = {}
    for node in graph.nodes.values():
        stage = node.block.partition(".")[0]
        counts[stage] = counts.get(stage, 0) + node.parameters
    return counts


def _table1() -> Report:
    file, expected = "hairnet-table1.csv", printed(TABLE1)
    graph = costmodel.network("hairnet")
    true = _block_parameters(graph)
    print_rule = true
    for erratum in ERRATA:
        print_rule = erratum.parameters(print_rule, graph)
    header = [*expected[0], "total_parameters_corrected", "errata"]
    rows: list[list[str]] = []
    seen: set[str] = set()
    for kernel in fuse(graph):
        node = kernel.nodes[0]
        stage, kind = node.block.partition(".")[0], node.op.kind
        size = " x ".join(map(str, (*node.inputs[0].shape[2:], node.inputs[0].shape[1])))
        if kind == "MaxPool":
            rows.append(["Max Pool x 1", "", size, "", "", ""])
        elif kind == "GlobalAveragePool":
            rows.append(["Global Avg Pool", "", size, "", "", ""])
        elif kind == "Softmax":
            rows.append(["SoftMax", "", f"1 x 1 x {node.inputs[0].shape[1]}", "", "", ""])
        elif stage not in seen:
            seen.add(stage)
            blocks = {other.block for other in graph.nodes.values() if other.block.startswith(f"{stage}.")}
            convolutions = [n for n in graph.nodes.values() if n.block.startswith(stage) and n.op.kind == "Conv"]
            name = f"Conv DW block x{len(blocks)}" if blocks else "Conv-BN-ReLU x 1"
            why = "; ".join(erratum.name for erratum in ERRATA if erratum.parameters(true, graph)[stage] != true[stage])
            filters = str(convolutions[-1].outputs[0].shape[1])
            rows.append([name, filters, size, str(print_rule[stage]), str(true[stage]), why])
    cells = [header, *rows]
    count, found = differences(file, cells, expected, expected[0])
    return Report(file, cells, count, found, f"{count - len(found)} of {count} cells as printed")


def _corrected() -> Report:
    simulation = run(DEPARTURES)
    names = [
        "layer", "operator", "input_shape", "output_shape", "input_bytes", "output_bytes", "weight_bytes", "parameters",
        "macs", "operations", "input_memory", "output_memory", "weight_memory", "live_bytes", "overfull",
        "transfer_seconds", "compute_seconds", "total_seconds", "bound",
    ]  # fmt: skip
    table = simulation.layers.select(names)
    cells = [names, *[[str(value) for value in row.values()] for row in table.rows()]]
    verdict = f"{len(table)} layers, {simulation.seconds!r} s, {len(simulation.overfull)} layers overfull"
    return Report("hairnet-appendix-corrected.csv", cells, 0, (), verdict)


def _errata() -> Report:
    """The waterfall: from the print, one rule after another switched off, to what the machine can do."""
    header = ["name", "kind", "print", "right", "effect_alone_seconds", "headline_after_seconds", "parameters_effect"]
    graph = costmodel.network("hairnet")
    true = _block_parameters(graph)
    as_printed = run(ERRATA).seconds
    rows = [["as-printed", "headline", "0.177 secs / input image", "", "0.0", repr(as_printed), "0"]]
    left, total = set(ERRATA), as_printed
    for position, erratum in enumerate(ERRATA):
        if erratum.kind != "table 1":
            left.discard(erratum)
            total = run(left).seconds
        alone = run(set(ERRATA) - {erratum}).seconds - as_printed
        parameters = sum(true.values()) - sum(erratum.parameters(true, graph).values())
        rows.append(
            [erratum.name, erratum.kind, erratum.prints, erratum.right, repr(alone), repr(total), str(parameters)]
        )
        following = ERRATA[position + 1].kind if position + 1 < len(ERRATA) else ""
        if erratum.kind == "erratum" and following != "erratum":
            right = "the true network on the stated machine, placed as the paper does"
            rows.append(["corrected", "headline", "", right, repr(total - as_printed), repr(total), "0"])
        if erratum.kind == "departure" and following != "departure":
            right = "the true network as the stated machine can really run it"
            rows.append(["feasible", "headline", "", right, repr(total - as_printed), repr(total), "0"])
    corrected = run(DEPARTURES).seconds
    verdict = f"{as_printed:.6f} s as printed -> {corrected:.6f} s corrected -> {total:.6f} s feasible"
    return Report("hairnet-errata.csv", [header, *rows], 0, (), verdict)


APPENDIX_RULES: Final[dict[str, tuple[str, Callable[[Mapping[str, Any]], Value]]]] = {
    "in_map_mb": ("bytes read / 10^6", lambda row: Fraction(row["input_bytes"], SI["M"])),
    "out_map_mb": ("bytes written / 10^6", lambda row: Fraction(row["output_bytes"], SI["M"])),
    "param_mb": ("bytes of parameters / 10^6", lambda row: Fraction(row["weight_bytes"], SI["M"])),
    "ops": ("2 per MAC, and elementwise operations", lambda row: int(row["operations"])),
    "in_map_loc": ("internal if at most 1 MB", lambda row: str(row["input_memory"])),
    "out_map_loc": ("internal if at most 1 MB", lambda row: str(row["output_memory"])),
    "param_loc": ("always external", lambda row: str(row["weight_memory"] or "external")),
    "transfer_time": ("external bytes / 1 GB/s", lambda row: float(row["transfer_seconds"])),
    "compute_time": ("operations / peak", lambda row: float(row["compute_seconds"])),
    "total_time": ("transfer + compute", lambda row: float(row["total_seconds"])),
}
"""Column of the appendix -> how it is made, in words and from a layer's row."""


def _appendix_rows(simulation: Simulation) -> dict[tuple[str, int], dict[str, Value]]:
    """The appendix's figures by layer and by which time it stands there."""
    found: dict[tuple[str, int], dict[str, Value]] = {}
    for row in simulation.layers.rows():
        again = sum(layer == row["layer"] for layer, _ in found)
        found[row["layer"], again] = {column: value(row) for column, (_, value) in APPENDIX_RULES.items()}
    return found


def _appendix_entries() -> list[Entry]:
    """The 660 cells; a cell is blamed on the errata without which it would not be what it is."""
    header, *rows = printed(APPENDIX)
    own, true = _appendix_rows(run(ERRATA)), _appendix_rows(run(DEPARTURES))
    without = {
        erratum.name: _appendix_rows(run(set(ERRATA) - {erratum})) for erratum in ERRATA if erratum.kind == "erratum"
    }
    entries = []
    for (key, figures), cells in zip(own.items(), rows, strict=True):
        for column, text in list(zip(header, cells, strict=True))[2:]:
            right = true.get(key, {}).get(column)
            blamed = [name for name, other in without.items() if _shown(other.get(key, {}).get(column)) != text]
            figure = Figure(figures[column], APPENDIX_RULES[column][0], right, erratum=", ".join(blamed))
            item = f"{cells[0]} {cells[1]}: {column.replace('_', ' ')}"
            entries.append(entry("hairnet", "appendix", item, text, figure))
    return entries


def _shown(value: Value | None) -> str:
    """A figure as the appendix writes it."""
    return value if isinstance(value, str) else "" if value is None else general(float(value))


def _table1_entries(table: Report) -> list[Entry]:
    header, *rows = printed(TABLE1)
    entries = []
    for number, (cells, built) in enumerate(zip(rows, table.cells[1:], strict=True), start=1):
        *_, corrected, errata = built
        for column, text, own in zip(header, cells, built, strict=False):
            counts = column == "total_parameters_printed"
            figure = (
                Figure(int(own), "learned values of the rows' layers", int(corrected), erratum=errata)
                if counts and text
                else Figure(own, "as the network has it")
            )
            if text:
                item = f"row {number} {cells[0]}: {column.removesuffix('_printed').replace('_', ' ')}"
                entries.append(entry("hairnet", "table 1", item, text, figure))
    return entries


def _claims() -> list[Entry]:
    """What the text says besides."""
    graph, one_tower, alexnet = (
        costmodel.network("hairnet"), costmodel.network("alexnet", groups=1), costmodel.network("alexnet"),
    )  # fmt: skip
    corrected = run(DEPARTURES)
    norms = [row for row in corrected.layers.rows() if row["operator"].startswith("BatchNorm")]
    transfer, compute = (math.fsum(row[f"{part}_seconds"] for row in norms) for part in ("transfer", "compute"))
    share = math.fsum(row["share"] for row in norms)
    dense_layers = sum(node.parameters for node in one_tower.nodes.values() if node.op.kind == "Linear")
    dense_true = sum(node.parameters for node in alexnet.nodes.values() if node.op.kind == "Linear")
    variant = Fraction(costmodel.network("hairnet", dense_head=True).parameters, graph.parameters)
    errata = ", ".join(erratum.name for erratum in ERRATA if erratum.kind == "erratum")
    spent = f"{human(transfer, 's')} moving maps, {human(compute, 's')} computing"
    as_printed = run(ERRATA)
    largest = human(as_printed.layers.total("live_bytes"), "B")
    held = f"{len(as_printed.overfull)} of {len(as_printed.layers)} rows hold more at once, the largest {largest}"
    million = SI["M"]
    alexnets = [Fraction(graph.parameters, million) for graph in (one_tower, alexnet)]
    claims = [
        ("time of an image", "0.177 secs / input image",
         Figure(as_printed.seconds, "the sum of the column total_time", corrected.seconds, erratum=errata)),
        ("maps called internal", "at most 1 MB of internal memory",
         Figure(None, "", held, erratum="each map is judged alone, see maps-judged-alone")),
        ("parameters", "2.4M", Figure(Fraction(graph.parameters, million), "learned values, as in the appendix")),
        ("parameters with a dense layer", "1.3x",
         Figure(None, "", variant, erratum="a dense layer of 1000 x 1000 and its bias add more")),
        ("parameters of AlexNet", "62 M",
         Figure(alexnets[0], "AlexNet without groups", alexnets[1])),
        ("parameters of AlexNet's dense layers", "58.63 M",
         Figure(Fraction(dense_layers, million), "learned values of the dense layers", Fraction(dense_true, million))),
        ("why it is slow", "the computation of batch norm",
         Figure(None, "", f"the transfer of its maps: {spent}",
                erratum=f"its layers take {share:.1%} of the corrected time, but not by computing")),
        ("Algorithm 1: x-hat", "(x - mean)^2 / sqrt(variance + epsilon)",
         Figure(None, "", "(x - mean) / sqrt(variance + epsilon)",
                erratum="with a squared numerator it has neither mean 0 nor variance 1")),
    ]  # fmt: skip
    return [entry("hairnet", "text", item, text, figure) for item, text, figure in claims]
