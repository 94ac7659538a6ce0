"""What readers of single images share: the gate of the card, which images were read, and one call over all of them.

Not a base class: a reader calls these functions where they fit it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.calling import called_finding
from coread.domain.cards import InputContract, OutputSpec, ReaderCard
from coread.domain.findings import Finding, ImageReference
from coread.domain.images import PlanarImage, Quantity
from coread.domain.reading import ModelSession, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Refusal
from coread.domain.study import InstanceHeader

Skipped = tuple[ImageReference, Reason]
Made = NDArray[np.float32] | Reason
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class Seen:
    """One image that the network reads; ``number`` is its row in the batch."""

    number: int
    reference: ImageReference


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """The network's input (N, C, rows, columns), the images in it, and those that are not."""

    batch: NDArray[np.float32]
    seen: tuple[Seen, ...]
    skipped: tuple[Skipped, ...]


def gather(card: ReaderCard, inputs: ReaderInputs, make: Callable[[PlanarImage], Made]) -> Gathered | Refusal:
    """Check every image against the card and ``make`` its network input (C, rows, columns), or a reason why not.

    Refuses only when no image is left, or when more are left than the card takes.
    """
    seen: list[Seen] = []
    skipped: list[Skipped] = []
    rows: list[NDArray[np.float32]] = []
    for image in inputs.images:
        made = reason_against(card.input, image) or make(image)
        if isinstance(made, Reason):
            skipped.append((reference_to(image), made))
            continue
        seen.append(Seen(len(rows), reference_to(image)))
        rows.append(made)
    if not seen:
        return refusal_of(skipped, "the study has no planar image")
    if len(seen) > card.input.max_images:
        return refusal_of(skipped, f"{len(seen)} images, at most {card.input.max_images} are read")
    return Gathered(np.stack(rows), tuple(seen), tuple(skipped))


def reference_to(image: PlanarImage) -> ImageReference:
    """Return the reference to the frame that an image is."""
    header = image.header
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid, image.frame)


def refusal_of(skipped: Sequence[Skipped], detail: str) -> Refusal:
    """Give the one reason that all images share, else that none fits."""
    reasons = {reason for _, reason in skipped}
    if len(reasons) == 1:
        return Refusal(reasons.pop(), tuple(skipped))
    codes = {reason.code for reason in reasons}
    reason = Reason(codes.pop()) if len(codes) == 1 else Reason(ReasonCode.NO_ELIGIBLE, detail)
    return Refusal(reason, tuple(skipped))


def call(session: ModelSession, spec: OutputSpec, logits: NDArray[np.floating[Any]], read: Sequence[Seen]) -> Finding:
    """Call one output over all images that were read: present when it is present in any of them.

    ``logits`` (N,) belong to the batch; the probability is the highest of the images.
    """
    probabilities = {seen.number: session.calibrate(spec.key, float(logits[seen.number])) for seen in read}
    return called(spec, probabilities, read)


def called(spec: OutputSpec, probabilities: Mapping[int, float], read: Sequence[Seen]) -> Finding:
    """Turn calibrated probabilities by batch row into a finding at the card's default operating point."""
    point = spec.operating_point()
    present = [seen for seen in read if probabilities[seen.number] >= point.threshold]
    highest = max(probabilities[seen.number] for seen in read)
    images = [seen.reference for seen in present or read]
    return called_finding(spec, present=bool(present), probability=highest, images=images)


def reason_against(contract: InputContract, image: PlanarImage) -> Reason | None:
    """Return why the card excludes this image, or ``None``."""
    return header_reason(contract, image.header) or _size_reason(contract, image) or _pixel_reason(image)


def one_against_rest(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Turn logits of a softmax (N, K) into the log odds of each class against all others, (N, K)."""
    wide = np.asarray(logits, dtype=np.float64)
    odds = np.empty_like(wide)
    for k in range(wide.shape[1]):
        others = np.delete(wide, k, axis=1)
        top = others.max(axis=1)
        odds[:, k] = wide[:, k] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return odds


def age_years(header: InstanceHeader) -> float | None:
    """Return the patient's age from Patient's Age (AS, PS3.5 table 6.2-1), else from birth and study date."""
    text = header.patient_age.strip()
    if len(text) == 4 and text[:3].isdigit() and text[3] in _YEARS:
        return int(text[:3]) * _YEARS[text[3]]
    born, seen = _date(header.patient_birth_date), _date(header.study_date or header.series_date)
    if born is None or seen is None or seen < born:
        return None
    return (seen - born).days / 365.25


def header_reason(contract: InputContract, header: InstanceHeader) -> Reason | None:
    """Return why the card excludes what a header says of modality, kind, body part, view and age, or ``None``."""
    listed = (
        (ReasonCode.WRONG_MODALITY, contract.modalities, header.modality or "none stated"),
        (ReasonCode.WRONG_SOP_CLASS, contract.sop_class_uids, header.sop_class_uid),
        (ReasonCode.WRONG_BODY_PART, contract.body_parts, header.body_part_examined.upper()),
        (ReasonCode.WRONG_VIEW, contract.views, header.view_position.upper()),
    )
    for code, accepted, found in listed:
        if accepted and found and found not in accepted:
            return Reason(code, found)
    age, low, high = age_years(header), contract.min_age_years, contract.max_age_years
    if age is not None and ((low is not None and age < low) or (high is not None and age >= high + 1)):
        return Reason(ReasonCode.WRONG_AGE, f"patient is {age:.0f} years old")
    return None


def _size_reason(contract: InputContract, image: PlanarImage) -> Reason | None:
    rows, columns = image.pixels.shape
    if rows < contract.min_rows or columns < contract.min_columns:
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}")
    if rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns}")
    return None


def _pixel_reason(image: PlanarImage) -> Reason | None:
    if image.quantity is not Quantity.DISPLAY:
        return Reason(ReasonCode.PIXEL_MEANING, f"display values are needed, got {image.quantity.value}")
    if not np.isfinite(image.pixels).all():
        return Reason(ReasonCode.PIXELS_NOT_FINITE)
    inside = image.pixels if image.valid is None else image.pixels[image.valid]
    if inside.size == 0 or float(inside.max() - inside.min()) < _FLAT:
        return Reason(ReasonCode.PIXELS_CONSTANT)
    return None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
