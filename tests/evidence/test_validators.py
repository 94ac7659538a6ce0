"""What programs and libraries that had no part in writing our objects say of them."""

import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderKind
from coread.domain.codes import Code
from coread.domain.findings import ImageReference, Measurement, Region, TrackingId
from coread.domain.results import ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.errors import EvidenceError, NotProven
from coread.evidence.external import prove_externally
from coread.evidence.writing import part10
from coread.imaging.header import scan_header
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.ct import CtRecipe, ct_affine, ct_series
from tests.evidence.build_sources import CR, DX, SC, card, findings, radiograph, reading, reference, save
from tests.evidence.build_volumes import MM3, NODULE, TISSUE, geometry_of
from tests.evidence.conftest import of_kind, parse

Made = tuple[list[Path], tuple[EncodedObject, ...]]
FindProgram = Callable[[str], str]


def radiograph_case(folder: Path, dataset: Dataset, kind: ReaderKind = ReaderKind.DETECTION) -> Made:
    path = save(dataset, folder / "source.dcm")
    image = reference(dataset)
    mask = np.zeros((dataset.Rows, dataset.Columns), dtype=bool)
    mask[20:40, 30:50] = True
    opacity = Region("Opacity", TISSUE, NODULE, mask, (image,), TrackingId("opacity 1", "2.25.77"))
    area = Measurement(Code("42798000", "SCT", "Area"), 400.0, Code("{pixels}", "UCUM", "pixels"), 3.5,
                       tracking=opacity.tracking, images=(image,))  # fmt: skip
    result = ReadResult(findings(image), (area,), (opacity,), notes=("The marker was not read.",))
    return [path], build_evidence(reading(result), card(kind), [path], tuple(EvidenceKind))


def volume_case(folder: Path) -> Made:
    recipe = CtRecipe(slices=12, tilt_degrees=14.0)
    series = ct_series(recipe)
    paths = [save(dataset, folder / f"source{n:02d}.dcm") for n, dataset in enumerate(series)]
    images = tuple(reference(dataset) for dataset in series)
    mask = np.zeros((12, recipe.rows, recipe.columns), dtype=bool)
    mask[3:6, 10:20, 12:17] = True
    geometry = geometry_of(ct_affine(recipe), mask.shape, str(series[0].FrameOfReferenceUID))
    lesion = Region("Nodule", TISSUE, NODULE, mask, images, TrackingId("nodule 1", "2.25.78"), geometry)
    rest = replace(lesion, label="Rest", mask=~mask, tracking=TrackingId("rest", "2.25.79"))
    volume = Measurement(Code("118565006", "SCT", "Volume"), 812.5, MM3, tracking=lesion.tracking)
    found = replace(findings(images[4])[0], heat_maps=(), key="nodule")
    result = ReadResult((found,), (volume,), (lesion, rest))
    return paths, build_evidence(reading(result), card(), paths, tuple(EvidenceKind))


def case(name: str, folder: Path) -> Made:
    if name == "CT phantom":
        return volume_case(folder)
    if name == "chest phantom":
        return radiograph_case(folder, chest_radiograph(ChestRecipe(findings=("pneumothorax",), rows=256)).dataset)
    if name == "triage":
        return radiograph_case(folder, radiograph(DX), ReaderKind.TRIAGE)
    return radiograph_case(folder, radiograph({"CR": CR, "DX": DX, "SC": SC}[name]))


CASES = ["CR", "DX", "SC", "triage", "chest phantom", "CT phantom"]


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[Path], list[Path], tuple[EncodedObject, ...]]:
    sources, objects = case(request.param, tmp_path)
    files = []
    for item in objects:
        file = tmp_path / f"{item.kind.value}.dcm"
        file.write_bytes(item.data)
        files.append(file)
    return sources, files, objects


def lines_of(*command: str | Path) -> list[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


@pytest.mark.peer
@pytest.mark.parametrize("made", CASES, indirect=True)
def test_dciodvfy_and_dcentvfy_find_no_error(
    made: tuple[list[Path], list[Path], tuple[EncodedObject, ...]], need_program: FindProgram
) -> None:
    verifier, together = need_program("dciodvfy"), need_program("dcentvfy")
    for file in made[1]:
        assert [line for line in lines_of(verifier, file) if "Error" in line] == [], file.name
    assert [line for line in lines_of(together, *made[0], *made[1]) if "Error" in line] == []


@pytest.mark.peer
@pytest.mark.parametrize("made", CASES, indirect=True)
def test_dcmtk_reads_every_object(
    made: tuple[list[Path], list[Path], tuple[EncodedObject, ...]], need_program: FindProgram
) -> None:
    for file, item in zip(made[1], made[2], strict=True):
        is_document = item.kind in (EvidenceKind.SR, EvidenceKind.KEY_OBJECT)
        program = need_program("dsrdump" if is_document else "dcmdump")
        lines = lines_of(program, file)
        assert [line for line in lines if line.startswith(("E:", "F:"))] == []
        assert len(lines) > 10


@pytest.mark.parametrize("made", ["DX", "CT phantom"], indirect=True)
def test_highdicom_reads_the_report_and_the_segmentation(
    made: tuple[list[Path], list[Path], tuple[EncodedObject, ...]],
) -> None:
    from highdicom.seg import segread
    from highdicom.sr import srread

    content: Any = srread(made[1][0]).content
    groups = content.get_image_measurement_groups()
    assert groups[0].finding_type.meaning == "Pneumothorax"
    assert content.get_planar_roi_measurement_groups()
    segmentation = segread(next(file for file in made[1] if file.name == "SEG.dcm"))
    assert segmentation.number_of_segments >= 1
    assert of_kind(made[2], EvidenceKind.SEG).SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"


@pytest.mark.shared
@pytest.mark.peer
def test_real_slices_of_ten_scanners_get_objects_without_error(
    shared_data: Path, tmp_path: Path, need_program: FindProgram
) -> None:
    verifier, together = need_program("dciodvfy"), need_program("dcentvfy")
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_chest_ct_10_scanners.zip") as archive:
        archive.extractall(tmp_path / "real")
    sources = [path for path in sorted((tmp_path / "real").rglob("*.dcm")) if path.is_file()]
    assert len(sources) >= 7
    for source in sources:
        header = scan_header(source)
        image = ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)
        found = replace(findings(image)[0], laterality=None, heat_maps=())
        objects = build_evidence(reading(ReadResult((found,))), card(), [source])
        files = [tmp_path / f"{item.kind.value}.dcm" for item in objects]
        for file, item in zip(files, objects, strict=True):
            file.write_bytes(item.data)
            assert [line for line in lines_of(verifier, file) if "Error" in line] == [], source.name
        assert [line for line in lines_of(together, source, *files) if "Error" in line] == []


@pytest.mark.peer
def test_a_site_can_have_its_own_validator_run_on_every_object(tmp_path: Path, need_program: FindProgram) -> None:
    _, objects = case("DX", tmp_path)
    assert prove_externally(objects, Path(need_program("dciodvfy"))) == "dciodvfy 0 errors"
    page = next(item for item in objects if item.kind is EvidenceKind.SECONDARY_CAPTURE)
    broken = part10_without(page, "ConversionType")
    with pytest.raises(NotProven, match="ConversionType"):
        prove_externally([broken], Path(need_program("dciodvfy")))


def test_a_validator_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, objects = case("DX", tmp_path)
    with pytest.raises(EvidenceError, match="did not run"):
        prove_externally(objects, tmp_path / "missing")


def part10_without(item: EncodedObject, keyword: str) -> EncodedObject:
    dataset = parse(item)
    delattr(dataset, keyword)
    return replace(item, data=part10(dataset))
