"""From a file to the text of its pages. Runs in the parser child (`models.extraction.child`), without torch.

Everything a parser can do wrong is a value here: a `Failure` with a code of `domain.jobs`, or an `Extraction`
that names the pages that could not be read.
"""

from __future__ import annotations

from pathlib import Path

from domain.jobs import REJECTIONS, Failure
from domain.text import Extraction
from models.extraction import plain
from models.extraction.detection import HEAD_BYTES, PDF_PARSERS, sniff

__all__ = ["HEAD_BYTES", "SUPPORTED", "extract", "rejection", "sniff"]

SUPPORTED = ("application/pdf", "text/plain")
MAX_CHARACTERS = 10_000_000
"""Of a document: some 5,000 full pages. What is behind the parser holds all of its text in memory."""

MAX_PAGE_CHARACTERS = 500_000
"""Of a page: hundreds of times what fits on paper. What is behind the parser looks at a page as one."""


def extract(path: Path, *, max_pages: int, parsers: tuple[str, ...] = PDF_PARSERS) -> Extraction | Failure:
    """The text of the file at `path`, page by page; its type is decided by its content.

    Final failures: `empty unsupported_type encrypted no_pages damaged too_many_pages too_large`; else
    `out_of_memory`. `parsers` names the PDF parsers to try, in order: after one took the process down, the
    caller can leave it out.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return rejection("empty")
    try:
        return _checked(_extracted(path, sniff(head), max_pages, parsers))
    except MemoryError:
        return Failure("out_of_memory", "Reading the file took too much memory.")


def rejection(code: str) -> Failure:
    """The final failure with this code of `domain.jobs.REJECTIONS`."""
    return Failure(code, REJECTIONS[code][0], final=True)


def _extracted(
    path: Path, media_type: str | None, max_pages: int, parsers: tuple[str, ...]
) -> Extraction | Failure:
    match media_type:
        case "application/pdf":
            from models.extraction import pdf

            outcome = pdf.extract_pdf(path, max_pages=max_pages, parsers=parsers)
        case "text/plain":
            outcome = plain.extract_plain(path.read_bytes(), max_pages=max_pages)
        case _:
            return rejection("unsupported_type")
    return rejection(outcome) if isinstance(outcome, str) else outcome


def _checked(outcome: Extraction | Failure) -> Extraction | Failure:
    if isinstance(outcome, Extraction):
        sizes = [len(page.text) for page in outcome.pages]
        if sum(sizes) > MAX_CHARACTERS or max(sizes, default=0) > MAX_PAGE_CHARACTERS:
            return rejection("too_large")
    return outcome
