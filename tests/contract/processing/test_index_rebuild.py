"""F14: an index that was lost is said, never replaced by an empty one, and made again from the artefacts."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cluster.cli.index import queue_all
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from domain.events import EventType
from domain.ids import new_id
from domain.jobs import Lane, Stage
from domain.search import AccessFilter, Filters, LexicalQuery, PutDocument
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from tests.contract.processing.world import GENERATION, MemoryIndex
from tests.contract.processing.writing import Bench, ended, outcomes, told, written

READER = AccessFilter(frozenset({"user:7"}))


async def indexed(bench: Bench, count: int) -> list[UUID]:
    documents = [await bench.ready() for _ in range(count)]
    writer = await bench.prepared()
    await writer.write_batch()
    return documents


async def rebuilt(bench: Bench) -> int:
    """What the command does, in small bites; how many documents it queued."""
    return [count async for count in bench.jobs.reindex(at_once=2)][-1]


@pytest.mark.parametrize("gone", ["folder", "generation"])
async def test_a_lost_index_stays_lost_while_documents_count_as_indexed(bench, published, gone):
    documents = await indexed(bench, 3)
    before = dict(bench.index.documents)
    bench.index = MemoryIndex()
    if gone == "folder":
        bench.index.made = {"g1": replace(GENERATION, state="live")}
        bench.index.lost = True
    with pytest.raises(Unavailable) as caught:
        await bench.prepared()
    assert (caught.value.code, "medsearch index rebuild" in caught.value.message) == (
        "search.index_missing",
        True,
    )
    assert (bench.index.lost, bool(bench.index.made)) == (gone == "folder", gone == "folder")
    assert await rebuilt(bench) == 3
    writer = await bench.prepared()
    await written(writer, 3)
    assert {key: put.root for key, put in bench.index.documents.items()} == {
        key: put.root for key, put in before.items()
    }
    assert [await outcomes(published, document) for document in documents] == [["indexed"] * 2] * 3


async def test_what_is_uploaded_meanwhile_goes_first(bench, reports):
    await indexed(bench, 2)
    await rebuilt(bench)
    page = await reports.page(statuses=(), document_id=None, after=None, limit=9)
    assert {(entry.job.lane, entry.job.state.stage) for entry in page} == {(Lane.BULK, Stage.INDEX)}
    fresh = await bench.ready()
    [lease] = await bench.jobs.claim([Stage.INDEX], "w")
    assert lease.document_id == fresh


async def test_a_rebuild_beside_a_writer_comes_to_an_end(bench, published):
    documents = await indexed(bench, 5)
    writer = bench.writer()
    async for _ in bench.jobs.reindex(at_once=2):
        await writer.write_batch()
    await writer.write_batch()
    assert [await outcomes(published, document) for document in documents] == [["indexed"] * 2] * 5


async def test_the_writer_at_work_goes_on_after_the_command(bench, published):
    (document,) = await indexed(bench, 1)
    duty = asyncio.create_task(bench.writer().run())
    bench.index.documents.clear()
    bench.index.lost = True
    late = await bench.ready()
    await asyncio.sleep(0.2)
    assert await outcomes(published, late) == []
    await rebuilt(bench)
    await told(published, late, "indexed")
    async with asyncio.timeout(30):
        while document not in bench.index.documents:  # noqa: ASYNC110 - a dictionary
            await asyncio.sleep(0.02)
    await ended(duty)


async def test_what_was_deleted_or_withdrawn_does_not_come_back(bench, tell):
    deleted, changed = await indexed(bench, 2)
    bench.documents.put(changed, revision=2, access_list=frozenset({"user:8"}))
    await rebuilt(bench)
    bench.documents.put(deleted, revision=2, deleted=True)
    await tell(EventType.DOCUMENT_DELETED, deleted, revision=2)
    bench.index = MemoryIndex()
    writer = await bench.prepared()
    await writer.write_batch()
    (put,) = bench.index.documents.values()
    assert isinstance(put, PutDocument)
    assert (put.root.document_id, put.root.access) == (changed, ("user:8",))


@pytest.fixture
async def embedded(
    bench: Bench, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[EmbeddedIndex]:
    """The bench's index is a real one; this is another process's view of it."""
    bench.generation = replace(GENERATION, name=f"t{new_id().hex}")
    bench.index = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"), True)
    reader = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"))
    yield reader
    async with bench.search.transaction() as connection:
        await connection.execute("DELETE FROM index_generation WHERE name = $1", bench.generation.name)
        await connection.execute(f'DROP TABLE generations."{bench.generation.name}"')
    await bench.index.close()
    await reader.close()


async def test_f14_ids_and_results_are_those_of_before(
    bench: Bench,
    embedded: EmbeddedIndex,
    tmp_path: Path,
    settings: Settings,
    secrets: SecretStore,
    processing,
):
    async def answers() -> object:
        words = LexicalQuery(())
        found = await embedded.lexical(words, READER, limit=50)
        ids = [hit.document_id for hit in found.hits]
        vector = [0.5] * GENERATION.dimension
        near = await embedded.semantic(vector, READER, filters=Filters(), limit=50)
        return (
            found,
            sorted(near, key=lambda hit: hit.document_id),
            await embedded.facets(words, READER, facets=["document_type"]),
            await embedded.passages(words, READER, documents=ids, ordinals={}),
        )

    await indexed(bench, 7)
    before = await answers()
    shutil.rmtree(tmp_path / bench.generation.name)
    with pytest.raises(Unavailable, match="medsearch index rebuild"):
        await answers()
    with pytest.raises(Unavailable, match="medsearch index rebuild"):
        await bench.prepared()
    assert await queue_all(settings, secrets) == 7
    writer = await bench.prepared()
    await writer.write_batch()
    assert await answers() == before
    async with processing.connection() as connection:
        records = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit'")
    assert [(record["body"]["event"], record["body"]["actor"]) for record in records] == [
        ("index.rebuild", "system")
    ]
