"""The hippocampus network's input and what its output becomes."""

import numpy as np
from numpy.typing import NDArray


def crop_intensities(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a crop (superior, posterior, left) in [0, 1]: its first to its 99.5th percentile."""
    low, high = np.percentile(crop, (1.0, 99.5))
    return np.asarray(np.clip((crop - low) / max(float(high - low), 1e-6), 0.0, 1.0), dtype=np.float32)
