"""Programs and slices that several tests of MR reconstruction ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import DrawnSlice, drawn_slice


@pytest.fixture
def bart(tmp_path: Path, need_program: Callable[[str], str]) -> Bart:
    """The Berkeley Advanced Reconstruction Toolbox as a program; skipped where it is absent."""
    return Bart(need_program("bart"), tmp_path)


@pytest.fixture(scope="session")
def undersampled() -> DrawnSlice:
    """Eight coils, every third line and 20 in the middle, a little noise; simulated."""
    return drawn_slice(coils=8, shape=(112, 96), every=3, middle=20)
