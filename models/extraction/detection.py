"""What kind of file it is, by its first bytes alone: a name or a declared type is never believed."""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 4096
"""How much of a file `sniff` wants to see."""

PDF_PARSERS = ("pypdfium2", "pypdf")
"""In the order they are tried."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x7fELF", "application/x-elf"),
    (b"%!PS", "application/postscript"),
)
_PDF_WITHIN = 1024
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKUP = re.compile(
    rb"\s*<(?:(?P<html>!doctype\s+html|html\b)|(?P<xml>\?xml\b|!doctype\b|svg\b))", re.IGNORECASE
)
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_CONTROL = 0.02


def sniff(head: bytes) -> str | None:
    """Media type of a file that starts with `head` (some `HEAD_BYTES`); None for nothing or unknown binary.

    A PDF may have junk before its header (within 1,024 bytes), unless that junk is itself another known type.
    """
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:4] == b"RIFF":
        return "application/x-riff"
    if b"%PDF-" in head[: _PDF_WITHIN + 5]:
        return "application/pdf"
    return _sniff_text(head)


def _sniff_text(head: bytes) -> str | None:
    if not head:
        return None
    if head.startswith(_BOMS):
        return "text/plain"
    if markup := _MARKUP.match(head):
        return "text/html" if markup["html"] else "application/xml"
    if wide_encoding(head) is not None:
        return "text/plain"
    if len(_CONTROL.findall(head)) > _MAX_CONTROL * len(head):
        return None
    return "text/plain"


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a byte order mark: mostly Latin text has NUL in every other byte."""
    sample = head[: len(head) // 2 * 2][:HEAD_BYTES]
    if len(sample) < 4:
        return None
    pairs = len(sample) // 2
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.7 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    if even > 0.7 * pairs and odd < 0.05 * pairs:
        return "utf-16-be"
    return None
