"""Raw data made to hurt: documents that declare entities, tables that claim gigabytes, names that break a header."""

import os
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from coread.domain.reasons import ReasonCode
from coread.imaging.errors import BadHeader, ImagingRefused
from coread.imaging.mr.files import ismrmrd, raw_object
from coread.imaging.mr.files.flexible_header import parsed_header
from coread.imaging.mr.files.layout import ACQUISITION_HEADER, acquisition_in_hdf5
from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.room import RoomLimits
from tests.imaging.mr.made_raw import acquisition, header, noise_like, same

LARGE = 1 << 40
BIG_CHUNK = (1 << 28,)


def code(path: Path, limits: RoomLimits | None = None) -> ReasonCode:
    with pytest.raises(ImagingRefused) as caught:
        open_raw(path, limits)
    return caught.value.reason.code


def with_members(path: Path, xml: Any = None, data: Any = None) -> Path:
    """Return an ISMRMRD file of which one member is replaced."""
    ismrmrd.write(path, acquisition())
    with h5py.File(path, "r+") as file:
        for name, make in (("xml", xml), ("data", data)):
            if make is not None:
                del file[f"dataset/{name}"]
                make(file["dataset"])
    return path


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_entities_do_not_hide_in_another_encoding(encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + header().split("?>", 1)[1]
    with pytest.raises(BadHeader, match="DOCTYPE or is not UTF-8"):
        parsed_header(bomb.encode(encoding))
    with pytest.raises(BadHeader, match="DOCTYPE or is not UTF-8"):
        parsed_header(header().encode(encoding))


def test_members_that_claim_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    def xml(**how: Any) -> Path:
        return with_members(tmp_path / "x.h5", xml=lambda group: group.create_dataset("xml", **how))

    assert code(xml(shape=(LARGE,), dtype="S1", chunks=(1024,))) is ReasonCode.BAD_HEADER
    assert code(xml(shape=(1,), dtype=f"S{1 << 30}", chunks=(1,))) is ReasonCode.BAD_HEADER
    small = {"shape": (1,), "maxshape": (None,), "chunks": BIG_CHUNK, "compression": "gzip"}
    assert code(xml(dtype="S8", **small)) is ReasonCode.BAD_HEADER
    wide = np.dtype([
        (name, np.dtype("<i4"), (1 << 26,)) if name == "user_int" else (name, ACQUISITION_HEADER[name])
        for name in ACQUISITION_HEADER.names or ()
    ])  # fmt: skip
    floats = h5py.vlen_dtype(np.dtype("<f4"))
    words = h5py.vlen_dtype(np.dtype("<i8"))
    for number, kind in enumerate((
        [("head", wide), ("traj", floats), ("data", floats)],
        [("head", ACQUISITION_HEADER), ("traj", floats), ("data", words)],
        [("head", ACQUISITION_HEADER), ("traj", floats), ("data", np.dtype("<f4"))],
        [("head", np.dtype("<f4")), ("traj", floats), ("data", floats)],
    )):  # fmt: skip
        path = with_members(
            tmp_path / f"{number}.h5",
            data=lambda group, kind=kind: group.create_dataset(
                "data", shape=(100,), maxshape=(None,), dtype=np.dtype(kind), chunks=(1,)
            ),
        )
        assert code(path) in (ReasonCode.NOT_RAW_DATA, ReasonCode.BAD_HEADER)
    many = with_members(
        tmp_path / "many.h5",
        data=lambda group: group.create_dataset("data", (7_000_000,), acquisition_in_hdf5(), chunks=(256,)),
    )
    assert code(many, RoomLimits(most_bytes=1 << 30)) is ReasonCode.OUT_OF_MEMORY


def fastmri_file(path: Path, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = noise_like((2, 4, 32, 24))
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def test_a_mask_of_fastmri_that_claims_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = fastmri_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.create_dataset("mask", (LARGE,), np.float32, chunks=(1024,))
    assert code(path) is ReasonCode.BAD_HEADER


def test_names_cannot_break_a_header(tmp_path: Path) -> None:
    path = fastmri_file(tmp_path / "a.h5", patient_id="A\\B\nC", acquisition="T2\\\x1b[2J")
    read = open_raw(path).header
    assert (read.patient_id, read.series_description) == ("A B C", "T2  [2J")
    assert raw_object.wrapped(path).PatientID == "A B C"
    np.save(tmp_path / "b.npy", noise_like((2, 20, 32)))
    beside = tmp_path / "b.json"
    beside.write_text('{"patient_id": "A\\\\B", "study_date": "yesterday", "study_instance_uid": "../../x"}')
    assert code(tmp_path / "b.npy") is ReasonCode.BAD_HEADER
    beside.write_text('{"patient_id": "A\\\\B"}')
    assert open_raw(tmp_path / "b.npy").header.patient_id == "A B"


def test_what_was_extracted_has_no_name_that_a_killed_process_could_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_object.write_wrapped(acquisition(), tmp_path / "a.dcm")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    seen: list[list[str]] = []
    real = ismrmrd.read

    def watched(path: Path, limits: RoomLimits) -> Any:
        seen.append([path.name for path in scratch.iterdir()])
        return real(path, limits)

    monkeypatch.setattr(ismrmrd, "read", watched)
    read = raw_object.unwrapped(tmp_path / "a.dcm", RoomLimits(folder=scratch))
    assert seen == [[]]
    assert same(read.samples, acquisition().samples)


def test_a_disk_without_room_is_a_refusal_and_no_crash_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    ismrmrd.write(tmp_path / "a.h5", acquisition())
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert code(tmp_path / "a.h5", RoomLimits(in_memory_bytes=1024, folder=tmp_path)) is ReasonCode.OUT_OF_MEMORY


def test_a_line_that_came_in_pieces_is_not_halved(tmp_path: Path) -> None:
    from tests.imaging.mr.made_raw import line, official

    pytest.importorskip("ismrmrd", reason="the official library is in the extra dev")
    samples = noise_like((2, 20, 32))
    pieces = []
    for number in range(20):
        pieces += [
            (samples[:, number, :16].copy(), line(number, center_sample=16)),
            (samples[:, number, 16:].copy(), line(number, center_sample=0)),
        ]
    path = official(tmp_path / "a.h5", header(), pieces)
    assert same(open_raw(path).samples[0, 0, :, 0], samples)
    whole = [(samples[:, number].copy(), line(number)) for number in range(20)]
    again = [(samples[:, 3, :20].copy() * 3, line(3))]
    mean = open_raw(official(tmp_path / "b.h5", header(), whole + again)).samples[0, 0, :, 0]
    assert np.allclose(mean[:, 3, :20], 2 * samples[:, 3, :20])
    assert np.allclose(mean[:, 3, 20:], samples[:, 3, 20:])


def test_damaged_directions_are_refused(tmp_path: Path) -> None:
    given = acquisition()
    ismrmrd.write(tmp_path / "a.h5", replace(given, noise=None))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        rows = file["dataset/data"][:]
        rows["head"]["slice_dir"][:] = (1.0, 0.0, 0.0)
        file["dataset/data"][:] = rows
    assert code(tmp_path / "a.h5") is ReasonCode.MIXED_GEOMETRY


def test_what_stands_before_the_samples_is_neither_held_nor_followed_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    raw_object.write_wrapped(acquisition(), path)
    given = path.read_bytes()
    place = given.index(struct.pack("<HH2s", raw_object.GROUP, 0x0010, b"LO"))
    with (tmp_path / "long.dcm").open("wb") as out:
        out.write(given[:place] + struct.pack("<HH2sHL", 0x5001, 0x1010, b"OB", 0, 64 << 20))
        out.seek(64 << 20, os.SEEK_CUR)
        out.write(given[place:])
    tracemalloc.start()
    read = raw_object.unwrapped(tmp_path / "long.dcm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert same(read.samples, acquisition().samples)
    assert peak < 32 << 20
    begin = struct.pack("<HH2sHLHHL", 0x5003, 0x1010, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    path.write_bytes(given[:place] + begin * 3000 + end * 3000 + given[place:])
    assert code(path) is ReasonCode.NOT_RAW_DATA


def test_rows_that_share_one_long_list_are_not_unpacked_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    count = 200
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group["xml"] = [header(ey=count, last=count - 1, center=count // 2, fy=2 * count).encode()]
        kind = acquisition_in_hdf5()
        table = group.create_dataset("data", (1,), kind, maxshape=(None,), chunks=(1,))
        row = np.zeros(1, kind)
        row["head"]["active_channels"] = row["head"]["number_of_samples"] = 1
        row["data"][0], row["traj"][0] = np.ones(1 << 18, np.float32), np.zeros(0, np.float32)
        table[:] = row
        table.resize((count,))
        for number in range(1, count):  # each row points to the list of the first
            table.id.write_direct_chunk((number,), table.id.read_direct_chunk((0,))[1])
    read: list[int] = []
    real = ismrmrd._values

    def watched(table: Any, name: str, numbers: Any, length: int) -> Any:
        read.append(len(numbers))
        return real(table, name, numbers, length)

    monkeypatch.setattr(ismrmrd, "_values", watched)
    monkeypatch.setattr(ismrmrd, "_UNPACKED_BYTES", 40 << 20)
    before = _resident()
    assert code(path) is ReasonCode.TRUNCATED
    assert max(read) <= 40
    assert _resident() - before < 100 << 20, "the lists of 200 rows are 200 MiB; none of them is kept"


def _resident() -> int:
    """Return the bytes of memory of this process, those of HDF5 too, which Python's own counters do not see."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
