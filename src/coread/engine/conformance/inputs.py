"""Checks that unsuitable input is refused with a coded reason, by the reader itself and not only by routing."""

from dataclasses import replace

import numpy as np

from coread.domain.images import PlanarImage, Quantity
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import Refusal
from coread.engine.conformance import kspaces, loops, volumes
from coread.engine.conformance.subject import NotApplicable, Subject, require, with_pixels
from coread.engine.samples import inputs_of


def wrong_modality_is_refused(subject: Subject) -> str:
    """Give a sample whose header names another modality."""
    if given := volumes.volumes_of(subject):
        return volumes.wrong_modality(subject, given[0])
    if moving := loops.loops_of(subject):
        return loops.wrong_modality(subject, moving[0])
    if raw := kspaces.kspaces_of(subject):
        return kspaces.wrong_modality(subject, raw[0])
    image = subject.planar()[0]
    other = next(name for name in ("MR", "CT", "US", "DX", "NM") if name not in subject.installed.card.input.modalities)
    header = replace(image.header, modality=other)
    return _refused(subject, replace(image, header=header), ReasonCode.WRONG_MODALITY)


def not_a_number_is_refused(subject: Subject) -> str:
    """Give a sample with one pixel that is not a number."""
    if given := volumes.volumes_of(subject):
        return volumes.not_a_number(subject, given[0])
    if moving := loops.loops_of(subject):
        return loops.not_a_number(subject, moving[0])
    if raw := kspaces.kspaces_of(subject):
        return kspaces.not_a_number(subject, raw[0])
    image = subject.planar()[0]
    pixels = image.pixels.copy()
    pixels[pixels.shape[0] // 2, pixels.shape[1] // 2] = np.nan
    return _refused(subject, with_pixels(image, pixels), ReasonCode.PIXELS_NOT_FINITE)


def constant_pixels_are_refused(subject: Subject) -> str:
    """Give an image of one grey."""
    if given := volumes.volumes_of(subject):
        return volumes.constant(subject, given[0])
    if moving := loops.loops_of(subject):
        return loops.constant(subject, moving[0])
    if raw := kspaces.kspaces_of(subject):
        return kspaces.constant(subject, raw[0])
    image = subject.planar()[0]
    return _refused(subject, with_pixels(image, np.full_like(image.pixels, 0.5)), ReasonCode.PIXELS_CONSTANT)


def small_images_are_refused(subject: Subject) -> str:
    """Give an image one row and column, a volume one slice, or raw data one coil short of what the card asks for."""
    if given := volumes.volumes_of(subject):
        return volumes.too_few_slices(subject, given[0])
    if moving := loops.loops_of(subject):
        return loops.too_few_frames(subject, moving[0])
    if raw := kspaces.kspaces_of(subject):
        return kspaces.coils(subject, raw[0])
    image, contract = subject.planar()[0], subject.installed.card.input
    rows, columns = contract.min_rows - 1, contract.min_columns - 1
    if min(rows, columns) < 1:
        raise NotApplicable("the card accepts images of any size")
    pixels = np.random.default_rng(1).random((rows, columns), dtype=np.float32)
    return _refused(subject, with_pixels(image, pixels), ReasonCode.IMAGE_TOO_SMALL)


def other_quantity_is_refused(subject: Subject) -> str:
    """Give modality values where display values are promised: the numbers mean something else."""
    if given := volumes.volumes_of(subject):
        return volumes.other_quantity(subject, given[0])
    if moving := loops.loops_of(subject):
        return loops.other_quantity(subject, moving[0])
    if kspaces.kspaces_of(subject):
        raise NotApplicable("raw samples have one meaning")
    image = subject.planar()[0]
    return _refused(subject, replace(image, quantity=Quantity.ARBITRARY), ReasonCode.PIXEL_MEANING)


def no_image_is_refused(subject: Subject) -> str:
    """Give a study without images."""
    ending = subject.read(ReaderInputs(subject.samples[0].study))
    require(isinstance(ending, Refusal), "a study without images gave a result")
    return ending.reason.code.value if isinstance(ending, Refusal) else ""


def _refused(subject: Subject, image: PlanarImage, code: ReasonCode) -> str:
    ending = subject.read(inputs_of([image]))
    if not isinstance(ending, Refusal):
        require(False, f"gave a result instead of a refusal with {code.value}")
        return ""
    require(ending.reason.code is code, f"refused with {ending.reason.code.value}, expected {code.value}")
    return ending.reason.text()
