"""Writing of files that are whole or not there: beside, synced, renamed, and the folder synced too."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: str | bytes, *, mode: int = 0o644) -> Path:
    """Write a file completely or leave what was there; survives a power cut."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    raw = data.encode() if isinstance(data, str) else data
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def write_json(path: Path, body: Mapping[str, Any], *, mode: int = 0o644) -> Path:
    """Write one JSON document in a stable form."""
    return write_whole(path, json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n", mode=mode)


def canonical(body: Any) -> bytes:
    """Return the one byte sequence that is hashed or signed for a JSON value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_tree_whole(source: Path, target: Path) -> None:
    """Copy plain files into a folder that does not exist yet, synced; links are copied as links and refused later."""
    shutil.copytree(source, target, symlinks=True)
    for path in sorted(target.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
