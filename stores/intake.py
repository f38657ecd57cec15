"""Processing as a subscriber of document events: from event to job, in one transaction with the position.

A new version replaces the older one's processing, never a change that still has to reach the index; a change of
metadata or access becomes a small job at the index, and so does a new version, which hides the old one there at once;
a deletion replaces whatever there was. What comes too late (an older version, a deleted document) is ignored.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import asyncpg

from domain.events import Event, EventType, Topic
from domain.ids import new_id
from domain.job_life import Job, first_state
from domain.jobs import JobKind, Lane
from stores import job_rows
from stores.jobs import JobStore
from stores.subscriptions import Subscription

NAME = "processing-intake"
CHANGES = (EventType.DOCUMENT_ACCESS_CHANGED, EventType.DOCUMENT_METADATA_CHANGED)


class Intake:
    """Turns events into jobs."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    async def apply(self, connection: asyncpg.Connection, event: Event) -> None:
        """The effect of one event, on a transaction of `processing_db`."""
        if event.type is EventType.DOCUMENT_UPLOADED:
            await self._upload(connection, event)
        elif event.type in CHANGES:
            await self._change(connection, event)
        elif event.type is EventType.DOCUMENT_DELETED:
            await self._delete(connection, event)

    async def _upload(self, connection: asyncpg.Connection, event: Event) -> None:
        job = _job(event, JobKind.PROCESS)
        if await _late(connection, job.document_id, job.version):
            return
        await connection.execute(
            "DELETE FROM job WHERE document_id = $1 AND NOT urgent AND version < $2",
            *(job.document_id, job.version),
        )
        await job_rows.insert(connection, job, await self._jobs.pace())
        if job.version > 1:
            await self._change(connection, event)

    async def _change(self, connection: asyncpg.Connection, event: Event) -> None:
        job = _job(event, JobKind.UPDATE)
        if await _late(connection, job.document_id, None):
            return
        await connection.execute(
            """
            DELETE FROM job
            WHERE document_id = $1 AND kind = 'update' AND status = 'queued' AND revision < $2
            """,
            *(job.document_id, job.revision),
        )
        await job_rows.insert(connection, job, await self._jobs.pace())

    async def _delete(self, connection: asyncpg.Connection, event: Event) -> None:
        job = _job(event, JobKind.DELETE)
        gone = await connection.fetch(
            "DELETE FROM job WHERE document_id = $1 AND kind <> 'delete' RETURNING version", job.document_id
        )
        job = replace(job, version=max(job.version, *(row["version"] for row in gone), 0))
        await job_rows.insert(connection, job, await self._jobs.pace())


def processing_intake(jobs: JobStore) -> Subscription:
    """The subscriber for the event pump."""
    return Subscription(jobs.db, NAME, [Topic.DOCUMENT], Intake(jobs).apply)


async def _late(connection: asyncpg.Connection, document_id: UUID, version: int | None) -> bool:
    """Whether the document was deleted or, with `version`, has that version or a newer one in processing."""
    found = await connection.fetchval(
        """
        SELECT 1 FROM job
        WHERE document_id = $1 AND (kind = 'delete' OR (kind = 'process' AND version >= $2)) LIMIT 1
        """,
        *(document_id, version),
    )
    return found is not None


def _job(event: Event, kind: JobKind) -> Job:
    data = event.data
    return Job(
        id=new_id(),
        document_id=UUID(data["document_id"]),
        version=data.get("version", 0),
        revision=data["revision"],
        kind=kind,
        lane=Lane(data.get("lane", Lane.ONLINE)),
        state=first_state(kind),
        blob_key=data.get("blob_key", ""),
        request_id=event.request_id,
    )
