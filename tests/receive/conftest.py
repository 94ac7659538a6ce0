"""A store in a temporary folder and receivers on free ports."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from coread.receive.server import DicomReceiver
from coread.receive.settings import ReceiveSettings
from coread.store import Store, StoreSettings

StartReceiver = Callable[..., DicomReceiver]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreSettings(folder=tmp_path / "store", durable=False), migrate=True) as opened:
        yield opened


@pytest.fixture
def start_receiver(store: Store) -> Iterator[StartReceiver]:
    """Return a function that starts a receiver on a free port with these settings."""
    with ExitStack() as stack:

        def start(**settings: Any) -> DicomReceiver:
            return stack.enter_context(DicomReceiver(ReceiveSettings(port=0, **settings), store))

        yield start
