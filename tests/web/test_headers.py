import pytest

from coread.app.web.application import create_app
from coread.app.web.middleware import PAGE_BODY_LIMIT, headers_for
from tests.web import world
from tests.web.browser import TestClient
from tests.web.conftest import Site


@pytest.mark.parametrize("path", ["/login", "/static/base.css", "/healthz", "/nowhere"])
def test_every_answer_carries_the_security_headers(hospital: Site, path: str) -> None:
    headers = hospital.client().get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "strict-transport-security" not in headers


def test_pages_allow_no_inline_script_and_nothing_from_elsewhere() -> None:
    policy = headers_for("/", secure=False)["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers_for("/case/1.2", secure=False)["cache-control"] == "no-store"


def test_over_tls_cookies_are_secure_and_bound_to_the_host(ward: Site) -> None:
    app = create_app(world.context(ward.store, cookie_secure=True))
    client = TestClient(app, base_url="https://testserver", follow_redirects=False)
    page = client.get("/login")
    assert "max-age" in page.headers["strict-transport-security"]
    token = page.text.split('name="csrf" value="')[1].split('"')[0]
    answer = client.post("/login", data={"name": "auditor", "password": ward.passwords["auditor"], "csrf": token})
    cookies = [value for key, value in answer.headers.multi_items() if key == "set-cookie"]
    session = next(value for value in cookies if value.startswith("__Host-coread_session="))
    assert "Secure" in session


def test_a_page_takes_no_large_body(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    answer = client.post("/worklist/rows", content=b"x" * (PAGE_BODY_LIMIT + 1))
    assert answer.status_code == 413


def test_no_page_speaks_to_another_address(hospital: Site) -> None:
    client = hospital.logged_in("administrator")
    uid = hospital.sent["positive"].study_uid
    for path in ("/", f"/case/{uid}", "/readers", "/health", "/users", "/audit", "/account", f"/why/{uid}"):
        text = client.get(path).text
        assert 'src="http' not in text
        assert 'href="http' not in text
        assert "<script>" not in text
        assert " style=" not in text
        assert "Research use only - not a medical device" in text, path


def test_our_description_of_the_api_needs_permission(hospital: Site) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert hospital.client().get(path).status_code == 404
    assert hospital.client().get("/api/v1/openapi.json").status_code == 401
    document = hospital.logged_in("auditor").get("/api/v1/openapi.json").json()
    assert "/api/v1/worklist" in document["paths"]
