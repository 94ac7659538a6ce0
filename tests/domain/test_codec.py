"""Records survive JSON exactly; documents that do not fit are refused; nothing in the data names a class to build."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coread.domain.cards import Estimate, OperatingPoint
from coread.domain.codec import decode, encode
from coread.domain.codes import CHEST, PRESENT, Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import (
    Box,
    Finding,
    HeatMap,
    ImageReference,
    Measurement,
    Point,
    Presence,
    Region,
    TrackingId,
)
from coread.domain.geometry import Geometry
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Failure, Provenance, Reading, ReadResult, Refusal

TEXT = st.text(max_size=12)
UNIT = st.floats(0.0, 1.0)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
CODES = st.builds(
    Code, st.text(min_size=1, max_size=16), st.text(min_size=1, max_size=16), st.text(min_size=1, max_size=64)
)
IMAGES = st.builds(ImageReference, TEXT, TEXT, TEXT, st.integers(1, 9))
TRACKING = st.none() | st.builds(TrackingId, TEXT, TEXT)
CORNERS = st.floats(0, 100)
BOXES = st.builds(
    lambda image, c, r, w, h: Box(image, c, r, c + w, r + h),
    IMAGES,
    CORNERS,
    CORNERS,
    st.floats(1, 50),
    st.floats(1, 50),
)
POINTS = st.builds(Point, IMAGES, CORNERS, CORNERS)
HEAT = st.builds(HeatMap, IMAGES, arrays.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
FINDINGS = st.builds(
    Finding,
    key=TEXT,
    concept=CODES,
    presence=st.sampled_from([Presence.PRESENT, Presence.ABSENT]),
    probability=st.none() | UNIT,
    threshold=UNIT,
    operating_point=st.just("balanced"),
    site=st.none() | CODES,
    tracking=TRACKING,
    images=st.lists(IMAGES, max_size=2).map(tuple),
    locations=st.lists(BOXES | POINTS, max_size=3).map(tuple),
    heat_maps=st.lists(HEAT, max_size=2).map(tuple),
    urgent=st.booleans(),
)
REGIONS = st.builds(
    lambda image, mask, geometry: Region(
        "r", CHEST, PRESENT, mask, (image,) * mask.shape[0], TrackingId("r 1", "1.2"), geometry
    ),
    IMAGES,
    arrays.arrays(np.bool_, (2, 3, 4)),
    st.none()
    | st.just(Geometry((2, 3, 4), ((0.0, 0.0, 1.0, 5.0), (0.0, 2.0, 0.0, -5.0), (3.0, 0.0, 0.0, 0.0)), "1.2")),
)
MEASUREMENTS = st.builds(Measurement, CODES, FINITE, CODES, st.none() | FINITE, st.none() | CODES, TRACKING)
REASONS = st.builds(Reason, st.sampled_from(ReasonCode), TEXT)
SKIPPED = st.lists(st.tuples(IMAGES, REASONS), max_size=2).map(tuple)
RESULTS = st.builds(
    ReadResult,
    st.lists(FINDINGS, min_size=1, max_size=3).map(tuple),
    st.lists(MEASUREMENTS, max_size=2).map(tuple),
    st.lists(REGIONS, max_size=1).map(tuple),
    SKIPPED,
    st.lists(TEXT, max_size=2).map(tuple),
)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
PROVENANCE = st.builds(
    Provenance,
    *[TEXT] * 6,
    MOMENTS,
    MOMENTS,
    st.lists(st.tuples(TEXT, FINITE), max_size=3).map(tuple),
)
READINGS = st.builds(
    Reading, st.one_of(RESULTS, st.builds(Refusal, REASONS, SKIPPED), st.builds(Failure, TEXT, TEXT, TEXT)), PROVENANCE
)


@given(READINGS)
def test_a_reading_comes_back_as_it_was(reading: Reading) -> None:
    stored = encode(reading)
    back = decode(Reading, stored.document, stored.arrays)
    assert type(back.ending) is type(reading.ending)
    assert back.outcome() is reading.outcome()
    assert back.provenance == reading.provenance
    again = encode(back)
    assert again.document == stored.document
    assert again.arrays.keys() == stored.arrays.keys()
    for name, array in stored.arrays.items():
        assert np.array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


@given(FINITE)
def test_every_finite_number_survives_to_the_last_bit(value: float) -> None:
    measurement = Measurement(CHEST, value, PRESENT)
    stored = encode(measurement)
    assert decode(Measurement, stored.document).value == value


@given(READINGS, st.data())
def test_a_document_with_a_key_taken_out_is_refused(reading: Reading, data: st.DataObject) -> None:
    stored = encode(reading)
    body = json.loads(stored.document)
    name = data.draw(st.sampled_from(["ending", "provenance"]))
    del body[name]
    with pytest.raises(InvalidRecord):
        decode(Reading, json.dumps(body), stored.arrays)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "null",
        "[]",
        "{}",
        "3",
        '{"value": "high", "low": 0, "high": 1, "n": 3}',
        '{"value": 0.5, "low": 0, "high": 1, "n": true}',
        '{"value": 0.5, "low": 0.9, "high": 1, "n": 3}',
        '{"value": 0.5, "low": 0, "high": 1, "n": 3.5}',
    ],
)
def test_a_document_of_another_shape_is_refused(document: str) -> None:
    with pytest.raises(InvalidRecord):
        decode(Estimate, document)


def test_the_data_cannot_name_a_class_of_its_own() -> None:
    stored = encode(Reading(Failure("a", "b"), _provenance()))
    body = json.loads(stored.document)
    body["ending"]["type"] = "OperatingPoint"
    with pytest.raises(InvalidRecord):
        decode(Reading, json.dumps(body))


@dataclass(frozen=True)
class Odd:
    """A record that holds something without a JSON form."""

    value: Any


@pytest.mark.parametrize("value", [b"bytes", {"a": 1}, np.float32(1.0), np.int64(1), object()])
def test_what_has_no_json_form_is_refused_when_written(value: object) -> None:
    with pytest.raises(InvalidRecord):
        encode(Odd(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_when_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode(Measurement(CHEST, value, PRESENT))


def test_an_operating_point_keeps_its_estimates() -> None:
    estimate = Estimate(0.9, 0.8, 0.95, 100)
    point = OperatingPoint("balanced", 0.5, "by hand", estimate, estimate, "here")
    assert decode(OperatingPoint, encode(point).document) == point


def _provenance() -> Provenance:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Provenance("r", "1", "p", "i", "c", "o", now, now)


def test_a_document_from_before_a_field_was_added_is_read_with_its_default() -> None:
    volume = Measurement(Code("118565006", "SCT", "Volume"), 1.5, Code("ml", "UCUM", "milliliter"))
    stored = encode(volume)
    older = json.loads(stored.document)
    del older["derivation"], older["site"]
    assert decode(Measurement, json.dumps(older), stored.arrays) == volume


def test_a_document_without_a_field_that_has_no_default_is_refused() -> None:
    stored = encode(Measurement(Code("118565006", "SCT", "Volume"), 1.5, Code("ml", "UCUM", "milliliter")))
    older = json.loads(stored.document)
    del older["unit"]
    with pytest.raises(InvalidRecord, match="cannot be decoded"):
        decode(Measurement, json.dumps(older), stored.arrays)
