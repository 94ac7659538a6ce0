"""A quantity at every voxel that a reader gives: diffusion, perfusion, density, a probability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference
from coread.domain.geometry import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class ParameterMap:
    """Values with their meaning on the grid of their source images; written as a Parametric Map (PS3.3 A.75).

    ``values`` is float32 (slices, rows, columns), finite, with ``images[k]`` the source of slice k.
    """

    label: str
    quantity: Code
    """What the values are, e.g. (113041, DCM, "Apparent Diffusion Coefficient")."""
    unit: Code
    """UCUM."""
    values: NDArray[np.float32]
    images: tuple[ImageReference, ...]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.values.shape != self.geometry.shape or len(self.values) != len(self.images):
            raise InvalidRecord(
                f"map {self.label!r} of shape {self.values.shape} with {len(self.images)} images "
                f"on a grid of {self.geometry.shape}"
            )
        if not np.isfinite(self.values).all():
            raise InvalidRecord(f"map {self.label!r} holds values that are no numbers")
