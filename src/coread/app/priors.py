"""Earlier studies of a patient, from the store or an archive, as a reader's card asks: same person, older, fitting."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Protocol

from coread.app.verdicts import kept_regions, rejections
from coread.domain.cards import ReaderCard
from coread.domain.findings import Region
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult
from coread.domain.study import Study
from coread.engine.priors import FindPriors, FoundPriors, PriorSources
from coread.route.age import date_of
from coread.route.decide import decide
from coread.store import Store, StudyQuery

_DAYS_A_YEAR = 365.25
_MOST_LOOKED_AT = 50
_NOBODY = frozenset(
    {
        "0",
        "1",
        "anon",
        "anonymous",
        "anonymized",
        "anonymised",
        "none",
        "na",
        "n/a",
        "no id",
        "noid",
        "test",
        "unknown",
        "xxx",
    }
)
"""Patient IDs and names that are written for many people, in lower case."""
_NO_NAME = _NOBODY | {"deidentified", "name", "patient", "removed"}
"""Words that name nobody, alone or together."""


class Elsewhere(Protocol):
    """Another place than the store that earlier studies can be had from."""

    def earlier(self, study: Study, card: ReaderCard, wanted: int) -> FoundPriors:
        """Return at most ``wanted`` earlier studies of the same person, in limited time; reasons say what failed."""
        ...


def prior_finder(store: Store, elsewhere: Elsewhere | None = None) -> FindPriors:
    """Return what looks for earlier studies in this store, and where it has too few in an archive."""
    return partial(find_priors, store, elsewhere=elsewhere)


def find_priors(store: Store, study: Study, card: ReaderCard, *, elsewhere: Elsewhere | None = None) -> FoundPriors:
    """Return at most ``card.input.max_priors`` earlier studies, newest first, with the instances that fit the card.

    Who is the same person is ``same_person``'s to say: a number that two hospitals gave to two people must never join
    their images. A study without a date is no prior, nor is one of the same day where a time of the two is missing.
    What is asked of an archive stands in the history of the study.
    """
    taken = date_of(study.study_date)
    wanted = card.input.max_priors
    if taken is None or not study.patient_id or wanted < 1:
        return FoundPriors()
    found: list[PriorSources] = []
    for candidate in _candidates(store, study, taken, card.input.prior_years):
        if len(found) == wanted:
            break
        prior = _stored(store, candidate.study_instance_uid, card)
        if prior is not None:
            found.append(prior)
    if elsewhere is None or len(found) >= wanted or _is_nobodys(study.patient_id):
        return FoundPriors(tuple(found))
    fetched = elsewhere.earlier(study, card, wanted)
    _note(store, study, card, fetched)
    return _together(found, fetched, wanted)


def recorded_priors(
    store: Store, card: ReaderCard, uids: Sequence[str], kept: Sequence[PriorSources] = ()
) -> FoundPriors:
    """Return the earlier studies that a reading was once given, in its order; what is gone is said by a reason.

    ``kept`` are those that were fetched from elsewhere.
    """
    fetched = {item.study.study_instance_uid: item for item in kept}
    found = [(uid, _stored(store, uid, card) or fetched.get(uid)) for uid in uids]
    gone = [uid for uid, item in found if item is None]
    reasons = tuple(Reason(ReasonCode.NO_PRIOR, f"{uid} was given at the first reading and is gone") for uid in gone)
    return FoundPriors(tuple(item for _, item in found if item is not None), reasons)


def _stored(store: Store, uid: str, card: ReaderCard) -> PriorSources | None:
    """Return the instances of a stored study that fit the card, with what is outlined on them."""
    prior = store.study(uid, with_series=True, with_instances=True)
    if prior is None:
        return None
    (decision,) = decide(prior, [card], flags=store.study_flags(uid))
    wanted = set(decision.sop_instance_uids)
    chosen = [one for series in prior.series for one in series.instances if one.header.sop_instance_uid in wanted]
    if not chosen:
        return None
    sources = tuple((store.path_of(one.path), one.header) for one in chosen)
    regions, said_by = _outlined(store, uid)
    return PriorSources(prior, sources, regions, said_by)


def _together(found: Sequence[PriorSources], fetched: FoundPriors, wanted: int) -> FoundPriors:
    """Return both, newest first; a study that is stored and was fetched is the stored one."""
    known = {item.study.study_instance_uid for item in found}
    more = [item for item in fetched.priors if item.study.study_instance_uid not in known]
    whole = sorted([*found, *more], key=lambda item: (item.study.study_date, item.study.study_time), reverse=True)
    return FoundPriors(tuple(whole[:wanted]), fetched.reasons)


def _note(store: Store, study: Study, card: ReaderCard, fetched: FoundPriors) -> None:
    dates = ", ".join(item.study.study_date for item in fetched.priors) or "none"
    why = "".join(f"; {reason.detail}" for reason in fetched.reasons)
    store.add_history(
        study.study_instance_uid, "priors.archive", f"{card.reader_id}: earlier studies had: {dates}{why}"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What one reader's latest reading of a study says today: with what people have corrected."""

    reader_id: str
    said_by: str
    result: ReadResult


@dataclass(frozen=True, slots=True)
class StandingVersion:
    """Which version of which reading stands today for one reader of a study."""

    reader_id: str
    work_id: int
    version: int
    corrected_by: str


def standing_versions(store: Store, study_uid: str) -> tuple[StandingVersion, ...]:
    """Return the newest version of each reader's latest work, by reader id; nothing of what it says is loaded."""
    latest = {item.reader_id: item for item in sorted(store.work_items(study_uid), key=lambda item: item.work_id)}
    newest = {one.work_id: one for one in sorted(store.corrections.of_study(study_uid), key=lambda one: one.version)}
    found: list[StandingVersion] = []
    for reader_id, item in sorted(latest.items()):
        correction = newest.get(item.work_id)
        version, user = (1, "") if correction is None else (correction.version, correction.user)
        found.append(StandingVersion(reader_id, item.work_id, version, user))
    return tuple(found)


def standing_result(store: Store, one: StandingVersion) -> Standing | None:
    """Load what a version says; ``None`` where the reading did not end with a result. Raises DamagedFile."""
    reading = store.reading(one.work_id)
    if reading is None or not isinstance(reading.ending, ReadResult):
        return None
    by = f"{one.reader_id} {reading.provenance.reader_version}"
    if one.version == 1:
        return Standing(one.reader_id, by, reading.ending)
    result = store.corrections.result(one.work_id, one.version)
    return Standing(one.reader_id, f"{by}, version {one.version} by {one.corrected_by}", result)


def standing_results(store: Store, study_uid: str) -> tuple[Standing, ...]:
    """Return the current version of the latest reading by each reader that ended with a result, by reader id."""
    found = (standing_result(store, one) for one in standing_versions(store, study_uid))
    return tuple(one for one in found if one is not None)


def _outlined(store: Store, study_uid: str) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Return the outlines that stand in the results of a study, and whose they are; not those of rejected findings."""
    verdicts = store.verdicts(study_uid)
    regions: list[Region] = []
    said_by = []
    for version in standing_versions(store, study_uid):
        standing = standing_result(store, version)
        kept = kept_regions(standing.result, rejections(verdicts, version.work_id)) if standing is not None else ()
        if standing is not None and kept:
            regions += kept
            said_by.append(standing.said_by)
    return tuple(regions), tuple(said_by)


def same_person(study: Study, other: Study) -> bool:
    """Say whether two studies are surely of one person.

    Patient ID and its issuer are the same, no birth date or sex differs, and something beside the number agrees: the
    issuer is stated, or both have the same birth date or name. A bare number may have been given twice, and what stands
    for "nobody in particular" is nobody's number.
    """
    if (study.patient_id, study.issuer_of_patient_id) != (other.patient_id, other.issuer_of_patient_id):
        return False
    births = (study.patient_birth_date, other.patient_birth_date)
    names = (_name(study), _name(other))
    if _is_nobodys(study.patient_id):
        return False
    if any(one and two and one != two for one, two in (births, (study.patient_sex, other.patient_sex))):
        return False
    return bool(study.issuer_of_patient_id) or any(one == two != "" for one, two in (births, names))


def _is_nobodys(patient_id: str) -> bool:
    """Say whether a number stands for nobody in particular: a word such as "anonymous", or zeros."""
    text = patient_id.casefold().strip()
    return text in _NOBODY or not text.strip("0")


def _name(study: Study) -> str:
    """Return the words of Patient's Name, however separated and capitalised; empty where they name nobody."""
    words = study.patient_name.replace("^", " ").replace("=", " ").casefold().split()
    return " ".join(words) if set(words) - _NO_NAME else ""


def _candidates(store: Store, study: Study, taken: date, years: float) -> list[Study]:
    first = date.fromordinal(max(1, taken.toordinal() - round(years * _DAYS_A_YEAR)))
    # Characters that the query would take for a pattern are looked for as any character, and compared exactly after.
    query = StudyQuery(
        patient_id=study.patient_id.replace("*", "?"),
        study_date=f"{_written(first)}-{_written(taken)}",
        limit=_MOST_LOOKED_AT,
    )
    return [
        item
        for item in store.find_studies(query).items
        if item.study_instance_uid != study.study_instance_uid and same_person(study, item) and _is_earlier(item, study)
    ]


def _is_earlier(one: Study, other: Study) -> bool:
    """Compare days, and times within a day where both are known; a day without a time tells no order."""
    day, later = date_of(one.study_date), date_of(other.study_date)
    if day is None or later is None or day != later:
        return day is not None and later is not None and day < later
    return bool(one.study_time and other.study_time) and one.study_time < other.study_time


def _written(day: date) -> str:
    return day.isoformat().replace("-", "")
