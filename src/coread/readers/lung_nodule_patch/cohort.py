"""The candidate patches as arrays to learn from and as a cohort to be measured on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coread.readers.lung_nodule_patch.outputs import HEAD
from coread.readers.lung_nodule_patch.preprocess import middle
from coread.train.arrays import ArraySet
from coread.train.pictures import PictureStore

SET = "ct_lung_nodule_candidates"
ARCHIVE = "images.zip"
HELD_OUT = "val"
BLOCK = 25
"""Candidates that follow one another in LUNA16's list, about four scans: the smallest thing that is not torn apart."""
COHORT = {
    "name": "LUNA16 candidate patches, held-out block",
    "data": "LUNA16 candidates subset",
    "split": "contiguous block of the candidate list held out (16 %)",
    "licence": "CC BY 4.0",
    "citation": "Setio et al. 2017 (LUNA16), Armato et al. 2011 (LIDC-IDRI)",
    "reference_standard": "nodules of 3 mm or more marked by at least three of four radiologists",
    "wrap": {"modality": "CT", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7", "body_part": "CHEST", "colour": "grey"},
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of the set's index; ``block`` is its place in the candidate list."""

    image: str
    nodule: bool
    held_out: bool
    block: int


def read_candidates(folder: Path) -> tuple[Candidate, ...]:
    """Read the index in the order of the candidate list: patches of one scan follow one another."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        rows = sorted(csv.DictReader(opened), key=lambda row: int(row["candidate_row"]))
    return tuple(
        Candidate(row["image"], row["label"] == "1", row["split"] == HELD_OUT, number // BLOCK)
        for number, row in enumerate(rows)
    )


def read_learned(data: Path) -> ArraySet:
    """Decode the patches that are not held out, through the reader's own path to the network."""
    chosen = [one for one in read_candidates(data / SET) if not one.held_out]
    with PictureStore(data / SET) as store:
        patches = [store.pixels(f"{ARCHIVE}!{one.image}") for one in chosen]
    made = [np.rint(middle(np.divide(patch, 255, dtype=np.float32)) * 255).astype(np.uint8) for patch in patches]
    truth = np.array([[one.nodule] for one in chosen], dtype=np.float32)
    return ArraySet(
        np.stack(made), {HEAD: truth}, groups=[f"block {one.block}" for one in chosen],
        keys=[one.image for one in chosen],
    )  # fmt: skip


def cohort_rows(data: Path) -> list[dict[str, Any]]:
    """Return the held-out patches as rows of a cohort."""
    return [
        {
            "case_id": Path(one.image).stem,
            "patient_id": f"block {one.block}",
            "files": f"{SET}/{ARCHIVE}!{one.image}",
            "truth:nodule": one.nodule,
        }
        for one in read_candidates(data / SET)
        if one.held_out
    ]
