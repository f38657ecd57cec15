"""DiskBlobs: the port's promises, and what only a file system can do wrong."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from domain.errors import StorageFull, Unavailable
from stores.blobs import STALE_SECONDS, DiskBlobs
from tests.contract.conformance.blobs import BlobStoreConformance, gathered, pieces


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path)


@pytest.fixture
def small_disk() -> Iterator[int]:
    """The kernel refuses files over 1 MiB, as it refuses all on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024**2, hard))
    yield 1024**2
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


class TestDiskBlobs(BlobStoreConformance):
    pass


async def test_a_full_disk_is_said_and_leaves_nothing(
    blobs: DiskBlobs, tmp_path: Path, small_disk: int
) -> None:
    with pytest.raises(StorageFull):
        await blobs.write("incoming/big", pieces(*[b"x" * 400_000] * 10))
    assert files(tmp_path) == []
    await blobs.put("incoming/small", b"x" * (small_disk // 2))


async def test_a_cancelled_write_leaves_nothing(blobs: DiskBlobs, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2_000_000
            begun.set()
            await asyncio.sleep(0.001)

    writing = asyncio.create_task(blobs.write("incoming/endless", endless()))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files(tmp_path) == []


async def test_opening_removes_only_what_a_crash_left_long_ago(tmp_path: Path) -> None:
    DiskBlobs(tmp_path)
    old, young = tmp_path / "unfinished" / "old", tmp_path / "unfinished" / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    past = time.time() - STALE_SECONDS - 10
    os.utime(old, (past, past))
    DiskBlobs(tmp_path)
    assert files(tmp_path) == [young]


async def test_the_folder_of_a_deleted_blob_goes_too_while_others_write_there(
    blobs: DiskBlobs, tmp_path: Path
) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(20):
            await blobs.put(f"originals/shared/{number}", b"x")
            assert await blobs.delete(f"originals/shared/{number}") == 1

    await asyncio.gather(*(come_and_go(number) for number in range(8)))
    assert list((tmp_path / "objects").iterdir()) == []


async def test_a_disk_that_cannot_be_read_is_away(blobs: DiskBlobs, tmp_path: Path) -> None:
    (tmp_path / "objects" / "damaged").symlink_to(
        "/proc/self/mem"
    )  # its first bytes are an input/output error
    for read in (blobs.read("damaged"), gathered(blobs, "damaged")):
        with pytest.raises(Unavailable):
            await read


async def test_no_file_can_be_opened_any_more(blobs: DiskBlobs) -> None:
    await blobs.put("originals/a/1", b"x")
    asked = [
        lambda: blobs.read("originals/a/1"),
        lambda: gathered(blobs, "originals/a/1"),
        lambda: blobs.names("originals"),
        lambda: blobs.delete("originals/a"),
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    await asyncio.to_thread(int)  # the threads' pool is there
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for ask in asked:
            with pytest.raises(Unavailable):
                await ask()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await blobs.read("originals/a/1") == b"x"


async def test_what_cannot_be_removed_is_not_called_removed(blobs: DiskBlobs, tmp_path: Path) -> None:
    (tmp_path / "objects" / "originals").mkdir()
    stuck = tmp_path / "objects" / "originals" / "stuck"
    stuck.symlink_to("/proc/self/fdinfo")  # nobody can remove these files
    with pytest.raises(Unavailable):
        await blobs.delete("originals/stuck")
    stuck.unlink()
    assert await blobs.delete("originals/stuck") == 0


async def test_keys_lists_what_is_old_enough(blobs: DiskBlobs) -> None:
    await blobs.put("incoming/a", b"x")
    await blobs.put("incoming/b/c", b"x")
    past = time.time() - 100
    os.utime(await blobs.local_path("incoming/b/c"), (past, past))
    assert await blobs.keys("incoming") == ["incoming/a", "incoming/b/c"]
    assert await blobs.keys("incoming", older_than_seconds=50) == ["incoming/b/c"]
    assert await blobs.keys("nothing") == []


async def test_the_event_loop_runs_on_while_a_blob_is_written(blobs: DiskBlobs) -> None:
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticker = asyncio.create_task(ticking())
    await blobs.write("incoming/large", pieces(*[b"x" * 1_000_000] * 100))
    ticker.cancel()
    assert ticks >= 5


async def test_no_blob_can_be_read_by_other_accounts(blobs: DiskBlobs, tmp_path: Path) -> None:
    await blobs.put("originals/a/1", b"x")
    assert {oct(path.stat().st_mode & 0o077) for path in (tmp_path / "objects", tmp_path / "unfinished")} == {
        "0o0"
    }
