"""Colour pictures: Kvasir-SEG (polyps), IDRiD and APTOS 2019 (retinopathy), and MedMNIST arrays."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, first_file, optional_file
from coread.train.adapters.medmnist_labels import CLASSES, GRADED, MANY_LABELS
from coread.train.adapters.tables import TableRow, read_json, read_table
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable, CorruptImage, DataMissing

_IDRID = (
    ("a. IDRiD_Disease Grading_Training Labels.csv", "a. Training Set", "train"),
    ("b. IDRiD_Disease Grading_Testing Labels.csv", "b. Testing Set", "test"),
)
_MEDMNIST_PARTS = {"train": "train", "val": "tune", "test": "test"}


def read_kvasir_seg(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read images/, masks/ (same names) and kavsir_bboxes.json, spelt as it is distributed."""
    path = first_file(source, "kavsir_bboxes.json", "kvasir_bboxes.json")
    base = path.parent.relative_to(source).as_posix()
    prefix = "" if base == "." else f"{base}/"
    for image, about in read_json(path).items():
        try:
            boxes = tuple(
                Box(str(box["label"]), float(box["xmin"]), float(box["ymin"]), float(box["xmax"]), float(box["ymax"]))
                for box in about["bbox"]
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise BadTable(f"{path}: the boxes of {image} cannot be read: {problem!r}") from problem
        yield Draft(
            ImageRow(
                image_id=image,
                path=f"{prefix}images/{image}.jpg",
                group_id=image,
                site="Vestre Viken, Norway",
                source="kvasir_seg",
                labels={"polyp": 1.0},
                label_source="gastroenterologist",
                boxes=boxes,
                mask=f"{prefix}masks/{image}.jpg",
            )
        )


def read_idrid(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read part B (disease grading): grades of retinopathy (0 to 4) and of macular oedema risk (0 to 2)."""
    tree = SourceTree(source, (".jpg",))
    found = False
    for name, folder, part in _IDRID:
        table = optional_file(source, name)
        for row in read_table(table, ("Image name", "Retinopathy grade")) if table is not None else ():
            found = True
            image = row.needed("Image name")
            labels = {"dr_grade": _grade(row, "Retinopathy grade", 4)}
            if row.text("Risk of macular edema"):
                labels["dme_risk"] = _grade(row, "Risk of macular edema", 2)
            known = _fundus(f"{part}/{image}", tree.ending_with(f"{folder}/{image}.jpg"), labels)
            yield Draft(_with(known, site="Nanded, India", source="idrid", covariates={"official_split": part}))
    if not found:
        raise DataMissing(f"{source} holds none of: {', '.join(name for name, _, _ in _IDRID)}")


def read_aptos(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read train.csv: id_code and diagnosis (grade 0 to 4)."""
    tree = SourceTree(source, (".png",))
    for row in read_table(first_file(source, "train.csv"), ("id_code", "diagnosis")):
        image = row.needed("id_code")
        known = _fundus(image, tree.named(f"{image}.png"), {"dr_grade": _grade(row, "diagnosis", 4)})
        yield Draft(_with(known, site="Aravind Eye Hospital, India", source="aptos2019"))


def _fundus(image: str, path: str, labels: dict[str, float]) -> ImageRow:
    return ImageRow(image_id=image, path=path, group_id=image, labels=labels, label_source="ophthalmologist")


def _with(row: ImageRow, **changes: Any) -> ImageRow:
    from dataclasses import replace

    return replace(row, **changes)


def _grade(row: TableRow, column: str, highest: int) -> float:
    grade = row.whole(column)
    if not 0 <= grade <= highest:
        raise BadTable(f"{row.where}: column {column!r} holds {grade}, which is outside 0 to {highest}")
    return float(grade)


def read_medmnist(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every ``*mnist*.npz``; the parts of the file become the parts of the split."""
    files = sorted(source.glob("*mnist*.npz"))
    if not files:
        raise DataMissing(f"{source} holds no *mnist*.npz")
    for file in files:
        set_name = file.stem.split("_")[0]
        for part, labels in _medmnist_labels(file).items():
            for number, values in enumerate(labels):
                image = f"{file.stem}/{part}/{number}"
                yield Draft(
                    ImageRow(
                        image_id=image,
                        path=f"{file.name}!{part}_images#{number}",
                        group_id=image,
                        source=set_name,
                        labels=_medmnist_classes(set_name, [int(value) for value in np.ravel(values)], file),
                        label_source="as published by MedMNIST",
                        part=_MEDMNIST_PARTS[part],
                    )
                )


def _medmnist_labels(file: Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as opened:
            return {part: opened[f"{part}_labels"] for part in _MEDMNIST_PARTS if f"{part}_images" in opened.files}
    except (OSError, ValueError, KeyError) as problem:
        raise CorruptImage(f"{file} is no MedMNIST file: {type(problem).__name__}: {problem}") from problem


def _medmnist_classes(set_name: str, values: Sequence[int], file: Path) -> dict[str, float | None]:
    names = CLASSES.get(set_name, ())
    if set_name in GRADED or not names:
        return {"grade" if set_name in GRADED else "class": float(values[0])}
    if set_name in MANY_LABELS:
        return {name: float(value) for name, value in zip(names, values, strict=True)}
    if not 0 <= values[0] < len(names):
        raise BadTable(f"{file}: label {values[0]} is outside the list of {len(names)} classes of {set_name}")
    return {name: float(number == values[0]) for number, name in enumerate(names)}


KVASIR_SEG = Adapter(
    title="Kvasir-SEG: 1,000 colonoscopy images with masks and boxes of polyps",
    licence="research and educational use; cite the paper (distributed copies: CC BY 4.0)",
    citation="Jha D et al. Kvasir-SEG: a segmented polyp dataset. MMM 2020.",
    read=read_kvasir_seg,
    layout="images/*.jpg, masks/*.jpg, kavsir_bboxes.json",
)
IDRID = Adapter(
    title="IDRiD, part B: 516 fundus photographs with grades of retinopathy and macular oedema",
    licence="CC BY 4.0",
    citation="Porwal P et al. Indian Diabetic Retinopathy Image Dataset (IDRiD). Data 2018;3(3):25.",
    read=read_idrid,
    layout="B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg, 2. Groundtruths/a. IDRiD_*.csv",
)
APTOS = Adapter(
    title="APTOS 2019 Blindness Detection: 3,662 fundus photographs with grades of retinopathy",
    licence="competition rules of APTOS 2019 (Kaggle): research use",
    citation="Asia Pacific Tele-Ophthalmology Society. APTOS 2019 Blindness Detection. Kaggle 2019.",
    read=read_aptos,
    layout="train.csv, train_images/*.png",
)
MEDMNIST = Adapter(
    title="MedMNIST v2: 18 small standard sets, 28 to 224 px",
    licence="CC BY 4.0 (DermaMNIST: CC BY-NC 4.0)",
    citation="Yang J et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image "
    "classification. Sci Data 2023;10:41.",
    read=read_medmnist,
    layout="pneumoniamnist.npz (any of the sets, any size): train_images, train_labels, val_*, test_*",
)
