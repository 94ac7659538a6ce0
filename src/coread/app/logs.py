"""Logging of the server: to standard error and to a bounded file; patient data never goes into a log line."""

import logging
import logging.handlers
import traceback
from pathlib import Path
from types import TracebackType

LOG_BYTES = 5_000_000
LOG_FILES = 4
"""A log never takes more than LOG_BYTES x (LOG_FILES + 1): full disks by log files are a known cause of lost images."""


class PrivateFormatter(logging.Formatter):
    """Writes where an exception came from and its kind, not its message: a library's message may name a patient."""

    def formatException(  # noqa: N802 - the name of the base class
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return the frames and the kinds of the exception and of its causes."""
        problem = ei[1]
        lines: list[str] = []
        while problem is not None:
            frames = traceback.StackSummary.extract(traceback.walk_tb(problem.__traceback__), lookup_lines=False)
            lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
            lines.append(f"{type(problem).__name__} (message left out: it may hold patient data)")
            problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
        return "\n".join(lines)


def set_up_logging(folder: Path | None, *, process: str, quiet: bool = False) -> None:
    """Send log lines to standard error and, with a folder, to ``logs/<process>.log`` (rotated)."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if folder is not None:
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(logs / f"{process}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        )
    for handler in handlers:
        handler.setFormatter(PrivateFormatter(f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=handlers, force=True)
    # A library that set up handlers of its own would write messages past the formatter above.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # Libraries that would write identifiers or a line per object.
    for name in ("pynetdicom", "pydicom", "httpx", "httpcore", "uvicorn.access", "highdicom", "alembic", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
