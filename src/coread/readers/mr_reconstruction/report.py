"""From images and their proofs to the result: series, uncertainty, measurements, pictures, and what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.codes import Code
from coread.domain.derived import DerivedImages, Picture, derived_series_uid
from coread.domain.findings import Finding, ImageReference, Measurement, Presence
from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace, RawHeader
from coread.domain.maps import ParameterMap
from coread.domain.reading import Arrays
from coread.domain.reasons import Reason
from coread.domain.results import ReadResult
from coread.domain.study import InstanceHeader
from coread.readers.mr_reconstruction import words as w
from coread.readers.mr_reconstruction.acquisition import assembled
from coread.readers.mr_reconstruction.outside import Outside, words_of
from coread.readers.mr_reconstruction.reconstructing import FACTS, METHODS, NOT_MEASURED

Image = NDArray[np.float32]
_MOST_WORST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """One acquisition on its way through the reader."""

    kspace: KSpace
    """As it was reconstructed: without what was left out."""
    header: InstanceHeader
    notes: tuple[str, ...]
    coils: int
    """Virtual coils that were used."""

    def reference(self) -> ImageReference:
        """Return the raw data object."""
        head = self.header
        return ImageReference(head.sop_class_uid, head.sop_instance_uid, head.series_instance_uid)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What came of one acquisition."""

    given: Given
    facts: dict[str, float]
    series: tuple[DerivedImages, ...]
    """One for each frame."""
    spread: Image
    """(frames, slices, rows, columns)"""
    zero_filled: Image
    other: Image | None
    shown: int
    """Slice of the pictures."""
    shown_frame: int

    @property
    def method(self) -> str:
        """Name of the method that was delivered."""
        return METHODS[int(self.facts["method"])]

    @property
    def outside(self) -> Outside:
        """Why it is the classical one."""
        return Outside(int(self.facts["outside"]))


def reported(
    card: ReaderCard,
    digest: str,
    given: Sequence[Given],
    outputs: Arrays,
    skipped: Sequence[tuple[ImageReference, Reason]],
) -> ReadResult:
    """Return the result of all acquisitions that were reconstructed."""
    made = [_made(card, digest, one, outputs, number) for number, one in enumerate(given)]
    return ReadResult(
        findings=(_finding(card, made),),
        measurements=tuple(measurement for one in made for measurement in _measurements(one)),
        skipped=tuple(skipped),
        notes=tuple(note for number, one in enumerate(made, start=1) for note in _notes(one, number, len(made))),
        maps=tuple(_uncertainty(one, frame) for one in made for frame in range(len(one.series))),
        images=tuple(series for one in made for series in one.series),
        pictures=tuple(_pictures(made[0])),
    )


def _made(card: ReaderCard, digest: str, given: Given, outputs: Arrays, number: int) -> _Made:
    facts = dict(zip(FACTS, (float(value) for value in outputs[f"facts_{number}"]), strict=True))
    images, spread, flat = (
        assembled(np.asarray(outputs[f"{name}_{number}"]), given.kspace) for name in ("image", "spread", "zero_filled")
    )
    volume = given.kspace.samples.shape[3] > 1
    slices = images.shape[1]
    plane = int(outputs[f"shown_{number}"][0])
    other = None if volume else _other(np.asarray(outputs[f"other_{number}"]), given.kspace)
    return _Made(
        given=given,
        facts=facts,
        series=tuple(_series(card, digest, given, facts, images, frame) for frame in range(len(images))),
        spread=spread,
        zero_filled=flat,
        other=other,
        shown=slices // 2 if volume else plane % slices,
        shown_frame=0 if volume else plane // slices,
    )


def _other(image: Image, kspace: KSpace) -> Image:
    from coread.imaging.mr.image_grid import on_image_grid

    return np.asarray(on_image_grid(image, *kspace.geometry.shape[1:]))


def _series(
    card: ReaderCard, digest: str, given: Given, facts: dict[str, float], images: Image, frame: int
) -> DerivedImages:
    method = METHODS[int(facts["method"])]
    header = given.kspace.header
    return DerivedImages(
        label=f"MR reconstruction {method} {facts['acceleration']:.3g}x, research use",
        voxels=images[frame],
        geometry=_placed(given.kspace.geometry, given.header),
        sources=(given.reference(),),
        derivation=_derivation(card, given, facts),
        series_instance_uid=derived_series_uid(digest, given.header.sop_instance_uid, given.kspace.source_digest),
        attributes=_attributes(header, given.kspace),
        synthetic=header.synthetic or "SYNTHETIC" in given.header.series_description.upper(),
        position=frame + 1,
        positions=len(images),
    )


def _placed(geometry: Geometry, header: InstanceHeader) -> Geometry:
    """Return the grid with a frame of reference; raw data that name none get one of their own."""
    if geometry.frame_of_reference_uid:
        return geometry
    uid = derived_series_uid("frame of reference", header.sop_instance_uid)
    return Geometry(geometry.shape, geometry.affine, uid)


def _derivation(card: ReaderCard, given: Given, facts: dict[str, float]) -> str:
    mask = given.kspace.mask
    lines = f"{int(np.count_nonzero(mask)) // len(mask)} of {mask[0].size} lines or points of k-space of a frame"
    if given.kspace.coordinates is not None:
        lines = f"{mask.shape[3]} spokes or interleaves of a frame"
    how = {
        "learned": "an unrolled network with data consistency in each step",
        "l1-wavelet": "compressed sensing with wavelets and ESPIRiT sensitivities",
        "fully sampled": "the inverse Fourier transform and ESPIRiT sensitivities",
        "low-rank and sparse": "a low-rank and a sparse part over all frames together, and ESPIRiT sensitivities",
        "radial SENSE": "conjugate gradients along the trajectory, and ESPIRiT sensitivities",
    }[METHODS[int(facts["method"])]]
    return (
        f"Magnitude images from {lines} (acceleration {facts['acceleration']:.3g}, {given.coils} coils used) by {how}. "
        f"Prediction differs from measured samples by {facts['residual']:.3g} times the noise. "
        f"{card.name} {card.version}; the scanner's own images are not replaced"
    )


def _attributes(header: RawHeader, kspace: KSpace) -> tuple[tuple[str, str], ...]:
    """Return what the raw data state of the acquisition, by DICOM keyword."""
    numbers = (
        ("RepetitionTime", header.repetition_time_ms),
        ("EchoTime", header.echo_time_ms),
        ("InversionTime", header.inversion_time_ms),
        ("FlipAngle", header.flip_angle_degrees),
        ("MagneticFieldStrength", header.field_strength_t),
        ("PatientWeight", header.patient_weight_kg),
    )
    stated = [(keyword, f"{value:.6g}") for keyword, value in numbers if value is not None]
    texts = (
        ("SequenceName", header.sequence_name),
        ("ProtocolName", header.protocol_name),
        ("PatientPosition", header.patient_position.upper()),
    )
    stated += [(keyword, text) for keyword, text in texts if text]
    return (*stated, ("MRAcquisitionType", "3D" if kspace.samples.shape[3] > 1 else "2D"))


def _finding(card: ReaderCard, made: Sequence[_Made]) -> Finding:
    """Say whether any acquisition ended in classical images; it names the slices that change most."""
    beyond = [one for one in made if one.outside]
    return Finding(
        w.OUTSIDE_KEY,
        card.output(w.OUTSIDE_KEY).concept,
        Presence.PRESENT if beyond else Presence.ABSENT,
        images=tuple(reference for one in beyond for reference in _worst(one)),
    )


def _worst(made: _Made) -> tuple[ImageReference, ...]:
    mean = made.spread[0].mean(axis=(1, 2))
    return tuple(made.series[0].references()[int(k)] for k in np.argsort(-mean)[:_MOST_WORST])


def _measurements(made: _Made) -> list[Measurement]:
    facts = made.facts
    images = made.series[0].references()[made.shown : made.shown + 1]
    rows: tuple[tuple[Code, str, float, Code], ...] = (
        (w.ACCELERATION, "acceleration", 1.0, w.NO_UNITS),
        (w.SIGNAL_TO_NOISE, "signal_to_noise", 1.0, w.NO_UNITS),
        (w.RESIDUAL, "residual", 1.0, w.NO_UNITS),
        (w.HELD_OUT, "held_out", 1.0, w.NO_UNITS),
        (w.SPREAD, "spread", 100.0, w.PERCENT),
        (w.WEAKEST, "weakest", 100.0, w.PERCENT),
        (w.RECOVERED, "mean", 100.0, w.PERCENT),
        (w.ELSEWHERE, "elsewhere", 100.0, w.PERCENT),
        (w.CONTRADICTED, "contradicted", 100.0, w.PERCENT),
    )
    found = [
        Measurement(code, round(facts[name] * factor, 4), unit, images=images)
        for code, name, factor, unit in rows
        if facts[name] != NOT_MEASURED
    ]
    return [*found, Measurement(w.USED_COILS, float(made.given.coils), w.COILS, images=images)]


def _notes(made: _Made, number: int, count: int) -> list[str]:
    facts = made.facts
    which = f"Acquisition {number}: " if count > 1 else ""
    said = [f"{which}Images by the method: {made.method}; {facts['acceleration']:.3g} times fewer samples"]
    if made.outside:
        delivered = "learned images were delivered" if made.method == "learned" else "classical images were delivered"
        said.append(f"{which}Outside what was validated, {delivered}: {'; '.join(words_of(made.outside))}")
    if facts["weakest"] != NOT_MEASURED:
        weakest, mean, elsewhere = (100 * facts[name] for name in ("weakest", "mean", "elsewhere"))
        said.append(
            f"{which}Test lesions put into the samples of {facts['probes']:.0f} slices: {weakest:.0f} % of the "
            f"contrast came back in the weakest, {mean:.0f} % on average; elsewhere nothing changed by more than "
            f"{elsewhere:.0f} % of a lesion"
        )
    if facts["contradicted"] != NOT_MEASURED:
        said.append(
            f"{which}The largest structure of the size of a lesion that the measured samples contradict is "
            f"{100 * facts['contradicted']:.0f} % of a test lesion"
        )
    if facts["held_out"] != NOT_MEASURED:
        said.append(
            f"{which}Lines that were left out are predicted within {facts['held_out']:.2f} times the noise, by "
            f"classical images within {facts['held_out_classical']:.2f} times"
        )
    if not facts["noise_was_measured"]:
        said.append(f"{which}Noise was estimated from the outermost samples: signal to noise is a lower bound")
    said += [f"{which}{note}" for note in made.given.notes]
    said.append(
        f"{which}The uncertainty is a standard error from reconstructions that lack a share of the lines; what no line "
        "measured is not in it"
    )
    return said


def _uncertainty(made: _Made, frame: int) -> ParameterMap:
    series = made.series[frame]
    label = "Uncertainty, lines left out"
    if series.positions > 1:
        label += f", frame {series.position}"
    return ParameterMap(label, w.UNCERTAINTY, w.NO_UNITS, made.spread[frame], series.references(), series.geometry)


def _pictures(made: _Made) -> list[Picture]:
    """Return zero-filled, delivered and classical images at one window, and the uncertainty at a window of its own."""
    image = made.series[made.shown_frame].voxels[made.shown]
    top = float(np.percentile(image, 99.8)) or 1.0
    _, between_rows, between_columns = made.series[0].geometry.spacing_mm()

    def picture(caption: str, pixels: Image, highest: float) -> Picture:
        shown = np.clip(pixels / max(highest, 1e-30), 0, 1).astype(np.float32)
        return Picture(caption, shown, between_rows, between_columns)

    found = [
        picture("Zero-filled: missing samples as 0", made.zero_filled[made.shown_frame, made.shown], top),
        picture(f"Delivered: {made.method}", image, top),
    ]
    if made.other is not None and made.method == "learned":
        found.append(picture("Classical: wavelets", made.other, top))
    spread = made.spread[made.shown_frame, made.shown]
    highest = max(float(spread.max()), 0.02 * top)
    found.append(picture(f"Uncertainty, white is {100 * highest / top:.0f} % of the brightest tissue", spread, highest))
    return found
