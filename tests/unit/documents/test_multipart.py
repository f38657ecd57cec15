"""The form reader: the same result however the network cuts the bytes, and nothing held whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.documents.multipart import MAX_FIELD_BYTES, MAX_PARTS, MultipartReader
from domain.errors import Invalid, UnsupportedMedia

TYPE = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--XX--\r\n"


async def cut(body: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size
    yield body[at:]


async def read(body: bytes, sizes: list[int] | None = None) -> tuple[bytes, MultipartReader]:
    reader = MultipartReader(TYPE, cut(body, sizes or []))
    content = b"".join([piece async for piece in reader.content()])
    return content, reader


@given(
    content=st.binary(max_size=300).filter(lambda value: b"--XX" not in value),
    sizes=st.lists(st.integers(1, 40), max_size=60),
)
async def test_every_cut_gives_the_same(content: bytes, sizes: list[int]) -> None:
    body = (
        part("title", "Ä title".encode()) + part("file", content, "a.pdf") + part("patient", b"MRN|1") + END
    )
    read_content, reader = await read(body, sizes)
    assert read_content == content
    assert reader.fields == {"title": "Ä title", "patient": "MRN|1"}
    assert reader.filename == "a.pdf"


async def test_the_file_is_never_held_whole() -> None:
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        yield part("file", b"", "a")[:-2]
        for _ in range(100):
            taken += 1
            yield b"x" * 1000
        yield b"\r\n" + END

    reader = MultipartReader(TYPE, counted())
    seen = 0
    async for piece in reader.content():
        seen += len(piece)
        assert taken * 1000 - seen <= 1000
    assert seen == 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END,
        part("title", b"x") + END,
        part("file", b"x"),
        part("file", b"x") * 2 + END,
        part("title", b"x") * 2 + part("file", b"x") + END,
        part("title", b"\xff") + part("file", b"x") + END,
        part("title", b"x" * (MAX_FIELD_BYTES + 1)) + part("file", b"x") + END,
        b"".join(part(f"f{n}", b"x") for n in range(MAX_PARTS)) + part("file", b"x") + END,
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
        b'--XX\r\nContent-Disposition: attachment; name="file"\r\n\r\nx\r\n' + END,
        b"--XX\r\n" + b"A: " + b"x" * 20_000 + b"\r\n\r\nx\r\n" + END,
        b"--XX\r\n" + b"A: b\r\n" * 100 + b"\r\nx\r\n" + END,
        b"no form",
    ],
)
async def test_what_is_no_form_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        await read(body)


@pytest.mark.parametrize("content_type", ["multipart/mixed; boundary=XX", "multipart/"])
def test_another_kind_is_not_supported(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        MultipartReader(content_type, cut(b"", []))


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 71])
def test_a_boundary_is_needed(content_type: str) -> None:
    with pytest.raises(Invalid):
        MultipartReader(content_type, cut(b"", []))
