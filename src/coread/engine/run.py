"""One reading, from stored instances to its ending: result, refusal or failure, with provenance. Never raises."""

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import coread
from coread.domain.errors import CoreadError, Misconfigured, Refused
from coread.domain.identifiers import digest_of
from coread.domain.reading import ModelSession, Prepared, Reader
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Failure, Provenance, Reading, ReadResult, Refusal
from coread.domain.study import Study
from coread.engine.checks import check_ending, check_outputs
from coread.engine.errors import ContractBroken, InputChanged
from coread.engine.loading import Loaded, Source, load_inputs, reason_of
from coread.engine.priors import NO_PRIORS, FoundPriors, load_priors, region_digests
from coread.readers.registry import InstalledReader

Value = TypeVar("Value")
Ending = ReadResult | Refusal | Failure
_PATIENT_WORD = "[patient]"
_MIN_SCRUBBED = 3
_NO_MEMORY = ("failed to allocate memory", "bad_alloc")


@dataclass(slots=True)
class _Stages:
    """Wall-clock seconds of each stage, in order."""

    began: float = field(default_factory=time.perf_counter)
    seconds: list[tuple[str, float]] = field(default_factory=list)
    current: str = "open"

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.current = name
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds.append((name, time.perf_counter() - began))


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    study: Study
    sources: Sequence[Source]
    priors: FoundPriors


def run_reader(
    installed: InstalledReader,
    session: ModelSession,
    reader: Reader,
    study: Study,
    instances: Sequence[Source],
    now: datetime,
    priors: FoundPriors = NO_PRIORS,
) -> Reading:
    """Read ``instances`` of one study; every exception becomes a Refusal or a Failure of the returned Reading.

    ``priors`` are earlier studies of the patient; their bytes are part of the input digest.
    """
    stages = _Stages()
    sources = list(instances)
    digests: list[str] = []

    def work() -> ReadResult | Refusal:
        with stages.stage("verify"):
            digests.extend(verified_digests(study, sources))
            for prior in priors.priors:
                digests.extend(verified_digests(prior.study, prior.sources))
                digests.extend(region_digests(prior.regions))
        return _read(reader, session, _Given(study, sources, priors), stages)

    ending = guarded(work, study, lambda: stages.current)
    provenance = Provenance(
        reader_id=installed.card.reader_id,
        reader_version=installed.card.version,
        package_digest=session.digest,
        input_digest=digest_of(digests) if digests else "",
        coread_version=coread.__version__,
        runtime=session.runtime,
        started_at=now,
        finished_at=now + timedelta(seconds=time.perf_counter() - stages.began),
        stage_seconds=tuple(stages.seconds),
        priors=tuple(prior.study.study_instance_uid for prior in priors.priors),
        reader_kind=installed.card.kind,
    )
    return Reading(ending, provenance)


def guarded(work: Callable[[], ReadResult | Refusal], study: Study, stage: Callable[[], str]) -> Ending:
    """Run ``work`` and turn whatever it raises into a Refusal (unsuitable input) or a Failure (all else)."""
    try:
        return work()
    except MemoryError:
        return Refusal(Reason(ReasonCode.OUT_OF_MEMORY, f"memory ran out in stage {stage()!r}"))
    except Refused as problem:
        if isinstance(getattr(problem, "reason", None), Reason):
            return Refusal(reason_of(problem))
        return failure_of(problem, study, stage())
    except Exception as problem:  # noqa: BLE001 - the edge of a work item: the final state is this record
        if _says_no_memory(problem):
            return Refusal(Reason(ReasonCode.OUT_OF_MEMORY, f"memory ran out in stage {stage()!r}"))
        return failure_of(problem, study, stage())


def _says_no_memory(problem: Exception) -> bool:
    """SimpleITK allocates in C++ and reports an exhausted limit as a plain runtime error."""
    return isinstance(problem, RuntimeError) and any(words in str(problem).lower() for words in _NO_MEMORY)


def failure_of(problem: Exception, study: Study | None, stage: str) -> Failure:
    """Describe an exception without patient data: our own messages scrubbed, foreign messages left out."""
    if isinstance(problem, CoreadError):
        message = scrubbed(str(problem), study)
    else:
        last = traceback.extract_tb(problem.__traceback__)[-1:]
        place = ", ".join(f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in last)
        message = f"{type(problem).__name__} in stage {stage!r} at {place or 'an unknown place'}"
    return Failure(type(problem).__name__, message, _hint(problem))


def scrubbed(text: str, study: Study | None) -> str:
    """Replace every word of the patient's identity that is long enough to name somebody."""
    if study is None:
        return text
    names = (study.patient_name, *study.patient_name.replace("^", " ").split())
    words = (*names, study.patient_id, study.patient_birth_date, study.accession_number)
    for word in sorted({word for word in words if len(word) >= _MIN_SCRUBBED}, key=len, reverse=True):
        text = text.replace(word, _PATIENT_WORD)
    return text


def verified_digests(study: Study, sources: Sequence[Source]) -> list[str]:
    """Return the SHA-256 of every file that will be read; raises InputChanged where the index knows another one."""
    known = {item.header.sop_instance_uid: item.sha256 for series in study.series for item in series.instances}
    digests: list[str] = []
    for path, header in sources:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if known.get(header.sop_instance_uid, digest) != digest:
            raise InputChanged("a stored image is not the one that was received (SHA-256 differs): check the disk")
        digests.append(digest)
    return digests


def _read(reader: Reader, session: ModelSession, given: _Given, stages: _Stages) -> ReadResult | Refusal:
    with stages.stage("load"):
        loaded = load_inputs(reader.card, given.study, given.sources)
        if isinstance(loaded, Refusal):
            return loaded
        earlier = load_priors(reader.card, given.priors, [header for _, header in given.sources])
    inputs = replace(loaded.inputs, priors=earlier.priors)
    ending = _infer(reader, session, replace(loaded, inputs=inputs), stages)
    with stages.stage("check"):
        whole = replace(ending, skipped=(*ending.skipped, *loaded.skipped))
        if isinstance(whole, ReadResult):
            whole = replace(whole, notes=(*whole.notes, *earlier.notes))
        check_ending(reader.card, whole, [header for _, header in given.sources])
    return whole


def _infer(reader: Reader, session: ModelSession, loaded: Loaded, stages: _Stages) -> ReadResult | Refusal:
    with stages.stage("prepare"):
        prepared = reader.prepare(loaded.inputs)
    if isinstance(prepared, Refusal):
        return prepared
    if not isinstance(prepared, Prepared):
        raise ContractBroken(f"prepare returned {type(prepared).__name__}, not Prepared or Refusal")
    with stages.stage("infer"):
        outputs = reader.infer(session, prepared)
        check_outputs(outputs)
    with stages.stage("interpret"):
        ending = reader.interpret(session, prepared, outputs)
        if not isinstance(ending, ReadResult | Refusal):
            raise ContractBroken(f"interpret returned {type(ending).__name__}, not ReadResult or Refusal")
        return ending


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-3:])


def _hint(problem: Exception) -> str:
    if isinstance(problem, Misconfigured):
        return "Check the installation of the reader: coread readers --check"
    if isinstance(problem, OSError):
        return "Check the disk and the store's folder: coread doctor"
    return "Repeat the reading; if it fails again, report it with the reader's version and this message."
