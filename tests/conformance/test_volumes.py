"""The suite passes a sound reader of volumes and catches each way to break its contract."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coread.domain.cards import ReaderCard
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ReaderInputs
from coread.engine.conformance import CheckStatus, check_reader
from coread.engine.conformance.volumes import first_slices, mirror_image, run_other_way
from coread.engine.samples import sample_inputs, study_of
from coread.readers.card_file import read_card
from coread.readers.registry import InstalledReader, inspect_reader
from tests.models.tiny_volume_reader import CARD, READER, write_tiny_volume_reader
from tests.route.studies import header


def sample(seed: int, lump: tuple[int, int, int]) -> ReaderInputs:
    """A noisy block with one dense cube whose corner is ``lump`` (slice, row, column)."""
    voxels = np.random.default_rng(seed).normal(0, 10, (12, 16, 20)).astype(np.float32)
    slices = tuple(slice(start, start + 4) for start in lump)
    voxels[slices] = 300.0
    matrix = np.array([[0.0, 0.0, 1.5, -14.0], [0.0, 1.5, 0.0, -11.0], [3.0, 0.0, 0.0, -17.0]])
    headers = tuple(header(k + 1, modality="CT", rows=16, columns=20) for k in range(12))
    volume = Volume(voxels, Quantity.HOUNSFIELD, Geometry((12, 16, 20), affine_of(matrix), "1.2.3"), headers)
    return ReaderInputs(study_of(headers), volumes=(volume,))


SAMPLES = (sample(1, (2, 3, 4)), sample(2, (6, 9, 14)))


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_volumes"]:
        del sys.modules[name]


def install(packages: Path, card: str = CARD, code: str = READER) -> InstalledReader:
    return inspect_reader("tiny_volumes", write_tiny_volume_reader(packages / "tiny_volumes", card=card, code=code))


def test_a_sound_reader_of_volumes_passes_every_check(packages: Path) -> None:
    outcomes = check_reader(install(packages), SAMPLES)
    assert [(item.name, item.detail) for item in outcomes if item.status is not CheckStatus.PASSED] == []


@pytest.mark.parametrize(
    ("old", "new", "caught"),
    [
        ("if volume.headers[0].modality not in", "if '' in", "a wrong modality is refused"),
        ("if volume.quantity is not Quantity.HOUNSFIELD", "if False", "pixels of another meaning are refused"),
        ("if volume.voxels.shape[0] <", "if 0 >", "too few slices"),
        ("if not np.isfinite(volume.voxels).all()", "if False", "pixels that are not numbers"),
        ("if float(np.ptp(volume.voxels)) == 0.0", "if False", "constant pixels are refused"),
        ("if not inputs.volumes:", "if False:", "no image at all is refused"),
        ("size.value, ML", "size.value + volume.geometry.affine[0][3], ML", "the order of the images"),
        ('Region("Lump", ABNORMAL, MASS, mask,', "Region('Lump', ABNORMAL, MASS, first(mask),", "mirrored result"),
        (
            "volume, mask = prepared",
            "prepared.context.voxels[0] = 0; volume, mask = prepared",
            "the input is not changed",
        ),
        ('session.parameters["least_hu"]', "90.0", "golden cases reproduce"),
    ],
)
def test_each_broken_promise_of_a_reader_of_volumes_is_caught(packages: Path, old: str, new: str, caught: str) -> None:
    assert old in READER
    keeps_place = "\n\ndef first(mask):\n    half = np.zeros_like(mask)\n    half[:3, :3, :2] = True\n    return half\n"
    outcomes = check_reader(install(packages, code=READER.replace(old, new, 1) + keeps_place), SAMPLES)
    failed = [item.name for item in outcomes if item.status is CheckStatus.FAILED]
    assert any(caught in name for name in failed), failed


def test_the_same_anatomy_stays_where_it_is_when_the_axes_run_the_other_way() -> None:
    volume = SAMPLES[0].volumes[0]
    turned = run_other_way(volume)
    dense = np.argwhere(volume.voxels > 100)
    assert turned.geometry.to_patient(np.argwhere(turned.voxels > 100)).mean(axis=0) == pytest.approx(
        volume.geometry.to_patient(dense).mean(axis=0)
    )
    assert turned.headers[0] == volume.headers[-1]
    mirrored = mirror_image(volume)
    moved = volume.geometry.to_patient(np.argwhere(mirrored.voxels > 100)).mean(axis=0)
    assert moved[1:] == pytest.approx(volume.geometry.to_patient(dense).mean(axis=0)[1:])
    assert moved[0] == pytest.approx(-volume.geometry.to_patient(dense).mean(axis=0)[0] + 2 * (-14 + 1.5 * 19 / 2))


def test_slices_keep_the_frames_that_they_came_from_when_they_are_turned_or_fewer() -> None:
    volume = replace(SAMPLES[0].volumes[0], headers=(header(1, modality="CT", rows=16, columns=20),))
    for known in (volume, replace(volume, frames=tuple(range(12, 0, -1)))):
        frames = [item.frame for item in known.references()]
        assert [item.frame for item in run_other_way(known).references()] == frames[::-1]
        assert [item.frame for item in first_slices(known, 5).references()] == frames[:5]


def spine_card(tmp_path: Path, priors: int = 0) -> ReaderCard:
    path = tmp_path / "card.toml"
    path.write_text(
        CARD.replace('"818983003"', '"421060004"').replace('meaning = "Abdomen"', 'meaning = "Vertebral column"')
    )
    card = read_card(path)
    return replace(card, input=replace(card.input, max_priors=priors))


def test_reference_objects_are_the_samples_of_a_card_that_fits_them(tmp_path: Path) -> None:
    inputs = sample_inputs(spine_card(tmp_path))
    assert all(item.volumes[0].quantity is Quantity.HOUNSFIELD for item in inputs)
    assert len(inputs) == 2
