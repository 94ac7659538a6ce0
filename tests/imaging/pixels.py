"""Image objects for the tests: any bit depth, sign, colour and syntax, with known stored values."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.study import InstanceHeader
from coread.imaging.header import scan_header
from tests.imaging.objects import as_bytes, minimal


def image_dataset(values: NDArray[Any], *, stored: int, signed: bool = False, **attributes: Any) -> Dataset:
    """Return an object around stored values (rows, columns), (rows, columns, 3) or (frames, ...)."""
    bits = values.dtype.itemsize * 8
    colour = values.ndim > 2 and values.shape[-1] == 3 and attributes.get("BitsAllocated") != 1
    frames = values.shape[0] if values.ndim == (4 if colour else 3) else 1
    shape = values.shape[-3:-1] if colour else values.shape[-2:]
    dataset = minimal(
        Rows=shape[0], Columns=shape[1], SamplesPerPixel=3 if colour else 1, BitsAllocated=bits, BitsStored=stored,
        HighBit=stored - 1, PixelRepresentation=int(signed),
        PhotometricInterpretation="RGB" if colour else "MONOCHROME2",
    )  # fmt: skip
    if frames > 1:
        dataset.NumberOfFrames = frames
    if colour:
        dataset.PlanarConfiguration = 0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    raw = values.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def written(folder: Path, dataset: Dataset, name: str = "image.dcm") -> tuple[Path, InstanceHeader]:
    """Save an object in explicit VR little endian and scan it."""
    path = folder / name
    path.write_bytes(as_bytes(dataset))
    return path, scan_header(path)
