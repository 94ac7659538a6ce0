"""Real series: every one becomes volumes or is refused by name, and where dcm2niix converts it, both agree."""

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.images import Quantity, Volume
from coread.domain.reasons import ReasonCode
from coread.imaging.completeness import series_is_complete
from coread.imaging.header import scan_header
from coread.imaging.nifti import UnreadableNifti, nifti_volume, on_grid, read_nifti_series, write_volume
from coread.imaging.resampling import is_sheared, straightened
from coread.imaging.series import Choices, Gaps, load, open_series
from coread.phantoms.ct import ct_series, with_orientation
from tests.imaging.made_series import SMALL, Located, mr_slices, saved

pytestmark = pytest.mark.shared
SERIES = {
    "mr_brain_siemens_2_series/11-T1post-18670": (1, (22, 320, 280)),
    "mr_brain_siemens_2_series/36468-FLAIRreg-58706": (1, (22, 320, 280)),
    "dcm_seg_sr_objects/dcmqi/segmentations/ct-3slice": (1, (3, 512, 512)),
    "dcm_seg_sr_objects/dcmqi/segmentations/23x38x3/image": (1, (3, 38, 23)),
    "dcm_seg_sr_objects/dcmqi/segmentations/23x38x3/multiframe": (1, (3, 38, 23)),
    "dcm_seg_sr_objects/dcmqi/segmentations/24x38x3/image": (1, (3, 38, 24)),
    "dcm_seg_sr_objects/dcmqi/segmentations/24x38x3/multiframe": (1, (3, 38, 24)),
    "cine": (20, (12, 256, 256)),
}
"""Folder: volumes in it, and the shape of each."""


@pytest.fixture(scope="session")
def cine_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cine series of a real heart."""
    folder = tmp_path_factory.mktemp("cine")
    with zipfile.ZipFile(shared_data / "cardiac_mr_cine" / "SCD0000101.zip") as content:
        content.extractall(folder, [name for name in content.namelist() if name.startswith("dicom/")])
    return folder / "dicom"


@pytest.fixture
def series_of(real_folder: Path, cine_folder: Path) -> Callable[[str], Located]:
    """Located images of one of the folders above."""

    def find(name: str) -> Located:
        folder = cine_folder if name == "cine" else real_folder / name
        return [(path, scan_header(path)) for path in sorted(folder.iterdir()) if path.is_file()]

    return find


@pytest.fixture
def converted(need_program: Callable[[str], str], tmp_path: Path) -> Callable[[Path], list[Path]]:
    """What dcm2niix makes of a folder, nothing merged; the test is skipped where the program is absent."""
    program = need_program("dcm2niix")

    def convert(folder: Path) -> list[Path]:
        out = tmp_path / "converted"
        out.mkdir()
        command = [program, "-b", "n", "-z", "n", "-m", "n", "-f", "%s_%d_%r", "-o", str(out), str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return sorted(out.glob("*.nii"))

    return convert


def volumes_in(located: Located, choices: Choices | None = None) -> list[Volume]:
    return [load(stack, choices) for stack in open_series(located, choices).volumes()]


def same_place(volume: Volume, affine: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Every corner of one grid is a corner of the other, to 1e-3 mm."""
    ends = np.array(np.meshgrid(*([0, n - 1] for n in shape), indexing="ij")).reshape(3, -1).T
    theirs = ends @ affine[:3, :3].T + affine[:3, 3]
    mine = volume.geometry.to_patient(
        np.array(np.meshgrid(*([0, n - 1] for n in volume.voxels.shape), indexing="ij")).reshape(3, -1).T
    )
    apart = np.linalg.norm(theirs[:, None] - mine[None], axis=-1).min(axis=1)
    assert apart.max() < 1e-3


@pytest.mark.parametrize("name", SERIES)
def test_every_real_series_is_the_volumes_that_it_is(name: str, series_of: Callable[[str], Located]) -> None:
    count, shape = SERIES[name]
    located = series_of(name)
    opened = open_series(located)
    assert not opened.set_apart
    assert [stack.refusal for stack in opened.stacks] == [None] * count
    assert {stack.shape() for stack in opened.stacks} == {shape}
    assert series_is_complete([header for _, header in located]).complete


@pytest.mark.parametrize("name", SERIES)
def test_agreement_with_dcm2niix(
    name: str, series_of: Callable[[str], Located], converted: Callable[[Path], list[Path]]
) -> None:
    located = series_of(name)
    mine = volumes_in(located)
    (file,) = converted(located[0][0].parent)
    values, affine = read_nifti_series(file)
    assert len(values) == len(mine)
    for volume, theirs in zip(mine, values, strict=True):
        turned = on_grid(theirs, affine, volume.geometry.matrix())
        assert turned.shape == volume.voxels.shape
        assert np.array_equal(turned.astype(np.float32), volume.voxels)
        same_place(volume, affine, theirs.shape)


def test_dcm2niix_agrees_on_each_slice_of_ten_scanners(
    real_folder: Path, converted: Callable[[Path], list[Path]]
) -> None:
    folder = real_folder / "dcm_chest_ct_10_scanners"
    choices = Choices(min_slices=1)
    mine = [volumes_in([(path, scan_header(path))], choices)[0] for path in sorted(folder.glob("*.dcm"))]
    assert {volume.quantity for volume in mine} == {Quantity.HOUNSFIELD}
    files = converted(folder)
    assert len(files) == len(mine) == 10
    matched = 0
    for file in files:
        values, affine = read_nifti_series(file)
        for volume in mine:
            try:
                turned = on_grid(values[0], affine, volume.geometry.matrix())
            except UnreadableNifti:
                continue
            matched += bool(np.allclose(turned, volume.voxels, atol=1e-4))
            same_place(volume, affine, values[0].shape)
    assert matched == 10


@pytest.mark.parametrize("number", [0, 7, 13, 22, 31, 40, 47])
def test_dcm2niix_agrees_on_generated_directions(
    tmp_path: Path, number: int, converted: Callable[[Path], list[Path]]
) -> None:
    located = saved(tmp_path / "in", ct_series(with_orientation(SMALL, number)))
    (volume,) = volumes_in(located)
    (file,) = converted(tmp_path / "in")
    values, affine = read_nifti_series(file)
    assert np.array_equal(on_grid(values[0], affine, volume.geometry.matrix()), volume.voxels)
    same_place(volume, affine, values[0].shape)


def test_dcm2niix_agrees_on_echoes(tmp_path: Path, converted: Callable[[Path], list[Path]]) -> None:
    made = []
    for echo in (1, 2):
        for dataset in mr_slices(copy=str(echo)):
            dataset.EchoNumbers, dataset.EchoTime = echo, 2.0 * echo
            dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") + np.uint16(echo)).tobytes()
            made.append(dataset)
    mine = volumes_in(saved(tmp_path / "in", made))
    files = converted(tmp_path / "in")
    assert len(files) == len(mine) == 2
    for file in files:
        values, affine = read_nifti_series(file)
        turned = on_grid(values[0], affine, mine[0].geometry.matrix())
        assert sum(np.array_equal(turned, volume.voxels) for volume in mine) == 1


def test_the_tilted_head_with_gaps_is_refused_resampled_and_straightened(
    real_folder: Path, converted: Callable[[Path], list[Path]]
) -> None:
    folder = real_folder / "dcm_ge_head_tilt_gaps" / "GE"
    located = [(path, scan_header(path)) for path in sorted(folder.iterdir())]
    (stack,) = open_series(located).stacks
    assert stack.refusal is not None
    assert stack.refusal.code is ReasonCode.UNEVEN_GAPS
    assert stack.refusal.detail == "13 x 4.00 mm, 1 x 1.08 mm, 13 x 7.00 mm"
    choices = Choices(gaps=Gaps.RESAMPLE)
    (volume,) = volumes_in(located, choices)
    straight = straightened(volume)
    assert not is_sheared(straight.geometry)
    raw = [file for file in converted(folder) if "_Tilt" not in file.name]
    values, _ = read_nifti_series(raw[0])
    theirs = values[0][:, ::-1]  # rows from below; it writes the slices as they are, with a spacing that is not theirs
    ordered = [np.asarray(theirs[k], dtype=np.float32) for k in range(len(theirs))]
    assert np.array_equal(volume.voxels[0], ordered[0])
    assert np.array_equal(volume.voxels[-1], ordered[-1])


@pytest.mark.parametrize("folder", ["ct_spine", "ct_sarcoma", "brain_mr_hippocampus", "brain_mr_mni152", "brain_mr_ms"])
def test_real_nifti_files_are_volumes_and_come_back(shared_data: Path, tmp_path: Path, folder: str) -> None:
    root = shared_data / folder
    for archive in sorted(root.glob("*.zip")):
        with zipfile.ZipFile(archive) as content:
            names = [name for name in content.namelist() if name.endswith((".nii", ".nii.gz"))]
            content.extractall(tmp_path / "in", names[:12])
    files = sorted([*root.rglob("*.nii.gz"), *(tmp_path / "in").rglob("*.nii.gz")])[:12]
    assert files
    for path in files:
        volume = nifti_volume(path)
        again = nifti_volume(write_volume(tmp_path / "again.nii.gz", volume))
        assert np.array_equal(again.voxels, volume.voxels)
        assert again.geometry.matrix() == pytest.approx(volume.geometry.matrix(), abs=1e-3)
