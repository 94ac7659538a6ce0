"""CBIS-DDSM: mammograms (DICOM) with lesions described in four tables, one line per lesion."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, optional_file
from coread.train.adapters.masks import INSIDE
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import CorruptImage, DataMissing
from coread.train.pictures import PictureStore

TABLES = tuple(
    (f"{kind}_case_description_{part}_set.csv", kind, part) for kind in ("mass", "calc") for part in ("train", "test")
)
PATHOLOGY = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
_NEEDED = (
    *("patient_id", "left or right breast", "image view", "abnormality id", "abnormality type", "assessment"),
    *("pathology", "subtlety", "image file path", "ROI mask file path"),
)
_DETAILS = ("mass shape", "mass margins", "calc type", "calc distribution")


def read_cbis_ddsm(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read all four tables (those that are there); several lesions of one mammogram become one row."""
    tree = SourceTree(source, (".dcm",))
    folders = _Folders(tree)
    lesions: dict[tuple[str, str], list[TableRow]] = {}
    for name, kind, part in TABLES:
        table = optional_file(source, name)
        for row in read_table(table, _NEEDED) if table is not None else ():
            image = row.needed("image file path").split("/")[0]
            lesions.setdefault((f"{kind}/{part}", image), []).append(row)
    if not lesions:
        raise DataMissing(f"{source} holds none of: {', '.join(name for name, _, _ in TABLES)}")
    for (origin, image), rows in lesions.items():
        made = _row(image, rows, origin=origin, folders=folders)
        masks = list(dict.fromkeys(str(lesion["mask"]) for lesion in made.covariates["lesions"]))
        yield Draft(made, partial(_union, source, masks) if len(masks) > 1 else None)


class _Folders:
    """Finds the file of a table's path: the download renames the files and often the folder of the study."""

    def __init__(self, tree: SourceTree) -> None:
        self._root = tree.root
        self._sizes: dict[str, tuple[int, int]] = {}
        self._by_case: dict[str, list[str]] = {}
        for path in tree.paths:
            for folder in path.split("/")[:-1]:
                self._by_case.setdefault(folder, []).append(path)

    def find(self, text: str) -> str:
        parts = text.strip().strip('"').split("/")
        found = self._by_case.get(parts[0], [])
        exact = [path for path in found if path.endswith("/".join(parts))]
        same_series = [path for path in found if len(parts) > 2 and f"/{parts[2]}/" in path]
        return next(iter(exact or same_series or found), text)

    def find_mask(self, text: str, image: str) -> str:
        """Return the mask of a lesion: the file that is as large as the image, else the largest.

        The cropped lesion lies beside it, often in the same series, and the table names the two the wrong way round.
        """
        named = self.find(text)
        found = self._by_case.get(text.strip().strip('"').split("/")[0], [])
        whole = self._size(image)
        there = [path for path in (named, *found) if self._size(path) != (0, 0)]
        if whole == (0, 0) or not there:
            return named
        return max(there, key=lambda path: (self._size(path) == whole, self._size(path)[0] * self._size(path)[1]))

    def _size(self, path: str) -> tuple[int, int]:
        """Return rows and columns of a DICOM file, zeros where there is none."""
        if path not in self._sizes:
            try:
                header = scan_header(self._root / path)
                self._sizes[path] = (header.rows or 0, header.columns or 0)
            except (ImagingRefused, OSError):
                self._sizes[path] = (0, 0)
        return self._sizes[path]


def _union(source: Path, masks: Sequence[str]) -> NDArray[np.uint8]:
    """Draw several lesions into one mask, in the pixels of the first."""
    with PictureStore(source) as store:
        found: list[NDArray[np.bool_]] = [np.asarray(store.pixels(mask)) > 0 for mask in masks]
    if any(mask.ndim != 2 for mask in found):
        raise CorruptImage(f"a mask among {', '.join(masks)} is no picture of one plane")
    drawn: NDArray[np.bool_] = np.zeros_like(found[0])
    for mask in found:
        rows = (np.arange(drawn.shape[0]) * mask.shape[0]) // drawn.shape[0]
        columns = (np.arange(drawn.shape[1]) * mask.shape[1]) // drawn.shape[1]
        drawn |= mask[np.ix_(rows, columns)]
    return drawn.astype(np.uint8) * INSIDE


def _row(image: str, rows: Sequence[TableRow], *, origin: str, folders: _Folders) -> ImageRow:
    first = rows[0]
    pathology = [row.choice("pathology", PATHOLOGY) for row in rows]
    density = first.number("breast_density") or first.number("breast density")
    path = folders.find(first.needed("image file path"))
    masks = [folders.find_mask(row.needed("ROI mask file path"), path) for row in rows]
    lesions = [
        {"id": row.text("abnormality id"), "type": row.text("abnormality type"), "pathology": row.text("pathology"),
         "assessment": row.number("assessment"), "subtlety": row.number("subtlety"), "mask": mask,
         **{name: row.text(name) for name in _DETAILS if row.text(name)}}
        for row, mask in zip(rows, masks, strict=True)
    ]  # fmt: skip
    kind, part = origin.split("/")
    side = first.choice("left or right breast", ("LEFT", "RIGHT"))
    return ImageRow(
        image_id=image,
        path=path,
        patient_id=first.needed("patient_id"),
        group_id=first.needed("patient_id"),
        study_id=first.needed("patient_id"),
        view=f"{side[0]}{first.choice('image view', ('CC', 'MLO'))}",
        sex="F",
        source="cbis_ddsm",
        labels={"malignant": float("MALIGNANT" in pathology), "breast_density": density or None},
        label_source="pathology",
        mask=masks[0],
        covariates={"official_split": part, "kind": kind, "lesions": lesions},
    )


CBIS_DDSM = Adapter(
    title="CBIS-DDSM: 3,103 mammograms of 1,566 patients; masses and calcifications with proven pathology",
    licence="CC BY 3.0",
    citation="Lee RS et al. A curated mammography data set for use in computer-aided detection and diagnosis "
    "research. Sci Data 2017;4:170177.",
    read=read_cbis_ddsm,
    layout="mass_case_description_train_set.csv (and _test, calc_), CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/*/*/*.dcm",
)
