"""The watched folder: stable files only, archives, rubbish, restarts, no loops."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coread.receive.errors import BadSettings
from coread.receive.folder import FileFate, FolderSettings, FolderWatcher, HandledFile
from coread.store import Store
from tests.receive.making import STUDY, ct_slice, part10, write_slices


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


def watcher(store: Store, folder: Path, *, move: bool = True, archive_bytes: int = 1 << 30) -> FolderWatcher:
    settings = FolderSettings(folder, move_handled=move, max_archive_bytes=archive_bytes, durable=False)
    return FolderWatcher(store, settings)


def two_polls(watching: FolderWatcher) -> list[HandledFile]:
    return watching.poll_once() + watching.poll_once()


def test_files_that_stand_still_are_taken_and_moved(store: Store, folder: Path) -> None:
    write_slices(folder / "deep" / "er", 3)
    watching = watcher(store, folder)
    assert watching.poll_once() == []
    assert [item.fate for item in watching.poll_once()] == [FileFate.TAKEN] * 3
    assert len(store.instances(study_uid=STUDY)) == 3
    assert len(list((folder / "processed" / "deep" / "er").iterdir())) == 3
    assert two_polls(watching) == []
    assert not list(store.staging_folder().iterdir())


def test_a_growing_file_waits_and_a_done_file_hurries(store: Store, folder: Path) -> None:
    raw = part10(ct_slice(1))
    path = folder / "a.dcm"
    watching = watcher(store, folder)
    for size in (100, 200, len(raw)):
        path.write_bytes(raw[:size])
        os.utime(path, ns=(size, size))
        assert watching.poll_once() == []
    (folder / "b.dcm").write_bytes(part10(ct_slice(2)))
    (folder / "b.dcm.done").touch()
    assert [item.path.name for item in watching.poll_once()] == ["a.dcm", "b.dcm"]
    assert not (folder / "b.dcm.done").exists()


def test_rubbish_is_refused_once_with_a_reason(store: Store, folder: Path) -> None:
    (folder / "readme.txt").write_text("hello")
    (folder / "empty").touch()
    (folder / "half.dcm").write_bytes(part10(ct_slice(1))[:-50])
    (folder / "DICOMDIR").write_bytes(b"index")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    (folder / "link.dcm").symlink_to("/etc/passwd")
    handled = two_polls(watching := watcher(store, folder))
    fates = {item.path.name: item.fate for item in handled}
    assert fates.pop("DICOMDIR") is FileFate.SKIPPED
    assert set(fates.values()) == {FileFate.REFUSED}
    assert len(fates) == 4
    assert all(item.detail for item in handled)
    assert two_polls(watching) == []
    assert two_polls(watcher(store, folder)) == []


def test_files_that_stay_are_remembered_over_a_restart(store: Store, folder: Path) -> None:
    write_slices(folder, 2)
    (folder / "note.txt").write_text("x" * 300)
    assert len(two_polls(watcher(store, folder, move=False))) == 3
    assert two_polls(watcher(store, folder, move=False)) == []
    (folder / "00001.dcm").write_bytes(part10(ct_slice(9)))
    assert [item.fate for item in two_polls(watcher(store, folder, move=False))] == [FileFate.TAKEN]
    assert len(store.instances(study_uid=STUDY)) == 3


def test_a_damaged_journal_is_no_obstacle(store: Store, folder: Path) -> None:
    write_slices(folder, 1)
    (folder / ".coread-journal.jsonl").write_text('{"file": 1\n[]\n{"file": "a"}\n')
    assert len(two_polls(watcher(store, folder, move=False))) == 1


def test_archives_are_taken_member_by_member(store: Store, folder: Path) -> None:
    with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("DICOMDIR", "index")
        archive.writestr("../../evil.dcm", part10(ct_slice(1)))
        archive.writestr("a/b.dcm", part10(ct_slice(2)))
        archive.writestr("readme.txt", "hello")
    (item,) = two_polls(watcher(store, folder))
    assert item.fate is FileFate.PARTLY
    assert len(item.received) == 2
    assert len(store.instances(study_uid=STUDY)) == 2
    assert [text.rpartition(" (")[2] for text in item.members] == ["member 'readme.txt')"]


def test_members_that_are_kept_aside_are_named_beside_the_archive_and_not_in_the_log(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = ct_slice(1)
    other.PixelData = bytes(len(other.PixelData))
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        archive.writestr("one.dcm", part10(ct_slice(1)))
        archive.writestr("DOE_JANE/two.dcm", part10(other))
    with caplog.at_level("DEBUG"):
        (item,) = two_polls(watcher(store, folder))
    assert item.fate is FileFate.TAKEN
    assert item.detail == "2 objects kept, 1 of them aside"
    told = f"(member 'DOE_JANE/two.dcm', SOP Instance UID {other.SOPInstanceUID})"
    assert item.members == (f"kept aside: same SOP Instance UID, other bytes {told}",)
    assert (folder / "processed" / "study.zip.members.txt").read_text() == f"{item.members[0]}\n"
    assert "1 of them aside" in caplog.text
    assert "DOE_JANE" not in caplog.text


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_a_damaged_member_costs_the_others_nothing(store: Store, folder: Path, how: int) -> None:
    path = folder / "study.zip"
    with zipfile.ZipFile(path, "w", how) as archive:
        for number in (1, 2, 3):
            archive.writestr(f"{number}.dcm", part10(ct_slice(number)))
        place = archive.getinfo("2.dcm").header_offset
    raw = bytearray(path.read_bytes())
    for at in range(place + 60, place + 160):
        raw[at] ^= 0x5A
    path.write_bytes(raw)
    (item,) = two_polls(watcher(store, folder))
    assert item.fate is FileFate.PARTLY
    assert [text for text in item.members if text.startswith("cannot be read: ")] == list(item.members)
    assert item.members[0].endswith("(member '2.dcm')")
    assert len(store.instances(study_uid=STUDY)) == 2
    assert not list(store.staging_folder().iterdir())


def test_an_archive_that_unpacks_to_too_much_is_refused(store: Store, folder: Path) -> None:
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", part10(ct_slice(1)) + bytes(50 << 20))
    (item,) = two_polls(watcher(store, folder, archive_bytes=1 << 20))
    assert item.fate is FileFate.REFUSED
    assert not list(store.staging_folder().iterdir())


def test_a_folder_that_does_not_exist_is_a_wrong_setting(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="create it"):
        watcher(store, tmp_path / "nowhere")


def test_a_file_of_raw_mr_data_becomes_a_raw_data_object(store: Store, folder: Path) -> None:
    from coread.imaging.mr.files import ismrmrd
    from tests.imaging.mr.made_raw import acquisition

    ismrmrd.write(folder / "scan.mrd", acquisition())
    ismrmrd.write(folder / "again.h5", acquisition())
    (folder / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    handled = {item.path.name: item for item in two_polls(watcher(store, folder))}
    assert [handled[name].fate for name in ("scan.mrd", "again.h5")] == [FileFate.TAKEN, FileFate.TAKEN]
    assert handled["other.h5"].fate is FileFate.REFUSED
    assert "No raw MR data" in handled["other.h5"].detail
    (kept,) = store.instances(study_uid="1.2.3.4")
    assert kept.header.series_description.startswith("SYNTHETIC Raw k-space")
    assert not list(store.staging_folder().iterdir())


def test_raw_data_of_a_kind_that_nobody_knows_do_not_stop_the_folder(store: Store, folder: Path) -> None:
    import h5py
    import numpy as np

    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    with h5py.File(folder / "a.h5", "w") as file:  # h5py raises TypeError for values that NumPy has no kind for
        h5py.h5d.create(file.id, b"kspace", h5py.h5t.UNIX_D32LE, scalar)
    with h5py.File(folder / "b.h5", "w") as file:
        file["kspace"] = np.ones((1, 2, 32, 24), np.complex64)
        h5py.h5a.create(file.id, b"patient_id", h5py.h5t.UNIX_D32LE, scalar)
        h5py.h5a.create(file.id, b"other", h5py.h5t.UNIX_D32LE, scalar)
    (folder / "c.dcm").write_bytes(part10(ct_slice(1)))
    found = {item.path.name: item.fate for item in two_polls(watcher(store, folder))}
    assert found == {"a.h5": FileFate.REFUSED, "b.h5": FileFate.REFUSED, "c.dcm": FileFate.TAKEN}
    assert not list(store.staging_folder().iterdir())


def test_one_file_that_fails_does_not_hold_up_the_others(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coread.receive import folder as module

    real = module.take_file

    def failing(store: Store, path: Path, *more: Any) -> HandledFile:
        if path.name == "a.dcm":
            raise ZeroDivisionError("a bug")
        return real(store, path, *more)

    write_slices(folder, 1)
    (folder / "a.dcm").write_bytes(part10(ct_slice(2)))
    watching = watcher(store, folder)
    with monkeypatch.context() as patched:
        patched.setattr(module, "take_file", failing)
        assert [item.fate for item in two_polls(watching)] == [FileFate.TAKEN]
    assert [item.path.name for item in two_polls(watching)] == ["a.dcm"]
