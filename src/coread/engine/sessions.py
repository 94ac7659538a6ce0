"""Loaded readers of one worker process: opened and proved once, kept while memory allows, the oldest let go first."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coread.domain.errors import Misconfigured
from coread.domain.reading import ModelSession, Prepared, Reader
from coread.models.golden import GoldenReport, check_golden
from coread.models.session import open_session
from coread.readers.registry import InstalledReader, load_reader

OpenSession = Callable[[InstalledReader], ModelSession]


@dataclass(frozen=True, slots=True, eq=False)
class OpenReader:
    """A reader that is ready to read: its package verified, its golden cases reproduced on this machine."""

    installed: InstalledReader
    session: ModelSession
    reader: Reader
    size: int
    """Bytes of memory that it keeps, as measured when it was opened."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How packages are opened."""

    threads: int = 1
    engine: str = "auto"
    engine_cache: Path | None = None
    """JSON file that remembers which engine was faster; None: never measure, use ONNX Runtime."""
    programs: tuple[Path, ...] = ()
    """Outside programs that packages may call here."""

    def open(self, installed: InstalledReader) -> ModelSession:
        """Open the package of one reader; raises Misconfigured when it is damaged."""
        return open_session(
            installed.model_folder,
            installed.card_path,
            self.threads,
            self.engine,
            cache=self.engine_cache,
            programs=self.programs,
        )


def open_reader(installed: InstalledReader, open_it: OpenSession) -> OpenReader:
    """Verify, load and replay the golden cases; raises Misconfigured when the reader may not be used here."""
    before = resident_bytes()
    session = open_it(installed)
    if session.digest != installed.package_digest:
        raise Misconfigured(
            f"the package of {installed.card.reader_id} was replaced since start-up. Restart to use the new one."
        )
    reader = load_reader(installed)
    prove_golden(session, installed, reader).require()
    on_disk = sum(path.stat().st_size for path in installed.model_folder.glob("*.onnx"))
    return OpenReader(installed, session, reader, max(on_disk, resident_bytes() - before))


def prove_golden(session: ModelSession, installed: InstalledReader, reader: Reader) -> GoldenReport:
    """Replay the golden cases of the graphs, and of the reader's own arithmetic."""
    return check_golden(session, installed.model_folder, lambda arrays: reader.infer(session, Prepared(dict(arrays))))


class SessionCache:
    """Open readers by package digest, within a limit of memory; used by one thread."""

    def __init__(self, open_it: OpenSession, limit_bytes: int) -> None:
        self._open_it = open_it
        self._limit_bytes = limit_bytes
        self._open: OrderedDict[str, OpenReader] = OrderedDict()

    def get(self, installed: InstalledReader) -> OpenReader:
        """Return the open reader, opening it now if need be; raises Misconfigured when it may not be used."""
        key = installed.package_digest
        if key not in self._open:
            self._open[key] = open_reader(installed, self._open_it)
        self._open.move_to_end(key)
        self._let_go()
        return self._open[key]

    def digests(self) -> tuple[str, ...]:
        """Return the digests of the packages that are open, least recently used first."""
        return tuple(self._open)

    def _let_go(self) -> None:
        while len(self._open) > 1 and sum(item.size for item in self._open.values()) > self._limit_bytes:
            self._open.popitem(last=False)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes, 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
