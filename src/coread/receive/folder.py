"""A watched folder: files that stand still are taken in, then moved away or remembered in a journal.

Plain DICOM files in any depth, zip archives of them, and HDF5 files of raw MR data; a DICOMDIR index and everything
else is refused with a reason. A file is never tried twice unless it changes.
"""

import itertools
import logging
import lzma
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO

from coread.domain.study import Origin, Received, ReceiveStatus
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.files.raw_object import is_raw_file, write_wrapped
from coread.receive.errors import BadSettings, ObjectRefused
from coread.receive.files import FileDoor, IncomingFile
from coread.receive.journal import FileMark, Journal
from coread.receive.staging import BytesInFlight, StagingArea
from coread.receive.statuses import status_of
from coread.store import StagedFile, Store

_LOG = logging.getLogger(__name__)
_COPY_BYTES = 1 << 20
_DONE_SUFFIX = ".done"
_MEMBERS_SUFFIX = ".members.txt"
"""Beside a handled archive: which of its members were refused or kept aside, and why."""
_MOST_TOLD = 100
"""Members of one archive that the journal names."""
_OWN_FOLDERS = ("processed", "refused")
UNREADABLE = (
    OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What a file or a damaged archive raises: RuntimeError when encrypted, NotImplementedError for an unknown
compression, the last four and OSError from the middle of a compressed member."""


class FileFate(StrEnum):
    """What became of one file of the folder."""

    TAKEN = "taken"
    PARTLY = "partly"
    """An archive of which some members were refused."""
    REFUSED = "refused"
    SKIPPED = "skipped"
    """A DICOMDIR: an index of files that are taken by themselves."""


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """How the folder is watched."""

    folder: Path
    move_handled: bool = True
    """Move files to ``processed/`` and ``refused/`` inside the folder; off = leave them and keep a journal."""
    poll_seconds: float = 2.0
    max_archive_bytes: int = 64 << 30
    """Sum of the unpacked members of one zip archive; more is refused."""
    max_archive_members: int = 100_000
    max_file_bytes: int = 8 << 30
    durable: bool = True

    def __post_init__(self) -> None:
        if self.poll_seconds <= 0:
            raise BadSettings(f"poll_seconds is {self.poll_seconds}; it must be more than 0")


@dataclass(frozen=True, slots=True)
class HandledFile:
    """One file that was handled in a poll."""

    path: Path
    fate: FileFate
    detail: str
    received: tuple[Received, ...] = ()
    members: tuple[str, ...] = ()
    """What was refused or kept aside, one text for each object, with the member of the archive and the SOP Instance
    UID. A member's name may be a person's: these texts are for people and the journal, never for the log."""


class FolderWatcher:
    """Polls one folder; ``start`` runs it in a thread, ``poll_once`` does one round."""

    def __init__(self, store: Store, settings: FolderSettings) -> None:
        if not settings.folder.is_dir():
            raise BadSettings(f"watched folder {settings.folder} does not exist; create it")
        self._store = store
        self._settings = settings
        self._seen: dict[Path, FileMark] = {}
        self._journal = Journal(settings.folder / ".coread-journal.jsonl")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coread-folder", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End after the file that is being taken."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def poll_once(self) -> list[HandledFile]:
        """Take every file that stood still since the last poll, or has a ``.done`` file beside it."""
        ready, seen = [], {}
        for path in self._candidates():
            mark = FileMark.of(path)
            if mark is None or self._journal.knows(path, mark):
                continue
            if self._seen.get(path) == mark or path.with_name(path.name + _DONE_SUFFIX).exists():
                ready.append((path, mark))
            else:
                seen[path] = mark
        self._seen = seen
        handled = []
        for path, mark in ready:
            if self._stopping.is_set():
                break
            try:
                handled.append(self._handle(path, mark))
            except Exception:  # noqa: BLE001 - the edge of one file: the others are taken, this one is tried again
                _LOG.exception("watched folder: a file could not be taken; it is tried again")
        return handled

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self.poll_once()
            except Exception:  # noqa: BLE001 - the edge of one poll: recorded, the next poll tries again
                _LOG.exception("watching the folder failed; trying again")
            self._stopping.wait(max(0.0, self._settings.poll_seconds - (time.monotonic() - started)))

    def _candidates(self) -> Iterator[Path]:
        root = self._settings.folder
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if relative.parts[0] in _OWN_FOLDERS or any(part.startswith(".") for part in relative.parts):
                continue
            if path.is_symlink() or not path.is_file() or path.name.endswith(_DONE_SUFFIX):
                continue
            yield path

    def _handle(self, path: Path, mark: FileMark) -> HandledFile:
        try:
            handled = take_file(self._store, path, self._settings, Origin("folder", peer=str(self._settings.folder)))
        except UNREADABLE as error:
            handled = HandledFile(path, FileFate.REFUSED, f"cannot be read: {type(error).__name__}")
        level = logging.INFO if handled.fate is FileFate.TAKEN else logging.WARNING
        _LOG.log(level, "watched folder: %s: %s", handled.fate.value, handled.detail)
        self._put_away(handled, mark)
        return handled

    def _put_away(self, handled: HandledFile, mark: FileMark) -> None:
        """Move the file out of the way; where that is impossible, or not wanted, remember it."""
        marker = handled.path.with_name(handled.path.name + _DONE_SUFFIX)
        if self._settings.move_handled:
            kept = handled.fate in (FileFate.TAKEN, FileFate.SKIPPED)
            root = self._settings.folder
            target = root / _OWN_FOLDERS[0 if kept else 1] / handled.path.relative_to(root)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target = handled.path.rename(_free_name(target))
                marker.unlink(missing_ok=True)
                if handled.members:
                    target.with_name(target.name + _MEMBERS_SUFFIX).write_text("\n".join(handled.members) + "\n")
            except OSError as error:
                _LOG.warning("a handled file cannot be moved (%s); it is remembered instead", error.strerror)
            else:
                return
        detail = "; ".join((handled.detail, *handled.members[:_MOST_TOLD]))
        self._journal.add(handled.path, mark, handled.fate.value, detail)


def take_file(store: Store, path: Path, settings: FolderSettings, origin: Origin) -> HandledFile:
    """Take one DICOM file, a file of raw MR data, or every member of a zip archive, into the store.

    The file itself stays where it is.
    Raises one of ``UNREADABLE`` for what cannot be read at all.
    """
    if path.name.upper() == "DICOMDIR":
        return HandledFile(path, FileFate.SKIPPED, "DICOMDIR: its files are taken by themselves")
    area = StagingArea(store.staging_folder(), BytesInFlight(settings.max_archive_bytes))
    door = FileDoor(store, area, origin, settings.durable, settings.max_file_bytes)
    try:
        if zipfile.is_zipfile(path) and not _is_part10(path):
            return _take_archive(door, path, settings)
        if is_raw_file(path):
            staged = _stage_raw(door, path)
        else:
            with path.open("rb") as stream:
                staged = _stage(door, stream)
        return _judged(path, [("", receipt) for receipt in store.add_files([staged])], [])
    except ObjectRefused as refusal:
        return HandledFile(path, FileFate.REFUSED, str(refusal))
    finally:
        area.close()


def _take_archive(door: FileDoor, path: Path, settings: FolderSettings) -> HandledFile:
    receipts: list[tuple[str, Received]] = []
    refusals: list[tuple[str, str]] = []
    staged: list[tuple[str, StagedFile]] = []
    room = settings.max_archive_bytes

    def hand_over() -> None:
        names = [name for name, _ in staged]
        receipts.extend(zip(names, door.store.add_files([item for _, item in staged]), strict=True))
        staged.clear()

    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > settings.max_archive_members:
            return HandledFile(path, FileFate.REFUSED, f"an archive of {len(members)} members")
        for member in members:
            if PurePosixPath(member.filename).name.upper() == "DICOMDIR":
                continue
            try:
                with archive.open(member) as stream:
                    item = _stage(replace(door, max_bytes=min(door.max_bytes, max(room, 0))), stream)
                room -= item.size
                staged.append((member.filename, item))
            except ObjectRefused as refusal:
                refusals.append((member.filename, str(refusal)))
            except UNREADABLE as error:  # one damaged member costs the others nothing
                refusals.append((member.filename, f"cannot be read: {type(error).__name__}"))
            if len(staged) >= 64:
                hand_over()
    if staged:
        hand_over()
    return _judged(path, receipts, refusals)


def _stage_raw(door: FileDoor, path: Path) -> StagedFile:
    """Wrap a file of raw MR data (HDF5) into a DICOM Raw Data object and bring that in."""
    # In the staging area: what a killed process leaves of it is removed at the next start.
    partial = door.area.new_path()
    try:
        write_wrapped(path, partial)
        with partial.open("rb") as stream:
            return _stage(door, stream)
    except ImagingRefused as refusal:
        raise ObjectRefused(status_of(refusal.reason.code), str(refusal), refusal.reason) from refusal
    finally:
        partial.unlink(missing_ok=True)


def _stage(door: FileDoor, stream: IO[bytes]) -> StagedFile:
    incoming = IncomingFile(door)
    try:
        while chunk := stream.read(_COPY_BYTES):
            incoming.add(chunk)
        return incoming.finish()
    finally:
        incoming.abandon()


def _is_part10(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _judged(path: Path, receipts: list[tuple[str, Received]], refusals: list[tuple[str, str]]) -> HandledFile:
    """Say what became of a file from what became of the objects in it."""
    received = tuple(receipt for _, receipt in receipts)
    aside = [(member, receipt) for member, receipt in receipts if receipt.status is ReceiveStatus.CONFLICT]
    refused = [(member, receipt) for member, receipt in receipts if receipt.status is ReceiveStatus.REFUSED]
    reasons = [receipt.detail for _, receipt in refused] + [reason for _, reason in refusals]
    members = (
        *(_told(member, receipt) for member, receipt in refused),
        *(f"{reason} (member {member!r})" for member, reason in refusals),
        *(f"kept aside: {_told(member, receipt)}" for member, receipt in aside),
    )
    kept = len(receipts) - len(refused)
    detail = f"{kept} objects kept" + (f", {len(aside)} of them aside" if aside else "")
    if not reasons:
        fate = FileFate.TAKEN if kept else FileFate.SKIPPED
        return HandledFile(path, fate, detail, received, members)
    fate = FileFate.PARTLY if kept else FileFate.REFUSED
    return HandledFile(path, fate, f"{detail}, {len(reasons)} refused: {reasons[0]}", received, members)


def _told(member: str, receipt: Received) -> str:
    """Say why an object was not simply stored, and which it is."""
    where = f"member {member!r}, " if member else ""
    return f"{receipt.detail} ({where}SOP Instance UID {receipt.sop_instance_uid})"


def _free_name(target: Path) -> Path:
    """Return the path itself, or one with a number when it is taken."""
    free = target
    for number in itertools.count(1):
        if not free.exists():
            break
        free = target.with_name(f"{target.stem}.{number}{target.suffix}")
    return free
