"""CT of the chest with nodules of known volume, kind and lobe, among vessels and lung texture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference import thorax_anatomy as chest
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import ct_image
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.measures import axial_diameters, surface_points
from coread.phantoms.reference.objects import ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup, grid_over
from coread.phantoms.reference.scene import Extent, Measured, Part, Scene, render
from coread.phantoms.reference.shapes import Blob, Bounds, Shape, Superellipsoid, Triple, Union
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "ct-nodules"
KINDS = ("solid", "part-solid", "ground-glass")
FIELD: Bounds = ((-180.0, -120.0, -130.0), (180.0, 125.0, 140.0))
SPACING_MM: Triple = (2.0, 0.9, 0.9)
_SOLID_HU, _GLASS_HU, _LUNG_HU = 40.0, -560.0, -865.0
_MARGIN_MM, _FROM_HILUM_MM = 2.0, 34.0
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

    def __post_init__(self) -> None:
        checked(self)
        if len(self.volumes_mm3) > 16 or not len(self.volumes_mm3) == len(self.kinds) == len(self.places):
            raise BadTruth("volumes_mm3, kinds and places: up to 16 values each, as many of one as of the other")


@dataclass(frozen=True, slots=True)
class Nodule:
    """One nodule."""

    name: str
    lump: Blob
    core: Blob | None
    """The solid part of a part-solid nodule."""
    kind: str
    lobe: str


def nodules_of(truth: NodulesTruth, seed: int) -> tuple[Nodule, ...]:
    """Return the nodules in place; refuses those that do not fit into their lobe or touch one another."""
    found: list[Nodule] = []
    rows = zip(truth.volumes_mm3, truth.kinds, truth.places, strict=True)
    for number, (volume, kind, place) in enumerate(rows, start=1):
        random = np.random.default_rng([seed, 41, number])
        stretch = random.uniform(0.85, 1.15, 3)
        shape = (float(stretch[0]), float(stretch[1]), float(stretch[2]))
        lump = Blob((0.0, 0.0, 0.0), shape, truth.irregularity, seed * 60 + number).with_volume(volume)
        name = f"nodule {number}"
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


def chest_scene(nodules: tuple[Nodule, ...], seed: int) -> Scene:
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
    return Scene(-1000.0, tuple(parts))


def make(truth: NodulesTruth, setup: Setup) -> Made:
    """Compute the series and its truth."""
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0], age="063Y")
    nodules = nodules_of(truth, setup.seed)
    scene = chest_scene(nodules, setup.seed)
    grid = grid_over(FIELD, setup, SPACING_MM, who.frame_of_reference_uid)
    names = [part.name for part in scene.parts if part.name.startswith("nodule")]
    drawn = render(scene, grid.geometry, measure=names)
    series = ReferenceSeries(
        who, "CT", 2, "SYNTHETIC chest without contrast", "CHEST", grid,
        ct_image(drawn.values, grid, setup, noise_hu=22.0, kernel_mm=0.9),
        attributes={"KVP": 120, "ConvolutionKernel": "SYNTHETIC", "WindowCenter": -500, "WindowWidth": 1500},
        labels=drawn.labels, label_names=tuple(part.name for part in scene.parts),
    )  # fmt: skip
    structures = tuple(_structure(nodule, drawn.extents, scene.pose_matrix()) for nodule in nodules)
    return Made(NAME, truth, setup, (Visit(who, (series,), structures, {"nodules": len(nodules)}),))


def _structure(nodule: Nodule, extents: dict[str, Extent], pose: NDArray[np.float64]) -> Structure:
    whole = nodule.lump.volume_mm3()
    voxels = extents[nodule.name].volume_mm3
    sizes = axial_diameters(nodule.lump, pose)
    more: dict[str, Any] = {
        "kind": nodule.kind, "lobe": nodule.lobe, "sphere_diameter_mm": round((6 * whole / np.pi) ** (1 / 3), 3),
        "axial_long_diameter_mm": round(sizes.long_mm, 3), "axial_short_diameter_mm": round(sizes.short_mm, 3),
    }  # fmt: skip
    if nodule.core is not None:
        voxels += extents[f"{nodule.name} core"].volume_mm3
        solid = nodule.core.volume_mm3()
        more |= {"solid_part_mm3": solid, "solid_part_diameter_mm": round((6 * solid / np.pi) ** (1 / 3), 3)}
    value = _SOLID_HU if nodule.kind == "solid" else _GLASS_HU
    exact = Measured(whole, 0.0, "quadrature")
    return Structure(nodule.name, exact, voxels, nodule.lump.center_mm, value, more)
