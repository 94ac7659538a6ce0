"""From the logits of slices to one of the study: the same arithmetic for reading and for calibration."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.head_ct_hemorrhage.outputs import TOP


def study_logit(logits: NDArray[np.floating[Any]]) -> float:
    """Return the mean of the highest slice logits (S,): one odd slice alone does not make a study suspect."""
    return float(np.mean(np.sort(np.asarray(logits, dtype=np.float64))[-TOP:]))


def carrying(logits: NDArray[np.floating[Any]]) -> list[int]:
    """Return the slices (S,) that make the study's logit, in the order of their places."""
    return sorted(int(row) for row in np.argsort(np.asarray(logits), kind="stable")[-TOP:])
