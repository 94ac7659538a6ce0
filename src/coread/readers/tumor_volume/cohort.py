"""The sarcoma volumes as arrays to learn from, and which patients are kept apart."""

import csv
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.nifti import nifti_volume, read_nifti
from coread.imaging.resampling import resampled_mask
from coread.readers.tumor_volume.field import (
    Doubles,
    field_box,
    field_cube,
    network_input,
    prompted_cube,
)
from coread.train.arrays import ArraySet

SET = "ct_sarcoma"
TUMOR = "tumor"
HELD_OUT = ("STS_042", "STS_018", "STS_004", "STS_040", "STS_045", "STS_022")
"""Every fourth patient by volume, from the second smallest on: chosen before anything was learned."""
FOLDS = 3
WITH_BOX, WITHOUT_BOX, WITHOUT_TUMOR = 5, 6, 1
"""Rows that each patient gives: with a box, a part of the field without one, and a part beside the tumour."""
_SEED = 20261129


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One patient's field (HU) with the physicians' outline."""

    patient: str
    volume: Volume
    mask: NDArray[np.bool_]

    def box_mm(self) -> Doubles:
        """Return the corners (2, 3), LPS mm, of the outline's box along the patient's axes."""
        at = np.argwhere(self.mask)
        low, high = at.min(axis=0), at.max(axis=0)
        return field_box(_part(self.volume.geometry, low, high + 1))

    def cut(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> "Case":
        """Return the part of the field from index ``low`` up to but without ``high``."""
        place = tuple(slice(int(one), int(other)) for one, other in zip(low, high, strict=True))
        geometry = _part(self.volume.geometry, low, high)
        volume = replace(self.volume, voxels=np.ascontiguousarray(self.volume.voxels[place]), geometry=geometry)
        return Case(self.patient, volume, np.ascontiguousarray(self.mask[place]))


def read_cases(folder: Path, *, held_out: bool) -> tuple[Case, ...]:
    """Read the patients who are kept apart, or all others, in order of tumour volume."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        rows = sorted(csv.DictReader(opened), key=lambda row: float(row["gtv_cc"]))
    with zipfile.ZipFile(folder / "images.zip") as images, tempfile.TemporaryDirectory() as beside:
        images.extractall(beside)
        return tuple(
            _case(row["patient_id"], Path(beside) / row["image"], Path(beside) / row["label"])
            for row in rows
            if (row["patient_id"] in HELD_OUT) is held_out
        )


def _case(patient: str, image: Path, label: Path) -> Case:
    volume = nifti_volume(image, quantity=Quantity.HOUNSFIELD)
    return Case(patient, volume, np.asarray(read_nifti(label)[0] > 0))


def read_learned(folder: Path, limit: int = 0) -> tuple[ArraySet, NDArray[np.int64]]:
    """Return rows to learn from and the fold of each; ``limit`` takes about so many rows, of all patients."""
    cases = read_cases(folder, held_out=False)
    rows = [row for case in cases for row in _rows(case)]
    folds = np.array([number % FOLDS for number, case in enumerate(cases) for _ in range(_each())])
    chosen = np.arange(len(rows))[:: max(1, len(rows) // limit) if limit else 1]
    data = ArraySet(
        np.stack([rows[k][0] for k in chosen]),
        {TUMOR: np.stack([rows[k][1] for k in chosen])},
        groups=[cases[k // _each()].patient for k in chosen],
        keys=[f"{cases[k // _each()].patient}-{k % _each()}" for k in chosen],
    )
    return data, folds[chosen]


def _each() -> int:
    return WITH_BOX + WITHOUT_BOX + WITHOUT_TUMOR


def _rows(case: Case) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    random = np.random.default_rng((_SEED, *case.patient.encode()))
    for _ in range(WITH_BOX):
        box = loosened(case.box_mm(), random)
        yield _seen(case, prompted_cube(box, ""), box)
    for _ in range(WITHOUT_BOX):
        part = random_part(case, random)
        yield _seen(part, field_cube(part.volume.geometry), None)
    for _ in range(WITHOUT_TUMOR):
        part = _beside(case, random)
        yield _seen(part, field_cube(part.volume.geometry), None)


def _seen(case: Case, cube: Geometry, box: Doubles | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image = np.rint(network_input(case.volume, cube, box) * 255).astype(np.uint8)
    return image, resampled_mask(case.mask, case.volume.geometry, cube).astype(np.uint8)


def loosened(box_mm: Doubles, random: np.random.Generator) -> Doubles:
    """Return a box as people draw it: each face from 5 % too far in to 12 % too far out."""
    size = np.ptp(box_mm, axis=0)
    out = random.uniform(-0.05, 0.12, size=(2, 3)) * size
    return np.asarray(box_mm + out * [[-1.0], [1.0]])


def random_part(case: Case, random: np.random.Generator) -> Case:
    """Return a part of the field that holds the whole tumour: the margin around it is then different on every side.

    As published, every field ends 5 cm beyond the tumour, so that the place of the tumour could be read off the size.
    """
    at = np.argwhere(case.mask)
    low, high = at.min(axis=0), at.max(axis=0) + 1
    start = np.floor(low * random.uniform(0, 0.9, 3)).astype(np.int64)
    stop = high + np.ceil((np.asarray(case.mask.shape) - high) * random.uniform(0.1, 1, 3)).astype(np.int64)
    return case.cut(start, stop)


def _beside(case: Case, random: np.random.Generator) -> Case:
    """Return the part of the field on one side of the tumour, the widest of three sides."""
    at = np.argwhere(case.mask)
    start, stop = np.zeros(3, dtype=np.int64), np.asarray(case.mask.shape, dtype=np.int64)
    axis = int(random.integers(3))
    before, behind = int(at[:, axis].min()), int(case.mask.shape[axis] - at[:, axis].max() - 1)
    if ((before >= behind) is (random.random() < 0.5) and behind > 4) or before < 4:
        start[axis] = case.mask.shape[axis] - behind
    else:
        stop[axis] = before
    return case.cut(start, stop)


def _part(geometry: Geometry, low: NDArray[np.int64], high: NDArray[np.int64]) -> Geometry:
    matrix = geometry.matrix()
    matrix[:3, 3] = geometry.to_patient(np.asarray([low]))[0]
    extent = np.asarray(high) - np.asarray(low)
    shape = (int(extent[0]), int(extent[1]), int(extent[2]))
    return Geometry(shape, affine_of(matrix), geometry.frame_of_reference_uid)
