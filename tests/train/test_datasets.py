"""The index of a data set: what it keeps, what it refuses, and that a build leaves a whole one or none."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coread.domain.errors import InvalidRecord
from coread.models.errors import BrokenLineage
from coread.models.lineage import RECORD, read_record, sha256_of, write_record
from coread.train.adapters import ADAPTERS
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.dataset_build import JOURNAL, BuildPlan, build_dataset
from coread.train.datasets import DATASET, INDEX, Box, ImageIndex, ImageRow, digest_of_rows, read_index, write_index
from coread.train.errors import CannotWrite, CorruptImage, DataMissing, DatasetExists, MissingExtra
from coread.train.pictures import PictureStore, Pixels, Place
from coread.train.splits import held_out

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
numbers = st.floats(-1e6, 1e6)
rows = st.builds(
    ImageRow,
    image_id=words.map(lambda word: "i" + word),
    path=words.map(lambda word: "p" + word.replace("/", "-").replace("\\", "-")),
    patient_id=words,
    view=words,
    age=st.none() | st.floats(0, 120),
    sex=st.sampled_from(["F", "M", ""]),
    labels=st.dictionaries(words, st.none() | numbers, max_size=3),
    label_uncertainty=st.dictionaries(words, st.floats(0, 1), max_size=2),
    boxes=st.lists(st.builds(lambda label, x, w: Box(label, x, 1, x + 1 + w, 2), words, numbers, st.floats(0, 9))).map(
        tuple
    ),
    covariates=st.dictionaries(words, words | st.integers(), max_size=2),
    text=words,
)


@settings(max_examples=25)
@given(st.lists(rows, unique_by=lambda row: row.image_id, max_size=5))
def test_what_is_written_is_read_back_and_the_order_of_rows_does_not_change_the_digest(
    tmp_path_factory: pytest.TempPathFactory, made: list[ImageRow]
) -> None:
    folder = tmp_path_factory.mktemp("set")
    write_index(ImageIndex("made up", folder, tuple(made), folder, licence="none"), step="dataset build")
    found = read_index(folder)
    assert found.rows == tuple(made)
    assert found.root == folder.resolve()
    assert digest_of_rows(made[::-1]) == found.digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_id": ""}, {"path": "/etc/passwd"}, {"path": "a/../../b"}, {"mask": "../x.png"}, {"sex": "female"},
        {"age": 411.0}, {"dates_moved": "maybe"}, {"labels": {"a": float("nan")}}, {"boxes": (Box("a", 2, 2, 2, 3),)},
    ],
)  # fmt: skip
def test_a_row_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRecord):
        ImageRow(**({"image_id": "1", "path": "a.png"} | wrong))  # type: ignore[arg-type]


def test_a_set_of_before_a_column_was_there_is_still_read(tmp_path: Path) -> None:
    row = ImageRow("1", "a.png", date="2001-02-03")
    write_index(ImageIndex("made up", tmp_path, (row,), tmp_path), step="dataset build")
    entry = pyarrow.parquet.read_table(tmp_path / INDEX).drop_columns(["dates_moved"])
    pyarrow.parquet.write_table(entry, tmp_path / INDEX)
    (cells,) = entry.to_pylist()
    about = json.loads((tmp_path / DATASET).read_text())
    about["digest"] = hashlib.sha256("\x1f".join(str(cells[name]) for name in sorted(cells)).encode()).hexdigest()
    (tmp_path / DATASET).write_text(json.dumps(about))
    (tmp_path / RECORD).unlink()
    write_record(tmp_path, "dataset build", inputs={}, outputs=[INDEX, DATASET])
    assert read_index(tmp_path).rows == (row,)


def test_a_changed_row_or_a_second_write_is_noticed(tmp_path: Path) -> None:
    index = ImageIndex("made up", tmp_path, (ImageRow("1", "a.png"),), tmp_path)
    write_index(index, step="dataset build")
    with pytest.raises(DatasetExists):
        write_index(index, step="dataset build")
    about = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps(about | {"licence": "free"}))
    with pytest.raises(BrokenLineage):
        read_index(tmp_path)
    with pytest.raises(DataMissing, match="no data set"):
        read_index(tmp_path / "no")
    with pytest.raises(InvalidRecord, match="two rows"):
        write_index(replace(index, rows=index.rows * 2, folder=tmp_path / "other"), step="dataset build")


def test_a_place_is_taken_apart() -> None:
    assert Place.of("a.zip!b/c.png") == Place("a.zip", "b/c.png", -1)
    assert Place.of("a.npz!train_images#12") == Place("a.npz", "train_images", 12)
    assert Place.of("a#b.png") == Place("a#b.png", "", -1)


def test_the_held_out_part_depends_on_set_and_group_alone_and_has_the_wanted_size() -> None:
    drawn = [held_out("cxr_nih", str(number)) for number in range(5000)]
    assert drawn == [held_out("cxr_nih", str(number)) for number in range(5000)]
    assert 0.18 < sum(drawn) / len(drawn) < 0.22
    assert drawn != [held_out("other", str(number)) for number in range(5000)]
    assert not any(held_out("cxr_nih", str(number), 0) for number in range(99))


def _plan(made_up_set: Path, folder: Path) -> BuildPlan:
    return BuildPlan("cxr_nih", made_up_set, folder)


def test_a_build_leaves_a_whole_data_set_with_its_record(made_up_set: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    built = build_dataset(_plan(made_up_set, tmp_path / "set"), lambda done, total: calls.append((done, total)))
    found = read_index(tmp_path / "set")
    assert found.rows == built.rows
    assert len(found.rows) == 84
    assert calls[-1] == (84, 84)
    assert all(row.sha256 for row in found.rows)
    assert read_record(tmp_path / "set").step == "dataset build"
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "dataset.json", "index.parquet", "record.json",
    ]  # fmt: skip
    with PictureStore.of(found) as store:
        assert store.pixels(found.rows[0].path).shape == (96, 96)
    with pytest.raises(DatasetExists):
        build_dataset(_plan(made_up_set, tmp_path / "set"))
    assert read_index(tmp_path / "set", root=made_up_set).root == made_up_set


def test_a_build_that_was_stopped_goes_on_and_gives_the_same_set(
    made_up_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_half(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(_plan(made_up_set, tmp_path / "set"), stop_at_half)
    assert not (tmp_path / "set").exists()
    journal = tmp_path / "set.partial" / JOURNAL
    lines = [line for line in journal.read_text().splitlines() if line]
    assert len(lines) > 40
    journal.write_text("\n".join(lines[:40]) + '\n{"path": "torn')
    opened: list[str] = []
    decoded = PictureStore.pixels

    def noted(store: PictureStore, path: str) -> Pixels:
        opened.append(path)
        return decoded(store, path)

    monkeypatch.setattr(PictureStore, "pixels", noted)
    built = build_dataset(_plan(made_up_set, tmp_path / "set"))
    assert len(opened) == 44
    assert built.digest == build_dataset(_plan(made_up_set, tmp_path / "again")).digest
    assert not (tmp_path / "set.partial").exists()


def test_a_build_with_another_plan_takes_nothing_over_and_every_image_has_its_own_mask(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(source / "a.png")
    shade = 1

    def read(_: Path, __: ReadOptions) -> list[Draft]:
        def drawn(name: str) -> Draft:
            return Draft(ImageRow(name, "a.png"), lambda: np.full((4, 4), shade + len(name), np.uint8))

        return [drawn("a/b"), drawn("a_b")]

    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    adapter = Adapter("made up", "none", "none", read, "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ADAPTERS, "made_up", adapter)
        plan = BuildPlan("made_up", source, tmp_path / "set")
        with pytest.raises(KeyboardInterrupt):
            build_dataset(plan, stop)
        kept = list((tmp_path / "set.partial" / "masks").iterdir())
        assert len(kept) == 2
        shade = 100
        built = build_dataset(replace(plan, options=ReadOptions(labels=("other",))))
    with PictureStore.of(built) as store:
        assert [int(store.pixels(one.mask)[0, 0]) for one in built.rows] == [103, 103]
    assert len({one.mask for one in built.rows}) == 2
    found = read_index(tmp_path / "set")
    assert found.mask_digests == {one.mask: sha256_of(found.place(one.mask)) for one in found.rows}
    assert not list((tmp_path / "set").glob(".*"))


def test_a_build_that_was_killed_leaves_nothing_that_looks_finished_and_goes_on(
    made_up_set: Path, tmp_path: Path
) -> None:
    killing = (
        "import os, signal, sys; from pathlib import Path; from coread.train.dataset_build import *\n"
        "def stop(done, total):\n    if done == 42: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build_dataset(BuildPlan('cxr_nih', Path(sys.argv[1]), Path(sys.argv[2])), stop)"
    )
    killed = subprocess.run([sys.executable, "-c", killing, str(made_up_set), str(tmp_path / "set")], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "set").exists()
    with pytest.raises(DataMissing):
        read_index(tmp_path / "set.partial")
    built = build_dataset(_plan(made_up_set, tmp_path / "set"))
    assert read_index(tmp_path / "set").digest == built.digest


def test_without_the_extra_the_command_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"coread\[train\]"):
        write_index(ImageIndex("made up", tmp_path, (ImageRow("1", "a.png"),), tmp_path), step="dataset build")


def _copy_without(source: Path, target: Path, spoil: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy a set; ``spoil`` changes the bytes of a member, or drops it."""
    target.mkdir()
    (target / "index.csv").write_bytes((source / "index.csv").read_bytes())
    with zipfile.ZipFile(source / "images.zip") as old, zipfile.ZipFile(target / "images.zip", "w") as copy:
        for name in old.namelist():
            data = spoil(name, old.read(name))
            if data is not None:
                copy.writestr(name, data)
    return target


def test_missing_and_corrupt_images_are_all_named_and_nothing_is_left(made_up_set: Path, tmp_path: Path) -> None:
    spoilt = {"003.png": None, "005.png": b"\x89PNG no more"}
    source = _copy_without(made_up_set, tmp_path / "source", spoilt.get)
    with pytest.raises(DataMissing, match=r"2 of 84.*003: .*no member.*005: .*cannot be decoded"):
        build_dataset(_plan(source, tmp_path / "set"))
    assert not (tmp_path / "set").exists()
    built = build_dataset(replace(_plan(source, tmp_path / "set"), leave_out=True))
    assert [image for image, _ in built.left_out] == ["003", "005"]
    assert len(built.rows) == 82


def test_a_label_outside_the_list_and_an_unreadable_table_name_the_line(made_up_set: Path, tmp_path: Path) -> None:
    source = _copy_without(made_up_set, tmp_path / "source", lambda _, data: data)
    text = (made_up_set / "index.csv").read_text()
    (source / "index.csv").write_text(text.replace("Cardiomegaly", "Cardiomegaley", 1))
    with pytest.raises(
        DataMissing, match=r"index\.csv line 4: column 'labels' holds 'Cardiomegaley'.*outside the list"
    ):
        build_dataset(_plan(source, tmp_path / "set"))
    (source / "index.csv").write_bytes(b"image,labels\n\xff\xfe\x00")
    with pytest.raises(DataMissing, match=r"index\.csv cannot be read"):
        build_dataset(_plan(source, tmp_path / "set"))
    (source / "index.csv").write_text("image,label\n1.png,x\n")
    with pytest.raises(DataMissing, match="no column 'patient_id'"):
        build_dataset(_plan(source, tmp_path / "set"))
    with pytest.raises(DataMissing, match="no adapter"):
        build_dataset(replace(_plan(source, tmp_path / "set"), adapter="cxr"))
    assert not (tmp_path / "set").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing_finished(
    made_up_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coread.train.dataset_build.write_index", full)
    with pytest.raises(CannotWrite, match="No space left"):
        build_dataset(_plan(made_up_set, tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_two_builds_of_one_folder_do_not_meet(made_up_set: Path, tmp_path: Path) -> None:
    def second(_done: int, _total: int) -> None:
        with pytest.raises(DatasetExists, match="another process"):
            build_dataset(_plan(made_up_set, tmp_path / "set"))

    build_dataset(_plan(made_up_set, tmp_path / "set"), second)


@pytest.mark.shared
def test_the_real_radiograph_subset_is_read_with_its_boxes(shared_data: Path, tmp_path: Path) -> None:
    built = build_dataset(_plan(shared_data / "cxr_nih", tmp_path / "set"))
    assert len(built.rows) == 1493
    assert len({row.group for row in built.rows}) == 1094
    assert sum(len(row.boxes) for row in built.rows) == 793
    assert sum(row.labels["Pneumothorax"] or 0 for row in built.rows) == 131


def test_pictures_of_every_kind_are_opened(tmp_path: Path) -> None:
    stack = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", images=stack)
    np.save(tmp_path / "b.npy", stack)
    (tmp_path / "c.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = c.raw\n"
    )
    (tmp_path / "c.raw").write_bytes(stack.tobytes())
    with PictureStore(tmp_path) as store:
        for path in ("a.npz!images#1", "b.npy#1", "c.mhd#1"):
            assert np.array_equal(store.pixels(path), stack[1]), path
            assert len(store.sha256(path)) == 64
        assert np.array_equal(store.pixels("c.mhd"), stack)
        for path, problem in (("a.npz!no#1", DataMissing), ("no.png", DataMissing), ("a.npz!images#7", CorruptImage)):
            with pytest.raises(problem):
                store.pixels(path)
        (tmp_path / "d.zip").write_bytes(os.urandom(64))
        with pytest.raises(CorruptImage):
            store.data("d.zip!x.png")
