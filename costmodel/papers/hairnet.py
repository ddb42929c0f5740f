"""HairNet, 2020: the rules of its print, right and wrong, and the network run under any of them.

The print is the true network on a machine that could really hold it, plus named rules; each rule is one
:class:`Erratum` that changes one step of the usual way from the network to its time. With all rules on, the 66 rows
come out as printed; with some off, the same code gives the corrected figures.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import costmodel
from costmodel.counting import STANDARD, Convention
from costmodel.graph import Graph, Node, Work
from costmodel.hardware import Hardware
from costmodel.papers.edit import insert, repeat, without_accesses
from costmodel.place.placement import Placement, static
from costmodel.place.threshold import threshold
from costmodel.profile import MAPS, Profile, TensorRow, profile
from costmodel.simulate import Simulation, simulate

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
    return insert(needs, position, pool, [("MaxPool", "", 0, elements, "window")], touched, [result])


def _judged_alone(*, inputs: bool) -> Callable[[Profile, Hardware, Memories], Memories]:
    """The print's rule for where a map lives, applied to the inputs or to all the other tensors."""

    def place(needs: Profile, machine: Hardware, memories: Memories) -> Memories:
        homes = zip(needs.tensors["kind"], threshold(needs, machine).copies, memories, strict=True)
        return tuple(alone.memory if (kind == "input") == inputs else mine for kind, alone, mine in homes)

    return place


def _beside_others(needs: Profile, machine: Hardware) -> Memories:
    """The right rule: in order of birth, each map is internal if there is room for it until its last use."""
    tensors, (internal, _) = needs.tensors, machine.memories
    homes = [1] * len(tensors)
    held = [0] * len(needs.layers)
    maps = [row for row, kind in enumerate(tensors["kind"]) if kind in MAPS and kind != "input"]
    for row in sorted(maps, key=lambda row: tensors["born"][row]):
        life = range(tensors["born"][row], tensors["dies"][row] + 1)
        if max(held[layer] for layer in life) + tensors["bytes"][row] <= internal.size:
            homes[row] = 0
            for layer in life:
                held[layer] += tensors["bytes"][row]
    return tuple(homes)


def _last_stage_1024(parameters: Parameters, _: Graph) -> Parameters:
    return parameters | {"stage5": block_parameters(costmodel.network("hairnet", classes=1024))["stage5"]}


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
    memories = _beside_others(needs, machine)
    for erratum in active:
        memories = erratum.placement(needs, machine, memories)
    name = "+".join(erratum.name for erratum in active) or "beside others"
    return simulate(needs, Placement(name, static(needs, memories)), machine)


def block_parameters(graph: Graph) -> Parameters:
    """Learned values by top-level block, max pools apart."""
    counts: Parameters = {}
    for node in graph.nodes.values():
        stage = node.block.partition(".")[0]
        counts[stage] = counts.get(stage, 0) + node.parameters
    return counts
