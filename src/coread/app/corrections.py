"""A radiologist's corrections: an outline on one slice, a number, or back to an earlier version.

Each is a new version of the result with who, when, what and why; the earlier ones stay. Its objects are written,
proved and queued like those of the reader's own result, and its report names the one before as its predecessor.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from coread.app.deriving import Derived, derived
from coread.app.errors import CannotCorrect
from coread.app.pipeline import EvidenceMaker
from coread.app.remeasuring import ModalityValues, left_standing, remeasured
from coread.domain.cards import ReaderCard, ReaderKind
from coread.domain.corrections import Correction
from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference, Measurement, Region
from coread.domain.results import Reading, ReadResult
from coread.domain.work import Destination, EvidenceKind
from coread.imaging.outlines import Polygon, crosses_itself, filled, polygons_cross
from coread.store import CorrectedMeanwhile, Proposal, Store
from coread.store.corrections import READ_AGAIN

MOST_POINTS = 2000
LONGEST_REASON = 500
FINDINGS_STAND = "Findings stand as the reader called them from its own numbers, not from corrected ones"


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants to correct which version of which result, and why."""

    work_id: int
    version: int
    """The version that the person has seen."""
    user: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A corrected result and the change in words."""

    result: ReadResult
    what: str
    before: str
    after: str
    same_as: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Corrector:
    """What storing a correction needs."""

    store: Store
    make_evidence: EvidenceMaker
    destinations: tuple[Destination, ...]
    cards: tuple[ReaderCard, ...]

    def outline(self, wish: Wish, region_uid: str, image: tuple[str, int], polygons: Sequence[Polygon]) -> Correction:
        """Replace the outline of a region on one source frame (SOP Instance UID, number); no polygon: nothing there.

        Raises CannotCorrect for an outline that cannot be meant, CorrectedMeanwhile when another was faster.
        """
        self._may(wish)
        current = current_result(self.store, wish.work_id, wish.version)
        return self._store(wish, outline_changed(self.store, current, region_uid, image, polygons))

    def number(self, wish: Wish, index: int, value: float) -> Correction:
        """Replace the value of one measurement, by its place in the list of that version."""
        self._may(wish)
        return self._store(wish, number_changed(current_result(self.store, wish.work_id, wish.version), index, value))

    def back_to(self, wish: Wish, earlier: int) -> Correction:
        """Make the content of an earlier version the newest one: an undo that deletes nothing."""
        self._may(wish)
        if not 1 <= earlier < wish.version:
            raise CannotCorrect("There is no such earlier version.")
        result = current_result(self.store, wish.work_id, earlier)
        change = Change(result, f"back to version {earlier}", f"version {wish.version}", f"version {earlier}", earlier)
        return self._store(wish, change)

    def _may(self, wish: Wish) -> None:
        if not wish.reason.strip():
            raise CannotCorrect("Say why: a correction without a reason cannot be followed later.")
        if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\r\n\t" for letter in wish.reason):
            raise CannotCorrect("The reason holds a sign that no text has; type it again.")
        work = self.store.work_item(wish.work_id)
        study = self.store.study(work.study_instance_uid) if work is not None else None
        if work is not None and study is not None and study.generation != work.generation:
            raise CorrectedMeanwhile(READ_AGAIN)
        newest = newest_version(self.store, wish.work_id)
        if work is not None and newest > wish.version:
            latest = [c for c in self.store.corrections.of_study(work.study_instance_uid) if c.work_id == wish.work_id]
            raise CorrectedMeanwhile(
                f"{latest[-1].user} corrected this result meanwhile (version {newest}: {latest[-1].what}). Nothing of "
                "yours was stored: reload the page, look at that version, and correct it if you still want to."
            )

    def _store(self, wish: Wish, change: Change) -> Correction:
        from coread.evidence.revision import Revision

        work = self.store.work_item(wish.work_id)
        reading = self.store.reading(wish.work_id)
        if work is None or reading is None or not isinstance(reading.ending, ReadResult):
            raise CannotCorrect("This reading has no result that could be corrected.")
        card = self._card(work.reader_id, work.reader_version)
        now, number = datetime.now(UTC), wish.version + 1
        proposal = Proposal(
            wish.work_id, number, wish.user, wish.reason.strip(), change.what, change.before, change.after,
            change.result, change.same_as,
        )  # fmt: skip
        said = _sentence(proposal, now)
        corrected = replace(change.result, notes=(*change.result.notes, said))
        revision = Revision(
            number=number,
            person=wish.user,
            predecessor=self._predecessor(work.study_instance_uid, wish.work_id),
            outlined=frozenset(_redrawn(reading.ending, corrected)),
        )
        objects = self.make_evidence(
            Reading(corrected, replace(reading.provenance, started_at=now, finished_at=now)),
            card,
            [self.store.path_of(one.path) for one in self.store.instances(work.sop_instance_uids)],
            revision,
        )
        correction, _ = self.store.corrections.add(replace(proposal, result=corrected), objects, self.destinations)
        return correction

    def _card(self, reader_id: str, version: str) -> ReaderCard:
        card = next((one for one in self.cards if one.reader_id == reader_id and one.version == version), None)
        if card is None:
            raise CannotCorrect(
                f"This result was made by version {version} of {reader_id}, which is not switched on here: its objects "
                "cannot be written again. Switch that version on, or have the study read by the one in use."
            )
        if card.kind is ReaderKind.TRIAGE:
            raise CannotCorrect("A triage reader's result has no outlines or numbers to correct.")
        return card

    def _predecessor(self, study_uid: str, work_id: int) -> tuple[str, str, str] | None:
        reports = [
            item for item in self.store.evidence(study_uid) if item.work_id == work_id and item.kind is EvidenceKind.SR
        ]
        if not reports:
            return None
        return reports[-1].sop_class_uid, reports[-1].sop_instance_uid, reports[-1].series_instance_uid


def newest_version(store: Store, work_id: int) -> int:
    """Return the number of the newest version of a reading: 1 where nobody corrected it."""
    work = store.work_item(work_id)
    if work is None:
        return 1
    own = [item.version for item in store.corrections.of_study(work.study_instance_uid) if item.work_id == work_id]
    return max(own, default=1)


def current_result(store: Store, work_id: int, version: int) -> ReadResult:
    """Return the result of a version: the reader's own for 1; raises CannotCorrect, NoSuchRecord."""
    if version > 1:
        return store.corrections.result(work_id, version)
    reading = store.reading(work_id)
    if reading is None or not isinstance(reading.ending, ReadResult):
        raise CannotCorrect("This reading has no result that could be corrected.")
    return reading.ending


def outline_changed(
    store: Store, result: ReadResult, region_uid: str, image: tuple[str, int], polygons: Sequence[Polygon]
) -> Change:
    """Return the result with another outline of a region on one frame, and its numbers counted anew."""
    at = next((n for n, one in enumerate(result.regions) if one.tracking.uid == region_uid), None)
    if at is None:
        raise CannotCorrect("This result has no such region.")
    region = result.regions[at]
    number = next((n for n, one in enumerate(region.images) if (one.sop_instance_uid, one.frame) == image), None)
    if number is None:
        raise CannotCorrect(f"{region.label} was not looked for on this image: correct it on its own slices.")
    drawn = checked_mask(polygons, (region.mask.shape[-2], region.mask.shape[-1]))
    planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:]).copy()
    pixels = (int(planes[number].sum()), int(drawn.sum()))
    if np.array_equal(planes[number], drawn):
        raise CannotCorrect("The outline encloses the same pixels as before: nothing was changed.")
    planes[number] = drawn
    if not planes.any():
        raise CannotCorrect(f"Nothing of {region.label} would be left. Reject the finding instead.")
    # Probabilities are the network's own and say nothing of what a person drew.
    changed = replace(region, mask=planes.reshape(region.mask.shape), probability=None)
    numbers = remeasured(result.measurements, changed, _modality_values(store))
    follows = derived(result.measurements, numbers)
    lost = [own.name() for own, new in zip(result.measurements, numbers, strict=True) if new is None]
    notes = result.notes
    if lost:
        notes = (*notes, f"Left out, since it was measured in the reader's own outline of {region.label}: "
                 f"{', '.join(lost)}")  # fmt: skip
    standing = (*left_standing(result, [new.name() for _, new in follows.counted]),
                *(one.name() for one in follows.outdated))  # fmt: skip
    notes = _told(notes, result, follows, f"the corrected outline of {region.label}", standing)
    regions = (*result.regions[:at], changed, *result.regions[at + 1 :])
    try:
        corrected = replace(result, regions=regions, measurements=follows.measurements, notes=notes)
    except InvalidRecord as problem:
        raise CannotCorrect(f"Nothing measured would be left of this result: {problem}.") from problem
    counted = _numbers(corrected, changed)
    before = [f"{pixels[0]} pixels", *(line for name, line in _numbers(result, region).items() if name in counted)]
    after = [f"{pixels[1]} pixels", *counted.values()]
    before += [_line(own) for own, _ in follows.counted]
    after += [_line(new) for _, new in follows.counted]
    what = f"outline of {region.label}, {_name_of_image(store, region.images[number])}"
    return Change(corrected, what, ", ".join(before), ", ".join(after))


def checked_mask(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (rows, columns) inside the polygons; raises CannotCorrect with what is wrong with them."""
    rows, columns = shape
    if sum(len(polygon) for polygon in polygons) > MOST_POINTS:
        raise CannotCorrect(f"The outline has more than {MOST_POINTS} points.")
    for polygon in polygons:
        if len(polygon) < 3:
            raise CannotCorrect("An outline needs three points or more.")
        if not np.isfinite(polygon).all():
            raise CannotCorrect("A point of the outline is no number.")
        if polygon.min() < 0 or polygon[:, 0].max() > columns or polygon[:, 1].max() > rows:
            raise CannotCorrect("The outline leaves the image.")
        if crosses_itself(polygon):
            raise CannotCorrect("The outline crosses itself.")
    if polygons_cross(polygons):
        raise CannotCorrect("Two outlines cross one another.")
    mask = filled(polygons, (rows, columns))
    if polygons and not mask.any():
        raise CannotCorrect("The outline is empty: it encloses the centre of no pixel.")
    return mask


def number_changed(result: ReadResult, index: int, value: float) -> Change:
    """Return the result with another value of one measurement; its interval was that of the old one and goes.

    What follows exactly from it is counted again; what else depends on it is named.
    """
    if not 0 <= index < len(result.measurements):
        raise CannotCorrect("This result has no such measurement.")
    if not isfinite(value) or abs(value) > 1e12:
        raise CannotCorrect("The value is no number.")
    old = result.measurements[index]
    if value == old.value:
        raise CannotCorrect("The value is the same as before: nothing was changed.")
    corrected = replace(old, value=value, uncertainty=None, method=None)
    numbers = (*result.measurements[:index], corrected, *result.measurements[index + 1 :])
    follows = derived(result.measurements, numbers)
    standing = [*(one.name() for one in follows.outdated),
                *(f"curve {curve.name}" for curve in result.curves if curve.y_unit == old.unit.value)]  # fmt: skip
    notes = _told(result.notes, result, follows, f"the corrected {old.name()}", standing)
    before = [f"{old.value:.6g}{old.spread()} {old.unit_text()}", *(_line(own) for own, _ in follows.counted)]
    after = [f"{value:.6g} {corrected.unit_text()}", *(_line(new) for _, new in follows.counted)]
    changed = replace(result, measurements=follows.measurements, notes=notes)
    return Change(changed, old.name(), ", ".join(before), ", ".join(after))


def _told(
    notes: tuple[str, ...], result: ReadResult, follows: Derived, what: str, standing: Sequence[str]
) -> tuple[str, ...]:  # fmt: skip
    """Return the notes with what was counted again, what was not, and that no finding was called again; each once."""
    said = []
    if follows.counted:
        names = dict.fromkeys(new.name() for _, new in follows.counted)
        said.append(f"Derived from corrected values: {', '.join(names)}")
    if standing:
        said.append(f"Not counted anew from {what}: {', '.join(dict.fromkeys(standing))}")
    if result.findings:
        said.append(FINDINGS_STAND)
    return (*notes, *(line for line in said if line not in notes))


def _numbers(result: ReadResult, region: Region) -> dict[str, str]:
    return {
        m.name(): _line(m)
        for m in result.measurements
        if m.tracking is not None and m.tracking.uid == region.tracking.uid
    }


def _line(one: Measurement) -> str:
    return f"{one.name()} {one.value:.4g} {one.unit_text()}"


def _redrawn(own: ReadResult, corrected: ReadResult) -> list[str]:
    before = {region.tracking.uid: region.mask for region in own.regions}
    return [
        region.tracking.uid
        for region in corrected.regions
        if region.tracking.uid not in before or not np.array_equal(region.mask, before[region.tracking.uid])
    ]


def _name_of_image(store: Store, image: ImageReference) -> str:
    found = store.instances((image.sop_instance_uid,))
    number = found[0].header.instance_number if found else None
    frame = f", frame {image.frame}" if found and (found[0].header.number_of_frames or 1) > 1 else ""
    return f"image {number}{frame}" if number is not None else f"image {image.sop_instance_uid}{frame}"


def _modality_values(store: Store) -> ModalityValues:
    from coread.imaging.planar import modality_values

    def values(image: ImageReference) -> NDArray[np.float32]:
        found = store.instances((image.sop_instance_uid,))[0]
        return modality_values(store.path_of(found.path), found.header, image.frame).pixels

    return values


def _sentence(proposal: Proposal, now: datetime) -> str:
    text = Correction(
        0, proposal.work_id, "", proposal.version, proposal.user, proposal.reason, now, proposal.what,
        proposal.before, proposal.after, proposal.same_as,
    ).sentence()  # fmt: skip
    return f"{text} ({now:%Y-%m-%d %H:%M} UTC)"
