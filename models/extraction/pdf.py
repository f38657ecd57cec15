"""PDF: PDFium first, pypdf when that cannot open the file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pypdf
import pypdfium2
import pypdfium2.raw as pdfium
from pypdf.errors import FileNotDecryptedError, WrongPasswordError

from domain.text import Extraction, Page
from models.extraction.cleaning import clean
from models.extraction.detection import PDF_PARSERS as PARSERS

PageText = Callable[[], str]


class Refused(Exception):
    """The parser will not give pages: `code` is that of a rejection."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def extract_pdf(path: Path, *, max_pages: int, parsers: tuple[str, ...] = PARSERS) -> Extraction | str:
    """Pages of a PDF, or the code of a rejection; a parser is asked when those before cannot open it."""
    # pypdf tells at length of every oddity in a file, with pieces of its text.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)
    code = "damaged"
    for name in parsers:
        try:
            return _read(path, name, max_pages)
        except Refused as refusal:
            code = refusal.code
            if code != "damaged":
                return code
    return code


def _read(path: Path, name: str, max_pages: int) -> Extraction:
    opened = _open_pdfium if name == "pypdfium2" else _open_pypdf
    texts: list[str] = []
    unreadable: list[int] = []
    for number, page_text in enumerate(opened(path, max_pages), 1):
        try:
            texts.append(clean(page_text()))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - process boundary: parsers raise all kinds of errors
            texts.append("")
            unreadable.append(number)
    return Extraction(
        "application/pdf",
        tuple(Page(number, text) for number, text in enumerate(texts, 1)),
        unreadable_pages=tuple(unreadable),
        warnings=_warnings(texts, unreadable, name != PARSERS[0]),
        parser=f"{name}@{_version(name)}",
    )


def _warnings(texts: list[str], unreadable: list[int], fallback: bool) -> tuple[str, ...]:
    present = (
        ("fallback_parser", fallback),
        ("page_unreadable", bool(unreadable)),
        ("no_text", not any(texts)),
    )
    return tuple(code for code, holds in present if holds)


def _open_pdfium(path: Path, max_pages: int) -> Iterator[PageText]:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        # The code may be left over from another file of this process: an encrypted file says so itself.
        locked = error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        raise Refused("encrypted" if locked and b"/Encrypt" in path.read_bytes() else "damaged") from error
    with closing(document):
        for index in range(_checked_count(len(document), max_pages)):
            yield partial(_pdfium_text, document, index)


def _pdfium_text(document: pypdfium2.PdfDocument, index: int) -> str:
    with closing(document[index]) as page, closing(page.get_textpage()) as text:
        return str(text.get_text_range(errors="replace"))


def _open_pypdf(path: Path, max_pages: int) -> Iterator[PageText]:
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("encrypted")
        count = len(reader.pages)
    except (Refused, MemoryError):
        raise
    except (FileNotDecryptedError, WrongPasswordError) as error:
        raise Refused("encrypted") from error
    except Exception as error:  # process boundary: pypdf raises outside its own classes
        raise Refused("damaged") from error
    with closing(reader):
        for index in range(_checked_count(count, max_pages)):
            yield partial(_pypdf_text, reader, index)


def _pypdf_text(reader: pypdf.PdfReader, index: int) -> str:
    return str(reader.pages[index].extract_text())


def _checked_count(count: int, max_pages: int) -> int:
    if count == 0:
        raise Refused("no_pages")
    if count > max_pages:
        raise Refused("too_many_pages")
    return count


def _version(name: str) -> str:
    return str(pypdf.__version__ if name == "pypdf" else pypdfium2.PYPDFIUM_INFO)
