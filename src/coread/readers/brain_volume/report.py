"""What is said of a measured head: measurements with site and uncertainty, regions, two findings, notes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.codes import Code
from coread.domain.findings import Finding, Measurement, Presence, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.identifiers import derived_uid
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.domain.results import ReadResult
from coread.readers.brain_volume import words
from coread.readers.brain_volume.comparing import Compared, ventricular_growth
from coread.readers.brain_volume.examined import Examined
from coread.readers.brain_volume.lesions import Lesions
from coread.readers.brain_volume.reference import SOURCE, standing
from coread.readers.brain_volume.tissues import Mask

_DAYS_A_YEAR = 365.25
_LEAST_DAYS = 90
"""Over a shorter time the error of a yearly rate is larger than any rate."""
_MEASURED_MM = 1.5
"""The coarsest voxels on which the intervals of volumes were measured."""
_CAVITIES_APART = 0.1
"""Share by which the skull's cavity may differ between T1 and FLAIR of one study."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was read, by what."""

    volume: Volume
    session: ModelSession
    card: ReaderCard

    def error(self, name: str) -> float:
        """Return the half width of the 95 % interval of a volume, as a share of it."""
        return float(self.session.parameters["volume_error_95"][name])

    def change(self, name: str) -> float:
        """Return one of the locked numbers on change, per cent."""
        return float(self.session.parameters["change"][name])


Change = tuple[Examined, Compared]


@dataclass(frozen=True, slots=True, eq=False)
class Flair:
    """The FLAIR volume of the study, read."""

    volume: Volume
    lesions: Lesions


@dataclass(frozen=True, slots=True, eq=False)
class _Load:
    """What is said of lesions."""

    measurements: tuple[Measurement, ...]
    regions: tuple[Region, ...]
    finding: Finding
    notes: tuple[str, ...]


def volumes_reported(
    seen: Seen, now: Examined, change: Change | None, notes: tuple[str, ...], flair: Flair | None = None
) -> ReadResult:
    """Return the result for a T1 volume and, where it was read too, the FLAIR volume of the same study."""
    said = list(notes)
    measurements, regions = _volumes(seen, now, said)
    hippocampi = _hippocampi(seen, now, said)
    measurements += hippocampi[0]
    regions += hippocampi[1]
    if change is not None:
        measurements += _changes(seen, now, change, said)
    said.append(
        "No percentile of volumes: healthy people differ by method as much as by age (Vagberg 2017, PLoS One "
        "12:e0170018), and this method was not measured on healthy people"
    )
    lesions = _finding(seen, words.LESIONS, Presence.NOT_ASSESSED)
    if flair is not None:
        load = _load(replace(seen, volume=flair.volume), flair.lesions)
        measurements += load.measurements
        regions += load.regions
        lesions = load.finding
        said += [*_agreement(now, flair.lesions), *load.notes]
    return ReadResult((_loss(seen, change), lesions), tuple(measurements), tuple(regions), notes=tuple(said))


def lesions_reported(seen: Seen, lesions: Lesions, notes: tuple[str, ...]) -> ReadResult:
    """Return the result for a FLAIR volume."""
    cavity = Measurement(words.VOLUME, lesions.inside_ml, words.ML, lesions.inside_ml * seen.error("intracranial"),
                         site=words.INTRACRANIAL)  # fmt: skip
    load = _load(seen, lesions)
    said = (*notes, "FLAIR: lesion load and intracranial volume only; tissues need a T1 volume", *load.notes)
    findings = (_finding(seen, words.LOSS, Presence.NOT_ASSESSED), load.finding)
    return ReadResult(findings, (cavity, *load.measurements), tuple(load.regions), notes=said)


def _load(seen: Seen, lesions: Lesions) -> _Load:
    """Return what is said of the lesions of a FLAIR volume, which is ``seen.volume``."""
    regions: list[Region] = []
    tracking = None
    if lesions.count and (region := _region(seen, "White matter lesions", words.LESION, lesions.mask)) is not None:
        regions.append(region)
        tracking = region.tracking
    load = Measurement(words.VOLUME, lesions.volume_ml, words.ML, lesions.volume_ml * seen.error("lesions"),
                       tracking=tracking, site=words.LESION)  # fmt: skip
    count = Measurement(words.LESION_COUNT, float(lesions.count), words.COUNT)
    unseen = Presence.INDETERMINATE if lesions.cut else Presence.ABSENT
    presence = Presence.PRESENT if lesions.count else unseen
    cut = "the field of the FLAIR volume cuts the brain: load and volume are those of the part that is seen"
    return _Load((load, count), tuple(regions), _finding(seen, words.LESIONS, presence), (cut,) if lesions.cut else ())


def _agreement(now: Examined, lesions: Lesions) -> tuple[str, ...]:
    """Say what the cavity measures in both volumes: where they are far apart, one was not found well."""
    cavity = now.tissues.cavity_ml()
    said = f"intracranial volume {cavity:.0f} ml in T1, {lesions.inside_ml:.0f} ml in FLAIR"
    if now.cut or lesions.cut:
        return (f"Lesion load from the FLAIR volume of the same study; {said}; a field cuts the brain",)
    apart = abs(lesions.inside_ml / cavity - 1)
    doubt = ": they should agree, look at the outlines" if apart > _CAVITIES_APART else ""
    return (f"Lesion load from the FLAIR volume of the same study; {said}{doubt}",)


def _volumes(seen: Seen, now: Examined, said: list[str]) -> tuple[list[Measurement], list[Region]]:
    tissues = now.tissues
    cavity, grey, white = tissues.cavity_ml(), tissues.volume_ml(1), tissues.volume_ml(2)
    rows: list[tuple[str, Code, float]] = [
        ("intracranial", words.INTRACRANIAL, cavity),
        ("brain", words.BRAIN, grey + white),
        ("fluid", words.FLUID, tissues.volume_ml(0)),
    ]
    means = tissues.mixture.means
    between = (means[0] + means[1]) / 2, (means[1] + means[2]) / 2
    fluid = tissues.inside & (tissues.even < between[0])
    masks: list[tuple[str, Code, Mask]] = [
        ("Ventricles", words.VENTRICLES, tissues.ventricles & tissues.inside),
        ("Cerebrospinal fluid outside the ventricles", words.FLUID, fluid & ~tissues.ventricles),
    ]
    brain = tissues.inside & ~fluid & ~tissues.ventricles
    if now.separate():
        rows += [("grey", words.GREY_MATTER, grey), ("white", words.WHITE_MATTER, white),
                 ("ventricles", words.VENTRICLES, tissues.ventricles_ml())]  # fmt: skip
        masks += [("Grey matter", words.GREY_MATTER, brain & (tissues.even < between[1])),
                  ("White matter", words.WHITE_MATTER, brain & (tissues.even >= between[1]))]  # fmt: skip
    else:
        said.append("grey and white matter and ventricles not measured: too little contrast between the tissues")
        masks.append(("Brain", words.BRAIN, brain))
    found = [Measurement(words.VOLUME, ml, words.ML, ml * seen.error(name), site=site) for name, site, ml in rows]
    if max(seen.volume.geometry.spacing_mm()) > _MEASURED_MM:
        said.append(
            "voxels above 1.5 mm: volumes are less certain than their intervals, which were measured on finer ones"
        )
    if now.cut:
        said.append("the field cuts the brain: volumes are those of the part that is seen")
    else:
        share = 100 * (grey + white) / cavity
        half = share * float(np.hypot(seen.error("brain"), seen.error("intracranial")))
        found.append(Measurement(words.SHARE_OF_HEAD, share, words.PERCENT, half, site=words.BRAIN))
    regions = [_region(seen, label, code, mask) for label, code, mask in masks]
    return found, [region for region in regions if region is not None]


def _hippocampi(seen: Seen, now: Examined, said: list[str]) -> tuple[list[Measurement], list[Region]]:
    found: list[Measurement] = []
    regions: list[Region] = []
    sides = {one.side: one for one in now.hippocampi}
    for side, concept in words.HIPPOCAMPAL_VOLUMES.items():
        one = sides.get(side)
        if one is None:
            said.append(f"{side} hippocampus: not measured (slices too thick, or not found)")
            continue
        if one.doubt:
            said.append(f"{side} hippocampus: indeterminate, {one.doubt}")
            continue
        grid = now.volume.geometry
        region = _region(
            seen, f"{side.capitalize()} hippocampus", words.HIPPOCAMPUS, one.mask(grid),
            one.probability(grid, float(seen.session.parameters["hippocampus_temperature"])),
        )  # fmt: skip
        if region is not None:
            regions.append(region)
        volume = one.volume_ml()
        found.append(
            Measurement(concept, volume, words.ML, volume * seen.error("hippocampus"), site=words.HIPPOCAMPUS,
                        tracking=None if region is None else region.tracking)
        )  # fmt: skip
        said.append(f"{side} hippocampus: anterior {one.volume_ml(1):.2f} ml, posterior {one.volume_ml(2):.2f} ml")
    return found, regions


def _changes(seen: Seen, now: Examined, change: Change, said: list[str]) -> list[Measurement]:
    before, found = change
    percent, error = found.percent(), seen.change("error_95_percent")
    limit = seen.change("repeatability_percent")
    rows = [Measurement(words.BRAIN_CHANGE, percent, words.PERCENT, max(error, limit), site=words.BRAIN)]
    growth = ventricular_growth(found, before.tissues.ventricles_ml())
    rows.append(Measurement(words.VENTRICLE_CHANGE, growth, words.PERCENT, seen.change("ventricle_error_95_percent"),
                            site=words.VENTRICLES))  # fmt: skip
    verdict = "real change" if abs(percent) > limit else "within the error of measurement"
    said.append(f"Brain volume {percent:+.2f} % since the earlier study: {verdict} (repeatability {limit:.2f} %)")
    days = _days(before.volume, now.volume)
    if days is None or days < _LEAST_DAYS:
        said.append("no yearly rate: the dates are not known or less than 90 days apart")
        return rows
    yearly = percent * _DAYS_A_YEAR / days
    rows.append(Measurement(words.BRAIN_CHANGE_YEAR, yearly, words.PERCENT_YEAR, limit * _DAYS_A_YEAR / days,
                            site=words.BRAIN))  # fmt: skip
    age = _age(now.volume)
    place = "age not stated" if age is None else standing(age, -yearly)
    said.append(f"Loss of {-yearly:.2f} % a year over {days} days: {place}. Source: {SOURCE}")
    return rows


def _loss(seen: Seen, change: Change | None) -> Finding:
    if change is None:
        return _finding(seen, words.LOSS, Presence.NOT_ASSESSED)
    lost = change[1].percent() < -seen.change("repeatability_percent")
    return _finding(seen, words.LOSS, Presence.PRESENT if lost else Presence.ABSENT)


def _region(
    seen: Seen, label: str, code: Code, mask: Mask, probability: NDArray[np.float32] | None = None
) -> Region | None:  # fmt: skip
    references = seen.volume.references()
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    if not references or not len(slices):
        return None
    first, last = int(slices[0]), int(slices[-1]) + 1
    matrix = seen.volume.geometry.matrix()
    matrix[:3, 3] += matrix[:3, 0] * first
    shape = (last - first, *seen.volume.geometry.shape[1:])
    geometry = Geometry(shape, affine_of(matrix), seen.volume.geometry.frame_of_reference_uid)
    uid = derived_uid(seen.volume.headers[0].series_instance_uid, seen.session.digest, seen.card.reader_id, label)
    category = words.ABNORMAL if code == words.LESION else words.ANATOMY
    return Region(
        label, category, code, mask[first:last], references[first:last], TrackingId(label, uid), geometry,
        None if probability is None else probability[first:last],
    )  # fmt: skip


def _finding(seen: Seen, key: str, presence: Presence) -> Finding:
    spec = seen.card.output(key)
    references = seen.volume.references()
    middle = references[len(references) // 2 : len(references) // 2 + 1]
    return Finding(key, spec.concept, presence, site=spec.site, images=middle)


def _days(before: Volume, now: Volume) -> int | None:
    first, second = _day(before), _day(now)
    return None if first is None or second is None else (second - first).days


def _day(volume: Volume) -> date | None:
    return _as_day(volume.headers[0].study_date) if volume.headers else None


def _as_day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _age(volume: Volume) -> float | None:
    if not volume.headers:
        return None
    header = volume.headers[0]
    units: Mapping[str, float] = {"Y": 1.0, "M": 1 / 12}
    text = header.patient_age
    if len(text) == 4 and text[:3].isdigit() and text[3] in units:
        return int(text[:3]) * units[text[3]]
    born, seen = _as_day(header.patient_birth_date), _day(volume)
    return None if born is None or seen is None else (seen - born).days / _DAYS_A_YEAR
