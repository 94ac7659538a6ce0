"""What readers of volumes share: the gate of the card. A function and not a base class."""

import numpy as np

from coread.domain.cards import InputContract
from coread.domain.images import Quantity, Volume
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.planar import header_reason

_FLAT = 1e-6


def reason_against(contract: InputContract, volume: Volume, quantity: Quantity) -> Reason | None:
    """Return why the card excludes this volume, or ``None``: header, meaning of the voxels, number, size, content."""
    if volume.headers and (reason := header_reason(contract, volume.headers[0])) is not None:
        return reason
    if volume.quantity is not quantity:
        return Reason(ReasonCode.PIXEL_MEANING, f"{quantity.value} is needed, got {volume.quantity.value}")
    slices, rows, columns = volume.voxels.shape
    if slices < contract.min_images:
        return Reason(ReasonCode.TOO_FEW_IMAGES, f"{slices} slices, at least {contract.min_images} are needed")
    if slices > contract.max_images:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{slices} slices, at most {contract.max_images} are read")
    if rows < contract.min_rows or columns < contract.min_columns:
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}")
    if rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns}")
    if not np.isfinite(volume.voxels).all():
        return Reason(ReasonCode.PIXELS_NOT_FINITE)
    if float(np.ptp(volume.voxels)) < _FLAT:
        return Reason(ReasonCode.PIXELS_CONSTANT)
    return None
