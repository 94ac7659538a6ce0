from coread.app.web.accounts import bootstrap_admin
from coread.app.web.pages.login import safe_target
from coread.app.web.passwords import hash_password, hash_token, password_matches
from coread.app.web.throttle import LoginThrottle, ThrottleSettings
from tests.web.browser import TestClient
from tests.web.conftest import Site, form_token, log_in, post


def test_a_right_password_opens_the_worklist(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    answer = client.get("/")
    assert answer.status_code == 200
    assert "Worklist" in answer.text


def test_a_wrong_password_and_an_unknown_name_look_the_same(hospital: Site) -> None:
    texts = []
    for name in ("radiologist", "nobody"):
        client = hospital.client()
        form = client.get("/login").text
        token = form.split('name="csrf" value="')[1].split('"')[0]
        answer = client.post("/login", data={"name": name, "password": "wrong", "csrf": token})
        assert answer.status_code == 401
        texts.append(answer.text.replace(f'value="{name}"', ""))
    assert texts[0].split("<main")[1].count("Name or password is wrong") == 1
    assert texts[1].split("<main")[1].count("Name or password is wrong") == 1


def test_the_session_cookie_is_closed_to_scripts_and_stored_only_hashed(ward: Site) -> None:
    client = ward.client()
    token = client.get("/login").text.split('name="csrf" value="')[1].split('"')[0]
    answer = client.post("/login", data={"name": "auditor", "password": ward.passwords["auditor"], "csrf": token})
    cookie = next(value for key, value in answer.headers.multi_items() if "coread_session=" in value)
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    secret = client.cookies["coread_session"]
    assert ward.store.session(secret) is None
    assert ward.store.session(hash_token(secret)) is not None


def test_logging_out_ends_the_session_on_the_server(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    secret = client.cookies["coread_session"]
    assert post(client, "/logout") == 303
    other = ward.client()
    other.cookies.set("coread_session", secret)
    assert other.get("/", headers={"accept": "text/html"}).status_code == 303


def test_a_disabled_user_is_out_at_once(ward: Site) -> None:
    radiologist, administrator = ward.logged_in("radiologist"), ward.logged_in("administrator")
    assert post(administrator, "/users/radiologist/disable") == 200
    assert radiologist.get("/api/v1/worklist").status_code == 401
    assert log_in(ward.client(), "radiologist", ward.passwords["radiologist"]) == 401


def test_guessing_is_slowed_down_and_audited(ward: Site) -> None:
    client = ward.client()
    statuses = [log_in(client, "radiologist", "wrong password") for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert log_in(client, "radiologist", ward.passwords["radiologist"]) == 429
    actions = [entry.action for entry in ward.store.audit_entries()]
    assert actions.count("login.failed") == 5
    assert actions.count("login.throttled") == 2


def test_pauses_grow_and_are_forgotten() -> None:
    now = [0.0]
    throttle = LoginThrottle(ThrottleSettings(free_per_account=2, first_pause_seconds=10), clock=lambda: now[0])
    throttle.failed("a", "x")
    assert throttle.seconds_to_wait("a", "x") == 0
    throttle.failed("A", "x")
    assert throttle.seconds_to_wait("a", "x") == 10
    assert throttle.seconds_to_wait("a", "other address") == 0
    now[0] = 11
    throttle.failed("a", "x")
    assert throttle.seconds_to_wait("a", "x") == 20
    now[0] = 10_000
    throttle.failed("a", "x")
    assert throttle.seconds_to_wait("a", "x") == 0


def test_the_first_administrator_is_made_once(ward: Site) -> None:
    assert bootstrap_admin(ward.store) is None


def test_a_login_form_without_its_token_is_refused(hospital: Site) -> None:
    answer = hospital.client().post("/login", data={"name": "auditor", "password": hospital.passwords["auditor"]})
    assert answer.status_code == 403


def test_after_login_people_stay_on_this_site() -> None:
    assert safe_target("/case/1.2.3") == "/case/1.2.3"
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/\t/x"):
        assert safe_target(elsewhere) == "/"


def test_a_new_password_ends_other_sessions(ward: Site) -> None:
    here, there = ward.logged_in("radiologist"), ward.logged_in("radiologist")
    changed = post(
        here,
        "/account/password",
        before=ward.passwords["radiologist"],
        after="a much longer one",
        again="a much longer one",
    )
    assert changed == 303
    assert here.get("/").status_code == 200
    assert there.get("/api/v1/worklist").status_code == 401
    assert log_in(ward.client(), "radiologist", "a much longer one") == 303


def test_a_short_or_different_new_password_is_refused(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    now = ward.passwords["radiologist"]
    assert post(client, "/account/password", before=now, after="short", again="short") == 422
    assert post(client, "/account/password", before=now, after="one long password", again="another password") == 422
    assert (
        post(client, "/account/password", before="wrong", after="one long password", again="one long password") == 422
    )


def test_an_api_token_works_until_it_is_revoked(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    made = client.post("/account/tokens", data={"csrf": form_token(client), "label": "workstation", "days": 30})
    token = made.text.split('id="secret">')[1].split("<")[0]
    program = TestClient(ward.app, headers={"authorization": f"Bearer {token}"})
    assert program.get("/api/v1/worklist").status_code == 200
    assert program.get("/users").status_code == 403
    assert ward.store.user_of_api_token(token) is None, "only the hash is stored"
    token_id = ward.store.api_tokens("radiologist")[0].token_id
    assert post(ward.logged_in("auditor"), f"/account/tokens/{token_id}/revoke") == 404, "not somebody else's"
    assert post(client, f"/account/tokens/{token_id}/revoke") == 200
    assert program.get("/api/v1/worklist").status_code == 401


def test_passwords_are_argon2id_and_an_unknown_user_never_matches() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert password_matches(stored, "correct horse battery")
    assert not password_matches(stored, "wrong")
    assert not password_matches(None, "anything")
    assert not password_matches("not a hash", "anything")


def test_a_new_login_replaces_the_session_of_this_browser(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    before = str(client.cookies["coread_session"])
    form = ward.client().get("/login")
    token = form.text.split('name="csrf" value="')[1].split('"')[0]
    client.cookies.set("coread_login", form.cookies["coread_login"], path="/login")
    values = {"name": "auditor", "password": ward.passwords["auditor"], "csrf": token}
    assert client.post("/login", data=values).status_code == 303
    assert ward.store.session(hash_token(before)) is None
