"""Logging in and out: throttled, audited, with the session's secret known to the browser alone."""

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.responses import Response

from coread.app.web.errors import ForgedRequest, TooManyAttempts
from coread.app.web.guard import (
    Actor,
    Allow,
    address_of,
    check_same_origin,
    context_of,
    cookie_name,
    find_actor,
    note,
    session_secret,
)
from coread.app.web.passwords import form_token, form_token_matches, hash_token, password_matches, random_token
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.app.web.throttle import LoginThrottle

router = APIRouter(include_in_schema=False)
_LOGIN_COOKIE = "coread_login"


@router.get("/healthz")
def alive() -> PlainTextResponse:
    """Answer for load balancers: the web process lives. Says nothing else."""
    return PlainTextResponse("ok\n")


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the usual name of this parameter
    """Show the login form."""
    if find_actor(request) is not None:
        return RedirectResponse(safe_target(next), status_code=303)
    return _form(request, next=next)


@router.post("/login")
def login(
    request: Request,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=200)],
    csrf: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Check name and password; a right answer starts a session."""
    check_same_origin(request)
    if not form_token_matches(request.cookies.get(_LOGIN_COOKIE, ""), csrf):
        raise ForgedRequest("Reload the login page and try again: its security token is missing or old.")
    throttle: LoginThrottle = request.app.state.throttle
    address = address_of(request)
    wait = throttle.seconds_to_wait(name, address)
    if wait > 0:
        note(request, name, "login.throttled")
        raise TooManyAttempts(wait)
    user = context_of(request).store.user(name)
    known = user is not None and not user.disabled
    if not password_matches(user.password_hash if user is not None and known else None, password):
        throttle.failed(name, address)
        note(request, name, "login.failed", detail="" if known else "unknown or disabled user")
        problem = "Name or password is wrong."
        return _form(request, next=next, name=name, problem=problem, status=401)
    throttle.succeeded(name, address)
    return start_session(request, name, safe_target(next))


def start_session(request: Request, name: str, target: str) -> Response:
    """Store a new session and send its secret in a cookie."""
    context = context_of(request)
    if before := session_secret(request):  # whoever logs in on this browser replaces who was logged in there
        context.store.delete_session(hash_token(before))
    secret = random_token()
    length = timedelta(hours=context.settings.session_hours)
    now = context.clock()
    context.store.create_session(
        token_hash=hash_token(secret), user=name, expires_at=now + length, address=address_of(request)
    )
    note(request, name, "login.ok")
    answer = RedirectResponse(target, status_code=303)
    answer.set_cookie(
        cookie_name(context.settings.cookie_secure),
        secret,
        max_age=int(length.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=context.settings.cookie_secure,
        path="/",
    )
    answer.delete_cookie(_LOGIN_COOKIE, path="/login")
    return answer


@router.post("/logout")
def logout(request: Request, actor: Annotated[Actor, Depends(Allow(Permission.ACCOUNT))]) -> Response:
    """End this session."""
    context = context_of(request)
    context.store.delete_session(hash_token(actor.secret))
    note(request, actor, "logout")
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(cookie_name(context.settings.cookie_secure), path="/")
    answer.headers["clear-site-data"] = '"cache", "storage"'
    return answer


def safe_target(target: str) -> str:
    """Return a path on this site to go on to; anything that could lead elsewhere becomes the worklist."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target else "/"


def _form(request: Request, *, next: str, name: str = "", problem: str = "", status: int = 200) -> Response:  # noqa: A002
    secret = request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(24)
    values = {"next": safe_target(next), "name": name, "problem": problem, "login_token": form_token(secret)}
    answer = page(request, "login.html", None, status=status, **values)
    secure = context_of(request).settings.cookie_secure
    answer.set_cookie(
        _LOGIN_COOKIE, secret, max_age=3600, httponly=True, samesite="strict", secure=secure, path="/login"
    )
    return answer
