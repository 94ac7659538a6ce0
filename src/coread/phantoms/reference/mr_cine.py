"""Cardiac MR, cine in the short axis: a left ventricle whose volume in every phase is a closed form.

The ventricle is an ellipsoid cut off at the mitral plane, which moves towards the apex in systole; the muscle keeps its
volume. Drawn in the frame of the heart (z along its long axis, towards the base) and turned into the patient.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import mr_image
from coread.phantoms.reference.heart_beat import Beat, cut_length
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.objects import ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Grid, Setup, grid_over
from coread.phantoms.reference.scene import Measured, Part, Rendering, Scene, render
from coread.phantoms.reference.shapes import (
    HalfSpace,
    Overlap,
    Shape,
    Superellipsoid,
    Triple,
    Tube,
    Union,
    Without,
    rotation_matrix,
)
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "mr-cine"
SPACING_MM: Triple = (10.0, 1.5, 1.5)
_THICKNESS_SHARE = 0.8
_TO_PATIENT = rotation_matrix((-52.0, 28.0, 38.0))
"""How the long axis of this heart lies in the chest."""
_MUSCLE_G_PER_ML = 1.05
_BLOOD, _MUSCLE, _FAT, _LUNG = 880.0, 270.0, 700.0, 45.0


@dataclass(frozen=True, slots=True)
class CineTruth:
    """What is known of the left ventricle; blood includes the papillary muscles, as is the usual convention."""

    edv_ml: float = stated(140.0, "end-diastolic volume", low=40, high=400)
    esv_ml: float = stated(58.0, "end-systolic volume", low=10, high=380)
    mass_g: float = stated(115.0, "muscle of the left ventricle", low=50, high=350)
    phases: int = stated(25, "images in one heart beat", low=8, high=60)
    heart_rate: float = stated(64.0, "beats per minute", low=30, high=180)
    papillary: bool = stated(True, "draw papillary muscles in the blood")

    def __post_init__(self) -> None:
        checked(self)
        if self.esv_ml >= self.edv_ml:
            raise BadTruth(f"esv_ml={self.esv_ml:g} is not below edv_ml={self.edv_ml:g}")

    @property
    def beat(self) -> Beat:
        """Return the heart beat."""
        return Beat(self.phases)

    def volume_ml(self, phase: int) -> float:
        """Return the exact volume of a phase."""
        return self.edv_ml - (self.edv_ml - self.esv_ml) * self.beat.emptied(phase)


@dataclass(frozen=True, slots=True)
class Ventricle:
    """The left ventricle in one phase, in the frame of the heart."""

    radius_mm: float
    half_length_mm: float
    """From the middle of the ellipsoid to the apex."""
    apex_mm: float
    base_mm: float

    @property
    def middle_mm(self) -> float:
        """Return z of the middle of the ellipsoid."""
        return self.apex_mm + self.half_length_mm

    def volume_mm3(self) -> float:
        """Return the closed form of the cut ellipsoid."""
        return float(np.pi * self.radius_mm**2 * cut_length(self.half_length_mm, self.base_mm - self.middle_mm))

    def solid(self) -> Shape:
        """Return the cavity, or the whole heart muscle with its cavity."""
        whole = Superellipsoid((0.0, 0.0, self.middle_mm), (self.radius_mm, self.radius_mm, self.half_length_mm))
        return Overlap((whole, HalfSpace((0.0, 0.0, 1.0), self.base_mm)))


def ventricle(truth: CineTruth, phase: int) -> tuple[Ventricle, Ventricle]:
    """Return the cavity and the outer surface of the muscle in one phase."""
    emptied = truth.beat.emptied(phase)
    size = (truth.edv_ml / 140.0) ** (1 / 3)
    apex, resting_base = -66.0 * size, 30.0 * size
    base = resting_base - 13.0 * size * emptied
    inner_apex = apex + 2.0 * size * emptied
    half = 0.76 * (base - inner_apex)
    length = cut_length(half, base - (inner_apex + half))
    inner = Ventricle(float(np.sqrt(truth.volume_ml(phase) * 1000 / np.pi / length)), half, inner_apex, base)
    outer_apex = apex - 7.0 * size
    outer_half = 0.76 * (base - outer_apex)
    whole = inner.volume_mm3() + truth.mass_g / _MUSCLE_G_PER_ML * 1000
    outer_length = cut_length(outer_half, base - (outer_apex + outer_half))
    outer = Ventricle(float(np.sqrt(whole / np.pi / outer_length)), outer_half, outer_apex, base)
    if outer.radius_mm < inner.radius_mm + 1.5:
        raise BadTruth(f"mass_g={truth.mass_g:g} is too little muscle around {truth.edv_ml:g} ml")
    return inner, outer


def heart_scene(truth: CineTruth, phase: int, seed: int) -> Scene:
    """Return the chest around the heart in one phase, in the frame of the heart."""
    inner, outer = ventricle(truth, phase)
    emptied = truth.beat.emptied(phase)
    size = (truth.edv_ml / 140.0) ** (1 / 3)
    muscle = outer.solid()
    r = outer.radius_mm
    right = Superellipsoid((-r * 0.95, 6.0, outer.base_mm - 40.0), (30.0 * size, 33.0 * size, 46.0 * size))
    squeezed = Superellipsoid(right.center_mm, tuple(a * (1 - 0.2 * emptied) for a in right.half_axes_mm))  # type: ignore[arg-type]
    below_base = HalfSpace((0.0, 0.0, 1.0), inner.base_mm)
    wall = Superellipsoid(right.center_mm, tuple(a * (1 - 0.2 * emptied) + 3.5 for a in right.half_axes_mm))  # type: ignore[arg-type]
    atrium = Superellipsoid((2.0, 0.0, inner.base_mm + 24.0), (25.0 + 3 * emptied, 22.0 + 3 * emptied, 24.0))
    fat = Superellipsoid((-18.0, 3.0, -10.0), (78.0 * size, 62.0 * size, 92.0 * size))
    grain = Waves(seed, 14.0, 7.0)
    parts = [
        Part(
            "body", Superellipsoid((-45.0, 10.0, 0.0), (155.0, 125.0, 900.0), 2.3, 8), _FAT, Waves(seed + 1, 30.0, 15.0)
        ),
        Part("chest wall", Superellipsoid((-45.0, 12.0, 0.0), (138.0, 108.0, 900.0), 2.3, 8), 230, grain),
        Part(
            "lungs", Superellipsoid((-45.0, 10.0, 0.0), (120.0, 92.0, 900.0), 2.3, 8), _LUNG, Waves(seed + 2, 8.0, 9.0)
        ),
        Part("liver", Superellipsoid((-75.0, 75.0, -60.0), (80.0, 55.0, 75.0)), 380, grain),
        Part("epicardial fat", fat, _FAT * 0.85, grain),
        Part("right wall", Without(Overlap((wall, below_base)), muscle), _MUSCLE),
        Part(
            "right ventricle",
            Without(Overlap((squeezed, below_base)), muscle),
            _BLOOD * 0.94,
            Waves(seed + 3, 25.0, 12.0),
        ),
        Part("atrium wall", Superellipsoid(atrium.center_mm, tuple(a + 3.0 for a in atrium.half_axes_mm)), _MUSCLE),  # type: ignore[arg-type]
        Part("left atrium", atrium, _BLOOD * 0.96, Waves(seed + 4, 25.0, 12.0)),
        Part("left ventricular muscle", muscle, _MUSCLE, grain),
        Part("left ventricle", inner.solid(), _BLOOD, Waves(seed + 5, 20.0, 14.0)),
    ]
    if truth.papillary:
        parts.append(Part("papillary muscles", _papillary(inner), _MUSCLE))
    return Scene(10.0, tuple(parts), _pose())


def _papillary(inner: Ventricle) -> Shape:
    """Return two muscles that stay within the cavity."""
    height = inner.base_mm - inner.apex_mm
    low, high = inner.apex_mm + 0.30 * height, inner.apex_mm + 0.58 * height
    columns = []
    for angle in (0.9, 2.6):
        x, y = 0.62 * inner.radius_mm * np.cos(angle), 0.62 * inner.radius_mm * np.sin(angle)
        columns.append(Tube(((x, y, low), (0.9 * x, 0.9 * y, high)), (0.15 * inner.radius_mm,)))
    return Overlap((Union(tuple(columns)), inner.solid()))


def _pose() -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(row[0]), float(row[1]), float(row[2]), 0.0) for row in _TO_PATIENT)


def make(truth: CineTruth, setup: Setup) -> Made:
    """Compute the series, phase by phase, and the volume of every phase."""
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0], age="058Y")
    size = (truth.edv_ml / 140.0) ** (1 / 3)
    field: tuple[Triple, Triple] = ((-150.0, -135.0, -75.0 * size - 4.0), (110.0, 135.0, 30.0 * size + 12.0))
    upright = replace(grid_over(field, setup, SPACING_MM, who.frame_of_reference_uid), thickness_share=_THICKNESS_SHARE)
    grid = upright.turned(_TO_PATIENT)
    names = ["left ventricle", "left ventricular muscle", *(["papillary muscles"] if truth.papillary else [])]
    drawn = [
        render(heart_scene(truth, phase, setup.seed), grid.geometry, measure=names, thickness_share=_THICKNESS_SHARE)
        for phase in range(truth.phases)
    ]
    beat = 60000.0 / truth.heart_rate
    shown = tuple(part.name for part in heart_scene(truth, 0, setup.seed).parts)
    series = ReferenceSeries(
        who, "MR", 2, "SYNTHETIC cine short axis", "HEART", grid, _images(drawn, grid, setup), attributes=_cine(truth),
        phases=tuple({"TriggerTime": round(k * beat / truth.phases, 2), "TemporalPositionIdentifier": k + 1}
                     for k in range(truth.phases)),
        labels=np.stack([one.labels for one in drawn]), label_names=shown,
    )  # fmt: skip
    structures = tuple(
        _structure(truth, drawn[phase], name, phase)
        for name, phase in (("end diastole", 0), ("end systole", truth.beat.end_systole))
    )
    volumes = [truth.volume_ml(phase) for phase in range(truth.phases)]
    facts: dict[str, Any] = {
        "volumes_ml": volumes, "ejection_fraction_percent": 100 * (1 - truth.esv_ml / truth.edv_ml),
        "end_diastolic_phase": 1, "end_systolic_phase": truth.beat.end_systole + 1, "mass_g": truth.mass_g,
        "slice_distance_mm": round(grid.geometry.spacing_mm()[0], 6),
        "slice_thickness_mm": round(grid.geometry.spacing_mm()[0] * _THICKNESS_SHARE, 6),
    }  # fmt: skip
    return Made(NAME, truth, setup, (Visit(who, (series,), structures, facts),))


def _images(drawn: list[Rendering], grid: Grid, setup: Setup) -> NDArray[np.float32]:
    return np.stack(
        [mr_image(one.values, grid, setup, noise_percent=2.0, kernel_mm=1.8, stream=k) for k, one in enumerate(drawn)]
    )


def _cine(truth: CineTruth) -> dict[str, Any]:
    beat = 60000.0 / truth.heart_rate
    return {
        "ScanningSequence": "GR", "SequenceVariant": ["SS", "SP"], "ScanOptions": "CG", "MRAcquisitionType": "2D",
        "RepetitionTime": 3.2, "EchoTime": 1.6, "FlipAngle": 60, "EchoTrainLength": 1, "MagneticFieldStrength": 1.5,
        "NominalInterval": round(beat), "HeartRate": round(truth.heart_rate), "CardiacNumberOfImages": truth.phases,
        "NumberOfTemporalPositions": truth.phases, "SequenceName": "SYNTHETIC", "BeatRejectionFlag": "N",
    }  # fmt: skip


def _structure(truth: CineTruth, drawn: Rendering, name: str, phase: int) -> Structure:
    """Return the cavity of one phase; ``from_voxels`` is the disc summation over the slices of the series."""
    extents = drawn.extents
    blood = extents["left ventricle"].volume_mm3
    if truth.papillary:
        blood += extents["papillary muscles"].volume_mm3
    exact = Measured(truth.volume_ml(phase) * 1000, 0.0, "closed form")
    inner, outer = ventricle(truth, phase)
    more = {
        "phase": phase + 1, "muscle_ml": truth.mass_g / _MUSCLE_G_PER_ML,
        "muscle_from_voxels_ml": extents["left ventricular muscle"].volume_mm3 / 1000,
        "cavity_radius_mm": inner.radius_mm, "outer_radius_mm": outer.radius_mm,
        "long_axis_mm": inner.base_mm - inner.apex_mm,
    }  # fmt: skip
    return Structure(name, exact, blood, extents["left ventricle"].center_mm, _BLOOD, more)
