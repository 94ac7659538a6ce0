"""A series, as it was received, into the volumes that are in it: what each is, and why the rest is none.

``open_series`` reads headers only and says how the series is understood; ``load`` reads the pixels of one volume.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.domain.reasons import Reason
from coread.domain.study import InstanceHeader
from coread.imaging.errors import (
    ImageTooLarge,
    ImagingRefused,
    Localizer,
    MissingSlice,
    MixedGeometry,
    NoPixels,
    PixelMeaning,
    TooFewImages,
)
from coread.imaging.geometry import plane_matrix
from coread.imaging.mosaic import is_mosaic, mosaic_slices
from coread.imaging.multiframe import frame_slices
from coread.imaging.slice_pixels import fill
from coread.imaging.slices import Located, Slice, single_slice
from coread.imaging.splitting import Group, Key, plane_name, split_slices
from coread.imaging.stack import Examination, examine, gaps_text, irregularity
from coread.imaging.uneven import Spacing, even_spacing, fill_evenly

MAX_VOXELS = 2**30
"""4 GiB of float32."""
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
_NOT_IMAGES = frozenset({"SEG", "SR", "KO", "PR", "RTSTRUCT", "RTPLAN", "REG", "RWV", "ANN", "DOC"})
ENHANCED = frozenset(f"1.2.840.10008.5.1.4.1.1.{part}" for part in ("2.1", "2.2", "4.1", "4.4", "128.1", "130"))
"""Enhanced and legacy converted enhanced CT, MR and PET (PS3.4 B.5): read by functional groups even with one frame."""
_MANY = 3
TILT_DEGREES = 0.1
"""A stack that leans by more than this is said to be tilted."""


class Gaps(StrEnum):
    """What becomes of a stack whose gaps differ: the caller's choice, recorded in the volume."""

    REFUSE = "refuse"
    RESAMPLE = "resample"
    """Interpolate linearly between the real positions, onto even gaps (``uneven.py``)."""


class Doubles(StrEnum):
    """What becomes of several images at one position that nothing tells apart."""

    REFUSE = "refuse"
    DROP_COPIES = "drop"
    """Keep the first where all pixel values are equal; refuse where they differ."""


@dataclass(frozen=True, slots=True)
class Choices:
    """How strict a series is taken."""

    min_slices: int = 2
    gaps: Gaps = Gaps.REFUSE
    doubles: Doubles = Doubles.REFUSE
    max_voxels: int = MAX_VOXELS
    workers: int = 0
    """Threads that read pixels; 0: the cores of this process, at most 4."""


@dataclass(frozen=True, slots=True)
class SetApart:
    """An image that is part of no volume, with the reason."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class SliceStack:
    """One volume of a series before its pixels are read; ``refusal`` says why it is none."""

    slices: tuple[Slice, ...]
    """In order along the normal; as found where the planes cannot be ordered."""
    key: Key
    examination: Examination | None
    """``None`` where the planes cannot be ordered at all."""
    refusal: Reason | None
    spacing: Spacing | None = None
    """Even positions to interpolate at, where the caller chose so; ``None``: the slices are the grid."""
    notes: tuple[str, ...] = ()

    @property
    def plane(self) -> str:
        """Return axial, coronal, sagittal or an oblique one of them."""
        return plane_name(self.slices[0].image_orientation_patient)

    def shape(self) -> tuple[int, int, int]:
        """Return (slices, rows, columns) of the volume that will be loaded."""
        first = self.slices[0]
        return self.spacing.count if self.spacing else len(self.slices), first.rows, first.columns

    def geometry(self) -> Geometry:
        """Return the grid; raises ImagingRefused where there is none."""
        first, found = self.slices[0], self.examination
        if found is None or first.spacing_mm is None:
            raise MixedGeometry("the images have no common Pixel Spacing, position and orientation")
        if self.spacing:
            step = self.spacing.step
        elif len(self.slices) > 1:
            step = found.stack.step
        else:
            step = found.normal * (first.step_mm or first.thickness_mm or 1.0)
        matrix = plane_matrix(found.stack.positions[0], first.image_orientation_patient, first.spacing_mm, step)
        return Geometry(self.shape(), affine_of(matrix), first.frame_of_reference_uid)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSeries:
    """How a series is understood: its volumes, the largest first, and the images that are in none."""

    stacks: tuple[SliceStack, ...]
    set_apart: tuple[SetApart, ...]
    choices: Choices

    def volumes(self) -> tuple[SliceStack, ...]:
        """Return the stacks that can be loaded."""
        return tuple(stack for stack in self.stacks if stack.refusal is None)


def open_series(instances: Sequence[Located], choices: Choices | None = None) -> OpenedSeries:
    """Read the headers of a series and say which volumes are in it; it never refuses a series as a whole."""
    chosen = choices or Choices()
    slices: list[Slice] = []
    apart: list[SetApart] = []
    for path, header in instances:
        try:
            slices.extend(_slices_of(path, header))
        except ImagingRefused as problem:
            number = header.instance_number
            name = f"instance {number}" if number is not None else f"file {path.name}"
            uids = header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid
            apart.append(SetApart(name, *uids, problem.reason))
    slices, assumed = one_frame_of_reference(slices)
    stacks = [_examined(group, chosen, assumed) for group in split_slices(slices)] if slices else []
    return OpenedSeries(tuple(stacks), tuple(apart), chosen)


def load(stack: SliceStack, choices: Choices | None = None) -> Volume:
    """Read the pixels of one stack; raises the ImagingRefused that its ``refusal`` names, or one of the pixels'."""
    chosen = choices or Choices()
    if stack.refusal is not None:
        raise refused(stack.refusal)
    geometry = stack.geometry()
    if int(np.prod(geometry.shape)) > chosen.max_voxels:
        size = " x ".join(str(extent) for extent in geometry.shape)
        raise ImageTooLarge(f"{size} voxels, the limit is {chosen.max_voxels}")
    voxels = np.empty(geometry.shape, dtype=np.float32)
    if stack.spacing is None:
        fill(voxels, stack.slices, workers=chosen.workers)
        sources = stack.slices
    else:
        fill_evenly(voxels, stack.slices, stack.spacing)
        sources = tuple(stack.slices[k] for k in stack.spacing.nearest())
    first = stack.slices[0]
    same_object = len({item.header.sop_instance_uid for item in sources}) == 1
    headers = (first.header,) if same_object else tuple(item.header for item in sources)
    return Volume(
        voxels, first.quantity, geometry, headers, frames=tuple(item.frame for item in sources), unit=first.unit,
        key=stack.key, changes=stack.notes,
    )  # fmt: skip


def refused(reason: Reason) -> ImagingRefused:
    """Return the exception that carries a reason."""
    kinds = {kind.code: kind for kind in _all_kinds(ImagingRefused)}
    problem = kinds.get(reason.code, ImagingRefused)(reason.detail)
    problem.reason = reason
    return problem


def _all_kinds(kind: type[ImagingRefused]) -> list[type[ImagingRefused]]:
    below = kind.__subclasses__()
    return [*below, *(deeper for one in below for deeper in _all_kinds(one) if deeper.code is not one.code)]


def _slices_of(path: Path, header: InstanceHeader) -> list[Slice]:
    if not header.rows or not header.columns:
        raise NoPixels("the object has no matrix")
    if header.modality in _NOT_IMAGES:
        raise PixelMeaning(f"{header.modality} describes other images")
    if not _LOCALIZERS.isdisjoint(header.image_type):
        raise Localizer(f"Image Type {chr(92).join(header.image_type)}")
    if (header.number_of_frames or 1) > 1 or header.sop_class_uid in ENHANCED:
        found = frame_slices(path, header)
    elif is_mosaic(header):
        found = mosaic_slices(path, header)
    else:
        found = [single_slice(path, header)]
    first = found[0]
    if first.layout.samples != 1 or first.layout.photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise PixelMeaning(f"{first.layout.photometric or 'colour'} pixels have no modality values")
    if not first.image_position_patient or not first.image_orientation_patient:
        raise MixedGeometry("no Image Position (Patient) or no Image Orientation (Patient)")
    return found


def one_frame_of_reference(slices: list[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Take images that have a Frame of Reference UID each as being in one, and say so.

    Images of a series share one (PS3.3 A.1.2.3); a UID that never comes twice is the work of a de-identification that
    replaced it image by image. A UID that some images share is respected.
    """
    uids = {item.frame_of_reference_uid for item in slices}
    if len(uids) < _MANY or len(uids) < len({item.header.sop_instance_uid for item in slices}):
        return slices, ()
    first = slices[0].frame_of_reference_uid
    note = f"each of {len(uids)} images has a Frame of Reference UID of its own: taken as one"
    return [replace(item, frame_of_reference_uid=first) for item in slices], (note,)


def _examined(group: Group, chosen: Choices, assumed: tuple[str, ...]) -> SliceStack:
    slices = group.slices
    try:
        found = examine(slices)
    except ImagingRefused as problem:
        return SliceStack(slices, group.key, None, problem.reason)
    notes = list(assumed)
    if found.doubles and chosen.doubles is Doubles.DROP_COPIES:
        kept = without_copies(slices, found)
        if len(kept) < len(slices):
            left_out = [item.name() for item in slices if item not in kept]
            notes.append(f"left out as copies of others: {', '.join(left_out)}")
            slices, found = kept, examine(kept)
    ordered = tuple(slices[i] for i in found.stack.order)
    found = examine(ordered)
    reason, spacing = _judged(ordered, found, chosen)
    if spacing is not None:
        notes.append(_resampling_note(len(ordered), found, spacing))
    if len(ordered) == 1 and reason is None and not (ordered[0].step_mm or ordered[0].thickness_mm):
        notes.append("neither thickness nor spacing of the single slice is stated: taken as 1 mm")
    return SliceStack(ordered, group.key, found, reason, spacing, tuple(notes))


def _judged(
    slices: tuple[Slice, ...], found: Examination, chosen: Choices
) -> tuple[Reason | None, Spacing | None]:  # fmt: skip
    """Return why the slices are no volume, and the even positions where the caller lets uneven ones be resampled."""
    if len(slices) < chosen.min_slices:
        return TooFewImages(f"{len(slices)} of at least {chosen.min_slices}").reason, None
    if slices[0].spacing_mm is None:
        return MixedGeometry("the slices have no common Pixel Spacing").reason, None
    problem = irregularity(found, slices)
    if problem is None:
        return None, None
    if isinstance(problem, MissingSlice) and chosen.gaps is Gaps.RESAMPLE:
        spacing = even_spacing(found)
        return (problem.reason, None) if spacing is None else (None, spacing)
    return problem.reason, None


def _resampling_note(count: int, found: Examination, spacing: Spacing) -> str:
    step = float(np.linalg.norm(spacing.step))
    return (
        f"interpolated linearly from {count} uneven positions ({gaps_text(found.gaps_mm)}) to {spacing.count} "
        f"slices every {step:.3f} mm"
    )


def without_copies(slices: tuple[Slice, ...], found: Examination) -> tuple[Slice, ...]:
    """Leave out every slice whose pixel values equal those of an earlier one at its position."""
    dropped: set[int] = set()
    for a, b in found.doubles:
        first, second = (a, b) if _instance(slices[a]) <= _instance(slices[b]) else (b, a)
        pair = np.empty((2, slices[a].rows, slices[a].columns), dtype=np.float32)
        fill(pair, [slices[first], slices[second]], workers=1)
        if np.array_equal(pair[0], pair[1]):
            dropped.add(second)
    return tuple(item for k, item in enumerate(slices) if k not in dropped)


def _instance(item: Slice) -> tuple[int, str]:
    return item.instance_number or 0, item.header.sop_instance_uid


__all__ = [
    "MAX_VOXELS", "Choices", "Doubles", "Gaps", "OpenedSeries", "SetApart", "SliceStack", "load",
    "open_series", "refused",
]  # fmt: skip
