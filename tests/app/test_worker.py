"""A reading process ends with its parent, whenever that dies."""

import io
import os
import threading
import time
from pathlib import Path

import pytest

from coread.app import worker
from coread.app.settings import Settings


def test_a_parent_that_dies_while_the_process_starts_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives an orphan another parent: whoever asks late takes that one for the supervisor."""
    parents = iter([4711])
    monkeypatch.setattr("coread.app.worker.os.getppid", lambda: next(parents, 1))
    given = Settings.model_validate({"folder": tmp_path / "site"}).model_dump_json()

    class Supervisor(io.StringIO):
        """Dies when it has handed the settings over."""

        def read(self, _size: int | None = -1) -> str:
            assert next(parents, 1) == 1, "the parent is asked for before anything else"
            return given

    seen: list[int] = []

    def opening(_settings: Settings, parent: int) -> None:
        seen.append(parent)
        stopped = threading.Event()
        watch = threading.Thread(target=worker._follow_parent, args=(stopped.set, parent), daemon=True)
        watch.start()
        assert stopped.wait(5)

    monkeypatch.setattr("sys.stdin", Supervisor())
    monkeypatch.setattr("coread.app.worker.set_up_logging", lambda *_, **__: None)
    monkeypatch.setattr("coread.app.worker.work", opening)
    assert worker.main() == 0
    assert seen == [4711]


def test_a_process_goes_on_while_its_parent_lives() -> None:
    stopped = threading.Event()
    watch = threading.Thread(target=worker._follow_parent, args=(stopped.set, os.getppid()), daemon=True)
    watch.start()
    time.sleep(0.1)
    assert not stopped.is_set()
