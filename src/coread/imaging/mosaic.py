"""Siemens mosaics: one image whose tiles are the slices of a volume, placed where the private header decides it.

The number of tiles is (0019,100A) NumberOfImagesInMosaic or the CSA header's; the direction from tile to tile is the
CSA header's SliceNormalVector. Without them the tiles cannot be placed and the object is refused.
"""

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of
from coread.imaging.decode import open_pixels
from coread.imaging.errors import MixedGeometry
from coread.imaging.geometry import Vector, plane_axes
from coread.imaging.slices import Slice, Tile, single_slice

MOSAIC = "MOSAIC"
_COUNT_CREATOR, _CSA_CREATOR = "SIEMENS MR HEADER", "SIEMENS CSA HEADER"
_MAX_TAGS, _MAX_ITEMS = 1000, 1000
_STRAIGHT = 0.99


def is_mosaic(header: InstanceHeader) -> bool:
    """Whether Image Type says that the image is a mosaic."""
    return MOSAIC in header.image_type


def mosaic_slices(path: Path, header: InstanceHeader) -> list[Slice]:
    """Return the tiles as slices, in their order; raises MixedGeometry where they cannot be placed."""
    whole = single_slice(path, header)
    dataset = dataset_of(open_pixels(path).raw)
    csa = csa_fields(_private(dataset, 0x0029, _CSA_CREATOR, 0x10))
    count = _count(dataset, csa)
    normal = _normal(csa)
    if whole.spacing_mm is None or not whole.image_position_patient or not whole.image_orientation_patient:
        raise MixedGeometry("a mosaic without position, orientation or Pixel Spacing")
    if whole.step_mm is None:
        raise MixedGeometry("a mosaic that does not state Spacing Between Slices")
    per_side = math.ceil(math.sqrt(count))
    rows, columns = whole.rows // per_side, whole.columns // per_side
    if rows * per_side != whole.rows or columns * per_side != whole.columns:
        raise MixedGeometry(f"{count} tiles do not divide a mosaic of {whole.rows} x {whole.columns}")
    along_row, along_column, cross = plane_axes(whole.image_orientation_patient)
    if abs(float(cross @ normal)) < _STRAIGHT:
        raise MixedGeometry("the slice normal of the private header is not perpendicular to the planes")
    step = cross * math.copysign(whole.step_mm, float(cross @ normal))
    # Image Position is that of the first pixel of the mosaic as if it were one large slice about the same centre.
    corner = (
        np.asarray(whole.image_position_patient)
        + along_row * whole.spacing_mm[1] * (whole.columns - columns) / 2
        + along_column * whole.spacing_mm[0] * (whole.rows - rows) / 2
    )
    return [
        replace(
            whole, rows=rows, columns=columns, tile=Tile(tile // per_side * rows, tile % per_side * columns),
            image_position_patient=tuple(float(part) for part in corner + tile * step),
        )
        for tile in range(count)
    ]  # fmt: skip


def _count(dataset: Dataset, csa: dict[str, list[str]]) -> int:
    value = _private(dataset, 0x0019, _COUNT_CREATOR, 0x0A)
    text = csa.get("NumberOfImagesInMosaic", [""])[:1]
    if isinstance(value, bytes) and len(value) == 2:
        count = int.from_bytes(value, "little")
    elif isinstance(value, int):
        count = value
    else:
        count = int(text[0]) if text and text[0].isdigit() else 0
    if count < 1:
        raise MixedGeometry("a mosaic that does not state how many slices it holds")
    return count


def _normal(csa: dict[str, list[str]]) -> Vector:
    try:
        normal = np.array([float(part) for part in csa.get("SliceNormalVector", [])[:3]])
    except ValueError:
        normal = np.empty(0)
    if normal.size != 3 or not 0.99 < float(np.linalg.norm(normal)) < 1.01:
        raise MixedGeometry("a mosaic whose private header (SliceNormalVector) is missing: the order is undecidable")
    return normal


def _private(dataset: Dataset, group: int, creator: str, element: int) -> object:
    """Return the value of a private element, whichever block its creator reserved (PS3.5 section 7.8.1)."""
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        return None


def csa_fields(data: object) -> dict[str, list[str]]:
    """Return the fields of a CSA header (SV10 or the older form) as lists of text; empty where it is none.

    Layout: https://nipy.org/nibabel/dicom/siemens_csa.html
    """
    if not isinstance(data, bytes) or len(data) < 16:
        return {}
    modern = data.startswith(b"SV10")
    position = 8 if modern else 0
    found: dict[str, list[str]] = {}
    try:
        (tags,) = struct.unpack_from("<I", data, position)
        position += 8
        surplus: int | None = None
        for _ in range(min(tags, _MAX_TAGS)):
            head = _CsaTag.read(data, position)
            # The older form states each length with the number of items of the first field added to it.
            surplus = head.items if surplus is None else surplus
            position, found[head.name] = _csa_values(data, position + 84, head.items, None if modern else surplus)
    except struct.error:
        return {}
    return found


@dataclass(frozen=True, slots=True)
class _CsaTag:
    name: str
    items: int

    @classmethod
    def read(cls, data: bytes, position: int) -> "_CsaTag":
        name, _, _, _, items, _ = struct.unpack_from("<64si4siii", data, position)
        return cls(name.split(b"\0", 1)[0].decode("latin-1"), min(items, _MAX_ITEMS))


def _csa_values(data: bytes, position: int, items: int, surplus: int | None) -> tuple[int, list[str]]:
    values = []
    for _ in range(items):
        x0, x1, _, _ = struct.unpack_from("<4i", data, position)
        position += 16
        length = x1 if surplus is None else x0 - surplus
        if not 0 <= length <= len(data) - position:
            if surplus is None:
                raise struct.error("an item is longer than the header")
            break
        values.append(data[position : position + length].split(b"\0", 1)[0].decode("latin-1").strip())
        position += -(-length // 4) * 4
    return position, [value for value in values if value]
