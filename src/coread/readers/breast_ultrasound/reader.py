"""Reads breast ultrasound images: checks each, runs the network, calls lesion and malignant over the study."""

from dataclasses import dataclass

from coread.domain.cards import ReaderCard
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason
from coread.domain.results import ReadResult, Refusal
from coread.readers.breast_ultrasound.outputs import GRAPH, HEAD, INPUT, OUTPUTS, SIDE
from coread.readers.breast_ultrasound.preprocess import network_image
from coread.readers.planar import Gathered, call, gather


@dataclass(frozen=True, slots=True)
class BreastUltrasoundReader:
    """The breast ultrasound reader; see README.md for what it looks for and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every image against the card; refuse only when none is left."""
        gathered = gather(self.card, inputs, _made)
        return gathered if isinstance(gathered, Refusal) else Prepared({INPUT: gathered.batch}, gathered)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the images of the study."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Call each output: present when it is present in any image."""
        gathered: Gathered = prepared.context
        findings = tuple(
            call(session, spec, outputs[HEAD][:, OUTPUTS.index(spec.key)], gathered.seen) for spec in self.card.outputs
        )
        return ReadResult(findings, skipped=gathered.skipped)


def reader(card: ReaderCard) -> BreastUltrasoundReader:
    """Build the reader with its card."""
    return BreastUltrasoundReader(card)


def _made(image: PlanarImage) -> FloatPixels | Reason:
    return network_image(image, SIDE)
