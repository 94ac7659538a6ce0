"""The sarcoma volumes as arrays to learn from, and which patients are kept apart."""

import csv
import tempfile
import zipfile
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
WITH_BOX, WITHOUT_BOX, WIDE, WITHOUT_TUMOR = 6, 4, 7, 1
"""Rows that each patient gives: with a box; without one, a part of the field, a wide part, a part beside the tumour."""
BENT = 0.7
"""Share of the rows in which the patient is bent: other tumours have other shapes."""
_NODE_MM, _BEND_MM = 45.0, (1.0, 7.0)
"""Distance of the places that move at random, and the standard deviation by which they do along each axis."""
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
    each = WITH_BOX + WITHOUT_BOX + WIDE + WITHOUT_TUMOR
    total = each * len(cases)
    chosen = np.arange(total)[:: max(1, total // limit) if limit else 1]
    rows = [_row(cases[k // each], k % each) for k in chosen]
    data = ArraySet(
        np.stack([image for image, _ in rows]),
        {TUMOR: np.stack([mask for _, mask in rows])},
        groups=[cases[k // each].patient for k in chosen],
        keys=[f"{cases[k // each].patient}-{k % each}" for k in chosen],
    )
    return data, chosen // each % FOLDS


def _row(case: Case, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng((_SEED, *case.patient.encode(), number))
    if random.random() < BENT:
        case = bent(case, random)
    if number < WITH_BOX:
        box = loosened(case.box_mm(), random)
        return _seen(case, prompted_cube(box, ""), box)
    if number < WITH_BOX + WITHOUT_BOX:
        part = random_part(case, random)
    elif number < WITH_BOX + WITHOUT_BOX + WIDE:
        part = random_part(case, random, least=0.5)
    else:
        part = _beside(case, random)
    return _seen(part, field_cube(part.volume.geometry), None)


def _seen(case: Case, cube: Geometry, box: Doubles | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image = np.rint(network_input(case.volume, cube, box) * 255).astype(np.uint8)
    return image, resampled_mask(case.mask, case.volume.geometry, cube).astype(np.uint8)


def loosened(box_mm: Doubles, random: np.random.Generator) -> Doubles:
    """Return a box as people draw it: each face from 5 % too far in to 12 % too far out."""
    size = np.ptp(box_mm, axis=0)
    out = random.uniform(-0.05, 0.12, size=(2, 3)) * size
    return np.asarray(box_mm + out * [[-1.0], [1.0]])


def random_part(case: Case, random: np.random.Generator, *, least: float = 0.1) -> Case:
    """Return a part of the field that holds the whole tumour: the margin around it is then different on every side.

    As published, every field ends 5 cm beyond the tumour, so that the place of the tumour could be read off the size.
    ``least``: share of each margin that stays at least on the far sides; on the near ones up to 1 - ``least`` goes.
    """
    at = np.argwhere(case.mask)
    low, high = at.min(axis=0), at.max(axis=0) + 1
    start = np.floor(low * random.uniform(0, 1 - least, 3)).astype(np.int64)
    stop = high + np.ceil((np.asarray(case.mask.shape) - high) * random.uniform(least, 1, 3)).astype(np.int64)
    return case.cut(start, stop)


def bent(case: Case, random: np.random.Generator) -> Case:
    """Return the patient bent smoothly by some millimetres, image and outline alike."""
    from scipy import ndimage

    spacing = np.asarray(case.volume.geometry.spacing_mm())
    shape = np.asarray(case.mask.shape)
    nodes = np.maximum(np.ceil(shape * spacing / _NODE_MM).astype(np.int64) + 1, 2)
    moves = random.normal(0, random.uniform(*_BEND_MM), (3, *nodes))
    places = np.indices(case.mask.shape, dtype=np.float32)
    coarse = [place * (n - 1) / max(side - 1, 1) for place, n, side in zip(places, nodes, shape, strict=True)]
    for axis in range(3):
        # Splines of third order: what is between the places that move has no edges.
        places[axis] += ndimage.map_coordinates(moves[axis], coarse, mode="nearest").astype(np.float32) / spacing[axis]
    voxels = ndimage.map_coordinates(case.volume.voxels, places, order=1, mode="nearest")
    mask = ndimage.map_coordinates(case.mask.astype(np.float32), places, order=1, mode="nearest") > 0.5
    volume = replace(case.volume, voxels=np.asarray(voxels, dtype=np.float32))
    return Case(case.patient, volume, mask) if mask.any() else case


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
