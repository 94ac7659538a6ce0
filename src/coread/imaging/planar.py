"""One frame as a reader sees it: the exact pixel path from stored values to display values in [0, 1]."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.geometry import Geometry
from coread.domain.images import PlanarImage, Quantity
from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of, frame_attributes
from coread.imaging.colour import luminance
from coread.imaging.decode import PixelSource, decode_source, open_pixels
from coread.imaging.errors import PixelMeaning, PixelsConstant, PixelsNotFinite
from coread.imaging.geometry import planar_geometry
from coread.imaging.intensity import GreyScale, Window, apply_modality, apply_voi, grey_scale, lookup_table
from coread.imaging.pixel_format import DEFAULT_MAX_PIXELS, PixelFormat

_HOUNSFIELD_MODALITIES = frozenset({"CT"})


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame with the attributes that give it meaning."""

    stored: NDArray[Any]
    """(rows, columns) or (rows, columns, 3) RGB."""
    attributes: Dataset
    layout: PixelFormat
    grey: GreyScale


def load_planar(
    path: Path, header: InstanceHeader, frame: int = 1, *, window: Window | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> PlanarImage:  # fmt: skip
    """Return one frame in display values; ``window`` replaces the object's own VOI.

    Order (PS3.4 N.2): modality LUT or rescale, VOI LUT or window (the full range of the values that are not
    padding when neither is there), then inversion. Colour becomes its luminance and is kept beside it.
    """
    read = read_frame(path, frame, max_pixels=max_pixels)
    spacing, geometry = _placement(read, header)
    valid = padding_mask(read)
    colour = None
    if read.stored.ndim == 3:
        top = np.float32(2**read.layout.bits_stored - 1)
        pixels, colour = luminance(read.stored) / top, np.asarray(read.stored, dtype=np.float32) / top
    else:
        grey = read.grey if window is None else replace(read.grey, window=window, voi_lut=None)
        values = apply_modality(read.stored, grey)
        pixels = apply_voi(values, grey, _full_range(values, valid))
    return PlanarImage(pixels, Quantity.DISPLAY, header, frame, valid, spacing, geometry, colour)


def modality_values(
    path: Path, header: InstanceHeader, frame: int = 1, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> PlanarImage:
    """Return one grey-scale frame in modality values (HU for CT); refuses colour."""
    read = read_frame(path, frame, max_pixels=max_pixels)
    if read.stored.ndim == 3:
        raise PixelMeaning("colour pixels have no modality values")
    spacing, geometry = _placement(read, header)
    pixels = np.asarray(apply_modality(read.stored, read.grey), dtype=np.float32)
    return PlanarImage(pixels, quantity_of(read), header, frame, padding_mask(read), spacing, geometry)


def read_frame(path: Path, frame: int = 1, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Frame:
    """Decode one frame and read what its values mean; palette colour comes out as RGB."""
    source = open_pixels(path)
    stored = decode_source(source, (frame,), max_pixels=max_pixels)[0]
    attributes = frame_attributes(dataset_of(source.raw), frame)
    layout = source.layout
    if layout.photometric == "PALETTE COLOR":
        stored = _palette_rgb(stored, attributes, layout)
        layout = replace(layout, bits_stored=8 * stored.dtype.itemsize)
    if layout.photometric not in ("MONOCHROME1", "MONOCHROME2") and stored.ndim == 2:
        raise PixelMeaning(f"Photometric Interpretation {layout.photometric[:20]!r}")
    if layout.floating and not np.isfinite(stored).all():
        raise PixelsNotFinite("floating point pixels hold NaN or infinity")
    return Frame(stored, attributes, layout, grey_scale(attributes, signed=layout.signed))


def check_varied(image: PlanarImage) -> None:
    """Refuse an image whose pixels, padding aside, are all equal or not finite."""
    pixels = image.pixels if image.valid is None else image.pixels[image.valid]
    if not np.isfinite(pixels).all():
        raise PixelsNotFinite(f"frame {image.frame}")
    if pixels.size == 0 or float(pixels.min()) == float(pixels.max()):
        raise PixelsConstant(f"frame {image.frame}")


def padding_mask(read: Frame) -> NDArray[np.bool_] | None:
    """Return where the pixels are image and not padding (PS3.3 C.7.5.1.1.2); ``None`` when nothing is padding."""
    first = read.attributes.get("PixelPaddingValue")
    if not isinstance(first, int) or read.stored.ndim != 2 or read.layout.floating:
        return None
    limit = read.attributes.get("PixelPaddingRangeLimit")
    low, high = sorted((_as_stored(first, read.layout), _as_stored(limit, read.layout, default=first)))
    padding = (read.stored >= low) & (read.stored <= high)
    return ~padding if padding.any() else None


def quantity_of(read: Frame) -> Quantity:
    """Say what modality values mean: HU when Rescale Type says so, or for CT that does not say otherwise."""
    stated = str(read.attributes.get("RescaleType", "") or "").strip().upper()
    if stated == "HU" or (not stated and read.attributes.get("Modality") in _HOUNSFIELD_MODALITIES):
        return Quantity.HOUNSFIELD
    return Quantity.ARBITRARY


def _as_stored(value: Any, layout: PixelFormat, default: int = 0) -> int:
    """Bring a padding value into the range of stored values: some writers give it as the other signedness."""
    number: int = value if isinstance(value, int) else default
    number &= 2**layout.bits_allocated - 1
    if layout.signed and number >= 2 ** (layout.bits_allocated - 1):
        number -= 2**layout.bits_allocated
    return number


def _full_range(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> tuple[float, float]:
    seen = values if valid is None else values[valid]
    return (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)


def _palette_rgb(stored: NDArray[Any], attributes: Dataset, layout: PixelFormat) -> NDArray[Any]:
    """Replace palette indices by their colours (PS3.3 C.7.6.3.1.5)."""
    planes = []
    for name in ("Red", "Green", "Blue"):
        descriptor = attributes.get(f"{name}PaletteColorLookupTableDescriptor")
        data = attributes.get(f"{name}PaletteColorLookupTableData")
        if descriptor is None or data is None:
            raise PixelMeaning("palette colour without a plain lookup table")
        table = lookup_table(descriptor, data, signed=layout.signed)
        index = np.clip(stored.astype(np.int64) - table.first, 0, len(table.entries) - 1)
        entries = table.entries.astype(np.uint16) if table.bits > 8 else table.entries.astype(np.uint8)
        planes.append(entries[index])
    return np.stack(planes, axis=-1)


def _placement(read: Frame, header: InstanceHeader) -> tuple[tuple[float, float] | None, Geometry | None]:
    return planar_geometry(read.attributes, header, (read.layout.rows, read.layout.columns))


__all__ = [
    "Frame", "PixelSource", "check_varied", "load_planar", "modality_values", "padding_mask", "quantity_of",
    "read_frame",
]  # fmt: skip
