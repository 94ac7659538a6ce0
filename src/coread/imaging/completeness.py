"""Is a series geometrically complete? One of the signals that a study has settled; explained, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    slices = [header for header in headers if _is_slice(header)]
    if not slices:
        return Completeness(True, f"{len(headers)} objects, each complete by itself")
    if len(slices) < len(headers):
        return Completeness(False, f"{len(headers) - len(slices)} of {len(headers)} images have no position")
    missing = _missing_numbers(slices)
    if missing:
        return Completeness(False, f"instance numbers missing: {missing}")
    if len(slices) == 1:
        return Completeness(False, "one slice of a stack")
    try:
        stack = stack_of(slices)
    except ImagingRefused as problem:
        return Completeness(False, problem.reason.text())
    gap = float((stack.step**2).sum() ** 0.5)
    return Completeness(True, f"{len(slices)} slices, uniform gap {gap:.2f} mm")


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
