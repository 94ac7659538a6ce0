"""The summary page of a volume: outline, scale and curves; and the same page as an encapsulated document."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderKind
from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference, Measurement, Presence, TrackingId
from coread.domain.results import Curve, Reading, ReadResult
from coread.domain.work import DEFAULT_KINDS, EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.key_image import key_image, key_reference
from coread.evidence.page import BLUE, OUTLINES, new_page
from coread.evidence.page_plot import HEIGHT, draw_curve
from coread.evidence.prove_page import page_text, prove_document
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.summary import draw_summary
from coread.evidence.writing import Writing
from coread.store.results import headline_of
from tests.evidence.build_sources import card, findings, provenance, reading, reference
from tests.evidence.build_volumes import MM3, affine, axis_directions, ct_slices, off_centre_mask, region
from tests.evidence.conftest import of_kind

IDENTITY = ("sop_class_uid", "sop_instance_uid", "series_instance_uid")
CURVE = Curve(
    "Volume over the heart beat", "Time", "ms", "Volume", "mL",
    tuple((40.0 * step, 120.0 + 45.0 * np.cos(step / 4)) for step in range(26)),
    (("end diastole", 0), ("end systole", 13)),
)  # fmt: skip


@pytest.fixture
def lesion(tmp_path: Path) -> Writing:
    matrix = affine(next(axis_directions()))
    images = read_sources(ct_slices(matrix, tmp_path))
    volume = Measurement(Code("118565006", "SCT", "Volume"), 812.5, MM3, 3.5)
    result = ReadResult((), (volume,), (region(matrix, off_centre_mask()),), curves=(CURVE, CURVE))
    return Writing(result, provenance(), card(), images, copied_header(images))


def test_the_page_shows_the_slice_through_the_largest_region_with_its_outline_and_a_scale(lesion: Writing) -> None:
    assert key_reference(lesion) == lesion.result.regions[0].images[1]
    key = key_image(lesion, width=700, height=600, marks=True)
    assert key.picture is not None
    pixels = np.asarray(key.picture)
    outline = (pixels == np.array(OUTLINES[0])).all(axis=-1)
    per_pixel = key.picture.size[0] / 7
    _, columns = np.nonzero(outline)
    assert abs(columns.min() - 4 * per_pixel) < 3
    assert abs(columns.max() - 6 * per_pixel) < 3
    assert "outlined: nodule" in key.caption
    assert (pixels[-20:, -60:] > 200).any()


def test_a_curve_is_drawn_with_its_named_points(lesion: Writing) -> None:
    texts = [text for *_, text in draw_summary(lesion).texts]
    assert texts.count("Volume over the heart beat") == 2
    assert texts.count("end systole") == 2
    assert "Time (ms)" in texts
    assert "812.5  ±  3.5  mm3" in texts


@pytest.mark.parametrize("height", [0.0, 3.0, 1e-7, 5e9])
def test_a_curve_of_any_height_can_be_drawn(lesion: Writing, height: float) -> None:
    flat = replace(CURVE, points=((0.0, 1.0), (1.0, 1.0 + height)), marks=())
    assert draw_summary(replace(lesion, result=replace(lesion.result, curves=(flat,)))).image.size[0] == 1400


def test_a_change_within_the_error_does_not_fill_the_height_of_a_curve() -> None:
    sheet = new_page(600, HEIGHT)
    curve = Curve("Lesion: within the error", "Days", "d", "Volume", "ml", ((0.0, 4.1), (92.0, 4.3)))
    draw_curve(sheet, curve, (0, 0), 600)
    rows = np.flatnonzero((np.asarray(sheet.image) == np.array(BLUE)).all(axis=2).any(axis=1))
    assert rows.max() - rows.min() < 0.1 * HEIGHT
    written = [text for _, _, _, text in sheet.texts]
    assert "0" in written
    assert "75" in written


def test_a_curve_needs_two_points() -> None:
    with pytest.raises(InvalidRecord):
        replace(CURVE, points=((0.0, 1.0),), marks=())
    with pytest.raises(InvalidRecord, match="finite"):
        replace(CURVE, points=((0.0, 1.0), (1.0, float("nan"))), marks=())


@pytest.mark.parametrize(
    ("presences", "said"),
    [
        ((), "Measurements only: no finding was assessed"),
        ((Presence.NOT_ASSESSED,), "Measurements only: no finding was assessed"),
        ((Presence.ABSENT, Presence.INDETERMINATE), "Indeterminate: "),
        ((Presence.ABSENT, Presence.NOT_ASSESSED), "Not detected: "),
        ((Presence.ABSENT,), "Nothing detected that this reader looks for"),
        ((Presence.ABSENT, Presence.PRESENT), "Suspected: "),
    ],
)
def test_the_headline_is_a_negative_only_where_everything_was_looked_at(
    lesion: Writing, presences: tuple[Presence, ...], said: str
) -> None:
    named = ImageReference(*[getattr(lesion.images[0].header, word) for word in IDENTITY])
    plain = replace(findings(named)[0], heat_maps=(), locations=(), probability=None, threshold=None, urgent=False)
    given = tuple(
        replace(plain, presence=presence, operating_point="", tracking=TrackingId(f"{number}", f"2.25.{number}"))
        for number, presence in enumerate(presences, start=1)
    )
    result = replace(lesion.result, findings=given)
    page = draw_summary(replace(lesion, result=result))
    assert any(words.startswith(said) for _, _, _, words in page.texts)
    top = headline_of(Reading(result, provenance()))
    assert (top == "No finding suspected") is (said.startswith(("Nothing", "Not detected")))


def test_a_reader_of_images_notes_and_suspects_nothing(lesion: Writing) -> None:
    named = ImageReference(*[getattr(lesion.images[0].header, word) for word in IDENTITY])
    plain = replace(findings(named)[0], heat_maps=(), locations=(), probability=None, threshold=None, urgent=False)
    result = replace(lesion.result, findings=(replace(plain, presence=Presence.PRESENT, operating_point=""),))
    writing = replace(lesion, result=result, card=replace(lesion.card, kind=ReaderKind.RECONSTRUCTION))
    words = [text for _, _, _, text in draw_summary(writing).texts]
    assert any(text.startswith("Note: ") for text in words)
    assert "YES" in words
    assert not any("suspected" in text.lower() for text in words)


def document_of(path: Path, result: ReadResult) -> Dataset:
    return of_kind(build_evidence(reading(result), card(), [path]), EvidenceKind.PDF)


def test_the_page_leaves_as_a_document_whose_text_can_be_read(chest: tuple[Dataset, Path], tmp_path: Path) -> None:
    said = ReadResult(findings(reference(chest[0])))
    document = document_of(chest[1], said)
    assert (document.Modality, document.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    assert document.SourceInstanceSequence[0].ReferencedSOPInstanceUID == chest[0].SOPInstanceUID
    data = bytes(document.EncapsulatedDocument)[: document.EncapsulatedDocumentLength]
    text = " ".join(page_text(data))
    assert "SUSPECTED" in text
    assert "Yamada" not in text, "the page names no patient"
    assert document_of(chest[1], said).EncapsulatedDocument == document.EncapsulatedDocument


def test_a_document_that_says_another_number_does_not_leave(chest: tuple[Dataset, Path]) -> None:
    image = reference(chest[0])
    volume = Measurement(Code("118565006", "SCT", "Volume"), 812.5, MM3, 3.5)
    document = document_of(chest[1], ReadResult(findings(image), (volume,)))
    images = read_sources([chest[1]])
    other = ReadResult(findings(image), (replace(volume, value=912.5),))
    writing = Writing(other, provenance(), card(), images, copied_header(images))
    assert prove_document(document, writing) == ["the encapsulated page does not say '912.5 ± 3.5 mm3'"]


def test_a_destination_gets_no_burnt_in_copies_unless_it_asks() -> None:
    assert EvidenceKind.PDF in DEFAULT_KINDS
    assert EvidenceKind.OVERLAY not in DEFAULT_KINDS
