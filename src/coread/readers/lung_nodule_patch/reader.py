"""Reads patches of lung CT around candidates: checks each, runs the network on its quarter turns, calls a nodule."""

from dataclasses import dataclass

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.lung_nodule_patch.outputs import GRAPH, HEAD, INPUT, LARGEST, NODULE, TURNS
from coread.readers.lung_nodule_patch.preprocess import middle, turned
from coread.readers.planar import Gathered, call, gather


@dataclass(frozen=True, slots=True)
class NodulePatchReader:
    """The nodule patch reader; see README.md for what a patch is and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every patch against the card; refuse only when none is left."""
        gathered = gather(self.card, inputs, _made)
        return gathered if isinstance(gathered, Refusal) else Prepared({INPUT: turned(gathered.batch)}, gathered)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the quarter turns of the patches."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Average over the turns; the study has a nodule when any of its patches is one."""
        gathered: Gathered = prepared.context
        logits = np.asarray(outputs[HEAD], dtype=np.float64).reshape(TURNS, -1).mean(axis=0)
        return ReadResult((call(session, self.card.output(NODULE), logits, gathered.seen),), skipped=gathered.skipped)


def reader(card: ReaderCard) -> NodulePatchReader:
    """Build the reader with its card."""
    return NodulePatchReader(card)


def _made(image: PlanarImage) -> FloatPixels | Reason:
    rows, columns = image.pixels.shape
    if max(rows, columns) > LARGEST:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns}: a patch has at most {LARGEST} a side")
    return middle(image.pixels)
