"""Frames of a colonoscopy with a polyp at a known place, single or as a moving film; drawn, not rendered physics."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.phantoms.picture import Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.raster import Field, blurred, coloured_noise, step

_WRAPPING = Wrapping(modality="ES", body_part="COLON", colour="rgb")


@dataclass(frozen=True, slots=True)
class ColonRecipe:
    """What is drawn; the same recipe gives the same frame. Places and sizes are shares of the frame's side."""

    seed: int = 1
    rows: int = 320
    columns: int = 352
    centre: tuple[float, float] = (0.40, 0.38)
    """(column, row) of the polyp."""
    radius: float = 0.16
    """Of the polyp, as a share of the rows; 0 draws none."""


@dataclass(frozen=True, slots=True, eq=False)
class ColonFrame:
    """The frame (rows, columns, 3) in 8 bits, and where its polyp is."""

    pixels: NDArray[np.uint8]
    polyp: NDArray[np.bool_]
    recipe: ColonRecipe

    def dataset(self) -> Dataset:
        """Return the frame as a VL Endoscopic Image object."""
        seed = self.recipe.seed
        name = f"colon-{seed}-{self.recipe.rows}-{self.recipe.columns}-{self.recipe.centre}-{self.recipe.radius}"
        subject = Subject(patient_id=f"SYN-COLON-{seed:02d}", case_id=f"SYNC{seed:02d}", uid_seed=name)
        dataset = wrapped_picture(Picture(self.pixels), subject, _WRAPPING)
        dataset.PatientName = f"SYNTHETIC^COLON{seed:02d}"
        return dataset


def colon_frame(recipe: ColonRecipe) -> ColonFrame:
    """Return the frame of a recipe."""
    random = np.random.default_rng([recipe.seed, 77])
    shape = (recipe.rows, recipe.columns)
    row, column = (np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5) / recipe.rows
    middle = recipe.columns / recipe.rows / 2
    light = _wall(row - 0.5, column - middle, random)
    inside = np.zeros(shape, dtype=bool)
    redness = 0.03 * coloured_noise(random, shape, 1.4)
    if recipe.radius > 0:
        at = (recipe.centre[1], recipe.centre[0] * recipe.columns / recipe.rows)
        far = np.sqrt((row - at[0]) ** 2 + ((column - at[1]) / 1.1) ** 2) / recipe.radius
        inside = far < 1
        light, redness = _with_polyp(light, redness, far)
    colour = np.stack([light * (1.12 + redness), light * (0.62 - redness), light * (0.52 - redness)], axis=2)
    edge = np.sqrt((row - 0.5) ** 2 + ((column - middle) / (2 * middle)) ** 2)
    colour = colour * step(0.56 - edge, 0.03)[..., None] + 0.012 * random.standard_normal(colour.shape)
    return ColonFrame(np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8), inside, recipe)


def colon_film(frames: int, recipe: ColonRecipe | None = None) -> Iterator[ColonFrame]:
    """Draw a film in which the polyp moves around the lumen."""
    start = recipe or ColonRecipe()
    for number in range(frames):
        angle = 2 * np.pi * number / max(frames, 1)
        centre = (0.5 + 0.16 * float(np.cos(angle)), 0.5 + 0.16 * float(np.sin(angle)))
        yield colon_frame(
            ColonRecipe(start.seed, start.rows, start.columns, centre, start.radius)
        )  # the seed keeps the wall still


def _wall(y: Field, x: Field, random: np.random.Generator) -> Field:
    """A tube with folds: bright near the lamp, dark in the lumen, which lies off the middle."""
    away = np.sqrt((y - 0.12) ** 2 + (x - 0.18) ** 2)
    depth = 1 / (away + 0.12)
    folds = np.cos(9 * np.log(depth) + 0.6 * np.sin(3 * np.arctan2(y - 0.12, x - 0.18)))
    wall = 0.30 + 0.55 * step(away - 0.17, 0.25) + 0.05 * folds
    return np.asarray(wall + 0.03 * coloured_noise(random, (y.shape[0], y.shape[1]), 1.5))


def _with_polyp(light: Field, redness: Field, far: Field) -> tuple[Field, Field]:
    """A dome: brighter towards the lamp, a shadow at its foot, a bright spot, redder than the wall."""
    soft = step(1 - far, 0.12)
    dome = 0.45 + 0.42 * np.sqrt(np.clip(1 - far**2, 0, 1))
    shadow = 0.22 * np.exp(-(((far - 1.08) / 0.10) ** 2))
    spot = 0.5 * np.exp(-((far / 0.16) ** 2))
    return np.asarray((light - shadow) * (1 - soft) + (dome + blurred(spot, 1)) * soft), redness + 0.13 * soft
