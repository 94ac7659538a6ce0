"""Memory of one reading: estimated from headers before anything is decoded, and capped while it runs."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.domain.study import InstanceHeader
from coread.engine.errors import TooMuchMemory

KEPT_BYTES_PER_PIXEL = 5
"""float32 values and the padding mask of an image that is held until the reading ends."""
DECODING_BYTES_PER_PIXEL = 16
"""Stored values, modality values and working copies while one image is decoded, at their widest together."""


def estimated_bytes(headers: Sequence[InstanceHeader]) -> int:
    """Return the memory that decoding these images one after the other takes, from their headers alone."""
    frames = [(header.rows or 0) * (header.columns or 0) for header in headers]  # decoded one at a time
    kept = sum(pixels_of(header) for header in headers)
    return kept * KEPT_BYTES_PER_PIXEL + max(frames, default=0) * DECODING_BYTES_PER_PIXEL


def pixels_of(header: InstanceHeader) -> int:
    """Return rows x columns x frames, with an absent number counted as nothing."""
    return (header.rows or 0) * (header.columns or 0) * max(1, header.number_of_frames or 1)


def require_memory(card: ReaderCard, headers: Sequence[InstanceHeader]) -> None:
    """Raise TooMuchMemory when the images cannot be read within the card's memory."""
    needed_mb = -(-estimated_bytes(headers) // (1 << 20))
    if needed_mb > card.resources.memory_mb:
        raise TooMuchMemory(f"{needed_mb} MB needed, the reader may use {card.resources.memory_mb} MB")


@contextmanager
def memory_cap(extra_mb: int) -> Iterator[None]:
    """Let this process grow by at most ``extra_mb`` of private memory inside the block (Linux; else no cap).

    Growth beyond it raises MemoryError where it happens, instead of waking the kernel's killer of processes. Only for
    a process that does nothing but read.
    """
    used = _private_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + (extra_mb << 20)
    if used == 0 or (hard != resource.RLIM_INFINITY and wanted > hard):
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _private_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
