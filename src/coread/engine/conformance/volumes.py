"""The checks of readers of volumes: what is refused, and that anatomy counts and not the order of the voxels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.conformance.subject import NotApplicable, Subject, require
from coread.engine.samples import study_of

SAME_TOLERANCE = 0.02
"""Between the same anatomy on a grid whose axes run the other way: interpolation may differ, nothing else."""
MIRROR_TOLERANCE = 0.15
"""Between anatomy and its mirror image: networks are not symmetric."""


def volumes_of(subject: Subject) -> list[Volume]:
    """Return the volume of each sample; empty for readers of single images."""
    return [inputs.volumes[0] for inputs in subject.samples if inputs.volumes]


def wrong_modality(subject: Subject, volume: Volume) -> str:
    """Give a sample whose headers name another modality."""
    accepted = subject.installed.card.input.modalities
    other = next(name for name in ("MR", "CT", "US", "NM") if name not in accepted)
    headers = tuple(replace(header, modality=other) for header in volume.headers)
    return refused(subject, replace(volume, headers=headers), ReasonCode.WRONG_MODALITY)


def not_a_number(subject: Subject, volume: Volume) -> str:
    """Give a sample with one voxel that is not a number."""
    voxels = volume.voxels.copy()
    voxels[tuple(n // 2 for n in voxels.shape)] = np.nan
    return refused(subject, replace(volume, voxels=voxels), ReasonCode.PIXELS_NOT_FINITE)


def constant(subject: Subject, volume: Volume) -> str:
    """Give a volume of one value."""
    return refused(subject, replace(volume, voxels=np.zeros_like(volume.voxels)), ReasonCode.PIXELS_CONSTANT)


def too_few_slices(subject: Subject, volume: Volume) -> str:
    """Give one slice fewer than the card asks for."""
    count = subject.installed.card.input.min_images - 1
    if count < 1:
        raise NotApplicable("the card accepts volumes of any length")
    return refused(subject, first_slices(volume, count), ReasonCode.TOO_FEW_IMAGES)


def other_quantity(subject: Subject, volume: Volume) -> str:
    """Give numbers of another meaning: arbitrary values for HU, HU for a signal."""
    other = Quantity.ARBITRARY if volume.quantity is Quantity.HOUNSFIELD else Quantity.HOUNSFIELD
    return refused(subject, replace(volume, quantity=other), ReasonCode.PIXEL_MEANING)


def mirrored_in_mirrored_out(subject: Subject) -> str:
    """Exchange left and right of the anatomy: the same is measured, on the other side."""
    compared = 0
    for inputs, result in subject.results():
        if not inputs.volumes or inputs.priors:
            continue
        other = subject.read(with_volumes(inputs, [mirror_image(volume) for volume in inputs.volumes]))
        if isinstance(other, ReadResult):
            compared += same_amounts(result, other, MIRROR_TOLERANCE)
            compared += _places_agree(result, other, inputs.volumes[0])
    if not compared:
        raise NotApplicable("nothing was measured or outlined in both a volume and its mirror image")
    return f"{compared} measurements and outlines compared"


def order_does_not_matter(subject: Subject) -> str:
    """Let all three axes of the grid run the other way; the anatomy stays where it is."""
    compared = 0
    for inputs, result in subject.results():
        if not inputs.volumes:
            continue
        turned = [run_other_way(volume) for volume in inputs.volumes]
        other = subject.read(with_volumes(inputs, turned[::-1] if _phases(inputs) else turned))
        require(isinstance(other, ReadResult), "refuses the same anatomy when the axes of its grid run the other way")
        if isinstance(other, ReadResult):
            require(calls_of(result) == calls_of(other), "the calls depend on the way in which the axes run")
            compared += 1 + same_amounts(result, other, SAME_TOLERANCE)
    return f"{compared} calls and measurements compared"


def with_volume(inputs: ReaderInputs, volume: Volume) -> ReaderInputs:
    """Return inputs with another volume as the current one; earlier studies stay."""
    return ReaderInputs(study_of(volume.headers), volumes=(volume, *inputs.volumes[1:]), priors=inputs.priors)


def with_volumes(inputs: ReaderInputs, given: Sequence[Volume]) -> ReaderInputs:
    """Return inputs with other volumes in the place of all current ones; earlier studies stay."""
    return ReaderInputs(study_of(given[0].headers), volumes=tuple(given), priors=inputs.priors)


def _phases(inputs: ReaderInputs) -> bool:
    """Say whether the volumes are told apart by what they are, so that their order must not matter."""
    return len({volume.key for volume in inputs.volumes}) == len(inputs.volumes) > 1


def run_other_way(volume: Volume) -> Volume:
    """Return the same anatomy at the same places with all three index axes reversed."""
    matrix = volume.geometry.matrix()[:3]
    last = np.array(volume.geometry.shape) - 1
    turned = np.column_stack([-matrix[:, :3], matrix[:, 3] + matrix[:, :3] @ last])
    headers = volume.headers[::-1] if len(volume.headers) > 1 else volume.headers
    return replace(
        volume,
        voxels=np.ascontiguousarray(volume.voxels[::-1, ::-1, ::-1]),
        geometry=_geometry(volume, turned),
        headers=headers,
        frames=_frames(volume)[::-1],
    )


def mirror_image(volume: Volume) -> Volume:
    """Return the anatomy with left and right exchanged on the same grid."""
    return replace(volume, voxels=np.ascontiguousarray(np.flip(volume.voxels, _mirrored_axis(volume))))


def refused(subject: Subject, volume: Volume, code: ReasonCode) -> str:
    """Require that this volume is refused with this code, whatever priors there are."""
    ending = subject.read(with_volume(subject.samples[0], volume))
    if not isinstance(ending, Refusal):
        require(False, f"gave a result instead of a refusal with {code.value}")
        return ""
    require(ending.reason.code is code, f"refused with {ending.reason.code.value}, expected {code.value}")
    return ending.reason.text()


def _geometry(volume: Volume, matrix: NDArray[np.float64]) -> Geometry:
    return replace(volume.geometry, affine=affine_of(matrix))


def first_slices(volume: Volume, count: int) -> Volume:
    """Return a volume of its first slices only."""
    headers = volume.headers[:count] if len(volume.headers) > 1 else volume.headers
    geometry = replace(volume.geometry, shape=(count, *volume.geometry.shape[1:]))
    frames = _frames(volume)[:count]
    return replace(volume, voxels=volume.voxels[:count].copy(), geometry=geometry, headers=headers, frames=frames)


def _frames(volume: Volume) -> tuple[int, ...]:
    """Return the frame of each slice, also where the volume leaves it to be understood."""
    return tuple(reference.frame for reference in volume.references())


def calls_of(result: ReadResult) -> list[tuple[str, str]]:
    """Return key and presence of each finding, in order."""
    return sorted((item.key, item.presence.value) for item in result.findings)


def _amounts(result: ReadResult) -> dict[tuple[str, str], float]:
    """Add up what was measured by concept and statistic: parts that change sides change their names, not the sum."""
    sums: dict[tuple[str, str], float] = {}
    for item in result.measurements:
        key = (item.concept.meaning, item.derivation.meaning if item.derivation else "")
        sums[key] = sums.get(key, 0.0) + item.value
    return sums


def same_amounts(result: ReadResult, other: ReadResult, tolerance: float) -> int:
    """Require that what both measured agrees to a share of the larger value; return how many were compared."""
    here, there = _amounts(result), _amounts(other)
    for key in here.keys() & there.keys():
        larger = max(abs(here[key]), abs(there[key]))
        apart = abs(here[key] - there[key])
        require(apart <= tolerance * larger + 1e-6, f"{key[0]} {here[key]:.4g} becomes {there[key]:.4g}")
    return len(here.keys() & there.keys())


def _places_agree(result: ReadResult, other: ReadResult, volume: Volume) -> int:
    """Compare the middle of everything outlined with the mirrored one, along the index axis that was reversed.

    In indices and not in mm: the axis of an oblique grid does not run along the patient's left and right.
    """
    axis = _mirrored_axis(volume)
    here, there = _middle(result, volume, axis), _middle(other, volume, axis)
    if here is None or there is None:
        return 0
    last = volume.geometry.shape[axis] - 1
    apart = abs(last - here - there)
    mm = apart * float(volume.geometry.spacing_mm()[axis])
    require(apart <= MIRROR_TOLERANCE * last, f"what is outlined lies {mm:.0f} mm from its mirror image")
    return 1


def _mirrored_axis(volume: Volume) -> int:
    return int(np.argmax(np.abs(volume.geometry.matrix()[0, :3])))


def _middle(result: ReadResult, volume: Volume, axis: int) -> float | None:
    places: Sequence[float] = [
        float(volume.geometry.to_index(region.geometry.to_patient(_centre(region.mask)))[0, axis])
        for region in result.regions
        if region.geometry is not None and region.mask.ndim == 3 and region.mask.any()
    ]
    return float(np.mean(places)) if places else None


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(mask).mean(axis=0, keepdims=True))
