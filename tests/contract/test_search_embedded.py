"""The embedded index: the conformance suite, and what only it must hold."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Invalid, Unavailable
from domain.search import DeleteDocument, Filters, Vector
from stores.postgres import Postgres
from stores.search.batch import Indexed, settle
from stores.search.embedded import EmbeddedIndex
from stores.search.semantic import SemanticSearch
from stores.search.shelf import Shelves, Writers
from stores.search.vectors import Near, VectorTable
from tests.contract.conformance.crowd import Crowd
from tests.contract.conformance.letters import ANNA, BERT, direction, everything, letter, words
from tests.contract.conformance.search_index import SearchIndexConformance
from tests.contract.conformance.search_steps import found, generation, live, put, update


@pytest.fixture
async def index(settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[EmbeddedIndex]:
    name = f"t{uuid4().hex[:8]}"
    index = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"), True)
    await index.create(generation(name))
    await index.promote(name)
    yield index
    await index.close()
    await forget(Postgres.of(settings, secrets, "search"), name)


@pytest.fixture
async def reader(
    index: EmbeddedIndex, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[EmbeddedIndex]:
    reader = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"))
    yield reader
    await reader.close()


async def forget(database: Postgres, prefix: str) -> None:
    """Remove a test's generations, the live one too."""
    async with database.transaction() as connection:
        rows = await connection.fetch(
            "DELETE FROM index_generation WHERE name LIKE $1 || '%' RETURNING name", prefix
        )
        for row in rows:
            await connection.execute(f'DROP TABLE generations."{row["name"]}"')
    await database.close()


class TestEmbeddedIndex(SearchIndexConformance):
    pass


async def test_the_graph_finds_what_a_caller_who_sees_half_should_find(index: EmbeddedIndex) -> None:
    crowd = Crowd.seeded(documents=6_000)
    name = await live(index)
    await crowd.fill(index, name, batch=2_000)
    walked = []
    nearest = VectorTable.nearest

    class Walked(VectorTable):
        async def nearest(self, vector: Vector, limit: int) -> list[Near]:
            walked.append(limit)
            return await nearest(self, vector, limit)

    shelves = Shelves(index._path / name)
    for share, graph in ((0.5, True), (0.05, False)):
        walked.clear()
        access, mine = crowd.caller(share)
        search = SemanticSearch(shelves, Walked(index._db, generation(name)), exact_below=0)
        assert (
            await crowd.recall_of(lambda q, a=access, s=search: s.search(q, a, Filters(), 50), mine, limit=50)
            >= 0.95
        )
        assert bool(walked) is graph


class TestInterruptions:
    """A writer that fails or dies between its steps."""

    async def test_what_was_not_committed_whole_is_not_seen_and_is_completed_later(
        self, index: EmbeddedIndex
    ) -> None:
        name = await live(index)
        old = letter("old text")
        new = replace(letter("new text", "more"), id=old.id, version=2, revision=2)
        await put(index, old)
        async with vectors_away(index, name):
            with pytest.raises(asyncpg.UndefinedTableError):
                await index.write(name, [new.put])
            assert await found(index, words("old")) == {old.id}
            assert await found(index, words("new")) == set()
            shown = await index.passages(everything(), ANNA, documents=[old.id], ordinals={})
            assert [one.text for one in shown[old.id]] == ["old text"]
        await put(index, new)
        assert await found(index, words("new")) == {old.id}
        assert await stored_passages(index, name) == (2, 2)

    @pytest.mark.parametrize("committed", [False, True])
    async def test_leftovers_of_a_dead_writer_go_with_the_next_operation(
        self, index: EmbeddedIndex, committed: bool
    ) -> None:
        name = await live(index)
        one = letter("first")
        second = replace(letter("second", "part"), id=one.id, version=2, revision=2)
        await put(index, one)
        changes = settle([second.put], {}).changes
        writers = Writers(index._shelves[name])
        writers.add_passages(changes)
        await VectorTable(index._db, generation(name)).put(changes)
        if committed:
            writers.put_roots(changes)
        writers.close()
        assert await found(index, words("second" if committed else "first")) == {one.id}
        near = await index.semantic(direction(1), ANNA, filters=Filters(), limit=5)
        assert [hit.version for hit in near] == [2 if committed else 1]
        await index.write(name, [DeleteDocument(one.id, 3)])
        assert await stored_passages(index, name) == (0, 0)

    @pytest.mark.parametrize("limit", [0, 20_000])
    async def test_a_disk_that_fails_is_no_documents_fault(self, index: EmbeddedIndex, limit: int) -> None:
        name = await live(index)
        await put(index, letter("before"))
        texts = [" ".join(f"{page}word{n}" for n in range(4_000)) for page in range(5)]
        with files_up_to(limit), pytest.raises(Unavailable) as caught:
            await index.write(name, [letter(*texts).put])
        assert caught.value.code == "search.index_io"
        assert len(await found(index, everything())) == 1
        await put(index, letter("after"))
        assert len(await found(index, everything())) == 2

    async def test_a_lost_folder_is_said_and_can_be_made_again(self, index: EmbeddedIndex) -> None:
        name = await live(index)
        await index.close()
        fresh = EmbeddedIndex(index._path, index._db, True)
        shutil.rmtree(index._path / name)
        with pytest.raises(Unavailable) as caught:
            await fresh.lexical(everything(), ANNA, limit=1)
        assert caught.value.code == "search.index_missing"
        await fresh.create(generation(name))
        await put(fresh, letter("again"))
        assert len(await found(fresh, words("again"))) == 1
        await fresh.close()


class TestWriters:
    """One process writes."""

    async def test_a_batch_that_was_begun_is_ended_though_its_caller_is_cancelled(
        self, index: EmbeddedIndex
    ) -> None:
        name = await live(index)
        started = asyncio.Event()

        class Slow(EmbeddedIndex):
            async def _apply(self, *given: Any) -> None:
                started.set()
                await super()._apply(*given)

        slow = Slow(index._path, index._db, True)
        writing = asyncio.create_task(slow.write(name, [letter("fever").put]))
        await started.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        async with slow._writing:
            assert len(await found(index, words("fever"))) == 1
        await put(index, letter("fever"))

    async def test_f19_a_writer_frozen_over_what_it_read_undoes_no_revocation(
        self, index: EmbeddedIndex
    ) -> None:
        name = await live(index)
        one = letter("fever", access=("user:anna", "user:bert"))
        await put(index, one)
        reading, thaw = threading.Event(), threading.Event()

        class Frozen(Shelves):
            def indexed(self, documents: Sequence[UUID]) -> dict[UUID, Indexed]:
                known = super().indexed(documents)
                reading.set()
                thaw.wait(30)
                return known

        old = EmbeddedIndex(index._path, index._db, True)
        old._shelves[name] = Frozen(index._path / name)
        late = asyncio.create_task(old.write(name, [one.put]))
        await asyncio.to_thread(reading.wait, 30)
        revocation = update(one, revision=2, access=("user:anna",))
        with pytest.raises(Unavailable):  # else what was read would be the past
            await index.write(name, [revocation])
        thaw.set()
        await late
        await index.write(name, [revocation])
        assert await found(index, words("fever"), BERT) == set()

    async def test_a_reader_cannot_write(self, index: EmbeddedIndex, reader: EmbeddedIndex) -> None:
        with pytest.raises(Invalid):
            await reader.write(await live(index), [letter("x").put])

    async def test_the_second_writer_waits_for_the_first_to_end_or_die(
        self, index: EmbeddedIndex, settings: Settings, secrets: SecretStore
    ) -> None:
        name = await live(index)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.conformance.writing_process", str(index._path), name,
            str(settings.data_dir),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout
        assert await asyncio.wait_for(child.stdout.readline(), 60) == b"written\n"
        assert len(await found(index, words("fever"))) == 1
        with pytest.raises(Unavailable) as caught:
            await index.write(name, [letter("fever").put])
        assert caught.value.code == "search.index_locked"
        child.kill()
        await child.wait()
        await put(index, letter("fever"))
        assert len(await found(index, words("fever"))) == 2


async def stored_passages(index: EmbeddedIndex, generation_name: str) -> tuple[int, int]:
    """What is on disk, seen or not: passages in the words index, and vectors."""
    async with index._db.connection() as connection:
        vectors = await connection.fetchval(f'SELECT count(*) FROM generations."{generation_name}"')
    return index._shelves[generation_name].passages.searcher().num_docs, vectors


@contextmanager
def files_up_to(limit: int) -> Iterator[None]:
    """This process can write no file beyond so many bytes: as on a disk that fails in the middle of a write."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@asynccontextmanager
async def vectors_away(index: EmbeddedIndex, name: str) -> AsyncIterator[None]:
    async def rename(old: str, new: str) -> None:
        async with index._db.connection() as connection:
            await connection.execute(f'ALTER TABLE generations."{old}" RENAME TO "{new}"')

    await rename(name, "away")
    yield
    await rename("away", name)
