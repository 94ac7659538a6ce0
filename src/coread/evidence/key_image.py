"""The one image that the summary page shows, with what the reader marked on it.

A triage reader's page shows a small preview without any mark, labelled as not for diagnosis.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from coread.domain.errors import Refused
from coread.domain.findings import Box, HeatMap, ImageReference, Location, Presence
from coread.domain.images import PlanarImage
from coread.evidence.page import AMBER, BLUE, Style, font
from coread.evidence.writing import Writing
from coread.imaging.planar import load_planar

_HEAT_OPACITY = 0.45
_REGION_OPACITY = 0.4
Scale = tuple[float, float]
PREVIEW_LABEL = "PREVIEW - NOT FOR DIAGNOSIS"


@dataclass(frozen=True, slots=True, eq=False)
class KeyImage:
    """A drawn key image, or the reason why there is none."""

    picture: Image.Image | None
    reference: ImageReference
    caption: str


def key_reference(writing: Writing) -> ImageReference:
    """Choose the image to show: of the first mark of a present finding, else of the largest region, else the first."""
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            for place in (*finding.locations, *finding.heat_maps):
                return place.image
            if finding.images:
                return finding.images[0]
    for region in writing.result.regions:
        planes = region.mask.reshape(len(region.images), -1)
        return region.images[int(planes.sum(axis=1).argmax())]
    for finding in writing.result.findings:
        if finding.images:
            return finding.images[0]
    header = writing.images[0].header
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def key_image(writing: Writing, *, width: int, height: int, marks: bool) -> KeyImage:
    """Draw the key image to fit ``width`` x ``height``, with marks or as an unmarked preview."""
    reference = key_reference(writing)
    source = writing.image(reference)
    try:
        planar = load_planar(source.path, source.header, frame=reference.frame)
    except Refused as problem:
        return KeyImage(None, reference, f"Image cannot be shown: {problem}")
    scale = _scale(planar, width, height)
    rows, columns = planar.pixels.shape
    size = (max(1, round(columns * scale[0])), max(1, round(rows * scale[1])))
    grey = Image.fromarray((np.clip(planar.pixels, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))
    picture = grey.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).convert("RGB")
    if not marks:
        return KeyImage(_labelled(picture), reference, PREVIEW_LABEL.capitalize())
    return KeyImage(_marked(picture, writing, reference, scale), reference, _caption(writing, reference))


def _scale(planar: PlanarImage, width: int, height: int) -> Scale:
    """Return page pixels per column and per row: pixels that are not square are drawn as they are (C.7.6.3.1.7)."""
    between_rows, between_columns = planar.spacing_mm or (1.0, 1.0)
    rows, columns = planar.pixels.shape
    per_mm = min(width / (columns * between_columns), height / (rows * between_rows))
    return between_columns * per_mm, between_rows * per_mm


def _marked(picture: Image.Image, writing: Writing, reference: ImageReference, scale: Scale) -> Image.Image:
    for mask in _masks(writing, reference):
        picture = _tinted(picture, mask.astype(np.float32) * _REGION_OPACITY, BLUE, Image.Resampling.NEAREST)
    for heat in _heat_maps(writing, reference):
        picture = _tinted(picture, heat.values * _HEAT_OPACITY, (255, 96, 32), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for number, (label, location) in enumerate(_marks(writing, reference), start=1):
        _draw(pen, location, scale, f"{number} {label}")
    return picture


def _marks(writing: Writing, reference: ImageReference) -> Iterator[tuple[str, Location]]:
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            for location in finding.locations:
                if location.image == reference:
                    yield finding.concept.meaning, location


def _heat_maps(writing: Writing, reference: ImageReference) -> Iterator[HeatMap]:
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            yield from (heat for heat in finding.heat_maps if heat.image == reference)


def _masks(writing: Writing, reference: ImageReference) -> Iterator[NDArray[np.bool_]]:
    for region in writing.result.regions:
        planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
        for plane, image in zip(planes, region.images, strict=True):
            if image == reference and plane.any():
                yield plane


def _tinted(
    picture: Image.Image, opacity: NDArray[np.float32], colour: tuple[int, int, int], how: Image.Resampling
) -> Image.Image:
    alpha = Image.fromarray((np.clip(opacity, 0.0, 1.0) * 255.0).astype(np.uint8)).resize(picture.size, how)
    return Image.composite(Image.new("RGB", picture.size, colour), picture, alpha)


def _draw(pen: ImageDraw.ImageDraw, location: Location, scale: Scale, label: str) -> None:
    style = Style(16)
    if isinstance(location, Box):
        left, right = round(location.column_min * scale[0]), round(location.column_max * scale[0])
        top, bottom = round(location.row_min * scale[1]), round(location.row_max * scale[1])
        pen.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=5)
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=AMBER, width=3)
    else:
        left, top = round(location.column * scale[0]), round(location.row * scale[1])
        pen.ellipse((left - 9, top - 9, left + 9, top + 9), outline=AMBER, width=3)
        left, top = left + 12, top - 10
    high = style.leading + 4
    flag_top = top - high if top >= high else top
    pen.rectangle((left, flag_top, left + style.width(label) + 12, flag_top + high), fill=AMBER)
    pen.text((left + 6, flag_top + 3), label, font=font(style.size), fill=(20, 14, 4))


def _labelled(picture: Image.Image) -> Image.Image:
    style = Style(16)
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    pen.rectangle((0, height - 34, width, height), fill=(0, 0, 0))
    pen.text(((width - style.width(PREVIEW_LABEL)) // 2, height - 28), PREVIEW_LABEL, font=font(16), fill=AMBER)
    return picture


def _caption(writing: Writing, reference: ImageReference) -> str:
    parts = [f"Key image, {len(writing.images)} image{'s' if len(writing.images) > 1 else ''} read"]
    if any(True for _ in _heat_maps(writing, reference)):
        parts.append("orange shading: where the network looked, an explanation and no measurement")
    if any(True for _ in _masks(writing, reference)):
        parts.append("blue: segmented region")
    return "; ".join(parts)
