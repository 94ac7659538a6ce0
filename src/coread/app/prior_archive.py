"""Earlier studies fetched from an archive for readers that compare: checked twice whose they are, with a limited wait.

What is fetched lies beside the store and is no study of it: not read by itself, not on the worklist, not sent. It is
removed after ``keep_days``. Whatever goes wrong is a coded reason in the result, never a study that waits for ever.
"""

import logging
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from coread.app.priors import same_person
from coread.app.settings import PriorArchiveSetting, Settings
from coread.deliver.errors import PeerFailed
from coread.deliver.find_studies import FoundStudy, find_studies
from coread.deliver.peer import Peer
from coread.deliver.retrieve import OpenArchive, RetrievePlan, Window, retrieve
from coread.deliver.retrieve_dimse import Listener, move_archive
from coread.deliver.retrieve_web import web_archive
from coread.deliver.web import WebService
from coread.domain.cards import ReaderCard
from coread.domain.errors import CoreadError
from coread.domain.identifiers import is_tolerable_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.series_names import chosen_series
from coread.domain.study import InstanceHeader, Study
from coread.engine.loading import Source
from coread.engine.priors import FoundPriors, PriorSources
from coread.engine.samples import study_of
from coread.imaging.header import scan_header
from coread.route.age import date_of
from coread.route.decide import why_not

log = logging.getLogger(__name__)
FOLDER = "priors"
_DAY_SECONDS = 86_400.0
_DAYS_A_YEAR = 365.25
_LOCK = ".one-at-a-time"


@dataclass(frozen=True, slots=True)
class PriorArchive:
    """An archive, where its studies are put, and how long anybody waits for it."""

    setting: PriorArchiveSetting
    folder: Path
    calling_ae_title: str

    def earlier(self, study: Study, card: ReaderCard, wanted: int) -> FoundPriors:
        """Return at most ``wanted`` earlier studies of the same person; reasons say what could not be had."""
        self._remove_old()
        window = Window.of(self.setting.between) if self.setting.between else None
        if window is not None and window.wait_seconds(datetime.now()) > 0:
            return kept_priors(self.folder, study, card, wanted, (_reason(f"it is asked only {self.setting.between}"),))
        problems: list[str] = []
        asking = threading.Thread(target=self._ask, args=(study, card, wanted, problems), name="priors", daemon=True)
        asking.start()
        asking.join(self.setting.wait_seconds)
        if asking.is_alive():
            problems = [f"no complete answer in {self.setting.wait_seconds:g} s"]
        return kept_priors(self.folder, study, card, wanted, tuple(_reason(text) for text in problems))

    def _ask(self, study: Study, card: ReaderCard, wanted: int, problems: list[str]) -> None:
        """Fetch into the folder; every problem becomes a sentence."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            chosen = self._chosen(find_studies(self._source(), _keys(study, card)), study, problems)[:wanted]
            for one in chosen:
                self._fetch(one, problems)
        except Exception as problem:  # the edge of a thread: what is not caught here would be silence
            foreseen = isinstance(problem, PeerFailed)
            log.warning("earlier studies could not be fetched: %s", problem, exc_info=not foreseen)
            problems.append(str(problem) if foreseen else type(problem).__name__)

    def _chosen(self, found: Sequence[FoundStudy], study: Study, problems: list[str]) -> list[FoundStudy]:
        """Return the studies that may be this person's, newest first; the others are counted."""
        others = [one for one in found if one.study_instance_uid != study.study_instance_uid]
        same = [one for one in others if _may_be_same(one, study) and is_tolerable_uid(one.study_instance_uid)]
        if len(same) < len(others):
            count = len(others) - len(same)
            problems.append(f"{count} studies of this Patient ID have another issuer, birth date or sex: not used")
        fits = [one for one in same if (one.instances or 0) <= self.setting.most_images]
        if len(fits) < len(same):
            problems.append(
                f"{len(same) - len(fits)} studies hold more than {self.setting.most_images} images: not fetched"
            )
        return sorted(fits, key=lambda one: one.study_date, reverse=True)

    def _fetch(self, one: FoundStudy, problems: list[str]) -> None:
        place = self.folder / one.study_instance_uid
        if (place / "whole").exists():
            return
        plan = RetrievePlan(place, ({"StudyInstanceUID": one.study_instance_uid},), attempts=self.setting.attempts)
        with _alone(self.folder / _LOCK, self.setting.wait_seconds):
            ended = retrieve(plan, self._opened())
        if not ended.studies or ended.incomplete:
            problems.append(f"the study of {one.study_date} came incomplete: not used")
            return
        (place / "whole").touch()

    def _source(self) -> Peer | WebService:
        setting = self.setting
        if setting.address.startswith(("http://", "https://")):
            headers = {"Authorization": setting.authorization} if setting.authorization else {}
            return WebService(setting.address, setting.timeout_seconds, headers, None)
        host, _, port = setting.address.rpartition(":")
        return Peer(host, int(port), setting.ae_title, self.calling_ae_title, setting.timeout_seconds)

    def _opened(self) -> OpenArchive:
        source = self._source()
        if isinstance(source, WebService):
            return web_archive(source)
        setting = self.setting
        return move_archive(source, Listener(self.calling_ae_title, setting.listen_port, setting.listen_host))

    def _remove_old(self) -> None:
        """Remove what is too old, in the hours of the archive or not; another process may do so at the same time."""
        oldest = time.time() - self.setting.keep_days * _DAY_SECONDS
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(OSError):
                if place.is_dir() and place.stat().st_mtime < oldest:
                    shutil.rmtree(place)


def prior_archive(settings: Settings) -> PriorArchive | None:
    """Return the archive of the settings; None where none is set."""
    if settings.prior_archive is None:
        return None
    return PriorArchive(settings.prior_archive, settings.folder / FOLDER, settings.ae_title)


def kept_priors(
    folder: Path, study: Study, card: ReaderCard, wanted: int, reasons: tuple[Reason, ...] = ()
) -> FoundPriors:
    """Return the earlier studies of the same person that were fetched before and are whole, newest first."""
    found: list[PriorSources] = []
    refused: list[Reason] = []
    for place in sorted(folder.glob("*/whole")):
        images = _images_in(place.parent, study.patient_id)
        prior = _fitting(images, card)
        if prior is None or not _is_earlier(prior.study, study, card):
            continue
        if not _of_one_person([header for _, header in images]):
            refused.append(_reason("a study holds images of more than one person: not used"))
        elif not same_person(study, prior.study):
            refused.append(_reason("a study of this Patient ID has another issuer, birth date or sex: not used"))
        else:
            found.append(prior)
    found.sort(key=lambda item: (item.study.study_date, item.study.study_time), reverse=True)
    return FoundPriors(tuple(found[:wanted]), tuple(dict.fromkeys((*reasons, *refused))))


def _reason(detail: str) -> Reason:
    return Reason(ReasonCode.PRIOR_NOT_HAD, detail)


def _keys(study: Study, card: ReaderCard) -> dict[str, str]:
    taken = date_of(study.study_date) or date.today()
    first = date.fromordinal(max(1, taken.toordinal() - round(card.input.prior_years * _DAYS_A_YEAR)))
    keys = {"PatientID": study.patient_id, "StudyDate": f"{first:%Y%m%d}-{taken:%Y%m%d}"}
    if study.issuer_of_patient_id:
        keys["IssuerOfPatientID"] = study.issuer_of_patient_id
    if len(study.modalities) == 1:
        keys["ModalitiesInStudy"] = study.modalities[0]
    return keys


def _may_be_same(one: FoundStudy, study: Study) -> bool:
    """Say whether what the archive tells contradicts nothing; the images themselves are asked again."""
    pairs = (
        (one.issuer_of_patient_id, study.issuer_of_patient_id),
        (one.patient_birth_date, study.patient_birth_date),
        (one.patient_sex, study.patient_sex),
    )
    return one.patient_id == study.patient_id and all(not a or not b or a == b for a, b in pairs)


def _is_earlier(prior: Study, study: Study, card: ReaderCard) -> bool:
    before, now = date_of(prior.study_date), date_of(study.study_date)
    if before is None or now is None or prior.study_instance_uid == study.study_instance_uid:
        return False
    return before < now and (now - before).days <= card.input.prior_years * _DAYS_A_YEAR


def _images_in(place: Path, patient_id: str) -> list[Source]:
    """Return what can be read of a fetched study; nothing, and little is read, where its first is somebody else's."""
    images: list[Source] = []
    for path in sorted(place.glob("*/*.dcm")):
        try:
            header = scan_header(path)
        except CoreadError as problem:
            log.warning("%s: %s", path.name, problem)
            continue
        if header.patient_id != patient_id and not images:
            return []
        images.append((path, header))
    return images


def _of_one_person(headers: Sequence[InstanceHeader]) -> bool:
    """Say whether no two images of a study contradict each other; empty birth dates, issuers and sexes do not."""
    stated = [
        {header.issuer_of_patient_id for header in headers} - {""},
        {header.patient_birth_date for header in headers} - {""},
        {header.patient_sex for header in headers} - {""},
    ]
    return len({header.patient_id for header in headers}) == 1 and all(len(values) < 2 for values in stated)


def _fitting(images: Sequence[Source], card: ReaderCard) -> PriorSources | None:
    """Return a fetched study with the longest series that fits the card, one that the card names first."""
    sources: dict[str, list[Source]] = {}
    for path, header in images:
        if header.rows and why_not(card.input, header) is None:
            sources.setdefault(header.series_instance_uid, []).append((path, header))
    if not sources:
        return None
    headers = [header for _, header in images]
    if card.input.presentation != "volume":
        return PriorSources(study_of(headers), tuple(one for group in sources.values() for one in group))

    best_first = sorted(sources, key=lambda uid: (-len(sources[uid]), uid))
    chosen = chosen_series(card.input, [sources[uid][0][1] for uid in best_first])
    return PriorSources(study_of(headers), tuple(one for uid in chosen for one in sources[uid]))


@contextmanager
def _alone(path: Path, wait_seconds: float) -> Iterator[None]:
    """Let one process at a time open the port that the archive sends to; raises TimeoutError."""
    import fcntl

    until = time.monotonic() + wait_seconds
    with path.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise TimeoutError("another reading is fetching") from None
                time.sleep(0.1)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
