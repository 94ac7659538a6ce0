"""Everything that the web front needs from the rest of the system, as one record that ``create_app`` is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from coread.app.pipeline import EvidenceMaker
from coread.domain.work import Destination
from coread.readers.registry import InstalledReader, ReaderListing
from coread.store import Store


class CheckLevel(StrEnum):
    """How a health check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at, how it stands, and how to mend it."""

    name: str
    level: CheckLevel
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class BrokenReader:
    """A reader that is installed but cannot be used, and why."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class DestinationState:
    """How the deliverer of one destination stands right now."""

    breaker: str = "closed"
    """``closed`` (sending), ``open`` (the peer failed again and again: paused), ``half_open`` (trying once)."""
    detail: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The web front's own settings."""

    session_hours: float = 12.0
    cookie_secure: bool = False
    """True when the pages are served over TLS: cookies then never travel in clear."""
    viewer_folder: Path | None = None
    """Where OHIF is unpacked; ``None`` or an empty folder: the case page offers the preview only."""
    version: str = ""
    live_seconds: float = 0.25
    """How often an open page's server side looks for changes."""
    upload_limit_bytes: int = 16 * 1024**3
    """Largest STOW-RS body."""
    site_name: str = ""

    def viewer_ready(self) -> bool:
        """Say whether the viewer is installed."""
        return self.viewer_folder is not None and (self.viewer_folder / "index.html").is_file()


def _no_states() -> Mapping[str, DestinationState]:
    return {}


def _no_checks() -> tuple[HealthCheck, ...]:
    return ()


def now_utc() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class WebContext:
    """What the pages show and act on."""

    store: Store
    readers: tuple[InstalledReader, ...] = ()
    broken_readers: tuple[BrokenReader, ...] = ()
    destinations: tuple[Destination, ...] = ()
    settings: WebSettings = field(default_factory=WebSettings)
    destination_states: Callable[[], Mapping[str, DestinationState]] = _no_states
    health: Callable[[], tuple[HealthCheck, ...]] = _no_checks
    clock: Callable[[], datetime] = now_utc
    evidence: EvidenceMaker | None = None
    """Writes the objects of corrected results; None: nothing can be corrected."""
    find_readers: Callable[[], ReaderListing] | None = None
    """Which versions of the readers are switched on now; None: ``readers`` never change."""

    def current(self) -> "WebContext":
        """Return the context with the readers as they are switched now."""
        if self.find_readers is None:
            return self
        listing = self.find_readers()
        broken = tuple(BrokenReader(problem.name, problem.problem) for problem in listing.problems)
        return replace(self, readers=listing.readers, broken_readers=broken)
