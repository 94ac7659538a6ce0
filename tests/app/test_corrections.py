"""Corrections of outlines and numbers: new versions with who and why, whose objects follow the earlier ones."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.app.corrections import Corrector, Wish, checked_mask, current_result, newest_version, outline_changed
from coread.app.deriving import DERIVED
from coread.app.errors import CannotCorrect
from coread.app.export import export_studies
from coread.app.pipeline import evidence_maker
from coread.app.settings import Settings
from coread.domain.cards import ReaderCard, ReaderKind
from coread.domain.codes import Code
from coread.domain.findings import Measurement
from coread.domain.results import Reading, ReadResult
from coread.domain.work import EvidenceKind
from coread.evidence.revision import Revision
from coread.evidence.sr_reading import read_sr
from coread.evidence.writing import Writing
from coread.phantoms.ct import CtRecipe, ct_series
from coread.store import CorrectedMeanwhile, Store, StoreSettings
from tests.web import world
from tests.web.ct_case import ML, REGION_UID, read_ct

SQUARE = np.array([[14.0, 9.0], [22.0, 9.0], [22.0, 15.0], [14.0, 15.0]])


class Read:
    """One CT study with a measured region, read and stored."""

    def __init__(self, store: Store, *, objects: bool = False, more: tuple[Measurement, ...] = ()) -> None:
        case = read_ct(store, evidence=objects, more=more)
        self.uid, self.images, self.region, self.work_id = case.uid, case.images, case.region, case.work_id
        make = evidence_maker(Settings.model_validate({})) if objects else lambda *_: ()
        self.corrector = Corrector(store, make, (world.PACS,), (world.CARD,))
        self.store = store

    def wish(self, version: int = 1, user: str = "maria", reason: str = "leaks into the vessel") -> Wish:
        return Wish(self.work_id, version, user, reason)

    def outline(self, version: int = 1, **more: Any) -> Any:
        image = (self.images[2].sop_instance_uid, 1)
        return self.corrector.outline(self.wish(version, **more), REGION_UID, image, [SQUARE])

    def objects(self, kind: EvidenceKind) -> list[Dataset]:
        records = [item for item in self.store.evidence(self.uid) if item.kind is kind]
        return [dcmread(BytesIO(self.store.path_of(item.path).read_bytes())) for item in records]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    with Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as store:
        yield Read(store)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Read]:
    """With all objects of every version."""
    with Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as store:
        yield Read(store, objects=True)


def test_a_corrected_outline_is_a_version_with_who_when_what_and_why(read: Read) -> None:
    stored = read.outline()
    assert (stored.version, stored.user, stored.reason) == (2, "maria", "leaks into the vessel")
    assert stored.what == "outline of Nodule, image 3"
    assert stored.before.startswith("48 pixels, Volume 0.25 ml")
    assert stored.after.startswith("48 pixels, Volume ")
    corrected = current_result(read.store, read.work_id, 2)
    assert corrected.regions[0].mask[2, 9:15, 14:22].all()
    assert corrected.regions[0].mask[2].sum() == 48
    assert np.array_equal(corrected.regions[0].mask[3], read.region.mask[3])
    own = current_result(read.store, read.work_id, 1)
    assert np.array_equal(own.regions[0].mask, read.region.mask), "the reader's own result stays"
    assert [event.event for event in read.store.history(read.uid)].count("people.corrected") == 1


def test_numbers_of_a_corrected_region_are_counted_anew_or_left_out_and_said(read: Read) -> None:
    read.outline()
    corrected = current_result(read.store, read.work_id, 2)
    assert [m.concept.meaning for m in corrected.measurements] == ["Volume", "Attenuation Coefficient", "Length"]
    assert read.region.geometry is not None
    voxel_ml = abs(np.linalg.det(read.region.geometry.matrix()[:3, :3])) / 1000
    assert corrected.measurements[0].value == pytest.approx(96 * voxel_ml)
    assert corrected.measurements[1].value != 40.0
    assert any("Odd number" in note for note in corrected.notes)
    assert "Not counted anew from the corrected outline of Nodule: Length" in corrected.notes
    assert any("corrected by maria" in note and "leaks into the vessel" in note for note in corrected.notes)


def test_a_sum_follows_the_corrected_outline_in_the_objects_too(tmp_path: Path) -> None:
    total = Measurement(Code("SUM_VOLUMES", "99COREAD", "Sum of volumes of followed lesions"), 0.25, ML, 0.02)
    with Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as store:
        read = Read(store, objects=True, more=(total,))
        stored = read.outline()
        corrected = current_result(store, read.work_id, 2)
        volume, summed = corrected.measurements[0], corrected.measurements[-1]
        assert summed.value == pytest.approx(volume.value, abs=1e-3)
        assert (summed.uncertainty, summed.method) == (None, DERIVED)
        assert f"Derived from corrected values: {total.name()}" in corrected.notes
        assert stored.before.endswith(f"{total.name()} 0.25 ml")
        written = read_sr(read.objects(EvidenceKind.SR)[-1]).measurements
        assert [one.value for one in written if one.method == DERIVED] == [summed.value]


def test_a_diameter_names_the_slice_that_it_is_now_on_and_probabilities_stay_with_the_network(read: Read) -> None:
    own = current_result(read.store, read.work_id, 1)
    images = read.region.images
    long_axis = Measurement(
        Code("103339001", "SCT", "Long axis"), 8.0, Code("mm", "UCUM", "millimeter"), tracking=read.region.tracking,
        images=(images[2],),
    )  # fmt: skip
    chances = read.region.mask.astype(np.float32)
    result = replace(own, measurements=(long_axis,), regions=(replace(own.regions[0], probability=chances),))
    wide = np.array([[1.0, 8.0], [23.0, 8.0], [23.0, 16.0], [1.0, 16.0]])
    change = outline_changed(read.store, result, REGION_UID, (images[3].sop_instance_uid, 1), [wide])
    assert change.result.measurements[0].images == (images[3],)
    assert change.result.regions[0].probability is None


def test_the_objects_of_a_version_follow_those_before_and_are_queued(written: Read) -> None:
    written.outline()
    first, second = written.objects(EvidenceKind.SR)
    (before,) = second.PredecessorDocumentsSequence
    named = before.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in first
    assert "corrected v2" in second.SeriesDescription
    assert read_sr(second).measurements[0].value != read_sr(first).measurements[0].value
    segmentations = written.objects(EvidenceKind.SEG)
    assert [str(item.SegmentSequence[0].SegmentAlgorithmType) for item in segmentations] == [
        "AUTOMATIC",
        "SEMIAUTOMATIC",
    ]
    assert len({item.SeriesInstanceUID for item in segmentations}) == 2
    waiting = {delivery.evidence_id for delivery in written.store.deliveries(study_uid=written.uid, destination="PACS")}
    assert waiting == {item.evidence_id for item in written.store.evidence(written.uid)}


def test_a_correction_after_reading_the_same_again_has_objects_of_its_own(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late images of another series: the reader's own result and its digests are the same, versions begin anew."""
    said = read.store.reading(read.work_id)
    assert said is not None
    assert isinstance(said.ending, ReadResult)
    monkeypatch.setattr(world, "digest_of", lambda _: said.provenance.input_digest)
    made: list[Writing] = []

    def make(reading: Reading, card: ReaderCard, _: object, revision: Revision | None = None) -> tuple[()]:
        assert isinstance(reading.ending, ReadResult)
        copied: Any = None
        made.append(Writing(reading.ending, reading.provenance, card, (), copied, revision=revision))
        return ()

    read.corrector = replace(read.corrector, make_evidence=make)
    read.corrector.number(read.wish(), 3, 13.0)
    world.send(read.store, ct_series(CtRecipe(slices=7))[6])
    world.settle(read.store, read.uid)
    read.work_id = world.finish(read.store, said.ending, evidence=False)
    read.corrector.number(read.wish(), 3, 14.0)
    assert [one.revision.number for one in made if one.revision] == [2, 2]
    assert made[0].sop_uid(EvidenceKind.SR) != made[1].sop_uid(EvidenceKind.SR)


def test_an_export_tells_of_corrections(read: Read, tmp_path: Path) -> None:
    read.corrector.number(read.wish(), 3, 14.0)
    export_studies(read.store, tmp_path / "out", [read.uid], images=False)
    document = json.loads((tmp_path / "out" / read.uid / "results.json").read_text())
    (told,) = document["corrections"]
    assert (told["version"], told["user"], told["after"]) == (2, "maria", "14 mm")


def test_a_number_is_corrected_without_the_interval_of_the_old_one(read: Read) -> None:
    stored = read.corrector.number(read.wish(), 3, 14.0)
    assert (stored.what, stored.before, stored.after) == ("Length", "12.5 ± 0.4 mm", "14 mm")
    corrected = current_result(read.store, read.work_id, 2).measurements[3]
    assert (corrected.value, corrected.uncertainty) == (14.0, None)


def test_going_back_is_one_more_version_and_deletes_nothing(read: Read) -> None:
    read.outline()
    back = read.corrector.back_to(read.wish(2, reason="it was right"), 1)
    assert (back.version, back.same_as) == (3, 1)
    assert np.array_equal(current_result(read.store, read.work_id, 3).regions[0].mask, read.region.mask)
    assert [item.version for item in read.store.corrections.of_study(read.uid)] == [2, 3]
    with pytest.raises(CannotCorrect, match="no such earlier"):
        read.corrector.back_to(read.wish(3), 3)


def test_the_second_of_two_who_correct_the_same_version_is_told(read: Read) -> None:
    read.outline()
    with pytest.raises(CorrectedMeanwhile, match=r"maria corrected this result meanwhile \(version 2"):
        read.corrector.number(read.wish(1, user="jonas"), 3, 15.0)
    assert newest_version(read.store, read.work_id) == 2


def test_the_second_is_told_too_when_both_were_written_at_once(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    late = read.corrector
    monkeypatch.setattr(Corrector, "_may", lambda self, wish: None)  # noqa: ARG005 - looked before the first was stored
    late.number(read.wish(), 3, 13.0)
    with pytest.raises(CorrectedMeanwhile):
        late.number(read.wish(user="jonas"), 3, 15.0)
    assert current_result(read.store, read.work_id, 2).measurements[3].value == 13.0


def test_the_result_of_a_study_that_is_read_again_is_not_corrected(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    world.send(read.store, ct_series(CtRecipe(slices=7))[6])
    read.outline()
    world.settle(read.store, read.uid)
    with pytest.raises(CorrectedMeanwhile, match="read again"):
        read.outline(2)
    monkeypatch.setattr(Corrector, "_may", lambda self, wish: None)  # noqa: ARG005 - looked before it was settled
    with pytest.raises(CorrectedMeanwhile, match="read again"):
        read.corrector.number(read.wish(2), 2, 13.0)
    assert newest_version(read.store, read.work_id) == 2


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[1, 1], [5, 1]], "three points"),
        ([[1, 1], [5, 5], [5, 1], [1, 5]], "crosses itself"),
        ([[1, 1], [50, 1], [5, 5]], "leaves the image"),
        ([[-1, 1], [5, 1], [5, 5]], "leaves the image"),
        ([[1, 1], [1.2, 1], [1.2, 1.2]], "empty"),
        ([[1, 1], [float("nan"), 1], [3, 3]], "no number"),
    ],
)
def test_an_outline_that_cannot_be_meant_is_refused_with_words(points: list[list[float]], words: str) -> None:
    with pytest.raises(CannotCorrect, match=words):
        checked_mask([np.array(points, dtype=float)], (20, 24))


def test_outlines_that_cross_and_too_many_points_are_refused() -> None:
    one = np.array([[2.0, 2], [8, 2], [8, 8], [2, 8]])
    with pytest.raises(CannotCorrect, match="cross one another"):
        checked_mask([one, one + 3], (20, 24))
    with pytest.raises(CannotCorrect, match="more than 2000"):
        checked_mask([np.zeros((2001, 2))], (20, 24))
    ring = checked_mask([one, np.array([[4.0, 4], [6, 4], [6, 6], [4, 6]])], (20, 24))
    assert ring.sum() == 36 - 4


def test_what_would_change_nothing_or_leave_nothing_is_refused(read: Read) -> None:
    image = (read.images[2].sop_instance_uid, 1)
    same = np.array([[12.0, 10], [20, 10], [20, 16], [12, 16]])
    with pytest.raises(CannotCorrect, match="same pixels"):
        read.corrector.outline(read.wish(), REGION_UID, image, [same])
    with pytest.raises(CannotCorrect, match="no such region"):
        read.corrector.outline(read.wish(), "2.25.9", image, [SQUARE])
    with pytest.raises(CannotCorrect, match="not looked for"):
        read.corrector.outline(read.wish(), REGION_UID, ("1.2.3", 1), [SQUARE])
    with pytest.raises(CannotCorrect, match="Say why"):
        read.corrector.number(read.wish(reason="  "), 3, 1.0)
    with pytest.raises(CannotCorrect, match="same as before"):
        read.corrector.number(read.wish(), 3, 12.5)
    with pytest.raises(CannotCorrect, match="no number"):
        read.corrector.number(read.wish(), 3, float("inf"))
    read.corrector.outline(read.wish(), REGION_UID, image, [])
    with pytest.raises(CannotCorrect, match="Nothing of Nodule would be left"):
        read.corrector.outline(read.wish(2), REGION_UID, (read.images[3].sop_instance_uid, 1), [])


def test_the_card_of_another_version_or_of_a_triage_reader_corrects_nothing(read: Read) -> None:
    other = replace(read.corrector, cards=(replace(world.CARD, version="9.9"),))
    with pytest.raises(CannotCorrect, match="not switched on"):
        other.number(read.wish(), 3, 13.0)
    triage = replace(read.corrector, cards=(replace(world.CARD, kind=ReaderKind.TRIAGE),))
    with pytest.raises(CannotCorrect, match="triage"):
        triage.number(read.wish(), 3, 13.0)


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_the_objects_of_a_version(written: Read, need_program: Callable[[str], str]) -> None:
    verifier = need_program("dciodvfy")
    written.outline()
    for item in written.store.evidence(written.uid):
        done = subprocess.run([verifier, written.store.path_of(item.path)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], item.kind
