"""Splits of data sets: whole units, even labels, the future apart, and every kind of leak found."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.app.cohorts import CohortPlan, cohort_of
from coread.models.lineage import read_record
from coread.train.dataset_build import BuildPlan, build_dataset
from coread.train.dataset_split import dates_of_unknown_kind, duplicates_of, one_class_labels, split_dataset
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.errors import BadPlan, DataMissing, Leak
from coread.train.leaks import find_duplicates, find_leaks, fingerprint, require_no_leak
from coread.train.pictures import PictureStore
from coread.train.splits import SplitBy, SplitPlan, folds, split_rows

SHARES = {"train": 70.0, "tune": 15.0, "test": 15.0}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def row(number: int, **known: object) -> ImageRow:
    return ImageRow(**({"image_id": str(number), "path": f"{number}.png", "group_id": f"g{number}"} | known))  # type: ignore[arg-type]


rows_of_patients = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 6), st.booleans(), st.integers(2015, 2020)), min_size=20, max_size=90
).map(
    lambda drawn: [
        row(
            number, patient_id=f"p{patient}", group_id=f"p{patient}", site=f"s{patient % 5}", date=f"{year}-01-01",
            labels={"ill": float(ill), "grade": float(grade)},
        )
        for number, (patient, grade, ill, year) in enumerate(drawn)
    ]
)  # fmt: skip


@settings(max_examples=40)
@given(rows_of_patients, st.sampled_from(list(SplitBy)), st.integers(0, 5), st.data())
def test_nothing_that_belongs_together_is_ever_divided(
    rows: list[ImageRow], by: SplitBy, seed: int, data: st.DataObject
) -> None:
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, len(rows) - 1)] * 2), max_size=3))
    plan = SplitPlan(by, {"a": 60, "b": 40}, seed)
    try:
        parted = split_rows(rows, plan, pairs)
    except BadPlan:
        return
    assert not find_leaks(parted)
    assert [replace(one, part="") for one in parted] == rows
    assert all(parted[one].part == parted[other].part for one, other in pairs)
    assert parted == split_rows(rows, plan, pairs)
    if by is SplitBy.SITE:
        assert len({(one.site, one.part) for one in parted}) == len({one.site for one in parted})


def test_shares_and_labels_come_out_even() -> None:
    random = np.random.default_rng(1)
    rows = [
        row(number, group_id=str(number // 3), labels={"rare": float(number % 50 == 0), "size": float(random.normal())})
        for number in range(3000)
    ]
    parted = split_rows(rows, SplitPlan(SplitBy.GROUP, SHARES))
    for part, share in SHARES.items():
        own = [one for one in parted if one.part == part]
        assert abs(len(own) / 3000 - share / 100) < 0.01
        assert abs(sum(one.labels["rare"] or 0 for one in own) / 60 - share / 100) < 0.02
        assert abs(float(np.median([one.labels["size"] or 0 for one in own]))) < 0.1
    assert {one.part for one in split_rows(rows, SplitPlan(SplitBy.GROUP, folds(4)))} == {"0", "1", "2", "3"}
    assert parted != split_rows(rows, SplitPlan(SplitBy.GROUP, SHARES, seed=1))


def test_a_split_by_time_trains_on_the_past_only() -> None:
    random = np.random.default_rng(4)
    rows = [
        row(n, patient_id=f"p{n % 40}", group_id=f"p{n % 40}", date=f"{2005 + n % 40 // 4 + random.integers(3)}-01-01")
        for n in range(400)
    ]
    parted = split_rows(rows, SplitPlan(SplitBy.TIME, {"train": 60, "test": 40}))
    newest = max(one.date for one in parted if one.part == "train")
    for patient in {one.patient_id for one in parted if one.part == "test"}:
        assert max(one.date for one in parted if one.patient_id == patient) > newest


@pytest.mark.parametrize(
    ("plan", "problem", "words"),
    [
        (lambda: SplitPlan(SplitBy.PATIENT, SHARES), DataMissing, "has no patient. Divide by group"),
        (lambda: SplitPlan(SplitBy.TIME, SHARES), DataMissing, "has no date"),
        (lambda: SplitPlan(SplitBy.SITE, SHARES), DataMissing, "has no site"),
        (lambda: SplitPlan(SplitBy.GROUP, folds(9)), BadPlan, "5 units"),
        (lambda: SplitPlan(SplitBy.GROUP, SHARES, labels=("colour",)), DataMissing, "no image has the label 'colour'"),
        (lambda: SplitPlan(SplitBy.GROUP, {"train": 100}), BadPlan, "two parts or more"),
        (lambda: SplitPlan(SplitBy.GROUP, {"train": 100, "test": 0}), BadPlan, "positive shares"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(
    plan: Callable[[], SplitPlan], problem: type[Exception], words: str
) -> None:
    with pytest.raises(problem, match=words):
        split_rows([row(number) for number in range(5)], plan())


def test_a_patient_or_group_in_two_parts_is_found_once() -> None:
    rows = [row(n, patient_id="p", group_id="g", part="train" if n % 2 else "test") for n in range(6)]
    leaks = find_leaks(rows)
    assert [(leak.what, leak.name) for leak in leaks] == [("patient", "p"), ("group", "g")]
    with pytest.raises(Leak, match="1 by patient, 1 by group"):
        require_no_leak(leaks)
    require_no_leak(find_leaks([row(n, part="train") for n in range(3)]))


def _scene(seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.normal(size=(9, 9)).astype(np.float32)).resize((96, 80), Image.Resampling.BICUBIC)
    picture = np.asarray(coarse, dtype=np.float64)
    return np.asarray(40 + 170 * (picture - picture.min()) / np.ptp(picture))


def test_resaved_rescaled_and_reexposed_copies_are_near_duplicates_and_other_images_are_not() -> None:
    random = np.random.default_rng(0)
    scenes = [_scene(seed) for seed in range(60)]
    first = Image.fromarray(scenes[0].astype(np.uint8))
    copies = [
        np.asarray(first.resize((70, 50))), np.clip(scenes[0] * 0.8 + 20, 0, 255).astype(np.uint8),
        np.clip(scenes[0] + random.normal(0, 4, scenes[0].shape), 0, 255).astype(np.uint8),
    ]  # fmt: skip
    images = [scene.astype(np.uint8) for scene in scenes] + copies + [scenes[1].astype(np.uint8)]
    found = {(pair.one, pair.other): pair for pair in find_duplicates([fingerprint(image) for image in images])}
    assert {(0, 60), (0, 61), (0, 62), (1, 63)} <= set(found)
    assert all({one, other} <= {0, 60, 61, 62} or (one, other) == (1, 63) for one, other in found)
    assert found[1, 63].exact
    assert not found[0, 62].exact


def test_blank_images_and_small_sets_are_no_false_alarm() -> None:
    blank = [fingerprint(np.full((8, 8), value, dtype=np.uint8)) for value in (0, 0, 7)]
    assert find_duplicates(blank) == ()
    assert find_duplicates([]) == ()
    assert find_duplicates([fingerprint(_scene(seed).astype(np.uint8)) for seed in range(5)]) == ()
    twins = [fingerprint(_scene(1).astype(np.uint8)), fingerprint((_scene(1) + 1).astype(np.uint8))]
    assert [pair.exact for pair in find_duplicates(twins)] == [False]


def test_the_transform_of_the_hash_is_scipys() -> None:
    scipy_fft = pytest.importorskip("scipy.fft")
    picture = np.random.default_rng(2).normal(size=(32, 32)).astype(np.float32)
    low = scipy_fft.dctn(picture, norm="ortho")[:8, :8].ravel()
    assert np.array_equal(fingerprint(picture).bits, low > np.median(low[1:]))


@pytest.fixture
def built(made_up_set: Path, tmp_path: Path) -> Path:
    build_dataset(BuildPlan("cxr_nih", made_up_set, tmp_path / "set"))
    return tmp_path / "set"


def test_a_split_set_names_its_parent_and_its_seed(built: Path, tmp_path: Path) -> None:
    result = split_dataset(built, tmp_path / "split", SplitPlan(SplitBy.PATIENT, SHARES, seed=3), images=False)
    record = read_record(tmp_path / "split")
    assert record.step == "split"
    assert record.parents == (read_record(built).digest,)
    assert record.settings["seed"] == 3
    again = read_index(tmp_path / "split")
    assert again.rows == result.index.rows
    assert again.parts == ("test", "train", "tune")
    assert len(again.part("train")) > len(again.part("test"))
    with pytest.raises(DataMissing, match="no part 'fold'"):
        again.part("fold")


def test_drawn_masks_go_with_the_split(tmp_path: Path) -> None:
    folder, images = tmp_path / "set", tmp_path / "images"
    (folder / "masks").mkdir(parents=True)
    images.mkdir()
    rows = []
    for number in range(8):
        Image.fromarray(_scene(number).astype(np.uint8)).save(images / f"{number}.png")
        Image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(folder / "masks" / f"{number}.png")
        rows.append(row(number, mask=f"dataset:masks/{number}.png", labels={"ill": float(number % 2)}))
    masks = [f"masks/{number}.png" for number in range(8)]
    write_index(ImageIndex("made up", images, tuple(rows), folder), step="dataset build", outputs=masks)
    split_dataset(folder, tmp_path / "split", SplitPlan(SplitBy.GROUP, folds(2)))
    found = read_index(tmp_path / "split")
    with PictureStore.of(found) as store:
        assert store.pixels(found.rows[5].mask)[0, 0] == 5
    assert not one_class_labels(found)
    (tmp_path / "split" / "masks" / "5.png").unlink()
    with pytest.raises(Exception, match=r"masks/5\.png is not the file"):
        read_index(tmp_path / "split")


def test_pictures_in_the_sets_own_folder_lie_once_in_the_split_and_become_a_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    for name in ("images", "plain"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(8):
        place = "plain" if number % 2 else "images"
        Image.fromarray(_scene(number).astype(np.uint8)).save(folder / place / f"{number}.png")
        Image.fromarray(np.ones((4, 4), np.uint8)).save(folder / "plain" / f"{number}_mask.png")
        own = "" if number % 2 else "dataset:"
        mask = f"plain/{number}_mask.png"
        rows.append(row(number, path=f"{own}{place}/{number}.png", mask=mask, labels={"ill": 1.0}))
    write_index(ImageIndex("made up", folder, tuple(rows), folder), step="dataset build")

    def no_link(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("os.link", no_link)
    split_dataset(folder, tmp_path / "split", SplitPlan(SplitBy.GROUP, {"train": 50, "test": 50}))
    found = sorted(path.relative_to(tmp_path / "split").as_posix() for path in (tmp_path / "split").rglob("*.*"))
    pictures = [f"images/{n}.png" for n in range(0, 8, 2)] + [f"plain/{n}.png" for n in range(1, 8, 2)]
    masks = [f"plain/{n}_mask.png" for n in range(8)]
    assert found == sorted(["dataset.json", "index.parquet", "record.json", *pictures, *masks])
    cohort = cohort_of(tmp_path / "split", tmp_path / "cohort", CohortPlan())
    files = [reference.file for case in cohort.cases for reference in case.files]
    assert files
    assert all((cohort.root / file).is_file() for file in files)


def test_moved_dates_are_no_order_in_time(tmp_path: Path) -> None:
    rows = tuple(row(n, date=f"200{n}-01-01") for n in range(6))
    index = ImageIndex("moved", tmp_path, rows, tmp_path / "set")
    moved = {"profile": ["113100 Basic Application Confidentiality Profile", "113107 Retain Longitudinal"]}
    write_index(index, step="dataset build", settings={"deidentify": moved})
    by_group = SplitPlan(SplitBy.GROUP, folds(2))
    split_dataset(tmp_path / "set", tmp_path / "split", by_group, images=False)
    for folder in ("set", "split"):
        with pytest.raises(BadPlan, match="the dates of moved were moved"):
            split_dataset(tmp_path / folder, tmp_path / "again", SplitPlan(SplitBy.TIME, folds(2)), images=False)
    write_index(replace(index, folder=tmp_path / "mimic", adapter="mimic_cxr"), step="dataset build")
    with pytest.raises(BadPlan, match="were moved"):
        split_dataset(tmp_path / "mimic", tmp_path / "again", SplitPlan(SplitBy.TIME, folds(2)), images=False)


def test_dates_that_were_moved_before_the_build_are_no_order_either(tmp_path: Path) -> None:
    rows = tuple(row(n, date=f"200{n}-01-01", dates_moved="yes" if n == 2 else "no") for n in range(6))
    write_index(ImageIndex("archive", tmp_path, rows, tmp_path / "set"), step="dataset build")
    by_time = SplitPlan(SplitBy.TIME, folds(2))
    with pytest.raises(BadPlan, match=r"were moved \(1 of 6 images say so themselves\)"):
        split_dataset(tmp_path / "set", tmp_path / "again", by_time, images=False)
    true = tuple(replace(item, dates_moved="no") for item in rows)
    unknown = tuple(replace(item, dates_moved="") for item in rows)
    for name, kept, count in (("true", true, 0), ("unknown", unknown, 6)):
        write_index(ImageIndex(name, tmp_path, kept, tmp_path / name), step="dataset build")
        found = split_dataset(tmp_path / name, tmp_path / f"{name}_split", by_time, images=False).index
        assert dates_of_unknown_kind(found) == count


def test_a_part_with_one_class_is_named(tmp_path: Path) -> None:
    rows = tuple(row(n, labels={"ill": float(n == 0)}, part="train" if n < 2 else "test") for n in range(4))
    assert one_class_labels(ImageIndex("made up", tmp_path, rows, tmp_path)) == {"test": ("ill",)}


def test_the_commands_split_check_and_show(built: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(app, ["dataset", "split", str(built), "--out", str(tmp_path / "two"), "--folds", "2", "--json"])
    assert made.exit_code == 0, made.output
    assert '"duplicate_pairs"' in made.stdout
    assert run(app, ["dataset", "check", str(tmp_path / "two")]).exit_code == 0
    shown = run(app, ["dataset", "show", str(tmp_path / "two"), "--json"])
    assert '"images": 84' in shown.stdout
    assert run(app, ["dataset", "split", str(built), "--out", str(tmp_path / "x"), "--by", "age"]).exit_code == 2
    assert run(app, ["dataset", "adapters", "--json"]).stdout.count('"licence"') > 30


@pytest.mark.shared
def test_the_known_duplicates_of_pneumoniamnist_are_found_and_its_own_split_fails(
    shared_data: Path, tmp_path: Path
) -> None:
    index = build_dataset(BuildPlan("pneumoniamnist", shared_data / "pneumoniamnist", tmp_path / "set"))
    pairs = duplicates_of(index)
    parts = [(index.rows[pair.one].part, index.rows[pair.other]) for pair in pairs]
    assert sum(one == other.part for one, other in parts) == 18
    assert len({other.image_id for one, other in parts if one != other.part}) == 8
    with pytest.raises(Leak, match="8 by pixels"):
        require_no_leak(find_leaks(index.rows, pairs))
    result = split_dataset(tmp_path / "set", tmp_path / "split", SplitPlan(SplitBy.GROUP, SHARES))
    assert result.duplicates == len(pairs)


@pytest.mark.shared
def test_near_duplicates_of_real_ultrasound_stay_inside_the_published_groups(shared_data: Path, tmp_path: Path) -> None:
    index = build_dataset(BuildPlan("breast_us_busi", shared_data / "breast_us_busi", tmp_path / "set"))
    pairs = duplicates_of(index)
    assert len(pairs) >= 120
    assert all(index.rows[pair.one].group == index.rows[pair.other].group for pair in pairs)
