"""``coread send`` with files of raw MR data: they travel as DICOM objects, beside images as they are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coread.app.cli import command_send
from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.deliver.outcome import SendResult
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.imaging.mr.files import ismrmrd
from coread.receive.server import DicomReceiver
from coread.receive.settings import ReceiveSettings
from coread.store import Store, StoreSettings
from tests.imaging.mr.made_raw import acquisition


def test_raw_data_are_wrapped_a_few_at_a_time_and_named_by_their_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tuple(tmp_path / f"{number}.h5" for number in range(3))
    for number, path in enumerate(given):
        ismrmrd.write(path, acquisition(slices=number + 1))
    monkeypatch.setattr(command_send, "_WRAPPED_BYTES", 1)
    folders: list[int] = []

    def sent(objects: Sequence[Path]) -> tuple[SendResult, ...]:
        folders.append(len(list(objects[0].parent.iterdir())))
        return tuple(SendResult(path, "", "", 0, "") for path in objects)

    results = [one for batch in command_send._batches(given) for one in command_send._sent_wrapped(batch, sent)]
    assert tuple(one.path for one in results) == given
    assert folders == [1, 1, 1]


def test_raw_data_are_wrapped_and_rubbish_beside_them_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "send"
    folder.mkdir()
    ismrmrd.write(folder / "scan.h5", acquisition())
    (folder / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with (
        Store.open(StoreSettings(tmp_path / "store", durable=False), migrate=True) as store,
        DicomReceiver(ReceiveSettings(port=0, durable=False), store) as receiver,
    ):
        words = ["send", str(folder), "--to", f"127.0.0.1:{receiver.port}", "--called", "COREAD"]
        done = CliRunner().invoke(app, words)
        assert receiver.flush()
        (kept,) = store.instances(study_uid="1.2.3.4")
    assert done.exit_code == ExitCode.INCOMPLETE
    assert "other.h5: not sent: " in done.stderr
    assert kept.header.sop_class_uid == RAW_DATA_STORAGE
