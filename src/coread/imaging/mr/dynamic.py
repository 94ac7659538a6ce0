"""Series of images over time from few samples of each: a low-rank part and a sparse part (Otazo et al. 2015).

Minimises ``1/2 |A (L + S) - y|^2 + low_rank r |L|_* + sparse m |T S|_1`` over all frames together: L holds what frames
share, S what moves, T is the Fourier transform over time; r is the largest singular value and m the largest temporal
coefficient of ``A^H y``, so that weights mean the same in every scanner's units. Both parts are found by accelerated
proximal gradients with the step 1/2 of their joint operator.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, ImageTooLarge
from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.encoding import PLANE, Mask, check_maps, check_penalty, check_samples, lean
from coread.imaging.mr.fourier import Complex, to_image, transforms
from coread.imaging.mr.wavelet import soften

DEFAULT_LOW_RANK = 0.01
DEFAULT_SPARSE = 0.002
DEFAULT_ITERATIONS = 60
DEFAULT_TOLERANCE = 1e-3
MOST_PIXELS = 1 << 26
"""Pixels of all frames together, some 6 GiB with what iterations hold: more is given slice by slice or in parts."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesEncoding:
    """The encoding of frames that share coil maps; images (frames, a, b) have moved axes (ifftshift of the planes)."""

    maps: Complex
    """(coils, a, b)."""
    kept: NDArray[np.float32]
    """Masks (frames, a, b), (frames, a, 1) or (frames, 1, b)."""
    axes: tuple[int, ...]
    backprojected: Complex
    """``A^H y`` (frames, a, b)."""
    largest: float
    workers: int = 1

    def normal(self, images: Complex) -> Complex:
        """Return ``A^H A images``, frame by frame."""
        if self.workers < 2:
            return np.stack([self._of_frame(images, k) for k in range(len(images))])
        with ThreadPoolExecutor(self.workers) as pool:
            return np.stack(list(pool.map(lambda k: self._of_frame(images, k), range(len(images)))))

    def _of_frame(self, images: Complex, frame: int) -> Complex:
        fft = transforms()
        total: Complex = np.zeros_like(images[frame])
        for sensitivity in self.maps:
            seen = fft.fftn(sensitivity * images[frame], axes=self.axes, overwrite_x=True)
            seen *= self.kept[frame]
            total += sensitivity.conj() * fft.ifftn(seen, axes=self.axes, overwrite_x=True)
        return total


def low_rank_plus_sparse(
    samples: Complex,
    masks: Mask,
    maps: Complex,
    *,
    low_rank: float = DEFAULT_LOW_RANK,
    sparse: float = DEFAULT_SPARSE,
    iterations: int = DEFAULT_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
    workers: int = 1,
) -> Complex:
    """Return images (frames, a, b) of samples (frames, coils, a, b), taken where masks (frames, a, b) say.

    ``maps`` (coils, a, b) hold for all frames. It ends after ``iterations``, or when the series changed by less than
    ``tolerance`` of its norm. Raises BadSamples for what does not fit, is not finite, or is a single frame, and
    ImageTooLarge for more pixels than memory is planned for.
    """
    for weight in (low_rank, sparse):
        check_penalty(weight, iterations)
    encoded = series_encoding(samples, masks, maps, workers=workers)
    with one_blas_thread():
        images = separated(encoded, low_rank, sparse, iterations, tolerance)
    return np.fft.fftshift(images, axes=PLANE)


def separated(encoded: SeriesEncoding, low_rank: float, sparse: float, iterations: int, tolerance: float) -> Complex:
    """Minimise, with weights as in ``low_rank_plus_sparse``; the images have moved axes, as ``encoded`` has."""
    first = encoded.backprojected
    rank_weight = low_rank * float(np.sqrt(max(float(_shared(first)[0].max()), 0.0)))
    sparse_weight = sparse * float(np.abs(_over_time(first)).max())
    step = 0.5 / encoded.largest
    common, moving = np.zeros_like(first), np.zeros_like(first)
    ahead, momentum = (common, moving), 1.0
    for _ in range(iterations):
        slope = np.float32(step) * (encoded.normal(ahead[0] + ahead[1]) - first)
        found = (
            of_few_ranks(ahead[0] - slope, step * rank_weight),
            of_few_times(ahead[1] - slope, step * sparse_weight),
        )
        grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
        share = np.float32((momentum - 1.0) / grown)
        ahead = found[0] + share * (found[0] - common), found[1] + share * (found[1] - moving)
        change = _norm(found[0] + found[1] - common - moving)
        (common, moving), momentum = found, grown
        if change <= tolerance * _norm(common + moving):
            break
    return common + moving


def series_encoding(samples: Complex, masks: Mask, maps: Complex, *, workers: int = 1) -> SeriesEncoding:
    """Return the encoding of a series; see ``low_rank_plus_sparse`` for shapes and refusals."""
    if samples.ndim != 4 or len(samples) < 2 or masks.shape != (len(samples), *samples.shape[2:]):
        raise BadSamples(
            "a series is (frames, coils, a, b) of two frames or more with masks (frames, a, b); got "
            f"{samples.shape} and {masks.shape}"
        )
    if masks.size > MOST_PIXELS:
        raise ImageTooLarge(f"{masks.size} pixels of all frames at once; give slices one by one")
    for frame, mask in zip(samples, masks, strict=True):
        check_samples(frame, mask)
    check_maps(samples[0], maps)
    moved = np.fft.ifftshift(maps, axes=PLANE).astype(np.complex64, copy=False)
    conjugate = moved.conj()
    backprojected = np.empty(masks.shape, dtype=np.complex64)
    for k, (frame, mask) in enumerate(zip(samples, masks, strict=True)):
        images = to_image(np.where(mask, frame, np.complex64(0)), workers=workers)
        backprojected[k] = np.einsum("cab,cab->ab", conjugate, np.fft.ifftshift(images, axes=PLANE))
    kept, axes = lean(np.fft.ifftshift(masks, axes=PLANE).astype(np.float32))
    largest = float(np.square(np.abs(moved)).sum(axis=0).max())
    return SeriesEncoding(moved, kept, axes, backprojected, largest, workers)


def of_few_ranks(images: Complex, threshold: float) -> Complex:
    """Return the series (frames, a, b) with its singular values made smaller by ``threshold``, at least 0.

    Pixels x frames has at most as many singular values as frames: they are those of its small Gram matrix.
    """
    energies, directions = _shared(images)
    values = np.sqrt(np.maximum(energies, 0))
    kept = np.maximum(1 - threshold / np.maximum(values, 1e-30), 0)
    project = ((directions * kept) @ directions.conj().T).astype(np.complex64)
    return (project @ images.reshape(len(images), -1)).reshape(images.shape)


def of_few_times(images: Complex, threshold: float) -> Complex:
    """Return the series with the magnitudes of its temporal spectrum made smaller by ``threshold``, at least 0."""
    spectrum = _over_time(images)
    soften(spectrum, np.float32(threshold))
    return np.asarray(transforms().ifft(spectrum, axis=0, norm="ortho", overwrite_x=True), dtype=np.complex64)


def _shared(images: Complex) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return squared singular values and directions of frames: eigenvalues of the frames' inner products."""
    flat = images.reshape(len(images), -1)
    energies, directions = np.linalg.eigh((flat @ flat.conj().T).astype(np.complex128))
    return energies, directions


def _over_time(images: Complex) -> Complex:
    return np.asarray(transforms().fft(images, axis=0, norm="ortho"), dtype=np.complex64)


def _norm(values: Complex) -> float:
    return float(np.linalg.norm(values.ravel()))
