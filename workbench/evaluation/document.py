"""A report as plain data, and its three forms: a page, sheets of paper, Markdown.

Whoever makes a report says once what it holds; nothing can stand in the page that is missing on paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.evaluation.pdf import Pages
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.plots import Drawing, svg


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        head: of the columns.
        rows: one cell for each column.
        shaded: numbers of rows to mark.
        shares: of the width for each column, summing to 1; equal where not given.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shaded: frozenset[int] = frozenset()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A section, in this order.

    Attributes:
        heading: its name.
        texts: paragraphs.
        facts: names and values.
        points: statements.
        drawings: captions and plots; not in Markdown, which has the table beside them.
        grid: a table, or None.
        remark: small print, or empty.
    """

    heading: str
    texts: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    drawings: tuple[tuple[str, Drawing], ...] = ()
    grid: Grid | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A report.

    Attributes:
        title: its name.
        made: when and by what, in words.
        sections: in order.
    """

    title: str
    made: str
    sections: tuple[Section, ...]


def as_html(document: Document) -> str:
    """One file that asks for nothing from outside, and prints."""
    environment = Environment(
        loader=PackageLoader("workbench.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    page: str = environment.get_template("document.html").render(document=document, notice=NOTICE, svg=svg)
    return page


def as_pdf(document: Document) -> bytes:
    """A4 with the notice on each page."""
    pages = Pages(document.title, document.made)
    for section in document.sections:
        pages.heading(section.heading)
        for text in section.texts:
            pages.text(text)
        pages.facts(section.facts)
        pages.points(section.points)
        pages.pictures(section.drawings)
        if section.grid is not None:
            grid = section.grid
            pages.table(grid.head, grid.rows, sorted(grid.shaded), grid.shares)
        if section.remark:
            pages.text(section.remark, soft=True)
    return pages.pdf()


def as_markdown(document: Document) -> str:
    """Text with tables; what people typed cannot become markup or a link."""
    parts = [f"# {_md(document.title)}", _md(document.made), f"**{NOTICE}**"]
    for section in document.sections:
        parts.append(f"## {_md(section.heading)}")
        parts += [_md(text) for text in section.texts]
        if section.facts:
            parts.append(_md_table(("", ""), section.facts))
        if section.points:
            parts.append("\n".join(f"- {_md(point)}" for point in section.points))
        if section.grid is not None:
            parts.append(_md_table(section.grid.head, section.grid.rows))
        if section.remark:
            parts.append(_md(section.remark))
    return "\n\n".join([*parts, f"**{NOTICE}**"]) + "\n"


def _md_table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    lines = [head, ("---",) * len(head)]
    text = [" | ".join(map(_md, lines[0])), " | ".join(lines[1])]
    return "\n".join(f"| {line} |" for line in [*text, *(" | ".join(map(_md, row)) for row in rows)])


def _md(text: str) -> str:
    """Text as itself: with a backslash before what Markdown or HTML would take for markup."""
    return re.sub(r"([\\`*_\[\]<>|#~!&])", r"\\\1", " ".join(text.split()))
