"""The source slices in colour with the outlines of the regions burnt in, for viewers that show no segmentations.

One Multi-frame True Color Secondary Capture (PS3.3 A.8.5) for each series with regions, on the grid of its source: the
same pixels, planes and frame of reference. Made only for destinations that ask for it, and never for a triage reader,
whose results put no mark on diagnostic images (21 CFR 892.2080).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from coread.domain.errors import Refused
from coread.domain.findings import ImageReference, Region
from coread.domain.work import EvidenceKind
from coread.evidence.key_image import draw_outlines
from coread.evidence.overlay_frames import add_frame_groups
from coread.evidence.page import OUTLINES, font
from coread.evidence.seg import patient_orientation
from coread.evidence.seg_grid import Sheet, sheets_of
from coread.evidence.sources import SourceImage
from coread.evidence.sr import shows_marks
from coread.evidence.summary import add_body_part
from coread.evidence.writing import RESEARCH_USE, Writing, stamp
from coread.imaging.planar import load_planar

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7.4"
MOST_FRAMES = 200
MOST_BYTES = 256 * 1024 * 1024
"""Of pixels in one object: beyond it, and beyond ``MOST_FRAMES``, slices are left out evenly, and this is said."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlays:
    """The objects, and what had to be left out."""

    datasets: tuple[Dataset, ...]
    notes: tuple[str, ...]


def build_overlays(writing: Writing) -> Overlays:
    """Draw the slices that regions lie on; nothing for a triage reader and for a result without regions."""
    if not shows_marks(writing) or not writing.result.regions:
        return Overlays((), ())
    datasets: list[Dataset] = []
    notes: list[str] = []
    for sheet in sheets_of(writing, writing.result.regions):
        images = _with_regions(sheet)
        chosen = _within_limits(writing, images)
        try:
            pixels = np.stack([drawn_slice(writing, sheet.regions, image) for image in chosen])
        except (Refused, ValueError) as problem:
            notes.append(f"No images with outlines of {sheet.regions[0].label!r}: {problem}")
            continue
        said = "" if len(chosen) == len(images) else f"{len(chosen)} of {len(images)} slices with outlines"
        datasets.append(_overlay(writing, chosen, pixels, index=len(datasets) + 1, left_out=said))
    return Overlays(tuple(datasets), tuple(notes))


def _with_regions(sheet: Sheet) -> list[ImageReference]:
    """Return the images that any region lies on, in the order of the sheet."""
    marked = {
        image
        for region in sheet.regions
        for image, plane in zip(region.images, region.mask.reshape(len(region.images), -1), strict=True)
        if plane.any()
    }
    return [image for image in sheet.images if image in marked]


def _within_limits(writing: Writing, images: Sequence[ImageReference]) -> list[ImageReference]:
    if not images:
        return []
    header = writing.image(images[0]).header
    frame = 3 * (header.rows or 1) * (header.columns or 1)
    most = max(1, min(MOST_FRAMES, MOST_BYTES // frame))
    if len(images) <= most:
        return list(images)
    return [images[int(at)] for at in np.unique(np.linspace(0, len(images) - 1, most).round())]


def drawn_slice(writing: Writing, regions: Sequence[Region], image: ImageReference) -> NDArray[np.uint8]:
    """Return (rows, columns, 3) display pixels of one source frame with outlines and the research notice on it."""
    source = writing.image(image)
    planar = load_planar(source.path, source.header, frame=image.frame)
    grey = (np.clip(np.nan_to_num(planar.pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    picture = Image.fromarray(np.repeat(grey[..., np.newaxis], 3, axis=-1))
    numbers = {region.tracking.uid: number for number, region in enumerate(writing.result.regions)}
    pen = ImageDraw.Draw(picture)
    for region in regions:
        for plane, other in zip(_planes(region), region.images, strict=True):
            if other == image and plane.any():
                colour = OUTLINES[numbers[region.tracking.uid] % len(OUTLINES)]
                draw_outlines(pen, plane, (1.0, 1.0), colour, width=1 + max(picture.size) // 1200)
    _burn_in(picture)
    return np.asarray(picture, dtype=np.uint8)


def _planes(region: Region) -> NDArray[np.bool_]:
    return region.mask.reshape(len(region.images), *region.mask.shape[-2:])


def _burn_in(picture: Image.Image) -> None:
    """Write the notice along the lower edge, as large as the picture allows."""
    text = "RESEARCH USE - AI OUTLINES"
    size = max(6, round(picture.size[0] / 28))
    while size > 6 and font(size).getlength(text) > picture.size[0] - 4:
        size -= 1
    pen = ImageDraw.Draw(picture)
    at = (max(0, (picture.size[0] - round(font(size).getlength(text))) // 2), picture.size[1] - round(size * 1.4))
    pen.text(at, text, font=font(size), fill=(255, 179, 64), stroke_width=1, stroke_fill=(0, 0, 0))


def _overlay(
    writing: Writing, images: Sequence[ImageReference], pixels: NDArray[np.uint8], *, index: int, left_out: str
) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = SOP_CLASS_UID
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"
    said = f"Copies of source images with outlines of an AI reading. {left_out}".strip()
    dataset.DerivationDescription = f"{said}. {RESEARCH_USE}".replace("..", ".")
    dataset.DateOfSecondaryCapture = writing.at().strftime("%Y%m%d")
    dataset.TimeOfSecondaryCapture = writing.at().strftime("%H%M%S")
    dataset.SecondaryCaptureDeviceManufacturer = "Coread"
    first = writing.image(images[0])
    add_body_part(dataset, first.header)
    dataset.PatientOrientation = patient_orientation(first)
    _add_pixels(dataset, pixels)
    stamp(dataset, writing, EvidenceKind.OVERLAY, what="outlines on images", index=index)
    dataset.SeriesInstanceUID = writing.series_uid(EvidenceKind.OVERLAY, index)
    dataset.ImageComments = RESEARCH_USE
    sources = [(writing.image(image), image.frame) for image in images]
    add_frame_groups(dataset, sources, writing.uid("overlay dimensions", str(index)))
    _add_lossy(dataset, sources)
    return dataset


def _add_pixels(dataset: Dataset, pixels: NDArray[np.uint8]) -> None:
    frames, dataset.Rows, dataset.Columns, _ = pixels.shape
    dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)


def _add_lossy(dataset: Dataset, sources: Sequence[tuple[SourceImage, int]]) -> None:
    """A copy of a lossy image is lossy (PS3.3 C.7.6.1.1.5)."""
    for source, _ in sources:
        if str(source.elements.get("LossyImageCompression", "")) == "01":
            for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                if keyword in source.elements:
                    dataset[keyword] = source.elements[keyword]
            return
