"""Checks of what a reader says about inputs that it should read."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.codec import Encoded, decode, encode
from coread.domain.findings import Box, Finding, Presence
from coread.domain.reading import ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.engine.checks import check_ending
from coread.engine.conformance import kspaces, loops, volumes
from coread.engine.conformance.subject import NotApplicable, Subject, mirrored, require
from coread.engine.limits import memory_cap
from coread.engine.samples import inputs_of

MIRROR_TOLERANCE = 0.15
"""How far a mark may lie from its mirror image, as a share of the image's width: networks are not symmetric."""


def a_fitting_image_is_read(subject: Subject) -> str:
    """Read at least one of the samples that the card accepts."""
    read = len(subject.results())
    reasons = {ending.reason.code.value for ending in subject.remembered.values() if isinstance(ending, Refusal)}
    require(read > 0, f"refused all {len(subject.samples)} samples: {', '.join(sorted(reasons))}")
    return f"{read} of {len(subject.samples)} samples read"


def findings_are_declared(subject: Subject) -> str:
    """Say every declared output, nothing else, with thresholds of the card and marks inside the images."""
    for number, inputs in enumerate(subject.samples):
        headers = [image.header for image in inputs.images]
        headers += [header for volume in inputs.volumes for header in volume.headers]
        headers += [loop.header for loop in inputs.loops]
        headers += inputs.kspace_headers
        check_ending(subject.installed.card, subject.ending(number), headers)
    return f"{len(subject.installed.card.outputs)} outputs"


def reading_is_deterministic(subject: Subject) -> str:
    """Read every sample again."""
    for number, inputs in enumerate(subject.samples):
        require(_same(encode(subject.ending(number)), encode(subject.read(inputs))), "the second reading differs")
    return f"{len(subject.samples)} samples read twice"


def input_is_unchanged(subject: Subject) -> str:
    """Give read-only pixels: whoever writes into its input fails here."""
    for inputs in subject.samples:
        arrays = _arrays_of(inputs)
        before = [array.copy() for array in arrays]
        for array in arrays:
            array.flags.writeable = False
        try:
            subject.read(inputs)
        except ValueError as problem:
            require("read-only" not in str(problem), "wrote into its input")
            raise
        same = all(np.array_equal(old, new, equal_nan=True) for old, new in zip(before, arrays, strict=True))
        require(same, "the input is another one after reading")
    return f"{len(subject.samples)} samples"


def results_survive_storage(subject: Subject) -> str:
    """Encode and decode every ending."""
    for number in range(len(subject.samples)):
        ending = subject.ending(number)
        stored = encode(ending)
        require(_same(stored, encode(decode(type(ending), stored.document, stored.arrays))), "changed by storing")
    return f"{len(subject.samples)} endings"


def mirrored_in_mirrored_out(subject: Subject) -> str:
    """Exchange left and right of each sample: its marks must change sides too."""
    if volumes.volumes_of(subject):
        return volumes.mirrored_in_mirrored_out(subject)
    if loops.loops_of(subject):
        return loops.mirrored_in_mirrored_out(subject)
    if kspaces.kspaces_of(subject):
        return kspaces.mirrored_in_mirrored_out(subject)
    compared = 0
    for inputs, result in subject.results():
        if len(inputs.images) != 1:
            continue
        width = inputs.images[0].pixels.shape[1]
        other = subject.read(inputs_of([mirrored(inputs.images[0])]))
        if isinstance(other, ReadResult):
            compared += sum(_check_mirrored(key, result, other, width) for key in _present(result) & _present(other))
    if compared == 0:
        raise NotApplicable("nothing with a place was found in both an image and its mirror image")
    return f"{compared} findings compared"


def order_does_not_matter(subject: Subject) -> str:
    """Give two images in both orders, or a volume whose axes run the other way."""
    if volumes.volumes_of(subject):
        return volumes.order_does_not_matter(subject)
    if loops.loops_of(subject):
        return loops.order_does_not_matter(subject)
    if kspaces.kspaces_of(subject):
        return kspaces.order_does_not_matter(subject)
    images = subject.planar()
    if subject.installed.card.input.max_images < 2 or len(images) < 2:
        raise NotApplicable("the reader takes one image at a time")
    first, second = (_calls(subject.read(inputs_of(pair))) for pair in (images[:2], images[1::-1]))
    require(first == second, "the findings depend on the order of the images")
    return f"{len(first)} calls"


def stays_within_resources(subject: Subject) -> str:
    """Read every sample under the memory and time of the card."""
    resources = subject.installed.card.resources
    slowest = 0.0
    for inputs in subject.samples:
        began = time.perf_counter()
        try:
            with memory_cap(resources.memory_mb):
                subject.read(inputs)
        except MemoryError:
            require(False, f"needs more than {resources.memory_mb} MB")
        slowest = max(slowest, time.perf_counter() - began)
    require(slowest <= resources.seconds, f"took {slowest:.2f} s, the card allows {resources.seconds:g} s")
    return f"slowest {slowest * 1000:.0f} ms of {resources.seconds:g} s, within {resources.memory_mb} MB"


def _same(one: Encoded, other: Encoded) -> bool:
    arrays = one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays
    )
    return arrays and json.loads(one.document) == json.loads(other.document)


def _arrays_of(inputs: ReaderInputs) -> list[NDArray[Any]]:
    planes: list[NDArray[Any]] = [array for kspace in inputs.kspaces for array in kspaces.arrays_of(kspace)]
    planes += [image.pixels for image in inputs.images]
    planes += [loop.pixels for loop in inputs.loops]
    planes += [image.colour for image in inputs.images if image.colour is not None]
    earlier = [volume.voxels for prior in inputs.priors for volume in prior.volumes]
    return planes + [volume.voxels for volume in inputs.volumes] + earlier


def _present(result: ReadResult) -> set[str]:
    return {item.key for item in result.findings if item.presence is Presence.PRESENT and item.locations}


def _check_mirrored(key: str, result: ReadResult, other: ReadResult, width: int) -> int:
    here, there = (next(item for item in one.findings if item.key == key) for one in (result, other))
    mirror_image = replace(here, locations=tuple(_mirrored_box(box, width) for box in _boxes(here)))
    if not mirror_image.locations or not _boxes(there):
        return 0
    distance = abs(_centre(mirror_image) - _centre(there)) / width
    require(distance <= MIRROR_TOLERANCE, f"{key}: its mark is {distance:.0%} of the width from its mirror image")
    return 1


def _boxes(finding: Finding) -> list[Box]:
    return [place for place in finding.locations if isinstance(place, Box)]


def _mirrored_box(box: Box, width: int) -> Box:
    return replace(box, column_min=max(0.0, width - box.column_max), column_max=width - box.column_min)


def _centre(finding: Finding) -> float:
    return float(np.mean([(box.column_min + box.column_max) / 2 for box in _boxes(finding)]))


def _calls(ending: ReadResult | Refusal) -> dict[str, object]:
    if isinstance(ending, Refusal):
        return {}
    # A batch may be summed in another order, so the last digits may differ.
    return {
        item.key: (
            item.presence,
            round(item.probability or 0.0, 4),
            sorted((box.image.sop_instance_uid, round(box.column_min), round(box.row_min)) for box in _boxes(item)),
        )
        for item in ending.findings
    }
