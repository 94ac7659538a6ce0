"""3D acquisitions: the same images as in memory, within bounds, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, RawTooLarge
from coread.imaging.mr import planes
from coread.imaging.mr.espirit import EspiritOptions, espirit_maps
from coread.imaging.mr.fourier import to_image
from coread.imaging.mr.planes import reconstructed_planes
from coread.imaging.mr.sense import cg_sense
from tests.imaging.mr.drawn_slices import difference, drawn_slice

Complex = NDArray[np.complex64]
SHAPE = (3, 10, 12, 14)


def random_samples(shape: tuple[int, ...] = SHAPE) -> Complex:
    random = np.random.default_rng(5)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def first_coil(samples: Complex, mask: NDArray[np.bool_]) -> Complex:
    return to_image(samples[0])


@pytest.mark.parametrize(("block_bytes", "workers"), [(1, 1), (14_000, 2), (2**30, 1)])
def test_blocks_and_threads_do_not_change_the_volume(tmp_path: Path, block_bytes: int, workers: int) -> None:
    samples, mask = random_samples(), np.ones(SHAPE[1:3], dtype=bool)
    found = reconstructed_planes(samples, mask, first_coil, scratch=tmp_path, workers=workers, block_bytes=block_bytes)
    assert difference(found, to_image(samples, axes=(-3, -2, -1))[0]) < 1e-5
    assert not list(tmp_path.iterdir())


def test_only_the_places_that_are_wanted(tmp_path: Path) -> None:
    samples, mask = random_samples(), np.ones(SHAPE[1:3], dtype=bool)
    found = reconstructed_planes(samples, mask, first_coil, scratch=tmp_path, places=range(3, 11, 2))
    assert difference(found, to_image(samples, axes=(-3, -2, -1))[0, :, :, 3:11:2]) < 1e-5


def test_two_undersampled_phase_encodings(tmp_path: Path) -> None:
    """A volume whose planes are one slice at several brightnesses: coils of that slice, patterns of points."""
    made = drawn_slice(coils=6, shape=(48, 40), every=2, middle=16)
    mask = made.mask.copy()
    mask[:, ::3] = False
    mask[16:32, 12:28] = True
    brightness = np.array([1, 2, 0.5, 1.5], dtype=np.float32)
    hybrid = (made.samples * mask)[..., None] * brightness
    centred = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(hybrid, axes=-1), norm="ortho"), axes=-1)

    def method(samples: Complex, taken: NDArray[np.bool_]) -> Complex:
        return cg_sense(samples, taken, espirit_maps(samples, taken, EspiritOptions(calibration=16)), weight=0.001)

    volume = reconstructed_planes(centred.astype(np.complex64), mask, method, scratch=tmp_path, workers=2)
    alone = method((made.samples * mask).astype(np.complex64), mask)
    for number, factor in enumerate(brightness):
        assert difference(volume[:, :, number], alone * factor) < 0.01


def test_a_memory_map_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    samples, mask = random_samples(), np.ones(SHAPE[1:3], dtype=bool)
    np.save(tmp_path / "samples.npy", samples)
    for mode in ("r", "r+", "c"):
        mapped = np.load(tmp_path / "samples.npy", mmap_mode=mode)
        if mode == "c":
            mapped[:] = samples * 2
        found = reconstructed_planes(mapped[:], mask, first_coil, scratch=tmp_path)
        expected = to_image(samples * (2 if mode == "c" else 1), axes=(-3, -2, -1))[0]
        assert difference(found, expected) < 1e-5
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), samples)


BOUNDED = """
import sys
from pathlib import Path
import numpy as np
from coread.imaging.mr.fourier import to_image
from coread.imaging.mr.planes import reconstructed_planes
mapped = np.memmap(sys.argv[1], np.complex64, "r", shape=(8, 64, 128, 256))
to_image(np.zeros((2, 2), np.complex64))
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
volume = reconstructed_planes(mapped, np.ones((64, 128), bool), lambda samples, mask: samples[0],
                              scratch=Path(sys.argv[1]).parent, places=range(0, 256, 16), block_bytes=2**20)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back by madvise")
def test_memory_stays_below_the_size_of_the_samples(tmp_path: Path) -> None:
    size = 8 * 64 * 128 * 256 * 8
    with (tmp_path / "samples.dat").open("wb") as file:
        file.truncate(size)
    ran = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path / "samples.dat")], capture_output=True, text=True, check=True
    )
    assert 2**20 < int(ran.stdout) * 1024 < size / 4


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, mask = random_samples(), np.ones(SHAPE[1:3], dtype=bool)
    with pytest.raises(BadSamples):
        reconstructed_planes(samples, mask[1:], first_coil, scratch=tmp_path)
    with pytest.raises(BadSamples):
        reconstructed_planes(samples[0], mask, first_coil, scratch=tmp_path)
    with pytest.raises(BadSamples, match="places"):
        reconstructed_planes(samples, mask, first_coil, scratch=tmp_path, places=range(15))
    monkeypatch.setattr(planes, "_ITEM", 2**40)
    with pytest.raises(RawTooLarge):
        reconstructed_planes(samples, mask, first_coil, scratch=tmp_path)


def test_what_the_method_raises_comes_through_and_nothing_is_left(tmp_path: Path) -> None:
    def failing(samples: Complex, mask: NDArray[np.bool_]) -> Complex:
        raise BadSamples("this plane")

    with pytest.raises(BadSamples, match="this plane"):
        reconstructed_planes(random_samples(), np.ones(SHAPE[1:3], dtype=bool), failing, scratch=tmp_path, workers=2)
    assert not list(tmp_path.iterdir())
