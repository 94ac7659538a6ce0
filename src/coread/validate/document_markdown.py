"""A document as Markdown, for repositories and review tools."""

from coread.validate.blocks import Block, Cell, Document, Facts, Heading, Table, Text


def markdown(document: Document) -> str:
    """Return a whole document; plots and pictures are left to the HTML."""
    parts = [f"# {document.title}", document.subtitle, f"**{document.notice}**"]
    parts += [text for text in map(_block, document.blocks) if text]
    parts += [document.footer]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * (block.level + 1)} {block.text}"
    if isinstance(block, Text):
        return _plain(block.text)
    if isinstance(block, Facts):
        pairs = ((name, value if isinstance(value, Cell) else Cell(value)) for name, value in block.pairs)
        return "\n".join(f"- {_plain(name)}: {_cell(value)}" for name, value in pairs)
    return _table(block) if isinstance(block, Table) else ""


def _table(table: Table) -> str:
    head = f"| {' | '.join(_plain(name) for name in table.columns)} |"
    rule = "|" + "|".join("---:" if place in table.numeric else "---" for place in range(len(table.columns))) + "|"
    rows = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in table.rows]
    caption = [f"\n{_plain(table.caption)}"] if table.caption else []
    return "\n".join([head, rule, *rows, *caption])


def _cell(cell: Cell) -> str:
    return _plain(f"{cell.text} ({cell.note})" if cell.note else cell.text)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
