"""Takes the pictures of the documentation from a running demo of generated studies: URL and password as arguments.

COREAD_SHARED=/nowhere .venv/bin/coread demo && .venv/bin/python scripts/take_screenshots.py URL PASSWORD

The pictures of a volume need the lumbar spine on the worklist, read by bone_density:
coread phantom ct-spine --spacing 3,1.5,1.5 --out SPINE && coread send SPINE
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from pydicom import dcmread

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking")


def log_in(page: Any, url: str, password: str) -> str:
    page.goto(url)
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_selector("[data-key]")
    text = page.inner_text("body")
    if "NIH" in text or "REAL" in text:
        raise SystemExit("real images are on this worklist: pictures are taken of generated studies only")
    return str(page.locator("tr[data-key]:has-text('Positive')").first.get_attribute("data-key"))


def take(page: Any, url: str, name: str, *, wait_ms: int = 2500, full: bool = False) -> None:
    page.goto(url)
    page.wait_for_timeout(wait_ms)
    page.screenshot(path=IMAGES / f"{name}.png", full_page=full)


def take_viewer(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_timeout(12_000)
    for label in ("Skip all", "Confirm and hide"):
        button = page.get_by_text(label)
        if button.count():
            button.first.click()
            page.wait_for_timeout(500)
    page.get_by_text("SR", exact=True).first.dblclick()
    page.wait_for_timeout(5000)
    for label in ("Yes", "Skip all"):
        button = page.get_by_role("button", name=label)
        if button.count():
            button.first.click()
            page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / "viewer.png")


def take_correction(page: Any, url: str, study: str) -> None:
    page.goto(f"{url}/case/{study}")
    page.wait_for_timeout(3000)
    page.evaluate(
        """() => {
          const data = JSON.parse(document.getElementById('images').textContent);
          const region = data.regions.find(one => one.label.startsWith('L3'));
          const place = data.places[region.on[Math.floor(region.on.length / 2)]];
          const frame = document.getElementById('frame');
          frame.value = data.series[0].frames.findIndex(image => image.sop === place[0]);
          frame.dispatchEvent(new Event('input'));
        }"""
    )
    page.wait_for_timeout(3000)
    page.keyboard.press("c")
    page.locator("circle.handle").first.wait_for(state="attached")
    page.evaluate("document.activeElement.blur()")
    for key in ("]", "]", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    for _ in range(4):
        page.click("#zoom-in")
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=IMAGES / "case-correction.png")


def take_volume(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_text("Confirm and hide").click()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(5000)
    page.get_by_text("SEG", exact=True).first.dblclick()
    page.get_by_text("Yes", exact=True).first.click()
    page.wait_for_timeout(7000)
    page.wait_for_timeout(2000)
    page.screenshot(path=IMAGES / "viewer-segmentation.png")
    page.get_by_text("SR", exact=True).first.dblclick()
    page.locator("svg.svg-layer polyline").first.wait_for(state="attached")
    page.wait_for_timeout(3000)
    page.screenshot(path=IMAGES / "viewer-measurements.png")


def take_reconstruction(page: Any, url: str, study: str) -> None:
    """Take the pictures of the raw MR examination: summary page, case page, computed series in the viewer."""
    take(page, f"{url}/case/{study}", "recon-case", full=True)
    summary = page.locator("text=Summary page").first.locator("xpath=ancestor::*[.//a[contains(., 'DICOM')]][1]")
    link = summary.locator("a:has-text('DICOM')").first.get_attribute("href")
    answer = page.request.get(f"{url}{link}")
    Image.fromarray(dcmread(BytesIO(answer.body())).pixel_array).save(IMAGES / "recon-summary.png", optimize=True)
    page.goto(f"{url}/viewer/viewer?StudyInstanceUIDs={study}")
    hide = page.get_by_text("Confirm and hide")
    page.get_by_text("SYNTHETIC MR rec").first.wait_for()
    page.wait_for_timeout(5000)
    if hide.count():
        hide.first.click()
    page.get_by_text("SYNTHETIC MR rec").first.dblclick()
    page.wait_for_timeout(8000)
    page.screenshot(path=IMAGES / "recon-viewer.png")


def main() -> None:
    url, password = sys.argv[1].rstrip("/"), sys.argv[2]
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        study = log_in(page, url, password)
        take(page, f"{url}/", "worklist")
        take(page, f"{url}/case/{study}", "case", full=True)
        take(page, f"{url}/readers", "readers")
        take_viewer(page, f"{url}/viewer/viewer?StudyInstanceUIDs={study}")
        page.goto(f"{url}/")
        raw = page.locator("tr[data-key]:has-text('mr-raw')")
        if raw.count():
            take_reconstruction(page, url, str(raw.first.get_attribute("data-key")))
            page.goto(f"{url}/")
        spine = page.locator("tr[data-key]:has-text('ct-spine')")
        if spine.count():
            key = str(spine.first.get_attribute("data-key"))
            take_correction(page, url, key)
            take_volume(page, f"{url}/viewer/viewer?StudyInstanceUIDs={key}")
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        log_in(phone, url, password)
        take(phone, f"{url}/", "worklist-phone")
        browser.close()


if __name__ == "__main__":
    main()
