"""Images with outlines burnt in: only where they are asked for, never for triage, and nothing but the outlines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderKind
from coread.domain.findings import Region, TrackingId
from coread.domain.results import ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence import overlay
from coread.evidence.build import build_evidence
from coread.evidence.prove_overlay import prove_overlay
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.writing import Writing
from coread.phantoms.ct import CtRecipe, ct_affine, ct_series
from tests.evidence.build_sources import card, findings, provenance, reading, reference, save
from tests.evidence.build_volumes import NODULE, TISSUE, geometry_of
from tests.evidence.conftest import of_kind


@pytest.fixture
def ct(tmp_path: Path) -> tuple[list[Path], ReadResult]:
    recipe = CtRecipe(slices=10)
    series = ct_series(recipe)
    paths = [save(dataset, tmp_path / f"source{n:02d}.dcm") for n, dataset in enumerate(series)]
    images = tuple(reference(dataset) for dataset in series)
    mask = np.zeros((10, recipe.rows, recipe.columns), dtype=bool)
    mask[3:6, 8:18, 12:20] = True
    geometry = geometry_of(ct_affine(recipe), mask.shape, str(series[0].FrameOfReferenceUID))
    lesion = Region("Nodule", TISSUE, NODULE, mask, images, TrackingId("nodule 1", "2.25.78"), geometry)
    found = replace(findings(images[4])[0], heat_maps=(), key="nodule", laterality=None, locations=())
    return paths, ReadResult((found,), (), (lesion,))


def built(ct: tuple[list[Path], ReadResult], kind: ReaderKind = ReaderKind.DETECTION) -> tuple[EncodedObject, ...]:
    return build_evidence(reading(ct[1]), card(kind), ct[0], tuple(EvidenceKind))


def pixels_of(dataset: Dataset) -> NDArray[np.int16]:
    return np.asarray(dataset.pixel_array, dtype=np.int16)


def test_the_slices_of_a_region_are_copied_with_its_outline_in_their_place(ct: tuple[list[Path], ReadResult]) -> None:
    outlined = of_kind(built(ct), EvidenceKind.OVERLAY)
    assert (outlined.NumberOfFrames, outlined.PhotometricInterpretation, outlined.BurnedInAnnotation) == (
        3,
        "RGB",
        "YES",
    )
    pixels = pixels_of(outlined)
    colour = np.abs(pixels[..., 0] - pixels[..., 2]) > 20
    rows, columns = np.nonzero(colour[1, :24])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 18, 12, 20)
    for groups, source in zip(outlined.PerFrameFunctionalGroupsSequence, ct[0][3:6], strict=True):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert position == dcmread(source).ImagePositionPatient
    assert outlined.FrameOfReferenceUID


def test_nobody_gets_them_who_does_not_ask_and_no_triage_reader_makes_them(ct: tuple[list[Path], ReadResult]) -> None:
    unasked = build_evidence(reading(ct[1]), card(), ct[0])
    assert EvidenceKind.OVERLAY not in {item.kind for item in unasked}
    assert not {EvidenceKind.OVERLAY, EvidenceKind.SEG} & {item.kind for item in built(ct, ReaderKind.TRIAGE)}


def test_too_many_slices_are_left_out_evenly_and_this_is_said(
    ct: tuple[list[Path], ReadResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "MOST_FRAMES", 2)
    outlined = of_kind(built(ct), EvidenceKind.OVERLAY)
    assert outlined.NumberOfFrames == 2
    assert "2 of 3 slices" in outlined.DerivationDescription


def test_a_stray_mark_a_lost_outline_and_a_moved_frame_are_found(ct: tuple[list[Path], ReadResult]) -> None:
    outlined = of_kind(built(ct), EvidenceKind.OVERLAY)
    images = read_sources(ct[0])
    writing = Writing(ct[1], provenance(), card(), images, copied_header(images))
    assert prove_overlay(outlined, writing) == []
    pixels = np.array(outlined.pixel_array)
    pixels[0, 2, 2] = (255, 0, 0)
    outlined.PixelData = pixels.tobytes()
    outlined.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
    problems = prove_overlay(outlined, writing)
    assert any("away from every region" in line for line in problems)
    assert any("lies elsewhere" in line for line in problems)
    moved = replace(ct[1].regions[0], mask=np.roll(ct[1].regions[0].mask, -12, axis=2))
    elsewhere = replace(writing, result=ReadResult(ct[1].findings, regions=(moved,)))
    assert any("no outline" in line for line in prove_overlay(outlined, elsewhere))
