"""What ``coread demo --check`` verifies: the worklist in a real browser, and what arrived in the PACS."""

import shutil
from collections.abc import Iterator
from typing import Any

from coread.app.demo.hospital import DemoFailed
from coread.app.demo.run import DemoRun
from coread.domain.results import Outcome
from coread.domain.work import EvidenceKind

CHROMIUM_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def check_everything(run: DemoRun) -> Iterator[str]:
    """Yield one line per thing that is as it should be; raises DemoFailed at the first that is not."""
    yield from _check_outcomes(run)
    yield from _check_computed_series(run)
    yield from _check_pacs(run)
    yield from _check_browser(run)


def _check_outcomes(run: DemoRun) -> Iterator[str]:
    outcomes = [reader.outcome for story in run.stories for reader in story.readers]
    if Outcome.FAILED in outcomes:
        failed = [s.study.accession_number for s in run.stories if any(r.outcome is Outcome.FAILED for r in s.readers)]
        raise DemoFailed(f"reading failed for {', '.join(failed)}")
    read = sum(reader.has_result() for story in run.stories for reader in story.readers)
    if not read or Outcome.NOT_ANALYSED not in outcomes or Outcome.POSITIVE not in outcomes:
        raise DemoFailed(f"expected studies that are positive and some that are not analysed, found {outcomes}")
    yield f"{len(run.stories)} studies have an outcome: {read} readings gave a result, {len(outcomes) - read} did not"


def _check_computed_series(run: DemoRun) -> Iterator[str]:
    kinds = [item.evidence.kind for story in run.stories for reader in story.readers for item in reader.objects]
    computed = kinds.count(EvidenceKind.DERIVED_IMAGES)
    if not computed:
        raise DemoFailed("no images were computed from the raw MR data")
    yield f"{computed} images were computed from raw MR data"


def _check_pacs(run: DemoRun) -> Iterator[str]:
    if not run.hospital.pacs_http_port:
        yield "no PACS here: delivery was not checked"
        return
    made = {
        item.evidence.sop_instance_uid for story in run.stories for reader in story.readers for item in reader.objects
    }
    held = {entry["MainDicomTags"].get("SOPInstanceUID", "") for entry in run.hospital.pacs_get("/instances?expand")}
    missing = made - held
    if missing or not made:
        raise DemoFailed(f"{len(missing)} of {len(made)} result objects are not in the PACS")
    yield f"all {len(made)} result objects are in the PACS"


def _check_browser(run: DemoRun) -> Iterator[str]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        yield "Chromium is not installed: the pages were not looked at"
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield from _check_worklist(run, browser.new_page(viewport={"width": 1280, "height": 900}))
        finally:
            browser.close()


def _check_worklist(run: DemoRun, page: Any) -> Iterator[str]:
    page.goto(run.hospital.url)
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", run.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_selector("[data-key]", timeout=15_000)
    text = page.inner_text("body")
    for study in run.studies:
        if study.accession_number not in text:
            raise DemoFailed(f"{study.accession_number} is not on the worklist page")
    if "because" not in text:
        raise DemoFailed("the worklist does not say why a study was not analysed")
    yield f"the worklist shows all {len(run.studies)} studies and says why some were not analysed"
    urgent = {s.study.study_instance_uid: s.study.accession_number for s in run.stories if _urgent(s)}
    if urgent:
        first = page.locator("[data-key]").first.get_attribute("data-key")
        if first not in urgent:
            raise DemoFailed(f"{', '.join(urgent.values())} is urgent, but another study stands on top of the worklist")
        yield f"{urgent[first]} stands on top of the worklist: its finding is urgent"


def _urgent(story: Any) -> bool:
    from coread.domain.results import ReadResult

    readings = [reader.reading for reader in story.readers if reader.reading is not None]
    return any(
        f.urgent and f.presence.value == "present"
        for r in readings
        if isinstance(r.ending, ReadResult)
        for f in r.ending.findings
    )
