"""``coread send`` with files of raw MR data: they travel as DICOM objects, beside images as they are."""

from pathlib import Path

from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.imaging.mr.files import ismrmrd
from coread.receive.server import DicomReceiver
from coread.receive.settings import ReceiveSettings
from coread.store import Store, StoreSettings
from tests.imaging.mr.made_raw import acquisition


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
    assert "other.h5 is not sent" in done.stderr
    assert kept.header.sop_class_uid == RAW_DATA_STORAGE
