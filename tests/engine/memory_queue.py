# ruff: noqa: ARG002 - it keeps the signatures of the store
"""The part of a store that a worker needs, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from coread.domain.results import Reading
from coread.domain.study import Study
from coread.domain.work import Destination, EncodedObject, EvidenceRecord, Priority, WorkItem, WorkState


@dataclass
class MemoryQueue:
    """The part of a store that a worker needs, in memory."""

    folder: Path
    studies: dict[str, Study] = field(default_factory=dict)
    waiting: list[WorkItem] = field(default_factory=list)
    finished: dict[int, tuple[Reading, tuple[EncodedObject, ...]]] = field(default_factory=dict)
    retried: list[tuple[int, str]] = field(default_factory=list)
    beats: int = 0
    keep_lease: bool = True
    claims: int = 0

    def add(self, study: Study, reader_id: str) -> int:
        work_id = len(self.waiting) + len(self.finished) + 1
        self.studies[study.study_instance_uid] = study
        uids = tuple(one.header.sop_instance_uid for series in study.series for one in series.instances)
        now = datetime.now(UTC)
        waits = WorkState.SCHEDULED
        item = WorkItem(work_id, study.study_instance_uid, 1, reader_id, "1.0.0", uids, Priority.MEDIUM, waits, 0, now)
        self.waiting.append(item)
        return work_id

    def claim_work(self, owner: str, lease_seconds: float, reader_ids: Sequence[str] | None = None) -> WorkItem | None:
        self.claims += 1
        for item in self.waiting:
            if reader_ids is None or item.reader_id in reader_ids:
                self.waiting.remove(item)
                return replace(item, attempts=item.attempts + 1, lease_owner=owner, state=WorkState.IN_PROGRESS)
        return None

    def heartbeat(self, work_id: int, owner: str, lease_seconds: float) -> bool:
        self.beats += 1
        return self.keep_lease

    def finish_work(
        self,
        work_id: int,
        owner: str,
        reading: Reading,
        evidence: Sequence[EncodedObject],
        destinations: Sequence[Destination],
    ) -> tuple[EvidenceRecord, ...]:
        self.finished[work_id] = (reading, tuple(evidence))
        return ()

    def retry_work(self, work_id: int, not_before: datetime, detail: str) -> None:
        self.retried.append((work_id, detail))

    def study(self, uid: str, with_series: bool = False, with_instances: bool = False) -> Study | None:
        return self.studies.get(uid)

    def path_of(self, relative: str) -> Path:
        return self.folder / relative

    def change_token(self) -> int:
        return len(self.waiting)
