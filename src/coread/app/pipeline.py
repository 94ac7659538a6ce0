"""The page that wires the rooms: how a study goes from the store through route, engine and evidence back to the store.

receive -> store -> settle -> decide -> (work item) -> engine -> evidence -> prove -> store -> deliver
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from coread.app.errors import NothingFound
from coread.app.settings import Settings
from coread.app.site_models import SiteReaders
from coread.domain.cards import ReaderCard
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Reading
from coread.domain.study import SettledReason, Study, StudyState
from coread.domain.work import (
    DEFAULT_KINDS,
    DeliveryState,
    Destination,
    EncodedObject,
    Priority,
    RoutingDecision,
    WorkItem,
)
from coread.readers.registry import InstalledReader, ReaderListing, ReaderProblem
from coread.route.decide import RouteSettings, decide
from coread.route.facts import study_facts
from coread.route.settle import SettlePolicy, may_settle, settle_decision
from coread.store import Store
from coread.store.records import StudyActivity

if TYPE_CHECKING:
    from coread.evidence.revision import Revision

ARRIVED = (DeliveryState.SENT, DeliveryState.COMMITTED)


class Counts(Protocol):
    """The archive that knows how many instances a study has."""

    def ready(self, study_instance_uid: str) -> bool:
        """Say whether the archive has answered (or failed to) for this study; asks it when it has not."""
        ...

    def count(self, study_instance_uid: str) -> int | None:
        """Return its latest answer; None when it does not know the study."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What every stage needs to know."""

    store: Store
    settings: Settings
    readers: tuple[InstalledReader, ...]
    destinations: tuple[Destination, ...] = ()
    broken: tuple[ReaderProblem, ...] = ()
    """Readers that are installed but cannot be used: every study is told so."""
    find_readers: Callable[[], ReaderListing] | None = None
    """Asked before every step: another version of a reader may have been switched on. None: they never change."""

    def current(self) -> "Pipeline":
        """Return the pipeline with the versions that are switched on now."""
        if self.find_readers is None:
            return self
        listing = self.find_readers()
        return replace(self, readers=listing.readers, broken=listing.problems)

    def active_readers(self) -> tuple[InstalledReader, ...]:
        """Return the readers that are not switched off at this site, in the version that is switched on now."""
        off = self.settings.disabled_readers
        return tuple(item for item in self.current().readers if item.card.reader_id not in off)


def pipeline_of(store: Store, settings: Settings, only: Sequence[str] = ()) -> Pipeline:
    """Wire the installed readers (or ``only`` some) and the configured destinations to a store."""
    site = SiteReaders(settings)

    def find() -> ReaderListing:
        listing = site.listing()
        readers = tuple(r for r in listing.readers if not only or r.card.reader_id in only)
        return ReaderListing(readers, () if only else listing.problems)

    found = find()
    peers = tuple(peer.record() for peer in settings.destinations)
    return Pipeline(store, settings, found.readers, peers, found.problems, find)


def settle_if_complete(pipeline: Pipeline, growing: StudyActivity, archive: Counts | None) -> bool:
    """Settle and route one growing study when the policy says that it is complete."""
    uid = growing.study.study_instance_uid
    if archive is not None and not archive.ready(uid):
        return False
    now, policy = datetime.now(UTC), settle_policy(pipeline.settings)
    if not may_settle(growing.study, growing.open_associations, now, policy):
        return False
    study = pipeline.store.study(uid, with_series=True, with_instances=True)
    if study is None:
        return False
    facts = study_facts(
        study,
        open_associations=growing.open_associations,
        last_association_closed_at=growing.last_association_closed_at,
        expected_instances=_expected(pipeline.store, uid, archive),
    )
    settled = settle_decision(facts, now, policy)
    if settled is None:
        return False
    settle_and_route(pipeline, uid, settled.reason, settled.detail)
    return True


def settle_and_route(pipeline: Pipeline, uid: str, reason: SettledReason, detail: str) -> tuple[WorkItem, ...]:
    """Call the study complete, decide for every reader, and queue the work that was accepted."""
    pipeline.store.settle(uid, reason, detail)
    return route_settled(pipeline, uid)


def route_settled(pipeline: Pipeline, uid: str) -> tuple[WorkItem, ...]:
    """Decide for every reader about a study that has settled; doing it again changes nothing."""
    study = _settled_study(pipeline, uid)
    pipeline = pipeline.current()
    decisions = decide(
        study,
        [reader.card for reader in pipeline.readers],
        RouteSettings(frozenset(pipeline.settings.disabled_readers)),
        flags=pipeline.store.study_flags(uid),
        at=datetime.now(UTC),
    )
    return _record(pipeline, study, decisions)


def decline_all(pipeline: Pipeline, uid: str, problem: str) -> None:
    """End a study that cannot be routed: every reader has an outcome, and people are told what broke."""
    study = pipeline.store.study(uid)
    if study is None:
        return
    pipeline = pipeline.current()
    if study.state is StudyState.RECEIVING:
        pipeline.store.settle(uid, SettledReason.GIVEN_UP, problem)
        study = pipeline.store.study(uid) or study
    reason = Reason(ReasonCode.ROUTE_FAILED, problem)
    _record(pipeline, study, [_declined(study, r.card.reader_id, r.card.version, reason) for r in pipeline.readers])


def _settled_study(pipeline: Pipeline, uid: str) -> Study:
    study = pipeline.store.study(uid, with_series=True, with_instances=True)
    if study is None:
        raise NothingFound(f"study {uid} was removed before it was routed")
    return study


def _record(pipeline: Pipeline, study: Study, decisions: Sequence[RoutingDecision]) -> tuple[WorkItem, ...]:
    """Store the decisions, with one for every broken reader: a study never misses a reader silently."""
    known = {decision.reader_id for decision in decisions}
    broken = {problem.name.rpartition(".")[2][:64]: problem.problem for problem in pipeline.broken}
    missing = [
        _declined(study, name, "", Reason(ReasonCode.READER_BROKEN, text))
        for name, text in sorted(broken.items())
        if name not in known
    ]
    priority = Priority.STAT if study.stat else Priority.MEDIUM
    return pipeline.store.record_decisions([*decisions, *missing], priority)


def _declined(study: Study, reader_id: str, version: str, reason: Reason) -> RoutingDecision:
    return RoutingDecision(
        study_instance_uid=study.study_instance_uid,
        generation=study.generation,
        reader_id=reader_id,
        reader_version=version,
        accepted=False,
        reason=reason,
        decided_at=datetime.now(UTC),
    )


class EvidenceMaker(Protocol):
    """Writes and proves the objects of a result, or of a corrected version of it."""

    def __call__(
        self, reading: Reading, card: ReaderCard, sources: Sequence[Path], revision: "Revision | None" = None, /
    ) -> tuple[EncodedObject, ...]:
        """Return the objects; raises EvidenceError."""
        ...


def evidence_maker(settings: Settings) -> EvidenceMaker:
    """Return what writes and proves the objects of a result; where it raises NotProven, nothing leaves.

    Images with outlines are made only when a destination takes them.
    """
    kinds = frozenset(DEFAULT_KINDS).union(*(peer.kinds for peer in settings.destinations))

    def make(
        reading: Reading, card: ReaderCard, sources: Sequence[Path], revision: "Revision | None" = None, /
    ) -> tuple[EncodedObject, ...]:
        from coread.evidence.build import build_evidence
        from coread.evidence.external import prove_externally

        objects = build_evidence(reading, card, sources, kinds, revision)
        if settings.external_validator is None:
            return objects
        proof = prove_externally(objects, settings.external_validator)
        return tuple(replace(item, proof=f"{item.proof}; {proof}") for item in objects)

    return make


def settle_policy(settings: Settings) -> SettlePolicy:
    """Return the site's patience: the built-in table, with what the settings override."""
    built_in = SettlePolicy()
    changes = {"silence": settings.settle_silence_seconds, "longest": settings.settle_longest_seconds}
    wanted = {name: value for name, value in changes.items() if value is not None}
    table = tuple((modality, replace(patience, **wanted)) for modality, patience in built_in.patience)
    return replace(built_in, patience=table, other=replace(built_in.other, **wanted))


def _expected(store: Store, uid: str, archive: Counts | None) -> int | None:
    """The archive's count without the result objects that we sent there ourselves."""
    counted = archive.count(uid) if archive is not None else None
    if counted is None:
        return None
    ours = {item.evidence_id for item in store.deliveries(study_uid=uid) if item.state in ARRIVED}
    return max(counted - len(ours), 0)
