"""Reads whole chest CT for nodules: lungs, candidates, network, outline, size, category, and change since a prior."""

from dataclasses import dataclass

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, Prior, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.lung_nodule.followup import Errors, FollowUp, follow
from coread.readers.lung_nodule.nodules import Scan, nodules_of, opened
from coread.readers.lung_nodule.outputs import GRAPH, HEAD, INPUT, NODULE, THICKEST_MM, TURNS
from coread.readers.lung_nodule.patches import patches, turned
from coread.readers.lung_nodule.results import Read, result_of
from coread.readers.volumes import reason_against


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    now: Scan
    before: Scan | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LungNoduleReader:
    """The reader of whole scans; see README.md for what it was measured on and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the scan, find lungs and candidates in it and in the earlier one; refuse where there are no lungs."""
        if len(inputs.volumes) != 1:
            code = ReasonCode.SEVERAL_VOLUMES if inputs.volumes else ReasonCode.NO_ELIGIBLE
            return Refusal(Reason(code, f"{len(inputs.volumes)} volumes"))
        now = self._opened(inputs.volumes[0])
        if isinstance(now, Reason):
            return Refusal(now)
        before, notes = self._before(inputs.priors)
        batch = patches(now.frame, now.candidates)
        if before is not None:
            batch = np.concatenate([batch, patches(before.frame, before.candidates)])
        return Prepared({INPUT: turned(batch)}, Context(now, before, notes))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the quarter turns of all patches; without any there is nothing to run."""
        if not len(prepared.arrays[INPUT]):
            return {HEAD: np.zeros((0, 1), dtype=np.float32)}
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Call, outline and measure the nodules of both dates and compare them."""
        context: Context = prepared.context
        logits = np.asarray(outputs[HEAD], dtype=np.float64).reshape(TURNS, -1).mean(axis=0).tolist()
        probabilities = [session.calibrate(NODULE, logit) for logit in logits]
        threshold = self.card.output(NODULE).operating_point().threshold
        count = len(context.now.candidates)
        nodules = nodules_of(context.now, probabilities[:count], threshold)
        errors, followed, notes = errors_of(session), None, list(context.notes)
        if context.before is not None:
            earlier = nodules_of(context.before, probabilities[count:], threshold)
            said = follow(context.before, context.now, earlier, nodules, errors)
            if isinstance(said, FollowUp):
                followed = said
            else:
                notes.append(f"Not compared with the earlier study: {said.text()}")
        top = max(probabilities[:count], default=0.0)
        return result_of(self.card, Read(context.now, nodules, top, errors, followed, tuple(notes)))

    def _opened(self, volume: Volume) -> Scan | Reason:
        reason = reason_against(self.card.input, volume, Quantity.HOUNSFIELD)
        if reason is not None:
            return reason
        widest = max(volume.geometry.spacing_mm())
        if widest > THICKEST_MM + 1e-3:
            return Reason(ReasonCode.WRONG_SPACING, f"{widest:.2f} mm between voxels, at most {THICKEST_MM:g}")
        scan = opened(volume)
        return Reason(ReasonCode.NO_ELIGIBLE, scan) if isinstance(scan, str) else scan

    def _before(self, priors: tuple[Prior, ...]) -> tuple[Scan | None, tuple[str, ...]]:
        if not priors:
            return None, ()
        if len(priors[0].volumes) != 1:
            return None, (f"Not compared with the earlier study: {len(priors[0].volumes)} volumes to choose from",)
        scan = self._opened(priors[0].volumes[0])
        if isinstance(scan, Reason):
            return None, (f"Not compared with the earlier study: {scan.text()}",)
        return scan, ()


def reader(card: ReaderCard) -> LungNoduleReader:
    """Build the reader with its card."""
    return LungNoduleReader(card)


def errors_of(session: ModelSession) -> Errors:
    """Return the locked numbers on what repeated measurements differ by."""
    numbers = session.parameters
    return Errors(dict(numbers["repeatability"]), dict(numbers["volume_error"]))
