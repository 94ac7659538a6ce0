"""An uncompressed object written in another uncompressed transfer syntax, bit for bit the same values.

Compressed pixels are never touched here: what the peer does not take as it is stored is reported, not recoded.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from coread.deliver.contexts import DEFLATED, Outgoing

_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def write_plain(source: Path, target: Path, transfer_syntax_uid: str) -> None:
    """Write ``source`` to ``target`` in Implicit or Explicit VR Little Endian (PS3.5 annexes A.1, A.2)."""
    from pydicom import dcmread
    from pydicom.uid import UID, ExplicitVRBigEndian

    dataset = dcmread(source)
    swap = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    plain = _decoded_copy(dataset, swap=swap)
    plain.file_meta = dataset.file_meta
    plain.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    plain.save_as(target, enforce_file_format=True)


@contextmanager
def padded(file: Outgoing) -> Iterator[Path]:
    """Yield a path whose data set has an even length, as every fragment on the wire must (PS3.8 annex E.1).

    Only a deflated data set can be odd; a NULL byte after its stream is allowed (PS3.5 annex A.5).
    """
    if file.transfer_syntax_uid != DEFLATED or not _is_odd(file.path):
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="coread-send-") as folder:
        copy = Path(folder) / "even.dcm"
        shutil.copyfile(file.path, copy)
        with copy.open("ab") as end:
            end.write(b"\0")
        yield copy


def _is_odd(path: Path) -> bool:
    """Say whether the bytes after the file meta information are of odd length.

    Preamble, prefix and every element of the group are of even length, so the whole file tells (PS3.10 section 7.1).
    """
    return path.stat().st_size % 2 == 1


def _decoded_copy(dataset: Any, *, swap: bool) -> Any:
    """Return a data set of decoded elements: pydicom would write raw ones with the bytes that they came with."""
    from pydicom import DataElement, Dataset, Sequence

    copy = Dataset()
    for element in dataset:
        value = element.value
        if element.VR == "SQ":
            value = Sequence([_decoded_copy(item, swap=swap) for item in value])
        elif swap and element.VR in _WORD_BYTES and isinstance(value, bytes):
            value = (
                np.frombuffer(value, f">u{_WORD_BYTES[element.VR]}").astype(f"<u{_WORD_BYTES[element.VR]}").tobytes()
            )
        copy.add(DataElement(element.tag, element.VR, value))
    return copy
