"""Validation of a reader that makes images: against the images of all samples, by mask and acceleration.

Lines of fully sampled raw data are left out afterwards; patient, coils and noise stay those of the scan. The metrics
are those of fastMRI (Zbontar et al., arXiv 1811.08839, section 6), over the volume of each case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.domain.errors import InvalidRecord
from coread.domain.results import Outcome
from coread.engine.sessions import open_reader
from coread.imaging.mr.masks import MaskKind, MaskPlan
from coread.models.lineage import write_record
from coread.models.package import verify_package
from coread.readers.registry import InstalledReader
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import bootstrap
from coread.validate.cohort import read_cohort
from coread.validate.freezing import Progress, freeze
from coread.validate.measure_settings import MeasureSettings
from coread.validate.measuring import cases_of, refusals_of, timing_of
from coread.validate.observations import Observation, observations_of
from coread.validate.patient_intervals import FEWEST_PATIENTS
from coread.validate.plain import Plain, rounded, stated
from coread.validate.reader_choice import chosen_reader
from coread.validate.reconstruction_runs import (
    MASK,
    METRICS,
    PLAIN,
    READER,
    Job,
    Shown,
    Undersampling,
    readings,
    run_reconstructions,
    with_masks,
)
from coread.validate.report_json import REPORT_FILE, Circumstances, report_document, write_json
from coread.validate.running import CohortRun, RunSettings
from coread.validate.sources import Sources
from coread.validate.validation import STEP, locked_by, require_extra

DEFAULT_MASKS = tuple(
    Undersampling(MaskPlan(kind, acceleration))
    for kind in (MaskKind.EQUISPACED, MaskKind.RANDOM)
    for acceleration in (4.0, 8.0)
)
"""Kinds, accelerations and calibration shares of the fastMRI challenges (arXiv 1811.08839, 2012.06318)."""


@dataclass(frozen=True, slots=True)
class ReconstructionPlan:
    """What a validation of reconstructions may be asked for."""

    masks: tuple[Undersampling, ...] = DEFAULT_MASKS
    run: RunSettings = field(default_factory=RunSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    images: bool = True

    def __post_init__(self) -> None:
        names = [mask.name for mask in self.masks]
        if not names or len(set(names)) < len(names):
            raise InvalidRecord(f"masks {', '.join(names) or 'none'}: name at least one, and each only once")


def validate_reconstructions(
    reader: str | Path,
    cohort: str | Path,
    out: str | Path,
    *,
    plan: ReconstructionPlan | None = None,
    progress: Progress | None = None,
) -> Plain:
    """Measure a locked reader of raw data on a frozen cohort of fully sampled raw files; returns report.json.

    Raises Misconfigured (package, cohort, or a folder that holds another run) before anything is read.
    """
    from coread.validate.reconstruction_report import write_pages

    plan = plan or ReconstructionPlan()
    require_extra()
    installed = chosen_reader(reader)
    verify_package(installed.model_folder, installed.card_path)
    given = read_cohort(Path(cohort))
    target = Path(out)
    job = Job(open_reader(installed, plan.run.session().open), given, freeze(given, progress=progress), plan.masks)
    records = run_reconstructions(job, target, progress)
    run = CohortRun(with_masks(given, plan.masks), job.frozen, installed, job.opened.session.runtime, records)
    how = Circumstances(_command(installed, Path(cohort), target, plan))
    report = report_document([run], _body(observations_of([run]), plan), how, plan.measure)
    write_json(target / REPORT_FILE, report)
    pages = write_pages(target, report, _examples(job, report) if plan.images else ())
    write_record(
        target,
        STEP,
        inputs={"package": report["package_digest"], f"cohort {given.name}": job.frozen.digest},
        outputs=[REPORT_FILE, *pages],
        parents=locked_by(installed),
        settings={"resamples": plan.measure.repeats, "seed": plan.measure.seed, "command": how.command},
    )
    return report


def _body(observations: Sequence[Observation], plan: ReconstructionPlan) -> Plain:
    return {
        "cases": cases_of(observations),
        "refusals": refusals_of(observations),
        "timing": timing_of(observations),
        "masks": {mask.name: _measured(mask, observations, plan.measure) for mask in plan.masks},
    }


def _measured(mask: Undersampling, observations: Sequence[Observation], settings: MeasureSettings) -> Plain:
    mine = [item for item in observations if item.case.groups[MASK] == mask.name]
    read = [item for item in mine if item.record.numbers]
    patients = np.array([item.patient for item in read])
    methods = {
        method: {name: _estimated(_values(read, f"{method} {name}"), patients, settings) for name in METRICS}
        for method in (READER, PLAIN)
    }
    gains = {
        name: _estimated(_values(read, f"{READER} {name}") - _values(read, f"{PLAIN} {name}"), patients, settings)
        for name in METRICS
    }
    return {
        "kind": mask.plan.kind.value,
        "acceleration": mask.plan.acceleration,
        "centre_share": rounded(mask.plan.fraction),
        "cases": len(mine),
        "read": len(read),
        "patients": len(set(patients.tolist())),
        "slices": int(sum(item.record.numbers["slices"] for item in read)),
        "methods": methods,
        "gain_over_zero_filled": gains,
        "seconds_per_slice": _per_slice(read),
        "fallbacks": sum(item.record.outcome == Outcome.POSITIVE.value for item in read),
        "lowest_ssim": _lowest(read, mask),
    }


def _lowest(read: Sequence[Observation], mask: Undersampling) -> str | None:
    """Return the id of the case that was reconstructed worst."""
    if not read:
        return None
    worst = min(read, key=lambda item: item.record.numbers[f"{READER} ssim"])
    return worst.case.case_id.removesuffix(f", {mask.name}")


def _values(read: Sequence[Observation], name: str) -> NDArray[np.float64]:
    return np.array([item.record.numbers[name] for item in read], np.float64)


def _estimated(values: NDArray[np.float64], patients: NDArray[np.str_], settings: MeasureSettings) -> Plain:
    """Return the mean over cases with its bootstrap interval over patients."""

    def mean(chosen: NDArray[np.intp]) -> float:
        return float(values[chosen].mean())

    def measure() -> Estimate:
        count = len(np.unique(patients))
        if count < FEWEST_PATIENTS:
            raise NotEstimable(f"{count} patients: an interval needs {FEWEST_PATIENTS}")
        return bootstrap(mean, patients, plan=settings.plan())

    body = stated(measure)
    return body | {"mean": rounded(float(values.mean()))} if len(values) else body  # of one patient: no interval


def _per_slice(read: Sequence[Observation]) -> float | None:
    seconds = [item.record.seconds / max(item.record.numbers["slices"], 1.0) for item in read]
    return rounded(float(np.median(seconds))) if seconds else None


def _examples(job: Job, report: Plain) -> Iterator[tuple[str, str, Shown]]:
    """Yield mask, case and images of the case whose similarity is the lowest: read once more, images are not kept."""
    with Sources(job.cohort.root, job.frozen.files) as sources:
        for mask in job.masks:
            worst = report["masks"][mask.name]["lowest_ssim"]
            case = next((case for case in job.cohort.cases if case.case_id == worst), None)
            if case is None:
                continue
            for _, shown in readings(job, case, sources, [mask]):
                if shown is not None:
                    yield mask.name, case.case_id, shown


def _command(installed: InstalledReader, cohort: Path, out: Path, plan: ReconstructionPlan) -> str:
    masks = "" if plan.masks == DEFAULT_MASKS else "".join(f" --mask {mask.text}" for mask in plan.masks)
    return f"coread validate {installed.card.reader_id} {cohort.name} --out {out.name}{masks}"
