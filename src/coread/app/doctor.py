"""Looks at everything that Coread needs on this machine and says how to mend what is wrong."""

import ipaddress
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from coread.app.certificates import delivery_context
from coread.app.settings import DestinationSetting, Settings
from coread.app.web.context import CheckLevel, HealthCheck
from coread.domain.errors import CoreadError, Misconfigured
from coread.domain.work import DeliveryProtocol, Destination
from coread.models.trust import TrustStore

LOW_MEMORY_BYTES = 1_500_000_000
CERTIFICATE_WARNING = timedelta(days=30)
CLOCK_TOLERANCE_SECONDS = 60.0
PEER_TIMEOUT_SECONDS = 4.0
OTHERS = 0o077


def examine(settings: Settings, *, server_running: bool = False) -> tuple[HealthCheck, ...]:
    """Run every check; a check that itself breaks is a problem, never left out.

    ``server_running`` is True when the server asks about itself: its own ports are then rightly in use.
    """
    checks: list[tuple[str, Callable[[], Iterable[HealthCheck]]]] = [
        ("folder", lambda: _folder(settings)),
        ("disk", lambda: _disk(settings)),
        ("memory", _memory),
        ("index", lambda: _index(settings)),
        ("clock", lambda: _clock(settings)),
        ("certificates", lambda: _certificates(settings)),
        ("readers", lambda: _readers(settings)),
        ("viewer", lambda: _viewer(settings)),
        ("destinations", lambda: _destinations(settings)),
        ("archive", lambda: _archive(settings)),
    ]
    if not server_running:
        checks.insert(3, ("ports", lambda: _ports(settings)))
    found: list[HealthCheck] = []
    for name, check in checks:
        try:
            found.extend(check())
        except (OSError, CoreadError, ValueError) as problem:
            found.append(HealthCheck(name, CheckLevel.PROBLEM, f"could not be checked: {problem}"))
    return tuple(found)


def worst(checks: Iterable[HealthCheck]) -> CheckLevel:
    """Return the worst level among the checks."""
    order = [CheckLevel.OK, CheckLevel.WARNING, CheckLevel.PROBLEM]
    return max((check.level for check in checks), key=order.index, default=CheckLevel.OK)


def _folder(settings: Settings) -> Iterable[HealthCheck]:
    folder = settings.folder
    if not folder.is_dir():
        yield HealthCheck("folder", CheckLevel.WARNING, f"{folder} does not exist yet", "`coread serve` creates it")
        return
    probe = folder / f".write-probe-{time.time_ns()}"
    try:
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as problem:
        yield HealthCheck(
            "folder", CheckLevel.PROBLEM, f"{folder} cannot be written: {problem}", f"chown or chmod {folder}"
        )
        return
    if folder.stat().st_mode & OTHERS:
        detail = f"{folder} can be opened by other users of this machine, and it holds patient data"
        yield HealthCheck("folder", CheckLevel.WARNING, detail, f"chmod 700 {folder}")
        return
    yield HealthCheck("folder", CheckLevel.OK, f"{folder} can be written, by us alone")


def _disk(settings: Settings) -> Iterable[HealthCheck]:
    place = settings.folder if settings.folder.is_dir() else Path.cwd()
    usage = shutil.disk_usage(place)
    free = usage.free / usage.total
    detail = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB ({free:.0%})"
    mend = "free space, set retention_days, or move `folder` to a larger disk"
    if free < settings.refuse_free_fraction:
        yield HealthCheck("disk", CheckLevel.PROBLEM, f"{detail}: new images are refused (A700)", mend)
    elif free < settings.warn_free_fraction:
        yield HealthCheck("disk", CheckLevel.WARNING, detail, mend)
    else:
        yield HealthCheck("disk", CheckLevel.OK, detail)


def _memory() -> Iterable[HealthCheck]:
    available = psutil.virtual_memory().available
    detail = f"{available / 1e9:.1f} GB available"
    low = available < LOW_MEMORY_BYTES
    mend = "set workers = 1, or give the machine more memory" if low else ""
    yield HealthCheck("memory", CheckLevel.WARNING if low else CheckLevel.OK, detail, mend)


def _ports(settings: Settings) -> Iterable[HealthCheck]:
    doors = [
        ("DICOM port", settings.dicom_host, settings.dicom_port, _our_dicom),
        ("web port", settings.http_host, settings.http_port, _our_web),
    ]
    if settings.mrd is not None and settings.mrd.enabled:
        doors.append(("MRD port", settings.mrd.host, settings.mrd.port, _our_mrd))
    for name, host, port, ours in doors:
        if port == 0:
            yield HealthCheck(name, CheckLevel.OK, "any free port will be taken")
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as problem:
                if ours(settings):
                    yield HealthCheck(name, CheckLevel.OK, f"{host}:{port}: Coread answers there")
                    continue
                mend = f"stop what uses it (ss -ltnp 'sport = :{port}'), or choose another port in the settings"
                yield HealthCheck(name, CheckLevel.WARNING, f"{host}:{port} is not free: {problem.strerror}", mend)
                continue
        yield HealthCheck(name, CheckLevel.OK, f"{host}:{port} is free")


def _our_dicom(settings: Settings) -> bool:
    """Say whether a C-ECHO to our own AE title is answered on our port."""
    address = f"{settings.dicom_host}:{settings.dicom_port}"
    if settings.dicom_tls_certificate is not None:
        return False  # a port that speaks TLS only, perhaps to known certificates only: not asked
    return _problem_of(settings, Destination("self", DeliveryProtocol.C_STORE, address, settings.ae_title)) is None


def _our_mrd(settings: Settings) -> bool:
    """Say whether the stream that is closed at once is answered with *close*, as ours is."""
    close = b"\x04\x00"
    if settings.mrd is None:
        return False
    try:
        address = (settings.mrd.host, settings.mrd.port)
        with socket.create_connection(address, timeout=PEER_TIMEOUT_SECONDS) as peer:
            peer.sendall(close)
            return peer.recv(2) == close
    except OSError:
        return False


def _our_web(settings: Settings) -> bool:
    """Say whether our own login page is what answers on our port."""
    import httpx

    scheme = "https" if settings.https_certificate else "http"
    try:
        # The certificate is judged by a check of its own; here only the page counts.
        url = f"{scheme}://{settings.http_host}:{settings.http_port}/login"
        return "Coread" in httpx.get(url, timeout=PEER_TIMEOUT_SECONDS, verify=False).text
    except httpx.HTTPError:
        return False


def _index(settings: Settings) -> Iterable[HealthCheck]:
    if not settings.folder.is_dir() and not settings.database_url:
        return
    from coread.app.opening import open_store

    try:
        with open_store(settings) as store:
            token = store.change_token()
    except Misconfigured as problem:
        yield HealthCheck("index", CheckLevel.PROBLEM, str(problem), "`coread serve` brings an old index up to date")
        return
    yield HealthCheck("index", CheckLevel.OK, f"opens; {token} lines of history")


def _clock(settings: Settings) -> Iterable[HealthCheck]:
    """Compare our clock with the Date of every web peer; without one the clock cannot be judged."""
    import httpx

    judged = False
    for peer in settings.destinations:
        if peer.protocol is not DeliveryProtocol.STOW_RS:
            continue
        try:
            answer = httpx.head(peer.address, timeout=PEER_TIMEOUT_SECONDS)
            theirs = datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        except (httpx.HTTPError, KeyError, ValueError):
            continue
        judged = True
        difference = (datetime.now(UTC) - theirs).total_seconds()
        level = CheckLevel.OK if abs(difference) <= CLOCK_TOLERANCE_SECONDS else CheckLevel.WARNING
        mend = "" if level is CheckLevel.OK else "start a time service (chrony) on the machine whose clock is wrong"
        yield HealthCheck("clock", level, f"{difference:+.0f} s against {peer.name}", mend)
    if not judged:
        year = datetime.now(UTC).year
        level = CheckLevel.OK if year >= 2025 else CheckLevel.PROBLEM
        yield HealthCheck("clock", level, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; no web peer to compare with")


def _certificates(settings: Settings) -> Iterable[HealthCheck]:
    pairs = (
        ("DICOM certificate", settings.dicom_tls_certificate, settings.dicom_tls_key),
        ("web certificate", settings.https_certificate, settings.https_key),
    )
    if settings.https_certificate is None and not _is_loopback(settings.http_host):
        detail = f"pages, images and passwords travel in clear on {settings.http_host}"
        mend = "set https_certificate and https_key, or http_host = 127.0.0.1 behind a proxy that encrypts"
        yield HealthCheck("web encryption", CheckLevel.WARNING, detail, mend)
    for name, certificate, key in pairs:
        if certificate is None:
            yield HealthCheck(name, CheckLevel.OK, "not used: connections are not encrypted")
        else:
            yield _certificate(name, certificate, key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificate(name: str, certificate: Path, key: Path | None) -> HealthCheck:
    from cryptography import x509

    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError, ssl.SSLError) as problem:
        return HealthCheck(name, CheckLevel.PROBLEM, f"{certificate}: {problem}", "name a PEM certificate and its key")
    left = parsed.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(0):
        return HealthCheck(name, CheckLevel.PROBLEM, f"expired {-left.days} days ago", "renew it, then restart")
    level = CheckLevel.WARNING if left < CERTIFICATE_WARNING else CheckLevel.OK
    return HealthCheck(
        name, level, f"valid for {left.days} more days", "renew it soon" if level is not CheckLevel.OK else ""
    )


def _readers(settings: Settings) -> Iterable[HealthCheck]:
    from coread.app.site_models import SiteReaders
    from coread.models.package import verify_package

    site = SiteReaders(settings)
    listing = site.listing()
    yield from _keys(site.models.trust)
    for name, told in site.warnings():
        yield HealthCheck(f"reader {name}", CheckLevel.WARNING, told, "sign it anew, or switch to another version")
    for problem in listing.problems:
        yield HealthCheck(f"reader {problem.name}", CheckLevel.PROBLEM, problem.problem, "reinstall this reader")
    for reader in listing.readers:
        name = f"reader {reader.card.reader_id}"
        try:
            package = verify_package(reader.model_folder, reader.card_path)
        except Misconfigured as problem:
            yield HealthCheck(
                name, CheckLevel.PROBLEM, str(problem), "reinstall this reader; it will not run like this"
            )
            continue
        yield HealthCheck(name, CheckLevel.OK, f"version {reader.card.version}, package {package.digest[:12]} verified")
    if not listing.readers:
        yield HealthCheck("readers", CheckLevel.PROBLEM, "no usable reader is installed", "reinstall Coread")


def _keys(trust: TrustStore) -> Iterable[HealthCheck]:
    """Warn of keys that end soon: afterwards nothing that they signed can be switched on."""
    for key in trust.listed():
        if key.removed_at or not key.not_after:
            continue
        left = datetime.fromisoformat(key.not_after) - datetime.now(UTC)
        if left < CERTIFICATE_WARNING:
            told = f"{key.name}: valid for {left.days} more days" if left.days >= 0 else f"{key.name}: expired"
            yield HealthCheck(f"key {key.key_id}", CheckLevel.WARNING, told, "add the maker's next key")


def _viewer(settings: Settings) -> Iterable[HealthCheck]:
    if (settings.viewer() / "index.html").is_file():
        yield HealthCheck("viewer", CheckLevel.OK, f"OHIF in {settings.viewer()}")
    else:
        yield HealthCheck(
            "viewer",
            CheckLevel.WARNING,
            "OHIF is not installed; the case page shows a preview",
            "`coread viewer install`",
        )


def _destinations(settings: Settings) -> Iterable[HealthCheck]:
    if not settings.destinations:
        mend = "add a [[destinations]] table to the settings file"
        yield HealthCheck("destinations", CheckLevel.WARNING, "none: results stay here", mend)
    for peer in settings.destinations:
        yield _destination(settings, peer)


def _destination(settings: Settings, peer: DestinationSetting) -> HealthCheck:
    name = f"destination {peer.name}"
    problem = _problem_of(settings, peer.record())
    if problem is None:
        return HealthCheck(name, CheckLevel.OK, f"{peer.protocol.value} {peer.address} answers")
    mend = "check address, AE title and the peer's list of known AE titles; deliveries wait meanwhile"
    return HealthCheck(name, CheckLevel.PROBLEM, problem, mend)


def _archive(settings: Settings) -> Iterable[HealthCheck]:
    if settings.pacs is None:
        detail = "no archive to ask how many images a study has: completeness rests on associations and silence"
        yield HealthCheck("archive", CheckLevel.OK, detail)
        return
    web = settings.pacs.address.startswith("http")
    protocol = DeliveryProtocol.STOW_RS if web else DeliveryProtocol.C_STORE
    archive = Destination("archive", protocol, settings.pacs.address, settings.pacs.ae_title)
    problem = _problem_of(settings, archive)
    mend = "" if problem is None else "check [pacs] in the settings"
    yield HealthCheck("archive", CheckLevel.OK if problem is None else CheckLevel.PROBLEM, problem or "answers", mend)


def _problem_of(settings: Settings, peer: Destination) -> str | None:
    """Ask a peer something that costs nothing (C-ECHO, a QIDO-RS search); None when it answers."""
    from coread.deliver.commitment import CommitmentBook
    from coread.deliver.transport import Credentials, transport_of

    try:
        asked = replace(peer, timeout_seconds=PEER_TIMEOUT_SECONDS, storage_commitment=False)
        credentials = Credentials(settings.ae_title, delivery_context(settings))
        transport_of(asked, credentials, CommitmentBook()).probe()
    except CoreadError as problem:
        return str(problem)
    return None
