"""The one door to SimpleITK, which is imported when it is first used: it takes a third of a second to load."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def simple_itk() -> Any:
    """Return the module; without type information, so what comes out of it is narrowed by the caller."""
    return importlib.import_module("SimpleITK")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let SimpleITK use one thread inside the block: sums are then taken in one order, and results repeat to the bit.

    The number is a global of the library; filters that other threads start meanwhile are slower, not wrong.
    """
    process = simple_itk().ProcessObject
    before = process.GetGlobalDefaultNumberOfThreads()
    process.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        process.SetGlobalDefaultNumberOfThreads(before)
