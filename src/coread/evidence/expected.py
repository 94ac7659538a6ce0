"""What a report has to say of a result: the result itself, as far as a report can carry it.

The differences, all of them: a thing without a tracking identifier is given one; numbers in percent and
graphic coordinates are rounded as their attributes are (FD times 100, FL); heat maps are explanations and
stay out of the report; a triage reader's marks stay off the images.
"""

from dataclasses import replace

import numpy as np

from coread.domain.findings import Box, Finding, Location, Measurement, Point
from coread.evidence.sr import shows_marks
from coread.evidence.writing import Writing


def expected_findings(writing: Writing) -> tuple[Finding, ...]:
    """Return the findings as the report has to say them, in order."""
    return tuple(_finding(writing, finding, index) for index, finding in enumerate(writing.result.findings))


def expected_measurements(writing: Writing, *, regions_written: frozenset[str]) -> tuple[Measurement, ...]:
    """Return the measurements as the report has to say them: those of written regions first, then the rest."""
    regions = {region.tracking.uid: region for region in writing.result.regions}
    taken: list[Measurement] = []
    for uid, region in regions.items():
        if uid in regions_written:
            taken += [_exact(replace(m, tracking=region.tracking)) for m in writing.measured(region)]
    for index, measurement in enumerate(writing.result.measurements):
        if measurement.tracking is None or measurement.tracking.uid not in regions_written:
            tracking = writing.measurement_tracking(measurement, index)
            taken.append(_exact(replace(measurement, tracking=tracking)))
    return tuple(taken)


def _exact(measurement: Measurement) -> Measurement:
    half = measurement.uncertainty
    return replace(measurement, value=float(measurement.value), uncertainty=None if half is None else float(half))


def _finding(writing: Writing, finding: Finding, index: int) -> Finding:
    return replace(
        finding,
        tracking=writing.tracking(finding, index),
        probability=_percent(finding.probability),
        threshold=_percent(finding.threshold),
        locations=tuple(_single(place) for place in finding.locations) if shows_marks(writing) else (),
        heat_maps=(),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else value * 100.0 / 100.0


def _single(location: Location) -> Location:
    """Round to the single precision of Graphic Data (0070,0022)."""
    if isinstance(location, Point):
        return Point(location.image, float(np.float32(location.column)), float(np.float32(location.row)))
    edges = (location.column_min, location.row_min, location.column_max, location.row_max)
    return Box(location.image, *(float(np.float32(edge)) for edge in edges))
