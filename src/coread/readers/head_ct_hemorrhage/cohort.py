"""The set of head CT slices as arrays to learn from, by patient, and what is known of every slice."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.head_ct_hemorrhage.outputs import ANY, SIDE
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH, head_slices
from coread.readers.head_ct_hemorrhage.simulated import SET as MAPS
from coread.readers.head_ct_hemorrhage.simulated import read_maps, simulated_head
from coread.readers.head_ct_hemorrhage.taught import DRAWN_TIMES, SEED, Head, Pile
from coread.train.arrays import ArraySet
from coread.train.errors import DataMissing
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "ct_head_hemorrhage"
ARCHIVE = "images.zip"
SERIES = "held_out.npz"
COHORT = {
    "name": "CT-ICH, held-out patients",
    "data": "CT-ICH 1.3.0, brain-window pictures turned back to HU",
    "split": "held out by patient (20 %)",
    "licence": "CC BY 4.0",
    "citation": "Hssayeni et al. 2020",
    "reference_standard": "two radiologists on every slice, as published; a patient bleeds when a slice does",
    "wrap": {
        "modality": "CT", "body_part": "HEAD", "colour": "grey", "hounsfield": True, "spacing_mm": 0.9, "slice_mm": 5.0,
    },
}  # fmt: skip
TYPE_COLUMNS = ("ivh", "iph", "sah", "edh", "sdh")
"""Columns of the index, in the order of the network's types."""
HEADS = 12
"""Simulated heads that are learnt from beside the patients."""


@dataclass(frozen=True, slots=True)
class Row:
    """One slice of the set's index."""

    image: str
    patient: str
    age_years: float | None
    sex: str
    any: float
    """1, 0, or NaN where the labels of the patient's slices could not be joined to the pictures for sure."""
    types: tuple[float, ...]
    bleeding: bool
    """What the index says of the slice, sure or not: enough to know whether the patient bleeds."""

    @property
    def held_out(self) -> bool:
        """Whether the patient belongs to the fixed test part."""
        return held_out(SET, self.patient)

    @property
    def truth(self) -> tuple[float, ...]:
        """Any haemorrhage and the types, in the order of the network's columns; NaN is unknown."""
        return (self.any, *self.types)


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Read the index, slices in the order of their names.

    Where a slice that bleeds has no types, its patient's labels were not joined to the pictures for sure (patient 49:
    marked slices lie at both ends of the head): slices of such a patient are unknown, the patient is not.
    """
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        table = sorted(csv.DictReader(opened), key=lambda row: row["image"])
    unsure = {row["patient_id"] for row in table if row["ich"] == "1" and not any(row[name] for name in TYPE_COLUMNS)}
    return tuple(
        Row(
            image=row["image"],
            patient=row["patient_id"],
            age_years=float(row["age"]) if row["age"] else None,
            sex=row["sex"],
            any=float("nan") if row["patient_id"] in unsure else _known(row["ich"]),
            types=tuple(float("nan") if row["patient_id"] in unsure else _known(row[name]) for name in TYPE_COLUMNS),
            bleeding=row["ich"] == "1",
        )
        for row in table
    )


def read_learned(data: Path, *, heads: int = HEADS, times: int = DRAWN_TIMES) -> ArraySet:
    """Decode the slices of all patients that are not held out, and heads computed from tissue maps; draw blood in.

    Blood is drawn into slices without any, of patients who bleed elsewhere and of those who do not, of all ages: a
    drawn slice and its original differ in nothing else. What is drawn is known to the pixel; where a real slice bleeds
    is known to be somewhere inside the skull.
    """
    rows = [row for row in read_rows(data / SET) if not row.held_out]
    images = head_slices_of(data, rows)
    pile = Pile(times)
    for patient in dict.fromkeys(row.patient for row in rows):
        here = [number for number, row in enumerate(rows) if row.patient == patient]
        own = [rows[number] for number in here]
        pile.add(Head(patient, images[here], [row.truth for row in own], [row.image for row in own], real=True))
    maps = read_maps(data / MAPS)
    for number in range(heads):
        slices = simulated_head(maps, np.random.default_rng([SEED, 1, number]))
        truth = [(0.0,) * (1 + len(TYPE_COLUMNS))] * len(slices)
        names = [f"simulated head {number} slice {k}" for k in range(len(slices))]
        pile.add(Head(f"simulated head {number}", slices, truth, names, real=False))
    return pile.learned()


def head_slices_of(data: Path, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Return (N, SIDE, SIDE) of slices that are given by whole patients, cut to the head and turned upright."""
    made = np.empty((len(rows), SIDE, SIDE), dtype=np.float32)
    for patient, slices in patient_slices(data, rows):
        here = [number for number, row in enumerate(rows) if row.patient == patient]
        found = head_slices(slices, SIDE)
        if found is None:
            raise DataMissing(f"no head is seen on the slices of patient {patient}")
        made[here] = found.slices
    return made


def patient_slices(data: Path, rows: Sequence[Row]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each patient with its slices (S, rows, columns) in [0, 1], in the order of ``rows``."""
    with PictureStore(data / SET) as store:
        for patient in dict.fromkeys(row.patient for row in rows):
            own = [row.image for row in rows if row.patient == patient]
            yield patient, np.stack([_grey(store.pixels(f"{ARCHIVE}!{image}")) for image in own])


def write_series(data: Path, folder: Path) -> None:
    """Write the held-out patients as stacks of HU (S, rows, columns) int16 for a cohort: the window turned back.

    Values beyond the window are lost: what was black is -20 HU, what was white 100 HU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read_rows(data / SET) if row.held_out]
    stacks = {
        f"patient{patient}": np.rint(slices * WINDOW_WIDTH + WINDOW_LOW).astype(np.int16)
        for patient, slices in patient_slices(data, rows)
    }
    np.savez_compressed(folder / SERIES, **stacks)


def cohort_rows(data: Path) -> list[dict[str, Any]]:
    """Return the held-out patients as rows of a cohort."""
    rows = read_rows(data / SET)
    first = {row.patient: row for row in rows if row.held_out}
    return [
        {
            "case_id": f"patient {patient}",
            "patient_id": f"CT-ICH {patient}",
            "files": f"{SERIES}#patient{patient}",
            "sex": row.sex,
            "age": row.age_years,
            f"truth:{ANY}": patient_truth(rows)[patient],
        }
        for patient, row in first.items()
    ]


def patient_truth(rows: tuple[Row, ...]) -> dict[str, bool]:
    """Return for every patient whether any slice bleeds."""
    found: dict[str, bool] = {}
    for row in rows:
        found[row.patient] = found.get(row.patient, False) or row.bleeding
    return found


def _known(text: str) -> float:
    return float(text) if text else float("nan")


def _grey(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    plane = pixels if pixels.ndim == 2 else pixels[..., 0]
    return np.asarray(np.divide(plane, 255, dtype=np.float32), dtype=np.float32)
