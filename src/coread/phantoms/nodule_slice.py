"""A small crop of a lung CT slice with one nodule of known outline in its middle; drawn, not simulated physics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import blurred, coloured_noise, step


@dataclass(frozen=True, slots=True)
class NoduleSliceRecipe:
    """What is drawn; the same recipe gives the same crop."""

    seed: int = 1
    side: int = 72
    """Rows and columns."""
    radius: float = 9.0
    """Mean radius of the nodule, pixels."""
    offset: tuple[float, float] = (0.0, 0.0)
    """(columns, rows) of the nodule from the middle, pixels."""
    pixel_mm: float | None = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class NoduleSlice:
    """The crop as a DICOM object, and the outline of its nodule."""

    dataset: Dataset
    nodule: NDArray[np.bool_]


def nodule_slice(recipe: NoduleSliceRecipe) -> NoduleSlice:
    """Return the crop of a recipe as a Secondary Capture object of modality CT: grey values, no HU."""
    random = np.random.default_rng([recipe.seed, recipe.side])
    row, column = np.mgrid[0 : recipe.side, 0 : recipe.side] + 0.5 - recipe.side / 2
    picture = 0.12 + 0.03 * coloured_noise(random, (recipe.side, recipe.side), 1.0)
    for _ in range(4):
        picture += _vessel(row, column, random)
    x, y = column - recipe.offset[0], row - recipe.offset[1]
    angle = np.arctan2(y, x)
    waves = [random.uniform(-0.08, 0.08) * np.cos(k * angle + random.uniform(0, 6)) for k in (2, 3, 5)]
    edge = recipe.radius * (1 + np.sum(waves, axis=0))
    far = np.hypot(x, y)
    picture = np.maximum(picture, 0.78 * step(edge - far, 2.0))
    picture = blurred(picture, 0.7) + 0.02 * random.standard_normal(picture.shape)
    stored = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    name = f"nodule-{recipe}"
    subject = Subject(patient_id=f"SYN-NODULE-{recipe.seed:02d}", case_id=f"SYNN{recipe.seed:02d}", uid_seed=name)
    wrapping = Wrapping(
        modality="CT", sop_class_uid="1.2.840.10008.5.1.4.1.1.7", body_part="CHEST", spacing_mm=recipe.pixel_mm
    )
    dataset = wrapped_picture(Picture(stored), subject, wrapping)
    dataset.PatientName = f"SYNTHETIC^NODULE{recipe.seed:02d}"
    dataset.ConversionType = "WSD"
    return NoduleSlice(dataset, far < edge)


def _vessel(row: NDArray[np.float64], column: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """A bright line that passes the nodule at some distance."""
    angle, away, width = random.uniform(0, np.pi), random.uniform(14, 30), random.uniform(1.0, 2.2)
    distance = np.abs(row * np.cos(angle) + column * np.sin(angle) - away)
    return np.asarray(0.45 * np.exp(-((distance / width) ** 2)))
