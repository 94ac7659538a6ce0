"""New FLAIR lesions of the follow-up reader on the patients of ``brain_mr_ms``: tuned on one, measured on the other.

Two patients (Lesjak 2016, Neuroinformatics 14:403; CC BY), each with two dates and a mask of what changed. A changed
place counts as new or larger where the later scan is brighter in the mean. All numbers are of these two patients.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.imaging.nifti import nifti_volume
from coread.imaging.resampling import resampled_array
from coread.readers.follow_up.brain import Compared, compared, risen
from coread.readers.follow_up.placing import BRAIN_MM, facing, inverse, placed

PATIENTS = ("patient01", "patient12")
FIXED = {"smooth_mm": 1.2, "edge_mm": 3.0}
TRIED = {
    "misplaced_mm": (0.6, 1.0), "grow_sd": (1.5, 2.5), "core_sd": (4.0, 5.0, 6.0), "bright_sd": (0.5, 1.0),
    "least_mm3": (10.0, 20.0),
}  # fmt: skip
_SIZED_MM3 = 30.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """Both scans ready to be subtracted, and what is new or larger in truth, in the box of the brain."""

    both: Compared
    labels: NDArray[np.int32]
    """Places that changed."""
    sizes_mm3: NDArray[np.float64]
    new: Mask
    """By label: whether the place is new or larger."""
    likeness: float


def patient(folder: Path, name: str) -> Patient:
    """Read one patient, lay the scans over one another, bring the mask of changes onto the later scan."""
    from scipy import ndimage

    raw = folder / "longitudinal" / "raw" / name
    before, now = (facing(nifti_volume(raw / f"study{k}_FLAIR.nii.gz")) for k in (1, 2))
    laid = placed(before, now, BRAIN_MM)
    moved = resampled_array(before.voxels, before.geometry, now.geometry, transform=inverse(laid.to_now))
    steps = np.array(now.geometry.spacing_mm())
    both = compared(now.voxels, moved.astype(np.float32), steps, FIXED)
    truth = nifti_volume(raw / "gt.nii.gz")
    to_common = inverse(_transform(raw / "study2_FLAIR_to_common_space.txt"))
    mask = _moved(truth, now, to_common)[both.box]
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    means = ndimage.mean(both.now - both.before, labels, np.arange(1, count + 1))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(steps))
    return Patient(both, labels, np.asarray(sizes, np.float64), np.r_[False, np.asarray(means) > 0], laid.likeness)


def _moved(truth: Volume, now: Volume, transform: NDArray[np.float64]) -> Mask:
    share = resampled_array((truth.voxels > 0).astype(np.float32), truth.geometry, now.geometry, transform=transform)
    return np.asarray(share > 0.5)


def _transform(path: Path) -> NDArray[np.float64]:
    """Read an Insight transform file: from the common space to the scan, LPS mm."""
    lines = dict(line.split(": ", 1) for line in path.read_text(encoding="ascii").splitlines() if "ters: " in line)
    values = np.array(lines["Parameters"].split(), dtype=np.float64)
    centre = np.array(lines["FixedParameters"].split(), dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = values[9:] + centre - matrix[:3, :3] @ centre
    return matrix


def scored(one: Patient, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many new or larger places were found, what else was called, and the overlap (Dice)."""
    from scipy import ndimage

    called = risen(one.both, one.both.now, one.both.before, parameters)
    truth = one.new[one.labels]
    pieces, count = ndimage.label(called, np.ones((3, 3, 3)))
    right = np.unique(pieces[truth & called])
    hit = np.zeros_like(one.new)
    hit[np.unique(one.labels[called])] = True
    sized = one.new & (one.sizes_mm3 >= _SIZED_MM3)
    overlap = 2 * int((called & truth).sum()) / max(1, int(called.sum()) + int(truth.sum()))
    return {
        "found_of_30_mm3_or_more": [int((hit & sized).sum()), int(sized.sum())],
        "found_of_all": [int((hit & one.new).sum()), int(one.new.sum())],
        "called": int(count),
        "false": int(count - np.count_nonzero(right)),
        "dice": round(overlap, 3),
        "volume_ml": {"called": round(float(called.sum() * np.prod(one.both.steps_mm)) / 1000, 3),
                      "truth": round(float(one.sizes_mm3[one.new].sum()) / 1000, 3)},
    }  # fmt: skip


def settings() -> Iterator[dict[str, float]]:
    """Yield every combination that was tried."""
    for chosen in product(*TRIED.values()):
        yield FIXED | dict(zip(TRIED, chosen, strict=True))


def merit(score: Mapping[str, Any]) -> float:
    """Return what was maximised: the F1 score of places of 30 mm3 or more, plus the overlap."""
    found, there = score["found_of_30_mm3_or_more"]
    precision = 1 - score["false"] / max(1, score["called"])
    sensitivity = found / max(1, there)
    return float(2 * sensitivity * precision / max(1e-9, sensitivity + precision) + float(score["dice"]))


def measured_patients(folder: Path) -> dict[str, Any]:
    """Return, for each patient to tune on, the best setting there and what it gave on the other patient."""
    patients = {name: patient(folder, name) for name in PATIENTS}
    scores = {name: [(merit(s := scored(one, p)), p, s) for p in settings()] for name, one in patients.items()}
    document: dict[str, Any] = {"likeness": {name: round(one.likeness, 3) for name, one in patients.items()}}
    for name, other in (PATIENTS, PATIENTS[::-1]):
        _, best, here = max(scores[name], key=lambda item: item[0])
        document[f"tuned on {name}"] = {
            "setting": best, "on the same patient": here, f"on {other}": scored(patients[other], best),
        }  # fmt: skip
    return document | {"settings_tried": sum(1 for _ in settings())}
