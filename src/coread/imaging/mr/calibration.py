"""The fully sampled block in the middle of k-space, from which sensitivities and kernels are learnt."""

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.fourier import Complex

Block = tuple[slice, slice]


def calibration_region(mask: NDArray[np.bool_]) -> Block | None:
    """Return the largest fully sampled block of mask (a, b) around index (a // 2, b // 2); None if that is not sampled.

    A block of n samples along an axis of N covers indices N // 2 - n // 2 to N // 2 - n // 2 + n. Of blocks that hold
    equally many samples the squarer one is taken.
    """
    rows, columns = mask.shape
    if mask.size == 0 or not mask[rows // 2, columns // 2]:
        return None
    summed = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    summed[1:, 1:] = np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1)
    best, best_rank = centered_block(mask.shape, 1, 1), (1, 1)
    width = columns
    for height in range(1, rows + 1):  # the widest block only narrows as it grows higher
        while width and not _is_full(summed, centered_block(mask.shape, height, width)):
            width -= 1
        if not width:
            break
        if (rank := (height * width, min(height, width))) > best_rank:
            best, best_rank = centered_block(mask.shape, height, width), rank
    return best


def centered_block(shape: tuple[int, ...], height: int, width: int) -> Block:
    """Return the block of ``height`` x ``width`` around the centre of the last two axes of ``shape``."""
    rows, columns = shape[-2:]
    top, left = rows // 2 - height // 2, columns // 2 - width // 2
    return slice(top, top + height), slice(left, left + width)


def calibration_samples(samples: Complex, mask: NDArray[np.bool_], most: int) -> Complex | None:
    """Return the calibration block (coils, up to ``most``, up to ``most``) of samples (coils, a, b), or None."""
    region = calibration_region(mask)
    if region is None:
        return None
    height, width = (min(most, part.stop - part.start) for part in region)
    top, left = centered_block(mask.shape, height, width)
    return samples[:, top, left]


def _is_full(summed: NDArray[np.int64], block: Block) -> bool:
    (top, bottom), (left, right) = ((part.start, part.stop) for part in block)
    if top < 0 or left < 0 or bottom >= summed.shape[0] or right >= summed.shape[1]:
        return False
    inside = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    return bool(inside == (bottom - top) * (right - left))
