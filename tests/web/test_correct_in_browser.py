"""Correcting an outline and a number in real Chromium: by pointer, by keyboard, with a reason, and two at once."""

from collections.abc import Iterator

import pytest

from coread.app.corrections import current_result
from tests.web.ct_case import CtCase, read_ct

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
from playwright.sync_api import Browser, Page

from tests.web.test_browser import CHROMIUM, Served, Tab, chromium, open_tab, served, until

__all__ = ["chromium", "served"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def ct(served: Served) -> CtCase:
    return read_ct(served.store)


@pytest.fixture
def tab(served: Served, chromium: Browser) -> Iterator[Tab]:
    yield from open_tab(served, chromium, width=1280, role="radiologist")


def open_slice(page: Page, served: Served, case: CtCase, number: int) -> None:
    page.goto(f"{served.url}/case/{case.uid}")
    until(page, "document.getElementById('base').getAttribute('href') !== null")
    page.evaluate(
        "n => { const f = document.getElementById('frame'); f.value = n; f.dispatchEvent(new Event('input')); }",
        number,
    )
    until(page, f"document.getElementById('frame-number').textContent.startsWith('{number + 1} ')")


def save_with(page: Page, reason: str) -> None:
    page.fill("#correction-form textarea", reason)
    page.click("#correction-form button[value=save]")
    page.get_by_text("Saved as a new version.").wait_for()


def test_an_outline_is_dragged_and_moved_by_keys_and_saved(served: Served, ct: CtCase, tab: Tab) -> None:
    page = tab.page
    open_slice(page, served, ct, 2)
    page.locator("#outlines path.outline").wait_for(state="attached")
    page.keyboard.press("c")
    page.locator("circle.handle").first.wait_for(state="attached")
    assert page.locator("circle.handle").count() == 4
    page.evaluate("document.getElementById('correct-region').blur()")
    page.keyboard.press("]")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    handle = page.locator("circle.handle").nth(2).bounding_box()
    assert handle is not None
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(handle["x"] + 60, handle["y"] + 40, steps=4)
    page.mouse.up()
    page.keyboard.press("Enter")
    save_with(page, "leaks below")
    version = served.store.corrections.of_study(ct.uid)[-1]
    assert (version.user, version.reason) == ("radiologist", "leaks below")
    corrected = current_result(served.store, ct.work_id, version.version).regions[0].mask[2]
    assert corrected.sum() > ct.region.mask[2].sum()
    page.get_by_text(f"Version {version.version}", exact=True).wait_for()
    page.get_by_role("button", name="Show its outlines").first.click()
    page.locator("#outlines path.earlier").wait_for(state="attached")


def test_a_number_is_corrected_and_taken_back(served: Served, ct: CtCase, tab: Tab) -> None:
    page = tab.page
    open_slice(page, served, ct, 2)
    page.get_by_role("button", name="Correct Length").click()
    page.fill("#correction-form input[name=value]", "14.5")
    save_with(page, "callipers")
    page.get_by_text("the reader said 12.5").wait_for()
    page.get_by_role("button", name="Back to this").first.click()
    save_with(page, "the reader was right")
    until(page, "![...document.querySelectorAll('.was')].some(one => one.textContent.includes('12.5'))")


def test_escape_leaves_everything_as_it_was(served: Served, ct: CtCase, tab: Tab) -> None:
    page = tab.page
    open_slice(page, served, ct, 3)
    before = len(served.store.corrections.of_study(ct.uid))
    page.keyboard.press("c")
    page.locator("circle.handle").first.wait_for(state="attached")
    page.evaluate("document.getElementById('correct-region').blur()")
    page.keyboard.press("n")
    assert page.locator("circle.handle").count() == 8
    page.keyboard.press("z")
    assert page.locator("circle.handle").count() == 4
    page.keyboard.press("Escape")
    assert page.locator("circle.handle").count() == 0
    assert page.url.endswith(ct.uid)
    assert len(served.store.corrections.of_study(ct.uid)) == before


def test_an_outline_that_could_not_be_read_is_not_corrected_as_if_it_were_empty(
    served: Served, ct: CtCase, tab: Tab
) -> None:
    page = tab.page
    page.route("**/outlines/**", lambda route: route.abort())
    open_slice(page, served, ct, 3)
    with page.expect_event("requestfailed"):
        page.keyboard.press("c")
    page.get_by_text("Failed to fetch").first.wait_for()
    assert not page.locator("#correcting").is_visible()
    tab.complaints.clear()


def test_the_second_of_two_is_told_on_the_page(served: Served, ct: CtCase, tab: Tab) -> None:
    page = tab.page
    open_slice(page, served, ct, 2)
    page.evaluate("document.querySelectorAll('[data-number]').forEach(one => { one.dataset.version = '1'; })")
    page.get_by_role("button", name="Correct Length").click()
    page.fill("#correction-form input[name=value]", "15")
    page.fill("#correction-form textarea", "mine")
    page.click("#correction-form button[value=save]")
    page.get_by_text("corrected this result meanwhile").wait_for()
    tab.complaints[:] = [line for line in tab.complaints if "409" not in line]
