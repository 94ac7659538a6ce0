"""The marks of a reader over the frame that it read: outline, box, words; the original pixels stay below."""

import numpy as np

from coread.app.video.frames import RGB, opencv
from coread.app.video.reading import FrameAnswer

BANNER = "RESEARCH USE ONLY - not a medical device"
_MARK = (255, 214, 10)
_OUTLINE = (90, 230, 255)
_BAR = (15, 17, 19)
_PALE = (235, 235, 235)
_QUALITY = 85


def drawn(pixels: RGB, answer: FrameAnswer, *, frames_per_second: float) -> RGB:
    """Return a copy of the frame with marks, the frame rate, and the banner in a bar below the picture."""
    cv2 = opencv()
    rows, columns = pixels.shape[:2]
    thick = max(1, round(min(rows, columns) / 240))
    picture = pixels.copy()
    for points in answer.outlines:
        corners = np.rint(points * [columns, rows]).astype(np.int32)[:, None]
        cv2.polylines(picture, [corners], True, _OUTLINE, thick, cv2.LINE_AA)
    for mark in answer.marks:
        x0, y0, x1, y1 = (
            round(share * side) for share, side in zip(mark.box, (columns, rows, columns, rows), strict=True)
        )
        cv2.rectangle(picture, (x0, y0), (x1, y1), _MARK, thick, cv2.LINE_8)
        _write(picture, mark.words, (x0, max(y0 - 4, 12)), columns)
    bar = np.full((max(22, rows // 14), columns, 3), _BAR, dtype=np.uint8)
    line = answer.refused and f"Not read: {answer.refused}"
    _write(bar, line or f"{BANNER}   {frames_per_second:.1f} frames/s", (6, bar.shape[0] - 7), columns)
    return np.concatenate([picture, bar])


def as_jpeg(picture: RGB) -> bytes:
    """Return the picture as a JPEG file."""
    cv2 = opencv()
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data.tobytes())


def _write(picture: RGB, words: str, at: tuple[int, int], columns: int) -> None:
    """Write pale words on a dark plate."""
    cv2 = opencv()
    size = max(0.35, columns / 1100)
    (wide, high), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    cv2.rectangle(picture, (at[0], at[1] - high - 2), (at[0] + wide, at[1] + below), _BAR, cv2.FILLED)
    cv2.putText(picture, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, _PALE, 1, cv2.LINE_AA)
