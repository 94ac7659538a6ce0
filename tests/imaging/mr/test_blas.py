"""The limit on threads of BLAS holds inside, for all who are inside, and is gone afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from coread.imaging.mr import blas
from coread.imaging.mr.blas import one_blas_thread


class Threads:
    """Stands in for the library that sets the number."""

    def __init__(self) -> None:
        self.count = 8

    def limit(self, *, limits: int, user_api: str) -> Any:
        assert user_api == "blas"
        before, self.count = self.count, limits
        threads = self

        class Limiter:
            def restore_original_limits(self) -> None:
                threads.count = before

        return Limiter()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    made = Threads()
    monkeypatch.setattr(blas, "_controller", lambda: made)
    yield made
    assert made.count == 8


def test_nested_blocks_and_errors(threads: Threads) -> None:
    with one_blas_thread():
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert threads.count == 1


def test_the_last_thread_to_leave_resets_it(threads: Threads) -> None:
    first_left, second_came = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def first() -> None:
        with one_blas_thread():
            second_came.wait()
        first_left.wait()

    def second() -> int:
        with one_blas_thread():
            second_came.wait()
            first_left.wait()
            return threads.count

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        assert pool.submit(second).result() == 1


def test_the_library_itself_is_limited() -> None:
    def counts() -> list[int]:
        return [library["num_threads"] for library in blas._controller().info() if library["user_api"] == "blas"]

    before = counts()
    with one_blas_thread():
        assert set(counts()) == {1}
    assert counts() == before
