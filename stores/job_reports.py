"""What operators, supervisor and metrics ask of the queue; reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.job_life import Job
from domain.jobs import Lane, Stage
from domain.pace import Pace
from stores import job_rows
from stores.postgres import Postgres

PACE_WINDOW_SECONDS = 300.0
BACKLOG_CAP = 1000
"""A supervisor need not know more precisely how much there is to do."""


_DEMAND = """
    SELECT (SELECT count(*) FROM (SELECT FROM job WHERE status = 'queued' AND stage = ANY ($1)
                AND NOT (SELECT paused FROM claiming) LIMIT $2) AS capped) AS queued,
           (SELECT count(*) FROM job WHERE status = 'processing' AND stage = ANY ($1)) AS leased,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(oldest.created_at)), 0)::float8
                FROM unnest($1::text[]) AS asked (stage), unnest($3::text[]) AS served (lane)
                CROSS JOIN LATERAL (SELECT min(created_at) AS created_at FROM job WHERE finished_at IS NULL
                    AND status = 'queued' AND job.stage = asked.stage AND job.lane = served.lane) AS oldest
           ) AS oldest_seconds
"""
"""Asked twice a second: reads the first entries of an index, however long the queue is."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs of one lane are at a stage, in one state, and the age of the oldest."""

    status: str
    stage: str
    lane: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queue at one moment."""

    waiting: tuple[Waiting, ...]
    quarantined: int
    rejected: int
    paused: bool
    pace: Pace

    @property
    def oldest_seconds(self) -> float:
        return max((group.oldest_seconds for group in self.waiting), default=0.0)

    @property
    def backlog(self) -> int:
        return sum(group.count for group in self.waiting)

    @property
    def eta_seconds(self) -> float | None:
        """Until everything that waits now is done; None when nothing moves."""
        return self.pace.queue_seconds(Lane.BULK)


@dataclass(frozen=True, slots=True)
class Demand:
    """Work at some stages: claimable jobs (capped), jobs under work, age of the oldest claimable one."""

    queued: int
    leased: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as the list shows it."""

    job: Job
    created_at: datetime


class JobReports:
    """Questions about the queue as a whole."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def pace(self) -> Pace:
        """Measured over the last five minutes."""
        async with self._db.connection() as connection:
            return await _pace(connection)

    async def stats(self) -> QueueStats:
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT status, stage, lane, count(*) AS count,
                       extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds
                FROM job WHERE finished_at IS NULL GROUP BY status, stage, lane ORDER BY status, stage, lane
                """
            )
            ended = await connection.fetchrow(
                """
                SELECT count(*) FILTER (WHERE status = 'quarantined') AS quarantined,
                       count(*) FILTER (WHERE status = 'rejected') AS rejected,
                       (SELECT paused FROM claiming) AS paused
                FROM job WHERE status IN ('rejected', 'quarantined')
                """
            )
            assert ended is not None  # noqa: S101 - an aggregate always has its row
            return QueueStats(tuple(Waiting(**row) for row in rows), **ended, pace=await _pace(connection))

    async def indexed(self) -> int:
        """How many documents are in the index: counts them, for people rather than for monitoring."""
        async with self._db.connection() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM job WHERE finished_at IS NOT NULL AND status = 'indexed'"
            )
        return count

    async def demand(self, stages: Sequence[Stage]) -> Demand:
        """The work there is for a pool."""
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                _DEMAND, [stage.value for stage in stages], BACKLOG_CAP, [lane.value for lane in Lane]
            )
        assert row is not None  # noqa: S101 - scalars always have their row
        return Demand(**row)

    async def page(
        self, *, statuses: Sequence[str], document_id: UUID | None, after: UUID | None, limit: int
    ) -> list[ListedJob]:
        """Jobs in the order of their creation behind `after`; empty `statuses` means all."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT * FROM job WHERE ($1::text[] = '{}' OR status = ANY ($1))
                AND ($2::uuid IS NULL OR document_id = $2) AND ($3::uuid IS NULL OR id > $3)
                ORDER BY id LIMIT $4
                """,
                list(statuses),
                document_id,
                after,
                limit,
            )
        return [ListedJob(job_rows.read(row), row["created_at"]) for row in rows]


async def _pace(connection: asyncpg.Connection) -> Pace:
    done: Any = await connection.fetchrow(
        """
        SELECT count(*)::float8 / $1 AS per_second,
               avg(extract(epoch FROM finished_at - started_at))::float8 AS seconds_each
        FROM job WHERE finished_at > now() - make_interval(secs => $1) AND kind = 'process'
        """,
        PACE_WINDOW_SECONDS,
    )
    waiting = await connection.fetch(
        "SELECT lane, count(*) AS count FROM job WHERE status = 'queued' AND NOT urgent GROUP BY lane"
    )
    return Pace(
        done["per_second"], done["seconds_each"], {Lane(row["lane"]): row["count"] for row in waiting}
    )
