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
    DRAWN,
    DRAWN_SHARE,
    POSITIVE_SHARE,
    SERIES,
    SET,
    TYPE_COLUMNS,
    cohort_rows,
    drawing,
    patient_truth,
    read_learned,
    read_rows,
    write_series,
)
from coread.readers.head_ct_hemorrhage.measures import SliceScores, position_scores, positions
from coread.readers.head_ct_hemorrhage.outputs import ANY, HEAD, SIDE, TYPE_HEAD
from coread.train.arrays import ArraySet
from coread.train.batches import drawing_weights
from coread.train.errors import DataMissing
from coread.train.splits import held_out
from coread.train.tasks import MultiLabel

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


def test_what_is_learnt_holds_no_patient_held_out_and_blood_only_drawn_into_the_healthy(data: Path) -> None:
    healthy = patients(kept=True, count=1)[0]
    learned = read_learned(data)
    assert learned.shape == (SIDE, SIDE)
    assert not any(held_out(SET, group) for group in learned.groups)
    drawn = [number for number, key in enumerate(learned.keys) if key.endswith(DRAWN)]
    assert drawn
    assert drawn[0] >= 3 * SLICES, "the real slices stand first"
    table = np.asarray(learned.targets[HEAD])
    for number in drawn:
        assert learned.groups[number] == healthy
        assert table[number, 0] == 1
        assert np.asarray(learned.targets[TYPE_HEAD])[number].sum() == 1
        original = learned.images[list(learned.keys).index(learned.keys[number].removesuffix(DRAWN).split(" ")[0])]
        assert not np.array_equal(learned.images[number], original)
    again = read_learned(data)
    assert np.array_equal(learned.images, again.images)


def test_slices_are_drawn_in_fixed_shares_and_unknown_ones_never() -> None:
    bleeding = np.array([1, 1, 0, 0, 0, np.nan, 1], dtype=np.float32)
    drawn = np.array([False] * 6 + [True])
    weights = drawing(bleeding, drawn, np.array(["a", "a", "a", "b", "c", "d", "c"]))
    assert weights[:2].sum() == pytest.approx(POSITIVE_SHARE)
    assert weights[6] == pytest.approx(DRAWN_SHARE)
    assert weights[5] == 0
    assert weights.sum() == pytest.approx(1)


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
        read_learned(tmp_path)


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


def test_weights_in_float32_still_make_chances_that_numpy_accepts(data: Path) -> None:
    learned = read_learned(data)
    many = learned.subset(np.resize(np.arange(len(learned)), 5000))
    weighed = ArraySet(
        many.images, many.targets, many.groups, [str(n) for n in range(5000)],
        weights=np.random.default_rng(1).random(5000).astype(np.float32) + np.float32(1e-3),
    )  # fmt: skip
    chances = drawing_weights(weighed, [MultiLabel(HEAD, (ANY,))], "all")
    assert chances is not None
    assert abs(chances.sum() - 1) < 1e-12
    assert len(np.random.default_rng(2).choice(5000, 100, p=chances)) == 100
