"""QIDO-RS (PS3.18 section 10.6): query parameters to the store's queries, and matches to the DICOM JSON model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from coread.app.web.dicomweb.archive import Archive, Resource, completed, resource_of
from coread.app.web.dicomweb.errors import BadRequest
from coread.app.web.dicomweb.json_model import Item, put, tag_of
from coread.domain.identifiers import is_tolerable_uid
from coread.domain.study import Instance, Series, Study
from coread.store.records import InstanceQuery, Page, SeriesQuery, StudyQuery

DEFAULT_STUDIES = 200
MOST = 100_000
_PAGE = 1000
_RESERVED = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept", "charset"})

STUDY_KEYS = {
    "0020000D": "study_instance_uids", "00100020": "patient_id", "00100021": "issuer_of_patient_id",
    "00100010": "patient_name", "00100030": "patient_birth_date", "00100040": "patient_sex",
    "00080050": "accession_number", "00200010": "study_id", "00080020": "study_date", "00080030": "study_time",
    "00081030": "study_description", "00080090": "referring_physician_name", "00080061": "modalities_in_study",
}  # fmt: skip
SERIES_KEYS = {
    "0020000E": "series_instance_uids", "00080060": "modality", "00200011": "series_number",
    "0008103E": "series_description", "00180015": "body_part_examined",
}  # fmt: skip
INSTANCE_KEYS = {"00080018": "sop_instance_uids", "00080016": "sop_class_uids", "00200013": "instance_number"}
_LISTS = frozenset(
    {"study_instance_uids", "series_instance_uids", "sop_instance_uids", "sop_class_uids", "modalities_in_study"}
)
_NUMBERS = frozenset({"series_number", "instance_number"})

INSTANCE_FIELDS = {
    "AcquisitionNumber": "acquisition_number", "ImageType": "image_type", "ViewPosition": "view_position",
    "PhotometricInterpretation": "photometric_interpretation", "Laterality": "laterality",
    "ImagePositionPatient": "image_position_patient", "ImageOrientationPatient": "image_orientation_patient",
    "FrameOfReferenceUID": "frame_of_reference_uid", "Manufacturer": "manufacturer",
    "ManufacturerModelName": "manufacturer_model_name", "StationName": "station_name",
    "InstitutionName": "institution_name", "ProtocolName": "protocol_name",
}  # fmt: skip
"""Attributes that come with an instance only when ``includefield`` names them."""

Match = TypeVar("Match")
_Levels = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed query string."""

    study: Mapping[str, Any]
    series: Mapping[str, Any]
    instance: Mapping[str, Any]
    include: frozenset[str]
    limit: int | None
    offset: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search: data sets, and what the client should know about them."""

    items: list[Item]
    warnings: tuple[str, ...]


def parse_search(pairs: Sequence[tuple[str, str]]) -> Search:
    """Sort query parameters into matching keys per level; BadRequest for what cannot be meant.

    A known attribute that the index does not hold is not matched on, and the answer says so in a Warning.
    """
    levels: _Levels = ({}, {}, {})
    include: set[str] = set()
    plain = {name: value for name, value in pairs if name in _RESERVED}
    warnings = []
    for name, value in pairs:
        if name == "includefield":
            include.update("all" if part == "all" else tag_of(part) for part in value.split(",") if part)
        elif name not in _RESERVED:
            tag = tag_of(name)
            include.add(tag)
            if value in ("", '""', "*"):
                continue
            if not _sort_key(levels, tag, value):
                warnings.append(f"matching on {name} is not supported; it was ignored")
    if plain.get("fuzzymatching", "").lower() == "true":
        warnings.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
    limit = _number(plain["limit"], "limit") if "limit" in plain else None
    offset = _number(plain.get("offset", "0"), "offset")
    return Search(*levels, frozenset(include), limit, offset, tuple(warnings))


def _sort_key(levels: _Levels, tag: str, value: str) -> bool:
    for level, keys in zip(levels, (STUDY_KEYS, SERIES_KEYS, INSTANCE_KEYS), strict=True):
        if tag in keys:
            level[keys[tag]] = _key_value(keys[tag], value)
            return True
    return False


def _key_value(field: str, value: str) -> Any:
    if field in _NUMBERS:
        return _number(value, field)
    if field not in _LISTS:
        return value
    parts = tuple(part for part in value.replace("\\", ",").split(",") if part)
    if field.endswith("_uids") and not all(is_tolerable_uid(part) for part in parts):
        raise BadRequest(f"{value[:80]!r} is not a list of UIDs")
    return parts


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise BadRequest(f"{name} {text[:20]!r} is not a whole number")
    return int(text)


def search_studies(archive: Archive, search: Search, base: str) -> Found:
    """Answer ``/studies``."""
    limit = min(search.limit if search.limit is not None else DEFAULT_STUDIES, MOST)
    page = archive.find_studies(StudyQuery(**search.study, limit=limit, offset=search.offset))
    items = [study_item(study, base) for study in page.items]
    return Found(items, search.warnings + _more(page.more))


def search_series(archive: Archive, search: Search, resource: Resource | None, base: str) -> Found:
    """Answer ``/series`` and ``/studies/{study}/series``."""
    matches = _series(archive, search, resource)
    chosen, more = _slice(matches, search)
    return Found([series_item(study, series, base) for study, series in chosen], search.warnings + _more(more))


def search_instances(archive: Archive, search: Search, resource: Resource | None, base: str) -> Found:
    """Answer ``/instances`` at any level."""
    chosen, more = _slice(_instances(archive, search, resource), search)
    return Found(
        [instance_item(completed(archive, found), base, search.include) for found in chosen],
        search.warnings + _more(more),
    )


def _slice(matches: Iterator[Match], search: Search) -> tuple[list[Match], bool]:
    limit = min(search.limit if search.limit is not None else MOST, MOST)
    chosen = list(islice(matches, search.offset, search.offset + limit))
    return chosen, next(matches, None) is not None


def _more(more: bool) -> tuple[str, ...]:
    return ("There are additional results that can be requested.",) if more else ()


Query = TypeVar("Query", StudyQuery, SeriesQuery, InstanceQuery)


def _pages(find: Callable[[Query], Page[Match]], query: Query) -> Iterator[Match]:
    """Yield all matches of a query, page by page, only as far as they are asked for."""
    offset = 0
    while True:
        page = find(replace(query, limit=_PAGE, offset=offset))
        yield from page.items
        offset += len(page.items)
        if not page.more or not page.items:
            return


def _series(archive: Archive, search: Search, resource: Resource | None) -> Iterator[tuple[Study | None, Series]]:
    for study in _studies(archive, search, resource):
        uid = study.study_instance_uid if study is not None else (resource.study if resource is not None else "")
        keys = dict(search.series) | ({"study_instance_uid": uid} if uid else {})
        for series in _pages(archive.find_series, SeriesQuery(**keys)):
            yield study, series


def _studies(archive: Archive, search: Search, resource: Resource | None) -> Iterator[Study | None]:
    """Yield the studies to look in; ``None`` stands for the one of the path, or for all, when no key narrows them."""
    if not search.study:
        yield None
        return
    keys = dict(search.study) | ({"study_instance_uids": (resource.study,)} if resource is not None else {})
    yield from _pages(archive.find_studies, StudyQuery(**keys))


def _instances(archive: Archive, search: Search, resource: Resource | None) -> Iterator[Instance]:
    if not search.study and not search.series:
        keys = dict(search.instance)
        if resource is not None:
            keys |= {"study_instance_uid": resource.study, "series_instance_uid": resource.series}
        yield from _pages(archive.find_instances, InstanceQuery(**keys))
        return
    for _, series in _series(archive, search, resource):
        if resource is not None and resource.series not in ("", series.series_instance_uid):
            continue
        keys = {"study_instance_uid": series.study_instance_uid, "series_instance_uid": series.series_instance_uid}
        yield from _pages(archive.find_instances, InstanceQuery(**(dict(search.instance) | keys)))


def study_item(study: Study, base: str) -> Item:
    """Return the attributes of table 10.6.3-3."""
    item: Item = {}
    put(item, "SpecificCharacterSet", "ISO_IR 192")
    put(item, "StudyDate", study.study_date)
    put(item, "StudyTime", study.study_time)
    put(item, "AccessionNumber", study.accession_number)
    put(item, "InstanceAvailability", "ONLINE")
    put(item, "ModalitiesInStudy", study.modalities)
    put(item, "ReferringPhysicianName", study.referring_physician_name)
    put(item, "StudyDescription", study.study_description)
    put(item, "RetrieveURL", base + Resource(study.study_instance_uid).path())
    put(item, "PatientName", study.patient_name)
    put(item, "PatientID", study.patient_id)
    put(item, "IssuerOfPatientID", study.issuer_of_patient_id)
    put(item, "PatientBirthDate", study.patient_birth_date)
    put(item, "PatientSex", study.patient_sex)
    put(item, "StudyInstanceUID", study.study_instance_uid)
    put(item, "StudyID", study.study_id)
    put(item, "NumberOfStudyRelatedSeries", study.series_count)
    put(item, "NumberOfStudyRelatedInstances", study.instance_count)
    return item


def series_item(study: Study | None, series: Series, base: str) -> Item:
    """Return the attributes of table 10.6.3-4, with those of the study where the search was across studies."""
    item = study_item(study, base) if study is not None else {}
    put(item, "SpecificCharacterSet", "ISO_IR 192")
    put(item, "Modality", series.modality)
    put(item, "SeriesDescription", series.series_description)
    put(item, "RetrieveURL", base + Resource(series.study_instance_uid, series.series_instance_uid).path())
    put(item, "BodyPartExamined", series.body_part_examined)
    put(item, "StudyInstanceUID", series.study_instance_uid)
    put(item, "SeriesInstanceUID", series.series_instance_uid)
    put(item, "SeriesNumber", series.series_number)
    put(item, "NumberOfSeriesRelatedInstances", series.instance_count)
    return item


def instance_item(instance: Instance, base: str, include: frozenset[str]) -> Item:
    """Return the attributes of table 10.6.3-5, and those that ``includefield`` names."""
    header, item = instance.header, dict[str, Any]()
    put(item, "SpecificCharacterSet", "ISO_IR 192")
    put(item, "SOPClassUID", header.sop_class_uid)
    put(item, "SOPInstanceUID", header.sop_instance_uid)
    put(item, "InstanceAvailability", "ONLINE")
    put(item, "Modality", header.modality)
    put(item, "RetrieveURL", base + resource_of(instance).path())
    put(item, "StudyInstanceUID", header.study_instance_uid)
    put(item, "SeriesInstanceUID", header.series_instance_uid)
    put(item, "InstanceNumber", header.instance_number)
    put(item, "AvailableTransferSyntaxUID", header.transfer_syntax_uid)
    if header.rows is not None:
        put(item, "Rows", header.rows)
        put(item, "Columns", header.columns)
        put(item, "BitsAllocated", header.bits_allocated)
        put(item, "NumberOfFrames", header.number_of_frames or 1)
    for keyword, field in INSTANCE_FIELDS.items():
        if "all" in include or tag_of(keyword) in include:
            put(item, keyword, getattr(header, field))
    return item
