"""From the encoded matrix to the matrix of the images: what lies outside the field of view is cut off."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord

Value = TypeVar("Value", np.complex64, np.float32)


def on_image_grid(images: NDArray[Value], rows: int, columns: int) -> NDArray[Value]:
    """Return images (…, rows, columns) from images (…, lines, readout) of the whole encoded field of view.

    The centre, index N // 2 of each axis, stays the centre. Scanners encode more than they show along the readout
    (oversampling), sometimes along the lines too. Raises InvalidRecord where less was encoded than is to be shown.
    """
    lines, readout = images.shape[-2:]
    if rows > lines or columns > readout:
        raise InvalidRecord(f"{lines} x {readout} encoded points do not hold an image of {rows} x {columns}")
    top, left = lines // 2 - rows // 2, readout // 2 - columns // 2
    return images[..., top : top + rows, left : left + columns]
