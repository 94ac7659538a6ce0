"""Raw MR data inside a DICOM Raw Data Storage object (PS3.3 A.37), byte for byte, and out of it again.

The file stands in one private element (creator ``COREAD RAW``) with its SHA-256. All identifiers come from that digest,
so the same file always gives the same object. Samples are streamed: neither way holds the file in memory.
"""

import hashlib
import io
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from coread.domain.identifiers import derived_uid
from coread.domain.kspace import RAW_DATA_STORAGE, KSpace, RawHeader
from coread.imaging.errors import BadHeader, ImagingRefused, NotRawData, RawObjectTooLarge, Truncated
from coread.imaging.mr.files import cfl, fastmri, ismrmrd, numpy_file
from coread.imaging.mr.files.flexible_header import parsed_header
from coread.imaging.mr.files.hdf5 import is_hdf5, ismrmrd_group, member, opened, text_of
from coread.imaging.mr.files.room import RoomLimits, file_digest

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

CREATOR = "COREAD RAW"
GROUP = 0x7FE1
"""Above Pixel Data, so that the header of the object is read without walking over the samples."""
FORMAT, DIGEST, SIZE, BYTES = 0x01, 0x02, 0x03, 0x10
MOST_BYTES = 0xFFFFFFFE
CREATOR_VERSION_UID = derived_uid("coread", "raw data object", "1")
NO_DATE = "19000101"
"""Content Date is obligatory: this stands where the raw data state none, and no date of ours is put in its place."""
_EXPLICIT = "1.2.840.10008.1.2.1"
_IMPLICIT = "1.2.840.10008.1.2"
_COPY_BYTES = 1 << 20
_SYNTHETIC = "SYNTHETIC"


def is_dicom(path: Path) -> bool:
    """Say whether a file is a DICOM Part 10 file."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def is_raw_file(path: Path) -> bool:
    """Say whether a file is HDF5, which is the form in which raw data come in over a folder."""
    return path.is_file() and is_hdf5(path)


def wrapped(source: KSpace | Path) -> "Dataset":
    """Return the object around a file, or around the ISMRMRD file of an acquisition, its bytes in memory.

    Raises ImagingRefused for what holds no raw data or is too large.
    """
    with _as_hdf5(source) as path:
        dataset = _without_bytes(path)
        raw = path.read_bytes()
    dataset.private_block(GROUP, CREATOR).add_new(BYTES, "OB", raw + b"\0" * (len(raw) % 2))
    return dataset


def write_wrapped(source: KSpace | Path, target: Path) -> str:
    """Write the object as a Part 10 file; return its SOP Instance UID. The file appears whole or not at all.

    The samples are the last element (PS3.5 7.1: elements ascend), so they are appended without being held in memory.
    """
    partial = target.with_name(f"{target.name}.part")
    try:
        with _as_hdf5(source) as path:
            dataset = _without_bytes(path)
            dataset.save_as(partial, enforce_file_format=True)
            with partial.open("ab") as out, path.open("rb") as raw:
                size = path.stat().st_size
                out.write(struct.pack("<HH2sHL", GROUP, 0x1000 | BYTES, b"OB", 0, size + size % 2))
                shutil.copyfileobj(raw, out, _COPY_BYTES)
                out.write(b"\0" * (size % 2))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return str(dataset.SOPInstanceUID)


def _without_bytes(path: Path) -> "Dataset":
    size, digest = path.stat().st_size, file_digest(path)
    if size > MOST_BYTES:
        raise RawObjectTooLarge(f"{size / 2**30:.1f} GiB; a DICOM element holds less than 4 GiB")
    form, header = _header_of(path)
    dataset = _described(header, digest)
    block = dataset.private_block(GROUP, CREATOR, create=True)
    block.add_new(FORMAT, "LO", form)
    block.add_new(DIGEST, "LO", digest)
    block.add_new(SIZE, "LO", str(size))
    return dataset


def unwrapped(path: Path, limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition inside an object; raises ImagingRefused when it is none of ours or was damaged."""
    room = limits or RoomLimits()
    # Without a name: whatever becomes of this process, no samples of a patient stay behind.
    with tempfile.TemporaryFile(dir=room.folder, buffering=0) as inner:
        _extract(path, inner)
        return _opened_hdf5(inner, room)


def extract(path: Path, target: Path) -> str:
    """Write the file that is inside an object to ``target``; return its SHA-256, which was checked."""
    with target.open("wb") as out:
        return _extract(path, out)


def _extract(path: Path, out: IO[bytes]) -> str:
    with path.open("rb") as stream:
        try:
            dataset, length = _up_to_bytes(stream)
        except (
            *(ValueError, KeyError, EOFError, OSError, AttributeError, NotImplementedError, RecursionError, TypeError),
        ) as problem:
            raise NotRawData(f"the DICOM object cannot be read ({type(problem).__name__})") from problem
        if str(dataset.get("SOPClassUID", "")) != RAW_DATA_STORAGE or length is None:
            raise NotRawData("the DICOM object holds no raw data that Coread wrapped")
        try:
            block = dataset.private_block(GROUP, CREATOR)
            digest, size = _plain(block[DIGEST].value), int(_plain(block[SIZE].value))
        except (KeyError, ValueError, TypeError) as problem:
            raise NotRawData("the DICOM object holds no raw data that Coread wrapped") from problem
        if not 0 < size <= length:
            raise BadHeader(f"raw data of {size} bytes in an element of {length}")
        found = _copied(stream, out, size)
    if found != digest:
        raise BadHeader("the raw data inside the object are not those that were wrapped: their digest differs")
    return digest


def _plain(value: object) -> str:
    """Return a private text; where an archive changed the transfer syntax its VR is lost and it comes as bytes."""
    return (value.decode("ascii") if isinstance(value, bytes) else str(value)).strip(" \0")


def _copied(stream: BinaryIO, out: IO[bytes], size: int) -> str:
    hasher = hashlib.sha256()
    left = size
    while left:
        piece = stream.read(min(left, _COPY_BYTES))
        if not piece:
            raise Truncated(f"the object ends {left} bytes before its raw data do")
        hasher.update(piece)
        view = memoryview(piece)
        while view:  # an unbuffered file may take a part
            view = view[out.write(view) :]
        left -= len(piece)
    return hasher.hexdigest()


def _up_to_bytes(stream: BinaryIO) -> "tuple[FileDataset, int | None]":
    """Return what stands before the samples, and their length; the stream then stands at their first byte."""
    from pydicom.filereader import read_partial

    met: list[int] = []

    def stop(tag: Any, _vr: str | None, length: int) -> bool:
        if tag.group == GROUP and tag.element >= 0x1000 and tag.element & 0xFF == BYTES:
            met.append(length)
            return True
        return False

    # Long values before the samples are none of ours: they are passed over and never held.
    dataset = read_partial(stream, stop_when=stop, defer_size=_COPY_BYTES)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if not met:
        return dataset, None
    if syntax not in (_EXPLICIT, _IMPLICIT):
        raise ValueError(f"transfer syntax {syntax}")
    stream.seek(8 if syntax == _IMPLICIT else 12, io.SEEK_CUR)
    return dataset, met[0]


@contextmanager
def _as_hdf5(source: KSpace | Path) -> Iterator[Path]:
    """Give the file that goes in: the source itself when it is HDF5, else its acquisition as ISMRMRD."""
    if isinstance(source, Path) and not cfl.is_cfl(source) and is_hdf5(source):
        yield source
        return
    if isinstance(source, Path):
        source = _opened_other(source)
    with tempfile.TemporaryDirectory(prefix="coread-raw-") as folder:
        path = Path(folder) / "raw.h5"
        ismrmrd.write(path, source)
        yield path


def _opened_other(path: Path) -> KSpace:
    if cfl.is_cfl(path):
        return cfl.read(path)
    if numpy_file.is_numpy(path):
        return numpy_file.read(path)
    raise NotRawData(f"{path.name} is no file of raw MR data")


def _opened_hdf5(source: IO[bytes], room: RoomLimits) -> KSpace:
    with opened(source) as file:
        is_ismrmrd = ismrmrd_group(file) is not None
    return ismrmrd.read(source, room) if is_ismrmrd else fastmri.read(source, room)


def _header_of(path: Path) -> tuple[str, RawHeader]:
    """Return the form of a file and its header, without reading samples; refuses what is no raw data."""
    with opened(path) as file:
        group = ismrmrd_group(file)
        if group is not None:
            return "ISMRMRD HDF5", parsed_header(text_of(member(group, "xml"))).header
        table = member(file, "kspace")
        if table is None:
            raise NotRawData("the HDF5 file is neither ISMRMRD nor fastMRI")
        fastmri.check_table(table)
        xml = member(file, "ismrmrd_header")
        header = RawHeader() if xml is None else parsed_header(text_of(xml)).header
        return "fastMRI HDF5", fastmri.with_attributes(header, file)


def _described(header: RawHeader, digest: str) -> "Dataset":
    """Return the object without its samples: modules of PS3.3 table A.37-1."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(RAW_DATA_STORAGE)
    dataset.SOPInstanceUID = UID(derived_uid("coread", "raw data", digest))
    _patient_and_study(dataset, header, digest)
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = derived_uid("coread", "raw series", digest)
    dataset.SeriesNumber = header.series_number
    dataset.SeriesDescription = series_description(header)
    for keyword, text in (("ProtocolName", header.protocol_name), ("BodyPartExamined", header.body_part_examined)):
        if text:
            setattr(dataset, keyword, text)
    dataset.Manufacturer = header.manufacturer
    dataset.ManufacturerModelName = header.manufacturer_model_name
    dataset.StationName = header.station_name
    dataset.InstitutionName = header.institution_name
    dataset.InstanceNumber = "1"
    dataset.ContentDate = header.study_date or NO_DATE
    dataset.ContentTime = header.study_time or "000000"
    dataset.CreatorVersionUID = CREATOR_VERSION_UID
    dataset.AcquisitionContextSequence = []
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(_EXPLICIT)
    dataset.file_meta = meta
    return dataset


def _patient_and_study(dataset: "Dataset", header: RawHeader, digest: str) -> None:
    dataset.PatientName, dataset.PatientID = header.patient_name, header.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = header.patient_birth_date, header.patient_sex
    if header.patient_weight_kg is not None:
        dataset.PatientWeight = f"{header.patient_weight_kg:g}"
    dataset.StudyInstanceUID = study_uid(header, digest)
    dataset.StudyDate, dataset.StudyTime = header.study_date, header.study_time
    dataset.AccessionNumber, dataset.StudyID = header.accession_number, header.study_id
    dataset.StudyDescription = header.study_description
    dataset.ReferringPhysicianName = header.referring_physician_name


def study_uid(header: RawHeader, digest: str) -> str:
    """Return the study's UID: the file's own; else one of its accession number; else one of this file alone."""
    if header.study_instance_uid:
        return header.study_instance_uid
    if header.accession_number:
        return derived_uid("coread", "raw study", header.institution_name, header.patient_id, header.accession_number)
    return derived_uid("coread", "raw study", digest)


def series_description(header: RawHeader) -> str:
    """Return what people read in a list of series; computed data say so first."""
    named = (header.series_description or header.protocol_name).removeprefix(_SYNTHETIC).strip()
    return f"{_SYNTHETIC if header.synthetic else ''} Raw k-space {named}".strip()[:64]


__all__ = ["ImagingRefused", "extract", "is_dicom", "is_raw_file", "unwrapped", "wrapped", "write_wrapped"]
