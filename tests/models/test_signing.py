"""A package is signed over its identity: a changed byte, date or name is noticed, and strangers are named."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coread.models.errors import BadSignature, UntrustedPackage
from coread.models.locking import Locked
from coread.models.package import verify_package
from coread.models.signing import SIGNATURE, make_key, read_signature, sign_package
from coread.models.trust import SignatureRule, SignatureStatus, TrustStore
from tests.models.releases import key_pair, release


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return key_pair(tmp_path / "keys")


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> tuple[Path, Locked]:
    folder = tmp_path / "release"
    return folder, release(folder, key=key)


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "site/trust")


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(key: Path) -> None:
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(BadSignature, match="never overwritten"):
        make_key(key)


def test_the_signature_of_a_trusted_key_is_trusted(signed: tuple[Path, Locked], trust: TrustStore, key: Path) -> None:
    trust.add(public(key), "Maker", "tests")
    standing = trust.standing(signed[1].package, signed[0])
    assert standing.status is SignatureStatus.TRUSTED
    assert "Maker" in standing.detail
    standing.require(SignatureRule.ON)


def test_a_package_without_signature_says_so(tmp_path: Path, trust: TrustStore) -> None:
    locked = release(tmp_path / "bare")
    standing = trust.standing(locked.package, tmp_path / "bare")
    assert standing.status is SignatureStatus.NONE
    standing.require(SignatureRule.WARN)
    with pytest.raises(UntrustedPackage, match="not signed"):
        standing.require(SignatureRule.ON)


def test_an_unknown_key_is_named(signed: tuple[Path, Locked], trust: TrustStore, tmp_path: Path) -> None:
    trust.add(public(key_pair(tmp_path / "other")), "Somebody", "tests")
    standing = trust.standing(signed[1].package, signed[0])
    assert standing.status is SignatureStatus.UNKNOWN_KEY
    with pytest.raises(UntrustedPackage, match="unknown at this site"):
        standing.require(SignatureRule.ON)


def test_a_removed_key_is_revoked_and_comes_back_only_on_purpose(
    signed: tuple[Path, Locked], trust: TrustStore, key: Path
) -> None:
    known = trust.add(public(key), "Maker", "tests")
    trust.remove(known.key_id, "the chief")
    standing = trust.standing(signed[1].package, signed[0])
    assert standing.status is SignatureStatus.REVOKED
    for running in (False, True):
        with pytest.raises(UntrustedPackage, match="the chief removed that key"):
            standing.require(SignatureRule.ON, running=running)
    with pytest.raises(BadSignature, match="--again"):
        trust.add(public(key), "Maker", "tests")
    trust.add(public(key), "Maker", "tests", again=True)
    assert trust.standing(signed[1].package, signed[0]).status is SignatureStatus.TRUSTED


def test_an_expired_key_switches_nothing_on_but_does_not_end_a_running_reader(
    signed: tuple[Path, Locked], trust: TrustStore, key: Path
) -> None:
    trust.add(public(key), "Maker", "tests", not_after="2020-01-01T00:00:00+00:00")
    standing = trust.standing(signed[1].package, signed[0])
    assert standing.status is SignatureStatus.EXPIRED
    standing.require(SignatureRule.ON, running=True)
    with pytest.raises(UntrustedPackage, match="valid until 2020-01-01"):
        standing.require(SignatureRule.ON)


def test_a_signature_ends_when_it_says_so(signed: tuple[Path, Locked], trust: TrustStore, key: Path) -> None:
    folder, locked = signed
    trust.add(public(key), "Maker", "tests")
    sign_package(locked.package, folder, key, signer="Maker", days=30)
    assert trust.standing(locked.package, folder).status is SignatureStatus.TRUSTED
    later = datetime.now(UTC) + timedelta(days=31)
    assert trust.standing(locked.package, folder, later).status is SignatureStatus.EXPIRED


def test_a_signature_of_another_package_is_refused(
    signed: tuple[Path, Locked], trust: TrustStore, key: Path, tmp_path: Path
) -> None:
    trust.add(public(key), "Maker", "tests")
    other = release(tmp_path / "other", version="2.0.0")
    (tmp_path / "other" / SIGNATURE).write_bytes((signed[0] / SIGNATURE).read_bytes())
    with pytest.raises(BadSignature, match="not for these bytes"):
        trust.standing(other.package, tmp_path / "other")


@given(field=st.sampled_from(["signer", "signed_at", "expires_at", "signature"]), data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_word_of_a_signature_can_be_changed(
    signed: tuple[Path, Locked], trust: TrustStore, key: Path, field: str, data: st.DataObject
) -> None:
    folder, _locked = signed
    trust.add(public(key), "Maker", "tests")
    path = folder / SIGNATURE
    before = path.read_text()
    body = json.loads(before)
    dated = field in ("signed_at", "expires_at")
    body[field] = "2031-01-01T00:00:00+00:00" if dated else data.draw(st.text(max_size=90))
    try:
        path.write_text(json.dumps(body))
        if body == json.loads(before):
            return
        with pytest.raises(BadSignature):
            trust.standing(verify_package(folder / "model", folder / "card.toml"), folder)
    finally:
        path.write_text(before)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "algorithm": "RSA"}', "null"])
def test_a_signature_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SIGNATURE).write_text(text)
    with pytest.raises(BadSignature, match=r"signature\.json"):
        read_signature(tmp_path)


def test_files_that_are_no_keys_are_refused(tmp_path: Path, trust: TrustStore, key: Path) -> None:
    junk = tmp_path / "junk.pub"
    junk.write_text("no key")
    with pytest.raises(BadSignature, match="no Ed25519 public key"):
        trust.add(junk, "Junk", "tests")
    with pytest.raises(BadSignature, match="cannot be read"):
        trust.add(tmp_path / "absent.pub", "Nobody", "tests")
    with pytest.raises(BadSignature, match="no date"):
        trust.add(public(key), "Maker", "tests", not_after="tomorrow")
    with pytest.raises(BadSignature, match="no key 'feed'"):
        trust.remove("feed", "tests")
    locked = release(tmp_path / "bare")
    with pytest.raises(BadSignature, match="no private key"):
        sign_package(locked.package, tmp_path / "bare", junk, signer="x", days=None)
    assert not (tmp_path / "bare" / SIGNATURE).exists()


def test_a_key_file_that_was_exchanged_is_noticed(trust: TrustStore, key: Path, tmp_path: Path) -> None:
    known = trust.add(public(key), "Maker", "tests")
    other = trust.add(public(key_pair(tmp_path / "other")), "Somebody", "tests")
    path = trust.folder / f"{known.key_id}.json"
    body = json.loads(path.read_text())
    body["public_key"] = other.public_key
    path.write_text(json.dumps(body))
    with pytest.raises(BadSignature, match="not the one of its name"):
        trust.listed()
