"""The whole story of a study: everything that happened to it, what did not, and why. Reads the store, changes nothing.

``coread why`` and the pages ``/why`` and ``/case`` tell the same story, because all three are made from this record.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from coread.app.errors import NothingFound
from coread.domain.reasons import Reason
from coread.domain.results import Failure, Outcome, Reading, ReadResult, Refusal
from coread.domain.study import SettledReason, Study, StudyState
from coread.domain.work import (
    Delivery,
    DeliveryState,
    EvidenceKind,
    EvidenceRecord,
    HistoryEntry,
    RoutingDecision,
    Verdict,
    WorkItem,
    WorkState,
)
from coread.store import Store, StudyQuery

ROUTE_FAILED_EVENT = "route.failed"
SETTLED_TEXT: dict[SettledReason, str] = {
    SettledReason.EXPECTED_COUNT: "the PACS said how many images there are, and that many are here",
    SettledReason.ASSOCIATION_COMPLETE: "the sender closed its association and every series is complete",
    SettledReason.SILENCE: "nothing arrived for the configured time",
    SettledReason.MANUAL: "a user or a command said so",
    SettledReason.GIVEN_UP: "looking at it broke again and again, so it was not waited for any longer",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One step on the way from first packet to PACS; ``seconds`` since the step before, if there was one."""

    key: str
    name: str
    at: datetime
    seconds: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SentObject:
    """One result object and where it went."""

    evidence: EvidenceRecord
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class ReaderStory:
    """What one reader made of the study in its latest generation."""

    reader_id: str
    reader_version: str
    decision: RoutingDecision | None
    work: WorkItem | None
    reading: Reading | None
    outcome: Outcome | None
    explanation: str
    """One sentence for people: what came out, or why nothing did (yet)."""
    objects: tuple[SentObject, ...] = ()

    def has_result(self) -> bool:
        """Say whether the reader gave a result: findings or measurements, whatever the outcome."""
        return self.reading is not None and isinstance(self.reading.ending, ReadResult)

    def reason(self) -> Reason | None:
        """Return the coded reason why the study is not analysed, where there is one."""
        if self.reading is not None:
            return self.reading.reason()
        return self.decision.reason if self.decision is not None else None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one study."""

    study: Study
    stages: tuple[Stage, ...]
    readers: tuple[ReaderStory, ...]
    earlier: tuple[ReaderStory, ...]
    """Readings of older generations, before late images came."""
    verdicts: tuple[Verdict, ...]
    history: tuple[HistoryEntry, ...]
    missing: tuple[str, ...]
    """What did not happen (yet), and why, one sentence each."""
    also: tuple[str, ...] = ()
    """Other studies with the same accession number."""


def study_story(store: Store, identifier: str) -> Story:
    """Return the story of a study named by its Study Instance UID or accession number.

    Raises NothingFound when no study answers to it; of several with one accession number the latest is told.
    """
    uids = study_uids(store, identifier)
    if not uids:
        raise NothingFound(f"no study has the UID or accession number {identifier!r}")
    study = store.study(uids[0], with_series=True)
    if study is None:
        raise NothingFound(f"study {uids[0]} was removed")
    readers = _reader_stories(store, study)
    current = tuple(story for story in readers if _generation(story) in (study.generation, None))
    earlier = tuple(story for story in readers if _generation(story) not in (study.generation, None))
    history = store.history(study.study_instance_uid)
    return Story(
        study=study,
        stages=stages_of(study, current),
        readers=current,
        earlier=earlier,
        verdicts=store.verdicts(study.study_instance_uid),
        history=history,
        missing=what_is_missing(study, current) + _routing_trouble(history, current),
        also=uids[1:],
    )


def study_uids(store: Store, identifier: str) -> tuple[str, ...]:
    """Return the studies that this UID or accession number names, the latest first."""
    wanted = identifier.strip()
    if not wanted:
        return ()
    if store.study(wanted) is not None:
        return (wanted,)
    if any(sign in wanted for sign in "*?\\"):  # a wild card (PS3.4 C.2.2.2.4) is a search, not a name
        return ()
    found = store.find_studies(StudyQuery(accession_number=wanted)).items
    newest = sorted(found, key=lambda study: study.first_received_at, reverse=True)
    return tuple(study.study_instance_uid for study in newest)


def _reader_stories(store: Store, study: Study) -> tuple[ReaderStory, ...]:
    uid = study.study_instance_uid
    work = {(item.generation, item.reader_id): item for item in store.work_items(uid)}
    deliveries = store.deliveries(study_uid=uid)
    objects = [
        (item.work_id, SentObject(item, tuple(d for d in deliveries if d.evidence_id == item.evidence_id)))
        for item in store.evidence(uid)
    ]
    decisions = {(decision.generation, decision.reader_id): decision for decision in store.decisions(uid)}
    stories = []
    for key in sorted({*work, *decisions}):
        item = work.get(key)
        own = tuple(sent for work_id, sent in objects if item is not None and work_id == item.work_id)
        reading = store.reading(item.work_id) if item is not None else None
        stories.append(reader_story(decisions.get(key), item, reading, own))
    return tuple(stories)


def reader_story(
    decision: RoutingDecision | None, work: WorkItem | None, reading: Reading | None, objects: tuple[SentObject, ...]
) -> ReaderStory:
    """Put one reader's rows together; the sentence says how it ended or what it waits for."""
    outcome, explanation = _ending(decision, work, reading)
    named = decision or work
    if named is None:
        raise NothingFound("a reader's story needs a routing decision or a work item")
    return ReaderStory(
        reader_id=named.reader_id,
        reader_version=named.reader_version,
        decision=decision,
        work=work,
        reading=reading,
        outcome=outcome,
        explanation=explanation,
        objects=objects,
    )


def _ending(
    decision: RoutingDecision | None, work: WorkItem | None, reading: Reading | None
) -> tuple[Outcome | None, str]:
    if reading is not None:
        return reading.outcome(), ending_text(reading)
    if work is None:
        reason = decision.reason if decision is not None else None
        return Outcome.NOT_ANALYSED, because(reason)
    if work.state is WorkState.CANCELED:
        return None, "Withdrawn: late images came and a newer reading replaces it"
    if work.state is WorkState.IN_PROGRESS:
        return None, f"Being read (attempt {work.attempts})"
    waiting = f"Waiting to be read again (attempt {work.attempts} broke)" if work.attempts else "Waiting to be read"
    return None, waiting


def because(reason: Reason | None) -> str:
    """Return "Not analysed, because ..." for a coded reason."""
    if reason is None:
        return "Not analysed; no reason was recorded"
    text = reason.text()
    return f"Not analysed, because: {text[:1].lower()}{text[1:]}"


def ending_text(reading: Reading) -> str:
    """Return one sentence for people about how a reading ended."""
    ending = reading.ending
    if isinstance(ending, Refusal):
        return because(ending.reason)
    if isinstance(ending, Failure):
        hint = f" ({ending.hint})" if ending.hint else ""
        return f"Failed: {ending.kind}: {ending.message}{hint}"
    return _result_text(ending, notes=reading.notes_images())


def _result_text(result: ReadResult, *, notes: bool) -> str:
    present = [finding.concept.meaning for finding in result.findings if finding.presence == "present"]
    if (reason := result.reason()) is not None:
        return because(reason)
    if not present:
        return "Nothing to note" if notes else "Nothing found that the reader looks for"
    return f"{'Note' if notes else 'Suspected'}: {', '.join(present)}"


def stages_of(study: Study, readers: Sequence[ReaderStory]) -> tuple[Stage, ...]:
    """Return the steps from first packet to PACS with the time each took, in order of time."""
    images = counted(study.instance_count, "image")
    points: list[tuple[datetime, str, str, str]] = [(study.last_received_at, "last", "Last image arrived", images)]
    if study.first_received_at < study.last_received_at:
        points.insert(0, (study.first_received_at, "first", "First image arrived", ""))
    if study.settled_at is not None and study.settled_reason is not None:
        points.append((study.settled_at, "settled", "Complete", SETTLED_TEXT[study.settled_reason]))
    points.extend(_declined_points(readers))
    for reader in readers:
        points.extend(_reader_points(reader))
    points.sort(key=lambda point: point[0])
    stages: list[Stage] = []
    for at, key, name, detail in points:
        seconds = (at - stages[-1].at).total_seconds() if stages else None
        stages.append(Stage(key, name, at, seconds, detail))
    return tuple(stages)


def _declined_points(readers: Sequence[ReaderStory]) -> list[tuple[datetime, str, str, str]]:
    """One point for all readers that declined at one time: most readers read other kinds of study."""
    declined: dict[datetime, list[str]] = {}
    for reader in readers:
        if reader.decision is not None and not reader.decision.accepted and reader.decision.decided_at is not None:
            declined.setdefault(reader.decision.decided_at, []).append(reader.reader_id)
    return [
        (at, "routed", f"{counted(len(names), 'reader')} declined", ", ".join(names)) for at, names in declined.items()
    ]


def _reader_points(reader: ReaderStory) -> list[tuple[datetime, str, str, str]]:
    points = []
    if reader.decision is not None and reader.decision.accepted and reader.decision.decided_at is not None:
        points.append((reader.decision.decided_at, "routed", f"{reader.reader_id}: accepted", ""))
    if reader.reading is not None:
        provenance = reader.reading.provenance
        points.append((provenance.started_at, "reading", f"{reader.reader_id}: reading began", provenance.runtime))
        points.append((provenance.finished_at, "read", f"{reader.reader_id}: read", reader.explanation))
    if reader.objects:
        made = max(sent.evidence.created_at for sent in reader.objects)
        kinds = kinds_text([sent.evidence.kind for sent in reader.objects])
        points.append((made, "evidence", "Result objects made and proved", kinds))
    return points + _delivery_points(reader)


def _delivery_points(reader: ReaderStory) -> list[tuple[datetime, str, str, str]]:
    """One point per destination, once everything for it was acknowledged."""
    by_destination: dict[str, list[Delivery]] = {}
    for sent in reader.objects:
        for delivery in sent.deliveries:
            by_destination.setdefault(delivery.destination, []).append(delivery)
    points = []
    for destination, deliveries in sorted(by_destination.items()):
        ends = [d.finished_at for d in deliveries if d.finished_at is not None and _arrived(d)]
        if len(ends) == len(deliveries):
            word = "committed" if all(d.state is DeliveryState.COMMITTED for d in deliveries) else "acknowledged"
            points.append((max(ends), "delivered", f"{destination} {word}", counted(len(ends), "object")))
    return points


def _arrived(delivery: Delivery) -> bool:
    return delivery.state in (DeliveryState.SENT, DeliveryState.COMMITTED)


def what_is_missing(study: Study, readers: Sequence[ReaderStory]) -> tuple[str, ...]:
    """Return one sentence for everything that has not happened (yet), with the reason where one is known."""
    missing = []
    if study.state is StudyState.RECEIVING:
        again = " again: late images re-opened it" if study.generation else ""
        missing.append(f"The study is not complete yet{again}; readers start once it has settled.")
    elif not readers:
        missing.append("No reader was asked: none is installed, or routing has not looked at the study yet.")
    for reader in readers:
        if not reader.has_result():  # one in which something is unclear was read all the same
            missing.append(f"{reader.reader_id}: {reader.explanation}.")
        if reader.has_result() and not reader.objects:
            missing.append(f"{reader.reader_id}: no result objects were made.")
        missing.extend(_undelivered(reader))
    return tuple(missing)


def _routing_trouble(history: Sequence[HistoryEntry], readers: Sequence[ReaderStory]) -> tuple[str, ...]:
    """A study that breaks routing is tried again; until then its last problem is the answer to "why not"."""
    troubles = [entry for entry in history if entry.event == ROUTE_FAILED_EVENT]
    if readers or not troubles:
        return ()
    return (f"Routing broke and is tried again: {troubles[-1].detail}.",)


def _undelivered(reader: ReaderStory) -> list[str]:
    if reader.objects and not any(sent.deliveries for sent in reader.objects):
        return [f"{reader.reader_id}: results were sent nowhere: no destination takes them."]
    waiting: dict[tuple[str, str], list[EvidenceKind]] = {}
    for sent in reader.objects:
        for delivery in sent.deliveries:
            if not _arrived(delivery):
                key = (delivery.destination, _why(delivery))
                waiting.setdefault(key, []).append(sent.evidence.kind)
    return [
        f"{kinds_text(kinds)} {'has' if len(kinds) == 1 else 'have'} not reached {destination}: {why}."
        for (destination, why), kinds in waiting.items()
    ]


def kinds_text(kinds: Sequence[EvidenceKind]) -> str:
    """Return which kinds of objects there are, with their number where it is a series of slices."""
    counts = Counter(kind.value for kind in kinds)
    return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in sorted(counts.items()))


def _why(delivery: Delivery) -> str:
    problem = f", last error: {delivery.last_error}" if delivery.last_error else ""
    if delivery.state is DeliveryState.DEAD:
        return f"given up after {counted(delivery.attempts, 'attempt')}{problem}"
    word = "being sent now" if delivery.state is DeliveryState.SENDING else "waiting"
    return f"{word}, {counted(delivery.attempts, 'attempt')} so far{problem}"


def counted(number: int, word: str) -> str:
    """Return ``1 image``, ``2 images``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _generation(story: ReaderStory) -> int | None:
    named = story.decision or story.work
    return named.generation if named is not None else None
