"""Blobs as files: `root/objects/KEY`, written under `root/unfinished` and renamed.

A blob is there completely or not at all, also after a crash. File work runs in threads, in pieces, so that
the event loop never waits for a disk and no blob is held whole.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from domain.errors import Invalid, NotFound, StorageFull, TooLarge, Unavailable
from domain.ids import new_id
from stores.ports import StoredBlob

STALE_SECONDS = 24 * 3600
"""Age at which an unfinished write must be the leftover of a crash: no transfer may take that long."""

_PIECE = 1024 * 1024
_PLACE_ATTEMPTS = 10
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskBlobs:
    """`stores.ports.BlobStore` on a local (or shared POSIX) file system."""

    def __init__(self, root: Path) -> None:
        """Make the folders and remove what a crash left unfinished."""
        self._objects = root / "objects"
        self._unfinished = root / "unfinished"
        for folder in (self._objects, self._unfinished):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_older(self._unfinished, STALE_SECONDS)

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, limit: int | None = None) -> StoredBlob:
        """Store a stream durably before returning; nothing is left of a failed write."""
        target = self._path(key)
        temporary = self._unfinished / str(new_id())
        try:
            with _storage_errors():
                file = temporary.open("xb")
            try:
                digest, size = await _pour(chunks, file, limit)
                with _storage_errors():
                    await asyncio.to_thread(_sync, file)
            finally:
                with suppress(OSError):
                    file.close()
            with _storage_errors():
                await asyncio.to_thread(_place, temporary, target, os.replace)
        finally:
            temporary.unlink(missing_ok=True)
        return StoredBlob(key, digest, size)

    async def put(self, key: str, content: bytes) -> StoredBlob:
        return await self.write(key, _once(content))

    async def read(self, key: str, *, start: int = 0, size: int | None = None) -> bytes:
        with _missing():
            return await asyncio.to_thread(_read, self._path(key), start, size)

    async def stream(self, key: str, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The blob in pieces; raises `NotFound` with the first."""
        with _missing():
            file = await asyncio.to_thread(self._path(key).open, "rb", buffering=0)
        try:
            while piece := await _piece(file, chunk):
                yield piece
        finally:
            file.close()

    async def rename(self, source: str, target: str) -> None:
        """Move a blob; a present target stays and the source goes."""
        with _missing(), _storage_errors():
            await asyncio.to_thread(_place, self._path(source), self._path(target), _move)

    async def delete(self, prefix: str) -> int:
        """Remove the blob `prefix` or every blob below `prefix/`; returns how many there were.

        What cannot be removed is `Unavailable`: when this returns, everything is gone.
        """
        with _storage_errors():
            return await asyncio.to_thread(self._delete, self._path(prefix))

    async def local_path(self, key: str) -> Path:
        path = self._path(key)
        with _storage_errors():
            if not await asyncio.to_thread(path.is_file):
                raise _not_found()
        return path

    async def names(self, folder: str) -> list[str]:
        """What is directly below `folder/`, in order."""
        with _storage_errors():
            return await asyncio.to_thread(self._names, self._path(folder))

    async def keys(self, prefix: str, *, older_than_seconds: float = 0) -> list[str]:
        """Keys below `prefix/` of blobs written at least that long ago, in order: for finding orphans."""
        with _storage_errors():
            return await asyncio.to_thread(self._keys, self._path(prefix), older_than_seconds)

    def _names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def _keys(self, folder: Path, age: float) -> list[str]:
        latest = time.time() - age
        files = (path for path in folder.rglob("*") if _written(path) <= latest)
        return sorted(path.relative_to(self._objects).as_posix() for path in files)

    def _delete(self, path: Path) -> int:
        count = 0
        if path.is_file():
            path.unlink(missing_ok=True)
            count = 1
        elif path.is_dir():
            for folder, _, files in os.walk(path, topdown=False, onerror=_unless_missing):
                for name in files:
                    Path(folder, name).unlink(missing_ok=True)
                count += len(files)
                with suppress(FileNotFoundError):
                    Path(folder).rmdir()
        self._prune(path.parent)
        return count

    def _prune(self, folder: Path) -> None:
        """Remove the folders that became empty, upwards."""
        while folder != self._objects:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _path(self, key: str) -> Path:
        """The file of `key`: plain segments only, so that no key can name anything outside."""
        if len(key) > 512 or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
            raise Invalid("This is not a blob's key.", code="storage.key")
        return self._objects / key


async def _pour(chunks: AsyncIterator[bytes], file: BinaryIO, limit: int | None) -> tuple[str, int]:
    """Write all chunks, gathered into pieces worth a thread; their SHA-256 and size."""
    digest = hashlib.sha256()
    size = 0
    waiting = bytearray()

    def absorb(piece: bytes) -> None:
        digest.update(piece)
        with _storage_errors():
            file.write(piece)

    async for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            raise TooLarge(f"The content is larger than the {limit:,} bytes that are accepted.")
        waiting += chunk
        if len(waiting) >= _PIECE:
            await asyncio.to_thread(absorb, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(absorb, bytes(waiting))
    return digest.hexdigest(), size


def _read(path: Path, start: int, size: int | None) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return file.read(size) or b"" if size is not None else file.readall()


async def _piece(file: RawIOBase, size: int) -> bytes:
    with _storage_errors():
        return await asyncio.to_thread(file.read, size) or b""


def _written(path: Path) -> float:
    """When the file was written; never for a folder, or what has gone meanwhile."""
    with suppress(FileNotFoundError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return status.st_mtime
    return math.inf


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _place(source: Path, target: Path, move: Callable[[Path, Path], None]) -> None:
    """Give a finished file its name, durably. A folder that is pruned meanwhile is made again."""
    for _ in range(_PLACE_ATTEMPTS):
        missing = [folder for folder in target.parents if not folder.exists()]
        with suppress(FileExistsError):  # made and removed by others meanwhile
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            move(source, target)
        except FileNotFoundError:
            if not source.exists():
                raise
            continue
        for folder in (target.parent, *(made.parent for made in missing)):
            _sync_folder(folder)
        return
    raise FileNotFoundError(target.parent)


def _move(source: Path, target: Path) -> None:
    """As `os.rename`, but a present target stays."""
    with suppress(FileExistsError):
        os.link(source, target)
    source.unlink()


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_older(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - seconds:
                path.unlink()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("There is no room left to store this. Try again later.") from error
        if isinstance(error, FileNotFoundError):
            raise
        raise Unavailable(
            f"The storage of documents does not work ({type(error).__name__}). Try again in a moment.",
            code="storage.unavailable",
            retry_after=5,
        ) from error


@contextmanager
def _missing() -> Iterator[None]:
    """As `_storage_errors`, for a blob that may not be there."""
    with _storage_errors():
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise _not_found() from error


def _not_found() -> NotFound:
    return NotFound("The stored bytes cannot be found.", code="storage.not_found")
