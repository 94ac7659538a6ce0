"""The loop behind a live reading: frames in, drawn pictures out, and how fast that goes; the same for measuring."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from coread.app.video.drawing import as_jpeg, drawn
from coread.app.video.frames import VideoFrame, VideoSource
from coread.app.video.reading import FrameAnswer, FrameReader

_WINDOW = 40
"""Frames over which the rate is taken."""
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast frames are read."""

    frames: int
    frames_per_second: float
    reading_ms: float
    """Median time of one frame, from pixels to answer."""
    marked: int
    """Frames with a mark."""
    refused: int

    def document(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


class Rate:
    """Counts frames and times."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_WINDOW)
        self._times: deque[float] = deque(maxlen=_WINDOW)
        self.frames = self.marked = self.refused = 0

    def note(self, answer: FrameAnswer, seconds: float) -> None:
        """Count one frame that took so long."""
        self.frames += 1
        self.marked += bool(answer.marks)
        self.refused += bool(answer.refused)
        self._ends.append(time.monotonic())
        self._times.append(seconds)

    def pace(self) -> Pace:
        """Return the numbers as they stand."""
        span = self._ends[-1] - self._ends[0] if len(self._ends) > 1 else 0.0
        rate = (len(self._ends) - 1) / span if span > 0 else 0.0
        middle = sorted(self._times)[len(self._times) // 2] if self._times else 0.0
        return Pace(self.frames, rate, middle * 1000, self.marked, self.refused)


class Station:
    """Reads a source in a thread of its own; viewers take the newest drawn picture."""

    def __init__(self, source: VideoSource, reader: FrameReader) -> None:
        self.reader = reader
        self._source = source
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._picture: tuple[int, bytes] = (-1, b"")
        self._rate = Rate()
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="live reading", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the reading and wait for it."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=_WAIT_SECONDS)

    @property
    def running(self) -> bool:
        """Whether frames are still being read."""
        return self._thread.is_alive() and not self._stop.is_set()

    def pace(self) -> Pace:
        """Return how fast it goes."""
        with self._changed:
            return self._rate.pace()

    def picture_after(self, number: int) -> tuple[int, bytes] | None:
        """Wait for a picture that is newer; ``None`` when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture[0] > number or not self.running, _WAIT_SECONDS)
            return self._picture if self._picture[0] > number else None

    def _run(self) -> None:
        try:
            for frame in self._source.live_frames(self._stop):
                answer, seconds = timed(self.reader, frame)
                with self._changed:
                    self._rate.note(answer, seconds)
                    pace = self._rate.pace()
                picture = as_jpeg(drawn(frame.pixels, answer, frames_per_second=pace.frames_per_second))
                with self._changed:
                    self._picture = (frame.number, picture)
                    self._changed.notify_all()
        except Exception as problem:  # noqa: BLE001 - the edge of the thread: viewers are told what ended it
            self.problem = f"{type(problem).__name__}: {problem}"
        finally:
            self._stop.set()
            with self._changed:
                self._changed.notify_all()


def timed(reader: FrameReader, frame: VideoFrame) -> tuple[FrameAnswer, float]:
    """Read one frame and say how long that took."""
    began = time.monotonic()
    answer = reader.read(frame.pixels)
    return answer, time.monotonic() - began


def measured(source: VideoSource, reader: FrameReader, most: int) -> Iterator[Pace]:
    """Read, draw and pack up to ``most`` frames as fast as possible; yields the pace after each, over all of them."""
    rate, began, times = Rate(), time.monotonic(), []
    for frame in source.all_frames():
        answer, seconds = timed(reader, frame)
        as_jpeg(drawn(frame.pixels, answer, frames_per_second=0.0))
        rate.note(answer, seconds)
        times.append(seconds)
        took = time.monotonic() - began
        middle = sorted(times)[len(times) // 2] * 1000
        yield Pace(rate.frames, rate.frames / took, middle, rate.marked, rate.refused)
        if rate.frames >= most:
            return
