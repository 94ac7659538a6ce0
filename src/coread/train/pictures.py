"""Opens the images that the rows of an index name: files, members of archives, entries of arrays, frames of films.

A place is ``file``, ``archive.zip!member``, ``arrays.npz!name`` or ``volume.h5!dataset``, each with ``#5`` for entry 5
(from 0) along the first axis, or frame 5 of a film or of a DICOM object.
"""

import gzip
import hashlib
import io
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.train.datasets import OWN, ImageIndex
from coread.train.errors import CorruptImage, DataMissing, MissingExtra, is_of_the_machine

Pixels = NDArray[Any]
"""(rows, columns), (rows, columns, 3), or with a leading axis of slices or frames; values as stored."""
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
NIFTI = (".nii", ".nii.gz")
FILMS = (".avi", ".mp4", ".mov", ".mkv")
ARRAYS = (".npy", ".npz")
_HDF5 = (".h5", ".hdf5")
_CACHED = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A path of a row taken apart; ``entry`` is -1 where the whole is meant."""

    file: str
    member: str
    entry: int

    @classmethod
    def of(cls, path: str) -> "Place":
        """Take a path apart; ``#`` counts only before a whole number at the end."""
        stem, mark, number = path.rpartition("#")
        whole, entry = (stem, int(number)) if mark and number.isdigit() else (path, -1)
        file, _, member = whole.partition("!")
        return cls(file, member, entry)


def digested_whole(path: str) -> bool:
    """Say whether the digest of this entry or frame is that of its whole file, so that all its frames share it."""
    place = Place.of(path)
    return place.entry >= 0 and not place.member and not place.file.lower().endswith(ARRAYS)


class PictureStore:
    """Reads images below a root; keeps archives open and a few arrays in memory. Safe to use from several threads."""

    def __init__(self, root: Path, own: Path | None = None) -> None:
        self._root, self._own = root, own if own is not None else root
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._arrays: dict[tuple[Path, str], Pixels] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, index: ImageIndex) -> "PictureStore":
        """Return the store of a data set's images."""
        return cls(index.root, index.folder)

    def __enter__(self) -> "PictureStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archives."""
        for archive in self._archives.values():
            archive.close()
        self._archives.clear()
        self._arrays.clear()

    def file(self, path: str) -> Path:
        """Return the file or archive that holds an image; raises DataMissing when it is not there."""
        name = Place.of(path).file
        found = self._own / name.removeprefix(OWN) if name.startswith(OWN) else self._root / name
        if not found.exists():
            raise DataMissing(f"{found} is not there")
        return found

    def data(self, path: str) -> bytes:
        """Return the bytes of a file or member as stored; of an entry, the bytes of its numbers."""
        place, file = Place.of(path), self.file(path)
        if place.entry >= 0 and _ending(file.name) in (*ARRAYS, *_HDF5):
            return np.ascontiguousarray(self.pixels(path)).tobytes()
        if file.suffix.lower() == ".zip":
            return self._member(file, place.member)
        return file.read_bytes()

    def sha256(self, path: str) -> str:
        """Return the SHA-256 over what ``data`` returns, without holding a large file in memory."""
        place, file = Place.of(path), self.file(path)
        if file.is_file() and not place.member and _ending(file.name) not in ARRAYS:
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        if file.is_dir():
            return _digest_of_folder(file)
        return hashlib.sha256(self.data(path)).hexdigest()

    def pixels(self, path: str) -> Pixels:
        """Return the stored values of an image. Raises DataMissing, CorruptImage."""
        try:
            return self._decoded(path)
        except (DataMissing, MissingExtra):
            raise
        except Exception as problem:
            if is_of_the_machine(problem):
                raise
            raise CorruptImage(f"{path} cannot be decoded: {type(problem).__name__}: {problem}") from problem

    def _decoded(self, path: str) -> Pixels:
        place, file = Place.of(path), self.file(path)
        name = place.member if file.suffix.lower() == ".zip" else file.name
        ending = _ending(name)
        if file.is_dir():
            return _folder_of_slices(file)
        if ending == ".npz":
            return _entry(self._array(file, place.member), place.entry)
        if ending in _HDF5:
            return _hdf5(file, place.member, place.entry)
        if ending in FILMS:
            return _film(file, place.entry)
        if ending == ".mhd":
            return _entry(_meta_image(file), place.entry)
        if ending in PICTURES:
            return _picture(self.data(path.rpartition("#")[0] if place.entry >= 0 else path))
        readers: dict[str, Callable[[bytes], Pixels]] = {".npy": _npy, ".nii": _nifti, ".nii.gz": _nifti}
        whole = f"{place.file}!{place.member}" if place.member else place.file
        if ending in readers:
            return _entry(readers[ending](self.data(whole)), place.entry)
        return _dicom(self.data(whole), place.entry) if place.member else _dicom_file(file, place.entry)

    def _array(self, file: Path, member: str) -> Pixels:
        with self._lock:
            if (file, member) not in self._arrays:
                with np.load(file, allow_pickle=False) as opened:
                    if member not in opened.files:
                        raise DataMissing(f"{file} has no array {member!r}; it has {', '.join(opened.files)}")
                    if len(self._arrays) >= _CACHED:
                        self._arrays.pop(next(iter(self._arrays)))
                    self._arrays[file, member] = opened[member]
            return self._arrays[file, member]

    def _member(self, file: Path, member: str) -> bytes:
        with self._lock:
            if file not in self._archives:
                try:
                    self._archives[file] = zipfile.ZipFile(file)
                except zipfile.BadZipFile as problem:
                    raise CorruptImage(f"{file} is no zip archive: {problem}") from problem
            archive = self._archives[file]
        try:
            return archive.read(member)
        except KeyError as problem:
            raise DataMissing(f"{file} has no member {member}") from problem
        except (zipfile.BadZipFile, EOFError, OSError) as problem:
            raise CorruptImage(f"{file}!{member} is damaged: {problem}") from problem


def _ending(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix


def _entry(values: Pixels, entry: int) -> Pixels:
    return values if entry < 0 else np.asarray(values[entry])


def _picture(data: bytes) -> Pixels:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("L", "RGB", "I;16", "I", "F"):
            return np.asarray(image)
        return np.asarray(image.convert("L" if image.mode in ("1", "LA") else "RGB"))


def _npy(data: bytes) -> Pixels:
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _nifti(data: bytes) -> Pixels:
    """Return (slices, columns, rows) so that the first axis runs through the slices."""
    try:
        import nibabel
    except ImportError as problem:
        raise MissingExtra("NIfTI needs nibabel: pip install 'coread[train]'") from problem
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return np.moveaxis(np.asanyarray(nibabel.Nifti1Image.from_bytes(raw).dataobj), 2, 0)


def _hdf5(file: Path, member: str, entry: int) -> Pixels:
    try:
        import h5py
    except ImportError as problem:
        raise MissingExtra("HDF5 needs h5py: pip install 'coread[train]'") from problem
    with h5py.File(file, "r") as opened:
        if member not in opened:
            raise DataMissing(f"{file} has no data set {member!r}; it has {', '.join(opened)}")
        return np.asarray(opened[member][entry] if entry >= 0 else opened[member][()])


def _film(file: Path, entry: int) -> Pixels:
    """Return (frames, rows, columns, 3) red, green, blue, or one frame."""
    try:
        import cv2
    except ImportError as problem:
        raise MissingExtra("films need OpenCV: pip install 'coread[video]'") from problem
    capture = cv2.VideoCapture(str(file))
    frames: list[Pixels] = []
    count = 0
    try:
        while entry < 0 or count <= entry:
            more, frame = capture.read()
            if not more:
                break
            if entry in (-1, count):
                frames.append(frame)
            count += 1
    finally:
        capture.release()
    if not frames:
        raise CorruptImage(f"{file} has {count} readable frames" + (f", not {entry + 1}" if entry >= 0 else ""))
    found = np.stack(frames)[..., ::-1]
    return np.ascontiguousarray(found[0] if entry >= 0 else found)


_META_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def meta_header(file: Path) -> dict[str, str]:
    """Return the fields of a MetaImage header (``.mhd``)."""
    pairs = (line.split("=", 1) for line in file.read_text(encoding="latin-1").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _meta_image(file: Path) -> Pixels:
    import zlib

    header = meta_header(file)
    shape = tuple(int(size) for size in reversed(header["DimSize"].split()))
    order = ">" if header.get("BinaryDataByteOrderMSB", "False") == "True" else "<"
    raw = (file.parent / header["ElementDataFile"]).read_bytes()
    data = zlib.decompress(raw) if header.get("CompressedData", "False") == "True" else raw
    return np.frombuffer(data, dtype=order + _META_TYPES[header["ElementType"]]).reshape(shape)


def _dicom_file(file: Path, entry: int) -> Pixels:
    from coread.imaging.decode import decode_frames

    found = decode_frames(file, [entry + 1] if entry >= 0 else None)
    return found[0] if len(found) == 1 else found


def _dicom(data: bytes, entry: int) -> Pixels:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as copy:
        copy.write(data)
        copy.flush()
        return np.array(_dicom_file(Path(copy.name), entry))


def _folder_of_slices(folder: Path) -> Pixels:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() == ".dcm")
    if not files:
        raise DataMissing(f"{folder} holds no .dcm files")
    return np.stack([_dicom_file(file, -1) for file in files])


def _digest_of_folder(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
