"""Diagrams as inline SVG whose colours come from the page: they follow its light or dark dress and print well."""

from collections.abc import Sequence
from html import escape

from coread.validate.blocks import Axis, Band, Bars, Dots, Forest, Layer, Line, Matrix, Plot, alternative

WIDTH, HEIGHT = 340, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 12, 44
_FOREST_WIDTH, _ROW = 720, 22
_LABELS, _TEXTS = 250, 190


def plot_svg(item: Plot | Forest | Matrix) -> str:
    """Return one diagram as an SVG element that says in words what it shows."""
    if isinstance(item, Forest):
        return _forest(item)
    if isinstance(item, Matrix):
        return _matrix(item)
    return _plot(item)


def tick_text(value: float) -> str:
    """Return the words of an axis mark."""
    return f"{value:g}".replace("-", "\u2212")


def shortened(text: str, most: int = 34) -> str:
    """Return a reason that fits beside a forest plot; the table below it has the whole sentence."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


class _Frame:
    """Where values lie on the picture."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        share = (value - self._x.low) / (self._x.high - self._x.low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 2)

    def y(self, value: float) -> float:
        share = (value - self._y.low) / (self._y.high - self._y.low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 2)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + " L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)


def _open(kind: str, item: Plot | Forest | Matrix, width: int, height: int) -> str:
    return (
        f'<svg class="plot {kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alternative(item))}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(item.title)}</title>'
    )


def _text(x: float, y: float, text: str, css: str, extra: str = "") -> str:
    return f'<text class="{css}" x="{x}" y="{y}"{extra}>{escape(text)}</text>'


def _plot(item: Plot) -> str:
    frame = _Frame(item.x, item.y)
    parts = [_open("diagram", item, WIDTH, HEIGHT), *_grid(item, frame)]
    for layer in item.layers:
        if isinstance(layer, Line):
            if len(layer.points) > 1:
                parts.append(f'<path class="line {layer.role}" d="{frame.path(layer.points)}"/>')
        elif isinstance(layer, Bars):
            parts += _bars(layer, frame)
        elif isinstance(layer, Band):
            edge = [(x, low) for x, low, _ in layer.points] + [(x, high) for x, _, high in reversed(layer.points)]
            parts.append(f'<path class="band {layer.role}" d="{frame.path(edge)} Z"/>')
        else:
            parts += _dots(layer, frame)
    parts += _legend([layer for layer in item.layers if layer.name])
    return "".join(parts) + "</svg>"


def _grid(item: Plot, frame: _Frame) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in item.x.ticks:
        x = frame.x(value)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 16, tick_text(value), "tick middle"))
    for value in item.y.ticks:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}"/>')
        parts.append(_text(_LEFT - 7, y + 3.5, tick_text(value), "tick end"))
    middle = (_TOP + bottom) / 2
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 8, item.x.label, "axis middle"))
    parts.append(_text(12, middle, item.y.label, "axis middle", f' transform="rotate(-90 12 {middle})"'))
    return parts


def _bars(layer: Bars, frame: _Frame) -> list[str]:
    base = frame.y(0.0)
    parts = []
    for left, right, height in layer.bars:
        if height > 0:
            x, y = frame.x(left), frame.y(height)
            width = round(frame.x(right) - x - 0.6, 2)
            parts.append(
                f'<rect class="bar {layer.role}" x="{x}" y="{y}" width="{width}" height="{round(base - y, 2)}"/>'
            )
    return parts


def _dots(layer: Dots, frame: _Frame) -> list[str]:
    parts = []
    for number, (x, y) in enumerate(layer.points):
        if number < len(layer.intervals):
            low, high = layer.intervals[number]
            parts.append(
                f'<line class="whisker {layer.role}" x1="{frame.x(x)}" x2="{frame.x(x)}" '
                f'y1="{frame.y(low)}" y2="{frame.y(high)}"/>'
            )
        size = 2.2 if len(layer.points) > 60 else 3.6
        parts.append(f'<circle class="dot {layer.role}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="{size}"/>')
        if number < len(layer.labels):
            late = frame.x(x) > 0.7 * WIDTH
            place = frame.x(x) - 7 if late else frame.x(x) + 7
            parts.append(_text(place, frame.y(y) + 13, layer.labels[number], "label end" if late else "label"))
    return parts


def _legend(layers: Sequence[Layer]) -> list[str]:
    if len(layers) < 2:
        return []
    parts = []
    for number, layer in enumerate(layers):
        y = _TOP + 12 + 16 * number
        x = WIDTH - _RIGHT - 104
        if isinstance(layer, Line):
            parts.append(f'<path class="line {layer.role}" d="M{x - 14} {y - 3} L{x + 10} {y - 3}"/>')
        else:
            parts.append(f'<rect class="bar {layer.role}" x="{x}" y="{y - 8}" width="10" height="10"/>')
        parts.append(_text(x + 15, y + 1, layer.name, "label"))
    return parts


def _forest(item: Forest) -> str:
    height = _ROW * (len(item.rows) + 1) + 46
    left, right = _LABELS, _FOREST_WIDTH - _TEXTS
    bottom = height - 46

    def place(value: float) -> float:
        share = (min(max(value, item.axis.low), item.axis.high) - item.axis.low) / (item.axis.high - item.axis.low)
        return round(left + share * (right - left), 2)

    parts = [_open("forest", item, _FOREST_WIDTH, height)]
    parts.append(_text((left + right) / 2, height - 8, item.axis.label, "axis middle"))
    for value in item.axis.ticks:
        x = place(value)
        parts.append(f'<line class="grid" x1="{x}" y1="8" x2="{x}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 16, tick_text(round(value, 2)), "tick middle"))
    if item.reference is not None:
        x = place(item.reference)
        parts.append(f'<line class="line reference" x1="{x}" y1="8" x2="{x}" y2="{bottom}"/>')
    for number, row in enumerate(item.rows):
        y = 24 + _ROW * number
        if row.heading:
            parts.append(_text(0, y + 4, row.label, "strong"))
            parts.append(_text(right + 14, y + 4, row.note, "label"))
            continue
        parts.append(_text(12, y + 4, row.label, "name"))
        parts.append(_text(left - 12, y + 4, row.note, "label end"))
        parts.append(_text(right + 14, y + 4, shortened(row.text), "name" if row.value is not None else "label"))
        if row.value is not None:
            parts.append(f'<line class="whisker main" x1="{place(row.low)}" x2="{place(row.high)}" y1="{y}" y2="{y}"/>')
            parts.append(f'<rect class="bar main" x="{place(row.value) - 4}" y="{y - 4}" width="8" height="8"/>')
    return "".join(parts) + "</svg>"


def _matrix(item: Matrix) -> str:
    count = len(item.labels)
    cell, left, top = 64, 130, 30
    width, height = left + cell * count + 8, top + cell * count + 8
    parts = [_open("matrix", item, width, height)]
    for column, label in enumerate(item.labels):
        parts.append(_text(left + cell * (column + 0.5), top - 10, label[:12], "tick middle"))
    for row, label in enumerate(item.labels):
        middle = top + cell * (row + 0.5)
        parts.append(_text(left - 10, middle + 4, label[:20], "tick end"))
        total = sum(item.counts[row]) or 1
        for column, value in enumerate(item.counts[row]):
            x, y = left + cell * column, top + cell * row
            role = "main" if row == column else "second"
            shade = round(value / total, 3)
            square = f'x="{x}" y="{y}" width="{cell - 3}" height="{cell - 3}"'
            parts.append(f'<rect class="grid-cell" {square}/>')
            parts.append(f'<rect class="bar {role}" fill-opacity="{shade}" {square}/>')
            css = "cell-text light" if shade > 0.6 else "cell-text"
            parts.append(_text(x + (cell - 3) / 2, middle + 2, str(value), css))
    return "".join(parts) + "</svg>"
