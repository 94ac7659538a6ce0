"""Reads fundus photographs: gradable or not, referable or not, and nothing when it is not sure."""

from dataclasses import dataclass

from coread.domain.cards import ReaderCard
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.diabetic_retinopathy.outputs import (
    GRAPH,
    HEAD,
    INPUT,
    LINES,
    REFERABLE,
    RULE_IN,
    RULE_OUT,
    UNGRADABLE,
)
from coread.readers.diabetic_retinopathy.preprocess import network_image
from coread.readers.planar import Gathered, Seen, Skipped, called, gather, refusal_of

_UNGRADABLE_FROM = 0.5
"""Calibrated probability of ``ungradable`` from which a photograph is not read."""


@dataclass(frozen=True, slots=True)
class RetinopathyReader:
    """The diabetic retinopathy reader; see README.md for what it looks for and when not to trust it.

    It answers without a radiologist, so it says "absent" only when every photograph could be graded and is surely
    below the threshold of ``rule_out``; "present" when one is surely above that of ``rule_in``.
    """

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every photograph against the card; refuse only when none is left."""
        gathered = gather(self.card, inputs, _made)
        return gathered if isinstance(gathered, Refusal) else Prepared({INPUT: gathered.batch}, gathered)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the photographs of the study."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Leave out what cannot be graded; refuse when no photograph is referable and one is doubtful or ungradable."""
        gathered: Gathered = prepared.context
        graded, skipped = _graded(session, gathered, outputs)
        if not graded:
            return refusal_of(skipped, "no photograph could be graded")
        logits = outputs[HEAD][:, LINES.index(REFERABLE)]
        said = {seen.number: session.calibrate(REFERABLE, float(logits[seen.number])) for seen in graded}
        spec = self.card.output(REFERABLE)
        sure, doubtful = spec.operating_point(RULE_IN).threshold, spec.operating_point(RULE_OUT).threshold
        highest = max(said.values())
        if highest < sure:
            ungradable = [reason for _, reason in skipped if reason.code is ReasonCode.LOW_QUALITY]
            if ungradable:
                return Refusal(Reason(ReasonCode.LOW_QUALITY, "one photograph of the study cannot be graded"), skipped)
            if highest >= doubtful:
                detail = f"probability {highest:.2f} lies between {doubtful:.2f} and {sure:.2f}"
                return Refusal(Reason(ReasonCode.INDETERMINATE, detail), skipped)
        return ReadResult((called(spec, said, graded),), skipped=skipped)


def reader(card: ReaderCard) -> RetinopathyReader:
    """Build the reader with its card."""
    return RetinopathyReader(card)


def _made(image: PlanarImage) -> FloatPixels | Reason:
    return network_image(image)


def _graded(session: ModelSession, gathered: Gathered, outputs: Arrays) -> tuple[tuple[Seen, ...], tuple[Skipped, ...]]:
    logits = outputs[HEAD][:, LINES.index(UNGRADABLE)]
    graded: list[Seen] = []
    skipped = list(gathered.skipped)
    for seen in gathered.seen:
        if session.calibrate(UNGRADABLE, float(logits[seen.number])) < _UNGRADABLE_FROM:
            graded.append(seen)
        else:
            skipped.append((seen.reference, Reason(ReasonCode.LOW_QUALITY, "blurred, dark, too bright or covered")))
    return tuple(graded), tuple(skipped)
