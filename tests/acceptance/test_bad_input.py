"""Bad input over every door: the good study beside it is read, and each bad object ends with its own reason."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from coread.app.cli.exit_codes import ExitCode
from coread.app.web.passwords import hash_token
from coread.domain.reasons import MEANINGS, ReasonCode
from coread.phantoms.faults import FAULTS, SERIES_FAULTS
from coread.readers import registry
from coread.store import Store, StoreSettings
from tests.acceptance.conftest import Answer, Server, chest, radiograph, save

REFUSED: dict[str, ReasonCode] = {
    "truncated": ReasonCode.TRUNCATED,
    "truncated_header": ReasonCode.TRUNCATED,
    "not_dicom": ReasonCode.NOT_DICOM,
    "empty": ReasonCode.NOT_DICOM,
    "missing_study_uid": ReasonCode.MISSING_UID,
    "empty_series_uid": ReasonCode.MISSING_UID,
    "missing_sop_uid": ReasonCode.MISSING_UID,
    "hostile_uid": ReasonCode.BAD_UID,
    "long_uid": ReasonCode.BAD_UID,
    "deflate_bomb": ReasonCode.BAD_HEADER,
}
"""Faults that no door keeps."""
DECLINED: dict[str, tuple[str, ReasonCode]] = {
    "unknown_transfer_syntax": ("F-unknown-syntax", ReasonCode.UNKNOWN_SYNTAX),
    "broken_transfer_syntax": ("F-broken-syntax", ReasonCode.PIXELS_UNREAD),
    "zero_size": ("F-zero", ReasonCode.NO_PIXELS),
    "no_pixels": ("F-no-pixels", ReasonCode.NO_PIXELS),
    "all_equal": ("F-constant", ReasonCode.PIXELS_CONSTANT),
    "not_a_number": ("F-nan", ReasonCode.PIXELS_NOT_FINITE),
    "sixty_thousand_square": ("F-huge", ReasonCode.IMAGE_TOO_LARGE),
    "missing_patient_id": ("F-no-patient", ReasonCode.NOT_CHEST),
    "wrong_charset": ("F-charset", ReasonCode.NOT_CHEST),
    "unknown_charset": ("F-charset-name", ReasonCode.NOT_CHEST),
    "future_dates": ("F-future", ReasonCode.NOT_CHEST),
    "lossy_8_bit": ("SYN0001", ReasonCode.NOT_CHEST),
    "two_patients_in_one_study": ("F-two", ReasonCode.TWO_PATIENTS),
    "same_uid_other_bytes": ("F-conflict", ReasonCode.NOT_CHEST),
    "same_position_twice": ("SYNCT01", ReasonCode.WRONG_MODALITY),
    "missing_slice": ("SYNCT01", ReasonCode.WRONG_MODALITY),
}
"""Faults that are kept; the study says why nobody read it. The faults' ramp of grey is no chest."""
NOT_SENT = ("empty", "not_dicom")
"""No C-STORE client can send these: they name no object."""


def lay_out(folder: Path) -> dict[str, list[Path]]:
    """Write every fault into the folder, and one good radiograph beside them; returns the files by fault."""
    folder.mkdir(parents=True)
    made = {name: {f"{name}.dcm": make()} for name, make in FAULTS.items()}
    made |= {name: {f"{name}-{file}": data for file, data in make().items()} for name, make in SERIES_FAULTS.items()}
    files: dict[str, list[Path]] = {}
    for name, contents in made.items():
        for file, data in contents.items():
            (folder / file).write_bytes(data)
            files.setdefault(name, []).append(folder / file)
    files["good"] = [save(radiograph(1, "pneumothorax"), folder / "good.dcm")]
    return files


def test_every_fault_has_an_ending() -> None:
    assert set(REFUSED) | set(DECLINED) == set(FAULTS) | set(SERIES_FAULTS)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Answer]) -> Answer:
    """One reading of a folder with every fault."""
    folder = tmp_path_factory.mktemp("faults")
    lay_out(folder / "in")
    return command("read", folder / "in", "--out", folder / "out", "--json")


def chest_rows(answer: Answer) -> list[dict[str, Any]]:
    """What the chest reader said of each study; the other readers are for other kinds of study."""
    return [row for row in answer.json()["readings"] if row["reader_id"] == "chest_xray"]


def test_the_good_study_beside_the_faults_is_read(reading: Answer) -> None:
    assert reading.code == ExitCode.INCOMPLETE
    outcomes = {row["accession_number"]: row["outcome"] for row in chest_rows(reading)}
    assert outcomes.pop("TEST-001") in ("positive", "negative")
    assert set(outcomes.values()) == {"not_analysed"}
    assert set(outcomes) == {accession for accession, _ in DECLINED.values()}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_fault_that_cannot_be_kept_is_refused_by_name(reading: Answer, name: str) -> None:
    refused = {Path(row["file"]).stem: row["reason"] for row in reading.json()["refused"]}
    assert refused[name].startswith(MEANINGS[REFUSED[name]])


@pytest.mark.parametrize("name", sorted(DECLINED))
def test_a_fault_that_is_kept_says_why_it_was_not_read(reading: Answer, name: str) -> None:
    accession, reason = DECLINED[name]
    texts = [row["text"] for row in chest_rows(reading) if row["accession_number"] == accession]
    assert texts
    meaning = MEANINGS[reason]
    assert all(meaning[0].lower() + meaning[1:] in text for text in texts)


@pytest.mark.parametrize("name", ["same_uid_other_bytes", "two_patients_in_one_study"])
def test_an_object_that_contradicts_another_is_named_as_kept_aside(reading: Answer, name: str) -> None:
    refused = {Path(row["file"]).name: row["reason"] for row in reading.json()["refused"]}
    assert refused[f"{name}-second.dcm"].startswith("kept aside: ")


def test_a_reader_whose_network_is_damaged_is_reported_and_never_run(tmp_path: Path) -> None:
    copy = tmp_path / "site" / "coread"
    shutil.copytree(Path(registry.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    network = copy / "readers" / "chest_xray" / "model" / "network.onnx"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)

    def run(*words: str | Path) -> Answer:
        environment = os.environ | {"PYTHONPATH": str(copy.parent)}
        line = [sys.executable, "-m", "coread", "--folder", str(tmp_path / "data"), *map(str, words)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return Answer(done.returncode, done.stdout, done.stderr)

    doctor = run("doctor", "--json")
    assert doctor.code == ExitCode.FAILED
    assert "network.onnx" in doctor.out
    listed = run("readers", "--json")
    assert listed.code == ExitCode.MISCONFIGURED
    [problem] = listed.json()["problems"]
    assert problem["name"] == "chest_xray"
    assert "network.onnx" in problem["problem"]
    for words in ((), ("chest_xray",)):
        told = run("readers", *words)
        assert told.code == ExitCode.MISCONFIGURED
        assert "its package is damaged and will not run" in told.err
    read = run("read", save(radiograph(1), tmp_path / "in.dcm"), "--out", tmp_path / "out", "--json")
    assert read.code == ExitCode.FAILED
    [row] = chest_rows(read)
    assert row["outcome"] == "failed"
    assert "network.onnx" in row["text"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with a watched folder for the tests below."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "watched").mkdir()
    running = Server(folder / "server", extra=f'watch_folder = "{folder / "watched"}"\n')
    try:
        yield running.start()
    finally:
        running.kill()


def quarantined(server: Server) -> list[str]:
    with sqlite3.connect(server.folder / "data" / "index.sqlite3") as index:
        found = [str(row[0]) for row in index.execute("SELECT reason FROM quarantine")]
    index.close()
    return found


def post(server: Server, token: str, data: bytes) -> httpx.Response:
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--x--\r\n"
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=x',
        "Authorization": f"Bearer {token}",
    }
    return httpx.post(f"{server.url}/dicomweb/studies", content=body, headers=headers, timeout=60)


def test_faults_over_c_store_are_refused_with_a_status_or_end_with_an_outcome(server: Server, tmp_path: Path) -> None:
    files = lay_out(tmp_path / "in")
    answer = server.send(tmp_path / "in")
    assert answer.code == ExitCode.INCOMPLETE
    sent = {Path(row["path"]): row for row in answer.json()["files"]}
    assert set(sent) == {path for paths in files.values() for path in paths}
    for name in REFUSED:
        assert not sent[files[name][0]]["ok"], name
        assert sent[files[name][0]]["message"]
    assert {name for name in DECLINED if not all(sent[path]["ok"] for path in files[name])} <= {
        "two_patients_in_one_study",
        "same_uid_other_bytes",
    }
    assert chest(server.outcome("TEST-001"))["outcome"] in ("positive", "negative")
    for accession in sorted({accession for accession, _ in DECLINED.values()} - {"SYNCT01"}):
        outcomes = {reader["outcome"] for reader in server.outcome(accession)["readers"]}
        assert outcomes == {"not_analysed"}, accession
    assert {ReasonCode.TRUNCATED, ReasonCode.MISSING_UID, ReasonCode.BAD_UID} <= set(quarantined(server))


def test_faults_over_stow_are_answered_one_by_one(server: Server, tmp_path: Path) -> None:
    files = lay_out(tmp_path / "in")
    with Store.open(StoreSettings(server.folder / "data")) as store:
        store.create_api_token(hash_token("for-this-test"), "admin", "test", None)
    for name in sorted(set(REFUSED)):
        answer = post(server, "for-this-test", files[name][0].read_bytes())
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
    good = post(server, "for-this-test", files["good"][0].read_bytes())
    assert good.status_code == 200, good.text


def test_faults_in_the_watched_folder_are_put_aside(server: Server, tmp_path: Path) -> None:
    files = lay_out(tmp_path / "in")
    watched = server.folder.parent / "watched"
    for name in REFUSED:
        shutil.copyfile(files[name][0], watched / files[name][0].name)

    def all_refused() -> bool:
        return {path.name for path in (watched / "refused").glob("*.dcm")} == {f"{name}.dcm" for name in REFUSED}

    server.wait(all_refused, "the faults were not put aside", seconds=40)


def test_a_locked_index_delays_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    lock = sqlite3.connect(server.folder / "data" / "index.sqlite3", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        for number in (50, 51):
            path = save(radiograph(number), tmp_path / f"{number}.dcm")
            assert server.send(path).code == ExitCode.OK
        time.sleep(1)
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    for number in (50, 51):
        assert server.outcome(f"TEST-{number:03d}")["images"] == 1


@pytest.mark.parametrize("many", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_many_associations_at_once_leave_a_server_that_answers(server: Server, tmp_path: Path, many: int) -> None:
    from coread.deliver.peer import Peer
    from coread.deliver.send import send_objects

    path = save(radiograph(60), tmp_path / "in.dcm")
    peer = Peer("127.0.0.1", server.dicom_port, "COREAD", "MANY", 30)
    with ThreadPoolExecutor(max_workers=many) as pool:
        results: list[Any] = list(pool.map(lambda _: send_objects(peer, [path])[0], range(many)))
    assert all(result.stored or result.message for result in results)
    assert any(result.stored for result in results)
    assert server.outcome("TEST-060")["images"] == 1
    assert server.send(path).code == ExitCode.OK


def test_a_disk_below_its_limit_refuses_with_words_and_answers_on(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    full = make_server("warn_free_fraction = 0.9999\nrefuse_free_fraction = 0.9999\n")
    answer = full.send(save(radiograph(70), tmp_path / "in.dcm"))
    assert answer.code != ExitCode.OK
    [row] = answer.json()["files"]
    assert row["status"] == 0xA700
    assert "out of resources" in row["message"]
    assert full.get("/login").status_code == 200
    assert full.story("TEST-070") is None


@pytest.mark.shared
@pytest.mark.parametrize(
    ("archive", "aside"), [("dcm_one_ct_16_transfer_syntaxes.zip", 8), ("dcm_seg_sr_objects.zip", 2)]
)
def test_real_objects_of_every_kind_are_declined_or_named(
    shared_data: Path, command: Callable[..., Answer], tmp_path: Path, archive: str, aside: int
) -> None:
    answer = command("read", shared_data / "dicom" / archive, "--out", tmp_path / "out", "--json")
    assert answer.code == ExitCode.NOT_ANALYSED
    assert {row["outcome"] for row in answer.json()["readings"]} == {"not_analysed"}
    reasons = [row["reason"] for row in answer.json()["refused"]]
    kept_aside = [reason for reason in reasons if reason.startswith("kept aside: same SOP Instance UID")]
    assert len(kept_aside) == aside
    assert all("(member '" in reason and ", SOP Instance UID " in reason for reason in kept_aside)
