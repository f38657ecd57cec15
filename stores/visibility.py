"""What search may show now: one row a document in `search_db`, raised in revision and never lowered.

The index may lag or hold an older version; a hit leaves only when this table agrees (see `docs/decisions/`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from domain.access import effective_principals
from domain.documents import DocumentState
from domain.events import Event, EventType, Topic
from stores.ports import DocumentDirectory
from stores.postgres import Postgres
from stores.subscriptions import Subscription

SUBSCRIBER = "search-visibility"
LOCK = 7_305_128_404


@dataclass(frozen=True, slots=True)
class Visible:
    """A document's row; `access` is `domain.access.effective_principals`."""

    document_id: UUID
    version: int
    revision: int
    access: tuple[str, ...]
    deleted: bool = False

    @classmethod
    def of(cls, state: DocumentState) -> Visible:
        access = tuple(sorted(effective_principals(state.access)))
        return cls(state.document_id, state.version, state.revision, access, state.deleted)


class PostgresVisibility:
    """`stores.ports.Visibility` in `search_db`."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def visible(self, versions: Mapping[UUID, int], principals: Collection[str]) -> frozenset[UUID]:
        """Those of the documents that may be shown, in the named version, to someone with `principals`."""
        if not versions or not principals:
            return frozenset()
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT document_id, version FROM visibility
                WHERE document_id = ANY($1) AND NOT deleted AND access && $2::text[]
                """,
                list(versions),
                list(principals),
            )
        return frozenset(document for document, version in rows if versions[document] == version)

    async def raise_to(self, rows: Sequence[Visible]) -> None:
        """Take these rows over where their revision is higher than the known one."""
        async with self._db.transaction() as connection:
            await raise_visibility(connection, rows)


async def raise_visibility(connection: asyncpg.Connection, rows: Sequence[Visible]) -> None:
    """As `PostgresVisibility.raise_to`, in the caller's transaction.

    Writers take turns until their transactions end: the subscriber's has its rows in the order of events.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    await connection.executemany(
        """
        INSERT INTO visibility AS known (document_id, version, revision, access, deleted)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (document_id) DO UPDATE
            SET (version, revision, access, deleted)
                = (excluded.version, excluded.revision, excluded.access, excluded.deleted)
            WHERE known.revision < excluded.revision
        """,
        [(row.document_id, row.version, row.revision, list(row.access), row.deleted) for row in rows],
    )


def visibility_subscription(db: Postgres, directory: DocumentDirectory) -> Subscription:
    """The subscriber that hides deleted, replaced and withdrawn documents at once, before the index follows.

    `db` is `search_db`. The first version of a document becomes visible only by the index writer.
    """

    async def apply(connection: asyncpg.Connection, event: Event) -> None:
        if not _narrows(event):
            return
        state = await directory.state(UUID(event.subject))
        await raise_visibility(connection, [Visible.of(state) if state else _gone(event)])

    return Subscription(db, SUBSCRIBER, (Topic.DOCUMENT,), apply)


def _narrows(event: Event) -> bool:
    match event.type:
        case EventType.DOCUMENT_ACCESS_CHANGED | EventType.DOCUMENT_DELETED:
            return True
        case EventType.DOCUMENT_UPLOADED:
            return int(event.data["version"]) > 1
        case _:
            return False


def _gone(event: Event) -> Visible:
    """For a document that its service does not know any more."""
    return Visible(UUID(event.subject), 0, int(event.data["revision"]), (), deleted=True)
