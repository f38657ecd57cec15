"""The queue on a real Postgres: exclusive claims, fences, counts, waits, quarantine, lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from cluster.databases import OWNER
from domain.errors import Conflict, LeaseLost, NotFound, Unavailable
from domain.events import EventType
from domain.ids import new_id
from domain.jobs import Failure, JobKind, Lane, Lease, Stage
from domain.lifecycle import Status
from stores import job_reports
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.postgres import Postgres, connect, database
from tests.waiting import until

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)
CRASH = Failure("parser_crashed", "stopped")


async def claim(jobs: JobStore, *stages: Stage, holder: str = "worker-1") -> Lease:
    [lease] = await jobs.claim(stages or WORK, holder)
    return lease


async def to_index(jobs: JobStore) -> None:
    """Take one document to the index stage."""
    lease: Lease | None = await claim(jobs)
    for stage in WORK:
        assert lease is not None
        lease = await jobs.complete_stage(lease, f"{stage}.1", {}, keep=stage is not Stage.EMBED)


async def statuses(reports: JobReports) -> list[Status]:
    return [
        entry.job.state.status
        for entry in await reports.page(statuses=(), document_id=None, after=None, limit=100)
    ]


async def test_parallel_claims_are_exclusive_and_complete(jobs, upload):
    documents = {await upload() for _ in range(60)}

    async def drain(name: str) -> list[Lease]:
        mine = []
        while leases := await jobs.claim(WORK, name):
            mine += leases
        return mine

    claims = [
        lease for leases in await asyncio.gather(*(drain(f"w{i}") for i in range(20))) for lease in leases
    ]
    # a claimer that met only locked rows may have stopped early: nobody else got what it got
    claims += await drain("last")
    assert len(claims) == 60
    assert {lease.document_id for lease in claims} == documents


async def test_stage_results_are_kept_and_announced_in_order(jobs, upload, published, reports):
    document = await upload()
    lease = await claim(jobs)
    assert (lease.stage, lease.attempt, lease.fence, lease.request_id) == (Stage.EXTRACT, 1, 1, "req-1")
    lease = await jobs.complete_stage(lease, "a/extract.1", {"pages": 3, "parser": "p@1"}, keep=True)
    lease = await jobs.complete_stage(lease, "a/annotate.1", {"passages": 7, "models": ["m@1"]}, keep=True)
    assert lease.artefacts == {"extract": "a/extract.1", "annotate": "a/annotate.1"}
    assert await jobs.complete_stage(lease, "a/embed.1", {}, keep=False) is None
    index = await claim(jobs, Stage.INDEX, holder="writer")
    assert (index.fence, index.artefacts["embed"]) == (2, "a/embed.1")
    assert await jobs.finish([index], "g1") == []
    events = await published()
    assert [(e["status"], e["stage"]) for e in events] == [
        ("queued", "extract"),
        ("processing", "extract"),
        ("processing", "annotate"),
        ("processing", "embed"),
        ("queued", "index"),
        ("processing", "index"),
        ("indexed", None),
    ]
    assert all(a["sequence"] < b["sequence"] for a, b in pairwise(events))
    assert all(a["progress"] <= b["progress"] for a, b in pairwise(events))
    last = events[-1]
    assert (last["type"], last["outcome"]) == (EventType.DOCUMENT_PROCESSED, "indexed")
    assert (last["pages"], last["passages"], last["models"], last["parser"]) == (3, 7, ["m@1"], "p@1")
    assert last["document_id"] == str(document)


async def test_stale_fence_is_refused_and_nothing_is_written(jobs, upload, published, reports):
    await upload()
    old = await claim(jobs)
    await jobs.release_holder("worker-1")
    new = await claim(jobs, holder="worker-2")
    assert new.fence == old.fence + 1
    before = await published()
    for write in (
        jobs.complete_stage(old, "x", {}, keep=True),
        jobs.fail(old, CRASH),
        jobs.release(old),
        jobs.postpone(old, CRASH, 1),
        jobs.drop(old),
    ):
        with pytest.raises(LeaseLost):
            await write
    assert await jobs.heartbeat([old, new]) == [old]
    assert await published() == before
    with pytest.raises(LeaseLost):
        await jobs.complete_stage(replace(new, holder="worker-1"), "x", {}, keep=True)
    assert await jobs.complete_stage(new, "y", {}, keep=True)


async def test_frozen_holder_is_refused_once_its_lease_ran_out(jobs, upload, lapse):
    await upload()
    lease = await claim(jobs)
    await lapse()
    with pytest.raises(LeaseLost):
        await jobs.complete_stage(lease, "x", {}, keep=True)
    assert await jobs.heartbeat([lease]) == [lease]
    [job] = await until(jobs.expire)
    assert (job.state.status, job.lost_leases, job.failures) == (Status.QUEUED, 1, 0)
    assert (await claim(jobs)).attempt == 2


async def test_a_holder_frozen_within_a_transaction_keeps_no_row_locked(jobs, upload, secrets):
    await upload()
    lease = await claim(jobs)
    db = Postgres(jobs.db.target, secrets, silence=0.2)

    async def freeze() -> None:
        async with db.transaction() as connection:
            await connection.execute("SELECT 1 FROM job WHERE id = $1 FOR UPDATE", lease.job_id)
            assert await jobs.release_holder("worker-1") == []
            await asyncio.sleep(0.5)
            [job] = await jobs.release_holder("worker-1")
            assert job.id == lease.job_id
            await connection.execute("SELECT 1")

    with pytest.raises(Unavailable):
        await freeze()
    await db.close()


async def test_a_heartbeat_and_a_batch_that_finishes_do_not_block_each_other(jobs, upload):
    """As `finish` does, the other one locks the jobs in the order of their ids."""
    leases = [await claim(jobs) for _ in range(2) if await upload()]
    await jobs.heartbeat(leases[:1])  # in the table, its row is now behind the other one
    async with jobs.db.transaction() as finishing:
        lock = "SELECT FROM job WHERE id = $1 FOR UPDATE"
        await finishing.execute(lock, leases[0].job_id)
        beat = asyncio.create_task(jobs.heartbeat(leases[::-1]))
        await asyncio.sleep(0.3)
        await finishing.execute(lock, leases[1].job_id)
    assert await beat == []


async def test_heartbeat_keeps_a_lease(jobs, upload, reports, rules):
    document = await upload()
    lease = await claim(jobs)
    await asyncio.sleep(0.05)
    assert await jobs.heartbeat([lease]) == []
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=1)
    assert listed.job.lease_until >= lease.until + timedelta(seconds=0.05)
    assert await jobs.expire() == []
    assert await jobs.complete_stage(lease, "x", {}, keep=True)


async def test_failures_wait_and_end_in_quarantine(jobs, upload, published, reports, rules):
    document = await upload()
    for failures in (1, 2):
        job = await jobs.fail(await claim(jobs), CRASH)
        assert (job.state.status, job.failures) == (Status.RETRY_WAIT, failures)
        assert await jobs.claim(WORK, "w") == []
        assert [job.state.status for job in await until(jobs.expire)] == [Status.QUEUED]
    lease = await claim(jobs)
    assert lease.attempt == 3
    assert (await jobs.fail(lease, CRASH)).state.status is Status.QUARANTINED
    last = (await published())[-1]
    assert (last["outcome"], last["reason_code"], last["failures"]) == ("quarantined", "parser_crashed", 3)
    assert await jobs.expire() == []
    [job] = await jobs.requeue(document)
    assert (job.state.status, job.failures, job.attempt) == (Status.QUEUED, 0, 0)
    assert (await claim(jobs)).attempt == 1


async def test_waiting_takes_at_least_its_time(jobs, upload, rules):
    await upload()
    jobs = JobStore(jobs.db, rules.model_copy(update={"backoff_seconds": (60.0,)}))
    await jobs.fail(await claim(jobs), CRASH)
    assert await jobs.expire() == []


async def test_final_failure_rejects_at_once(jobs, upload, published):
    document = await upload()
    job = await jobs.fail(await claim(jobs), Failure("encrypted", "password", final=True))
    assert job.state.status is Status.REJECTED
    last = (await published())[-1]
    assert (last["type"], last["outcome"], last["reason_code"]) == (
        "document.processed",
        "rejected",
        "encrypted",
    )
    with pytest.raises(Conflict):
        await jobs.requeue(document)


async def test_lost_leases_are_counted_apart(jobs, upload, rules):
    await upload()
    await jobs.fail(await claim(jobs), CRASH)
    await until(jobs.expire)
    for count in range(1, rules.max_lost_leases):
        await claim(jobs)
        [job] = await jobs.release_holder("worker-1")
        assert (job.state.status, job.failures, job.lost_leases) == (Status.QUEUED, 1, count)
    await claim(jobs)
    [job] = await jobs.release_holder("worker-1")
    assert (job.state.status, job.reason_code) == (Status.QUARANTINED, "lease_lost")


async def test_a_suspect_is_given_out_alone(jobs, upload):
    documents = [await upload() for _ in range(4)]
    for _ in range(2):
        leases = [await claim(jobs, holder=name) for name in ("a", "suspect", "b", "c")]
        await jobs.release_holder("suspect")
        for lease in (leases[0], *leases[2:]):
            await jobs.release(lease)
    batches = [[one.document_id for one in await jobs.claim(WORK, "w", limit=9)] for _ in range(3)]
    assert batches == [documents[:1], documents[1:2], documents[2:]]


async def test_counts_start_anew_with_each_stage(jobs, upload):
    await upload()
    await claim(jobs)
    await jobs.release_holder("worker-1")
    lease = await claim(jobs)
    assert lease.attempt == 2
    lease = await jobs.complete_stage(lease, "x", {}, keep=True)
    assert lease.attempt == 1
    job = await jobs.fail(lease, CRASH)
    assert (job.failures, job.lost_leases) == (1, 0)


async def test_drain_and_postponement_cost_nothing(jobs, upload):
    await upload()
    for _ in range(7):
        await jobs.release(await claim(jobs))
    for _ in range(7):
        await jobs.postpone(await claim(jobs), Failure("index_unavailable", "away"), 0)
        await until(jobs.expire)
    lease = await claim(jobs)
    assert lease.attempt == 1
    assert (await jobs.fail(lease, CRASH)).failures == 1


async def test_lanes_and_changes_overtake(jobs, upload, tell):
    bulk = await upload(lane=Lane.BULK)
    online = await upload()
    assert (await claim(jobs)).document_id == online
    assert [lease.document_id for lease in await jobs.claim(WORK, "w")] == [bulk]
    await upload(lane=Lane.BULK)
    await upload()
    [lease] = await jobs.claim(WORK, "w", lanes=(Lane.BULK, Lane.ONLINE))
    assert lease.lane is Lane.BULK


async def test_changes_and_deletions_overtake_additions(jobs, upload, tell):
    first = await upload()
    await to_index(jobs)
    changed, deleted = new_id(), new_id()
    await tell(EventType.DOCUMENT_ACCESS_CHANGED, changed, revision=2)
    await tell(EventType.DOCUMENT_DELETED, deleted, revision=3)
    leases = await jobs.claim([Stage.INDEX], "writer", limit=3)
    assert {(lease.kind, lease.document_id) for lease in leases[:2]} == {
        (JobKind.UPDATE, changed),
        (JobKind.DELETE, deleted),
    }
    assert leases[2].document_id == first


async def test_pause_holds_back_additions_only(jobs, upload, tell, reports):
    await upload()
    await to_index(jobs)
    await upload()
    await tell(EventType.DOCUMENT_DELETED, new_id(), revision=2)
    await jobs.pause(True)
    assert await jobs.claim(WORK, "w") == []
    assert [lease.kind for lease in await jobs.claim([Stage.INDEX], "writer", limit=9)] == [JobKind.DELETE]
    assert (await reports.stats()).paused
    assert (await reports.demand(WORK)).queued == 0
    await jobs.pause(False)
    assert len(await jobs.claim(WORK, "w")) == 1


async def test_split_pools_hand_over(jobs, upload):
    await upload()
    lease = await claim(jobs, Stage.EXTRACT)
    assert await jobs.complete_stage(lease, "x", {}, keep=False) is None
    assert await jobs.claim([Stage.EXTRACT], "w") == []
    lease = await claim(jobs, Stage.ANNOTATE, Stage.EMBED)
    assert (lease.stage, lease.artefacts) == (Stage.ANNOTATE, {"extract": "x"})


async def test_requeue_of_the_unknown_is_not_found(jobs):
    with pytest.raises(NotFound):
        await jobs.requeue(new_id())


async def test_finish_tells_which_leases_were_lost(jobs, upload):
    await upload()
    await to_index(jobs)
    await upload()
    await to_index(jobs)
    leases = await jobs.claim([Stage.INDEX], "writer", limit=2)
    gone = replace(leases[0], fence=99)
    assert await jobs.finish([gone, leases[1]], "g1") == [gone]
    assert await jobs.finish([leases[0]], "g1") == []


async def test_stats_count_by_stage_and_lane(jobs, upload, reports):
    await upload(lane=Lane.BULK)
    await upload()
    await to_index(jobs)
    stats = await reports.stats()
    assert {(w.status, w.stage, w.lane, w.count) for w in stats.waiting} == {
        ("queued", "extract", "bulk", 1),
        ("queued", "index", "online", 1),
    }
    assert stats.eta_seconds is None
    [lease] = await jobs.claim([Stage.INDEX], "writer")
    await jobs.finish([lease], "g1")
    stats = await reports.stats()
    assert (await reports.indexed(), stats.backlog) == (1, 1)
    assert stats.eta_seconds == pytest.approx(300)
    demand = await reports.demand(WORK)
    assert (demand.queued, demand.leased) == (1, 0)
    assert demand.oldest_seconds >= 0


async def test_the_oldest_of_any_lane_counts_at_the_stages_asked_for(jobs, upload, reports):
    await upload()
    await to_index(jobs)
    documents = [await upload(), await upload(lane=Lane.BULK)]
    async with jobs.db.transaction() as connection:
        await connection.execute("UPDATE job SET created_at = now() - interval '9 minutes'")
        for document, minutes in zip(documents, (1, 2), strict=True):
            await connection.execute(
                "UPDATE job SET created_at = now() - make_interval(mins => $2) WHERE document_id = $1",
                *(document, minutes),
            )
    assert (await reports.demand(WORK)).oldest_seconds == pytest.approx(120, abs=20)
    assert (await reports.demand([Stage.INDEX])).oldest_seconds == pytest.approx(540, abs=20)
    assert (await reports.demand([Stage.EMBED])).oldest_seconds == 0


async def test_the_supervisors_question_costs_the_same_however_long_the_queue_is(jobs, settings, secrets):
    """Asked twice a second: rows that it touches, with as many waiting and ended as a bulk load leaves."""
    owner = await connect(database(settings, "processing", OWNER), secrets)
    for status, stage, ended, first in (("indexed", None, True, 0), ("queued", "extract", False, 50_000)):
        await owner.execute(
            """
            INSERT INTO job (id, document_id, version, revision, kind, lane, status, stage, finished_at,
                             blob_key, request_id, sequence)
            SELECT lpad(to_hex(n + $4), 32, '0')::uuid, gen_random_uuid(), 1, 1, 'process', 'bulk', $1, $2,
                   CASE WHEN $3 THEN now() END, '', '', n
            FROM generate_series(1, 20000) AS n
            """,
            *(status, stage, ended, first),
        )
    await owner.execute("VACUUM ANALYZE job")
    (plan,) = await owner.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {job_reports._DEMAND}",
        [stage.value for stage in WORK],
        job_reports.BACKLOG_CAP,
        [lane.value for lane in Lane],
    )
    await owner.execute("TRUNCATE job")
    await owner.close()
    assert max(_rows(plan["Plan"])) <= job_reports.BACKLOG_CAP, plan


def _rows(node: dict[str, Any]) -> Iterator[float]:
    """How many rows each node of a plan read or dropped."""
    yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from _rows(inner)
