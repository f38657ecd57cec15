"""The durable queue: claims with leases and fences, results, failures, lost leases (`processing_db.job`).

Every change is one transaction: the row, its artefact and its outbox event together, or nothing. A write
needs a valid lease: the fence of the claim, not yet run out by the database's clock. Else `LeaseLost` is
raised and nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from config.settings import ProcessingSettings
from domain import job_life
from domain.errors import LeaseLost, NotFound
from domain.job_life import Job
from domain.jobs import Failure, JobKind, Lane, Lease, Stage
from domain.lifecycle import Status
from domain.pace import Pace
from stores import generation_jobs, job_rows, outbox
from stores.job_reports import JobReports
from stores.postgres import Postgres

PACE_SECONDS = 10.0
"""How long a measured pace is believed (it only serves estimates)."""

KEPT_DAYS = 30
"""How long a deletion is remembered: far longer than an event of the document could still come."""

BOTH_LANES = (Lane.ONLINE, Lane.BULK)


class JobStore:
    """The queue for workers, index writer, supervisor and operators; built once a process."""

    def __init__(self, db: Postgres, rules: ProcessingSettings) -> None:
        self.db = db
        self.rules = rules
        self._reports = JobReports(db)
        self._pace = Pace()
        self._pace_until = 0.0

    async def claim(
        self, stages: Sequence[Stage], holder: str, *, lanes: Sequence[Lane] = BOTH_LANES, limit: int = 1
    ) -> list[Lease]:
        """Up to `limit` jobs for `holder`, none of which anybody else gets.

        Changes and deletions first, then lane by lane in the given order; in a lane what is nearest to its
        end, then the oldest. While claiming is paused, only changes and deletions are given out. A job that lost
        its lease more than once is given out alone: it may be what ends its holders.
        """
        pace = await self.pace()
        async with self.db.transaction() as connection:
            rows = await self._candidates(connection, stages, lanes, limit)
            if not rows:
                return []
            now = await job_rows.clock(connection)
            seconds = self.rules.lease_seconds
            found = _together([job_rows.read(row) for row in rows])
            jobs = [job_life.claimed(job, holder, now, seconds) for job in found]
            await job_rows.save(connection, jobs, pace)
        return [job.lease for job in jobs]

    async def heartbeat(self, leases: Sequence[Lease]) -> list[Lease]:
        """Prolong the leases that are still valid; returns those that are lost."""
        async with self.db.transaction() as connection:
            await connection.execute(
                # in the order in which `finish` locks them: an UPDATE alone locks in an order of its own
                "SELECT FROM job WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE",
                [lease.job_id for lease in leases],
            )
            rows = await connection.fetch(
                """
                UPDATE job SET lease_until = clock_timestamp() + make_interval(secs => $4)
                FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS own(id, fence, holder)
                WHERE job.id = own.id AND job.fence = own.fence AND job.holder = own.holder
                AND status = 'processing' AND lease_until > clock_timestamp() RETURNING job.id, job.fence
                """,
                [lease.job_id for lease in leases],
                [lease.fence for lease in leases],
                [lease.holder for lease in leases],
                self.rules.lease_seconds,
            )
        kept = {(row["id"], row["fence"]) for row in rows}
        return [lease for lease in leases if (lease.job_id, lease.fence) not in kept]

    async def complete_stage(
        self, lease: Lease, key: str, facts: Mapping[str, Any], *, keep: bool
    ) -> Lease | None:
        """The stage's result is durable at `key`: go on to the next one.

        With `keep` the next stage is the same holder's, whose lease is returned, else anybody's.
        """
        pace = await self.pace()
        async with self.db.transaction() as connection:
            held = await job_rows.held(connection, lease)
            now = await job_rows.clock(connection)
            job = job_life.advanced(held, key, facts, now, self.rules.lease_seconds, keep=keep)
            await job_rows.save(connection, [job], pace)
        return job.lease if keep else None

    async def finish(self, leases: Sequence[Lease], generation: str) -> list[Lease]:
        """These jobs are in the index, documents in its live `generation`; returns the leases that were lost."""
        lost: list[Lease] = []
        done: list[Job] = []
        async with self.db.transaction() as connection:
            now = await job_rows.clock(connection)
            for lease in sorted(leases, key=lambda lease: lease.job_id):
                try:
                    job = await job_rows.held(connection, lease)
                except LeaseLost:
                    lost.append(lease)
                else:
                    done.append(job_life.finished(job, now))
            await job_rows.save(connection, done, self._pace)
            await generation_jobs.record(connection, done, generation)
            await _drop(connection, [job.id for job in done if job.kind in (JobKind.UPDATE, JobKind.EMBED)])
        return lost

    async def fail(self, lease: Lease, failure: Failure) -> Job:
        """Count a failure: a wait, `rejected` when it is final, quarantine when attempts are spent."""
        async with self.db.transaction() as connection:
            job = await job_rows.held(connection, lease)
            now = await job_rows.clock(connection)
            job = job_life.failed(job, failure, now, self.rules)
            await job_rows.save(connection, [job], self._pace)
        return job

    async def postpone(self, lease: Lease, failure: Failure, wait_seconds: float) -> None:
        """Give back what cannot be done now through nobody's fault; it costs nothing."""
        async with self.db.transaction() as connection:
            job = await job_rows.held(connection, lease)
            now = await job_rows.clock(connection)
            await job_rows.save(connection, [job_life.postponed(job, failure, now, wait_seconds)], self._pace)

    async def release(self, lease: Lease) -> None:
        """Give the job back untouched (drain); it costs nothing."""
        async with self.db.transaction() as connection:
            job = await job_rows.held(connection, lease)
            await job_rows.save(connection, [job_life.released(job)], self._pace)

    async def drop(self, lease: Lease) -> None:
        """Forget a job that has no object any more: its version was replaced or its document is gone."""
        async with self.db.transaction() as connection:
            job = await job_rows.held(connection, lease)
            await _drop(connection, [job.id])

    async def release_holder(self, holder: str) -> list[Job]:
        """Its supervisor saw `holder` die: its leases count as lost, its jobs are anybody's."""
        return await self._lose("status = 'processing' AND holder = $1", holder)

    async def take_over(self, stage: Stage) -> list[Job]:
        """The only one who works at `stage` begins: leases that others have there count as lost."""
        return await self._lose("status = 'processing' AND stage = $1", stage.value)

    async def expire(self) -> list[Job]:
        """Take back leases that ran out, and wake jobs whose wait is over; the jobs that changed."""
        lost = await self._lose("status = 'processing' AND lease_until <= clock_timestamp()")
        async with self.db.transaction() as connection:
            where = "status = 'retry_wait' AND ready_at <= clock_timestamp()"
            return lost + await job_rows.change(connection, where, (), job_life.woken, self._pace)

    async def forget(self, days: int = KEPT_DAYS) -> int:
        """Remove the jobs of documents deleted longer ago than that; how many.

        Those of documents that are there stay: they name the artefacts, and what comes late is told by them.
        """
        async with self.db.transaction() as connection:
            done = await connection.execute(
                """
                DELETE FROM job WHERE finished_at < now() - make_interval(days => $1) AND status = 'deleted'
                """,
                days,
            )
        return int(done.rpartition(" ")[2])

    async def requeue(self, document_id: UUID, *records: Mapping[str, Any]) -> list[Job]:
        """Take a document's jobs out of quarantine; sealed audit `records` go with it.

        Raises `NotFound` when it has no job, `Conflict` when none is in quarantine.
        """
        async with self.db.transaction() as connection:
            rows = await connection.fetch(
                "SELECT * FROM job WHERE document_id = $1 ORDER BY id FOR UPDATE", document_id
            )
            if not rows:
                raise NotFound("There is no such document in processing.")
            jobs = [job_rows.read(row) for row in rows]
            stopped = [job for job in jobs if job.state.status is Status.QUARANTINED] or jobs[-1:]
            changed = [job_life.requeued(job) for job in stopped]
            await job_rows.save(connection, changed, self._pace)
            await outbox.publish_audit(connection, *records)
        return changed

    async def any_indexed(self) -> bool:
        """Whether documents count as indexed."""
        async with self.db.connection() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM job WHERE finished_at IS NOT NULL AND status = 'indexed')"
                )
            )

    async def reindex(self, *records: Mapping[str, Any], at_once: int = 2000) -> AsyncIterator[int]:
        """Queue the documents that are indexed now for their last stage; yields how many there are so far.

        Audit `records` go with the first. May be broken off and begun again.
        """
        async with self.db.connection() as connection:
            began = await connection.fetchval("SELECT nextval('job_sequence')")
        where = "status = 'indexed' AND sequence < $1"
        total = 0
        while True:
            async with self.db.transaction() as connection:
                changed = await job_rows.change(
                    connection, where, (began,), job_life.reindexed, self._pace, limit=at_once, wait=True
                )
                await outbox.publish_audit(connection, *records)
            records = ()
            total += len(changed)
            yield total
            if not changed:
                return

    async def pause(self, paused: bool, *records: Mapping[str, Any]) -> None:
        """Stop or resume giving out work; what is under work is finished. Audit `records` go with it."""
        async with self.db.transaction() as connection:
            await connection.execute("UPDATE claiming SET paused = $1", paused)
            await outbox.publish_audit(connection, *records)
            if not paused:
                await connection.execute(f"NOTIFY {job_rows.WORK}")
                await connection.execute(f"NOTIFY {job_rows.INDEX}")

    async def pace(self) -> Pace:
        """How fast work is done, measured at most every `PACE_SECONDS`."""
        if time.monotonic() >= self._pace_until:
            self._pace_until = time.monotonic() + PACE_SECONDS
            self._pace = await self._reports.pace()
        return self._pace

    async def _lose(self, where: str, *arguments: Any) -> list[Job]:
        async with self.db.transaction() as connection:
            now = await job_rows.clock(connection)
            return await job_rows.change(
                connection, where, arguments, lambda job: job_life.lost(job, now, self.rules), self._pace
            )

    @staticmethod
    async def _candidates(
        connection: asyncpg.Connection, stages: Sequence[Stage], lanes: Sequence[Lane], limit: int
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = []
        if Stage.INDEX in stages:
            rows += await connection.fetch(f"{_QUEUED} AND urgent {_LOCKED}", Stage.INDEX, limit)
        if await connection.fetchval("SELECT paused FROM claiming"):
            return rows
        for lane in lanes:
            for stage in sorted(stages, key=list(Stage).index, reverse=True):
                if len(rows) < limit:
                    wanted = (stage.value, limit - len(rows), lane.value)
                    rows += await connection.fetch(
                        f"{_QUEUED} AND NOT urgent AND lane = $3 {_LOCKED}", *wanted
                    )
        return rows


_QUEUED = "SELECT * FROM job WHERE status = 'queued' AND stage = $1"
_LOCKED = "ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"


def _together(jobs: Sequence[Job]) -> Sequence[Job]:
    """As many of the first jobs as may be under one holder."""
    for place, job in enumerate(jobs):
        if job.lost_leases > 1:
            return jobs[: max(place, 1)]
    return jobs


async def _drop(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> None:
    if job_ids:
        await connection.execute("DELETE FROM job WHERE id = ANY ($1::uuid[])", job_ids)
