"""From a report back to findings and measurements, with pydicom alone: the writer's library has no say here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataset import Dataset

from coread.domain.codes import COREAD_SCHEME, Code
from coread.domain.findings import Box, Finding, ImageReference, Location, Measurement, Point, TrackingId
from coread.evidence import concepts as c
from coread.evidence.errors import NotProven

_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
_TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
_TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
_FINDING = Code("121071", "DCM", "Finding")
_FINDING_SITE = Code("363698007", "SCT", "Finding Site")
_DERIVATION = Code("121401", "DCM", "Derivation")
_METHOD = Code("370129005", "SCT", "Measurement Method")
_IMAGE_REGION = Code("111030", "DCM", "Image Region")
_SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
_PRESENCES = {code: presence for presence, code in c.PRESENCE_CODES.items()}
_NOT_MEASUREMENTS = {c.CERTAINTY, c.THRESHOLD}


@dataclass(frozen=True, slots=True, eq=False)
class ReportContent:
    """What a report says: findings in order, then measurements in order."""

    findings: tuple[Finding, ...]
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """One measurement group of the report with the series of each referenced object."""

    items: tuple[tuple[Code, Dataset], ...]
    series_of: dict[str, str]

    def all(self, name: Code) -> Iterator[Dataset]:
        return (item for found, item in self.items if found == name)

    def first(self, name: Code) -> Dataset | None:
        return next(self.all(name), None)

    def need(self, name: Code) -> Dataset:
        found = self.first(name)
        if found is None:
            raise NotProven(f"a measurement group of the report has no {name.meaning!r}")
        return found

    def text(self, name: Code) -> str:
        found = self.first(name)
        return "" if found is None else str(found.TextValue)

    def code(self, name: Code) -> Code | None:
        found = self.first(name)
        return None if found is None else c.code_of(found.ConceptCodeSequence[0])

    def number(self, name: Code) -> float | None:
        found = self.first(name)
        return None if found is None else _number(found)

    def tracking(self) -> TrackingId:
        uid = str(self.need(_TRACKING_UID).UID)
        return TrackingId(str(self.need(_TRACKING_IDENTIFIER).TextValue), uid)


def read_sr(report: Dataset) -> ReportContent:
    """Decode a report that this room wrote; raises NotProven when an item that must be there is missing."""
    series_of = referenced_series(report)
    groups = [
        _group(item, series_of)
        for container in report.ContentSequence
        if _name(container) == _MEASUREMENTS
        for item in container.ContentSequence
    ]
    marks: dict[str, list[Location]] = {}
    for group in groups:
        link = group.first(c.MARK_OF)
        if link is not None:
            marks.setdefault(str(link.UID), []).append(_location(group))
    findings = tuple(_finding(group, marks) for group in groups if group.first(c.OUTPUT_KEY) is not None)
    plain = [group for group in groups if group.first(c.OUTPUT_KEY) is None and group.first(c.MARK_OF) is None]
    return ReportContent(findings, tuple(m for group in plain for m in _measurements(group)))


def _group(item: Dataset, series_of: dict[str, str]) -> _Group:
    return _Group(tuple((_name(child), child) for child in item.get("ContentSequence", [])), series_of)


def referenced_series(document: Dataset) -> dict[str, str]:
    """Return the series of every object in Current Requested Procedure Evidence, by SOP Instance UID."""
    return {
        str(instance.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for study in document.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def referenced_objects(item: Dataset) -> Iterator[tuple[str, str]]:
    """Return (SOP class, SOP instance) of every composite or image item in a content tree."""
    for reference in item.get("ReferencedSOPSequence", []):
        yield str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID)
    for child in item.get("ContentSequence", []):
        yield from referenced_objects(child)


def _finding(group: _Group, marks: dict[str, list[Location]]) -> Finding:
    presence_code = group.code(c.PRESENCE)
    if presence_code is None or presence_code not in _PRESENCES:
        raise NotProven(f"finding {group.text(c.OUTPUT_KEY)!r} of the report has no known presence")
    concept = group.code(_FINDING)
    if concept is None:
        raise NotProven(f"finding {group.text(c.OUTPUT_KEY)!r} of the report has no concept")
    tracking = group.tracking()
    certainty, threshold = group.number(c.CERTAINTY), group.number(c.THRESHOLD)
    finding = Finding(
        key=group.text(c.OUTPUT_KEY),
        concept=concept,
        presence=_PRESENCES[presence_code],
        probability=None if certainty is None else certainty / 100.0,
        threshold=None if threshold is None else threshold / 100.0,
        operating_point=group.text(c.OPERATING_POINT),
        tracking=tracking,
        images=_images(group.all(_SOURCE_OF_MEASUREMENT), group.series_of),
        locations=tuple(marks.get(tracking.uid, ())),
        urgent=group.code(c.ATTENTION) == c.YES,
    )
    return _with_site(finding, group)


def _with_site(finding: Finding, group: _Group) -> Finding:
    site = group.first(_FINDING_SITE)
    if site is None:
        return replace(finding, laterality=group.code(c.LATERALITY))
    below = _group(site, group.series_of)
    return replace(finding, site=c.code_of(site.ConceptCodeSequence[0]), laterality=below.code(c.LATERALITY))


def _measurements(group: _Group) -> Iterator[Measurement]:
    tracking = group.tracking()
    for name, item in group.items:
        if item.ValueType == "NUM" and name not in _NOT_MEASUREMENTS:
            below = _group(item, group.series_of)
            yield Measurement(
                concept=name,
                value=_number(item),
                unit=c.code_of(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]),
                uncertainty=below.number(c.UNCERTAINTY),
                method=below.code(_METHOD),
                derivation=below.code(_DERIVATION),
                site=below.code(_FINDING_SITE),
                tracking=tracking,
                images=_images((i for _, i in below.items if i.ValueType == "IMAGE"), group.series_of),
            )


def _location(group: _Group) -> Location:
    region = group.need(_IMAGE_REGION)
    image = _images(region.ContentSequence, group.series_of)[0]
    numbers = [float(value) for value in region.GraphicData]
    columns, rows = numbers[0::2], numbers[1::2]
    if region.GraphicType == "POINT":
        return Point(image, columns[0], rows[0])
    left, top, right, bottom = min(columns), min(rows), max(columns), max(rows)
    if columns != [left, right, right, left, left] or rows != [top, top, bottom, bottom, top]:
        raise NotProven("a mark of the report is no closed rectangle along rows and columns")
    return Box(image, left, top, right, bottom)


def _images(items: Iterable[Dataset], series_of: dict[str, str]) -> tuple[ImageReference, ...]:
    return tuple(_image(item.ReferencedSOPSequence[0], series_of) for item in items)


def _image(reference: Dataset, series_of: dict[str, str]) -> ImageReference:
    uid = str(reference.ReferencedSOPInstanceUID)
    if uid not in series_of:
        raise NotProven(f"the report refers to {uid}, which its evidence sequence does not list")
    frames: Any = reference.get("ReferencedFrameNumber", 1)
    frame = int(frames if isinstance(frames, int | str) else frames[0])
    return ImageReference(str(reference.ReferencedSOPClassUID), uid, series_of[uid], frame)


def _number(item: Dataset) -> float:
    """Return the exact value where it is given (Floating Point Value), else the decimal string."""
    measured = item.MeasuredValueSequence[0]
    value = measured.FloatingPointValue if "FloatingPointValue" in measured else measured.NumericValue
    return float(value)


def _name(item: Dataset) -> Code:
    sequence = item.get("ConceptNameCodeSequence", [])
    return c.code_of(sequence[0]) if sequence else Code("NONE", COREAD_SCHEME, "No concept name")
