"""HDF5 files of strangers: opened read-only, and nothing in them may point at another file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coread.imaging.errors import BadHeader, NotRawData, Truncated

MAGIC = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file for reading; raises Truncated or NotRawData, also for damage that shows only later."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as problem:
        text = str(problem)
        if "truncated" in text or "past end" in text or "addr overflow" in text:
            raise Truncated("the HDF5 file ends before it says it does") from problem
        raise NotRawData(f"the HDF5 file cannot be read ({type(problem).__name__})") from problem


def member(group: Any, name: str) -> Any:
    """Return a member of a group, ``None`` where there is none; raises BadHeader when it lies in another file."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise BadHeader(f"{name!r} is a link; only what lies in the file itself is read")
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.external is not None or found.is_virtual):
        raise BadHeader(f"{name!r} keeps its values in another file; they are not read")
    return found


def ismrmrd_group(file: Any) -> Any:
    """Return the one group that holds ``xml`` and ``data``; ``None`` where there is none.

    Raises NotRawData when several do: nothing says which one is meant.
    """
    import h5py

    found = []
    for name in file:
        group = member(file, name) if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
        if isinstance(group, h5py.Group) and "xml" in group and "data" in group:
            found.append(group)
    if len(found) > 1:
        names = ", ".join(str(group.name) for group in found[:5])
        raise NotRawData(f"the file holds {len(found)} acquisitions ({names}); give them one by one")
    return found[0] if found else None


def text_of(dataset: Any) -> bytes:
    """Return the bytes of a text that is stored as a value or as an array of one; raises BadHeader."""
    import numpy as np

    value = dataset[()]
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise BadHeader("the XML header is not one text")
        value = value.reshape(-1)[0]
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if not isinstance(value, bytes):
        raise BadHeader("the XML header is not a text")
    return bytes(value)
