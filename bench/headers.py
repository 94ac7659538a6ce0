"""Header reading against pydicom, on one machine in one run: prints milliseconds per file and the ratio.

python bench/headers.py FOLDER      (any folder of DICOM files; phantoms are made when none is given)
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pydicom

from coread.imaging.header import HEAD_BYTES, scan_header, scan_header_bytes
from coread.imaging.objects import read_meta
from coread.phantoms.ct import CtRecipe, ct_series

ROUNDS = 9


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = found(Path(sys.argv[1])) if len(sys.argv) > 1 else made(Path(folder))
        heads = [path.read_bytes()[:HEAD_BYTES] for path in files]
        datasets = []
        for head, path in zip(heads, files, strict=True):
            meta = read_meta(head, path.stat().st_size)
            datasets.append((head[meta.start :], meta.transfer_syntax_uid, path.stat().st_size - meta.start))
        ours = measure(lambda: [scan_header(path) for path in files], len(files))
        bytes_only = measure(lambda: [scan_header_bytes(h, s, total=n) for h, s, n in datasets], len(files))
        theirs = measure(lambda: [pydicom.dcmread(path, stop_before_pixels=True) for path in files], len(files))
        full = measure(lambda: [pydicom.dcmread(path) for path in files], len(files))
        print(f"{len(files)} files, median of {ROUNDS} rounds, warm")
        print(f"scan_header                  {ours:7.3f} ms")
        print(f"scan_header_bytes            {bytes_only:7.3f} ms")
        print(f"dcmread stop_before_pixels   {theirs:7.3f} ms   {theirs / ours:5.2f} x scan_header")
        print(f"dcmread                      {full:7.3f} ms   {full / ours:5.2f} x scan_header")


def measure(work: Callable[[], object], count: int) -> float:
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) / count * 1000)
    return statistics.median(times)


def found(folder: Path) -> list[Path]:
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            files.append(path)
    return files


def made(folder: Path) -> list[Path]:
    files = []
    for number, dataset in enumerate(ct_series(CtRecipe(rows=256, columns=256, slices=60))):
        path = folder / f"{number:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


if __name__ == "__main__":
    main()
