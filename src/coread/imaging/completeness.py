"""Is a series geometrically complete? One of the signals that a study has settled; explained, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coread.domain.study import InstanceHeader
from coread.imaging.errors import ImagingRefused
from coread.imaging.stack import stack_of

_MAX_SPAN = 100_000


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether nothing seems to be missing, and why."""

    complete: bool
    detail: str


def series_is_complete(headers: Sequence[InstanceHeader]) -> Completeness:
    """Judge one series: slices by uniform gaps and contiguous instance numbers, other images by themselves.

    Projection images, multi-frame objects and objects without pixels are complete one by one.
    """
    if not headers:
        return Completeness(False, "no images")
    slices = [header for header in headers if _is_slice(header) and "LOCALIZER" not in header.image_type]
    if not slices:
        return Completeness(True, f"{len(headers)} objects, each complete by itself")
    nowhere = sum(not _is_slice(header) for header in headers)
    if nowhere:
        return Completeness(False, f"{nowhere} of {len(headers)} images have no position")
    missing = _missing_numbers(slices)
    if missing:
        return Completeness(False, f"instance numbers missing: {missing}")
    if len(slices) == 1:
        return Completeness(False, "one slice of a stack")
    places = _one_of_each_place(slices)
    times = len(slices) // len(places)
    if len(slices) % len(places):
        return Completeness(False, f"{len(slices)} images at {len(places)} positions")
    try:
        stack = stack_of(places)
    except ImagingRefused as problem:
        return Completeness(False, problem.reason.text())
    gap = float((stack.step**2).sum() ** 0.5)
    each = f", {times} images at each" if times > 1 else ""
    return Completeness(True, f"{len(places)} slices, uniform gap {gap:.2f} mm{each}")


def _one_of_each_place(headers: Sequence[InstanceHeader]) -> list[InstanceHeader]:
    """Return one header for each plane where every plane comes as often (phases, b-values); else all of them.

    Frames of reference are not compared where each image has one of its own: that is a mishap of de-identification.
    """
    by_place: dict[tuple[tuple[float, ...], tuple[float, ...]], list[InstanceHeader]] = {}
    for header in headers:
        place = tuple(round(part, 2) for part in header.image_position_patient)
        by_place.setdefault((place, header.image_orientation_patient), []).append(header)
    counts = {len(found) for found in by_place.values()}
    if counts != {1} and len(counts) == 1 and len(by_place) > 1:
        chosen = [found[0] for found in by_place.values()]
    else:
        chosen = list(headers)
    if len(headers) > 2 and len({header.frame_of_reference_uid for header in headers}) == len(headers):
        return [replace(header, frame_of_reference_uid=chosen[0].frame_of_reference_uid) for header in chosen]
    return chosen


def _is_slice(header: InstanceHeader) -> bool:
    """Cross-sectional single-frame image: it has a plane in the patient."""
    single = header.number_of_frames in (None, 1)
    return single and bool(header.rows) and len(header.image_orientation_patient) == 6


def _missing_numbers(headers: Sequence[InstanceHeader]) -> str:
    numbers = sorted({header.instance_number for header in headers if header.instance_number is not None})
    if not numbers:
        return ""
    span = numbers[-1] - numbers[0] + 1
    if span == len(numbers):
        # Numbers may begin after 1 (localisers were numbered before the stack).
        return ""
    if span > _MAX_SPAN:
        return f"{span - len(numbers)} of {span}"
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    return ", ".join(str(number) for number in missing[:5])
