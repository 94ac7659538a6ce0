"""The same document on paper: A4, set with reportlab, so that no browser is needed."""

import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from coread.validate.blocks import (
    Block,
    Cell,
    Document,
    Facts,
    Figures,
    Heading,
    Picture,
    Pictures,
    Table,
    Text,
    contents,
)
from coread.validate.errors import MissingExtra
from coread.validate.plain import Plain
from coread.validate.plot_pdf import COLOURS, Fonts, drawing_of, fonts_of
from coread.validate.report_content import report_of

PDF_FILE = "report.pdf"
_MM = 72 / 25.4
_MARGIN, _WIDTH, _HEIGHT = 16 * _MM, 210 * _MM, 297 * _MM
_INSET = 6.0
"""What reportlab leaves free inside a frame."""
_FEW_HEADINGS = 4
"""A paper with no more than so many sections has no contents."""
_ROOM = _WIDTH - 2 * _MARGIN - 2 * _INSET


def write_pdf(path: Path, report: Plain, pictures: Sequence[tuple[Plain, Picture]] = ()) -> None:
    """Write the report of a validation."""
    write_paper(path, report_of(report, pictures))


def write_paper(path: Path, document: Document) -> None:
    """Write any document as PDF, beside its place and then renamed."""
    try:
        from reportlab.platypus import SimpleDocTemplate
    except ImportError as problem:
        raise MissingExtra("reportlab") from problem

    class Paper(SimpleDocTemplate):  # type: ignore[misc]  # reportlab has no types
        """Tells the contents and the outline of the file on which page each heading stands."""

        def afterFlowable(self, flowable: Any) -> None:  # noqa: N802  # reportlab's name
            heading = getattr(flowable, "heading", None)
            if heading is None:
                return
            level, text, key = heading
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(text, key, level=level, closed=level == 0)
            if level == 0:
                self.notify("TOCEntry", (0, escape(text), self.page, key))

    setter = _Setter(fonts_of())
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    paper = Paper(
        str(beside), pagesize=(_WIDTH, _HEIGHT), leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN,
        bottomMargin=18 * _MM, title=f"{document.title}: {document.subtitle}", author="Coread", invariant=1,
    )  # fmt: skip
    story = setter.opening(document) + [item for block in document.blocks for item in setter.block(block)]

    def foot(canvas: Any, _: Any) -> None:
        canvas.setFont(setter.fonts.plain, 7.5)
        canvas.setFillColor(COLOURS["quiet"])
        canvas.drawString(_MARGIN + _INSET, 10 * _MM, document.footer)
        canvas.drawRightString(_WIDTH - _MARGIN - _INSET, 10 * _MM, str(canvas.getPageNumber()))

    paper.multiBuild(story, onFirstPage=foot, onLaterPages=foot)
    beside.replace(path)


class _Setter:
    """Turns blocks into what reportlab sets."""

    def __init__(self, fonts: Fonts) -> None:
        from reportlab.lib.styles import ParagraphStyle

        self.fonts = fonts
        self._headings, self._begun = 0, False

        def style(name: str, size: float, **more: Any) -> ParagraphStyle:
            values = {"fontName": fonts.plain, "fontSize": size, "leading": size * 1.4, "textColor": COLOURS["ink"]}
            return ParagraphStyle(name, **values | more)

        bold = {"fontName": fonts.bold}
        self.styles = {
            "title": style("title", 18, **bold),
            "subtitle": style("subtitle", 11, textColor=COLOURS["quiet"], spaceAfter=6),
            "h1": style("h1", 13, spaceBefore=14, spaceAfter=5, keepWithNext=1, **bold),
            "h2": style("h2", 10.5, spaceBefore=9, spaceAfter=3, keepWithNext=1, **bold),
            "plain": style("plain", 9, spaceAfter=3),
            "quiet": style("quiet", 8, textColor=COLOURS["quiet"], spaceAfter=3),
            "good": style("good", 9, textColor=COLOURS["good"], spaceAfter=3, **bold),
            "bad": style("bad", 9, textColor=COLOURS["bad"], spaceAfter=3, **bold),
            "contents": style("contents", 8, textColor=COLOURS["main"], leading=11),
            "cell": style("cell", 8),
            "number": style("number", 8, alignment=2),
            "title-small": style("title-small", 7.5, spaceAfter=2, **bold),
            "head": style("head", 7.5, textColor=COLOURS["quiet"]),
            "head-number": style("head-number", 7.5, textColor=COLOURS["quiet"], alignment=2),
        }

    def opening(self, document: Document) -> list[Any]:
        """Return what stands on top of the first page."""
        top = [
            self._paragraph(document.notice, "quiet"),
            self._paragraph(document.title, "title"),
            self._paragraph(document.subtitle, "subtitle"),
        ]
        return [*top, self._contents()] if len(contents(document)) > _FEW_HEADINGS else top

    def _contents(self) -> Any:
        from reportlab.platypus.tableofcontents import TableOfContents

        return TableOfContents(levelStyles=[self.styles["contents"]], dotsMinLevel=0)

    def block(self, block: Block) -> list[Any]:
        """Return one block."""
        if isinstance(block, Heading):
            return [self._heading(block)]
        if isinstance(block, Text):
            return [self._paragraph(block.text, block.tone)]
        if isinstance(block, Facts):
            return self._facts(block)
        if isinstance(block, Table):
            return self._table(block)
        if isinstance(block, Figures):
            return self._figures(block)
        return self._pictures(block)

    def _heading(self, block: Heading) -> Any:
        """Return a heading that knows its place in the outline; one below none stands on the first level."""
        self._headings += 1
        made = self._paragraph(block.text, f"h{min(block.level, 2)}")
        level = 1 if block.level > 1 and self._begun else 0
        self._begun = True
        made.heading = (level, block.text, f"heading-{self._headings}")
        return made

    def _paragraph(self, text: str, style: str) -> Any:
        from reportlab.platypus import Paragraph

        return Paragraph(escape(text), self.styles[style])

    def _cell(self, cell: Cell, *, numeric: bool) -> Any:
        from reportlab.platypus import Paragraph

        quiet = COLOURS["quiet"].hexval()[2:]
        tone = COLOURS[cell.tone].hexval()[2:] if cell.tone in ("good", "bad", "quiet") else ""
        text = f'<font color="#{tone}">{escape(cell.text)}</font>' if tone else escape(cell.text)
        if cell.note:
            text += f'<br/><font size="6.8" color="#{quiet}">{escape(cell.note)}</font>'
        return Paragraph(text, self.styles["number" if numeric else "cell"])

    def _facts(self, facts: Facts) -> list[Any]:
        from reportlab.platypus import Spacer
        from reportlab.platypus import Table as Grid

        each = len(facts.pairs) if len(facts.pairs) <= 6 else 4
        values = [(name, value if isinstance(value, Cell) else Cell(value)) for name, value in facts.pairs]
        cells: list[Any] = [[self._paragraph(name, "head"), self._cell(value, numeric=False)] for name, value in values]
        cells += [""] * (-len(cells) % each)
        rows = [cells[start : start + each] for start in range(0, len(cells), each)]
        style = [("BACKGROUND", (0, 0), (-1, -1), COLOURS["soft"]), ("VALIGN", (0, 0), (-1, -1), "TOP")]
        return [Grid(rows, colWidths=[_ROOM / each] * each, style=style), Spacer(1, 6)]

    def _table(self, table: Table) -> list[Any]:
        from reportlab.platypus import Spacer
        from reportlab.platypus import Table as Grid

        if not table.rows:
            return []
        named = any(table.columns)
        head = [
            self._paragraph(name, "head-number" if place in table.numeric else "head")
            for place, name in enumerate(table.columns)
        ]
        body = [
            [self._cell(cell, numeric=place in table.numeric) for place, cell in enumerate(row)] for row in table.rows
        ]
        style = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, COLOURS["rule"]), ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 6),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ]  # fmt: skip
        grid = Grid([head, *body] if named else body, colWidths=_widths(table), style=style, repeatRows=int(named))
        caption = [self._paragraph(table.caption, "quiet")] if table.caption else []
        return [grid, *caption, Spacer(1, 6)]

    def _figures(self, figures: Figures) -> list[Any]:
        from reportlab.platypus import KeepTogether, Spacer
        from reportlab.platypus import Table as Grid

        made: list[Any] = []
        row: list[Any] = []
        for item in figures.items:
            drawing, wide = drawing_of(item, self.fonts, _ROOM)
            title = self._paragraph(item.title, "title-small")
            words = [self._paragraph(item.caption, "head")] if item.caption else []
            if wide:
                made.append(KeepTogether([title, drawing, *words]) if drawing.height < 600 else drawing)
                continue
            row.append([title, drawing, *words])
            if len(row) == 3:
                made.append(Grid([row], colWidths=[_ROOM / 3] * 3, style=_TOP))
                row = []
        if row:
            row += [""] * (3 - len(row))
            made.append(Grid([row], colWidths=[_ROOM / 3] * 3, style=_TOP))
        return [*made, Spacer(1, 6)]

    def _pictures(self, pictures: Pictures) -> list[Any]:
        from reportlab.platypus import Image
        from reportlab.platypus import Table as Grid

        each = 4
        cells: list[Any] = []
        for item in pictures.items:
            image = Image(io.BytesIO(item.jpeg))
            scale = (_ROOM / each - 8) / max(image.imageWidth, image.imageHeight)
            image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
            cells.append([image, self._paragraph(item.caption, "head")])
        cells += [""] * (-len(cells) % each)
        return [
            Grid([cells[start : start + each]], colWidths=[_ROOM / each] * each, style=_TOP)
            for start in range(0, len(cells), each)
        ]


_TOP = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]


def _widths(table: Table) -> list[float]:
    """Share the room by what the columns hold, so that nothing is broken inside a number."""
    if not any(table.columns):
        return [0.24 * _ROOM, 0.76 * _ROOM]
    longest = []
    for place, name in enumerate(table.columns):
        texts = [row[place] for row in table.rows]
        words = max((len(word) for word in name.split()), default=1)
        widest = max((max(len(cell.text), 0.85 * len(cell.note)) for cell in texts), default=1)
        longest.append(min(max(widest, 1.2 * words, 0.4 * len(name), 7), 44))
    return [_ROOM * size / sum(longest) for size in longest]
