"""Whatever lies in preprocessing.json, reading it gives a plan that can be followed or BadPlan, at once."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.images import PlanarImage, Quantity
from coread.domain.study import InstanceHeader
from coread.imaging.plan import (
    FITS,
    FORMS,
    MAX_BYTES,
    MAX_SIDE,
    BadPlan,
    PlanarPlan,
    PlannedOutput,
    PlannedRegion,
    VolumePlan,
    in_header,
    plan_from_json,
    plan_to_json,
)
from coread.imaging.planned_pixels import planned_array
from coread.imaging.stretch import stretched

PLANAR = json.loads(plan_to_json(PlanarPlan((PlannedOutput("a", "logits", 0),), 16, 16, covariates=("age",))))
VOLUME = json.loads(plan_to_json(VolumePlan((PlannedRegion("liver", 1),), roi=(32, 32, 32), spacing_mm=(1, 1, 1))))
HEADER = InstanceHeader("1.2", "1.3", "1.4", "1.5", "1.6")

hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=20)
    | st.sampled_from(["__import__('os').system('x')", "../../etc/passwd", "\x00", "@eval", "$import", "1e999"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def answer(document: bytes | str) -> PlanarPlan | VolumePlan | None:
    """The plan, or None where it is refused; any other error is a bug."""
    try:
        return plan_from_json(document)
    except BadPlan:
        return None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([PLANAR, VOLUME]), st.data())
def test_a_hostile_value_in_any_place_is_refused_or_harmless(good: dict[str, Any], data: st.DataObject) -> None:
    body = json.loads(json.dumps(good))
    key = data.draw(st.sampled_from(sorted(body)) | st.text(max_size=10))
    place: Any = body
    if isinstance(body.get(key), list) and body[key] and isinstance(body[key][0], dict) and data.draw(st.booleans()):
        place, key = body[key][0], data.draw(st.sampled_from(sorted(body[key][0])))
    place[key] = data.draw(hostile)
    plan = answer(json.dumps(body))
    if isinstance(plan, PlanarPlan):
        assert 1 <= plan.rows <= MAX_SIDE
        assert 1 <= plan.columns <= MAX_SIDE
        assert all(in_header(name) for name in plan.covariates)
    if plan is not None:
        assert "/" not in plan.graph
        assert answer(plan_to_json(plan)) == plan


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_bytes_that_are_no_plan_are_refused(document: bytes | str) -> None:
    assert answer(document) is None


@pytest.mark.parametrize(
    "document",
    [
        "[" * 200_000,
        '{"schema": 1, "kind": "planar", "outputs": ' + "[" * 100_000 + "]" * 100_000 + "}",
        " " * (MAX_BYTES + 1),
        '{"schema": 1, "kind": ["planar"]}',
        '{"schema": 1}',
        "null",
        json.dumps(PLANAR).replace("0.0", "NaN", 1),
        json.dumps(PLANAR).replace("0.0", "1e400", 1),
        json.dumps(PLANAR | {"rows": 10**9}),
        json.dumps(PLANAR | {"rows": 16.0}),
        json.dumps(PLANAR | {"rows": True}),
        json.dumps(PLANAR | {"rows": "16"}),
        json.dumps(PLANAR | {"mean": ["0.5"]}),
        json.dumps(PLANAR | {"mean": [[0.5]]}),
        json.dumps(PLANAR | {"graph": "../network"}),
        json.dumps(PLANAR | {"graph": ""}),
        json.dumps(PLANAR | {"steps": 7}),
        json.dumps(PLANAR | {"covariates": ["age", "open('x')"]}),
        json.dumps(PLANAR | {"covariates": "age"}),
        json.dumps(PLANAR | {"outputs": [PLANAR["outputs"][0]] * 2000}),
        json.dumps(PLANAR | {"outputs": [PLANAR["outputs"][0] | {"form": "pickle"}]}),
        json.dumps(PLANAR | {"outputs": [PLANAR["outputs"][0] | {"form": "boxes"}], "fit": "pad"}),
        json.dumps(PLANAR | {"outputs": [PLANAR["outputs"][0] | {"form": "class"}], "scores": "probability"}),
        json.dumps(PLANAR | {"outputs": [PLANAR["outputs"][0] | {"__class__": "os"}]}),
        json.dumps(PLANAR | {"outputs": ["a"]}),
        json.dumps(VOLUME | {"roi": [100_000, 100_000, 100_000]}),
        json.dumps(VOLUME | {"spacing_mm": [1e-320, 1.0, 1.0, 1.0]}),
        json.dumps(VOLUME | {"overlap": 1.0}),
        json.dumps(VOLUME | {"orientation": 5}),
    ],
)
def test_known_attacks_are_refused(document: str) -> None:
    with pytest.raises(BadPlan):
        plan_from_json(document)


def test_an_index_twice_in_a_document_or_a_pickle_is_no_way_in() -> None:
    assert answer(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.") is None
    assert answer('{"schema": 2, "schema": 1, "kind": "code"}') is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(FITS), st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(1, 50),
    st.sampled_from([0, 255]), st.sampled_from([1, 3]),
)  # fmt: skip
def test_every_image_becomes_an_input_of_the_planned_size(
    fit: str, rows: int, columns: int, height: int, width: int, steps: int, channels: int
) -> None:
    plan = PlanarPlan((PlannedOutput("a", "x", 0),), rows, columns, channels, fit, steps=steps)
    pixels = np.random.default_rng(0).random((height, width), dtype=np.float32)
    made = planned_array(plan, PlanarImage(pixels, Quantity.DISPLAY, HEADER))
    assert made.shape == (channels, rows, columns)
    assert made.dtype == np.float32
    assert 0.0 <= made.min() <= made.max() <= 1.0 + 1e-6


def test_a_packed_square_goes_the_very_way_of_training() -> None:
    pixels = np.random.default_rng(1).random((37, 51), dtype=np.float32)
    plan = PlanarPlan((PlannedOutput("a", "x", 0),), 64, 64, steps=255)
    made = planned_array(plan, PlanarImage(pixels, Quantity.DISPLAY, HEADER))
    assert np.array_equal(made, stretched(pixels, 64))


def test_every_form_survives_the_file() -> None:
    outputs = tuple(PlannedOutput(f"o{n}", "x", n, form) for n, form in enumerate(FORMS))
    plan = PlanarPlan(outputs, 32, 32, steps=255, covariates=("age", "sex", "sex:F", "view:AP"))
    assert plan_from_json(plan_to_json(plan)) == plan
