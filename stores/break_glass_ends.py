"""Closing emergency accesses that ended by themselves, with their records, in one transaction."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from domain.audit import AuditEvent
from stores import outbox
from stores.break_glass import BreakGlass, ClosedGlass
from stores.ports import AuditEntry, AuditLog


class BreakGlassEnds:
    """`roles`: for which emergency access counts; in another one it has ended."""

    def __init__(self, audit: AuditLog, roles: Collection[str]) -> None:
        self._audit = audit
        self._roles = frozenset(roles)

    async def close(
        self, connection: asyncpg.Connection, *, account_id: UUID | None = None, limit: int = 100
    ) -> int:
        """Close and record what has ended, of one account or of all; how many, `limit` at most."""
        closed = await BreakGlass(connection).end_ended(self._roles, account_id=account_id, limit=limit)
        if closed:
            await outbox.publish_audit(connection, *(self._audit.seal(_entry(one)) for one in closed))
        return len(closed)


def _entry(closed: ClosedGlass) -> AuditEntry:
    glass = closed.glass
    return AuditEntry(
        action="E",
        event=AuditEvent.BREAKGLASS_STOPPED,
        outcome="success",
        actor="system",
        role=closed.role,
        on_behalf_of=f"user:{glass.account_id}",
        patient=glass.patient,
        reason=closed.reason,
        session_id=str(glass.session_id),
    )
