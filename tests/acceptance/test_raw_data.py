"""Raw MR data through the server: a file of samples comes in, a series computed from it stands in the PACS."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from coread.imaging.mr.files import ismrmrd
from coread.imaging.mr.files.raw_object import write_wrapped
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.reference.scan import Setup
from coread.readers.registry import installed_readers
from tests.acceptance.conftest import Server
from tests.peers.orthanc import OrthancPeer, ProgramMissing, running_orthanc

READER = "mr_reconstruction"
OTHERS = [item.card.reader_id for item in installed_readers() if item.card.reader_id != READER]
TRUTH = RawTruth(
    matrix=64, slices=2, coils=4, acceleration=2, centre_percent=20, oversampling=1, dicom=False, images=False
)
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def settings(pacs: OrthancPeer, watched: Path) -> str:
    return (
        f'watch_folder = "{watched}"\nsettle_silence_seconds = 1\ndisabled_readers = {json.dumps(OTHERS)}\n'
        f'[[destinations]]\nname = "pacs"\naddress = "127.0.0.1:{pacs.dicom_port}"\nae_title = "ORTHANC"\n'
    )


def delivered(server: Server, accession: str) -> Any:
    """Wait until all that the reader made of a study has arrived; returns its part of the story."""

    def ready() -> Any:
        story = server.story(accession)
        mine = [one for one in story["readers"] if one["reader_id"] == READER] if story else []
        states = [d["state"] for one in mine for o in one["objects"] for d in o["deliveries"]]
        return mine[0] if states and all(state == "sent" for state in states) else None

    return server.wait(ready, f"nothing of {accession} arrived", seconds=120)


@pytest.mark.peer
def test_raw_data_become_a_series_in_the_pacs_by_folder_and_by_c_store(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    by_folder, by_network = (make(TRUTH, Setup(seed=seed)).kspace for seed in (11, 12))
    assert by_folder is not None
    assert by_network is not None
    watched = tmp_path / "watched"
    watched.mkdir()
    try:
        with running_orthanc() as pacs:
            server = make_server(settings(pacs, watched))
            ismrmrd.write(tmp_path / "kspace.h5", by_folder)
            (tmp_path / "kspace.h5").rename(watched / "kspace.h5")
            write_wrapped(by_network, tmp_path / "raw.dcm")
            assert server.send(tmp_path / "raw.dcm").json()["sent"] == 1
            for kspace in (by_folder, by_network):
                answer = delivered(server, kspace.header.accession_number)
                assert answer["outcome"] in ("positive", "negative")
                kinds = sorted(item["kind"] for item in answer["objects"])
                assert [kind for kind in kinds if kind != "KOS"] == ["IMG", "IMG", "PDF", "PM", "SC", "SR"]
                slices = [item["sop_instance_uid"] for item in answer["objects"] if item["kind"] == "IMG"]
                found = [dcmread(BytesIO(pacs.file_of(uid))) for uid in slices]
                assert {str(one.SOPClassUID) for one in found} == {MR_IMAGE}
                assert {str(one.StudyInstanceUID) for one in found} == {kspace.header.study_instance_uid}
                assert len({str(one.SeriesInstanceUID) for one in found}) == 1
                assert all(one.SeriesDescription.startswith("SYNTHETIC MR reconstruction") for one in found)
                places = [np.array(one.ImagePositionPatient, float) for one in found]
                assert np.linalg.norm(places[1] - places[0]) == pytest.approx(5.0)
                assert all(one.pixel_array.std() > 0 for one in found)
    except ProgramMissing as missing:
        pytest.skip(str(missing))
