"""The training and measuring set of the chest reader: which label is which output, and what else the gate must know."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray.outputs import FINDINGS
from coread.readers.chest_xray.preprocess import display_of_bytes, network_image
from coread.train.radiographs import Radiograph, image_digest, read_cxr_nih, read_images
from coread.train.samples import GATE_CHEST, GATE_CHILD, GATE_OTHER, GATE_UNKNOWN, Samples, box_masks, samples_of
from coread.train.splits import check_no_leak, patient_folds

LABELS_OF = {
    "pneumothorax": ("Pneumothorax",),
    "effusion": ("Effusion",),
    "cardiomegaly": ("Cardiomegaly",),
    "opacity": ("Pneumonia", "Consolidation", "Infiltration"),
    "nodule_mass": ("Nodule", "Mass"),
    "atelectasis": ("Atelectasis",),
}
"""Text-mined labels of NIH ChestX-ray14 that make an output present."""
BOX_NAMES = {"Infiltrate": "opacity", "Pneumonia": "opacity", "Nodule": "nodule_mass", "Mass": "nodule_mass"} | {
    name: name.lower() for name in ("Atelectasis", "Cardiomegaly", "Effusion", "Pneumothorax")
}
"""Names of the radiologists' boxes and the output they show."""
AUXILIARY = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax", "No Finding"),
)
GATE_SETS = {"cxr_guangzhou": GATE_CHILD} | dict.fromkeys(
    ("body_part_mednist", "ct_head_hemorrhage", "mammo_mias", "breast_us_busi", "fundus_idrid"), GATE_OTHER
)
"""Sets of images that the input gate must refuse, and as what."""
SMALL_SETS = frozenset({"cxr_guangzhou", "body_part_mednist"})
"""Sets whose images are smaller than the card allows: the reader refuses them before it looks at them."""
ADULT_YEARS = 16
CACHE_SIDE = 352
MASK_GRID = 64


SET = "cxr_nih"
ARCHIVE = "images.zip"
PICTURE_SIDE = 448
COHORT = {
    "name": "NIH ChestX-ray14, held-out patients",
    "data": "NIH ChestX-ray14 subset",
    "split": "held-out patients (20 %)",
    "licence": "no restriction on use",
    "citation": "Wang et al. 2017",
    "reference_standard": "labels mined from the radiologists' reports, as published; boxes drawn by radiologists",
    "wrap": {"modality": "DX", "body_part": "CHEST", "colour": "grey"},
}
SEED = 20261123
HELD_OUT = 5
"""One of this many parts of the patients is held out: never learnt from, never chosen on."""
MEMBERS = 3
INSIDE = "boxes"
"""The source set in which every image has some finding: there the source tells nothing about normal or not."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The NIH images in index order with their truth, and their training samples."""

    rows: tuple[Radiograph, ...]
    digests: tuple[str, ...]
    truth: NDArray[np.bool_]
    """(N, outputs): the text labels as published; what the card's numbers are measured against."""
    samples: Samples
    parts: NDArray[np.int64]
    """(N,): -1 is held out, else the fold of the member that does not learn from the image."""


def read_cohort(folder: Path) -> Cohort:
    """Read cxr_nih: truth from the published labels, training samples, and the fixed parts."""
    rows = read_cxr_nih(folder)
    truth = truth_of(rows)
    cached = np.empty((len(rows), CACHE_SIDE, CACHE_SIDE), dtype=np.uint8)
    digests = []
    for number, (_, image) in enumerate(read_images(folder, [row.image for row in rows])):
        digests.append(image_digest(image))
        cached[number] = shrunk(image)
    return Cohort(rows, tuple(digests), truth, _samples(rows, truth, cached), parts_of(rows, truth, digests))


def truth_of(rows: Sequence[Radiograph]) -> NDArray[np.bool_]:
    """Return (N, outputs) from the published labels."""
    return np.array([[bool(row.labels & set(LABELS_OF[key])) for key in FINDINGS] for row in rows])


def parts_of(
    rows: Sequence[Radiograph], truth: NDArray[np.bool_], digests: Sequence[str], members: int = MEMBERS
) -> NDArray[np.int64]:
    """Divide whole patients, with findings, sources and findings inside ``boxes`` spread evenly; checked for leaks.

    Which part an image falls in depends on the index and the seed alone, never on a result.
    """
    patients = [row.patient_id for row in rows]
    inside = np.array([row.source_set == INSIDE for row in rows])[:, None]
    spread = np.column_stack([truth, inside, truth & inside])
    aside = patient_folds(patients, spread, folds=HELD_OUT, seed=SEED, images=digests) == 0
    parts = np.full(len(rows), -1, dtype=np.int64)
    learnt = np.flatnonzero(~aside)
    groups, pictures = [patients[i] for i in learnt], [digests[int(i)] for i in learnt]
    parts[learnt] = patient_folds(groups, spread[learnt], folds=members, seed=SEED, images=pictures)
    check_no_leak([np.flatnonzero(parts == part) for part in range(-1, members)], patients, digests)
    return parts


def network_inputs(folder: Path, rows: Sequence[Radiograph], side: int) -> NDArray[np.float32]:
    """Return exactly what the reader gives to the network for these images, (N, side, side)."""
    inputs = np.empty((len(rows), side, side), dtype=np.float32)
    for number, (_, image) in enumerate(read_images(folder, [row.image for row in rows])):
        inputs[number] = network_image(display_of_bytes(image), None, side)[0]
    return inputs


def cohort_rows(cohort: Cohort, refused: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the held-out images as rows of a cohort, with ``refused`` (group, file) that are no adult's chest.

    The age stands in the header of the adult set only: what is refused of the others is refused by its look.
    """
    rows: list[dict[str, Any]] = []
    for row, truth, part in zip(cohort.rows, cohort.truth, cohort.parts, strict=True):
        if part != -1:
            continue
        child = row.age_years is not None and row.age_years < ADULT_YEARS
        rows.append({
            "case_id": Path(row.image).stem,
            "patient_id": row.patient_id,
            "files": f"{SET}/{ARCHIVE}!{row.image}",
            **{f"truth:{key}": bool(truth[k]) for k, key in enumerate(FINDINGS)},
            "boxes": _boxes(row) if row.boxes else None,
            "view": row.view,
            "age": row.age_years,
            "sex": row.sex,
            "group:source": row.source_set,
            "expect": "refuse" if child else "read",
        })  # fmt: skip
    for number, (group, file) in enumerate(refused):
        rows.append({"case_id": f"unfit{number:03d}", "patient_id": group, "files": file, "expect": "refuse"})
    return rows


def _boxes(row: Radiograph) -> list[list[Any]]:
    edges = [(box.column_min, box.row_min, box.column_max, box.row_max) for box in row.boxes]
    return [
        [BOX_NAMES[box.finding], *(round(edge * PICTURE_SIDE, 1) for edge in four)]
        for box, four in zip(row.boxes, edges, strict=True)
    ]


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image at the size of the training cache."""
    small = network_image(display_of_bytes(image), None, CACHE_SIDE)[0]
    return np.asarray(np.rint(small * 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class GateImages:
    """Images that are no adult chest, at cache size."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    groups: tuple[str, ...]
    """The patient, where the set tells, else the image: what must not stand in two folds."""
    files: tuple[str, ...]
    """Where each lies below the folder of the sets, as a cohort names it."""

    def origins(self) -> NDArray[np.str_]:
        """Return the set that each image comes from."""
        return np.array([group.split("/")[0] for group in self.groups], dtype=np.str_)


def read_gate_images(data: Path, limit: int) -> GateImages:
    """Read children's chests and other body parts, up to about ``limit`` of each set; absent sets are left out."""
    images: list[NDArray[np.uint8]] = []
    classes: list[int] = []
    groups: list[str] = []
    files: list[str] = []
    for name, gate in GATE_SETS.items():
        if not (data / name).is_dir():
            continue
        kept = [(file, image) for file, image in read_images(data / name) if not _is_left_out(name, file)]
        for file, image in kept[:: max(1, len(kept) // limit)]:
            images.append(shrunk(image))
            classes.append(gate)
            groups.append(f"{name}/{_group_of(name, file)}")
            files.append(f"{name}/{ARCHIVE}!{file}")
    stacked = np.stack(images) if images else np.zeros((0, CACHE_SIDE, CACHE_SIDE), dtype=np.uint8)
    return GateImages(stacked, np.array(classes, dtype=np.int64), tuple(groups), tuple(files))


def _group_of(folder: str, file: str) -> str:
    """Name the patient by the file where the set's names tell it (Guangzhou, CT-ICH, MIAS pairs)."""
    if folder == "cxr_guangzhou":
        return "-".join(file.replace("_", "-").split("-")[:2])
    if folder == "ct_head_hemorrhage":
        return file.split("_", maxsplit=1)[0]
    if folder == "mammo_mias":
        return str((int(file.removeprefix("mdb").removesuffix(".jpg")) + 1) // 2)
    return file


def _is_left_out(folder: str, name: str) -> bool:
    """Leave out masks, and the MedNIST chest radiographs: adult frontal chests at 64 px, right but not refusable."""
    return "mask" in name.lower() or (folder == "body_part_mednist" and "CXR" in name)


def _samples(rows: Sequence[Radiograph], truth: NDArray[np.bool_], cached: NDArray[np.uint8]) -> Samples:
    targets = truth.astype(np.float32)
    opacity = FINDINGS.index("opacity")
    weights = np.ones_like(targets)
    for number, row in enumerate(rows):
        boxed = {BOX_NAMES[box.finding] for box in row.boxes}
        targets[number, [FINDINGS.index(key) for key in boxed]] = 1.0
        if row.second_reading == "Lung Opacity":
            targets[number, opacity] = 1.0
        elif row.second_reading and targets[number, opacity]:
            targets[number, opacity] = 0.3
        if row.source_set == "curated1000":
            weights[number] = np.where(targets[number] > 0.5, 1.0, 0.5)
    channel_of = {name: FINDINGS.index(key) for name, key in BOX_NAMES.items()}
    masks = box_masks([row.boxes for row in rows], channel_of, len(FINDINGS), MASK_GRID)
    known = (targets < 0.1) | (masks.max(axis=(2, 3)) > 0)
    return samples_of(
        images=cached,
        targets=targets,
        weights=weights,
        masks=masks,
        masks_known=known,
        view=np.array([{"AP": 1.0, "PA": 0.0}.get(row.view, np.nan) for row in rows], dtype=np.float32),
        gate=np.array([_gate_of(row) for row in rows]),
        auxiliary=np.array([_auxiliary_of(row) for row in rows], dtype=np.float32),
    )


def _gate_of(row: Radiograph) -> int:
    """Adults are chests, small children are children; between them the look says little."""
    if row.age_years is None or row.age_years >= ADULT_YEARS:
        return GATE_CHEST
    return GATE_CHILD if row.age_years <= 8 else GATE_UNKNOWN


def _auxiliary_of(row: Radiograph) -> list[float]:
    sex = {"M": 1.0, "F": 0.0}.get(row.sex, np.nan)
    age = np.nan if row.age_years is None else min(row.age_years, 100.0) / 100
    return [float(label in row.labels) for label in AUXILIARY] + [sex, age]
