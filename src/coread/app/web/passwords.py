"""Passwords and random tokens: argon2id hashes of the one, SHA-256 of the other; neither is ever stored as it is."""

import hashlib
import hmac
import secrets
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from coread.app.web.errors import BadInput

MINIMUM_LENGTH = 12
_HASHER = PasswordHasher()  # argon2id with the parameters of RFC 9106 (low memory: 64 MiB, 3 passes)
_ONE_AT_A_TIME = BoundedSemaphore(2)  # 64 MiB each: a burst of logins must not eat the machine
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no letters that are mistaken for others when read aloud


def hash_password(password: str) -> str:
    """Return the argon2id hash; raises BadInput for a password that is too short or far too long."""
    if not MINIMUM_LENGTH <= len(password) <= 200:
        raise BadInput(f"A password needs {MINIMUM_LENGTH} to 200 characters.")
    with _ONE_AT_A_TIME:
        return _HASHER.hash(password)


def password_matches(stored_hash: str | None, password: str) -> bool:
    """Check a password; takes as long for an unknown user (``None``) as for a known one."""
    with _ONE_AT_A_TIME:
        try:
            return _HASHER.verify(stored_hash or _NOBODY, password[:200]) and stored_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def random_password() -> str:
    """Return a random password of four groups of five letters (99 bits)."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


def random_token() -> str:
    """Return a random 256-bit token in URL-safe text."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the SHA-256 (hex) under which a random token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(secret: str) -> str:
    """Return the CSRF token that belongs to a session's secret."""
    return hmac.new(secret.encode(), b"coread form", hashlib.sha256).hexdigest()


def form_token_matches(secret: str, offered: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(form_token(secret).encode(), offered.encode())
