"""The files of a cohort: a plain file, a member of a zip archive, or one array of an .npz file, as bytes or pixels.

Archives stay open for the life of a ``Sources``; every read can be compared with the digest that was frozen.
"""

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from coread.validate.errors import BadCohort, CohortChanged

_ARRAY = re.compile(r"(?P<file>.+\.npz)#(?P<key>[^\[\]]+)(\[(?P<index>\d+)\])?")
_DICOM_MARK = slice(128, 132)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where something lies: ``file`` below the root, then a member of a zip, or a key (and index) of an .npz."""

    text: str
    file: str
    member: str = ""
    key: str = ""
    index: int | None = None

    @property
    def is_array(self) -> bool:
        """Whether it names an array and not the bytes of a file."""
        return bool(self.key)


def reference_of(text: str) -> Reference:
    """Read ``folder/a.png``, ``images.zip!a.png`` or ``slices.npz#images[12]``; refuses paths that leave the root."""
    plain = text.strip()
    array = _ARRAY.fullmatch(plain)
    if array is not None:
        index = None if array["index"] is None else int(array["index"])
        reference = Reference(plain, array["file"], key=array["key"], index=index)
    else:
        file, _, member = plain.partition("!")
        reference = Reference(plain, file, member=member)
    path = Path(reference.file)
    if not reference.file or path.is_absolute() or ".." in path.parts:
        raise BadCohort(f"path {text!r} is empty or leaves the root of the cohort. Write it relative to the root.")
    return reference


def references_of(text: str, root: Path) -> tuple[Reference, ...]:
    """Read one item of ``files``: what ends with ``/`` stands for all files below a folder (of an archive), by name."""
    plain = text.strip()
    if not plain.endswith("/"):
        return (reference_of(plain),)
    if "!" in plain:
        file, _, prefix = plain.partition("!")
        names = [f"{file}!{name}" for name in _members(root / reference_of(file).file) if name.startswith(prefix)]
    else:
        folder = root / reference_of(plain.rstrip("/")).file
        names = [path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = tuple(reference_of(name) for name in sorted(names) if not Path(name).name.startswith("."))
    if not found:
        raise BadCohort(f"there is no file below {plain!r}.")
    return found


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile) as problem:
        raise BadCohort(f"{path} cannot be read: {type(problem).__name__}: {problem}.") from problem


class Sources:
    """Reads references below one root; a context manager that closes its archives."""

    def __init__(self, root: Path, frozen: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._frozen = frozen
        self._zips: dict[str, zipfile.ZipFile] = {}
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archives and let go of the arrays."""
        for archive in self._zips.values():
            archive.close()
        self._zips.clear()
        self._arrays.clear()

    def path(self, reference: Reference) -> Path | None:
        """Return where a plain file lies, or None for members and arrays."""
        return None if reference.member or reference.is_array else self._root / reference.file

    def read(self, reference: Reference) -> bytes:
        """Return the bytes of a file or member, compared with the frozen digest where there is one."""
        try:
            if reference.member:
                data = self._zip(reference.file).read(reference.member)
            else:
                data = (self._root / reference.file).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as problem:
            raise self._missing(reference, problem) from problem
        self._compare(reference, hashlib.sha256(data).hexdigest())
        return data

    def array(self, reference: Reference) -> NDArray[Any]:
        """Return one array (or item of it) of an .npz file, compared with the frozen digest where there is one."""
        try:
            whole = self._array(reference.file, reference.key)
            values = whole if reference.index is None else whole[reference.index]
        except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile) as problem:
            raise self._missing(reference, problem) from problem
        self._compare(reference, array_digest(values))
        return np.asarray(values)

    def digest(self, reference: Reference) -> str:
        """Return the SHA-256 of what a reference names."""
        if reference.is_array:
            return array_digest(self.array(reference))
        if reference.member:
            return hashlib.sha256(self.read(reference)).hexdigest()
        try:
            with (self._root / reference.file).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as problem:
            raise self._missing(reference, problem) from problem

    def prove(self, reference: Reference) -> None:
        """Compare the bytes of a file with the frozen digest without keeping them; raises CohortChanged."""
        self._compare(reference, self.digest(reference))

    def _zip(self, file: str) -> zipfile.ZipFile:
        with self._opening:
            if file not in self._zips:
                self._zips[file] = zipfile.ZipFile(self._root / file)
            return self._zips[file]

    def _array(self, file: str, key: str) -> NDArray[Any]:
        with self._opening:
            if (file, key) not in self._arrays:
                with np.load(self._root / file, allow_pickle=False) as archive:
                    self._arrays[file, key] = archive[key]
            return self._arrays[file, key]

    def _compare(self, reference: Reference, digest: str) -> None:
        wanted = None if self._frozen is None else self._frozen.get(reference.text)
        if wanted is not None and wanted != digest:
            raise CohortChanged(f"{reference.text} is not the file that was frozen (SHA-256 differs).")

    def _missing(self, reference: Reference, problem: Exception) -> BadCohort:
        return BadCohort(
            f"{reference.text} cannot be read below {self._root}: {type(problem).__name__}: {problem}. "
            "Correct the path in cohort.csv or the root."
        )


def array_digest(values: NDArray[Any]) -> str:
    """Return the SHA-256 over type, shape and bytes of an array."""
    plain = np.ascontiguousarray(values)
    head = f"{plain.dtype.str} {plain.shape} ".encode()
    return hashlib.sha256(head + plain.tobytes()).hexdigest()


def is_dicom(data: bytes) -> bool:
    """Say whether bytes are a DICOM file of PS3.10."""
    return data[_DICOM_MARK] == b"DICM"


def mask_of(data: bytes, value: int | None = None) -> NDArray[np.bool_]:
    """Decode a mask picture: what is not black is inside, or only the pixels of one ``value``."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("L") if image.mode not in ("I;16", "I") else image)
    return np.asarray(pixels == value if value is not None else pixels > _background(pixels))


def _background(pixels: NDArray[Any]) -> int:
    """Return the highest value that still is background: masks stored as JPEG hold noise around black and white."""
    noisy = pixels.dtype == np.uint8 and pixels.size and int(pixels.max()) >= 200 and len(np.unique(pixels)) > 2
    return 127 if noisy else 0
