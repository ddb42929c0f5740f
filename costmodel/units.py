"""Text with a unit <-> number: ``parse("1 GB/s", "B/s") -> 1e9``; the only place that knows prefixes.

MB = 10**6 B and MiB = 2**20 B. Sizes are whole bytes (Python integers), rates and times are floats.
"""

import math
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

from costmodel.errors import CostModelError, suggestion

SI: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
SECONDS: Final = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}

_BYTES: Final[Mapping[str, Decimal]] = {f"{p}B": Decimal(f) for p, f in (SI | BINARY).items()}
_OPERATIONS: Final[Mapping[str, Decimal]] = {
    f"{p}{name}": Decimal(f) * operations
    for name, operations in (("FLOPS", 1), ("FLOP/s", 1), ("OPS", 1), ("OP/s", 1), ("MAC/s", 2))
    for p, f in SI.items()
}

UNITS: Final[Mapping[str, Mapping[str, Decimal]]] = {
    "B": _BYTES,
    "B/s": {f"{name}/s": factor for name, factor in _BYTES.items()},
    "OP/s": _OPERATIONS,
    "": {p: Decimal(f) for p, f in SI.items()},
    "s": {f"{p}s": Decimal(repr(f)) for p, f in SECONDS.items()},
}
"""Base unit -> every accepted spelling and its factor. One MAC is two operations."""

EXAMPLES: Final = {"B": "1 MB", "B/s": "1 GB/s", "OP/s": "10 GFLOPS", "s": "2 ms", "": "5 M"}

_QUANTITY = re.compile(r"([+-]?)(inf|\d{1,60}(?:\.\d{0,60})?(?:[eE][+-]?\d{1,2})?)\s*([^\s\d].*)?", re.ASCII)
_EXACT = Context(prec=80)


def parse(text: str, unit: str) -> int | float:
    """Text -> number in the base ``unit``; sizes come back as integers, ``inf`` as ``math.inf``.

    Raises :class:`CostModelError` on a bare number, an unknown or wrong unit, or a fraction of a byte.
    """
    accepted = f"accepted is a number with a unit, such as {EXAMPLES[unit]!r}"
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise CostModelError(f"{text!r} is not a quantity; {accepted}")
    sign, number, name = match.groups()
    if number == "inf":
        if name and name not in UNITS[unit]:
            raise CostModelError(f"{text!r} has unit {name!r}; {suggestion(name, UNITS[unit])}")
        return -math.inf if sign == "-" else math.inf
    if not name and unit:
        raise CostModelError(f"{text!r} has no unit; {accepted}")
    spellings = list(filter(None, UNITS[unit]))
    factor = UNITS[unit].get(name or "")
    if factor is None and re.fullmatch(r"[kKMGT]?i?b(its?)?(/s|ps)", name or "") and unit == "B/s":
        raise CostModelError(f"{text!r} is in bits; divide by 8 and write bytes, such as {EXAMPLES[unit]!r}")
    if factor is None:
        raise CostModelError(f"{text!r} has unit {name!r}; {suggestion(name, spellings)}")
    value = _EXACT.multiply(_EXACT.create_decimal(sign + number), factor)
    if unit not in {"B", ""}:
        return float(value)
    if value != value.to_integral_value():
        raise CostModelError(f"{text!r} is not a whole number{' of bytes' if unit else ''}")
    return int(value)


def pattern(unit: str, *, infinite: bool) -> str:
    """A regular expression of what :func:`parse` reads in a unit, for programs that check a file without it."""
    names = "|".join(filter(None, UNITS[unit]))
    accepted = rf"\d+(\.\d*)?([eE][+-]?\d+)?\s*({names})"
    if infinite:
        accepted += rf"|inf(\s*({names}))?"
    return rf"^\+?({accepted})$"


def exact(value: float, unit: str) -> str:
    """Number -> the shortest text that :func:`parse` reads back as the same number: ``1e9 -> '1 GB/s'``."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    number = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    spelling = {"OP/s": "FLOPS"}.get(unit, unit)
    text = _scaled(number, SECONDS if unit == "s" else SI, spelling)
    binary = _scaled(number, BINARY, spelling) if unit in {"B", "B/s"} and "." in text else text
    return text if "." in binary else binary  # 2 MiB is not 2.097152 MB


def _scaled(number: Decimal, prefixes: Mapping[str, float], spelling: str) -> str:
    fitting = [(prefix, Decimal(repr(size))) for prefix, size in prefixes.items() if abs(number) >= Decimal(repr(size))]
    prefix, factor = fitting[-1] if fitting else ("", Decimal(1))
    return f"{_plain(_EXACT.divide(number, factor))} {prefix}{spelling}".rstrip()


@lru_cache(maxsize=4096, typed=True)  # a table says the same number many times, and 1 is not 1.000
def human(value: float, unit: str = "") -> str:
    """Number -> four significant digits with a prefix, for people: ``6422528, 'B' -> '6.423 MB'``."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0 or (abs(value) < 1 and unit != "s"):
        return f"{value:.4g} {unit}".rstrip()
    steps: Mapping[str, float] = SECONDS if unit == "s" else SI
    # 999.96 rounds to 1000, which belongs to the next prefix.
    prefix = next((p for p, step in steps.items() if float(f"{abs(value) / step:.4g}") < 1000), list(steps)[-1])
    scaled = value / steps[prefix]
    if prefix == "" and isinstance(value, int):
        digits = str(value)
    else:
        digits = f"{scaled:#.4g}".rstrip(".") if abs(scaled) < 9999.5 else f"{scaled:.0f}"
    return f"{digits} {prefix}{unit}".rstrip()


def _plain(number: Decimal) -> str:
    shortest = number.normalize(_EXACT)
    text = f"{shortest:f}"
    return text if len(text) <= 20 else f"{shortest:e}"
