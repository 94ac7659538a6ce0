"""From stored instances to what a reader is given: decoded images, or the reason why one could not be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.domain.errors import Refused
from coread.domain.findings import ImageReference
from coread.domain.images import PlanarImage
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Refusal
from coread.domain.study import InstanceHeader, Study
from coread.engine.limits import require_memory

Source = tuple[Path, InstanceHeader]
Skipped = tuple[tuple[ImageReference, Reason], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The inputs of one reading, and the images that are not among them."""

    inputs: ReaderInputs
    skipped: Skipped = ()


def load_inputs(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    """Decode the images of a work item; refused images are skipped while others remain, else the study is refused."""
    if not sources:
        return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "no image of the work item is stored any more"))
    if card.input.presentation == "volume":
        return _load_volume(card, study, sources)
    return _load_planar(card, study, sources)


def _load_volume(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    from coread.imaging.volume import load_volume

    require_memory(card, [header for _, header in sources])
    try:
        volume = load_volume(sources)
    except Refused as problem:
        return Refusal(reason_of(problem))
    return Loaded(ReaderInputs(study, volumes=(volume,)))


def _load_planar(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    from coread.imaging.planar import check_varied, load_planar

    images: list[PlanarImage] = []
    skipped: list[tuple[ImageReference, Reason]] = []
    ordered = sorted(sources, key=lambda source: _place(source[1]))
    for path, header in ordered:
        for frame in range(1, max(1, header.number_of_frames or 1) + 1):
            if len(images) >= card.input.max_images:
                reason = Reason(ReasonCode.TOO_LARGE, f"the reader takes at most {card.input.max_images} images")
                skipped.append((reference_to(header, frame), reason))
                continue
            try:
                require_memory(card, [*(image.header for image in images), header])
                image = load_planar(path, header, frame, max_pixels=card.input.max_pixels)
                check_varied(image)
                images.append(image)
            except Refused as problem:
                skipped.append((reference_to(header, frame), reason_of(problem)))
    if not images:
        return Refusal(skipped[0][1], tuple(skipped))
    return Loaded(ReaderInputs(study, images=tuple(images)), tuple(skipped))


def reference_to(header: InstanceHeader, frame: int = 1) -> ImageReference:
    """Return the reference to one frame of an instance."""
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid, frame)


def reason_of(problem: Refused) -> Reason:
    """Return the coded reason that a refusal carries; one without a reason is a bug and is raised again."""
    reason = getattr(problem, "reason", None)
    if not isinstance(reason, Reason):
        raise problem
    return reason


def _place(header: InstanceHeader) -> tuple[int, str, int, str]:
    return (header.series_number or 0, header.series_instance_uid, header.instance_number or 0, header.sop_instance_uid)
