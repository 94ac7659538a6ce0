from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from coread.app.web.guard import Allow
from coread.app.web.pages.images import authorise_dicomweb
from coread.app.web.permissions import MEANINGS, ROLE_PERMISSIONS, Permission, Role, permissions_of
from tests.web.conftest import Site

PUBLIC = {"/login", "/healthz"}
PAGES = {
    "/": Permission.WORKLIST,
    "/why": Permission.STORY,
    "/readers": Permission.READERS,
    "/destinations": Permission.DESTINATIONS,
    "/health": Permission.HEALTH,
    "/account": Permission.ACCOUNT,
    "/users": Permission.USERS,
    "/audit": Permission.AUDIT,
    "/api/v1/docs": Permission.ACCOUNT,
    "/dicomweb/studies": Permission.CASE,
}


def guards(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from guards(dependency)


def api_routes(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """Yield every route with its whole path, also those of included routers, which FastAPI keeps nested."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if isinstance(route, APIRoute):
            yield prefix + route.path, route
        elif inner is not None:
            yield from api_routes(inner.routes, prefix + route.include_context.prefix)


def test_every_route_names_one_permission(hospital: Site) -> None:
    routes = list(api_routes(hospital.app.routes))
    assert len(routes) > 40
    for path, route in routes:
        found = [call for call in guards(route.dependant) if isinstance(call, Allow) or call is authorise_dicomweb]
        assert (path in PUBLIC) == (not found), f"{route.methods} {path} has {found}"
        assert len(found) <= 1, path


def test_every_permission_has_a_meaning_and_somebody_who_holds_it() -> None:
    held = set().union(*ROLE_PERMISSIONS.values())
    for permission in Permission:
        assert MEANINGS[permission]
        assert permission in held
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert permissions_of("janitor") == frozenset()


@pytest.mark.parametrize("role", list(Role))
def test_a_page_opens_only_for_who_may_see_it(hospital: Site, role: Role) -> None:
    client = hospital.logged_in(role.value)
    for path, permission in PAGES.items():
        allowed = permission in ROLE_PERMISSIONS[role]
        assert client.get(path).status_code == (200 if allowed else 403), f"{role} {path}"


def test_nobody_gets_in_without_a_session(hospital: Site) -> None:
    client = hospital.client()
    uid = hospital.sent["positive"].study_uid
    for path in (*PAGES, f"/case/{uid}", f"/case/{uid}/image/{uid}/1", f"/api/v1/case/{uid}", "/events", "/viewer"):
        assert client.get(path).status_code == 401, path
        page = client.get(path, headers={"accept": "text/html"})
        assert page.status_code == (401 if path.startswith("/api/") else 303), path


def test_a_state_changing_request_needs_the_token_of_our_own_page(ward: Site) -> None:
    client = ward.logged_in("administrator")
    posts = [path for path, route in api_routes(ward.app.routes) if "POST" in (route.methods or ())]
    paths = [path for path in posts if path != "/login"]
    ours = [path for path in paths if not path.startswith("/dicomweb")]
    assert len(ours) > 10
    for path in ours:
        for text in ("", "0" * 64):
            assert client.post(path, data={"csrf": text}).status_code == 403, path
    assert ward.store.user("administrator") is not None


def test_a_request_from_another_site_is_refused_even_with_the_token(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    token = client.get("/account").text.split('<meta name="csrf" content="')[1].split('"')[0]
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post("/logout", data={"csrf": token}, headers=headers).status_code == 403
    assert client.post("/dicomweb/studies", headers={"origin": "https://evil.example"}).status_code == 403


def test_the_auditor_sees_no_image_and_exports_nothing(hospital: Site) -> None:
    client = hospital.logged_in("auditor")
    uid = hospital.sent["positive"].study_uid
    sop = hospital.store.instances(study_uid=uid)[0].header.sop_instance_uid
    for path in (f"/case/{uid}", f"/case/{uid}/image/{sop}/1", f"/case/{uid}/object/{sop}", f"/dicomweb/studies/{uid}"):
        assert client.get(path).status_code == 403
    assert client.get(f"/why/{uid}").status_code == 200


def test_a_refused_access_is_in_the_audit_trail(ward: Site) -> None:
    ward.logged_in("radiologist").get("/users")
    entry = ward.store.audit_entries(limit=1)[0]
    assert (entry.user, entry.action, entry.target) == ("radiologist", "access.refused", "users.manage")
