"""C-STORE as a client: files go out as they are stored, piece by piece, with one result for each (PS3.4 annex B)."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from coread.deliver.association import associated
from coread.deliver.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNCOMPRESSED,
    Outgoing,
    batches,
    dealt,
    proposed_contexts,
)
from coread.deliver.errors import ObjectRefused, PeerAborted, PeerFailed, PeerTimedOut
from coread.deliver.outcome import NOT_SUPPORTED, Progress, SendResult, answered, failed
from coread.deliver.peer import Peer
from coread.deliver.transcode import padded, write_plain

_SLOWEST_BYTES_PER_SECOND = 250_000
"""A link slower than this counts as a peer that does not answer."""


def send_objects(
    peer: Peer, paths: Sequence[Path], *, associations: int = 1, progress: Progress | None = None
) -> tuple[SendResult, ...]:
    """Send files over one or several associations; the results stand in the order of ``paths``.

    Never raises for a file or a peer: each result says what happened. ``progress`` is called once per file,
    from the thread that sent it.
    """
    ledger = Ledger(progress)
    files = ledger.take(paths)
    hands = dealt(files, associations) if files else ()
    with ThreadPoolExecutor(max_workers=max(1, len(hands))) as pool:
        for finished in [pool.submit(_send_hand, peer, hand, ledger.record) for hand in hands]:
            finished.result()
    return ledger.in_order(paths)


class Ledger:
    """The results of one sending, by file; ``progress`` hears of each as it comes."""

    def __init__(self, progress: Progress | None) -> None:
        self._results: dict[Path, SendResult] = {}
        self._progress = progress

    def record(self, result: SendResult) -> None:
        """Keep one result."""
        self._results[result.path] = result
        if self._progress is not None:
            self._progress(result)

    def take(self, paths: Sequence[Path]) -> list[Outgoing]:
        """Return what can be sent, each file once; what cannot has its result at once."""
        files: list[Outgoing] = []
        for path in dict.fromkeys(paths):
            file = described(path)
            if isinstance(file, SendResult):
                self.record(file)
            else:
                files.append(file)
        return files

    def in_order(self, paths: Sequence[Path]) -> tuple[SendResult, ...]:
        """Return the results in the order of the paths that were asked for."""
        return tuple(self._results[path] for path in paths)


def described(path: Path) -> Outgoing | SendResult:
    """Return what the file meta information says of a file, or the result that says why it cannot be sent."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
        return Outgoing(
            path, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
        )
    except (InvalidDicomError, AttributeError, OSError, ValueError, EOFError) as problem:
        error = ObjectRefused(f"{path.name} is not a DICOM file that can be sent: {problem}")
        return SendResult(path, "", "", None, str(error), error)


def _send_hand(peer: Peer, hand: Sequence[Outgoing], record: Progress) -> None:
    for batch in batches(hand):
        waiting = list(batch)
        try:
            with associated(peer, proposed_contexts(batch)) as association:
                while waiting:
                    record(_told(peer, association, waiting[0]))
                    waiting.pop(0)
        except (PeerFailed, ObjectRefused) as problem:
            for file in waiting:
                record(failed(file, problem))


def _told(peer: Peer, association: Any, file: Outgoing) -> SendResult:
    """Send one file; a file that cannot be sent costs the files after it nothing."""
    try:
        return _send_one(peer, association, file)
    except ObjectRefused as problem:
        return failed(file, problem)


def _send_one(peer: Peer, association: Any, file: Outgoing) -> SendResult:
    """Send one file on an open association; raises PeerFailed when the association is lost."""
    accepted = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == file.sop_class_uid
    }
    if file.transfer_syntax_uid in accepted:
        with padded(file) as path:
            return answered(str(peer), file, _store(peer, association, path), note="")
    plain = next((uid for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if uid in accepted), "")
    if file.transfer_syntax_uid not in UNCOMPRESSED or not plain:
        return failed(file, _not_taken(peer, file, accepted))
    with tempfile.TemporaryDirectory(prefix="coread-send-") as folder:
        recoded = Path(folder) / "plain.dcm"
        try:
            write_plain(file.path, recoded, plain)
        except (ValueError, AttributeError, TypeError, OSError, KeyError, NotImplementedError) as problem:
            return failed(file, ObjectRefused(f"{file.path.name} cannot be written as {plain}: {problem}"))
        return answered(str(peer), file, _store(peer, association, recoded), note=f" (sent as {plain})")


def _not_taken(peer: Peer, file: Outgoing, accepted: set[str]) -> ObjectRefused:
    from pydicom.uid import UID

    wanted = UID(file.transfer_syntax_uid).name
    kind = UID(file.sop_class_uid).name
    if accepted:
        return ObjectRefused(f"{peer} takes {kind}, but not in {wanted}", status=NOT_SUPPORTED)
    return ObjectRefused(f"{peer} does not take {kind} in {wanted}", status=NOT_SUPPORTED)


def _store(peer: Peer, association: Any, path: Path) -> int:
    if not association.is_established:
        raise PeerAborted(f"{peer} closed the association")
    # pynetdicom's clock for the answer starts when the object is queued, not when it is sent.
    association.dimse_timeout = peer.timeout_seconds + path.stat().st_size / _SLOWEST_BYTES_PER_SECOND
    try:
        answer = association.send_c_store(str(path))
    except (ValueError, AttributeError, OSError) as problem:
        raise ObjectRefused(f"{path.name} cannot be sent: {problem}") from problem
    if "Status" in answer:
        return int(answer.Status)
    if association.acse.is_aborted() or association.is_aborted:
        raise PeerAborted(f"{peer} cut the connection while an object was being sent")
    raise PeerTimedOut(f"{peer} did not answer C-STORE in {peer.timeout_seconds:g} s")
