"""From a validation report to the numbers on a reader's card, and the record that is shipped beside the card.

A card never states a number that its record does not hold: ``check_record`` is what the conformance tests call.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coread.domain.cards import Estimate, OutputSpec
from coread.domain.results import Outcome
from coread.readers.card_file import CARD_FILE, read_card
from coread.readers.registry import InstalledReader, inspect_reader
from coread.validate.errors import CardDiffers
from coread.validate.plain import Plain, estimate_from, is_estimate, read_and_refused
from coread.validate.report_json import read_report, write_json

VALIDATION_FILE = "validation.json"
_NOT_SHIPPED = ("worst", "worst_masks", "worst_boxes", "worst_numbers", "comparison")
"""Parts of a report that name single cases or other runs; they stay where the run was made."""


@dataclass(frozen=True, slots=True)
class PointNumbers:
    """What was measured at one operating point; None where these cases do not give it."""

    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclass(frozen=True, slots=True)
class OutputNumbers:
    """What was measured of one output."""

    auc: Estimate | None
    points: Mapping[str, PointNumbers]


@dataclass(frozen=True, slots=True)
class CardNumbers:
    """The numbers of a card and what they were measured on."""

    measured_on: str
    validation: str
    """One sentence for the card's ``validation``."""
    outputs: Mapping[str, OutputNumbers]
    package_digest: str


def card_numbers(report: Plain) -> CardNumbers:
    """Return the numbers of a report in the shape of a card."""
    return CardNumbers(
        measured_on=measured_on(report),
        validation=_sentence(report),
        outputs={key: _output(body) for key, body in report["outputs"].items()},
        package_digest=report["package_digest"],
    )


def measured_on(report: Plain) -> str:
    """Return data, split and number of cases in words, for ``measured_on``."""
    return "; ".join(
        f"{item['data']}, {item['split']}, n = {item['cases']}" + (" (simulated)" if item["simulated"] else "")
        for item in report["cohorts"]
    )


def write_validation(report: Plain, reader_folder: Path) -> Path:
    """Write ``validation.json`` beside the card; raises CardDiffers unless it is of this very package and card."""
    reader = inspect_reader(reader_folder.name, reader_folder)
    problems = list(differences(reader, report))
    if problems:
        raise CardDiffers(f"{reader_folder / CARD_FILE}: {problems[0]} ({len(problems)} in all). Measure again.")
    path = reader_folder / VALIDATION_FILE
    write_json(path, _shipped(report))
    return path


def _shipped(report: Plain) -> Plain:
    body = {key: value for key, value in report.items() if key not in _NOT_SHIPPED} | {"worst": [], "worst_masks": []}
    if "by_cohort" in body:
        body["by_cohort"] = {name: _shipped(part) for name, part in body["by_cohort"].items()}
    return body


def check_record(reader: InstalledReader) -> list[str]:
    """Return what contradicts between a reader's package, its card and its ``validation.json``, if anything does."""
    return list(differences(reader, read_report(reader.card_path.parent / VALIDATION_FILE)))


def differences(reader: InstalledReader, report: Plain) -> Iterator[str]:
    """Yield, in words, everything in which the record and the reader contradict each other."""
    if report["package_digest"] != reader.package_digest:
        yield (f"the record is of package {report['package_digest'][:16]}, installed is {reader.package_digest[:16]}")
    card = read_card(reader.card_path)
    for output in card.outputs:
        body = report["outputs"].get(output.key)
        if body is not None:
            yield from _output_differences(output, body)
        elif output.auc is not None:
            yield f"{output.key}: the card states an AUC, the record measured nothing"


def same_estimate(stated: Estimate, found: Plain) -> bool:
    """Say whether a card's estimate is the record's: equal to the four decimals that a card may be rounded to."""
    pairs = ((stated.value, found["value"]), (stated.low, found["low"]), (stated.high, found["high"]))
    return stated.n == found["n"] and all(abs(one - other) <= 5.1e-5 for one, other in pairs)


def _output_differences(output: OutputSpec, body: Plain) -> Iterator[str]:
    area = body["discrimination"]["auc"]
    if output.auc is not None and not (is_estimate(area) and same_estimate(output.auc, area)):
        yield f"{output.key}: the card's AUC is {_words(output.auc)}, the record's {area}"
    for point in output.operating_points:
        measured = body["operating_points"].get(point.name, {})
        if not measured or abs(measured["threshold"] - point.threshold) > 1e-9:
            yield f"{output.key}, {point.name}: the record measured another threshold"
            continue
        for name in ("sensitivity", "specificity"):
            stated: Estimate | None = getattr(point, name)
            found = measured[name]
            same = not is_estimate(found) if stated is None else is_estimate(found) and same_estimate(stated, found)
            if not same:
                yield f"{output.key}, {point.name}: {name} is {_words(stated)}, the record's {found}"


def _output(body: Plain) -> OutputNumbers:
    points = {
        name: PointNumbers(_maybe(point.get("sensitivity")), _maybe(point.get("specificity")))
        for name, point in body["operating_points"].items()
    }
    return OutputNumbers(_maybe(body["discrimination"]["auc"]), points)


def _maybe(body: object) -> Estimate | None:
    return estimate_from(body) if isinstance(body, dict) and is_estimate(body) else None


def _sentence(report: Plain) -> str:
    cases, failed = report["cases"], report["cases"]["outcomes"][Outcome.FAILED]
    read, refused = read_and_refused(report)
    # Reports of before do not tell apart the patients whose images are there to be refused.
    patients = cases.get("patients_to_be_read", None if cases["to_be_refused"] else cases["patients"])
    people = "" if patients is None else f" of {patients} patients"
    return (
        f"Measured with `coread validate` on {measured_on(report)}: of {cases['to_be_read']} cases{people} that are to "
        f"be read, {read} were read, {refused} refused, {failed} failed. Reference standard: "
        + "; ".join(item["reference_standard"] for item in report["cohorts"])
        + ". AUC: DeLong (clustered by patient where patients give several cases); sensitivity and specificity: "
        "exact or clustered intervals, among read cases; see validation.json for calibration, subgroups and refusals."
    )


def _words(item: Estimate | None) -> str:
    return "not measured" if item is None else f"{item.value:.4f} [{item.low:.4f}, {item.high:.4f}] n={item.n}"
