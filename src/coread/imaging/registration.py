"""One volume onto another: a rigid or affine motion, or a field of displacements, found by SimpleITK.

Deterministic: regular sampling with a fixed seed, one thread. A result says how alike the images are before and after;
whether that is good enough is for the caller to judge.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.imaging.errors import TooFewImages
from coread.imaging.itk import one_thread, simple_itk
from coread.imaging.resampling import is_sheared, rectangular_grid, resampled_mask, straightened

_SAMPLES, _SEED = 60_000, 1
"""Voxels that the likeness is measured on at each level: all of them where there are fewer."""
_BINS = 50
_SHRINK, _SIGMAS_MM = (4, 2, 1), (4.0, 2.0, 0.0)
_LEAST_SIDE = 16
"""No level is shrunk to fewer voxels along an axis than about this."""
_LEAST_VOXELS = 8


class Motion(StrEnum):
    """What the patient may have done between two images."""

    RIGID = "rigid"
    AFFINE = "affine"


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """How to get from the fixed image to the moving one."""

    matrix: NDArray[np.float64]
    """(4, 4): position in the fixed image, LPS mm, to the same anatomy in the moving image, LPS mm."""
    mutual_information: float
    """Mattes mutual information after registration (higher is more alike)."""
    mutual_information_before: float
    iterations: int


def registered(
    fixed: Volume, moving: Volume, *, motion: Motion = Motion.RIGID, start: NDArray[np.float64] | None = None,
    inside: NDArray[np.bool_] | None = None, samples: int = _SAMPLES,
) -> Registration:  # fmt: skip
    """Find the motion by mutual information from coarse to fine (Mattes 2001; any two kinds of contrast).

    ``start`` (4, 4) as ``Registration.matrix``; default: both centres coincide. ``inside`` is a mask on the grid of
    ``fixed`` of what counts. ``samples``: voxels that count at each level; fewer
    are faster. Raises TooFewImages for volumes below 8 voxels along an axis.
    """
    with one_thread():
        return _registered(fixed, moving, motion, start, inside, samples)


def _registered(
    fixed: Volume, moving: Volume, motion: Motion, start: NDArray[np.float64] | None,
    inside: NDArray[np.bool_] | None, samples: int,
) -> Registration:  # fmt: skip
    sitk = simple_itk()

    still, moved = itk_image(straightened(fixed)), itk_image(straightened(moving))
    first = sitk.AffineTransform(3) if motion is Motion.AFFINE else sitk.Euler3DTransform()
    if start is None:
        first = sitk.CenteredTransformInitializer(still, moved, first, sitk.CenteredTransformInitializerFilter.GEOMETRY)
    else:
        middle = still.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in still.GetSize()])
        first.SetCenter(middle)
        first.SetMatrix(np.asarray(start)[:3, :3].ravel().tolist())
        centre = np.asarray(middle)
        first.SetTranslation((np.asarray(start)[:3, :3] @ centre + np.asarray(start)[:3, 3] - centre).tolist())
    method = _method(first, still.GetSize(), samples)
    if inside is not None:
        grid = rectangular_grid(fixed.geometry) if is_sheared(fixed.geometry) else fixed.geometry
        counts = inside if grid is fixed.geometry else resampled_mask(inside, fixed.geometry, grid)
        method.SetMetricFixedMask(_with_geometry(counts.astype(np.uint8), grid))
    before = -method.MetricEvaluate(still, moved)
    method.Execute(still, moved)
    return Registration(
        matrix_of(first), -float(method.GetMetricValue()), float(before), int(method.GetOptimizerIteration())
    )


def _method(transform: Any, size: tuple[int, ...], samples: int) -> Any:
    sitk = simple_itk()

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    most = max(1, min(size) // _LEAST_SIDE)
    shrink = [min(factor, most) for factor in _SHRINK]
    shares = [min(1.0, samples * factor**3 / math.prod(size)) for factor in shrink]
    method.SetMetricSamplingPercentagePerLevel(shares, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-4, numberOfIterations=200, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(list(_SIGMAS_MM))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    return method


def deformation(
    fixed: Volume, moving: Volume, *, iterations: int = 60, smoothing_mm: float = 2.0
) -> NDArray[np.float64]:  # fmt: skip
    """Return where each voxel of ``fixed`` went: (slices, rows, columns, 3), LPS mm to add to its position.

    Symmetric forces diffeomorphic demons (Vercauteren 2009) between images of one contrast that are already
    registered rigidly. Both must be on rectangular grids (``straightened``).
    """
    sitk = simple_itk()

    still, moved = itk_image(fixed), itk_image(moving)
    moved = sitk.Resample(moved, still, sitk.Transform(), sitk.sitkLinear, float(moving.voxels.min()))
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(iterations)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations([max(0.5, smoothing_mm / step) for step in still.GetSpacing()])
    with one_thread():
        return np.asarray(sitk.GetArrayFromImage(demons.Execute(still, moved)), dtype=np.float64)


def matrix_of(transform: Any) -> NDArray[np.float64]:
    """Return a linear SimpleITK transform as (4, 4), its centre worked in."""
    turned = np.asarray(transform.GetMatrix(), dtype=np.float64).reshape(3, 3)
    centre, moved = np.asarray(transform.GetCenter()), np.asarray(transform.GetTranslation())
    matrix = np.eye(4)
    matrix[:3, :3] = turned
    matrix[:3, 3] = moved + centre - turned @ centre
    return matrix


def itk_image(volume: Volume) -> Any:
    """Return a SimpleITK image with the volume's place in the patient; raises TooFewImages for tiny ones."""
    if min(volume.voxels.shape) < _LEAST_VOXELS:
        raise TooFewImages(f"{' x '.join(str(n) for n in volume.voxels.shape)} voxels are too few to register")
    return _with_geometry(volume.voxels, volume.geometry)


def _with_geometry(values: NDArray[Any], geometry: Geometry) -> Any:
    sitk = simple_itk()

    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    matrix = geometry.matrix()
    spacing = np.asarray(geometry.spacing_mm())
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    return image
