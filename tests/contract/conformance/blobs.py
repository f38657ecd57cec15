"""What every blob store does: subclass, give a fixture `blobs`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from domain.errors import Invalid, NotFound, TooLarge
from stores.ports import BlobStore


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ConnectionResetError


async def gathered(blobs: BlobStore, key: str, chunk: int = 64 * 1024) -> bytes:
    return b"".join([piece async for piece in blobs.stream(key, chunk=chunk)])


class BlobStoreConformance:
    async def test_what_was_written_comes_back_and_hashes_to_the_answer(self, blobs: BlobStore) -> None:
        content = bytes(range(256)) * 20_000
        stored = await blobs.write(
            "originals/a/1", pieces(content[:3], content[3:2_000_000], content[2_000_000:])
        )
        assert (stored.key, stored.size) == ("originals/a/1", len(content))
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert await blobs.read("originals/a/1") == content
        assert await gathered(blobs, "originals/a/1", chunk=100_000) == content
        assert (await blobs.local_path("originals/a/1")).read_bytes() == content

    async def test_a_part_is_read_without_the_rest(self, blobs: BlobStore) -> None:
        content = bytes(range(256)) * 1000
        await blobs.put("artefacts/a/1", content)
        assert await blobs.read("artefacts/a/1", size=3) == content[:3]
        assert await blobs.read("artefacts/a/1", start=70_000, size=500) == content[70_000:70_500]
        assert await blobs.read("artefacts/a/1", start=255_990, size=500) == content[255_990:]
        assert await blobs.read("artefacts/a/1", start=300_000, size=1) == b""
        assert await blobs.read("artefacts/a/1", start=200_000) == content[200_000:]
        assert await blobs.read("artefacts/a/1", size=0) == b""

    async def test_an_empty_blob_is_a_blob(self, blobs: BlobStore) -> None:
        stored = await blobs.put("originals/empty/1", b"")
        assert stored.size == 0
        assert await blobs.read("originals/empty/1") == b""

    async def test_the_limit_is_the_last_byte_that_is_accepted(self, blobs: BlobStore) -> None:
        await blobs.write("incoming/fits", pieces(b"12345", b"67890"), limit=10)
        with pytest.raises(TooLarge):
            await blobs.write("incoming/over", pieces(b"12345", b"678901"), limit=10)
        with pytest.raises(NotFound):
            await blobs.read("incoming/over")

    async def test_a_stream_that_breaks_leaves_nothing(self, blobs: BlobStore) -> None:
        with pytest.raises(ConnectionResetError):
            await blobs.write("incoming/broken", broken(b"x" * 3_000_000))
        with pytest.raises(NotFound):
            await blobs.local_path("incoming/broken")

    async def test_rename_moves(self, blobs: BlobStore) -> None:
        await blobs.put("incoming/one", b"one")
        await blobs.rename("incoming/one", "originals/one/1")
        assert await blobs.read("originals/one/1") == b"one"
        with pytest.raises(NotFound):
            await blobs.read("incoming/one")

    async def test_rename_never_overwrites(self, blobs: BlobStore) -> None:
        await blobs.put("originals/kept/1", b"first")
        await blobs.put("incoming/second", b"second")
        await blobs.rename("incoming/second", "originals/kept/1")
        assert await blobs.read("originals/kept/1") == b"first"
        with pytest.raises(NotFound):
            await blobs.read("incoming/second")

    async def test_delete_takes_a_blob_or_all_below_a_prefix(self, blobs: BlobStore) -> None:
        for key in (
            "artefacts/d/1/extract.1",
            "artefacts/d/1/annotate.1",
            "artefacts/d/2/extract.4",
            "artefacts/dd/1/x",
        ):
            await blobs.put(key, b"x")
        assert await blobs.delete("artefacts/d/1/extract.1") == 1
        assert await blobs.delete("artefacts/d") == 2
        assert await blobs.delete("artefacts/d") == 0
        assert await blobs.read("artefacts/dd/1/x") == b"x"
        with pytest.raises(NotFound):
            await blobs.read("artefacts/d/2/extract.4")

    @pytest.mark.parametrize(
        "key",
        ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\\..\\b", "a\0b", "ä", "a/", "x" * 600],
    )
    async def test_no_key_can_name_anything_outside(self, blobs: BlobStore, key: str) -> None:
        with pytest.raises(Invalid):
            await blobs.put(key, b"x")
        with pytest.raises(Invalid):
            await blobs.delete(key)
        with pytest.raises(Invalid):
            await blobs.read(key)

    async def test_what_is_missing_says_so_everywhere(self, blobs: BlobStore) -> None:
        await blobs.put("originals/folder/1", b"x")
        for key in ("originals/none", "originals/folder", "originals/folder/1/below"):
            with pytest.raises(NotFound):
                await blobs.read(key)
            with pytest.raises(NotFound):
                await gathered(blobs, key)
            with pytest.raises(NotFound):
                await blobs.local_path(key)
        with pytest.raises(NotFound):
            await blobs.rename("originals/none", "originals/new")
