"""A bulk load against documents in memory: each file once, every failure told, trouble survived."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cluster.ingest.listing import list_folder
from cluster.ingest.load import BulkLoad, Standing, Stored, Tempo
from cluster.ingest.report import Ledger
from domain.errors import Invalid, StorageFull, Unavailable
from domain.lifecycle import Status

FAST = Tempo(at_once=3, poll=0.001, line=0.001, patience=5)


class MemoryDocuments:
    """Documents by content; each needs `steps` looks until it is indexed."""

    def __init__(self, *, steps: int = 2) -> None:
        self.steps = steps
        self.looks: dict[str, int] = {}
        self.trouble: list[Exception] = []
        self.away = 0
        self.under_way = 0
        self.most_at_once = 0

    async def store(self, file: Path) -> Stored:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.trouble:
            raise self.trouble.pop(0)
        content = file.read_bytes()
        if content == b"too large":
            raise Invalid("The file is too large.")
        document_id = hashlib.sha256(content).hexdigest()
        known = document_id in self.looks
        self.looks.setdefault(document_id, 0)
        return Stored(document_id, known)

    async def standings(self, document_ids: Sequence[str]) -> Mapping[str, Standing]:
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        for document_id in document_ids:
            self.looks[document_id] += 1
        return {document_id: self._standing(document_id) for document_id in document_ids}

    def _standing(self, document_id: str) -> Standing:
        if self.looks[document_id] < self.steps:
            return Standing(Status.PROCESSING)
        if document_id == hashlib.sha256(b"").hexdigest():
            return Standing(Status.REJECTED, "The file is empty.")
        return Standing(Status.INDEXED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"letter {number}")
    return tmp_path


async def load(folder: Path, documents: MemoryDocuments, lines: list[str] | None = None) -> Ledger:
    write = [].append if lines is None else lines.append
    return await BulkLoad(documents, write, FAST).run(list_folder(folder), folder)


async def test_everything_is_stored_and_followed_to_its_end(folder: Path) -> None:
    documents, lines = MemoryDocuments(steps=5), []
    ledger = await load(folder, documents, lines)
    assert ledger.counts() == {"indexed": 20}
    assert len(documents.looks) == 20
    assert documents.most_at_once == 3
    assert any("of 20 files stored" in line for line in lines)


async def test_a_second_run_finds_everything_there(folder: Path) -> None:
    documents = MemoryDocuments()
    await load(folder, documents)
    ledger = await load(folder, documents)
    assert all(fate.known for fate in ledger.fates)
    assert ledger.counts() == {"indexed": 20}
    assert len(documents.looks) == 20


async def test_equal_files_are_one_document(folder: Path) -> None:
    (folder / "copy.txt").write_text("letter 7")
    ledger = await load(folder, MemoryDocuments())
    assert ledger.counts() == {"indexed": 20, "same content as another file": 1}


async def test_failures_are_named_and_do_not_stop_the_rest(folder: Path) -> None:
    (folder / "empty.txt").touch()
    (folder / "huge.txt").write_text("too large")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    ledger = await load(folder, MemoryDocuments())
    assert {fate.file: fate.reason for fate in ledger.failed} == {
        "empty.txt": "The file is empty.",
        "huge.txt": "The file is too large.",
        "gone.txt": "It cannot be read: No such file or directory.",
    }
    assert ledger.counts()["indexed"] == 20


async def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    documents = MemoryDocuments()
    documents.trouble = [PermissionError(13, "Permission denied")]
    ledger = await load(folder, documents)
    assert [fate.reason for fate in ledger.failed] == ["It cannot be read: Permission denied."]


async def test_a_store_that_comes_back_costs_nothing(folder: Path) -> None:
    documents = MemoryDocuments()
    documents.trouble = [Unavailable("away", retry_after=0.001)] * 6
    documents.away = 3
    assert (await load(folder, documents)).counts() == {"indexed": 20}


async def test_a_store_that_stays_away_ends_the_run(folder: Path) -> None:
    documents = MemoryDocuments()
    documents.trouble = [Unavailable("away", retry_after=0.001)] * 10_000
    load = BulkLoad(documents, [].append, Tempo(poll=0.001, patience=0.05))
    with pytest.raises(Unavailable):
        await load.run(list_folder(folder), folder)


async def test_no_room_ends_the_run(folder: Path) -> None:
    documents = MemoryDocuments()
    documents.trouble = [StorageFull("There is no room.")]
    with pytest.raises(StorageFull):
        await load(folder, documents)


async def test_an_empty_folder_is_done_at_once(tmp_path: Path) -> None:
    assert (await load(tmp_path, MemoryDocuments())).total == 0


async def test_any_file_name_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9\n.txt").write_text("a Latin-1 name with a line break")
    ledger = await load(tmp_path, MemoryDocuments())
    assert ledger.fates[0].file == "caf\\udce9\\n.txt"
