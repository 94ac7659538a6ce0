"""Reading the cases of a reconstruction cohort: fully sampled raw data, undersampled as a scanner would have done.

Each case is read once for every mask, through the engine's own code; a journal keeps every finished reading.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import coread
from coread.domain.errors import InvalidRecord, Refused
from coread.domain.kspace import KSpace, Trajectory
from coread.domain.results import Failure, Outcome, Reading, ReadResult, Refusal
from coread.engine.run import run_reader
from coread.engine.samples import study_of
from coread.engine.sessions import OpenReader
from coread.imaging.header import scan_header
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.raw_object import wrapped
from coread.imaging.mr.fully_sampled import equally_noisy, reference_images, undersampled
from coread.imaging.mr.masks import MaskKind, MaskPlan
from coread.imaging.mr.metrics import quality
from coread.validate.cohort import Case, Cohort
from coread.validate.errors import BadCohort
from coread.validate.freezing import Frozen
from coread.validate.journal import Journal
from coread.validate.reading import UNREADABLE
from coread.validate.records import CaseRecord
from coread.validate.sources import Sources

JOURNAL_FILE = "reconstructions.jsonl"
NO_IMAGES = "NO_IMAGES"
"""The reader ended with a result that is not one series of images on the grid of the case."""
MASK = "mask"
"""Name of the group that says with which mask a case was read."""
READER, PLAIN = "reader", "zero-filled"
METRICS = ("psnr", "ssim", "nmse", "hfen")
Images = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Undersampling:
    """One way of leaving samples out: a plan and the seed of its lot."""

    plan: MaskPlan
    seed: int = 0

    @property
    def name(self) -> str:
        """Return the words for tables, such as ``equispaced 4x``; what is not the usual is part of it."""
        usual = MaskPlan(self.plan.kind, self.plan.acceleration).fraction
        centre = "" if self.plan.fraction == usual else f" centre {self.plan.fraction:g}"
        return f"{self.plan.kind.value} {self.plan.acceleration:g}x{centre}{f' seed {self.seed}' if self.seed else ''}"

    @property
    def text(self) -> str:
        """Return it as the command line takes it: ``kind:acceleration:centre:seed``."""
        return f"{self.plan.kind.value}:{self.plan.acceleration:g}:{self.plan.fraction:g}:{self.seed}"


def undersampling_of(text: str) -> Undersampling:
    """Read ``kind:acceleration``, with ``:centre`` and ``:seed`` where they are not the usual; raises InvalidRecord."""
    kind, *numbers = text.split(":")
    if kind not in set(MaskKind) or not 1 <= len(numbers) <= 3:
        raise InvalidRecord(f"mask {text!r}: write KIND:ACCELERATION[:CENTRE[:SEED]], KIND of {', '.join(MaskKind)}")
    try:
        values = [float(number) for number in numbers]
    except ValueError as problem:
        raise InvalidRecord(f"mask {text!r}: acceleration, centre and seed are numbers") from problem
    plan = MaskPlan(MaskKind(kind), values[0], values[1] if len(values) > 1 else None)
    return Undersampling(plan, int(values[2]) if len(values) > 2 else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The images of one reading, for the pictures of the report; all (slices, rows, columns)."""

    reference: Images
    plain: Images
    result: Images
    uncertainty: Images | None


@dataclass(frozen=True, slots=True)
class Job:
    """An opened reader, the frozen cohort, and the masks to try."""

    opened: OpenReader
    cohort: Cohort
    frozen: Frozen
    masks: tuple[Undersampling, ...]


def with_masks(cohort: Cohort, masks: Sequence[Undersampling]) -> Cohort:
    """Return the cohort with one case for each case and mask; the mask is a group of the case."""
    cases = tuple(
        replace(case, case_id=_name(case, mask), groups={**case.groups, MASK: mask.name})
        for case in cohort.cases
        for mask in masks
    )
    return replace(cohort, cases=cases)


def run_reconstructions(
    job: Job, folder: Path, progress: Callable[[int, int, str], None] | None = None
) -> tuple[CaseRecord, ...]:
    """Read every case with every mask that the journal in ``folder`` does not hold; returns all, by case and mask.

    ``numbers`` of a record hold each metric of ``reader`` and ``zero-filled``, such as ``reader psnr`` (dB).
    Raises OtherRun where the folder holds another run, CohortChanged where a file is not the frozen one, BadCohort
    where a case is no fully sampled Cartesian acquisition.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        Journal(folder / JOURNAL_FILE, _identity(job)) as journal,
        Sources(job.cohort.root, job.frozen.files) as sources,
    ):
        total = len(job.cohort.cases) * len(job.masks)
        for case in job.cohort.cases:
            missing = [mask for mask in job.masks if _name(case, mask) not in journal.finished]
            for record, _ in readings(job, case, sources, missing):
                journal.add(record)
                if progress is not None:
                    progress(len(journal.finished), total, "reconstructing")
        return tuple(journal.finished[_name(case, mask)] for case in job.cohort.cases for mask in job.masks)


def readings(
    job: Job, case: Case, sources: Sources, masks: Sequence[Undersampling]
) -> Iterator[tuple[CaseRecord, Shown | None]]:
    """Yield what one case gives with each mask: the record, and the images where there are some."""
    if not masks:
        return
    try:
        full = _fully_sampled(case, sources)
    except Refused as problem:
        for mask in masks:
            yield CaseRecord(_name(case, mask), "not_analysed", UNREADABLE, str(problem)), None
        return
    reference = reference_images(full)
    for mask in masks:
        yield _read(job.opened, _name(case, mask), mask, full, reference)


def _name(case: Case, mask: Undersampling) -> str:
    return f"{case.case_id}, {mask.name}"


def _fully_sampled(case: Case, sources: Sources) -> KSpace:
    if len(case.files) != 1:
        raise BadCohort(f"case {case.case_id!r} names {len(case.files)} files. A reconstruction case is one raw file.")
    path = sources.path(case.files[0])
    if path is None:
        raise BadCohort(f"case {case.case_id!r}: raw data must be a plain file, not a member of an archive.")
    sources.prove(case.files[0])
    kspace = equally_noisy(open_raw(path))
    if kspace.trajectory is not Trajectory.CARTESIAN or not kspace.mask.all() or kspace.frames > 1:
        raise BadCohort(
            f"case {case.case_id!r} is not one fully sampled frame on a Cartesian grid: it has no reference. "
            "Leave it out of cohort.csv."
        )
    return kspace


def _read(
    opened: OpenReader, name: str, mask: Undersampling, full: KSpace, reference: Images
) -> tuple[CaseRecord, Shown | None]:
    fewer = undersampled(full, mask.plan, mask.seed)
    with tempfile.TemporaryDirectory(prefix="coread-validate-") as folder:
        path = Path(folder) / "raw.dcm"
        wrapped(fewer).save_as(path, enforce_file_format=True)
        header = scan_header(path)
        began = time.perf_counter()
        reading = run_reader(
            opened.installed, opened.session, opened.reader, study_of([header]), [(path, header)], datetime.now(UTC)
        )
        seconds = time.perf_counter() - began
    record = _recorded(name, reading, seconds)
    if not isinstance(reading.ending, ReadResult):
        return record, None
    shapes = [images.voxels.shape for images in reading.ending.images]
    if shapes != [reference.shape]:
        detail = f"series of computed images {shapes}, one of {reference.shape} is needed"
        return replace(record, outcome=Outcome.FAILED.value, reason=NO_IMAGES, detail=detail), None
    return _compared(record, reading.ending, fewer, reference)


def _recorded(name: str, reading: Reading, seconds: float) -> CaseRecord:
    ending = reading.ending
    record = CaseRecord(name, reading.outcome().value, seconds=round(seconds, 4), modality="MR")
    if isinstance(ending, Refusal):
        return replace(record, reason=ending.reason.code.value, detail=ending.reason.text())
    if isinstance(ending, Failure):
        return replace(record, reason=ending.kind, detail=ending.message)
    return replace(record, notes=ending.notes)


def _compared(record: CaseRecord, result: ReadResult, fewer: KSpace, reference: Images) -> tuple[CaseRecord, Shown]:
    images = np.asarray(result.images[0].voxels, np.float32)
    plain = reference_images(fewer)
    numbers = {
        f"{method} {metric}": round(value, 6)
        for method, found in ((READER, images), (PLAIN, plain))
        for metric, value in asdict(quality(reference, found)).items()
    }
    maps = [item.values for item in result.maps if item.values.shape == images.shape]
    shown = Shown(reference, plain, images, maps[0] if maps else None)
    return replace(record, numbers={**numbers, "slices": float(len(images))}), shown


def _identity(job: Job) -> dict[str, Any]:
    return {
        "kind": "coread reconstructions",
        "reader_id": job.opened.installed.card.reader_id,
        "package_digest": job.opened.installed.package_digest,
        "cohort_digest": job.frozen.digest,
        "coread_version": coread.__version__,
        "masks": [mask.text for mask in job.masks],
    }
