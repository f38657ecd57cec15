"""A letter as PDF or as plain text: equal letters give equal bytes, and each page says SYNTHETIC."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from cluster.demo.letters import Block, Letter, long_date

NOTICE = "SYNTHETIC DOCUMENT. Invented for demonstration."
HOSPITAL = "Northfield University Hospital"
WIDTH = 88
"""Columns of a plain text letter."""

_MARGIN = 56
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14, spaceAfter=6)
_ITEM = ParagraphStyle("item", parent=_BODY, leftIndent=14, spaceAfter=1)
_HEADING = ParagraphStyle(
    "heading", parent=_BODY, fontName="Helvetica-Bold", fontSize=11, spaceBefore=8, spaceAfter=3
)
_TITLE = ParagraphStyle(
    "title", parent=_BODY, fontName="Helvetica-Bold", fontSize=15, leading=20, spaceAfter=8
)
_GRID = TableStyle([
    ("FONT", (0, 0), (-1, -1), "Helvetica", 9),
    ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 9),
    ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.grey),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
])  # fmt: skip


def pdf(letter: Letter) -> bytes:
    """An A4 PDF without creation time or random identifiers."""
    output = io.BytesIO()
    document = SimpleDocTemplate(
        output,
        pagesize=A4,
        invariant=1,
        title=letter.title,
        author=letter.author.name,
        subject=NOTICE,
        **{f"{side}Margin": _MARGIN for side in ("left", "right", "top", "bottom")},
    )
    document.build(list(_story(letter)), onFirstPage=_decorate, onLaterPages=_decorate)
    return output.getvalue()


def text(letter: Letter) -> bytes:
    """UTF-8 text, wrapped as a clinical system prints it; pages are divided by form feeds."""
    opening = [letter.title, *_particulars(letter), ""]
    pages = [
        [NOTICE, f"{HOSPITAL}, department of {letter.author.department}", ""]
        for _ in letter.body.split("\n===\n")
    ]
    pages[0] += opening
    for lines, blocks in zip(pages, letter.pages(), strict=True):
        for block in blocks:
            if block.kind == "heading" and lines[-1]:
                lines.append("")
            lines.extend(_lines(block))
    return "\f".join("\n".join(lines).rstrip() + "\n" for lines in pages).encode()


def _particulars(letter: Letter) -> Iterator[str]:
    patient = letter.patient
    if patient is not None:
        yield f"Patient: {patient.name}, born {long_date(patient.born)}, record {patient.record}."
    yield f"Date: {long_date(letter.date)}. Written by Dr {letter.author.name}."


def _story(letter: Letter) -> Iterator[Flowable]:
    yield Paragraph(f"{HOSPITAL}, department of {letter.author.department}", _BODY)
    yield Paragraph(escape(letter.title), _TITLE)
    yield from (Paragraph(escape(line), _BODY) for line in _particulars(letter))
    for number, blocks in enumerate(letter.pages()):
        if number:
            yield PageBreak()
        for block in blocks:
            yield from _flowables(block)


def _flowables(block: Block) -> Iterator[Flowable]:
    match block.kind:
        case "heading":
            yield Paragraph(escape(block.text), _HEADING)
        case "item":
            yield Paragraph(escape(block.text), _ITEM, bulletText="-")
        case "paragraph":
            yield Paragraph(escape(block.text), _BODY)
        case "table":
            yield Table([list(row) for row in block.rows], style=_GRID, hAlign="LEFT", repeatRows=1)
            yield Spacer(0, 6)


def _decorate(canvas: Canvas, document: SimpleDocTemplate) -> None:
    width, height = A4
    canvas.setFont("Helvetica-Bold", 9)
    canvas.drawString(_MARGIN, height - 36, NOTICE)
    canvas.setFont("Helvetica", 9)
    canvas.drawRightString(width - _MARGIN, 32, f"Page {document.page}")


def _lines(block: Block) -> list[str]:
    match block.kind:
        case "heading":
            return [f"{block.text.upper()}:"]
        case "item":
            return textwrap.wrap(block.text, WIDTH, initial_indent="- ", subsequent_indent="  ")
        case "table":
            widths = [max(map(len, column)) for column in zip(*block.rows, strict=True)]
            rows = (zip(row, widths, strict=True) for row in block.rows)
            return ["  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in rows] + [""]
        case "paragraph":
            return [*textwrap.wrap(block.text, WIDTH), ""]
