"""Ultrasound pictures of a breast with a lesion of known outline; drawn with speckle, not simulated physics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import Field, blurred, coloured_noise, step

LESIONS = ("none", "round", "spiky")


@dataclass(frozen=True, slots=True)
class BreastUsRecipe:
    """What is drawn; the same recipe gives the same picture."""

    seed: int = 1
    lesion: str = "round"
    """``none``, ``round`` (smooth, dark, brighter behind) or ``spiky`` (ragged, taller than wide, shadow behind)."""
    rows: int = 320
    columns: int = 400

    def __post_init__(self) -> None:
        if self.lesion not in LESIONS or min(self.rows, self.columns) < 64:
            raise InvalidRecord(f"breast ultrasound: lesion {self.lesion!r}, {self.rows} x {self.columns}")


@dataclass(frozen=True, slots=True, eq=False)
class BreastUs:
    """The picture as a DICOM object, and the outline of its lesion."""

    dataset: Dataset
    lesion: NDArray[np.bool_]


def breast_ultrasound(recipe: BreastUsRecipe) -> BreastUs:
    """Return the picture of a recipe as an Ultrasound Image object, grey."""
    random = np.random.default_rng([recipe.seed, LESIONS.index(recipe.lesion)])
    y, x = np.mgrid[0 : recipe.rows, 0 : recipe.columns] + 0.5
    y, x = y / recipe.rows, x / recipe.columns
    echo = _tissue(y, random)
    outline = np.zeros(echo.shape, dtype=np.bool_)
    if recipe.lesion != "none":
        edge, behind = _lesion(recipe.lesion, x, y, random)
        outline = edge > 0
        inside = step(edge, 0.02)
        echo = echo * (1 + (0.8 if recipe.lesion == "round" else -0.6) * behind * (1 - inside))
        echo = echo * (1 - inside) + (0.06 if recipe.lesion == "round" else 0.16) * inside
    speckle = blurred(random.rayleigh(0.8, echo.shape), 0.9)
    picture = np.clip(echo * speckle * np.exp(-0.9 * y) * 1.5, 0, 1) ** 0.75
    stored = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    subject = Subject(
        patient_id=f"SYN-BREAST-{recipe.seed:02d}", case_id=f"SYNBU{recipe.seed:02d}", uid_seed=f"{recipe}", sex="F"
    )
    dataset = wrapped_picture(Picture(stored), subject, Wrapping(modality="US", body_part="BREAST"))
    dataset.PatientName = f"SYNTHETIC^BREAST{recipe.seed:02d}"
    return BreastUs(dataset, outline)


def _tissue(y: Field, random: np.random.Generator) -> Field:
    """Skin, fat, bands of gland and muscle: layers that wave."""
    wave = 0.03 * blurred(coloured_noise(random, y.shape, 1.6), 6)
    depth = y + wave
    bands = 0.5 + 0.5 * np.sin(2 * np.pi * depth * 9 + 3 * blurred(coloured_noise(random, y.shape, 1.5), 4))
    skin = np.exp(-(((depth - 0.03) / 0.02) ** 2))
    fat = 0.22 * step(0.28 - depth, 0.08)
    gland = (0.25 + 0.5 * bands) * step(depth - 0.25, 0.08) * step(0.72 - depth, 0.08)
    muscle = (0.15 + 0.35 * bands**3) * step(depth - 0.70, 0.08)
    return np.asarray(0.9 * skin + fat + gland + muscle)


def _lesion(kind: str, x: Field, y: Field, random: np.random.Generator) -> tuple[Field, Field]:
    """Return a field that is positive inside the outline, and where sound has passed through the lesion."""
    column, row = random.uniform(0.35, 0.65), random.uniform(0.36, 0.5)
    wide, tall = (0.15, 0.10) if kind == "round" else (0.10, 0.14)
    dx, dy = (x - column) / wide, (y - row) / tall
    angle = np.arctan2(dy, dx)
    ragged = 0.0 if kind == "round" else 0.22
    waves = [random.uniform(0.3, 1) * np.cos(k * angle + random.uniform(0, 6)) for k in (5, 8, 11)]
    edge = 1 + ragged * np.sum(waves, axis=0) / 2 - np.hypot(dx, dy)
    behind = step(1 - np.abs(dx), 0.4) * step(y - row, 0.1)
    return np.asarray(edge), np.asarray(behind)
