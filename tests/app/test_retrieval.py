"""What to fetch, read from a file; and a whole data set out of a real archive by one command."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.app.errors import BadSettings, IncompleteRetrieval
from coread.app.retrieval import fetch, read_query, require_complete
from coread.deliver.retrieve import Retrieval, StudyRetrieved
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService
from coread.train.datasets import read_index
from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import ProgramMissing, running_orthanc
from tests.peers.ports import free_port


def test_a_list_means_any_of_these(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(
        'archive = "pacs:104"\n[find]\nAccessionNumber = ["A1", "A2"]\nModalitiesInStudy = "CT"\n'
    )
    assert read_query(tmp_path / "q.toml").queries() == (
        {"AccessionNumber": "A1", "ModalitiesInStudy": "CT"}, {"AccessionNumber": "A2", "ModalitiesInStudy": "CT"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("archive = ", "no TOML"), ('archive = "pacs:104"\n[find]\nPatientID = ""', "whole archive"),
        ('archive = "pacs:104"\nspeed = 9\n[find]\nPatientID = "1"', "speed"), ('[find]\nPatientID = "1"', "archive"),
    ],
)  # fmt: skip
def test_a_query_file_that_is_wrong_says_where(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "q.toml").write_text(text)
    with pytest.raises(BadSettings, match=words):
        read_query(tmp_path / "q.toml")
    with pytest.raises(BadSettings, match="cannot be read"):
        read_query(tmp_path / "none.toml")


def test_tls_needs_certificate_files_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text('archive = "127.0.0.1:104"\ntls = true\n[find]\nPatientID = "1"\n')
    with pytest.raises(BadSettings, match="tls_certificate"):
        fetch(tmp_path / "q.toml", tmp_path / "images", lambda *_: None)
    (tmp_path / "q.toml").write_text(
        'archive = "127.0.0.1:104"\ntls = true\ntls_ca = "none.pem"\n[find]\nPatientID = "1"\n'
    )
    with pytest.raises(BadSettings, match="cannot be used"):
        fetch(tmp_path / "q.toml", tmp_path / "images", lambda *_: None)


def test_missing_objects_are_named(tmp_path: Path) -> None:
    require_complete(Retrieval((StudyRetrieved("1.2", 3, ()),)))
    with pytest.raises(IncompleteRetrieval, match=r"2 of 3 objects .* 1\.2: 1 of 3 missing \(1\.2\.9\)"):
        require_complete(Retrieval((StudyRetrieved("1.2", 3, ("1.2.9",), "cut"),)))


@pytest.mark.peer
@pytest.mark.parametrize("way", ["move", "web"])
def test_one_command_makes_a_data_set_out_of_an_archive(tmp_path: Path, way: str) -> None:
    port = free_port()
    try:
        with running_orthanc(modalities={"coread": ("COREAD", "127.0.0.1", port)}) as pacs:
            paths = [secondary_capture(tmp_path / f"{n}.dcm", number=n) for n in range(3)]
            assert all(result.stored for result in stow_objects(WebService(pacs.dicomweb_url), paths))
            archive = pacs.dicomweb_url if way == "web" else f"127.0.0.1:{pacs.dicom_port}"
            (tmp_path / "q.toml").write_text(
                f'archive = "{archive}"\nae_title = "ORTHANC"\nlisten_port = {port}\nlisten_host = "127.0.0.1"\n'
                '[find]\nPatientID = "SYN-1"\n'
            )
            words = ["dataset", "build", "dicom_folder", str(tmp_path / "images"), "--out", str(tmp_path / "set"),
                     "--query", str(tmp_path / "q.toml"), "--json"]  # fmt: skip
            done = CliRunner().invoke(app, words)
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    assert done.exit_code == 0, done.output
    rows = read_index(tmp_path / "set").rows
    assert len(rows) == 3
    assert {row.patient_id for row in rows} == {"SYN-1"}
