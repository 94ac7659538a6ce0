"""The checks of readers of raw data: what is refused, what is left out and said, and that images follow the samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import KSpace
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.conformance.subject import NotApplicable, Subject, require
from coread.engine.samples import study_of

MIRROR_TOLERANCE = 0.1
"""Of the images' norm: networks are not symmetric, and neither are random choices of lines."""
Value = TypeVar("Value", np.complex64, np.bool_)
Given = tuple[InstanceHeader, KSpace]


def kspaces_of(subject: Subject) -> list[Given]:
    """Return the first acquisition of each sample with its header; empty for readers of images."""
    return [(inputs.kspace_headers[0], inputs.kspaces[0]) for inputs in subject.samples if inputs.kspaces]


def arrays_of(kspace: KSpace) -> list[NDArray[np.complex64] | NDArray[np.bool_]]:
    """Return the arrays of an acquisition."""
    found: list[NDArray[np.complex64] | NDArray[np.bool_]] = [kspace.samples, kspace.mask]
    return found + [array for array in (kspace.noise, kspace.calibration) if array is not None]


def wrong_modality(subject: Subject, given: Given) -> str:
    """Give raw data whose header names another modality."""
    accepted = subject.installed.card.input.modalities
    other = next(name for name in ("MR", "CT", "NM") if name not in accepted)
    return refused(subject, (replace(given[0], modality=other), given[1]), ReasonCode.WRONG_MODALITY)


def not_a_number(subject: Subject, given: Given) -> str:
    """Give one sample that is no number: its line is left out and this is said, or all is refused.

    Samples of which none is a number are refused.
    """
    header, kspace = given
    broken = kspace.samples.copy()
    line = int(np.flatnonzero(kspace.mask[0, 0, 0].reshape(kspace.mask.shape[3], -1).any(axis=1))[0])
    broken[0, 0, 0, 0, line, broken.shape[-1] // 2] = np.nan
    before = subject.ending(0)
    ending = subject.read(with_acquisitions([(header, replace(kspace, samples=broken))]))
    if isinstance(ending, ReadResult) and isinstance(before, ReadResult):
        new = set(ending.notes) - set(before.notes)
        require(bool(new), "a line that holds values that are no numbers was left out and not named")
    nothing = np.full_like(kspace.samples, np.nan)
    told = refused(subject, (header, replace(kspace, samples=nothing)), None)
    return f"one line: {'refused' if isinstance(ending, Refusal) else 'left out'}; all: {told}"


def constant(subject: Subject, given: Given) -> str:
    """Give samples that are all zero."""
    return refused(subject, (given[0], replace(given[1], samples=np.zeros_like(given[1].samples))), None)


def coils(subject: Subject, given: Given) -> str:
    """Give one coil fewer than the card asks for, and a coil that received nothing."""
    return f"{_too_few_coils(subject, given)}; one dead coil: {_dead_coil(subject, given)}"


def _too_few_coils(subject: Subject, given: Given) -> str:
    count = subject.installed.card.input.min_coils - 1
    if count < 1:
        return "the card accepts a single coil"
    header, kspace = given
    fewer = replace(
        kspace,
        samples=kspace.samples[:, :, :count].copy(),
        header=replace(kspace.header, coil_names=kspace.header.coil_names[:count]),
        noise=None if kspace.noise is None else kspace.noise[:count],
        calibration=None if kspace.calibration is None else kspace.calibration[:, :count],
    )
    return refused(subject, (header, fewer), ReasonCode.TOO_FEW_COILS)


def _dead_coil(subject: Subject, given: Given) -> str:
    """Give samples of which one coil is zero: it is left out and said, or all is refused."""
    header, kspace = given
    samples = kspace.samples.copy()
    samples[:, :, -1] = 0
    before = subject.ending(0)
    ending = subject.read(with_acquisitions([(header, replace(kspace, samples=samples))]))
    if isinstance(ending, Refusal):
        return f"refused: {ending.reason.text()}"
    require(ending.images != () or not isinstance(before, ReadResult), "lost its images with one coil")
    new = set(ending.notes) - set(before.notes if isinstance(before, ReadResult) else ())
    named = sorted(note for note in new if "coil" in note.lower())
    require(bool(named), "a coil without signal is not named")
    return named[0]


def mirrored_in_mirrored_out(subject: Subject) -> str:
    """Mirror what was scanned along the readout: the images are mirrored too."""
    compared = 0
    for inputs, result in subject.results():
        pairs = [(header, _mirrored(kspace)) for header, kspace in _pairs(inputs)]
        other = subject.read(with_acquisitions(pairs))
        if not isinstance(other, ReadResult):
            continue
        for one, two in zip(result.images, other.images, strict=True):
            back = _flipped(two.voxels.astype(np.complex64)).real
            apart = float(np.linalg.norm(back - one.voxels) / np.linalg.norm(one.voxels))
            require(apart <= MIRROR_TOLERANCE, f"{one.label!r} is {apart:.0%} from its mirror image")
            compared += 1
    if not compared:
        raise NotApplicable("no images were made of both samples and their mirror image")
    return f"{compared} series compared"


def order_does_not_matter(subject: Subject) -> str:
    """Give two acquisitions of one study in both orders: each gives the same images."""
    raw = kspaces_of(subject)
    if len(raw) < 2:
        raise NotApplicable("there is one acquisition to try")
    first, second = (subject.read(with_acquisitions(pair)) for pair in (raw[:2], raw[1::-1]))
    if not (isinstance(first, ReadResult) and isinstance(second, ReadResult)):
        raise NotApplicable("two acquisitions of one study are not read")
    here = {(one.series_instance_uid, one.position): one.voxels for one in first.images}
    there = {(one.series_instance_uid, one.position): one.voxels for one in second.images}
    require(here.keys() == there.keys(), "the series depend on the order of the acquisitions")
    require(all(np.array_equal(here[key], there[key]) for key in here), "the images depend on the order")
    return f"{len(here)} series"


def with_acquisitions(given: Sequence[Given]) -> ReaderInputs:
    """Return a study of these acquisitions."""
    headers = tuple(header for header, _ in given)
    return ReaderInputs(study_of(headers), kspaces=tuple(kspace for _, kspace in given), kspace_headers=headers)


def refused(subject: Subject, given: Given, code: ReasonCode | None) -> str:
    """Require that this acquisition alone is refused, with this code where one is named."""
    ending = subject.read(with_acquisitions([given]))
    if not isinstance(ending, Refusal):
        require(False, f"gave a result instead of a refusal{f' with {code.value}' if code else ''}")
        return ""
    require(code is None or ending.reason.code is code, f"refused with {ending.reason.code.value}")
    return ending.reason.text()


def _pairs(inputs: ReaderInputs) -> list[Given]:
    return list(zip(inputs.kspace_headers, inputs.kspaces, strict=True))


def _mirrored(kspace: KSpace) -> KSpace:
    """Mirror image and k-space along the readout: both are reversed around their centre, index N // 2."""
    mask = kspace.mask if kspace.mask.ndim == 4 else _flipped(kspace.mask)
    calibration = None if kspace.calibration is None else _flipped(kspace.calibration)
    return replace(kspace, samples=_flipped(kspace.samples), mask=mask, calibration=calibration)


def _flipped(values: NDArray[Value]) -> NDArray[Value]:
    """Reverse the last axis around index N // 2."""
    count = values.shape[-1]
    return np.ascontiguousarray(np.roll(values[..., ::-1], 1 - count % 2, axis=-1))
