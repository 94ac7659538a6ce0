"""What the MR reconstruction learns from: patients apart, measured frequencies alone, a site's own raw files."""

from pathlib import Path

import numpy as np
import pytest

from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, simulated
from coread.readers.mr_reconstruction import recipe
from coread.readers.mr_reconstruction.cohort import (
    HELD_OUT_MS,
    SIEMENS,
    TUMOUR,
    kept_apart,
    learnt,
    measured_only,
    tuned,
)
from coread.train.errors import BadPlan
from coread.train.mr.fitting import FACTS, WEIGHTS
from coread.train.mr.network import NetworkPlan, ReconstructionNetwork
from coread.train.selfsupervised import save_weights

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not (DATA / TUMOUR).is_dir(), reason="the folder of real data is not here")
def test_no_patient_is_on_both_sides() -> None:
    sides = [{(item.source, item.patient) for item in part(DATA)} for part in (learnt, tuned, kept_apart)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & sides[2]
    assert any(patient == HELD_OUT_MS for _, patient in sides[2])
    assert {source for source, _ in sides[2]} >= {SIEMENS, TUMOUR}


def test_frequencies_that_were_filled_with_zeros_are_cut_off() -> None:
    y, x = np.mgrid[-1:1:30j, -1:1:24j]
    small = (1 + (np.hypot(y, x) < 0.6)).astype(np.complex64)
    padded = np.zeros((40, 24), dtype=np.complex64)
    padded[5:35] = to_samples(small)
    interpolated = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(padded), norm="ortho")))
    found = measured_only(interpolated.astype(np.float32), (0.75, 1.0))
    assert found.shape == (30, 24)
    # The magnitude was taken in between, so it is near and not the same.
    np.testing.assert_allclose(found, np.abs(small), atol=0.12)


def test_a_site_learns_from_its_own_undersampled_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = NetworkPlan(cascades=1, width=8, deep_width=8, map_width=4)
    monkeypatch.setattr(recipe, "NetworkPlan", lambda: plan)
    written: list[Path] = []

    def write_graphs(_: ReconstructionNetwork, folder: Path) -> float:
        written.append(folder)
        return 0.0

    monkeypatch.setattr(recipe, "write_graphs", write_graphs)
    y, x = np.mgrid[-1:1:48j, -1:1:40j]
    made = simulated((100.0 * (np.hypot(y, x) < 0.8)).astype(np.float32), Scanner(coils=4), 1)
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 3, 0.2), (48, 40), 1)
    raw, start, out = tmp_path / "raw.npy", tmp_path / "start", tmp_path / "out"
    np.save(raw, made.samples * mask)
    start.mkdir()
    network = ReconstructionNetwork(plan)
    save_weights(network.state_dict(), start / WEIGHTS)
    (plane,) = recipe.measured_planes(raw)
    assert plane.samples.shape == (4, 48, 40)
    assert np.array_equal(plane.mask, mask)
    told = ["self-supervised", "--raw", str(raw), "--start", str(start), "--out", str(out), "--steps", "3"]
    assert recipe.main(told) == 0
    assert written == [out]
    assert (out / FACTS).is_file()
    with np.load(out / WEIGHTS) as stored:
        assert any(not np.array_equal(stored[name], value) for name, value in network.state_dict().items())
    with pytest.raises(BadPlan, match="no weights"):
        recipe.started(tmp_path, plan)
    with pytest.raises(SystemExit):
        recipe.main(["self-supervised", "--out", str(out)])
    with pytest.raises(SystemExit):
        recipe.main(["fit", "--out", str(out)])
