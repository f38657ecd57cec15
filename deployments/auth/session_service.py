"""The sessions of one's own account: seen, and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from deployments.auth.trail import AccountTrail
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import NotFound
from stores.ports import SessionActivity
from stores.postgres import Postgres
from stores.refresh_tokens import OpenSession, Sessions


@dataclass(frozen=True, slots=True)
class SeenSession:
    """An open session as its owner sees it. `last_seen_at` is at least the last renewal of its tokens."""

    session: OpenSession
    last_seen_at: datetime
    current: bool


class OwnSessions:
    """Sessions end in Postgres: their tokens are refused everywhere within a second."""

    def __init__(self, db: Postgres, *, trail: AccountTrail, activity: SessionActivity) -> None:
        self._db = db
        self._trail = trail
        self._activity = activity

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[SeenSession]:
        """The newest `limit` open ones, those older than `before`."""
        async with self._db.connection() as connection:
            found = await Sessions(connection).open(UUID(caller.user_id), before=before, limit=limit)
        used = await self._activity.last_used([session.id for session in found])
        return [
            SeenSession(
                session,
                max(session.renewed_at, used.get(session.id, session.renewed_at)),
                str(session.id) == caller.session_id,
            )
            for session in found
        ]

    async def end(self, caller: Caller, session_id: UUID) -> None:
        """End one; raises `NotFound` when it is not an open one of the caller's."""
        async with self._db.transaction() as connection:
            sessions = Sessions(connection)
            if await sessions.owner(session_id) != UUID(caller.user_id):
                raise _unknown()
            if not await sessions.end(session_id, "ended_by_owner"):
                raise _unknown()
            await self._record(connection, caller, session_id)
        await self._activity.forget(session_id)

    async def end_others(self, caller: Caller) -> None:
        """End all but the caller's own."""
        kept = UUID(caller.session_id) if caller.session_id else None
        async with self._db.transaction() as connection:
            ended = await Sessions(connection).end_others(UUID(caller.user_id), kept, "ended_by_owner")
            if ended:
                await self._record(connection, caller, caller.session_id, reason=f"others: {ended}")

    async def _record(
        self,
        connection: asyncpg.Connection,
        caller: Caller,
        session: UUID | str | None,
        *,
        reason: str | None = None,
    ) -> None:
        await self._trail.record(
            connection,
            AuditEvent.SESSION_ENDED,
            action="E",
            user=UUID(caller.user_id),
            role=caller.role,
            session=session,
            reason=reason,
        )


def _unknown() -> NotFound:
    return NotFound("There is no such session, or it has ended.")
