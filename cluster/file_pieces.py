"""Files in pieces, read in threads: for uploads and bulk loads, which never hold a file whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

PIECE = 256 * 1024


async def pieces(file: Path, sent: Callable[[int], None] = lambda _: None) -> AsyncIterator[bytes]:
    """The file's bytes; `sent` hears how many have been taken. Raises `OSError`."""
    done = 0
    with file.open("rb", buffering=0) as opened:  # not in a thread: a cancelled one would leave it open
        while piece := await asyncio.to_thread(opened.read, PIECE):
            yield piece
            done += len(piece)
            sent(done)


async def sha256(file: Path) -> str:
    """The digest in hexadecimal. Raises `OSError`."""
    return await asyncio.to_thread(_sha256, file)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
