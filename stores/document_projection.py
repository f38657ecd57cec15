"""What processing says of a document, taken over into `document_db` by a subscriber of the event log.

A message counts for the document's current version only, and only when its `sequence` is above the last
one's: late and repeated messages lose.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.events import Event, EventType, Topic
from domain.jobs import Stage
from domain.lifecycle import State, Status
from stores.ports import BlobStore
from stores.postgres import Postgres
from stores.subscriptions import Subscription

NAME = "documents-projection"


class DocumentProjection:
    """Applies `document.stage_changed` and `document.processed`."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def apply(self, connection: asyncpg.Connection, event: Event) -> None:
        """The effect of one event, on a transaction of `document_db`."""
        if event.type is EventType.DOCUMENT_STAGE_CHANGED:
            await _stand(connection, event)
        elif event.type is EventType.DOCUMENT_PROCESSED:
            if event.data["outcome"] == Status.DELETED:
                await self._purge(connection, UUID(event.data["document_id"]))
            elif await _stand(connection, event):
                await _results(connection, event.data)

    async def _purge(self, connection: asyncpg.Connection, document_id: UUID) -> None:
        """Nothing is left of it elsewhere: remove the originals and what is known about the document."""
        purged = await connection.fetchval(
            """
            UPDATE document SET status = 'deleted', filename = '', title = '', document_date = NULL,
                patient = NULL, department = NULL, access = '{}', readers = '{}', artefacts = '{}',
                updated_at = now()
            WHERE id = $1 AND status = 'deleting' RETURNING true
            """,
            document_id,
        )
        if purged:
            await connection.execute(
                "UPDATE document_version SET filename = '' WHERE document_id = $1", document_id
            )
            await self._blobs.delete(f"originals/{document_id}")


def document_projection(db: Postgres, blobs: BlobStore) -> Subscription:
    """The subscriber for the event pump; `db` is `document_db` as the service's own role."""
    return Subscription(db, NAME, [Topic.DOCUMENT], DocumentProjection(blobs).apply)


async def _stand(connection: asyncpg.Connection, event: Event) -> bool:
    """Where the document stands now; False when the message came too late to count."""
    data = event.data
    state = State(Status(data["status"]), Stage(data["stage"]) if data.get("stage") else None)
    eta = data.get("eta_seconds")
    moved = await connection.fetchval(
        """
        UPDATE document SET status = $4, stage = $5, progress = $6, failures = $7, reason_code = $8,
            eta_at = $9, artefacts = $10, sequence = $3, updated_at = now()
        WHERE id = $1 AND version = $2 AND sequence < $3 AND status NOT IN ('deleting', 'deleted')
        RETURNING true
        """,
        *(UUID(data["document_id"]), data["version"], data["sequence"]),
        *(state.status.value, state.stage.value if state.stage else None),
        *(data["progress"], data.get("failures", 0), data.get("reason_code")),
        None if eta is None else event.time + timedelta(seconds=eta),
        data.get("artefacts", {}),
    )
    return bool(moved)


async def _results(connection: asyncpg.Connection, data: dict[str, Any]) -> None:
    await connection.execute(
        """
        UPDATE document SET pages = $2, unreadable_pages = $3, warnings = $4,
            media_type = coalesce($5, media_type)
        WHERE id = $1
        """,
        *(UUID(data["document_id"]), data.get("pages"), data.get("unreadable_pages", [])),
        *(data.get("warnings", []), data.get("media_type")),
    )
