"""Whom this site trusts: public keys in one folder, one file a key; a removed key stays known as removed."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from coread.models.errors import BadSignature, UntrustedPackage
from coread.models.package import ModelPackage
from coread.models.signing import (
    Signature,
    key_id_of,
    moment,
    public_key_of,
    public_pem,
    read_public_key,
    read_signature,
    require_genuine,
)
from coread.models.writing import write_json

FOLDER = "trust"
SCHEMA = 1
_KEY_ID = re.compile(r"[0-9a-f]{16}")


class SignatureStatus(StrEnum):
    """How the signature of a package stands at this site."""

    TRUSTED = "trusted"
    NONE = "none"
    UNKNOWN_KEY = "unknown key"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BUILT_IN = "built in"
    """Part of the installed code: it is as trustworthy as the program that would check it."""


class SignatureRule(StrEnum):
    """What this site asks of packages that are switched on."""

    OFF = "off"
    WARN = "warn"
    ON = "on"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One key that this site knows; ``not_after`` and ``removed_at`` empty: neither."""

    key_id: str
    name: str
    public_key: str
    added_at: str
    added_by: str
    not_after: str = ""
    removed_at: str = ""
    removed_by: str = ""


@dataclass(frozen=True, slots=True)
class SignatureStanding:
    """The status of a package's signature with one sentence for people."""

    status: SignatureStatus
    detail: str
    signature: Signature | None = None

    def require(self, rule: SignatureRule, *, running: bool = False) -> None:
        """Raise UntrustedPackage when the rule of the site is not met.

        ``running``: the package is in use already. One whose signature or key has expired since then goes on reading:
        a date must not end a service in the night; it is reported, and no switch to it is possible.
        """
        fine = {SignatureStatus.TRUSTED, SignatureStatus.BUILT_IN}
        if running:
            fine.add(SignatureStatus.EXPIRED)
        if rule is SignatureRule.ON and self.status not in fine:
            raise UntrustedPackage(
                f"{self.detail}. Sign it (`coread models lock --key`), trust its maker (`coread models trust add`), "
                'or set require_signature = "warn".'
            )


class TrustStore:
    """The keys in one folder. Every change is one file, written whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listed(self) -> tuple[TrustedKey, ...]:
        """Return all keys, removed ones too, by name; raises BadSignature for a damaged file."""
        found = [self._read(path) for path in sorted(self.folder.glob("*.json"))]
        return tuple(sorted(found, key=lambda key: (key.name, key.key_id)))

    def key(self, key_id: str) -> TrustedKey | None:
        """Return one key, removed or not."""
        path = self.folder / f"{key_id}.json"
        return self._read(path) if _KEY_ID.fullmatch(key_id) and path.exists() else None

    def add(self, public_path: Path, name: str, actor: str, *, not_after: str = "", again: bool = False) -> TrustedKey:
        """Trust a public key; one that was removed comes back only when ``again`` says so."""
        key = read_public_key(public_path)
        key_id = key_id_of(key)
        known = self.key(key_id)
        if known is not None and known.removed_at and not again:
            raise BadSignature(
                f"key {key_id} ({known.name}) was removed by {known.removed_by} on {known.removed_at[:10]}. "
                "Add it with --again if it may be trusted once more."
            )
        try:
            ends = moment(not_after).astimezone(UTC).isoformat() if not_after else ""
        except ValueError as problem:
            raise BadSignature(f"{not_after!r} is no date: {problem}. Write 2027-12-31T00:00:00+00:00.") from problem
        trusted = TrustedKey(key_id, name, public_pem(key).decode(), _now(), actor, ends)
        self._write(trusted)
        return trusted

    def remove(self, key_id: str, actor: str) -> TrustedKey:
        """Stop trusting a key; its name stays, so that its packages are told apart from strangers'."""
        known = self.key(key_id)
        if known is None:
            raise BadSignature(f"no key {key_id!r} in {self.folder}. See `coread models trust list`.")
        gone = TrustedKey(**(asdict(known) | {"removed_at": known.removed_at or _now(), "removed_by": actor}))
        self._write(gone)
        return gone

    def standing(self, package: ModelPackage, folder: Path, now: datetime | None = None) -> SignatureStanding:
        """Say how the signature in ``folder`` stands; raises BadSignature when it is not over these bytes."""
        signature = read_signature(folder)
        if signature is None:
            return SignatureStanding(SignatureStatus.NONE, "the package is not signed")
        if not signature.covers(package):
            raise BadSignature(
                f"{folder / 'signature.json'} is for {signature.reader_id} {signature.version}, package "
                f"{signature.digest[:16]}, not for these bytes ({package.digest[:16]}). Sign this package anew."
            )
        key = self.key(signature.key_id)
        if key is None:
            text = f"the package is signed by {signature.signer!r} with key {signature.key_id}, unknown at this site"
            return SignatureStanding(SignatureStatus.UNKNOWN_KEY, text, signature)
        require_genuine(signature, public_key_of(key.public_key.encode()))
        return _dated(key, signature, now or datetime.now(UTC))

    def _write(self, key: TrustedKey) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self.folder / f"{key.key_id}.json", asdict(key) | {"schema": SCHEMA}, mode=0o600)

    def _read(self, path: Path) -> TrustedKey:
        try:
            body: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
            if body["schema"] != SCHEMA:
                raise ValueError(f"schema {body['schema']!r}")
            key = TrustedKey(**{name: str(body[name]) for name in TrustedKey.__dataclass_fields__})
            named = key_id_of(public_key_of(key.public_key.encode()))
            for text in filter(None, (key.not_after, key.removed_at)):
                moment(text)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise BadSignature(f"{path} cannot be read: {problem}. Remove the file and add the key again.") from problem
        if named != key.key_id or path.stem != named:
            raise BadSignature(f"{path} holds key {named}, not the one of its name. Remove it and add the key again.")
        return key


def _dated(key: TrustedKey, signature: Signature, now: datetime) -> SignatureStanding:
    who = f"signed by {signature.signer!r} with key {key.key_id} ({key.name}) on {signature.signed_at[:10]}"
    if key.removed_at:
        text = f"the package is {who}; {key.removed_by} removed that key on {key.removed_at[:10]}"
        return SignatureStanding(SignatureStatus.REVOKED, text, signature)
    if key.not_after and moment(key.not_after) <= now:
        text = f"the package is {who}; that key was valid until {key.not_after[:10]}"
        return SignatureStanding(SignatureStatus.EXPIRED, text, signature)
    if signature.expired(now):
        text = f"the package is {who}; the signature was valid until {signature.expires_at[:10]}"
        return SignatureStanding(SignatureStatus.EXPIRED, text, signature)
    return SignatureStanding(SignatureStatus.TRUSTED, who, signature)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
