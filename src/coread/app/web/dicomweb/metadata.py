"""Metadata of instances, series and studies (PS3.18 section 10.4.1.1.2), kept once made.

A series document is named by how many instances it was made of and when their study was first received: a late
image makes another name, so what is kept is never stale.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from coread.app.web.dicomweb.archive import Archive, Resource, instances_of, resource_of
from coread.app.web.dicomweb.elements import data_set_item
from coread.app.web.dicomweb.errors import NoSuchResource
from coread.app.web.dicomweb.json_model import put, to_bytes
from coread.domain.identifiers import digest_of
from coread.domain.study import Instance
from coread.store.records import SeriesQuery

_FORMAT = "1"
"""Part of the name of what is kept: changed together with what is written."""
_MOST_SERIES = 10_000
_NOT_READ_BYTES = 1 << 20
"""Longer values are only named in a document, so they are not read for it."""
_BASE = "{{dicomweb}}"
"""Stands for the address of this service, which differs from client to client."""
_PIXEL_TAGS = {b"\xe0\x7f\x08\x00": "7FE00008", b"\xe0\x7f\x09\x00": "7FE00009", b"\xe0\x7f\x10\x00": "7FE00010"}
_PIXEL_VR = {"7FE00008": "OF", "7FE00009": "OD", "7FE00010": "OW"}


def metadata_of(archive: Archive, resource: Resource, base: str) -> bytes:
    """Return the metadata of a resource as a JSON array."""
    if resource.instance:
        body = _document(archive, instances_of(archive, resource)[0])
    else:
        body = b",".join(_series_document(archive, part) for part in _series_of(archive, resource))
    return b"[" + body.replace(_BASE.encode(), base.encode()) + b"]"


@dataclass(frozen=True, slots=True)
class _Part:
    """One series as the index has it now."""

    resource: Resource
    fingerprint: str


def _series_of(archive: Archive, resource: Resource) -> list[_Part]:
    """Return the series of a resource with what tells that nothing changed.

    Stored instances are never overwritten, so a series of as many instances in a study first received at the same
    moment has the same instances.
    """
    study = archive.study(resource.study)
    series_uids = (resource.series,) if resource.series else ()
    page = archive.find_series(
        SeriesQuery(study_instance_uid=resource.study, series_instance_uids=series_uids, limit=_MOST_SERIES)
    )
    if study is None or not page.items:
        raise NoSuchResource(f"nothing is stored under {resource.path()}")
    received = study.first_received_at.isoformat()
    return [
        _Part(
            Resource(resource.study, series.series_instance_uid),
            digest_of([_FORMAT, received, str(series.instance_count)])[:32],
        )
        for series in page.items
    ]


def _series_document(archive: Archive, part: _Part) -> bytes:
    folder = archive.folder / "cache" / "metadata" / part.resource.study
    name = f"{part.resource.series}-{part.fingerprint}.json"
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        document = b",".join(_document(archive, item) for item in instances_of(archive, part.resource))
        _keep(folder, name, document, stale=f"{part.resource.series}-*.json")
        return document


def prepare_metadata(archive: Archive, study_instance_uid: str) -> None:
    """Make the documents of a settled study now, so that the first viewer does not wait for them."""
    for part in _series_of(archive, Resource(study_instance_uid)):
        _series_document(archive, part)


def forget_metadata(store_folder: Path, study_instance_uid: str) -> None:
    """Remove what is kept of a study, for when the study itself is removed."""
    shutil.rmtree(store_folder / "cache" / "metadata" / Resource(study_instance_uid).study, ignore_errors=True)


def _keep(folder: Path, name: str, document: bytes, *, stale: str) -> None:
    """Write the document in one step, and drop what an earlier set of instances gave."""
    folder.mkdir(parents=True, exist_ok=True)
    older = [path for path in folder.glob(stale) if path.name != name]
    handle, temporary = tempfile.mkstemp(dir=folder, prefix="new-")
    with os.fdopen(handle, "wb") as file:
        file.write(document)
    Path(temporary).replace(folder / name)
    for path in older:
        path.unlink(missing_ok=True)


def _document(archive: Archive, instance: Instance) -> bytes:
    resource = resource_of(instance)
    path = archive.path_of(instance.path)
    try:
        return instance_document(path, f"{_BASE}{resource.path()}/bulkdata/")
    except (FileNotFoundError, InvalidDicomError) as problem:
        raise NoSuchResource(f"the file of {resource.path()} cannot be read: {type(problem).__name__}") from problem


def instance_document(path: Path, bulk_base: str) -> bytes:
    """Return one instance in the DICOM JSON model; long binary values and pixels are named by a BulkDataURI."""
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True, force=True, defer_size=_NOT_READ_BYTES)
        next_tag = file.read(4)
    item = data_set_item(dataset, lambda element: bulk_base + element)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
    put(item, "AvailableTransferSyntaxUID", syntax)
    pixels = _PIXEL_TAGS.get(next_tag, "")
    if not pixels and "00280010" in item and "00280100" in item:
        pixels = "7FE00010"  # deflated or big endian: the next tag is not in plain sight
    if pixels:
        item[pixels] = {"vr": _PIXEL_VR[pixels], "BulkDataURI": bulk_base + pixels}
    return to_bytes(item)
