"""What the server does from time to time: ends work that nobody will do, and applies the retention rule."""

import logging
from datetime import UTC, datetime

import coread
from coread.app.pipeline import Pipeline
from coread.app.web.dicomweb.metadata import forget_metadata
from coread.domain.results import Failure, Provenance, Reading
from coread.domain.work import WorkItem
from coread.store import LeaseLost
from coread.store.records import RetentionReport

log = logging.getLogger(__name__)

OWNER = "routing"
LEASE_SECONDS = 30.0


def end_orphaned_work(pipeline: Pipeline) -> int:
    """End items that wait for a reader that was removed or switched off since: failed, with the reason."""
    store = pipeline.store
    here = {item.card.reader_id for item in pipeline.active_readers()}
    gone = [reader_id for reader_id in store.waiting_readers() if reader_id not in here]
    ended = 0
    while gone and (item := store.claim_work(OWNER, LEASE_SECONDS, gone)) is not None:
        try:
            store.finish_work(item.work_id, OWNER, _reader_missing(item), (), ())
        except LeaseLost:
            log.info("work %d was superseded meanwhile", item.work_id)
            continue
        ended += 1
    if ended:
        log.error("%d work items ended as failed: their readers are not here (%s)", ended, ", ".join(gone))
    return ended


def apply_retention(pipeline: Pipeline, now: datetime) -> RetentionReport:
    """Move old studies to the trash, purge what lay there long enough, and forget what was derived from either."""
    if pipeline.settings.retention_days is None:
        return RetentionReport()
    report = pipeline.store.apply_retention(now)
    for uid in (*report.trashed, *report.purged):
        forget_metadata(pipeline.store.folder, uid)
    if report.trashed or report.purged:
        log.info("retention: %d studies to the trash, %d purged", len(report.trashed), len(report.purged))
    if report.kept_unfinished:
        log.warning("retention: %d old studies are kept: work or delivery is not finished", report.kept_unfinished)
    return report


def _reader_missing(item: WorkItem) -> Reading:
    failure = Failure(
        "ReaderMissing",
        f"reader {item.reader_id} {item.reader_version} was removed or switched off before it read the study",
        "install it or switch it on, restart, and then `coread read` the study",
    )
    now = datetime.now(UTC)
    provenance = Provenance(
        reader_id=item.reader_id,
        reader_version=item.reader_version,
        package_digest="",
        input_digest="",
        coread_version=coread.__version__,
        runtime="",
        started_at=item.created_at,
        finished_at=now,
    )
    return Reading(failure, provenance)
