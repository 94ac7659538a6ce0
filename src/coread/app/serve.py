"""The server: one supervisor with web pages, routing and delivery, and child processes that receive and read."""

import logging
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from coread import __version__
from coread.app.archive import Archive
from coread.app.certificates import delivery_context
from coread.app.children import ChildPlan, ChildProcesses
from coread.app.doctor import examine
from coread.app.logs import set_up_logging
from coread.app.opening import open_store
from coread.app.pipeline import Pipeline, evidence_maker, pipeline_of
from coread.app.routing import RoutingLoop
from coread.app.settings import Settings
from coread.app.site_models import record_switches, site_models
from coread.app.worker import owner_name
from coread.store import Store

if TYPE_CHECKING:
    from coread.app.web.context import DestinationState, HealthCheck
    from coread.deliver.worker import DeliveryWorker

log = logging.getLogger(__name__)
SWITCH_SECONDS = 0.0005
"""Threads that store and search give the interpreter back this often: the loop that reads the network waits for it."""
RECEIVER_SECONDS = 60.0
"""A receiver that takes longer to listen than this has a problem of its own, which the health page shows."""


def serve(settings: Settings, *, quiet: bool = False) -> None:
    """Run until SIGTERM or Ctrl-C. Prints the URL, and once the first password."""
    settings = with_ports(settings)
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    set_up_logging(settings.folder, process="server", quiet=quiet)
    # Until the web server takes over, a signal must unwind what was started: children would outlive us otherwise.
    signal.signal(signal.SIGTERM, _stop_early)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings, migrate=True))
        pipeline = pipeline_of(store, settings)
        children = ChildProcesses(receiver_plans(settings) + mrd_plans(settings) + worker_plans(settings, store))
        deliverer = delivery_worker(pipeline)
        archive = Archive(settings.pacs, settings.ae_title) if settings.pacs else None
        routing = RoutingLoop(pipeline, archive)
        watcher = folder_watcher(settings, store)
        recover_earlier_run(store)
        record_switches(store, site_models(settings))
        _announce(settings, store)
        for start, stop in (
            (children.start, children.stop),
            (deliverer.start, deliverer.stop),
            (routing.start, routing.stop),
            (watcher.start, watcher.stop),
        ):
            start()
            stack.callback(stop)
        await_receivers(settings)
        if archive is not None:
            stack.callback(archive.close)
        run_web(settings, pipeline, deliverer, children)
    log.info("stopped")


def await_receivers(settings: Settings, seconds: float = RECEIVER_SECONDS) -> bool:
    """Wait until the DICOM port answers: once the web pages do, everything does, and a scanner may send at once."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.dicom_host, settings.dicom_host)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, settings.dicom_port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    log.error("nothing listens on DICOM port %d after %.0f s", settings.dicom_port, seconds)
    return False


def with_ports(settings: Settings) -> Settings:
    """Replace port 0 by a free port, so that children and addresses agree on it."""
    changes: dict[str, Any] = {}
    for name, host in (("dicom_port", settings.dicom_host), ("http_port", settings.http_host)):
        if getattr(settings, name) == 0:
            changes[name] = free_port(host)
    if settings.mrd is not None and settings.mrd.port == 0:
        changes["mrd"] = settings.mrd.model_copy(update={"port": free_port(settings.mrd.host)})
    return settings.model_copy(update=changes)


def free_port(host: str) -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def receiver_plans(settings: Settings) -> list[ChildPlan]:
    """One child per receiver process; all share the DICOM port."""
    from coread.receive.processes import ChildSettings, to_json
    from coread.receive.settings import PeerRule, ReceiveSettings, TlsSettings

    tls = None
    if settings.dicom_tls_certificate is not None and settings.dicom_tls_key is not None:
        tls = TlsSettings(settings.dicom_tls_certificate, settings.dicom_tls_key, settings.dicom_tls_client_ca)
    receive = ReceiveSettings(
        ae_title=settings.ae_title,
        host=settings.dicom_host,
        port=settings.dicom_port,
        processes=settings.receiver_processes,
        allowed_peers=tuple(
            PeerRule("" if p.ae_title == "*" else p.ae_title, p.network, p.commitment_host, p.commitment_port)
            for p in settings.peers
        ),
        tls=tls,
        durable=settings.durable,
    )
    told = to_json(
        ChildSettings(
            receive,
            settings.folder.absolute(),
            settings.database_url,
            warn_free_fraction=settings.warn_free_fraction,
            refuse_free_fraction=settings.refuse_free_fraction,
        )
    )
    command = (sys.executable, "-m", "coread.receive")
    return [
        ChildPlan(f"receiver {number}", command, told, lambda _pid, _status: None)
        for number in range(1, settings.receiver_processes + 1)
    ]


def mrd_plans(settings: Settings) -> list[ChildPlan]:
    """One child that receives raw MR data, where the door is open."""
    if settings.mrd is None or not settings.mrd.enabled:
        return []
    from coread.receive.mrd_process import MrdChildSettings
    from coread.receive.mrd_settings import MrdSettings

    receive = MrdSettings(
        host=settings.mrd.host,
        port=settings.mrd.port,
        networks=settings.mrd.networks,
        max_connections=settings.mrd.max_connections,
        max_stream_bytes=round(settings.mrd.max_stream_gb * 1e9),
        idle_seconds=settings.mrd.idle_seconds,
        durable=settings.durable,
    )
    told = MrdChildSettings(
        receive,
        settings.folder.absolute(),
        settings.database_url,
        warn_free_fraction=settings.warn_free_fraction,
        refuse_free_fraction=settings.refuse_free_fraction,
    ).to_json()
    command = (sys.executable, "-m", "coread.receive.mrd_process")
    return [ChildPlan("raw MR data receiver", command, told, lambda _pid, _status: None)]


def worker_plans(settings: Settings, store: Store) -> list[ChildPlan]:
    """One child per reading process; a dead one's work item is released at once, without waiting for its lease."""

    def release(process_id: int, status: int) -> None:
        store.release_owner(owner_name(process_id), f"the reading process ended with status {status}")

    command = (sys.executable, "-m", "coread.app.worker")
    told = settings.model_dump_json()
    return [ChildPlan(f"worker {number}", command, told, release) for number in range(1, settings.workers + 1)]


def delivery_worker(pipeline: Pipeline) -> "DeliveryWorker":
    """One lane per destination."""
    from coread.deliver.transport import Credentials
    from coread.deliver.worker import DeliveryWorker

    settings = pipeline.settings
    credentials = Credentials(settings.ae_title, delivery_context(settings))
    listen = (settings.dicom_host, settings.commitment_port) if settings.commitment_port else None
    return DeliveryWorker(pipeline.store, pipeline.destinations, credentials=credentials, listen=listen)


class _NoFolder:
    """Stands where no folder is watched."""

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def folder_watcher(settings: Settings, store: Store) -> Any:
    """Return the watcher of the configured folder, or one that does nothing."""
    if settings.watch_folder is None:
        return _NoFolder()
    from coread.receive.folder import FolderSettings, FolderWatcher

    return FolderWatcher(store, FolderSettings(settings.watch_folder, durable=settings.durable))


def recover_earlier_run(store: Store) -> None:
    """Index what an earlier run had acknowledged but not indexed, end its associations, take its work again."""
    from coread.receive.recovery import recover

    store.close_all_associations()
    recover(store)
    for owner in store.lease_owners():
        if is_dead_worker_here(owner):
            store.release_owner(owner, "the server was started anew and its worker is gone")


def is_dead_worker_here(owner: str) -> bool:
    """Say whether a lease belongs to a process of this machine that has ended; others run out by themselves."""
    host, _, number = owner.rpartition(":")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        # A killed process that nobody has collected yet still has its number, but it is dead.
        return psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_web(settings: Settings, pipeline: Pipeline, deliverer: "DeliveryWorker", children: ChildProcesses) -> None:
    """Serve pages and DICOMweb until a signal ends it."""
    import uvicorn

    from coread.app.web.application import create_app

    app = create_app(web_context(settings, pipeline, deliverer, children))
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        ssl_certfile=settings.https_certificate,
        ssl_keyfile=settings.https_key,
        timeout_graceful_shutdown=5,
    )
    # uvicorn sends the signal that ended it once more when it is done: children and threads must still be stopped then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopping)
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.Server(config).run()


def _stop_early(number: int, _frame: FrameType | None) -> None:
    log.info("signal %d before everything was up: stopping", number)
    raise SystemExit(0)


def _already_stopping(number: int, _frame: FrameType | None) -> None:
    log.info("signal %d: stopping", number)


def web_context(settings: Settings, pipeline: Pipeline, deliverer: "DeliveryWorker", children: ChildProcesses) -> Any:
    """Collect what the pages show and act on."""
    from coread.app.web.context import BrokenReader, WebContext, WebSettings

    web = WebSettings(
        session_hours=settings.session_hours,
        cookie_secure=settings.https_certificate is not None,
        viewer_folder=settings.viewer(),
        version=__version__,
    )
    return WebContext(
        store=pipeline.store,
        readers=pipeline.readers,
        broken_readers=tuple(BrokenReader(p.name, p.problem) for p in pipeline.broken),
        find_readers=pipeline.find_readers,
        destinations=pipeline.destinations,
        evidence=evidence_maker(settings),
        settings=web,
        destination_states=lambda: destination_states(deliverer),
        health=lambda: examine(settings, server_running=True) + child_checks(children),
    )


def destination_states(deliverer: "DeliveryWorker") -> "Mapping[str, DestinationState]":
    """Say for each destination whether it is being sent to."""
    from datetime import UTC, datetime, timedelta

    from coread.app.web.context import DestinationState

    states = {}
    for state in deliverer.state():
        lane = state.lane
        retry = datetime.now(UTC) + timedelta(seconds=lane.retry_in_seconds) if lane.retry_in_seconds > 0 else None
        states[lane.destination] = DestinationState(lane.breaker.value, lane.last_error, retry)
    return states


def child_checks(children: ChildProcesses) -> "tuple[HealthCheck, ...]":
    """Say whether every child process runs, and how often it was started again."""
    from coread.app.web.context import CheckLevel, HealthCheck

    checks = []
    for name, process_id, restarts in children.states():
        if process_id is None:
            checks.append(
                HealthCheck(name, CheckLevel.PROBLEM, "is down and being started again", "see logs/ in the folder")
            )
        else:
            level = CheckLevel.WARNING if restarts else CheckLevel.OK
            checks.append(HealthCheck(name, level, f"process {process_id}, started again {restarts} times"))
    return tuple(checks)


def _announce(settings: Settings, store: Store) -> None:
    """Say where we are; the first password is printed here and never again."""
    from coread.app.web.accounts import bootstrap_admin

    scheme = "https" if settings.https_certificate else "http"
    lines = [
        f"Coread {__version__}: research use only, not a medical device",
        f"  web    {scheme}://{settings.http_host}:{settings.http_port}/",
        f"  DICOM  {settings.ae_title}@{settings.dicom_host}:{settings.dicom_port}",
        f"  folder {settings.folder.absolute()}",
    ]
    if settings.mrd is not None and settings.mrd.enabled:
        lines.insert(3, f"  MRD    {settings.mrd.host}:{settings.mrd.port}")
    password = bootstrap_admin(store)
    if password is not None:
        lines.append(f"  first login: admin   password (shown once): {password}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
