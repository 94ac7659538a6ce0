"""The reader's regions against the masks of the truth, measured while the case is at hand: masks are not kept."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import Region
from coread.domain.results import ReadResult
from coread.validate.cohort import Case, Cohort, MaskSpec
from coread.validate.errors import BadCohort
from coread.validate.records import MaskRecord
from coread.validate.sources import Reference, Sources, mask_of
from coread.validate.wrapping import WrappedCase

Mask = NDArray[np.bool_]
WHOLE = "all"
"""Name of the comparison of all regions of an answer together."""


def measured_masks(result: ReadResult, cohort: Cohort, wrapped: WrappedCase, sources: Sources) -> dict[str, MaskRecord]:
    """Compare every mask of the case with the regions of that label (all of them where no label is given)."""
    measured = {}
    for name, reference in wrapped.case.masks.items():
        spec = cohort.masks.get(name)
        truth = truth_mask(reference, sources, spec.value if spec is not None else None)
        regions = regions_named(result.regions, name, spec)
        spacing = _spacing(regions or result.regions, wrapped, truth.ndim)
        measured[name or WHOLE] = compare_masks(joined_regions(regions, truth, wrapped.case), truth, spacing)
    return measured


def compare_masks(found: Mask, truth: Mask, spacing_mm: tuple[float, ...] | None) -> MaskRecord:
    """Return overlap, distances and volumes; in mm and ml, or pixels where the spacing is not known."""
    from coread.statistics.errors import NotEstimable
    from coread.statistics.overlap import dice, surface_distances

    spacing = spacing_mm or (1.0,) * truth.ndim
    cell = float(np.prod(spacing))
    unit = "pixel" if spacing_mm is None else "ml" if truth.ndim == 3 else "mm2"
    scale = cell / 1000 if unit == "ml" else cell
    far: float | None = None
    mean: float | None = None
    try:
        distances = surface_distances(truth, found, spacing)
        far, mean = distances.hausdorff95_mm, distances.mean_mm
    except NotEstimable:
        pass  # one of them is empty: there is no surface to measure to
    return MaskRecord(
        dice=dice(truth, found),
        hausdorff95=far,
        surface_distance=mean,
        volume=round(float(found.sum()) * scale, 6),
        volume_truth=round(float(truth.sum()) * scale, 6),
        unit=unit,
    )


def slug(text: str) -> str:
    """Return a name in lower case with single underscores, for comparing names that people wrote."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def truth_mask(reference: Reference, sources: Sources, value: int | None) -> Mask:
    """Return the mask of the truth, bool."""
    if not reference.is_array:
        return mask_of(sources.read(reference), value)
    array = sources.array(reference)
    return np.asarray(array == value if value is not None else array > 0)


def regions_named(regions: Sequence[Region], name: str, spec: MaskSpec | None) -> list[Region]:
    """Return the regions that a mask of the truth is compared with: those of its label, or all without one."""
    label = spec.region if spec is not None and spec.region else name
    return [region for region in regions if not label or slug(region.label) == slug(label)]


def joined_regions(regions: Sequence[Region], truth: Mask, case: Case) -> Mask:
    """Return the union of regions on the grid of the truth; raises BadCohort where they lie on another grid."""
    joined = np.zeros(truth.shape, dtype=np.bool_)
    for region in regions:
        if region.mask.size != truth.size or region.mask.shape[-2:] != truth.shape[-2:]:
            raise BadCohort(
                f"case {case.case_id!r}: the mask of the truth is {truth.shape}, the reader's region "
                f"{region.mask.shape}. Give masks on the grid of their picture."
            )
        joined |= region.mask.reshape(truth.shape)
    return joined


def _spacing(regions: Sequence[Region], wrapped: WrappedCase, dimensions: int) -> tuple[float, ...] | None:
    """Return mm along each axis: from the region's geometry, else (one picture) from its header."""
    for region in regions:
        if region.geometry is not None:
            return region.geometry.spacing_mm()[-dimensions:]
    return _picture_spacing(wrapped) if dimensions == 2 else None


def _picture_spacing(wrapped: WrappedCase) -> tuple[float, ...] | None:
    from coread.imaging.attributes import dataset_of
    from coread.imaging.decode import open_pixels
    from coread.imaging.geometry import planar_geometry

    path, header = wrapped.sources[0]
    source = open_pixels(path)
    return planar_geometry(dataset_of(source.raw), header, (source.layout.rows, source.layout.columns))[0]
