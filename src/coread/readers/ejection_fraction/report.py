"""From the ventricle of all phases to volumes, ejection fraction with its uncertainty, outlines, curve and finding."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import Finding, Measurement, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Curve, ReadResult, Refusal
from coread.readers.ejection_fraction import words
from coread.readers.ejection_fraction.cine import Cine, references_of
from coread.readers.ejection_fraction.outputs import EJECTION
from coread.readers.ejection_fraction.tracking import Ventricle
from coread.readers.ejection_fraction.window import Window
from coread.readers.heart_curve import Beat, minima_of_cycle, one_beat

REDUCED_PERCENT = 40.0
"""Heart failure with reduced ejection fraction: 40 % or less (universal definition, Bozkurt 2021)."""
PAPILLARY = "Papillary muscles and trabeculae are counted as blood of the cavity"
_LEAST_SLICES = 5
_LEAST_ROUND, _LEAST_ENCLOSED = 0.6, 0.5
_CUT_OFF = 0.3
_CUT_OFF_BASE = 0.6
_LEAST_EJECTED_PERCENT = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The cine that was read, the place of the squares in it, and images that were not read."""

    cine: Cine
    ventricle: Ventricle
    window: Window


@dataclass(frozen=True, slots=True)
class Volumes:
    """What was measured, ml and per cent, with half widths of 95 % intervals."""

    beat: Beat
    ejected: float
    ejected_spread: float
    largest_spread: float
    smallest_spread: float


def reason_against(seen: Seen) -> Reason | None:
    """Return why the ventricle cannot be measured: wrong plane, not covered, or no regular beat."""
    ventricle, areas = seen.ventricle, seen.ventricle.areas_mm2
    beat = one_beat(volume_curve(seen))
    at_diastole = areas[beat.diastole]
    if int((at_diastole > 0).sum()) < _LEAST_SLICES:
        found = f"the ventricle is in {int((at_diastole > 0).sum())} slices, at least {_LEAST_SLICES} are needed"
        return Reason(ReasonCode.TOO_FEW_IMAGES, found)
    if ventricle.roundness < _LEAST_ROUND or ventricle.enclosed < _LEAST_ENCLOSED:
        found = f"no short axis: roundness {ventricle.roundness:.2f}, {ventricle.enclosed:.0%} enclosed by muscle"
        return Reason(ReasonCode.WRONG_VIEW, found)
    if min(at_diastole[0], at_diastole[-1]) > _CUT_OFF * at_diastole.max():
        return Reason(ReasonCode.INDETERMINATE, "the stack ends within the ventricle on both sides")
    if beat.ejected_percent < _LEAST_EJECTED_PERCENT or minima_of_cycle(volume_curve(seen)) != 1:
        return Reason(ReasonCode.INDETERMINATE, "the volumes do not follow one regular heart beat")
    return None


def volume_curve(seen: Seen) -> NDArray[np.float64]:
    """Return the volume of each phase, ml: areas times the distance of the planes (disc summation)."""
    return np.asarray(seen.ventricle.areas_mm2.sum(axis=1) * seen.cine.slice_distance_mm() / 1000)


def measured(seen: Seen, parameters: Mapping[str, Any]) -> Volumes:
    """Return volumes and ejection fraction; the spread joins edge, base and the error that phantoms showed."""
    beat = one_beat(volume_curve(seen))
    ejected = beat.ejected_percent
    edge = abs(_at_level(seen, beat, 0.35) - _at_level(seen, beat, 0.65)) / 2
    base = abs(_without_base(seen, beat) - ejected) / 2
    half = float(np.sqrt(edge**2 + base**2 + float(parameters["ejection_percent"]) ** 2))
    share = float(parameters["volume_share"])
    slab = _base_ml(seen, beat)
    spreads = [float(np.hypot(share * value, slab[k])) for k, value in enumerate((beat.largest, beat.smallest))]
    return Volumes(beat, ejected, half, spreads[0], spreads[1])


def reported(card: ReaderCard, digest: str, seen: Seen, found: Volumes) -> ReadResult | Refusal:
    """Return measurements, outlines of both phases, the curve and the finding."""
    beat, curve = found.beat, volume_curve(seen)
    stroke = beat.largest - beat.smallest
    rows = (
        (words.END_DIASTOLIC, beat.largest, words.ML, found.largest_spread, (beat.diastole,)),
        (words.END_SYSTOLIC, beat.smallest, words.ML, found.smallest_spread, (beat.systole,)),
        (words.STROKE, stroke, words.ML, stroke * found.ejected_spread / max(found.ejected, 1.0), ()),
        (words.EJECTION_FRACTION, found.ejected, words.PERCENT, found.ejected_spread, (beat.diastole, beat.systole)),
    )
    measurements = tuple(
        Measurement(
            concept, round(value, 3), unit, round(spread, 3), site=words.VENTRICLE,
            images=tuple(references_of([seen.cine.volumes[phase] for phase in phases])),
        )
        for concept, value, unit, spread, phases in rows
    )  # fmt: skip
    regions = tuple(
        _region(digest, seen, phase, name)
        for phase, name in ((beat.diastole, "end diastole"), (beat.systole, "end systole"))
    )
    notes, drawn = _notes(seen, beat), _curve(seen, curve, beat)
    return ReadResult((_finding(card, seen, found),), measurements, regions, notes=notes, curves=(drawn,))


def _at_level(seen: Seen, beat: Beat, level: float) -> float:
    largest, smallest = ((seen.ventricle.shares[k] >= level).sum() for k in (beat.diastole, beat.systole))
    return 100.0 * (1 - float(smallest) / max(float(largest), 1.0))


def _base(seen: Seen, beat: Beat) -> int:
    """Return the last slice with a cavity on the side of the base: there it is larger than at the apex."""
    filled = np.flatnonzero(seen.ventricle.areas_mm2[beat.diastole] > 0)
    areas = seen.ventricle.areas_mm2[beat.diastole]
    half = len(filled) // 2
    near_first = areas[filled[:half]].sum() > areas[filled[-half:]].sum()
    return int(filled[0] if near_first else filled[-1])


def _without_base(seen: Seen, beat: Beat) -> float:
    areas = np.delete(seen.ventricle.areas_mm2, _base(seen, beat), axis=1).sum(axis=1)
    return 100.0 * (1 - float(areas[beat.systole] / areas[beat.diastole]))


def _base_ml(seen: Seen, beat: Beat) -> tuple[float, float]:
    """Return a quarter of what the basal slice adds at end diastole and at end systole: how far its choice counts."""
    slab = seen.ventricle.areas_mm2[:, _base(seen, beat)] * seen.cine.slice_distance_mm() / 1000
    return float(slab[beat.diastole]) / 4, float(slab[beat.systole]) / 4


def _region(digest: str, seen: Seen, phase: int, name: str) -> Region:
    volume = seen.cine.volumes[phase]
    rows, columns = seen.window.way_back(seen.cine)
    soft = rows @ seen.ventricle.shares[phase] @ columns.T
    mask = np.ascontiguousarray(seen.cine.as_came(soft) >= 0.5)
    uid = derived_uid("left-ventricle", digest, name, *(ref.sop_instance_uid for ref in volume.references()[:1]))
    label = f"Left ventricle, {name}"
    return Region(
        label, words.ROI_CATEGORY, words.VENTRICLE, mask, volume.references(), TrackingId(label, uid), volume.geometry
    )


def _finding(card: ReaderCard, seen: Seen, found: Volumes) -> Finding:
    spec = card.output(EJECTION)
    if found.ejected + found.ejected_spread <= REDUCED_PERCENT:
        presence = Presence.PRESENT
    elif found.ejected - found.ejected_spread > REDUCED_PERCENT:
        presence = Presence.ABSENT
    else:
        presence = Presence.INDETERMINATE
    phases = [seen.cine.volumes[found.beat.diastole], seen.cine.volumes[found.beat.systole]]
    return Finding(
        spec.key, spec.concept, presence, site=spec.site, images=tuple(references_of(phases)),
        urgent=spec.urgent and presence is Presence.PRESENT,
    )  # fmt: skip


def _notes(seen: Seen, beat: Beat) -> tuple[str, ...]:
    areas = seen.ventricle.areas_mm2[beat.diastole]
    notes = [
        f"End diastole: phase {beat.diastole + 1}, end systole: phase {beat.systole + 1} of {seen.cine.phases}",
        f"Disc summation over {int((areas > 0).sum())} slices, {seen.cine.slice_distance_mm():.2f} mm apart",
        PAPILLARY,
    ]
    if max(areas[0], areas[-1]) > _CUT_OFF_BASE * areas.max():
        notes.append("The stack ends within the base: the volumes may be too small")
    return tuple(notes)


def _curve(seen: Seen, curve: NDArray[np.float64], beat: Beat) -> Curve:
    times = seen.cine.times_ms
    along = times or tuple(float(number + 1) for number in range(len(curve)))
    points = tuple((float(x), round(float(y), 3)) for x, y in zip(along, curve, strict=True))
    return Curve(
        "Left ventricular volume", "time" if times else "phase", "ms" if times else "", "volume", "ml", points,
        (("end diastole", beat.diastole), ("end systole", beat.systole)),
    )  # fmt: skip


__all__ = ["Seen", "Volumes", "measured", "reason_against", "reported", "volume_curve"]
