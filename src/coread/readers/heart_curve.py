"""Volumes of a ventricle over time to end diastole, end systole and ejection fraction, beat by beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_SMOOTHED_FROM = 16
"""Fewer points in a beat are left as they are: a parabola over five would cut off the extremes."""
_PARABOLA = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35.0
"""Middle of the parabola through five points (Savitzky and Golay 1964): keeps maxima and minima where they are."""
_PROMINENT = 0.3
"""Of the range of the curve: what a minimum must stand out by to be an end systole."""
EVEN_BEATS = 0.25
"""Relative difference of the longest and the shortest beat from which a rhythm is called irregular."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: the numbers (from 0) of its frames and the volumes there, in the unit of the curve."""

    diastole: int
    systole: int
    largest: float
    smallest: float

    @property
    def ejected_percent(self) -> float:
        """Return the ejection fraction."""
        return 100.0 * (1.0 - self.smallest / self.largest)


def smoothed(values: Values, *, cyclic: bool) -> Values:
    """Return the curve with noise taken out by parabolas; ``cyclic``: the last point is followed by the first."""
    if len(values) < _SMOOTHED_FROM:
        return values
    around = np.concatenate([values[-2:], values, values[:2]])
    found = np.convolve(around, _PARABOLA, mode="valid")
    if not cyclic:
        found[[0, 1, -2, -1]] = values[[0, 1, -2, -1]]
    return np.asarray(found)


def one_beat(values: Values) -> Beat:
    """Return the beat of a cyclic curve of one beat (cine MR)."""
    curve = smoothed(values, cyclic=True)
    diastole, systole = int(curve.argmax()), int(curve.argmin())
    return Beat(diastole, systole, float(curve[diastole]), float(curve[systole]))


def minima_of_cycle(values: Values) -> int:
    """Count the minima of a cyclic curve that stand out: more than one is no single regular beat."""
    curve = smoothed(values, cyclic=True)
    turned = np.roll(curve, -int(curve.argmax()))
    return len(_minima(np.append(turned, turned[0])))


def beats_of(values: Values) -> tuple[Beat, ...]:
    """Return the beats of a loop that need not begin at end diastole; empty where no minimum stands out.

    Each end systole is taken with the largest volume before it (after the end systole before), or after it where the
    loop begins with the ejection.
    """
    curve = smoothed(values, cyclic=False)
    lows = _minima(curve)
    found = []
    for number, low in enumerate(lows):
        start = lows[number - 1] if number else 0
        before = curve[start:low]
        place = start + int(before.argmax()) if len(before) else low
        if number == 0 and _began_late(curve, place, low, lows):
            stop = lows[1] if len(lows) > 1 else len(curve)
            place = low + int(curve[low:stop].argmax())
        found.append(Beat(place, low, float(curve[place]), float(curve[low])))
    return tuple(found)


def regular(beats: Sequence[Beat], times: Sequence[float]) -> bool:
    """Say whether beats are evenly long, from the times of their end systoles; one or two beats tell nothing."""
    gaps = np.diff([times[beat.systole] for beat in beats])
    return len(gaps) < 2 or bool((gaps.max() - gaps.min()) <= EVEN_BEATS * gaps.mean())


def _began_late(curve: Values, place: int, low: int, lows: Sequence[int]) -> bool:
    """Say whether the loop begins within the ejection, so that what is before its first end systole is too small."""
    stop = lows[1] if len(lows) > 1 else len(curve)
    after = curve[low:stop].max()
    return bool(place == 0 and after - curve[0] > 0.1 * (after - curve[low]))


def _minima(curve: Values) -> list[int]:
    from scipy.signal import find_peaks

    reach = float(np.ptp(curve))
    if reach <= 0:
        return []
    return [int(place) for place in find_peaks(-curve, prominence=_PROMINENT * reach)[0]]
