"""One case through the engine's own code, and what its answer is worth against the truth of that case."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from coread.domain.findings import Box, Finding, Presence
from coread.domain.reading import Arrays, ModelSession
from coread.domain.results import Failure, Outcome, Reading, ReadResult, Refusal
from coread.engine.run import run_reader
from coread.engine.samples import study_of
from coread.engine.sessions import OpenReader
from coread.validate.cohort import Case, Cohort
from coread.validate.mask_measures import measured_masks, slug
from coread.validate.records import BoxRecord, CaseRecord, OutputRecord
from coread.validate.sources import Sources
from coread.validate.wrapping import WrappedCase

UNREADABLE = "UNREADABLE"
"""Reason of cases whose files cannot even be handed to the engine."""
_ORDER = (Presence.PRESENT, Presence.ABSENT, Presence.INDETERMINATE, Presence.NOT_ASSESSED)


@dataclass(slots=True)
class RecordingSession:
    """A session that passes everything on and remembers which raw score became which probability."""

    inner: ModelSession
    calibrated: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over the whole package."""
        return self.inner.digest

    @property
    def runtime(self) -> str:
        """Inference engine and version."""
        return self.inner.runtime

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph of the package."""
        return self.inner.run(graph, inputs)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The locked numbers of the package."""
        return self.inner.parameters

    def calibrate(self, key: str, logit: float) -> float:
        """Calibrate as the package does."""
        probability = self.inner.calibrate(key, logit)
        self.calibrated.setdefault(key, []).append((float(logit), probability))
        return probability

    def logit_of(self, key: str, probability: float | None) -> float | None:
        """Return the raw score behind a probability; None where the reader calibrated none to it."""
        for logit, calibrated in self.calibrated.get(key, ()):
            if calibrated == probability:
                return logit
        return None


def read_case(opened: OpenReader, cohort: Cohort, wrapped: WrappedCase, sources: Sources) -> CaseRecord:
    """Run the reader on one case through ``engine.run``; refusals and failures are outcomes like any other."""
    if wrapped.problem:
        return CaseRecord(wrapped.case.case_id, Outcome.NOT_ANALYSED.value, UNREADABLE, wrapped.problem)
    session = RecordingSession(opened.session)
    study = study_of([header for _, header in wrapped.sources])
    began = time.perf_counter()
    reading = run_reader(opened.installed, session, opened.reader, study, wrapped.sources, datetime.now(UTC))
    seconds = time.perf_counter() - began
    return _recorded(reading, session, cohort, wrapped, sources, seconds)


def _recorded(
    reading: Reading, session: RecordingSession, cohort: Cohort, wrapped: WrappedCase, sources: Sources, seconds: float
) -> CaseRecord:
    ending = reading.ending
    record = CaseRecord(
        wrapped.case.case_id,
        reading.outcome().value,
        seconds=round(seconds, 6),
        input_digest=reading.provenance.input_digest,
        modality=wrapped.sources[0][1].modality,
    )
    if isinstance(ending, Refusal):
        reason = ending.reason
        return replace(record, reason=reason.code.value, detail=reason.text(), skipped=len(ending.skipped))
    if isinstance(ending, Failure):
        return replace(record, reason=ending.kind, detail=ending.message)
    return replace(
        record,
        outputs=_outputs(ending, session),
        boxes=_boxes(ending, wrapped),
        masks=measured_masks(ending, cohort, wrapped, sources),
        numbers=_numbers(ending, cohort, wrapped.case),
        notes=ending.notes,
        skipped=len(ending.skipped),
    )


def _outputs(result: ReadResult, session: RecordingSession) -> dict[str, OutputRecord]:
    """Join findings of the same key: the most certain one speaks for the case."""
    by_key: dict[str, list[Finding]] = {}
    for finding in result.findings:
        by_key.setdefault(finding.key, []).append(finding)
    records = {}
    for key, findings in by_key.items():
        best = min(findings, key=lambda item: (_ORDER.index(item.presence), -(item.probability or 0.0)))
        logit = session.logit_of(key, best.probability)
        records[key] = OutputRecord(best.presence.value, best.probability, logit, best.threshold, best.operating_point)
    return records


def _boxes(result: ReadResult, wrapped: WrappedCase) -> tuple[BoxRecord, ...]:
    number = {header.sop_instance_uid: place for place, (_, header) in enumerate(wrapped.sources)}
    boxes = []
    for finding in result.findings:
        score = 1.0 if finding.probability is None else finding.probability
        for box in finding.locations:
            if isinstance(box, Box):
                x0, y0, x1, y1 = (
                    round(value, 3) for value in (box.column_min, box.row_min, box.column_max, box.row_max)
                )
                boxes.append(BoxRecord(finding.key, score, x0, y0, x1, y1, number[box.image.sop_instance_uid]))
    return tuple(boxes)


def _numbers(result: ReadResult, cohort: Cohort, case: Case) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in dict.fromkeys((*cohort.numbers, *case.numbers)):
        spec = cohort.numbers.get(name)
        for measurement in result.measurements:
            concept = measurement.concept
            wanted = concept.value == spec.concept if spec and spec.concept else slug(concept.meaning) == slug(name)
            if wanted and (spec is None or not spec.unit or measurement.unit.value == spec.unit):
                found.setdefault(name, measurement.value)
    return found


def assessed(records: Mapping[str, OutputRecord], key: str) -> OutputRecord | None:
    """Return the assessed record of one output, or None where the reader did not assess it."""
    record = records.get(key)
    if record is None or record.presence == Presence.NOT_ASSESSED.value:
        return None
    return record
