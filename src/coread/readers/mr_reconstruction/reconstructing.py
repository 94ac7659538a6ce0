"""One acquisition from its planes to images: which method, what it is held against, and how sure each pixel is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays, ModelSession
from coread.imaging.errors import ImagingRefused
from coread.readers.mr_reconstruction.outside import Outside, acceleration_of, before_reconstruction
from coread.readers.mr_reconstruction.plane import (
    CLASSICAL,
    LEARNED,
    SERIES,
    SPOKES,
    WHOLE,
    Made,
    Problem,
    plane_of,
    spokes_of,
)
from coread.readers.mr_reconstruction.proofs import Recovery, contradiction, lesions_for, misfit, recovery

Image = NDArray[np.float32]
METHODS = (WHOLE, CLASSICAL, LEARNED, SERIES, SPOKES)
"""Numbered in outputs by their place."""
FACTS = (
    *("method", "outside", "acceleration", "signal_to_noise", "noise", "noise_was_measured", "residual"),
    *("held_out", "held_out_classical", "weakest", "mean", "elsewhere", "weakest_classical", "elsewhere_classical"),
    *("probes", "spread", "contradicted"),
)
"""What ``facts`` of the outputs holds, in this order; NaN never: -1 where something was not measured."""
NOT_MEASURED = -1.0
FEWEST_FRAMES = 4
"""Fewer frames are reconstructed one by one: they share too little."""
_OBJECT = 0.1
_AT_LEAST = 0.5
"""Of a test lesion in classical images: a network that erases lesions may well predict left-out lines better."""
_MUCH_CLOSER = 0.7
"""Of the classical misfit of left-out lines: few calibration lines spoil classical images and what they say."""
_EVERY_PLANE = 1.5
"""More planes than the probes are looked at then, so that chance has more room."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    session: ModelSession
    problems: list[Problem]
    settings: Mapping[str, Any]
    noise: float
    basis: str
    """The classical method for these samples: what the learned one is held against."""
    probes: tuple[int, ...]
    """Problems on which both methods are tried out."""
    classical: dict[int, Made]
    """Classical images of problems, as far as they were wanted."""

    def of(self, number: int, method: str) -> Made:
        """Return the images of a problem; the classical ones are computed once."""
        if method != self.basis:
            return self.problems[number].made(self.session, method)
        if number not in self.classical:
            self.classical[number] = self.problems[number].made(self.session, method)
        return self.classical[number]


@dataclass(frozen=True, slots=True)
class _Tried:
    """How one method did on the probes: means, but the worst of the lesions."""

    held_out: float
    lesions: Recovery | None
    contradicted: float
    """The largest structure that the samples contradict, in test lesions; 0 where there was room for none."""


def reconstructed(session: ModelSession, arrays: Arrays, number: int) -> dict[str, NDArray[Any]]:
    """Reconstruct acquisition ``number`` of prepared arrays; see ``FACTS`` for the numbers beside its images.

    Outputs, all float32 (planes, a, b): ``image``, ``spread`` (standard error, from images without a share of the
    lines), ``zero_filled``; ``other`` (a, b) is the classical image of plane ``shown``.
    """
    problems = _problems(arrays, number)
    settings = session.parameters["safety"]
    flat = _by_plane([problem.zero_filled() for problem in problems])
    noise, measured = (float(value) for value in arrays[f"noise_{number}"])
    mask = np.concatenate([problem.mask for problem in problems])
    ratio = signal_to_noise(flat, noise)
    facts: dict[str, float] = dict.fromkeys(FACTS, NOT_MEASURED)
    facts |= {"acceleration": _acceleration(arrays, number, mask), "noise": noise, "noise_was_measured": measured}
    facts["signal_to_noise"] = ratio
    spokes, whole = f"coordinates_{number}" in arrays, bool(mask.all())
    basis = SPOKES if spokes else WHOLE if whole else SERIES if len(problems[0].mask) > 1 else CLASSICAL
    job = _Job(session, problems, settings, noise, basis, _probes(problems, int(settings["probes"])), {})
    outside = Outside(int(arrays[f"outside_{number}"][0])) if basis != WHOLE else Outside(0)
    if basis == CLASSICAL:
        taught = session.parameters.get("taught")
        outside |= before_reconstruction(taught, mask, problems[0].samples.shape[1], ratio)
    judged = _judged(job, outside) if basis != WHOLE else None
    method = judged.method if judged is not None else WHOLE
    images, spread, seen = _all(job, method)
    if judged is not None and method == LEARNED and not _agrees(job, seen):
        judged, method = replace(judged, outside=Outside.RESIDUAL, method=basis, delivered=judged.classical), basis
        images, spread, seen = _all(job, method)
    if judged is not None:
        outside = judged.outside | _lost(judged.delivered, settings)
        facts |= _numbers(judged)
    facts |= {name: value for name, value in seen.items() if name in FACTS}
    facts |= {"method": float(METHODS.index(method)), "outside": float(int(outside)), "probes": float(len(job.probes))}
    facts["spread"] = _relative(spread, images)
    shown = job.probes[len(job.probes) // 2]
    other = job.of(shown, basis).magnitudes()[0] if method == LEARNED else images[shown]
    found = {"image": images, "spread": spread, "zero_filled": flat, "other": other, "shown": np.array([shown])}
    found["facts"] = np.array([facts[name] for name in FACTS], dtype=np.float64)
    return {f"{name}_{number}": values for name, values in found.items()}


def _problems(arrays: Arrays, number: int) -> list[Problem]:
    """Return what is reconstructed together: each plane, or each plane over time, in the order of planes of a frame."""
    samples, mask = arrays[f"samples_{number}"], arrays[f"mask_{number}"]
    if (way := arrays.get(f"coordinates_{number}")) is not None:
        rows, columns = (int(side) for side in arrays[f"grid_{number}"])
        return [spokes_of(samples[k], mask[k], way[k], (rows, columns)) for k in range(len(samples))]
    frames = int(arrays[f"frames_{number}"][0])
    reference = arrays.get(f"calibration_{number}")
    step = len(samples) // frames if frames >= FEWEST_FRAMES else len(samples)
    return [plane_of(samples[k::step], mask[k::step], None if reference is None else reference[k]) for k in range(step)]


def _by_plane(images: Sequence[Image]) -> Image:
    """Return images (planes, a, b), frame by frame, of the images (frames, a, b) of each problem."""
    stacked = np.stack(images, axis=1)
    return np.ascontiguousarray(stacked.reshape(-1, *stacked.shape[2:]))


def _acceleration(arrays: Arrays, number: int, mask: NDArray[np.bool_]) -> float:
    """Return how many times fewer samples than the grid has; along spokes, fewer spokes than fill it evenly."""
    if f"coordinates_{number}" not in arrays:
        return acceleration_of(mask)
    spokes = float(np.count_nonzero(mask.any(axis=-1))) / len(mask)
    return float(np.pi / 2 * max(arrays[f"grid_{number}"]) / max(spokes, 1.0))


def signal_to_noise(images: Image, noise: float) -> float:
    """Return the mean of the object over the standard deviation of the real part of the noise; 0 where not known."""
    object_ = images[images > _OBJECT * images.max()] if images.max() > 0 else images
    return float(object_.mean() / (noise / np.sqrt(2))) if noise > 0 else 0.0


def _probes(problems: Sequence[Problem], count: int) -> tuple[int, ...]:
    """Return problems spread evenly over those with signal."""
    energy = np.array([float(np.linalg.norm(problem.samples)) for problem in problems])
    full = np.flatnonzero(energy > 0.4 * energy.max())
    places = np.unique(np.linspace(0, len(full) - 1, min(count, len(full)) + 2).round().astype(int)[1:-1])
    return tuple(int(full[place]) for place in places) if len(full) > 2 else tuple(int(k) for k in full)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Which method is delivered, what speaks against the learned one, and how the methods did on the probes."""

    method: str
    outside: Outside
    delivered: _Tried
    classical: _Tried


def _judged(job: _Job, outside: Outside) -> _Judged:
    """Try the methods out on the probes; the learned one only where nothing speaks against it yet."""
    classical = _tried(job, job.basis)
    if not outside and job.basis == CLASSICAL:
        try:
            learnt = _tried(job, LEARNED)
        except ImagingRefused:
            return _Judged(job.basis, Outside.CALIBRATION, classical, classical)
        outside = _compared(learnt, classical, job.settings)
        if not outside:
            return _Judged(LEARNED, outside, learnt, classical)
    return _Judged(job.basis, outside, classical, classical)


def _numbers(judged: _Judged) -> dict[str, float]:
    """Return the facts of the images that are delivered, and of the classical ones beside them."""
    delivered, classical = judged.delivered, judged.classical
    numbers = {"held_out": delivered.held_out, "held_out_classical": classical.held_out}
    if (lesions := delivered.lesions) is not None:
        numbers |= {"weakest": lesions.weakest, "mean": lesions.mean, "elsewhere": lesions.elsewhere}
    if (lesions := classical.lesions) is not None:
        numbers |= {"weakest_classical": lesions.weakest, "elsewhere_classical": lesions.elsewhere}
    return numbers


def _lost(tried: _Tried, settings: Mapping[str, Any]) -> Outside:
    """Say whether a test lesion came back too weak by the method that is delivered."""
    held = tried.lesions is None or tried.lesions.weakest >= float(settings["weakest"])
    return Outside(0) if held else Outside.LESION_LOST


def _compared(learnt: _Tried, classical: _Tried, settings: Mapping[str, Any]) -> Outside:
    """Return which proofs the learned method fails: none where its images are delivered.

    Where a lesion comes back too weak by it, they are delivered only if the classical ones lose about as much, or are
    far from the lines that were left out.
    """
    found = Outside(0)
    if not learnt.contradicted <= max(float(settings["contradicted"]), 1.5 * classical.contradicted):
        found |= Outside.RESIDUAL
    if not learnt.held_out <= float(settings["held_out_ratio"]) * classical.held_out:
        found |= Outside.HELD_OUT
    if learnt.lesions is None or classical.lesions is None:
        return found | Outside.UNTRIED
    if not learnt.lesions.elsewhere <= max(float(settings["elsewhere"]), 1.5 * classical.lesions.elsewhere):
        found |= Outside.LESION_ADDED
    needed = min(float(settings["weakest"]), float(settings["keeps"]) * classical.lesions.weakest)
    closer = learnt.held_out <= _MUCH_CLOSER * classical.held_out
    if not learnt.lesions.weakest >= (_AT_LEAST * classical.lesions.weakest if closer else needed):
        found |= Outside.LESION_LESS
    return found


def _tried(job: _Job, method: str) -> _Tried:
    errors: list[float] = []
    found: list[Recovery] = []
    contradicted = [0.0]
    for number in job.probes:
        problem, made = job.problems[number], job.of(number, method)
        fewer = problem.fewer(float(job.settings["left_out_share"]), number)
        missing = problem.mask & ~fewer.mask
        errors.append(misfit(problem, fewer.made(job.session, method), missing, job.noise))
        lesions = lesions_for(job.of(number, job.basis).images[0], problem.maps, job.settings["lesions"])
        if lesions is not None:
            after = problem.with_added(lesions.image).made(job.session, method)
            found.append(recovery(lesions, made.magnitudes()[0], after.magnitudes()[0]))
            contradicted.append(contradiction(problem, made, lesions))
    worst = None
    if found:
        worst = Recovery(
            min(item.weakest for item in found),
            float(np.mean([item.mean for item in found])),
            max(item.elsewhere for item in found),
        )
    return _Tried(float(np.mean(errors)), worst, max(contradicted))


def _all(job: _Job, method: str) -> tuple[Image, Image, dict[str, float]]:
    """Return images and spread (planes, a, b) of all problems by one method, and how they agree with the samples.

    ``residual`` and ``worst_residual``: the misfit of measured samples, the mean and that of the worst plane, for a
    plane without room for a test lesion has no other proof. ``contradicted``: the largest structure of any plane.
    """
    images, spreads, residuals, contradicted = [], [], [], [NOT_MEASURED]
    members = 0 if method == WHOLE else int(job.settings["members"])
    share = float(job.settings["left_out_share"])
    for number, problem in enumerate(job.problems):
        made = job.of(number, method)
        residuals.append(misfit(problem, made, problem.mask, job.noise))
        images.append(made.magnitudes())
        finite = bool(np.isfinite(made.images).all())
        lesions = lesions_for(made.images[0], problem.maps, job.settings["lesions"]) if finite else None
        if not finite:
            contradicted.append(float("inf"))
        elif lesions is not None:
            contradicted.append(contradiction(problem, made, lesions))
        others = [problem.fewer(share, 1000 + k).made(job.session, method).magnitudes() for k in range(members)]
        spreads.append(_standard_error(images[-1], others, share))
    facts = {"residual": float(np.mean(residuals)), "worst_residual": max(residuals), "contradicted": max(contradicted)}
    return _by_plane(images), _by_plane(spreads), facts


def _standard_error(image: Image, others: Sequence[Image], share: float) -> Image:
    """Return how far the image would be from one of other samples, by the jackknife of images without a share of them.

    Images that lack a share d of n samples differ by less than images of n other ones: by the root of d / (n - d)
    (Shao and Wu 1989, Ann Statist 17:1176). Lines are no independent samples, so it is a guide; see README.md.
    """
    if not others:
        return np.zeros_like(image)
    apart = np.mean([np.square(other - image) for other in others], axis=0)
    return np.asarray(np.sqrt(apart * (1 - share) / share), dtype=np.float32)


def _agrees(job: _Job, seen: Mapping[str, float]) -> bool:
    """Say whether images of every plane agree with the samples about as well as the classical ones of the probes do."""
    classical = [misfit(job.problems[k], job.of(k, job.basis), job.problems[k].mask, job.noise) for k in job.probes]
    close = seen["worst_residual"] <= float(job.settings["residual_ratio"]) * float(np.mean(classical))
    return close and seen["contradicted"] <= float(job.settings["contradicted"]) * _EVERY_PLANE


def _relative(spread: Image, images: Image) -> float:
    """Return the mean spread over the object as a share of its mean signal."""
    inside = images > _OBJECT * float(images.max())
    return float(spread[inside].mean() / images[inside].mean()) if inside.any() else 0.0
