"""NumPy, imported when it is first used: operators can run, but most commands never do."""

import importlib
from typing import TYPE_CHECKING, Any

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

__all__ = ["Array", "np"]
