"""The pages in real Chromium: live worklist, keyboard, case page, verdicts, phone width, no errors in the console."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from coread.app.web.application import create_app
from coread.store import Store, StoreSettings
from tests.web import world

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: chromium)"),
]
_WAIT = 30_000


@dataclass(frozen=True, slots=True)
class Served:
    """A served installation and a browser for it."""

    url: str
    store: Store
    passwords: dict[str, str]
    sent: dict[str, world.Sent]


@dataclass(frozen=True, slots=True)
class Tab:
    """One logged-in page and what its console complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Store.open(StoreSettings(tmp_path_factory.mktemp("served"), durable=False), migrate=True) as store:
        passwords = world.add_people(store)
        image = world.chest(1, ("effusion",), rows=256)
        sent = {"positive": world.read_study(store, image, {"pneumothorax": 0.9, "effusion": 0.7})}
        listener = socket.create_server(("127.0.0.1", 0))
        app = create_app(world.context(store))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", store, passwords, sent)
        server.should_exit = True
        thread.join(15)
        listener.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(served: Served, chromium: Browser) -> Iterator[Tab]:
    yield from open_tab(served, chromium, width=1280)


@pytest.fixture
def phone(served: Served, chromium: Browser) -> Iterator[Tab]:
    yield from open_tab(served, chromium, width=390)


def open_tab(served: Served, chromium: Browser, *, width: int, role: str = "administrator") -> Iterator[Tab]:
    context = chromium.new_context(viewport={"width": width, "height": 844})
    context.set_default_timeout(_WAIT)
    opened = Tab(context.new_page())
    page = opened.page
    page.on("console", lambda line: opened.complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda problem: opened.complaints.append(str(problem)))
    page.goto(f"{served.url}/login")
    page.fill("input[name=name]", role)
    page.fill("input[name=password]", served.passwords[role])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{served.url}/")
    yield opened
    context.close()
    assert opened.complaints == []


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true; Playwright's own wait needs eval, which our pages forbid."""
    end = time.monotonic() + _WAIT / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(60)


def test_a_new_study_appears_and_changes_without_reloading(served: Served, tab: Tab) -> None:
    page = tab.page
    page.wait_for_selector("#live[data-state=on]")
    page.evaluate("window.stillTheSamePage = true")
    before = page.locator("tr[data-key]").count()
    uid = world.send(served.store, world.chest(40 + before, name="SYNTHETIC^LIVE", rows=64))
    row = page.locator(f"tr[data-key='{uid}']")
    row.wait_for()
    assert "Receiving" in row.inner_text()
    world.settle(served.store, uid)
    row.get_by_text("Waiting").wait_for()
    said = world.result(world.reference(served.store, uid), {"pneumothorax": 0.97}, (64, 53))
    begun = time.monotonic()
    world.finish(served.store, said, evidence=False)
    row.get_by_text("Pneumothorax").wait_for()
    assert time.monotonic() - begun < 10
    assert "Urgent" in row.inner_text()
    assert page.locator("tr[data-key]").first.get_attribute("data-key") == uid, "urgent ones go to the top"
    assert page.evaluate("window.stillTheSamePage") is True


def test_the_selection_and_the_focus_survive_a_live_change(served: Served, tab: Tab) -> None:
    page = tab.page
    page.wait_for_selector("#live[data-state=on]")
    page.keyboard.press("j")
    selected = page.locator("tr.selected").get_attribute("data-key")
    page.focus("#search")
    uid = world.send(served.store, world.chest(60, name="SYNTHETIC^LATER", rows=64))
    page.locator(f"tr[data-key='{uid}']").wait_for()
    assert page.locator("tr.selected").get_attribute("data-key") == selected
    assert page.evaluate("document.activeElement.id") == "search"


def test_the_worklist_works_from_the_keyboard(served: Served, tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("?")
    page.locator("dialog#keys[open]").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("CASE01")
    until(page, "document.querySelectorAll('tr[data-key]').length === 1")
    assert "CASE01" not in page.url, "search words stay out of the address"
    page.keyboard.press("Enter")
    page.locator("tr.selected").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/case/{served.sent['positive'].study_uid}")


def test_the_filter_buttons_and_their_keys_agree(served: Served, tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("4")
    page.get_by_text("No study fits these filters").wait_for()
    assert page.locator("[data-outcome=failed]").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Clear the filters").click()
    page.locator("tr[data-key]").first.wait_for()


def test_a_case_shows_its_image_with_boxes_heat_map_and_windowing(served: Served, tab: Tab) -> None:
    page = tab.page
    page.goto(f"{served.url}/case/{served.sent['positive'].study_uid}")
    until(page, "document.getElementById('base').getAttribute('href')?.startsWith('blob:')")
    assert page.locator("#boxes rect").count() == 2
    page.keyboard.press("h")
    assert page.locator("#heat image").count() == 2
    page.keyboard.press("b")
    assert page.locator("#boxes rect").count() == 0
    first = page.get_attribute("#base", "href")
    page.keyboard.press("i")
    until(page, f"document.getElementById('base').getAttribute('href') !== '{first}'")
    page.get_by_role("button", name="Coread summary").click()
    until(page, "Number(document.getElementById('base').getAttribute('width')) > 300")
    page.get_by_role("button", name="Read", exact=True).first.click()
    page.locator("#tree-body li").first.wait_for()
    assert page.get_by_role("link", name="Open in viewer").count() == 0, "no viewer is installed here"


def test_a_verdict_is_given_edited_and_undone_from_the_keyboard(served: Served, tab: Tab) -> None:
    page = tab.page
    page.goto(f"{served.url}/case/{served.sent['positive'].study_uid}")
    page.keyboard.press("j")
    page.locator("tr.selected").wait_for()
    page.keyboard.press("a")
    page.get_by_text("Accepted by administrator").wait_for()
    page.keyboard.press("e")
    page.locator("dialog#edit[open]").wait_for()
    page.select_option("select[name=corrected_presence]", "absent")
    page.fill("textarea[name=comment]", "skin fold")
    page.get_by_role("button", name="Save the verdict").click()
    page.get_by_text("Edited by administrator: absent (skin fold)").wait_for()
    page.keyboard.press("u")
    page.get_by_text("The verdict was taken back.").wait_for()
    until(page, "!document.getElementById('findings').innerText.includes('Edited by')")


PATHS = ("", "case/{uid}", "why/{uid}", "readers", "destinations", "health", "account", "users", "audit", "api/v1/docs")


@pytest.mark.parametrize("path", PATHS)
def test_no_page_scrolls_sideways_on_a_phone(served: Served, phone: Tab, path: str) -> None:
    phone.page.goto(f"{served.url}/" + path.format(uid=served.sent["positive"].study_uid))
    wider = phone.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0


def test_the_menu_opens_on_a_phone(served: Served, phone: Tab) -> None:
    phone.page.get_by_role("button", name="Menu").click()
    phone.page.get_by_role("link", name="Readers").click()
    phone.page.wait_for_url("**/readers")


def test_logging_out_leads_to_the_login_page(served: Served, tab: Tab) -> None:
    tab.page.get_by_role("button", name="Log out").click()
    tab.page.wait_for_url("**/login")
    tab.page.goto(served.url)
    tab.page.wait_for_url("**/login?next=/")


def test_text_stands_out_from_its_background(served: Served, tab: Tab) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text of this size."""
    script = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
    for path in ("/", f"/case/{served.sent['positive'].study_uid}", "/readers", "/health"):
        tab.page.goto(served.url + path)
        tab.page.wait_for_timeout(300)
        assert tab.page.evaluate(script) == [], path
