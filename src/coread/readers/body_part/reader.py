"""Says of each picture which of the known kinds it shows, or that it shows none of them surely."""

from dataclasses import dataclass

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.body_part.outputs import GRAPH, HEAD, INPUT, KINDS
from coread.readers.body_part.preprocess import network_image
from coread.readers.planar import Gathered, Seen, called, gather, refusal_of


@dataclass(frozen=True, slots=True)
class BodyPartReader:
    """The router; see README.md for the kinds that it knows and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every picture against the card; refuse only when none is left."""
        gathered = gather(self.card, inputs, _made)
        return gathered if isinstance(gathered, Refusal) else Prepared({INPUT: gathered.batch}, gathered)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the pictures of the study."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Name each picture's likeliest kind where it is sure; a picture that shows none surely is left out."""
        gathered: Gathered = prepared.context
        said = {
            key: {seen.number: session.calibrate(key, float(outputs[HEAD][seen.number, k])) for seen in gathered.seen}
            for k, key in enumerate(KINDS)
        }
        known: list[Seen] = []
        notes: list[str] = []
        skipped = list(gathered.skipped)
        for seen in gathered.seen:
            probabilities = [said[key][seen.number] for key in KINDS]
            best = self.card.output(KINDS[int(np.argmax(probabilities))])
            if max(probabilities) >= best.operating_point().threshold:
                known.append(seen)
                notes.append(f"Image {seen.number + 1}: {best.name} (probability {max(probabilities):.2f})")
            else:
                detail = f"likeliest: {best.name}, probability {max(probabilities):.2f}"
                skipped.append((seen.reference, Reason(ReasonCode.INDETERMINATE, detail)))
        if not known:
            return refusal_of(skipped, "no picture shows a known kind")
        findings = tuple(called(spec, said[spec.key], known) for spec in self.card.outputs)
        return ReadResult(findings, skipped=tuple(skipped), notes=tuple(notes))


def reader(card: ReaderCard) -> BodyPartReader:
    """Build the reader with its card."""
    return BodyPartReader(card)


def _made(image: PlanarImage) -> FloatPixels:
    return network_image(image)
