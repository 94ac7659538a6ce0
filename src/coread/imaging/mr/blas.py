"""One thread in BLAS while small products are made in a loop.

OpenBLAS starts as many threads as there are cores for a product of 320 x 320, and they spin while they wait for one
another.
Measured on two busy cores, ESPIRiT and CG-SENSE of a slice took 20 s (5.6 s of processor time) with its threads and
0.8 s (0.36 s) without. One thread also adds in one order, so results do not depend on the number of cores.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any


class _Limit:
    """The number of threads is one of the whole process: the first who comes sets it, the last who goes resets it."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._limiter is not None:
                self._limiter.restore_original_limits()
                self._limiter = None


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread inside the block, in all threads of this process: others are slower, not wrong."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


@lru_cache(maxsize=1)
def _controller() -> Any:
    importlib.import_module("scipy.linalg")  # brings a BLAS of its own, which must be loaded to be found
    return importlib.import_module("threadpoolctl").ThreadpoolController()
