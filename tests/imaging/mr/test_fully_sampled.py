import numpy as np
import pytest

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace, RawHeader
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.fully_sampled import reference_images, undersampled
from coread.imaging.mr.image_grid import on_image_grid
from coread.imaging.mr.masks import MaskKind, MaskPlan

RANDOM = np.random.default_rng(3)


def _kspace(slices: int = 2, partitions: int = 1, lines: int = 32, readout: int = 48) -> tuple[KSpace, np.ndarray]:
    images = RANDOM.standard_normal((1, slices, 3, partitions, lines, readout)).astype(np.complex64)
    axes = (-3, -2, -1) if partitions > 1 else (-2, -1)
    affine = ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (5.0, 0.0, 0.0, 0.0))
    geometry = Geometry((slices * partitions, lines, readout // 2), affine, "1.2.3")
    mask = np.ones((1, slices, partitions, lines), dtype=bool)
    return KSpace(to_samples(images, axes=axes), mask, geometry, RawHeader()), images


@pytest.mark.parametrize("partitions", [1, 4])
def test_images_of_all_samples_are_the_root_sum_of_squares_within_the_field_of_view(partitions: int) -> None:
    kspace, images = _kspace(partitions=partitions)
    found = reference_images(kspace)
    whole = np.sqrt((np.abs(images[0]) ** 2).sum(axis=1)).reshape(-1, 32, 48)
    assert found.shape == kspace.geometry.shape
    np.testing.assert_allclose(found, whole[:, :, 12:36], rtol=1e-4)


@pytest.mark.parametrize("kind", list(MaskKind))
@pytest.mark.parametrize("partitions", [1, 16])
def test_left_out_samples_are_zero_and_kept_ones_untouched(kind: MaskKind, partitions: int) -> None:
    kspace, _ = _kspace(partitions=partitions)
    fewer = undersampled(kspace, MaskPlan(kind, 2.0, corners=True), 5)
    mask = fewer.mask if fewer.mask.ndim == 5 else fewer.mask[..., np.newaxis]
    taken = np.broadcast_to(mask[:, :, np.newaxis], kspace.samples.shape)
    assert np.array_equal(fewer.samples[taken], kspace.samples[taken])
    assert not fewer.samples[~taken].any()
    assert 1.5 < fewer.acceleration() < 3.0


def test_an_image_is_cut_about_the_centre_of_the_field_of_view() -> None:
    image = np.zeros((33, 48), dtype=np.float32)
    image[33 // 2, 48 // 2] = 1
    cut = on_image_grid(image, 21, 24)
    assert cut[21 // 2, 24 // 2] == 1
    with pytest.raises(InvalidRecord, match="do not hold"):
        on_image_grid(image, 40, 24)
