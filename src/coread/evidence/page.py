"""Drawing one page of text with Pillow and its embedded font: no system fonts, the same pixels everywhere."""

from dataclasses import dataclass, field
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

BACKGROUND: Colour = (14, 17, 22)
PANEL: Colour = (22, 27, 34)
LINE: Colour = (44, 52, 63)
TEXT: Colour = (232, 236, 241)
MUTED: Colour = (146, 156, 170)
AMBER: Colour = (255, 179, 64)
GREEN: Colour = (111, 200, 160)
BLUE: Colour = (126, 176, 255)
OUTLINES: tuple[Colour, ...] = (
    *(BLUE, (255, 138, 101), (129, 212, 134), (206, 147, 255), (255, 213, 79)),
    *((77, 208, 225), (244, 143, 177), (188, 170, 164)),
)
"""Colours of outlined regions, in the order of the result; they begin again after the last."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's embedded scalable font."""
    loaded = ImageFont.load_default(size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: install a Pillow wheel")
    return loaded


@dataclass(frozen=True, slots=True)
class Style:
    """How a line of text looks; ``bold`` is drawn as a thin stroke."""

    size: int
    colour: Colour = TEXT
    bold: bool = False

    def width(self, text: str) -> int:
        """Return the width of a text in pixels."""
        return round(font(self.size).getlength(text)) + int(self.bold)

    @property
    def leading(self) -> int:
        """Height of one line with its space below."""
        return round(self.size * 1.42)


TITLE = Style(40, bold=True)
HEADLINE = Style(28, bold=True)
HEADING = Style(17, MUTED)
BODY = Style(22)
SMALL = Style(17, MUTED)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A canvas and the pen that draws on it."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    texts: list[tuple[int, int, int, str]] = field(default_factory=list)
    """Left, top, size and words of every line that was drawn: what the picture says, for those who cannot see it."""

    def line(self, at: tuple[int, int], text: str, style: Style) -> int:
        """Draw one line with its top left corner at ``at``; return the y of the next line."""
        x, y = at
        stroke = 0.4 if style.bold else 0
        self.pen.text((x, y), text, font=font(style.size), fill=style.colour, stroke_width=stroke)
        self.texts.append((x, y, style.size, text))
        return y + style.leading

    def lines(self, at: tuple[int, int], text: str, style: Style, width: int) -> int:
        """Draw a text wrapped to ``width``; return the y below it."""
        x, y = at
        for row in wrapped(text, style, width):
            y = self.line((x, y), row, style)
        return y

    def right(self, at: tuple[int, int], text: str, style: Style) -> None:
        """Draw one line that ends at ``at``."""
        self.line((at[0] - style.width(text), at[1]), text, style)

    def pill(self, right_top: tuple[int, int], text: str, colour: Colour, *, filled: bool = False) -> None:
        """Draw a rounded label whose right edge is at ``right_top``."""
        style = Style(16, BACKGROUND if filled else colour, bold=True)
        text = text.replace(" ", "  ")  # capitals in bold need wider spaces
        right, top = right_top
        left = right - style.width(text) - 26
        self.pen.rounded_rectangle(
            (left, top, right, top + 32), radius=16, outline=colour, width=2, fill=colour if filled else None
        )
        self.line((left + 13, top + 6), text, style)

    def cut(self, height: int) -> "Page":
        """Return the upper part of the page."""
        image = self.image.crop((0, 0, self.image.size[0], height))
        return Page(image, ImageDraw.Draw(image), self.texts)

    def rule(self, left: int, right: int, y: int) -> None:
        """Draw a thin horizontal line."""
        self.pen.line((left, y, right, y), fill=LINE, width=1)


def new_page(width: int, height: int) -> Page:
    """Return an empty dark page."""
    image = Image.new("RGB", (width, height), BACKGROUND)
    return Page(image, ImageDraw.Draw(image))


def wrapped(text: str, style: Style, width: int) -> list[str]:
    """Break a text into lines that fit; a word longer than a line is cut."""
    rows: list[str] = []
    row = ""
    for word in _short_words(text, style, width):
        longer = f"{row} {word}".strip()
        if row and style.width(longer) > width:
            rows.append(row)
            row = word
        else:
            row = longer
    return [*rows, row] if row else rows


def _short_words(text: str, style: Style, width: int) -> list[str]:
    words: list[str] = []
    for word in text.split():
        rest = word
        while style.width(rest) > width and len(rest) > 1:
            size = max(1, int(len(rest) * width / style.width(rest)) - 1)
            words.append(rest[:size])
            rest = rest[size:]
        words.append(rest)
    return words
