"""Pages of A4 with the research-use notice on each: what every report of the workbench in PDF is made of.

Set in DejaVu Sans, which matplotlib carries: Latin, Greek and Cyrillic names are shown as they are written;
characters it lacks (Chinese, Japanese, Korean) appear as boxes, and the HTML report has them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.plots import SIZE, Drawing, png

_FONT, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
_INK, _SOFT, _LINE = colors.HexColor("#1b2430"), colors.HexColor("#5a6675"), colors.HexColor("#d7dde4")
_WARN, _MISS = colors.HexColor("#fff4d6"), colors.HexColor("#fdeceb")
_MARGIN = 18 * mm
WIDTH = A4[0] - 2 * _MARGIN
"""Points between the margins."""
MAKER = "Few-shot diagnosis workbench"


class Pages:
    """Collects what a document says, from top to bottom.

    Args:
        title: of the document; on every page, with the notice and the page's number.
        made: when it was made, in words.
    """

    def __init__(self, title: str, made: str) -> None:
        _fonts()
        self._title = title
        self._story: list[Flowable] = []
        self._add(title, "title")
        self._add(made, "soft")

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._add(text, "heading")

    def text(self, text: str, soft: bool = False) -> None:
        """A paragraph."""
        self._add(text, "soft" if soft else "text")

    def points(self, texts: Sequence[str]) -> None:
        """A list of statements."""
        for text in texts:
            self._story.append(Paragraph(escape(text), _STYLES["point"], bulletText="•"))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values, one pair a line."""
        self._table([[_cell(name, bold=True), _cell(value)] for name, value in rows], (0.3, 0.7), head=0)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        shaded: Sequence[int] = (),
        shares: Sequence[float] = (),
    ) -> None:
        """A table that goes on over pages, its head repeated.

        Args:
            head: of the columns.
            rows: one cell for each.
            shaded: numbers of rows to mark.
            shares: of the width for each column, summing to 1; equal where not given.
        """
        cells = [[_cell(text, bold=True) for text in head], *([_cell(text) for text in row] for row in rows)]
        self._table(cells, shares or [1 / len(head)] * len(head), head=1, shaded=[row + 1 for row in shaded])

    def pictures(self, drawn: Sequence[tuple[str, Drawing]]) -> None:
        """Plots, two beside each other, with their captions."""
        width = WIDTH / 2 - 4
        height = width * SIZE[1] / SIZE[0]
        for first in range(0, len(drawn), 2):
            pair = drawn[first : first + 2]
            images: list[object] = [Image(io.BytesIO(png(draw)), width, height) for _, draw in pair]
            captions: list[object] = [_cell(caption) for caption, _ in pair]
            blank: list[object] = [""] * (2 - len(pair))
            grid = Table([images + blank, captions + blank], colWidths=[WIDTH / 2] * 2)
            grid.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("NOSPLIT", (0, 0), (-1, -1))]))
            self._story.append(grid)

    def pdf(self) -> bytes:
        """The document."""
        out = io.BytesIO()
        document = SimpleDocTemplate(
            out,
            pagesize=A4,
            leftMargin=_MARGIN,
            rightMargin=_MARGIN,
            topMargin=24 * mm,
            bottomMargin=20 * mm,
            title=self._title,
            author=MAKER,
            creator=MAKER,
            lang="en",
        )
        document.build(self._story, onFirstPage=self._around, onLaterPages=self._around)
        return out.getvalue()

    def _add(self, text: str, style: str) -> None:
        self._story.append(Paragraph(escape(text), _STYLES[style]))

    def _table(
        self,
        cells: list[list[Paragraph]],
        shares: Sequence[float],
        head: int,
        shaded: Sequence[int] = (),
    ) -> None:
        if not cells:
            return
        table = Table(cells, colWidths=[share * WIDTH for share in shares], repeatRows=head)
        marks = [("BACKGROUND", (0, row), (-1, row), _MISS) for row in shaded]
        table.setStyle(
            TableStyle(
                [
                    ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                    ("LEFTPADDING", (0, 0), (-1, -1), 3),
                    ("TOPPADDING", (0, 0), (-1, -1), 2),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
                    *marks,
                ]
            )
        )
        self._story += [table, Spacer(0, 6)]

    def _around(self, canvas: Canvas, document: SimpleDocTemplate) -> None:
        """The notice above and the title and the page's number below, on each page."""
        canvas.saveState()
        canvas.setFillColor(_WARN)
        canvas.rect(_MARGIN, A4[1] - 17 * mm, WIDTH, 8 * mm, stroke=0, fill=1)
        canvas.setFillColor(_INK)
        canvas.setFont(_BOLD, 9)
        canvas.drawString(_MARGIN + 6, A4[1] - 14 * mm, NOTICE)
        canvas.setFont(_FONT, 7.5)
        canvas.setFillColor(_SOFT)
        canvas.drawString(_MARGIN, 11 * mm, self._title[:100])
        canvas.drawRightString(A4[0] - _MARGIN, 11 * mm, f"page {document.page}")
        canvas.restoreState()


def _style(name: str, size: float, **more: object) -> ParagraphStyle:
    values: dict[str, object] = {
        "fontName": _FONT,
        "leading": size * 1.35,
        "textColor": _INK,
        "spaceAfter": 3,
    }
    return ParagraphStyle(name, fontSize=size, **values | more)


_STYLES = {
    "title": _style("title", 16, fontName=_BOLD, spaceAfter=2),
    "heading": _style("heading", 11, fontName=_BOLD, spaceBefore=10, keepWithNext=1),
    "text": _style("text", 8.5),
    "soft": _style("soft", 8, textColor=_SOFT),
    "point": _style("point", 8.5, leftIndent=10, bulletIndent=1),
    "cell": _style("cell", 7.5, spaceAfter=0, splitLongWords=1),
    "head": _style("head", 7.5, fontName=_BOLD, spaceAfter=0, splitLongWords=1),
}


def _cell(text: str, bold: bool = False) -> Paragraph:
    return Paragraph(escape(text), _STYLES["head" if bold else "cell"])


@cache
def _fonts() -> None:
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    for name in (_FONT, _BOLD):
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
