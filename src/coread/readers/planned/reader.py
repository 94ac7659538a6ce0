"""A reader that does what ``preprocessing.json`` in its package says: nothing of it is known to this code by name."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.codes import Code
from coread.domain.findings import Finding, Measurement, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import PlanarImage, Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, Reader, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.imaging.plan import (
    CLASS,
    COVARIATES,
    MASK,
    OUTLINE,
    PLACES,
    BadPlan,
    PlanarPlan,
    PlannedOutput,
    VolumePlan,
    plan_from_json,
)
from coread.imaging.planned_pixels import planned_array
from coread.imaging.windows import labels_by_windows
from coread.readers.planar import Seen, Skipped, age_years, call, gather, one_against_rest
from coread.readers.planned.places import Place, boxed, outlined
from coread.readers.volumes import reason_against

PLAN_FILE = "preprocessing.json"
_SURE = 1e-6
_OLDEST = 120.0
"""Training tables hold no age above it (``train.adapters.tables``)."""
_SEXES = ("M", "F", "O")
"""Values of Patient's Sex that say something; others are as if it were not there, as in training."""
VOLUME = Code("118565006", "SCT", "Volume")
MILLILITRE = Code("ml", "UCUM", "milliliter")
_STRUCTURE = Code("91723000", "SCT", "Anatomical structure")


def planned_reader(card: ReaderCard, model_folder: Path) -> Reader:
    """Build the reader of a package; raises BadPlan when plan and card do not fit each other."""
    try:
        plan = plan_from_json((model_folder / PLAN_FILE).read_bytes())
    except OSError as problem:
        raise BadPlan(f"{model_folder / PLAN_FILE} cannot be read: {problem.strerror}.") from problem
    keys = {item.key for item in (plan.outputs if isinstance(plan, PlanarPlan) else plan.regions)}
    declared = {output.key for output in card.outputs}
    if keys != declared:
        raise BadPlan(f"the plan answers {sorted(keys)}, the card declares {sorted(declared)}.")
    wanted = "planar" if isinstance(plan, PlanarPlan) else "volume"
    if isinstance(plan, VolumePlan) and card.input.volumes != "one":
        raise BadPlan(f"a planned reader reads one volume of a series, the card says volumes = {card.input.volumes}.")
    if card.input.presentation != wanted:
        raise BadPlan(f"the plan is for {wanted} input, the card says {card.input.presentation}.")
    return PlannedPlanar(card, plan) if isinstance(plan, PlanarPlan) else PlannedVolume(card, plan)


@dataclass(frozen=True, slots=True, eq=False)
class PlanarContext:
    """What ``interpret`` needs from ``prepare``: the images that are read, their shapes, and those that are not."""

    seen: tuple[Seen, ...]
    shapes: tuple[tuple[int, int], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class PlannedPlanar:
    """Reads single images as the plan says: names them, marks boxes, outlines regions."""

    card: ReaderCard
    plan: PlanarPlan

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every image against the card and make the network's input, with the values beside it."""
        shapes: list[tuple[int, int]] = []
        beside: list[list[float]] = []

        def made(image: PlanarImage) -> NDArray[np.float32] | Reason:
            array = planned_array(self.plan, image)
            if not np.isfinite(array).all():
                return Reason(ReasonCode.PIXELS_NOT_FINITE)
            shapes.append((image.pixels.shape[0], image.pixels.shape[1]))
            beside.append([covariate(name, image.header) for name in self.plan.covariates])
            return array

        found = gather(self.card, inputs, made)
        if isinstance(found, Refusal):
            return found
        arrays = {self.plan.input: found.batch}
        if self.plan.covariates:
            arrays[COVARIATES] = np.array(beside, dtype=np.float32)
        return Prepared(arrays, PlanarContext(found.seen, tuple(shapes), found.skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the graph one image at a time: a graph may have been written for one only."""
        arrays = prepared.arrays
        each = [
            session.run(self.plan.graph, {name: values[k : k + 1] for name, values in arrays.items()})
            for k in range(len(arrays[self.plan.input]))
        ]
        return {key: np.concatenate([outputs[key] for outputs in each]) for key in each[0]}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Take each output of the card from its place."""
        context: PlanarContext = prepared.context
        findings: list[Finding] = []
        regions: list[Region] = []
        for item in self.plan.outputs:
            spec, said = self.card.output(item.key), np.asarray(outputs[item.output], dtype=np.float64)
            if item.form not in PLACES:
                findings.append(call(session, spec, _image_logits(self.plan, item, said), context.seen))
                continue
            places = [Place(one.reference, context.shapes[one.number], said[one.number]) for one in context.seen]
            if item.form in (MASK, OUTLINE):
                finding, outlines = outlined(session, item, spec, places)
                findings.append(finding)
                regions += outlines
            else:
                findings += boxed(session, self.plan, item, spec, places)
        return ReadResult(tuple(findings), regions=tuple(regions), skipped=context.skipped)


@dataclass(frozen=True, slots=True)
class PlannedVolume:
    """Segments a volume as the plan says: a structure is present when its region is large enough."""

    card: ReaderCard
    plan: VolumePlan

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the volume against the card."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        volume = inputs.volumes[0]
        # A CT whose values are no Hounsfield units means nothing to a network that learnt on them.
        wanted = Quantity.HOUNSFIELD if volume.headers[0].modality == "CT" else volume.quantity
        if (reason := reason_against(self.card.input, volume, wanted)) is not None:
            return Refusal(reason)
        return Prepared({self.plan.input: volume.voxels, "affine": volume.geometry.matrix()}, volume)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the segmentation; the label map must come back on the grid that was given."""
        if not self.plan.roi:
            return session.run(self.plan.graph, prepared.arrays)
        plan = self.plan

        def scores_of(window: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(session.run(plan.graph, {plan.input: window[None, None]})[plan.output][0])

        return {"labels": labels_by_windows(plan, prepared.context, scores_of)}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Turn labels into regions, their volumes, and present or absent."""
        volume: Volume = prepared.context
        labels = np.asarray(outputs["labels"])
        findings, regions, measured = [], [], []
        for item in self.plan.regions:
            spec = self.card.output(item.key)
            mask = labels == item.label
            millilitres = float(mask.sum()) * abs(float(np.linalg.det(volume.geometry.matrix()[:3, :3]))) / 1000.0
            present = bool(mask.any()) and millilitres >= item.least_ml
            tracking = TrackingId(spec.name, derived_uid("planned region", session.digest, _names(volume), item.key))
            references = volume.references()
            if present:
                regions.append(Region(spec.name, _STRUCTURE, spec.concept, mask, references, tracking, volume.geometry))
                measured.append(Measurement(VOLUME, millilitres, MILLILITRE, tracking=tracking))
            findings.append(
                Finding(
                    key=item.key,
                    concept=spec.concept,
                    presence=Presence.PRESENT if present else Presence.ABSENT,
                    site=spec.site,
                    tracking=tracking if present else None,
                    urgent=present and spec.urgent,
                )
            )
        return ReadResult(tuple(findings), tuple(measured), tuple(regions))


def covariate(name: str, header: InstanceHeader) -> float:
    """Return one value beside an image out of its header, as training tables have it; NaN where it does not tell.

    ``age`` is in years, ``sex`` 1 for M and 0 for F; ``sex:X`` and ``view:X`` are 1 or 0.
    """
    if name == "age":
        years = age_years(header)
        return years if years is not None and 0.0 <= years <= _OLDEST else math.nan
    sex, view = header.patient_sex.strip().upper(), header.view_position.strip().upper()
    sex = sex if sex in _SEXES else ""
    if name == "sex":
        return {"M": 1.0, "F": 0.0}.get(sex, math.nan)
    field, _, value = name.partition(":")
    own = sex if field == "sex" else view
    return float(own == value) if own else math.nan


def _image_logits(plan: PlanarPlan, item: PlannedOutput, said: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one logit per image (N,) of an output (N, numbers)."""
    if item.form == CLASS:
        return one_against_rest(said)[:, item.index]
    scores = said[:, item.index]
    if plan.scores == "logit":
        return scores
    sure = np.clip(scores, _SURE, 1.0 - _SURE)
    return np.asarray(np.log(sure / (1.0 - sure)), dtype=np.float64)


def _names(volume: Volume) -> str:
    return " ".join(header.sop_instance_uid for header in volume.headers)
