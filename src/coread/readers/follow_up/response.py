"""How much a followed lesion changed against the error of measurement, and what RECIST 1.1 makes of all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import Measurement, Presence
from coread.domain.reading import Prior
from coread.domain.study import Study
from coread.imaging.change import (
    DoublingTime,
    Verdict,
    change_of,
    doubling_time,
    recist_response,
    volume_response,
)
from coread.imaging.change import Response as Category
from coread.imaging.measuring import Diameters, Size, mask_diameters, mask_volume
from coread.readers.follow_up import words
from coread.readers.follow_up.known import Site, State

Mask = NDArray[np.bool_]
_MEASURABLE_MM = 10.0
"""Longest diameter from which a lesion counts as measurable (RECIST 1.1, section 3.1.1, CT)."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One quantity of one lesion on both dates."""

    before: float
    after: float
    coefficient: float
    """Repeatability coefficient, relative to the mean of both."""
    verdict: Verdict

    @property
    def half_width(self) -> float:
        """Return half the width of the 95 % interval of the later value: a single one errs less than a difference."""
        return self.coefficient / math.sqrt(2) * self.after


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """One lesion, measured on both dates; vanished ones measure 0 now."""

    number: int
    site: Site
    volume: Changed
    long_mm: Changed
    short_mm: tuple[float, float]
    doubling: DoublingTime | None
    cut: bool

    @property
    def present(self) -> bool:
        """Whether it is there on the later date."""
        return self.volume.after > 0

    @property
    def grew(self) -> bool:
        """Whether its volume grew by more than the error of measurement."""
        return self.volume.verdict is Verdict.GREW


def followed_of(
    number: int,
    site: Site,
    masks: tuple[Mask, Mask],
    days: float | None,
    repeatability: Mapping[str, Any],
    *,
    cut: bool,
) -> Followed:
    """Measure both outlines in the cube of the site: axial planes, sub-voxel steps."""
    was, now = masks
    before, after = mask_volume(was, site.grid), mask_volume(now, site.grid)
    volume = _changed("volume", before.value, after.value, before.value, repeatability)
    wide = mask_diameters(was, site.grid)
    narrow: Diameters | None = mask_diameters(now, site.grid) if now.any() else None
    long_mm = _changed(
        "diameter", wide.long_axis.value, narrow.long_axis.value if narrow else 0.0, before.value, repeatability
    )
    short = (wide.short_axis.value, narrow.short_axis.value if narrow else 0.0)
    doubling = None
    if days is not None and days > 0 and after.value > 0 and volume.verdict is not Verdict.WITHIN_ERROR:
        half = volume.coefficient / math.sqrt(2)
        doubling = doubling_time(Size(before.value, half * before.value), Size(after.value, half * after.value), days)
    return Followed(number, site, volume, long_mm, short, doubling, cut)


def _changed(kind: str, before: float, after: float, volume_ml: float, repeatability: Mapping[str, Any]) -> Changed:
    known = repeatability[kind]
    measured = known["small"] if volume_ml < float(repeatability["small_below_ml"]) else known["large"]
    coefficient = max(float(measured), float(known["floor"]))
    return Changed(before, after, coefficient, change_of(before, after, repeatability=coefficient).verdict)


def line_of(row: Followed) -> str:
    """Return one line of the table: both volumes and diameters, what the change is worth, doubling time."""
    label, volume, long_mm = row.site.lesion.label, row.volume, row.long_mm
    if not row.present:
        return f"{label}: {volume.before:.2f} ml before, vanished: its place looks like its surroundings did"
    text = (
        f"{label}: {volume.before:.2f} to {volume.after:.2f} ml ({100 * (volume.after / volume.before - 1):+.0f} %, "
        f"{volume.verdict.value}; repeatability {100 * volume.coefficient:.0f} %), long axis {long_mm.before:.1f} to "
        f"{long_mm.after:.1f} mm ({long_mm.verdict.value})"
    )
    if row.doubling is not None:
        word = "doubling" if row.doubling.days > 0 else "halving"
        text += f", {word} time {abs(row.doubling.days):.0f} days"
        if row.doubling.low is not None and row.doubling.high is not None:
            bounds = sorted((abs(row.doubling.low), abs(row.doubling.high)))
            text += f" (95 % {bounds[0]:.0f} to {bounds[1]:.0f})"
    return text + ("; reaches as far as was looked, may be larger" if row.cut else "")


@dataclass(frozen=True, slots=True)
class Response:
    """RECIST 1.1 and volumetric response, by sums of followed lesions."""

    presence: Presence
    sum_mm: float = 0.0
    sum_ml: float = 0.0
    notes: tuple[str, ...] = ()
    measured: bool = False

    def measurements(self) -> list[Measurement]:
        """Return the sums on the later date."""
        if not self.measured:
            return []
        return [
            Measurement(words.SUM_DIAMETERS, round(self.sum_mm, 1), words.MM),
            Measurement(words.SUM_VOLUMES, round(self.sum_ml, 2), words.ML),
        ]


def response_of(
    rows: Sequence[Followed], states: Sequence[State], older: Sequence[Prior], before: Study, *, others: int = 0
) -> Response:
    """Return the response; the baseline is the oldest date on which all measurable lesions are outlined.

    ``others`` are known lesions that were not looked at: with any, nothing can be called absent. Lesions that began as
    candidates are followed and not summed: targets are those of the baseline (RECIST 1.1, section 4.2).
    """
    targets = [row for row in rows if row.long_mm.before >= _MEASURABLE_MM and not _was_candidate(row)]
    if not targets:
        return Response(Presence.NOT_ASSESSED, notes=("no followed lesion of 10 mm or more: no response category",))
    now_mm, now_ml = sum(row.long_mm.after for row in targets), sum(row.volume.after for row in targets)
    dates = [*_older_sums(targets, older, before), (sum(row.long_mm.before for row in targets),
                                                    sum(row.volume.before for row in targets))]  # fmt: skip
    recist = recist_response([*(mm for mm, _ in dates), now_mm], new_lesions=False)
    volumes = volume_response([*(ml for _, ml in dates), now_ml], new_lesions=False)
    lost = others + sum(state not in (State.FOLLOWED, State.GONE) for state in states)
    incomplete = f"; {lost} known lesions were not measured" if lost else ""
    note = (
        f"Sum of long axes of {len(targets)} lesions of 10 mm or more: {dates[-1][0]:.1f} to {now_mm:.1f} mm over "
        f"{len(dates) + 1} dates; by RECIST 1.1 limits {recist.value}, by volume {volumes.value}. New lesions, "
        f"which would be progression, are not counted, target lesions were not chosen by a radiologist{incomplete}"
    )
    if recist is Category.PROGRESSIVE:
        presence = Presence.PRESENT
    else:
        presence = Presence.INDETERMINATE if lost else Presence.ABSENT
    return Response(presence, now_mm, now_ml, (note,), measured=True)


def _was_candidate(row: Followed) -> bool:
    return row.site.lesion.tracking.identifier.startswith(words.CANDIDATE)


def _older_sums(targets: Sequence[Followed], older: Sequence[Prior], before: Study) -> list[tuple[float, float]]:
    """Return the sums on still older dates, oldest first, where outlines of all targets are stored."""
    wanted = {row.site.lesion.tracking.uid for row in targets}
    found = []
    for prior in sorted(older, key=lambda item: item.study.study_date):
        regions = {r.tracking.uid: r for r in prior.regions if r.tracking.uid in wanted and r.geometry is not None}
        if set(regions) != wanted or not prior.study.study_date < before.study_date:
            continue
        sizes = [(region.mask, region.geometry) for region in regions.values() if region.geometry is not None]
        if all(mask.ndim == 3 and mask.any() for mask, _ in sizes):
            lengths = sum(mask_diameters(mask, grid).long_axis.value for mask, grid in sizes)
            found.append((lengths, sum(mask_volume(mask, grid).value for mask, grid in sizes)))
    return found


def days_between(before: Study, now: Study) -> float | None:
    """Return the days between two studies; None where a date is missing or malformed."""
    first, second = (_day(study.study_date) for study in (before, now))
    return None if first is None or second is None else float((second - first).days)


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
