"""A training run and its calibration as a release: graph, plan, curves, golden cases and a card, without writing code.

The card's thresholds are those of the calibration. Its numbers are those of a validation run where one is given, and
otherwise absent: what was measured where the thresholds were chosen is no performance.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coread.domain.cards import Estimate, InputContract, OperatingPoint, OutputSpec, ReaderCard, ReaderKind, Resources
from coread.domain.codes import COREAD_SCHEME, Code
from coread.imaging.plan import OUTLINE, PLACES, PlanarPlan
from coread.models.calibration import Calibration, calibration_from_json, calibration_to_json
from coread.models.card_text import card_toml
from coread.models.errors import BadImport
from coread.models.importing import Described, ImportedOutput, proved, whole_folder, write_graph_package
from coread.models.lineage import read_record, sha256_of
from coread.models.locking import CARD, DATA_STATEMENT, LICENCE, MODEL, Locked, LockPlan
from coread.models.run_plans import NETWORK, PackedRun, Said, key_of, plan_of
from coread.models.sbom import ENVIRONMENT, installed_now, recorded

__all__ = ["MeasuredNumbers", "PointNumbers", "Wanted", "key_of", "pack_run"]

CALIBRATION, POINTS = "calibration.json", "operating_points.toml"
_SAME_THRESHOLD = 2e-6
"""Cards write thresholds with six decimals."""
_NOT_MEASURED = "nothing yet: run coread validate and pack again with --numbers"
_HALF = "pixels that the network gives more than a half; no probability was calibrated"


@dataclass(frozen=True, slots=True)
class PointNumbers:
    """Measured sensitivity and specificity at one operating point; None where the cases do not give it."""

    threshold: float
    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclass(frozen=True, slots=True)
class MeasuredNumbers:
    """What a validation run says of a package: by output the AUC and by operating point what was measured there."""

    measured_on: str
    validation: str
    auc: Mapping[str, Estimate | None]
    points: Mapping[str, Mapping[str, PointNumbers]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person who packs says beyond the files."""

    about: Described
    not_for: str = "Diagnosis, ruling anything out, images unlike those it learnt from."
    min_age_years: float | None = None
    views: tuple[str, ...] = ()
    codes: Mapping[str, Code] | None = None
    """By output key; an output without one gets a code of scheme 99COREAD."""
    urgent: frozenset[str] = frozenset()
    default_point: str = ""
    """Name of the operating point that makes the call; empty: the first of the calibration."""


def pack_run(
    run: Path,
    calibrated: Path,
    out: Path,
    wanted: Wanted,
    *,
    numbers: MeasuredNumbers | None = None,
    records: Sequence[Path] = (),
) -> Locked:
    """Make and lock a release in ``out`` (which must not exist); raises BadImport, BrokenLineage or BadCalibration.

    ``records`` are folders of the steps before the run (build, split), whose records are packed too.
    """
    _require_made_from(run, calibrated)
    points = tomllib.loads((calibrated / POINTS).read_text(encoding="utf-8")).get("outputs", {})
    curves = dict(calibration_from_json((calibrated / CALIBRATION).read_bytes()).curves)
    packed = plan_of(run, frozenset(curves))
    outputs = [
        _output(said, points.get(said.curve, {}).get("operating_points", []), wanted, numbers) for said in packed.said
    ]
    imported = [ImportedOutput(item.key, item.name, item.concept) for item in outputs]
    stages = (recorded(run / ENVIRONMENT, "fit"), installed_now("pack"))
    with whole_folder(out, LockPlan(records=(*records, run, calibrated), made_with=stages)) as folder:
        write_graph_package(folder, (run / NETWORK).read_bytes(), packed.plan, wanted.about, imported)
        kept = tuple((said.key, curves[said.curve]) for said in packed.said if said.form != OUTLINE)
        (folder / MODEL / CALIBRATION).write_text(calibration_to_json(Calibration(kept)), encoding="utf-8")
        _write_texts(folder, _card(outputs, packed, wanted, numbers), wanted.about, measured=numbers is not None)
    return proved(out)


def _write_texts(folder: Path, card: ReaderCard, about: Described, *, measured: bool) -> None:
    """Write card, licence, data statement and the page for clinicians."""
    state = card.validation if measured else _NOT_MEASURED
    (folder / CARD).write_text(card_toml(card, f"Packed by coread models pack ({about.source})."), encoding="utf-8")
    (folder / MODEL / LICENCE).write_text(f"{about.licence}\n", encoding="utf-8")
    (folder / MODEL / DATA_STATEMENT).write_text(
        f"# Data\n\nTraining data: {about.training_data}\n\nMeasured: {state}\n", encoding="utf-8"
    )
    limits = "\n".join(f"- {limit}" for limit in card.limits)
    (folder / "README.md").write_text(
        f"# {card.name}\n\nResearch use only; not a medical device.\n\n{card.intended_use}\n\n"
        f"Not for: {card.not_for}\n\n"
        f"Measured: {state}\n\n{limits}\n",
        encoding="utf-8",
    )


def _require_made_from(run: Path, calibrated: Path) -> None:
    made, fitted = read_record(run), read_record(calibrated)
    if made.digest not in fitted.parents:
        raise BadImport(f"{calibrated} was not made from {run}: calibrate this run first")
    if sha256_of(run / NETWORK) != made.outputs.get(NETWORK):
        raise BadImport(f"{run} has no {NETWORK} among its outputs: train it to its end first")


def _output(
    said: Said, points: Sequence[Mapping[str, Any]], wanted: Wanted, numbers: MeasuredNumbers | None
) -> OutputSpec:
    key, label = said.key, said.label
    if said.form == OUTLINE:
        made: tuple[OperatingPoint, ...] = (OperatingPoint(OUTLINE, 0.5, _HALF, None, None, _NOT_MEASURED),)
    elif points:
        made = tuple(_point(key, point, numbers) for point in points)
    else:
        raise BadImport(f"the calibration found no operating point for {label!r}: give it a rule that can be kept")
    default = made[0].name if said.form == OUTLINE else wanted.default_point or made[0].name
    if default not in {point.name for point in made}:
        raise BadImport(f"{label!r} has no operating point {default!r}; it has {', '.join(p.name for p in made)}")
    code = (wanted.codes or {}).get(key) or Code(key.upper()[:16], COREAD_SCHEME, label[:64])
    return OutputSpec(
        key, label, code, None, key in wanted.urgent, numbers.auc.get(key) if numbers else None, made, default
    )


def _point(key: str, body: Mapping[str, Any], numbers: MeasuredNumbers | None) -> OperatingPoint:
    chosen = OperatingPoint(str(body["name"]), float(body["threshold"]), str(body["rule"]), None, None, _NOT_MEASURED)
    if numbers is None:
        return chosen
    measured = numbers.points.get(key, {}).get(chosen.name)
    if measured is None:
        raise BadImport(f"the validation did not measure {key!r} at {chosen.name!r}: validate this very calibration")
    if abs(measured.threshold - chosen.threshold) > _SAME_THRESHOLD:
        raise BadImport(
            f"the validation measured {key!r} at {chosen.name!r} with the threshold {measured.threshold:g}, this "
            f"calibration has {chosen.threshold:g}: it is of another network or calibration"
        )
    return replace(
        chosen,
        sensitivity=measured.sensitivity,
        specificity=measured.specificity,
        measured_on=numbers.measured_on,
    )


def _card(
    outputs: Sequence[OutputSpec], packed: PackedRun, wanted: Wanted, numbers: MeasuredNumbers | None
) -> ReaderCard:
    about, plan = wanted.about, packed.plan
    contract = InputContract(
        modalities=(about.modality,),
        sop_class_uids=(),
        body_parts=(about.body_part,) if about.body_part else (),
        views=wanted.views,
        min_age_years=wanted.min_age_years,
        max_age_years=None,
        min_rows=min(plan.rows, 64),
        min_columns=min(plan.columns, 64),
        max_pixels=64_000_000,
        min_images=1,
        max_images=8,
    )
    unproven = () if numbers else ("Nothing was measured with this package yet.",)
    return ReaderCard(
        reader_id=about.reader_id,
        name=about.name or about.reader_id,
        version=about.version,
        kind=ReaderKind.DETECTION,
        intended_use=about.intended_use,
        not_for=wanted.not_for,
        research_use=True,
        input=contract,
        outputs=tuple(outputs),
        training_data=(about.training_data,),
        training_licence=about.licence,
        validation=numbers.validation if numbers else _NOT_MEASURED,
        limits=(*unproven, *_limits_of(plan), *packed.limits, *about.limits),
        resources=Resources(memory_mb=2048, seconds=60.0),
    )


def _limits_of(plan: PlanarPlan) -> tuple[str, ...]:
    """Return what a plan itself limits, in words."""
    limits = [f"The network sees {plan.rows} x {plan.columns} pixels: what is smaller than one of them is lost."]
    if not any(item.form in PLACES for item in plan.outputs):
        limits.append("Says whether, not where: it marks nothing in the image.")
    if any(item.form == OUTLINE for item in plan.outputs):
        limits.append("What is only outlined has no probability: every case that it could be calibrated on shows it.")
    if plan.covariates:
        limits.append(
            f"It reads {', '.join(plan.covariates)} out of the header; where the header does not tell, it reads the "
            "image alone, which may be less sure."
        )
    return tuple(limits)
