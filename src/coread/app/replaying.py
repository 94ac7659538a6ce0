"""Replay: the same studies through two versions of a reader, and every answer that is different.

The evidence before a switch. Both versions go the way of the clinic: routing by their own card, the engine's run, the
reader's code; nothing is stored as a result and nothing is sent. A replay that was stopped goes on where it was.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coread
from coread.app.errors import NothingFound
from coread.app.prior_archive import FOLDER, kept_priors
from coread.app.priors import find_priors, recorded_priors
from coread.app.replay_limits import LimitCheck, Limits, Measured, check_limits, measure_changes
from coread.domain.errors import Misconfigured
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Provenance, Reading, ReadResult, Refusal
from coread.domain.study import Study
from coread.engine.comparing import StudyChange, change_from_document, compare_readings
from coread.engine.priors import FoundPriors
from coread.engine.run import run_reader
from coread.engine.sessions import OpenReader, SessionSettings, open_reader
from coread.models.graphs import runtime_name
from coread.models.lineage import RECORD, StepRecord, write_record
from coread.readers.registry import InstalledReader
from coread.route.decide import decide
from coread.store import Store, StoreSettings

ANSWERS = "answers.jsonl"
REPORT = "report.json"
PAGE = "report.html"
_PAGE_OF_STUDIES = 200

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed and what is asked of it."""

    before: InstalledReader
    after: InstalledReader
    source: str
    """For people: the last 200 studies, or the folder."""
    limits: Limits | None = None
    limits_sha256: str = ""
    threads: int = 1
    programs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """A finished replay."""

    plan: ReplayPlan
    changes: tuple[StudyChange, ...]
    measured: Measured
    checks: tuple[LimitCheck, ...]
    accepted: bool | None
    """None: no limits were given."""
    record: StepRecord | None = None


@contextmanager
def folder_store(paths: Sequence[Path], progress: Progress) -> Iterator[tuple[Store, tuple[str, ...]]]:
    """Take DICOM files into a store that lives as long as the block; yields it with the study UIDs."""
    from coread.app.offline import take_in
    from coread.app.paths import files_below
    from coread.domain.study import SettledReason

    with tempfile.TemporaryDirectory(prefix="coread-replay-") as folder:
        settings = StoreSettings(folder=Path(folder), durable=False, warn_free_fraction=0.0, refuse_free_fraction=0.0)
        with Store.open(settings, migrate=True) as store:
            refused, uids = take_in(store, files_below(paths), progress)
            if refused and not uids:
                raise NothingFound(f"none of the files is an image that can be read; the first: {refused[0][1]}")
            for uid in uids:
                store.settle(uid, SettledReason.MANUAL, "all files of the cohort are in")
            yield store, uids


def last_studies(store: Store, plan: ReplayPlan, wanted: int) -> tuple[str, ...]:
    """Return the last studies that the card of either version accepts, newest first."""
    found: list[str] = []
    offset = 0
    while len(found) < wanted and (page := store.latest_studies(_PAGE_OF_STUDIES, offset)):
        offset += len(page)
        found += [uid for uid in page if _accepted_by_either(store, plan, uid)]
    return tuple(found[:wanted])


def replay(store: Store, uids: Sequence[str], plan: ReplayPlan, out: Path, progress: Progress) -> Replay:
    """Read every study with both versions, write answers as they come, then report and record.

    Raises Misconfigured when both are one package or ``out`` holds another replay, NothingFound when there is nothing
    to read.
    """
    if not uids:
        raise NothingFound("no study fits the card of either version: nothing can be replayed")
    if plan.before.card.reader_id != plan.after.card.reader_id:
        raise Misconfigured(f"{plan.before.card.reader_id} and {plan.after.card.reader_id} are different readers.")
    if plan.before.package_digest == plan.after.package_digest:
        raise Misconfigured(
            f"both versions are the same package {plan.after.package_digest[:16]}: nothing is compared."
        )
    out.mkdir(parents=True, exist_ok=True)
    uids, done = _resume(out, plan, uids)
    sessions = SessionSettings(threads=plan.threads, programs=plan.programs)
    opened = tuple(open_reader(item, sessions.open) for item in (plan.before, plan.after))
    urgent = frozenset(o.key for item in (plan.before, plan.after) for o in item.card.outputs if o.urgent)
    with (out / ANSWERS).open("a", encoding="utf-8") as answers:
        for number, uid in enumerate(uids):
            progress(number, len(uids), "replaying")
            if uid in done:
                continue
            before, after = (_read(store, ready, uid) for ready in opened)
            done[uid] = compare_readings(uid, before, after, urgent)
            answers.write(json.dumps(asdict(done[uid])) + "\n")
            answers.flush()
    progress(len(uids), len(uids), "writing")
    return _finish(out, plan, tuple(done[uid] for uid in uids))


def replay_document(found: Replay) -> dict[str, Any]:
    """Return a replay as plain JSON values; studies are named by UID only."""
    before, after = found.plan.before, found.plan.after
    return {
        "notice": "Research use only. Not a medical device.",
        "reader_id": before.card.reader_id,
        "before": {"version": before.card.version, "package_digest": before.package_digest},
        "after": {"version": after.card.version, "package_digest": after.package_digest},
        "source": found.plan.source,
        "measured": asdict(found.measured),
        "limits_sha256": found.plan.limits_sha256,
        "limits": [asdict(item) for item in found.checks],
        "accepted": found.accepted,
        "changed": [asdict(item) for item in found.changes if item.changed],
    }


def _finish(out: Path, plan: ReplayPlan, changes: tuple[StudyChange, ...]) -> Replay:
    from coread.app.replay_page import replay_page

    measured = measure_changes(changes)
    checks = check_limits(plan.limits, measured) if plan.limits is not None else ()
    kept = measured.studies > 0 and all(item.kept for item in checks)
    accepted = kept if plan.limits is not None else None
    found = Replay(plan, changes, measured, checks, accepted)
    _write(out / REPORT, json.dumps(replay_document(found), indent=2) + "\n")
    _write(out / PAGE, replay_page(found))
    inputs = {"package before": plan.before.package_digest, "package after": plan.after.package_digest}
    if plan.limits_sha256:
        inputs["limits"] = plan.limits_sha256
    settings = {"source": plan.source, "studies": len(changes), "accepted": accepted}
    record = write_record(out, "replay", inputs=inputs, outputs=(ANSWERS, REPORT, PAGE), settings=settings)
    return Replay(plan, changes, measured, checks, accepted, record)


def _resume(out: Path, plan: ReplayPlan, uids: Sequence[str]) -> tuple[tuple[str, ...], dict[str, StudyChange]]:
    """Return the studies of this replay, fixed at its first start, and what was read of them already."""
    path = out / ANSWERS
    head = {
        "before": plan.before.package_digest,
        "after": plan.after.package_digest,
        "source": plan.source,
        "limits_sha256": plan.limits_sha256,
        "coread_version": coread.__version__,
        "runtime": runtime_name("onnxruntime"),
    }
    if (out / RECORD).exists():
        raise Misconfigured(f"{out} holds a finished replay: it is never changed. Name another folder.")
    if not path.exists():
        _write(path, json.dumps(head | {"studies": list(uids)}) + "\n")
        return tuple(uids), {}
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        known = json.loads(lines[0])
        found = [change_from_document(json.loads(line)) for line in lines[1:-1]]
    except (ValueError, KeyError, TypeError) as problem:
        raise Misconfigured(f"{path} cannot be read: {problem}. Remove the folder and replay again.") from problem
    if {name: known.get(name) for name in head} != head:
        raise Misconfigured(
            f"{out} holds a replay of other packages, studies or limits, or by another version. Name another folder."
        )
    if lines[-1]:  # the process was killed within a line
        _write(path, "\n".join(lines[:-1]) + "\n")
    return tuple(known["studies"]), {item.study_instance_uid: item for item in found}


def _read(store: Store, ready: OpenReader, uid: str) -> Reading:
    """Read one study as the clinic would: routed by the card of this version, or declined with its reason."""
    now = datetime.now(UTC)
    study = store.study(uid, with_series=True, with_instances=True)
    if study is None:
        return _declined(ready, Reason(ReasonCode.NO_ELIGIBLE, "the study is not stored any more"), now)
    (decision,) = decide(study, [ready.installed.card], flags=store.study_flags(uid), at=now)
    if not decision.accepted:
        return _declined(ready, decision.reason or Reason(ReasonCode.NO_ELIGIBLE), now)
    wanted = set(decision.sop_instance_uids)
    sources = [
        (store.path_of(item.path), item.header)
        for series in study.series
        for item in series.instances
        if item.header.sop_instance_uid in wanted
    ]
    priors = same_priors(store, study, ready)
    return run_reader(ready.installed, ready.session, ready.reader, study, sources, now, priors)


def same_priors(store: Store, study: Study, ready: OpenReader) -> FoundPriors:
    """Return the earlier studies that the clinic's latest reading was given; those of today where it was never read.

    Studies may have come since. A replay compares two versions, not two days.
    """
    card = ready.installed.card
    if card.input.max_priors < 1:
        return FoundPriors()
    items = [item for item in store.work_items(study.study_instance_uid) if item.reader_id == card.reader_id]
    for item in sorted(items, key=lambda item: -item.work_id):
        reading = store.reading(item.work_id)
        if reading is not None and isinstance(reading.ending, ReadResult | Refusal):
            kept = kept_priors(store.folder / FOLDER, study, card, card.input.max_priors)
            return recorded_priors(store, card, reading.provenance.priors, kept.priors)
    return find_priors(store, study, card)


def _declined(ready: OpenReader, reason: Reason, now: datetime) -> Reading:
    card = ready.installed.card
    provenance = Provenance(
        reader_id=card.reader_id,
        reader_version=card.version,
        package_digest=ready.session.digest,
        input_digest="",
        coread_version="",
        runtime="",
        started_at=now,
        finished_at=now,
    )
    return Reading(Refusal(reason), provenance)


def _accepted_by_either(store: Store, plan: ReplayPlan, uid: str) -> bool:
    study: Study | None = store.study(uid, with_series=True, with_instances=True)
    if study is None:
        return False
    flags, now = store.study_flags(uid), datetime.now(UTC)
    cards = (plan.before.card, plan.after.card)
    return any(decide(study, [card], flags=flags, at=now)[0].accepted for card in cards)


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
