"""Fully sampled raw data as their own reference: the images of all samples, and the same data with samples left out."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.kspace import KSpace, Trajectory
from coread.imaging.errors import BadSamples
from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.fourier import to_image
from coread.imaging.mr.image_grid import on_image_grid
from coread.imaging.mr.masks import MaskKind, MaskPlan, Seed, sampling_mask
from coread.imaging.mr.whitening import equalising_matrix


def reference_images(kspace: KSpace, frame: int = 0) -> NDArray[np.float32]:
    """Return root-sum-of-squares images (slices x partitions, rows, columns) of one frame, as fastMRI's reference.

    Samples that are missing count as 0. Raises InvalidRecord where the trajectory is not Cartesian.
    """
    if kspace.trajectory is not Trajectory.CARTESIAN:
        raise InvalidRecord(f"{kspace.trajectory.value} samples have no image by a Fourier transform alone")
    shape = kspace.geometry.shape
    made = np.empty(shape, dtype=np.float32)
    partitions = kspace.samples.shape[3]
    for number in range(kspace.samples.shape[1]):
        samples = np.asarray(kspace.samples[frame, number])
        images = to_image(samples, axes=(-3, -2, -1) if partitions > 1 else (-2, -1))
        whole = root_sum_of_squares(on_image_grid(images, *shape[1:]))
        made[number * partitions : (number + 1) * partitions] = whole
    return made


def equally_noisy(kspace: KSpace) -> KSpace:
    """Return the acquisition with noise made equal between coils, as reconstructions make it; its noise scan likewise.

    A root sum of squares weights coils by their gain, a reconstruction by how quiet they are: only with equal noise do
    both have one brightness everywhere. Without a noise scan that can be used the acquisition itself is returned.
    """
    if kspace.noise is None:
        return kspace
    try:
        matrix = equalising_matrix(kspace.noise)
    except BadSamples:
        return kspace

    def mixed(samples: NDArray[np.complex64], axis: int) -> NDArray[np.complex64]:
        return np.asarray(np.moveaxis(np.tensordot(matrix, samples, axes=(1, axis)), 0, axis), dtype=np.complex64)

    calibration = None if kspace.calibration is None else mixed(kspace.calibration, 1)
    return replace(
        kspace, samples=mixed(kspace.samples, 2), noise=mixed(kspace.noise, 0), calibration=calibration
    )  # fmt: skip


def undersampled(kspace: KSpace, plan: MaskPlan, seed: Seed) -> KSpace:
    """Return the samples that a scanner would have measured with this plan; the others are 0.

    Masks of lines leave out lines; masks of points leave out points of the two phase encodings of a 3D acquisition, and
    of lines and readout of a 2D one (which no scanner does: only for comparison).
    """
    frames, slices, _, partitions, lines, readout = kspace.samples.shape
    if plan.kind is MaskKind.POISSON and partitions == 1:
        points = sampling_mask(plan, (lines, readout), seed)
        mask = np.broadcast_to(points, (frames, slices, 1, lines, readout))
        taken = points[np.newaxis, np.newaxis, np.newaxis, np.newaxis]
    else:
        if plan.kind is MaskKind.POISSON:
            plane = sampling_mask(plan, (partitions, lines), seed)
        else:
            plane = np.broadcast_to(sampling_mask(plan, (lines, 8), seed)[:, 0], (partitions, lines))
        mask = np.broadcast_to(plane, (frames, slices, partitions, lines))
        taken = plane[np.newaxis, np.newaxis, np.newaxis, :, :, np.newaxis]
    samples = np.where(taken, kspace.samples, np.complex64(0))
    kept = kspace.mask & mask if kspace.mask.shape == mask.shape else mask.copy()
    return replace(kspace, samples=samples, mask=kept, source_digest="")
