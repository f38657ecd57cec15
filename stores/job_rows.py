"""Rows of `processing_db.job`: read as `Job`, changed under a lock, saved together with their events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from domain.errors import LeaseLost
from domain.job_events import event_of
from domain.job_life import Job
from domain.jobs import JobKind, Lane, Lease, Stage
from domain.lifecycle import State, Status
from domain.pace import Pace
from stores import outbox

WORK = "job_work"
"""LISTEN channel: a job may be claimed by a stage worker."""
INDEX = "job_index"
"""LISTEN channel: a job may be claimed by the index writer."""

_SAVE = """
    UPDATE job SET status = $2, stage = $3, attempt = $4, failures = $5, lost_leases = $6, fence = $7,
        holder = $8, lease_until = $9, ready_at = $10, reason_code = $11, facts = $12, artefacts = $13,
        started_at = $14, finished_at = $15, lane = $16, sequence = nextval('job_sequence')
    WHERE id = $1 RETURNING sequence
"""
_PLAIN = (
    "id", "document_id", "version", "revision", "blob_key", "request_id", "attempt", "failures",
    "lost_leases", "fence", "holder", "lease_until", "ready_at", "reason_code", "facts", "artefacts",
    "started_at", "finished_at", "generation",
)  # fmt: skip
"""Columns that are fields of the job as they are."""
_INSERT = """
    INSERT INTO job
        (id, document_id, version, revision, kind, lane, blob_key, request_id, status, stage, sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nextval('job_sequence'))
    ON CONFLICT DO NOTHING RETURNING sequence
"""


def read(row: asyncpg.Record) -> Job:
    """The job of a row with all columns."""
    return Job(
        kind=JobKind(row["kind"]),
        lane=Lane(row["lane"]),
        state=State(Status(row["status"]), Stage(row["stage"]) if row["stage"] else None),
        **{name: row[name] for name in _PLAIN},
    )


async def clock(connection: asyncpg.Connection) -> datetime:
    """The only clock that leases know."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def held(connection: asyncpg.Connection, lease: Lease) -> Job:
    """The job of a lease, locked; raises `LeaseLost` when the lease is not (or no longer) the valid one."""
    row = await connection.fetchrow(
        """
        SELECT * FROM job WHERE id = $1 AND fence = $2 AND holder = $3 AND stage = $4
        AND status = 'processing' AND lease_until > clock_timestamp() FOR UPDATE
        """,
        lease.job_id,
        lease.fence,
        lease.holder,
        lease.stage.value,
    )
    if row is None:
        raise LeaseLost(f"The lease {lease.fence} of job {lease.job_id} is no longer valid.")
    return read(row)


async def change(
    connection: asyncpg.Connection,
    where: str,
    arguments: Sequence[Any],
    apply: Callable[[Job], Job],
    pace: Pace,
    *,
    limit: int = 200,
    wait: bool = False,
) -> list[Job]:
    """Change rows that fulfil `where`, a condition of ours; the new jobs. Passes over locked ones unless told to `wait`."""
    locked = "" if wait else "SKIP LOCKED"
    query = f"SELECT * FROM job WHERE {where} ORDER BY id LIMIT {limit} FOR UPDATE {locked}"  # noqa: S608 - conditions of ours
    rows = await connection.fetch(query, *arguments)
    jobs = [apply(read(row)) for row in rows]
    await save(connection, jobs, pace)
    return jobs


async def save(connection: asyncpg.Connection, jobs: Iterable[Job], pace: Pace) -> None:
    """Write locked jobs back and publish what happened; wake those who may claim them."""
    statement = await connection.prepare(_SAVE)
    jobs = list(jobs)
    sequences = [await statement.fetchval(job.id, *_values(job)) for job in jobs]
    await announce(connection, list(zip(jobs, sequences, strict=True)), pace)


async def insert(connection: asyncpg.Connection, job: Job, pace: Pace) -> bool:
    """Add a new job and publish it; False when the document has that very job already."""
    sequence = await connection.fetchval(
        _INSERT,
        job.id,
        job.document_id,
        job.version,
        job.revision,
        job.kind.value,
        job.lane.value,
        job.blob_key,
        job.request_id,
        *_values(job)[:2],
    )
    if sequence is None:
        return False
    await announce(connection, [(job, sequence)], pace)
    return True


async def announce(connection: asyncpg.Connection, jobs: Sequence[tuple[Job, int]], pace: Pace) -> None:
    """Publish the present state of jobs and wake whoever may claim those that are queued."""
    events = [event for job, sequence in jobs if (event := event_of(job, sequence, pace))]
    if events:
        await outbox.publish(connection, *events)
    queued = {job.state.stage is Stage.INDEX for job, _ in jobs if job.state.status is Status.QUEUED}
    for is_index in queued:
        await connection.execute(f"NOTIFY {INDEX if is_index else WORK}")


def _values(job: Job) -> tuple[Any, ...]:
    state = job.state
    return (
        state.status.value,
        state.stage.value if state.stage else None,
        job.attempt,
        job.failures,
        job.lost_leases,
        job.fence,
        job.holder,
        job.lease_until,
        job.ready_at,
        job.reason_code,
        dict(job.facts),
        dict(job.artefacts),
        job.started_at,
        job.finished_at,
        job.lane.value,
    )
