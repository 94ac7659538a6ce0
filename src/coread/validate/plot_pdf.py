"""Diagrams for paper: the same plots drawn with reportlab's shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.validate.blocks import Band, Bars, Forest, Layer, Line, Matrix, Plot
from coread.validate.plot_svg import shortened, tick_text

_INK = {
    "ink": "#1c2529", "quiet": "#5d6b72", "rule": "#dde3e6", "soft": "#f4f6f7", "main": "#1f6f8b",
    "second": "#b8651b", "good": "#2b7a4b", "bad": "#b3372f", "reference": "#8a969b", "page": "#ffffff",
}  # fmt: skip
_HEIGHT = 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 30.0, 6.0, 6.0, 26.0
_ROW = 12.5
_DASHES = {"reference": [2, 2], "second": [5, 2]}
"""Lines are told apart on grey paper, too."""
_FONT_FOLDERS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/dejavu", "/Library/Fonts", "C:/Windows/Fonts")


class _Colours(dict[str, Any]):
    """Colours by role, made when reportlab is there."""

    def __missing__(self, name: str) -> Any:
        from reportlab.lib.colors import HexColor

        self[name] = HexColor(_INK[name])
        return self[name]


COLOURS = _Colours()


@dataclass(frozen=True, slots=True)
class Fonts:
    """Names of the fonts in use."""

    plain: str
    bold: str


def fonts_of() -> Fonts:
    """Return DejaVu Sans where it is installed, which knows every sign that we set; else Helvetica."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for folder in (*_FONT_FOLDERS, *_matplotlib_fonts()):
        plain, bold = Path(folder) / "DejaVuSans.ttf", Path(folder) / "DejaVuSans-Bold.ttf"
        if plain.is_file() and bold.is_file():
            pdfmetrics.registerFont(TTFont("CoreadSans", str(plain)))
            pdfmetrics.registerFont(TTFont("CoreadSans-Bold", str(bold)))
            pdfmetrics.registerFontFamily(
                "CoreadSans", "CoreadSans", "CoreadSans-Bold", "CoreadSans", "CoreadSans-Bold"
            )
            return Fonts("CoreadSans", "CoreadSans-Bold")
    return Fonts("Helvetica", "Helvetica-Bold")


def _matplotlib_fonts() -> tuple[str, ...]:
    """matplotlib, also of the extra ``validate``, brings these fonts with it."""
    import importlib.util

    spec = importlib.util.find_spec("matplotlib")
    places = spec.submodule_search_locations if spec is not None else None
    return tuple(str(Path(place) / "mpl-data" / "fonts" / "ttf") for place in places or ())


def drawing_of(item: Plot | Forest | Matrix, fonts: Fonts, room: float) -> tuple[Any, bool]:
    """Return a drawing, and whether it takes the whole width."""
    if isinstance(item, Forest):
        return _forest(item, fonts, room), True
    if isinstance(item, Matrix):
        return _matrix(item, fonts, room / 3 - 6), False
    return _plot(item, fonts, room / 3 - 6), False


class _Pen:
    """Draws on one drawing."""

    def __init__(self, width: float, height: float, fonts: Fonts) -> None:
        from reportlab.graphics.shapes import Drawing

        self.drawing = Drawing(width, height)
        self._fonts = fonts

    def text(self, x: float, y: float, text: str, *, role: str = "quiet", anchor: str = "start", bold: bool = False,
             size: float = 6.0) -> None:  # fmt: skip
        from reportlab.graphics.shapes import String

        font = self._fonts.bold if bold else self._fonts.plain
        self.drawing.add(String(x, y, text, fontName=font, fontSize=size, fillColor=COLOURS[role], textAnchor=anchor))

    def upright(self, x: float, y: float, text: str) -> None:
        from reportlab.graphics.shapes import Group, String

        word = String(0, 0, text, fontName=self._fonts.plain, fontSize=6, fillColor=COLOURS["ink"], textAnchor="middle")
        group = Group(word)
        group.translate(x, y)
        group.rotate(90)
        self.drawing.add(group)

    def line(self, x0: float, y0: float, x1: float, y1: float, role: str, width: float = 0.5) -> None:
        from reportlab.graphics.shapes import Line as Stroke

        dash = _DASHES.get(role)
        self.drawing.add(Stroke(x0, y0, x1, y1, strokeColor=COLOURS[role], strokeWidth=width, strokeDashArray=dash))

    def path(self, points: list[tuple[float, float]], role: str) -> None:
        from reportlab.graphics.shapes import PolyLine

        flat = [value for point in points for value in point]
        dash = _DASHES.get(role)
        width = 0.7 if role == "reference" else 1.2
        self.drawing.add(PolyLine(flat, strokeColor=COLOURS[role], strokeWidth=width, strokeDashArray=dash))

    def area(self, points: list[tuple[float, float]], role: str) -> None:
        from reportlab.graphics.shapes import Polygon

        flat = [value for point in points for value in point]
        self.drawing.add(Polygon(flat, fillColor=COLOURS[role], fillOpacity=0.16, strokeColor=None))

    def dot(self, x: float, y: float, size: float, role: str) -> None:
        from reportlab.graphics.shapes import Circle

        self.drawing.add(Circle(x, y, size, fillColor=COLOURS[role], strokeColor=None))

    def rectangle(self, x: float, y: float, width: float, height: float, role: str, shade: float = 1.0) -> None:
        from reportlab.graphics.shapes import Rect

        self.drawing.add(Rect(x, y, width, height, fillColor=COLOURS[role], fillOpacity=shade, strokeColor=None))


def _plot(item: Plot, fonts: Fonts, width: float) -> Any:
    pen = _Pen(width, _HEIGHT, fonts)

    def x(value: float) -> float:
        return _LEFT + (value - item.x.low) / (item.x.high - item.x.low) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _BOTTOM + (value - item.y.low) / (item.y.high - item.y.low) * (_HEIGHT - _TOP - _BOTTOM)

    for value in item.x.ticks:
        pen.line(x(value), _BOTTOM, x(value), _HEIGHT - _TOP, "rule")
        pen.text(x(value), _BOTTOM - 9, tick_text(value), anchor="middle")
    for value in item.y.ticks:
        pen.line(_LEFT, y(value), width - _RIGHT, y(value), "rule")
        pen.text(_LEFT - 3, y(value) - 2, tick_text(value), anchor="end")
    pen.text((_LEFT + width - _RIGHT) / 2, 4, item.x.label, role="ink", anchor="middle")
    pen.upright(7, (_BOTTOM + _HEIGHT - _TOP) / 2, item.y.label)
    for layer in item.layers:
        _layer(pen, layer, x, y)
    named = [layer for layer in item.layers if layer.name]
    for number, layer in enumerate(named if len(named) > 1 else []):
        top = _HEIGHT - _TOP - 8 - 9 * number
        if isinstance(layer, Line):
            pen.path([(width - 60, top + 2.5), (width - 47, top + 2.5)], layer.role)
        else:
            pen.rectangle(width - 52, top, 5, 5, layer.role, 0.5 if layer.role == "second" else 1.0)
        pen.text(width - 45, top, layer.name)
    return pen.drawing


def _layer(pen: _Pen, layer: Layer, x: Callable[[float], float], y: Callable[[float], float]) -> None:
    if isinstance(layer, Line):
        if len(layer.points) > 1:
            pen.path([(x(a), y(b)) for a, b in layer.points], layer.role)
        return
    if isinstance(layer, Bars):
        shade = 0.5 if layer.role == "second" else 1.0
        for left, right, height in layer.bars:
            if height > 0:
                pen.rectangle(x(left), y(0), x(right) - x(left) - 0.2, y(height) - y(0), layer.role, shade)
        return
    if isinstance(layer, Band):
        edge = [(x(a), y(low)) for a, low, _ in layer.points] + [(x(a), y(up)) for a, _, up in reversed(layer.points)]
        pen.area(edge, layer.role)
        return
    for number, (a, b) in enumerate(layer.points):
        if number < len(layer.intervals):
            low, high = layer.intervals[number]
            pen.line(x(a), y(low), x(a), y(high), layer.role, 0.8)
        pen.dot(x(a), y(b), 1.0 if len(layer.points) > 60 else 1.8, layer.role)
        if number < len(layer.labels):
            late = x(a) > 0.7 * pen.drawing.width
            anchor = "end" if late else "start"
            pen.text(x(a) - 3.5 if late else x(a) + 3.5, y(b) - 7, layer.labels[number], anchor=anchor)


def _forest(item: Forest, fonts: Fonts, width: float) -> Any:
    height = _ROW * (len(item.rows) + 1) + 26
    pen = _Pen(width, height, fonts)
    left, right = 0.40 * width, 0.72 * width

    def x(value: float) -> float:
        inside = min(max(value, item.axis.low), item.axis.high)
        return left + (inside - item.axis.low) / (item.axis.high - item.axis.low) * (right - left)

    for value in item.axis.ticks:
        pen.line(x(value), 24, x(value), height - 4, "rule")
        pen.text(x(value), 15, tick_text(round(value, 2)), anchor="middle")
    pen.text((left + right) / 2, 4, item.axis.label, role="ink", anchor="middle")
    if item.reference is not None:
        pen.line(x(item.reference), 24, x(item.reference), height - 4, "reference")
    for number, row in enumerate(item.rows):
        middle = height - 12 - _ROW * number
        if row.heading:
            pen.text(0, middle - 2, row.label, role="ink", bold=True, size=7)
            pen.text(right + 8, middle - 2, row.note)
            continue
        pen.text(8, middle - 2, row.label, role="ink", size=7)
        pen.text(left - 6, middle - 2, row.note, anchor="end")
        pen.text(right + 8, middle - 2, shortened(row.text), role="ink" if row.value is not None else "quiet", size=7)
        if row.value is not None:
            pen.line(x(row.low), middle, x(row.high), middle, "main", 0.9)
            pen.rectangle(x(row.value) - 2.2, middle - 2.2, 4.4, 4.4, "main")
    return pen.drawing


def _matrix(item: Matrix, fonts: Fonts, width: float) -> Any:
    count = len(item.labels)
    left = 52.0
    cell = min(34.0, (width - left) / count)
    height = cell * count + 14
    pen = _Pen(width, height, fonts)
    for place, label in enumerate(item.labels):
        pen.text(left + cell * (place + 0.5), height - 8, label[:10], anchor="middle", size=5.5)
        pen.text(left - 4, height - 14 - cell * (place + 0.5) - 2, label[:16], anchor="end", size=5.5)
    for row, counts in enumerate(item.counts):
        total = sum(counts) or 1
        for column, value in enumerate(counts):
            x, y = left + cell * column, height - 14 - cell * (row + 1)
            pen.rectangle(x, y, cell - 1.5, cell - 1.5, "soft")
            pen.rectangle(x, y, cell - 1.5, cell - 1.5, "main" if row == column else "second", value / total)
            role = "page" if value / total > 0.6 else "ink"
            pen.text(x + cell / 2 - 0.7, y + cell / 2 - 3, str(value), role=role, anchor="middle", size=7)
    return pen.drawing
