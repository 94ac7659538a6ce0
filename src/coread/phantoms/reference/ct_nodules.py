"""CT of the chest with nodules of known volume, kind and lobe, among vessels and lung texture."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coread.phantoms.reference import thorax_anatomy as chest
from coread.phantoms.reference.breathing import Breath
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import ct_image
from coread.phantoms.reference.made import Made, Visit, digest_for, rounded_rows
from coread.phantoms.reference.measures import axial_diameters, surface_points
from coread.phantoms.reference.objects import Examination, ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup, day_of, grid_over
from coread.phantoms.reference.scene import IDENTITY, Extent, Measured, Part, Pose, Scene, render
from coread.phantoms.reference.shapes import Blob, Bounds, Shape, Superellipsoid, Triple, Union, rotation_matrix
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "ct-nodules"
KINDS = ("solid", "part-solid", "ground-glass")
FIELD: Bounds = ((-180.0, -120.0, -130.0), (180.0, 125.0, 140.0))
SPACING_MM: Triple = (2.0, 0.9, 0.9)
_SOLID_HU, _GLASS_HU, _LUNG_HU = 40.0, -560.0, -865.0
_MARGIN_MM, _FROM_HILUM_MM = 2.0, 34.0
_BREATH: tuple[Triple, Triple] = ((0.0, -35.0, -110.0), (150.0, 85.0, 150.0))
"""Where the breath moves the lungs in full, and how far from there it has faded."""
SECOND_DATE = "20260402"
_HILA = ((-36.0, 8.0, 6.0), (36.0, 8.0, 6.0))


@dataclass(frozen=True, slots=True)
class NodulesTruth:
    """What is known of the nodules; the lists go together, one value for each nodule. None at all is a negative."""

    volumes_mm3: tuple[float, ...] = stated(
        (270.0, 900.0, 520.0, 1800.0), "whole volumes, up to 16", low=10, high=200000
    )
    kinds: tuple[str, ...] = stated(("solid", "part-solid", "ground-glass", "solid"), "what they are", choices=KINDS)
    places: tuple[str, ...] = stated(
        ("RUL", "RLL", "LUL", "LLL"), f"lobe ({', '.join(chest.LOBES)}) or x/y/z in mm, LPS"
    )
    solid_percent: float = stated(30.0, "solid share of the volume of part-solid nodules", low=2, high=90)
    irregularity: float = stated(0.1, "how lumpy the outlines are, share of the radius", low=0, high=0.3)
    pair: bool = stated(False, "whether there is a second date, on which the patient lies otherwise")
    new_mm3: tuple[float, ...] = stated((), "volumes of nodules that are new on the second date", low=10, high=200000)
    new_kinds: tuple[str, ...] = stated((), "what they are", choices=KINDS)
    new_places: tuple[str, ...] = stated((), "where they are, as places")
    move_mm: tuple[float, ...] = stated((4.0, -3.0, 6.0), "how far off on the second date", low=-40, high=40)
    turn_degrees: tuple[float, ...] = stated((1.0, -2.0, 3.0), "turn about x, then y, then z", low=-15, high=15)
    breath_mm: float = stated(
        6.0, "how far the lung bases lie below their place on the second date, fading to apex and spine",
        low=-20, high=20,
    )  # fmt: skip

    def __post_init__(self) -> None:
        checked(self)
        if len(self.volumes_mm3) > 16 or not len(self.volumes_mm3) == len(self.kinds) == len(self.places):
            raise BadTruth("volumes_mm3, kinds and places: up to 16 values each, as many of one as of the other")
        if len(self.new_mm3) > 16 or not len(self.new_mm3) == len(self.new_kinds) == len(self.new_places):
            raise BadTruth("new_mm3, new_kinds and new_places: up to 16 values each, as many of one as of the other")
        if self.new_mm3 and not self.pair:
            raise BadTruth("new_mm3 without a second date: state pair=yes")
        if len(self.move_mm) != 3 or len(self.turn_degrees) != 3:
            raise BadTruth("move_mm and turn_degrees have three values each")

    def pose(self, date: int) -> Pose:
        """Return the rigid map from anatomy to patient on date 0 or 1."""
        if not date:
            return IDENTITY
        turn: Triple = (self.turn_degrees[0], self.turn_degrees[1], self.turn_degrees[2])
        rows = np.hstack([rotation_matrix(turn), np.asarray(self.move_mm)[:, np.newaxis]])
        a, b, c = ((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in rows)
        return (a, b, c)


@dataclass(frozen=True, slots=True)
class Nodule:
    """One nodule."""

    name: str
    lump: Blob
    core: Blob | None
    """The solid part of a part-solid nodule."""
    kind: str
    lobe: str


def nodules_of(truth: NodulesTruth, seed: int, date: int = 0) -> tuple[Nodule, ...]:
    """Return the nodules in place, on date 1 with the new ones after the others.

    Refuses those that do not fit into their lobe or touch one another.
    """
    found: list[Nodule] = []
    rows = list(zip(truth.volumes_mm3, truth.kinds, truth.places, strict=True))
    rows += zip(truth.new_mm3, truth.new_kinds, truth.new_places, strict=True) if date else ()
    for number, (volume, kind, place) in enumerate(rows, start=1):
        random = np.random.default_rng([seed, 41, number])
        stretch = random.uniform(0.85, 1.15, 3)
        shape = (float(stretch[0]), float(stretch[1]), float(stretch[2]))
        lump = Blob((0.0, 0.0, 0.0), shape, truth.irregularity, seed * 60 + number).with_volume(volume)
        before = len(truth.volumes_mm3)
        name = f"nodule {number}" if number <= before else f"nodule new {number - before}"
        center = _center(place, lump, found, random, name)
        lump = Blob(center, lump.half_axes_mm, lump.irregularity, lump.seed)
        core = None
        if kind == "part-solid":
            core = Blob(center, lump.half_axes_mm, 0.0).with_volume(volume * truth.solid_percent / 100)
            if float(lump.distance(surface_points(core)).max()) >= 0:
                raise BadTruth(f"{name}: a solid share of {truth.solid_percent:g} per cent reaches out of the nodule")
        found.append(Nodule(name, lump, core, kind, chest.lobe_at(center)))
    return tuple(found)


def _center(place: str, lump: Blob, others: list[Nodule], random: np.random.Generator, name: str) -> Triple:
    reach = max(lump.half_axes_mm) * (1 + lump.irregularity)
    if place not in chest.LOBES:
        parts = place.split("/")
        try:
            x, y, z = (float(part) for part in parts)
        except ValueError as problem:
            raise BadTruth(f"place {place!r}: one of {', '.join(chest.LOBES)}, or x/y/z in mm") from problem
        lobe = chest.lobe_at((x, y, z))
        if not lobe or not _fits((x, y, z), lump, chest.lobe_solid(lobe)):
            raise BadTruth(f"{name} at {place}: reaches out of the lobe; choose another place or volume")
        if _too_near((x, y, z), reach, others):
            raise BadTruth(f"{name} at {place}: overlaps or touches another nodule")
        return x, y, z
    solid = chest.lobe_solid(place)
    low, high = (np.asarray(corner) for corner in solid.bounds())
    for _ in range(4000):
        trial = random.uniform(low, high)
        center = (float(trial[0]), float(trial[1]), float(trial[2]))
        inside = float(solid.distance(trial.astype(np.float32).reshape(3, 1))[0]) < 0
        central = min(float(np.linalg.norm(np.subtract(center, hilum))) for hilum in _HILA) < _FROM_HILUM_MM
        in_field = FIELD[0][2] + reach + 5 < center[2] < FIELD[1][2] - reach - 5
        if inside and in_field and not central and not _too_near(center, reach, others) and _fits(center, lump, solid):
            return center
    raise BadTruth(f"{name}: {lump.volume_mm3():.0f} mm3 do not fit into the {place}; make it smaller")


def _fits(center: Triple, lump: Blob, solid: Shape) -> bool:
    wider = tuple(axis + _MARGIN_MM for axis in lump.half_axes_mm)
    outline = Blob(center, (wider[0], wider[1], wider[2]), lump.irregularity, lump.seed)
    return float(solid.distance(surface_points(outline)).max()) < 0


def _too_near(center: Triple, reach: float, others: list[Nodule]) -> bool:
    for other in others:
        theirs = max(other.lump.half_axes_mm) * (1 + other.lump.irregularity)
        if float(np.linalg.norm(np.subtract(center, other.lump.center_mm))) < reach + theirs + _MARGIN_MM:
            return True
    return False


def chest_scene(
    nodules: tuple[Nodule, ...], seed: int, *, pose: Pose = IDENTITY, breath: Breath | None = None
) -> Scene:  # fmt: skip
    """Return the chest in Hounsfield units, nodules painted last."""
    grain = (Waves(seed, 22.0, 5.0, 16), Waves(seed + 1, 16.0, 14.0), Waves(seed + 2, 12.0, 40.0))
    texture = chest.Density(grain, 0.35)
    wall, air = chest.airways()
    discs, bones = chest.spine()
    lungs = Union((chest.lung(-1.0), chest.lung(1.0)))
    vessels = Union((*chest.lung_vessels(-1.0, seed), *chest.lung_vessels(1.0, seed)))
    muscle = Waves(seed + 3, 4.0, 9.0)
    parts = [
        Part("skin", Superellipsoid((0, 0, 0), (172, 114, 900), 2.3, 8), 20),
        Part("fat", chest.CHEST, -100, Waves(seed + 4, 6.0, 12.0)),
        Part("wall", Superellipsoid((0, 3, 0), (146, 99, 900), 2.3, 8), 50, muscle),
        Part("abdomen", Superellipsoid((0, -2, -120), (122, 84, 60), 2.3, 3), 55, muscle),
        Part("mediastinal fat", chest.middle(), -70, muscle),
        Part("ribs", chest.ribs(), 420, Waves(seed + 5, 60.0, 6.0)),
        Part("lungs", lungs, _LUNG_HU, texture),
        Part("fissures", chest.fissures(), -690),
        Part("lung vessels", vessels, 35),
        Part("heart", chest.heart(), 42, muscle),
        Part("great vessels", chest.great_vessels(), 44),
        Part("airway walls", wall, 10),
        Part("airways", air, -990),
        Part("discs", discs, 85),
        Part("vertebrae", bones, 260, Waves(seed + 6, 40.0, 5.0)),
        Part("sternum", Superellipsoid((0, -88, 20), (16, 6, 80), 2.4, 4), 240),
    ]
    for nodule in nodules:
        value = _SOLID_HU if nodule.kind == "solid" else _GLASS_HU
        parts.append(Part(nodule.name, nodule.lump, value, Waves(seed + 9, 10.0, 3.0)))
        if nodule.core is not None:
            parts.append(Part(f"{nodule.name} core", nodule.core, _SOLID_HU - 10))
    return Scene(-1000.0, tuple(parts), pose, breath)


def make(truth: NodulesTruth, setup: Setup) -> Made:
    """Compute the series of each date and its truth."""
    digest = digest_for(NAME, truth, setup)
    dates = setup.dates_or((FIRST_DATE, SECOND_DATE) if truth.pair else (FIRST_DATE,))
    people = [examination(NAME, digest, day, age="063Y") for day in dates]
    visits = tuple(_visit(truth, setup, who, date) for date, who in enumerate(people))
    if not truth.pair:
        return Made(NAME, truth, setup, visits)
    second = np.vstack([truth.pose(1), [0, 0, 0, 1]])
    changes = {
        "days": (day_of(dates[1]) - day_of(dates[0])).days,
        "first_to_second_mm": rounded_rows(second),
        "breath_mm": truth.breath_mm,
        "new": [one.name for one in visits[1].structures if one.name.startswith("nodule new")],
    }
    return Made(NAME, truth, setup, visits, changes)


def _visit(truth: NodulesTruth, setup: Setup, who: Examination, date: int) -> Visit:
    nodules = nodules_of(truth, setup.seed, date)
    breath = Breath(truth.breath_mm, *_BREATH) if date and truth.breath_mm else None
    scene = chest_scene(nodules, setup.seed, pose=truth.pose(date), breath=breath)
    grid = grid_over(FIELD, setup, SPACING_MM, who.frame_of_reference_uid)
    names = [part.name for part in scene.parts if part.name.startswith("nodule")]
    drawn = render(scene, grid.geometry, measure=names)
    series = ReferenceSeries(
        who, "CT", 2, "SYNTHETIC chest without contrast", "CHEST", grid,
        ct_image(drawn.values, grid, setup, noise_hu=22.0, kernel_mm=0.9, stream=date),
        attributes={"KVP": 120, "ConvolutionKernel": "SYNTHETIC", "WindowCenter": -500, "WindowWidth": 1500},
        labels=drawn.labels, label_names=tuple(part.name for part in scene.parts),
    )  # fmt: skip
    structures = tuple(_structure(nodule, drawn.extents, scene) for nodule in nodules)
    return Visit(who, (series,), structures, {"nodules": len(nodules)})


def _structure(nodule: Nodule, extents: dict[str, Extent], scene: Scene) -> Structure:
    pose, factor = scene.pose_matrix(), 1.0
    if scene.breath is not None:
        factor = scene.breath.volume_factor(nodule.lump)
    whole = nodule.lump.volume_mm3() * factor
    voxels = extents[nodule.name].volume_mm3
    sizes = axial_diameters(nodule.lump, pose)
    more: dict[str, Any] = {
        "kind": nodule.kind, "lobe": nodule.lobe, "sphere_diameter_mm": round((6 * whole / np.pi) ** (1 / 3), 3),
        "axial_long_diameter_mm": round(sizes.long_mm, 3), "axial_short_diameter_mm": round(sizes.short_mm, 3),
    }  # fmt: skip
    if nodule.core is not None:
        voxels += extents[f"{nodule.name} core"].volume_mm3
        solid = nodule.core.volume_mm3() * factor
        more |= {"solid_part_mm3": solid, "solid_part_diameter_mm": round((6 * solid / np.pi) ** (1 / 3), 3)}
    value = _SOLID_HU if nodule.kind == "solid" else _GLASS_HU
    if scene.breath is None and np.array_equal(pose, np.eye(4)):
        return Structure(nodule.name, Measured(whole, 0.0, "quadrature"), voxels, nodule.lump.center_mm, value, more)
    center = extents[nodule.name].center_mm
    return Structure(nodule.name, Measured(whole, 0.0, "quadrature, stretched by breath"), voxels, center, value, more)
