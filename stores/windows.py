"""Frozen result windows and `search.performed`, in `search_db`: ids, ranks and scores, no text."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from domain.errors import Gone
from domain.events import Event
from domain.windows import Place, Window, WindowEntry
from stores.outbox import publish
from stores.postgres import Postgres

KEPT_PER_ACCOUNT = 50
"""Newest windows of one account that stay; older ones end early."""

PURGED_AT_ONCE = 200

_ENTRY = struct.Struct("<16siffififi")
"""id, version, score, assertion, rank and score of both legs, ordinal; rank 0 and ordinal -1 mean none."""


PURGE = """
    DELETE FROM search_window WHERE id IN (
        (SELECT id FROM search_window WHERE expires_at < now() LIMIT $3)
        UNION ALL
        (SELECT id FROM search_window WHERE account = $1 ORDER BY id DESC OFFSET $2))
"""


class PostgresWindows:
    """`stores.ports.SearchWindows`; a window can be paged for `seconds` by the account it was made for."""

    def __init__(self, db: Postgres, *, seconds: int) -> None:
        self._db = db
        self._seconds = seconds

    async def answered(self, event: Event, window: Window | None) -> None:
        """Publish that a search was answered and freeze its window when there is more than was shown."""
        async with self._db.transaction() as connection:
            if window is not None:
                await self._freeze(connection, window)
            await publish(connection, event)

    async def read(self, window_id: UUID, account: str) -> Window:
        """The window; raises `Gone` when it is unknown, over, or somebody else's."""
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT total, legs, entries FROM search_window
                WHERE id = $1 AND account = $2 AND expires_at > now()
                """,
                window_id,
                account,
            )
        if row is None:
            raise Gone("This result list is no longer kept. Search again.", code="search.cursor_expired")
        return Window(window_id, account, row["total"], tuple(row["legs"]), unpacked(row["entries"]))

    async def _freeze(self, connection: asyncpg.Connection, window: Window) -> None:
        await connection.execute(PURGE, window.account, KEPT_PER_ACCOUNT - 1, PURGED_AT_ONCE)
        await connection.execute(
            """
            INSERT INTO search_window (id, account, total, legs, entries, expires_at)
            VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
            """,
            window.id,
            window.account,
            window.total,
            list(window.legs),
            packed(window.entries),
            self._seconds,
        )


def packed(entries: Sequence[WindowEntry]) -> bytes:
    """48 bytes an entry; scores keep single precision."""
    return b"".join(
        _ENTRY.pack(
            entry.document_id.bytes,
            entry.version,
            entry.score,
            entry.assertion,
            entry.lexical.rank if entry.lexical else 0,
            entry.lexical.score if entry.lexical else 0.0,
            entry.semantic.rank if entry.semantic else 0,
            entry.semantic.score if entry.semantic else 0.0,
            -1 if entry.ordinal is None else entry.ordinal,
        )
        for entry in entries
    )


def unpacked(content: bytes) -> tuple[WindowEntry, ...]:
    """Inverse of `packed`."""
    return tuple(
        WindowEntry(
            UUID(bytes=document),
            version,
            score,
            assertion,
            Place(lexical_rank, lexical_score) if lexical_rank else None,
            Place(semantic_rank, semantic_score) if semantic_rank else None,
            None if ordinal < 0 else ordinal,
        )
        for (
            document,
            version,
            score,
            assertion,
            lexical_rank,
            lexical_score,
            semantic_rank,
            semantic_score,
            ordinal,
        ) in _ENTRY.iter_unpack(content)
    )
