"""Frontal chest radiographs computed from anatomy, with findings whose place is known exactly."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.domain.findings import Box, ImageReference
from coread.phantoms.dx import Acquisition, Identity, radiograph
from coread.phantoms.exposure import Exposure, expose, line_integral
from coread.phantoms.pathology import ADDERS, heart_mask
from coread.phantoms.raster import Field, resized_mask
from coread.phantoms.thorax import Build, make_thorax

FINDINGS = ("pneumothorax", "effusion", "cardiomegaly", "opacity", "nodule")
_WORKING_SIZE = 560
VIEW_CODES = {"PA": ("399348003", "postero-anterior"), "AP": ("399067008", "antero-posterior")}


@dataclass(frozen=True, slots=True)
class ChestRecipe:
    """What to compute. The same recipe gives the same bytes."""

    seed: int = 1
    findings: tuple[str, ...] = ()
    """Any of FINDINGS; each is on the side that ``seed`` draws unless ``side`` says so."""
    side: str = ""
    """``R`` or ``L`` (the patient's), empty to draw it."""
    size: float = 0.6
    """How large the findings are, 0 (slight) to 1 (gross)."""
    view: str = "PA"
    rows: int = 1024
    bits: int = 12
    photometric: str = "MONOCHROME2"
    modality: str = "DX"
    child: bool = False
    identity: Identity | None = None

    def __post_init__(self) -> None:
        unknown = set(self.findings) - set(FINDINGS)
        if unknown or self.side not in ("", "R", "L") or self.view not in ("PA", "AP"):
            raise InvalidRecord(f"chest recipe: findings {sorted(unknown)}, side {self.side!r}, view {self.view!r}")
        if not 64 <= self.rows <= 4096 or self.bits not in (8, 10, 12, 14, 16) or not 0 <= self.size <= 1:
            raise InvalidRecord(f"chest recipe: {self.rows} rows, {self.bits} bits, size {self.size}")
        if self.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise InvalidRecord(f"chest recipe: photometric {self.photometric!r}")


@dataclass(frozen=True, slots=True, eq=False)
class PhantomFinding:
    """One finding as it was put in: where it is, exactly."""

    key: str
    side: str
    """``R``, ``L`` or empty for the heart."""
    mask: NDArray[np.bool_]
    """(rows, columns) of the image."""
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class ChestPhantom:
    """A data set ready to save and the truth about it."""

    dataset: Dataset
    truth: tuple[PhantomFinding, ...]

    def __iter__(self) -> Iterator[object]:
        """Unpack as (dataset, truth)."""
        return iter((self.dataset, self.truth))


def chest_radiograph(recipe: ChestRecipe) -> ChestPhantom:
    """Compute a radiograph: anatomy, findings, exposure, then a DX (or CR) object around it."""
    level, masks = chest_pixels(recipe)
    stored = np.rint(level * (2**recipe.bits - 1))
    if recipe.photometric == "MONOCHROME1":
        stored = 2**recipe.bits - 1 - stored
    identity = recipe.identity or _identity(recipe)
    taken = Acquisition(
        view_position=recipe.view, view_code=VIEW_CODES[recipe.view], bits=recipe.bits, photometric=recipe.photometric,
        modality=recipe.modality, spacing_mm=round(10 * 2 * build_of(recipe).half_field / recipe.rows, 4),
    )  # fmt: skip
    dataset = radiograph(stored.astype(np.uint8 if recipe.bits == 8 else np.uint16), identity, taken)
    image = ImageReference(dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID)
    truth = tuple(PhantomFinding(key, side, mask, box_of(mask, image)) for key, side, mask in masks)
    return ChestPhantom(dataset, truth)


def chest_pixels(recipe: ChestRecipe) -> tuple[Field, tuple[tuple[str, str, NDArray[np.bool_]], ...]]:
    """Return display levels (rows, columns) in [0, 1], bright = absorbed, and (finding, side, mask) of each finding."""
    random = np.random.default_rng(recipe.seed)
    build = build_of(recipe)
    thorax = make_thorax(build, min(_WORKING_SIZE, recipe.rows), random)
    masks = []
    for key in recipe.findings:
        drawn = "RL"[int(random.integers(2))]
        side = recipe.side or drawn
        if key == "cardiomegaly":
            masks.append((key, "", heart_mask(thorax)))
        else:
            masks.append((key, side, ADDERS[key](thorax, -1 if side == "R" else 1, recipe.size, random)))
    integral = line_integral(thorax.soft, thorax.lung, thorax.bone, thorax.vessels)
    exposure = Exposure(half_field_cm=build.half_field, scatter_fraction=0.32 if recipe.view == "PA" else 0.42)
    level = expose(integral, recipe.rows, exposure, random)
    shape = (recipe.rows, recipe.rows)
    return with_marker(level), tuple((key, side, resized_mask(mask, shape)) for key, side, mask in masks)


def box_of(mask: NDArray[np.bool_], image: ImageReference) -> Box:
    """Return the smallest box around a mask, in SCOORD pixel coordinates."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise InvalidRecord("the finding fell outside the image")
    return Box(image, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def build_of(recipe: ChestRecipe) -> Build:
    """Draw the proportions of one person from the seed."""
    random = np.random.default_rng([recipe.seed, 7])
    ratio = random.uniform(0.40, 0.46) + (0.04 if recipe.view == "AP" else 0.0)
    if "cardiomegaly" in recipe.findings:
        ratio = 0.56 + 0.12 * recipe.size
    build = Build(
        chest_half_width=random.uniform(13.0, 14.4),
        lung_top=random.uniform(-14.6, -13.4) + (1.0 if recipe.view == "AP" else 0.0),
        dome_right=random.uniform(5.6, 7.0) - (1.4 if recipe.view == "AP" else 0.0),
        dome_left=random.uniform(6.9, 8.2) - (1.4 if recipe.view == "AP" else 0.0),
        heart_ratio=ratio,
        depth=random.uniform(19.0, 22.5),
        rib_phase=random.uniform(-0.5, 0.9),
        rib_slope=random.uniform(0.26, 0.36),
        breasts=float(random.choice([0.0, 1.8])),
        half_field=random.uniform(17.6, 19.2),
    )
    return _child(build) if recipe.child else build


def _child(build: Build) -> Build:
    """A small, round thorax with a wide heart and flat ribs, on a smaller field."""
    return replace(
        build, chest_half_width=11.6, lung_top=-10.4, dome_right=4.2, dome_left=4.9, heart_ratio=0.54, rib_slope=0.12,
        rib_pitch=1.75, breasts=0.0, depth=13.5, half_field=15.8,
    )  # fmt: skip


def _identity(recipe: ChestRecipe) -> Identity:
    number = f"{recipe.seed:02d}"
    found = " ".join(recipe.findings) or "no finding"
    return Identity(
        patient_name=f"SYNTHETIC^CHEST{number}", patient_id=f"SYN-CHEST-{number}", accession_number=f"SYN{number}",
        patient_age="004Y" if recipe.child else "054Y", patient_birth_date="20220101" if recipe.child else "19720101",
        series_description=f"SYNTHETIC chest {recipe.view}",
        patient_comments=f"SYNTHETIC: computed, not a person; contains: {found}", uid_seed=repr(recipe),
    )  # fmt: skip


def with_marker(level: Field) -> Field:
    """Lay the usual lead letter at the patient's left shoulder."""
    size = level.shape[0]
    image = Image.new("L", (size, size), 0)
    font = ImageFont.load_default(size=max(10, size // 26))
    ImageDraw.Draw(image).text((int(size * 0.93), int(size * 0.05)), "L", fill=255, font=font)
    mark = np.asarray(image, dtype=np.float64) / 255
    return np.asarray(level * (1 - mark) + 0.97 * mark)
