"""A document as one HTML file that needs nothing else: calm, readable on a phone, in the dark, and on paper."""

import base64
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from coread.validate.blocks import (
    Block,
    Cell,
    Document,
    Facts,
    Figures,
    Forest,
    Heading,
    Matrix,
    Picture,
    Pictures,
    Plot,
    Table,
    Text,
    contents,
)
from coread.validate.plain import Plain
from coread.validate.plot_svg import plot_svg
from coread.validate.report_content import report_of
from coread.validate.report_style import STYLE

HTML_FILE = "report.html"


def write_html(path: Path, report: Plain, pictures: Sequence[tuple[Plain, Picture]] = ()) -> None:
    """Write the report of a validation."""
    write_page(path, report_of(report, pictures))


def write_page(path: Path, document: Document) -> None:
    """Write any document beside its place and rename it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(page(document), encoding="utf-8")
    beside.replace(path)


def page(document: Document) -> str:
    """Return a whole HTML page."""
    links = "".join(f'<a href="#{escape(item.anchor)}">{escape(item.text)}</a>' for item in contents(document))
    body = "\n".join(_section(part) for part in _sections(document.blocks))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}: {escape(document.subtitle)}</title><style>{STYLE}</style></head>\n"
        f'<body><header><p class="notice">{escape(document.notice)}</p><h1>{escape(document.title)}</h1>'
        f'<p class="subtitle">{escape(document.subtitle)}</p><nav>{links}</nav></header>\n<main>{body}</main>\n'
        f"<footer>{escape(document.footer)}</footer></body></html>\n"
    )


def _sections(blocks: Sequence[Block]) -> list[list[Block]]:
    """Split at the headings of level 1."""
    parts: list[list[Block]] = [[]]
    for block in blocks:
        if isinstance(block, Heading) and block.level == 1 and parts[-1]:
            parts.append([])
        parts[-1].append(block)
    return parts


def _section(blocks: Sequence[Block]) -> str:
    return "<section>" + "\n".join(_block(block) for block in blocks) + "</section>"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        anchor = f' id="{escape(block.anchor)}"' if block.anchor else ""
        return f"<h{block.level + 1}{anchor}>{escape(block.text)}</h{block.level + 1}>"
    if isinstance(block, Text):
        return f'<p class="{block.tone}">{escape(block.text)}</p>'
    if isinstance(block, Facts):
        return "<dl>" + "".join(_fact(name, value) for name, value in block.pairs) + "</dl>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figures):
        return '<div class="figures">' + "".join(_figure(item) for item in block.items) + "</div>"
    return '<div class="pictures">' + "".join(_picture(item) for item in block.items) + "</div>"


def _fact(name: str, value: str | Cell) -> str:
    cell = value if isinstance(value, Cell) else Cell(value)
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f"<div><dt>{escape(name)}</dt><dd>{escape(cell.text)}{note}</dd></div>"


def _table(table: Table) -> str:
    plain = not any(table.columns)
    head = "".join(
        f'<th{_number_class(place, table)} scope="col">{escape(name)}</th>' for place, name in enumerate(table.columns)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(cell, place, table) for place, cell in enumerate(row)) + "</tr>" for row in table.rows
    )
    caption = f"<p class='caption'>{escape(table.caption)}</p>" if table.caption else ""
    top = "" if plain else f"<thead><tr>{head}</tr></thead>"
    css = ' class="pairs"' if plain else ' class="narrow"' if len(table.columns) <= 3 else ""
    return f'<div class="scroll"><table{css}>{top}<tbody>{rows}</tbody></table></div>{caption}'


def _cell(cell: Cell, place: int, table: Table) -> str:
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    css = [
        name for name in ("number" if place in table.numeric else "", cell.tone if cell.tone != "plain" else "") if name
    ]
    attribute = f' class="{" ".join(css)}"' if css else ""
    return f"<td{attribute}>{escape(cell.text)}{' ' + note if note else ''}</td>"


def _number_class(place: int, table: Table) -> str:
    return ' class="number"' if place in table.numeric else ""


def _figure(item: Plot | Forest | Matrix) -> str:
    wide = ' class="wide"' if isinstance(item, Forest) else ""
    caption = f"<figcaption>{escape(item.caption)}</figcaption>" if item.caption else ""
    return f"<figure{wide}><b>{escape(item.title)}</b>{plot_svg(item)}{caption}</figure>"


def _picture(item: Picture) -> str:
    data = base64.b64encode(item.jpeg).decode("ascii")
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{escape(item.alternative)}">'
        f"<figcaption>{escape(item.caption)}</figcaption></figure>"
    )


__all__ = ["HTML_FILE", "Pictures", "page", "write_html", "write_page"]
