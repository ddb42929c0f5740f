"""The command line: one command per arrow of the data flow, and no arithmetic."""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from costmodel.cli import costs, export, guard, measure, pages, parity, place, profile, roofline, size, verify
from costmodel.cli.requests import message
from costmodel.errors import CostModelError, printable

app = typer.Typer(
    name="costmodel",
    help="What every layer of a neural network costs on a machine: parameters, MACs, memory, traffic, time, and why.",
    epilog="Example: costmodel profile hairnet --hw paper-2012",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"costmodel {version('costmodel')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


COMMANDS: Final = (
    (profile.profile, "profile hairnet --hw paper-2012 --top 10 --csv layers.csv"),
    (costs.compare, "compare mobilenet_v1 mobilenet_v2 hairnet --hw paper-2012"),
    (costs.explain, "explain hairnet stage1.0.dwise_conv --hw paper-2012"),
    (parity.parity, "parity resnet50 --tool fvcore --tool onnx-tool"),
    (costs.memory, "memory squeezenet --keep 'fire*.e3x3=33%'"),
    (place.place, "place hairnet --hw paper-2012 --place threshold,liveness"),
    (size.size_, "size hairnet --hw paper-2012 --place liveness --target 'latency=100 ms'"),
    (roofline.roofline, "roofline hairnet --hw paper-2012 -o hairnet.svg"),
    (guard.snapshot, "snapshot hairnet mobilenet_v2 --hw paper-2012 -o costs.json"),
    (guard.check, "check costs.json --rtol time=1e-6 --max latency=0.2s --max params=5M"),
    (verify.verify, "verify hairnet"),
    (measure.run, "run mobilenet_v2 --hw my-machine.yaml --threads 2"),
    (measure.calibrate, "calibrate -o my-machine.yaml --threads 2"),
    (pages.reproduce, "reproduce hairnet --output reports"),
    (pages.list_, "list"),
    (pages.show, "show paper-2012"),
    (export.export, "export resnet18 -o resnet18.yaml"),
    (pages.schema, "schema network -o network.schema.json"),
)
"""Each command with an example, in the order in which they are listed."""

for _command, _example in COMMANDS:
    app.command(_command.__name__.rstrip("_"), epilog=f"Example: costmodel {_example}")(_command)


LONGEST: Final = 4096
"""Characters of an argument or an option, as of a path."""

SHOWN: Final = 40
"""Of these, as many as a message shows."""


def main() -> None:
    """Run the command line: exit code 2 and one line on stderr for what the user got wrong, no traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end like any filter when the reader has gone ("| head")
    sys.stdout = sys.stdout or _nowhere()  # None when the shell closed it, as in "costmodel ... >&-"
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal's encoding lacks is no reason to stop
    for argument in sys.argv[1:]:
        if len(argument) > LONGEST:
            _complain(f"{argument[:SHOWN]}...: {len(argument)} characters are too many; at most {LONGEST}")
            raise SystemExit(2)
    try:
        app()
    except CostModelError as error:
        _complain(message(error))
        raise SystemExit(2) from None
    except OSError as error:
        # Files report their own errors, so this is a full disk behind standard output. What is still in its buffer must
        # not raise again at exit.
        sys.stdout = _nowhere()
        _complain(f"standard output: {error.strerror}")
        raise SystemExit(2) from None


def _complain(problem: str) -> None:
    """Print an error, unless standard error is full itself."""
    try:
        typer.echo(printable(f"error: {problem}"), err=True)
    except OSError:
        sys.stderr = _nowhere()


def _nowhere() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")
