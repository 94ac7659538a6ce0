"""Sessions that say what a test wants, and images made of arrays, for tests of readers without their networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels, PlanarImage, Quantity
from coread.domain.reading import Arrays, Reader, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.samples import inputs_of
from coread.imaging.colour import luminance
from coread.models.calibration import sigmoid

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class SaidSession:
    """Gives the outputs that it was built with, one row for each image, and sigmoids of logits."""

    outputs: Mapping[str, NDArray[Any]]
    seen: list[Arrays] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return "0" * 64

    @property
    def runtime(self) -> str:
        return "said"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        self.seen.append(inputs)
        return dict(self.outputs)

    def calibrate(self, key: str, logit: float) -> float:  # noqa: ARG002
        return sigmoid(logit)


def header(number: int, rows: int, columns: int, /, **more: str) -> InstanceHeader:
    plain = InstanceHeader("1.2.3", "1.2.3.4", f"1.2.3.4.{number}", SECONDARY_CAPTURE, "1.2.840.10008.1.2.1")
    return replace(plain, instance_number=number, rows=rows, columns=columns, **more)  # type: ignore[arg-type]


def display(stored: NDArray[Any]) -> FloatPixels:
    return np.asarray(stored / 255, dtype=np.float32)


def grey(pixels: FloatPixels, number: int = 1, /, **more: str) -> PlanarImage:
    rows, columns = pixels.shape
    return PlanarImage(pixels, Quantity.DISPLAY, header(number, rows, columns, **more))


def coloured(colour: FloatPixels, number: int = 1, /, **more: str) -> PlanarImage:
    return replace(grey(luminance(colour), number, **more), colour=colour)


def read(reader: Reader, session: SaidSession, *images: PlanarImage) -> ReadResult | Refusal:
    inputs = inputs_of(images) if images else ReaderInputs(inputs_of([grey(np.eye(4, dtype=np.float32))]).study)
    prepared = reader.prepare(inputs)
    if isinstance(prepared, Refusal):
        return prepared
    return reader.interpret(session, prepared, reader.infer(session, prepared))


def inputs_of_one(image: PlanarImage) -> ReaderInputs:
    return inputs_of([image])
