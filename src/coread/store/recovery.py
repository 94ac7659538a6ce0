"""After a crash: acknowledged files that were not indexed, and work whose worker is gone."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from coread.domain.errors import Refused
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import InstanceHeader, Origin, Received, ReceiveStatus
from coread.store import queue, results
from coread.store.database import Transaction
from coread.store.records import StagedFile

Scan = Callable[[Path], InstanceHeader]
_BATCH = 64
_RECOVERED = Origin("recovered", "after a restart")


class Intake(Protocol):
    """What recovery needs of the store."""

    def staging_folder(self) -> Path:
        """See ``Store.staging_folder``."""
        ...

    def add_files(self, items: Sequence[StagedFile]) -> list[Received]:
        """See ``Store.add_files``."""
        ...

    def quarantine(self, path: Path, reason: Reason, origin: Origin) -> Path:
        """See ``Store.quarantine``."""
        ...


def recover_staging(store: Intake, scan: Scan) -> int:
    """Index every ``*.ready`` file of the staging folder; returns how many were new."""
    ready = sorted(store.staging_folder().rglob("*.ready"))
    count = 0
    for start in range(0, len(ready), _BATCH):
        items = [item for path in ready[start : start + _BATCH] if (item := _staged(store, path, scan)) is not None]
        count += sum(receipt.status is ReceiveStatus.STORED for receipt in store.add_files(items))
    return count


def _staged(store: Intake, path: Path, scan: Scan) -> StagedFile | None:
    try:
        header = scan(path)
    except Refused as refusal:
        reason = getattr(refusal, "reason", None)
        known = reason if isinstance(reason, Reason) else Reason(ReasonCode.BAD_HEADER, str(refusal))
        store.quarantine(path, known, _RECOVERED)
        return None
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return StagedFile(path, header, path.stat().st_size, digest, _RECOVERED)


def release(tx: Transaction, owner: str | None, detail: str) -> int:
    """Put abandoned work back, or end it as failed when it was begun too often; returns how many items."""
    rows = queue.abandoned(tx, owner)
    for row in rows:
        if row.attempts >= tx.settings.max_attempts:
            results.finish(tx, row.id, None, results.kept_crashing(tx, row), (), ())
        else:
            queue.put_back(tx, row, detail)
    return len(rows)
