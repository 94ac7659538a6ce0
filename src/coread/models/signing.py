"""Detached Ed25519 signatures (RFC 8032) over the identity of a locked package: who vouches for exactly these bytes.

``signature.json`` lies beside the card, outside the digest: a package can be signed after it was locked, by another
person, without becoming another package. Signed are digest, reader, version, card, signer and dates.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coread.models.errors import BadSignature
from coread.models.package import ModelPackage
from coread.models.writing import canonical, write_json, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "signature.json"
SCHEMA = 1
ALGORITHM = "Ed25519"
_CONTEXT = b"coread package signature 1\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """What one signature says; ``expires_at`` empty: no end."""

    reader_id: str
    version: str
    digest: str
    card_sha256: str
    signer: str
    signed_at: str
    expires_at: str
    key_id: str
    signature: str

    def message(self) -> bytes:
        """Return the bytes that are signed: everything but the signature itself."""
        body = {key: value for key, value in asdict(self).items() if key != "signature"}
        return _CONTEXT + canonical(body | {"schema": SCHEMA, "algorithm": ALGORITHM})

    def covers(self, package: ModelPackage) -> bool:
        """Say whether it is about exactly this package."""
        mine = (self.reader_id, self.version, self.digest, self.card_sha256)
        return mine == (package.reader_id, package.version, package.digest, package.card_sha256)

    def expired(self, now: datetime) -> bool:
        """Say whether its own end has passed."""
        return bool(self.expires_at) and moment(self.expires_at) <= now


def make_key(private_path: Path) -> tuple[Path, str]:
    """Write a private key (mode 0600) and its public half ``.pub`` beside it; returns the latter and the key id."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = private_path.with_name(private_path.name + ".pub")
    for path in (private_path, public_path):
        if path.exists():
            raise BadSignature(f"{path} is there already: a key is never overwritten. Choose another name.")
    key = Ed25519PrivateKey.generate()
    private_path.parent.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(private_path, pem, mode=0o600)
    write_whole(public_path, public_pem(key.public_key()))
    return public_path, key_id_of(key.public_key())


def sign_package(package: ModelPackage, target: Path, key_path: Path, *, signer: str, days: int | None) -> Signature:
    """Sign a verified package and write ``signature.json`` into ``target``; ``days`` until it ends, None: never."""
    from datetime import timedelta

    key = _private_key(key_path)
    now = datetime.now(UTC).replace(microsecond=0)
    ends = (now + timedelta(days=days)).isoformat() if days is not None else ""
    blank = Signature(
        package.reader_id, package.version, package.digest, package.card_sha256, signer, now.isoformat(), ends,
        key_id_of(key.public_key()), "",
    )  # fmt: skip
    signed = base64.b64encode(key.sign(blank.message())).decode()
    write_json(target / SIGNATURE, asdict(blank) | {"schema": SCHEMA, "algorithm": ALGORITHM, "signature": signed})
    return read_signature(target) or blank


def read_signature(folder: Path) -> Signature | None:
    """Read ``signature.json``; None where there is none, BadSignature where it is none."""
    path = folder / SIGNATURE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if (body["schema"], body["algorithm"]) != (SCHEMA, ALGORITHM):
            raise BadSignature(f"{path} is of schema {body['schema']!r} with {body['algorithm']!r}; use {ALGORITHM}.")
        fields = {name: str(body[name]) for name in Signature.__dataclass_fields__}
        found = Signature(**fields)
        for text in filter(None, (found.signed_at, found.expires_at)):
            moment(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadSignature(f"{path} cannot be read: {type(problem).__name__}: {problem}. Sign anew.") from problem
    return found


def require_genuine(signature: Signature, key: "Ed25519PublicKey") -> None:
    """Raise BadSignature unless this key made the signature over these words."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.signature, validate=True), signature.message())
    except (InvalidSignature, binascii.Error, ValueError) as problem:
        raise BadSignature(
            f"the signature of {signature.reader_id} {signature.version} was not made by key {signature.key_id} over "
            "these words: signature.json was changed. Get the package again from its maker."
        ) from problem


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """Read a PEM public key; raises BadSignature for anything else."""
    try:
        return public_key_of(path.read_bytes())
    except OSError as problem:
        raise BadSignature(f"{path} cannot be read: {problem.strerror}.") from problem
    except ValueError as problem:
        raise BadSignature(f"{path} is no Ed25519 public key in PEM form: {problem}. Use the .pub file.") from problem


def public_key_of(pem: bytes) -> "Ed25519PublicKey":
    """Parse a PEM public key; raises ValueError for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as problem:
        raise ValueError("its algorithm is not supported") from problem
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is a key of another algorithm")
    return key


def public_pem(key: "Ed25519PublicKey") -> bytes:
    """Return the PEM form of a public key."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id_of(key: "Ed25519PublicKey") -> str:
    """Return the name of a key: the first 16 digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def moment(text: str) -> datetime:
    """Parse an ISO 8601 moment; one without a zone is refused."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found


def _private_key(path: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as problem:
        raise BadSignature(f"{path} cannot be read: {problem.strerror}.") from problem
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise BadSignature(f"{path} is no private key in PEM form without a password: {problem}.") from problem
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSignature(f"{path} is a key of another algorithm. Make one with `coread models keygen`.")
    return key
