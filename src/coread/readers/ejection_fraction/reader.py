"""Volumes and ejection fraction of the left ventricle from cine MR in the short axis."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import ImageReference
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.ejection_fraction.areas import areas_of
from coread.readers.ejection_fraction.cine import Cine, cine_of, references_of
from coread.readers.ejection_fraction.outputs import AREA, CAVITY, GRAPH, MUSCLE, PIXEL_MM, SIDE
from coread.readers.ejection_fraction.report import Seen, measured, reason_against, reported
from coread.readers.ejection_fraction.tracking import shares_of, ventricle_of
from coread.readers.ejection_fraction.window import Window, moving_place, squares

SURVEY_MM = 1.5 * PIXEL_MM
"""Pixels of the first look, from which the middle of the ventricle is taken."""
_SURVEY_PHASES = 3
_BATCH = 24


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs to find its way back."""

    cine: Cine
    survey: Window
    skipped: tuple[tuple[ImageReference, Reason], ...]


@dataclass(frozen=True, slots=True)
class EjectionFractionReader:
    """See README.md for what it measures and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Gather the phases of the stack and cut a first look at the place that moves."""
        found = cine_of(self.card.input, inputs.volumes)
        if isinstance(found, Reason):
            return Refusal(found)
        cine, rest = found
        why = Reason(ReasonCode.SEVERAL_VOLUMES, "not of the stack with the most phases")
        skipped = tuple((reference, why) for reference in references_of(rest))
        survey = Window(*moving_place(cine), SURVEY_MM)
        slices = np.arange(cine.volumes[0].voxels.shape[0])
        middle = slices[len(slices) // 4 : -(len(slices) // 4) or None]
        phases = np.linspace(0, cine.phases, _SURVEY_PHASES, endpoint=False).astype(np.int64)
        look = squares(cine, survey, phases, middle).reshape(-1, 1, SIDE, SIDE)
        return Prepared({"image": look}, Context(cine, survey, skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Find the middle of the ventricle, then the share of each class in all phases and slices around it.

        ``images`` (phases, slices, SIDE, SIDE) and ``shares`` (phases, slices, classes, SIDE, SIDE) float32, ``place``
        (row, column) of their middle.
        """
        context: Context = prepared.context
        first = shares_of(_run(session, np.asarray(prepared.arrays["image"], np.float32)))
        window = _middle(context, first[:, CAVITY].mean(axis=0))
        cine = context.cine
        slices = np.arange(cine.volumes[0].voxels.shape[0])
        images = squares(cine, window, np.arange(cine.phases), slices)
        every = [shares_of(_run(session, phase.reshape(-1, 1, SIDE, SIDE))) for phase in images]
        return {"images": images, "shares": np.stack(every), "place": np.array([window.row, window.column])}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Measure the ventricle, or say why it cannot be measured."""
        context: Context = prepared.context
        ventricle = ventricle_of(np.asarray(outputs["shares"]))
        if ventricle is None:
            return Refusal(Reason(ReasonCode.INDETERMINATE, "no left ventricle was found"), context.skipped)
        window = Window(float(outputs["place"][0]), float(outputs["place"][1]))
        muscle = np.asarray(outputs["shares"])[:, :, MUSCLE]
        areas = areas_of(np.asarray(outputs["images"]), muscle, ventricle, context.cine.slice_distance_mm())
        seen = Seen(context.cine, ventricle, areas, window)
        if (reason := reason_against(seen)) is not None:
            return Refusal(reason, context.skipped)
        result = reported(self.card, session.digest, seen, measured(seen, session.parameters))
        return replace(result, skipped=context.skipped)


def reader(card: ReaderCard) -> EjectionFractionReader:
    """Build the reader with its card."""
    return EjectionFractionReader(card)


def _run(session: ModelSession, images: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = [
        session.run(GRAPH, {"image": np.ascontiguousarray(images[at : at + _BATCH])})[AREA]
        for at in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _middle(context: Context, usual: NDArray[np.float32]) -> Window:
    """Return the window around the largest region of cavity in the first look, else around what moves."""
    from scipy import ndimage

    labels, count = ndimage.label(usual > 0.25)
    row, column = context.survey.row, context.survey.column
    if count:
        sizes = ndimage.sum_labels(usual, labels, index=np.arange(1, count + 1))
        down, across = ndimage.center_of_mass(usual, labels, int(np.argmax(sizes)) + 1)
        middle = (SIDE - 1) / 2
        row += (down - middle) * SURVEY_MM / context.cine.spacing_mm[1]
        column += (across - middle) * SURVEY_MM / context.cine.spacing_mm[2]
    return Window(float(row), float(column))
