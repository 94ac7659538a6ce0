"""ISMRMRD: what we write the official library reads, what it writes we read, and everything odd is refused."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from coread.domain.kspace import Trajectory
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.files import ismrmrd
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.room import RoomLimits
from coread.imaging.mr.fully_sampled import reference_images
from tests.imaging.mr.made_raw import acquisition, grid, header, line, noise_like, official, same

official_library = pytest.importorskip("ismrmrd", reason="the official library is in the extra dev")
NOISE, CALIBRATION, REVERSE, NAVIGATION = 19, 20, 22, 23


def refused(path: Path, **limits: Any) -> ReasonCode:
    with pytest.raises(ImagingRefused) as caught:
        ismrmrd.read(path, RoomLimits(**limits))
    return caught.value.reason.code


def outcome(path: Path) -> str:
    try:
        return "read" if open_raw(path).samples.size else ""
    except ImagingRefused as refusal:
        return refusal.reason.code


def lines_of(samples: np.ndarray[Any, Any], **more: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Return acquisitions of samples (coils, lines, readout)."""
    return [(samples[:, number].copy(), line(number, **more)) for number in range(samples.shape[1])]


@pytest.mark.parametrize("points", [False, True])
def test_what_is_written_is_read_again_without_loss(tmp_path: Path, points: bool) -> None:
    given = acquisition(frames=2, slices=3)
    given = replace(given, noise=noise_like((4, 70000), 5), calibration=noise_like((3, 4, 1, 24, 32), 6))
    if points:
        chosen = np.random.default_rng(3).random((*given.samples.shape[:2], 1, 24, 32)) < 0.4
        given = replace(given, samples=given.samples * chosen[:, :, None], mask=given.mask[..., None] & chosen)
    ismrmrd.write(tmp_path / "a.h5", given)
    ismrmrd.write(tmp_path / "b.h5", given)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.h5", "b.h5"]
    read = open_raw(tmp_path / "a.h5")
    assert same(read.samples, given.samples)
    assert same(read.mask, given.mask)
    assert read.noise is not None
    assert read.calibration is not None
    assert given.noise is not None
    assert given.calibration is not None
    assert same(read.noise, given.noise)
    assert same(read.calibration, given.calibration)
    assert read.header == given.header
    assert read.geometry.shape == given.geometry.shape
    assert np.allclose(read.geometry.matrix(), given.geometry.matrix(), atol=1e-4)
    assert read.frame_meaning == "repetition"


def test_the_official_library_reads_what_we_write(tmp_path: Path) -> None:
    given = acquisition(slices=1)
    ismrmrd.write(tmp_path / "a.h5", given)
    with official_library.Dataset(str(tmp_path / "a.h5"), "dataset", mode="r") as file:
        about = official_library.xsd.CreateFromDocument(file.read_xml_header())
        first = file.read_acquisition(0)
        assert file.number_of_acquisitions() == int(given.mask.sum())
        last = file.read_acquisition(file.number_of_acquisitions() - 1)
    assert about.subjectInformation.patientID == "P1"
    assert about.encoding[0].encodedSpace.matrixSize.x == 32
    assert same(first.data, given.samples[0, 0, :, 0, 0])
    assert first.isChannelActive(3)
    assert not first.isChannelActive(4)
    assert last.is_flag_set(official_library.ACQ_LAST_IN_MEASUREMENT)
    # Voxel N // 2 of each axis lies at the position of the acquisition.
    assert np.allclose(first.position[:], given.geometry.to_patient(np.array([[0, 12, 16]]))[0])


def test_a_file_of_the_official_library_is_read_with_its_place_in_the_patient(tmp_path: Path) -> None:
    samples = noise_like((2, 3, 20, 32))  # slices, coils, lines, readout
    given = []
    for number, z in ((0, 10.0), (1, 4.0)):  # the slice that was counted second lies below
        given += lines_of(samples[number], position=(5.0, -3.0, z), idx_slice=number)
    read = ismrmrd.read(official(tmp_path / "a.h5", header(), given))
    assert same(read.samples[0, 0, :, 0], samples[1])
    assert same(read.samples[0, 1, :, 0], samples[0])
    assert read.geometry.shape == (2, 20, 16)  # readout oversampling is outside the field of view
    assert read.geometry.spacing_mm() == pytest.approx((6.0, 2.0, 2.0))
    assert read.geometry.to_patient(np.array([[0, 10, 8]]))[0] == pytest.approx([5.0, -3.0, 4.0])
    assert read.header.patient_id == "P1"
    assert (read.header.accession_number, read.header.study_date) == ("4711", "20260102")
    assert (read.header.echo_time_ms, read.header.patient_weight_kg) == (96.0, 61.5)
    assert read.mask.all()
    assert read.notes == ()


def test_partial_fourier_and_short_echoes_keep_the_centre(tmp_path: Path) -> None:
    given = [(noise_like((2, 24), n), line(n) | {"center_sample": 8, "discard_pre": 2}) for n in range(14)]
    read = ismrmrd.read(official(tmp_path / "a.h5", header(last=13, center=4), given))
    # Line 4 is the centre and belongs to index 10; sample 8 is the centre and belongs to index 16.
    assert same(read.samples[0, 0, :, 0, 10, 10:32], given[4][0][:, 2:])
    assert read.mask.ndim == 5
    assert not read.mask[0, 0, 0, :6].any()
    assert read.mask[0, 0, 0, 6:, 10:].all()
    assert not read.mask[..., :10].any()


def test_averages_are_averaged_and_noise_is_kept_apart(tmp_path: Path) -> None:
    samples = noise_like((2, 20, 32))
    given = [(noise_like((2, 100), 8), {"flags": [NOISE], "sample_time_us": 10.0})]
    given += lines_of(samples, idx_average=0) + lines_of(samples * 3, idx_average=1)
    given += [(noise_like((2, 32), 9), line(3, flags=[NAVIGATION]))]
    read = ismrmrd.read(official(tmp_path / "a.h5", header(), given))
    assert np.allclose(read.samples[0, 0, :, 0], samples * 2, rtol=1e-5)
    assert read.noise is not None
    assert np.allclose(read.noise, given[0][0] * np.sqrt(2), rtol=1e-5)  # twice the dwell time: half the power
    assert read.repeat_disagreement == pytest.approx(0.0, abs=1e-3)  # a factor is no motion
    assert any("1 acquisitions left out: is navigation data" in note for note in read.notes)
    assert any("20 lines were sampled more than once" in note for note in read.notes)


def test_repeats_that_moved_disagree_and_noise_does_not(tmp_path: Path) -> None:
    from coread.imaging.mr.fourier import to_samples

    object_ = np.zeros((1, 20, 32), np.complex64)
    object_[:, 4:15, 6:25] = 1
    still, moved = to_samples(object_), to_samples(np.roll(object_, 2, axis=1))
    for second, expected in ((still, 0.0), (moved, 0.3)):
        given = lines_of(still + 0.02 * noise_like((1, 20, 32), 2))
        given += lines_of(second + 0.02 * noise_like((1, 20, 32), 3), idx_average=1)
        path = official(tmp_path / f"{expected}.h5", header(), given)
        found = ismrmrd.read(path).repeat_disagreement
        assert found is not None
        assert (found > 0.2) == (expected > 0.2)
        assert found < 0.05 or expected


def test_reference_lines_fill_gaps_or_stand_apart(tmp_path: Path) -> None:
    samples = noise_like((2, 20, 32))
    image = [(samples[:, n].copy(), line(n)) for n in range(0, 20, 2)]
    reference = [(samples[:, n].copy(), line(n, flags=[CALIBRATION])) for n in (9, 11)]
    embedded = ismrmrd.read(official(tmp_path / "a.h5", header(), image + reference))
    assert embedded.calibration is None
    assert embedded.mask[0, 0, 0, 8:13].all()
    image = [(samples[:, n].copy(), line(n)) for n in range(0, 20, 2)]
    reference = [(samples[:, n].copy(), line(n, flags=[CALIBRATION])) for n in (9, 11)]
    apart = ismrmrd.read(official(tmp_path / "b.h5", header(mode="separate"), image + reference))
    assert apart.calibration is not None
    assert not apart.mask[0, 0, 0, 9]
    assert same(apart.calibration[0, :, 0, 9], samples[:, 9])


def test_three_dimensions_and_frames(tmp_path: Path) -> None:
    samples = noise_like((2, 2, 6, 20, 32))  # contrasts, coils, partitions, lines, readout
    given = [
        (samples[c, :, p, n].copy(), line(n, idx_kspace_encode_step_2=p, idx_contrast=c, position=(0.0, 0.0, 7.0)))
        for c in range(2) for p in range(6) for n in range(20)
    ]  # fmt: skip
    read = ismrmrd.read(official(tmp_path / "a.h5", header(ez=6, fz=12, lastz=5, centerz=3), given))
    assert read.samples.shape == (2, 1, 2, 6, 20, 32)
    assert same(read.samples[1, 0], samples[1])
    assert read.frame_meaning == "contrast"
    assert read.geometry.shape == (6, 20, 16)
    assert read.geometry.to_patient(np.array([[3, 10, 8]]))[0] == pytest.approx([0.0, 0.0, 7.0])


def test_oversampled_partitions_are_shown_in_their_place_and_said(tmp_path: Path) -> None:
    samples = noise_like((2, 12, 20, 32))
    given = [
        (samples[:, p, n].copy(), line(n, idx_kspace_encode_step_2=p, position=(1.0, 2.0, 3.0)))
        for p in range(12) for n in range(20)
    ]  # fmt: skip
    encoded, recon = header(ez=12, fz=48, lastz=11, centerz=6).split("<reconSpace>")
    shown = recon.replace("<z>12</z>", "<z>8</z>", 1).replace("<z>48</z>", "<z>32</z>", 1)
    read = ismrmrd.read(official(tmp_path / "a.h5", f"{encoded}<reconSpace>{shown}", given))
    assert read.geometry.shape == (12, 20, 16)
    assert read.geometry.to_patient(np.array([[6, 10, 8]]))[0] == pytest.approx([1.0, 2.0, 3.0])
    assert reference_images(read).shape == (12, 20, 16)
    assert any("4 partitions outside" in note for note in read.notes)


@pytest.mark.parametrize(("name", "scale"), [("radial", 1.0), ("goldenangle", 1 / 32), ("spiral", 1.0)])
def test_spokes_come_with_coordinates_in_cycles_per_field_of_view(tmp_path: Path, name: str, scale: float) -> None:
    angles = np.linspace(0, np.pi, 7, endpoint=False)
    radius = np.arange(32, dtype=np.float32) - 16
    ways = [np.stack([np.cos(a) * radius, np.sin(a) * radius], axis=1).astype(np.float32) for a in angles]
    given = [(noise_like((2, 32), n), line(n) | {"traj": ways[n] * np.float32(scale)}) for n in range(7)]
    xml = header(ey=32, fy=64, ry=16, gy=32, trajectory=name)
    read = ismrmrd.read(official(tmp_path / "a.h5", xml, given))
    assert read.trajectory is (Trajectory.SPIRAL if name == "spiral" else Trajectory.RADIAL)
    assert read.coordinates is not None
    assert read.coordinates.shape == (1, 1, 7, 32, 2)
    # Half the field of view of the encoded space is shown: half as many cycles in it.
    assert np.allclose(read.coordinates[0, 0, 2], ways[2][:, ::-1] / 2, atol=1e-4)
    written = tmp_path / "b.h5"
    ismrmrd.write(written, read)
    again = ismrmrd.read(written)
    assert again.coordinates is not None
    assert np.allclose(again.coordinates, read.coordinates, atol=1e-5)
    assert same(again.samples, read.samples)


def test_what_cannot_be_one_image_is_refused_with_its_reason(tmp_path: Path) -> None:
    def file(number: int, xml: str, changes: dict[str, Any], **every: Any) -> ReasonCode:
        given = [(noise_like((2, 32), n), line(n, **every)) for n in range(20)]
        given[7] = (given[7][0], given[7][1] | changes)
        return refused(official(tmp_path / f"{number}.h5", xml, given))

    assert file(1, header(), {"flags": [REVERSE]}) is ReasonCode.WRONG_TRAJECTORY
    assert file(2, header(trajectory="epi"), {}) is ReasonCode.WRONG_TRAJECTORY
    assert file(3, header(trajectory="radial"), {}) is ReasonCode.WRONG_TRAJECTORY
    assert file(4, header(), {"idx_kspace_encode_step_1": 40}) is ReasonCode.BAD_HEADER
    assert file(5, header(ex=30), {}) is ReasonCode.BAD_HEADER
    assert file(6, header(), {"encoding_space_ref": 1}) is ReasonCode.MIXED_ENCODINGS
    assert file(7, header(), {}, encoding_space_ref=3) is ReasonCode.BAD_HEADER
    assert file(8, header(), {"read_dir": (0.0, 1.0, 0.0)}) is ReasonCode.MIXED_GEOMETRY
    assert file(9, header(), {"position": (0.0, 0.0, 9.0)}) is ReasonCode.MIXED_GEOMETRY
    assert file(10, header(), {"position": (float("nan"), 0.0, 0.0)}) is ReasonCode.BAD_HEADER
    assert file(11, header(), {}, flags=[NOISE]) is ReasonCode.BAD_SAMPLES
    assert file(12, header(ex=0), {}) is ReasonCode.BAD_HEADER
    assert file(13, "<a>", {}) is ReasonCode.BAD_HEADER
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + header().split("?>", 1)[1]
    assert file(14, bomb, {}) is ReasonCode.BAD_HEADER
    two = [(noise_like((2 + n % 2, 32), n), line(n)) for n in range(4)]
    assert refused(official(tmp_path / "coils.h5", header(), two)) is ReasonCode.MIXED_ENCODINGS
    stacked = [(noise_like((2, 32), n), line(n % 2, idx_slice=n // 2)) for n in range(4)]
    assert refused(official(tmp_path / "stacked.h5", header(), stacked)) is ReasonCode.SAME_POSITION


def test_damaged_and_hostile_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "a.h5"
    ismrmrd.write(whole, acquisition(lines=64, readout=256))
    raw = whole.read_bytes()
    for share in (0.3, 0.7, 0.99):
        cut = tmp_path / f"{share}.h5"
        cut.write_bytes(raw[: int(len(raw) * share)])
        assert refused(cut) is ReasonCode.TRUNCATED
    assert refused(whole, most_bytes=1000) is ReasonCode.OUT_OF_MEMORY
    outcomes: list[str] = []
    for number in range(40):  # damage anywhere ends in a refusal, or in samples that are still those of the header
        damaged = bytearray(raw)
        place = np.random.default_rng(number).integers(0, 3000)
        damaged[place : place + 4] = b"\xff\x01\xff\x02"
        path = tmp_path / "damaged.h5"
        path.write_bytes(damaged)
        outcomes.append(outcome(path))
    assert "read" in outcomes
    assert any(one in (ReasonCode.NOT_RAW_DATA, ReasonCode.BAD_HEADER) for one in outcomes)
    linked = tmp_path / "linked.h5"
    with h5py.File(linked, "w") as file:
        group = file.create_group("dataset")
        group["xml"] = [header().encode()]
        group["data"] = h5py.ExternalLink(str(whole), "/dataset/data")
    assert refused(linked) is ReasonCode.BAD_HEADER
    short = official(tmp_path / "short.h5", header(), [(noise_like((2, 32)), line(0))])
    with h5py.File(short, "r+") as file:
        row = file["dataset/data"][0]
        row["data"] = row["data"][:20]
        file["dataset/data"][0] = row
    assert refused(short) is ReasonCode.TRUNCATED


def test_large_samples_lie_on_disk_and_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    ismrmrd.write(path, acquisition())
    mapped = ismrmrd.read(path, RoomLimits(in_memory_bytes=1024, folder=tmp_path))
    assert isinstance(mapped.samples, np.memmap)
    assert same(mapped.samples, ismrmrd.read(path).samples)
    assert [item.name for item in tmp_path.iterdir()] == ["a.h5"]


def test_a_file_without_directions_is_placed_at_the_origin_and_says_so(tmp_path: Path) -> None:
    none = {"read_dir": (0.0, 0.0, 0.0), "phase_dir": (0.0, 0.0, 0.0), "slice_dir": (0.0, 0.0, 0.0)}
    given = [(noise_like((2, 32), n), line(n % 20, idx_slice=n // 20) | none) for n in range(60)]
    read = ismrmrd.read(official(tmp_path / "a.h5", header(), given))
    assert any("axially at the origin" in note for note in read.notes)
    assert read.geometry.to_patient(np.array([[1, 10, 8]]))[0] == pytest.approx([0.0, 0.0, 0.0])
    assert read.geometry.shape == grid(3, 20, 16).shape


def test_the_header_is_stored_as_the_cpp_library_can_read_it(tmp_path: Path) -> None:
    given = acquisition()
    given = replace(given, header=replace(given.header, patient_name="Müller^Jörg"))
    ismrmrd.write(tmp_path / "a.h5", given)
    with h5py.File(tmp_path / "a.h5") as file:
        kind = h5py.check_string_dtype(file["dataset/xml"].dtype)
    assert kind.encoding == "ascii"  # HDF5 converts no UTF-8 text into the type that the library reads into
    assert ismrmrd.read(tmp_path / "a.h5").header.patient_name == "Müller^Jörg"


@pytest.mark.peer
@pytest.mark.skipif(
    shutil.which("ismrmrd_recon_cartesian_2d") is None, reason="Debian's ismrmrd-tools are not installed"
)
def test_the_cpp_tools_write_what_we_read_and_reconstruct_what_we_write(tmp_path: Path) -> None:
    from coread.imaging.mr.fourier import to_image

    def tool(name: str, *words: str) -> None:
        subprocess.run([f"ismrmrd_{name}", *words], cwd=tmp_path, check=True, capture_output=True)

    def images(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return what the tool reconstructed, and the root of the sum of squares of what we read."""
        read = open_raw(tmp_path / name)
        tool("recon_cartesian_2d", name)
        with h5py.File(tmp_path / name) as file:
            theirs = np.asarray(file["dataset/cpp/data"][0, 0, 0])
        ours = np.sqrt((np.abs(to_image(np.asarray(read.samples[0, 0, :, 0]))) ** 2).sum(axis=0))
        beside = (ours.shape[1] - read.geometry.shape[2]) // 2
        return theirs, ours[:, beside : beside + read.geometry.shape[2]]

    tool("generate_cartesian_shepp_logan", "-m", "64", "-c", "3", "-o", "theirs.h5")
    whole = acquisition(slices=1, lines=64, readout=64, every=1)
    ismrmrd.write(tmp_path / "ours.h5", whole)
    for name in ("theirs.h5", "ours.h5"):
        theirs, ours = images(name)
        assert theirs.shape == ours.shape
        assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.9999
    tool(
        "generate_cartesian_shepp_logan", "-m", "64", "-c", "3", "-a", "2", "-w", "16", "-r", "2", "-C", "-o", "fast.h5"
    )
    fast = open_raw(tmp_path / "fast.h5")
    assert fast.samples.shape == (4, 1, 3, 1, 64, 128)
    assert fast.noise is not None
    assert 1 < fast.acceleration() < 2
