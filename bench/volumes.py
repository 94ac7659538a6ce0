"""From the files of a CT series to a float32 volume: ours, pydicom's pixel_array in two loops, SimpleITK's reader.

python bench/volumes.py [SLICES] [ROUNDS]       (512 x 512 slices, default 300, 5 rounds)

All three start from the paths and end with Hounsfield units in one float32 array; ours includes scanning the headers,
splitting and every check. Turns alternate, so all meet the same load; the ratio is of medians in one run.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from coread.domain.identifiers import derived_uid
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.ct import CtRecipe, ct_series

FLOATS = NDArray[np.float32]
JPEG_LS = "1.2.840.10008.1.2.4.80"


def main() -> None:
    slices = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as name:
        plain = written(Path(name) / "plain", slices)
        compare(f"{slices} slices of 512 x 512, uncompressed", plain, rounds, with_itk=True)
        packed = compressed(plain, Path(name) / "packed")
        compare(f"{slices} slices of 512 x 512, JPEG-LS lossless", packed, max(1, rounds // 2), with_itk=False)


def written(folder: Path, slices: int) -> list[Path]:
    """Write a series; its planes repeat after 20, which no reader notices."""
    folder.mkdir()
    drawn = ct_series(CtRecipe(rows=512, columns=512, slices=20, spacing_mm=(0.7, 0.7), gap_mm=0.6))
    files = []
    for k in range(slices):
        dataset = drawn[k % len(drawn)]
        dataset.InstanceNumber, dataset.ImagePositionPatient = k + 1, ["-170", "-170", f"{k * 0.6:.1f}"]
        dataset.SOPInstanceUID = UID(derived_uid("bench-volume", str(k)))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        files.append(folder / f"{k:05d}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def compressed(files: list[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    done = []
    for path in files:
        dataset: Dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = UID(JPEG_LS)
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(512, 512)
        dataset.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(values))])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        done.append(folder / path.name)
        dataset.save_as(done[-1], enforce_file_format=True)
    return done


def compare(title: str, files: list[Path], rounds: int, *, with_itk: bool) -> None:
    readers: dict[str, Callable[[list[Path]], FLOATS]] = {
        "coread": ours,
        "pydicom, stacked": by_pydicom_stacked,
        "pydicom, in place": by_pydicom,
    }
    if with_itk:
        readers["SimpleITK series"] = by_itk
    values = {name: read(files) for name, read in readers.items()}  # warm, and proof that all read the same
    same = all(np.array_equal(values["coread"], other) for other in values.values())
    values.clear()
    clock: dict[str, list[float]] = {name: [] for name in readers}
    work: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            wall, cpu = time.perf_counter(), processor()
            read(files)
            clock[name].append(time.perf_counter() - wall)
            work[name].append(processor() - cpu)
    print(f"{title}: median of {rounds}, load {os.getloadavg()[0]:.1f}, equal values {same}")
    for name in readers:
        seconds, cpu = statistics.median(clock[name]), statistics.median(work[name])
        ratio = seconds / statistics.median(clock["coread"]), cpu / statistics.median(work["coread"])
        print(f"  {name:17s} {seconds:7.3f} s   {ratio[0]:6.2f} x   processor {cpu:7.3f} s   {ratio[1]:6.2f} x")


def processor() -> float:
    spent = os.times()
    return spent.user + spent.system


def ours(files: list[Path]) -> FLOATS:
    return load_volume([(path, scan_header(path)) for path in files]).voxels


def by_pydicom(files: list[Path]) -> FLOATS:
    """The loop of somebody who minds memory: one float32 array, each slice rescaled into it."""
    images = sorted((pydicom.dcmread(path) for path in files), key=lambda image: float(image.ImagePositionPatient[2]))
    volume = np.empty((len(images), images[0].Rows, images[0].Columns), dtype=np.float32)
    for k, image in enumerate(images):
        volume[k] = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    return volume


def by_pydicom_stacked(files: list[Path]) -> FLOATS:
    """The loop of most tutorials: read all, sort, stack the rescaled slices, then float32."""
    images = [pydicom.dcmread(path) for path in files]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    planes = [image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images]
    return np.stack(planes).astype(np.float32)


def by_itk(files: list[Path]) -> FLOATS:
    reader = SimpleITK.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(files[0].parent))
    reader.SetFileNames(names)
    return np.asarray(SimpleITK.GetArrayFromImage(reader.Execute()), dtype=np.float32)


if __name__ == "__main__":
    main()
