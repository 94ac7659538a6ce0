"""The head CT cohort: unsure labels stay unknown, drawn blood keeps its patient, windowed pictures become HU again."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coread.readers.head_ct_hemorrhage.cohort import (
    ARCHIVE,
    SERIES,
    SET,
    TYPE_COLUMNS,
    cohort_rows,
    head_slices_of,
    patient_truth,
    read_rows,
    write_series,
)
from coread.readers.head_ct_hemorrhage.measures import SliceScores, position_scores, positions
from coread.readers.head_ct_hemorrhage.outputs import ANY, CHANNELS, PLACE_HEAD, SIDE, TYPE_HEAD
from coread.readers.head_ct_hemorrhage.taught import DRAWN, SHARES, Head, Pile, drawing, read_taught, write_taught
from coread.train.arrays import ArraySet
from coread.train.errors import DataMissing
from coread.train.splits import held_out
from coread.train.weak_places import SOMEWHERE, UNKNOWN

SLICES = 6
COLUMNS = ("image", "patient_id", "age", "sex", "slice", "ich", *TYPE_COLUMNS, "fracture")


def patients(*, kept: bool, count: int) -> list[str]:
    return [str(n) for n in range(1, 200) if held_out(SET, str(n)) is not kept][:count]


def picture(seed: int) -> bytes:
    rows, columns = np.indices((96, 96))
    away = np.hypot((rows - 48) / 42, (columns - 48) / 34)
    plane = np.select([away < 0.86, away < 0.95, away < 1.0], [118, 255, 90], 0)
    noise = np.random.default_rng(seed).integers(-6, 7, plane.shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(plane + noise * (plane > 0), 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients to learn from (healthy, bleeding, labels unsure) and one that is held out."""
    root = tmp_path_factory.mktemp("data")
    folder = root / SET
    folder.mkdir()
    healthy, bleeding, unsure = patients(kept=True, count=3)
    (aside,) = patients(kept=False, count=1)
    with (folder / "index.csv").open("w", newline="") as opened, zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        for patient in (healthy, bleeding, unsure, aside):
            for number in range(SLICES):
                bleeds = patient in (bleeding, unsure) and number in (2, 3)
                known = "" if patient == unsure else "0"
                row = dict.fromkeys(TYPE_COLUMNS, known) | {"edh": str(int(bleeds)) if known else ""}
                name = f"{int(patient):03d}_{number + 1:03d}.jpg"
                archive.writestr(name, picture(int(patient) * 10 + number))
                writer.writerow(
                    {"image": name, "patient_id": patient, "age": "30", "sex": "M", "ich": int(bleeds)} | row
                )
    return root


def test_labels_that_were_not_joined_for_sure_are_unknown_but_the_patient_bleeds(data: Path) -> None:
    healthy, bleeding, unsure = patients(kept=True, count=3)
    rows = read_rows(data / SET)
    by = {patient: [row for row in rows if row.patient == patient] for patient in (healthy, bleeding, unsure)}
    assert all(np.isnan(row.truth).all() for row in by[unsure])
    assert [row.any for row in by[bleeding]] == [0, 0, 1, 1, 0, 0]
    assert by[bleeding][2].truth == (1, 0, 0, 0, 1, 0)
    truth = patient_truth(rows)
    assert (truth[healthy], truth[bleeding], truth[unsure]) == (False, True, True)


def taught(data: Path) -> ArraySet:
    rows = [row for row in read_rows(data / SET) if not row.held_out]
    slices, pile = head_slices_of(data, rows), Pile(times=1)
    for patient in dict.fromkeys(row.patient for row in rows):
        here = [number for number, row in enumerate(rows) if row.patient == patient]
        own = [rows[number] for number in here]
        pile.add(Head(patient, slices[here], [row.truth for row in own], [row.image for row in own], real=True))
    return pile.learned()


def test_drawn_blood_is_known_to_the_pixel_and_real_blood_to_be_somewhere(data: Path, tmp_path: Path) -> None:
    healthy, bleeding, unsure = patients(kept=True, count=3)
    learned = taught(data)
    assert learned.shape == (SIDE, SIDE)
    assert learned.images[:1].shape == (1, CHANNELS, SIDE, SIDE)
    places, groups = np.asarray(learned.targets[PLACE_HEAD]), np.array(learned.groups)
    drawn = np.array([key.startswith(DRAWN) for key in learned.keys])
    assert drawn.any()
    assert set(groups[drawn]) == {healthy, bleeding}, "into every head of known slices, the unsure one left alone"
    assert set(np.unique(places[drawn])) == {0, 1}
    assert places[drawn].reshape(drawn.sum(), -1).any(axis=1).all()
    assert not places[(groups == healthy) & ~drawn].any()
    real = places[(groups == bleeding) & ~drawn]
    assert [set(np.unique(one)) for one in real[2:4]] == [{0, SOMEWHERE}] * 2
    assert (places[groups == unsure] == UNKNOWN).all()
    assert (np.asarray(learned.weights)[groups == unsure] == 0).all()
    write_taught(learned, tmp_path / "taught.npz")
    again = read_taught(tmp_path / "taught.npz")
    assert np.array_equal(learned.images[:], again.images[:])
    assert np.array_equal(np.asarray(again.targets[TYPE_HEAD]), np.asarray(learned.targets[TYPE_HEAD]), equal_nan=True)


def test_slices_are_drawn_in_fixed_shares_and_unknown_ones_never() -> None:
    kinds = np.array(["bleeding", "bleeding", "quiet", "quiet", "quiet", "unknown", "drawn", "drawn"])
    simulated = np.array([False] * 4 + [True, False, False, True])
    weights = drawing(kinds, simulated, np.array(["a", "a", "a", "b", "s", "d", "c", "s"]))
    for kind, share in SHARES.items():
        assert weights[kinds == kind].sum() == pytest.approx(share)
    assert weights[5] == 0
    assert weights[2] == pytest.approx(weights[3])


def test_held_out_pictures_become_hounsfield_units_again(data: Path, tmp_path: Path) -> None:
    write_series(data, tmp_path)
    (row,) = cohort_rows(data)
    file, _, key = row["files"].partition("#")
    assert file == SERIES
    with np.load(tmp_path / file) as stacks:
        hu = stacks[key]
    assert hu.shape == (SLICES, 96, 96)
    assert hu.dtype == np.int16
    assert (hu.min(), hu.max()) == (-20, 100)
    assert np.median(hu[:, 40:56, 40:56]) == pytest.approx(118 / 255 * 120 - 20, abs=2)
    assert row[f"truth:{ANY}"] is False


def test_pictures_without_a_head_are_an_error(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / SET
    folder.mkdir()
    (folder / "index.csv").write_text((data / SET / "index.csv").read_text())
    stream = io.BytesIO()
    Image.fromarray(np.zeros((96, 96), dtype=np.uint8)).save(stream, "PNG")
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for row in read_rows(folder):
            archive.writestr(row.image, stream.getvalue())
    with pytest.raises(DataMissing, match="no head"):
        head_slices_of(tmp_path, read_rows(folder))


def test_the_position_of_a_slice_is_learnt_from_other_patients(data: Path) -> None:
    rows = [row for row in read_rows(data / SET) if not row.held_out]
    judged = [row for row in read_rows(data / SET) if row.held_out]
    scores = position_scores(rows, judged)
    assert set(np.argsort(scores)[-2:]) == {2, 3}
    assert positions(np.array(["a", "a", "a", "b"])).tolist() == [0, 0.5, 1, 0]


def test_unknown_slices_are_not_counted() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([1, 0, 1, 0, np.nan, 1, 0, 0.0])
    scores = SliceScores(np.nan_to_num(truth) * 4 + rng.normal(size=8), truth, np.array(list("aabbccdd")))
    assert scores.slice_auc().n == 7
    assert scores.study_logits(["a", "b"]).shape == (2,)
