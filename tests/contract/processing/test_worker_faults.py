"""Stage workers on the real queue, with a real heart, hurt in named places: F2 in small, F18, F19, drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors import composition
from actors.heart import Heart
from actors.pulses import LeasePulse, WorkerPulse
from actors.stage_worker import StageWorker, pass_by
from domain.jobs import Failure, Lease, Stage
from domain.lifecycle import Status
from models.encoders import ModelUnavailable
from stores import job_rows
from stores.jobs import JobStore
from stores.listening import Listener
from stores.postgres import Postgres
from stores.workers import WorkerState, WorkerStore
from tests.unit.actors.doubles import MemoryBlobs, Runner
from tests.waiting import until

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)
CRASH = Failure("parser_crashed", "stopped")


class Bench:
    """Makes workers that share blobs and a runner; `halt` ends one as SIGKILL would, giving back nothing."""

    def __init__(self, jobs: JobStore, open_db: Callable[[], Postgres], secrets: Any) -> None:
        self.jobs = jobs
        self.blobs = MemoryBlobs()
        self.runner = Runner()
        self._open_db = open_db
        self._secrets = secrets
        self._hearts: dict[str, Heart] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Listener] = []

    def start(self, name: str, checkpoint=pass_by) -> StageWorker:
        heart = Heart(self._pulse, seconds=0.1, lease_seconds=5, stuck_seconds=60, on_stuck=lambda: None)
        heart.start()
        listener = Listener(self.jobs.db.target, self._secrets, job_rows.WORK)
        self._listeners.append(listener)
        worker = StageWorker(
            name,
            WORK,
            queue=self.jobs,
            runner=self.runner,
            blobs=self.blobs,
            heart=heart,
            waker=listener,
            poll_seconds=0.05,
            checkpoint=checkpoint,
        )
        self._hearts[name] = heart
        self._tasks[name] = asyncio.create_task(worker.run())
        return worker

    async def halt(self, name: str) -> None:
        await self.freeze(name)
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def freeze(self, name: str) -> None:
        """Its heart stops; its work may go on."""
        await asyncio.to_thread(self._hearts[name].stop)

    async def finished(self, name: str) -> None:
        await asyncio.wait_for(self._tasks[name], 10)

    async def close(self) -> None:
        for name in list(self._tasks):
            await self.halt(name)
        for heart in self._hearts.values():
            await asyncio.to_thread(heart.stop)
        for listener in self._listeners:
            await listener.close()

    def _pulse(self) -> LeasePulse:
        own = self._open_db()
        return LeasePulse(own, JobStore(own, self.jobs.rules))


@pytest.fixture
async def bench(settings, secrets, jobs):
    bench = Bench(jobs, lambda: Postgres.of(settings, secrets, "processing"), secrets)
    yield bench
    await bench.close()


class Barrier:
    """Stops whoever reaches `point` of `stage`, and says so."""

    def __init__(self, point: str, stage: Stage) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self._place = (point, stage)

    async def __call__(self, point: str, lease: Lease) -> None:
        if (point, lease.stage) == self._place:
            self.reached.set()
            await self.go_on.wait()


async def waiting_for_index(reports, count: int) -> None:
    async def ready() -> bool:
        return (await reports.demand([Stage.INDEX])).queued == count

    await until(ready)


@pytest.mark.parametrize("stage", WORK)
@pytest.mark.parametrize("point", ["claimed", "computed", "stored", "advanced"])
async def test_f2_a_killed_worker_costs_one_stage_at_most(bench, upload, reports, published, stage, point):
    document = await upload()
    barrier = Barrier(point, stage)
    bench.start("first", barrier)
    await asyncio.wait_for(barrier.reached.wait(), 10)
    await bench.halt("first")
    await bench.jobs.release_holder("first")
    bench.start("second")
    await waiting_for_index(reports, 1)
    runs = [seen for seen, _ in bench.runner.seen]
    before = WORK[: WORK.index(stage)]
    assert [runs.count(earlier) for earlier in before] == [1] * len(before)
    assert runs.count(stage) == (1 if point in ("claimed", "advanced") else 2)
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    await until(lambda: _only(bench, set(listed.job.artefacts.values())))
    assert [e["stage"] for e in await published() if e["status"] == "queued"][-1] == "index"


async def test_a_worker_whose_models_cannot_be_loaded_ends_without_touching_a_job(
    settings, secrets, jobs, upload, reports, tmp_path
):
    document = await upload()
    models = settings.models.model_copy(update={"encoder": str(tmp_path)})
    broken = settings.model_copy(update={"models": models})
    await WorkerStore(jobs.db).starting("broken", "default", "r")
    _, running = composition.stage_worker(broken, secrets, "default", "broken")
    with pytest.raises(ModelUnavailable):
        await running.run()
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    assert (listed.job.state.status, listed.job.fence, listed.job.failures) == (Status.QUEUED, 0, 0)
    assert [worker.name for worker in await WorkerStore(jobs.db).live()] == ["broken"]


async def _only(bench: Bench, keys: set[str]) -> bool:
    """Nothing of a try that did not count is left."""
    return set(bench.blobs.content) == keys


async def test_a_worker_that_dies_unnoticed_is_followed_after_its_lease(bench, upload, reports, lapse):
    await upload()
    barrier = Barrier("computed", Stage.ANNOTATE)
    bench.start("first", barrier)
    await barrier.reached.wait()
    await bench.halt("first")
    await lapse()
    [job] = await until(bench.jobs.expire)
    assert (job.state.stage, job.lost_leases) == (Stage.ANNOTATE, 1)
    bench.start("second")
    await waiting_for_index(reports, 1)


async def test_f19_a_thawed_worker_is_refused_and_cleans_up(bench, upload, reports, lapse):
    document = await upload()
    barrier = Barrier("stored", Stage.EXTRACT)
    bench.start("frozen", barrier)
    await barrier.reached.wait()
    await bench.freeze("frozen")
    await lapse()
    await until(bench.jobs.expire)
    bench.start("second")
    await waiting_for_index(reports, 1)
    [before] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    barrier.go_on.set()
    await until(lambda: _only(bench, set(before.job.artefacts.values())))
    [after] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    assert after == before
    assert after.job.artefacts["extract"].endswith("extract.2")


async def test_f18_a_poison_document_ends_alone(bench, upload, reports, published):
    poison = await upload()
    real = bench.runner.run

    async def run(lease: Lease):
        return CRASH if lease.document_id == poison else await real(lease)

    bench.runner.run = run
    good = [await upload() for _ in range(8)]
    bench.start("w")

    async def ended() -> bool:
        await bench.jobs.expire()
        stats = await reports.stats()
        return stats.quarantined == 1 and (await reports.demand([Stage.INDEX])).queued == len(good)

    await until(ended)
    events = [event for event in await published() if event["document_id"] == str(poison)]
    assert (events[-1]["outcome"], events[-1]["reason_code"]) == ("quarantined", "parser_crashed")
    assert [event["status"] for event in events].count("retry_wait") == 2
    page = await reports.page(statuses=["queued"], document_id=None, after=None, limit=99)
    assert {entry.job.document_id for entry in page} == set(good)
    assert all(entry.job.failures == entry.job.lost_leases == 0 for entry in page)


async def test_a_drain_costs_nothing(bench, upload, reports):
    document = await upload()
    barrier = Barrier("computed", Stage.ANNOTATE)
    worker = bench.start("first", barrier)
    await barrier.reached.wait()
    worker.drain()
    barrier.go_on.set()
    await bench.finished("first")
    [listed] = await reports.page(statuses=(), document_id=document, after=None, limit=9)
    job = listed.job
    assert (job.state.status, job.state.stage, job.attempt) == (Status.QUEUED, Stage.EMBED, 0)


async def test_an_idle_worker_is_woken_by_a_new_job(bench, upload, reports):
    bench.start("w")
    await asyncio.sleep(0.3)
    await upload()
    await waiting_for_index(reports, 1)


async def test_two_workers_share_the_work(bench, upload, reports):
    documents = [await upload() for _ in range(30)]
    bench.start("a")
    bench.start("b")
    await waiting_for_index(reports, 30)
    assert len(bench.runner.seen) == len(documents) * len(WORK)


async def test_a_worker_keeps_its_row_alive_and_notices_that_nobody_supervises(settings, secrets, jobs):
    workers = WorkerStore(jobs.db)
    await workers.starting("w-1", "default", "r1")
    orphaned = asyncio.Event()
    own = Postgres.of(settings, secrets, "processing")
    pulse = WorkerPulse(
        LeasePulse(own, JobStore(own, jobs.rules)),
        WorkerStore(own),
        "w-1",
        orphan_seconds=30,
        on_orphaned=orphaned.set,
    )
    await workers.supervised("supervisor-1")
    await pulse.beat([])
    assert not orphaned.is_set()
    [row] = await workers.live()
    assert (row.state, row.pool) == (WorkerState.RUNNING, "default")
    async with jobs.db.connection() as connection:
        await connection.execute("UPDATE supervision SET seen_at = seen_at - interval '31 seconds'")
    await pulse.beat([])
    assert orphaned.is_set()
    await pulse.close()
