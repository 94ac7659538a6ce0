"""Raw MR data from the command line: what a file holds, images by a classical method, images by the reader."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Refused
from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace, Trajectory
from coread.imaging.errors import NotRawData
from coread.imaging.mr.checks import checked
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.raw_object import write_wrapped
from coread.imaging.mr.image_grid import on_image_grid
from coread.imaging.mr.methods import Method, reconstructed_plane
from coread.imaging.mr.planes import reconstructed_planes
from coread.imaging.mr.whitening import whitened
from coread.imaging.nifti import write_nifti

if TYPE_CHECKING:
    from coread.app.offline import Progress, ReadSummary
    from coread.app.settings import Settings

_PICTURE_QUANTILE = 0.995


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """The images of one classical reconstruction."""

    images: NDArray[np.float32]
    """(frames, slices, rows, columns)."""
    geometry: Geometry
    notes: tuple[str, ...]
    seconds: float


def raw_document(path: Path) -> dict[str, Any]:
    """Return what a raw file says and whether it can be reconstructed; raises Refused where it cannot be opened."""
    kspace = open_raw(path)
    frames, slices, coils, partitions, lines, readout = kspace.samples.shape
    header = kspace.header
    try:
        usable: dict[str, Any] = {"usable": True, "notes": list(checked(kspace).notes)}
    except Refused as problem:
        usable = {"usable": False, "reason": str(problem)}
    return {
        "file": str(path),
        "trajectory": kspace.trajectory.value,
        "frames": frames,
        "slices": slices,
        "coils": coils,
        "partitions": partitions,
        "lines": lines,
        "readout": readout,
        "images": list(kspace.geometry.shape),
        "spacing_mm": [round(value, 3) for value in kspace.geometry.spacing_mm()],
        "acceleration": round(kspace.acceleration(), 2),
        "noise_scan": kspace.noise is not None,
        "synthetic": header.synthetic,
        "protocol": header.protocol_name or header.series_description,
        "field_strength_t": header.field_strength_t,
        **usable,
    }


def reconstruct_classically(
    path: Path, method: Method, *, workers: int = 1, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Made:
    """Reconstruct a Cartesian acquisition slice by slice; raises Refused with the reason where that is impossible."""
    began = time.perf_counter()
    found = checked(open_raw(path))
    kspace = found.kspace
    if kspace.trajectory is not Trajectory.CARTESIAN:
        raise NotRawData(f"{kspace.trajectory.value} samples: the reader reconstructs them, --method does not")
    frames, slices, _, partitions, _, _ = kspace.samples.shape
    _, rows, columns = kspace.geometry.shape
    images = np.empty((frames, slices * partitions, rows, columns), dtype=np.float32)
    for frame in range(frames):
        for number in range(slices):
            whole = _slab(kspace, frame, number, method, workers)
            images[frame, number * partitions : (number + 1) * partitions] = on_image_grid(whole, rows, columns)
            progress(frame * slices + number + 1, frames * slices)
    return Made(images, kspace.geometry, found.notes, time.perf_counter() - began)


def _slab(kspace: KSpace, frame: int, number: int, method: Method, workers: int) -> NDArray[np.float32]:
    """Return the magnitude images (partitions, lines, readout) of one slice or slab."""
    samples, mask = kspace.samples[frame, number], kspace.mask[frame, number]

    def clean(taken: NDArray[np.complex64]) -> NDArray[np.complex64]:
        return taken if kspace.noise is None else whitened(taken, kspace.noise)

    def plane(taken: NDArray[np.complex64], sampled: NDArray[np.bool_]) -> NDArray[np.float32]:
        return reconstructed_plane(clean(taken), sampled, method, calibration=reference, workers=workers)

    # Of a 3D acquisition they would have to be transformed along the readout as well: the reader does.
    apart = None if kspace.calibration is None or samples.shape[1] > 1 else kspace.calibration[number, :, 0]
    reference = None if apart is None else clean(np.asarray(apart))

    if samples.shape[1] == 1:
        points = mask[0] if mask.ndim == 3 else np.repeat(mask[0][:, np.newaxis], samples.shape[-1], axis=1)
        return plane(np.asarray(samples[:, 0]), points)[np.newaxis]
    if mask.ndim == 3:
        raise NotRawData("a 3D acquisition whose readouts are not whole")
    planes = reconstructed_planes(
        samples, mask, lambda taken, sampled: plane(taken, sampled).astype(np.complex64), workers=workers
    )
    return np.asarray(planes.real, dtype=np.float32)


def write_images(made: Made, out: Path, name: str) -> list[str]:
    """Write the images as NIfTI and the middle slice as PNG; returns the files. A file that is there is replaced."""
    out.mkdir(parents=True, exist_ok=True)
    values = made.images if len(made.images) > 1 else made.images[0]
    nifti = write_nifti(out / f"{name}.nii.gz", values, made.geometry.matrix())
    picture = out / f"{name}.png"
    _picture(made.images[0, made.images.shape[1] // 2]).save(picture)
    return [str(nifti), str(picture)]


def _picture(grey: NDArray[np.float32]) -> Any:
    from PIL import Image

    top = float(np.quantile(grey, _PICTURE_QUANTILE)) or 1.0
    return Image.fromarray(np.rint(np.clip(grey / top, 0, 1) * 255).astype(np.uint8))


def read_raw(settings: "Settings", path: Path, out: Path, reader: str, progress: "Progress") -> "ReadSummary":
    """Read a raw file as the server would: wrapped as a DICOM Raw Data object, routed, read, its objects in ``out``."""
    from coread.app.offline import read_paths

    with tempfile.TemporaryDirectory(prefix="coread-recon-") as folder:
        wrapped = Path(folder) / "raw.dcm"
        write_wrapped(path, wrapped)
        return read_paths(settings, [wrapped], out, only=(reader,), progress=progress)
