"""The one door to SimpleITK, which is imported when it is first used: it takes a third of a second to load."""

import importlib
from typing import Any


def simple_itk() -> Any:
    """Return the module; without type information, so what comes out of it is narrowed by the caller."""
    return importlib.import_module("SimpleITK")
