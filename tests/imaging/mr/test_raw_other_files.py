"""fastMRI, BART and NumPy files, and the DICOM object around raw data: same samples in, same samples out."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import pytest

from coread.domain.kspace import RAW_DATA_STORAGE, Trajectory
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.imaging.mr.files import ismrmrd, raw_object
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.room import RoomLimits
from tests.imaging.mr.made_raw import acquisition, header, noise_like, same


def refused(path: Path, **limits: Any) -> ReasonCode:
    with pytest.raises(ImagingRefused) as caught:
        open_raw(path, RoomLimits(**limits))
    return caught.value.reason.code


def fastmri(path: Path, kspace: np.ndarray[Any, Any], **more: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = header(ex=32, ey=20, rx=16, ry=16, gx=32, gy=32).encode()
        file.attrs["acquisition"], file.attrs["patient_id"] = "AXT2", "abc"
        for name, value in more.items():
            file[name] = value
    return path


@pytest.mark.parametrize("coils", [0, 4])
def test_fastmri_files_are_read_with_their_axes_swapped(tmp_path: Path, coils: int) -> None:
    shape = (3, coils, 32, 18) if coils else (3, 32, 18)
    given = noise_like(shape)
    given[..., :2] = 0  # the data sets pad lines that nobody sampled
    read = open_raw(fastmri(tmp_path / "a.h5", given))
    assert read.samples.shape == (1, 3, max(coils, 1), 1, 18, 32)
    assert same(read.samples[0, 1, 0, 0], (given[1, 0] if coils else given[1]).T)
    assert not read.mask[..., :2].any()
    assert read.mask[..., 2:].all()
    assert read.geometry.shape == (3, 16, 16)
    assert read.geometry.spacing_mm() == pytest.approx((4.0, 2.0, 2.0))
    assert (read.header.patient_id, read.header.series_description) == ("P1", "AXT2")


def test_a_test_file_of_fastmri_brings_its_mask(tmp_path: Path) -> None:
    mask = np.arange(18) % 3 == 0
    read = open_raw(fastmri(tmp_path / "a.h5", noise_like((2, 3, 32, 18)), mask=mask.astype(np.float32)))
    assert same(read.mask[0, 1, 0], mask)
    assert not read.samples[0, 0, :, 0, 1].any()
    assert refused(fastmri(tmp_path / "b.h5", noise_like((2, 3, 32, 18)), mask=mask[:9])) is ReasonCode.BAD_HEADER
    assert refused(fastmri(tmp_path / "c.h5", noise_like((2, 3, 30, 18)))) is ReasonCode.BAD_HEADER
    assert refused(fastmri(tmp_path / "d.h5", np.zeros((2, 3, 32, 18)))) is ReasonCode.BAD_HEADER


def cfl(path: Path, array: np.ndarray[Any, Any], *, dimensions: tuple[int, ...] = ()) -> Path:
    sizes = dimensions or array.shape + (1,) * (16 - array.ndim)
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + "\n# Command\nmade\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))
    return path.with_suffix(".cfl")


def test_cfl_files_are_mapped_in_bart_order(tmp_path: Path) -> None:
    given = noise_like((32, 20, 6, 4, 1, 1, 1, 1, 1, 1, 2, 1, 1, 3))  # read, lines, partitions, coils, time, slices
    path = cfl(tmp_path / "a", given)
    for named in (path, path.with_suffix(".hdr"), path.with_suffix("")):
        read = open_raw(named)
        assert read.samples.shape == (2, 3, 4, 6, 20, 32)
        assert same(read.samples[1, 2, 3, 4], given[:, :, 4, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2].T)
    assert isinstance(read.samples, np.memmap)
    assert read.frame_meaning == "repetition"
    both = noise_like((8, 8, 1, 2, 1, 3, 1, 1, 1, 1, 2))
    two = open_raw(cfl(tmp_path / "two", both))
    assert same(two.samples[3, 0, 1, 0], both[:, :, 0, 1, 0, 1, 0, 0, 0, 0, 1].T)  # echo before time
    assert two.frame_meaning == "echo x repetition"
    path.with_suffix(".json").write_text(json.dumps({"spacing_mm": [3, 1, 0.5], "patient_id": "P9"}))
    assert open_raw(path).geometry.spacing_mm() == pytest.approx((3, 1, 0.5))
    assert open_raw(path).header.patient_id == "P9"


def test_cfl_files_that_do_not_hold_what_they_state_are_refused(tmp_path: Path) -> None:
    given = noise_like((16, 16, 1, 2))
    assert refused(cfl(tmp_path / "a", given, dimensions=(16, 16, 1, 3))) is ReasonCode.TRUNCATED
    assert refused(cfl(tmp_path / "b", given, dimensions=(16, 16, 1, 1, 2))) is ReasonCode.BAD_HEADER
    assert refused(cfl(tmp_path / "c", given, dimensions=(16, -16, 1, 2))) is ReasonCode.BAD_HEADER
    assert refused(cfl(tmp_path / "d", given), most_bytes=100) is ReasonCode.OUT_OF_MEMORY
    (tmp_path / "d.hdr").write_text("# Dimensions\n")
    assert refused(tmp_path / "d.cfl") is ReasonCode.BAD_HEADER


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed (Debian package bart)")
def test_radial_samples_of_bart_are_read_with_their_trajectory(tmp_path: Path) -> None:
    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True)

    bart("traj", "-r", "-x", "32", "-y", "9", "k_traj")
    bart("phantom", "-k", "-s", "2", "-t", "k_traj", "k")
    read = open_raw(tmp_path / "k.cfl")
    assert read.trajectory is Trajectory.OTHER
    assert read.samples.shape == (1, 1, 2, 1, 9, 32)
    assert read.coordinates is not None
    # The first spoke of BART runs along its first axis, which is the columns here.
    assert np.allclose(np.abs(read.coordinates[0, 0, 0, :, 0]), 0, atol=1e-3) or np.allclose(
        np.abs(read.coordinates[0, 0, 0, :, 1]), 0, atol=1e-3
    )
    centre = np.argmin(np.abs(read.coordinates[0, 0]).sum(axis=-1), axis=1)
    energy = np.abs(read.samples[0, 0, :, 0]).sum(axis=0)
    assert (energy[np.arange(9), centre] > 0.7 * energy.max()).all()  # every spoke passes the bright middle


def test_numpy_files_are_mapped_and_never_unpickled(tmp_path: Path) -> None:
    given = noise_like((4, 20, 32))
    given[:, ::2] = 0
    path = tmp_path / "a.npy"
    np.save(path, given)
    read = open_raw(path)
    assert same(read.samples[0, 0, :, 0], given)
    assert isinstance(read.samples, np.memmap)
    assert same(read.mask[0, 0, 0], np.arange(20) % 2 == 1)
    assert any("1 mm is assumed" in note for note in read.notes)
    np.save(path, noise_like((2, 3, 4, 1, 20, 32)).astype(np.complex128))
    assert open_raw(path).samples.dtype == np.complex64
    assert open_raw(path).samples.shape == (2, 3, 4, 1, 20, 32)
    affine = [[0, 1, 0, 1], [1, 0, 0, 2], [0, 0, 2, 3]]
    about = {"affine": affine, "synthetic": True, "echo_time_ms": 12, "frame_meaning": "phase"}
    path.with_suffix(".json").write_text(json.dumps(about))
    told = open_raw(path)
    assert (told.geometry.affine[2], told.header.synthetic, told.frame_meaning) == ((0, 0, 2, 3), True, "phase")
    for wrong in ({"spacing_mm": [1, 0, 1]}, {"patient": "x"}, {"affine": [[1, 2]]}, {"patient_id": 7}, ["x"]):
        path.with_suffix(".json").write_text(json.dumps(wrong))
        assert refused(path) is ReasonCode.BAD_HEADER
    for number, bad in enumerate((given.real, given[0], given[:0])):
        np.save(tmp_path / f"{number}.npy", bad)
        assert refused(tmp_path / f"{number}.npy") is ReasonCode.BAD_HEADER
    np.save(tmp_path / "o.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    assert refused(tmp_path / "o.npy") is ReasonCode.NOT_RAW_DATA
    (tmp_path / "cut.npy").write_bytes((tmp_path / "0.npy").read_bytes()[:300])
    assert refused(tmp_path / "cut.npy") in (ReasonCode.TRUNCATED, ReasonCode.NOT_RAW_DATA)


def test_other_files_are_not_raw_data(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("hello")
    assert refused(tmp_path / "text.h5") is ReasonCode.NOT_RAW_DATA
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert refused(tmp_path / "other.h5") is ReasonCode.NOT_RAW_DATA
    assert refused(tmp_path) is ReasonCode.NOT_RAW_DATA
    with pytest.raises(FileNotFoundError):
        open_raw(tmp_path / "none.h5")


@pytest.mark.parametrize("odd", [False, True])
def test_a_file_goes_into_a_dicom_object_and_comes_out_byte_for_byte(tmp_path: Path, odd: bool) -> None:
    raw = tmp_path / "a.h5"
    ismrmrd.write(raw, acquisition())
    if odd:
        raw.write_bytes(raw.read_bytes() + b"x")
    uid = raw_object.write_wrapped(raw, tmp_path / "a.dcm")
    assert uid == raw_object.write_wrapped(raw, tmp_path / "b.dcm")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    raw_object.extract(tmp_path / "a.dcm", tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_bytes() == raw.read_bytes()
    assert same(open_raw(tmp_path / "a.dcm").samples, open_raw(raw).samples)
    known = scan_header(tmp_path / "a.dcm")
    assert (known.sop_class_uid, known.sop_instance_uid) == (RAW_DATA_STORAGE, uid)
    assert (known.patient_id, known.study_instance_uid, known.accession_number) == ("P1", "1.2.3.4", "A-7")
    assert known.series_description.startswith("SYNTHETIC")
    in_memory = raw_object.wrapped(raw)
    in_memory.save_as(tmp_path / "c.dcm", enforce_file_format=True)
    assert (tmp_path / "c.dcm").read_bytes() == (tmp_path / "a.dcm").read_bytes()


def test_another_transfer_syntax_keeps_the_samples(tmp_path: Path) -> None:
    dataset = raw_object.wrapped(acquisition())
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert same(open_raw(tmp_path / "a.dcm").samples, acquisition().samples)


def test_damaged_objects_and_those_of_others_are_refused(tmp_path: Path) -> None:
    raw_object.write_wrapped(acquisition(), tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    changed = bytearray(whole)
    changed[-500] ^= 1
    (tmp_path / "b.dcm").write_bytes(changed)
    assert refused(tmp_path / "b.dcm") is ReasonCode.BAD_HEADER
    (tmp_path / "b.dcm").write_bytes(whole[:-500])
    assert refused(tmp_path / "b.dcm") is ReasonCode.TRUNCATED
    dataset = raw_object.wrapped(acquisition())
    for element in list(dataset.group_dataset(raw_object.GROUP)):
        del dataset[element.tag]
    dataset.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    assert refused(tmp_path / "b.dcm") is ReasonCode.NOT_RAW_DATA
    (tmp_path / "b.dcm").write_bytes(bytes(128) + b"DICM" + b"rubbish")
    assert refused(tmp_path / "b.dcm") is ReasonCode.NOT_RAW_DATA
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(ImagingRefused):
        raw_object.wrapped(tmp_path / "x.txt")


def test_a_study_of_one_accession_number_is_one_study(tmp_path: Path) -> None:
    def uid(name: str, seed: int, **about: str) -> str:
        np.save(tmp_path / f"{name}.npy", noise_like((2, 16, 16), seed))
        (tmp_path / f"{name}.json").write_text(json.dumps(about))
        return str(raw_object.wrapped(tmp_path / f"{name}.npy").StudyInstanceUID)

    assert uid("a", 1, accession_number="7", patient_id="P") == uid("b", 2, accession_number="7", patient_id="P")
    assert uid("c", 1, accession_number="7", patient_id="Q") != uid("b", 2, accession_number="7", patient_id="P")
    assert uid("d", 1, patient_id="P") != uid("e", 2, patient_id="P")
