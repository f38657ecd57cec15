"""What is known of the workers: rows that outlive a supervisor, so that its successor can take them over.

A worker tells that it lives and learns in the same step whether there is still a supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from domain.events import Event, EventType
from domain.job_events import SOURCE
from stores import outbox
from stores.postgres import Postgres

KEPT_DAYS = 7


class WorkerState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    DIED = "died"


LIVE = (WorkerState.STARTING, WorkerState.RUNNING, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker; `release` names code and settings it was started with. Ages are by the database's clock."""

    name: str
    pool: str
    release: str
    state: WorkerState
    pid: int | None
    node: str | None
    age_seconds: float
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One change of a pool's size, with its reason."""

    pool: str
    delta: int
    workers: int
    backlog: int
    reason: str
    decided_at: datetime


class WorkerStore:
    """Workers and scaling decisions (`processing_db.worker`, `scaling_decision`, `supervision`)."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def starting(self, name: str, pool: str, release: str) -> None:
        """Written before the worker is started, so that none can be forgotten."""
        async with self._db.transaction() as connection:
            await connection.execute(
                "INSERT INTO worker (name, pool, release, state) VALUES ($1, $2, $3, 'starting')",
                *(name, pool, release),
            )

    async def seen(self, name: str, *, pid: int, node: str) -> float:
        """The worker lives; returns how long, in seconds, no supervisor has been seen.

        The first time is told as `system.started`.
        """
        async with self._db.transaction() as connection:
            begun: str | None = await connection.fetchval(
                "UPDATE worker SET state = 'running' WHERE name = $1 AND state = 'starting' RETURNING pool",
                name,
            )
            await connection.execute(
                "UPDATE worker SET seen_at = clock_timestamp(), pid = $2, node = $3 WHERE name = $1",
                *(name, pid, node),
            )
            if begun is not None:
                await _tell(connection, EventType.SYSTEM_STARTED, name, begun, WorkerState.RUNNING)
            silent: float | None = await connection.fetchval(
                "SELECT extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM supervision"
            )
        return silent or 0.0

    async def move(self, name: str, state: WorkerState) -> None:
        """The worker's new state; its end is told as `system.stopped`."""
        async with self._db.transaction() as connection:
            pool: str | None = await connection.fetchval(
                """
                UPDATE worker SET state = $2, ended_at = CASE WHEN $3 THEN clock_timestamp() END
                WHERE name = $1 AND ended_at IS NULL RETURNING pool
                """,
                *(name, state.value, state not in LIVE),
            )
            if pool is not None and state not in LIVE:
                await _tell(connection, EventType.SYSTEM_STOPPED, name, pool, state)

    async def live(self) -> list[WorkerRow]:
        """Workers that have not ended, oldest first."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT name, pool, release, state, pid, node,
                       extract(epoch FROM clock_timestamp() - started_at)::float8 AS age_seconds,
                       extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent_seconds
                FROM worker WHERE ended_at IS NULL ORDER BY started_at, name
                """
            )
        return [WorkerRow(**{**row, "state": WorkerState(row["state"])}) for row in rows]

    async def supervised(self, leader: str) -> None:
        """The supervisor `leader` is at work."""
        async with self._db.transaction() as connection:
            await connection.execute(
                "UPDATE supervision SET leader = $1, seen_at = clock_timestamp()", leader
            )

    async def decided(self, pool: str, delta: int, *, workers: int, backlog: int, reason: str) -> None:
        """Keep a decision and tell it as `system.scaled`."""
        event = Event(
            EventType.SYSTEM_SCALED,
            subject=pool,
            data={"component": f"pool:{pool}", "reason": reason, "delta": delta, "workers": workers},
            source=SOURCE,
        )
        async with self._db.transaction() as connection:
            await connection.execute(
                """
                INSERT INTO scaling_decision (pool, delta, workers, backlog, reason)
                VALUES ($1, $2, $3, $4, $5)
                """,
                *(pool, delta, workers, backlog, reason),
            )
            await outbox.publish(connection, event)

    async def decisions(self, limit: int = 20) -> Sequence[Decision]:
        """The last decisions, newest first."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT pool, delta, workers, backlog, reason, decided_at FROM scaling_decision
                ORDER BY id DESC LIMIT $1
                """,
                limit,
            )
        return [Decision(**row) for row in rows]

    async def forget(self, days: int = KEPT_DAYS) -> None:
        """Remove ended workers and decisions older than that."""
        async with self._db.transaction() as connection:
            for table, column in (("worker", "ended_at"), ("scaling_decision", "decided_at")):
                await connection.execute(
                    f"DELETE FROM {table} WHERE {column} < now() - make_interval(days => $1)",  # noqa: S608 - ours
                    days,
                )


async def _tell(
    connection: asyncpg.Connection, kind: EventType, name: str, pool: str, state: WorkerState
) -> None:
    data = {"component": f"worker:{pool}", "reason": state.value}
    await outbox.publish(connection, Event(kind, subject=name, data=data, source=SOURCE))
