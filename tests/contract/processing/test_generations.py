"""A generation built beside the live one: what reaches it, when, and what its trouble does not do to the live one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from actors.stage_worker import artefact_key
from actors.stages import failure
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from domain.events import EventType
from domain.ids import new_id
from domain.jobs import JobKind, Lane, Lease, Stage
from domain.search import AccessFilter, Filters, Generation, LexicalQuery
from models.artefacts import dump_vectors
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from tests.contract.processing.world import GENERATION
from tests.contract.processing.writing import WORK, Bench, outcomes, written
from tests.memory_index import MemoryIndex
from tests.waiting import until

READER = AccessFilter(frozenset({"user:7"}))
NEW = Generation("g2", "encoder@2", 3, "1")


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.index = MemoryIndex()
    return bench


async def indexed(bench: Bench, count: int) -> list[UUID]:
    documents = [await bench.ready() for _ in range(count)]
    await written(await bench.prepared(), count)
    return documents


async def begun(bench: Bench, generation: Generation = NEW) -> None:
    """As `medsearch index build`."""
    await bench.index.create(generation)
    await bench.filling.begin(generation.name)


async def turn(bench: Bench) -> None:
    """One turn of the writer's duty."""
    generations = bench.generations()
    await generations.prepare()
    await bench.writer(generations=generations).write_batch()
    await generations.fill()


async def embedded(bench: Bench, generation: Generation = NEW) -> list[Lease]:
    """What workers do with the jobs of the generation; their leases."""
    leases = await bench.jobs.claim([Stage.EMBED], "worker", limit=100)
    for lease in leases:
        vectors = np.eye(1, generation.dimension, dtype=np.float32)
        await bench.blobs.put(artefact_key(lease), dump_vectors(vectors, encoder=generation.encoder))
        await bench.jobs.complete_stage(lease, artefact_key(lease), {}, keep=False)
    return leases


async def filled(bench: Bench, generation: Generation = NEW) -> None:
    await turn(bench)
    await embedded(bench, generation)
    await turn(bench)


async def held(bench: Bench, name: str) -> set[UUID]:
    found = await bench.index.lexical(LexicalQuery(()), READER, limit=100, generation=name)
    return {hit.document_id for hit in found.hits}


async def test_a_build_brings_every_document_into_the_new_generation_and_tells_nobody(bench, published):
    documents = await indexed(bench, 3)
    before = await published()
    await begun(bench)
    await turn(bench)
    standing = await bench.filling.standing("g2")
    assert (standing.documents, standing.missing, standing.waiting) == (0, 3, 3)
    leases = await embedded(bench)
    assert {(lease.kind, lease.lane, lease.generation) for lease in leases} == {
        (JobKind.EMBED, Lane.BULK, "g2")
    }
    await turn(bench)
    standing = await bench.filling.standing("g2")
    assert (standing.documents, standing.missing, standing.waiting) == (3, 0, 0)
    assert await held(bench, "g2") == await held(bench, "g1") == set(documents)
    nearest = await bench.index.semantic(
        np.eye(1, 3, dtype=np.float32)[0], READER, filters=Filters(), limit=9, generation="g2"
    )
    assert len(nearest) == 3
    assert (await bench.index.live()).name == "g1"
    assert await published() == before


async def test_what_is_uploaded_meanwhile_goes_first_and_reaches_both(bench):
    await indexed(bench, 2)
    await begun(bench)
    await turn(bench)
    late = await bench.ready()
    [first] = await bench.jobs.claim([Stage.INDEX, *WORK], "anybody")
    assert first.document_id == late
    await bench.jobs.release(first)
    await written(await bench.prepared(), 1)
    assert late in await held(bench, "g1")
    await turn(bench)
    assert {lease.document_id for lease in await embedded(bench)} == await held(bench, "g1")
    await turn(bench)
    assert await held(bench, "g2") == await held(bench, "g1")


async def test_a_complete_generation_follows_the_live_one(bench):
    await indexed(bench, 1)
    await begun(bench)
    generations = bench.generations()
    writer = bench.writer(generations=generations)
    await generations.prepare()
    await generations.fill()
    await embedded(bench)
    await written(writer, 1)
    late = await bench.ready()
    await written(writer, 1)
    assert [lease.document_id for lease in await embedded(bench)] == [late]
    await written(writer, 1)
    assert late in await held(bench, "g2")


async def test_changes_and_deletions_reach_every_generation(bench, tell):
    changed, deleted = await indexed(bench, 2)
    await begun(bench)
    await filled(bench)
    bench.documents.put(changed, revision=2, access_list=frozenset({"user:8"}))
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, changed, version=1, revision=2)
    bench.documents.put(deleted, revision=2, deleted=True)
    await tell(EventType.DOCUMENT_DELETED, deleted, revision=2)
    await turn(bench)
    assert (await held(bench, "g1"), await held(bench, "g2")) == (set(), set())
    assert [key for key in bench.blobs.content if str(deleted) in key] == []
    assert [key for key in bench.blobs.content if key.startswith(f"vectors/g2/{changed}/1/embed.")]
    assert (await bench.filling.standing("g2")).documents == 1


async def test_a_new_version_replaces_what_was_queued_for_the_old_one(bench):
    [document] = await indexed(bench, 1)
    await begun(bench)
    await turn(bench)
    await bench.ready(document, version=2, revision=2)
    await turn(bench)
    assert [lease.version for lease in await embedded(bench)] == [2]
    await turn(bench)
    standing = await bench.filling.standing("g2")
    assert (standing.documents, standing.missing) == (1, 0)


async def test_a_build_that_was_stopped_goes_on_where_it_was(bench):
    documents = await indexed(bench, 3)
    await begun(bench)
    await turn(bench)
    [lease] = await bench.jobs.claim([Stage.EMBED], "worker")
    assert await bench.filling.stop("g2")
    assert not await bench.filling.stop("g2")
    standing = await bench.filling.standing("g2")
    assert (standing.waiting, standing.filled, standing.stopped) == (1, False, True)
    key = artefact_key(lease)
    await bench.blobs.put(key, dump_vectors(np.eye(1, 3, dtype=np.float32), encoder=NEW.encoder))
    await bench.jobs.complete_stage(lease, key, {}, keep=False)
    await turn(bench)
    await turn(bench)
    assert await held(bench, "g2") == {lease.document_id}
    await bench.filling.begin("g2")
    await turn(bench)
    again = await embedded(bench)
    assert {one.document_id for one in again} == set(documents) - {lease.document_id}
    await turn(bench)
    assert await held(bench, "g2") == set(documents)


async def test_only_so_much_is_queued_at_once(bench):
    await indexed(bench, 5)
    await begun(bench)
    assert not await bench.filling.fill("g2", at_once=2)
    assert not await bench.filling.fill("g2", at_once=2)
    assert (await bench.filling.standing("g2")).waiting == 4
    assert not await bench.filling.fill("g2", at_once=2)
    assert (await bench.filling.standing("g2")).waiting == 4
    await embedded(bench)
    await written(await bench.prepared(), 4)
    assert await bench.filling.fill("g2", at_once=2)
    assert (await bench.filling.standing("g2")).waiting == 1


async def test_documents_that_fail_are_counted_and_tried_again_by_command(bench, rules):
    [document] = await indexed(bench, 1)
    await begun(bench)
    await turn(bench)
    for _ in range(rules.max_failures):
        [lease] = await bench.jobs.claim([Stage.EMBED], "worker")
        await bench.jobs.fail(lease, failure("model_failed"))
        async with bench.jobs.db.transaction() as connection:
            await connection.execute("UPDATE job SET ready_at = now() WHERE status = 'retry_wait'")
        await bench.jobs.expire()
    await turn(bench)
    standing = await bench.filling.standing("g2")
    assert (standing.missing, standing.waiting, standing.failed) == (1, 0, {"model_failed": 1})
    assert (await bench.index.live()).name == "g1"
    assert document in await held(bench, "g1")
    await bench.filling.begin("g2")
    await filled(bench)
    assert await held(bench, "g2") == {document}


async def test_after_the_promotion_vectors_of_the_former_model_are_made_again(bench, published):
    await indexed(bench, 1)
    await begun(bench)
    await filled(bench)
    late = await bench.ready()
    await bench.filling.end("g2")
    await bench.index.promote("g2")
    await turn(bench)
    assert late not in await held(bench, "g2")
    [lease] = await bench.jobs.claim(WORK, "worker")
    assert (lease.document_id, lease.stage, lease.kind) == (late, Stage.EMBED, JobKind.PROCESS)
    vectors = dump_vectors(np.eye(1, 3, dtype=np.float32), encoder=NEW.encoder)
    await bench.blobs.put(artefact_key(lease), vectors)
    await bench.jobs.complete_stage(lease, artefact_key(lease), {}, keep=False)
    await turn(bench)
    assert late in await held(bench, "g2")
    assert late not in await held(bench, "g1")
    assert await outcomes(published, late) == ["indexed"]


async def test_what_a_forced_promotion_left_out_follows(bench):
    documents = await indexed(bench, 2)
    await begun(bench)
    await bench.filling.end("g2")
    await bench.index.promote("g2")
    assert await held(bench, "g2") == set()
    await filled(bench)
    assert await held(bench, "g2") == set(documents)


async def test_a_rebuild_after_the_promotion_takes_the_new_vectors_without_the_model(bench):
    documents = await indexed(bench, 2)
    await begun(bench)
    await filled(bench)
    await bench.filling.end("g2")
    await bench.index.promote("g2")
    [_ async for _ in bench.jobs.reindex()]
    bench.index = MemoryIndex()
    await bench.index.create(NEW)
    await bench.index.promote("g2")
    assert (await bench.filling.standing("g2")).documents == 0
    await written(await bench.prepared(), 2)
    assert await held(bench, "g2") == set(documents)
    assert (await bench.filling.standing("g2")).documents == 2


async def test_a_retired_generation_gets_what_it_lacks_before_it_answers_again(bench):
    await indexed(bench, 1)
    await begun(bench)
    await filled(bench)
    await bench.filling.end("g2")
    await bench.index.promote("g2")
    bench.generation = NEW
    late = await bench.ready()
    key = f"artefacts/{late}/1/embed.1"
    await bench.blobs.put(key, dump_vectors(np.eye(1, 3, dtype=np.float32), encoder=NEW.encoder))
    await turn(bench)
    assert (late in await held(bench, "g2"), late in await held(bench, "g1")) == (True, False)
    assert (await bench.filling.standing("g1")).missing == 1
    await bench.filling.begin("g1")
    await filled(bench, GENERATION)
    assert late in await held(bench, "g1")
    assert (await bench.filling.standing("g1")).missing == 0


async def test_a_generation_that_is_dropped_leaves_nothing_behind(bench):
    [document] = await indexed(bench, 1)
    await begun(bench)
    generations = bench.generations()
    await generations.prepare()
    await generations.fill()
    await embedded(bench)
    await bench.filling.drop("g2")
    await bench.index.drop("g2")
    bench.documents.put(document, revision=2, title="New")
    assert await bench.writer(generations=generations).write_batch() == 0
    async with bench.jobs.db.connection() as connection:
        kinds = await connection.fetch("SELECT kind, generation FROM job")
        rows = await connection.fetch("SELECT DISTINCT generation FROM generation_document")
    assert [tuple(row) for row in kinds] == [("process", None)]
    assert [row["generation"] for row in rows] == ["g1"]


async def test_a_change_goes_on_while_a_generation_disappears(bench, tell):
    [document] = await indexed(bench, 1)
    await begun(bench)
    writer = await bench.prepared()
    await bench.index.drop("g2")
    bench.documents.put(document, revision=2, access_list=frozenset({"user:8"}))
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, version=1, revision=2)
    await written(writer, 1)
    assert await held(bench, "g1") == set()


@pytest.fixture
async def real(
    bench: Bench, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[Generation]:
    """The bench's index is a real one with a live generation; another one to build."""
    bench.generation = replace(GENERATION, name=f"t{new_id().hex}")
    other = replace(NEW, name=f"u{new_id().hex}")
    bench.index = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"), True)
    yield other
    async with bench.search.transaction() as connection:
        for name in (bench.generation.name, other.name):
            await connection.execute("DELETE FROM index_generation WHERE name = $1", name)
            await connection.execute(f'DROP TABLE IF EXISTS generations."{name}"')
    await bench.index.close()


async def test_one_that_is_lost_while_it_is_built_is_begun_again_and_holds_nobody_up(
    bench, real, tmp_path, rules
):
    documents = await indexed(bench, 2)
    await begun(bench, real)
    generations = bench.generations()
    writer = bench.writer(generations=generations)
    await generations.prepare()
    await generations.fill()
    await embedded(bench, real)
    shutil.rmtree(tmp_path / real.name)
    late = await bench.ready()
    await written(writer, 3)
    assert await held(bench, bench.generation.name) == {*documents, late}
    with pytest.raises(Unavailable):
        await held(bench, real.name)
    async with bench.jobs.db.transaction() as connection:
        await connection.execute("UPDATE job SET ready_at = now() WHERE status = 'retry_wait'")
    await until(bench.jobs.expire)
    await generations.prepare()
    await generations.fill()
    await embedded(bench, real)
    await written(writer, 3)
    assert await held(bench, real.name) == {*documents, late}
