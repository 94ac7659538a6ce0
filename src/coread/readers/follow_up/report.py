"""What is said of followed lesions: outlines, sizes, changes with their error, response, and FLAIR lesions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import Box, Finding, ImageReference, Measurement, Presence
from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.domain.reading import Arrays, ModelSession, Prior
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Curve, ReadResult, Refusal
from coread.domain.study import Study
from coread.imaging.resampling import resampled_array
from coread.readers.follow_up import words
from coread.readers.follow_up.drawing import box_of, region_of
from coread.readers.follow_up.flair import FlairSaid, flair_said
from coread.readers.follow_up.fresh_report import FreshSaid, fresh_said
from coread.readers.follow_up.known import Site, State
from coread.readers.follow_up.placing import Placed, inverse
from coread.readers.follow_up.response import Followed, Response, days_between, followed_of, line_of, response_of

Mask = NDArray[np.bool_]
_CURVES = 4
"""More would push the numbers off the summary page; the case page plots every lesion over all dates."""
_WHY = {
    State.NOT_OUTLINED: "not outlined on this date: nothing at its place stands out as it did; not assessed",
    State.NOT_KNOWN_AGAIN: "not followed: on its own date the calculated outline is not the marked one; not assessed",
    State.OUTSIDE: "not, or not wholly, in the field of this scan; not assessed",
}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was compared."""

    study: Study
    source: Volume
    """The current volume as it was given."""
    before_study: Study
    older: tuple[Prior, ...]
    sites: tuple[Site, ...]
    laid: Placed
    facing: Geometry
    """The grid of FLAIR masks: the current one, its axes running to the patient's left, back or head."""
    flair: bool
    others: int = 0
    """Lesions that are outlined on the earlier date and not followed: there are too many."""
    fresh: Geometry | None = None
    """The grid on which new lesions were searched in CT."""


def reported(card: ReaderCard, session: ModelSession, seen: Seen, outputs: Arrays) -> ReadResult | Refusal:
    """Return findings, measurements, outlines and one line for each lesion."""
    days = days_between(seen.before_study, seen.study)
    states = [State(int(outputs[f"state_{k}"][0])) for k in range(len(seen.sites))]
    rows = _rows(session, seen, outputs, states, days)
    response = response_of(rows, states, seen.older, seen.before_study, others=seen.others)
    regions, measured, boxes = [], [], []
    for row in rows:
        if not row.present:
            measured += _changes(row, ())
            continue
        mask = _on_source(outputs[f"is_{row.number}"], seen.sites[row.number], seen.source)
        if not mask.any():
            continue
        lesion = row.site.lesion
        region = region_of(lesion.label, lesion.tracking, mask, seen.source, kind=lesion.type)
        regions.append(region)
        measured += [*_sizes(row, region.images), *_changes(row, region.images)]
        if row.grew:
            boxes.append(box_of(mask, seen.source))
    flair = flair_said(session, seen.source, seen.facing, outputs, regions) if seen.flair else FlairSaid()
    fresh = FreshSaid() if seen.fresh is None else fresh_said(session, seen.source, seen.fresh, outputs)
    notes = [_head(seen, days), *(line_of(row) for row in rows)]
    notes += [f"{seen.sites[k].lesion.label}: {_WHY[state]}" for k, state in enumerate(states) if state in _WHY]
    if seen.others:
        notes.append(f"{seen.others} more lesions are outlined in the earlier study: not followed, not assessed")
    notes += [*response.notes, *flair.notes, *fresh.notes]
    findings = (
        _growth(card, seen, rows, states, boxes),
        _progression(card, seen, response),
        _finding(card, words.NEW_FLAIR, flair.presence, seen, flair.boxes),
        _finding(card, words.NEW_CT, fresh.presence, seen, fresh.boxes),
    )
    measured += [*response.measurements(), *flair.measurements, *fresh.measurements]
    if not measured and all(item.presence not in (Presence.PRESENT, Presence.ABSENT) for item in findings):
        return Refusal(Reason(ReasonCode.INDETERMINATE, "; ".join(notes[1:]) or "nothing could be compared"))
    return ReadResult(
        findings,
        tuple(measured),
        (*regions, *flair.regions, *fresh.regions),
        notes=tuple(notes),
        curves=curves_of(rows, days),
    )


def curves_of(rows: Sequence[Followed], days: float | None) -> tuple[Curve, ...]:
    """Return the volumes of the largest lesions over both dates, for the summary page; nothing without an interval."""
    if days is None or days <= 0:
        return ()
    largest = sorted(rows, key=lambda row: max(row.volume.before, row.volume.after), reverse=True)[:_CURVES]
    return tuple(
        Curve(
            f"{row.site.lesion.label}: {row.volume.verdict.value}", "Days", "d", "Volume", "ml",
            ((0.0, round(row.volume.before, 3)), (days, round(row.volume.after, 3))),
            (("earlier study", 0), ("this study", 1)),
        )
        for row in largest
    )  # fmt: skip


def _rows(
    session: ModelSession, seen: Seen, outputs: Arrays, states: Sequence[State], days: float | None
) -> list[Followed]:  # fmt: skip
    rows = []
    for number, (site, state) in enumerate(zip(seen.sites, states, strict=True)):
        if state in (State.FOLLOWED, State.GONE):
            was = np.asarray(outputs[f"was_{number}"], dtype=np.bool_)
            now = np.asarray(outputs[f"is_{number}"], dtype=np.bool_)
            cut = bool(outputs[f"state_{number}"][1])
            rows.append(followed_of(number, site, (was, now), days, session.parameters["repeatability"], cut=cut))
    return rows


def _head(seen: Seen, days: float | None) -> str:
    when = "at an unknown interval" if days is None else f"{days:.0f} days earlier"
    return (
        f"Compared with the study of {seen.before_study.study_date}, {when}; scans laid over one another rigidly, "
        f"correlation {seen.laid.likeness:.2f}; both dates outlined by the same calculation"
    )


def _on_source(mask: NDArray[np.generic], site: Site, source: Volume) -> Mask:
    back = inverse(site.to_now)
    share = resampled_array(mask.astype(np.float32), site.grid, source.geometry, transform=back)
    return np.asarray(share > 0.5)


def _sizes(row: Followed, images: tuple[ImageReference, ...]) -> list[Measurement]:
    tracking = row.site.lesion.tracking
    sizes = ((words.VOLUME, row.volume.after, words.ML, row.volume.half_width, 3),
             (words.LONG, row.long_mm.after, words.MM, row.long_mm.half_width, 1),
             (words.SHORT, row.short_mm[1], words.MM, row.long_mm.half_width, 1))  # fmt: skip
    return [
        Measurement(concept, round(value, digits), unit, round(half, digits), tracking=tracking, images=images)
        for concept, value, unit, half, digits in sizes
    ]


def _changes(row: Followed, images: tuple[ImageReference, ...]) -> list[Measurement]:
    """Return the changes in per cent; a vanished lesion has no outline of its own on this date."""
    tracking = row.site.lesion.tracking if images else None
    found = []
    for concept, change in ((words.VOLUME_CHANGE, row.volume), (words.LONG_CHANGE, row.long_mm)):
        relative = change.after / change.before - 1
        half = change.coefficient * (1 + change.after / change.before) / 2
        found.append(
            Measurement(
                concept, round(100 * relative, 1), words.PERCENT, round(100 * half, 1), tracking=tracking, images=images
            )
        )
    if row.doubling is not None and images:
        found.append(
            Measurement(words.DOUBLING, round(row.doubling.days, 1), words.DAYS, tracking=tracking, images=images)
        )
    return found


def _middle(seen: Seen) -> tuple[ImageReference, ...]:
    references = seen.source.references()
    return references[len(references) // 2 : len(references) // 2 + 1]


def _growth(
    card: ReaderCard, seen: Seen, rows: Sequence[Followed], states: Sequence[State], boxes: Sequence[Box]
) -> Finding:  # fmt: skip
    if any(row.grew for row in rows):
        presence = Presence.PRESENT
    elif not rows:
        presence = Presence.NOT_ASSESSED
    else:
        whole = not seen.others and all(state in (State.FOLLOWED, State.GONE) for state in states)
        presence = Presence.ABSENT if whole else Presence.INDETERMINATE
    return _finding(card, words.GROWTH, presence, seen, boxes)


def _progression(card: ReaderCard, seen: Seen, response: Response) -> Finding:
    return _finding(card, words.PROGRESSION, response.presence, seen, ())


def _finding(card: ReaderCard, key: str, presence: Presence, seen: Seen, boxes: Sequence[Box]) -> Finding:
    spec = card.output(key)
    urgent = presence is Presence.PRESENT and spec.urgent
    images = tuple(dict.fromkeys(box.image for box in boxes)) or _middle(seen)
    return Finding(key, spec.concept, presence, site=spec.site, images=images, locations=tuple(boxes), urgent=urgent)
