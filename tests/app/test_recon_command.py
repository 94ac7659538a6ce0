import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace, RawHeader
from coread.imaging.mr.files import ismrmrd
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.fully_sampled import reference_images, undersampled
from coread.imaging.mr.masks import MaskKind, MaskPlan
from coread.imaging.mr.methods import Method
from coread.imaging.mr.metrics import psnr
from coread.imaging.mr.simulate import Scanner, simulated
from coread.imaging.nifti import read_nifti
from tests.imaging.mr.drawn_slices import ellipses

RUN = CliRunner()


@pytest.fixture(scope="module")
def full() -> KSpace:
    made = [simulated(ellipses((64, 64)), Scanner(coils=6, signal_to_noise=60), seed) for seed in (1, 2)]
    samples = np.stack([one.samples for one in made])[np.newaxis, :, :, np.newaxis]
    affine = ((0.0, 0.0, 2.0, -64.0), (0.0, 2.0, 0.0, -64.0), (5.0, 0.0, 0.0, 0.0))
    mask = np.ones((1, 2, 1, 64), dtype=bool)
    header = RawHeader(patient_id="RAW1", protocol_name="T1", synthetic=True)
    return KSpace(samples, mask, Geometry((2, 64, 64), affine, "1.2.3"), header)


@pytest.fixture(scope="module")
def raw(full: KSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "scan.h5"
    ismrmrd.write(path, undersampled(full, MaskPlan(MaskKind.EQUISPACED, 2.0, 0.25), 1))
    return path


@pytest.mark.parametrize("method", [method for method in Method if method is not Method.ZERO_FILLED])
def test_every_classical_method_is_nearer_to_the_truth_than_no_method(
    method: Method, raw: Path, full: KSpace, tmp_path: Path
) -> None:
    told = RUN.invoke(app, ["recon", "run", str(raw), "--method", method.value, "--out", str(tmp_path), "--json"])
    assert told.exit_code == ExitCode.OK, told.output
    answer = json.loads(told.stdout)
    assert answer["images"] == [1, 2, 64, 64]
    nifti, picture = (Path(name) for name in answer["files"])
    found = read_nifti(nifti)[0]
    truth = reference_images(full)
    assert psnr(truth, found) > psnr(truth, reference_images(open_raw(raw))) + 3
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_a_file_holds_is_told_and_what_is_none_is_refused(raw: Path, tmp_path: Path) -> None:
    told = RUN.invoke(app, ["recon", "info", str(raw), "--json"])
    assert told.exit_code == ExitCode.OK, told.output
    answer = json.loads(told.stdout)
    assert (answer["coils"], answer["slices"], answer["synthetic"]) == (6, 2, True)
    assert 1.5 < answer["acceleration"] < 2.5
    assert RUN.invoke(app, ["recon", "info", str(tmp_path / "none.h5")]).exit_code == ExitCode.NOT_FOUND
    broken = tmp_path / "broken.h5"
    broken.write_bytes(raw.read_bytes()[:3000])
    refused = RUN.invoke(app, ["recon", "run", str(broken), "--method", "sense", "--out", str(tmp_path / "out")])
    assert refused.exit_code != ExitCode.OK
    assert not (tmp_path / "out").exists(), "nothing half-written"
    assert RUN.invoke(app, ["recon", "run", str(raw), "--method", "magic"]).exit_code == ExitCode.USAGE


def test_lines_without_a_calibration_block_are_refused_with_the_reason(full: KSpace, tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    ismrmrd.write(path, undersampled(full, MaskPlan(MaskKind.RANDOM, 4.0, 0.0), 5))
    told = RUN.invoke(app, ["recon", "info", str(path), "--json"])
    assert told.exit_code == ExitCode.NOT_ANALYSED
    assert "middle of k-space" in json.loads(told.stdout)["reason"]


def test_wrapped_raw_data_are_the_same_raw_data(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw.dcm"
    assert RUN.invoke(app, ["recon", "wrap", str(raw), str(out)]).exit_code == ExitCode.OK
    one, other = open_raw(raw), open_raw(out)
    assert np.array_equal(one.samples, other.samples)
    assert other.header.patient_id == "RAW1"


@pytest.mark.parametrize("method", ["sense", "l1-wavelet"])
def test_reference_lines_of_a_scan_of_their_own_give_the_sensitivities(
    method: str, full: KSpace, tmp_path: Path
) -> None:
    plan = MaskPlan(MaskKind.EQUISPACED, 2.0, 0.0)
    fewer = undersampled(full, plan, 1)
    middle = np.zeros(64, dtype=bool)
    middle[20:44] = True
    reference = np.where(middle[:, np.newaxis], full.samples[0], np.complex64(0)) * np.complex64(3)
    path = tmp_path / "apart.h5"
    ismrmrd.write(path, replace(fewer, calibration=reference))
    told = RUN.invoke(app, ["recon", "run", str(path), "--method", method, "--out", str(tmp_path), "--json"])
    assert told.exit_code == ExitCode.OK, told.output
    found = read_nifti(Path(json.loads(told.stdout)["files"][0]))[0]
    truth = reference_images(full)
    assert psnr(truth, found) > psnr(truth, reference_images(open_raw(path))) + 3


def test_nothing_is_written_over_the_raw_file_or_into_no_folder(raw: Path, tmp_path: Path) -> None:
    before = raw.read_bytes()
    assert RUN.invoke(app, ["recon", "wrap", str(raw), str(raw)]).exit_code == ExitCode.USAGE
    assert raw.read_bytes() == before
    nowhere = str(tmp_path / "no" / "such.dcm")
    assert RUN.invoke(app, ["recon", "wrap", str(raw), nowhere]).exit_code == ExitCode.NOT_FOUND
    planned = RUN.invoke(app, ["recon", "plan", "--protocol", "brain-example", "--sequence", "T2*", "--to", nowhere])
    assert planned.exit_code == ExitCode.NOT_FOUND
    assert "Nothing was written" in planned.stderr
