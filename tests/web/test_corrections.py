"""Correcting over the pages' own requests: outlines for the script, new versions, refusals with words, conflicts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coread.app.corrections import current_result
from coread.app.web.application import create_app
from coread.app.web.versions import VersionView
from coread.domain.cards import ReaderKind
from coread.domain.codes import Code
from coread.domain.findings import Measurement
from coread.domain.results import ReadResult
from coread.phantoms.ct import CtRecipe, ct_series
from coread.store import Store, StoreSettings
from tests.web import world
from tests.web.browser import TestClient
from tests.web.conftest import Site, form_token
from tests.web.ct_case import REGION_UID, CtCase, read_ct
from tests.web.test_case import page_data

SQUARE = [[14, 9], [22, 9], [22, 15], [14, 15]]


Ward = tuple[Site, CtCase]


def opened(folder: Path) -> Iterator[Ward]:
    with Store.open(StoreSettings(folder, durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        case = read_ct(store, evidence=False)
        context = replace(world.context(store), evidence=lambda *_: ())  # objects have tests of their own
        yield Site(store, passwords, {}, create_app(context)), case


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """For tests that correct something."""
    yield from opened(tmp_path / "ward")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """For tests that only read, or are refused."""
    yield from opened(tmp_path_factory.mktemp("untouched"))


def outline_url(case: CtCase, version: int, number: int) -> str:
    return f"/case/{case.uid}/outlines/{case.work_id}/{version}/{case.images[number].sop_instance_uid}/1"


def correct(client: TestClient, case: CtCase, what: str, **values: object) -> tuple[int, str]:
    form = {"work_id": case.work_id, "version": 1, "reason": "leaks", **values, "csrf": form_token(client)}
    answer = client.post(f"/case/{case.uid}/correct/{what}", data=form)
    return answer.status_code, answer.json().get("detail", "") if answer.status_code >= 400 else ""


def outline(case: CtCase, polygons: object = None, **more: object) -> dict[str, object]:
    drawn = json.dumps([SQUARE] if polygons is None else polygons)
    image = {"sop": case.images[2].sop_instance_uid, "frame": 1}
    return {"region": REGION_UID, "polygons": drawn, **image, **more}


def test_the_page_names_the_regions_and_their_frames(untouched: Ward) -> None:
    site, case = untouched
    data = page_data(site.logged_in("radiologist").get(f"/case/{case.uid}").text)
    regions, places = data["regions"], data["places"]
    assert isinstance(regions, list)
    assert isinstance(places, list)
    (region,) = regions
    assert (region["label"], region["editable"], region["version"]) == ("Nodule", True, 1)
    assert [places[at][0] for at in region["on"]] == [case.images[n].sop_instance_uid for n in (2, 3)]
    assert len(region["at"]) == 6


def test_outlines_of_a_frame_come_as_polygons(untouched: Ward) -> None:
    site, case = untouched
    client = site.logged_in("radiologist")
    (found,) = client.get(outline_url(case, 1, 2)).json()["outlines"]
    assert sorted(found["polygons"][0]) == [[12, 10], [12, 16], [20, 10], [20, 16]]
    assert client.get(outline_url(case, 1, 0)).json() == {"outlines": []}
    assert client.get(outline_url(case, 7, 2)).status_code == 404
    assert client.get(outline_url(case, 1, 2).replace(f"/{case.work_id}/", "/999/")).status_code == 404
    assert site.logged_in("auditor").get(outline_url(case, 1, 2)).status_code == 403


def test_a_corrected_outline_and_number_stand_on_the_page_with_the_versions_before(ward: Ward) -> None:
    site, case = ward
    client = site.logged_in("radiologist")
    assert correct(client, case, "outline", **outline(case))[0] == 303
    assert correct(client, case, "number", version=2, index=2, value="14,25", reason="callipers")[0] == 303
    text = client.get(f"/case/{case.uid}").text
    assert "Version 2" in text
    assert "outline of Nodule, image 3" in text
    assert "12.5 ± 0.4 mm &rarr; 14.25 mm" in text
    assert "the reader said 12.5 ± 0.4" in text
    assert "Back to this" in text
    (found,) = client.get(outline_url(case, 2, 2)).json()["outlines"]
    assert sorted(found["polygons"][0]) == [[14, 9], [14, 15], [22, 9], [22, 15]]
    (before,) = client.get(outline_url(case, 1, 2)).json()["outlines"]
    assert [12, 10] in before["polygons"][0], "the reader's own outline stays visible"
    (first, second) = client.get(f"/api/v1/case/{case.uid}").json()["corrections"]
    assert (first["version"], second["before"], second["after"]) == (2, "12.5 ± 0.4 mm", "14.25 mm")
    actions = [(entry.user, entry.action) for entry in site.store.audit_entries()]
    assert actions.count(("radiologist", "result.corrected")) == 2


def test_going_back_brings_the_numbers_back(ward: Ward) -> None:
    site, case = ward
    client = site.logged_in("radiologist")
    correct(client, case, "number", index=3, value="14")
    assert correct(client, case, "back", version=2, earlier=1)[0] == 303
    assert current_result(site.store, case.work_id, 3).measurements[3].value == 12.5
    assert "back to version 1" in client.get(f"/case/{case.uid}").text


def test_the_second_of_two_people_gets_a_conflict(ward: Ward) -> None:
    site, case = ward
    first, second = site.logged_in("radiologist"), site.logged_in("administrator")
    assert correct(first, case, "number", index=3, value="14")[0] == 303
    status, words = correct(second, case, "outline", **outline(case))
    assert status == 409
    assert "radiologist corrected this result meanwhile (version 2: Length)" in words


@pytest.mark.parametrize(
    ("polygons", "words"),
    [
        ([[[1, 1], [5, 5], [5, 1], [1, 5]]], "crosses itself"),
        ([[[1, 1], [500, 1], [5, 5]]], "leaves the image"),
        ([[[1, 1], [1.2, 1], [1.2, 1.2]]], "empty"),
        ([[1, 2, 3]], "cannot be understood"),
        ({"a": 1}, "cannot be understood"),
        ("[[[", "cannot be understood"),
        ([[[1, None], [2, 2], [3, 1]]], "no number"),
        ([[[1, 10**400], [2, 2], [3, 1]]], "cannot be understood"),
    ],
)
def test_an_outline_that_cannot_be_meant_is_refused_in_words(untouched: Ward, polygons: object, words: str) -> None:
    site, case = untouched
    client = site.logged_in("radiologist")
    sent = outline(case, polygons)
    if polygons == "[[[":
        sent["polygons"] = "[[["
    status, said = correct(client, case, "outline", **sent)
    assert status == 422
    assert words in said
    assert site.store.corrections.of_study(case.uid) == ()


def test_what_is_missing_or_not_allowed_changes_nothing(untouched: Ward) -> None:
    site, case = untouched
    client = site.logged_in("radiologist")
    assert correct(client, case, "number", index=3, value="14", reason=" ")[1].startswith("Say why")
    assert correct(client, case, "number", index=3, value="fourteen")[1] == "'fourteen' is no number."
    assert "no text has" in correct(client, case, "number", index=3, value="14", reason="a\0b")[1]
    assert "may mean two numbers" in correct(client, case, "number", index=3, value="1,234")[1]
    assert correct(client, case, "number", index=99, value="14")[0] == 422
    assert correct(client, case, "number", work_id=999, index=3, value="14")[0] == 404
    assert correct(site.logged_in("auditor"), case, "number", index=3, value="14")[0] == 403
    form = {"work_id": case.work_id, "version": 1, "index": 3, "value": "14", "reason": "x"}
    assert client.post(f"/case/{case.uid}/correct/number", data=form).status_code == 403, "no form token"
    assert site.store.corrections.of_study(case.uid) == ()


def test_a_correction_before_late_images_is_told_of_beside_the_new_reading(ward: Ward) -> None:
    site, case = ward
    client = site.logged_in("radiologist")
    assert correct(client, case, "number", index=3, value="14")[0] == 303
    said = site.store.reading(case.work_id)
    assert said is not None
    assert isinstance(said.ending, ReadResult)
    world.send(site.store, ct_series(CtRecipe(slices=7))[6])
    world.settle(site.store, case.uid)
    world.finish(site.store, said.ending, evidence=False)
    text = client.get(f"/case/{case.uid}").text
    assert "radiologist corrected: Length (leaks)" in text
    assert "does not hold that correction" in text


@pytest.mark.parametrize("version", [world.CARD.version, "9.9.9"])
def test_outlines_of_a_triage_reader_are_not_shown_in_whatever_version_it_is_now(untouched: Ward, version: str) -> None:
    site, case = untouched
    card = replace(world.CARD, kind=ReaderKind.TRIAGE, version=version)
    readers = (replace(world.context(site.store).readers[0], card=card),)
    triage = replace(site, app=create_app(replace(world.context(site.store), readers=readers)))
    client = triage.logged_in("radiologist")
    assert page_data(client.get(f"/case/{case.uid}").text)["regions"] == []
    assert client.get(outline_url(case, 1, 2)).status_code == 404


def test_numbers_of_one_name_are_told_apart_by_their_order() -> None:
    """Such as a density of each view, or changes of lesions that are gone."""
    one = Measurement(Code("DENSITY", "99TEST", "Density"), 1.0, Code("1", "UCUM", "no units"))
    own = ReadResult((), (one, replace(one, value=2.0)))
    view = VersionView(1, 1, own, (), editable=True, marks=True)
    assert [row.own for row in view.numbers(own)] == ["", ""]
    corrected = replace(own, measurements=(one, replace(one, value=3.0)))
    assert [row.own for row in replace(view, version=2, result=corrected).numbers(own)] == ["", "2"]
