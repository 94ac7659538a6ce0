"""WADO-RS and STOW-RS against PS3.18, on real files of every transfer syntax where they are here."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread

from coread.app.web.dicomweb.accept import parse_accept
from coread.app.web.dicomweb.metadata import forget_metadata, prepare_metadata
from coread.domain.study import Instance
from coread.imaging.decode import decode_frames
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.store import InstanceQuery, Store
from tests.deliver.objects import STUDY, secondary_capture
from tests.dicomweb.archive import AppClient, add, parts_of, served_store, unzipped

OCTETS = 'multipart/related; type="application/octet-stream"'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, AppClient, list[Path]]]:
    folder = tmp_path_factory.mktemp("wado")
    paths = [secondary_capture(folder / f"{n}.dcm", number=n) for n in range(3)]
    with served_store(folder / "store") as (store, client):
        add(store, paths)
        yield store, client, paths


def _instances(store: Store) -> tuple[Instance, ...]:
    return store.find_instances(InstanceQuery()).items


def _url(instance: Instance) -> str:
    header = instance.header
    return (
        f"/dicomweb/studies/{header.study_instance_uid}/series/{header.series_instance_uid}"
        f"/instances/{header.sop_instance_uid}"
    )


def test_a_study_comes_back_byte_for_byte(served: tuple[Store, AppClient, list[Path]]) -> None:
    _, client, paths = served
    for accept in ('multipart/related; type="application/dicom"; transfer-syntax=*', "*/*", ""):
        answer = client.get(f"/dicomweb/studies/{STUDY}", headers={"Accept": accept})
        assert answer.status_code == 200
        parts = parts_of(answer)
        assert sorted(content for _, content in parts) == sorted(path.read_bytes() for path in paths)
        assert all(kind.startswith("application/dicom") for kind, _ in parts)


def test_a_large_answer_is_streamed_with_its_length_known(
    served: tuple[Store, AppClient, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client, paths = served
    whole = client.get(f"/dicomweb/studies/{STUDY}")
    monkeypatch.setattr("coread.app.web.dicomweb.parts._SMALL", 100)
    monkeypatch.setattr("coread.app.web.dicomweb.parts._CHUNK", 1000)
    streamed = client.get(f"/dicomweb/studies/{STUDY}")
    assert int(streamed.headers["content-length"]) == len(streamed.content) == len(whole.content)
    assert sorted(content for _, content in parts_of(streamed)) == sorted(path.read_bytes() for path in paths)


def test_one_instance_is_also_given_alone(served: tuple[Store, AppClient, list[Path]]) -> None:
    store, client, _ = served
    [instance, *_] = _instances(store)
    answer = client.get(_url(instance), headers={"Accept": "application/dicom"})
    assert answer.content == store.path_of(instance.path).read_bytes()
    assert client.get(_url(instance), headers={"Accept": "text/html"}).status_code == 406
    syntax = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.80'
    assert client.get(_url(instance), headers={"Accept": syntax}).status_code == 406


def test_metadata_equals_what_pydicom_reads(served: tuple[Store, AppClient, list[Path]]) -> None:
    _, client, paths = served
    [series] = {str(dcmread(path).SeriesInstanceUID) for path in paths}
    for url in (f"/dicomweb/studies/{STUDY}", f"/dicomweb/studies/{STUDY}/series/{series}"):
        documents = client.get(f"{url}/metadata").json()
        assert len(documents) == 3
        again = client.get(f"{url}/metadata").json()
        assert again == documents
    by_uid = {document["00080018"]["Value"][0]: document for document in documents}
    for path in paths:
        dataset = dcmread(path, stop_before_pixels=True)
        document = by_uid[str(dataset.SOPInstanceUID)]
        bulk = document.pop("7FE00010")["BulkDataURI"]
        assert document.pop("00083002")["Value"] == [str(dataset.file_meta.TransferSyntaxUID)]
        assert document == dataset.to_json_dict()
        answer = client.get(bulk.removeprefix("http://coread.test"), headers={"Accept": "application/octet-stream"})
        assert answer.content == dcmread(path).PixelData


def test_a_late_image_changes_the_metadata_of_its_series(tmp_path: Path) -> None:
    with served_store(tmp_path / "store") as (store, client):
        add(store, [secondary_capture(tmp_path / "1.dcm")])
        assert len(client.get(f"/dicomweb/studies/{STUDY}/metadata").json()) == 1
        add(store, [secondary_capture(tmp_path / "2.dcm", number=1)])
        assert len(client.get(f"/dicomweb/studies/{STUDY}/metadata").json()) == 2
        kept = store.folder / "cache" / "metadata"
        assert len(list(kept.rglob("*.json"))) == 1
        forget_metadata(store.folder, STUDY)
        assert list(kept.iterdir()) == []
        prepare_metadata(store, STUDY)
        assert len(list(kept.rglob("*.json"))) == 1


def test_frames_come_as_the_stored_bytes(served: tuple[Store, AppClient, list[Path]]) -> None:
    store, client, _ = served
    for instance in _instances(store):
        stored = dcmread(store.path_of(instance.path)).PixelData
        for accept in (OCTETS, OCTETS + "; transfer-syntax=*", "*/*"):
            [(kind, content)] = parts_of(client.get(f"{_url(instance)}/frames/1", headers={"Accept": accept}))
            assert content == stored
            assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
        single = client.get(f"{_url(instance)}/frames/1", headers={"Accept": "application/octet-stream"})
        assert single.content == stored


@pytest.mark.parametrize("frames", ["0", "2", "x", "1,,2", "-1", "999999999999", "1;2"])
def test_a_frame_that_is_not_there_is_refused(served: tuple[Store, AppClient, list[Path]], frames: str) -> None:
    store, client, _ = served
    answer = client.get(f"{_url(_instances(store)[0])}/frames/{frames}", headers={"Accept": OCTETS})
    assert answer.status_code == (404 if frames == "2" else 400)


@pytest.mark.shared
def test_many_frames_are_made_as_they_are_sent(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coread.app.web.dicomweb.frames._AT_ONCE", 1)
    for path in unzipped(shared_data / "dicom" / "dcm_seg_sr_objects.zip", tmp_path / "files"):
        if path.name != "liver.dcm":
            continue
        with served_store(tmp_path / "store") as (store, client):
            add(store, [path])
            [instance] = _instances(store)
            count = instance.header.number_of_frames or 1
            assert count > 1
            every = ",".join(str(number) for number in range(1, count + 1))
            parts = parts_of(client.get(f"{_url(instance)}/frames/{every}", headers={"Accept": OCTETS}))
            frames = decode_frames(path)
            assert [content for _, content in parts] == [
                np.packbits(frame.reshape(-1).astype(np.uint8), bitorder="little").tobytes() for frame in frames
            ]
            assert client.get(f"{_url(instance)}/frames/{every},1", headers={"Accept": OCTETS}).status_code == 400
            return
    pytest.fail("the archive holds no liver.dcm")


@pytest.mark.shared
def test_a_compressed_study_is_given_in_explicit_little_endian_on_request(shared_data: Path, tmp_path: Path) -> None:
    files = unzipped(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip", tmp_path / "files")
    path = next(path for path in files if "JPEGLSLossless" in path.name)
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
    with served_store(tmp_path / "store") as (store, client):
        add(store, [path])
        [instance] = _instances(store)
        for url in (_url(instance), f"/dicomweb/studies/{instance.header.study_instance_uid}"):
            [(kind, content)] = parts_of(client.get(url, headers={"Accept": accept}))
            plain = dcmread(io.BytesIO(content))
            assert kind.endswith("1.2.840.10008.1.2.1")
            assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
            assert plain.SOPInstanceUID == instance.header.sop_instance_uid
            assert np.array_equal(plain.pixel_array, dcmread(path).pixel_array)


@pytest.mark.parametrize("uid", ["..%2f..%2fetc", "1.2..%5c", "%2e%2e", "1" * 65, "1.2.a", "*"])
def test_a_uid_that_is_none_is_refused_everywhere(served: tuple[Store, AppClient, list[Path]], uid: str) -> None:
    _, client, _ = served
    for path in (f"/studies/{uid}", f"/studies/{uid}/metadata", f"/studies/1.2/series/{uid}", f"/studies/{uid}/series"):
        assert client.get(f"/dicomweb{path}").status_code in (400, 404)
    assert client.get("/dicomweb/studies/1.2.%2e%2e").status_code in (400, 404)


def test_an_unknown_resource_is_404(served: tuple[Store, AppClient, list[Path]]) -> None:
    _, client, _ = served
    for path in ("/studies/1.2.3", "/studies/1.2.3/metadata", f"/studies/{STUDY}/series/1.2/instances/1.3/frames/1"):
        assert client.get(f"/dicomweb{path}").status_code == 404
    assert client.get("/dicomweb/studies/1.2.3/rendered").status_code == 404


def test_rendered_frames_follow_accept_window_and_viewport(served: tuple[Store, AppClient, list[Path]]) -> None:
    store, client, _ = served
    url = _url(_instances(store)[0])
    answer = client.get(f"{url}/rendered", headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
    assert client.get(f"{url}/rendered").headers["content-type"] == "image/jpeg"
    half = client.get(f"{url}/frames/1/rendered?viewport=24,24", headers={"Accept": "image/png"})
    assert Image.open(io.BytesIO(half.content)).size == (24, 16)
    cut = client.get(f"{url}/rendered?viewport=8,8,0,0,8,8", headers={"Accept": "image/png"})
    assert Image.open(io.BytesIO(cut.content)).size == (8, 8)
    white = client.get(f"{url}/rendered?window=-1000,2,linear", headers={"Accept": "image/png"})
    assert np.asarray(Image.open(io.BytesIO(white.content))).min() == 255
    for path in (f"{url}/thumbnail", f"/dicomweb/studies/{STUDY}/thumbnail", f"{url}/frames/1/thumbnail"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "query", ["window=1", "window=a,b", "window=1,0", "viewport=0,1", "viewport=9999999,1", "quality=0", "window=nan,1"]
)
def test_a_rendering_that_cannot_be_meant_is_400(served: tuple[Store, AppClient, list[Path]], query: str) -> None:
    store, client, _ = served
    assert client.get(f"{_url(_instances(store)[0])}/rendered?{query}").status_code == 400


def test_a_rendering_as_html_is_406(served: tuple[Store, AppClient, list[Path]]) -> None:
    store, client, _ = served
    assert client.get(f"{_url(_instances(store)[0])}/rendered", headers={"Accept": "text/html"}).status_code == 406


def _multipart(contents: list[bytes], kind: str = "application/dicom") -> bytes:
    body = b"".join(f"--B\r\nContent-Type: {kind}\r\n\r\n".encode() + content + b"\r\n" for content in contents)
    return body + b"--B--\r\n"


STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B', "Accept": "application/dicom+json"}


def test_stored_objects_are_named_and_come_back(tmp_path: Path) -> None:
    paths = [secondary_capture(tmp_path / f"{n}.dcm", number=n) for n in range(2)]
    with served_store(tmp_path / "store") as (_, client):
        body = _multipart([path.read_bytes() for path in paths])
        answer = client.post("/dicomweb/studies", content=body, headers=STOW)
        assert answer.status_code == 200
        named = answer.json()["00081199"]["Value"]
        assert {item["00081155"]["Value"][0] for item in named} == {str(dcmread(path).SOPInstanceUID) for path in paths}
        for item in named:
            assert client.get(item["00081190"]["Value"][0]).status_code == 200
        answer = client.get(answer.json()["00081190"]["Value"][0])
        back = {data.SOPInstanceUID: data for data in (dcmread(io.BytesIO(part)) for _, part in parts_of(answer))}
        assert len(back) == 2
        for path in paths:
            assert back[dcmread(path).SOPInstanceUID] == dcmread(path)
        assert client.post("/dicomweb/studies", content=body, headers=STOW).status_code == 200


def test_objects_of_another_study_or_no_objects_are_conflicts(tmp_path: Path) -> None:
    body = _multipart([secondary_capture(tmp_path / "1.dcm").read_bytes()])
    with served_store(tmp_path / "store") as (_, client):
        answer = client.post("/dicomweb/studies/1.2.3.4", content=body, headers=STOW)
        assert answer.status_code == 409
        assert answer.json()["00081198"]["Value"]
        assert client.post(f"/dicomweb/studies/{STUDY}", content=body, headers=STOW).status_code == 200
        mixed = _multipart([secondary_capture(tmp_path / "2.dcm").read_bytes(), b"not dicom"])
        assert client.post("/dicomweb/studies", content=mixed, headers=STOW).status_code == 202
        assert client.post("/dicomweb/studies", content=_multipart([b"junk"]), headers=STOW).status_code == 409


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+xml"; boundary=B'}, b"--B--\r\n", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, b"--B--\r\n", 400),
        (STOW, b"--B\r\nContent-Type: application/dicom\r\n\r\nhalf", 400),
        (STOW, b"", 400),
        (STOW, b"--B--\r\n", 400),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    tmp_path: Path, headers: dict[str, str], body: bytes, status: int
) -> None:
    with served_store(tmp_path / "store") as (_, client):
        assert client.post("/dicomweb/studies", content=body, headers=headers).status_code == status


@pytest.mark.shared
def test_every_real_transfer_syntax_comes_back_with_equal_pixels(shared_data: Path, tmp_path: Path) -> None:
    paths = unzipped(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip", tmp_path / "files")
    for number, path in enumerate(paths):
        with served_store(tmp_path / f"store{number}") as (store, client):
            try:
                scan_header(path)
            except ImagingRefused:
                continue
            add(store, [path])
            [instance] = _instances(store)
            url = _url(instance)
            assert parts_of(client.get(url))[0][1] == path.read_bytes()
            [document] = client.get(f"{url}/metadata").json()
            assert document["00280010"]["Value"] == [instance.header.rows]
            plain = client.get(f"{url}/frames/1", headers={"Accept": OCTETS + "; transfer-syntax=1.2.840.10008.1.2.1"})
            try:
                expected = decode_frames(path, (1,))[0]
            except ImagingRefused:
                assert plain.status_code == 406, path.name
                continue
            [(_, content)] = parts_of(plain)
            bits = document["00280100"]["Value"][0]
            values = np.frombuffer(content, dtype=f"<{'i' if expected.dtype.kind == 'i' else 'u'}{bits // 8}")
            assert np.array_equal(values.reshape(expected.shape), expected), path.name
            [(kind, _)] = parts_of(client.get(f"{url}/frames/1", headers={"Accept": OCTETS + "; transfer-syntax=*"}))
            assert "transfer-syntax=" in kind


@pytest.mark.shared
def test_real_segmentations_and_reports_are_served_like_images(shared_data: Path, tmp_path: Path) -> None:
    files = unzipped(shared_data / "dicom" / "dcm_seg_sr_objects.zip", tmp_path / "files")
    served = 0
    with served_store(tmp_path / "store") as (store, client):
        for path in files:
            try:
                scan_header(path)
            except ImagingRefused:
                continue
            add(store, [path], door="own")
        for instance in _instances(store):
            url = _url(instance)
            assert parts_of(client.get(url))[0][1] == store.path_of(instance.path).read_bytes()
            document = client.get(f"{url}/metadata").json()[0]
            assert document["00080018"]["Value"] == [instance.header.sop_instance_uid]
            json.dumps(document, allow_nan=False)
            served += 1
    assert served > 5


@given(st.text(max_size=200))
def test_no_accept_header_breaks_the_parser(header: str) -> None:
    for item in parse_accept(header):
        assert 0 < item.quality <= 1


def test_accept_headers_are_ordered_by_quality() -> None:
    ranges = parse_accept(
        'image/jpeg;q=0.5, multipart/related; type="application/octet-stream"; transfer-syntax=*, */*;q=0.1'
    )
    assert [item.media_type for item in ranges] == ["multipart/related", "image/jpeg", "*/*"]
    assert ranges[0].part == "application/octet-stream"
    assert ranges[0].transfer_syntax == "*"
