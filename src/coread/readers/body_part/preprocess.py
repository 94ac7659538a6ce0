"""From a picture of anything to the network's colour square."""

import numpy as np

from coread.domain.images import FloatPixels, PlanarImage
from coread.imaging.stretch import stretched, stretched_image
from coread.readers.body_part.outputs import SIDE


def network_image(image: PlanarImage) -> FloatPixels:
    """Return (3, SIDE, SIDE); grey pictures have three equal channels."""
    return _in_colour(stretched_image(image, SIDE, colour=True)[0])


def network_picture(pixels: FloatPixels) -> FloatPixels:
    """Return the same of decoded values in [0, 1], (rows, columns) or (rows, columns, 3): the path of the training."""
    return _in_colour(stretched(pixels, SIDE))


def _in_colour(values: FloatPixels) -> FloatPixels:
    return values if len(values) == 3 else np.repeat(values, 3, axis=0)
