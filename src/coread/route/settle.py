"""When is a study complete? A policy with three signals, never one timer. Pure: facts in, a reason or nothing out.

1. The PACS says how many instances there are, and that many are here.
2. The sender closed its association and every series is geometrically complete.
3. Nothing came for a while and no association is open.

A count from the PACS that says more is coming outvotes the other two, until the longest wait is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coread.domain.study import SettledReason, Study


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one kind of study is waited for, in seconds without a new image."""

    after_association: float
    """Once the association is closed and every series is complete: other associations may follow."""
    silence: float
    """With nothing else to go by."""
    longest: float
    """Even if the PACS says more is coming, or a peer keeps its association open and sends nothing."""


RADIOGRAPH = Patience(after_association=0.0, silence=5.0, longest=120.0)
"""One exposure, one object: complete as soon as the sender hangs up."""
CROSS_SECTION = Patience(after_association=5.0, silence=30.0, longest=600.0)
"""Scanners and routers often send each series in an association of its own."""
LONG_EXAMINATION = Patience(after_association=20.0, silence=120.0, longest=1800.0)
"""MR and ultrasound send series while the patient is still being examined."""

PATIENCE: dict[str, Patience] = {
    "DX": RADIOGRAPH,
    "CR": RADIOGRAPH,
    "RG": RADIOGRAPH,
    "PX": RADIOGRAPH,
    "IO": RADIOGRAPH,
    "OT": RADIOGRAPH,
    # Dose reports, presentation states and the like come with images and are no reason to wait for more.
    "SR": RADIOGRAPH,
    "KO": RADIOGRAPH,
    "PR": RADIOGRAPH,
    "DOC": RADIOGRAPH,
    "SEG": RADIOGRAPH,
    "MG": Patience(after_association=2.0, silence=20.0, longest=300.0),
    "CT": CROSS_SECTION,
    "PT": CROSS_SECTION,
    "NM": CROSS_SECTION,
    "MR": LONG_EXAMINATION,
    "US": LONG_EXAMINATION,
    "XA": LONG_EXAMINATION,
}


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """The site's patience. A study of several modalities is waited for as long as the slowest of them."""

    patience: tuple[tuple[str, Patience], ...] = tuple(PATIENCE.items())
    other: Patience = CROSS_SECTION
    count_quiet_seconds: float = 2.0
    """A PACS may count while it still receives: its number alone is believed after this long without a new image."""

    def patience_for(self, modalities: Sequence[str]) -> Patience:
        """Return the longest patience over the modalities of a study."""
        table = dict(self.patience)
        found = [table.get(modality.upper(), self.other) for modality in modalities] or [self.other]
        return Patience(
            max(item.after_association for item in found),
            max(item.silence for item in found),
            max(item.longest for item in found),
        )


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """Whether one series is geometrically complete (a radiograph always is), and if not, what is missing."""

    series_instance_uid: str
    complete: bool
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """What is going on around a study."""

    open_associations: int = 0
    """Associations open now that brought images of this study."""
    association_ended: bool = True
    """At least one association (or STOW request, or folder scan) that brought images has ended."""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """Everything the decision rests on."""

    modalities: tuple[str, ...]
    instance_count: int
    last_received_at: datetime
    series: tuple[SeriesFacts, ...]
    activity: Activity
    expected_instances: int | None = None
    """What the PACS answered (C-FIND or QIDO) less the evidence that we sent it; None when nobody knew."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Why the study is thought complete, in a code and in words."""

    reason: SettledReason
    detail: str


def settle_decision(facts: StudyFacts, now: datetime, policy: SettlePolicy | None = None) -> Settled | None:
    """Return why the study is complete now, or None to wait."""
    policy = policy or SettlePolicy()
    if facts.instance_count < 1:
        return None
    quiet = max(0.0, (now - facts.last_received_at).total_seconds())
    if quiet >= policy.patience_for(facts.modalities).longest:
        return Settled(SettledReason.SILENCE, _gave_up(facts, quiet))
    if facts.activity.open_associations > 0:
        return None
    if facts.expected_instances is not None:
        return _by_count(facts, facts.expected_instances, quiet, policy)
    return _by_association(facts, quiet, policy) or _by_silence(facts, quiet, policy)


def may_settle(study: Study, open_associations: int, now: datetime, policy: SettlePolicy | None = None) -> bool:
    """Say, from the study's row alone, whether collecting its facts is worth the while.

    A study of 5,000 images that is still arriving must not be loaded with every image that comes. False only where
    ``settle_decision`` would wait whatever the series hold.
    """
    policy = policy or SettlePolicy()
    quiet = max(0.0, (now - study.last_received_at).total_seconds())
    patience = policy.patience_for(study.modalities)
    if quiet >= patience.longest:
        return True
    shortest = min(policy.count_quiet_seconds, patience.after_association, patience.silence)
    return open_associations == 0 and quiet >= shortest


def next_look(facts: StudyFacts, now: datetime, policy: SettlePolicy | None = None) -> datetime:
    """Return when the decision could change without new facts, so that nobody has to ask all the time."""
    policy = policy or SettlePolicy()
    patience = policy.patience_for(facts.modalities)
    waits = (patience.after_association, policy.count_quiet_seconds, patience.silence, patience.longest)
    moments = [facts.last_received_at + timedelta(seconds=wait) for wait in waits]
    return min((moment for moment in moments if moment > now), default=now)


def _by_count(facts: StudyFacts, expected: int, quiet: float, policy: SettlePolicy) -> Settled | None:
    if facts.instance_count < expected:
        return None
    # A PACS that forwards while it still receives counts too few: quiet, or the other signal, must agree with it.
    if quiet < policy.count_quiet_seconds and _by_association(facts, quiet, policy) is None:
        return None
    return Settled(SettledReason.EXPECTED_COUNT, f"{facts.instance_count} instances here, the PACS has {expected}")


def _by_association(facts: StudyFacts, quiet: float, policy: SettlePolicy) -> Settled | None:
    complete = bool(facts.series) and all(series.complete for series in facts.series)
    if not (complete and facts.activity.association_ended):
        return None
    if quiet < policy.patience_for(facts.modalities).after_association:
        return None
    count = len(facts.series)
    return Settled(
        SettledReason.ASSOCIATION_COMPLETE,
        f"association ended, {count} series complete, {facts.instance_count} instances",
    )


def _by_silence(facts: StudyFacts, quiet: float, policy: SettlePolicy) -> Settled | None:
    if quiet < policy.patience_for(facts.modalities).silence:
        return None
    return Settled(
        SettledReason.SILENCE, f"nothing came for {quiet:.0f} s, {facts.instance_count} instances{_gaps(facts)}"
    )


def _gave_up(facts: StudyFacts, quiet: float) -> str:
    text = f"longest wait is over: nothing came for {quiet:.0f} s, {facts.instance_count} instances"
    if facts.expected_instances is not None and facts.instance_count < facts.expected_instances:
        text += f", but the PACS has {facts.expected_instances}"
    if facts.activity.open_associations > 0:
        text += f", {facts.activity.open_associations} associations still open"
    return text + _gaps(facts)


def _gaps(facts: StudyFacts) -> str:
    missing = [series.missing for series in facts.series if not series.complete and series.missing]
    return f"; {missing[0]}" if missing else ""
