"""Path x limit -> the text of a file: UTF-8, of a bounded size."""

from pathlib import Path

from costmodel.errors import CostModelError


def read(path: Path, limit: int) -> str:
    """Read a text file of at most ``limit`` bytes; errors name the file."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CostModelError(f"{path}: cannot read it: {error.strerror}") from None
    if len(data) > limit:
        raise CostModelError(f"{path}: larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CostModelError(f"{path}: not UTF-8 text (byte {error.start})") from None
