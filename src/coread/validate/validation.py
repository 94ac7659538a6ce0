"""The gate from one end to the other: freeze, read, measure, judge, write; one cohort or several in one call."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.models.lineage import RECORD, StepRecord, read_record, write_record
from coread.models.package import verify_package
from coread.readers.registry import InstalledReader
from coread.validate.cohort import Cohort, read_cohort
from coread.validate.comparison import compare_with
from coread.validate.criteria import Criteria, judge, read_criteria, register, require_none_registered
from coread.validate.errors import BadCohort, MissingExtra
from coread.validate.freezing import Progress, freeze
from coread.validate.measure_settings import MeasureSettings
from coread.validate.measuring import measure
from coread.validate.observations import check_fits, observations_of
from coread.validate.plain import Plain
from coread.validate.predictions import PREDICTIONS_FILE, write_predictions
from coread.validate.reader_choice import chosen_reader
from coread.validate.report_json import REPORT_FILE, Circumstances, report_document, write_json
from coread.validate.running import CohortRun, RunSettings, run_cohort

STEP = "validate"


@dataclass(frozen=True, slots=True)
class ValidationPlan:
    """Everything that a validation may be asked for."""

    run: RunSettings = field(default_factory=RunSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    criteria: Path | None = None
    against: Path | None = None
    """Folder of another run on the same cohort that this one is compared with."""
    images: bool = True
    """Show the worst cases with their pictures in the report."""
    pdf: bool = True
    root: Path | None = None
    """Where the cohort's files lie on this machine, instead of where its description says."""


def validate_reader(
    reader: str | Path,
    cohort: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    workers: int = 1,
    images: bool = True,
    plan: ValidationPlan | None = None,
    progress: Progress | None = None,
) -> Plain:
    """Measure a locked reader on frozen cohorts and write the report into ``out``; returns what report.json holds.

    Raises Misconfigured (package, cohort, criteria, or a folder that holds another run) before anything is read.
    """
    plan = plan or ValidationPlan(run=RunSettings(workers=workers), images=images)
    folders = [Path(cohort)] if isinstance(cohort, str | Path) else [Path(item) for item in cohort]
    require_extra()
    installed = chosen_reader(reader)
    verify_package(installed.model_folder, installed.card_path)
    locked_by(installed)
    cohorts = _read_cohorts(folders, installed.card, plan.root)
    criteria = read_criteria(plan.criteria, installed.card) if plan.criteria is not None else None
    target = Path(out)
    runs = _run_all(installed, cohorts, target, criteria, plan, progress)
    how = Circumstances(
        _command(installed.card, folders, target, plan), criteria.sha256 if criteria else "", plan.run.workers
    )
    report = _reported(installed.card, runs, how, plan, progress)
    if criteria is not None:
        report["criteria"] = judge(criteria, report)
    if plan.against is not None:
        report["comparison"] = compare_with(plan.against, runs, plan.measure)
    write_all(target, report, runs, plan)
    return report


def write_all(target: Path, report: Plain, runs: Sequence[CohortRun], plan: ValidationPlan) -> None:
    """Write report.json, the tables, report.html and report.pdf, and last the record that links their hashes."""
    from coread.validate.report_html import HTML_FILE, write_html
    from coread.validate.report_pdf import PDF_FILE, write_pdf
    from coread.validate.worst_cases import pictures_of_worst

    target.mkdir(parents=True, exist_ok=True)
    write_json(target / REPORT_FILE, report)
    write_predictions(target / PREDICTIONS_FILE, observations_of(runs))
    pictures = pictures_of_worst(report, runs, plan.run) if plan.images else ()
    write_html(target / HTML_FILE, report, pictures)
    names = [REPORT_FILE, PREDICTIONS_FILE, HTML_FILE]
    if plan.pdf:
        write_pdf(target / PDF_FILE, report, pictures)
        names.append(PDF_FILE)
    write_record(
        target,
        STEP,
        inputs={"package": report["package_digest"]}
        | {f"cohort {item['name']}": item["digest"] for item in report["cohorts"]}
        | ({"criteria": report["run"]["criteria_sha256"]} if report["run"]["criteria_sha256"] else {}),
        outputs=names,
        parents=locked_by(runs[0].reader),
        settings={"resamples": plan.measure.repeats, "seed": plan.measure.seed, "command": report["run"]["command"]},
    )


def require_extra() -> None:
    """Raise MissingExtra before anything is read when a package that measuring needs is not installed."""
    import importlib.util

    for name in ("scipy", "reportlab", "pyarrow"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(name)


def locked_by(reader: InstalledReader) -> tuple[StepRecord, ...]:
    """Return the record of the lock that made this very package, if it lies beside the card; raises BrokenLineage."""
    folder = reader.card_path.parent  # not the code's: one code drives packages that lie elsewhere
    if not (folder / RECORD).is_file():
        return ()
    record = read_record(folder, check_outputs=False)
    return (record,) if record.inputs.get("package") == reader.package_digest else ()


def folder_of(target: Path, cohort: Cohort, count: int) -> Path:
    """Return where the journal of one cohort lies: in the folder itself, or one below it for each of several."""
    return target if count == 1 else target / re.sub(r"[^a-z0-9]+", "-", cohort.name.lower()).strip("-")


def _read_cohorts(folders: Sequence[Path], card: ReaderCard, root: Path | None) -> list[Cohort]:
    cohorts = [read_cohort(folder, root=root) for folder in folders]
    names = [folder_of(Path(), cohort, 2) for cohort in cohorts]
    if len(set(names)) != len(names):
        raise BadCohort("two cohorts have the same name. Give each its own in cohort.toml.")
    for cohort in cohorts:
        check_fits(card, cohort)
    return cohorts


def _run_all(
    reader: InstalledReader,
    cohorts: Sequence[Cohort],
    target: Path,
    criteria: Criteria | None,
    plan: ValidationPlan,
    progress: Progress | None,
) -> list[CohortRun]:
    if criteria is None:
        require_none_registered(target)
    frozen = [freeze(cohort, progress=progress) for cohort in cohorts]
    if criteria is not None:
        digests = [item.digest for item in frozen]
        register(criteria, target, package_digest=reader.package_digest, cohort_digests=digests)
    runs = []
    for cohort, proved in zip(cohorts, frozen, strict=True):
        folder = folder_of(target, cohort, len(cohorts))
        runs.append(run_cohort(reader, cohort, proved, folder, settings=plan.run, progress=progress))
    return runs


def _reported(
    card: ReaderCard, runs: Sequence[CohortRun], how: Circumstances, plan: ValidationPlan, progress: Progress | None
) -> Plain:
    body = measure(card, runs, plan.measure, progress=progress)
    if len(runs) > 1:
        body["by_cohort"] = {run.cohort.name: measure(card, [run], plan.measure) for run in runs}
    return report_document(runs, body, how, plan.measure)


def _command(card: ReaderCard, folders: Sequence[Path], target: Path, plan: ValidationPlan) -> str:
    words = ["coread", "validate", card.reader_id, *(folder.resolve().name for folder in folders)]
    words += ["--out", target.resolve().name]
    if plan.criteria is not None:
        words += ["--criteria", plan.criteria.name]
    if plan.against is not None:
        words += ["--against", plan.against.resolve().name]
    return " ".join(words)
