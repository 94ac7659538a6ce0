"""CT of the abdomen on two dates: lesions of known volume that grow, shrink, appear or vanish; the patient moved."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coread.phantoms.reference.breathing import Breath
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import ct_image
from coread.phantoms.reference.made import Made, Visit, digest_for, rounded_rows
from coread.phantoms.reference.measures import axial_diameters, surface_points
from coread.phantoms.reference.objects import Examination, ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup, day_of, grid_over
from coread.phantoms.reference.scene import Measured, Part, Pose, Scene, exact_or_measured, render
from coread.phantoms.reference.shapes import (
    Blob,
    Bounds,
    Cylinder,
    Shape,
    Superellipsoid,
    Triple,
    Tube,
    Union,
    mirrored,
    rotation_matrix,
)  # fmt: skip
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "ct-lesions"
SECOND_DATE = "20260402"
FIELD: Bounds = ((-190.0, -130.0, -125.0), (190.0, 130.0, 145.0))
SPACING_MM: Triple = (2.5, 1.0, 1.0)
_GAP_MM = 3.0
_WALL = Superellipsoid((0, 2, 0), (150, 93, 900), 2.3, 8)
_LIVER = Blob((-58.0, -8.0, 62.0), (88.0, 70.0, 70.0), 0.08, 3)
_SPLEEN = Blob((102.0, 32.0, 82.0), (33.0, 42.0, 46.0), 0.05, 4)
_MUSCLE = Superellipsoid((36, 78, 0), (30, 18, 900), 2.4, 8)
_BREATH: tuple[Triple, Triple] = ((0.0, -30.0, 70.0), (125.0, 75.0, 110.0))
"""Where the breath moves organs in full, and how far from there it has faded."""
_CAVITY = Superellipsoid((0, -8, 0), (138, 78, 900), 2.3, 8)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a lesion may grow."""

    center_mm: Triple
    host: str
    inside: Shape
    hounsfield: float


SITES = {
    "liver-7": Site((-98.0, 22.0, 82.0), "liver", _LIVER, 58.0),
    "liver-4": Site((-42.0, -36.0, 60.0), "liver", _LIVER, 62.0),
    "liver-6": Site((-88.0, 12.0, 30.0), "liver", _LIVER, 55.0),
    "spleen": Site((102.0, 30.0, 84.0), "spleen", _SPLEEN, 65.0),
    "retroperitoneum": Site((62.0, 14.0, -72.0), "abdominal cavity", _CAVITY, 48.0),
    "mesentery": Site((-20.0, -40.0, -75.0), "abdominal cavity", _CAVITY, 42.0),
    "node": Site((27.0, -4.0, -14.0), "abdominal cavity", _CAVITY, 75.0),
    "muscle": Site((38.0, 78.0, -80.0), "paraspinal muscle", _MUSCLE, 30.0),
}


@dataclass(frozen=True, slots=True)
class LesionsTruth:
    """What is known of the lesions; the lists go together, one value for each lesion."""

    volumes_ml: tuple[float, ...] = stated(
        (12.0, 4.0, 20.0, 2.0), "volumes on the first date; up to 12 lesions", low=0.02, high=400
    )
    places: tuple[str, ...] = stated(
        ("liver-7", "liver-4", "retroperitoneum", "node"),
        f"where: {', '.join(SITES)}, or x/y/z in mm (LPS, anatomy at rest)",
    )
    doubling_days: tuple[float, ...] = stated(
        (90.0, 0.0, 180.0, -120.0),
        "days in which the volume doubles; 0: unchanged, negative: halves",
        low=-1e5,
        high=1e5,
    )
    vanished: int = stated(0, "number (from 1) of a lesion that is gone on the second date; 0: none", low=0, high=12)
    new_ml: tuple[float, ...] = stated((), "volumes of lesions that are new on the second date", low=0, high=400)
    new_places: tuple[str, ...] = stated((), "where each of them is")
    irregularity: float = stated(0.12, "how lumpy the outlines are, share of the radius", low=0, high=0.3)
    move_mm: tuple[float, ...] = stated(
        (4.0, -3.0, 6.0), "how far the patient lies off on the second date", low=-40, high=40
    )
    turn_degrees: tuple[float, ...] = stated((1.0, -2.0, 3.0), "turn about x, then y, then z", low=-15, high=15)
    breath_mm: float = stated(
        0.0, "how far the upper organs lie below their place on the second date, fading to the spine", low=-20, high=20
    )
    bowel_moved: bool = stated(False, "whether the bowel lies and is filled otherwise on the second date")

    def __post_init__(self) -> None:
        checked(self)
        if not 1 <= len(self.volumes_ml) <= 12 or not (
            len(self.volumes_ml) == len(self.places) == len(self.doubling_days)
        ):
            raise BadTruth("volumes_ml, places and doubling_days: 1 to 12 values each, as many of one as of the other")
        if len(self.new_ml) != len(self.new_places) or len(self.new_ml) > 12:
            raise BadTruth("new_ml and new_places: up to 12 values each, as many of one as of the other")
        if self.vanished > len(self.volumes_ml):
            raise BadTruth(f"vanished={self.vanished}: there are {len(self.volumes_ml)} lesions")
        if len(self.move_mm) != 3 or len(self.turn_degrees) != 3:
            raise BadTruth("move_mm and turn_degrees have three values each")

    def pose(self, date: int) -> Pose:
        """Return the rigid map from anatomy to patient on date 0 or 1."""
        turn: Triple = (self.turn_degrees[0], self.turn_degrees[1], self.turn_degrees[2])
        rotation = rotation_matrix(turn) if date else np.eye(3)
        shift = np.asarray(self.move_mm) * date
        rows = np.hstack([rotation, shift[:, np.newaxis]])
        a, b, c = ((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in rows)
        return (a, b, c)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion on one date."""

    name: str
    lump: Blob
    place: str
    hounsfield: float


def site_of(place: str) -> Site:
    """Return a named site, or the stated point in the body."""
    if place in SITES:
        return SITES[place]
    parts = place.split("/")
    try:
        x, y, z = (float(part) for part in parts)
    except ValueError as problem:
        raise BadTruth(f"place {place!r}: one of {', '.join(SITES)}, or x/y/z in mm") from problem
    return Site((x, y, z), "body", _WALL, 50.0)


def lesions_on(truth: LesionsTruth, days: int, seed: int) -> tuple[Lesion, ...]:
    """Return the lesions ``days`` after the first date (0: on it); refuses those that do not fit."""
    found = []
    rows = zip(truth.volumes_ml, truth.places, truth.doubling_days, strict=True)
    for number, (volume, place, doubling) in enumerate(rows, start=1):
        if days and number == truth.vanished:
            continue
        grown = volume * (2.0 ** (days / doubling) if doubling else 1.0)
        found.append(_lesion(f"lesion {number}", place, grown, truth.irregularity, seed * 100 + number))
    new = zip(truth.new_ml, truth.new_places, strict=True) if days else ()
    for number, (volume, place) in enumerate(new, start=1):
        if volume > 0:
            found.append(_lesion(f"lesion new {number}", place, volume, truth.irregularity, seed * 100 + 100 - number))
    _check_apart(found)
    return tuple(found)


def _lesion(name: str, place: str, volume_ml: float, irregularity: float, seed: int) -> Lesion:
    site = site_of(place)
    stretch = np.random.default_rng([seed, 3]).uniform(0.85, 1.15, 3)
    shape = Blob(site.center_mm, (stretch[0], stretch[1], stretch[2]), irregularity, seed).with_volume(volume_ml * 1000)
    _check_inside(name, shape, site, volume_ml)
    return Lesion(name, shape, place, site.hounsfield)


def _check_inside(name: str, lump: Blob, site: Site, volume_ml: float) -> None:
    points = surface_points(lump)
    in_field = all(FIELD[0][k] + 12 < points[k].min() and points[k].max() < FIELD[1][k] - 12 for k in range(3))
    if not in_field or float(site.inside.distance(points).max()) >= 0:
        x, y, z = site.center_mm
        raise BadTruth(
            f"{name}, {volume_ml:.3g} ml at {x:g}/{y:g}/{z:g} mm, reaches out of the {site.host}: "
            "make it smaller, or grow it more slowly, or put it elsewhere"
        )


def _check_apart(lesions: list[Lesion]) -> None:
    for k, one in enumerate(lesions):
        for other in lesions[k + 1 :]:
            reach = sum(max(lesion.lump.half_axes_mm) * (1 + lesion.lump.irregularity) for lesion in (one, other))
            apart = float(np.linalg.norm(np.subtract(one.lump.center_mm, other.lump.center_mm)))
            if apart < reach + _GAP_MM:
                raise BadTruth(
                    f"{one.name} and {other.name} overlap or nearly touch: {apart:.0f} mm between their centres, "
                    f"{reach + _GAP_MM:.0f} mm are needed"
                )


def abdomen(seed: int, *, bowel_seed: int = 0) -> list[Part]:
    """Return the abdomen without lesions, portal venous phase, Hounsfield units.

    ``bowel_seed`` other than 0 puts bowel and its gas up to 18 mm elsewhere.
    """
    kidney = Superellipsoid((66, 44, -8), (27, 25, 52))
    psoas = Tube(((33, 40, 60), (40, 36, 0), (52, 22, -120), (62, 8, -200)), (9, 16, 20, 16))
    portal = Union((
        Tube(((-15, -5, 45), (-45, -8, 55), (-75, 0, 62), (-100, -2, 66)), (6, 5.5, 4, 2.5)),
        Tube(((-45, -8, 55), (-50, -30, 72), (-62, -48, 80)), (4.5, 3.5, 2)),
        Tube(((-20, 20, 112), (-60, 5, 95), (-85, -20, 88)), (5, 4, 2)),
    ))  # fmt: skip
    bowel, gas = _bowel(bowel_seed)
    bodies = Union(tuple(Superellipsoid((0, 40, z), (24, 17, 13.5), 2.4, 7) for z in range(-180, 200, 36)))
    cores = Union(tuple(Superellipsoid((0, 40, z), (22.5, 15.5, 12), 2.4, 7) for z in range(-180, 200, 36)))
    spines = Union(tuple(Tube(((0, 80, z), (0, 96, z - 6)), (3.5,)) for z in range(-180, 200, 36)))
    muscle = Waves(seed, 4.0, 9.0)
    return [
        Part("skin", Superellipsoid((0, 0, 0), (172, 112, 900), 2.3, 8), 20),
        Part("fat", Superellipsoid((0, 0, 0), (170, 110, 900), 2.3, 8), -100, Waves(seed + 1, 6.0, 12.0)),
        Part("wall", _WALL, 58, muscle),
        Part("cavity", _CAVITY, -95, Waves(seed + 2, 8.0, 15.0)),
        Part("stomach", Blob((58, -32, 75), (46, 36, 40), 0.06, 9), 30, Waves(seed + 7, 8.0, 10.0)),
        Part("liver", _LIVER, 108, Waves(seed + 3, 4.0, 12.0)),
        Part("portal veins", portal, 165),
        Part("spleen", _SPLEEN, 118, Waves(seed + 4, 4.0, 10.0)),
        Part("bowel", bowel, 35, Waves(seed + 5, 10.0, 8.0)),
        Part("gas", gas, -850),
        Part("kidneys", Union((kidney, mirrored(kidney))), 165, Waves(seed + 6, 12.0, 14.0)),
        Part("psoas", Union((psoas, mirrored(psoas))), 60, muscle),
        Part("erector spinae", Union((_MUSCLE, mirrored(_MUSCLE))), 58, muscle),
        Part("aorta", Cylinder((10, 14, 0), 9.5, 400), 150),
        Part("vena cava", Cylinder((-16, 15, 0), 11.0, 400), 140),
        Part("discs", Cylinder((0, 40, 0), 19.0, 400), 85),
        Part("cortex", bodies, 480),
        Part("trabecular bone", cores, 170, Waves(seed + 8, 18.0, 5.0)),
        Part("spinous processes", spines, 350),
        Part("spinal canal", Cylinder((0, 66, 0), 8.0, 400), 20),
    ]


def _bowel(seed: int) -> tuple[Union, Union]:
    """Return bowel and its gas; a seed other than 0 puts each loop up to 18 mm elsewhere."""
    loops = ((98, -25, -20), (-100, -20, -60), (48, -55, -20), (40, -45, -105), (-75, -45, -110), (100, -10, -80))
    bubbles = ((98, -33, -20), (48, -62, -20), (-75, -52, -110), (70, -52, 75))
    shift = np.random.default_rng([seed, 17]).uniform(-18.0, 18.0, (10, 3)) * min(seed, 1)
    shift[:, 1] /= 3  # the cavity is flat
    places = np.asarray([*loops, *bubbles]) + shift
    solids = [
        Superellipsoid((float(x), float(y), float(z)), (22, 17, 22) if number < len(loops) else (13, 7, 13))
        for number, (x, y, z) in enumerate(places)
    ]
    return Union(tuple(solids[: len(loops)])), Union(tuple(solids[len(loops) :]))


def scene_on(truth: LesionsTruth, lesions: tuple[Lesion, ...], date: int, seed: int) -> Scene:
    """Return the abdomen with its lesions on date 0 or 1."""
    painted = [
        Part(one.name, one.lump, one.hounsfield, Waves(seed + 30 + k, 4.0, 5.0)) for k, one in enumerate(lesions)
    ]
    parts = abdomen(seed, bowel_seed=seed * date + date if truth.bowel_moved else 0)
    breath = Breath(truth.breath_mm, *_BREATH) if date and truth.breath_mm else None
    return Scene(-1000.0, (*parts, *painted), truth.pose(date), breath)


def make(truth: LesionsTruth, setup: Setup) -> Made:
    """Compute both examinations and what changed between them."""
    dates = setup.dates_or((FIRST_DATE, SECOND_DATE))
    days = (day_of(dates[1]) - day_of(dates[0])).days
    digest = digest_for(NAME, truth, setup)
    both = (lesions_on(truth, 0, setup.seed), lesions_on(truth, days, setup.seed))
    visits = tuple(
        _visit(truth, setup, lesions, date=k, who=examination(NAME, digest, dates[k])) for k, lesions in enumerate(both)
    )
    first, second = (np.vstack([truth.pose(k), [0, 0, 0, 1]]) for k in (0, 1))
    changes = {
        "days": days,
        "first_to_second_mm": rounded_rows(second @ np.linalg.inv(first)),
        "breath_mm": truth.breath_mm,
        "lesions": _changes(truth, both),
    }
    return Made(NAME, truth, setup, visits, changes)


def _visit(truth: LesionsTruth, setup: Setup, lesions: tuple[Lesion, ...], *, date: int, who: Examination) -> Visit:
    grid = grid_over(FIELD, setup, SPACING_MM, who.frame_of_reference_uid)
    scene = scene_on(truth, lesions, date, setup.seed)
    drawn = render(scene, grid.geometry, measure=[lesion.name for lesion in lesions])
    series = ReferenceSeries(
        who, "CT", 2, "SYNTHETIC abdomen portal venous", "ABDOMEN", grid,
        ct_image(drawn.values, grid, setup, noise_hu=12.0, kernel_mm=1.2, stream=date),
        attributes={"KVP": 120, "ConvolutionKernel": "SYNTHETIC", "ContrastBolusAgent": "SYNTHETIC iodine"},
        labels=drawn.labels, label_names=tuple(part.name for part in scene.parts),
    )  # fmt: skip
    structures = []
    for lesion in lesions:
        extent = drawn.extents[lesion.name]
        sizes = axial_diameters(lesion.lump, scene.pose_matrix())
        more: dict[str, Any] = {
            "place": lesion.place,
            "host": site_of(lesion.place).host,
            "axial_long_diameter_mm": round(sizes.long_mm, 3),
            "axial_short_diameter_mm": round(sizes.short_mm, 3),
        }
        exact = exact_or_measured(scene, lesion.name, 0.5)
        if scene.breath is not None:
            factor = scene.breath.volume_factor(lesion.lump)
            exact = Measured(exact.volume_mm3 * factor, exact.uncertainty_mm3, f"{exact.method}, stretched by breath")
        structures.append(Structure(lesion.name, exact, extent.volume_mm3, extent.center_mm, lesion.hounsfield, more))
    facts = {"anatomy_to_patient_mm": rounded_rows(scene.pose_matrix())}
    return Visit(who, (series,), tuple(structures), facts)


def _changes(truth: LesionsTruth, both: tuple[tuple[Lesion, ...], tuple[Lesion, ...]]) -> list[dict[str, Any]]:
    before, after = ({one.name: one.lump.volume_mm3() / 1000 for one in lesions} for lesions in both)
    out = []
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name, 0.0), after.get(name, 0.0)
        state = "new" if not was else "vanished" if not now else "persistent"
        entry: dict[str, Any] = {"name": name, "state": state, "volume_before_ml": was, "volume_after_ml": now}
        if state == "persistent":
            entry["volume_change_percent"] = 100 * (now / was - 1)
            doubling = truth.doubling_days[int(name.split()[1]) - 1]
            entry["doubling_days"] = doubling or None
        out.append(entry)
    return out
