"""Plain text: encoding, page breaks, pages of bounded size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from domain.text import Extraction, Page
from models.extraction.cleaning import clean
from models.extraction.detection import HEAD_BYTES, wide_encoding

PAGE_CHARACTERS = 20_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def extract_plain(content: bytes, *, max_pages: int) -> Extraction | str:
    """Pages of a text file, or the code of a rejection; a form feed ends a page."""
    text, guessed = decode(content)
    pieces = [piece for page in text.rstrip("\f").split("\f") for piece in bounded(page)]
    if len(pieces) > max_pages:
        return "too_many_pages"
    pages = [clean(piece) for piece in pieces]
    if not any(pages):
        return "empty"
    return Extraction(
        "text/plain",
        tuple(Page(number, page) for number, page in enumerate(pages, 1)),
        warnings=("encoding_guessed",) if guessed else (),
        parser="plain@1",
    )


def decode(content: bytes) -> tuple[str, bool]:
    """The text, and whether its encoding was a guess (neither marked nor valid UTF-8)."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace"), False
    if wide := wide_encoding(content[:HEAD_BYTES]):
        return content.decode(wide, "replace"), True
    try:
        return content.decode("utf-8"), False
    except UnicodeDecodeError as error:
        if error.end >= len(content) and error.reason == "unexpected end of data":
            return content.decode("utf-8", "replace"), False
        return content.decode("cp1252", "replace"), True


def bounded(text: str) -> Iterator[str]:
    """`text` in pieces of at most `PAGE_CHARACTERS`, cut at an empty line, a line end or a blank."""
    start = 0
    while len(text) - start > PAGE_CHARACTERS:
        end = _cut(text, start, start + PAGE_CHARACTERS)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(text: str, start: int, limit: int) -> int:
    for separator in ("\n\n", "\n", " "):
        found = text.rfind(separator, start + PAGE_CHARACTERS // 2, limit)
        if found >= 0:
            return found + len(separator)
    return limit
