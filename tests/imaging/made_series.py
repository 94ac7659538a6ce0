"""Series for the tests of volumes: generated CT and MR slices with the attributes that tell images apart."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from coread.domain.identifiers import derived_uid
from coread.domain.study import InstanceHeader
from coread.imaging.header import scan_header
from coread.phantoms.ct import Ball, CtRecipe, ct_series

SMALL = CtRecipe(rows=12, columns=10, slices=7, balls=(Ball((12.0, -19.0, 36.0), 4.0),))
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
Located = list[tuple[Path, InstanceHeader]]
Edit = Callable[[Dataset, int], None]


def saved(folder: Path, datasets: Sequence[Dataset]) -> Located:
    """Write data sets and scan their headers."""
    folder.mkdir(parents=True, exist_ok=True)
    located: Located = []
    for dataset in datasets:
        path = folder / f"{len(list(folder.iterdir())):04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        located.append((path, scan_header(path)))
    return located


def slices(recipe: CtRecipe = SMALL, edit: Edit | None = None, copy: str = "") -> list[Dataset]:
    """Return CT slices; ``edit`` changes slice k; ``copy`` gives them other SOP Instance UIDs in the same series."""
    made = ct_series(recipe)
    for k, dataset in enumerate(made):
        if copy:
            dataset.SOPInstanceUID = UID(derived_uid("copy", copy, str(dataset.SOPInstanceUID)))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        if edit is not None:
            edit(dataset, k)
    return made


def mr_slices(edit: Edit | None = None, copy: str = "", recipe: CtRecipe = SMALL) -> list[Dataset]:
    """Return the same as MR images: no rescaling, no unit."""

    def as_mr(dataset: Dataset, k: int) -> None:
        dataset.SOPClassUID = UID(MR_STORAGE)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND"]
        del dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType, dataset.KVP, dataset.GantryDetectorTilt
        if edit is not None:
            edit(dataset, k)

    return slices(recipe, as_mr, copy)


def at(dataset: Dataset, position: Sequence[float]) -> None:
    """Move a slice."""
    dataset.ImagePositionPatient = [f"{value:.6f}".rstrip("0").rstrip(".") or "0" for value in position]


def pixels_of(dataset: Dataset) -> NDArray[Any]:
    """Return the stored values."""
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)


def named(recipe: CtRecipe, seed: str) -> CtRecipe:
    """Return the recipe with other identifiers."""
    return replace(recipe, identity=replace(recipe.identity, uid_seed=seed))
