"""Path x limit -> the text of a file: UTF-8, of a bounded size."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from costmodel.errors import CostModelError

STREAMS: Final = ("/dev/", "/proc/")
"""What the names of pipes begin with that a shell has open, such as ``<(command)``."""


def opened(path: Path) -> BinaryIO:
    """Open a file to read; one that nobody may ever write to the end, a named pipe, is refused."""
    if stat.S_ISFIFO(path.stat().st_mode) and not os.path.abspath(path).startswith(STREAMS):  # noqa: PTH100 - links stay
        raise CostModelError(f"{path}: cannot read it: a named pipe; a file is accepted, or /dev/stdin")
    return path.open("rb")


def read(path: Path, limit: int) -> str:
    """Read a text file of at most ``limit`` bytes; errors name the file."""
    try:
        with opened(path) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CostModelError(f"{path}: cannot read it: {error.strerror}") from None
    if len(data) > limit:
        raise CostModelError(f"{path}: larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CostModelError(f"{path}: not UTF-8 text (byte {error.start})") from None
