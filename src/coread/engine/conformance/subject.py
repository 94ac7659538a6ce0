"""The reader under check, and how the checks make it read."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Failed
from coread.domain.images import PlanarImage
from coread.domain.reading import ModelSession, Prepared, Reader, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.readers.registry import InstalledReader


class NotConformant(Failed):
    """The reader breaks the contract of readers."""


class NotApplicable(Exception):
    """This reader gives this check nothing to look at."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An opened reader with inputs that it should read."""

    installed: InstalledReader
    session: ModelSession
    reader: Reader
    samples: tuple[ReaderInputs, ...]
    remembered: dict[int, ReadResult | Refusal] = field(default_factory=dict)

    def read(self, inputs: ReaderInputs) -> ReadResult | Refusal:
        """Run the three steps of the reader, and nothing else."""
        prepared = self.reader.prepare(inputs)
        if isinstance(prepared, Refusal):
            return prepared
        require(isinstance(prepared, Prepared), f"prepare returned {type(prepared).__name__}")
        outputs = self.reader.infer(self.session, prepared)
        ending = self.reader.interpret(self.session, prepared, outputs)
        require(isinstance(ending, ReadResult | Refusal), f"interpret returned {type(ending).__name__}")
        return ending

    def ending(self, number: int) -> ReadResult | Refusal:
        """Return what the reader says of one sample, read once."""
        if number not in self.remembered:
            self.remembered[number] = self.read(self.samples[number])
        return self.remembered[number]

    def results(self) -> list[tuple[ReaderInputs, ReadResult]]:
        """Return the samples that were read, with their results."""
        endings = [(inputs, self.ending(number)) for number, inputs in enumerate(self.samples)]
        return [(inputs, ending) for inputs, ending in endings if isinstance(ending, ReadResult)]

    def planar(self) -> list[PlanarImage]:
        """Return one image of each sample; raises NotApplicable for readers of volumes."""
        images = [inputs.images[0] for inputs in self.samples if inputs.images]
        if not images:
            raise NotApplicable("the reader takes volumes")
        return images


def require(holds: bool, otherwise: str) -> None:
    """Raise NotConformant unless the condition holds."""
    if not holds:
        raise NotConformant(otherwise)


def with_pixels(image: PlanarImage, pixels: NDArray[np.float32]) -> PlanarImage:
    """Return the image with other pixels, and a header and a padding mask that fit them; grey where it has colour."""
    same = pixels.shape == image.pixels.shape
    header = replace(image.header, rows=pixels.shape[0], columns=pixels.shape[1])
    colour = None if image.colour is None else np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    valid = image.valid if same else None
    return replace(image, pixels=pixels, header=header, valid=valid, geometry=None, colour=colour)


def mirrored(image: PlanarImage) -> PlanarImage:
    """Return the image with left and right exchanged."""
    valid = None if image.valid is None else np.ascontiguousarray(image.valid[:, ::-1])
    colour = None if image.colour is None else np.ascontiguousarray(image.colour[:, ::-1])
    pixels = np.ascontiguousarray(image.pixels[:, ::-1])
    return replace(image, pixels=pixels, valid=valid, geometry=None, colour=colour)
