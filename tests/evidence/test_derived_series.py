"""Computed images leave as an MR series of their own: the numbers, the places, the origin, and what they never are."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from coread.domain.codes import Code
from coread.domain.derived import DerivedImages, Picture, derived_series_uid
from coread.domain.findings import Finding, ImageReference, Measurement, Presence
from coread.domain.geometry import Geometry, affine_of
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.maps import ParameterMap
from coread.domain.results import ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.derived_series import TOP, with_derived
from coread.evidence.errors import NotBuilt, NotProven
from coread.evidence.prove import prove
from coread.evidence.prove_derived import prove_derived, prove_whole_series
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.writing import Writing
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from tests.evidence.build_sources import PNEUMOTHORAX, card, identity, provenance, reading, save
from tests.evidence.build_volumes import FRAME, SHAPE, affine, axis_directions
from tests.evidence.conftest import of_kind, parse

ORIENTATIONS = list(axis_directions())
PACKAGE = "p" * 64
UNCERTAIN = Code("UNCERTAINTY", "99COREAD", "Uncertainty of the reconstruction")
NO_UNITS = Code("1", "UCUM", "no units")
RESIDUAL = Measurement(Code("RESIDUAL", "99COREAD", "Data consistency residual"), 0.0123, NO_UNITS)


def raw_object(path: Path) -> Path:
    """Write a Raw Data Storage object (PS3.3 A.37): no matrix, no pixels, no place."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = RAW_DATA_STORAGE
    identity(dataset, StudyDescription="Brain")
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "MR", 7, 1
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.StationName = "Scanner & Co", "Tesla 3", "MR-1"
    dataset.ContentDate, dataset.ContentTime = "20261101", "101112"
    dataset.CreatorVersionUID = "1.2.3.4"
    dataset.AcquisitionContextSequence = []
    dataset.BodyPartExamined = "BRAIN"
    return save(dataset, path)


def source_of(path: Path) -> ImageReference:
    header = scan_header(path)
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def computed(path: Path, matrix: NDArray[np.float64] | None = None, **changes: object) -> DerivedImages:
    voxels = np.random.default_rng(5).gamma(2.0, 31.7, SHAPE).astype(np.float32)
    grid = Geometry(SHAPE, affine_of(affine(ORIENTATIONS[29]) if matrix is None else matrix), FRAME)
    images = DerivedImages(
        label="MR reconstruction 4x, research use",
        voxels=voxels,
        geometry=grid,
        sources=(source_of(path),),
        derivation="Reconstructed from one in four lines",
        series_instance_uid=derived_series_uid(PACKAGE, "d" * 64),
        attributes=(("EchoTime", "98"), ("RepetitionTime", "5000.5"), ("SequenceVariant", "SK\\SP")),
    )
    return replace(images, **changes)  # type: ignore[arg-type]


def result(images: DerivedImages, *more: DerivedImages) -> ReadResult:
    spread = ParameterMap(
        "Uncertainty", UNCERTAIN, NO_UNITS, images.voxels / np.float32(9), images.references(), images.geometry
    )
    found = Finding("pneumothorax", PNEUMOTHORAX, Presence.PRESENT, images=images.references()[1:2])
    rest = [replace(found, key=key, presence=Presence.NOT_ASSESSED, images=()) for key in ("effusion", "nodule")]
    pictures = tuple(
        Picture(caption, (images.voxels[k] / max(float(images.voxels.max()), 1.0)).astype(np.float32), 0.7, 0.9)
        for k, caption in enumerate(("zero-filled", "reconstruction", "uncertainty"))
    )
    return ReadResult(
        (found, *rest), (RESIDUAL,), maps=(spread,), images=(images, *more), pictures=pictures, notes=("Said",)
    )


def built(said: ReadResult, path: Path) -> tuple[EncodedObject, ...]:
    return build_evidence(reading(said), card(), [path])


def slices_of(objects: tuple[EncodedObject, ...]) -> list[Dataset]:
    found = [parse(item) for item in objects if item.kind is EvidenceKind.DERIVED_IMAGES]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return raw_object(tmp_path / "raw.dcm")


@pytest.mark.parametrize("number", [0, 17, 29, 44])
def test_what_leaves_is_read_back_equal_and_in_its_place(raw: Path, tmp_path: Path, number: int) -> None:
    images = computed(raw, affine(ORIENTATIONS[number]))
    objects = built(result(images), raw)
    paths = []
    for k, item in enumerate(one for one in objects if one.kind is EvidenceKind.DERIVED_IMAGES):
        paths.append(tmp_path / f"{k}.dcm")
        paths[-1].write_bytes(item.data)
    step = float(images.voxels.max()) / TOP
    for dataset, voxels in zip(slices_of(objects), images.voxels, strict=True):
        assert float(dataset.RealWorldValueMappingSequence[0].RealWorldValueSlope) == pytest.approx(step)
        assert np.abs(dataset.pixel_array * step - voxels).max() <= step * 0.5001
    volume = load_volume([(path, scan_header(path)) for path in paths])
    centres = np.argwhere(np.ones(SHAPE, bool))
    there = np.rint(volume.geometry.to_index(images.geometry.to_patient(centres))).astype(int)
    assert np.abs(volume.voxels[tuple(there.T)] * step - images.voxels.ravel()).max() <= step * 0.5001
    assert volume.geometry.frame_of_reference_uid == FRAME


def test_they_say_what_they_are_and_stand_beside_the_scanners_series(raw: Path) -> None:
    images = computed(raw, synthetic=True)
    objects = built(result(images), raw)
    slices = slices_of(objects)
    first = slices[0]
    assert list(first.ImageType) == ["DERIVED", "PRIMARY", "OTHER", "M"]
    assert first.SeriesDescription == "SYNTHETIC MR reconstruction 4x, research use"
    assert {one.SeriesInstanceUID for one in slices} == {images.series_instance_uid}
    assert images.series_instance_uid != source_of(raw).series_instance_uid
    assert [one.InstanceNumber for one in slices] == [1, 2, 3, 4, 5]
    assert first.SourceInstanceSequence[0].ReferencedSOPInstanceUID == source_of(raw).sop_instance_uid
    assert "SourceImageSequence" not in first, "raw data are no image"
    assert "one in four lines" in first.DerivationDescription
    assert "is the magnitude" in first.DerivationDescription
    scanner = {str(item.Manufacturer) for item in first.ContributingEquipmentSequence}
    assert scanner == {"Scanner & Co", "Coread (research use)"}
    assert (str(first.EchoTime), str(first.RepetitionTime), list(first.SequenceVariant)) == (
        "98",
        "5000.5",
        ["SK", "SP"],
    )
    assert (first.ScanningSequence, first.BodyPartExamined, first.PatientID) == ("RM", "BRAIN", "PAT-0001")
    assert "RescaleSlope" not in first


def test_the_other_objects_refer_to_them_and_not_to_raw_data_as_an_image(raw: Path) -> None:
    images = computed(raw)
    objects = built(result(images), raw)
    uids = {reference.sop_instance_uid for reference in images.references()}
    report = of_kind(objects, EvidenceKind.SR)
    library = next(item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "111028")
    listed = {
        entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for entry in library.ContentSequence[0].ContentSequence
    }
    assert listed == uids
    written = of_kind(objects, EvidenceKind.PARAMETRIC_MAP)
    named = {
        str(item.ReferencedSOPInstanceUID) for item in written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert named == uids
    selection = of_kind(objects, EvidenceKind.KEY_OBJECT)
    assert source_of(raw).sop_instance_uid not in str(selection.ContentSequence)
    assert images.references()[1].sop_instance_uid in str(selection.ContentSequence)
    page = of_kind(objects, EvidenceKind.SECONDARY_CAPTURE)
    assert {str(item.ReferencedSOPInstanceUID) for item in page.SourceImageSequence} == {
        images.references()[1].sop_instance_uid
    }


def test_twice_gives_the_same_objects(raw: Path) -> None:
    images = computed(raw)
    one, two = built(result(images), raw), built(result(images), raw)
    assert [item.sop_instance_uid for item in one] == [item.sop_instance_uid for item in two]
    assert [item.data for item in one if item.kind is EvidenceKind.DERIVED_IMAGES] == [
        item.data for item in two if item.kind is EvidenceKind.DERIVED_IMAGES
    ]


def test_frames_over_time_are_one_series_with_one_scale(raw: Path) -> None:
    images = computed(raw)
    frames = [replace(images, voxels=images.voxels * factor, position=n, positions=2) for n, factor in ((1, 1), (2, 3))]
    slices = slices_of(built(result(*frames), raw))
    assert [int(one.TemporalPositionIdentifier) for one in slices] == [1] * 5 + [2] * 5
    assert {int(one.NumberOfTemporalPositions) for one in slices} == {2}
    assert [int(one.InstanceNumber) for one in slices] == list(range(1, 11))
    assert len({float(one.RealWorldValueMappingSequence[0].RealWorldValueSlope) for one in slices}) == 1
    assert int(slices[4].pixel_array.max()) * 3 == pytest.approx(int(slices[9].pixel_array.max()), abs=3)


def test_values_that_break_their_representation_are_left_out_and_said(raw: Path) -> None:
    images = computed(raw, attributes=(("EchoTime", "a while"), ("ProtocolName", "x" * 80), ("FlipAngle", "15")))
    objects = built(result(images), raw)
    first = slices_of(objects)[0]
    assert (first.EchoTime, str(first.FlipAngle), "ProtocolName" in first) == (None, "15", False)
    assert b"EchoTime of the raw data is not legal DICOM" in objects[0].data
    with pytest.raises(NotBuilt, match="may not be stated"):
        built(result(computed(raw, attributes=(("PatientName", "Somebody^Else"),))), raw)


@pytest.mark.parametrize(("stated", "sequence"), [("2500", ["RM", "IR"]), ("0", "RM"), ("-1", "RM")])
def test_an_inversion_is_claimed_only_where_one_is_stated(raw: Path, stated: str, sequence: object) -> None:
    images = replace(computed(raw), attributes=(("InversionTime", stated),))
    first = slices_of(built(result(images), raw))[0]
    assert first.ScanningSequence == sequence
    assert ("InversionTime" in first) == (stated == "2500")


def test_images_of_nothing_but_zeros_can_be_written(raw: Path) -> None:
    black = computed(raw, voxels=np.zeros(SHAPE, np.float32))
    slices = slices_of(built(replace(result(black), maps=(), pictures=()), raw))
    assert not any(one.pixel_array.any() for one in slices)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("PixelData", b"\1\0" * (SHAPE[1] * SHAPE[2]), "not those of the result"),
        ("ImagePositionPatient", [0, 0, 0], "lies elsewhere"),
        ("PixelSpacing", [0.9, 0.7], "lies elsewhere"),
        ("FrameOfReferenceUID", "1.2.3", "lies elsewhere"),
        ("ImageType", ["ORIGINAL", "PRIMARY"], "Image Type"),
        ("SourceInstanceSequence", [], "other sources"),
        ("SeriesDescription", "T2 TSE", "for research"),
        ("SOPInstanceUID", "1.2.3", "no slice of the result"),
    ],
)
def test_a_slice_that_says_something_else_does_not_leave(raw: Path, keyword: str, value: object, words: str) -> None:
    said = result(computed(raw))
    images = read_sources([raw])
    writing = with_derived(Writing(said, provenance(), card(), images, copied_header(images)))
    dataset = slices_of(built(said, raw))[2]
    assert prove_derived(dataset, writing) == []
    setattr(dataset, keyword, value)
    assert any(words in line for line in prove_derived(dataset, writing))


def test_a_missing_slice_or_the_scanners_series_does_not_leave(raw: Path) -> None:
    images = computed(raw)
    objects = built(result(images), raw)
    whole = reading(result(images))
    assert "read back" in prove(objects, whole, card(), [raw])
    with pytest.raises(NotProven, match="4 computed slices"):
        prove(
            [one for one in objects if one.sop_instance_uid != images.references()[0].sop_instance_uid],
            whole,
            card(),
            [raw],
        )
    same = result(computed(raw, series_instance_uid=source_of(raw).series_instance_uid))
    sources = read_sources([raw])
    writing = with_derived(Writing(same, provenance(), card(), sources, copied_header(sources)))
    parsed = []
    for item in objects:
        dataset = parse(item)
        dataset.SeriesInstanceUID = source_of(raw).series_instance_uid
        parsed.append((item, dataset))
    assert "a computed series has the UID of a source series" in prove_whole_series(parsed, writing)


def test_the_page_shows_the_pictures_with_their_words(raw: Path) -> None:
    from coread.evidence.summary import draw_summary

    said = result(computed(raw))
    sources = read_sources([raw])
    writing = with_derived(Writing(said, provenance(), card(), sources, copied_header(sources)))
    with_pictures = draw_summary(writing)
    words = " ".join(text for *_, text in with_pictures.texts)
    assert all(caption in words for caption in ("zero-filled", "reconstruction", "uncertainty", "not for diagnosis"))
    plain = draw_summary(replace(writing, result=replace(said, pictures=())))
    assert with_pictures.image.size[1] > plain.image.size[1]
    assert "series of their own" in " ".join(text for *_, text in plain.texts)


@pytest.mark.peer
def test_dciodvfy_and_dcmtk_find_no_error(raw: Path, tmp_path: Path, need_program: Callable[[str], str]) -> None:
    verifier, dump = need_program("dciodvfy"), need_program("dcmdump")
    for number, item in enumerate(built(result(computed(raw)), raw)):
        file = tmp_path / f"out{number}.dcm"
        file.write_bytes(item.data)
        done = subprocess.run([verifier, file], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], item.kind
        assert subprocess.run([dump, file], capture_output=True, check=False).returncode == 0
