"""What every layer of a neural network costs on a machine, and why.

>>> import costmodel
>>> result = costmodel.cost("hairnet", "paper-2012")
>>> result.frame  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from costmodel.errors import CostModelError as CostModelError

if TYPE_CHECKING:
    from onnx import ModelProto

    from costmodel.arrays import Array
    from costmodel.counting import Convention
    from costmodel.graph import Graph
    from costmodel.hardware import Hardware
    from costmodel.simulate import Simulation


def network(name: str, *, batch: int | None = None, dtype: str | None = None, **parameters: Any) -> "Graph":
    """Build a network of the zoo, or read one from a file, whose own batch and element type stay unless changed.

    ``parameters`` are the architecture's own, such as ``size=192``, or options of the file's format.
    """
    from costmodel import importers, zoo

    if importers.is_open(name):
        graph, batch = importers.load(name, batch=batch, **parameters), None
    elif importers.is_file(name):
        graph = importers.load(name, **parameters)
    else:
        graph = zoo.get(name)(**parameters)
    dtype = None if dtype == graph.dtype else dtype
    batch = None if batch is not None and batch == graph.images else batch
    changed = ", ".join(f"{key}={value}" for key, value in (("batch", batch), ("dtype", dtype)) if value is not None)
    if not changed:
        return graph
    title = f"{graph.name[:-1]}, {changed})" if graph.name.endswith(")") else f"{graph.name}({changed})"
    return graph.replay(batch=batch, dtype=dtype, name=title)


def from_torch(module: Any, *inputs: Any, unknown: str = "error", **keywords: Any) -> "Graph":
    """Read a ``torch.nn.Module`` as it runs on example inputs; see :func:`costmodel.importers.torch.from_torch`."""
    from costmodel.importers.torch import from_torch as read

    return read(module, *inputs, unknown=unknown, **keywords)


def to_onnx(
    graph: "Graph", *, seed: int | None = None, weights: "Mapping[str, Mapping[str, Array]] | None" = None
) -> "ModelProto":
    """A network as an ONNX model; its weights follow from a seed or are given by layer and name, or have no values."""
    from costmodel.exporters.onnx import model

    return model(graph, weights, seed=seed)


def machine(name: str, settings: Sequence[str] = ()) -> "Hardware":
    """Load a shipped machine by name or a YAML file by path; ``settings`` are ``key=value`` overrides."""
    from costmodel import hardware
    from costmodel.graph import Op
    from costmodel.place import POLICIES

    return hardware.load(name, forms=forms(), operators=Op.registry, policies=POLICIES, settings=settings)


def forms() -> list[str]:
    """The forms of operators that a machine can run on an engine of their own, such as ``Conv depthwise``."""
    from costmodel import ops  # noqa: F401 - the operators register themselves
    from costmodel.graph import Op
    from costmodel.profile import FORMS

    return [f"{name} {form}" for name, cls in Op.registry.items() if cls.formed for form in FORMS]


def cost(
    network: "Graph | str",
    machine: "Hardware | str",
    *,
    overlap: str | None = None,
    placement: str | None = None,
    convention: "Convention | None" = None,
    steady_state: bool = False,
) -> "Simulation":
    """Profile a network, place its tensors on a machine and time every layer; names are looked up.

    ``overlap`` and ``placement`` replace the machine's own; ``convention`` replaces ``standard`` counting. With
    ``steady_state`` image follows image, so that weights may stay in nearer memories.
    """
    from costmodel.counting import STANDARD
    from costmodel.place import place
    from costmodel.place.placement import Options
    from costmodel.profile import profile
    from costmodel.simulate import simulate

    graph = _network(network) if isinstance(network, str) else network
    hardware = _machine(machine) if isinstance(machine, str) else machine
    needs = profile(graph, convention or STANDARD, hardware.fuse)
    return simulate(needs, place(needs, hardware, placement, Options(steady_state)), hardware, overlap)


_network, _machine = network, machine
