"""The set of head CT slices as arrays to learn from, by patient, and what is known of every slice."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.head_ct_hemorrhage.drawn import with_blood
from coread.readers.head_ct_hemorrhage.outputs import ANY, HEAD, SIDE, TYPE_HEAD
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH, head_square, network_slices
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
POSITIVE_SHARE, DRAWN_SHARE = 0.2, 0.3
"""Shares of real slices that bleed, and of slices with drawn blood, of what is learnt from."""
DRAWN = " with drawn blood"
DRAWN_TIMES = 3
"""How often blood is drawn into each slice through a brain that shows none."""
SEED = 20261129


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


def read_learned(data: Path) -> ArraySet:
    """Decode the slices of all patients that are not held out, then the same of those who do not bleed with blood in.

    Blood is drawn into slices of patients without any, so that a drawn slice and its original differ in nothing else.
    """
    rows = [row for row in read_rows(data / SET) if not row.held_out]
    plain = network_slices_of(data, rows)
    truth = [row.truth for row in rows]
    images, drawn_from = [*plain], []
    bleeds = patient_truth(tuple(rows))
    for number, row in enumerate(rows):
        for time in range(0 if bleeds[row.patient] else DRAWN_TIMES):
            made = with_blood(plain[number, 0], np.random.default_rng([SEED, number, time]))
            if made is not None:
                images.append(made[0][np.newaxis])
                truth.append((1.0, *(float(kind == made[1]) for kind in range(len(TYPE_COLUMNS)))))
                drawn_from.append((row, time))
    patients = [row.patient for row in rows] + [row.patient for row, _ in drawn_from]
    drawn = np.array([False] * len(rows) + [True] * len(drawn_from))
    table = np.array(truth, dtype=np.float32)
    return ArraySet(
        np.rint(np.stack(images) * 255).astype(np.uint8),
        {HEAD: table[:, :1], TYPE_HEAD: table[:, 1:]},
        groups=patients,
        keys=[*(row.image for row in rows), *(f"{row.image} {time}{DRAWN}" for row, time in drawn_from)],
        weights=drawing(table[:, 0], drawn, np.array(patients)),
    )  # fmt: skip


def drawing(bleeding: NDArray[np.float32], drawn: NDArray[np.bool_], patients: NDArray[np.str_]) -> NDArray[np.float32]:
    """Return how likely each slice is drawn: fixed shares bleed, or are drawn to; patients count by the root of slices.

    Slices whose label is unknown are never drawn.
    """
    weights = np.zeros(len(bleeding), dtype=np.float32)
    parts = ((drawn, DRAWN_SHARE), (~drawn & (bleeding == 1), POSITIVE_SHARE), (~drawn & (bleeding == 0), 0.0))
    for chosen, share in parts:
        here = np.flatnonzero(chosen)
        own, of = np.unique(patients[here], return_inverse=True)
        each = 1 / np.sqrt(np.bincount(of, minlength=len(own)))[of]
        whole = share or 1 - POSITIVE_SHARE - DRAWN_SHARE
        weights[here] = whole * each / max(float(each.sum()), 1e-12)
    return weights


def network_slices_of(data: Path, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Return (N, 1, SIDE, SIDE) of slices that are given by whole patients, each cut to one square around the head."""
    made = np.empty((len(rows), 1, SIDE, SIDE), dtype=np.float32)
    for patient, slices in patient_slices(data, rows):
        here = [number for number, row in enumerate(rows) if row.patient == patient]
        square = head_square(slices)
        if square is None:
            raise DataMissing(f"no head is seen on the slices of patient {patient}")
        made[here] = network_slices(slices, square, SIDE)
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
