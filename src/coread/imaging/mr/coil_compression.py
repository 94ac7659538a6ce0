"""Fewer virtual coils that hold nearly all of the signal: time and memory of all that follows fall with them."""

import numpy as np

from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.fourier import Complex, to_image, to_samples


def compressed(samples: Complex, coils: int) -> Complex:
    """Return the ``coils`` strongest principal components of samples (coils, …): (virtual coils, …) (Buehrer 2007).

    They are orthogonal combinations, so white noise stays white. Raises ValueError for fewer than 1 coil or more than
    there are.
    """
    return np.asarray(np.tensordot(compression_matrix(samples, coils), samples, axes=1), dtype=np.complex64)


def compression_matrix(samples: Complex, coils: int) -> Complex:
    """Return the combinations (virtual coils, coils) of orthonormal rows that hold most of samples (coils, …)."""
    if not 1 <= coils <= len(samples):
        raise ValueError(f"{coils} virtual coils cannot be made of {len(samples)} coils")
    flat = samples.reshape(len(samples), -1)
    return _strongest(flat @ flat.conj().T, coils)


def geometrically_compressed(samples: Complex, coils: int) -> Complex:
    """Return samples (coils, a, b) with fully sampled readout b in ``coils`` virtual coils that differ along it.

    Geometric coil compression (Zhang 2013, Magn Reson Med 69:571): at every place of the readout the coils that hold
    most there, turned so that neighbouring places agree best, since maps and k-space must stay smooth. It loses less
    than one compression for all where coils are spread along the readout. Raises ValueError as ``compressed`` does.
    """
    if not 1 <= coils <= len(samples):
        raise ValueError(f"{coils} virtual coils cannot be made of {len(samples)} coils")
    hybrid = to_image(samples, axes=(-1,))
    places = np.ascontiguousarray(hybrid.transpose(2, 0, 1))
    with one_blas_thread():
        matrices = _aligned(_strongest(places @ places.conj().swapaxes(1, 2), coils))
        found = matrices @ places
    return to_samples(np.ascontiguousarray(found.transpose(1, 2, 0)), axes=(-1,))


def _strongest(gram: Complex, coils: int) -> Complex:
    """Return the leading eigenvectors of Gram matrices (…, n, n) as conjugate rows (…, coils, n)."""
    vectors = np.linalg.eigh(gram)[1][..., ::-1][..., :coils]
    return np.asarray(vectors.conj().swapaxes(-1, -2), dtype=np.complex64)


def _aligned(matrices: Complex) -> Complex:
    """Turn each of (places, virtual coils, coils) to the one nearer the middle (orthogonal Procrustes problem)."""
    turned = matrices.copy()
    middle = len(matrices) // 2
    for places, step in ((range(middle + 1, len(matrices)), -1), (range(middle - 1, -1, -1), 1)):
        for place in places:
            left, _, right = np.linalg.svd(turned[place + step] @ matrices[place].conj().T)
            turned[place] = left @ right @ matrices[place]
    return turned
