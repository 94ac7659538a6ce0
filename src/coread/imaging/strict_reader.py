"""A read-only file over bytes or a memory map that notices when something is read beyond the end."""

from coread.imaging.elements import Buffer


class StrictReader:
    """Just enough of a binary file for pydicom's readers; never allocates more than the buffer holds."""

    def __init__(self, buffer: Buffer, position: int = 0, blanks: frozenset[int] = frozenset()) -> None:
        self._buffer = buffer
        self._position = position
        self._blanks = blanks
        """Offsets at which reads return spaces: values that pydicom cannot live with."""
        self.last_read_at = position
        self._reads_at_end = 0
        self._cut = False

    @property
    def ran_short(self) -> bool:
        """Whether a read got less than it asked for; one empty read at the very end is how reading ends."""
        return self._cut or self._reads_at_end > 1

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes."""
        end = len(self._buffer) if size < 0 else min(self._position + size, len(self._buffer))
        found = self._buffer[min(self._position, end) : end]
        self.last_read_at = self._position
        if self._position in self._blanks:
            found = b" " * len(found)
        if size > 0 and not found:
            self._reads_at_end += 1
            self._cut = self._cut or self._position > len(self._buffer)
        elif len(found) < size:
            self._cut = True
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset from the start (0), from here (1) or from the end (2)."""
        base = (0, self._position, len(self._buffer))[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position
