"""The versions of readers that are installed at a site: ``models/<reader>/<digest>/`` in Coread's folder.

Installing adds a folder that is never changed again; switching appends to the journal. Nothing here knows reader code
or the queue: the engine asks which version is active before each work item.
"""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from coread.models.errors import DamagedPackage, NoSuchVersion, NotValidated
from coread.models.journal import BUILT_IN, NONE, Journal, Switch
from coread.models.lineage import StepRecord, read_record
from coread.models.locking import CARD, MODEL, claimed_identity
from coread.models.package import ModelPackage, verify_package
from coread.models.signing import SIGNATURE
from coread.models.trust import SignatureRule, SignatureStanding, SignatureStatus, TrustStore
from coread.models.validations import FOLDER as VALIDATION
from coread.models.validations import ValidationRecord, require_validation
from coread.models.writing import copy_tree_whole, sync_folder

FOLDER = "models"
_LEAST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a reader: the folder with card.toml and model/, and the digest that it claims."""

    reader_id: str
    version: str
    digest: str
    folder: Path
    built_in: bool = False

    @property
    def name(self) -> str:
        """The name of the version in the journal."""
        return BUILT_IN if self.built_in else self.digest

    def answers(self, wanted: str) -> bool:
        """Say whether a version number, some first digits of the digest, or ``built-in`` name this version."""
        if wanted == BUILT_IN:
            return self.built_in
        by_digest = len(wanted) >= _LEAST_DIGITS and self.digest.startswith(wanted)
        return wanted == self.version or by_digest


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants to switch, why, and what is asked of the package."""

    actor: str
    reason: str = ""
    rule: SignatureRule = SignatureRule.ON
    validation: Path | None = None
    replay: Path | None = None
    """Folder of a replay that was accepted: what the change may do was written down before."""
    check: Callable[[Release], None] | None = None
    """Proves the package with the reader's code before it is switched on; raises when it does not fit."""


@dataclass(frozen=True, slots=True)
class Switched:
    """A switch that was made, with what allowed it."""

    change: Switch
    release: Release
    standing: SignatureStanding
    validation: ValidationRecord | None


class SiteModels:
    """The installed versions and their journal. ``built_in`` are the releases that came with the code."""

    def __init__(self, folder: Path, built_in: dict[str, Path]) -> None:
        self.folder = folder / FOLDER
        self.journal = Journal(self.folder)
        self.trust = TrustStore(folder / "trust")
        self._built_in = built_in

    def releases(self, reader_id: str = "") -> tuple[Release, ...]:
        """Return every usable version of one reader, or of all; the built-in one comes first."""
        return self.listing(reader_id)[0]

    def listing(self, reader_id: str = "") -> tuple[tuple[Release, ...], tuple[str, ...]]:
        """Return the versions, and one sentence for each folder that is no sound version."""
        found = [
            Release(*claimed_identity(folder), folder, built_in=True)
            for name, folder in sorted(self._built_in.items())
            if reader_id in ("", name)
        ]
        problems = []
        for path in sorted(self.folder.glob(f"*/*/{CARD}")):
            if path.parent.name.startswith(".") or reader_id not in ("", path.parent.parent.name):
                continue
            try:
                found.append(_installed(path.parent))
            except DamagedPackage as problem:
                problems.append(str(problem))
        return tuple(found), tuple(problems)

    def find(self, reader_id: str, wanted: str) -> Release:
        """Return the version that a version number, a digest (or its first digits) or ``built-in`` names."""
        known = self.releases(reader_id)
        if not known:
            raise NoSuchVersion(f"no reader {reader_id!r} is installed here. See `coread models list`.")
        fits = [item for item in known if item.answers(wanted)]
        distinct = {item.digest for item in fits}
        if len(distinct) == 1:
            return fits[0]
        names = ", ".join(f"{item.version} ({item.name[:12]})" for item in known)
        if fits:
            raise NoSuchVersion(f"{wanted!r} names {len(distinct)} versions of {reader_id}: {names}. Give the digest.")
        raise NoSuchVersion(f"{reader_id} has no version {wanted!r} here; installed: {names}.")

    def active(self, reader_id: str) -> str:
        """Return the digest of the active version, ``built-in``, or ``none``."""
        return self.journal.active().get(reader_id, BUILT_IN if reader_id in self._built_in else NONE)

    def install(self, source: Path) -> Release:
        """Copy a locked release into its place; raises DamagedPackage before anything is there. Twice is once.

        A version that was damaged on the disk since is replaced by the sound one of the same digest.
        """
        reader_id, version, digest = claimed_identity(source)
        verify_package(source / MODEL, source / CARD)
        target = self.folder / reader_id / digest
        with self.journal.held():
            if not _is_sound(target):
                self._place(source, target, digest)
        return Release(reader_id, version, digest, target)

    def _place(self, source: Path, target: Path, digest: str) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in target.parent.glob(".incoming-*"):  # of a process that was killed: we hold the lock
            shutil.rmtree(left_over, ignore_errors=True)
        incoming = target.parent / f".incoming-{uuid.uuid4().hex}"
        damaged = target.parent / f".incoming-{uuid.uuid4().hex}-damaged"
        try:
            incoming.mkdir(mode=0o700)
            _copy_release(source, incoming)
            if verify_package(incoming / MODEL, incoming / CARD).digest != digest:
                raise DamagedPackage(f"{source} changed while it was copied. Install it again.")
            if target.exists():
                _keep_validations(target, incoming)
                target.rename(damaged)
            incoming.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
            shutil.rmtree(damaged, ignore_errors=True)

    def prove(self, release: Release, rule: SignatureRule, *, running: bool = False) -> ModelPackage:
        """Compare every byte and the signature of a version; raises DamagedPackage, BadSignature, UntrustedPackage."""
        package = verify_package(release.folder / MODEL, release.folder / CARD)
        if package.digest != release.digest:
            raise DamagedPackage(f"{release.folder} holds package {package.digest[:16]}, not {release.digest[:16]}.")
        self.standing(release, package).require(rule, running=running)
        return package

    def standing(self, release: Release, package: ModelPackage) -> SignatureStanding:
        """Say how the signature of a version stands here; raises BadSignature when it was tampered with."""
        if release.built_in and not (release.folder / SIGNATURE).exists():
            return SignatureStanding(SignatureStatus.BUILT_IN, "part of the installed code")
        return self.trust.standing(package, release.folder)

    def switch(self, release: Release, request: Request) -> Switched:
        """Make a version active; everything is proved first, and the journal is the last thing that is written."""
        package = self.prove(release, SignatureRule.OFF)
        standing = self.standing(release, package)
        standing.require(request.rule)
        validation = require_validation(release.folder, release.digest, request.validation, built_in=release.built_in)
        replay = accepted_replay(request.replay, release.digest) if request.replay is not None else None
        if request.check is not None:
            request.check(release)
        with self.journal.held():
            before = self.active(release.reader_id)
            if before == release.name:
                raise NoSuchVersion(f"{release.reader_id} {release.version} ({release.name[:16]}) is active already.")
            if replay is not None:
                self._require_in_use(release.reader_id, replay.inputs.get("package before", ""))
            entry = _entry("switch", release.reader_id, before, release.name, request)
            entry["replay"] = replay.digest if replay is not None else ""
            change = self.journal.append(Switch(**entry, validation=validation.digest, signature=standing.status.value))
        return Switched(change, release, standing, validation)

    def _require_in_use(self, reader_id: str, replayed: str) -> None:
        """Refuse a replay from another version than the active one: it says nothing of this change."""
        active = self.active(reader_id)
        digest = claimed_identity(self._built_in[reader_id])[2] if active == BUILT_IN else active
        if digest != replayed:
            used = "no version is" if digest == NONE else f"{digest[:16]} is"
            raise NotValidated(
                f"the replay compares with package {replayed[:16]}, which is not in use; {used}. Run `coread models "
                "replay` from the active version."
            )

    def rollback(self, reader_id: str, request: Request) -> Switched:
        """Take the last switch back; a second rollback takes back the one before. The old bytes are proved again."""
        with self.journal.held():
            undo = self.journal.undo_of(reader_id)
            if not undo:
                raise NoSuchVersion(f"{reader_id} was never switched here, so there is nothing to go back to.")
            if undo[0] == NONE:
                entry = _entry("rollback", reader_id, self.active(reader_id), NONE, request)
                change = self.journal.append(Switch(**entry, validation="", signature="", replay=""))
                nothing = SignatureStanding(SignatureStatus.NONE, "the reader is not used any more")
                return Switched(change, Release(reader_id, NONE, NONE, self.folder), nothing, None)
            release = self.find(reader_id, undo[0])
            package = self.prove(release, SignatureRule.OFF)
            standing = self.standing(release, package)
            standing.require(request.rule, running=True)
            entry = _entry("rollback", reader_id, self.active(reader_id), release.name, request)
            change = self.journal.append(Switch(**entry, validation="", signature=standing.status.value, replay=""))
        return Switched(change, release, standing, None)


def _entry(action: str, reader_id: str, before: str, after: str, request: Request) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    words = {"at": now, "actor": request.actor, "action": action, "reader_id": reader_id, "reason": request.reason}
    return words | {"from_digest": before, "to_digest": after}


def accepted_replay(folder: Path, digest: str) -> StepRecord:
    """Return the record of a replay that accepted a change to exactly this package; raises NotValidated."""
    record = read_record(folder)
    if record.step != "replay" or record.inputs.get("package after") != digest:
        raise NotValidated(f"{folder} is no replay of package {digest[:16]}. Run `coread models replay` with it.")
    if record.inputs.get("package before") == digest:
        raise NotValidated(f"{folder} is a replay of a package with itself: it says nothing of a change.")
    if record.settings.get("accepted") is not True:
        raise NotValidated(f"the replay in {folder} did not accept the change. It is not switched on.")
    return record


def _installed(folder: Path) -> Release:
    reader_id, version, digest = claimed_identity(folder)
    if (reader_id, digest) != (folder.parent.name, folder.name):
        raise DamagedPackage(
            f"{folder} holds {reader_id} {digest[:16]}: the folder was renamed or its manifest changed."
        )
    return Release(reader_id, version, digest, folder)


def _is_sound(target: Path) -> bool:
    """Say whether the version is there, whole; a damaged one is installed anew."""
    try:
        return verify_package(target / MODEL, target / CARD).digest == target.name
    except DamagedPackage:
        return False


def _keep_validations(damaged: Path, incoming: Path) -> None:
    """Records that were attached here do not come with the package: each is proved again when it is used."""
    for record in (damaged / VALIDATION).glob("*"):
        if not (incoming / VALIDATION / record.name).exists():
            shutil.copytree(record, incoming / VALIDATION / record.name, symlinks=True)


def _copy_release(source: Path, target: Path) -> None:
    """Copy what belongs to a release and nothing else; verification afterwards refuses links and strangers.

    Validations do not travel: nothing covers them, and a package would vouch for itself. The site attaches its own.
    """
    copy_tree_whole(source / MODEL, target / MODEL)
    for name in (CARD, SIGNATURE, "record.json", "README.md"):
        if (source / name).is_file() and not (source / name).is_symlink():
            shutil.copyfile(source / name, target / name)
