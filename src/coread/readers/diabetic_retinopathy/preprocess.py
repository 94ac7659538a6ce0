"""From a colour photograph to what the network reads: the round field of view."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.diabetic_retinopathy.outputs import COLUMNS, ROWS

LIT = 0.1
"""Brightest channel, as a share of full scale, from which a pixel belongs to the field of view."""
LEAST_LIT = 0.35
"""Share of the field's square that is lit in any fundus photograph that is not cut or black."""
MOST_BLUE = 0.9
"""Mean blue over mean red from which a picture is no retina in white light."""
_COLUMN_LIT = 0.05


@dataclass(frozen=True, slots=True)
class Field:
    """The columns that the round field of view takes; ends exclusive."""

    first: int
    last: int

    @property
    def across(self) -> int:
        """Diameter in pixels."""
        return self.last - self.first


def network_image(image: PlanarImage) -> FloatPixels | Reason:
    """Return (3, ROWS, COLUMNS), or why the picture is no colour photograph of a fundus."""
    if image.colour is None:
        return Reason(ReasonCode.PIXEL_MEANING, "a colour photograph is needed")
    return network_picture(image.colour)


def network_picture(colour: FloatPixels) -> FloatPixels | Reason:
    """Return (3, ROWS, COLUMNS) of red, green, blue (rows, columns, 3) in [0, 1]: the path of the training too."""
    found = field_of_view(colour)
    return found if isinstance(found, Reason) else np.moveaxis(field_of(colour, found), 2, 0)


def field_of_view(colour: FloatPixels) -> Field | Reason:
    """Find the lit disc; photographs that are cut above and below still show its whole width."""
    lit = colour.max(axis=2) > LIT
    columns = np.flatnonzero(lit.mean(axis=0) > _COLUMN_LIT)
    if len(columns) < colour.shape[1] // 4:
        return Reason(ReasonCode.LOW_QUALITY, "no lit field of view was found")
    field = Field(int(columns[0]), int(columns[-1]) + 1)
    inside = lit[:, field.first : field.last]
    if float(inside.mean()) < LEAST_LIT:
        return Reason(ReasonCode.LOW_QUALITY, f"only {float(inside.mean()):.0%} of the field of view is lit")
    red, _, blue = colour[lit].mean(axis=0)
    if blue > MOST_BLUE * red:
        return Reason(ReasonCode.LOW_QUALITY, "the colours are not those of a retina in white light")
    return field


def field_of(colour: FloatPixels, field: Field) -> FloatPixels:
    """Return (ROWS, COLUMNS, 3): the field's width fills the columns, rows are cut or filled with black evenly.

    Values are rounded to 1/255, as the training cache stores them.
    """
    rows = max(1, round(colour.shape[0] * COLUMNS / field.across))
    made = np.zeros((max(rows, ROWS), COLUMNS, 3), dtype=np.float32)
    start = (len(made) - rows) // 2
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(colour[:, field.first : field.last, channel]))
        made[start : start + rows, :, channel] = plane.resize((COLUMNS, rows), Image.Resampling.BICUBIC)
    start = (len(made) - ROWS) // 2
    cut = np.rint(np.clip(made[start : start + ROWS], 0, 1) * 255)
    return np.asarray(cut / 255, dtype=np.float32)
