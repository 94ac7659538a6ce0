"""Model packages: locking a folder of ONNX graphs and plain data, and proving that no byte of it changed.

Nothing here loads a graph or runs anything; ``session.py`` does that, after verification.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from coread.models.errors import DamagedPackage

MANIFEST = "manifest.json"
PROCESS = "process.json"
"""A package whose network runs in an outside program at arm's length describes it here instead of holding a graph."""
PARAMETERS = "parameters.json"
"""The locked numbers of a reader that calculates instead of running a network, or that does both."""
SCHEMA = 1
MAX_FILES = 2000
MAX_FILE_BYTES = 1 << 30
MAX_PACKAGE_BYTES = 4 << 30
_READER_ID = re.compile(r"[a-z][a-z0-9_]{1,39}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODE = (
    ".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat", ".exe", ".js", ".jar",
    ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".ts", ".mar",
)  # fmt: skip
"""Endings of what runs when it is opened, or is unpickled: a package holds graphs and plain data."""
_MEND = "Install the reader again, or lock the package anew after a new validation."


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One file of a package: its path inside the folder (forward slashes) and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A package whose every byte was compared with its manifest."""

    reader_id: str
    version: str
    folder: Path
    files: tuple[PackagedFile, ...]
    card_sha256: str
    digest: str

    def names(self, suffix: str = "") -> tuple[str, ...]:
        """Return the names of the files that end so, sorted."""
        return tuple(item.name for item in self.files if item.name.endswith(suffix))

    def read(self, name: str) -> bytes:
        """Read one file and compare these very bytes with the manifest, so that what is used is what was hashed."""
        wanted = {item.name: item.sha256 for item in self.files}
        if name not in wanted:
            raise DamagedPackage(f"package {self.folder} lists no file {name!r}. {_MEND}")
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != wanted[name]:
            raise DamagedPackage(f"{self.folder / name} is not the file that was locked. {_MEND}")
        return data


def lock_package(folder: Path, card_path: Path) -> ModelPackage:
    """Write manifest.json for what lies in ``folder`` now and return the locked package.

    Raises DamagedPackage when the folder holds links, nothing, or more than the limits.
    """
    reader_id, version = _identity(card_path)
    files = tuple(PackagedFile(name, _sha256(folder / name)) for name in _listing(folder))
    if not any(item.name.endswith(".onnx") or item.name in (PROCESS, PARAMETERS) for item in files):
        raise DamagedPackage(
            f"{folder} holds no .onnx graph and no {PARAMETERS}. Export the network before locking the package."
        )
    card_sha256 = _sha256(card_path)
    digest = package_digest(reader_id, version, card_sha256, files)
    body = {
        "schema": SCHEMA,
        "reader_id": reader_id,
        "version": version,
        "files": {item.name: item.sha256 for item in files},
        "card_sha256": card_sha256,
        "digest": digest,
    }
    _write_atomically(folder / MANIFEST, json.dumps(body, indent=2, sort_keys=True) + "\n")
    return ModelPackage(reader_id, version, folder, files, card_sha256, digest)


def verify_package(folder: Path, card_path: Path) -> ModelPackage:
    """Compare every byte of the package and its card with the manifest; raises DamagedPackage naming the file."""
    locked = _read_manifest(folder)
    present = set(_listing(folder))
    listed = {item.name for item in locked.files}
    if missing := sorted(listed - present):
        raise DamagedPackage(f"{folder / missing[0]} is missing ({len(missing)} missing in all). {_MEND}")
    if extra := sorted(present - listed):
        raise DamagedPackage(f"{folder / extra[0]} is not in the manifest ({len(extra)} extra in all). {_MEND}")
    for item in locked.files:
        if _sha256(folder / item.name) != item.sha256:
            raise DamagedPackage(f"{folder / item.name} is not the file that was locked (SHA-256 differs). {_MEND}")
    if _sha256(card_path) != locked.card_sha256:
        raise DamagedPackage(f"{card_path} is not the card that was locked (SHA-256 differs). {_MEND}")
    identity = _identity(card_path)
    if identity != (locked.reader_id, locked.version):
        raise DamagedPackage(f"{folder / MANIFEST} is for {locked.reader_id} {locked.version}, not {identity}. {_MEND}")
    return locked


def package_digest(reader_id: str, version: str, card_sha256: str, files: tuple[PackagedFile, ...]) -> str:
    """Return the SHA-256 over the canonical listing: one name for the whole package, free of file order."""
    lines = [f"coread package {SCHEMA}", f"reader {reader_id}", f"version {version}", f"card {card_sha256}"]
    lines += [f"{item.sha256}  {item.name}" for item in sorted(files, key=lambda item: item.name)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_manifest(folder: Path) -> ModelPackage:
    path = folder / MANIFEST
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["schema"] != SCHEMA:
            raise DamagedPackage(f"{path} has schema {body['schema']!r}; this version reads schema {SCHEMA}.")
        files = tuple(PackagedFile(_checked_name(name), _hash(sha)) for name, sha in sorted(body["files"].items()))
        reader_id, version, digest = identity_of(body)
        locked = ModelPackage(reader_id, version, folder, files, _hash(body["card_sha256"]), digest)
    except FileNotFoundError as problem:
        raise DamagedPackage(f"{path} is missing: the package was never locked. {_MEND}") from problem
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DamagedPackage(f"{path} cannot be read: {type(problem).__name__}: {problem}. {_MEND}") from problem
    if package_digest(locked.reader_id, locked.version, locked.card_sha256, files) != locked.digest:
        raise DamagedPackage(f"{path} was changed: its digest does not fit its listing. {_MEND}")
    return locked


def identity_of(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return (reader id, version, digest) of a manifest; each becomes part of a path, so ValueError for any other."""
    return *_checked_identity(body), _hash(body["digest"])


def _checked_identity(body: Mapping[str, Any]) -> tuple[str, str]:
    reader_id, version = str(body["reader_id"]), str(body["version"])
    if not _READER_ID.fullmatch(reader_id):
        raise ValueError(f"reader_id {reader_id!r} is not 2 to 40 lower case letters, digits and _")
    if not _VERSION.fullmatch(version):
        raise ValueError(f"version {version!r} is not 1 to 64 letters, digits and . + _ -")
    return reader_id, version


def _hash(text: Any) -> str:
    if not _SHA256.fullmatch(str(text)):
        raise ValueError(f"{text!r} is no SHA-256")
    return str(text)


def _checked_name(name: Any) -> str:
    """A line of the listing is one file: a name that could end its line would let two listings have one digest."""
    path = PurePosixPath(str(name))
    if not str(name).isprintable():
        raise ValueError(f"file name {name!r} has control characters")
    if path.is_absolute() or ".." in path.parts or "\\" in str(name) or str(path) != name:
        raise ValueError(f"file name {name!r} leaves the package")
    return str(name)


def _listing(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DamagedPackage(f"{folder} is not a folder: the reader has no model package. {_MEND}")
    names: list[str] = []
    total = 0
    for entry in _walk(folder):
        size = entry.stat(follow_symlinks=False).st_size
        total += size
        if size > MAX_FILE_BYTES or total > MAX_PACKAGE_BYTES or len(names) >= MAX_FILES:
            raise DamagedPackage(
                f"{entry.path}: package is larger than the limits "
                f"({MAX_FILE_BYTES >> 20} MiB a file, {MAX_PACKAGE_BYTES >> 20} MiB and {MAX_FILES} files in all)."
            )
        names.append(_listed_name(Path(entry.path), folder))
    return tuple(sorted(name for name in names if name != MANIFEST))


def _listed_name(path: Path, folder: Path) -> str:
    if path.suffix.lower() in _CODE:
        raise DamagedPackage(
            f"{path} is code or a pickle: a package holds ONNX graphs and plain data only. Take it out, or import the "
            "weights with `coread models import`."
        )
    try:
        return _checked_name(path.relative_to(folder).as_posix())
    except ValueError as problem:
        raise DamagedPackage(f"{folder}: {problem}. Rename it.") from problem


def _walk(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise DamagedPackage(f"{entry.path} is a link: a package holds plain files only. {_MEND}")
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield entry
            else:
                raise DamagedPackage(f"{entry.path} is not a plain file. {_MEND}")


def _identity(card_path: Path) -> tuple[str, str]:
    try:
        return _checked_identity(tomllib.loads(card_path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as problem:
        raise DamagedPackage(
            f"{card_path}: card cannot be read for reader_id and version ({type(problem).__name__}: {problem})."
        ) from problem


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise DamagedPackage(f"{path} cannot be read: {problem.strerror}. {_MEND}") from problem


def _write_atomically(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
