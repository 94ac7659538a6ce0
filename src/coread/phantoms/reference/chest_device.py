"""Chest radiograph with tubes, lines and a pacemaker whose tips are known to the pixel and in mm from the carina."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.identifiers import derived_uid
from coread.phantoms.chest import VIEW_CODES, ChestRecipe, build_of, with_marker
from coread.phantoms.dx import Acquisition, radiograph
from coread.phantoms.exposure import Exposure, expose, line_integral
from coread.phantoms.raster import Field, hollow_tube, tube
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.objects import COMMENT, Examination, examination
from coread.phantoms.reference.scan import FIRST_DATE, Setup
from coread.phantoms.reference.truth import checked, stated
from coread.phantoms.thorax import Thorax, make_thorax

NAME = "chest-device"
CARINA_CM = (0.15, -3.5)
"""Where the trachea of the chest phantom divides; x to the right of the picture, y down."""
_WORKING_SIZE = 900
_MM_PER_CM = 10.0
Path = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device: how its course is drawn and what may be asked of its tip."""

    usual_mm: float
    """How far the tip usually lies below the level of the carina; negative: above."""
    low_mm: float
    high_mm: float


KINDS = {
    "endotracheal-tube": Kind(-45.0, -110.0, 30.0),
    "central-line": Kind(20.0, -60.0, 90.0),
    "nasogastric-tube": Kind(150.0, -20.0, 165.0),
    "pacemaker": Kind(105.0, 70.0, 120.0),
}


@dataclass(frozen=True, slots=True)
class DeviceTruth:
    """What is known of the devices; none at all is a negative."""

    devices: tuple[str, ...] = stated(
        ("endotracheal-tube", "central-line"),
        f"{', '.join(KINDS)}; NAME:MM states how far the tip lies below the level of the carina (negative: above)",
    )
    view: str = stated("AP", "projection", choices=("AP", "PA"))
    rows: int = stated(1024, "rows and columns", low=256, high=3072)

    def __post_init__(self) -> None:
        checked(self)
        names = [name for name, _ in self.tips()]
        if len(set(names)) != len(names):
            raise BadTruth("each device at most once")

    def tips(self) -> list[tuple[str, float]]:
        """Return each device with the place of its tip below the carina, mm."""
        out = []
        for text in self.devices:
            name, colon, place = text.partition(":")
            if name not in KINDS:
                raise BadTruth(f"device {name!r}: one of {', '.join(KINDS)}")
            try:
                below = float(place) if colon else KINDS[name].usual_mm
            except ValueError as problem:
                raise BadTruth(f"device {text!r}: NAME or NAME:MM") from problem
            if not KINDS[name].low_mm <= below <= KINDS[name].high_mm:
                low, high = KINDS[name].low_mm, KINDS[name].high_mm
                raise BadTruth(f"{name}: its tip lies {low:g} to {high:g} mm below the level of the carina")
            out.append((name, below))
        return out


def course(name: str, below_mm: float, *, top: float) -> Path:
    """Return the course of a device in cm, its tip last, ``below_mm`` under the level of the carina."""
    x0, y0 = CARINA_CM
    end = y0 + below_mm / _MM_PER_CM
    if name == "endotracheal-tube":
        # Beyond the carina a tube slips into the right main bronchus, on the left of the picture.
        straight: Path = [(0.3, top), (x0 + 0.05, -12.0), (x0, min(end, y0))]
        return straight if end <= y0 else [*straight, (x0 - (end - y0) / 0.9, end)]
    if name == "central-line":
        full: Path = [(-6.6, top), (-5.4, -15.0), (-3.6, -11.0), (-2.7, -8.0), (-2.5, 6.0)]
    elif name == "nasogastric-tube":
        full = [(0.9, top), (0.6, -12.0), (0.5, -4.0), (1.0, 4.0), (2.4, 8.5), (5.2, 11.5), (6.0, 13.1)]
    else:
        full = [(9.2, -6.8), (6.0, -9.6), (1.0, -9.4), (-2.2, -6.5), (-2.9, 1.0), (-1.0, 6.0), (4.8, 8.6)]
    return _cut(full, end)


def _cut(path: Path, end: float) -> Path:
    """Return a course up to where it last comes down to a height."""
    for k in range(len(path) - 1, 0, -1):
        (x1, y1), (x2, y2) = path[k - 1], path[k]
        if y1 <= end <= y2 and y2 > y1:
            share = (end - y1) / (y2 - y1)
            return [*path[:k], (x1 + share * (x2 - x1), end)]
    raise BadTruth(f"a tip {end:g} cm down does not lie on the course of the device")


def smooth(path: Path, rounds: int = 3) -> Path:
    """Return a course with its corners cut (Chaikin 1974); both ends stay."""
    for _ in range(rounds):
        cut: Path = [path[0]]
        for (x1, y1), (x2, y2) in itertools.pairwise(path):
            cut += [(0.75 * x1 + 0.25 * x2, 0.75 * y1 + 0.25 * y2), (0.25 * x1 + 0.75 * x2, 0.25 * y1 + 0.75 * y2)]
        path = [*cut, path[-1]]
    return path


def distance_to(path: Path, x: Field, y: Field) -> Field:
    """Return the distance of every pixel to a course, cm."""
    best = np.full(x.shape, np.inf)
    for (x1, y1), (x2, y2) in itertools.pairwise(path):
        length = max((x2 - x1) ** 2 + (y2 - y1) ** 2, 1e-9)
        share = np.clip(((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length, 0, 1)
        best = np.minimum(best, np.hypot(x - x1 - share * (x2 - x1), y - y1 - share * (y2 - y1)))
    return best


def add_device(chest: Thorax, name: str, path: Path) -> None:
    """Add what a device absorbs to the bone map (cm of bone)."""
    away = distance_to(smooth(path), chest.x, chest.y)
    if name == "endotracheal-tube":
        stripe = distance_to([(x + 0.38, y) for x, y in smooth(path)], chest.x, chest.y)
        chest.bone += 0.35 * hollow_tube(away, 0.5, 0.12) + 3.5 * tube(stripe, 0.09)
    elif name == "nasogastric-tube":
        chest.bone += 0.8 * hollow_tube(away, 0.26, 0.08) + 6.0 * tube(away, 0.09)
    elif name == "central-line":
        chest.bone += 3.2 * tube(away, 0.12)
    else:
        chest.bone += 4.5 * tube(away, 0.1)
        atrial = smooth([(9.2, -6.8), (6.0, -9.4), (1.0, -9.1), (-2.0, -6.0), (-3.4, 0.6), (-4.2, -0.6)])
        chest.bone += 4.0 * tube(distance_to(atrial, chest.x, chest.y), 0.09)
        can = (np.abs(chest.x - 9.9) / 2.4) ** 3 + (np.abs(chest.y + 6.2) / 2.1) ** 3
        chest.bone += 3.2 * np.clip((1.05 - can) / 0.1, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class RadiographSeries:
    """One radiograph before it becomes a file."""

    examination: Examination
    pixels: NDArray[np.uint16]
    """(rows, columns), 12 bits, bright is absorbed."""
    view: str
    spacing_mm: float
    modality: str = "DX"
    number: int = 1

    @property
    def description(self) -> str:
        """Return the series description."""
        return f"SYNTHETIC chest {self.view} with devices"

    @property
    def series_instance_uid(self) -> str:
        """Return the UID of the series."""
        return derived_uid("phantom-series", self.examination.identity.uid_seed)

    def datasets(self) -> Iterator[Dataset]:
        """Yield the one Digital X-Ray Image (PS3.3 A.26)."""
        taken = Acquisition(view_position=self.view, view_code=VIEW_CODES[self.view], spacing_mm=self.spacing_mm)
        dataset = radiograph(self.pixels, self.examination.identity, taken)
        dataset.SeriesDescription, dataset.ImageComments = self.description, COMMENT
        yield dataset


def make(truth: DeviceTruth, setup: Setup) -> Made:
    """Compute the radiograph and where every tip lies."""
    stated_geometry = setup.spacing_mm is not None or setup.tilt_degrees or setup.orientation != "axial"
    if stated_geometry or setup.kernel_mm is not None or setup.noise is not None:
        raise BadTruth("a radiograph has no planes: no spacing, orientation, tilt, kernel or noise; state rows")
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0])
    build = build_of(ChestRecipe(seed=setup.seed, view=truth.view))
    random = np.random.default_rng([setup.seed, 83])
    chest = make_thorax(build, min(_WORKING_SIZE, truth.rows), random)
    found: list[dict[str, Any]] = []
    spacing = round(_MM_PER_CM * 2 * build.half_field / truth.rows, 4)
    for name, below in truth.tips():
        path = course(name, below, top=-build.half_field - 1)
        add_device(chest, name, path)
        found.append(_document(name, below, path, build.half_field, truth.rows))
    exposure = Exposure(
        half_field_cm=build.half_field, scatter_fraction=0.42 if truth.view == "AP" else 0.32, blur_cm=0.012
    )
    integral = line_integral(chest.soft, chest.lung, chest.bone, chest.vessels)
    level = with_marker(expose(integral, truth.rows, exposure, random))
    series = RadiographSeries(who, np.rint(level * 4095).astype(np.uint16), truth.view, spacing)
    column, row = _pixel(CARINA_CM, build.half_field, truth.rows)
    facts = {"devices": found, "carina_column_row": [column, row], "pixel_mm": spacing}
    return Made(NAME, truth, setup, (Visit(who, (series,), (), facts),))


def _pixel(place_cm: tuple[float, float], half_field: float, rows: int) -> tuple[float, float]:
    """Return (column, row) as SCOORD counts them."""
    column, row = ((value + half_field) / (2 * half_field) * rows for value in place_cm)
    return round(column, 2), round(row, 2)


def _document(name: str, below: float, path: Path, half_field: float, rows: int) -> dict[str, Any]:
    tip = path[-1]
    beside = (tip[0] - CARINA_CM[0]) * _MM_PER_CM
    return {
        "name": name,
        "tip_column_row": list(_pixel(tip, half_field, rows)),
        "tip_below_carina_mm": below,
        "tip_left_of_carina_mm": round(beside, 3),
        "course_column_row": [list(_pixel(place, half_field, rows)) for place in smooth(path)
                              if max(abs(place[0]), abs(place[1])) <= half_field],
    }  # fmt: skip
