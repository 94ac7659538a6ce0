"""Talking to a DICOMweb service: where it is, and its failures translated into this room's errors."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coread.deliver.errors import BadDestination, ObjectRefused, PeerAborted, PeerRefused, PeerTimedOut, PeerUnreachable

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class WebService:
    """A DICOMweb service that we call."""

    base_url: str
    """Up to and without ``/studies``."""
    timeout_seconds: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """E.g. ``Authorization``; never shown or logged."""
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise BadDestination(f"DICOMweb address {self.base_url!r} does not begin with http:// or https://")

    def __str__(self) -> str:
        return self.base_url

    def url(self, path: str) -> str:
        """Return the address of a resource below the base."""
        return self.base_url.rstrip("/") + path


@contextmanager
def client(service: WebService) -> "Iterator[httpx.Client]":
    """Yield an HTTP client whose failures come out as PeerFailed."""
    import httpx

    verify: ssl.SSLContext | bool = True if service.tls is None else service.tls
    timeout = httpx.Timeout(service.timeout_seconds, connect=min(10.0, service.timeout_seconds))
    try:
        with httpx.Client(timeout=timeout, headers=dict(service.headers), verify=verify, trust_env=False) as opened:
            yield opened
    except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
        raise PeerUnreachable(f"{service} cannot be reached: {problem}") from problem
    except httpx.TimeoutException as problem:
        raise PeerTimedOut(f"{service} did not answer in {service.timeout_seconds:g} s") from problem
    except httpx.HTTPError as problem:
        raise PeerAborted(f"{service} cut the connection: {problem}") from problem


def check_status(service: WebService, status: int) -> None:
    """Raise unless the status is 2xx: who we are (401, 403), where (404), later (408, 429, 5xx), or the object."""
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise PeerRefused(f"{service} answered {status}: check the credentials of this destination")
    if status in (404, 405):
        raise PeerRefused(f"{service} answered {status}: check that this is the address of a DICOMweb service")
    if status in (408, 429) or status >= 500:
        raise PeerAborted(f"{service} answered {status}")
    raise ObjectRefused(f"{service} answered {status}", status=None, permanent=True)


def probe(service: WebService) -> None:
    """Ask for no studies at all; raises PeerFailed unless the service answers (QIDO-RS, PS3.18 section 10.6)."""
    with client(service) as opened:
        answer = opened.get(
            service.url("/studies"), params={"limit": "1"}, headers={"Accept": "application/dicom+json"}
        )
        if answer.status_code not in (400, 406, 501):
            check_status(service, answer.status_code)
