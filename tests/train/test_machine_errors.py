"""A full memory or disk is never taken for a damaged image: it would be left out, and nobody would know."""

import errno
from pathlib import Path

import pytest

from coread.train.errors import CorruptImage, is_of_the_machine
from coread.train.pictures import PictureStore


@pytest.mark.parametrize("problem", [MemoryError(), OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "too many")])
def test_what_the_machine_lacks_is_raised_as_it_is(
    problem: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise problem

    monkeypatch.setattr(PictureStore, "_decoded", lacking)
    assert is_of_the_machine(problem)
    with PictureStore(tmp_path) as store, pytest.raises(type(problem)):
        store.pixels("one.png")


def test_what_is_wrong_with_an_image_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"no picture")
    assert not is_of_the_machine(OSError(errno.ENOENT, "absent"))
    with PictureStore(tmp_path) as store, pytest.raises(CorruptImage):
        store.pixels("one.png")
