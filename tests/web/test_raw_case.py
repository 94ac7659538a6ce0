"""A study of raw data in the browser: no pixels to show until they were reconstructed, then the computed series."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from coread.app.web.application import create_app
from coread.app.web.case_view import object_rows
from coread.app.web.dicomweb.metadata import instance_document
from coread.app.web.dicomweb.retrieve import value_at
from coread.app.why import study_story
from coread.domain.codes import Code
from coread.domain.derived import DerivedImages, Picture, derived_series_uid
from coread.domain.findings import Measurement
from coread.domain.results import ReadResult
from coread.domain.work import EvidenceKind
from coread.evidence.tree import readable_tree, tree_lines
from coread.store import Store, StoreSettings
from tests.engine.kspaces import acquisition, raw_file
from tests.web import world
from tests.web.conftest import Site

KSPACE = acquisition(coils=2, slices=3)
RESIDUAL = Measurement(Code("RESIDUAL", "99COREAD", "Data consistency residual"), 0.01, Code("1", "UCUM", "no units"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two studies of raw data: one that was reconstructed, one that waits."""
    folder = tmp_path_factory.mktemp("raw")
    with Store.open(StoreSettings(folder / "store", durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        sent = {}
        for number, name in enumerate(("read", "waiting")):
            path, _ = raw_file(folder / f"{name}.dcm", KSPACE)
            dataset = dcmread(path)
            dataset.StudyInstanceUID, dataset.SOPInstanceUID = f"1.2.3.{number}", f"1.2.4.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            uid = world.send(store, dataset)
            world.settle(store, uid)
            sent[name] = world.Sent(uid, "A1")
            if name == "read":
                world.finish(store, computed(store, uid))
        context = world.context(store)
        yield Site(store, passwords, sent, create_app(context))


def computed(store: Store, study_uid: str) -> ReadResult:
    slices, side, _ = KSPACE.geometry.shape
    voxels = np.random.default_rng(1).random((slices, side, side), np.float32)
    images = DerivedImages(
        label="MR reconstruction, research use",
        voxels=voxels,
        geometry=KSPACE.geometry,
        sources=(world.reference(store, study_uid),),
        derivation="by hand",
        series_instance_uid=derived_series_uid("a" * 64, study_uid),
        synthetic=True,
    )
    return ReadResult((), (RESIDUAL,), images=(images,), pictures=(Picture("reconstruction", voxels[0]),))


def page_data(text: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(
        text.split('id="images">')[1].split("</script>", maxsplit=1)[0]
    )
    return found


def test_raw_data_alone_are_no_picture_and_break_no_page(site: Site) -> None:
    client = site.logged_in("radiologist")
    uid = site.sent["waiting"].study_uid
    assert client.get("/").status_code == 200
    assert client.get(f"/case/{uid}").status_code == 200
    assert client.get(f"/why/{uid}").status_code == 200
    (raw,) = site.store.instances(study_uid=uid)
    assert client.get(f"/case/{uid}/image/{raw.header.sop_instance_uid}/1").status_code == 404


def test_the_computed_series_is_shown_slice_by_slice_before_the_page(site: Site) -> None:
    client = site.logged_in("radiologist")
    uid = site.sent["read"].study_uid
    series = page_data(client.get(f"/case/{uid}").text)["series"]
    assert [one["label"] for one in series] == ["MR SYNTHETIC MR reconstruction, research use (3)", "Coread summary"]
    frames = series[0]["frames"]
    assert isinstance(frames, list)
    shown = [client.get(f"/case/{uid}/image/{frame['sop']}/1") for frame in frames]
    assert [Image.open(io.BytesIO(one.content)).size for one in shown] == [(32, 32)] * 3
    assert len({one.content for one in shown}) == 3


def test_the_slices_of_a_series_are_one_row_of_objects(site: Site) -> None:
    client = site.logged_in("radiologist")
    uid = site.sent["read"].study_uid
    text = client.get(f"/case/{uid}").text
    assert text.count("Computed images") == 1
    assert "3 slices" in text
    story = study_story(site.store, uid)
    sent = story.readers[0].objects
    rows = {row.evidence.kind: row for row in object_rows(sent)}
    assert rows[EvidenceKind.DERIVED_IMAGES].count == 3
    assert {one.destination for one in rows[EvidenceKind.DERIVED_IMAGES].deliveries} == {"PACS", "Research archive"}
    first = site.store.claim_delivery("PACS", "test", 30)
    assert first is not None
    site.store.delivery_dead(first.delivery_id, "refused")
    behind = {row.evidence.kind: row for row in object_rows(study_story(site.store, uid).readers[0].objects)}
    states = {one.destination: one.state.value for row in behind.values() for one in row.deliveries if one.last_error}
    assert states == {"PACS": "dead"}
    assert any("3 IMG" in stage.detail for stage in story.stages)


def test_the_samples_are_not_read_to_describe_the_object(tmp_path: Path) -> None:
    path, _ = raw_file(tmp_path / "big.dcm", acquisition(coils=8, slices=8, side=64, step=1))
    assert path.stat().st_size > 1 << 20
    (document,) = [json.loads(instance_document(path, "bulk/"))]
    assert document["7FE11010"] == {"vr": "OB", "BulkDataURI": "bulk/7FE11010"}
    assert document["00080060"] == {"vr": "CS", "Value": ["MR"]}
    part = value_at(path, "7FE11010", "application/octet-stream")
    assert part.source == path, "sent from the file, never held"
    assert b"".join(part.chunks())[:8] == b"\x89HDF\r\n\x1a\n"
    assert part.length() == int.from_bytes(path.read_bytes()[part.offset - 4 : part.offset], "little")
    lines = list(tree_lines(readable_tree(path)))
    assert any("(7FE1,1010)" in line.replace(" ", "").upper() and "bytes" in line for line in lines)
