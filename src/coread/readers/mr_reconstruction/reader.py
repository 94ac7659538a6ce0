"""Images from undersampled raw MR data: learned where it was taught and holds on this case, classical elsewhere."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import ImageReference
from coread.domain.kspace import KSpace, Trajectory
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.checks import CheckLimits, checked
from coread.imaging.mr.partial_fourier import one_sided_axes
from coread.readers.mr_reconstruction.acquisition import planes_of, spokes_of
from coread.readers.mr_reconstruction.outside import Outside
from coread.readers.mr_reconstruction.reconstructing import FEWEST_FRAMES, reconstructed
from coread.readers.mr_reconstruction.report import Given, reported
from coread.readers.raw_data import reason_against_object, refused

MOST_COILS = 8
"""More coils are combined into so many virtual ones: the network was taught on at most that many."""


@dataclass(frozen=True, slots=True)
class _Context:
    given: tuple[Given, ...]
    skipped: tuple[tuple[ImageReference, Reason], ...]


@dataclass(frozen=True, slots=True)
class MrReconstructionReader:
    """See README.md for what it computes, what it proves on each case, and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check each acquisition, leave out what is broken, and cut it into planes; refuse where none is left."""
        if (nothing := refused(self.card, inputs)) is not None:
            return nothing
        arrays: dict[str, NDArray[Any]] = {}
        given: list[Given] = []
        skipped: list[tuple[ImageReference, Reason]] = []
        for header, kspace in zip(inputs.kspace_headers, inputs.kspaces, strict=True):
            try:
                found = self._given(header, kspace)
                if isinstance(found, Given):
                    planes, one = self._arrays(found, len(given))
                    arrays |= planes
                    given.append(one)
                    continue
            except ImagingRefused as problem:
                found = problem.reason
            skipped.append((_reference(header), found))
        if not given:
            return Refusal(skipped[0][1], tuple(skipped))
        return Prepared(arrays, _Context(tuple(given), tuple(skipped)))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Reconstruct every acquisition; see ``reconstructing.reconstructed`` for the outputs."""
        outputs: dict[str, NDArray[Any]] = {}
        for number in range(sum(name.startswith("samples_") for name in prepared.arrays)):
            outputs |= reconstructed(session, prepared.arrays, number)
        return outputs

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Write series, uncertainty and what was proved on this case."""
        context: _Context = prepared.context
        return reported(self.card, session.digest, context.given, outputs, context.skipped)

    def _given(self, header: InstanceHeader, kspace: KSpace) -> Given | Reason:
        if (reason := reason_against_object(self.card.input, header, kspace)) is not None:
            return reason
        if kspace.trajectory is Trajectory.OTHER:
            return Reason(ReasonCode.WRONG_TRAJECTORY, "neither Cartesian nor radial nor spiral")
        sound = checked(kspace, CheckLimits(min_coils=self.card.input.min_coils))
        return Given(sound.kspace, header, sound.notes, min(sound.kspace.coils, MOST_COILS))

    def _arrays(self, given: Given, number: int) -> tuple[dict[str, NDArray[Any]], Given]:
        kspace = given.kspace
        cartesian = kspace.trajectory is Trajectory.CARTESIAN
        planes = planes_of(kspace, MOST_COILS) if cartesian else spokes_of(kspace, MOST_COILS)
        outside = Outside(0) if cartesian else Outside.TRAJECTORY
        if kspace.frames >= FEWEST_FRAMES and cartesian:
            outside |= Outside.DYNAMIC
        arrays: dict[str, NDArray[Any]] = {
            f"samples_{number}": planes.samples,
            f"mask_{number}": planes.mask,
            f"noise_{number}": np.array([planes.noise, float(planes.noise_was_measured)]),
            f"frames_{number}": np.array([kspace.frames]),
        }
        if planes.calibration is not None:
            arrays[f"calibration_{number}"] = planes.calibration
            outside |= Outside.CALIBRATION
        if planes.coordinates is not None:
            arrays[f"coordinates_{number}"] = planes.coordinates
            arrays[f"grid_{number}"] = np.array(kspace.geometry.shape[1:])
        arrays[f"outside_{number}"] = np.array([int(outside)], dtype=np.int64)
        notes = (*given.notes, *planes.notes)
        if cartesian and one_sided_axes(np.asarray(planes.mask.any(axis=0))):
            notes = (
                *notes,
                "one side of k-space was left out (partial Fourier): classical images complete it from the "
                "other side, which takes their phase as smooth; where it is not, as at metal, detail is lost",
            )
        if planes.kept_energy < 1:
            lost = 100 * (1 - planes.kept_energy)
            notes = (*notes, f"{kspace.coils} coils were combined into {given.coils}; {lost:.2g} % of the energy lost")
        return arrays, Given(kspace, given.header, notes, given.coils)


def _reference(header: InstanceHeader) -> ImageReference:
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def reader(card: ReaderCard) -> MrReconstructionReader:
    """Make the reader for a card."""
    return MrReconstructionReader(card)
