"""Pictures of a result drawn beside one another on the summary page, each at the same scale with its words below."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from coread.domain.derived import Picture
from coread.evidence import page as p

MOST = 4
"""In one row; what is beyond is left out, since a smaller picture shows nothing."""
_GAP = 16
_HIGHEST = 520
_HEADING = "Pictures for comparison, not for diagnosis"


def draw_pictures(sheet: p.Page, pictures: Sequence[Picture], at: tuple[int, int], width: int) -> int:
    """Draw up to ``MOST`` pictures in a row that fills ``width`` pixels; return the y below their captions."""
    left, top = at
    shown = pictures[:MOST]
    room = (width - _GAP * (len(shown) - 1)) // len(shown)
    per_mm = min(_fit(picture, room) for picture in shown)
    below = y = sheet.line((left, top), _HEADING, p.SMALL) + 4
    for number, picture in enumerate(shown):
        x = left + number * (room + _GAP)
        drawn = _drawn(picture, per_mm)
        sheet.image.paste(drawn, (x, y))
        sheet.pen.rectangle((x - 1, y - 1, x + drawn.size[0], y + drawn.size[1]), outline=p.LINE)
        below = max(below, sheet.lines((x, y + drawn.size[1] + 8), picture.caption, p.SMALL, room))
    return below


def _fit(picture: Picture, room: int) -> float:
    """Return the largest number of page pixels for a millimetre at which a picture fits its place."""
    rows, columns = picture.pixels.shape
    wide, high = columns * picture.column_spacing_mm, rows * picture.row_spacing_mm
    return min(float(room / wide), float(_HIGHEST / high))


def _drawn(picture: Picture, per_mm: float) -> Image.Image:
    rows, columns = picture.pixels.shape
    size = (
        max(1, round(columns * picture.column_spacing_mm * per_mm)),
        max(1, round(rows * picture.row_spacing_mm * per_mm)),
    )
    grey = Image.fromarray((picture.pixels * 255.0 + 0.5).astype(np.uint8))
    return grey.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).convert("RGB")
