"""What a reader's answer must fulfil before it counts: it is compared with the card and with the images given."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codec import decode, encode
from coread.domain.derived import DerivedImages
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Box, Finding, ImageReference, Location, Presence, Region
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.reading import Arrays
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.errors import ContractBroken, OutputNotFinite

_ASSESSED = (Presence.PRESENT, Presence.ABSENT)


def check_outputs(outputs: Arrays) -> None:
    """Raise OutputNotFinite when any network output holds NaN or infinity."""
    for name, values in outputs.items():
        if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
            raise OutputNotFinite(f"network output {name!r} holds numbers that are not finite")


def check_ending(card: ReaderCard, ending: ReadResult | Refusal, given: Sequence[InstanceHeader]) -> None:
    """Raise ContractBroken when the ending contradicts the card or points at images that were not given."""
    _check_storable(ending)
    images = {header.sop_instance_uid: header for header in given}
    for reference, _ in ending.skipped:
        _check_reference(reference, images)
    if isinstance(ending, Refusal):
        return
    _check_keys(card, ending.findings)
    for series in ending.images:
        _check_derived(series, images)
    _check_apart(ending.images, images)
    images = {
        uid: head for uid, head in images.items() if head.sop_class_uid != RAW_DATA_STORAGE
    }  # raw data are no image
    images |= {head.sop_instance_uid: head for series in ending.images for head in _headers_of(series)}
    for finding in ending.findings:
        _check_finding(card.output(finding.key), finding)
        _check_places(finding, images)
    for measurement in ending.measurements:
        finite = math.isfinite(measurement.value) and math.isfinite(measurement.uncertainty or 0.0)
        _require(finite, f"measurement {measurement.concept.meaning!r} is not a finite number")
        for reference in measurement.images:
            _check_reference(reference, images)
    for region in ending.regions:
        _check_region(region, images)
        known = not region.finding_key or region.finding_key in {finding.key for finding in ending.findings}
        _require(known, f"region {region.label!r} shows {region.finding_key!r}, which is no finding of the answer")
    for item in ending.maps:
        for reference in item.images:
            _check_reference(reference, images)


def _check_derived(series: DerivedImages, images: Mapping[str, InstanceHeader]) -> None:
    """Computed images stand on objects that were given, and in no series of theirs."""
    for source in series.sources:
        _check_reference(source, images)
    taken = {header.series_instance_uid for header in images.values()}
    _require(series.series_instance_uid not in taken, f"images {series.label!r} are put into a series that was given")


def _check_apart(computed: Sequence[DerivedImages], images: Mapping[str, InstanceHeader]) -> None:
    names = [reference.sop_instance_uid for series in computed for reference in series.references()]
    _require(len(set(names)) == len(names), "two computed images have the same name")
    _require(images.keys().isdisjoint(names), "a computed image has the name of an image that was given")


def _headers_of(series: DerivedImages) -> Iterator[InstanceHeader]:
    """Yield what findings, regions and maps of the same result may point at."""
    _, rows, columns = series.geometry.shape
    for reference in series.references():
        uids = (reference.series_instance_uid, reference.sop_instance_uid, reference.sop_class_uid)
        yield InstanceHeader("", *uids, "", modality="MR", rows=rows, columns=columns)


def _check_storable(ending: ReadResult | Refusal) -> None:
    """The answer must come out of the store as it went in: plain numbers, tuples and records only."""
    try:
        stored = encode(ending)
        decode(type(ending), stored.document, stored.arrays)
    except (InvalidRecord, ValueError) as problem:
        raise ContractBroken(f"the answer cannot be stored: {problem}") from problem


def _check_keys(card: ReaderCard, findings: Sequence[Finding]) -> None:
    declared = {output.key for output in card.outputs}
    answered = {finding.key for finding in findings}
    _require(not declared - answered, f"no word on the declared outputs {sorted(declared - answered)}")
    _require(not answered - declared, f"findings that the card does not declare: {sorted(answered - declared)}")
    names = [(finding.key, finding.tracking) for finding in findings]
    _require(len(set(names)) == len(names), "two findings with the same key and the same tracking identifier")


def _check_finding(spec: OutputSpec, finding: Finding) -> None:
    key = finding.key
    _require(finding.concept == spec.concept, f"{key}: the concept is not the one on the card")
    present = finding.presence is Presence.PRESENT
    _require(finding.urgent == (present and spec.urgent), f"{key}: urgent must be {present and spec.urgent}")
    if finding.probability is None:
        return
    _require(math.isfinite(finding.probability), f"{key}: the probability is not a finite number")
    if finding.presence not in _ASSESSED:
        return
    try:
        point = spec.operating_point(finding.operating_point)
    except InvalidRecord as problem:
        raise ContractBroken(str(problem)) from problem
    _require(finding.threshold == point.threshold, f"{key}: the threshold is not the one on the card")
    _require(present == (finding.probability >= point.threshold), f"{key}: the call contradicts the threshold")


def _check_places(finding: Finding, images: Mapping[str, InstanceHeader]) -> None:
    for reference in finding.images:
        _check_reference(reference, images)
    for location in finding.locations:
        _check_location(finding.key, location, _check_reference(location.image, images))
    for heat in finding.heat_maps:
        _check_reference(heat.image, images)
        sound = heat.values.ndim == 2 and heat.values.size > 0 and np.isfinite(heat.values).all()
        inside = sound and float(heat.values.min()) >= 0.0 and float(heat.values.max()) <= 1.0
        _require(bool(inside), f"{finding.key}: a heat map is (rows, columns) in [0, 1]")


def _check_location(key: str, location: Location, header: InstanceHeader) -> None:
    rows, columns = header.rows or math.inf, header.columns or math.inf
    if isinstance(location, Box):
        _require(location.column_max <= columns and location.row_max <= rows, f"{key}: a box leaves the image")
        return
    inside = 0 <= location.column <= columns and 0 <= location.row <= rows
    _require(inside, f"{key}: a point leaves the image")


def _check_region(region: Region, images: Mapping[str, InstanceHeader]) -> None:
    for reference in region.images:
        header = _check_reference(reference, images)
        grid = (header.rows or region.mask.shape[-2], header.columns or region.mask.shape[-1])
        _require(region.mask.shape[-2:] == grid, f"region {region.label!r}: the mask is not on the grid of its image")


def _check_reference(reference: ImageReference, images: Mapping[str, InstanceHeader]) -> InstanceHeader:
    header = images.get(reference.sop_instance_uid)
    if header is None:
        raise ContractBroken("the answer points at an image that the reader was not given")
    same = (reference.sop_class_uid, reference.series_instance_uid) == (
        header.sop_class_uid,
        header.series_instance_uid,
    )
    frames = max(1, header.number_of_frames or 1)
    _require(same and 1 <= reference.frame <= frames, "the answer names an image with a wrong class, series or frame")
    return header


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ContractBroken(otherwise)
