"""A cohort is read strictly, frozen by its bytes, and wrapped so that nothing in a picture changes."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coread.domain.images import PlanarImage
from coread.imaging.planar import load_planar
from coread.validate.cohort import Cohort, read_cohort
from coread.validate.cohort_writing import write_cohort
from coread.validate.errors import BadCohort, CohortChanged, RunFailed
from coread.validate.freezing import FROZEN_FILE, freeze
from coread.validate.sources import Sources, mask_of, reference_of
from coread.validate.wrapping import wrap_case
from tests.validate.cohorts import WRAP, png, square_cohort, square_picture

ROW = {"case_id": "a", "patient_id": "p", "files": "a.png"}


def written(folder: Path, row: dict[str, object], **description: object) -> Cohort:
    return write_cohort(folder, {"name": "One", "wrap": WRAP} | description, [ROW | row])


def images_of(cohort: Cohort, tmp_path: Path) -> list[PlanarImage]:
    with Sources(cohort.root) as sources:
        wrapped = wrap_case(cohort, cohort.cases[0], sources, tmp_path)
    assert wrapped.problem == ""
    return [load_planar(path, header) for path, header in wrapped.sources]


def test_a_cohort_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cohort = written(
        tmp_path,
        {"truth:square": True, "truth:round": None, "boxes": [["square", 1, 2, 3.5, 4]], "age": 61.0, "sex": "F",
         "number:volume": 3.25, "type:shape": "square", "group:dose": "low", "mask": "m.png", "expect": "read"},
        types={"shape": {"outputs": ["square", "round"]}}, prevalence={"square": 0.1},
    )  # fmt: skip
    (case,) = cohort.cases
    assert case.truth == {"square": True}
    assert case.boxes is not None
    assert [(box.label, box.x1, box.image) for box in case.boxes] == [("square", 3.5, 0)]
    assert (case.age_years, case.sex, case.numbers, case.types) == (61.0, "F", {"volume": 3.25}, {"shape": "square"})
    assert case.groups == {"dose": "low"}
    assert case.masks[""].file == "m.png"
    assert cohort.prevalence == {"square": 0.1}
    assert cohort.wrapping.modality == "DX"


def test_no_boxes_and_nobody_looked_are_two_things(tmp_path: Path) -> None:
    assert written(tmp_path / "none", {"boxes": []}).cases[0].boxes == ()
    assert written(tmp_path / "unknown", {"boxes": None}).cases[0].boxes is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"truth:square": "maybe"}, "truth:square is 'maybe'"),
        ({"boxes": "[[1, 2]]"}, "line 2"),
        ({"boxes": [["square", 5, 5, 5, 9]]}, "x0 < x1"),
        ({"files": "../a.png"}, "leaves the root"),
        ({"files": "/etc/passwd"}, "leaves the root"),
        ({"files": ""}, "must not be empty"),
        ({"age": "old"}, "could not convert"),
        ({"age": "nan"}, "no finite number"),
        ({"expect": "perhaps"}, "use read or refuse"),
        ({"type:shape": "square"}, "add [types.shape]"),
        ({"colour": "red"}, "column 'colour' is unknown"),
    ],
)
def test_a_wrong_row_is_named_with_its_place(tmp_path: Path, row: dict[str, object], says: str) -> None:
    with pytest.raises(BadCohort, match=r"cohort\.csv") as raised:
        written(tmp_path, row)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ({"wrap": {"modality": "XX"}}, "wrap.modality"),
        ({"wrap": {"colour": "blue"}}, "wrap.colour"),
        ({"wrap": {"spacing_mm": -1}}, "above 0"),
        ({"name": ""}, "name is"),
        ({"prevalence": {"square": 2.0}}, "between 0 and 1"),
        ({"sise": 3}, "key 'sise' is unknown"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, description: dict[str, object], says: str) -> None:
    with pytest.raises(BadCohort, match=r"cohort\.toml") as raised:
        written(tmp_path, {}, **description)
    assert says in str(raised.value)


def test_a_case_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCohort, match="stands twice"):
        write_cohort(tmp_path, {"name": "Twice", "wrap": WRAP}, [ROW, ROW])


def test_freezing_twice_gives_the_same_digest_wherever_the_files_lie(cohort_folder: Path, tmp_path: Path) -> None:
    first = freeze(square_cohort(cohort_folder, 4))
    moved = tmp_path / "moved"
    shutil.copytree(cohort_folder, moved)
    assert freeze(read_cohort(moved)).digest == first.digest
    (moved / FROZEN_FILE).unlink()
    assert freeze(read_cohort(moved)).digest == first.digest


@pytest.mark.parametrize("name", ["images.zip", "cohort.csv", "cohort.toml"])
def test_a_frozen_cohort_that_changed_is_refused(cohort_folder: Path, name: str) -> None:
    freeze(square_cohort(cohort_folder, 4))
    path = cohort_folder / name
    if name == "images.zip":
        square_cohort_bytes = path.read_bytes()
        path.unlink()
        square_cohort(path.parent.parent / "other", 4, seed=99)
        shutil.copy(path.parent.parent / "other" / name, path)
        assert path.read_bytes() != square_cohort_bytes
    else:
        path.write_text(path.read_text().replace("Squares", "Squares 2").replace("north", "east"))
    with pytest.raises(CohortChanged) as raised:
        freeze(read_cohort(cohort_folder))
    assert "Bring the frozen bytes back" in str(raised.value)


def test_a_frozen_cohort_is_not_overwritten_by_another(cohort_folder: Path) -> None:
    freeze(square_cohort(cohort_folder, 4))
    with pytest.raises(BadCohort, match="frozen cohort"):
        square_cohort(cohort_folder, 5)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCohort, match=r"a\.png cannot be read"):
        freeze(written(tmp_path, {}))


def test_a_damaged_record_of_freezing_is_refused(cohort_folder: Path) -> None:
    cohort = square_cohort(cohort_folder, 2)
    freeze(cohort)
    (cohort_folder / FROZEN_FILE).write_text("{")
    with pytest.raises(CohortChanged, match="cannot be read"):
        freeze(cohort)


@pytest.mark.parametrize("modality", ["DX", "CR", "MG", "US", "MR", "CT", "ES", "OP", "XC", "OT"])
def test_a_grey_picture_shows_the_same_in_every_modality(tmp_path: Path, modality: str) -> None:
    pixels = square_picture(0.9)
    (tmp_path / "a.png").write_bytes(png(pixels))
    cohort = written(tmp_path, {"sex": "F", "age": 44}, wrap={"modality": modality, "spacing_mm": 0.25})
    (image,) = images_of(cohort, tmp_path)
    np.testing.assert_allclose(image.pixels, pixels / 255.0, atol=1e-6)
    assert image.header.modality == modality
    assert (image.header.patient_age, image.header.patient_sex) == ("044Y", "F")
    assert image.spacing_mm == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize("modality", ["ES", "OP", "US"])
def test_a_colour_picture_keeps_its_colours(tmp_path: Path, modality: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels))
    (image,) = images_of(written(tmp_path, {}, wrap={"modality": modality}), tmp_path)
    assert image.colour is not None
    np.testing.assert_allclose(image.colour, pixels / 255.0, atol=1e-6)


def test_a_jpeg_is_stored_as_it_decodes_and_said_to_be_lossy(tmp_path: Path) -> None:
    Image.fromarray(square_picture(0.9)).save(tmp_path / "a.jpg", quality=60)
    with Image.open(tmp_path / "a.jpg") as decoded:
        wanted = np.asarray(decoded)
    cohort = written(tmp_path, {"files": "a.jpg"})
    with Sources(cohort.root) as sources:
        wrapped = wrap_case(cohort, cohort.cases[0], sources, tmp_path)
    path, header = wrapped.sources[0]
    np.testing.assert_allclose(load_planar(path, header).pixels, wanted / 255.0, atol=1e-6)
    assert b"ISO_10918_1" in path.read_bytes()


def test_a_stack_in_an_array_becomes_slices_with_positions(tmp_path: Path) -> None:
    stack = np.random.default_rng(2).integers(-1000, 1000, (4, 16, 20)).astype(np.int16)
    np.savez_compressed(tmp_path / "a.npz", volumes=stack[None])
    cohort = written(
        tmp_path, {"files": "a.npz#volumes[0]"},
        wrap={"modality": "CT", "spacing_mm": 0.7, "slice_mm": 2.5, "hounsfield": True},
    )  # fmt: skip
    from coread.imaging.volume import load_volume

    with Sources(cohort.root) as sources:
        wrapped = wrap_case(cohort, cohort.cases[0], sources, tmp_path)
    volume = load_volume(wrapped.sources)
    np.testing.assert_array_equal(volume.voxels, stack)
    assert volume.geometry.spacing_mm() == pytest.approx((2.5, 0.7, 0.7))


def test_one_picture_of_many_in_an_array(tmp_path: Path) -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=pictures)
    cohort = written(tmp_path, {"files": "a.npz#images[3]"})
    (image,) = images_of(cohort, tmp_path)
    np.testing.assert_allclose(image.pixels, pictures[3] / 255.0, atol=1e-6)
    assert list(freeze(cohort).files) == ["a.npz#images[3]"]


def test_a_folder_stands_for_all_its_files_on_disk_and_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    for name in ("2.png", "1.png", ".hidden"):
        (tmp_path / "study" / name).write_bytes(png(square_picture(0.9)))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/1.png", png(square_picture(0.9)))
        archive.writestr("b/1.png", png(square_picture(0.8)))
    on_disk = written(tmp_path / "one", {"files": "study/"}, root="..")
    assert [item.text for item in on_disk.cases[0].files] == ["study/1.png", "study/2.png"]
    inside = written(tmp_path / "two", {"files": "all.zip!b/"}, root="..")
    assert [item.text for item in inside.cases[0].files] == ["all.zip!b/1.png"]
    assert list(freeze(inside).files) == ["all.zip!b/1.png"]
    with pytest.raises(BadCohort, match="no file below"):
        written(tmp_path / "three", {"files": "nothing/"}, root="..")


def test_a_damaged_picture_is_a_problem_of_its_case(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(square_picture(0.9))[:60])
    cohort = written(tmp_path, {})
    with Sources(cohort.root) as sources:
        wrapped = wrap_case(cohort, cohort.cases[0], sources, tmp_path)
    assert wrapped.sources == ()
    assert wrapped.problem


def test_a_full_disk_ends_the_run_and_is_no_fault_of_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png(square_picture(0.9)))
    cohort = written(tmp_path, {})

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with Sources(cohort.root) as sources, pytest.raises(RunFailed, match="Make room"):
        wrap_case(cohort, cohort.cases[0], sources, tmp_path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(square_picture(0.9)))
    cohort = written(tmp_path, {})
    frozen = freeze(cohort)
    (tmp_path / "a.png").write_bytes(png(square_picture(0.8)))
    with Sources(cohort.root, frozen.files) as sources, pytest.raises(CohortChanged):
        wrap_case(cohort, cohort.cases[0], sources, tmp_path)


def test_masks_with_noise_around_black_and_with_small_values_are_both_understood() -> None:
    clean = np.zeros((20, 20), dtype=np.uint8)
    clean[5:9, 5:9] = 255
    noisy = clean.copy()
    noisy[0, :6] = range(6)
    assert (mask_of(png(noisy)) == (clean > 0)).all()
    labels = (clean > 0).astype(np.uint8)
    labels[0, 0] = 2
    assert (mask_of(png(labels)) == (labels > 0)).all()
    assert mask_of(png(labels), 2).sum() == 1


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.strip()))
def test_a_reference_never_leaves_the_root(text: str) -> None:
    try:
        reference = reference_of(text)
    except BadCohort:
        return
    assert not Path(reference.file).is_absolute()
    assert ".." not in Path(reference.file).parts


def test_the_table_of_frozen_files_names_everything(cohort_folder: Path) -> None:
    cohort = square_cohort(cohort_folder, 3)
    freeze(cohort)
    body = json.loads((cohort_folder / FROZEN_FILE).read_text())
    assert len(body["files"]) == 3
    assert body["cases"] == 3
