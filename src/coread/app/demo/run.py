"""``coread demo``: start the hospital, send studies, wait for every outcome, show what was found."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from coread.app.cli.output import RESEARCH_USE, complain, say, show_table
from coread.app.demo.hospital import (
    STATE_FILE,
    DemoFailed,
    Hospital,
    port_near,
    remember,
    remembered,
    start_pacs,
    start_server,
    stop,
)
from coread.app.demo.studies import DemoStudy, generated_studies, real_radiographs_folder, real_studies
from coread.app.opening import open_store
from coread.app.scope import front_readers
from coread.app.settings import Settings, load_settings
from coread.app.why import Story, study_story
from coread.deliver.peer import Peer
from coread.deliver.send import send_objects
from coread.store import Store

WAIT_SECONDS = 120.0
"""For all outcomes and deliveries after the last image."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """A hospital that runs, with its studies."""

    hospital: Hospital
    settings: Settings
    password: str
    studies: tuple[DemoStudy, ...]
    stories: tuple[Story, ...]


def run_demo(folder: Path, *, viewer: bool) -> DemoRun:
    """Start everything, send about ten studies, wait for the outcomes; leaves the server running."""
    began = time.monotonic()
    run = _start(folder, viewer=viewer)
    _show(run, time.monotonic() - began)
    return run


def stop_demo(folder: Path) -> None:
    """Stop a running demo; says so when there is none."""
    hospital = remembered(folder)
    if hospital is None:
        say("no demo is running here")
        return
    stop(hospital)
    (folder / STATE_FILE).unlink()
    say("the demo is stopped; its folder stays until the next one: " + str(folder))


def check_demo(folder: Path, *, viewer: bool) -> None:
    """Run the demo, verify worklist and PACS, stop; raises DemoFailed with what is wrong."""
    from coread.app.demo.checking import check_everything

    try:
        run = run_demo(folder, viewer=viewer)
        for line in check_everything(run):
            say(f"  checked: {line}")
    finally:
        stop_demo(folder)
    say("the demo does what it should")


def _start(folder: Path, *, viewer: bool) -> DemoRun:
    earlier = remembered(folder)
    if earlier is not None:
        say("stopping the demo that ran here before ...")
        stop(earlier)
    _clear(folder)
    say("starting the PACS (Orthanc) ...")
    pacs_pid, pacs_http, pacs_dicom = start_pacs(folder)
    if not pacs_pid:
        complain("Orthanc is not installed: results stay in Coread (Debian: apt-get install orthanc orthanc-dicomweb)")
    http_port, dicom_port = port_near(8080), port_near(11112)
    text = _settings_text(folder, http_port, dicom_port, pacs_dicom)
    (folder / "coread.toml").write_text(text)
    settings = load_settings(folder / "coread.toml")
    if viewer:
        _install_viewer(settings)
    password = _first_password(settings)
    say("starting Coread ...")
    server = start_server(folder, text, http_port)
    hospital = Hospital(str(folder.absolute()), server, http_port, dicom_port, pacs_pid, pacs_http, pacs_dicom)
    remember(hospital, folder)
    studies = _send_all(hospital)
    with open_store(settings) as store:
        stories = _wait_for_outcomes(store, studies)
    return DemoRun(hospital, settings, password, studies, stories)


def _clear(folder: Path) -> None:
    """Begin anew, but only in a folder that a demo made; the viewer is kept: fetching it takes a while."""
    mark = folder / "this-is-a-coread-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise DemoFailed(f"{folder} is not empty and no demo made it; name another with --folder")
    for name in ("coread", "pacs", "coread.toml", "server.log", STATE_FILE):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _settings_text(folder: Path, http_port: int, dicom_port: int, pacs_port: int) -> str:
    home = folder.absolute()
    lines = [
        f'folder = "{home / "coread"}"',
        f'viewer_folder = "{home / "viewer"}"',
        f"http_port = {http_port}",
        f"dicom_port = {dicom_port}",
    ]
    if pacs_port:
        address = f'"127.0.0.1:{pacs_port}"'
        lines += ["[pacs]", f"address = {address}", 'ae_title = "PACS"']
        lines += ["[[destinations]]", 'name = "hospital PACS"', f"address = {address}", 'ae_title = "PACS"']
    return "\n".join(lines) + "\n"


def _install_viewer(settings: Settings) -> None:
    from coread.app.viewer import install_viewer
    from coread.domain.errors import CoreadError

    try:
        install_viewer(settings.viewer(), say)
    except CoreadError as problem:
        complain(f"the viewer is left out, the case page shows a preview instead: {problem}")


def _first_password(settings: Settings) -> str:
    from coread.app.web.accounts import bootstrap_admin

    with open_store(settings, migrate=True) as store:
        password = bootstrap_admin(store)
    if password is None:
        raise DemoFailed("the demo's folder already has accounts")
    return password


def _send_all(hospital: Hospital) -> tuple[DemoStudy, ...]:
    """The virtual scanner: each study to the PACS and to Coread, over C-STORE, one association each."""
    now = datetime.now(UTC)
    real = real_radiographs_folder()
    sent = []
    for study in _chain(generated_studies(now), real_studies(real, now) if real else ()):
        say(f"  scanner: {study.accession_number}  {study.truth}")
        _send(hospital, study)
        sent.append(study)
    return tuple(sent)


def _chain(first: Iterable[DemoStudy], second: Iterable[DemoStudy]) -> Iterable[DemoStudy]:
    yield from first
    yield from second


def _send(hospital: Hospital, study: DemoStudy) -> None:
    with tempfile.TemporaryDirectory(prefix="coread-scanner-") as folder:
        paths = []
        for number, dataset in enumerate(study.datasets):
            path = Path(folder) / f"{number:05d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        peers = [Peer("127.0.0.1", hospital.dicom_port, "COREAD", "SCANNER")]
        if hospital.pacs_dicom_port:
            peers.insert(0, Peer("127.0.0.1", hospital.pacs_dicom_port, "PACS", "SCANNER"))
        for peer in peers:
            bad = [result for result in send_objects(peer, paths) if not result.stored]
            if bad:
                raise DemoFailed(f"{peer} did not take {len(bad)} of {len(paths)} images: {bad[0].message}")


def _wait_for_outcomes(store: Store, studies: Sequence[DemoStudy]) -> tuple[Story, ...]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        stories = [study_story(store, study.accession_number) for study in studies if store_has(store, study)]
        waiting = [story for story in stories if not _ended(story)]
        if len(stories) == len(studies) and not waiting:
            return tuple(stories)
        if time.monotonic() > deadline:
            names = ", ".join(story.study.accession_number for story in waiting) or "studies that did not arrive"
            raise DemoFailed(f"no outcome after {WAIT_SECONDS:.0f} s for {names}; see the logs in the demo's folder")
        time.sleep(0.2)


def store_has(store: Store, study: DemoStudy) -> bool:
    """Say whether the study is in the index."""
    return store.study(str(study.datasets[0].StudyInstanceUID)) is not None


def _ended(story: Story) -> bool:
    """An outcome for every reader, and every object acknowledged by every destination."""
    outcomes = bool(story.readers) and all(reader.outcome is not None for reader in story.readers)
    sent = all(
        delivery.finished_at is not None
        for reader in story.readers
        for item in reader.objects
        for delivery in item.deliveries
    )
    return outcomes and sent


def _show(run: DemoRun, seconds: float) -> None:
    rows = []
    for study, story in zip(run.studies, run.stories, strict=True):
        shown, aside = front_readers(story)
        for reader in shown or aside[:1]:
            outcome = reader.outcome.value if reader.outcome else "under way"
            rows.append((study.accession_number, study.truth, reader.reader_id, outcome, reader.explanation))
    say("")
    show_table(("accession", "what was sent", "reader", "outcome", "what it said"), rows, "Findings")
    say("")
    say("The generated chests are computed drawings; the reader learned from real radiographs and marks some falsely.")
    say("It marks drawn effusions and large hearts; of 28 drawings of a pneumothorax, like DEMO-005, it marked none.")
    if any(study.real for study in run.studies):
        say("The real radiographs come from the public set that the reader was developed on: a show, not a test.")
    say(f"{len(run.studies)} studies in {seconds:.0f} s. {RESEARCH_USE}")
    say("")
    say(f"  worklist   {run.hospital.url}")
    say("  user       admin")
    say(f"  password   {run.password}")
    if run.hospital.pacs_http_port:
        say(f"  PACS       http://127.0.0.1:{run.hospital.pacs_http_port}/app/explorer.html")
    say(f"  why        coread --settings {run.hospital.folder}/coread.toml why DEMO-005")
    say("  stop       make demo-stop")
