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
from coread.readers.ejection_fraction.areas import Areas
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
_BASE_SHARE = 0.15
"""How far the share of the slice at the base that lies in the ventricle is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The cine that was read, what was found in it, and where the squares lie."""

    cine: Cine
    ventricle: Ventricle
    areas: Areas
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
    ventricle, areas = seen.ventricle, seen.areas.mm2
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
    return np.asarray(seen.areas.mm2.sum(axis=1) * seen.cine.slice_distance_mm() / 1000)


def measured(seen: Seen, parameters: Mapping[str, Any]) -> Volumes:
    """Return volumes and ejection fraction; the spread joins the slice at the base with the error on phantoms."""
    beat = one_beat(volume_curve(seen))
    share = float(parameters["volume_share"])
    base = [_base_ml(seen, phase) for phase in (beat.diastole, beat.systole)]
    spreads = [
        float(np.hypot(share * value, ml)) for value, ml in zip((beat.largest, beat.smallest), base, strict=True)
    ]
    from_base = np.hypot(beat.smallest / beat.largest * base[0], base[1]) / beat.largest
    half = float(np.hypot(100 * from_base, float(parameters["ejection_percent"])))
    return Volumes(beat, beat.ejected_percent, half, spreads[0], spreads[1])


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


def _base_ml(seen: Seen, phase: int) -> float:
    """Return what an uncertain share of the slice at the base means in ml."""
    base = int(seen.areas.base[phase])
    return _BASE_SHARE * float(seen.areas.mm2[phase, base]) * seen.cine.slice_distance_mm() / 1000


def _mask(seen: Seen, phase: int) -> NDArray[np.float32]:
    """Return the shares of cavity (slices, side, side) in the slices that count by half or more."""
    last, step = int(seen.areas.base[phase]), seen.ventricle.towards_base
    if seen.areas.base_share[phase] >= 0.5:
        last += step
    places = np.arange(len(seen.ventricle.shares[phase]))
    kept = places <= last if step > 0 else places >= last
    shares = seen.ventricle.shares[phase]
    return np.asarray(np.where(kept[:, np.newaxis, np.newaxis], shares, 0), dtype=np.float32)


def _region(digest: str, seen: Seen, phase: int, name: str) -> Region:
    volume = seen.cine.volumes[phase]
    rows, columns = seen.window.way_back(seen.cine)
    soft = np.asarray(rows @ _mask(seen, phase) @ columns.T, dtype=np.float32)
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
    elif found.ejected - found.ejected_spread > REDUCED_PERCENT and not _ends_in_base(seen, found.beat):
        presence = Presence.ABSENT
    else:
        presence = Presence.INDETERMINATE
    phases = [seen.cine.volumes[found.beat.diastole], seen.cine.volumes[found.beat.systole]]
    return Finding(
        spec.key, spec.concept, presence, site=spec.site, images=tuple(references_of(phases)),
        urgent=spec.urgent and presence is Presence.PRESENT,
    )  # fmt: skip


def _notes(seen: Seen, beat: Beat) -> tuple[str, ...]:
    areas = seen.areas.mm2[beat.diastole]
    notes = [
        f"End diastole: phase {beat.diastole + 1}, end systole: phase {beat.systole + 1} of {seen.cine.phases}",
        f"Disc summation over {int((areas > 0).sum())} slices, {seen.cine.slice_distance_mm():.2f} mm apart",
        PAPILLARY,
    ]
    if _ends_in_base(seen, beat):
        notes.append("The stack ends within the base: the volumes may be too small")
    return tuple(notes)


def _ends_in_base(seen: Seen, beat: Beat) -> bool:
    """Say whether the stack ends where the ventricle is still wide: what lies beyond was not measured."""
    areas = seen.areas.mm2[beat.diastole]
    return bool(max(areas[0], areas[-1]) > _CUT_OFF_BASE * areas.max())


def _curve(seen: Seen, curve: NDArray[np.float64], beat: Beat) -> Curve:
    times = seen.cine.times_ms
    along = times or tuple(float(number + 1) for number in range(len(curve)))
    points = tuple((float(x), round(float(y), 3)) for x, y in zip(along, curve, strict=True))
    return Curve(
        "Left ventricular volume", "time" if times else "phase", "ms" if times else "", "volume", "ml", points,
        (("end diastole", beat.diastole), ("end systole", beat.systole)),
    )  # fmt: skip


__all__ = ["Seen", "Volumes", "measured", "reason_against", "reported", "volume_curve"]
