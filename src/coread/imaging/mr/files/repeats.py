"""How much lines that were sampled more than once disagree: the sign of motion that averages leave behind.

Each repeated line is compared with the mean of those before it, after one complex factor for each image and repeat (a
drift of phase or gain is no motion). Noise is what differs in the outermost lines, where there is no signal.
"""

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import Samples
from coread.imaging.mr.files.arrangement import Lines

_CENTRE = 8
"""The middle eighth to either side is compared."""
_OUTER = 3 / 8
"""Lines further than this share of the matrix from the centre show the noise."""


class _Sums:
    """Energies of repeats, of what they are compared with, their product and the number of values; by image."""

    def __init__(self, images: int) -> None:
        self.of_new = np.zeros(images)
        self.of_mean = np.zeros(images)
        self.product = np.zeros(images, np.complex128)
        self.count = np.zeros(images)

    def add(self, image: NDArray[np.int64], new: Samples, mean: Samples) -> None:
        """Add lines (n, coils, samples) of images (n,)."""
        np.add.at(self.of_new, image, (np.abs(new) ** 2).sum(axis=(1, 2), dtype=np.float64))
        np.add.at(self.of_mean, image, (np.abs(mean) ** 2).sum(axis=(1, 2), dtype=np.float64))
        np.add.at(self.product, image, (new * mean.conj()).sum(axis=(1, 2), dtype=np.complex128))
        np.add.at(self.count, image, float(new[0].size))

    def difference(self, factor: NDArray[np.complex128]) -> float:
        """Return the energy of what is left when the mean times a factor (images,) is taken away."""
        cross = 2 * (factor.conj() * self.product).real
        return float((self.of_new - cross + np.abs(factor) ** 2 * self.of_mean).sum())


class Repeats:
    """Fed with lines as they are read; ``disagreement`` answers at the end."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.averaged = 0
        """Lines that were sampled more than once."""
        self._inner: dict[int, _Sums] = {}
        self._outer: dict[int, _Sums] = {}

    def compare(self, samples: Samples, lines: Lines, span: slice, block: Samples, before: NDArray[np.uint16]) -> None:
        """Compare new lines with the mean of those before them, ``before`` of each, at the same places."""
        f, s, p, n = lines.frame, lines.slice_number, lines.partition, lines.line
        if not before.any():
            return
        _, slices, _, partitions, rows, _ = self._shape
        away = np.maximum(np.abs(n - rows // 2) / rows, np.abs(p - partitions // 2) / partitions)
        for chosen, sums in ((away <= 1 / _CENTRE, self._inner), (away >= _OUTER, self._outer)):
            here = np.flatnonzero(chosen & (before > 0))
            for turn in np.unique(before[here]):
                same = here[before[here] == turn]
                mean = samples[f[same], s[same], :, p[same], n[same], span] / np.float32(turn)
                kept = sums.setdefault(int(turn), _Sums(self._shape[0] * slices))
                kept.add(f[same] * slices + s[same], block[same], mean)

    def disagreement(self) -> float | None:
        """Return the root mean square difference of a line from the mean before it, over that of the mean.

        Noise is taken away where outer lines were repeated too. ``None`` where nothing near the centre was repeated.
        """
        difference, energy, count, noise, outer = 0.0, 0.0, 0.0, 0.0, 0.0
        for turn, sums in self._inner.items():
            factor = sums.product / np.maximum(sums.of_mean, np.finfo(np.float64).tiny)
            difference += sums.difference(factor)
            energy += float(sums.of_mean.sum())
            count += float(sums.count.sum())
            if turn in self._outer:
                noise += self._outer[turn].difference(factor)
                outer += float(self._outer[turn].count.sum())
        if not energy or not np.isfinite(difference) or not np.isfinite(energy):
            return None
        excess = difference - (noise / outer * count if outer and np.isfinite(noise) else 0.0)
        return float(np.sqrt(max(excess, 0.0) / energy))
