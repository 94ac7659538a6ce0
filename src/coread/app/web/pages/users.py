"""Accounts, for administrators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse

from coread.app.web.accounts import create_account, reset_account, set_disabled
from coread.app.web.errors import BadInput
from coread.app.web.guard import Actor, Allow, address_of, context_of
from coread.app.web.permissions import MEANINGS, ROLE_PERMISSIONS, Permission, Role
from coread.app.web.rendering import page
from coread.store import AlreadyExists

router = APIRouter(include_in_schema=False)
Administrator = Annotated[Actor, Depends(Allow(Permission.USERS))]


@router.get("/users")
def users_page(request: Request, actor: Administrator) -> HTMLResponse:
    """Show every account."""
    return _page(request, actor)


@router.post("/users")
def add_user(
    request: Request,
    actor: Administrator,
    name: Annotated[str, Form(max_length=64)],
    role: Annotated[Role, Form()],
) -> HTMLResponse:
    """Add an account; its password is shown once."""
    store = context_of(request).store
    try:
        password = create_account(store, name, role.value, actor=actor.name, address=address_of(request))
    except AlreadyExists as problem:
        raise BadInput(f"There is a user {name} already.") from problem
    return _page(request, actor, secret=password, secret_for=name)


@router.post("/users/{name}/reset")
def reset_password(request: Request, name: str, actor: Administrator) -> HTMLResponse:
    """Give an account a new random password, shown once."""
    password = reset_account(context_of(request).store, name, actor=actor.name, address=address_of(request))
    return _page(request, actor, secret=password, secret_for=name)


@router.post("/users/{name}/disable")
def disable_user(request: Request, name: str, actor: Administrator) -> HTMLResponse:
    """Stop an account from logging in; nobody can lock themselves out."""
    if name == actor.name:
        raise BadInput("You cannot disable your own account.")
    set_disabled(context_of(request).store, name, disabled=True, actor=actor.name, address=address_of(request))
    return _page(request, actor, message=f"{name} is disabled.")


@router.post("/users/{name}/enable")
def enable_user(request: Request, name: str, actor: Administrator) -> HTMLResponse:
    """Let a disabled account log in again."""
    set_disabled(context_of(request).store, name, disabled=False, actor=actor.name, address=address_of(request))
    return _page(request, actor, message=f"{name} may log in again.")


def _page(request: Request, actor: Actor, *, secret: str = "", secret_for: str = "", message: str = "") -> HTMLResponse:
    values: dict[str, Any] = {
        "users": context_of(request).store.users(),
        "roles": tuple(Role),
        "meanings": MEANINGS,
        "table": ROLE_PERMISSIONS,
    }
    return page(request, "users.html", actor, **values, secret=secret, secret_for=secret_for, message=message)
