"""What a user can get wrong -> one message that says where it is and what would be accepted."""

from collections.abc import Iterable
from typing import Final


class CostModelError(Exception):
    """An input that cannot be used; the message names the place, the value and what is accepted."""


class WiringError(CostModelError):
    """An operator that does not fit its operands; the message names the layer and the shapes."""


class UnsupportedError(CostModelError):
    """A part of a network's file that the vocabulary has no words for; the message says what."""


LONGEST: Final = 200
"""How many characters of an unknown name are looked at."""

LISTED: Final = 12
"""How many known names a message lists at most."""


LONGEST_MESSAGE: Final = 2000
"""How many characters of a message are printed."""


def printable(message: str) -> str:
    """A message -> the same for a terminal, whatever is in it: no command to it, and nothing of any length."""
    if len(message) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        message = f"{message[:half]} ... {len(message) - 2 * half} characters ... {message[-half:]}"
    if message.replace("\n", "").isprintable():
        return message
    shown = [each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in message]
    return "".join(shown)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Unknown name x known names -> ``did you mean 'conv'? known: add, conv, relu``."""
    import difflib  # only an error needs it

    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name[:LONGEST].lower(), lowered, n=1)
    hint = f"did you mean {lowered[close[0]]!r}? " if close and lowered[close[0]] != name else ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{hint}known: {', '.join(names[:LISTED]) or 'none'}{more}"
