"""The one image that the summary page shows, with what the reader marked on it.

A triage reader's page shows a small preview without any mark, labelled as not for diagnosis.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from coread.domain.errors import Refused
from coread.domain.findings import Box, Finding, HeatMap, ImageReference, Location, Presence, Region
from coread.domain.images import PlanarImage
from coread.evidence.page import AMBER, OUTLINES, TEXT, Style, font
from coread.evidence.writing import Writing
from coread.imaging.outlines import outlines_of
from coread.imaging.planar import load_planar

_HEAT_OPACITY = 0.42
_REGION_OPACITY = 0.22
HEAT = (255, 96, 32)
Scale = tuple[float, float]
Rectangle = tuple[int, int, int, int]
PREVIEW_LABEL = "PREVIEW - NOT FOR DIAGNOSIS"


@dataclass(frozen=True, slots=True, eq=False)
class KeyImage:
    """A drawn key image, or the reason why there is none."""

    picture: Image.Image | None
    reference: ImageReference
    caption: str


def key_reference(writing: Writing) -> ImageReference:
    """Choose the image to show: of the first mark of a present finding, else through the largest region, else any."""
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            for place in (*finding.locations, *finding.heat_maps):
                return place.image
            if finding.images and not writing.result.regions:
                return finding.images[0]
    largest = max(writing.result.regions, key=lambda region: int(region.mask.sum()), default=None)
    if largest is not None:
        planes = largest.mask.reshape(len(largest.images), -1)
        return largest.images[int(planes.sum(axis=1).argmax())]
    for finding in writing.result.findings:
        if finding.images:
            return finding.images[0]
    header = (writing.pictured or writing.images)[0].header
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def key_image(writing: Writing, *, width: int, height: int, marks: bool) -> KeyImage:
    """Draw the key image to fit ``width`` x ``height``, with marks or as an unmarked preview."""
    reference = key_reference(writing)
    source = writing.image(reference)
    if source in writing.derived:
        return KeyImage(None, reference, "Computed images stand in a series of their own")
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
    marked = _marked(picture, writing, reference, scale)
    if planar.geometry is not None and planar.spacing_mm is not None:
        _draw_scale(marked, scale[0] / planar.spacing_mm[1])
    return KeyImage(marked, reference, _caption(writing, reference))


def _scale(planar: PlanarImage, width: int, height: int) -> Scale:
    """Return page pixels per column and per row: pixels that are not square are drawn as they are (C.7.6.3.1.7)."""
    between_rows, between_columns = planar.spacing_mm or (1.0, 1.0)
    rows, columns = planar.pixels.shape
    per_mm = min(width / (columns * between_columns), height / (rows * between_rows))
    return between_columns * per_mm, between_rows * per_mm


def _marked(picture: Image.Image, writing: Writing, reference: ImageReference, scale: Scale) -> Image.Image:
    for number, _, mask in masks_on(writing, reference):
        colour = OUTLINES[number % len(OUTLINES)]
        picture = _tinted(picture, mask.astype(np.float32) * _REGION_OPACITY, colour, Image.Resampling.NEAREST)
        draw_outlines(ImageDraw.Draw(picture), mask, scale, colour)
    heat_maps = [_on_page(heat.values, picture.size) for heat in _heat_maps(writing, reference)]
    if heat_maps:
        # The brightest counts where several overlap: adding them up would hide the image.
        picture = _tinted(picture, np.maximum.reduce(heat_maps) * _HEAT_OPACITY, HEAT, Image.Resampling.NEAREST)
    marks = list(_marks(writing, reference))
    pen = ImageDraw.Draw(picture)
    for _, location in marks:
        _draw(pen, location, scale)
    flags: list[Rectangle] = []
    for number, (label, location) in enumerate(marks, start=1):
        flags.append(_draw_flag(pen, _corner(location, scale), f"{number}  {label}", flags))
    return picture


def _on_page(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    grey = Image.fromarray((np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8))
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / 255.0


def finding_name(writing: Writing, finding: Finding) -> str:
    """Return the name that the reader's card gives to a finding, in the words of its users."""
    names = {output.key: output.name for output in writing.card.outputs}
    return names.get(finding.key, finding.concept.meaning)


def _marks(writing: Writing, reference: ImageReference) -> Iterator[tuple[str, Location]]:
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            for location in finding.locations:
                if location.image == reference:
                    yield finding_name(writing, finding), location


def _heat_maps(writing: Writing, reference: ImageReference) -> Iterator[HeatMap]:
    for finding in writing.result.findings:
        if finding.presence is Presence.PRESENT:
            yield from (heat for heat in finding.heat_maps if heat.image == reference)


def masks_on(writing: Writing, reference: ImageReference) -> Iterator[tuple[int, Region, NDArray[np.bool_]]]:
    """Yield number (from 0), region and mask of what lies on an image."""
    for number, region in enumerate(writing.result.regions):
        planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
        for plane, image in zip(planes, region.images, strict=True):
            if image == reference and plane.any():
                yield number, region, plane


def draw_outlines(
    pen: ImageDraw.ImageDraw, mask: NDArray[np.bool_], scale: Scale, colour: tuple[int, int, int], width: int = 2
) -> None:
    """Draw the outlines of a mask on a picture that is ``scale`` times as large."""
    for polygon in outlines_of(mask):
        points = [(column * scale[0], row * scale[1]) for column, row in polygon.tolist()]
        pen.line([*points, points[0]], fill=colour, width=width)


def _tinted(
    picture: Image.Image, opacity: NDArray[np.float32], colour: tuple[int, int, int], how: Image.Resampling
) -> Image.Image:
    alpha = Image.fromarray((np.clip(opacity, 0.0, 1.0) * 255.0).astype(np.uint8)).resize(picture.size, how)
    return Image.composite(Image.new("RGB", picture.size, colour), picture, alpha)


def _draw(pen: ImageDraw.ImageDraw, location: Location, scale: Scale) -> None:
    if isinstance(location, Box):
        left, right = round(location.column_min * scale[0]), round(location.column_max * scale[0])
        top, bottom = round(location.row_min * scale[1]), round(location.row_max * scale[1])
        pen.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=5)
        pen.rectangle((left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1)), outline=AMBER, width=3)
    else:
        column, row = _corner(location, scale)
        pen.ellipse((column - 9, row - 9, column + 9, row + 9), outline=AMBER, width=3)


def _corner(location: Location, scale: Scale) -> tuple[int, int]:
    """Return the page position where a mark's flag is tied: top left of a box, or the point."""
    at = (location.column_min, location.row_min) if isinstance(location, Box) else (location.column, location.row)
    return round(at[0] * scale[0]), round(at[1] * scale[1])


def _draw_flag(pen: ImageDraw.ImageDraw, corner: tuple[int, int], label: str, others: Sequence[Rectangle]) -> Rectangle:
    """Draw a mark's label above its corner, or inside the picture and clear of the labels drawn before."""
    style = Style(16)
    width, height = style.width(label) + 12, style.leading + 4
    room = pen.im.size[0] - width
    left, top = max(0, min(corner[0], room)), max(0, corner[1] - height)
    for _ in others:
        for other in others:
            if left < other[2] and other[0] < left + width and top < other[3] and other[1] < top + height:
                top = other[3] + 2
    pen.rectangle((left, top, left + width, top + height), fill=AMBER)
    pen.text((left + 6, top + 3), label, font=font(style.size), fill=(20, 14, 4))
    return left, top, left + width, top + height


def _draw_scale(picture: Image.Image, per_mm: float) -> None:
    """Draw a bar of a round length; only where the size in the patient is known, never on a projection."""
    pen, (width, height) = ImageDraw.Draw(picture), picture.size
    length = next((mm for mm in (100, 50, 20, 10, 5, 2, 1) if mm * per_mm <= width * 0.4), 0)
    if not length:
        return
    right, bottom = width - 14, height - 14
    left = right - round(length * per_mm)
    for colour, thick in (((0, 0, 0), 5), (TEXT, 2)):
        pen.line((left, bottom, right, bottom), fill=colour, width=thick)
        for end in (left, right):
            pen.line((end, bottom - 6, end, bottom + 6), fill=colour, width=thick)
    style = Style(15)
    text = f"{length} mm"
    at = ((left + right - style.width(text)) // 2, bottom - 26)
    pen.text(at, text, font=font(style.size), fill=TEXT, stroke_width=2, stroke_fill=(0, 0, 0))


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
    labels = list(dict.fromkeys(region.label for _, region, _ in masks_on(writing, reference)))
    if labels:
        more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
        parts.append(f"outlined: {', '.join(labels[:5])}{more}")
    return "; ".join(parts)
