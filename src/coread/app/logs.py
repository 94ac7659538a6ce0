"""Logging of the server: to standard error and to a bounded file; patient data never goes into a log line."""

import logging
import logging.handlers
from pathlib import Path

LOG_BYTES = 5_000_000
LOG_FILES = 4
"""A log never takes more than LOG_BYTES x (LOG_FILES + 1): full disks by log files are a known cause of lost images."""


def set_up_logging(folder: Path | None, *, process: str, quiet: bool = False) -> None:
    """Send log lines to standard error and, with a folder, to ``logs/<process>.log`` (rotated)."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if folder is not None:
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(logs / f"{process}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        )
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format=f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
        force=True,
    )
    # Libraries that would write identifiers or a line per object.
    for name in ("pynetdicom", "pydicom", "httpx", "httpcore", "uvicorn.access", "highdicom", "alembic", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
