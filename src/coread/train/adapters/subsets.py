"""Subsets of public sets that lie as an ``index.csv`` beside an ``images.zip``: one function each."""

import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.cxr_nih import FINDINGS, NIH, NO_FINDING
from coread.train.adapters.lidc_idri import LIDC_IDRI
from coread.train.adapters.luna16 import LUNA16
from coread.train.adapters.masks import INSIDE, Mask
from coread.train.adapters.mini_mias import KINDS, MINI_MIAS, TISSUES
from coread.train.adapters.pictures_with_labels import IDRID, KVASIR_SEG, MEDMNIST, read_medmnist
from coread.train.adapters.tables import TableRow, read_table
from coread.train.adapters.volumes import MSD
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable, CorruptImage, DataMissing

ARCHIVE = "images.zip"
INDEX = "index.csv"
HEMORRHAGES = ("ich", "ivh", "iph", "sah", "edh", "sdh")
TUMORS = ("meningioma", "glioma", "pituitary")
_SLICES = "slices.npz"
_PARTS = {"train": "train", "val": "tune"}


def _rows(source: Path, *needed: str) -> Iterator[TableRow]:
    return read_table(source / INDEX, needed)


def _member(name: str) -> str:
    return f"{ARCHIVE}!{name}"


def _one_of(label: str, labels: Iterable[str]) -> dict[str, float | None]:
    """Return 1 for the class that is stated and 0 for the others."""
    return {name: float(name == label) for name in labels}


def read_cxr_nih(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the NIH subset: boxes are radiologists' rectangles in pixels of the stored 448 px images."""
    for row in _rows(source, "image", "patient_id", "labels", "view", "age", "sex", "boxes_xywh_448"):
        image = row.needed("image")
        found = row.choices("labels", (*FINDINGS, NO_FINDING))
        covariates = {name: row.text(name) for name in ("source_set", "rsna_class") if row.text(name)}
        yield Draft(
            ImageRow(
                image_id=Path(image).stem,
                path=_member(image),
                patient_id=row.needed("patient_id"),
                group_id=row.needed("patient_id"),
                site="NIH Clinical Center",
                view=row.choice("view", ("PA", "AP", "")),
                age=row.years("age"),
                sex=row.sex("sex"),
                source="cxr_nih",
                labels={name: float(name in found) for name in (*FINDINGS, NO_FINDING)},
                label_source="report text (NLP)",
                boxes=tuple(
                    Box("Infiltration" if name == "Infiltrate" else str(name), x, y, x + width, y + height)
                    for name, x, y, width, height in _json(row, "boxes_xywh_448")
                ),
                covariates=covariates,
            )
        )


def read_cxr_guangzhou(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the children's set; rows marked as duplicates are left out."""
    for row in _rows(source, "image", "label", "subtype", "group_id", "duplicate"):
        if row.choice("duplicate", ("True", "False")) == "True":
            continue
        label = row.choice("label", ("NORMAL", "PNEUMONIA"))
        subtype = row.choice("subtype", ("bacteria", "virus", ""))
        known = _simple(row, "cxr_guangzhou", {"pneumonia": float(label == "PNEUMONIA"),
                                               "bacterial": _if_known(subtype, "bacteria")})  # fmt: skip
        group = row.needed("group_id")
        yield Draft(replace(known, group_id=group, view="AP", site="Guangzhou", label_source="physicians"))


def read_mammo_mias(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the mammograms; several lines with circles may share one image, ``y_top_left`` counts from above."""
    lines: dict[str, list[TableRow]] = defaultdict(list)
    for row in _rows(source, "image", "patient_id", "tissue", "abnormality", "severity", "x", "y_top_left", "radius"):
        lines[row.needed("image")].append(row)
    for image, rows in lines.items():
        first = rows[0]
        kinds = {row.choice("abnormality", KINDS) for row in rows}
        tissue = first.choice("tissue", TISSUES)
        known = _simple(
            first, "mammo_mias",
            {
                "abnormal": float(kinds != {"NORM"}),
                "malignant": float(any(row.choice("severity", ("B", "M", "")) == "M" for row in rows)),
                "density": float(TISSUES.index(tissue)),
                **{kind: float(kind in kinds) for kind in KINDS if kind != "NORM"},
            },
        )  # fmt: skip
        circles = [(row.text("abnormality"), row.numbers(("x", "y_top_left", "radius"))) for row in rows]
        boxes = tuple(Box(kind, c[0] - c[2], c[1] - c[2], c[0] + c[2] + 1, c[1] + c[2] + 1) for kind, c in circles if c)
        patient = first.needed("patient_id")
        yield Draft(
            replace(
                known, patient_id=patient, group_id=patient, sex="F", boxes=boxes, label_source="radiologist",
                view="LMLO" if int(Path(image).stem[3:]) % 2 else "RMLO", covariates={"tissue": tissue},
            )
        )  # fmt: skip


def read_breast_us_busi(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the ultrasound images; the group joins near-duplicates, also across classes."""
    labels = ("normal", "benign", "malignant")
    for row in _rows(source, "image", "label", "group_id", "mask"):
        known = _simple(row, "breast_us_busi", _one_of(row.choice("label", labels), labels))
        mask = _member(row.text("mask")) if row.text("mask") else ""
        yield Draft(replace(known, group_id=row.needed("group_id"), sex="F", mask=mask, label_source="radiologists"))


def read_brain_mr_tumor_boxes(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the slices; boxes are given relative to the image and stored in pixels of its 224 px."""
    for row in _rows(source, "image", "label", "xc", "yc", "w", "h", "block"):
        label = row.choice("label", TUMORS)
        edges = row.numbers(("xc", "yc", "w", "h"))
        if edges is None:
            raise BadTable(f"{row.where}: the box is incomplete")
        x, y, width, height = (224 * edge for edge in edges)
        box = Box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        known = _simple(row, "brain_mr_tumor_boxes", _one_of(label, TUMORS))
        yield Draft(replace(known, group_id=row.needed("block"), boxes=(box,), label_source="pathology, radiologists"))


def read_colon_polyps(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the colonoscopy frames with masks and boxes."""
    for row in _rows(source, "image", "mask", "boxes_xyxy"):
        boxes = tuple(Box("polyp", *(float(edge) for edge in box)) for box in _json(row, "boxes_xyxy"))
        known = _simple(row, "colon_polyps", {"polyp": 1.0})
        yield Draft(replace(known, boxes=boxes, mask=_member(row.needed("mask")), label_source="gastroenterologist"))


def read_fundus_idrid(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the fundus photographs; duplicates with different grades share a group."""
    for row in _rows(source, "image", "dr_grade", "dme_risk", "dup_group"):
        grades: dict[str, float | None] = {}
        for column, highest in (("dr_grade", 4), ("dme_risk", 2)):
            grades[column] = float(row.choice(column, map(str, range(highest + 1))))
        known = _simple(row, "fundus_idrid", grades)
        yield Draft(replace(known, group_id=row.needed("dup_group"), label_source="ophthalmologist"))


def read_ct_head_hemorrhage(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the head CT slices; an empty type is unknown."""
    for row in _rows(source, "image", "patient_id", "age", "sex", *HEMORRHAGES, "fracture"):
        known = _simple(row, "ct_head_hemorrhage", {name: row.flag(name) for name in (*HEMORRHAGES, "fracture")})
        patient = row.needed("patient_id")
        yield Draft(
            replace(
                known, patient_id=patient, group_id=patient, study_id=patient, age=row.years("age"), sex=row.sex("sex"),
                label_source="two radiologists", covariates={"slice": row.number("slice")},
            )
        )  # fmt: skip


def read_ct_lung_nodule_candidates(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the candidate patches; their contiguous blocks are the split, and no patient is named."""
    for row in _rows(source, "image", "candidate_row", "label", "split"):
        part = _PARTS[row.choice("split", _PARTS)]
        known = _simple(row, "ct_lung_nodule_candidates", {"nodule": row.flag("label")})
        yield Draft(replace(known, part=part, label_source="at least three of four radiologists"))


def read_ct_lung_nodule_slices(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the crops in the order of ``slices.npz``; the mask is what most raters marked (bit k is rater k)."""
    try:
        with np.load(source / _SLICES, allow_pickle=False) as opened:
            bits = opened["mask_bits"]
    except FileNotFoundError as problem:
        raise DataMissing(f"{source / _SLICES} is not there") from problem
    except (OSError, ValueError, KeyError) as problem:
        raise CorruptImage(f"{source / _SLICES} cannot be read: {problem}") from problem
    rows = list(_rows(source, "patient_id", "nodule", "slice", "n_raters", "split"))
    if len(rows) != len(bits):
        raise BadTable(f"{source / INDEX} has {len(rows)} lines, {_SLICES} has {len(bits)} images")
    for number, row in enumerate(rows):
        raters = row.whole("n_raters")
        patient = row.needed("patient_id")
        known = ImageRow(
            image_id=f"{patient}/{row.needed('nodule')}/{row.needed('slice')}",
            path=f"{_SLICES}!image#{number}",
            patient_id=patient,
            group_id=patient,
            source="ct_lung_nodule_slices",
            labels={"nodule": 1.0},
            label_source=f"{raters} radiologists",
            covariates={"raters": raters, "largest": row.text("is_max_area") == "1"},
            part=_PARTS[row.choice("split", _PARTS)],
        )
        yield Draft(known, partial(majority_of_bits, bits[number], raters))


def majority_of_bits(bits: Any, raters: int) -> Mask:
    """Mark where at least half of the raters set their bit."""
    votes = sum((bits >> bit) & 1 for bit in range(8))
    return np.where((votes > 0) & (2 * votes >= raters), INSIDE, 0).astype(np.uint8)


def read_body_part_mednist(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the classes from the folders inside images.zip; no patients are known."""
    labels = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
    try:
        with zipfile.ZipFile(source / ARCHIVE) as opened:
            members = sorted(name for name in opened.namelist() if not name.endswith("/"))
    except FileNotFoundError as problem:
        raise DataMissing(f"{source / ARCHIVE} is not there") from problem
    except (OSError, zipfile.BadZipFile) as problem:
        raise CorruptImage(f"{source / ARCHIVE} cannot be read: {problem}") from problem
    for name in members:
        label = TableRow({"folder": name.split("/")[0]}, f"{ARCHIVE}!{name}").choice("folder", labels)
        image = name.removesuffix(".jpeg")
        yield Draft(
            ImageRow(image, _member(name), group_id=image, source="body_part_mednist", labels=_one_of(label, labels))
        )


def read_brain_mr_hippocampus(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the volumes with their voxel labels: 1 is anterior, 2 posterior."""
    for row in _rows(source, "volume", "image", "label"):
        volume = row.needed("volume")
        yield Draft(
            ImageRow(
                image_id=volume,
                path=_member(row.needed("image")),
                group_id=volume,
                source="brain_mr_hippocampus",
                label_source="voxel labels",
                mask=_member(row.needed("label")),
                covariates={"classes": {"1": "anterior", "2": "posterior"}},
            )
        )


def _simple(row: TableRow, source: str, labels: dict[str, float | None]) -> ImageRow:
    image = row.needed("image")
    return ImageRow(Path(image).stem, _member(image), group_id=Path(image).stem, source=source, labels=labels)


def _if_known(value: str, wanted: str) -> float | None:
    return float(value == wanted) if value else None


def _json(row: TableRow, column: str) -> list[Any]:
    text = row.text(column)
    try:
        return list(json.loads(text)) if text else []
    except (ValueError, TypeError) as problem:
        raise BadTable(f"{row.where}: column {column!r} holds {text!r}: {problem}") from problem


def _like(adapter: Adapter, title: str, read: Callable[[Path, ReadOptions], Iterator[Draft]], **more: str) -> Adapter:
    """Describe a subset: its origin's licence and citation unless told otherwise."""
    return replace(adapter, title=f"Subset: {title}", read=read, **{"layout": "index.csv, images.zip", **more})


_CHENG = (
    "Cheng J et al. Enhanced performance of brain tumor classification via tumor region. PLoS One 2015;10:e0140381."
)
_KERMANY = "Kermany DS et al. Identifying medical diagnoses by image-based deep learning. Cell 2018;172(5):1122-1131."
_BUSI = "Al-Dhabyani W et al. Dataset of breast ultrasound images. Data in Brief 2020;28:104863."
_CT_ICH = "Hssayeni M. Computed tomography images for intracranial hemorrhage detection (CT-ICH 1.3.0). PhysioNet 2020."
_BY = "CC BY 4.0"

SUBSETS: dict[str, Adapter] = {
    "cxr_nih": _like(NIH, "NIH ChestX-ray14 at 448 px with radiologists' boxes", read_cxr_nih),
    "cxr_guangzhou": _like(
        NIH, "chest radiographs of children, Guangzhou", read_cxr_guangzhou, licence=_BY, citation=_KERMANY
    ),
    "pneumoniamnist": _like(MEDMNIST, "PneumoniaMNIST 28 px", read_medmnist, licence=_BY, layout="pneumoniamnist.npz"),
    "mammo_mias": _like(MINI_MIAS, "mini-MIAS mammograms", read_mammo_mias),
    "breast_us_busi": _like(NIH, "breast ultrasound, Cairo", read_breast_us_busi, licence=_BY, citation=_BUSI),
    "brain_mr_tumor_boxes": _like(
        NIH, "T1 post-contrast slices with tumour boxes", read_brain_mr_tumor_boxes, licence=_BY, citation=_CHENG
    ),
    "colon_polyps": _like(KVASIR_SEG, "Kvasir-SEG up to 320 px", read_colon_polyps, licence=_BY),
    "fundus_idrid": _like(IDRID, "IDRiD at 512 px", read_fundus_idrid),
    "ct_head_hemorrhage": _like(
        NIH, "head CT slices, brain window, CT-ICH", read_ct_head_hemorrhage, licence=_BY, citation=_CT_ICH
    ),
    "ct_lung_nodule_candidates": _like(LUNA16, "LUNA16 candidate patches 50 px", read_ct_lung_nodule_candidates),
    "ct_lung_nodule_slices": _like(
        LIDC_IDRI, "LIDC-IDRI nodule crops 72 px", read_ct_lung_nodule_slices, layout="index.csv, slices.npz"
    ),
    "body_part_mednist": _like(
        MEDMNIST, "MedNIST body parts 64 px", read_body_part_mednist, licence="CC BY-SA 4.0", layout="images.zip",
        citation="MedNIST, compiled by B. Erickson (Mayo Clinic) from TCIA, the RSNA Bone Age Challenge and NIH.",
    ),
    "brain_mr_hippocampus": _like(MSD, "Decathlon task 4, hippocampus", read_brain_mr_hippocampus),
}  # fmt: skip
"""Each subset under the name of its folder."""
