"""Pictures of many kinds, from every set at hand, as arrays to learn from and as a cohort to be measured on."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.body_part.outputs import KINDS
from coread.readers.body_part.preprocess import network_picture
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

ARCHIVE = "images.zip"
COHORT = {
    "name": "Kinds of pictures, held-out groups",
    "data": "subsets of MedNIST, NIH ChestX-ray14, Guangzhou, CT-ICH, Cheng, BUSI, mini-MIAS, IDRiD, Kvasir-SEG",
    "split": "held out by patient or group, by picture where the set names none (20 %)",
    "licence": "as of the sets",
    "reference_standard": "the set that a picture comes from",
    "wrap": {"modality": "OT", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7", "colour": "auto"},
    "types": {"shown": {"outputs": list(KINDS)}},
}
LEARN_MOST, MEASURE_MOST = 170, 40
"""Pictures of one source that are learnt from, and measured on, at most."""
MEDNIST = "body_part_mednist"
_FOLDERS = {
    "AbdomenCT": "abdomen_ct", "BreastMRI": "breast_mr", "ChestCT": "chest_ct", "CXR": "chest_radiograph",
    "Hand": "hand_radiograph", "HeadCT": "head_ct",
}  # fmt: skip
_SETS = (
    ("cxr_nih", "chest_radiograph", "patient_id"),
    ("cxr_guangzhou", "chest_radiograph", "group_id"),
    ("ct_head_hemorrhage", "head_ct", "patient_id"),
    ("brain_mr_tumor_boxes", "head_mr", "block"),
    ("breast_us_busi", "breast_ultrasound", "group_id"),
    ("mammo_mias", "mammogram", "patient_id"),
    ("fundus_idrid", "fundus", "dup_group"),
    ("colon_polyps", "colonoscopy", "image"),
)
"""Set, what its pictures show, and the column that must not be torn apart."""
LEARNT_SETS = (MEDNIST, *(name for name, _, _ in _SETS))
UNFIT_SET = "ct_lung_nodule_candidates"
_UNFIT_EVERY = 120


@dataclass(frozen=True, slots=True)
class Item:
    """One picture."""

    set: str
    member: str
    kind: str
    group: str

    @property
    def held_out(self) -> bool:
        """Whether the picture's group belongs to the fixed test part of its set."""
        return held_out(self.set, self.group)


def read_items(data: Path) -> tuple[Item, ...]:
    """List the pictures of all sets that are here, at most so many of each source and part."""
    found: list[Item] = []
    sources = [*_mednist(data), *(list(_indexed(data, *row)) for row in _SETS)]
    for source in sources:
        for part, most in ((False, LEARN_MOST), (True, MEASURE_MOST)):
            chosen = [item for item in source if item.held_out is part]
            found += chosen[:: max(1, -(-len(chosen) // most))]
    return tuple(found)


def read_learned(data: Path, limit: int = 0) -> tuple[NDArray[np.uint8], tuple[Item, ...]]:
    """Decode the pictures that are not held out, through the reader's own path to the network."""
    chosen = [item for item in read_items(data) if not item.held_out]
    chosen = chosen[:: max(1, len(chosen) // limit)] if limit else chosen
    made = []
    with PictureStore(data) as store:
        for item in chosen:
            values = np.divide(store.pixels(f"{item.set}/{ARCHIVE}!{item.member}"), 255, dtype=np.float32)
            made.append(np.asarray(np.rint(network_picture(values) * 255), dtype=np.uint8))
    return np.stack(made), tuple(chosen)


def cohort_rows(data: Path) -> list[dict[str, Any]]:
    """Return the held-out pictures as rows of a cohort, and small patches of CT, which show no known kind."""
    rows: list[dict[str, Any]] = []
    for item in read_items(data):
        if item.held_out:
            row: dict[str, Any] = _named(item.set, item.member)
            row |= {"patient_id": f"{item.set} {item.group}", "type:shown": item.kind, "site": item.set}
            rows.append(row | {f"truth:{kind}": kind == item.kind for kind in KINDS})
    for row in _rows(data / UNFIT_SET)[::_UNFIT_EVERY]:
        named = _named(UNFIT_SET, row["image"])
        rows.append(named | {"patient_id": named["case_id"], "expect": "refuse", "note": "patch of lung CT"})
    return rows


def _named(source: str, member: str) -> dict[str, Any]:
    name = f"{source} {member}".replace("/", " ").rpartition(".")[0]
    return {"case_id": name, "files": f"{source}/{ARCHIVE}!{member}"}


def _mednist(data: Path) -> list[list[Item]]:
    import zipfile

    with zipfile.ZipFile(data / MEDNIST / ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    return [
        [Item(MEDNIST, name, kind, name) for name in names if name.startswith(f"{folder}/")]
        for folder, kind in _FOLDERS.items()
    ]


def _indexed(data: Path, source: str, kind: str, group: str) -> Iterator[Item]:
    seen: set[str] = set()
    for row in _rows(data / source):
        if row["image"] not in seen:
            seen.add(row["image"])
            yield Item(source, row["image"], kind, row[group])


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))
