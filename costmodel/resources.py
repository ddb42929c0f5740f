"""A folder that ships inside the package -> its importable package, installed or straight from a source tree."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

FOLDERS: Final = {"costmodel.architectures": "architectures", "costmodel.hardware_profiles": "hardware"}
"""Packages whose files stand beside ``costmodel`` in a source tree; installing puts them inside it."""


def package(name: str) -> ModuleType:
    """Import a shipped package.

    A script that runs in the root of a source tree imports ``costmodel`` from there, where the folders stand beside it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        folder = Path(__file__).parents[1] / FOLDERS[name]
        init = folder / "__init__.py"
        spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)])
        if spec is None or spec.loader is None or not init.exists():
            raise
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
