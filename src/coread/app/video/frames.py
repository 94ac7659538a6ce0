"""Frames of a film or a capture device through OpenCV (extra ``video``): the newest counts, old ones are dropped."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.app.errors import MissingExtra, VideoRefused

RGB = NDArray[np.uint8]
"""(rows, columns, 3), red first."""
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame with its number in the source."""

    number: int
    pixels: RGB


def opencv() -> Any:
    """Return OpenCV; raises MissingExtra that names the extra."""
    try:
        import cv2
    except ImportError as problem:
        raise MissingExtra("OpenCV is not installed, but video needs it: pip install 'coread[video]'") from problem
    return cv2


class VideoSource:
    """A film file or a capture device, opened; use as a context manager."""

    def __init__(self, source: str) -> None:
        """Open a device by its number (``0``) or a film by its path; raises VideoRefused."""
        cv2 = opencv()
        self.is_device = source.isdecimal()
        if not self.is_device and not Path(source).is_file():
            raise VideoRefused(f"{source} is no file and no device number. Name a film, or a device such as 0.")
        self._capture = cv2.VideoCapture(int(source) if self.is_device else source)
        self._cv2 = cv2
        if not self._capture.isOpened():
            self._capture.release()
            what = f"capture device {source}" if self.is_device else source
            raise VideoRefused(f"{what} cannot be opened as video. Check the device or the format of the film.")
        self.frames_per_second = float(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0

    def __enter__(self) -> "VideoSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the device or the file back."""
        self._capture.release()

    def all_frames(self) -> Iterator[VideoFrame]:
        """Return every frame, one after the other, as fast as they are asked for."""
        number = 0
        while (frame := self._read(number)) is not None:
            yield frame
            number += 1

    def live_frames(self, stop: threading.Event) -> Iterator[VideoFrame]:
        """Return frames at the speed of life: what comes while the caller is busy is passed over.

        A film starts again when it ends; a device that gives nothing more ends the loop.
        """
        newest = _Newest()
        thread = threading.Thread(target=self._follow, args=(newest, stop), name="frames", daemon=True)
        thread.start()
        try:
            last = -1
            while not stop.is_set():
                frame = newest.after(last)
                if frame is None:
                    return
                last = frame.number
                yield frame
        finally:
            stop.set()
            thread.join(timeout=_WAIT_SECONDS)

    def _follow(self, newest: "_Newest", stop: threading.Event) -> None:
        number, due = 0, time.monotonic()
        rewound = False
        while not stop.is_set():
            frame = self._read(number)
            if frame is None:
                if self.is_device or rewound:
                    break
                rewound = True
                self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, 0)
                continue
            rewound = False
            newest.put(frame)
            number += 1
            if not self.is_device:
                due = max(due + 1 / self.frames_per_second, time.monotonic() - 1)
                stop.wait(max(0.0, due - time.monotonic()))
        newest.end()

    def _read(self, number: int) -> VideoFrame | None:
        good, pixels = self._capture.read()
        if not good or pixels is None:
            return None
        return VideoFrame(number, np.asarray(self._cv2.cvtColor(pixels, self._cv2.COLOR_BGR2RGB), dtype=np.uint8))


class _Newest:
    """A place for one frame: a new one takes the place of the old one."""

    def __init__(self) -> None:
        self._frame: VideoFrame | None = None
        self._ended = False
        self._changed = threading.Condition()

    def put(self, frame: VideoFrame) -> None:
        with self._changed:
            self._frame = frame
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def after(self, number: int) -> VideoFrame | None:
        """Wait for a frame that is newer; ``None`` when there will be none."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or (self._frame is not None and self._frame.number > number), _WAIT_SECONDS
            )
            fresh = self._frame is not None and self._frame.number > number
            return self._frame if fresh else None
