"""Emergency access to one patient's documents: with a reason and the password, noticed at once, for an hour at most."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import asyncpg

from deployments.administration.notices import Notices
from deployments.administration.once import Once
from deployments.administration.schemas import BreakGlassAnswer
from deployments.auth.trail import AccountTrail
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict, Forbidden, NotFound
from stores.accounts import Account, Accounts
from stores.break_glass import BreakGlass, Glass
from stores.break_glass_ends import BreakGlassEnds
from stores.postgres import Postgres

TEMPLATE = "break_glass"
WATCHERS = ("privacy_officer", "admin")
"""Who is told: everybody in the first of these roles that anybody has."""


class Confirmation(Protocol):
    """Asks whoever is logged in for the password again (`deployments.auth.credentials.Credentials`)."""

    async def confirm(self, user: UUID, password: str | None, *, session: str | None) -> Account: ...


class BreakGlassService:
    """It counts in the session it was begun in, and ends with it, by time, or by the caller."""

    def __init__(
        self,
        db: Postgres,
        *,
        credentials: Confirmation,
        trail: AccountTrail,
        ends: BreakGlassEnds,
        notices: Notices,
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._trail = trail
        self._ends = ends
        self._notices = notices

    async def start(
        self, caller: Caller, *, patient: str, reason: str, minutes: int, password: str, once: Once
    ) -> BreakGlassAnswer:
        """Open the patient's documents. Raises `Invalid` and `TooMany` as logins, `Conflict` while one is open."""
        session = _session(caller)
        account = await self._credentials.confirm(UUID(caller.user_id), password, session=caller.session_id)
        async with self._db.transaction() as connection:
            if known := await once.known(connection):
                return BreakGlassAnswer.model_validate(known)
            await self._ends.close(connection, account_id=account.id)
            glass = await BreakGlass(connection).start(account.id, session, patient, minutes=minutes)
            if glass is None:
                raise Conflict(
                    "You have an emergency access open. End it before you begin another.",
                    code="breakglass.open",
                )
            told = await self._tell(connection, account, glass)
            names = {"reason": reason, "told": str(told)}
            await self._record(connection, caller, AuditEvent.BREAKGLASS_STARTED, glass, names)
            answer = BreakGlassAnswer.of(glass)
            await once.keep(connection, 201, answer.model_dump(mode="json"))
        return answer

    async def stop(self, caller: Caller, glass_id: UUID) -> None:
        """End it now. Raises `NotFound` when the caller has no such open one."""
        async with self._db.transaction() as connection:
            glass = await BreakGlass(connection).end(glass_id, UUID(caller.user_id))
            if glass is None:
                raise NotFound("You have no such emergency access open.", code="breakglass.not_found")
            await self._record(connection, caller, AuditEvent.BREAKGLASS_STOPPED, glass, {})

    async def open(self, caller: Caller) -> list[Glass]:
        """What the caller has open, in this session."""
        session = _session(caller)
        async with self._db.connection() as connection:
            return await BreakGlass(connection).open(session)

    async def _tell(self, connection: asyncpg.Connection, account: Account, glass: Glass) -> int:
        """Queue the notice; how many get it. The patient is named in the audit trail alone."""
        parameters = {
            "id": str(glass.id),
            "username": account.username,
            "name": f"{account.first_name} {account.last_name}",
            "started_at": glass.started_at.isoformat(timespec="seconds"),
            "ends_at": glass.ends_at.isoformat(timespec="seconds"),
        }
        for role in WATCHERS:
            watchers = await Accounts(connection).active_in_role(role)
            for watcher in watchers:
                await self._notices.add(connection, watcher, TEMPLATE, parameters)
            if watchers:
                return len(watchers)
        return 0

    async def _record(
        self,
        connection: asyncpg.Connection,
        caller: Caller,
        event: AuditEvent,
        glass: Glass,
        names: dict[str, str],
    ) -> None:
        await self._trail.record(
            connection,
            event,
            user=UUID(caller.user_id),
            action="E",
            role=caller.role,
            session=caller.session_id,
            names=names,
            patient=glass.patient,
        )


def _session(caller: Caller) -> UUID:
    if caller.session_id is None:
        raise Forbidden("Emergency access needs a login; a key will not do.")
    return UUID(caller.session_id)
