"""HDF5 files of strangers: opened read-only, and nothing in them may point at another file."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from coread.domain.errors import CoreadError
from coread.imaging.errors import BadHeader, NotRawData, Truncated

MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_CHUNK_BYTES = 512 << 20
"""A chunk is unpacked whole to read one value of it, however short the table is."""
MOST_TEXT_BYTES = 8 << 20
_MOST_ATTRIBUTE_BYTES = 1 << 16


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


@contextmanager
def opened(source: Path | IO[bytes]) -> Iterator[Any]:
    """Open a file, which may have no name, to read; raises Truncated or NotRawData, for later damage too."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            yield file
    except CoreadError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as problem:
        # TypeError and ValueError: HDF5 has kinds of values that NumPy has none for, and h5py says so with these.
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
    if isinstance(found, h5py.Dataset) and found.chunks is not None:
        chunk = math.prod(found.chunks) * found.dtype.itemsize
        if chunk > MOST_CHUNK_BYTES:
            raise BadHeader(f"{name!r} comes in pieces of {chunk / 2**30:.1f} GiB")
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


def text_attributes(file: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Return those of the named attributes of a file that are short texts; no other one is read."""
    found = {name: file.attrs[name] for name in names if name in file.attrs and _is_short(file, name)}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _is_short(file: Any, name: str) -> bool:
    return bool(file.attrs.get_id(name).get_storage_size() <= _MOST_ATTRIBUTE_BYTES)


def text_of(dataset: Any) -> bytes:
    """Return the bytes of a text that is stored as a value or as an array of one; raises BadHeader."""
    import h5py
    import numpy as np

    # What it claims to be is looked at before it is read: a table of nothing may claim any size.
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.itemsize > MOST_TEXT_BYTES:
        raise BadHeader("the XML header is not one text")
    value = dataset[()]
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0]
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if not isinstance(value, bytes):
        raise BadHeader("the XML header is not a text")
    return bytes(value)
