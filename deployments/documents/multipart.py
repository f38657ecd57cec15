"""Reads multipart/form-data (RFC 7578) as it arrives: one part `file`, streamed, and small text fields."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from domain.errors import FieldError, Invalid, UnsupportedMedia

FILE = "file"
MAX_PARTS = 20
MAX_FIELD_BYTES = 16 * 1024


class MultipartReader:
    """Holds no more than one network chunk and the text fields."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        """Raises `UnsupportedMedia` for another kind of multipart, `Invalid` without a usable boundary."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise UnsupportedMedia("Send the file as the body, or as the part 'file' of multipart/form-data.")
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:
            raise Invalid("The form has no usable boundary.", code="request.malformed_form")
        self.fields: dict[str, str] = {}
        """Text fields by name: complete when `content` has ended."""
        self.filename: str | None = None
        """As sent with the part `file`."""
        self._chunks = chunks
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )
        self._parts = 0
        self._seen_file = False
        self._ended = False
        self._header = [b"", b""]
        self._disposition = b""
        self._field: str | None = None
        self._value = bytearray()
        self._pieces: list[bytes] = []

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes of the part `file`; reads to the form's end. Raises `Invalid` for a malformed form."""
        async for chunk in self._chunks:
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise _malformed("The form is not well-formed multipart/form-data.") from None
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended:
            raise _malformed("The form ended early.")
        if not self._seen_file:
            missing = FieldError(FILE, "missing", "Send the document as this part.")
            raise Invalid("The form has no part 'file'.", errors=(missing,))

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _malformed(f"The form has more than {MAX_PARTS} parts.")
        self._disposition = b""
        self._value.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("A part of the form has no name.")
        name = options[b"name"].decode("utf-8", "replace")
        if name in self.fields or (name == FILE and self._seen_file):
            raise _malformed("The form has a field twice.")
        self._field = None if name == FILE else name
        if name == FILE:
            self._seen_file = True
            if b"filename" in options:
                self.filename = options[b"filename"].decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._pieces.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise _malformed("A text field of the form is too long.")

    def _part_end(self) -> None:
        if self._field is None:
            return
        try:
            self.fields[self._field] = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed("A text field of the form is not UTF-8.") from None

    def _end(self) -> None:
        self._ended = True


def _malformed(message: str) -> Invalid:
    return Invalid(message, code="request.malformed_form")
