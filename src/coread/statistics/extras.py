"""SciPy is an extra: this one function imports its parts, and says how to get it where it is absent."""

import importlib
from typing import Any

from coread.statistics.errors import MissingExtra


def scipy_part(name: str) -> Any:
    """Return a subpackage of SciPy; raises MissingExtra where the extra ``validate`` is not installed."""
    try:
        return importlib.import_module(f"scipy.{name}")
    except ImportError as problem:
        raise MissingExtra(
            "this statistic needs SciPy, which is not installed. Install it with: pip install 'coread[validate]'"
        ) from problem
