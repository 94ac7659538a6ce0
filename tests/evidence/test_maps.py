"""Probabilities as fractional segmentations and maps as parametric maps: written, proved, readable by others."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain import codec
from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Measurement, Region
from coread.domain.geometry import Geometry, affine_of
from coread.domain.maps import ParameterMap
from coread.domain.results import ReadResult
from coread.domain.work import DEFAULT_KINDS, EncodedObject, EvidenceKind
from coread.evidence import parametric_map, seg_fractional
from coread.evidence.build import build_evidence
from coread.evidence.prove_map import prove_fractional, prove_map
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.writing import Writing
from tests.evidence.build_sources import card, provenance, reading
from tests.evidence.build_volumes import (
    FRAME,
    MM3,
    SHAPE,
    affine,
    axis_directions,
    ct_slices,
    enhanced_ct,
    off_centre_mask,
    region,
    slice_references,
)
from tests.evidence.conftest import parse

ORIENTATIONS = list(axis_directions())
MATRIX = affine(ORIENTATIONS[29], 11.0)
DENSITY = Code("BMD", "99COREAD", "Bone mineral density")
VOLUME = Measurement(Code("118565006", "SCT", "Volume"), 812.5, MM3)


def chances(seed: int = 3) -> NDArray[np.float32]:
    """Random probabilities; nothing is likely on the first slice."""
    values = np.random.default_rng(seed).random(SHAPE, dtype=np.float32)
    values[0] = 0.0
    return values


def likely(matrix: NDArray[np.float64] = MATRIX) -> Region:
    values = chances()
    return replace(region(matrix, values > 0.5), probability=values)


def density_map(matrix: NDArray[np.float64] = MATRIX) -> ParameterMap:
    values = np.random.default_rng(4).normal(120.0, 900.0, SHAPE).astype(np.float32)
    geometry = Geometry(SHAPE, affine_of(matrix), FRAME)
    unit = Code("mg/cm3", "UCUM", "milligram per cubic centimeter")
    return ParameterMap("Bone mineral density", DENSITY, unit, values, slice_references(), geometry)


def geometry_of(part: slice) -> Geometry:
    """The grid of some neighbouring slices."""
    matrix = MATRIX.copy()
    matrix[:3, 3] += part.start * matrix[:3, 0]
    return Geometry((part.stop - part.start, *SHAPE[1:]), affine_of(matrix), FRAME)


def result() -> ReadResult:
    return ReadResult((), (VOLUME,), (likely(),), maps=(density_map(),))


def built(said: ReadResult, paths: list[Path]) -> tuple[EncodedObject, ...]:
    return build_evidence(reading(said), card(), paths, (*DEFAULT_KINDS, EvidenceKind.PROBABILITY))


def fractional_of(objects: tuple[EncodedObject, ...]) -> Dataset:
    (found,) = [parse(item) for item in objects if item.kind is EvidenceKind.PROBABILITY]
    return found


def map_of(objects: tuple[EncodedObject, ...]) -> Dataset:
    (found,) = [parse(item) for item in objects if item.kind is EvidenceKind.PARAMETRIC_MAP]
    return found


def writing_of(said: ReadResult, paths: list[Path]) -> Writing:
    images = read_sources(paths)
    return Writing(said, provenance(), card(), images, copied_header(images))


@pytest.mark.parametrize("number", [0, 17, 29, 44])
def test_probabilities_and_maps_leave_beside_the_segmentation(tmp_path: Path, number: int) -> None:
    matrix = affine(ORIENTATIONS[number], 11.0)
    said = ReadResult((), (VOLUME,), (likely(matrix),), maps=(density_map(matrix),))
    objects = built(said, ct_slices(matrix, tmp_path))
    fractional = fractional_of(objects)
    assert (fractional.SegmentationFractionalType, fractional.MaximumFractionalValue) == ("PROBABILITY", 255)
    assert fractional.NumberOfFrames == SHAPE[0] - 1, "the frame where nothing is likely is left out"
    assert fractional.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    written = map_of(objects)
    assert written.FrameOfReferenceUID == FRAME
    mapping = written.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mg/cm3"
    assert "FloatPixelData" in written
    assert len({item.series_instance_uid for item in objects}) == len(objects)


def test_highdicom_reads_the_same_numbers(tmp_path: Path) -> None:
    import highdicom

    straight = affine(ORIENTATIONS[29])
    said = ReadResult((), (VOLUME,), (likely(straight),), maps=(density_map(straight),))
    objects = built(said, ct_slices(straight, tmp_path))
    segmentation = highdicom.seg.Segmentation.from_dataset(fractional_of(objects))
    read = segmentation.get_volume(rescale_fractional=True, combine_segments=False).array[..., 0]
    assert sorted(read.max(axis=(1, 2)).round(3).tolist()) == pytest.approx(
        sorted(chances()[1:].max(axis=(1, 2)).tolist()), abs=0.003
    )
    values = highdicom.pm.ParametricMap.from_dataset(map_of(objects)).get_volume().array
    assert sorted(values.ravel().tolist()) == pytest.approx(sorted(density_map().values.ravel().tolist()), rel=1e-6)


def test_probabilities_are_made_only_where_somebody_takes_them(tmp_path: Path) -> None:
    objects = build_evidence(reading(result()), card(), ct_slices(MATRIX, tmp_path))
    assert EvidenceKind.PROBABILITY not in DEFAULT_KINDS
    assert {item.kind for item in objects} >= {EvidenceKind.SEG, EvidenceKind.PARAMETRIC_MAP}
    (outlines,) = [parse(item) for item in objects if item.kind is EvidenceKind.SEG]
    assert outlines.SegmentationType == "BINARY"


def test_changed_numbers_do_not_leave(tmp_path: Path) -> None:
    paths = ct_slices(MATRIX, tmp_path)
    objects = built(result(), paths)
    fractional, written = fractional_of(objects), map_of(objects)
    assert prove_fractional(fractional, likely()) == []
    other = replace(likely(), probability=np.roll(chances(), 1, axis=2))
    assert "does not hold the probabilities" in prove_fractional(fractional, other)[0]
    assert prove_map(written, writing_of(result(), paths)) == []
    wrong = replace(density_map(), values=density_map().values + np.float32(0.5))
    assert "does not hold the values" in prove_map(written, writing_of(replace(result(), maps=(wrong,)), paths))[0]
    renamed = replace(density_map(), unit=Code("1", "UCUM", "no units"))
    assert "is no map of the result" in prove_map(written, writing_of(replace(result(), maps=(renamed,)), paths))[0]


def test_maps_of_one_name_are_told_apart_by_their_images(tmp_path: Path) -> None:
    paths = ct_slices(MATRIX, tmp_path)
    whole = density_map()
    halves = tuple(
        replace(whole, values=whole.values[part] + np.float32(number), images=whole.images[part],
                geometry=geometry_of(part))
        for number, part in enumerate((slice(0, 2), slice(2, SHAPE[0])))
    )  # fmt: skip
    said = replace(result(), maps=halves)
    written = [parse(item) for item in built(said, paths) if item.kind is EvidenceKind.PARAMETRIC_MAP]
    assert len(written) == 2
    assert [prove_map(one, writing_of(said, paths)) for one in written] == [[], []]
    swapped = replace(said, maps=tuple(replace(one, values=one.values + np.float32(9)) for one in halves))
    assert all("does not hold" in prove_map(one, writing_of(swapped, paths))[0] for one in written)


def test_a_multi_frame_source_gives_its_frames_in_its_order(tmp_path: Path) -> None:
    source = enhanced_ct(MATRIX, tmp_path / "enhanced.dcm")
    frames = tuple(replace(slice_references()[0], sop_class_uid=source.SOPClassUID,
                           sop_instance_uid=source.SOPInstanceUID, frame=k + 1) for k in range(SHAPE[0]))  # fmt: skip
    said = ReadResult((), (VOLUME,), (replace(likely(), images=frames),), maps=(replace(density_map(), images=frames),))
    objects = built(said, [tmp_path / "enhanced.dcm"])
    assert map_of(objects).NumberOfFrames == SHAPE[0]
    part = replace(density_map(), values=density_map().values[1:], images=frames[1:],
                   geometry=Geometry((SHAPE[0] - 1, *SHAPE[1:]), affine_of(MATRIX), FRAME))  # fmt: skip
    objects = built(replace(said, maps=(part,)), [tmp_path / "enhanced.dcm"])
    assert EvidenceKind.PARAMETRIC_MAP not in {item.kind for item in objects}
    assert b"covers a part of the frames" in objects[0].data


def test_too_many_frames_or_bytes_leave_the_outline_and_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seg_fractional, "MOST_FRAMES", 2)
    monkeypatch.setattr(parametric_map, "MOST_BYTES", 100)
    objects = built(result(), ct_slices(MATRIX, tmp_path))
    kinds = [item.kind for item in objects]
    assert kinds.count(EvidenceKind.SEG) == 1
    assert EvidenceKind.PARAMETRIC_MAP not in kinds
    assert b"its outline is written, its probabilities are not" in objects[0].data
    assert b"is not written: 0 MB of values" in objects[0].data


def test_records_of_impossible_numbers_cannot_be_made() -> None:
    with pytest.raises(InvalidRecord, match="no numbers"):
        replace(density_map(), values=np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(InvalidRecord, match="of shape"):
        replace(density_map(), images=slice_references()[1:])
    with pytest.raises(InvalidRecord, match=r"in \[0, 1\]"):
        replace(region(MATRIX, off_centre_mask()), probability=np.full(SHAPE, 1.5, np.float32))


def test_maps_and_probabilities_are_stored_as_they_are() -> None:
    encoded = codec.encode(result())
    back = codec.decode(ReadResult, encoded.document, encoded.arrays)
    assert np.array_equal(back.maps[0].values, density_map().values)
    assert back.regions[0].probability is not None
    assert np.array_equal(back.regions[0].probability, chances())


@pytest.mark.peer
def test_dciodvfy_and_dcmtk_find_no_error(tmp_path: Path, need_program: Callable[[str], str]) -> None:
    verifier, dump = need_program("dciodvfy"), need_program("dcmdump")
    for number, item in enumerate(built(result(), ct_slices(MATRIX, tmp_path))):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(item.data)
        done = subprocess.run([verifier, file], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], item.kind
        assert subprocess.run([dump, file], capture_output=True, check=False).returncode == 0
