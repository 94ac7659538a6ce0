"""Who is asking, and may they? Every route names one permission through ``Allow``; nothing else lets anybody in."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from coread.app.web.context import WebContext
from coread.app.web.errors import ForgedRequest, NotAllowed, NotLoggedIn
from coread.app.web.passwords import form_token, form_token_matches, hash_token
from coread.app.web.permissions import MEANINGS, Permission, permissions_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_FIELD = "csrf"
FORM_HEADER = "x-csrf-token"


@dataclass(frozen=True, slots=True)
class Actor:
    """The user behind a request."""

    name: str
    role: str
    address: str
    secret: str = ""
    """The session's token; empty for an API token, which needs no CSRF token."""

    def may(self, permission: Permission) -> bool:
        """Say whether the role holds this permission."""
        return permission in permissions_of(self.role)

    def form_token(self) -> str:
        """Return the CSRF token for this session's forms."""
        return form_token(self.secret) if self.secret else ""


def context_of(request: Request) -> WebContext:
    """Return the record that the application was made with."""
    context: WebContext = request.app.state.context
    return context.current()


def address_of(request: Request) -> str:
    """Return the address of the peer (the proxy's, unless uvicorn was told to trust its headers)."""
    return request.client.host if request.client else ""


def cookie_name(secure: bool) -> str:
    """Return the session cookie's name; ``__Host-`` binds it to this host and to TLS (RFC 6265bis 4.1.3)."""
    return "__Host-coread_session" if secure else "coread_session"


def session_secret(request: Request) -> str:
    """Return the session token that the browser sent, or an empty text."""
    return request.cookies.get(cookie_name(context_of(request).settings.cookie_secure), "")


@dataclass(frozen=True, slots=True)
class Allow:
    """A FastAPI dependency: lets a request through when its user holds ``permission``, and returns the user."""

    permission: Permission

    async def __call__(self, request: Request) -> Actor:
        """Return the user; raises NotLoggedIn, ForgedRequest or NotAllowed, and records a refused access."""
        actor = await run_in_threadpool(find_actor, request)
        if actor is None:
            raise NotLoggedIn("Log in to see this page.")
        if actor.secret and request.method not in SAFE_METHODS:
            await check_form_token(request, actor)
        if not actor.may(self.permission):
            await run_in_threadpool(note, request, actor, "access.refused", self.permission.value)
            raise NotAllowed(f"Your role ({actor.role}) may not {MEANINGS[self.permission]}.")
        request.state.actor = actor
        return actor


def find_actor(request: Request) -> Actor | None:
    """Return who the session cookie or the Bearer token belongs to; ``None`` when it belongs to nobody."""
    context = context_of(request)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.casefold() == "bearer":
        user = context.store.user_of_api_token(hash_token(token.strip()))
        return Actor(user.name, user.role, address_of(request)) if user is not None else None
    secret = session_secret(request)
    session = context.store.session(hash_token(secret)) if secret else None
    if session is None or session.expires_at <= context.clock():
        return None
    user = context.store.user(session.user)
    if user is None or user.disabled:
        return None
    return Actor(user.name, user.role, address_of(request), secret)


async def check_form_token(request: Request, actor: Actor) -> None:
    """Refuse a state-changing request that did not come from one of our own pages (CSRF)."""
    check_same_origin(request)
    offered = request.headers.get(FORM_HEADER, "")
    if not offered and _is_form(request):
        offered = str((await request.form()).get(FORM_FIELD, ""))
    if not form_token_matches(actor.secret, offered):
        raise ForgedRequest("Reload the page and try again: its security token is missing or old.")


def check_same_origin(request: Request) -> None:
    """Refuse a request that the browser says came from another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForgedRequest("This request came from another site.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise ForgedRequest("This request came from another site.")


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")


def note(request: Request, actor: Actor | str, action: str, target: str = "", detail: str = "") -> None:
    """Write one line of the audit trail. Targets are UIDs, user names and ids; never a patient's name."""
    name = actor if isinstance(actor, str) else actor.name
    context_of(request).store.audit(user=name, action=action, target=target, address=address_of(request), detail=detail)


class RecentAccess:
    """Remembers who looked at what lately, so that a stack of 500 frames is one line of the audit trail."""

    def __init__(self, seconds: float = 600.0, remembered: int = 20_000) -> None:
        self._seconds = seconds
        self._remembered = remembered
        self._seen: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self._lock = Lock()

    def first(self, now: float, *key: str) -> bool:
        """Say whether this access is the first in a while, and remember it."""
        with self._lock:
            before = self._seen.get(key)
            if before is not None and now - before < self._seconds:
                return False
            self._seen.pop(key, None)
            self._seen[key] = now
            while len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
            return True
