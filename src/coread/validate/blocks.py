"""What a report or document is made of, free of any format: headings, texts, facts, tables, plots, pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["main", "second", "reference", "band"]
Tone = Literal["plain", "good", "bad", "quiet"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; those of level 1 make the contents."""

    text: str
    level: int = 1
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One paragraph."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values, side by side."""

    pairs: "tuple[tuple[str, str | Cell], ...]"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; ``note`` is the smaller text beside its value (an interval)."""

    text: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``numeric`` columns are set to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its words, its range and where the marks stand."""

    label: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; ``reference`` lines are dashed and stand behind."""

    points: tuple[tuple[float, float], ...]
    role: Role = "main"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Dots:
    """Points, each with an interval along y where it has one, and a name where it is to be read."""

    points: tuple[tuple[float, float], ...]
    intervals: tuple[tuple[float, float], ...] = ()
    role: Role = "main"
    name: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars from zero: (left edge, right edge, height)."""

    bars: tuple[tuple[float, float, float], ...]
    role: Role = "main"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded interval along a curve: (x, low, high)."""

    points: tuple[tuple[float, float, float], ...]
    role: Role = "main"
    name: str = ""


Layer = Line | Dots | Bars | Band


@dataclass(frozen=True, slots=True)
class Plot:
    """One diagram, back to front."""

    title: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of a forest plot: an estimate with its interval, or the reason why there is none."""

    label: str
    note: str = ""
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    heading: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Forest:
    """Estimates under one another on one axis."""

    title: str
    axis: Axis
    rows: tuple[ForestRow, ...]
    reference: float | None = None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table of counts, rows the truth and columns the answers, shaded by the share within a row."""

    title: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Plots beside one another where there is room."""

    items: tuple[Plot | Forest | Matrix, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A small JPEG with what is to be seen on it."""

    jpeg: bytes
    caption: str
    alternative: str


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A row of pictures."""

    items: tuple[Picture, ...]


Block = Heading | Text | Facts | Table | Figures | Pictures


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document."""

    title: str
    subtitle: str
    notice: str
    blocks: tuple[Block, ...]
    footer: str = ""


def alternative(item: Plot | Forest | Matrix) -> str:
    """Return a diagram in words, with its numbers where there are few: for people who cannot see it."""
    parts = [item.title]
    if isinstance(item, Plot):
        parts.append(f"{item.y.label} against {item.x.label}")
    elif isinstance(item, Forest):
        parts += [f"{row.label}: {row.text}" if row.text else row.label for row in item.rows]
    else:
        for label, counts in zip(item.labels, item.counts, strict=True):
            answers = ", ".join(f"{count} {name}" for name, count in zip(item.labels, counts, strict=True))
            parts.append(f"{label} was called {answers}")
    return ". ".join([*parts, *([item.caption] if item.caption else [])]) + "."


def contents(document: Document) -> Sequence[Heading]:
    """Return the headings of level 1, in order."""
    return [block for block in document.blocks if isinstance(block, Heading) and block.level == 1]
