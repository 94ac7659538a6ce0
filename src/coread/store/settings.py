"""Where the store lives and how it behaves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from coread.store.errors import StoreMisconfigured
from coread.store.files import free_bytes


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Folder, database and limits. An empty ``database_url`` means SQLite inside the folder."""

    folder: Path
    database_url: str = ""
    warn_free_fraction: float = 0.10
    refuse_free_fraction: float = 0.05
    durable: bool = True
    """Commits and files survive a power cut; ``False`` only for throw-away stores and measurements."""
    retention_days: int | None = None
    trash_days: int = 7
    """How long a removed study can be brought back."""
    max_attempts: int = 3
    """A work item that was begun this often without an end is finished as failed."""
    busy_seconds: float = 30.0
    """How long a writer waits for a locked index before it raises StoreBusy."""
    disk_usage: Callable[[Path], tuple[int, int]] = field(default=free_bytes)
    """Returns (total, free) bytes; tests put their own disk here."""

    def __post_init__(self) -> None:
        if not 0 <= self.refuse_free_fraction <= self.warn_free_fraction < 1:
            raise StoreMisconfigured("disk limits need 0 <= refuse_free_fraction <= warn_free_fraction < 1")
        if self.retention_days is not None and self.retention_days < 1:
            raise StoreMisconfigured("retention_days is at least 1; leave it out to keep everything")

    def url(self) -> str:
        """Return the SQLAlchemy URL of the index."""
        return self.database_url or f"sqlite:///{self.folder.absolute() / 'index.sqlite3'}"
