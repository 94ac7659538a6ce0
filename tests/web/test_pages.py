from pathlib import Path

from coread.app.web.accounts import bootstrap_admin
from coread.domain.work import DeliveryState
from coread.store import Store, StoreSettings
from tests.web import world
from tests.web.conftest import Site, form_token, log_in, post


def test_the_api_tells_what_the_pages_tell(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    worklist = client.get("/api/v1/worklist").json()
    assert worklist["notice"] == "Research use only - not a medical device"
    assert worklist["items"][0]["study"]["study_instance_uid"] == hospital.sent["positive"].study_uid
    outcomes = {item["outcomes"][0]["outcome"] for item in worklist["items"] if item["outcomes"]}
    assert outcomes == {"positive", "negative", "not_analysed", "failed", None}
    case = client.get(f"/api/v1/case/{hospital.sent['positive'].study_uid}").json()
    finding = next(one for one in case["readers"][0]["findings"] if one["key"] == "pneumothorax")
    assert (finding["presence"], finding["operating_point"]) == ("present", "balanced")
    kinds = {one["kind"] for one in case["readers"][0]["objects"]}
    assert {"SR", "SEG", "SC", "KOS"} <= kinds
    assert client.get("/api/v1/readers").json()["readers"][0]["reader_id"] == "chest_test"
    health = client.get("/api/v1/health").json()
    assert health["level"] == "warning"
    assert health["outcomes_last_day"]["positive"] == 2
    destinations = client.get("/api/v1/destinations").json()
    assert [one["breaker"] for one in destinations["destinations"]] == ["closed", "open"]


def test_why_answers_to_uid_and_accession_number(hospital: Site) -> None:
    client = hospital.logged_in("auditor")
    sent = hospital.sent["not_analysed"]
    by_number = client.get(f"/why/{sent.accession_number}")
    assert by_number.headers["location"] == f"/why/{sent.study_uid}"
    assert "the patient is 3 years old" in client.get(f"/why/{sent.study_uid}").text
    assert client.get(f"/api/v1/why/{sent.accession_number}").json()["readers"][0]["outcome"] == "not_analysed"
    for nothing in ("NOSUCH", "*", "ACC*"):
        assert client.get(f"/why/{nothing}").status_code == 404
    typed = client.post("/why", data={"identifier": sent.accession_number, "csrf": form_token(client)})
    assert typed.headers["location"] == f"/why/{sent.study_uid}"


def test_a_dead_letter_is_sent_again_on_request(ward: Site) -> None:
    store = ward.store
    image = world.chest(9, rows=64)
    world.read_study(store, image, {"effusion": 0.8})
    delivery = store.claim_delivery("PACS", "test", 30)
    assert delivery is not None
    store.delivery_dead(delivery.delivery_id, "connection refused")
    client = ward.logged_in("administrator")
    assert "connection refused" in client.get("/destinations").text
    assert post(ward.logged_in("radiologist"), f"/destinations/resend/{delivery.delivery_id}") == 403
    assert post(client, f"/destinations/resend/{delivery.delivery_id}") == 303
    again = store.delivery(delivery.delivery_id)
    assert again is not None
    assert again.state is DeliveryState.QUEUED
    assert post(client, f"/destinations/resend/{delivery.delivery_id}") == 404
    assert post(client, "/destinations/resend-all") == 303


def test_an_administrator_adds_resets_disables_and_enables(ward: Site) -> None:
    client = ward.logged_in("administrator")
    token = form_token(client)
    added = client.post("/users", data={"csrf": token, "name": "dr.new", "role": "radiologist"}).text
    password = added.split('id="secret">')[1].split("<")[0]
    assert log_in(ward.client(), "dr.new", password) == 303
    assert post(client, "/users", name="dr.new", role="radiologist") == 422
    assert post(client, "/users", name="../x", role="radiologist") == 422
    assert post(client, "/users", name="other", role="king") == 422
    reset = client.post("/users/dr.new/reset", data={"csrf": token}).text
    assert log_in(ward.client(), "dr.new", password) == 401
    assert log_in(ward.client(), "dr.new", reset.split('id="secret">')[1].split("<")[0]) == 303
    assert post(client, "/users/administrator/disable") == 422, "nobody locks themselves out"
    assert post(client, "/users/nobody/disable") == 404
    assert post(client, "/users/dr.new/disable") == 200
    assert post(client, "/users/dr.new/enable") == 200
    actions = [entry.action for entry in ward.store.audit_entries() if entry.target == "dr.new"]
    assert actions[::-1] == ["user.added", "user.password_reset", "user.disabled", "user.enabled"]


def test_the_first_administrator_gets_a_random_password_once(tmp_path: Path) -> None:
    with Store.open(StoreSettings(tmp_path / "new", durable=False), migrate=True) as store:
        password = bootstrap_admin(store)
        assert password is not None
        assert len(password) >= 20
        assert bootstrap_admin(store) is None
        assert store.users()[0].role == "administrator"


def test_empty_pages_say_what_to_do_next(tmp_path: Path) -> None:
    from coread.app.web.application import create_app
    from coread.app.web.context import WebContext

    with Store.open(StoreSettings(tmp_path / "empty", durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        site = Site(store, passwords, {}, create_app(WebContext(store)))
        client = site.logged_in("administrator")
        assert "coread send" in client.get("/").text
        assert "coread readers" in client.get("/readers").text
        assert "[[destinations]]" in client.get("/destinations").text
        assert "coread doctor" in client.get("/health").text
        assert client.get("/viewer").status_code == 404
