"""Every kind of object that a result leaves as is taken by a real PACS and comes back as it was."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from coread.deliver.peer import Peer
from coread.deliver.send import send_objects
from coread.domain.work import EvidenceKind
from coread.evidence.build import build_evidence
from tests.evidence import test_derived_series as derived
from tests.evidence.build_sources import card, reading
from tests.evidence.build_volumes import ct_slices
from tests.evidence.test_maps import MATRIX, result
from tests.peers.orthanc import OrthancPeer


@pytest.mark.peer
def test_a_real_pacs_takes_every_kind_of_object(orthanc: OrthancPeer, tmp_path: Path) -> None:
    made = build_evidence(reading(result()), card(), ct_slices(MATRIX, tmp_path), tuple(EvidenceKind))
    raw = derived.raw_object(tmp_path / "raw.dcm")
    computed = derived.built(derived.result(derived.computed(raw)), raw)
    made += tuple(item for item in computed if item.kind is EvidenceKind.DERIVED_IMAGES)
    assert {item.kind for item in made} == set(EvidenceKind) - {EvidenceKind.KEY_OBJECT}
    files = [tmp_path / f"{number}.dcm" for number in range(len(made))]
    for file, item in zip(files, made, strict=True):
        file.write_bytes(item.data)
    results = send_objects(Peer("127.0.0.1", orthanc.dicom_port, "PEER", timeout_seconds=10), files)
    assert all(result.stored for result in results), [result.message for result in results]
    for item in made:
        assert dcmread(BytesIO(orthanc.file_of(item.sop_instance_uid))) == dcmread(BytesIO(item.data)), item.kind
