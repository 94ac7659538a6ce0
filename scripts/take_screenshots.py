"""Takes the pictures of the documentation from a running demo of generated studies: URL and password as arguments.

COREAD_SHARED=/nowhere .venv/bin/coread demo && .venv/bin/python scripts/take_screenshots.py URL PASSWORD
"""

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

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
    report = page.get_by_text("Chest radiograph, six fi", exact=False)
    report.nth(1).dblclick()
    page.wait_for_timeout(5000)
    for label in ("Yes", "Skip all"):
        button = page.get_by_role("button", name=label)
        if button.count():
            button.first.click()
            page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / "viewer.png")


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
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        log_in(phone, url, password)
        take(phone, f"{url}/", "worklist-phone")
        browser.close()


if __name__ == "__main__":
    main()
