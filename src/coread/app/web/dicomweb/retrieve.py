"""WADO-RS of whole objects and of bulk data (PS3.18 section 10.4)."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from starlette.responses import Response

from coread.app.web.dicomweb.accept import MediaRange
from coread.app.web.dicomweb.archive import Archive, Resource, instance_at, instances_of, resource_of
from coread.app.web.dicomweb.errors import BadRequest, NoSuchResource, NotAcceptable
from coread.app.web.dicomweb.frames import EXPLICIT_LITTLE, OCTETS, native_bytes
from coread.app.web.dicomweb.parts import Part, multipart, single, whole_file
from coread.domain.study import Instance

DICOM = "application/dicom"
_PIXELS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
_SENT_FROM_FILE = 1 << 20
_LONG_KINDS = frozenset({"OB", "UN", None})
"""Bytes have no order; ``None``: implicit VR, which is always little endian."""


def retrieve(archive: Archive, resource: Resource, accepted: Sequence[MediaRange], base: str) -> Response:
    """Answer with the objects of a resource, as stored or in Explicit VR Little Endian where only that is accepted."""
    ranges = [item for item in accepted if item.covers(DICOM)]
    if not ranges:
        raise NotAcceptable("objects are given as multipart/related; type=application/dicom, or application/dicom")
    instances = instances_of(archive, resource)
    parts = [_part(archive, instance, ranges, base) for instance in instances]
    if len(parts) == 1 and not isinstance(parts[0].source, bytes | Path):
        parts = [replace(parts[0], source=parts[0].source())]  # made now: what cannot be made is refused
    if len(parts) == 1 and not ranges[0].is_multipart:
        return single(parts[0])
    if not any(item.is_multipart for item in ranges):
        raise NotAcceptable("several objects are given as multipart/related only")
    return multipart(parts, DICOM)


def _part(archive: Archive, instance: Instance, ranges: Sequence[MediaRange], base: str) -> Part:
    stored = instance.header.transfer_syntax_uid
    path = archive.path_of(instance.path)
    if not path.is_file():
        raise NoSuchResource(f"the file of {resource_of(instance).path()} is no longer in the store")
    location = base + resource_of(instance).path()
    for item in ranges:
        if item.takes_syntax(stored):
            return whole_file(path, f"{DICOM}; transfer-syntax={stored}" if stored else DICOM, location)
        if item.transfer_syntax == EXPLICIT_LITTLE:
            return Part(
                f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}", partial(_explicit_little, path), location=location
            )
    raise NotAcceptable(f"stored in {stored}; it can be given so, or in {EXPLICIT_LITTLE}")


def _explicit_little(path: Path) -> bytes:
    """Return the object with plain pixels in Explicit VR Little Endian (PS3.5 annex A.2)."""
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = dcmread(path)
    buffer = io.BytesIO()
    try:
        if dataset.file_meta.TransferSyntaxUID.is_compressed and "PixelData" in dataset:
            dataset.decompress(generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for element in dataset.iterall():
            _ = element.value  # decoded now: raw values would be written with the bytes that they came with
        dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    except (ValueError, RuntimeError, NotImplementedError, AttributeError) as problem:
        raise NotAcceptable(f"the object cannot be written in Explicit VR Little Endian: {problem}") from problem
    return buffer.getvalue()


def bulk_data(archive: Archive, resource: Resource, element: str, accepted: Sequence[MediaRange]) -> Response:
    """Answer with the value of one element, named by its path in the data set (``7FE00010``, ``SEQ/1/TAG``)."""
    if not any(item.covers(OCTETS) for item in accepted):
        raise NotAcceptable(f"bulk data are given as {OCTETS}")
    _, path = instance_at(archive, resource)
    content_type = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
    if element.upper() in _PIXELS:
        part = Part(content_type, native_bytes(path, None))
    else:
        part = value_at(path, element, content_type)
    explicit_single = any(item.part == OCTETS and not item.is_multipart for item in accepted)
    return single(part) if explicit_single else multipart([part], OCTETS)


def value_at(path: Path, element: str, content_type: str) -> Part:
    """Return one value. A long one is sent from its file: raw data of an MR scanner may have gigabytes."""
    from pydicom import dcmread
    from pydicom.dataelem import RawDataElement
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    steps = element.split("/")
    if not all(len(step) <= 8 and step.isalnum() for step in steps) or len(steps) % 2 == 0:
        raise BadRequest(f"{element[:80]!r} is not the path of an element")
    item = dcmread(path, stop_before_pixels=True, defer_size=_SENT_FROM_FILE)
    compressed = item.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    try:
        wanted = int(steps[-1], 16)
        raw = next((one for one in item.values() if int(one.tag) == wanted), None) if len(steps) == 1 else None
        if isinstance(raw, RawDataElement) and raw.value is None and raw.VR in _LONG_KINDS and not compressed:
            return Part(content_type, path, raw.value_tell, raw.length)
        for tag, number in zip(steps[:-1:2], steps[1::2], strict=True):
            item = item[int(tag, 16)].value[int(number) - 1]
        value = item[wanted].value
    except (KeyError, ValueError, IndexError, TypeError) as problem:
        raise NoSuchResource(f"the object has no element {element}") from problem
    if not isinstance(value, bytes):
        raise NoSuchResource(f"element {element} is not bulk data")
    return Part(content_type, value)
