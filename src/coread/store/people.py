"""Users, their sessions and keys, their verdicts, and the audit trail. Secrets come in hashed, never plain."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from coread.domain.work import Verdict, VerdictKind
from coread.store import schema
from coread.store.database import Transaction
from coread.store.errors import AlreadyExists, NoSuchRecord
from coread.store.queue import locked_work
from coread.store.records import ApiToken, AuditEntry, Session, User
from coread.store.results import refresh_urgency

_USERS = schema.users
_SESSIONS = schema.sessions
_TOKENS = schema.api_tokens


def add_verdict(tx: Transaction, values: dict[str, str], work_id: int) -> Verdict:
    """Add a radiologist's word beside a finding."""
    work = locked_work(tx, work_id)
    row = values | {"work_id": work_id, "study_uid": work.study_uid, "created_at": tx.now}
    key = tx.add(schema.verdicts, row)
    refresh_urgency(tx, work.study_uid)
    detail = f"{values['finding_key']}: {values['kind']}"
    tx.note(work.study_uid, "people.verdict", detail, actor=values["user_name"], work_id=work_id)
    return _verdict(tx.run(select(schema.verdicts).where(schema.verdicts.c.id == key)).one())


def verdicts(tx: Transaction, uid: str) -> tuple[Verdict, ...]:
    """Return the verdicts on a study, oldest first."""
    table = schema.verdicts
    return tuple(_verdict(row) for row in tx.run(select(table).where(table.c.study_uid == uid).order_by(table.c.id)))


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(
        verdict_id=row.id,
        work_id=row.work_id,
        finding_key=row.finding_key,
        kind=VerdictKind(row.kind),
        user=row.user_name,
        comment=row.comment,
        created_at=row.created_at,
        corrected_presence=row.corrected_presence,
    )


def add_user(tx: Transaction, name: str, password_hash: str, role: str) -> User:
    """Create an account."""
    if user(tx, name) is not None:
        raise AlreadyExists(f"there is a user {name!r} already")
    values = {"name": name, "password_hash": password_hash, "role": role, "disabled": False, "created_at": tx.now}
    tx.run(insert(_USERS).values(values))
    return User(name, password_hash, role, False, tx.now)


def user(tx: Transaction, name: str) -> User | None:
    """Return one account."""
    row = tx.run(select(_USERS).where(_USERS.c.name == name)).one_or_none()
    return _user(row) if row is not None else None


def users(tx: Transaction) -> tuple[User, ...]:
    """Return all accounts by name."""
    return tuple(_user(row) for row in tx.run(select(_USERS).order_by(_USERS.c.name)))


def _user(row: Row[Any]) -> User:
    return User(row.name, row.password_hash, row.role, row.disabled, row.created_at)


def change_user(tx: Transaction, name: str, **values: Any) -> None:
    """Change one account."""
    if tx.run(update(_USERS).where(_USERS.c.name == name).values(values)).rowcount != 1:
        raise NoSuchRecord(f"there is no user {name!r}")


def add_session(tx: Transaction, session: Session) -> None:
    """Remember a login; ended ones are forgotten on the way."""
    tx.run(delete(_SESSIONS).where(_SESSIONS.c.expires_at <= tx.now))
    values = {"token_hash": session.token_hash, "user_name": session.user, "created_at": session.created_at}
    tx.run(insert(_SESSIONS).values(values | {"expires_at": session.expires_at, "address": session.address}))


def session(tx: Transaction, token_hash: str) -> Session | None:
    """Return a login that has not ended."""
    where = (_SESSIONS.c.token_hash == token_hash, _SESSIONS.c.expires_at > tx.now)
    row = tx.run(select(_SESSIONS).where(*where)).one_or_none()
    return Session(row.token_hash, row.user_name, row.created_at, row.expires_at, row.address) if row else None


def end_session(tx: Transaction, token_hash: str) -> None:
    """End one login."""
    tx.run(delete(_SESSIONS).where(_SESSIONS.c.token_hash == token_hash))


def end_sessions_of(tx: Transaction, name: str) -> int:
    """End all logins of a user."""
    return tx.run(delete(_SESSIONS).where(_SESSIONS.c.user_name == name)).rowcount


def add_token(tx: Transaction, token_hash: str, name: str, label: str, expires_at: datetime | None) -> ApiToken:
    """Remember a key for programs."""
    if user(tx, name) is None:
        raise NoSuchRecord(f"there is no user {name!r}")
    values = {"token_hash": token_hash, "user_name": name, "label": label, "created_at": tx.now}
    key = tx.add(_TOKENS, values | {"expires_at": expires_at})
    return ApiToken(key, name, label, tx.now, expires_at)


def tokens(tx: Transaction, name: str | None) -> tuple[ApiToken, ...]:
    """Return the keys of one user, or of all."""
    statement = select(_TOKENS).order_by(_TOKENS.c.id)
    if name is not None:
        statement = statement.where(_TOKENS.c.user_name == name)
    return tuple(
        ApiToken(row.id, row.user_name, row.label, row.created_at, row.expires_at, row.last_used_at)
        for row in tx.run(statement)
    )


def user_of_token(tx: Transaction, token_hash: str) -> User | None:
    """Return the active user of a key that has not expired."""
    alive = _TOKENS.c.expires_at.is_(None) | (_TOKENS.c.expires_at > tx.now)
    joined = select(_USERS).join(_TOKENS, _TOKENS.c.user_name == _USERS.c.name)
    row = tx.run(joined.where(_TOKENS.c.token_hash == token_hash, alive, _USERS.c.disabled.is_(False))).one_or_none()
    return _user(row) if row is not None else None


def delete_token(tx: Transaction, token_id: int) -> bool:
    """Take a key away; False when there is none of that number."""
    return tx.run(delete(_TOKENS).where(_TOKENS.c.id == token_id)).rowcount == 1


def add_audit(tx: Transaction, values: dict[str, str]) -> None:
    """Add a line to the audit trail."""
    tx.run(insert(schema.audit).values(values | {"at": tx.now}))


def audit_entries(tx: Transaction, limit: int, offset: int) -> tuple[AuditEntry, ...]:
    """Return the audit trail, newest first."""
    table = schema.audit
    rows = tx.run(select(table).order_by(table.c.id.desc()).limit(limit).offset(offset))
    return tuple(
        AuditEntry(row.id, row.at, row.user_name, row.action, row.target, row.address, row.detail) for row in rows
    )
