"""Raw MR data of a computed head: undersampled k-space of several coils with known lesions, coils, lines and faults.

The anatomy is that of the brain phantom; coils, phase and noise are simulated (``imaging.mr.simulate``), so figures
measured on these files are called simulated. Beside the raw data stands the noise-free magnitude as a series.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.geometry import Geometry, affine_of
from coread.domain.kspace import KSpace, RawHeader
from coread.imaging.mr.files import ismrmrd
from coread.imaging.mr.files.raw_object import wrapped
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, loop_sensitivities, smooth_phase
from coread.phantoms.reference import head_anatomy
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.made import Made, Visit, digest_for
from coread.phantoms.reference.mr_brain import BrainTruth, brain_scene, flair_of, lesions_on
from coread.phantoms.reference.objects import Examination, ReferenceSeries, examination
from coread.phantoms.reference.scan import FIRST_DATE, Grid, Setup, orientation_named
from coread.phantoms.reference.scene import Extent, Measured, Scene, render
from coread.phantoms.reference.truth import Structure, checked, stated

NAME = "mr-raw"
FILE = "kspace.h5"
_MIDDLE_MM = (0.0, -4.0, 24.0)
"""Centre of the slices: at the height of the white-matter lesions."""
_FIELD_MM = 240.0
_SLICE_MM = 5.0
_NOISE_SAMPLES = 4096
_TIMES_MS = {"FLAIR": (9000.0, 120.0, 2500.0, 150.0), "T1": (2300.0, 2.9, 900.0, 9.0)}
"""Repetition, echo and inversion time, flip angle in degrees: what the header says; contrasts are not simulated."""


@dataclass(frozen=True, slots=True)
class RawTruth:
    """What is known of the head, the coils and the lines."""

    contrast: str = stated("FLAIR", "weighting of the images", choices=("FLAIR", "T1"))
    lesions_ml: tuple[float, ...] = stated((0.6, 0.35, 0.2), "white-matter lesions, up to 6; leave empty for none",
                                           low=0.02, high=6)  # fmt: skip
    matrix: int = stated(192, "lines and samples of a line of one image", low=64, high=512)
    slices: int = stated(10, "slices", low=1, high=64)
    coils: int = stated(8, "receive coils", low=1, high=64)
    signal_to_noise: float = stated(30.0, "mean of the head over the noise of the whole image", low=2, high=1000)
    acceleration: float = stated(4.0, "how many times fewer lines were sampled", low=1, high=16)
    sampling: str = stated("equispaced", "which lines", choices=("equispaced", "random", "magic"))
    centre_percent: float = stated(8.0, "lines in the middle that are all sampled", low=0, high=50)
    partial_fourier: float = stated(1.0, "share of k-space that is sampled at all along the lines", low=0.6, high=1)
    oversampling: int = stated(2, "samples along a line for each voxel", low=1, high=2)
    noise_scan: bool = stated(True, "a scan without excitation stands before the lines")
    dead_coil: int = stated(0, "coil, from 1, that received nothing but noise; 0: none", low=0, high=64)
    spiked_lines: int = stated(0, "lines with one corrupt sample", low=0, high=64)
    broken_lines: int = stated(0, "lines with values that are no numbers", low=0, high=64)
    cut_percent: float = stated(0.0, "how much of the end of the file is missing", low=0, high=95)
    dicom: bool = stated(True, "write the DICOM Raw Data object too")
    images: bool = stated(True, "write the noise-free images too")

    def __post_init__(self) -> None:
        checked(self)
        if len(self.lesions_ml) > 6:
            raise BadTruth("lesions_ml has up to 6 values")
        if self.dead_coil > self.coils:
            raise BadTruth(f"dead_coil={self.dead_coil}: there are {self.coils} coils")


@dataclass(frozen=True, slots=True, eq=False)
class RawSeries:
    """The raw data as a series of one object."""

    examination: Examination
    kspace: KSpace
    dataset: Dataset
    number: int = 2
    modality: str = "MR"

    @property
    def description(self) -> str:
        """Return the series description."""
        return str(self.dataset.SeriesDescription)

    @property
    def series_instance_uid(self) -> str:
        """Return the UID, which comes from the bytes of the file."""
        return str(self.dataset.SeriesInstanceUID)

    def datasets(self) -> Iterator[Dataset]:
        """Yield the object."""
        yield self.dataset


@dataclass(frozen=True, slots=True, eq=False)
class MadeRaw(Made):
    """A reference object whose raw data are written as an ISMRMRD file as well."""

    kspace: KSpace | None = field(default=None)
    """Always there; the base has values that may be left out before it."""

    def write(self, folder: Path) -> dict[str, Any]:
        """Write what ``Made.write`` does and the ISMRMRD file beside it."""
        folder.mkdir(parents=True, exist_ok=True)  # the base makes it with its first series, and there may be none
        # Not super(): a class with slots is a second class, which a bare super() would not find.
        document = Made.write(self, folder)
        path = folder / FILE
        if self.kspace is None:
            raise BadTruth("there are no raw data to write")
        ismrmrd.write(path, self.kspace)
        if self.truth.cut_percent:
            whole = path.stat().st_size
            with path.open("r+b") as stream:
                stream.truncate(round(whole * (1 - self.truth.cut_percent / 100)))
        return document


def make(truth: RawTruth, setup: Setup) -> MadeRaw:
    """Compute the head, what the coils received of it, and which lines were kept."""
    if setup.tilt_degrees:
        raise BadTruth("mr-raw has no gantry to tilt")
    digest = digest_for(NAME, truth, setup)
    who = examination(NAME, digest, setup.dates_or((FIRST_DATE,))[0])
    grid = _grid(truth, setup, who.frame_of_reference_uid)
    scene, lesions = _scene(truth, setup.seed)
    drawn = render(scene, grid.geometry, measure=[name for name, _ in lesions])
    scanned = _scanned(truth, setup, drawn.values)
    kspace = KSpace(
        samples=scanned.samples, mask=scanned.mask, geometry=grid.geometry, header=_header(truth, who),
        noise=scanned.noise if truth.noise_scan else None,
    )  # fmt: skip
    series: list[Any] = []
    if truth.images:
        title = f"SYNTHETIC {truth.contrast} noise-free"
        labels = tuple(part.name for part in scene.parts)
        series.append(
            ReferenceSeries(who, "MR", 1, title, "BRAIN", grid, drawn.values, attributes=_attributes(truth),
                            labels=drawn.labels, label_names=labels)
        )  # fmt: skip
    if truth.dicom:
        series.append(RawSeries(who, kspace, wrapped(kspace)))
    structures = tuple(_structure(name, volume, drawn.extents[name], scene) for name, volume in lesions)
    visit = Visit(who, tuple(series), structures, _facts(truth, scanned, setup))
    return MadeRaw(NAME, truth, setup, (visit,), kspace=kspace)


@dataclass(frozen=True, slots=True, eq=False)
class _Scanned:
    samples: NDArray[np.complex64]
    mask: NDArray[np.bool_]
    noise: NDArray[np.complex64]
    noise_deviation: float
    spiked: tuple[tuple[int, int], ...]
    broken: tuple[tuple[int, int], ...]


def _grid(truth: RawTruth, setup: Setup, frame_of_reference_uid: str) -> Grid:
    gap, down, across = setup.spacing_mm or (_SLICE_MM, _FIELD_MM / truth.matrix, _FIELD_MM / truth.matrix)
    axes = orientation_named(setup.orientation)
    directions = np.asarray((axes[2], axes[0], axes[1]), dtype=np.float64)
    steps = directions.T * (gap, down, across)
    shape = (truth.slices, truth.matrix, truth.matrix)
    origin = np.asarray(_MIDDLE_MM) - steps @ ((np.asarray(shape) - 1) / 2)
    affine = affine_of(np.round(np.column_stack([steps, origin]), 6))
    return Grid(Geometry(shape, affine, frame_of_reference_uid), axes, 0.0)


def _scene(truth: RawTruth, seed: int) -> tuple[Scene, list[tuple[str, float]]]:
    """Return the head in the contrast that is asked for, and the lesions with their volumes in mm3."""
    brain = BrainTruth(lesions_ml=truth.lesions_ml, new_lesions_ml=())
    form = head_anatomy.BrainForm(ventricle_scale=brain.ventricle_scale)
    lesions = lesions_on(brain, form, 0, seed)
    scene = brain_scene(brain, form, lesions, 0, seed)
    return (flair_of(scene) if truth.contrast == "FLAIR" else scene), [(one.name, one.volume_mm3) for one in lesions]


def _scanned(truth: RawTruth, setup: Setup, values: NDArray[np.float32]) -> _Scanned:
    random = np.random.default_rng([setup.seed, 211])
    lines = _lines(truth, setup.seed)
    deviation = float(values[values > 0.1 * values.max()].mean()) / truth.signal_to_noise
    shape = (truth.matrix, truth.matrix)
    maps = loop_sensitivities(shape, Scanner(coils=truth.coils), random)
    samples = np.zeros((1, truth.slices, truth.coils, 1, truth.matrix, truth.matrix * truth.oversampling), np.complex64)
    beside = truth.matrix * (truth.oversampling - 1) // 2
    for k, plane in enumerate(values):
        image = plane * np.exp(1j * smooth_phase(shape, 1.0, random))
        received = np.pad(maps * image, ((0, 0), (0, 0), (beside, beside)))
        if truth.dead_coil:
            received[truth.dead_coil - 1] = 0
        noise = random.standard_normal((2, *received.shape), dtype=np.float32) * np.float32(deviation)
        samples[0, k, :, 0] = (to_samples(received.astype(np.complex64)) + noise[0] + 1j * noise[1]) * lines[:, None]
    mask = np.broadcast_to(lines, (1, truth.slices, 1, truth.matrix)).copy()
    spiked, broken = _faults(truth, samples, lines, random)
    scan = random.standard_normal((2, truth.coils, _NOISE_SAMPLES), dtype=np.float32) * np.float32(deviation)
    return _Scanned(samples, mask, (scan[0] + 1j * scan[1]).astype(np.complex64), deviation, spiked, broken)


def _lines(truth: RawTruth, seed: int) -> NDArray[np.bool_]:
    lines = np.ones(truth.matrix, np.bool_)
    if truth.acceleration > 1:
        plan = MaskPlan(MaskKind(truth.sampling), truth.acceleration, centre_fraction=truth.centre_percent / 100)
        lines = sampling_mask(plan, (truth.matrix, truth.matrix), seed)[:, 0].copy()
    lines[: round(truth.matrix * (1 - truth.partial_fourier))] = False
    return lines


def _faults(
    truth: RawTruth, samples: NDArray[np.complex64], lines: NDArray[np.bool_], random: np.random.Generator
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Put spikes and values that are no numbers into lines outside the middle; return (slice, line) of each."""
    outer = np.flatnonzero(lines & (np.abs(np.arange(truth.matrix) - truth.matrix // 2) > truth.matrix // 6))
    wanted = truth.spiked_lines + truth.broken_lines
    if wanted > len(outer) * truth.slices:
        raise BadTruth(f"{wanted} corrupt lines: only {len(outer) * truth.slices} lie outside the middle")
    chosen = random.permutation(len(outer) * truth.slices)[:wanted]
    places = [(int(one // len(outer)), int(outer[one % len(outer)])) for one in chosen]
    peak = float(np.abs(samples[0, :, 0]).max())
    spiked, broken = places[: truth.spiked_lines], places[truth.spiked_lines :]
    for k, line in spiked:
        samples[0, k, :, 0, line, int(random.integers(samples.shape[-1]))] += 0.5 * peak
    for k, line in broken:
        samples[0, k, 0, 0, line, int(random.integers(samples.shape[-1]))] = np.nan
    return tuple(sorted(spiked)), tuple(sorted(broken))


def _header(truth: RawTruth, who: Examination) -> RawHeader:
    identity = who.identity
    repetition, echo, inversion, flip = _TIMES_MS[truth.contrast]
    return RawHeader(
        patient_id=identity.patient_id, patient_name=identity.patient_name, patient_sex=identity.patient_sex,
        patient_birth_date=identity.patient_birth_date, study_instance_uid=who.study_instance_uid,
        frame_of_reference_uid=who.frame_of_reference_uid, accession_number=identity.accession_number,
        study_date=identity.study_date, study_time=identity.study_time, study_description=identity.study_description,
        series_number=2, series_description=f"SYNTHETIC {truth.contrast} {truth.acceleration:g}x",
        protocol_name=f"SYNTHETIC {truth.contrast}", body_part_examined="BRAIN", patient_position="HFS",
        manufacturer="Coread", manufacturer_model_name="digital reference object", station_name="PHANTOM",
        institution_name=identity.institution_name, field_strength_t=3.0, sequence_name="SYNTHETIC",
        repetition_time_ms=repetition, echo_time_ms=echo, inversion_time_ms=inversion, flip_angle_degrees=flip,
        coil_names=tuple(f"SYN{number + 1}" for number in range(truth.coils)), synthetic=True,
    )  # fmt: skip


def _attributes(truth: RawTruth) -> Mapping[str, Any]:
    repetition, echo, inversion, flip = _TIMES_MS[truth.contrast]
    return {
        "ScanningSequence": ["SE", "IR"], "SequenceVariant": "SK", "ScanOptions": "", "MRAcquisitionType": "2D",
        "RepetitionTime": repetition, "EchoTime": echo, "InversionTime": inversion, "FlipAngle": flip,
        "EchoTrainLength": 1, "MagneticFieldStrength": 3, "SequenceName": "SYNTHETIC",
    }  # fmt: skip


def _structure(name: str, volume_mm3: float, extent: Extent, scene: Scene) -> Structure:
    known = Measured(volume_mm3, 0.0, "quadrature")
    return Structure(name, known, extent.volume_mm3, extent.center_mm, scene.part(name).value)


def _facts(truth: RawTruth, scanned: _Scanned, setup: Setup) -> dict[str, Any]:
    kept = int(scanned.mask[0, 0, 0].sum())
    return {
        "kspace": FILE,
        "simulated": "coils, phase and noise",
        "lines": np.flatnonzero(scanned.mask[0, 0, 0]).tolist(),
        "acceleration": truth.matrix / kept,
        "noise_deviation": scanned.noise_deviation,
        "dead_coils": [truth.dead_coil] if truth.dead_coil else [],
        "spiked_lines": [list(one) for one in scanned.spiked],
        "broken_lines": [list(one) for one in scanned.broken],
        "seed": setup.seed,
    }
