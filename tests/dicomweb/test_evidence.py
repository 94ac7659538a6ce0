"""Objects that Coread made are served like those that came in."""

import io
from pathlib import Path

from PIL import Image
from pydicom import dcmread

from coread.domain.work import EncodedObject, EvidenceKind
from coread.store import InstanceQuery
from tests.deliver.objects import secondary_capture
from tests.dicomweb.archive import parts_of, served_store
from tests.store.examples import evidence, positive, ready_work


def test_own_evidence_is_found_retrieved_and_rendered(tmp_path: Path) -> None:
    path = secondary_capture(tmp_path / "sc.dcm")
    dataset = dcmread(path)
    capture = EncodedObject(
        EvidenceKind.SECONDARY_CAPTURE,
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SeriesInstanceUID),
        path.read_bytes(),
        "test",
    )
    with served_store(tmp_path / "store") as (store, client):
        work = ready_work(store)
        store.finish_work(work.work_id, "worker", positive(), [capture, evidence()])
        study = work.study_instance_uid
        assert len(client.get(f"/dicomweb/studies/{study}/series").json()) == 3
        [found] = client.get(f"/dicomweb/studies/{study}/instances?SOPInstanceUID={dataset.SOPInstanceUID}").json()
        assert found["00280010"]["Value"] == [32]
        url = f"/dicomweb/studies/{study}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
        assert parts_of(client.get(url))[0][1] == path.read_bytes()
        for shown in (f"{url}/rendered", f"/dicomweb/studies/{study}/series/{dataset.SeriesInstanceUID}/thumbnail"):
            answer = client.get(shown, headers={"Accept": "image/png"})
            assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
        [report] = store.find_instances(InstanceQuery(sop_class_uids=("1.2.840.10008.5.1.4.1.1.88.33",))).items
        header = report.header
        series = f"/dicomweb/studies/{study}/series/{header.series_instance_uid}"
        assert client.get(f"{series}/instances/{header.sop_instance_uid}/rendered").status_code in (404, 406)
        assert client.get(f"{series}/thumbnail").status_code in (404, 406)
