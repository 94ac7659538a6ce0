"""SIIM-ACR Pneumothorax Segmentation: DICOM files and run-length masks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import dicom_files, row_of_header
from coread.train.adapters.files import first_file
from coread.train.adapters.masks import Mask, box_of_mask, from_relative_runs
from coread.train.adapters.tables import read_table
from coread.train.datasets import Box, ImageRow

LABEL = "Pneumothorax"
_SIDE = 1024
_NONE = "-1"


def read_siim_acr(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read train-rle.csv or stage_2_train.csv; an image with ``-1`` has no pneumothorax, several lines are joined."""
    table = first_file(source, "train-rle.csv", "stage_2_train.csv")
    runs: dict[str, list[str]] = {}
    for row in read_table(table, ("ImageId", "EncodedPixels")):
        runs.setdefault(row.needed("ImageId"), []).append(row.needed("EncodedPixels"))
    files = list(dicom_files(source))
    headers = {Path(path).stem: (path, header) for path, header in files}
    headers |= {header.sop_instance_uid: (path, header) for path, header in files}
    for image, texts in runs.items():
        given = [text for text in texts if text != _NONE]
        path, header = headers.get(image, (f"{image}.dcm", None))
        rows, columns = (header.rows or _SIDE, header.columns or _SIDE) if header is not None else (_SIDE, _SIDE)
        known = row_of_header(path, header) if header is not None else ImageRow(image_id=image, path=path)
        draw = partial(joined_mask, given, rows, columns)
        boxes = [box_of_mask(from_relative_runs(text, rows, columns)) for text in given]
        yield Draft(_row(image, known, [box for box in boxes if box is not None]), draw if given else None)


def joined_mask(runs: Sequence[str], rows: int, columns: int) -> Mask:
    """Draw all masks of one image into one."""
    mask = np.zeros((rows, columns), dtype=np.uint8)
    for text in runs:
        mask |= from_relative_runs(text, rows, columns)
    return mask


def _row(image: str, known: ImageRow, boxes: Sequence[tuple[float, float, float, float]]) -> ImageRow:
    return replace(
        known,
        image_id=image,
        group_id=known.patient_id or image,
        source="siim_acr",
        labels={LABEL: float(bool(boxes))},
        label_source="radiologists",
        boxes=tuple(Box(LABEL, *edges) for edges in boxes),
    )


SIIM_ACR = Adapter(
    title="SIIM-ACR Pneumothorax Segmentation: 12,047 chest radiographs with masks",
    licence="competition rules of SIIM-ACR (Kaggle): research use",
    citation="Society for Imaging Informatics in Medicine. SIIM-ACR Pneumothorax Segmentation Challenge. 2019.",
    read=read_siim_acr,
    layout="train-rle.csv or stage_2_train.csv, dicom-images-train/*/*/*.dcm",
)
