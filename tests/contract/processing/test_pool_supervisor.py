"""The supervisor on the real tables, with workers that are only names: starts, deaths, take-over, replacement."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from actors.pool_supervisor import TIDY_EVERY_SECONDS, PoolSupervisor
from config.settings import PoolSettings
from domain.events import EventType
from domain.jobs import Stage
from domain.lifecycle import Status
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.workers import WorkerState, WorkerStore
from tests.unit.actors.doubles import NullMeter
from tests.waiting import until

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)
RULE = PoolSettings(
    min_workers=1, max_workers=3, backlog_per_worker=2, up_delay_seconds=0, down_delay_seconds=10
)


class Hall:
    """Runs no process: knows which names are started, drained, killed. Shared by old and new supervisors."""

    def __init__(self, workers: WorkerStore) -> None:
        self.alive: dict[str, asyncio.Event] = {}
        self.drained: list[str] = []
        self.killed: list[str] = []
        self._workers = workers

    async def start(self, name: str, pool: str) -> None:
        self.alive[name] = asyncio.Event()

    async def ended(self, name: str) -> None:
        if name in self.alive:
            await self.alive[name].wait()

    async def drain(self, name: str) -> None:
        self.drained.append(name)

    async def kill(self, name: str) -> None:
        if name in self.alive:
            self.killed.append(name)
        self.die(name)

    def die(self, name: str) -> None:
        self.alive.pop(name, asyncio.Event()).set()

    async def run_all(self) -> None:
        """Every worker shows a sign of life."""
        for name in self.alive:
            await self._workers.seen(name, pid=1, node="here")

    async def finish(self, name: str) -> None:
        """A drained worker says so and goes."""
        await self._workers.move(name, WorkerState.STOPPED)
        self.die(name)


class Bench:
    """Supervisors over one hall, with a clock that the test moves."""

    def __init__(self, jobs: JobStore, reports: JobReports) -> None:
        self.now = 1000.0
        self.jobs = jobs
        self.workers = WorkerStore(jobs.db)
        self.hall = Hall(self.workers)
        self._reports = reports

    def supervisor(
        self, release: str = "r1", rule: PoolSettings = RULE, silent: float = 3600.0
    ) -> PoolSupervisor:
        return PoolSupervisor(
            f"supervisor-{release}",
            {"default": rule},
            release=release,
            launcher=self.hall,
            workers=self.workers,
            jobs=self.jobs,
            reports=self._reports,
            meter=NullMeter(),
            turn_seconds=0.01,
            silent_seconds=silent,
            clock=lambda: self.now,
        )

    async def turn(self, supervisor: PoolSupervisor, seconds: float = 1.0) -> list[str]:
        """One turn; the names of the workers that are there afterwards."""
        await asyncio.sleep(0)
        await supervisor.turn()
        self.now += seconds
        return [worker.name for worker in await self.workers.live()]

    async def reasons(self) -> list[str]:
        return [decision.reason for decision in await self.workers.decisions()]


@pytest.fixture
def bench(jobs, reports) -> Bench:
    return Bench(jobs, reports)


async def test_the_minimum_is_started_and_kept(bench):
    supervisor = bench.supervisor()
    names = await bench.turn(supervisor)
    assert list(bench.hall.alive) == names
    assert len(names) == 1
    assert await bench.turn(supervisor) == names
    assert await bench.reasons() == ["fewer than the minimum"]


async def test_backlog_adds_workers_and_idleness_drains_them(bench, upload):
    supervisor = bench.supervisor()
    for _ in range(5):
        await upload()
    await bench.turn(supervisor)
    assert len(await bench.turn(supervisor)) == 3
    await bench.hall.run_all()
    await bench.jobs.claim(WORK, "elsewhere", limit=5)
    await bench.jobs.release_holder("elsewhere")
    async with bench.jobs.db.transaction() as connection:
        await connection.execute("DELETE FROM job")
    await bench.turn(supervisor, 10.0)
    assert bench.hall.drained == []
    await bench.turn(supervisor)
    assert len(bench.hall.drained) == 1
    await bench.turn(supervisor, 10.0)
    assert len(bench.hall.drained) == 1, "the delay begins anew with each drain"
    await bench.hall.finish(bench.hall.drained[0])
    assert len(await bench.turn(supervisor)) == 2


async def test_the_work_of_a_dead_worker_is_anybodys_at_once(bench, upload):
    supervisor = bench.supervisor()
    await upload()
    [name] = await bench.turn(supervisor)
    [lease] = await bench.jobs.claim(WORK, name)
    bench.hall.die(name)
    await bench.turn(supervisor)
    [again] = await bench.jobs.claim(WORK, "other")
    assert (again.job_id, again.fence, again.attempt) == (lease.job_id, 2, 2)
    [fresh] = [worker.name for worker in await bench.workers.live()]
    assert fresh != name


async def test_a_worker_that_is_taken_for_dead_does_not_go_on(bench):
    supervisor = bench.supervisor()
    [name] = await bench.turn(supervisor)

    async def ended(_: str) -> None: ...

    bench.hall.ended = ended
    await bench.turn(supervisor)
    assert bench.hall.killed == [name]


async def test_a_worker_that_stopped_by_itself_is_no_crash(bench):
    supervisor = bench.supervisor()
    for _ in range(6):
        [name] = await bench.turn(supervisor)
        await bench.hall.finish(name)
    assert not [reason for reason in await bench.reasons() if "crashed" in reason]


async def test_a_crash_loop_is_slowed_down_and_told(bench):
    supervisor = bench.supervisor()
    starts = 0
    for _ in range(20):
        names = await bench.turn(supervisor, seconds=0.5)
        for name in names:
            starts += 1
            bench.hall.die(name)
    assert starts < 8
    assert any("crashed in a row" in reason for reason in await bench.reasons())


async def test_a_successor_takes_over_the_workers_of_its_release(bench):
    await bench.turn(bench.supervisor())
    await bench.hall.run_all()
    successor = bench.supervisor()
    before = list(bench.hall.alive)
    assert await bench.turn(successor) == before
    bench.hall.die(before[0])
    await bench.turn(successor)
    assert list(bench.hall.alive) != before


async def test_workers_that_died_without_a_supervisor_are_found(bench, upload):
    await upload()
    [name] = await bench.turn(bench.supervisor())
    await bench.jobs.claim(WORK, name)
    bench.hall.alive.clear()
    successor = bench.supervisor()
    names = await bench.turn(successor)
    assert name not in names
    assert len(await bench.jobs.claim(WORK, "other")) == 1


async def test_a_new_release_replaces_workers_one_after_the_other_and_loses_nothing(bench, upload):
    await upload()
    [old] = await bench.turn(bench.supervisor("r1"))
    await bench.hall.run_all()
    [lease] = await bench.jobs.claim(WORK, old)
    successor = bench.supervisor("r2")
    names = await bench.turn(successor)
    assert len(names) == 2
    assert bench.hall.drained == []
    await bench.turn(successor)
    assert bench.hall.drained == [], "the new one does not run yet"
    await bench.hall.run_all()
    await bench.turn(successor)
    assert bench.hall.drained == [old]
    assert await bench.jobs.heartbeat([lease]) == []
    await bench.hall.finish(old)
    assert await bench.turn(successor) == [name for name in names if name != old]


async def test_an_old_worker_is_recycled(bench):
    rule = RULE.model_copy(update={"recycle_after_seconds": 0.2})
    supervisor = bench.supervisor(rule=rule)
    [old] = await bench.turn(supervisor)
    await bench.hall.run_all()
    await asyncio.sleep(0.25)
    await bench.turn(supervisor)
    assert len(bench.hall.alive) == 2
    assert old in bench.hall.alive


async def test_a_silent_worker_is_ended_but_not_by_a_supervisor_that_just_came(bench):
    supervisor = bench.supervisor(silent=0.2)
    [name] = await bench.turn(supervisor)
    await bench.hall.run_all()
    await asyncio.sleep(0.3)
    newcomer = bench.supervisor(silent=0.2)
    await bench.turn(newcomer, seconds=0.1)
    assert bench.hall.killed == []
    await bench.turn(newcomer, seconds=0.3)
    await bench.turn(newcomer)
    assert bench.hall.killed == [name]


async def test_a_worker_that_never_came_is_simply_ended(bench, upload):
    supervisor = bench.supervisor()
    first = await bench.turn(supervisor)
    await bench.hall.run_all()
    for _ in range(5):
        await upload()
    await bench.turn(supervisor)
    async with bench.jobs.db.transaction() as connection:
        await connection.execute("DELETE FROM job")
    await bench.turn(supervisor, 10.0)
    await bench.turn(supervisor, 0.0)
    assert bench.hall.drained == []
    assert len(bench.hall.killed) == 1
    assert bench.hall.killed[0] not in first


async def test_a_pool_that_is_gone_from_the_settings_is_drained(bench):
    await bench.workers.starting("other-1", "other", "r1")
    await bench.hall.start("other-1", "other")
    await bench.hall.run_all()
    await bench.turn(bench.supervisor())
    assert bench.hall.drained == ["other-1"]


async def test_the_duty_expires_leases_and_leaves_workers_running(bench, upload, reports, lapse):
    await upload()
    await bench.jobs.claim(WORK, "vanished")
    await lapse()
    duty = asyncio.create_task(bench.supervisor().run())
    async with asyncio.timeout(30):
        while (await reports.demand(WORK)).leased or not bench.hall.alive:  # noqa: ASYNC110 - a query
            await asyncio.sleep(0.05)
    duty.cancel()
    await asyncio.gather(duty, return_exceptions=True)
    assert len(bench.hall.alive) == 1
    page = await reports.page(statuses=[Status.QUEUED], document_id=None, after=None, limit=9)
    assert [entry.job.lost_leases for entry in page] == [1]


async def test_decisions_are_kept_and_told(bench, processing):
    await bench.turn(bench.supervisor())
    [decision] = await bench.workers.decisions()
    assert (decision.pool, decision.delta, decision.workers) == ("default", 1, 1)
    async with processing.connection() as connection:
        body: dict[str, Any] = await connection.fetchval(
            "SELECT body FROM outbox WHERE body->>'type' = 'system.scaled'"
        )
    assert body["data"]["reason"] == "fewer than the minimum"


async def test_the_start_and_the_end_of_a_worker_are_told_once(bench, processing):
    supervisor = bench.supervisor()
    [name] = await bench.turn(supervisor)
    assert await _told(processing) == []
    for _ in range(2):
        await bench.workers.seen(name, pid=1, node="n")
    await bench.workers.move(name, WorkerState.DRAINING)
    for _ in range(2):
        await bench.workers.move(name, WorkerState.STOPPED)
    assert await _told(processing) == [
        ("system.started", name, {"component": "worker:default", "reason": "running"}),
        ("system.stopped", name, {"component": "worker:default", "reason": "stopped"}),
    ]


async def _told(processing: Any) -> list[tuple[str, str, dict[str, Any]]]:
    async with processing.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT body FROM outbox WHERE body->>'type' IN ('system.started', 'system.stopped') ORDER BY id
            """
        )
    return [(row["body"]["type"], row["body"]["subject"], row["body"]["data"]) for row in rows]


async def test_old_rows_are_forgotten(bench, processing):
    supervisor = bench.supervisor()
    [name] = await bench.turn(supervisor)
    await bench.hall.finish(name)
    await bench.workers.forget()
    assert await _count(processing) == (1, 1)
    await bench.workers.forget(days=-1)
    assert await _count(processing) == (0, 0)


async def test_deletions_are_forgotten_now_and_then_and_indexed_documents_never(
    bench, upload, tell, reports, processing
):
    documents = [await upload() for _ in range(2)]
    await tell(EventType.DOCUMENT_DELETED, documents[0], revision=2)
    async with processing.transaction() as connection:
        await connection.execute(
            """
            UPDATE job SET finished_at = now() - interval '31 days', stage = NULL,
                status = CASE kind WHEN 'delete' THEN 'deleted' ELSE 'indexed' END
            """
        )
    duty = asyncio.create_task(bench.supervisor().run())

    async def left() -> list[UUID]:
        page = await reports.page(statuses=(), document_id=None, after=None, limit=9)
        return [entry.job.document_id for entry in page]

    async def fewer_than(count: int) -> bool:
        return len(await left()) < count

    await until(lambda: fewer_than(2))
    assert await left() == documents[1:]
    async with processing.transaction() as connection:
        await connection.execute("UPDATE job SET status = 'deleted'")
    bench.now += TIDY_EVERY_SECONDS + 1
    await until(lambda: fewer_than(1))
    duty.cancel()
    await asyncio.gather(duty, return_exceptions=True)


async def _count(processing: Any) -> tuple[int, int]:
    async with processing.connection() as connection:
        return (
            await connection.fetchval("SELECT count(*) FROM worker"),
            await connection.fetchval("SELECT count(*) FROM scaling_decision"),
        )
