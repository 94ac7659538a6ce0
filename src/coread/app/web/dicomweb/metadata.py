"""Metadata of instances, series and studies (PS3.18 section 10.4.1.1.2), kept once made.

A series document is named by the digests of the instances that it was made of: a late image makes another name,
so what is kept can never be stale.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from coread.app.web.dicomweb.archive import Archive, Resource, instances_of, resource_of
from coread.app.web.dicomweb.elements import data_set_item
from coread.app.web.dicomweb.errors import NoSuchResource
from coread.app.web.dicomweb.json_model import put, to_bytes
from coread.domain.identifiers import digest_of
from coread.domain.study import Instance

_FORMAT = "1"
"""Part of the name of what is kept: changed together with what is written."""
_BASE = "{{dicomweb}}"
"""Stands for the address of this service, which differs from client to client."""
_PIXEL_TAGS = {b"\xe0\x7f\x08\x00": "7FE00008", b"\xe0\x7f\x09\x00": "7FE00009", b"\xe0\x7f\x10\x00": "7FE00010"}
_PIXEL_VR = {"7FE00008": "OF", "7FE00009": "OD", "7FE00010": "OW"}


def metadata_of(archive: Archive, resource: Resource, base: str) -> bytes:
    """Return the metadata of a resource as a JSON array."""
    instances = instances_of(archive, resource)
    single = bool(resource.instance)
    body = _document(archive, instances[0]) if single else b",".join(_series_documents(archive, instances))
    return b"[" + body.replace(_BASE.encode(), base.encode()) + b"]"


def _series_documents(archive: Archive, instances: Iterable[Instance]) -> Iterator[bytes]:
    ordered = sorted(instances, key=lambda item: item.header.series_instance_uid)
    for _, members in groupby(ordered, key=lambda item: item.header.series_instance_uid):
        yield _series_document(archive, list(members))


def _series_document(archive: Archive, members: list[Instance]) -> bytes:
    header = members[0].header
    folder = archive.folder / "cache" / "metadata" / header.study_instance_uid
    name = f"{header.series_instance_uid}-{digest_of([_FORMAT, *(item.sha256 for item in members)])[:32]}.json"
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        document = b",".join(_document(archive, item) for item in members)
        _keep(folder, name, document, stale=f"{header.series_instance_uid}-*.json")
        return document


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
        dataset = dcmread(file, stop_before_pixels=True, force=True)
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
