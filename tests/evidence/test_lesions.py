"""What readers of lesions say of drawn pictures leaves as objects that prove themselves; a validator agrees."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from coread.domain.cards import ReaderCard
from coread.domain.findings import Box
from coread.domain.reading import Reader
from coread.domain.results import Provenance, Reading, ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.external import prove_externally
from coread.phantoms.brain_mr import BrainRecipe, brain_slice
from coread.phantoms.colon import ColonRecipe, colon_frame
from coread.phantoms.mammogram import MammogramRecipe, mammogram
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.brain_mr_tumor.reader import reader as brain_reader
from coread.readers.colon_polyp.reader import reader as polyp_reader
from coread.readers.lung_nodule_segmentation.reader import reader as nodule_reader
from coread.readers.mammography.reader import reader as mammography_reader
from tests.evidence.conftest import of_kind
from tests.readers.test_lesion_readers import (
    BRAIN,
    MAMMO,
    NODULE,
    POLYP,
    Told,
    brain_maps,
    bright,
    loaded,
    result,
    spot_at,
)

FindProgram = Callable[[str], str]
Made = tuple[ReadResult, tuple[EncodedObject, ...], Path]


def nodule_on_a_ct_slice() -> Dataset:
    """A crop with a position in the patient, as CT images have."""
    dataset = nodule_slice(NoduleSliceRecipe()).dataset
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID, dataset.SliceThickness = "2.25.77", 1.25
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-20.0, -30.0, 40.0], [1, 0, 0, 0, 1, 0]
    return dataset


CASES: dict[str, tuple[Callable[[], Dataset], ReaderCard, Callable[[], Told]]] = {
    "brain": (lambda: brain_slice(BrainRecipe()).dataset, BRAIN, lambda: Told(brain_maps(4.0))),
    "polyp": (
        lambda: colon_frame(ColonRecipe()).dataset(),
        POLYP,
        lambda: Told(lambda shown: {"area": bright(shown, level=0.8)}),
    ),
    "crop": (
        lambda: nodule_slice(NoduleSliceRecipe()).dataset,
        NODULE,
        lambda: Told(lambda shown: {"area": bright(shown, level=0.42)}),
    ),
    "slice": (nodule_on_a_ct_slice, NODULE, lambda: Told(lambda shown: {"area": bright(shown, level=0.42)})),
    "breast": (
        lambda: mammogram(MammogramRecipe(rows=512)).dataset,
        MAMMO,
        lambda: Told(spot_at(slice(100, 150), slice(40, 90), 4.0)),
    ),
}
READERS: dict[str, Callable[[ReaderCard], Reader]] = {
    "brain": brain_reader,
    "polyp": polyp_reader,
    "crop": nodule_reader,
    "slice": nodule_reader,
    "breast": mammography_reader,
}


@pytest.fixture(params=CASES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    draw, card, told = CASES[request.param]
    image = loaded(draw(), tmp_path)
    reader = READERS[request.param](card)
    ending = result(reader, told(), image)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    provenance = Provenance(card.reader_id, card.version, "0" * 64, "1" * 64, "0.1.0", "told", at, at)
    path = tmp_path / "drawn.dcm"
    return ending, build_evidence(Reading(ending, provenance), card, [path]), path


def test_every_object_is_proved_and_masks_leave_as_segmentations(made: Made) -> None:
    ending, objects, _ = made
    kinds = {item.kind for item in objects}
    assert {EvidenceKind.SR, EvidenceKind.SECONDARY_CAPTURE, EvidenceKind.KEY_OBJECT} <= kinds
    assert (EvidenceKind.SEG in kinds) == bool(ending.regions)
    assert all(item.proof for item in objects)


def test_every_box_stands_in_the_report_as_coordinates(made: Made) -> None:
    ending, objects, _ = made
    boxes = [place for finding in ending.findings for place in finding.locations if isinstance(place, Box)]
    graphics = list(_graphics(of_kind(objects, EvidenceKind.SR)))
    for box in boxes:
        corner = np.array([box.column_min, box.row_min], dtype=np.float32)
        assert any(np.allclose(found[:2], corner, atol=1e-3) for found in graphics)


def test_what_was_not_measured_is_said_in_the_report(made: Made) -> None:
    ending, objects, _ = made
    words = list(_texts(of_kind(objects, EvidenceKind.SR)))
    never_measured = {finding.key for finding in ending.findings} & {"polyp", "nodule"}
    assert any("specificity not measured" in text for text in words) == bool(never_measured)


@pytest.mark.peer
def test_a_validator_finds_no_error(made: Made, need_program: FindProgram) -> None:
    _, objects, _ = made
    assert "0 errors" in prove_externally(objects, Path(need_program("dciodvfy")))


def _graphics(item: Dataset) -> list[list[float]]:
    own = [list(item.GraphicData)] if "GraphicData" in item else []
    return own + [found for child in item.get("ContentSequence", ()) for found in _graphics(child)]


def _texts(item: Dataset) -> list[str]:
    own = [str(item.TextValue)] if "TextValue" in item else []
    return own + [found for child in item.get("ContentSequence", ()) for found in _texts(child)]
