"""Decoding against pydicom's default plug-in, per transfer syntax, in one run: milliseconds and ratio.

Both sides start from the file and end with the array. Images: a CT phantom slice of 512 x 512 and a chest
phantom of 2048 x 2048, both 12 bits; every syntax is first checked to give equal values on both sides.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, RLELossless

from coread.imaging.decode import decode_frames
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.ct import CtRecipe, ct_series

ROUNDS = 5
ENCODERS: dict[str, tuple[str, Callable[[NDArray[Any]], bytes | bytearray]]] = {
    "JPEG 2000 lossless": (
        "1.2.840.10008.1.2.4.90",
        lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k"),
    ),
    "HTJ2K lossless": ("1.2.840.10008.1.2.4.201", lambda a: imagecodecs.htj2k_encode(a, reversible=True)),
    "JPEG-LS lossless": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
    "JPEG lossless SV1": ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16)),
}


def main() -> None:
    recipe = CtRecipe(rows=512, columns=512, slices=1, spacing_mm=(0.7, 0.7))
    images = {"ct512": ct_series(recipe)[0], "dx2048": chest_radiograph(ChestRecipe(rows=2048)).dataset}
    print(f"median of {ROUNDS} rounds, warm; ms per image; ratio = pydicom / ours")
    with tempfile.TemporaryDirectory() as folder:
        for name, dataset in images.items():
            for syntax, path in written(dataset, Path(folder)):
                compare(f"{name:7s} {syntax:20s}", path)


def written(dataset: Dataset, folder: Path) -> list[tuple[str, Path]]:
    values = np.frombuffer(dataset.PixelData, dtype="<u2").reshape(dataset.Rows, dataset.Columns)
    paths = [("uncompressed", save(dataset, folder / "plain.dcm"))]
    for name, (uid, encode) in ENCODERS.items():
        compressed = pydicom.dcmread(folder / "plain.dcm")
        compressed.file_meta.TransferSyntaxUID = UID(uid)
        compressed.PixelData = encapsulate([bytes(encode(np.ascontiguousarray(values)))])
        compressed["PixelData"].VR = "OB"
        compressed["PixelData"].is_undefined_length = True
        paths.append((name, save(compressed, folder / f"{uid}.dcm")))
    rle = pydicom.dcmread(folder / "plain.dcm")
    rle.compress(RLELossless)
    paths.append(("RLE", save(rle, folder / "rle.dcm")))
    return paths


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def compare(label: str, path: Path) -> None:
    values = decode_frames(path)[0]
    try:
        equal = np.array_equal(values, theirs(path))
    except RuntimeError:
        measured = statistics.median(timed(ours, path) for _ in range(ROUNDS))
        print(f"{label} ours {measured:8.2f}   pydicom has no plug-in for it here")
        return
    pairs = [(timed(ours, path), timed(theirs, path)) for _ in range(ROUNDS)]
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{label} ours {a:8.2f}   pydicom {b:8.2f}   ratio {b / a:5.2f}   equal {equal}")


def ours(path: Path) -> NDArray[Any]:
    # A copy, so that an uncompressed frame is read and not only mapped.
    return np.array(decode_frames(path)[0])


def theirs(path: Path) -> NDArray[Any]:
    return np.array(pydicom.dcmread(path).pixel_array)


def timed(work: Callable[[Path], object], path: Path) -> float:
    start = time.perf_counter()
    work(path)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
