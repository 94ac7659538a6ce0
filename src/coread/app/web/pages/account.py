"""The own account: password and API tokens."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from coread.app.web.errors import BadInput, NotFound, TooManyAttempts
from coread.app.web.guard import Actor, Allow, address_of, context_of, note
from coread.app.web.pages.login import start_session
from coread.app.web.passwords import hash_password, hash_token, password_matches, random_token
from coread.app.web.permissions import MEANINGS, Permission
from coread.app.web.rendering import page
from coread.app.web.throttle import LoginThrottle

router = APIRouter(include_in_schema=False)
Owner = Annotated[Actor, Depends(Allow(Permission.ACCOUNT))]


@router.get("/account")
def account_page(request: Request, actor: Owner) -> HTMLResponse:
    """Show the own account."""
    return _page(request, actor)


@router.post("/account/password")
def change_password(
    request: Request,
    actor: Owner,
    before: Annotated[str, Form(max_length=200)],
    after: Annotated[str, Form(max_length=200)],
    again: Annotated[str, Form(max_length=200)],
) -> Response:
    """Change the own password; every other session ends."""
    store = context_of(request).store
    throttle: LoginThrottle = request.app.state.throttle
    wait = throttle.seconds_to_wait(actor.name, address_of(request))
    if wait > 0:
        raise TooManyAttempts(wait)
    user = store.user(actor.name)
    if user is None or not password_matches(user.password_hash, before):
        throttle.failed(actor.name, address_of(request))
        note(request, actor, "password.change_failed", actor.name)
        raise BadInput("The password you have now is not that one.")
    if after != again:
        raise BadInput("The two new passwords differ.")
    store.set_password(actor.name, hash_password(after))
    store.delete_sessions_of(actor.name)
    note(request, actor, "password.changed", actor.name)
    return start_session(request, actor.name, "/account?changed=1")


@router.post("/account/tokens")
def make_token(
    request: Request,
    actor: Owner,
    label: Annotated[str, Form(min_length=1, max_length=64)],
    days: Annotated[int, Form(ge=1, le=366)] = 90,
) -> HTMLResponse:
    """Make an API token and show it once."""
    context = context_of(request)
    token = random_token()
    expires_at = context.clock() + timedelta(days=days)
    made = context.store.create_api_token(hash_token(token), actor.name, label.strip() or "unnamed", expires_at)
    note(request, actor, "token.made", str(made.token_id))
    return _page(request, actor, secret=token)


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(request: Request, token_id: int, actor: Owner) -> HTMLResponse:
    """Take an own API token away."""
    store = context_of(request).store
    if token_id not in {token.token_id for token in store.api_tokens(actor.name)}:
        raise NotFound("You have no such token.")
    store.delete_api_token(token_id)
    note(request, actor, "token.revoked", str(token_id))
    return _page(request, actor, message="The token was revoked.")


def _page(request: Request, actor: Actor, *, secret: str = "", message: str = "") -> HTMLResponse:
    if request.query_params.get("changed"):
        message = "Your password was changed. Other sessions were logged out."
    tokens = context_of(request).store.api_tokens(actor.name)
    values: dict[str, Any] = {"tokens": tokens, "meanings": MEANINGS, "secret": secret, "message": message}
    return page(request, "account.html", actor, **values)
