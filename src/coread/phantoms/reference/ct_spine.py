"""CT of the lumbar spine: vertebrae of known hydroxyapatite content over calibration rods; one may be fractured.

The relation is stated, not derived from the tube voltage: HU = offset + slope x hydroxyapatite in mg/cm3.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coread.domain.identifiers import derived_uid
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.finishing import ct_image
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.objects import ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup, grid_over
from coread.phantoms.reference.scene import Part, Rendering, Scene, exact_or_measured, render
from coread.phantoms.reference.shapes import (
    Bounds,
    Cylinder,
    Formula,
    Mapped,
    Points,
    Shape,
    Superellipsoid,
    Triple,
    Tube,
    Union,
    Values,
    mirrored,
)  # fmt: skip
from coread.phantoms.reference.texture import Waves
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "ct-spine"
LEVELS = ("L5", "L4", "L3", "L2", "L1", "T12")
"""From below."""
_HEIGHT_MM = (27.0, 28.0, 28.0, 27.0, 26.0, 25.0, 24.0)
_WIDTH_MM = (26.0, 25.0, 24.0, 23.0, 22.0, 21.0, 20.0)
_DEPTH_MM = (17.5, 17.5, 17.0, 16.5, 16.0, 15.5, 15.0)
_DISC_MM = 9.0
_BODY_SQUARENESS, _BODY_FLATNESS = 2.4, 7.0
_LOWEST_MM = -95.0
FIELD: Bounds = ((-185.0, -125.0, -135.0), (185.0, 165.0, 125.0))
_ROD_RADIUS_MM, _ROD_HALF_LENGTH_MM, _ROD_Y_MM = 10.0, 110.0, 129.0
SPACING_MM: Triple = (2.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class SpineTruth:
    """What is known of the spine."""

    bmd_mg_cm3: tuple[float, ...] = stated(
        (120.0, 125.0, 130.0, 135.0, 140.0, 150.0),
        "hydroxyapatite of the trabecular bone of L5, L4, L3, L2, L1, T12; one value is for all", low=-50, high=500,
    )  # fmt: skip
    rods_mg_cm3: tuple[float, ...] = stated((0.0, 50.0, 100.0, 200.0), "calibration rods, 2 to 6", low=0, high=800)
    hu_per_mg: float = stated(1.2, "Hounsfield units for 1 mg/cm3 of hydroxyapatite", low=0.5, high=3)
    offset_hu: float = stated(0.0, "Hounsfield units at 0 mg/cm3", low=-100, high=100)
    kvp: float = stated(120.0, "tube voltage in the header, kV", low=70, high=150)
    cortex_mm: float = stated(1.3, "thickness of cortex and endplates", low=0.5, high=4)
    cortex_mg_cm3: float = stated(450.0, "hydroxyapatite of the cortex", low=100, high=1200)
    fractured: str = stated("", "vertebra with height loss", choices=("", *LEVELS))
    fracture_kind: str = stated("wedge", "where the height is lost", choices=("wedge", "biconcave", "crush"))
    height_loss_percent: float = stated(
        0.0, "lost anterior (wedge), middle (biconcave) or whole (crush) height", low=0, high=70
    )
    aorta_hu: float = stated(45.0, "blood in the aorta; about 250 in an arterial phase", low=20, high=600)
    contrast_bone_hu: float = stated(0.0, "what contrast agent adds to trabecular bone", low=0, high=60)

    def __post_init__(self) -> None:
        checked(self)
        if len(self.bmd_mg_cm3) not in (1, len(LEVELS)):
            raise BadTruth(f"bmd_mg_cm3 has {len(self.bmd_mg_cm3)} values: 1, or {len(LEVELS)} from L5 up to T12")
        if not 2 <= len(self.rods_mg_cm3) <= 6 or len(set(self.rods_mg_cm3)) != len(self.rods_mg_cm3):
            raise BadTruth("rods_mg_cm3: 2 to 6 different values")
        if bool(self.fractured) != (self.height_loss_percent > 0):
            raise BadTruth("a fracture needs both fractured (a vertebra) and height_loss_percent above 0")

    def hounsfield(self, mg_cm3: float) -> float:
        """Return the Hounsfield units of hydroxyapatite in water."""
        return self.offset_hu + self.hu_per_mg * mg_cm3

    def bmd_of(self, level: str) -> float:
        """Return the hydroxyapatite of a level, mg/cm3."""
        return self.bmd_mg_cm3[0] if len(self.bmd_mg_cm3) == 1 else self.bmd_mg_cm3[LEVELS.index(level)]


@dataclass(frozen=True, slots=True)
class _Vertebra:
    """Where one body lies, before any fracture."""

    level: str
    center_mm: Triple
    half_axes_mm: Triple
    loss: float
    kind: str

    def solid(self, shrink_mm: float) -> Shape:
        """Return the body, smaller all around by ``shrink_mm``."""
        a, b, c = (axis - shrink_mm for axis in self.half_axes_mm)
        whole = Superellipsoid(self.center_mm, (a, b, c), _BODY_SQUARENESS, _BODY_FLATNESS)
        return whole if self.loss == 0 else Formula(_Compressed(self, whole), whole.bounds())

    def height_share(self, x: Values, y: Values) -> Values:
        """Return what is left of the height at (x, y) in the patient's frame, 0 to 1."""
        away_y = (y - np.float32(self.center_mm[1])) / np.float32(self.half_axes_mm[1])
        if self.kind == "wedge":
            return np.asarray(1 - self.loss * np.clip((1 - away_y) / 2, 0, 1), dtype=np.float32)
        if self.kind == "biconcave":
            away_x = (x - np.float32(self.center_mm[0])) / np.float32(self.half_axes_mm[0])
            return np.asarray(1 - self.loss * np.clip(1 - away_x**2 - away_y**2, 0, 1), dtype=np.float32)
        return np.full_like(y, 1 - self.loss)

    def heights_mm(self) -> dict[str, float]:
        """Return the heights of the body at x = 0, at 80 % of the depth in front, in the middle and behind."""
        heights = {}
        for name, where in (("anterior", -0.8), ("middle", 0.0), ("posterior", 0.8)):
            rest = (1 - abs(where) ** _BODY_FLATNESS) ** (1 / _BODY_FLATNESS)
            y = np.asarray([self.center_mm[1] + where * self.half_axes_mm[1]], dtype=np.float32)
            share = 1.0 if self.loss == 0 else float(self.height_share(np.full_like(y, self.center_mm[0]), y)[0])
            heights[f"{name}_height_mm"] = round(2 * self.half_axes_mm[2] * rest * share, 4)
        return heights


@dataclass(frozen=True, slots=True)
class _Compressed:
    """A body whose heights are squeezed towards its lower endplate."""

    vertebra: _Vertebra
    whole: Superellipsoid

    def __call__(self, points: Points) -> Values:
        body = self.vertebra
        floor = np.float32(body.center_mm[2] - body.half_axes_mm[2])
        share = body.height_share(points[0], points[1])
        local = np.array(points)
        local[2] = (points[2] - floor) / share + floor
        left, height = 1 - body.loss, 2 * body.half_axes_mm[2]
        sideways = height * 2 * body.loss / min(body.half_axes_mm[:2]) / left**2
        return np.asarray(self.whole.distance(local) / np.float32(np.hypot(1 / left, sideways)))


def vertebrae(truth: SpineTruth) -> list[_Vertebra]:
    """Return the bodies from L5 up to T11 (which has ribs and no measured value)."""
    out, z = [], _LOWEST_MM
    for number, level in enumerate((*LEVELS, "T11")):
        half = (_WIDTH_MM[number], _DEPTH_MM[number], _HEIGHT_MM[number] / 2)
        # Lordosis: the middle of the lumbar spine lies further in front.
        y = 42.0 - 9.0 * np.cos((z - _LOWEST_MM - 60) / 75.0)
        loss = truth.height_loss_percent / 100 if level == truth.fractured else 0.0
        out.append(_Vertebra(level, (0.0, float(y), z), half, loss, truth.fracture_kind))
        following = _HEIGHT_MM[min(number + 1, len(_HEIGHT_MM) - 1)]
        z += _HEIGHT_MM[number] / 2 + _DISC_MM + following / 2
    return out


def spine_scene(truth: SpineTruth, seed: int) -> Scene:
    """Return the abdomen, the spine in it, and the rods below, in Hounsfield units."""
    bodies = vertebrae(truth)
    parts = [*_soft_tissue(truth, seed, bodies), *_behind(truth, bodies), *_bodies(truth, seed, bodies)]
    return Scene(-1000.0, (*parts, *_rods(truth)))


def _soft_tissue(truth: SpineTruth, seed: int, bodies: list[_Vertebra]) -> list[Part]:
    spine = [body.center_mm for body in bodies]
    psoas = Tube(((33, 40, 60), (38, 36, 0), (50, 20, -120), (62, 5, -170)), (9, 17, 20, 16))
    erector = Superellipsoid((34, 80, 0), (30, 17, 400), 2.4, 8)
    kidney = Superellipsoid((68, 42, 60), (27, 25, 52))
    left, right = Superellipsoid((-60, -15, 110), (85, 68, 62), 2.3), Superellipsoid((95, 20, 110), (42, 42, 45))
    vessel = tuple((10.0, y - 32.0, z) for _, y, z in spine)
    vein = tuple((-14.0, y - 29.0, z) for _, y, z in spine)
    bowel = Union(tuple(Superellipsoid((x, y, z), (24, 20, 26)) for x, y, z in (
        (95, -20, -20), (-95, -10, -30), (40, -52, -10), (-35, -55, -30), (60, -45, -80), (-70, -40, -90),
        (0, -60, -70),
    )))  # fmt: skip
    gas = Union(tuple(Superellipsoid((x, y, z), (15, 9, 15)) for x, y, z in (
        (95, -28, -20), (-95, -18, -30), (40, -62, -10), (-70, -48, -90),
    )))  # fmt: skip
    muscle = Waves(seed, 4.0, 9.0)
    return [
        Part("skin", Superellipsoid((0, 0, 0), (172, 112, 900), 2.3, 8), 20),
        Part("fat", Superellipsoid((0, 0, 0), (170, 110, 900), 2.3, 8), -100, Waves(seed + 1, 6.0, 12.0)),
        Part("wall", Superellipsoid((0, 2, 0), (150, 93, 900), 2.3, 8), 50, muscle),
        Part("cavity", Superellipsoid((0, -8, 0), (138, 78, 900), 2.3, 8), -95, Waves(seed + 2, 8.0, 15.0)),
        Part("liver", left, 60, Waves(seed + 3, 4.0, 14.0)),
        Part("spleen", right, 52, Waves(seed + 4, 4.0, 10.0)),
        Part("bowel", bowel, 25, Waves(seed + 5, 10.0, 8.0)),
        Part("bowel gas", gas, -850),
        Part("kidneys", Union((kidney, mirrored(kidney))), 35, muscle),
        Part("psoas", Union((psoas, mirrored(psoas))), 55, muscle),
        Part("erector spinae", Union((erector, mirrored(erector))), 52, muscle),
        Part("aorta", Tube(vessel, (9.5,)), truth.aorta_hu),
        Part("vena cava", Tube(vein, (10.5,)), 0.45 * truth.aorta_hu + 25),
    ]


def _behind(truth: SpineTruth, bodies: list[_Vertebra]) -> list[Part]:
    """Discs, arches and processes, ribs of T11 and T12 only, sacrum and iliac wings."""
    bone = truth.hounsfield(260.0)
    column = tuple((x, y, z) for x, y, z in (body.center_mm for body in bodies))
    arches: list[Shape] = []
    ribs: list[Shape] = []
    for body in bodies:
        _, y, z = body.center_mm
        back = y + body.half_axes_mm[1]
        half = Union((
            Tube(((13, back - 3, z + 5), (16, back + 12, z + 3)), (4.0,)),
            Tube(((16, back + 12, z + 3), (0, back + 25, z - 4)), (4.0,)),
            Tube(((16, back + 10, z + 3), (40, back + 16, z + 4)), (4.0, 2.5)),
            Tube(((16, back + 13, z + 14), (15, back + 14, z - 16)), (5.5,)),
        ))  # fmt: skip
        arches += [half, mirrored(half), Tube(((0, back + 25, z - 4), (0, back + 46, z - 9)), (3.2,))]
        if body.level in ("T11", "T12"):
            reach = 1.0 if body.level == "T11" else 0.6
            rib = Tube(
                ((22, back - 4, z + 6), (60, back + 26, z - 8), (60 + 75 * reach, y + 5, z - 45 * reach)), (5.0,)
            )
            ribs += [rib, mirrored(rib)]
    sacrum = Superellipsoid((0, 66, _LOWEST_MM - 44), (48, 20, 25), 2.4, 3)
    wing = Superellipsoid((88, 40, _LOWEST_MM - 20), (46, 8, 36), 2.2, 3)
    hips = Union((sacrum, Mapped(wing, ((0.87, -0.5, 0, 30), (0.5, 0.87, 0, -32), (0, 0, 1, 0))), mirrored(
        Mapped(wing, ((0.87, -0.5, 0, 30), (0.5, 0.87, 0, -32), (0, 0, 1, 0))))))  # fmt: skip
    canal = tuple((0.0, y + body.half_axes_mm[1] + 10.5, z) for body in bodies for _, y, z in (body.center_mm,))
    return [
        Part("discs", Tube(column, (18.0,)), 85),
        Part("pelvis", hips, truth.hounsfield(220.0), Waves(7, 25.0, 7.0)),
        Part("arches", Union(tuple(arches)), bone, Waves(8, 30.0, 6.0)),
        Part("ribs", Union(tuple(ribs)), bone),
        Part("spinal canal", Tube(canal, (7.5,)), 18),
    ]


def _bodies(truth: SpineTruth, seed: int, bodies: list[_Vertebra]) -> list[Part]:
    parts = []
    for number, body in enumerate(bodies):
        bmd = truth.bmd_of(body.level if body.level in LEVELS else "T12")
        grain = Waves(seed + 20 + number, min(12.0, 0.08 * abs(truth.hounsfield(bmd)) + 2), 4.0, count=24)
        inside = truth.hounsfield(bmd) + truth.contrast_bone_hu
        parts.append(Part(f"{body.level} body", body.solid(0.0), truth.hounsfield(truth.cortex_mg_cm3)))
        parts.append(Part(f"{body.level} trabecular", body.solid(truth.cortex_mm), inside, grain))
    return parts


def _rods(truth: SpineTruth) -> list[Part]:
    count = len(truth.rods_mg_cm3)
    tray = Superellipsoid((0, _ROD_Y_MM, 0), (17.0 * count + 8, 15.0, 900), 6, 8)
    parts = [
        Part("table", Superellipsoid((0, 152, 0), (178, 6, 900), 6, 8), -850),
        Part("rod tray", tray, truth.offset_hu - 10),
    ]
    for number, content in enumerate(truth.rods_mg_cm3):
        x = (number - (count - 1) / 2) * 32.0
        bar = Cylinder((x, _ROD_Y_MM, 0.0), _ROD_RADIUS_MM, _ROD_HALF_LENGTH_MM)
        parts.append(Part(f"rod {content:g}", bar, truth.hounsfield(content)))
    return parts


def make(truth: SpineTruth, setup: Setup) -> Made:
    """Compute the series and its truth."""
    date = setup.dates_or((FIRST_DATE,))[0]
    digest = digest_for(NAME, truth, setup)
    visit = examination(NAME, digest, date, age="067Y")
    grid = grid_over(FIELD, setup, SPACING_MM, visit.frame_of_reference_uid)
    scene = spine_scene(truth, setup.seed)
    names = [f"{level} trabecular" for level in LEVELS] + [f"rod {content:g}" for content in truth.rods_mg_cm3]
    drawn = render(scene, grid.geometry, measure=names)
    series = ReferenceSeries(
        visit, "CT", 2, "SYNTHETIC spine bone density", "LSPINE", grid,
        ct_image(drawn.values, grid, setup, noise_hu=14.0, kernel_mm=1.1),
        attributes={"KVP": truth.kvp, "ConvolutionKernel": "SYNTHETIC", **_contrast(truth)},
        labels=drawn.labels, label_names=tuple(part.name for part in scene.parts),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "hu_per_mg_cm3": truth.hu_per_mg, "offset_hu": truth.offset_hu, "kvp": truth.kvp,
        "acquisition_uid": derived_uid("phantom-acquisition", digest),
    }  # fmt: skip
    return Made(NAME, truth, setup, (Visit(visit, (series,), _structures(truth, scene, drawn), facts),))


def _contrast(truth: SpineTruth) -> dict[str, str]:
    return {"ContrastBolusAgent": "SYNTHETIC iodine"} if truth.aorta_hu >= 100 else {}


def _structures(truth: SpineTruth, scene: Scene, drawn: Rendering) -> tuple[Structure, ...]:
    bodies = {body.level: body for body in vertebrae(truth)}
    found = []
    for name, extent in drawn.extents.items():
        level = name.split(" ", maxsplit=1)[0]
        more: dict[str, Any] = {"ha_mg_cm3": float(name.removeprefix("rod "))} if level == "rod" else {
            "ha_mg_cm3": truth.bmd_of(level), **bodies[level].heights_mm(),
            "height_loss_percent": truth.height_loss_percent if level == truth.fractured else 0.0,
        }  # fmt: skip
        exact = exact_or_measured(scene, name, 0.6)
        found.append(Structure(name, exact, extent.volume_mm3, extent.center_mm, scene.part(name).value, more))
    return tuple(found)
