"""The result as a Comprehensive 3D SR, Imaging Measurement Report (PS3.16 TID 1500), written with highdicom.

One measurement group (TID 1501) for each finding, present or not; one planar group (TID 1410) for each
mark on an image; one group for each segmented region (TID 1411, or 1410 on a single frame).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.dataset import Dataset

from coread.domain.cards import Estimate, OperatingPoint, ReaderKind
from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Box, Finding, ImageReference, Location, Measurement, TrackingId
from coread.domain.work import EvidenceKind
from coread.evidence import concepts as c
from coread.evidence.document import Evidence, document_of
from coread.evidence.errors import NotBuilt
from coread.evidence.image_library import image_library
from coread.evidence.segments import SegmentPlace
from coread.evidence.sr_outlines import outlined
from coread.evidence.writing import MANUFACTURER, RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.88.34"


def build_sr(writing: Writing, places: Sequence[SegmentPlace] = ()) -> Dataset:
    """Write the report; ``places`` says where each region of the result stands in our segmentations."""
    report = document_of(SOP_CLASS_UID, _report(writing, places)[0], writing, _evidence(writing, places))
    stamp(report, writing, EvidenceKind.SR, what="findings")
    report.CodingSchemeIdentificationSequence = c.coding_schemes()
    return report


def shows_marks(writing: Writing) -> bool:
    """Say whether locations may be written: a triage reader puts no mark on the diagnostic image."""
    return writing.card.kind is not ReaderKind.TRIAGE


def _evidence(writing: Writing, places: Sequence[SegmentPlace]) -> list[Evidence]:
    heads = [image.header for image in (*writing.images, *writing.derived)]
    segmentations = {p.sop_instance_uid: (p.sop_class_uid, p.sop_instance_uid, p.series_instance_uid) for p in places}
    sources = [(head.sop_class_uid, head.sop_instance_uid, head.series_instance_uid) for head in heads]
    return [*sources, *segmentations.values()]


def _report(writing: Writing, places: Sequence[SegmentPlace]) -> Any:
    from highdicom.sr import MeasurementReport

    groups = [*_finding_groups(writing), *_region_groups(writing, places), *_measurement_groups(writing, places)]
    report = MeasurementReport(
        observation_context=_observation_context(writing),
        procedure_reported=_concept(c.PROCEDURES.get(writing.images[0].header.modality, c.ANY_PROCEDURE)),
        imaging_measurements=groups or None,
        language_of_content_item_and_descendants=_english(),
    )
    content = report[0].ContentSequence
    content.insert(_place_of_library(content), image_library(writing.pictured))
    content.append(_remarks(writing))
    return report


def _place_of_library(content: Any) -> int:
    """The image library stands before the measurements (TID 1500: order is significant)."""
    names = [item.ConceptNameCodeSequence[0].CodeValue for item in content]
    return names.index("126010") if "126010" in names else len(names)


def _english() -> Any:
    from highdicom.sr import CodedConcept, LanguageOfContentItemAndDescendants

    return LanguageOfContentItemAndDescendants(CodedConcept("en-US", "RFC5646", "English (United States)"))


def _observation_context(writing: Writing) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=writing.uid("device"),
        name=writing.card.name,
        manufacturer_name=MANUFACTURER,
        model_name=writing.model,
        serial_number=writing.provenance.package_digest[:16],
    )
    by_device = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    if writing.revision is None:
        return ObservationContext(observer_device_context=by_device)
    login = writing.revision.person
    name = "".join(" " if letter in "^=\\" else letter for letter in login)[:60]
    person = PersonObserverIdentifyingAttributes(name=f"{name}^", login_name=login)
    by_person = ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person)
    return ObservationContext(observer_person_context=by_person, observer_device_context=by_device)


def _finding_groups(writing: Writing) -> Iterator[Any]:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations

    for index, finding in enumerate(writing.result.findings):
        tracking = writing.tracking(finding, index)
        point = operating_point_of(writing, finding)
        group = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(tracking),
            finding_type=_concept(finding.concept),
            algorithm_id=_algorithm(writing, point),
            finding_sites=_sites(finding),
            measurements=_probability(finding),
            qualitative_evaluations=_evaluations(finding),
            source_images=_group_images(writing, finding.images),
        )
        _add_texts(group, finding, point)
        yield group
        if shows_marks(writing):
            yield from _mark_groups(writing, finding, tracking)


def _mark_groups(writing: Writing, finding: Finding, tracking: TrackingId) -> Iterator[Any]:
    from highdicom.sr import PlanarROIMeasurementsAndQualitativeEvaluations, RelationshipTypeValues, UIDRefContentItem

    for number, location in enumerate(finding.locations, start=1):
        mark = TrackingId(f"{tracking.identifier} mark {number}", writing.uid("mark", tracking.uid, str(number)))
        group = PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(mark),
            referenced_region=_region_of(writing, location),
            finding_type=_concept(finding.concept),
            algorithm_id=_algorithm(writing, None),
            finding_sites=_sites(finding),
        )
        link = UIDRefContentItem(_concept(c.MARK_OF), tracking.uid, RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(link)
        yield group


def _region_groups(writing: Writing, places: Sequence[SegmentPlace]) -> Iterator[Any]:
    from highdicom.sr import (
        PlanarROIMeasurementsAndQualitativeEvaluations,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    for place in places:
        region = place.region
        common: dict[str, Any] = {
            "tracking_identifier": _tracking(region.tracking),
            "finding_type": _concept(region.type),
            "algorithm_id": _algorithm(writing, None),
            "measurements": [_measurement(writing, m) for m in writing.measured(region)] or None,
        }
        if region.mask.ndim == 2:
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_segment_frame(writing, place), **common
            )
        else:
            yield VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_segment(writing, place), **common
            )
    if shows_marks(writing):
        yield from _outline_groups(writing, places)


def _outline_groups(writing: Writing, places: Sequence[SegmentPlace]) -> Iterator[Any]:
    import numpy as np
    from highdicom.sr import (
        GraphicTypeValues,
        ImageRegion,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
    )

    for region, image, line in outlined(places):
        source = SourceImageForRegion(*_reference(writing, image))
        yield PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(region.tracking),
            referenced_region=ImageRegion(GraphicTypeValues.POLYLINE, np.asarray(line), source),
            finding_type=_concept(region.type),
            algorithm_id=_algorithm(writing, None),
        )


def _segment_frame(writing: Writing, place: SegmentPlace) -> Any:
    from highdicom.sr import ReferencedSegmentationFrame

    reference = ReferencedSegmentationFrame(
        sop_class_uid=place.sop_class_uid,
        sop_instance_uid=place.sop_instance_uid,
        frame_number=place.frame_numbers[0],
        segment_number=place.segment_number,
        source_image=_source_for_segment(writing, place.region.images[0]),
    )
    # PS3.3 table 10-11: a reference names frames or segments, never both; the library writes both.
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference


def _segment(writing: Writing, place: SegmentPlace) -> Any:
    from highdicom.sr import ReferencedSegment, SourceSeriesForSegmentation

    return ReferencedSegment(
        sop_class_uid=place.sop_class_uid,
        sop_instance_uid=place.sop_instance_uid,
        segment_number=place.segment_number,
        source_series=SourceSeriesForSegmentation(writing.image(place.region.images[0]).header.series_instance_uid),
    )


def _measurement_groups(writing: Writing, places: Sequence[SegmentPlace]) -> Iterator[Any]:
    """Write what was measured of no region that has a segment; a triage reader's regions have none."""
    from highdicom.sr import MeasurementsAndQualitativeEvaluations

    regions = {place.region.tracking.uid for place in places}
    for index, measurement in enumerate(writing.result.measurements):
        if measurement.tracking is not None and measurement.tracking.uid in regions:
            continue
        yield MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(writing.measurement_tracking(measurement, index)),
            algorithm_id=_algorithm(writing, None),
            measurements=[_measurement(writing, measurement)],
        )


def _measurement(writing: Writing, measurement: Measurement) -> Any:
    from highdicom.sr import FindingSite, NumContentItem, RelationshipTypeValues, SourceImageForMeasurement
    from highdicom.sr import Measurement as MeasurementItem

    images = [SourceImageForMeasurement(*_reference(writing, image)) for image in measurement.images]
    item = MeasurementItem(
        name=_concept(measurement.concept),
        value=float(measurement.value),
        unit=_concept(measurement.unit),
        method=_concept(measurement.method) if measurement.method else None,
        derivation=_concept(measurement.derivation) if measurement.derivation else None,
        finding_sites=[FindingSite(_concept(measurement.site))] if measurement.site else None,
        referenced_images=images or None,
    )
    if measurement.uncertainty is not None:
        half_width = NumContentItem(
            _concept(c.UNCERTAINTY),
            float(measurement.uncertainty),
            _concept(measurement.unit),
            relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
        )
        _children(item[0]).append(half_width)
    return item


def _probability(finding: Finding) -> list[Any] | None:
    from highdicom.sr import Measurement as MeasurementItem

    numbers = ((c.CERTAINTY, finding.probability), (c.THRESHOLD, finding.threshold))
    return [
        MeasurementItem(name=_concept(name), value=value * 100.0, unit=_concept(c.PERCENT))
        for name, value in numbers
        if value is not None
    ] or None


def _evaluations(finding: Finding) -> list[Any]:
    from highdicom.sr import QualitativeEvaluation

    pairs = [(c.PRESENCE, c.PRESENCE_CODES[finding.presence]), (c.ATTENTION, c.YES if finding.urgent else c.NO)]
    if finding.laterality is not None and finding.site is None:
        pairs.append((c.LATERALITY, finding.laterality))
    return [QualitativeEvaluation(_concept(name), _concept(value)) for name, value in pairs]


def _sites(finding: Finding) -> list[Any] | None:
    from highdicom.sr import FindingSite

    if finding.site is None:
        return None
    laterality = _concept(finding.laterality) if finding.laterality else None
    return [FindingSite(_concept(finding.site), laterality=laterality)]


def _add_texts(group: Any, finding: Finding, point: OperatingPoint | None) -> None:
    texts = [(c.OUTPUT_KEY, finding.key)]
    if finding.operating_point:
        texts.append((c.OPERATING_POINT, finding.operating_point))
    if point is not None:
        texts.append((c.OPERATING_POINT_DESCRIPTION, described(point)))
    for name, value in texts:
        group[0].ContentSequence.append(_text(name, value))


def described(point: OperatingPoint) -> str:
    """Return one sentence on an operating point: its rule, and what was measured there on how many cases."""
    measured = (("sensitivity", point.sensitivity), ("specificity", point.specificity))
    parts = [f"{name} {_estimate(estimate)}" for name, estimate in measured]
    return f"{point.name}: {point.rule}; {parts[0]}, {parts[1]}; measured on {point.measured_on}"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} (95 % interval {estimate.low:.3f} to {estimate.high:.3f}, n={estimate.n})"


def operating_point_of(writing: Writing, finding: Finding) -> OperatingPoint | None:
    """Return the operating point that made the call, from the card; raises NotBuilt when the card has none."""
    if not finding.operating_point:
        return None
    try:
        return writing.card.output(finding.key).operating_point(finding.operating_point)
    except InvalidRecord as problem:
        raise NotBuilt(f"finding {finding.key!r}: {problem}") from problem


def _algorithm(writing: Writing, point: OperatingPoint | None) -> Any:
    from highdicom.sr import AlgorithmIdentification

    parameters = [f"package sha256 {writing.provenance.package_digest}"]
    if point is not None:
        parameters.append(f"operating point {point.name}, threshold {point.threshold:g}")
    return AlgorithmIdentification(
        name=writing.card.name,
        version=writing.provenance.reader_version,
        parameters=parameters,
        manufacturer=MANUFACTURER,
    )


def _region_of(writing: Writing, location: Location) -> Any:
    import numpy as np
    from highdicom.sr import GraphicTypeValues, ImageRegion, SourceImageForRegion

    source = SourceImageForRegion(*_reference(writing, location.image))
    if not isinstance(location, Box):
        return ImageRegion(GraphicTypeValues.POINT, np.array([[location.column, location.row]]), source)
    left, top, right, bottom = location.column_min, location.row_min, location.column_max, location.row_max
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
    return ImageRegion(GraphicTypeValues.POLYLINE, corners, source)


def _source_for_segment(writing: Writing, image: ImageReference) -> Any:
    from highdicom.sr import SourceImageForSegmentation

    return SourceImageForSegmentation(*_reference(writing, image))


def _group_images(writing: Writing, images: Sequence[ImageReference]) -> list[Any] | None:
    from highdicom.sr import SourceImageForMeasurementGroup

    return [SourceImageForMeasurementGroup(*_reference(writing, image)) for image in images] or None


def _reference(writing: Writing, image: ImageReference) -> tuple[str, str, list[int] | None]:
    """Return SOP class, SOP instance and, for a multi-frame source only, the frame (PS3.3 10.3)."""
    source = writing.image(image)
    frames = [image.frame] if source.frames > 1 else None
    return source.header.sop_class_uid, source.header.sop_instance_uid, frames


def _remarks(writing: Writing) -> Any:
    from highdicom.sr import ContainerContentItem, ContentSequence, RelationshipTypeValues

    container = ContainerContentItem(
        _concept(c.QUALITATIVE_EVALUATIONS), relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence([_text(c.COMMENT, line) for line in remarks(writing)])
    return container


def remarks(writing: Writing) -> list[str]:
    """Return the lines that stand under every form of the result."""
    lines = [RESEARCH_USE, *writing.result.notes]
    lines += [f"Not read: image {image.sop_instance_uid}. {why.text()}" for image, why in writing.result.skipped]
    if not shows_marks(writing):
        lines.append("Triage reader: marks are not written on diagnostic images")
    return lines + list(writing.copied.notes) + list(writing.notes)


def _tracking(tracking: TrackingId) -> Any:
    from highdicom.sr import TrackingIdentifier

    return TrackingIdentifier(uid=tracking.uid, identifier=tracking.identifier)


def _text(name: Code, value: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    return TextContentItem(_concept(name), value, RelationshipTypeValues.CONTAINS)


def _children(item: Any) -> Any:
    from highdicom.sr import ContentSequence

    if "ContentSequence" not in item:
        item.ContentSequence = ContentSequence()
    return item.ContentSequence


def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
