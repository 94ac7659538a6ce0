"""The OHIF viewer: nothing but the known archive is installed, and it opens our studies."""

import base64
import hashlib
import io
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from coread.app.errors import ViewerRefused
from coread.app.viewer import check_integrity, install_viewer, installed_version, unpack_viewer, viewer_config
from coread.app.web.application import create_app
from coread.store import Store, StoreSettings
from tests.web import world
from tests.web.browser import TestClient
from tests.web.conftest import Site
from tests.web.ct_case import read_ct

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


def archive_of(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "viewer.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"package/dist/index.html": b"x"})
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    check_integrity(archive, f"sha512-{digest}")
    with pytest.raises(ViewerRefused, match="not the known viewer"):
        check_integrity(archive, "sha512-" + "A" * 86 + "==")


@pytest.mark.parametrize("name", ["package/dist/../../outside.js", "package/dist//etc/passwd"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ViewerRefused, match="leaves its folder"):
        unpack_viewer(archive_of(tmp_path, {name: b"x"}), tmp_path / "viewer", lambda _: None)
    assert not (tmp_path / "outside.js").exists()


def test_an_unexpected_viewer_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"package/dist/index.html": b'<script src="/app.js">', "package/other.js": b"x"})
    with pytest.raises(ViewerRefused, match="root path"):
        unpack_viewer(archive, tmp_path / "viewer", lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["viewer.tgz"]


def test_without_npm_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ViewerRefused, match=r"install Node\.js"):
        install_viewer(tmp_path / "viewer", lambda _: None)
    assert installed_version(tmp_path / "viewer") == ""


def test_our_configuration_names_no_other_address() -> None:
    text = viewer_config()
    assert "http" not in text
    assert "investigationalUseDialog: { option: 'always' }" in text


def test_the_viewer_serves_files_below_its_folder_only(ward: Site, tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "index.html").write_text("the viewer", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    site = Site(ward.store, ward.passwords, ward.sent, create_app(world.context(ward.store, viewer_folder=folder)))
    client: TestClient = site.logged_in("radiologist")
    assert client.get("/viewer/viewer?StudyInstanceUIDs=1.2").text == "the viewer"
    for path in ("/viewer/../secret.txt", "/viewer/%2e%2e/secret.txt", "/viewer/..%2fsecret.txt"):
        assert "secret" not in client.get(path).text
    assert client.get("/viewer/missing.js").status_code == 404
    policy = client.get("/viewer").headers["content-security-policy"]
    assert "connect-src 'self' data: blob:" in policy
    assert site.logged_in("auditor").get("/viewer").status_code == 403


@pytest.fixture(scope="module")
def viewer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian: nodejs npm)")
    try:
        return install_viewer(tmp_path_factory.mktemp("ohif") / "viewer", lambda _: None)
    except ViewerRefused as problem:
        pytest.skip(f"the viewer could not be fetched: {problem}")


@pytest.fixture(scope="module")
def with_viewer(tmp_path_factory: pytest.TempPathFactory, viewer_folder: Path) -> Iterator[tuple[str, Site]]:
    with Store.open(StoreSettings(tmp_path_factory.mktemp("seen"), durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        sent = {"positive": world.read_study(store, world.chest(1, ("effusion",)), {"pneumothorax": 0.9})}
        ct = read_ct(store)
        sent["ct"] = world.Sent(ct.uid, "", ct.work_id)
        app = create_app(world.context(store, viewer_folder=viewer_folder))
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", Site(store, passwords, sent, app)
        server.should_exit = True
        thread.join(15)
        listener.close()


@contextmanager
def opened(url: str, site: Site, study: str) -> Iterator[Any]:
    """Open a study in the viewer; at the end nothing was asked of another address and nothing broke."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    elsewhere: list[str] = []
    broken: list[str] = []
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        page = driver.chromium.launch(executable_path=CHROMIUM, args=flags).new_page()
        page.set_default_timeout(90_000)
        page.on(
            "request",
            lambda sent: elsewhere.append(sent.url) if not sent.url.startswith((url, "blob:", "data:")) else None,
        )
        page.on("pageerror", lambda problem: broken.append(str(problem)))
        page.on("console", lambda line: broken.append(line.text) if line.type == "error" else None)
        page.goto(f"{url}/login")
        page.fill("input[name=name]", "radiologist")
        page.fill("input[name=password]", site.passwords["radiologist"])
        page.press("input[name=password]", "Enter")
        page.wait_for_url(f"{url}/")
        page.goto(f"{url}/viewer/viewer?StudyInstanceUIDs={site.sent[study].study_uid}")
        page.get_by_text("for investigational use only").wait_for()
        page.get_by_text("Confirm and hide").click()
        page.locator("canvas").first.wait_for()
        yield page
    assert elsewhere == []
    assert broken == []


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: chromium)")
def test_ohif_opens_a_study_with_its_segmentation_and_report(with_viewer: tuple[str, Site]) -> None:
    with opened(*with_viewer, "positive") as page:
        page.get_by_text("SEG", exact=True).first.dblclick()
        page.get_by_text("Do you want to open this Segmentation?").wait_for()
        page.get_by_text("SR", exact=True).first.dblclick()
        page.get_by_text("Do you want to continue tracking measurements").wait_for()
        page.get_by_text("Yes", exact=True).click()
        page.get_by_text("Area:").first.wait_for()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: chromium)")
def test_ohif_lays_a_segmentation_over_its_series_and_shows_numbers_at_their_place(
    with_viewer: tuple[str, Site],
) -> None:
    with opened(*with_viewer, "ct") as page:
        page.get_by_text("SEG", exact=True).first.dblclick()
        page.get_by_text("Do you want to open this Segmentation?").wait_for()
        page.get_by_text("Yes", exact=True).first.click()
        page.get_by_text("Do you want to open this Segmentation?").wait_for(state="detached")
        page.locator('[data-cy="dataOverlayMenu-default-btn"]').wait_for()
        page.get_by_text("SR", exact=True).first.dblclick()
        page.locator("svg.svg-layer polyline").first.wait_for(state="attached")
        page.get_by_text("0.25 ml Volume").first.wait_for(state="attached")
        page.get_by_text("40.00 HU Attenuation Coefficient, Mean").first.wait_for(state="attached")
