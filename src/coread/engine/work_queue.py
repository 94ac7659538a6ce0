"""What a worker needs of the store: a queue of work items with leases. ``coread.store.Store`` has all of it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from coread.domain.results import Reading
from coread.domain.study import Study
from coread.domain.work import Destination, EncodedObject, EvidenceRecord, WorkItem


class WorkQueue(Protocol):
    """What the loop needs of the store."""

    def claim_work(self, owner: str, lease_seconds: float, reader_ids: Sequence[str] | None = None) -> WorkItem | None:
        """Take the most urgent waiting item."""
        ...

    def heartbeat(self, work_id: int, owner: str, lease_seconds: float) -> bool:
        """Prolong the lease; False when it belongs to somebody else."""
        ...

    def finish_work(
        self,
        work_id: int,
        owner: str,
        reading: Reading,
        evidence: Sequence[EncodedObject],
        destinations: Sequence[Destination],
    ) -> tuple[EvidenceRecord, ...]:
        """Store the ending and queue its deliveries, in one transaction."""
        ...

    def retry_work(self, work_id: int, not_before: datetime, detail: str) -> None:
        """Put an item back for another attempt."""
        ...

    def study(self, uid: str, with_series: bool = False, with_instances: bool = False) -> Study | None:
        """Return one study of the index."""
        ...

    def path_of(self, relative: str) -> Path:
        """Return where a file of the store lies."""
        ...

    def change_token(self) -> int:
        """Grow with every change."""
        ...
