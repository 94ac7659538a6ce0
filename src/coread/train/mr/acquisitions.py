"""Simulated undersampled acquisitions to learn from, drawn one after another from magnitude images.

Lines: the whole phase encoding of a strip of the image. Every column along the readout is measured on its own then, so
a strip teaches what the whole image would and costs a fifth. Points: a square piece, transformed along both axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from coread.imaging.mr.learned_inputs import MOST_LINES, scale_of, tapered_block
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, fat_phase, loop_sensitivities, smooth_phase
from coread.train.errors import BadPlan
from coread.train.mr.operators import Encoding, of_lines, of_points

Image = NDArray[np.float32]
Complex = NDArray[np.complex64]
_TRIES = 20
_LINE_KINDS = (MaskKind.EQUISPACED, MaskKind.RANDOM, MaskKind.EQUISPACED, MaskKind.MAGIC)
_SPEEDS = (4.0, 8.0)


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """What acquisitions are drawn."""

    pixels: int = 20_000
    """Of a strip, about."""
    side: int = 144
    """Of a piece for points."""
    points_share: float = 0.25
    """Of acquisitions that sample points instead of lines."""
    other_speeds: float = 0.2
    """Share of accelerations from 2 to 10 other than 4 and 8."""
    coils: tuple[int, int] = (4, 8)
    signal_to_noise: tuple[float, float] = (15.0, 100.0)
    fat_share: float = 0.0
    """Of acquisitions in which fat has another phase than water."""
    seed: int = 20261129

    def __post_init__(self) -> None:
        if not (0 <= self.points_share <= 1 and 0 <= self.fat_share <= 1) or self.side < 32 or self.pixels < 2048:
            raise BadPlan("points_share and fat_share lie in [0, 1], side is at least 32 and pixels at least 2048")
        if not 1 <= self.coils[0] <= self.coils[1] or not 0 < self.signal_to_noise[0] <= self.signal_to_noise[1]:
            raise BadPlan("coils and signal_to_noise are (least, most), above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Magnitude images (a, b) of one kind and how often it is drawn from, as a share."""

    images: Sequence[Image]
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Acquisition:
    """One slice as it would have been measured, and the truth; values are brought to the scale of ``scale_of``."""

    samples: Tensor
    """Lines: (coils, 2, sampled lines, b) in hybrid space; points: (coils, 2, a, b) with zeros where not sampled."""
    mask: Tensor
    """(a,) or (a, b)."""
    block: Tensor
    """(coils, 2, m, n), tapered."""
    truth: Tensor
    """(coils, 2, a, b) images of the coils without noise; (coils, 2, 0, 0) where nobody knows it."""
    held_mask: Tensor | None = None
    """What was sampled too, but is kept from the network to judge it by; as ``mask``."""
    held: Tensor | None = None
    """The samples of ``held_mask``; as ``samples``."""

    def encoding(self) -> Encoding:
        """Return the encoding of the mask."""
        return of_lines(self.mask) if self.mask.dim() == 1 else of_points(self.mask)


class DrawnAcquisitions(Dataset[Acquisition]):
    """Acquisition number ``first + k`` of a plan, the same whenever it is drawn."""

    def __init__(self, sources: Sequence[Source], plan: DrawPlan, first: int, count: int) -> None:
        if not sources or any(not len(source.images) for source in sources):
            raise BadPlan("acquisitions are drawn from at least one source, and every source has images")
        self._sources, self._plan, self._first, self._count = sources, plan, first, count

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: int) -> Acquisition:
        """Draw one."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        return draw(self._sources, self._plan, self._first + index)


def draw(sources: Sequence[Source], plan: DrawPlan, number: int) -> Acquisition:
    """Draw the acquisition of that number."""
    random = np.random.default_rng([plan.seed, number])
    shares = np.array([source.share for source in sources])
    source = sources[int(random.choice(len(sources), p=shares / shares.sum()))]
    image = _varied(np.asarray(source.images[int(random.integers(len(source.images)))]), random)
    speed = float(random.choice(_SPEEDS)) if random.random() > plan.other_speeds else float(random.uniform(2, 10))
    lines = random.random() >= plan.points_share
    shape = (image.shape[0], image.shape[1])
    scanner = Scanner(
        coils=int(random.integers(plan.coils[0], plan.coils[1] + 1)),
        signal_to_noise=float(np.exp(random.uniform(*np.log(plan.signal_to_noise)))),
        phase_radians=float(random.uniform(0, 2)),
    )
    kind = _LINE_KINDS[int(random.integers(len(_LINE_KINDS)))] if lines else MaskKind.POISSON
    size = (shape[0], max(32, min(shape[1], plan.pixels // shape[0]))) if lines else (plan.side, plan.side)
    cut = _piece(image, size, random)
    piece = image[cut]
    # Fields span the whole image: a strip sees its part of them.
    maps = loop_sensitivities(shape, scanner, random)[:, *cut]
    phase = np.exp(1j * smooth_phase(shape, scanner.phase_radians, random))[cut]
    if plan.fat_share > 0 and random.random() < plan.fat_share:
        phase = phase * fat_phase(image, random)[cut]
    truth = np.asarray(maps * (piece * phase), dtype=np.complex64)
    deviation = float(image[image > 0.1 * image.max()].mean()) / scanner.signal_to_noise
    most = (MOST_LINES, max(6, round(MOST_LINES * piece.shape[1] / shape[1])) if lines else MOST_LINES)
    seed = [int(part) for part in random.integers(2**31, size=4)]
    mask = sampling_mask(MaskPlan(kind, speed), (piece.shape[0], piece.shape[1]), seed)
    return measured(truth, mask, deviation, most, random)


def measured(
    truth: Complex, mask: NDArray[np.bool_], deviation: float, most: tuple[int, int], random: np.random.Generator
) -> Acquisition:
    """Return the acquisition of coil images (coils, a, b) through a mask (a, b), with noise of that deviation."""
    noise = random.standard_normal((2, *truth.shape), dtype=np.float32) * np.float32(deviation)
    full = _transformed(truth, (-2, -1)) + noise[0] + 1j * noise[1]
    samples = np.asarray(full * mask, dtype=np.complex64)
    return prepared(samples, mask, most, truth=truth)


def prepared(
    samples: Complex, mask: NDArray[np.bool_], most: tuple[int, int], *, truth: Complex | None = None
) -> Acquisition:
    """Return samples (coils, a, b) as a network takes them; without a truth, ``truth`` is empty (coils, 2, 0, 0)."""
    block = tapered_block(samples, mask, most)
    if block is None:
        raise BadPlan("the middle of k-space was not sampled: sensitivities cannot be learnt from it")
    scale = scale_of(block, (mask.shape[0], mask.shape[1]))
    if not scale > 0:
        raise BadPlan("the middle of k-space holds no signal")
    lines = bool((mask == mask[:, :1]).all())
    taken = mask[:, 0] if lines else mask
    kept = _transformed(samples[:, taken], (-1,), inverse=True) if lines else samples
    known = truth if truth is not None else np.zeros((len(samples), 0, 0), dtype=np.complex64)
    return Acquisition(
        pair(kept / scale), torch.from_numpy(np.ascontiguousarray(taken)), pair(block / scale), pair(known / scale)
    )  # fmt: skip


def pair(values: Complex) -> Tensor:
    """Return complex values (coils, a, b) as real ones (coils, 2, a, b)."""
    return torch.from_numpy(np.stack((values.real, values.imag), axis=1).astype(np.float32))


def _varied(image: Image, random: np.random.Generator) -> Image:
    """Turn, mirror and change the contrast of an image; values stay non-negative."""
    turned = image.T if random.random() < 0.5 else image
    turned = turned[:: random.choice((1, -1)), :: random.choice((1, -1))]
    top = float(turned.max())
    return np.asarray(top * (turned / top) ** float(np.exp(random.normal(0, 0.2))), dtype=np.float32)


def _piece(image: Image, size: tuple[int, int], random: np.random.Generator) -> tuple[slice, slice]:
    """Return where a piece of at most this size lies that has at least half of the signal of the mean piece."""
    height, width = min(size[0], image.shape[0]), min(size[1], image.shape[1])
    mean = float(image.mean())
    cut = (slice(0, height), slice(0, width))
    for _ in range(_TRIES):
        top = int(random.integers(image.shape[0] - height + 1))
        left = int(random.integers(image.shape[1] - width + 1))
        cut = (slice(top, top + height), slice(left, left + width))
        if float(image[cut].mean()) > 0.5 * mean:
            break
    return cut


def _transformed(values: Complex, axes: tuple[int, ...], *, inverse: bool = False) -> Complex:
    from coread.imaging.mr.fourier import to_image, to_samples

    return np.asarray((to_image if inverse else to_samples)(values, axes), dtype=np.complex64)
