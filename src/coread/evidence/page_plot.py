"""Curves of a result (a volume over the heart beat, a size over dates) drawn on the summary page."""

import math

from coread.domain.results import Curve
from coread.evidence import page as p

HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 16, 40, 58
_TICKS = 5
_LABEL = p.Style(15, p.MUTED)


def draw_curve(sheet: p.Page, curve: Curve, at: tuple[int, int], width: int) -> int:
    """Draw one curve with axes, units and named points in a box of ``width`` pixels; return the y below it."""
    left, top = at
    box = (left + _LEFT, top + _TOP, left + width - _RIGHT, top + HEIGHT - _BOTTOM)
    sheet.pen.rounded_rectangle((left, top, left + width, top + HEIGHT), radius=6, fill=p.PANEL)
    sheet.line((left + 16, top + 10), curve.name, p.Style(17, bold=True))
    xs, ys = [x for x, _ in curve.points], [y for _, y in curve.points]
    # From 0, so that a change within the error of measurement does not fill the whole height.
    x_axis, y_axis = _Axis.over(xs, box[0], box[2]), _Axis.over(ys if min(ys) < 0 else [0.0, *ys], box[3], box[1])
    for value in y_axis.ticks:
        y = y_axis.place(value)
        sheet.rule(box[0], box[2], y)
        sheet.right((box[0] - 8, y - 10), f"{value:g}", _LABEL)
    for value in x_axis.ticks:
        text = f"{value:g}"
        sheet.line((x_axis.place(value) - _LABEL.width(text) // 2, box[3] + 6), text, _LABEL)
    sheet.line((box[0], top + HEIGHT - 28), _axis_name(curve.x_name, curve.x_unit), _LABEL)
    sheet.right((box[2], top + 12), _axis_name(curve.y_name, curve.y_unit), _LABEL)
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in curve.points]
    sheet.pen.line(places, fill=p.BLUE, width=3, joint="curve")
    for name, number in curve.marks:
        _draw_mark(sheet, places[number], name, box)
    return top + HEIGHT + 16


class _Axis:
    """From values to pixels, with round values to write beside it."""

    def __init__(self, low: float, high: float, begin: int, end: int) -> None:
        self._low, self._high, self._begin, self._end = low, high, begin, end
        step = _round_step((high - low) / _TICKS)
        first = math.ceil(low / step - 1e-9)
        count = math.floor(high / step + 1e-9) - first + 1
        self.ticks = [round((first + number) * step, 10) + 0.0 for number in range(count)]

    @classmethod
    def over(cls, values: list[float], begin: int, end: int) -> "_Axis":
        """Return an axis that holds all values with a little room."""
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or max(abs(high) * 0.1, 1.0)
        return cls(low - (room if low else 0.5 * room), high + room, begin, end)

    def place(self, value: float) -> int:
        """Return the pixel of a value."""
        return round(self._begin + (value - self._low) / (self._high - self._low) * (self._end - self._begin))


def _round_step(wanted: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, not below ``wanted``."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= wanted * 0.999)


def _axis_name(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit and unit != "1" else name


def _draw_mark(sheet: p.Page, place: tuple[int, int], text: str, box: tuple[int, int, int, int]) -> None:
    """Name a point; its value is among the measurements, which may be smoothed over the curve's points."""
    x, y = place
    sheet.pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=p.AMBER)
    style = p.Style(15, p.AMBER)
    room = min(max(box[0], x - style.width(text) // 2), box[2] - style.width(text))
    above = y - 28 if y - 28 > box[1] else y + 10
    sheet.pen.rectangle((room - 4, above - 1, room + style.width(text) + 4, above + 19), fill=p.PANEL)
    sheet.line((room, above), text, style)
