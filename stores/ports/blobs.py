"""Bytes under keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A finished write."""

    key: str
    sha256: str
    size: int


class BlobStore(Protocol):
    """Bytes under keys such as `originals/…` and `artefacts/…`; a key is written once and never changed."""

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, limit: int | None = None) -> StoredBlob:
        """Store a stream durably before returning (temp, fsync, rename); nothing is left of a failed write.

        Raises `TooLarge` past `limit` bytes and `StorageFull` when there is no room.
        """
        ...

    async def put(self, key: str, content: bytes) -> StoredBlob: ...

    async def read(self, key: str, *, start: int = 0, size: int | None = None) -> bytes:
        """All bytes, or `size` of them from `start` on (fewer at the end); raises `NotFound`."""
        ...

    def stream(self, key: str, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]: ...

    async def rename(self, source: str, target: str) -> None:
        """Move a blob; a present target stays and the source goes."""
        ...

    async def delete(self, prefix: str) -> int:
        """Remove the blob `prefix` or every blob below `prefix/`; returns how many there were.

        What cannot be removed is `Unavailable`: when this returns, everything is gone.
        """
        ...

    async def local_path(self, key: str) -> Path:
        """A readable file with the blob's bytes, for the parser child; raises `NotFound`."""
        ...
