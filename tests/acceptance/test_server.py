"""The server with real processes: received, read, delivered, told; killed and started again."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coread.app.cli.exit_codes import ExitCode
from coread.store import Store, StoreSettings
from tests.acceptance.conftest import Server, chest, radiograph, save
from tests.peers.orthanc import ProgramMissing, running_orthanc


def children_of(process_id: int) -> dict[str, int]:
    """Return the child processes of the server by what they run."""
    listed = subprocess.run(
        ["ps", "--ppid", str(process_id), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    found = {}
    for line in listed.stdout.splitlines():
        number, _, rest = line.strip().partition(" ")
        for name in ("coread.receive", "coread.app.worker"):
            if name in rest:
                found[name] = int(number)
    return found


def test_a_radiograph_is_received_read_and_told(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server()
    path = save(radiograph(1, "pneumothorax"), tmp_path / "in.dcm")
    assert server.send(path).code == ExitCode.OK
    story = server.outcome("TEST-001")
    reader = chest(story)
    assert reader["outcome"] in ("positive", "negative", "not_analysed")
    keys = [stage["key"] for stage in story["stages"]]
    assert keys.index("last") < keys.index("settled") < keys.index("routed") < keys.index("read")
    assert story["settled_reason"] == "association_complete"
    events = [entry["event"] for entry in story["history"]]
    assert any(event.startswith("receive.") for event in events)
    assert any(event.startswith("route.") for event in events)


def test_sending_twice_changes_nothing(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server()
    path = save(radiograph(2), tmp_path / "in.dcm")
    server.send(path)
    first = server.outcome("TEST-002")
    assert server.send(path).code == ExitCode.OK
    second = server.outcome("TEST-002")
    assert second["images"] == 1
    assert second["generation"] == first["generation"]
    assert [o["sop_instance_uid"] for r in second["readers"] for o in r["objects"]] == [
        o["sop_instance_uid"] for r in first["readers"] for o in r["objects"]
    ]


def test_a_late_image_opens_the_study_again(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server()
    first = radiograph(3)
    server.send(save(first, tmp_path / "a.dcm"))
    server.outcome("TEST-003")
    late = radiograph(3, "effusion")
    late.StudyInstanceUID = first.StudyInstanceUID
    server.send(save(late, tmp_path / "b.dcm"))

    def again() -> object:
        story = server.story("TEST-003")
        return story if story and story["generation"] == 2 and story["readers"] else None

    story = server.wait(again, "the study was not read again")
    assert story["images"] == 2


@pytest.mark.parametrize("name", ["coread.receive", "coread.app.worker"])
def test_a_killed_process_is_started_again_and_nothing_is_lost(
    make_server: Callable[..., Server], tmp_path: Path, name: str
) -> None:
    server = make_server()
    assert server.process is not None
    before = children_of(server.process.pid)
    os.kill(before[name], signal.SIGKILL)

    def back() -> bool:
        now = children_of(server.process.pid) if server.process else {}
        return now.get(name, before[name]) != before[name] and server._ready()

    server.wait(back, f"{name} was not started again", seconds=30)
    server.send(save(radiograph(4), tmp_path / "in.dcm"))
    assert chest(server.outcome("TEST-004"))["outcome"] != "failed"


def test_a_power_cut_in_the_middle_loses_and_doubles_nothing(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server()
    for number in range(10, 16):
        save(radiograph(number), tmp_path / "in" / f"{number}.dcm")
    assert server.send(tmp_path / "in").json()["sent"] == 6
    server.kill()
    server.start()
    for number in range(10, 16):
        story = server.outcome(f"TEST-{number:03d}")
        assert story["images"] == 1
        assert chest(story)["outcome"] != "failed"
        kinds = [item["kind"] for item in chest(story)["objects"]]
        assert len(kinds) == len(set(kinds))


def test_it_stops_when_asked(make_server: Callable[..., Server]) -> None:
    server = make_server()
    assert server.stop() == 0


@pytest.mark.peer
def test_results_arrive_in_the_pacs(make_server: Callable[..., Server], tmp_path: Path) -> None:
    try:
        with running_orthanc() as pacs:
            server = make_server(
                f'[[destinations]]\nname = "pacs"\naddress = "127.0.0.1:{pacs.dicom_port}"\nae_title = "ORTHANC"\n'
                '[[destinations]]\nname = "dead"\naddress = "127.0.0.1:1"\nae_title = "X"\n'
            )
            server.send(save(radiograph(20, "effusion"), tmp_path / "in.dcm"))
            server.outcome("TEST-020")

            def delivered() -> object:
                story = server.story("TEST-020")
                states = [
                    d["state"] for o in chest(story)["objects"] for d in o["deliveries"] if d["destination"] == "pacs"
                ]
                return story if states and all(state == "sent" for state in states) else None

            story = server.wait(delivered, "the results did not arrive")
            made = {item["sop_instance_uid"] for item in chest(story)["objects"]}
            assert made <= pacs.sop_instance_uids()
            assert any("dead" in line for line in story["missing"])
    except ProgramMissing as missing:
        pytest.skip(str(missing))


def test_pages_ask_for_a_login(make_server: Callable[..., Server]) -> None:
    server = make_server()
    answer = httpx.get(f"{server.url}/", follow_redirects=False)
    assert answer.status_code in (302, 303, 307, 401)
    assert httpx.get(f"{server.url}/dicomweb/studies").status_code == 401
    assert server.password


def test_export_writes_results_and_objects(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server()
    server.send(save(radiograph(30), tmp_path / "in.dcm"))
    server.outcome("TEST-030")
    answer = server.run("export", tmp_path / "out", "--images", "--json")
    assert answer.code == ExitCode.OK
    assert answer.json()["images"] == 1
    assert (tmp_path / "out" / "results.csv").read_text().startswith("study_instance_uid,")
    assert server.run("export", tmp_path / "out").code == ExitCode.FAILED
    with Store.open(StoreSettings(server.folder / "data")) as store:
        actions = [entry.action for entry in store.audit_entries()]
    assert actions.count("study.exported") == 1


def test_users_are_managed_from_the_command_line(make_server: Callable[..., Server]) -> None:
    server = make_server()
    added = server.run("users", "add", "reader1", "--role", "radiologist", "--json").json()
    assert added["password"]
    assert server.run("users", "add", "reader1").code != ExitCode.OK
    assert server.run("users", "disable", "reader1").code == ExitCode.OK
    listed = {user["name"]: user for user in server.run("users", "list", "--json").json()}
    assert listed["reader1"]["state"] == "disabled"
    assert listed["admin"]["role"] == "administrator"
