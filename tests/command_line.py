"""A command line -> its exit code and what it prints: in a process of its own, or in this one, without the start."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from unittest import mock

from costmodel.cli import main

# What decides how and where a process prints is set here and not taken from whoever runs the tests.
NEUTRAL = {
    name: value
    for name, value in os.environ.items()
    if (not name.startswith(("LC_", "PYTHON", "GITHUB_", "TTY_", "_TYPER", "TYPER_")) or name == "PYTHONPATH")
    and name not in {"COLUMNS", "LINES", "LANG", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"}
} | {"PYTHONUTF8": "1", "TERM": "xterm-256color"}


def process(*args, env=None, cwd=None, program=(sys.executable, "-m", "costmodel")):
    """The command in a process of its own, as a user starts it."""
    return subprocess.run(
        [*program, *map(str, args)],
        env=NEUTRAL | (env or {}),
        cwd=cwd,
        capture_output=True,
        timeout=60,
        encoding="utf-8",
        errors="strict",
    )


def run(*args, env=None, cwd=None, program=None):
    """The same here, with pipes that are no terminals; what Python reads when it starts takes a process of its own."""
    if program or any(name.startswith("PYTHON") for name in env or {}):
        return process(*args, env=env, cwd=cwd, **({"program": program} if program else {}))
    command = ["costmodel", *map(str, args)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    handler = signal.getsignal(signal.SIGPIPE)
    code = 0
    with (
        mock.patch.dict(os.environ, NEUTRAL | (env or {}), clear=True),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(sys.modules["__main__"], "__package__", None),  # else messages speak of python -m pytest
        contextlib.chdir(cwd or "."),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.signal(signal.SIGPIPE, handler)
    printed = []
    for stream in (out, err):
        stream.flush()
        printed.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(command, code, *printed)
