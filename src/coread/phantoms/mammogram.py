"""A drawn mammogram (mediolateral oblique) of one of three densities, with a mass at a known place or without."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import Field, blurred, coloured_noise, step

DENSITIES = ("fatty", "glandular", "dense")
_GLAND = {"fatty": 0.05, "glandular": 0.22, "dense": 0.42}
_DRAWN = 512


@dataclass(frozen=True, slots=True)
class MammogramRecipe:
    """What is drawn; the same recipe gives the same picture."""

    seed: int = 1
    density: str = "glandular"
    mass: bool = True
    laterality: str = "R"
    """``R``: the chest wall is on the right of the picture, as usually hung."""
    rows: int = 1024


@dataclass(frozen=True, slots=True, eq=False)
class MammogramPhantom:
    """The picture as a DICOM object, and where its mass is."""

    dataset: Dataset
    mass: NDArray[np.bool_]


def mammogram(recipe: MammogramRecipe) -> MammogramPhantom:
    """Return the picture of a recipe as a Digital Mammography X-Ray Image object, For Presentation."""
    if recipe.density not in DENSITIES:
        raise InvalidRecord(f"no density {recipe.density!r}; there are {', '.join(DENSITIES)}")
    random = np.random.default_rng([recipe.seed, DENSITIES.index(recipe.density)])
    axis = (np.arange(_DRAWN) + 0.5) / _DRAWN
    x, y = np.meshgrid(axis, axis)  # x runs from the chest wall outwards
    picture = _breast(x, y, recipe.density, random)
    inside = np.zeros_like(picture)
    if recipe.mass:
        picture, inside = _with_mass(picture, x, y, random)
    if recipe.laterality == "R":
        picture, inside = picture[:, ::-1], inside[:, ::-1]
    scale = recipe.rows // _DRAWN
    if scale > 1:
        picture, inside = (np.repeat(np.repeat(f, scale, axis=0), scale, axis=1) for f in (picture, inside))
    picture = blurred(picture, scale / 2) + 0.008 * random.standard_normal(picture.shape)
    stored = np.rint(np.clip(picture, 0, 1) * 4095).astype(np.uint16)
    name = f"mammogram-{recipe.density}-{recipe.mass}-{recipe.laterality}-{recipe.seed}-{recipe.rows}"
    subject = Subject(
        patient_id=f"SYN-MAMMO-{recipe.seed:02d}", case_id=f"SYNM{recipe.seed:02d}", uid_seed=name, sex="F",
        view="MLO", laterality=recipe.laterality,
    )  # fmt: skip
    dataset = wrapped_picture(Picture(stored), subject, Wrapping(modality="MG", body_part="BREAST", spacing_mm=0.2))
    dataset.PatientName = f"SYNTHETIC^MAMMOGRAM{recipe.seed:02d}"
    return MammogramPhantom(dataset, inside > 0)


def _breast(x: Field, y: Field, density: str, random: np.random.Generator) -> Field:
    """A half ellipse at the chest wall with a pectoral muscle, fat, and as much gland as the density says."""
    reach = np.sqrt((x / 0.62) ** 2 + ((y - 0.52) / 0.42) ** 2)
    breast = step(1 - reach, 0.05)
    muscle = step(0.30 - x - 0.55 * y, 0.03) * 0.30
    clouds = coloured_noise(random, (x.shape[0], x.shape[1]), 1.5)
    gland = step(0.62 - np.sqrt(((x - 0.22) / 0.5) ** 2 + ((y - 0.50) / 0.42) ** 2), 0.3)
    share = _GLAND[density]
    tissue = 0.30 + 0.03 * clouds + gland * share * (1 + 0.45 * clouds)
    return np.asarray(np.clip(tissue + muscle, 0.02, 0.95) * breast + 0.02 * (1 - breast))


def _with_mass(picture: Field, x: Field, y: Field, random: np.random.Generator) -> tuple[Field, Field]:
    """A bright core with thin rays."""
    column, row, radius = random.uniform(0.2, 0.38), random.uniform(0.4, 0.62), random.uniform(0.045, 0.07)
    far = np.sqrt((x - column) ** 2 + (y - row) ** 2) / radius
    angle = np.arctan2(y - row, x - column)
    rays = np.clip(np.cos(13 * angle + random.uniform(0, 6)), 0, 1) ** 4
    rays = rays * np.exp(-((far / 1.8) ** 2)) * step(far - 0.8, 0.3)
    bright = picture + 0.38 * step(1 - far, 0.5) + 0.12 * rays
    return np.asarray(np.minimum(bright, 0.97)), np.asarray((far < 1).astype(np.float64))
