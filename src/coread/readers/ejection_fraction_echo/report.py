"""From the outlines of one or two views to volumes, ejection fraction with uncertainty, curve, finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import Finding, ImageReference, Measurement, Presence
from coread.domain.images import Loop
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Curve, ReadResult, Refusal
from coread.readers.ejection_fraction_echo import words
from coread.readers.ejection_fraction_echo.discs import Outline, biplane_volume, volumes_of
from coread.readers.ejection_fraction_echo.outputs import EJECTION
from coread.readers.ejection_fraction_echo.picture import Fit
from coread.readers.heart_curve import Beat, beats_of, regular

REDUCED_PERCENT = 40.0
"""Heart failure with reduced ejection fraction: 40 % or less (universal definition, Bozkurt 2021)."""
_LENGTHS_APART = 0.2
"""Lengths of the two views that differ by more are foreshortened (ASE/EACVI 2015 asks for at most 10 %)."""
_BEATS_APART_PERCENT = 15.0
_LEAST_EJECTED_PERCENT = 5.0
SIMULATED = "The network learnt from simulated loops only and was never tested on a real one"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One loop with what was found in it."""

    loop: Loop
    fit: Fit
    shares: NDArray[np.float32]
    """(frames, ROWS, COLUMNS): probability of cavity."""
    outlines: tuple[Outline, ...]
    beats: tuple[Beat, ...]

    @property
    def first(self) -> Beat:
        """Return the beat whose ejection fraction is the middle one."""
        ordered = sorted(self.beats, key=lambda beat: beat.ejected_percent)
        return ordered[(len(ordered) - 1) // 2]

    def reference(self, frame: int) -> ImageReference:
        """Return the reference to a frame (from 0)."""
        header = self.loop.header
        return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid, frame + 1)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured; volumes are ml, ``None`` without a calibration."""

    ejected: float
    spread: float
    volumes_ml: tuple[float, float] | None
    biplane: bool
    notes: tuple[str, ...] = ()


def seen_view(loop: Loop, fit: Fit, shares: NDArray[np.float32], outlines: Sequence[Outline]) -> View | Reason:
    """Return the view with its beats, or why it has none that can be measured."""
    curve = volumes_of(outlines)
    missing = int((curve <= 0).sum())
    if missing:
        return Reason(ReasonCode.INDETERMINATE, f"{loop.view}: no left ventricle in {missing} of {len(curve)} frames")
    beats = beats_of(curve)
    if not beats or max(beat.ejected_percent for beat in beats) < _LEAST_EJECTED_PERCENT:
        return Reason(ReasonCode.INDETERMINATE, f"{loop.view}: no heart beat in the volumes of the frames")
    ejected = [beat.ejected_percent for beat in beats]
    times = loop.times_ms or tuple(float(number) for number in range(len(curve)))
    if max(ejected) - min(ejected) > _BEATS_APART_PERCENT or not regular(beats, times):
        return Reason(ReasonCode.INDETERMINATE, f"{loop.view}: the beats differ, as in an arrhythmia")
    return View(loop, fit, shares, tuple(outlines), beats)


def found_in(views: Sequence[View], parameters: Mapping[str, Any]) -> Found | Reason:
    """Return the biplane measurement where both views agree in length, else that of the four-chamber view."""
    notes: list[str] = []
    by_name = {view.loop.view: view for view in views}
    four, two = by_name.get("A4C"), by_name.get("A2C")
    spread = float(parameters["single_plane_percent"])
    if four is not None and two is not None:
        between = [_length_mm(view, view.first.diastole) for view in (four, two)]
        apart = abs(between[0] - between[1]) / max(between)
        if apart > _LENGTHS_APART:
            found = f"the ventricle is {apart:.0%} longer in one view than in the other: foreshortened"
            return Reason(ReasonCode.INDETERMINATE, found)
        if four.fit.row_mm is not None and two.fit.row_mm is not None:
            largest, smallest = (_biplane_ml(four, two, phase) for phase in ("diastole", "systole"))
            ejected = 100 * (1 - smallest / largest)
            spread = float(np.hypot(float(parameters["biplane_percent"]), _between_beats([four, two])))
            return Found(ejected, spread, (largest, smallest), True)
        notes.append("Biplane summation needs the scale of both views")
    view = four if four is not None else views[0]
    beat = view.first
    scale = None if view.fit.row_mm is None else view.fit.row_mm**3 / 1000
    volumes = None if scale is None else (beat.largest * scale, beat.smallest * scale)
    half = float(np.hypot(spread, _between_beats([view])))
    return Found(beat.ejected_percent, half, volumes, False, tuple(notes))


def reported(
    card: ReaderCard, views: Sequence[View], found: Found, parameters: Mapping[str, Any]
) -> ReadResult | Refusal:
    """Return measurements with the frames they come from, curves and the finding."""
    used = list(views) if found.biplane else [next((v for v in views if v.loop.view == "A4C"), views[0])]
    method = words.BIPLANE if found.biplane else words.SINGLE_PLANE
    images = tuple(view.reference(frame) for view in used for frame in (view.first.diastole, view.first.systole))
    rows = [(words.EJECTION_FRACTION, found.ejected, words.PERCENT, found.spread)]
    if found.volumes_ml is not None:
        share = float(parameters["biplane_volume_share" if found.biplane else "single_plane_volume_share"])
        largest, smallest = found.volumes_ml
        rows += [
            (words.END_DIASTOLIC, largest, words.ML, share * largest),
            (words.END_SYSTOLIC, smallest, words.ML, share * smallest),
            (words.STROKE, largest - smallest, words.ML, share * (largest - smallest)),
        ]
    measurements = tuple(
        Measurement(
            concept, round(float(value), 3), unit, round(float(half), 3), method=method, site=words.VENTRICLE,
            images=images,
        )
        for concept, value, unit, half in rows
    )  # fmt: skip
    curves = tuple(_curve(view) for view in used)
    notes = (*_notes(used, found), *found.notes, SIMULATED)
    return ReadResult((_finding(card, found, images),), measurements, notes=notes, curves=curves)


def _length_mm(view: View, frame: int) -> float:
    return view.outlines[frame].length * (view.fit.row_mm or 1.0)


def _biplane_ml(four: View, two: View, phase: str) -> float:
    """Return the biplane volume at end diastole or systole, each view at its own frame and scale."""
    scaled = []
    for view in (four, two):
        outline, mm = view.outlines[getattr(view.first, phase)], view.fit.row_mm or 1.0
        scaled.append(Outline(outline.diameters * mm, outline.length * mm))
    return biplane_volume(*scaled) / 1000


def _between_beats(views: Sequence[View]) -> float:
    """Return the half width of the interval of the mean over the beats that were seen."""
    found = [np.array([beat.ejected_percent for beat in view.beats]) for view in views]
    halves = [1.96 * float(one.std(ddof=1)) / len(one) ** 0.5 for one in found if len(one) > 1]
    return max(halves, default=0.0)


def _finding(card: ReaderCard, found: Found, images: tuple[ImageReference, ...]) -> Finding:
    spec = card.output(EJECTION)
    if found.ejected + found.spread <= REDUCED_PERCENT:
        presence = Presence.PRESENT
    elif found.ejected - found.spread > REDUCED_PERCENT:
        presence = Presence.ABSENT
    else:
        presence = Presence.INDETERMINATE
    urgent = spec.urgent and presence is Presence.PRESENT
    return Finding(spec.key, spec.concept, presence, site=spec.site, images=images, urgent=urgent)


def _notes(views: Sequence[View], found: Found) -> list[str]:
    notes = [
        f"{view.loop.view}: end diastole in frame {view.first.diastole + 1}, end systole in frame "
        f"{view.first.systole + 1} of {len(view.outlines)}; {len(view.beats)} beats"
        for view in views
    ]
    if not found.biplane:
        notes.append("One plane only: the other axis is taken as equally wide")
    if found.volumes_ml is None:
        notes.append("No calibrated region: no volumes; the ejection fraction needs no scale, but square pixels")
    return notes


def _curve(view: View) -> Curve:
    mm, times = view.fit.row_mm, view.loop.times_ms
    volumes = volumes_of(view.outlines) * (1.0 if mm is None else mm**3 / 1000)
    if mm is None:
        volumes = 100 * volumes / volumes.max()
    along = times or tuple(float(number + 1) for number in range(len(volumes)))
    points = tuple((float(x), round(float(y), 3)) for x, y in zip(along, volumes, strict=True))
    marks = (("end diastole", view.first.diastole), ("end systole", view.first.systole))
    return Curve(
        f"Left ventricular volume, {view.loop.view}, one plane", "time" if times else "frame", "ms" if times else "",
        "volume", "%" if mm is None else "ml", points, marks,
    )  # fmt: skip
