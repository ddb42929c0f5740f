"""NumPy, imported when it is first used: operators can run, but most commands never do."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

Array = Any
"""A NumPy array, in signatures."""

if TYPE_CHECKING:
    import numpy as np
else:

    class _NumPy:
        """Stands for the module until one of its names is asked for."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(importlib.import_module("numpy"), name)
            setattr(self, name, value)
            return value

    np = _NumPy()

STORED: Final[Mapping[str, str]] = {"int4": "int8", "int2": "int8", "uint4": "uint8", "uint2": "uint8"}
"""Element types that NumPy does not have -> what holds their values."""


def numpy_type(dtype: str) -> str:
    """An element type -> NumPy's that holds its values."""
    return STORED.get(dtype, dtype)


__all__ = ["STORED", "Array", "np", "numpy_type"]
