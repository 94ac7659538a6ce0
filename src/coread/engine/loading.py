"""From stored instances to what a reader is given: decoded images, or the reason why one could not be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from coread.domain.cards import ReaderCard
from coread.domain.errors import Refused
from coread.domain.findings import ImageReference
from coread.domain.images import Loop, PlanarImage
from coread.domain.kspace import KSpace
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Refusal
from coread.domain.series_names import companion_uid
from coread.domain.study import InstanceHeader, Study
from coread.engine.limits import require_memory
from coread.readers.raw_data import reason_against

if TYPE_CHECKING:
    from coread.imaging.series import OpenedSeries, SliceStack

Source = tuple[Path, InstanceHeader]
Skipped = tuple[tuple[ImageReference, Reason], ...]
_STANDS_OUT = 2
"""A volume is the one that is meant when it has at least this many times the slices of the next."""
_CUTS = frozenset({"matrix", "pixel_spacing", "frame_of_reference"})
"""Parts that differ in nothing else are pieces of one scan: reading one would call the anatomy in the others absent."""


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
        return _load_with_companion(card, study, sources)
    if card.input.presentation == "loop":
        return _load_loops(card, study, sources)
    if card.input.presentation == "kspace":
        return _load_raw_data(card, study, sources)
    return _load_planar(card, study, sources)


def _load_with_companion(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    """Load the series to read and its companion; a companion that cannot be had is skipped, and never a reason."""
    uid = companion_uid(card.input, [header for _, header in sources])
    beside = [source for source in sources if source[1].series_instance_uid == uid]
    read = _load_volume(card, study, [source for source in sources if source[1].series_instance_uid != uid])
    if isinstance(read, Refusal) or not beside:
        return read
    try:
        require_memory(card, [header for _, header in sources])
        found = _load_volume(card, study, beside)
    except Refused as problem:
        found = Refusal(reason_of(problem))
    if isinstance(found, Refusal):
        missing = found.skipped or tuple((reference_to(header), found.reason) for _, header in beside)
        return replace(read, skipped=(*read.skipped, *missing))
    inputs = replace(read.inputs, companions=found.inputs.volumes)
    return Loaded(inputs, (*read.skipped, *found.skipped))


def _load_volume(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    from coread.imaging.series import Choices, Gaps, load, open_series

    choices = Choices(gaps=Gaps(card.input.gaps))
    try:
        require_memory(card, [header for _, header in sources])
        opened = open_series(sources, choices)
    except Refused as problem:
        return Refusal(reason_of(problem))
    chosen = chosen_stacks(card, opened)
    if isinstance(chosen, Reason):
        return Refusal(chosen, left_out(opened, ()))
    try:
        volumes = tuple(load(stack, choices) for stack in chosen)
    except Refused as problem:
        return Refusal(reason_of(problem))
    return Loaded(ReaderInputs(study, volumes=volumes), left_out(opened, chosen))


def chosen_stacks(card: ReaderCard, opened: "OpenedSeries") -> "tuple[SliceStack, ...] | Reason":
    """Return the volumes of a series that a reader is given, or why it is given none.

    A part that is no volume never hides behind a smaller one that is: where the larger part is refused, all is.
    """
    found = opened.volumes()
    refused = [(len(stack.slices), stack.refusal) for stack in opened.stacks if stack.refusal is not None]
    worst = max(refused, key=lambda item: item[0], default=None)
    largest = len(found[0].slices) if found else 0
    if worst is not None and worst[0] * _STANDS_OUT >= max(largest, 1):
        return worst[1]
    if not found:
        return opened.set_apart[0].reason if opened.set_apart else Reason(ReasonCode.NO_ELIGIBLE, "no slices")
    if card.input.volumes == "all" or len(found) == 1:
        return found
    if len(found[1].slices) * _STANDS_OUT > largest:
        names = dict.fromkeys(name.replace("_", " ") for stack in found for name, _ in stack.key)
        return Reason(ReasonCode.SEVERAL_VOLUMES, f"{len(found)} that differ in {', '.join(names)}")
    pieces = [stack for stack in found[1:] if _differing(found[0].key, stack.key) <= _CUTS]
    if pieces:
        count = sum(len(stack.slices) for stack in pieces)
        detail = f"{count} slices of the same plane and kind have another matrix, spacing or frame of reference"
        return Reason(ReasonCode.SEVERAL_VOLUMES, detail)
    return found[:1]


def _differing(one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> set[str]:
    here, there = dict(one), dict(other)
    return {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}


def left_out(opened: "OpenedSeries", chosen: "Sequence[SliceStack]") -> Skipped:
    """Name every image of the series that is in none of the chosen volumes, with the reason."""
    skipped = [
        (ImageReference(item.sop_class_uid, item.sop_instance_uid, item.series_instance_uid), item.reason)
        for item in opened.set_apart
    ]
    for stack in opened.stacks:
        if stack not in chosen:
            differs = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in stack.key)
            reason = stack.refusal or Reason(ReasonCode.SEVERAL_VOLUMES, differs)
            skipped += [(reference_to(item.header, item.frame), reason) for item in stack.slices]
    return tuple(dict(skipped).items())


def _load_loops(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    """Decode the first loop of each view that the card accepts; other views are told apart before they are decoded."""
    from coread.imaging.loops import load_loop, open_loop

    loops: list[Loop] = []
    skipped: list[tuple[ImageReference, Reason]] = []
    for path, header in sorted(sources, key=lambda source: _place(source[1])):
        try:
            opened = open_loop(path, header)
            reason = _reason_against_loop(card, opened.frames, opened.view, [loop.view for loop in loops])
            if reason is None:
                require_memory(card, [*(loop.header for loop in loops), header])
                loops.append(load_loop(opened, max_pixels=card.input.max_pixels * card.input.max_images))
        except Refused as problem:
            reason = reason_of(problem)
        if reason is not None:
            skipped.append((reference_to(header), reason))
    if not loops:
        return Refusal(skipped[0][1], tuple(skipped))
    return Loaded(ReaderInputs(study, loops=tuple(loops)), tuple(skipped))


def _reason_against_loop(card: ReaderCard, frames: int, view: str, taken: Sequence[str]) -> Reason | None:
    contract = card.input
    if contract.views and view not in contract.views:
        return Reason(ReasonCode.WRONG_VIEW, view or "the loop does not say which view it is")
    if view in taken:
        return Reason(ReasonCode.SEVERAL_VOLUMES, f"another loop of the view {view} was read")
    if frames < contract.min_images:
        return Reason(ReasonCode.TOO_FEW_IMAGES, f"{frames} frames, at least {contract.min_images} are needed")
    if frames > contract.max_images:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{frames} frames, at most {contract.max_images} are read")
    return None


def _load_raw_data(card: ReaderCard, study: Study, sources: Sequence[Source]) -> Loaded | Refusal:
    """Open the raw data objects one by one; what cannot be opened or does not fit the card is skipped, with its reason.

    Samples beyond the card's memory are refused from their stated size, before they are read.
    """
    from coread.imaging.mr.files.raw_object import unwrapped
    from coread.imaging.mr.files.room import RoomLimits

    acquisitions: list[KSpace] = []
    headers: list[InstanceHeader] = []
    skipped: list[tuple[ImageReference, Reason]] = []
    left = card.resources.memory_mb << 20
    for path, header in sorted(sources, key=lambda source: _place(source[1])):
        try:
            kspace = unwrapped(path, RoomLimits(most_bytes=left))
            reason = reason_against(card.input, kspace)
        except Refused as problem:
            reason = reason_of(problem)
        if reason is not None:
            skipped.append((reference_to(header), reason))
            continue
        left -= kspace.samples.nbytes
        acquisitions.append(kspace)
        headers.append(header)
    if not acquisitions:
        return Refusal(skipped[0][1], tuple(skipped))
    return Loaded(ReaderInputs(study, kspaces=tuple(acquisitions), kspace_headers=tuple(headers)), tuple(skipped))


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
