"""The folder of the store: names that nothing received can choose, and writes that a crash cannot halve.

Names are SHA-256 of UIDs, never the UIDs themselves: a hostile UID is then only a string.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from coread.store.errors import UnsafePath

FOLDERS = ("staging", "studies", "conflicts", "quarantine", "trash")


def free_bytes(folder: Path) -> tuple[int, int]:
    """Return (total, free) bytes of the disk that holds ``folder``."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def name_of(uid: str) -> str:
    """Return the file name that stands for a UID: 40 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(uid.encode()).hexdigest()[:40]


def study_folder(study_uid: str) -> str:
    """Return the folder of everything that belongs to one study, relative to the store."""
    name = name_of(study_uid)
    return f"studies/{name[:2]}/{name}"


def instance_path(study_uid: str, sop_uid: str) -> str:
    """Return where the bytes of a received instance lie."""
    return f"{study_folder(study_uid)}/instances/{name_of(sop_uid)}.dcm"


def evidence_path(study_uid: str, sop_uid: str) -> str:
    """Return where the bytes of an evidence object lie."""
    return f"{study_folder(study_uid)}/evidence/{name_of(sop_uid)}.dcm"


def arrays_path(study_uid: str, work_id: int) -> str:
    """Return where the arrays of a reading lie."""
    return f"{study_folder(study_uid)}/results/{work_id}.npz"


def version_path(study_uid: str, work_id: int, version: int) -> str:
    """Return where the arrays of a corrected version of a reading lie."""
    return f"{study_folder(study_uid)}/results/{work_id}.v{version}.npz"


def conflict_path(study_uid: str, sop_uid: str, sha256: str) -> str:
    """Return where an object that contradicts a stored one is kept aside."""
    return f"conflicts/{name_of(study_uid)}/{name_of(sop_uid)}-{name_of(sha256)[:16]}.dcm"


def trash_folder(study_uid: str) -> str:
    """Return where a removed study waits for its end."""
    return f"trash/{name_of(study_uid)}"


def safe_join(folder: Path, relative: str) -> Path:
    """Join and refuse everything that could lead outside ``folder``."""
    parts = PurePosixPath(relative)
    if not relative or parts.is_absolute() or ".." in parts.parts or "\\" in relative or "\0" in relative:
        raise UnsafePath(f"{relative!r} is not a path below the store's folder")
    return folder.joinpath(*parts.parts)


def sync_folders(folders: Iterable[Path]) -> None:
    """Bring new names of these folders to the disk."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file(path: Path) -> None:
    """Bring the bytes of a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, *, durable: bool) -> None:
    """Create a folder with its parents; durable names are synced upwards to the first that existed."""
    missing = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    if durable and missing:
        sync_folders({created.parent for created in missing})


def write_file(target: Path, data: bytes, *, durable: bool) -> None:
    """Write a whole file or nothing: a temporary name, the bytes, then one rename."""
    make_folder(target.parent, durable=durable)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fdatasync(stream.fileno())
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folders([target.parent])


def link_or_copy(source: Path, target: Path, *, durable: bool) -> None:
    """Give the bytes a second name; file systems without hard links get a copy.

    The first name is removed only after the index has committed, so there is no moment at which the
    bytes have neither a row nor a name that recovery looks at.
    """
    try:
        target.hardlink_to(source)
    except FileExistsError:
        if not target.samefile(source):
            _replace(source, target)
    except FileNotFoundError:
        if not target.is_file():  # another process may have recovered and placed it meanwhile
            raise
    except OSError:
        write_file(target, source.read_bytes(), durable=durable)


def _replace(source: Path, target: Path) -> None:
    """Put these bytes in the place of what a crash left there: it was never indexed."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    partial.hardlink_to(source)
    partial.replace(target)


def same_bytes(path: Path, sha256: str) -> bool:
    """Say whether a file is there and has this digest."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
