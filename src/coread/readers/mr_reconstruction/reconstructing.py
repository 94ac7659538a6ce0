"""One acquisition from its planes to images: which method, what it is held against, and how sure each pixel is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays, ModelSession
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.combine import zero_filled
from coread.readers.mr_reconstruction.outside import Outside, acceleration_of, before_reconstruction
from coread.readers.mr_reconstruction.plane import CLASSICAL, LEARNED, WHOLE, Plane, image_of, plane_of
from coread.readers.mr_reconstruction.proofs import Recovery, left_out, lesions_for, misfit, recovery

Image = NDArray[np.float32]
METHODS = (WHOLE, CLASSICAL, LEARNED)
"""Numbered in outputs by their place."""
FACTS = (
    *("method", "outside", "acceleration", "signal_to_noise", "noise", "noise_was_measured", "residual"),
    *("held_out", "held_out_classical", "weakest", "mean", "elsewhere", "weakest_classical", "elsewhere_classical"),
    *("probes", "spread"),
)
"""What ``facts`` of the outputs holds, in this order; NaN never: -1 where something was not measured."""
NOT_MEASURED = -1.0
_OBJECT = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    session: ModelSession
    planes: list[Plane]
    settings: Mapping[str, Any]
    probes: tuple[int, ...]
    """Planes on which both methods are tried out."""
    noise: float
    classical: dict[int, NDArray[np.complex64]]
    """Classical images of planes, as far as they were wanted."""

    def of(self, number: int, method: str) -> NDArray[np.complex64]:
        """Return the image (a, b) of a plane; the classical one is computed once."""
        if method != CLASSICAL:
            return image_of(self.session, self.planes[number], method)
        if number not in self.classical:
            self.classical[number] = image_of(self.session, self.planes[number], CLASSICAL)
        return self.classical[number]


@dataclass(frozen=True, slots=True)
class _Tried:
    """How one method did on the probes: means, but the worst of the lesions."""

    held_out: float
    lesions: Recovery | None


def reconstructed(session: ModelSession, arrays: Arrays, number: int) -> dict[str, NDArray[Any]]:
    """Reconstruct acquisition ``number`` of prepared arrays; see ``FACTS`` for the numbers beside its images.

    Outputs, all float32 (planes, a, b): ``image``, ``spread`` (standard deviation between the image and images without
    a share of the lines), ``zero_filled``; ``other`` (a, b) is the classical image of plane ``shown``.
    """
    samples, mask = arrays[f"samples_{number}"], arrays[f"mask_{number}"]
    reference = arrays.get(f"calibration_{number}")
    settings = session.parameters["safety"]
    planes = [plane_of(samples[k], mask[k], None if reference is None else reference[k]) for k in range(len(samples))]
    flat = np.stack([zero_filled(plane.samples) for plane in planes])
    noise, measured = (float(value) for value in arrays[f"noise_{number}"])
    ratio = signal_to_noise(flat, noise)
    facts: dict[str, float] = dict.fromkeys(FACTS, NOT_MEASURED)
    facts |= {"acceleration": acceleration_of(mask), "noise": noise, "noise_was_measured": measured}
    facts["signal_to_noise"] = ratio
    outside = Outside(int(arrays[f"outside_{number}"][0]))
    probes = _probes(flat, int(settings["probes"]))
    job = _Job(session, planes, settings, probes, noise, {})
    if mask.all():
        method = WHOLE
    else:
        outside |= before_reconstruction(session.parameters.get("taught"), mask, samples.shape[1], ratio)
        method, outside, tried = _judged(job, outside)
        facts |= tried
    images, spread, facts["residual"] = _all(job, method)
    if method == LEARNED and not facts["residual"] <= float(settings["residual_ratio"]) * _classical_residual(job):
        outside, method = outside | Outside.RESIDUAL, CLASSICAL
        images, spread, facts["residual"] = _all(job, method)
    facts |= {"method": float(METHODS.index(method)), "outside": float(int(outside)), "probes": float(len(probes))}
    facts["spread"] = _relative(spread, images)
    shown = probes[len(probes) // 2]
    other = _magnitude(job.of(shown, CLASSICAL)) if method == LEARNED else images[shown]
    found = {"image": images, "spread": spread, "zero_filled": flat, "other": other, "shown": np.array([shown])}
    found["facts"] = np.array([facts[name] for name in FACTS], dtype=np.float64)
    return {f"{name}_{number}": values for name, values in found.items()}


def signal_to_noise(images: Image, noise: float) -> float:
    """Return the mean of the object over the standard deviation of the real part of the noise; 0 where not known."""
    object_ = images[images > _OBJECT * images.max()] if images.max() > 0 else images
    return float(object_.mean() / (noise / np.sqrt(2))) if noise > 0 else 0.0


def _probes(images: Image, count: int) -> tuple[int, ...]:
    """Return planes spread evenly over those with signal."""
    energy = np.square(images).sum(axis=(1, 2))
    full = np.flatnonzero(energy > 0.2 * energy.max())
    places = np.unique(np.linspace(0, len(full) - 1, min(count, len(full)) + 2).round().astype(int)[1:-1])
    return tuple(int(full[place]) for place in places) if len(full) > 2 else tuple(int(k) for k in full)


def _judged(job: _Job, outside: Outside) -> tuple[str, Outside, dict[str, float]]:
    """Try the methods out on the probes; return which to deliver, what speaks against the learned one, the numbers."""
    classical = _tried(job, CLASSICAL)
    method, chosen = CLASSICAL, classical
    if not outside:
        try:
            learnt = _tried(job, LEARNED)
        except ImagingRefused:
            return CLASSICAL, outside | Outside.CALIBRATION, _numbers(classical, classical)
        outside, better = _compared(learnt, classical, job.settings)
        if better:
            method, chosen = LEARNED, learnt
    elif classical.lesions is not None and classical.lesions.weakest < float(job.settings["weakest"]):
        outside |= Outside.LESION_LOST
    return method, outside, _numbers(chosen, classical)


def _numbers(chosen: _Tried, classical: _Tried) -> dict[str, float]:
    numbers = {"held_out": chosen.held_out, "held_out_classical": classical.held_out}
    if chosen.lesions is not None:
        numbers |= {"weakest": chosen.lesions.weakest, "mean": chosen.lesions.mean}
        numbers["elsewhere"] = chosen.lesions.elsewhere
    if classical.lesions is not None:
        numbers |= {"weakest_classical": classical.lesions.weakest, "elsewhere_classical": classical.lesions.elsewhere}
    return numbers


def _compared(learnt: _Tried, classical: _Tried, settings: Mapping[str, Any]) -> tuple[Outside, bool]:
    """Return which proofs the learned method fails, and whether its images are delivered all the same.

    A lesion that either method loses speaks for the images that lose less of it.
    """
    found = Outside(0)
    if not learnt.held_out <= float(settings["held_out_ratio"]) * classical.held_out:
        found |= Outside.HELD_OUT
    if learnt.lesions is None or classical.lesions is None:
        return found, not found
    if not learnt.lesions.elsewhere <= max(float(settings["elsewhere"]), 1.5 * classical.lesions.elsewhere):
        found |= Outside.LESION_ADDED
    keeps_more = learnt.lesions.weakest >= classical.lesions.weakest
    better = not found and (keeps_more or learnt.lesions.weakest >= float(settings["weakest"]))
    if not learnt.lesions.weakest >= float(settings["weakest"]):
        found |= Outside.LESION_LOST
    return found, better


def _tried(job: _Job, method: str) -> _Tried:
    errors: list[float] = []
    found: list[Recovery] = []
    for number in job.probes:
        plane = job.planes[number]
        image = job.of(number, method)
        kept = left_out(plane.mask, float(job.settings["left_out_share"]), number)
        fewer = image_of(job.session, plane.with_mask(kept), method)
        errors.append(misfit(plane, fewer, plane.mask & ~kept, job.noise))
        lesions = lesions_for(job.of(number, CLASSICAL), plane.maps, job.settings["lesions"])
        if lesions is not None:
            after = image_of(job.session, plane.with_added(lesions.image), method)
            found.append(recovery(lesions, np.abs(image), np.abs(after)))
    worst = None
    if found:
        worst = Recovery(
            min(item.weakest for item in found),
            float(np.mean([item.mean for item in found])),
            max(item.elsewhere for item in found),
        )
    return _Tried(float(np.mean(errors)), worst)


def _all(job: _Job, method: str) -> tuple[Image, Image, float]:
    """Return images and spread (planes, a, b) of all planes by one method, and the mean misfit of measured samples."""
    images, spreads, residuals = [], [], []
    members = 0 if method == WHOLE else int(job.settings["members"])
    for number, plane in enumerate(job.planes):
        image = job.of(number, method)
        residuals.append(misfit(plane, image, plane.mask, job.noise))
        others = [
            np.abs(image_of(job.session, plane.with_mask(left_out(plane.mask, share, 1000 + member)), method))
            for member, share in enumerate([float(job.settings["left_out_share"])] * members)
        ]
        images.append(_magnitude(image))
        spreads.append(np.std([np.abs(image), *others], axis=0).astype(np.float32))
    return np.stack(images), np.stack(spreads), float(np.mean(residuals))


def _classical_residual(job: _Job) -> float:
    found = [misfit(job.planes[k], job.of(k, CLASSICAL), job.planes[k].mask, job.noise) for k in job.probes]
    return float(np.mean(found))


def _magnitude(image: NDArray[np.complex64]) -> Image:
    return np.asarray(np.abs(image), dtype=np.float32)


def _relative(spread: Image, images: Image) -> float:
    """Return the mean spread over the object as a share of its mean signal."""
    inside = images > _OBJECT * float(images.max())
    return float(spread[inside].mean() / images[inside].mean()) if inside.any() else 0.0
