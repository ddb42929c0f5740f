"""Text or bytes x path -> a file that is either whole or not there."""

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from costmodel.errors import CostModelError


def write(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write a file in one step: a failure leaves what was there before; ``-`` is standard output."""
    text = content.encode() if isinstance(content, str) else content  # UTF-8, whatever the terminal
    data = [text] if isinstance(text, bytes) else text
    if str(path) == "-":
        sys.stdout.flush()
        sys.stdout.buffer.writelines(data)
        sys.stdout.buffer.flush()
        return
    try:
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            _replace(path.resolve(), data, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        else:
            with path.open("wb") as file:  # a device or a pipe cannot be replaced
                file.writelines(data)
    except OSError as error:
        raise CostModelError(f"{path}: cannot write it: {error.strerror}") from None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(path: Path, data: Iterable[bytes], mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".costmodel-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(data)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
