"""How far the hippocampus network's shares are from probabilities; part of ``python -m bench.brain_volume measure``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coread.readers.brain_volume.hippocampi import cooled, near_outline
from coread.statistics.calibration import fit_temperature
from coread.statistics.reliability import expected_calibration_error


def likelihood(shares: Sequence[Any], outlines: Sequence[Any], truths: Sequence[Any]) -> dict[str, Any]:
    """Return the temperature that makes the network's shares probabilities, and how far they are off with it.

    Voxels of the outline and within 3 mm around it, for which probabilities are given. Every second crop is judged with
    the temperature of the others, and the other way round; what is locked is that of all.
    """
    near = [near_outline(outline) for outline in outlines]
    said = [np.clip(share[mask], 1e-6, 1 - 1e-6) for share, mask in zip(shares, near, strict=True)]
    logits = [np.log(one / (1 - one)) for one in said]
    known = [truth[mask] for truth, mask in zip(truths, near, strict=True)]

    def temperature(crops: Sequence[int]) -> float:
        chosen = [np.concatenate([part[crop] for crop in crops]) for part in (logits, known)]
        return fit_temperature(*chosen).temperature

    halves = [range(first, len(said), 2) for first in (0, 1)]
    judged = [(cooled(said[crop], temperature(halves[1 - crop % 2])), known[crop]) for crop in range(len(said))]
    chances, right = (np.concatenate(parts) for parts in zip(*judged, strict=True))
    unsure = (chances > 0.05) & (chances < 0.95)
    return {
        "temperature": round(temperature(range(len(said))), 3),
        "calibration_error": round(expected_calibration_error(right, chances), 4),
        "calibration_error_between_5_and_95_percent": round(
            expected_calibration_error(right[unsure], chances[unsure]), 4
        ),
        "calibration_error_without_temperature": round(
            expected_calibration_error(np.concatenate(known), np.concatenate(said)), 4
        ),
        "voxels": len(right),
    }
