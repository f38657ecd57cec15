"""Events and audit records of accounts, in the transaction of the change they speak of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import asyncpg

from deployments.edge.context import address, request_id
from domain.audit import AuditEvent
from domain.events import Event, EventType
from stores import outbox
from stores.ports import AuditEntry, AuditLog

SOURCE = "/medsearch/auth"


class AccountTrail:
    """What is written about an account besides the account itself."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def event(
        self, connection: asyncpg.Connection, kind: EventType, user: UUID, data: Mapping[str, Any]
    ) -> None:
        content = {"user_id": str(user), **data}
        await outbox.publish(connection, Event(kind, str(user), content, SOURCE, request_id()))

    async def record(
        self,
        connection: asyncpg.Connection,
        event: AuditEvent,
        *,
        user: UUID | None = None,
        action: str = "U",
        outcome: str = "success",
        role: str = "",
        session: UUID | str | None = None,
        reason: str | None = None,
        about: UUID | None = None,
        names: Mapping[str, str] | None = None,
        patient: str | None = None,
        patients: Collection[str] = (),
        platform: str | None = None,
    ) -> None:
        """`user` acted, possibly on the account of `about`. Without one, somebody unknown did, or `platform`.

        `patients`: those that were shown besides `patient`. `platform` is `operator` (the command line on the server) or `system`.
        """
        entry = AuditEntry(
            action=action,
            event=event,
            outcome=outcome,
            actor=f"user:{user}" if user else platform or "anonymous",
            role=role,
            on_behalf_of=f"user:{about}" if about else None,
            patient=patient,
            patients=tuple(patients),
            reason=reason,
            address=address() or None,
            request_id=request_id(),
            session_id=str(session) if session else None,
            names=names or {},
        )
        await outbox.publish_audit(connection, self._audit.seal(entry))
