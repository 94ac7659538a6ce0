"""The other settings of the way in and of the index, through the running server."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coread.app.cli.exit_codes import ExitCode
from tests.acceptance.conftest import Server, chest, radiograph, save
from tests.store import postgres


def test_only_named_senders_may_send_and_a_watched_folder_is_read(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    server = make_server(f'watch_folder = "{watched}"\n[[peers]]\nae_title = "SCANNER"\nnetwork = "127.0.0.0/8"\n')
    to = ("--to", f"127.0.0.1:{server.dicom_port}", "--json")
    path = save(radiograph(1), tmp_path / "in.dcm")
    refused = server.run("send", path, *to, "--calling", "INTRUDER")
    assert refused.code == ExitCode.UNREACHABLE
    assert server.story("TEST-001") is None
    assert server.run("send", path, *to, "--calling", "SCANNER").code == ExitCode.OK

    arriving = save(radiograph(2), tmp_path / "other.dcm")
    shutil.copyfile(arriving, watched / "other.dcm")
    assert server.outcome("TEST-001")["images"] == 1
    assert server.outcome("TEST-002")["settled_reason"] is not None
    assert (watched / "processed").is_dir()


@pytest.mark.peer
def test_the_same_server_runs_on_postgresql(make_server: Callable[..., Server], tmp_path: Path) -> None:
    if why := postgres.why_absent():
        pytest.skip(why)
    with postgres.running_server() as database, database.database() as name:
        server = make_server(f'database_url = "{database.url(name)}"\n')
        assert server.send(save(radiograph(3, "effusion"), tmp_path / "in.dcm")).code == ExitCode.OK
        story = server.outcome("TEST-003")
        assert chest(story)["outcome"] != "failed"
        assert not (server.folder / "data" / "index.sqlite3").exists()
        assert server.stop() == 0
