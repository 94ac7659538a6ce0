"""Raw samples of an MR scanner with their meaning: what every coil received, where in k-space, of which patient.

Axes of samples, everywhere: ``(frames, slices, coils, partitions, lines, readout)``. ``partitions`` is the second
phase encoding of a 3D acquisition (1 otherwise). The centre of k-space stands at index ``N // 2`` of each encoded
axis; images are the centred orthonormal inverse Fourier transform. The samples of one slice (or, after the transform
along the readout, of one plane of a 3D acquisition) are ``(coils, a, b)`` with a mask ``(a, b)``: what methods work on.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry

Samples = NDArray[np.complex64]
RAW_DATA_STORAGE = "1.2.840.10008.5.1.4.1.1.66"
"""SOP class (PS3.3 A.37) that raw data travel in; other vendors' objects of it hold anything."""
AXES = ("frames", "slices", "coils", "partitions", "lines", "readout")


class Trajectory(StrEnum):
    """How k-space was covered (ISMRMRD header, ``encoding/trajectory``)."""

    CARTESIAN = "cartesian"
    RADIAL = "radial"
    SPIRAL = "spiral"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RawHeader:
    """What the raw data say of patient, study, scanner and sequence; absent text is ``""``, absent numbers ``None``."""

    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    """DICOM DA, as all dates."""
    patient_sex: str = ""
    patient_weight_kg: float | None = None
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    """Of the scanner's own images, where the raw data name it."""
    frame_of_reference_uid: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    series_number: int | None = None
    series_description: str = ""
    protocol_name: str = ""
    body_part_examined: str = ""
    patient_position: str = ""
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    station_name: str = ""
    institution_name: str = ""
    field_strength_t: float | None = None
    sequence_name: str = ""
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_degrees: float | None = None
    coil_names: tuple[str, ...] = ()
    synthetic: bool = False
    """Computed, not measured on a scanner; every object made from it says so."""


@dataclass(frozen=True, slots=True, eq=False)
class KSpace:
    """One acquisition: samples of all coils with where they were taken and where the images lie.

    ``samples`` complex64, axes as above, 0 where nothing was sampled; it may be a memory map. Not Cartesian: ``lines``
    are the readouts (spokes, interleaves) in the order of time and ``coordinates`` says where each sample lies.
    """

    samples: Samples
    mask: NDArray[np.bool_]
    """Sampled or not: (frames, slices, partitions, lines), with (…, readout) where single points were left out."""
    geometry: Geometry
    """Of the images of one frame: (slices x partitions, rows, columns), after removal of oversampling."""
    header: RawHeader
    trajectory: Trajectory = Trajectory.CARTESIAN
    coordinates: NDArray[np.float32] | None = None
    """(frames, slices or 1, lines, readout, 2) as (row, column) in cycles per field of view, -N/2 to N/2; Cartesian:
    ``None``."""
    noise: Samples | None = None
    """(coils, samples) of a scan without excitation, for pre-whitening."""
    frame_meaning: str = ""
    """What the frames are: ``phase``, ``repetition``, ``echo``, ``contrast``; empty for one frame."""
    source_digest: str = ""
    """SHA-256 of the file or stream that the samples came from."""
    calibration: Samples | None = None
    """(slices, coils, partitions, lines, readout), 0 where not sampled: reference lines that were taken apart from the
    image and whose contrast may differ; for coil sensitivities alone, never part of an image."""
    repeat_disagreement: float | None = None
    """Lines near the centre that were sampled more than once: root mean square by which one differs from the mean of
    those before it, over that of the mean, noise and drift of phase taken away; ``None`` where nothing was repeated."""
    notes: tuple[str, ...] = ()
    """What was left out, assumed or averaged when the file was read, for people."""

    def __post_init__(self) -> None:
        if self.samples.ndim != len(AXES) or 0 in self.samples.shape:
            raise InvalidRecord(f"samples are ({', '.join(AXES)}), got shape {self.samples.shape}")
        frames, slices, _, partitions, lines, readout = self.samples.shape
        if self.mask.shape not in ((frames, slices, partitions, lines), (frames, slices, partitions, lines, readout)):
            raise InvalidRecord(f"a mask of shape {self.mask.shape} for samples of shape {self.samples.shape}")
        if (self.coordinates is None) != (self.trajectory is Trajectory.CARTESIAN):
            raise InvalidRecord("coordinates belong to a trajectory that is not Cartesian, and only to such a one")
        if self.coordinates is not None and (
            self.coordinates.shape[0] != frames
            or self.coordinates.shape[1] not in (1, slices)
            or self.coordinates.shape[2:] != (lines, readout, 2)
        ):
            raise InvalidRecord(f"coordinates {self.coordinates.shape} for samples of shape {self.samples.shape}")
        if self.calibration is not None and self.calibration.shape != self.samples.shape[1:]:
            raise InvalidRecord(f"calibration {self.calibration.shape} for samples of shape {self.samples.shape}")
        if self.noise is not None and (self.noise.ndim != 2 or len(self.noise) != self.coils):
            raise InvalidRecord(f"noise of shape {self.noise.shape} for {self.coils} coils")

    @property
    def coils(self) -> int:
        """Number of receive channels."""
        return int(self.samples.shape[2])

    @property
    def frames(self) -> int:
        """Number of images of each slice over time, phase or echo."""
        return int(self.samples.shape[0])

    def acceleration(self) -> float:
        """Return how many times fewer lines were sampled than the encoded grid has (Cartesian)."""
        return float(self.mask.size / max(int(np.count_nonzero(self.mask)), 1))
