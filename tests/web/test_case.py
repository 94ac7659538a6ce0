import io
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from coread.app.verdicts import standing_verdicts
from coread.app.web.pictures import draw_heat, smaller, windowed
from coread.domain.findings import HeatMap, ImageReference
from coread.domain.study import Origin
from coread.domain.work import VerdictKind
from coread.imaging.header import scan_header
from coread.store import StagedFile
from tests.web import world
from tests.web.conftest import Site, post


def page_data(text: str) -> dict[str, object]:
    """Return the data that the page hands to its script."""
    found: dict[str, object] = json.loads(text.split('id="images">')[1].split("</script>", maxsplit=1)[0])
    return found


def test_the_case_shows_findings_with_the_numbers_of_their_operating_point(hospital: Site) -> None:
    text = hospital.logged_in("radiologist").get(f"/case/{hospital.sent['positive'].study_uid}").text
    assert "Pneumothorax" in text
    assert "0.93" in text
    assert (
        "at <b>balanced</b>: sensitivity 0.86 (0.81 to 0.90), specificity 0.88 (0.86 to 0.90), n = 212 and 1040" in text
    )
    assert "PACS: acknowledged" in text
    assert "Research archive: dead letter" in text or "Research archive: waiting" in text


def test_a_study_that_was_not_analysed_says_why(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    refused = client.get(f"/case/{hospital.sent['not_analysed'].study_uid}").text
    assert (
        "Not analysed, because: age of the patient is outside the validated range: the patient is 3 years old"
        in refused
    )
    declined = client.get(f"/case/{hospital.sent['declined'].study_uid}").text
    assert "Not analysed, because: body part is not one the reader reads: HAND" in declined
    assert "Failed: WorkerDied" in client.get(f"/case/{hospital.sent['failed'].study_uid}").text


def test_boxes_and_heat_maps_stand_on_their_image(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    sent = hospital.sent["positive"]
    data = page_data(client.get(f"/case/{sent.study_uid}").text)
    findings = data["findings"]
    assert isinstance(findings, list)
    first = findings[0]
    assert first["name"] == "Pneumothorax"
    assert first["marks"][0]["kind"] == "box"
    assert not any(finding["marks"] for finding in findings if not finding["present"])
    heat = client.get(first["heat"][0]["url"])
    picture = Image.open(io.BytesIO(heat.content))
    assert picture.mode == "RGBA"
    assert np.asarray(picture)[..., 3].min() == 0, "transparent where the network did not look"


def test_frames_are_drawn_windowed_and_inverted(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    uid = hospital.sent["positive"].study_uid
    sop = world.reference(hospital.store, uid).sop_instance_uid
    url = f"/case/{uid}/image/{sop}/1"
    plain, inverted, narrow = (
        np.asarray(Image.open(io.BytesIO(client.get(url + query).content))).astype(int)
        for query in ("", "?invert=1", "?window=0.2&level=0.5")
    )
    assert plain.shape[0] == 256
    assert np.abs(plain + inverted - 255).max() <= 1
    assert (narrow == 0).sum() + (narrow == 255).sum() > (plain == 0).sum() + (plain == 255).sum()
    assert client.get(f"/case/{uid}/image/{sop}/2").status_code == 404
    assert client.get(f"{url}?window=-1").status_code == 422


def test_our_own_summary_page_can_be_looked_at_and_downloaded(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    uid = hospital.sent["positive"].study_uid
    summary = next(one for one in hospital.store.evidence(uid) if one.kind == "SC")
    drawn = client.get(f"/case/{uid}/image/{summary.sop_instance_uid}/1")
    assert drawn.headers["content-type"] == "image/png"
    file = client.get(f"/case/{uid}/object/{summary.sop_instance_uid}")
    assert file.content[128:132] == b"DICM"
    assert hospital.store.audit_entries(limit=1)[0].action == "object.exported"
    report = next(one for one in hospital.store.evidence(uid) if one.kind == "SR")
    tree = client.get(f"/case/{uid}/object/{report.sop_instance_uid}/tree").text
    assert "Pneumothorax" in tree


def test_an_object_of_another_study_is_not_given_out(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    other = world.reference(hospital.store, hospital.sent["negative"].study_uid).sop_instance_uid
    uid = hospital.sent["positive"].study_uid
    for path in (
        f"image/{other}/1",
        f"object/{other}",
        f"object/{other}/tree",
        "heat/1/pneumothorax/0",
        "object/1.2.3",
    ):
        assert client.get(f"/case/{uid}/{path}").status_code == 404, path
    assert client.get("/case/1.2.3").status_code == 404


def test_a_verdict_stands_until_it_is_taken_back(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    sent = ward.sent["positive"]
    url = f"/case/{sent.study_uid}/verdict"
    given = {"work_id": sent.work_id, "finding_key": "pneumothorax"}
    assert post(client, url, **given, kind="reject") == 303
    assert post(client, url, **given, kind="edit", corrected_presence="absent", comment="skin fold") == 303
    text = client.get(f"/case/{sent.study_uid}").text
    assert "Edited by radiologist: absent (skin fold)" in text
    last = ward.store.verdicts(sent.study_uid)[-1]
    assert post(client, f"{url}/{last.verdict_id}/undo") == 303
    assert post(client, f"{url}/{last.verdict_id}/undo") == 404
    verdicts = ward.store.verdicts(sent.study_uid)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.REJECT, VerdictKind.EDIT, VerdictKind.WITHDRAW]
    assert standing_verdicts(verdicts) == {}
    assert "Edited by" not in client.get(f"/case/{sent.study_uid}").text


def test_a_verdict_must_name_a_finding_of_this_study(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    sent = ward.sent["positive"]
    url = f"/case/{sent.study_uid}/verdict"
    assert post(client, url, work_id=sent.work_id, finding_key="nonsense", kind="accept") == 404
    assert post(client, url, work_id=sent.work_id + 1, finding_key="effusion", kind="accept") == 404
    assert post(client, url, work_id=sent.work_id, finding_key="effusion", kind="withdraw") == 422
    assert post(client, url, work_id=sent.work_id, finding_key="effusion", kind="edit") == 422
    assert ward.store.verdicts(sent.study_uid) == ()


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}"])
def test_what_a_header_says_is_text_and_never_markup(ward: Site, evil: str) -> None:
    image = world.chest(77, name=evil[:60], rows=64, description=evil[:60])
    uid = world.send(ward.store, image)
    client = ward.logged_in("administrator")
    for path in ("/", f"/case/{uid}", f"/why/{uid}", "/audit"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert path == "/audit" or "{{7*7}}" not in evil or "{{7*7}}" in text
    assert client.get("/api/v1/worklist").headers["content-type"] == "application/json"


def test_search_words_travel_in_the_body_and_the_audit_names_no_patient(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    token = client.get("/account").text.split('<meta name="csrf" content="')[1].split('"')[0]
    answer = client.post("/worklist/rows", data={"text": "CASE05"}, headers={"x-csrf-token": token})
    assert "SYNTHETIC, CASE05" in answer.text
    assert "CASE04" not in answer.text
    for entry in hospital.store.audit_entries(limit=1000):
        assert "SYNTHETIC" not in entry.detail + entry.target


def test_filters_leave_only_what_fits(hospital: Site) -> None:
    client = hospital.logged_in("radiologist")
    token = client.get("/account").text.split('<meta name="csrf" content="')[1].split('"')[0]

    def rows(**values: str) -> int:
        answer = client.post("/worklist/rows", data=values, headers={"x-csrf-token": token})
        assert answer.status_code == 200
        return int(answer.text.count("<tr data-key="))

    assert rows() == 8
    assert rows(outcome="positive") == 2
    assert rows(outcome="not_analysed") == 2
    assert rows(outcome="failed", reader_id="chest_test") == 1
    assert rows(modality="CT") == 0
    assert rows(hours="1") == 8
    assert rows(limit="3") == 3


def test_opening_a_case_is_one_line_of_the_audit_trail_however_often_it_refreshes(ward: Site) -> None:
    client = ward.logged_in("radiologist")
    uid = ward.sent["positive"].study_uid
    sop = world.reference(ward.store, uid).sop_instance_uid
    for _ in range(3):
        client.get(f"/case/{uid}")
        client.get(f"/case/{uid}/image/{sop}/1")
    actions = [entry.action for entry in ward.store.audit_entries() if entry.target == uid]
    assert sorted(actions) == ["case.opened", "image.shown"]


def test_a_large_picture_is_averaged_down_and_windowing_is_linear() -> None:
    ramp = np.tile(np.linspace(0, 1, 3072, dtype=np.float32), (3072, 1))
    small = smaller(ramp)
    assert small.shape == (1536, 1536)
    assert abs(int(small[0, -1]) - 65535) < 30
    shown = windowed(small, level=0.5, window=1.0, invert=False)
    assert shown.min() == 0
    assert shown.max() == 255
    assert (np.diff(shown[0].astype(int)) >= 0).all()


def test_a_heat_map_keeps_its_place() -> None:
    values = np.zeros((10, 20), dtype=np.float32)
    values[2, 15] = 1
    picture = np.asarray(Image.open(io.BytesIO(draw_heat(HeatMap(ImageReference("1", "2", "3"), values)))))
    row, column = np.unravel_index(picture[..., 3].argmax(), picture.shape[:2])
    assert abs(row / picture.shape[0] - 2.5 / 10) < 0.05
    assert abs(column / picture.shape[1] - 15.5 / 20) < 0.05


def test_an_object_that_makes_no_sense_is_a_message_and_not_a_crash(ward: Site, tmp_path: Path) -> None:
    report = world.chest(7, rows=64)
    broken = Dataset()
    broken.ValueType = "SCOORD"
    broken.GraphicData = [1.0, 2.0]  # without GraphicType, which PS3.3 C.18.6 requires
    report.ContentSequence = Sequence([broken])
    path = ward.store.staging_folder() / "broken.ready"
    report.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    head = scan_header(path)
    ward.store.add_files([StagedFile(path, head, len(data), sha256(data).hexdigest(), Origin("c-store", "SCANNER"))])
    client = ward.logged_in("radiologist")
    answer = client.get(f"/case/{head.study_instance_uid}/object/{head.sop_instance_uid}/tree")
    assert answer.status_code == 404
    assert "cannot be shown as a tree" in answer.text
    ward.store.path_of(ward.store.instances((head.sop_instance_uid,))[0].path).write_bytes(b"not DICOM any more")
    gone = client.get(f"/case/{head.study_instance_uid}/object/{head.sop_instance_uid}/tree")
    assert gone.status_code == 404
    assert "cannot be shown" in gone.text
