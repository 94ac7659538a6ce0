"""A contrast-enhanced T1 slice of a head with one bright tumour at a known place; drawn, not simulated physics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import Field, blurred, coloured_noise, step

KINDS = ("meningioma", "glioma", "pituitary")
_PIXEL_MM = 0.9


@dataclass(frozen=True, slots=True)
class BrainRecipe:
    """What is drawn; the same recipe gives the same slice."""

    seed: int = 1
    tumour: str = "meningioma"
    """One of KINDS, or empty for none."""
    side: str = "R"
    """Patient's side of a meningioma or a glioma; the patient's right is on the left of the picture."""
    rows: int = 256


@dataclass(frozen=True, slots=True, eq=False)
class BrainPhantom:
    """The slice as a DICOM object, and where its tumour is."""

    dataset: Dataset
    tumour: NDArray[np.bool_]
    """(rows, columns); empty where none was drawn."""


def brain_slice(recipe: BrainRecipe) -> BrainPhantom:
    """Return the slice of a recipe as an MR Image object."""
    if recipe.tumour not in (*KINDS, ""):
        raise InvalidRecord(f"no tumour {recipe.tumour!r}; there are {', '.join(KINDS)}")
    random = np.random.default_rng([recipe.seed, len(recipe.tumour)])
    axis = (np.arange(recipe.rows) + 0.5) / recipe.rows * 2 - 1
    x, y = np.meshgrid(axis, axis)
    picture = _head(x, y, random)
    inside = _tumour(recipe, x, y, random)
    if recipe.tumour:
        picture = _enhanced(picture, inside, rim=recipe.tumour == "glioma", rows=recipe.rows)
    picture += 0.015 * random.standard_normal(picture.shape)
    stored = np.rint(np.clip(blurred(picture, 0.6), 0, 1) * 4095).astype(np.uint16)
    name = f"brain-{recipe.tumour or 'none'}-{recipe.side}-{recipe.seed}-{recipe.rows}"
    subject = Subject(patient_id=f"SYN-BRAIN-{recipe.seed:02d}", case_id=f"SYNB{recipe.seed:02d}", uid_seed=name)
    dataset = wrapped_picture(Picture(stored), subject, _WRAPPING)
    dataset.PatientName = f"SYNTHETIC^BRAIN{recipe.seed:02d}"
    dataset.SeriesDescription = "SYNTHETIC T1 CE"
    return BrainPhantom(dataset, inside > 0)


_WRAPPING = Wrapping(modality="MR", body_part="BRAIN", spacing_mm=_PIXEL_MM, slice_mm=6.0)


def _head(x: Field, y: Field, random: np.random.Generator) -> Field:
    """Scalp fat, dark skull, brain of two greys, dark ventricles, the falx."""
    radius = np.sqrt((x / 0.72) ** 2 + (y / 0.88) ** 2)
    scalp = step(1.0 - radius, 0.03) * 0.75
    skull = step(0.93 - radius, 0.02)
    brain = step(0.86 - radius, 0.02)
    folds = coloured_noise(random, (x.shape[0], x.shape[1]), 1.1)
    tissue = 0.38 + 0.03 * folds + 0.05 * step(0.62 - radius, 0.25)
    picture = scalp * (1 - skull) + 0.06 * skull * (1 - brain) + tissue * brain
    for sign in (-1.0, 1.0):
        ventricle = ((x - sign * 0.09) / 0.055) ** 2 + ((y + 0.05) / 0.26) ** 2
        picture = picture - (picture - 0.10) * step(1 - ventricle, 0.4)
    falx = np.exp(-((x / 0.008) ** 2)) * brain * step(-(y + 0.35), 0.05)
    return np.asarray(picture + 0.2 * falx)


def _tumour(recipe: BrainRecipe, x: Field, y: Field, random: np.random.Generator) -> Field:
    """Return 1 inside the tumour: at the vault, deep in a hemisphere, or in the middle at the base."""
    if not recipe.tumour:
        return np.zeros_like(x)
    sign = -1.0 if recipe.side == "R" else 1.0
    turn = random.uniform(-0.2, 0.2)
    column, row, width, height = {
        "meningioma": (sign * 0.47, -0.2 + turn, 0.15, 0.17),
        "glioma": (sign * 0.30, 0.15 + turn, 0.20, 0.17),
        "pituitary": (0.0, 0.42, 0.10, 0.10),
    }[recipe.tumour]
    edge = 1.0 if recipe.tumour != "glioma" else 1 + 0.06 * coloured_noise(random, (x.shape[0], x.shape[1]), 1.6)
    distance = np.sqrt(((x - column) / width) ** 2 + ((y - row) / height) ** 2)
    return np.asarray((distance < edge).astype(np.float64))


def _enhanced(picture: Field, inside: Field, *, rim: bool, rows: int) -> Field:
    """Fill the tumour brightly, or ring it brightly around a dark middle with a dark swelling outside."""
    soft = blurred(inside, rows / 180)
    if not rim:
        return np.asarray(picture * (1 - soft) + 0.72 * soft)
    swelling = blurred(inside, rows / 16)
    core = blurred(inside, rows / 40) ** 3
    return np.asarray((picture - 0.12 * swelling) * (1 - soft) + (0.80 - 0.55 * core) * soft)
