"""Pointing at a lesion of a stored series over the API: measured, stored when asked for, refused with a reason."""

import math
from typing import Any

import pytest

from coread.app.web.pages.lesions import MOST_IN_LINE
from coread.domain.study import SettledReason
from coread.domain.work import EvidenceKind
from coread.phantoms.ct import Ball, CtRecipe
from coread.store import Store
from tests.imaging.made_series import slices
from tests.web import world
from tests.web.conftest import Site, form_token

CENTER, RADIUS = (12.0, -19.0, 36.0), 7.0
RECIPE = CtRecipe(rows=36, columns=36, slices=14, balls=(Ball(CENTER, RADIUS),))
BOX = [*(c - 8.5 for c in CENTER), *(c + 8.5 for c in CENTER)]
EXACT_ML = 4 / 3 * math.pi * RADIUS**3 / 1000


def _sent(site: Site) -> tuple[str, str]:
    datasets = slices(RECIPE)
    for dataset in datasets:
        uid = world.send(site.store, dataset)
    site.store.settle(uid, SettledReason.MANUAL, "test")
    return uid, str(datasets[0].SeriesInstanceUID)


def _post(site: Site, study: str, role: str = "radiologist", **body: Any) -> Any:
    client = site.logged_in(role)
    return client.post(f"/api/v1/studies/{study}/segment", json=body, headers={"x-csrf-token": form_token(client)})


def test_a_lesion_is_measured_and_nothing_is_stored_unless_asked_for(ward: Site) -> None:
    study, series = _sent(ward)
    answer = _post(ward, study, series_instance_uid=series, box=BOX)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert "Research use" in document["notice"]
    assert document["volume_ml"] == pytest.approx(EXACT_ML, rel=0.1)
    assert document["hounsfield"]["mean"] == pytest.approx(200, abs=10)
    assert (document["stored"], document["work_id"]) == ([], None)
    assert not ward.store.evidence(study)


def test_a_stored_outline_is_a_result_with_provenance_and_is_stored_once(ward: Site) -> None:
    study, series = _sent(ward)
    wanted: dict[str, Any] = {"series_instance_uid": series, "point": list(CENTER), "store": True}
    first, second = _post(ward, study, **wanted).json(), _post(ward, study, **wanted).json()
    assert first["stored"] == second["stored"]
    assert {EvidenceKind.SEG.value, EvidenceKind.SR.value} <= {one["kind"] for one in first["stored"]}
    reading = ward.store.reading(first["work_id"])
    assert reading is not None
    assert reading.provenance.reader_id.startswith("lesion_outline_")
    assert reading.provenance.input_digest
    other = _post(ward, study, series_instance_uid=series, box=BOX, store=True).json()
    assert other["work_id"] != first["work_id"]
    assert "lesion.outlined" in {entry.event for entry in ward.store.history(study)}
    assert {"lesion.outlined", "lesion.stored"} <= {entry.action for entry in ward.store.audit_entries()}
    case = ward.logged_in("radiologist").get(f"/case/{study}")
    assert case.status_code == 200


def test_the_method_is_chosen_by_name_and_a_network_never_falls_back(ward: Site) -> None:
    study, series = _sent(ward)
    wanted: dict[str, Any] = {"series_instance_uid": series, "box": BOX}
    document = _post(ward, study, **wanted, method="classical").json()
    assert (document["method"], document["package_digest"]) == ("classical", "")
    refused = _post(ward, study, **wanted, method="network")
    assert refused.status_code == 422
    assert "no installed reader has a network for boxes" in refused.text
    assert _post(ward, study, **wanted, method="best").status_code == 422


def test_voxel_indices_are_taken_too(ward: Site) -> None:
    study, series = _sent(ward)
    answer = _post(ward, study, series_instance_uid=series, point=[7, 18, 19], coordinates="voxels")
    assert answer.json()["volume_ml"] == pytest.approx(EXACT_ML, rel=0.1)


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "exactly one of point, line and box"),
    ({"point": [0, 0, 0], "box": BOX}, "exactly one of point, line and box"),
    ({"point": [0, 0]}, "A point has 3 numbers"),
    ({"point": [900, 0, 0]}, "outside the volume"),
    ({"box": [0, 0, 30, 0, 9, 40]}, "a side of the box is 0.0 mm"),
    ({"line": [0, 0, 30, 0, 0, "NaN"]}, "missing or malformed"),
    ({"point": [0, 0, 0], "threshold": 3}, "missing or malformed"),
)


def test_what_cannot_be_meant_is_answered_with_what_is_wrong(ward: Site) -> None:
    study, series = _sent(ward)
    client = ward.logged_in("radiologist")
    headers = {"x-csrf-token": form_token(client)}
    for body, text in WRONG:
        wanted = {"series_instance_uid": series, **body}
        answer = client.post(f"/api/v1/studies/{study}/segment", json=wanted, headers=headers)
        assert (answer.status_code, text in answer.text) == (422, True), (body, answer.text)


def test_unknown_studies_and_series_are_not_found(ward: Site) -> None:
    study, series = _sent(ward)
    assert _post(ward, "1.2.3", series_instance_uid=series, box=BOX).status_code == 404
    assert _post(ward, study, series_instance_uid="1.2.3", box=BOX).status_code == 404


def test_who_may_not_open_a_case_may_not_outline_in_it_and_forms_need_their_token(ward: Site) -> None:
    study, series = _sent(ward)
    assert _post(ward, study, role="auditor", series_instance_uid=series, box=BOX).status_code == 403
    body = {"series_instance_uid": series, "box": BOX}
    client = ward.logged_in("radiologist")
    assert client.post(f"/api/v1/studies/{study}/segment", json=body).status_code == 403
    assert ward.client().post(f"/api/v1/studies/{study}/segment", json=body).status_code == 401


def test_a_long_line_of_outlines_does_not_take_the_threads_of_all_pages(ward: Site) -> None:
    study, series = _sent(ward)
    line = ward.app.state.outlining_line
    for _ in range(MOST_IN_LINE):
        assert line.acquire(blocking=False)
    assert _post(ward, study, series_instance_uid=series, box=BOX).status_code == 503
    line.release()
    assert _post(ward, study, series_instance_uid=series, box=BOX).status_code == 200
    assert line.acquire(blocking=False), "the turn was given back"


def test_who_stores_what_another_is_storing_is_told_so(ward: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    study, series = _sent(ward)
    monkeypatch.setattr(Store, "claim_work", lambda *_: None)
    answer = _post(ward, study, series_instance_uid=series, box=BOX, store=True)
    assert (answer.status_code, "by another process" in answer.text) == (409, True)
