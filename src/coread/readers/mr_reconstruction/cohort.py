"""The magnitude images that k-space is simulated from, and which of them nothing is learnt from.

Parts are made by patient. Held out: patient 12 of ``brain_mr_ms``, the Siemens T1 series, and the blocks of
``brain_mr_tumor_boxes`` that every reader holds out (a block has the same patients). Images that a scanner interpolated
are cut to the frequencies that it measured: lines that were filled with zeros would be right for free (Shimron 2022,
"Implicit data crimes"). The tumour slices are 8-bit JPEG; scores on them are too good and stand apart in every table.
"""

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.nifti import read_nifti
from coread.imaging.planar import read_frame
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

Image = NDArray[np.float32]
MS, TUMOUR, MNI, SIEMENS = "brain_mr_ms", "brain_mr_tumor_boxes", "brain_mr_mni152", "mr_brain_siemens"
SIEMENS_ARCHIVE = Path("dicom") / "mr_brain_siemens_2_series.zip"
SIEMENS_SERIES, SIEMENS_PATIENT = "11-T1post-18670/", "PGBM-003"
MNI_T1 = Path(MNI) / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
HELD_OUT_MS = "patient12"
TUNE_BLOCKS = ("glioma_19", "meningioma_19", "pituitary_19")
MEASURED_MS = (0.95, 0.66)
"""Share of the frequencies along rows and along columns that were measured: the spectra fall to the noise beyond it."""
MEASURED_SIEMENS = (1.0, 227 / 280)
"""AcquisitionMatrix (0018,1310) of the series: 320 x 227 for an image of 320 x 280."""
_SIGNAL, _FULL_ENOUGH = 0.05, 0.12
"""Slices of which fewer voxels than this share show signal lie at the ends of the head and are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class MagnitudeSlice:
    """One slice with where it is of; lines of phase encoding run along the first axis of ``image`` (a, b)."""

    image: Image
    source: str
    patient: str
    volume: str


def learnt(data: Path) -> list[MagnitudeSlice]:
    """Return the slices of the patients that are learnt from; ``data`` is the folder that holds the data sets."""
    found = [item for item in ms_slices(data) if item.patient != HELD_OUT_MS]
    found += [item for item in tumour_slices(data) if not held_out(TUMOUR, item.patient)]
    return [item for item in found if item.patient not in TUNE_BLOCKS] + mni_slices(data)


def tuned(data: Path) -> list[MagnitudeSlice]:
    """Return the slices that only say how a fit goes."""
    return [item for item in tumour_slices(data) if item.patient in TUNE_BLOCKS and not held_out(TUMOUR, item.patient)]


def kept_apart(data: Path) -> list[MagnitudeSlice]:
    """Return the slices of the patients that nothing is learnt from or decided on."""
    found = [item for item in ms_slices(data) if item.patient == HELD_OUT_MS] + siemens_slices(data)
    return found + [item for item in tumour_slices(data) if held_out(TUMOUR, item.patient)]


def ms_slices(data: Path) -> list[MagnitudeSlice]:
    """Return the axial FLAIR and T1 slices of the patients with multiple sclerosis, at the measured resolution."""
    found: list[MagnitudeSlice] = []
    for path in sorted((data / MS / "longitudinal" / "raw").glob("patient*/study*_*.nii.gz")):
        patient, volume = path.parent.name, path.name.removesuffix(".nii.gz")
        values = np.asarray(read_nifti(path)[0], dtype=np.float32)
        images = [measured_only(image, MEASURED_MS).T for image in _full_enough(values)]
        found += [MagnitudeSlice(image, MS, patient, f"{patient} {volume}") for image in images]
    return found


def siemens_slices(data: Path) -> list[MagnitudeSlice]:
    """Return the slices of the T1 series of the Siemens study, at the measured resolution."""
    with zipfile.ZipFile(data / SIEMENS_ARCHIVE) as archive, TemporaryDirectory() as folder:
        names = sorted(name for name in archive.namelist() if name.startswith(SIEMENS_SERIES) and name.endswith(".dcm"))
        values = np.stack([_dicom_values(Path(archive.extract(name, folder))) for name in names])
    images = [measured_only(image, MEASURED_SIEMENS).T for image in _full_enough(values)]
    return [MagnitudeSlice(image, SIEMENS, SIEMENS_PATIENT, SIEMENS_SERIES.rstrip("/")) for image in images]


def mni_slices(data: Path) -> list[MagnitudeSlice]:
    """Return every second slice of the average brain, in three directions."""
    values = np.asarray(read_nifti(data / MNI_T1)[0], dtype=np.float32)
    return [
        MagnitudeSlice(image, MNI, "icbm152", "icbm152")
        for axis in range(3)
        for image in _full_enough(np.moveaxis(values, axis, 0))[::2]
    ]


def tumour_slices(data: Path) -> list[MagnitudeSlice]:
    """Return the slices of patients with a tumour: 8-bit JPEG, three directions; the block stands for the patient."""
    with (data / TUMOUR / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with PictureStore(data / TUMOUR) as store:
        images = [_grey(store.pixels(f"images.zip!{row['image']}")) for row in rows]
    return [
        MagnitudeSlice(image, TUMOUR, row["block"], row["block"]) for row, image in zip(rows, images, strict=True)
    ]  # fmt: skip


def measured_only(image: Image, shares: tuple[float, float]) -> Image:
    """Return the magnitude of an image (rows, columns) at the resolution of that share of its frequencies."""
    samples = to_samples(image.astype(np.complex64))
    cut = []
    for size, share in zip(image.shape, shares, strict=True):
        kept = min(size, 2 * round(size * share / 2))
        cut.append(slice(size // 2 - kept // 2, size // 2 - kept // 2 + kept))
    return np.asarray(np.abs(to_image(np.ascontiguousarray(samples[tuple(cut)]))), dtype=np.float32)


def _full_enough(values: NDArray[np.float32]) -> list[Image]:
    limit = _SIGNAL * float(np.percentile(values, 99.5))
    return [image for image in values if float((image > limit).mean()) >= _FULL_ENOUGH]


def _dicom_values(path: Path) -> Image:
    return np.asarray(read_frame(path).stored, dtype=np.float32)


def _grey(pixels: Any) -> Image:
    values = np.asarray(pixels, dtype=np.float32)
    return values if values.ndim == 2 else values[..., 0]
