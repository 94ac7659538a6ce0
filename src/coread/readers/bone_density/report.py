"""What is said of a numbered spine: measurements with site and uncertainty, regions, two findings, notes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.findings import Finding, ImageReference, Measurement, Presence, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.identifiers import derived_uid
from coread.domain.images import Volume
from coread.domain.reading import Arrays, ModelSession
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.bone_density import words
from coread.readers.bone_density.anchors import LEVELS
from coread.readers.bone_density.density import Calibration, Sampled, calibration_of, mineral, range_name, sampled
from coread.readers.bone_density.fracture import MILD, MODERATE, HeightLoss, height_losses

_UNENHANCED, _ENHANCED = "unenhanced", "enhanced"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The volume that was read, and the grid that it was analysed on."""

    volume: Volume
    grid: Geometry


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One vertebra that was measured."""

    row: int
    roi: Sampled
    density: tuple[float, float] | None

    @property
    def name(self) -> str:
        return LEVELS[self.row]


def reported(card: ReaderCard, session: ModelSession, seen: Seen, outputs: Arrays) -> ReadResult | Refusal:
    """Return the result for a spine that was numbered; a refusal where no vertebra could be measured."""
    parameters = session.parameters
    header = seen.volume.headers[0] if seen.volume.headers else None
    kvp = header.kvp if header is not None else None
    calibration = calibration_of([float(v) for v in outputs["rods"]], kvp, parameters)
    levels, notes = _levels(seen, outputs, calibration, parameters)
    if not levels:
        return Refusal(Reason(ReasonCode.INDETERMINATE, "; ".join(notes) or "no vertebral body was outlined"))
    contrast = _contrast_note(outputs, parameters)
    notes += [_calibration_note(calibration, kvp), *contrast[1]]
    losses = height_losses(outputs["heights"], outputs["found"] > 0)
    notes += [f"{LEVELS[one.row]}: {one.grade()} height loss, {100 * one.share:.0f} % {one.place}"
              for one in losses if one.share >= MILD]  # fmt: skip
    mean, more = _mean_l1_l2(levels, parameters)
    measurements, regions = _written(session, seen, levels, outputs)
    low = _low(card, mean, contrast[0] == _ENHANCED, parameters, seen)
    if mean is not None:
        measurements.append(
            Measurement(words.DENSITY_L1_L2, mean[0], words.MG_CM3, mean[1], site=words.SPINE, derivation=words.MEAN)
        )
    findings = (low, _fracture(card, losses, seen))
    return ReadResult(findings, tuple(measurements), tuple(regions), notes=tuple(notes + more))


def _levels(
    seen: Seen, outputs: Arrays, calibration: Calibration | None, parameters: Mapping[str, Any]
) -> tuple[list[_Level], list[str]]:  # fmt: skip
    levels, notes = [], []
    origin = seen.grid.matrix()[:3, 3]
    for row, name in enumerate(LEVELS):
        if not outputs["found"][row]:
            notes.append(f"{name} not measured: its outline is cut off by the field or not clear")
            continue
        center = origin + outputs["center"][row][::-1]
        half = outputs["half"][row]
        if half[0] < float(parameters["least_half_height_mm"]):
            notes.append(f"{name} not measured: too low for a region of interest away from the endplates")
            continue
        roi = sampled(seen.volume, center, np.ascontiguousarray(outputs["axes"][row][:, ::-1]), half)
        if roi is None or roi.voxels < int(parameters["least_voxels"]):
            notes.append(f"{name} not measured: too few voxels in the region of interest")
            continue
        if roi.highest > float(parameters["metal_hu"]) or roi.deviation > float(parameters["most_deviation_hu"]):
            notes.append(
                f"{name} not measured: metal, cement, a dense focus or artefacts inside (up to {roi.highest:.0f} HU)"
            )
            continue
        open_hu = roi.half_width_hu(float(parameters["independent_mm3"]))
        levels.append(_Level(row, roi, mineral(roi.mean, open_hu, calibration) if calibration else None))
    return levels, notes


def _written(
    session: ModelSession, seen: Seen, levels: list[_Level], outputs: Arrays
) -> tuple[list[Measurement], list[Region]]:  # fmt: skip
    measurements, regions = [], []
    references = seen.volume.references()
    step = float(max(seen.volume.geometry.spacing_mm()))
    for level in levels:
        site, roi = words.SITES[level.name], level.roi
        images = references[roi.first : roi.first + len(roi.mask)]
        tracking = _tracking(session, seen, level.name)
        if images:
            geometry = _part(seen.volume.geometry, roi)
            regions.append(Region(
                f"{level.name} trabecular bone", words.ROI_CATEGORY, site, roi.mask, images, tracking, geometry,
            ))  # fmt: skip
        tied = tracking if images else None
        open_hu = roi.half_width_hu(float(session.parameters["independent_mm3"]))
        base = Measurement(
            words.ATTENUATION, roi.mean, words.HOUNSFIELD, open_hu, tracking=tied, images=images, site=site,
            derivation=words.MEAN,
        )  # fmt: skip
        measurements += [base, replace(base, value=roi.deviation, uncertainty=None, derivation=words.DEVIATION)]
        if level.density is not None:
            value, half = level.density
            measurements.append(replace(base, concept=words.DENSITY, value=value, unit=words.MG_CM3, uncertainty=half))
        for concept, height in zip(words.HEIGHTS, outputs["heights"][level.row].tolist(), strict=True):
            measurements.append(replace(
                base, concept=concept, value=height, unit=words.MM, uncertainty=step, derivation=None,
            ))  # fmt: skip
    return measurements, regions


def _part(geometry: Geometry, roi: Sampled) -> Geometry:
    """Return the grid of the slices that a region lies in."""
    matrix = geometry.matrix()
    matrix[:3, 3] += matrix[:3, 0] * roi.first
    return Geometry((len(roi.mask), *geometry.shape[1:]), affine_of(matrix), geometry.frame_of_reference_uid)


def _tracking(session: ModelSession, seen: Seen, name: str) -> TrackingId:
    header = seen.volume.headers[0] if seen.volume.headers else None
    series = header.series_instance_uid if header is not None else "0"
    return TrackingId(f"{name} trabecular bone", derived_uid(series, session.digest, "bone_density", name))


def _mean_l1_l2(
    levels: list[_Level], parameters: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, list[str]]:  # fmt: skip
    """Return the mean of L1 and L2 with its half width, and what is said of it; ``None`` unless both were measured."""
    both = [level for level in levels if level.name in ("L1", "L2") and level.density is not None]
    notes = _hu_notes(levels, parameters)
    if len(both) < 2:
        return None, [*notes, "no mean of L1 and L2: the ranges for bone density were not applied"]
    values = [level.density for level in both if level.density is not None]
    mean = sum(value for value, _ in values) / 2
    # Calibration errs alike in both, so that the half widths do not average out.
    half = sum(half for _, half in values) / 2
    cut_offs = parameters["cut_offs_mg_cm3"]
    return (mean, half), [*notes, f"L1-L2 {mean:.0f} ± {half:.0f} mg/cm3: {range_name(mean, cut_offs)}"]


def _hu_notes(levels: list[_Level], parameters: Mapping[str, Any]) -> list[str]:
    """Return what the L1 attenuation suggests at 120 kV without contrast agent (Pickhardt 2013)."""
    first = next((level for level in levels if level.name == "L1"), None)
    if first is None:
        return []
    cut_offs = parameters["cut_offs_l1_hu"]
    return [
        f"L1 {first.roi.mean:.0f} HU; at 120 kV {cut_offs['specific']:g} HU or less speaks for osteoporosis, "
        f"more than {cut_offs['sensitive']:g} HU against it"
    ]


def _calibration_note(calibration: Calibration | None, kvp: float | None) -> str:
    if calibration is None:
        voltage = "unknown" if kvp is None else f"{kvp:g} kV"
        return f"no mg/cm3: no known rods in the scan and no calibration of this site for tube voltage {voltage}"
    return (
        f"calibrated by {calibration.source}: {calibration.slope:.3f} HU per mg/cm3, {calibration.offset:.1f} HU at 0"
    )


def _contrast_note(outputs: Arrays, parameters: Mapping[str, Any]) -> tuple[str, list[str]]:
    blood, count = outputs["blood"].tolist()
    if not count:
        return _ENHANCED, ["aorta not found: contrast agent cannot be ruled out, values are not corrected for it"]
    if blood < float(parameters["contrast"]["blood_hu"]):
        return _UNENHANCED, []
    return _ENHANCED, [f"contrast agent in the aorta ({blood:.0f} HU): densities are too high and not corrected"]


def _low(
    card: ReaderCard, mean: tuple[float, float] | None, enhanced: bool, parameters: Mapping[str, Any], seen: Seen
) -> Finding:  # fmt: skip
    cut_off = float(parameters["cut_offs_mg_cm3"]["osteoporosis_below"])
    if mean is None:
        presence = Presence.NOT_ASSESSED
    else:
        value, half = mean
        added = float(parameters["contrast"]["most_added_mg_cm3"]) if enhanced else 0.0
        if value + half < cut_off:
            presence = Presence.PRESENT
        else:
            presence = Presence.ABSENT if value - half - added >= cut_off else Presence.INDETERMINATE
    return _finding(card, words.LOW, presence, seen)


def _fracture(card: ReaderCard, losses: list[HeightLoss], seen: Seen) -> Finding:
    worst = max((one.share for one in losses), default=None)
    if worst is None:
        presence = Presence.NOT_ASSESSED
    elif worst >= MODERATE:
        presence = Presence.PRESENT
    else:
        presence = Presence.INDETERMINATE if worst >= MILD else Presence.ABSENT
    return _finding(card, words.FRACTURE, presence, seen)


def _finding(card: ReaderCard, key: str, presence: Presence, seen: Seen) -> Finding:
    spec = card.output(key)
    references: tuple[ImageReference, ...] = seen.volume.references()
    middle = references[len(references) // 2 : len(references) // 2 + 1]
    urgent = presence is Presence.PRESENT and spec.urgent
    return Finding(key, spec.concept, presence, site=spec.site, images=middle, urgent=urgent)
