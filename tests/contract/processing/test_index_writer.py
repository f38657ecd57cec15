"""The index writer on the real queue: batches, repeated effects (F3), late changes (F22), index away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest

from actors.stages import failure
from domain.errors import StorageFull, Unavailable
from domain.events import EventType
from domain.jobs import Failure, Lease, Stage
from domain.lifecycle import Status
from domain.search import AccessFilter, DeleteDocument, LexicalQuery, PutDocument, UpdateDocument
from tests.contract.processing.world import GENERATION, artefacts_of
from tests.contract.processing.writing import WORK, ended, outcomes, told, written
from tests.memory_index import MemoryIndex as SearchableIndex
from tests.waiting import until


class Crash(BaseException):
    """The process is gone: nothing behind this point runs."""


def crash_at(point: str):
    async def checkpoint(name: str, leases: Sequence[Lease]) -> None:
        if name == point:
            raise Crash

    return checkpoint


async def test_a_batch_goes_to_index_visibility_and_queue_at_once(bench, published):
    documents = [await bench.ready() for _ in range(3)]
    assert await bench.writer().write_batch() == 3
    assert len(bench.index.batches) == 1
    for document in documents:
        put = bench.index.documents[document]
        assert isinstance(put, PutDocument)
        assert (put.root.version, len(put.passages)) == (1, 1)
        assert await bench.visible(document) == (1, 1, False)
        assert await outcomes(published, document) == ["indexed"]
    assert await bench.writer().write_batch() == 0


@pytest.mark.parametrize("point", ["written", "visible"])
async def test_f3_a_crash_between_effect_and_acknowledgement_has_one_effect(bench, published, lapse, point):
    document = await bench.ready()
    with pytest.raises(Crash):
        await bench.writer("first", crash_at(point)).write_batch()
    assert await outcomes(published, document) == []
    assert await bench.writer("second").write_batch() == 0
    await lapse()
    await until(bench.jobs.expire)
    await written(bench.writer("second"), 1)
    assert list(bench.index.documents) == [document]
    [[first], [again]] = bench.index.batches
    assert first.root == again.root
    assert await outcomes(published, document) == ["indexed"]
    assert await bench.visible(document) == (1, 1, False)


async def test_f2_a_successor_does_not_wait_for_the_leases_of_a_dead_writer(bench, published):
    document = await bench.ready()
    with pytest.raises(Crash):
        await bench.writer("first", crash_at("written")).write_batch()
    duty = asyncio.create_task(bench.writer("second").run())
    await told(published, document, "indexed")
    await ended(duty)


async def test_f18_a_document_that_ends_its_writer_takes_no_neighbour_along(bench, published, reports):
    good = [await bench.ready() for _ in range(2)]
    poison = await bench.ready()
    good += [await bench.ready() for _ in range(2)]

    async def die(_: str, leases: Sequence[Lease]) -> None:
        if poison in [lease.document_id for lease in leases]:
            raise Crash

    async with asyncio.timeout(30):
        while (await reports.stats()).backlog:
            with suppress(Crash):
                await bench.writer(checkpoint=die).write_batch()
            await bench.jobs.take_over(Stage.INDEX)
    assert await outcomes(published, poison) == ["quarantined"]
    assert [await outcomes(published, document) for document in good] == [["indexed"]] * 4


async def test_a_writer_that_has_to_stop_gives_back_what_it_holds(bench, reports):
    document = await bench.ready()
    holding = asyncio.Event()

    async def hold(_: str, __: Sequence[Lease]) -> None:
        holding.set()
        await asyncio.Event().wait()

    batch = asyncio.create_task(bench.writer(checkpoint=hold).write_batch())
    await holding.wait()
    await ended(batch)
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    job = listed.job
    assert (job.state.status, job.attempt, job.lost_leases) == (Status.QUEUED, 0, 0)


async def test_what_a_writer_breaks_on_is_anybodys_and_counted(bench, reports):
    document = await bench.ready()

    async def states(_: Sequence[UUID]) -> None:
        raise TypeError

    bench.documents.states = states
    with pytest.raises(TypeError):
        await bench.writer().write_batch()
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    assert (listed.job.state.status, listed.job.lost_leases) == (Status.QUEUED, 1)


async def test_f22_the_access_list_written_is_the_newest(bench):
    document = await bench.ready()
    bench.documents.put(document, revision=2, access_list=frozenset({"user:8"}))
    await bench.writer().write_batch()
    assert bench.index.documents[document].root.access == ("user:8",)
    assert await bench.visible(document) == (1, 2, False)


async def test_f22_a_version_that_was_replaced_is_not_written(bench, reports, published):
    document = await bench.ready()
    bench.documents.put(document, version=2, revision=2)
    await bench.writer().write_batch()
    assert bench.index.documents == {}
    assert await bench.visible(document) is None
    assert await outcomes(published, document) == []
    assert await reports.page(statuses=(), document_id=document, after=None, limit=9) == []


async def test_f22_a_deletion_during_the_batch_wins(bench, tell, published):
    document = await bench.ready()

    async def delete(name: str, _: Sequence[Lease]) -> None:
        if name == "written" and not bench.documents.known[document].deleted:
            bench.documents.put(document, revision=2, deleted=True)
            await tell(EventType.DOCUMENT_DELETED, document, revision=2)

    await bench.writer(checkpoint=delete).write_batch()
    assert document in bench.index.documents
    assert await outcomes(published, document) == []
    await bench.writer().write_batch()
    assert bench.index.documents == {}
    assert await bench.visible(document) == (1, 2, True)
    assert await outcomes(published, document) == ["deleted"]
    assert bench.blobs.content == {}


async def test_changes_and_deletions_reach_the_index(bench, tell, published):
    changed, deleted = await bench.ready(), await bench.ready()
    await bench.writer().write_batch()
    bench.documents.put(changed, revision=5, access_list=frozenset({"department:icu"}), title="New")
    await tell(EventType.DOCUMENT_METADATA_CHANGED, changed, revision=4)
    bench.documents.put(deleted, revision=3, deleted=True)
    await tell(EventType.DOCUMENT_DELETED, deleted, revision=3)
    await bench.writer().write_batch()
    update = bench.index.documents[changed]
    assert isinstance(update, UpdateDocument)
    assert (update.revision, update.access, update.title) == (5, ("department:icu",), "New")
    assert bench.index.batches[-1][1] == DeleteDocument(deleted, 3)
    assert await bench.visible(deleted) == (1, 3, True)
    assert not [key for key in bench.blobs.content if str(deleted) in key]
    assert [key for key in bench.blobs.content if str(changed) in key]
    assert await outcomes(published, deleted) == ["indexed", "deleted"]


async def test_a_revocation_and_a_rejected_version_leave_nothing_to_count(bench, tell):
    bench.index = SearchableIndex()
    document = await bench.ready()
    writer = await bench.prepared()
    await writer.write_batch()
    assert await counted(bench.index, "user:7") == 1
    bench.documents.put(document, revision=2, access_list=frozenset({"user:8"}))
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, document, version=1, revision=2)
    bench.documents.put(document, version=2, revision=3)
    await bench.upload(document, version=2, revision=3)
    [lease] = await bench.jobs.claim(WORK, "worker")
    await bench.jobs.fail(lease, Failure("encrypted", "password", final=True))
    await bench.writer().write_batch()
    assert [await counted(bench.index, reader) for reader in ("user:7", "user:8")] == [0, 0]


async def counted(index: SearchableIndex, reader: str) -> int:
    """Documents in a facet of `reader`."""
    access = AccessFilter(frozenset({reader}))
    counts = await index.facets(LexicalQuery(()), access, facets=["document_type"])
    return sum(one.count for one in counts["document_type"])


async def test_artefacts_of_older_versions_go_when_the_new_one_is_in(bench):
    document = await bench.ready()
    await bench.writer().write_batch()
    await bench.ready(document, version=2, revision=2)
    assert f"artefacts/{document}/1/embed.1" in bench.blobs.content
    await bench.writer().write_batch()
    assert {key.split("/")[2] for key in bench.blobs.content} == {"2"}


@pytest.mark.parametrize(("trouble", "error"), [("away", Unavailable), ("full", StorageFull)])
async def test_an_index_that_cannot_be_written_costs_no_attempt(
    bench, reports, rules, published, trouble, error
):
    document = await bench.ready()
    setattr(bench.index, trouble, True)
    for _ in range(rules.max_failures + rules.max_lost_leases + 1):
        with pytest.raises(error):
            await written(bench.writer(), 1)
        await until(bench.jobs.expire)
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    assert (listed.job.state.status, listed.job.failures, listed.job.lost_leases) == (Status.QUEUED, 0, 0)
    assert "index_unavailable" in [event["reason_code"] for event in await published()]
    setattr(bench.index, trouble, False)
    await written(bench.writer(), 1)
    assert await outcomes(published, document) == ["indexed"]


async def test_one_refused_document_does_not_hold_up_its_batch(bench, published, rules):
    good, bad = await bench.ready(), await bench.ready()
    bench.index.refuses = {bad}
    await written(bench.writer(), 2)
    for _ in range(rules.max_failures - 1):
        await until(bench.jobs.expire)
        await written(bench.writer(), 1)
    assert await outcomes(published, good) == ["indexed"]
    assert await outcomes(published, bad) == ["quarantined"]
    last = [event for event in await published() if event["document_id"] == str(bad)][-1]
    assert last["reason_code"] == "index_unavailable"


@pytest.mark.parametrize("stage", ["annotate", "embed"])
@pytest.mark.parametrize("content", [b"nonsense", None])
async def test_a_result_that_cannot_be_read_is_made_again(bench, published, stage, content):
    document = await bench.ready()
    key = f"artefacts/{document}/1/{stage}.1"
    if content is None:
        await bench.blobs.delete(key)
    else:
        await bench.blobs.put(key, content)
    await written(bench.writer(), 1)
    assert await bench.writer().write_batch() == 0
    lease = await claimed(bench)
    assert (lease.stage, set(lease.artefacts)) == (Stage.EMBED, {"extract", "annotate"})
    if stage == "annotate":  # which the worker finds out
        await bench.jobs.fail(lease, failure("artefact_damaged"))
        lease = await claimed(bench)
        assert (lease.stage, set(lease.artefacts)) == (Stage.ANNOTATE, {"extract"})
    for step in WORK[WORK.index(lease.stage) :]:
        key = f"artefacts/{document}/1/{step}.{lease.fence}"
        await bench.blobs.put(key, artefacts_of(lease)[step])
        keep = step is not Stage.EMBED
        lease = await bench.jobs.complete_stage(lease, key, {}, keep=keep) or lease
    await written(bench.writer(), 1)
    assert await outcomes(published, document) == ["indexed"]


async def claimed(bench) -> Lease:
    """The job that waits for a worker; a heartbeat under way may still hold its row."""
    [lease] = await until(lambda: bench.jobs.claim(WORK, "worker"))
    return lease


async def test_vectors_of_another_model_are_refused(bench, published, rules):
    document = await bench.ready()
    bench.generation = replace(GENERATION, encoder="other@2")
    await bench.writer().write_batch()
    last = (await published())[-1]
    assert (last["document_id"], last["reason_code"], last["status"]) == (
        str(document),
        "artefact_damaged",
        "queued",
    )
    assert bench.index.documents == {}


async def test_f19_a_writer_frozen_past_its_lease_is_refused(bench, published, lapse):
    document = await bench.ready()
    frozen, thaw = asyncio.Event(), asyncio.Event()

    async def freeze(name: str, _: Sequence[Lease]) -> None:
        if name == "visible":
            frozen.set()
            await thaw.wait()

    await asyncio.to_thread(bench.heart.stop)
    slow = asyncio.create_task(bench.writer("slow", freeze).write_batch())
    await frozen.wait()
    await lapse()
    await until(bench.jobs.expire)
    [lease] = await bench.jobs.claim([Stage.INDEX], "quick")
    thaw.set()
    await slow
    assert await outcomes(published, document) == []
    assert await bench.jobs.finish([lease], "g1") == []
    assert await outcomes(published, document) == ["indexed"]


async def test_the_first_generation_is_made_and_one_of_another_analysis_is_not_touched(bench):
    await bench.prepared()
    assert [g.state for g in await bench.index.generations()] == ["live"]
    await bench.prepared()
    bench.index.made["g1"] = replace(bench.index.made["g1"], analysis="2")
    with pytest.raises(Unavailable) as refusal:
        await bench.prepared()
    assert refusal.value.code == "index.generation_mismatch"


@pytest.mark.parametrize("trouble", ["away", "full"])
async def test_the_duty_survives_an_index_that_comes_late(bench, published, trouble):
    document = await bench.ready()
    setattr(bench.index, trouble, True)
    duty = asyncio.create_task(bench.writer().run())
    await asyncio.sleep(0.2)
    assert bench.index.documents == {}
    setattr(bench.index, trouble, False)
    await told(published, document, "indexed")
    await ended(duty)
