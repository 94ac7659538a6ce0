"""Making, resetting and disabling accounts, for the pages and the command line; passwords are returned once."""

import re

from coread.app.web.errors import BadInput
from coread.app.web.passwords import hash_password, random_password
from coread.app.web.permissions import Role
from coread.store import NoSuchRecord, Store

FIRST_NAME = "admin"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{1,63}")


def bootstrap_admin(store: Store) -> str | None:
    """Make the first administrator when nobody can log in yet; returns the password, or ``None``."""
    if store.users():
        return None
    return create_account(store, FIRST_NAME, Role.ADMINISTRATOR.value, actor="first start")


def create_account(store: Store, name: str, role: str, *, actor: str, address: str = "") -> str:
    """Add a user with a random password and return it; raises BadInput, or AlreadyExists of the store."""
    if _NAME.fullmatch(name) is None:
        raise BadInput("A user name has 2 to 64 letters, digits, dots, dashes, underscores or @.")
    if role not in set(Role):
        raise BadInput(f"There is no role {role!r}; choose one of {', '.join(Role)}.")
    password = random_password()
    store.add_user(name, hash_password(password), role)
    store.audit(user=actor, action="user.added", target=name, address=address, detail=role)
    return password


def reset_account(store: Store, name: str, *, actor: str, address: str = "") -> str:
    """Give a user a new random password and return it; open sessions end."""
    _need(store, name)
    password = random_password()
    store.set_password(name, hash_password(password))
    store.delete_sessions_of(name)
    store.audit(user=actor, action="user.password_reset", target=name, address=address)
    return password


def set_disabled(store: Store, name: str, *, disabled: bool, actor: str, address: str = "") -> None:
    """Stop a user from logging in, or let them again; disabling ends sessions and takes API tokens away."""
    _need(store, name)
    store.disable_user(name, disabled)
    if disabled:
        store.delete_sessions_of(name)
        for token in store.api_tokens(name):
            store.delete_api_token(token.token_id)
    action = "user.disabled" if disabled else "user.enabled"
    store.audit(user=actor, action=action, target=name, address=address)


def _need(store: Store, name: str) -> None:
    if store.user(name) is None:
        raise NoSuchRecord(f"there is no user {name!r}")
