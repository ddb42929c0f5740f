"""The arguments and options that several commands share, and what completes them in a shell."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

GROUPS: Final = ("layer", "block", "operator")


def complete_network(incomplete: str) -> list[str]:
    """Networks that begin so."""
    from costmodel import zoo

    return [name for name in zoo.names() if name.startswith(incomplete)]


def complete_machine(incomplete: str) -> list[str]:
    """Shipped machines that begin so."""
    from costmodel import hardware

    return [name for name in hardware.profiles() if name.startswith(incomplete)]


def complete_paper(incomplete: str) -> list[str]:
    """Documents that begin so."""
    from costmodel.papers import PAPERS

    return [name for name in PAPERS if name.startswith(incomplete)]


def complete_name(incomplete: str) -> list[str]:
    """All that ``show`` knows and that begins so."""
    return [*complete_network(incomplete), *complete_machine(incomplete), *complete_convention(incomplete)]


def complete_words(*words: str) -> Callable[[str], list[str]]:
    """A completion out of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def complete_policy(incomplete: str) -> list[str]:
    """Placement policies that begin so."""
    from costmodel.place import POLICIES

    return complete_words(*POLICIES)(incomplete)


def complete_convention(incomplete: str) -> list[str]:
    """Counting conventions that begin so."""
    from costmodel.counting.tools import CONVENTIONS

    return complete_words(*CONVENTIONS)(incomplete)


def complete_dtype(incomplete: str) -> list[str]:
    """Element types that begin so."""
    from costmodel.graph import BITS

    return complete_words(*BITS)(incomplete)


NetworkArgument = Annotated[
    str,
    typer.Argument(
        help="A network of the zoo (see 'costmodel list'), the path of an .onnx or .yaml file, or module.py:function, "
        "which runs your code: it returns a torch module or (module, example inputs).",
        autocompletion=complete_network,
    ),
]
NetworksArgument = Annotated[
    list[str],
    typer.Argument(
        help="Networks of the zoo, paths of .onnx or .yaml files, or module.py:function, which runs your code; or "
        "'all' of the zoo.",
        autocompletion=complete_network,
    ),
]
MachineOption = Annotated[
    str,
    typer.Option("--hw", help="A shipped machine, or the path of a .yaml file.", autocompletion=complete_machine),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change the machine: memories.external.bandwidth='2 GB/s'. May be repeated.", metavar="KEY=VALUE"
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", min=1, max=10**9, help="Images per batch; by default those of the file or module, or 1."),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="Element type of maps and weights that state none of their own, such as int8.",
        autocompletion=complete_dtype,
    ),
]
SizeOption = Annotated[int | None, typer.Option("--size", help="Height and width of the input image.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", help="Number of classes.")]
WidthOption = Annotated[float | None, typer.Option("--width", help="Multiplier of every layer's channels.")]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param", help="Another parameter of the network: dense_head=true. May be repeated.", metavar="NAME=VALUE"
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", help="Of a file's or a module's input: input=1x3x224x224. May be repeated.", metavar="INPUT=SIZES"
    ),
]
UnknownOption = Annotated[
    str | None,
    typer.Option(
        "--unknown",
        help="Operators of a file or a module that are not known: error, or skip to leave them out and say so.",
        autocompletion=complete_words("error", "skip"),
    ),
]
OverlapOption = Annotated[
    str | None,
    typer.Option(
        "--overlap",
        help="none: transfer + compute; layer: the larger of the two, per layer; prefetch: and the next layer's "
        "weights and maps are fetched meanwhile, where there is room.",
        autocompletion=complete_words("none", "layer", "prefetch"),
    ),
]
PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--place",
        help="Placement policy: threshold, liveness, reuse, optimal or tiled.",
        autocompletion=complete_policy,
    ),
]
SteadyOption = Annotated[
    bool, typer.Option("--steady-state", help="Image follows image, so weights may stay in nearer memories.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no table and no summary, only warnings.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write the rows as CSV; - is standard output.")]
