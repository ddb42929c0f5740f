"""What a user can get wrong -> one message that says where it is and what would be accepted."""

from collections.abc import Iterable


class CostModelError(Exception):
    """An input that cannot be used; the message names the place, the value and what is accepted."""


class WiringError(CostModelError):
    """An operator that does not fit its operands; the message names the layer and the shapes."""


class UnsupportedError(CostModelError):
    """A part of a network's file that the vocabulary has no words for; the message says what."""


LONGEST = 200
"""How many characters of an unknown name are looked at."""

LISTED = 12
"""How many known names a message lists at most."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Unknown name x known names -> ``did you mean 'conv'? known: add, conv, relu``."""
    import difflib  # only an error needs it

    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name[:LONGEST].lower(), lowered, n=1)
    hint = f"did you mean {lowered[close[0]]!r}? " if close else ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{hint}known: {', '.join(names[:LISTED]) or 'none'}{more}"
