"""From bytes to pages: types by content, PDF by either parser, text in any encoding, and every bad input."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject
from reportlab.pdfgen.canvas import Canvas

from domain.jobs import REJECTIONS, Failure
from domain.text import Extraction
from models.extraction import MAX_CHARACTERS, MAX_PAGE_CHARACTERS, extract, rejection, sniff
from models.extraction.cleaning import clean
from models.extraction.plain import PAGE_CHARACTERS, bounded, decode
from tests.data import evaluation_data

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return written


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text a page."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1)
    for text in pages:
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypted(password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret"))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def without_pages() -> bytes:
    buffer = io.BytesIO()
    PdfWriter().write(buffer)
    return buffer.getvalue()


def pages_of(outcome: Extraction | Failure) -> list[str]:
    assert isinstance(outcome, Extraction), outcome
    return [page.text for page in outcome.pages]


@pytest.mark.parametrize("parser", ["pypdfium2", "pypdf"])
def test_pdf_page_by_page(write: Write, parser: str) -> None:
    outcome = extract(write(pdf("First page.", "", "Third page.")), max_pages=10, parsers=(parser,))
    assert pages_of(outcome) == ["First page.", "", "Third page."]
    assert isinstance(outcome, Extraction)
    assert [page.number for page in outcome.pages] == [1, 2, 3]
    assert outcome.media_type == "application/pdf"
    assert outcome.parser.startswith(f"{parser}@")
    assert ("fallback_parser" in outcome.warnings) == (parser == "pypdf")


def test_pdf_of_images_only_has_a_warning(write: Write) -> None:
    outcome = extract(write(pdf("")), max_pages=10)
    assert isinstance(outcome, Extraction)
    assert outcome.warnings == ("no_text",)
    assert outcome.unreadable_pages == ()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\f\f", "empty"),
        (b"%PDF-1.7\nnot really", "damaged"),
        (pdf("x")[:200], "damaged"),
        (without_pages(), "no_pages"),
        (encrypted("user"), "encrypted"),
        (pdf("1", "2", "3"), "too_many_pages"),
        (b"a\fb\fc", "too_many_pages"),
        (b"PK\x03\x04 zip", "unsupported_type"),
        (b"\x89PNG\r\n\x1a\n....", "unsupported_type"),
        (b"<!DOCTYPE html><p>x", "unsupported_type"),
        (b"<?xml version='1.0'?><a/>", "unsupported_type"),
        (bytes(range(32)) * 20, "unsupported_type"),
    ],
)
def test_rejections(write: Write, content: bytes, code: str) -> None:
    outcome = extract(write(content), max_pages=2)
    assert outcome == rejection(code)
    assert outcome.final
    assert outcome.code in REJECTIONS


def test_one_file_s_error_is_not_the_next_one_s(write: Write) -> None:
    assert extract(write(encrypted("user")), max_pages=2) == rejection("encrypted")
    assert extract(write(without_pages()), max_pages=2) == rejection("no_pages")


def test_pdf_with_an_empty_user_password_is_read(write: Write) -> None:
    assert pages_of(extract(write(encrypted("")), max_pages=2)) == ["secret"]


def test_pypdf_takes_over_when_pdfium_cannot_open(write: Write) -> None:
    """Without a root in its trailer PDFium gives a file up; pypdf looks for the catalogue itself."""
    path = write(pdf("Still here.").replace(b"/Root", b"/Rood"))
    assert extract(path, max_pages=2, parsers=("pypdfium2",)) == rejection("damaged")
    outcome = extract(path, max_pages=2)
    assert pages_of(outcome) == ["Still here."]
    assert isinstance(outcome, Extraction)
    assert outcome.warnings == ("fallback_parser",)


def test_a_page_that_fails_is_named_and_the_others_kept(write: Write) -> None:
    """A content stream whose filter does not exist breaks one page of three in pypdf."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("One.", "Two.", "Three."))))
    contents = writer.pages[1].get_contents()
    assert contents is not None
    broken = DecodedStreamObject()
    broken.set_data(b"not compressed")
    broken[NameObject("/Filter")] = NameObject("/NoSuchDecode")
    writer.pages[1][NameObject("/Contents")] = writer._add_object(broken)
    buffer = io.BytesIO()
    writer.write(buffer)
    outcome = extract(write(buffer.getvalue()), max_pages=5, parsers=("pypdf",))
    assert pages_of(outcome) == ["One.", "", "Three."]
    assert isinstance(outcome, Extraction)
    assert outcome.unreadable_pages == (2,)
    assert "page_unreadable" in outcome.warnings


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Fièvre à 39°".encode(), "Fièvre à 39°"),
        ("Fièvre à 39°".encode("utf-8-sig"), "Fièvre à 39°"),
        ("Fièvre à 39°".encode("utf-16"), "Fièvre à 39°"),
        ("Fever since Monday".encode("utf-16-le"), "Fever since Monday"),
        ("Fever since Monday".encode("utf-16-be"), "Fever since Monday"),
        ("Fever".encode("utf-32"), "Fever"),
        ("Fièvre à 39°".encode("cp1252"), "Fièvre à 39°"),
        (b"a\x00b\x07c\r\nd\re" + b"f" * 200, "abc\nd\ne" + "f" * 200),
    ],
)
def test_plain_text_in_any_encoding(write: Write, content: bytes, text: str) -> None:
    assert pages_of(extract(write(content), max_pages=2)) == [text]


def test_guessed_encoding_is_said(write: Write) -> None:
    outcome = extract(write("Fièvre".encode("cp1252")), max_pages=2)
    assert isinstance(outcome, Extraction)
    assert outcome.warnings == ("encoding_guessed",)


def test_form_feed_ends_a_page(write: Write) -> None:
    assert pages_of(extract(write(b"one\ftwo\f\ffour\f"), max_pages=9)) == ["one", "two", "", "four"]


def test_long_text_becomes_bounded_pages_at_line_ends(write: Write) -> None:
    lines = [f"Line number {number} of a long note." for number in range(5_000)]
    pages = pages_of(extract(write("\n".join(lines).encode()), max_pages=100))
    assert len(pages) > 1
    assert max(map(len, pages)) <= PAGE_CHARACTERS
    assert "\n".join(pages).split("\n") == lines


@given(st.text(min_size=1, max_size=300), st.integers(1, 400))
def test_bounded_pieces_make_up_the_text(text: str, times: int) -> None:
    pieces = list(bounded(text * times))
    assert "".join(pieces) == text * times
    assert all(len(piece) <= PAGE_CHARACTERS for piece in pieces)


@given(st.binary(max_size=400))
def test_any_bytes_decode(content: bytes) -> None:
    text, _ = decode(content)
    clean(text).encode()


@given(st.text(st.characters(), max_size=80))
def test_clean_text_is_storable_and_stays_clean(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\x00" not in cleaned
    assert "\r" not in cleaned
    assert not any(ord(c) < 32 and c != "\n" for c in cleaned)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pneu-\nmonia", "pneumonia"),
        ("pneu\ufffemonia", "pneumonia"),
        ("pneu\u00ad\nmonia", "pneumonia"),
        ("non-\ncompliance", "non-compliance"),
        ("follow-\nup", "follow-up"),
        ("T-\nCell", "T-Cell"),
        ("a - \nb", "a -\nb"),
        ("ﬁbrosis", "fibrosis"),
        ("a\u00a0b\u2009c\td", "a b c d"),
        ("a  \n\n\n\nb", "a\n\nb"),
        ("\ud800x", "\ufffdx"),
    ],
)
def test_cleaning(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("text", ["x" * 2**20, " " * 2**20 + "x", "\n" * 2**20 + "x", "a-\n" * 2**18])
def test_cleaning_is_linear(text: str) -> None:
    """Anything worse takes hours on a megabyte, and meets the time limit of every test."""
    assert len(clean(text)) <= len(text)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (b"junk before\n%PDF-1.4", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n%PDF-1.4", "image/png"),
        (b"PK\x03\x04%PDF-", "application/zip"),
        (b"x" * 1025 + b"%PDF-", "text/plain"),
        (b"{\\rtf1", "application/rtf"),
        (b"\n <HTML>", "text/html"),
        (b"<?xml ?>", "application/xml"),
        (b"<5 mg was given", "text/plain"),
        (b"\x00\x01\x02\x03\x04", None),
        (b"", None),
        (b"Hello", "text/plain"),
    ],
)
def test_type_by_content(head: bytes, media_type: str | None) -> None:
    assert sniff(head) == media_type


@given(st.binary(max_size=200))
def test_sniffing_never_fails(head: bytes) -> None:
    sniff(head)


def test_too_much_text_is_refused(write: Write) -> None:
    line = b"fever and cough\n"
    assert isinstance(extract(write(line * (MAX_CHARACTERS // len(line))), max_pages=10_000), Extraction)
    too_much = line * (MAX_CHARACTERS // len(line) + 2_000)
    assert extract(write(too_much), max_pages=10_000) == rejection("too_large")


def test_too_much_text_on_one_page_is_refused(write: Write) -> None:
    lines = MAX_PAGE_CHARACTERS // 1000 + 5
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(6000, 12 * lines))
    for line in range(lines):
        canvas.drawString(0, 12 * line, "word " * 200)
    canvas.save()
    assert extract(write(buffer.getvalue()), max_pages=10) == rejection("too_large")


def test_lack_of_memory_is_a_value(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry(type(Path())):  # type: ignore[misc]
        def read_bytes(self) -> bytes:
            raise MemoryError

    outcome = extract(Hungry(write(b"text")), max_pages=2)
    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.final) == ("out_of_memory", False)


@pytest.mark.data
def test_every_document_of_the_data_set_ends() -> None:
    folder = evaluation_data("documents")
    for path in sorted([*(folder / "pdf").iterdir(), *(folder / "ocr").iterdir()]):
        outcome = extract(path, max_pages=5_000)
        expected = "unsupported_type" if path.suffix == ".png" else None
        assert (outcome.code if isinstance(outcome, Failure) else None) == expected, path.name
        if path.parent.name == "pdf":
            assert all(pages_of(outcome)), path.name
