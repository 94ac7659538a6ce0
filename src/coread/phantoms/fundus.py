"""Fundus photographs with lesions of diabetic retinopathy at known places; drawn, not photographed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import Field, blurred, coloured_noise, step

_REACH = 1.0
"""Radius of the field of view in its own unit."""
_ORANGE = np.array([0.78, 0.42, 0.16])


@dataclass(frozen=True, slots=True)
class FundusRecipe:
    """What is drawn; the same recipe gives the same picture."""

    seed: int = 1
    haemorrhages: int = 0
    exudates: int = 0
    rows: int = 480
    blur: float = 0.0
    """Standard deviation of the blur in pixels: an ungradable photograph has a lot."""
    light: float = 1.0
    """Brightness of the flash; 1 is right."""
    laterality: str = "R"
    """``R`` (the disc on the right of the picture) or ``L``."""
    modality: str = "OP"

    def __post_init__(self) -> None:
        if self.rows < 64 or self.laterality not in ("R", "L") or min(self.haemorrhages, self.exudates) < 0:
            raise InvalidRecord(f"fundus recipe: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Fundus:
    """The photograph as a DICOM object, and where its lesions are."""

    dataset: Dataset
    lesions: NDArray[np.bool_]


def fundus_photograph(recipe: FundusRecipe) -> Fundus:
    """Return the photograph of a recipe as an Ophthalmic Photography 8 Bit Image (PS3.3 A.41), colour."""
    random = np.random.default_rng([recipe.seed, 5])
    columns = round(recipe.rows * 1.2)
    y, x = np.mgrid[0 : recipe.rows, 0:columns] + 0.5
    half = recipe.rows / 2 / 0.95
    y, x = (y - recipe.rows / 2) / half, (x - columns / 2) / half
    if recipe.laterality == "L":
        x = -x
    far = np.hypot(x, y)
    light = (0.95 - 0.35 * far**2) * (1 + 0.05 * blurred(coloured_noise(random, x.shape, 1.3), 3))
    light = light * (1 - 0.35 * np.exp(-(((x + 0.12) ** 2 + (y - 0.05) ** 2) / 0.02)))
    red, green = np.ones_like(x), np.ones_like(x)
    vessels = _vessels(x, y, random)
    red, green = red * (1 - 0.35 * vessels), green * (1 - 0.6 * vessels)
    disc = step(0.15 - np.hypot(x - 0.5, y), 0.05)
    dark, bright, lesions = _lesions(recipe, x, y, random)
    red = red * (1 - 0.45 * dark) + 0.30 * disc + 0.30 * bright
    green = green * (1 - 0.75 * dark) + 0.90 * disc + 1.1 * bright
    blue = np.ones_like(x) + 1.4 * disc + 0.5 * bright
    layers = [light * part * tint for part, tint in zip((red, green, blue), _ORANGE, strict=True)]
    mask = step(_REACH - far, 0.02)
    picture = np.stack([blurred(layer * mask * recipe.light, recipe.blur) for layer in layers], axis=-1)
    picture = picture + 0.008 * random.standard_normal(picture.shape) * mask[..., None]
    stored = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Fundus(_object(stored, recipe), lesions & (far < _REACH))


def _object(stored: NDArray[np.uint8], recipe: FundusRecipe) -> Dataset:
    subject = Subject(
        patient_id=f"SYN-EYE-{recipe.seed:02d}", case_id=f"SYNOP{recipe.seed:02d}", uid_seed=f"{recipe}",
        laterality=recipe.laterality,
    )  # fmt: skip
    wrapping = Wrapping(modality=recipe.modality, body_part="EYE", colour="rgb")
    dataset = wrapped_picture(Picture(stored), subject, wrapping)
    dataset.PatientName = f"SYNTHETIC^EYE{recipe.seed:02d}"
    return dataset


def _vessels(x: Field, y: Field, random: np.random.Generator) -> Field:
    """Four arcades that leave the disc and thin out."""
    found = np.zeros_like(x)
    for up in (-1.0, 1.0):
        for reach, width in ((0.55, 0.022), (0.75, 0.016), (0.35, 0.012)):
            course = up * reach * np.sqrt(np.clip((0.5 - x) * 1.3, 0, None)) + 0.02 * random.standard_normal()
            distance = np.abs(y - course + 0.012 * np.sin(9 * x + random.uniform(0, 6)))
            found = np.maximum(found, np.exp(-((distance / width) ** 2)) * step(0.5 - x, 0.05))
        course = up * 0.5 * np.clip(x - 0.5, 0, None)
        found = np.maximum(found, np.exp(-(((y - course) / 0.014) ** 2)) * step(x - 0.5, 0.05))
    return found


def _lesions(
    recipe: FundusRecipe, x: Field, y: Field, random: np.random.Generator
) -> tuple[Field, Field, NDArray[np.bool_]]:
    """Return how dark (blood) and how bright (lipid) each point is, and where there is either."""
    dark, bright = np.zeros_like(x), np.zeros_like(x)
    for count, field, smallest, largest in (
        (recipe.haemorrhages, dark, 0.015, 0.06), (recipe.exudates, bright, 0.012, 0.035),
    ):  # fmt: skip
        for _ in range(count):
            angle, away = random.uniform(0, 2 * np.pi), random.uniform(0.15, 0.75)
            radius = random.uniform(smallest, largest)
            distance = np.hypot(x + 0.1 - away * np.cos(angle), y - away * np.sin(angle))
            np.maximum(field, step(radius - distance, 0.02), out=field)
    return dark, bright, np.asarray(np.maximum(dark, bright) > 0.5)
