"""A series of slices, or one multi-frame object, as a volume on an exact LPS grid; refused where it is no grid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of, frame_attributes
from coread.imaging.decode import PixelSource, decode_source, open_pixels
from coread.imaging.errors import ImageTooLarge, MixedGeometry, PixelMeaning, TooFewImages
from coread.imaging.geometry import numbers, pair, plane_matrix
from coread.imaging.intensity import apply_modality, grey_scale
from coread.imaging.pixel_format import DEFAULT_MAX_PIXELS
from coread.imaging.planar import modality_values
from coread.imaging.stack import stack_of

Located = tuple[Path, InstanceHeader]


def load_volume(instances: Sequence[Located], *, min_slices: int = 2, max_pixels: int = DEFAULT_MAX_PIXELS) -> Volume:
    """Return voxels in modality values (HU for CT), slices ordered along the normal of the planes.

    A tilted gantry is allowed: the slice axis is then not perpendicular to the planes. One multi-frame object
    is a volume too, with its frames sorted by position.
    """
    if not instances:
        raise TooFewImages("no images")
    if len(instances) == 1 and (instances[0][1].number_of_frames or 1) > 1:
        return _multi_frame_volume(*instances[0], min_slices=min_slices, max_pixels=max_pixels)
    headers = [header for _, header in instances]
    stack = stack_of(headers, min_slices=min_slices)
    rows, columns = headers[0].rows or 0, headers[0].columns or 0
    _check_total(len(instances), rows, columns, max_pixels)
    voxels = np.empty((len(instances), rows, columns), dtype=np.float32)
    spacing: tuple[float, float] | None = None
    quantities = set()
    for k, index in enumerate(stack.order):
        image = modality_values(*instances[index], max_pixels=max_pixels)
        if image.spacing_mm is None or (spacing is not None and not np.allclose(spacing, image.spacing_mm, atol=1e-4)):
            raise MixedGeometry("the slices have no common Pixel Spacing")
        spacing = image.spacing_mm
        quantities.add(image.quantity)
        voxels[k] = image.pixels
    orientation = headers[0].image_orientation_patient
    matrix = plane_matrix(stack.positions[0], orientation, spacing or (1.0, 1.0), stack.step)
    geometry = Geometry(voxels.shape, affine_of(matrix), headers[0].frame_of_reference_uid)
    return Volume(voxels, _one_quantity(quantities), geometry, tuple(headers[i] for i in stack.order))


def _one_quantity(quantities: set[Quantity]) -> Quantity:
    if len(quantities) != 1:
        raise PixelMeaning("the slices have different units")
    return next(iter(quantities))


def _check_total(slices: int, rows: int, columns: int, max_pixels: int) -> None:
    if slices * rows * columns > max_pixels:
        raise ImageTooLarge(f"{slices} x {rows} x {columns} voxels, the limit is {max_pixels}")


def _multi_frame_volume(path: Path, header: InstanceHeader, *, min_slices: int, max_pixels: int) -> Volume:
    source = open_pixels(path)
    dataset = dataset_of(source.raw)
    frames = source.layout.frames
    _check_total(frames, source.layout.rows, source.layout.columns, max_pixels)
    flat = [frame_attributes(dataset, frame) for frame in range(1, frames + 1)]
    planes = [_plane_header(header, attributes, frame) for frame, attributes in enumerate(flat, start=1)]
    stack = stack_of(planes, min_slices=min_slices)
    spacing = pair(flat[0].get("PixelSpacing"))
    if spacing is None:
        raise MixedGeometry("the frames have no Pixel Spacing")
    voxels = _frames_in_order(source, flat, stack.order, max_pixels)
    matrix = plane_matrix(stack.positions[0], planes[0].image_orientation_patient, spacing, stack.step)
    geometry = Geometry(voxels.shape, affine_of(matrix), header.frame_of_reference_uid)
    quantity = Quantity.HOUNSFIELD if header.modality == "CT" else Quantity.ARBITRARY
    return Volume(voxels, quantity, geometry, (header,))


def _plane_header(header: InstanceHeader, attributes: Dataset, frame: int) -> InstanceHeader:
    return replace(
        header,
        instance_number=frame,
        image_position_patient=numbers(attributes.get("ImagePositionPatient"), 3),
        image_orientation_patient=numbers(attributes.get("ImageOrientationPatient"), 6),
    )


def _frames_in_order(
    source: PixelSource, flat: Sequence[Dataset], order: Sequence[int], max_pixels: int
) -> NDArray[np.float32]:
    layout = source.layout
    if layout.samples != 1:
        raise PixelMeaning("colour frames are not a volume")
    voxels = np.empty((len(order), layout.rows, layout.columns), dtype=np.float32)
    for k, index in enumerate(order):
        stored = decode_source(source, (index + 1,), max_pixels=max_pixels)[0]
        voxels[k] = apply_modality(stored, grey_scale(flat[index], signed=layout.signed))
    return voxels
