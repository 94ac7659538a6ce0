"""QIDO-RS against PS3.18 section 10.6."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coread.app.web.dicomweb.archive import Resource
from coread.app.web.dicomweb.errors import BadRequest
from coread.app.web.dicomweb.frames import frame_numbers
from coread.app.web.dicomweb.json_model import to_bytes
from coread.app.web.dicomweb.rendered import parse_look
from coread.app.web.dicomweb.search import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    parse_search,
    search_instances,
    search_series,
    search_studies,
)
from coread.store import Store
from tests.deliver.objects import secondary_capture
from tests.dicomweb.archive import AppClient, add, served_store

ONE, TWO = "1.2.826.0.1.3680043.8.498.11", "1.2.826.0.1.3680043.8.498.12"
NAMES = (*STUDY_KEYS, *SERIES_KEYS, *INSTANCE_KEYS, "limit", "offset", "includefield", "fuzzymatching")
JSON = {"Accept": "application/dicom+json"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, AppClient]]:
    folder = tmp_path_factory.mktemp("qido")
    paths = [secondary_capture(folder / f"a{n}.dcm", number=n, study=ONE, series=f"{ONE}.{n % 2}") for n in range(4)]
    paths += [secondary_capture(folder / "b.dcm", study=TWO, series=f"{TWO}.1")]
    with served_store(folder / "store") as (store, client):
        add(store, paths)
        yield store, client


def _get(served: tuple[Store, AppClient], path: str) -> list[dict[str, Any]]:
    answer = served[1].get(f"/dicomweb{path}", headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    items: list[dict[str, Any]] = answer.json()
    return items


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        (f"?StudyInstanceUID={ONE}", 1),
        (f"?0020000D={ONE},{TWO}", 2),
        (f"?0020000d={ONE}%5C{TWO}", 2),
        ("?PatientName=synthetic*", 2),
        ("?00100010=NOBODY*", 0),
        ("?PatientID=SYN-?", 2),
        ("?StudyDate=20260101-20260103", 2),
        ("?StudyDate=20260103-", 0),
        ("?StudyDate=-20260102", 2),
        ("?ModalitiesInStudy=OT", 2),
        ("?ModalitiesInStudy=CT", 0),
        ("?AccessionNumber=A1&limit=1", 1),
        ("?offset=1", 1),
        ("?PatientName=&includefield=StudyDescription", 2),
    ],
)
def test_studies_match_by_keyword_tag_wildcard_range_and_list(
    served: tuple[Store, AppClient], query: str, count: int
) -> None:
    assert len(_get(served, f"/studies{query}")) == count


def test_a_study_carries_the_required_attributes(served: tuple[Store, AppClient]) -> None:
    [study] = _get(served, f"/studies?StudyInstanceUID={ONE}")
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "SYNTHETIC^TEST"}]}
    assert study["00201206"] == {"vr": "IS", "Value": [2]}
    assert study["00201208"] == {"vr": "IS", "Value": [4]}
    assert study["00080061"] == {"vr": "CS", "Value": ["OT"]}
    assert study["00081190"]["Value"] == [f"http://coread.test/dicomweb/studies/{ONE}"]
    for tag in ("00080020", "00080030", "00080050", "00080056", "00080090", "00100020", "00100030", "00100040"):
        assert tag in study
    assert study["00080090"] == {"vr": "PN"}


def test_series_and_instances_are_found_at_every_level(served: tuple[Store, AppClient]) -> None:
    assert len(_get(served, f"/studies/{ONE}/series")) == 2
    assert len(_get(served, f"/studies/{ONE}/series?Modality=OT")) == 2
    assert _get(served, f"/studies/{ONE}/series?Modality=SR") == []
    assert len(_get(served, "/series")) == 3
    assert len(_get(served, f"/series?StudyInstanceUID={TWO}")) == 1
    assert len(_get(served, f"/studies/{ONE}/instances")) == 4
    assert len(_get(served, f"/studies/{ONE}/series/{ONE}.1/instances")) == 2
    assert len(_get(served, "/instances")) == 5
    assert len(_get(served, f"/studies/{ONE}/instances?Modality=OT&InstanceNumber=1")) == 1
    assert len(_get(served, "/instances?PatientID=SYN-1&limit=3&offset=1")) == 3
    assert _get(served, "/studies/1.2.3.4/series") == []
    [series] = _get(served, f"/studies/{TWO}/series")
    assert series["00201209"] == {"vr": "IS", "Value": [1]}


def test_an_instance_carries_what_includefield_names(served: tuple[Store, AppClient]) -> None:
    [plain] = _get(served, f"/studies/{TWO}/instances")
    assert plain["00280010"]["Value"] == [32]
    assert "00280004" not in plain
    for name in ("PhotometricInterpretation", "00280004", "all"):
        [more] = _get(served, f"/studies/{TWO}/instances?includefield={name}")
        assert more["00280004"]["Value"] == ["MONOCHROME2"]


def test_what_is_not_matched_on_is_said_in_a_warning(served: tuple[Store, AppClient]) -> None:
    answer = served[1].get("/dicomweb/studies?fuzzymatching=true&OperatorsName=X&limit=1", headers=JSON)
    warnings = answer.headers["warning"]
    assert "fuzzymatching parameter is not supported" in warnings
    assert "OperatorsName" in warnings
    assert "additional results" in warnings


@pytest.mark.parametrize(
    "path",
    [
        "/studies?NoSuchKeyword=1",
        "/studies?limit=-1",
        "/studies?limit=many",
        "/studies?offset=1.5",
        "/studies?StudyInstanceUID=1.2.x",
        f"/studies/{ONE}/series?SeriesNumber=one",
        "/studies/1.2.%2e%2e%2f/series",
        f"/studies/{'1' * 65}/series",
    ],
)
def test_what_cannot_be_meant_is_400(served: tuple[Store, AppClient], path: str) -> None:
    answer = served[1].get(f"/dicomweb{path}", headers=JSON)
    assert answer.status_code in (400, 404), answer.text


def test_xml_is_not_acceptable(served: tuple[Store, AppClient]) -> None:
    answer = served[1].get("/dicomweb/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert answer.status_code == 406


@given(st.lists(st.tuples(st.sampled_from([*NAMES]) | st.text(max_size=12), st.text(max_size=20)), max_size=6))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_gives_anything_but_an_answer_or_400(
    served: tuple[Store, AppClient], pairs: list[tuple[str, str]]
) -> None:
    store, _ = served
    try:
        search = parse_search(pairs)
        for found in (
            search_studies(store, search, ""),
            search_series(store, search, None, ""),
            search_instances(store, search, Resource(ONE), ""),
        ):
            to_bytes(found.items)
    except BadRequest:
        return


@given(st.dictionaries(st.sampled_from(["window", "viewport", "quality"]), st.text("0123456789,.-einfa", max_size=20)))
def test_no_rendering_parameter_gives_anything_but_a_look_or_400(parameters: dict[str, str]) -> None:
    try:
        look = parse_look(parameters)
    except BadRequest:
        return
    assert look.width is None or 0 < look.width <= 8192


@given(st.text(max_size=30))
def test_no_frame_list_gives_anything_but_numbers_from_one_or_400(text: str) -> None:
    try:
        numbers = frame_numbers(text)
    except BadRequest:
        return
    assert all(number >= 1 for number in numbers)
