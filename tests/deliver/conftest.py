"""Peers and small objects that the delivery tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import OrthancPeer, ProgramMissing, orthanc_program, running_orthanc


@pytest.fixture(scope="session")
def orthanc() -> Iterator[OrthancPeer]:
    """One Orthanc for all tests that only add to it."""
    try:
        orthanc_program()
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    with running_orthanc() as peer:
        yield peer


@pytest.fixture
def objects(tmp_path: Path) -> list[Path]:
    """Three small secondary captures of one study."""
    return [secondary_capture(tmp_path / f"{number}.dcm", number=number) for number in range(3)]
